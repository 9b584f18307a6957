"""Association and fusion: accuracy on CMC1 and CMC2, and CPU time of a cycle. Run: python -m tests.bench.identity

CMC1 and CMC2 (4 cameras, 4 fps, FairMOT detections, ByteTrack here) are read from ../shared/data where it is; the
site is the four published projections, with the part of the floor in which truth exists as each camera's region. Times
are thread CPU time of project + update, medians over the sequence; the last lines scale a simulated site.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np

from spoton_edge.association import Associator
from spoton_edge.ground_plane import GroundPlane, homography_from_projection
from spoton_edge.tracker import Tracker
from spoton_edge.types import F8, Detections, FrameBatch, Tracklets, TrackState
from tests.world import OracleTracker, World, room, wanderers

SHARED = Path(__file__).resolve().parents[3] / "shared"
FLOOR = (1.95, -0.3, 6.6, 3.7)  # x0, y0, x1, y1 in m: the published tracking area, x from 2.03 on, with some margin
IMAGE_SIZE = (1920, 1024)
LOST = 0.05


def main() -> None:
    if (SHARED / "data" / "cmc").is_dir():
        for sequence in ("CMC1", "CMC2"):
            print(accuracy(sequence))
    else:
        print("CMC: skipped, no ../shared/data")
    for cameras, people in ((4, 10), (4, 40), (8, 80), (16, 160)):
        print(cycle(cameras, people))


def cmc_planes() -> list[GroundPlane | None]:
    import h5py

    planes: list[GroundPlane | None] = []
    for k in range(1, 5):
        with h5py.File(SHARED / "data" / "cmc" / "calib" / f"cam{k}_cam_mat.mat") as file:
            projection = file[f"cam{k}_cam_mat"][()].T
        homography = homography_from_projection(projection)
        planes.append(GroundPlane(homography, IMAGE_SIZE, _outline(homography), projection=projection))
    return planes


def _outline(homography: F8) -> F8:
    """The floor's rectangle as a polygon in pixels, without what lies behind the camera."""
    x0, y0, x1, y1 = FLOOR
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
    along = np.concatenate([a + (b - a) * np.linspace(0, 1, 40, endpoint=False)[:, None] for a, b in pairwise(corners)])
    plane = GroundPlane(homography, IMAGE_SIZE)
    p = np.column_stack([along, np.ones(len(along))]) @ np.linalg.inv(plane.homography).T
    return np.clip(p[:, :2] / p[:, 2:], -3000, 5000)[p[:, 2] > 0.02]


def cmc_steps(sequence: str, draw: int | None = None) -> Iterator[tuple[FrameBatch, Tracklets]]:
    """ByteTrack on the recorded detections, at 4 frames a second; numbers of frames as in the truth. draw: a seed, to
    leave out `LOST` of the detections at random: how much of a figure is chance?"""
    rng = np.random.default_rng(draw)
    files = [np.load(SHARED / "data" / "cmc" / "det_fairmot" / sequence / f"Cam_{k}.npz") for k in range(1, 5)]
    numbers = sorted({int(key) for file in files for key in file.files})
    tracker = Tracker([4.0] * 4)
    for number in range(numbers[0], numbers[-1] + 1):
        found = [file[str(number)] if str(number) in file.files else np.zeros((0, 133)) for file in files]
        found = [f.reshape(-1, 133) for f in found]
        if draw is not None:
            found = [f[rng.random(len(f)) >= LOST] for f in found]
        boxes = np.concatenate(found).astype(np.float32)
        batch = FrameBatch(
            camera=np.arange(4, dtype=np.int16),
            frame_id=np.full(4, number + 1),
            captured_ns=np.full(4, number * 250_000_000),
            images=[],
        )
        offsets = np.concatenate([[0], np.cumsum([len(f) for f in found])]).astype(np.int32)
        xyxy, score = np.ascontiguousarray(boxes[:, :4]), np.ascontiguousarray(boxes[:, 4])
        yield batch, tracker.update(batch, Detections(xyxy, score, offsets))


def accuracy(sequence: str) -> str:
    """MOTA, IDF1 within 1 m by ../shared/tools/score_ground.py, and CPU time."""
    associator, rows, times = Associator(cmc_planes()), [], []
    for batch, tracklets in cmc_steps(sequence):
        start = time.thread_time()
        tracks, _ = associator.update(batch.camera, batch.captured_ns, associator.site.project(tracklets))
        times.append(time.thread_time() - start)
        shown = tracks.state != TrackState.LOST
        frame = np.full(int(shown.sum()), batch.frame_id[0])
        rows.append(np.column_stack([frame, tracks.global_id[shown], tracks.xy[shown]]))
    truth = np.loadtxt(SHARED / "data" / "cmc" / "gt_ground" / f"{sequence}.csv", delimiter=",", skiprows=1)
    s = _scorer().score(truth, np.concatenate(rows), 1.0)
    counts = "  ".join(f"{name} {s[name]}" for name in ("IDSW", "FP", "FN"))
    cost = f"{1e3 * np.median(times):.2f} ms a frame, p99 {1e3 * np.quantile(times, 0.99):.2f}"
    return f"{sequence}: MOTA {100 * s['MOTA']:.2f}  IDF1 {100 * s['IDF1']:.2f}  {counts}  {cost}"


def _scorer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("score_ground", SHARED / "tools" / "score_ground.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cycle(cameras: int, people: int) -> str:
    """Project + update on rooms of 4 cameras side by side, all people there at once."""
    rng, times, rows = np.random.default_rng(0), [], []
    rooms = cameras // 4
    layout, walkers = [], []
    for k in range(rooms):
        shift = np.eye(4)
        shift[0, 3] = -40.0 * k
        layout += [replace(c, projection=c.projection @ shift) for c in room(4)]
        for w in wanderers(people // rooms, 1.0, rng, stay_s=(30.0, 40.0)):
            walkers.append(replace(w, knots=w.knots * [1, 1, 1] - [w.knots[0, 0] + 8.0, -40.0 * k, 0]))
    world = World(layout, walkers, seconds=4.0, frame_rate=10.0)
    associator = Associator([GroundPlane(c.homography, c.image_size, projection=c.projection) for c in layout])
    tracker = OracleTracker()
    for seen in world.steps():
        tracklets, _ = tracker.update(seen)
        tracklets = replace(tracklets, has_embedding=np.zeros(len(tracklets), np.bool_))
        batch = np.arange(cameras, dtype=np.int16), np.full(cameras, seen.captured_ns)
        start = time.thread_time()
        associator.update(*batch, associator.site.project(tracklets))
        times.append(time.thread_time() - start)
        rows.append(len(tracklets))
    cost = f"{1e3 * np.median(times[10:]):.2f} ms a cycle, p99 {1e3 * np.quantile(times[10:], 0.99):.2f}"
    return f"{cameras} cameras, {people} people, {np.median(rows):.0f} boxes: {cost}"


if __name__ == "__main__":
    main()
