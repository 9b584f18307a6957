/* Which boxes overlap enough to be worth matching, and what matching them costs. */
#ifndef SPOTON_OVERLAP_H
#define SPOTON_OVERLAP_H

enum { OVERLAP_LANES = 32 };

/* Boxes in px, struct of arrays, owned by the caller. `left` .. `bottom` are the same boxes in single precision, for a
 * quick look; they need room for a multiple of OVERLAP_LANES. */
typedef struct {
    int n;
    double *x1, *y1, *x2, *y2, *area;
    float *left, *top, *right, *bottom;
} overlap_boxes;

typedef struct {
    double pixel; /* 1: a box from x1 to x2 is x2 - x1 + 1 wide, as PASCAL VOC has it; 0: x2 - x1 */
    double limit; /* keep pairs that cost less; at most 1, so that boxes apart are never a pair */
} overlap_rule;

/* Pairs in compressed rows: start has rows + 1 elements, column and cost room for rows * columns. */
typedef struct {
    int *start, *column;
    double *cost;
} overlap_pairs;

/* Puts a box at position `at`. */
void overlap_put(overlap_boxes *boxes, int at, double x1, double y1, double x2, double y2, double pixel);

/* Call once after the last overlap_put: fills the last lanes with boxes that overlap nothing. */
void overlap_close(overlap_boxes *boxes);

/* Writes the pairs with cost < limit, where cost = 1 - IoU or, where `score` is given, 1 - IoU * score[column]. */
void overlap_find(const overlap_boxes *rows, const overlap_boxes *columns, const double *score, overlap_rule rule,
                  overlap_pairs *pairs);

#endif
