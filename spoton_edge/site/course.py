"""What the service holds true of a site at one moment, and the step to the next. No clock, no network.

A course is made of the same steps whether messages come as they happen or all at once after an outage, so it ends in
the same ids. It can be branched, so that late messages are taken in where they belong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from spoton_edge.site import plan
from spoton_edge.site.messages import BoxEvent, BoxMessage, BoxPlace, Head, Look, Sights, Statures
from spoton_edge.site.names import Change, Key, Names
from spoton_edge.site.plan import Rules
from spoton_edge.types import F4, F8, I8, GlobalTracks

SAME_NS = 15_000_000_000  # who was seen so long before his box started anew may have kept his id
MOST_DOUBT_S = 0.5  # of a clock that is known to be off
LOOK_WAITS_NS = 3_000_000_000  # for the next sight of its owner


@dataclass(frozen=True, slots=True)
class Told:
    """What a step has changed: answers with the gate that opened for them, and whom nobody will hear of again."""

    changes: list[tuple[Change, str | None]] = field(default_factory=list)
    forgotten: list[Key] = field(default_factory=list)
    people: GlobalTracks | None = None
    camera: tuple[int, ...] = ()
    captured_ns: tuple[int, ...] = ()
    site_ids: tuple[int, ...] = ()  # of the people; 0: none yet


class _Rows(NamedTuple):
    """People of one box at one time."""

    keys: list[Key]
    camera: int
    when_ns: int
    doubt_s: float
    xy: F8
    cov: F8
    age_s: F8


class Course:
    """One way that things may have gone. Times are ns of the site's clock."""

    def __init__(self, rules: Rules, places: Mapping[str, BoxPlace]) -> None:
        self.rules = rules
        self.names = Names()
        self.places = dict(places)
        self._number_of_box = {name: number for number, name in enumerate(rules.boxes)}
        self._associator = plan.build(rules, self.places)
        self._numbers: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}
        self._seen_ns: dict[Key, int] = {}
        self._looks: dict[Key, tuple[int, F4]] = {}
        self._run_now: dict[str, str] = {}
        self._run_before: dict[str, tuple[str, int]] = {}
        self._next_number = 1
        self._dimension = 0
        self._swept_ns = 0

    def branch(self) -> Course:
        """The same, to go its own way."""
        other = copy(self)
        other._associator, other.names, other.places = self._associator.branch(), self.names.copy(), dict(self.places)
        other._numbers, other._keys = dict(self._numbers), dict(self._keys)
        other._run_now, other._run_before = dict(self._run_now), dict(self._run_before)
        other._seen_ns, other._looks = dict(self._seen_ns), dict(self._looks)
        return other

    @property
    def newest(self) -> list[Key]:
        """Everybody on boxes who is remembered, who was seen last first."""
        return sorted(self._seen_ns, key=lambda key: (-self._seen_ns[key], key))

    def recall(self, changes: Mapping[int, int], away: Mapping[Key, int], since_s: float) -> None:
        """Have site ids change places, and those who were told to be somebody, but have not been seen since then, be
        that."""
        self.names.rename(changes)
        self.names.site_id |= away
        self._seen_ns |= dict.fromkeys(away, int(1e9 * since_s))

    def step(self, messages: Iterable[tuple[int, BoxMessage]]) -> Told:
        """Take in what boxes told within one short span, with its times by the site's clock, in any order."""
        told = Told()
        rows: dict[int, list[_Rows]] = {}  # by camera
        boxes: dict[int, int] = {}
        tall_m: dict[Key, float] = {}
        merged: list[tuple[Key, Key]] = []
        moved = False
        for when_ns, message in sorted(messages, key=lambda entry: (entry[0], entry[1].head.box, entry[1].head.seq)):
            box, run = message.head.box, message.head.run
            camera = self._number_of_box[box]
            doubt_s = _doubt_s(message.head, self.rules.sync_window_s)
            self._mind_run(box, run, when_ns)
            match message:
                case Sights(xy=xy, cov=cov, age_s=age_s):
                    boxes[camera] = when_ns
                    keys = [(box, run, person) for person in message.id.tolist()]
                    rows[camera] = [_Rows(keys, camera, when_ns, doubt_s, xy, cov, age_s)]
                case Look():
                    self._looks[box, run, message.id] = when_ns, message.vector
                case Statures():
                    tall_m |= {(box, run, person): tall for person, tall in message.tall_m.items()}
                case BoxEvent(event="box", place=BoxPlace() as place):
                    moved |= self.places.get(box) != place
                    self.places[box] = place
                case BoxEvent(event="merged"):
                    merged.append(((box, run, message.id), (box, run, message.other)))
                case BoxEvent(event="born" | "died", xy=tuple() as at, cov=tuple() as spread):
                    # Enough to go by where positions were lost.
                    key = (box, run, message.id)
                    boxes.setdefault(camera, when_ns)
                    told_of = rows.setdefault(camera, [])
                    if not any(key in others.keys for others in told_of):
                        place_of = np.array([at]), np.array([spread]), np.array([message.age_s])
                        told_of.append(_Rows([key], camera, when_ns, doubt_s, *place_of))
        if moved:
            before, self._associator = self._associator, plan.build(self.rules, self.places)
            self._associator.inherit(before)
        if boxes:
            told = self._associate([part for camera in sorted(rows) for part in rows[camera]], boxes, tall_m)
        for stays, gone in merged:
            told.changes.extend((change, "box") for change in self.names.merge(stays, gone))
        return told

    def _associate(self, parts: list[_Rows], boxes: dict[int, int], tall_m: Mapping[Key, float]) -> Told:
        now_ns = max(boxes.values())
        camera = sorted(boxes)
        keys = [key for part in parts for key in part.keys]
        sizes = [len(part.keys) for part in parts]
        when_ns = np.repeat(np.array([part.when_ns for part in parts], np.int64), sizes)
        numbers = self._numbers_of(keys, when_ns, np.concatenate([part.age_s for part in parts]))
        self._seen_ns |= dict.fromkeys(keys, now_ns)
        people, events = self._associator.update(
            np.array(camera, np.int16),
            np.array([boxes[number] for number in camera], np.int64),
            plan.tracklets(
                np.repeat(np.array([part.camera for part in parts], np.int16), sizes),
                np.array(numbers, np.int64),
                when_ns,
                np.concatenate([part.xy for part in parts]),
                np.concatenate([part.cov for part in parts]),
                np.repeat(np.array([part.doubt_s for part in parts], np.float64), sizes),
                np.array([tall_m.get(key, np.nan) for key in keys], np.float64),
                self._looks_of(keys, now_ns),
                [self.places.get(name) for name in self.rules.boxes],
            ),
        )
        gates = {event.global_id: event.reason.gate for event in events if event.reason is not None}
        keys = [self._keys[number] for number in people.views.track_id.tolist()]
        person_of = dict(zip(keys, people.global_id[people.views.row].tolist(), strict=True))
        changes = self.names.take(person_of)
        for event in events:
            if event.kind in ("ended", "merged"):
                self.names.end(event.global_id if event.kind == "ended" else event.other)
        return Told(
            [(change, gates.get(person_of[change.key])) for change in changes],
            self._sweep(now_ns),
            people,
            tuple(camera),
            tuple(boxes[number] for number in camera),
            tuple(map(self.names.of_person, people.global_id.tolist())),
        )

    def _numbers_of(self, keys: list[Key], when_ns: I8, age_s: F8) -> list[int]:
        """What the associator calls people of boxes (T,), told of at when_ns (T,) to be so old."""
        numbers = []
        for k, key in enumerate(keys):
            number = self._numbers.get(key)
            if number is None:
                number = self._number(key, int(when_ns[k]) // 1_000_000 - round(1e3 * float(age_s[k])))
            numbers.append(number)
        return numbers

    def _number(self, key: Key, born_ms: int) -> int:
        """A number for somebody who has none: unique also where a box starts anew and counts from 1."""
        self.names.born(key, born_ms)
        number = self._numbers[key] = self._number_before(key) or self._next_number
        self._keys[number] = key
        self._next_number = max(self._next_number, number + 1)
        return number

    def _number_before(self, key: Key) -> int | None:
        """Of whom a box that has started anew says that he is still the one whom it called so."""
        box, run, person = key
        before = self._run_before.get(box)
        if before is None or before[0] == run:
            return None
        old = box, before[0], person
        return self._numbers.pop(old, None) if self._seen_ns.get(old, 0) > before[1] - SAME_NS else None

    def _mind_run(self, box: str, run: str, when_ns: int) -> None:
        """Note which run of a box's daemon there was before this one, and when it ended."""
        now = self._run_now.get(box)
        if now != run:
            if now is not None:
                self._run_before[box] = now, when_ns
            self._run_now[box] = run

    def _looks_of(self, keys: list[Key], now_ns: int) -> F4:
        """The newest prototypes of those in sight (T, D), each used once."""
        found = {k: self._looks.pop(key)[1] for k, key in enumerate(keys) if key in self._looks}
        if found and not self._dimension:
            self._dimension = len(next(iter(found.values())))
        looks = np.zeros((len(keys), self._dimension), np.float32)
        for k, vector in found.items():
            if len(vector) == self._dimension:  # of another model: cannot be compared
                looks[k] = vector
        self._looks = {key: look for key, look in self._looks.items() if now_ns - look[0] < LOOK_WAITS_NS}
        return looks

    def _sweep(self, now_ns: int) -> list[Key]:
        """Once a second: those on boxes who have not been told of for longer than anybody is remembered."""
        if now_ns - self._swept_ns < 1_000_000_000:
            return []
        self._swept_ns = now_ns
        since_ns = now_ns - int(self.rules.forget_s * 1e9)
        gone = [key for key, seen_ns in self._seen_ns.items() if seen_ns < since_ns]
        for key in gone:
            del self._seen_ns[key]
            number = self._numbers.pop(key, None)
            if number is not None:  # else he goes on in his box's next run
                del self._keys[number]
            self.names.forget(key)
        return gone


def _doubt_s(head: Head, window_s: float) -> float:
    """How far a message's time may be off. A clock that is far off is seldom steady, so that it is doubted further; but
    what was measured of it holds, or everybody near would be taken for one."""
    if head.offset_s is None:
        return window_s
    return head.doubt_s + (min(0.1 * abs(head.offset_s), MOST_DOUBT_S) if abs(head.offset_s) > window_s else 0.0)
