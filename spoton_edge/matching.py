"""Whom each tracklet shows: gate, then gain, then one-to-one assignment within each camera."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from spoton_edge._ext import competition, matching
from spoton_edge.census import Census, Step
from spoton_edge.global_track import joined
from spoton_edge.policy import Policy
from spoton_edge.types import F8, I4, Bool

LOST = 2  # the standing, in ext/competition.pyx, of somebody out of sight


@dataclass(frozen=True, slots=True)
class Match:
    """What was decided for each tracklet, and on what grounds."""

    track: I4  # (T,) row of the track, -1: none
    distance_m: F8  # (T,) NaN where nothing was compared
    cosine: F8  # (T,)
    margin: F8  # (T,) nats by which the next best choice was worse
    explained: Bool  # (T,) somebody known could have been in this place


def match_tracklets(step: Step, census: Census, gone: Bool, lost_since_ns: int, policy: Policy) -> Match:
    """The track of each tracklet of the step.

    Evidence adds up: how well the place fits, what the crop looks like, how tall it is, and whom it was before. At a
    picture's side, where people come and go, a tracklet is somebody only where he is expected, and never one of those
    who have `gone` out there (M,). What shows somebody best who was lost, at `lost_since_ns` or later, is nobody's for
    now: he is not there for sure, and not anybody else.
    """
    seen, held, table = step.seen, step.held, census.tracks
    record, state, cov = table.record, table.state, table.cov
    standing = (record["global_id"] >= 0).view(np.uint8)
    if len(census.lost) and len(lost := census.lost_since(lost_since_ns)):
        their_state, their_cov = table.places(lost)
        record = joined(record, lost)
        state, cov = np.concatenate([state, their_state]), np.concatenate([cov, their_cov])
        standing = np.concatenate([standing, np.full(len(lost), LOST, np.uint8)])
    xy, r, lag_s, placed = seen.ground_xy, seen.ground_cov, step.lag_s, step.placed.view(np.uint8)
    start, row, column, d2 = matching.open_pairs(xy, r, lag_s, placed, state, cov, policy.gate)
    bonus, cosine = census.looks.compare(seen, row, record, column)
    census.stature.compare(seen, row, record, column, bonus)
    if policy.steady_tracklets:
        bonus[held[row] == column] += policy.habit_nats
        # One who is new where somebody was seen last has been told apart from him there.
        bonus[(held[row] < 0) & (record["seen_camera"][column] == seen.camera[row])] = -np.inf
    else:
        margin = census.book.entry["margin"][step.at]
        leads = policy.habit_nats, policy.habit_margin, policy.habit_sd_m
        matching.trust(held, margin, r, start, column, *leads, bonus)
    matching.at_sides(seen.foot, gone.view(np.uint8), row, column, d2, policy.side_gate, bonus)
    stranger = -log(policy.stranger_per_m2)
    limits = policy.gate, policy.sweeps, policy.leads
    pairs = start, column, bonus, cosine
    match = Match(*competition.compete(seen.camera, xy, r, lag_s, state, cov, standing, *pairs, stranger, *limits))
    matching.stay(held, seen.state, placed, state, match.track)
    return match
