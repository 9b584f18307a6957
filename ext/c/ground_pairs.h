/* The gate on the ground plane: which foot points could be which tracks. */
#ifndef SPOTON_GROUND_PAIRS_H
#define SPOTON_GROUND_PAIRS_H

/* What of the longer axis of the site a track's gate can reach, and how far those before it in the order of `low` do. */
typedef struct {
    double low, high, farthest;
    int track;
} ground_reach;

enum { GROUND_LANES = 9 }; /* of doubles a track, see below */

/* Foot points xy (rows, 2) m, NaN: not placed; covariance r (rows, 3); seen lag_s (rows) ago. */
typedef struct {
    int rows;
    const double *xy, *r, *lag_s;
} ground_feet;

/* Filters state (rows, 4), cov (rows, 4, 4); NaN: not placed. */
typedef struct {
    int rows;
    const double *state, *cov;
} ground_tracks;

/* Writes the pairs whose squared Mahalanobis distance is at most `limit`, foot after foot and by track: those of foot i
 * are column[e], d2[e] for e in start[i] .. start[i + 1] - 1. Returns their number.
 *
 * Tracks out of reach along the longer axis of the site are never looked at (sweep and prune; Baraff 1992), so that the
 * cost grows with the people near each other, not with the square of all. `reach` is scratch for tracks.rows elements,
 * `lanes` for GROUND_LANES times as many; start holds feet.rows + 1, column and d2 feet.rows * tracks.rows. */
int ground_pairs(const ground_feet *feet, const ground_tracks *tracks, double limit, ground_reach *reach, double *lanes,
                 int *start, int *column, double *d2);

#endif
