/* Webster's fixed-time plan (Webster 1958), made anew every few minutes from the flows that were
 * measured: the cycle with the least delay, greens in proportion to what each one's busiest lane
 * carries. */
#include <stdlib.h>
#include <string.h>

#include "actors/sumo/controllers.h"

#define WINDOW      300.0           /* s between plans */
#define SATURATION  (1800 / 3600.0) /* vehicles/s that a lane lets go in green */
#define START_UP    1.0             /* s of a green that are lost, besides the yellow */
#define GREEN_MIN   5.0
#define CYCLE_FIRST 60.0
#define CYCLE_MAX   120.0
#define LOAD_MAX    0.9 /* the formula has a pole at 1 */

struct controller_lights { /* of all signals, one behind the other */
    double next_plan;
    double *flows;   /* of each lane of the plan, vehicles/s */
    double *entries; /* when the window began */
    double *ends;    /* of each signal's green that is on */
    double **greens; /* s of each signal's greens */
};

static void split(struct controller *c, uint32_t signal, bool measured)
{
    const struct plan_signal *s = &c->plan->signals[signal];
    double load[PLAN_GREENS_MAX] = {0}, all = 0, cycle = CYCLE_FIRST;
    double lost = s->n_greens * (c->control.rules.yellow + START_UP);
    struct controller_lights *w = c->lights;
    for (uint32_t i = 0; i < s->n_greens && measured; i++) {
        for (uint32_t k = 0; k < s->greens[i].lanes.n; k++) {
            uint32_t lane = s->greens[i].lanes.at[k];
            bool counted = false; /* a lane that goes in several greens is of the first */
            for (uint32_t j = 0; j < i && !counted; j++) {
                for (uint32_t l = 0; l < s->greens[j].lanes.n; l++)
                    counted = counted || s->greens[j].lanes.at[l] == lane;
            }
            double y = counted ? 0 : w->flows[lane] / SATURATION;
            load[i] = y > load[i] ? y : load[i];
        }
        all += load[i];
    }
    if (measured) {
        cycle = (1.5 * lost + 5) / (1 - (all < LOAD_MAX ? all : LOAD_MAX));
        cycle = cycle < CYCLE_MAX ? cycle : CYCLE_MAX;
    }
    for (uint32_t i = 0; i < s->n_greens; i++) {
        double share = all > 0 ? load[i] / all : 1.0 / s->n_greens, green = share * (cycle - lost);
        double least =
            c->control.rules.min_green > GREEN_MIN ? c->control.rules.min_green : GREEN_MIN;
        w->greens[signal][i] = green > least ? green : least;
    }
}

static void plan(struct controller *c, double now)
{
    struct controller_lights *w = c->lights;
    bool measured = w->next_plan > 0;
    for (uint32_t i = 0; i < c->plan->n_in; i++) {
        double flow = (c->sense.entries[i] - w->entries[i]) / WINDOW;
        w->flows[i] = w->flows[i] > 0 ? (w->flows[i] + flow) / 2 : flow;
        w->entries[i] = c->sense.entries[i];
    }
    for (uint32_t i = 0; i < c->plan->n_signals; i++)
        split(c, i, measured);
    w->next_plan = now + WINDOW;
}

int webster_begin(struct controller *c)
{
    uint32_t n = c->plan->n_signals;
    double now = sumo_sim_time(c->sim);
    struct controller_lights *w = c->lights = calloc(1, sizeof(*w));
    if (!w)
        return RTC_E_NOMEM;
    w->flows = calloc((size_t)c->plan->n_in + 1, sizeof(double));
    w->entries = calloc((size_t)c->plan->n_in + 1, sizeof(double));
    w->ends = calloc((size_t)n + 1, sizeof(double));
    w->greens = calloc((size_t)n + 1, sizeof(double *));
    if (!w->flows || !w->entries || !w->ends || !w->greens)
        return RTC_E_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        w->greens[i] = calloc(c->plan->signals[i].n_greens, sizeof(double));
        if (!w->greens[i])
            return RTC_E_NOMEM;
    }
    plan(c, now);
    for (uint32_t i = 0; i < n; i++)
        w->ends[i] = now + w->greens[i][0];
    return 0;
}

void webster_end(struct controller *c)
{
    struct controller_lights *w = c->lights;
    if (!w)
        return;
    for (uint32_t i = 0; w->greens && i < c->plan->n_signals; i++)
        free(w->greens[i]);
    free(w->greens);
    free(w->flows);
    free(w->entries);
    free(w->ends);
    free(w);
    c->lights = NULL;
}

int webster_decide(struct controller *c)
{
    struct controller_lights *w = c->lights;
    double now = sumo_sim_time(c->sim);
    int rc = 0;
    if (now >= w->next_plan)
        plan(c, now);
    for (uint32_t i = 0; i < c->plan->n_signals && !rc; i++) {
        if (now < w->ends[i] || !control_may_change(&c->control, i))
            continue;
        uint32_t next = (c->control.lights[i].green + 1) % c->plan->signals[i].n_greens;
        rc = control_choose(&c->control, i, next);
        w->ends[i] = now + c->control.rules.yellow + w->greens[i][next];
    }
    return rc;
}
