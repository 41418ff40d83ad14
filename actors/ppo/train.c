/* The driver's loop: calls to actors that are out, what came back, the update. */
#include "actors/ppo/train.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/ppo/act.h"
#include "actors/ppo/batch.h"
#include "actors/ppo/collect.h"
#include "actors/ppo/team.h"
#include "actors/report/clock.h"
#include "actors/rollout/rollout.h"

#define FAILURES_MAX 20 /* of an actor in a row; then the run ends */
#define WHY_MAX      1024

struct runner {
    rtc_actor actor;
    uint64_t fragments; /* that came */
    uint64_t opens;
    int64_t policy_ns, env_ns, lost;
    uint32_t failures; /* in a row */
};

struct train {
    struct rtc *rtc;
    struct train_options options;
    struct rtc_env_spec *spec;
    struct ppo *ppo;
    struct team *team; /* NULL: the driver learns alone */
    struct train_batch batch;
    struct runner *runners;
    rtc_ref *calls;           /* of the iterations that are out, in turn: rounds × actors each */
    uint64_t episodes_before; /* the run was resumed */
    uint64_t asked, done;     /* iterations: whose calls are out; that were learnt from */
    rtc_ref *episodes;        /* of each actor: where they are, behind iteration `done` */
    rtc_ref weights;          /* of version `done` */
    bool has_weights;
    struct train_progress progress;
    double returns[TRAIN_EPISODES], lengths[TRAIN_EPISODES];
    double *infos, *info_means; /* TRAIN_EPISODES × n_infos; n_infos */
    char why[WHY_MAX];
};

__attribute__((format(printf, 3, 4))) static int fail(struct train *t, int rc, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->why, sizeof(t->why), fmt, args);
    va_end(args);
    return rc;
}

static int fail_rtc(struct train *t, int rc)
{
    return rc < 0 ? fail(t, rc, "%s", rtc_last_error()) : rc;
}

__attribute__((format(printf, 2, 3))) static void note(struct train *t, const char *fmt, ...)
{
    char text[WHY_MAX];
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

/* ---- Beginning ---- */

static int start_actors(struct train *t)
{
    const struct train_options *o = &t->options;
    struct rtc_options needs = {.cpus = o->cpus};
    struct rtc_actor_options actor_options = {
        .max_restarts = RTC_RETRY_FOREVER, .call_retries = RTC_RETRY_FOREVER, .needs = &needs};
    for (uint32_t i = 0; i < o->actors; i++) {
        struct rollout_options rollout = {.env = o->env,
                                          .config = o->env_config,
                                          .policy = ppo_policy.name,
                                          .policy_config = &o->ppo,
                                          .policy_config_size = sizeof(o->ppo),
                                          .seed = o->seed,
                                          .first_slot = i * o->env_config->slots,
                                          .groups = o->groups};
        int rc = rollout_create(t->rtc, &rollout, &actor_options, &t->runners[i].actor);
        if (rc < 0)
            return fail_rtc(t, rc);
    }
    return 0;
}

static int learn_spec(struct train *t)
{
    struct rtc_value value;
    rtc_ref ref;
    size_t dist_size;
    int rc = rollout_describe(t->rtc, t->runners[0].actor, &ref);
    if (rc < 0)
        return fail_rtc(t, rc);
    rc = fail_rtc(t, rtc_get(t->rtc, ref, RTC_FOREVER, &value));
    if (rc == 0 && (rc = rollout_description_of(&value, &t->spec, &dist_size)) < 0)
        fail(t, rc, "%s", rtc_env_error());
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
        return fail(t, RTC_E_INVALID, "an iteration of %zu samples cannot be: 1 to 2^28 can", rows);
    o->ppo.batch_max = (uint32_t)rows;
    o->ppo.seed = o->seed;
    rc = ppo_create(&o->ppo, nn_cpu_f32(), &t->ppo, t->why, sizeof(t->why));
    if (rc == 0 && (rc = train_batch_init(&t->batch, t->spec, rows)) < 0)
        fail(t, rc, "out of memory for %zu samples", rows);
    t->infos = calloc((size_t)TRAIN_EPISODES * t->spec->n_infos, sizeof(double));
    t->info_means = calloc(t->spec->n_infos, sizeof(double));
    if (rc == 0 && (!t->infos || !t->info_means))
        rc = fail(t, RTC_E_NOMEM, "out of memory");
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
    return o->learners > 1 ? fail_rtc(t, team_open(t->rtc, &team, &t->team)) : 0;
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
        return fail(t, RTC_E_INVALID,
                    "a training has 1 to %d actors, 1 to %u learners, and fragments of at least a "
                    "step; samples are at most 64 updates behind",
                    TRAIN_ACTORS_MAX, TEAM_MAX);
    t->runners = calloc(options->actors, sizeof(t->runners[0]));
    t->episodes = calloc(options->actors, sizeof(t->episodes[0]));
    t->calls = calloc((size_t)calls_of(t) * (options->lag + 1), sizeof(t->calls[0]));
    if (!t->runners || !t->calls || !t->episodes)
        return fail(t, RTC_E_NOMEM, "out of memory");
    int rc = start_actors(t);
    if (rc == 0)
        rc = learn_spec(t);
    if (rc == 0)
        rc = make_learner(t);
    return rc < 0 ? rc : open_team(t);
}

static void drop_episodes(struct train *t)
{
    for (uint32_t i = 0; t->episodes && i < t->options.actors; i++) {
        if (t->episodes[i].seq)
            (void)!rtc_release(t->rtc, t->episodes[i]);
        t->episodes[i].seq = 0;
    }
}

void train_close(struct train **train)
{
    struct train *t = *train;
    if (!t)
        return;
    for (uint64_t i = t->done; i < t->asked; i++) {
        for (uint32_t k = 0; k < calls_of(t); k++) {
            rtc_ref ref = t->calls[(i % (t->options.lag + 1)) * calls_of(t) + k];
            if (ref.seq)
                (void)!rtc_release(t->rtc, ref);
        }
    }
    for (uint32_t i = 0; t->runners && i < t->options.actors; i++) {
        if (!t->runners[i].actor.seq)
            continue;
        (void)!rtc_actor_kill(t->rtc, t->runners[i].actor, 0); /* in the midst of a fragment */
        (void)!rtc_actor_release(t->rtc, t->runners[i].actor);
    }
    if (t->has_weights)
        (void)!rtc_release(t->rtc, t->weights);
    drop_episodes(t);
    free(t->episodes);
    team_close(&t->team);
    train_batch_fini(&t->batch);
    ppo_destroy(&t->ppo);
    free(t->spec);
    free(t->runners);
    free(t->calls);
    free(t->infos);
    free(t->info_means);
    free(t);
    *train = NULL;
}

/* ---- Asking ---- */

/* The weights as an object: once for all actors of a version. */
static int publish(struct train *t)
{
    int64_t n = (int64_t)(ppo_weights_size(t->ppo) / sizeof(float));
    void *data;
    rtc_ref ref;
    int rc = rtc_create(t->rtc, RTC_F32, &n, 1, &data, &ref);
    if (rc < 0)
        return fail_rtc(t, rc);
    ppo_weights_get(t->ppo, data);
    rc = rtc_seal(t->rtc, ref);
    if (t->has_weights) /* calls that are out hold theirs */
        (void)!rtc_release(t->rtc, t->weights);
    t->weights = ref;
    t->has_weights = true;
    return fail_rtc(t, rc);
}

static rtc_ref *call_at(struct train *t, uint64_t iteration, uint32_t k)
{
    return &t->calls[(iteration % (t->options.lag + 1)) * calls_of(t) + k];
}

static int ask(struct train *t, uint32_t actor, rtc_ref *ret_ref)
{
    return fail_rtc(t, rollout_collect(t->rtc, t->runners[actor].actor, (uint32_t)t->done,
                                       t->weights, t->options.fragment, ret_ref));
}

/* All iterations that may be out by now. */
static int ask_more(struct train *t)
{
    int rc = t->has_weights ? 0 : publish(t);
    for (; rc == 0 && t->asked <= t->done + t->options.lag; t->asked++) {
        for (uint32_t k = 0; rc == 0 && k < calls_of(t); k++)
            rc = ask(t, k % t->options.actors, call_at(t, t->asked, k));
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
    bool restarted = f->head->number < runner->fragments;
    if (restarted) {
        t->progress.restarts++;
        *runner = (struct runner){.actor = runner->actor};
        note(t, "a rollout actor died, and was started again; it goes on with other episodes");
    }
    if (r->lost > runner->lost)
        note(t, "%lld episodes were lost: %s", (long long)(r->lost - runner->lost), r->lost_why);
    t->progress.lost += (uint64_t)(r->lost - runner->lost);
    if (runner->opens && (uint64_t)r->opens > runner->opens)
        t->progress.opens_again += (uint64_t)r->opens - runner->opens;
    t->progress.policy_s += (double)(r->policy_ns - runner->policy_ns) * 1e-9;
    t->progress.env_s += (double)(r->env_ns - runner->env_ns) * 1e-9;
    t->progress.lag += (double)(t->done - f->head->version);
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
        return fail(t, rc, "a rollout actor answered with something else than a fragment");
    rc = rtc_get(t->rtc, r.fragment, RTC_FOREVER, &object);
    if (rc == 0)
        rc = rtc_value_array(&object, &array);
    if (rc < 0)
        return fail_rtc(t, rc);
    if ((rc = fragment_read(array.data, array.size, &f)) < 0)
        return fail(t, rc, "%s", rtc_env_error());
    take_counts(t, runner, &r, &f);
    take_episodes(t, &r);
    int64_t samples = train_batch_add(&t->batch, &f, &t->options.ppo);
    if (samples < 0)
        return fail(t, (int)samples, "%s", rtc_env_error());
    t->progress.samples += (uint64_t)samples;
    t->progress.iteration_samples += (uint32_t)samples;
    return t->team ? fail_rtc(t, team_take(t->team, r.fragment)) : 0;
}

/* One that failed is asked again, of the policy of now: what was lost is a fragment. */
static int ask_again(struct train *t, uint32_t actor, rtc_ref *ref, int rc)
{
    struct runner *runner = &t->runners[actor];
    fail_rtc(t, rc);
    if (rc == RTC_E_ACTOR_DEAD || rc == RTC_E_DISCONNECTED || ++runner->failures > FAILURES_MAX)
        return rc;
    note(t, "a fragment was lost, and is made again: %s", t->why);
    (void)!rtc_release(t->rtc, *ref);
    ref->seq = 0;
    return ask(t, actor, ref);
}

static int gather(struct train *t, const volatile int *stop)
{
    for (uint32_t k = 0; k < calls_of(t);) {
        uint32_t actor = k % t->options.actors;
        rtc_ref *ref = call_at(t, t->done, k);
        struct rtc_value value;
        int rc = rtc_get(t->rtc, *ref, RTC_MS(100), &value);
        if (stop && *stop)
            return fail(t, RTC_E_CANCELLED, "it was stopped");
        if (rc == RTC_E_TIMEOUT)
            continue;
        if (rc < 0) {
            if ((rc = ask_again(t, actor, ref, rc)) < 0)
                return rc;
            continue;
        }
        if ((rc = take(t, &t->runners[actor], &value)) < 0)
            return rc;
        (void)!rtc_release(t->rtc, *ref);
        ref->seq = 0;
        k++;
    }
    return 0;
}

/* ---- Going on ---- */

/* While it is learnt, actors tell where their episodes are. */
static int ask_episodes(struct train *t)
{
    int rc = 0;
    drop_episodes(t);
    for (uint32_t i = 0; rc == 0 && t->options.lag == 0 && i < t->options.actors; i++)
        rc = rollout_save(t->rtc, t->runners[i].actor, &t->episodes[i]);
    return fail_rtc(t, rc);
}

int train_episodes(struct train *t, uint32_t actor, const void **ret_data, size_t *ret_size)
{
    struct rtc_value value;
    if (!t->episodes[actor].seq)
        return fail(t, RTC_E_NOT_FOUND, "it is not known where the episodes of an actor are");
    int rc = rtc_get(t->rtc, t->episodes[actor], RTC_FOREVER, &value);
    return fail_rtc(t, rc < 0 ? rc : rtc_value_bytes(&value, ret_data, ret_size));
}

uint32_t train_go_on_in(struct train *t, const void *const *data, const size_t *sizes)
{
    uint32_t failed = 0, n = t->options.actors;
    rtc_ref *refs = calloc(n, sizeof(*refs));
    for (uint32_t i = 0; refs && i < n; i++) {
        if (rollout_restore(t->rtc, t->runners[i].actor, data[i], sizes[i], &refs[i]) < 0)
            refs[i].seq = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct rtc_value value;
        if (refs && refs[i].seq && rtc_get(t->rtc, refs[i], RTC_FOREVER, &value) == 0) {
            (void)!rtc_release(t->rtc, refs[i]);
            continue;
        }
        failed++;
        note(t, "a rollout actor begins new episodes: %s",
             refs ? rtc_last_error() : "out of memory");
        if (refs && refs[i].seq)
            (void)!rtc_release(t->rtc, refs[i]);
    }
    free(refs);
    return failed;
}

double *train_window(struct train *t, size_t *ret_n)
{
    *ret_n = (size_t)t->options.window * t->spec->n_infos;
    return t->infos;
}

void train_window_is_back(struct train *t)
{
    t->progress.episodes = t->episodes_before;
    t->episodes_before = 0;
    for (uint32_t i = 0; i < t->options.window; i++) {
        t->returns[i] = t->infos[i * t->spec->n_infos];
        t->lengths[i] = t->infos[i * t->spec->n_infos + 1];
    }
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
    double progress = (double)t->done / (double)t->options.iterations;
    return t->team ? fail_rtc(t, team_update(t->team, t->ppo, &batch, progress, &t->progress.stats))
                   : ppo_update(t->ppo, &batch, progress, &t->progress.stats);
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
    if ((rc = ask_episodes(t)) < 0 || (rc = learn(t)) < 0)
        return rc;
    p->iteration = ++t->done;
    rc = publish(t);
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

/* ---- Evaluation ---- */

static int take_evaluation(struct train *t, rtc_ref ref, struct train_evaluation *e,
                           double *squares)
{
    struct rtc_value value;
    struct rollout_result r;
    int rc = rtc_get(t->rtc, ref, RTC_FOREVER, &value);
    if (rc < 0)
        return fail_rtc(t, rc);
    if (rollout_result_of(&value, &r) < 0 || r.n_infos != t->spec->n_infos)
        return fail(t, RTC_E_TYPE, "a rollout actor answered with something else than episodes");
    for (size_t i = 0; i < r.n_episodes; i++) {
        double x = r.sums[i * r.n_infos];
        e->mean_return += x;
        *squares += x * x;
        e->mean_length += r.sums[i * r.n_infos + 1];
        e->min_return = fmin(e->min_return, x);
        e->max_return = fmax(e->max_return, x);
        if (e->sums)
            memcpy(e->sums + e->episodes * r.n_infos, r.sums + i * r.n_infos,
                   r.n_infos * sizeof(double));
        e->episodes++;
    }
    return 0;
}

/* Of `actors` that share the episodes, one's. */
struct evaluation_part {
    uint32_t actor, actors, episodes;
    uint64_t seed;
};

static int ask_evaluation(struct train *t, const struct evaluation_part *p, rtc_ref *ret_ref)
{
    uint32_t n = p->episodes / p->actors + (p->actor < p->episodes % p->actors);
    return fail_rtc(t,
                    rollout_evaluate(t->rtc, t->runners[p->actor].actor, (uint32_t)t->done,
                                     t->weights, n, rtc_env_seed(p->seed, p->actor + 1), ret_ref));
}

/* One that failed, because a simulator died, is made again. */
static int await_evaluation(struct train *t, const struct evaluation_part *p, rtc_ref *ref,
                            struct train_evaluation *e, double *squares)
{
    int rc = take_evaluation(t, *ref, e, squares);
    for (int i = 0; i < FAILURES_MAX && rc < 0; i++) {
        if (rc == RTC_E_ACTOR_DEAD || rc == RTC_E_DISCONNECTED || rc == RTC_E_TYPE)
            return rc;
        note(t, "an evaluation was lost, and is made again: %s", t->why);
        (void)!rtc_release(t->rtc, *ref);
        ref->seq = 0;
        rc = ask_evaluation(t, p, ref);
        if (rc == 0)
            rc = take_evaluation(t, *ref, e, squares);
    }
    return rc;
}

int train_evaluate(struct train *t, uint32_t episodes, uint64_t seed,
                   struct train_evaluation *ret_evaluation)
{
    uint32_t actors = t->options.actors < episodes ? t->options.actors : episodes;
    struct evaluation_part part = {.actors = actors, .episodes = episodes, .seed = seed};
    struct train_evaluation e = {
        .min_return = INFINITY, .max_return = -INFINITY, .sums = ret_evaluation->sums};
    double squares = 0;
    rtc_ref *refs = calloc(actors + 1, sizeof(*refs));
    int rc = refs ? 0 : fail(t, RTC_E_NOMEM, "out of memory");
    if (rc == 0 && !t->has_weights)
        rc = publish(t);
    for (part.actor = 0; rc == 0 && part.actor < actors; part.actor++)
        rc = ask_evaluation(t, &part, &refs[part.actor]);
    for (part.actor = 0; refs && part.actor < actors; part.actor++) {
        rtc_ref *ref = &refs[part.actor];
        if (ref->seq && rc >= 0)
            rc = await_evaluation(t, &part, ref, &e, &squares);
        if (ref->seq)
            (void)!rtc_release(t->rtc, *ref);
    }
    free(refs);
    if (rc < 0 || !e.episodes)
        return rc;
    double n = e.episodes;
    e.mean_return /= n;
    e.mean_length /= n;
    e.deviation = sqrt(fmax(0, squares / n - e.mean_return * e.mean_return));
    *ret_evaluation = e;
    return 0;
}
