/* rtc/env.h: environments of reinforcement learning, to step and to write. C11, C++-safe; link with
 * librtc-env. Conventions as in rtc/rtc.h, but the sentence of a failed call is rtc_env_error().
 *
 * An environment is a number of *slots*: copies of one scenario, each with its own episode. When the
 * episode of a slot ends, its next one begins within the same step. A slot has *agents*, one or many,
 * the same all the time or coming and going. What one agent sees, and what it then does, is a *row*;
 * rows stand in the order of the slots, and within a slot in ascending order of the agents.
 *
 * Observations, masks and results are written where the caller says, with strides, so that a step of
 * all slots is a slice of a batch: `rows` are the agents that act next, and `rewards` and `ends`
 * belong, one for one, to the rows that acted. One slot, one agent:
 *
 *   struct rtc_env *env;
 *   float seen[4], reward;
 *   uint8_t ends;
 *   int32_t action;
 *   struct rtc_env_rows rows = {.cap = 1, .data = seen, .size = sizeof(seen)};
 *   struct rtc_env_step step = {
 *       .n = 1, .actions = &action, .rewards = &reward, .ends = &ends, .rows = &rows};
 *   if (rtc_env_open("CartPole-v1", NULL, &env) < 0 || rtc_env_reset(env, 0, 1, NULL, &rows) < 0)
 *       return fprintf(stderr, "%s\n", rtc_env_error());
 *   for (int i = 0; i < 1000; i++) {
 *       action = seen[2] > 0;
 *       rows.n = 0;
 *       if (rtc_env_step(env, &step) < 0)
 *           return fprintf(stderr, "%s\n", rtc_env_error());
 *   }
 *   rtc_env_close(&env); */
#ifndef RTC_ENV_H
#define RTC_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rtc/error.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define RTC_ENV_ABI       2u /* of the tables below */
#define RTC_ENV_NONE      UINT32_MAX
#define RTC_ENV_SLOTS_MAX 65536u
#define RTC_ENV_NDIM_MAX  4

struct rtc_env;

/* ---- What is seen and what can be done ---- */

/* Numbers and choices, 32 bits each: first n_floats floats, then n_choices of int32_t. Only numbers:
 * a box. Only one choice: discrete; several: multi-discrete. Both: a mixed space. */
struct rtc_env_space {
    uint32_t n_floats;
    const float *low, *high; /* n_floats each; NULL: no bound */
    uint32_t ndim;           /* of the numbers; 0: a vector of n_floats */
    uint32_t shape[RTC_ENV_NDIM_MAX];
    bool clips; /* actions outside of the bounds are clipped by the environment, not refused */
    uint32_t n_choices;
    const uint32_t *choices; /* choice i is 0 to choices[i] - 1 */
    /* Rows come with a mask: a byte for each value of each choice, 1: allowed. All kinds of an
     * environment, or none; what a mask is longer than its kind's is 0. */
    bool masked;
};
static inline size_t rtc_env_space_size(const struct rtc_env_space *space) /* bytes of a value */
{
    return 4 * ((size_t)space->n_floats + space->n_choices);
}
static inline size_t rtc_env_space_mask(const struct rtc_env_space *space) /* bytes of its mask */
{
    size_t size = 0;
    for (uint32_t i = 0; space->masked && i < space->n_choices; i++)
        size += space->choices[i];
    return size;
}

/* A kind of agent: agents of one kind have the same spaces. */
struct rtc_env_kind {
    const char *name; /* "J1", "vehicle" */
    struct rtc_env_space observation, action;
    uint32_t policy; /* which of the policies acts for it; several kinds may share one */
};

enum rtc_env_features {
    /* Each slot has rows_max rows all the time, all active; agent i is of kind i, or of the only
     * kind. So the rows of n slots have fixed places, and tables of rows are not needed. When one
     * of several agents ends alone, what stands in its place then is a new one. */
    RTC_ENV_FIXED = 1,
    /* Observations may be shorter than their space (fewer neighbours in a graph). Of a matrix (ndim 2)
     * whole rows are missing at its end: the first one is of the agent itself, each further one of
     * something that it sees. Filled up with zeros it is what the same environment gives when it is
     * not ragged; so column 0 is 1 in the rows that are there. */
    RTC_ENV_RAGGED = 2
};

/* Borrowed from the environment until it is closed. */
struct rtc_env_spec {
    const char *name;
    uint32_t slots;
    uint32_t features; /* enum rtc_env_features */
    uint32_t rows_max; /* of a slot */
    uint32_t n_kinds, n_policies;
    const struct rtc_env_kind *kinds;
    uint32_t n_infos; /* sums over an episode: "return" of all agents, "length", then its own */
    const char *const *infos;
    uint32_t max_episode_steps; /* then it is truncated; 0: no such limit */
    size_t observation_size, action_size, mask_size; /* bytes, the largest of all kinds */
};

/* ---- Life ---- */

struct rtc_env_option {
    const char *key, *value;
    const char *about; /* in the table of a class */
};
struct rtc_env_config { /* all zero is the default */
    uint32_t slots;     /* 0 = 1 */
    const struct rtc_env_option *options;
    size_t n_options;
};

/* Opens an environment by its name.
 * Ownership: *ret_env is ended with rtc_env_close(); the config may go. Thread: one call at a time on
 * an environment, and any number of environments. Blocks: as long as the class takes.
 * Errors: RTC_E_NOT_FOUND no class of that name, or an option that it does not have (the sentence
 * lists those there are); RTC_E_INVALID a value that cannot be; RTC_E_NOMEM; those of the class. */
int rtc_env_open(const char *name, const struct rtc_env_config *config, struct rtc_env **ret_env);
/* Frees *env and sets it to NULL. NULL is fine. What was begun and not finished is dropped. */
void rtc_env_close(struct rtc_env **env);
const struct rtc_env_spec *rtc_env_spec_of(const struct rtc_env *env);
/* Calls fn for each class there is, in the order of their names; fn returning non-zero stops. */
int rtc_env_list(int (*fn)(void *arg, const char *name, const char *about), void *arg);
/* The sentence of the last rtc_env call of the calling thread that failed; "" when none did.
 * Valid until: the next rtc_env call of this thread. */
const char *rtc_env_error(void);

/* ---- Rows ---- */

enum rtc_env_row_flags {
    RTC_ENV_ACTIVE = 1, /* acts in the next step; else its action is not looked at */
    RTC_ENV_FIRST = 2   /* the first of an episode, or of an agent that came later */
};
struct rtc_env_row {
    uint32_t slot;
    uint32_t agent; /* not used again within the episode */
    uint32_t kind;
    uint32_t policy;
    uint32_t flags; /* enum rtc_env_row_flags */
    uint32_t size;  /* bytes of the observation */
    uint64_t at;    /* where it begins, in bytes from rows->data */
};
/* Where rows go. New ones are added behind those that are there, so a fragment of many steps needs
 * only one of these; with n = 0 it is overwritten. Room is needed for the most rows that a call
 * can give, each of the largest size: a call that lacks it changes nothing. */
struct rtc_env_rows {
    uint32_t cap; /* rows */
    uint32_t n;   /* written */
    void *data;   /* observations; aligned to 4 */
    size_t size;  /* bytes */
    size_t used;  /* bytes up to the end of the last one */
    /* Bytes from one observation to the next; a row then lies at its number times this.
     * 0: packed, each right behind the one before. */
    size_t stride;
    uint8_t *masks;     /* NULL where no action is masked */
    size_t mask_stride; /* 0: spec->mask_size */
    size_t mask_size;   /* set by the calls */
    struct rtc_env_row *table; /* cap; may be NULL for RTC_ENV_FIXED that is not RTC_ENV_RAGGED */
};

/* Zeros behind the observations of rows `from` on that are shorter than the stride, which is not 0;
 * with a table. Then a batch of ragged rows is a matrix. */
static inline void rtc_env_rows_fill(const struct rtc_env_rows *rows, uint32_t from)
{
    for (uint32_t i = from; i < rows->n; i++) {
        size_t size = rows->table[i].size;
        memset((char *)rows->data + i * rows->stride + size, 0, rows->stride - size);
    }
}

/* ---- Steps ---- */

/* Begins an episode in slots first to first + n - 1, whatever they were doing. seeds: n of them; the
 * episodes after this one have the seeds rtc_env_seed(seed, 1), rtc_env_seed(seed, 2), … NULL: the
 * slots go on with their next ones; a new slot's seed is its number. An episode with the same seed,
 * options and actions is the same episode. rows: as of rtc_env_observe().
 * Blocks: as long as the class takes. Errors: RTC_E_INVALID; RTC_E_TOO_LARGE no room in rows; those of
 * the class: the slots have then to be reset again. */
int rtc_env_reset(struct rtc_env *env, uint32_t first, uint32_t n, const uint64_t *seeds,
                  struct rtc_env_rows *rows);
/* The same, but slot first + i begins episode number numbers[i] of seeds[i]: as one that was reset with
 * that seed and has ended so many. With the actions that were done in it since, an open episode is
 * made again elsewhere. Blocks, errors: as rtc_env_reset(). */
int rtc_env_reset_at(struct rtc_env *env, uint32_t first, uint32_t n, const uint64_t *seeds,
                     const uint64_t *numbers, struct rtc_env_rows *rows);
/* Writes what the agents of the slots see now, once more: with what the last fragment ended, the next
 * one begins. Errors: RTC_E_INVALID never reset, or in the middle of a step; RTC_E_TOO_LARGE. */
int rtc_env_observe(struct rtc_env *env, uint32_t first, uint32_t n, struct rtc_env_rows *rows);
/* Rows that the next step of the slots acts on. */
uint32_t rtc_env_row_count(const struct rtc_env *env, uint32_t first, uint32_t n);

enum rtc_env_ends { /* of the episode, or of the agent alone; bits */
    RTC_ENV_TERMINATED = 1, /* nothing comes after it, also when truncated at the same time */
    RTC_ENV_TRUNCATED = 2,  /* broken off: what would have come counts, from the final observation */
    RTC_ENV_LOST = 4 /* with TRUNCATED: the slot failed and was replaced; the reward is 0, and there is
                        no final observation: not to be learnt from */
};
struct rtc_env_episode { /* that ended */
    uint32_t slot;
    uint32_t ends;   /* enum rtc_env_ends */
    uint64_t number; /* since the slot was reset with a seed, from 0 */
    uint64_t seed;   /* rtc_env_reset() with it begins it again */
    const char *why; /* of RTC_ENV_LOST, a sentence; valid until the next call with the environment */
};
struct rtc_env_episodes {
    uint32_t cap, n; /* as in struct rtc_env_rows; room for one a slot is needed */
    struct rtc_env_episode *list;
    double *sums; /* spec->n_infos for each; may be NULL */
};
/* A step of n slots. Borrowed until it is finished. */
struct rtc_env_step {
    uint32_t first, n; /* slots */
    /* For each row of these slots, in their order, a value of its kind's action space. */
    const void *actions;
    size_t action_stride; /* bytes; 0: spec->action_size */
    /* For each of the same rows: */
    float *rewards;
    size_t reward_stride; /* bytes; 0: those of one; so are the next ones */
    uint8_t *ends;        /* enum rtc_env_ends, 0: goes on */
    size_t ends_stride;
    uint32_t *next;   /* where in `rows` it goes on; RTC_ENV_NONE: it ended. May be NULL */
    uint32_t *finals; /* where in `final` its last observation is, or RTC_ENV_NONE. May be NULL */
    struct rtc_env_rows *rows; /* that act next, those of new episodes too */
    /* Last observations of those that ended, in the order of the rows that acted; needs no masks. Who
     * is gone (a vehicle that arrived) has none, and RTC_ENV_NONE in `finals`. May be NULL. Room is
     * needed as if all could end at once. */
    struct rtc_env_rows *final;
    struct rtc_env_episodes *episodes; /* may be NULL */
};
/* Steps n slots, and begins a new episode where one ended.
 * Blocks: as long as the class takes. Errors, with nothing changed: RTC_E_RANGE an action that is not
 * in its space (NaN is in none), or that its mask forbids; RTC_E_INVALID a slot that was never reset
 * or is in the middle of a step, a buffer that is missing; RTC_E_TOO_LARGE no room in rows, final or
 * episodes. Those of the class: the slots have then to be reset. */
int rtc_env_step(struct rtc_env *env, struct rtc_env_step *step);
/* The same in two parts, for environments that work elsewhere meanwhile (others do all of it in the
 * second): other slots can be stepped between them. `step` and its actions stay as they are.
 * Errors: begin has those with nothing changed; finish RTC_E_INVALID it was not begun, RTC_E_TOO_LARGE
 * others have taken the room meanwhile (it stays begun), and the class's. */
int rtc_env_begin(struct rtc_env *env, struct rtc_env_step *step);
int rtc_env_finish(struct rtc_env *env, struct rtc_env_step *step);

/* ---- Chance ---- */

/* SplitMix64 (Steele, Lea & Flood 2014): the next 64 bits. Any state is fine to begin with. */
static inline uint64_t rtc_env_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
/* low + (high - low) × u, u the upper 53 bits of the next 64 as a fraction in [0, 1). The same bits
 * everywhere with -ffp-contract=off. */
static inline double rtc_env_uniform(uint64_t *state, double low, double high)
{
    return low + (high - low) * ((double)(rtc_env_random(state) >> 11) * (1.0 / 9007199254740992.0));
}
/* The seed of a slot's episode: `seed` itself for number 0. */
static inline uint64_t rtc_env_seed(uint64_t seed, uint64_t number)
{
    uint64_t state = seed ^ (number * UINT64_C(0xd1342543de82ef95));
    return number ? rtc_env_random(&state) : seed;
}

/* ---- Writing one: a class of single environments ----
 *
 * The simplest way: say what one copy does in one step. Slots, new episodes, time limits (the option
 * max_episode_steps, which every such class has), sums, seeds and checks are done for it. Functions
 * return 0 or rtc_env_fail(…). Thread: as the environment's. */

/* One step of one copy. */
struct rtc_env_turn {
    uint32_t n;          /* rows, in the order in which observe() gave them */
    const void *actions; /* checked: those of active rows are in their spaces */
    size_t action_stride;
    double *rewards; /* n; 0 before */
    uint8_t *ends;   /* n; of single agents that leave; 0 before */
    double *infos;   /* added to the sums: n_infos of the class (not return, length); 0 before */
    uint32_t end;    /* of the episode, enum rtc_env_ends; 0 before. RTC_ENV_LOST: the copy is reset,
                        and the sentence of rtc_env_fail() is told with the episode */
};
struct rtc_env_single {
    uint32_t abi; /* RTC_ENV_ABI */
    uint32_t max_episode_steps;
    const char *name, *about;
    const struct rtc_env_option *options; /* with their defaults; ended by a key of NULL; may be NULL */
    size_t params_size, state_size;       /* of all copies together, and of each; 0 before */
    /* Fills features, rows_max, kinds and infos (its own) of ret_spec, and params; what it points to
     * stays until close. close and drop may be NULL; close is called also after an open that failed,
     * drop also with a state that was never reset, or could not be. */
    int (*open)(const struct rtc_env_config *config, void *params, struct rtc_env_spec *ret_spec);
    void (*close)(void *params);
    void (*drop)(const void *params, void *state);
    int (*reset)(const void *params, void *state, uint64_t seed);
    int (*step)(const void *params, void *state, struct rtc_env_turn *turn);
    /* Adds a row (rtc_env_row_add) for each live agent; with a turn, that of the last step, for each
     * that ended in it instead: turn->ends is then not 0, and is set for all when the episode ended. */
    int (*observe)(const void *params, const void *state, uint32_t slot,
                   const struct rtc_env_turn *turn, struct rtc_env_rows *rows);
};

/* Adds a row; its `at` is not looked at. Gives where its observation is to be written, row->size bytes,
 * and its mask, all forbidden yet (*ret_mask is NULL where none is wanted; ret_mask may be NULL).
 * NULL: there is no room, which a class that keeps to its spec never sees. */
static inline void *rtc_env_row_add(struct rtc_env_rows *rows, const struct rtc_env_row *row,
                                    uint8_t **ret_mask)
{
    size_t at = rows->stride ? rows->n * rows->stride : rows->used;
    if (ret_mask)
        *ret_mask = NULL;
    if (rows->n >= rows->cap || at > rows->size || row->size > rows->size - at)
        return NULL;
    if (rows->table) {
        rows->table[rows->n] = *row;
        rows->table[rows->n].at = at;
    }
    if (ret_mask && rows->masks)
        *ret_mask = (uint8_t *)memset(rows->masks + rows->n * rows->mask_stride, 0, rows->mask_size);
    rows->used = at + row->size;
    rows->n++;
    return (char *)rows->data + at;
}

/* ---- Writing one: a class that steps many slots itself ----
 *
 * For environments whose slots work together or elsewhere: one loop over 1,000 copies, or processes.
 * Calls are checked before they come here; strides are filled in. It keeps seeds and episodes as
 * described above. `next`, `finals` and the lists of agents are found by the caller of these. */
struct rtc_env_class {
    uint32_t abi; /* RTC_ENV_ABI */
    const char *name, *about;
    const struct rtc_env_option *options; /* as above */
    /* Fills ret_spec (slots is set), with infos that begin with return and length. */
    int (*open)(const struct rtc_env_config *config, struct rtc_env_spec *ret_spec, void **ret_self);
    void (*close)(void *self);
    int (*reset)(void *self, uint32_t first, uint32_t n, const uint64_t *seeds); /* may be NULL */
    int (*observe)(void *self, uint32_t first, uint32_t n, struct rtc_env_rows *rows);
    int (*begin)(void *self, struct rtc_env_step *step); /* may be NULL */
    int (*step)(void *self, struct rtc_env_step *step);  /* what was begun, where there is begin */
    /* As reset, at those numbers; NULL: a reset for each. */
    int (*reset_at)(void *self, uint32_t first, uint32_t n, const uint64_t *seeds,
                    const uint64_t *numbers);
};

/* An option's value: that of the config, or the class's default. NULL: no such option. */
const char *rtc_env_option(const struct rtc_env_config *config, const char *key);
/* As a number between low and high, or a truth value ("true", "false", "1", "0").
 * Errors: RTC_E_INVALID it is none. */
int rtc_env_option_f64(const struct rtc_env_config *config, const char *key, double low, double high,
                       double *ret_x);
int rtc_env_option_i64(const struct rtc_env_config *config, const char *key, int64_t low,
                       int64_t high, int64_t *ret_x);
int rtc_env_option_bool(const struct rtc_env_config *config, const char *key, bool *ret_x);
/* Sets the sentence of rtc_env_error() and returns code. */
int rtc_env_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes a class known by its name. Ownership: borrowed for ever. Thread: one at a time, while no
 * environment is opened. Errors: RTC_E_EXISTS another has the name; RTC_E_VERSION its table is of
 * another version of this header; RTC_E_INVALID it lacks a function. */
int rtc_env_register(const struct rtc_env_class *class_);
int rtc_env_register_single(const struct rtc_env_single *single);
/* The same before main(), also in a shared library: RTC_ENV(cartpole) for a `struct rtc_env_single
 * cartpole`, RTC_ENV_CLASS(many) for a `struct rtc_env_class many`. */
#define RTC_ENV(symbol)                                                  \
    __attribute__((constructor)) static void rtc_env_init_##symbol(void) \
    {                                                                    \
        (void)rtc_env_register_single(&symbol);                          \
    }
#define RTC_ENV_CLASS(symbol)                                            \
    __attribute__((constructor)) static void rtc_env_init_##symbol(void) \
    {                                                                    \
        (void)rtc_env_register(&symbol);                                 \
    }

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
