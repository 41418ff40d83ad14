/* How long simulators live: they are recycled, replaced when they grow, and do not grow much:
 *   test_lives libsumo|traci [EPISODES]     so many, whose memory is measured; printed */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/sumo/internal.h"
#include "tests/sumo/nets.h"

#define WARM   50          /* episodes until memory has its size */
#define GROWTH (10 * 1024) /* bytes an episode, at most */
#define DEATHS 5

#ifndef __has_feature
#define __has_feature(x) 0
#endif
/* Sanitizers keep what was freed; they look for leaks themselves. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static enum sumo_backend backend;
static struct net nets[NETS_MAX];
static int episodes = 200;
static char why[SUMO_WHY_MAX];

static struct sumo_sim *open_with(uint32_t recycle_episodes, uint64_t memory_limit)
{
    struct sumo_options options = net_options(&nets[0], backend, 1);
    struct sumo_sim *sim = NULL;
    options.recycle_episodes = recycle_episodes;
    options.memory_limit = memory_limit;
    if (sumo_sim_open(&options, &sim, why) != 0)
        fail_msg("%s", why);
    return sim;
}

static void done_(struct sumo_sim *sim, int rc, int line)
{
    if (rc != 0)
        fail_msg("line %d: %s", line, sumo_sim_error(sim));
}
#define done(rc) done_(sim, rc, __LINE__)

/* What is seen of an episode: the same whether its process is new or old. */
static double episode(struct sumo_sim *sim, uint32_t seed, int steps)
{
    double sum = 0;
    done(sumo_sim_reset(sim, seed, NULL, 0));
    for (int i = 0; i < steps; i++) {
        done(sumo_sim_step(sim, sumo_sim_time(sim) + 5));
        sum = sum * 0.99 + sumo_sim_view(sim)->counters.departed * 3 +
              sumo_sim_view(sim)->counters.arrived + sumo_sim_view(sim)->counters.min_expected;
    }
    return sum;
}

static void recycles(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_with(3, 0);
    struct sumo_wants wants = {.vehicle_vars = SUMO_BIT(SUMO_VEHICLE_SPEED), .events = true};
    pid_t pids[9];
    double sums[9];
    done(sumo_sim_subscribe(sim, &wants));
    for (int i = 0; i < 9; i++) {
        pids[i] = sumo_sim_pid(sim);
        sums[i] = episode(sim, 1 + (uint32_t)i % 3, 20);
        assert_int_equal(sumo_sim_view(sim)->n_vehicles > 0, 1);
    }
    assert_true(pids[0] == pids[1] && pids[1] == pids[2] && pids[2] != pids[3]);
    assert_true(pids[3] == pids[5] && pids[5] != pids[6]);
    for (int i = 3; i < 9; i++)
        assert_true(sums[i] == sums[i % 3]);
    struct sumo_counts counts = sumo_sim_counts(sim);
    assert_int_equal(counts.processes, 4);
    assert_int_equal(counts.too_large, 0);
    assert_int_equal(simulators_left(), 1);
    sumo_sim_close(&sim);
}

/* Files of an episode are whole when the next one has begun, recycled or not. */
static void recycling_finishes_files(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_with(1, 0);
    for (int i = 0; i < 2; i++) {
        char path[512], line[256], last[256] = "";
        snprintf(path, sizeof(path), "%s/trips.%d.xml", test_folder(), i);
        const char *extra[] = {"--tripinfo-output", path};
        done(sumo_sim_reset(sim, 1, extra, 2));
        for (int k = 0; k < 20; k++)
            done(sumo_sim_step(sim, sumo_sim_time(sim) + 5));
        done(sumo_sim_reset(sim, 1, NULL, 0));
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        while (fgets(line, sizeof(line), file))
            memcpy(last, line, sizeof(last));
        fclose(file);
        assert_non_null(strstr(last, "</tripinfos>"));
    }
    sumo_sim_close(&sim);
}

/* One that grows is stood in for by a limit that shrinks. */
static void replaces_one_that_grows(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_with(0, 0);
    double sum = episode(sim, 1, 20);
    pid_t pid = sumo_sim_pid(sim);
    done(sumo_sim_reset(sim, 1, NULL, 0)); /* the limit is known from here on */
    assert_int_equal(sumo_sim_pid(sim), pid);
    assert_true(sim->lives.limit >= 1ull << 30);
    sim->lives.limit = 1; /* between episodes */
    assert_true(episode(sim, 1, 20) == sum);
    assert_int_not_equal(sumo_sim_pid(sim), pid);
    assert_int_equal(sumo_sim_counts(sim).too_large, 1);
    sim->lives.limit = 1; /* within one */
    int rc = 0;
    for (int i = 0; i < 20 && rc == 0; i++)
        rc = sumo_sim_step(sim, sumo_sim_time(sim) + 5);
    assert_int_equal(rc, RTC_E_NOMEM);
    assert_non_null(strstr(sumo_sim_error(sim), "memory_limit"));
    assert_int_equal(sumo_sim_pid(sim), 0);
    assert_int_equal(simulators_left(), 0);
    assert_true(episode(sim, 1, 20) == sum);
    assert_int_equal(sumo_sim_counts(sim).too_large, 2);
    sumo_sim_close(&sim);
}

static void refuses_too_low_a_limit(void **state)
{
    (void)state;
    struct sumo_options options = net_options(&nets[0], backend, 1);
    struct sumo_sim *sim = NULL;
    options.memory_limit = 1 << 20;
    assert_int_equal(sumo_sim_open(&options, &sim, why), RTC_E_NOMEM);
    assert_non_null(strstr(why, "may have 1 MB"));
    assert_int_equal(simulators_left(), 0);
}

static uint64_t memory_of(pid_t pid)
{
    char path[64];
    unsigned long long all = 0, resident = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu %llu", &all, &resident), 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Of the simulator and of this program, without recycling. */
static void grows_little(void **state)
{
    (void)state;
    struct sumo_sim *sim = open_with(UINT32_MAX, 0);
    struct sumo_wants wants = {.n_lanes = SUMO_ALL,
                               .lane_vars = SUMO_BIT(SUMO_LANE_HALTING),
                               .vehicle_vars = SUMO_BIT(SUMO_VEHICLE_SPEED),
                               .events = true};
    uint64_t theirs = 0, ours = 0;
    done(sumo_sim_subscribe(sim, &wants));
    for (int i = 0; i < WARM + episodes; i++) {
        if (i == WARM) {
            theirs = memory_of(sumo_sim_pid(sim));
            ours = memory_of(getpid());
        }
        (void)episode(sim, 1 + (uint32_t)i, 24);
    }
    double grown[] = {(double)memory_of(sumo_sim_pid(sim)) - (double)theirs,
                      (double)memory_of(getpid()) - (double)ours};
    printf("%s: %d episodes of 120 s of %s: the simulator grew by %.2f KB an episode, this "
           "program by %.2f\n",
           backend == SUMO_LIBSUMO ? "libsumo" : "traci", episodes, nets[0].name,
           grown[0] / episodes / 1024, grown[1] / episodes / 1024);
    /* The worker is of this build, too. */
    assert_true(SANITIZED || grown[0] < (double)GROWTH * episodes);
    assert_true(SANITIZED || grown[1] < (double)GROWTH * episodes);
    sumo_sim_close(&sim);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* From the step that notices a death to the first view of the next simulation; printed. */
static void replaces_the_dead(void **state)
{
    (void)state;
    for (size_t i = 0; i < NETS_MAX && nets[i].name; i++) {
        struct sumo_options options = net_options(&nets[i], backend, 1);
        struct sumo_sim *sim = NULL;
        double most = 0;
        if (sumo_sim_open(&options, &sim, why) != 0)
            fail_msg("%s", why);
        for (int k = 0; k < DEATHS; k++) {
            done(sumo_sim_step(sim, sumo_sim_time(sim) + 5));
            assert_int_equal(kill(sumo_sim_pid(sim), SIGKILL), 0);
            double begun = now();
            if (sumo_sim_step(sim, sumo_sim_time(sim) + 5) == 0)
                assert_true(sumo_sim_step(sim, sumo_sim_time(sim) + 5) < 0);
            done(sumo_sim_reset(sim, 1, NULL, 0));
            most = now() - begun > most ? now() - begun : most;
        }
        assert_int_equal(sumo_sim_counts(sim).processes, 1 + DEATHS);
        printf("%s: replaced within %.0f ms of its death, at most, of %d\n", nets[i].name,
               most * 1e3, DEATHS);
        sumo_sim_close(&sim);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recycles),
        cmocka_unit_test(recycling_finishes_files),
        cmocka_unit_test(replaces_one_that_grows),
        cmocka_unit_test(refuses_too_low_a_limit),
        cmocka_unit_test(grows_little),
        cmocka_unit_test(replaces_the_dead),
    };
    backend = argc > 1 && strcmp(argv[1], "libsumo") == 0 ? SUMO_LIBSUMO : SUMO_TRACI;
    episodes = argc > 2 ? atoi(argv[2]) : episodes;
    const char *missing = backend_missing(backend);
    if (missing) {
        printf("skipped: %s\n", missing);
        return 77;
    }
    nets_find(nets);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
