"""The gate between one sight of a person and the next: boolean and physical, decided before any appearance is compared.

A lost person may be taken up again by a new tracklet only if somebody could have got there: by the camera links of the
config where the first camera has any, and at a walking speed wherever both places are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from spoton_edge.types import F8, I2, I8, Bool

QUADRANTS = ("upper_left", "upper_right", "lower_left", "lower_right")
NO_GATE, WALK_GATE, FIRST_LINK = -2, -1, 0


@dataclass(frozen=True)
class Link:
    """People who leave `camera` in `zone` come into `to`, in `enter` if it is given, after travel_s (least, most)."""

    camera: int
    zone: str | Sequence[Sequence[float]]  # a quadrant, or a polygon in pixels
    to: int
    travel_s: tuple[float, float]
    enter: str | Sequence[Sequence[float]] | None = None


@dataclass(frozen=True)
class Sight:
    """Where and when people were seen, one row each: the last sight of the lost, the first of the new."""

    camera: I2  # (n,) -1: none
    foot: F8  # (n, 2) px
    seen_ns: I8  # (n,)
    xy: F8  # (n, 2) m; NaN: not placed
    sd_m: F8  # (n,) of xy


@dataclass(frozen=True)
class Handoff:
    """All links of a site. image_sizes (C, 2) px is needed for quadrants; NaN or missing rows know none."""

    links: Sequence[Link]
    image_sizes: F8
    max_speed_mps: float = 3.0
    _linked: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        for link in self.links:
            least, most = link.travel_s
            if not 0 <= least <= most:
                raise ValueError(f"travel_s {list(link.travel_s)}: wants 0 <= least <= most")
            for zone, camera in ((link.zone, link.camera), (link.enter, link.to)):
                if isinstance(zone, str) and zone not in QUADRANTS:
                    raise ValueError(f"zone {zone!r} is none of {', '.join(QUADRANTS)}")
                if isinstance(zone, str) and not np.isfinite(self.image_sizes[camera]).all():
                    raise ValueError(f"zone {zone!r}: the image size of camera {camera} is not known; use a polygon")
        object.__setattr__(self, "_linked", frozenset(link.camera for link in self.links))

    def gates(self, lost: Sight, new: Sight) -> I2:
        """Which gate is open from each lost (L,) to each new sight (N,): (L, N) of NO_GATE, WALK_GATE or a link.

        The same camera needs no link; without a place on the floor it is open, as nothing speaks against it.
        """
        gap_s = (new.seen_ns[None, :] - lost.seen_ns[:, None]) * 1e-9
        distance = np.linalg.norm(new.xy[None] - lost.xy[:, None], axis=2)
        placed = np.isfinite(distance)
        reach = self.max_speed_mps * np.maximum(gap_s, 0) + 3.0 * np.hypot(lost.sd_m[:, None], new.sd_m[None, :])
        near = np.where(placed, distance <= reach, True)
        same = lost.camera[:, None] == new.camera[None, :]
        linked = np.isin(lost.camera, list(self._linked))[:, None]
        out = np.where((same | (~linked & placed)) & near & (gap_s > 0), WALK_GATE, NO_GATE).astype(np.int16)
        for k, link in enumerate(self.links):
            leaves = (lost.camera == link.camera) & self._in_zone(link.zone, link.camera, lost.foot)
            enters = (new.camera == link.to) & self._in_zone(link.enter, link.to, new.foot)
            in_time = (gap_s >= link.travel_s[0]) & (gap_s <= link.travel_s[1])
            out[leaves[:, None] & enters[None, :] & in_time & near & ~same] = FIRST_LINK + k
        return out

    def _in_zone(self, zone: str | Sequence[Sequence[float]] | None, camera: int, foot: F8) -> Bool:
        """Which foot points (n, 2) px lie in a quadrant or polygon; all where there is no zone."""
        if zone is None:
            return np.ones(len(foot), np.bool_)
        if isinstance(zone, str):
            width, height = self.image_sizes[camera]
            left, upper = foot[:, 0] < width / 2, foot[:, 1] < height / 2
            return np.asarray((left == ("left" in zone)) & (upper == ("upper" in zone)))
        return in_polygon(zone, foot)


def in_polygon(polygon: ArrayLike, points: F8) -> Bool:
    """Which points (n, 2) lie in a polygon (m, 2), by the even-odd rule."""
    a = np.asarray(polygon, np.float64).reshape(-1, 2)
    b = np.roll(a, 1, axis=0)
    x, y = points[:, :1], points[:, 1:]
    crosses = (a[:, 1] > y) != (b[:, 1] > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = x < (b[:, 0] - a[:, 0]) * (y - a[:, 1]) / (b[:, 1] - a[:, 1]) + a[:, 0]
    return np.asarray((crosses & left).sum(axis=1) % 2 == 1)
