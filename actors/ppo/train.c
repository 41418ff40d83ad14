/* The driver's loop: calls to actors that are out, what came back, the update. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/ppo/act.h"
#include "actors/ppo/train_inner.h"
#include "actors/report/clock.h"

#define LOOK_MS  100
#define LOOKS    10 /* until an actor that does not answer is asked for */
#define PATIENCE 3  /* so often it may have no place before others do its work */

int train_fail(struct train *t, int rc, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->why, sizeof(t->why), fmt, args);
    va_end(args);
    return rc;
}

int train_fail_rtc(struct train *t, int rc)
{
    return rc < 0 ? train_fail(t, rc, "%s", rtc_last_error()) : rc;
}

void train_note(struct train *t, const char *fmt, ...)
{
    char text[TRAIN_WHY_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (t->options.on_note)
        t->options.on_note(t->options.arg, text);
}

const char *train_error(const struct train *t)
{
    return t->why;
}

const struct rtc_env_spec *train_spec(const struct train *t)
{
    return t->spec;
}

struct ppo *train_ppo(struct train *t)
{
    return t->ppo;
}

static uint32_t calls_of(const struct train *t) /* of an iteration */
{
    return t->options.actors * t->options.rounds;
}

/* Of call k of an iteration. */
static size_t call_at(const struct train *t, uint64_t iteration, uint32_t k)
{
    return (size_t)(iteration % (t->options.lag + 1)) * calls_of(t) + k;
}

/* ---- Beginning ---- */

int train_start_actor(struct train *t, uint32_t i)
{
    const struct train_options *o = &t->options;
    struct rtc_options needs = {.cpus = o->cpus};
    struct rtc_actor_options actor_options = {
        .max_restarts = RTC_RETRY_FOREVER, .call_retries = RTC_RETRY_FOREVER, .needs = &needs};
    struct rollout_options rollout = {.env = o->env,
                                      .config = o->env_config,
                                      .policy = ppo_policy.name,
                                      .policy_config = &o->ppo,
                                      .policy_config_size = sizeof(o->ppo),
                                      .seed = o->seed,
                                      .first_slot = i * o->env_config->slots,
                                      .groups = o->groups};
    if (t->lowered) /* not the same episodes once more */
        rollout.seed = rtc_env_seed(o->seed, UINT32_MAX - t->lowered);
    return train_fail_rtc(t,
                          rollout_create(t->rtc, &rollout, &actor_options, &t->runners[i].actor));
}

static int start_actors(struct train *t)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < t->options.actors; i++)
        rc = train_start_actor(t, i);
    return rc;
}

static int learn_spec(struct train *t)
{
    struct rtc_value value;
    rtc_ref ref;
    size_t dist_size;
    int rc = rollout_describe(t->rtc, t->runners[0].actor, &ref);
    if (rc < 0)
        return train_fail_rtc(t, rc);
    rc = train_fail_rtc(t, rtc_get(t->rtc, ref, RTC_FOREVER, &value));
    if (rc == 0 && (rc = rollout_description_of(&value, &t->spec, &dist_size)) < 0)
        train_fail(t, rc, "%s", rtc_env_error());
    (void)!rtc_release(t->rtc, ref);
    return rc;
}

static int make_learner(struct train *t)
{
    struct train_options *o = &t->options;
    size_t rows = (size_t)o->actors * o->rounds * o->fragment * t->spec->slots * t->spec->rows_max;
    int rc = ppo_fit(t->spec, &o->ppo, t->why, sizeof(t->why));
    if (rc < 0)
        return rc;
    if (rows == 0 || rows > 1u << 28)
        return train_fail(t, RTC_E_INVALID, "an iteration of %zu samples cannot be: 1 to 2^28 can",
                          rows);
    o->ppo.batch_max = (uint32_t)rows;
    o->ppo.seed = o->seed;
    rc = ppo_create(&o->ppo, nn_cpu_f32(), &t->ppo, t->why, sizeof(t->why));
    if (rc == 0 && (rc = train_batch_init(&t->batch, t->spec, rows)) < 0)
        train_fail(t, rc, "out of memory for %zu samples", rows);
    t->infos = calloc((size_t)TRAIN_EPISODES * t->spec->n_infos, sizeof(double));
    t->info_means = calloc(t->spec->n_infos, sizeof(double));
    if (rc == 0 && (!t->infos || !t->info_means))
        rc = train_fail(t, RTC_E_NOMEM, "out of memory");
    return rc;
}

static int open_team(struct train *t)
{
    const struct train_options *o = &t->options;
    struct team_options team = {.learners = o->learners,
                                .cpus = o->learner_cpus > 0 ? o->learner_cpus : RTC_NONE,
                                .spec = t->spec,
                                .config = &o->ppo,
                                .always = o->learners_always,
                                .on_note = o->on_note,
                                .arg = o->arg};
    return o->learners > 1 ? train_fail_rtc(t, team_open(t->rtc, &team, &t->team)) : 0;
}

int train_open(struct rtc *rtc, const struct train_options *options, struct train **ret_train)
{
    struct train *t = calloc(1, sizeof(*t));
    *ret_train = t;
    if (!t)
        return RTC_E_NOMEM;
    t->rtc = rtc;
    t->options = *options;
    if (!options->window || options->window > TRAIN_EPISODES)
        t->options.window = TRAIN_EPISODES;
    if (!options->actors || options->actors > TRAIN_ACTORS_MAX || !options->rounds ||
        !options->fragment || options->lag > 64 || options->learners > TEAM_MAX)
        return train_fail(
            t, RTC_E_INVALID,
            "a training has 1 to %d actors, 1 to %u learners, and fragments of at least a step; "
            "samples are at most 64 updates behind",
            TRAIN_ACTORS_MAX, TEAM_MAX);
    t->runners = calloc(options->actors, sizeof(t->runners[0]));
    t->calls = calloc((size_t)calls_of(t) * (options->lag + 1), sizeof(t->calls[0]));
    t->owners = calloc((size_t)calls_of(t) * (options->lag + 1), sizeof(t->owners[0]));
    t->open = calloc(options->actors, sizeof(t->open[0]));
    t->env_config = *options->env_config;
    t->options.env_config = &t->env_config;
    if (!t->runners || !t->calls || !t->owners || !t->open)
        return train_fail(t, RTC_E_NOMEM, "out of memory");
    int rc = start_actors(t);
    if (rc == 0)
        rc = learn_spec(t);
    if (rc == 0)
        rc = make_learner(t);
    return rc < 0 ? rc : open_team(t);
}

void train_end_actor(struct train *t, uint32_t i)
{
    (void)!rtc_actor_kill(t->rtc, t->runners[i].actor, 0); /* in the midst of a fragment */
    (void)!rtc_actor_release(t->rtc, t->runners[i].actor);
    t->runners[i] = (struct runner){0};
}

void train_close(struct train **train)
{
    struct train *t = *train;
    if (!t)
        return;
    for (uint64_t i = t->done; i < t->asked; i++) {
        for (uint32_t k = 0; k < calls_of(t); k++) {
            rtc_ref ref = t->calls[call_at(t, i, k)];
            if (ref.seq)
                (void)!rtc_release(t->rtc, ref);
        }
    }
    for (uint32_t i = 0; t->runners && i < t->options.actors; i++) {
        if (t->runners[i].actor.seq)
            train_end_actor(t, i);
    }
    if (t->has_weights)
        (void)!rtc_release(t->rtc, t->weights);
    train_drop_open(t);
    free(t->open);
    team_close(&t->team);
    train_batch_fini(&t->batch);
    ppo_destroy(&t->ppo);
    free(t->spec);
    free(t->runners);
    free(t->calls);
    free(t->owners);
    free(t->infos);
    free(t->info_means);
    free(t);
    *train = NULL;
}

/* ---- Asking ---- */

int train_publish(struct train *t)
{
    int64_t n = (int64_t)(ppo_weights_size(t->ppo) / sizeof(float));
    void *data;
    rtc_ref ref;
    int rc = rtc_create(t->rtc, RTC_F32, &n, 1, &data, &ref);
    if (rc < 0)
        return train_fail_rtc(t, rc);
    ppo_weights_get(t->ppo, data);
    rc = rtc_seal(t->rtc, ref);
    if (t->has_weights) /* calls that are out hold theirs */
        (void)!rtc_release(t->rtc, t->weights);
    t->weights = ref;
    t->has_weights = true;
    return train_fail_rtc(t, rc);
}

uint32_t train_owner(const struct train *t, uint32_t k)
{
    uint32_t n = t->options.actors;
    for (uint32_t i = 0; i < n; i++) {
        if (!t->runners[(k + i) % n].away)
            return (k + i) % n;
    }
    return k % n;
}

static int ask(struct train *t, uint32_t actor, size_t at)
{
    t->owners[at] = actor;
    return train_fail_rtc(t, rollout_collect(t->rtc, t->runners[actor].actor, (uint32_t)t->done,
                                             t->weights, t->options.fragment, &t->calls[at]));
}

/* Those that had no place and have one again. */
static int welcome(struct train *t)
{
    struct rtc_actor_info info;
    for (uint32_t i = 0; i < t->options.actors; i++) {
        struct runner *runner = &t->runners[i];
        if (!runner->away || runner->retired)
            continue;
        int rc = rtc_actor_info(t->rtc, runner->actor, &info);
        if (rc < 0)
            return train_fail_rtc(t, rc);
        runner->away = info.state != RTC_ACTOR_ALIVE;
        if (!runner->away)
            train_note(t, "a rollout actor has a place again, and makes its own fragments");
    }
    return 0;
}

/* All iterations that may be out by now. */
static int ask_more(struct train *t)
{
    int rc = t->has_weights ? 0 : train_publish(t);
    if (rc == 0)
        rc = welcome(t);
    for (; rc == 0 && t->asked <= t->done + t->options.lag; t->asked++) {
        for (uint32_t k = 0; rc == 0 && k < calls_of(t); k++)
            rc = ask(t, train_owner(t, k), call_at(t, t->asked, k));
    }
    return rc;
}

int train_ask_anew(struct train *t, uint32_t actor, bool all)
{
    int rc = 0;
    for (uint64_t i = t->done; i < t->asked; i++) {
        for (uint32_t k = 0; rc == 0 && k < calls_of(t); k++) {
            size_t at = call_at(t, i, k);
            if (!t->calls[at].seq || (!all && t->owners[at] != actor))
                continue;
            (void)!rtc_cancel(t->rtc, t->calls[at], 0);
            (void)!rtc_release(t->rtc, t->calls[at]);
            t->calls[at].seq = 0;
            rc = ask(t, train_owner(t, k), at);
        }
    }
    return rc;
}

/* ---- Taking ---- */

static void take_episodes(struct train *t, const struct rollout_result *r)
{
    size_t n = t->spec->n_infos;
    for (size_t i = 0; i < r->n_episodes; i++) {
        if (r->episodes[i].ends & RTC_ENV_LOST)
            continue;
        size_t at = t->progress.episodes++ % t->options.window;
        t->returns[at] = r->sums[i * n];
        t->lengths[at] = r->sums[i * n + 1];
        memcpy(&t->infos[at * n], &r->sums[i * n], n * sizeof(double));
        t->progress.iteration_episodes++;
    }
}

static void take_counts(struct train *t, struct runner *runner, const struct rollout_result *r,
                        const struct fragment *f)
{
    uint64_t out = t->lent ? (uint64_t)calls_of(t) * (t->options.lag + 1) : 0;
    bool restarted = f->head->number + out < runner->fragments;
    t->progress.lag += (double)(t->done - f->head->version);
    if (!restarted && f->head->number < runner->fragments)
        return; /* later ones came before, and have told of it */
    if (restarted) {
        t->progress.restarts++;
        *runner = (struct runner){.actor = runner->actor};
        train_note(t,
                   "a rollout actor died, and was started again; it goes on with other episodes");
    }
    if (r->lost == runner->lost + 1)
        train_note(t, "an episode was lost: %s", r->lost_why);
    else if (r->lost > runner->lost)
        train_note(t, "%lld episodes were lost: %s", (long long)(r->lost - runner->lost),
                   r->lost_why);
    t->progress.lost += (uint64_t)(r->lost - runner->lost);
    if (runner->opens && (uint64_t)r->opens > runner->opens)
        t->progress.opens_again += (uint64_t)r->opens - runner->opens;
    t->progress.policy_s += (double)(r->policy_ns - runner->policy_ns) * 1e-9;
    t->progress.env_s += (double)(r->env_ns - runner->env_ns) * 1e-9;
    runner->fragments = f->head->number + 1;
    runner->opens = (uint64_t)r->opens;
    runner->lost = r->lost;
    runner->policy_ns = r->policy_ns;
    runner->env_ns = r->env_ns;
    runner->failures = 0;
}

static int take(struct train *t, struct runner *runner, const struct rtc_value *value)
{
    struct rollout_result r;
    struct fragment f;
    struct rtc_value object;
    struct rtc_array array;
    int rc = rollout_result_of(value, &r);
    if (rc == 0 && r.n_infos != t->spec->n_infos)
        rc = RTC_E_TYPE;
    if (rc < 0)
        return train_fail(t, rc, "a rollout actor answered with something else than a fragment");
    rc = rtc_get(t->rtc, r.fragment, RTC_FOREVER, &object);
    if (rc == 0)
        rc = rtc_value_array(&object, &array);
    if (rc < 0)
        return train_fail_rtc(t, rc);
    if ((rc = fragment_read(array.data, array.size, &f)) < 0)
        return train_fail(t, rc, "%s", rtc_env_error());
    take_counts(t, runner, &r, &f);
    take_episodes(t, &r);
    int64_t samples = train_batch_add(&t->batch, &f, &t->options.ppo);
    if (samples < 0)
        return train_fail(t, (int)samples, "%s", rtc_env_error());
    t->progress.samples += (uint64_t)samples;
    t->progress.iteration_samples += (uint32_t)samples;
    return t->team ? train_fail_rtc(t, team_take(t->team, r.fragment)) : 0;
}

/* One that failed is asked again, of the policy of now: what was lost is a fragment. */
static int ask_again(struct train *t, size_t at, int rc)
{
    struct runner *runner = &t->runners[t->owners[at]];
    train_fail_rtc(t, rc);
    if (rc == RTC_E_ACTOR_DEAD || rc == RTC_E_DISCONNECTED ||
        ++runner->failures > TRAIN_FAILURES_MAX)
        return rc;
    train_note(t, "a fragment was lost, and is made again: %s", t->why);
    (void)!rtc_release(t->rtc, t->calls[at]);
    t->calls[at].seq = 0;
    return ask(t, t->owners[at], at);
}

/* An actor that does not answer may have no place: its host is gone, and no other has room for it.
 * Then others do its work. */
static int look_after(struct train *t, uint32_t actor)
{
    struct runner *runner = &t->runners[actor];
    struct rtc_actor_info info;
    int rc = rtc_actor_info(t->rtc, runner->actor, &info);
    if (rc < 0)
        return train_fail_rtc(t, rc);
    bool placeless = info.state == RTC_ACTOR_PENDING || info.state == RTC_ACTOR_RESTARTING;
    runner->waits = placeless ? runner->waits + 1 : 0;
    if (runner->waits < PATIENCE)
        return 0;
    runner->away = true;
    if (t->runners[train_owner(t, actor)].away) {
        runner->away = false;
        if (runner->waits == PATIENCE)
            train_note(t, "no rollout actor has a place: %s", info.text);
        return 0;
    }
    train_note(t, "a rollout actor has no place, and others make its fragments: %s", info.text);
    t->lent = true;
    return train_ask_anew(t, actor, false);
}

static int gather_one(struct train *t, uint32_t k, const volatile int *stop)
{
    size_t at = call_at(t, t->done, k);
    struct rtc_value value;
    for (uint32_t looks = 1;; looks++) {
        int rc = rtc_get(t->rtc, t->calls[at], RTC_MS(LOOK_MS), &value);
        if (stop && *stop)
            return train_fail(t, RTC_E_CANCELLED, "it was stopped");
        if (rc == 0)
            break;
        if (rc != RTC_E_TIMEOUT)
            rc = ask_again(t, at, rc);
        else
            rc = looks % LOOKS == 0 ? look_after(t, t->owners[at]) : 0;
        if (rc < 0)
            return rc;
    }
    int rc = take(t, &t->runners[t->owners[at]], &value);
    if (rc < 0)
        return rc;
    (void)!rtc_release(t->rtc, t->calls[at]);
    t->calls[at].seq = 0;
    return 0;
}

static int gather(struct train *t, const volatile int *stop)
{
    int rc = 0;
    for (uint32_t k = 0; rc == 0 && k < calls_of(t); k++)
        rc = gather_one(t, k, stop);
    return rc;
}

/* ---- An iteration ---- */

static void sum_up(struct train *t)
{
    struct train_progress *p = &t->progress;
    uint64_t window = t->options.window, n = p->episodes < window ? p->episodes : window;
    p->mean_return = p->mean_length = n ? 0 : NAN;
    p->min_return = n ? INFINITY : NAN;
    p->max_return = n ? -INFINITY : NAN;
    for (uint64_t i = 0; i < n; i++) {
        p->mean_return += t->returns[i] / (double)n;
        p->mean_length += t->lengths[i] / (double)n;
        p->min_return = fmin(p->min_return, t->returns[i]);
        p->max_return = fmax(p->max_return, t->returns[i]);
    }
}

const double *train_infos(const struct train *t)
{
    uint64_t window = t->options.window, seen = t->progress.episodes;
    uint64_t n = seen < window ? seen : window;
    for (uint32_t k = 0; k < t->spec->n_infos; k++) {
        t->info_means[k] = 0;
        for (uint64_t i = 0; i < n; i++)
            t->info_means[k] += t->infos[i * t->spec->n_infos + k] / (double)n;
    }
    return n ? t->info_means : NULL;
}

void train_go_on(struct train *t, const struct train_counts *counts)
{
    t->done = t->asked = counts->iterations;
    t->progress.samples = counts->samples;
    t->progress.episodes = 0; /* means are of those that are seen from now on */
    t->episodes_before = counts->episodes;
}

static int learn(struct train *t)
{
    struct ppo_batch batch = train_batch_view(&t->batch);
    struct ppo_stats *stats = &t->progress.stats;
    double progress = (double)t->done / (double)t->options.iterations;
    return t->team ? train_fail_rtc(t, team_update(t->team, t->ppo, &batch, progress, stats))
                   : ppo_update(t->ppo, &batch, progress, stats);
}

int train_iterate(struct train *t, const volatile int *stop, struct train_progress *ret_progress)
{
    struct train_progress *p = &t->progress;
    double began = report_now(CLOCK_MONOTONIC);
    p->iteration_samples = p->iteration_episodes = 0;
    p->policy_s = p->env_s = p->lag = 0;
    t->batch.n = 0;
    int rc = ask_more(t);
    if (rc == 0)
        rc = gather(t, stop);
    if (rc < 0)
        return rc;
    double gathered = report_now(CLOCK_MONOTONIC);
    if ((rc = train_ask_open(t)) < 0 || (rc = learn(t)) < 0)
        return rc;
    p->iteration = ++t->done;
    rc = train_publish(t);
    if (rc == 0 && t->options.lag > 0)
        rc = ask_more(t);
    p->wait_s = gathered - began;
    p->update_s = report_now(CLOCK_MONOTONIC) - gathered;
    p->iteration_s = report_now(CLOCK_MONOTONIC) - began;
    p->lag /= calls_of(t);
    sum_up(t);
    *ret_progress = *p;
    ret_progress->episodes += t->episodes_before;
    return rc;
}
