"""What `detector.every: k` costs in accuracy and saves in time: MOT17 02, 04, 05, 10, detections of every k-th frame.

Between them the Kalman filter predicts. Scores are of the second halves, which the detector was not trained on, over
the frames of all four sequences; the tracker's time is CPU time of this process.
"""

import time

import numpy as np

from spoton_edge._ext.bytetrack import ByteTracker
from tests import mot17
from tests.conftest import SHARED
from tests.mot_score import Counts, Frame, score, truth

EVERY = (1, 2, 3, 5)


def follow(sequence: str, every: int) -> tuple[Counts, float, int]:
    """Counts of the second half, CPU seconds of the whole, frames."""
    frames = list(mot17.detections(SHARED / "data", sequence))
    tracker = ByteTracker(mot17.FRAME_RATE)
    start = time.process_time()
    shown = [
        tracker.update(*frame) if number % every == 0 else tracker.predict() for number, frame in enumerate(frames)
    ]
    seconds = time.process_time() - start
    people = truth(SHARED / "data" / "mot17_yolox" / "gt_val_half" / f"MOT17-{sequence}" / "gt.txt")
    first = len(frames) // 2 + 1
    scored = [
        Frame(*true, tracks.track_id, tracks.xyxy.astype(np.float64))
        for true, tracks in zip(people, shown[first:], strict=False)
    ]
    return score(scored), seconds, len(frames)


def main() -> None:
    if not (SHARED / "data").is_dir():
        print("no ../shared/data: MOT17 detections and ground truth are absent")
        return
    print(
        f"{'every':>5} {'HOTA':>6} {'IDF1':>6} {'MOTA':>6} {'switches':>9} {'tracker us/frame':>17} {'detector runs':>14}"
    )
    for every in EVERY:
        parts = [follow(sequence, every) for sequence in mot17.SEQUENCES]
        counts = sum((part[0] for part in parts), Counts())
        frames = sum(part[2] for part in parts)
        us = sum(part[1] for part in parts) / frames * 1e6
        print(
            f"{every:5} {counts.hota():6.1%} {counts.idf1():6.1%} {counts.mota():6.1%} {counts.switches:9}"
            f" {us:17.1f} {1 / every:14.0%}"
        )


if __name__ == "__main__":
    main()
