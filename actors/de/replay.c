/* Where the order of telling decides what is asked, the journal is the replay log: each evaluation
 * stands in it as it counted, with its trial's number and with how many had been told when that
 * trial was asked. Asking and telling in that order gives the same trials again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/digest.h"
#include "actors/de/run.h"

struct replay {
    struct run *run;
    const struct de_entry **log; /* the evaluations of these settings, in their order */
    size_t n_log;
    uint64_t *asked_after; /* by trial, for those that are in the log */
    bool *in_log;
    uint64_t n_trials, next; /* trials up to the last one of the log; the next to be asked */
    double **points;         /* of those that were asked */
    double *values;          /* replaying: what came back, NaN: not yet */
    bool *back;
};

static void end(struct replay *r)
{
    for (uint64_t i = 0; r->points && i < r->n_trials; i++)
        free(r->points[i]);
    free(r->points);
    free(r->log);
    free(r->asked_after);
    free(r->in_log);
    free(r->values);
    free(r->back);
}

static int begin(struct replay *r, struct run *run)
{
    const struct de_journal *j = &run->journal;
    *r = (struct replay){.run = run};
    r->log = calloc(j->n_order + 1, sizeof(struct de_entry *));
    for (size_t i = 0; r->log && i < j->n_order; i++) {
        const struct de_entry *e = j->order[i];
        if (e->objective != j->objective || e->settings != j->settings || !e->asked)
            continue;
        r->log[r->n_log++] = e;
        r->n_trials = e->id >= r->n_trials ? e->id + 1 : r->n_trials;
    }
    if (r->n_trials > 100 * (uint64_t)r->n_log + 1000000) /* no run of ours wrote that */
        r->n_log = r->n_trials = 0;
    r->asked_after = calloc(r->n_trials + 1, sizeof(uint64_t));
    r->in_log = calloc(r->n_trials + 1, sizeof(bool));
    r->points = calloc(r->n_trials + 1, sizeof(double *));
    r->values = calloc(r->n_trials + 1, sizeof(double));
    r->back = calloc(r->n_trials + 1, sizeof(bool));
    if (!r->log || !r->asked_after || !r->in_log || !r->points || !r->values || !r->back)
        return RTC_E_NOMEM;
    for (size_t i = 0; i < r->n_log; i++) {
        r->asked_after[r->log[i]->id] = r->log[i]->after;
        r->in_log[r->log[i]->id] = true;
    }
    /* Trials are asked in the order of their numbers. One that never came back was asked between
     * its neighbours; when exactly does not matter to any other. */
    for (uint64_t id = 1; id < r->n_trials; id++) {
        if (!r->in_log[id])
            r->asked_after[id] = r->asked_after[id - 1];
    }
    return 0;
}

/* Asks what had been asked by now. What is not in the log is evaluated, and counts behind it. */
static int ask_until_now(struct replay *r)
{
    struct run *run = r->run;
    struct de_trial trial;
    while (r->next < r->n_trials && r->asked_after[r->next] <= run->told &&
           de_machine_ask(run->machine, &trial)) {
        if (trial.id >= r->n_trials)
            return de_fail(RTC_E_INVALID, "the journal does not fit the run's method");
        size_t size = run->o->n * sizeof(double);
        double *copy = malloc(size);
        if (!copy)
            return RTC_E_NOMEM;
        memcpy(copy, trial.x, size);
        free(r->points[trial.id]);
        r->points[trial.id] = copy;
        r->next = trial.id + 1;
        run->after[trial.id] = r->asked_after[trial.id];
        if (run->o->replay || !r->in_log[trial.id]) {
            int rc = de_pool_add(run->pool, trial.id, trial.x);
            if (rc < 0)
                return rc;
        }
    }
    return de_pool_send(run->pool);
}

static double value_of(const struct run *run, const struct de_entry *e)
{
    double value = de_value_of(run->o, e->value, de_entry_moments(e), e->n_moments);
    return e->failed || isnan(value) ? de_run_penalty(run) : value;
}

static int room_for(struct run *run, uint64_t trials)
{
    if (trials <= run->cap_after)
        return 0;
    uint64_t *grown = realloc(run->after, (trials + 1024) * sizeof(*grown));
    if (!grown)
        return RTC_E_NOMEM;
    run->after = grown;
    run->cap_after = trials + 1024;
    return 0;
}

int de_run_resume(struct run *run)
{
    struct replay r;
    int rc = begin(&r, run);
    if (rc == 0)
        rc = room_for(run, r.n_trials);
    for (size_t i = 0; rc == 0 && i < r.n_log; i++) {
        const struct de_entry *e = r.log[i];
        rc = ask_until_now(&r);
        if (rc < 0)
            break;
        const double *x = r.points[e->id];
        if (!x || memcmp(x, de_entry_x(e), run->o->n * sizeof(double)) != 0)
            break; /* it was made by another version: found by its points, if at all */
        de_machine_tell(run->machine, e->id, value_of(run, e));
        run->told++;
        run->reused++;
    }
    end(&r);
    return rc;
}

/* Waits until the trial came back. */
static int wait_for(struct replay *r, uint64_t id)
{
    struct run *run = r->run;
    struct de_done done;
    int rc = 0;
    while (rc == 0 && !r->back[id]) {
        rc = de_pool_wait(run->pool, RTC_MS(200));
        while (rc == 0 && de_pool_next(run->pool, &done)) {
            double value = de_value_of(run->o, done.value, done.moments, done.n_moments);
            r->values[done.id] = done.failed || isnan(value) ? de_run_penalty(run) : value;
            r->back[done.id] = true;
            run->evaluated++;
        }
    }
    return rc;
}

int de_run_replay(struct run *run)
{
    struct replay r;
    uint64_t differ = 0;
    int rc = begin(&r, run);
    if (rc == 0 && !r.n_log)
        rc = de_fail(RTC_E_NOT_FOUND, "there is nothing to replay: the journal has no evaluation "
                                      "under these settings");
    if (rc == 0)
        rc = room_for(run, r.n_trials);
    for (size_t i = 0; rc == 0 && i < r.n_log; i++) {
        const struct de_entry *e = r.log[i];
        rc = ask_until_now(&r);
        if (rc == 0 && !r.points[e->id])
            rc = de_fail(RTC_E_INVALID,
                         "evaluation %zu of the journal is none that the method "
                         "asks: an earlier value differs, or the version",
                         i);
        if (rc == 0)
            rc = wait_for(&r, e->id);
        if (rc < 0)
            break;
        double value = r.values[e->id], was = value_of(run, e);
        differ += memcmp(&value, &was, sizeof(value)) != 0;
        de_machine_tell(run->machine, e->id, value);
        run->told++;
    }
    end(&r);
    if (rc == 0 && differ)
        rc = de_fail(RTC_E_INVALID,
                     "%llu of %zu evaluations gave another value than before: the "
                     "objective is not a function of its parameters alone",
                     (unsigned long long)differ, r.n_log);
    return rc;
}
