#include "actors/config/plan.h"

#include <stdarg.h>
#include <string.h>

#include "actors/config/text.h"

/* Measured: a rollout actor or learner without its arrays; a SUMO simulation over libsumo, its
 * shared pages counted once; what classic control takes. */
#define PROCESS_BYTES (16ull << 20)
#define SUMO_BYTES    (40ull << 20)
#define ENV_BYTES     4096ull

#define LEARNER_ROWS 64u /* of a minibatch, that a learner of several wants */
#define LEARNERS_MAX 16u /* that are not asked for */

#define USUAL_OBSERVATION 33u /* a signal with eight lanes */
#define USUAL_ACTIONS     8u
#define USUAL_ROW         14u /* of an observation that is a matrix: a vehicle */

__attribute__((format(printf, 2, 3))) static void say(struct ppo_plan *p, const char *fmt, ...)
{
    va_list args;
    if (p->n_lines == PPO_PLAN_LINES_MAX)
        return;
    va_start(args, fmt);
    vsnprintf(p->lines[p->n_lines++], PPO_PLAN_LINE_MAX, fmt, args);
    va_end(args);
}

static const char *s_if(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* ---- Environments ---- */

static void place_environments(const struct ppo_settings *c, struct ppo_plan *p)
{
    uint64_t runners = c->num_env_runners > 0 ? (uint64_t)c->num_env_runners : 1;
    uint64_t each = (uint64_t)c->num_envs_per_env_runner;
    uint64_t most = UINT64_MAX;
    if (c->has_sumo && c->sumo.max_concurrent_envs != CONFIG_NONE)
        most = (uint64_t)c->sumo.max_concurrent_envs;
    if (c->num_env_runners == 0)
        say(p, "num_env_runners 0: one rollout actor samples, in a process of its own");
    uint64_t asked = runners, asked_each = each;
    if (runners * each > most)
        each = most / runners > 0 ? most / runners : 1;
    if (runners * each > most)
        runners = most;
    if (runners != asked || each != asked_each)
        say(p, "max_concurrent_envs %llu: %llu × %llu environments instead of %llu × %llu",
            (unsigned long long)most, (unsigned long long)runners, (unsigned long long)each,
            (unsigned long long)asked, (unsigned long long)asked_each);
    p->runners = (uint32_t)runners;
    p->envs_per_runner = (uint32_t)each;
    p->envs = (uint32_t)(runners * each);
}

/* ---- Samples ---- */

static uint64_t batch_asked(const struct ppo_settings *c)
{
    uint64_t learners = c->num_learners > 1 ? (uint64_t)c->num_learners : 1;
    if (c->train_batch_size_per_learner != CONFIG_NONE)
        return (uint64_t)c->train_batch_size_per_learner * learners;
    return (uint64_t)c->train_batch_size;
}

static void place_samples(const struct ppo_settings *c, struct ppo_plan *p)
{
    uint64_t batch = batch_asked(c), fragment = divide_up(batch, p->envs);
    bool given = c->rollout_fragment_length != CONFIG_NONE;
    if (given)
        fragment = (uint64_t)c->rollout_fragment_length;
    uint64_t asked = fragment, rounds = divide_up(batch, fragment * p->envs);
    fragment = divide_up(batch, rounds * p->envs);
    p->fragment = (uint32_t)fragment;
    p->rounds = (uint32_t)rounds;
    p->samples = rounds * fragment * p->envs;
    if (given && fragment != asked)
        say(p,
            "rollout_fragment_length %llu becomes %llu: %u × %u × %llu does not divide "
            "train_batch_size %llu",
            (unsigned long long)asked, (unsigned long long)fragment, p->runners, p->envs_per_runner,
            (unsigned long long)asked, (unsigned long long)batch);
    if (p->samples != batch)
        say(p,
            "an iteration has %llu samples, the least of whole fragments that reaches "
            "train_batch_size %llu; all are learned from",
            (unsigned long long)p->samples, (unsigned long long)batch);
}

/* ---- Learning ---- */

/* Two take a network each, where policy and value have one each; more, or others, share a
 * minibatch's rows, and each of them wants enough of these. Where learners take turns with rollout
 * actors they have all cores; else one is beside them. */
static uint64_t learners_that_help(const struct ppo_settings *c, double cpus, uint64_t minibatch)
{
    uint64_t most = c->vf_share_layers ? 1 : 2, cores = cpus > 1 ? (uint64_t)cpus : 1;
    if (minibatch / LEARNER_ROWS > most)
        most = minibatch / LEARNER_ROWS;
    if (most > LEARNERS_MAX)
        most = LEARNERS_MAX;
    return c->max_policy_lag ? 1 : cores < most ? cores : most;
}

static void place_learning(const struct ppo_settings *c, const struct ppo_resources *have,
                           struct ppo_plan *p)
{
    uint64_t minibatch = (uint64_t)c->minibatch_size;
    double cpus = !isnan(c->num_cpus) && c->num_cpus > 0 && c->num_cpus < have->cpus ? c->num_cpus
                                                                                     : have->cpus;
    p->learners = c->num_learners > 0 ? (uint32_t)c->num_learners
                                      : (uint32_t)learners_that_help(c, cpus, minibatch);
    p->policy_lag = (uint32_t)c->max_policy_lag;
    p->epochs = (uint32_t)c->num_epochs;
    if (minibatch > p->samples) {
        say(p, "minibatch_size %llu becomes %llu: an iteration has no more samples",
            (unsigned long long)minibatch, (unsigned long long)p->samples);
        minibatch = p->samples;
    }
    if (p->learners > minibatch) {
        say(p, "num_learners %u becomes %llu: a minibatch has no more samples", p->learners,
            (unsigned long long)minibatch);
        p->learners = (uint32_t)minibatch;
    }
    p->minibatch = (uint32_t)minibatch;
    p->minibatches = p->samples / minibatch;
    p->updates = p->minibatches * p->epochs;
    if (p->samples % minibatch)
        say(p,
            "%llu of %llu samples are left out of each epoch, others each time: minibatch_size "
            "%llu does not divide them",
            (unsigned long long)(p->samples % minibatch), (unsigned long long)p->samples,
            (unsigned long long)minibatch);
}

/* ---- Resources ---- */

static void place_cpus(const struct ppo_settings *c, const struct ppo_resources *have,
                       struct ppo_plan *p)
{
    bool said = !isnan(c->num_cpus) && c->num_cpus > 0;
    double asked = said ? c->num_cpus : have->cpus, cpus = asked;
    if (have->cpus > 0 && cpus > have->cpus) {
        cpus = have->cpus;
        say(p, "num_cpus %g: there are %g, and it trains on them", asked, have->cpus);
    }
    p->cpus = cpus;
    p->cpus_per_runner = c->num_cpus_per_env_runner;
    p->cpus_per_learner = c->num_cpus_per_learner;
    /* Who takes turns needs no CPUs of his own. */
    double learning = p->policy_lag ? p->cpus_per_learner * p->learners : 0;
    double sampling = p->cpus_per_runner * p->runners, left = cpus - learning;
    if (cpus <= 0 || sampling + learning <= cpus)
        return;
    if (left < cpus / 2) { /* learners do not take it all */
        p->cpus_per_learner = cpus / 2 / p->learners;
        left = cpus / 2;
    }
    if (sampling > left)
        p->cpus_per_runner = left / p->runners;
    say(p, "%u rollout actors%s share %g CPUs, %.3g each: slower, with the same numbers",
        p->runners, p->policy_lag ? " beside the learners" : "", left, p->cpus_per_runner);
}

static void place_gpus(const struct ppo_settings *c, const struct ppo_resources *have,
                       struct ppo_plan *p)
{
    double each = c->num_gpus_per_learner * p->learners;
    double asked = c->num_gpus > each ? c->num_gpus : each, gpus = asked;
    if (gpus > have->gpus) {
        gpus = have->gpus;
        if (gpus <= 0)
            say(p, "num_gpus %g: there is none, and it learns on CPUs", asked);
        else
            say(p, "num_gpus %g: there %s %g, and %u learner%s learn%s on %s", asked,
                gpus > 1 ? "are" : "is", gpus, p->learners, p->learners > 1 ? "s" : "",
                p->learners > 1 ? "" : "s", gpus > 1 ? "them" : "it");
    }
    p->gpus_per_learner = gpus / p->learners;
}

/* Weights and biases of hidden layers and a head; policy and value apart unless they share. */
static uint64_t count_parameters(const struct ppo_settings *c, uint64_t in, uint64_t out)
{
    uint64_t body = 0, width = in;
    if (c->use_attention) { /* two embeddings of rows, then query, keys and values */
        uint64_t d = (uint64_t)c->attention_dim;
        body = 2 * (USUAL_ROW + 1) * d + 3 * (d + 1) * d;
        width = 2 * d;
    }
    for (uint32_t i = 0; i < c->fcnet_hiddens.n; i++) {
        body += (width + 1) * (uint64_t)c->fcnet_hiddens.at[i];
        width = (uint64_t)c->fcnet_hiddens.at[i];
    }
    return (c->vf_share_layers ? 1 : 2) * body + (width + 1) * (out + 1);
}

static void place_memory(const struct ppo_settings *c, const struct ppo_resources *have,
                         const struct ppo_shape *shape, struct ppo_plan *p)
{
    uint64_t seen = shape && shape->observation ? shape->observation : USUAL_OBSERVATION;
    uint64_t actions = shape && shape->actions ? shape->actions : USUAL_ACTIONS;
    uint64_t agents = shape && shape->agents ? shape->agents : 1;
    uint64_t usual = c->has_sumo ? SUMO_BYTES : ENV_BYTES;
    char a[24], b[24];
    p->parameters = count_parameters(c, seen, actions);
    p->memory_env = shape && shape->env_bytes ? shape->env_bytes : usual;
    p->memory_runner = PROCESS_BYTES + 4 * p->parameters;
    /* Observations, the mask, and action, probability, reward, value, advantage, return, ends. */
    p->memory_batch = p->samples * agents * (4 * seen + actions + 32) * (1 + p->policy_lag);
    p->memory_learner = PROCESS_BYTES + 16 * p->parameters + p->memory_batch / p->learners;
    p->memory_all = p->runners * p->memory_runner + p->envs * p->memory_env +
                    p->learners * p->memory_learner + p->memory_batch;
    p->store = c->object_store_memory != CONFIG_NONE ? (uint64_t)c->object_store_memory : 0;
    if (have->memory && p->store > have->memory / 2) {
        say(p, "object_store_memory %s becomes %s: half of what there is",
            config_bytes_text(p->store, a, sizeof(a)),
            config_bytes_text(have->memory / 2, b, sizeof(b)));
        p->store = have->memory / 2;
    }
    uint64_t most = have->memory;
    if (c->memory != CONFIG_NONE && (!most || (uint64_t)c->memory < most))
        most = (uint64_t)c->memory;
    if (c->memory != CONFIG_NONE && have->memory && (uint64_t)c->memory > have->memory)
        say(p, "memory %s: there is %s", config_bytes_text((uint64_t)c->memory, a, sizeof(a)),
            config_bytes_text(have->memory, b, sizeof(b)));
    if (most && p->memory_all > most)
        say(p, "about %s will be needed, and there is %s: fewer environments would fit",
            config_bytes_text(p->memory_all, a, sizeof(a)), config_bytes_text(most, b, sizeof(b)));
}

static void place_length(const struct ppo_settings *c, struct ppo_plan *p)
{
    p->iterations = (uint64_t)c->num_iterations;
    p->eval_interval = c->eval_interval != CONFIG_NONE ? (uint64_t)c->eval_interval : 0;
    p->checkpoint_interval =
        c->checkpoint_interval != CONFIG_NONE ? (uint64_t)c->checkpoint_interval : 0;
    if (c->stop_timesteps == CONFIG_NONE)
        return;
    uint64_t enough = divide_up((uint64_t)c->stop_timesteps, p->samples);
    if (enough < p->iterations)
        p->iterations = enough;
}

void ppo_plan_make(const struct ppo_settings *config, const struct ppo_resources *resources,
                   const struct ppo_shape *shape, struct ppo_plan *ret_plan)
{
    memset(ret_plan, 0, sizeof(*ret_plan));
    place_environments(config, ret_plan);
    place_samples(config, ret_plan);
    place_learning(config, resources, ret_plan);
    place_cpus(config, resources, ret_plan);
    place_gpus(config, resources, ret_plan);
    place_memory(config, resources, shape, ret_plan);
    place_length(config, ret_plan);
}

/* ---- As text ---- */

static void write_memory(const struct ppo_plan *p, FILE *file)
{
    char all[24], runner[24], env[24], learner[24], batch[24], store[24];
    config_bytes_text(p->memory_all, all, sizeof(all));
    fprintf(file,
            "memory      about %s: %u × %s of rollout actors, %u × %s of environments, %u × %s of "
            "learners, %s of samples in the store\n",
            all, p->runners, config_bytes_text(p->memory_runner, runner, sizeof(runner)), p->envs,
            config_bytes_text(p->memory_env, env, sizeof(env)), p->learners,
            config_bytes_text(p->memory_learner, learner, sizeof(learner)),
            config_bytes_text(p->memory_batch, batch, sizeof(batch)));
    if (p->store)
        fprintf(file, "store       %s\n", config_bytes_text(p->store, store, sizeof(store)));
}

static void write_length(const struct ppo_settings *c, const struct ppo_plan *p, FILE *file)
{
    fprintf(file, "length      %llu iterations, %llu samples", (unsigned long long)p->iterations,
            (unsigned long long)(p->iterations * p->samples));
    if (p->eval_interval)
        fprintf(file, "; %lld episodes of evaluation every %llu", (long long)c->eval_episodes,
                (unsigned long long)p->eval_interval);
    if (p->checkpoint_interval)
        fprintf(file, "; a checkpoint every %llu", (unsigned long long)p->checkpoint_interval);
    fputc('\n', file);
}

void ppo_plan_write(const struct ppo_settings *c, const struct ppo_plan *p, FILE *file)
{
    const char *what = c->env[0] ? c->env : c->sumo.sumocfg_file[0] ? c->sumo.sumocfg_file : "SUMO";
    fprintf(file, "environment %s%s%s\n", what, c->preset[0] ? ", preset " : "", c->preset);
    fprintf(file, "actors      %u rollout actor%s × %u environment%s, %u learner%s\n", p->runners,
            s_if(p->runners), p->envs_per_runner, s_if(p->envs_per_runner), p->learners,
            s_if(p->learners));
    fprintf(file, "CPUs        %g: %.3g a rollout actor, %.3g a learner%s; GPUs %g a learner\n",
            p->cpus, p->cpus_per_runner, p->cpus_per_learner,
            p->policy_lag ? "" : " (they take turns)", p->gpus_per_learner);
    fprintf(
        file,
        "sampling    %llu samples an iteration: %u × %u × %u steps, %u round%s; policy lag %u\n",
        (unsigned long long)p->samples, p->runners, p->envs_per_runner, p->fragment, p->rounds,
        s_if(p->rounds), p->policy_lag);
    fprintf(file, "learning    %u epochs × %llu minibatches of %u: %llu updates an iteration; %s\n",
            p->epochs, (unsigned long long)p->minibatches, p->minibatch,
            (unsigned long long)p->updates, c->semantics == PPO_LIKE_CLEANRL ? "cleanrl" : "rllib");
    fprintf(file, "network     about %llu parameters\n", (unsigned long long)p->parameters);
    write_memory(p, file);
    write_length(c, p, file);
    for (uint32_t i = 0; i < p->n_lines; i++)
        fprintf(file, "note        %s\n", p->lines[i]);
}
