"""What systemd is told of a running daemon: when it is ready, that it does its work, and how it fares in one line."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from textwrap import shorten

from spoton_edge.systemd import Systemd
from spoton_edge.types import REFUSED, Status

log = logging.getLogger(__name__)

ANSWER_S = 10.0  # a camera that says neither yes nor no for so much longer than `stall_s` holds the start up no more


class Health:
    """Ready once every camera is live or known to be down. The watchdog is fed by what was published; where there is
    nothing to publish, because no camera is live or none is late yet, by being asked."""

    def __init__(self, systemd: Systemd, stall_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """stall_s: how long a live camera may be silent."""
        self._systemd = systemd
        self.stall_s = stall_s
        self._clock = clock
        self._began_s = self._sent_s = clock()
        self._sent = 0
        self.ready = False

    def beat(self, states: Mapping[str, str], sent: int) -> bool:
        """Between any two batches; whether it is ready from now on. states: of the cameras, by name; sent: `tracks`
        messages that have gone out."""
        now = self._clock()
        if sent != self._sent:
            self._sent, self._sent_s = sent, now
        if now - self._sent_s < self.stall_s or "live" not in states.values():
            self._systemd.feed()
        return not self.ready and self._await_cameras(states, now)

    def _await_cameras(self, states: Mapping[str, str], now: float) -> bool:
        waiting = [name for name, state in states.items() if state == "connecting"]
        if waiting and now - self._began_s < self.stall_s + ANSWER_S:
            return False
        if waiting:
            log.warning("no answer yet from %s; started without", ", ".join(waiting))
        self.ready = True
        self._systemd.ready()
        return True

    def tell(self, status: Status, note: str = "") -> None:
        """Once a second. note: what else the operator should know."""
        self._systemd.status(summary(status) + (f"; {note}" if note else ""))


def summary(status: Status) -> str:
    """Cameras up and down, batch rate, people and calibrations that cannot be used, in one line."""
    live = sum(camera.state == "live" for camera in status.cameras)
    down = Counter(camera.state for camera in status.cameras if camera.state != "live")
    names = [camera.name for camera in status.cameras if camera.state != "live"]
    cameras = f"{live} of {len(status.cameras)} cameras live"
    if down:
        states = ", ".join(f"{count} {state}" for state, count in sorted(down.items()))
        cameras += f" ({states}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"
    told = f"{cameras}; {status.batch_rate_hz:.1f} batches/s; {status.people} people"
    refused = [camera for camera in status.cameras if (camera.unplaced or "").startswith(REFUSED)]
    if refused:
        more = f" (and {', '.join(camera.name for camera in refused[1:4])})" if len(refused) > 1 else ""
        told += f"; {refused[0].name}{more}: {shorten(refused[0].unplaced or '', 120, placeholder=' ...')}"
    return told
