"""A recorded site of four cameras split over boxes: an associator each, and the site joins what they tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spoton_edge.association import Associator
from spoton_edge.site.identity import SiteIdentity
from spoton_edge.site.messages import BoxEvent, BoxPlace, Head, Sights
from spoton_edge.site.plan import Rules
from spoton_edge.types import F8, GlobalTracks, Tracklets, TrackState
from tests.bench.identity import FLOOR, SHARED, _scorer, cmc_planes, cmc_steps
from tests.site_world import START_S

EVERY = 2  # of 4 frames a second: positions are told twice a second


def split_score(sequence: str, boxes: Sequence[Sequence[int]], first: int = 0) -> float:
    """IDF1 within 1 m of a CMC sequence, its cameras split over boxes; of one box alone, without the site. first: the
    frame that is told first, of `EVERY`."""
    planes = cmc_planes()
    associators = [Associator([planes[camera] for camera in cameras]) for cameras in boxes]
    names = tuple(f"box-{number}" for number in range(len(boxes)))
    identity = SiteIdentity(Rules(names))
    x0, y0, x1, y1 = FLOOR
    place = BoxPlace(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), {})
    rows: list[list[float]] = []
    for step, (batch, tracklets) in enumerate(cmc_steps(sequence)):
        time = START_S + int(batch.captured_ns[0]) / 1e9
        told: list[GlobalTracks] = []
        for name, associator, cameras in zip(names, associators, boxes, strict=True):
            number = np.arange(len(cameras), dtype=np.int16)
            seen = associator.site.project(_of(tracklets, cameras))
            tracks, _ = associator.update(number, batch.captured_ns[: len(cameras)], seen)
            told.append(tracks)
            head = Head(name, "aa", "0a", step + 1, time, 0.0, 0.005)
            if not step:
                identity.take(BoxEvent(head, "box", place=place), time)
            if step % EVERY == first:
                use = (tracks.state == TrackState.VISIBLE) & np.isfinite(tracks.xy[:, 0])
                some = tracks.global_id[use], tracks.xy[use], tracks.cov[use], tracks.age_s[use]
                identity.take(Sights(head, *some), time)
        identity.advance(time + 0.24)
        rows += _joined(int(batch.frame_id[0]), names, told, identity if len(boxes) > 1 else None)
    truth = np.loadtxt(SHARED / "data" / "cmc" / "gt_ground" / f"{sequence}.csv", delimiter=",", skiprows=1)
    return float(_scorer().score(truth, np.array(rows), 1.0)["IDF1"])


def _of(tracklets: Tracklets, cameras: Sequence[int]) -> Tracklets:
    """The rows of some cameras, which are numbered anew."""
    rows = np.flatnonzero(np.isin(tracklets.camera, cameras))
    columns = {name: getattr(tracklets, name)[rows] for name in Tracklets.__slots__}
    columns["camera"] = np.array([list(cameras).index(camera) for camera in columns["camera"]], np.int16)
    return Tracklets(**columns)


def _joined(
    frame: int, names: Sequence[str], told: Sequence[GlobalTracks], identity: SiteIdentity | None
) -> list[list[float]]:
    """Frame, id, x and y of everybody: what boxes say of one person is weighed by how sure they are."""
    people: dict[int, list[tuple[float, F8]]] = {}
    for name, tracks in zip(names, told, strict=True):
        for k in np.flatnonzero((tracks.state != TrackState.LOST) & np.isfinite(tracks.xy[:, 0])):
            number = int(tracks.global_id[k])
            site_id = number if identity is None else identity.answers().get((name, "aa", number))
            if site_id is not None:
                people.setdefault(site_id, []).append((1 / float(tracks.cov[k, 0] + tracks.cov[k, 2]), tracks.xy[k]))
    found = []
    for site_id, views in people.items():
        x, y = np.average([xy for _, xy in views], axis=0, weights=[weight for weight, _ in views])
        found.append([frame, site_id, x, y])
    return found
