/* What the sources of this library share. */
#ifndef ACTORS_SUMO_INTERNAL_H
#define ACTORS_SUMO_INTERNAL_H

#include "actors/sumo/names.h"
#include "actors/sumo/process.h"
#include "actors/sumo/sim.h"
#include "actors/sumo/traci.h"

#define SUMO_TIMEOUT_MS 60000u
#define SUMO_CLOSE_MS   10000u /* to write output files */
#define SUMO_RECYCLE    1000u  /* episodes: they lose 3 MB, and a start takes 60 ms */
#define SUMO_PREFIX     4u     /* before a message: its length */
#define SUMO_BIND_TRIES 8u
#define SUMO_LEGS_MAX   8u
#define SUMO_ANSWERS_MAX (3 * SUMO_LEGS_MAX + 4) /* of what is sent at once */

/* How messages get to a simulator and back. Functions that fail have called sumo_fail(), and a
 * simulator that is no longer to be used has been ended with sumo_dead(). */
struct sumo_transport {
    const char *name;
    bool extended; /* knows what slot.h has beyond TraCI; else what is wanted is polled for (poll.c) */
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

enum sumo_answer { /* to a message */
    SUMO_ANSWER_STATUSES, /* to n queued commands */
    SUMO_ANSWER_STEP,
    SUMO_ANSWER_COUNTERS, /* on the way */
    SUMO_ANSWER_WANTS,
};

struct sumo_refusals { /* of commands: how many, and the first one's */
    uint32_t n, of;
    uint8_t command;
    char text[512];
};

struct sumo_queue { /* what is in `out` */
    uint32_t n; /* commands */
    uint32_t n_legs, legs[SUMO_LEGS_MAX]; /* before which of them */
    /* Polled: several messages, of which the last begins there and has n_open commands. */
    size_t begun;
    uint32_t n_open, n_answers;
    struct {
        enum sumo_answer what;
        uint32_t n;
    } answers[SUMO_ANSWERS_MAX];
};

struct sumo_lives { /* of the processes of a simulation */
    uint64_t processes, too_large, episodes, steps;
    uint64_t limit; /* bytes; 0: not known yet */
};

struct sumo_slot;

struct sumo_sim {
    struct sumo_options options; /* its strings are ours */
    const struct sumo_transport *transport;
    struct sumo_process process;
    int log_fd;
    bool dead;
    struct sumo_lives lives;

    char **arguments; /* of the simulator: NULL-terminated, without its name */
    uint32_t n_arguments;

    int socket; /* traci */
    uint8_t *in;
    size_t in_room, in_have, in_taken;
    struct sumo_slot *slot; /* libsumo */
    uint32_t sequence;

    struct traci_out out; /* SUMO_PREFIX bytes, then what is queued */
    struct sumo_queue queue;
    bool stepping;

    char version[64];
    double time, step_length;
    struct names signals, lanes, vehicles, types;
    uint32_t *signal_size; /* links of each; 0: not asked yet */
    bool knows_lanes;

    struct sumo_wants wants; /* its lists are ours */
    uint32_t lane_cursor, signal_cursor;
    struct sumo_view view;
    struct sumo_list departed, arrived, teleported, collided, lane_vehicles, fresh;
    struct sumo_list followed; /* polled: vehicles that are there */
    uint8_t *on_lane;          /* by the number of a lane: of wants.n_vehicle_lanes */
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

void sumo_end(struct sumo_sim *sim); /* the process, now */

/* lives.c */
int sumo_lives_begin(struct sumo_sim *sim); /* a process has its simulation */
bool sumo_lives_over(struct sumo_sim *sim); /* between episodes: it is to be replaced */
int sumo_lives_look(struct sumo_sim *sim);  /* behind a step; ends one that is too large */

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
/* One answer to a get; 1 when it was refused. Lanes are asked for in the order of their rows. */
int sumo_view_take_get(struct sumo_sim *sim, struct traci_in *in, uint8_t command, uint8_t variable,
                       uint32_t row);
bool sumo_view_row(struct sumo_sim *sim, uint32_t vehicle, uint32_t *ret_row);
int sumo_view_end(struct sumo_sim *sim);
bool sumo_list_add(struct sumo_list *list, uint32_t number);

/* subscribe.c */
int sumo_subscribe_again(struct sumo_sim *sim);
#define SUMO_VARIABLES_MAX 16u
uint8_t sumo_simulation_variables(const struct sumo_sim *sim, uint8_t *ret_variables);
uint8_t sumo_lane_variables(uint32_t bits, uint8_t *ret_variables);
uint8_t sumo_signal_variables(uint32_t bits, uint8_t *ret_variables);
uint8_t sumo_vehicle_variables(uint32_t bits, uint8_t *ret_variables);
/* The numbers of all vehicles that are there, in `list`. */
int sumo_ask_present(struct sumo_sim *sim, struct sumo_list *list);

/* step.c */
int sumo_take_step(struct sumo_sim *sim, struct traci_in *answer);
void sumo_take_status(struct traci_in *answer, struct sumo_refusals *refusals);

/* poll.c: a step, and what it brings, of transports that are not extended. */
int sumo_poll_leg(struct sumo_sim *sim, double until); /* queues it */
int sumo_poll_begin(struct sumo_sim *sim, double until);
int sumo_poll_end(struct sumo_sim *sim, struct sumo_refusals *refusals);
int sumo_poll_now(struct sumo_sim *sim); /* the view without a step: of another subscription */

#endif
