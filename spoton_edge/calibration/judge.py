"""Whether a camera's calibration can be trusted: good, usable or refuse, with the figures and the reason.

Only numbers of the calibration itself are judged here, and NumPy is all it takes: the daemon asks this at its start and
leaves a refused camera out. What people or floor marks seen by several cameras add is in `agreement`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

from spoton_edge import config
from spoton_edge.calibration.faults import calibration_fault
from spoton_edge.calibration.fit import DOWN, RIGHT, Fit, fit_homography
from spoton_edge.calibration.plane import PlaneError, ground_plane, straight_points
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.types import F8

Grade: TypeAlias = Literal["good", "usable", "refuse"]
GRADES: tuple[Grade, ...] = ("good", "usable", "refuse")

GOOD_RMS_M, WORST_RMS_M = 0.15, 0.50
GOOD_LEFT_OUT_M, WORST_LEFT_OUT_M = 0.30, 1.0  # of the point that the others place worst
WORST_SD_M = 0.50  # within the hull of the points
NARROW_SHARE, NARROW_M = 0.08, 0.5  # spread of the points across their line
CAMERA_HEIGHT_M = (1.2, 40.0)
IMPOSSIBLE_HEIGHT_M = (0.3, 200.0)
AXIS_SHARE, WORST_AXIS_SHARE = 0.08, 0.15  # of the diagonal: the lens's axis from the picture's middle
NOT_SQUARE = 1.25  # focal lengths' ratio: sensors have square pixels, scaled pictures nearly so
PERSON_M = (1.50, 1.95)
IMPOSSIBLE_PERSON_M = (1.25, 2.30)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a verdict rests on; None where the calibration does not tell."""

    rms_m: float | None = None  # of the points
    left_out_m: float | None = None  # the largest leave-one-out error
    sd_m: float | None = None  # the largest within the points' hull, from the points' errors
    conditioning: float | None = None
    hull_share: float | None = None  # of the picture's part below the horizon
    metres_per_pixel: float | None = None  # at the middle of the picture's floor
    horizon_v: float | None = None  # px, in the middle column; negative: above the picture
    camera_height_m: float | None = None
    person_height_m: float | None = None  # median of the people seen


@dataclass(frozen=True, slots=True)
class CameraVerdict:
    """One camera's calibration, judged. `reasons` say what is wrong and how to mend it; empty for good ones."""

    camera: str
    grade: Grade
    reasons: tuple[str, ...] = ()
    figures: Figures = field(default_factory=Figures)
    plane: GroundPlane | None = None
    fit: Fit | None = None
    calibrated: bool = True

    def with_reason(self, grade: Grade, reason: str) -> CameraVerdict:
        """The same with a reason more, and the worse of both grades."""
        return replace(self, grade=worse(self.grade, grade), reasons=(*self.reasons, reason))


def worse(*grades: Grade) -> Grade:
    """The worst of grades."""
    return max(grades, key=GRADES.index)


def judge_site(site: config.Site, pictures: Mapping[str, tuple[int, int]] | None = None) -> list[CameraVerdict]:
    """A verdict for each camera. `pictures`: width, height of what the cameras send (after `crop`), where known."""
    verdicts = []
    for camera in site.cameras:
        picture = (pictures or {}).get(camera.name) or crop_size(camera)
        if camera.ground is None:
            verdicts.append(CameraVerdict(camera.name, "usable", ("has no calibration",), calibrated=False))
        else:
            verdicts.append(
                judge_camera(camera.name, camera.ground, picture, camera.region, cropped=camera.crop is not None)
            )
    return judge_handedness(verdicts, site)


def refusals(site: config.Site) -> dict[str, str]:
    """Which cameras the daemon would run without places, and why, as far as it can be said without their pictures."""
    refused = {}
    for camera, verdict in zip(site.cameras, judge_site(site), strict=True):
        if verdict.grade != "refuse" or camera.ground is None:
            continue
        if camera.ground.image_size or crop_size(camera) or calibration_fault(camera.ground):
            why = "; ".join(verdict.reasons)
            refused[camera.name] = f"calibration refused: {why} (the daemon runs {camera.name} without places)"
    return refused


def crop_size(camera: config.Camera) -> tuple[int, int] | None:
    """Width and height of a camera's crop."""
    return None if camera.crop is None else (camera.crop[2] - camera.crop[0], camera.crop[3] - camera.crop[1])


def judge_camera(
    name: str,
    ground: config.CameraGround,
    picture: tuple[int, int] | None = None,
    region: Sequence[Sequence[float]] | None = None,
    *,
    cropped: bool = False,
) -> CameraVerdict:
    """One camera by itself. cropped: the picture is part of what the lens shows, and its axis may lie anywhere."""
    fault = calibration_fault(ground)
    if fault is not None:
        return CameraVerdict(name, "refuse", (fault,))
    size = ground.image_size or picture
    try:
        plane = ground_plane(ground, picture, region)
        fit = None if ground.points is None else fit_homography(straight_points(ground))
        if fit is not None and fit.outliers and not fit.ambiguous and ground.points is not None:
            # It is refused for them, but shown without: so that they, and not their neighbours, stand out.
            agreed = tuple(p for p, good in zip(ground.points, fit.inlier, strict=True) if good)
            plane = ground_plane(ground.model_copy(update={"points": agreed}), picture, region)
    except (PlaneError, ValueError) as error:
        return CameraVerdict(name, "refuse", (str(error),))
    verdict = CameraVerdict(name, "good", plane=plane, fit=fit, figures=_figures(plane, fit))
    assert size is not None  # otherwise there would be no plane
    judged = [_horizon, _perspective, _height]
    if fit is not None:
        verdict = _points(verdict, fit, ground, size)
    for judge in judged:
        verdict = judge(verdict)
    return verdict if cropped else _axis(verdict, ground, size)


def judge_handedness(verdicts: Sequence[CameraVerdict], site: config.Site) -> list[CameraVerdict]:
    """Refuses mirrored cameras: the floor seen from above turns one way, and `ground.axes` says which.

    Where all of two or more cameras turn the other way, the floor plan is one with y down: usable, and said.
    """
    turning = {v.camera: turn(v.plane) for v in verdicts if v.plane is not None}
    expected = -1 if site.ground.axes == "y_up" else 1
    wrong = {name for name, sign in turning.items() if sign != expected}
    other = "y_down" if site.ground.axes == "y_up" else "y_up"
    out = []
    for verdict in verdicts:
        if verdict.camera not in wrong:
            out.append(verdict)
        elif len(wrong) == len(turning) > 1:
            text = f"y grows the other way than ground.axes says, as in all cameras: write ground.axes: {other}"
            out.append(verdict.with_reason("usable", text))
        else:
            out.append(verdict.with_reason("refuse", _how_mirrored(verdict, verdicts, other)))
    return out


def turn(plane: GroundPlane) -> int:
    """-1 where the floor's y grows to the left of x seen from above (y_up), 1 where it is mirrored (y_down)."""
    # The Jacobian's determinant is det H / w^3, and w is positive wherever floor is seen.
    return int(np.sign(np.linalg.det(plane.homography)))


def _how_mirrored(verdict: CameraVerdict, verdicts: Sequence[CameraVerdict], other: str) -> str:
    """Which mistake mirrored it: told by floor marks that its points share with other cameras' after mending it."""
    elsewhere = [v.fit.points[:, 2:] for v in verdicts if v.fit is not None and v.camera != verdict.camera]
    if verdict.fit is not None and elsewhere:
        mine, theirs = verdict.fit.points[:, 2:], np.concatenate(elsewhere)
        mended = {
            "x and y are swapped in its points": mine[:, ::-1],
            "x has the wrong sign in its points": mine * [-1, 1],
            "y has the wrong sign in its points": mine * [1, -1],
        }
        shared = {text: _marks_shared(places, theirs) for text, places in mended.items()}
        best = max(shared, key=lambda text: shared[text])
        if shared[best] >= 2 and shared[best] > _marks_shared(mine, theirs):
            return f"mirrored: {best}; the cameras' common floor marks fit when that is mended"
    return f"mirrored: x and y are swapped, or one of them grows the wrong way; or write ground.axes: {other}"


def _marks_shared(mine: F8, theirs: F8) -> int:
    return int((np.linalg.norm(mine[:, None] - theirs[None], axis=2).min(axis=1) < 0.05).sum())


def _figures(plane: GroundPlane, fit: Fit | None) -> Figures:
    width = plane.image_size[0]
    middle = _floor_middle(plane)
    step = plane.to_ground([middle, middle + RIGHT, middle + DOWN])
    area = abs(np.linalg.det(step[1:] - step[0]))
    a, b, c = plane.homography[2]
    horizon = float(-(a * width / 2 + c) / b) if abs(b) > 1e-12 else None
    figures = Figures(
        metres_per_pixel=float(np.sqrt(area)) if np.isfinite(area) else None,
        horizon_v=horizon,
        camera_height_m=camera_height_m(plane),
    )
    if fit is None:
        return figures
    left_out = fit.leave_one_out_m[fit.inlier]
    floor = grid_of(plane, 24)
    floor = floor[np.isfinite(plane.to_ground(floor)).all(axis=1)]
    return replace(
        figures,
        rms_m=float(np.sqrt(np.mean(fit.residual_m[fit.inlier] ** 2))) if len(fit.points) > 4 else None,
        left_out_m=None if np.isnan(left_out).all() else float(np.nanmax(left_out)),
        sd_m=float(fit.ground_sd_m(fit.hull).max()),
        conditioning=fit.conditioning,
        hull_share=float(inside(fit.hull, floor).mean()) if len(floor) else None,
    )


def _floor_middle(plane: GroundPlane) -> F8:
    """The middle of the picture's middle column as far as it shows floor."""
    width, height = plane.image_size
    column = np.column_stack([np.full(64, width / 2), np.linspace(0, height - 1, 64)])
    seen = np.isfinite(plane.to_ground(column)).all(axis=1)
    return np.array([width / 2, float(np.median(column[seen, 1])) if seen.any() else height - 1.0])


def grid_of(plane: GroundPlane, steps: int) -> F8:
    """(steps^2, 2) pixels evenly over the picture."""
    width, height = plane.image_size
    u, v = np.meshgrid(np.linspace(0, width - 1, steps), np.linspace(0, height - 1, steps))
    return np.column_stack([u.ravel(), v.ravel()])


def inside(polygon: F8, points: F8) -> np.ndarray:
    """(n,) which points (n, 2) lie in a polygon (k, 2), by the even-odd rule; without corners none does."""
    odd = np.zeros(len(points), bool)
    for i in range(len(polygon)):
        (ax, ay), (bx, by) = polygon[i - 1], polygon[i]
        crosses = (ay > points[:, 1]) != (by > points[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            odd ^= crosses & (points[:, 0] < (bx - ax) * (points[:, 1] - ay) / (by - ay) + ax)
    return odd


def camera_centre(plane: GroundPlane) -> F8 | None:
    """(3,) m, where the camera hangs; None where the homography does not tell."""
    if not plane.has_vertical:
        return None
    m = plane.projection[:, :3]
    if np.linalg.cond(m) > 1e12:
        return None
    return np.asarray(-np.linalg.solve(m, plane.projection[:, 3]))


def camera_height_m(plane: GroundPlane) -> float | None:
    """How high above the floor the camera hangs; None where the homography does not tell."""
    centre = camera_centre(plane)
    return None if centre is None else abs(float(centre[2]))


def _points(verdict: CameraVerdict, fit: Fit, ground: config.CameraGround, size: tuple[int, int]) -> CameraVerdict:
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


def _horizon(verdict: CameraVerdict) -> CameraVerdict:
    """Feet are in the lower part of a picture: it must be floor, or nobody can be placed."""
    plane = verdict.plane
    assert plane is not None
    height = plane.image_size[1]
    feet = grid_of(plane, 24)
    if len(plane.region):
        feet = feet[inside(plane.region, feet)]
        where = "the region"
    else:
        feet, where = feet[feet[:, 1] > 0.5 * height], "the picture's lower half"
    if not len(feet):
        return verdict
    above = float(np.isnan(plane.to_ground(feet)).any(axis=1).mean())
    if above > 0.5:
        return verdict.with_reason(
            "refuse", f"feet above the horizon: {above:.0%} of {where} is no floor; check the signs and the order"
        )
    if above > 0.1:
        return verdict.with_reason("usable", f"{above:.0%} of {where} lies above the horizon: nobody is placed there")
    return verdict


def _perspective(verdict: CameraVerdict) -> CameraVerdict:
    """The identity's relatives: pixels taken for metres, turned or shifted."""
    plane = verdict.plane
    assert plane is not None
    scale = verdict.figures.metres_per_pixel
    if scale is None:
        return verdict.with_reason("refuse", "no part of the picture's middle is floor; measure it again")
    flat = np.abs(plane.homography[2, :2]).max() * max(plane.image_size) < 1e-6 * abs(plane.homography[2, 2])
    if flat and scale > 0.3:
        return verdict.with_reason(
            "refuse",
            f"like the identity: every pixel is {scale:.2g} m, near or far; it calls pixels metres, measure it",
        )
    return verdict


def _height(verdict: CameraVerdict) -> CameraVerdict:
    height = verdict.figures.camera_height_m
    if height is None:
        return verdict
    for (low, high), grade in ((IMPOSSIBLE_HEIGHT_M, "refuse"), (CAMERA_HEIGHT_M, "usable")):
        if not low <= height <= high:
            unit = "are the places in centimetres or feet?" if height > high else "are the places in kilometres?"
            text = f"the scale puts the camera {height:.3g} m above the floor; {unit}"
            return verdict.with_reason("refuse" if grade == "refuse" else "usable", text)
    return verdict


def judge_person_height(verdict: CameraVerdict, heights_m: F8) -> CameraVerdict:
    """Adds what people seen (n,) m say of the scale; fewer than 10 say nothing."""
    if len(heights_m) < 10:
        return verdict
    height = float(np.median(heights_m))
    verdict = replace(verdict, figures=replace(verdict.figures, person_height_m=height))
    if not IMPOSSIBLE_PERSON_M[0] <= height <= IMPOSSIBLE_PERSON_M[1]:
        text = f"people would be {height:.1f} m tall; the scale is off by a factor of about {height / 1.7:.2g}"
        return verdict.with_reason("refuse", text)
    if not PERSON_M[0] <= height <= PERSON_M[1]:
        return verdict.with_reason("usable", f"people come out {height:.2f} m tall; check the scale")
    return verdict


def _axis(verdict: CameraVerdict, ground: config.CameraGround, size: tuple[int, int]) -> CameraVerdict:
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
