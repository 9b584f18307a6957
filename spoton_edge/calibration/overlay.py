"""What is drawn over pictures to see whether a calibration is right: the metric grid, trust, the horizon, zones.

Geometry only. `draw` makes pictures of it, `desk` sends it to the calibrator's page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spoton_edge.calibration.agreement import sees
from spoton_edge.calibration.fit import DOWN
from spoton_edge.calibration.sight import grid_of
from spoton_edge.calibration.verdict import CameraVerdict
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.polygons import inside
from spoton_edge.types import F8

TRUSTED_SD_M = 0.25
REACH_M = 40.0  # of the grid
MOST_LINES = 120  # in each direction


@dataclass(frozen=True, slots=True)
class GridLine:
    """A line of the floor where one coordinate is `value` metres, as the camera sees it."""

    axis: int  # 0: of equal x, 1: of equal y
    value: int  # m
    bold: bool
    labelled: bool
    uv: F8  # (n, 2) px; NaN where it is not seen well


def grid_lines(plane: GroundPlane, steps: int = 400) -> list[GridLine]:
    """Lines every metre as far as the camera sees the floor well, every fifth bold."""
    xy = plane.to_ground(grid_of(plane, 60))
    xy = xy[np.isfinite(xy).all(axis=1)]
    if not len(xy):
        return []
    near = plane.to_ground([[plane.image_size[0] / 2, plane.image_size[1] - 1]])[0]
    near = near if np.isfinite(near).all() else np.median(xy, axis=0)
    xy = xy[np.linalg.norm(xy - near, axis=1) <= REACH_M]
    if not len(xy):
        return []
    low, high = np.floor(xy.min(axis=0)).astype(int), np.ceil(xy.max(axis=0)).astype(int)
    lines = []
    for axis in (0, 1):
        few = bool(high[axis] - low[axis] <= 12)
        for value in range(int(low[axis]), min(int(high[axis]), int(low[axis]) + MOST_LINES) + 1):
            line = np.empty((steps, 2))
            line[:, axis] = value
            line[:, 1 - axis] = np.linspace(low[1 - axis], high[1 - axis], steps)
            seen = sees(plane, line, reach=TRUSTED_SD_M, margin_px=50)
            if seen.any():
                uv = plane.to_image(line)
                uv[~seen] = np.nan
                bold = value % 5 == 0
                lines.append(GridLine(axis, value, bold, bold or few, uv))
    return lines


def horizon(plane: GroundPlane) -> F8:
    """(2, 2) px at the picture's left and right edge; (0, 2) where it is not in the picture, or a lens bends it."""
    a, b, c = plane.homography[2]
    width, height = plane.image_size
    if plane.lens is not None or abs(b) < 1e-12:
        return np.zeros((0, 2))
    u = np.array([0.0, width - 1.0])
    v = -(a * u + c) / b
    return np.column_stack([u, v]) if ((v > 0) & (v < height)).any() else np.zeros((0, 2))


def trusted(verdict: CameraVerdict, pixels: F8) -> np.ndarray:
    """(n,) where places are known to `TRUSTED_SD_M`: by the points' errors, or by what a pixel of the floor is long."""
    plane = verdict.plane
    assert plane is not None
    xy = plane.to_ground(pixels)
    floor = np.isfinite(xy).all(axis=1)
    if verdict.fit is not None:
        straight = pixels if plane.lens is None else plane.lens.straighten(pixels)
        sd = verdict.fit.ground_sd_m(np.nan_to_num(straight))
    else:
        sd = 3 * np.linalg.norm(plane.to_ground(pixels + DOWN) - xy, axis=1)
    with np.errstate(invalid="ignore"):
        good = floor & (sd <= TRUSTED_SD_M)
    return np.asarray(good & inside(plane.region, pixels) if len(plane.region) else good)


def zone_on_floor(plane: GroundPlane, zone: str | Sequence[Sequence[float]]) -> F8:
    """(k, 2) m: a quadrant's or polygon's part that is floor seen well, its border in order."""
    width, height = plane.image_size
    if isinstance(zone, str):
        side, flank = zone.split("_")
        v0, v1 = (0.0, height / 2) if side == "upper" else (height / 2, height - 1.0)
        u0, u1 = (0.0, width / 2) if flank == "left" else (width / 2, width - 1.0)
        corners = np.array([[u0, v1], [u1, v1], [u1, v0], [u0, v0]])
    else:
        corners = np.asarray(zone, np.float64)
    border = np.concatenate(
        [np.linspace(a, b, 60, endpoint=False) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    )
    # What lies above the farthest floor is moved down to it, so that the zone ends where the field of view does.
    out = []
    for u, v in border:
        column = np.column_stack([np.full(80, u), np.linspace(v, height - 1, 80)])
        xy = plane.to_ground(column)
        step = np.linalg.norm(plane.to_ground(column - DOWN) - xy, axis=1)
        fine = np.flatnonzero(np.isfinite(xy).all(axis=1) & (step <= 0.10))
        if len(fine):
            out.append(xy[fine[0]])
    return np.array(out).reshape(-1, 2)
