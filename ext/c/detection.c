#include "detection.h"

#include <math.h>
#include <stdlib.h>

int spoton_decode_yolox(const float *raw, int anchors, int columns, int width, int height, int person, float min_score,
                        spoton_candidates *out, int *bad) {
    static const int strides[3] = {8, 16, 32};
    int cells = 0, kept = 0;
    for (int level = 0; level < 3; level++) cells += (width / strides[level]) * (height / strides[level]);
    if (cells != anchors || person < 0 || 5 + person >= columns || out->capacity < anchors) return -1;
    *bad = 0;
    const float *row = raw;
    for (int level = 0; level < 3; level++) {
        const int stride = strides[level];
        for (int y = 0; y < height / stride; y++) {
            for (int x = 0; x < width / stride; x++, row += columns) {
                const float score = row[4] * row[5 + person];
                if (score < min_score) continue; /* most rows end here; one that is not a number goes on */
                const float cx = (row[0] + (float)x) * (float)stride, cy = (row[1] + (float)y) * (float)stride;
                const float half_w = 0.5f * expf(row[2]) * (float)stride, half_h = 0.5f * expf(row[3]) * (float)stride;
                if (!isfinite(score + cx + cy + half_w + half_h)) {
                    ++*bad;
                    continue;
                }
                float *box = out->xyxy + 4 * kept;
                box[0] = cx - half_w;
                box[1] = cy - half_h;
                box[2] = cx + half_w;
                box[3] = cy + half_h;
                out->score[kept++] = score;
            }
        }
    }
    return kept;
}

/* Shell sort by falling score, equal scores by rising row: total order, so the result does not depend on the method. */
static void sort_by_score(const float *score, int32_t *order, int count) {
    for (int gap = count / 2; gap > 0; gap = gap == 2 ? 1 : (int)(gap / 2.2)) {
        for (int i = gap; i < count; i++) {
            const int32_t row = order[i];
            int j = i;
            for (; j >= gap; j -= gap) {
                const int32_t other = order[j - gap];
                if (score[other] > score[row] || (score[other] == score[row] && other < row)) break;
                order[j] = other;
            }
            order[j] = row;
        }
    }
}

static float intersection_over_union(const float *a, const float *b) {
    const float w = fminf(a[2], b[2]) - fmaxf(a[0], b[0]), h = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    if (!(w > 0 && h > 0)) return 0;
    const float common = w * h;
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common);
}

int spoton_nms(const spoton_candidates *candidates, int count, float max_iou) {
    int32_t *order = candidates->order;
    for (int i = 0; i < count; i++) order[i] = i;
    sort_by_score(candidates->score, order, count);
    int kept = 0;
    for (int i = 0; i < count; i++) {
        const float *box = candidates->xyxy + 4 * order[i];
        int free_of_others = 1;
        for (int k = 0; k < kept && free_of_others; k++)
            free_of_others = intersection_over_union(candidates->xyxy + 4 * order[k], box) <= max_iou;
        if (free_of_others) order[kept++] = order[i];
    }
    return kept;
}
