/* The bytes of TraCI: what `sumo` and `rtc-sumo-worker` are asked, and what they answer. Numbers
 * are big endian. A message is a row of commands; its answer is a row of statuses, each followed by
 * what the command brought. Pure: no I/O. A reader takes any bytes; after the first that do not fit
 * it is `bad` and gives zeros. */
#ifndef ACTORS_SUMO_TRACI_H
#define ACTORS_SUMO_TRACI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum traci_command {
    TRACI_VERSION_ASK = 0x00,
    TRACI_LOAD = 0x01,
    TRACI_STEP = 0x02,
    TRACI_CLOSE = 0x7f,
    TRACI_GET_SIGNAL = 0xa2,
    TRACI_GET_LANE = 0xa3,
    TRACI_GET_VEHICLE = 0xa4,
    TRACI_GET_TYPE = 0xa5,
    TRACI_GET_SIMULATION = 0xab,
    TRACI_SET_SIGNAL = 0xc2,
    TRACI_SET_VEHICLE = 0xc4,
    TRACI_SUBSCRIBE_SIGNAL = 0xd2,
    TRACI_SUBSCRIBE_LANE = 0xd3,
    TRACI_SUBSCRIBE_VEHICLE = 0xd4,
    TRACI_SUBSCRIBE_SIMULATION = 0xdb,
};
#define TRACI_ANSWER     0x10 /* a get's or a subscription's answer is its command plus this */
#define TRACI_SUBSCRIBED 0x30 /* a subscription is the get plus this */
#define TRACI_LEADER_M   250.0 /* m ahead that a leader is looked for: gets and subscriptions say it */

enum traci_type {
    TRACI_POSITION_2D = 0x01,
    TRACI_POSITION_3D = 0x03,
    TRACI_UBYTE = 0x07,
    TRACI_BYTE = 0x08,
    TRACI_INT = 0x09,
    TRACI_DOUBLE = 0x0b,
    TRACI_STRING = 0x0c,
    TRACI_STRINGS = 0x0e,
    TRACI_COMPOUND = 0x0f,
    TRACI_DOUBLES = 0x10,
    TRACI_COLOR = 0x11,
};

enum traci_variable { /* those that are not in the maps of sim.h */
                      TRACI_IDS = 0x00,
                      TRACI_CHANGE_LANE = 0x13,
                      TRACI_SLOW_DOWN = 0x14,
                      TRACI_STATE = 0x20,
                      TRACI_PHASE = 0x22,
                      TRACI_PROGRAM = 0x23,
                      TRACI_PHASE_DURATION = 0x24,
                      TRACI_LINKS = 0x27,
                      TRACI_PROGRAMS = 0x2b,
                      TRACI_SET_LOGIC = 0x2c,
                      TRACI_LANE_LINKS = 0x33,
                      TRACI_SPEED = 0x40,
                      TRACI_MAX_SPEED = 0x41,
                      TRACI_LENGTH = 0x44,
                      TRACI_MIN_GAP = 0x4c,
                      TRACI_TYPE = 0x4f,
                      TRACI_TIME = 0x66,
                      TRACI_LEADER = 0x68,
                      TRACI_LOADED = 0x71,
                      TRACI_DEPARTED = 0x73,
                      TRACI_DEPARTED_IDS = 0x74,
                      TRACI_TELEPORTS_BEGUN = 0x75,
                      TRACI_TELEPORTED_IDS = 0x76,
                      TRACI_TELEPORTS_ENDED = 0x77,
                      TRACI_ARRIVED = 0x79,
                      TRACI_ARRIVED_IDS = 0x7a,
                      TRACI_DELTA_T = 0x7b,
                      TRACI_MIN_EXPECTED = 0x7d,
                      TRACI_COLLISIONS = 0x80,
                      TRACI_COLLIDED_IDS = 0x81,
                      TRACI_SPEED_MODE = 0xb3,
                      TRACI_LANE_CHANGE_MODE = 0xb6,
};

/* ---- Writing ---- */

struct traci_out {
    uint8_t *at;
    size_t size, room;
    bool fixed;  /* `at` is not ours to grow */
    bool failed; /* no memory, or no room: what was written since is lost */
};

void traci_out_free(struct traci_out *out);
void traci_u8(struct traci_out *out, uint8_t value);
void traci_i32(struct traci_out *out, int32_t value);
void traci_f64(struct traci_out *out, double value);
void traci_string(struct traci_out *out, const char *text, size_t size);
void traci_text(struct traci_out *out, const char *text);
/* A command, or an answer: begin, its contents, end with what begin returned. */
size_t traci_begin(struct traci_out *out, uint8_t command);
void traci_end(struct traci_out *out, size_t begun);
void traci_get(struct traci_out *out, uint8_t command, uint8_t variable, const char *id);
/* The beginning of a set command; the typed value and traci_end follow. */
size_t traci_set(struct traci_out *out, uint8_t command, uint8_t variable, const char *id);
/* Until the end of time. No variables: ends the subscription. */
void traci_subscribe(struct traci_out *out, uint8_t command, const char *id,
                     const uint8_t *variables, uint8_t n);
void traci_step(struct traci_out *out, double until);
void traci_load(struct traci_out *out, const char *const *arguments, uint32_t n);
/* With their type before them, and the beginning of a compound of n of them. */
void traci_put_i32(struct traci_out *out, int32_t value);
void traci_put_f64(struct traci_out *out, double value);
void traci_put_string(struct traci_out *out, const char *text, size_t size);
void traci_put_text(struct traci_out *out, const char *text);
void traci_put_compound(struct traci_out *out, uint32_t n);
void traci_status(struct traci_out *out, uint8_t command, uint8_t result, const char *text);

/* ---- Reading ---- */

struct traci_in {
    const uint8_t *at, *end;
    bool bad;
};

struct traci_text { /* not terminated; points into the message */
    const char *at;
    uint32_t size;
};

struct traci_in traci_in(const void *bytes, size_t size);
uint8_t traci_in_u8(struct traci_in *in);
int32_t traci_in_i32(struct traci_in *in);
double traci_in_f64(struct traci_in *in);
struct traci_text traci_in_text(struct traci_in *in);
/* A count of things of which each takes `least` bytes or more; what cannot be there is bad. */
uint32_t traci_in_count(struct traci_in *in, size_t least);
void traci_in_skip(struct traci_in *in,
                   uint8_t type); /* a value of the type; unknown types are bad */
/* With the type before it; another type is bad. */
int32_t traci_typed_i32(struct traci_in *in);
double traci_typed_f64(struct traci_in *in);
struct traci_text traci_typed_text(struct traci_in *in);
double traci_in_number(struct traci_in *in, uint8_t type); /* of any numeric type */

/* Enters a command or an answer: its id, and the reader of its contents; `in` goes behind it. */
uint8_t traci_in_begin(struct traci_in *in, struct traci_in *ret_contents);

/* The variables of a subscription, without what stands behind some of them; room for 255. Returns how
 * many they are. */
uint8_t traci_in_variables(struct traci_in *in, uint8_t *ret_variables);

struct traci_result {
    uint8_t command, result; /* 0: done */
    struct traci_text text;
};
struct traci_result traci_in_status(struct traci_in *in);
/* The answer to a get: leaves `ret_value` at the value, behind its type. False: refused or
 * malformed. */
bool traci_in_get(struct traci_in *in, uint8_t command, uint8_t variable, uint8_t *ret_type,
                  struct traci_in *ret_value, struct traci_result *ret_result);

#ifdef __cplusplus
}
#endif
#endif
