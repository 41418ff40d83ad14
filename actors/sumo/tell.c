#include "actors/sumo/tell.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/report/plot.h"

#define METRICS 4

struct telling {
    char name[128]; /* of files */
    const char *scenario, *out;
    bool quiet, begun;
    uint32_t n; /* controllers told */
    struct report_series series[CONTROLLERS_END];
    double *x[CONTROLLERS_END], *y[CONTROLLERS_END];
    uint32_t done;
};

/* The name of the scenario, or of its file, without what makes trouble in names of files. */
static void name_files(struct telling *t, const char *scenario)
{
    const char *slash = strrchr(scenario, '/'), *from = slash ? slash + 1 : scenario;
    size_t size = strcspn(from, ".");
    snprintf(t->name, sizeof(t->name), "%.*s", (int)(size < 120 ? size : 120), from);
}

struct telling *tell_begin(const char *scenario, const char *out, bool quiet)
{
    struct telling *t = calloc(1, sizeof(*t));
    if (!t) {
        fputs("rtc sumo: out of memory\n", stderr);
        return NULL;
    }
    t->scenario = scenario;
    t->out = out;
    t->quiet = quiet;
    name_files(t, scenario);
    return t;
}

void tell_end(struct telling *t)
{
    for (uint32_t i = 0; t && i < t->n; i++) {
        free(t->x[i]);
        free(t->y[i]);
    }
    free(t);
}

static double metric(const struct outcome *o, int which)
{
    const double of[METRICS] = {o->trips.delay, o->trips.duration, o->trips.wait, o->queue};
    return of[which];
}

static void on_episode(void *arg, const struct evaluation *e, uint32_t i)
{
    struct telling *t = arg;
    (void)i;
    bool last = ++t->done == e->n_seeds;
    fprintf(stderr, "\r%s: %u of %u episodes%s", controller_name(e->controller), t->done,
            e->n_seeds, last ? "\r\033[K" : "");
}

static void print_table(const struct telling *t, const struct evaluation *e,
                        const struct outcome *o, const char *report)
{
    static const char *const names[METRICS] = {"delay, s", "trip time, s", "wait, s", "queue"};
    double x[METRICS + 3], *column = malloc((e->n_seeds + 1) * sizeof(*column)), wall = 0;
    uint32_t gridlocks = 0;
    memset(x, 0, sizeof(x));
    for (uint32_t i = 0; i < e->n_seeds; i++) {
        gridlocks += o[i].gridlock;
        wall += o[i].wall;
        x[0] += (double)o[i].trips.finished / e->n_seeds;
        x[1] += (double)o[i].trips.unfinished / e->n_seeds;
        x[2] += (double)o[i].trips.never_departed / e->n_seeds;
        x[3] += (double)o[i].teleports / e->n_seeds;
    }
    printf("%s, %s: %u episodes of %g s, seeds %u to %u; %s\n", t->scenario,
           controller_name(e->controller), e->n_seeds, e->seconds, e->first_seed,
           e->first_seed + e->n_seeds - 1, report);
    printf("  %-14s %10s %10s %10s %10s %10s\n", "", "mean", "median", "sd", "least", "greatest");
    for (int m = 0; m < METRICS && column; m++) {
        for (uint32_t i = 0; i < e->n_seeds; i++)
            column[i] = metric(&o[i], m);
        struct spread s = spread_of(column, e->n_seeds);
        printf("  %-14s %10.2f %10.2f %10.2f %10.2f %10.2f\n", names[m], s.mean, s.median, s.sd,
               s.min, s.max);
    }
    printf("  gridlocked %u of %u (%.0f %%); vehicles: %.1f arrived, %.1f under way at the end, "
           "%.1f never got in%s",
           gridlocks, e->n_seeds, 100.0 * gridlocks / e->n_seeds, x[0], x[1], x[2],
           x[3] > 0 ? "" : "\n");
    if (x[3] > 0)
        printf(", %.1f teleports\n", x[3]);
    printf("  %.2f s of simulation for an episode\n", wall / e->n_seeds);
    fflush(stdout);
    free(column);
}

static int write_csv(const struct telling *t, const struct evaluation *e, const struct outcome *o)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s-%s.csv", t->out, t->name, controller_name(e->controller));
    FILE *file = fopen(path, "we");
    if (file) {
        fputs("seed,delay,trip_time,wait,queue,gridlock,arrived,unfinished,never_departed,departed,"
              "teleports,collisions,running,stuck,seconds\n",
              file);
        for (uint32_t i = 0; i < e->n_seeds; i++)
            fprintf(file, "%u,%.6f,%.6f,%.6f,%.6f,%d,%u,%u,%u,%u,%u,%u,%u,%u,%.3f\n", o[i].seed,
                    o[i].trips.delay, o[i].trips.duration, o[i].trips.wait, o[i].queue,
                    o[i].gridlock, o[i].trips.finished, o[i].trips.unfinished,
                    o[i].trips.never_departed, o[i].departed, o[i].teleports, o[i].collisions,
                    o[i].running, o[i].stuck, o[i].wall);
    }
    bool failed = !file || ferror(file);
    failed |= file && fclose(file) != 0;
    if (failed)
        fprintf(stderr, "rtc sumo: %s cannot be written: %s\n", path, strerror(errno));
    return failed;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorted delays over the share of episodes that did as well. */
static void keep_series(struct telling *t, const struct evaluation *e, const struct outcome *o)
{
    uint32_t n = e->n_seeds, i = t->n;
    double *x = calloc((size_t)n + 1, sizeof(*x)), *y = calloc((size_t)n + 1, sizeof(*y));
    if (!x || !y || i == CONTROLLERS_END) {
        free(x);
        free(y);
        return;
    }
    for (uint32_t k = 0; k < n; k++) {
        x[k] = (k + 1.0) / n;
        y[k] = o[k].trips.delay;
    }
    qsort(y, n, sizeof(*y), compare);
    t->x[i] = x;
    t->y[i] = y;
    t->series[i] = (struct report_series){
        .label = controller_name(e->controller), .x = x, .y = y, .n = n, .points = n < 3};
    t->n++;
}

int tell_controller(struct telling *t, struct evaluation *e)
{
    struct outcome *outcomes = calloc((size_t)e->n_seeds + 1, sizeof(*outcomes));
    char report[256] = "", why[SUMO_WHY_MAX] = "out of memory";
    t->done = 0;
    e->done = t->quiet ? NULL : on_episode;
    e->arg = t;
    int rc = outcomes ? evaluate(e, outcomes, report, why) : RTC_E_NOMEM;
    if (rc < 0) {
        fprintf(stderr, "%srtc sumo: %s\n", t->done ? "\n" : "", why);
    } else {
        print_table(t, e, outcomes, report);
        rc = write_csv(t, e, outcomes);
        keep_series(t, e, outcomes);
    }
    free(outcomes);
    return rc != 0;
}

void tell_plot(struct telling *t)
{
    char path[4096], title[256];
    snprintf(path, sizeof(path), "%s/%s.png", t->out, t->name);
    snprintf(title, sizeof(title), "%s: mean delay of a vehicle, s", t->name);
    const char *why = report_plot(path, title, "share of the episodes with at most this delay", "s",
                                  true, t->series, t->n);
    if (why && *why)
        fprintf(stderr, "rtc sumo: %s\n", why);
}

void tell_plan(struct sumo_sim *sim, const struct sumo_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_signals; i++) {
        const struct plan_signal *s = &plan->signals[i];
        printf("%s: program '%s', %u greens, %u lanes, %u movements\n", s->id, s->program,
               s->n_greens, s->lanes.n, s->n_movements);
        for (uint32_t g = 0; g < s->n_greens; g++) {
            const struct plan_green *green = &s->greens[g];
            printf("  %u %s  lets go", g, green->state);
            for (uint32_t k = 0; k < green->lanes.n; k++)
                printf(" %s", sumo_sim_lane_name(sim, plan->lanes[green->lanes.at[k]]));
            if (green->next.n > 0)
                printf("  to");
            for (uint32_t k = 0; k < green->next.n; k++)
                printf(" %s", sumo_sim_lane_name(sim, plan->lanes[green->next.at[k]]));
            putchar('\n');
        }
    }
}
