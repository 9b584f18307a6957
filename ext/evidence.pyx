"""What a step says of the tracks: who was seen where, who is a person, which two are one.

The twins are in `tests/reference_tracks.py`.
"""

from libc.math cimport isnan, sqrt

import numpy as np

from ground_kalman cimport GROUND_LANES, ground_feet, ground_pairs, ground_reach, ground_tracks
from records cimport TrackletEntry, TrackRecord, TwinPair, int16_t, int64_t, row_of, uint8_t

include "rows.pxi"

# What a camera has to do with a track, flags (M, C) of `ground_plane`; `ground.sight` writes the first two.
cdef enum:
    _IN_VIEW = 1
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


def compare_twins(
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
                nats = 0.0
                if k < old.count and before[k].older == record[i].uid and before[k].newer == record[j].uid:
                    nats = before[k].nats
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
