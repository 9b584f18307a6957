"""Which track each tracklet is now: every camera's tracklets compete for the tracks, all cameras agreeing on the places.

First each camera on its own, against where the tracks are predicted; then again, camera by camera, against where the
other cameras put them (iterated conditional modes; Besag 1986), from several starts. One GIL-free call. The twin is in
`tests/reference_identity.py`.
"""

from libc.math cimport INFINITY, NAN, exp, hypot
from libc.string cimport memcmp, memcpy

import numpy as np

from ground_kalman cimport (
    ground_feet,
    ground_place,
    ground_places,
    ground_places_begin,
    ground_places_gain,
    ground_places_nats,
    ground_places_turn,
    ground_places_with,
    ground_tracks,
)

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
    void lapjv_solve_few(const lapjv_problem *problem, lapjv_scratch *scratch, int *column_of_row, int *row_of_column)

cdef double LOG_2PI = 1.8378770664093453

cdef enum:
    ROOM = 16  # for so many places a row, and gains a pair: few sites need more, and then it is emptied

cdef enum:
    KEPT = 6  # choices that are remembered of each camera

cdef enum:
    MOST = 1 << 24  # rows, tracks, pairs: what is made of them is counted in 32 bits

cdef enum:
    CANDIDATE
    PERSON
    LOST


cdef struct Scene:
    Py_ssize_t rows, tracks
    const short *camera
    const unsigned char *standing  # CANDIDATE, PERSON, or LOST: who only keeps others from taking what may be his
    bint candidates  # there are any
    const int *start
    const int *column
    const double *worth  # of a pair, before the nats of its innovation come off
    ground_places places
    int *at  # by pair, the place of its track when its camera looked last, -1: not known
    double *gain  # of each pair, in that place
    double *best_gain  # of the best attempt so far
    int *best_match
    int *match
    int *before  # match of the camera's rows when its turn came
    int *head  # of the list of rows that each track has, ascending, -1: the end
    int *next
    int *put  # the place where the cameras but one put a track
    long *made  # in which turn that was looked up
    long *changed  # in which turn the list of a track was changed last
    long changed_any  # in which turn any was
    long *looked  # by first row: the camera's last turn in which it looked
    # What cameras chose before, KEPT choices of each: the same places give the same gains and the same choice.
    int *chosen_at
    double *chosen_gain
    int *chosen_match
    int *choices  # by first row: how many there have been
    # One camera's assignment problem.
    int *p_start
    int *p_column
    double *p_cost
    int *chosen
    int *taken
    lapjv_scratch scratch


cdef void enlist(Scene *s, int row) noexcept nogil:
    """Add a row to the list of the track it is matched with."""
    cdef int *link = &s.head[s.match[row]]
    while 0 <= link[0] < row:
        link = &s.next[link[0]]
    s.next[row] = link[0]
    link[0] = row


cdef void strike(Scene *s, int row, int track) noexcept nogil:
    """Take a row off the list of a track."""
    cdef int *link = &s.head[track]
    while link[0] != row:
        link = &s.next[link[0]]
    link[0] = s.next[row]


cdef bint has_others(Scene *s, int track, short camera) noexcept nogil:
    """Whether a camera but this one shows the track."""
    cdef int i = s.head[track]
    while i >= 0 and s.camera[i] == camera:
        i = s.next[i]
    return i >= 0


cdef int without(Scene *s, int track, short camera, long turn) noexcept nogil:
    """The place where the other cameras put a track."""
    cdef int i, place = track
    if s.made[track] == turn:
        return s.put[track]
    i = s.head[track]
    while i >= 0:
        if s.camera[i] != camera:
            place = ground_places_with(&s.places, place, i)
        i = s.next[i]
    s.made[track] = turn
    s.put[track] = place
    return place


cdef void settle(Scene *s, Py_ssize_t first, Py_ssize_t end, bint candidates) noexcept nogil:
    """One camera's assignment, to candidates or to all others, of the rows that have none yet."""
    cdef lapjv_problem problem
    cdef Py_ssize_t i, e
    cdef int edges = 0
    s.p_start[0] = 0
    for i in range(first, end):
        if s.match[i] < 0:
            for e in range(s.start[i], s.start[i + 1]):
                if s.gain[e] > 0 and (s.standing[s.column[e]] == CANDIDATE) == candidates:
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
    lapjv_solve_few(&problem, &s.scratch, s.chosen, s.taken)
    for i in range(first, end):
        if s.chosen[i - first] >= 0 and s.standing[s.chosen[i - first]] != LOST:
            s.match[i] = s.chosen[i - first]


cdef void assign(Scene *s, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """Match one camera's rows anew. People first: a candidate, perhaps the shadow of one of them, takes what they leave."""
    cdef Py_ssize_t i
    for i in range(first, end):
        s.match[i] = -1
    settle(s, first, end, False)
    if s.candidates:
        settle(s, first, end, True)


cdef void choose(Scene *s, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """Weigh one camera's pairs where their tracks are put, and match its rows; if it has been so before, as it was."""
    cdef Py_ssize_t edges = s.start[s.rows], begin = s.start[first], own = s.start[end] - begin, i, e, k
    for k in range(min(s.choices[first], <int>KEPT)):
        if memcmp(s.chosen_at + k * edges + begin, s.at + begin, own * sizeof(int)) == 0:
            memcpy(s.gain + begin, s.chosen_gain + k * edges + begin, own * sizeof(double))
            memcpy(s.match + first, s.chosen_match + k * s.rows + first, (end - first) * sizeof(int))
            return
    for i in range(first, end):
        for e in range(s.start[i], s.start[i + 1]):
            s.gain[e] = ground_places_gain(&s.places, s.at[e], <int>i, <int>e)
    assign(s, first, end)
    k = s.choices[first] % KEPT
    s.choices[first] += 1
    memcpy(s.chosen_at + k * edges + begin, s.at + begin, own * sizeof(int))
    memcpy(s.chosen_gain + k * edges + begin, s.gain + begin, own * sizeof(double))
    memcpy(s.chosen_match + k * s.rows + first, s.match + first, (end - first) * sizeof(int))


cdef bint look_again(Scene *s, Py_ssize_t first, Py_ssize_t end, long turn) noexcept nogil:
    """Find those tracks that the other cameras put elsewhere since one camera looked last; any at all?"""
    cdef bint any_moved = False
    cdef Py_ssize_t i, e
    cdef int j
    if s.looked[first] and s.changed_any <= s.looked[first]:
        return False
    for i in range(first, end):
        for e in range(s.start[i], s.start[i + 1]):
            j = s.column[e]
            if s.at[e] < 0 or (s.changed[j] > s.looked[first] if s.looked[first] else has_others(s, j, s.camera[i])):
                s.at[e] = without(s, j, s.camera[i], turn)
                any_moved = True
    s.looked[first] = turn
    return any_moved


cdef Py_ssize_t next_camera(Scene *s, Py_ssize_t first) noexcept nogil:
    """Where the rows of the next camera begin."""
    cdef Py_ssize_t end = first + 1
    while end < s.rows and s.camera[end] == s.camera[first]:
        end += 1
    return end


cdef void look_first(Scene *s, Py_ssize_t first, Py_ssize_t end, bint alone, long turn) noexcept nogil:
    """Match one camera's rows: to where the tracks are due (alone), or to where the cameras before put them."""
    cdef Py_ssize_t i, e
    for i in range(first, end):
        for e in range(s.start[i], s.start[i + 1]):
            s.at[e] = s.column[e] if alone else without(s, s.column[e], s.camera[i], turn)
    choose(s, first, end)
    if not alone:
        s.looked[first] = turn
        enlist_all(s, first, end, turn)


cdef void enlist_all(Scene *s, Py_ssize_t first, Py_ssize_t end, long turn) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(end - 1, first - 1, -1):
        if s.match[i] >= 0:
            enlist(s, <int>i)
            s.changed[s.match[i]] = s.changed_any = turn


cdef void begin_turn(Scene *s, long *turn) noexcept nogil:
    cdef Py_ssize_t i
    turn[0] += 1
    if ground_places_turn(&s.places):
        for i in range(s.rows):
            s.choices[i] = 0
        for i in range(s.start[s.rows]):
            s.at[i] = -1
        s.changed_any = turn[0]


cdef void sweep_once(Scene *s, long *turn) noexcept nogil:
    """Each camera looks again, at where the others put the tracks."""
    cdef Py_ssize_t first = 0, end, i
    while first < s.rows:
        end = next_camera(s, first)
        begin_turn(s, turn)
        if look_again(s, first, end, turn[0]):
            memcpy(s.before + first, s.match + first, (end - first) * sizeof(int))
            choose(s, first, end)
            for i in range(first, end):
                if s.match[i] != s.before[i]:
                    if s.before[i] >= 0:
                        strike(s, <int>i, s.before[i])
                        s.changed[s.before[i]] = s.changed_any = turn[0]
                    if s.match[i] >= 0:
                        enlist(s, <int>i)
                        s.changed[s.match[i]] = s.changed_any = turn[0]
        first = end


cdef void attempt(Scene *s, Py_ssize_t lead, bint alone, int sweeps, long *turn) noexcept nogil:
    """A choice of all cameras: each by itself (alone) or after those before it, from `lead` on; then again in sweeps."""
    cdef Py_ssize_t first = lead, end, i
    cdef int j, sweep
    for j in range(s.tracks):
        s.head[j] = -1
    for i in range(s.rows):
        s.match[i] = -1
        s.looked[i] = 0
    while True:
        end = next_camera(s, first)
        begin_turn(s, turn)
        look_first(s, first, end, alone, turn[0])
        first = end if end < s.rows else 0
        if first == lead:
            break
    if alone:
        enlist_all(s, 0, s.rows, 0)
    for sweep in range(sweeps):
        sweep_once(s, turn)


cdef double total_worth(Scene *s) noexcept nogil:
    """How well a choice explains what all cameras see, in nats over its being all of strangers."""
    cdef double total = 0.0
    cdef Py_ssize_t i, e
    cdef int j, k, place
    for j in range(<int>s.tracks):
        place, k = j, s.head[j]
        while k >= 0:
            place = ground_places_with(&s.places, place, k)
            total -= ground_places_nats(&s.places.place[place])
            k = s.next[k]
    for i in range(s.rows):
        for e in range(s.start[i], s.start[i + 1]):
            if s.column[e] == s.match[i]:
                total += s.worth[e]
    return total


cdef void compete_all(Scene *s, int sweeps, int leads) noexcept nogil:
    """The best of several attempts: from one start only, cameras may agree on a mistake that none of them can leave."""
    cdef Py_ssize_t edges = s.start[s.rows], lead = 0
    cdef long turn = 0
    cdef double best = -INFINITY, now
    cdef int k
    if s.rows == 0:
        return
    for k in range(leads + 1):
        attempt(s, lead, k == 0, sweeps, &turn)
        if leads == 0 or next_camera(s, 0) == s.rows:
            return
        begin_turn(s, &turn)
        if k == 0 or memcmp(s.match, s.best_match, s.rows * sizeof(int)) != 0:
            now = total_worth(s)
        else:
            now = best
        if now > best + 1e-9:
            best = now
            memcpy(s.best_match, s.match, s.rows * sizeof(int))
            memcpy(s.best_gain, s.gain, edges * sizeof(double))
        if k > 0:
            lead = next_camera(s, lead)
            if lead == s.rows:
                break
    memcpy(s.match, s.best_match, s.rows * sizeof(int))
    memcpy(s.gain, s.best_gain, edges * sizeof(double))


cdef void explain(
    Scene *s, const float *alike, double *distance, double *cosine, double *margin, unsigned char *explained
) noexcept nogil:
    """On what grounds each row has its track; being nobody known gains nothing."""
    cdef Py_ssize_t i, e, edge
    cdef double second, people, lost
    cdef int j
    for i in range(s.rows):
        edge = -1
        distance[i] = cosine[i] = margin[i] = NAN
        second = people = lost = 0.0
        for e in range(s.start[i], s.start[i + 1]):
            j = s.column[e]
            if s.standing[j] == PERSON:
                people = max(people, s.gain[e])
            elif s.standing[j] == LOST:
                lost = max(lost, s.gain[e])
            if j == s.match[i]:
                edge = e
            else:
                second = max(second, s.gain[e])
        explained[i] = people > lost
        if edge >= 0:
            j = s.match[i]
            margin[i] = s.gain[edge] - second
            cosine[i] = alike[edge]
            distance[i] = hypot(
                s.places.feet.xy[2 * i] - s.places.place[j].state[0],
                s.places.feet.xy[2 * i + 1] - s.places.place[j].state[1],
            )


def compete(
    const short[::1] camera not None,
    const double[:, ::1] xy not None,
    const double[:, ::1] r not None,
    const double[::1] lag_s not None,
    const double[:, ::1] state not None,
    const double[:, :, ::1] cov not None,
    const unsigned char[::1] standing not None,
    const int[::1] start not None,
    const int[::1] column not None,
    const double[::1] bonus not None,
    const float[::1] alike not None,
    double base,
    double limit,
    int sweeps,
    int leads,
):
    """Assign tracklets (T,), camera after camera, to tracks (M,) over the open pairs of `open_pairs`.

    A pair gains `base` + bonus (E,) less the nats of its innovation; only gains above 0 are taken, and a track once by
    each camera. In the first attempt every camera begins by itself, in each of the `leads` others another one leads;
    the best counts. standing (M,) is 0 of a candidate, 1 of a person, 2 of somebody lost: a tracklet that shows him
    best is kept from people, not from candidates. Returns, (T,) each: the track, -1: none; of the pair that it stands
    for the distance in m, the cosine of those given for all pairs, alike (E,), and by how many nats it is better than
    the next best, NaN: none; and whether a person would have gained, and more than anybody lost.
    """
    cdef Scene s
    cdef Py_ssize_t rows = camera.shape[0], tracks = state.shape[0], edges = column.shape[0], e, j
    cdef double *worth
    cdef double *density
    cdef int *degree
    cdef int *slot
    if xy.shape[0] != rows or r.shape[0] != rows or lag_s.shape[0] != rows:
        raise ValueError("camera, xyxy, r and lag_s must have the same number of rows")
    if xy.shape[1] != 2 or r.shape[1] != 3 or state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("wrong number of columns")
    if cov.shape[0] != tracks or standing.shape[0] != tracks or start.shape[0] != rows + 1:
        raise ValueError("state, cov and standing must have the same number of rows, and start one more than xy")
    if bonus.shape[0] != edges or alike.shape[0] != edges or start[rows] != edges or start[0] != 0:
        raise ValueError("start, column, bonus and alike do not fit together")
    for e in range(rows):
        if start[e] > start[e + 1]:
            raise ValueError("start must not fall")
    for e in range(edges):
        if not 0 <= column[e] < tracks:
            raise ValueError("column names a track that does not exist")
    match_, grounds_, explained_ = np.empty(rows, np.int32), np.empty((3, rows)), np.empty(rows, np.bool_)
    if rows == 0:
        return match_, *grounds_, explained_
    cdef int[::1] match = match_
    cdef double[:, ::1] grounds = grounds_
    cdef unsigned char[::1] explained = explained_.view(np.uint8)
    if rows > MOST or tracks > MOST or edges > MOST:
        raise ValueError(f"{rows} rows, {tracks} tracks and {edges} pairs are too many")
    cdef double[::1] numbers = np.empty(2 * tracks + (6 + ROOM + KEPT) * edges + 1)
    cdef int[::1] counts = np.empty(8 * tracks + (7 + KEPT) * rows + (3 + KEPT) * edges + 1, np.int32)
    cdef long[::1] turns = np.zeros(2 * tracks + rows, np.dtype("l"))
    cdef char[::1] places = np.empty((tracks + ROOM * rows) * sizeof(ground_place), np.int8)
    cdef ground_feet feet
    cdef ground_tracks people
    cdef double *d = &numbers[0]
    cdef int *k = &counts[0]
    s.rows, s.tracks, s.changed_any = rows, tracks, 0
    s.camera, s.start, s.match = &camera[0], &start[0], &match[0]
    feet.rows, feet.xy, feet.r, feet.lag_s = <int>rows, &xy[0, 0], &r[0, 0], &lag_s[0]
    people.rows = <int>tracks
    if tracks:
        people.state, people.cov, s.standing = &state[0, 0], &cov[0, 0, 0], &standing[0]
    if edges:
        s.column = &column[0]
    s.scratch.dual, s.scratch.distance = d, d + tracks
    d += 2 * tracks
    s.p_cost, s.gain, s.best_gain, worth, density = d, d + edges, d + 2 * edges, d + 3 * edges, d + 4 * edges
    s.chosen_gain, s.places.gain = d + 5 * edges, d + (5 + KEPT) * edges
    s.made, s.changed, s.looked = &turns[0], &turns[0] + tracks, &turns[0] + 2 * tracks
    s.head, s.taken, s.scratch.via_edge = k, k + tracks, k + 2 * tracks
    s.scratch.via_row, s.scratch.mark, s.scratch.touched = k + 3 * tracks, k + 4 * tracks, k + 5 * tracks
    s.put, degree = k + 6 * tracks, k + 7 * tracks
    k += 8 * tracks
    s.next, s.chosen, s.scratch.row_edge, s.before, s.p_start = k, k + rows, k + 2 * rows, k + 3 * rows, k + 4 * rows
    k += 5 * rows + 1
    s.best_match, s.choices, s.chosen_match = k, k + rows, k + 2 * rows
    k += (2 + KEPT) * rows
    s.at, s.p_column, slot, s.chosen_at = k, k + edges, k + 2 * edges, k + 3 * edges
    s.worth = worth
    s.places.feet, s.places.limit, s.places.column = &feet, limit, s.column
    s.places.worth, s.places.density, s.places.slot, s.places.degree = worth, density, slot, degree
    s.places.pairs, s.places.most, s.places.most_gains = <int>edges, <int>(tracks + ROOM * rows), (1 + ROOM) * edges
    s.places.place = <ground_place *>&places[0]
    with nogil:
        s.candidates = False
        for j in range(tracks):
            degree[j] = 0
            s.candidates = s.candidates or standing[j] == CANDIDATE
        for j in range(rows):
            s.choices[j] = 0
        for e in range(edges):
            worth[e] = base + bonus[e]
            density[e] = exp(LOG_2PI - worth[e])
            slot[e] = degree[column[e]]
            degree[column[e]] += 1
        ground_places_begin(&s.places, &people)
        compete_all(&s, sweeps, leads)
        explain(&s, &alike[0] if edges else NULL, &grounds[0, 0], &grounds[1, 0], &grounds[2, 0], &explained[0])
    return match_, *grounds_, explained_
