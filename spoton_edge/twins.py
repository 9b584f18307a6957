"""Two tracks in one place: two people, or one person twice? The cameras tell, over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spoton_edge._ext import twins as _ext
from spoton_edge.global_track import TrackTable
from spoton_edge.policy import Policy
from spoton_edge.types import F8, I4, I8, U8, Bool, Tracklets

PAIR = np.dtype(  # as in ext/records.pxd
    [
        ("older", np.int64),  # uids
        ("newer", np.int64),
        ("nats", np.float64),  # above 0 they are two people, below 0 one
        ("kept", np.float64),  # nats for each having stayed who he is when they met, rather than become the other
    ]
)
NEAR_D2 = 13.8  # squared Mahalanobis distance within which two tracks could be one, 999 times in 1000
RIPE_D2 = 6.0  # within which they are joined, 95 times in 100


class Twins:
    """Evidence about pairs of tracks that came near each other: whether they are two, and have been kept apart."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.pairs: NDArray[np.void] = np.zeros(0, PAIR)  # of tracks that have been near each other; ascending
        self._crowded: I8 = np.zeros(0, np.int64)

    def inherit(self, before: Twins) -> None:
        """Take over the evidence so far."""
        self.pairs, self._crowded = before.pairs, before._crowded

    def watch(self, table: TrackTable, flags: U8, weight: float) -> I4:
        """Take in a step; the pairs of rows (n, 2) that are one person, each row once. flags (M, C) IN_VIEW, SHOWN."""
        policy = self._policy
        self.pairs, one, near = _ext.compare(
            table.record,
            table.state,
            table.cov,
            flags,
            self.pairs,
            policy.twin_m,
            NEAR_D2,
            RIPE_D2,
            policy.tell_apart_nats,
            policy.miss_nats,
            weight,
            policy.one_nats,
            policy.most_tell_apart_nats,
            policy.exchange_nats,
        )
        self._crowded = table.record["uid"][near]
        return one

    def meet(self, seen: Tracklets, placed: Bool, lag_s: F8, track: I4, table: TrackTable) -> None:
        """Take in how well pairs are told apart by tracklets that are of `track` (T,), before they are fused."""
        _ext.meet(
            table.record,
            table.state,
            table.cov,
            self.pairs,
            seen.ground_xy,
            seen.ground_cov,
            lag_s,
            placed.view(np.uint8),
            track,
            self._policy.exchange_nats,
        )

    def settle(self, older: int, newer: int) -> None:
        """The tracks of a pair, by uid, have the right ids now."""
        of = (self.pairs["older"] == older) & (self.pairs["newer"] == newer)
        self.pairs["kept"][of] = self._policy.exchange_nats

    def in_crowd(self, uid: I8) -> Bool:
        """Which tracks, by uid (n,), have another near enough to be mistaken for."""
        if not len(self._crowded):
            return np.zeros(len(uid), np.bool_)
        at = np.minimum(np.searchsorted(self._crowded, uid), len(self._crowded) - 1)
        return np.asarray(self._crowded[at] == uid)

    def unshadowed(self, candidates: I4, table: TrackTable, young_ns: int) -> I4:
        """The candidates less those, begun after `young_ns`, who may be the second sight of a person: near one, and

        never seen beside him.
        """
        return _ext.unshadowed(table.record, self.pairs, candidates, young_ns)
