/* The rules of rtc/env.h for many agents: rows of those that come and go, ragged observations,
 * masks, kinds and policies, final observations; classes that step many slots themselves; classes
 * that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rtc/env.h>

/* ---- A crowd: agent a comes at time a / 2 and acts three times ---- */

#define CROWD_MAX 6
#define CROWD_END 7

enum wrong { FINE, ORDER, MASK, SLOT, BACK, KIND, VANISH, MANY };

struct crowd {
    uint32_t time;
};
static const uint32_t small_choices[] = {3}, big_choices[] = {2, 4};
static const struct rtc_env_kind crowd_kinds[] = {
    {.name = "small",
     .observation = {.n_floats = 3},
     .action = {.n_choices = 1, .choices = small_choices, .masked = true}},
    {.name = "big",
     .observation = {.n_floats = 6, .ndim = 2, .shape = {3, 2}},
     .action = {.n_choices = 2, .choices = big_choices, .masked = true},
     .policy = 1},
};
static const struct rtc_env_option crowd_options[] = {{"wrong", "0", NULL}, {NULL, NULL, NULL}};

static bool is_live(uint32_t agent, uint32_t time)
{
    return agent / 2 <= time && time < agent / 2 + 3;
}
static bool is_active(uint32_t agent, uint32_t time)
{
    return (agent + time) % 5 != 0;
}
static uint32_t size_of(uint32_t agent, uint32_t time)
{
    return 4 * (agent % 2 ? 2 + (agent + time) % 5 : 1 + (agent + time) % 3);
}
static float value_of(uint32_t agent, uint32_t time)
{
    return (float)(100 * time + agent);
}
/* What is allowed, and how many bytes that is. */
static uint32_t mask_of(uint32_t agent, uint32_t time, uint8_t *ret_mask)
{
    uint32_t x = agent + time;
    memset(ret_mask, 1, 6);
    if (agent % 2) {
        ret_mask[1 - x % 2] = 0;
        ret_mask[2 + x % 4] = 0;
        return 6;
    }
    ret_mask[x % 3] = 0;
    memset(ret_mask + 3, 0, 3);
    return 3;
}

static int crowd_open(const struct rtc_env_config *config, void *params,
                      struct rtc_env_spec *ret_spec)
{
    ret_spec->features = RTC_ENV_RAGGED;
    ret_spec->rows_max = CROWD_MAX;
    ret_spec->n_kinds = 2;
    ret_spec->kinds = crowd_kinds;
    return rtc_env_option_i64(config, "wrong", 0, MANY, params);
}

static int crowd_reset(const void *params, void *state, uint64_t seed)
{
    (void)params, (void)seed;
    ((struct crowd *)state)->time = 0;
    return 0;
}

static int crowd_step(const void *params, void *state, struct rtc_env_turn *turn)
{
    struct crowd *crowd = state;
    uint32_t i = 0;
    (void)params;
    for (uint32_t a = 0; a < 2 * crowd->time + 2; a++) {
        if (!is_live(a, crowd->time))
            continue;
        turn->rewards[i] = a;
        if (!is_live(a, crowd->time + 1))
            turn->ends[i] = a % 3 ? RTC_ENV_TRUNCATED : RTC_ENV_TERMINATED;
        i++;
    }
    assert_int_equal(turn->n, i);
    crowd->time++;
    turn->end = crowd->time == CROWD_END ? RTC_ENV_TRUNCATED : 0;
    return 0;
}

static void crowd_row(struct rtc_env_rows *rows, uint32_t slot, uint32_t a, uint32_t time)
{
    uint8_t *mask, all[6];
    const struct rtc_env_row row = {.slot = slot,
                                    .agent = a,
                                    .kind = a % 2,
                                    .policy = a % 2,
                                    .flags = is_active(a, time) ? RTC_ENV_ACTIVE : 0,
                                    .size = size_of(a, time)};
    float *seen = rtc_env_row_add(rows, &row, &mask);
    assert_non_null(seen);
    for (uint32_t i = 0; i < row.size / 4; i++)
        seen[i] = value_of(a, time);
    uint32_t size = mask_of(a, time, all);
    if (mask)
        memcpy(mask, all, size);
}

/* Spoils the first rows of a slot; those of VANISH and MANY at time 1. */
static void spoil(struct rtc_env_rows *rows, uint32_t from, uint32_t slot, enum wrong wrong)
{
    struct rtc_env_row *row = &rows->table[from];
    if (wrong == ORDER)
        row->agent = 99;
    if (wrong == MASK) /* of an active one */
        memset(rows->masks + (from + 1) * rows->mask_stride, 0, 3);
    if (wrong == VANISH)
        row->agent += 1000, row[1].agent += 2000;
    if (wrong == SLOT)
        row->slot = 77;
    if (wrong == BACK && slot == 1)
        row[1].slot = 0, row[1].agent = 50;
    if (wrong == KIND)
        row->kind = 2;
}

static int crowd_observe(const void *params, const void *state, uint32_t slot,
                         const struct rtc_env_turn *turn, struct rtc_env_rows *rows)
{
    uint32_t time = ((const struct crowd *)state)->time, i = 0, from = rows->n;
    enum wrong wrong = (enum wrong)(*(const int64_t *)params);
    for (uint32_t a = 0; a < 2 * time + 2; a++) {
        if (!turn && is_live(a, time))
            crowd_row(rows, slot, a, time);
        else if (turn && is_live(a, time - 1) && turn->ends[i++])
            crowd_row(rows, slot, a, time);
    }
    if (!turn && time == (wrong >= VANISH))
        spoil(rows, from, slot, wrong);
    for (uint32_t a = 50; a < 54 && wrong == MANY && time == 1 && !turn; a++)
        crowd_row(rows, slot, a, time);
    return 0;
}

static const struct rtc_env_single crowd_class = {
    .abi = RTC_ENV_ABI,
    .name = "test/crowd",
    .options = crowd_options,
    .params_size = sizeof(int64_t),
    .state_size = sizeof(struct crowd),
    .open = crowd_open,
    .reset = crowd_reset,
    .step = crowd_step,
    .observe = crowd_observe,
};
RTC_ENV(crowd_class)

#define SLOTS     3
#define FRAGMENT  16
#define ROWS_MAX  (SLOTS * CROWD_MAX * (FRAGMENT + 2))
#define STEP_ROWS (SLOTS * CROWD_MAX)

/* A fragment of several steps. */
struct fragment {
    float seen[ROWS_MAX * 6], last[ROWS_MAX * 6];
    uint8_t masks[ROWS_MAX * 6];
    struct rtc_env_row table[ROWS_MAX], last_table[ROWS_MAX];
    int32_t actions[STEP_ROWS][2];
    float rewards[STEP_ROWS];
    uint8_t ends[STEP_ROWS];
    uint32_t next[STEP_ROWS], finals[STEP_ROWS];
    struct rtc_env_rows rows, final;
    struct rtc_env_step step;
};

static struct rtc_env *open_crowd(enum wrong wrong)
{
    char digit[2] = {(char)('0' + (int)wrong), '\0'};
    struct rtc_env_option option = {.key = "wrong", .value = digit};
    struct rtc_env_config config = {.slots = SLOTS, .options = &option, .n_options = 1};
    struct rtc_env *env;
    assert_int_equal(rtc_env_open("test/crowd", &config, &env), 0);
    return env;
}

static struct fragment *new_fragment(size_t stride)
{
    struct fragment *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    memset(f->masks, 0xaa, sizeof(f->masks));
    f->rows = (struct rtc_env_rows){.cap = ROWS_MAX,
                                    .data = f->seen,
                                    .size = sizeof(f->seen),
                                    .stride = stride,
                                    .masks = f->masks,
                                    .table = f->table};
    f->final = (struct rtc_env_rows){.cap = ROWS_MAX,
                                     .data = f->last,
                                     .size = sizeof(f->last),
                                     .stride = stride,
                                     .table = f->last_table};
    f->step = (struct rtc_env_step){.n = SLOTS,
                                    .actions = f->actions,
                                    .rewards = f->rewards,
                                    .ends = f->ends,
                                    .next = f->next,
                                    .finals = f->finals,
                                    .rows = &f->rows,
                                    .final = &f->final};
    return f;
}

/* A row is what the agent sees at that time. */
static void check_row(const struct rtc_env_rows *rows, uint32_t i, uint32_t agent, uint32_t time,
                      uint32_t slot)
{
    const struct rtc_env_row *row = &rows->table[i];
    assert_int_equal(row->slot, slot);
    assert_int_equal(row->agent, agent);
    assert_int_equal(row->kind, agent % 2);
    assert_int_equal(row->policy, agent % 2);
    assert_int_equal(row->size, size_of(agent, time));
    for (uint32_t j = 0; j < row->size / 4; j++)
        assert_true(((float *)rows->data)[row->at / 4 + j] == value_of(agent, time));
    if (rows->masks) {
        uint8_t mask[6];
        mask_of(agent, time, mask);
        assert_memory_equal(rows->masks + i * rows->mask_stride, mask, 6);
        assert_int_equal(row->flags, (is_active(agent, time) ? RTC_ENV_ACTIVE : 0) |
                                         (time ? 0 : RTC_ENV_FIRST));
    }
}

static void check_rows(const struct fragment *f, uint32_t from, uint32_t time)
{
    uint32_t i = from;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        for (uint32_t a = 0; a < 2 * time + 2; a++) {
            if (is_live(a, time))
                check_row(&f->rows, i++, a, time, slot);
        }
    }
    assert_int_equal(f->rows.n, i);
}

/* Allowed actions for the active, nonsense for the others. */
static void act(struct fragment *f, uint32_t from, uint32_t time)
{
    for (uint32_t i = from; i < f->rows.n; i++) {
        uint32_t x = f->table[i].agent + time;
        bool active = f->table[i].flags & RTC_ENV_ACTIVE;
        f->actions[i - from][0] = active ? (int32_t)(f->table[i].kind ? x % 2 : (x + 1) % 3) : -77;
        f->actions[i - from][1] = (int32_t)((x + 1) % 4);
    }
}

/* What became of the rows [from, n) of time - 1 in the step to `time`; final_from: before it. */
static void check_results(const struct fragment *f, uint32_t from, uint32_t n, uint32_t time,
                          uint32_t final_from)
{
    uint32_t finals = final_from;
    bool over = time == CROWD_END;
    for (uint32_t k = 0; k < n - from; k++) {
        const struct rtc_env_row *row = &f->table[from + k];
        uint32_t a = row->agent, leaves = is_live(a, time) ? 0 : a % 3 ? 2 : 1;
        assert_true(f->rewards[k] == (float)a);
        assert_int_equal(f->ends[k], leaves | (over ? RTC_ENV_TRUNCATED : 0));
        if (!f->ends[k]) {
            assert_int_equal(f->finals[k], RTC_ENV_NONE);
            assert_true(f->next[k] >= n && f->next[k] < f->rows.n);
            check_row(&f->rows, f->next[k], a, time, row->slot);
        } else {
            assert_int_equal(f->next[k], RTC_ENV_NONE);
            assert_int_equal(f->finals[k], finals);
            check_row(&f->final, finals++, a, time, row->slot);
        }
    }
    assert_int_equal(f->final.n, finals);
}

static void play(size_t stride)
{
    struct rtc_env *env = open_crowd(FINE);
    struct fragment *f = new_fragment(stride);
    uint32_t time = 0, from = 0;
    assert_int_equal(rtc_env_spec_of(env)->n_policies, 2);
    assert_int_equal(rtc_env_spec_of(env)->observation_size, 24);
    assert_int_equal(rtc_env_spec_of(env)->mask_size, 6);
    assert_int_equal(rtc_env_reset(env, 0, SLOTS, NULL, &f->rows), 0);
    check_rows(f, 0, 0);
    for (int t = 0; t < FRAGMENT; t++) {
        uint32_t n = f->rows.n, finals = f->final.n;
        assert_int_equal(rtc_env_row_count(env, 0, SLOTS), n - from);
        act(f, from, time);
        assert_int_equal(rtc_env_step(env, &f->step), 0);
        check_results(f, from, n, time + 1, finals);
        time = (time + 1) % CROWD_END;
        from = n;
        check_rows(f, from, time);
    }
    if (!stride) /* packed: no byte between them */
        for (uint32_t i = 1; i < f->rows.n; i++)
            assert_int_equal(f->table[i].at, f->table[i - 1].at + f->table[i - 1].size);
    struct fragment *g =
        new_fragment(0); /* the next fragment begins with what this one ended with */
    assert_int_equal(rtc_env_observe(env, 0, SLOTS, &g->rows), 0);
    check_rows(g, 0, time);
    rtc_env_close(&env);
    free(f);
    free(g);
}

static void agents_come_and_go_packed(void **state)
{
    (void)state;
    play(0);
}

static void agents_come_and_go_with_a_stride(void **state)
{
    (void)state;
    play(24);
}

static void refused(int rc, int code, const char *word)
{
    assert_int_equal(rc, code);
    if (!strstr(rtc_env_error(), word))
        fail_msg("\"%s\": nothing of %s", rtc_env_error(), word);
}

static void masks_are_kept_to(void **state)
{
    struct rtc_env *env = open_crowd(FINE);
    struct fragment *f = new_fragment(0);
    (void)state;
    assert_int_equal(rtc_env_reset(env, 0, SLOTS, NULL, &f->rows), 0);
    act(f, 0, 0);
    f->actions[1][1] = 1; /* agent 1 at time 0: choice 1 may not be 1 */
    refused(rtc_env_step(env, &f->step), RTC_E_RANGE,
            "slot 0, agent 1 (big) of test/crowd: choice 1 of its action is 1; the mask forbids");
    f->actions[1][1] = 4;
    refused(rtc_env_step(env, &f->step), RTC_E_RANGE, "choice 1 of its action is 4; there is no");
    f->actions[1][1] = 0;
    memset(f->masks, 1, sizeof(f->masks)); /* the batch may be changed meanwhile */
    f->actions[1][0] = 0;
    refused(rtc_env_step(env, &f->step), RTC_E_RANGE, "choice 0 of its action is 0; the mask");
    f->actions[1][0] = 1;
    assert_int_equal(rtc_env_step(env, &f->step), 0);
    f->rows.masks = NULL;
    refused(rtc_env_observe(env, 0, SLOTS, &f->rows), RTC_E_INVALID, "masks");
    f->rows.masks = f->masks;
    f->rows.mask_stride = 5;
    refused(rtc_env_observe(env, 0, SLOTS, &f->rows), RTC_E_INVALID, "mask_stride");
    f->rows.mask_stride = 0;
    f->rows.table = NULL;
    refused(rtc_env_observe(env, 0, SLOTS, &f->rows), RTC_E_INVALID, "table");
    f->rows.table = f->table;
    f->rows.size = f->rows.used + STEP_ROWS * 24 - 1; /* each might be of the largest size */
    refused(rtc_env_observe(env, 0, SLOTS, &f->rows), RTC_E_TOO_LARGE, "bytes of data");
    f->rows.size++;
    assert_int_equal(rtc_env_observe(env, 0, SLOTS, &f->rows), 0);
    rtc_env_close(&env);
    free(f);
}

static void wrong_classes_are_found_out(void **state)
{
    static const char *const words[] = {
        [ORDER] = "ascending",         [MASK] = "leaves no choice", [SLOT] = "another slot",
        [BACK] = "order of the slots", [KIND] = "kind or policy",   [VANISH] = "did not end",
        [MANY] = "rows_max",
    };
    (void)state;
    for (enum wrong wrong = ORDER; wrong <= MANY; wrong++) {
        struct rtc_env *env = open_crowd(wrong);
        struct fragment *f = new_fragment(0);
        if (wrong < VANISH) {
            refused(rtc_env_reset(env, 0, SLOTS, NULL, &f->rows), RTC_E_INVALID, words[wrong]);
        } else {
            assert_int_equal(rtc_env_reset(env, 0, SLOTS, NULL, &f->rows), 0);
            act(f, 0, 0);
            refused(rtc_env_step(env, &f->step), RTC_E_INVALID, words[wrong]);
        }
        assert_int_equal(f->rows.n, wrong < VANISH ? 0 : 2 * SLOTS);
        refused(rtc_env_step(env, &f->step), RTC_E_INVALID, "reset");
        rtc_env_close(&env);
        free(f);
    }
}

/* ---- Signals: always the same three agents, each of its own kind, in a class of many slots ----
 */

#define SIGNALS 3

struct signals {
    uint32_t slots, steps, begun;
};
static const uint32_t phases[SIGNALS][1] = {{2}, {4}, {3}};
#define SIGNAL(i, n)                                                  \
    {                                                                 \
        .name = "J" #i, .observation = {.n_floats = n},               \
        .action = {.n_choices = 1, .choices = phases[i]}, .policy = i \
    }
static const struct rtc_env_kind signal_kinds[SIGNALS] = {SIGNAL(0, 4), SIGNAL(1, 7), SIGNAL(2, 5)};
static const char *const signal_infos[] = {"return", "length"};
static bool signals_forget; /* final observations */

static int signals_open(const struct rtc_env_config *config, struct rtc_env_spec *ret_spec,
                        void **ret_self)
{
    struct signals *signals = calloc(1, sizeof(*signals));
    signals->slots = config->slots;
    ret_spec->features = RTC_ENV_FIXED;
    ret_spec->rows_max = ret_spec->n_kinds = SIGNALS;
    ret_spec->kinds = signal_kinds;
    ret_spec->n_infos = 2;
    ret_spec->infos = signal_infos;
    *ret_self = signals;
    return 0;
}

static int signals_reset(void *self, uint32_t first, uint32_t n, const uint64_t *seeds)
{
    (void)self, (void)first, (void)n, (void)seeds;
    return 0;
}

static int signals_observe(void *self, uint32_t first, uint32_t n, struct rtc_env_rows *rows)
{
    struct signals *signals = self;
    for (uint32_t i = 0; i < n * SIGNALS; i++) {
        uint32_t kind = i % SIGNALS;
        const struct rtc_env_row row = {
            .slot = first + i / SIGNALS,
            .agent = kind,
            .kind = kind,
            .policy = kind,
            .flags = RTC_ENV_ACTIVE,
            .size = (uint32_t)rtc_env_space_size(&signal_kinds[kind].observation)};
        float *seen = rtc_env_row_add(rows, &row, NULL);
        for (uint32_t j = 0; j < row.size / 4; j++)
            seen[j] = (float)signals->steps;
    }
    return 0;
}

static int signals_begin(void *self, struct rtc_env_step *step)
{
    ((struct signals *)self)->begun = *(const uint32_t *)step->actions;
    return 0;
}

/* What was chosen first is the reward; choice 1 there ends all episodes. */
static int signals_step(void *self, struct rtc_env_step *step)
{
    struct signals *signals = self;
    bool ends = signals->begun == 1;
    signals->steps++;
    for (uint32_t i = 0; i < step->n * SIGNALS; i++) {
        *(float *)(void *)((char *)step->rewards + i * step->reward_stride) = (float)signals->begun;
        step->ends[i * step->ends_stride] = ends ? RTC_ENV_TERMINATED : 0;
    }
    if (ends && step->final && !signals_forget)
        signals_observe(self, step->first, step->n, step->final);
    return signals_observe(self, step->first, step->n, step->rows);
}

static const struct rtc_env_class signals_class = {
    .abi = RTC_ENV_ABI,
    .name = "test/signals",
    .open = signals_open,
    .close = free,
    .reset = signals_reset,
    .observe = signals_observe,
    .begin = signals_begin,
    .step = signals_step,
};
RTC_ENV_CLASS(signals_class)

static void each_of_its_own_kind(void **state)
{
    enum { N = 2 * SIGNALS };
    struct rtc_env *env;
    float seen[N][7], last[N][7], rewards[N];
    uint8_t ends[N];
    uint32_t next[N], finals[N];
    int32_t actions[N] = {0, 3, 2, 0, 3, 2};
    struct rtc_env_rows rows = {.cap = N, .data = seen, .size = sizeof(seen), .stride = 28};
    struct rtc_env_rows final = {.cap = N, .data = last, .size = sizeof(last)};
    struct rtc_env_step step = {.n = 2,
                                .actions = actions,
                                .rewards = rewards,
                                .ends = ends,
                                .next = next,
                                .finals = finals,
                                .rows = &rows,
                                .final = &final};
    (void)state;
    assert_int_equal(rtc_env_open("test/signals", &(struct rtc_env_config){.slots = 2}, &env), 0);
    assert_int_equal(rtc_env_spec_of(env)->n_policies, 3);
    assert_int_equal(rtc_env_reset(env, 0, 2, NULL, &rows), 0);
    rows.n = 0;
    assert_int_equal(rtc_env_begin(env, &step), 0);
    assert_int_equal(rows.n, 0);
    actions[0] = 1; /* too late: it was begun with 0 */
    assert_int_equal(rtc_env_finish(env, &step), 0);
    assert_true(rewards[5] == 0 && seen[5][4] == 1);
    assert_int_equal(next[4], 4);
    rows.n = 0;
    assert_int_equal(rtc_env_step(env, &step), 0);
    assert_true(rewards[5] == 1 && seen[5][4] == 2);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(next[i], RTC_ENV_NONE);
        assert_int_equal(finals[i], i);
    }
    assert_int_equal(final.used, 2 * 4 * (4 + 7 + 5)); /* packed */
    actions[2] = 3;                                    /* the second one has so many, not this */
    final.n = rows.n = 0;
    refused(rtc_env_step(env, &step), RTC_E_RANGE, "slot 0, agent 2 (J2)");
    actions[2] = 2;
    signals_forget = true;
    refused(rtc_env_step(env, &step), RTC_E_INVALID, "one final observation for each");
    rtc_env_close(&env);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(agents_come_and_go_packed),
        cmocka_unit_test(agents_come_and_go_with_a_stride),
        cmocka_unit_test(masks_are_kept_to),
        cmocka_unit_test(wrong_classes_are_found_out),
        cmocka_unit_test(each_of_its_own_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
