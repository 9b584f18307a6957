"""Recorded MOT17 detections, ground truth and the published tracker's answer to them, read from `shared/data`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spoton_edge.types import F4, F8

SEQUENCES = ("02", "04", "05", "10")
# The recorded answers count a lost track's life in frames at 30/s, also that of MOT17-05, which was filmed at 14/s.
FRAME_RATE = 30.0


def detections(data: Path, sequence: str) -> Iterator[tuple[F4, F4]]:
    """Boxes (N, 4) px and scores (N,) of every frame, from frame 1."""
    rows = np.loadtxt(data / "mot17_yolox" / "det_yolox_x" / f"MOT17-{sequence}.txt", delimiter=",")
    xyxy = np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]]).astype(np.float32)
    score = rows[:, 6].astype(np.float32)
    for frame in range(1, int(rows[:, 0].max()) + 1):
        here = rows[:, 0] == frame
        yield xyxy[here], score[here]


def published(data: Path, sequence: str) -> Iterator[F8]:
    """What the published tracker gives for every frame, from frame 1: rows of track_id, x1, y1, x2, y2, score."""
    rows = np.loadtxt(data / "mot17_yolox" / "bytetrack_reference" / f"MOT17-{sequence}.csv", delimiter=",", skiprows=1)
    for frame in range(1, int(rows[:, 0].max()) + 1):
        yield rows[rows[:, 0] == frame, 1:]
