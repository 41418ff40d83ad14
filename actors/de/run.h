/* A run: a method, a journal, a pool of evaluations. run.c goes round; start.c begins and ends it;
 * replay.c goes through what it did before. */
#ifndef ACTORS_DE_RUN_H
#define ACTORS_DE_RUN_H

#include "actors/report/clock.h"
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
    uint32_t n_seeds, workers, workers_begun, cores, most, generation, generations_max;
    uint64_t evaluated, reused, best_at, differ; /* differ: replaying, from what is stored */
    double *x, best, began, looked;
    const char *stop; /* why it ends before the method does */
    int polish_rc;
    bool abort, success, said_overcommitted, said_waiting;
};

void de_run_look_at_workers(struct run *run);
/* What an evaluation counts as: its value, that of its moments, or the penalty. */
double de_run_value(const struct run *run, bool failed, double own, const double *moments,
                    uint32_t n_moments);
double de_run_worth(const struct run *run, const struct de_entry *entry);
void de_run_progress(struct run *run, bool generation_done);
/* While something is waited for: about twice a second, progress, and whether the time is up. */
void de_run_pause(struct run *run);
/* Adds it to the journal; counts: it is told to the method. */
int de_run_store(struct run *run, const struct de_done *done, bool counts);
/* Until the method is over or the run is to stop. */
int de_run_loop(struct run *run);
/* replay.c: tells the method, in the order of the journal, what it had been told before. 1: what is
 * stored does not fit the method, which is to be made anew. */
int de_run_resume(struct run *run);
/* replay.c: evaluates all of it once more, in that order. */
int de_run_replay(struct run *run);

#endif
