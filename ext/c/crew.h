/* A few threads that share out the items of one job; the caller works too. */
#ifndef SPOTON_CREW_H
#define SPOTON_CREW_H

typedef struct crew crew;

/* Called once for each item, by worker 0 (the caller) .. threads - 1. */
typedef void (*crew_work)(void *job, int item, int worker);

/* A crew of `threads`, the caller included; NULL if memory or threads lack. It does not outlive a fork. */
crew *crew_start(int threads);

/* Does items 0 .. items - 1 and returns when all are done. One run at a time. It waits for no helper that has not taken
 * an item: one that wakes up late costs nothing. */
void crew_run(crew *crew, crew_work work, void *job, int items);

/* Ends the helpers and frees the crew; NULL does nothing. */
void crew_stop(crew *crew);

#endif
