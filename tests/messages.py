"""Made-up people for the tests of the contract."""

from __future__ import annotations

import numpy as np

from spoton_edge.types import (
    CameraDescription,
    CameraStatus,
    Event,
    GlobalTracks,
    LinkDescription,
    MapDescription,
    Reason,
    SiteDescription,
    StageTime,
    Status,
    TrackState,
    Views,
)
from spoton_edge.wire import Clock, Encoder, Encoding

CAMERAS = ("c1", "c2", "c3", "c4")
RUN = "00ff00ff"
CAMERA_NUMBERS = np.arange(len(CAMERAS), dtype=np.int16)
CAPTURED_NS = np.full(len(CAMERAS), 5_000_000_000, np.int64)


def still_clock() -> Clock:
    """A clock that stands at Unix second 1000 and monotonic second 6."""
    return Clock(monotonic_ns=lambda: 6_000_000_000, wall_ns=lambda: 1_000_000_000_000)


def encoder(*, encoding: Encoding = "json", boxes: bool = True, clock: Clock | None = None) -> Encoder:
    return Encoder("lobby", "box-1", RUN, CAMERAS, encoding=encoding, boxes=boxes, clock=clock)


def people(count: int, views_each: int = 1, seed: int = 0, first_id: int = 1) -> GlobalTracks:
    """`count` people, each seen by the first `views_each` cameras."""
    rng = np.random.default_rng(seed)
    views = count * views_each
    corners = rng.uniform(0, 1000, (views, 2))
    return GlobalTracks(
        global_id=np.arange(first_id, first_id + count, dtype=np.int64),
        xy=rng.normal(0, 20, (count, 2)),
        velocity=rng.normal(0, 1, (count, 2)),
        cov=rng.uniform(0.01, 0.1, (count, 3)),
        state=np.full(count, TrackState.VISIBLE, np.uint8),
        age_s=rng.uniform(0, 100, count),
        best_view=np.zeros(count, np.int16),
        views=Views(
            row=np.repeat(np.arange(count, dtype=np.int32), views_each),
            camera=np.tile(np.arange(views_each, dtype=np.int16), count),
            track_id=np.arange(1, views + 1, dtype=np.int64),
            xyxy=np.hstack([corners, corners + rng.uniform(20, 200, (views, 2))]).astype(np.float32),
            score=rng.uniform(0.1, 1, views).astype(np.float32),
        ),
    )


def site() -> SiteDescription:
    triangle = [(0.0, 0.0), (100.0, 0.0), (0.0, 100.0)]
    return SiteDescription(
        cameras=[
            CameraDescription(
                "c1", (640, 480), np.diag([0.01, 0.01, 1.0]), [(0, 0), (6.4, 0), (6.4, 4.8)], {"door": triangle}
            ),
            CameraDescription("c2", (640, 480)),
        ],
        links=[LinkDescription("c1", "c2", (0.5, 20.0), zone="door")],
        map=MapDescription(100.0, (0.0, 0.0), "y_up", "0" * 64),
    )


def status(batches: int = 1) -> Status:
    camera = CameraStatus("c1", "live", fps=9.98, frames=100, dropped=2, bad_frames=0, skew_ms=12.5)
    return Status([camera], batches=batches, batch_rate_hz=10.0, people=3, stages={"detect": StageTime(31.5, 40.25)})


def handoff() -> Event:
    reason = Reason("link:c1", distance_m=0.51, cosine=0.21, margin=0.4)
    return Event("handed_off", 5_000_000_000, global_id=7, camera=1, from_camera=0, reason=reason)
