"""Whom each tracklet shows: gate, then gain, then one-to-one assignment within each camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spoton_edge._ext import matching
from spoton_edge.global_track import TrackTable
from spoton_edge.looks import Looks
from spoton_edge.policy import Policy
from spoton_edge.types import F4, F8, I4, Bool, Tracklets, TrackState


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


def match_tracklets(seen: Tracklets, held: I4, margin: F8, table: TrackTable, looks: Looks, policy: Policy) -> Match:
    """The track of each tracklet (T,). held is the row it has been so far, -1: none; margin its lead in IoU, see

    `TrackletBook`. Evidence adds up: how well the place fits, what the crop looks like, and whom it was before.
    """
    rows = len(seen)
    result = Match.none(rows)
    if not rows or not len(table):
        return result
    visible = seen.state == TrackState.VISIBLE
    placed = visible & np.isfinite(seen.ground_xy[:, 0])
    xy = np.where(placed[:, None], seen.ground_xy, np.nan)
    lag_s: F8 = (table.now_ns - seen.captured_ns).astype(np.float64) * 1e-9
    named = table.record["global_id"] >= 0
    start, column = matching.open_pairs(xy, seen.ground_cov, lag_s, table.state, table.cov, policy.gate)
    row = np.repeat(np.arange(rows, dtype=np.int32), np.diff(start))
    bonus, cosine = looks.compare(seen, row, table.record["entry"][column])
    own = held[row] == column
    sd = np.sqrt(seen.ground_cov[:, 0] + seen.ground_cov[:, 2])
    lead = np.clip(margin / policy.habit_margin - 1.0, 0.0, 1.0) * np.clip(sd / policy.habit_sd_m - 1.0, 0.0, 1.0)
    bonus[own] += policy.habit_nats * lead[row[own]]
    gain = np.empty(len(column))
    base = -float(np.log(policy.stranger_per_m2))
    matching.compete(
        seen.camera,
        xy,
        seen.ground_cov,
        lag_s,
        table.state,
        table.cov,
        named.view(np.uint8),
        start,
        column,
        bonus,
        base,
        policy.gate,
        policy.sweeps,
        gain,
        result.track,
    )
    _explain(result, row, column, gain, cosine, seen.ground_xy, table.state, named)
    # Where there is no floor, a tracklet is who it was; so is one that its tracker predicts without a detection.
    alone = (held >= 0) & ~placed & (~visible | ~np.isfinite(table.state[held, 0]))
    result.track[alone] = held[alone]
    return result


def _explain(result: Match, row: I4, column: I4, gain: F8, cosine: F4, xy: F8, state: F8, named: Bool) -> None:
    """Fill in the grounds of each choice from the pairs (E,) that competed."""
    positive = gain > 0
    result.explained[row[positive & named[column]]] = True
    chosen = result.track[row] == column
    second = np.zeros(len(result.track))  # being nobody known gains nothing
    np.maximum.at(second, row[~chosen], gain[~chosen])
    at = row[chosen]
    result.margin[at] = gain[chosen] - second[at]
    result.cosine[at] = cosine[chosen]
    result.distance_m[at] = np.hypot(*(xy[at] - state[column[chosen], :2]).T)
