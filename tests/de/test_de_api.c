/* rtc_de_run() as a program uses it, on an embedded cluster: objectives that are fine, that fail,
 * crash, hang and straggle; callbacks, constraints, what is refused. */
#include <rtc/de.h>

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define N 2u

static struct rtc *rtc;
static int wrong;
static char folder[] = "/tmp/rtc-de-XXXXXX";

#define CHECK(condition)                                                                    \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            printf("%s:%d: not %s (%s)\n", __func__, __LINE__, #condition, rtc_de_error()); \
            wrong++;                                                                        \
        }                                                                                   \
    } while (0)

static double rosen(const double *x)
{
    double a = x[1] - x[0] * x[0], b = 1 - x[0];
    return 100 * (a * a) + b * b;
}

RTC_DE_OBJECTIVE(valley)
{
    (void)n;
    answer->value = rosen(x);
    answer->moments[0] = x[0] + x[1];
    answer->n_moments = 1;
    return 0;
}

RTC_DE_VECTOR_OBJECTIVE(valleys)
{
    for (uint32_t i = 0; i < count; i++)
        ret_values[i] = rosen(points + (size_t)i * n);
    return 0;
}

/* Beyond 1.5 it cannot be evaluated, in one way after the other. */
RTC_DE_OBJECTIVE(troubled)
{
    (void)n;
    answer->value = x[0] > 1.5 && x[1] > 1.5 ? NAN : rosen(x);
    if (x[0] > 1.5 && x[1] <= 1.5) {
        snprintf(answer->why, sizeof(answer->why), "it did not converge");
        return -3;
    }
    return 0;
}

RTC_DE_OBJECTIVE(crashes)
{
    (void)n;
    if (x[0] > 1.7)
        abort();
    answer->value = rosen(x);
    return 0;
}

RTC_DE_OBJECTIVE(hangs)
{
    (void)n;
    while (x[0] > 1.7)
        pause();
    answer->value = rosen(x);
    return 0;
}

/* The first one to come here never comes back; its copy does. */
RTC_DE_OBJECTIVE(straggles)
{
    char path[64];
    (void)n;
    snprintf(path, sizeof(path), "%s/straggler", getenv("DE_FOLDER"));
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    while (fd >= 0)
        pause();
    answer->value = rosen(x);
    return 0;
}

/* Never the same twice: such a run does not converge. */
RTC_DE_OBJECTIVE(restless)
{
    struct timespec t;
    (void)n;
    (void)x;
    clock_gettime(CLOCK_MONOTONIC, &t);
    answer->value = (double)(t.tv_nsec % 1000);
    return 0;
}

static const double low[N] = {0, 0}, high[N] = {2, 2};

static struct rtc_de_options options(const char *name, const char *objective)
{
    return (struct rtc_de_options){.name = name,
                                   .n = N,
                                   .lower = low,
                                   .upper = high,
                                   .objective = objective,
                                   .method = RTC_DE_CLASSIC,
                                   .seed = 1,
                                   .max_generations = 20,
                                   .on_failure = RTC_DE_PENALISE};
}

/* ---- What works ---- */

static void solves(void)
{
    struct rtc_de_options o = options("solves", "valley");
    struct rtc_de_result r, again;
    o.method = RTC_DE_LSHADE;
    o.max_evaluations = 2000;
    CHECK(rtc_de_run(rtc, &o, &r) == 0);
    CHECK(r.value < 1e-6 && r.success && r.evaluations == 2000 && r.failed == 0);
    CHECK(r.n_moments == 1 && r.moments[0] == r.x[0] + r.x[1]);
    CHECK(r.np >= 4 && r.values[0] == r.value && r.population[0] == r.x[0]);
    CHECK(rtc_de_run(rtc, &o, &again) == 0);
    CHECK(again.evaluated == 0 && again.reused == 2000 && again.value == r.value);
    rtc_de_result_free(&again);
    double target = 1e-3; /* does not change what is asked */
    o.target = &target;
    CHECK(rtc_de_run(rtc, &o, &again) == 0);
    CHECK(again.value <= 1e-3 && again.evaluations < 2000 && again.success);
    rtc_de_result_free(&again);
    rtc_de_result_free(&r);
}

static enum rtc_de_verdict until_ten(void *arg, const struct rtc_de_progress *p)
{
    uint32_t *calls = arg;
    *calls += p->generation_done;
    return p->generation == 10 ? RTC_DE_STOP : RTC_DE_GO_ON;
}

/* Stopping at generation 10 is maxiter = 10, but for the words. */
static void callback_stops(void)
{
    struct rtc_de_options o = options("callback", "valley");
    struct rtc_de_result a, b;
    uint32_t calls = 0;
    o.callback = until_ten;
    o.arg = &calls;
    o.polish = true;
    CHECK(rtc_de_run(rtc, &o, &a) == 0);
    o.callback = NULL;
    o.max_generations = 10;
    o.no_reuse = true;
    CHECK(rtc_de_run(rtc, &o, &b) == 0);
    CHECK(calls == 10 && a.generations == 10 && b.generations == 10);
    CHECK(a.evaluations == b.evaluations && a.value == b.value && a.x[0] == b.x[0]);
    CHECK(!memcmp(a.population, b.population, a.np * N * sizeof(double)));
    CHECK(!a.success &&
          !strcmp(a.message, "callback function requested stop early by returning True"));
    CHECK(!strcmp(b.message, "Maximum number of iterations has been exceeded."));
    CHECK(a.jacobian && fabs(a.jacobian[0]) < 1e-3 && a.value < 1e-8);
    rtc_de_result_free(&a);
    rtc_de_result_free(&b);
}

static void vectorized(void)
{
    struct rtc_de_options o = options("scalar", "valley");
    struct rtc_de_result a, b;
    CHECK(rtc_de_run(rtc, &o, &a) == 0);
    o.name = "vectorized";
    o.objective = "valleys";
    o.vectorized = true;
    CHECK(rtc_de_run(rtc, &o, &b) == 0);
    CHECK(a.generations == b.generations && a.x[0] == b.x[0] && a.x[1] == b.x[1]);
    CHECK(b.evaluations == 1 + b.generations);
    rtc_de_result_free(&a);
    rtc_de_result_free(&b);
}

static int circle(void *arg, const double *x, uint32_t n, double *ret)
{
    (void)arg;
    (void)n;
    ret[0] = x[0] * x[0] + x[1] * x[1];
    return 0;
}

static void own_trial(void *arg, uint32_t candidate, const double *population, uint32_t np,
                      uint32_t n, double (*draw)(void *), void *state, double *ret_trial)
{
    const double *best = population, *other = population + (candidate + 1) % np * n;
    (void)arg;
    for (uint32_t j = 0; j < n; j++)
        ret_trial[j] = best[j] + 0.5 * draw(state) * (other[j] - best[j]);
}

static void constrained(void)
{
    static const double one = 1;
    struct rtc_de_constraint c = {.fn = circle, .m = 1, .upper = &one};
    struct rtc_de_options o = options("constrained", "valley");
    struct rtc_de_result r;
    o.constraints = &c;
    o.n_constraints = 1;
    o.polish = true;
    o.max_generations = 200;
    CHECK(rtc_de_run(rtc, &o, &r) == 0);
    CHECK(fabs(r.value - 0.0456748) < 1e-6 && r.worst_violation < 1e-8 && r.n_violations == 1);
    rtc_de_result_free(&r);
    o.method = RTC_DE_LSHADE; /* feasible first, by penalty */
    o.polish = false;
    o.name = "constrained lshade";
    o.max_evaluations = 3000;
    CHECK(rtc_de_run(rtc, &o, &r) == 0);
    CHECK(fabs(r.value - 0.0456748) < 1e-5 && r.success);
    rtc_de_result_free(&r);
    o = options("own strategy", "valley");
    o.strategy_fn = own_trial;
    CHECK(rtc_de_run(rtc, &o, &r) == 0 && r.value < 0.1);
    rtc_de_result_free(&r);
}

/* ---- What fails ---- */

struct failures {
    unsigned n, nan, own;
};

static void on_failed(void *arg, const double *x, const char *why)
{
    struct failures *f = arg;
    f->n++;
    f->nan += strstr(why, "NaN") != NULL;
    f->own += strstr(why, "it did not converge") != NULL;
    if (!(x[0] > 1.5))
        wrong++;
}

static void failures_count(void)
{
    struct rtc_de_options o = options("troubled", "troubled");
    struct rtc_de_result r;
    struct failures f = {0};
    o.failed = on_failed;
    o.arg = &f;
    CHECK(rtc_de_run(rtc, &o, &r) == 0);
    CHECK(f.n == r.failed && f.nan && f.own && f.nan + f.own == f.n && r.value < 0.1);
    rtc_de_result_free(&r);
    o.name = "troubled, fatal";
    o.on_failure = RTC_DE_FATAL;
    CHECK(rtc_de_run(rtc, &o, &r) == RTC_E_TASK_FAILED);
    CHECK(strstr(rtc_de_error(), "an evaluation failed: "));
    o.on_failure = RTC_DE_PENALISE;
    o.name = "crashes";
    o.objective = "crashes";
    o.failed = NULL;
    o.max_generations = 3;
    CHECK(rtc_de_run(rtc, &o, &r) == 0 && r.failed && isfinite(r.value));
    rtc_de_result_free(&r);
    o.name = o.objective = "hangs";
    o.deadline = 0.2;
    o.max_generations = 2;
    CHECK(rtc_de_run(rtc, &o, &r) == 0 && r.failed && isfinite(r.value));
    rtc_de_result_free(&r);
}

static void second_copies(void)
{
    struct rtc_de_options o = options("straggles", "straggles");
    struct rtc_de_result r;
    CHECK(rtc_de_run(rtc, &o, &r) == 0);
    CHECK(r.copies >= 1 && r.failed == 0);
    rtc_de_result_free(&r);
}

static enum rtc_de_verdict change_workers(void *arg, const struct rtc_de_progress *p)
{
    uint32_t *most = arg;
    char path[64];
    snprintf(path, sizeof(path), "%s/workers", folder);
    FILE *file = p->generation == 1 ? fopen(path, "we") : NULL;
    if (file) {
        fputs("1\n", file);
        fclose(file);
    }
    *most = p->workers;
    return p->workers == 1 ? RTC_DE_STOP : RTC_DE_GO_ON;
}

static void workers_change(void)
{
    struct rtc_de_options o = options("workers", "restless");
    struct rtc_de_result r;
    uint32_t workers = 0;
    char path[64];
    snprintf(path, sizeof(path), "%s/workers", folder);
    o.workers = 2;
    o.workers_file = path;
    o.max_generations = 1000000;
    o.tol = RTC_NONE;
    o.population = 64;
    o.max_seconds = 60;
    o.callback = change_workers;
    o.arg = &workers;
    CHECK(rtc_de_run(rtc, &o, &r) == 0 && workers == 1);
    rtc_de_result_free(&r);
}

/* ---- What is refused, before anything runs ---- */

static void refused(struct rtc_de_options o, const char *words)
{
    struct rtc_de_result r;
    int rc = rtc_de_run(rtc, &o, &r);
    if (rc != RTC_E_INVALID || !strstr(rtc_de_error(), words)) {
        printf("%d \"%s\", and not: %s\n", rc, rtc_de_error(), words);
        wrong++;
    }
}

static void refusals(void)
{
    static const double endless[N] = {2, INFINITY}, close_by[N] = {0.2, 0.8}, far[N] = {1, 3};
    static const bool integers[N] = {false, true};
    struct rtc_de_options o = options("refused", "valley"), p = o;
    p.upper = endless;
    refused(p, "x1: low 0 and high inf must be finite");
    p = o;
    p.lower = p.upper = close_by;
    p.integrality = integers;
    refused(p, "there is no integer between 0.8 and 0.8");
    p = o;
    p.x0 = far;
    refused(p, "x0 lies outside of the bounds");
    p = o;
    p.init = RTC_DE_ARRAY;
    p.init_points = low;
    p.n_init = 1;
    refused(p, "an array of at least 5 points");
    p = o;
    p.strategy = "abc";
    refused(p, "not one of SciPy's twelve");
    p = o;
    p.mutation[0] = 0.5;
    p.mutation[1] = 3;
    refused(p, "mutation must be");
    p = o;
    p.kind = RTC_DE_FUNCTION;
    p.objective = "cube";
    refused(p, "there is no function \"cube\"");
    p = o;
    p.objective = NULL;
    refused(p, "an objective is needed");
    p = o;
    p.method = RTC_DE_TIKTAK;
    p.async = true;
    refused(p, "async is a variant of");
    p = o;
    p.n_moments = 3;
    refused(p, "moments need as many targets");
}

int main(int argc, char **argv)
{
    struct rtc_config config = {.address = "embedded", .cpus = 2, .quiet = true};
    if (!getenv("DE_FOLDER")) {
        if (!mkdtemp(folder))
            return 1;
        setenv("DE_FOLDER", folder, 1);
    }
    if (rtc_init(&argc, &argv, &config, &rtc) < 0) {
        fprintf(stderr, "%s\n", rtc_last_error());
        return 1;
    }
    void (*const tests[])(void) = {solves,         callback_stops, vectorized,     constrained,
                                   failures_count, second_copies,  workers_change, refusals};
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tests[i]();
    rtc_shutdown(&rtc);
    char path[64];
    snprintf(path, sizeof(path), "%s/workers", folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/straggler", folder);
    unlink(path);
    rmdir(folder);
    return wrong != 0;
}
