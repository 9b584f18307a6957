"""A picture of where identities broke: everybody's ids over time, and on the ground the places where they changed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spoton_edge.evaluation.breaks import History

INK, PAPER, GRID, FAINT, ALARM = "#20242b", "#fbfbf9", "#e3e3de", "#c9c9c4", "#c0392b"
MOST_LABELS = 40  # more breaks than these are drawn without their ids


def draw(path: Path, histories: dict[str, History], subtitles: dict[str, str]) -> None:
    """Write a PNG with a row for each scene: ids over time, and beside it the ground where there is one.

    histories, subtitles: by the scene's name, "ground" being the scene with places in metres.
    """
    heights = [1.2 + 0.22 * max(len(history.ways), 4) for history in histories.values()]
    with mpl.rc_context({"font.family": "sans-serif", "font.size": 8, "text.color": INK, "axes.edgecolor": GRID}):
        figure = Figure(figsize=(15, sum(heights) + 0.6), dpi=100, facecolor=PAPER, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(len(heights), 3, height_ratios=heights)
        for row, (name, history) in enumerate(histories.items()):
            on_ground = name == "ground"
            axes = figure.add_subplot(grid[row, :2] if on_ground else grid[row, :])
            _draw_times(axes, history)
            axes.set_title(f"{name}   {subtitles[name]}", loc="left", fontsize=9, fontweight="bold")
            if on_ground:
                _draw_ground(figure.add_subplot(grid[row, 2]), history)
        figure.savefig(path)


def _draw_times(axes: Any, history: History) -> None:
    """A line for each person, coloured by the id he had; a red stroke where it changed."""
    axes.set_facecolor(PAPER)
    people = sorted(history.ways)
    line = {person: place for place, person in enumerate(people)}
    for person, way in history.ways.items():
        axes.plot(way[:, 0], np.full(len(way), line[person]), ".", color=FAINT, markersize=1.2, zorder=1)
    for person, found in history.found.items():
        frames, ids = np.array([frame for frame, _ in found]), np.array([identity for _, identity in found])
        for start, end in _spells(ids):
            colour = _colour(int(ids[start]))
            axes.plot(frames[start:end], np.full(end - start, line[person]), "|", color=colour, markersize=7, zorder=2)
            middle = frames[start:end].mean()
            if frames[end - 1] - frames[start] >= 0.02 * np.ptp(frames):
                axes.annotate(
                    str(ids[start]), (middle, line[person]), xytext=(0, 5), textcoords="offset points",
                    ha="center", color=colour, fontsize=6.5, annotation_clip=True,
                )  # fmt: skip
    for broken in history.breaks:
        taken = broken.taken_from is not None
        axes.plot(broken.frame, line[broken.person], "x" if taken else "+", color=ALARM, markersize=8, zorder=3)
    axes.set_yticks(range(len(people)), [f"person {person}" for person in people])
    axes.set_ylim(-0.8, len(people) - 0.2)
    axes.set_xlabel("frame;  + another id,  x the id of somebody else,  grey: not found")
    axes.spines[:].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.6)


def _draw_ground(axes: Any, history: History) -> None:
    """Everybody's true way, faint, and the places where ids changed."""
    axes.set_facecolor(PAPER)
    for way in history.ways.values():
        axes.plot(way[:, 1], way[:, 2], ".", color=FAINT, markersize=1, zorder=1)
    for broken in history.breaks:
        axes.plot(*broken.place, "+" if broken.taken_from is None else "x", color=ALARM, markersize=8, zorder=3)
        if len(history.breaks) <= MOST_LABELS:
            axes.annotate(
                f"{broken.before}→{broken.after} @{broken.frame}", broken.place, xytext=(5, 3),
                textcoords="offset points", fontsize=6.5, color=ALARM,
            )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("m")
    axes.spines[:].set_visible(False)
    axes.grid(color=GRID, linewidth=0.6)


def _spells(ids: Any) -> list[tuple[int, int]]:
    """Half-open stretches of equal ids."""
    edges = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    return list(pairwise(edges))


def _colour(identity: int) -> Any:
    """An id has one colour everywhere; neighbours are far apart on the circle."""
    colour: Any = mpl.colormaps["hsv"]((identity * 0.381966) % 1.0)
    return tuple(0.75 * channel for channel in colour[:3])
