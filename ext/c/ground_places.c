#include "ground_places.h"

#include <string.h>

#include "ground_filter.h"

static void ask_for_gains(ground_places *p, ground_place *place, int track) {
    place->gains = p->used;
    for (int k = 0; k < p->degree[track]; k++) p->gain[p->used++] = NAN;
}

void ground_places_begin(ground_places *p, const ground_tracks *tracks) {
    p->count = p->tracks = tracks->rows;
    p->used = 0;
    for (int j = 0; j < tracks->rows; j++) {
        ground_place *root = &p->place[j];
        memcpy(root->state, tracks->state + 4 * j, sizeof root->state);
        memcpy(root->cov, tracks->cov + 16 * j, sizeof root->cov);
        root->row = root->below = root->beside = -1;
        ask_for_gains(p, root, j);
    }
}

int ground_places_turn(ground_places *p) {
    if (p->count + p->feet->rows <= p->most && p->used + p->pairs <= p->most_gains) return 0;
    p->count = p->tracks;
    p->used = p->pairs;
    for (int j = 0; j < p->tracks; j++) p->place[j].below = -1;
    return 1;
}

int ground_places_with(ground_places *p, int place, int row) {
    const ground_place *from = &p->place[place];
    int at = from->below;
    while (at >= 0 && p->place[at].row != row) at = p->place[at].beside;
    if (at >= 0) return at;
    at = p->count++;
    ground_place *to = &p->place[at];
    const double *r = p->feet->r + 3 * row;
    const ground_innovation n = ground_innovate(from->state, from->cov, p->feet->xy + 2 * row, r, p->feet->lag_s[row]);
    *to = *from;
    ground_densities(&n, r, &to->regular, &to->accident);
    if (n.d2 <= p->limit) ground_absorb_as(to->state, to->cov, n, r, to->regular, to->accident);
    to->row = row;
    to->below = -1;
    to->beside = from->below;
    to->gains = -1;
    p->place[place].below = at;
    return at;
}

double ground_places_weigh(ground_places *p, int place, int row, int e) {
    ground_place *at = &p->place[place];
    if (at->gains < 0) ask_for_gains(p, at, p->column[e]);
    const double *r = p->feet->r + 3 * row;
    const ground_innovation n = ground_innovate(at->state, at->cov, p->feet->xy + 2 * row, r, p->feet->lag_s[row]);
    const double gain = n.d2 <= p->limit ? ground_gain(&n, r, p->worth[e], p->density[e]) : -(double)INFINITY;
    return p->gain[at->gains + p->slot[e]] = gain;
}
