/* Rollout actors on a cluster: fragments in the store, versions, evaluation, failures. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "actors/rollout/rollout.h"
#include "tests/rollout/toy.h"

static struct rtc *rtc;

static rtc_actor start(const char *env, const char *policy, const char *config,
                       const struct rtc_actor_options *actor_options)
{
    struct rtc_env_option limit = {.key = "max_episode_steps", .value = "12"};
    struct rtc_env_config env_config = {.slots = 3, .options = &limit, .n_options = 1};
    struct rollout_options options = {.env = env,
                                      .config = &env_config,
                                      .policy = policy,
                                      .policy_config = config,
                                      .policy_config_size = strlen(config),
                                      .seed = 4,
                                      .groups = 2};
    rtc_actor actor;
    if (rollout_create(rtc, &options, actor_options, &actor) < 0)
        fail_msg("%s", rtc_last_error());
    return actor;
}

static rtc_ref weights_of(float weight)
{
    struct rtc_array array = {
        .data = &weight, .size = sizeof(weight), .shape = {1}, .ndim = 1, .dtype = RTC_F32};
    struct rtc_value value = rtc_nd(&array);
    rtc_ref ref;
    assert_int_equal(rtc_put(rtc, &value, &ref), 0);
    return ref;
}

static int collect(rtc_actor actor, uint32_t version, rtc_ref weights, uint32_t steps,
                   struct rollout_result *result, rtc_ref *ret_ref)
{
    struct rtc_value value;
    assert_int_equal(rollout_collect(rtc, actor, version, weights, steps, ret_ref), 0);
    int rc = rtc_get(rtc, *ret_ref, RTC_S(60), &value);
    if (rc == 0)
        assert_int_equal(rollout_result_of(&value, result), 0);
    return rc;
}

static void read_fragment(const struct rollout_result *result, struct fragment *f)
{
    struct rtc_value value;
    struct rtc_array array;
    assert_int_equal(rtc_get(rtc, result->fragment, RTC_S(60), &value), 0);
    assert_int_equal(rtc_value_array(&value, &array), 0);
    if (fragment_read(array.data, array.size, f) < 0)
        fail_msg("%s", rtc_env_error());
}

static void fragments_come_in_order(void **state)
{
    (void)state;
    rtc_actor actor = start("CartPole-v1", "toy", "toy", NULL);
    rtc_ref weights[] = {weights_of(2), weights_of(5)};
    struct rtc_env_spec *spec;
    struct rtc_value value;
    rtc_ref ref;
    size_t dist;
    assert_int_equal(rollout_describe(rtc, actor, &ref), 0);
    assert_int_equal(rtc_get(rtc, ref, RTC_S(60), &value), 0);
    assert_int_equal(rollout_description_of(&value, &spec, &dist), 0);
    assert_int_equal(dist, 4);
    assert_int_equal(spec->slots, 3);
    assert_string_equal(spec->name, "CartPole-v1");
    free(spec);
    assert_int_equal(rtc_release(rtc, ref), 0);

    float last[4 * 3] = {0};
    for (uint32_t i = 0; i < 6; i++) {
        struct rollout_result result;
        struct fragment f;
        if (collect(actor, i / 3, weights[i / 3], 700, &result, &ref) < 0)
            fail_msg("%s", rtc_last_error());
        read_fragment(&result, &f);
        assert_int_equal(f.head->number, i);
        assert_int_equal(f.head->acted, 2100);
        assert_int_equal(f.head->version, i / 3);
        float weight = i < 3 ? 2 : 5;
        for (uint32_t k = 0; k < f.head->rows; k++) {
            if (k < f.head->acted)
                assert_int_equal(f.versions[k], i / 3);
            assert_true(f.values[k] == toy_value((char *)f.observations + 16 * k, 16, weight));
        }
        /* Where one ends the next goes on. */
        if (i > 0)
            assert_memory_equal(f.observations, last, sizeof(last));
        memcpy(last, (char *)f.observations + 16 * f.head->acted, sizeof(last));
        assert_int_equal(result.rows, 2100 * (i + 1));
        assert_int_equal(result.lost, 0);
        assert_true(result.n_episodes >= 700 * 3 / 12 - 3);
        for (size_t k = 0; k < result.n_episodes; k++) {
            assert_true(result.sums[2 * k] >= 1 && result.sums[2 * k] <= 12);
            assert_true(result.episodes[k].ends != 0);
        }
        assert_int_equal(rtc_release(rtc, ref), 0);
    }
    assert_int_equal(rtc_actor_release(rtc, actor), 0);
}

static void evaluations_are_the_same_again(void **state)
{
    (void)state;
    rtc_actor actor = start("CartPole-v1", "toy", "toy", NULL);
    rtc_ref weights = weights_of(1), refs[3], other;
    struct rollout_result results[3], result;
    struct rtc_value value;
    for (int i = 0; i < 3; i++) {
        if (i == 1) /* it goes on as if there had been none */
            assert_int_equal(collect(actor, 1, weights, 30, &result, &other), 0);
        assert_int_equal(rollout_evaluate(rtc, actor, 1, weights, 17, i == 2, &refs[i]), 0);
        if (rtc_get(rtc, refs[i], RTC_S(60), &value) < 0)
            fail_msg("%s", rtc_last_error());
        assert_int_equal(rollout_result_of(&value, &results[i]), 0);
        assert_int_equal(results[i].n_episodes, 17);
        assert_int_equal(results[i].n_infos, 2);
        assert_int_equal(results[i].fragment.seq, 0);
    }
    size_t size = 17 * 2 * sizeof(double);
    assert_memory_equal(results[0].sums, results[1].sums, size);
    assert_memory_not_equal(results[0].sums, results[2].sums, size);
    for (size_t i = 0; i < 17; i++)
        assert_int_equal(results[0].episodes[i].number * 3 + results[0].episodes[i].slot, i);
    assert_int_equal(rtc_release_many(rtc, refs, 3), 0);
    assert_int_equal(rtc_actor_release(rtc, actor), 0);
}

static void a_killed_one_starts_again(void **state)
{
    (void)state;
    rtc_actor actor =
        start("CartPole-v1", "toy", "toy", RTC_ACTOR_OPTIONS(.max_restarts = 3, .call_retries = 3));
    rtc_ref weights = weights_of(1), refs[2];
    struct rollout_result result;
    struct fragment f[2];
    struct rtc_actor_info info;
    for (int i = 0; i < 2; i++) {
        if (collect(actor, 1, weights, 700, &result, &refs[i]) < 0)
            fail_msg("%s", rtc_last_error());
        read_fragment(&result, &f[i]);
        assert_int_equal(f[i].head->number, 0);
        assert_int_equal(rtc_actor_info(rtc, actor, &info), 0);
        if (i == 0)
            assert_int_equal(kill((pid_t)info.pid, SIGKILL), 0);
    }
    assert_memory_not_equal(f[0].observations, f[1].observations, 16 * 3);
    assert_int_equal(rtc_release_many(rtc, refs, 2), 0);
    assert_int_equal(rtc_actor_release(rtc, actor), 0);
}

static void expect_start(const char *env, const char *policy, const char *config, const char *words)
{
    rtc_actor actor = start(env, policy, config, NULL);
    assert_true(rtc_actor_ready(rtc, actor, RTC_S(60)) < 0);
    if (!strstr(rtc_last_error(), words))
        fail_msg("%s", rtc_last_error());
    assert_int_equal(rtc_actor_release(rtc, actor), 0);
}

static void bad_input(void **state)
{
    (void)state;
    expect_start("CartPole-v7", "toy", "toy", "CartPole-v1");
    expect_start("CartPole-v1", "toys", "toy", "no policy \"toys\"");
    expect_start("CartPole-v1", "toy", "toad", "does not understand its config");

    rtc_actor actor = start("CartPole-v1", "toy", "toy", NULL);
    rtc_ref weights = weights_of(1), ref;
    struct rollout_result result;
    struct rtc_value value;
    assert_true(collect(actor, 1, weights, 0, &result, &ref) < 0);
    assert_non_null(strstr(rtc_last_error(), "cannot have 0 steps"));
    double two[2] = {0};
    struct rtc_array array = {
        .data = two, .size = sizeof(two), .shape = {2}, .ndim = 1, .dtype = RTC_F64};
    struct rtc_value wrong = rtc_nd(&array);
    assert_int_equal(rtc_put(rtc, &wrong, &weights), 0);
    assert_true(collect(actor, 2, weights, 5, &result, &ref) < 0);
    assert_non_null(strstr(rtc_last_error(), "one weight"));
    assert_int_equal(rollout_evaluate(rtc, actor, 2, weights, 0, 0, &ref), 0);
    assert_true(rtc_get(rtc, ref, RTC_S(60), &value) < 0);
    assert_non_null(strstr(rtc_last_error(), "0 episodes cannot be evaluated"));
    assert_int_equal(rtc_actor_release(rtc, actor), 0);
}

int main(int argc, char **argv)
{
    rollout_policy_register(&toy_policy);
    if (rtc_init(&argc, &argv, RTC_CONFIG(.cpus = 4, .quiet = true), &rtc) < 0) {
        fprintf(stderr, "%s\n", rtc_last_error());
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fragments_come_in_order), cmocka_unit_test(evaluations_are_the_same_again),
        cmocka_unit_test(a_killed_one_starts_again), cmocka_unit_test(bad_input)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rtc_shutdown(&rtc);
    return failed;
}
