#include "actors/sumo/evaluate.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/report/clock.h"

#define QUEUE_DISTANCE 200 /* m: of RESCO's queue */

struct run { /* of all seeds */
    const struct evaluation *e;
    struct outcome *outcomes;
    struct sumo_plan *plan;
    char *report;
    pthread_mutex_t mutex; /* of what follows, and of done() */
    uint32_t next;
    int rc;
    char *why;
};

struct episode {
    struct run *run;
    struct sumo_sim *sim;
    struct controller controller;
    struct sense sense; /* of the metrics */
    struct outcome *outcome;
    char file[128], why[SUMO_WHY_MAX];
    double queues, looks;
};

static int open_sim(struct episode *ep)
{
    const struct evaluation *e = ep->run->e;
    char begin[32], teleport[32];
    snprintf(ep->file, sizeof(ep->file), "%s/rtc-eval-%d-%u.xml",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid(), ep->outcome->seed);
    snprintf(begin, sizeof(begin), "%g", e->begin);
    snprintf(teleport, sizeof(teleport), "%g", e->teleport);
    const char *const extra[] = {
        TRIPS_ARGUMENTS, "--tripinfo-output", ep->file, "--time-to-teleport",
        teleport,        "--begin",           begin};
    struct sumo_options options = e->sim;
    options.seed = ep->outcome->seed;
    options.extra = extra;
    options.n_extra = sizeof(extra) / sizeof(*extra) - (e->begin < 0 ? 2 : 0);
    return sumo_sim_open(&options, &ep->sim, ep->why);
}

static int blame(struct episode *ep, int rc)
{
    snprintf(ep->why, sizeof(ep->why), "seed %u: %.900s", ep->outcome->seed,
             rc == RTC_E_NOMEM ? "out of memory" : sumo_sim_error(ep->sim));
    return rc;
}

/* Who stands at the end, and has for so long that only a jam explains it. */
static void count_stuck(struct episode *ep)
{
    const struct sumo_view *view = sumo_sim_view(ep->sim);
    struct outcome *o = ep->outcome;
    for (uint32_t i = 0; i < view->n_vehicles; i++) {
        o->running++;
        o->stuck += view->vehicles[SUMO_VEHICLE_WAITING][i] >= GRIDLOCK_SECONDS;
    }
    o->gridlock = o->stuck > 0 && o->stuck >= GRIDLOCK_SHARE * o->running;
}

static int simulate(struct episode *ep)
{
    const struct evaluation *e = ep->run->e;
    const struct sumo_plan *plan = ep->run->plan;
    struct controller *c = &ep->controller;
    double end = sumo_sim_time(ep->sim) + e->seconds, look_at = sumo_sim_time(ep->sim);
    int rc = 0;
    while (sumo_sim_time(ep->sim) < end - 1e-6 && !rc) {
        look_at = fmin(look_at + e->delta, end);
        while (sumo_sim_time(ep->sim) < look_at - 1e-6 && !rc) {
            if ((rc = controller_run(c, look_at)) != 0)
                break;
            const struct sumo_counters *counters = &c->counters;
            ep->outcome->departed += (uint32_t)counters->departed;
            ep->outcome->teleports += (uint32_t)counters->teleports_begun;
            ep->outcome->collisions += (uint32_t)counters->collisions;
        }
        if (rc == 0 && !sense_look(&ep->sense, sumo_sim_view(ep->sim), e->delta))
            rc = RTC_E_NOMEM;
        for (uint32_t i = 0; i < plan->n_in; i++)
            ep->queues += ep->sense.queue[i];
        ep->looks++;
    }
    return rc;
}

static int run_episode(struct episode *ep)
{
    const struct evaluation *e = ep->run->e;
    struct outcome *o = ep->outcome;
    double begun = report_now(CLOCK_MONOTONIC);
    int rc = open_sim(ep);
    if (rc != 0)
        return rc;
    if (controller_make(&ep->controller, e->controller, ep->sim, ep->run->plan, &e->rules, e->delta,
                        e->distance, o->seed) != 0 ||
        !sense_make(&ep->sense, ep->run->plan, SENSE_QUEUES, QUEUE_DISTANCE))
        return blame(ep, RTC_E_NOMEM);
    sense_reset(&ep->sense);
    struct sumo_wants wants = controller_wants(&ep->controller), also = sense_wants(&ep->sense);
    wants.lane_vars |= also.lane_vars;
    wants.vehicle_vars |= also.vehicle_vars;
    wants.n_vehicle_lanes = 0; /* who stands is counted everywhere */
    if ((rc = sumo_sim_subscribe(ep->sim, &wants)) != 0 ||
        (rc = controller_begin(&ep->controller)) != 0 || (rc = simulate(ep)) != 0)
        return blame(ep, rc);
    count_stuck(ep);
    sumo_sim_close(&ep->sim); /* writes the trips */
    o->queue = ep->looks > 0 ? ep->queues / ep->looks / (ep->run->plan->n_signals + 1) : 0;
    rc = trips_read(ep->file, &o->trips, ep->why);
    o->wall = report_now(CLOCK_MONOTONIC) - begun;
    return rc;
}

static void *work(void *arg)
{
    struct run *run = arg;
    for (;;) {
        struct episode ep = {.run = run};
        pthread_mutex_lock(&run->mutex);
        uint32_t i = run->rc ? run->e->n_seeds : run->next++;
        pthread_mutex_unlock(&run->mutex);
        if (i >= run->e->n_seeds)
            return NULL;
        ep.outcome = &run->outcomes[i];
        *ep.outcome = (struct outcome){.seed = run->e->first_seed + i};
        int rc = run_episode(&ep);
        controller_free(&ep.controller);
        sense_free(&ep.sense);
        sumo_sim_close(&ep.sim);
        if (rc != 0)
            (void)unlink(ep.file);
        pthread_mutex_lock(&run->mutex);
        if (rc == 0 && run->e->done)
            run->e->done(run->e->arg, run->e, i);
        if (rc != 0 && run->rc == 0) {
            run->rc = rc;
            snprintf(run->why, SUMO_WHY_MAX, "%s", ep.why);
        }
        pthread_mutex_unlock(&run->mutex);
    }
}

/* One for all: they are simulations of the same net. */
static int make_plan(struct run *run)
{
    struct sumo_options options = run->e->sim;
    struct sumo_sim *sim;
    char why[SUMO_WHY_MAX];
    int rc = sumo_sim_open(&options, &sim, run->why);
    if (rc != 0)
        return rc;
    snprintf(run->report, 256, "%s", sumo_sim_report(sim));
    if ((rc = sumo_plan_make(sim, run->e->signals, &run->plan, why)) != 0)
        snprintf(run->why, SUMO_WHY_MAX, "'%.200s': %.800s",
                 options.sumocfg_file ? options.sumocfg_file : options.net_file, why);
    sumo_sim_close(&sim);
    return rc;
}

int evaluate(const struct evaluation *e, struct outcome *outcomes, char *ret_report, char *why)
{
    struct run run = {.e = e,
                      .outcomes = outcomes,
                      .report = ret_report,
                      .why = why,
                      .mutex = PTHREAD_MUTEX_INITIALIZER};
    uint32_t jobs = e->jobs < e->n_seeds ? e->jobs : e->n_seeds, started = 0;
    pthread_t *threads = calloc((size_t)jobs + 1, sizeof(*threads));
    if (!threads) {
        snprintf(why, SUMO_WHY_MAX, "out of memory");
        return RTC_E_NOMEM;
    }
    run.rc = make_plan(&run);
    while (!run.rc && started + 1 < jobs &&
           pthread_create(&threads[started], NULL, work, &run) == 0)
        started++;
    if (run.plan)
        (void)work(&run);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    sumo_plan_free(&run.plan);
    return run.rc;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct spread spread_of(const double *x, uint32_t n)
{
    struct spread s = {0};
    double *sorted = malloc((n + 1) * sizeof(*sorted));
    if (!sorted || n == 0) {
        free(sorted);
        return (struct spread){NAN, NAN, NAN, NAN, NAN};
    }
    memcpy(sorted, x, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare);
    for (uint32_t i = 0; i < n; i++)
        s.mean += x[i] / n;
    for (uint32_t i = 0; i < n && n > 1; i++)
        s.sd += (x[i] - s.mean) * (x[i] - s.mean) / (n - 1);
    s.sd = sqrt(s.sd);
    s.median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    s.min = sorted[0];
    s.max = sorted[n - 1];
    free(sorted);
    return s;
}
