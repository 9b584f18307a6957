"""Tracks near one another, and what the cameras say of their being one person or two; see `spoton_edge/twins.py`.

The twins of these functions are in `tests/reference_tracks.py`.
"""

from libc.math cimport exp, fmax, fmin, log
from libc.string cimport memcpy

import numpy as np

from ground_kalman cimport (
    GROUND_LANES,
    ground_absorb_as,
    ground_densities,
    ground_feet,
    ground_innovate,
    ground_innovation,
    ground_pairs,
    ground_reach,
    ground_tracks,
)
from records cimport TrackRecord, TwinPair, int64_t, row_of, uint8_t

include "rows.pxi"

cdef double MEETING_M = 2.0  # farther apart, nobody is mistaken for another
cdef double CLEAR_NATS = 3.0  # beyond all that can speak for a pair's having kept apart: no doubt worth the work
cdef double LEAST_DENSITY = 1e-300

# What a camera has to do with a track, flags (M, C) of `ground_plane`.
cdef enum:
    _IN_VIEW = 1
    _SHOWN = 4


def compare(
    records,
    const double[:, ::1] state not None,
    const double[:, :, ::1] cov not None,
    const uint8_t[:, ::1] flags not None,
    pairs,
    double twin_m,
    double near_d2,
    double ripe_d2,
    double tell_apart_nats,
    double miss_nats,
    double weight,
    double one_nats,
    double most_nats,
    double kept_nats,
):
    """What the cameras say of tracks near one another (squared distance at most `near_d2`): above 0 nats two, below one.

    pairs   of earlier steps, ascending; those of tracks that are gone are forgotten
    flags   (M, C) IN_VIEW, SHOWN
    Returns the pairs as they are now, the rows (n, 2) of those that are one person (each row once), and who has another
    near him (M,).
    """
    cdef Rows table = Rows(records, sizeof(TrackRecord))
    cdef const TrackRecord *record = <const TrackRecord *>table.at
    cdef Rows old = Rows(pairs, sizeof(TwinPair)), new
    cdef const TwinPair *before = <const TwinPair *>old.at
    cdef TwinPair *after
    cdef Py_ssize_t tracks = table.count, cameras = flags.shape[1], i, j, c, k = 0, count = 0, ones = 0
    cdef int edges, e
    cdef long together, alone
    cdef double change, nats
    cdef int one_seen, other_seen
    cdef ground_feet feet
    cdef ground_tracks people
    cdef TwinPair pair
    if state.shape[0] != tracks or cov.shape[0] != tracks or state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("state must be (M, 4) and cov (M, 4, 4)")
    if flags.shape[0] != tracks:
        raise ValueError("flags must be (M, C)")
    if tracks > 32767:
        raise ValueError(f"{tracks} tracks are too many pairs")
    near_ = np.zeros(tracks, np.uint8)
    if tracks == 0:
        return pairs[:0], np.zeros((0, 2), np.int32), near_.view(np.bool_)
    cdef uint8_t[::1] near = near_
    cdef uint8_t[::1] spent = np.zeros(tracks, np.uint8)
    cdef double[:, ::1] foot = np.zeros((tracks, 6))  # xy, r and lag, one after the other
    cdef double *xy = &foot[0, 0]
    cdef double *r = xy + 2 * tracks
    cdef int[::1] start = np.empty(tracks + 1, np.int32)
    cdef int[::1] column = np.empty(tracks * tracks, np.int32)
    cdef double[::1] d2 = np.empty(tracks * tracks)
    cdef char[::1] scratch = np.empty(tracks * sizeof(ground_reach), np.int8)
    cdef double[::1] lanes = np.empty(GROUND_LANES * tracks)
    feet.rows, feet.xy, feet.r, feet.lag_s = <int>tracks, xy, r, r + 3 * tracks
    people.rows, people.state, people.cov = <int>tracks, &state[0, 0], &cov[0, 0, 0]
    with nogil:
        for i in range(tracks):
            xy[2 * i] = state[i, 0]
            xy[2 * i + 1] = state[i, 1]
            r[3 * i] = cov[i, 0, 0] + twin_m * twin_m
            r[3 * i + 1] = cov[i, 0, 1]
            r[3 * i + 2] = cov[i, 1, 1] + twin_m * twin_m
        edges = ground_pairs(
            &feet, &people, near_d2, <ground_reach *>&scratch[0], &lanes[0], &start[0], &column[0], &d2[0]
        )
    after_ = np.empty(old.count + edges, pairs.dtype)
    one_ = np.empty((edges, 2), np.int32)
    new = Rows(after_, sizeof(TwinPair), True)
    after = <TwinPair *>new.at
    cdef int[:, ::1] one = one_
    with nogil:
        for i in range(tracks + 1):
            for e in range(start[i] if i < tracks else edges, start[i + 1] if i < tracks else edges + 1):
                # Earlier pairs that come before this one; at the end all that are left.
                while k < old.count and (
                    i == tracks
                    or before[k].older < record[i].uid
                    or (before[k].older == record[i].uid and column[e] > i and before[k].newer < record[column[e]].uid)
                ):
                    if row_of(record, tracks, before[k].older) >= 0 and row_of(record, tracks, before[k].newer) >= 0:
                        after[count] = before[k]
                        count += 1
                    k += 1
                if i == tracks or column[e] <= i:
                    continue
                j = column[e]
                near[i] = near[j] = True
                together = alone = 0
                one_seen = other_seen = 0
                for c in range(cameras):
                    one_seen |= flags[i, c] & _SHOWN
                    other_seen |= flags[j, c] & _SHOWN
                    if flags[i, c] & flags[j, c] & _SHOWN:
                        together += 1
                    elif (flags[i, c] | flags[j, c]) & _SHOWN and flags[i, c] & flags[j, c] & _IN_VIEW:
                        alone += 1
                change = tell_apart_nats * together - min(miss_nats * alone, 1.0)
                nats, pair.kept = 0.0, kept_nats
                if k < old.count and before[k].older == record[i].uid and before[k].newer == record[j].uid:
                    nats, pair.kept = before[k].nats, before[k].kept
                    k += 1
                pair.older, pair.newer = record[i].uid, record[j].uid
                pair.nats = min(max(nats + weight * change, -one_nats), most_nats)
                after[count] = pair
                count += 1
                if one_seen and other_seen and d2[e] < ripe_d2 and pair.nats <= -one_nats and not spent[i] and not spent[j]:
                    one[ones, 0], one[ones, 1] = <int>i, <int>j
                    ones += 1
                    spent[i] = spent[j] = True
    return after_[:count], one_[:ones], near_.view(np.bool_)


cdef struct Meeting:  # of tracks, where they are due, with the foot points that each is taken to have
    const double *state
    const double *cov
    const double *xy
    const double *r
    const double *lag_s
    const int *head  # by track, its first foot point, -1: none
    const int *next


cdef double density_of(
    const double *state, const double *cov, const Meeting *m, int row, ground_innovation *n, double *regular, double *odd
) noexcept nogil:
    n[0] = ground_innovate(state, cov, m.xy + 2 * row, m.r + 3 * row, m.lag_s[row])
    ground_densities(n, m.r + 3 * row, regular, odd)
    return fmax(regular[0] + odd[0], LEAST_DENSITY)


cdef double first_nats(const Meeting *m, int whose, int track) noexcept nogil:
    """What the first foot point of one track says against its being another's."""
    cdef ground_innovation n
    cdef double regular, odd
    cdef int row = m.head[whose]
    if row < 0:
        return 0.0
    return log(density_of(m.state + 4 * whose, m.cov + 16 * whose, m, row, &n, &regular, &odd)) - log(
        density_of(m.state + 4 * track, m.cov + 16 * track, m, row, &n, &regular, &odd)
    )


cdef double log_density(const Meeting *m, int whose, int track) noexcept nogil:
    """Of all the foot points of one track, if they are another's, whose filter takes them in one by one."""
    cdef ground_innovation n
    cdef double regular, odd, total = 0.0
    cdef double[4] state
    cdef double[16] cov
    cdef int row = m.head[whose]
    if row >= 0:
        memcpy(state, m.state + 4 * track, sizeof(state))
        memcpy(cov, m.cov + 16 * track, sizeof(cov))
    while row >= 0:
        total += log(density_of(state, cov, m, row, &n, &regular, &odd))
        ground_absorb_as(state, cov, n, m.r + 3 * row, regular, odd)
        row = m.next[row]
    return total


def meet(
    records,
    const double[:, ::1] state not None,
    const double[:, :, ::1] cov not None,
    pairs,
    const double[:, ::1] xy not None,
    const double[:, ::1] r not None,
    const double[::1] lag_s not None,
    const uint8_t[::1] placed not None,
    const int[::1] track not None,
    double kept_nats,
):
    """Take from what speaks for pairs' having kept apart, `kept` (nats, `kept_nats` at most), how well the foot points

    that are placed (T,) and taken for theirs, track (T,), would fit each other's track, where both are due.
    """
    cdef Rows table = Rows(records, sizeof(TrackRecord)), met = Rows(pairs, sizeof(TwinPair), True)
    cdef const TrackRecord *record = <const TrackRecord *>table.at
    cdef TwinPair *pair = <TwinPair *>met.at
    cdef Py_ssize_t tracks = table.count, rows = track.shape[0], p, t
    cdef int i, j
    cdef double dx, dy, worse, swap, was
    cdef Meeting m
    if state.shape[0] != tracks or cov.shape[0] != tracks or state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("state must be (M, 4) and cov (M, 4, 4)")
    if xy.shape[0] != rows or r.shape[0] != rows or lag_s.shape[0] != rows or placed.shape[0] != rows:
        raise ValueError("xy, r, lag_s, placed and track must have the same number of rows")
    if xy.shape[1] != 2 or r.shape[1] != 3:
        raise ValueError("xy must be (T, 2) and r (T, 3)")
    for t in range(rows):
        if track[t] >= tracks:
            raise ValueError(f"no track {track[t]}")
    if not rows or not met.count:
        return
    cdef int[::1] head = np.full(tracks + 1, -1, np.int32)
    cdef int[::1] next = np.empty(rows, np.int32)
    m.xy, m.r, m.lag_s, m.head, m.next = &xy[0, 0], &r[0, 0], &lag_s[0], &head[0], &next[0]
    if tracks:
        m.state, m.cov = &state[0, 0], &cov[0, 0, 0]
    with nogil:
        for t in range(rows - 1, -1, -1):
            if track[t] >= 0 and placed[t]:
                next[t], head[track[t]] = head[track[t]], <int>t
        for p in range(met.count):
            i = <int>row_of(record, tracks, pair[p].older)
            j = <int>row_of(record, tracks, pair[p].newer)
            if i < 0 or j < 0 or (head[i] < 0 and head[j] < 0):
                continue
            dx, dy = state[i, 0] - state[j, 0], state[i, 1] - state[j, 1]
            if not dx * dx + dy * dy < MEETING_M * MEETING_M:
                continue
            if first_nats(&m, i, j) + first_nats(&m, j, i) > kept_nats + CLEAR_NATS:
                continue
            worse = log_density(&m, i, i) + log_density(&m, j, j) - log_density(&m, i, j) - log_density(&m, j, i)
            # They may have been exchanged before, and now, but not both.
            swap, was = 1.0 / (1.0 + exp(fmin(worse, 700.0))), 1.0 / (1.0 + exp(pair[p].kept))
            was += swap - 2 * was * swap
            pair[p].kept = fmin(log((1.0 - was) / was), kept_nats)


def unshadowed(records, pairs, const int[::1] candidates not None, int64_t young_ns):
    """Those rows of candidates (n,) that began at `young_ns` or before, or are no second sight of a person.

    A second sight may be who is of a pair with a person, of whom nothing says that they are two.
    """
    cdef Rows table = Rows(records, sizeof(TrackRecord)), met = Rows(pairs, sizeof(TwinPair))
    cdef const TrackRecord *record = <const TrackRecord *>table.at
    cdef const TwinPair *pair = <const TwinPair *>met.at
    cdef Py_ssize_t p, k, other, count = 0, rows = candidates.shape[0]
    cdef int64_t uid
    cdef bint shadow
    for k in range(rows):
        if not 0 <= candidates[k] < table.count:
            raise ValueError(f"no track {candidates[k]}")
    out_ = np.empty(rows, np.int32)
    cdef int[::1] out = out_
    with nogil:
        for k in range(rows):
            shadow = False
            if record[candidates[k]].born_ns > young_ns:
                uid = record[candidates[k]].uid
                for p in range(met.count):
                    if pair[p].nats <= 0 and (pair[p].older == uid or pair[p].newer == uid):
                        other = row_of(record, table.count, pair[p].newer if pair[p].older == uid else pair[p].older)
                        shadow = shadow or (other >= 0 and record[other].global_id >= 0)
            if not shadow:
                out[count] = candidates[k]
                count += 1
    return out_[:count]
