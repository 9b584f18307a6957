/* From a detector's raw output to boxes: decoding of grid heads and non-maximum suppression. */
#ifndef SPOTON_DETECTION_H
#define SPOTON_DETECTION_H

#include <stdint.h>

/* Candidates, struct of arrays, each with room for `capacity` rows; owned by the caller. */
typedef struct {
    float *xyxy;  /* capacity x 4 */
    float *score; /* capacity */
    int32_t *order;
    int capacity;
} spoton_candidates;

/* Every decoder below takes one image's output, keeps the rows whose score for `person` is at least `min_score` and
 * writes boxes in network pixels, in the order of the rows. It returns the number of candidates, or -1 where the output
 * does not have the shape that is asked for or `out` is too small; rows that are not finite are dropped and counted in
 * `*bad`. */

/* A YOLOX head (Ge et al. 2021): `anchors` rows of `columns` floats, [x, y, w, h, objectness, classes...], for grids of
 * strides 8, 16, 32 over `width` x `height` network pixels. The score is objectness * probability. */
int spoton_decode_yolox(const float *raw, int anchors, int columns, int width, int height, int person, float min_score,
                        spoton_candidates *out, int *bad);

/* A head as YOLOv8 and YOLO11 are exported: `rows` = 4 + classes rows [cx, cy, w, h, probabilities...] in network
 * pixels, each of `anchors` floats. */
int spoton_decode_yolov8(const float *raw, int rows, int anchors, int person, float min_score, spoton_candidates *out,
                         int *bad);

/* The queries of RT-DETR and D-FINE (Zhao et al. 2024): boxes [cx, cy, w, h] as shares of the input, `box_stride` floats
 * apart; scores of `classes` classes, `score_stride` apart; logits where `logits` is not 0. No suppression is due. */
int spoton_decode_detr(const float *boxes, int box_stride, const float *scores, int score_stride, int queries,
                       int classes, int logits, int width, int height, int person, float min_score,
                       spoton_candidates *out, int *bad);

/* What a graph that ends in suppression gives: boxes [x1, y1, x2, y2], scores and class numbers, each so many floats
 * apart; the first `count` rows are meant. */
int spoton_take_class(const float *boxes, int box_stride, const float *scores, int score_stride, const float *classes,
                      int class_stride, int count, int person, float min_score, spoton_candidates *out, int *bad);

/* The candidates' rows by falling score, equal scores in the order of their rows, into `order`. */
void spoton_rank(const spoton_candidates *candidates, int count);

/* Greedy non-maximum suppression: the best-scored box stays and drops all whose IoU with it exceeds `max_iou`; equal
 * scores in the order of their rows. Writes the rows that stay to `order`, best first, and returns how many. */
int spoton_nms(const spoton_candidates *candidates, int count, float max_iou);

#endif
