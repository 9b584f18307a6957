"""What `detector.every: k` costs in accuracy and saves in time on the demo's clip, from pixels.

    python -m tests.bench.clip_skipping

Global ids in each of the two cameras are scored against the ground truth's boxes; people less than 80 % inside a crop
count neither way. Time is CPU time of this process for everything from decoding to publishing, one thread a network.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from spoton_edge import config
from spoton_edge.service import Service
from spoton_edge.types import F8
from tests.bench.mot17 import evaluate
from tests.clip import find_clip, find_detector, write_site
from tests.conftest import SHARED
from tests.pets import CROPS, Truth

EVERY = (1, 2, 3, 5)
APART = 10_000  # frames of a camera are fewer
PEDESTRIAN, DISTRACTOR = 1, 8  # MOT17's classes


def truth_rows() -> F8:
    """MOT rows of both cameras, one after the other, frames from 1."""
    inside = Truth(SHARED / "data")
    rows = []
    for frame, person, left, top, width, height in np.loadtxt(
        SHARED / "data" / "pets09_s2l1_view1" / "gt" / "gt.txt", delimiter=","
    )[:, :6]:
        for at, (camera, (low, high)) in enumerate(CROPS.items()):
            if left + width <= low or left >= high:
                continue
            counts = int(person) in inside.boxes.get((int(frame), camera), {})
            box = [left - low, top, width, height]
            rows.append([frame + at * APART, person, *box, counts, PEDESTRIAN if counts else DISTRACTOR, 1])
    return np.array(rows)


def follow(every: int, clip: Path, detector: str) -> tuple[F8, float, float]:
    """MOT rows of both cameras; CPU ms a batch; frames a second."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        site = write_site(folder, clip, detector, detector={"every": every}, runtime={"threads": 1})
        site.write_text(site.read_text().replace("ENDPOINT", f"ipc://{scratch}/tracks"))
        service = Service(site, config.load(site), cache=folder, state=folder, fast=True)
        service.capture.start()
        rows = []
        wall_s, cpu_s = time.monotonic(), time.process_time()
        for frame, batch in enumerate(service.capture, start=1):
            tracks = service.pipeline.step(batch, 0.0)
            views = tracks.views
            corner, size = views.xyxy[:, :2], views.xyxy[:, 2:] - views.xyxy[:, :2]
            ids = tracks.global_id[views.row]
            rows.append(np.column_stack([frame + views.camera * APART, ids, corner, size, views.score]))
        wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
        service.capture.stop()
        service.pipeline.publisher.close()
    return np.vstack(rows), cpu_s / len(rows) * 1e3, len(rows) / wall_s


def main() -> None:
    clip, detector = find_clip(SHARED), find_detector(SHARED)
    if clip is None or detector is None or not (SHARED / "data").is_dir():
        sys.exit("needs ../shared/data (the clip's ground truth) and a detector: spoton-edge models fetch yolox-nano")
    print(f"{'every':>5} {'HOTA':>6} {'IDF1':>6} {'MOTA':>6} {'switches':>9} {'CPU ms':>7} {'frames/s':>9}")
    for every in EVERY:
        rows, cpu_ms, rate_hz = follow(every, clip, detector)
        with tempfile.TemporaryDirectory() as folder:
            truth = Path(folder) / "gt.txt"
            np.savetxt(truth, truth_rows(), "%d,%d,%g,%g,%g,%g,%d,%d,%g")
            scores = evaluate(truth, rows, Path(folder))
        print(
            f"{every:5} {scores['hota']:6.1%} {scores['idf1']:6.1%} {scores['mota']:6.1%} {scores['switches']:9.0f}"
            f" {cpu_ms:7.1f} {rate_hz:9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
