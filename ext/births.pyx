"""How tracks begin, see `spoton_edge/births.py`. The twin is in `tests/reference_identity.py`."""

from libc.math cimport INFINITY, NAN, isfinite, sqrt
from libc.string cimport memset

import numpy as np

from ground_kalman cimport ground_absorb, ground_apart, ground_innovate, ground_innovation
from records cimport TrackRecord, int16_t, int64_t, uint8_t

include "rows.pxi"

cdef enum:
    VISIBLE = 0


cdef struct Scene:
    const double *xy
    const double *r
    const double *lag_s
    const int16_t *camera
    int *track
    double *state
    double *cov
    Py_ssize_t rows
    double limit, max_speed_mps


cdef Py_ssize_t nearest(const Scene *s, Py_ssize_t row, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """Which of the tracks from `first` on a foot point fits best, and no row of its camera shows; -1: none."""
    cdef Py_ssize_t j, t, best = -1
    cdef double least = INFINITY
    cdef bint taken
    cdef ground_innovation n
    for j in range(first, end):
        n = ground_innovate(s.state + 4 * j, s.cov + 16 * j, s.xy + 2 * row, s.r + 3 * row, 0.0)
        if not n.d2 <= s.limit or n.d2 >= least:
            continue
        taken = False
        for t in range(row):
            if s.track[t] == j and s.camera[t] == s.camera[row]:
                taken = True
        if not taken:
            best, least = j, n.d2
    return best


cdef bint agrees(const Scene *s, Py_ssize_t row, Py_ssize_t track) noexcept nogil:
    """Whether a foot point could be in one place with every one that shows the track."""
    cdef Py_ssize_t t
    for t in range(s.rows):
        if s.track[t] == track and ground_apart(
            s.xy + 2 * row, s.r + 3 * row, s.xy + 2 * t, s.r + 3 * t, s.limit
        ):
            return False
    return True


cdef bint joins(Scene *s, Py_ssize_t row, Py_ssize_t track) noexcept nogil:
    """Feed a foot point to the track, unless it lies beyond the limit; whether it did."""
    cdef double *state = s.state + 4 * track
    cdef double speed
    cdef ground_innovation n = ground_innovate(
        state, s.cov + 16 * track, s.xy + 2 * row, s.r + 3 * row, s.lag_s[row]
    )
    if not n.d2 <= s.limit:
        return False
    ground_absorb(state, s.cov + 16 * track, n, s.r + 3 * row)
    speed = sqrt(state[2] * state[2] + state[3] * state[3])
    if speed > s.max_speed_mps:
        state[2] *= s.max_speed_mps / speed
        state[3] *= s.max_speed_mps / speed
    return True


cdef void start(Scene *s, TrackRecord *one, Py_ssize_t row, Py_ssize_t track, double speed_var) noexcept nogil:
    """A filter where the foot point is, and a record of somebody without an id."""
    cdef const double *xy = s.xy + 2 * row
    cdef const double *r = s.r + 3 * row
    cdef double *state = s.state + 4 * track
    cdef double *cov = s.cov + 16 * track
    cdef bint placed = isfinite(xy[0]) and isfinite(xy[1])
    memset(one, 0, sizeof(TrackRecord))
    one.global_id = one.best_view = one.entry = -1
    one.first_camera = s.camera[row]
    one.first_xy[0], one.first_xy[1], one.first_sd = xy[0], xy[1], sqrt(0.5 * (r[0] + r[2]))
    memset(cov, 0, 16 * sizeof(double))
    state[0], state[1], state[2], state[3] = xy[0], xy[1], 0.0, 0.0
    cov[0] = r[0] if placed else NAN
    cov[1] = cov[4] = r[1] if placed else NAN
    cov[5] = r[2] if placed else NAN
    cov[10] = cov[15] = speed_var


def begin(
    records,
    double[:, ::1] state not None,
    double[:, :, ::1] cov not None,
    Py_ssize_t known,
    int64_t next_uid,
    int[::1] track not None,
    const uint8_t[::1] seen_state not None,
    const int16_t[::1] camera not None,
    const int64_t[::1] captured_ns not None,
    const double[::1] lag_s not None,
    const float[:, ::1] xyxy not None,
    const double[:, ::1] xy not None,
    const double[:, ::1] r not None,
    const uint8_t[::1] floor not None,
    double limit,
    double max_speed_mps,
    double speed_sd_mps,
):
    """Tracks for the visible tracklets (T,) that show nobody: behind the `known` first rows of the tables, in place.

    records, state (M, 4) and cov (M, 4, 4) have room for them, which may hold anything; uids count from `next_uid`.
    Whom a tracklet shows is written to track (T,). One that could be in one place, within a squared distance of `limit`,
    with all that began a track before it is that track, unless its own camera shows that beside it. A camera that has a
    floor (C,) and cannot place a tracklet does not count it. Returns the tracklets that the tracks began with (N,).
    """
    cdef Rows table = Rows(records, sizeof(TrackRecord), True)
    cdef TrackRecord *record = <TrackRecord *>table.at
    cdef Py_ssize_t i, near, rows = track.shape[0], count = known, strangers = 0, began = 0
    cdef Scene s
    if seen_state.shape[0] != rows or camera.shape[0] != rows or captured_ns.shape[0] != rows or lag_s.shape[0] != rows:
        raise ValueError("track, seen_state, camera, captured_ns and lag_s must have the same number of rows")
    if xyxy.shape[0] != rows or xy.shape[0] != rows or r.shape[0] != rows:
        raise ValueError("xyxy, xy and r must have as many rows as track")
    if xyxy.shape[1] != 4 or xy.shape[1] != 2 or r.shape[1] != 3:
        raise ValueError("xyxy must be (T, 4), xy (T, 2) and r (T, 3)")
    if state.shape[0] != table.count or cov.shape[0] != table.count:
        raise ValueError("state and cov must have as many rows as records")
    if state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("state must be (M, 4) and cov (M, 4, 4)")
    for i in range(rows):
        if not 0 <= camera[i] < floor.shape[0]:
            raise ValueError(f"no camera {camera[i]}")
        strangers += track[i] < 0
    if known < 0 or known + strangers > table.count:
        raise ValueError(f"{known} tracks and {strangers} strangers are more than there is room for")
    began_ = np.empty(strangers, np.int64)
    if strangers == 0:
        return began_
    cdef int64_t[::1] first = began_
    s.xy, s.r, s.lag_s, s.camera, s.track = &xy[0, 0], &r[0, 0], &lag_s[0], &camera[0], &track[0]
    s.state, s.cov, s.rows, s.limit, s.max_speed_mps = &state[0, 0], &cov[0, 0, 0], rows, limit, max_speed_mps
    with nogil:
        for i in range(rows):
            if track[i] >= 0 or seen_state[i] != VISIBLE:
                continue
            if isfinite(xy[i, 0]):
                near = nearest(&s, i, known, count)
                if near >= 0 and agrees(&s, i, near) and joins(&s, i, near):
                    track[i] = <int>near
                    continue
            elif floor[camera[i]]:
                continue
            start(&s, &record[count], i, count, speed_sd_mps * speed_sd_mps)
            record[count].uid = next_uid + began
            record[count].born_ns = captured_ns[i]
            record[count].first_foot[0] = <float>0.5 * (xyxy[i, 0] + xyxy[i, 2])
            record[count].first_foot[1] = xyxy[i, 3]
            track[i] = <int>count
            first[began] = i
            count += 1
            began += 1
    return began_[:began]
