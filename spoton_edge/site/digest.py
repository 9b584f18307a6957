"""From what a box's daemon publishes to what its site needs: positions twice a second, births, deaths and crossings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spoton_edge.messages import Event, Message, Site, Track, Tracks
from spoton_edge.polygons import convex_hull, inside
from spoton_edge.site.clock import Offset
from spoton_edge.site.messages import BoxEvent, BoxMessage, BoxPlace, Head, Look, Polygon, Sights, Statures
from spoton_edge.types import F4, F8

REPORT_S = 0.5
EMPTY_S = 2.0  # while nobody is there
DEAD_S = 2.0  # unseen for so long
PLACE_S = 20.0  # the box's place again, for a site that does not know it


@dataclass(slots=True)
class _Person:
    seen: float  # Unix s
    xy: tuple[float, float]
    cov: tuple[float, float, float]
    age_s: float
    within: set[str] = field(default_factory=set)  # borders


class Pose:
    """From a box's ground to the site's: (x, y) in metres, heading in degrees, counter-clockwise."""

    def __init__(self, pose: tuple[float, float, float]) -> None:
        heading = math.radians(pose[2])
        self._turn = np.array([[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]])
        self._shift = np.array(pose[:2])

    def place(self, xy: F8) -> F8:
        """(n, 2) m -> (n, 2) m."""
        return np.asarray(xy @ self._turn.T + self._shift)

    def spread(self, cov: F8) -> F8:
        """Covariances (n, 3) xx, xy, yy -> (n, 3)."""
        full = cov[:, [0, 1, 1, 2]].reshape(-1, 2, 2)
        return np.asarray((self._turn @ full @ self._turn.T).reshape(-1, 4)[:, [0, 1, 3]])

    def polygon(self, corners: Iterable[tuple[float, float]]) -> Polygon:
        return tuple((float(x), float(y)) for x, y in self.place(np.array(list(corners)).reshape(-1, 2)))


class Digest:
    """Takes the daemon's messages; gives those for the site.

    Args:
        box: its name.
        link: the uplink's own run.
        pose: see `Pose`.
        borders: by name, polygons on the box's ground, metres.
        offset: how far this machine's clock is behind the site's.
        shares: whether the box tells what people look like.
    """

    def __init__(
        self,
        box: str,
        link: str,
        pose: tuple[float, float, float],
        borders: dict[str, Sequence[tuple[float, float]]],
        offset: Offset,
        *,
        shares: bool = False,
    ) -> None:
        self._shares = shares
        self._box, self._link, self._offset = box, link, offset
        self._pose = Pose(pose)
        self._borders = {name: self._pose.polygon(corners) for name, corners in borders.items()}
        self._corners = {name: np.array(corners) for name, corners in self._borders.items()}
        self._outline: Polygon = ()
        self._people: dict[int, _Person] = {}
        self._run = "0"
        self._count: Counter[str] = Counter()
        self._reported = self._placed = -math.inf
        self._now = 0.0

    @property
    def alive(self) -> set[tuple[str, int]]:
        """Run and id of everybody who has been told of."""
        return {(self._run, person) for person in self._people}

    def take(self, message: Message, now_s: float) -> Iterator[BoxMessage]:
        """What to tell of a message; now_s: monotonic."""
        if isinstance(message, Site):
            floor = [corner for camera in message.cameras for corner in camera["footprint"]]
            outline = convex_hull(np.array(self._pose.polygon(floor)).reshape(-1, 2))
            self._outline = tuple((x, y) for x, y in outline.tolist()) if len(floor) > 2 else ()
            self._placed = -math.inf
        elif isinstance(message, Tracks) and message.captured:
            yield from self._take_tracks(message, now_s)
        elif isinstance(message, Event) and message.event == "merged" and message.run == self._run:
            yield from self._take_merged(message, now_s)

    def look(self, number: int, vector: F4, now_s: float) -> Look | None:
        """A prototype of somebody in sight."""
        person = self._people.get(number)
        return None if person is None else Look(self._head("looks", person.seen, now_s), number, vector)

    def statures(self, tall_m: Mapping[int, float], now_s: float) -> Statures | None:
        """How tall people were read, by id, in m, since this was told last: as of their last positions."""
        told = {number: tall for number, tall in tall_m.items() if number in self._people}
        return Statures(self._head("looks", self._reported, now_s), told) if told else None

    def gap(self, lost: int, now_s: float) -> BoxEvent:
        """So many messages could not be written."""
        return BoxEvent(self._head("events", self._now, now_s), "gap", lost=lost)

    def _take_merged(self, message: Event, now_s: float) -> Iterator[BoxMessage]:
        if message.id is not None and message.other is not None:
            self._people.pop(message.other, None)
            yield BoxEvent(self._head("events", message.captured, now_s), "merged", message.id, message.other)

    def _take_tracks(self, message: Tracks, now_s: float) -> Iterator[BoxMessage]:
        self._now = time = max(message.captured.values())
        if message.run != self._run:
            self._run = message.run
            self._people.clear()
            self._placed = -math.inf
        if time - self._placed >= PLACE_S:
            self._placed = time
            place = BoxPlace(self._outline, self._borders, self._shares)
            yield BoxEvent(self._head("events", time, now_s), "box", place=place)
        seen = [track for track in message.tracks if track.state == "visible" and _is_placed(track)]
        xy = self._pose.place(np.array([(track.x, track.y) for track in seen], np.float64).reshape(-1, 2))
        cov = self._pose.spread(np.array([track.cov for track in seen], np.float64).reshape(-1, 3))
        cov[:, [0, 2]] = np.maximum(cov[:, [0, 2]], 1e-4) + 1e-6  # rounded on the way, it may have become none
        born = False
        for track, at, spread in zip(seen, xy.tolist(), cov.tolist(), strict=True):
            person = self._people.get(track.id)
            if person is None:
                person = self._people[track.id] = _Person(time, at, spread, track.age_s)
                yield self._told("born", track.id, person, time, now_s)
                born = True
            person.seen, person.xy, person.cov, person.age_s = time, at, spread, track.age_s
            yield from self._crossings(track.id, person, now_s)
        due_s = REPORT_S if seen else EMPTY_S
        if born or time - self._reported >= due_s or time // due_s > self._reported // due_s:
            self._reported = time
            ids, age_s = np.array([track.id for track in seen], np.int64), np.array([track.age_s for track in seen])
            yield Sights(self._head("tracks", time, now_s), ids, xy, cov, age_s)
        for number, person in [entry for entry in self._people.items() if time - entry[1].seen > DEAD_S]:
            yield self._told("died", number, person, person.seen, now_s)
            del self._people[number]

    def _crossings(self, number: int, person: _Person, now_s: float) -> Iterator[BoxEvent]:
        for name, corners in self._corners.items():
            is_in = bool(inside(corners, np.array([person.xy]))[0])
            if is_in != (name in person.within):
                person.within ^= {name}
                yield self._told("entered" if is_in else "left", number, person, person.seen, now_s, name)

    def _told(
        self, event: str, number: int, person: _Person, time: float, now_s: float, border: str | None = None
    ) -> BoxEvent:
        head = self._head("events", time, now_s)
        return BoxEvent(head, event, number, -1, person.xy, person.cov, person.age_s, border)

    def _head(self, kind: str, time: float, now_s: float) -> Head:
        self._count[kind] += 1
        offset_s, doubt_s = self._offset.at(now_s) or (None, 0.0)
        return Head(self._box, self._run, self._link, self._count[kind], time, offset_s, doubt_s)


def _is_placed(track: Track) -> bool:
    return track.x is not None and track.cov is not None and all(map(math.isfinite, track.cov))
