"""From tracklets of all cameras to people: gate, then cost, then one-to-one assignment.

Each step moves all tracks on, lets the tracklets of each camera compete for them, fuses what agrees, and only then
looks at what is left: strangers become candidates, sure candidates take up the id they can be, or get a new one.
Evidence is counted in nats throughout, so that place, looks and habit weigh what they are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from itertools import count

import numpy as np

from spoton_edge._ext import evidence, matching
from spoton_edge._ext import tracklets as tracklets_
from spoton_edge.crop_schedule import CropSchedule
from spoton_edge.gallery import Appearance
from spoton_edge.global_track import Motion, Records, TrackTable, joined
from spoton_edge.ground_plane import GroundPlane, Site
from spoton_edge.handoff import Handoff, Link
from spoton_edge.impostors import Impostor, Impostors
from spoton_edge.life import LifeBook, reasoned
from spoton_edge.looks import Looks
from spoton_edge.matching import Match, match_tracklets
from spoton_edge.naming import Verdict, judge
from spoton_edge.policy import Policy
from spoton_edge.resumption import Known, Resumption
from spoton_edge.roster import choose_views, global_tracks
from spoton_edge.stature import Stature, exchange, mixed
from spoton_edge.tracklet_book import TrackletBook, keys_of
from spoton_edge.twins import Twins
from spoton_edge.types import F4, F8, I2, I4, I8, U8, Bool, Event, GlobalTracks, Reason, Tracklets, TrackState

_ANGLE = np.arange(8) * np.pi / 4
AROUND = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], axis=1)  # the places a metre from one, (8, 2)
AROUND.flags.writeable = False
WATCHED_NS = 2_000_000_000  # a camera that saw a person so lately has not lost him


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
        self._tracks = TrackTable(Motion(max_speed_mps))
        self._lost: Records = self._tracks.record[:0]
        self._book = TrackletBook()
        self._looks = Looks(appearance, 2 * max_people, refresh_s)
        self._crops = CropSchedule(crops_per_batch, refresh_s, self._sizes)
        self._stature = Stature(self.policy, len(self.site.planes))
        self._twins = Twins(self.policy)
        sure_nats = self.policy.exchange_nats + self.policy.posterior_nats
        self._impostors = Impostors(self.policy.posterior_nats, sure_nats)
        self._named_ns: dict[int, int] = {}  # by uid, when somebody got a new id, of late
        self._not_he: dict[int, int] = {}  # by uid of a candidate, the id that he turned out not to have
        self._life = LifeBook()
        self._parted: dict[int, int] = {}  # by uid of a candidate, that of the person whose view began it
        self._next_id = next_id or count(first_id).__next__
        self._began_ns: int | None = None
        self._resumption: Resumption | None = None

    def known(self) -> list[Known]:
        """Everybody with an id who is followed now, for `resume` in another process."""
        record, entry = self._tracks.record, self._book.entry
        people = [] if self._resumption is None else self._resumption.waiting(self._tracks.now_ns)
        for row in np.flatnonzero(record["global_id"] >= 0):
            person, placed = record[row], bool(np.isfinite(self._tracks.state[row]).all())
            box = entry["box"][(entry["uid"] == person["uid"]) & (entry["camera"] == person["seen_camera"])]
            state = self._tracks.state[row].tolist() if placed else [0.0] * 4
            people.append(
                Known(
                    global_id=int(person["global_id"]),
                    born_ns=int(person["born_ns"]),
                    seen_ns=int(person["seen_ns"]),
                    xy=(state[0], state[1]) if placed else None,
                    velocity=(state[2], state[3]),
                    sd_m=float(self._tracks.position_sd(np.array([row]))[0]) if placed else 0.0,
                    camera=int(person["seen_camera"]),
                    foot=(float(person["seen_foot"][0]), float(person["seen_foot"][1])),
                    height_px=float(box[-1, 3] - box[-1, 1]) if len(box) else 0.0,
                )
            )
        return people

    def resume(self, people: Sequence[Known], resume_s: float) -> None:
        """Give these people their ids again if they turn up within `resume_s` of their last sight; before all steps."""
        self._resumption = Resumption(people, resume_s, self._tracks.motion, self.policy)

    def inherit(self, before: Associator) -> None:
        """Take over everybody that another one knows, which is done with then; camera numbers mean the same cameras,
        and the model of `appearance` is the same."""
        self.site.inherit(before.site)
        self._tracks, self._lost, self._book, self._life = before._tracks, before._lost, before._book, before._life
        self._tracks.motion = Motion(self.handoff.max_speed_mps)
        self._looks.inherit(before._looks)
        self._stature.inherit(before._stature)
        self._twins.inherit(before._twins)
        self._impostors, self._not_he, self._named_ns = before._impostors, before._not_he, before._named_ns
        self._crops.budget_hits = before.budget_hits
        self._next_id, self._began_ns = before._next_id, before._began_ns
        self._resumption = before._resumption

    def branch(self) -> Associator:
        """One that knows what this one knows and goes on by itself; ids are counted together, `explain` starts anew."""
        other = copy(self)
        other.site = deepcopy(self.site)
        other._tracks, other._lost, other._book = self._tracks.copy(), self._lost.copy(), deepcopy(self._book)
        other._looks, other._stature, other._twins = self._looks.copy(), deepcopy(self._stature), deepcopy(self._twins)
        other._crops, other._resumption = deepcopy(self._crops), deepcopy(self._resumption)
        other._impostors, other._not_he = deepcopy(self._impostors), dict(self._not_he)
        other._named_ns, other._parted, other._life = dict(self._named_ns), dict(self._parted), LifeBook()
        return other

    def forget_looks(self, appearance: Appearance | None) -> None:
        """Another Re-ID model describes people from now on: everybody keeps his id, and is looked at anew.

        appearance: statistics of the new model; None: learned on the site."""
        self._looks = self._looks.of_another_model(appearance)
        self._tracks.record["entry"] = self._lost["entry"] = -1
        self._book.entry["embedded_ns"] = 0
        self._impostors.keep(set())

    @property
    def budget_hits(self) -> int:
        """Steps in which more crops were wanted than the budget allows."""
        return self._crops.budget_hits

    @property
    def gallery(self) -> int:
        """People whose looks are remembered."""
        return self._looks.people

    def wanted(self, tracklets: Tracklets) -> Bool:
        """Which placed tracklets (T,) to embed now: new, stale, ambiguous or coming or going, within the budget.

        Never one that overlaps another person or is cut by the picture: its crop would teach the wrong looks.
        """
        return self._crops.wanted(tracklets, self._book, self._tracks, self._ambiguous)

    def _ambiguous(self, uid: I8) -> Bool:
        """Which tracks, by uid (n,), could be mistaken for others, or have been."""
        return self._twins.in_crowd(uid) | self._impostors.doubted(uid)

    def looks_since(self, after_ns: int) -> dict[int, tuple[F4, int]]:
        """By id, what people who are followed looked like last, unit vectors (D,), and when, where after `after_ns`."""
        record = self._tracks.record
        newest = {int(person["global_id"]): self._looks.newest(int(person["entry"])) for person in record}
        return {number: look for number, look in newest.items() if number >= 0 and look and look[1] > after_ns}

    def explain(self, global_id: int) -> list[Event]:
        """Why a track has its id: its decisions, oldest first; the last 64 are kept."""
        return self._life.of(global_id)

    def update(self, camera: I2, captured_ns: I8, tracklets: Tracklets) -> tuple[GlobalTracks, list[Event]]:
        """Take in one step of the cameras (B,) captured at captured_ns (B,); a camera not named saw nothing new.

        `tracklets` are placed (`Site.project`) and, where wanted, embedded.
        """
        seen = _in_order(tracklets)
        events: list[Event] = []
        dt_s = self._tracks.predict(max(int(captured_ns.max(initial=0)), self._tracks.now_ns))
        first = self._began_ns is None
        if self._began_ns is None:
            self._began_ns = self._tracks.now_ns
        weight = 1.0 if first else min(1.0, dt_s / self.policy.evidence_s)
        at = self._book.enter(seen, camera, self._tracks.now_ns)
        held = tracklets_.holders(self._book.entry, self._tracks.record, at)
        margin = self._book.entry["margin"][at]
        found = match_tracklets(seen, held, margin, self._tracks, self._told(), self._looks, self._stature, self.policy)
        self._fuse(seen, found.track)
        self._begin(seen, found.track, held, at)
        self._note(seen, found, held, at, events)
        flags = self._weigh(seen, found, camera, weight)
        looked = self._looks.learn(seen, found.track, held, at, self._book, self._tracks.record, self._impostors)
        self._stature.learn(seen, found.track, self._tracks, weight)
        for impostor in self._impostors.found():
            self._part(impostor, events)
        for one, other in self._twins.watch(self._tracks, flags, weight).tolist():
            if self._agree(seen, np.flatnonzero(found.track == one), np.flatnonzero(found.track == other)):
                self._join(one, other, events)
        self._tracks.sweep()
        for i, j, odds in self._stature.exchanged(self._tracks, self._twins.pairs):
            self._exchange(i, j, odds, events)
        self._name(events)
        if looked:
            self._rethink(events)
        self._retire(events)
        row = tracklets_.holders(self._book.entry, self._tracks.record, at)
        choose_views(self._tracks, self._book, seen, row, self._picture_height)
        return global_tracks(self._tracks, self._lost, self._lost_ns, self._book, seen, row), events

    def _told(self) -> Records:
        """The lost who are still told of."""
        return self._lost.compress(self._tracks.now_ns - self._lost["seen_ns"] <= self._lost_ns)

    def _fuse(self, seen: Tracklets, track: I4) -> None:
        """Feed matched foot points to their tracks; a view that disagrees beyond reason is taken off its track."""
        use = (track >= 0) & (seen.state == TrackState.VISIBLE) & np.isfinite(seen.ground_xy[:, 0])
        shown: I4 = np.where(use, track, -1)
        self.site.learn_bias(seen.camera, seen.ground_xy, shown, self._tracks.state)
        lag_s: F8 = (self._tracks.now_ns - seen.captured_ns).astype(np.float64) * 1e-9
        agreed = self._tracks.fuse(shown, seen.ground_xy, seen.ground_cov, lag_s, self.policy.gate)
        track[use & ~agreed] = -1

    def _begin(self, seen: Tracklets, track: I4, held: I4, at: I4) -> None:
        """Strangers become candidates; strangers of two cameras in one place become one."""
        started = len(self._tracks)
        for i in np.flatnonzero((track < 0) & (seen.state == TrackState.VISIBLE)).tolist():
            xy, r, camera = seen.ground_xy[i], seen.ground_cov[i], int(seen.camera[i])
            placed = bool(np.isfinite(xy[0]))
            if not placed and self.site.planes[camera] is not None:
                continue  # outside of the region, or at the horizon: does not count
            if placed and len(self._tracks) > started:
                lag_s = np.array([(self._tracks.now_ns - seen.captured_ns[i]) * 1e-9])
                near = matching.nearest(
                    seen.ground_xy,
                    seen.ground_cov,
                    seen.camera,
                    track,
                    self._tracks.state,
                    self._tracks.cov,
                    i,
                    started,
                    self.policy.gate,
                )
                if (
                    near >= 0
                    and self._agree(seen, np.array([i]), np.flatnonzero(track == near))
                    and self._tracks.fuse(np.array([near], np.int32), xy[None], r[None], lag_s, self.policy.gate).all()
                ):
                    track[i] = near
                    continue
            track[i] = self._tracks.begin(xy, r, int(seen.captured_ns[i]), camera, _feet(seen.xyxy[i : i + 1])[0])
            if held[i] >= 0 and self._tracks.record["global_id"][held[i]] >= 0:
                for_s = (int(seen.captured_ns[i]) - int(self._book.entry["first_ns"][at[i]])) * 1e-9
                if for_s >= self.policy.hold_s:  # shorter, it never was part of him
                    uid = self._tracks.record["uid"]
                    self._parted[int(uid[track[i]])] = int(uid[held[i]])

    def _agree(self, seen: Tracklets, one: I8, other: I8) -> bool:
        """Whether every foot point of the rows `one` could be in one place with every one of `other`."""
        return matching.agree(seen.ground_xy, seen.ground_cov, one, other, self.policy.gate)

    def _note(self, seen: Tracklets, found: Match, held: I4, at: I4, events: list[Event]) -> None:
        """Write down who is whom now, and tell of cameras that a person has come into."""
        record, entry, track = self._tracks.record, self._book.entry, found.track
        since_ns = self._tracks.now_ns - WATCHED_NS
        changes = tracklets_.changes(entry, record, track, held, seen.camera, seen.captured_ns, seen.track_id, since_ns)
        for i, global_id, came, now, when, track_id, other, watched in zip(*changes.tolist(), strict=True):
            grounds = found.distance_m.item(i), found.cosine.item(i), found.margin.item(i)
            self._life.note(global_id, when, now, track_id, grounds)
            if other >= 0:
                self._life.lose(other, when, now, track_id, global_id)
            if came != now and not watched:
                reason = reasoned("overlap", *grounds)
                events.append(Event("handed_off", when, global_id, camera=now, from_camera=came, reason=reason))
        evidence.note(
            record,
            self._tracks.state,
            self._tracks.cov,
            entry,
            at,
            track,
            seen.camera,
            seen.state,
            seen.captured_ns,
            seen.xyxy,
            seen.ground_cov,
            seen.foot,
        )

    def _weigh(self, seen: Tracklets, found: Match, camera: I2, weight: float) -> U8:
        """Weigh what was seen against what ought to have been seen: how sure it is that each track is a person.

        Returns what each camera has to do with each track, flags (M, C) IN_VIEW, EXPECTED, SHOWN.
        """
        policy = self.policy
        flags = self.site.sight(self._tracks.state[:, :2], seen.camera, seen.xyxy)
        evidence.weigh(
            self._tracks.record,
            flags,
            found.track,
            seen.camera,
            seen.state,
            found.explained.view(np.uint8),
            np.ascontiguousarray(camera),
            policy.hit_nats,
            policy.miss_nats,
            policy.shadow,
            weight,
            policy.most_nats,
        )
        return flags

    def _join(self, i: int, j: int, events: list[Event]) -> None:
        """Make two rows one person: the older id stays, and the row that goes is marked."""
        record = self._tracks.record
        ids = [int(record["global_id"][k]) for k in (i, j)]
        keep, drop = (i, j) if ids[1] < 0 or 0 <= ids[0] < ids[1] else (j, i)
        old, gone = int(record["global_id"][keep]), int(record["global_id"][drop])
        self._book.rename(int(record["uid"][drop]), int(record["uid"][keep]))
        record["entry"][keep] = self._looks.join(int(record["entry"][keep]), int(record["entry"][drop]))
        mixed(record, keep, float(record["tall"][drop]), float(record["tall_n"][drop]))
        self._tracks.drop(drop)
        if gone >= 0:
            distance = float(np.hypot(*(self._tracks.state[i, :2] - self._tracks.state[j, :2])))
            reason = Reason("overlap", distance)
            events.append(Event("merged", self._tracks.now_ns, old, other=gone, reason=reason))
            self._life.decide(old, self._tracks.now_ns, int(record["seen_camera"][keep]), reason, f"merged {gone}")
            self._life.end(gone)

    def _exchange(self, i: int, j: int, odds: float, events: list[Event]) -> None:
        """Two people were mistaken for one another when they met: each takes up his own id again."""
        record, now_ns = self._tracks.record, self._tracks.now_ns
        apart = self._tracks.state[i, :2] - self._tracks.state[j, :2]
        reason = reasoned("stature", float(np.hypot(*apart)), margin=odds)
        exchange(record, i, j)
        self._impostors.forget(record["uid"][[i, j]].tolist())
        one, other = int(record["global_id"][i]), int(record["global_id"][j])
        for row, mine, was in ((i, one, other), (j, other, one)):
            self._life.decide(mine, now_ns, int(record["seen_camera"][row]), reason, f"exchanged with {was}")
        events.append(Event("exchanged", now_ns, min(one, other), other=max(one, other), reason=reason))

    def _part(self, impostor: Impostor, events: list[Event]) -> None:
        """Somebody has another's id: the other was lost when they met, and he himself is a candidate since."""
        record, since = self._tracks.record, impostor.doubt.since
        at = int(self._tracks.rows_of(np.array([impostor.uid]))[0])
        global_id = int(record["global_id"][at]) if at >= 0 else -1
        if global_id < 0:
            return
        person = np.array([impostor.person], record.dtype)
        person["global_id"], person["entry"], person["uid"] = global_id, record["entry"][at], -1
        self._lost = joined(self._lost, person)
        events.append(Event("lost", self._tracks.now_ns, global_id, camera=int(impostor.person["seen_camera"])))
        record["global_id"][at] = record["best_view"][at] = -1
        record["entry"][at] = self._looks.open(impostor.doubt.crops)
        record["born_ns"][at], record["first_camera"][at] = since["seen_ns"], since["seen_camera"]
        for key in ("foot", "xy", "sd"):
            record[f"first_{key}"][at] = since[f"seen_{key}"]
        record["tall"][at] = record["tall_n"][at] = 0
        self._not_he[impostor.uid] = global_id

    def _name(self, events: list[Event]) -> None:
        """Sure candidates take up the id they can be, or get a new one."""
        table, record = self._tracks, self._tracks.record
        nameless = record["global_id"] < 0
        if self._parted:
            still = set(record["uid"][nameless].tolist())
            self._parted = {uid: whole for uid, whole in self._parted.items() if uid in still}
        # Where there is no floor, his camera's tracker knows all there is.
        least = np.where(np.isnan(table.state[:, 0]), 0.0, self.policy.sure_nats)
        candidates = np.flatnonzero(nameless & (record["sureness"] >= least)).astype(np.int32)
        if not len(candidates):
            return
        need = least[candidates]
        if table.now_ns - (self._began_ns or 0) > self.policy.settle_s * 1e9:
            need += self.policy.inner_nats * self._inner(table.state[candidates, :2])
        young = table.now_ns - record["born_ns"][candidates] < self.policy.hold_s * 1e9
        shadow = self._twins.shadows(table)[candidates]
        ready = candidates[(record["sureness"][candidates] >= need) & ~(young & shadow)]
        if self._resumption is not None and not self._resumption.over:
            ready = self._take_up(ready, self._resumption, events)
        if not len(ready):
            return
        unseen = np.flatnonzero((record["global_id"] >= 0) & (record["seen_ns"] < table.now_ns))
        options = joined(self._lost, record.take(unseen))
        found = np.zeros(len(options), np.bool_)
        verdicts = self._judge(ready, options, self.policy.posterior_nats)
        for row, verdict in zip(ready.tolist(), verdicts, strict=True):
            if verdict.option is None:
                continue
            if verdict.option >= 0:
                found[verdict.option] = True
                self._resume(row, options[verdict.option], verdict, events)
            else:
                self._appear(row, verdict, events)
            self._told_apart(row, events)
        for row in unseen[found[len(self._lost) :]]:
            self._book.rename(int(record["uid"][row]), -1)
            table.drop(int(row))
        self._lost = self._lost.compress(~found[: len(self._lost)])
        table.sweep()

    def _judge(self, rows: I4, options: Records, sure_nats: float) -> list[Verdict]:
        """Who of those out of sight each of these rows is."""
        looks, stature, policy = self._looks, self._stature, self.policy
        return judge(rows, options, self._tracks, self.handoff, looks, stature, policy, self._not_he, sure_nats)

    def _rethink(self, events: list[Event]) -> None:
        """Who got a new id a moment ago takes up an old one, where later looks at him say whose he is."""
        table, record, span_ns = self._tracks, self._tracks.record, self.policy.rethink_s * 1e9
        self._named_ns = {uid: when for uid, when in self._named_ns.items() if table.now_ns - when < span_ns}
        rows = table.rows_of(np.array(sorted(self._named_ns), np.int64))
        rows = rows[rows >= 0]
        rows = rows[(record["global_id"][rows] >= 0) & (record["entry"][rows] >= 0)]
        if not len(rows) or not len(self._lost):
            return
        found = np.zeros(len(self._lost), np.bool_)
        verdicts = self._judge(rows, self._lost, self.policy.rethink_nats)
        for row, verdict in zip(rows.tolist(), verdicts, strict=True):
            if verdict.option is None or verdict.option < 0:
                continue
            gone, old = int(record["global_id"][row]), self._lost[verdict.option]
            if int(old["global_id"]) > gone:
                continue
            found[verdict.option] = True
            events.append(Event("merged", table.now_ns, int(old["global_id"]), other=gone, reason=verdict.reason))
            self._life.end(gone)
            self._resume(row, old, verdict, events)
        self._lost = self._lost.compress(~found)

    def _told_apart(self, row: int, events: list[Event]) -> None:
        """Tell of who had another's id that he has one of his own now."""
        record, now_ns = self._tracks.record, self._tracks.now_ns
        whole = self._not_he.pop(int(record["uid"][row]), -1)
        if whole >= 0:
            own, camera = int(record["global_id"][row]), int(record["seen_camera"][row])
            self._life.decide(whole, now_ns, camera, Reason("looks"), f"split off {own}")
            events.append(Event("split", now_ns, whole, other=own, camera=camera, reason=Reason("looks")))

    def _take_up(self, ready: I4, resumption: Resumption, events: list[Event]) -> I4:
        """Candidates who were here before the restart get their ids again; the others, as far as they need not wait."""
        record = self._tracks.record
        found, wait = resumption.claim(ready, self._tracks)
        for row, known in found:
            record["global_id"][row], record["born_ns"][row] = known.global_id, known.born_ns
            camera, reason = int(record["first_camera"][row]), Reason("restart")
            when = self._tracks.now_ns
            self._life.decide(known.global_id, when, camera, reason, "resumed")
            events.append(
                Event("handed_off", when, known.global_id, camera=camera, from_camera=known.camera, reason=reason)
            )
        return ready[(record["global_id"][ready] < 0) & ~np.isin(ready, wait)]

    def _inner(self, xy: F8) -> F8:
        """1 for places (n, 2) that nobody can have come to unseen, as all around them is in view; else 0."""
        around = xy[:, None] + AROUND
        in_view = self.site.watched(around.reshape(-1, 2))
        return np.asarray(in_view.reshape(-1, 8).all(axis=1), np.float64)

    def _resume(self, row: int, old: Records, verdict: Verdict, events: list[Event]) -> None:
        record, now_ns, global_id = self._tracks.record, self._tracks.now_ns, int(old["global_id"])
        record["global_id"][row], record["born_ns"][row] = global_id, old["born_ns"]
        record["entry"][row] = self._looks.join(int(old["entry"]), int(record["entry"][row]))
        self._named_ns.pop(int(record["uid"][row]), None)
        mixed(record, row, float(old["tall"]), float(old["tall_n"]))
        camera, came = int(record["first_camera"][row]), int(old["seen_camera"])
        self._life.decide(global_id, now_ns, camera, verdict.reason, "resumed")
        events.append(Event("handed_off", now_ns, global_id, camera=camera, from_camera=came, reason=verdict.reason))

    def _appear(self, row: int, verdict: Verdict, events: list[Event]) -> None:
        record, now_ns = self._tracks.record, self._tracks.now_ns
        record["global_id"][row] = global_id = self._next_id()
        self._named_ns[int(record["uid"][row])] = now_ns
        camera = int(record["first_camera"][row])
        self._life.decide(global_id, now_ns, camera, verdict.reason, "appeared")
        events.append(Event("appeared", now_ns, global_id, camera=camera, reason=verdict.reason))
        whole = self._parted.get(int(record["uid"][row]), -1)
        rows = self._tracks.rows_of(np.array([whole]))
        if rows[0] >= 0 and record["global_id"][rows[0]] >= 0:
            apart = self._tracks.state[row, :2] - self._tracks.state[rows[0], :2]
            reason, old = reasoned("overlap", float(np.hypot(*apart))), int(record["global_id"][rows[0]])
            self._life.decide(old, now_ns, camera, reason, f"split off {global_id}")
            events.append(Event("split", now_ns, old, other=global_id, camera=camera, reason=reason))

    def _retire(self, events: list[Event]) -> None:
        """Candidates that nothing speaks for any more go; people nobody sees are lost, and in the end forgotten."""
        table, record, policy, now_ns = self._tracks, self._tracks.record, self.policy, self._tracks.now_ns
        dead, lost, doubtful = evidence.leaving(
            record,
            table.state,
            table.cov,
            now_ns,
            policy.hold_s,
            policy.hit_nats,
            policy.coast_s,
            policy.coast_sd_m,
            policy.leave_s,
        )
        if len(doubtful):
            lost = np.sort(np.concatenate([lost, doubtful[~self.site.watched(table.state[doubtful, :2])]]))
        for old in record.take(lost):
            events.append(Event("lost", now_ns, int(old["global_id"]), camera=int(old["seen_camera"])))
        for entry in record["entry"][dead]:
            self._looks.release(int(entry))
        if len(lost):
            self._lost = joined(self._lost, record.take(lost))
        for row in (*dead.tolist(), *lost.tolist()):
            table.drop(row)
        table.sweep()
        if len(dead) or len(lost):
            known = set(table.record["uid"].tolist())
            self._impostors.keep(known)
            self._not_he = {uid: global_id for uid, global_id in self._not_he.items() if uid in known}
            self._named_ns = {uid: when for uid, when in self._named_ns.items() if uid in known}
        self._forget(events)

    def _forget(self, events: list[Event]) -> None:
        """Those lost for too long, and the longest lost where they are too many."""
        if not len(self._lost):
            return
        now_ns, seen_ns = self._tracks.now_ns, self._lost["seen_ns"]
        gone = now_ns - seen_ns > self._forget_ns
        over = len(self._lost) - int(gone.sum()) - self._max_people
        if over > 0:
            gone[np.argsort(np.where(gone, np.iinfo(np.int64).max, seen_ns), kind="stable")[:over]] = True
        for old in self._lost.compress(gone):
            events.append(Event("ended", now_ns, int(old["global_id"]), camera=int(old["seen_camera"])))
            self._looks.release(int(old["entry"]))
            self._life.end(int(old["global_id"]))
        self._lost = self._lost.compress(~gone)


def _in_order(tracklets: Tracklets) -> Tracklets:
    """The rows by camera and track id, contiguous: the order of cameras in a batch is no matter."""
    order = keys_of(tracklets).argsort(kind="stable")
    return Tracklets(*(getattr(tracklets, name).take(order, axis=0) for name in Tracklets.__slots__))


def _feet(xyxy: F4) -> F8:
    """Foot points (n, 2) px of boxes."""
    return np.stack([0.5 * (xyxy[:, 0] + xyxy[:, 2]), xyxy[:, 3]], axis=1).astype(np.float64)
