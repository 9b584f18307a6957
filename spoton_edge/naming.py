"""Which id a sure candidate gets: one of somebody out of sight whom he can be, or a new one.

The gate is physical and comes first. What is left is weighed as odds: for his being each of those who could have come
here, against his being new. A wrong id is worse than a new one, so an old one needs odds of nine to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import numpy as np

from spoton_edge.assignment import assign
from spoton_edge.global_track import STILL_MPS, SWAY_M, Motion, Records, TrackTable
from spoton_edge.handoff import NO_GATE, WALK_GATE, Handoff, Sight
from spoton_edge.life import reasoned
from spoton_edge.looks import Looks
from spoton_edge.policy import Policy
from spoton_edge.stature import Stature
from spoton_edge.types import F4, F8, I4, Reason

STRAY_MPS = 0.3  # by how much who goes on changes his pace, or his way to the side


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a candidate: `option` is the row of the person he is, -1: new, None: wait."""

    option: int | None
    reason: Reason


def judge(
    ready: I4,
    options: Records,
    table: TrackTable,
    handoff: Handoff,
    looks: Looks,
    stature: Stature,
    policy: Policy,
    not_he: Mapping[int, int],
    sure_nats: float,
) -> list[Verdict]:
    """A verdict for each of the candidates' rows (N,), against people out of sight (L,).

    not_he: by candidates' uids, the id that each turned out not to have; sure_nats: odds at which an old id is given.
    """
    record = table.record.take(ready)
    lost = Sight(
        options["seen_camera"], options["seen_foot"], options["seen_ns"], options["seen_xy"], options["seen_sd"]
    )
    new = Sight(
        record["first_camera"],
        record["first_foot"],
        record["born_ns"],
        record["first_xy"],
        record["first_sd"],
    )
    gates = handoff.gates(lost, new)
    if policy.steady_tracklets:
        gates[lost.camera[:, None] == new.camera[None]] = NO_GATE
    distance = np.linalg.norm(new.xy[None] - lost.xy[:, None], axis=2)
    share = np.where(gates == WALK_GATE, policy.returner_share, policy.link_share)
    place = place_nats(
        options, table.state[ready], table.cov[ready], table.now_ns, table.motion, policy.newcomer_per_m2, share
    )
    nats = np.where(gates == NO_GATE, -np.inf, place).T.copy()
    nats += stature.between(record, options)
    if not_he:
        for k, uid in enumerate(record["uid"].tolist()):
            nats[k, options["global_id"] == not_he.get(uid)] = -np.inf
    cosine = _add_looks(nats, record["entry"], options["entry"], looks)
    taken = assign(nats, np.zeros(len(ready), np.int16))
    young = table.now_ns - record["born_ns"] < policy.hold_s * 1e9
    young &= np.isfinite(new.xy[:, 0]) | looks.telling  # else there is nothing to wait for
    unseen_looks = (record["entry"] < 0) & looks.telling
    verdicts = []
    for k in range(len(ready)):
        j = int(taken[k])
        best = float(nats[k].max(initial=-np.inf))
        odds = _odds(nats, k, j) if j >= 0 else -np.inf
        if young[k] and unseen_looks[k] and np.isfinite(best):
            verdicts.append(Verdict(None, Reason("new")))  # a look at him may rule out what the place allows
        elif odds >= sure_nats:
            reason = reasoned(_gate_name(int(gates[j, k]), handoff), distance[j, k], cosine[j, k], odds)
            verdicts.append(Verdict(j, reason))
        elif young[k] and best > policy.doubt_nats:
            verdicts.append(Verdict(None, Reason("new")))
        else:
            verdicts.append(Verdict(-1, reasoned("new", nan, nan, -best)))
    return verdicts


def _odds(nats: F8, k: int, j: int) -> float:
    """Log odds that candidate k is person j, against his being new, anybody else, and j's being another candidate."""
    rivals = np.concatenate([[0.0], np.delete(nats[k], j), np.delete(nats[:, j], k)])
    return float(nats[k, j] - np.logaddexp.reduce(rivals))


def _add_looks(nats: F8, candidate: I4, person: I4, looks: Looks) -> F4:
    """Add what looks say to the open pairs (N, L) in place; the cosines (L, N), NaN where none was computed."""
    cosine = np.full(nats.T.shape, np.nan, np.float32)
    k, j = np.nonzero(np.isfinite(nats) & (candidate >= 0)[:, None] & (person >= 0)[None])
    if len(k):
        say, cosine[j, k] = looks.between(candidate[k], person[j])
        nats[k, j] += say
    return cosine


def place_nats(lost: Records, state: F8, cov: F8, now_ns: int, motion: Motion, newcomer_per_m2: float, share: F8) -> F8:
    """How much likelier (log) a lost person is to be here now, and move so, than a newcomer, (L, N); 0 without places.

    state (N, 4), cov (N, 4, 4): of those who are here; share (L, N): how many of those who come in anywhere are such as
    he. Somebody who stood as likely as not stands there still. Somebody who walked goes on as likely as not; else he
    turns or halts as people in sight do. And after a long absence he comes in where newcomers do.
    """
    gap_s = np.maximum((now_ns - lost["whole_ns"])[:, None] * 1e-9, 0.0)
    apart, was, moves = (
        state[None, :, :2] - lost["whole_xy"][:, None],
        lost["whole_velocity"][:, None],
        state[None, :, 2:],
    )
    doubt = np.square(lost["whole_sd"])[:, None] + 0.5 * (cov[:, 0, 0] + cov[:, 1, 1])[None]
    was_doubt, doubts = np.square(lost["whole_velocity_sd"])[:, None], 0.5 * (cov[:, 2, 2] + cov[:, 3, 3])[None]
    any_pace = motion.speed_sd_mps**2
    anyhow = _density(moves, any_pace + doubts)
    # Who goes on keeps a pace of which both sights tell; the surer one tells more.
    pace = (was / was_doubt[..., None] + moves / doubts[..., None]) / (1 / was_doubt + 1 / doubts)[..., None]
    pace_doubt = 1 / (1 / was_doubt + 1 / doubts) + STRAY_MPS**2
    goes_on = _density(apart - gap_s[..., None] * pace, doubt + pace_doubt * gap_s**2)
    goes_on *= _density(moves - was, was_doubt + doubts + STRAY_MPS**2) / anyhow
    kept = np.exp(-gap_s / motion.keep_s)
    kept_s = motion.keep_s * (1 - kept)  # m that a velocity of 1 m/s carries
    turns = _density(apart - kept_s[..., None] * was, doubt + motion.wandered_m2(gap_s) + was_doubt * kept_s**2)
    stays = _density(apart, doubt + SWAY_M**2)
    stood = np.hypot(*lost["whole_velocity"].T)[:, None] < STILL_MPS
    nats = np.log(0.5 * (np.where(stood, stays, goes_on) + turns) / newcomer_per_m2 + share)
    return np.where(np.isfinite(nats), nats, 0.0)


def _density(apart: F8, var: F8) -> F8:
    """Of a round bell with variance var (L, N) an axis at apart (L, N, 2)."""
    return np.asarray(np.exp(-0.5 * np.square(apart).sum(axis=2) / var) / (2 * np.pi * var))


def _gate_name(gate: int, handoff: Handoff) -> str:
    return "walk" if gate == WALK_GATE else f"link:{handoff.links[gate].camera}"
