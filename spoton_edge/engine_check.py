"""Compares a network in two precisions on the same pictures: the detector's people, the Re-ID network's vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from spoton_edge.decoding import decoder_of
from spoton_edge.embedder import unit_rows
from spoton_edge.engine import Engine, PictureFormat, Workload
from spoton_edge.engine.backends import Backends
from spoton_edge.engine.host_input import picture_input
from spoton_edge.manifests import Manifest
from spoton_edge.models import manifest_for
from spoton_edge.types import F4, U8, Bool

MIN_SCORE = 0.1
MAX_PIXELS, MAX_SCORE = 0.5, 0.01  # by which a candidate may differ before suppression
SAME_IOU = 0.9  # overlap of two detections of one person
LEAST_EQUAL, LEAST_MATCHED, LEAST_COSINE = 0.99, 0.95, 0.999


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """How far two detectors agree on the same pictures."""

    candidates: int  # before suppression, score >= 0.1 in either
    candidates_equal: float  # share within 0.5 px and 0.01 of score
    people: int  # after suppression, in either
    matched: float  # share with a counterpart
    unmatched: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the second may stand in for the first."""
        return self.candidates_equal >= LEAST_EQUAL and self.matched >= LEAST_MATCHED

    @property
    def summary(self) -> str:
        """One line of figures."""
        return (
            f"{100 * self.candidates_equal:.1f} % of {self.candidates} candidates equal (least {100 * LEAST_EQUAL:.0f} %),"
            f" {100 * self.matched:.1f} % of {self.people} people matched (least {100 * LEAST_MATCHED:.0f} %)"
        )


@dataclass(frozen=True, slots=True)
class EmbeddingReport:
    """How far two Re-ID networks agree on the same crops."""

    crops: int
    least_cosine: float

    @property
    def good(self) -> bool:
        """Whether the second may stand in for the first."""
        return self.least_cosine > LEAST_COSINE

    @property
    def summary(self) -> str:
        """One line of figures."""
        return f"least cosine of {self.crops} crops {self.least_cosine:.5f} (least {LEAST_COSINE})"


def compare_detector(
    one: Path | Engine,
    two: Path | Engine,
    pictures: Sequence[U8],
    size: tuple[int, int],
    manifest: Manifest | None = None,
) -> DetectorReport:
    """Run two detectors of one manifest, engines or ONNX files (which ONNX Runtime runs), over BGR pictures; size:
    width, height of the input; manifest: default: the one that fits `one`."""
    known = manifest or manifest_for(one if isinstance(one, Path) else "", "detector")
    sides = [_Detecting(each, known, size) for each in (one, two)]
    equal = candidates = people = matched = 0
    unmatched: list[str] = []
    for number, picture in enumerate(pictures):
        (raw_a, found_a), (raw_b, found_b) = (side.look(picture) for side in sides)
        for here, there in ((raw_a, raw_b), (raw_b, raw_a)):
            judged = here[here[:, 4] >= MIN_SCORE]
            candidates += len(judged)
            equal += int(np.count_nonzero(has_equal(judged, there)))
        for which, here, there in (("first", found_a, found_b), ("second", found_b, found_a)):
            alone = ~has_counterpart(here[0], there[0])
            people, matched = people + len(alone), matched + int(np.count_nonzero(~alone))
            unmatched += [
                f"picture {number}: only the {which} sees {np.round(box).astype(int).tolist()} at {score:.3f}"
                for box, score in zip(here[0][alone], here[1][alone], strict=True)
            ]
    return DetectorReport(candidates, equal / max(candidates, 1), people, matched / max(people, 1), unmatched)


def compare_embeddings(
    one: Path | Engine, two: Path | Engine, crops: Sequence[U8], manifest: Manifest | None = None
) -> EmbeddingReport:
    """Run two Re-ID networks of one manifest over BGR pictures of people."""
    known = manifest or manifest_for(one if isinstance(one, Path) else "", "reid")
    assert known.input is not None
    vectors = []
    for each in (one, two):
        engine = _engine(each, Workload(known.input.size, 1, 1))
        source = picture_input(engine, known.input.size, _form(known), 1)
        rows = []
        for image in crops:
            whole = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
            source.crop([image], 0, whole, 0)
            rows.append(source.infer(1)[0][0].copy())
        vectors.append(unit_rows(np.stack(rows)))
    return EmbeddingReport(len(crops), float((vectors[0] * vectors[1]).sum(axis=1).min(initial=1.0)))


class _Detecting:
    """One detector, decoded twice: as it is used, and without suppression."""

    def __init__(self, network: Path | Engine, manifest: Manifest, size: tuple[int, int]) -> None:
        engine = _engine(network, Workload(size, 1, 1))
        names = [output.name for output in engine.outputs]
        assert manifest.detector is not None
        all_rows = replace(manifest, detector=replace(manifest.detector, nms_iou=1.0))
        self._input = picture_input(engine, size, _form(manifest), 1)
        self._people = decoder_of(manifest, names, size, MIN_SCORE)
        # A little below the score that is judged, so that what lies just above in one is found in the other.
        self._rows = decoder_of(all_rows, names, size, MIN_SCORE - MAX_SCORE)

    def look(self, picture: U8) -> tuple[F4, tuple[F4, F4]]:
        """Rows f4 (n, 5) of box and score before suppression, and the people after it, in network pixels."""
        self._input.letterbox([picture])
        outputs = self._input.infer(1)
        boxes, scores = self._rows.decode(outputs, 0)
        return np.column_stack([boxes, scores]), self._people.decode(outputs, 0)


def has_equal(here: F4, there: F4) -> Bool:
    """(n,): which rows of box and score have one in `there` that differs by rounding only."""
    if not len(here) or not len(there):
        return np.zeros(len(here), np.bool_)
    apart = np.abs(here[:, None] - there[None])
    return np.asarray(((apart[..., :4] <= MAX_PIXELS).all(axis=2) & (apart[..., 4] <= MAX_SCORE)).any(axis=1))


def has_counterpart(here: F4, there: F4) -> Bool:
    """(n,): which boxes overlap one in `there` so far that they show one person."""
    if not len(here) or not len(there):
        return np.zeros(len(here), np.bool_)
    low, high = np.maximum(here[:, None, :2], there[None, :, :2]), np.minimum(here[:, None, 2:], there[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (here, there)]
    return np.asarray((common / (areas[0][:, None] + areas[1][None] - common) >= SAME_IOU).any(axis=1))


def _engine(network: Path | Engine, work: Workload) -> Engine:
    if isinstance(network, Path):
        return Backends("onnxruntime", network.parent).load(network, work)
    return network


def _form(manifest: Manifest) -> PictureFormat:
    spec = manifest.input
    assert spec is not None
    return PictureFormat(spec.mean, spec.std, spec.colour, spec.fit == "letterbox", float(spec.pad))
