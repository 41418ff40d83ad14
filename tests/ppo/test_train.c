/* Training on a real embedded cluster: it learns, the same bits come again, actors that are killed
 * are replaced, what cannot be is refused. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actors/ppo/arrays.h"
#include "actors/ppo/train.h"

#define CPUS 4

static struct rtc *rtc;
static char notes[4096];

static void on_note(void *arg, const char *sentence)
{
    (void)arg;
    strncat(notes, sentence, sizeof(notes) - strlen(notes) - 1);
}

static struct train_options options_of(const char *env, struct rtc_env_config *config,
                                       uint32_t actors, uint32_t lag)
{
    struct train_options o = {.env = env,
                              .env_config = config,
                              .actors = actors,
                              .groups = 1,
                              .fragment = 64,
                              .rounds = 2,
                              .lag = lag,
                              .iterations = 60,
                              .seed = 3,
                              .cpus = 0.5,
                              .on_note = on_note};
    notes[0] = 0;
    ppo_defaults(PPO_CLEANRL, &o.ppo);
    o.ppo.rate.from = 1e-3;
    return o;
}

static struct train *open_train(const struct train_options *o)
{
    struct train *t;
    if (train_open(rtc, o, &t) < 0)
        fail_msg("%s", train_error(t));
    return t;
}

static void iterate(struct train *t, int n, struct train_progress *p)
{
    for (int i = 0; i < n; i++) {
        if (train_iterate(t, NULL, p) < 0)
            fail_msg("%s", train_error(t));
    }
}

static void it_learns_and_comes_again(void **state)
{
    (void)state;
    struct rtc_env_config config = {.slots = 2};
    struct train_options o = options_of("CartPole-v1", &config, 2, 0);
    struct train_progress p[2];
    struct train_evaluation e[2] = {0};
    struct ppo_state s[2];
    for (int i = 0; i < 2; i++) {
        struct train *t = open_train(&o);
        iterate(t, 60, &p[i]);
        assert_int_equal(p[i].iteration, 60);
        assert_int_equal(p[i].samples, 60 * 512);
        assert_true(p[i].lag == 0 && p[i].restarts == 0 && p[i].lost == 0);
        assert_int_equal(train_evaluate(t, 10, 5, &e[i]), 0);
        assert_int_equal(ppo_state_get(train_ppo(t), &s[i]), 0);
        train_close(&t);
    }
    assert_true(e[0].mean_return > 150); /* 22 by chance */
    assert_int_equal(e[0].episodes, 10);
    assert_memory_equal(s[0].parameters, s[1].parameters, 3 * s[0].n * sizeof(float));
    assert_memory_equal(&e[0], &e[1], sizeof(e[0]));
    assert_int_equal(p[0].episodes, p[1].episodes);
    ppo_state_fini(&s[0]);
    ppo_state_fini(&s[1]);
    assert_string_equal(notes, "");
}

static void samples_may_be_behind(void **state)
{
    (void)state;
    struct rtc_env_config config = {.slots = 2};
    struct train_options o = options_of("Pendulum-v1", &config, 3, 2);
    struct train *t = open_train(&o);
    struct train_progress p;
    iterate(t, 1, &p);
    assert_true(p.lag == 0); /* by the first weights, before any update */
    iterate(t, 1, &p);
    assert_true(p.lag == 1);
    iterate(t, 4, &p);
    assert_true(p.lag == 2);
    train_close(&t); /* in the midst of two iterations */
}

static pid_t an_actor(void)
{
    char *json = NULL;
    assert_int_equal(rtc_query(rtc, "actors", &json), 0);
    pid_t pid = 0;
    for (const char *at = json; (at = strstr(at, "\"state\":\"alive\"")) && !pid;) {
        at = strstr(at, "\"pid\":");
        pid = at ? (pid_t)strtol(at + 6, NULL, 10) : 0;
    }
    free(json);
    assert_true(pid > 0);
    return pid;
}

static void an_actor_is_killed(void **state)
{
    (void)state;
    struct rtc_env_config config = {.slots = 2};
    struct train_options o = options_of("CartPole-v1", &config, 2, 1);
    struct train *t = open_train(&o);
    struct train_progress p;
    iterate(t, 3, &p);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kill(an_actor(), SIGKILL), 0);
        iterate(t, 5, &p);
    }
    assert_int_equal(p.iteration, 18);
    assert_int_equal(p.samples, 18 * 512);
    assert_true(p.restarts >= 1);
    assert_non_null(strstr(notes, "was started again"));
    train_close(&t);
}

static void a_state_goes_on(void **state)
{
    (void)state;
    struct rtc_env_config config = {.slots = 2};
    struct train_options o = options_of("CartPole-v1", &config, 2, 0);
    struct train *t = open_train(&o), *other = open_train(&o);
    struct train_progress p;
    struct ppo_state s, again;
    iterate(t, 4, &p);
    assert_int_equal(ppo_state_get(train_ppo(t), &s), 0);
    ppo_state_set(train_ppo(other), &s);
    train_go_on(other, &(struct train_counts){4, 2048, 77});
    assert_int_equal(ppo_state_get(train_ppo(other), &again), 0);
    assert_memory_equal(s.parameters, again.parameters, 3 * s.n * sizeof(float));
    assert_int_equal(s.steps, again.steps);
    iterate(other, 1, &p);
    assert_int_equal(p.iteration, 5);
    assert_int_equal(p.samples, 2048 + 512);
    assert_true(p.episodes > 77);
    ppo_state_fini(&s);
    ppo_state_fini(&again);
    train_close(&t);
    train_close(&other);
}

static void expect_refusal(const struct train_options *o, const char *words)
{
    struct train *t;
    assert_true(train_open(rtc, o, &t) < 0);
    if (!strstr(train_error(t), words))
        fail_msg("%s", train_error(t));
    train_close(&t);
}

static void bad_input(void **state)
{
    (void)state;
    struct rtc_env_config config = {.slots = 2};
    struct rtc_env_option wrong = {.key = "max_steps", .value = "3"};
    struct train_options o = options_of("CartPole-v9", &config, 2, 0);
    expect_refusal(&o, "CartPole-v9");
    o.env = "CartPole-v1";
    o.actors = 0;
    expect_refusal(&o, "1 to 1024 actors");
    o.actors = 1;
    config.options = &wrong;
    config.n_options = 1;
    expect_refusal(&o, "max_steps");
    config.n_options = 0;
    o.ppo.hidden[0] = 0;
    expect_refusal(&o, "hidden layer");
}

/* Fewer environments, then fewer actors: as many samples, and nothing counts as lost. */
static void goes_on_with_fewer_environments(void **state)
{
    (void)state;
    for (uint32_t lag = 0; lag < 2; lag++) {
        struct rtc_env_config config = {.slots = 4};
        struct train_options o = options_of("CartPole-v1", &config, 3, lag);
        struct train *t = open_train(&o);
        struct train_progress p;
        struct train_evaluation e = {0};
        iterate(t, 3, &p);
        assert_int_equal(train_environments(t), 12);
        assert_int_equal(train_trim(t), 0);
        assert_int_equal(train_lower(t, 12), 0); /* they are not more */
        assert_string_equal(notes, "");
        assert_int_equal(train_lower(t, 9), 0); /* 256 samples are not 3 × n */
        assert_int_equal(train_environments(t), 6);
        assert_non_null(strstr(notes, "3 rollout actors × 2 environments go on, with new episodes "
                                      "and fragments of 128 steps"));
        iterate(t, 3, &p);
        assert_int_equal(train_lower(t, 2), 0);
        assert_int_equal(train_environments(t), 2);
        assert_non_null(strstr(notes, "2 rollout actors × 1 environment go on"));
        iterate(t, 3, &p);
        assert_int_equal(train_lower(t, 1), 0);
        iterate(t, 3, &p);
        assert_non_null(strstr(notes, "1 rollout actor × 1 environment go on"));
        assert_int_equal(p.samples, 12 * 3 * 4 * 2 * 64);
        assert_true(p.restarts == 0 && p.lost == 0 && p.opens_again == 0);
        assert_int_equal(train_evaluate(t, 5, 5, &e), 0);
        assert_int_equal(e.episodes, 5);
        assert_int_equal(train_lower(t, 1), 0);
        train_close(&t);
    }
}

/* More actors than there are CPUs: those that have no place are stood in for. */
static void others_work_for_one_without_a_place(void **state)
{
    (void)state;
    struct rtc_env_config config = {.slots = 2};
    struct train_options o = options_of("CartPole-v1", &config, 3, 1);
    struct train_progress p;
    o.cpus = CPUS / 2;
    struct train *t = open_train(&o);
    iterate(t, 6, &p);
    assert_int_equal(p.samples, 6 * 3 * 2 * 2 * 64);
    assert_true(p.restarts == 0 && p.lost == 0);
    assert_non_null(strstr(notes, "has no place, and others make its fragments"));
    train_close(&t);
}

int main(int argc, char **argv)
{
    if (rtc_init(&argc, &argv, RTC_CONFIG(.cpus = CPUS, .quiet = true), &rtc) < 0) {
        fprintf(stderr, "%s\n", rtc_last_error());
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_learns_and_comes_again),
                                       cmocka_unit_test(samples_may_be_behind),
                                       cmocka_unit_test(an_actor_is_killed),
                                       cmocka_unit_test(a_state_goes_on),
                                       cmocka_unit_test(goes_on_with_fewer_environments),
                                       cmocka_unit_test(others_work_for_one_without_a_place),
                                       cmocka_unit_test(bad_input)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rtc_shutdown(&rtc);
    return failed;
}
