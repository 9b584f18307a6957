"""The ground-plane filter of `c/ground_filter.h`, the search for open pairs of `c/ground_pairs.h`, the places of `c/ground_places.h`."""

cdef extern from "ground_filter.h" nogil:
    ctypedef struct ground_innovation:
        double d2
    ground_innovation ground_innovate(
        const double *state, const double *cov, const double *xy, const double *r, double lag_s
    )
    void ground_densities(const ground_innovation *n, const double *r, double *regular, double *accident)
    void ground_absorb(double *state, double *cov, ground_innovation n, const double *r)
    void ground_absorb_as(
        double *state, double *cov, ground_innovation n, const double *r, double regular, double accident
    )
    bint ground_apart(const double *xy, const double *r, const double *other_xy, const double *other_r, double limit)

cdef extern from "ground_pairs.h" nogil:
    enum:
        GROUND_LANES
    ctypedef struct ground_reach:
        pass
    ctypedef struct ground_feet:
        int rows
        const double *xy
        const double *r
        const double *lag_s
    ctypedef struct ground_tracks:
        int rows
        const double *state
        const double *cov
    int ground_pairs(
        const ground_feet *feet, const ground_tracks *tracks, double limit, ground_reach *reach, double *lanes, int *start,
        int *column, double *d2
    )

cdef extern from "ground_places.h" nogil:
    ctypedef struct ground_place:
        const double *state
    ctypedef struct ground_places:
        const ground_feet *feet
        const int *column
        const int *slot
        const int *degree
        const double *worth
        const double *density
        double limit
        int tracks
        int pairs
        ground_place *place
        int count
        int most
        double *gain
        Py_ssize_t used
        Py_ssize_t most_gains
    void ground_places_begin(ground_places *p, const ground_tracks *tracks)
    bint ground_places_turn(ground_places *p)
    int ground_places_with(ground_places *p, int place, int row)
    double ground_places_gain(ground_places *p, int place, int row, int e)
    double ground_places_nats(const ground_place *place)
