"""How tall people are: read off every box whose head and feet are seen, and known of each track within a second or two.

One reading is good to a few centimetres and people differ by ten, in every camera alike: where views are calibrated,
that tells people apart who cross each other, when their crops do not. It also shows when two have been mistaken for one
another since they met: then each is as tall as the other was.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spoton_edge.global_track import Records, TrackTable
from spoton_edge.policy import Policy
from spoton_edge.types import F8, I2, I4, I8, FootPoint, Tracklets, TrackState

FIRST_SD_M, FIRST_READINGS = 0.06, 50.0  # what a reading is good to, before the site has shown it
BIAS_RATE, MOST_READINGS = 0.01, 2_000.0
ODD_PER_M = 1.0  # density of odd readings, which may be anything between one metre and two
KNOWN = 8.0  # readings after which a stature may teach how good readings are


class Stature:
    """What is known of heights on one site: how good readings are, and by how much each camera reads too much.

    Boxes whose feet are covered are kept apart from those whose feet are seen: some detectors guess the whole body, and
    guess well, others box what they see.
    """

    def __init__(self, policy: Policy, cameras: int) -> None:
        self._policy = policy
        self._bias = np.zeros(cameras)
        self._readings = np.full(2, FIRST_READINGS)  # of seen feet, of covered ones
        self._variance = np.full(2, FIRST_SD_M**2)
        self._odd = np.array([policy.stature_odd, 0.5])  # readings in so many are of no standing person
        self._sway = np.array([policy.stature_sd_m**2, FIRST_READINGS])  # variance of what somebody is of late; samples

    def inherit(self, before: Stature) -> None:
        """Take over what was learned; camera numbers mean the same cameras."""
        both = min(len(self._bias), len(before._bias))
        self._bias[:both] = before._bias[:both]
        self._readings, self._variance = before._readings, before._variance
        self._odd, self._sway = before._odd, before._sway

    def compare(self, seen: Tracklets, row: I4, record: Records, column: I4) -> F8:
        """What the stature of tracklets says (nats) for their being tracks, for pairs (E,); 0 where it is not known."""
        read, kind = seen.tall_m - self._bias[seen.camera], (seen.foot != FootPoint.SEEN).astype(np.intp)
        known, height = record["tall_n"][column], record["tall"][column]
        return self._nats(read[row], self._variance[kind[row]], height, known, self._odd[kind[row]])

    def between(self, new: Records, old: Records) -> F8:
        """The same for people (N,) against people (L,), (N, L)."""
        spread = self._sway[0] + self._variance[0] / np.maximum(new["tall_n"], 1.0)
        height = np.where(new["tall_n"] > 0, new["tall"], np.nan)
        return self._nats(height[:, None], spread[:, None], old["tall"][None], old["tall_n"][None], self._odd[0])

    def learn(self, seen: Tracklets, track: I4, table: TrackTable, weight: float) -> None:
        """Take in the readings of the tracklets of each track (T,), -1: none."""
        use = np.flatnonzero((track >= 0) & (seen.state == TrackState.VISIBLE) & np.isfinite(seen.tall_m))
        if not len(use):
            return
        record, camera, at = table.record, seen.camera[use], track[use]
        kind = (seen.foot[use] != FootPoint.SEEN).astype(np.intp)
        error = seen.tall_m[use] - self._bias[camera] - record["tall"][at]
        sure = record["tall_n"][at] >= KNOWN
        if sure.any():
            self._judge(error[sure], kind[sure], camera[sure])
        trust = (1.0 - self._odd[kind]) * self._variance[0] / self._variance[kind]
        total = np.bincount(at, trust, minlength=len(record))
        row = np.flatnonzero(total > 0)
        read = np.bincount(at, trust * (seen.tall_m[use] - self._bias[camera]), minlength=len(record))[row] / total[row]
        self._take(record, row, read, weight * np.minimum(total[row], 1.0))

    def _judge(self, error: F8, kind: I8, camera: I2) -> None:
        """Learn from readings of people whose stature is known, how good readings are."""
        spread = self._variance[kind]
        regular = (1 - self._odd[kind]) * np.exp(-0.5 * np.square(error) / spread) / np.sqrt(2 * np.pi * spread)
        regular /= regular + self._odd[kind] * ODD_PER_M
        for k in (0, 1):
            mine = kind == k
            count = float(mine.sum())
            if count:
                self._readings[k] = min(self._readings[k] + count, MOST_READINGS)
                off = regular[mine] * (np.square(error[mine]) - self._variance[k])
                self._variance[k] += float(off.sum()) / self._readings[k]
                self._odd[k] += float((1 - regular[mine]).sum() - count * self._odd[k]) / self._readings[k]
        np.add.at(self._bias, camera, BIAS_RATE * regular * error)
        self._bias -= self._bias.mean()

    def _take(self, record: Records, row: I8, read: F8, weight: F8) -> None:
        """One reading of each row: into what it has been lately, and into what it is, where it may be that at all."""
        policy = self._policy
        late = np.minimum(record["late_n"][row] + weight, policy.stature_late)
        record["late_tall"][row] += (read - record["late_tall"][row]) * weight / np.maximum(late, 1e-9)
        record["late_n"][row] = late
        apart = read - record["tall"][row]
        sure = (record["tall_n"][row] >= KNOWN) & (late >= policy.stature_enough)
        if sure.any():
            swayed = np.minimum(np.square(record["late_tall"][row] - record["tall"][row])[sure], 9 * self._sway[0])
            self._sway[1] = min(self._sway[1] + float(sure.sum()), MOST_READINGS)
            self._sway[0] += float((swayed - self._sway[0]).sum()) / self._sway[1]
        regular = np.exp(-0.5 * np.square(apart) / self._variance[0])
        share = np.where(record["tall_n"][row] < KNOWN, 1.0, regular) * weight
        known = np.minimum(record["tall_n"][row] + share, policy.stature_most)
        record["tall"][row] += apart * share / np.maximum(known, 1e-9)
        record["tall_n"][row] = known

    def exchanged(self, table: TrackTable, pairs: NDArray[np.void]) -> list[tuple[int, int, float]]:
        """Rows of people who have been mistaken for one another since they met, and the odds of it (nats); each once.

        pairs: of tracks that have been near each other, `older` and `newer` by uid.
        """
        record, policy = table.record, self._policy
        rows = np.stack([table.rows_of(pairs["older"]), table.rows_of(pairs["newer"])], axis=1)
        rows = rows[(rows >= 0).all(axis=1)]
        if not len(rows):
            return []
        enough = np.minimum(record["late_n"], record["tall_n"]) >= policy.stature_enough
        rows = rows[(enough & (record["global_id"] >= 0))[rows].all(axis=1)]
        own = self._late(record, rows, rows).sum(axis=1)
        odds = self._late(record, rows, rows[:, ::-1]).sum(axis=1) - own - policy.exchange_nats
        found: list[tuple[int, int, float]] = []
        spent: set[int] = set()
        for k in np.argsort(-odds, kind="stable"):
            if odds[k] < policy.posterior_nats:
                break
            i, j = rows[k].tolist()
            if not spent & {i, j}:
                found.append((i, j, float(odds[k])))
                spent |= {i, j}
        return found

    def _late(self, record: Records, row: I4, who: I4) -> F8:
        """What rows have been lately, as evidence (nats) for their being those of `who`."""
        spread = np.full(row.shape, self._sway[0])
        return self._nats(record["late_tall"][row], spread, record["tall"][who], record["tall_n"][who], self._odd[0])

    def _nats(self, read: F8, spread: F8, height: F8, known: F8, odd: F8 | float) -> F8:
        """What a reading (variance `spread`) says (nats) against its being of one who is `height` tall.

        At the most, that it is odd: of somebody who bends, sits, or is boxed badly. It never speaks for anybody, as
        many people are as tall.
        """
        apart = np.square(read - height) / (spread + self._variance[0] / np.maximum(known, 1.0))
        nats = np.log(odd + (1 - odd) * np.exp(-0.5 * apart))
        return np.where((known > 0) & np.isfinite(nats), nats, 0.0)


def exchange(record: Records, i: int, j: int) -> None:
    """Give two rows each other's identity; what was seen of them lately stays."""
    for name in ("global_id", "born_ns", "entry", "tall", "tall_n"):
        record[name][[i, j]] = record[name][[j, i]]


def mixed(record: Records, row: int, tall: float, known: float) -> None:
    """Add what is known of the same person's stature from elsewhere."""
    total = float(record["tall_n"][row]) + known
    if known > 0:
        record["tall"][row] += (tall - record["tall"][row]) * known / total
        record["tall_n"][row] = total
