/* What tracking costs at the least: the bare arithmetic of SORT and ByteTrack on a recorded stream, and nothing else.
 *
 *     floor STREAM        prints the median CPU time of a frame in us, over all rounds
 *
 * A frame is: predict every track (constant velocity, four 2 x 2 blocks), IoU of all tracks with all detections, assignment
 * of least cost, update the matched. All in f64; no births, deaths, scores, ids, checks or Python. The stream is i4 frames,
 * and for each frame i4 n, then n boxes of 4 f4; the first frame must show everybody. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 1024, ROUNDS = 15 };
static const double LIMIT = 0.8, FAR = 1e30;

static double value[4][MOST], rate[4][MOST], p[4][MOST], c[4][MOST], v[4][MOST];
static double t_x1[MOST], t_y1[MOST], t_x2[MOST], t_y2[MOST], t_area[MOST];
static double d_x1[MOST], d_y1[MOST], d_x2[MOST], d_y2[MOST], d_area[MOST];
static double costs[MOST * MOST], dual[MOST], distance[MOST];
static double ahead[MOST], settled[MOST]; /* FAR where the way to a column is final */
static int column_of_row[MOST], row_of_column[MOST], via[MOST];

static double noise(int k, double length, double aspect) { return k == 2 ? aspect * aspect : length * length; }

static void predict(int n) {
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < n; i++) {
            double h = value[3][i];
            p[k][i] = p[k][i] + 2 * c[k][i] + v[k][i] + noise(k, h / 20, 1e-2);
            c[k][i] += v[k][i];
            v[k][i] += noise(k, h / 160, 1e-5);
        }
    }
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < n; i++) value[k][i] += rate[k][i];
    }
}

static void tracks_to_boxes(int n) {
    for (int i = 0; i < n; i++) {
        double w = value[2][i] * value[3][i], h = value[3][i];
        t_x1[i] = value[0][i] - w / 2;
        t_y1[i] = value[1][i] - h / 2;
        t_x2[i] = t_x1[i] + w;
        t_y2[i] = t_y1[i] + h;
        t_area[i] = (w + 1) * (h + 1);
    }
}

static void detections_to_boxes(const float *box, int m) {
    for (int j = 0; j < m; j++) {
        d_x1[j] = (double)box[4 * j];
        d_y1[j] = (double)box[4 * j + 1];
        d_x2[j] = (double)box[4 * j + 2];
        d_y2[j] = (double)box[4 * j + 3];
        d_area[j] = (d_x2[j] - d_x1[j] + 1) * (d_y2[j] - d_y1[j] + 1);
    }
}

static double least(double a, double b) { return a < b ? a : b; }
static double most(double a, double b) { return a > b ? a : b; }

static double *cost_of(int row, int m) { return costs + (size_t)row * (size_t)m; }

static void overlap(int n, int m) {
    for (int i = 0; i < n; i++) {
        double x1 = t_x1[i], y1 = t_y1[i], x2 = t_x2[i], y2 = t_y2[i], area = t_area[i];
        double *restrict row = cost_of(i, m);
        for (int j = 0; j < m; j++) {
            double w = most(least(x2, d_x2[j]) - most(x1, d_x1[j]) + 1, 0);
            double h = most(least(y2, d_y2[j]) - most(y1, d_y1[j]) + 1, 0);
            double shared = w * h;
            row[j] = least(1 - shared / (area + d_area[j] - shared), LIMIT);
        }
    }
}

static int first_at(const double *values, int m, double wanted) {
    int j = 0;
    while (j < m && values[j] != wanted) j++;
    return j;
}

/* A shortest augmenting path from one row, over the dense matrix. */
static void augment(int root, int m) {
    int row = root, end = -1;
    double length;
    for (int j = 0; j < m; j++) via[j] = root, settled[j] = 0;
    for (;;) {
        double nearest = LIMIT;
        for (int j = 0; j < m; j++) {
            ahead[j] = distance[j] + settled[j];
            nearest = ahead[j] < nearest ? ahead[j] : nearest;
        }
        length = nearest;
        if (nearest >= LIMIT) break; /* nobody to match at less than the limit */
        int best = first_at(ahead, m, nearest);
        if (row_of_column[best] < 0) {
            end = best;
            break;
        }
        settled[best] = FAR;
        row = row_of_column[best];
        const double *row_cost = cost_of(row, m);
        double reach = row_cost[best] - dual[best] - nearest;
        for (int j = 0; j < m; j++) {
            double d = row_cost[j] - dual[j] - reach + settled[j];
            via[j] = d < distance[j] ? row : via[j];
            distance[j] = d < distance[j] ? d : distance[j];
        }
    }
    for (int j = 0; j < m; j++) dual[j] += settled[j] > 0 ? distance[j] - length : 0;
    while (end >= 0) {
        row = via[end];
        int old = column_of_row[row];
        column_of_row[row] = end;
        row_of_column[end] = row;
        end = row == root ? -1 : old;
    }
}

/* Most rows take their cheapest column at once; the others look for a path. */
static void assign(int n, int m) {
    for (int j = 0; j < m; j++) dual[j] = 0, row_of_column[j] = -1;
    for (int root = 0; root < n; root++) {
        double nearest = LIMIT;
        const double *row_cost = cost_of(root, m);
        column_of_row[root] = -1;
        for (int j = 0; j < m; j++) {
            distance[j] = row_cost[j] - dual[j];
            nearest = distance[j] < nearest ? distance[j] : nearest;
        }
        if (nearest >= LIMIT) continue;
        int best = first_at(distance, m, nearest);
        if (row_of_column[best] < 0) {
            column_of_row[root] = best;
            row_of_column[best] = root;
        } else {
            augment(root, m);
        }
    }
}

static void update(const float *box, int n, int m) {
    for (int i = 0; i < n; i++) {
        int j = column_of_row[i];
        if (j < 0 || cost_of(i, m)[j] >= LIMIT) continue;
        double w = (double)(box[4 * j + 2] - box[4 * j]), h = (double)(box[4 * j + 3] - box[4 * j + 1]);
        double z[4] = {(double)box[4 * j] + w / 2, (double)box[4 * j + 1] + h / 2, w / h, h}, height = value[3][i];
        for (int k = 0; k < 4; k++) {
            double s = p[k][i] + noise(k, height / 20, 1e-1), gain = p[k][i] / s, rate_gain = c[k][i] / s;
            double surprise = z[k] - value[k][i];
            value[k][i] += surprise * gain;
            rate[k][i] += surprise * rate_gain;
            v[k][i] -= rate_gain * s * rate_gain;
            c[k][i] -= gain * s * rate_gain;
            p[k][i] -= gain * s * gain;
        }
    }
}

static void start(const float *box, int n) {
    memset(rate, 0, sizeof rate);
    memset(c, 0, sizeof c);
    for (int i = 0; i < n; i++) {
        double w = (double)(box[4 * i + 2] - box[4 * i]), h = (double)(box[4 * i + 3] - box[4 * i + 1]);
        double z[4] = {(double)box[4 * i] + w / 2, (double)box[4 * i + 1] + h / 2, w / h, h};
        for (int k = 0; k < 4; k++) {
            value[k][i] = z[k];
            p[k][i] = noise(k, h / 10, 1e-2);
            v[k][i] = noise(k, h / 16, 1e-5);
        }
    }
}

static double cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int arguments, char **argument) {
    FILE *file = arguments == 2 ? fopen(argument[1], "rb") : NULL;
    int frames, matched = 0;
    if (!file || fread(&frames, 4, 1, file) != 1) return 2;
    int *count = malloc((size_t)frames * sizeof *count);
    float **box = malloc((size_t)frames * sizeof *box);
    for (int f = 0; f < frames; f++) {
        if (fread(&count[f], 4, 1, file) != 1 || count[f] > MOST) return 2;
        box[f] = malloc(16 * (size_t)count[f] + 1);
        if (fread(box[f], 16, (size_t)count[f], file) != (size_t)count[f]) return 2;
    }
    double us[ROUNDS];
    int n = count[0];
    for (int round = 0; round < ROUNDS; round++) {
        double begin = cpu_us();
        start(box[0], n);
        for (int f = 1; f < frames; f++) {
            predict(n);
            tracks_to_boxes(n);
            detections_to_boxes(box[f], count[f]);
            overlap(n, count[f]);
            assign(n, count[f]);
            update(box[f], n, count[f]);
        }
        us[round] = (cpu_us() - begin) / (frames - 1);
        for (int i = 0; i < n; i++) matched += column_of_row[i] >= 0;
    }
    qsort(us, ROUNDS, sizeof *us, ascending);
    printf("%.3f %d %d\n", us[ROUNDS / 2], n, matched / ROUNDS);
    return 0;
}
