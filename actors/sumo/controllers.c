#include "actors/sumo/controllers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rtc/env.h>

#define ACTUATED_TYPE   3 /* of SUMO's programs */
#define ACTUATED_MIN    5.0
#define ACTUATED_MAX    50.0
#define WEBSTER_SECONDS 1.0 /* between its looks */

static const struct {
    const char *name, *about;
    double distance;
} controllers[] = {
#define X(NAME, name, distance, about) {name, about, distance},
    CONTROLLERS(X)
#undef X
};

enum controller_kind controller_of(const char *name, char *ret_known, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < CONTROLLERS_END; i++) {
        if (strcmp(controllers[i].name, name) == 0)
            return (enum controller_kind)i;
    }
    for (int i = 0; i < CONTROLLERS_END && used < size; i++)
        used += (size_t)snprintf(ret_known + used, size - used, "%s%s", i ? ", " : "",
                                 controllers[i].name);
    return CONTROLLERS_END;
}

const char *controller_name(enum controller_kind kind)
{
    return controllers[kind].name;
}

const char *controller_about(enum controller_kind kind)
{
    return controllers[kind].about;
}

static bool is_by_sumo(enum controller_kind kind)
{
    return kind == CONTROLLER_FIXED || kind == CONTROLLER_ACTUATED;
}

/* ---- Those that SUMO runs ---- */

/* Whatever the sumocfg has loaded besides, and made the one that runs. */
static int run_program(struct controller *c)
{
    int rc = 0;
    for (uint32_t i = 0; i < c->plan->n_signals && !rc; i++) {
        const struct plan_signal *s = &c->plan->signals[i];
        if (strcmp(sumo_sim_view(c->sim)->signal_program[i], s->program) != 0)
            rc = sumo_sim_set_program(c->sim, s->number, s->program);
    }
    return rc;
}

static int make_actuated(struct controller *c, const struct plan_signal *s)
{
    struct sumo_program *programs, made;
    uint32_t n, zero = 0;
    char id[] = "rtc-actuated";
    int rc = sumo_sim_programs(c->sim, s->number, &programs, &n);
    if (rc != 0)
        return rc;
    for (uint32_t i = n; i > 0; i--)
        zero = strcmp(programs[i - 1].id, s->program) == 0 ? i - 1 : zero;
    made = programs[zero];
    made.id = id;
    made.type = ACTUATED_TYPE;
    made.phase = 0;
    for (uint32_t i = 0; i < made.n_phases; i++) {
        struct sumo_phase *p = &made.phases[i];
        bool green = !strchr(p->state, 'y') && strspn(p->state, "rs") != strlen(p->state);
        p->min_duration = green ? ACTUATED_MIN : p->duration;
        p->max_duration = green ? ACTUATED_MAX : p->duration;
        p->duration = green ? ACTUATED_MIN : p->duration;
    }
    rc = sumo_sim_set_program_logic(c->sim, s->number, &made);
    sumo_programs_free(programs, n);
    return rc;
}

/* ---- Life ---- */

static uint32_t parts_of(enum controller_kind kind)
{
    switch (kind) {
    case CONTROLLER_WEBSTER: return SENSE_ENTRIES;
    case CONTROLLER_LONGEST_QUEUE:
    case CONTROLLER_MAX_PRESSURE:
    case CONTROLLER_MAX_WAVE: return SENSE_QUEUES;
    case CONTROLLER_FIXED:
    case CONTROLLER_ACTUATED:
    case CONTROLLER_RANDOM:
    case CONTROLLERS_END: break;
    }
    return 0;
}

int controller_make(struct controller *c, enum controller_kind kind, struct sumo_sim *sim,
                    const struct sumo_plan *plan, const struct control_rules *rules, double delta,
                    double distance, uint64_t seed)
{
    *c =
        (struct controller){.kind = kind, .sim = sim, .plan = plan, .delta = delta, .random = seed};
    if (!(distance > 0))
        distance = controllers[kind].distance;
    c->numbers = calloc((size_t)plan->n_signals + 1, sizeof(*c->numbers));
    bool made = c->numbers && control_make(&c->control, sim, plan, rules) &&
                sense_make(&c->sense, plan, parts_of(kind), distance);
    for (uint32_t i = 0; made && i < plan->n_signals; i++)
        c->numbers[i] = plan->signals[i].number;
    if (!made)
        controller_free(c);
    return made ? 0 : RTC_E_NOMEM;
}

void controller_free(struct controller *c)
{
    webster_end(c);
    control_free(&c->control);
    sense_free(&c->sense);
    free(c->numbers);
    c->numbers = NULL;
}

struct sumo_wants controller_wants(const struct controller *c)
{
    struct sumo_wants wants = sense_wants(&c->sense);
    if (c->kind == CONTROLLER_FIXED) {
        wants.signals = c->numbers;
        wants.n_signals = c->plan->n_signals;
        wants.signal_vars = SUMO_BIT(SUMO_SIGNAL_PROGRAM);
    }
    return wants;
}

int controller_begin(struct controller *c)
{
    int rc = 0;
    sense_reset(&c->sense);
    if (c->kind == CONTROLLER_FIXED)
        rc = run_program(c);
    for (uint32_t i = 0; i < c->plan->n_signals && !rc && c->kind == CONTROLLER_ACTUATED; i++)
        rc = make_actuated(c, &c->plan->signals[i]);
    if (rc == 0 && c->kind == CONTROLLER_WEBSTER)
        rc = webster_begin(c);
    if (rc == 0 && !is_by_sumo(c->kind))
        rc = control_reset(&c->control);
    return rc;
}

/* ---- Decisions ---- */

static double sum_of(const double *column, const struct plan_list *lanes)
{
    double sum = 0;
    for (uint32_t i = 0; i < lanes->n; i++)
        sum += column[lanes->at[i]];
    return sum;
}

static double worth(const struct controller *c, const struct plan_green *green)
{
    double queued = sum_of(c->sense.queue, &green->lanes);
    if (c->kind == CONTROLLER_MAX_PRESSURE)
        return queued - sum_of(c->sense.queue, &green->next);
    if (c->kind == CONTROLLER_MAX_WAVE)
        return queued + sum_of(c->sense.approach, &green->lanes);
    return queued;
}

/* Of those that are worth the same the first, as RESCO does. */
static int choose_best(struct controller *c, uint32_t signal)
{
    const struct plan_signal *s = &c->plan->signals[signal];
    uint32_t best = 0;
    double most = worth(c, &s->greens[0]);
    for (uint32_t i = 1; i < s->n_greens; i++) {
        double x = worth(c, &s->greens[i]);
        if (x > most) {
            most = x;
            best = i;
        }
    }
    return control_choose(&c->control, signal, best);
}

static int decide(struct controller *c, double *seconds)
{
    int rc = 0;
    if (c->kind == CONTROLLER_WEBSTER) {
        if (*seconds > WEBSTER_SECONDS)
            *seconds = WEBSTER_SECONDS;
        return webster_decide(c);
    }
    for (uint32_t i = 0; i < c->plan->n_signals && !rc; i++) {
        if (c->kind == CONTROLLER_RANDOM)
            rc = control_choose(
                &c->control, i,
                (uint32_t)(rtc_env_random(&c->random) % c->plan->signals[i].n_greens));
        else
            rc = choose_best(c, i);
    }
    return rc;
}

int controller_run(struct controller *c, double until)
{
    double now = sumo_sim_time(c->sim), seconds = until - now;
    int rc = 0;
    if (seconds > c->delta)
        seconds = c->delta;
    if (is_by_sumo(c->kind)) {
        rc = sumo_sim_step(c->sim, now + seconds);
        c->counters = sumo_sim_view(c->sim)->counters;
        return rc;
    }
    rc = decide(c, &seconds);
    if (rc == 0)
        rc = control_run(&c->control, seconds);
    c->counters = c->control.counters;
    if (rc == 0 && !sense_look(&c->sense, sumo_sim_view(c->sim), sumo_sim_time(c->sim) - now))
        rc = RTC_E_NOMEM;
    return rc;
}
