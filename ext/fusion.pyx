"""The ground-plane Kalman filter of all global tracks: predict and update. GIL-free, in place.

A track is x, y, vx, vy (m, m/s) with covariance (4, 4). Velocity is an Ornstein-Uhlenbeck process: people keep going
for a while, then stop or turn, so that the speed of somebody unseen does not stay what it was. The twin is in
`tests/reference_identity.py`.
"""

from libc.math cimport exp, hypot, sqrt
from libc.stdlib cimport qsort

import numpy as np

from ground_kalman cimport ground_absorb, ground_innovate, ground_innovation
from records cimport TrackRecord, int64_t

include "rows.pxi"


def predict(
    double[:, ::1] state not None,
    double[:, :, ::1] cov not None,
    const double[::1] dt_s not None,
    double speed_sd_mps,
    double keep_s,
):
    """Move tracks (M, 4), (M, 4, 4) on by dt_s (M,); speeds have the given spread and keep their value for `keep_s`."""
    cdef Py_ssize_t i, a, b
    cdef double t, f, g, qxx, qxv, qvv
    cdef double var = speed_sd_mps * speed_sd_mps
    cdef double p[4][4]
    if state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("a track has 4 numbers and a 4 x 4 covariance")
    if cov.shape[0] != state.shape[0] or dt_s.shape[0] != state.shape[0]:
        raise ValueError("state, cov and dt_s must have the same number of rows")
    with nogil:
        for i in range(state.shape[0]):
            t = dt_s[i]
            if t <= 0:
                continue
            f = exp(-t / keep_s)
            g = keep_s * (1 - f)
            qxx = var * keep_s * keep_s * (2 * t / keep_s - 3 + 4 * f - f * f)
            qxv = var * keep_s * (1 - f) * (1 - f)
            qvv = var * (1 - f * f)
            for a in range(2):
                state[i, a] += g * state[i, 2 + a]
                state[i, 2 + a] *= f
            for a in range(4):
                for b in range(4):
                    p[a][b] = cov[i, a, b]
            for a in range(2):
                for b in range(2):
                    cov[i, a, b] = p[a][b] + g * (p[a + 2][b] + p[a][b + 2]) + g * g * p[a + 2][b + 2]
                    cov[i, a, b + 2] = f * (p[a][b + 2] + g * p[a + 2][b + 2])
                    cov[i, b + 2, a] = cov[i, a, b + 2]
                    cov[i, a + 2, b + 2] = f * f * p[a + 2][b + 2]
            for a in range(2):
                cov[i, a, a] += qxx
                cov[i, a, a + 2] += qxv
                cov[i, a + 2, a] += qxv
                cov[i, a + 2, a + 2] += qvv


cdef struct Sight:
    int track
    int row
    double spread
    double x, y


cdef int surest_first(const void *a, const void *b) noexcept nogil:
    """By track, then by how sure, then by place: an order that does not depend on the order of cameras."""
    cdef const Sight *one = <const Sight *>a
    cdef const Sight *other = <const Sight *>b
    if one.track != other.track:
        return one.track - other.track
    if one.spread != other.spread:
        return -1 if one.spread < other.spread else 1
    if one.x != other.x:
        return -1 if one.x < other.x else 1
    if one.y != other.y:
        return -1 if one.y < other.y else 1
    return one.row - other.row


cdef bint agree(const double *xy, const double *r, const double *other_xy, const double *other_r, double ago_s,
                const double *state, double limit) noexcept nogil:
    """Whether two views of a track, seen `ago_s` apart, could be of one place."""
    cdef double ex = xy[0] - other_xy[0] + ago_s * state[2]
    cdef double ey = xy[1] - other_xy[1] + ago_s * state[3]
    cdef double sxx = r[0] + other_r[0], sxy = r[1] + other_r[1], syy = r[2] + other_r[2]
    return syy * ex * ex - 2 * sxy * ex * ey + sxx * ey * ey <= limit * (sxx * syy - sxy * sxy)


def update(
    double[:, ::1] state not None,
    double[:, :, ::1] cov not None,
    const int[::1] track not None,
    const double[:, ::1] xy not None,
    const double[:, ::1] r not None,
    const double[::1] lag_s not None,
    double limit,
    double max_speed_mps,
    unsigned char[::1] taken not None,
):
    """Feed foot points (n, 2) to the tracks (n,) they belong to, -1: none; of each track the surest first.

    taken (n,) is 0 where there is no track, and where a view lies beyond `limit` of the track, or of a view taken
    before: it is left out, not averaged in.
    """
    cdef Py_ssize_t i, k, q, count = 0, rows = track.shape[0]
    cdef double speed
    cdef int j
    cdef ground_innovation n
    if xy.shape[0] != rows or r.shape[0] != rows or lag_s.shape[0] != rows or taken.shape[0] != rows:
        raise ValueError("track, xy, r, lag_s and taken must have the same number of rows")
    if xy.shape[1] != 2 or r.shape[1] != 3:
        raise ValueError("wrong number of columns")
    if state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4 or cov.shape[0] != state.shape[0]:
        raise ValueError("a track has 4 numbers and a 4 x 4 covariance")
    for i in range(rows):
        if track[i] >= state.shape[0]:
            raise ValueError(f"no track {track[i]}")
    if rows == 0:
        return
    cdef double[::1] scratch = np.empty(rows * sizeof(Sight) // sizeof(double))
    cdef Sight *sights = <Sight *>&scratch[0]
    with nogil:
        for i in range(rows):
            taken[i] = False
            if track[i] >= 0:
                sights[count].track, sights[count].row, sights[count].spread = track[i], <int>i, r[i, 0] + r[i, 2]
                sights[count].x, sights[count].y = xy[i, 0], xy[i, 1]
                count += 1
        qsort(sights, count, sizeof(Sight), surest_first)
        for k in range(count):
            i = sights[k].row
            j = sights[k].track
            n = ground_innovate(&state[j, 0], &cov[j, 0, 0], &xy[i, 0], &r[i, 0], lag_s[i])
            taken[i] = n.d2 <= limit
            q = k - 1
            while taken[i] and q >= 0 and sights[q].track == j:
                if taken[sights[q].row]:
                    taken[i] = agree(
                        &xy[i, 0], &r[i, 0], &xy[sights[q].row, 0], &r[sights[q].row, 0],
                        lag_s[i] - lag_s[sights[q].row], &state[j, 0], limit,
                    )
                q -= 1
            if not taken[i]:
                continue
            ground_absorb(&state[j, 0], &cov[j, 0, 0], n, &r[i, 0])
            speed = sqrt(state[j, 2] * state[j, 2] + state[j, 3] * state[j, 3])
            if speed > max_speed_mps:
                state[j, 2] *= max_speed_mps / speed
                state[j, 3] *= max_speed_mps / speed


def places(lost, int64_t now_ns, double still_mps, double sway_m, double speed_sd_mps, double keep_s):
    """Where people out of sight (L,) may be by now: filters (L, 4), (L, 4, 4) around the places of their last sights.

    Who was slower than `still_mps` stays there, within `sway_m`; others have walked on, as in `predict`.
    """
    cdef Rows table = Rows(lost, sizeof(TrackRecord))
    cdef const TrackRecord *one = <const TrackRecord *>table.at
    cdef Py_ssize_t k
    cdef double gap_s, moved, var = speed_sd_mps * speed_sd_mps
    state_, cov_ = np.zeros((table.count, 4)), np.zeros((table.count, 4, 4))
    cdef double[:, ::1] state = state_
    cdef double[:, :, ::1] cov = cov_
    with nogil:
        for k in range(table.count):
            gap_s = max(<double>(now_ns - one[k].seen_ns) * 1e-9, 0.0)
            moved = sway_m * sway_m
            if not hypot(one[k].whole_velocity[0], one[k].whole_velocity[1]) < still_mps:
                moved = 2 * var * keep_s * (gap_s - keep_s * (1 - exp(-gap_s / keep_s)))
            state[k, 0], state[k, 1] = one[k].seen_xy[0], one[k].seen_xy[1]
            cov[k, 0, 0] = cov[k, 1, 1] = one[k].seen_sd * one[k].seen_sd + moved
            cov[k, 2, 2] = cov[k, 3, 3] = var
    return state_, cov_
