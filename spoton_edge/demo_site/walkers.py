"""The people of the simulated box: whoever leaves the clip over its lower edge walks on there.

The box looks over the ground below the picture of box E and 3 m into it. In there it sees the people whom E sees, with
errors and ids of its own; beyond, where nobody filmed, they go on as they went, and leave at the far end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spoton_edge.messages import Tracks
from spoton_edge.types import F8, GlobalTracks, TrackState, Views

SIZE_M = (22.0, 14.0)
SHARED_M = 3.0  # of the box's depth that E sees, too
NOISE_M = 0.08
SLOWEST_MPS, FASTEST_MPS = 0.8, 2.0  # of somebody who walks on
SETTLE = 0.2  # share of a new velocity: what the daemon says of somebody who comes to the edge is not steady
SAME_M = 1.0
UNSEEN_S = 0.4  # by E: then he walks on alone
AREA = ((0.0, 0.0), (SIZE_M[0], 0.0), SIZE_M, (0.0, SIZE_M[1]))


@dataclass(slots=True)
class _Walker:
    xy: F8
    velocity: F8
    born: float
    seen: float  # by E


class Walkers:
    """People by E's ids; places are metres on the box's own ground, times Unix seconds."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._walkers: dict[int, _Walker] = {}
        self._number: dict[int, int] = {}  # the box's own id, by E's
        self._last = 0
        self._now = 0.0

    def move(self, message: Tracks, seen: dict[int, tuple[F8, F8]]) -> GlobalTracks:
        """Go on to when a message of E was captured.

        seen: by E's id, place and velocity (2,) of everybody whom E sees there, on this box's ground.
        """
        now = max(message.captured.values())
        dt_s, self._now = now - (self._now or now), now
        for number, (xy, velocity) in seen.items():
            walker = self._walkers.get(number)
            if walker is not None:
                walker.xy, walker.seen = xy, now
                walker.velocity = (1 - SETTLE) * walker.velocity + SETTLE * velocity
            elif _is_inside(xy) and xy[1] > SIZE_M[1] - SHARED_M and not self._take_over(number, xy, seen):
                self._walkers[number] = _Walker(xy, velocity, now, now)
                self._last += 1
                self._number[number] = self._last
        for walker in self._walkers.values():
            if walker.seen < now:
                walker.xy = walker.xy + dt_s * _walking(walker.velocity)
        gone = [number for number, walker in self._walkers.items() if self._has_left(walker)]
        for number in gone:
            del self._walkers[number], self._number[number]
        return self._people()

    def _take_over(self, number: int, xy: F8, seen: dict[int, tuple[F8, F8]]) -> bool:
        """Whom E has given a new id goes on as the same walker."""
        for old, walker in self._walkers.items():
            if old not in seen and np.hypot(*(walker.xy - xy)) < SAME_M:
                self._walkers[number], self._number[number] = self._walkers.pop(old), self._number.pop(old)
                self._walkers[number].xy, self._walkers[number].seen = xy, self._now
                return True
        return False

    def _has_left(self, walker: _Walker) -> bool:
        """Beyond an edge; or out of E's sight on his way back into the clip."""
        turned_back = walker.seen < self._now - UNSEEN_S and walker.velocity[1] > 0
        return not _is_inside(walker.xy) or turned_back

    def _people(self) -> GlobalTracks:
        rows = sorted((self._number[number], walker) for number, walker in self._walkers.items())
        count = len(rows)
        xy = np.array([walker.xy for _, walker in rows]).reshape(-1, 2)
        return GlobalTracks(
            global_id=np.array([number for number, _ in rows], np.int64),
            xy=xy + NOISE_M * self._rng.normal(size=xy.shape),
            velocity=np.array([walker.velocity for _, walker in rows]).reshape(-1, 2),
            cov=np.tile([NOISE_M**2, 0.0, NOISE_M**2], (count, 1)),
            state=np.full(count, TrackState.VISIBLE, np.uint8),
            age_s=np.array([self._now - walker.born for _, walker in rows]),
            best_view=np.zeros(count, np.int16),
            views=Views(
                np.arange(count, dtype=np.int32),
                np.zeros(count, np.int16),
                np.array([number for number, _ in rows], np.int64),
                np.zeros((count, 4), np.float32),
                np.ones(count, np.float32),
            ),
        )


def _is_inside(xy: F8) -> bool:
    return bool(0 <= xy[0] <= SIZE_M[0] and 0 <= xy[1] <= SIZE_M[1])


def _walking(velocity: F8) -> F8:
    """At a walker's pace, away from the edge over which he came."""
    ahead = np.array([velocity[0], min(velocity[1], -0.5)])
    speed = float(np.hypot(*ahead))
    return np.asarray(ahead * (np.clip(speed, SLOWEST_MPS, FASTEST_MPS) / speed))
