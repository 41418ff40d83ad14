/* Optimisation methods as machines without input or output: asked for points, told their values.
 * Nothing here knows of tasks, time or files, so a run is a function of its options and of the
 * order in which values are told, and can be replayed. */
#ifndef ACTORS_DE_METHOD_H
#define ACTORS_DE_METHOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/de/random.h"

enum de_status {
    DE_RUNNING,
    DE_CONVERGED,
    DE_MAX_GENERATIONS,
    DE_MAX_EVALUATIONS,     /* went beyond, as immediate updating does */
    DE_REACHED_EVALUATIONS, /* exactly so many */
};

/* The box that is searched. Borrowed: must outlive the method. */
struct de_box {
    uint32_t n; /* parameters */
    const double *lower, *upper;
};

struct de_space;
struct rtc_de_options;

/* Storn & Price's differential evolution exactly as SciPy 1.10 does it. */
struct de_classic;

/* SciPy's rule: max(5, popsize × parameters). */
uint32_t de_population(uint32_t popsize, uint32_t n);
/* The space is borrowed, as are strategy_fn and its argument; of the options the method's own
 * count. `random` is copied. Returns NULL with *ret_error, a sentence, set. */
struct de_classic *de_classic_create(const struct de_space *space,
                                     const struct rtc_de_options *options,
                                     const struct de_random *random, const char **ret_error);
void de_classic_free(struct de_classic *de);
/* The points to be evaluated next, count × n in the box's units, valid until told; all of them are
 * told at once. 0: the run is over. One point at a time when updating is immediate. Points that
 * violate a constraint are never asked. */
uint32_t de_classic_ask(struct de_classic *de, const double **ret_points);
/* values[i] belongs to the i-th point asked; a NaN counts as infinite. */
void de_classic_tell(struct de_classic *de, const double *values);
/* Points that take the place of the first members, before anything was asked. */
void de_classic_seed(struct de_classic *de, const double *points, uint32_t count);
/* Another best point, found by other means: it takes the first place. */
void de_classic_improve(struct de_classic *de, const double *x, double value, uint64_t evaluations);

struct de_state { /* borrowed from the method, until it is asked or told again */
    enum de_status status;
    uint32_t generation, population; /* generation: whole ones, as SciPy's nit */
    uint64_t evaluations;
    const double *members; /* population × n, scaled to [0, 1]; the first is the best */
    const double *values;
    double best;
    double convergence; /* SciPy's: deviation of the values over |mean| */
};
void de_classic_state(const struct de_classic *de, struct de_state *ret_state);
/* The best point, in the box's units; it is feasible if any is. */
void de_classic_best(const struct de_classic *de, double *ret_x);

/* ---- The steady state of the same ---- */

struct de_trial {
    uint64_t id;     /* counts from 0 */
    const double *x; /* in the box's units; valid until it is told */
};
struct de_steady;

/* As de_classic_create; `workers`: about how many trials are out at once. */
struct de_steady *de_steady_create(const struct de_space *space,
                                   const struct rtc_de_options *options,
                                   const struct de_random *random, uint32_t workers,
                                   const char **ret_error);
void de_steady_free(struct de_steady *de);
void de_steady_seed(struct de_steady *de, const double *points, uint32_t count);
/* The next trial. False: none before something is told, or the run is over (then the status says
 * so). */
bool de_steady_ask(struct de_steady *de, struct de_trial *ret_trial);
/* Any order of ids. A NaN counts as infinite. False: no such trial is out. */
bool de_steady_tell(struct de_steady *de, uint64_t id, double value);
void de_steady_state(const struct de_steady *de, struct de_state *ret_state);
/* How many trials were numbered by now, those that violate a constraint among them. */
uint64_t de_steady_asked(const struct de_steady *de);
void de_steady_best(const struct de_steady *de, double *ret_x);

/* ---- L-SHADE: Tanabe & Fukunaga 2014 ----
 * Success-history adaptation of F and CR, current-to-pbest/1 with an archive, and a population that
 * shrinks linearly from `population` to 4 over the budget. The first population is a Latin
 * hypercube. What trial i of generation g draws is a function of (seed, g, i). */
struct de_lshade_options {
    uint64_t seed;
    uint64_t max_evaluations; /* the budget; at least the population */
    uint32_t population;      /* 0: max(10 × parameters, workers) */
    uint32_t workers;
    uint32_t memory;    /* 0: 6 */
    double archive;     /* 0: 2.6 × population */
    double pbest;       /* 0: 0.11 */
    bool async;         /* steady state: a trial replaces when it is told, nobody waits */
    const double *init; /* NULL, or n_init points that take the place of the first ones */
    uint32_t n_init;
};
struct de_lshade;

/* As de_classic_create. */
struct de_lshade *de_lshade_create(const struct de_box *box,
                                   const struct de_lshade_options *options, const char **ret_error);
void de_lshade_free(struct de_lshade *de);
/* As de_steady_ask and de_steady_tell. */
bool de_lshade_ask(struct de_lshade *de, struct de_trial *ret_trial);
bool de_lshade_tell(struct de_lshade *de, uint64_t id, double value);
void de_lshade_state(const struct de_lshade *de, struct de_state *ret_state);
uint64_t de_lshade_asked(const struct de_lshade *de);
void de_lshade_best(const struct de_lshade *de, double *ret_x);

#endif
