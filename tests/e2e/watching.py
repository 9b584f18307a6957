"""A consumer that takes every batch and remembers what a test asks for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from spoton_edge.capture import Capture, Source
from spoton_edge.types import U8
from tests.waiting import until


class Watch:
    """Runs a capture and takes its batches in a thread of its own."""

    def __init__(self, sources: Sequence[Source], *, stall_s: float, sync_window_ms: float = 100.0) -> None:
        self.capture = Capture(sources, stall_s=stall_s, sync_window_ms=sync_window_ms)
        self.count = [0] * len(sources)
        self.images: list[U8] = [np.empty((0, 0, 3), np.uint8)] * len(sources)  # the last of each camera
        self.batch_cameras: list[int] = []  # how many cameras each batch had
        self.oldest_ms = 0.0  # greatest age of a frame when it was taken
        self._ages: list[tuple[int, float]] = []
        self._last = [0.0] * len(sources)
        self._longest = [0.0] * len(sources)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._take, daemon=True)

    def __enter__(self) -> Watch:
        self.capture.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.capture.stop()
        self._thread.join(5.0)
        assert not self._thread.is_alive()

    def _take(self) -> None:
        for batch in self.capture:
            now = time.monotonic()
            ages_ms = (self.capture.now_ns() - batch.captured_ns) / 1e6
            with self._lock:
                self.batch_cameras.append(len(batch))
                self.oldest_ms = max(self.oldest_ms, float(ages_ms.max()))
                self._ages += zip(batch.camera.tolist(), ages_ms.tolist(), strict=True)
                for camera, image in zip(batch.camera, batch.images, strict=True):
                    if self._last[camera]:
                        self._longest[camera] = max(self._longest[camera], now - self._last[camera])
                    self._last[camera] = now
                    self.count[camera] += 1
                    self.images[camera] = image

    def forget(self) -> None:
        """Count gaps and ages from now on."""
        with self._lock:
            self._longest = [0.0] * len(self._longest)
            self.batch_cameras.clear()
            self.oldest_ms = 0.0
            self._ages.clear()

    def ages_ms(self) -> list[tuple[int, float]]:
        """(camera, age when taken) of every frame since `forget`."""
        with self._lock:
            return list(self._ages)

    def median_age_ms(self) -> float:
        """Of all frames since `forget`."""
        return float(np.median([age for _, age in self.ages_ms()]))

    def until_joined(self) -> None:
        """Wait until most of the last 20 batches have two cameras: a busy machine tears single ones apart."""

        def joined() -> bool:
            last = self.batch_cameras[-20:]
            return len(last) == 20 and last.count(2) >= 14

        self.until(joined, 30.0, "batches of two cameras")

    def longest_gap_s(self, camera: int) -> float:
        """The longest time that this camera delivered nothing, the running one included."""
        with self._lock:
            return max(self._longest[camera], time.monotonic() - self._last[camera])

    def state(self, camera: int) -> str:
        return self.capture.status()[camera].state

    def until(self, condition: Callable[[], object], within_s: float, what: str) -> None:
        """Wait for a condition; a test fails naming `what` when it does not come."""
        until(condition, lambda: f"{what}; {self.capture.status()}", within_s)

    def until_state(self, camera: int, state: str, within_s: float) -> None:
        self.until(lambda: self.state(camera) == state, within_s, f"camera {camera} {state}")

    def until_fresh(self, camera: int, within_s: float) -> None:
        """Wait until the camera is live and has delivered again."""
        before = self.count[camera]
        self.until(
            lambda: self.state(camera) == "live" and self.count[camera] > before, within_s, f"camera {camera} back"
        )
