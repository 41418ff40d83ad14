/* Steps: queued commands, the step, what it brings. */
#include <math.h>
#include <stdio.h>

#include "actors/sumo/internal.h"

const struct sumo_view *sumo_sim_view(const struct sumo_sim *sim)
{
    return &sim->view;
}

int sumo_sim_step_begin(struct sumo_sim *sim, double until)
{
    int rc = sumo_ready(sim);
    if (rc != 0)
        return rc;
    if (!isfinite(until) || (until != 0 && until <= sim->time))
        return sumo_fail(sim, RTC_E_INVALID,
                         "a step to %g s, when it is %g s; give a later time, or 0 for one step",
                         until, sim->time);
    sumo_log_trim(sim->log_fd, false);
    if (sim->transport->split_steps && sim->n_queued) {
        size_t begun = sim->out.size;
        sumo_set_length(sim, 0);
        traci_i32(&sim->out, 0);
        traci_step(&sim->out, until);
        sumo_set_length(sim, begun);
        sim->split = true;
    } else {
        traci_step(&sim->out, until);
    }
    rc = sumo_send(sim);
    sim->stepping = rc == 0;
    return rc;
}

int sumo_sim_queue_leg(struct sumo_sim *sim, double until)
{
    int rc = sumo_ready(sim);
    if (rc != 0)
        return rc;
    if (!sim->transport->extended)
        return sumo_fail(sim, RTC_E_UNSUPPORTED, "the backend %s has no legs",
                         sim->transport->name);
    if (!isfinite(until) || until <= 0)
        return sumo_fail(sim, RTC_E_INVALID, "a leg to %g s", until);
    if (sim->n_legs == SUMO_LEGS_MAX)
        return sumo_fail(sim, RTC_E_TOO_LARGE, "more than %u legs of a step", SUMO_LEGS_MAX);
    traci_step(&sim->out, -until);
    sim->legs[sim->n_legs++] = sim->n_queued;
    return 0;
}

/* The answer to a step, or to a leg of one: a status, and what the subscriptions brought. */
static int take_step(struct sumo_sim *sim, struct traci_in *answer)
{
    struct traci_result stepped = traci_in_status(answer);
    uint32_t n = traci_in_count(answer, 1);
    int rc = 0;
    if (answer->bad || stepped.command != TRACI_STEP)
        return sumo_malformed(sim);
    if (stepped.result != 0)
        return sumo_dead(sim, RTC_E_CRASHED, "in a step");
    for (uint32_t i = 0; i < n && !rc; i++)
        rc = sumo_view_take(sim, answer);
    return rc;
}

/* The answers to what was queued. All refusals are counted, the first is told in *ret_refusal. */
static int take_statuses(struct sumo_sim *sim, struct traci_in *answer, int *ret_refusal)
{
    uint32_t n = sim->n_queued, n_refused = 0, leg = 0;
    char text[512] = "";
    uint8_t of = 0;
    for (uint32_t i = 0; i <= n; i++) {
        for (; leg < sim->n_legs && sim->legs[leg] == i; leg++) {
            int rc = take_step(sim, answer);
            if (rc != 0)
                return rc;
        }
        if (i == n)
            break;
        struct traci_result result = traci_in_status(answer);
        if (result.result != 0 && n_refused++ == 0) {
            of = result.command;
            snprintf(text, sizeof(text), "%.*s",
                     (int)(result.text.size < sizeof(text) ? result.text.size : sizeof(text) - 1),
                     result.text.at);
        }
    }
    if (n_refused > 0 && !answer->bad)
        *ret_refusal =
            sumo_fail(sim, RTC_E_DENIED, "SUMO refused %u of %u commands, first one of a %s: %s",
                      n_refused, n, of == TRACI_SET_SIGNAL ? "signal" : "vehicle", text);
    return 0;
}

int sumo_sim_step_end(struct sumo_sim *sim)
{
    struct traci_in answer;
    if (sim->dead)
        return RTC_E_CLOSED;
    if (!sim->stepping)
        return sumo_fail(sim, RTC_E_INVALID, "no step was begun");
    uint64_t deadline_ms = sumo_now_ms() + sim->options.step_timeout_ms;
    int rc = sim->transport->receive(sim, deadline_ms, &answer), refusal = 0;
    sumo_view_begin(sim);
    if (rc == 0)
        rc = take_statuses(sim, &answer, &refusal);
    if (rc == 0 && answer.bad)
        rc = sumo_malformed(sim);
    if (rc == 0 && sim->split)
        rc = sim->transport->receive(sim, deadline_ms, &answer);
    if (rc != 0)
        return rc;
    sim->stepping = false;
    sumo_message(sim);
    if ((rc = take_step(sim, &answer)) != 0)
        return rc;
    rc = sumo_subscribe_fresh(sim);
    if (rc == RTC_E_DENIED) /* the view is good all the same */
        refusal = rc;
    else if (rc != 0)
        return rc;
    rc = sumo_view_end(sim);
    return rc ? rc : refusal;
}

int sumo_sim_step(struct sumo_sim *sim, double until)
{
    int rc = sumo_sim_step_begin(sim, until);
    return rc ? rc : sumo_sim_step_end(sim);
}
