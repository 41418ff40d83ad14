#include "actors/sumo/traci.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN    4096u
#define END_OF_TIME 1e9 /* s; 30 years of simulation. SUMO counts milliseconds in 64 bits */

/* ---- Writing ---- */

static uint8_t *more(struct traci_out *out, size_t size)
{
    if (out->failed)
        return NULL;
    if (size > out->room - out->size) {
        size_t room = out->room < ROOM_MIN ? ROOM_MIN : out->room * 2;
        while (room - out->size < size)
            room *= 2;
        uint8_t *at = out->fixed ? NULL : realloc(out->at, room);
        if (!at) {
            out->failed = true;
            return NULL;
        }
        out->at = at;
        out->room = room;
    }
    uint8_t *at = out->at + out->size;
    out->size += size;
    return at;
}

void traci_out_free(struct traci_out *out)
{
    if (!out->fixed)
        free(out->at);
    *out = (struct traci_out){0};
}

void traci_u8(struct traci_out *out, uint8_t value)
{
    uint8_t *at = more(out, 1);
    if (at)
        *at = value;
}

static void put32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof(value));
}

void traci_i32(struct traci_out *out, int32_t value)
{
    uint8_t *at = more(out, 4);
    if (at)
        put32(at, (uint32_t)value);
}

void traci_f64(struct traci_out *out, double value)
{
    uint8_t *at = more(out, 8);
    uint64_t bits;
    if (!at)
        return;
    memcpy(&bits, &value, sizeof(bits));
    bits = __builtin_bswap64(bits);
    memcpy(at, &bits, sizeof(bits));
}

void traci_string(struct traci_out *out, const char *text, size_t size)
{
    if (size > INT32_MAX) {
        out->failed = true;
        return;
    }
    traci_i32(out, (int32_t)size);
    uint8_t *at = more(out, size);
    if (at && size)
        memcpy(at, text, size);
}

void traci_text(struct traci_out *out, const char *text)
{
    traci_string(out, text, strlen(text));
}

void traci_put_i32(struct traci_out *out, int32_t value)
{
    traci_u8(out, TRACI_INT);
    traci_i32(out, value);
}

void traci_put_f64(struct traci_out *out, double value)
{
    traci_u8(out, TRACI_DOUBLE);
    traci_f64(out, value);
}

void traci_put_string(struct traci_out *out, const char *text, size_t size)
{
    traci_u8(out, TRACI_STRING);
    traci_string(out, text, size);
}

void traci_put_text(struct traci_out *out, const char *text)
{
    traci_put_string(out, text, strlen(text));
}

void traci_put_compound(struct traci_out *out, uint32_t n)
{
    traci_u8(out, TRACI_COMPOUND);
    traci_i32(out, (int32_t)n);
}

/* Always in the long form, whose length can be filled in afterwards. */
size_t traci_begin(struct traci_out *out, uint8_t command)
{
    size_t begun = out->size;
    traci_u8(out, 0);
    traci_i32(out, 0);
    traci_u8(out, command);
    return begun;
}

void traci_end(struct traci_out *out, size_t begun)
{
    if (!out->failed)
        put32(out->at + begun + 1, (uint32_t)(out->size - begun));
}

size_t traci_set(struct traci_out *out, uint8_t command, uint8_t variable, const char *id)
{
    size_t begun = traci_begin(out, command);
    traci_u8(out, variable);
    traci_text(out, id);
    return begun;
}

void traci_get(struct traci_out *out, uint8_t command, uint8_t variable, const char *id)
{
    size_t begun = traci_set(out, command, variable, id);
    if (command == TRACI_GET_VEHICLE && variable == TRACI_LEADER)
        traci_put_f64(out, TRACI_LEADER_M);
    traci_end(out, begun);
}

void traci_subscribe(struct traci_out *out, uint8_t command, const char *id,
                     const uint8_t *variables, uint8_t n)
{
    size_t begun = traci_begin(out, command);
    traci_f64(out, 0);
    traci_f64(out, END_OF_TIME);
    traci_text(out, id);
    traci_u8(out, n);
    for (uint8_t i = 0; i < n; i++) {
        traci_u8(out, variables[i]);
        if (variables[i] == TRACI_LEADER)
            traci_put_f64(out, TRACI_LEADER_M);
    }
    traci_end(out, begun);
}

void traci_step(struct traci_out *out, double until)
{
    size_t begun = traci_begin(out, TRACI_STEP);
    traci_f64(out, until);
    traci_end(out, begun);
}

void traci_load(struct traci_out *out, const char *const *arguments, uint32_t n)
{
    size_t begun = traci_begin(out, TRACI_LOAD);
    traci_u8(out, TRACI_STRINGS);
    traci_i32(out, (int32_t)n);
    for (uint32_t i = 0; i < n; i++)
        traci_text(out, arguments[i]);
    traci_end(out, begun);
}

void traci_status(struct traci_out *out, uint8_t command, uint8_t result, const char *text)
{
    size_t begun = traci_begin(out, command);
    traci_u8(out, result);
    traci_text(out, text);
    traci_end(out, begun);
}

/* ---- Reading ---- */

struct traci_in traci_in(const void *bytes, size_t size)
{
    return (struct traci_in){.at = bytes, .end = (const uint8_t *)bytes + size};
}

static const uint8_t *take(struct traci_in *in, size_t size)
{
    if (in->bad || size > (size_t)(in->end - in->at)) {
        in->bad = true;
        return NULL;
    }
    const uint8_t *at = in->at;
    in->at += size;
    return at;
}

uint8_t traci_in_u8(struct traci_in *in)
{
    const uint8_t *at = take(in, 1);
    return at ? *at : 0;
}

int32_t traci_in_i32(struct traci_in *in)
{
    const uint8_t *at = take(in, 4);
    uint32_t value = 0;
    if (at)
        memcpy(&value, at, sizeof(value));
    return (int32_t)__builtin_bswap32(value);
}

double traci_in_f64(struct traci_in *in)
{
    const uint8_t *at = take(in, 8);
    uint64_t bits = 0;
    double value;
    if (at)
        memcpy(&bits, at, sizeof(bits));
    bits = __builtin_bswap64(bits);
    memcpy(&value, &bits, sizeof(value));
    return value;
}

struct traci_text traci_in_text(struct traci_in *in)
{
    int32_t size = traci_in_i32(in);
    const uint8_t *at = size < 0 ? NULL : take(in, (size_t)size);
    if (!at) {
        in->bad = true;
        return (struct traci_text){.at = ""};
    }
    return (struct traci_text){.at = (const char *)at, .size = (uint32_t)size};
}

uint32_t traci_in_count(struct traci_in *in, size_t least)
{
    int32_t n = traci_in_i32(in);
    if (n < 0 || (size_t)n > (size_t)(in->end - in->at) / least) {
        in->bad = true;
        return 0;
    }
    return (uint32_t)n;
}

/* Compounds contain typed values, of which some may be compounds again. */
static void skip_nested(struct traci_in *in, uint8_t type, unsigned depth)
{
    uint32_t n;
    switch (type) {
    case TRACI_POSITION_2D: take(in, 16); break;
    case TRACI_POSITION_3D: take(in, 24); break;
    case TRACI_UBYTE:
    case TRACI_BYTE: take(in, 1); break;
    case TRACI_INT:
    case TRACI_COLOR: take(in, 4); break;
    case TRACI_DOUBLE: take(in, 8); break;
    case TRACI_STRING: traci_in_text(in); break;
    case TRACI_DOUBLES: take(in, 8 * (size_t)traci_in_count(in, 8)); break;
    case TRACI_STRINGS:
        n = traci_in_count(in, 4);
        for (uint32_t i = 0; i < n; i++)
            traci_in_text(in);
        break;
    case TRACI_COMPOUND:
        n = traci_in_count(in, 2);
        for (uint32_t i = 0; i < n && !in->bad; i++) {
            if (depth == 0)
                in->bad = true;
            else
                skip_nested(in, traci_in_u8(in), depth - 1);
        }
        break;
    default: in->bad = true;
    }
}

void traci_in_skip(struct traci_in *in, uint8_t type)
{
    skip_nested(in, type, 8);
}

int32_t traci_typed_i32(struct traci_in *in)
{
    if (traci_in_u8(in) != TRACI_INT)
        in->bad = true;
    return in->bad ? 0 : traci_in_i32(in);
}

double traci_typed_f64(struct traci_in *in)
{
    if (traci_in_u8(in) != TRACI_DOUBLE)
        in->bad = true;
    return in->bad ? 0 : traci_in_f64(in);
}

struct traci_text traci_typed_text(struct traci_in *in)
{
    if (traci_in_u8(in) != TRACI_STRING)
        in->bad = true;
    return traci_in_text(in);
}

double traci_in_number(struct traci_in *in, uint8_t type)
{
    switch (type) {
    case TRACI_DOUBLE: return traci_in_f64(in);
    case TRACI_INT: return traci_in_i32(in);
    case TRACI_UBYTE: return traci_in_u8(in);
    case TRACI_BYTE: return (int8_t)traci_in_u8(in);
    default: in->bad = true; return 0;
    }
}

uint8_t traci_in_begin(struct traci_in *in, struct traci_in *ret_contents)
{
    const uint8_t *begun = in->at;
    *ret_contents = (struct traci_in){.at = in->end, .end = in->end, .bad = true};
    size_t size = traci_in_u8(in);
    if (size == 0) {
        int32_t longer = traci_in_i32(in);
        size = longer < 0 ? 0 : (size_t)longer;
    }
    uint8_t id = traci_in_u8(in);
    if (in->bad || size < (size_t)(in->at - begun) || size > (size_t)(in->end - begun)) {
        in->bad = true;
        return 0;
    }
    *ret_contents = traci_in(in->at, size - (size_t)(in->at - begun));
    in->at = begun + size;
    return id;
}

uint8_t traci_in_variables(struct traci_in *in, uint8_t *ret_variables)
{
    uint8_t n = traci_in_u8(in);
    for (uint8_t i = 0; i < n; i++) {
        ret_variables[i] = traci_in_u8(in);
        if (ret_variables[i] == TRACI_LEADER && !(traci_typed_f64(in) == TRACI_LEADER_M))
            in->bad = true; /* the worker looks no other distance ahead */
    }
    return in->bad ? 0 : n;
}

struct traci_result traci_in_status(struct traci_in *in)
{
    struct traci_in contents;
    struct traci_result result = {.command = traci_in_begin(in, &contents)};
    result.result = traci_in_u8(&contents);
    result.text = traci_in_text(&contents);
    if (contents.bad)
        in->bad = true;
    return result;
}

bool traci_in_get(struct traci_in *in, uint8_t command, uint8_t variable, uint8_t *ret_type,
                  struct traci_in *ret_value, struct traci_result *ret_result)
{
    struct traci_in contents;
    *ret_result = traci_in_status(in);
    if (in->bad || ret_result->command != command)
        in->bad = true;
    if (in->bad || ret_result->result != 0)
        return false;
    if (traci_in_begin(in, &contents) != (uint8_t)(command + TRACI_ANSWER) ||
        traci_in_u8(&contents) != variable)
        in->bad = true;
    traci_in_text(&contents);
    *ret_type = traci_in_u8(&contents);
    *ret_value = contents;
    if (contents.bad)
        in->bad = true;
    return !in->bad;
}
