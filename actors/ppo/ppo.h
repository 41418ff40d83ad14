/* Proximal policy optimisation (Schulman et al. 2017): what a learner computes. Policy and value
 * estimate of rows, advantages, and the update; no cluster and no environment (those: collect.h).
 *
 * Two meanings of "PPO" are in wide use. ppo_defaults() sets all that they differ in; each part can
 * be set alone afterwards.
 *
 *   PPO_CLEANRL  as CleanRL's ppo.py: advantages standardised in each minibatch by their unbiased
 *                deviation; loss of values ½ max((V - R)², (V_old + clip(V - V_old) - R)²); the
 * rate falls linearly to 0; Adam's epsilon 1e-5; orthogonal weights; gradients clipped at 0.5;
 * truncation counts as termination (`bootstrap` false). PPO_RLLIB    as Ray RLlib's: advantages
 * standardised once in the batch, by their biased deviation; loss of values min((V - R)²,
 * value_clip): no gradient where V is off by more than its root; a penalty of kl_coef × KL(old ‖
 * new), kl_coef × 1.5 after an update whose mean was beyond 2 kl_target, × 0.5 below half of it; a
 * truncated episode goes on from the value of what was seen last; what is left behind the last
 * whole minibatch of an epoch is dropped (of RLlib's own versions: the older ones).
 *
 * Advantages are those of a fragment: what comes behind its last step is the value of the
 * observation there. Rows are one agent at one time; agents that share the policy are rows of one
 * batch.
 * Weights begin alike in both, orthogonal. Advantages are those of a fragment: what comes behind
 * its last step is the value of the observation there. Rows are one agent at one time; agents that
 * share the policy are rows of one batch.
 *
 * The same seed, batches and instruction set give the same bits. Thread: one at a time on a
 * learner. Blocks: never. Errors: RTC_E_NOMEM; RTC_E_INVALID with a sentence in `why`. */
#ifndef ACTORS_PPO_PPO_H
#define ACTORS_PPO_PPO_H

#include "actors/nn/nn.h"

#define PPO_HIDDEN_MAX 8

enum ppo_semantics { PPO_CLEANRL, PPO_RLLIB };
enum ppo_advantages { PPO_AS_THEY_ARE, PPO_IN_MINIBATCH, PPO_IN_BATCH };
enum ppo_value_loss {
    PPO_VALUE_PLAIN,    /* ½ (V - R)² */
    PPO_VALUE_NEAR_OLD, /* CleanRL's, within `clip` of the old value */
    PPO_VALUE_BOUNDED   /* RLlib's, at most value_clip */
};

struct ppo_config {
    /* What is seen and done: one of choices.n and n_numbers is 0. */
    uint32_t n_floats;
    struct nn_choices choices;
    uint32_t n_numbers; /* of an action, Gaussian; its log sigma begins at log_sigma */
    double log_sigma;

    /* An observation that is a matrix has `elements` rows of `element` numbers: that of the agent
     * itself, then those of others that it sees; column 0 is 0 in a row that is not there. With an
     * attention_dim above 0 the hidden layers begin behind one attention over them. Else they begin
     * with all numbers. */
    uint32_t elements, element;
    uint32_t attention_dim, attention_heads;

    uint32_t n_hidden, hidden[PPO_HIDDEN_MAX];
    enum nn_act activation;
    bool shared; /* policy and value have the hidden layers in common */
    enum nn_init_rule init;

    double gamma, lambda;
    bool bootstrap; /* truncated episodes go on from the value of their last observation */
    enum ppo_advantages advantages;
    double clip;
    enum ppo_value_loss value_loss;
    double value_coef, value_clip;
    struct nn_schedule entropy, rate;
    double kl_coef, kl_target;  /* 0: no penalty */
    double target_kl;           /* an epoch that ends beyond it is the last; 0: no such limit */
    double norm_max;            /* of the gradients; 0: no limit */
    double epsilon;             /* Adam's */
    uint32_t epochs, minibatch; /* rows */
    bool drop_rest;
    uint32_t batch_max; /* rows of an update, at most */
    uint64_t seed;
};

/* All but what is seen and done, and batch_max. */
void ppo_defaults(enum ppo_semantics semantics, struct ppo_config *ret_config);

struct ppo;

/* backend: nn_cpu_f32(), or another. */
int ppo_create(const struct ppo_config *config, const struct nn_backend *backend,
               struct ppo **ret_ppo, char *why, size_t why_size);
void ppo_destroy(struct ppo **ppo); /* NULL is fine */
/* Its parameters, for checkpoints and broadcasts. */
struct nn *ppo_net(struct ppo *ppo);
struct nn_learner *ppo_learner(struct ppo *ppo);

/* All that a learner is, to go on from: parameters, moments, penalty, chance. A learner of the same
 * networks that loads it goes on to the bit. `to` and `from` are ppo_state_size() bytes.
 * Errors: RTC_E_INVALID it is none, or of other networks; nothing has changed then. */
size_t ppo_state_size(const struct ppo *ppo);
void ppo_save(struct ppo *ppo, void *to);
int ppo_load(struct ppo *ppo, const void *from, size_t size, char *why, size_t why_size);

/* Draws actions (int32 × choices.n, or floats × n_numbers, a row) with their log-probabilities, and
 * estimates values. masks: bytes, choices.width a row; NULL: all is allowed. likeliest: no chance.
 * logp and values may be NULL. */
void ppo_act(struct ppo *ppo, size_t n, const float *seen, const uint8_t *masks, bool likeliest,
             void *actions, float *logp, float *values);
/* The same, with a random state for each row (one of rtc_env_random()) instead of the learner's
 * own. */
void ppo_act_from(struct ppo *ppo, size_t n, const float *seen, const uint8_t *masks,
                  bool likeliest, uint64_t *const *random, void *actions, float *logp,
                  float *values);
void ppo_values(struct ppo *ppo, size_t n, const float *seen, float *values);

/* What happened to n rows, each before those that follow it. */
struct ppo_steps {
    size_t n;
    const float *rewards;
    const uint8_t *ends; /* enum rtc_env_ends */
    /* Where it goes on: a later row; n or beyond: one that has only a value; UINT32_MAX: nowhere.
     */
    const uint32_t *next;
    const float *values; /* of all that `next` names */
    const float *last; /* values of last observations, where next is nowhere; else not looked at */
};
/* Generalised advantages (Schulman et al. 2016), and returns: advantages + values. A row that was
 * lost has advantage 0. */
void ppo_advantages(const struct ppo_steps *steps, double gamma, double lambda, bool bootstrap,
                    float *advantages, float *returns);

/* Caller's memory. */
struct ppo_batch {
    size_t n;
    const float *seen;
    const uint8_t *masks; /* NULL: all is allowed; else those that were in force, and are again */
    const void *actions;
    const float *logp, *values; /* when it acted */
    const float *advantages, *returns;
    const uint8_t *active; /* 1: to learn from; NULL: all */
};

/* Means over the minibatches of all epochs, each taken before its step; but as said. */
struct ppo_stats {
    double loss, policy_loss, value_loss, entropy;
    double approx_kl, old_approx_kl;           /* mean of (ρ - 1) - log ρ; of -log ρ */
    double kl;                                 /* exact, where there is a penalty */
    double clip_fraction, value_clip_fraction; /* rows without a gradient of their own */
    double grad_norm;                          /* before clipping */
    double explained_variance;                 /* of the returns by the old values, in the batch */
    double rate, entropy_coef, kl_coef;        /* that were used */
    uint32_t epochs, minibatches, skipped;     /* skipped: their gradients were not finite */
};

/* progress: of the run, 0 to 1, for the schedules. Errors: only where others learn with it (share.h),
 * theirs. */
int ppo_update(struct ppo *ppo, const struct ppo_batch *batch, double progress,
               struct ppo_stats *ret_stats);
/* The same with the order of rows given, for comparisons: epochs × active rows. */
int ppo_update_in_order(struct ppo *ppo, const struct ppo_batch *batch, double progress,
                        const uint32_t *order, struct ppo_stats *ret_stats);

#endif
