/* Where tracks are, given the foot points that are taken for theirs: every such place is worked out once.
 *
 * Who tries many ways of matching foot points to tracks meets the same few again and again. A place is a track's filter
 * with some of the step's foot points absorbed, in ascending order of their rows; each place knows those with one more
 * row, so that together they are a trie below each track. */
#ifndef SPOTON_GROUND_PLACES_H
#define SPOTON_GROUND_PLACES_H

#include <math.h>
#include <stddef.h>

#include "ground_filter.h"
#include "ground_pairs.h"

typedef struct {
    double state[4], cov[16];
    double regular, accident; /* densities of the row that it adds, where it was before; without the 2 pi */
    int row;           /* that it adds, -1: none, it is where the track is due */
    int below, beside; /* its first place with one more row, and its parent's next one; -1: none */
    ptrdiff_t gains;   /* where the gains of the track's pairs in this place begin, -1: none asked for yet */
} ground_place;

/* Pair e is of foot point row and track column[e]; slot[e] counts the pairs of that track, degree (tracks) says how many
 * there are. worth (pairs) is what a pair is worth before its nats come off, density (pairs) is exp(-worth) without the
 * 2 pi. `gain` has room for `most_gains`, `place` for `most`; both at least once more than a turn needs: a row is in one
 * list only, so that a turn adds as many places as there are rows at the most, and as many gains as there are pairs. */
typedef struct {
    const ground_feet *feet;
    const int *column, *slot, *degree;
    const double *worth, *density;
    double limit;
    int tracks, pairs;
    ground_place *place;
    int count, most;
    double *gain;
    ptrdiff_t used, most_gains;
} ground_places;

/* Begins with place j where track j is due; the gains there stay until the end. */
void ground_places_begin(ground_places *p, const ground_tracks *tracks);

/* To be called before each turn: sees to room, if need be by forgetting all places but those where tracks are due; then
 * 1, as what was kept of places is void. */
int ground_places_turn(ground_places *p);

/* The place that has one more row, beyond all it has. */
int ground_places_with(ground_places *p, int place, int row);

double ground_places_weigh(ground_places *p, int place, int row, int e); /* the first time */

/* What pair e, of `row` and this place's track, gains here: exactly where that is positive, -INFINITY beyond the gate. */
static inline double ground_places_gain(ground_places *p, int place, int row, int e) {
    const ptrdiff_t gains = p->place[place].gains;
    if (gains < 0 || isnan(p->gain[gains + p->slot[e]])) return ground_places_weigh(p, place, row, e);
    return p->gain[gains + p->slot[e]];
}

/* Negative log density of the row that a place adds, in nats. */
static inline double ground_places_nats(const ground_place *place) {
    return GROUND_LOG_2PI - log(place->regular + place->accident);
}

#endif
