#include "actors/ppo/settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SIGNALS  "sumo-signals"
#define VEHICLES "sumo-vehicles"

/* ---- The environment ---- */

/* What was given already stays. */
static void option(struct train_settings *t, const char *key, const char *value)
{
    for (size_t i = 0; i < t->env_config.n_options; i++) {
        if (strcmp(t->options[i].key, key) == 0)
            return;
    }
    t->options[t->env_config.n_options++] = (struct rtc_env_option){.key = key, .value = value};
}

/* Of RESCO's definition, unless the user says otherwise: what the baselines are measured by. */
static void describe_signals(struct train_settings *t)
{
    bool net = false;
    for (uint32_t i = 0; i < t->given.n; i++)
        net |= !strcmp(t->given.at[i].key, "scenario") || !strcmp(t->given.at[i].key, "net_file");
    if (!net)
        option(t, "scenario", "cross");
    option(t, "definition", "resco");
    option(t, "policies", "shared");
    option(t, "trips", "true");
}

static void describe_environment(struct train_settings *t, const struct ppo_settings *s,
                                 const struct ppo_plan *plan)
{
    t->env_config = (struct rtc_env_config){.slots = plan->envs_per_runner, .options = t->options};
    t->sumo = !s->env[0] || !strcmp(s->env, SIGNALS);
    t->vehicles = !strcmp(s->env, VEHICLES);
    ppo_env_options(s, &t->given);
    for (uint32_t i = 0; i < t->given.n; i++)
        option(t, t->given.at[i].key, t->given.at[i].value);
    if (t->sumo)
        describe_signals(t);
    t->train.env = t->sumo ? SIGNALS : s->env;
    t->train.env_config = &t->env_config;
}

/* ---- The learner ---- */

static void describe_semantics(const struct ppo_settings *s, struct ppo_config *c)
{
    bool like_rllib = s->semantics == PPO_LIKE_RLLIB;
    ppo_defaults(like_rllib ? PPO_RLLIB : PPO_CLEANRL, c);
    c->value_loss = isnan(s->vf_clip_param) || isinf(s->vf_clip_param) ? PPO_VALUE_PLAIN
                    : like_rllib                                       ? PPO_VALUE_BOUNDED
                                                                       : PPO_VALUE_NEAR_OLD;
    c->value_clip = like_rllib && c->value_loss == PPO_VALUE_BOUNDED ? s->vf_clip_param : 0;
    c->bootstrap = s->bootstrap_truncated;
    c->kl_coef = s->use_kl_loss ? s->kl_coeff : 0;
    c->kl_target = s->kl_target;
    c->target_kl = isnan(s->target_kl) ? 0 : s->target_kl;
    c->norm_max = isnan(s->grad_clip) || isinf(s->grad_clip) ? 0 : s->grad_clip;
    c->epsilon = s->adam_epsilon;
}

/* Of [samples, value] two points are a straight line; more are refused. */
static int schedule(const struct config_points *points, double constant, const char *name,
                    struct nn_schedule *ret, char *why, size_t size)
{
    *ret = (struct nn_schedule){.kind = NN_CONSTANT, .from = constant};
    if (points->n == 0)
        return 0;
    ret->from = points->at[0][1];
    if (points->n == 1)
        return 0;
    if (points->n > 2 || points->at[0][0] > 0) {
        snprintf(why, size, "%s: two points are possible here, the first at 0 samples", name);
        return RTC_E_INVALID;
    }
    ret->kind = NN_LINEAR_TO;
    ret->to = points->at[1][1];
    return 0;
}

static int describe_learner(const struct ppo_settings *s, const struct ppo_plan *plan,
                            struct ppo_config *c, char *why, size_t size)
{
    static const enum nn_act acts[] = {NN_TANH, NN_RELU, NN_SILU, NN_IDENTITY};
    describe_semantics(s, c);
    if (s->fcnet_hiddens.n > PPO_HIDDEN_MAX) {
        snprintf(why, size, "fcnet_hiddens: there are %u layers; at most %d are possible",
                 s->fcnet_hiddens.n, PPO_HIDDEN_MAX);
        return RTC_E_INVALID;
    }
    c->n_hidden = s->fcnet_hiddens.n;
    for (uint32_t i = 0; i < c->n_hidden; i++)
        c->hidden[i] = (uint32_t)s->fcnet_hiddens.at[i];
    c->activation = acts[s->fcnet_activation];
    c->shared = s->vf_share_layers;
    c->attention_dim = s->use_attention ? (uint32_t)s->attention_dim : 0;
    c->attention_heads = (uint32_t)s->attention_num_heads;
    if (s->use_attention && s->attention_dim % s->attention_num_heads) {
        snprintf(why, size, "attention_dim %lld is no multiple of attention_num_heads %lld",
                 (long long)s->attention_dim, (long long)s->attention_num_heads);
        return RTC_E_INVALID;
    }
    c->gamma = s->gamma;
    c->lambda = s->lambda;
    c->clip = s->clip_param;
    c->value_coef = s->vf_loss_coeff;
    c->epochs = plan->epochs;
    c->minibatch = plan->minibatch;
    c->seed = (uint64_t)s->seed;
    int rc = schedule(&s->lr_schedule, s->lr, "lr_schedule", &c->rate, why, size);
    if (rc == 0)
        rc = schedule(&s->entropy_coeff_schedule, s->entropy_coeff, "entropy_coeff_schedule",
                      &c->entropy, why, size);
    if (rc == 0 && s->lr_anneal && !s->lr_schedule.n)
        c->rate.kind = NN_LINEAR_TO; /* 0 */
    return rc;
}

int train_settings(const struct ppo_settings *s, const struct ppo_plan *plan,
                   struct train_settings *ret, char *why, size_t why_size)
{
    memset(ret, 0, sizeof(*ret));
    describe_environment(ret, s, plan);
    struct train_options *o = &ret->train;
    o->actors = plan->runners;
    /* While the policy acts for some, the simulations of the others run. */
    bool simulated = ret->sumo || ret->vehicles;
    o->groups = simulated && plan->envs_per_runner > 1 ? 2 : 1;
    o->fragment = plan->fragment;
    o->rounds = plan->rounds;
    o->lag = plan->policy_lag;
    o->iterations = plan->iterations;
    o->seed = (uint64_t)s->seed;
    /* Episodes of traffic are long: a hundred would be most of a run. */
    o->window = simulated ? 10 : 0;
    o->cpus = plan->cpus_per_runner;
    o->learners = plan->learners;
    o->learner_cpus = plan->policy_lag ? plan->cpus_per_learner : 0; /* else they take turns */
    return describe_learner(s, plan, &o->ppo, why, why_size);
}
