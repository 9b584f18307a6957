/* Inline kernels of the ground-plane Kalman filter, shared by the fusion and the matching module.
 *
 * A track is x, y, vx, vy with a row-major 4 x 4 covariance; a foot point is x, y with covariance r = xx, xy, yy. */
#ifndef SPOTON_GROUND_FILTER_H
#define SPOTON_GROUND_FILTER_H

#include <math.h>

/* One foot point in twenty is an accident, several times farther off than its covariance says. */
#define GROUND_ACCIDENT 0.05
#define GROUND_ACCIDENT_SPREAD 9.0
#define GROUND_LOG_2PI 1.8378770664093453

typedef struct {
    double ex, ey;        /* m */
    double sxx, sxy, syy; /* its covariance, m^2 */
    double det, d2;       /* of that covariance; squared Mahalanobis distance, infinite where it is not one */
} ground_innovation;

static inline void ground_settle(ground_innovation *n) {
    n->det = n->sxx * n->syy - n->sxy * n->sxy;
    n->d2 = n->det > 0
                ? (n->syy * n->ex * n->ex - 2 * n->sxy * n->ex * n->ey + n->sxx * n->ey * n->ey) / n->det
                : (double)INFINITY;
}

/* How far a foot point lies from a track, where the track was `lag_s` ago. */
static inline ground_innovation ground_innovate(const double *state, const double *cov, const double *xy,
                                                const double *r, double lag_s) {
    ground_innovation n;
    n.ex = xy[0] - state[0] + lag_s * state[2];
    n.ey = xy[1] - state[1] + lag_s * state[3];
    n.sxx = cov[0] + r[0];
    n.sxy = cov[1] + r[1];
    n.syy = cov[5] + r[2];
    ground_settle(&n);
    return n;
}

/* The same innovation with `extra` times the foot point's covariance added. */
static inline ground_innovation ground_widen(ground_innovation n, const double *r, double extra) {
    n.sxx += extra * r[0];
    n.sxy += extra * r[1];
    n.syy += extra * r[2];
    ground_settle(&n);
    return n;
}

/* Whether two foot points lie beyond a squared Mahalanobis distance of `limit` from each other; not where one is not placed. */
static inline int ground_apart(const double *xy, const double *r, const double *other_xy, const double *other_r, double limit) {
    const double x = xy[0] - other_xy[0], y = xy[1] - other_xy[1];
    const double xx = r[0] + other_r[0], xy_ = r[1] + other_r[1], yy = r[2] + other_r[2];
    return yy * x * x - 2 * xy_ * x * y + xx * y * y > limit * (xx * yy - xy_ * xy_);
}

/* Densities of an innovation as it should be, and as an accident; without the 2 pi. */
static inline void ground_densities(const ground_innovation *n, const double *r, double *regular, double *accident) {
    const ground_innovation far = ground_widen(*n, r, GROUND_ACCIDENT_SPREAD - 1);
    *regular = (1 - GROUND_ACCIDENT) * exp(-0.5 * n->d2) / sqrt(n->det);
    *accident = GROUND_ACCIDENT * exp(-0.5 * far.d2) / sqrt(far.det);
}

/* An upper bound of exp(-x) for x >= 0 without the exponential: its series cut off below the line. */
static inline double ground_exp_bound(double x) { return 1.0 / (1 + x * (1 + x * (0.5 + x * (1.0 / 6 + x * (1.0 / 24))))); }

/* `worth` less the nats of an innovation, exactly where that is positive; where it is not, perhaps only something that
 * is not positive either, which is cheaper: most pairs within the gate are of neighbours. `density` is the density at
 * which nothing is gained, exp(-worth), without the 2 pi as below. */
static inline double ground_gain(const ground_innovation *n, const double *r, double worth, double density) {
    const ground_innovation far = ground_widen(*n, r, GROUND_ACCIDENT_SPREAD - 1);
    const double regular = (1 - GROUND_ACCIDENT) / sqrt(n->det), accident = GROUND_ACCIDENT / sqrt(far.det);
    const double enough = density * (1 - 1e-9);
    if (regular * ground_exp_bound(0.5 * n->d2) + accident * ground_exp_bound(0.5 * far.d2) < enough) return -(double)INFINITY;
    double likely, unlikely;
    ground_densities(n, r, &likely, &unlikely);
    return likely + unlikely < enough ? -(double)INFINITY : worth - (GROUND_LOG_2PI - log(likely + unlikely));
}

/* Kalman update with a foot point, of densities as above, that counts for less the likelier it is an accident. */
static inline void ground_absorb_as(double *state, double *cov, ground_innovation n, const double *r, double regular,
                                    double accident) {
    double k[4][2], p[16];
    const double odd = regular + accident > 0 ? accident / (regular + accident) : 1.0;
    n = ground_widen(n, r, 1.0 / (1.0 - odd + odd / GROUND_ACCIDENT_SPREAD) - 1.0);
    for (int a = 0; a < 16; a++) p[a] = cov[a];
    for (int a = 0; a < 4; a++) {
        k[a][0] = (p[4 * a] * n.syy - p[4 * a + 1] * n.sxy) / n.det;
        k[a][1] = (p[4 * a + 1] * n.sxx - p[4 * a] * n.sxy) / n.det;
    }
    for (int a = 0; a < 4; a++) state[a] += k[a][0] * n.ex + k[a][1] * n.ey;
    for (int a = 0; a < 4; a++) {
        for (int b = a; b < 4; b++) {
            cov[4 * a + b] = p[4 * a + b] - k[a][0] * p[b] - k[a][1] * p[4 + b];
            cov[4 * b + a] = cov[4 * a + b];
        }
    }
}

static inline void ground_absorb(double *state, double *cov, ground_innovation n, const double *r) {
    double regular, accident;
    ground_densities(&n, r, &regular, &accident);
    ground_absorb_as(state, cov, n, r, regular, accident);
}

#endif
