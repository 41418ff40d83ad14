#include "actors/de/watch.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/de/digest.h"
#include "actors/report/clock.h"
#include "actors/report/notify.h"
#include "actors/report/plot.h"
#include "actors/report/tensorboard.h"

#define BEST_SECONDS 60.0 /* between two notifications of a new best value */
#define PANELS       25u

struct history { /* a point for each generation */
    double *evaluations, *best, *mean;
    size_t n, cap;
};
struct watch {
    const struct rtc_de_options *o;
    struct de_watch what;
    char folder[4096];
    bool terminal, quiet, planned, line;
    uint64_t failures, stalled_at, best_at;
    double best, shown, written, notified, began;
    struct report_tb *tb;
    struct history history;
    struct rtc_de_progress last; /* not written yet; its x is last_x */
    double *last_x;
};

struct watch *de_watch_open(const char *folder, const struct rtc_de_options *options,
                            const struct de_watch *what, bool quiet)
{
    char path[4200];
    struct watch *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->o = options;
    w->what = *what;
    w->last_x = calloc(options->n, sizeof(double));
    w->terminal = isatty(2);
    w->quiet = quiet;
    w->best = INFINITY;
    w->began = report_now(CLOCK_MONOTONIC);
    snprintf(w->folder, sizeof(w->folder), "%s", folder);
    snprintf(path, sizeof(path), "%s/tensorboard", folder);
    int rc = what->tensorboard ? report_tb_open(path, &w->tb) : 0;
    if (rc < 0)
        fprintf(stderr, "%s: %s; nothing is written for TensorBoard\n", path, strerror(-rc));
    return w;
}

/* ---- On the terminal ---- */

static void clear_line(struct watch *w)
{
    if (w->line)
        fputs("\r\033[K", stderr);
    w->line = false;
}

static const char *method_name(const struct rtc_de_options *o)
{
    static const char *const names[] = {"lshade", "differential_evolution", "neldermead", "tiktak"};
    return names[o->method];
}

static bool speaks_chinese(void)
{
    static const char *const variables[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        const char *value = getenv(variables[i]);
        if (value && value[0])
            return !strncmp(value, "zh", 2);
    }
    return false;
}

/* The first lines; scripts of users look for the Chinese one. */
static void say_plan(struct watch *w, const struct rtc_de_progress *p)
{
    const struct rtc_de_options *o = w->o;
    char budget[64];
    if (speaks_chinese())
        printf("使用并行差分进化算法: %s\n", method_name(o));
    if (o->max_evaluations)
        snprintf(budget, sizeof(budget), "%llu evaluations",
                 (unsigned long long)o->max_evaluations);
    else
        snprintf(budget, sizeof(budget), "%u generations, %llu evaluations",
                 o->max_generations ? o->max_generations : 1000,
                 (unsigned long long)p->np *
                     ((o->max_generations ? o->max_generations : 1000) + 1ull));
    printf("method %s%s, %u parameters, %u evaluations a generation%s\n", method_name(o),
           o->async ? " (async)" : "", o->n, p->np, o->method == RTC_DE_LSHADE ? " at first" : "");
    printf("workers %u%s, budget %s, seed %llu\n", p->workers,
           o->workers > 0 ? "" : " (all of the cluster)", budget, (unsigned long long)o->seed);
    fflush(stdout);
}

static void say_time(double seconds, char *out, size_t size)
{
    if (seconds < 120)
        snprintf(out, size, "%.0f s", seconds);
    else if (seconds < 7200)
        snprintf(out, size, "%.0f min", seconds / 60);
    else
        snprintf(out, size, "%.1f h", seconds / 3600);
}

static void say_progress(struct watch *w, const struct rtc_de_progress *p)
{
    char left[40] = "", eta[24];
    double rate = p->seconds > 0 ? (double)p->evaluated / p->seconds : 0;
    double t = report_now(CLOCK_MONOTONIC);
    double pause = w->terminal ? 0.2 : t - w->began < 30 ? 2 : 30;
    if (t - w->shown < pause)
        return;
    w->shown = t;
    if (p->eta >= 0) {
        say_time(p->eta, eta, sizeof(eta));
        snprintf(left, sizeof(left), ", %s left", eta);
    }
    clear_line(w);
    fprintf(stderr,
            "generation %u, %llu evaluations, best %.6g, spread %.2g, %.4g/s, %.0f %% busy%s%s",
            p->generation, (unsigned long long)p->evaluations, p->best, p->convergence, rate,
            100 * p->utilisation, left, w->terminal ? "" : "\n");
    w->line = w->terminal;
    fflush(stderr);
}

void de_watch_note(struct watch *w, const char *sentence)
{
    clear_line(w);
    fprintf(stderr, "rtc de: %s\n", sentence);
}

/* ---- Scalars ---- */

static void remember(struct history *h, const struct rtc_de_progress *p)
{
    if (h->n == h->cap) {
        size_t cap = h->cap ? 2 * h->cap : 256;
        double **const lists[] = {&h->evaluations, &h->best, &h->mean};
        for (int i = 0; i < 3; i++) {
            double *grown = realloc(*lists[i], cap * sizeof(double));
            if (!grown)
                return;
            *lists[i] = grown;
        }
        h->cap = cap;
    }
    h->evaluations[h->n] = (double)p->evaluations;
    h->best[h->n] = p->best;
    h->mean[h->n++] = p->mean;
}

static void write_scalars(struct watch *w, const struct rtc_de_progress *p)
{
    const struct {
        const char *tag;
        double value;
    } scalars[] = {
        {"de/best", p->best},
        {"de/mean", p->mean},
        {"de/spread", p->convergence},
        {"de/generation", p->generation},
        {"de/evaluations_per_second", p->seconds > 0 ? (double)p->evaluated / p->seconds : 0},
        {"de/utilisation", p->utilisation},
        {"de/failed", (double)p->failed},
        {"de/in_flight", p->in_flight}};
    double wall = report_now(CLOCK_REALTIME);
    int rc = 0;
    char tag[128];
    for (size_t i = 0; w->tb && i < sizeof(scalars) / sizeof(scalars[0]) && rc == 0; i++) {
        if (isfinite(scalars[i].value))
            rc = report_tb_scalar(w->tb, scalars[i].tag, (int64_t)p->evaluations, wall,
                                  scalars[i].value);
    }
    for (uint32_t i = 0; w->tb && i < p->n && i < 64 && rc == 0; i++) {
        snprintf(tag, sizeof(tag), "parameter/%.100s", w->o->names[i]);
        rc = report_tb_scalar(w->tb, tag, (int64_t)p->evaluations, wall, p->x[i]);
    }
    if (rc < 0) {
        char text[256];
        snprintf(text, sizeof(text), "TensorBoard's file: %s; no more is written", strerror(-rc));
        de_watch_note(w, text);
        report_tb_close(w->tb);
        w->tb = NULL;
    }
}

/* ---- Notifications ---- */

static void notify(struct watch *w, const char *event, const char *text)
{
    char subject[160];
    if (!w->what.notify)
        return;
    snprintf(subject, sizeof(subject), "rtc de %.64s: %s", w->o->name, event);
    const char *error = report_notify(w->what.notify, event, subject, text);
    if (error)
        de_watch_note(w, error);
}

static void look_for_events(struct watch *w, const struct rtc_de_progress *p)
{
    char text[200];
    double t = report_now(CLOCK_MONOTONIC);
    if (p->best < w->best) {
        w->best = p->best;
        w->best_at = p->evaluations;
        if (t - w->notified > BEST_SECONDS && t - w->began > BEST_SECONDS) {
            snprintf(text, sizeof(text), "best value %.10g after %llu evaluations", p->best,
                     (unsigned long long)p->evaluations);
            w->notified = t;
            notify(w, "best", text);
        }
    }
    uint64_t most = w->o->max_evaluations ? w->o->max_evaluations : 1000ull * p->np;
    if (p->evaluations > w->best_at + most / 5 + p->np && w->stalled_at != w->best_at + 1) {
        w->stalled_at = w->best_at + 1; /* once for each best value */
        snprintf(text, sizeof(text), "no better value than %.10g for %llu evaluations", p->best,
                 (unsigned long long)(p->evaluations - w->best_at));
        notify(w, "stall", text);
    }
}

void de_watch_progress(struct watch *w, const struct rtc_de_progress *p)
{
    double t = report_now(CLOCK_MONOTONIC);
    if (!w->planned && !w->quiet)
        say_plan(w, p);
    w->planned = true;
    if (p->generation_done && w->what.disp)
        printf("differential_evolution step %u: f(x)= %g\n", p->generation, p->best);
    if (!w->quiet && p->evaluations)
        say_progress(w, p);
    if (p->generation_done)
        remember(&w->history, p);
    if (!p->evaluations || !w->last_x)
        return;
    w->last = *p;
    w->last.x = memcpy(w->last_x, p->x, p->n * sizeof(double));
    if (t - w->written < 0.5)
        return;
    w->written = t;
    w->last.evaluations = 0;
    write_scalars(w, p);
    look_for_events(w, p);
}

void de_watch_failed(struct watch *w, const double *x, const char *why)
{
    char text[1600];
    int n = 0;
    if (w->failures++ >= 5)
        return;
    for (uint32_t i = 0; i < w->o->n && i < 12; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, " %.40s=%.6g", w->o->names[i], x[i]);
    snprintf(text + n, sizeof(text) - (size_t)n, "\n  %.640s", why);
    clear_line(w);
    fprintf(stderr, "an evaluation failed:%s\n", text);
    if (w->failures == 5)
        fprintf(stderr, "further failures are counted, not shown\n");
    if (w->failures == 1)
        notify(w, "failure", text);
}

/* ---- What is left behind ---- */

struct cloud { /* of all evaluations: value against each parameter */
    const struct rtc_de_options *o;
    double *x, *values;
    size_t n, cap;
};

static int add_point(void *arg, const struct rtc_de_evaluation *e)
{
    struct cloud *c = arg;
    if (e->n != c->o->n || e->failed)
        return 0;
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 1024;
        double *x = realloc(c->x, cap * c->o->n * sizeof(double));
        c->x = x ? x : c->x;
        double *values = realloc(c->values, cap * sizeof(double));
        c->values = values ? values : c->values;
        if (!x || !values)
            return 1;
        c->cap = cap;
    }
    for (uint32_t j = 0; j < c->o->n; j++) /* a list for each parameter comes later */
        c->x[c->n * c->o->n + j] = e->x[j];
    c->values[c->n++] = de_value_of(c->o, e->value, e->moments, e->n_moments);
    return 0;
}

static void plot_parameters(struct watch *w, const struct cloud *c, const char *path)
{
    uint32_t n = c->o->n < PANELS ? c->o->n : PANELS;
    struct report_panel panels[PANELS];
    struct report_series series[PANELS];
    double *columns = malloc(n * (c->n + 1) * sizeof(double));
    bool positive = true;
    for (size_t i = 0; i < c->n; i++)
        positive &= !(c->values[i] <= 0);
    for (uint32_t j = 0; columns && j < n; j++) {
        double *column = columns + j * c->n;
        for (size_t i = 0; i < c->n; i++)
            column[i] = c->x[i * c->o->n + j];
        series[j] = (struct report_series){NULL, column, c->values, c->n, true};
        panels[j] = (struct report_panel){w->o->names[j], NULL, "value", positive, &series[j], 1};
    }
    const char *error = columns ? report_plot_grid(path, "evaluations", panels, n) : NULL;
    if (error && *error)
        de_watch_note(w, error);
    free(columns);
}

static void plot(struct watch *w, struct rtc *rtc)
{
    char path[4200];
    const struct history *h = &w->history;
    struct cloud cloud = {.o = w->o};
    const struct report_series lines[] = {{"best", h->evaluations, h->best, h->n, false},
                                          {"mean", h->evaluations, h->mean, h->n, false}};
    bool positive = h->n > 0;
    for (size_t i = 0; i < h->n; i++)
        positive &= h->best[i] > 0;
    snprintf(path, sizeof(path), "%s/convergence.png", w->folder);
    const char *error =
        h->n ? report_plot(path, w->o->name, "evaluations", "value", positive, lines, 2) : NULL;
    if (error && *error)
        de_watch_note(w, error);
    snprintf(path, sizeof(path), "%s/parameters.png", w->folder);
    if (!error && rtc_de_evaluations(rtc, w->o->name, add_point, &cloud) == 0 && cloud.n)
        plot_parameters(w, &cloud, path);
    free(cloud.x);
    free(cloud.values);
}

static void write_result(const struct watch *w, const struct rtc_de_result *r)
{
    char path[4200];
    json_t *x = json_object(), *moments = json_array();
    for (uint32_t i = 0; i < w->o->n; i++)
        json_object_set_new(x, w->o->names[i], json_real(r->x[i]));
    for (uint32_t i = 0; i < r->n_moments && r->moments; i++)
        json_array_append_new(moments, json_real(r->moments[i]));
    json_t *root = json_pack("{s:s, s:b, s:o, s:o, s:I, s:I, s:I, s:I, s:f}", "message", r->message,
                             "success", (int)r->success, "x", x, "moments", moments, "generations",
                             (json_int_t)r->generations, "evaluations", (json_int_t)r->evaluations,
                             "stored before", (json_int_t)r->reused, "failed",
                             (json_int_t)r->failed, "seconds", r->seconds);
    if (root && isfinite(r->value)) /* JSON has no word for the others */
        json_object_set_new(root, "value", json_real(r->value));
    snprintf(path, sizeof(path), "%s/result.json", w->folder);
    if (root && json_dump_file(root, path, JSON_INDENT(2) | JSON_REAL_PRECISION(17)))
        fprintf(stderr, "rtc de: %s cannot be written\n", path);
    json_decref(root);
}

static void say_result(const struct watch *w, const struct rtc_de_result *r)
{
    printf("%s\n%llu evaluations (%llu of them stored before, %llu failed, %llu second copies), "
           "%u generations, %.3f s\n",
           r->message, (unsigned long long)r->evaluations, (unsigned long long)r->reused,
           (unsigned long long)r->failed, (unsigned long long)r->copies, r->generations,
           r->seconds);
    printf("value %.17g\n", r->value);
    for (uint32_t i = 0; i < w->o->n; i++)
        printf("  %-16s %.17g\n", w->o->names[i], r->x[i]);
    for (uint32_t i = 0; i < r->n_moments && r->moments; i++)
        printf("  moment %-9u %.10g (target %.10g)\n", i + 1, r->moments[i],
               w->o->targets && i < w->o->n_moments ? w->o->targets[i] : NAN);
    fflush(stdout);
}

void de_watch_end(struct watch *w, struct rtc *rtc, const struct rtc_de_result *result,
                  const char *error)
{
    char text[400];
    clear_line(w);
    if (w->last.evaluations) {
        remember(&w->history, &w->last);
        write_scalars(w, &w->last);
    }
    if (result) {
        say_result(w, result);
        write_result(w, result);
        if (w->what.plots)
            plot(w, rtc);
        snprintf(text, sizeof(text), "%s Value %.10g after %llu evaluations.", result->message,
                 result->value, (unsigned long long)result->evaluations);
        notify(w, "end", text);
    } else {
        fprintf(stderr, "rtc de: %s\n", error);
        notify(w, "failure", error);
    }
    report_tb_close(w->tb);
    free(w->history.evaluations);
    free(w->history.best);
    free(w->history.mean);
    free(w->last_x);
    free(w);
}
