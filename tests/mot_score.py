"""HOTA, MOTA and IDF1 of boxes in one camera, by the MOTChallenge rules.

Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021; Bernardin & Stiefelhagen,
"CLEAR MOT", 2008; Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from spoton_edge.types import F8, I8

PEDESTRIAN, UNCOUNTED = 1, (2, 7, 8, 12)  # on a vehicle, standing in a picture, a distractor, a reflection
ALPHAS = np.arange(0.05, 0.99, 0.05)


@dataclass(frozen=True)
class Frame:
    """True people, places where a hypothesis is neither right nor wrong, and hypotheses; boxes are xyxy in px."""

    true_id: I8
    true_box: F8
    uncounted: F8
    track_id: I8
    track_box: F8


@dataclass
class Counts:
    """What the scores are computed from; add sequences up, then ask for `hota`, `mota`, `idf1` (0 to 1)."""

    true: int = 0
    tracked: int = 0
    clear_tp: int = 0
    switches: int = 0
    id_tp: int = 0
    hota_tp: F8 = field(default_factory=lambda: np.zeros(len(ALPHAS)))
    hota_association: F8 = field(default_factory=lambda: np.zeros(len(ALPHAS)))

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def hota(self) -> float:
        detection = self.hota_tp / np.maximum(self.true + self.tracked - self.hota_tp, 1)
        return float(np.sqrt(detection * self.hota_association / np.maximum(self.hota_tp, 1)).mean())

    def mota(self) -> float:
        wrong = self.true - self.clear_tp + self.tracked - self.clear_tp + self.switches
        return 1 - wrong / self.true

    def idf1(self) -> float:
        return 2 * self.id_tp / (self.true + self.tracked)


def iou(a: F8, b: F8) -> F8:
    """(N, M) intersection over union of boxes (N, 4) and (M, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None, :] - shared, 1e-9)


def matches(worth: F8) -> tuple[I8, I8]:
    """The pairs of greatest total worth, those worth nothing left out."""
    rows, columns = linear_sum_assignment(-worth)
    good = worth[rows, columns] > 0
    return rows[good], columns[good]


def counted(frame: Frame) -> Frame:
    """Without the hypotheses that match an uncounted place better than a person."""
    overlap = iou(np.vstack([frame.true_box, frame.uncounted]), frame.track_box)
    rows, columns = matches(np.where(overlap >= 0.5 - 1e-9, overlap, 0))
    keep = np.ones(len(frame.track_id), np.bool_)
    keep[columns[rows >= len(frame.true_id)]] = False
    return Frame(frame.true_id, frame.true_box, frame.uncounted, frame.track_id[keep], frame.track_box[keep])


def score(frames: Sequence[Frame]) -> Counts:
    """Counts of one sequence."""
    frames = [counted(frame) for frame in frames]
    people, person = np.unique(np.concatenate([frame.true_id for frame in frames]), return_inverse=True)
    tracks, track = np.unique(np.concatenate([frame.track_id for frame in frames]), return_inverse=True)
    person_of = np.split(person, np.cumsum([len(frame.true_id) for frame in frames])[:-1])
    track_of = np.split(track, np.cumsum([len(frame.track_id) for frame in frames])[:-1])
    overlaps = [iou(frame.true_box, frame.track_box) for frame in frames]
    shape = len(people), len(tracks)
    person_frames, track_frames = np.bincount(person, minlength=shape[0]), np.bincount(track, minlength=shape[1])

    counts = Counts(true=len(person), tracked=len(track))
    together, alike = np.zeros(shape), np.zeros(shape)
    for here, there, overlap in zip(person_of, track_of, overlaps, strict=True):
        together[np.ix_(here, there)] += overlap >= 0.5
        total = overlap.sum(0)[None, :] + overlap.sum(1)[:, None] - overlap
        alike[np.ix_(here, there)] += overlap / np.maximum(total, 1e-9)
    rows, columns = matches(together)
    counts.id_tp = int(together[rows, columns].sum())
    alike /= np.maximum(person_frames[:, None] + track_frames[None, :] - alike, 1e-9)

    hits = np.zeros((len(ALPHAS), *shape))
    last: dict[int, int] = {}
    before: dict[int, int] = {}
    for here, there, overlap in zip(person_of, track_of, overlaps, strict=True):
        rows, columns = matches(alike[np.ix_(here, there)] * overlap)
        for step, alpha in enumerate(ALPHAS):
            good = overlap[rows, columns] >= alpha - 1e-9
            hits[step, here[rows[good]], there[columns[good]]] += 1
        # CLEAR: who was matched to whom in the frame before stays so while it can; then the greatest overlap.
        stays = np.array([[before.get(i) == j for j in there] for i in here]).reshape(overlap.shape)
        rows, columns = matches(np.where(overlap >= 0.5 - 1e-9, 1000 * stays + overlap, 0))
        before = dict(zip(here[rows].tolist(), there[columns].tolist(), strict=True))
        counts.clear_tp += len(rows)
        counts.switches += sum(last.get(i, j) != j for i, j in before.items())
        last |= before
    association = hits / np.maximum(person_frames[:, None] + track_frames[None, :] - hits, 1)
    counts.hota_tp = hits.sum((1, 2))
    counts.hota_association = (hits * association).sum((1, 2))
    return counts


def truth(path: Path) -> list[tuple[I8, F8, F8]]:
    """Of each frame of a MOT17 gt.txt, from frame 1: ids and boxes of the people, and the uncounted places."""
    table = np.loadtxt(path, delimiter=",")
    frames = []
    for number in range(1, int(table[:, 0].max()) + 1):
        rows = table[table[:, 0] == number]
        boxes = np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])
        person = (rows[:, 7] == PEDESTRIAN) & (rows[:, 6] == 1)
        frames.append((rows[person, 1].astype(np.int64), boxes[person], boxes[np.isin(rows[:, 7], UNCOUNTED)]))
    return frames
