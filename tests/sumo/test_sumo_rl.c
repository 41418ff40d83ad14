/* The environment against what sumo-rl itself saw and was paid (make_signals.py):
 *   test_sumo_rl GOLDEN…      skips those whose network is not under RTC_SUMO_DATA
 * Each of its four rewards is one run, and every number must be the same to its last digit; only
 * the average speed is a sum over vehicles in another order. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/sumo/gym.h"
#include "tests/sumo/nets.h"

#define SIGNALS_MAX 64
#define SKIPPED     77

static const char *const rewards[] = {"diff-waiting-time", "average-speed", "queue", "pressure"};

struct golden {
    FILE *file;
    char net[512], routes[512];
    unsigned begin, decisions, n_signals;
    unsigned long long seed, first;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static bool open_golden(struct golden *g, const char *path)
{
    char net[256], routes[256];
    const char *folder = getenv("RTC_SUMO_DATA");
    g->file = fopen(path, "r");
    if (!g->file ||
        fscanf(g->file,
               "net %255s routes %255s begin %u seed %llu decisions %u signals %u first %llu", net,
               routes, &g->begin, &g->seed, &g->decisions, &g->n_signals, &g->first) != 7 ||
        g->n_signals > SIGNALS_MAX)
        die(path, "is not a golden file");
    snprintf(g->net, sizeof(g->net), "%s/%s", folder ? folder : "", net);
    snprintf(g->routes, sizeof(g->routes), "%s/%s", folder ? folder : "", routes);
    return folder && access(g->net, R_OK) == 0 && access(g->routes, R_OK) == 0;
}

static void open_like(struct gym *gym, const struct golden *g, int reward, const char *backend)
{
    char options[6][640];
    const char *list[7] = {NULL};
    uint64_t seed = g->seed;
    snprintf(options[0], sizeof(options[0]), "net_file=%s", g->net);
    snprintf(options[1], sizeof(options[1]), "route_files=%s", g->routes);
    snprintf(options[2], sizeof(options[2]), "begin=%u", g->begin);
    snprintf(options[3], sizeof(options[3]), "num_seconds=%u", 5 * g->decisions);
    snprintf(options[4], sizeof(options[4]), "reward=%s", rewards[reward]);
    snprintf(options[5], sizeof(options[5]), "backend=%s", backend);
    for (int i = 0; i < 6; i++)
        list[i] = options[i];
    if (gym_open(gym, 1, list) || gym_reset(gym, &seed))
        die(g->net, rtc_env_error());
    if (gym->n_rows != g->n_signals)
        die(g->net, "has another number of signals");
    if (gym_digest(gym) != g->first)
        die(g->net, "the first observation differs");
}

/* The line of the decision: is it what was seen and paid? */
static void compare(struct golden *g, struct gym *gym, int reward, unsigned decision)
{
    unsigned long long digest;
    char text[256];
    bool last = decision + 1 == g->decisions; /* a new episode's is in the rows then */
    const struct gym final = {.rows = gym->finals};
    if (fscanf(g->file, "%llu", &digest) != 1 || digest != gym_digest(last ? &final : gym)) {
        snprintf(text, sizeof(text), "observations of decision %u differ", decision);
        die(g->net, text);
    }
    for (unsigned i = 0; i < g->n_signals; i++) {
        for (int k = 0; k < 4; k++) {
            double x;
            if (fscanf(g->file, "%lf", &x) != 1)
                die(g->net, "the golden file ends");
            bool same =
                k == 1 ? fabs((double)gym->rewards[i] - x) < 1e-6 : gym->rewards[i] == (float)x;
            if (k != reward || same)
                continue;
            snprintf(text, sizeof(text), "decision %u, signal %u: %s is %.9g, sumo-rl's is %.9g",
                     decision, i, rewards[k], (double)gym->rewards[i], x);
            die(g->net, text);
        }
    }
}

static void run(const char *path, int reward, const char *backend)
{
    struct golden g;
    struct gym gym;
    double sums[4], waited;
    open_golden(&g, path);
    open_like(&gym, &g, reward, backend);
    uint64_t random = g.seed;
    for (unsigned i = 0; i < g.decisions; i++) {
        gym_draw(&gym, &random);
        if (gym_step(&gym))
            die(g.net, rtc_env_error());
        compare(&g, &gym, reward, i);
    }
    if (fscanf(g.file, " sums %lf %lf %lf %lf waited %lf", &sums[0], &sums[1], &sums[2], &sums[3],
               &waited) != 5)
        die(g.net, "the golden file has no sums");
    if (gym.episodes.n != 1 || gym.ends[0] != RTC_ENV_TRUNCATED)
        die(g.net, "the episode did not end with the last decision");
    double made = gym.sums[0]; /* "return" */
    if (reward == 1 ? fabs(made - sums[1]) > 1e-9 : made != sums[reward])
        die(g.net, "the return differs");
    if (reward == 0 && fabs(made + waited / 100) > 1e-9)
        die(g.net, "the return is not minus what was waited over 100");
    printf("%s %s %s: %.9g in %u decisions\n", g.net, backend, rewards[reward], made, g.decisions);
    gym_close(&gym);
    fclose(g.file);
}

int main(int argc, char **argv)
{
    int done = 0;
    struct golden g;
    const char *missing = backend_missing(SUMO_TRACI);
    bool libsumo = !missing && !backend_missing(SUMO_LIBSUMO);
    for (int i = 1; i < argc && !missing; i++) {
        if (!open_golden(&g, argv[i]))
            continue;
        fclose(g.file);
        for (int reward = 0; reward < 4; reward++)
            run(argv[i], reward, libsumo ? "libsumo" : "traci");
        if (libsumo)
            run(argv[i], 0, "traci");
        done++;
    }
    if (!done)
        printf("skipped: %s\n",
               missing ? missing : "RTC_SUMO_DATA names no folder with the networks of sumo-rl");
    return done ? 0 : SKIPPED;
}
