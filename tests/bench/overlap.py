"""What it would bring to begin the next batch on the GPU before the last one is done: four cameras, a GPU of sleep.

What the CPU does is real: the frames of 1920x1080 are copied as an upload copies them, tracks, places and identities of
40 people are computed. The GPU is one stream on which work takes so many milliseconds, without the GIL. Batches lie
ready, as on a box that does not keep up: elsewhere there is nothing to begin early. `age` is from taking a batch to
its identities. Medians of one run: python -m tests.bench.overlap
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from spoton_edge.association import Associator
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.tracker import Tracker
from spoton_edge.types import Detections, FrameBatch
from tests.world import World, detections, room, wanderers

CAMERAS, PEOPLE = 4, 40
FRAME_RATE = 15.0
SKIPPED = 10  # batches in which things settle
CROPS_MS = 2.0  # a Re-ID network on one batch's crops


class Stream:
    """A GPU: what is begun runs in turn, beside the CPU."""

    def __init__(self) -> None:
        self._free_at = 0.0

    def begin(self, ms: float) -> float:
        """When this work will be done."""
        self._free_at = max(self._free_at, time.perf_counter()) + ms / 1e3
        return self._free_at

    @staticmethod
    def wait(until: float) -> None:
        time.sleep(max(0.0, until - time.perf_counter()))


class Stages:
    """The CPU's part of the pipeline."""

    def __init__(self) -> None:
        layout = room(CAMERAS)
        planes = [GroundPlane(camera.homography, camera.image_size, projection=camera.projection) for camera in layout]
        self.tracker, self.associator = Tracker([FRAME_RATE] * CAMERAS), Associator(planes)
        self._frames = np.zeros((CAMERAS, 1080, 1920, 3), np.uint8)
        self._pinned = np.zeros_like(self._frames)

    def upload(self) -> None:
        """Frames into the memory that the GPU reads."""
        np.copyto(self._pinned, self._frames)

    def identify(self, batch: FrameBatch, found: Detections) -> None:
        """From detections to people."""
        tracklets = self.associator.site.project(self.tracker.update(batch, found))
        self.associator.update(batch.camera, batch.captured_ns, tracklets)


Batches = list[tuple[FrameBatch, Detections]]
Way = Callable[[Batches, float, float], Iterator[float]]


def in_turn(batches: Batches, detect_ms: float, crops_ms: float) -> Iterator[float]:
    """One batch after the other, as the pipeline does; the age of each, s."""
    stages, gpu = Stages(), Stream()
    for batch, found in batches:
        taken = time.perf_counter()
        stages.upload()
        gpu.wait(gpu.begin(detect_ms))
        gpu.wait(gpu.begin(crops_ms))
        stages.identify(batch, found)
        yield time.perf_counter() - taken


def one_ahead(batches: Batches, detect_ms: float, crops_ms: float) -> Iterator[float]:
    """The next batch is uploaded and detected before crops and identities of the last one; crops wait behind it."""
    stages, gpu = Stages(), Stream()
    under_way: deque[tuple[float, float, FrameBatch, Detections]] = deque()
    for batch, found in batches:
        taken = time.perf_counter()
        stages.upload()
        under_way.append((taken, gpu.begin(detect_ms), batch, found))
        if len(under_way) == 2:
            taken, done, *last = under_way.popleft()
            gpu.wait(done)
            if crops_ms:
                gpu.wait(gpu.begin(crops_ms))
            stages.identify(*last)
            yield time.perf_counter() - taken


def measured(way: Way, batches: Batches, detect_ms: float, crops_ms: float) -> tuple[float, float]:
    """Milliseconds a batch, and its age."""
    ages, ends = [], []
    for age in way(batches, detect_ms, crops_ms):
        ages.append(age)
        ends.append(time.perf_counter())
    return 1e3 * float(np.median(np.diff(ends)[SKIPPED:])), 1e3 * float(np.median(ages[SKIPPED:]))


def main() -> None:
    """Print a line for each GPU and each way."""
    walkers = wanderers(PEOPLE, 1.0, np.random.default_rng(0), stay_s=(30.0, 40.0))
    batches = [detections(seen) for seen in World(room(CAMERAS), walkers, 8.0, frame_rate=FRAME_RATE).steps()]
    print(f"{CAMERAS} cameras, {PEOPLE} people, {len(batches)} batches; ms between batches, and age")
    for detect_ms in (5.0, 10.0, 20.0):
        for crops_ms in (0.0, CROPS_MS):
            ways = [measured(way, batches, detect_ms, crops_ms) for way in (in_turn, one_ahead)]
            (turn, turn_age), (ahead, ahead_age) = ways
            print(
                f"detection {detect_ms:4.0f} ms, crops {crops_ms:.0f} ms:  in turn {turn:5.1f} ms, age {turn_age:5.1f}"
                f"  |  one ahead {ahead:5.1f} ms, age {ahead_age:5.1f}  |  {turn / ahead:.2f} x the batches"
            )


if __name__ == "__main__":
    main()
