#include "kalman.h"

#include <stddef.h>

#include "dispatch.h"

/* Standard deviations of the noise: those of lengths are these fractions of the height, those of the aspect fixed. */
static const double POSITION = 1.0 / 20.0, VELOCITY = 1.0 / 160.0;
static const double ASPECT = 1e-2, ASPECT_RATE = 1e-5, ASPECT_MEASURED = 1e-1;

void kalman_place(kalman_bank *bank, double *block, int capacity) {
    double **field[KALMAN_FIELDS] = {
        &bank->cx,         &bank->cy,         &bank->aspect,          &bank->height, &bank->cx_rate,
        &bank->cy_rate,    &bank->aspect_rate, &bank->height_rate,    &bank->var,    &bank->cov,
        &bank->rate_var,   &bank->aspect_var, &bank->aspect_cov,      &bank->aspect_rate_var,
        &bank->x1,         &bank->y1,         &bank->x2,              &bank->y2,     &bank->moves,
    };
    for (int k = 0; k < KALMAN_FIELDS; k++) *field[k] = block + (size_t)k * (size_t)capacity;
}

static void refresh_box(kalman_bank *bank, int i) {
    double width = bank->aspect[i] * bank->height[i];
    bank->x1[i] = bank->cx[i] - width / 2;
    bank->y1[i] = bank->cy[i] - bank->height[i] / 2;
    bank->x2[i] = width + bank->x1[i];
    bank->y2[i] = bank->height[i] + bank->y1[i];
}

void kalman_start(kalman_bank *bank, int i, kalman_box measured) {
    double position = 2 * POSITION * measured.height, velocity = 10 * VELOCITY * measured.height;
    bank->cx[i] = measured.cx;
    bank->cy[i] = measured.cy;
    bank->aspect[i] = measured.aspect;
    bank->height[i] = measured.height;
    bank->cx_rate[i] = bank->cy_rate[i] = bank->aspect_rate[i] = bank->height_rate[i] = 0;
    bank->var[i] = position * position;
    bank->rate_var[i] = velocity * velocity;
    bank->aspect_var[i] = ASPECT * ASPECT;
    bank->aspect_rate_var[i] = ASPECT_RATE * ASPECT_RATE;
    bank->cov[i] = bank->aspect_cov[i] = 0;
    refresh_box(bank, i);
}

/* mean = F mean, P = F P F' + Q, block by block: [p c; c v] becomes [(p + c) + (c + v), c + v; c + v, v] + Q. */
SPOTON_DISPATCH
void kalman_predict(kalman_bank *bank, int n) {
    double *restrict cx = bank->cx, *restrict cy = bank->cy, *restrict a = bank->aspect, *restrict h = bank->height;
    double *restrict p = bank->var, *restrict c = bank->cov, *restrict v = bank->rate_var;
    double *restrict ap = bank->aspect_var, *restrict ac = bank->aspect_cov, *restrict av = bank->aspect_rate_var;
    double *restrict x1 = bank->x1, *restrict y1 = bank->y1, *restrict x2 = bank->x2, *restrict y2 = bank->y2;
    const double *restrict cx_rate = bank->cx_rate, *restrict cy_rate = bank->cy_rate;
    const double *restrict a_rate = bank->aspect_rate, *restrict h_rate = bank->height_rate;
    const double *restrict moves = bank->moves;

    for (int i = 0; i < n; i++) {
        int move = moves[i] > 0;
        double position = POSITION * h[i], velocity = VELOCITY * h[i];
        double new_p = ((p[i] + c[i]) + (c[i] + v[i])) + position * position;
        double new_ap = ((ap[i] + ac[i]) + (ac[i] + av[i])) + ASPECT * ASPECT;
        p[i] = move ? new_p : p[i];
        c[i] = move ? c[i] + v[i] : c[i];
        v[i] = move ? v[i] + velocity * velocity : v[i];
        ap[i] = move ? new_ap : ap[i];
        ac[i] = move ? ac[i] + av[i] : ac[i];
        av[i] = move ? av[i] + ASPECT_RATE * ASPECT_RATE : av[i];
        cx[i] = move ? cx[i] + cx_rate[i] : cx[i];
        cy[i] = move ? cy[i] + cy_rate[i] : cy[i];
        a[i] = move ? a[i] + a_rate[i] : a[i];
        h[i] = move ? h[i] + h_rate[i] : h[i];
    }
    for (int i = 0; i < n; i++) {
        double width = a[i] * h[i];
        x1[i] = cx[i] - width / 2;
        y1[i] = cy[i] - h[i] / 2;
        x2[i] = width + x1[i];
        y2[i] = h[i] + y1[i];
    }
}

/* K = P H' / (H P H' + R); mean += K (z - H mean); P -= K S K'. */
void kalman_update(kalman_bank *bank, int i, kalman_box measured) {
    double p = bank->var[i], c = bank->cov[i], noise = POSITION * bank->height[i];
    double s = p + noise * noise, gain = p / s, rate_gain = c / s;
    double d_cx = measured.cx - bank->cx[i], d_cy = measured.cy - bank->cy[i], d_h = measured.height - bank->height[i];
    bank->cx[i] += d_cx * gain;
    bank->cy[i] += d_cy * gain;
    bank->height[i] += d_h * gain;
    bank->cx_rate[i] += d_cx * rate_gain;
    bank->cy_rate[i] += d_cy * rate_gain;
    bank->height_rate[i] += d_h * rate_gain;
    bank->var[i] = p - gain * s * gain;
    bank->cov[i] = c - gain * s * rate_gain;
    bank->rate_var[i] -= rate_gain * s * rate_gain;

    p = bank->aspect_var[i];
    c = bank->aspect_cov[i];
    s = p + ASPECT_MEASURED * ASPECT_MEASURED;
    gain = p / s;
    rate_gain = c / s;
    double d_a = measured.aspect - bank->aspect[i];
    bank->aspect[i] += d_a * gain;
    bank->aspect_rate[i] += d_a * rate_gain;
    bank->aspect_var[i] = p - gain * s * gain;
    bank->aspect_cov[i] = c - gain * s * rate_gain;
    bank->aspect_rate_var[i] -= rate_gain * s * rate_gain;
    refresh_box(bank, i);
}
