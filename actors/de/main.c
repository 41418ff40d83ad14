/* `rtc de`: calibrates a model by differential evolution on every core it can reach. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "actors/de/digest.h"
#include "actors/de/members.h"
#include "actors/de/watch.h"
#include "actors/report/detach.h"

#define PATIENCE_SECONDS 600

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static void usage(FILE *out)
{
    fputs("usage: rtc de --config FILE [OPTION…]\n"
          "       rtc de export --config FILE [--out CSV]\n"
          "       rtc de workers N --config FILE\n\n"
          "Minimises the objective of FILE (see configs/de.yaml, configs/de_mfg.yaml). Every\n"
          "evaluation is stored before it counts: started again, a run that was stopped or killed\n"
          "goes on where it was. The run's folder holds the evaluations, result.json, plots and\n"
          "TensorBoard's events.\n\n"
          "  --config FILE    parameters, objective, method\n"
          "  --quick          two generations, to see that it works; they count for the whole run\n"
          "  --folder DIR     of the run (default: FILE without .yaml)\n"
          "  --workers N      evaluations in flight at most; -1: what the cluster has\n"
          "  --seed N         instead of the file's\n"
          "  --replay         evaluates all that is stored again, in the same order\n"
          "  --detach         goes on in the background; `rtc attach DIR` follows it\n"
          "  --quiet          no progress\n\n"
          "export writes all stored evaluations as CSV; workers changes their number in a run\n"
          "that goes on (0: back to the file's).\n",
          out);
}

struct arguments {
    const char *config, *out;
    char folder[4096];
    bool quick, quiet, replay, detach, export, set_workers;
    int workers;
    long long seed;
};

struct driver {
    struct watch *watch;
    bool quick, local; /* local: a method whose generations are steps of its searches */
};

/* ---- Callbacks ---- */

static enum rtc_de_verdict on_progress(void *arg, const struct rtc_de_progress *progress)
{
    const struct driver *driver = arg;
    de_watch_progress(driver->watch, progress);
    bool enough =
        driver->local ? progress->evaluations >= 2ull * progress->np : progress->generation >= 2;
    return stopped || (driver->quick && enough) ? RTC_DE_ABORT : RTC_DE_GO_ON;
}

static void on_failed(void *arg, const double *x, const char *why)
{
    de_watch_failed(((struct driver *)arg)->watch, x, why);
}

static void on_strange(void *arg, const char *sentence)
{
    de_watch_note(((struct driver *)arg)->watch, sentence);
}

static void note(const char *sentence)
{
    fprintf(stderr, "rtc de: %s\n", sentence);
}

/* ---- Export ---- */

struct exporting {
    FILE *file;
    const struct rtc_de_options *o;
};

static int export_one(void *arg, const struct rtc_de_evaluation *e)
{
    struct exporting *x = arg;
    fprintf(x->file, "%llu,%.3f,%.17g,%.6f,%d,%s,%016llx", (unsigned long long)e->number, e->time,
            de_value_of(x->o, e->value, e->moments, e->n_moments), e->seconds, e->failed, e->node,
            (unsigned long long)e->objective);
    for (uint32_t i = 0; i < e->n; i++)
        fprintf(x->file, ",%.17g", e->x[i]);
    for (uint32_t i = 0; i < e->n_moments; i++)
        fprintf(x->file, ",%.17g", e->moments[i]);
    fputc('\n', x->file);
    return 0;
}

static int export_csv(struct rtc *rtc, const struct rtc_de_options *o, const char *path)
{
    struct exporting x = {path ? fopen(path, "we") : stdout, o};
    if (!x.file) {
        fprintf(stderr, "rtc de: %s cannot be written: %s\n", path, strerror(errno));
        return 1;
    }
    fprintf(x.file, "number,time,value,seconds,failed,node,objective");
    for (uint32_t i = 0; i < o->n; i++)
        fprintf(x.file, ",%s", o->names[i]);
    for (uint32_t i = 0; i < o->n_moments; i++)
        fprintf(x.file, ",moment %u", i + 1);
    fputc('\n', x.file);
    int rc = rtc_de_evaluations(rtc, o->name, export_one, &x);
    if (rc < 0)
        fprintf(stderr, "rtc de: %s\n", rtc_last_error());
    bool failed = ferror(x.file);
    failed |= path ? fclose(x.file) != 0 : fflush(x.file) != 0;
    return failed || rc < 0;
}

/* ---- Arguments ---- */

static bool number(const char *text, long long least, long long *ret)
{
    char *end;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    if (end != text && !*end && !errno && *ret >= least)
        return true;
    fprintf(stderr, "rtc de: \"%s\" is not a number that is possible here\n", text);
    return false;
}

static int parse(int argc, char **argv, struct arguments *a)
{
    enum { CONFIG = 256, QUICK, FOLDER, WORKERS, SEED, REPLAY, DETACH, OUT, QUIET, HELP };
    static const struct option options[] = {
        {"config", 1, NULL, CONFIG},   {"quick", 0, NULL, QUICK}, {"folder", 1, NULL, FOLDER},
        {"workers", 1, NULL, WORKERS}, {"seed", 1, NULL, SEED},   {"replay", 0, NULL, REPLAY},
        {"detach", 0, NULL, DETACH},   {"out", 1, NULL, OUT},     {"quiet", 0, NULL, QUIET},
        {"help", 0, NULL, HELP},       {NULL, 0, NULL, 0}};
    long long n = 0;
    *a = (struct arguments){.seed = -1};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case CONFIG: a->config = optarg; break;
        case QUICK: a->quick = true; break;
        case FOLDER: snprintf(a->folder, sizeof(a->folder), "%s", optarg); break;
        case WORKERS:
            if (!number(optarg, -1, &n))
                return 2;
            a->workers = (int)n;
            break;
        case SEED:
            if (!number(optarg, 0, &a->seed))
                return 2;
            break;
        case REPLAY: a->replay = true; break;
        case DETACH: a->detach = true; break;
        case OUT: a->out = optarg; break;
        case QUIET: a->quiet = true; break;
        case HELP: usage(stdout); return 1;
        default: usage(stderr); return 2;
        }
    }
    if (optind < argc && !strcmp(argv[optind], "export")) {
        a->export = true;
        optind++;
    } else if (optind + 1 < argc && !strcmp(argv[optind], "workers")) {
        if (!number(argv[optind + 1], -1, &n))
            return 2;
        a->workers = (int)n;
        a->set_workers = true;
        optind += 2;
    }
    if (a->config && optind == argc)
        return 0;
    usage(stderr);
    return 2;
}

/* Where the run keeps what is its own: beside the file. */
static int make_folder(struct arguments *a)
{
    if (!a->folder[0]) {
        size_t len = strlen(a->config);
        bool yaml = len > 5 && !strcmp(a->config + len - 5, ".yaml");
        snprintf(a->folder, sizeof(a->folder), "%.*s%s", yaml ? (int)len - 5 : (int)len, a->config,
                 yaml ? "" : ".run");
    }
    if (!mkdir(a->folder, 0777) || errno == EEXIST)
        return 0;
    fprintf(stderr, "rtc de: the run's folder %s: %s\n", a->folder, strerror(errno));
    return -1;
}

static int set_workers(const struct arguments *a)
{
    char path[4200], next[4300];
    snprintf(path, sizeof(path), "%s/workers", a->folder);
    snprintf(next, sizeof(next), "%s.new", path);
    FILE *file = fopen(next, "we");
    bool ok = file && fprintf(file, "%d\n", a->workers) > 0;
    ok = file && !fclose(file) && ok && !rename(next, path);
    if (!ok)
        fprintf(stderr, "rtc de: %s: %s\n", path, strerror(errno));
    return !ok;
}

static void apply(const struct arguments *a, struct rtc_de_options *o)
{
    if (a->workers) {
        o->workers = a->workers;
        if (o->workers != 1)
            o->immediate = false;
    }
    if (a->seed >= 0)
        o->seed = (uint64_t)a->seed;
    o->replay = a->replay;
}

/* A setting of the user's that evaluations do not see would be looked for in vain. */
static void warn_of_threads(const struct rtc_de_options *o)
{
    static const char *const variables[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                            "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"};
    double cpus = o->cpus > 0 ? o->cpus : 1;
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        const char *value = getenv(variables[i]);
        if (value && strtod(value, NULL) > cpus)
            fprintf(stderr,
                    "rtc de: %s=%s of your environment would make evaluations fight for cores: "
                    "they get %g (evaluation.cpus)\n",
                    variables[i], value, cpus);
    }
}

/* ---- Main ---- */

/* Joins the cluster, or starts the private one. `patience`: seconds for one that is gone to be
 * back. */
static int join(const struct arguments *a, double patience, struct rtc **ret_rtc)
{
    char state[4200];
    snprintf(state, sizeof(state), "%s/state", a->folder);
    struct rtc_config config = {.name = "rtc de", .state_dir = state};
    struct timespec began, t, pause = {0, 500000000};
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (;;) {
        int rc = rtc_init(NULL, NULL, &config, ret_rtc);
        clock_gettime(CLOCK_MONOTONIC, &t);
        if (rc == 0 || stopped || (double)(t.tv_sec - began.tv_sec) >= patience)
            return rc;
        nanosleep(&pause, NULL);
    }
}

/* A cluster that is gone for good ends the handle, not the run: what was evaluated is in the
 * journal of the one that takes its place. */
static int run_on(const struct arguments *a, struct rtc_de_options *o, struct driver *driver,
                  struct rtc **rtc, struct rtc_de_result *result)
{
    for (;;) {
        int rc = rtc_de_run(*rtc, o, result);
        if (rc != RTC_E_DISCONNECTED || stopped)
            return rc;
        de_watch_note(driver->watch, "the cluster is gone; it is waited for, up to 10 minutes");
        rtc_shutdown(rtc);
        if (join(a, PATIENCE_SECONDS, rtc) < 0)
            return rc;
        de_watch_note(driver->watch, "it is back: the run goes on where it was");
    }
}

static int run(const struct arguments *a, struct rtc_de_options *o, const struct de_watch *what)
{
    char workers[4200];
    struct rtc *rtc = NULL;
    struct rtc_de_result result;
    struct driver driver = {.quick = a->quick,
                            .local = o->method == RTC_DE_NELDERMEAD || o->method == RTC_DE_TIKTAK};
    snprintf(workers, sizeof(workers), "%s/workers", a->folder);
    if (join(a, 0, &rtc) < 0) {
        fprintf(stderr, "rtc de: %s\n", rtc_last_error());
        return 1;
    }
    if (a->export) {
        int rc = export_csv(rtc, o, a->out);
        rtc_shutdown(&rtc);
        return rc;
    }
    unlink(workers); /* of the run before */
    o->workers_file = workers;
    o->callback = on_progress;
    o->failed = on_failed;
    o->strange = on_strange;
    o->arg = &driver;
    warn_of_threads(o);
    driver.watch = de_watch_open(a->folder, o, what, a->quiet);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    int rc = driver.watch ? run_on(a, o, &driver, &rtc, &result) : RTC_E_NOMEM;
    if (rc == 0 && stopped)
        snprintf(result.message, sizeof(result.message),
                 "It was stopped; started again it goes on where it was.");
    else if (rc == 0 && a->quick && isfinite(result.value))
        snprintf(result.message, sizeof(result.message),
                 "It works: two generations, which the whole run will not evaluate again.");
    if (driver.watch)
        de_watch_end(driver.watch, rtc, rc < 0 ? NULL : &result, rtc_de_error());
    bool found = rc == 0 && isfinite(result.value);
    if (rc == 0)
        rtc_de_result_free(&result);
    rtc_shutdown(&rtc);
    return !found;
}

int main(int argc, char **argv)
{
    struct arguments a;
    struct de_config *config;
    struct rtc_de_options o;
    struct de_watch watch;
    char why[1024];
    struct rtc *executor;
    if (getenv("RTC_EXECUTOR"))
        return rtc_init(&argc, &argv, NULL, &executor) < 0; /* does not return */
    int rc = parse(argc, argv, &a);
    if (rc)
        return rc - 1 ? 2 : 0;
    if (de_config_load(a.config, &config, &o, &watch, note, why, sizeof(why))) {
        fprintf(stderr, "rtc de: %s\n", why);
        return 2;
    }
    apply(&a, &o);
    const char *error = NULL;
    if (rtc_de_check(&o)) {
        fprintf(stderr, "rtc de: %s\n", rtc_de_error());
        rc = 2;
    } else if (make_folder(&a)) {
        rc = 1;
    } else if (a.set_workers) {
        rc = set_workers(&a);
    } else {
        error = a.detach ? report_detach(a.folder) : NULL;
        if (error)
            fprintf(stderr, "rtc de: %s\n", error);
        rc = error ? 1 : run(&a, &o, &watch);
        report_detached_end(rc);
    }
    de_config_free(config);
    return rc;
}
