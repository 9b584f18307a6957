"""Ground truth of the demo's clip (PETS 2009 S2.L1, view 1) in its two virtual cameras, and scores against it.

The two cameras are crops of one lens: this measures tracking, hand-off and merging; it says nothing about calibration
error between cameras, clock skew, or appearance that changes with the view.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from spoton_edge.evaluation.rows import Rows

CROPS = {"W": (0, 448), "E": (320, 768)}  # columns of the full picture
BLIND = {"W": (0, 336), "E": (448, 768)}  # the same with a stretch between them that nobody sees
ROWS = 576
FRAMES = 795


@dataclass(frozen=True)
class Handoff:
    """A person last alone in one camera is next alone in the other; frames from 1."""

    person: int
    first: str
    second: str
    last_alone: int
    next_alone: int


class Truth:
    """Who is in which camera in which frame: foot in the crop and at least 80 % of the box."""

    def __init__(self, data: Path, crops: dict[str, tuple[int, int]] = CROPS, inside: float = 0.8) -> None:
        """inside: how much of a box must be in a crop; half, and every passage ends in both of the blind ones too."""
        rows = np.loadtxt(data / "pets09_s2l1_view1" / "gt" / "gt.txt", delimiter=",")
        self.crops = crops
        self.boxes: dict[tuple[int, str], dict[int, np.ndarray]] = {}
        self.full = {(int(row[0]), int(row[1])): row[2:6] for row in rows}  # left, top, width, height, from 1
        self.ground = {(int(row[0]), int(row[1])): row[7:9] for row in rows}
        for (frame, person), (left, top, width, height) in self.full.items():
            for camera, (low, high) in crops.items():
                x1, x2 = left - low, left - low + width
                foot, bottom = (x1 + x2) / 2, top + height
                within = max(0.0, min(x2, high - low) - max(x1, 0.0)) * max(0.0, min(bottom, ROWS) - max(top, 0.0))
                if 0 <= foot < high - low and 0 <= bottom < ROWS and within >= inside * width * height:
                    # Ground truth counts pixels from 1; a detector sees no more of a person than is in the picture.
                    box = np.clip(np.array([x1, top, x2, bottom]) - 1, 0, [high - low, ROWS, high - low, ROWS])
                    self.boxes.setdefault((frame, camera), {})[person] = box

    def handoffs(self) -> list[Handoff]:
        """Every passage from one camera alone to the other alone, by person and time."""
        result = []
        for person in sorted({person for boxes in self.boxes.values() for person in boxes}):
            alone: tuple[int, str] | None = None
            for frame in range(1, FRAMES + 1):
                seen = [camera for camera in self.crops if person in self.boxes.get((frame, camera), {})]
                if len(seen) != 1:
                    continue
                if alone and alone[1] != seen[0]:
                    result.append(Handoff(person, alone[1], seen[0], alone[0], frame))
                alone = (frame, seen[0])
        return result

    def hidden(self, handoff: Handoff) -> int:
        """Frames of a passage in which no column of the person is in any crop."""
        spans = [
            (left, left + width)
            for frame in range(handoff.last_alone, handoff.next_alone + 1)
            for left, _, width, _ in [self.full[frame, handoff.person]]
        ]
        return sum(all(end <= low or start >= high for low, high in self.crops.values()) for start, end in spans)


class Estimate:
    """What the program said: for each frame and camera the global ids and boxes, for each frame and id the place."""

    def __init__(self) -> None:
        self.views: dict[tuple[int, str], list[tuple[int, np.ndarray]]] = {}
        self.ground: dict[tuple[int, int], np.ndarray] = {}

    def match(self, truth: Truth, *, min_iou: float = 0.5) -> dict[tuple[int, str, int], int]:
        """(frame, camera, person) -> global id, one to one by overlap."""
        matched = {}
        for (frame, camera), people in truth.boxes.items():
            views = self.views.get((frame, camera), [])
            if not views:
                continue
            persons = list(people)
            overlap = overlaps(np.array([people[p] for p in persons]), np.array([box for _, box in views]))
            for row, column in zip(*linear_sum_assignment(-overlap), strict=True):
                if overlap[row, column] >= min_iou:
                    matched[frame, camera, persons[row]] = views[column][0]
        return matched


@dataclass(frozen=True)
class Score:
    """What the bench prints and the tests assert."""

    people: int
    tracked_everywhere: int  # people matched in at least half of their frames of every camera that sees them
    coverage: float  # share of all boxes matched
    handoffs: int
    kept: int  # alone in the second camera, the person has the id he had alone in the first
    taken: int  # he has an id that is another person's at some time
    taken_over: int  # of these, one that was another's before
    ids: int  # different global ids
    ground_median_m: float


def score(truth: Truth, estimate: Estimate, *, back: int = 30, ahead: int = 15) -> Score:
    """back: frames to look back in the first camera for one where the person is matched; ahead: in the second."""
    matched = estimate.match(truth)
    coverage: dict[tuple[int, str], list[bool]] = {}
    for (frame, camera), people in truth.boxes.items():
        for person in people:
            coverage.setdefault((person, camera), []).append((frame, camera, person) in matched)
    persons = {person for person, _ in coverage}
    everywhere = sum(
        all(np.mean(hits) >= 0.5 for (owner, _), hits in coverage.items() if owner == person) for person in persons
    )
    owners: dict[int, set[int]] = {}
    for (_, _, person), identity in matched.items():
        owners.setdefault(identity, set()).add(person)
    kept = taken = taken_over = 0
    handoffs = truth.handoffs()
    for handoff in handoffs:
        before = _nearest(matched, handoff.person, handoff.first, handoff.last_alone, -1, back)
        after = _nearest(matched, handoff.person, handoff.second, handoff.next_alone, 1, ahead)
        kept += before is not None and before == after
        if after is not None and after != before and owners[after] != {handoff.person}:
            taken += 1
            taken_over += any(
                identity == after and person != handoff.person and frame < handoff.next_alone
                for (frame, _, person), identity in matched.items()
            )
    distances = [
        float(np.linalg.norm(estimate.ground[frame, identity] - truth.ground[frame, person]))
        for (frame, _, person), identity in matched.items()
        if (frame, identity) in estimate.ground
    ]
    return Score(
        people=len(persons),
        tracked_everywhere=everywhere,
        coverage=float(np.mean([hit for hits in coverage.values() for hit in hits])),
        handoffs=len(handoffs),
        kept=kept,
        taken=taken,
        taken_over=taken_over,
        ids=len({identity for views in estimate.views.values() for identity, _ in views}),
        ground_median_m=float(np.median(distances)) if distances else float("nan"),
    )


def ground_rows(truth: Truth, estimate: Estimate) -> tuple[Rows, Rows]:
    """Where people are who are in a picture, and where the program has people, for `ground_scene`."""
    shown = sorted({(frame, person) for (frame, _), people in truth.boxes.items() for person in people})
    return _rows(truth.ground, shown), _rows(estimate.ground, sorted(estimate.ground))


def _rows(places: dict[tuple[int, int], np.ndarray], keys: list[tuple[int, int]]) -> Rows:
    """Places of these frames and ids, ascending."""
    numbers, yes = np.array(keys, np.int64).reshape(-1, 2), np.ones(len(keys), np.bool_)
    return Rows(numbers[:, 0], numbers[:, 1], np.array([places[key] for key in keys]).reshape(-1, 2), yes, ~yes)


def _nearest(
    matched: dict[tuple[int, str, int], int], person: int, camera: str, frame: int, step: int, reach: int
) -> int | None:
    for offset in range(reach):
        if (identity := matched.get((frame + step * offset, camera, person))) is not None:
            return identity
    return None


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes (n, 4) with boxes (m, 4), (n, m)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = np.prod(a[:, 2:] - a[:, :2], axis=1), np.prod(b[:, 2:] - b[:, :2], axis=1)
    return np.asarray(common / (area_a[:, None] + area_b[None] - common))
