"""What a step says of the tracks: who was seen where, who is a person, who is gone.

The twins are in `tests/reference_tracks.py`.
"""

from libc.math cimport isnan, sqrt
from libc.string cimport memcpy

import numpy as np

from records cimport TrackletEntry, TrackRecord, int16_t, int64_t, uint8_t

include "rows.pxi"

# What a camera has to do with a track, flags (M, C) of `ground_plane`; `ground.sight` writes the first.
cdef enum:
    _EXPECTED = 2
    _SHOWN = 4
    VISIBLE = 0
    SIDE = 5  # of FootPoint
    COASTING = 1


cdef check_rows(const int[::1] track, Py_ssize_t tracks):
    cdef Py_ssize_t i
    for i in range(track.shape[0]):
        if track[i] >= tracks:
            raise ValueError(f"no track {track[i]}")


cdef check_cameras(const int16_t[::1] camera, Py_ssize_t cameras):
    cdef Py_ssize_t i
    for i in range(camera.shape[0]):
        if not 0 <= camera[i] < cameras:
            raise ValueError(f"no camera {camera[i]}")


def note(
    records,
    const double[:, ::1] state not None,
    const double[:, :, ::1] cov not None,
    entries,
    const int[::1] at not None,
    const int[::1] track not None,
    const int16_t[::1] camera not None,
    const uint8_t[::1] seen_state not None,
    const int64_t[::1] captured_ns not None,
    const float[:, ::1] xyxy not None,
    const double[:, ::1] ground_cov not None,
    const uint8_t[::1] foot not None,
):
    """Write down whose each tracklet (T,) is, and the last sight of each track: its surest visible view of this step.

    at (T,) are the tracklets' rows in the book, track (T,) the rows in `record`, -1: nobody. How somebody
    moves is taken from when he was seen whole, by foot (T,) FootPoint: what is left of him at a picture's side moves oddly.
    """
    cdef Rows table = Rows(records, sizeof(TrackRecord), True)
    cdef TrackRecord *record = <TrackRecord *>table.at
    cdef Rows book = Rows(entries, sizeof(TrackletEntry), True)
    cdef TrackletEntry *entry = <TrackletEntry *>book.at
    cdef Py_ssize_t t, j, rows = track.shape[0], tracks = table.count
    cdef double doubt
    if at.shape[0] != rows or camera.shape[0] != rows or seen_state.shape[0] != rows or captured_ns.shape[0] != rows:
        raise ValueError("at, track, camera, seen_state and captured_ns must have the same number of rows")
    if xyxy.shape[0] != rows or ground_cov.shape[0] != rows or xyxy.shape[1] != 4 or ground_cov.shape[1] != 3:
        raise ValueError("xyxy must be (T, 4) and ground_cov (T, 3)")
    if foot.shape[0] != rows:
        raise ValueError("foot must be (T,)")
    if state.shape[0] != tracks or cov.shape[0] != tracks or state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("state must be (M, 4) and cov (M, 4, 4)")
    check_rows(track, tracks)
    for t in range(rows):
        if not 0 <= at[t] < book.count:
            raise ValueError(f"the book has no row {at[t]}")
    cdef int[::1] best = np.full(tracks, -1, np.int32)
    cdef double[::1] least = np.empty(tracks)
    with nogil:
        for t in range(rows):
            j = track[t]
            entry[at[t]].uid = record[j].uid if j >= 0 else -1
            if j < 0 or seen_state[t] != VISIBLE:
                continue
            entry[at[t]].fresh = True
            doubt = ground_cov[t, 0] + ground_cov[t, 2]  # NaN, not placed, comes last
            if best[j] < 0 or doubt < least[j] or (isnan(least[j]) and not isnan(doubt)):
                best[j] = <int>t
                least[j] = doubt
        for j in range(tracks):
            t = best[j]
            if t < 0:
                continue
            record[j].seen_ns = captured_ns[t]
            record[j].seen_camera = camera[t]
            record[j].seen_foot[0] = <float>0.5 * (xyxy[t, 0] + xyxy[t, 2])
            record[j].seen_foot[1] = xyxy[t, 3]
            record[j].hits += 1
            record[j].seen_xy[0] = state[j, 0]
            record[j].seen_xy[1] = state[j, 1]
            record[j].seen_sd = sqrt(0.5 * (cov[j, 0, 0] + cov[j, 1, 1]))
            if foot[t] != SIDE or record[j].whole_ns == 0:
                record[j].whole_ns = captured_ns[t]
                record[j].whole_xy = record[j].seen_xy
                record[j].whole_sd = record[j].seen_sd
                record[j].whole_velocity[0] = state[j, 2]
                record[j].whole_velocity[1] = state[j, 3]
                record[j].whole_velocity_sd = sqrt(0.5 * (cov[j, 2, 2] + cov[j, 3, 3]))


def weigh(
    records,
    uint8_t[:, ::1] flags not None,
    const int[::1] track not None,
    const int16_t[::1] camera not None,
    const uint8_t[::1] seen_state not None,
    const uint8_t[::1] explained not None,
    const int16_t[::1] batch_cameras not None,
    double hit_nats,
    double miss_nats,
    double shadow,
    double weight,
    double most_nats,
):
    """Add to each track's sureness what the views of it say, less what the cameras say that ought to see him and do not.

    A candidate's view in a place that somebody known explains counts for `shadow` of one. A camera of which a tracklet
    is only predicted did not look. flags (M, C): SHOWN is added where a tracklet (T,) shows a track.
    """
    cdef Rows table = Rows(records, sizeof(TrackRecord), True)
    cdef TrackRecord *record = <TrackRecord *>table.at
    cdef Py_ssize_t t, j, c, rows = track.shape[0], tracks = table.count, cameras = flags.shape[1]
    cdef long missed
    cdef double change
    if camera.shape[0] != rows or seen_state.shape[0] != rows or explained.shape[0] != rows:
        raise ValueError("track, camera, seen_state and explained must have the same number of rows")
    if flags.shape[0] != tracks:
        raise ValueError("flags must be (M, C)")
    check_rows(track, tracks)
    check_cameras(camera, cameras)
    check_cameras(batch_cameras, cameras)
    cdef double[::1] hits = np.zeros(tracks)
    cdef uint8_t[::1] looked = np.zeros(cameras, np.uint8)
    with nogil:
        for c in range(batch_cameras.shape[0]):
            looked[batch_cameras[c]] = True
        for t in range(rows):
            j = track[t]
            if seen_state[t] == COASTING:
                looked[camera[t]] = False
            if j >= 0:
                flags[j, camera[t]] |= _SHOWN
                hits[j] += shadow if explained[t] and record[j].global_id < 0 else 1.0
        for j in range(tracks):
            missed = 0
            for c in range(cameras):
                if looked[c] and flags[j, c] & (_EXPECTED | _SHOWN) == _EXPECTED:
                    missed += 1
            change = (hit_nats * hits[j] - miss_nats * missed) * (1.0 if record[j].hits <= 1 else weight)
            record[j].sureness = max(-most_nats, min(most_nats, record[j].sureness + change))


def leaving(
    records,
    const double[:, ::1] state not None,
    const double[:, :, ::1] cov not None,
    int64_t now_ns,
    double hold_s,
    double doubt_nats,
    double coast_s,
    double coast_sd_m,
    double leave_s,
):
    """Rows of tracks that go: candidates nothing speaks for any more, people who are lost, and those who are so where no

    camera has them in view. A candidate goes unseen for `hold_s`, or when `doubt_nats` speak against him. A person who
    is unseen is lost when his being there is in doubt, after `coast_s`, or farther than `coast_sd_m` from sure where he
    is; out of view after `leave_s`. Whoever has no place is in view, as far as can be known.
    """
    cdef Rows table = Rows(records, sizeof(TrackRecord))
    cdef const TrackRecord *record = <const TrackRecord *>table.at
    cdef Py_ssize_t j, tracks = table.count, candidates = 0, lost = 0, doubtful = 0
    cdef double unseen_s
    if state.shape[0] != tracks or cov.shape[0] != tracks or state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("state must be (M, 4) and cov (M, 4, 4)")
    rows_ = np.empty((3, tracks), np.int64)
    cdef int64_t[:, ::1] rows = rows_
    with nogil:
        for j in range(tracks):
            unseen_s = <double>(now_ns - record[j].seen_ns) * 1e-9
            if record[j].global_id < 0:
                if unseen_s > hold_s or record[j].sureness < -doubt_nats:
                    rows[0, candidates] = j
                    candidates += 1
            elif unseen_s > 0:
                if (
                    record[j].sureness < 0
                    or unseen_s > coast_s
                    or sqrt(0.5 * (cov[j, 0, 0] + cov[j, 1, 1])) > coast_sd_m  # never where there is no place
                ):
                    rows[1, lost] = j
                    lost += 1
                elif unseen_s > leave_s and not isnan(state[j, 0]):
                    rows[2, doubtful] = j
                    doubtful += 1
    return rows_[0, :candidates], rows_[1, :lost], rows_[2, :doubtful]


def sure(records, const double[:, ::1] state not None, double sure_nats):
    """Rows of candidates that are sure to be people: by `sure_nats`, or where there is no floor, at all."""
    cdef Rows table = Rows(records, sizeof(TrackRecord))
    cdef const TrackRecord *record = <const TrackRecord *>table.at
    cdef Py_ssize_t j, count = 0
    if state.shape[0] != table.count or state.shape[1] != 4:
        raise ValueError("state must be (M, 4)")
    rows_ = np.empty(table.count, np.int32)
    cdef int[::1] rows = rows_
    with nogil:
        for j in range(table.count):
            if record[j].global_id < 0 and record[j].sureness >= (0.0 if isnan(state[j, 0]) else sure_nats):
                rows[count] = <int>j
                count += 1
    return rows_[:count]


def sweep(records, double[:, ::1] state not None, double[:, :, ::1] cov not None, going):
    """Close the gaps that the rows of the list `going` leave in the tables, in place; how many rows stay."""
    cdef Rows table = Rows(records, sizeof(TrackRecord), True)
    cdef TrackRecord *record = <TrackRecord *>table.at
    cdef Py_ssize_t j, stay = 0, tracks = table.count
    if state.shape[0] != tracks or cov.shape[0] != tracks or state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("state must be (M, 4) and cov (M, 4, 4)")
    cdef uint8_t[::1] goes = np.zeros(tracks, np.uint8)
    for j in going:
        if not 0 <= j < tracks:
            raise ValueError(f"no track {j}")
        goes[j] = True
    with nogil:
        for j in range(tracks):
            if goes[j]:
                continue
            if stay < j:
                record[stay] = record[j]
                memcpy(&state[stay, 0], &state[j, 0], 4 * sizeof(double))
                memcpy(&cov[stay, 0, 0], &cov[j, 0, 0], 16 * sizeof(double))
            stay += 1
    return stay
