"""How far a clock is behind another one, by round trips: the shortest of late knows best.

D. L. Mills, RFC 5905, section 8: half the round trip bounds the error, whatever the two ways of it took.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

KEPT = 16  # round trips
DRIFT = 50e-6  # by which two clocks may part, seconds a second


def wall_ahead_s() -> float:
    """How far our wall clock is ahead of our monotonic one. It changes where somebody sets the clock."""
    return time.time() - time.monotonic()


@dataclass(slots=True)
class Offset:
    """What must be added to our wall clock to have the other's, seconds.

    Trips are timed by the monotonic clock: what was measured before our clock was set is as good as before.
    """

    ahead_s: Callable[[], float] = wall_ahead_s
    _trips: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def measure(self, sent_s: float, answered: float, received_s: float) -> None:
        """Take in a round trip: when the question was sent and its answer received by our monotonic clock, and
        answered by the other's wall clock (Unix s)."""
        trip_s = received_s - sent_s
        if trip_s >= 0:
            self._trips.append((received_s, trip_s, answered - (sent_s + received_s) / 2))

    def at(self, now_s: float) -> tuple[float, float] | None:
        """The offset at a time of our monotonic clock, and how far off it may be; None: nothing was measured."""
        if not self._trips:
            return None
        when_s, trip_s, apart_s = min(self._trips, key=lambda trip: trip[1] / 2 + DRIFT * (now_s - trip[0]))
        return apart_s - self.ahead_s(), trip_s / 2 + DRIFT * (now_s - when_s)
