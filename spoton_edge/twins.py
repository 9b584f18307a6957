"""Two tracks in one place: two people, or one person twice? The cameras tell, over time."""

from __future__ import annotations

import numpy as np

from spoton_edge.global_track import TrackTable
from spoton_edge.ground_plane import Site
from spoton_edge.policy import Policy
from spoton_edge.types import F8, I4, Tracklets


class Twins:
    """Evidence about pairs of tracks that came near each other: above 0 they are two people, below 0 one."""

    def __init__(self, site: Site, policy: Policy) -> None:
        self._site = site
        self._policy = policy
        self._nats: dict[tuple[int, int], float] = {}  # by uids, the older first
        self._crowded: frozenset[int] = frozenset()

    def inherit(self, before: Twins) -> None:
        """Take over the evidence so far."""
        self._nats, self._crowded = before._nats, before._crowded

    def watch(self, table: TrackTable, seen: Tracklets, match: I4, weight: float) -> list[tuple[int, int]]:
        """Take in a step; the pairs of rows that are one person, each row once."""
        policy, uid = self._policy, table.record["uid"]
        first, second, d2 = self._near(table)
        self._crowded = frozenset(uid[first].tolist() + uid[second].tolist())
        known = set(uid.tolist())
        self._nats = {pair: nats for pair, nats in self._nats.items() if pair[0] in known and pair[1] in known}
        if not len(first):
            return []
        views = np.zeros((len(table), len(self._site.planes)), np.bool_)
        views[match[match >= 0], seen.camera[match >= 0]] = True
        ought = self._site.in_view(np.ascontiguousarray(table.state[:, :2]))
        side_by_side = (views[first] & views[second]).sum(axis=1)
        only_one = ((views[first] ^ views[second]) & ought[first] & ought[second]).sum(axis=1)
        step = policy.tell_apart_nats * side_by_side - np.minimum(policy.miss_nats * only_one, 1.0)
        both = views[first].any(axis=1) & views[second].any(axis=1) & (d2 < 6.0)
        one: list[tuple[int, int]] = []
        spent: set[int] = set()
        for i, j, change, ripe in zip(first.tolist(), second.tolist(), step, both, strict=True):
            pair = (int(uid[i]), int(uid[j]))
            nats = min(max(self._nats.get(pair, 0.0) + weight * change, -policy.one_nats), policy.most_tell_apart_nats)
            self._nats[pair] = nats
            if ripe and nats <= -policy.one_nats and not spent & {i, j}:
                one.append((i, j))
                spent |= {i, j}
        return one

    def _near(self, table: TrackTable) -> tuple[I4, I4, F8]:
        """Pairs of rows (the older first) whose places could be one, and their squared distance."""
        bias = self._policy.twin_m**2
        r = np.stack([table.cov[:, 0, 0] + bias, table.cov[:, 0, 1], table.cov[:, 1, 1] + bias], axis=1)
        start, column, d2 = table.near(np.ascontiguousarray(table.state[:, :2]), r, 13.8)
        row = np.repeat(np.arange(len(table), dtype=np.int32), np.diff(start))
        once = row < column
        return row[once], column[once], d2[once]

    def in_crowd(self, uid: int) -> bool:
        """Whether a track has another near enough to be mistaken for."""
        return uid in self._crowded

    def shadow(self, uid: int, named: set[int]) -> bool:
        """Whether a track may be the second sight of one of these people: near one, and never seen beside him."""
        return any(
            nats <= 0 and uid in pair and (pair[0] in named or pair[1] in named) for pair, nats in self._nats.items()
        )
