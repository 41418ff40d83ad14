/* `rtc sumo`: traffic signals, and vehicles, on SUMO under controllers that need no learning. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/sumo/drive.h"
#include "actors/sumo/scenario.h"
#include "actors/sumo/tell.h"

#define SEEDS_MAX 100000

static void usage(FILE *out)
{
    fputs(
        "usage: rtc sumo eval --scenario WHAT --controller NAME[,NAME…] [OPTION…]\n"
        "       rtc sumo signals --scenario WHAT\n"
        "       rtc sumo list\n"
        "       rtc sumo env [--scenario WHAT] [--controller NAME,…] [--set KEY=VALUE]…\n\n"
        "eval runs an episode for each seed, on all cores, and prints what RESCO measures: delay\n"
        "(time lost, and waited to get in), trip time, waiting time, queue (of all signals, over\n"
        "their number plus one). Gridlocked is an episode at whose end a tenth of the vehicles\n"
        "under way, or more, have stood for five minutes or longer. It writes a CSV for\n"
        "each controller and one plot. signals shows what the signals of a net are to a\n"
        "controller. list names the scenarios and controllers there are. env names what the\n"
        "environments sumo-signals and sumo-vehicles of <rtc/env.h> can be told; with --scenario\n"
        "it runs the one of vehicles under drivers that learn nothing (human, idle, random), with\n"
        "its options by --set, and --seeds, --first-seed and --jobs as below, and prints means of\n"
        "what it tells of an episode.\n\n"
        "  --scenario WHAT    a name of `rtc sumo list`, or the path of a .sumocfg\n"
        "  --controller NAME  or several with commas, or all\n"
        "  --seeds N          episodes, with the seeds 1 to N (10)\n"
        "  --first-seed N     instead of 1\n"
        "  --jobs N           at the same time (one for each core)\n"
        "  --seconds S        of an episode (the scenario's from begin to end, else 3600)\n"
        "  --begin S          instead of the scenario's\n"
        "  --delta S          between decisions (10)\n"
        "  --yellow S         between two greens (3)\n"
        "  --min-green S      (0)\n"
        "  --max-green S      (0: none)\n"
        "  --distance M       how far detectors see (the controller's: 200, maxwave 50)\n"
        "  --step-length S    of the simulation (the scenario's, or 1)\n"
        "  --signals ID,…     only these; the others run the program that the scenario says\n"
        "  --teleport S       move vehicles that stood for so long (-1: never, a jam stays)\n"
        "  --backend NAME     libsumo, traci or auto (auto)\n"
        "  --out DIR          of the CSV files and the plot (.)\n"
        "  --no-plot\n"
        "  --quiet            no progress\n",
        out);
}

struct arguments {
    struct evaluation e;
    const char *scenario, *controllers, *out;
    bool plot, quiet;
};

/* ---- Arguments ---- */

static bool number(const char *option, const char *text, double low, double high, double *ret_x)
{
    char *end;
    double x = strtod(text, &end);
    if (end != text && !*end && x >= low && x <= high) {
        *ret_x = x;
        return true;
    }
    fprintf(stderr, "rtc sumo: --%s is \"%s\"; it must be a number from %g to %g\n", option, text,
            low, high);
    return false;
}

static bool whole(const char *option, const char *text, double low, double high, uint32_t *ret_n)
{
    double x;
    if (!number(option, text, low, high, &x))
        return false;
    if (x != floor(x)) {
        fprintf(stderr, "rtc sumo: --%s is \"%s\"; it must be a whole number\n", option, text);
        return false;
    }
    *ret_n = (uint32_t)x;
    return true;
}

static bool backend(const char *text, enum sumo_backend *ret_backend)
{
    static const char *const names[] = {"auto", "libsumo", "traci"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_backend = (enum sumo_backend)i;
            return true;
        }
    }
    fprintf(stderr, "rtc sumo: --backend is \"%s\"; it must be auto, libsumo or traci\n", text);
    return false;
}

static bool take(struct arguments *a, int option, const char *name)
{
    struct evaluation *e = &a->e;
    switch (option) {
    case 's': a->scenario = optarg; return true;
    case 'c': a->controllers = optarg; return true;
    case 'n': return whole(name, optarg, 1, SEEDS_MAX, &e->n_seeds);
    case 'f': return whole(name, optarg, 0, INT32_MAX, &e->first_seed);
    case 'j': return whole(name, optarg, 1, 1024, &e->jobs);
    case 'S': return number(name, optarg, 0.001, 1e9, &e->seconds);
    case 'b': return number(name, optarg, 0, 1e9, &e->begin);
    case 'd': return number(name, optarg, 0.001, 1e9, &e->delta);
    case 'y': return number(name, optarg, 0, 1e9, &e->rules.yellow);
    case 'm': return number(name, optarg, 0, 1e9, &e->rules.min_green);
    case 'M': return number(name, optarg, 0, 1e9, &e->rules.max_green);
    case 'D': return number(name, optarg, 0.001, 1e9, &e->distance);
    case 'l': return number(name, optarg, 0.001, 60, &e->sim.step_length);
    case 't': return number(name, optarg, -1, 1e9, &e->teleport);
    case 'i': e->signals = optarg; return true;
    case 'B': return backend(optarg, &e->sim.backend);
    case 'o': a->out = optarg; return true;
    case 'p': a->plot = false; return true;
    case 'q': a->quiet = true; return true;
    default: return false;
    }
}

/* 0: go on; 1: --help was asked for; 2: wrong. */
static int parse(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"scenario", 1, NULL, 's'},    {"controller", 1, NULL, 'c'}, {"seeds", 1, NULL, 'n'},
        {"first-seed", 1, NULL, 'f'},  {"jobs", 1, NULL, 'j'},       {"seconds", 1, NULL, 'S'},
        {"begin", 1, NULL, 'b'},       {"delta", 1, NULL, 'd'},      {"yellow", 1, NULL, 'y'},
        {"min-green", 1, NULL, 'm'},   {"max-green", 1, NULL, 'M'},  {"distance", 1, NULL, 'D'},
        {"step-length", 1, NULL, 'l'}, {"teleport", 1, NULL, 't'},   {"signals", 1, NULL, 'i'},
        {"backend", 1, NULL, 'B'},     {"out", 1, NULL, 'o'},        {"no-plot", 0, NULL, 'p'},
        {"quiet", 0, NULL, 'q'},       {"help", 0, NULL, 'h'},       {NULL, 0, NULL, 0}};
    int option, index = 0;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    *a = (struct arguments){.e = {.rules = {.yellow = 3, .settled = true},
                                  .delta = 10,
                                  .begin = -1,
                                  .teleport = -1,
                                  .first_seed = 1,
                                  .n_seeds = 10,
                                  .jobs = (uint32_t)(cpus > 0 ? cpus : 1)},
                            .out = ".",
                            .plot = true};
    while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
        if (option == 'h') {
            usage(stdout);
            return 1;
        }
        if (!take(a, option, options[index].name))
            return 2;
    }
    if (optind < argc) {
        fprintf(stderr, "rtc sumo: \"%s\" is not an option; see rtc sumo --help\n", argv[optind]);
        return 2;
    }
    if (a->e.rules.yellow >= a->e.delta) {
        fprintf(stderr,
                "rtc sumo: --yellow is %g s and --delta %g s; a decision must be longer "
                "than the yellow that it begins with\n",
                a->e.rules.yellow, a->e.delta);
        return 2;
    }
    return 0;
}

static int find_scenario(struct arguments *a, struct scenario *scenario)
{
    char why[SUMO_WHY_MAX];
    if (!a->scenario) {
        fputs("rtc sumo: --scenario is missing; `rtc sumo list` names those there are\n", stderr);
        return 2;
    }
    if (scenario_find(a->scenario, scenario, why) < 0) {
        fprintf(stderr, "rtc sumo: %s\n", why);
        return 1;
    }
    a->e.sim.sumocfg_file = scenario->sumocfg;
    a->e.sim.net_file = scenario->net[0] ? scenario->net : NULL;
    if (!(a->e.seconds > 0))
        a->e.seconds = scenario->seconds > 0 ? scenario->seconds : 3600;
    return 0;
}

/* In a build tree the worker lies beside this program, not beside rtc. */
static void find_worker(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return;
    snprintf(slash + 1, 32, "rtc-sumo-worker");
    if (access(path, X_OK) == 0)
        setenv("RTC_SUMO_WORKER", path, 0);
}

/* ---- Commands ---- */

static void print_scenario(void *arg, const char *name, const char *about)
{
    (void)arg;
    printf("  %-14s %s\n", name, about);
}

static int list(void)
{
    puts("scenarios (or the path of a .sumocfg):");
    (void)scenario_list(print_scenario, NULL);
    puts("controllers:");
    for (int i = 0; i < CONTROLLERS_END; i++)
        printf("  %-14s %s\n", controller_name((enum controller_kind)i),
               controller_about((enum controller_kind)i));
    return 0;
}

static int show_signals(struct arguments *a)
{
    struct scenario scenario;
    struct sumo_plan *plan = NULL;
    struct sumo_sim *sim;
    char why[SUMO_WHY_MAX];
    int rc = find_scenario(a, &scenario);
    if (rc != 0)
        return rc;
    if (sumo_sim_open(&a->e.sim, &sim, why) < 0) {
        fprintf(stderr, "rtc sumo: %s\n", why);
        return 1;
    }
    rc = sumo_plan_make(sim, a->e.signals, &plan, why) < 0;
    if (rc)
        fprintf(stderr, "rtc sumo: '%s': %s\n", scenario.sumocfg, why);
    else
        tell_plan(sim, plan);
    sumo_plan_free(&plan);
    sumo_sim_close(&sim);
    return rc;
}

/* The next of names with commas; `all` is all. */
static bool next_controller(const char **at, enum controller_kind *kind, bool *bad)
{
    char name[64], known[256];
    if (strcmp(*at, "all") == 0) {
        *kind =
            *kind == CONTROLLERS_END ? (enum controller_kind)0 : (enum controller_kind)(*kind + 1);
        return *kind < CONTROLLERS_END;
    }
    if (!**at)
        return false;
    size_t size = strcspn(*at, ",");
    snprintf(name, sizeof(name), "%.*s", (int)(size < sizeof(name) ? size : sizeof(name) - 1), *at);
    *at += size + ((*at)[size] == ',');
    *kind = controller_of(name, known, sizeof(known));
    if (*kind != CONTROLLERS_END)
        return true;
    fprintf(stderr, "rtc sumo: there is no controller \"%s\"; there are %s, and all\n", name,
            known);
    *bad = true;
    return false;
}

static int eval(struct arguments *a)
{
    struct scenario scenario;
    const char *at = a->controllers;
    enum controller_kind kind = CONTROLLERS_END;
    bool bad = false;
    int rc;
    if (!a->controllers) {
        fputs("rtc sumo: --controller is missing; `rtc sumo list` names those there are\n", stderr);
        return 2;
    }
    while (next_controller(&at, &kind, &bad)) /* before the first of them runs for an hour */
        continue;
    if (bad)
        return 2;
    if ((rc = find_scenario(a, &scenario)) != 0)
        return rc;
    if (mkdir(a->out, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "rtc sumo: the folder %s cannot be made: %s\n", a->out, strerror(errno));
        return 1;
    }
    struct telling *t = tell_begin(a->scenario, a->out, a->quiet);
    at = a->controllers;
    kind = CONTROLLERS_END;
    while (t && !rc && next_controller(&at, &kind, &bad)) {
        a->e.controller = kind;
        rc = tell_controller(t, &a->e);
    }
    if (t && !rc && a->plot)
        tell_plot(t);
    tell_end(t);
    return t && !rc ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct arguments a;
    const char *command = argc > 1 ? argv[1] : "--help";
    find_worker();
    if (!strcmp(command, "--help") || !strcmp(command, "help")) {
        usage(stdout);
        return 0;
    }
    bool is_eval = !strcmp(command, "eval");
    if (!is_eval && strcmp(command, "signals") && strcmp(command, "list") &&
        strcmp(command, "env")) {
        fprintf(stderr, "rtc sumo: there is no command \"%s\"; see rtc sumo --help\n", command);
        return 2;
    }
    if (!strcmp(command, "env"))
        return drive_main(argc - 1, argv + 1);
    int rc = parse(argc - 1, argv + 1, &a);
    if (rc != 0)
        return rc == 1 ? 0 : rc;
    if (!strcmp(command, "list"))
        return list();
    return is_eval ? eval(&a) : show_signals(&a);
}
