#include "lapjv.h"

#include <string.h>

enum { UNSEEN = 0, REACHED = 1, SCANNED = 2 };

/* Gives `column` to the row that reached it, that row's old column to the row that reached it, and so on to the root. */
static void flip_path(const lapjv_scratch *s, int column, int root, int *column_of_row, int *row_of_column) {
    int row;
    do {
        row = s->via_row[column];
        int old = column_of_row[row];
        column_of_row[row] = column;
        row_of_column[column] = row;
        s->row_edge[row] = s->via_edge[column];
        column = old;
    } while (row != root);
}

/* Dijkstra over reduced costs from one unmatched row to the nearest free column or to the cheapest row to unmatch. */
static void augment(const lapjv_problem *p, lapjv_scratch *s, int root, int *column_of_row, int *row_of_column) {
    int touched = 0, row = root, leaver = root, end = -1;
    double reach = 0;        /* of the row being expanded: what its own edge costs beyond the way to it */
    double leave = p->limit; /* the shortest way that ends with a row (`leaver`) unmatched */
    double length;

    for (;;) {
        for (int e = p->start[row]; e < p->start[row + 1]; e++) {
            int j = p->column[e];
            if (s->mark[j] == SCANNED) continue;
            double distance = p->cost[e] - s->dual[j] - reach;
            if (s->mark[j] == REACHED && distance >= s->distance[j]) continue;
            if (s->mark[j] == UNSEEN) {
                s->mark[j] = REACHED;
                s->touched[touched++] = j;
            }
            s->distance[j] = distance;
            s->via_row[j] = row;
            s->via_edge[j] = e;
        }
        int best = -1, best_taken = 0;
        for (int t = 0; t < touched; t++) {
            int j = s->touched[t], taken = row_of_column[j] >= 0;
            if (s->mark[j] == SCANNED) continue;
            if (best < 0 || s->distance[j] < s->distance[best] ||
                (s->distance[j] == s->distance[best] &&
                 (taken < best_taken || (taken == best_taken && j < best)))) {
                best = j;
                best_taken = taken;
            }
        }
        if (best < 0 || leave < s->distance[best]) {
            length = leave;
            break;
        }
        if (!best_taken) {
            length = s->distance[best];
            end = best;
            break;
        }
        s->mark[best] = SCANNED;
        row = row_of_column[best];
        reach = p->cost[s->row_edge[row]] - s->dual[best] - s->distance[best];
        double leave_here = p->limit - reach;
        if (leave_here < leave || (leave_here == leave && row > leaver)) {
            leave = leave_here;
            leaver = row;
        }
    }
    for (int t = 0; t < touched; t++) {
        int j = s->touched[t];
        if (s->mark[j] == SCANNED) s->dual[j] += s->distance[j] - length;
        s->mark[j] = UNSEEN;
    }
    if (end < 0 && leaver != root) {
        end = column_of_row[leaver];
        column_of_row[leaver] = -1;
    }
    if (end >= 0) flip_path(s, end, root, column_of_row, row_of_column);
}

static void augment_all(const lapjv_problem *p, lapjv_scratch *s, int *column_of_row, int *row_of_column) {
    for (int i = 0; i < p->rows; i++) {
        column_of_row[i] = -1;
        if (p->start[i] < p->start[i + 1]) augment(p, s, i, column_of_row, row_of_column);
    }
}

void lapjv_solve(const lapjv_problem *p, lapjv_scratch *s, int *column_of_row, int *row_of_column) {
    for (int j = 0; j < p->columns; j++) row_of_column[j] = -1;
    for (int j = 0; j < p->columns; j++) s->dual[j] = 0;
    memset(s->mark, 0, sizeof(int) * (size_t)p->columns);
    augment_all(p, s, column_of_row, row_of_column);
}

void lapjv_solve_few(const lapjv_problem *p, lapjv_scratch *s, int *column_of_row, int *row_of_column) {
    for (int e = p->start[0]; e < p->start[p->rows]; e++) {
        const int j = p->column[e];
        row_of_column[j] = -1;
        s->dual[j] = 0;
        s->mark[j] = UNSEEN;
    }
    augment_all(p, s, column_of_row, row_of_column);
}
