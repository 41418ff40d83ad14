/* The environment of vehicles: what is seen by hand-computed numbers, who is driven and how, what
 * is paid and told, both backends, deaths, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <unistd.h>

#include "actors/sumo/graph.h"
#include "tests/sumo/gym.h"
#include "tests/sumo/nets.h"

#define NAME "sumo-vehicles"

static const char *backend = "backend=auto";

static void open_or_fail(struct gym *gym, uint32_t slots, const char *const *options)
{
    if (gym_open_named(gym, NAME, slots, options) != 0)
        fail_msg("%s", rtc_env_error());
}

static void step_or_fail(struct gym *gym)
{
    if (gym_step(gym) != 0)
        fail_msg("%s", rtc_env_error());
}

static void set_all(struct gym *gym, float x)
{
    for (uint32_t i = 0; i < gym->n_rows; i++)
        memcpy((char *)gym->actions + i * gym->spec->action_size, &x, sizeof(x));
}

static const float *row_of(const struct gym *gym, uint32_t row)
{
    return (const float *)(const void *)((const char *)gym->seen + gym->table[row].at);
}

static void near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-5 * (1 + fabs(b))))
        fail_msg("%.9g is not %.9g", a, b);
}

/* ---- A straight road: 1,000 m to the east, two lanes, a car at 100, 60 and 30 m ---- */

static char net_option[600], routes_option[600];

static void make_road(unsigned lanes, const char *vehicles)
{
    char text[2048], command[1024];
    const char *at = test_folder();
    test_file("road.nod.xml", "<nodes><node id=\"a\" x=\"0\" y=\"0\"/>"
                              "<node id=\"b\" x=\"1000\" y=\"0\"/></nodes>");
    snprintf(text, sizeof(text),
             "<edges><edge id=\"ab\" from=\"a\" to=\"b\" numLanes=\"%u\" speed=\"30\" "
             "spreadType=\"center\"/></edges>",
             lanes);
    test_file("road.edg.xml", text);
    snprintf(text, sizeof(text),
             "<routes><vType id=\"car\" length=\"5\" minGap=\"2.5\" sigma=\"0\" speedDev=\"0\" "
             "speedFactor=\"1\" accel=\"2\" decel=\"4\"/>"
             "<vType id=\"van\" length=\"7\" minGap=\"2.5\" sigma=\"0\" speedDev=\"0\" "
             "speedFactor=\"1\" accel=\"2\" decel=\"4\"/>"
             "<route id=\"r\" edges=\"ab\"/>%s</routes>",
             vehicles);
    test_file("road.rou.xml", text);
    snprintf(command, sizeof(command),
             "netconvert -n %s/road.nod.xml -e %s/road.edg.xml -o %s/road.net.xml "
             "--xml-validation never >/dev/null 2>&1",
             at, at, at);
    assert_int_equal(system(command), 0);
    snprintf(net_option, sizeof(net_option), "net_file=%s/road.net.xml", at);
    snprintf(routes_option, sizeof(routes_option), "route_files=%s/road.rou.xml", at);
}

#define CAR(id, type, lane, pos, speed)                                                    \
    "<vehicle id=\"" id "\" type=\"" type "\" route=\"r\" depart=\"0\" departLane=\"" lane \
    "\" departPos=\"" pos "\" departSpeed=\"" speed "\"/>"
#define THREE                             \
    CAR("first", "van", "0", "100", "10") \
    CAR("second", "car", "0", "60", "14") CAR("third", "car", "1", "30", "8")

/* Nobody drives on; all is as it departed. */
static void test_features(void **state)
{
    (void)state;
    make_road(2, THREE);
    const char *const options[] = {net_option,       routes_option,    "step_length=0.1",
                                   backend,          "speed_mode=0",   "neighbours=4",
                                   "num_seconds=40", "time_period=40", NULL};
    struct gym gym;
    uint64_t seed = 1;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym.spec->features, RTC_ENV_RAGGED);
    assert_int_equal(gym.spec->rows_max, 20);
    assert_int_equal(gym.spec->kinds[0].observation.shape[1], GRAPH_WIDTH);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    assert_int_equal(gym.rows.n, 0); /* they depart in the first step */
    step_or_fail(&gym);
    assert_int_equal(gym.rows.n, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(gym.table[i].agent, i);
        assert_int_equal(gym.table[i].flags, RTC_ENV_ACTIVE | RTC_ENV_FIRST);
        assert_int_equal(gym.table[i].size, 3 * GRAPH_WIDTH * sizeof(float));
    }
    set_all(&gym, 0); /* no acceleration: 1 m, 1.4 m and 0.8 m in 0.1 s */
    step_or_fail(&gym);
    assert_int_equal(gym.table[1].flags, RTC_ENV_ACTIVE);
    double phase = 2 * M_PI * 0.2 / 40;
    /* who departed first is agent 0, and in SUMO that is the order of the file */
    const float *x = row_of(&gym, 1);
    const double second[] = {1, 0.0614, x[2], -0.2, 0, 0, 1, 0, sin(phase), cos(phase), 0, 0, 0, 0};
    for (uint32_t i = 0; i < GRAPH_WIDTH; i++)
        near(x[i], second[i]);
    /* its leader: 39.6 m ahead, 4 m/s slower */
    const double first[] = {1, 0.101,      x[2],       -1,    0, 0,    1,
                            0, sin(phase), cos(phase), 0.396, 0, -0.8, 1};
    for (uint32_t i = 0; i < GRAPH_WIDTH; i++)
        near(x[GRAPH_WIDTH + i], first[i]);
    /* the one on the left lane, 30.6 m behind and a lane's 3.2 m aside */
    const double third[] = {1, 0.0308,     x[2] + 0.0032, -1.4,   0,     1,    1,
                            0, sin(phase), cos(phase),    -0.306, 0.032, -1.2, 0};
    for (uint32_t i = 0; i < GRAPH_WIDTH; i++)
        near(x[2 * GRAPH_WIDTH + i], third[i]);
    /* the first one is followed, and sees that */
    near(row_of(&gym, 0)[GRAPH_WIDTH + 13], -1);
    near(row_of(&gym, 0)[GRAPH_WIDTH + 10], -0.396);
    near(row_of(&gym, 0)[2 * GRAPH_WIDTH + 13], 0);
    gym_close(&gym);
}

/* How many rows each of the three has after two steps, and what of the last one it sees last. */
static void count_rows(const char *neighbours, const char *graph, const uint32_t *rows,
                       const double *last)
{
    const char *const options[] = {net_option,     routes_option, "step_length=0.1",
                                   "speed_mode=0", neighbours,    graph,
                                   "radius=31",    backend,       NULL};
    struct gym gym;
    uint64_t seed = 1;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    step_or_fail(&gym);
    set_all(&gym, 0);
    step_or_fail(&gym);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(gym.table[i].size, rows[i] * GRAPH_WIDTH * sizeof(float));
        if (rows[i] > 1)
            near((double)row_of(&gym, i)[(rows[i] - 1) * GRAPH_WIDTH + 10], last[i]);
    }
    gym_close(&gym);
}

/* The one ahead and the one behind come first and always; then the nearest, or those within 31 m.
 */
static void test_neighbours(void **state)
{
    (void)state;
    make_road(2, THREE);
    count_rows("neighbours=1", "graph=knn", (const uint32_t[]){2, 2, 2},
               (const double[]){-0.396, 0.396, 0.306});
    count_rows("neighbours=2", "graph=knn", (const uint32_t[]){3, 3, 3},
               (const double[]){-0.702, -0.306, 0.702});
    count_rows("neighbours=9", "graph=radius", (const uint32_t[]){2, 3, 2},
               (const double[]){-0.396, -0.306, 0.306});
    count_rows("neighbours=0", "graph=knn", (const uint32_t[]){1, 1, 1}, (const double[]){0, 0, 0});
}

/* Rows that are filled up hold the same as ragged ones, and zeros. */
static void test_filled_up(void **state)
{
    (void)state;
    make_road(2, THREE);
    const char *const options[2][8] = {
        {net_option, routes_option, "step_length=0.1", backend, "neighbours=6", NULL},
        {net_option, routes_option, "step_length=0.1", backend, "neighbours=6", "ragged=false",
         NULL}};
    struct gym gym[2];
    uint64_t seed = 1;
    for (int k = 0; k < 2; k++) {
        open_or_fail(&gym[k], 1, options[k]);
        assert_int_equal(gym_reset(&gym[k], &seed), 0);
        for (int i = 0; i < 5; i++) {
            set_all(&gym[k], 0.5f);
            step_or_fail(&gym[k]);
        }
    }
    assert_int_equal(gym[1].spec->features, 0);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t size = gym[0].table[i].size, all = 7 * GRAPH_WIDTH * sizeof(float);
        const char *filled = (const char *)row_of(&gym[1], i);
        assert_int_equal(gym[1].table[i].size, all);
        assert_memory_equal(row_of(&gym[0], i), filled, size);
        for (uint32_t b = size; b < all; b++)
            assert_int_equal(filled[b], 0);
    }
    gym_close(&gym[0]);
    gym_close(&gym[1]);
}

/* Actions as they are driven, and the sums of the episode by hand. */
static void test_numbers(void **state)
{
    (void)state;
    make_road(2, CAR("first", "van", "0", "100", "10") CAR("second", "car", "0", "60", "14"));
    const char *const options[] = {net_option,
                                   routes_option,
                                   "step_length=0.1",
                                   "prefix=second",
                                   "speed_mode=0",
                                   "num_seconds=0.5",
                                   "max_accel=2",
                                   "max_decel=4",
                                   "others_speed_mode=0",
                                   "time_to_teleport=-1",
                                   backend,
                                   "reward=own-velocity",
                                   "headway_weight=0.1",
                                   "headway_min=4",
                                   "acceleration_weight=0.01",
                                   NULL};
    static const float acts[] = {0, 0.5f, -0.5f, 5, 0};
    struct gym gym;
    uint64_t seed = 1;
    double v = 14, gap = 40 - 7, other = 10, least = 100, most = 0, sum = 0, speeds = 0;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    step_or_fail(&gym); /* departs */
    assert_int_equal(gym.rows.n, 1);
    for (int i = 1; i < 5; i++) {
        set_all(&gym, acts[i]);
        double a = acts[i] >= 1 ? 2 : acts[i] * (acts[i] > 0 ? 2 : 4);
        double before = other;
        step_or_fail(&gym);
        v += 0.1 * a;
        speeds += v;
        /* the other one drives by itself: its speed is what the neighbour's row says */
        const float *x = (const float *)(const void *)(i < 4 ? gym.seen : gym.final);
        other = (double)x[GRAPH_WIDTH + 3] * 5 + 15;
        assert_true(other >= before);
        gap += 0.1 * (other - v);
        near((double)x[3], (v - 15) / 5);
        near((double)x[4], a / 5);
        near((double)x[GRAPH_WIDTH + 10], (gap + 7) / 100);
        least = fmin(least, v > other ? gap / (v - other) : 100);
        most = fmax(most, v > other ? (v - other) * (v - other) / (2 * gap) : 0);
        double pay = v / 20 - 0.1 * fmax(4 - gap / v, 0) - 0.01 * fabs(a);
        near((double)gym.rewards[0], pay);
        sum += pay;
        assert_int_equal(gym.ends[0], i < 4 ? 0 : RTC_ENV_TRUNCATED);
    }
    assert_int_equal(gym.finals.n, 1);
    assert_int_equal(gym.finals_of[0], 0);
    const double infos[] = {sum, 5, 2, 0, 0, 0, 1, 0, speeds / 4, least, most, 0, 0};
    for (uint32_t i = 0; i < gym.spec->n_infos; i++) {
        if (i != 7) /* the other one's speed is in it */
            near(gym.sums[i], infos[i]);
    }
    assert_string_equal(gym.spec->infos[9], "ttc_min");
    assert_int_equal(gym.episodes.n, 1);
    gym_close(&gym);
}

static void test_safety(void **state)
{
    (void)state;
    near(graph_ttc(20, 15, 10), 4);
    near(graph_drac(20, 15, 10), 0.625);
    near(graph_ttc(20, 10, 10), GRAPH_TTC_MAX);
    near(graph_drac(20, 9, 10), 0);
    near(graph_ttc(0, 15, 10), 0);
    near(graph_drac(-1, 15, 10), GRAPH_DRAC_MAX);
    near(graph_ttc(1e9, 15, 10), GRAPH_TTC_MAX);
    near(graph_drac(1e-9, 15, 0), GRAPH_DRAC_MAX);
}

/* Rewards of all vehicles: 12 and 16 m/s, of 20; one less with an offset. */
static void test_rewards(void **state)
{
    static const char *const rewards[] = {"reward=desired-velocity", "reward=average-velocity"};
    (void)state;
    make_road(1, CAR("first", "car", "0", "500", "12") CAR("second", "car", "0", "60", "16"));
    for (int i = 0; i < 2; i++) {
        const char *const options[] = {net_option,
                                       routes_option,
                                       rewards[i],
                                       "speed_mode=0",
                                       "step_length=0.1",
                                       backend,
                                       i ? "reward_offset=-1" : "reward_offset=0",
                                       NULL};
        struct gym gym;
        uint64_t seed = 1;
        open_or_fail(&gym, 1, options);
        assert_int_equal(gym_reset(&gym, &seed), 0);
        step_or_fail(&gym);
        set_all(&gym, 0);
        step_or_fail(&gym);
        double pay = i ? 14.0 / 20 - 1 : 1 - sqrt(8 * 8 + 4 * 4) / sqrt(2 * 20 * 20);
        near((double)gym.rewards[0], pay);
        near((double)gym.rewards[1], pay);
        gym_close(&gym);
    }
}

/* Who drives into another one ends the episode, is paid nothing, and is told of. */
static void test_collision(void **state)
{
    (void)state;
    make_road(1, "<vehicle id=\"first\" type=\"van\" route=\"r\" depart=\"0\" departPos=\"100\">"
                 "<stop lane=\"ab_0\" endPos=\"101\" duration=\"1000\"/></vehicle>" CAR(
                     "second", "car", "0", "20", "10"));
    const char *const options[] = {net_option,
                                   routes_option,
                                   "speed_mode=0",
                                   "prefix=second",
                                   "step_length=0.1",
                                   backend,
                                   "others_speed_mode=0",
                                   "collision_reward=-5",
                                   NULL};
    struct gym gym;
    uint64_t seed = 1;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    step_or_fail(&gym);
    int steps = 1;
    for (; steps < 100 && !gym.episodes.n; steps++) {
        set_all(&gym, 1);
        step_or_fail(&gym);
    }
    assert_true(steps > 20 && steps < 70);
    assert_int_equal(gym.ends[0], RTC_ENV_TERMINATED);
    assert_true(gym.rewards[0] == -5);
    assert_true(gym.sums[5] > 0 && gym.sums[9] < 0.2 && gym.sums[10] > 30 && gym.sums[11] > 3);
    assert_int_equal(gym.episodes.list[0].ends, RTC_ENV_TERMINATED);
    gym_close(&gym);
}

/* The same way with all of SUMO's rules: nothing happens. */
static void test_rules(void **state)
{
    (void)state;
    make_road(1, CAR("first", "van", "0", "100", "1") CAR("second", "car", "0", "60", "10"));
    const char *const options[] = {
        net_option, routes_option, "prefix=second", "step_length=0.1", "num_seconds=10",
        backend,    NULL};
    struct gym gym;
    uint64_t seed = 1;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    for (int i = 0; i < 100; i++) {
        set_all(&gym, 1);
        step_or_fail(&gym);
    }
    assert_int_equal(gym.episodes.n, 1);
    assert_int_equal(gym.episodes.list[0].ends, RTC_ENV_TRUNCATED);
    assert_true(gym.sums[5] == 0 && gym.sums[10] < 9);
    gym_close(&gym);
}

/* ---- Lanes ---- */

static void test_lanes(void **state)
{
    (void)state;
    make_road(2, CAR("only", "car", "0", "60", "10"));
    const char *const options[] = {net_option,
                                   routes_option,
                                   "lane_change=true",
                                   "step_length=1",
                                   "actions=discrete",
                                   "levels=3",
                                   "num_seconds=20",
                                   backend,
                                   NULL};
    struct gym gym;
    uint64_t seed = 1;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym.spec->mask_size, 6);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    step_or_fail(&gym);
    static const uint8_t right[] = {1, 1, 1, 1, 1, 0}, left[] = {1, 1, 1, 1, 0, 1};
    assert_memory_equal(gym.masks, right, 6);
    gym.actions[0] = 1; /* no acceleration */
    gym.actions[1] = 2; /* to the right, where there is nothing */
    assert_int_equal(gym_step(&gym), RTC_E_RANGE);
    assert_non_null(strstr(rtc_env_error(), "the mask forbids"));
    gym.actions[1] = 1;
    step_or_fail(&gym);
    for (int i = 0; i < 3 && gym.masks[4]; i++) {
        gym.actions[1] = 0;
        step_or_fail(&gym);
    }
    assert_memory_equal(gym.masks, left, 6);
    near(row_of(&gym, 0)[5], 1);
    gym_close(&gym);
}

/* ---- Agents that come and go ---- */

static void test_agents(void **state)
{
    const char *const options[] = {"scenario=merge", "type=rl", "agents=3", "num_seconds=200",
                                   "delta_time=1",   backend,   NULL};
    struct gym gym;
    uint64_t seed = 5;
    uint32_t seen = 0, ended = 0, most = 0, agents[8] = {0}, n_agents = 0;
    (void)state;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    for (int t = 0; t < 200; t++) {
        uint32_t acted = gym.rows.n;
        for (uint32_t i = 0; i < acted; i++)
            agents[i] = gym.table[i].agent;
        n_agents = acted;
        set_all(&gym, 1);
        step_or_fail(&gym);
        for (uint32_t i = 0; i < n_agents; i++) {
            bool goes_on = gym.next[i] != RTC_ENV_NONE;
            assert_int_equal(goes_on, gym.ends[i] == 0);
            if (goes_on)
                assert_int_equal(gym.table[gym.next[i]].agent, agents[i]);
            if (gym.ends[i] == RTC_ENV_TERMINATED)
                assert_int_equal(gym.finals_of[i], RTC_ENV_NONE);
            ended += gym.ends[i] != 0;
        }
        for (uint32_t i = 0; i < gym.rows.n; i++)
            seen += gym.table[i].flags & RTC_ENV_FIRST ? 1 : 0;
        most = gym.rows.n > most ? gym.rows.n : most;
        if (gym.episodes.n) {
            assert_int_equal(t, 199);
            assert_int_equal(gym.sums[6], ended);
        }
    }
    assert_int_equal(most, 3);
    assert_true(ended > 5 && seen == ended);
    assert_int_equal(gym.episodes.n, 1);
    gym_close(&gym);
}

/* ---- Repeating ---- */

struct trace {
    uint64_t digests[80];
    double rewards, sums[13];
};

static void trace(const char *const *options, uint64_t seed, uint32_t steps, struct trace *t)
{
    struct gym gym;
    uint64_t random = 5;
    memset(t, 0, sizeof(*t));
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    for (uint32_t i = 0; i < steps; i++) {
        t->digests[i] = gym_digest(&gym) + gym.rows.n;
        for (uint32_t k = 0; k < gym.n_rows; k++) {
            float x = (float)rtc_env_uniform(&random, -1, 1);
            memcpy((char *)gym.actions + k * gym.spec->action_size, &x, sizeof(x));
        }
        uint32_t acted = gym.rows.n;
        step_or_fail(&gym);
        for (uint32_t k = 0; k < acted; k++)
            t->rewards += (double)gym.rewards[k];
        if (gym.episodes.n)
            memcpy(t->sums, gym.sums, sizeof(t->sums));
    }
    gym_close(&gym);
}

static void test_repeats(void **state)
{
    const char *const options[] = {"scenario=figure-eight", "type=rl", "delta_time=0.5",
                                   "num_seconds=25",        backend,   NULL};
    struct trace a, b, c;
    (void)state;
    trace(options, 7, 80, &a); /* over the end of an episode */
    trace(options, 7, 80, &b);
    trace(options, 8, 80, &c);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_memory_not_equal(&a, &c, sizeof(a));
    assert_true(a.sums[6] == 7 && a.sums[2] == 14 && a.sums[1] == 50);
}

/* The second episode of a seed can be begun at once, and is the same. */
static void test_begun_at(void **state)
{
    const char *const options[] = {"scenario=figure-eight",
                                   "type=rl",
                                   "delta_time=0.5",
                                   "num_seconds=2",
                                   "warmup=1",
                                   backend,
                                   NULL};
    struct gym a, b;
    uint64_t seed = 7, number = 2;
    (void)state;
    open_or_fail(&a, 1, options);
    open_or_fail(&b, 1, options);
    assert_int_equal(gym_reset(&a, &seed), 0);
    for (int i = 0; i < 8; i++) { /* two episodes */
        set_all(&a, 1);
        step_or_fail(&a);
    }
    assert_int_equal(a.episodes.n, 1);
    b.rows.n = 0;
    assert_int_equal(rtc_env_reset_at(b.env, 0, 1, &seed, &number, &b.rows), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(gym_digest(&a), gym_digest(&b));
        assert_int_equal(a.rows.n, 7);
        set_all(&a, 0.5f);
        set_all(&b, 0.5f);
        step_or_fail(&a);
        step_or_fail(&b);
    }
    assert_int_equal(b.episodes.list[0].number, 2);
    assert_int_equal(b.episodes.list[0].seed, rtc_env_seed(7, 2));
    gym_close(&a);
    gym_close(&b);
}

/* Both ways to the simulator see the same, to the last bit. */
static void test_backends(void **state)
{
    static const char *const scenarios[] = {"scenario=merge", "scenario=figure-eight"};
    (void)state;
    if (backend_missing(SUMO_LIBSUMO)) {
        print_message("skipped: %s\n", backend_missing(SUMO_LIBSUMO));
        skip();
    }
    for (int i = 0; i < 2; i++) {
        const char *const one[] = {
            scenarios[i],     "backend=libsumo", "share=0.5",      "speed_mode=1",
            "delta_time=0.5", "graph=radius",    "num_seconds=38", NULL};
        const char *const two[] = {
            scenarios[i],     "backend=traci", "share=0.5",      "speed_mode=1",
            "delta_time=0.5", "graph=radius",  "num_seconds=38", NULL};
        struct trace a, b;
        trace(one, 3, 80, &a);
        trace(two, 3, 80, &b);
        assert_memory_equal(&a, &b, sizeof(a));
        assert_true(a.sums[6] > 3);
    }
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
    const char *const options[] = {"scenario=figure-eight", "type=rl", "backend=traci", NULL};
    struct gym gym;
    uint64_t seeds[2] = {1, 2};
    (void)state;
    open_or_fail(&gym, 2, options);
    assert_int_equal(gym_reset(&gym, seeds), 0);
    step_or_fail(&gym);
    assert_int_equal(gym.rows.n, 14);
    kill_simulators();
    step_or_fail(&gym);
    for (int i = 0; i < 14; i++) {
        assert_int_equal(gym.ends[i], RTC_ENV_LOST | RTC_ENV_TRUNCATED);
        assert_true(gym.rewards[i] == 0);
    }
    assert_int_equal(gym.episodes.n, 2);
    assert_int_equal(gym.finals.n, 0);
    assert_non_null(strstr(gym.episodes.list[0].why, "signal 9"));
    for (int i = 0; i < 20; i++) /* the next ones are whole */
        step_or_fail(&gym);
    assert_int_equal(gym.rows.n, 14);
    gym_close(&gym);
}

/* ---- What is refused ---- */

static void refused(int code, const char *words, const char *const *options)
{
    struct gym gym;
    int rc = gym_open_named(&gym, NAME, 1, options);
    if (rc == 0)
        gym_close(&gym);
    if (rc != code || !strstr(rtc_env_error(), words))
        fail_msg("%d, \"%s\"; \"%s\" was expected", rc, rtc_env_error(), words);
}

#define REFUSED(code, words, ...) \
    refused(code, words, (const char *const[]){"scenario=merge", backend, __VA_ARGS__, NULL})

static void test_refusals(void **state)
{
    (void)state;
    REFUSED(RTC_E_NOT_FOUND, "no vehicle type 'robot'", "type=robot");
    REFUSED(RTC_E_NOT_FOUND, "human", "type=robot");
    REFUSED(RTC_E_INVALID, "no edge of", "lane_change=true");
    REFUSED(RTC_E_INVALID, "whole number", "delta_time=0.7");
    REFUSED(RTC_E_INVALID, "speed_mode", "speed_mode=200");
    REFUSED(RTC_E_INVALID, "share", "share=1.5");
    REFUSED(RTC_E_INVALID, "agents", "agents=0");
    REFUSED(RTC_E_INVALID, "actions is \"fly\"", "actions=fly");
    REFUSED(RTC_E_INVALID, "reward is \"gold\"", "reward=gold");
    REFUSED(RTC_E_INVALID, "collision_action is \"cry\"", "collision_action=cry");
    REFUSED(RTC_E_INVALID, "neighbours", "neighbours=65");
    REFUSED(RTC_E_NOT_FOUND, "no option", "speedmode=3");
    refused(RTC_E_NOT_FOUND, "figure-eight, grid4x4",
            (const char *const[]){"scenario=nowhere", NULL});
    refused(RTC_E_INVALID, "neither a scenario nor a net_file", (const char *const[]){NULL});
}

static void test_bad_actions(void **state)
{
    const char *const options[] = {"scenario=figure-eight", "type=rl", backend, NULL};
    struct gym gym;
    uint64_t seed = 1;
    (void)state;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    step_or_fail(&gym);
    set_all(&gym, NAN);
    assert_int_equal(gym_step(&gym), RTC_E_RANGE);
    assert_non_null(strstr(rtc_env_error(), "it must be finite"));
    set_all(&gym, 7); /* as 1 */
    step_or_fail(&gym);
    gym_close(&gym);
}

/* Vehicles that are never there are told of when the first episode ends. */
static void test_nobody(void **state)
{
    const char *const options[] = {"scenario=figure-eight", "prefix=bus", "num_seconds=1", backend,
                                   NULL};
    struct gym gym;
    uint64_t seed = 1;
    int rc = 0;
    (void)state;
    open_or_fail(&gym, 1, options);
    assert_int_equal(gym_reset(&gym, &seed), 0);
    for (int i = 0; i < 10 && rc == 0; i++)
        rc = gym_step(&gym);
    assert_int_equal(rc, RTC_E_NOT_FOUND);
    assert_non_null(strstr(rtc_env_error(), "of 14 vehicles that departed"));
    assert_non_null(strstr(rtc_env_error(), "begins with \"bus\""));
    gym_close(&gym);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features),  cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_filled_up), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_safety),    cmocka_unit_test(test_rewards),
        cmocka_unit_test(test_collision), cmocka_unit_test(test_rules),
        cmocka_unit_test(test_lanes),     cmocka_unit_test(test_agents),
        cmocka_unit_test(test_repeats),   cmocka_unit_test(test_begun_at),
        cmocka_unit_test(test_backends),  cmocka_unit_test(test_death),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_bad_actions),
        cmocka_unit_test(test_nobody),
    };
    const char *missing = backend_missing(SUMO_TRACI);
    if (missing) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    if (backend_missing(SUMO_LIBSUMO))
        backend = "backend=traci";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
