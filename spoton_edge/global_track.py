"""The people on the site as columns of arrays: a ground-plane filter each, how sure they are, who saw them last.

Somebody seen for a moment only is a candidate (id -1) until enough speaks for a person. Rows are in the order in which
tracks began, named by an internal `uid` that is never used again, so that rows may go without anything to renumber.
"""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spoton_edge._ext import births, evidence, fusion
from spoton_edge.types import F8, I4, I8, U8, Bool, Tracklets

TRACK = np.dtype(  # as in ext/records.pxd
    [
        ("uid", np.int64),
        ("global_id", np.int64),  # -1: a candidate
        ("born_ns", np.int64),
        ("seen_ns", np.int64),  # last seen by any camera
        ("seen_xy", np.float64, 2),  # where that was, m; NaN: not placed
        ("seen_sd", np.float64),  # m
        ("whole_ns", np.int64),  # last seen whole, not cut by a picture's side; 0: never
        ("whole_xy", np.float64, 2),
        ("whole_sd", np.float64),
        ("whole_velocity", np.float64, 2),  # m/s
        ("whole_velocity_sd", np.float64),  # m/s an axis
        ("seen_camera", np.int16),
        ("seen_foot", np.float64, 2),  # px in that camera
        ("first_camera", np.int16),
        ("first_foot", np.float64, 2),
        ("first_xy", np.float64, 2),
        ("first_sd", np.float64),
        ("sureness", np.float64),  # log odds that this is a person
        ("hits", np.int64),  # steps with a view
        ("best_view", np.int16),
        ("entry", np.int32),  # of the gallery
        ("tall", np.float64),  # m; see stature.py
        ("tall_n", np.float64),  # readings that it rests on
        ("late_tall", np.float64),  # the same of the last readings
        ("late_n", np.float64),
        ("read_m", np.float64),  # sum of the readings of seen feet since somebody asked for them
        ("reads", np.int64),  # how many these are
    ],
    align=True,
)
Records = NDArray[np.void]
_WHOLE = np.dtype((np.void, TRACK.itemsize))  # rows as so many bytes: else NumPy copies them field by field
SPARE = 16  # rows for tracks that begin, before tables have to grow
STILL_MPS, SWAY_M = 0.3, 0.3  # slower than this somebody stands; how far people move who stay in a place


@dataclass(frozen=True, slots=True)
class Motion:
    """How people move: velocity keeps its value for about `keep_s`, and has a spread of `speed_sd_mps` an axis.

    Walking is 1.3 m/s with a spread of 0.2; with halts, and turning every few seconds, that is about 1 m/s an axis.
    """

    max_speed_mps: float = 3.0
    speed_sd_mps: float = 1.0
    keep_s: float = 2.0

    def wandered_m2(self, gap_s: F8) -> F8:
        """Variance an axis (n,) of where somebody has walked to, unseen for so long."""
        keep = self.keep_s
        return 2 * self.speed_sd_mps**2 * keep * (gap_s - keep * (1 - np.exp(-gap_s / keep)))


def joined(one: Records, other: Records) -> Records:
    """The rows of both."""
    return np.concatenate([one.view(_WHOLE), other.view(_WHOLE)]).view(TRACK)


class TrackTable:
    """Tracks that are followed now; row i of `record`, `state` (M, 4) and `cov` (M, 4, 4) is one person."""

    def __init__(self, motion: Motion) -> None:
        self.motion = motion
        self.record: Records = np.zeros(0, TRACK)
        self.state = np.zeros((0, 4))
        self.cov = np.zeros((0, 4, 4))
        self.now_ns = 0
        self._room = self.record, self.state, self.cov
        self._next_uid = 0
        self._going: list[int] = []

    def __len__(self) -> int:
        return len(self.record)

    def __deepcopy__(self, memo: dict[int, object]) -> TrackTable:
        other = copy(self)
        vars(other).update(deepcopy(vars(self), memo))
        other._move(other.record, other.state, other.cov)  # which are no part of the copied room
        return other

    def inherit(self, before: TrackTable) -> None:
        """Go on with another's tracks; people move as it was said here."""
        vars(self).update(vars(before) | {"motion": self.motion})

    def rows_of(self, uid: I8) -> I4:
        """The row of each uid (n,), -1 where it is no longer here."""
        if not len(self.record):
            return np.full(len(uid), -1, np.int32)
        row = np.minimum(np.searchsorted(self.record["uid"], uid), len(self.record) - 1)
        return np.where(self.record["uid"][row] == uid, row, -1).astype(np.int32)

    def predict(self, now_ns: int) -> float:
        """Move all tracks on to a time; the seconds that passed. Time does not run backwards."""
        dt_s = max(now_ns - self.now_ns, 0) * 1e-9 if self.now_ns else 0.0
        self.now_ns = max(now_ns, self.now_ns)
        passed_s = np.empty(len(self))
        passed_s.fill(dt_s)
        fusion.predict(self.state, self.cov, passed_s, self.motion.speed_sd_mps, self.motion.keep_s)
        return dt_s

    def fuse(self, row: I4, xy: F8, r: F8, lag_s: F8, limit: float) -> Bool:
        """Feed foot points (n, 2) to the tracks in `row` (n,), -1: none; which agreed with theirs and one another."""
        taken = np.empty(len(row), np.uint8)
        fusion.update(self.state, self.cov, row, xy, r, lag_s, limit, self.motion.max_speed_mps, taken)
        return taken.view(np.bool_)

    def begin(self, track: I4, seen: Tracklets, lag_s: F8, floor: U8, limit: float) -> I8:
        """Candidates for the visible tracklets (T,) that show nobody, whose rows are written to `track` (T,); strangers

        of several cameras in one place, within a squared distance of `limit`, are one. floor (C,): which cameras have
        one; lag_s (T,): how long ago it was. Returns the tracklets with which new rows began (N,).
        """
        motion, known = self.motion, len(self)
        most = known + int((track < 0).sum())
        if most > len(self._room[0]):
            self._move(self.record, self.state, self.cov, most)
        record, state, cov = self._room
        began = births.begin(
            record,
            state,
            cov,
            known,
            self._next_uid,
            track,
            seen.state,
            seen.camera,
            seen.captured_ns,
            lag_s,
            seen.xyxy,
            seen.ground_xy,
            seen.ground_cov,
            floor,
            limit,
            motion.max_speed_mps,
            motion.speed_sd_mps,
        )
        rows = known + len(began)
        self.record, self.state, self.cov = record[:rows], state[:rows], cov[:rows]
        self._next_uid += len(began)
        return began

    def places(self, lost: Records) -> tuple[F8, F8]:
        """Where people out of sight may be by now, as states (L, 4) and covariances (L, 4, 4)."""
        motion = self.motion
        return fusion.places(lost, self.now_ns, STILL_MPS, SWAY_M, motion.speed_sd_mps, motion.keep_s)

    def _move(self, record: Records, state: F8, cov: F8, most: int = 0) -> None:
        """Go on with these rows, in tables with room for more, and for at least `most`."""
        rows = len(record)
        room = SPARE + max(rows + rows // 2, most)
        self._room = np.zeros(room, TRACK), np.zeros((room, 4)), np.zeros((room, 4, 4))
        self.record, self.state, self.cov = self._room[0][:rows], self._room[1][:rows], self._room[2][:rows]
        self.record.view(_WHOLE)[:] = record.view(_WHOLE)
        self.state[:], self.cov[:] = state, cov

    def drop(self, row: int) -> None:
        """Mark a row to go at the next `sweep`; until then all rows keep their places."""
        self._going.append(row)

    def sweep(self) -> None:
        """Let the marked rows go."""
        if not self._going:
            return
        rows = evidence.sweep(self.record, self.state, self.cov, self._going)
        self._going.clear()
        self.record, self.state, self.cov = self.record[:rows], self.state[:rows], self.cov[:rows]

    def position_sd(self, rows: NDArray[np.integer]) -> F8:
        """Of `rows` (n,), m; NaN where a track cannot be placed."""
        return np.asarray(np.sqrt(0.5 * (self.cov[rows, 0, 0] + self.cov[rows, 1, 1])))
