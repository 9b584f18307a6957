"""The memory of tracklets between steps, see `spoton_edge/tracklet_book.py`. The twin is in `tests/reference_tracks.py`."""

import numpy as np

from records cimport HeightReadings, TrackletEntry, TrackRecord, TwinPair, int16_t, int64_t, row_of, uint8_t

include "rows.pxi"


cdef struct Fresh:  # where the tracklets of one camera's last batch were, column after column
    Py_ssize_t count
    float *x1
    float *y1
    float *x2
    float *y2
    int *row
    int *touched


cdef inline double iou(const float *a, const float *b) noexcept nogil:
    cdef double w = min(a[2], b[2]) - max(a[0], b[0])
    cdef double h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


cdef void add(Fresh *fresh, const float *box, Py_ssize_t row) noexcept nogil:
    cdef Py_ssize_t k = fresh.count
    fresh.x1[k], fresh.y1[k], fresh.x2[k], fresh.y2[k], fresh.row[k] = box[0], box[1], box[2], box[3], <int>row
    fresh.count += 1


cdef double lead(const TrackletEntry *before, Fresh *fresh, Py_ssize_t own, const float *box) noexcept nogil:
    """By how much a box continues its own tracklet better than any other of its camera."""
    cdef Py_ssize_t k
    cdef double other = 0.0
    cdef float x1 = box[0], y1 = box[1], x2 = box[2], y2 = box[3]
    if not before[own].fresh:
        return 0.0
    for k in range(fresh.count):  # several at once; most do not touch
        fresh.touched[k] = (fresh.x1[k] < x2) & (fresh.x2[k] > x1) & (fresh.y1[k] < y2) & (fresh.y2[k] > y1)
    for k in range(fresh.count):
        if fresh.touched[k] and fresh.row[k] != own:
            other = max(other, iou(box, before[fresh.row[k]].box))
    return max(0.0, iou(box, before[own].box) - other)


def enter(
    before_entries,
    const int64_t[::1] keys not None,
    const int16_t[::1] camera not None,
    const int64_t[::1] captured_ns not None,
    const float[:, ::1] xyxy not None,
    const float[::1] score not None,
    const int16_t[::1] batch_cameras not None,
    int64_t now_ns,
    int64_t forget_ns,
    after_entries,
    int[::1] row not None,
):
    """Merge the tracklets of a step (T,), by ascending key, into the book: (K,) before, after (K + T,) is the new one.

    Returns how many rows of it count; row (T,) is where each tracklet stands. Those unseen for `forget_ns` are left out,
    no entry of `batch_cameras` is fresh any more, and margin is the IoU with the tracklet's own fresh box less that with
    the nearest other's.
    """
    cdef Rows old = Rows(before_entries, sizeof(TrackletEntry)), new = Rows(after_entries, sizeof(TrackletEntry), True)
    cdef const TrackletEntry *before = <const TrackletEntry *>old.at
    cdef TrackletEntry *after = <TrackletEntry *>new.at
    cdef Py_ssize_t known = old.count, rows = keys.shape[0], i = 0, t, count = 0, next = 0, most = -1
    cdef TrackletEntry entry
    if camera.shape[0] != rows or captured_ns.shape[0] != rows or xyxy.shape[0] != rows or score.shape[0] != rows:
        raise ValueError("keys, camera, captured_ns, xyxy and score must have the same number of rows")
    if xyxy.shape[1] != 4 or row.shape[0] != rows or new.count != known + rows:
        raise ValueError("a box has 4 numbers, row as many rows as keys, after as many as before and keys together")
    for t in range(rows):
        if camera[t] < 0 or (t and (keys[t - 1] >= keys[t] or camera[t - 1] > camera[t])):
            raise ValueError("keys and their cameras must ascend")
    for t in range(batch_cameras.shape[0]):
        if batch_cameras[t] < 0:
            raise ValueError("cameras count from 0")
        most = max(most, batch_cameras[t])
    cdef unsigned char[::1] in_batch = np.zeros(most + 2, np.uint8)
    cdef float[:, ::1] boxes = np.empty((4, known + 1), np.float32)
    cdef int[:, ::1] numbers = np.empty((2, known + 1), np.int32)
    cdef Fresh fresh
    fresh.x1, fresh.y1, fresh.x2, fresh.y2 = &boxes[0, 0], &boxes[1, 0], &boxes[2, 0], &boxes[3, 0]
    fresh.row, fresh.touched, fresh.count = &numbers[0, 0], &numbers[1, 0], 0
    for t in range(batch_cameras.shape[0]):
        in_batch[batch_cameras[t]] = True
    with nogil:
        for t in range(rows + 1):
            while i < known and (t == rows or before[i].key < keys[t]):
                if now_ns - before[i].seen_ns <= forget_ns:
                    after[count] = before[i]
                    if before[i].camera <= most and in_batch[before[i].camera]:
                        after[count].fresh = False
                    count += 1
                i += 1
            if t == rows:
                break
            if t == 0 or camera[t - 1] != camera[t]:
                fresh.count = 0
                while next < known and before[next].camera <= camera[t]:
                    if before[next].camera == camera[t] and before[next].fresh:
                        add(&fresh, before[next].box, next)
                    next += 1
            if i < known and before[i].key == keys[t]:
                entry = before[i]
                entry.margin = lead(before, &fresh, i, &xyxy[t, 0])
                if camera[t] <= most and in_batch[camera[t]]:
                    entry.fresh = False
                i += 1
            else:
                entry.key, entry.uid, entry.camera = keys[t], -1, camera[t]
                entry.first_ns, entry.embedded_ns, entry.disagreed = captured_ns[t], 0, 0
                entry.fresh, entry.margin = False, 0.0
            entry.seen_ns, entry.score = captured_ns[t], score[t]
            entry.box[0], entry.box[1], entry.box[2], entry.box[3] = xyxy[t, 0], xyxy[t, 1], xyxy[t, 2], xyxy[t, 3]
            after[count] = entry
            row[t] = <int>count
            count += 1
    return count


def holders(entries, records, const int[::1] at not None):
    """The row in the records of the track that each tracklet, `at` (T,) of the book, is part of, (T,); -1: none."""
    cdef Rows book = Rows(entries, sizeof(TrackletEntry)), table = Rows(records, sizeof(TrackRecord))
    cdef const TrackletEntry *entry = <const TrackletEntry *>book.at
    cdef const TrackRecord *record = <const TrackRecord *>table.at
    cdef Py_ssize_t t, rows = at.shape[0]
    row_ = np.empty(rows, np.int32)
    cdef int[::1] row = row_
    for t in range(rows):
        if not 0 <= at[t] < book.count:
            raise ValueError(f"the book has no row {at[t]}")
    with nogil:
        for t in range(rows):
            row[t] = <int>row_of(record, table.count, entry[at[t]].uid)
    return row_


cdef Py_ssize_t first_of(const TrackletEntry *entry, Py_ssize_t count, int16_t camera) noexcept nogil:
    """Where a camera's entries begin."""
    cdef Py_ssize_t low = 0, high = count, middle
    while low < high:
        middle = low + (high - low) // 2
        if entry[middle].camera < camera:
            low = middle + 1
        else:
            high = middle
    return low


def changes(
    entries,
    records,
    const int[::1] track not None,
    const int[::1] held not None,
    const int16_t[::1] camera not None,
    const int64_t[::1] captured_ns not None,
    const int64_t[::1] track_id not None,
    int64_t since_ns,
):
    """Tracklets (T,) that show a person, row track of the records, but did not so far, row held; -1: none.

    A list of tuples: the tracklet, the person's id, the camera that saw him last, this one, when, the track id, the id
    of whom the tracklet showed so far (-1: nobody), and whether this camera has seen the person after `since_ns`.
    """
    cdef Rows book = Rows(entries, sizeof(TrackletEntry)), table = Rows(records, sizeof(TrackRecord))
    cdef const TrackletEntry *entry = <const TrackletEntry *>book.at
    cdef const TrackRecord *record = <const TrackRecord *>table.at
    cdef Py_ssize_t t, k, rows = track.shape[0]
    cdef const TrackRecord *person
    cdef bint watched
    if held.shape[0] != rows or camera.shape[0] != rows or captured_ns.shape[0] != rows or track_id.shape[0] != rows:
        raise ValueError("track, held, camera, captured_ns and track_id must have the same number of rows")
    for t in range(rows):
        if track[t] >= table.count or held[t] >= table.count:
            raise ValueError(f"no track {max(track[t], held[t])}")
    out = []
    for t in range(rows):
        if track[t] < 0 or track[t] == held[t] or record[track[t]].global_id < 0:
            continue
        person = &record[track[t]]
        watched = False
        for k in range(first_of(entry, book.count, camera[t]), book.count):
            if entry[k].camera != camera[t]:
                break
            if entry[k].uid == person.uid and entry[k].seen_ns > since_ns:
                watched = True
                break
        out.append((
            t,
            person.global_id,
            person.seen_camera,
            camera[t],
            captured_ns[t],
            track_id[t],
            record[held[t]].global_id if held[t] >= 0 else -1,
            watched,
        ))
    return out


def layouts():
    """Where the fields of the records lie, in bytes, by the name of their dtype: for the test that compares them."""
    cdef TrackRecord t
    cdef TrackletEntry e
    cdef TwinPair p
    cdef HeightReadings h
    cdef char *a = <char *>&t
    cdef char *b = <char *>&e
    cdef char *c = <char *>&p
    cdef char *d = <char *>&h
    return {
        "TRACK": {
            "uid": <char *>&t.uid - a,
            "global_id": <char *>&t.global_id - a,
            "born_ns": <char *>&t.born_ns - a,
            "seen_ns": <char *>&t.seen_ns - a,
            "seen_xy": <char *>&t.seen_xy - a,
            "seen_sd": <char *>&t.seen_sd - a,
            "whole_ns": <char *>&t.whole_ns - a,
            "whole_xy": <char *>&t.whole_xy - a,
            "whole_sd": <char *>&t.whole_sd - a,
            "whole_velocity": <char *>&t.whole_velocity - a,
            "whole_velocity_sd": <char *>&t.whole_velocity_sd - a,
            "seen_camera": <char *>&t.seen_camera - a,
            "seen_foot": <char *>&t.seen_foot - a,
            "first_camera": <char *>&t.first_camera - a,
            "first_foot": <char *>&t.first_foot - a,
            "first_xy": <char *>&t.first_xy - a,
            "first_sd": <char *>&t.first_sd - a,
            "sureness": <char *>&t.sureness - a,
            "hits": <char *>&t.hits - a,
            "best_view": <char *>&t.best_view - a,
            "entry": <char *>&t.entry - a,
            "tall": <char *>&t.tall - a,
            "tall_n": <char *>&t.tall_n - a,
            "late_tall": <char *>&t.late_tall - a,
            "late_n": <char *>&t.late_n - a,
            "read_m": <char *>&t.read_m - a,
            "reads": <char *>&t.reads - a,
        },
        "ENTRY": {
            "key": <char *>&e.key - b,
            "uid": <char *>&e.uid - b,
            "camera": <char *>&e.camera - b,
            "first_ns": <char *>&e.first_ns - b,
            "seen_ns": <char *>&e.seen_ns - b,
            "embedded_ns": <char *>&e.embedded_ns - b,
            "disagreed": <char *>&e.disagreed - b,
            "box": <char *>&e.box - b,
            "score": <char *>&e.score - b,
            "fresh": <char *>&e.fresh - b,
            "margin": <char *>&e.margin - b,
        },
        "PAIR": {
            "older": <char *>&p.older - c,
            "newer": <char *>&p.newer - c,
            "nats": <char *>&p.nats - c,
            "kept": <char *>&p.kept - c,
        },
        "READINGS": {
            "readings": <char *>&h.readings - d,
            "variance": <char *>&h.variance - d,
            "odd": <char *>&h.odd - d,
            "sway": <char *>&h.sway - d,
            "swayed": <char *>&h.swayed - d,
        },
    }
