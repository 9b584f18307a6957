"""The ground-plane filter of `c/ground_filter.h` and the search for open pairs of `c/ground_pairs.h`."""

cdef extern from "ground_filter.h" nogil:
    ctypedef struct ground_innovation:
        double d2
    ground_innovation ground_innovate(
        const double *state, const double *cov, const double *xy, const double *r, double lag_s
    )
    double ground_nats(const ground_innovation *n, const double *r)
    double ground_gain(const ground_innovation *n, const double *r, double worth, double density)
    void ground_absorb(double *state, double *cov, ground_innovation n, const double *r)

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
