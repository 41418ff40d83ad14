/* The environment of traffic signals: rules of rtc/env.h that are its own to keep, agents, deaths,
 * and what is refused. On nets of SUMO's own package. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <unistd.h>

#include "actors/sumo/trips.h"
#include "tests/sumo/gym.h"
#include "tests/sumo/nets.h"

#define SHORT "num_seconds=100" /* 20 decisions of 5 s */

static const char *backend = "backend=auto";

static void open_or_fail(struct gym *gym, uint32_t slots, const char *const *options)
{
    if (gym_open(gym, slots, options) != 0)
        fail_msg("%s", rtc_env_error());
}

static void step_or_fail(struct gym *gym)
{
    if (gym_step(gym) != 0)
        fail_msg("%s", rtc_env_error());
}

/* ---- Episodes ---- */

struct trace {
    uint64_t digests[64];
    double rewards, sums[7]; /* of the episode that ended: up to "changes" */
};

static void trace(const char *const *options, uint64_t seed, uint32_t steps, struct trace *t)
{
    struct gym gym;
    uint64_t random = 5;
    memset(t, 0, sizeof(*t));
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    for (uint32_t i = 0; i < steps; i++) {
        t->digests[i] = gym_digest(&gym);
        gym_draw(&gym, &random);
        step_or_fail(&gym);
        for (uint32_t k = 0; k < gym.n_rows; k++)
            t->rewards += (double)gym.rewards[k];
        if (gym.episodes.n)
            memcpy(t->sums, gym.sums, sizeof(t->sums));
    }
    gym_close(&gym);
}

static void test_same_seed(void **state)
{
    const char *const options[] = {"scenario=square", SHORT, backend, NULL};
    struct trace a, b, c;
    (void)state;
    trace(options, 7, 40, &a); /* over the end of an episode */
    trace(options, 7, 40, &b);
    trace(options, 8, 40, &c);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_memory_not_equal(&a, &c, sizeof(a));
}

/* Both ways to the simulator see the same. */
static void test_backends(void **state)
{
    const char *const one[] = {"scenario=cross", SHORT, "backend=libsumo", NULL};
    const char *const two[] = {"scenario=cross", SHORT, "backend=traci", NULL};
    struct trace a, b;
    (void)state;
    if (backend_missing(SUMO_LIBSUMO)) {
        print_message("skipped: %s\n", backend_missing(SUMO_LIBSUMO));
        skip();
    }
    trace(one, 3, 30, &a);
    trace(two, 3, 30, &b);
    assert_memory_equal(&a, &b, sizeof(a));
}

/* Environments of one program, of other networks, do not see each other. */
static void test_two_at_once(void **state)
{
    const char *const one[] = {"scenario=cross", SHORT, backend, NULL};
    const char *const two[] = {"scenario=square", SHORT, backend, NULL};
    uint64_t alone[2], together[2], seed = 5;
    struct gym gyms[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        open_or_fail(&gyms[i], 1, i ? two : one);
        assert_int_equal(gym_reset(&gyms[i], &seed), 0);
        for (int k = 0; k < 10; k++)
            step_or_fail(&gyms[i]);
        alone[i] = gym_digest(&gyms[i]);
        gym_close(&gyms[i]);
    }
    for (int i = 0; i < 2; i++) {
        open_or_fail(&gyms[i], 1, i ? two : one);
        assert_int_equal(gym_reset(&gyms[i], &seed), 0);
    }
    for (int k = 0; k < 20; k++)
        step_or_fail(&gyms[k % 2]);
    for (int i = 0; i < 2; i++) {
        together[i] = gym_digest(&gyms[i]);
        gym_close(&gyms[i]);
    }
    assert_memory_equal(alone, together, sizeof(alone));
    assert_int_equal(simulators_left(), 0);
}

static void test_new_episode(void **state)
{
    const char *const options[] = {"scenario=cross", SHORT, "trips=true", backend, NULL};
    struct gym gym;
    uint64_t seeds[2] = {11, 12}, random = 1, again[2];
    (void)state;
    open_or_fail(&gym, 2, options);
    assert_string_equal(gym.spec->infos[7], "delay");
    assert_int_equal(gym_reset(&gym, seeds), 0);
    assert_int_equal(gym.table[0].flags, RTC_ENV_ACTIVE | RTC_ENV_FIRST);
    for (int i = 0; i < 20; i++) {
        gym_draw(&gym, &random);
        step_or_fail(&gym);
        assert_int_equal(gym.ends[0], i == 19 ? RTC_ENV_TRUNCATED : 0);
        assert_int_equal(gym.ends[1], gym.ends[0]);
    }
    assert_int_equal(gym.episodes.n, 2);
    assert_int_equal(gym.finals.n, 2);
    for (int k = 0; k < 2; k++) {
        const struct rtc_env_episode *e = &gym.episodes.list[k];
        const double *sums = gym.sums + (size_t)k * gym.spec->n_infos;
        assert_int_equal(e->slot, k);
        assert_int_equal(e->seed, seeds[k]);
        assert_int_equal(e->number, 0);
        assert_true(sums[1] == 20 && sums[2] > 10); /* length, departed */
        assert_true(sums[7] > 0 && sums[8] > 0 && sums[9] >= 0 && sums[10] > 0);
    }
    assert_int_equal(gym.table[0].flags, RTC_ENV_ACTIVE | RTC_ENV_FIRST);
    /* the one that began is the one of its seed */
    uint64_t digest = gym_digest(&gym);
    for (int k = 0; k < 2; k++)
        again[k] = rtc_env_seed(seeds[k], 1);
    assert_int_equal(gym_reset(&gym, again), 0);
    assert_int_equal(gym_digest(&gym), digest);
    gym_close(&gym);
}

/* How often the light of cross changed in 100 s of choices that go round among n. */
static double changes(const char *rule, int32_t n)
{
    const char *const options[] = {"scenario=cross", SHORT, rule, backend, NULL};
    struct gym gym;
    uint64_t seed = 1;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    for (int32_t i = 0; i < 20; i++) {
        gym.actions[0] = 2 * (i % n);
        step_or_fail(&gym);
    }
    double made = gym.sums[6];
    gym_close(&gym);
    return made;
}

/* Decisions are at 0, 5, 10, … s; what is chosen too early is not done, and is no error. */
static void test_green_times(void **state)
{
    (void)state;
    assert_true(changes("min_green=5", 2) == 6); /* at 15, 30, 45, 60, 75, 90 */
    assert_true(changes("definition=resco", 1) == 0);
    assert_true(changes("min_green=0", 2) == 19); /* at all but the first */
    assert_true(changes("min_green=30", 2) == 2); /* at 35, 70 */
    assert_true(changes("max_green=10", 1) >= 6); /* on at 15, back at 25, … */
}

/* Slots do not know of each other. */
static void test_slots(void **state)
{
    const char *const options[] = {"scenario=cross", SHORT, backend, NULL};
    struct gym many, one;
    uint64_t seeds[3] = {1, 2, 3};
    (void)state;
    open_or_fail(&many, 3, options);
    open_or_fail(&one, 1, options);
    assert_int_equal(gym_reset(&many, seeds), 0);
    assert_int_equal(gym_reset(&one, &seeds[2]), 0);
    for (int i = 0; i < 25; i++) {
        for (int k = 0; k < 3; k++)
            many.actions[k] = (i / 3 + k) % 4;
        one.actions[0] = many.actions[2];
        step_or_fail(&many);
        step_or_fail(&one);
        assert_true(many.rewards[2] == one.rewards[0]);
        size_t size = many.spec->observation_size;
        assert_memory_equal((char *)many.seen + 2 * size, one.seen, size);
    }
    gym_close(&many);
    gym_close(&one);
}

/* ---- Agents ---- */

static void test_one_agent(void **state)
{
    const char *const each[] = {"scenario=square", SHORT, backend, NULL};
    const char *const one[] = {"scenario=square", SHORT, "agents=one", backend, NULL};
    struct gym a, b;
    uint64_t seed = 4, random = 9;
    (void)state;
    open_or_fail(&a, 1, each);
    open_or_fail(&b, 1, one);
    assert_int_equal(a.n_rows, 12);
    assert_int_equal(a.spec->n_kinds, 12);
    assert_int_equal(a.spec->n_policies, 12);
    assert_int_equal(b.n_rows, 1);
    assert_int_equal(b.spec->kinds[0].action.n_choices, 12);
    assert_int_equal(gym_reset(&a, &seed), 0);
    assert_int_equal(gym_reset(&b, &seed), 0);
    for (int i = 0; i < 15; i++) {
        float sum = 0;
        gym_draw(&a, &random);
        memcpy(b.actions, a.actions, 12 * sizeof(int32_t));
        step_or_fail(&a);
        step_or_fail(&b);
        for (uint32_t k = 0; k < 12; k++)
            sum += a.rewards[k];
        assert_true(sum - b.rewards[0] < 1e-4f && b.rewards[0] - sum < 1e-4f);
        assert_int_equal(gym_digest(&a), gym_digest(&b));
    }
    gym_close(&a);
    gym_close(&b);
}

/* Signals of different sizes: the same space for all, and greens that are not there are masked. */
static void test_shared_policy(void **state)
{
    const char *const options[] = {"scenario=square", SHORT, "policies=shared", backend, NULL};
    struct gym gym;
    uint64_t seed = 4, random = 9;
    (void)state;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym.spec->n_kinds, 1);
    assert_int_equal(gym.spec->n_policies, 1);
    assert_true(gym.spec->kinds[0].action.masked);
    assert_int_equal(gym.spec->mask_size, 2);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    bool small = false;
    for (uint32_t i = 0; i < 12; i++) {
        assert_int_equal(gym.masks[2 * i], 1);
        small = small || !gym.masks[2 * i + 1];
    }
    assert_true(small); /* a gate has one green */
    for (int i = 0; i < 5; i++) {
        gym_draw(&gym, &random);
        step_or_fail(&gym);
    }
    for (uint32_t i = 0; i < 12; i++)
        gym.actions[i] = 1;
    assert_int_equal(gym_step(&gym), RTC_E_RANGE);
    assert_non_null(strstr(rtc_env_error(), "the mask forbids"));
    gym_close(&gym);
}

static void test_some_signals(void **state)
{
    const char *const options[] = {"scenario=square", SHORT, "signals=B1,A0", backend, NULL};
    struct gym gym;
    (void)state;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym.n_rows, 2);
    assert_string_equal(gym.spec->kinds[0].name, "B1");
    assert_string_equal(gym.spec->kinds[1].name, "A0");
    gym_close(&gym);
}

/* Every observation with every reward has numbers, and a scenario that is made by netgenerate. */
static void test_definitions(void **state)
{
    static const char *const sees[] = {"sumo-rl", "drq", "drq-norm", "mplight", "wave", "junction"};
    static const char *const pays[] = {"diff-waiting-time", "average-speed",  "queue",
                                       "pressure",          "wait",           "wait-norm",
                                       "resco-queue",       "resco-pressure", "delay"};
    char see[64], pay[64];
    (void)state;
    for (int i = 0; i < 9; i++) {
        const char *const options[] = {i ? "scenario=cross" : "scenario=grid4x4",
                                       see,
                                       pay,
                                       SHORT,
                                       "definition=resco",
                                       backend,
                                       NULL};
        struct gym gym;
        uint64_t random = 2, seed = 3;
        bool paid = false;
        snprintf(see, sizeof(see), "observation=%s", sees[i % 6]);
        snprintf(pay, sizeof(pay), "reward=%s", pays[i]);
        open_or_fail(&gym, 1, options);
        assert_int_equal(gym_reset(&gym, &seed), 0);
        for (int k = 0; k < 9; k++) {
            gym_draw(&gym, &random);
            step_or_fail(&gym);
            paid = paid || gym.rewards[0] != 0;
        }
        if (!paid && i)
            fail_msg("%s is always 0", pay);
        gym_close(&gym);
    }
}

/* The lanes as "drq" has them; who is inside the junction is somebody, and who stands there is of
 * them; with a look at each second the loss of time is what SUMO's trips say, but for what is lost
 * on the way to the lanes and behind the junction. */
static void see_inside(const char *on)
{
    const char *const options[] = {"scenario=cross",
                                   "definition=resco",
                                   "observation=junction",
                                   "reward=delay",
                                   "delta_time=1",
                                   "yellow_time=0",
                                   "trips=true",
                                   "num_seconds=300",
                                   on,
                                   NULL};
    const char *drq[sizeof(options) / sizeof(*options)];
    struct gym gym, other;
    uint64_t seed = 7;
    double paid = 0, inside = 0, blocked = 0, coming = 0;
    memcpy(drq, options, sizeof(drq));
    drq[2] = "observation=drq";
    open_or_fail(&gym, 1, options);
    open_or_fail(&other, 1, drq);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    assert_int_equal(gym_reset(&other, &seed), 0);
    uint32_t greens = gym.spec->kinds[0].action.choices[0];
    uint32_t lanes = other.spec->kinds[0].observation.n_floats / 5;
    assert_int_equal(gym.spec->kinds[0].observation.n_floats, greens + 2 + 5 * lanes);
    for (uint32_t k = 0; k < 300; k++) {
        for (uint32_t i = 0; i < greens; i++)
            assert_true(gym.seen[i] == (i == (k ? (k - 1) / 20 % greens : 0)));
        inside += (double)gym.seen[greens];
        blocked += (double)gym.seen[greens + 1];
        assert_true(gym.seen[greens + 1] <= gym.seen[greens]);
        for (uint32_t i = 0; i < lanes; i++) {
            const float *a = gym.seen + greens + 2 + 5 * i, *b = other.seen + 5 * i;
            assert_float_equal(10 * a[0], b[1], 1e-4);
            assert_float_equal(280 * a[1 + 1], b[2] < 1120 ? b[2] : 1120, 1e-2);
            assert_float_equal(10 * a[1], b[3], 1e-4);
            assert_float_equal(200 * a[3], b[4], 1e-3);
            coming += (double)a[4];
        }
        gym.actions[0] = other.actions[0] = (int32_t)(k / 20 % greens);
        step_or_fail(&gym);
        step_or_fail(&other);
        paid += (double)gym.rewards[0];
    }
    assert_int_equal(gym.episodes.n, 1);
    double lost = gym.sums[7] * gym.sums[2]; /* the mean delay × the vehicles */
    if (!(inside > 0 && blocked > 0 && -28 * paid < lost && -28 * paid > 0.7 * lost && coming > 0))
        fail_msg("inside %g, blocked %g, lost %g s, of these %g", inside, blocked, lost,
                 -28 * paid);
    gym_close(&gym);
    gym_close(&other);
}

static void test_junction(void **state)
{
    (void)state;
    if (!backend_missing(SUMO_LIBSUMO))
        see_inside("backend=libsumo");
    if (!backend_missing(SUMO_TRACI))
        see_inside("backend=traci");
}

/* ---- Deaths ---- */

static void kill_simulators(void)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        char path[300], name[64] = "";
        int parent = 0, pid = 0;
        snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        if (fscanf(file, "%d (%63[^)]) %*c %d", &pid, name, &parent) == 3 && parent == getpid() &&
            strncmp(name, "sumo", 4) == 0)
            kill(pid, SIGKILL);
        fclose(file);
    }
    if (proc)
        closedir(proc);
}

static void test_death(void **state)
{
    const char *const options[] = {"scenario=cross", SHORT, "backend=traci", NULL};
    struct gym gym;
    uint64_t seeds[2] = {1, 2};
    (void)state;
    open_or_fail(&gym, 2, options);
    assert_int_equal(gym_reset(&gym, seeds), 0);
    step_or_fail(&gym);
    kill_simulators();
    step_or_fail(&gym);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(gym.ends[i], RTC_ENV_LOST | RTC_ENV_TRUNCATED);
        assert_true(gym.rewards[i] == 0);
    }
    assert_int_equal(gym.episodes.n, 2);
    assert_int_equal(gym.finals.n, 0);
    assert_non_null(strstr(gym.episodes.list[0].why, "signal 9"));
    for (int i = 0; i < 20; i++) /* the next ones are whole */
        step_or_fail(&gym);
    assert_int_equal(gym.ends[0], RTC_ENV_TRUNCATED);
    gym_close(&gym);
    assert_int_equal(simulators_left(), 0);
}

/* ---- What is refused ---- */

static void refuse(const char *const *options, int code, const char *what, const char *also)
{
    struct gym gym;
    int rc = gym_open(&gym, 1, options);
    const char *why = rtc_env_error();
    if (rc == 0)
        fail_msg("%s was not refused", options[0]);
    if (rc != code || !strstr(why, what) || !strstr(why, also))
        fail_msg("%s: %d, %s", options[0], rc, why);
}
#define REFUSE(code, what, also, ...) \
    refuse((const char *const[]){__VA_ARGS__, NULL}, code, what, also)

static void test_wrong_options(void **state)
{
    (void)state;
    REFUSE(RTC_E_NOT_FOUND, "there is no scenario 'nowhere'", "cross, figure-eight",
           "scenario=nowhere");
    REFUSE(RTC_E_NOT_FOUND, "/no/such.sumocfg", "cannot read", "scenario=/no/such.sumocfg");
    REFUSE(RTC_E_INVALID, "neither a scenario nor a net_file", "nothing to simulate", backend);
    REFUSE(RTC_E_NOT_FOUND, "no signal 'C9'", "A0, A1", "scenario=square", "signals=A0,C9");
    REFUSE(RTC_E_INVALID, "'A0' is named twice", "square", "scenario=square", "signals=A0,A0");
    REFUSE(RTC_E_INVALID, "no observation \"lidar\"", "mplight", "scenario=cross",
           "observation=lidar");
    REFUSE(RTC_E_INVALID, "no reward \"joy\"", "wait-norm", "scenario=cross", "reward=joy");
    REFUSE(RTC_E_INVALID, "yellow_time is 5", "longer", "scenario=cross", "yellow_time=5");
    REFUSE(RTC_E_INVALID, "delta_time", "nan", "scenario=cross", "delta_time=nan");
    REFUSE(RTC_E_INVALID, "agents", "each or one", "scenario=cross", "agents=many");
    REFUSE(RTC_E_INVALID, "backend", "libsumo", "scenario=cross", "backend=cityflow");
    REFUSE(RTC_E_NOT_FOUND, "no option speed", "yellow_time", "scenario=cross", "speed=1");
    REFUSE(RTC_E_INVALID, "SUMO cannot simulate", "no-such-option", "scenario=cross",
           "arguments=--no-such-option 1");
}

static void test_wrong_nets(void **state)
{
    static const char program[] =
        "<additional><tlLogic id=\"0\" type=\"static\" programID=\"0\" offset=\"0\">"
        "<phase duration=\"30\" state=\"%s\"/></tlLogic></additional>";
    char text[512], option[512], net_option[600], routes_option[600];
    struct net plain;
    (void)state;
    if (make_plain_net(&plain)) {
        snprintf(net_option, sizeof(net_option), "net_file=%s", plain.net);
        snprintf(routes_option, sizeof(routes_option), "route_files=%s", plain.routes);
        REFUSE(RTC_E_INVALID, "has no traffic signals", "plain.net.xml", net_option, routes_option,
               backend);
    }
    /* the program of cross has 12 links */
    snprintf(text, sizeof(text), program, "GGG");
    snprintf(option, sizeof(option), "additional_files=%s", test_file("short.add.xml", text));
    REFUSE(RTC_E_INVALID, "'0'", "cannot simulate", "scenario=cross", option);
}

static void test_wrong_program(void **state)
{
    char option[600];
    struct net red;
    (void)state;
    if (!make_red_net(&red)) {
        print_message("skipped: netconvert made no net\n");
        skip();
    }
    snprintf(option, sizeof(option), "net_file=%s", red.net);
    REFUSE(RTC_E_INVALID, "signal 'm'", "show green and no yellow", option, backend);
}

static void test_wrong_actions(void **state)
{
    const char *const options[] = {"scenario=cross", SHORT, backend, NULL};
    static const float nan = NAN;
    struct gym gym;
    uint64_t seed = 1;
    (void)state;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_step(&gym), RTC_E_INVALID); /* never reset */
    assert_int_equal(gym_reset(&gym, &seed), 0);
    gym.actions[0] = 4;
    assert_int_equal(gym_step(&gym), RTC_E_RANGE);
    assert_non_null(strstr(rtc_env_error(), "there is no such choice"));
    gym.actions[0] = -1;
    assert_int_equal(gym_step(&gym), RTC_E_RANGE);
    memcpy(gym.actions, &nan, sizeof(nan));
    assert_int_equal(gym_step(&gym), RTC_E_RANGE);
    gym.actions[0] = 1;
    step_or_fail(&gym); /* nothing had changed */
    gym_close(&gym);
}

static void test_missing_sumo(void **state)
{
    (void)state;
    char *kept = getenv("RTC_SUMO_BINARY") ? strdup(getenv("RTC_SUMO_BINARY")) : NULL;
    setenv("RTC_SUMO_BINARY", "/nonexistent/sumo", 1);
    REFUSE(RTC_E_NOT_FOUND, "/nonexistent/sumo", "install SUMO", "scenario=cross", "backend=traci");
    if (kept)
        setenv("RTC_SUMO_BINARY", kept, 1);
    else
        unsetenv("RTC_SUMO_BINARY");
    free(kept);
}

/* ---- Trips ---- */

#define TRIP(depart, arrival, delay, lost, duration, wait)                                  \
    "<tripinfo id=\"v\" depart=\"" depart "\" departDelay=\"" delay "\" arrival=\"" arrival \
    "\" duration=\"" duration "\" waitingTime=\"" wait "\" timeLoss=\"" lost "\"/>\n"

static void test_trips(void **state)
{
    static const char good[] =
        "<tripinfos>\n" TRIP("1.00", "31.00", "1.00", "9.00", "30.00", "4.00")
            TRIP("2.00", "-1.00", "0.00", "5.00", "10.00", "2.00")
                TRIP("-1", "-1.00", "45.00", "0.00", "0.00", "0.00") "</tripinfos>\n";
    static const char lacking[] =
        "<tripinfos>\n<tripinfo id=\"v\" depart=\"1.00\"/>\n</tripinfos>\n";
    static const char cut[] =
        "<tripinfos>\n" TRIP("1.00", "31.00", "1.00", "9.00", "30.00", "4.00");
    struct trips t;
    char why[SUMO_WHY_MAX];
    (void)state;
    const char *path = test_file("trips.xml", good);
    assert_int_equal(trips_read(path, &t, why), 0);
    assert_true(t.finished == 1 && t.unfinished == 1 && t.never_departed == 1);
    assert_true(t.delay == 20 && t.duration == 20 && t.wait == 3);
    assert_int_equal(trips_read(path, &t, why), RTC_E_OS); /* it was removed */
    assert_non_null(strstr(why, "trips.xml"));
    assert_int_equal(trips_read(test_file("a.xml", lacking), &t, why), RTC_E_PROTOCOL);
    assert_non_null(strstr(why, "lacks an attribute"));
    assert_int_equal(trips_read(test_file("b.xml", cut), &t, why), RTC_E_PROTOCOL);
    assert_non_null(strstr(why, "its end is missing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed),     cmocka_unit_test(test_backends),
        cmocka_unit_test(test_two_at_once),   cmocka_unit_test(test_new_episode),
        cmocka_unit_test(test_green_times),   cmocka_unit_test(test_slots),
        cmocka_unit_test(test_one_agent),     cmocka_unit_test(test_shared_policy),
        cmocka_unit_test(test_some_signals),  cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_junction),      cmocka_unit_test(test_death),
        cmocka_unit_test(test_wrong_options), cmocka_unit_test(test_wrong_nets),
        cmocka_unit_test(test_wrong_program), cmocka_unit_test(test_wrong_actions),
        cmocka_unit_test(test_missing_sumo),  cmocka_unit_test(test_trips),
    };
    const char *missing = backend_missing(SUMO_AUTO);
    if (missing) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
