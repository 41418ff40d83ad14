/* Bad calls of rtc/env.h: each is refused with a sentence, and changes nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/env/clock.h"

static void unknown_names_are_answered_with_the_known(void **state)
{
    struct rtc_env *env = NULL;
    struct rtc_env_option options[] = {{"gravity", "9.8", NULL}, {"g", "1e9", NULL}};
    struct rtc_env_config config = {.options = options, .n_options = 1};
    (void)state;
    refused(rtc_env_open("CartPole-v2", NULL, &env), RTC_E_NOT_FOUND,
            "Acrobot-v1, CartPole-v1, Pendulum-v1, test/clock");
    refused(rtc_env_open(NULL, NULL, &env), RTC_E_NOT_FOUND, "without a name");
    refused(rtc_env_open("Pendulum-v1", &config, &env), RTC_E_NOT_FOUND,
            "no option gravity; its options: max_episode_steps, g");
    config.options++;
    refused(rtc_env_open("Pendulum-v1", &config, &env), RTC_E_INVALID, "g is \"1e9\"");
    options[1] = (struct rtc_env_option){"max_episode_steps", "-1", NULL};
    refused(rtc_env_open("Pendulum-v1", &config, &env), RTC_E_INVALID, "whole number from 0");
    options[1] = (struct rtc_env_option){"sutton_barto_reward", "maybe", NULL};
    refused(rtc_env_open("CartPole-v1", &config, &env), RTC_E_INVALID, "true or false");
    config.n_options = 0;
    config.slots = 1u << 20;
    refused(rtc_env_open("CartPole-v1", &config, &env), RTC_E_INVALID, "65536");
    assert_null(env);
    rtc_env_close(&env);
}

static void options_count(void **state)
{
    struct rtc_env *env;
    struct rtc_env_option options[] = {{"sutton_barto_reward", "true", NULL},
                                       {"max_episode_steps", "9", NULL},
                                       {"max_episode_steps", "0", NULL}};
    struct rtc_env_config config = {.options = options, .n_options = 3};
    (void)state;
    assert_int_equal(rtc_env_open("CartPole-v1", &config, &env), 0);
    assert_int_equal(rtc_env_spec_of(env)->max_episode_steps, 0); /* the last one of a key */
    float seen[4], reward, sum = 0;
    uint8_t ends = 0;
    int32_t action = 1;
    struct rtc_env_rows rows = {.cap = 1, .data = seen, .size = sizeof(seen)};
    struct rtc_env_step step = {
        .n = 1, .actions = &action, .rewards = &reward, .ends = &ends, .rows = &rows};
    assert_int_equal(rtc_env_reset(env, 0, 1, NULL, &rows), 0);
    do {
        rows.n = 0;
        assert_int_equal(rtc_env_step(env, &step), 0);
        sum += reward;
    } while (!ends);
    assert_true(sum == -1);
    rtc_env_close(&env);
    assert_int_equal(rtc_env_open("CartPole-v1", NULL, &env), 0);
    assert_int_equal(rtc_env_spec_of(env)->max_episode_steps, 500);
    rtc_env_close(&env);
}

static void bad_actions_change_nothing(void **state)
{
    struct bench b;
    struct clock_action actions[2] = {{.reward = 1}, {.reward = 1}};
    (void)state;
    setup(&b, "test/clock", 2, NULL);
    rtc_env_reset(b.env, 0, 2, NULL, &b.rows);
    b.rows.n = 0;
    b.step.actions = actions;
    actions[1].what = 5;
    refused(rtc_env_step(b.env, &b.step), RTC_E_RANGE,
            "slot 1, agent 0 (clock) of test/clock: choice 0 of its action is 5");
    actions[1].what = -1;
    refused(rtc_env_step(b.env, &b.step), RTC_E_RANGE, "choice 0 of its action is -1");
    actions[1] = (struct clock_action){.reward = NAN};
    refused(rtc_env_step(b.env, &b.step), RTC_E_RANGE, "number 0 of its action is nan");
    actions[1].reward = -0.5f;
    refused(rtc_env_step(b.env, &b.step), RTC_E_RANGE, "outside of the bounds");
    actions[1].reward = INFINITY;
    refused(rtc_env_step(b.env, &b.step), RTC_E_RANGE, "finite");
    rtc_env_observe(b.env, 0, 2, &b.rows);
    assert_true(b.seen[0][0] == 0 && b.seen[1][0] == 0);
    rtc_env_close(&b.env);
}

/* Gymnasium's pendulum clips its torque; NaN is refused there too. */
static void pendulum_clips(void **state)
{
    struct bench b;
    float actions[3] = {2, 50, INFINITY};
    uint64_t seeds[] = {5, 5, 5};
    (void)state;
    setup(&b, "Pendulum-v1", 3, NULL);
    rtc_env_reset(b.env, 0, 3, seeds, &b.rows);
    advance(&b, actions);
    assert_memory_equal(b.seen[0], b.seen[1], 12);
    assert_memory_equal(b.seen[0], b.seen[2], 12);
    actions[2] = NAN;
    b.rows.n = 0;
    refused(rtc_env_step(b.env, &b.step), RTC_E_RANGE, "slot 2");
    actions[2] = 0;
    for (int i = 2; i < 200; i++) {
        advance(&b, actions);
        assert_int_equal(b.ends[0], 0);
    }
    advance(&b, actions);
    assert_int_equal(b.ends[0], RTC_ENV_TRUNCATED);
    rtc_env_close(&b.env);
}

static void lack_of_room_changes_nothing(void **state)
{
    struct bench b;
    struct clock_action actions[2] = {{.what = 1}, {.what = 1}};
    (void)state;
    setup(&b, "test/clock", 2, NULL);
    rtc_env_reset(b.env, 0, 2, NULL, &b.rows);
    b.step.actions = actions;
    b.rows.cap = 3;
    refused(rtc_env_step(b.env, &b.step), RTC_E_TOO_LARGE, "room for 3 rows");
    b.rows.cap = SLOTS_MAX;
    b.rows.size = 4 * b.rows.stride - 9; /* the last one may end before its stride does */
    refused(rtc_env_step(b.env, &b.step), RTC_E_TOO_LARGE, "bytes of data");
    b.rows.size++;
    b.final.size = 8;
    refused(rtc_env_step(b.env, &b.step), RTC_E_TOO_LARGE, "final");
    b.final.size = 3 * sizeof(b.last[0]);
    b.episodes.cap = 1;
    refused(rtc_env_step(b.env, &b.step), RTC_E_TOO_LARGE, "episodes");
    b.episodes.cap = 2;
    assert_int_equal(rtc_env_step(b.env, &b.step), 0);
    assert_int_equal(b.rows.n, 4); /* behind those of the reset */
    assert_int_equal(b.next[0], RTC_ENV_NONE);
    assert_true(b.seen[2][0] == 0 && b.last[0][0] == 1 && b.last[1][0] == 1);
    rtc_env_close(&b.env);
}

static void missing_things_are_named(void **state)
{
    struct bench b;
    struct rtc_env *none = NULL;
    int32_t actions[2] = {0};
    (void)state;
    setup(&b, "CartPole-v1", 2, NULL);
    refused(rtc_env_reset(b.env, 0, 2, NULL, NULL), RTC_E_INVALID, "rows");
    refused(rtc_env_reset(b.env, 1, 2, NULL, &b.rows), RTC_E_INVALID, "slots 0 to 1");
    refused(rtc_env_reset(b.env, 0, 0, NULL, &b.rows), RTC_E_INVALID, "slots 0 to 1");
    refused(rtc_env_reset(none, 0, 1, NULL, &b.rows), RTC_E_CLOSED, "closed");
    refused(rtc_env_step(b.env, &b.step), RTC_E_INVALID, "reset");
    b.rows.stride = 8;
    refused(rtc_env_reset(b.env, 0, 2, NULL, &b.rows), RTC_E_INVALID, "up to 16");
    b.rows.stride = 0;
    b.rows.data = (char *)b.seen + 1;
    refused(rtc_env_reset(b.env, 0, 2, NULL, &b.rows), RTC_E_INVALID, "aligned");
    b.rows.data = b.seen;
    assert_int_equal(rtc_env_reset(b.env, 0, 2, NULL, &b.rows), 0);
    refused(rtc_env_step(b.env, &b.step), RTC_E_INVALID, "actions");
    b.step.actions = actions;
    b.step.rewards = NULL;
    refused(rtc_env_step(b.env, &b.step), RTC_E_INVALID, "rewards");
    b.step.rewards = b.rewards;
    b.step.rows = NULL;
    refused(rtc_env_step(b.env, &b.step), RTC_E_INVALID, "rows");
    refused(rtc_env_step(b.env, NULL), RTC_E_INVALID, "step");
    rtc_env_close(&b.env);
}

static int count_name(void *arg, const char *name, const char *about)
{
    assert_true(about[0] != '\0');
    return ++*(int *)arg == 2 && !strcmp(name, "CartPole-v1");
}

static void registry_is_particular(void **state)
{
    struct rtc_env_single copy = clock_class;
    struct rtc_env_class class_ = {.abi = RTC_ENV_ABI, .name = "test/half"};
    int n = 0;
    (void)state;
    refused(rtc_env_register_single(&copy), RTC_E_EXISTS, "test/clock");
    copy.abi = RTC_ENV_ABI + 1;
    refused(rtc_env_register_single(&copy), RTC_E_VERSION, "version");
    copy = clock_class;
    copy.name = "";
    refused(rtc_env_register_single(&copy), RTC_E_INVALID, "name");
    refused(rtc_env_register(&class_), RTC_E_INVALID, "test/half");
    assert_int_equal(rtc_env_list(count_name, &n), 0);
    assert_int_equal(n, 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_names_are_answered_with_the_known),
        cmocka_unit_test(options_count),
        cmocka_unit_test(bad_actions_change_nothing),
        cmocka_unit_test(pendulum_clips),
        cmocka_unit_test(lack_of_room_changes_nothing),
        cmocka_unit_test(missing_things_are_named),
        cmocka_unit_test(registry_is_particular),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
