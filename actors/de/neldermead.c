/* Numbers of starts are all that a start knows of the others: it draws where it begins by its own.
 */
#include <stdlib.h>

#include "actors/de/local.h"

#define CONCURRENT  1000u
#define ALLOC(p, n) ((p) = calloc((n) + (size_t)1, sizeof(*(p))))

struct de_neldermead {
    struct de_neldermead_options o;
    struct de_box box;
    struct de_searches *searches;
    uint32_t next_start;
    enum de_status status;
    uint64_t next_id, told;
    double *first, *u; /* x0, scaled; where a start begins */
};

static const char *check(const struct de_box *box, const struct de_neldermead_options *o)
{
    const char *error = de_simplex_check(box);
    if (error)
        return error;
    if (!o->max_evaluations && !o->starts)
        return "a multistart without end: max_evaluations or starts is needed";
    if (o->concurrent > CONCURRENT)
        return "at most 1,000 starts can run at the same time";
    if (!(o->step >= 0 && o->step <= 1 && o->xatol >= 0 && o->fatol >= 0))
        return "step must lie in [0, 1], xatol and fatol must not be negative";
    for (uint32_t j = 0; o->x0 && j < box->n; j++) {
        if (!(o->x0[j] >= box->lower[j] && o->x0[j] <= box->upper[j]))
            return "x0 must lie within the bounds";
    }
    return NULL;
}

struct de_neldermead *de_neldermead_create(const struct de_box *box,
                                           const struct de_neldermead_options *options,
                                           const char **ret_error)
{
    *ret_error = check(box, options);
    struct de_neldermead *nm = *ret_error ? NULL : calloc(1, sizeof(*nm));
    if (!nm)
        return NULL;
    nm->o = *options;
    nm->box = *box;
    nm->o.max_evaluations = options->max_evaluations ? options->max_evaluations : UINT64_MAX;
    nm->o.starts = options->starts ? options->starts : UINT32_MAX;
    nm->o.concurrent = options->concurrent ? options->concurrent : 1;
    nm->o.step = options->step > 0 ? options->step : 0.2;
    nm->o.xatol = options->xatol > 0 ? options->xatol : 1e-9;
    nm->o.fatol = options->fatol > 0 ? options->fatol : 1e-4;
    nm->searches = de_searches_create(box, nm->o.concurrent);
    if (!nm->searches || !ALLOC(nm->first, box->n) || !ALLOC(nm->u, box->n)) {
        de_neldermead_free(nm);
        return NULL;
    }
    for (uint32_t j = 0; options->x0 && j < box->n; j++) {
        double range = box->upper[j] - box->lower[j];
        nm->first[j] = range > 0 ? (options->x0[j] - box->lower[j]) / range : 0;
    }
    return nm;
}

void de_neldermead_free(struct de_neldermead *nm)
{
    if (!nm)
        return;
    de_searches_free(nm->searches);
    free(nm->first);
    free(nm->u);
    free(nm);
}

static bool begin(struct de_neldermead *nm)
{
    struct de_simplex_options options = {nm->o.xatol, nm->o.fatol, nm->o.adaptive};
    struct de_random random;
    const double *u = nm->u;
    if (nm->next_start == nm->o.starts || de_searches_running(nm->searches) == nm->o.concurrent)
        return false;
    de_random_philox(&random, nm->o.seed, nm->next_start, 0);
    for (uint32_t j = 0; j < nm->box.n; j++)
        nm->u[j] = de_random_double(&random);
    if (!nm->next_start && nm->o.x0)
        u = nm->first;
    return de_searches_begin(nm->searches, nm->next_start++, &options, u, nm->o.step);
}

bool de_neldermead_ask(struct de_neldermead *nm, struct de_trial *ret_trial)
{
    if (nm->status != DE_RUNNING || nm->next_id == nm->o.max_evaluations)
        return false;
    if (!de_searches_ask(nm->searches, nm->next_id, ret_trial) &&
        !(begin(nm) && de_searches_ask(nm->searches, nm->next_id, ret_trial)))
        return false;
    nm->next_id++;
    return true;
}

bool de_neldermead_tell(struct de_neldermead *nm, uint64_t id, double value)
{
    if (!de_searches_tell(nm->searches, id, value))
        return false;
    nm->told++;
    if (nm->next_start == nm->o.starts && !de_searches_running(nm->searches))
        nm->status = DE_CONVERGED;
    else if (nm->told == nm->o.max_evaluations)
        nm->status = DE_REACHED_EVALUATIONS;
    return true;
}

void de_neldermead_state(const struct de_neldermead *nm, struct de_state *ret_state)
{
    de_searches_state(nm->searches, ret_state);
    ret_state->status = nm->status;
    ret_state->evaluations = nm->told;
}

void de_neldermead_best(const struct de_neldermead *nm, double *ret_x)
{
    struct de_state state;
    de_searches_state(nm->searches, &state);
    for (uint32_t j = 0; j < nm->box.n && nm->told; j++)
        ret_x[j] = de_unscale(&nm->box, j, state.members[j]);
}
