/* A run: a method, a journal, a pool of evaluations. run.c goes round; start.c begins and ends it;
 * replay.c goes through what it did before. */
#ifndef ACTORS_DE_RUN_H
#define ACTORS_DE_RUN_H

#include <time.h>

#include "actors/de/journal.h"
#include "actors/de/machine.h"
#include "actors/de/pool.h"

struct run {
    struct rtc *rtc;
    const struct rtc_de_options *o;
    struct de_space space;
    struct de_machine *machine;
    struct de_pool *pool;
    struct de_journal journal;
    const struct de_entry **seeds; /* best evaluations under other settings */
    uint32_t n_seeds, workers, cores, most, generation, generations_max;
    uint64_t *after, cap_after; /* by trial: how many had been told when it was asked */
    uint64_t told, evaluated, reused, best_at;
    double *x, best, began, looked;
    const char *stop; /* why it ends before the method does */
    bool abort, success, said_overcommitted, said_waiting;
};

double de_now(clockid_t clock);
void de_run_look_at_workers(struct run *run);
/* What a failed evaluation counts as. */
double de_run_penalty(const struct run *run);
void de_run_progress(struct run *run, bool generation_done);
int de_run_store(struct run *run, const struct de_done *done, uint64_t after, bool asked);
/* Until the method is over or the run is to stop. */
int de_run_loop(struct run *run);
/* replay.c: tells the method, in the order of the journal, what it had been told before. */
int de_run_resume(struct run *run);
/* replay.c: evaluates all of it once more, in that order. */
int de_run_replay(struct run *run);

#endif
