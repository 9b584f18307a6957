"""What readings of people's heights say, and what they teach, see `spoton_edge/stature.py`.

The twins are in `tests/reference_stature.py`.
"""

from libc.math cimport M_PI, NAN, exp, fmax, fmin, isfinite, log, sqrt

import numpy as np

from records cimport HeightReadings, TrackRecord, TwinPair, int16_t, row_of, uint8_t

include "rows.pxi"

cdef enum:
    VISIBLE = 0
    SEEN = 0  # of the feet

cdef double BIAS_RATE = 0.01
cdef double MOST_READINGS = 2000.0
cdef double ODD_PER_M = 1.0  # density of odd readings, which may be anything between one metre and two
cdef double KNOWN = 8.0  # readings after which a stature may teach how good readings are


cdef double nats_of(double read, double spread, double height, double known, double variance, double odd) noexcept nogil:
    """What a reading (variance `spread`) says (nats) against its being of one who is `height` tall, by `known` readings.

    At the most, that it is odd: of somebody who bends, sits, or is boxed badly. It never speaks for anybody, as many
    people are as tall. 0 where one of the two is not known.
    """
    cdef double apart, nats
    if not known > 0:
        return 0.0
    apart = (read - height) * (read - height) / (spread + variance / fmax(known, 1.0))
    nats = log(odd + (1 - odd) * exp(-0.5 * apart))
    return nats if isfinite(nats) else 0.0


cdef Py_ssize_t kind_of(uint8_t foot) noexcept nogil:
    return 0 if foot == SEEN else 1


cdef HeightReadings *readings_of(Rows learned) except NULL:
    if learned.count != 1:
        raise ValueError(f"one site has one record of readings, not {learned.count}")
    return <HeightReadings *>learned.at


cdef check_tracklets(const double[::1] tall_m, const int16_t[::1] camera, const uint8_t[::1] foot, Py_ssize_t cameras):
    cdef Py_ssize_t t
    if camera.shape[0] != tall_m.shape[0] or foot.shape[0] != tall_m.shape[0]:
        raise ValueError("tall_m, camera and foot must have the same number of rows")
    for t in range(camera.shape[0]):
        if not 0 <= camera[t] < cameras:
            raise ValueError(f"no camera {camera[t]}")


def compare(
    learned,
    const double[::1] bias_m not None,
    const double[::1] tall_m not None,
    const int16_t[::1] camera not None,
    const uint8_t[::1] foot not None,
    const int[::1] row not None,
    records,
    const int[::1] column not None,
    double[::1] bonus not None,
):
    """Add to `bonus` (E,) what the statures of tracklets (T,) say (nats) for their being tracks: row[e] column[e].

    tall_m NaN: not read. bias_m (C,) is by how much each camera reads too much.
    """
    cdef Rows site = Rows(learned, sizeof(HeightReadings)), table = Rows(records, sizeof(TrackRecord))
    cdef const HeightReadings *of = readings_of(site)
    cdef const TrackRecord *record = <const TrackRecord *>table.at
    cdef Py_ssize_t e, t, j, k
    check_tracklets(tall_m, camera, foot, bias_m.shape[0])
    if column.shape[0] != row.shape[0] or bonus.shape[0] != row.shape[0]:
        raise ValueError("row, column and bonus must have the same number of rows")
    for e in range(row.shape[0]):
        if not 0 <= row[e] < tall_m.shape[0] or not 0 <= column[e] < table.count:
            raise ValueError(f"no tracklet {row[e]}, or no track {column[e]}")
    with nogil:
        for e in range(row.shape[0]):
            t, j = row[e], column[e]
            k = kind_of(foot[t])
            bonus[e] += nats_of(
                tall_m[t] - bias_m[camera[t]], of.variance[k], record[j].tall, record[j].tall_n, of.variance[0], of.odd[k]
            )


def between(learned, new, old):
    """The same for people (N,) against people (L,), (N, L)."""
    cdef Rows site = Rows(learned, sizeof(HeightReadings))
    cdef const HeightReadings *of = readings_of(site)
    cdef Rows newcomers = Rows(new, sizeof(TrackRecord)), people = Rows(old, sizeof(TrackRecord))
    cdef const TrackRecord *one = <const TrackRecord *>newcomers.at
    cdef const TrackRecord *other = <const TrackRecord *>people.at
    cdef Py_ssize_t i, j
    cdef double spread
    nats_ = np.zeros((newcomers.count, people.count))
    cdef double[:, ::1] nats = nats_
    with nogil:
        for i in range(newcomers.count):
            if one[i].tall_n > 0:
                spread = of.sway + of.variance[0] / fmax(one[i].tall_n, 1.0)
                for j in range(people.count):
                    nats[i, j] = nats_of(
                        one[i].tall, spread, other[j].tall, other[j].tall_n, of.variance[0], of.odd[0]
                    )
    return nats_


cdef struct Lesson:  # of one kind of readings
    double count, off, odd


cdef void judge(HeightReadings *of, const Lesson *lesson) noexcept nogil:
    """How good readings are, from those of people whose stature is known."""
    cdef Py_ssize_t k
    for k in range(2):
        if lesson[k].count > 0:
            of.readings[k] = fmin(of.readings[k] + lesson[k].count, MOST_READINGS)
            of.variance[k] += lesson[k].off / of.readings[k]
            of.odd[k] += (lesson[k].odd - lesson[k].count * of.odd[k]) / of.readings[k]


def learn(
    learned,
    double[::1] bias_m not None,
    records,
    const double[::1] tall_m not None,
    const int16_t[::1] camera not None,
    const uint8_t[::1] foot not None,
    const uint8_t[::1] seen_state not None,
    const int[::1] track not None,
    double weight,
    double late_most,
    double enough,
    double most,
):
    """Take in the readings of the tracklets (T,) of each track, track (T,), -1: none.

    First what people of known stature show of cameras and readings, then what each person's readings show of him: of
    late (`late_most` readings at most, each counting `weight`) and over all (`most` at most).
    """
    cdef Rows site = Rows(learned, sizeof(HeightReadings), True), table = Rows(records, sizeof(TrackRecord), True)
    cdef HeightReadings *of = readings_of(site)
    cdef TrackRecord *record = <TrackRecord *>table.at
    cdef Py_ssize_t t, j, k, c, rows = track.shape[0], tracks = table.count, cameras = bias_m.shape[0], sure = 0
    cdef double error, regular, odd, trust, mean = 0.0, read, share, apart, known, swayed = 0.0
    cdef Lesson[2] lesson
    check_tracklets(tall_m, camera, foot, cameras)
    if tall_m.shape[0] != rows or seen_state.shape[0] != rows:
        raise ValueError("tall_m, seen_state and track must have the same number of rows")
    for t in range(rows):
        if track[t] >= tracks:
            raise ValueError(f"no track {track[t]}")
    cdef double[::1] total = np.zeros(tracks)
    cdef double[::1] sum_m = np.zeros(tracks)
    cdef double[::1] push_m = np.zeros(cameras)
    with nogil:
        for k in range(2):
            lesson[k].count = lesson[k].off = lesson[k].odd = 0.0
        for t in range(rows):
            j, k = track[t], kind_of(foot[t])
            if j < 0 or seen_state[t] != VISIBLE or not isfinite(tall_m[t]) or not record[j].tall_n >= KNOWN:
                continue
            error = tall_m[t] - bias_m[camera[t]] - record[j].tall
            regular = (1 - of.odd[k]) * exp(-0.5 * error * error / of.variance[k]) / sqrt(2 * M_PI * of.variance[k])
            odd = of.odd[k] * ODD_PER_M
            regular = regular / (regular + odd)
            lesson[k].count += 1
            lesson[k].off += regular * (error * error - of.variance[k])
            lesson[k].odd += 1 - regular
            push_m[camera[t]] += BIAS_RATE * regular * error
        if lesson[0].count + lesson[1].count > 0:
            judge(of, lesson)
            for c in range(cameras):
                bias_m[c] += push_m[c]
                mean += bias_m[c]
            mean /= cameras
            for c in range(cameras):
                bias_m[c] -= mean
        for t in range(rows):
            j, k = track[t], kind_of(foot[t])
            if j >= 0 and seen_state[t] == VISIBLE and isfinite(tall_m[t]):
                trust = (1.0 - of.odd[k]) * of.variance[0] / of.variance[k]
                read = tall_m[t] - bias_m[camera[t]]
                total[j] += trust
                sum_m[j] += trust * read
                if k == 0:
                    record[j].read_m += read
                    record[j].reads += 1
        for j in range(tracks):
            if total[j] > 0:
                read, share = sum_m[j] / total[j], weight * fmin(total[j], 1.0)
                record[j].late_n = fmin(record[j].late_n + share, late_most)
                record[j].late_tall += (read - record[j].late_tall) * share / fmax(record[j].late_n, 1e-9)
                apart = read - record[j].tall
                if record[j].tall_n >= KNOWN:
                    if record[j].late_n >= enough:
                        error = record[j].late_tall - record[j].tall
                        swayed += fmin(error * error, 9 * of.sway) - of.sway
                        sure += 1
                    share *= exp(-0.5 * apart * apart / of.variance[0])  # as likely as he may be that tall at all
                known = fmin(record[j].tall_n + share, most)
                record[j].tall += apart * share / fmax(known, 1e-9)
                record[j].tall_n = known
        if sure:
            of.swayed = fmin(of.swayed + sure, MOST_READINGS)
            of.sway += swayed / of.swayed


def exchanged(learned, records, pairs, double enough, double least):
    """Of pairs of tracks that met, those that were mistaken for one another since: rows (n, 2), odds (n,) nats.

    pairs are `older` and `newer` by uid, with what speaks for their having `kept` apart. Both need an id and `enough`
    readings; each has been as tall of late as the other is, at odds of at least `least` after that.
    """
    cdef Rows site = Rows(learned, sizeof(HeightReadings)), table = Rows(records, sizeof(TrackRecord))
    cdef const HeightReadings *of = readings_of(site)
    cdef const TrackRecord *record = <const TrackRecord *>table.at
    cdef Rows met = Rows(pairs, sizeof(TwinPair))
    cdef const TwinPair *pair = <const TwinPair *>met.at
    cdef const TrackRecord *one
    cdef const TrackRecord *other
    cdef Py_ssize_t p, i, j, count = 0
    cdef double odds, need
    cdef bint known
    row_, odds_ = np.empty((met.count, 2), np.int32), np.empty(met.count)
    cdef int[:, ::1] row = row_
    cdef double[::1] found = odds_
    cdef double most = -log(of.odd[0])  # that can speak against a reading
    cdef double[::1] strange = np.empty(table.count)  # how ill each is what he is himself; NaN: not to be told
    with nogil:
        for i in range(table.count):
            one = &record[i]
            known = one.global_id >= 0 and fmin(one.late_n, one.tall_n) >= enough
            strange[i] = -late(of, one, one) if known else NAN
        for p in range(met.count):
            # What fits would not do, whatever the other is like: most pairs end here.
            need = least + pair[p].kept - 1e-9
            i = row_of(record, table.count, pair[p].older)
            if i < 0 or not strange[i] + most >= need:
                continue
            j = row_of(record, table.count, pair[p].newer)
            if j < 0 or not strange[i] + strange[j] >= need:
                continue
            one, other = &record[i], &record[j]
            odds = late(of, one, other) + late(of, other, one) + strange[i] + strange[j] - pair[p].kept
            if odds >= least:
                row[count, 0], row[count, 1], found[count] = <int>i, <int>j, odds
                count += 1
    return row_[:count], odds_[:count]


cdef double late(const HeightReadings *of, const TrackRecord *row, const TrackRecord *who) noexcept nogil:
    """What a track has been lately, as evidence (nats) for its being `who`."""
    return nats_of(row.late_tall, of.sway, who.tall, who.tall_n, of.variance[0], of.odd[0])
