#include "ground_pairs.h"

#include <stdlib.h>

#include "dispatch.h"
#include "ground_filter.h"

/* Reaches are widened by more than rounding can take off them: a pair that is open is never pruned. */
#define GROUND_SLACK (1 + 1e-9)

static double widest(double a, double b) { return a > b ? a : b; }

/* The axis (0: x, 1: y) along which the tracks lie farther apart. */
static int longer_axis(const ground_tracks *tracks) {
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int j = 0; j < tracks->rows; j++) {
        for (int a = 0; a < 2; a++) {
            const double at = tracks->state[4 * j + a];
            if (at < low[a]) low[a] = at;
            if (at > high[a]) high[a] = at;
        }
    }
    return high[1] - low[1] > high[0] - low[0];
}

static int by_low(const void *a, const void *b) {
    const ground_reach *one = a, *other = b;
    return one->low < other->low ? -1 : one->low > other->low ? 1 : one->track - other->track;
}

/* Fills `reach` with the tracks that have a place, in the order of their lower ends; how many there are. */
static int lay_out(const ground_tracks *tracks, double limit, double most_lag, int axis, ground_reach *reach) {
    int count = 0;
    for (int j = 0; j < tracks->rows; j++) {
        const double *state = tracks->state + 4 * j, *cov = tracks->cov + 16 * j;
        const double far = (sqrt(limit * (cov[0] + cov[5])) + most_lag * fabs(state[2 + axis])) * GROUND_SLACK;
        if (!isfinite(state[axis] + far)) continue;
        reach[count++] = (ground_reach){state[axis] - far, state[axis] + far, 0, j};
    }
    qsort(reach, (size_t)count, sizeof *reach, by_low);
    double farthest = -INFINITY;
    for (int k = 0; k < count; k++) reach[k].farthest = farthest = widest(farthest, reach[k].high);
    return count;
}

/* The first track from which on some reach as far as `low`. */
static int first_reaching(const ground_reach *reach, int count, double low) {
    int from = 0, to = count;
    while (from < to) {
        const int middle = from + (to - from) / 2;
        if (reach[middle].farthest < low)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Puts pairs in the order of their tracks: few, and often nearly in order. */
static void order_by_track(int *column, double *d2, int count) {
    for (int k = 1; k < count; k++) {
        const int track = column[k];
        const double distance = d2[k];
        int at = k;
        for (; at > 0 && column[at - 1] > track; at--) {
            column[at] = column[at - 1];
            d2[at] = d2[at - 1];
        }
        column[at] = track;
        d2[at] = distance;
    }
}

/* What the gate asks of each track, column after column, so that it is asked of several at once. */
static void spread_out(const ground_tracks *tracks, double limit, double *lanes) {
    const int rows = tracks->rows;
    for (int j = 0; j < rows; j++) {
        const double *state = tracks->state + 4 * j, *cov = tracks->cov + 16 * j;
        for (int a = 0; a < 4; a++) lanes[a * rows + j] = state[a];
        lanes[4 * rows + j] = limit * (cov[0] + cov[5]) * GROUND_SLACK;
        lanes[5 * rows + j] = cov[0];
        lanes[6 * rows + j] = cov[1];
        lanes[7 * rows + j] = cov[5];
    }
}

/* Above 0 where a foot point lies beyond the gate of a track: d2 <= limit without the division. */
SPOTON_DISPATCH
static void ask_all(const double *restrict lanes, int rows, const double *restrict xy, const double *restrict r,
                    double lag_s, double limit, double *restrict beyond) {
    const double x = xy[0], y = xy[1], rxx = r[0], rxy = r[1], ryy = r[2], wide = limit * GROUND_SLACK;
    for (int j = 0; j < rows; j++) {
        const double *of = lanes + j;
        const double ex = x - of[0] + lag_s * of[2 * rows], ey = y - of[rows] + lag_s * of[3 * rows];
        const double sxx = of[5 * rows] + rxx, sxy = of[6 * rows] + rxy, syy = of[7 * rows] + ryy;
        beyond[j] = syy * ex * ex - 2 * sxy * ex * ey + sxx * ey * ey - wide * (sxx * syy - sxy * sxy);
    }
}

/* Whether one pair is open; if so, it is written down. */
static inline int is_open(const ground_tracks *tracks, int j, const double *xy, const double *r, double lag_s, double limit,
                          int *column, double *d2) {
    const ground_innovation n = ground_innovate(tracks->state + 4 * j, tracks->cov + 16 * j, xy, r, lag_s);
    if (!(n.d2 <= limit)) return 0;
    *column = j;
    *d2 = n.d2;
    return 1;
}

int ground_pairs(const ground_feet *feet, const ground_tracks *tracks, double limit, ground_reach *reach, double *lanes,
                 int *start, int *column, double *d2) {
    const int axis = longer_axis(tracks), rows = tracks->rows;
    double most_lag = 0, *beyond = lanes + 8 * rows;
    for (int i = 0; i < feet->rows; i++) most_lag = widest(most_lag, fabs(feet->lag_s[i]));
    const int count = lay_out(tracks, limit, most_lag, axis, reach);
    spread_out(tracks, limit, lanes);
    int edges = 0;
    start[0] = 0;
    for (int i = 0; i < feet->rows; i++) {
        const double *xy = feet->xy + 2 * i, *r = feet->r + 3 * i, lag = feet->lag_s[i];
        const double reach2 = limit * (r[0] + r[2]) * GROUND_SLACK, far = sqrt(reach2);
        if (isfinite(xy[0] + xy[1] + far)) {
            const int from = first_reaching(reach, count, xy[axis] - far);
            int to = from;
            while (to < count && reach[to].low <= xy[axis] + far) to++;
            if (4 * (to - from) > rows) { /* most are in reach: ask all, several at once, which needs no ordering */
                ask_all(lanes, rows, xy, r, lag, limit, beyond);
                for (int j = 0; j < rows; j++)
                    if (beyond[j] <= 0) edges += is_open(tracks, j, xy, r, lag, limit, column + edges, d2 + edges);
            } else {
                for (int k = from; k < to; k++) {
                    const int j = reach[k].track;
                    const double *of = lanes + j;
                    const double ex = xy[0] - of[0] + lag * of[2 * rows], ey = xy[1] - of[rows] + lag * of[3 * rows];
                    /* d2 >= distance^2 / (largest eigenvalue of S), and the trace bounds that eigenvalue. */
                    if (ex * ex + ey * ey <= of[4 * rows] + reach2)
                        edges += is_open(tracks, j, xy, r, lag, limit, column + edges, d2 + edges);
                }
                order_by_track(column + start[i], d2 + start[i], edges - start[i]);
            }
        }
        start[i + 1] = edges;
    }
    return edges;
}
