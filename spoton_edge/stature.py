"""How tall people are: read off every box whose head and feet are seen, and known of each track within a second or two.

One reading is good to a few centimetres and people differ by ten, in every camera alike: where views are calibrated,
that tells people apart who cross each other, when their crops do not. It also shows when two have been mistaken for one
another since they met: then each is as tall as the other was.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spoton_edge._ext import stature as _ext
from spoton_edge.global_track import Records, TrackTable
from spoton_edge.policy import Policy
from spoton_edge.types import F8, I4, Tracklets

FIRST_SD_M, FIRST_READINGS = 0.06, 50.0  # what a reading is good to, before the site has shown it
FIRST_ODD_COVERED = 0.5
READINGS = np.dtype(  # as in ext/records.pxd; of seen feet, of covered ones
    [
        ("readings", np.float64, 2),
        ("variance", np.float64, 2),  # m^2
        ("odd", np.float64, 2),  # readings in so many are of no standing person
        ("sway", np.float64),  # variance of what somebody is of late, m^2
        ("swayed", np.float64),  # samples of that
    ],
    align=True,
)


class Stature:
    """What is known of heights on one site: how good readings are, and by how much each camera reads too much.

    Boxes whose feet are covered are kept apart from those whose feet are seen: some detectors guess the whole body, and
    guess well, others box what they see.
    """

    def __init__(self, policy: Policy, cameras: int) -> None:
        self._policy = policy
        self._bias_m = np.zeros(cameras)
        self._learned = np.zeros(1, READINGS)
        self._learned["readings"] = self._learned["swayed"] = FIRST_READINGS
        self._learned["variance"] = FIRST_SD_M**2
        self._learned["odd"] = policy.stature_odd, FIRST_ODD_COVERED
        self._learned["sway"] = policy.stature_sd_m**2

    def inherit(self, before: Stature) -> None:
        """Take over what was learned; camera numbers mean the same cameras."""
        both = min(len(self._bias_m), len(before._bias_m))
        self._bias_m[:both] = before._bias_m[:both]
        self._learned = before._learned

    def compare(self, seen: Tracklets, row: I4, record: Records, column: I4, nats: F8) -> None:
        """Add to `nats` of pairs (E,) what the stature of tracklets says for their being these, if it is known."""
        _ext.compare(self._learned, self._bias_m, seen.tall_m, seen.camera, seen.foot, row, record, column, nats)

    def between(self, new: Records, old: Records) -> F8:
        """The same for people (N,) against people (L,), (N, L)."""
        return _ext.between(self._learned, new, old)

    def learn(self, seen: Tracklets, track: I4, table: TrackTable, weight: float) -> None:
        """Take in the readings of the tracklets of each track (T,), -1: none."""
        policy = self._policy
        _ext.learn(
            self._learned,
            self._bias_m,
            table.record,
            seen.tall_m,
            seen.camera,
            seen.foot,
            seen.state,
            track,
            weight,
            policy.stature_late,
            policy.stature_enough,
            policy.stature_most,
        )

    def exchanged(self, table: TrackTable, pairs: NDArray[np.void]) -> list[tuple[int, int, float]]:
        """Rows of people who have been mistaken for one another since they met, and the odds of it (nats); each once.

        pairs: of tracks that have been near each other, `twins.PAIR`: those hard to tell apart then need little.
        """
        policy = self._policy
        rows, odds = _ext.exchanged(self._learned, table.record, pairs, policy.stature_enough, policy.posterior_nats)
        if not len(odds):
            return []
        found: list[tuple[int, int, float]] = []
        spent: set[int] = set()
        for k in (-odds).argsort(kind="stable"):
            i, j = rows[k].tolist()
            if not spent & {i, j}:
                found.append((i, j, float(odds[k])))
                spent |= {i, j}
        return found


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


def read(record: Records) -> dict[int, float]:
    """By id, the mean of somebody's readings since this was asked last, m: of seen feet, less what each camera reads
    too much. What somebody has been all along is no evidence of who he is now, his last readings are."""
    rows = np.flatnonzero((record["global_id"] >= 0) & (record["reads"] > 0))
    mean = record["read_m"][rows] / record["reads"][rows]
    record["read_m"] = record["reads"] = 0
    return dict(zip(record["global_id"][rows].tolist(), mean.tolist(), strict=True))
