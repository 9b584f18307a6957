from collections.abc import Iterable
from typing import Protocol

from spoton_edge.types import F4, I2, I4, I8, U8

class SupportsDetections(Protocol):
    @property
    def xyxy(self) -> F4: ...
    @property
    def score(self) -> F4: ...
    @property
    def offsets(self) -> I4: ...

class Tracks:
    @property
    def track_id(self) -> I8: ...
    @property
    def xyxy(self) -> F4: ...
    @property
    def score(self) -> F4: ...
    @property
    def state(self) -> U8: ...
    def __len__(self) -> int: ...

class BatchTracks(Tracks):
    @property
    def camera(self) -> I2: ...
    @property
    def offsets(self) -> I4: ...

class ByteTracker:
    def __init__(
        self,
        frame_rate: float = 30.0,
        *,
        high_score: float = 0.5,
        low_score: float = 0.1,
        new_score: float = 0.6,
        match_limit: float = 0.8,
        second_match_limit: float = 0.5,
        new_match_limit: float = 0.7,
        duplicate_limit: float = 0.15,
        buffer_s: float = 1.0,
        pascal_iou: bool = True,
    ) -> None: ...
    def update(self, xyxy: F4, score: F4) -> Tracks: ...
    def predict(self) -> Tracks: ...

class MultiCameraTracker:
    def __init__(
        self,
        frame_rates: Iterable[float],
        *,
        threads: int = 1,
        high_score: float = 0.5,
        low_score: float = 0.1,
        new_score: float = 0.6,
        match_limit: float = 0.8,
        second_match_limit: float = 0.5,
        new_match_limit: float = 0.7,
        duplicate_limit: float = 0.15,
        buffer_s: float = 1.0,
        pascal_iou: bool = True,
    ) -> None: ...
    def update(self, detections: SupportsDetections, camera: I2 | None = None) -> BatchTracks: ...
    def predict(self, camera: I2 | None = None) -> BatchTracks: ...
    def reconfigure(
        self,
        frame_rates: Iterable[float],
        *,
        high_score: float = 0.5,
        low_score: float = 0.1,
        new_score: float = 0.6,
        match_limit: float = 0.8,
        second_match_limit: float = 0.5,
        new_match_limit: float = 0.7,
        duplicate_limit: float = 0.15,
        buffer_s: float = 1.0,
        pascal_iou: bool = True,
    ) -> None: ...
    def forget(self, camera: int) -> None: ...
