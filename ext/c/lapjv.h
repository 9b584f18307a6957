/* Linear assignment on a sparse cost matrix in which leaving a row unmatched costs `limit`. */
#ifndef SPOTON_LAPJV_H
#define SPOTON_LAPJV_H

/* Row i may take column[e] at cost[e] for e in start[i] .. start[i + 1] - 1; every cost is below the limit. */
typedef struct {
    int rows, columns;
    const int *start, *column;
    const double *cost;
    double limit;
} lapjv_problem;

/* Caller-owned scratch: `dual`, `distance`, `via_edge`, `via_row`, `mark` and `touched` hold `columns` elements each,
 * `row_edge` holds `rows`. Nothing in it need be initialised. */
typedef struct {
    double *dual, *distance;
    int *via_edge, *via_row, *mark, *touched, *row_edge;
} lapjv_scratch;

/* Minimises the sum over matched rows of their costs plus `limit` for each unmatched row, one column for each row.
 *
 * This is the augmentation phase of Jonker & Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
 * assignment problems" (Computing 38, 1987), row after row; each row has a private spare column of cost `limit`, which is
 * the published (n + m) x (n + m) problem without its padding. Paths never leave a connected component, so a frame
 * of people who stand apart costs next to nothing.
 *
 * Ties are broken the same way always: a real column before staying unmatched, a free column before a taken one, the
 * lower index first; of rows to leave unmatched, the last. Writes column_of_row (rows) and row_of_column (columns), -1
 * where unmatched. */
void lapjv_solve(const lapjv_problem *problem, lapjv_scratch *scratch, int *column_of_row, int *row_of_column);

/* The same for rows that want few of many columns, in time that does not depend on `columns`: where no row wants a
 * column, row_of_column is left as it was. */
void lapjv_solve_few(const lapjv_problem *problem, lapjv_scratch *scratch, int *column_of_row, int *row_of_column);

#endif
