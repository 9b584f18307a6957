"""What a step's views say of the people they show: where they are, who saw them, and how sure it is that they exist."""

from __future__ import annotations

import numpy as np

from spoton_edge._ext import evidence, tracklets
from spoton_edge.census import Census, Step
from spoton_edge.ground_plane import Site
from spoton_edge.life import reasoned
from spoton_edge.matching import Match
from spoton_edge.policy import Policy
from spoton_edge.types import I4, U8, Event

WATCHED_NS = 2_000_000_000  # a camera that saw a person so lately has not lost him


def fuse(step: Step, track: I4, census: Census, site: Site, policy: Policy) -> None:
    """Feed matched foot points to their tracks (T,); a view that disagrees beyond reason is taken off its track."""
    seen, tracks = step.seen, census.tracks
    shown: I4 = np.where(step.placed, track, -1)
    site.learn_bias(seen.camera, seen.ground_xy, shown, tracks.state)
    agreed = tracks.fuse(shown, seen.ground_xy, seen.ground_cov, step.lag_s, policy.gate)
    track[(shown >= 0) & ~agreed] = -1


def note(step: Step, found: Match, census: Census) -> None:
    """Write down who is whom now, and tell of cameras that a person has come into."""
    seen, record, entry = step.seen, census.tracks.record, census.book.entry
    since_ns = census.tracks.now_ns - WATCHED_NS
    changes = tracklets.changes(
        entry, record, found.track, step.held, seen.camera, seen.captured_ns, seen.track_id, since_ns
    )
    for i, global_id, came, now, when, track_id, other, watched in changes:
        grounds = found.distance_m.item(i), found.cosine.item(i), found.margin.item(i)
        census.life.note(global_id, when, now, track_id, grounds)
        if other >= 0:
            census.life.lose(other, when, now, track_id, global_id)
        if came != now and not watched:
            reason = reasoned("overlap", *grounds)
            step.events.append(Event("handed_off", when, global_id, camera=now, from_camera=came, reason=reason))
    evidence.note(
        record,
        census.tracks.state,
        census.tracks.cov,
        entry,
        step.at,
        found.track,
        seen.camera,
        seen.state,
        seen.captured_ns,
        seen.xyxy,
        seen.ground_cov,
        seen.foot,
    )


def weigh(step: Step, found: Match, census: Census, site: Site, policy: Policy) -> U8:
    """Weigh what was seen against what ought to have been seen: how sure it is that each track is a person.

    Returns what each camera has to do with each track, flags (M, C) IN_VIEW, EXPECTED, SHOWN.
    """
    seen = step.seen
    flags = site.sight(census.tracks.state[:, :2], seen.camera, seen.xyxy)
    evidence.weigh(
        census.tracks.record,
        flags,
        found.track,
        seen.camera,
        seen.state,
        found.explained.view(np.uint8),
        step.camera,
        policy.hit_nats,
        policy.miss_nats,
        policy.shadow,
        step.weight,
        policy.most_nats,
    )
    return flags
