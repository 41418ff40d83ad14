/* Where the order of telling decides what is asked, the journal is the replay log: each evaluation
 * stands in it as it counted, with its trial's number and with how many trials had been asked for
 * by then. Asking so many, then telling, gives the same trials again. */
#include <stdlib.h>
#include <string.h>

#include "actors/de/run.h"

struct replay {
    struct run *run;
    const struct de_entry **log; /* the evaluations of these settings, in their order */
    size_t n_log;
    uint64_t n_trials; /* up to the last one of the log */
    bool *in_log;      /* by trial */
    double **points;   /* of those that were asked */
    double *values;    /* replaying: what came back */
    bool *back;
};

static void end(struct replay *r)
{
    for (uint64_t i = 0; r->points && i < r->n_trials; i++)
        free(r->points[i]);
    free(r->points);
    free(r->log);
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
        if (e->objective != j->objective || e->settings != j->settings || !e->counts)
            continue;
        r->log[r->n_log++] = e;
        uint64_t up_to = e->asked > e->id ? e->asked : e->id + 1;
        r->n_trials = up_to > r->n_trials ? up_to : r->n_trials;
    }
    if (r->n_trials > 1000 * (uint64_t)r->n_log + 1000000) /* no run of ours wrote that */
        r->n_log = r->n_trials = 0;
    r->in_log = calloc(r->n_trials + 1, sizeof(bool));
    r->points = calloc(r->n_trials + 1, sizeof(double *));
    r->values = calloc(r->n_trials + 1, sizeof(double));
    r->back = calloc(r->n_trials + 1, sizeof(bool));
    if (!r->log || !r->in_log || !r->points || !r->values || !r->back)
        return RTC_E_NOMEM;
    for (size_t i = 0; i < r->n_log; i++)
        r->in_log[r->log[i]->id] = true;
    return 0;
}

/* Asks what had been asked when this one was told. What never came back is evaluated now, and
 * counts behind the log. */
static int ask_until(struct replay *r, const struct de_entry *e)
{
    struct run *run = r->run;
    struct de_trial trial;
    size_t size = run->o->n * sizeof(double);
    while (de_machine_asked(run->machine) < e->asked && de_machine_ask(run->machine, &trial)) {
        if (trial.id >= r->n_trials)
            return 1;
        double *copy = malloc(size);
        if (!copy)
            return RTC_E_NOMEM;
        memcpy(copy, trial.x, size);
        free(r->points[trial.id]);
        r->points[trial.id] = copy;
        if (run->o->replay || !r->in_log[trial.id]) {
            int rc = de_pool_add(run->pool, trial.id, trial.x);
            if (rc < 0)
                return rc;
        }
    }
    const double *x = r->points[e->id];
    if (!x || memcmp(x, de_entry_x(e), size) != 0)
        return 1;
    return de_pool_send(run->pool);
}

int de_run_resume(struct run *run)
{
    struct replay r;
    int rc = begin(&r, run);
    for (size_t i = 0; rc == 0 && i < r.n_log; i++) {
        rc = ask_until(&r, r.log[i]);
        if (rc)
            break;
        de_machine_tell(run->machine, r.log[i]->id, de_run_worth(run, r.log[i]));
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
    while (rc == 0 && !r->back[id] && !run->stop) {
        rc = de_pool_wait(run->pool, RTC_MS(200));
        while (rc == 0 && de_pool_next(run->pool, &done)) {
            r->values[done.id] =
                de_run_value(run, done.failed, done.value, done.moments, done.n_moments);
            r->back[done.id] = true;
            run->evaluated++;
        }
        rc = rc == 0 ? de_pool_error(run->pool) : rc;
        de_run_pause(run);
    }
    return rc;
}

int de_run_replay(struct run *run)
{
    struct replay r;
    int rc = begin(&r, run);
    if (rc == 0 && !r.n_log)
        rc = de_fail(RTC_E_NOT_FOUND, "there is nothing to replay: the journal has no evaluation "
                                      "under these settings");
    for (size_t i = 0; rc == 0 && i < r.n_log && !run->stop; i++) {
        const struct de_entry *e = r.log[i];
        rc = ask_until(&r, e);
        if (rc == 1)
            rc = de_fail(RTC_E_INVALID,
                         "evaluation %zu of the journal is none that the method "
                         "asks: an earlier value differs, or the version",
                         i);
        if (rc == 0)
            rc = wait_for(&r, e->id);
        if (rc < 0 || run->stop)
            break;
        double value = r.values[e->id], was = de_run_worth(run, e);
        run->differ += memcmp(&value, &was, sizeof(value)) != 0;
        de_machine_tell(run->machine, e->id, value);
    }
    end(&r);
    return rc;
}
