"""Whether the points that a camera is calibrated by agree, and lie where they tell something."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spoton_edge import config
from spoton_edge.calibration.fit import Fit
from spoton_edge.calibration.verdict import CameraVerdict, Grade

GOOD_RMS_M, WORST_RMS_M = 0.15, 0.50
GOOD_LEFT_OUT_M, WORST_LEFT_OUT_M = 0.30, 1.0  # of the point that the others place worst
WORST_SD_M = 0.50  # within the hull of the points
NARROW_SHARE, NARROW_M = 0.08, 0.5  # spread of the points across their line


def judge_points(verdict: CameraVerdict, fit: Fit, ground: config.CameraGround, size: tuple[int, int]) -> CameraVerdict:
    given = np.asarray(ground.points, np.float64)
    beyond = np.flatnonzero(((given[:, :2] < -1) | (given[:, :2] > np.array(size) + 1)).any(axis=1))
    if len(beyond):
        i = int(beyond[0])
        text = f"point {i + 1}, [{given[i, 0]:g}, {given[i, 1]:g}], lies outside of the picture, {list(size)}"
        upright = given[:, 1::-1] if len(beyond) > 1 else given[beyond, 1::-1]
        swapped = bool(((upright >= -1) & (upright <= np.array(size) + 1)).all())
        remedy = "u and v are swapped" if swapped else "wrong image size: it was read on a larger one"
        verdict = verdict.with_reason("refuse", f"{text}; {remedy}")
    plane = verdict.plane
    assert plane is not None
    if len(fit.points) == 4:
        w = np.column_stack([fit.points[:, :2], np.ones(4)]) @ fit.homography[2]
        if not (np.all(w > 0) or np.all(w < 0)):
            odd = np.flatnonzero(np.sign(w) != np.sign(np.median(w))) if np.median(w) != 0 else np.arange(4)
            text = "two points are exchanged, or one is wrong: the horizon would run between them"
            return verdict.with_reason("refuse", f"{_rows(list(odd))} above the horizon; {text}")
    if fit.ambiguous:
        text = f"{_rows(fit.outliers)} off by up to {fit.residual_m.max():.2f} m" if fit.outliers else "all disagree"
        return verdict.with_reason(
            "refuse", f"the points contradict each other ({text}), and they are too few to tell which: add some"
        )
    for i in fit.outliers:
        verdict = verdict.with_reason("refuse", _outlier(fit, i))
    figures = verdict.figures
    across = fit.points[fit.inlier, 2:] - fit.points[fit.inlier, 2:].mean(axis=0)
    length, width = np.linalg.svd(across, compute_uv=False) / np.sqrt(len(across))
    if width < min(NARROW_SHARE * length, NARROW_M):
        verdict = verdict.with_reason(
            "refuse",
            f"the points lie nearly on one line, {2 * width:.2f} m wide: beside it places are guesses; add some there",
        )
    elif figures.sd_m is not None and not figures.sd_m < WORST_SD_M:
        verdict = verdict.with_reason(
            "refuse",
            f"the points are too few or too close together: among them places are known to "
            f"{figures.sd_m:.1f} m only; add points beside it",
        )
    if figures.rms_m is None:
        return verdict.with_reason("usable", "four points fit always, so nothing tells how good they are: add some")
    left_out = figures.left_out_m or 0.0
    if figures.rms_m > WORST_RMS_M or left_out > 2 * WORST_LEFT_OUT_M:
        grade: Grade = "refuse"
    elif figures.rms_m > GOOD_RMS_M or left_out > GOOD_LEFT_OUT_M:
        grade = "usable"
    else:
        return verdict
    worst = int(np.nanargmax(np.where(fit.inlier, fit.leave_one_out_m, np.nan))) if left_out else 0
    return verdict.with_reason(
        grade,
        f"the points disagree by {figures.rms_m:.2f} m rms; "
        f"without point {worst + 1} the others put it {left_out:.2f} m away",
    )


def _outlier(fit: Fit, i: int) -> str:
    u, v, x, y = fit.points[i]
    at = fit.placed[i]
    text = (
        f"point {i + 1}, [{u:g}, {v:g}, {x:g}, {y:g}], is {fit.residual_m[i]:.2f} m from where the others put it, "
        f"({at[0]:.2f}, {at[1]:.2f})"
    )
    near = max(0.15, 0.1 * float(fit.residual_m[i]))
    for what, place in (("its x and y are swapped", (y, x)), ("its x has the wrong sign", (-x, y)),
                        ("its y has the wrong sign", (x, -y))):  # fmt: skip
        if np.hypot(*(np.array(place) - at)) < near and (x, y) != place:
            return f"{text}: {what}"
    return f"{text}: correct or remove it"


def _rows(indices: Sequence[int]) -> str:
    names = ", ".join(str(int(i) + 1) for i in indices)
    return f"points {names} lie" if len(indices) > 1 else f"point {names} lies"
