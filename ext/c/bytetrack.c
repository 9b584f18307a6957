#include "bytetrack.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

enum { TRACKED = 0, LOST = 1, REMOVED = 2 };

/* Published arithmetic: a detection is x1, y1, w, h, where w and h are differences in single precision. */
static kalman_box measured(const float *xyxy) {
    double width = (double)(xyxy[2] - xyxy[0]), height = (double)(xyxy[3] - xyxy[1]);
    kalman_box box = {(double)xyxy[0] + width / 2, (double)xyxy[1] + height / 2, width / height, height};
    return box;
}

/* A box without height has no aspect and is nobody. */
static void split_by_score(const float *xyxy, const float *score, int n, const bytetrack_rules *rules, int *high,
                           int *n_high, int *low, int *n_low) {
    *n_high = *n_low = 0;
    for (int i = 0; i < n; i++) {
        if (!(xyxy[4 * i + 3] > xyxy[4 * i + 1])) continue;
        if (score[i] > rules->high_score) high[(*n_high)++] = i;
        else if (score[i] > rules->low_score && score[i] < rules->high_score) low[(*n_low)++] = i;
    }
}

static void put_tracks(overlap_boxes *boxes, const kalman_bank *bank, const int *slots, int n, double pixel) {
    for (int i = 0; i < n; i++) {
        int k = slots[i];
        overlap_put(boxes, i, bank->x1[k], bank->y1[k], bank->x2[k], bank->y2[k], pixel);
    }
    boxes->n = n;
    overlap_close(boxes);
}

static void put_detections(overlap_boxes *boxes, const float *xyxy, const int *which, int n, double pixel) {
    for (int i = 0; i < n; i++) {
        const float *box = xyxy + 4 * which[i];
        double x1 = (double)box[0], y1 = (double)box[1];
        double width = (double)(box[2] - box[0]), height = (double)(box[3] - box[1]);
        overlap_put(boxes, i, x1, y1, width + x1, height + y1, pixel);
    }
    boxes->n = n;
    overlap_close(boxes);
}

/* Matches tracks to detections; `score`, where given, is fused into the cost. Leaves the answer in the scratch. */
static void associate(bytetrack_scratch *s, const kalman_bank *bank, const int *tracks, int n_tracks, const float *xyxy,
                      const float *score, const int *detections, int n_detections, double pixel, double limit) {
    overlap_rule rule = {pixel, limit};
    if (!n_tracks || !n_detections) {
        for (int i = 0; i < n_tracks; i++) s->column_of_row[i] = -1;
        for (int j = 0; j < n_detections; j++) s->row_of_column[j] = -1;
        return;
    }
    put_tracks(&s->rows, bank, tracks, n_tracks, pixel);
    put_detections(&s->columns, xyxy, detections, n_detections, pixel);
    if (score) {
        for (int j = 0; j < n_detections; j++) s->column_score[j] = (double)score[detections[j]];
    }
    overlap_find(&s->rows, &s->columns, score ? s->column_score : NULL, rule, &s->pairs);
    lapjv_problem problem = {n_tracks, n_detections, s->pairs.start, s->pairs.column, s->pairs.cost, limit};
    lapjv_solve(&problem, &s->assignment, s->column_of_row, s->row_of_column);
}

static void correct(bytetrack *t, int k, const float *xyxy, float score) {
    kalman_update(&t->bank, k, measured(xyxy));
    t->state[k] = TRACKED;
    t->confirmed[k] = 1;
    t->bank.moves[k] = 1;
    t->last_frame[k] = t->frame;
    t->score[k] = score;
}

/* A new track is confirmed by its second frame, except on the camera's first frame. */
static void start(bytetrack *t, const float *xyxy, float score, int confirmed) {
    int k = t->n_free ? t->free_slots[--t->n_free] : t->slots++;
    kalman_start(&t->bank, k, measured(xyxy));
    t->id[k] = ++t->last_id;
    t->state[k] = TRACKED;
    t->confirmed[k] = (uint8_t)confirmed;
    t->bank.moves[k] = confirmed;
    t->removed_before[k] = 0;
    t->start_frame[k] = t->last_frame[k] = t->frame;
    t->score[k] = score;
    t->tracked[t->n_tracked++] = k;
}

static void drop(bytetrack *t, int k) { t->free_slots[t->n_free++] = k; }

/* Keeps the detections that no track took, in order. */
static int keep_unmatched(int *detections, int n, const int *row_of_column) {
    int kept = 0;
    for (int j = 0; j < n; j++) {
        if (row_of_column[j] < 0) detections[kept++] = detections[j];
    }
    return kept;
}

/* Ages the lost. As published, a track that is removed in this frame still counts as lost until the next one, where it
 * may even be found again; but once removed, it is not kept when it is lost a second time. */
static void renew_lost(bytetrack *t, const int *newly_lost, int n_newly_lost) {
    int kept = 0;
    for (int i = 0; i < t->n_lost; i++) {
        int k = t->lost[i];
        if (t->state[k] == TRACKED) {
            t->tracked[t->n_tracked++] = k;
            continue;
        }
        int leaves = t->removed_before[k];
        if (t->frame - t->last_frame[k] > t->max_lost_frames) {
            t->state[k] = REMOVED;
            t->removed_before[k] = 1;
        }
        if (leaves) drop(t, k);
        else t->lost[kept++] = k;
    }
    for (int i = 0; i < n_newly_lost; i++) {
        int k = newly_lost[i];
        if (t->removed_before[k]) drop(t, k);
        else t->lost[kept++] = k;
    }
    t->n_lost = kept;
}

/* Of a tracked and a lost track in one place, the one that was followed for longer stays. */
static void drop_duplicates(bytetrack *t, bytetrack_scratch *s, const bytetrack_rules *rules) {
    if (!t->n_lost || !t->n_tracked) return;
    overlap_rule rule = {rules->pixel, rules->duplicate_limit};
    int *drop_lost = s->column_of_row, *drop_tracked = s->row_of_column;
    put_tracks(&s->rows, &t->bank, t->lost, t->n_lost, rules->pixel);
    put_tracks(&s->columns, &t->bank, t->tracked, t->n_tracked, rules->pixel);
    overlap_find(&s->rows, &s->columns, NULL, rule, &s->pairs);
    if (!s->pairs.start[t->n_lost]) return;

    for (int i = 0; i < t->n_lost; i++) drop_lost[i] = 0;
    for (int j = 0; j < t->n_tracked; j++) drop_tracked[j] = 0;
    for (int i = 0; i < t->n_lost; i++) {
        int lost = t->lost[i];
        int64_t lost_for = t->last_frame[lost] - t->start_frame[lost];
        for (int e = s->pairs.start[i]; e < s->pairs.start[i + 1]; e++) {
            int j = s->pairs.column[e], tracked = t->tracked[j];
            if (t->last_frame[tracked] - t->start_frame[tracked] > lost_for) drop_lost[i] = 1;
            else drop_tracked[j] = 1;
        }
    }
    int kept = 0;
    for (int i = 0; i < t->n_lost; i++) {
        if (drop_lost[i]) drop(t, t->lost[i]);
        else t->lost[kept++] = t->lost[i];
    }
    t->n_lost = kept;
    kept = 0;
    for (int j = 0; j < t->n_tracked; j++) {
        if (drop_tracked[j]) drop(t, t->tracked[j]);
        else t->tracked[kept++] = t->tracked[j];
    }
    t->n_tracked = kept;
}

static void count_active(bytetrack *t) {
    t->n_active = 0;
    for (int i = 0; i < t->n_tracked; i++) t->n_active += t->confirmed[t->tracked[i]];
}

static void predict(bytetrack *t) {
    for (int i = 0; i < t->n_lost; i++) t->bank.height_rate[t->lost[i]] = 0;
    kalman_predict(&t->bank, t->slots);
}

void bytetrack_update(bytetrack *t, bytetrack_scratch *s, const bytetrack_rules *rules, const float *xyxy,
                      const float *score, int n) {
    int n_high, n_low, n_pool = 0, n_unconfirmed = 0, n_remaining = 0, n_lost = 0;
    double pixel = rules->pixel;
    t->frame++;
    t->coasting = 0;
    split_by_score(xyxy, score, n, rules, s->high, &n_high, s->low, &n_low);
    for (int i = 0; i < t->n_tracked; i++) {
        int k = t->tracked[i];
        if (t->confirmed[k]) s->pool[n_pool++] = k;
        else s->unconfirmed[n_unconfirmed++] = k;
    }
    for (int i = 0; i < t->n_lost; i++) s->pool[n_pool++] = t->lost[i];
    predict(t);

    /* First association: tracked and lost tracks with detections of high score. */
    associate(s, &t->bank, s->pool, n_pool, xyxy, score, s->high, n_high, pixel, rules->match_limit);
    for (int i = 0; i < n_pool; i++) {
        int k = s->pool[i], j = s->column_of_row[i];
        if (j >= 0) correct(t, k, xyxy + 4 * s->high[j], score[s->high[j]]);
        else if (t->state[k] == TRACKED) s->remaining[n_remaining++] = k;
    }
    n_high = keep_unmatched(s->high, n_high, s->row_of_column);

    /* Second association: tracks that are still unmatched with detections of low score. */
    associate(s, &t->bank, s->remaining, n_remaining, xyxy, NULL, s->low, n_low, pixel, rules->second_match_limit);
    for (int i = 0; i < n_remaining; i++) {
        int k = s->remaining[i], j = s->column_of_row[i];
        if (j >= 0) {
            correct(t, k, xyxy + 4 * s->low[j], score[s->low[j]]);
        } else {
            t->state[k] = LOST;
            s->remaining[n_lost++] = k;
        }
    }

    /* Tracks seen once, with what is left of high score: confirmed now or dropped. */
    associate(s, &t->bank, s->unconfirmed, n_unconfirmed, xyxy, score, s->high, n_high, pixel, rules->new_match_limit);
    for (int i = 0; i < n_unconfirmed; i++) {
        int k = s->unconfirmed[i], j = s->column_of_row[i];
        if (j >= 0) {
            correct(t, k, xyxy + 4 * s->high[j], score[s->high[j]]);
        } else {
            t->state[k] = REMOVED;
            drop(t, k);
        }
    }
    n_high = keep_unmatched(s->high, n_high, s->row_of_column);

    int kept = 0;
    for (int i = 0; i < t->n_tracked; i++) {
        if (t->state[t->tracked[i]] == TRACKED) t->tracked[kept++] = t->tracked[i];
    }
    t->n_tracked = kept;
    for (int j = 0; j < n_high; j++) {
        if (score[s->high[j]] < rules->new_score) continue;
        start(t, xyxy + 4 * s->high[j], score[s->high[j]], t->frame == 1);
    }
    renew_lost(t, s->remaining, n_lost);
    drop_duplicates(t, s, rules);
    count_active(t);
}

void bytetrack_predict(bytetrack *t) {
    if (t->frame == 0) return; /* nothing seen yet: the first frame is the first that is looked at */
    t->frame++;
    t->coasting = 1;
    predict(t);
}

void bytetrack_copy(const bytetrack *t, int64_t *track_id, float *xyxy, float *score, uint8_t *state) {
    int n = 0;
    for (int i = 0; i < t->n_tracked; i++) {
        int k = t->tracked[i];
        if (!t->confirmed[k]) continue;
        track_id[n] = t->id[k];
        score[n] = t->score[k];
        state[n] = t->coasting;
        xyxy[4 * n] = (float)t->bank.x1[k];
        xyxy[4 * n + 1] = (float)t->bank.y1[k];
        xyxy[4 * n + 2] = (float)t->bank.x2[k];
        xyxy[4 * n + 3] = (float)t->bank.y2[k];
        n++;
    }
}

static int64_t first_bad(const float *xyxy, const float *score, int64_t rows, int *column) {
    for (int64_t i = 0; i < rows; i++) {
        const float *box = xyxy + 4 * i;
        for (int k = 0; k < 4; k++) {
            *column = k;
            if (!(fabsf(box[k]) <= BYTETRACK_FARTHEST)) return i;
        }
        *column = 4;
        if (!isfinite(score[i])) return i;
        *column = 5;
        if (box[2] < box[0]) return i;
        *column = 6;
        if (box[3] < box[1]) return i;
    }
    return -1;
}

/* Nothing is bad in nearly every frame, and a loop that does not stop to say what is a quarter of the other. */
int64_t bytetrack_check(const float *xyxy, const float *score, int64_t rows, int *column) {
    int bad = 0;
    for (int64_t i = 0; i < 4 * rows; i++) bad |= !(fabsf(xyxy[i]) <= BYTETRACK_FARTHEST);
    for (int64_t i = 0; i < rows; i++) bad |= !(fabsf(score[i]) <= FLT_MAX);
    for (int64_t i = 0; i < rows; i++) {
        bad |= (xyxy[4 * i + 2] < xyxy[4 * i]) | (xyxy[4 * i + 3] < xyxy[4 * i + 1]);
    }
    return bad ? first_bad(xyxy, score, rows, column) : -1;
}
