"""Why each person has his id: the decisions of a life, as many as are worth keeping."""

from __future__ import annotations

from collections import deque
from math import isfinite, nan

from spoton_edge.types import Event, Reason

KEPT = 64
Grounds = tuple[float, float, float]  # distance in m, cosine, margin in nats; NaN: not known

# When, camera, and why, with what is to be said of it: decisions are written down many times a step and seldom read.
# Why a tracklet is no longer the person's: the id of whom it shows.
_Decision = tuple[int, int, Reason | Grounds | int, str, int]


class LifeBook:
    """The last decisions about each id; bounded by the people remembered."""

    def __init__(self) -> None:
        self._lives: dict[int, deque[_Decision]] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> LifeBook:
        """Whoever goes his own way begins a book of his own: lives are long, and seldom asked for."""
        return LifeBook()

    def decide(self, global_id: int, captured_ns: int, camera: int, reason: Reason, detail: str = "") -> None:
        self._write(global_id, (captured_ns, camera, reason, detail, -1))

    def note(self, global_id: int, captured_ns: int, camera: int, track_id: int, grounds: Grounds) -> None:
        """A tracklet became part of the person."""
        self._write(global_id, (captured_ns, camera, grounds, "", track_id))

    def lose(self, global_id: int, captured_ns: int, camera: int, track_id: int, other: int) -> None:
        """A tracklet was the person's, and turned out to be somebody else's."""
        self._write(global_id, (captured_ns, camera, other, "", track_id))

    def end(self, global_id: int) -> None:
        self._lives.pop(global_id, None)

    def of(self, global_id: int) -> list[Event]:
        return [_told(global_id, decision) for decision in self._lives.get(global_id, ())]

    def _write(self, global_id: int, decision: _Decision) -> None:
        life = self._lives.get(global_id)
        if life is None:
            life = self._lives[global_id] = deque(maxlen=KEPT)
        life.append(decision)


def reasoned(gate: str, distance_m: float, cosine: float = nan, margin: float = nan) -> Reason:
    """A reason whose unknown numbers (NaN) are None."""
    return Reason(
        gate,
        float(distance_m) if isfinite(distance_m) else None,
        float(cosine) if isfinite(cosine) else None,
        float(margin) if isfinite(margin) else None,
    )


def _told(global_id: int, decision: _Decision) -> Event:
    captured_ns, camera, why, detail, track_id = decision
    if isinstance(why, int):
        reason, detail = Reason("overlap"), f" to {why}"
    else:
        reason = why if isinstance(why, Reason) else reasoned("overlap", *why)
    detail = f"track {track_id}{detail}" if track_id >= 0 else detail
    return Event("decided", captured_ns, global_id, camera=camera, reason=reason, detail=detail)
