/* YAML as trees, and the settings of a training: names, types, layers, and what is said of bad
 * ones. */
#include <assert.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/config/ppo.h"
#include "actors/config/text.h"

static char why[1024];

static struct config_tree *tree_of(const char *text)
{
    struct config_tree *tree = NULL;
    why[0] = 0;
    if (config_tree_parse(text, strlen(text), &tree, why, sizeof(why)))
        assert_null(tree);
    return tree;
}

static void refuses_tree(const char *text, const char *sentence)
{
    assert_null(tree_of(text));
    if (!strstr(why, sentence))
        fail_msg("\"%s\" is not in \"%s\"", sentence, why);
}

static void trees_know_their_lines(void **state)
{
    (void)state;
    struct config_tree *tree = tree_of("# a comment\na: 1\nb:\n  c: [x, 'y']\n  d: {e: null}\n");
    const struct config_node *b = config_node_find(tree->root, "b");
    const struct config_node *c = config_node_find(b, "c");
    assert_int_equal(tree->root->n, 2);
    assert_int_equal(b->line, 3);
    assert_int_equal(c->line, 4);
    assert_int_equal(c->kind, CONFIG_LIST);
    assert_string_equal(c->first->text, "x");
    assert_false(c->first->quoted);
    assert_true(c->last->quoted);
    assert_true(config_node_is_null(config_node_find(b, "d")->first));
    assert_null(config_node_find(b, "e"));
    config_tree_free(&tree);
    assert_null(tree);
    config_tree_free(&tree);
    tree = tree_of("");
    assert_int_equal(tree->root->n, 0);
    config_tree_free(&tree);
}

static void trees_have_anchors(void **state)
{
    (void)state;
    struct config_tree *tree = tree_of("base: &b {x: 1, y: 2}\nmore: {<<: *b, x: 3}\nagain: *b\n"
                                       "list: {<<: [*b, {z: 4}]}\n");
    const struct config_node *more = config_node_find(tree->root, "more");
    assert_int_equal(more->n, 2);
    assert_string_equal(config_node_find(more, "x")->text, "3");
    assert_string_equal(config_node_find(more, "y")->text, "2");
    assert_string_equal(config_node_find(config_node_find(tree->root, "again"), "x")->text, "1");
    assert_int_equal(config_node_find(tree->root, "again")->line, 3);
    assert_int_equal(config_node_find(tree->root, "list")->n, 3);
    config_tree_free(&tree);
}

static void trees_refuse(void **state)
{
    (void)state;
    char deep[256] = "a: ", *grown = calloc(1, 200000);
    refuses_tree("a: 1\nb: 2\na: 3\n", "line 3: a stands in line 1 already");
    refuses_tree("a: 1\n\tb: 2\n", "line 2: a tab");
    refuses_tree("a: [1, 2\nb: 3\n", "line 2");
    refuses_tree("a: 1\nb:2\nc: 3\n", "line 2: a colon and a blank are missing");
    refuses_tree("a: 1\nb：2\n", "line 2: a colon and a blank are missing");
    refuses_tree("a: *x\n", "line 1: *x: there is no &x");
    refuses_tree("a: &x [*x]\n", "there is no &x");
    refuses_tree("{a: 1}: 2\n", "a key is a word");
    refuses_tree("- 1\n- 2\n", "key: value");
    refuses_tree("words\n", "key: value");
    refuses_tree("a: 1\n---\nb: 2\n", "second document");
    refuses_tree("a: 1\nb: \xff\xfe\n", "line 2: the file is not UTF-8");
    refuses_tree("a: {<<: 3}\n", "<< takes mappings");
    for (int i = 0; i < 40; i++)
        snprintf(deep + strlen(deep), sizeof(deep) - strlen(deep), "[");
    refuses_tree(deep, "levels");
    /* Copies of copies. */
    size_t used = (size_t)sprintf(grown, "a0: &a0 [x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 8; i++)
        used += (size_t)sprintf(grown + used, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i,
                                i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    refuses_tree(grown, "too much");
    used = 0;
    for (int i = 0; i < 1100; i++)
        used += (size_t)sprintf(grown + used, "k%d: 1\n", i);
    refuses_tree(grown, "more than 1000 keys");
    free(grown);
}

static void words_and_amounts(void **state)
{
    (void)state;
    uint64_t n;
    char text[24];
    struct config_nearest near = config_nearest("minibatchsize");
    config_nearest_try(&near, "train_batch_size");
    config_nearest_try(&near, "minibatch_size");
    assert_string_equal(near.found, "minibatch_size");
    near = config_nearest("x1");
    config_nearest_try(&near, "x0");
    assert_null(near.found);
    assert_int_equal(config_distance("abc", "abd"), 1);
    assert_true(config_bytes("800M", &n) && n == 800ull << 20);
    assert_true(config_bytes("4 GiB", &n) && n == 4ull << 30);
    assert_true(config_bytes("4GB", &n) && n == 4000000000);
    assert_true(config_bytes("2e9", &n) && n == 2000000000);
    assert_false(config_bytes("much", &n) || config_bytes("4 Gx", &n) || config_bytes("-1", &n));
    assert_false(config_bytes("", &n) || config_bytes("nan", &n) || config_bytes("4GiBB", &n));
    assert_string_equal(config_bytes_text(4ull << 30, text, sizeof(text)), "4 GiB");
    assert_string_equal(config_bytes_text(4000000000, text, sizeof(text)), "4 GB");
    assert_string_equal(config_bytes_text(999999999, text, sizeof(text)), "1 GB");
    assert_string_equal(config_bytes_text(7, text, sizeof(text)), "7");
}

/* ---- Settings ---- */

static struct ppo_loaded *loaded;

static int load(const char *text, const char *preset, const char *set)
{
    const char *sets[] = {"env=CartPole-v1", set};
    struct ppo_load ask = {.config = text ? "run.yaml" : NULL,
                           .text = text,
                           .text_size = text ? strlen(text) : 0,
                           .preset = preset,
                           .sets = sets + (text != NULL),
                           .n_sets = (text == NULL) + (set != NULL),
                           .no_files = true};
    if (text && !set)
        ask.n_sets = 0;
    ppo_settings_free(&loaded);
    int rc = ppo_settings_load(&ask, &loaded);
    if (rc == 0)
        assert_string_equal(loaded->why, "");
    return rc;
}

static const struct ppo_settings *good(const char *text)
{
    if (load(text, NULL, NULL))
        fail_msg("%s", loaded->why);
    return &loaded->config;
}

static void refuses(const char *text, const char *sentence)
{
    if (!load(text, NULL, NULL))
        fail_msg("taken: %s", text);
    if (!strstr(loaded->why, sentence))
        fail_msg("\"%s\" is not in \"%s\"", sentence, loaded->why);
}

static int free_loaded(void **state)
{
    (void)state;
    ppo_settings_free(&loaded);
    return 0;
}

/* Old and new names, in groups and without: the same numbers. */
static void reads_files_of_rllib(void **state)
{
    (void)state;
    const char *const texts[] = {
        "env: CartPole-v1\nnum_workers: 6\nnum_envs_per_worker: 2\nrollout_fragment_length: 200\n"
        "train_batch_size: 4_000\nsgd_minibatch_size: 64\nnum_sgd_iter: 10\nlr: 3e-4\ngamma: 0.98\n"
        "lambda: 0.95\nclip_param: 0.1\nentropy_coeff: 0.01\nvf_loss_coeff: 0.5\nvf_clip_param: 5\n"
        "model:\n  fcnet_hiddens: [32, 16]\n  fcnet_activation: relu\nnum_gpus: 1\nnum_cpus: 8\n"
        "num_gpus_per_worker: 0.5\neval_interval: 7\nnum_iterations: 9\nkeep_last_n: 4\n"
        "checkpoint_score_attr: episode_reward_mean\ncheckpoint_at_end: False\ngrad_clip: None\n",
        "my-run:\n  run: PPO\n  env: CartPole-v1\n  stop: {training_iteration: 9}\n  config:\n"
        "    num_env_runners: 6\n    num_envs_per_env_runner: 2\n    rollout_fragment_length: 200\n"
        "    train_batch_size: 4000\n    minibatch_size: 64\n    num_epochs: 10\n    lr: 0.0003\n"
        "    gamma: 0.98\n    lambda_: 0.95\n    clip_param: 0.1\n    entropy_coeff: 1e-2\n"
        "    vf_loss_coeff: .5\n    vf_clip_param: 5.0\n    evaluation_interval: 7\n"
        "    model: {fcnet_hiddens: [32, 16], fcnet_activation: ReLU}\n"
        "    num_gpus: 1\n    num_gpus_per_learner: 0.5\n    grad_clip: null\n"
        "  ray_init: {num_cpus: 8}\n"
        "  checkpoint_config: {num_to_keep: 4, checkpoint_at_end: false,\n"
        "    checkpoint_score_attribute: episode_reward_mean}\n"};
    for (int i = 0; i < 2; i++) {
        const struct ppo_settings *c = good(texts[i]);
        assert_string_equal(c->env, "CartPole-v1");
        assert_int_equal(c->num_env_runners, 6);
        assert_int_equal(c->num_envs_per_env_runner, 2);
        assert_int_equal(c->rollout_fragment_length, 200);
        assert_int_equal(c->train_batch_size, 4000);
        assert_int_equal(c->minibatch_size, 64);
        assert_int_equal(c->num_epochs, 10);
        assert_true(c->lr == 3e-4 && c->gamma == 0.98 && c->lambda == 0.95 && c->clip_param == 0.1);
        assert_true(c->entropy_coeff == 0.01 && c->vf_loss_coeff == 0.5 && c->vf_clip_param == 5);
        assert_true(c->fcnet_hiddens.n == 2 && c->fcnet_hiddens.at[1] == 16);
        assert_int_equal(c->fcnet_activation, PPO_RELU);
        assert_true(c->num_gpus == 1 && c->num_gpus_per_learner == 0.5 && c->num_cpus == 8);
        assert_int_equal(c->eval_interval, 7);
        assert_int_equal(c->num_iterations, 9);
        assert_int_equal(c->keep_last_n, 4);
        assert_false(c->checkpoint_at_end);
        assert_true(isnan(c->grad_clip));
        assert_int_equal(c->checkpoint_score_attr, PPO_SCORE_REWARD);
    }
}

/* Words that mean something else there than here. */
static void knows_other_meanings(void **state)
{
    (void)state;
    const struct ppo_settings *c = good(
        "a:\n  run: PPO\n  env: x\n  stop: {time_total_s: 60, env_runners/episode_return_mean: 9}\n"
        "  config: {horizon: 5000, num_workers: 0, evaluation_interval: 0}\n");
    assert_true(c->stop_seconds == 60 && c->stop_reward == 9 && c->num_env_runners == 0);
    assert_int_equal(c->rollout_fragment_length, CONFIG_NONE);
    assert_int_equal(c->eval_interval, 0);
    assert_non_null(strstr(loaded->notes, "horizon: 5000 has no effect"));
}

static void has_defaults_by_semantics(void **state)
{
    (void)state;
    const struct ppo_settings *c = good("env: CartPole-v1\n");
    assert_true(c->semantics == PPO_LIKE_RLLIB && c->lr == 5e-5 && c->lambda == 1 &&
                c->kl_coeff == 0.2);
    assert_true(c->num_epochs == 30 && c->train_batch_size == 4000 && isnan(c->grad_clip));
    assert_int_equal(c->rollout_fragment_length, CONFIG_NONE);
    assert_true(c->bootstrap_truncated && !c->lr_anneal);
    c = good("semantics: cleanrl\nenv: CartPole-v1\nclip_coef: 0.3\n");
    assert_true(c->semantics == PPO_LIKE_CLEANRL && c->lr == 2.5e-4 && c->lambda == 0.95);
    assert_true(c->kl_coeff == 0 && c->grad_clip == 0.5 && c->lr_anneal && c->clip_param == 0.3);
    assert_true(c->fcnet_hiddens.at[0] == 64 && !c->bootstrap_truncated);
    c = good("config: {env: CartPole-v1, use_kl_loss: false}\n");
    assert_true(c->kl_coeff == 0);
}

static void has_layers(void **state)
{
    (void)state;
    assert_int_equal(load("env: CartPole-v1\npreset: normal\nnum_sgd_iter: 3\n", NULL, "gamma=0.5"),
                     0);
    const struct ppo_settings *c = &loaded->config;
    assert_true(c->num_env_runners == 6 && c->num_epochs == 3 && c->gamma == 0.5);
    assert_string_equal(c->preset, "normal");
    assert_int_equal(load("env: CartPole-v1\npreset: normal\n", "max", "num_workers=3"), 0);
    assert_true(loaded->config.num_env_runners == 3 && loaded->config.num_epochs == 15);
    assert_string_equal(loaded->config.preset, "max");
    good("config: {env: CartPole-v1, model: {semantics: cleanrl}}\ntraining: {preset: max}\n");
    assert_true(loaded->config.num_env_runners == 8 &&
                loaded->config.semantics == PPO_LIKE_CLEANRL);
    assert_true(loaded->config.kl_coeff == 0);
    c = &loaded->config;
    assert_int_equal(load(NULL, NULL, "lr=[[0, 1e-3], [1e6, 0]]"), 0);
    assert_true(loaded->config.lr == 1e-3 && loaded->config.lr_schedule.at[1][0] == 1e6);
    assert_int_equal(load(NULL, NULL, "model.fcnet_hiddens=[]"), 0);
    assert_int_equal(loaded->config.fcnet_hiddens.n, 0);
    assert_int_equal(load(NULL, NULL, "sumo.time_step=0.1"), 0);
    assert_true(loaded->config.sumo.time_step == 0.1);
    assert_int_equal(load(NULL, NULL, "env_config.speed=fast"), 0);
    assert_string_equal(loaded->config.env_config.at[0].value, "fast");
    const struct config_key *key = config_key_find(&ppo_schema, "", "env_config");
    assert_string_equal(loaded->origins[key - ppo_schema.keys].layer,
                        "--set env_config.speed=fast");
}

struct preset {
    const char *name;
    double cpus;
    int64_t store, memory, runners, each, batch, minibatch, epochs, iterations, eval, most;
};

static void has_presets(void **state)
{
    (void)state;
    const int64_t none = CONFIG_NONE, gib = 1 << 30;
    const struct preset presets[] = {
        {"quick", 2, none, none, 2, 1, 1024, 128, 10, 30, 10, 2},
        {"test", 8, gib, 2 * gib, 2, 1, 500, 64, 2, 5, 2, none},
        {"normal", 28, 4 * gib, 8 * gib, 6, 2, 4000, 128, 10, 200, 10, 6},
        {"max", 32, 5 * gib, 10 * gib, 8, 2, 8000, 256, 15, 200, 10, 16},
        {"memory", 16, 2 * gib, 4 * gib, 3, 1, 2000, 64, 5, 200, 10, 3},
        {"gpu-memory", 16, 2 * gib, 4 * gib, 3, 1, 1000, 32, 3, 200, 10, 2}};
    for (size_t i = 0; i < 6; i++) {
        const struct preset *p = &presets[i];
        assert_string_equal(ppo_preset_name(i), p->name);
        assert_int_equal(load("env: CartPole-v1\n", p->name, NULL), 0);
        const struct ppo_settings *c = &loaded->config;
        assert_true(c->num_cpus == p->cpus && c->object_store_memory == p->store);
        assert_true(c->memory == p->memory && c->num_env_runners == p->runners);
        assert_true(c->num_envs_per_env_runner == p->each && c->train_batch_size == p->batch);
        assert_true(c->minibatch_size == p->minibatch && c->num_epochs == p->epochs);
        assert_true(c->num_iterations == p->iterations && c->eval_interval == p->eval);
        assert_true(c->sumo.max_concurrent_envs == p->most);
        assert_true(c->lr == 3e-4 && c->gamma == 0.99 && c->lambda == 0.95 && c->clip_param == 0.2);
        assert_true(c->entropy_coeff == 0.01 && c->vf_loss_coeff == 0.5 && c->vf_clip_param == 10);
        assert_true(c->fcnet_hiddens.n == 2 && c->fcnet_hiddens.at[0] == 256);
        assert_int_equal(c->fcnet_activation, PPO_RELU);
    }
    assert_null(ppo_preset_name(6));
    assert_int_equal(load("env: CartPole-v1\n", "norml", NULL), -1);
    assert_non_null(strstr(loaded->why, "was normal meant?"));
    assert_int_equal(load("env: CartPole-v1\n", "huge", NULL), -1);
    assert_non_null(strstr(loaded->why, "there are quick, test"));
}

static void lists_what_means_nothing(void **state)
{
    (void)state;
    good("env: CartPole-v1\n_tf_policy_args: {a: 1}\nwsl2: {memory: 12GB}\nenv_vars:\n  A: b\n"
         "framework: torch\nconfig:\n  framework: tf\nlr_schedule: null\nmy_words: 3\n"
         "observation_filter: MeanStdFilter\nbatch_mode: truncate_episodes\nuse_lstm: false\n"
         "post_fcnet_hiddens: []\nmine: {num_workers: 3, gamma: 0.5}\n");
    assert_string_equal(loaded->notes,
                        "observation_filter: MeanStdFilter has no effect: observations are learned "
                        "from as they are\n"
                        "mine (line 15) is read as a group of settings\n"
                        "these keys mean nothing here, and are ignored: _tf_policy_args (line 2), "
                        "wsl2 (line 3), env_vars (line 4), framework (line 6), my_words (line 10), "
                        "batch_mode (line 12), use_lstm (line 13), post_fcnet_hiddens (line 14)");
}

/* RLlib's words; those of its attention over time have no effect, and that is told. */
static void reads_attention(void **state)
{
    (void)state;
    good("env: sumo-vehicles\nmodel:\n  use_attention: true\n  attention_num_heads: 4\n"
         "  attention_head_dim: 32\n");
    assert_true(loaded->config.use_attention);
    assert_int_equal(loaded->config.attention_dim, 64);
    assert_int_equal(loaded->config.attention_num_heads, 4);
    assert_string_equal(loaded->notes, "attention_head_dim: 32 has no effect: attention here is "
                                       "over what an agent sees, not over time");
}

static void reads_the_section_sumo(void **state)
{
    (void)state;
    const struct ppo_settings *c = good(
        "sumo:\n  sumocfg_file: 仿真环境-初赛/sumo.sumocfg\n  use_gui: False\n  time_step: 0.1\n"
        "  max_steps: 3600\n  max_concurrent_envs: 6\n  reuse_env: True\n  use_subscription: yes\n"
        "  cache_timeout: 1.5\n  env_timeout: 30\n  delta_time: 10\n  signals: [a, b]\n");
    assert_true(c->has_sumo && !c->sumo.use_gui && c->sumo.time_step == 0.1);
    assert_string_equal(c->sumo.sumocfg_file, "仿真环境-初赛/sumo.sumocfg");
    assert_true(c->sumo.max_steps == 3600 && c->sumo.max_concurrent_envs == 6);
    assert_true(c->sumo.env_timeout == 30 && c->sumo.cache_timeout == 1.5);
    assert_int_equal(c->env_config.n, 2);
    assert_string_equal(c->env_config.at[0].key, "delta_time");
    assert_string_equal(c->env_config.at[1].value, "a,b");
    c = good("env: CartPole-v1\nmax_concurrent_envs: 3\n");
    assert_true(!c->has_sumo && c->sumo.max_concurrent_envs == 3);
    c = good("sumo: {scenario: cross}\n");
    assert_true(c->has_sumo);
}

static void finds_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_config.XXXXXX", path[600], want[600];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/仿真环境-初赛", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(want, sizeof(want), "%s/仿真环境-初赛/sumo.sumocfg", folder);
    FILE *file = fopen(want, "w");
    fclose(file);
    snprintf(path, sizeof(path), "%s/run.yaml", folder);
    file = fopen(path, "w");
    fputs("sumo:\n  sumocfg_file: 仿真环境-初赛/sumo.sumocfg\n", file);
    fclose(file);
    struct ppo_load ask = {.config = path};
    ppo_settings_free(&loaded);
    assert_int_equal(ppo_settings_load(&ask, &loaded), 0);
    assert_string_equal(loaded->config.sumo.sumocfg_file, want);
    unlink(want);
    ppo_settings_free(&loaded);
    assert_int_equal(ppo_settings_load(&ask, &loaded), -1);
    assert_non_null(
        strstr(loaded->why, "sumo.sumocfg_file: 仿真环境-初赛/sumo.sumocfg is not there"));
    unlink(path);
    ppo_settings_free(&loaded);
    assert_int_equal(ppo_settings_load(&ask, &loaded), -1);
    assert_non_null(strstr(loaded->why, "run.yaml cannot be read: No such file"));
    *strrchr(want, '/') = 0;
    rmdir(want);
    rmdir(folder);
}

static const char *option(const struct config_options *o, const char *key)
{
    for (uint32_t i = 0; i < o->n; i++) {
        if (!strcmp(o->at[i].key, key))
            return o->at[i].value;
    }
    return "";
}

/* For the environment: its own words, and seconds for steps. */
static void gives_options(void **state)
{
    (void)state;
    static struct config_options o;
    char folder[] = "/tmp/test_config.XXXXXX", path[600];
    ppo_env_options(good("sumo: {sumocfg_file: a, time_step: 0.1, max_steps: 3600, delta_time: 10, "
                         "use_gui: true, env_timeout: 7, backend: traci, scenario: cross}\n"),
                    &o);
    assert_string_equal(option(&o, "scenario"), "cross"); /* what is said there wins */
    assert_string_equal(option(&o, "step_length"), "0.1");
    assert_string_equal(option(&o, "num_seconds"), "360");
    assert_string_equal(option(&o, "delta_time"), "10");
    assert_string_equal(option(&o, "gui"), "true");
    assert_string_equal(option(&o, "step_timeout"), "7");
    assert_string_equal(option(&o, "backend"), "traci");
    assert_string_equal(option(&o, "net_file"), "");
    ppo_env_options(good("env: CartPole-v1\nenv_config: {a: 1}\n"), &o);
    assert_true(o.n == 1);
    /* A step is as long as the sumocfg says. */
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/a.sumocfg", folder);
    FILE *file = fopen(path, "w");
    fputs("<configuration><time>\n <step-length value=\"0.5\"/>\n</time></configuration>\n", file);
    fclose(file);
    char set[700];
    snprintf(set, sizeof(set), "sumo.sumocfg_file=%s", path);
    const char *const sets[] = {set, "sumo.max_steps=100"};
    const struct ppo_load ask = {.sets = sets, .n_sets = 2};
    ppo_settings_free(&loaded);
    assert_int_equal(ppo_settings_load(&ask, &loaded), 0);
    ppo_env_options(&loaded->config, &o);
    assert_string_equal(option(&o, "num_seconds"), "50");
    assert_string_equal(option(&o, "scenario"), path);
    unlink(path);
    rmdir(folder);
}

static void refuses_bad_ones(void **state)
{
    (void)state;
#define ENV "env: CartPole-v1\n"
    refuses(ENV "train_bach_size: 3\n",
            "run.yaml, line 2: train_bach_size is no key: was train_batch_size meant?");
    refuses(ENV "config:\n  num_wrokers: 3\n",
            "line 3: config.num_wrokers is no key: was num_workers meant?");
    refuses(ENV "epochs: 3\n", "was num_epochs meant?");
    refuses(ENV "sumo:\n  time_stp: 3\n", "line 3: sumo.time_stp is no key: was time_step meant?");
    refuses(ENV "time_step: 3\n", "it is sumo.time_step");
    refuses(ENV "Model: {a: 1}\n", "was model meant?");
    refuses(ENV "lr: fast\n", "line 2: lr must be a number from 0 to 1000");
    refuses(ENV "lr: '3e-4'\n", "\"3e-4\" in quotes");
    refuses(ENV "lr: nan\n", "lr must be");
    refuses(ENV "lr: 0x1\n", "lr must be");
    refuses(ENV "lr: -1\n", "lr must be");
    refuses(ENV "lr: null\n", "and is empty");
    refuses(ENV "lr: [[0, 1], [0, 1]]\n", "ascending steps");
    refuses(ENV "lr: [0.1]\n", "a list of [step, value]");
    refuses(ENV "num_workers: 2.5\n", "num_workers must be a whole number");
    refuses(ENV "num_workers: [2]\n", "and is a list");
    refuses(ENV "num_workers: {a: 2}\n", "and is a mapping");
    refuses(ENV "num_workers: 2\nnum_env_runners: 3\n",
            "line 3: num_env_runners is the same setting as what line 2 says");
    refuses(ENV "gamma: 1.01\n", "from 0 to 1");
    refuses(ENV "checkpoint_at_end: maybe\n", "true or false");
    refuses(ENV "model: {fcnet_hiddens: [64, 0]}\n", "whole numbers from 1");
    refuses(ENV "model: {fcnet_hiddens: 64}\n", "a list of whole numbers");
    refuses(ENV "model: 3\n", "keys of its own");
    refuses(ENV "fcnet_activation: reul\n", "was relu meant?");
    refuses(ENV "object_store_memory: much\n", "800M or 4GiB");
    refuses(ENV "use_lstm: true\n", "use_lstm: true is not there");
    refuses(ENV "attention_num_heads: 0\n", "from 1");
    refuses(ENV "config: {use_gae: false}\n", "use_gae: false is not there");
    refuses(ENV "num_sgd_iter: {grid_search: [1, 4]}\n", "a training takes one value");
    refuses("run: DQN\nenv: x\n", "this is PPO");
    refuses("gamma: 0.9\n", "nothing to train on");
    refuses("sumo: {net_file: a.net.xml}\n", "has no traffic");
    refuses(ENV "lr_schedule: [[0, 1e-3]]\nlr_anneal: true\n", "cannot both be");
    refuses(ENV "preset: normall\n", "was normal meant?");
    refuses(ENV "semantics: cleanr\n", "was cleanrl meant?");
    refuses(ENV "a: [1\n", "line 3");
    assert_int_equal(load(NULL, NULL, "foo=3"), -1);
    assert_non_null(strstr(loaded->why, "--set foo=3: foo is no key"));
    assert_int_equal(load(NULL, NULL, "lr"), -1);
    assert_non_null(strstr(loaded->why, "it takes KEY=VALUE"));
    assert_int_equal(load(NULL, NULL, ".lr=3"), -1);
    assert_int_equal(load(NULL, NULL, "a..b=3"), -1);
    assert_int_equal(load(NULL, NULL, "lr=[1"), -1);
    assert_non_null(strstr(loaded->why, "--set lr=[1: this is not YAML"));
}

/* What is written is read back as the same, byte by byte. */
static void writes_what_it_reads(void **state)
{
    (void)state;
    static struct ppo_settings before;
    char *text = NULL;
    size_t size;
    assert_int_equal(
        load("env: 'a \"b\" \\ \xe4\xbb\xbf'\npreset: max\nlr: [[0, 3e-4], [1e6, 0.1]]\n"
             "num_cpus: None\nvf_clip_param: .inf\n"
             "sumo: {delta_time: 10, net_file: a, route_file: b, signals: [x, y]}\n"
             "env_config: {z: {w: null}}\nnotify: \"two\\nlines\"\n",
             NULL, "stop_reward=-1.5"),
        0);
    before = loaded->config;
    FILE *file = open_memstream(&text, &size);
    config_write(&ppo_schema, &before, loaded->origins, file);
    fclose(file);
    assert_non_null(strstr(text, "num_env_runners: 8   # preset max, line "));
    assert_non_null(strstr(text, "stop_reward: -1.5   # --set stop_reward=-1.5\n"));
    if (load(text, NULL, NULL))
        fail_msg("%s", loaded->why);
    char *again = NULL;
    file = open_memstream(&again, &size);
    config_write(&ppo_schema, &loaded->config, NULL, file);
    fclose(file);
    char *plain = NULL;
    file = open_memstream(&plain, &size);
    config_write(&ppo_schema, &before, NULL, file);
    fclose(file);
    assert_string_equal(plain, again);
    assert_string_equal(loaded->config.env, "a \"b\" \\ \xe4\xbb\xbf");
    assert_true(loaded->config.vf_clip_param == INFINITY);
    free(text);
    free(again);
    free(plain);
}

static void tells_all_keys(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    config_help(&ppo_schema, file);
    fclose(file);
    for (size_t i = 0; i < ppo_schema.n; i++)
        assert_non_null(strstr(text, ppo_schema.keys[i].name));
    assert_non_null(strstr(text, "also: num_workers num_rollout_workers"));
    free(text);
}

/* The file to learn from, and what its comments say. */
static void reads_the_example(void **state)
{
    struct ppo_load ask = {.config = *state};
    ppo_settings_free(&loaded);
    if (ppo_settings_load(&ask, &loaded))
        fail_msg("%s", loaded->why);
    assert_string_equal(loaded->notes, "");
    assert_true(loaded->config.num_env_runners == 2 && loaded->config.lr == 3e-4);
    assert_int_equal(loaded->config.fcnet_activation, PPO_RELU);
}

int main(int argc, char **argv)
{
    assert(argc == 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_know_their_lines),
        cmocka_unit_test(trees_have_anchors),
        cmocka_unit_test(trees_refuse),
        cmocka_unit_test(words_and_amounts),
        cmocka_unit_test_teardown(reads_files_of_rllib, free_loaded),
        cmocka_unit_test_teardown(knows_other_meanings, free_loaded),
        cmocka_unit_test_teardown(has_defaults_by_semantics, free_loaded),
        cmocka_unit_test_teardown(has_layers, free_loaded),
        cmocka_unit_test_teardown(has_presets, free_loaded),
        cmocka_unit_test_teardown(lists_what_means_nothing, free_loaded),
        cmocka_unit_test_teardown(reads_attention, free_loaded),
        cmocka_unit_test_teardown(reads_the_section_sumo, free_loaded),
        cmocka_unit_test_teardown(finds_files, free_loaded),
        cmocka_unit_test_teardown(gives_options, free_loaded),
        cmocka_unit_test_teardown(refuses_bad_ones, free_loaded),
        cmocka_unit_test_teardown(writes_what_it_reads, free_loaded),
        cmocka_unit_test_teardown(tells_all_keys, free_loaded),
        cmocka_unit_test_prestate_setup_teardown(reads_the_example, NULL, free_loaded, argv[1]),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
