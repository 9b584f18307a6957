"""How late a camera's clock is, from people who walk where two cameras see them: a late one shows where they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spoton_edge.calibration.observations import Boxes, feet_of
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.types import F8

MOST_S = 2.0  # searched
STEP_S = 0.05
GAP_S = 0.6  # without a foot, after which a walk ends
SMOOTH_S = 0.5
SHORTEST_S = 3.0
SPREAD_M = 0.5  # a walk's standard deviation along its way: who stands tells nothing of time
APART_M = 1.0
FEWEST_PIECES = 4  # of `SHORTEST_S`: fewer tell no spread


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """What to add to a camera's capture times so that it agrees with the mean of all, and how sure that is."""

    offset_ms: float
    sd_ms: float


def clock_offsets(boxes: Mapping[str, Boxes], planes: Mapping[str, GroundPlane | None]) -> dict[str, ClockOffset]:
    """By camera; cameras without a walker in common with another are left out.

    A constant distance between two cameras' places is a matter of calibration and is ignored: what counts is how it
    changes while a person walks.
    """
    names = [name for name, plane in planes.items() if plane is not None and name in boxes]
    walks = {name: walks_of(boxes[name], plane) for name in names if (plane := planes[name]) is not None}
    equations: list[tuple[int, int, float, float]] = []
    for i, a in enumerate(names):
        for j in range(i + 1, len(names)):
            found = best_shift(walks[a], walks[names[j]])
            if found is not None:
                equations.append((i, j, *found))
    touched = sorted({n for i, j, _, _ in equations for n in (i, j)})
    if not touched:
        return {}
    rows, right = np.zeros((len(equations) + 1, len(names))), np.zeros(len(equations) + 1)
    for k, (i, j, shift, sd) in enumerate(equations):
        rows[k, i], rows[k, j], right[k] = 1 / sd, -1 / sd, shift / sd
    rows[-1, touched] = 1e3  # the mean stays
    normal = rows.T @ rows + 1e-9 * np.eye(len(names))
    offset = np.linalg.solve(normal, rows.T @ right)
    # Where pairs of cameras contradict each other, the offsets are less sure than each pair says.
    misfit = (rows @ offset - right)[:-1]
    free = len(equations) - (len(touched) - 1)
    scale = max(1.0, float(np.sqrt(np.sum(misfit**2) / free))) if free > 0 else 1.0
    sd_s = scale * np.sqrt(np.diag(np.linalg.inv(normal)))
    return {names[n]: ClockOffset(1e3 * float(offset[n]), 1e3 * float(sd_s[n])) for n in touched}


def walks_of(boxes: Boxes, plane: GroundPlane) -> list[F8]:
    """A camera's feet joined over time: each walk (k, 3) of t, x, y, smoothed; only those that get somewhere."""
    open_walks: list[list[tuple[float, float, float]]] = []
    done: list[list[tuple[float, float, float]]] = []
    for t, x, y in feet_of(boxes, plane)[["time_s", "x", "y"]].tolist():
        done += [walk for walk in open_walks if t - walk[-1][0] > GAP_S]
        open_walks = [walk for walk in open_walks if t - walk[-1][0] <= GAP_S]
        reach = [(np.hypot(x - w[-1][1], y - w[-1][2]), n) for n, w in enumerate(open_walks) if w[-1][0] < t]
        nearest = min(reach, default=(np.inf, -1))
        if nearest[0] < 0.4 + 3.0 * (t - open_walks[nearest[1]][-1][0] if nearest[1] >= 0 else 0):
            open_walks[nearest[1]].append((t, x, y))
        else:
            open_walks.append([(t, x, y)])
    smoothed = [_smooth(np.array(walk)) for walk in done + open_walks if walk[-1][0] - walk[0][0] >= SHORTEST_S]
    return [walk for walk in smoothed if np.linalg.norm(walk[:, 1:].std(axis=0)) >= SPREAD_M]


def _smooth(walk: F8) -> F8:
    """Each place by a straight line through those within half of `SMOOTH_S`."""
    out = walk.copy()
    for i, t in enumerate(walk[:, 0]):
        near = np.abs(walk[:, 0] - t) <= SMOOTH_S / 2 + 1e-9
        if near.sum() >= 3:
            basis = np.column_stack([np.ones(near.sum()), walk[near, 0] - t])
            out[i, 1:] = np.linalg.lstsq(basis, walk[near, 1:], rcond=None)[0][0]
    return out


def best_shift(first: list[F8], second: list[F8]) -> tuple[float, float] | None:
    """Seconds to add to the first camera's times, less those of the second, and their sd; None: no walk in common.

    The sd is the jackknife's over pieces of walks: feet are off in the same way for seconds, so that the curve's own
    bend would promise far too much.
    """
    shifts = np.arange(-MOST_S, MOST_S + STEP_S / 2, STEP_S)
    pieces: list[F8] = []
    for a in first:
        for b in second:
            cost = np.array([_apart(a, b, shift) for shift in shifts])
            best = int(np.argmin(cost[:, 0]))
            if not np.isfinite(cost[:, 0]).all() or cost[best, 1] > APART_M or cost[best, 0] > 0.25 * APART_M**2:
                continue  # not together for long enough, or two different people
            pieces += _pieces(a, b, shifts)
    if len(pieces) < FEWEST_PIECES:
        return None
    total = np.sum(pieces, axis=0)
    shift = _lowest(shifts, total)
    without = [_lowest(shifts, total - piece) for piece in pieces]
    if shift is None or any(other is None for other in without):
        return None
    n = len(pieces)
    spread = np.array([float(other or 0.0) for other in without])
    sd = float(np.sqrt((n - 1) / n * np.sum((spread - spread.mean()) ** 2)))
    return shift, float(np.hypot(sd, STEP_S / 4))


def _lowest(shifts: F8, cost: F8) -> float | None:
    """Where a curve is lowest, between its points by a parabola; None at its ends."""
    best = int(np.argmin(cost))
    if best in (0, len(shifts) - 1):
        return None
    left, middle, right = cost[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return float(shifts[best] + (0.5 * STEP_S * (left - right) / bend if bend > 0 else 0.0))


def _pieces(a: F8, b: F8, shifts: F8) -> list[F8]:
    """The squared distances of two walks, less their mean, for each shift, summed over pieces of `SHORTEST_S`."""
    bound = MOST_S + 1e-9
    inner = a[(a[:, 0] - bound >= b[0, 0]) & (a[:, 0] + bound <= b[-1, 0])]
    if not len(inner):
        return []
    t = inner[:, :1] + shifts
    other = np.stack([np.interp(t, b[:, 0], b[:, axis]) for axis in (1, 2)], axis=2)
    difference = inner[:, None, 1:] - other
    squared = np.sum((difference - difference.mean(axis=0)) ** 2, axis=2)
    piece = ((inner[:, 0] - inner[0, 0]) / SHORTEST_S).astype(int)
    return [squared[piece == k].sum(axis=0) for k in np.unique(piece)]


def _apart(a: F8, b: F8, shift: float) -> tuple[float, float]:
    """The variance (m^2) of the distance between two walks, and its mean (m), with the first shifted in time."""
    t = a[:, 0] + shift
    both = (t >= b[0, 0]) & (t <= b[-1, 0])
    if both.sum() < 5 or t[both][-1] - t[both][0] < 0.7 * SHORTEST_S:
        return np.inf, np.inf
    other = np.column_stack([np.interp(t[both], b[:, 0], b[:, axis]) for axis in (1, 2)])
    difference = a[both, 1:] - other
    mean = difference.mean(axis=0)
    return float(np.sum((difference - mean) ** 2, axis=1).mean()), float(np.linalg.norm(mean))
