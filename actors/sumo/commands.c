/* Commands, which go out with the next step. What SUMO would take and choke on later is refused
 * here: a state of the wrong length ends a simulation one step after it was set, and a speed that
 * is not a number is driven. */
#include <math.h>
#include <string.h>

#include "actors/sumo/internal.h"

#define STATE_LETTERS "rugGyYsoO"

static int check_signal(struct sumo_sim *sim, uint32_t signal)
{
    int rc = sumo_ready(sim);
    return rc ? rc : sumo_net_check_signal(sim, signal);
}

static int check_vehicle(struct sumo_sim *sim, uint32_t vehicle)
{
    int rc = sumo_ready(sim);
    if (rc == 0 && vehicle >= sim->vehicles.n)
        rc = sumo_fail(
            sim, RTC_E_INVALID,
            "vehicle number %u; %u were seen since the reset: subscribe to vehicles, or to "
            "events",
            vehicle, sim->vehicles.n);
    return rc;
}

static int check_seconds(struct sumo_sim *sim, const char *what, const char *id, double seconds)
{
    if (isfinite(seconds) && seconds >= 0)
        return 0;
    return sumo_fail(sim, RTC_E_INVALID, "a %s of %g s for '%s'; give 0 or more", what, seconds,
                     id);
}

static int check_state(struct sumo_sim *sim, uint32_t signal, const char *state)
{
    uint32_t size;
    int rc = sumo_net_signal_size(sim, signal, &size);
    if (rc != 0)
        return rc;
    if (strlen(state) != size)
        return sumo_fail(
            sim, RTC_E_INVALID,
            "the state '%s' has %zu letters; signal '%s' of '%s' has %u links, and needs one "
            "for each",
            state, strlen(state), sim->signals.name[signal], sumo_input_name(sim), size);
    size_t good = strspn(state, STATE_LETTERS);
    if (state[good])
        return sumo_fail(
            sim, RTC_E_INVALID,
            "the letter '%c' in the state '%s' for signal '%s'; there are " STATE_LETTERS,
            state[good], state, sim->signals.name[signal]);
    return 0;
}

static size_t begin(struct sumo_sim *sim, uint8_t command, uint8_t variable, const char *id)
{
    return traci_set(&sim->out, command, variable, id);
}

static int end(struct sumo_sim *sim, size_t begun)
{
    traci_end(&sim->out, begun);
    sim->queue.n++;
    sim->queue.n_open++;
    return 0;
}

/* ---- Signals ---- */

static int queue_text(struct sumo_sim *sim, uint32_t signal, uint8_t variable, const char *text)
{
    size_t begun = begin(sim, TRACI_SET_SIGNAL, variable, sim->signals.name[signal]);
    traci_put_text(&sim->out, text);
    return end(sim, begun);
}

int sumo_sim_set_state(struct sumo_sim *sim, uint32_t signal, const char *state)
{
    int rc = check_signal(sim, signal);
    if (rc == 0)
        rc = check_state(sim, signal, state);
    return rc ? rc : queue_text(sim, signal, TRACI_STATE, state);
}

int sumo_sim_set_program(struct sumo_sim *sim, uint32_t signal, const char *program)
{
    int rc = check_signal(sim, signal);
    return rc ? rc : queue_text(sim, signal, TRACI_PROGRAM, program);
}

int sumo_sim_set_phase(struct sumo_sim *sim, uint32_t signal, uint32_t phase)
{
    int rc = check_signal(sim, signal);
    if (rc == 0 && phase > INT32_MAX)
        rc = sumo_fail(sim, RTC_E_INVALID, "phase %u of signal '%s'", phase,
                       sim->signals.name[signal]);
    if (rc != 0)
        return rc;
    size_t begun = begin(sim, TRACI_SET_SIGNAL, TRACI_PHASE, sim->signals.name[signal]);
    traci_put_i32(&sim->out, (int32_t)phase);
    return end(sim, begun);
}

int sumo_sim_set_phase_duration(struct sumo_sim *sim, uint32_t signal, double seconds)
{
    int rc = check_signal(sim, signal);
    if (rc == 0)
        rc = check_seconds(sim, "phase", sim->signals.name[signal], seconds);
    if (rc != 0)
        return rc;
    size_t begun = begin(sim, TRACI_SET_SIGNAL, TRACI_PHASE_DURATION, sim->signals.name[signal]);
    traci_put_f64(&sim->out, seconds);
    return end(sim, begun);
}

static int check_program(struct sumo_sim *sim, uint32_t signal, const struct sumo_program *program)
{
    const char *id = sim->signals.name[signal];
    int rc = 0;
    if (program->n_phases == 0 || program->phase < 0 ||
        (uint32_t)program->phase >= program->n_phases)
        return sumo_fail(sim, RTC_E_INVALID,
                         "program '%s' for signal '%s' begins with phase %d of %u", program->id, id,
                         program->phase, program->n_phases);
    for (uint32_t i = 0; i < program->n_phases && rc == 0; i++) {
        rc = check_state(sim, signal, program->phases[i].state);
        if (rc == 0)
            rc = check_seconds(sim, "phase", id, program->phases[i].duration);
    }
    return rc;
}

int sumo_sim_set_program_logic(struct sumo_sim *sim, uint32_t signal,
                               const struct sumo_program *program)
{
    int rc = check_signal(sim, signal);
    if (rc == 0)
        rc = check_program(sim, signal, program);
    if (rc != 0)
        return rc;
    struct traci_out *out = &sim->out;
    size_t begun = begin(sim, TRACI_SET_SIGNAL, TRACI_SET_LOGIC, sim->signals.name[signal]);
    traci_put_compound(out, 5);
    traci_put_text(out, program->id);
    traci_put_i32(out, program->type);
    traci_put_i32(out, program->phase);
    traci_put_compound(out, program->n_phases);
    for (uint32_t i = 0; i < program->n_phases; i++) {
        const struct sumo_phase *phase = &program->phases[i];
        traci_put_compound(out, 6);
        traci_put_f64(out, phase->duration);
        traci_put_text(out, phase->state);
        traci_put_f64(out, phase->min_duration > 0 ? phase->min_duration : phase->duration);
        traci_put_f64(out, phase->max_duration > 0 ? phase->max_duration : phase->duration);
        traci_put_compound(out, 0); /* what follows: the next one */
        traci_put_text(out, "");
    }
    traci_put_compound(out, 0); /* parameters */
    return end(sim, begun);
}

/* ---- Vehicles ---- */

int sumo_sim_set_speed(struct sumo_sim *sim, uint32_t vehicle, double speed)
{
    int rc = check_vehicle(sim, vehicle);
    if (rc == 0 && (!isfinite(speed) || (speed < 0 && speed != -1)))
        rc = sumo_fail(sim, RTC_E_INVALID,
                       "a speed of %g m/s for vehicle '%s'; give 0 or more, or -1 to let it drive",
                       speed, sim->vehicles.name[vehicle]);
    if (rc != 0)
        return rc;
    size_t begun = begin(sim, TRACI_SET_VEHICLE, TRACI_SPEED, sim->vehicles.name[vehicle]);
    traci_put_f64(&sim->out, speed);
    return end(sim, begun);
}

int sumo_sim_slow_down(struct sumo_sim *sim, uint32_t vehicle, double speed, double seconds)
{
    int rc = check_vehicle(sim, vehicle);
    if (rc == 0 && (!isfinite(speed) || speed < 0))
        rc = sumo_fail(sim, RTC_E_INVALID, "a speed of %g m/s for vehicle '%s'; give 0 or more",
                       speed, sim->vehicles.name[vehicle]);
    if (rc == 0)
        rc = check_seconds(sim, "time to slow down", sim->vehicles.name[vehicle], seconds);
    if (rc != 0)
        return rc;
    size_t begun = begin(sim, TRACI_SET_VEHICLE, TRACI_SLOW_DOWN, sim->vehicles.name[vehicle]);
    traci_put_compound(&sim->out, 2);
    traci_put_f64(&sim->out, speed);
    traci_put_f64(&sim->out, seconds);
    return end(sim, begun);
}

static int queue_mode(struct sumo_sim *sim, uint32_t vehicle, uint8_t variable, int32_t mode)
{
    int rc = check_vehicle(sim, vehicle);
    if (rc != 0)
        return rc;
    size_t begun = begin(sim, TRACI_SET_VEHICLE, variable, sim->vehicles.name[vehicle]);
    traci_put_i32(&sim->out, mode);
    return end(sim, begun);
}

int sumo_sim_set_speed_mode(struct sumo_sim *sim, uint32_t vehicle, int32_t mode)
{
    return queue_mode(sim, vehicle, TRACI_SPEED_MODE, mode);
}

int sumo_sim_set_lane_change_mode(struct sumo_sim *sim, uint32_t vehicle, int32_t mode)
{
    return queue_mode(sim, vehicle, TRACI_LANE_CHANGE_MODE, mode);
}

int sumo_sim_change_lane(struct sumo_sim *sim, uint32_t vehicle, uint32_t lane_index,
                         double seconds)
{
    int rc = check_vehicle(sim, vehicle);
    if (rc == 0)
        rc = check_seconds(sim, "time on the lane", sim->vehicles.name[vehicle], seconds);
    if (rc == 0 && lane_index > INT8_MAX)
        rc = sumo_fail(sim, RTC_E_INVALID, "lane index %u for vehicle '%s'", lane_index,
                       sim->vehicles.name[vehicle]);
    if (rc != 0)
        return rc;
    size_t begun = begin(sim, TRACI_SET_VEHICLE, TRACI_CHANGE_LANE, sim->vehicles.name[vehicle]);
    traci_put_compound(&sim->out, 2);
    traci_u8(&sim->out, TRACI_BYTE);
    traci_u8(&sim->out, (uint8_t)lane_index);
    traci_put_f64(&sim->out, seconds);
    return end(sim, begun);
}

/* ---- Names ---- */

const char *sumo_sim_vehicle_name(const struct sumo_sim *sim, uint32_t vehicle)
{
    return vehicle < sim->vehicles.n ? sim->vehicles.name[vehicle] : NULL;
}

uint32_t sumo_sim_vehicle(const struct sumo_sim *sim, const char *id)
{
    return names_find(&sim->vehicles, id, strlen(id));
}
