"""A cycle of track + project + associate: its CPU time at 4 cameras and 40 people, and how it grows to 64 cameras.

    python -m tests.bench.cycle

Rooms of four overlapping cameras with 40 people each, all there at once, ten frames a second, ByteTrack on boxes as a
detector spoils them; walls are each camera's `region`. Thread CPU time of each cycle after the first second and a half,
the least of three runs over the same detections, as neighbours on a machine cost caches. No appearance. The growth is
drawn into build/bench/cycle.png.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from spoton_edge.association import Associator
from spoton_edge.ground_plane import GroundPlane, Site
from spoton_edge.tracker import Tracker
from spoton_edge.types import F8, Detections, FrameBatch, Tracklets
from tests.world import Camera, Seen, World, room, wanderers

STAGES = ("track", "project", "associate")
ROOM_M = (10.0, 8.0)
APART_M = 25.0  # from room to room
RATE_HZ, SECONDS, WARM = 10.0, 6.0, 15
RUNS = 3
PICTURE = Path(__file__).resolve().parents[2] / "build" / "bench" / "cycle.png"
Step = tuple[FrameBatch, Detections]


def hall(number: int, people: int, *, occlusion: bool) -> World:
    """One room with its people, at its place in a square of rooms."""
    rng, shift = np.random.default_rng(number), np.eye(4)
    at = APART_M * np.array([number % 4, number // 4])
    shift[:2, 3] = -at
    cameras = [replace(camera, projection=camera.projection @ shift) for camera in room(4, ROOM_M)]
    walkers = [
        replace(walker, knots=walker.knots + np.array([-walker.knots[0, 0] - 8.0, *at]))
        for walker in wanderers(people, 1.0, rng, ROOM_M, stay_s=(30.0, 40.0))
    ]
    return World(cameras, walkers, SECONDS, RATE_HZ, seed=number, occlusion=occlusion)


def plane(camera: Camera, number: int) -> GroundPlane:
    """A camera's plane, whose region is what the walls leave of its picture."""
    low = APART_M * np.array([number % 4, number // 4]) - 0.5
    (x0, y0), (x1, y1) = low, low + ROOM_M + 1.0
    walls, _ = camera.pixel(np.array([[x0, y0, 0], [x1, y0, 0], [x1, y1, 0], [x0, y1, 0]]))
    return GroundPlane(camera.homography, camera.image_size, walls, projection=camera.projection)


def together(seen: tuple[Seen, ...]) -> Step:
    """One step of all rooms as the tracker takes it."""
    boxes = [box for one in seen for box in one.boxes]
    cameras = np.arange(len(boxes), dtype=np.int16)
    batch = FrameBatch(
        camera=cameras,
        frame_id=np.full(len(boxes), seen[0].frame_id, np.int64),
        captured_ns=np.full(len(boxes), seen[0].captured_ns, np.int64),
        images=[],
    )
    scores = np.concatenate([score for one in seen for score in one.scores])
    offsets = np.concatenate([[0], np.cumsum([len(box) for box in boxes])]).astype(np.int32)
    return batch, Detections(np.concatenate(boxes), scores, offsets)


def run(planes: list[GroundPlane | None], steps: list[Step]) -> Iterator[tuple[F8, Tracklets]]:
    """CPU milliseconds of each stage (3,), step by step, and the tracklets."""
    associator = Associator(planes)
    tracker, site = Tracker([RATE_HZ] * len(planes)), associator.site
    assert isinstance(site, Site)
    for batch, detections in steps:
        marks = [time.thread_time_ns()]
        tracklets = tracker.update(batch, detections)
        marks.append(time.thread_time_ns())
        tracklets = site.project(tracklets)
        marks.append(time.thread_time_ns())
        associator.update(batch.camera, batch.captured_ns, tracklets)
        marks.append(time.thread_time_ns())
        yield np.diff(marks) / 1e6, tracklets


def measure(rooms: list[World]) -> tuple[F8, float]:
    """CPU milliseconds (cycles, 3) of the stages, the least of all runs, and the median number of tracklets."""
    steps = [together(seen) for seen in zip(*(world.steps() for world in rooms), strict=True)]
    planes: list[GroundPlane | None] = [plane(c, k) for k, world in enumerate(rooms) for c in world.cameras]
    runs = [list(run(planes, steps))[WARM:] for _ in range(RUNS)]
    least = np.min([[times for times, _ in one] for one in runs], axis=0)
    return least, float(np.median([len(tracklets) for _, tracklets in runs[0]]))


def told(name: str, cycles: F8, boxes: float) -> str:
    whole, stages = cycles.sum(axis=1), np.median(cycles, axis=0)
    shares = "  ".join(f"{stage} {ms:.3f}" for stage, ms in zip(STAGES, stages, strict=True))
    return f"{name:36} {boxes:5.0f} boxes  {np.median(whole):6.2f} ms  p99 {np.quantile(whole, 0.99):6.2f}   {shares}"


def draw(cameras: list[int], median_ms: list[float], p99_ms: list[float]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(7, 4.5))
    axes.loglog(cameras, median_ms, "o-", label="median")
    axes.loglog(cameras, p99_ms, ".--", label="p99")
    axes.loglog(cameras, median_ms[0] / cameras[0] * np.array(cameras), ":", color="grey", label="in proportion")
    axes.set(xlabel="cameras, 10 people each", ylabel="CPU time of a cycle, ms", xticks=cameras)
    axes.set_xticks(cameras, [str(n) for n in cameras])
    axes.set_title("track + project + associate")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(PICTURE, dpi=120, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """Print the cycle of one room, with and without people hiding each other, then of 4 to 64 cameras."""
    cycles, boxes = measure([hall(0, 40, occlusion=False)])
    print(told("4 cameras, 40 people, nobody hidden", cycles, boxes))
    rooms = [hall(number, 40, occlusion=True) for number in range(16)]
    cameras, medians, p99s = [], [], []
    for count in (1, 2, 4, 8, 16):
        cycles, boxes = measure(rooms[:count])
        print(told(f"{4 * count} cameras, {40 * count} people", cycles, boxes), flush=True)
        cameras.append(4 * count)
        medians.append(float(np.median(cycles.sum(axis=1))))
        p99s.append(float(np.quantile(cycles.sum(axis=1), 0.99)))
    growth = medians[-1] / medians[0] / (cameras[-1] / cameras[0])
    print(f"from {cameras[0]} to {cameras[-1]} cameras: {growth:.2f} times in proportion")
    draw(cameras, medians, p99s)
    print(f"drawn: {PICTURE.relative_to(Path.cwd()) if PICTURE.is_relative_to(Path.cwd()) else PICTURE.name}")


if __name__ == "__main__":
    main()
