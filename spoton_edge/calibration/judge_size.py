"""Whether a calibration was made for a picture of this size: a lens's axis goes through the middle of its picture."""

from __future__ import annotations

import numpy as np

from spoton_edge import config
from spoton_edge.calibration.verdict import CameraVerdict, Grade
from spoton_edge.types import F8

AXIS_SHARE, WORST_AXIS_SHARE = 0.08, 0.15  # of the diagonal: the lens's axis from the picture's middle
NOT_SQUARE = 1.25  # focal lengths' ratio: sensors have square pixels, scaled pictures nearly so


def judge_size(verdict: CameraVerdict, ground: config.CameraGround, size: tuple[int, int]) -> CameraVerdict:
    """A lens's axis goes through the middle of its picture: where it does not, the size or the crop is another."""
    diagonal = float(np.hypot(*size))
    middle = np.array(size) / 2
    if ground.camera is not None or ground.lens is not None:
        matrix = np.asarray((ground.camera or ground.lens).matrix)  # type: ignore[union-attr]
        axis = matrix[:2, 2]
    elif ground.projection is not None:
        axis, wider = _inner(np.asarray(ground.projection))
        if not 1 / NOT_SQUARE < wider < NOT_SQUARE:
            text = f"its pixels would be {1 / wider:.2g} times as wide as they are high"
            remedy = "are its heights (third column) and its floor in the same unit?"
            verdict = verdict.with_reason("refuse", f"{text}; {remedy}")
    else:
        return _other_size(verdict, size)
    share = float(np.linalg.norm(axis - middle)) / diagonal
    if share > AXIS_SHARE:
        grade: Grade = "refuse" if share > WORST_AXIS_SHARE else "usable"
        likely = [round(2 * float(c)) for c in axis]
        return verdict.with_reason(
            grade,
            f"wrong image size: the lens's axis is at [{axis[0]:.0f}, {axis[1]:.0f}], the middle of a picture of about "
            f"{likely}, not of {list(size)}; write the size it was made for, or set `crop`",
        )
    return verdict


def _inner(projection: F8) -> tuple[F8, float]:
    """(2,) px where the lens's axis is, and the focal length across over the one down, from K K^T = M M^T up to scale
    (Hartley and Zisserman, 6.2.4)."""
    m = projection[:, :3]
    kkt = m @ m.T / (m[2] @ m[2])
    x, y = kkt[:2, 2]
    down = np.sqrt(max(kkt[1, 1] - y * y, 1e-12))
    skew = (kkt[0, 1] - x * y) / down
    return np.array([x, y]), float(np.sqrt(max(kkt[0, 0] - x * x - skew * skew, 1e-12)) / down)


def _other_size(verdict: CameraVerdict, size: tuple[int, int]) -> CameraVerdict:
    """A homography alone: square and equal floor axes fix the focal length twice, if the axis is in the middle."""
    plane, fit = verdict.plane, verdict.fit
    assert plane is not None
    if verdict.grade == "refuse" or (fit is not None and (len(fit.points) < 6 or fit.outliers)):
        return verdict  # four points' errors say more than the lens does
    h = plane.homography @ np.diag([*np.divide(plane.image_size, size), 1.0])
    own = _axis_error(h, size)
    scales = (1 / 3, 0.5, 2 / 3, 0.75, 4 / 3, 1.5, 2.0, 3.0)
    others = {s: _axis_error(h, (size[0] * s, size[1] * s)) for s in scales}
    best = min(others, key=lambda s: others[s])
    if own > 0.25 and others[best] < 0.03:
        likely = [round(side * best) for side in size]
        return verdict.with_reason(
            "refuse", f"wrong image size: it fits a camera of {likely} pixels, not of {list(size)}; write that size"
        )
    return verdict


def _axis_error(h: F8, size: tuple[float, float]) -> float:
    """How much the two conditions on the focal length contradict each other, 0 to 1; 1 where it is impossible."""
    floor = np.linalg.inv(h)
    diagonal = float(np.hypot(*size))
    centred = np.array([[1, 0, -size[0] / 2], [0, 1, -size[1] / 2], [0, 0, diagonal]]) / diagonal
    a, b = (centred @ floor)[:, 0], (centred @ floor)[:, 1]
    left = np.array([a[:2] @ b[:2], 0.5 * (a[:2] @ a[:2] - b[:2] @ b[:2])])
    right = -np.array([a[2] * b[2], 0.5 * (a[2] ** 2 - b[2] ** 2)])
    if np.linalg.norm(left) == 0 or np.linalg.norm(right) == 0:
        return 1.0
    inverse_f2 = float(left @ right / (left @ left))
    if not 0.04 < inverse_f2 < 25:
        return 1.0
    return min(1.0, float(np.linalg.norm(left * inverse_f2 - right) / np.linalg.norm(right)))
