/* Training on a real embedded cluster: it learns, the same bits come again, actors that are killed
 * are replaced, what cannot be is refused. */
#include <math.h>
#include <pthread.h>
#include <sched.h>
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

/* One that lives, of that class; 0: there is none now. */
static pid_t find_actor(const char *class)
{
    char *json = NULL, *next, name[64];
    assert_int_equal(rtc_query(rtc, "actors", &json), 0);
    snprintf(name, sizeof(name), "\"class\":\"%s\"", class);
    pid_t pid = 0;
    for (char *at = strtok_r(json, "{", &next); at && !pid; at = strtok_r(NULL, "{", &next)) {
        const char *number = strstr(at, "\"pid\":");
        if (strstr(at, "\"state\":\"alive\"") && strstr(at, name) && number)
            pid = (pid_t)strtol(number + 6, NULL, 10);
    }
    free(json);
    return pid;
}

static pid_t an_actor(const char *class)
{
    pid_t pid = find_actor(class);
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
        assert_int_equal(kill(an_actor("rollout"), SIGKILL), 0);
        iterate(t, 5, &p);
    }
    assert_int_equal(p.iteration, 18);
    assert_int_equal(p.samples, 18 * 512);
    assert_true(p.restarts >= 1);
    assert_non_null(strstr(notes, "was started again"));
    train_close(&t);
}

static struct ppo_state train_with(uint32_t learners, bool shared, uint32_t lag)
{
    struct rtc_env_config config = {.slots = 2};
    struct train_options o = options_of("CartPole-v1", &config, 2, lag);
    struct train_progress p;
    struct ppo_state s;
    o.learners = learners;
    o.learners_always = true;
    o.ppo.shared = shared;
    struct train *t = open_train(&o);
    iterate(t, 6, &p);
    assert_int_equal(ppo_state_get(train_ppo(t), &s), 0);
    assert_string_equal(notes, "");
    train_close(&t);
    return s;
}

static void expect_same(struct ppo_state *a, struct ppo_state *b)
{
    assert_memory_equal(a->parameters, b->parameters, 3 * a->n * sizeof(float));
    assert_true(a->steps == b->steps && a->shuffling == b->shuffling && a->kl_coef == b->kl_coef);
    ppo_state_fini(a);
    ppo_state_fini(b);
}

static void learners_help(void **state)
{
    (void)state;
    /* Two with a network each: the bits of one. */
    struct ppo_state one = train_with(1, false, 0), two = train_with(2, false, 0);
    expect_same(&one, &two);
    /* Three share rows: the same bits each time. */
    struct ppo_state three = train_with(3, true, 0), again = train_with(3, true, 0);
    expect_same(&three, &again);
    /* The driver's alone now and then changes nothing. */
    struct rtc_env_config config = {.slots = 2};
    struct train_options o = options_of("CartPole-v1", &config, 2, 0);
    struct train_progress p;
    struct ppo_state s[2];
    for (uint32_t i = 0; i < 2; i++) {
        o.learners = 1 + i;
        struct train *t = open_train(&o);
        iterate(t, 90, &p);
        assert_int_equal(ppo_state_get(train_ppo(t), &s[i]), 0);
        train_close(&t);
    }
    expect_same(&s[0], &s[1]);
    struct ppo_state behind = train_with(2, true, 1);
    ppo_state_fini(&behind);
}

struct victim {
    pthread_t thread;
    pid_t pid;
};

/* ns that a process has run; 0: it is gone. */
static uint64_t has_run(pid_t pid)
{
    char path[64];
    unsigned long long ns = 0;
    snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%llu", &ns) != 1)
        ns = 0;
    if (file)
        fclose(file);
    return ns;
}

/* When it has learnt for a while. */
static void *kill_in_the_midst(void *arg)
{
    struct victim *v = arg;
    uint64_t begin = has_run(v->pid), now = begin;
    for (; now && now < begin + 3000000; now = has_run(v->pid))
        sched_yield();
    if (now) /* else it died before: the query did not know it yet */
        (void)kill(v->pid, SIGKILL);
    return NULL;
}

/* Whenever that happens, nothing of the result is lost. */
static void a_learner_is_killed(void **state)
{
    (void)state;
    struct rtc_env_config config = {.slots = 2};
    struct train_options o = options_of("CartPole-v1", &config, 2, 0);
    struct train_progress p;
    struct ppo_state s[2];
    o.ppo.epochs = 60;
    o.learners_always = true;
    for (uint32_t learners = 1; learners <= 2; learners++) {
        o.learners = learners;
        struct train *t = open_train(&o);
        iterate(t, 1, &p);
        for (int i = 0; i < 3; i++) {
            struct victim v = {.pid = learners > 1 ? an_actor("learner") : 0};
            if (i == 0 && v.pid)
                assert_int_equal(kill(v.pid, SIGKILL), 0);
            else if (v.pid)
                assert_int_equal(pthread_create(&v.thread, NULL, kill_in_the_midst, &v), 0);
            iterate(t, 2, &p);
            if (i > 0 && v.pid)
                pthread_join(v.thread, NULL);
        }
        iterate(t, 1, &p); /* the last one may have been killed behind its update */
        assert_int_equal(ppo_state_get(train_ppo(t), &s[learners - 1]), 0);
        train_close(&t);
    }
    expect_same(&s[0], &s[1]);
    if (!strstr(notes, "learners broke off an update, and make it again"))
        fail_msg("%s", notes);
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

/* Another training goes on in the midst of the episodes of one, and comes to the same. */
static void episodes_go_on(void **state)
{
    (void)state;
    struct rtc_env_config config = {.slots = 2};
    struct train_options o = options_of("CartPole-v1", &config, 2, 0);
    struct train *t = open_train(&o), *other = open_train(&o);
    struct train_progress p[2];
    struct ppo_state s, again;
    const void *data[2];
    size_t sizes[2], n;
    assert_int_equal(train_episodes(t, 0, &data[0], &sizes[0]), RTC_E_NOT_FOUND);
    iterate(t, 4, &p[0]);
    assert_int_equal(ppo_state_get(train_ppo(t), &s), 0);
    ppo_state_set(train_ppo(other), &s);
    ppo_state_fini(&s);
    train_go_on(other, &(struct train_counts){4, p[0].samples, p[0].episodes});
    const double *window = train_window(t, &n);
    memcpy(train_window(other, &n), window, n * sizeof(*window));
    train_window_is_back(other);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(train_episodes(t, i, &data[i], &sizes[i]), 0);
    assert_int_equal(train_go_on_in(other, data, sizes), 0);
    iterate(t, 5, &p[0]);
    iterate(other, 5, &p[1]);
    assert_int_equal(ppo_state_get(train_ppo(t), &s), 0);
    assert_int_equal(ppo_state_get(train_ppo(other), &again), 0);
    assert_true(p[0].mean_return == p[1].mean_return && p[0].episodes == p[1].episodes);
    expect_same(&s, &again);
    assert_string_equal(notes, "");
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(train_episodes(t, i, &data[i], &sizes[i]), 0);
    sizes[1] = 3; /* damaged: that actor has new episodes */
    assert_int_equal(train_go_on_in(other, data, sizes), 1);
    assert_non_null(strstr(notes, "begins new episodes"));
    iterate(other, 1, &p[1]);
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
                                       cmocka_unit_test(learners_help),
                                       cmocka_unit_test(a_learner_is_killed),
                                       cmocka_unit_test(a_state_goes_on),
                                       cmocka_unit_test(episodes_go_on),
                                       cmocka_unit_test(goes_on_with_fewer_environments),
                                       cmocka_unit_test(others_work_for_one_without_a_place),
                                       cmocka_unit_test(bad_input)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rtc_shutdown(&rtc);
    return failed;
}
