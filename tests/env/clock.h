/* An environment of one agent as predictable as a clock, and room for a step of any. */
#ifndef TESTS_ENV_CLOCK_H
#define TESTS_ENV_CLOCK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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
    if (action->reward > 0)
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

#endif
