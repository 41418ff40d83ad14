/* Local searches by Nelder and Mead's simplex (1965), as machines like those of method.h: a
 * multistart of them, TikTak, and the parts both are made of. */
#ifndef ACTORS_DE_LOCAL_H
#define ACTORS_DE_LOCAL_H

#include "actors/de/method.h"

/* ---- Multistart ----
 * When a start has converged the next one begins at a new point. The points and the steps of a
 * start are a function of the options, of its number and of the values told for its own points, so
 * that every start ends as it does in whatever order the values come. What depends on the order is
 * the ids, and how far the last starts get before the budget is spent. A start takes some 100
 * evaluations for each parameter: with a budget for fewer than `concurrent` of those, none may get
 * to its end. */
struct de_neldermead_options {
    uint64_t seed;
    uint64_t max_evaluations; /* 0 = no limit, then `starts` is needed */
    const double *x0;         /* NULL, or where start 0 begins; the others draw by (seed, number) */
    double step;              /* of the initial simplex, relative to the box; 0: 0.2 */
    double xatol;        /* a simplex smaller than this part of the box has converged; 0: 1e-9 */
    double fatol;        /* … or one whose values agree, relatively; 0: 1e-4 */
    bool adaptive;       /* coefficients by the number of parameters: Gao & Han 2012 */
    uint32_t starts;     /* 0 = until the budget is spent */
    uint32_t concurrent; /* starts that run at the same time, as many as workers; 0: 1 */
};
struct de_neldermead;

/* As de_lshade_create and those that follow it. The state's members are the simplex with the lowest
 * value, its generation counts the iterations of all starts. */
struct de_neldermead *de_neldermead_create(const struct de_box *box,
                                           const struct de_neldermead_options *options,
                                           const char **ret_error);
void de_neldermead_free(struct de_neldermead *nm);
/* The vertices of a new simplex, and of one that shrinks, are there at once; else a start has one
 * point out. Earlier starts are served first, a new one begins when none has a point. */
bool de_neldermead_ask(struct de_neldermead *nm, struct de_trial *ret_trial);
bool de_neldermead_tell(struct de_neldermead *nm, uint64_t id, double value);
void de_neldermead_state(const struct de_neldermead *nm, struct de_state *ret_state);
void de_neldermead_best(const struct de_neldermead *nm, double *ret_x);

/* ---- TikTak: Arnoud, Guvenen & Kleineberg 2019 ----
 * Sobol's points first, then a local search from each of the best of them, in their order: search i
 * of k begins at (1 - θ) × its point + θ × the lowest minimum known, θ = √(i/k) within [0.1,
 * 0.995]. `workers` searches run at the same time; one begins as soon as another ends, and knows
 * the minima of those that ended before. So a run is a function of the options and of the order in
 * which values are told, the same whenever they are told in the order of asking by as many workers.
 * Last, the best minimum is polished. */
struct de_tiktak_options {
    uint64_t seed;
    uint64_t max_evaluations; /* needed; fewer are made when the polish ends before */
    uint32_t workers;         /* 0: 1 */
    uint32_t points;    /* of the first phase; 0: min(max_evaluations / 5, 50 × parameters) */
    uint32_t keep;      /* that a search begins from; 0: a tenth of them, at least 8 */
    double fatol;       /* of the searches, as above; 0: 1e-4 */
    double final_fatol; /* of the polish; 0: 1e-8 */
};
struct de_tiktak;

/* The members are the points of the first phase until a search has found a lower value, then the
 * simplex that has the lowest. */
struct de_tiktak *de_tiktak_create(const struct de_box *box,
                                   const struct de_tiktak_options *options, const char **ret_error);
void de_tiktak_free(struct de_tiktak *tt);
bool de_tiktak_ask(struct de_tiktak *tt, struct de_trial *ret_trial);
bool de_tiktak_tell(struct de_tiktak *tt, uint64_t id, double value);
void de_tiktak_state(const struct de_tiktak *tt, struct de_state *ret_state);
void de_tiktak_best(const struct de_tiktak *tt, double *ret_x);

/* ---- One search ----
 * Step for step SciPy's minimize(method='Nelder-Mead') with bounds: what leaves the box is clipped
 * to it. It differs in when it has converged, and in that the points of a shrink are asked
 * together. */
#define DE_SIMPLEX_MAX 1000u /* parameters */

struct de_simplex_options {
    double xatol, fatol;
    bool adaptive;
};
struct de_simplex;

const char *de_simplex_check(const struct de_box *box); /* NULL, or a sentence */
struct de_simplex *de_simplex_create(const struct de_box *box);
void de_simplex_free(struct de_simplex *s);
/* From (n + 1) × n vertices scaled to [0, 1], … */
void de_simplex_begin(struct de_simplex *s, const struct de_simplex_options *options,
                      const double *vertices);
/* … or from a point and one at a distance of `step` along each parameter, on the side with room. */
void de_simplex_begin_at(struct de_simplex *s, const struct de_simplex_options *options,
                         const double *u, double step);
/* False: none before something is told, or it has converged. The caller numbers the points. */
bool de_simplex_ask(struct de_simplex *s, uint64_t id, struct de_trial *ret_trial);
bool de_simplex_tell(struct de_simplex *s, uint64_t id, double value);
bool de_simplex_over(const struct de_simplex *s);
uint64_t de_simplex_iterations(const struct de_simplex *s);
/* The lowest value told. */
double de_simplex_best(const struct de_simplex *s);
/* The vertices and their values, the best first; not told yet: infinite. */
void de_simplex_copy(const struct de_simplex *s, double *ret_vertices, double *ret_values);

/* ---- Several at the same time ---- */
struct de_searches;

struct de_searches *de_searches_create(const struct de_box *box, uint32_t capacity);
void de_searches_free(struct de_searches *all);
/* Numbers ascend. False: `capacity` of them run. */
bool de_searches_begin(struct de_searches *all, uint64_t number,
                       const struct de_simplex_options *options, const double *u, double step);
uint32_t de_searches_running(const struct de_searches *all);
bool de_searches_ask(struct de_searches *all, uint64_t id, struct de_trial *ret_trial);
bool de_searches_tell(struct de_searches *all, uint64_t id, double value);
/* The lowest minimum of those that are over, and its point scaled to [0, 1]. */
double de_searches_minimum(const struct de_searches *all, const double **ret_u);
/* The simplex with the lowest value of all, of the lowest number among equals; sets all of the
 * state but the status and the evaluations. */
void de_searches_state(const struct de_searches *all, struct de_state *ret_state);

/* Within the bounds, whatever the rounding. */
double de_unscale(const struct de_box *box, uint32_t j, double u);
/* sqrt of the mean square deviation, over |mean|. */
double de_convergence(const double *values, uint32_t count);

#endif
