"""What is told of the people on the site: global tracks with their views, and the camera that sees each one best."""

from __future__ import annotations

import numpy as np

from spoton_edge._ext import roster
from spoton_edge.global_track import Records, TrackTable
from spoton_edge.tracklet_book import TrackletBook
from spoton_edge.types import F8, I4, FootPoint, GlobalTracks, Tracklets, Views

# How much of a view's size counts, by FootPoint: a person whose feet are covered or cut is seen in part.
WORTH = np.ones(len(FootPoint))
WORTH[[FootPoint.COVERED, FootPoint.CUT, FootPoint.OUTSIDE]] = 0.5, 0.6, 0.0
WORTH.flags.writeable = False
HYSTERESIS = 1.2  # another camera must be better by a fifth
STILL_SEEN_NS = 500_000_000  # by a camera that had no part in this step


def choose_views(table: TrackTable, book: TrackletBook, seen: Tracklets, row: I4, picture_height: F8) -> None:
    """Note the best camera of each track that tracklets (T,) show, row (T,), -1: none.

    A fraction of the picture's height (C,) px is what counts. A best camera that only missed a frame stays the best.
    """
    since_ns = table.now_ns - STILL_SEEN_NS
    roster.choose_views(
        table.record, book.entry, seen.camera, seen.xyxy, seen.foot, row, picture_height, WORTH, HYSTERESIS, since_ns
    )


def global_tracks(
    table: TrackTable, lost: Records, lost_ns: int, book: TrackletBook, seen: Tracklets, row: I4
) -> GlobalTracks:
    """Everybody who has an id: those followed, and those `lost` for at most `lost_ns`; row (T,) is of `table`."""
    now_ns = table.now_ns
    global_id, xy, velocity, cov, state, age_s, best_view, view, of = roster.tell(
        table.record, table.state, table.cov, lost, book.entry, row, now_ns, now_ns - lost_ns, now_ns - STILL_SEEN_NS
    )
    return GlobalTracks(
        global_id=global_id,
        xy=xy,
        velocity=velocity,
        cov=cov,
        state=state,
        age_s=age_s,
        best_view=best_view,
        views=Views(
            row=of,
            camera=seen.camera.take(view),
            track_id=seen.track_id.take(view),
            xyxy=seen.xyxy.take(view, axis=0),
            score=seen.score.take(view),
        ),
    )
