#include "overlap.h"

#include <math.h>
#include <stdint.h>

#include "dispatch.h"

void overlap_put(overlap_boxes *b, int at, double x1, double y1, double x2, double y2, double pixel) {
    b->x1[at] = x1;
    b->y1[at] = y1;
    b->x2[at] = x2;
    b->y2[at] = y2;
    b->area[at] = (x2 - x1 + pixel) * (y2 - y1 + pixel);
    b->left[at] = (float)x1;
    b->top[at] = (float)y1;
    b->right[at] = (float)x2;
    b->bottom[at] = (float)y2;
}

void overlap_close(overlap_boxes *b) {
    for (int at = b->n; at % OVERLAP_LANES; at++) {
        b->left[at] = b->top[at] = INFINITY;
        b->right[at] = b->bottom[at] = -INFINITY;
    }
}

static double least(double a, double b) { return a < b ? a : b; }
static double most(double a, double b) { return a > b ? a : b; }

static double iou(const overlap_boxes *a, int i, const overlap_boxes *b, int j, double pixel) {
    double width = least(a->x2[i], b->x2[j]) - most(a->x1[i], b->x1[j]) + pixel;
    double height = least(a->y2[i], b->y2[j]) - most(a->y1[i], b->y1[j]) + pixel;
    if (!(width > 0 && height > 0)) return 0;
    double shared = width * height;
    return shared / (a->area[i] + b->area[j] - shared);
}

/* An IoU above `share` needs that share of the row's width and height: a column must reach so far into the row's box.
 * The slack is for the pixel of PASCAL and for the rounding of both boxes to single precision. */
typedef struct {
    float right_from, left_to, bottom_from, top_to;
} reach;

static reach reach_of(const overlap_boxes *rows, int i, double share) {
    double x = share * (rows->x2[i] - rows->x1[i]), y = share * (rows->y2[i] - rows->y1[i]);
    double slack = 2 + 1e-6 * (fabs(rows->x1[i]) + fabs(rows->x2[i]) + fabs(rows->y1[i]) + fabs(rows->y2[i]));
    reach r = {(float)(rows->x1[i] + x - slack), (float)(rows->x2[i] - x + slack),
               (float)(rows->y1[i] + y - slack), (float)(rows->y2[i] - y + slack)};
    return r;
}

static int lowest_bit(uint32_t bits) {
#ifdef __GNUC__
    return __builtin_ctz(bits);
#else
    int k = 0;
    while (!(bits >> k & 1)) k++;
    return k;
#endif
}

SPOTON_DISPATCH
void overlap_find(const overlap_boxes *rows, const overlap_boxes *columns, const double *score, overlap_rule rule,
                  overlap_pairs *pairs) {
    const float *restrict left = columns->left, *restrict top = columns->top;
    const float *restrict right = columns->right, *restrict bottom = columns->bottom;
    int *restrict kept_column = pairs->column;
    double *restrict kept_cost = pairs->cost;
    int n_columns = columns->n, used = 0;
    double top_score = 1;
    for (int j = 0; score && j < n_columns; j++) top_score = most(top_score, score[j]);
    double share = (1 - rule.limit) / top_score;

    pairs->start[0] = 0;
    for (int i = 0; i < rows->n; i++) {
        reach r = reach_of(rows, i, share);
        for (int block = 0; block < n_columns; block += OVERLAP_LANES) {
            uint32_t near = 0; /* bit k: column block + k reaches into the box */
            for (int k = 0; k < OVERLAP_LANES; k++) {
                int j = block + k;
                int hit = (right[j] >= r.right_from) & (left[j] <= r.left_to) & (bottom[j] >= r.bottom_from) &
                          (top[j] <= r.top_to);
                near |= hit ? UINT32_C(1) << k : 0;
            }
            for (; near; near &= near - 1) {
                int j = block + lowest_bit(near);
                double cost = 1 - iou(rows, i, columns, j, rule.pixel);
                if (score) cost = 1 - (1 - cost) * score[j];
                if (!(cost < rule.limit)) continue;
                kept_column[used] = j;
                kept_cost[used++] = cost;
            }
        }
        pairs->start[i + 1] = used;
    }
}
