"""What never came: a box numbers its messages by uplink and kind, and a number that is missing is a lost message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from spoton_edge.site.messages import Head

LINKS = 4  # of a box's uplinks the last are remembered: one that was cut off may still have to tell


class Losses:
    """Counts them, and goes on counting where another one left off.

    Args:
        before: `numbers` of another one, if everything since has been or will be taken, none if there was nothing;
            None: of the first message of an uplink nobody knows how many there were before it.

    Attributes:
        lost: by box.
        numbers: by box, uplink and kind the last one that came.
    """

    def __init__(self, before: Mapping[str, Mapping[str, Mapping[str, int]]] | None = None) -> None:
        self.lost: Counter[str] = Counter()
        known = (before or {}).items()
        self.numbers = {box: {link: dict(kinds) for link, kinds in links.items()} for box, links in known}
        self._complete = before is not None

    def take(self, kind: str, head: Head) -> dict[str, Any] | None:
        """Note a message that has come; what to tell of those before it that never will."""
        links = self.numbers.setdefault(head.box, {})
        if head.link not in links and len(links) == LINKS:
            del links[next(iter(links))]
        kinds = links.setdefault(head.link, {})
        before = kinds.get(kind, 0 if self._complete else head.seq - 1)
        kinds[kind] = max(head.seq, before)
        lost = head.seq - before - 1
        if lost <= 0:
            return None
        self.lost[head.box] += lost
        return {"box": head.box, "of": kind, "lost": lost, "until": head.time}
