"""People who stop looking like themselves: a camera's tracker went on with somebody else when two of them met.

What each crop says for and against a person is summed from where it first spoke against him (E. S. Page, Continuous
inspection schemes, Biometrika 1954). While he is in doubt his crops are kept apart instead of being learned. Where the
doubt outgrows what encounters mistaken are rare by, he was last himself when it began, and who is followed since is
somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from spoton_edge.types import F4, I8, Bool

KEPT_CROPS = 4  # of those since it began; the latest


@dataclass(frozen=True, slots=True)
class Crop:
    """What somebody looked like, where and when."""

    vector: F4
    camera: int
    captured_ns: int


@dataclass(slots=True)
class Doubt:
    """What speaks against a person's being himself."""

    since: np.void  # his row of the track table at the first crop that does
    nats: float = 0.0
    crops: list[Crop] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Impostor:
    """Somebody who has another's id: the person's row when he was last himself, and what is known since."""

    uid: int
    person: np.void
    doubt: Doubt


class Impostors:
    """Keeps watch over all who have an id; by the uids of the track table."""

    def __init__(self, learn_nats: float, sure_nats: float) -> None:
        """learn_nats: of doubt, at which crops are no longer learned; sure_nats: at which it is not he."""
        self._learn_nats, self._sure_nats = learn_nats, sure_nats
        self._himself: dict[int, np.void] = {}
        self._doubts: dict[int, Doubt] = {}

    def look(self, row: np.void, nats: float, crop: Crop) -> bool:
        """A crop says so much for (above 0) the person of this row of the table, as it is now; whether to learn it."""
        uid = int(row["uid"])
        doubt = self._doubts.get(uid)
        if doubt is None:
            if nats >= 0:
                self._himself[uid] = row.copy()
                return True
            doubt = self._doubts[uid] = Doubt(row.copy())
        doubt.nats -= nats
        if doubt.nats <= 0:
            del self._doubts[uid]
            self._himself[uid] = row.copy()
            return True
        doubt.crops = [*doubt.crops, crop][-KEPT_CROPS:]
        return doubt.nats < self._learn_nats

    def doubted(self, uid: I8) -> Bool:
        """Who, by uid (n,), is in doubt."""
        doubted = [one for one, doubt in self._doubts.items() if doubt.nats >= self._learn_nats]
        return np.isin(uid, doubted) if doubted else np.zeros(len(uid), np.bool_)

    def found(self) -> list[Impostor]:
        """Those of whom it is now beyond doubt, each told once."""
        if not self._doubts:
            return []
        ripe = [uid for uid, doubt in self._doubts.items() if doubt.nats >= self._sure_nats and uid in self._himself]
        return [Impostor(uid, self._himself.pop(uid), self._doubts.pop(uid)) for uid in sorted(ripe)]

    def forget(self, uids: Iterable[int]) -> None:
        """Begin anew with these."""
        for uid in uids:
            self._himself.pop(uid, None)
            self._doubts.pop(uid, None)

    def keep(self, uids: set[int]) -> None:
        """Forget everybody else."""
        self.forget((self._himself.keys() | self._doubts.keys()) - uids)
