#include <stdlib.h>
#include <string.h>

#include "bytetrack.h"

enum { ALIGNMENT = 64 };

/* The next piece of a block; with no block it only counts, which is how a block's size is found. */
static void *take(char *block, size_t *offset, size_t bytes) {
    size_t at = *offset;
    *offset = (at + bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return block ? block + at : NULL;
}

static void *allocate(size_t bytes) { return aligned_alloc(ALIGNMENT, bytes); }

static size_t place_camera(bytetrack *t, char *block, int capacity) {
    size_t n = (size_t)capacity, offset = 0;
    double *bank = take(block, &offset, KALMAN_FIELDS * n * sizeof(double));
    if (bank) kalman_place(&t->bank, bank, capacity);
    t->id = take(block, &offset, n * sizeof *t->id);
    t->start_frame = take(block, &offset, n * sizeof *t->start_frame);
    t->last_frame = take(block, &offset, n * sizeof *t->last_frame);
    t->score = take(block, &offset, n * sizeof *t->score);
    t->tracked = take(block, &offset, n * sizeof *t->tracked);
    t->lost = take(block, &offset, n * sizeof *t->lost);
    t->free_slots = take(block, &offset, n * sizeof *t->free_slots);
    t->state = take(block, &offset, n * sizeof *t->state);
    t->confirmed = take(block, &offset, n * sizeof *t->confirmed);
    t->removed_before = take(block, &offset, n * sizeof *t->removed_before);
    t->block = block;
    t->capacity = capacity;
    return offset;
}

#define COPY(field, count) memcpy(to->field, from->field, (size_t)(count) * sizeof *to->field)

static void copy_tracks(bytetrack *to, const bytetrack *from) {
    for (int k = 0; k < KALMAN_FIELDS; k++) {
        memcpy(to->bank.cx + (size_t)k * (size_t)to->capacity, from->bank.cx + (size_t)k * (size_t)from->capacity,
               (size_t)from->slots * sizeof(double));
    }
    COPY(id, from->slots);
    COPY(start_frame, from->slots);
    COPY(last_frame, from->slots);
    COPY(score, from->slots);
    COPY(state, from->slots);
    COPY(confirmed, from->slots);
    COPY(removed_before, from->slots);
    COPY(tracked, from->n_tracked);
    COPY(lost, from->n_lost);
    COPY(free_slots, from->n_free);
}

static int grow_camera(bytetrack *t, int needed) {
    if (needed <= t->capacity) return BYTETRACK_OK;
    bytetrack grown = *t;
    int capacity = needed > 2 * t->capacity ? needed : 2 * t->capacity;
    char *block = allocate(place_camera(&grown, NULL, capacity));
    if (!block) return BYTETRACK_NO_MEMORY;
    place_camera(&grown, block, capacity);
    if (t->block) copy_tracks(&grown, t);
    free(t->block);
    *t = grown;
    return BYTETRACK_OK;
}

static void place_boxes(overlap_boxes *b, char *block, size_t *offset, size_t n) {
    size_t lanes = (n + OVERLAP_LANES - 1) / OVERLAP_LANES * OVERLAP_LANES;
    b->x1 = take(block, offset, n * sizeof *b->x1);
    b->y1 = take(block, offset, n * sizeof *b->y1);
    b->x2 = take(block, offset, n * sizeof *b->x2);
    b->y2 = take(block, offset, n * sizeof *b->y2);
    b->area = take(block, offset, n * sizeof *b->area);
    b->left = take(block, offset, lanes * sizeof *b->left);
    b->top = take(block, offset, lanes * sizeof *b->top);
    b->right = take(block, offset, lanes * sizeof *b->right);
    b->bottom = take(block, offset, lanes * sizeof *b->bottom);
}

static size_t place_scratch(bytetrack_scratch *s, char *block, int row_capacity, int column_capacity) {
    size_t rows = (size_t)row_capacity, columns = (size_t)column_capacity, offset = 0;
    place_boxes(&s->rows, block, &offset, rows);
    place_boxes(&s->columns, block, &offset, columns);
    s->column_score = take(block, &offset, columns * sizeof *s->column_score);
    s->assignment.dual = take(block, &offset, columns * sizeof *s->assignment.dual);
    s->assignment.distance = take(block, &offset, columns * sizeof *s->assignment.distance);
    s->assignment.via_edge = take(block, &offset, columns * sizeof *s->assignment.via_edge);
    s->assignment.via_row = take(block, &offset, columns * sizeof *s->assignment.via_row);
    s->assignment.mark = take(block, &offset, columns * sizeof *s->assignment.mark);
    s->assignment.touched = take(block, &offset, columns * sizeof *s->assignment.touched);
    s->assignment.row_edge = take(block, &offset, rows * sizeof *s->assignment.row_edge);
    s->pairs.start = take(block, &offset, (rows + 1) * sizeof *s->pairs.start);
    s->column_of_row = take(block, &offset, rows * sizeof *s->column_of_row);
    s->row_of_column = take(block, &offset, columns * sizeof *s->row_of_column);
    s->pool = take(block, &offset, rows * sizeof *s->pool);
    s->unconfirmed = take(block, &offset, rows * sizeof *s->unconfirmed);
    s->remaining = take(block, &offset, rows * sizeof *s->remaining);
    s->high = take(block, &offset, columns * sizeof *s->high);
    s->low = take(block, &offset, columns * sizeof *s->low);
    s->block = block;
    s->row_capacity = row_capacity;
    s->column_capacity = column_capacity;
    return offset;
}

static int grow_scratch(bytetrack_scratch *s, int rows, int columns) {
    if (rows <= s->row_capacity && columns <= s->column_capacity) return BYTETRACK_OK;
    bytetrack_scratch grown = *s;
    rows = rows > 2 * s->row_capacity ? rows : 2 * s->row_capacity;
    columns = columns > 2 * s->column_capacity ? columns : 2 * s->column_capacity;
    char *block = allocate(place_scratch(&grown, NULL, rows, columns));
    if (!block) return BYTETRACK_NO_MEMORY;
    place_scratch(&grown, block, rows, columns);
    free(s->block);
    *s = grown;
    return BYTETRACK_OK;
}

/* Room for every pair, so that finding pairs cannot fail; pages that no pair reaches are never touched. */
static int grow_pairs(bytetrack_scratch *s, int64_t needed) {
    if (needed <= s->pair_capacity) return BYTETRACK_OK;
    if (needed > INT32_MAX / 2) return BYTETRACK_NO_MEMORY;
    int capacity = (int)needed + (int)needed / 2;
    size_t offset = 0;
    size_t cost_bytes = (size_t)capacity * sizeof(double), column_bytes = (size_t)capacity * sizeof(int);
    take(NULL, &offset, cost_bytes);
    take(NULL, &offset, column_bytes);
    char *block = allocate(offset);
    if (!block) return BYTETRACK_NO_MEMORY;
    offset = 0;
    s->pairs.cost = take(block, &offset, cost_bytes);
    s->pairs.column = take(block, &offset, column_bytes);
    free(s->pair_block);
    s->pair_block = block;
    s->pair_capacity = capacity;
    return BYTETRACK_OK;
}

int bytetrack_reserve(bytetrack *t, bytetrack_scratch *s, int n) {
    int live = t->n_tracked + t->n_lost;
    /* The widest problems: all tracks by the detections, and the lost by the tracked, new ones included. */
    if (n > INT32_MAX / 4 - live || grow_camera(t, live + n)) return BYTETRACK_NO_MEMORY;
    if (grow_scratch(s, live + 1, live + n + 1)) return BYTETRACK_NO_MEMORY;
    return grow_pairs(s, (int64_t)live * (live + n) + 1);
}

void bytetrack_init(bytetrack *t, int64_t max_lost_frames) {
    memset(t, 0, sizeof *t);
    t->max_lost_frames = max_lost_frames;
}

void bytetrack_forget(bytetrack *t) {
    t->n_tracked = t->n_lost = t->n_free = t->n_active = t->slots = 0;
    t->frame = 0;
    t->coasting = 0;
}

void bytetrack_free(bytetrack *t) {
    free(t->block);
    bytetrack_init(t, t->max_lost_frames);
}

void bytetrack_scratch_free(bytetrack_scratch *s) {
    free(s->block);
    free(s->pair_block);
    memset(s, 0, sizeof *s);
}
