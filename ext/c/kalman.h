/* The constant-velocity Kalman filter of SORT and ByteTrack for a bank of boxes, in its exact block form.
 *
 * State (cx, cy, a, h) and its rate: centre in px, aspect = width / height, height in px. The published 8 x 8 covariance
 * is never anything but four 2 x 2 blocks (value, rate), one for each coordinate; those of cx, cy and h start equal and
 * see equal noise, so they stay equal bit for bit and one block serves the three. */
#ifndef SPOTON_KALMAN_H
#define SPOTON_KALMAN_H

enum { KALMAN_FIELDS = 19 };

/* Struct of arrays; slot i of every array is one box. The arrays belong to the caller. */
typedef struct {
    double *cx, *cy, *aspect, *height;                    /* mean */
    double *cx_rate, *cy_rate, *aspect_rate, *height_rate; /* mean, per frame */
    double *var, *cov, *rate_var;                         /* the block of cx, cy and h */
    double *aspect_var, *aspect_cov, *aspect_rate_var;    /* the block of the aspect */
    double *x1, *y1, *x2, *y2;                            /* the box of the mean, px */
    double *moves;                                        /* 1 where kalman_predict applies, else 0 */
} kalman_bank;

/* A measured box as the filter sees it. */
typedef struct {
    double cx, cy, aspect, height;
} kalman_box;

/* Points the fields into one block of KALMAN_FIELDS * capacity doubles. */
void kalman_place(kalman_bank *bank, double *block, int capacity);

/* Starts slot i at a measured box, at rest. */
void kalman_start(kalman_bank *bank, int i, kalman_box measured);

/* Moves slots 0..n-1 one frame on where `moves` is 1, and refreshes the boxes of all of them. */
void kalman_predict(kalman_bank *bank, int n);

/* Corrects slot i by a measured box and refreshes its box. */
void kalman_update(kalman_bank *bank, int i, kalman_box measured);

#endif
