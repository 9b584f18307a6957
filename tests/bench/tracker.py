"""ByteTrack's cost: an update beside its arithmetic floor, 64 cameras in one call, and 20,000 frames of churn.

    python -m tests.bench.tracker

CPU time, medians of alternating rounds; for the 64 cameras, where the wall counts, best of 20 alternating rounds.
The floor is `floor.c`, built here with -Ofast -march=native: the bare IoU, Kalman and assignment on the same stream.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from spoton_edge._ext.bytetrack import ByteTracker, MultiCameraTracker
from spoton_edge.types import F4, Detections
from tests.bench._crowd import crowd
from tests.process import resident_bytes

FLOOR = Path(__file__).with_name("floor.c")
FRAMES = {0: 300, 10: 300, 40: 300, 100: 300, 300: 150}
Stream = list[tuple[F4, F4]]


def cpu_us(work: Callable[[], object]) -> float:
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / 1e3


def wall_us(work: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) / 1e3


def follow(stream: Stream) -> None:
    tracker = ByteTracker()
    for xyxy, score in stream:
        tracker.update(xyxy, score)


def save(stream: Stream, path: Path) -> None:
    """The stream as floor.c reads it."""
    parts = [np.int32(len(stream)).tobytes()]
    for xyxy, _ in stream:
        parts += [np.int32(len(xyxy)).tobytes(), xyxy.tobytes()]
    path.write_bytes(b"".join(parts))


def beside_the_floor() -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "floor"
        subprocess.run(["cc", "-Ofast", "-march=native", FLOOR, "-o", program, "-lm"], check=True)
        streams = {people: crowd(people, frames) for people, frames in FRAMES.items()}
        ours: dict[int, list[float]] = {people: [] for people in streams}
        floor: dict[int, list[float]] = {people: [] for people in streams}
        for people, stream in streams.items():
            save(stream, Path(folder) / str(people))
        for _ in range(9):
            for people, stream in streams.items():
                ours[people].append(cpu_us(lambda s=stream: follow(s)) / len(stream))
                printed = subprocess.run([program, Path(folder) / str(people)], check=True, capture_output=True).stdout
                floor[people].append(float(printed.split()[0]))
        print(f"{'people':>6} {'us/update':>10} {'floor us':>9} {'ratio':>6}")
        for people in streams:
            mine, least = median(ours[people]), median(floor[people])
            ratio = (
                f"{mine / least:6.2f}" if people else "  call"
            )  # nobody to track: the Python call and its four arrays
            print(f"{people:6} {mine:10.2f} {least:9.2f} {ratio}")


def many_cameras(cameras: int = 64, people: int = 40, frames: int = 30) -> None:
    streams = [crowd(people, frames, seed) for seed in range(cameras)]
    batches = []
    for frame in range(frames):
        parts = [stream[frame] for stream in streams]
        offsets = np.cumsum([0, *(len(score) for _, score in parts)]).astype(np.int32)
        xyxy, score = (np.concatenate(column) for column in zip(*parts, strict=True))
        batches.append(Detections(xyxy, score, offsets))

    def alone() -> float:
        trackers = [ByteTracker() for _ in streams]

        def step(frame: int) -> None:
            for tracker, stream in zip(trackers, streams, strict=True):
                tracker.update(*stream[frame])

        return median(wall_us(lambda f=frame: step(f)) for frame in range(frames))

    def together(threads: int) -> float:
        tracker = MultiCameraTracker([30.0] * cameras, threads=threads)
        return median(wall_us(lambda b=batch: tracker.update(b)) for batch in batches)

    rounds = np.array([(alone(), together(1), together(2)) for _ in range(20)])
    single, one, two = rounds.min(axis=0)
    print(f"{cameras} cameras x {people} people, wall us, best of 20 rounds, load {os.getloadavg()[0]:.1f}:")
    print(
        f"  {cameras} calls {single:.0f}; one call {one:.0f} ({one / single:.2f}x);"
        f" two threads {two:.0f} ({one / two:.2f}x faster)"
    )


def churn(frames: int = 20_000, people: int = 40) -> None:
    """People who keep leaving for good: every track ends after 50 frames and another begins elsewhere."""
    rng = np.random.default_rng(0)
    tracker = ByteTracker()
    at, until = np.zeros((people, 2)), np.zeros(people)
    times, resident = np.empty(frames), []
    for frame in range(frames):
        ended = until <= frame
        at[ended] = rng.uniform([0, 0], [1920, 1080], (int(ended.sum()), 2))
        until[ended] = frame + rng.integers(20, 80, int(ended.sum()))
        at += rng.normal(0, 1, at.shape)
        xyxy = np.hstack([at, at + np.array([50, 120])]).astype(np.float32)
        score = rng.uniform(0.61, 0.95, people).astype(np.float32)
        start = time.thread_time_ns()
        tracks = tracker.update(xyxy, score)
        times[frame] = (time.thread_time_ns() - start) / 1e3
        if frame in (1000, frames - 1):
            resident.append(resident_bytes())
    first, last = np.median(times[100:1100]), np.median(times[-1000:])
    print(
        f"churn, {people} people, {frames} frames, {tracks.track_id.max()} ids: {first:.2f} us in the first thousand,"
        f" {last:.2f} us in the last ({last / first - 1:+.1%}), RSS {(resident[1] - resident[0]) / 1e6:+.2f} MB"
    )


def main() -> None:
    beside_the_floor()
    many_cameras()
    churn()


if __name__ == "__main__":
    main()
