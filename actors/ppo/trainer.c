/* Fragments and updates in turn. */
#include "actors/ppo/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/ppo/collect.h"
#include "actors/ppo/pair.h"
#include "actors/report/clock.h"

struct ppo_trainer {
    struct ppo_training training;
    struct rtc_env *env;
    struct ppo_collector collector;
    struct ppo *ppo;
    struct ppo_pair *pair; /* NULL: one core learns */
    uint64_t iterations, iterations_max, episodes;
    double returns[PPO_EPISODES], lengths[PPO_EPISODES]; /* the last ones, in turn */
};

static void on_episode(void *arg, const struct rtc_env_episode *episode, const double *sums)
{
    struct ppo_trainer *trainer = arg;
    if (episode->ends & RTC_ENV_LOST)
        return;
    trainer->returns[trainer->episodes % PPO_EPISODES] = sums[0];
    trainer->lengths[trainer->episodes % PPO_EPISODES] = sums[1];
    trainer->episodes++;
}

static void on_soon(void *arg)
{
    struct ppo_trainer *trainer = arg;
    if (trainer->pair)
        ppo_pair_ready(trainer->pair);
}

static int open_all(struct ppo_trainer *trainer, char *why, size_t why_size)
{
    struct ppo_training *t = &trainer->training;
    struct rtc_env_config config = {.slots = t->slots, .options = t->options};
    while (config.n_options < 8 && t->options[config.n_options].key)
        config.n_options++;
    int rc = rtc_env_open(t->environment, &config, &trainer->env);
    if (rc < 0) {
        snprintf(why, why_size, "%s", rtc_env_error());
        return rc;
    }
    rc = ppo_collector_init(&trainer->collector, trainer->env, t->steps, &t->config, why, why_size);
    if (rc < 0)
        return rc;
    trainer->collector.on_episode = on_episode;
    trainer->collector.on_soon = on_soon;
    trainer->collector.arg = trainer;
    rc = ppo_create(&t->config, nn_cpu_f32(), &trainer->ppo, why, why_size);
    if (rc == 0 && !t->one_core && (rc = ppo_pair_open(trainer->ppo, &trainer->pair)) < 0)
        snprintf(why, why_size, "no thread could be started to learn");
    return rc;
}

int ppo_trainer_create(const struct ppo_training *training, struct ppo_trainer **ret_trainer,
                       char *why, size_t why_size)
{
    uint64_t fragment = (uint64_t)training->slots * training->steps;
    if (fragment == 0 || training->total < fragment) {
        snprintf(why, why_size,
                 "PPO: slots and steps are at least 1, and a run is at least one fragment: %u × %u "
                 "steps are more than a total of %llu",
                 training->slots, training->steps, (unsigned long long)training->total);
        return RTC_E_INVALID;
    }
    struct ppo_trainer *trainer = calloc(1, sizeof(*trainer));
    int rc = RTC_E_NOMEM;
    if (trainer) {
        trainer->training = *training;
        trainer->iterations_max = training->total / fragment;
        rc = open_all(trainer, why, why_size);
    } else {
        snprintf(why, why_size, "out of memory");
    }
    if (rc < 0)
        ppo_trainer_destroy(&trainer);
    else
        *ret_trainer = trainer;
    return rc;
}

void ppo_trainer_destroy(struct ppo_trainer **trainer)
{
    if (!trainer || !*trainer)
        return;
    ppo_collector_fini(&(*trainer)->collector);
    ppo_pair_close(&(*trainer)->pair);
    ppo_destroy(&(*trainer)->ppo);
    rtc_env_close(&(*trainer)->env);
    free(*trainer);
    *trainer = NULL;
}

static double mean(const double *x, uint64_t n)
{
    double sum = 0;
    uint64_t kept = n < PPO_EPISODES ? n : PPO_EPISODES;
    for (uint64_t i = 0; i < kept; i++)
        sum += x[i];
    return kept ? sum / (double)kept : NAN;
}

int ppo_trainer_iterate(struct ppo_trainer *trainer, struct ppo_progress *ret_progress, char *why,
                        size_t why_size)
{
    struct ppo_training *t = &trainer->training;
    struct ppo_batch batch;
    double start = report_now(CLOCK_MONOTONIC), collected;
    int rc = ppo_collect(&trainer->collector, trainer->ppo, &batch);
    if (rc < 0) {
        snprintf(why, why_size, "%s", rtc_env_error());
        return rc;
    }
    collected = report_now(CLOCK_MONOTONIC);
    struct ppo_progress progress = {0};
    double done = (double)trainer->iterations / (double)trainer->iterations_max;
    if (trainer->pair)
        rc = ppo_pair_update(trainer->pair, &batch, done, &progress.stats);
    else
        rc = ppo_update(trainer->ppo, &batch, done, &progress.stats);
    if (rc < 0) {
        snprintf(why, why_size, "the update failed");
        return rc;
    }
    progress.iterations = ++trainer->iterations;
    progress.steps = trainer->iterations * t->slots * t->steps;
    progress.episodes = trainer->episodes;
    progress.mean_return = mean(trainer->returns, trainer->episodes);
    progress.mean_length = mean(trainer->lengths, trainer->episodes);
    progress.collect_s = collected - start;
    progress.update_s = report_now(CLOCK_MONOTONIC) - collected;
    *ret_progress = progress;
    return 0;
}

bool ppo_trainer_done(const struct ppo_trainer *trainer)
{
    return trainer->iterations >= trainer->iterations_max;
}

struct ppo *ppo_trainer_ppo(struct ppo_trainer *trainer)
{
    return trainer->ppo;
}
