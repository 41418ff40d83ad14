/* What a training by PPO is told. Files that were written for RLlib are read as they are; every key
 * has RLlib's name, and its older and newer ones.
 *
 * Where a number is CONFIG_NONE, or not a number, it was None: what that means stands beside it. */
#ifndef ACTORS_CONFIG_PPO_H
#define ACTORS_CONFIG_PPO_H

#include "actors/config/schema.h"

enum ppo_likeness { PPO_LIKE_RLLIB, PPO_LIKE_CLEANRL }; /* also which defaults */
enum ppo_activation { PPO_TANH, PPO_RELU, PPO_SILU, PPO_LINEAR };
enum ppo_score { PPO_SCORE_REWARD, PPO_SCORE_EVAL_REWARD, PPO_SCORE_LENGTH };
enum ppo_backend { PPO_SUMO_AUTO, PPO_SUMO_LIBSUMO, PPO_SUMO_TRACI };

struct ppo_sumo {
    char sumocfg_file[CONFIG_TEXT_MAX], net_file[CONFIG_TEXT_MAX], route_file[CONFIG_TEXT_MAX],
        additional_files[CONFIG_TEXT_MAX];
    bool use_gui;
    int backend;                  /* enum ppo_backend */
    double time_step;             /* s of a simulation step; None: the sumocfg's */
    int64_t max_steps;            /* simulation steps of an episode; None: the scenario's end */
    int64_t max_concurrent_envs;  /* simulations at once; None: no limit */
    double env_timeout;           /* s for an answer of a simulation */
    bool reuse_env, use_subscription; /* always so here, whatever they say */
    double cache_timeout;             /* nothing is cached */
};

struct ppo_settings {
    char preset[CONFIG_TEXT_MAX]; /* "": none */
    char name[CONFIG_TEXT_MAX]; /* "": the environment's */
    char env[CONFIG_TEXT_MAX];  /* "": SUMO, by its section */
    struct config_options env_config;
    int semantics;
    int64_t seed;

    /* Sampling */
    int64_t num_env_runners;           /* 0: one, beside the learner */
    int64_t num_envs_per_env_runner;
    int64_t rollout_fragment_length;   /* None: auto */
    int64_t train_batch_size;          /* samples of an iteration */
    int64_t train_batch_size_per_learner; /* None: the above counts */
    int64_t max_policy_lag;            /* updates that a sample's policy may be behind; 0: none */

    /* Learning */
    int64_t minibatch_size, num_epochs;
    double lr;
    struct config_points lr_schedule, entropy_coeff_schedule; /* [samples, value]; none: constant */
    bool lr_anneal; /* linearly to 0 over the run */
    double gamma, lambda, clip_param, entropy_coeff, vf_loss_coeff;
    double vf_clip_param; /* None: not clipped */
    bool vf_share_layers;
    bool use_kl_loss; /* false: kl_coeff is 0 */
    double kl_coeff, kl_target;
    double target_kl; /* an update stops its epochs beyond it; None: never */
    double grad_clip; /* global norm; None: not clipped */
    double adam_epsilon;
    bool bootstrap_truncated; /* a truncated episode has a future; else it counts as ended */
    int64_t num_learners;     /* 0: as many as help; one where samples may be behind */

    /* The network */
    struct config_ints fcnet_hiddens;
    int fcnet_activation;
    /* Of an agent over the rows of its observation. RLlib's is over time (GTrXL). */
    bool use_attention;
    int64_t attention_dim, attention_num_heads;

    /* Resources */
    double num_cpus, num_cpus_per_env_runner, num_cpus_per_learner; /* num_cpus None: all there are */
    double num_gpus, num_gpus_per_learner;
    int64_t object_store_memory, memory; /* bytes; None: what rtc chooses; no limit */
    double target_memory_gb;             /* GiB in use on the host at which it lets go; None: 87.5 % */

    /* How long */
    int64_t num_iterations;
    int64_t stop_timesteps; /* None: no limit */
    double stop_seconds, stop_reward; /* None: no such */
    int64_t eval_interval;  /* iterations; None: never */
    int64_t eval_episodes;

    /* What is left behind */
    int64_t checkpoint_interval; /* iterations; None: only at the end */
    int64_t keep_last_n;         /* None: all */
    bool checkpoint_at_end;
    int checkpoint_score_attr, checkpoint_score_order; /* enum ppo_score; 1: less is better */
    bool tensorboard, plots;
    char notify[CONFIG_TEXT_MAX];

    bool has_sumo; /* something of its section is set: not a key */
    struct ppo_sumo sumo;
};

extern const struct config_schema ppo_schema;

#define PPO_LAYERS_MAX 260u

struct ppo_load { /* zeroed at first */
    const char *config;       /* a file; NULL: none */
    const char *preset;       /* a name; NULL: none, or what the file says (preset: normal) */
    const char *const *sets;  /* of --set */
    size_t n_sets;
    bool no_files;            /* the files that it names are not looked for */
    const char *text;         /* instead of a file: its text, `config` being what it is called */
    size_t text_size;
};

struct ppo_loaded {
    struct ppo_settings config;
    struct config_origin *origins; /* one a key of ppo_schema */
    char notes[4096]; /* lines: what has no effect here, and which keys mean nothing; "": none */
    char why[2 * CONFIG_WHY_MAX];
    struct config_read *read; /* private */
    char *layers[PPO_LAYERS_MAX]; /* private: their names */
    uint32_t n_layers;
};

/* Reads the defaults, the preset, the file and what was set, in this order.
 *
 * Ownership: *ret_loaded is freed with ppo_settings_free(), also after an error, when it has the
 * sentence in why; NULL when there is no memory. The strings of `load` may go. Thread: any. Blocks
 * on the file system. Returns 0 or -1. Files of the section sumo that are named relative to the
 * file's folder, or else to the current one, become absolute. */
int ppo_settings_load(const struct ppo_load *load, struct ppo_loaded **ret_loaded);
void ppo_settings_free(struct ppo_loaded **loaded);

/* env_config, and the section sumo in the words of the environment of traffic signals: scenario,
 * net_file, route_files, step_length, num_seconds (max_steps × time_step) … What env_config says
 * wins. */
void ppo_env_options(const struct ppo_settings *config, struct config_options *ret);

/* Presets, in the order of configs/ppo; NULL behind the last one. */
const char *ppo_preset_name(size_t i);
/* Its YAML, or NULL. */
const char *ppo_preset_text(const char *name);

#endif
