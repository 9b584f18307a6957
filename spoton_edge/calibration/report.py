"""The figures of `spoton-edge calibrate`, in words and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from spoton_edge.calibration.agreement import PairVerdict, rms, view_to_mean
from spoton_edge.calibration.clocks import ClockOffset
from spoton_edge.calibration.fit import Fit
from spoton_edge.calibration.observations import Sightings
from spoton_edge.calibration.refine import Refinement, explain
from spoton_edge.calibration.verdict import CameraVerdict
from spoton_edge.ground_plane import GroundPlane


def print_points(fit: Fit) -> None:
    """Each point: where, how far off, how far the others put it."""
    print("point        u        v        x        y   off by   left out")
    for i, ((u, v, x, y), inlier) in enumerate(zip(fit.points, fit.inlier, strict=True)):
        left_out = "-" if np.isnan(fit.leave_one_out_m[i]) else f"{fit.leave_one_out_m[i]:.2f} m"
        print(
            f"{i + 1:5} {u:8.1f} {v:8.1f} {x:8.2f} {y:8.2f} {fit.residual_m[i]:6.2f} m {left_out:>10}"
            f"{'' if inlier else '  wrong'}"
        )


def print_knowledge(fit: Fit, size: tuple[int, int]) -> None:
    """How well the floor is known over the picture, and the corners within which the fit can be trusted."""
    columns, rows = np.linspace(0, size[0] - 1, 9), np.linspace(0, size[1] - 1, 7)
    sd = fit.ground_sd_m(np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)).reshape(len(rows), -1)
    print("known to, cm, over the picture (-: no floor):")
    print("   v \\ u" + "".join(f"{u:7.0f}" for u in columns))
    for v, row in zip(rows, sd, strict=True):
        print(f"{v:8.0f}" + "".join(f"{100 * x:7.0f}" if x < 10 else "      -" for x in row))
    print("trusted within: " + ", ".join(f"({u:.0f}, {v:.0f})" for u, v in fit.hull))


def figures(verdict: CameraVerdict) -> list[str]:
    """A camera's figures in words, those that there are."""
    f = verdict.figures
    shown = [
        None if f.rms_m is None else f"points {100 * f.rms_m:.1f} cm rms",
        None if f.left_out_m is None else f"left out {100 * f.left_out_m:.0f} cm at most",
        None if f.sd_m is None else f"known to {100 * f.sd_m:.0f} cm among the points",
        None if f.hull_share is None else f"they enclose {f.hull_share:.0%} of the floor seen",
        None if f.conditioning is None else f"conditioning {f.conditioning:.0f}",
        None if f.camera_height_m is None else f"camera {f.camera_height_m:.1f} m high",
        None if f.metres_per_pixel is None else f"{100 * f.metres_per_pixel:.1f} cm a pixel",
        None if f.horizon_v is None else f"horizon at v = {f.horizon_v:.0f}",
        None if f.person_height_m is None else f"people {f.person_height_m:.2f} m tall",
    ]
    return [text for text in shown if text]


def print_camera(verdict: CameraVerdict) -> None:
    """A camera's verdict, its reasons and figures."""
    print(f"{verdict.camera}: {verdict.grade if verdict.calibrated else 'not calibrated'}")
    for reason in verdict.reasons if verdict.calibrated else ():
        print(f"  {reason}")
    if figures(verdict):
        print(f"  {', '.join(figures(verdict))}")


def print_pair(pair: PairVerdict) -> None:
    """Two cameras' verdict."""
    measured = ""
    if pair.rms_m is not None:
        measured = (
            f", {pair.count} seen by both: {100 * (pair.median_m or 0):.0f} cm apart (median), "
            f"{100 * pair.rms_m:.0f} cm rms, {100 * (pair.worst_m or 0):.0f} cm at most"
        )
    print(f"{' - '.join(pair.cameras)}: {pair.grade}, {pair.shared_m2:.0f} m2 of common floor{measured}")
    if pair.reason:
        print(f"  {pair.reason}")


def print_agreement(marks: Sightings | None, people: Sightings | None, cameras: int) -> None:
    """How far all cameras are from their mean."""
    if marks is not None and len(marks):
        off = 100 * rms(view_to_mean(marks))
        print(f"floor marks: {len(np.unique(marks.group))} seen by several cameras, {off:.1f} cm rms around their mean")
    if people is not None and len(people):
        causes = {name: 100 * value for name, value in explain(people, cameras).items()}
        print(
            f"people: {len(np.unique(people.group))} moments seen by several cameras, {causes['all']:.1f} cm rms "
            f"around their mean; of that feet explain {causes['feet']:.1f}, calibration {causes['calibration']:.1f}, "
            f"neither {causes['rest']:.1f} cm (squares add up)"
        )


def print_refinement(refinement: Refinement, clocks: Mapping[str, ClockOffset]) -> None:
    """What a refinement found and what it brings."""
    r = refinement
    print(f"{r.things} things seen by several cameras, {r.views} views")
    if r.foot_m is not None:
        print(f"feet lie {100 * r.foot_m:.0f} cm towards the camera: allowed for, not corrected")
        c = {name: 100 * value for name, value in r.causes_m.items()}
        print(
            f"disagreement {c['all']:.1f} cm rms: feet {c['feet']:.1f}, calibration {c['calibration']:.1f}, "
            f"rest {c['rest']:.1f}"
        )
    print(f"cameras around their mean: {100 * r.before_m:.1f} cm rms before, {100 * r.after_m:.1f} after")
    if r.tested_before_m is not None and r.tested_after_m is not None:
        print(
            f"on what was not fitted:    {100 * r.tested_before_m:.1f} cm rms before, "
            f"{100 * r.tested_after_m:.1f} after"
        )
    for name, m in r.corrections.items():
        print(
            f"{name}: x' = {m[0, 0]:.4f} x {m[0, 1]:+.4f} y {m[0, 2]:+.3f}   "
            f"y' = {m[1, 0]:.4f} x {m[1, 1]:+.4f} y {m[1, 2]:+.3f}"
        )
    for name, clock in clocks.items():
        print(f"{name}: clock {clock.offset_ms:+.0f} ms (sd {clock.sd_ms:.0f})")


def refinement_json(refinement: Refinement, clocks: Mapping[str, ClockOffset]) -> dict[str, Any]:
    """The same for programs."""
    out: dict[str, Any] = plain(refinement)
    return out | {"clocks": {name: asdict(clock) for name, clock in clocks.items()}}


def report(
    verdicts: Sequence[CameraVerdict], pairs: Sequence[PairVerdict], marks: Sightings | None, people: Sightings | None
) -> dict[str, Any]:
    """What `check` found, for programs."""
    report: dict[str, Any] = {"cameras": [plain(v) for v in verdicts], "pairs": [plain(p) for p in pairs]}
    if marks is not None:
        report["marks_rms_m"] = rms(view_to_mean(marks))
    if people is not None and len(people):
        report["people_rms_m"] = explain(people, len(verdicts))
    return report


def plain(value: Any) -> Any:
    """Dataclasses and arrays as JSON holds them; a plane is its homography."""
    if isinstance(value, GroundPlane):
        return {"homography": value.homography.tolist(), "image_size": list(value.image_size)}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
