"""Compares a network in two precisions on the same pictures: the detector's people, the Re-ID network's vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from spoton_edge import config
from spoton_edge.decoding import decoder_of
from spoton_edge.embedder import unit_rows
from spoton_edge.engine import Engine, PictureFormat, Workload
from spoton_edge.engine.backends import Backends
from spoton_edge.engine.host_input import picture_input
from spoton_edge.errors import ModelError
from spoton_edge.graph_surgery import load_graph, save_graph
from spoton_edge.half_precision import to_half
from spoton_edge.manifests import Manifest
from spoton_edge.models import manifest_for
from spoton_edge.networks import Need, detector_need, reid_need
from spoton_edge.types import F4, U8, Bool

MIN_SCORE = 0.1
MAX_PIXELS, MAX_SCORE = 0.5, 0.01  # by which a candidate may differ before suppression
SAME_IOU = 0.9  # overlap of two detections of one person
PLAIN = 0.4  # score of people whose looks are compared
LEAST_CROP = 8  # px
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
            f"{100 * self.candidates_equal:.1f} % of {self.candidates} candidates equal"
            f" (least {100 * LEAST_EQUAL:.0f} %), {100 * self.matched:.1f} % of {self.people} people matched"
            f" (least {100 * LEAST_MATCHED:.0f} %)"
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


def verify(site: config.Site, cache: Path, pictures: Sequence[U8], scratch: Path) -> Iterator[str]:
    """Compare every network of a site with its FP32 self on BGR pictures; a line of figures each.

    FP16 is what the site's GPU runs; without one, the FP16 graph in ONNX Runtime, which shows the rounding of weights
    and activations only. scratch: a folder for those graphs. Raises ModelError with the figures where they are bad.
    """
    backends = Backends(site.runtime.backend, cache)
    detector, reid = detector_need(site, cache), reid_need(site, cache)
    half = half_engine(detector, backends, scratch)
    report = compare_detector(detector.model, half, pictures, detector.work.size, detector.manifest)
    if report.people == 0:
        raise ModelError(f"{detector.model.name} cannot be judged: nobody is to be seen in the pictures")
    yield f"{detector.key}: {half.backend}: {report.summary}"
    yield from (f"  {line}" for line in report.unmatched)
    if not report.good:
        raise ModelError(f"{detector.model.name} is not good enough in FP16: {report.summary}")
    if reid is not None:
        crops = people_in(pictures, detector)
        if not crops:
            raise ModelError(f"{reid.model.name} cannot be judged: nobody is plain to see in the pictures")
        half = half_engine(reid, backends, scratch)
        vectors = compare_embeddings(reid.model, half, crops, reid.manifest)
        yield f"{reid.key}: {half.backend}: {vectors.summary}"
        if not vectors.good:
            raise ModelError(f"{reid.model.name} is not good enough in FP16: {vectors.summary}")


def half_engine(need: Need, backends: Backends, scratch: Path) -> Engine:
    """A network in FP16, on the GPU where there is one."""
    engine = backends.load(need.model, need.work)
    if engine.backend.startswith("tensorrt"):
        return engine
    path = scratch / need.model.name
    save_graph(to_half(load_graph(need.model)), path)
    return Backends("onnxruntime", scratch).load(path, need.work)


def people_in(pictures: Sequence[U8], need: Need) -> list[U8]:
    """The parts of the pictures in which the FP32 detector sees people."""
    detecting = _Detecting(need.model, need.manifest, need.work.size)
    crops = []
    for picture in pictures:
        for x1, y1, x2, y2 in np.rint(detecting.look_at(picture)).astype(int).tolist():
            if x2 - x1 >= LEAST_CROP and y2 - y1 >= LEAST_CROP:
                crops.append(picture[y1:y2, x1:x2])
    return crops


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
        for which, (boxes, scores), (others, _) in (("first", found_a, found_b), ("second", found_b, found_a)):
            alone = ~has_counterpart(boxes, others)
            people, matched = people + len(alone), matched + int(np.count_nonzero(~alone))
            unmatched += [
                f"picture {number}: only the {which} sees {np.round(box).astype(int).tolist()} at {score:.3f}"
                for box, score in zip(boxes[alone], scores[alone], strict=True)
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

    def look_at(self, picture: U8) -> F4:
        """Boxes f4 (n, 4) of people who are plain to see, in pixels of the picture."""
        sx, sy = self._input.letterbox([picture])[0]
        boxes, scores = self._people.decode(self._input.infer(1), 0)
        height, width = picture.shape[:2]
        in_picture = boxes[scores >= PLAIN] / np.array([sx, sy, sx, sy], np.float32)
        return np.clip(in_picture, 0, np.array([width, height] * 2, np.float32))


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
