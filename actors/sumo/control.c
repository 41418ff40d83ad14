#include "actors/sumo/control.h"

#include <stdlib.h>

#define NEAR 1e-6 /* s: SUMO counts milliseconds */

bool control_make(struct control *c, struct sumo_sim *sim, const struct sumo_plan *plan,
                  const struct control_rules *rules)
{
    *c = (struct control){.sim = sim, .plan = plan, .rules = *rules};
    c->lights = calloc((size_t)plan->n_signals + 1, sizeof(*c->lights));
    return c->lights != NULL;
}

void control_free(struct control *c)
{
    free(c->lights);
    c->lights = NULL;
}

static int show(struct control *c, uint32_t signal, const char *state)
{
    return sumo_sim_set_state(c->sim, c->plan->signals[signal].number, state);
}

int control_reset(struct control *c)
{
    double since = sumo_sim_time(c->sim);
    int rc = 0;
    if (c->rules.settled)
        since -= c->rules.yellow + c->rules.min_green;
    for (uint32_t i = 0; i < c->plan->n_signals && !rc; i++) {
        c->lights[i] = (struct control_light){.since = since};
        rc = show(c, i, c->plan->signals[i].greens[0].state);
    }
    return rc;
}

bool control_may_change(const struct control *c, uint32_t signal)
{
    const struct control_light *light = &c->lights[signal];
    double on = sumo_sim_time(c->sim) - light->since;
    return !light->yellow && on > c->rules.yellow + c->rules.min_green - NEAR;
}

int control_choose(struct control *c, uint32_t signal, uint32_t green)
{
    const struct plan_signal *s = &c->plan->signals[signal];
    struct control_light *light = &c->lights[signal];
    double now = sumo_sim_time(c->sim);
    if (c->rules.max_green > 0 && green == light->green &&
        now - light->since > c->rules.yellow + c->rules.max_green - NEAR)
        green = (green + 1) % s->n_greens;
    if (green == light->green || !control_may_change(c, signal))
        return 0;
    const char *state = s->greens[green].state;
    if (c->rules.yellow > 0)
        state = s->yellows[light->green * s->n_greens + green];
    *light = (struct control_light){.green = green, .yellow = c->rules.yellow > 0, .since = now};
    return show(c, signal, state);
}

/* When the first yellow ends that is over before `until`; else `until`. */
static double first_end(const struct control *c, double until)
{
    for (uint32_t i = 0; i < c->plan->n_signals; i++) {
        double end = c->lights[i].since + c->rules.yellow;
        if (c->lights[i].yellow && end < until)
            until = end;
    }
    return until;
}

/* The greens behind yellows that are over at that time. */
static int end_yellows(struct control *c, double now)
{
    int rc = 0;
    for (uint32_t i = 0; i < c->plan->n_signals && !rc; i++) {
        struct control_light *light = &c->lights[i];
        if (light->yellow && now > light->since + c->rules.yellow - NEAR) {
            light->yellow = false;
            rc = show(c, i, c->plan->signals[i].greens[light->green].state);
        }
    }
    return rc;
}

/* To the end of the stretch, or of the first yellow that ends before. */
static int begin(struct control *c)
{
    double until = first_end(c, c->until), now = sumo_sim_time(c->sim);
    /* steps that are longer than what is left of a yellow end it */
    return sumo_sim_step_begin(c->sim, until > now + NEAR ? until : 0);
}

int control_begin(struct control *c, double seconds)
{
    c->until = sumo_sim_time(c->sim) + seconds;
    c->counters = (struct sumo_counters){0};
    for (;;) { /* what ends on the way is sent along, where the simulator takes it */
        double end = first_end(c, c->until);
        if (end > c->until - NEAR || end < sumo_sim_time(c->sim) + NEAR)
            break;
        int rc = sumo_sim_queue_leg(c->sim, end);
        if (rc == RTC_E_UNSUPPORTED || rc == RTC_E_TOO_LARGE)
            break;
        if (rc != 0 || (rc = end_yellows(c, end)) != 0)
            return rc;
    }
    return begin(c);
}

static void count(struct control *c)
{
    const struct sumo_counters *more = &sumo_sim_view(c->sim)->counters;
    struct sumo_counters *sum = &c->counters;
    sum->loaded += more->loaded;
    sum->departed += more->departed;
    sum->arrived += more->arrived;
    sum->teleports_begun += more->teleports_begun;
    sum->teleports_ended += more->teleports_ended;
    sum->collisions += more->collisions;
    sum->min_expected = more->min_expected;
}

int control_next(struct control *c)
{
    int rc = sumo_sim_step_end(c->sim);
    double now = sumo_sim_time(c->sim);
    if (rc == 0) {
        count(c);
        rc = end_yellows(c, now);
    }
    if (rc || now > c->until - NEAR)
        return rc;
    rc = begin(c);
    return rc ? rc : 1;
}

int control_run(struct control *c, double seconds)
{
    int rc = control_begin(c, seconds);
    if (rc == 0)
        rc = 1;
    while (rc > 0)
        rc = control_next(c);
    return rc;
}
