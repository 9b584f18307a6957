"""Whether a camera's calibration can be trusted: good, usable or refuse, with the figures and the reason.

Only numbers of the calibration itself are judged here, and NumPy is all it takes: the daemon asks this at its start and
leaves a refused camera out. `faults` are numbers that cannot be true, `judge_points` and `judge_size` look at points
and picture; what people or floor marks seen by several cameras add is in `agreement`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spoton_edge import config
from spoton_edge.calibration.faults import calibration_fault
from spoton_edge.calibration.fit import DOWN, RIGHT, Fit, fit_homography
from spoton_edge.calibration.judge_points import judge_points
from spoton_edge.calibration.judge_size import judge_size
from spoton_edge.calibration.plane import PlaneError, ground_plane, straight_points
from spoton_edge.calibration.sight import camera_height_m, floor_middle, grid_of
from spoton_edge.calibration.verdict import CameraVerdict, Figures
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.polygons import inside
from spoton_edge.types import F8

CAMERA_HEIGHT_M = (1.2, 40.0)
IMPOSSIBLE_HEIGHT_M = (0.3, 200.0)
PERSON_M = (1.50, 1.95)
IMPOSSIBLE_PERSON_M = (1.25, 2.30)


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
        verdict = judge_points(verdict, fit, ground, size)
    for judge in judged:
        verdict = judge(verdict)
    return verdict if cropped else judge_size(verdict, ground, size)


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
    middle = floor_middle(plane)
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
