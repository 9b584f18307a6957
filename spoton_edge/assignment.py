"""One-to-one assignment of tracklets to tracks, camera by camera: the pairing of the greatest total gain.

R. Jonker, A. Volgenant, A shortest augmenting path algorithm for dense and sparse linear assignment problems (1987),
as packaged in `lap`.
"""

from __future__ import annotations

import lap
import numpy as np

from spoton_edge.types import F8, I2, I4


def assign(gain: F8, group: I2) -> I4:
    """The column of each row (T,), -1: none; a column at most once among rows of one group; only gains above 0 count.

    gain   (T, M), -inf where a pair is not possible
    group  (T,) ascending
    """
    match = np.full(len(gain), -1, np.int32)
    if not gain.size:
        return match
    possible = gain > 0
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    wanted_by = np.add.reduceat(possible, starts, axis=0, dtype=np.int32)
    member = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(gain))))
    # Most rows have one possible column that nobody else of the group wants.
    first = possible.argmax(axis=1)
    choices = possible.sum(axis=1)
    simple = (choices == 1) & (wanted_by[member, first] == 1)
    match[simple] = first[simple]
    contested = np.flatnonzero((choices > 0) & ~simple)
    if len(contested):
        for rows in np.split(contested, np.flatnonzero(np.diff(member[contested])) + 1):
            columns = np.flatnonzero(possible[rows].any(axis=0)).astype(np.int32)
            match[rows] = _best(np.maximum(gain[np.ix_(rows, columns)], 0.0), columns)
    return match


def _best(gain: F8, columns: I4) -> I4:
    """The pairing of greatest total gain (n, m), as `columns` or -1: a pair that gains nothing is no pair.

    A gain cut off at 0 makes leaving a row alone as good as any impossible pair, so the n x m problem is enough.
    """
    _, x, _ = lap.lapjv(gain.max() - gain, extend_cost=True)
    pair = np.asarray(x)
    real = (pair >= 0) & (gain[np.arange(len(gain)), pair] > 0)
    return np.where(real, columns[pair], -1).astype(np.int32)
