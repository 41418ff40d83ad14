/* Classic control against Gymnasium: 10,000 single steps of each, from drawn states, compared with
 * what make_fixtures.py recorded; then what the draws cannot show. argv: the recorded files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "actors/env/classic.h"

static int n_files;
static char **files;

struct recorded {
    uint32_t steps, n_state, observed, n_seen;
    double *states, *rewards;
    uint8_t *ends;
    float *seen;
};

static void *take(FILE *file, size_t size)
{
    void *data = malloc(size);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, size, file), size);
    return data;
}

static struct recorded read_recorded(const char *name)
{
    struct recorded r;
    char magic[8];
    FILE *file = NULL;
    for (int i = 0; i < n_files && !file; i++) {
        if (strstr(files[i], name))
            file = fopen(files[i], "rbe");
    }
    assert_non_null(file);
    assert_int_equal(fread(magic, 1, 8, file), 8);
    assert_memory_equal(magic, "RTCENV1", 8);
    assert_int_equal(fread(&r, 4, 4, file), 4);
    r.states = take(file, (size_t)r.steps * r.n_state * 8);
    r.rewards = take(file, (size_t)r.steps * 8);
    r.ends = take(file, r.steps);
    r.seen = take(file, (size_t)r.observed * r.n_seen * 4);
    fclose(file);
    return r;
}

static void free_recorded(struct recorded *r)
{
    free(r->states);
    free(r->rewards);
    free(r->ends);
    free(r->seen);
}

/* As DRAWS of make_fixtures.py. */
struct draws {
    const struct rtc_env_single *single;
    double limits[4];
    uint32_t choices; /* 0: a float */
    float limit;
    double tolerance; /* of states and rewards */
};

struct worst {
    double state, reward, seen;
    uint32_t ends;
};

static void compare_seen(const struct rtc_env_single *single, const double *state,
                         const struct recorded *r, uint32_t step, struct worst *worst)
{
    float seen[8];
    struct rtc_env_rows rows = {.cap = 1, .data = seen, .size = sizeof(seen)};
    assert_int_equal(single->observe(NULL, state, 0, NULL, &rows), 0);
    assert_int_equal(rows.used, 4 * r->n_seen);
    for (uint32_t i = 0; i < r->n_seen; i++)
        worst->seen = fmax(worst->seen, fabs((double)seen[i] - r->seen[step * r->n_seen + i]));
}

static void compare(const struct draws *draws)
{
    struct recorded r = read_recorded(draws->single->name);
    struct worst worst = {0};
    uint64_t chance = r.n_state;
    double params[8] = {10.0}; /* the pendulum's gravity; a cart's rewards are of 1 with 0 */
    if (draws->choices)
        params[0] = 0;
    assert_int_equal(r.steps, 10000);
    for (uint32_t k = 0; k < r.steps; k++) {
        double state[4], reward = 0;
        uint8_t ends = 0;
        int32_t choice;
        float number;
        for (uint32_t i = 0; i < r.n_state; i++)
            state[i] = rtc_env_uniform(&chance, -draws->limits[i], draws->limits[i]);
        if (draws->choices)
            choice = (int32_t)(rtc_env_random(&chance) % draws->choices);
        else
            number = (float)rtc_env_uniform(&chance, -draws->limit, draws->limit);
        struct rtc_env_turn turn = {.n = 1, .rewards = &reward, .ends = &ends};
        turn.actions = draws->choices ? (void *)&choice : (void *)&number;
        assert_int_equal(draws->single->step(params, state, &turn), 0);
        for (uint32_t i = 0; i < r.n_state; i++)
            worst.state = fmax(worst.state, fabs(state[i] - r.states[k * r.n_state + i]));
        worst.reward = fmax(worst.reward, fabs(reward - r.rewards[k]));
        worst.ends += (turn.end != 0) != r.ends[k];
        if (k < r.observed)
            compare_seen(draws->single, state, &r, k, &worst);
    }
    print_message("%s: states %.1e, rewards %.1e, observations %.1e\n", draws->single->name,
                  worst.state, worst.reward, worst.seen);
    assert_true(worst.state <= draws->tolerance);
    assert_true(worst.reward <= draws->tolerance);
    assert_true(worst.seen <= 4e-6); /* one rounding of a speed of 28 */
    assert_int_equal(worst.ends, 0);
    free_recorded(&r);
}

static void cartpole_is_gymnasiums(void **state)
{
    (void)state;
    compare(&(struct draws){.single = &rtci_env_cartpole,
                            .limits = {2.5, 3.0, 0.22, 3.0},
                            .choices = 2,
                            .tolerance = 1e-12});
}

static void acrobot_is_gymnasiums(void **state)
{
    (void)state;
    compare(&(struct draws){.single = &rtci_env_acrobot,
                            .limits = {M_PI, M_PI, 4 * M_PI, 9 * M_PI},
                            .choices = 3,
                            .tolerance = 1e-12});
}

static void pendulum_is_gymnasiums(void **state)
{
    (void)state;
    compare(&(struct draws){
        .single = &rtci_env_pendulum, .limits = {12.0, 8.0}, .limit = 3.0f, .tolerance = 1e-6});
}

/* What episodes begin with lies within Gymnasium's bounds, and comes from the seed alone. */
static void episodes_begin_within_bounds(void **state)
{
    static const struct {
        const struct rtc_env_single *single;
        double limits[4];
        uint32_t n;
    } cases[] = {{&rtci_env_cartpole, {0.05, 0.05, 0.05, 0.05}, 4},
                 {&rtci_env_acrobot, {0.1, 0.1, 0.1, 0.1}, 4},
                 {&rtci_env_pendulum, {M_PI, 1}, 2}};
    (void)state;
    for (size_t c = 0; c < 3; c++) {
        double high[4] = {-9, -9, -9, -9}, low[4] = {9, 9, 9, 9};
        for (uint64_t seed = 0; seed < 1000; seed++) {
            double a[4], b[4];
            cases[c].single->reset(NULL, a, seed);
            cases[c].single->reset(NULL, b, seed);
            assert_memory_equal(a, b, cases[c].n * sizeof(double));
            for (uint32_t i = 0; i < cases[c].n; i++) {
                high[i] = fmax(high[i], a[i]);
                low[i] = fmin(low[i], a[i]);
            }
        }
        for (uint32_t i = 0; i < cases[c].n; i++) {
            assert_true(high[i] <= cases[c].limits[i] && high[i] > 0.99 * cases[c].limits[i]);
            assert_true(low[i] >= -cases[c].limits[i] && low[i] < -0.99 * cases[c].limits[i]);
        }
    }
}

/* SplitMix64 as published: its first numbers from 1234567 (Vigna's splitmix64.c). */
static void chance_is_splitmix64(void **state)
{
    uint64_t chance = 1234567;
    (void)state;
    assert_true(rtc_env_random(&chance) == UINT64_C(6457827717110365317));
    assert_true(rtc_env_random(&chance) == UINT64_C(3203168211198807973));
    assert_true(rtc_env_random(&chance) == UINT64_C(9817491932198370423));
    assert_true(rtc_env_seed(42, 0) == 42);
    assert_true(rtc_env_seed(42, 1) != rtc_env_seed(42, 2));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(cartpole_is_gymnasiums), cmocka_unit_test(acrobot_is_gymnasiums),
        cmocka_unit_test(pendulum_is_gymnasiums), cmocka_unit_test(episodes_begin_within_bounds),
        cmocka_unit_test(chance_is_splitmix64),
    };
    n_files = argc - 1;
    files = argv + 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
