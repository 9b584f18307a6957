"""A site that is not there: people walk to and fro between two cameras, published as a daemon would."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np

from spoton_edge.publisher import Publisher
from spoton_edge.types import (
    CameraDescription,
    CameraStatus,
    Event,
    GlobalTracks,
    MapDescription,
    Reason,
    SiteDescription,
    Status,
    TrackState,
    Views,
)
from spoton_edge.wire import Encoder
from tests.e2e.ports import free_port

CAMERAS = ("west", "east")
PX_PER_M = 80.0
SIZE = (640, 480)
LEFT_M = (-8.0, -1.0)  # x of each camera's left edge; both see 8 m, so they share one
TOP_M = 6.0
WAY_M = (-7.0, 6.0)
PERSON_M = 1.0  # height of a box, on this strange site
SPEED_MPS = 5.0  # nobody waits long for a handoff
RATE_HZ = 15.0


def description(names: tuple[str, ...] = CAMERAS, floor: MapDescription | None = None) -> SiteDescription:
    """Two cameras that look straight down, with a zone in the first."""
    cameras = []
    for name, left in zip(names, LEFT_M, strict=True):
        homography = np.array([[1 / PX_PER_M, 0, left], [0, -1 / PX_PER_M, TOP_M], [0, 0, 1]])
        right = left + SIZE[0] / PX_PER_M
        footprint = [(left, 0.0), (right, 0.0), (right, TOP_M), (left, TOP_M)]
        zones: dict[str, Any] = {"door": [(0, 0), (200, 0), (200, 480), (0, 480)]} if name == names[0] else {}
        cameras.append(CameraDescription(name, SIZE, homography, footprint, zones))
    return SiteDescription(cameras, (), floor)


class Walk:
    """Where everybody is as of a second: to and fro between the ends of the way, each from another point on it."""

    def __init__(self, count: int, first_id: int = 1) -> None:
        self.ids = np.arange(first_id, first_id + count)
        self.states: dict[int, TrackState] = {}  # by id; who is not in here is visible
        self._phase = np.arange(count) * 0.37
        self._y = 0.6 + (TOP_M - PERSON_M - 0.8) * ((np.arange(count) * 0.618) % 1)

    def places(self, at_s: float) -> tuple[Any, Any]:
        """(N, 2) m and (N, 2) m/s."""
        span = WAY_M[1] - WAY_M[0]
        way = (self._phase * span + at_s * SPEED_MPS) % (2 * span)
        out = way < span
        x = WAY_M[0] + np.where(out, way, 2 * span - way)
        return np.column_stack([x, self._y]), np.column_stack([np.where(out, SPEED_MPS, -SPEED_MPS), 0 * x])

    def tracks(self, at_s: float) -> GlobalTracks:
        """The people, and the boxes around those that are visible."""
        xy, velocity = self.places(at_s)
        count = len(xy)
        state = np.array([self.states.get(identity, TrackState.VISIBLE) for identity in self.ids.tolist()], np.uint8)
        boxes, rows, cameras = [], [], []
        for row, (x, y) in enumerate(xy):
            for camera, left in enumerate(LEFT_M):
                u, v = (x - left) * PX_PER_M, (TOP_M - y) * PX_PER_M
                if 0 <= u < SIZE[0] and state[row] == TrackState.VISIBLE:
                    boxes.append((u - 15, v - PERSON_M * PX_PER_M, u + 15, v))
                    rows.append(row)
                    cameras.append(camera)
        best = np.where(state != TrackState.VISIBLE, -1, xy[:, 0] >= 0).astype(np.int16)
        views = Views(
            row=np.array(rows, np.int32),
            camera=np.array(cameras, np.int16),
            track_id=np.array(rows, np.int64) + 1,
            xyxy=np.array(boxes, np.float32).reshape(-1, 4),
            score=np.full(len(rows), 0.9, np.float32),
        )
        return GlobalTracks(
            global_id=self.ids.astype(np.int64),
            xy=xy,
            velocity=velocity,
            cov=np.tile([0.09, 0.02, 0.04], (count, 1)),
            state=state,
            age_s=np.full(count, at_s),
            best_view=best,
            views=views,
        )


class Feed:
    """Publishes a walk at 15 Hz, its handoffs as events and a status each second, in a thread, until closed; then
    another may begin on the same ports."""

    def __init__(
        self,
        *,
        count: int = 3,
        first_id: int = 1,
        run: str = "00ff00ff",
        bind: str | None = None,
        snapshot: str | None = None,
        names: tuple[str, ...] = CAMERAS,
        site: str = "hall",
    ) -> None:
        self.walk = Walk(count, first_id)
        self.encoder = Encoder(site, "box-1", run, names)
        bind, snapshot = (given or f"tcp://127.0.0.1:{free_port()}" for given in (bind, snapshot))
        self.publisher = Publisher(self.encoder, [bind], snapshot=snapshot)
        self.endpoint, self.snapshot = self.publisher.endpoints[0], str(self.publisher.snapshot_endpoint)
        self.sent = 0
        self._names = names
        self._stop = threading.Event()
        self.publisher.publish(self.encoder.site(description(names)))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def lay(self, plan: bytes, floor: MapDescription) -> None:
        """A floor plan's file, and how it lies on the ground, as of a reload."""
        self.publisher.picture = plan
        self.publisher.publish(self.encoder.site(description(self._names, floor)))

    def tell(self, event: Event) -> None:
        """What happened now."""
        self.publisher.publish(self.encoder.event(replace(event, captured_ns=time.monotonic_ns())))

    def close(self) -> None:
        """As a daemon that is stopped."""
        self._stop.set()
        self._thread.join()
        self.publisher.close()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        began = time.monotonic()
        before = self.walk.tracks(0.0).best_view
        number = 0
        while not self._stop.wait(max(0.0, began + number / RATE_HZ - time.monotonic())):
            now_ns = time.monotonic_ns()
            tracks = self.walk.tracks(number / RATE_HZ)
            message = self.encoder.tracks(tracks, np.array([0, 1], np.int16), np.full(2, now_ns, np.int64), 5.0)
            self.sent = self.publisher.publish(message)
            seen = (tracks.best_view >= 0) & (before >= 0)
            for row in np.flatnonzero(seen & (tracks.best_view != before)).tolist():
                self.publisher.publish(self.encoder.event(self._handoff(tracks, row, int(before[row]), now_ns)))
            before = tracks.best_view
            if number % int(RATE_HZ) == 0:
                self.publisher.publish(self.encoder.status(self._status(number), self.publisher.delivery()))
            number += 1

    def _handoff(self, tracks: GlobalTracks, row: int, source: int, now_ns: int) -> Event:
        return Event(
            "handed_off",
            now_ns,
            int(tracks.global_id[row]),
            camera=int(tracks.best_view[row]),
            from_camera=source,
            reason=Reason("overlap", 0.314, 0.92, 4.2),
        )

    def _status(self, number: int) -> Status:
        cameras = [
            CameraStatus(name, "live" if camera == 0 else "stalled", 15.0, number, 4, camera, 120.0)
            for camera, name in enumerate(self._names)
        ]
        return Status(cameras, number, RATE_HZ, len(self.walk.ids))
