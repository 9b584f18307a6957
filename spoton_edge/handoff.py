"""The gate between one sight of a person and the next: boolean and physical, decided before any appearance is compared.

A lost person may be taken up again by a new tracklet only if somebody could have got there: by the camera links of the
config where the first camera has any, and at a walking speed wherever both places are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spoton_edge._ext import handoff
from spoton_edge._ext.handoff import FIRST_LINK, NO_GATE, WALK_GATE
from spoton_edge.types import F8, I2, I4, I8, U8

__all__ = ["FIRST_LINK", "NO_GATE", "QUADRANTS", "WALK_GATE", "Handoff", "Link", "Sight"]

QUADRANTS = ("upper_left", "upper_right", "lower_left", "lower_right")


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
    _table: tuple[I2, F8, U8, I4, F8] = field(init=False)  # the links, as `ext/handoff.pyx` reads them

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
        object.__setattr__(self, "_table", self._tabled())

    def gates(self, lost: Sight, new: Sight) -> I2:
        """Which gate is open from each lost (L,) to each new sight (N,): (L, N) of NO_GATE, WALK_GATE or a link.

        The same camera needs no link; without a place on the floor it is open, as nothing speaks against it.
        """
        return handoff.gates(
            lost.camera,
            lost.foot,
            lost.seen_ns,
            lost.xy,
            lost.sd_m,
            new.camera,
            new.foot,
            new.seen_ns,
            new.xy,
            new.sd_m,
            *self._table,
            self.max_speed_mps,
        )

    def _tabled(self) -> tuple[I2, F8, U8, I4, F8]:
        """Cameras (K, 2), travel_s (K, 2), kinds of zones (K, 2), where their corners start (2 K + 1,), corners."""
        cameras = np.array([(link.camera, link.to) for link in self.links], np.int16).reshape(-1, 2)
        travel_s = np.array([link.travel_s for link in self.links], np.float64).reshape(-1, 2)
        zones = [
            self._zone(zone, camera)
            for link in self.links
            for zone, camera in ((link.zone, link.camera), (link.enter, link.to))
        ]
        kinds = np.array([kind for kind, _ in zones], np.uint8).reshape(-1, 2)
        starts = np.cumsum([0, *(len(corners) for _, corners in zones)], dtype=np.int32)
        return cameras, travel_s, kinds, starts, np.concatenate([np.zeros((0, 2)), *(corners for _, corners in zones)])

    def _zone(self, zone: str | Sequence[Sequence[float]] | None, camera: int) -> tuple[int, F8]:
        """Its kind and corners; of a quadrant the picture's middle and the way from there."""
        if zone is None:
            return handoff.ANYWHERE, np.zeros((0, 2))
        if isinstance(zone, str):
            way = [-1.0 if "left" in zone else 1.0, -1.0 if "upper" in zone else 1.0]
            return handoff.QUADRANT, np.array([self.image_sizes[camera] / 2, way])
        return handoff.POLYGON, np.asarray(zone, np.float64).reshape(-1, 2)
