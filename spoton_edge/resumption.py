"""People known from before a restart: who of those seen now is one of them, by where he can be by now.

Nothing of how people look is kept over a restart, so place and time must tell. Within seconds almost everybody who was
in view still is, which makes an old id likelier than when somebody turns up who was lost; where two people could be
either, both get new ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spoton_edge.assignment import assign
from spoton_edge.global_track import Motion, TrackTable
from spoton_edge.policy import Policy
from spoton_edge.types import F8, I4, Bool

STILL_HERE = 0.9  # of those seen now were in view before, where that is seconds ago
STANDS_MPS, SWAY_M, STILL_MPS = 0.3, 0.3, 0.15  # slower is standing, as likely as not for a while longer
STRAIGHT, DRIFT_MPS = 0.5, 0.25  # of those who walk go on as they went, give or take so much
SPEED_SD_MPS = 0.2  # of a speed as it was noted
HOLD_S = 1.0  # so long a doubtful candidate may wait for his direction to show
BODY_M = 1.7  # a box is so high: how far somebody moved in a picture without a floor


@dataclass(frozen=True, slots=True)
class Known:
    """A person as last seen, for somebody who has to find him again. Times are of the monotonic clock."""

    global_id: int
    born_ns: int
    seen_ns: int
    xy: tuple[float, float] | None  # m; None: not placed
    velocity: tuple[float, float]  # m/s
    sd_m: float  # of xy
    camera: int  # that saw him last, -1: none of today's
    foot: tuple[float, float]  # px in that camera
    height_px: float  # of his box there


class Resumption:
    """Those who have not been found yet; they are given up once unseen for `resume_s`."""

    def __init__(self, people: Sequence[Known], resume_s: float, motion: Motion, policy: Policy) -> None:
        self._people = list(people)
        self._resume_ns = int(resume_s * 1e9)
        self._motion, self._policy = motion, policy

    def waiting(self, now_ns: int) -> list[Known]:
        """Those who have not been found, and still may."""
        return [known for known in self._people if now_ns - known.seen_ns <= self._resume_ns]

    @property
    def over(self) -> bool:
        """Whether nobody is left to be found."""
        return not self._people

    def claim(self, ready: I4, table: TrackTable) -> tuple[list[tuple[int, Known]], I4]:
        """Which rows of `table` among those `ready` for a name (n,) are whom; they are not looked for any more. And the
        rows that ought to wait, as it is not clear yet."""
        self._people = self.waiting(table.now_ns)
        # All compete, also those who are not ready: who was here belongs to the one who fits best.
        candidates = np.flatnonzero(table.record["global_id"] < 0).astype(np.int32)
        if not self._people or not len(ready):
            return [], ready[:0]
        nats = np.stack([self._nats(known, candidates, table) for known in self._people], axis=1)
        group = np.zeros(len(candidates), np.int16)
        match = assign(nats, group)
        best = _total(nats, match)
        found, wait = [], []
        for k in np.flatnonzero(np.isin(candidates, ready)):
            row, j = int(candidates[k]), int(match[k])
            if j >= 0:
                without = nats.copy()
                without[k, j] = -np.inf
                if best - _total(without, assign(without, group)) >= self._policy.posterior_nats:
                    found.append((row, self._people[j]))
                    continue
            age_s = (table.now_ns - int(table.record["born_ns"][row])) * 1e-9
            if age_s < HOLD_S and float(nats[k].max()) > self._policy.doubt_nats:
                wait.append(row)
        taken = {known.global_id for _, known in found}
        self._people = [known for known in self._people if known.global_id not in taken]
        return found, np.array(wait, np.int32)

    def _nats(self, known: Known, candidates: I4, table: TrackTable) -> F8:
        """How much likelier (log) each candidate (n,) is to be this person than somebody new; -inf: he cannot be."""
        gap_s = max((table.now_ns - known.seen_ns) * 1e-9, 0.0)
        if known.xy is None:
            return self._in_picture(known, candidates, table, gap_s)
        state, cov = table.state[candidates], table.cov[candidates]
        apart, velocity, v0 = state[:, :2] - known.xy, state[:, 2:], np.asarray(known.velocity)
        # Both axes alike: variance of the place, covariance with the speed, variance of the speed.
        at = 0.5 * (cov[:, 0, 0] + cov[:, 1, 1]) + known.sd_m**2
        both = 0.5 * (cov[:, 0, 2] + cov[:, 1, 3])
        of_speed = 0.5 * (cov[:, 2, 2] + cov[:, 3, 3])
        keep, sd = self._motion.keep_s, self._motion.speed_sd_mps
        left = np.exp(-gap_s / keep)  # of his velocity, where he may turn
        here = _density(
            apart - v0 * keep * (1 - left),
            velocity - v0 * left,
            at
            + (sd * keep) ** 2 * (2 * gap_s / keep - 3 + 4 * left - left**2)
            + (SPEED_SD_MPS * keep * (1 - left)) ** 2,
            both + sd**2 * keep * (1 - left) ** 2,
            of_speed + sd**2 * (1 - left**2) + (SPEED_SD_MPS * left) ** 2,
        )
        if np.hypot(*v0) < STANDS_MPS:
            stands = _density(apart, velocity, at + SWAY_M**2, both, of_speed + STILL_MPS**2)
            here = 0.5 * stands + 0.5 * here
        else:
            drift = DRIFT_MPS**2
            straight = _density(
                apart - v0 * gap_s, velocity - v0, at + drift * gap_s**2, both + drift * gap_s, of_speed + 2 * drift
            )
            here = STRAIGHT * straight + (1 - STRAIGHT) * here
        spread = sd**2 + of_speed
        new = np.exp(-0.5 * np.square(velocity).sum(axis=1) / spread) / (2 * np.pi * spread)
        reach = self._motion.max_speed_mps * gap_s + 3.0 * np.sqrt(at)
        return self._weigh(here, new, np.linalg.norm(apart, axis=1) <= reach)

    def _in_picture(self, known: Known, candidates: I4, table: TrackTable, gap_s: float) -> F8:
        """The same where no floor is known: by the way in the picture, in heights of the body."""
        record = table.record[candidates]
        apart = (record["first_foot"] - known.foot) * (BODY_M / max(known.height_px, 1.0))
        gap_s = max(gap_s - (table.now_ns - record["born_ns"]).mean() * 1e-9, 0.0)  # to the first sight
        walked = 0.01 + 2 * (self._motion.speed_sd_mps * gap_s) ** 2 / (1 + gap_s / self._motion.keep_s)
        d2 = np.square(apart).sum(axis=1)
        here = sum(0.5 * np.exp(-0.5 * d2 / var) / (2 * np.pi * var) for var in (SWAY_M**2, walked + SWAY_M**2))
        same = (record["first_camera"] == known.camera) & ~np.isfinite(table.state[candidates, 0])
        return self._weigh(np.asarray(here), np.ones(len(candidates)), same)

    def _weigh(self, here: F8, new: F8, possible: Bool) -> F8:
        newcomer = (1 - STILL_HERE) * self._policy.newcomer_per_m2 * new
        with np.errstate(divide="ignore", invalid="ignore"):
            nats = np.log(STILL_HERE * here / newcomer)
        return np.asarray(np.where(possible & np.isfinite(nats), nats, -np.inf))


def _density(place: F8, velocity: F8, p: F8, c: F8, w: F8) -> F8:
    """Of a normal distribution of place and velocity, (n,), whose two axes are alike and independent, at (n, 2) each.
    p, c, w: variance of the place, covariance, variance of the velocity."""
    det = np.maximum(p * w - c * c, 1e-9)
    d2 = (w[:, None] * place**2 - 2 * c[:, None] * place * velocity + p[:, None] * velocity**2).sum(axis=1) / det
    return np.asarray(np.exp(-0.5 * d2) / ((2 * np.pi) ** 2 * det))


def _total(nats: F8, match: I4) -> float:
    """What an assignment is worth."""
    rows = np.flatnonzero(match >= 0)
    return float(nats[rows, match[rows]].sum())
