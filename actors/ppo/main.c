/* `rtc ppo`: trains a policy by PPO on every core it can reach. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/ppo/run.h"
#include "actors/report/detach.h"
#include "actors/run/host.h"

#define SETS_MAX     64u
#define EPISODES_MAX 10000u

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static void usage(FILE *out)
{
    fputs(
        "usage: rtc ppo [--config FILE] [--preset NAME] [--scenario WHAT] [--set KEY=VALUE]… "
        "[OPTION…]\n\n"
        "Trains a policy by PPO: on traffic signals of SUMO, or what `env` names (sumo-vehicles,\n"
        "CartPole-v1, Acrobot-v1, Pendulum-v1). Files written for RLlib are understood. The\n"
        "run's folder holds the settings, progress.csv, result.json, TensorBoard's events,\n"
        "checkpoints and the learning curve. Ctrl-C writes a checkpoint and ends; started again\n"
        "with --resume it goes on. With RTC_ADDRESS it runs on that cluster, else on a private\n"
        "one of this host.\n\n"
        "  --config FILE     settings (YAML); a folder of a run: those it was begun with\n"
        "  --preset NAME     what lies under them: quick test normal max memory gpu-memory\n"
        "                    (quick, where there is no file)\n"
        "  --scenario WHAT   traffic: a name of `rtc sumo list`, or the path of a .sumocfg\n"
        "  --set KEY=VALUE   over the file: --set lr=1e-4 --set sumo.time_step=0.5\n"
        "  --folder DIR      of the run (runs/NAME-1, -2 …)\n"
        "  --resume          goes on in the folder behind its last checkpoint\n"
        "  --dry-run         says what would be done: actors, CPUs, memory, samples\n"
        "  --detach          goes on in the background; `rtc attach DIR` follows it\n"
        "  --keys            all settings with their defaults\n",
        out);
}

struct arguments {
    struct ppo_load load;
    const char *sets[SETS_MAX], *scenario, *folder;
    const char *checkpoint;
    uint32_t episodes;
    bool resume, dry_run, detach, keys, eval;
};

static bool set_episodes(struct arguments *a, const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (end != text && !*end && n >= 1 && n <= EPISODES_MAX) {
        a->episodes = (uint32_t)n;
        return true;
    }
    fprintf(stderr, "rtc ppo: --episodes is \"%s\"; 1 to %u are possible\n", text, EPISODES_MAX);
    return false;
}

static bool add_set(struct arguments *a, const char *text)
{
    if (a->load.n_sets < SETS_MAX) {
        a->sets[a->load.n_sets++] = text;
        return true;
    }
    fprintf(stderr, "rtc ppo: --set is possible %u times; a file has room for more\n", SETS_MAX);
    return false;
}

/* 0, or an exit status + 1. */
static int parse(int argc, char **argv, struct arguments *a)
{
    enum {
        CONFIG = 256,
        PRESET,
        SCENARIO,
        SET,
        FOLDER,
        RESUME,
        DRY_RUN,
        DETACH,
        KEYS,
        CHECKPOINT,
        EPISODES,
        HELP
    };
    static const struct option options[] = {{"config", 1, NULL, CONFIG},
                                            {"preset", 1, NULL, PRESET},
                                            {"scenario", 1, NULL, SCENARIO},
                                            {"set", 1, NULL, SET},
                                            {"folder", 1, NULL, FOLDER},
                                            {"resume", 0, NULL, RESUME},
                                            {"dry-run", 0, NULL, DRY_RUN},
                                            {"detach", 0, NULL, DETACH},
                                            {"keys", 0, NULL, KEYS},
                                            {"checkpoint", 1, NULL, CHECKPOINT},
                                            {"episodes", 1, NULL, EPISODES},
                                            {"help", 0, NULL, HELP},
                                            {NULL, 0, NULL, 0}};
    memset(a, 0, sizeof(*a));
    a->load.sets = a->sets;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case CONFIG: a->load.config = optarg; break;
        case PRESET: a->load.preset = optarg; break;
        case SCENARIO: a->scenario = optarg; break;
        case SET:
            if (!add_set(a, optarg))
                return 3;
            break;
        case FOLDER: a->folder = optarg; break;
        case RESUME: a->resume = true; break;
        case DRY_RUN: a->dry_run = true; break;
        case DETACH: a->detach = true; break;
        case KEYS: a->keys = true; break;
        case CHECKPOINT: a->checkpoint = optarg; break;
        case EPISODES:
            if (!set_episodes(a, optarg))
                return 3;
            break;
        case HELP: usage(stdout); return 1;
        default: usage(stderr); return 3;
        }
    }
    if (optind < argc && !strcmp(argv[optind], "eval")) {
        a->eval = a->resume = true;
        a->episodes = a->episodes ? a->episodes : 10;
        optind++;
    }
    if (optind < argc || (a->resume && !a->folder)) {
        if (optind < argc)
            fprintf(stderr, "rtc ppo: \"%s\" is not understood\n", argv[optind]);
        else
            fprintf(stderr, "rtc ppo: %s needs --folder, the folder of the run\n",
                    a->eval ? "eval" : "--resume");
        usage(stderr);
        return 3;
    }
    if (!a->load.config && !a->load.preset && !a->resume)
        a->load.preset = "quick";
    return 0;
}

/* A run that goes on has its settings in its folder. */
static void find_config(struct arguments *a, char *path, size_t size)
{
    const char *folder = a->load.config;
    if (!folder && a->resume)
        folder = a->folder;
    if (!folder)
        return;
    snprintf(path, size, "%s/config.yaml", folder);
    if (access(path, R_OK) == 0)
        a->load.config = path;
}

static void say_lines(const struct ppo_loaded *loaded, const struct ppo_plan *plan)
{
    fputs(loaded->notes, stderr);
    for (uint32_t i = 0; i < plan->n_lines; i++)
        fprintf(stderr, "%s\n", plan->lines[i]);
}

static const char *run_name(const struct arguments *a, const struct ppo_settings *s)
{
    const char *name = s->name[0] ? s->name : s->env[0] ? s->env : a->scenario ? a->scenario : "";
    const char *slash = strrchr(name, '/');
    return name[0] ? (slash ? slash + 1 : name) : s->preset[0] ? s->preset : "ppo";
}

static int run(const struct arguments *a, struct ppo_loaded *loaded, struct ppo_plan *plan,
               struct train_settings *settings)
{
    char why[RUN_WHY_MAX];
    struct run_folder folder;
    struct ppo_run run = {.loaded = loaded,
                          .plan = plan,
                          .settings = settings,
                          .folder = &folder,
                          .resume = a->resume,
                          .stop = &stopped};
    if (run_folder_open(a->folder, "runs", run_name(a, &loaded->config), &folder, why) ||
        (!a->resume && run_folder_write_config(&folder, loaded, why))) {
        fprintf(stderr, "rtc ppo: %s\n", why);
        return 1;
    }
    const char *error = a->detach ? report_detach(folder.path) : NULL;
    if (error) {
        fprintf(stderr, "rtc ppo: %s\n", error);
        run_folder_close(&folder);
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    run_line_open(&run.line, stdout);
    int rc = a->eval ? ppo_evaluate(&run, a->checkpoint, a->episodes) : ppo_run(&run);
    run_folder_close(&folder);
    report_detached_end(rc);
    return rc;
}

/* As an option of the environment, so that it stands in the run's settings. */
static void set_scenario(const char *scenario, struct config_options *o)
{
    char path[RUN_PATH_MAX];
    uint32_t i = 0;
    while (i < o->n && strcmp(o->at[i].key, "scenario") != 0)
        i++;
    if (i == CONFIG_OPTIONS_MAX)
        return;
    o->n = i == o->n ? o->n + 1 : o->n;
    snprintf(o->at[i].key, sizeof(o->at[i].key), "scenario");
    const char *absolute = strchr(scenario, '/') ? realpath(scenario, path) : NULL;
    size_t n = strlen(absolute ? absolute : scenario);
    if (n < sizeof(o->at[i].value)) /* a longer one is not found, by its own name */
        memcpy(o->at[i].value, absolute ? absolute : scenario, n + 1);
}

static int load(struct arguments *a, struct ppo_loaded **loaded, struct ppo_plan *plan,
                struct train_settings *settings)
{
    char why[1024];
    struct run_host host = {0};
    if (ppo_settings_load(&a->load, loaded)) {
        fprintf(stderr, "rtc ppo: %s\n", *loaded ? (*loaded)->why : "out of memory");
        return -1;
    }
    if (a->scenario) {
        set_scenario(a->scenario, &(*loaded)->config.env_config);
        (*loaded)->config.has_sumo = true; /* as when the file had named it: limits hold */
    }
    (void)run_host_read(&host);
    struct ppo_resources have = {.cpus = (double)sysconf(_SC_NPROCESSORS_ONLN),
                                 .memory = host.total};
    ppo_plan_make(&(*loaded)->config, &have, NULL, plan);
    if (train_settings(&(*loaded)->config, plan, settings, why, sizeof(why)) < 0) {
        fprintf(stderr, "rtc ppo: %s\n", why);
        return -1;
    }
    say_lines(*loaded, plan);
    return 0;
}

/* In a build tree the simulator's library is not beside rtc, where it is looked for: without it
 * simulations would go over sockets, at half the speed. */
static void find_worker(void)
{
    static const char there[] = "../sumo/rtc-sumo-worker";
    char path[RUN_PATH_MAX + sizeof(there)];
    ssize_t n = readlink("/proc/self/exe", path, RUN_PATH_MAX);
    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return;
    memcpy(slash + 1, there, sizeof(there));
    if (access(path, X_OK) == 0)
        setenv("RTC_SUMO_WORKER", path, 0);
}

int main(int argc, char **argv)
{
    struct arguments a;
    struct ppo_loaded *loaded = NULL;
    struct ppo_plan plan;
    struct train_settings settings;
    char path[RUN_PATH_MAX + 16];
    struct rtc *executor;
    find_worker();
    if (getenv("RTC_EXECUTOR"))
        return rtc_init(&argc, &argv, NULL, &executor) < 0; /* does not return */
    int rc = parse(argc, argv, &a);
    if (rc)
        return rc - 1;
    if (a.keys) {
        config_help(&ppo_schema, stdout);
        return 0;
    }
    find_config(&a, path, sizeof(path));
    rc = load(&a, &loaded, &plan, &settings) < 0 ? 2 : 0;
    if (rc == 0 && a.dry_run)
        ppo_plan_write(&loaded->config, &plan, stdout);
    else if (rc == 0)
        rc = run(&a, loaded, &plan, &settings);
    ppo_settings_free(&loaded);
    return rc;
}
