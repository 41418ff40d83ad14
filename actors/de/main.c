/* `rtc de`: calibrates a model by differential evolution on every core it can reach. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/de/config.h"

static volatile sig_atomic_t stopped;

struct show {
    const struct de_options *o;
    bool terminal, quiet;
    uint64_t shown_failures;
};

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static void usage(FILE *out)
{
    fprintf(
        out,
        "usage: rtc de --config FILE [OPTION…]\n\n"
        "Minimises the objective of FILE. Every evaluation is stored before it counts: started\n"
        "again, a run that was stopped or killed goes on where it was.\n\n"
        "  --config FILE    parameters, objective, method (see configs/de.yaml)\n"
        "  --quick          two generations, to see that it works\n"
        "  --folder DIR     of the run on a private cluster (default: FILE without .yaml)\n"
        "  --workers N      evaluations in flight at most; -1: what the cluster has\n"
        "  --seed N         instead of the file's\n"
        "  --csv FILE       writes all stored evaluations of the run there, and ends\n"
        "  --quiet          no progress\n");
}

/* ---- What is shown ---- */

static const char *method_name(enum de_method method)
{
    return method == DE_SCIPY ? "differential_evolution" : method == DE_LSHADE ? "lshade" : "async";
}

static void say_plan(const struct de_options *o)
{
    const char *lang = setlocale(LC_MESSAGES, "");
    char workers[32] = "those of the cluster", budget[64];
    if (lang && !strncmp(lang, "zh", 2))
        printf("使用并行差分进化算法\n");
    if (o->workers > 0)
        snprintf(workers, sizeof(workers), "%d", o->workers);
    if (o->max_evaluations)
        snprintf(budget, sizeof(budget), "%llu evaluations",
                 (unsigned long long)o->max_evaluations);
    else
        snprintf(budget, sizeof(budget), "%u generations", o->classic.max_generations);
    uint32_t size = o->population ? o->population : 10 * o->n;
    printf("method %s, %u parameters, %u evaluations a generation%s, workers: %s, budget: %s\n",
           method_name(o->method), o->n, size,
           o->method == DE_SCIPY ? "" : " at first (at least one for each worker)", workers,
           budget);
    fflush(stdout);
}

static bool on_progress(void *arg, const struct de_progress *p)
{
    struct show *show = arg;
    double rate = p->seconds > 0 ? (double)p->evaluated / p->seconds : 0;
    uint64_t most = show->o->max_evaluations;
    if (show->quiet)
        return !stopped;
    char left[32] = "";
    if (most > p->state.evaluations && rate > 0)
        snprintf(left, sizeof(left), ", %.0f s left", (double)(most - p->state.evaluations) / rate);
    fprintf(stderr,
            "%sgeneration %u, %llu evaluations, best %.6g, spread %.2g, %.0f/s, %.0f %% busy%s%s",
            show->terminal ? "\r\033[K" : "", p->state.generation,
            (unsigned long long)p->state.evaluations, p->state.best, p->state.convergence, rate,
            p->seconds > 0 ? 100 * p->busy_seconds / p->seconds / p->workers : 0, left,
            show->terminal ? "" : "\n");
    return !stopped;
}

static void on_failed(void *arg, const double *x, const char *why)
{
    struct show *show = arg;
    if (show->shown_failures++ >= 5)
        return;
    fprintf(stderr,
            "%san evaluation failed and counts as infinite:", show->terminal ? "\r\033[K" : "");
    for (uint32_t i = 0; i < show->o->n && i < 8; i++)
        fprintf(stderr, " %s=%.6g", show->o->names[i], x[i]);
    fprintf(stderr, "\n  %s\n", why);
    if (show->shown_failures == 5)
        fprintf(stderr, "further failures are counted, not shown\n");
}

static void say_result(const struct de_options *o, const struct de_result *r)
{
    const struct de_progress *p = &r->progress;
    printf(
        "%s\n%llu evaluations (%llu of them stored before, %llu failed), %u generations, %.3f s\n",
        r->message, (unsigned long long)p->state.evaluations, (unsigned long long)p->reused,
        (unsigned long long)p->failed, p->state.generation, p->seconds);
    printf("value %.17g\n", r->value);
    for (uint32_t i = 0; i < o->n; i++)
        printf("  %-16s %.17g\n", o->names[i], r->x[i]);
}

/* ---- Export ---- */

static int export_one(void *arg, const char *key, const void *data, size_t size)
{
    FILE *file = arg;
    struct de_stored stored;
    (void)key;
    if (size < sizeof(stored))
        return 0;
    memcpy(&stored, data, sizeof(stored)); /* it need not be aligned */
    if (size != sizeof(stored) + stored.n * sizeof(double))
        return 0;
    fprintf(file, "%.17g,%.6f,%u", stored.value, stored.seconds, stored.failed);
    for (uint32_t i = 0; i < stored.n; i++) {
        double x;
        memcpy(&x, (const char *)data + sizeof(stored) + i * sizeof(x), sizeof(x));
        fprintf(file, ",%.17g", x);
    }
    fputc('\n', file);
    return 0;
}

static int export_csv(struct rtc *rtc, const struct de_options *o, const char *path)
{
    char prefix[80];
    FILE *file = fopen(path, "we");
    if (!file) {
        fprintf(stderr, "rtc de: %s cannot be written: %s\n", path, strerror(errno));
        return 1;
    }
    fprintf(file, "value,seconds,failed");
    for (uint32_t i = 0; i < o->n; i++)
        fprintf(file, ",%s", o->names[i]);
    fputc('\n', file);
    snprintf(prefix, sizeof(prefix), "de/%.64s/", o->name);
    int rc = rtc_kv_list(rtc, prefix, export_one, file);
    if (rc < 0)
        fprintf(stderr, "rtc de: %s\n", rtc_last_error());
    return fclose(file) || rc < 0;
}

/* ---- Main ---- */

struct arguments {
    const char *config, *folder, *csv;
    bool quick, quiet;
    int workers;
    long long seed;
};

static int parse(int argc, char **argv, struct arguments *a)
{
    enum { CONFIG = 256, QUICK, FOLDER, WORKERS, SEED, CSV, QUIET, HELP };
    static const struct option options[] = {
        {"config", 1, NULL, CONFIG},   {"quick", 0, NULL, QUICK}, {"folder", 1, NULL, FOLDER},
        {"workers", 1, NULL, WORKERS}, {"seed", 1, NULL, SEED},   {"csv", 1, NULL, CSV},
        {"quiet", 0, NULL, QUIET},     {"help", 0, NULL, HELP},   {NULL, 0, NULL, 0}};
    *a = (struct arguments){.seed = -1};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case CONFIG: a->config = optarg; break;
        case QUICK: a->quick = true; break;
        case FOLDER: a->folder = optarg; break;
        case WORKERS: a->workers = (int)strtol(optarg, NULL, 10); break;
        case SEED: a->seed = strtoll(optarg, NULL, 10); break;
        case CSV: a->csv = optarg; break;
        case QUIET: a->quiet = true; break;
        case HELP: usage(stdout); return 1;
        default: usage(stderr); return 2;
        }
    }
    if (a->config && optind == argc)
        return 0;
    usage(stderr);
    return 2;
}

/* Where a private cluster keeps the evaluations: beside the file. */
static const char *folder_of(const struct arguments *a, char *out, size_t size)
{
    snprintf(out, size, "%s", a->folder ? a->folder : a->config);
    size_t len = strlen(out);
    if (!a->folder && len > 5 && !strcmp(out + len - 5, ".yaml"))
        out[len - 5] = 0;
    else if (!a->folder)
        snprintf(out + len, size - len, ".run");
    mkdir(out, 0777);
    len = strlen(out);
    snprintf(out + len, size - len, "/state");
    return out;
}

static int run(const struct arguments *a, struct de_options *o)
{
    char folder[4200];
    struct rtc *rtc;
    struct show show = {.o = o, .terminal = isatty(2), .quiet = a->quiet};
    struct rtc_config config = {.name = "rtc de",
                                .state_dir = folder_of(a, folder, sizeof(folder))};
    if (rtc_init(NULL, NULL, &config, &rtc) < 0) {
        fprintf(stderr, "rtc de: %s\n", rtc_last_error());
        return 1;
    }
    if (a->csv) {
        int rc = export_csv(rtc, o, a->csv);
        rtc_shutdown(&rtc);
        return rc;
    }
    struct de_result result;
    const char *error = NULL;
    say_plan(o);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    int rc = de_run(rtc, o, on_progress, on_failed, &show, &result, &error);
    if (show.terminal && !show.quiet)
        fputs("\r\033[K", stderr);
    if (rc < 0)
        fprintf(stderr, "rtc de: %s\n", error ? error : rtc_last_error());
    else
        say_result(o, &result);
    free(result.x);
    rtc_shutdown(&rtc);
    return rc < 0;
}

int main(int argc, char **argv)
{
    struct arguments a;
    struct de_config *config;
    struct de_options o;
    char why[1024];
    struct rtc *executor;
    if (getenv("RTC_EXECUTOR"))
        return rtc_init(&argc, &argv, NULL, &executor) < 0; /* does not return */
    int rc = parse(argc, argv, &a);
    if (rc)
        return rc - 1 ? 2 : 0;
    if (de_config_load(a.config, &config, &o, why, sizeof(why))) {
        fprintf(stderr, "rtc de: %s\n", why);
        return 2;
    }
    if (a.workers)
        o.workers = a.workers;
    if (a.seed >= 0)
        o.seed = (uint64_t)a.seed;
    if (a.quick && o.method == DE_SCIPY)
        o.classic.max_generations = 2;
    else if (a.quick)
        o.max_evaluations = 2ull * (o.population ? o.population : 10 * o.n);
    rc = run(&a, &o);
    de_config_free(config);
    return rc;
}
