/* The rules of rtc/env.h for environments of one agent: new episodes, seeds, ends, places of rows
 * and results, steps of a part and in two parts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/env/clock.h"

/* ---- Episodes ---- */

static void next_episode_begins_in_the_same_step(void **state)
{
    struct bench b;
    uint64_t seed = 7;
    (void)state;
    setup(&b, "test/clock", 1, NULL);
    assert_int_equal(rtc_env_reset(b.env, 0, 1, &seed, &b.rows), 0);
    assert_int_equal(b.rows.n, 1);
    assert_true(b.seen[0][0] == 0 && b.seen[0][1] == 7);
    advance(&b, &(struct clock_action){.reward = 0.5f});
    assert_true(b.seen[0][0] == 1 && b.rewards[0] == 0.5f);
    assert_int_equal(b.ends[0] | b.final.n | b.episodes.n, 0);
    assert_int_equal(b.next[0], 0);
    assert_int_equal(b.finals[0], RTC_ENV_NONE);
    advance(&b, &(struct clock_action){.reward = 0.25f, .what = 1});
    assert_int_equal(b.ends[0], RTC_ENV_TERMINATED);
    assert_true(b.seen[0][0] == 0 && b.seen[0][1] == (float)(rtc_env_seed(7, 1) % 1000));
    assert_true(b.last[0][0] == 2 && b.last[0][1] == 7);
    assert_int_equal(b.next[0], RTC_ENV_NONE);
    assert_int_equal(b.finals[0], 0);
    assert_int_equal(b.episodes.n, 1);
    assert_true(b.list[0].seed == 7 && b.list[0].number == 0 && !b.list[0].why);
    assert_int_equal(b.list[0].ends, RTC_ENV_TERMINATED);
    assert_true(b.sums[0][0] == 0.75 && b.sums[0][1] == 2 && b.sums[0][2] == 4);
    advance(&b, &(struct clock_action){.what = 2}); /* sums begin at 0 again */
    assert_true(b.list[0].seed == rtc_env_seed(7, 1) && b.list[0].number == 1);
    assert_true(b.sums[0][0] == 0 && b.sums[0][1] == 1 && b.sums[0][2] == 0);
    rtc_env_close(&b.env);
    assert_null(b.env);
}

static void terminated_and_truncated_are_told_apart(void **state)
{
    struct bench b;
    (void)state;
    setup(&b, "test/clock", 3, "2");
    assert_int_equal(rtc_env_spec_of(b.env)->max_episode_steps, 2);
    assert_int_equal(rtc_env_reset(b.env, 0, 3, NULL, &b.rows), 0);
    struct clock_action actions[3] = {{.what = 0}, {.what = 0}, {.what = 1}};
    advance(&b, actions);
    assert_int_equal(b.ends[0] | b.ends[1], 0);
    assert_int_equal(b.ends[2], RTC_ENV_TERMINATED);
    actions[1].what = 1;
    actions[2].what = 0;
    advance(&b, actions);
    assert_int_equal(b.ends[0], RTC_ENV_TRUNCATED);
    assert_int_equal(b.ends[1], RTC_ENV_TERMINATED | RTC_ENV_TRUNCATED);
    assert_int_equal(b.ends[2], 0); /* its time began anew */
    assert_int_equal(b.final.n, 2);
    assert_int_equal(b.finals[0], 0);
    assert_int_equal(b.finals[1], 1);
    assert_int_equal(b.finals[2], RTC_ENV_NONE);
    assert_int_equal(b.next[2], 2);
    rtc_env_close(&b.env);
}

static void what_is_lost_is_replaced(void **state)
{
    struct bench b;
    (void)state;
    setup(&b, "test/clock", 2, NULL);
    assert_int_equal(rtc_env_reset(b.env, 0, 2, NULL, &b.rows), 0);
    struct clock_action actions[2] = {{.reward = 1, .what = 3}, {.reward = 1}};
    advance(&b, actions);
    assert_int_equal(b.ends[0], RTC_ENV_LOST | RTC_ENV_TRUNCATED);
    assert_true(b.rewards[0] == 0 && b.rewards[1] == 1);
    assert_int_equal(b.final.n, 0);
    assert_int_equal(b.finals[0], RTC_ENV_NONE);
    assert_int_equal(b.episodes.n, 1);
    assert_string_equal(b.list[0].why, "its spring broke");
    assert_true(b.sums[0][0] == 0 && b.sums[0][2] == 0);
    assert_true(b.seen[0][0] == 0 && b.seen[1][0] == 1);
    actions[0].what = 0;
    advance(&b, actions);
    assert_int_equal(b.ends[0] | b.ends[1], 0);
    rtc_env_close(&b.env);
}

static void a_class_that_fails_leaves_slots_to_be_reset(void **state)
{
    struct bench b;
    uint64_t bad[] = {1, 13};
    struct clock_action actions[2] = {{.what = 0}, {.what = 4}};
    (void)state;
    setup(&b, "test/clock", 2, NULL);
    refused(rtc_env_reset(b.env, 0, 2, bad, &b.rows), RTC_E_INVALID, "slot 1");
    refused(rtc_env_reset(b.env, 0, 2, bad, &b.rows), RTC_E_INVALID, "13 is no seed");
    assert_int_equal(b.rows.n, 0);
    b.step.actions = actions;
    refused(rtc_env_step(b.env, &b.step), RTC_E_INVALID, "reset");
    assert_int_equal(rtc_env_reset(b.env, 0, 2, NULL, &b.rows), 0);
    b.rows.n = 0;
    refused(rtc_env_step(b.env, &b.step), RTC_E_LOST, "slot 1: its spring broke");
    assert_int_equal(b.rows.n, 0);
    refused(rtc_env_observe(b.env, 0, 1, &b.rows), RTC_E_INVALID, "reset");
    assert_int_equal(rtc_env_reset(b.env, 0, 2, NULL, &b.rows), 0);
    clocks_dropped = 0;
    rtc_env_close(&b.env);
    assert_int_equal(clocks_dropped, 2);
}

static void seeds_go_on(void **state)
{
    struct bench b;
    uint64_t seeds[] = {100, 200};
    (void)state;
    setup(&b, "test/clock", 2, NULL);
    rtc_env_reset(b.env, 0, 2, NULL, &b.rows);
    assert_true(b.seen[0][1] == 0 && b.seen[1][1] == 1); /* a new slot's is its number */
    b.rows.n = 0;
    rtc_env_reset(b.env, 0, 2, NULL, &b.rows);
    assert_true(b.seen[1][1] == (float)(rtc_env_seed(1, 1) % 1000));
    b.rows.n = 0;
    rtc_env_reset(b.env, 0, 2, seeds, &b.rows);
    assert_true(b.seen[0][1] == 100 && b.seen[1][1] == 200);
    b.rows.n = 0;
    rtc_env_reset(b.env, 1, 1, NULL, &b.rows); /* of one only */
    assert_true(b.seen[0][1] == (float)(rtc_env_seed(200, 1) % 1000));
    rtc_env_close(&b.env);
}

/* An episode by its number is the one that so many others come before. */
static void episodes_have_numbers(void **state)
{
    struct bench b;
    const uint64_t seeds[] = {100, 200}, numbers[] = {0, 3};
    (void)state;
    setup(&b, "test/clock", 2, NULL);
    assert_int_equal(rtc_env_reset_at(b.env, 0, 2, seeds, numbers, &b.rows), 0);
    assert_true(b.seen[0][1] == 100);
    assert_true(b.seen[1][1] == (float)(rtc_env_seed(200, 3) % 1000));
    b.rows.n = 0;
    rtc_env_reset(b.env, 0, 2, NULL, &b.rows);
    assert_true(b.seen[0][1] == (float)(rtc_env_seed(100, 1) % 1000));
    assert_true(b.seen[1][1] == (float)(rtc_env_seed(200, 4) % 1000));
    b.rows.n = 0;
    assert_int_equal(rtc_env_reset_at(b.env, 0, 2, seeds, NULL, &b.rows), RTC_E_INVALID);
    assert_int_equal(rtc_env_reset_at(b.env, 1, 2, seeds, numbers, &b.rows), RTC_E_INVALID);
    rtc_env_close(&b.env);
}

/* ---- One and many ---- */

static int32_t cart_action(uint32_t slot, int step)
{
    uint64_t state = slot * 1000u + (uint64_t)step;
    return (int32_t)(rtc_env_random(&state) & 1);
}

/* Seven slots do what seven environments of one do, over many episodes. */
static void seven_are_seven_times_one(void **state)
{
    struct bench many, one;
    int32_t actions[7];
    uint64_t seeds[7];
    int ended = 0;
    (void)state;
    static float seen[7][300][4], rewards[7][300];
    static uint8_t ends[7][300];
    for (uint32_t s = 0; s < 7; s++) {
        seeds[s] = s * 31;
        setup(&one, "CartPole-v1", 1, "25");
        assert_int_equal(rtc_env_reset(one.env, 0, 1, &seeds[s], &one.rows), 0);
        for (int t = 0; t < 300; t++) {
            actions[0] = cart_action(s, t);
            advance(&one, actions);
            memcpy(seen[s][t], one.seen[0], 16);
            rewards[s][t] = one.rewards[0];
            ends[s][t] = one.ends[0];
        }
        rtc_env_close(&one.env);
    }
    setup(&many, "CartPole-v1", 7, "25");
    assert_int_equal(rtc_env_reset(many.env, 0, 7, seeds, &many.rows), 0);
    for (int t = 0; t < 300; t++) {
        for (uint32_t s = 0; s < 7; s++)
            actions[s] = cart_action(s, t);
        advance(&many, actions);
        for (uint32_t s = 0; s < 7; s++) {
            assert_memory_equal(many.seen[s], seen[s][t], 16);
            assert_true(many.rewards[s] == rewards[s][t]);
            assert_int_equal(many.ends[s], ends[s][t]);
            ended += ends[s][t] != 0;
        }
    }
    assert_true(ended > 50);
    rtc_env_close(&many.env);
}

/* An episode of a slot, begun again from its seed elsewhere, is the same, to its final observation.
 */
static void an_episode_is_its_seed(void **state)
{
    struct bench a, b;
    int32_t action = 1;
    float last[4] = {0};
    uint64_t seed = 0;
    (void)state;
    setup(&a, "CartPole-v1", 1, NULL);
    rtc_env_reset(a.env, 0, 1, NULL, &a.rows);
    for (int i = 0; i < 60; i++) {
        advance(&a, &action);
        if (a.episodes.n && a.list[0].number == 3) {
            seed = a.list[0].seed;
            memcpy(last, a.last[0], sizeof(last));
        }
    }
    assert_true(seed != 0);
    setup(&b, "CartPole-v1", 1, NULL);
    rtc_env_reset(b.env, 0, 1, &seed, &b.rows);
    do {
        advance(&b, &action);
    } while (!b.ends[0]);
    assert_memory_equal(b.last[0], last, sizeof(last));
    assert_true(fabsf(last[2]) > 0.2094f || fabsf(last[0]) > 2.4f);
    rtc_env_close(&a.env);
    rtc_env_close(&b.env);
}

/* Results and rows go into columns of a batch of any layout; nothing else is touched. */
static void strides_are_kept_to(void **state)
{
    enum { T = 5, N = 3 };
    struct record {
        uint64_t before;
        float seen[4], reward;
        uint8_t ends, after[3];
    } batch[N][T + 1];
    struct bench b;
    int32_t actions[N][4] = {{1, -5}, {0, -5}, {1, -5}};
    (void)state;
    memset(batch, 0xaa, sizeof(batch));
    setup(&b, "CartPole-v1", N, NULL);
    b.rows.stride = sizeof(batch[0]);
    b.step.actions = actions;
    b.step.action_stride = sizeof(actions[0]);
    b.step.reward_stride = b.step.ends_stride = sizeof(batch[0]);
    b.step.final = NULL;
    for (int t = 0; t <= T; t++) {
        b.rows.n = 0;
        b.rows.data = batch[0][t].seen;
        b.rows.size = sizeof(batch) - (size_t)((char *)b.rows.data - (char *)batch);
        if (t == 0) {
            assert_int_equal(rtc_env_reset(b.env, 0, N, NULL, &b.rows), 0);
            continue;
        }
        b.step.rewards = &batch[0][t - 1].reward;
        b.step.ends = &batch[0][t - 1].ends;
        assert_int_equal(rtc_env_step(b.env, &b.step), 0);
    }
    for (int i = 0; i < N; i++) {
        for (int t = 0; t <= T; t++) {
            assert_true(batch[i][t].before == UINT64_C(0xaaaaaaaaaaaaaaaa));
            assert_int_equal(batch[i][t].after[0], 0xaa);
            assert_true(fabsf(batch[i][t].seen[0]) < 0.3f);
            assert_true(t == T || (batch[i][t].reward == 1 && batch[i][t].ends == 0));
        }
        assert_true(batch[i][1].seen[1] * (i == 1 ? -1 : 1) > 0.1f); /* pushed to its side */
    }
    rtc_env_close(&b.env);
}

/* ---- Parts of it, and in two parts ---- */

static void halves_are_stepped_on_their_own(void **state)
{
    struct bench b;
    struct clock_action actions[4] = {{0}};
    struct rtc_env_step other;
    (void)state;
    setup(&b, "test/clock", 4, NULL);
    rtc_env_reset(b.env, 0, 4, NULL, &b.rows);
    b.step.actions = actions;
    other = b.step;
    b.step.n = 2;
    other.first = 2;
    other.n = 2;
    b.rows.n = 0;
    assert_int_equal(rtc_env_begin(b.env, &b.step), 0);
    refused(rtc_env_begin(b.env, &b.step), RTC_E_INVALID, "not finished");
    refused(rtc_env_observe(b.env, 1, 2, &b.rows), RTC_E_INVALID, "slot 1");
    refused(rtc_env_reset(b.env, 0, 4, NULL, &b.rows), RTC_E_INVALID, "not finished");
    refused(rtc_env_finish(b.env, &other), RTC_E_INVALID, "not begun");
    assert_int_equal(rtc_env_step(b.env, &other), 0);
    assert_int_equal(rtc_env_step(b.env, &other), 0);
    b.rows.cap = 5; /* one less than all of them take */
    refused(rtc_env_finish(b.env, &b.step), RTC_E_TOO_LARGE, "room for 5 rows");
    b.rows.cap = SLOTS_MAX;
    assert_int_equal(rtc_env_finish(b.env, &b.step), 0);
    assert_int_equal(b.rows.n, 6);
    b.rows.n = 0;
    assert_int_equal(rtc_env_observe(b.env, 0, 4, &b.rows), 0);
    assert_true(b.seen[0][0] == 1 && b.seen[1][0] == 1 && b.seen[2][0] == 2 && b.seen[3][0] == 2);
    assert_int_equal(rtc_env_row_count(b.env, 1, 3), 3);
    rtc_env_close(&b.env);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_episode_begins_in_the_same_step),
        cmocka_unit_test(terminated_and_truncated_are_told_apart),
        cmocka_unit_test(what_is_lost_is_replaced),
        cmocka_unit_test(a_class_that_fails_leaves_slots_to_be_reset),
        cmocka_unit_test(seeds_go_on),
        cmocka_unit_test(episodes_have_numbers),
        cmocka_unit_test(seven_are_seven_times_one),
        cmocka_unit_test(an_episode_is_its_seed),
        cmocka_unit_test(strides_are_kept_to),
        cmocka_unit_test(halves_are_stepped_on_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
