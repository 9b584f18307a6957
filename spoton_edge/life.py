"""Why each person has his id: the decisions of a life, as many as are worth keeping."""

from __future__ import annotations

from collections import deque

from spoton_edge.types import Event, Reason, Tracklets

KEPT = 64


class LifeBook:
    """The last decisions about each id; bounded by the people remembered."""

    def __init__(self) -> None:
        self._lives: dict[int, deque[Event]] = {}

    def decide(self, global_id: int, captured_ns: int, camera: int, reason: Reason, detail: str = "") -> None:
        life = self._lives.setdefault(global_id, deque(maxlen=KEPT))
        life.append(Event("decided", captured_ns, global_id, camera=camera, reason=reason, detail=detail))

    def note(self, global_id: int, captured_ns: int, seen: Tracklets, row: int, reason: Reason) -> None:
        """A tracklet became part of the person."""
        self.decide(global_id, captured_ns, int(seen.camera[row]), reason, f"track {int(seen.track_id[row])}")

    def lose(self, global_id: int, captured_ns: int, seen: Tracklets, row: int, other: int) -> None:
        """A tracklet was the person's, and turned out to be somebody else's."""
        detail = f"track {int(seen.track_id[row])} to {other}"
        self.decide(global_id, captured_ns, int(seen.camera[row]), Reason("overlap"), detail)

    def end(self, global_id: int) -> None:
        self._lives.pop(global_id, None)

    def of(self, global_id: int) -> list[Event]:
        return list(self._lives.get(global_id, ()))
