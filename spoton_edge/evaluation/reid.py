"""How well a Re-ID model tells the people of a folder apart, so that an operator can choose one on his own people.

Rank-1 and mAP as in Market-1501 (Zheng et al., ICCV 2015): each crop is searched for among all others, those of the
same person in the same camera left out where cameras are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spoton_edge import models
from spoton_edge.embedder import Appearance, ReidNetwork, StripeHistogram
from spoton_edge.engine import Workload
from spoton_edge.engine.backends import Backends
from spoton_edge.evaluation.crops import Crops
from spoton_edge.types import F4, F8, I8, Bool

HISTOGRAM = "histogram"  # the name of what runs where no model is configured
BATCH = 32
BINS = np.linspace(-1, 1, 81)


@dataclass(frozen=True, slots=True)
class ReidScore:
    """Figures of one model on one folder; the first four of the cosines are a manifest's `[embedding]`."""

    model: str
    crops: int
    people: int
    cameras: int  # 0: not known
    queries: int  # crops of people of whom there is another that counts
    rank1: float
    mean_average_precision: float
    same_mean: float
    same_std: float
    different_mean: float
    different_std: float
    equal_error: float  # cosine at which as many pairs of one person are missed as pairs of two are confused
    equal_error_rate: float
    threshold: float  # cosine at which the mean of both errors is least
    threshold_error: float
    same_histogram: list[int]  # of the cosines, in 80 equal bins from -1 to 1
    different_histogram: list[int]


def describe(crops: Crops, appearance: Appearance) -> F4:
    """Unit vectors (N, D) of all crops."""
    rows = []
    for start in range(0, len(crops.paths), BATCH):
        images = [crops.read(row) for row in range(start, min(start + BATCH, len(crops.paths)))]
        boxes = [np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32) for image in images]
        rows.append(appearance.describe(images, boxes))
    return np.concatenate(rows)


def load(model: str, cache: Path) -> Appearance:
    """A Re-ID model by name or path; "histogram" is the colour histograms that need none."""
    if model == HISTOGRAM:
        return StripeHistogram()
    spec = models.manifest_for(model, "reid").input
    assert spec is not None
    return ReidNetwork(
        Backends("auto", cache).load(models.resolve(model, cache), Workload(spec.size, BATCH, BATCH)),
        input_size=spec.size,
        mean=spec.mean,
        std=spec.std,
        colour=spec.colour,
        crops_per_batch=BATCH,
    )


def score(model: str, vectors: F4, person: I8, camera: I8 | None) -> ReidScore:
    """Figures of unit vectors (N, D) of crops of person (N,) in camera (N,)."""
    ranks, precisions = [], []
    same: list[F4] = []
    different: list[F4] = []
    for row, cosine, is_same, counts in _searches(vectors, person, camera):
        later = np.arange(len(person)) > row  # a pair counts once
        same.append(cosine[is_same & counts & later])
        different.append(cosine[~is_same & counts & later])
        if not (is_same & counts).any():
            continue
        hit = is_same[counts][np.argsort(-cosine[counts], kind="stable")]
        ranks.append(bool(hit[0]))
        places = np.flatnonzero(hit) + 1
        precisions.append(float(np.mean(np.arange(1, len(places) + 1) / places)))
    one, two = np.sort(np.concatenate(same)), np.sort(np.concatenate(different))
    levels = np.linspace(-1, 1, 4001)
    missed = np.searchsorted(one, levels) / max(len(one), 1)
    confused = 1 - np.searchsorted(two, levels) / max(len(two), 1)
    equal, best = _least(np.abs(missed - confused)), _least(missed + confused)
    return ReidScore(
        model=model,
        crops=len(person),
        people=len(np.unique(person)),
        cameras=0 if camera is None else len(np.unique(camera)),
        queries=len(ranks),
        rank1=float(np.mean(ranks)) if ranks else 0.0,
        mean_average_precision=float(np.mean(precisions)) if precisions else 0.0,
        **_spread("same", one),
        **_spread("different", two),
        equal_error=float(levels[equal]),
        equal_error_rate=float(missed[equal] + confused[equal]) / 2,
        threshold=float(levels[best]),
        threshold_error=float(missed[best] + confused[best]) / 2,
        same_histogram=np.histogram(one, BINS)[0].tolist(),
        different_histogram=np.histogram(two, BINS)[0].tolist(),
    )


def table(scores: list[ReidScore]) -> str:
    """One line a model."""
    width = max(len(figures.model) for figures in scores)
    lines = [f"{'':{width}}  rank-1   mAP   same          different     best threshold   wrong there"]
    lines += [
        f"{figures.model:{width}}  {100 * figures.rank1:5.1f} {100 * figures.mean_average_precision:6.1f}   "
        f"{figures.same_mean:.2f} +- {figures.same_std:.2f}  {figures.different_mean:.2f} +- "
        f"{figures.different_std:.2f}  {figures.threshold:14.2f} {100 * figures.threshold_error:11.1f} %"
        for figures in scores
    ]
    return "\n".join(lines)


def draw(path: Path, scores: list[ReidScore]) -> None:
    """Write a PNG of the histograms of cosines, a panel a model."""
    figure = Figure(figsize=(9, 2.6 * len(scores) + 0.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    with mpl.rc_context({"font.size": 8}):
        for axes, figures in zip(figure.subplots(len(scores), 1, squeeze=False)[:, 0], scores, strict=True):
            for counts, colour, name in (
                (figures.different_histogram, "#c0392b", "two people"),
                (figures.same_histogram, "#2a78b8", "one person"),
            ):
                axes.stairs(
                    np.array(counts) / max(sum(counts), 1), BINS, fill=True, alpha=0.55, color=colour, label=name
                )
            axes.axvline(figures.threshold, color="#20242b", linewidth=1)
            axes.set_title(
                f"{figures.model}   rank-1 {100 * figures.rank1:.1f}, mAP {100 * figures.mean_average_precision:.1f}, "
                f"best threshold {figures.threshold:.2f}: {100 * figures.threshold_error:.1f} % wrong",
                loc="left", fontsize=9,
            )  # fmt: skip
            axes.legend(frameon=False)
            axes.set_xlabel("cosine of two crops")
            axes.set_yticks([])
    figure.savefig(path)


def _searches(vectors: F4, person: I8, camera: I8 | None) -> Iterator[tuple[int, F4, Bool, Bool]]:
    """Each crop with its cosines (N,) to all, which show the same person, and which count."""
    for row in range(len(person)):
        is_same = person == person[row]
        counts = np.ones(len(person), np.bool_)
        if camera is not None:
            counts = ~(is_same & (camera == camera[row]))
        counts[row] = False
        yield row, vectors @ vectors[row], is_same, counts


def _least(errors: F8) -> int:
    """Where the least is; of several such places the middle one, which is farthest from harm."""
    places = np.flatnonzero(errors <= errors.min() + 1e-12)
    return int(places[len(places) // 2])


def _spread(name: str, cosines: F4) -> dict[str, Any]:
    known = len(cosines) > 0
    return {
        f"{name}_mean": float(cosines.mean()) if known else 0.0,
        f"{name}_std": float(cosines.std()) if known else 0.0,
    }
