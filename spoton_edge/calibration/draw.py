"""Pictures by which an operator sees that a calibration is right: the floor's grid in each view, the whole site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Polygon

from spoton_edge import config
from spoton_edge.calibration.agreement import PairVerdict, footprint
from spoton_edge.calibration.overlay import grid_lines, horizon, trusted, zone_on_floor
from spoton_edge.calibration.sight import camera_centre, grid_of
from spoton_edge.calibration.verdict import CameraVerdict
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.types import F8, U8

INK, PAPER, GRID, MUTED = "#20242b", "#fbfbf9", "#e3e3de", "#5b616b"
GRADE_COLOURS = {"good": "#2f8f4e", "usable": "#c98a00", "refuse": "#c23b3b"}
CAMERA_COLOURS = ("#3b6fb6", "#c8553d", "#3f8f5f", "#8b5fbf", "#b8860b", "#3aa0a0", "#b0497f", "#6b705c")
GRID_COLOURS = ("#ff6b57", "#53c7f0")


def draw_camera(path: Path, image: U8, verdict: CameraVerdict, feet: F8 | None = None) -> None:
    """Write a camera's picture (PNG) with the floor's grid in metres, the trusted part, its points and people's feet.

    image: u8 (H, W, 3) BGR; feet: (n, 2) px.
    """
    height, width = image.shape[:2]
    with mpl.rc_context({"font.family": "sans-serif", "font.size": 9, "text.color": INK}):
        figure = Figure(figsize=(13, 13 * height / width + 1.0), dpi=110, facecolor=PAPER)
        FigureCanvasAgg(figure)
        share = (13 * height / width) / (13 * height / width + 1.0)
        axes = figure.add_axes((0.0, 0.0, 1.0, share))
        axes.imshow(image[:, :, ::-1], extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        axes.set_axis_off()
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(height - 0.5, -0.5)
        if verdict.plane is not None:
            _trusted(axes, verdict)
            _grid(axes, verdict.plane)
            _horizon(axes, verdict.plane)
        if feet is not None and len(feet):
            axes.plot(feet[:, 0], feet[:, 1], "o", color="#ffcf33", markersize=4, alpha=0.6, markeredgewidth=0)
        if verdict.fit is not None and verdict.plane is not None:
            _points(axes, verdict)
        _title(figure, verdict, share)
        figure.savefig(path)


def _title(figure: Any, verdict: CameraVerdict, share: float) -> None:
    middle = share + (1 - share) / 2
    colour = GRADE_COLOURS[verdict.grade]
    figure.text(0.012, middle + 0.012, verdict.camera, fontsize=16, fontweight="bold", va="center")
    figure.text(
        0.988, middle + 0.012, verdict.grade, fontsize=13, fontweight="bold", va="center", ha="right", color="white",
        bbox={"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.35"},
    )  # fmt: skip
    what = verdict.reasons[0] if verdict.reasons else _summary(verdict)
    figure.text(0.012, middle - 0.018, what if len(what) < 150 else what[:147] + "...", color=MUTED, va="center")


def _summary(verdict: CameraVerdict) -> str:
    f = verdict.figures
    parts = [
        f.rms_m is not None and f"points {100 * (f.rms_m or 0):.0f} cm rms",
        f.left_out_m is not None and f"left out {100 * (f.left_out_m or 0):.0f} cm at most",
        f.camera_height_m is not None and f"camera {f.camera_height_m:.1f} m high",
        f.metres_per_pixel is not None and f"{100 * (f.metres_per_pixel or 0):.1f} cm a pixel in the middle",
        f.person_height_m is not None and f"people {f.person_height_m:.2f} m tall",
    ]
    return "grid lines every metre;  " + ",  ".join(part for part in parts if part)


def _trusted(axes: Any, verdict: CameraVerdict) -> None:
    """Darkens what is not to be trusted."""
    plane = verdict.plane
    assert plane is not None
    width, height = plane.image_size
    steps = 160
    good = trusted(verdict, grid_of(plane, steps)).reshape(steps, steps)
    veil = np.zeros((steps, steps, 4))
    veil[~good] = (0.08, 0.09, 0.11, 0.45)
    axes.imshow(veil, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="bilinear", zorder=1)
    if verdict.fit is not None and plane.lens is None:
        axes.add_patch(
            Polygon(verdict.fit.hull, closed=True, fill=False, edgecolor="#ffffff", linestyle="--", zorder=3)
        )


def _grid(axes: Any, plane: GroundPlane) -> None:
    """Lines every metre; x in one colour, y in another."""
    taken: dict[int, list[F8]] = {0: [], 1: []}
    for line in grid_lines(plane):
        colour = GRID_COLOURS[line.axis]
        width, alpha = (1.6, 0.9) if line.bold else (0.7, 0.55)
        axes.plot(line.uv[:, 0], line.uv[:, 1], color=colour, linewidth=width, alpha=alpha, zorder=2)
        _label(axes, line.uv, plane, f"{'xy'[line.axis]} {line.value}", colour, line.labelled, taken[line.axis])


def _label(axes: Any, uv: F8, plane: GroundPlane, text: str, colour: str, wanted: bool, taken: list[F8]) -> None:
    """A line's value where it is nearest to the camera and not on another label."""
    margin = 0.03 * plane.image_size[0]
    inner = (
        np.isfinite(uv).all(axis=1) & (uv > margin).all(axis=1) & (uv < np.array(plane.image_size) - margin).all(axis=1)
    )
    if not wanted or not inner.any():
        return
    candidates = uv[inner]
    at = candidates[np.argmax(candidates[:, 1])]
    if any(np.linalg.norm(at - other) < 0.05 * plane.image_size[0] for other in taken):
        return
    taken.append(at)
    axes.text(
        *at, text, color="white", fontsize=7.5, ha="center", va="center", zorder=4,
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2, "alpha": 0.9},
    )  # fmt: skip


def _horizon(axes: Any, plane: GroundPlane) -> None:
    line = horizon(plane)
    if len(line):
        axes.plot(line[:, 0], line[:, 1], color="white", linewidth=1.2, linestyle=":", zorder=3)
        axes.text(8, line[0, 1] - 4, "horizon", color="white", fontsize=8, va="bottom", zorder=3)


def _points(axes: Any, verdict: CameraVerdict) -> None:
    """The points where they were clicked, and a line to where the others put them."""
    fit, plane = verdict.fit, verdict.plane
    assert fit is not None
    assert plane is not None
    clicked = fit.points[:, :2] if plane.lens is None else plane.lens.bend(fit.points[:, :2])
    fitted = plane.to_image(fit.points[:, 2:])
    for i, (at, to) in enumerate(zip(clicked, fitted, strict=True)):
        colour = "white" if fit.inlier[i] else GRADE_COLOURS["refuse"]
        if np.isfinite(to).all():
            axes.plot([at[0], to[0]], [at[1], to[1]], color=GRADE_COLOURS["refuse"], linewidth=2, zorder=5)
        axes.plot(*at, "o", color=colour, markeredgecolor=INK, markersize=7, zorder=6)
        axes.annotate(
            f"{i + 1}", at, xytext=(6, -6), textcoords="offset points", color="white", fontweight="bold", zorder=6,
            bbox={"facecolor": INK, "edgecolor": "none", "pad": 1.0, "alpha": 0.7},
        )  # fmt: skip


def draw_site(
    path: Path, site: config.Site, verdicts: Sequence[CameraVerdict], pairs: Sequence[PairVerdict],
    people: Mapping[str, F8] | None = None,
) -> None:  # fmt: skip
    """Write the site's floor (PNG): fields of view, overlaps, handoff zones, cameras, people, over the floor plan.

    people: for each camera the places of feet, (n, 2) m.
    """
    with mpl.rc_context({"font.family": "sans-serif", "font.size": 9, "text.color": INK, "axes.edgecolor": GRID}):
        figure = Figure(figsize=(13, 9.4), dpi=110, facecolor=PAPER)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.05, 0.06, 0.72, 0.86))
        axes.set_facecolor(PAPER)
        figure.text(0.05, 0.95, f"{site.site}: the floor that the cameras see", fontsize=15, fontweight="bold")
        extent = _floor_plan(axes, site.ground)
        lines: list[tuple[str, str, str]] = []
        shown: list[F8] = [] if extent is None else [np.array(extent).reshape(2, 2).T]
        for n, (camera, verdict) in enumerate(zip(site.cameras, verdicts, strict=True)):
            colour = CAMERA_COLOURS[n % len(CAMERA_COLOURS)]
            lines.append((colour, camera.name, verdict.grade if verdict.calibrated else "not calibrated"))
            if verdict.plane is None:
                continue
            shown += _field_of_view(axes, camera, verdict.plane, colour)
            for handoff in camera.handoff:
                _zone(axes, verdict.plane, handoff.zone, colour, f"to {handoff.to}")
            if people and camera.name in people and len(people[camera.name]):
                axes.plot(*people[camera.name].T, ".", color=colour, markersize=2.5, alpha=0.35, zorder=3)
        _frame(axes, shown, site.ground.axes == "y_down")
        _legend(figure, lines, pairs)
        figure.savefig(path)


def _floor_plan(axes: Any, floor: config.FloorMap) -> tuple[float, float, float, float] | None:
    """The plan's picture under everything, in metres."""
    if not floor.map or not Path(floor.map).is_file():
        return None
    picture = imread(floor.map)
    height, width = picture.shape[:2]
    (u, v), scale = floor.origin_px, floor.pixels_per_metre
    down = 1 if floor.axes == "y_down" else -1
    left, right = -u / scale, (width - u) / scale
    top, bottom = down * -v / scale, down * (height - v) / scale
    axes.imshow(picture, extent=(left, right, bottom, top), alpha=0.55, zorder=0, cmap="gray")
    return left, right, min(top, bottom), max(top, bottom)


def _field_of_view(axes: Any, camera: config.Camera, plane: GroundPlane, colour: str) -> list[F8]:
    polygon = footprint(plane)
    if not len(polygon):
        return []
    axes.add_patch(Polygon(polygon, closed=True, facecolor=colour, alpha=0.10, edgecolor="none", zorder=1))
    axes.add_patch(Polygon(polygon, closed=True, fill=False, edgecolor=colour, alpha=0.8, linewidth=1.3, zorder=2))
    if camera.region:
        _zone(axes, plane, camera.region, colour, "region")
    centre = camera_centre(plane)
    at = polygon[0] if centre is None else centre[:2]
    middle = polygon.mean(axis=0)
    if centre is not None:
        axes.annotate(
            "", at + 0.25 * (middle - at), at, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.6}, zorder=5
        )
        axes.plot(*at, "s", color=colour, markersize=9, zorder=6)
    axes.annotate(
        camera.name, at, xytext=(9, 7), textcoords="offset points", color="white", fontweight="bold", zorder=7,
        bbox={"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.25"},
    )  # fmt: skip
    return [polygon, at[None]]


def _zone(axes: Any, plane: GroundPlane, zone: str | Sequence[Sequence[float]], colour: str, text: str) -> None:
    polygon = zone_on_floor(plane, zone)
    if len(polygon) < 3:
        return
    axes.add_patch(
        Polygon(
            polygon, closed=True, facecolor="none", edgecolor=colour, hatch="///", linewidth=0.8, alpha=0.6, zorder=2
        )
    )
    axes.text(*polygon.mean(axis=0), text, color=colour, fontsize=8, ha="center", va="center", zorder=5,
              bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1})  # fmt: skip


def _frame(axes: Any, shown: Sequence[F8], y_down: bool) -> None:
    places = np.concatenate([np.zeros((0, 2)), *shown])
    places = places[np.isfinite(places).all(axis=1)] if len(places) else np.zeros((1, 2))
    low, high = places.min(axis=0) - 1.0, places.max(axis=0) + 1.0
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(*((high[1], low[1]) if y_down else (low[1], high[1])))
    axes.set_aspect("equal")
    axes.grid(color=GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=MUTED)
    axes.set_xlabel("x, metres", color=MUTED)
    axes.set_ylabel("y, metres", color=MUTED)


def _legend(figure: Any, cameras: Sequence[tuple[str, str, str]], pairs: Sequence[PairVerdict]) -> None:
    y = 0.90
    figure.text(0.79, y, "Cameras", fontweight="bold")
    for colour, name, grade in cameras:
        y -= 0.028
        figure.text(0.79, y, "\u25a0", color=colour, fontsize=12, va="center")
        figure.text(0.81, y, name, va="center")
        figure.text(0.98, y, grade, va="center", ha="right", color=GRADE_COLOURS.get(grade, MUTED))
    y -= 0.05
    if pairs:
        figure.text(0.79, y, "Shared floor", fontweight="bold")
    for pair in pairs[:18]:
        y -= 0.026
        figure.text(0.79, y, " - ".join(pair.cameras), va="center", fontsize=8.5)
        apart = f"{pair.shared_m2:.0f} m\u00b2"
        if pair.median_m is not None:
            apart += f", {100 * pair.median_m:.0f} cm apart"
        figure.text(0.98, y, apart, va="center", ha="right", fontsize=8.5, color=GRADE_COLOURS[pair.grade])
