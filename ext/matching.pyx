"""Which foot points could be which tracks, and which could be in one place. The twins are in `tests/reference_identity.py`."""

from libc.math cimport INFINITY, NAN, isfinite, sqrt
from libc.stdint cimport int64_t, uint8_t

import numpy as np

from ground_kalman cimport (
    GROUND_LANES,
    ground_apart,
    ground_feet,
    ground_pairs,
    ground_reach,
    ground_tracks,
)

cdef enum:
    MOST_PAIRS = 1 << 30  # counted in 32 bits

cdef enum:
    VISIBLE = 0
    SIDE = 5  # of FootPoint


def open_pairs(
    const double[:, ::1] xy not None,
    const double[:, ::1] r not None,
    const double[::1] lag_s not None,
    const uint8_t[::1] placed not None,
    const double[:, ::1] state not None,
    const double[:, :, ::1] cov not None,
    double limit,
):
    """The gate: which of T foot points could be which of M tracks; start (T + 1,), and row, column, d2 (E,), row after row.

    A pair is open within a squared Mahalanobis distance d2 of `limit`. What is not `placed` (T,) has no pairs.
    """
    cdef Py_ssize_t rows = xy.shape[0], tracks = state.shape[0], i, e
    cdef int edges
    cdef ground_feet feet
    cdef ground_tracks people
    if xy.shape[1] != 2 or r.shape[1] != 3 or state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("wrong number of columns")
    if r.shape[0] != rows or lag_s.shape[0] != rows or placed.shape[0] != rows or cov.shape[0] != tracks:
        raise ValueError("xy, r, lag_s and placed must have the same number of rows, and so must state and cov")
    if rows * tracks > MOST_PAIRS:
        raise ValueError(f"{rows} foot points and {tracks} tracks are too many pairs")
    start_ = np.zeros(rows + 1, np.int32)
    if rows == 0 or tracks == 0:
        return start_, np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0)
    cdef int[::1] start = start_
    cdef int[::1] found = np.empty(rows * tracks, np.int32)
    # Where the placed feet are, and behind that squared distances, and lanes.
    numbers_ = np.empty(2 * rows + rows * tracks + GROUND_LANES * tracks)
    cdef double[::1] numbers = numbers_
    cdef char[::1] scratch = np.empty(tracks * sizeof(ground_reach), np.int8)
    cdef double *at = &numbers[0]
    feet.rows, feet.xy, feet.r, feet.lag_s = <int>rows, at, &r[0, 0], &lag_s[0]
    people.rows, people.state, people.cov = <int>tracks, &state[0, 0], &cov[0, 0, 0]
    with nogil:
        for i in range(rows):
            at[2 * i] = xy[i, 0] if placed[i] else NAN
            at[2 * i + 1] = xy[i, 1] if placed[i] else NAN
        edges = ground_pairs(
            &feet,
            &people,
            limit,
            <ground_reach *>&scratch[0],
            at + 2 * rows + rows * tracks,
            &start[0],
            &found[0],
            at + 2 * rows,
        )
    row_, column_ = np.empty(edges, np.int32), np.empty(edges, np.int32)
    cdef int[::1] row = row_
    cdef int[::1] column = column_
    with nogil:
        for i in range(rows):
            for e in range(start[i], start[i + 1]):
                row[e] = <int>i
                column[e] = found[e]
    return start_, row_, column_, numbers_[2 * rows : 2 * rows + edges]


def at_sides(
    const uint8_t[::1] foot not None,
    const uint8_t[::1] gone not None,
    const int[::1] row not None,
    const int[::1] column not None,
    const double[::1] d2 not None,
    double limit,
    double[::1] bonus not None,
):
    """Rule out, -inf in `bonus` (E,), that tracklets (T,) cut by a picture's side, by `foot` FootPoint, are tracks farther

    than a squared distance `limit`, and that any is one of the tracks (M,) that have `gone`; those beyond M have not.
    """
    cdef Py_ssize_t e, edges = row.shape[0]
    if column.shape[0] != edges or d2.shape[0] != edges or bonus.shape[0] != edges:
        raise ValueError("row, column, d2 and bonus must have the same number of pairs")
    for e in range(edges):
        if not 0 <= row[e] < foot.shape[0] or column[e] < 0:
            raise ValueError(f"no pair {row[e]}, {column[e]}")
    with nogil:
        for e in range(edges):
            if (foot[row[e]] == SIDE and d2[e] > limit) or (column[e] < gone.shape[0] and gone[column[e]]):
                bonus[e] = -INFINITY


def stay(
    const int[::1] held not None,
    const uint8_t[::1] seen_state not None,
    const uint8_t[::1] placed not None,
    const double[:, ::1] state not None,
    int[::1] match not None,
):
    """Where there is no floor, a tracklet is who it was so far, row held (T,) of state (M, 4), -1: nobody; so is one that

    its tracker predicts without a detection. Written to match (T,).
    """
    cdef Py_ssize_t i, rows = held.shape[0]
    if seen_state.shape[0] != rows or placed.shape[0] != rows or match.shape[0] != rows or state.shape[1] != 4:
        raise ValueError("held, seen_state, placed and match must have the same number of rows")
    for i in range(rows):
        if held[i] >= state.shape[0]:
            raise ValueError(f"no track {held[i]}")
    with nogil:
        for i in range(rows):
            if held[i] >= 0 and not placed[i] and (seen_state[i] != VISIBLE or not isfinite(state[held[i], 0])):
                match[i] = held[i]


cdef check_feet(const int64_t[::1] rows, Py_ssize_t feet):
    cdef Py_ssize_t a
    for a in range(rows.shape[0]):
        if not 0 <= rows[a] < feet:
            raise ValueError(f"no foot point {rows[a]}")


def agree(
    const double[:, ::1] xy not None,
    const double[:, ::1] r not None,
    const int64_t[::1] one not None,
    const int64_t[::1] other not None,
    double limit,
):
    """Whether every foot point of rows `one` could be in one place with every one of rows `other` of (T, 2).

    That is, whether none lie beyond a squared Mahalanobis distance of `limit`; what is not placed (NaN) does not.
    """
    cdef Py_ssize_t a, b, i, j
    cdef bint out = True
    if xy.shape[1] != 2 or r.shape[1] != 3 or r.shape[0] != xy.shape[0]:
        raise ValueError("xy must be (T, 2) and r (T, 3)")
    check_feet(one, xy.shape[0])
    check_feet(other, xy.shape[0])
    with nogil:
        for a in range(one.shape[0]):
            i = one[a]
            for b in range(other.shape[0]):
                j = other[b]
                if ground_apart(&xy[i, 0], &r[i, 0], &xy[j, 0], &r[j, 0], limit):
                    out = False
    return out


def trust(
    const int[::1] held not None,
    const double[::1] margin not None,
    const double[:, ::1] r not None,
    const int[::1] start not None,
    const int[::1] column not None,
    double nats,
    double enough_margin,
    double enough_sd_m,
    double[::1] bonus not None,
):
    """Add to `bonus` (E,) what a tracklet's having been a track so far, row held (T,), says for its being that still.

    That is `nats` where its own box leads (margin, IoU) by twice `enough_margin` and more, and the foot point, of
    covariance r (T, 3), is unsure by twice `enough_sd_m`; it falls to nothing at half of either.
    """
    cdef Py_ssize_t i, e, rows = held.shape[0]
    cdef double ahead, unsure
    if margin.shape[0] != rows or r.shape[0] != rows or r.shape[1] != 3 or start.shape[0] != rows + 1:
        raise ValueError("held, margin and r (T, 3) must have the same number of rows, and start one more")
    if bonus.shape[0] != column.shape[0] or start[0] != 0 or start[rows] != column.shape[0]:
        raise ValueError("start, column and bonus do not fit together")
    for i in range(rows):
        if start[i] > start[i + 1]:
            raise ValueError("start must not fall")
    with nogil:
        for i in range(rows):
            for e in range(start[i], start[i + 1]):
                if column[e] == held[i]:
                    ahead = margin[i] / enough_margin - 1.0
                    unsure = sqrt(r[i, 0] + r[i, 2]) / enough_sd_m - 1.0
                    bonus[e] += nats * (min(max(ahead, 0.0), 1.0) * min(max(unsure, 0.0), 1.0))
