/* Detectors and rewards against RESCO's own (make_resco.py):
 *   test_resco GOLDEN…      skips those whose network is not under RTC_SUMO_DATA */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/sumo/gym.h"
#include "tests/sumo/nets.h"

#define SIGNALS_MAX 8
#define GREENS_MAX  8
#define VALUES      5 /* of a lane in the observation "drq" */
#define SKIPPED     77

struct golden {
    FILE *file;
    char net[512];
    unsigned long long seed;
    unsigned decisions, n_signals, lanes[SIGNALS_MAX], n_greens[SIGNALS_MAX];
    int greens[SIGNALS_MAX][GREENS_MAX];
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static double next(struct golden *g)
{
    double x;
    if (fscanf(g->file, "%lf", &x) != 1)
        die(g->net, "the golden file ends");
    return x;
}

static bool open_golden(struct golden *g, const char *path)
{
    char net[256];
    const char *folder = getenv("RTC_SUMO_DATA");
    g->file = fopen(path, "r");
    if (!g->file ||
        fscanf(g->file, "net %255s seed %llu decisions %u signals %u", net, &g->seed, &g->decisions,
               &g->n_signals) != 4 ||
        g->n_signals > SIGNALS_MAX)
        die(path, "is not a golden file");
    for (unsigned i = 0; i < g->n_signals; i++) {
        if (fscanf(g->file, " greens %u", &g->n_greens[i]) != 1 || g->n_greens[i] > GREENS_MAX)
            die(path, "is not a golden file");
        for (unsigned k = 0; k < g->n_greens[i]; k++)
            g->greens[i][k] = (int)next(g);
        if (fscanf(g->file, " lanes %u", &g->lanes[i]) != 1)
            die(path, "is not a golden file");
    }
    snprintf(g->net, sizeof(g->net), "%s/%s", folder ? folder : "", net);
    return folder && access(g->net, R_OK) == 0;
}

static void same(const struct golden *g, unsigned decision, const char *what, double ours,
                 double theirs)
{
    char text[256];
    if (fabs(ours - theirs) <= 1e-5 * (1 + fabs(theirs)))
        return;
    snprintf(text, sizeof(text), "decision %u: %s is %.9g, RESCO's is %.9g", decision, what, ours,
             theirs);
    die(g->net, text);
}

static void compare(struct golden *g, const struct gym *gym, bool norm, unsigned decision)
{
    static const char *const names[] = {"approach", "total wait", "queue", "speed"};
    for (unsigned i = 0; i < g->n_signals; i++) {
        const float *x = (const float *)(const void *)((const char *)gym->seen + gym->table[i].at);
        for (unsigned lane = 0; lane < g->lanes[i]; lane++, x += VALUES) {
            for (int k = 0; k < 4; k++)
                same(g, decision, names[k], (double)x[1 + k], next(g));
        }
        double wait = next(g), wait_norm = next(g);
        same(g, decision, norm ? "wait-norm" : "wait", (double)gym->rewards[i],
             norm ? wait_norm : wait);
    }
}

static void run(const char *path, bool norm)
{
    struct golden g;
    struct gym gym;
    char scenario[640];
    open_golden(&g, path);
    snprintf(scenario, sizeof(scenario), "scenario=%s", g.net);
    const char *const options[] = {scenario, "definition=resco", "observation=drq",
                                   norm ? "reward=wait-norm" : "reward=wait", NULL};
    uint64_t seed = g.seed, random = g.seed;
    if (gym_open(&gym, 1, options) || gym_reset(&gym, &seed))
        die(g.net, rtc_env_error());
    for (unsigned i = 0; i < g.decisions; i++) {
        for (unsigned k = 0; k < g.n_signals; k++)
            gym.actions[k] = g.greens[k][rtc_env_random(&random) % g.n_greens[k]];
        if (gym_step(&gym))
            die(g.net, rtc_env_error());
        compare(&g, &gym, norm, i);
    }
    printf("%s: %u decisions as RESCO's\n", g.net, g.decisions);
    gym_close(&gym);
    fclose(g.file);
}

int main(int argc, char **argv)
{
    int done = 0;
    struct golden g;
    const char *missing = backend_missing(SUMO_AUTO);
    for (int i = 1; i < argc && !missing; i++) {
        if (!open_golden(&g, argv[i]))
            continue;
        fclose(g.file);
        run(argv[i], false);
        run(argv[i], true);
        done++;
    }
    if (!done)
        printf("skipped: %s\n",
               missing ? missing : "RTC_SUMO_DATA names no folder with the networks of RESCO");
    return done ? 0 : SKIPPED;
}
