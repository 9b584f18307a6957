"""Whom each tracklet follows, as a probability that outlives the step: one place that fits badly does not decide, many do.

A hidden Markov model per tracklet. Its state is the person followed; a single-camera tracker now and then goes over to
somebody else, the more easily the more crowded its boxes are, and each step's foot point speaks for some people and
against others.
"""

from __future__ import annotations

import numpy as np

from spoton_edge.types import F8, I8


class Beliefs:
    """Probabilities (T, M + 1) of the last step; the last column is "nobody known"."""

    def __init__(self) -> None:
        self._keys = np.zeros(0, np.int64)
        self._uids = np.zeros(0, np.int64)
        self._p = np.zeros((0, 1))

    def prior(self, keys: I8, uids: I8, stray: F8) -> F8:
        """Before this step's evidence: (T, M + 1) for tracklets and tracks, both ascending.

        stray (T,) is the chance that the tracklet has gone over to somebody else, anybody, since the last step.
        """
        people = len(uids) + 1
        p = np.full((len(keys), people), 1.0 / people)
        row, old_row = _common(keys, self._keys)
        column, old_column = _common(uids, self._uids)
        if len(row):
            carried = np.zeros((len(row), people))
            carried[:, column] = self._p[np.ix_(old_row, old_column)]
            carried[:, -1] = np.maximum(1.0 - carried.sum(axis=1), 0.0)  # of tracks that are gone, too
            p[row] = (1 - stray[row, None]) * carried + stray[row, None] / people
        return p

    def learn(self, keys: I8, uids: I8, posterior: F8) -> None:
        """Keep what is believed after this step, (T, M + 1) of any scale."""
        self._keys, self._uids = keys, uids
        self._p = posterior / posterior.sum(axis=1, keepdims=True)


def _common(values: I8, old: I8) -> tuple[I8, I8]:
    """Where values that are in both (ascending, unique) stand in the one and in the other."""
    if not len(old):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    place = np.minimum(np.searchsorted(old, values), len(old) - 1)
    mine = np.flatnonzero(old[place] == values)
    return mine, place[mine]
