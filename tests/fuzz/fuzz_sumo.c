/* A simulator that answers anything: behind the first byte, which says over what transport, the
 * bytes are its answers, one after the other, to opening, subscribing, stepping and asking.
 * Whatever it says, columns have the length that is told, and all of it can be read. */
#include <stdlib.h>
#include <string.h>

#include "actors/sumo/internal.h"
#include "runtime/base/assert.h"
#include "tests/fuzz/fuzz.h"

#define LANES 3

static const uint8_t *answers, *answers_end;
static double touched;

static int start(struct sumo_sim *sim, uint64_t deadline_ms)
{
    (void)deadline_ms;
    (void)sim;
    return 0;
}

static int send_out(struct sumo_sim *sim)
{
    RTCI_ASSERT(sim->out.size >= SUMO_PREFIX);
    return 0;
}

static int receive(struct sumo_sim *sim, uint64_t deadline_ms, struct traci_in *ret_answer)
{
    uint16_t size;
    (void)deadline_ms;
    if (answers_end - answers < 2)
        return sumo_dead(sim, RTC_E_CRASHED, "at the end of the input");
    memcpy(&size, answers, sizeof(size));
    answers += sizeof(size);
    size = size < answers_end - answers ? size : (uint16_t)(answers_end - answers);
    uint8_t *copy = realloc(sim->in, size ? size : 1); /* so that a read behind it is seen */
    RTCI_ASSERT(copy);
    memcpy(copy, answers, size);
    answers += size;
    sim->in = copy;
    *ret_answer = traci_in(copy, size);
    return 0;
}

static void stop(struct sumo_sim *sim)
{
    (void)sim;
}

static const struct sumo_transport polled = {.name = "fuzz",
                                             .start = start,
                                             .send = send_out,
                                             .receive = receive,
                                             .stop = stop},
                                   extended = {.name = "fuzz",
                                               .extended = true,
                                               .start = start,
                                               .send = send_out,
                                               .receive = receive,
                                               .stop = stop};

static void touch_vehicles(struct sumo_sim *sim, const struct sumo_vehicles *list)
{
    for (uint32_t i = 0; i < list->n; i++)
        RTCI_ASSERT(sumo_sim_vehicle_name(sim, list->at[i]));
}

static void touch_view(struct sumo_sim *sim)
{
    const struct sumo_view *v = sumo_sim_view(sim);
    for (uint32_t i = 0; i < v->n_lanes; i++) {
        for (int var = 0; var < SUMO_LANE_IDS; var++)
            touched += v->lane[var][i];
        for (uint32_t k = v->lane_first[i]; k < v->lane_first[i + 1]; k++)
            RTCI_ASSERT(sumo_sim_vehicle_name(sim, v->lane_vehicles[k]));
    }
    for (uint32_t i = 0; i < v->n_signals; i++)
        touched +=
            (v->signal_state[i] ? strlen(v->signal_state[i]) : 0) + v->signal[SUMO_SIGNAL_PHASE][i];
    for (uint32_t i = 0; i < v->n_vehicles; i++) {
        RTCI_ASSERT(sumo_sim_vehicle_name(sim, v->vehicle[i]));
        for (int var = 0; var < SUMO_VEHICLE_VARS; var++)
            touched += v->vehicles[var][i];
    }
    touch_vehicles(sim, &v->departed);
    touch_vehicles(sim, &v->arrived);
}

static void ask(struct sumo_sim *sim)
{
    struct sumo_link *links;
    struct sumo_program *programs;
    struct sumo_next *lanes;
    uint32_t n;
    if (sumo_sim_links(sim, 0, &links, &n) == 0)
        free(links);
    if (sumo_sim_programs(sim, 0, &programs, &n) == 0)
        sumo_programs_free(programs, n);
    if (sumo_sim_lane_next(sim, 0, &lanes, &n) == 0)
        free(lanes);
}

static void drive(struct sumo_sim *sim, uint32_t n_vehicle_lanes)
{
    struct sumo_wants wants = {.n_lanes = SUMO_ALL,
                               .n_signals = SUMO_ALL,
                               .n_vehicle_lanes = n_vehicle_lanes,
                               .lane_vars = 127,
                               .signal_vars = 15,
                               .vehicle_vars = (1u << SUMO_VEHICLE_VARS) - 1,
                               .events = true};
    if (sumo_net_greet(sim, 0) != 0 || sumo_view_prepare(sim) != 0)
        return;
    ask(sim);
    if (sumo_sim_subscribe(sim, &wants) != 0)
        return;
    touch_view(sim);
    for (int i = 0; !sim->dead; i++) {
        int rc = sumo_sim_set_phase(sim, 0, 1);
        if (i % 2)
            (void)sumo_sim_queue_leg(sim, sumo_sim_time(sim) + 1);
        rc = sumo_sim_step(sim, 0);
        if (rc == 0 || rc == RTC_E_DENIED)
            touch_view(sim);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sumo_sim *sim = calloc(1, sizeof(*sim));
    RTCI_ASSERT(sim);
    uint8_t kind = size > 0 ? data[0] : 0;
    answers = data + (size > 0);
    answers_end = data + size;
    sim->socket = sim->log_fd = -1;
    sim->transport = kind & 1 ? &extended : &polled;
    sim->options.net_file = strdup("x.net.xml");
    sim->options.step_timeout_ms = 1;
    sumo_message(sim);
    drive(sim, kind & 2 ? 2 : 0);
    RTCI_ASSERT(sim->dead || !sim->stepping);
    sumo_sim_close(&sim);
    return 0;
}

/* ---- A session that makes sense ---- */

static void text(struct traci_out *out, const char *at)
{
    traci_u8(out, TRACI_STRING);
    traci_text(out, at);
}

static void number(struct traci_out *out, int32_t value)
{
    traci_u8(out, TRACI_INT);
    traci_i32(out, value);
}

static void real(struct traci_out *out, double value)
{
    traci_u8(out, TRACI_DOUBLE);
    traci_f64(out, value);
}

static void compound(struct traci_out *out, int32_t n)
{
    traci_u8(out, TRACI_COMPOUND);
    traci_i32(out, n);
}

static void strings(struct traci_out *out, uint32_t n, const char *const *at)
{
    traci_u8(out, TRACI_STRINGS);
    traci_i32(out, (int32_t)n);
    for (uint32_t i = 0; i < n; i++)
        traci_text(out, at[i]);
}

static size_t begin_get(struct traci_out *out, uint8_t command, uint8_t variable)
{
    traci_status(out, command, 0, "");
    return traci_set(out, (uint8_t)(command + TRACI_ANSWER), variable, "");
}

static const char *const lanes[] = {"a_0", "b_0", ":c_0"}, *const signals[] = {"s"};

static void greeting(struct traci_out *out)
{
    traci_status(out, TRACI_VERSION_ASK, 0, "");
    size_t at = traci_begin(out, TRACI_VERSION_ASK);
    traci_i32(out, 20);
    traci_text(out, "SUMO 1.15.0");
    traci_end(out, at);
    at = begin_get(out, TRACI_GET_SIMULATION, TRACI_TIME);
    real(out, 0);
    traci_end(out, at);
    at = begin_get(out, TRACI_GET_SIMULATION, TRACI_DELTA_T);
    real(out, 1);
    traci_end(out, at);
    at = begin_get(out, TRACI_GET_SIGNAL, TRACI_IDS);
    strings(out, 1, signals);
    traci_end(out, at);
}

static void lane_list(struct traci_out *out)
{
    size_t at = begin_get(out, TRACI_GET_LANE, TRACI_IDS);
    strings(out, LANES, lanes);
    traci_end(out, at);
}

static void link_list(struct traci_out *out)
{
    const char *const link[] = {"a_0", "b_0", ":c_0"};
    size_t at = begin_get(out, TRACI_GET_SIGNAL, TRACI_LINKS);
    compound(out, 3);
    number(out, 1);
    number(out, 1);
    strings(out, 3, link);
    traci_end(out, at);
}

static void program_list(struct traci_out *out)
{
    size_t at = begin_get(out, TRACI_GET_SIGNAL, TRACI_PROGRAMS);
    compound(out, 1);
    compound(out, 5);
    text(out, "0");
    number(out, 0);
    number(out, 0);
    compound(out, 1);
    compound(out, 6);
    real(out, 31);
    text(out, "G");
    real(out, 31);
    real(out, 31);
    compound(out, 1);
    number(out, 0);
    text(out, "");
    compound(out, 0);
    traci_end(out, at);
}

static void next_list(struct traci_out *out)
{
    size_t at = begin_get(out, TRACI_GET_LANE, TRACI_LANE_LINKS);
    compound(out, 9);
    number(out, 1);
    text(out, "b_0");
    text(out, ":c_0");
    for (int i = 0; i < 3; i++) {
        traci_u8(out, TRACI_UBYTE);
        traci_u8(out, 1);
    }
    text(out, "M");
    text(out, "s");
    real(out, 7);
    traci_end(out, at);
}

static void strings_of(struct traci_out *out, uint8_t get, uint8_t variable, uint32_t n,
                       const char *const *at)
{
    size_t begun = begin_get(out, get, variable);
    strings(out, n, at);
    traci_end(out, begun);
}

/* To what is wanted of the simulation itself; without a step only what is. */
static void counters(struct traci_out *out, bool stepped, uint32_t n, const char *const *ids)
{
    static const uint8_t counts[] = {TRACI_LOADED,          TRACI_DEPARTED,
                                     TRACI_ARRIVED,         TRACI_TELEPORTS_BEGUN,
                                     TRACI_TELEPORTS_ENDED, TRACI_COLLISIONS};
    size_t at = begin_get(out, TRACI_GET_SIMULATION, TRACI_TIME);
    real(out, 1);
    traci_end(out, at);
    for (size_t i = 0; stepped && i < sizeof(counts); i++) {
        at = begin_get(out, TRACI_GET_SIMULATION, counts[i]);
        number(out, counts[i] == TRACI_DEPARTED ? (int32_t)n : 0);
        traci_end(out, at);
    }
    at = begin_get(out, TRACI_GET_SIMULATION, TRACI_MIN_EXPECTED);
    number(out, 9);
    traci_end(out, at);
    if (!stepped)
        return;
    strings_of(out, TRACI_GET_SIMULATION, TRACI_DEPARTED_IDS, n, ids);
    strings_of(out, TRACI_GET_SIMULATION, TRACI_ARRIVED_IDS, 0, NULL);
    strings_of(out, TRACI_GET_SIMULATION, TRACI_TELEPORTED_IDS, 0, NULL);
    strings_of(out, TRACI_GET_SIMULATION, TRACI_COLLIDED_IDS, 0, NULL);
}

static void get_each(struct traci_out *out, uint8_t get, const uint8_t *variables, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = begin_get(out, get, variables[i]);
        real(out, 1);
        traci_end(out, at);
    }
}

static void wanted(struct traci_out *out, bool stepped, uint32_t n, const char *const *ids)
{
    static const uint8_t of_lane[] = {0x10, 0x14, 0x7a, 0x11, 0x13, 0x15},
                         of_signal[] = {0x28, 0x2d};
    counters(out, stepped, n, ids);
    for (uint32_t i = 0; i < LANES; i++) {
        get_each(out, TRACI_GET_LANE, of_lane, sizeof(of_lane));
        strings_of(out, TRACI_GET_LANE, 0x12, i ? 0 : n, ids);
    }
    for (uint8_t variable = 0x20; variable <= 0x29; variable = (uint8_t)(variable + 9)) {
        size_t at = begin_get(out, TRACI_GET_SIGNAL, variable);
        text(out, "G");
        traci_end(out, at);
    }
    get_each(out, TRACI_GET_SIGNAL, of_signal, sizeof(of_signal));
}

static void polled_vehicle(struct traci_out *out, bool on_lane)
{
    static const uint8_t numbers[] = {0x40, 0x72, 0x43},
                         more[] = {0x52, 0x56, 0x7a, 0x87, 0xb7, 0x44, 0x8c};
    size_t at = begin_get(out, TRACI_GET_VEHICLE, 0x42);
    traci_u8(out, TRACI_POSITION_2D);
    traci_f64(out, 1);
    traci_f64(out, 2);
    traci_end(out, at);
    get_each(out, TRACI_GET_VEHICLE, numbers, sizeof(numbers));
    if (!on_lane) {
        at = begin_get(out, TRACI_GET_VEHICLE, 0x51);
        text(out, "b_0");
        traci_end(out, at);
    }
    get_each(out, TRACI_GET_VEHICLE, more, sizeof(more));
    at = begin_get(out, TRACI_GET_VEHICLE, 0x70);
    compound(out, 1);
    number(out, 0);
    traci_end(out, at);
}

static size_t begin_answer(struct traci_out *out, uint8_t command, const char *id, uint8_t n)
{
    size_t at = traci_begin(out, (uint8_t)(command + TRACI_ANSWER));
    traci_text(out, id);
    traci_u8(out, n);
    return at;
}

static void variable(struct traci_out *out, uint8_t which)
{
    traci_u8(out, which);
    traci_u8(out, 0);
}

static void vehicle(struct traci_out *out, const char *id)
{
    size_t at = begin_answer(out, TRACI_SUBSCRIBE_VEHICLE, id, 4);
    variable(out, 0x42);
    traci_u8(out, TRACI_POSITION_2D);
    traci_f64(out, 1);
    traci_f64(out, 2);
    variable(out, 0x40);
    real(out, 13);
    variable(out, 0x51);
    text(out, "b_0");
    variable(out, 0x70);
    compound(out, 5);
    number(out, 1);
    text(out, "s");
    number(out, 0);
    real(out, 20);
    traci_u8(out, TRACI_BYTE);
    traci_u8(out, 'G');
    traci_end(out, at);
}

/* Answers of the simulation, the lanes and the signal; each behind a status when they are the
 * first. */
static void values(struct traci_out *out, bool first, uint32_t n_departed,
                   const char *const *departed)
{
    if (first)
        traci_status(out, TRACI_SUBSCRIBE_SIMULATION, 0, "");
    size_t at = begin_answer(out, TRACI_SUBSCRIBE_SIMULATION, "", 3);
    variable(out, TRACI_TIME);
    real(out, 1);
    variable(out, TRACI_DEPARTED);
    number(out, (int32_t)n_departed);
    variable(out, TRACI_DEPARTED_IDS);
    strings(out, n_departed, departed);
    traci_end(out, at);
    for (uint32_t i = 0; i < LANES; i++) {
        if (first)
            traci_status(out, TRACI_SUBSCRIBE_LANE, 0, "");
        at = begin_answer(out, TRACI_SUBSCRIBE_LANE, lanes[i], 2);
        variable(out, 0x10);
        number(out, 1);
        variable(out, 0x12);
        strings(out, n_departed, departed);
        traci_end(out, at);
    }
    if (first)
        traci_status(out, TRACI_SUBSCRIBE_SIGNAL, 0, "");
    at = begin_answer(out, TRACI_SUBSCRIBE_SIGNAL, "s", 2);
    variable(out, 0x20);
    text(out, "G");
    variable(out, 0x28);
    number(out, 1);
    traci_end(out, at);
}

static void step(struct traci_out *out, uint32_t n_running, uint32_t n_departed,
                 const char *const *ids)
{
    traci_status(out, TRACI_STEP, 0, "");
    traci_i32(out, (int32_t)(2 + LANES + n_running));
    values(out, false, n_departed, ids);
    for (uint32_t i = 0; i < n_running; i++)
        vehicle(out, ids[i]);
}

static size_t put(uint8_t *at, size_t used, struct traci_out *out)
{
    uint16_t size = (uint16_t)out->size;
    memcpy(at + used, &size, sizeof(size));
    memcpy(at + used + sizeof(size), out->at, out->size);
    out->size = 0;
    return used + sizeof(size) + size;
}

static size_t make_extended(struct rng *rng, uint8_t *at, size_t used, struct traci_out *out)
{
    static const char *const ids[] = {"v.0", "v.1", "v.2", "v.3"};
    traci_status(out, TRACI_SUBSCRIBE_SIMULATION, 0, ""); /* of what was subscribed before */
    used = put(at, used, out);
    values(out, true, 0, NULL);
    used = put(at, used, out);
    traci_status(out, TRACI_SUBSCRIBE_VEHICLE, 0, ""); /* all that depart */
    used = put(at, used, out);
    strings_of(out, TRACI_GET_VEHICLE, TRACI_IDS, 0, NULL); /* none is there yet */
    used = put(at, used, out);
    for (uint32_t i = 0; i < 2 + rng_below(rng, 3); i++) {
        traci_status(out, TRACI_SET_SIGNAL, rng_below(rng, 4) ? 0 : 0xff, "");
        if (i % 2) {
            traci_status(out, TRACI_STEP, 0, "");
            traci_i32(out, 0);
        }
        uint32_t n = rng_below(rng, 4);
        step(out, n, n, ids);
        used = put(at, used, out);
    }
    return used;
}

static size_t make_polled(struct rng *rng, uint8_t *at, size_t used, struct traci_out *out,
                          bool on_lane)
{
    static const char *const ids[] = {"v.0", "v.1", "v.2", "v.3"};
    uint32_t running = 0;
    wanted(out, false, 0, NULL);
    used = put(at, used, out);
    strings_of(out, TRACI_GET_VEHICLE, TRACI_IDS, 0, NULL);
    used = put(at, used, out);
    for (uint32_t i = 0; i < 2 + rng_below(rng, 3); i++) {
        traci_status(out, TRACI_SET_SIGNAL, rng_below(rng, 4) ? 0 : 0xff, "");
        used = put(at, used, out);
        for (uint32_t k = 0; k < 1 + i % 2; k++) { /* a leg, then the step */
            traci_status(out, TRACI_STEP, 0, "");
            traci_i32(out, 0);
            used = put(at, used, out);
            if (k < i % 2) {
                counters(out, true, 0, NULL);
                used = put(at, used, out);
            }
        }
        uint32_t n = rng_below(rng, 4);
        wanted(out, true, n, ids);
        used = put(at, used, out);
        running = on_lane ? n : running + n;
        for (uint32_t k = 0; k < running; k++)
            polled_vehicle(out, on_lane);
        if (running)
            used = put(at, used, out);
    }
    return used;
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    struct traci_out out = {0};
    size_t used = 1;
    void (*const parts[])(struct traci_out *) = {greeting, lane_list, link_list, program_list,
                                                 next_list};
    at[0] = (uint8_t)rng_below(rng, 4);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        parts[i](&out);
        used = put(at, used, &out);
    }
    used = at[0] & 1 ? make_extended(rng, at, used, &out)
                     : make_polled(rng, at, used, &out, at[0] & 2);
    traci_out_free(&out);
    return used;
}
