/* Two phases and a polish. The points of the first phase have the first ids; after it, a tell that
 * ends a search begins the next at once, so that what a search knows when it begins does not depend
 * on when somebody asks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/local.h"
#include "actors/de/sampling.h"

#define WORKERS     1000u
#define POINTS      10000000u
#define STEP        0.1  /* of a search's first simplex, relative to the box */
#define POLISH_STEP 0.01 /* … and of the polish's */
#define XATOL       1e-9
#define ALLOC(p, n) ((p) = calloc((n) + (size_t)1, sizeof(*(p))))

struct point {
    uint32_t at; /* in Sobol's sequence */
    bool told;
    double value;
    double *u;
};
struct de_tiktak {
    struct de_tiktak_options o;
    struct de_box box;
    struct de_searches *searches;
    uint32_t n, keep, next_search;
    bool polishing;
    enum de_status status;
    uint64_t next_id, told;
    struct point *points; /* by value when all are told */
    double *points_u, *points_x, *start, *flat, *values;
};

/* ---- Creation ---- */

static uint32_t default_points(const struct de_box *box, uint64_t budget)
{
    uint64_t points = 50 * (uint64_t)box->n;
    points = budget / 5 < points ? budget / 5 : points;
    return points ? (uint32_t)points : 1;
}

static const char *check(const struct de_box *box, const struct de_tiktak_options *o)
{
    const char *error = de_simplex_check(box);
    if (error)
        return error;
    if (box->n > DE_SOBOL_MAX)
        return "tiktak begins with Sobol's points: at most 256 parameters are possible";
    if (!o->max_evaluations)
        return "tiktak is sized by its budget: max_evaluations is needed";
    if (o->workers > WORKERS)
        return "at most 1,000 searches can run at the same time";
    if (o->points > POINTS || o->points > o->max_evaluations)
        return "points must not exceed max_evaluations, nor 10,000,000";
    if (!(o->fatol >= 0 && o->final_fatol >= 0))
        return "fatol and final_fatol must not be negative";
    return NULL;
}

static const char *create(struct de_tiktak *tt)
{
    static const char memory[] = "out of memory";
    size_t total = (size_t)tt->o.points * tt->n;
    struct de_random random;
    tt->searches = de_searches_create(&tt->box, tt->o.workers);
    if (!tt->searches || !ALLOC(tt->points, tt->o.points) || !ALLOC(tt->points_u, total) ||
        !ALLOC(tt->points_x, total) || !ALLOC(tt->start, tt->n) || !ALLOC(tt->flat, total) ||
        !ALLOC(tt->values, tt->o.points))
        return memory;
    de_random_philox(&random, tt->o.seed, 0, 0);
    const char *error = de_sample_sobol(&random, tt->n, tt->o.points, tt->points_u);
    for (uint32_t i = 0; !error && i < tt->o.points; i++) {
        tt->points[i] = (struct point){i, false, INFINITY, tt->points_u + (size_t)i * tt->n};
        for (uint32_t j = 0; j < tt->n; j++)
            tt->points_x[(size_t)i * tt->n + j] = de_unscale(&tt->box, j, tt->points[i].u[j]);
    }
    return error;
}

struct de_tiktak *de_tiktak_create(const struct de_box *box,
                                   const struct de_tiktak_options *options, const char **ret_error)
{
    *ret_error = check(box, options);
    struct de_tiktak *tt = *ret_error ? NULL : calloc(1, sizeof(*tt));
    if (!tt)
        return NULL;
    tt->o = *options;
    tt->box = *box;
    tt->n = box->n;
    tt->o.workers = options->workers ? options->workers : 1;
    tt->o.points =
        options->points ? options->points : default_points(box, options->max_evaluations);
    tt->keep = options->keep ? options->keep : tt->o.points / 10 > 8 ? tt->o.points / 10 : 8;
    tt->keep = tt->keep < tt->o.points ? tt->keep : tt->o.points;
    tt->o.fatol = options->fatol > 0 ? options->fatol : 1e-4;
    tt->o.final_fatol = options->final_fatol > 0 ? options->final_fatol : 1e-8;
    *ret_error = create(tt);
    if (*ret_error) {
        de_tiktak_free(tt);
        return NULL;
    }
    return tt;
}

void de_tiktak_free(struct de_tiktak *tt)
{
    if (!tt)
        return;
    de_searches_free(tt->searches);
    void *const parts[] = {tt->points, tt->points_u, tt->points_x, tt->start, tt->flat, tt->values};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        free(parts[i]);
    free(tt);
}

/* ---- Searches ---- */

/* The lowest of the minima and of the points. */
static const double *lowest(const struct de_tiktak *tt)
{
    const double *u;
    double minimum = de_searches_minimum(tt->searches, &u);
    return minimum < tt->points[0].value ? u : tt->points[0].u;
}

static bool begin_search(struct de_tiktak *tt)
{
    struct de_simplex_options options = {XATOL, tt->o.fatol, false};
    const double *low = lowest(tt), *own = tt->points[tt->next_search].u;
    double theta = sqrt((double)(tt->next_search + 1) / tt->keep);
    theta = theta < 0.1 ? 0.1 : theta > 0.995 ? 0.995 : theta;
    for (uint32_t j = 0; j < tt->n; j++)
        tt->start[j] = (1 - theta) * own[j] + theta * low[j];
    if (!de_searches_begin(tt->searches, tt->next_search, &options, tt->start, STEP))
        return false;
    tt->next_search++;
    return true;
}

/* As many as there are workers; after the last of them the polish, and after that the end. */
static void go_on(struct de_tiktak *tt)
{
    struct de_simplex_options polish = {XATOL, tt->o.final_fatol, false};
    while (tt->next_search < tt->keep && begin_search(tt)) {
    }
    if (de_searches_running(tt->searches))
        return;
    if (tt->polishing) {
        tt->status = DE_CONVERGED;
        return;
    }
    tt->polishing = true;
    de_searches_begin(tt->searches, tt->keep, &polish, lowest(tt), POLISH_STEP);
}

static int by_value(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* No search begins at a point without a value, unless there is no other. */
static void end_points(struct de_tiktak *tt)
{
    qsort(tt->points, tt->o.points, sizeof(*tt->points), by_value);
    while (tt->keep > 1 && !isfinite(tt->points[tt->keep - 1].value))
        tt->keep--;
    go_on(tt);
}

bool de_tiktak_ask(struct de_tiktak *tt, struct de_trial *ret_trial)
{
    if (tt->status != DE_RUNNING || tt->next_id == tt->o.max_evaluations)
        return false;
    if (tt->next_id < tt->o.points)
        *ret_trial = (struct de_trial){tt->next_id, tt->points_x + tt->next_id * tt->n};
    else if (!de_searches_ask(tt->searches, tt->next_id, ret_trial))
        return false;
    tt->next_id++;
    return true;
}

static bool tell_point(struct de_tiktak *tt, uint64_t id, double value)
{
    if (id >= tt->next_id || tt->told >= tt->o.points || tt->points[id].told)
        return false;
    tt->points[id].value = isnan(value) ? INFINITY : value;
    tt->points[id].told = true;
    return true;
}

bool de_tiktak_tell(struct de_tiktak *tt, uint64_t id, double value)
{
    if (!(id < tt->o.points ? tell_point(tt, id, value)
                            : de_searches_tell(tt->searches, id, value)))
        return false;
    if (++tt->told == tt->o.points)
        end_points(tt);
    else if (tt->told > tt->o.points)
        go_on(tt);
    if (tt->told == tt->o.max_evaluations && tt->status == DE_RUNNING)
        tt->status = DE_REACHED_EVALUATIONS;
    return true;
}

/* ---- Looking ---- */

static uint32_t best_point(const struct de_tiktak *tt)
{
    uint32_t best = 0;
    for (uint32_t i = 1; tt->told < tt->o.points && i < tt->o.points; i++) { /* else sorted */
        if (tt->points[i].value < tt->points[best].value)
            best = i;
    }
    return best;
}

/* The best first, a value that is not told yet is infinite. */
static void points_state(const struct de_tiktak *tt, uint32_t best, struct de_state *ret_state)
{
    for (uint32_t i = 0; i < tt->o.points; i++) {
        uint32_t from = i == 0 ? best : i == best ? 0 : i;
        memcpy(tt->flat + (size_t)i * tt->n, tt->points[from].u, tt->n * sizeof(double));
        tt->values[i] = tt->points[from].value;
    }
    ret_state->population = tt->o.points;
    ret_state->members = tt->flat;
    ret_state->values = tt->values;
    ret_state->best = tt->values[0];
    ret_state->convergence = de_convergence(tt->values, tt->o.points);
}

void de_tiktak_state(const struct de_tiktak *tt, struct de_state *ret_state)
{
    uint32_t best = best_point(tt);
    de_searches_state(tt->searches, ret_state);
    if (!(ret_state->best < tt->points[best].value))
        points_state(tt, best, ret_state);
    ret_state->status = tt->status;
    ret_state->evaluations = tt->told;
}

void de_tiktak_best(const struct de_tiktak *tt, double *ret_x)
{
    struct de_state state;
    de_tiktak_state(tt, &state);
    for (uint32_t j = 0; j < tt->n && tt->told; j++)
        ret_x[j] = de_unscale(&tt->box, j, state.members[j]);
}
