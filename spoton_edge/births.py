"""How tracks begin: strangers become candidates, those of two cameras in one place become one."""

from __future__ import annotations

from spoton_edge._ext import matching
from spoton_edge.census import Census, Step
from spoton_edge.ground_plane import Site
from spoton_edge.policy import Policy
from spoton_edge.types import I4, I8, Tracklets


def begin(step: Step, track: I4, census: Census, site: Site, policy: Policy) -> None:
    """Candidates for the visible tracklets that show nobody known; their rows are written to `track` (T,)."""
    if track.min(initial=0) >= 0:
        return
    tracks, known = census.tracks, len(census.tracks)
    began = tracks.begin(track, step.seen, step.lag_s, site.floor, policy.gate)
    for row, i in enumerate(began.tolist(), known):
        held = int(step.held[i])
        if held >= 0 and tracks.record["global_id"][held] >= 0:
            for_s = (int(step.seen.captured_ns[i]) - int(census.book.entry["first_ns"][step.at[i]])) * 1e-9
            if for_s >= policy.hold_s:  # shorter, it never was part of him
                uid = tracks.record["uid"]
                census.parted[int(uid[row])] = int(uid[held])


def agree(seen: Tracklets, one: I8, other: I8, policy: Policy) -> bool:
    """Whether every foot point of the rows `one` could be in one place with every one of `other`."""
    return matching.agree(seen.ground_xy, seen.ground_cov, one, other, policy.gate)
