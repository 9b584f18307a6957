"""What is told of the people on the site, see `spoton_edge/roster.py`. The twins are in `tests/reference_tracks.py`."""

from libc.math cimport isnan
from libc.stdlib cimport qsort

import numpy as np

from records cimport TrackletEntry, TrackRecord, int16_t, int64_t, row_of, uint8_t

include "rows.pxi"

cdef enum:
    VISIBLE = 0
    COASTING = 1
    LOST = 2


cdef check(const int[::1] row, const int16_t[::1] camera, const float[:, ::1] xyxy, Py_ssize_t tracks):
    cdef Py_ssize_t t
    if camera.shape[0] != row.shape[0] or xyxy.shape[0] != row.shape[0] or xyxy.shape[1] != 4:
        raise ValueError("row, camera and xyxy (T, 4) must have the same number of rows")
    for t in range(row.shape[0]):
        if row[t] >= tracks:
            raise ValueError(f"no track {row[t]}")


def choose_views(
    records,
    entries,
    const int16_t[::1] camera not None,
    const float[:, ::1] xyxy not None,
    const uint8_t[::1] foot not None,
    const int[::1] row not None,
    const double[::1] picture_height not None,
    const double[::1] worth not None,
    double hysteresis,
    int64_t still_seen_since_ns,
):
    """Note the best view of each track that tracklets (T,) show, row (T,), -1: none.

    picture_height (C,) px; worth (FootPoint,) is how much of a view's size counts. The best so far counts
    `hysteresis` times, and stays where it does not show the track now but has seen it after `still_seen_since_ns`.
    """
    cdef Rows table = Rows(records, sizeof(TrackRecord), True)
    cdef TrackRecord *record = <TrackRecord *>table.at
    cdef Rows book = Rows(entries, sizeof(TrackletEntry))
    cdef const TrackletEntry *entry = <const TrackletEntry *>book.at
    cdef Py_ssize_t t, j, k, tracks = table.count, rows = row.shape[0]
    cdef double quality
    check(row, camera, xyxy, tracks)
    if foot.shape[0] != rows:
        raise ValueError("foot must have as many rows as row")
    for t in range(rows):
        if not 0 <= camera[t] < picture_height.shape[0] or foot[t] >= worth.shape[0]:
            raise ValueError(f"no camera {camera[t]}, or no foot point {foot[t]}")
    if tracks == 0:
        return
    cdef int[::1] best = np.full(tracks, -1, np.int32)
    cdef double[::1] most = np.empty(tracks)
    cdef uint8_t[::1] stays = np.zeros(tracks, np.uint8)  # whose best view was good until a moment ago
    with nogil:
        for k in range(book.count):
            if entry[k].seen_ns > still_seen_since_ns:
                j = row_of(record, tracks, entry[k].uid)
                if j >= 0 and record[j].best_view == entry[k].camera:
                    stays[j] = True
        for t in range(rows):
            j = row[t]
            if j < 0:
                continue
            quality = (xyxy[t, 3] - xyxy[t, 1]) / picture_height[camera[t]] * worth[foot[t]]
            if record[j].best_view == camera[t]:
                quality *= hysteresis
                stays[j] = False  # it competes
            if best[j] < 0 or quality > most[j] or (quality == most[j] and camera[t] < camera[best[j]]):
                best[j] = <int>t
                most[j] = quality
        for j in range(tracks):
            if best[j] >= 0 and not stays[j]:
                record[j].best_view = camera[best[j]]


cdef struct Person:
    int64_t global_id
    int source  # row of the table, or behind those, of the lost


cdef int by_id(const void *a, const void *b) noexcept nogil:
    cdef const Person *one = <const Person *>a
    cdef const Person *other = <const Person *>b
    if one.global_id != other.global_id:
        return -1 if one.global_id < other.global_id else 1
    return one.source - other.source


def tell(
    records,
    const double[:, ::1] state not None,
    const double[:, :, ::1] cov not None,
    lost_records,
    entries,
    const int[::1] row not None,
    int64_t now_ns,
    int64_t lost_since_ns,
    int64_t still_seen_since_ns,
):
    """Everybody who has an id, those followed and those lost since `lost_since_ns`, by ascending id.

    Returns global_id, xy, velocity, cov, state, age_s, best_view (M, ...) as in `GlobalTracks`, the tracklets (V,) that
    show them, and which of them each shows (V,), ascending; row (T,) is the track of each tracklet, -1: none.
    """
    cdef Rows table = Rows(records, sizeof(TrackRecord))
    cdef const TrackRecord *record = <const TrackRecord *>table.at
    cdef Rows book = Rows(entries, sizeof(TrackletEntry))
    cdef const TrackletEntry *entry = <const TrackletEntry *>book.at
    cdef Rows gone = Rows(lost_records, sizeof(TrackRecord))
    cdef const TrackRecord *lost = <const TrackRecord *>gone.at
    cdef Py_ssize_t tracks = table.count, j, k, t, count = 0, shown = 0
    cdef Person *person
    cdef const TrackRecord *one
    cdef double var
    if state.shape[0] != tracks or cov.shape[0] != tracks or state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("state must be (M, 4) and cov (M, 4, 4)")
    for t in range(row.shape[0]):
        if row[t] >= tracks:
            raise ValueError(f"no track {row[t]}")
    cdef uint8_t[::1] visible = np.zeros(tracks + 1, np.uint8)
    cdef int[::1] place = np.full(tracks + 1, -1, np.int32)
    cdef char[::1] people_ = np.empty((tracks + gone.count + 1) * sizeof(Person), np.int8)
    cdef Person *people = <Person *>&people_[0]
    with nogil:
        for k in range(book.count if tracks else 0):
            if entry[k].fresh and entry[k].seen_ns > still_seen_since_ns:
                j = row_of(record, tracks, entry[k].uid)
                if j >= 0:
                    visible[j] = True
        for j in range(tracks):
            if record[j].global_id >= 0:
                people[count].global_id, people[count].source = record[j].global_id, <int>j
                count += 1
        for j in range(gone.count):
            if lost[j].seen_ns >= lost_since_ns:
                people[count].global_id, people[count].source = lost[j].global_id, <int>(tracks + j)
                count += 1
        qsort(people, count, sizeof(Person), by_id)
    global_id_, age_s_, best_view_ = np.empty(count, np.int64), np.empty(count), np.empty(count, np.int16)
    xy_, velocity_, cov_, state_ = np.empty((count, 2)), np.empty((count, 2)), np.empty((count, 3)), np.empty(count, np.uint8)
    cdef int64_t[::1] global_id = global_id_
    cdef double[::1] age_s = age_s_
    cdef int16_t[::1] best_view = best_view_
    cdef double[:, ::1] xy = xy_
    cdef double[:, ::1] velocity = velocity_
    cdef double[:, ::1] spread = cov_
    cdef uint8_t[::1] told = state_
    cdef int[::1] first = np.zeros(count + 1, np.int32)  # of each person's views
    with nogil:
        for k in range(count):
            person = &people[k]
            j = person.source
            one = &record[j] if j < tracks else &lost[j - tracks]
            global_id[k] = person.global_id
            age_s[k] = <double>(now_ns - one.born_ns) * 1e-9
            best_view[k] = -1
            if j < tracks:
                place[j] = <int>k
                told[k] = VISIBLE if visible[j] else COASTING
                if visible[j]:
                    best_view[k] = one.best_view
                xy[k, 0], xy[k, 1], velocity[k, 0], velocity[k, 1] = state[j, 0], state[j, 1], state[j, 2], state[j, 3]
                spread[k, 0], spread[k, 1], spread[k, 2] = cov[j, 0, 0], cov[j, 0, 1], cov[j, 1, 1]
            else:
                told[k] = LOST
                var = one.seen_sd * one.seen_sd
                xy[k, 0], xy[k, 1], velocity[k, 0], velocity[k, 1] = one.seen_xy[0], one.seen_xy[1], 0.0, 0.0
                spread[k, 0], spread[k, 1], spread[k, 2] = var, var * 0.0, var
        for t in range(row.shape[0]):
            if row[t] >= 0 and place[row[t]] >= 0:
                first[place[row[t]] + 1] += 1
                shown += 1
        for k in range(count):
            first[k + 1] += first[k]
    view_, of_ = np.empty(shown, np.int64), np.empty(shown, np.int32)
    cdef int64_t[::1] view = view_
    cdef int[::1] of = of_
    with nogil:
        for t in range(row.shape[0]):
            if row[t] >= 0 and place[row[t]] >= 0:
                k = place[row[t]]
                view[first[k]] = t
                of[first[k]] = <int>k
                first[k] += 1
    return global_id_, xy_, velocity_, cov_, state_, age_s_, best_view_, view_, of_
