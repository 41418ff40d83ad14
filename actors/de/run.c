/* The loop between a method and the cluster. Every evaluation is in the journal before the method
 * hears of it; what stands there is not evaluated again. Since a method does the same when it is
 * told the same in the same order, a run that was killed, driver and all, goes through what it had
 * done in a moment and continues with the identical next point. */
#include "actors/de/run.h"

#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/de/digest.h"
#include "actors/de/objective.h"

static _Thread_local char error_text[768];

const char *rtc_de_error(void)
{
    return error_text;
}

int de_fail(int rc, const char *fmt, ...)
{
    va_list args;
    char text[sizeof(error_text)];
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    memcpy(error_text, text, sizeof(text));
    return rc;
}

/* ---- Workers ---- */

/* How many evaluations the cluster has room for at the same time. */
static uint32_t cluster_room(struct rtc *rtc, const struct rtc_de_options *o)
{
    static struct rtc_node_info nodes[4096];
    size_t n = 0;
    double room = 0;
    if (rtc_nodes(rtc, nodes, sizeof(nodes) / sizeof(nodes[0]), &n) < 0)
        return 1;
    for (size_t i = 0; i < n && i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        double here = floor(nodes[i].cpus / (o->cpus > 0 ? o->cpus : 1));
        if (o->mem && (double)nodes[i].mem / (double)o->mem < here)
            here = floor((double)nodes[i].mem / (double)o->mem);
        room += strcmp(nodes[i].state, "alive") ? 0 : here;
    }
    return room < 1 ? 1 : (uint32_t)room;
}

/* The number in the file, if there is one: it can be changed while the run goes on. */
static int wanted_workers(const struct run *run)
{
    char text[32] = "";
    int workers = run->o->workers;
    int fd = run->o->workers_file ? open(run->o->workers_file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return workers;
    if (read(fd, text, sizeof(text) - 1) > 0 && strtol(text, NULL, 10))
        workers = (int)strtol(text, NULL, 10);
    close(fd);
    return workers;
}

/* How many evaluations may be out. A generation's points are all there at once: what does not run
 * waits in the cluster's queue; the steady state has a few more than run, so that no core waits. */
void de_run_look_at_workers(struct run *run)
{
    int wanted = wanted_workers(run);
    uint32_t room = cluster_room(run->rtc, run->o);
    run->workers = wanted > 0 ? (uint32_t)wanted : room;
    run->cores = run->workers < room ? run->workers : room;
    run->most = wanted > 0                   ? run->workers
                : de_machine_ordered(run->o) ? room + 1 + room / 4
                                             : 65536;
}

/* ---- Looking in between ---- */

void de_run_progress(struct run *run, bool generation_done)
{
    struct rtc_de_progress p = {.generation_done = generation_done};
    struct de_pool_counts counts;
    struct de_state s;
    uint32_t finite = 0;
    de_machine_state(run->machine, &s);
    de_machine_best(run->machine, run->x);
    de_pool_counts(run->pool, &counts);
    for (uint32_t i = 0; i < s.population && s.values; i++) {
        if (isfinite(s.values[i])) {
            p.mean += s.values[i];
            finite++;
        }
    }
    p.mean = finite ? p.mean / finite : NAN;
    p.generation = s.generation;
    p.evaluations = s.evaluations;
    p.evaluated = run->evaluated;
    p.reused = run->reused;
    p.failed = counts.failed;
    p.copies = counts.copies;
    p.best = s.best;
    p.x = run->x;
    p.convergence = s.convergence;
    p.population = s.members;
    p.values = s.values;
    p.np = s.population;
    p.n = run->o->n;
    p.seconds = report_now(CLOCK_MONOTONIC) - run->began;
    p.busy_seconds = counts.busy_seconds;
    p.workers = run->workers;
    p.in_flight = counts.points;
    p.utilisation = p.seconds > 0 ? p.busy_seconds / p.seconds / run->cores : 0;
    p.eta = -1;
    uint64_t most = run->o->max_evaluations;
    if (!most && run->o->method == RTC_DE_CLASSIC && !run->o->async)
        most = (uint64_t)s.population * (run->generations_max + 1);
    if (most > s.evaluations && run->evaluated)
        p.eta = (double)(most - s.evaluations) * p.seconds / (double)run->evaluated;
    if (run->o->callback && !run->stop) {
        enum rtc_de_verdict verdict = run->o->callback(run->o->arg, &p);
        if (verdict != RTC_DE_GO_ON) {
            run->stop = "callback function requested stop early by returning True";
            run->abort = verdict == RTC_DE_ABORT;
        }
    }
}

static void strange(struct run *run, bool *said, const char *sentence)
{
    if (!*said && run->o->strange)
        run->o->strange(run->o->arg, sentence);
    *said = true;
}

static void look_for_strange_things(struct run *run, double seconds)
{
    struct de_pool_counts counts;
    char why[400], text[600];
    de_pool_counts(run->pool, &counts);
    if (counts.overcommitted)
        strange(run, &run->said_overcommitted,
                "evaluations use more cores than the `cpus` they were given: they fight for them");
    if (!run->said_waiting && !run->evaluated && counts.points && seconds > 5) {
        de_pool_why(run->pool, why, sizeof(why));
        snprintf(text, sizeof(text), "no evaluation came back for 5 s: %s", why);
        strange(run, &run->said_waiting, text);
    }
}

static bool time_is_up(struct run *run, double t)
{
    if (!(run->o->max_seconds > 0) || t - run->began <= run->o->max_seconds)
        return false;
    run->stop = "the time is up";
    run->abort = true;
    return true;
}

void de_run_pause(struct run *run)
{
    double t = report_now(CLOCK_MONOTONIC);
    if (t - run->looked <= 0.5)
        return;
    run->looked = t;
    de_run_progress(run, false);
    if (!run->stop)
        time_is_up(run, t);
}

/* About twice a second, and after each generation. */
static void look(struct run *run)
{
    struct de_state s;
    double t = report_now(CLOCK_MONOTONIC);
    de_machine_state(run->machine, &s);
    if (s.best < run->best || run->best_at == 0) {
        run->best = s.best;
        run->best_at = s.evaluations;
    }
    bool whole = s.status != DE_MAX_EVALUATIONS && s.status != DE_REACHED_EVALUATIONS;
    bool begun = s.generation != run->generation && whole, late = t - run->looked > 0.5;
    run->generation = whole ? s.generation : run->generation;
    if (late) {
        run->looked = t;
        de_run_look_at_workers(run);
        look_for_strange_things(run, t - run->began);
    }
    if (begun || late)
        de_run_progress(run, begun);
    if (run->stop || time_is_up(run, t))
        return;
    if (run->o->target && s.best <= *run->o->target) {
        run->stop = "the target is reached";
        run->success = true;
    } else if (run->o->stall && s.evaluations - run->best_at > run->o->stall) {
        run->stop = "no better value was found for as many evaluations as `stall` says";
    }
}

/* ---- Telling ---- */

double de_run_value(const struct run *run, bool failed, double own, const double *moments,
                    uint32_t n_moments)
{
    double value = failed ? NAN : de_value_of(run->o, own, moments, n_moments);
    if (!isnan(value))
        return value;
    return run->o->penalty ? *run->o->penalty : INFINITY;
}

double de_run_worth(const struct run *run, const struct de_entry *entry)
{
    return de_run_value(run, entry->failed, entry->value, de_entry_moments(entry),
                        entry->n_moments);
}

int de_run_store(struct run *run, const struct de_done *done, bool counts)
{
    struct de_entry entry = {.value = done->value,
                             .seconds = done->seconds,
                             .time = report_now(CLOCK_REALTIME),
                             .id = done->id,
                             .asked = de_machine_asked(run->machine),
                             .n = run->o->n,
                             .n_moments = done->n_moments,
                             .failed = done->failed,
                             .counts = counts};
    snprintf(entry.node, sizeof(entry.node), "%s", done->node);
    run->evaluated++;
    return de_journal_add(&run->journal, &entry, done->x, done->moments);
}

/* All that came back, in the store; then the method is told. */
static int count_ready(struct run *run)
{
    struct de_done done;
    size_t first = run->journal.n_order;
    int rc = 0;
    while (rc == 0 && de_pool_next(run->pool, &done))
        rc = de_run_store(run, &done, true);
    if (rc == 0)
        rc = de_pool_error(run->pool);
    if (rc == 0)
        rc = de_journal_flush(&run->journal);
    for (size_t i = first; rc == 0 && i < run->journal.n_order; i++) {
        const struct de_entry *entry = run->journal.order[i];
        de_machine_tell(run->machine, entry->id, de_run_worth(run, entry));
    }
    return rc;
}

/* The same without the store, when it is only looked whether the values are as they were. */
static int compare_ready(struct run *run)
{
    struct de_done done;
    while (de_pool_next(run->pool, &done)) {
        double value = de_run_value(run, done.failed, done.value, done.moments, done.n_moments);
        const struct de_entry *was = de_journal_find(&run->journal, done.x);
        double before = was ? de_run_worth(run, was) : value;
        run->differ += memcmp(&before, &value, sizeof(value)) != 0;
        run->evaluated++;
        de_machine_tell(run->machine, done.id, value);
    }
    return de_pool_error(run->pool);
}

/* ---- Asking ---- */

/* The stored evaluation of a point that is asked, also when it is one of the seeds, whose way into
 * the method and out again may have cost it a rounding. */
static const struct de_entry *known(const struct run *run, const struct de_trial *trial)
{
    const struct de_entry *entry = de_journal_find(&run->journal, trial->x);
    for (uint32_t i = 0; !entry && trial->id < 2 * (uint64_t)run->n_seeds && i < run->n_seeds;
         i++) {
        const double *x = de_entry_x(run->seeds[i]);
        bool same = true;
        for (uint32_t j = 0; j < run->o->n && same; j++)
            same = fabs(x[j] - trial->x[j]) <= 1e-12 * (run->space.upper[j] - run->space.lower[j]);
        entry = same ? run->seeds[i] : NULL;
    }
    if (entry && run->o->targets && !entry->failed && entry->n_moments != run->o->n_moments)
        return NULL; /* stored before its moments counted */
    return entry;
}

/* One that is known is told at once. Where the order counts it stands in the journal once more. */
static int tell_known(struct run *run, const struct de_trial *trial, const struct de_entry *entry)
{
    double value = de_run_worth(run, entry);
    int rc = 0;
    run->reused++;
    if (de_machine_ordered(run->o)) {
        struct de_done done = {.id = trial->id,
                               .x = trial->x,
                               .moments = de_entry_moments(entry),
                               .n_moments = entry->n_moments,
                               .value = entry->value,
                               .failed = entry->failed,
                               .node = entry->node};
        rc = de_run_store(run, &done, true);
        run->evaluated--;
        if (rc == 0)
            rc = de_journal_flush(&run->journal);
    }
    if (rc == 0)
        de_machine_tell(run->machine, trial->id, value);
    return rc;
}

static int feed(struct run *run)
{
    struct de_pool_counts counts;
    struct de_trial trial;
    int rc = 0;
    for (de_pool_counts(run->pool, &counts);
         rc == 0 && counts.tasks < run->most && de_machine_ask(run->machine, &trial);
         de_pool_counts(run->pool, &counts)) {
        const struct de_entry *entry = run->o->replay ? NULL : known(run, &trial);
        if (!entry) {
            rc = de_pool_add(run->pool, trial.id, trial.x);
            continue;
        }
        rc = tell_known(run, &trial, entry);
        look(run);
        if (run->stop)
            return rc;
    }
    return rc < 0 ? rc : de_pool_send(run->pool);
}

int de_run_loop(struct run *run)
{
    struct de_pool_counts counts;
    struct de_state s;
    bool ordered = de_machine_ordered(run->o);
    for (;;) {
        de_machine_state(run->machine, &s);
        if (!ordered && !run->o->immediate)
            de_pool_set_batch(run->pool, s.population, run->workers);
        int rc = feed(run);
        de_pool_counts(run->pool, &counts);
        if (rc < 0 || run->stop || !counts.points)
            return rc;
        /* A generation counts when it is whole, if all of it is out at once. */
        bool together = !ordered && counts.points >= s.population;
        while (rc == 0 && !run->stop && (together ? counts.ready < counts.points : !counts.ready)) {
            rc = de_pool_wait(run->pool, RTC_MS(100));
            de_pool_counts(run->pool, &counts);
            uint32_t out = counts.points - counts.ready;
            if (rc == 0 && !run->o->no_second_copies && out && out < run->cores)
                rc = de_pool_second_copies(run->pool, run->cores - out);
            look(run);
        }
        if (rc == 0 && !run->stop)
            rc = run->o->replay ? compare_ready(run) : count_ready(run);
        if (rc < 0)
            return rc;
        look(run);
        if (run->stop)
            return 0;
    }
}
