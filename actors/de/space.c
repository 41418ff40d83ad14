#include "actors/de/space.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *name_of(const struct rtc_de_options *o, uint32_t j, char *text, size_t size)
{
    if (o->names)
        return o->names[j];
    snprintf(text, size, "x%u", j);
    return text;
}

static void measure(struct de_space *space, uint32_t j)
{
    space->middle[j] = 0.5 * (space->lower[j] + space->upper[j]);
    space->width[j] = fabs(space->lower[j] - space->upper[j]);
}

static const char *take_bounds(struct de_space *space, const struct rtc_de_options *o, bool legacy,
                               char *why, size_t size)
{
    char text[32];
    for (uint32_t j = 0; j < o->n; j++) {
        double low = o->lower[j], high = o->upper[j];
        if (!isfinite(low) || !isfinite(high)) {
            snprintf(why, size, "parameter %s: low %g and high %g must be finite numbers",
                     name_of(o, j, text, sizeof(text)), low, high);
            return why;
        }
        space->lower[j] = low;
        space->upper[j] = high;
        measure(space, j);
        space->n_equal += low == high;
        if (!o->integrality || !o->integrality[j])
            continue;
        low = ceil(fmin(space->lower[j], space->upper[j]));
        high = floor(fmax(space->lower[j], space->upper[j]));
        if (low > high) {
            snprintf(why, size, "parameter %s: there is no integer between %g and %g",
                     name_of(o, j, text, sizeof(text)), o->lower[j], o->upper[j]);
            return why;
        }
        space->lower[j] = nextafter(low - 0.5, INFINITY);
        space->upper[j] = nextafter(high + 0.5, -INFINITY);
        if (!legacy)
            measure(space, j);
    }
    return NULL;
}

static const char *take_constraints(struct de_space *space, const struct rtc_de_options *o,
                                    char *why, size_t size)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < o->n_constraints; i++) {
        const struct rtc_de_constraint *c = &o->constraints[i];
        if (!c->m || c->m > 10000 || (!c->fn && !c->matrix) || (!c->lower && !c->upper)) {
            snprintf(why, size,
                     "constraint %u: a function or a matrix, its number of components and at least "
                     "one bound are needed",
                     i + 1);
            return why;
        }
        space->n_violations += c->m;
        most = c->m > most ? c->m : most;
    }
    space->scratch = calloc(most, sizeof(double));
    return space->scratch ? NULL : "out of memory";
}

const char *de_space_init(struct de_space *space, const struct rtc_de_options *options, bool legacy,
                          char *why, size_t size)
{
    *space = (struct de_space){.n = options->n,
                               .integrality = options->integrality,
                               .constraints = options->constraints,
                               .n_constraints = options->n_constraints};
    if (!options->n || options->n > 100000 || !options->lower || !options->upper)
        return "between 1 and 100,000 parameters are possible, each with its bounds";
    space->lower = calloc(options->n, sizeof(double));
    space->upper = calloc(options->n, sizeof(double));
    space->middle = calloc(options->n, sizeof(double));
    space->width = calloc(options->n, sizeof(double));
    if (!space->lower || !space->upper || !space->middle || !space->width)
        return "out of memory";
    const char *error = take_bounds(space, options, legacy, why, size);
    if (!error)
        error = take_constraints(space, options, why, size);
    for (uint32_t j = 0; j < space->n && !error; j++) {
        if (space->lower[j] > space->upper[j]) { /* SciPy takes them either way round */
            double low = space->upper[j];
            space->upper[j] = space->lower[j];
            space->lower[j] = low;
        }
    }
    return error;
}

void de_space_free(struct de_space *space)
{
    free(space->lower);
    free(space->upper);
    free(space->middle);
    free(space->width);
    free(space->scratch);
    *space = (struct de_space){0};
}

double de_space_scale(const struct de_space *space, uint32_t j, double u)
{
    double x = space->middle[j] + (u - 0.5) * space->width[j];
    return space->integrality && space->integrality[j] ? rint(x) : x;
}

double de_space_unscale(const struct de_space *space, uint32_t j, double x)
{
    if (space->width[j] == 0) /* a parameter that is fixed */
        return 0.5;
    return (x - space->middle[j]) / space->width[j] + 0.5;
}

void de_space_round(const struct de_space *space, double *x)
{
    for (uint32_t j = 0; j < space->n && space->integrality; j++) {
        if (space->integrality[j])
            x[j] = rint(x[j]);
    }
}

static void components(const struct rtc_de_constraint *c, const double *x, uint32_t n, double *out)
{
    for (uint32_t i = 0; i < c->m; i++)
        out[i] = NAN;
    if (c->fn) {
        if (c->fn(c->arg, x, n, out)) {
            for (uint32_t i = 0; i < c->m; i++)
                out[i] = NAN;
        }
        return;
    }
    for (uint32_t i = 0; i < c->m; i++) {
        out[i] = 0;
        for (uint32_t j = 0; j < n; j++)
            out[i] += c->matrix[(size_t)i * n + j] * x[j];
    }
}

bool de_space_violations(const struct de_space *space, const double *x, double *ret)
{
    bool feasible = true;
    for (uint32_t k = 0; k < space->n_constraints; k++) {
        const struct rtc_de_constraint *c = &space->constraints[k];
        components(c, x, space->n, space->scratch);
        for (uint32_t i = 0; i < c->m; i++, ret++) {
            double below = c->lower ? c->lower[i] - space->scratch[i] : 0;
            double above = c->upper ? space->scratch[i] - c->upper[i] : 0;
            *ret = isnan(space->scratch[i]) ? INFINITY : fmax(below, 0) + fmax(above, 0);
            feasible &= !(*ret > 0);
        }
    }
    return feasible;
}

bool de_space_accepts(double value, bool feasible, const double *violations, double old_value,
                      bool old_feasible, const double *old_violations, uint32_t n_violations)
{
    if (feasible)
        return !old_feasible || value <= old_value;
    for (uint32_t i = 0; i < n_violations; i++) {
        if (violations[i] > old_violations[i])
            return false;
    }
    return true;
}
