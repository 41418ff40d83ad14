/* What steps bring from a stock `sumo`. It works subscriptions out after each of its own steps,
 * those on the way to a later time too, and copies each value four times; so there are none. What
 * is wanted is asked for behind the step, in messages that are sent along with it: one round trip,
 * and one more for vehicles, as only then it is known which. A message with commands and a step is
 * better two: SUMO forgets the answers to the commands of a message when the step that ends it is
 * several of its own. */
#include <stdlib.h>

#include "actors/sumo/internal.h"

/* ---- Messages ---- */

/* Ends the open message, to which that is the answer, and opens the next. */
static void end_message(struct sumo_sim *sim, enum sumo_answer what, uint32_t n)
{
    struct sumo_queue *q = &sim->queue;
    sumo_set_length(sim, q->begun);
    q->answers[q->n_answers].what = what;
    q->answers[q->n_answers++].n = n;
    q->begun = sim->out.size;
    q->n_open = 0;
    traci_i32(&sim->out, 0);
}

static void write_step(struct sumo_sim *sim, double until)
{
    if (sim->queue.n_open)
        end_message(sim, SUMO_ANSWER_STATUSES, sim->queue.n_open);
    traci_step(&sim->out, until);
    end_message(sim, SUMO_ANSWER_STEP, 1);
}

/* Without a step only what is: behind a load SUMO still tells who arrived in the episode before. */
static uint8_t simulation_variables(const struct sumo_sim *sim, bool stepped, uint8_t *variables)
{
    if (stepped)
        return sumo_simulation_variables(sim, variables);
    variables[0] = TRACI_TIME;
    variables[1] = TRACI_MIN_EXPECTED;
    return 2;
}

static void write_counters(struct sumo_sim *sim, bool stepped)
{
    uint8_t variables[SUMO_VARIABLES_MAX];
    uint8_t n = simulation_variables(sim, stepped, variables);
    for (uint8_t i = 0; i < n; i++)
        traci_get(&sim->out, TRACI_GET_SIMULATION, variables[i], "");
}

static uint32_t lane_bits(const struct sumo_sim *sim, uint32_t row)
{
    return sim->wants.lane_vars | (row < sim->wants.n_vehicle_lanes ? SUMO_BIT(SUMO_LANE_IDS) : 0);
}

static void write_wants(struct sumo_sim *sim, bool stepped)
{
    const struct sumo_wants *w = &sim->wants;
    uint8_t variables[SUMO_VARIABLES_MAX], n;
    write_counters(sim, stepped);
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        n = sumo_lane_variables(lane_bits(sim, i), variables);
        for (uint8_t k = 0; k < n; k++)
            traci_get(&sim->out, TRACI_GET_LANE, variables[k], sim->lanes.name[w->lanes[i]]);
    }
    n = sumo_signal_variables(w->signal_vars, variables);
    for (uint32_t i = 0; i < w->n_signals; i++) {
        for (uint8_t k = 0; k < n; k++)
            traci_get(&sim->out, TRACI_GET_SIGNAL, variables[k], sim->signals.name[w->signals[i]]);
    }
}

/* ---- Answers ---- */

static int take(struct sumo_sim *sim, struct traci_in *answer, uint8_t get, uint32_t row,
                const uint8_t *variables, uint8_t n)
{
    int rc = 0, refused = 0;
    for (uint8_t i = 0; i < n && rc >= 0; i++) {
        rc = sumo_view_take_get(sim, answer, get, variables[i], row);
        refused |= rc > 0;
    }
    return rc < 0 ? rc : refused;
}

static int take_counters(struct sumo_sim *sim, struct traci_in *answer, bool stepped)
{
    uint8_t variables[SUMO_VARIABLES_MAX];
    uint8_t n = simulation_variables(sim, stepped, variables);
    return take(sim, answer, TRACI_GET_SIMULATION, 0, variables, n);
}

/* What is refused leaves its column as it is. */
static int take_wants(struct sumo_sim *sim, struct traci_in *answer, bool stepped)
{
    const struct sumo_wants *w = &sim->wants;
    uint8_t variables[SUMO_VARIABLES_MAX], n;
    int rc = take_counters(sim, answer, stepped);
    for (uint32_t i = 0; i < w->n_lanes && rc >= 0; i++) {
        n = sumo_lane_variables(lane_bits(sim, i), variables);
        sim->lane_first[i] = sim->lane_vehicles.n;
        rc = take(sim, answer, TRACI_GET_LANE, i, variables, n);
    }
    n = sumo_signal_variables(w->signal_vars, variables);
    for (uint32_t i = 0; i < w->n_signals && rc >= 0; i++)
        rc = take(sim, answer, TRACI_GET_SIGNAL, i, variables, n);
    sim->lane_cursor = sim->view.n_lanes; /* all rows are there */
    sim->signal_cursor = w->n_signals;
    return rc < 0 ? rc : 0;
}

/* ---- Vehicles ---- */

static bool has(const struct sumo_list *list, uint32_t number)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (list->at[i] == number)
            return true;
    }
    return false;
}

/* Forgets those that arrived, and adds those that departed and are there. */
static int follow(struct sumo_sim *sim)
{
    struct sumo_list *list = &sim->followed;
    uint32_t n = sim->arrived.n ? 0 : list->n;
    for (uint32_t i = 0; sim->arrived.n && i < list->n; i++) {
        if (!has(&sim->arrived, list->at[i]))
            list->at[n++] = list->at[i];
    }
    list->n = n;
    for (uint32_t i = 0; i < sim->departed.n; i++) {
        if (!has(&sim->arrived, sim->departed.at[i]) && !sumo_list_add(list, sim->departed.at[i]))
            return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
    }
    return 0;
}

struct seen { /* on a lane */
    uint32_t vehicle, lane;
};

static int compare(const void *a, const void *b)
{
    uint32_t x = ((const struct seen *)a)->vehicle, y = ((const struct seen *)b)->vehicle;
    return (x > y) - (x < y);
}

/* The vehicles on the lanes, each once, in the order in which they departed; freed by the caller.
 */
static struct seen *find_on_lanes(const struct sumo_sim *sim, uint32_t *ret_n)
{
    const struct sumo_wants *w = &sim->wants;
    struct seen *seen = calloc((size_t)sim->lane_vehicles.n + 1, sizeof(*seen));
    uint32_t n = 0, kept = 0;
    for (uint32_t i = 0; seen && i < w->n_vehicle_lanes; i++) {
        uint32_t end = i + 1 < w->n_lanes ? sim->lane_first[i + 1] : sim->lane_vehicles.n;
        for (uint32_t k = sim->lane_first[i]; k < end; k++)
            seen[n++] = (struct seen){sim->lane_vehicles.at[k], w->lanes[i]};
    }
    if (n > 0)
        qsort(seen, n, sizeof(*seen), compare);
    for (uint32_t i = 0; i < n; i++) {
        if (kept == 0 || seen[kept - 1].vehicle != seen[i].vehicle)
            seen[kept++] = seen[i];
    }
    *ret_n = kept;
    return seen;
}

static struct seen *find_vehicles(const struct sumo_sim *sim, uint32_t *ret_n)
{
    if (sim->wants.n_vehicle_lanes)
        return find_on_lanes(sim, ret_n);
    struct seen *seen = calloc((size_t)sim->followed.n + 1, sizeof(*seen));
    for (uint32_t i = 0; seen && i < sim->followed.n; i++)
        seen[i] = (struct seen){sim->followed.at[i], SUMO_NONE};
    *ret_n = sim->followed.n;
    return seen;
}

/* One that is not there after all has no row, and is not followed. */
static int take_vehicles(struct sumo_sim *sim, struct traci_in *answer, const struct seen *seen,
                         uint32_t n_seen, const uint8_t *variables, uint8_t n)
{
    int rc = 0;
    uint32_t row, kept = 0;
    for (uint32_t i = 0; i < n_seen && rc >= 0; i++) {
        if (!sumo_view_row(sim, seen[i].vehicle, &row))
            return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
        rc = take(sim, answer, TRACI_GET_VEHICLE, row, variables, n);
        if (rc > 0) {
            sim->columns.n--;
            continue;
        }
        if (seen[i].lane != SUMO_NONE)
            sim->columns.value[SUMO_VEHICLE_LANE][row] = seen[i].lane;
        else
            sim->followed.at[kept++] = seen[i].vehicle;
    }
    if (!sim->wants.n_vehicle_lanes && rc >= 0)
        sim->followed.n = kept;
    return rc < 0 ? rc : 0;
}

static int ask_vehicles(struct sumo_sim *sim)
{
    struct traci_in answer;
    uint8_t variables[SUMO_VARIABLES_MAX];
    uint32_t bits = sim->wants.vehicle_vars, n_seen;
    if (bits == 0)
        return 0;
    if (sim->wants.n_vehicle_lanes) /* known from the list of the lane */
        bits &= ~SUMO_BIT(SUMO_VEHICLE_LANE);
    uint8_t n = sumo_vehicle_variables(bits, variables);
    struct seen *seen = find_vehicles(sim, &n_seen);
    if (!seen)
        return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
    sumo_message(sim);
    for (uint32_t i = 0; i < n_seen; i++) {
        for (uint8_t k = 0; k < n; k++)
            traci_get(&sim->out, TRACI_GET_VEHICLE, variables[k],
                      sim->vehicles.name[seen[i].vehicle]);
    }
    int rc = n_seen > 0 && n > 0 ? sumo_ask(sim, &answer) : 0;
    if (rc == 0)
        rc = take_vehicles(sim, &answer, seen, n_seen, variables, n);
    free(seen);
    return rc;
}

/* ---- Steps ---- */

int sumo_poll_leg(struct sumo_sim *sim, double until)
{
    write_step(sim, until);
    write_counters(sim, true);
    end_message(sim, SUMO_ANSWER_COUNTERS, 1);
    return 0;
}

int sumo_poll_begin(struct sumo_sim *sim, double until)
{
    struct sumo_queue *q = &sim->queue;
    write_step(sim, until);
    write_wants(sim, true);
    q->answers[q->n_answers].what = SUMO_ANSWER_WANTS; /* the message that stays open */
    q->answers[q->n_answers++].n = 1;
    return sumo_send(sim);
}

int sumo_poll_end(struct sumo_sim *sim, struct sumo_refusals *refusals)
{
    const struct sumo_queue *q = &sim->queue;
    uint64_t deadline_ms = sumo_now_ms() + sim->options.step_timeout_ms;
    struct traci_in answer;
    int rc = 0;
    sumo_view_begin(sim);
    for (uint32_t i = 0; i < q->n_answers && !rc; i++) {
        if ((rc = sim->transport->receive(sim, deadline_ms, &answer)) != 0)
            break;
        switch (q->answers[i].what) {
        case SUMO_ANSWER_STATUSES:
            for (uint32_t k = 0; k < q->answers[i].n; k++)
                sumo_take_status(&answer, refusals);
            break;
        case SUMO_ANSWER_STEP: rc = sumo_take_step(sim, &answer); break;
        case SUMO_ANSWER_COUNTERS: rc = take_counters(sim, &answer, true); break;
        case SUMO_ANSWER_WANTS: rc = take_wants(sim, &answer, true); break;
        }
        if (rc > 0)
            rc = 0;
        if (rc == 0 && answer.bad)
            rc = sumo_malformed(sim);
    }
    if (rc == 0 && sim->wants.vehicle_vars && (rc = follow(sim)) == 0)
        rc = ask_vehicles(sim);
    return rc;
}

int sumo_poll_now(struct sumo_sim *sim)
{
    struct traci_in answer;
    write_wants(sim, false);
    int rc = sumo_ask(sim, &answer);
    if (rc == 0)
        rc = take_wants(sim, &answer, false);
    sim->followed.n = 0;
    if (rc == 0 && sim->wants.vehicle_vars && (rc = sumo_ask_present(sim, &sim->followed)) == 0)
        rc = ask_vehicles(sim);
    return rc ? rc : sumo_view_end(sim);
}
