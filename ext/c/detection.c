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

/* Appends a box given by its centre; 0 where it is not finite. */
static int append_centred(spoton_candidates *out, int at, float cx, float cy, float w, float h, float score) {
    if (!isfinite(score + cx + cy + w + h)) return 0;
    float *box = out->xyxy + 4 * (size_t)at;
    box[0] = cx - 0.5f * w;
    box[1] = cy - 0.5f * h;
    box[2] = cx + 0.5f * w;
    box[3] = cy + 0.5f * h;
    out->score[at] = score;
    return 1;
}

int spoton_decode_yolov8(const float *raw, int rows, int anchors, int person, float min_score, spoton_candidates *out,
                         int *bad) {
    if (anchors < 1 || person < 0 || 4 + person >= rows || out->capacity < anchors) return -1;
    const float *scores = raw + (size_t)(4 + person) * (size_t)anchors;
    const float *cx = raw, *cy = cx + anchors, *w = cy + anchors, *h = w + anchors;
    int kept = 0;
    *bad = 0;
    for (int i = 0; i < anchors; i++) {
        if (scores[i] < min_score) continue;
        if (append_centred(out, kept, cx[i], cy[i], w[i], h[i], scores[i])) kept++;
        else ++*bad;
    }
    return kept;
}

int spoton_decode_detr(const float *boxes, int box_stride, const float *scores, int score_stride, int queries,
                       int classes, int logits, int width, int height, int person, float min_score,
                       spoton_candidates *out, int *bad) {
    if (queries < 1 || person < 0 || person >= classes || out->capacity < queries) return -1;
    const float x = (float)width, y = (float)height;
    int kept = 0;
    *bad = 0;
    for (int i = 0; i < queries; i++) {
        const float given = scores[(size_t)i * (size_t)score_stride + (size_t)person];
        const float score = logits ? 1.0f / (1.0f + expf(-given)) : given;
        if (score < min_score) continue;
        const float *box = boxes + (size_t)i * (size_t)box_stride;
        if (append_centred(out, kept, box[0] * x, box[1] * y, box[2] * x, box[3] * y, score)) kept++;
        else ++*bad;
    }
    return kept;
}

int spoton_take_class(const float *boxes, int box_stride, const float *scores, int score_stride, const float *classes,
                      int class_stride, int count, int person, float min_score, spoton_candidates *out, int *bad) {
    if (count < 0 || out->capacity < count) return -1;
    int kept = 0;
    *bad = 0;
    for (int i = 0; i < count; i++) {
        const float score = scores[(size_t)i * (size_t)score_stride];
        if (score < min_score || classes[(size_t)i * (size_t)class_stride] != (float)person) continue;
        const float *box = boxes + (size_t)i * (size_t)box_stride;
        if (!isfinite(score + box[0] + box[1] + box[2] + box[3])) {
            ++*bad;
            continue;
        }
        for (int side = 0; side < 4; side++) out->xyxy[4 * kept + side] = box[side];
        out->score[kept++] = score;
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

void spoton_rank(const spoton_candidates *candidates, int count) {
    for (int i = 0; i < count; i++) candidates->order[i] = i;
    sort_by_score(candidates->score, candidates->order, count);
}

int spoton_nms(const spoton_candidates *candidates, int count, float max_iou) {
    int32_t *order = candidates->order;
    spoton_rank(candidates, count);
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
