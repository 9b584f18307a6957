/* ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022) for one
 * camera, equal to the authors' implementation in ids and boxes. */
#ifndef SPOTON_BYTETRACK_H
#define SPOTON_BYTETRACK_H

#include <stdint.h>

#include "kalman.h"
#include "lapjv.h"
#include "overlap.h"

enum { BYTETRACK_OK = 0, BYTETRACK_NO_MEMORY = -1 };

/* Neighbours in an array are worked on by different threads and must not share a cache line. */
enum { BYTETRACK_APART = 128 };

/* No picture reaches this far, px; within it nothing overflows in single precision. */
#define BYTETRACK_FARTHEST 1e9F

/* Scores are compared in single precision, as detectors give them. A pair is a match if it costs less than the limit. */
typedef struct {
    float high_score;        /* above: first association */
    float low_score;         /* above, and below high_score: second association */
    float new_score;         /* at least: an unmatched detection starts a track */
    double match_limit;      /* first association: 1 - IoU * score */
    double second_match_limit; /* second association: 1 - IoU */
    double new_match_limit;  /* tracks seen once: 1 - IoU * score */
    double duplicate_limit;  /* a tracked and a lost track nearer than this are one person: 1 - IoU */
    double pixel;            /* 1: IoU as PASCAL VOC has it, as published; 0: plain */
} bytetrack_rules;

/* One camera. Tracks live in slots 0 .. slots - 1 of the arrays; `tracked` and `lost` list slots in published order. */
typedef struct {
    int capacity, slots;
    kalman_bank bank;
    int64_t *id, *start_frame, *last_frame;
    float *score;
    uint8_t *state, *confirmed, *removed_before;
    int *tracked, *lost, *free_slots;
    int n_tracked, n_lost, n_free;
    int n_active; /* tracked and confirmed: what a caller sees */
    int64_t frame, last_id, max_lost_frames;
    uint8_t coasting; /* 1 after bytetrack_predict, 0 after bytetrack_update */
    void *block; /* the memory behind the pointers above */
    char apart[BYTETRACK_APART];
} bytetrack;

/* Scratch of one thread, grown by bytetrack_reserve and good for any camera. */
typedef struct {
    int row_capacity, column_capacity, pair_capacity;
    overlap_boxes rows, columns;
    overlap_pairs pairs;
    lapjv_scratch assignment;
    double *column_score;
    int *pool, *unconfirmed, *remaining, *column_of_row, *row_of_column, *high, *low;
    void *block, *pair_block; /* the memory behind the pointers above */
    char apart[BYTETRACK_APART];
} bytetrack_scratch;

/* A camera that has seen nothing; max_lost_frames is how long a lost track is kept. Allocates nothing. */
void bytetrack_init(bytetrack *camera, int64_t max_lost_frames);

/* Forgets every track; ids go on counting. */
void bytetrack_forget(bytetrack *camera);

/* Makes room for a frame of n detections. On BYTETRACK_NO_MEMORY camera and scratch are as good as before. */
int bytetrack_reserve(bytetrack *camera, bytetrack_scratch *scratch, int n);

/* Advances one frame on n detections, xyxy in px (n x 4, checked by bytetrack_check) with scores. Cannot fail. */
void bytetrack_update(bytetrack *camera, bytetrack_scratch *scratch, const bytetrack_rules *rules, const float *xyxy,
                      const float *score, int n);

/* Advances one frame without looking: the Kalman prediction of every confirmed track. */
void bytetrack_predict(bytetrack *camera);

/* Copies the active tracks to arrays of camera->n_active rows; state 0: seen in this frame, 1: predicted. */
void bytetrack_copy(const bytetrack *camera, int64_t *track_id, float *xyxy, float *score, uint8_t *state);

void bytetrack_free(bytetrack *camera);
void bytetrack_scratch_free(bytetrack_scratch *scratch);

/* Looks for the first bad value: returns its row, or -1 where all is well, and its column: 0..3 for a coordinate that is
 * NaN or not within BYTETRACK_FARTHEST, 4 for a score that is not finite, 5 for x2 < x1, 6 for y2 < y1. */
int64_t bytetrack_check(const float *xyxy, const float *score, int64_t rows, int *column);

#endif
