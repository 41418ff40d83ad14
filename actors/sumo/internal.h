/* What the sources of this library share. */
#ifndef ACTORS_SUMO_INTERNAL_H
#define ACTORS_SUMO_INTERNAL_H

#include "actors/sumo/names.h"
#include "actors/sumo/process.h"
#include "actors/sumo/sim.h"
#include "actors/sumo/traci.h"

#define SUMO_TIMEOUT_MS 60000u
#define SUMO_CLOSE_MS   10000u /* to write output files */
#define SUMO_PREFIX     4u     /* before a message: its length */
#define SUMO_BIND_TRIES 8u
#define SUMO_LEGS_MAX   8u

/* How messages get to a simulator and back. Functions that fail have called sumo_fail(), and a
 * simulator that is no longer to be used has been ended with sumo_dead(). */
struct sumo_transport {
    const char *name;
    /* A message with commands and a step is better two, sent together: SUMO forgets the answers to
     * the commands of a message when the step that ends it is several steps. */
    bool split_steps;
    bool extended; /* knows what slot.h has beyond TraCI */
    /* Starts a process and a simulation in it, with sim->arguments. */
    int (*start)(struct sumo_sim *sim, uint64_t deadline_ms);
    int (*send)(struct sumo_sim *sim); /* sim->out */
    int (*receive)(struct sumo_sim *sim, uint64_t deadline_ms, struct traci_in *ret_answer);
    void (*stop)(struct sumo_sim *sim); /* frees what start made; the process is dead */
};
extern const struct sumo_transport sumo_over_socket, sumo_over_memory;

struct sumo_columns { /* of vehicles, which come and go */
    uint32_t n, room;
    uint32_t *vehicle;
    double *value[SUMO_VEHICLE_VARS];
};

struct sumo_list { /* of numbers */
    uint32_t *at;
    uint32_t n, room;
};

struct sumo_slot;

struct sumo_sim {
    struct sumo_options options; /* its strings are ours */
    const struct sumo_transport *transport;
    struct sumo_process process;
    int log_fd;
    bool dead;

    char **arguments; /* of the simulator: NULL-terminated, without its name */
    uint32_t n_arguments;

    int socket; /* traci */
    uint8_t *in;
    size_t in_room, in_have, in_taken;
    struct sumo_slot *slot; /* libsumo */
    uint32_t sequence;

    struct traci_out out; /* SUMO_PREFIX bytes, then what is queued */
    uint32_t n_queued;
    uint32_t n_legs, legs[SUMO_LEGS_MAX]; /* before which of the queued commands */
    bool stepping, split; /* the answers to the commands come in a message of their own */

    char version[64];
    double time, step_length;
    struct names signals, lanes, vehicles, types;
    uint32_t *signal_size; /* links of each; 0: not asked yet */
    bool knows_lanes;

    struct sumo_wants wants; /* its lists are ours */
    uint32_t lane_cursor, signal_cursor;
    struct sumo_view view;
    struct sumo_list departed, arrived, teleported, collided, lane_vehicles, fresh;
    struct sumo_columns columns;
    double *lane_values, *signal_values;
    uint32_t *lane_first;
    char **signal_texts; /* STATE of each, then PROGRAM of each */

    char report[256];
    char why_not[512]; /* the other backend */
    char error[SUMO_WHY_MAX];
    char log[8192];
};

/* Keeps the sentence; returns the code. */
__attribute__((format(printf, 3, 4))) int sumo_fail(struct sumo_sim *sim, int code,
                                                    const char *format, ...);
/* Ends the process now. `doing` for the sentence: "amid a step". */
int sumo_dead(struct sumo_sim *sim, int code, const char *doing);
int sumo_stuck(struct sumo_sim *sim, const char *doing, uint64_t waited_ms);
int sumo_malformed(struct sumo_sim *sim);

/* arguments.c */
int sumo_check_options(struct sumo_sim *sim);
int sumo_make_arguments(struct sumo_sim *sim, const char *const *extra, uint32_t n_extra);
void sumo_free_arguments(struct sumo_sim *sim);
const char *sumo_input_name(const struct sumo_sim *sim); /* the sumocfg, or the net */

/* sim.c: a message and its answer. */
void sumo_message(struct sumo_sim *sim); /* drops what is queued */
void sumo_set_length(struct sumo_sim *sim, size_t begun); /* of the message that begins there */
int sumo_send(struct sumo_sim *sim);
int sumo_ask(struct sumo_sim *sim, struct traci_in *ret_answer);
int sumo_ask_until(struct sumo_sim *sim, uint64_t deadline_ms, struct traci_in *ret_answer);
int sumo_load(struct sumo_sim *sim, uint64_t deadline_ms); /* a simulation of sim->arguments */
int sumo_ready(struct sumo_sim *sim); /* not dead, and not amid a step */

/* net.c */
int sumo_net_greet(struct sumo_sim *sim, uint64_t deadline_ms);
int sumo_net_lanes(struct sumo_sim *sim);
int sumo_net_check_signal(struct sumo_sim *sim, uint32_t signal); /* is there that number? */
int sumo_net_signal_size(struct sumo_sim *sim, uint32_t signal, uint32_t *ret_size);

/* view.c */
int sumo_view_prepare(struct sumo_sim *sim); /* for sim->wants */
void sumo_view_free(struct sumo_sim *sim);
void sumo_view_begin(struct sumo_sim *sim);
int sumo_view_take(struct sumo_sim *sim, struct traci_in *in); /* one answer of a subscription */
int sumo_view_end(struct sumo_sim *sim);
bool sumo_list_add(struct sumo_list *list, uint32_t number);

/* subscribe.c */
int sumo_subscribe_again(struct sumo_sim *sim);
int sumo_subscribe_fresh(struct sumo_sim *sim); /* vehicles that departed in the last step */

#endif
