/* Fragments: what was collected is what happens when the same is done again, whatever the groups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "actors/rollout/collect.h"
#include "actors/rollout/spec.h"
#include "tests/rollout/toy.h"

#define SEED 77

/* ---- An environment of agents that come and go, and that fails when it is told to ---- */

static const uint32_t two[] = {2};
static const struct rtc_env_kind agents[] = {
    {.name = "agent",
     .observation = {.n_floats = 3},
     .action = {.n_choices = 1, .choices = two, .masked = true}}};
static const struct rtc_env_option crowd_options[] = {
    {"fails", "0", NULL}, {"loses", "0", NULL}, {NULL, NULL, NULL}};
struct crowd_params {
    int64_t fails, loses;
};
struct crowd {
    uint32_t time;
    uint64_t seed;
};

static int crowd_open(const struct rtc_env_config *config, void *params,
                      struct rtc_env_spec *ret_spec)
{
    struct crowd_params *p = params;
    ret_spec->features = RTC_ENV_RAGGED;
    ret_spec->rows_max = 3;
    ret_spec->n_kinds = 1;
    ret_spec->kinds = agents;
    int rc = rtc_env_option_i64(config, "fails", 0, 1000, &p->fails);
    return rc ? rc : rtc_env_option_i64(config, "loses", 0, 1000, &p->loses);
}
static int crowd_reset(const void *params, void *state, uint64_t seed)
{
    (void)params;
    *(struct crowd *)state = (struct crowd){0, seed};
    return 0;
}
/* Agent a lives from time a, for a + 2 steps; nobody is there for a while at the end. */
static bool lives(uint32_t agent, uint32_t time)
{
    return agent < 3 && agent <= time && time < 2 * agent + 2;
}
static int crowd_step(const void *params, void *state, struct rtc_env_turn *turn)
{
    const struct crowd_params *p = params;
    struct crowd *c = state;
    uint32_t row = 0;
    for (uint32_t a = 0; a < 3; a++) {
        if (!lives(a, c->time))
            continue;
        turn->rewards[row] = a + c->time;
        turn->ends[row] = lives(a, c->time + 1) ? 0
                          : a % 2               ? RTC_ENV_TRUNCATED
                                                : RTC_ENV_TERMINATED;
        row++;
    }
    c->time++;
    if (p->fails && c->seed % 3 == 0 && c->time == p->fails)
        return rtc_env_fail(RTC_E_CRASHED, "the crowd ran away");
    if (p->loses && c->time == p->loses && c->seed % 2) {
        turn->end = RTC_ENV_LOST;
        rtc_env_fail(RTC_E_CRASHED, "the crowd was lost");
    } else if (c->time == 9) {
        turn->end = RTC_ENV_TRUNCATED;
    }
    return 0;
}
static int crowd_observe(const void *params, const void *state, uint32_t slot,
                         const struct rtc_env_turn *turn, struct rtc_env_rows *rows)
{
    (void)params;
    const struct crowd *c = state;
    uint32_t before = 0;
    for (uint32_t a = 0; a < 3; a++) {
        bool was = turn && lives(a, c->time - 1), ended = was && turn->ends[before];
        before += was;
        if (turn ? !ended : !lives(a, c->time))
            continue;
        uint8_t *mask;
        struct rtc_env_row row = {
            .slot = slot, .agent = a, .flags = RTC_ENV_ACTIVE, .size = 4 * (a + 1)};
        float *seen = rtc_env_row_add(rows, &row, &mask);
        for (uint32_t i = 0; i <= a; i++)
            seen[i] = (float)(c->time * 10 + a) + (float)(c->seed % 1000);
        if (mask)
            mask[(a + c->time) % 2] = 1;
    }
    return 0;
}
static const struct rtc_env_single crowd = {.abi = RTC_ENV_ABI,
                                            .name = "crowd",
                                            .about = "agents that come and go",
                                            .options = crowd_options,
                                            .params_size = sizeof(struct crowd_params),
                                            .state_size = sizeof(struct crowd),
                                            .open = crowd_open,
                                            .reset = crowd_reset,
                                            .step = crowd_step,
                                            .observe = crowd_observe};
RTC_ENV(crowd)

/* ---- Collecting ---- */

struct setting {
    const char *env, *key, *value;
    uint32_t slots, groups;
};

static struct collector *start(const struct setting *s)
{
    struct rtc_env_option option = {.key = s->key, .value = s->value};
    struct rtc_env_config config = {
        .slots = s->slots, .options = &option, .n_options = s->key ? 1 : 0};
    struct collect_options options = {.env = s->env,
                                      .config = &config,
                                      .policy = &toy_policy,
                                      .policy_config = "toy",
                                      .policy_config_size = 3,
                                      .seed = SEED,
                                      .first_slot = 5,
                                      .groups = s->groups};
    struct collector *c;
    if (collector_open(&options, &c) < 0)
        fail_msg("%s", rtc_env_error());
    return c;
}

static int collect(struct collector *c, uint32_t steps, struct fragment *f)
{
    struct fragment_shape shape = collector_shape(c, steps);
    size_t size = fragment_size(&shape);
    void *block = aligned_alloc(64, size);
    memset(block, 0xa5, size);
    fragment_make(block, &shape, f);
    return collector_run(c, f);
}

static void collect_fine(struct collector *c, uint32_t steps, struct fragment *f)
{
    if (collect(c, steps, f) < 0)
        fail_msg("%s", rtc_env_error());
    struct fragment again;
    if (fragment_read(f->head, f->head->size, &again) < 0)
        fail_msg("%s", rtc_env_error());
    assert_memory_equal(&again, f, sizeof(again));
}

/* ---- The same done again: one slot at a time ---- */

#define ROOM 16 /* rows of a slot */

struct repeat {
    struct rtc_env *env;
    struct rtc_env_rows rows, final;
    char seen[ROOM * 64], last[ROOM * 64];
    uint8_t masks[ROOM * 8];
    struct rtc_env_row table[ROOM], final_table[ROOM];
    uint32_t at[ROOM]; /* where each of them is in the fragment */
};

static void begin_repeat(struct repeat *r, const struct setting *s, uint32_t slot)
{
    struct rtc_env_option option = {.key = s->key, .value = s->value};
    struct rtc_env_config config = {.slots = 1, .options = &option, .n_options = s->key ? 1 : 0};
    uint64_t seed = rtc_env_seed(SEED, 5 + slot + 1);
    memset(r, 0, sizeof(*r));
    assert_int_equal(rtc_env_open(s->env, &config, &r->env), 0);
    const struct rtc_env_spec *spec = rtc_env_spec_of(r->env);
    r->rows = (struct rtc_env_rows){.cap = ROOM,
                                    .data = r->seen,
                                    .size = sizeof(r->seen),
                                    .stride = spec->observation_size,
                                    .masks = r->masks,
                                    .mask_stride = spec->mask_size,
                                    .table = r->table};
    r->final = r->rows;
    r->final.data = r->last;
    r->final.masks = NULL;
    r->final.table = r->final_table;
    assert_int_equal(rtc_env_reset(r->env, 0, 1, &seed, &r->rows), 0);
}

/* The next rows of the slot from `from` on are those that the replay has. */
static uint32_t match_rows(struct repeat *r, const struct fragment *f, uint32_t slot, uint32_t from)
{
    uint32_t i = from;
    const struct rtc_env_spec *spec = rtc_env_spec_of(r->env);
    for (uint32_t n = 0; n < r->rows.n; n++, i++) {
        while (i < f->head->rows && f->table[i].slot != slot)
            i++;
        assert_true(i < f->head->rows);
        const struct rtc_env_row *row = &f->table[i], *mine = &r->table[n];
        assert_int_equal(row->agent, mine->agent);
        assert_int_equal(row->flags & ~RTC_ENV_FIRST, mine->flags & ~RTC_ENV_FIRST);
        assert_int_equal(row->size, mine->size);
        const char *seen = (char *)f->observations + i * spec->observation_size;
        assert_memory_equal(seen, r->seen + mine->at, row->size);
        for (size_t k = row->size; spec->features & RTC_ENV_RAGGED && k < spec->observation_size;
             k++)
            assert_int_equal(seen[k], 0);
        if (spec->mask_size)
            assert_memory_equal(f->masks + i * spec->mask_size, r->masks + n * spec->mask_size,
                                spec->mask_size);
        assert_true(f->values[i] == toy_value(seen, row->size, 1));
        r->at[n] = i;
    }
    return i;
}

static void step_repeat(struct repeat *r, const struct fragment *f)
{
    const struct rtc_env_spec *spec = rtc_env_spec_of(r->env);
    char actions[ROOM * 4];
    float rewards[ROOM];
    uint8_t ends[ROOM];
    uint32_t finals[ROOM], n = r->rows.n;
    for (uint32_t i = 0; i < n; i++)
        memcpy(actions + i * spec->action_size, (char *)f->actions + r->at[i] * spec->action_size,
               spec->action_size);
    r->rows.n = r->final.n = 0;
    r->rows.used = r->final.used = 0;
    struct rtc_env_step step = {.n = 1,
                                .actions = actions,
                                .rewards = rewards,
                                .ends = ends,
                                .finals = finals,
                                .rows = &r->rows,
                                .final = &r->final};
    if (rtc_env_step(r->env, &step) < 0)
        fail_msg("%s", rtc_env_error());
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = r->at[i];
        assert_true(f->rewards[at] == rewards[i]);
        assert_int_equal(f->ends[at], ends[i]);
        float expected = 0;
        if (ends[i] == RTC_ENV_TRUNCATED)
            expected = toy_value(r->last + r->final_table[finals[i]].at,
                                 r->final_table[finals[i]].size, 1);
        assert_true(f->bootstraps[at] == expected);
    }
}

/* Rows of one agent follow one another by `next`. */
static void check_next(const struct fragment *f)
{
    for (uint32_t i = 0; i < f->head->acted; i++) {
        uint32_t to = f->next[i];
        assert_int_equal(f->ends[i] != 0, to == RTC_ENV_NONE);
        if (to == RTC_ENV_NONE)
            continue;
        assert_int_equal(f->table[to].slot, f->table[i].slot);
        assert_int_equal(f->table[to].agent, f->table[i].agent);
        for (uint32_t k = i + 1; k < to; k++) /* the very next one */
            assert_false(f->table[k].slot == f->table[i].slot &&
                         f->table[k].agent == f->table[i].agent);
    }
}

static void check_setting(const struct setting *s)
{
    enum { STEPS = 40, TIMES = 3 };
    struct fragment f[TIMES];
    struct collector *c = start(s);
    for (int i = 0; i < TIMES; i++) {
        collect_fine(c, STEPS, &f[i]);
        check_next(&f[i]);
        assert_int_equal(f[i].head->number, i);
    }
    for (uint32_t slot = 0; slot < s->slots; slot++) {
        struct repeat r;
        begin_repeat(&r, s, slot);
        for (int i = 0; i < TIMES; i++) {
            uint32_t from = 0;
            for (int t = 0; t < STEPS; t++) {
                from = match_rows(&r, &f[i], slot, from);
                for (uint32_t k = 0; k < r.rows.n; k++)
                    assert_true(r.at[k] < f[i].head->acted);
                step_repeat(&r, &f[i]);
            }
            match_rows(&r, &f[i], slot, from);
            for (uint32_t k = 0; k < r.rows.n; k++)
                assert_true(r.at[k] >= f[i].head->acted);
        }
        rtc_env_close(&r.env);
    }
    collector_close(&c);
    for (int i = 0; i < TIMES; i++)
        free(f[i].head);
}

static void what_was_collected_happens_again(void **state)
{
    (void)state;
    const struct setting settings[] = {{"CartPole-v1", NULL, NULL, 1, 1},
                                       {"CartPole-v1", "max_episode_steps", "15", 5, 1},
                                       {"CartPole-v1", "max_episode_steps", "15", 5, 2},
                                       {"CartPole-v1", NULL, NULL, 7, 8},
                                       {"Pendulum-v1", "max_episode_steps", "20", 3, 2},
                                       {"crowd", NULL, NULL, 4, 1},
                                       {"crowd", NULL, NULL, 4, 3}};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        check_setting(&settings[i]);
}

/* ---- Goes on elsewhere ---- */

static void free_fragment(struct fragment *f)
{
    free(f->head);
}

static void expect_same_fragment(const struct fragment *a, const struct fragment *b)
{
    uint32_t n = a->head->rows, acted = a->head->acted;
    assert_int_equal(n, b->head->rows);
    assert_int_equal(acted, b->head->acted);
    assert_memory_equal(a->table, b->table, n * sizeof(a->table[0]));
    for (uint32_t i = 0; i < n; i++)
        assert_memory_equal((char *)a->observations + a->table[i].at,
                            (char *)b->observations + b->table[i].at, a->table[i].size);
    assert_memory_equal(a->actions, b->actions, acted * a->head->shape.action_size);
    assert_memory_equal(a->log_probs, b->log_probs, acted * sizeof(float));
    assert_memory_equal(a->rewards, b->rewards, acted * sizeof(float));
    assert_memory_equal(a->ends, b->ends, acted);
}

/* Of two collectors one goes on where the other one was, whenever that is; their episodes then have
 * the same sums. */
static void check_going_on(const struct setting *s, uint32_t steps)
{
    struct collector *c = start(s);
    struct fragment before, a, b;
    collect_fine(c, steps, &before);
    for (int turn = 0; turn < 3; turn++) {
        struct collector *other = start(s);
        void *data;
        size_t size;
        assert_int_equal(collector_save(c, &data, &size), 0);
        if (collector_restore(other, data, size) < 0)
            fail_msg("%s", rtc_env_error());
        collect_fine(c, 7, &a);
        collect_fine(other, 7, &b);
        expect_same_fragment(&a, &b);
        struct collect_episodes x = collector_episodes(c), y = collector_episodes(other);
        assert_int_equal(x.n, y.n);
        assert_memory_equal(x.list, y.list, x.n * sizeof(x.list[0]));
        assert_memory_equal(x.sums, y.sums, x.n * collector_spec(c)->n_infos * sizeof(double));
        free_fragment(&a);
        free_fragment(&b);
        free(data);
        collector_close(&c);
        c = other; /* and so on, from one to the next */
    }
    free_fragment(&before);
    collector_close(&c);
}

static void it_goes_on_elsewhere(void **state)
{
    (void)state;
    const struct setting settings[] = {
        {"CartPole-v1", NULL, NULL, 3, 2}, {"CartPole-v1", "max_episode_steps", "15", 5, 1},
        {"Acrobot-v1", NULL, NULL, 2, 1},  {"Pendulum-v1", "max_episode_steps", "20", 3, 2},
        {"crowd", NULL, NULL, 4, 3},       {"crowd", "loses", "5", 4, 1}};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        for (uint32_t steps = 1; steps < 40; steps += 6)
            check_going_on(&settings[i], steps);
    }
}

/* Bytes that are not what was saved: refused, or with other actions, and then it begins anew. */
static void damaged_episodes(void **state)
{
    (void)state;
    struct setting s = {"CartPole-v1", NULL, NULL, 2, 1};
    struct collector *c = start(&s), *other = start(&s);
    struct fragment f;
    void *data;
    size_t size;
    uint64_t random = 3;
    assert_int_equal(collector_save(c, &data, &size), RTC_E_NOT_FOUND);
    collect_fine(c, 12, &f);
    free_fragment(&f);
    assert_int_equal(collector_save(c, &data, &size), 0);
    char *copy = malloc(size);
    for (int i = 0; i < 2000; i++) {
        memcpy(copy, data, size);
        copy[rtc_env_random(&random) % size] ^= (char)(1 + rtc_env_random(&random) % 255);
        (void)collector_restore(other, copy, i % 2 ? size : rtc_env_random(&random) % size);
        collect_fine(other, 3, &f);
        free_fragment(&f);
    }
    memcpy(copy, data, size);
    ((int32_t *)(void *)(copy + size))[-1] ^= 1; /* the last action of the last slot */
    assert_int_equal(collector_restore(other, copy, size), RTC_E_INVALID);
    assert_non_null(strstr(rtc_env_error(), "led elsewhere"));
    free(copy);
    free(data);
    collector_close(&c);
    collector_close(&other);
}

static void episodes_are_told(void **state)
{
    (void)state;
    struct setting s = {"CartPole-v1", "max_episode_steps", "10", 4, 2};
    struct collector *c = start(&s);
    struct fragment f;
    collect_fine(c, 100, &f);
    struct collect_episodes episodes = collector_episodes(c);
    struct collect_counts counts = collector_counts(c);
    assert_true(episodes.n >= 40);
    assert_int_equal(counts.episodes, episodes.n);
    assert_int_equal(counts.rows, 400);
    assert_int_equal(counts.active, 400);
    assert_int_equal(counts.opens, 1);
    double steps = 0;
    uint32_t ends = 0;
    for (size_t i = 0; i < episodes.n; i++) {
        const double *sums = &episodes.sums[i * collector_spec(c)->n_infos];
        assert_true(sums[0] == sums[1]); /* a reward of 1 for each step */
        steps += sums[1];
    }
    for (uint32_t i = 0; i < f.head->acted; i++)
        ends += f.ends[i] != 0;
    assert_int_equal(ends, episodes.n);
    assert_true(steps <= 400 && steps > 360);
    free(f.head);
    collector_close(&c);
}

static void weights_and_versions(void **state)
{
    (void)state;
    struct setting s = {"CartPole-v1", NULL, NULL, 2, 1};
    struct collector *c = start(&s);
    struct fragment f;
    float weight = 3;
    assert_int_equal(collector_load(c, 8, &weight, sizeof(weight)), 0);
    collect_fine(c, 10, &f);
    assert_int_equal(f.head->version, 8);
    for (uint32_t i = 0; i < f.head->acted; i++) {
        assert_int_equal(f.versions[i], 8);
        assert_true(f.values[i] == toy_value((char *)f.observations + i * 16, 16, 3));
    }
    free(f.head);
    assert_int_equal(collector_load(c, 9, &weight, 2), RTC_E_INVALID);
    assert_non_null(strstr(rtc_env_error(), "one weight"));
    collector_close(&c);
}

/* It fails in some episodes, is opened again, and goes on with others. */
static void an_environment_that_fails(void **state)
{
    (void)state;
    struct setting s = {"crowd", "fails", "7", 3, 2};
    struct collector *c = start(&s);
    struct fragment f;
    int failed = 0, fine = 0;
    for (int i = 0; i < 40; i++) {
        int rc = collect(c, 5, &f);
        if (rc < 0) {
            assert_int_equal(rc, RTC_E_CRASHED);
            assert_non_null(strstr(rtc_env_error(), "ran away"));
            failed++;
        } else {
            check_next(&f);
            fine++;
        }
        free(f.head);
    }
    assert_true(failed > 1 && fine > 1);
    assert_int_equal(collector_counts(c).opens, (uint64_t)failed + 1 - (failed && !fine));
    collector_close(&c);
}

static void an_episode_that_is_lost(void **state)
{
    (void)state;
    struct setting s = {"crowd", "loses", "4", 6, 2};
    struct collector *c = start(&s);
    struct fragment f;
    collect_fine(c, 60, &f);
    check_next(&f);
    uint32_t lost = 0;
    for (uint32_t i = 0; i < f.head->acted; i++) {
        if (!(f.ends[i] & RTC_ENV_LOST))
            continue;
        lost++;
        assert_true(f.bootstraps[i] == 0);
    }
    assert_true(lost > 0 && collector_counts(c).lost > 0);
    assert_non_null(strstr(collector_lost(c), "was lost"));
    free(f.head);
    collector_close(&c);
}

static void bad_openings(void **state)
{
    (void)state;
    struct collector *c;
    struct collect_options options = {.env = "CartPole-v0", .policy = &toy_policy};
    assert_int_equal(collector_open(&options, &c), RTC_E_NOT_FOUND);
    assert_null(c);
    options.env = "CartPole-v1";
    options.policy_config = "toad";
    options.policy_config_size = 4;
    assert_int_equal(collector_open(&options, &c), RTC_E_INVALID);
    assert_non_null(strstr(rtc_env_error(), "does not understand"));
    assert_null(c);
}

/* ---- What comes from elsewhere is not believed ---- */

/* As a reader does it: AddressSanitizer looks whether that is all there. */
static float sum_of(const struct fragment *f)
{
    float sum = 0;
    for (uint32_t i = 0; i < f->head->acted; i++) {
        uint32_t to = f->next[i];
        sum += f->rewards[i] + f->bootstraps[i] + (to == RTC_ENV_NONE ? 0 : f->values[to]);
        sum += toy_value((char *)f->observations + (size_t)i * f->head->shape.observation_size,
                         f->table[i].size, 1);
    }
    return sum;
}

static void damaged_fragments(void **state)
{
    (void)state;
    struct setting s = {"crowd", NULL, NULL, 2, 1};
    struct collector *c = start(&s);
    struct fragment f, read;
    collect_fine(c, 5, &f);
    size_t size = f.head->size;
    uint64_t random = 5;
    char *copy = aligned_alloc(64, size);
    volatile float sink;
    for (int i = 0; i < 20000; i++) {
        memcpy(copy, f.head, size);
        for (int k = 0; k < 1 + i % 3; k++)
            copy[rtc_env_random(&random) % (i % 2 ? size : 300)] = (char)rtc_env_random(&random);
        size_t shown = i % 5 ? size : rtc_env_random(&random) % size;
        if (fragment_read(copy, shown, &read) == 0)
            sink = sum_of(&read);
    }
    (void)sink;
    free(copy);
    free(f.head);
    collector_close(&c);
}

static void specs_travel(void **state)
{
    (void)state;
    static const char *const names[] = {"CartPole-v1", "Pendulum-v1", "crowd"};
    for (size_t i = 0; i < 3; i++) {
        struct rtc_env *env;
        struct rtc_env_spec *copy;
        void *bytes, *again;
        size_t size, size_again;
        assert_int_equal(rtc_env_open(names[i], NULL, &env), 0);
        const struct rtc_env_spec *spec = rtc_env_spec_of(env);
        assert_int_equal(spec_pack(spec, &bytes, &size), 0);
        assert_int_equal(spec_unpack(bytes, size, &copy), 0);
        assert_string_equal(copy->name, spec->name);
        assert_string_equal(copy->infos[0], "return");
        assert_int_equal(copy->kinds[0].observation.n_floats, spec->kinds[0].observation.n_floats);
        assert_int_equal(spec_pack(copy, &again, &size_again), 0);
        assert_int_equal(size, size_again);
        assert_memory_equal(bytes, again, size);
        free(copy);
        uint64_t random = 9;
        for (int k = 0; k < 20000; k++) {
            memcpy(again, bytes, size);
            ((char *)again)[rtc_env_random(&random) % size] = (char)rtc_env_random(&random);
            if (spec_unpack(again, k % 3 ? size : rtc_env_random(&random) % size, &copy) == 0)
                free(copy);
        }
        free(bytes);
        free(again);
        rtc_env_close(&env);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_collected_happens_again),
                                       cmocka_unit_test(it_goes_on_elsewhere),
                                       cmocka_unit_test(damaged_episodes),
                                       cmocka_unit_test(episodes_are_told),
                                       cmocka_unit_test(weights_and_versions),
                                       cmocka_unit_test(an_environment_that_fails),
                                       cmocka_unit_test(an_episode_that_is_lost),
                                       cmocka_unit_test(bad_openings),
                                       cmocka_unit_test(damaged_fragments),
                                       cmocka_unit_test(specs_travel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
