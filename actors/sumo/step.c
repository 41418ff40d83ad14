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
    if (sim->transport->extended) {
        traci_step(&sim->out, until);
        rc = sumo_send(sim);
    } else {
        rc = sumo_poll_begin(sim, until);
    }
    sim->stepping = rc == 0;
    return rc;
}

int sumo_sim_queue_leg(struct sumo_sim *sim, double until)
{
    int rc = sumo_ready(sim);
    if (rc != 0)
        return rc;
    if (!isfinite(until) || until <= sim->time)
        return sumo_fail(sim, RTC_E_INVALID, "a leg to %g s, when it is %g s; give a later time",
                         until, sim->time);
    if (sim->queue.n_legs == SUMO_LEGS_MAX)
        return sumo_fail(sim, RTC_E_TOO_LARGE, "more than %u legs of a step", SUMO_LEGS_MAX);
    sim->queue.legs[sim->queue.n_legs++] = sim->queue.n;
    if (!sim->transport->extended)
        return sumo_poll_leg(sim, until);
    traci_step(&sim->out, -until);
    return 0;
}

/* The answer to a step, or to a leg of one: a status, and what the subscriptions brought. */
int sumo_take_step(struct sumo_sim *sim, struct traci_in *answer)
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

/* The answer to a command that was queued. All refusals are counted, the first is told. */
void sumo_take_status(struct traci_in *answer, struct sumo_refusals *refusals)
{
    struct traci_result result = traci_in_status(answer);
    struct traci_text text = result.text;
    refusals->of++;
    if (answer->bad || result.result == 0 || refusals->n++ > 0)
        return;
    refusals->command = result.command;
    snprintf(refusals->text, sizeof(refusals->text), "%.*s",
             (int)(text.size < sizeof(refusals->text) ? text.size : sizeof(refusals->text) - 1),
             text.at);
}

/* All answers in one: to what was queued, with its legs, and to the step. */
static int take_all(struct sumo_sim *sim, struct sumo_refusals *refusals)
{
    struct traci_in answer;
    int rc = sim->transport->receive(sim, sumo_now_ms() + sim->options.step_timeout_ms, &answer);
    sumo_view_begin(sim);
    for (uint32_t i = 0, leg = 0; i <= sim->queue.n && !rc; i++) {
        for (; leg < sim->queue.n_legs && sim->queue.legs[leg] == i && !rc; leg++)
            rc = sumo_take_step(sim, &answer);
        if (i < sim->queue.n && !rc)
            sumo_take_status(&answer, refusals);
    }
    if (rc == 0 && answer.bad)
        rc = sumo_malformed(sim);
    return rc ? rc : sumo_take_step(sim, &answer);
}

int sumo_sim_step_end(struct sumo_sim *sim)
{
    struct sumo_refusals refusals = {0};
    if (sim->dead)
        return RTC_E_CLOSED;
    if (!sim->stepping)
        return sumo_fail(sim, RTC_E_INVALID, "no step was begun");
    int rc = sim->transport->extended ? take_all(sim, &refusals) : sumo_poll_end(sim, &refusals);
    if (rc != 0)
        return rc;
    sim->stepping = false;
    sumo_message(sim);
    if ((rc = sumo_lives_look(sim)) != 0)
        return rc;
    if ((rc = sumo_view_end(sim)) != 0 || refusals.n == 0)
        return rc;
    return sumo_fail(sim, RTC_E_DENIED, "SUMO refused %u of %u commands, first one of a %s: %s",
                     refusals.n, refusals.of,
                     refusals.command == TRACI_SET_SIGNAL ? "signal" : "vehicle", refusals.text);
}

int sumo_sim_step(struct sumo_sim *sim, double until)
{
    int rc = sumo_sim_step_begin(sim, until);
    return rc ? rc : sumo_sim_step_end(sim);
}
