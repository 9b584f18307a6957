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

/* Decodes one image of a YOLOX head (Ge et al. 2021): `anchors` rows of `columns` floats, [x, y, w, h, objectness,
 * classes...], for grids of strides 8, 16, 32 over `width` x `height` network pixels. Keeps the rows whose objectness *
 * probability of `person` is at least `min_score`; boxes are in network pixels.
 * Returns the number of candidates, or -1 where the grids do not have `anchors` cells or capacity is too small. Values
 * that are not finite are dropped and counted in `*bad`. */
int spoton_decode_yolox(const float *raw, int anchors, int columns, int width, int height, int person, float min_score,
                        spoton_candidates *out, int *bad);

/* Greedy non-maximum suppression: the best-scored box stays and drops all whose IoU with it exceeds `max_iou`; equal
 * scores in the order of their rows. Writes the rows that stay to `order`, best first, and returns how many. */
int spoton_nms(const spoton_candidates *candidates, int count, float max_iou);

#endif
