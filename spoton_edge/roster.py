"""What is told of the people on the site: global tracks with their views, and the camera that sees each one best."""

from __future__ import annotations

import numpy as np

from spoton_edge.global_track import Records, TrackTable
from spoton_edge.tracklet_book import TrackletBook
from spoton_edge.types import F8, I4, FootPoint, GlobalTracks, Tracklets, TrackState, Views

# How much of a view's size counts: a person whose feet are covered or cut is seen in part.
WORTH = {FootPoint.COVERED: 0.5, FootPoint.CUT: 0.6, FootPoint.OUTSIDE: 0.0}
HYSTERESIS = 1.2  # another camera must be better by a fifth
STILL_SEEN_NS = 500_000_000  # by a camera that had no part in this step


def choose_views(table: TrackTable, book: TrackletBook, seen: Tracklets, row: I4, image_sizes: F8) -> None:
    """Note the best camera of each track that tracklets (T,) show, row (T,), -1: none. A fraction of the picture's

    height is what counts; where the picture's size is not known, pixels of a full HD one.
    """
    use = np.flatnonzero(row >= 0)
    if not len(use):
        return
    height = image_sizes[seen.camera[use], 1]
    share = (seen.xyxy[use, 3] - seen.xyxy[use, 1]) / np.where(np.isfinite(height), height, 1080.0)
    worth = np.ones(len(FootPoint))
    for foot, value in WORTH.items():
        worth[foot] = value
    is_best = table.record["best_view"][row[use]] == seen.camera[use]
    quality = share * worth[seen.foot[use]] * np.where(is_best, HYSTERESIS, 1.0)
    order = np.lexsort((seen.camera[use], -quality, row[use]))
    track, first = np.unique(row[use][order], return_index=True)
    # A best camera that only missed a frame stays the best.
    entry, best = book.entry, table.record["best_view"]
    recent = table.now_ns - entry["seen_ns"] < STILL_SEEN_NS
    place = table.rows_of(entry["uid"])
    place[~recent] = -1
    in_sight = np.zeros(len(table), np.bool_)
    in_sight[place[(place >= 0) & (best[place] == entry["camera"])]] = True
    showing = np.zeros(len(table), np.bool_)
    showing[row[use][is_best]] = True
    change = showing[track] | ~in_sight[track]
    best[track[change]] = seen.camera[use][order[first]][change]


def global_tracks(table: TrackTable, lost: Records, book: TrackletBook, seen: Tracklets, row: I4) -> GlobalTracks:
    """Everybody who has an id: those followed, and those `lost` that are still told of; row (T,) is of `table`."""
    now_ns = table.now_ns
    rows = np.flatnonzero(table.record["global_id"] >= 0)
    record = np.concatenate([table.record[rows], lost])
    order = np.argsort(record["global_id"], kind="stable")
    is_lost = np.arange(len(record)) >= len(rows)
    recent = book.entry["fresh"] & (now_ns - book.entry["seen_ns"] < STILL_SEEN_NS)
    shows = np.zeros(len(table) + 1, np.bool_)  # the last: of tracks that are no more
    shows[table.rows_of(book.entry["uid"][recent])] = True
    visible = np.concatenate([shows[rows], np.zeros(len(lost), np.bool_)])
    state = np.where(is_lost, TrackState.LOST, np.where(visible, TrackState.VISIBLE, TrackState.COASTING))
    cov = table.cov[rows]
    here = np.stack([cov[:, 0, 0], cov[:, 0, 1], cov[:, 1, 1]], axis=1)
    there = np.square(lost["seen_sd"])[:, None] * np.array([1.0, 0.0, 1.0])
    xy = np.concatenate([table.state[rows, :2], lost["seen_xy"]])
    velocity = np.concatenate([table.state[rows, 2:], np.zeros((len(lost), 2))])
    place = np.full(len(table) + 1, -1, np.int32)  # where a row of the table stands in what is told; the last: none
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    place[rows] = ranks[: len(rows)]
    shown = np.flatnonzero(place[row] >= 0)
    shown = shown[np.argsort(place[row[shown]], kind="stable")]
    return GlobalTracks(
        global_id=record["global_id"][order].astype(np.int64),
        xy=xy[order],
        velocity=velocity[order],
        cov=np.concatenate([here, there])[order],
        state=state[order].astype(np.uint8),
        age_s=(now_ns - record["born_ns"][order]) * 1e-9,
        best_view=np.where(visible, record["best_view"], -1)[order].astype(np.int16),
        views=Views(
            row=place[row[shown]],
            camera=seen.camera[shown],
            track_id=seen.track_id[shown],
            xyxy=seen.xyxy[shown],
            score=seen.score[shown],
        ),
    )
