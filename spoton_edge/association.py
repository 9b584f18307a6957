"""From tracklets of all cameras to people: gate, then cost, then one-to-one assignment.

Each step moves all tracks on, lets the tracklets of each camera compete for them, fuses what agrees, and only then
looks at what is left: strangers become candidates, sure candidates take up a lost id that they can be, or get a new one.
Costs are negative log likelihoods (nats) throughout, so that place, looks and habit weigh what they are worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from spoton_edge._ext import ground
from spoton_edge.assignment import assign
from spoton_edge.belief import Beliefs
from spoton_edge.gallery import OTHER_CAMERA, SAME_CAMERA, Appearance, Evidence, Gallery
from spoton_edge.global_track import Motion, Records, TrackTable
from spoton_edge.ground_plane import GroundPlane, Site
from spoton_edge.handoff import NO_GATE, WALK_GATE, Handoff, Link, Sight
from spoton_edge.life import LifeBook
from spoton_edge.tracklet_book import TrackletBook, keys_of
from spoton_edge.types import (
    F4,
    F8,
    I2,
    I4,
    I8,
    Bool,
    Event,
    FootPoint,
    GlobalTracks,
    Reason,
    Tracklets,
    TrackState,
    Views,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers of the identity stage. Nats are natural-log units of evidence."""

    gate: float = 13.8  # squared Mahalanobis distance, 2 degrees of freedom: one true pair in 1,000 is shut out
    held_gate: float = 25.0  # for the track that a tracklet has been so far
    agree: float = 16.0  # views of one person differ by more only once in 3,000
    stranger_per_m2: float = 0.02  # density of boxes that are nobody known, per camera and frame
    habit_nats: float = 4.6  # a tracker exchanges two people in one frame of a hundred at worst
    no_margin: float = 0.4
    sure_margin: float = 0.9  # of IoU between following one's own box and following another's: no doubt
    shadow: float = 0.25
    inner_nats: float = 3.0
    temper: float = 0.5  # places of one person err alike from frame to frame: half as much evidence as it seems
    hit_nats: float = 1.5  # what a view says for a person's being there,
    miss_nats: float = 0.6  # and a camera that ought to see him and does not says against it;
    evidence_s: float = 0.2  # frames nearer to each other than this repeat each other's mistakes
    sure_nats: float = 2.5
    most_nats: float = 6.0
    coast_s: float = 3.0
    leave_s: float = 0.3  # unseen, and in nobody's view
    coast_sd_m: float = 1.0
    newcomer_per_m2: float = 0.01  # where somebody new turns up: anywhere on a site of 100 m^2
    returner_share: float = 0.2  # of those who come in, how many were here within `forget_s`
    posterior_nats: float = 2.2  # an old id is given at odds of 9 to 1 or better
    hold_s: float = 1.0  # how long a sure candidate may wait for evidence before it gets a new id
    tell_apart_nats: float = 3.0  # a camera that sees two tracks side by side says that they are two people,
    most_tell_apart_nats: float = 20.0
    one_nats: float = 8.0  # cameras that see only one of them say that they are one; at so much they are


class Associator:
    """Gives people their ids. One instance a site; not thread-safe; the same input gives the same output."""

    def __init__(
        self,
        planes: Sequence[GroundPlane | None] | Site,
        links: Sequence[Link] = (),
        *,
        max_speed_mps: float = 3.0,
        forget_s: float = 120.0,
        resume_s: float = 10.0,
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
        forget_s    how long a lost person may come back; resume_s: how long he is published as lost
        appearance  statistics of the Re-ID model; None: learned on the site
        max_people  lost people remembered at most; the longest lost go first
        next_id     where new ids come from; default: counting up from first_id
        """
        self.site = planes if isinstance(planes, Site) else Site(planes)
        self.policy = policy or Policy()
        sizes = [(np.nan, np.nan) if plane is None else plane.image_size for plane in self.site.planes]
        self.handoff = Handoff(tuple(links), np.array(sizes, np.float64).reshape(-1, 2), max_speed_mps)
        self.evidence = Evidence(appearance)
        self.crops_per_batch = crops_per_batch
        self.budget_hits = 0  # steps in which more crops were wanted than the budget allows
        self._refresh_ns = int(refresh_s * 1e9)
        self._forget_ns, self._resume_ns = int(forget_s * 1e9), int(resume_s * 1e9)
        self._max_people = max_people
        self._tracks = TrackTable(Motion(max_speed_mps))
        self._lost: Records = self._tracks.record[:0]
        self._book = TrackletBook()
        self._gallery = Gallery(2 * max_people)
        self._free = list(range(2 * max_people))[::-1]
        self._next_id = next_id or count(first_id).__next__
        self._near: dict[tuple[int, int], float] = {}  # pairs of uids in one place -> seconds undistinguished
        self._life = LifeBook()
        self._beliefs = Beliefs()
        self._began_ns = 0
        c = len(self.site.planes)
        self._log_scale = np.zeros((c, 3))
        self._scale = np.ones((c, 3))
        self._bias = np.zeros((c, 2))
        self._crowd = np.zeros((0, 0), np.bool_)

    # -- what to look at ------------------------------------------------------------------------------------------

    def wanted(self, tracklets: Tracklets) -> Bool:
        """Which tracklets (T,) to embed in this step: new, stale, ambiguous or about to leave, within the budget.

        Never one that overlaps another person or is cut by the picture: its crop would teach the wrong looks.
        """
        rows = len(tracklets)
        share = np.empty(rows, np.float32)
        ground.crowding(np.ascontiguousarray(tracklets.camera), np.ascontiguousarray(tracklets.xyxy), share)
        usable = (share <= 0.2) & (tracklets.state == TrackState.VISIBLE) & (tracklets.foot != FootPoint.CUT)
        usable &= tracklets.foot != FootPoint.OUTSIDE
        at = self._book.rows_of(keys_of(tracklets))
        known = at >= 0
        age_ns = np.full(rows, np.iinfo(np.int64).max)
        uid = np.full(rows, -1, np.int64)
        if known.any():
            entry = self._book.entry[at[known]]
            age_ns[known] = np.where(
                entry["embedded_ns"] > 0, tracklets.captured_ns[known] - entry["embedded_ns"], age_ns[known]
            )
            uid[known] = entry["uid"]
        track = self._tracks.rows_of(uid)
        candidate = track < 0
        if len(self._tracks):
            candidate |= self._tracks.record["global_id"][track] < 0
        ambiguous = self._ambiguous(track)
        leaving = self._leaving(tracklets, at)
        urgent = (candidate | ambiguous | leaving) & (age_ns > self._refresh_ns // 4)
        want = usable & (urgent | (age_ns > self._refresh_ns))
        if want.sum() > self.crops_per_batch:
            self.budget_hits += 1
            # The urgent first, then the longest not looked at; ties by key, so that the order of cameras is no matter.
            order = np.lexsort((keys_of(tracklets), -age_ns, ~urgent, ~want))
            want[order[self.crops_per_batch :]] = False
        return want

    def _ambiguous(self, track: I4) -> Bool:
        """Which tracklets' tracks (T,) have another track near enough to be mistaken for."""
        crowded = np.zeros(len(self._tracks) + 1, np.bool_)
        if len(self._crowd) == len(self._tracks):
            crowded[:-1] = self._crowd.any(axis=1)
        return crowded[track]

    def _leaving(self, tracklets: Tracklets, at: I4) -> Bool:
        """Which boxes (T,) move towards the picture's edge and are within a tenth of it."""
        out = np.zeros(len(tracklets), np.bool_)
        known = np.flatnonzero(at >= 0)
        if not len(known):
            return out
        size = self.handoff.image_sizes[tracklets.camera[known]]
        box, before = tracklets.xyxy[known].astype(np.float64), self._book.entry["box"][at[known]].astype(np.float64)
        move = (box - before).reshape(-1, 2, 2).mean(axis=1)
        low, high = box[:, :2], size - box[:, 2:]
        out[known] = (((low < 0.1 * size) & (move < 0)) | ((high < 0.1 * size) & (move > 0))).any(axis=1)
        return out

    def _self_calibrated(self, seen):
        if not len(seen):
            return seen
        kind = np.minimum(seen.foot, 2)
        scale = self._scale[seen.camera, kind][:, None]
        return replace(seen, ground_xy=seen.ground_xy - self._bias[seen.camera], ground_cov=seen.ground_cov * scale)

    def _calibrate(self, seen, use, row, before, sigma):
        """before: predicted innovations (n,2) & S; only sure."""
        sure = self._margin_of[use] > 3.0
        sure &= self._tracks.record["sureness"][row] >= 5
        sure &= self._tracks.record["hits"][row] > 5
        u = use[sure]
        if not len(u):
            return
        e, S = before[sure], sigma[sure]
        det = S[:, 0] * S[:, 2] - S[:, 1] ** 2
        nis = (S[:, 2] * e[:, 0] ** 2 - 2 * S[:, 1] * e[:, 0] * e[:, 1] + S[:, 0] * e[:, 1] ** 2) / det
        kind = np.minimum(seen.foot[u], 2)
        np.add.at(self._log_scale, (seen.camera[u], kind), self.eta * (np.minimum(nis, 9.0) / 2 - 1))
        self._log_scale = np.clip(self._log_scale, np.log(self.smin), np.log(4.0))
        self._scale = np.exp(self._log_scale)
        np.add.at(self._bias, seen.camera[u], self.eta_b * np.clip(e, -0.3, 0.3))
        self._bias -= self._bias.mean(axis=0)
    eta=.0; eta_b=.005; smin=.2

    # -- one step -------------------------------------------------------------------------------------------------

    def update(self, camera: I2, captured_ns: I8, tracklets: Tracklets) -> tuple[GlobalTracks, list[Event]]:
        """Take in one step of the cameras (B,) captured at captured_ns (B,); a camera not named saw nothing new.

        `tracklets` are placed (`Site.project`) and, where wanted, embedded.
        """
        seen = self._self_calibrated(_in_order(tracklets))
        now_ns = max(int(captured_ns.max(initial=0)), self._tracks.now_ns)
        first = len(self._tracks) == 0
        if not self._began_ns:
            self._began_ns = now_ns
        dt_s = self._tracks.predict(now_ns)
        keys = keys_of(seen)
        at = self._book.enter(keys, seen, camera, now_ns)
        events: list[Event] = []
        held = self._tracks.rows_of(self._book.entry["uid"][at])
        match, reasons = self._match(seen, held, self._book.entry["margin"][at], now_ns)
        match = self._fuse(seen, match, held, at, now_ns)
        match = self._begin(seen, match, now_ns)
        self._note(seen, match, held, at, reasons, events)
        weight = 1.0 if first else min(1.0, dt_s / self.policy.evidence_s)
        self._judge(seen, match, camera, weight)
        self._learn(seen, match, held, at)
        self._merge(seen, match, weight, now_ns, events)
        self._name(seen, at, now_ns, events)
        self._retire(now_ns, events)
        return self._publish(seen, at, now_ns), events

    def _match(self, seen: Tracklets, held: I4, margin: F8, now_ns: int) -> tuple[I4, F8]:
        """The track of each tracklet (T,), -1: none; and per row distance (m), cosine, margin (nats) of that choice."""
        policy, table = self.policy, self._tracks
        rows, reasons = len(seen), np.full((len(seen), 3), np.nan)
        if not rows or not len(table):
            self._explained = np.zeros(rows, np.bool_)
            self._margin_of = reasons[:, 2]
            return np.full(rows, -1, np.int32), reasons
        visible = seen.state == TrackState.VISIBLE
        placed = visible & np.isfinite(seen.ground_xy[:, 0])
        xy = np.where(placed[:, None], seen.ground_xy, np.nan)
        lag_s = (now_ns - seen.captured_ns) * 1e-9
        is_held = held >= 0
        keys, uids = keys_of(seen), table.record["uid"].copy()
        stray = 1.0 / (1.0 + np.exp(policy.habit_nats * np.clip((margin - policy.no_margin) / (policy.sure_margin - policy.no_margin), 0.0, 1.0)))
        prior = self._beliefs.prior(keys, uids, stray)
        habit = np.log(prior[:, :-1] * prior.shape[1])
        d2, nats = table.gate(xy, seen.ground_cov, lag_s, held, policy.gate, policy.held_gate)
        gain = -nats - np.log(policy.stranger_per_m2)
        looks = np.zeros_like(gain)
        cosine = self._looks(seen, d2, looks)
        state0, cov0 = table.state.copy(), table.cov.copy()
        match = self._assign(gain + looks + habit, seen.camera)
        cams = np.unique(seen.camera)
        for sweep in range(self.sweeps):
            for c in cams:
                table.state, table.cov = state0.copy(), cov0.copy()
                u = np.flatnonzero((match >= 0) & placed & (seen.camera != c))
                if len(u):
                    table.fuse(match[u], seen.ground_xy[u], seen.ground_cov[u], lag_s[u], policy.agree)
                mine = np.flatnonzero(seen.camera == c)
                d2c, natsc = table.gate(
                    xy[mine], seen.ground_cov[mine], lag_s[mine], held[mine], policy.gate, policy.held_gate
                )
                gain[mine] = -natsc - np.log(policy.stranger_per_m2)
                d2[mine] = d2c
                match[mine] = self._assign(gain[mine] + looks[mine] + habit[mine], seen.camera[mine])
        table.state, table.cov = state0, cov0
        if self.clusters: match = self._by_cluster(seen, match, placed, lag_s, habit)
        gain = gain + looks
        evidence = np.exp(policy.temper * np.clip(gain, -30.0, 30.0))
        posterior = prior * np.column_stack([np.where(np.isfinite(gain), evidence, 0.0), np.ones(rows)])
        posterior[~placed] = prior[~placed]
        self._beliefs.learn(keys, uids, posterior)
        gain += habit
        named = table.record["global_id"] >= 0
        self._explained = (gain[:, named] > 0).any(axis=1)
        # Where there is no floor, a tracklet is who it was; so is one that its tracker predicts without a detection.
        alone = is_held & ~placed & (~visible | ~np.isfinite(table.state[held, 0]))
        match[alone] = held[alone]
        chosen = np.flatnonzero((match >= 0) & placed)
        if len(chosen):
            column = match[chosen]
            best = gain[chosen, column]
            others = gain[chosen]
            others[np.arange(len(chosen)), column] = 0.0  # being nobody known gains nothing
            apart = seen.ground_xy[chosen] - table.state[column, :2]
            reasons[chosen, 0] = np.hypot(apart[:, 0], apart[:, 1])
            reasons[chosen, 1] = cosine[chosen, column]
            reasons[chosen, 2] = best - np.maximum(others.max(axis=1), 0.0)
        self._margin_of = reasons[:, 2]
        return match, reasons

    sweeps = 2
    clusters = False
    def _by_cluster(self, seen, match, placed, lag_s, habit):
        use = np.flatnonzero((match >= 0) & placed)
        if len(use) < 2: return match
        tracks, cl = np.unique(match[use], return_inverse=True)
        R = seen.ground_cov[use]; det = R[:,0]*R[:,2]-R[:,1]**2
        I = np.stack([R[:,2],-R[:,1],R[:,0]],1)/det[:,None]
        n=len(tracks); W=np.zeros((n,3)); b=np.zeros((n,2)); hb=np.zeros((n,len(self._tracks)))
        z=seen.ground_xy[use]
        np.add.at(W,cl,I); np.add.at(b,cl,np.stack([I[:,0]*z[:,0]+I[:,1]*z[:,1],I[:,1]*z[:,0]+I[:,2]*z[:,1]],1))
        np.add.at(hb,cl,np.clip(habit[use],-3,3))
        d=W[:,0]*W[:,2]-W[:,1]**2
        C=np.stack([W[:,2],-W[:,1],W[:,0]],1)/d[:,None]
        m=np.stack([C[:,0]*b[:,0]+C[:,1]*b[:,1],C[:,1]*b[:,0]+C[:,2]*b[:,1]],1)
        d2,nats=self._tracks.gate(m,C+self.floor*np.array([1.,0,1.]),np.zeros(n),np.full(n,-1,np.int32),100.,100.)
        gain=-nats+hb+100.
        gain[~np.isfinite(gain)]=-np.inf
        gain[np.arange(n),tracks]=np.maximum(gain[np.arange(n),tracks],1.)
        named=self._tracks.record["global_id"]>=0
        # clusters swap only among tracks of their own standing
        own_named=named[tracks]
        gain[own_named[:,None]!=named[None]]=-np.inf
        new=assign(gain,np.zeros(n,np.int16))
        out=match.copy(); out[use]=new[cl]
        return out
    floor = 0.01
    def _assign(self, gain: F8, camera: I2) -> I4:
        """People first: a candidate, which may be a shadow of one of them, takes what they leave."""
        named = self._tracks.record["global_id"] >= 0
        match = assign(np.where(named[None], gain, -np.inf), camera)
        rest = np.flatnonzero(match < 0)
        if len(rest) and not named.all():
            match[rest] = assign(np.where(named[None], -np.inf, gain[rest]), camera[rest])
        return match

    def _looks(self, seen: Tracklets, d2: F8, gain: F8) -> F4:
        """Add what looks say to the gain of the open pairs; the cosines (T, M), NaN where none was computed."""
        cosine = np.full(d2.shape, np.nan, np.float32)
        if not seen.has_embedding.any():
            return cosine
        entry = self._tracks.record["entry"]
        row, column = np.nonzero(np.isfinite(d2) & seen.has_embedding[:, None] & (entry >= 0)[None, :])
        best = self._gallery.compare(seen.embedding, seen.camera, row.astype(np.int32), entry[column])
        nats, cosines = self._nats(best)
        gain[row, column] += nats
        cosine[row, column] = cosines
        return cosine

    def _nats(self, best: F4) -> tuple[F8, F4]:
        """Evidence and the cosine it rests on, of pairs compared within and across cameras (n, 2)."""
        within = best[:, SAME_CAMERA] > -2
        across = ~within & (best[:, OTHER_CAMERA] > -2)
        nats = np.zeros(len(best))
        nats[within] = self.evidence.nats(SAME_CAMERA, best[within, SAME_CAMERA])
        nats[across] = self.evidence.nats(OTHER_CAMERA, best[across, OTHER_CAMERA])
        cosine = np.where(within, best[:, SAME_CAMERA], best[:, OTHER_CAMERA])
        return nats, np.where(within | across, cosine, np.nan).astype(np.float32)

    def _fuse(self, seen: Tracklets, match: I4, held: I4, at: I4, now_ns: int) -> I4:
        """Feed the matched foot points to their tracks; a view that disagrees beyond reason is taken off its track."""
        use = np.flatnonzero((match >= 0) & (seen.state == TrackState.VISIBLE) & np.isfinite(seen.ground_xy[:, 0]))
        if not len(use):
            return match
        lag_s = (now_ns - seen.captured_ns[use]) * 1e-9
        row = match[use]
        e = seen.ground_xy[use] - self._tracks.state[row, :2]
        P = self._tracks.cov[row]
        S = seen.ground_cov[use] + np.stack([P[:, 0, 0], P[:, 0, 1], P[:, 1, 1]], axis=1)
        self._calibrate(seen, use, row, e, S)
        agreed = self._tracks.fuse(match[use], seen.ground_xy[use], seen.ground_cov[use], lag_s, self.policy.agree)
        match[use[~agreed]] = -1
        return match

    def _begin(self, seen: Tracklets, match: I4, now_ns: int) -> I4:
        """Strangers become candidates; strangers of two cameras in one place become one."""
        strangers = np.flatnonzero((match < 0) & (seen.state == TrackState.VISIBLE))
        started = len(self._tracks)
        for i in strangers:
            plane = self.site.planes[seen.camera[i]]
            xy, r = seen.ground_xy[i], seen.ground_cov[i]
            if not np.isfinite(xy[0]) and plane is not None:
                continue  # outside of the region, or at the horizon: does not count
            lag_s = np.array([(now_ns - seen.captured_ns[i]) * 1e-9])
            if len(self._tracks) > started and np.isfinite(xy[0]):
                d2, _ = self._tracks.gate(
                    xy[None], r[None], lag_s, np.full(1, -1, np.int32), self.policy.gate, self.policy.gate
                )
                d2[0, :started] = np.inf
                d2[0, match[:i][seen.camera[:i] == seen.camera[i]]] = np.inf
                best = int(np.argmin(d2[0]))
                if (
                    np.isfinite(d2[0, best])
                    and self._tracks.fuse(np.array([best], np.int32), xy[None], r[None], lag_s, self.policy.agree).all()
                ):
                    match[i] = best
                    continue
            foot = _feet(seen.xyxy[i : i + 1])[0]
            match[i] = self._tracks.begin(xy, r, int(seen.captured_ns[i]), int(seen.camera[i]), foot)
        return match

    def _note(self, seen: Tracklets, match: I4, held: I4, at: I4, reasons: F8, events: list[Event]) -> None:
        """Write down who is whom now, and tell of cameras that a person has come into."""
        record, entry = self._tracks.record, self._book.entry
        matched = match >= 0
        for i in np.flatnonzero(matched & (match != held)):
            track = record[match[i]]
            reason = _reason("overlap", *reasons[i])
            came = int(track["seen_camera"])
            if track["global_id"] >= 0:
                self._life.note(int(track["global_id"]), int(seen.captured_ns[i]), seen, int(i), reason)
                if came != seen.camera[i] and not self._watched(int(track["uid"]), int(seen.camera[i])):
                    events.append(
                        Event(
                            "handed_off",
                            int(seen.captured_ns[i]),
                            int(track["global_id"]),
                            camera=int(seen.camera[i]),
                            from_camera=came,
                            reason=reason,
                        )
                    )
        entry["uid"][at] = np.where(matched, record["uid"][np.maximum(match, 0)] if len(record) else -1, -1)
        fresh = matched & (seen.state == TrackState.VISIBLE)
        entry["fresh"][at] = fresh
        # The surest view of each track is its last sight.
        use = np.flatnonzero(fresh)
        if len(use):
            doubt = np.nan_to_num(seen.ground_cov[use, 0] + seen.ground_cov[use, 2], nan=np.inf)
            order = np.lexsort((doubt, match[use]))
            row, first = np.unique(match[use][order], return_index=True)
            best = use[order[first]]
            self._tracks.mark_seen(
                row.astype(np.int32), seen.captured_ns[best], seen.camera[best], _feet(seen.xyxy[best])
            )

    def _watched(self, uid: int, camera: int) -> bool:
        """Whether another tracklet of this camera was this person within the last seconds."""
        entry = self._book.entry
        mine = (entry["uid"] == uid) & (entry["camera"] == camera)
        return bool((mine & (self._tracks.now_ns - entry["seen_ns"] < 2_000_000_000)).any())

    def _judge(self, seen: Tracklets, match: I4, camera: I2, weight: float) -> None:
        """Weigh what was seen against what ought to have been seen: how sure it is that each track is a person."""
        table, policy = self._tracks, self.policy
        if not len(table):
            return
        cameras = len(self.site.planes)
        has_view = np.zeros((len(table), cameras), np.bool_)
        fresh = match >= 0
        has_view[match[fresh], seen.camera[fresh]] = True
        position = np.ascontiguousarray(table.state[:, :2])
        ought = self.site.expected(position, seen.camera, seen.xyxy)
        looked = np.zeros(cameras, np.bool_)
        looked[camera] = True
        looked[seen.camera[seen.state == TrackState.COASTING]] = False  # its detector had this frame off
        hits = np.zeros(len(table))
        np.add.at(
            hits,
            match[fresh],
            np.where(self._explained[fresh] & (table.record["global_id"][match[fresh]] < 0), policy.shadow, 1.0),
        )
        misses = (ought & ~has_view & looked).sum(axis=1)
        new = table.record["hits"] <= 1
        change = policy.hit_nats * hits - policy.miss_nats * misses
        sureness = table.record["sureness"] + change * np.where(new, 1.0, weight)
        table.record["sureness"] = np.clip(sureness, -policy.most_nats, policy.most_nats)

    def _learn(self, seen: Tracklets, match: I4, held: I4, at: I4) -> None:
        """Take clear crops of people who are surely who they are into the gallery, and learn what cosines are worth."""
        entry, table = self._book.entry, self._tracks
        embedded = np.flatnonzero(seen.has_embedding & (match >= 0))
        if not len(embedded):
            return
        due = (entry["embedded_ns"][at[embedded]] == 0) | (
            seen.captured_ns[embedded] - entry["embedded_ns"][at[embedded]] >= self._refresh_ns // 2
        )
        share = np.empty(len(seen), np.float32)
        ground.crowding(seen.camera, seen.xyxy, share)
        for i in embedded[due]:
            entry["embedded_ns"][at[i]] = seen.captured_ns[i]
            row = int(match[i])
            if share[i] > 0.3 or seen.foot[i] == FootPoint.CUT:
                continue
            place = int(table.record["entry"][row])
            if place < 0:
                place = self._take_entry()
                table.record["entry"][row] = place
            elif held[i] == row and table.record["hits"][row] > 2:
                self._sample(seen, match, int(i), place)
            self._gallery.add(place, seen.embedding[i], int(seen.camera[i]), int(seen.captured_ns[i]))

    def _sample(self, seen: Tracklets, match: I4, i: int, place: int) -> None:
        """Cosines of crop i with its own gallery, and with those of people its camera sees beside it."""
        beside = np.flatnonzero((seen.camera == seen.camera[i]) & (match >= 0) & (match != match[i]))
        others = self._tracks.record["entry"][match[beside]]
        others = others[others >= 0]
        pairs = np.concatenate([[place], others]).astype(np.int32)
        best = self._gallery.compare(seen.embedding, seen.camera, np.full(len(pairs), i, np.int32), pairs)
        for kind in (SAME_CAMERA, OTHER_CAMERA):
            real = best[:, kind] > -2
            self.evidence.learn(kind, False, best[:1, kind][real[:1]])
            self.evidence.learn(kind, True, best[1:, kind][real[1:]])

    def _take_entry(self) -> int:
        """A free place in the gallery; where there is none, the longest lost person's."""
        if not self._free:
            oldest = int(np.argmin(np.where(self._lost["entry"] >= 0, self._lost["seen_ns"], np.iinfo(np.int64).max)))
            self._release(self._lost["entry"][oldest])
            self._lost["entry"][oldest] = -1
        return self._free.pop()

    def _release(self, place: int) -> None:
        if place >= 0:
            self._gallery.clear(int(place))
            self._free.append(int(place))

    def _merge(self, seen: Tracklets, match: I4, weight: float, now_ns: int, events: list[Event]) -> None:
        """Two tracks that stay in one place, and that no camera sees side by side, are one person: the older id stays."""
        table, policy = self._tracks, self.policy
        self._crowd = np.zeros((len(table), len(table)), np.bool_)
        if len(table) < 2:
            self._near.clear()
            return
        r = np.stack([table.cov[:, 0, 0], table.cov[:, 0, 1], table.cov[:, 1, 1]], axis=1)
        nobody = np.full(len(table), -1, np.int32)
        floor = np.array([0.04, 0.0, 0.04])  # tracks of one person carry their cameras' bias
        position = np.ascontiguousarray(table.state[:, :2])
        uid = table.record["uid"]
        known = set(uid.tolist())
        d2, _ = table.gate(position, r + floor, np.zeros(len(table)), nobody, policy.gate, 0.0)
        self._crowd = np.isfinite(d2)
        np.fill_diagonal(self._crowd, False)
        views = np.zeros((len(table), len(self.site.planes)), np.bool_)
        views[match[match >= 0], seen.camera[match >= 0]] = True
        ought = self.site.expected(position, seen.camera[:0], seen.xyxy[:0])
        near = {pair: value for pair, value in self._near.items() if pair[0] in known and pair[1] in known}
        gone = np.zeros(len(table), np.bool_)
        for i, j in zip(*np.nonzero(np.triu(self._crowd)), strict=True):
            pair = (int(uid[i]), int(uid[j]))
            side_by_side = int((views[i] & views[j]).sum())
            one_only = int(((views[i] ^ views[j]) & ought[i] & ought[j]).sum())
            step = policy.tell_apart_nats * side_by_side - min(policy.miss_nats * one_only, 1.0)
            near[pair] = min(max(near.get(pair, 0.0) + weight * step, -policy.one_nats), policy.most_tell_apart_nats)
            both = views[i].any() and views[j].any()
            if both and near[pair] <= -policy.one_nats and d2[i, j] < 6.0 and not gone[i] and not gone[j]:
                del near[pair]
                keep, drop = self._join(int(i), int(j), now_ns, events)
                gone[drop] = True
                match[match == drop] = keep
        self._near = near
        if gone.any():
            table.keep(~gone)
            self._crowd = self._crowd[~gone][:, ~gone]
            match[:] = np.where(match >= 0, np.cumsum(~gone)[np.maximum(match, 0)] - 1, -1)

    def _join(self, i: int, j: int, now_ns: int, events: list[Event]) -> tuple[int, int]:
        """Make two rows one person; the row that stays and the row that goes."""
        record = self._tracks.record
        ids = [int(record["global_id"][k]) for k in (i, j)]
        keep, drop = (i, j) if ids[1] < 0 or 0 <= ids[0] < ids[1] else (j, i)
        old, gone = int(record["global_id"][keep]), int(record["global_id"][drop])
        self._book.entry["uid"][self._book.entry["uid"] == record["uid"][drop]] = record["uid"][keep]
        if record["entry"][drop] >= 0 and record["entry"][keep] >= 0:
            self._gallery.move(int(record["entry"][drop]), int(record["entry"][keep]))
            self._release(record["entry"][drop])
        elif record["entry"][drop] >= 0:
            record["entry"][keep] = record["entry"][drop]
        if gone >= 0:
            distance = float(np.hypot(*(self._tracks.state[i, :2] - self._tracks.state[j, :2])))
            events.append(Event("merged", now_ns, old, other=gone, reason=Reason("overlap", distance)))
        return keep, drop

    def _name(self, seen: Tracklets, at: I4, now_ns: int, events: list[Event]) -> None:
        """Sure candidates take up the id they can be, or get a new one."""
        table, policy = self._tracks, self.policy
        record = table.record
        unnamed = np.flatnonzero(record["global_id"] < 0)
        if not len(unnamed):
            return
        need = policy.sure_nats + np.where(self._inner(table.state[unnamed, :2]), policy.inner_nats, 0.0)
        if now_ns - self._began_ns < 2e9:
            need[:] = policy.sure_nats
        ready = unnamed[record["sureness"][unnamed] >= need]
        if not len(ready):
            return
        out_of_sight = np.flatnonzero((record["global_id"] >= 0) & (record["seen_ns"] < now_ns))
        options = np.concatenate([self._lost, record[out_of_sight]])
        gates, total, cosine, distance = self._compare(ready, options, now_ns)
        wait = np.zeros(len(ready), np.bool_)
        young = now_ns - record["born_ns"][ready] < policy.hold_s * 1e9
        taken = assign(np.where(np.isfinite(total), total, -np.inf), np.zeros(len(ready), np.int16))
        gone = np.zeros(len(table), np.bool_)
        used = np.zeros(len(options), np.bool_)
        for k, row in enumerate(ready):
            shadowed = self._crowd[row] & (record["global_id"] >= 0)
            if young[k] and any(
                self._near.get((int(min(record["uid"][row], u)), int(max(record["uid"][row], u))), 0.0) <= 0
                for u in record["uid"][shadowed]
            ):
                continue  # perhaps the shadow of somebody known: the cameras will tell
            j = int(taken[k])
            odds = np.inf
            if j >= 0:
                rivals = np.concatenate([[0.0], np.delete(total[k], j), np.delete(total[:, j], k)])
                odds = float(total[k, j] - np.logaddexp.reduce(rivals))
            possible = np.isfinite(total[k]) & (total[k] > -policy.posterior_nats)
            if j >= 0 and odds >= policy.posterior_nats:
                used[j] = True
                reason = _reason(self._gate_name(int(gates[j, k])), distance[j, k], cosine[j, k], odds)
                self._resume(int(row), options[j], reason, now_ns, events)
                if j >= len(self._lost):
                    gone[out_of_sight[j - len(self._lost)]] = True
            elif young[k] and (
                total[k].max(initial=-np.inf) > -1.0
                or (possible.any() and self._gallery.dimension and record["entry"][row] < 0)
            ):
                wait[k] = True
            else:
                margin = float(-total[k].max()) if len(options) and np.isfinite(total[k]).any() else np.nan
                self._appear(int(row), _reason("new", np.nan, np.nan, margin), now_ns, events)
        self._lost = self._lost[~used[: len(self._lost)]]
        if gone.any():
            table.keep(~gone)
            self._crowd = self._crowd[~gone][:, ~gone]

    def _inner(self, xy: F8) -> Bool:
        """Which places (n, 2) nobody could have come to unseen: all around them is in view."""
        angle = np.arange(8) * np.pi / 4
        around = xy[:, None] + 1.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        sees = self.site.expected(
            np.ascontiguousarray(around.reshape(-1, 2)), np.zeros(0, np.int16), np.zeros((0, 4), np.float32), 0.0
        )
        return sees.any(axis=1).reshape(-1, 8).all(axis=1)

    def _compare(self, ready: I4, options: Records, now_ns: int) -> tuple[I2, F8, F4, F8]:
        """Candidates against those out of sight: gates (L, N), nats for their being one (N, L), cosine and metres (L, N)."""
        record = self._tracks.record[ready]
        lost = Sight(
            options["seen_camera"], options["seen_foot"], options["seen_ns"], options["seen_xy"], options["seen_sd"]
        )
        new = Sight(
            record["first_camera"],
            record["first_foot"],
            record["born_ns"],
            self._tracks.state[ready, :2],
            self._tracks.position_sd()[ready],
        )
        gates = self.handoff.gates(lost, new)
        open_ = gates != NO_GATE
        gap_s = np.maximum((new.seen_ns[None] - lost.seen_ns[:, None]) * 1e-9, 0.0)
        distance = np.linalg.norm(new.xy[None] - lost.xy[:, None], axis=2)
        place = self._place_nats(gap_s, distance, lost, new, options["seen_speed"])
        nats = np.where(open_, np.where(gates == WALK_GATE, place, 0.0), -np.inf).T.copy()
        cosine = np.full(gates.shape, np.nan, np.float32)
        option, candidate = np.nonzero(open_ & (options["entry"] >= 0)[:, None] & (record["entry"] >= 0)[None])
        for j, k in zip(option, candidate, strict=True):
            looks, cosines = self._nats(self._gallery.between(int(record["entry"][k]), int(options["entry"][j])))
            nats[k, j] += float(looks[0])
            cosine[j, k] = cosines[0]
        return gates, nats, cosine, distance

    def _place_nats(self, gap_s: F8, distance: F8, lost: Sight, new: Sight, speed: F8) -> F8:
        """How much likelier (log) a person lost is to turn up here than a newcomer is, (L, N); 0 without places.

        Somebody standing probably still stands there, somebody walking has diffused, and after long absence he comes
        in where newcomers do.
        """
        motion, policy = self._tracks.motion, self.policy
        base = np.square(lost.sd_m)[:, None] + np.square(new.sd_m)[None]
        keep = motion.keep_s
        walked = 2 * motion.speed_sd_mps**2 * keep * (gap_s - keep * (1 - np.exp(-gap_s / keep)))
        stays = np.where(speed < 0.3, 0.5, 0.1)[:, None]
        d2 = np.square(distance)

        def density(var: F8) -> F8:
            return np.asarray(np.exp(-0.5 * d2 / var) / (2 * np.pi * var))

        here = stays * density(base + 0.09) + (1 - stays) * density(base + walked)
        nats = np.log(np.maximum(here / policy.newcomer_per_m2, policy.returner_share))
        return np.where(np.isfinite(nats), nats, 0.0)

    def _gate_name(self, gate: int) -> str:
        return "walk" if gate == WALK_GATE else f"link:{self.handoff.links[gate].camera}"

    def _resume(self, row: int, old: Records, reason: Reason, now_ns: int, events: list[Event]) -> None:
        record = self._tracks.record
        record["global_id"][row], record["born_ns"][row] = old["global_id"], old["born_ns"]
        if old["entry"] >= 0 and record["entry"][row] >= 0:
            self._gallery.move(int(record["entry"][row]), int(old["entry"]))
            self._release(record["entry"][row])
        record["entry"][row] = max(old["entry"], record["entry"][row])
        self._life.decide(int(old["global_id"]), now_ns, int(record["seen_camera"][row]), reason)
        events.append(
            Event(
                "handed_off",
                now_ns,
                int(old["global_id"]),
                camera=int(record["first_camera"][row]),
                from_camera=int(old["seen_camera"]),
                reason=reason,
            )
        )

    def _appear(self, row: int, reason: Reason, now_ns: int, events: list[Event]) -> None:
        record = self._tracks.record
        record["global_id"][row] = self._next_id()
        camera, global_id = int(record["first_camera"][row]), int(record["global_id"][row])
        self._life.decide(global_id, now_ns, camera, reason)
        events.append(Event("appeared", now_ns, global_id, camera=camera, reason=reason))

    def _retire(self, now_ns: int, events: list[Event]) -> None:
        """Candidates that nothing speaks for any more go; people nobody sees are lost, and in the end forgotten."""
        table, policy = self._tracks, self.policy
        record = table.record
        unseen_s = (now_ns - record["seen_ns"]) * 1e-9
        sd = np.nan_to_num(table.position_sd(), nan=0.0)
        named = record["global_id"] >= 0
        dead = ~named & ((unseen_s > policy.hold_s) | (record["sureness"] < -policy.hit_nats))
        position = np.ascontiguousarray(table.state[:, :2])
        in_view = self.site.expected(position, np.zeros(0, np.int16), np.zeros((0, 4), np.float32), 0.0).any(axis=1)
        away = (unseen_s > policy.leave_s) & ~in_view
        doubtful = away | (record["sureness"] < 0) | (sd > policy.coast_sd_m) | (unseen_s > policy.coast_s)
        lost = named & (unseen_s > 0) & doubtful
        for row in np.flatnonzero(lost):
            events.append(Event("lost", now_ns, int(record["global_id"][row]), camera=int(record["seen_camera"][row])))
        for place in record["entry"][dead]:
            self._release(place)
        self._lost = np.concatenate([self._lost, record[lost]])
        if (dead | lost).any():
            table.keep(~(dead | lost))
            self._crowd = self._crowd[~(dead | lost)][:, ~(dead | lost)]
        forgotten = now_ns - self._lost["seen_ns"] > self._forget_ns
        over = len(self._lost) - int(forgotten.sum()) - self._max_people
        if over > 0:
            forgotten[np.argsort(np.where(forgotten, np.iinfo(np.int64).max, self._lost["seen_ns"]))[:over]] = True
        for old in self._lost[forgotten]:
            events.append(Event("ended", now_ns, int(old["global_id"]), camera=int(old["seen_camera"])))
            self._release(old["entry"])
            self._life.end(int(old["global_id"]))
        self._lost = self._lost[~forgotten]

    # -- what is told ---------------------------------------------------------------------------------------------

    def _publish(self, seen: Tracklets, at: I4, now_ns: int) -> GlobalTracks:
        table = self._tracks
        rows = np.flatnonzero(table.record["global_id"] >= 0)
        lost = self._lost[now_ns - self._lost["seen_ns"] <= self._resume_ns]
        record = np.concatenate([table.record[rows], lost])
        order = np.argsort(record["global_id"], kind="stable")
        entry = self._book.entry
        here = table.rows_of(entry["uid"][at])
        self._choose_view(seen, here)
        recent = entry["fresh"] & (now_ns - entry["seen_ns"] < 500_000_000)
        visible = np.isin(record["uid"], entry["uid"][recent])
        is_lost = np.arange(len(record)) >= len(rows)
        state = np.where(is_lost, TrackState.LOST, np.where(visible, TrackState.VISIBLE, TrackState.COASTING))
        cov = table.cov[rows]
        cov3 = np.stack([cov[:, 0, 0], cov[:, 0, 1], cov[:, 1, 1]], axis=1)
        lost_cov = np.square(lost["seen_sd"])[:, None] * np.array([1.0, 0.0, 1.0])
        xy = np.concatenate([table.state[rows, :2], lost["seen_xy"]])
        velocity = np.concatenate([table.state[rows, 2:], np.zeros((len(lost), 2))])
        # Row of the output of each row of the table, and of each tracklet.
        place = np.full(len(table) + 1, -1, np.int32)
        place[rows] = np.argsort(order)[: len(rows)]
        shown = np.flatnonzero(place[here] >= 0)
        shown = shown[np.argsort(place[here[shown]], kind="stable")]
        best = np.where(visible & ~is_lost, np.concatenate([table.record["best_view"][rows], lost["best_view"]]), -1)
        return GlobalTracks(
            global_id=record["global_id"][order].astype(np.int64),
            xy=xy[order],
            velocity=velocity[order],
            cov=np.concatenate([cov3, lost_cov])[order],
            state=state[order].astype(np.uint8),
            age_s=(now_ns - record["born_ns"][order]) * 1e-9,
            best_view=best[order].astype(np.int16),
            views=Views(
                row=place[here[shown]],
                camera=seen.camera[shown],
                track_id=seen.track_id[shown],
                xyxy=seen.xyxy[shown],
                score=seen.score[shown],
            ),
        )

    def _choose_view(self, seen: Tracklets, here: I4) -> None:
        """The camera that sees each person best: large, whole, unobstructed; another must be better by a fifth."""
        use = np.flatnonzero(here >= 0)
        if not len(use):
            return
        size = self.handoff.image_sizes[seen.camera[use]]
        height = (seen.xyxy[use, 3] - seen.xyxy[use, 1]) / np.where(np.isfinite(size[:, 1]), size[:, 1], 1080.0)
        worth = np.where(seen.foot[use] == FootPoint.COVERED, 0.5, np.where(seen.foot[use] == FootPoint.CUT, 0.6, 1.0))
        quality = height * worth * np.where(self._tracks.record["best_view"][here[use]] == seen.camera[use], 1.2, 1.0)
        order = np.lexsort((seen.camera[use], -quality, here[use]))
        row, first = np.unique(here[use][order], return_index=True)
        self._tracks.record["best_view"][row] = seen.camera[use][order[first]]

    def explain(self, global_id: int) -> list[Event]:
        """Why a track has its id: its decisions, oldest first; the last 64 are kept."""
        return self._life.of(global_id)


def _in_order(tracklets: Tracklets) -> Tracklets:
    """The rows by camera and track id, contiguous: the order of cameras in a batch is no matter."""
    order = np.argsort(keys_of(tracklets), kind="stable")
    names = tracklets.__slots__
    return replace(tracklets, **{name: np.ascontiguousarray(getattr(tracklets, name)[order]) for name in names})


def _feet(xyxy: F4) -> F8:
    """Foot points (n, 2) px of boxes."""
    return np.stack([0.5 * (xyxy[:, 0] + xyxy[:, 2]), xyxy[:, 3]], axis=1).astype(np.float64)


def _reason(gate: str, distance_m: float, cosine: float, margin: float) -> Reason:
    numbers = [None if not np.isfinite(x) else float(x) for x in (distance_m, cosine, margin)]
    return Reason(gate, *numbers)
