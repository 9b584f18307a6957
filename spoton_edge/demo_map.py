"""A picture of a run: everybody's way over the ground, beside what the cameras saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon as PolygonPatch
from matplotlib.patches import Rectangle
from matplotlib.path import Path as PolygonPath

from spoton_edge.types import F8, U8

INK, PAPER, GRID = "#20242b", "#fbfbf9", "#e3e3de"


@dataclass(frozen=True, slots=True)
class CameraView:
    """A camera's picture, u8 (H, W, 3) BGR, and the people in it: id and box xyxy in px."""

    name: str
    image: U8
    boxes: Sequence[tuple[int, Sequence[float]]]


def draw(
    path: Path,
    trails: Mapping[int, F8],
    views: Sequence[CameraView],
    footprints: Mapping[str, F8],
    *,
    title: str,
    subtitle: str,
    watcher: str = "camera",
    label: Callable[[int], str] = str,
) -> None:
    """Write the picture to `path` (PNG).

    trails: for each id its places in order, f8 (N, 2) m, a row of NaN where the person was out of sight; footprints:
    for each watcher the part of the ground it sees, f8 (N, 2) m. An id has one colour everywhere. watcher: what a
    footprint is of; label: what is written of an id.
    """
    colours = _colours(sorted(trails))
    with mpl.rc_context({"font.family": "sans-serif", "font.size": 9, "text.color": INK, "axes.edgecolor": GRID}):
        figure = Figure(figsize=(14, 8.4), dpi=110, facecolor=PAPER)
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(
            max(1, len(views)), 2, width_ratios=(2.75, 1), left=0.045, right=0.985, top=0.89, bottom=0.06, hspace=0.12,
            wspace=0.05,
        )  # fmt: skip
        figure.text(0.045, 0.945, title, fontsize=17, fontweight="bold")
        figure.text(0.045, 0.912, subtitle, fontsize=10, color="#5b616b")
        _draw_ground(figure.add_subplot(grid[:, 0]), trails, footprints, colours, watcher, label)
        for row, view in enumerate(views):
            _draw_view(figure.add_subplot(grid[row, 1]), view, colours, label)
        figure.savefig(path)


def _draw_ground(
    axes: Any,
    trails: Mapping[int, F8],
    footprints: Mapping[str, F8],
    colours: Mapping[int, Any],
    watcher: str,
    label: Callable[[int], str],
) -> None:
    axes.set_facecolor(PAPER)
    for polygon in footprints.values():
        axes.add_patch(PolygonPatch(polygon, closed=True, facecolor="#4878a8", alpha=0.07, edgecolor="none"))
        axes.add_patch(PolygonPatch(polygon, closed=True, fill=False, edgecolor="#4878a8", alpha=0.5, linestyle="--"))
    for identity, trail in trails.items():
        colour = colours[identity]
        axes.plot(trail[:, 0], trail[:, 1], color=colour, linewidth=1.7, alpha=0.85, solid_capstyle="round")
        seen = trail[np.isfinite(trail[:, 0])]
        if len(seen):
            axes.plot(*seen[0], "o", color=PAPER, markeredgecolor=colour, markersize=5)
            axes.plot(*seen[-1], "o", color=colour, markersize=7)
            axes.annotate(
                label(identity), seen[-1], xytext=(6, 4), textcoords="offset points", color=colour, fontweight="bold"
            )
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors="#5b616b")
    axes.set_xlabel("x, metres", color="#5b616b")
    axes.set_ylabel("y, metres", color="#5b616b")
    _fit(axes, np.concatenate([np.zeros((0, 2)), *trails.values()]))
    _name_footprints(axes, footprints, watcher)


def _fit(axes: Any, places: F8) -> None:
    """Show all places with a margin, one metre as long on x as on y, the axes' whole area used."""
    places = places[np.isfinite(places).all(axis=1)]
    low, high = (places.min(axis=0), places.max(axis=0)) if len(places) else (np.zeros(2), np.zeros(2))
    box = axes.get_window_extent()
    metres_per_pixel = float(np.max((high - low + 3.0) / (box.width, box.height)))
    half = metres_per_pixel * np.array([box.width, box.height]) / 2
    (left, bottom), (right, top) = (low + high) / 2 - half, (low + high) / 2 + half
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _name_footprints(axes: Any, footprints: Mapping[str, F8], watcher: str) -> None:
    """Write each watcher's name where, of what is shown, it alone sees the ground: a footprint may reach far beyond."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    shown = np.stack(np.meshgrid(np.linspace(left, right, 60), np.linspace(bottom, top, 60)), axis=-1).reshape(-1, 2)
    inside = {name: PolygonPath(polygon).contains_points(shown) for name, polygon in footprints.items()}
    sharing = sum(inside.values(), np.zeros(len(shown), np.int64))
    for name, mine in inside.items():
        if mine.any():
            own = shown[mine & (sharing == sharing[mine].min())]
            middle = own[np.argmin(((own - own.mean(axis=0)) ** 2).sum(axis=1))]
            axes.annotate(f"{watcher} {name}", middle, ha="center", color="#4878a8", fontsize=11, fontweight="bold")


def _draw_view(axes: Any, view: CameraView, colours: Mapping[int, Any], label: Callable[[int], str]) -> None:
    axes.imshow(view.image[:, :, ::-1])
    axes.set_axis_off()
    axes.set_title(f"camera {view.name}", fontsize=10, loc="left", pad=4)
    for identity, (x1, y1, x2, y2) in view.boxes:
        colour = colours.get(identity, INK)
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.8))
        axes.text(
            x1, y1 - 3, label(identity), color="white", fontsize=8, fontweight="bold", va="bottom",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2},
        )  # fmt: skip


def _colours(ids: Sequence[int]) -> dict[int, Any]:
    """Well-separated hues: the golden ratio walks the colour circle, three levels of brightness walk beside it."""
    return {
        identity: mpl.colors.hsv_to_rgb(((0.03 + 0.618034 * i) % 1, 0.85, (0.85, 0.6, 0.72)[i % 3]))
        for i, identity in enumerate(ids)
    }
