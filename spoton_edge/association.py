"""From tracklets of all cameras to people: gate, then cost, then one-to-one assignment.

Each step moves all tracks on, lets the tracklets of each camera compete for them, fuses what agrees, and only then
looks at what is left: strangers become candidates, sure candidates take up the id they can be, or get a new one.
Evidence is counted in nats throughout, so that place, looks and habit weigh what they are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import count

import numpy as np

from spoton_edge._ext import tracklets as tracklets_
from spoton_edge.births import begin
from spoton_edge.census import Census, Step
from spoton_edge.corrections import exchange_mistaken, join_twins, part_impostors
from spoton_edge.crop_schedule import CropSchedule
from spoton_edge.departures import forget, going_out, retire
from spoton_edge.gallery import Appearance
from spoton_edge.global_track import Motion, TrackTable
from spoton_edge.ground_plane import GroundPlane, Site
from spoton_edge.handoff import Handoff, Link
from spoton_edge.impostors import Impostors
from spoton_edge.looks import Looks
from spoton_edge.matching import match_tracklets
from spoton_edge.policy import Policy
from spoton_edge.recognition import name, rethink
from spoton_edge.resumption import Known, Resumption
from spoton_edge.roster import choose_views, global_tracks
from spoton_edge.sightings import fuse, note, weigh
from spoton_edge.stature import Stature, read
from spoton_edge.tracklet_book import keys_of
from spoton_edge.twins import Twins
from spoton_edge.types import F4, F8, I2, I8, VISIBLE, Bool, Event, GlobalTracks, Tracklets


class Associator:
    """Gives people their ids. One instance a site; not thread-safe; the same input gives the same output."""

    def __init__(
        self,
        planes: Sequence[GroundPlane | None] | Site,
        links: Sequence[Link] = (),
        *,
        max_speed_mps: float = 3.0,
        forget_s: float = 120.0,
        lost_s: float = 10.0,
        refresh_s: float = 1.0,
        crops_per_batch: int = 32,
        appearance: Appearance | None = None,
        max_people: int = 1024,
        next_id: Callable[[], int] | None = None,
        first_id: int = 1,
        policy: Policy | None = None,
    ) -> None:
        """
        planes      a Site, or a plane per camera; None for a camera that places nobody
        links       blind handoffs; a camera with links hands over by them only
        forget_s    how long a lost person may come back; lost_s: how long he is published as lost
        appearance  statistics of the Re-ID model; None: learned on the site
        max_people  lost people remembered at most; the longest lost go first
        next_id     where new ids come from; default: counting up from first_id
        """
        self.site = planes if isinstance(planes, Site) else Site(planes)
        self.policy = policy or Policy()
        sizes = [(np.nan, np.nan) if plane is None else plane.image_size for plane in self.site.planes]
        self._sizes = np.array(sizes, np.float64).reshape(-1, 2)
        self._picture_height = np.where(np.isfinite(self._sizes[:, 1]), self._sizes[:, 1], 1080.0)  # not known: full HD
        self.handoff = Handoff(tuple(links), self._sizes, max_speed_mps)
        self._forget_ns, self._lost_ns = int(forget_s * 1e9), int(lost_s * 1e9)
        self._max_people = max_people
        self._crops = CropSchedule(crops_per_batch, refresh_s, self._sizes)
        sure_nats = self.policy.exchange_nats + self.policy.posterior_nats
        self._census = Census(
            tracks=TrackTable(Motion(max_speed_mps)),
            looks=Looks(appearance, 2 * max_people, refresh_s),
            stature=Stature(self.policy, len(self.site.planes)),
            twins=Twins(self.policy),
            impostors=Impostors(self.policy.posterior_nats, sure_nats),
            next_id=next_id or count(first_id).__next__,
        )

    def update(self, camera: I2, captured_ns: I8, tracklets: Tracklets) -> tuple[GlobalTracks, list[Event]]:
        """Take in one step of the cameras (B,) captured at captured_ns (B,); a camera not named saw nothing new.

        `tracklets` are placed (`Site.project`) and, where wanted, embedded.
        """
        census, site, handoff, policy = self._census, self.site, self.handoff, self.policy
        tracks, looks, stature = census.tracks, census.looks, census.stature
        step = self._enter(camera, captured_ns, tracklets)
        seen, held = step.seen, step.held

        # Who is whom: by gate, cost and one-to-one assignment, with habit for hysteresis.
        gone = going_out(tracks, site)
        found = match_tracklets(step, census, gone, tracks.now_ns - self._lost_ns, policy)

        census.twins.meet(seen, step.placed, step.lag_s, found.track, tracks)

        # Where they are, strangers included; that they are people at all; what they look like.
        fuse(step, found.track, census, site, policy)
        begin(step, found.track, census, site, policy)
        note(step, found, census)
        flags = weigh(step, found, census, site, policy)
        looked = looks.learn(seen, found.track, held, step.at, census.book, tracks.record, census.impostors)
        stature.learn(seen, found.track, tracks, step.weight)

        # What turned out otherwise.
        part_impostors(step, census)
        join_twins(step, found.track, flags, census, policy)
        exchange_mistaken(step, census)

        # Ids for whom they are sure of, and the end of who is gone.
        name(step, census, site, handoff, policy)
        if looked:
            rethink(step, census, handoff, policy)
        retire(step, census, site, policy)
        forget(step, census, self._forget_ns, self._max_people)

        row = tracklets_.holders(census.book.entry, tracks.record, step.at)
        choose_views(tracks, census.book, seen, row, self._picture_height)
        return global_tracks(tracks, census.lost, self._lost_ns, census.book, seen, row), step.events

    def _enter(self, camera: I2, captured_ns: I8, tracklets: Tracklets) -> Step:
        """Move all tracks on to the step's time and bring its tracklets into the book."""
        census, (seen, keys) = self._census, _in_order(tracklets)
        dt_s = census.tracks.predict(max(census.tracks.now_ns, *captured_ns.tolist()))
        now_ns = census.tracks.now_ns
        weight = min(1.0, dt_s / self.policy.evidence_s)
        if census.began_ns is None:
            census.began_ns, weight = now_ns, 1.0
        camera = np.ascontiguousarray(camera)
        at = census.book.enter(seen, keys, camera, now_ns)
        held = tracklets_.holders(census.book.entry, census.tracks.record, at)
        placed = (seen.state == VISIBLE) & np.isfinite(seen.ground_xy[:, 0])
        lag_s: F8 = (now_ns - seen.captured_ns).astype(np.float64) * 1e-9
        return Step(camera, seen, at, held, placed, lag_s, weight, [])

    def wanted(self, tracklets: Tracklets) -> Bool:
        """Which placed tracklets (T,) to embed now: new, stale, ambiguous or coming or going, within the budget.

        Never one that overlaps another person or is cut by the picture: its crop would teach the wrong looks.
        """
        return self._crops.wanted(tracklets, self._census.book, self._census.tracks, self._ambiguous)

    def _ambiguous(self, uid: I8) -> Bool:
        """Which tracks, by uid (n,), could be mistaken for others, or have been."""
        return self._census.twins.in_crowd(uid) | self._census.impostors.doubted(uid)

    def known(self) -> list[Known]:
        """Everybody with an id who is followed now, for `resume` in another process."""
        return self._census.known()

    def resume(self, people: Sequence[Known], resume_s: float) -> None:
        """Give these people their ids again if they turn up within `resume_s` of their last sight; before all steps."""
        self._census.resumption = Resumption(people, resume_s, self._census.tracks.motion, self.policy)

    def inherit(self, before: Associator) -> None:
        """Take over everybody that another one knows, which is done with then; camera numbers mean the same cameras,
        and the model of `appearance` is the same."""
        self.site.inherit(before.site)
        self._census.inherit(before._census)
        self._crops.budget_hits = before.budget_hits

    def branch(self) -> Associator:
        """One that knows what this one knows and goes on by itself; ids are counted together, `explain` starts anew."""
        next_id = self._census.next_id
        return deepcopy(self, {id(next_id): next_id})

    def forget_looks(self, appearance: Appearance | None) -> None:
        """Another Re-ID model describes people from now on: everybody keeps his id, and is looked at anew.

        appearance: statistics of the new model; None: learned on the site."""
        census = self._census
        census.looks = census.looks.of_another_model(appearance)
        census.tracks.record["entry"] = census.lost["entry"] = -1
        census.book.entry["embedded_ns"] = 0
        census.impostors.keep(set())

    @property
    def budget_hits(self) -> int:
        """Steps in which more crops were wanted than the budget allows."""
        return self._crops.budget_hits

    @property
    def gallery(self) -> int:
        """People whose looks are remembered."""
        return self._census.looks.people

    def looks_since(self, after_ns: int) -> dict[int, tuple[F4, int]]:
        """By id, what people who are followed looked like last, unit vectors (D,), and when, where after `after_ns`."""
        record, looks = self._census.tracks.record, self._census.looks
        newest = {int(person["global_id"]): looks.newest(int(person["entry"])) for person in record}
        return {number: look for number, look in newest.items() if number >= 0 and look and look[1] > after_ns}

    def readings(self) -> dict[int, float]:
        """By id, how tall people have been read since this was asked last, m; of those who are followed."""
        return read(self._census.tracks.record)

    def explain(self, global_id: int) -> list[Event]:
        """Why a track has its id: its decisions, oldest first; the last 64 are kept."""
        return self._census.life.of(global_id)


def _in_order(tracklets: Tracklets) -> tuple[Tracklets, I8]:
    """The rows by camera and track id, contiguous, and their keys: the order of cameras in a batch is no matter."""
    keys = keys_of(tracklets)
    order = keys.argsort(kind="stable")
    rows = [getattr(tracklets, name).take(order, axis=0) for name in Tracklets.__slots__]
    return Tracklets(*rows), keys.take(order)
