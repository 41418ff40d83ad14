/* From the answers of subscriptions to columns. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/sumo/internal.h"

#define X(name, var) [SUMO_LANE_##name] = var,
static const uint8_t lane_variable[] = {SUMO_LANE_MAP(X)};
#undef X

/* ---- Memory ---- */

bool sumo_list_add(struct sumo_list *list, uint32_t number)
{
    if (list->n == list->room) {
        uint32_t room = list->room ? list->room * 2 : 64;
        uint32_t *at = realloc(list->at, room * sizeof(*at));
        if (!at)
            return false;
        list->at = at;
        list->room = room;
    }
    list->at[list->n++] = number;
    return true;
}

static void free_lists(struct sumo_sim *sim)
{
    struct sumo_list *lists[] = {&sim->departed, &sim->arrived,       &sim->teleported,
                                 &sim->collided, &sim->lane_vehicles, &sim->fresh,
                                 &sim->followed};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        free(lists[i]->at);
        *lists[i] = (struct sumo_list){0};
    }
}

static void free_fixed(struct sumo_sim *sim)
{
    for (uint32_t i = 0; sim->signal_texts && i < 2 * sim->view.n_signals; i++)
        free(sim->signal_texts[i]);
    free(sim->signal_texts);
    free(sim->lane_values);
    free(sim->lane_first);
    free(sim->signal_values);
    free(sim->on_lane);
    sim->on_lane = NULL;
    sim->signal_texts = NULL;
    sim->lane_values = sim->signal_values = NULL;
    sim->lane_first = NULL;
}

void sumo_view_free(struct sumo_sim *sim)
{
    free_fixed(sim);
    free_lists(sim);
    free(sim->columns.vehicle);
    for (int i = 0; i < SUMO_VEHICLE_VARS; i++)
        free(sim->columns.value[i]);
    sim->columns = (struct sumo_columns){0};
}

/* Columns of lanes and signals have their size from here on. */
int sumo_view_prepare(struct sumo_sim *sim)
{
    const struct sumo_wants *w = &sim->wants;
    struct sumo_view *view = &sim->view;
    free_fixed(sim);
    *view = (struct sumo_view){
        .time = sim->time, .n_lanes = w->lane_vars ? w->n_lanes : 0, .n_signals = w->n_signals};
    sim->lane_values = calloc((size_t)w->n_lanes * SUMO_LANE_VARS + 1, sizeof(double));
    sim->lane_first = calloc((size_t)w->n_lanes + 1, sizeof(uint32_t));
    sim->signal_values = calloc((size_t)w->n_signals * SUMO_SIGNAL_VARS + 1, sizeof(double));
    sim->signal_texts = calloc((size_t)w->n_signals * 2 + 1, sizeof(char *));
    sim->on_lane = calloc((size_t)sim->lanes.n + 1, 1);
    if (!sim->lane_values || !sim->lane_first || !sim->signal_values || !sim->signal_texts ||
        !sim->on_lane)
        return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < w->n_vehicle_lanes; i++)
        sim->on_lane[w->lanes[i]] = 1;
    for (uint32_t i = 0; i < SUMO_LANE_VARS; i++) {
        if (i != SUMO_LANE_IDS && w->lane_vars & SUMO_BIT(i))
            view->lane[i] = sim->lane_values + (size_t)i * view->n_lanes;
    }
    for (uint32_t i = SUMO_SIGNAL_PHASE; i < SUMO_SIGNAL_VARS; i++) {
        if (w->signal_vars & SUMO_BIT(i))
            view->signal[i] = sim->signal_values + (size_t)i * w->n_signals;
    }
    if (w->signal_vars & SUMO_BIT(SUMO_SIGNAL_STATE))
        view->signal_state = (const char *const *)sim->signal_texts;
    if (w->signal_vars & SUMO_BIT(SUMO_SIGNAL_PROGRAM))
        view->signal_program = (const char *const *)(sim->signal_texts + w->n_signals);
    return 0;
}

/* ---- The simulation ---- */

static bool take_vehicles(struct sumo_sim *sim, struct traci_in *in, struct sumo_list *list)
{
    uint32_t n = traci_in_count(in, 4);
    for (uint32_t i = 0; i < n; i++) {
        struct traci_text id = traci_in_text(in);
        uint32_t vehicle = names_add(&sim->vehicles, id.at, id.size);
        if (vehicle == NAMES_NONE || !sumo_list_add(list, vehicle))
            return false;
    }
    return true;
}

static bool take_simulation(struct sumo_sim *sim, uint8_t variable, uint8_t type,
                            struct traci_in *in)
{
    struct sumo_counters *c = &sim->view.counters;
    switch (variable) {
    case TRACI_TIME: sim->view.time = traci_in_number(in, type); return true;
    case TRACI_LOADED: c->loaded += (int32_t)traci_in_number(in, type); return true;
    case TRACI_DEPARTED: c->departed += (int32_t)traci_in_number(in, type); return true;
    case TRACI_ARRIVED: c->arrived += (int32_t)traci_in_number(in, type); return true;
    case TRACI_TELEPORTS_BEGUN:
        c->teleports_begun += (int32_t)traci_in_number(in, type);
        return true;
    case TRACI_TELEPORTS_ENDED:
        c->teleports_ended += (int32_t)traci_in_number(in, type);
        return true;
    case TRACI_COLLISIONS: c->collisions += (int32_t)traci_in_number(in, type); return true;
    case TRACI_MIN_EXPECTED: c->min_expected = (int32_t)traci_in_number(in, type); return true;
    case TRACI_DEPARTED_IDS: return take_vehicles(sim, in, &sim->departed);
    case TRACI_ARRIVED_IDS: return take_vehicles(sim, in, &sim->arrived);
    case TRACI_TELEPORTED_IDS: return take_vehicles(sim, in, &sim->teleported);
    case TRACI_COLLIDED_IDS: return take_vehicles(sim, in, &sim->collided);
    default: traci_in_skip(in, type); return true;
    }
}

/* ---- Lanes and signals: answers come in the order of the subscriptions ---- */

static bool take_lane(struct sumo_sim *sim, uint32_t row, uint8_t variable, uint8_t type,
                      struct traci_in *in)
{
    if (variable == lane_variable[SUMO_LANE_IDS])
        return take_vehicles(sim, in, &sim->lane_vehicles);
    for (uint32_t i = 0; i < SUMO_LANE_IDS; i++) {
        if (lane_variable[i] == variable) {
            sim->lane_values[(size_t)i * sim->view.n_lanes + row] = traci_in_number(in, type);
            return true;
        }
    }
    traci_in_skip(in, type);
    return true;
}

/* Texts mostly are what they were. */
static bool keep_text(char **at, struct traci_text text)
{
    if (*at && strlen(*at) == text.size) {
        memcpy(*at, text.at, text.size);
        return true;
    }
    free(*at);
    *at = strndup(text.at, text.size);
    return *at != NULL;
}

static bool take_signal(struct sumo_sim *sim, uint32_t row, uint8_t variable, uint8_t type,
                        struct traci_in *in)
{
    uint32_t n = sim->view.n_signals;
    switch (variable) {
    case TRACI_STATE: return keep_text(&sim->signal_texts[row], traci_in_text(in));
    case 0x29: return keep_text(&sim->signal_texts[n + row], traci_in_text(in));
    case 0x28:
        sim->signal_values[(size_t)SUMO_SIGNAL_PHASE * n + row] = traci_in_number(in, type);
        return true;
    case 0x2d:
        sim->signal_values[(size_t)SUMO_SIGNAL_NEXT_SWITCH * n + row] = traci_in_number(in, type);
        return true;
    default: traci_in_skip(in, type); return true;
    }
}

static bool is_next(const struct names *names, const uint32_t *numbers, uint32_t n,
                    uint32_t *cursor, struct traci_text id)
{
    if (*cursor >= n)
        return false;
    const char *name = names->name[numbers[(*cursor)++]];
    return strlen(name) == id.size && memcmp(name, id.at, id.size) == 0;
}

/* ---- Vehicles ---- */

bool sumo_view_row(struct sumo_sim *sim, uint32_t vehicle, uint32_t *ret_row)
{
    struct sumo_columns *c = &sim->columns;
    if (vehicle == NAMES_NONE) /* no memory for its name */
        return false;
    if (c->n == c->room) {
        uint32_t room = c->room ? c->room * 2 : 128;
        uint32_t *numbers = realloc(c->vehicle, room * sizeof(*numbers));
        if (!numbers)
            return false;
        c->vehicle = numbers;
        for (uint32_t i = 0; i < SUMO_VEHICLE_VARS; i++) {
            double *values = sim->wants.vehicle_vars & SUMO_BIT(i)
                                 ? realloc(c->value[i], room * sizeof(*values))
                                 : NULL;
            if (sim->wants.vehicle_vars & SUMO_BIT(i) && !values)
                return false;
            if (values)
                c->value[i] = values;
        }
        c->room = room;
    }
    c->vehicle[c->n] = vehicle;
    for (uint32_t i = 0; i < SUMO_VEHICLE_VARS; i++) {
        if (sim->wants.vehicle_vars & SUMO_BIT(i))
            c->value[i][c->n] = NAN;
    }
    *ret_row = c->n++;
    return true;
}

static void keep(struct sumo_sim *sim, uint32_t row, enum sumo_vehicle_var var, double value)
{
    if (sim->wants.vehicle_vars & SUMO_BIT(var))
        sim->columns.value[var][row] = value;
}

/* Of the signals ahead the first: a row of (id, link, distance, state). */
static void take_next_signals(struct sumo_sim *sim, uint32_t row, struct traci_in *in)
{
    struct traci_in all = *in;
    double signal = -1, link = -1, distance = NAN;
    traci_in_skip(in, TRACI_COMPOUND);
    (void)traci_in_count(&all, 2);
    if (traci_typed_i32(&all) > 0) {
        struct traci_text id = traci_typed_text(&all);
        link = traci_typed_i32(&all);
        distance = traci_typed_f64(&all);
        uint32_t number = names_find(&sim->signals, id.at, id.size);
        signal = number == NAMES_NONE ? -1.0 : (double)number;
    }
    if (all.bad)
        in->bad = true;
    keep(sim, row, SUMO_VEHICLE_NEXT_SIGNAL, signal);
    keep(sim, row, SUMO_VEHICLE_SIGNAL_LINK, link);
    keep(sim, row, SUMO_VEHICLE_SIGNAL_DISTANCE, distance);
}

/* A vehicle, "" where there is none, and how far it is. */
static bool take_leader(struct sumo_sim *sim, uint32_t row, struct traci_in *in)
{
    struct traci_in all = *in;
    traci_in_skip(in, TRACI_COMPOUND);
    (void)traci_in_count(&all, 2);
    struct traci_text id = traci_typed_text(&all);
    double gap = traci_typed_f64(&all);
    uint32_t leader = NAMES_NONE;
    if (all.bad)
        in->bad = true;
    else if (id.size && (leader = names_add(&sim->vehicles, id.at, id.size)) == NAMES_NONE)
        return false;
    keep(sim, row, SUMO_VEHICLE_LEADER, leader == NAMES_NONE ? -1.0 : (double)leader);
    keep(sim, row, SUMO_VEHICLE_LEADER_GAP, leader == NAMES_NONE ? NAN : gap);
    return true;
}

static bool take_type(struct sumo_sim *sim, uint32_t row, struct traci_in *in)
{
    struct traci_text id = traci_in_text(in);
    uint32_t type = names_add(&sim->types, id.at, id.size);
    keep(sim, row, SUMO_VEHICLE_TYPE, (double)type);
    return type != NAMES_NONE;
}

static bool take_lane_name(struct sumo_sim *sim, uint32_t row, struct traci_in *in)
{
    struct traci_text id = traci_in_text(in);
    uint32_t lane = id.size ? names_find(&sim->lanes, id.at, id.size) : NAMES_NONE;
    keep(sim, row, SUMO_VEHICLE_LANE, lane == NAMES_NONE ? -1.0 : (double)lane);
    return true;
}

static bool take_vehicle(struct sumo_sim *sim, uint32_t row, uint8_t variable, uint8_t type,
                         struct traci_in *in)
{
#define X(name, var) [SUMO_VEHICLE_##name] = var,
    static const uint8_t variables[] = {SUMO_VEHICLE_MAP(X)};
#undef X
    if (variable == variables[SUMO_VEHICLE_POSITION_X] && type == TRACI_POSITION_2D) {
        keep(sim, row, SUMO_VEHICLE_POSITION_X, traci_in_f64(in));
        keep(sim, row, SUMO_VEHICLE_POSITION_Y, traci_in_f64(in));
        return true;
    }
    if (variable == variables[SUMO_VEHICLE_NEXT_SIGNAL] && type == TRACI_COMPOUND) {
        take_next_signals(sim, row, in);
        return true;
    }
    if (variable == variables[SUMO_VEHICLE_LANE] && type == TRACI_STRING)
        return take_lane_name(sim, row, in);
    if (variable == variables[SUMO_VEHICLE_LEADER] && type == TRACI_COMPOUND)
        return take_leader(sim, row, in);
    if (variable == variables[SUMO_VEHICLE_TYPE] && type == TRACI_STRING)
        return take_type(sim, row, in);
    if (variable == variables[SUMO_VEHICLE_MIN_GAP]) {
        keep(sim, row, SUMO_VEHICLE_MIN_GAP, traci_in_number(in, type));
        return true;
    }
    for (uint32_t i = SUMO_VEHICLE_SPEED; i < SUMO_VEHICLE_NEXT_SIGNAL; i++) {
        if (variables[i] == variable && i != SUMO_VEHICLE_LANE) {
            keep(sim, row, (enum sumo_vehicle_var)i, traci_in_number(in, type));
            return true;
        }
    }
    traci_in_skip(in, type);
    return true;
}

/* ---- One answer ---- */

void sumo_view_begin(struct sumo_sim *sim)
{
    sim->view.counters = (struct sumo_counters){0};
    sim->lane_cursor = sim->signal_cursor = 0;
    sim->departed.n = sim->arrived.n = sim->teleported.n = sim->collided.n = 0;
    sim->lane_vehicles.n = sim->fresh.n = 0;
    sim->columns.n = 0;
}

static bool find_row(struct sumo_sim *sim, uint8_t answer, struct traci_text id, uint32_t *ret_row)
{
    const struct sumo_wants *w = &sim->wants;
    *ret_row = 0;
    switch (answer) {
    case TRACI_SUBSCRIBE_SIMULATION + TRACI_ANSWER: return true;
    case TRACI_SUBSCRIBE_LANE + TRACI_ANSWER:
        *ret_row = sim->lane_cursor;
        if (!is_next(&sim->lanes, w->lanes, w->n_lanes, &sim->lane_cursor, id))
            return false;
        sim->lane_first[*ret_row] = sim->lane_vehicles.n;
        return true;
    case TRACI_SUBSCRIBE_SIGNAL + TRACI_ANSWER:
        *ret_row = sim->signal_cursor;
        return is_next(&sim->signals, w->signals, w->n_signals, &sim->signal_cursor, id);
    case TRACI_SUBSCRIBE_VEHICLE + TRACI_ANSWER:
        return sumo_view_row(sim, names_add(&sim->vehicles, id.at, id.size), ret_row);
    default: return false;
    }
}

/* The value of a variable; `get` says of what kind of thing. */
static bool take_value(struct sumo_sim *sim, uint8_t get, uint32_t row, uint8_t variable,
                       uint8_t type, struct traci_in *in)
{
    switch (get) {
    case TRACI_GET_SIMULATION: return take_simulation(sim, variable, type, in);
    case TRACI_GET_LANE: return take_lane(sim, row, variable, type, in);
    case TRACI_GET_SIGNAL: return take_signal(sim, row, variable, type, in);
    default: return take_vehicle(sim, row, variable, type, in);
    }
}

int sumo_view_take(struct sumo_sim *sim, struct traci_in *in)
{
    struct traci_in contents;
    uint8_t answer = traci_in_begin(in, &contents);
    struct traci_text id = traci_in_text(&contents);
    uint8_t n = traci_in_u8(&contents), get = (uint8_t)(answer - TRACI_ANSWER - TRACI_SUBSCRIBED);
    uint32_t row;
    if (in->bad || contents.bad || !find_row(sim, answer, id, &row))
        return sumo_malformed(sim);
    for (uint8_t i = 0; i < n; i++) {
        uint8_t variable = traci_in_u8(&contents), result = traci_in_u8(&contents),
                type = traci_in_u8(&contents);
        bool good = true;
        if (result != 0) /* says why in a string; the column keeps "not a number" */
            traci_in_skip(&contents, type);
        else
            good = take_value(sim, get, row, variable, type, &contents);
        if (!good || contents.bad)
            return sumo_malformed(sim);
    }
    return 0;
}

int sumo_view_take_get(struct sumo_sim *sim, struct traci_in *in, uint8_t command, uint8_t variable,
                       uint32_t row)
{
    struct traci_in value;
    struct traci_result result;
    uint8_t type;
    if (!traci_in_get(in, command, variable, &type, &value, &result))
        return in->bad ? sumo_malformed(sim) : 1;
    if (!take_value(sim, command, row, variable, type, &value) || value.bad)
        return sumo_malformed(sim);
    return 0;
}

/* Vehicles that are not on the lanes for which vehicles are wanted. */
static void drop_elsewhere(struct sumo_sim *sim)
{
    struct sumo_columns *c = &sim->columns;
    uint32_t n = c->n;
    c->n = 0;
    for (uint32_t row = 0; row < n; row++) {
        double lane = c->value[SUMO_VEHICLE_LANE][row];
        if (!(lane >= 0) || !sim->on_lane[(uint32_t)lane])
            continue;
        c->vehicle[c->n] = c->vehicle[row];
        for (uint32_t i = 0; i < SUMO_VEHICLE_VARS; i++) {
            if (sim->wants.vehicle_vars & SUMO_BIT(i))
                c->value[i][c->n] = c->value[i][row];
        }
        c->n++;
    }
}

static struct sumo_vehicles shown(const struct sumo_list *list)
{
    return (struct sumo_vehicles){.at = list->at, .n = list->n};
}

/* Now that everything lies where it will lie. */
int sumo_view_end(struct sumo_sim *sim)
{
    struct sumo_view *view = &sim->view;
    if (sim->lane_cursor != view->n_lanes || sim->signal_cursor != view->n_signals)
        return sumo_malformed(sim);
    sim->time = view->time;
    sim->lane_first[view->n_lanes] = sim->lane_vehicles.n;
    if (sim->wants.lane_vars & SUMO_BIT(SUMO_LANE_IDS)) {
        view->lane_first = sim->lane_first;
        view->lane_vehicles = sim->lane_vehicles.at;
    }
    if (sim->wants.events) {
        view->departed = shown(&sim->departed);
        view->arrived = shown(&sim->arrived);
        view->teleported = shown(&sim->teleported);
        view->collided = shown(&sim->collided);
    }
    if (sim->wants.n_vehicle_lanes)
        drop_elsewhere(sim);
    view->n_vehicles = sim->columns.n;
    view->vehicle = sim->columns.vehicle;
    for (uint32_t i = 0; i < SUMO_VEHICLE_VARS; i++)
        view->vehicles[i] = sim->wants.vehicle_vars & SUMO_BIT(i) ? sim->columns.value[i] : NULL;
    return 0;
}
