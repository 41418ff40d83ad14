/* A SUMO simulation in a process of its own, driven from C.
 *
 * Two backends behave alike, to the last digit of every trajectory:
 *   libsumo   `rtc-sumo-worker`, which has the simulator inside and is reached through shared memory.
 *             It works with the one version of SUMO that it was built with.
 *   traci     a stock `sumo` (1.14 or later) over its socket; `sumo-gui` to watch.
 *
 *   struct sumo_options options = {.sumocfg_file = "city.sumocfg", .seed = 7};
 *   struct sumo_wants wants = {.signal_vars = SUMO_BIT(SUMO_SIGNAL_STATE), .n_signals = SUMO_ALL};
 *   char why[SUMO_WHY_MAX];
 *   if (sumo_sim_open(&options, &sim, why) || sumo_sim_subscribe(sim, &wants)) …
 *   sumo_sim_set_state(sim, 0, "GGrr");      queued: goes out with the step
 *   sumo_sim_step(sim, 5.0);                 one round trip
 *   sumo_sim_view(sim)->time …
 *   sumo_sim_close(&sim);
 *
 * Errors     0 or a negative RTC_E_…; sumo_sim_error() is the sentence: the file or id, and what to do.
 * Recycling  A reset takes another process after recycle_episodes, or when the memory is above
 *            memory_limit; one that gets there within an episode is killed, as one that is stuck.
 * Deadlines  Every wait has one. A simulator that died, or did not answer in time, is killed and reaped
 *            within the call that notices; the handle then refuses everything but reset, which starts
 *            another simulator, and close.
 * Thread     One thread at a time per simulation; different simulations are independent.
 * Processes  Simulators die with this process, however it ends. None is left as a zombie. */
#ifndef ACTORS_SUMO_SIM_H
#define ACTORS_SUMO_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <rtc/error.h>

#define SUMO_WHY_MAX 1024u      /* of a sentence */
#define SUMO_ALL     UINT32_MAX /* as a count: all that the net has */
#define SUMO_NONE    UINT32_MAX /* as a number: no such lane, signal or vehicle */
#define SUMO_BIT(x)  (1u << (x))

struct sumo_sim;

enum sumo_backend {
    SUMO_AUTO, /* libsumo where it fits the installed SUMO and no window is wanted, else traci */
    SUMO_LIBSUMO,
    SUMO_TRACI,
};

struct sumo_options {
    enum sumo_backend backend;
    /* A sumocfg, or a net and routes; files given beside a sumocfg take the place of its own. Routes
     * and additional files may be lists with commas. */
    const char *sumocfg_file, *net_file, *route_files, *additional_files;
    double step_length;        /* seconds; 0: the sumocfg's, or SUMO's 1 */
    uint32_t seed;
    bool gui;                  /* sumo-gui; traci only */
    bool pin;                  /* the simulator to `cpu`; who waits for it does well to be there too */
    uint32_t cpu;
    const char *const *extra;  /* further arguments of `sumo`, as on its command line; they win */
    uint32_t n_extra;
    uint32_t start_timeout_ms; /* start or reset; 0: 60,000 */
    uint32_t step_timeout_ms;  /* everything else; 0: 60,000 */
    uint32_t recycle_episodes; /* another process after so many, by resets; 0: 1,000 */
    uint64_t memory_limit;     /* bytes, resident; 0: 4 times those after an episode, at least 2^30 */
    /* NULL: RTC_SUMO_BINARY (RTC_SUMO_GUI_BINARY), SUMO_HOME/bin, PATH; RTC_SUMO_WORKER, beside
     * RTC_BIN, PATH. */
    const char *sumo_binary, *worker_binary;
};

/* ---- What a step brings ---- */

/* X(NAME, variable of TraCI) */
#define SUMO_LANE_MAP(X)                                                                               \
    X(VEHICLES, 0x10)   /* vehicles on the lane */                                                     \
    X(HALTING, 0x14)    /* of them slower than 0.1 m/s */                                              \
    X(WAITING, 0x7a)    /* s, summed over them */                                                      \
    X(MEAN_SPEED, 0x11) /* m/s; what is allowed, when the lane is empty */                             \
    X(OCCUPANCY, 0x13)  /* 0 to 1 */                                                                   \
    X(LENGTH, 0x15)     /* m: mean length of the vehicles; 0 on an empty lane */                       \
    X(IDS, 0x12)        /* which vehicles: not a column but view.lane_first, view.lane_vehicles */
#define SUMO_SIGNAL_MAP(X)                                                                             \
    X(STATE, 0x20)      /* one letter a link */                                                        \
    X(PROGRAM, 0x29)                                                                                   \
    X(PHASE, 0x28)                                                                                     \
    X(NEXT_SWITCH, 0x2d) /* s of simulation time */
#define SUMO_VEHICLE_MAP(X)                                                                            \
    X(POSITION_X, 0x42) /* m */                                                                        \
    X(POSITION_Y, 0x42)                                                                                \
    X(SPEED, 0x40)                                                                                     \
    X(ACCELERATION, 0x72)                                                                              \
    X(ANGLE, 0x43)      /* degrees, north is 0 */                                                      \
    X(LANE, 0x51)       /* number of sumo_sim_lane_name(); -1: none just now (a teleport) */           \
    X(LANE_INDEX, 0x52)                                                                                \
    X(LANE_POSITION, 0x56)                                                                             \
    X(WAITING, 0x7a)                                                                                   \
    X(ACCUMULATED_WAITING, 0x87) /* over --waiting-time-memory */                                      \
    X(ALLOWED_SPEED, 0xb7)                                                                             \
    X(LENGTH, 0x44)                                                                                    \
    X(TIME_LOSS, 0x8c)                                                                                 \
    X(NEXT_SIGNAL, 0x70)  /* number of the next signal ahead, -1: none */                              \
    X(SIGNAL_DISTANCE, 0x70)                                                                           \
    X(SIGNAL_LINK, 0x70)  /* which of the signal's links it will take */                               \
    X(LEADER, 0x68)     /* number of the vehicle that it follows, -1: none within TRACI_LEADER_M */    \
    X(LEADER_GAP, 0x68) /* m to its back bumper, beyond MIN_GAP */                                     \
    X(MIN_GAP, 0x4c)    /* m that it keeps when it stands */                                           \
    X(TYPE, 0x4f)       /* number of sumo_sim_type_name() */

#define X(name, var) SUMO_LANE_##name,
enum sumo_lane_var { SUMO_LANE_MAP(X) SUMO_LANE_VARS };
#undef X
#define X(name, var) SUMO_SIGNAL_##name,
enum sumo_signal_var { SUMO_SIGNAL_MAP(X) SUMO_SIGNAL_VARS };
#undef X
#define X(name, var) SUMO_VEHICLE_##name,
enum sumo_vehicle_var { SUMO_VEHICLE_MAP(X) SUMO_VEHICLE_VARS };
#undef X

/* What each step brings. Bits of the enumerations; no bits, no cost. Vehicles are all that are in the
 * network, or, cheaper, those on the first n_vehicle_lanes of the lanes (not 0; LANE is among their
 * columns then). Numbers are those of sumo_sim_lane() and sumo_sim_signal(); n = SUMO_ALL takes all. */
struct sumo_wants {
    const uint32_t *lanes, *signals;
    uint32_t n_lanes, n_signals, n_vehicle_lanes;
    uint32_t lane_vars, signal_vars, vehicle_vars;
    bool events; /* which vehicles departed, arrived, teleported, collided */
};

/* Sums over what happened in all simulation steps of the last sumo_sim_step(). */
struct sumo_counters {
    int32_t loaded, departed, arrived, teleports_begun, teleports_ended, collisions;
    int32_t min_expected; /* vehicles in the net or still to come; 0: nothing more will happen */
};

struct sumo_vehicles { /* numbers of sumo_sim_vehicle_name() */
    const uint32_t *at;
    uint32_t n;
};

/* What the last step brought. Columns that were not asked for are NULL. Valid until the next call that
 * changes the simulation. */
struct sumo_view {
    double time;
    struct sumo_counters counters;
    struct sumo_vehicles departed, arrived, teleported, collided;

    uint32_t n_lanes; /* in the order of the subscription, as are signals */
    const double *lane[SUMO_LANE_VARS];
    const uint32_t *lane_first, *lane_vehicles; /* of lane i: lane_first[i] up to lane_first[i + 1] */

    uint32_t n_signals;
    const char *const *signal_state, *const *signal_program;
    const double *signal[SUMO_SIGNAL_VARS]; /* PHASE, NEXT_SWITCH */

    uint32_t n_vehicles; /* in the order in which they departed */
    const uint32_t *vehicle;
    const double *vehicles[SUMO_VEHICLE_VARS];
};

/* ---- Life ---- */

/* `why` takes the sentence when it fails (SUMO_WHY_MAX bytes). The strings of `options` are copied. */
int sumo_sim_open(const struct sumo_options *options, struct sumo_sim **ret_sim, char *why);
/* From the beginning, with another seed; subscriptions stay, queued commands are dropped. Starts
 * another simulator when the one there was is dead. `extra`, when not NULL, takes the place of the
 * options'; the net stays the same. */
int sumo_sim_reset(struct sumo_sim *sim, uint32_t seed, const char *const *extra, uint32_t n_extra);
/* Lets the simulator write its output files, then ends it. NULL and a NULL handle are fine. */
void sumo_sim_close(struct sumo_sim **sim);

const char *sumo_sim_error(const struct sumo_sim *sim); /* of the last call that failed */
enum sumo_backend sumo_sim_backend(const struct sumo_sim *sim);
/* One line: the backend and SUMO's version, and why it is not the other one. */
const char *sumo_sim_report(const struct sumo_sim *sim);
const char *sumo_sim_log(struct sumo_sim *sim); /* the last that the simulator printed, warnings too */
struct sumo_counts {
    uint64_t processes; /* that were started for it: 1, and one for each death and each recycling */
    uint64_t too_large; /* of them ended for their memory */
};
struct sumo_counts sumo_sim_counts(const struct sumo_sim *sim);
pid_t sumo_sim_pid(const struct sumo_sim *sim); /* of the simulator; 0 when it is dead */

/* ---- The net ---- */

uint32_t sumo_sim_n_signals(const struct sumo_sim *sim);
const char *sumo_sim_signal_name(const struct sumo_sim *sim, uint32_t signal);
/* An id that is not there is RTC_E_NOT_FOUND, with the ids that are. */
int sumo_sim_signal(struct sumo_sim *sim, const char *id, uint32_t *ret_signal);
/* Lanes of edges come first, then those inside junctions. */
uint32_t sumo_sim_n_lanes(struct sumo_sim *sim);
const char *sumo_sim_lane_name(struct sumo_sim *sim, uint32_t lane);
int sumo_sim_lane(struct sumo_sim *sim, const char *id, uint32_t *ret_lane);
int sumo_sim_lane_geometry(struct sumo_sim *sim, uint32_t lane, double *ret_length,
                           double *ret_max_speed);
struct sumo_next {
    uint32_t lane;
    char direction; /* SUMO's letter: s straight, l L left, r R right, t T turn; '?' */
};
/* The lanes that it leads into, those of edges; the caller frees *ret_next. */
int sumo_sim_lane_next(struct sumo_sim *sim, uint32_t lane, struct sumo_next **ret_next,
                       uint32_t *ret_n);
/* Types of vehicles: those that are known by now, as SUMO reads routes bit by bit. An id that is not
 * there is RTC_E_NOT_FOUND, with the ids that are. */
int sumo_sim_type(struct sumo_sim *sim, const char *id, uint32_t *ret_type);
const char *sumo_sim_type_name(const struct sumo_sim *sim, uint32_t type);
double sumo_sim_time(const struct sumo_sim *sim);
double sumo_sim_step_length(const struct sumo_sim *sim);

struct sumo_link { /* of one index of a signal's state; SUMO_NONE where there is no lane */
    uint32_t index, from, via, to;
};
struct sumo_phase {
    double duration, min_duration, max_duration;
    char *state;
};
struct sumo_program {
    char *id;
    int32_t type, phase; /* 0: fixed times; the phase that it is in */
    uint32_t n_phases;
    struct sumo_phase *phases;
};
/* What a signal controls; the caller frees *ret_links. Links with several lanes are several entries. */
int sumo_sim_links(struct sumo_sim *sim, uint32_t signal, struct sumo_link **ret_links,
                   uint32_t *ret_n);
/* All programs of a signal; sumo_programs_free() frees them. */
int sumo_sim_programs(struct sumo_sim *sim, uint32_t signal, struct sumo_program **ret_programs,
                      uint32_t *ret_n);
void sumo_programs_free(struct sumo_program *programs, uint32_t n);

/* ---- Vehicles that were seen since the last reset ---- */

const char *sumo_sim_vehicle_name(const struct sumo_sim *sim, uint32_t vehicle);
uint32_t sumo_sim_vehicle(const struct sumo_sim *sim, const char *id); /* or SUMO_NONE */

/* ---- Steps ---- */

/* The view has the time and the counters before anything is subscribed. Each call takes the place of
 * the one before; it can be made at any time and fills the view at once. */
int sumo_sim_subscribe(struct sumo_sim *sim, const struct sumo_wants *wants);
/* Simulates until the time, or one step when `until` is 0, and then fills the view. Commands that were
 * queued are carried out before. When one of them is refused the step is made all the same, the view is
 * good, and the error of the first refused one is returned (RTC_E_DENIED). */
int sumo_sim_step(struct sumo_sim *sim, double until);
/* Queued, for the next step: what was queued before it is carried out, the time goes on until `until`,
 * and what is queued behind it comes then. All is sent at once; the view is of the end, counters and
 * events are of all of it. Legs follow each other in time. Errors: RTC_E_TOO_LARGE 8 are queued. */
int sumo_sim_queue_leg(struct sumo_sim *sim, double until);
/* The same in two halves, between which the caller does something else. */
int sumo_sim_step_begin(struct sumo_sim *sim, double until);
int sumo_sim_step_end(struct sumo_sim *sim);
const struct sumo_view *sumo_sim_view(const struct sumo_sim *sim);

/* Queued; nothing that is refused here is sent. */
int sumo_sim_set_state(struct sumo_sim *sim, uint32_t signal, const char *state);
int sumo_sim_set_phase(struct sumo_sim *sim, uint32_t signal, uint32_t phase);
int sumo_sim_set_phase_duration(struct sumo_sim *sim, uint32_t signal, double seconds);
int sumo_sim_set_program(struct sumo_sim *sim, uint32_t signal, const char *program);
int sumo_sim_set_program_logic(struct sumo_sim *sim, uint32_t signal,
                               const struct sumo_program *program);
int sumo_sim_set_speed(struct sumo_sim *sim, uint32_t vehicle, double speed); /* -1: as it likes */
int sumo_sim_slow_down(struct sumo_sim *sim, uint32_t vehicle, double speed, double seconds);
int sumo_sim_set_speed_mode(struct sumo_sim *sim, uint32_t vehicle, int32_t mode);
int sumo_sim_set_lane_change_mode(struct sumo_sim *sim, uint32_t vehicle, int32_t mode);
int sumo_sim_change_lane(struct sumo_sim *sim, uint32_t vehicle, uint32_t lane_index, double seconds);

#endif
