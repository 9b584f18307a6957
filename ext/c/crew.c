#include "crew.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

/* Items first .. last - 1 are still to do. Each worker has a stretch of its own, the same in every run, so that what an
 * item works on stays in one core's cache. */
typedef struct {
    int first, last;
} stretch;

typedef struct {
    crew *crew;
    int worker;
    pthread_t thread;
} helper;

/* The stretches and everything below `lock` are guarded by it. */
struct crew {
    int helpers;
    helper *helper;
    stretch *stretches; /* helpers + 1 */
    pthread_mutex_t lock;
    pthread_cond_t begun, done;
    crew_work work;
    void *job;
    int items, finished, over;
};

/* The next item of a worker's own stretch, else the last of the longest stretch, else -1. */
static int take_item(crew *c, int worker) {
    stretch *own = &c->stretches[worker], *longest = own;
    if (own->first < own->last) return own->first++;
    for (int w = 0; w <= c->helpers; w++) {
        stretch *other = &c->stretches[w];
        if (other->last - other->first > longest->last - longest->first) longest = other;
    }
    return longest->first < longest->last ? --longest->last : -1;
}

/* Does items until none is left; called and left with the lock held. */
static void take_part(crew *c, int worker) {
    for (int item = take_item(c, worker); item >= 0; item = take_item(c, worker)) {
        crew_work work = c->work;
        void *job = c->job;
        pthread_mutex_unlock(&c->lock);
        work(job, item, worker);
        pthread_mutex_lock(&c->lock);
        if (++c->finished == c->items) pthread_cond_signal(&c->done);
    }
}

static void *help(void *argument) {
    helper *h = argument;
    crew *c = h->crew;
    pthread_mutex_lock(&c->lock);
    while (!c->over) {
        take_part(c, h->worker);
        if (!c->over) pthread_cond_wait(&c->begun, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

crew *crew_start(int threads) {
    crew *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->begun, NULL);
    pthread_cond_init(&c->done, NULL);
    c->helper = calloc((size_t)threads, sizeof *c->helper);
    c->stretches = calloc((size_t)threads, sizeof *c->stretches);
    pthread_mutex_lock(&c->lock);
    for (int i = 0; c->helper && c->stretches && i < threads - 1; i++) {
        helper *h = &c->helper[i];
        h->crew = c;
        h->worker = i + 1;
        if (pthread_create(&h->thread, NULL, help, h)) break;
        c->helpers++;
    }
    pthread_mutex_unlock(&c->lock);
    if (c->helpers < threads - 1) {
        crew_stop(c);
        return NULL;
    }
    return c;
}

void crew_run(crew *c, crew_work work, void *job, int items) {
    pthread_mutex_lock(&c->lock);
    c->work = work;
    c->job = job;
    c->items = items;
    c->finished = 0;
    for (int w = 0; w <= c->helpers; w++) {
        int64_t part = c->helpers + 1;
        c->stretches[w].first = (int)(items * (int64_t)w / part);
        c->stretches[w].last = (int)(items * (int64_t)(w + 1) / part);
    }
    pthread_cond_broadcast(&c->begun);
    take_part(c, 0);
    while (c->finished < c->items) pthread_cond_wait(&c->done, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

void crew_stop(crew *c) {
    if (!c) return;
    pthread_mutex_lock(&c->lock);
    c->over = 1;
    pthread_cond_broadcast(&c->begun);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->helpers; i++) pthread_join(c->helper[i].thread, NULL);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->begun);
    pthread_cond_destroy(&c->done);
    free(c->helper);
    free(c->stretches);
    free(c);
}
