"""How far cameras that see the same floor disagree about it: by their views, by floor marks, by people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from spoton_edge.calibration.fit import DOWN
from spoton_edge.calibration.observations import Sightings
from spoton_edge.calibration.verdict import Grade
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.types import F8, Bool

REACH_M_PER_PX = 0.10  # a pixel that is longer on the floor is too far away to be calibrated
GOOD_PAIR_M, WORST_PAIR_M = 0.35, 1.0  # the gate between two cameras is about a metre
CELL_M = 0.25
LARGEST_CELLS = 10_000


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """Two cameras that see common floor. rms_m: of the distance between their places; None: nothing was measured."""

    cameras: tuple[str, str]
    grade: Grade
    shared_m2: float
    count: int = 0
    rms_m: float | None = None
    median_m: float | None = None
    worst_m: float | None = None
    reason: str = ""


def footprint(plane: GroundPlane, columns: int = 48, reach: float = REACH_M_PER_PX) -> F8:
    """(k, 2) m, the floor that a camera sees well: as far as a pixel is no longer than `reach` m; (0, 2) for none."""
    width, height = plane.image_size
    rows = 360
    u, v = np.meshgrid(np.linspace(0, width - 1, columns), np.linspace(height - 1, 0, rows), indexing="ij")
    pixels = np.column_stack([u.ravel(), v.ravel()])
    xy = plane.to_ground(pixels)
    step = np.linalg.norm(plane.to_ground(pixels - DOWN) - xy, axis=1)
    with np.errstate(invalid="ignore"):
        fine = (np.isfinite(xy).all(axis=1) & (step <= reach)).reshape(columns, rows)
    far = np.where(fine.all(axis=1), rows, np.argmin(fine, axis=1)) - 1  # of each column, seen from below
    seen = np.flatnonzero(far >= 0)
    if len(seen) < 2:
        return np.zeros((0, 2))
    places = xy.reshape(columns, rows, 2)
    return np.concatenate([places[seen, 0], places[seen, far[seen]][::-1]])


def sees(plane: GroundPlane, xy: F8, reach: float = REACH_M_PER_PX, margin_px: float = 0.0) -> Bool:
    """(n,) whether the camera sees places (n, 2) m well, in its picture or up to a margin beside it."""
    uv = plane.to_image(xy)
    beyond = np.asarray(plane.image_size) + margin_px
    inside: Bool = np.all(np.isfinite(uv) & (uv >= -margin_px) & (uv < beyond), axis=1)
    step = np.linalg.norm(plane.to_ground(np.where(inside[:, None], uv - DOWN, np.nan)) - xy, axis=1)
    return np.asarray(inside & (step <= reach))


def shared_floor_m2(a: GroundPlane, b: GroundPlane, feet: tuple[F8, F8] | None = None) -> float:
    """Floor that both cameras see well, square metres. feet: their footprints, where they are known already."""
    first, second = feet or (footprint(a), footprint(b))
    if not len(first) or not len(second):
        return 0.0
    low = np.asarray(np.maximum(first.min(axis=0), second.min(axis=0)))
    high = np.asarray(np.minimum(first.max(axis=0), second.max(axis=0)))
    if np.count_nonzero(high <= low):
        return 0.0
    cell = max(CELL_M, float(np.sqrt(np.prod(high - low) / LARGEST_CELLS)))
    x, y = np.meshgrid(*(np.arange(low[i] + cell / 2, high[i], cell) for i in range(2)))
    cells = np.column_stack([x.ravel(), y.ravel()])
    return float(np.count_nonzero(sees(a, cells) & sees(b, cells)) * cell**2)


def judge_pairs(planes: Mapping[str, GroundPlane | None], sightings: Sightings | None = None) -> list[PairVerdict]:
    """A verdict for every two cameras that share a square metre of floor or were seen to place the same thing."""
    names = list(planes)
    feet = {name: footprint(plane) for name, plane in planes.items() if plane is not None}
    pairs = []
    for a, b in combinations(range(len(names)), 2):
        first, second = planes[names[a]], planes[names[b]]
        if first is None or second is None:
            continue
        shared = shared_floor_m2(first, second, (feet[names[a]], feet[names[b]]))
        apart = np.zeros(0) if sightings is None else distances(sightings, a, b)
        if shared < 1.0 and not len(apart):
            continue
        if len(apart) < 3:
            reason = "nothing seen by both: measure with --marks or --detections"
            pairs.append(PairVerdict((names[a], names[b]), "usable", shared, len(apart), reason=reason))
            continue
        rms, median = float(np.sqrt(np.mean(apart**2))), float(np.median(apart))
        grade: Grade = "good" if median <= GOOD_PAIR_M else "usable" if median <= WORST_PAIR_M else "refuse"
        remedy = "one of them is wrong" if grade == "refuse" else "`calibrate refine` may bring them together"
        reason = "" if grade == "good" else f"they put the same thing {median:.2f} m apart: {remedy}"
        pairs.append(
            PairVerdict((names[a], names[b]), grade, shared, len(apart), rms, median, float(apart.max()), reason)
        )
    return pairs


def distances(sightings: Sightings, a: int, b: int) -> F8:
    """(k,) m between the places that cameras a and b give the same things."""
    of_a, of_b = (
        {int(g): xy for g, xy in zip(sightings.group[rows], sightings.xy[rows], strict=True)}
        for rows in (sightings.camera == a, sightings.camera == b)
    )
    return np.array([float(np.linalg.norm(xy - of_b[g])) for g, xy in of_a.items() if g in of_b])


def view_to_mean(sightings: Sightings, xy: F8 | None = None) -> F8:
    """(n, 2) m: each view's place less the mean of all views of the same thing."""
    places = sightings.xy if xy is None else xy
    _, group = np.unique(sightings.group, return_inverse=True)
    count = np.bincount(group)
    mean = np.column_stack([np.bincount(group, places[:, i]) / count for i in (0, 1)])
    return np.asarray(places - mean[group])


def rms(errors: F8) -> float:
    """Root of the mean squared length of (n, 2) vectors; NaN for none."""
    return float(np.sqrt(np.mean(np.sum(errors**2, axis=1)))) if len(errors) else float("nan")
