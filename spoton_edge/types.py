"""What one stage hands to the next: frozen structs of NumPy arrays, where row i of every field is the same thing.

Boxes are xyxy in pixels of the original frame, origin top-left. Ground is metres in the site's frame. Time is integer
nanoseconds of one monotonic clock, taken at capture. Cameras are numbered in the order of the config. -1 is "none".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

U8: TypeAlias = NDArray[np.uint8]
I2: TypeAlias = NDArray[np.int16]
I4: TypeAlias = NDArray[np.int32]
I8: TypeAlias = NDArray[np.int64]
F4: TypeAlias = NDArray[np.float32]
F8: TypeAlias = NDArray[np.float64]
Bool: TypeAlias = NDArray[np.bool_]
Polygon: TypeAlias = Sequence[tuple[float, float]]


class TrackState(IntEnum):
    """Seen in this step; predicted without a detection; out of sight but not forgotten."""

    VISIBLE = 0
    COASTING = 1
    LOST = 2


class FootPoint(IntEnum):
    """How far the lower edge of a box can be trusted to be where the person stands."""

    SEEN = 0
    COVERED = 1  # a nearer person covers the feet, or something hides so much that the detector is not sure
    CUT = 2  # by the picture's lower edge
    OUTSIDE = 3  # of the camera's region: does not count
    UNPLACED = 4  # no plane, or too near the horizon
    SIDE = 5  # seen, but the person is cut by the picture's side


# For arrays of them: NumPy takes ten times as long to be told a member of an enumeration.
VISIBLE, UNPLACED = int(TrackState.VISIBLE), int(FootPoint.UNPLACED)


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """At most one frame a camera, captured within the sync window, in ascending order of camera."""

    camera: I2  # (B,)
    frame_id: I8  # (B,) counts up from 0 per camera
    captured_ns: I8  # (B,)
    images: list[U8]  # B x (H, W, 3) BGR; never written to again: whoever keeps one keeps its pixels

    def __len__(self) -> int:
        return len(self.camera)


@dataclass(frozen=True, slots=True)
class Detections:
    """People found in a batch; rows of image b are `offsets[b]:offsets[b + 1]`."""

    xyxy: F4  # (N, 4) px
    score: F4  # (N,)
    offsets: I4  # (B + 1,)


@dataclass(frozen=True, slots=True)
class Tracklets:
    """The activated tracks of every camera of a batch, camera after camera in the batch's order.

    The tracker fills the upper fields, `project` the ground, `embed` the appearance.
    """

    camera: I2  # (T,)
    track_id: I8  # (T,) counted per camera from 1
    state: U8  # (T,) TrackState: VISIBLE where matched to a detection, COASTING where predicted
    xyxy: F4  # (T, 4) px
    score: F4  # (T,)
    captured_ns: I8  # (T,)
    ground_xy: F8  # (T, 2) m; NaN: cannot be placed
    ground_cov: F8  # (T, 3) m^2: xx, xy, yy
    tall_m: F8  # (T,) from the floor to the top of the box; NaN: not to be read
    embedding: F4  # (T, D) unit rows, zero where there is none
    has_embedding: Bool  # (T,)
    foot: U8  # (T,) FootPoint

    def __len__(self) -> int:
        return len(self.camera)

    @classmethod
    def tracked(cls, camera: I2, track_id: I8, state: U8, xyxy: F4, score: F4, captured_ns: I8) -> Tracklets:
        """Tracklets as the tracker leaves them: not placed, no appearance."""
        rows = len(camera)
        xy, cov, tall, foot = np.empty((rows, 2)), np.empty((rows, 3)), np.empty(rows), np.empty(rows, np.uint8)
        for column in (xy, cov, tall):
            column.fill(np.nan)
        foot.fill(UNPLACED)
        return cls(
            camera=camera,
            track_id=track_id,
            state=state,
            xyxy=xyxy,
            score=score,
            captured_ns=captured_ns,
            ground_xy=xy,
            ground_cov=cov,
            tall_m=tall,
            embedding=np.zeros((rows, 0), np.float32),
            has_embedding=np.zeros(rows, np.bool_),
            foot=foot,
        )


@dataclass(frozen=True, slots=True)
class Views:
    """The tracklets that make up the global tracks; `row` is ascending."""

    row: I4  # (V,) row of the global track
    camera: I2  # (V,)
    track_id: I8  # (V,)
    xyxy: F4  # (V, 4) px
    score: F4  # (V,)

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class GlobalTracks:
    """People on the site, one row each, in ascending order of id."""

    global_id: I8  # (M,) from 1, never reused
    xy: F8  # (M, 2) m; NaN: cannot be placed
    velocity: F8  # (M, 2) m/s
    cov: F8  # (M, 3) m^2 of xy: xx, xy, yy
    state: U8  # (M,) TrackState
    age_s: F8  # (M,) since first seen
    best_view: I2  # (M,) camera, -1 where no camera sees the person now
    views: Views

    def __len__(self) -> int:
        return len(self.global_id)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an id was given: which gate was open, how far, how alike, and by how much the runner-up was worse."""

    gate: str  # "overlap", "walk", "link:<camera>", "looks", "stature", "new", "restart"
    distance_m: float | None = None
    cosine: float | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an identity or a camera."""

    kind: str  # appeared, handed_off, merged, split, exchanged, lost, ended, camera, reload
    captured_ns: int
    global_id: int = -1
    other: int = -1  # the other id of a merge, split or exchange
    camera: int = -1
    from_camera: int = -1
    reason: Reason | None = None
    detail: str = ""  # camera events: the new state; reload: applied, or refused and why


REFUSED = "calibration refused"  # how `CameraStatus.unplaced` begins where there is a calibration, but a wrong one


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """A camera's health as it is published."""

    name: str
    state: str  # connecting, live, stalled, offline, refused, ended
    fps: float
    frames: int
    dropped: int
    bad_frames: int
    skew_ms: float | None = None  # its clock's gain on the others' since it was connected
    reconnects: int = 0  # times that it came back
    age_s: float | None = None  # since its last frame arrived
    unplaced: str | None = None  # why its people have no place on the ground; None: they have


@dataclass(frozen=True, slots=True)
class StageTime:
    """Wall time of one stage over the last batches, in milliseconds."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Status:
    """What the service says of itself once a second."""

    cameras: list[CameraStatus]
    batches: int
    batch_rate_hz: float
    people: int
    stages: dict[str, StageTime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CameraDescription:
    """What is fixed about a camera. Zones are polygons in px of the original frame."""

    name: str
    image_size: tuple[int, int] | None  # width, height in px; None: no frame has come yet
    homography: F8 | None = None  # (3, 3) image px -> m
    footprint: Polygon = ()  # what the camera sees of the ground, m
    zones: Mapping[str, Polygon] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LinkDescription:
    """Where people who leave one camera may appear in another, and after how long."""

    source: str
    target: str
    travel_s: tuple[float, float]
    zone: str | None = None  # a zone of the source
    enter: str | None = None  # a zone of the target


@dataclass(frozen=True, slots=True)
class MapDescription:
    """How the floor picture lies on the ground plane."""

    pixels_per_metre: float
    origin_px: tuple[float, float]
    axes: str  # y_up, y_down
    sha256: str | None = None  # of the picture's file


@dataclass(frozen=True, slots=True)
class SiteDescription:
    """What a subscriber must know to draw the site: sent on change and kept in the snapshot."""

    cameras: Sequence[CameraDescription]
    links: Sequence[LinkDescription] = ()
    map: MapDescription | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the publisher fares; all but the first two count up from its start."""

    connections: int = 0  # open, on every endpoint
    subscriptions: int = 0  # held by them
    late: int = 0  # messages that at least one subscriber was too slow for, and lost
    overflowed: int = 0  # messages lost by all, because they came faster than they could be sent
    refused: int = 0  # connections closed because they asked for too much
    snapshots: int = 0  # snapshots served
    sent: Mapping[str, int] = field(default_factory=dict)  # by kind, the last sequence number
