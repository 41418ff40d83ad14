/* From what is asked for and what there is to what is done: a pure function. */
#ifndef ACTORS_CONFIG_PLAN_H
#define ACTORS_CONFIG_PLAN_H

#include "actors/config/ppo.h"

#define PPO_PLAN_LINES_MAX 24u
#define PPO_PLAN_LINE_MAX  256u

struct ppo_resources { /* of the cluster, or of this host */
    double cpus, gpus;
    uint64_t memory; /* bytes; 0: not known */
};

/* What the environment says of itself; all zero: not known yet, and estimated. */
struct ppo_shape {
    uint32_t observation; /* floats of an agent's */
    uint32_t actions;     /* outputs of the policy */
    uint32_t agents;      /* rows that an environment gives in a step */
    uint64_t env_bytes;   /* memory of an environment */
};

struct ppo_plan {
    /* Sampling: `rounds` fragments of each environment are an iteration. */
    uint32_t runners, envs_per_runner, envs;
    uint32_t fragment, rounds;
    uint64_t samples; /* runners × envs_per_runner × fragment × rounds: steps of environments */
    uint32_t policy_lag;
    /* Learning */
    uint32_t learners, epochs;
    uint32_t minibatch;   /* samples */
    uint64_t minibatches; /* of an epoch */
    uint64_t updates;     /* of an iteration */
    uint64_t parameters;  /* of the networks, as far as known */
    /* Resources */
    double cpus, cpus_per_runner, cpus_per_learner, gpus_per_learner;
    uint64_t store; /* bytes; 0: what rtc chooses */
    uint64_t memory_runner, memory_env, memory_learner, memory_batch, memory_all; /* estimates */
    /* How long */
    uint64_t iterations, eval_interval, checkpoint_interval; /* intervals: 0: none */
    /* What is other than it was asked for, and rules that were applied: a line each. */
    uint32_t n_lines;
    char lines[PPO_PLAN_LINES_MAX][PPO_PLAN_LINE_MAX];
};

/* Fills the plan; never refuses. The rules, each told in a line where it changes something:
 *
 * - Simulations of SUMO are never more than max_concurrent_envs, evaluation's included: fewer
 *   environments for each rollout actor, then fewer rollout actors.
 * - Fewer CPUs than asked for: as many rollout actors, which share them, so that a run's numbers do
 *   not depend on the machine. Fewer GPUs: learners share them, or learn on CPUs.
 * - A fragment is rollout_fragment_length, or batch / environments rounded up. Where whole rounds of
 *   fragments do not give the batch, fragments are shortened so that as many rounds are the least
 *   that reaches it; all samples are used.
 * - What is left of an epoch behind its last whole minibatch is left out: each epoch shuffles anew. */
void ppo_plan_make(const struct ppo_settings *config, const struct ppo_resources *resources,
                   const struct ppo_shape *shape, struct ppo_plan *ret_plan);
/* What --dry-run prints. `config` may say more than the plan (its name, what it trains on). */
void ppo_plan_write(const struct ppo_settings *config, const struct ppo_plan *plan, FILE *file);

#endif
