/* What steps bring. Transports that are extended have subscriptions: of lanes and signals, and of
 * all vehicles that depart. Others are polled (poll.c). */
#include <stdlib.h>
#include <string.h>

#include "actors/sumo/internal.h"

#define ALL_LANE_VARS    (SUMO_BIT(SUMO_LANE_VARS) - 1)
#define ALL_SIGNAL_VARS  (SUMO_BIT(SUMO_SIGNAL_VARS) - 1)
#define ALL_VEHICLE_VARS (SUMO_BIT(SUMO_VEHICLE_VARS) - 1)

#define X(name, var) var,
static const uint8_t lane_variables[] = {SUMO_LANE_MAP(X)};
static const uint8_t signal_variables[] = {SUMO_SIGNAL_MAP(X)};
static const uint8_t vehicle_variables[] = {SUMO_VEHICLE_MAP(X)};
#undef X

/* Several of ours may be one of TraCI's. */
static uint8_t variables_of(uint32_t bits, const uint8_t *map, size_t n_map, uint8_t *ret_variables)
{
    uint8_t n = 0;
    for (size_t i = 0; i < n_map; i++) {
        if (bits & SUMO_BIT(i) && !memchr(ret_variables, map[i], n))
            ret_variables[n++] = map[i];
    }
    return n;
}

uint8_t sumo_lane_variables(uint32_t bits, uint8_t *ret_variables)
{
    return variables_of(bits, lane_variables, sizeof(lane_variables), ret_variables);
}

uint8_t sumo_signal_variables(uint32_t bits, uint8_t *ret_variables)
{
    return variables_of(bits, signal_variables, sizeof(signal_variables), ret_variables);
}

uint8_t sumo_vehicle_variables(uint32_t bits, uint8_t *ret_variables)
{
    return variables_of(bits, vehicle_variables, sizeof(vehicle_variables), ret_variables);
}

uint8_t sumo_simulation_variables(const struct sumo_sim *sim, uint8_t *ret_variables)
{
    static const uint8_t always[] = {TRACI_TIME,       TRACI_LOADED,          TRACI_DEPARTED,
                                     TRACI_ARRIVED,    TRACI_TELEPORTS_BEGUN, TRACI_TELEPORTS_ENDED,
                                     TRACI_COLLISIONS, TRACI_MIN_EXPECTED};
    uint8_t n = sizeof(always);
    memcpy(ret_variables, always, n);
    if (sim->wants.events || sim->wants.vehicle_vars) {
        ret_variables[n++] = TRACI_DEPARTED_IDS;
        ret_variables[n++] = TRACI_ARRIVED_IDS;
    }
    if (sim->wants.events) {
        ret_variables[n++] = TRACI_TELEPORTED_IDS;
        ret_variables[n++] = TRACI_COLLIDED_IDS;
    }
    return n;
}

static uint32_t write_wants(struct sumo_sim *sim)
{
    const struct sumo_wants *w = &sim->wants;
    uint8_t variables[SUMO_VARIABLES_MAX];
    uint8_t n = sumo_simulation_variables(sim, variables);
    traci_subscribe(&sim->out, TRACI_SUBSCRIBE_SIMULATION, "", variables, n);
    n = sumo_lane_variables(w->lane_vars, variables);
    for (uint32_t i = 0; i < sim->view.n_lanes; i++)
        traci_subscribe(&sim->out, TRACI_SUBSCRIBE_LANE, sim->lanes.name[w->lanes[i]], variables,
                        n);
    n = sumo_signal_variables(w->signal_vars, variables);
    for (uint32_t i = 0; i < w->n_signals; i++)
        traci_subscribe(&sim->out, TRACI_SUBSCRIBE_SIGNAL, sim->signals.name[w->signals[i]],
                        variables, n);
    return 1 + sim->view.n_lanes + w->n_signals;
}

/* n subscriptions were asked for; each brings a status and its first values. One that was refused
 * brings nothing, and does not stand in the way of the others. */
static int take_answers(struct sumo_sim *sim, struct traci_in *answer, uint32_t n)
{
    int refusal = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct traci_result result = traci_in_status(answer);
        if (answer->bad)
            return sumo_malformed(sim);
        if (result.result != 0) {
            refusal = sumo_fail(sim, RTC_E_DENIED, "SUMO refused a subscription: %.*s",
                                (int)(result.text.size & INT32_MAX), result.text.at);
            continue;
        }
        int rc = sumo_view_take(sim, answer);
        if (rc != 0)
            return rc;
    }
    return refusal;
}

int sumo_ask_present(struct sumo_sim *sim, struct sumo_list *list)
{
    struct traci_in answer, value;
    struct traci_result result;
    uint8_t type;
    sumo_message(sim);
    traci_get(&sim->out, TRACI_GET_VEHICLE, TRACI_IDS, "");
    int rc = sumo_ask(sim, &answer);
    if (rc != 0)
        return rc;
    if (!traci_in_get(&answer, TRACI_GET_VEHICLE, TRACI_IDS, &type, &value, &result) ||
        type != TRACI_STRINGS)
        return sumo_malformed(sim);
    uint32_t n = traci_in_count(&value, 4);
    for (uint32_t i = 0; i < n; i++) {
        struct traci_text id = traci_in_text(&value);
        uint32_t vehicle = names_add(&sim->vehicles, id.at, id.size);
        if (vehicle == NAMES_NONE || !sumo_list_add(list, vehicle))
            return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
    }
    return 0;
}

/* Vehicles that are there already, when a subscription is made in the middle. */
static int subscribe_present(struct sumo_sim *sim)
{
    struct traci_in answer;
    uint8_t variables[SUMO_VARIABLES_MAX];
    uint8_t n = sumo_vehicle_variables(sim->wants.vehicle_vars, variables);
    int rc = sumo_ask_present(sim, &sim->fresh);
    if (rc != 0 || sim->fresh.n == 0)
        return rc;
    sumo_message(sim);
    for (uint32_t i = 0; i < sim->fresh.n; i++)
        traci_subscribe(&sim->out, TRACI_SUBSCRIBE_VEHICLE, sim->vehicles.name[sim->fresh.at[i]],
                        variables, n);
    rc = sumo_ask(sim, &answer);
    return rc ? rc : take_answers(sim, &answer, sim->fresh.n);
}

/* To all that depart from now on, or to none. */
static int follow_vehicles(struct sumo_sim *sim, bool yes)
{
    struct traci_in answer;
    uint8_t variables[SUMO_VARIABLES_MAX];
    uint8_t n = sumo_vehicle_variables(yes ? sim->wants.vehicle_vars : 0, variables);
    sumo_message(sim);
    traci_subscribe(&sim->out, TRACI_SUBSCRIBE_VEHICLE, "", variables, n);
    int rc = sumo_ask(sim, &answer);
    if (rc == 0 && traci_in_status(&answer).result != 0)
        rc = sumo_malformed(sim);
    return rc;
}

/* Of the step before the subscription. */
static void forget_events(struct sumo_sim *sim)
{
    sim->view.counters = (struct sumo_counters){.min_expected = sim->view.counters.min_expected};
    sim->departed.n = sim->arrived.n = sim->teleported.n = sim->collided.n = 0;
}

/* In a simulation that has no subscriptions. */
int sumo_subscribe_again(struct sumo_sim *sim)
{
    struct traci_in answer;
    sumo_message(sim);
    sumo_view_begin(sim);
    sim->view.time = sim->time;
    if (!sim->transport->extended)
        return sumo_poll_now(sim);
    uint32_t n = write_wants(sim);
    int rc = sumo_ask(sim, &answer);
    if (rc == 0)
        rc = take_answers(sim, &answer, n);
    forget_events(sim);
    if (rc == 0 && sim->wants.vehicle_vars)
        rc = follow_vehicles(sim, true);
    if (rc == 0 && sim->wants.vehicle_vars)
        rc = subscribe_present(sim);
    return rc ? rc : sumo_view_end(sim);
}

/* Ends what there is. Whether SUMO says anything to the end of one is up to its version. */
static int unsubscribe(struct sumo_sim *sim)
{
    const struct sumo_wants *w = &sim->wants;
    struct traci_in answer;
    if (!sim->transport->extended)
        return 0;
    sumo_message(sim);
    traci_subscribe(&sim->out, TRACI_SUBSCRIBE_SIMULATION, "", NULL, 0);
    for (uint32_t i = 0; i < sim->view.n_lanes; i++)
        traci_subscribe(&sim->out, TRACI_SUBSCRIBE_LANE, sim->lanes.name[w->lanes[i]], NULL, 0);
    for (uint32_t i = 0; i < w->n_signals; i++)
        traci_subscribe(&sim->out, TRACI_SUBSCRIBE_SIGNAL, sim->signals.name[w->signals[i]], NULL,
                        0);
    int rc = sumo_ask(sim, &answer);
    return rc == 0 && w->vehicle_vars ? follow_vehicles(sim, false) : rc;
}

static int copy_numbers(struct sumo_sim *sim, const char *what, const uint32_t *from, uint32_t n,
                        const struct names *names, const uint32_t **ret_numbers, uint32_t *ret_n)
{
    bool all = n == SUMO_ALL;
    n = all ? names->n : n;
    uint32_t *numbers = calloc((size_t)n + 1, sizeof(*numbers));
    if (!numbers)
        return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < n; i++) {
        numbers[i] = all ? i : from[i];
        if (numbers[i] >= names->n) {
            free(numbers);
            return sumo_fail(sim, RTC_E_INVALID, "%s number %u; '%s' has %u", what, from[i],
                             sumo_input_name(sim), names->n);
        }
    }
    *ret_numbers = numbers;
    *ret_n = n;
    return 0;
}

static int copy_wants(struct sumo_sim *sim, const struct sumo_wants *wants,
                      struct sumo_wants *ret_wants)
{
    struct sumo_wants made = *wants;
    int rc = 0;
    if (made.lane_vars & ~ALL_LANE_VARS || made.signal_vars & ~ALL_SIGNAL_VARS ||
        made.vehicle_vars & ~ALL_VEHICLE_VARS)
        return sumo_fail(sim, RTC_E_INVALID, "bits of a subscription that mean nothing");
    made.n_vehicle_lanes = made.vehicle_vars ? made.n_vehicle_lanes : 0;
    if (made.n_vehicle_lanes > 0)
        made.vehicle_vars |= SUMO_BIT(SUMO_VEHICLE_LANE);
    made.n_lanes = made.lane_vars || made.n_vehicle_lanes ? made.n_lanes : 0;
    made.n_signals = made.signal_vars ? made.n_signals : 0;
    made.lanes = made.signals = NULL;
    if (made.n_lanes || made.vehicle_vars & SUMO_BIT(SUMO_VEHICLE_LANE))
        rc = sumo_net_lanes(sim);
    if (rc == 0)
        rc = copy_numbers(sim, "lane", wants->lanes, made.n_lanes, &sim->lanes, &made.lanes,
                          &made.n_lanes);
    if (rc == 0)
        rc = copy_numbers(sim, "signal", wants->signals, made.n_signals, &sim->signals,
                          &made.signals, &made.n_signals);
    if (rc != 0) {
        free((void *)(uintptr_t)made.lanes);
        return rc;
    }
    if (made.n_vehicle_lanes > made.n_lanes)
        made.n_vehicle_lanes = made.n_lanes;
    *ret_wants = made;
    return 0;
}

int sumo_sim_subscribe(struct sumo_sim *sim, const struct sumo_wants *wants)
{
    struct sumo_wants made;
    int rc = sumo_ready(sim);
    if (rc == 0 && sim->queue.n)
        rc = sumo_fail(sim, RTC_E_BUSY,
                       "commands are queued; subscribe before them, or after the step");
    if (rc != 0 || (rc = copy_wants(sim, wants, &made)) != 0)
        return rc;
    rc = unsubscribe(sim);
    free((void *)(uintptr_t)sim->wants.lanes);
    free((void *)(uintptr_t)sim->wants.signals);
    sim->wants = made;
    sim->columns.room = 0; /* columns that were not wanted are made with the next row */
    if (rc == 0 && (rc = sumo_view_prepare(sim)) == 0)
        rc = sumo_subscribe_again(sim);
    return rc;
}
