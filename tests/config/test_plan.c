/* What becomes of what was asked for, where there is less, or where it does not divide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/config/plan.h"
#include "tests/lib/rng.h"

static const struct ppo_resources plenty = {64, 8, 64ull << 30};
static struct ppo_plan plan;

static void make(const char *text, struct ppo_resources have)
{
    struct ppo_loaded *loaded;
    struct ppo_load ask = {
        .config = "x", .text = text, .text_size = strlen(text), .no_files = true};
    if (ppo_settings_load(&ask, &loaded))
        fail_msg("%s", loaded->why);
    ppo_plan_make(&loaded->config, &have, NULL, &plan);
    ppo_settings_free(&loaded);
}

static bool says(const char *part)
{
    for (uint32_t i = 0; i < plan.n_lines; i++) {
        if (strstr(plan.lines[i], part))
            return true;
    }
    return false;
}

#define ENV  "env: CartPole-v1\nnum_epochs: 10\n"
#define SUMO "sumo: {sumocfg_file: a.sumocfg}\nnum_epochs: 10\n"

static void divides_the_batch(void **state)
{
    (void)state;
    make(ENV "num_workers: 2\ntrain_batch_size: 1024\n", plenty);
    assert_true(plan.fragment == 512 && plan.rounds == 1 && plan.samples == 1024);
    assert_int_equal(plan.minibatches, 8);
    assert_int_equal(plan.updates, 80);
    assert_int_equal(plan.n_lines, 0);
    make(ENV "num_workers: 6\nnum_envs_per_worker: 2\n", plenty);
    assert_true(plan.fragment == 334 && plan.rounds == 1 && plan.samples == 4008);
    assert_true(
        says("4008 samples, the least of whole fragments that reaches train_batch_size 4000"));
    assert_true(says("40 of 4008 samples are left out of each epoch"));
    make(ENV "num_workers: 6\nnum_envs_per_worker: 2\nrollout_fragment_length: 200\n", plenty);
    assert_true(plan.fragment == 167 && plan.rounds == 2 && plan.samples == 4008);
    assert_int_equal(plan.updates, 310);
    assert_true(says("rollout_fragment_length 200 becomes 167: 6 × 2 × 200 does not divide "
                     "train_batch_size 4000"));
    make(ENV "num_workers: 4\nrollout_fragment_length: 500\n", plenty);
    assert_true(plan.fragment == 500 && plan.rounds == 2 && plan.samples == 4000);
    assert_false(says("rollout_fragment_length"));
    make(ENV "num_workers: 2\nrollout_fragment_length: 5000\ntrain_batch_size: 100\n", plenty);
    assert_true(plan.fragment == 50 && plan.samples == 100 && plan.minibatch == 100);
    assert_true(says("minibatch_size 128 becomes 100"));
    make(ENV "num_workers: 0\ntrain_batch_size_per_learner: 500\nnum_learners: 2\n", plenty);
    assert_true(plan.runners == 1 && plan.samples == 1000 && plan.learners == 2);
}

static void never_exceeds_environments(void **state)
{
    (void)state;
    make(SUMO "num_workers: 6\nnum_envs_per_worker: 2\nmax_concurrent_envs: 6\n", plenty);
    assert_true(plan.runners == 6 && plan.envs_per_runner == 1 && plan.envs == 6);
    assert_true(says("max_concurrent_envs 6: 6 × 1 environments instead of 6 × 2"));
    make(SUMO "num_workers: 3\nmax_concurrent_envs: 2\n", plenty);
    assert_true(plan.runners == 2 && plan.envs_per_runner == 1);
    make(SUMO "num_workers: 3\nnum_envs_per_worker: 5\nmax_concurrent_envs: 10\n", plenty);
    assert_true(plan.runners == 3 && plan.envs_per_runner == 3);
    make(SUMO "num_workers: 8\nnum_envs_per_worker: 2\nmax_concurrent_envs: 16\n", plenty);
    assert_true(plan.envs == 16 && !says("max_concurrent_envs"));
    make(ENV "num_workers: 3\nmax_concurrent_envs: 2\n", plenty); /* of SUMO alone */
    assert_int_equal(plan.envs, 3);
}

static void trains_on_what_there_is(void **state)
{
    (void)state;
    make(ENV "num_workers: 6\nnum_cpus: 28\nnum_gpus: 1\nnum_gpus_per_worker: 0.25\n",
         (struct ppo_resources){2, 0, 8ull << 30});
    assert_true(plan.cpus == 2 && plan.runners == 6 && plan.cpus_per_runner * 6 <= 2.0001);
    assert_true(says("num_cpus 28: there are 2"));
    assert_true(says("6 rollout actors share 2 CPUs, 0.333 each"));
    assert_true(says("num_gpus 1: there is none"));
    assert_true(plan.gpus_per_learner == 0);
    make(ENV "num_gpus: 4\nnum_learners: 4\n", (struct ppo_resources){8, 1, 0});
    assert_true(plan.gpus_per_learner == 0.25 &&
                says("num_gpus 4: there is 1, and 4 learners learn on it"));
    make(ENV "num_gpus_per_worker: 1\nnum_learners: 2\n", plenty);
    assert_true(plan.gpus_per_learner == 1 && !says("num_gpus"));
    make(ENV "num_workers: 2\nmax_policy_lag: 1\n", (struct ppo_resources){2, 0, 0});
    assert_true(plan.cpus_per_runner == 0.5 && plan.cpus_per_learner == 1);
    make(ENV "num_workers: 2\n", (struct ppo_resources){2, 0, 0});
    assert_true(plan.cpus_per_runner == 1 && plan.n_lines <= 1);
    make(SUMO "num_workers: 64\nmemory: 1GiB\nobject_store_memory: 2GiB\n",
         (struct ppo_resources){64, 0, 2ull << 30});
    assert_true(says("object_store_memory 2 GiB becomes 1 GiB") && plan.store == 1ull << 30);
    assert_true(says("will be needed, and there is 1 GiB"));
}

/* As many as help: a network each, or enough rows each, and none beside rollout actors that sample.
 */
static void learners_are_chosen(void **state)
{
    (void)state;
    const struct ppo_resources two = {2, 0, 0}, one = {1, 0, 0};
    make(ENV, plenty);
    assert_int_equal(plan.learners, 2);
    make(ENV, one);
    assert_int_equal(plan.learners, 1);
    make(ENV "num_cpus: 1\n", plenty);
    assert_int_equal(plan.learners, 1);
    make(ENV "vf_share_layers: true\n", two);
    assert_int_equal(plan.learners, 2); /* of 64 rows each */
    make(ENV "vf_share_layers: true\nminibatch_size: 64\n", two);
    assert_int_equal(plan.learners, 1);
    make(ENV "minibatch_size: 512\n", plenty);
    assert_int_equal(plan.learners, 8);
    make(ENV "max_policy_lag: 1\n", plenty);
    assert_int_equal(plan.learners, 1);
    make(ENV "num_learners: 1\n", two);
    assert_int_equal(plan.learners, 1);
    make(ENV "num_learners: 3\n", two);
    assert_int_equal(plan.learners, 3);
}

static void ends_in_time(void **state)
{
    (void)state;
    make(ENV "timesteps_total: 9000\nnum_iterations: 100\n", plenty);
    assert_int_equal(plan.iterations, 3);
    make(ENV "timesteps_total: 9000000\nnum_iterations: 100\neval_interval: 0\n", plenty);
    assert_int_equal(plan.iterations, 100);
    assert_int_equal(plan.eval_interval, 0);
}

/* Of whatever is asked for, and whatever there is. */
static void keeps_its_promises(void **state)
{
    (void)state;
    struct rng rng = {7};
    for (int i = 0; i < 3000; i++) {
        char text[600];
        uint64_t batch = 1 + rng_below(&rng, 9000), most = 1 + rng_below(&rng, 20);
        uint32_t cpus = 1 + rng_below(&rng, 32);
        int n =
            snprintf(text, sizeof(text),
                     SUMO "num_workers: %u\nnum_envs_per_worker: %u\ntrain_batch_size: %llu\n"
                          "minibatch_size: %u\nnum_learners: %u\nnum_gpus: %u\nmax_policy_lag: %u\n"
                          "max_concurrent_envs: %llu\n",
                     rng_below(&rng, 12), 1 + rng_below(&rng, 8), (unsigned long long)batch,
                     1 + rng_below(&rng, 600), rng_below(&rng, 5), rng_below(&rng, 5),
                     rng_below(&rng, 3), (unsigned long long)most);
        uint32_t fragment = 1 + rng_below(&rng, 700);
        if (rng_below(&rng, 2))
            snprintf(text + n, sizeof(text) - (size_t)n, "rollout_fragment_length: %u\n", fragment);
        else
            fragment = UINT32_MAX;
        make(text, (struct ppo_resources){cpus, rng_below(&rng, 3), 1ull << 34});
        assert_true(plan.envs <= most && plan.envs == plan.runners * plan.envs_per_runner);
        assert_true(plan.runners >= 1 && plan.envs_per_runner >= 1 && plan.learners >= 1);
        assert_int_equal(plan.samples, (uint64_t)plan.envs * plan.fragment * plan.rounds);
        assert_true(plan.samples >= batch &&
                    plan.samples < batch + (uint64_t)plan.envs * plan.rounds);
        assert_true(plan.fragment <= fragment && plan.minibatch <= plan.samples);
        assert_true(plan.minibatches >= 1 && plan.updates == plan.minibatches * plan.epochs);
        double used = plan.cpus_per_runner * plan.runners +
                      (plan.policy_lag ? plan.cpus_per_learner * plan.learners : 0);
        assert_true(used <= cpus + 1e-9);
    }
}

static void is_written(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size;
    struct ppo_loaded *loaded;
    const char *const sets[] = {"sumo.scenario=cross"};
    struct ppo_load ask = {.preset = "quick", .sets = sets, .n_sets = 1};
    assert_int_equal(ppo_settings_load(&ask, &loaded), 0);
    const struct ppo_shape shape = {
        .observation = 10, .actions = 4, .agents = 1, .env_bytes = 20 << 20};
    ppo_plan_make(&loaded->config, &(struct ppo_resources){2, 0, 4ull << 30}, &shape, &plan);
    FILE *file = open_memstream(&text, &size);
    ppo_plan_write(&loaded->config, &plan, file);
    fclose(file);
    assert_non_null(strstr(text, "2 rollout actors × 1 environment, 2 learners\n"));
    assert_non_null(
        strstr(text, "1024 samples an iteration: 2 × 1 × 512 steps, 1 round; policy lag 0\n"));
    assert_non_null(
        strstr(text, "10 epochs × 8 minibatches of 128: 80 updates an iteration; rllib\n"));
    assert_non_null(
        strstr(text, "30 iterations, 30720 samples; 10 episodes of evaluation every 10"));
    assert_null(strstr(text, "note"));
    assert_int_equal(plan.parameters, 2 * (11 * 256 + 257 * 256) + 257 * 5);
    free(text);
    ppo_settings_free(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(divides_the_batch),
        cmocka_unit_test(never_exceeds_environments),
        cmocka_unit_test(trains_on_what_there_is),
        cmocka_unit_test(learners_are_chosen),
        cmocka_unit_test(ends_in_time),
        cmocka_unit_test(keeps_its_promises),
        cmocka_unit_test(is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
