/* All keys of a training by PPO, and those of RLlib that mean nothing here. */
#include <stddef.h>

#include "actors/config/ppo.h"

#define AT(field) offsetof(struct ppo_settings, field)
#define INF       INFINITY

/* clang-format off */
#define KEY(name_, also_, type_, field, ...) \
    {.name = name_, .also = also_, .type = CONFIG_##type_, .offset = AT(field), __VA_ARGS__}
#define RANGE(low_, high_)      .low = (low_), .high = (high_)
#define SAME(text_)             .usual = {text_, NULL}
#define BY(rllib, cleanrl)      .usual = {rllib, cleanrl}
#define NONE                    .none = true
#define IS(text_)               .about = text_
/* clang-format on */

static const struct config_key keys[] = {
    KEY("preset", NULL, TEXT, preset, NONE, SAME("null"), IS("what lies under the file: quick …")),
    KEY("name", "experiment_name run_name", TEXT, name, NONE, SAME("null"),
        IS("of the run; the environment's if there is none")),
    KEY("env", "env_id environment.env", TEXT, env, NONE, SAME("null"),
        IS("the environment: CartPole-v1 …; none with the section sumo")),
    KEY("env_config", NULL, OPTIONS, env_config, NONE, SAME("{}"),
        IS("options of the environment")),
    KEY("semantics", NULL, CHOICE, semantics, .choices = "rllib cleanrl", BY("rllib", "cleanrl"),
        IS("whose PPO: losses, normalisation and defaults")),
    KEY("seed", NULL, INT, seed, RANGE(0, 9e18), SAME("1"), IS("of everything that is drawn")),

    KEY("num_env_runners", "num_workers num_rollout_workers", INT, num_env_runners, RANGE(0, 10000),
        BY("2", "1"), IS("rollout actors")),
    KEY("num_envs_per_env_runner", "num_envs_per_worker num_envs", INT, num_envs_per_env_runner,
        RANGE(1, 4096), BY("1", "4"), IS("environments of each")),
    KEY("rollout_fragment_length", "num_steps", INT, rollout_fragment_length, NONE, RANGE(1, 1e9),
        .choices = "auto", BY("auto", "128"),
        IS("steps of an environment in one piece; auto: batch / (actors × environments)")),
    KEY("train_batch_size", "total_train_batch_size", INT, train_batch_size, RANGE(1, 1e9),
        BY("4000", "512"), IS("samples of an iteration")),
    KEY("train_batch_size_per_learner", NULL, INT, train_batch_size_per_learner, NONE,
        RANGE(1, 1e7), SAME("null"), IS("the same for each learner; it counts when it is set")),
    KEY("max_policy_lag", NULL, INT, max_policy_lag, RANGE(0, 64), SAME("0"),
        IS("updates that a sample's policy may be behind; 0: sampling and learning take turns")),

    KEY("minibatch_size", "sgd_minibatch_size", INT, minibatch_size, RANGE(1, 1e9), SAME("128"),
        IS("samples of a step of the optimizer")),
    KEY("num_epochs", "num_sgd_iter update_epochs", INT, num_epochs, RANGE(1, 10000), BY("30", "4"),
        IS("passes over the samples of an iteration")),
    KEY("lr", "learning_rate", NUMBER, lr, RANGE(0, 1e3), .schedule = AT(lr_schedule),
        BY("5e-5", "2.5e-4"), IS("learning rate of Adam")),
    KEY("lr_schedule", NULL, POINTS, lr_schedule, NONE, RANGE(0, 1e3), SAME("null"),
        IS("[samples, rate], linear between them")),
    KEY("lr_anneal", "anneal_lr", BOOL, lr_anneal, BY("false", "true"),
        IS("linearly to 0 at the end of the run")),
    KEY("gamma", NULL, NUMBER, gamma, RANGE(0, 1), SAME("0.99"), IS("discount")),
    KEY("lambda", "lambda_ gae_lambda", NUMBER, lambda, RANGE(0, 1), BY("1.0", "0.95"),
        IS("of generalised advantage estimation")),
    KEY("clip_param", "clip_coef", NUMBER, clip_param, RANGE(1e-6, 1e6), BY("0.3", "0.2"),
        IS("how far the ratio may be from 1")),
    KEY("entropy_coeff", "ent_coef", NUMBER, entropy_coeff, RANGE(0, 1e6),
        .schedule = AT(entropy_coeff_schedule), BY("0", "0.01"), IS("weight of the entropy")),
    KEY("entropy_coeff_schedule", NULL, POINTS, entropy_coeff_schedule, NONE, RANGE(0, 1e6),
        SAME("null"), IS("[samples, weight], linear between them")),
    KEY("vf_loss_coeff", "vf_coef", NUMBER, vf_loss_coeff, RANGE(0, 1e6), BY("1.0", "0.5"),
        IS("weight of the value's loss")),
    KEY("vf_clip_param", NULL, NUMBER, vf_clip_param, NONE, RANGE(0, INF), BY("10", "0.2"),
        IS("rllib: the squared error is at most this; cleanrl: how far the value may move")),
    KEY("vf_share_layers", NULL, BOOL, vf_share_layers, SAME("false"),
        IS("policy and value have one network with two heads")),
    KEY("use_kl_loss", NULL, BOOL, use_kl_loss, SAME("true"), IS("false: kl_coeff is 0")),
    KEY("kl_coeff", NULL, NUMBER, kl_coeff, RANGE(0, 1e6), BY("0.2", "0"),
        IS("weight of the KL penalty at first; it adapts; 0: none")),
    KEY("kl_target", NULL, NUMBER, kl_target, RANGE(1e-9, 1e6), SAME("0.01"),
        IS("which KL the weight aims at")),
    KEY("target_kl", NULL, NUMBER, target_kl, NONE, RANGE(1e-9, 1e6), SAME("null"),
        IS("an iteration's epochs end beyond it")),
    KEY("grad_clip", "max_grad_norm", NUMBER, grad_clip, NONE, RANGE(1e-9, INF), BY("null", "0.5"),
        IS("greatest global norm of a gradient")),
    KEY("adam_epsilon", NULL, NUMBER, adam_epsilon, RANGE(1e-30, 1), BY("1e-8", "1e-5"),
        IS("of Adam")),
    KEY("bootstrap_truncated", NULL, BOOL, bootstrap_truncated, BY("true", "false"),
        IS("the value of the last observation stands for what a truncated episode had before it")),
    KEY("num_learners", "num_learner_workers", INT, num_learners, RANGE(0, 64), SAME("0"),
        IS("that make each update together, the driver the first; 0: as many as help on this "
           "host's CPUs, one with max_policy_lag")),

    KEY("fcnet_hiddens", NULL, INTS, fcnet_hiddens, RANGE(1, 65536), BY("[256, 256]", "[64, 64]"),
        IS("widths of the hidden layers")),
    KEY("fcnet_activation", NULL, CHOICE, fcnet_activation, .choices = "tanh relu silu linear",
        SAME("tanh"), IS("between them")),

    KEY("use_attention", NULL, BOOL, use_attention, SAME("false"),
        IS("of an agent over what it sees, for observations of rows (sumo-vehicles)")),
    KEY("attention_dim", NULL, INT, attention_dim, RANGE(1, 4096), SAME("64"),
        IS("width of the attention, and of its embeddings")),
    KEY("attention_num_heads", NULL, INT, attention_num_heads, RANGE(1, 64), SAME("1"),
        IS("heads, attention_dim / attention_num_heads wide")),

    KEY("num_cpus", NULL, NUMBER, num_cpus, NONE, RANGE(0, 1e6), SAME("null"),
        IS("of the run; all there are if it does not say")),
    KEY("num_cpus_per_env_runner", "num_cpus_per_worker", NUMBER, num_cpus_per_env_runner,
        RANGE(0, 1e4), SAME("1"), IS("of a rollout actor")),
    KEY("num_cpus_per_learner",
        "num_cpus_per_learner_worker num_cpus_for_driver "
        "num_cpus_for_local_worker num_cpus_for_main_process",
        NUMBER, num_cpus_per_learner, RANGE(0, 1e4), SAME("1"), IS("of a learner")),
    KEY("num_gpus", NULL, NUMBER, num_gpus, RANGE(0, 1e4), SAME("0"),
        IS("of all learners together")),
    KEY("num_gpus_per_learner", "num_gpus_per_worker num_gpus_per_learner_worker", NUMBER,
        num_gpus_per_learner, RANGE(0, 64), SAME("0"), IS("of each; rollout actors need none")),
    KEY("object_store_memory", NULL, BYTES, object_store_memory, NONE, SAME("null"),
        IS("of the object store of each host")),
    KEY("memory", "total_memory", BYTES, memory, NONE, SAME("null"),
        IS("that the run may take, its store included")),
    KEY("target_memory_gb", NULL, NUMBER, target_memory_gb, NONE, RANGE(0.1, 1e6), SAME("null"),
        IS("in use on the host when caches are freed and environments go; else 87.5 %")),

    KEY("num_iterations", "training_iteration iterations max_iterations stop.training_iteration",
        INT, num_iterations, RANGE(1, 1e9), SAME("200"), IS("then it ends")),
    KEY("stop_timesteps", "timesteps_total total_timesteps num_env_steps_sampled_lifetime", INT,
        stop_timesteps, NONE, RANGE(1, 1e15), SAME("null"), IS("samples after which it ends")),
    KEY("stop_seconds", "time_total_s", NUMBER, stop_seconds, NONE, RANGE(0, 1e12), SAME("null"),
        IS("of training, after which it ends")),
    KEY("stop_reward",
        "stop.sampler_results/episode_reward_mean stop.episode_reward_mean "
        "stop.episode_return_mean "
        "stop.env_runners/episode_return_mean",
        NUMBER, stop_reward, NONE, RANGE(-INF, INF), SAME("null"),
        IS("mean return at which it ends")),
    KEY("eval_interval", "evaluation_interval", INT, eval_interval, NONE, RANGE(0, 1e9),
        SAME("null"), IS("iterations between evaluations; 0: none")),
    KEY("eval_episodes", "evaluation_duration evaluation_num_episodes", INT, eval_episodes,
        RANGE(1, 1e6), SAME("10"), IS("of an evaluation")),

    KEY("checkpoint_interval", "checkpoint_freq checkpoint_frequency", INT, checkpoint_interval,
        NONE, RANGE(0, 1e9), SAME("10"),
        IS("iterations between checkpoints; 0: none before the end")),
    KEY("keep_last_n", "keep_checkpoints_num num_to_keep", INT, keep_last_n, NONE, RANGE(1, 1e6),
        SAME("3"), IS("checkpoints that are kept, beside the best and the final one")),
    KEY("checkpoint_at_end", NULL, BOOL, checkpoint_at_end, SAME("true"), IS("one when it ends")),
    KEY("checkpoint_score_attr", "checkpoint_score_attribute", CHOICE, checkpoint_score_attr,
        .choices = "episode_reward_mean evaluation/episode_reward_mean episode_len_mean",
        SAME("episode_reward_mean"), IS("what the best one is best in")),
    KEY("checkpoint_score_order", NULL, CHOICE, checkpoint_score_order, .choices = "max min",
        SAME("max"), IS("whether more of it is better, or less")),
    KEY("tensorboard", NULL, BOOL, tensorboard, SAME("true"),
        IS("event files in the run's folder")),
    KEY("plots", NULL, BOOL, plots, SAME("true"), IS("a learning curve at the end, by gnuplot")),
    KEY("notify", NULL, TEXT, notify, NONE, SAME("null"),
        IS("a command: end, failure; the text is on its input")),

    KEY("sumo.sumocfg_file", "sumo.sumocfg sumo.config_file sumo.cfg_file", TEXT, sumo.sumocfg_file,
        NONE, SAME("null"), IS("the scenario")),
    KEY("sumo.net_file", "sumo.net", TEXT, sumo.net_file, NONE, SAME("null"),
        IS("instead of a sumocfg, or of its net")),
    KEY("sumo.route_file", "sumo.route_files sumo.routes", TEXT, sumo.route_file, NONE,
        SAME("null"), IS("the same of its demand; several with commas")),
    KEY("sumo.additional_files", "sumo.additional_file", TEXT, sumo.additional_files, NONE,
        SAME("null"), IS("the same of what is more; several with commas")),
    KEY("sumo.use_gui", "sumo.gui", BOOL, sumo.use_gui, SAME("false"), IS("a window, by sumo-gui")),
    KEY("sumo.backend", NULL, CHOICE, sumo.backend, .choices = "auto libsumo traci", SAME("auto"),
        IS("how the simulator is reached")),
    KEY("sumo.time_step", "sumo.step_length", NUMBER, sumo.time_step, NONE, RANGE(0.001, 3600),
        SAME("null"), IS("s of a simulation step")),
    KEY("sumo.max_steps", "sumo.max_episode_steps", INT, sumo.max_steps, NONE, RANGE(1, 1e12),
        SAME("null"), IS("simulation steps of an episode")),
    KEY("sumo.max_concurrent_envs", "max_concurrent_envs", INT, sumo.max_concurrent_envs, NONE,
        RANGE(1, 1e6), SAME("null"), IS("simulations that run at once, never exceeded")),
    KEY("sumo.env_timeout", NULL, NUMBER, sumo.env_timeout, RANGE(0.001, 86400), SAME("60"),
        IS("s after which a simulation that does not answer is replaced")),
    KEY("sumo.reuse_env", NULL, BOOL, sumo.reuse_env, SAME("true"), IS("always so")),
    KEY("sumo.use_subscription", "sumo.use_subscriptions", BOOL, sumo.use_subscription,
        SAME("true"), IS("always so")),
    KEY("sumo.cache_timeout", NULL, NUMBER, sumo.cache_timeout, NONE, RANGE(0, INF), SAME("null"),
        IS("nothing is cached")),
};

/* As people, Tune and RLlib's own files group them. */
static const char groups[] =
    " config ppo PPO rllib ray ray_init ray_config train training train_config "
    "training_config model network resources env_runners rollouts learner learners "
    "algorithm hyperparameters evaluation eval checkpoint checkpoints checkpoint_config "
    "checkpointing stop stopping_criteria tune run_config environment watch logging sumo ";

/* Words of RLlib, Tune and ray.init() that change nothing here, and of configurations around them.
 */
static const char ignored[] =
    "framework framework_str framework_str_ eager_tracing eager_max_retraces "
    "torch_compile_learner torch_compile_worker torch_ddp_kwargs torch_skip_nan_gradients "
    "tf_session_args local_tf_session_args log_level log_sys_usage disable_env_checking "
    "is_atari auto_wrap_old_gym_envs render_env record_env clip_actions normalize_actions "
    "update_worker_filter_stats use_worker_filter_stats synchronize_filters "
    "compress_observations sample_async sample_collector sampler_perf_stats_ema_coef "
    "enable_connectors env_to_module_connector module_to_env_connector remote_worker_envs "
    "remote_env_batch_wait_ms validate_workers_after_construction "
    "validate_env_runners_after_construction preprocessor_pref ignore_worker_failures "
    "ignore_env_runner_failures recreate_failed_workers recreate_failed_env_runners "
    "restart_failed_env_runners restart_failed_sub_environments max_num_worker_restarts "
    "max_num_env_runner_restarts delay_between_worker_restarts_s "
    "delay_between_env_runner_restarts_s num_consecutive_worker_failures_tolerance "
    "num_consecutive_env_runner_failures_tolerance worker_health_probe_timeout_s "
    "env_runner_health_probe_timeout_s worker_restore_timeout_s "
    "env_runner_restore_timeout_s fake_sampler simple_optimizer shuffle_sequences policies "
    "policies_to_train policy_mapping_fn policy_map_capacity policy_map_cache "
    "policy_states_are_swappable multiagent observation_fn count_steps_by callbacks "
    "callbacks_class logger_config logger_creator logger_type "
    "extra_python_environs_for_driver extra_python_environs_for_worker placement_strategy "
    "custom_resources_per_worker custom_resources_per_env_runner custom_model_config "
    "custom_eval_function metrics_num_episodes_for_smoothing "
    "metrics_episode_collection_timeout_s min_time_s_per_iteration min_time_s_per_reporting "
    "min_iter_time_s min_sample_timesteps_per_iteration min_train_timesteps_per_iteration "
    "keep_per_episode_custom_metrics timesteps_per_iteration evaluation_num_workers "
    "evaluation_num_env_runners evaluation_config evaluation_parallel_to_training "
    "evaluation_duration_unit evaluation_sample_timeout_s "
    "evaluation_force_reset_envs_before_iteration always_attach_evaluation_results "
    "off_policy_estimation_methods ope_split_batch_by_episode input input_ input_config "
    "output output_config output_max_file_size actions_in_input_normalized "
    "postprocess_inputs shuffle_buffer_size export_native_model_files "
    "checkpoint_trainable_policies_only enable_rl_module_and_learner "
    "enable_env_runner_and_connector_v2 rl_module_spec learner_class num_learner_threads "
    "local_gpu_idx export_dir local_dir storage_path sync_config failure_config verbose "
    "progress_reporter resume restore max_failures num_samples scheduler search_alg "
    "reuse_actors trial_resources runtime_env env_vars wsl2 pip "
    "working_dir py_modules include_dashboard dashboard_host dashboard_port "
    "ignore_reinit_error local_mode address namespace _temp_dir plasma_directory "
    "object_spilling_config system_config logging_level log_to_driver configure_logging "
    "no_done_at_end free_log_std conv_filters conv_activation "
    "post_fcnet_activation max_seq_len lstm_cell_size lstm_use_prev_action "
    "lstm_use_prev_reward grayscale zero_mean dim "
    "framestack use_state_preprocessor output_layer fcnet_weights_initializer "
    "fcnet_bias_initializer in_evaluation seed_env optimizer timesteps_since_restore";

#define FLAT "networks here are of fully connected layers (fcnet_hiddens)"
#define OVER "attention here is over what an agent sees, not over time"

static const struct config_other others[] = {
    {"run", "PPO", true, "this is PPO"},
    {"algo", "PPO", true, "this is PPO"},
    {"trainable", "PPO", true, "this is PPO"},
    {"use_lstm", "false False no", true, FLAT},
    {"attention_head_dim", "", false, OVER},
    {"attention_num_transformer_units", "1", false, OVER},
    {"attention_memory_inference", "", false, OVER},
    {"attention_memory_training", "", false, OVER},
    {"attention_position_wise_mlp_dim", "", false, OVER},
    {"attention_init_gru_gate_bias", "", false, OVER},
    {"attention_use_n_prev_actions", "0", false, OVER},
    {"attention_use_n_prev_rewards", "0", false, OVER},
    {"custom_model", "", true, FLAT},
    {"post_fcnet_hiddens", "[]", true, FLAT},
    {"custom_action_dist", "", true, "distributions follow from the action space"},
    {"custom_preprocessor", "", true, "observations come as the environment gives them"},
    {"use_gae", "true True yes", true, "advantages are generalised (GAE); lambda: 1.0 is the sum"},
    {"use_critic", "true True yes", true, "PPO has a critic here"},
    {"batch_mode", "truncate_episodes", false,
     "fragments have a fixed length, and the value of the last observation stands for the rest"},
    {"observation_filter", "NoFilter", false, "observations are learned from as they are"},
    {"horizon", "", false, "episodes end where the environment ends them"},
    {"soft_horizon", "false False no", false, "episodes end where the environment ends them"},
    {"clip_rewards", "false False no", false, "rewards count as they are"},
    {"grad_clip_by", "global_norm", false, "gradients are clipped by their global norm"},
};

const struct config_schema ppo_schema = {.keys = keys,
                                         .n = sizeof(keys) / sizeof(keys[0]),
                                         .size = sizeof(struct ppo_settings),
                                         .groups = groups,
                                         .ignored = ignored,
                                         .others = others,
                                         .n_others = sizeof(others) / sizeof(others[0]),
                                         .open_section = "sumo",
                                         .open_key = "env_config"};
