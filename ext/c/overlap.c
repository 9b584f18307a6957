#include "overlap.h"

#include <math.h>

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

/* How far apart two boxes may look in single precision and yet overlap: the pixel of PASCAL and the rounding of both. */
static float slack(double at) { return (float)(1.01 + fabs(at) * 1e-6); }

static double iou(const overlap_boxes *a, int i, const overlap_boxes *b, int j, double pixel) {
    double width = fmin(a->x2[i], b->x2[j]) - fmax(a->x1[i], b->x1[j]) + pixel;
    double height = fmin(a->y2[i], b->y2[j]) - fmax(a->y1[i], b->y1[j]) + pixel;
    if (!(width > 0 && height > 0)) return 0;
    double shared = width * height;
    return shared / (a->area[i] + b->area[j] - shared);
}

SPOTON_DISPATCH
void overlap_find(const overlap_boxes *rows, const overlap_boxes *columns, const double *score, overlap_rule rule,
                  overlap_pairs *pairs) {
    const float *restrict left = columns->left, *restrict top = columns->top;
    const float *restrict right = columns->right, *restrict bottom = columns->bottom;
    int used = 0;
    pairs->start[0] = 0;
    for (int i = 0; i < rows->n; i++) {
        float from_x = rows->left[i] - slack(rows->x1[i]), from_y = rows->top[i] - slack(rows->y1[i]);
        float to_x = rows->right[i] + slack(rows->x2[i]), to_y = rows->bottom[i] + slack(rows->y2[i]);
        for (int block = 0; block < columns->n; block += OVERLAP_LANES) {
            int near[OVERLAP_LANES], any = 0;
            for (int k = 0; k < OVERLAP_LANES; k++) {
                int j = block + k;
                near[k] = (right[j] >= from_x) & (left[j] <= to_x) & (bottom[j] >= from_y) & (top[j] <= to_y);
                any |= near[k];
            }
            if (!any) continue;
            for (int k = 0; k < OVERLAP_LANES; k++) {
                if (!near[k]) continue;
                double cost = 1 - iou(rows, i, columns, block + k, rule.pixel);
                if (score) cost = 1 - (1 - cost) * score[block + k];
                if (!(cost < rule.limit)) continue;
                pairs->column[used] = block + k;
                pairs->cost[used++] = cost;
            }
        }
        pairs->start[i + 1] = used;
    }
}
