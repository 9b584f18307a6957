"""Two detectors on one recording: accuracy where there is truth, time, and where they disagree, as pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spoton_edge import models, tables
from spoton_edge.detector import Detector
from spoton_edge.engine import Workload
from spoton_edge.engine.backends import Backends
from spoton_edge.errors import UsageError
from spoton_edge.pictures import draw, recorded, save
from spoton_edge.types import F4, F8, U8, Bool, FrameBatch

SAME_IOU = 0.5  # overlap of a detection with a person, or of two detections of one
SURE = 0.5  # score from which on a detection counts in recall, precision and disagreements
MIN_SCORE = 0.05
COLOURS = ((0, 160, 255), (255, 120, 0))  # BGR: orange for the first, blue for the second


@dataclass(slots=True)
class Side:
    """One model's figures, as they grow."""

    model: str
    backend: str
    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    scores: list[F4] = field(default_factory=list)
    right: list[Bool] = field(default_factory=list)  # which of the scores lie on a person

    def average_precision(self, people: int) -> float:
        """Area under precision over recall, every detection a step (Everingham et al. 2010, all points)."""
        scores, right = np.concatenate(self.scores), np.concatenate(self.right)
        right = right[np.argsort(-scores, kind="stable")]
        hits = np.cumsum(right)
        precision = hits / np.arange(1, len(hits) + 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        return float(best[right].sum() / max(people, 1))

    def at(self, score: float, people: int) -> tuple[float, float]:
        """Recall and precision of the detections from a score on."""
        chosen = np.concatenate(self.right)[np.concatenate(self.scores) >= np.float32(score)]
        return float(chosen.sum() / max(people, 1)), float(chosen.mean()) if len(chosen) else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `models compare` tells."""

    sides: tuple[Side, Side]
    pictures: int
    people: int | None  # in the truth; None: there is none
    agreed: int  # sure detections of either with a counterpart
    alone: tuple[int, int]  # and without
    written: list[Path]


def compare(
    names: tuple[str, str],
    recording: Path,
    cache: Path,
    *,
    out: Path,
    every: int = 1,
    size: tuple[int, int] | None = None,
    backend: str = "auto",
    threads: int = 1,
    shown: int = 12,
) -> Comparison:
    """Run both models over every n-th picture of a recording.

    Truth is `gt/gt.txt` of the recording (MOTChallenge: frame from 1, id, left, top, width, height) where there is one
    video or a folder of pictures. Writes the `shown` pictures on which the models disagree most to `out`, the first
    model's boxes orange, the second's blue. size: width, height of both inputs, default each model's own. Raises
    UsageError, ModelError, EngineError.
    """
    loaded = [_load(name, cache, size, backend, threads) for name in names]
    truth = read_truth(recording)
    sides = (Side(names[0], loaded[0][1]), Side(names[1], loaded[1][1]))
    people, agreed, alone = 0, 0, [0, 0]
    worst: list[tuple[int, int, str, U8, list[tuple[F4, F4]]]] = []
    count = 0
    for source, number, image in recorded(recording, every):
        found = [_look(detector, image, side) for (detector, _), side in zip(loaded, sides, strict=True)]
        if truth is not None:
            here = truth[truth[:, 0] == number + 1, 1:]
            people += len(here)
            for side, (boxes, scores) in zip(sides, found, strict=True):
                side.scores.append(scores)
                side.right.append(on_people(boxes, here))
        sure = [(boxes[scores >= SURE], scores[scores >= SURE]) for boxes, scores in found]
        lone = [int(np.count_nonzero(~on_people(sure[one][0], sure[1 - one][0].astype(float)))) for one in (0, 1)]
        agreed += len(sure[0][0]) + len(sure[1][0]) - sum(lone)
        alone = [total + new for total, new in zip(alone, lone, strict=True)]
        if sum(lone):
            worst.append((-sum(lone), count, f"{source}-{number:06d}", image.copy(), sure))
            worst = sorted(worst, key=lambda entry: entry[:2])[:shown]
        count += 1
    written = []
    for _, _, label, image, sure in worst:
        for (boxes, scores), colour in zip(sure, COLOURS, strict=True):
            draw(image, boxes, colour, [f"{score:.2f}" for score in scores])
        written.append(out / f"{label}.jpg")
        save(image, written[-1])
    return Comparison(sides, count, None if truth is None else people, agreed, (alone[0], alone[1]), written)


def read_truth(recording: Path) -> F8 | None:
    """Rows f8 (N, 5) [frame from 1, x1, y1, x2, y2] of gt/gt.txt, without what it marks as not to be counted; None
    where there is no such file."""
    path = recording / "gt" / "gt.txt"
    if not path.is_file():
        return None
    rows, _ = tables.numbers(path, 6)
    if rows.shape[1] > 6:
        rows = rows[rows[:, 6] != 0]
    return np.column_stack([rows[:, 0], rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])


def on_people(boxes: F4, people: F8) -> Bool:
    """(N,): which boxes, best first, overlap a person whom no better one has taken."""
    right = np.zeros(len(boxes), np.bool_)
    if not len(boxes) or not len(people):
        return right
    low = np.maximum(boxes[:, None, :2], people[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], people[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes, people)]
    overlap = common / (areas[0][:, None] + areas[1][None] - common)
    for row in range(len(boxes)):
        best = int(np.argmax(overlap[row]))
        if overlap[row, best] >= SAME_IOU:
            right[row] = True
            overlap[:, best] = -1.0
    return right


def report(found: Comparison) -> Sequence[str]:
    """The lines of a comparison."""
    lines = [f"{found.pictures} pictures" + ("" if found.people is None else f", {found.people} people in the truth")]
    for side in found.sides:
        cpu, wall = np.median(side.cpu_ms), np.median(side.wall_ms)
        line = f"{side.model}: {wall:.1f} ms, {cpu:.1f} ms CPU a picture ({side.backend})"
        if found.people is not None:
            recall, precision = side.at(SURE, found.people)
            average = side.average_precision(found.people)
            line += (
                f"; AP50 {100 * average:.1f}, recall {100 * recall:.1f} %, precision {100 * precision:.1f} % at {SURE}"
            )
        lines.append(line)
    one, two = found.alone
    lines.append(
        f"{found.agreed} detections agree; {one} only {found.sides[0].model}, {two} only {found.sides[1].model}"
    )
    lines += [f"disagreement: {path}" for path in found.written]
    return lines


def _load(name: str, cache: Path, size: tuple[int, int] | None, backend: str, threads: int) -> tuple[Detector, str]:
    manifest = models.manifest_for(name, "detector")
    assert manifest.input is not None
    wanted = size or manifest.input.size
    if any(side % manifest.input.multiple for side in wanted):
        raise UsageError(f"--input {wanted[0]} {wanted[1]}: {name} wants multiples of {manifest.input.multiple}")
    engine = Backends(backend, cache, threads=threads).load(models.resolve(name, cache), Workload(wanted, 1, 1))
    return Detector(engine, manifest, input_size=wanted, min_score=MIN_SCORE, max_batch=1), engine.backend


def _look(detector: Detector, image: U8, side: Side) -> tuple[F4, F4]:
    numbers = np.zeros(1, np.int64)
    batch = FrameBatch(np.zeros(1, np.int16), numbers, numbers, [image])
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    found = detector.detect(batch)
    side.cpu_ms.append((time.process_time_ns() - cpu) / 1e6)
    side.wall_ms.append((time.perf_counter_ns() - wall) / 1e6)
    return found.xyxy, found.score
