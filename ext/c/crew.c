#include "crew.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct {
    crew *crew;
    int worker;
    pthread_t thread;
} helper;

/* Everything below `lock` is guarded by it. */
struct crew {
    int helpers;
    helper *helper;
    pthread_mutex_t lock;
    pthread_cond_t begun, done;
    crew_work work;
    void *job;
    int items, next, finished, over;
};

/* Takes and does items until none is left; called and left with the lock held. */
static void take_items(crew *c, int worker) {
    while (c->next < c->items) {
        int item = c->next++;
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
        take_items(c, h->worker);
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
    for (int i = 0; c->helper && i < threads - 1; i++) {
        helper *h = &c->helper[i];
        h->crew = c;
        h->worker = i + 1;
        if (pthread_create(&h->thread, NULL, help, h)) break;
        c->helpers++;
    }
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
    c->next = c->finished = 0;
    pthread_cond_broadcast(&c->begun);
    take_items(c, 0);
    while (c->finished < c->items) pthread_cond_wait(&c->done, &c->lock);
    c->items = c->next = 0;
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
    free(c);
}
