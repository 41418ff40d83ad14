/* The loop of a run, and what it writes. */
#include "actors/ppo/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "actors/report/clock.h"
#include "actors/report/notify.h"
#include "actors/report/tensorboard.h"
#include "actors/run/host.h"

/* X(column, value): of an iteration, beside what every row has. */
#define COLUMNS(X)                                                                                \
    X("episode_reward_mean", p->mean_return)                                                      \
    X("episode_reward_min", p->min_return)                                                        \
    X("episode_reward_max", p->max_return)                                                        \
    X("episode_len_mean", p->mean_length)                                                         \
    X("episodes_total", (double)p->episodes)                                                      \
    X("episodes_this_iter", (double)p->iteration_episodes)                                        \
    X("samples_per_second", p->iteration_samples / p->iteration_s)                                \
    X("time_wait_s", p->wait_s)                                                                   \
    X("time_update_s", p->update_s)                                                               \
    X("time_policy_s", p->policy_s)                                                               \
    X("time_env_s", p->env_s)                                                                     \
    X("policy_lag", p->lag)                                                                       \
    X("total_loss", p->stats.loss)                                                                \
    X("policy_loss", p->stats.policy_loss)                                                        \
    X("vf_loss", p->stats.value_loss)                                                             \
    X("entropy", p->stats.entropy)                                                                \
    X("kl", p->stats.kl > 0 ? p->stats.kl : p->stats.approx_kl)                                   \
    X("clip_fraction", p->stats.clip_fraction)                                                    \
    X("vf_clip_fraction", p->stats.value_clip_fraction)                                           \
    X("vf_explained_var", p->stats.explained_variance)                                            \
    X("grad_norm", p->stats.grad_norm)                                                            \
    X("cur_lr", p->stats.rate)                                                                    \
    X("entropy_coeff", p->stats.entropy_coef)                                                     \
    X("cur_kl_coeff", p->stats.kl_coef)                                                           \
    X("episodes_lost", (double)p->lost)                                                           \
    X("actor_restarts", (double)p->restarts)                                                      \
    X("env_restarts", (double)p->opens_again)                                                     \
    X("evaluation/episode_reward_mean", l->evaluation.episodes ? l->evaluation.mean_return : NAN) \
    X("evaluation/delay", l->delay)                                                               \
    X("cpu", l->host.cpu)                                                                         \
    X("memory_used", (double)l->host.used)

#define X(column, value) column,
static const char *const columns[] = {COLUMNS(X)};
#undef X
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

struct loop {
    struct ppo_run *run;
    struct rtc *rtc;
    struct train *train;
    struct run_rows *rows;
    struct ppo_saved saved;
    struct train_progress p;
    struct train_evaluation evaluation; /* of this iteration; episodes 0: there was none */
    double delay;                       /* its mean, s; NAN: none, or of another environment */
    struct run_host host;
    struct run_guard guard;
    uint64_t first; /* iteration it began behind */
    double began;
};

static void say(struct ppo_run *run, const char *sentence)
{
    run_line_note(&run->line, sentence);
}

static void on_note(void *arg, const char *sentence)
{
    say(arg, sentence);
}

static const struct ppo_settings *settings(const struct loop *l)
{
    return &l->run->loaded->config;
}

/* ---- Beginning ---- */

static int join(struct loop *l)
{
    char state[RUN_PATH_MAX];
    const struct ppo_settings *s = settings(l);
    struct rtc_config config = {.name = "rtc ppo",
                                .cpus = ceil(l->run->plan->cpus),
                                .state_dir = run_folder_in(l->run->folder, "state", state),
                                .store_bytes = s->object_store_memory == CONFIG_NONE
                                                   ? 0
                                                   : (uint64_t)s->object_store_memory};
    int rc = rtc_init(NULL, NULL, &config, &l->rtc);
    if (rc < 0)
        say(l->run, rtc_last_error());
    return rc;
}

static int open_rows(struct loop *l, char *why)
{
    struct run_rows_options o = {.folder = l->run->folder->path,
                                 .columns = columns,
                                 .n_columns = N_COLUMNS,
                                 .resume = l->first > 0,
                                 .iteration = l->first,
                                 .samples = l->saved.counts.samples,
                                 .tensorboard = settings(l)->tensorboard};
    if (run_rows_open(&o, &l->rows, why))
        return -1;
    struct report_tb *tb = run_rows_tensorboard(l->rows);
    static const char *const metrics[] = {"episode_reward_mean"};
    if (tb && !l->first)
        (void)!run_write_hparams(tb, (double)time(NULL), settings(l), metrics, 1);
    return 0;
}

static int start(struct loop *l)
{
    l->saved.best = -INFINITY;
    l->run->settings->train.on_note = on_note;
    l->run->settings->train.arg = l->run;
    if (join(l) < 0)
        return -1;
    int rc = train_open(l->rtc, &l->run->settings->train, &l->train);
    if (rc < 0)
        say(l->run, train_error(l->train));
    return rc;
}

static int begin(struct loop *l)
{
    char why[RUN_WHY_MAX] = "";
    if (start(l) < 0)
        return -1;
    bool episodes = false;
    int restored = 1;
    if (l->run->resume)
        restored = ppo_checkpoint_restore(l->run, l->train, NULL, &l->saved, &episodes, why);
    if (restored == 0) {
        char text[128];
        l->first = l->saved.counts.iterations;
        snprintf(text, sizeof(text), "it goes on behind iteration %llu, %s",
                 (unsigned long long)l->first,
                 episodes ? "in its open episodes" : "with new episodes");
        say(l->run, text);
    }
    if (restored < 0 || open_rows(l, why)) {
        say(l->run, why);
        return -1;
    }
    return 0;
}

/* ---- Each iteration ---- */

static double score_of(const struct loop *l)
{
    switch ((enum ppo_score)settings(l)->checkpoint_score_attr) {
    case PPO_SCORE_EVAL_REWARD: return l->evaluation.episodes ? l->evaluation.mean_return : NAN;
    case PPO_SCORE_LENGTH: return l->p.mean_length;
    case PPO_SCORE_REWARD: break;
    }
    return l->p.mean_return;
}

static void write_row(struct loop *l)
{
    const struct train_progress *p = &l->p;
    char why[RUN_WHY_MAX];
#define X(column, value) value,
    const double values[] = {COLUMNS(X)};
#undef X
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    struct run_row row = {.iteration = p->iteration,
                          .samples = p->samples,
                          .seconds = l->saved.seconds + report_now(CLOCK_MONOTONIC) - l->began,
                          .wall_time = (double)t.tv_sec + (double)t.tv_nsec * 1e-9,
                          .values = values};
    if (run_rows_add(l->rows, &row, why))
        say(l->run, why);
}

static void show(struct loop *l, const char *doing)
{
    const struct train_progress *p = &l->p;
    struct run_progress line = {.iteration = p->iteration,
                                .iterations = l->run->plan->iterations,
                                .samples = p->samples,
                                .seconds = report_now(CLOCK_MONOTONIC) - l->began,
                                .episode_return = p->mean_return,
                                .best_return = isfinite(l->saved.best) ? l->saved.best : NAN,
                                .length = p->mean_length,
                                .loss = p->stats.loss,
                                .lr = p->stats.rate,
                                .samples_per_second = p->iteration_samples / p->iteration_s,
                                .cpu = l->host.cpu,
                                .memory = l->host.used,
                                .memory_total = l->host.total,
                                .restarts = (uint32_t)(p->restarts + p->opens_again + p->lost),
                                .first = l->first,
                                .doing = doing};
    run_line_show(&l->run->line, &line);
}

static struct run_advice ask_guard(struct loop *l, struct run_guard *guard)
{
    const struct ppo_settings *s = settings(l);
    uint64_t target = isnan(s->target_memory_gb) ? 0 : (uint64_t)(s->target_memory_gb * (1u << 30));
    struct run_advice advice;
    run_guard_step(guard, &l->host, target, train_environments(l->train), l->run->plan->memory_env,
                   &advice);
    return advice;
}

/* Between two iterations. What is only kept is given back first; where that is not enough
 * environments go. */
static int guard_memory(struct loop *l)
{
    struct run_guard before = l->guard;
    struct run_advice advice = ask_guard(l, &l->guard);
    int rc = 0;
    if (advice.free_caches) {
        if ((rc = train_trim(l->train)) < 0 || !run_host_read(&l->host))
            return rc;
        advice = ask_guard(l, &before);
        if (advice.level != RUN_GUARD_SHED)
            say(l->run, "memory: caches were freed, which is enough for now");
        l->guard = before;
    }
    if (advice.say)
        say(l->run, advice.sentence);
    return advice.environments ? train_lower(l->train, advice.environments) : 0;
}

/* The episodes of a seed that the training does not draw from. */
static int evaluate_all(struct loop *l, uint32_t episodes)
{
    const struct rtc_env_spec *spec = train_spec(l->train);
    struct train_evaluation *e = &l->evaluation;
    *e = (struct train_evaluation){.sums = calloc((size_t)episodes * spec->n_infos, 8)};
    int rc =
        e->sums ? train_evaluate(l->train, episodes, ~(uint64_t)settings(l)->seed, e) : RTC_E_NOMEM;
    l->delay = NAN;
    for (uint32_t k = 0; rc == 0 && k < spec->n_infos; k++) {
        if (strcmp(spec->infos[k], "delay") != 0)
            continue;
        l->delay = 0;
        for (uint32_t i = 0; i < e->episodes; i++)
            l->delay += e->sums[i * spec->n_infos + k] / e->episodes;
    }
    free(e->sums);
    e->sums = NULL;
    return rc;
}

static int evaluate(struct loop *l)
{
    uint64_t every = l->run->plan->eval_interval;
    l->evaluation = (struct train_evaluation){0};
    l->delay = NAN;
    if (!every || l->p.iteration % every)
        return 0;
    char text[200], delay[40] = "";
    int rc = evaluate_all(l, (uint32_t)settings(l)->eval_episodes);
    if (rc < 0)
        return rc;
    if (!isnan(l->delay))
        snprintf(delay, sizeof(delay), ", delay %.2f s", l->delay);
    snprintf(text, sizeof(text),
             "evaluation after iteration %llu: return %.2f ± %.2f (%.2f to %.2f)%s, %u episodes",
             (unsigned long long)l->p.iteration, l->evaluation.mean_return, l->evaluation.deviation,
             l->evaluation.min_return, l->evaluation.max_return, delay, l->evaluation.episodes);
    say(l->run, text);
    return 0;
}

static void save(struct loop *l, bool final)
{
    char why[RUN_WHY_MAX];
    struct ppo_saved saved = l->saved;
    saved.counts = (struct train_counts){l->p.iteration, l->p.samples, l->p.episodes};
    saved.seconds += report_now(CLOCK_MONOTONIC) - l->began;
    if (ppo_checkpoint_save(l->run, l->train, &saved, score_of(l), final, why))
        say(l->run, why);
}

static bool is_end(const struct loop *l)
{
    return l->p.iteration >= l->run->plan->iterations ||
           (!isnan(settings(l)->stop_reward) && l->p.mean_return >= settings(l)->stop_reward);
}

static int go(struct loop *l)
{
    uint64_t every = l->run->plan->checkpoint_interval;
    int rc = 0;
    l->began = report_now(CLOCK_MONOTONIC);
    l->p.iteration = l->first;
    l->p.mean_return = l->p.mean_length = l->p.stats.loss = NAN;
    (void)run_host_read(&l->host);
    show(l, "starting");
    while (l->p.iteration < l->run->plan->iterations) {
        rc = train_iterate(l->train, l->run->stop, &l->p);
        if (rc < 0 || (rc = evaluate(l)) < 0)
            break;
        if (l->p.mean_return > l->saved.best)
            l->saved.best = l->p.mean_return;
        (void)run_host_read(&l->host);
        write_row(l);
        show(l, NULL);
        if (is_end(l))
            break;
        if (every && l->p.iteration % every == 0)
            save(l, false);
        if ((rc = guard_memory(l)) < 0)
            break;
    }
    if (rc < 0 && rc != RTC_E_CANCELLED)
        say(l->run, train_error(l->train));
    if (l->p.iteration > l->first && settings(l)->checkpoint_at_end)
        save(l, rc == 0);
    return rc;
}

/* ---- End ---- */

static const char *name_of(const struct train_settings *settings)
{
    const struct rtc_env_config *config = &settings->env_config;
    for (size_t i = 0; settings->sumo && i < config->n_options; i++) {
        if (strcmp(config->options[i].key, "scenario") == 0)
            return config->options[i].value;
    }
    return settings->train.env;
}

static void end(struct loop *l, int rc)
{
    struct run_progress line = {.iteration = l->p.iteration,
                                .iterations = l->run->plan->iterations,
                                .samples = l->p.samples,
                                .seconds = report_now(CLOCK_MONOTONIC) - l->began,
                                .episode_return = l->p.mean_return,
                                .best_return = isfinite(l->saved.best) ? l->saved.best : NAN,
                                .length = NAN,
                                .loss = l->p.stats.loss,
                                .lr = l->p.stats.rate,
                                .samples_per_second = NAN,
                                .cpu = NAN,
                                .first = l->first};
    const char *stopped = rc == RTC_E_CANCELLED ? "it goes on with --resume"
                          : rc < 0              ? "see above"
                                                : NULL;
    struct report_tb *tb = l->rows ? run_rows_tensorboard(l->rows) : NULL;
    if (tb)
        (void)!report_tb_hparams_end(tb, (double)time(NULL), rc == 0);
    if (settings(l)->plots && l->p.iteration > l->first) {
        const char *error = run_rows_plot(l->run->folder->path, name_of(l->run->settings));
        if (error && error[0])
            say(l->run, error);
    }
    run_line_end(&l->run->line, &line, l->run->folder->path, stopped);
    if (settings(l)->notify[0]) {
        char text[300];
        snprintf(text, sizeof(text), "%s: %llu iterations, return %.2f",
                 rc == 0 ? "Training completed" : "Training ended",
                 (unsigned long long)line.iteration, line.episode_return);
        const char *error =
            report_notify(settings(l)->notify, rc == 0 ? "end" : "failure", "rtc ppo", text);
        if (error)
            say(l->run, error);
    }
}

int ppo_run(struct ppo_run *run)
{
    struct loop l = {.run = run};
    int rc = begin(&l);
    if (rc == 0) {
        rc = go(&l);
        if (rc == 0 && (run->settings->sumo || run->settings->vehicles))
            ppo_compare(run, l.train);
        end(&l, rc);
    }
    run_rows_close(&l.rows);
    train_close(&l.train);
    if (l.rtc)
        rtc_shutdown(&l.rtc);
    return rc == 0 ? 0 : rc == RTC_E_CANCELLED ? 130 : 1;
}

int ppo_evaluate(struct ppo_run *run, const char *checkpoint, uint32_t episodes)
{
    struct loop l = {.run = run};
    char why[RUN_WHY_MAX] = "";
    int rc = start(&l);
    if (rc == 0 && ppo_checkpoint_restore(run, l.train, checkpoint ? checkpoint : "best", &l.saved,
                                          NULL, why)) {
        say(run, why);
        rc = -1;
    } else if (rc == 0) {
        rc = evaluate_all(&l, episodes);
        if (rc < 0)
            say(run, train_error(l.train));
    }
    if (rc == 0) {
        const struct train_evaluation e = l.evaluation;
        char delay[40] = "";
        if (!isnan(l.delay))
            snprintf(delay, sizeof(delay), ", delay %.2f s", l.delay);
        printf("iteration %llu: return %.2f ± %.2f (%.2f to %.2f)%s, length %.1f, %u episodes\n",
               (unsigned long long)l.saved.counts.iterations, e.mean_return, e.deviation,
               e.min_return, e.max_return, delay, e.mean_length, e.episodes);
        if (run->settings->sumo || run->settings->vehicles)
            ppo_compare(run, l.train);
    }
    train_close(&l.train);
    if (l.rtc)
        rtc_shutdown(&l.rtc);
    return rc == 0 ? 0 : 1;
}
