"""Which track each tracklet is now: every camera's tracklets compete for the tracks, all cameras agreeing on the places.

First each camera on its own, against where the tracks are predicted; then again, camera by camera, against where the
other cameras put them (iterated conditional modes; Besag 1986). One GIL-free call. The twin is in
`tests/reference_identity.py`.
"""

from libc.math cimport INFINITY, isfinite
from libc.string cimport memcpy

import numpy as np

cdef extern from "ground_filter.h" nogil:
    ctypedef struct ground_innovation:
        double d2
    ground_innovation ground_innovate(
        const double *state, const double *cov, const double *xy, const double *r, double lag_s
    )
    double ground_nats(const ground_innovation *n, const double *r)
    void ground_absorb(double *state, double *cov, ground_innovation n, const double *r)

cdef extern from "lapjv.h" nogil:
    ctypedef struct lapjv_problem:
        int rows
        int columns
        const int *start
        const int *column
        const double *cost
        double limit
    ctypedef struct lapjv_scratch:
        double *dual
        double *distance
        int *via_edge
        int *via_row
        int *mark
        int *touched
        int *row_edge
    void lapjv_solve(const lapjv_problem *problem, lapjv_scratch *scratch, int *column_of_row, int *row_of_column)


def open_pairs(
    const double[:, ::1] xy not None,
    const double[:, ::1] r not None,
    const double[::1] lag_s not None,
    const double[:, ::1] state not None,
    const double[:, :, ::1] cov not None,
    double limit,
):
    """The gate: which of T foot points could be which of M tracks, as start (T + 1,), column (E,), row after row.

    A pair is open within a squared Mahalanobis distance of `limit`. A foot point that is not placed has no pairs.
    """
    cdef Py_ssize_t i, j, rows = xy.shape[0], tracks = state.shape[0], edges = 0
    cdef double ex, ey, spread
    cdef ground_innovation n
    if xy.shape[1] != 2 or r.shape[1] != 3 or state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("wrong number of columns")
    if r.shape[0] != rows or lag_s.shape[0] != rows or cov.shape[0] != tracks:
        raise ValueError("xy, r and lag_s must have the same number of rows, and so must state and cov")
    start_ = np.zeros(rows + 1, np.int32)
    column_ = np.empty(rows * tracks, np.int32)
    cdef int[::1] start = start_
    cdef int[::1] column = column_
    with nogil:
        for i in range(rows):
            if isfinite(xy[i, 0] + xy[i, 1]):
                for j in range(tracks):
                    # d2 >= distance^2 / (largest eigenvalue of S), and the trace bounds that eigenvalue.
                    ex = xy[i, 0] - state[j, 0] + lag_s[i] * state[j, 2]
                    ey = xy[i, 1] - state[j, 1] + lag_s[i] * state[j, 3]
                    spread = cov[j, 0, 0] + cov[j, 1, 1] + r[i, 0] + r[i, 2]
                    if not ex * ex + ey * ey <= limit * spread:
                        continue
                    n = ground_innovate(&state[j, 0], &cov[j, 0, 0], &xy[i, 0], &r[i, 0], lag_s[i])
                    if n.d2 <= limit:
                        column[edges] = <int>j
                        edges += 1
            start[i + 1] = <int>edges
    return start_, column_[:edges].copy()


cdef struct Scene:
    Py_ssize_t rows, tracks
    const short *camera
    const double *xy
    const double *r
    const double *lag_s
    const double *state
    const double *cov
    const unsigned char *named
    const int *start
    const int *column
    const double *bonus
    double base
    double limit
    double *gain
    int *match
    int *head  # of the list of rows that each track has, -1: the end
    int *next
    double *own_state  # what the cameras but one make of a track
    double *own_cov
    long *made  # for which turn that was made
    # One camera's assignment problem.
    int *p_start
    int *p_column
    double *p_cost
    int *chosen
    int *taken
    lapjv_scratch scratch


cdef void list_rows(Scene *s) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(s.tracks):
        s.head[i] = -1
    for i in range(s.rows - 1, -1, -1):
        if s.match[i] >= 0:
            s.next[i] = s.head[s.match[i]]
            s.head[s.match[i]] = <int>i


cdef void without(Scene *s, int track, short camera, long turn) noexcept nogil:
    """Where the other cameras put a track."""
    cdef double *state = s.own_state + 4 * track
    cdef double *cov = s.own_cov + 16 * track
    cdef ground_innovation n
    cdef int i
    if s.made[track] == turn:
        return
    s.made[track] = turn
    memcpy(state, s.state + 4 * track, 4 * sizeof(double))
    memcpy(cov, s.cov + 16 * track, 16 * sizeof(double))
    i = s.head[track]
    while i >= 0:
        if s.camera[i] != camera:
            n = ground_innovate(state, cov, s.xy + 2 * i, s.r + 3 * i, s.lag_s[i])
            if n.d2 <= s.limit:
                ground_absorb(state, cov, n, s.r + 3 * i)
        i = s.next[i]


cdef void settle(Scene *s, Py_ssize_t first, Py_ssize_t end, bint named) noexcept nogil:
    """One camera's assignment, to people or to candidates, of the rows that have none yet."""
    cdef lapjv_problem problem
    cdef Py_ssize_t i, e
    cdef int edges = 0
    s.p_start[0] = 0
    for i in range(first, end):
        if s.match[i] < 0:
            for e in range(s.start[i], s.start[i + 1]):
                if s.gain[e] > 0 and s.named[s.column[e]] == named:
                    s.p_column[edges] = s.column[e]
                    s.p_cost[edges] = -s.gain[e]
                    edges += 1
        s.p_start[i - first + 1] = edges
    if edges == 0:
        return
    problem.rows = <int>(end - first)
    problem.columns = <int>s.tracks
    problem.start = s.p_start
    problem.column = s.p_column
    problem.cost = s.p_cost
    problem.limit = 0.0
    lapjv_solve(&problem, &s.scratch, s.chosen, s.taken)
    for i in range(first, end):
        if s.chosen[i - first] >= 0:
            s.match[i] = s.chosen[i - first]


cdef void compete_all(Scene *s, int sweeps) noexcept nogil:
    cdef Py_ssize_t first, end, i, e
    cdef int sweep, j
    cdef long turn = 0
    cdef ground_innovation n
    for sweep in range(sweeps + 1):
        first = 0
        while first < s.rows:
            end = first + 1
            while end < s.rows and s.camera[end] == s.camera[first]:
                end += 1
            turn += 1
            if sweep > 0:
                list_rows(s)
            for i in range(first, end):
                s.match[i] = -1
                for e in range(s.start[i], s.start[i + 1]):
                    j = s.column[e]
                    if sweep > 0:
                        without(s, j, s.camera[i], turn)
                        n = ground_innovate(
                            s.own_state + 4 * j, s.own_cov + 16 * j, s.xy + 2 * i, s.r + 3 * i, s.lag_s[i]
                        )
                    else:
                        n = ground_innovate(s.state + 4 * j, s.cov + 16 * j, s.xy + 2 * i, s.r + 3 * i, s.lag_s[i])
                    s.gain[e] = s.base + s.bonus[e] - ground_nats(&n, s.r + 3 * i) if n.d2 <= s.limit else -INFINITY
            # People first: a candidate, which may be the shadow of one of them, takes what they leave.
            settle(s, first, end, True)
            settle(s, first, end, False)
            first = end


def compete(
    const short[::1] camera not None,
    const double[:, ::1] xy not None,
    const double[:, ::1] r not None,
    const double[::1] lag_s not None,
    const double[:, ::1] state not None,
    const double[:, :, ::1] cov not None,
    const unsigned char[::1] named not None,
    const int[::1] start not None,
    const int[::1] column not None,
    const double[::1] bonus not None,
    double base,
    double limit,
    int sweeps,
    double[::1] gain not None,
    int[::1] match not None,
):
    """Assign tracklets (T,), camera after camera, to tracks (M,) over the open pairs of `open_pairs`.

    A pair gains `base` + bonus (E,) less the nats of its innovation; only gains above 0 are taken, and a track once by
    each camera. Writes gain (E,) of the last round and match (T,), -1: none.
    """
    cdef Scene s
    cdef Py_ssize_t rows = camera.shape[0], tracks = state.shape[0], edges = column.shape[0], e
    if xy.shape[0] != rows or r.shape[0] != rows or lag_s.shape[0] != rows or match.shape[0] != rows:
        raise ValueError("camera, xyxy, r, lag_s and match must have the same number of rows")
    if xy.shape[1] != 2 or r.shape[1] != 3 or state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("wrong number of columns")
    if cov.shape[0] != tracks or named.shape[0] != tracks or start.shape[0] != rows + 1:
        raise ValueError("state, cov and named must have the same number of rows, and start one more than xy")
    if bonus.shape[0] != edges or gain.shape[0] != edges or start[rows] != edges or start[0] != 0:
        raise ValueError("start, column, bonus and gain do not fit together")
    for e in range(rows):
        if start[e] > start[e + 1]:
            raise ValueError("start must not fall")
    for e in range(edges):
        if not 0 <= column[e] < tracks:
            raise ValueError("column names a track that does not exist")
    if rows == 0:
        return
    if edges == 0:
        match[:] = -1
        return
    cdef double[::1] numbers = np.empty(22 * tracks + edges)
    cdef int[::1] counts = np.empty(7 * tracks + 4 * rows + edges + 2, np.int32)
    cdef long[::1] made = np.zeros(tracks, np.dtype("l"))
    cdef double *d = &numbers[0]
    cdef int *k = &counts[0]
    s.rows, s.tracks = rows, tracks
    s.camera, s.xy, s.r, s.lag_s = &camera[0], &xy[0, 0], &r[0, 0], &lag_s[0]
    s.state, s.cov, s.named = &state[0, 0], &cov[0, 0, 0], &named[0]
    s.start, s.column, s.bonus = &start[0], &column[0], &bonus[0]
    s.base, s.limit, s.gain, s.match, s.made = base, limit, &gain[0], &match[0], &made[0]
    s.own_state, s.own_cov = d, d + 4 * tracks
    s.scratch.dual, s.scratch.distance, s.p_cost = d + 20 * tracks, d + 21 * tracks, d + 22 * tracks
    s.head, s.taken, s.scratch.via_edge = k, k + tracks, k + 2 * tracks
    s.scratch.via_row, s.scratch.mark, s.scratch.touched = k + 3 * tracks, k + 4 * tracks, k + 5 * tracks
    k += 7 * tracks
    s.next, s.chosen, s.scratch.row_edge, s.p_start = k, k + rows, k + 2 * rows, k + 3 * rows
    s.p_column = k + 4 * rows + 1
    with nogil:
        compete_all(&s, sweeps)
