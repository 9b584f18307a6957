"""Whom each tracklet shows: gate, then gain, then one-to-one assignment within each camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spoton_edge._ext import competition, matching
from spoton_edge.global_track import Records, TrackTable, joined
from spoton_edge.looks import Looks
from spoton_edge.policy import Policy
from spoton_edge.stature import Stature
from spoton_edge.types import F8, I4, Bool, Tracklets, TrackState

LOST = 2  # the standing, in ext/competition.pyx, of somebody out of sight


@dataclass(frozen=True, slots=True)
class Match:
    """What was decided for each tracklet, and on what grounds."""

    track: I4  # (T,) row of the track, -1: none
    distance_m: F8  # (T,) NaN where nothing was compared
    cosine: F8  # (T,)
    margin: F8  # (T,) nats by which the next best choice was worse
    explained: Bool  # (T,) somebody known could have been in this place

    @classmethod
    def none(cls, rows: int) -> Match:
        distance_m, cosine, margin = np.full((3, rows), np.nan)
        return cls(np.full(rows, -1, np.int32), distance_m, cosine, margin, np.zeros(rows, np.bool_))


def match_tracklets(
    seen: Tracklets,
    held: I4,
    margin: F8,
    table: TrackTable,
    lost: Records,
    looks: Looks,
    stature: Stature,
    policy: Policy,
) -> Match:
    """The track of each tracklet (T,). held is the row it has been so far, -1: none; margin its lead in IoU, see

    `TrackletBook`. Evidence adds up: how well the place fits, what the crop looks like, how tall it is, and whom it
    was before. What shows somebody `lost` best is nobody's for now: he is not there for sure, and not anybody else.
    """
    rows = len(seen)
    result = Match.none(rows)
    if not rows or not len(table):
        return result
    record, state, cov = table.record, table.state, table.cov
    standing = (record["global_id"] >= 0).astype(np.uint8)
    if len(lost):
        their_state, their_cov = table.places(lost)
        record = joined(record, lost)
        state, cov = np.concatenate([state, their_state]), np.concatenate([cov, their_cov])
        standing = np.concatenate([standing, np.full(len(lost), LOST, np.uint8)])
    visible = seen.state == TrackState.VISIBLE
    placed = visible & np.isfinite(seen.ground_xy[:, 0])
    xy = np.where(placed[:, None], seen.ground_xy, np.nan)
    lag_s: F8 = (table.now_ns - seen.captured_ns).astype(np.float64) * 1e-9
    start, column, _ = matching.open_pairs(xy, seen.ground_cov, lag_s, state, cov, policy.gate)
    row = np.repeat(np.arange(rows, dtype=np.int32), np.diff(start))
    bonus, cosine = looks.compare(seen, row, record["entry"][column])
    bonus += stature.compare(seen, row, record, column)
    if policy.steady_tracklets:
        bonus[held[row] == column] += policy.habit_nats
        # One who is new where somebody was seen last has been told apart from him there.
        bonus[(held[row] < 0) & (record["seen_camera"][column] == seen.camera[row])] = -np.inf
    else:
        leads = policy.habit_nats, policy.habit_margin, policy.habit_sd_m
        matching.trust(held, margin, seen.ground_cov, start, column, *leads, bonus)
    edge = np.empty(rows, np.int32)
    competition.compete(
        seen.camera,
        xy,
        seen.ground_cov,
        lag_s,
        state,
        cov,
        standing,
        start,
        column,
        bonus,
        -float(np.log(policy.stranger_per_m2)),
        policy.gate,
        policy.sweeps,
        policy.leads,
        result.track,
        edge,
        result.distance_m,
        result.margin,
        result.explained.view(np.uint8),
    )
    matched = np.flatnonzero(edge >= 0)
    result.cosine[matched] = cosine[edge[matched]]
    # Where there is no floor, a tracklet is who it was; so is one that its tracker predicts without a detection.
    alone = (held >= 0) & ~placed & (~visible | ~np.isfinite(table.state[held, 0]))
    result.track[alone] = held[alone]
    return result
