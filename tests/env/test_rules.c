/* The rules of rtc/env.h for environments of one agent: new episodes, seeds, ends, places of rows
 * and results, bad calls. The environment `clock` is as predictable as one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rtc/env.h>

/* Sees its time and its seed. Action: 0 goes on, 1 terminates, 2 truncates, 3 is lost, 4 fails; and
 * a number from 0 to 1, which is the reward. */
struct clock {
    uint64_t seed;
    float time;
};
static const uint32_t clock_choices[] = {5};
static const float reward_low[] = {0}, reward_high[] = {1};
static const struct rtc_env_kind clock_kind = {
    .name = "clock",
    .observation = {.n_floats = 2},
    .action = {.n_floats = 1,
               .low = reward_low,
               .high = reward_high,
               .n_choices = 1,
               .choices = clock_choices},
};
static const char *const clock_infos[] = {"ticks"};
static int clocks_dropped;

struct clock_action {
    float reward;
    int32_t what;
};

static int clock_open(const struct rtc_env_config *config, void *params,
                      struct rtc_env_spec *ret_spec)
{
    (void)config, (void)params;
    ret_spec->features = RTC_ENV_FIXED;
    ret_spec->rows_max = ret_spec->n_kinds = ret_spec->n_infos = 1;
    ret_spec->kinds = &clock_kind;
    ret_spec->infos = clock_infos;
    return 0;
}

static void clock_drop(const void *params, void *state)
{
    (void)params, (void)state;
    clocks_dropped++;
}

static int clock_reset(const void *params, void *state, uint64_t seed)
{
    (void)params;
    *(struct clock *)state = (struct clock){.seed = seed};
    return seed == 13 ? rtc_env_fail(RTC_E_INVALID, "13 is no seed") : 0;
}

static int clock_step(const void *params, void *state, struct rtc_env_turn *turn)
{
    static const uint32_t ends[] = {0, RTC_ENV_TERMINATED, RTC_ENV_TRUNCATED, RTC_ENV_LOST};
    const struct clock_action *action = turn->actions;
    (void)params;
    ((struct clock *)state)->time++;
    turn->rewards[0] = action->reward;
    turn->infos[0] = 2;
    if (action->what >= 3)
        rtc_env_fail(RTC_E_LOST, "its spring broke");
    if (action->what == 4)
        return RTC_E_LOST;
    turn->end = ends[action->what];
    return 0;
}

static int clock_observe(const void *params, const void *state, uint32_t slot,
                         const struct rtc_env_turn *turn, struct rtc_env_rows *rows)
{
    const struct clock *clock = state;
    const struct rtc_env_row row = {.slot = slot, .flags = RTC_ENV_ACTIVE, .size = 8};
    float *seen = rtc_env_row_add(rows, &row, NULL);
    (void)params, (void)turn;
    seen[0] = clock->time;
    seen[1] = (float)(clock->seed % 1000);
    return 0;
}

static const struct rtc_env_single clock_class = {
    .abi = RTC_ENV_ABI,
    .name = "test/clock",
    .about = "for tests",
    .state_size = sizeof(struct clock),
    .open = clock_open,
    .drop = clock_drop,
    .reset = clock_reset,
    .step = clock_step,
    .observe = clock_observe,
};
RTC_ENV(clock_class)

#define SLOTS_MAX 8

/* An environment with room for a step of all of it. */
struct bench {
    struct rtc_env *env;
    float seen[SLOTS_MAX][4], last[SLOTS_MAX][4], rewards[SLOTS_MAX];
    uint8_t ends[SLOTS_MAX];
    uint32_t next[SLOTS_MAX], finals[SLOTS_MAX];
    struct rtc_env_episode list[SLOTS_MAX];
    double sums[SLOTS_MAX][3];
    struct rtc_env_rows rows, final;
    struct rtc_env_episodes episodes;
    struct rtc_env_step step;
};

static void setup(struct bench *b, const char *name, uint32_t slots, const char *limit)
{
    struct rtc_env_option option = {.key = "max_episode_steps", .value = limit};
    struct rtc_env_config config = {.slots = slots, .options = &option, .n_options = limit ? 1 : 0};
    *b = (struct bench){0};
    assert_int_equal(rtc_env_open(name, &config, &b->env), 0);
    b->rows = (struct rtc_env_rows){.cap = SLOTS_MAX, .data = b->seen, .size = sizeof(b->seen)};
    b->final = (struct rtc_env_rows){.cap = SLOTS_MAX, .data = b->last, .size = sizeof(b->last)};
    b->episodes = (struct rtc_env_episodes){.cap = SLOTS_MAX, .list = b->list};
    if (rtc_env_spec_of(b->env)->n_infos == 3)
        b->episodes.sums = b->sums[0];
    b->step = (struct rtc_env_step){.n = slots,
                                    .rewards = b->rewards,
                                    .ends = b->ends,
                                    .next = b->next,
                                    .finals = b->finals,
                                    .rows = &b->rows,
                                    .final = &b->final,
                                    .episodes = &b->episodes};
    b->rows.stride = b->final.stride = sizeof(b->seen[0]);
}

static void advance(struct bench *b, const void *actions)
{
    b->rows.n = b->final.n = b->episodes.n = 0;
    b->step.actions = actions;
    assert_int_equal(rtc_env_step(b->env, &b->step), 0);
}

static void refused(int rc, int code, const char *word)
{
    assert_int_equal(rc, code);
    if (!strstr(rtc_env_error(), word))
        fail_msg("\"%s\": nothing of %s", rtc_env_error(), word);
}

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
    assert_true(b.sums[0][0] == 0 && b.sums[0][1] == 1 && b.sums[0][2] == 2);
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

/* ---- Bad calls ---- */

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
    for (; !ends; sum += reward) {
        rows.n = 0;
        assert_int_equal(rtc_env_step(env, &step), 0);
    }
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
        cmocka_unit_test(next_episode_begins_in_the_same_step),
        cmocka_unit_test(terminated_and_truncated_are_told_apart),
        cmocka_unit_test(what_is_lost_is_replaced),
        cmocka_unit_test(a_class_that_fails_leaves_slots_to_be_reset),
        cmocka_unit_test(seeds_go_on),
        cmocka_unit_test(seven_are_seven_times_one),
        cmocka_unit_test(an_episode_is_its_seed),
        cmocka_unit_test(strides_are_kept_to),
        cmocka_unit_test(halves_are_stepped_on_their_own),
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
