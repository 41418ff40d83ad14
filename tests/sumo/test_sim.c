/* One suite, run over both backends: test_sim libsumo|traci [TEST]. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/sumo/nets.h"

static enum sumo_backend backend;
static struct net nets[NETS_MAX];
static char why[SUMO_WHY_MAX];

static struct sumo_sim *open_net(const struct net *net, unsigned seed)
{
    struct sumo_options options = net_options(net, backend, seed);
    struct sumo_sim *sim = NULL;
    if (sumo_sim_open(&options, &sim, why) != 0)
        fail_msg("%s", why);
    return sim;
}

static int open_fails(struct sumo_options options)
{
    struct sumo_sim *sim = NULL;
    options.backend = backend;
    int rc = sumo_sim_open(&options, &sim, why);
    assert_true(rc < 0);
    assert_null(sim);
    assert_int_equal(simulators_left(), 0);
    return rc;
}

static void says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not say '%s'", text, part);
}

static void done_(struct sumo_sim *sim, int rc, int line)
{
    if (rc != 0)
        fail_msg("line %d: %s", line, sumo_sim_error(sim));
}
#define done(sim, rc) done_(sim, rc, __LINE__)

/* ---- Life and views ---- */

static void opens_steps_and_closes(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_net(&nets[0], 1);
    struct sumo_wants wants = {.n_lanes = SUMO_ALL,
                               .n_signals = SUMO_ALL,
                               .lane_vars = 127,
                               .signal_vars = 15,
                               .vehicle_vars = (1u << SUMO_VEHICLE_VARS) - 1,
                               .events = true};
    assert_int_equal(sumo_sim_backend(sim), backend);
    says(sumo_sim_report(sim), "SUMO ");
    assert_true(sumo_sim_n_signals(sim) > 0);
    assert_true(sumo_sim_step_length(sim) == 1.0);
    done(sim, sumo_sim_subscribe(sim, &wants));
    const struct sumo_view *view = sumo_sim_view(sim);
    uint32_t running = 0;
    double begin = view->time;
    for (int i = 1; i <= 60; i++) {
        done(sim, sumo_sim_step(sim, begin + 2 * i));
        assert_true(view->time == begin + 2 * i && sumo_sim_time(sim) == view->time);
        assert_int_equal(view->counters.departed, view->departed.n);
        assert_int_equal(view->counters.arrived, view->arrived.n);
        running += view->departed.n - view->arrived.n;
        assert_int_equal(view->n_vehicles, running);
        double on_lanes = 0;
        for (uint32_t k = 0; k < view->n_lanes; k++) {
            on_lanes += view->lane[SUMO_LANE_VEHICLES][k];
            assert_true(view->lane[SUMO_LANE_VEHICLES][k] ==
                        view->lane_first[k + 1] - view->lane_first[k]);
        }
        assert_true(on_lanes == running);
        for (uint32_t k = 0; k < view->n_vehicles; k++) {
            assert_true(view->vehicles[SUMO_VEHICLE_SPEED][k] >= 0);
            assert_true(view->vehicles[SUMO_VEHICLE_LANE][k] >= 0);
            assert_int_equal(sumo_sim_vehicle(sim, sumo_sim_vehicle_name(sim, view->vehicle[k])),
                             view->vehicle[k]);
        }
    }
    assert_true(running > 0);
    pid_t pid = sumo_sim_pid(sim);
    assert_true(pid > 0 && kill(pid, 0) == 0);
    sumo_sim_close(&sim);
    assert_null(sim);
    sumo_sim_close(&sim);
    assert_true(kill(pid, 0) != 0 && errno == ESRCH); /* reaped, too */
}

static void subscribes_in_the_middle(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_net(&nets[0], 1);
    struct sumo_wants some = {.vehicle_vars = SUMO_BIT(SUMO_VEHICLE_SPEED)};
    struct sumo_wants others = {.n_lanes = SUMO_ALL,
                                .lane_vars = SUMO_BIT(SUMO_LANE_HALTING),
                                .vehicle_vars = SUMO_BIT(SUMO_VEHICLE_POSITION_X)};
    done(sim, sumo_sim_step(sim, 50));
    done(sim, sumo_sim_subscribe(sim, &some));
    const struct sumo_view *view = sumo_sim_view(sim);
    uint32_t n = view->n_vehicles;
    assert_true(n > 0 && view->time == 50);
    done(sim, sumo_sim_subscribe(sim, &others));
    assert_int_equal(view->n_vehicles, n);
    assert_null(view->vehicles[SUMO_VEHICLE_SPEED]);
    assert_true(isfinite(view->vehicles[SUMO_VEHICLE_POSITION_X][0]));
    assert_int_equal(view->n_lanes, sumo_sim_n_lanes(sim));
    done(sim, sumo_sim_step(sim, 60));
    done(sim, sumo_sim_subscribe(sim, &(struct sumo_wants){0}));
    done(sim, sumo_sim_step(sim, 70));
    assert_int_equal(view->n_vehicles, 0);
    sumo_sim_close(&sim);
}

static double checksum(struct sumo_sim *sim, int steps)
{
    const struct sumo_view *view = sumo_sim_view(sim);
    double sum = 0;
    for (int i = 0; i < steps; i++) {
        done(sim, sumo_sim_step(sim, 0));
        for (uint32_t k = 0; k < view->n_vehicles; k++)
            sum = sum * 0.99 + view->vehicles[SUMO_VEHICLE_POSITION_X][k];
    }
    return sum;
}

static void resets_to_the_same(void **state)
{
    (void)state;
    struct sumo_wants wants = {.vehicle_vars = SUMO_BIT(SUMO_VEHICLE_POSITION_X)};
    struct sumo_sim *sim = open_net(&nets[0], 5);
    done(sim, sumo_sim_subscribe(sim, &wants));
    double first = checksum(sim, 100);
    pid_t pid = sumo_sim_pid(sim);
    done(sim, sumo_sim_reset(sim, 6, NULL, 0));
    assert_true(sumo_sim_time(sim) == 0);
    double other = checksum(sim, 100);
    done(sim, sumo_sim_reset(sim, 5, NULL, 0));
    assert_true(checksum(sim, 100) == first);
    assert_true(other != first);
    assert_int_equal(sumo_sim_pid(sim), pid); /* no process was started for it */
    const char *extra[] = {"--begin", "20", "--seed=9"};
    done(sim, sumo_sim_reset(sim, 5, extra, 3));
    assert_true(sumo_sim_time(sim) == 20);
    sumo_sim_close(&sim);
}

static void steps_in_halves(void **state)
{
    (void)state;
    struct sumo_sim *one = open_net(&nets[0], 1), *two = open_net(&nets[0], 2);
    for (int i = 1; i <= 20; i++) {
        done(one, sumo_sim_step_begin(one, 0));
        done(two, sumo_sim_step_begin(two, 0));
        assert_int_equal(sumo_sim_step_begin(two, 0), RTC_E_BUSY);
        assert_int_equal(sumo_sim_set_phase(two, 0, 0), RTC_E_BUSY);
        done(one, sumo_sim_step_end(one));
        done(two, sumo_sim_step_end(two));
        assert_int_equal(sumo_sim_step_end(two), RTC_E_INVALID);
    }
    assert_true(sumo_sim_time(one) == 20 && sumo_sim_time(two) == 20);
    sumo_sim_close(&one);
    done(two, sumo_sim_step_begin(two, 0)); /* closed amid a step */
    sumo_sim_close(&two);
    assert_int_equal(simulators_left(), 0);
}

/* Two lights, one after the other, in one message or two: the same simulation. */
static double ends_after(struct sumo_sim *sim, bool leg, struct sumo_counters *sum)
{
    struct sumo_program *programs;
    uint32_t n;
    double speeds = 0;
    memset(sum, 0, sizeof(*sum));
    done(sim, sumo_sim_reset(sim, 3, NULL, 0));
    done(sim, sumo_sim_programs(sim, 0, &programs, &n));
    for (int i = 0; i < 40; i++) {
        double now = sumo_sim_time(sim);
        const struct sumo_program *p = &programs[0];
        done(sim, sumo_sim_set_state(sim, 0, p->phases[i % p->n_phases].state));
        if (leg) {
            done(sim, sumo_sim_queue_leg(sim, now + 2));
        } else {
            done(sim, sumo_sim_step(sim, now + 2));
            sum->departed += sumo_sim_view(sim)->counters.departed;
            sum->arrived += sumo_sim_view(sim)->counters.arrived;
        }
        done(sim, sumo_sim_set_state(sim, 0, p->phases[(i + 1) % p->n_phases].state));
        done(sim, sumo_sim_step(sim, now + 5));
        const struct sumo_view *view = sumo_sim_view(sim);
        sum->departed += view->counters.departed;
        sum->arrived += view->counters.arrived;
        assert_true(view->time == now + 5);
        for (uint32_t k = 0; k < view->n_vehicles; k++)
            speeds += view->vehicles[SUMO_VEHICLE_SPEED][k] * (k + 1);
    }
    sumo_programs_free(programs, n);
    return speeds;
}

static void queues_legs(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_net(&nets[0], 1);
    struct sumo_wants wants = {.vehicle_vars = SUMO_BIT(SUMO_VEHICLE_SPEED), .events = true};
    struct sumo_counters one, two;
    done(sim, sumo_sim_subscribe(sim, &wants));
    assert_int_equal(sumo_sim_queue_leg(sim, NAN), RTC_E_INVALID);
    double a = ends_after(sim, false, &one), b = ends_after(sim, true, &two);
    assert_true(a == b);
    assert_memory_equal(&one, &two, sizeof(one));
    assert_true(one.departed > 20 && one.arrived > 5);
    for (int i = 1; i <= 8; i++)
        done(sim, sumo_sim_queue_leg(sim, sumo_sim_time(sim) + i));
    assert_int_equal(sumo_sim_queue_leg(sim, sumo_sim_time(sim) + 9), RTC_E_TOO_LARGE);
    done(sim, sumo_sim_step(sim, sumo_sim_time(sim) + 9));
    sumo_sim_close(&sim);
}

struct on_lanes {
    uint32_t vehicle[1000], n;
    double sum;
};

static struct on_lanes look_on(const struct sumo_view *view, const uint32_t *lanes, uint32_t n)
{
    struct on_lanes seen = {0};
    for (uint32_t i = 0; i < view->n_vehicles; i++) {
        for (uint32_t k = 0; k < n; k++) {
            if (view->vehicles[SUMO_VEHICLE_LANE][i] != lanes[k])
                continue;
            seen.vehicle[seen.n++] = view->vehicle[i];
            seen.sum = seen.sum * 0.99 + view->vehicles[SUMO_VEHICLE_POSITION_X][i];
        }
    }
    return seen;
}

/* The same rows in the same order as of a subscription to all, with and without columns of lanes.
 */
static void sees_vehicles_on_some_lanes(void **state)
{
    (void)state;
    enum { LANES = 4 };
    struct sumo_sim *sim = open_net(&nets[0], 1);
    uint32_t lanes[LANES], most = 0;
    struct sumo_wants all = {.vehicle_vars =
                                 SUMO_BIT(SUMO_VEHICLE_POSITION_X) | SUMO_BIT(SUMO_VEHICLE_LANE)};
    struct sumo_wants some = {.lanes = lanes,
                              .n_lanes = LANES,
                              .n_vehicle_lanes = LANES - 1,
                              .vehicle_vars = SUMO_BIT(SUMO_VEHICLE_POSITION_X)};
    const struct sumo_view *view = sumo_sim_view(sim);
    assert_true(sumo_sim_n_lanes(sim) >= LANES);
    for (uint32_t i = 0; i < LANES; i++)
        lanes[i] = LANES - 1 - i;
    for (int i = 0; i < 12; i++) {
        some.lane_vars = i % 2 ? SUMO_BIT(SUMO_LANE_VEHICLES) : 0;
        done(sim, sumo_sim_subscribe(sim, i % 3 ? &some : &all));
        done(sim, sumo_sim_step(sim, sumo_sim_time(sim) + 20));
        struct on_lanes stepped = look_on(view, lanes, LANES - 1);
        if (i % 3)
            assert_int_equal(view->n_vehicles, stepped.n);
        done(sim, sumo_sim_subscribe(sim, &all));
        struct on_lanes expected = look_on(view, lanes, LANES - 1);
        assert_int_equal(stepped.n, expected.n);
        if (i % 3 == 0) /* who subscribes in the middle has his own order */
            continue;
        most = expected.n > most ? expected.n : most;
        done(sim, sumo_sim_subscribe(sim, &some));
        assert_int_equal(view->n_vehicles, expected.n);
        assert_int_equal(view->n_lanes, i % 2 ? LANES : 0);
    }
    assert_true(most > 3);
    sumo_sim_close(&sim);
}

/* What was made for questions to a dead one is freed (sanitizers see that). */
static void forgets_the_dead(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_net(&nets[0], 1);
    for (int i = 0; i < 3; i++) {
        kill(sumo_sim_pid(sim), SIGKILL);
        assert_true(sumo_sim_step(sim, 0) < 0);
        assert_int_equal(sumo_sim_set_state(sim, 0, "G"), RTC_E_CLOSED);
        done(sim, sumo_sim_reset(sim, 2, NULL, 0));
    }
    sumo_sim_close(&sim);
}

static void leads_from_lane_to_lane(void **state)
{
    struct sumo_next *next;
    uint32_t lane, n;
    (void)state;
    struct sumo_sim *sim = open_net(&nets[0], 1);
    struct sumo_link *links;
    uint32_t n_links;
    done(sim, sumo_sim_links(sim, 0, &links, &n_links));
    for (uint32_t i = 0; i < n_links; i++) {
        bool found = false;
        done(sim, sumo_sim_lane_next(sim, links[i].from, &next, &n));
        for (uint32_t k = 0; k < n; k++)
            found = found || next[k].lane == links[i].to;
        assert_true(found);
        free(next);
    }
    free(links);
    lane = sumo_sim_n_lanes(sim);
    assert_int_equal(sumo_sim_lane_next(sim, lane, &next, &n), RTC_E_INVALID);
    sumo_sim_close(&sim);
}

static void writes_output_files(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof(path), "%s/trips.xml", test_folder());
    const char *extra[] = {"--tripinfo-output", path, "--tripinfo-output.write-unfinished", "true"};
    struct sumo_options options = net_options(&nets[0], backend, 1);
    struct sumo_sim *sim;
    options.extra = extra;
    options.n_extra = 4;
    assert_int_equal(sumo_sim_open(&options, &sim, why), 0);
    done(sim, sumo_sim_step(sim, 60));
    sumo_sim_close(&sim);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char text[65536];
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    says(text, "<tripinfo ");
    says(text, "</tripinfos>");
}

/* ---- The net ---- */

static void knows_the_net(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_net(&nets[0], 1);
    struct sumo_link *links;
    struct sumo_program *programs;
    uint32_t n, signal, lane;
    double length, speed;
    done(sim, sumo_sim_signal(sim, sumo_sim_signal_name(sim, 0), &signal));
    assert_int_equal(signal, 0);
    done(sim, sumo_sim_lane(sim, sumo_sim_lane_name(sim, 3), &lane));
    assert_int_equal(lane, 3);
    done(sim, sumo_sim_lane_geometry(sim, 3, &length, &speed));
    assert_true(length > 1 && speed > 1);
    assert_true(sumo_sim_lane_name(sim, 0)[0] != ':');
    done(sim, sumo_sim_programs(sim, 0, &programs, &n));
    assert_true(n >= 1 && programs[0].n_phases >= 2);
    size_t n_states = strlen(programs[0].phases[0].state);
    done(sim, sumo_sim_links(sim, 0, &links, &n));
    assert_true(n >= n_states && links[n - 1].index == n_states - 1);
    assert_true(links[0].from < sumo_sim_n_lanes(sim) && links[0].to < sumo_sim_n_lanes(sim));
    free(links);

    for (uint32_t i = 0; i < programs[0].n_phases; i++) /* another program, made of this one */
        programs[0].phases[i].duration = 7;
    free(programs[0].id);
    programs[0].id = strdup("ours");
    done(sim, sumo_sim_set_program_logic(sim, 0, &programs[0]));
    sumo_programs_free(programs, 1);
    done(sim, sumo_sim_step(sim, 0));
    struct sumo_wants wants = {.n_signals = 1, .signals = (uint32_t[]){0}, .signal_vars = 15};
    done(sim, sumo_sim_subscribe(sim, &wants));
    assert_string_equal(sumo_sim_view(sim)->signal_program[0], "ours");
    sumo_sim_close(&sim);
}

static void acts(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_net(&nets[0], 1);
    struct sumo_wants wants = {.n_signals = SUMO_ALL,
                               .signal_vars = 15,
                               .vehicle_vars = SUMO_BIT(SUMO_VEHICLE_SPEED) |
                                               SUMO_BIT(SUMO_VEHICLE_LANE_INDEX)};
    done(sim, sumo_sim_subscribe(sim, &wants));
    const struct sumo_view *view = sumo_sim_view(sim);
    char red[256] = "";
    memset(red, 'r', strlen(view->signal_state[0]));
    done(sim, sumo_sim_set_state(sim, 0, red));
    done(sim, sumo_sim_step(sim, 40));
    assert_string_equal(view->signal_state[0], red);
    assert_true(view->n_vehicles > 0);
    uint32_t first = view->vehicle[0];
    done(sim, sumo_sim_set_speed_mode(sim, first, 0));
    done(sim, sumo_sim_set_lane_change_mode(sim, first, 0));
    done(sim, sumo_sim_set_speed(sim, first, 3));
    done(sim, sumo_sim_change_lane(sim, first, 0, 5));
    done(sim, sumo_sim_step(sim, 41));
    assert_int_equal(view->vehicle[0], first);
    assert_true(view->vehicles[SUMO_VEHICLE_SPEED][0] == 3);
    done(sim, sumo_sim_slow_down(sim, first, 1, 2));
    done(sim, sumo_sim_set_program(sim, 0, "0"));
    done(sim, sumo_sim_set_phase(sim, 0, 1));
    done(sim, sumo_sim_set_phase_duration(sim, 0, 30));
    done(sim, sumo_sim_step(sim, 42));
    assert_true(view->signal[SUMO_SIGNAL_PHASE][0] == 1);
    assert_string_equal(view->signal_program[0], "0");
    sumo_sim_close(&sim);
}

/* ---- What users get wrong ---- */

static void refuses_files(void **state)
{
    (void)state;
    struct sumo_options good = net_options(&nets[0], backend, 1), bad = good;
    bad.net_file = "/nowhere/x.net.xml";
    bad.sumocfg_file = NULL;
    assert_int_equal(open_fails(bad), RTC_E_NOT_FOUND);
    says(why, "net file '/nowhere/x.net.xml'");
    bad = (struct sumo_options){.net_file = nets[0].net, .route_files = "/nowhere/a.rou.xml,b"};
    assert_int_equal(open_fails(bad), RTC_E_NOT_FOUND);
    says(why, "route file '/nowhere/a.rou.xml'");
    assert_int_equal(open_fails((struct sumo_options){0}), RTC_E_INVALID);
    says(why, "sumocfg");
    bad = (struct sumo_options){.sumocfg_file =
                                    test_file("broken.sumocfg", "<configuration><input>")};
    assert_true(open_fails(bad) < 0);
    says(why, "broken.sumocfg");
    bad = (struct sumo_options){.net_file =
                                    test_file("cut.net.xml", "<net version=\"1.9\"><edge id=\"a")};
    assert_true(open_fails(bad) < 0);
    says(why, "cut.net.xml");
    bad = good;
    bad.step_length = NAN;
    assert_int_equal(open_fails(bad), RTC_E_INVALID);
    says(why, "step length");
    const char *extra[] = {"--no-such-option", "1"};
    bad = good;
    bad.extra = extra;
    bad.n_extra = 2;
    assert_int_equal(open_fails(bad), RTC_E_INVALID);
    says(why, "no-such-option");
}

/* The part of the routes that is read at the start is good enough to load the net, and no more. */
static void refuses_half_a_simulation(void **state)
{
    (void)state;
    struct sumo_options bad = net_options(&nets[0], backend, 1);
    bad.sumocfg_file = NULL;
    bad.net_file = nets[0].net;
    bad.route_files = test_file("bad.rou.xml", "<routes><vehicle id=\"v\" depart=\"0\">"
                                               "<route edges=\"no such\"/></vehicle></routes>");
    assert_int_equal(open_fails(bad), RTC_E_INVALID);
    says(why, "no");
    char cfg[700];
    snprintf(cfg, sizeof(cfg),
             "<configuration><input><net-file value=\"%s\"/><route-files value=\"gone.rou.xml\"/>"
             "</input></configuration>",
             nets[0].net);
    bad = (struct sumo_options){.sumocfg_file = test_file("gone.sumocfg", cfg)};
    assert_int_equal(open_fails(bad), RTC_E_INVALID);
    says(why, "gone.rou.xml");

    struct sumo_sim *sim = open_net(&nets[0], 1); /* the next one is fine */
    const char *extra[] = {"--route-files", "/nowhere/a.rou.xml"};
    done(sim, sumo_sim_step(sim, 10));
    assert_true(sumo_sim_reset(sim, 1, extra, 2) < 0);
    says(sumo_sim_error(sim), "/nowhere/a.rou.xml");
    assert_int_equal(sumo_sim_step(sim, 0), RTC_E_CLOSED);
    says(sumo_sim_error(sim), "/nowhere/a.rou.xml");
    assert_int_equal(sumo_sim_pid(sim), 0);
    done(sim, sumo_sim_reset(sim, 1, NULL, 0)); /* and so is it, again */
    done(sim, sumo_sim_step(sim, 10));
    sumo_sim_close(&sim);
}

static void refuses_commands(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_net(&nets[0], 1);
    struct sumo_wants wants = {.vehicle_vars = SUMO_BIT(SUMO_VEHICLE_SPEED)};
    uint32_t number;
    done(sim, sumo_sim_subscribe(sim, &wants));
    done(sim, sumo_sim_step(sim, 30));
    assert_int_equal(sumo_sim_set_state(sim, 0, "Gr"), RTC_E_INVALID);
    says(sumo_sim_error(sim), sumo_sim_signal_name(sim, 0));
    says(sumo_sim_error(sim), "2 letters");
    assert_int_equal(sumo_sim_set_state(sim, 99, "Gr"), RTC_E_INVALID);
    assert_int_equal(sumo_sim_signal(sim, "no such", &number), RTC_E_NOT_FOUND);
    says(sumo_sim_error(sim), "no signal 'no such'");
    says(sumo_sim_error(sim), sumo_sim_signal_name(sim, 0));
    assert_int_equal(sumo_sim_lane(sim, "no such", &number), RTC_E_NOT_FOUND);
    assert_int_equal(sumo_sim_set_speed(sim, 0, NAN), RTC_E_INVALID);
    assert_int_equal(sumo_sim_set_speed(sim, 0, -3), RTC_E_INVALID);
    assert_int_equal(sumo_sim_set_speed(sim, 99999, 1), RTC_E_INVALID);
    assert_int_equal(sumo_sim_slow_down(sim, 0, 1, INFINITY), RTC_E_INVALID);
    assert_int_equal(sumo_sim_step(sim, NAN), RTC_E_INVALID);
    assert_int_equal(sumo_sim_step(sim, 30), RTC_E_INVALID);
    done(sim, sumo_sim_step(sim, 31)); /* nothing of it was sent */

    done(sim, sumo_sim_set_program(sim, 0, "no such program"));
    done(sim, sumo_sim_set_phase(sim, 0, 12345));
    done(sim, sumo_sim_set_speed(sim, sumo_sim_view(sim)->vehicle[0], 5));
    assert_int_equal(sumo_sim_step(sim, 32), RTC_E_DENIED);
    says(sumo_sim_error(sim), "2 of 3");
    says(sumo_sim_error(sim), "no such program");
    assert_true(sumo_sim_view(sim)->time == 32);             /* made all the same */
    done(sim, sumo_sim_set_program(sim, 0, "nor this one")); /* several steps lose nothing of it */
    assert_int_equal(sumo_sim_step(sim, 40), RTC_E_DENIED);
    says(sumo_sim_error(sim), "nor this one");
    done(sim, sumo_sim_step(sim, 41));
    sumo_sim_close(&sim);
}

static void takes_a_net_without_signals(void **state)
{
    (void)state;
    struct net plain;
    uint32_t signal;
    if (!make_plain_net(&plain))
        skip();
    struct sumo_sim *sim = open_net(&plain, 1);
    struct sumo_wants wants = {.n_signals = SUMO_ALL, .signal_vars = 15, .vehicle_vars = 1};
    assert_int_equal(sumo_sim_n_signals(sim), 0);
    assert_int_equal(sumo_sim_signal(sim, "a", &signal), RTC_E_NOT_FOUND);
    says(sumo_sim_error(sim), "no signals at all");
    done(sim, sumo_sim_subscribe(sim, &wants));
    done(sim, sumo_sim_step(sim, 20));
    assert_int_equal(sumo_sim_view(sim)->n_vehicles, 4);
    sumo_sim_close(&sim);
}

static void takes_paths_in_chinese(void **state)
{
    (void)state;
    char folder[256], cfg[1024], path[512];
    snprintf(folder, sizeof(folder), "%s/仿真环境-初赛", test_folder());
    assert_int_equal(mkdir(folder, 0700), 0);
    struct net plain;
    if (!make_plain_net(&plain))
        skip();
    snprintf(path, sizeof(path), "%s/plain.net.xml", folder);
    assert_int_equal(link(plain.net, path), 0);
    snprintf(cfg, sizeof(cfg),
             "<configuration><input><net-file value=\"plain.net.xml\"/>"
             "<route-files value=\"%s\"/></input>"
             "<time><step-length value=\"0.1\"/></time></configuration>",
             plain.routes);
    struct sumo_options options = {.backend = backend,
                                   .sumocfg_file = test_file("仿真环境-初赛/sumo.sumocfg", cfg)};
    struct sumo_sim *sim;
    if (sumo_sim_open(&options, &sim, why) != 0)
        fail_msg("%s", why);
    assert_true(sumo_sim_step_length(sim) == 0.1);
    for (int i = 0; i < 37; i++)
        done(sim, sumo_sim_step(sim, 0));
    assert_true(fabs(sumo_sim_time(sim) - 3.7) < 1e-9);
    sumo_sim_close(&sim);
}

/* ---- What dies ---- */

static void survives_the_death_of_a_simulator(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_net(&nets[0], 1);
    for (int i = 0; i < 5; i++) {
        done(sim, sumo_sim_step(sim, 0));
        pid_t pid = sumo_sim_pid(sim);
        if (i % 2)
            done(sim, sumo_sim_step_begin(sim, 0)); /* amid a step, or before it */
        assert_int_equal(kill(pid, SIGKILL), 0);
        int rc = i % 2 ? sumo_sim_step_end(sim) : sumo_sim_step(sim, 0);
        if (rc == 0) /* the step had been made */
            rc = sumo_sim_step(sim, 0);
        assert_int_equal(rc, RTC_E_CRASHED);
        says(sumo_sim_error(sim), "killed by signal 9");
        assert_int_equal(sumo_sim_pid(sim), 0);
        assert_true(kill(pid, 0) != 0 && errno == ESRCH);
        assert_int_equal(sumo_sim_step(sim, 0), RTC_E_CLOSED);
        done(sim, sumo_sim_reset(sim, 1, NULL, 0));
    }
    sumo_sim_close(&sim);
    assert_int_equal(simulators_left(), 0);
}

static void kills_a_stuck_simulator(void **state)
{
    (void)state;
    struct sumo_options options = net_options(&nets[0], backend, 1);
    struct sumo_sim *sim;
    options.step_timeout_ms = 300;
    assert_int_equal(sumo_sim_open(&options, &sim, why), 0);
    pid_t pid = sumo_sim_pid(sim);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(sumo_sim_step(sim, 0), RTC_E_TIMEOUT);
    says(sumo_sim_error(sim), "more than 3");
    assert_true(kill(pid, 0) != 0 && errno == ESRCH);
    done(sim, sumo_sim_reset(sim, 1, NULL, 0));
    done(sim, sumo_sim_step(sim, 0));
    kill(sumo_sim_pid(sim), SIGSTOP); /* closing takes no answer for granted either */
    done(sim, sumo_sim_step_begin(sim, 0));
    sumo_sim_close(&sim);
    assert_int_equal(simulators_left(), 0);
}

/* A program that is killed leaves nothing behind: its simulators are gone, whoever reaps them. */
static void dies_with_its_program(void **state)
{
    (void)state;
    int ends[2];
    pid_t pids[3];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; i++) {
            struct sumo_options options = net_options(&nets[0], backend, 1);
            struct sumo_sim *sim;
            if (sumo_sim_open(&options, &sim, why) != 0 || sumo_sim_step_begin(sim, 3600) != 0)
                _exit(1);
            pids[i] = sumo_sim_pid(sim);
        }
        (void)!write(ends[1], pids, sizeof(pids));
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], pids, sizeof(pids)), sizeof(pids));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ends[0]);
    for (int i = 0; i < 3; i++) {
        char path[64], letter = 'Z';
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pids[i]);
        for (;;) { /* dead, though whoever is init here may take its time to reap it */
            FILE *file = fopen(path, "r");
            if (!file)
                break;
            int n = fscanf(file, "%*d (%*[^)]) %c", &letter);
            fclose(file);
            if (n != 1 || letter == 'Z' || letter == 'X')
                break;
            sched_yield();
        }
    }
}

static void *open_in_thread(void *unused)
{
    (void)unused;
    return open_net(&nets[0], 3);
}

/* PR_SET_PDEATHSIG is about threads; a simulation is not. */
static void outlives_the_thread_that_opened_it(void **state)
{
    (void)state;
    pthread_t thread;
    void *sim;
    assert_int_equal(pthread_create(&thread, NULL, open_in_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &sim), 0);
    struct sumo_sim *ours = sim;
    for (int i = 0; i < 20; i++)
        done(ours, sumo_sim_step(ours, 0));
    sumo_sim_close(&ours);
}

#define MANY 64

struct one_of_many {
    pthread_t thread;
    int rc;
    double time;
    char why[SUMO_WHY_MAX];
};

static void *open_step_close(void *argument)
{
    struct one_of_many *one = argument;
    struct sumo_options options = net_options(&nets[0], backend, 1);
    struct sumo_sim *sim;
    if ((one->rc = sumo_sim_open(&options, &sim, one->why)) != 0)
        return NULL;
    for (int i = 0; i < 5 && one->rc == 0; i++)
        one->rc = sumo_sim_step(sim, 0);
    one->time = sumo_sim_time(sim);
    snprintf(one->why, sizeof(one->why), "%s", sumo_sim_error(sim));
    sumo_sim_close(&sim);
    return NULL;
}

static void starts_many_at_once(void **state)
{
    (void)state;
    struct one_of_many *many = calloc(MANY, sizeof(*many));
    for (int i = 0; i < MANY; i++)
        assert_int_equal(pthread_create(&many[i].thread, NULL, open_step_close, &many[i]), 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(pthread_join(many[i].thread, NULL), 0);
        if (many[i].rc != 0)
            fail_msg("%d: %s", i, many[i].why);
        assert_true(many[i].time == 5);
    }
    free(many);
    assert_int_equal(simulators_left(), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_steps_and_closes),
        cmocka_unit_test(subscribes_in_the_middle),
        cmocka_unit_test(resets_to_the_same),
        cmocka_unit_test(steps_in_halves),
        cmocka_unit_test(queues_legs),
        cmocka_unit_test(sees_vehicles_on_some_lanes),
        cmocka_unit_test(forgets_the_dead),
        cmocka_unit_test(leads_from_lane_to_lane),
        cmocka_unit_test(writes_output_files),
        cmocka_unit_test(knows_the_net),
        cmocka_unit_test(acts),
        cmocka_unit_test(refuses_files),
        cmocka_unit_test(refuses_half_a_simulation),
        cmocka_unit_test(refuses_commands),
        cmocka_unit_test(takes_a_net_without_signals),
        cmocka_unit_test(takes_paths_in_chinese),
        cmocka_unit_test(survives_the_death_of_a_simulator),
        cmocka_unit_test(kills_a_stuck_simulator),
        cmocka_unit_test(dies_with_its_program),
        cmocka_unit_test(outlives_the_thread_that_opened_it),
        cmocka_unit_test(starts_many_at_once),
    };
    backend = argc > 1 && strcmp(argv[1], "libsumo") == 0 ? SUMO_LIBSUMO : SUMO_TRACI;
    const char *missing = backend_missing(backend);
    if (missing) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    nets_find(nets);
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
