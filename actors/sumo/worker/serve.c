#include "actors/sumo/worker/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/sumo/worker/shim.h"

#define ID_MAX        4096u
#define REFUSED       0xff
#define NOT_SUPPORTED 0x01

/* The log is where both backends say what went wrong. */
static void say(const char *why)
{
    fprintf(stderr, "Error: %s\n", why);
    fflush(stderr);
}

static bool take_id(struct traci_in *in, char *id)
{
    struct traci_text text = traci_in_text(in);
    if (in->bad || text.size >= ID_MAX)
        return false;
    memcpy(id, text.at, text.size);
    id[text.size] = '\0';
    return true;
}

static bool load(struct traci_in *in, char *why)
{
    const char **arguments = NULL;
    uint32_t n = 0;
    bool good = false;
    snprintf(why, SHIM_WHY_MAX, "a load without its list of arguments");
    if (traci_in_u8(in) == TRACI_STRINGS &&
        (arguments = calloc((n = traci_in_count(in, 4)) + 1, sizeof(*arguments)))) {
        for (uint32_t i = 0; i < n; i++) {
            struct traci_text text = traci_in_text(in);
            arguments[i] = strndup(text.at, text.size);
            in->bad = in->bad || !arguments[i];
        }
        good = !in->bad && shim_load(arguments, n, why);
    }
    for (uint32_t i = 0; arguments && i < n; i++)
        free((void *)(uintptr_t)arguments[i]);
    free(arguments);
    return good;
}

static void serve_version(struct traci_out *out)
{
    traci_status(out, TRACI_VERSION_ASK, 0, "");
    size_t begun = traci_begin(out, TRACI_VERSION_ASK);
    traci_i32(out, shim_api());
    traci_text(out, shim_version());
    traci_end(out, begun);
}

/* The status stands before what it is about: written over when that failed. */
static void serve_get(uint8_t command, struct traci_in *in, struct traci_out *out)
{
    char why[SHIM_WHY_MAX] = "malformed", id[ID_MAX];
    size_t at = out->size;
    uint8_t variable = traci_in_u8(in);
    bool good = take_id(in, id);
    traci_status(out, command, 0, "");
    if (good) {
        size_t begun = traci_begin(out, (uint8_t)(command + TRACI_ANSWER));
        traci_u8(out, variable);
        traci_text(out, id);
        good = shim_get(command, variable, id, out, why);
        traci_end(out, begun);
    }
    if (!good) {
        out->size = at;
        traci_status(out, command, REFUSED, why);
    }
}

static void serve_set(uint8_t command, struct traci_in *in, struct traci_out *out)
{
    char why[SHIM_WHY_MAX] = "malformed", id[ID_MAX];
    uint8_t variable = traci_in_u8(in);
    bool good = take_id(in, id) && shim_set(command, variable, id, in, why);
    traci_status(out, command, good ? 0 : REFUSED, good ? "" : why);
}

static void serve_subscribe(uint8_t command, struct traci_in *in, struct traci_out *out)
{
    char why[SHIM_WHY_MAX] = "malformed", id[ID_MAX];
    size_t at = out->size;
    (void)traci_in_f64(in); /* from the beginning of time to its end: nobody asks for less */
    (void)traci_in_f64(in);
    uint8_t variables[UINT8_MAX];
    bool good = take_id(in, id);
    uint8_t n = traci_in_variables(in, variables);
    if (in->bad)
        good = false;
    if (good && command == TRACI_SUBSCRIBE_VEHICLE && !id[0]) {
        shim_follow(variables, n);
        traci_status(out, command, 0, "");
        return;
    }
    if (good && n == 0) {
        good = shim_unsubscribe(command, id);
        traci_status(out, command, good ? 0 : REFUSED, good ? "" : "there is no such subscription");
        return;
    }
    traci_status(out, command, 0, "");
    if (!good || !shim_subscribe(command, id, variables, n, out, why)) {
        out->size = at;
        traci_status(out, command, REFUSED, why);
    }
}

static enum serve_next serve_step(struct traci_in *in, struct traci_out *out)
{
    char why[SHIM_WHY_MAX] = "malformed";
    double until = traci_in_f64(in);
    bool leg = until < 0;
    if (in->bad || !shim_step(leg ? -until : until, why)) {
        say(why);
        traci_status(out, TRACI_STEP, REFUSED, why);
        traci_i32(out, 0);
        return SERVE_BROKEN;
    }
    traci_status(out, TRACI_STEP, 0, "");
    if (leg)
        shim_collect_leg(out);
    else
        shim_collect(out);
    return SERVE_ON;
}

static enum serve_next serve_command(uint8_t command, struct traci_in *in, struct traci_out *out)
{
    char why[SHIM_WHY_MAX];
    switch (command) {
    case TRACI_VERSION_ASK: serve_version(out); return SERVE_ON;
    case TRACI_STEP: return serve_step(in, out);
    case TRACI_LOAD:
        if (load(in, why)) {
            traci_status(out, command, 0, "");
            return SERVE_ON;
        }
        say(why);
        traci_status(out, command, REFUSED, why);
        return SERVE_BROKEN;
    case TRACI_CLOSE:
        shim_close();
        traci_status(out, command, 0, "");
        return SERVE_CLOSED;
    case TRACI_GET_SIGNAL:
    case TRACI_GET_LANE:
    case TRACI_GET_VEHICLE:
    case TRACI_GET_TYPE:
    case TRACI_GET_SIMULATION: serve_get(command, in, out); return SERVE_ON;
    case TRACI_SET_SIGNAL:
    case TRACI_SET_VEHICLE: serve_set(command, in, out); return SERVE_ON;
    case TRACI_SUBSCRIBE_SIGNAL:
    case TRACI_SUBSCRIBE_LANE:
    case TRACI_SUBSCRIBE_VEHICLE:
    case TRACI_SUBSCRIBE_SIMULATION: serve_subscribe(command, in, out); return SERVE_ON;
    default:
        traci_status(out, command, NOT_SUPPORTED, "a command that rtc never sends");
        return SERVE_ON;
    }
}

enum serve_next serve_message(struct traci_in request, struct traci_out *answer)
{
    enum serve_next next = SERVE_ON;
    while (next == SERVE_ON && request.at < request.end) {
        struct traci_in contents;
        uint8_t command = traci_in_begin(&request, &contents);
        if (request.bad) {
            say("a request was malformed");
            return SERVE_BROKEN;
        }
        next = serve_command(command, &contents, answer);
    }
    if (answer->failed) {
        say("more was asked for than one answer takes");
        return SERVE_BROKEN;
    }
    return next;
}
