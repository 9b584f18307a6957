"""How tracks begin: strangers become candidates, those of two cameras in one place become one."""

from __future__ import annotations

import numpy as np

from spoton_edge._ext import matching
from spoton_edge.census import Census, Step
from spoton_edge.ground_plane import Site
from spoton_edge.policy import Policy
from spoton_edge.types import F4, F8, I4, I8, Tracklets, TrackState


def begin(step: Step, track: I4, census: Census, site: Site, policy: Policy) -> None:
    """Candidates for the visible tracklets that show nobody known; their rows are written to `track` (T,)."""
    seen, tracks = step.seen, census.tracks
    started = len(tracks)
    for i in np.flatnonzero((track < 0) & (seen.state == TrackState.VISIBLE)).tolist():
        xy, r, camera = seen.ground_xy[i], seen.ground_cov[i], int(seen.camera[i])
        placed = bool(np.isfinite(xy[0]))
        if not placed and site.planes[camera] is not None:
            continue  # outside of the region, or at the horizon: does not count
        if placed and len(tracks) > started:
            lag_s = np.array([(tracks.now_ns - seen.captured_ns[i]) * 1e-9])
            near = matching.nearest(
                seen.ground_xy,
                seen.ground_cov,
                seen.camera,
                track,
                tracks.state,
                tracks.cov,
                i,
                started,
                policy.gate,
            )
            if (
                near >= 0
                and agree(seen, np.array([i]), np.flatnonzero(track == near), policy)
                and tracks.fuse(np.array([near], np.int32), xy[None], r[None], lag_s, policy.gate).all()
            ):
                track[i] = near
                continue
        track[i] = tracks.begin(xy, r, int(seen.captured_ns[i]), camera, _feet(seen.xyxy[i : i + 1])[0])
        held = int(step.held[i])
        if held >= 0 and tracks.record["global_id"][held] >= 0:
            for_s = (int(seen.captured_ns[i]) - int(census.book.entry["first_ns"][step.at[i]])) * 1e-9
            if for_s >= policy.hold_s:  # shorter, it never was part of him
                uid = tracks.record["uid"]
                census.parted[int(uid[track[i]])] = int(uid[held])


def agree(seen: Tracklets, one: I8, other: I8, policy: Policy) -> bool:
    """Whether every foot point of the rows `one` could be in one place with every one of `other`."""
    return matching.agree(seen.ground_xy, seen.ground_cov, one, other, policy.gate)


def _feet(xyxy: F4) -> F8:
    """Foot points (n, 2) px of boxes."""
    return np.stack([0.5 * (xyxy[:, 0] + xyxy[:, 2]), xyxy[:, 3]], axis=1).astype(np.float64)
