"""Everybody on the site, and all that is known of them between two steps.

What an associator knows is in its `Census`, what it was configured with is not: so knowledge can be handed on to
another associator, or doubled, as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np

from spoton_edge.global_track import Records, TrackTable, joined
from spoton_edge.impostors import Impostors
from spoton_edge.life import LifeBook
from spoton_edge.looks import Looks
from spoton_edge.resumption import Known, Resumption
from spoton_edge.stature import Stature
from spoton_edge.tracklet_book import TrackletBook
from spoton_edge.twins import Twins
from spoton_edge.types import F8, I2, I4, Bool, Event, Tracklets


@dataclass(slots=True)
class Census:
    """Who is followed, who is lost, and what tells them apart.

    A part that has settings of its own beside what it has learned has a method `inherit`.
    """

    tracks: TrackTable
    looks: Looks
    stature: Stature
    twins: Twins
    impostors: Impostors
    next_id: Callable[[], int]  # where new ids come from
    lost: Records = field(init=False)  # people with an id who are out of sight, the longest first
    book: TrackletBook = field(default_factory=TrackletBook)
    life: LifeBook = field(default_factory=LifeBook)
    named_ns: dict[int, int] = field(default_factory=dict)  # by uid, when somebody got a new id, of late
    not_he: dict[int, int] = field(default_factory=dict)  # by uid of a candidate, the id that he turned out not to have
    parted: dict[int, int] = field(default_factory=dict)  # by uid of a candidate, that of whom his view was before
    began_ns: int | None = None  # the first step
    resumption: Resumption | None = None  # those from before a restart

    def __post_init__(self) -> None:
        self.lost = self.tracks.record[:0]

    def inherit(self, before: Census) -> None:
        """Take over all that another one knows, which is done with then; settings stay as they are here."""
        for part in fields(self):
            mine, theirs = getattr(self, part.name), getattr(before, part.name)
            if hasattr(mine, "inherit"):
                mine.inherit(theirs)
            else:
                setattr(self, part.name, theirs)

    def lost_since(self, since_ns: int) -> Records:
        """Those who were lost then or later."""
        late = self.lost["seen_ns"] >= since_ns
        return self.lost if late.all() else self.lost.compress(late)

    def lose(self, people: Records) -> None:
        """People with an id are out of sight from now on."""
        self.lost = joined(self.lost, people)

    def known(self) -> list[Known]:
        """Everybody with an id who is followed now, and who is waited for since a restart."""
        tracks, record, entry = self.tracks, self.tracks.record, self.book.entry
        people = [] if self.resumption is None else self.resumption.waiting(tracks.now_ns)
        for row in np.flatnonzero(record["global_id"] >= 0):
            person, placed = record[row], bool(np.isfinite(tracks.state[row]).all())
            box = entry["box"][(entry["uid"] == person["uid"]) & (entry["camera"] == person["seen_camera"])]
            state = tracks.state[row].tolist() if placed else [0.0] * 4
            people.append(
                Known(
                    global_id=int(person["global_id"]),
                    born_ns=int(person["born_ns"]),
                    seen_ns=int(person["seen_ns"]),
                    xy=(state[0], state[1]) if placed else None,
                    velocity=(state[2], state[3]),
                    sd_m=float(tracks.position_sd(np.array([row]))[0]) if placed else 0.0,
                    camera=int(person["seen_camera"]),
                    foot=(float(person["seen_foot"][0]), float(person["seen_foot"][1])),
                    height_px=float(box[-1, 3] - box[-1, 1]) if len(box) else 0.0,
                )
            )
        return people


@dataclass(frozen=True, slots=True)
class Step:
    """What came in at once, with what was known of it before; row i of the arrays (T,) is tracklet i."""

    camera: I2  # (B,) that had a frame
    seen: Tracklets  # by camera and track id
    at: I4  # (T,) rows in the book
    held: I4  # (T,) row of the track that each has been so far, -1: none
    placed: Bool  # (T,) visible, and on the floor
    lag_s: F8  # (T,) how long ago it was
    weight: float  # how much of a fresh look it is: frames near each other repeat each other
    events: list[Event]  # what is told of it
