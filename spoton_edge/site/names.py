"""Site ids: which one each person has, and each person of a box.

A site id is made of when its first bearer was born and a checksum of who that is on which box. So it is the same
wherever and whenever it is worked out, needs no counter that outlives the service, grows with time, and is told once.
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

EPOCH_MS = 1_577_836_800_000  # 2020; ids stay below 2^53 until 2089
SUM_BITS = 12

Key = tuple[str, str, int]  # box, run of its daemon, id there


@dataclass(frozen=True, slots=True)
class Change:
    """Somebody on a box has another site id than before, or his first."""

    key: Key
    site_id: int
    event: str  # appeared, handed_off, merged, split


def made_of(key: Key, born_ms: int) -> int:
    """The site id that is called after somebody on a box."""
    box, run, number = key
    checksum = zlib.crc32(f"{box}/{run}/{number}".encode()) & ((1 << SUM_BITS) - 1)
    return (max(born_ms - EPOCH_MS, 1) << SUM_BITS) | checksum


def as_told(named: Mapping[Key, int], told: Mapping[Key, int], newest: Iterable[Key], than_ms: float) -> dict[int, int]:
    """How ids must change places for everybody to go on with what he was told to be, where that is an id whose first
    bearer was born before `than_ms`, Unix time.

    Args:
        named: by somebody on a box, the id that was worked out without knowing what was told.
        told: what was.
        newest: those named, who was seen last first. One person's last self decides. Of two people who were told to be
            one, he goes on with it who has been there longer: it is the other one who was split off.
    """
    wanted: dict[int, int] = {}
    giver: dict[int, int] = {}
    for key in sorted(newest, key=lambda key: named[key]):  # ids grow with time
        site_id, old = named[key], told.get(key)
        if old is not None and _born_ms(old) < than_ms and site_id not in wanted and old not in giver:
            wanted[site_id], giver[old] = old, site_id
    # No two may share an id at any time: whose id is taken has one that was given up.
    for taken in giver.keys() - wanted.keys():
        free = taken
        while free in giver:
            free = giver[free]
        wanted[taken] = free
    return wanted


def _born_ms(site_id: int) -> int:
    """When the first bearer of a site id was born."""
    return (site_id >> SUM_BITS) + EPOCH_MS


class Names:
    """Who is called what.

    Attributes:
        site_id: by somebody on a box.
    """

    def __init__(self) -> None:
        self.site_id: dict[Key, int] = {}
        self._of_person: dict[int, int] = {}  # by the associator's id
        self._born_ms: dict[Key, int] = {}
        self._renamed: Mapping[int, int] = {}

    def copy(self) -> Names:
        """The same, to go its own way."""
        other = Names()
        other.site_id, other._of_person = dict(self.site_id), dict(self._of_person)
        other._born_ms, other._renamed = dict(self._born_ms), self._renamed
        return other

    def rename(self, changes: Mapping[int, int]) -> None:
        """Have ids change places, now and whenever they are worked out again."""
        self._renamed = changes
        self.site_id = {key: changes.get(site_id, site_id) for key, site_id in self.site_id.items()}
        self._of_person = {person: changes.get(site_id, site_id) for person, site_id in self._of_person.items()}

    def born(self, key: Key, born_ms: int) -> None:
        """Note when somebody was born; what is noted first stays."""
        self._born_ms.setdefault(key, born_ms)

    def take(self, person_of: Mapping[Key, int]) -> list[Change]:
        """Name everybody seen in a step, by who that is to the associator. What changed."""
        together: dict[int, list[Key]] = {}
        for key, person in person_of.items():
            together.setdefault(person, []).append(key)
        bearers = set(self._of_person.values())  # whether they are here or may come back
        changes: list[Change] = []
        for person, members in together.items():
            if person not in self._of_person:
                self._of_person[person] = self._choose(members, bearers)
                bearers.add(self._of_person[person])
            site_id = self._of_person[person]
            for key in members:
                was = self.site_id.get(key)
                if was != site_id:
                    self.site_id[key] = site_id
                    changes.append(Change(key, site_id, self._kind(key, site_id, was, bearers)))
        return changes

    def merge(self, stays: Key, gone: Key) -> list[Change]:
        """A box found that two of its people are one."""
        site_id, was = self.site_id.get(stays), self.site_id.get(gone)
        if site_id is None or site_id == was:
            return []
        self.site_id[gone] = site_id
        return [Change(gone, site_id, "handed_off" if was is None else "merged")]

    def of_person(self, person: int) -> int:
        """The site id of somebody by the associator's id; 0: none yet."""
        return self._of_person.get(person, 0)

    def end(self, person: int) -> None:
        """The associator has forgotten somebody."""
        self._of_person.pop(person, None)

    def forget(self, key: Key) -> None:
        """Somebody on a box will not be heard of again."""
        self.site_id.pop(key, None)
        self._born_ms.pop(key, None)

    def _choose(self, members: list[Key], bearers: Container[int]) -> int:
        """The id of a person who has none: what his oldest self is called already, if nobody else is, or a new one
        that is called after that."""
        by_age = sorted(members, key=lambda key: (self._born_ms[key], key))
        for key in by_age:
            old = self.site_id.get(key)
            if old is not None and old not in bearers:
                return old
        made = made_of(by_age[0], self._born_ms[by_age[0]])
        while (site_id := self._renamed.get(made, made)) in bearers:
            made += 1
        return site_id

    def _kind(self, key: Key, site_id: int, was: int | None, bearers: Container[int]) -> str:
        if was is None:
            return "appeared" if site_id == made_of(key, self._born_ms[key]) else "handed_off"
        return "split" if was in bearers else "merged"
