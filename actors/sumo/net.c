/* What does not change: the signals and lanes of the net, what signals control, their programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/sumo/internal.h"

/* ---- Lists of ids ---- */

static bool take_ids(struct traci_in *value, struct names *names)
{
    uint32_t n = traci_in_count(value, 4);
    names_clear(names);
    for (uint32_t i = 0; i < n; i++) {
        struct traci_text id = traci_in_text(value);
        if (names_add(names, id.at, id.size) == NAMES_NONE)
            return false;
    }
    return !value->bad;
}

static int take_greeting(struct sumo_sim *sim, struct traci_in *answer)
{
    struct traci_in value;
    struct traci_result result;
    uint8_t type;
    result = traci_in_status(answer);
    if (result.result != 0 || traci_in_begin(answer, &value) != TRACI_VERSION_ASK)
        return RTC_E_PROTOCOL;
    (void)traci_in_i32(&value);
    struct traci_text version = traci_in_text(&value);
    snprintf(sim->version, sizeof(sim->version), "%.*s",
             (int)(version.size < sizeof(sim->version) ? version.size : sizeof(sim->version) - 1),
             version.at);
    if (!traci_in_get(answer, TRACI_GET_SIMULATION, TRACI_TIME, &type, &value, &result))
        return RTC_E_PROTOCOL;
    sim->time = traci_in_number(&value, type);
    if (!traci_in_get(answer, TRACI_GET_SIMULATION, TRACI_DELTA_T, &type, &value, &result))
        return RTC_E_PROTOCOL;
    sim->step_length = traci_in_number(&value, type);
    if (sim->signal_size) /* known since the first time */
        return answer->bad ? RTC_E_PROTOCOL : 0;
    if (!traci_in_get(answer, TRACI_GET_SIGNAL, TRACI_IDS, &type, &value, &result) ||
        type != TRACI_STRINGS)
        return RTC_E_PROTOCOL;
    return take_ids(&value, &sim->signals) ? 0 : RTC_E_PROTOCOL;
}

int sumo_net_greet(struct sumo_sim *sim, uint64_t deadline_ms)
{
    struct traci_in answer;
    sumo_message(sim);
    traci_end(&sim->out, traci_begin(&sim->out, TRACI_VERSION_ASK));
    traci_get(&sim->out, TRACI_GET_SIMULATION, TRACI_TIME, "");
    traci_get(&sim->out, TRACI_GET_SIMULATION, TRACI_DELTA_T, "");
    if (!sim->signal_size)
        traci_get(&sim->out, TRACI_GET_SIGNAL, TRACI_IDS, "");
    int rc = sumo_ask_until(sim, deadline_ms, &answer);
    if (rc != 0)
        return rc;
    if (take_greeting(sim, &answer) != 0)
        return sumo_malformed(sim);
    int major = 0, minor = 0;
    if (sscanf(sim->version, "SUMO %d.%d", &major, &minor) == 2 &&
        (major < 1 || (major == 1 && minor < 14)))
        return sumo_fail(sim, RTC_E_UNSUPPORTED, "this is %s; 1.14 or later is needed",
                         sim->version);
    if (sim->signal_size)
        return 0;
    sim->signal_size = calloc(sim->signals.n + 1, sizeof(*sim->signal_size));
    return sim->signal_size ? 0 : sumo_fail(sim, RTC_E_NOMEM, "out of memory");
}

/* "a, b, c and 5 more" */
static void some_names(const struct names *names, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < names->n; i++) {
        const char *name = names->name[i];
        if (used + strlen(name) + 32 > size) {
            snprintf(text + used, size - used, " and %u more", names->n - i);
            return;
        }
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", name);
    }
}

static int unknown(struct sumo_sim *sim, const char *what, const char *id,
                   const struct names *names)
{
    char some[400];
    some_names(names, some, sizeof(some));
    if (names->n == 0)
        return sumo_fail(sim, RTC_E_NOT_FOUND, "no %s '%s' in '%s': its net has no %ss at all",
                         what, id, sumo_input_name(sim), what);
    return sumo_fail(sim, RTC_E_NOT_FOUND, "no %s '%s' in '%s'; there are %s", what, id,
                     sumo_input_name(sim), some);
}

uint32_t sumo_sim_n_signals(const struct sumo_sim *sim)
{
    return sim->signals.n;
}

const char *sumo_sim_signal_name(const struct sumo_sim *sim, uint32_t signal)
{
    return signal < sim->signals.n ? sim->signals.name[signal] : NULL;
}

int sumo_sim_signal(struct sumo_sim *sim, const char *id, uint32_t *ret_signal)
{
    uint32_t found = names_find(&sim->signals, id, strlen(id));
    if (found == NAMES_NONE)
        return unknown(sim, "signal", id, &sim->signals);
    *ret_signal = found;
    return 0;
}

uint32_t sumo_sim_n_lanes(struct sumo_sim *sim)
{
    return sumo_net_lanes(sim) == 0 ? sim->lanes.n : 0;
}

const char *sumo_sim_lane_name(struct sumo_sim *sim, uint32_t lane)
{
    return sumo_net_lanes(sim) == 0 && lane < sim->lanes.n ? sim->lanes.name[lane] : NULL;
}

int sumo_sim_lane(struct sumo_sim *sim, const char *id, uint32_t *ret_lane)
{
    int rc = sumo_net_lanes(sim);
    if (rc != 0)
        return rc;
    uint32_t found = names_find(&sim->lanes, id, strlen(id));
    if (found == NAMES_NONE)
        return unknown(sim, "lane", id, &sim->lanes);
    *ret_lane = found;
    return 0;
}

/* ---- What one thing is ---- */

/* Queued commands stay queued: a question is a message of its own, with a buffer of its own. */
static int ask_value(struct sumo_sim *sim, uint8_t command, uint8_t variable, const char *id,
                     uint8_t want, struct traci_in *ret_value)
{
    struct traci_in answer;
    struct traci_result result;
    uint8_t type;
    size_t queued = sim->out.size;
    struct sumo_queue queue = sim->queue;
    uint8_t *kept = NULL;
    int rc = sumo_ready(sim);
    if (rc != 0)
        return rc;
    if (queued > SUMO_PREFIX) {
        if (!(kept = malloc(queued)))
            return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
        memcpy(kept, sim->out.at, queued);
    }
    sumo_message(sim);
    traci_get(&sim->out, command, variable, id);
    rc = sumo_ask(sim, &answer);
    if (kept && rc == 0) {
        memcpy(sim->out.at, kept, queued);
        sim->out.size = queued;
        sim->queue = queue;
    }
    free(kept);
    if (rc != 0)
        return rc;
    if (traci_in_get(&answer, command, variable, &type, ret_value, &result) && type == want)
        return 0;
    if (answer.bad || result.result == 0)
        return sumo_malformed(sim);
    return sumo_fail(sim, RTC_E_DENIED, "SUMO says of '%s': %.*s", id, (int)result.text.size,
                     result.text.at);
}

/* Those of edges first: lanes inside junctions begin with a colon. */
int sumo_net_lanes(struct sumo_sim *sim)
{
    struct traci_in value;
    if (sim->knows_lanes)
        return 0;
    int rc = ask_value(sim, TRACI_GET_LANE, TRACI_IDS, "", TRACI_STRINGS, &value);
    if (rc != 0)
        return rc;
    for (int inside = 0; inside < 2; inside++) {
        struct traci_in at = value;
        uint32_t n = traci_in_count(&at, 4);
        for (uint32_t i = 0; i < n; i++) {
            struct traci_text id = traci_in_text(&at);
            if ((id.size > 0 && id.at[0] == ':') != (inside == 1))
                continue;
            if (names_add(&sim->lanes, id.at, id.size) == NAMES_NONE)
                return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
        }
        if (at.bad)
            return sumo_malformed(sim);
    }
    sim->knows_lanes = true;
    return 0;
}

int sumo_sim_type(struct sumo_sim *sim, const char *id, uint32_t *ret_type)
{
    struct traci_in value;
    uint32_t found = names_find(&sim->types, id, strlen(id));
    int rc = 0;
    if (found == NAMES_NONE)
        rc = ask_value(sim, TRACI_GET_TYPE, TRACI_IDS, "", TRACI_STRINGS, &value);
    uint32_t n = found == NAMES_NONE && rc == 0 ? traci_in_count(&value, 4) : 0;
    for (uint32_t i = 0; i < n; i++) {
        struct traci_text text = traci_in_text(&value);
        if (names_add(&sim->types, text.at, text.size) == NAMES_NONE)
            return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
    }
    if (rc != 0)
        return rc;
    if ((found = names_find(&sim->types, id, strlen(id))) == NAMES_NONE)
        return unknown(sim, "vehicle type", id, &sim->types);
    *ret_type = found;
    return 0;
}

const char *sumo_sim_type_name(const struct sumo_sim *sim, uint32_t type)
{
    return type < sim->types.n ? sim->types.name[type] : NULL;
}

int sumo_sim_lane_geometry(struct sumo_sim *sim, uint32_t lane, double *ret_length,
                           double *ret_max_speed)
{
    struct traci_in value;
    int rc = sumo_net_lanes(sim);
    if (rc != 0)
        return rc;
    if (lane >= sim->lanes.n)
        return sumo_fail(sim, RTC_E_INVALID, "lane number %u; there are %u", lane, sim->lanes.n);
    const char *id = sim->lanes.name[lane];
    if ((rc = ask_value(sim, TRACI_GET_LANE, TRACI_LENGTH, id, TRACI_DOUBLE, &value)))
        return rc;
    *ret_length = traci_in_f64(&value);
    if ((rc = ask_value(sim, TRACI_GET_LANE, TRACI_MAX_SPEED, id, TRACI_DOUBLE, &value)))
        return rc;
    *ret_max_speed = traci_in_f64(&value);
    return 0;
}

int sumo_net_check_signal(struct sumo_sim *sim, uint32_t signal)
{
    if (signal < sim->signals.n)
        return 0;
    return sumo_fail(sim, RTC_E_INVALID, "signal number %u; '%s' has %u", signal,
                     sumo_input_name(sim), sim->signals.n);
}

int sumo_net_signal_size(struct sumo_sim *sim, uint32_t signal, uint32_t *ret_size)
{
    struct traci_in value;
    int rc = sumo_net_check_signal(sim, signal);
    if (rc == 0 && sim->signal_size[signal] == 0) {
        rc = ask_value(sim, TRACI_GET_SIGNAL, TRACI_STATE, sim->signals.name[signal], TRACI_STRING,
                       &value);
        if (rc == 0)
            sim->signal_size[signal] = traci_in_text(&value).size;
    }
    if (rc == 0)
        *ret_size = sim->signal_size[signal];
    return rc;
}

/* ---- Links ---- */

static uint32_t lane_number(struct sumo_sim *sim, struct traci_text id)
{
    return id.size ? names_find(&sim->lanes, id.at, id.size) : SUMO_NONE;
}

/* int: how many indices; for each an int: how many links, and of each three lanes: from, to, via.
 */
static int take_links(struct sumo_sim *sim, struct traci_in *in, struct sumo_link **ret_links,
                      uint32_t *ret_n)
{
    struct sumo_link *links = NULL;
    uint32_t n_links = 0;
    (void)traci_in_count(in, 1); /* members of the compound */
    int32_t n = traci_typed_i32(in);
    for (int32_t i = 0; i < n && !in->bad; i++) {
        int32_t more = traci_typed_i32(in);
        for (int32_t k = 0; k < more && !in->bad; k++) {
            if (traci_in_u8(in) != TRACI_STRINGS || traci_in_count(in, 4) != 3)
                in->bad = true;
            struct sumo_link link = {.index = (uint32_t)i};
            link.from = lane_number(sim, traci_in_text(in));
            link.to = lane_number(sim, traci_in_text(in));
            link.via = lane_number(sim, traci_in_text(in));
            struct sumo_link *grown =
                in->bad ? NULL : realloc(links, (n_links + 1) * sizeof(*links));
            if (!grown) {
                in->bad = true;
                break;
            }
            links = grown;
            links[n_links++] = link;
        }
    }
    if (in->bad) {
        free(links);
        return sumo_malformed(sim);
    }
    *ret_links = links;
    *ret_n = n_links;
    return 0;
}

int sumo_sim_links(struct sumo_sim *sim, uint32_t signal, struct sumo_link **ret_links,
                   uint32_t *ret_n)
{
    struct traci_in value;
    int rc;
    if ((rc = sumo_net_check_signal(sim, signal)) || (rc = sumo_net_lanes(sim)))
        return rc;
    rc = ask_value(sim, TRACI_GET_SIGNAL, TRACI_LINKS, sim->signals.name[signal], TRACI_COMPOUND,
                   &value);
    return rc ? rc : take_links(sim, &value, ret_links, ret_n);
}

/* ---- Programs ---- */

void sumo_programs_free(struct sumo_program *programs, uint32_t n)
{
    for (uint32_t i = 0; programs && i < n; i++) {
        for (uint32_t k = 0; k < programs[i].n_phases; k++)
            free(programs[i].phases[k].state);
        free(programs[i].phases);
        free(programs[i].id);
    }
    free(programs);
}

static char *take_text(struct traci_in *in)
{
    struct traci_text text = traci_typed_text(in);
    char *made = in->bad ? NULL : strndup(text.at, text.size);
    in->bad = in->bad || !made;
    return made;
}

/* Typed members up to the end of a compound: what later versions of SUMO add is skipped. */
static void skip_members(struct traci_in *in, uint32_t n)
{
    for (uint32_t i = 0; i < n && !in->bad; i++)
        traci_in_skip(in, traci_in_u8(in));
}

static uint32_t begin_compound(struct traci_in *in, uint32_t least)
{
    uint32_t n = traci_in_u8(in) == TRACI_COMPOUND ? traci_in_count(in, 2) : 0;
    if (n < least)
        in->bad = true;
    return n;
}

static void take_phase(struct traci_in *in, struct sumo_phase *phase)
{
    uint32_t n = begin_compound(in, 4);
    phase->duration = traci_typed_f64(in);
    phase->state = take_text(in);
    phase->min_duration = traci_typed_f64(in);
    phase->max_duration = traci_typed_f64(in);
    if (!in->bad)
        skip_members(in, n - 4);
}

static void take_program(struct traci_in *in, struct sumo_program *program)
{
    uint32_t n = begin_compound(in, 4);
    program->id = take_text(in);
    program->type = traci_typed_i32(in);
    program->phase = traci_typed_i32(in);
    uint32_t n_phases = begin_compound(in, 0);
    program->phases = calloc(n_phases + 1, sizeof(*program->phases));
    if (!program->phases)
        in->bad = true;
    for (uint32_t i = 0; i < n_phases && !in->bad; i++) {
        program->n_phases = i + 1;
        take_phase(in, &program->phases[i]);
    }
    if (!in->bad)
        skip_members(in, n - 4);
}

int sumo_sim_programs(struct sumo_sim *sim, uint32_t signal, struct sumo_program **ret_programs,
                      uint32_t *ret_n)
{
    struct traci_in value;
    int rc = sumo_net_check_signal(sim, signal);
    if (rc != 0)
        return rc;
    rc = ask_value(sim, TRACI_GET_SIGNAL, TRACI_PROGRAMS, sim->signals.name[signal], TRACI_COMPOUND,
                   &value);
    if (rc != 0)
        return rc;
    uint32_t n = traci_in_count(&value, 2), taken = 0;
    struct sumo_program *programs = calloc(n + 1, sizeof(*programs));
    if (!programs)
        return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
    while (taken < n && !value.bad)
        take_program(&value, &programs[taken++]);
    if (value.bad) {
        sumo_programs_free(programs, taken);
        return sumo_malformed(sim);
    }
    *ret_programs = programs;
    *ret_n = n;
    return 0;
}

/* ---- Lanes behind lanes ---- */

/* int: how many links; of each eight: lane, lane inside the junction, three flags, state,
 * direction, length. */
static struct sumo_next take_next(struct sumo_sim *sim, struct traci_in *in)
{
    struct sumo_next next = {.lane = lane_number(sim, traci_typed_text(in)), .direction = '?'};
    skip_members(in, 5);
    struct traci_text direction = traci_typed_text(in);
    if (direction.size > 0)
        next.direction = direction.at[0];
    skip_members(in, 1);
    return next;
}

int sumo_sim_lane_next(struct sumo_sim *sim, uint32_t lane, struct sumo_next **ret_next,
                       uint32_t *ret_n)
{
    struct traci_in value;
    uint32_t n_next = 0;
    int rc = sumo_net_lanes(sim);
    if (rc == 0 && lane >= sim->lanes.n)
        rc = sumo_fail(sim, RTC_E_INVALID, "lane number %u; there are %u", lane, sim->lanes.n);
    if (rc == 0)
        rc = ask_value(sim, TRACI_GET_LANE, TRACI_LANE_LINKS, sim->lanes.name[lane], TRACI_COMPOUND,
                       &value);
    if (rc != 0)
        return rc;
    uint32_t members = traci_in_count(&value, 2);
    int32_t n = traci_typed_i32(&value);
    if (value.bad || n < 0 || (uint32_t)n > members)
        return sumo_malformed(sim);
    struct sumo_next *next = calloc((size_t)n + 1, sizeof(*next));
    if (!next)
        return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
    for (int32_t i = 0; i < n && !value.bad; i++) {
        next[n_next] = take_next(sim, &value);
        n_next += next[n_next].lane != SUMO_NONE;
    }
    if (value.bad) {
        free(next);
        return sumo_malformed(sim);
    }
    *ret_next = next;
    *ret_n = n_next;
    return 0;
}
