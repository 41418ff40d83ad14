/* Rows of traffic simulations: the environment sumo-signals on cologne1 of RTC_SUMO_DATA, under
 * random actions of a fixed seed, beside bare loops that take the same actions (sumo_bare.cpp). */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rtc/env.h>

#include "tests/bench/bench.h"

#define DECISIONS 720 /* an episode of 3,600 s */
#define FINE      120 /* of the row with steps of 0.1 s */
#define ENVS_MAX  64
#define RESETS    20

struct gym {
    struct rtc_env *env;
    uint32_t slots, signals;
    uint64_t random[ENVS_MAX];
    float *seen, *rewards;
    uint8_t *ends;
    int32_t *actions;
    struct rtc_env_rows rows;
};

/* In a build tree it is not beside rtc, where it is looked for. */
static void find_worker(void)
{
    static const char there[] = "../../actors/sumo/rtc-sumo-worker";
    char path[4096 + sizeof(there)];
    ssize_t n = readlink("/proc/self/exe", path, 4096);
    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return;
    memcpy(slash + 1, there, sizeof(there));
    if (access(path, X_OK) == 0)
        setenv("RTC_SUMO_WORKER", path, 0);
}

static bool find_cologne1(char *path, size_t size)
{
    static bool told;
    const char *folder = getenv("RTC_SUMO_DATA");
    snprintf(path, size, "%s/cologne1/cologne1.sumocfg", folder ? folder : "");
    if (folder && access(path, R_OK) == 0)
        return true;
    if (!told)
        fprintf(stderr,
                "rtc-bench: the rows sumo_* need RESCO's network cologne1: RTC_SUMO_DATA must "
                "name the folder that has cologne1/cologne1.sumocfg\n");
    told = true;
    return false;
}

/* Less of it when only that it runs is asked. */
static uint32_t decisions_of(uint32_t n)
{
    return bench_seconds < 0.5 ? 20 : n;
}

static bool open_gym(struct gym *gym, uint32_t slots, const char *backend, const char *step_length)
{
    char path[4096];
    find_worker();
    if (!find_cologne1(path, sizeof(path)))
        return false;
    const struct rtc_env_option options[] = {{.key = "scenario", .value = path},
                                             {.key = "num_seconds", .value = "3600"},
                                             {.key = "step_length", .value = step_length},
                                             {.key = "backend", .value = backend}};
    const struct rtc_env_config config = {
        .slots = slots, .options = options, .n_options = sizeof(options) / sizeof(*options)};
    if (rtc_env_open("sumo-signals", &config, &gym->env) < 0) {
        fprintf(stderr, "rtc-bench: %s\n", rtc_env_error());
        return false;
    }
    const struct rtc_env_spec *spec = rtc_env_spec_of(gym->env);
    uint32_t n = slots * spec->rows_max;
    gym->slots = slots;
    gym->signals = spec->rows_max;
    gym->seen = calloc(n, spec->observation_size);
    gym->rewards = calloc(n, sizeof(float));
    gym->ends = calloc(n, 1);
    gym->actions = calloc(n, sizeof(int32_t));
    bench_need(gym->seen && gym->rewards && gym->ends && gym->actions, "memory");
    gym->rows =
        (struct rtc_env_rows){.cap = n, .data = gym->seen, .size = n * spec->observation_size};
    return true;
}

static void close_gym(struct gym *gym)
{
    rtc_env_close(&gym->env);
    free(gym->seen);
    free(gym->rewards);
    free(gym->ends);
    free(gym->actions);
}

static bool reset_gym(struct gym *gym)
{
    for (uint32_t i = 0; i < gym->slots; i++)
        gym->random[i] = i + 1;
    gym->rows.n = 0;
    return rtc_env_reset(gym->env, 0, gym->slots, gym->random, &gym->rows) == 0;
}

static void draw(struct gym *gym, uint32_t slot)
{
    const struct rtc_env_spec *spec = rtc_env_spec_of(gym->env);
    for (uint32_t i = 0; i < gym->signals; i++) {
        uint32_t n = spec->kinds[spec->n_kinds == 1 ? 0 : i].action.choices[0];
        gym->actions[slot * gym->signals + i] = (int32_t)(rtc_env_random(&gym->random[slot]) % n);
    }
}

static bool step_gym(struct gym *gym)
{
    struct rtc_env_step step = {.n = gym->slots,
                                .actions = gym->actions,
                                .rewards = gym->rewards,
                                .ends = gym->ends,
                                .rows = &gym->rows};
    for (uint32_t i = 0; i < gym->slots; i++)
        draw(gym, i);
    gym->rows.n = 0;
    return rtc_env_step(gym->env, &step) == 0;
}

/* Of each slot by itself, as rollout actors have them: none waits for the slowest. */
static bool step_each(struct gym *gym, uint32_t decisions)
{
    struct rtc_env_rows rows[ENVS_MAX];
    struct rtc_env_step steps[ENVS_MAX];
    size_t of_slot = gym->rows.size / gym->slots;
    bool good = true;
    for (uint32_t k = 0; k <= decisions; k++) {
        for (uint32_t i = 0; i < gym->slots && good; i++) {
            if (k)
                good = rtc_env_finish(gym->env, &steps[i]) == 0;
            if (!good || k == decisions)
                continue;
            draw(gym, i);
            rows[i] = (struct rtc_env_rows){
                .cap = gym->signals, .data = (char *)gym->seen + i * of_slot, .size = of_slot};
            steps[i] = (struct rtc_env_step){.first = i,
                                             .n = 1,
                                             .actions = gym->actions + i * gym->signals,
                                             .rewards = gym->rewards + i * gym->signals,
                                             .ends = gym->ends + i * gym->signals,
                                             .rows = &rows[i]};
            good = rtc_env_begin(gym->env, &steps[i]) == 0;
        }
    }
    return good;
}

/* Decisions/s of all slots, reset and all. */
static double episodes(uint32_t slots, const char *backend, const char *step_length, uint32_t n)
{
    struct gym gym = {0};
    n = decisions_of(n);
    if (!open_gym(&gym, slots, backend, step_length) || !reset_gym(&gym))
        return NAN;
    double start = bench_now();
    bool good = reset_gym(&gym) && step_each(&gym, n);
    double took = bench_now() - start;
    if (!good)
        fprintf(stderr, "rtc-bench: %s\n", rtc_env_error());
    close_gym(&gym);
    return good ? slots * n / took : NAN;
}

static uint32_t all_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t n = 2 * (uint32_t)(cores > 0 ? cores : 1);
    return n < ENVS_MAX ? n : ENVS_MAX;
}

double bench_sumo_one_a(void)
{
    return episodes(1, "libsumo", "1", DECISIONS);
}

double bench_sumo_one_b(void)
{
    return episodes(1, "traci", "1", DECISIONS);
}

double bench_sumo_all(void)
{
    return episodes(all_cores(), "libsumo", "1", DECISIONS);
}

double bench_sumo_step01(void)
{
    return episodes(1, "libsumo", "0.1", FINE);
}

static double resets(const char *backend)
{
    struct gym gym = {0};
    double took[RESETS];
    if (!open_gym(&gym, 1, backend, "1") || !reset_gym(&gym))
        return NAN;
    for (int i = 0; i < RESETS; i++) {
        bool good = true;
        for (int k = 0; k < 10 && good; k++)
            good = step_gym(&gym);
        double start = bench_now();
        if (!good || !reset_gym(&gym))
            return NAN;
        took[i] = (bench_now() - start) * 1e3;
    }
    close_gym(&gym);
    return bench_median(took, RESETS);
}

double bench_sumo_reset_a(void)
{
    return resets("libsumo");
}

double bench_sumo_reset_b(void)
{
    return resets("traci");
}

/* ---- The bare loops ---- */

struct bare {
    pid_t pid;
    int in, out;
};

static bool find_bare(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - 32);
    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        snprintf(slash + 1, 32, "rtc-sumo-bare");
    if (slash && access(path, X_OK) == 0)
        return true;
    fprintf(stderr, "rtc-bench: there is no %s: rtc was built without libsumo\n", path);
    return false;
}

static bool start_bare(struct bare *b, const char *const *argv)
{
    int in[2], out[2];
    if (pipe(in) || pipe(out))
        return false;
    b->pid = fork();
    if (b->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        if (!freopen("/dev/null", "w", stderr)) /* SUMO's warnings of the traffic */
            _exit(126);
        setenv("OPENBLAS_NUM_THREADS", "1", 1);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    b->in = in[1];
    b->out = out[0];
    return b->pid > 0;
}

/* A line that it says; false: it ended. */
static bool hear(const struct bare *b)
{
    char c = 0;
    while (c != '\n') {
        if (read(b->out, &c, 1) != 1)
            return false;
    }
    return true;
}

static double bare_loops(uint32_t n, const char *step_length, uint32_t decisions)
{
    struct bare bares[ENVS_MAX];
    char path[4096], program[4096], seed[16], count[16];
    bool good = find_cologne1(path, sizeof(path)) && find_bare(program, sizeof(program));
    double start, took;
    uint32_t started = 0;
    snprintf(count, sizeof(count), "%u", decisions = decisions_of(decisions));
    for (; good && started < n; started++) {
        const char *const argv[] = {program, path, seed, count, step_length, NULL};
        snprintf(seed, sizeof(seed), "%u", started + 1);
        if (!start_bare(&bares[started], argv))
            break;
    }
    good = good && started == n;
    for (uint32_t i = 0; i < started; i++)
        good = hear(&bares[i]) && good;
    start = bench_now();
    for (uint32_t i = 0; i < started; i++)
        good = write(bares[i].in, "\n", 1) == 1 && good;
    for (uint32_t i = 0; i < started; i++)
        good = hear(&bares[i]) && good;
    took = bench_now() - start;
    for (uint32_t i = 0; i < started; i++) {
        kill(bares[i].pid, SIGKILL);
        (void)waitpid(bares[i].pid, NULL, 0);
        close(bares[i].in);
        close(bares[i].out);
    }
    return good ? n * decisions / took : NAN;
}

double bench_sumo_bare(void)
{
    return bare_loops(1, "1", DECISIONS);
}

double bench_sumo_bare_all(void)
{
    return bare_loops(all_cores(), "1", DECISIONS);
}

double bench_sumo_bare01(void)
{
    return bare_loops(1, "0.1", FINE);
}
