"""How far a clock is behind another one, by round trips: the shortest of late knows best.

D. L. Mills, RFC 5905, section 8: half the round trip bounds the error, whatever the two ways of it took.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

KEPT = 16  # round trips
DRIFT = 50e-6  # by which two clocks may part, seconds a second


@dataclass(slots=True)
class Offset:
    """What must be added to our clock to have the other's. All times are seconds; `now_s` is monotonic."""

    _trips: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def measure(self, now_s: float, sent: float, answered: float, received: float) -> None:
        """Takes in a round trip: when the question was sent and its answer received by our clock, and answered by the
        other's."""
        trip_s = received - sent
        if trip_s >= 0:
            self._trips.append((now_s, trip_s, answered - (sent + received) / 2))

    def at(self, now_s: float) -> tuple[float, float] | None:
        """The offset and how far off it may be; None: nothing was measured."""
        if not self._trips:
            return None
        when_s, trip_s, offset_s = min(self._trips, key=lambda trip: trip[1] / 2 + DRIFT * (now_s - trip[0]))
        return offset_s, trip_s / 2 + DRIFT * (now_s - when_s)
