"""A simulated site of many boxes, as their uplinks would tell of it: no pictures, no networks, one seed.

Boxes stand in a row along a street, each sees a stretch of it; between two of them people are out of sight for a while,
or, with a negative gap, seen by both. Everybody walks from box to box, at times turns back, and leaves at the ends.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from spoton_edge.gallery import Appearance
from spoton_edge.site.identity import SiteIdentity
from spoton_edge.site.messages import Binding, BoxEvent, BoxMessage, BoxPlace, Head, Look, Sights, Statures
from spoton_edge.site.plan import Border, Passage, Rules
from spoton_edge.site.service import MARGIN_S, REBUILD_S
from spoton_edge.types import F8

LENGTH_M, WIDTH_M = 20.0, 10.0
EDGE_M = 2.0
START_S = 1_800_000_000.0
REPORT_S = 0.5


@dataclass
class Street:
    """`boxes` boxes with `gap_m` between what two neighbours see, and `people` of each box at the start."""

    boxes: int
    people: int = 5
    gap_m: float = 6.0
    noise_m: float = 0.08
    seed: int = 0
    look_alikes: float = 0.0  # share of people who look like somebody else
    look_noise: float = 0.35
    dimension: int = 0  # 0: no looks
    births: bool = False  # tell of births and deaths, as uplinks do
    statures: bool = False  # tell how tall people are read

    def __post_init__(self) -> None:
        self.names = tuple(f"box-{number:03d}" for number in range(self.boxes))
        self.pitch_m = LENGTH_M + self.gap_m
        self.runs = {name: f"{number:08x}" for number, name in enumerate(self.names)}

    @property
    def rules(self) -> Rules:
        passages = []
        for one, other in zip(self.names, self.names[1:], strict=False):
            there = Border(one, "east"), Border(other, "west")
            if self.gap_m > 0:
                travel_s = (self.gap_m / 2.5, self.gap_m / 0.5 + 4)
                passages += [Passage(*there, travel_s), Passage(*there[::-1], travel_s)]
        # Of two crops of one person the cosine is 1 / (1 + noise^2); of two people's that of random directions.
        looks = Appearance(1 / (1 + self.look_noise**2), 0.05, 0.0, self.dimension**-0.5) if self.dimension else None
        return Rules(self.names, tuple(passages), appearance=looks)

    def place(self, number: int) -> BoxPlace:
        x = number * self.pitch_m

        def stretch(a: float, b: float) -> tuple[tuple[float, float], ...]:
            return (x + a, 0.0), (x + b, 0.0), (x + b, WIDTH_M), (x + a, WIDTH_M)

        borders = {"west": stretch(0, EDGE_M), "east": stretch(LENGTH_M - EDGE_M, LENGTH_M)}
        return BoxPlace(stretch(0, LENGTH_M), borders)

    def steps(self, seconds: float) -> Iterator[tuple[float, list[BoxMessage], dict[tuple[str, str, int], int]]]:
        """Twice a second: the time, the messages of all boxes, and the person behind everybody told of in them."""
        rng = np.random.default_rng(self.seed)
        count = self.boxes * self.people
        x = np.repeat(np.arange(self.boxes) * self.pitch_m, self.people) + rng.uniform(1, LENGTH_M - 1, count)
        y, target_y = rng.uniform(1, WIDTH_M - 1, (2, count))
        speed = rng.uniform(0.7, 1.6, count) * rng.choice([-1.0, 1.0], count)
        vectors = self._appearances(count, rng)
        heights = np.random.default_rng(self.seed)
        tall_m = heights.normal(1.7, 0.08, count)
        held: dict[tuple[int, int], int] = {}
        born: dict[tuple[int, int], float] = {}
        last_id = dict.fromkeys(range(self.boxes), 0)
        seq: dict[tuple[str, str], int] = {}
        seen: dict[tuple[str, int], tuple[float, tuple[float, float], float]] = {}
        for step in range(int(seconds / REPORT_S)):
            time = START_S + step * REPORT_S
            x = x + speed * REPORT_S
            y += np.clip(target_y - y, -0.3, 0.3) * REPORT_S
            turned = rng.random(count) < 0.002
            # Who reaches an end of the street turns round out of sight, as somebody else would come in.
            turned |= ((x < -2) & (speed < 0)) | ((x > self.boxes * self.pitch_m + 2) & (speed > 0))
            speed = np.where(turned, -speed, speed)
            renewed = rng.random(count) < 0.01
            target_y = np.where(renewed, rng.uniform(1, WIDTH_M - 1, count), target_y)
            noise, look_noise = rng.normal(size=(2, count)), rng.normal(size=(count, max(self.dimension, 1)))
            messages: list[BoxMessage] = []
            who: dict[tuple[str, str, int], int] = {}
            for number, name in enumerate(self.names):
                left = number * self.pitch_m
                here = np.flatnonzero((x >= left) & (x <= left + LENGTH_M))
                for person in [p for b, p in held if b == number and p not in set(here.tolist())]:
                    del held[number, person]
                ids = []
                for person in here.tolist():
                    if (number, person) not in held:
                        last_id[number] += 1
                        held[number, person] = last_id[number]
                        born[number, person] = time
                    ids.append(held[number, person])
                    who[name, self.runs[name], ids[-1]] = person
                if step % 40 == 0:
                    messages.append(BoxEvent(self._head(seq, name, "events", time), "box", place=self.place(number)))
                xy = np.column_stack([x[here], y[here]]) + self.noise_m * noise[:, here].T
                messages.append(
                    Sights(
                        self._head(seq, name, "tracks", time),
                        np.array(ids, np.int64),
                        xy,
                        np.tile([self.noise_m**2, 0.0, self.noise_m**2], (len(ids), 1)),
                        np.array([time - born[number, person] for person in here.tolist()]),
                    )
                )
                if self.births:
                    messages += self._births(seq, name, time, seen, messages[-1])
                if self.statures:
                    read_m = tall_m[here] + heights.normal(0, 0.03, len(here))
                    told = dict(zip(ids, read_m.tolist(), strict=True))
                    messages.append(Statures(self._head(seq, name, "looks", time), told))
                if self.dimension:
                    for person, track in zip(here.tolist(), ids, strict=True):
                        if round((time - born[number, person]) / REPORT_S) % 4 == 1:
                            v = vectors[person] + self.look_noise * look_noise[person] / np.sqrt(self.dimension)
                            vector = (v / np.linalg.norm(v)).astype(np.float32)
                            messages.append(Look(self._head(seq, name, "looks", time), track, vector))
            yield time, messages, who

    def _births(
        self,
        seq: dict[tuple[str, str], int],
        name: str,
        time: float,
        seen: dict[tuple[str, int], tuple[float, tuple[float, float], float]],
        sights: BoxMessage,
    ) -> Iterator[BoxMessage]:
        """Of a box between its last positions, which are as `seen`, and these."""
        assert isinstance(sights, Sights)
        spread = (self.noise_m**2, 0.0, self.noise_m**2)
        here = {
            (name, track): (time, (xy[0], xy[1]), age_s)
            for track, xy, age_s in zip(sights.id.tolist(), sights.xy.tolist(), sights.age_s.tolist(), strict=True)
        }
        for key in [key for key in seen if key[0] == name and key not in here]:
            when, at, age_s = seen.pop(key)
            yield BoxEvent(self._head(seq, name, "events", when), "died", key[1], -1, at, spread, age_s)
        for key in [key for key in here if key not in seen]:
            when, at, age_s = here[key]
            yield BoxEvent(self._head(seq, name, "events", when), "born", key[1], -1, at, spread, age_s)
        seen |= here

    def _head(self, seq: dict[tuple[str, str], int], name: str, kind: str, time: float) -> Head:
        seq[name, kind] = seq.get((name, kind), 0) + 1
        return Head(name, self.runs[name], "0a", seq[name, kind], time, 0.0, 0.005)

    def _appearances(self, count: int, rng: np.random.Generator) -> F8:
        vectors = rng.normal(size=(count, max(self.dimension, 1)))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        alike = np.flatnonzero(rng.random(count) < self.look_alikes)
        vectors[alike] = vectors[(alike + 1) % count]
        return vectors


Key = tuple[str, str, int]


def play(
    street: Street,
    seconds: float,
    *,
    late_by: Callable[[str, float], float] = lambda box, time: 0.05,
    rules: Rules | None = None,
    starts_anew_s: Collection[float] = (),
) -> tuple[SiteIdentity, dict[Key, int], list[Binding]]:
    """The service's knowledge after `seconds`, who is behind everybody told of, and every answer that was given.

    late_by: how long a message of a box, captured at `time`, takes to come; rules: others than the street's;
    starts_anew_s: when the service is another one, which knows what was told and the messages of the last minutes.
    """
    rules = rules or street.rules
    identity = SiteIdentity(rules)
    came: list[tuple[float, BoxMessage]] = []
    truth: dict[Key, int] = {}
    told: list[Binding] = []
    waiting: list[tuple[float, int, BoxMessage]] = []
    order = itertools.count()
    for time, messages, who in street.steps(seconds):
        truth |= who
        for message in messages:
            heapq.heappush(waiting, (time + late_by(message.head.box, time), next(order), message))
        for now in (time + 0.1 * k for k in range(5)):
            while waiting and waiting[0][0] <= now:
                due, _, message = heapq.heappop(waiting)
                came.append((now, message))
                identity.take(message, max(due, now))
            told += identity.advance(now).bindings
        if any(time - REPORT_S < START_S + when_s <= time for when_s in starts_anew_s):
            since_s = time - rules.forget_s - REBUILD_S
            noted = {(binding.box, binding.run, binding.id): binding.site_id for binding in told}
            identity = SiteIdentity(rules, noted, identity.places, since_s=since_s + MARGIN_S)
            for message in [message for when, message in came if when >= since_s]:
                identity.take(message, now)
            told += identity.finish().bindings
    for due, _, message in sorted(waiting, key=lambda entry: entry[:2]):
        identity.take(message, due)
    told += identity.finish().bindings
    return identity, truth, told


def mistaken(answers: Mapping[Key, int], truth: Mapping[Key, int]) -> int:
    """How many people of boxes have an id that is mostly somebody else's."""
    bearers: dict[int, Counter[int]] = {}
    for key, person in truth.items():
        if key in answers:
            bearers.setdefault(answers[key], Counter())[person] += 1
    return sum(count.total() - max(count.values()) for count in bearers.values())
