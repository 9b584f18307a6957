"""What a subscriber of a whole site remembers of a run: ways by site id, handoffs between boxes, the moment to show."""

from __future__ import annotations

from collections import Counter

from spoton_edge.client import Event, Identities, Message, Missed, Tracks
from spoton_edge.demo import Story

Views = list[tuple[int, tuple[float, ...]]]  # site id, box in the picture


class SiteStory:
    """Hears the site service, and the boxes with cameras.

    Attributes:
        whole: what the site service tells.
        handoffs: by (from, to), people who came from one box to another.
        corrected: answers that were put right later.
        people: by box, who was there, by the box's ids.
        moment: by box, the number of the frame to show, from 1; and who is in it.
    """

    def __init__(self, rate_hz: float) -> None:
        self.whole = Story()
        self.handoffs: Counter[tuple[str, str]] = Counter()
        self.corrected = 0
        self.people: dict[str, set[int]] = {}
        self.moment: dict[str, tuple[int, Views]] = {}
        self._rate_hz = rate_hz
        self._began: dict[str, float] = {}
        self._now: dict[str, tuple[int, Views]] = {}
        self._best = (-1, -1)

    @property
    def apart_s(self) -> float:
        """How far the boxes' recordings are apart: they began when each box was ready."""
        return max(self._began.values(), default=0.0) - min(self._began.values(), default=0.0)

    def hear_site(self, message: Message | Missed) -> None:
        """A message of the site service."""
        self.whole.hear(message)
        if isinstance(message, Event):
            if message.event == "handed_off" and message.from_camera and message.from_camera != message.camera:
                self.handoffs[message.from_camera, message.camera or "?"] += 1
            self.corrected += message.event in ("merged", "split")

    def hear_box(self, box: str, message: Message | Missed) -> None:
        """A message of a box's daemon or uplink."""
        if isinstance(message, Identities):
            self.people.setdefault(box, set()).update(row.id for row in message.identities)
        if not isinstance(message, Tracks) or not message.captured:
            return
        captured = max(message.captured.values())
        began = self._began.setdefault(box, captured)
        views: Views = [
            (p.site_id, view.box or ()) for p in message.tracks if p.site_id is not None for view in p.views
        ]
        self._now[box] = round((captured - began) * self._rate_hz) + 1, views
        everybody = Counter(site_id for _, shown in self._now.values() for site_id, _ in shown)
        good = sum(count > 1 for count in everybody.values()), len(everybody)
        if good > self._best:
            self._best, self.moment = good, dict(self._now)


def short(site_id: int) -> str:
    """What is written of a site id where there is little room, as on the live map: its end, which differs most."""
    return f"{site_id % 10_000:04}"
