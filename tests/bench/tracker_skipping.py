"""What `detector.every: k` costs in accuracy and saves in time: MOT17 02, 04, 05, 10, detections of every k-th frame.

    python -m tests.bench.tracker_skipping

Between them the Kalman filter predicts. Scores are of the second halves, which the detector was not trained on, the
four sequences set one after the other with ids of their own; the tracker's time is CPU time of this process.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from spoton_edge._ext.bytetrack import ByteTracker
from spoton_edge.types import F8
from tests import mot17
from tests.bench.mot17 import evaluate, half, second_half
from tests.conftest import SHARED

EVERY = (1, 2, 3, 5)
APART = 10_000  # frames and ids of a sequence are fewer


def follow(sequence: str, every: int) -> tuple[F8, float, int]:
    """Rows of frame (from 1), id, xyxy; CPU seconds; frames."""
    frames = list(mot17.detections(SHARED / "data", sequence))
    tracker = ByteTracker(mot17.FRAME_RATE)
    start = time.process_time()
    shown = [
        tracker.update(*frame) if number % every == 0 else tracker.predict() for number, frame in enumerate(frames)
    ]
    seconds = time.process_time() - start
    rows = [np.column_stack([np.full(len(t), f), t.track_id, t.xyxy]) for f, t in enumerate(shown, start=1)]
    return np.vstack(rows), seconds, len(frames)


def main() -> None:
    if not (SHARED / "data").is_dir():
        sys.exit("no ../shared/data: MOT17 detections and ground truth are absent")
    print(f"{'every':>5} {'HOTA':>6} {'IDF1':>6} {'MOTA':>6} {'switches':>9} {'us/frame':>9} {'detector runs':>14}")
    for every in EVERY:
        truths, results, seconds, frames = [], [], 0.0, 0
        for at, sequence in enumerate(mot17.SEQUENCES):
            path, before = half(SHARED / "data", sequence)
            rows, spent, length = follow(sequence, every)
            for lines, into in ((np.loadtxt(path, delimiter=","), truths), (second_half(rows, before), results)):
                lines[:, :2] += at * APART
                into.append(lines)
            seconds, frames = seconds + spent, frames + length
        with tempfile.TemporaryDirectory() as folder:
            truth = Path(folder) / "gt.txt"
            np.savetxt(truth, np.vstack(truths), "%d,%d,%d,%d,%d,%d,%d,%d,%g")
            scores = evaluate(truth, np.vstack(results), Path(folder))
        print(
            f"{every:5} {scores['hota']:6.1%} {scores['idf1']:6.1%} {scores['mota']:6.1%} {scores['switches']:9.0f}"
            f" {seconds / frames * 1e6:9.1f} {1 / every:14.0%}"
        )


if __name__ == "__main__":
    main()
