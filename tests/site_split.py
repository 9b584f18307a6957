"""A recorded site of four cameras split over boxes: daemon's messages, an uplink's digest of them, and the site."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np

from spoton_edge import messages
from spoton_edge.association import Associator
from spoton_edge.messages import Message
from spoton_edge.site.clock import Offset
from spoton_edge.site.digest import Digest
from spoton_edge.site.identity import SiteIdentity
from spoton_edge.site.messages import BoxMessage, Sights, encode, kind_of, parse, subject
from spoton_edge.site.plan import Rules
from spoton_edge.types import F8, GlobalTracks, Tracklets, TrackState
from spoton_edge.wire import Clock, Encoder
from tests.bench.identity import FLOOR, SHARED, _scorer, cmc_planes, cmc_steps
from tests.site_world import START_S

PHASES = 2  # of 4 frames a second every second is told of: which, is chance
RUN = "aa"


class _Box:
    """A box with some of the cameras: from tracklets to what its uplink tells."""

    def __init__(self, name: str, cameras: Sequence[int], start_s: float, *, shares: bool) -> None:
        planes = cmc_planes()
        self.name, self._shares = name, shares
        self._cameras = cameras
        self._associator = Associator([planes[camera] for camera in cameras])
        clock = Clock(lambda: 0, lambda: int(start_s * 1e9))
        self._encoder = Encoder("cmc", name, RUN, [f"cam{camera + 1}" for camera in cameras], clock=clock)
        offset = Offset(lambda: 0.0)
        offset.measure(0.0, 0.005, 0.01)  # a clock that is right, as well as a round trip of 10 ms tells
        self._digest = Digest(name, "0a", (0.0, 0.0, 0.0), {}, offset)
        x0, y0, x1, y1 = FLOOR
        floor = {"footprint": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]}
        self._heard(messages.Site("cmc", name, RUN, 0, start_s, {}, [floor], [], None))

    def step(self, captured_ns: int, tracklets: Tracklets) -> tuple[GlobalTracks, list[BoxMessage]]:
        """The box's people, and what the site hears of them; captured_ns is not monotonic time but since the start."""
        number = np.arange(len(self._cameras), dtype=np.int16)
        captured = np.full(len(number), captured_ns)
        tracks, events = self._associator.update(
            number, captured, self._associator.site.project(_of(tracklets, self._cameras))
        )
        published = [self._encoder.tracks(tracks, number, captured, 0.0), *map(self._encoder.event, events)]
        told = [self._heard(messages.parse(json.loads(message.payload(1)))) for message in published]
        messages_ = [message for part in told for message in part]
        if self._shares and any(isinstance(message, Sights) for message in messages_):
            # As over the control socket, which rounds to the centimetre.
            tall_m = {number: round(tall, 2) for number, tall in self._associator.readings().items()}
            statures = self._digest.statures(tall_m, 0.0)
            messages_ += [] if statures is None else [self._carried(statures)]
        return tracks, messages_

    def _heard(self, message: Message | None) -> list[BoxMessage]:
        told = [] if message is None else self._digest.take(message, 0.0)
        return [self._carried(message) for message in told]

    def _carried(self, message: BoxMessage) -> BoxMessage:
        return parse(subject("cmc", self.name, kind_of(message)), encode(message))


def split_score(
    sequence: str,
    boxes: Sequence[Sequence[int]],
    phase: int = 0,
    draw: int | None = None,
    *,
    shares: bool = False,
) -> float:
    """IDF1 within 1 m of a CMC sequence, its cameras split over boxes; of one box alone, without the site. phase: the
    frames, of every `PHASES`, that fall on the half seconds in which boxes tell. draw: see `cmc_steps`. shares: boxes
    tell how tall people are read, too."""
    start_s = START_S + 0.25 * phase
    edge = [_Box(f"box-{number}", cameras, start_s, shares=shares) for number, cameras in enumerate(boxes)]
    identity = SiteIdentity(Rules(tuple(box.name for box in edge)))
    rows: list[list[float]] = []
    for batch, tracklets in cmc_steps(sequence, draw):
        captured_ns = int(batch.captured_ns[0])
        now_s = start_s + captured_ns / 1e9
        people = {}
        for box in edge:
            people[box.name], told = box.step(captured_ns, tracklets)
            for message in told:
                identity.take(message, now_s)
        identity.advance(now_s + 0.24)
        rows += _joined(int(batch.frame_id[0]), people.items(), identity if len(boxes) > 1 else None)
    truth = np.loadtxt(SHARED / "data" / "cmc" / "gt_ground" / f"{sequence}.csv", delimiter=",", skiprows=1)
    return float(_scorer().score(truth, np.array(rows), 1.0)["IDF1"])


def _of(tracklets: Tracklets, cameras: Sequence[int]) -> Tracklets:
    """The rows of some cameras, which are numbered anew."""
    rows = np.flatnonzero(np.isin(tracklets.camera, cameras))
    columns = {name: getattr(tracklets, name)[rows] for name in Tracklets.__slots__}
    columns["camera"] = np.array([list(cameras).index(camera) for camera in columns["camera"]], np.int16)
    return Tracklets(**columns)


def _joined(frame: int, boxes: Iterable[tuple[str, GlobalTracks]], identity: SiteIdentity | None) -> list[list[float]]:
    """Frame, id, x and y of everybody: what boxes say of one person is weighed by how sure they are."""
    people: dict[int, list[tuple[float, F8]]] = {}
    for name, tracks in boxes:
        for k in np.flatnonzero((tracks.state != TrackState.LOST) & np.isfinite(tracks.xy[:, 0])):
            number = int(tracks.global_id[k])
            site_id = number if identity is None else identity.answers().get((name, RUN, number))
            if site_id is not None:
                people.setdefault(site_id, []).append((1 / float(tracks.cov[k, 0] + tracks.cov[k, 2]), tracks.xy[k]))
    found = []
    for site_id, views in people.items():
        x, y = np.average([xy for _, xy in views], axis=0, weights=[weight for weight, _ in views])
        found.append([frame, site_id, x, y])
    return found
