"""What people or floor marks seen by several cameras at once say of each camera's calibration and clock.

Each camera's floor is corrected by one affine map (2x2 and a shift), so that the cameras agree among themselves; the
corrections' mean is "no change", because nothing here tells where the floor really is. A box ends at the nearer shoe:
feet of all cameras lie towards the camera, which looks just like a calibration error. The model has it as a number of
its own, held at what the daemon allows for, so that calibrations are not bent to make up for shoes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spoton_edge.calibration.agreement import rms, view_to_mean
from spoton_edge.calibration.fit import homography_of
from spoton_edge.calibration.observations import Sightings
from spoton_edge.calibration.plane import lens_of, projection_of, straight_points
from spoton_edge.config import CameraGround
from spoton_edge.ground_plane import FootModel
from spoton_edge.types import F8

SD_SHAPE = 0.05  # what calibrations of one site stretch and turn by
SD_SHIFT_M = 0.10  # what they are shifted by
SD_FOOT_M = 0.10  # of a foot read off a box, in each direction
SD_MARK_M = 0.02
SAMPLE_S = 0.5  # people's feet within this are off in the same way: no more than one counts
ENOUGH = 30  # things seen by two cameras
STEPS = 12  # of the reweighting


@dataclass(frozen=True, slots=True)
class Refinement:
    """A correction for each camera that had something to say, and what it brings."""

    corrections: dict[str, F8]  # (3, 3) on the floor: metres -> metres
    views: int  # places that went in
    things: int  # people at a moment, or marks
    before_m: float  # view-to-mean rms, with the foot allowance
    after_m: float
    tested_before_m: float | None  # the same on what was not used to fit; None where nothing was left out
    tested_after_m: float | None
    foot_m: float | None  # measured: how far feet lie towards the camera; None for marks
    causes_m: dict[str, float]  # of the disagreement of raw feet: parts whose squares add up to its own

    @property
    def helps(self) -> bool:
        """Whether the cameras agree better on what the correction has not seen."""
        before, after = self.tested_before_m, self.tested_after_m
        return self.after_m < self.before_m and (before is None or after is None or after < before)


def refine(
    sightings: Sightings,
    names: Sequence[str],
    *,
    people: bool,
    fit: np.ndarray | None = None,
    shoe_m: float | None = None,
) -> Refinement:
    """Corrections from sightings. fit: mask of rows to fit on, the rest tests; default: all fit, and nothing tests.

    people: feet of boxes, with shoes and noise of decimetres; otherwise marks. shoe_m: allowance held; default: the
    daemon's. Raises ValueError where too little is seen by two cameras.
    """
    shoe = (FootModel().shoe_m if shoe_m is None else shoe_m) if people else 0.0
    chosen = np.ones(len(sightings), bool) if fit is None else fit
    train, test = _complete(sightings, chosen), _complete(sightings, ~chosen)
    used = thin(train) if people else train
    things = len(np.unique(used.group))
    if things < (ENOUGH if people else 4):
        raise ValueError(
            f"only {things} things are seen by two cameras at once; at least {ENOUGH if people else 4} are needed"
        )
    sd = SD_FOOT_M if people else SD_MARK_M
    solution = _solve(used, len(names), sd, shoe=shoe)
    corrections = {name: solution.maps[i] for i, name in enumerate(names) if (used.camera == i).any()}
    standing = allow_for_shoes(train, shoe)
    tested = allow_for_shoes(test, shoe)
    return Refinement(
        corrections=corrections,
        views=len(used),
        things=things,
        before_m=rms(view_to_mean(standing)),
        after_m=rms(view_to_mean(standing, corrected(standing, solution.maps))),
        tested_before_m=rms(view_to_mean(tested)) if len(test) else None,
        tested_after_m=rms(view_to_mean(tested, corrected(tested, solution.maps))) if len(test) else None,
        foot_m=foot_bias_m(used, len(names), sd) if people else None,
        causes_m=explain(train, len(names), sd) if people else {},
    )


def explain(sightings: Sightings, cameras: int, sd: float = SD_FOOT_M) -> dict[str, float]:
    """The view-to-mean rms of raw feet in parts: what feet explain, what calibrations explain, and the rest."""
    used = thin(sightings)
    foot = foot_bias_m(used, cameras, sd)
    standing = allow_for_shoes(used, foot)
    solution = _solve(used, cameras, sd, shoe=foot)
    raw, feet = rms(view_to_mean(used)), rms(view_to_mean(standing))
    rest = rms(view_to_mean(standing, corrected(standing, solution.maps)))

    def part(a: float, b: float) -> float:
        return float(np.sqrt(max(a**2 - b**2, 0.0)))

    return {"all": raw, "feet": part(raw, feet), "calibration": part(feet, rest), "rest": rest}


def foot_bias_m(sightings: Sightings, cameras: int, sd: float = SD_FOOT_M) -> float:
    """How far feet lie towards the camera, m. One number for all cameras is the simpler cause, and goes first: cameras
    around a room could be moved apart instead, so their corrections are held shorter here."""
    return _solve(sightings, cameras, sd, shoe=None, tighter=0.4).foot_m


def allow_for_shoes(sightings: Sightings, shoe_m: float) -> Sightings:
    """The places moved away from the cameras by half a shoe, as the daemon does it."""
    return replace(sightings, xy=sightings.xy - shoe_m * sightings.towards)


def corrected(sightings: Sightings, maps: F8) -> F8:
    """(n, 2) m, each place by its camera's map (C, 3, 3)."""
    m = maps[sightings.camera]
    return np.asarray(np.einsum("nij,nj->ni", m[:, :2, :2], sightings.xy) + m[:, :2, 2])


def thin(sightings: Sightings) -> Sightings:
    """One moment of every `SAMPLE_S`."""
    if not len(sightings):
        return sightings
    slot = np.floor(sightings.time_s / SAMPLE_S).astype(np.int64)
    first: dict[int, float] = {}
    for s, t in zip(slot.tolist(), sightings.time_s.tolist(), strict=True):
        first[s] = min(first.get(s, np.inf), t)
    return _complete(sightings, sightings.time_s <= np.array([first[s] for s in slot.tolist()]) + 0.5 * SAMPLE_S / 5)


def _complete(sightings: Sightings, rows: np.ndarray) -> Sightings:
    """The rows, less groups of which only one view is left."""
    picked = sightings.pick(rows)
    counts = np.bincount(picked.group, minlength=1)
    return picked.pick(counts[picked.group] > 1)


@dataclass(frozen=True, slots=True)
class _Solution:
    maps: F8  # (C, 3, 3)
    foot_m: float


def _solve(sightings: Sightings, cameras: int, sd: float, *, shoe: float | None, tighter: float = 1.0) -> _Solution:
    """Least squares over the maps, robust against a wrong foot (Cauchy weights), with priors; shoe None: measured too.

    The unknown true places drop out: only the differences of views to their group's mean enter.
    """
    base = sightings.xy if shoe is None else sightings.xy - shoe * sightings.towards
    middle = base.mean(axis=0)
    _, group = np.unique(sightings.group, return_inverse=True)
    n, size = len(base), 6 * cameras + 1
    # place + D (place - middle) + b - s towards, linear in D (2x2), b of each camera and s.
    rows = np.zeros((n, 2, size))
    offset = base - middle
    for i in range(n):
        o = 6 * int(sightings.camera[i])
        rows[i, 0, o : o + 2] = rows[i, 1, o + 2 : o + 4] = offset[i]
        rows[i, 0, o + 4] = rows[i, 1, o + 5] = 1.0
    rows[:, :, -1] = -sightings.towards
    one = np.array([SD_SHAPE] * 4 + [SD_SHIFT_M] * 2) * tighter
    prior_sd = np.array([*np.tile(one, cameras), 0.3 if shoe is None else 1e-6])
    # The corrections of the cameras that are seen cancel out: all together may not move the floor.
    present = np.bincount(sightings.camera, minlength=cameras) > 0
    gauge = np.zeros((6, size))
    for parameter in range(6):
        gauge[parameter, [6 * c + parameter for c in range(cameras) if present[c]]] = 1e4
    known = np.diag(prior_sd**-2) + gauge.T @ gauge
    weight = np.ones(n)
    solution: F8 = np.zeros(size)
    for _ in range(STEPS):
        total = np.bincount(group, weight)[group]
        mean_rows = np.zeros((group.max() + 1, 2, size))
        np.add.at(mean_rows, group, rows * weight[:, None, None])
        mean_base = np.column_stack([np.bincount(group, base[:, a] * weight) for a in range(2)])
        a = (rows - mean_rows[group] / total[:, None, None]) * np.sqrt(weight)[:, None, None] / sd
        y = (base - mean_base[group] / total[:, None]) * np.sqrt(weight)[:, None] / sd
        flat = a.reshape(-1, size)
        solution = np.asarray(np.linalg.solve(flat.T @ flat + known, -flat.T @ y.ravel()))
        error = np.linalg.norm((a @ solution + y) * sd / np.sqrt(weight)[:, None], axis=1)
        weight = 1.0 / (1.0 + (error / (2 * sd)) ** 2)
    maps = np.tile(np.eye(3), (cameras, 1, 1))
    for c in np.flatnonzero(present):
        d, b = solution[6 * c : 6 * c + 4].reshape(2, 2), solution[6 * c + 4 : 6 * c + 6]
        maps[c, :2, :2] += d
        maps[c, :2, 2] = b - d @ middle
    return _Solution(maps, float(solution[-1]) if shoe is None else shoe)


def corrected_ground(ground: CameraGround, correction: F8) -> dict[str, Any]:
    """The camera's section with the floor moved by (3, 3): a homography stays one, what knows heights a projection."""
    out: dict[str, Any] = {}
    projection = projection_of(ground)
    if projection is not None:
        solid = np.eye(4)
        solid[:2, :2], solid[:2, 3] = correction[:2, :2], correction[:2, 2]
        out["projection"] = _numbers(projection @ np.linalg.inv(solid))
    else:
        h = homography_of(straight_points(ground)) if ground.points else np.asarray(ground.homography)
        out["homography"] = _numbers(correction @ h / np.abs(h).max())
    lens = lens_of(ground)
    if lens is not None:
        out["lens"] = {"matrix": _numbers(lens.matrix), "distortion": [float(x) for x in lens.distortion]}
    if ground.image_size is not None:
        out["image_size"] = list(ground.image_size)
    return out


def _numbers(matrix: F8) -> list[list[float]]:
    return [[float(f"{x:.12g}") for x in row] for row in np.asarray(matrix)]
