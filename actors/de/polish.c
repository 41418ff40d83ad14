#include "actors/de/polish.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/solvers.h"

#define STEP        1e-8                   /* of the differences, as SciPy's of L-BFGS-B */
#define PART        1.4901161193847656e-08 /* of x, as SciPy's where there are constraints */
#define HISTORY     10 /* corrections that L-BFGS-B keeps, its tolerances and limits: SciPy's */
#define FACTR       (2.220446049250313e-09 / 2.220446049250313e-16)
#define PGTOL       1e-5
#define MOST        15000u
#define SLSQP_TOL   1e-12
#define CLOSER_MOST 200u
#define MARGIN      1e-10 /* of what a constraint changes by across the box */

struct search {
    const struct de_solvers *lib;
    const struct de_space *space;
    de_evaluate_fn evaluate;
    void *arg;
    uint32_t n;
    double *lower, *upper, *points, *values; /* points: (n + 1) × n */
    double *last;                            /* where SLSQP was last */
    double high; /* in place of what is infinite; once something finite was seen */
    uint64_t evaluations;
    bool stopped;
};

/* A step away from x that stays inside. */
static double step_of(const struct search *s, uint32_t j, double x)
{
    double sign = x < 0 ? -1 : 1, h = sign * STEP;
    if (s->space->n_constraints || (x + h) - x == 0) /* too small beside x */
        h = sign * PART * fmax(1, fabs(x));
    if (x + h > s->upper[j] || x + h < s->lower[j])
        h = s->upper[j] - x > x - s->lower[j] ? fabs(h) : -fabs(h);
    return (x + h) - x;
}

/* Value and gradient, of one wave of evaluations. */
static bool value_and_gradient(struct search *s, const double *x, double *ret_value,
                               double *ret_gradient)
{
    uint32_t n = s->n, count = 1;
    memcpy(s->points, x, n * sizeof(double));
    for (uint32_t j = 0; j < n; j++) {
        ret_gradient[j] = 0;
        if (s->lower[j] == s->upper[j])
            continue;
        double *point = s->points + (size_t)count++ * n;
        memcpy(point, x, n * sizeof(double));
        point[j] += step_of(s, j, x[j]);
    }
    s->stopped |= s->evaluate(s->arg, s->points, count, s->values) < 0;
    s->evaluations += count;
    if (s->stopped)
        return false;
    *ret_value = s->values[0];
    for (uint32_t j = 0, at = 1; j < n; j++) {
        if (s->lower[j] != s->upper[j])
            ret_gradient[j] = (s->values[at++] - s->values[0]) / step_of(s, j, x[j]);
    }
    return true;
}

/* Line searches interpolate: an infinite value would send them to no number at all. */
static void tame(struct search *s, double *value, double *gradient)
{
    if (isfinite(*value) && s->high == INFINITY)
        s->high = *value + fabs(*value) + 1;
    if (!isfinite(*value))
        *value = s->high;
    for (uint32_t j = 0; gradient && j < s->n; j++)
        gradient[j] = isfinite(gradient[j]) ? gradient[j] : 0;
}

/* ---- L-BFGS-B ---- */

static bool says(const char *task, const char *word)
{
    return !strncmp(task, word, strlen(word));
}

static const char *lbfgsb(struct search *s, struct de_polished *ret)
{
    const int n = (int)s->n, m = HISTORY, quiet = -1;
    const double factr = FACTR, pgtol = PGTOL;
    double dsave[29], f = 0;
    char task[60], csave[60];
    int lsave[4], isave[44];
    size_t work = 2 * (size_t)m * s->n + 5 * (size_t)s->n + 11 * (size_t)m * m + 8 * (size_t)m;
    double *wa = calloc(work, sizeof(double));
    int *iwa = calloc(3 * (size_t)s->n, sizeof(int)), *nbd = calloc(s->n, sizeof(int));
    memset(task, ' ', sizeof(task));
    memset(csave, ' ', sizeof(csave));
    memcpy(task, "START", 5);
    for (uint32_t j = 0; nbd && j < s->n; j++)
        nbd[j] = 2; /* bounded on both sides */
    for (bool going = wa && iwa && nbd; going;) {
        s->lib->setulb(&n, &m, ret->x, s->lower, s->upper, nbd, &f, ret->jacobian, &factr, &pgtol,
                       wa, iwa, task, &quiet, csave, lsave, isave, dsave, sizeof(task),
                       sizeof(csave));
        if (says(task, "FG")) {
            going = s->evaluations < MOST && value_and_gradient(s, ret->x, &f, ret->jacobian);
            tame(s, &f, ret->jacobian);
        } else {
            going = says(task, "NEW_X");
        }
    }
    ret->value = f;
    ret->success = says(task, "CONV");
    const char *error = wa && iwa && nbd ? NULL : "out of memory";
    free(wa);
    free(iwa);
    free(nbd);
    return error;
}

/* ---- SLSQP ---- */

struct component { /* of a constraint: sign × c(x) + margin ≤ sign × bound, or equal */
    struct search *search;
    const struct rtc_de_constraint *constraint;
    uint32_t i;
    double bound, sign, margin;
};

static double slsqp_value(unsigned n, const double *x, double *gradient, void *data)
{
    struct search *s = data;
    double value = NAN;
    if (gradient) {
        memcpy(s->last, x, n * sizeof(double));
        value_and_gradient(s, x, &value, gradient);
    } else if (s->evaluate(s->arg, x, 1, &value) < 0)
        s->stopped = true;
    s->evaluations += !gradient;
    tame(s, &value, gradient);
    return s->stopped ? NAN : value;
}

static double component_at(const struct component *c, const double *x)
{
    const struct rtc_de_constraint *k = c->constraint;
    uint32_t n = c->search->n;
    double value = 0, *all = k->fn ? calloc(k->m, sizeof(double)) : NULL;
    if (k->fn)
        value = !all || k->fn(k->arg, x, n, all) ? NAN : all[c->i];
    for (uint32_t j = 0; !k->fn && j < n; j++)
        value += k->matrix[(size_t)c->i * n + j] * x[j];
    free(all);
    return c->sign * (value - c->bound) + c->margin;
}

static double slsqp_component(unsigned n, const double *x, double *gradient, void *data)
{
    struct component *c = data;
    double here = component_at(c, x), *moved = gradient ? malloc(n * sizeof(double)) : NULL;
    for (unsigned j = 0; moved && j < n; j++) {
        double h = step_of(c->search, j, x[j]);
        memcpy(moved, x, n * sizeof(double));
        moved[j] += h;
        gradient[j] = h == 0 ? 0 : (component_at(c, moved) - here) / h;
    }
    free(moved);
    return here;
}

/* SLSQP goes along the edge of what is allowed, and ends a rounding inside of it or outside. By
 * Lampinen's rule outside is nowhere, so it is given an edge a little further in, and what lies
 * between the two counts as allowed. */
static bool add_inequality(nlopt_opt opt, struct component *c, const double *x0, double most)
{
    const struct search *s = c->search;
    double *gradient = calloc(s->n, sizeof(double)), change = 0;
    if (!gradient)
        return false;
    slsqp_component(s->n, x0, gradient, c);
    for (uint32_t j = 0; j < s->n; j++)
        change += fabs(gradient[j]) * (s->upper[j] - s->lower[j]);
    free(gradient);
    c->margin = isfinite(change) ? fmin(MARGIN * change, most) : 0;
    return c->search->lib->add_inequality_constraint(opt, slsqp_component, c, c->margin) > 0;
}

static bool add_constraints(struct search *s, nlopt_opt opt, struct component *at, const double *x0)
{
    bool ok = true;
    for (uint32_t k = 0; k < s->space->n_constraints; k++) {
        const struct rtc_de_constraint *c = &s->space->constraints[k];
        for (uint32_t i = 0; i < c->m; i++) {
            double low = c->lower ? c->lower[i] : -INFINITY;
            double high = c->upper ? c->upper[i] : INFINITY;
            if (low == high) {
                *at = (struct component){s, c, i, low, 1, 0};
                ok &= s->lib->add_equality_constraint(opt, slsqp_component, at++, 0) > 0;
                continue;
            }
            *at = (struct component){s, c, i, low, -1, 0};
            if (isfinite(low))
                ok &= add_inequality(opt, at++, x0, (high - low) / 4);
            *at = (struct component){s, c, i, high, 1, 0};
            if (isfinite(high))
                ok &= add_inequality(opt, at++, x0, (high - low) / 4);
        }
    }
    return ok;
}

static nlopt_opt make(struct search *s, nlopt_func value, struct component *parts, const double *x0,
                      uint32_t most)
{
    nlopt_opt opt = s->lib->create(NLOPT_LD_SLSQP, s->n);
    bool ok = opt && s->lib->set_lower_bounds(opt, s->lower) > 0 &&
              s->lib->set_upper_bounds(opt, s->upper) > 0 &&
              s->lib->set_min_objective(opt, value, s) > 0 && add_constraints(s, opt, parts, x0);
    if (!ok) {
        s->lib->destroy(opt);
        return NULL;
    }
    s->lib->set_ftol_rel(opt, SLSQP_TOL);
    s->lib->set_xtol_rel(opt, SLSQP_TOL);
    s->lib->set_maxeval(opt, (int)most);
    return opt;
}

/* Of x from where SLSQP was last, the box as the measure. */
static double distance(unsigned n, const double *x, double *gradient, void *data)
{
    const struct search *s = data;
    double sum = 0;
    for (unsigned j = 0; j < n; j++) {
        double width = s->upper[j] - s->lower[j];
        double off = width > 0 ? (x[j] - s->last[j]) / width : 0;
        sum += off * off;
        if (gradient)
            gradient[j] = width > 0 ? 2 * off / width : 0;
    }
    return sum;
}

/* Where it ended is as good as the optimum, but often not allowed, and then NLopt gives the best of
 * what was, which may be the beginning. The nearest point that is allowed costs no evaluations to
 * find, and one to compare. */
static void step_inside(struct search *s, struct component *parts, struct de_polished *ret)
{
    double *x = malloc(s->n * sizeof(double)), *gradient = malloc(s->n * sizeof(double)), value, at;
    double *violations = malloc(s->space->n_violations * sizeof(double));
    nlopt_opt opt = make(s, distance, parts, s->last, CLOSER_MOST);
    if (x && gradient && violations && opt) {
        memcpy(x, s->last, s->n * sizeof(double));
        s->lib->optimize(opt, x, &at);
        bool worse = !de_space_violations(s->space, ret->x, violations);
        if (de_space_violations(s->space, x, violations) &&
            value_and_gradient(s, x, &value, gradient) && (worse || value < ret->value)) {
            memcpy(ret->x, x, s->n * sizeof(double));
            memcpy(ret->jacobian, gradient, s->n * sizeof(double));
            ret->value = value;
        }
    }
    s->lib->destroy(opt);
    free(x);
    free(gradient);
    free(violations);
}

static const char *slsqp(struct search *s, struct de_polished *ret)
{
    struct component *parts = calloc(2 * (size_t)s->space->n_violations + 1, sizeof(*parts));
    const char *error = "out of memory";
    nlopt_opt opt = NULL;
    s->last = malloc(s->n * sizeof(double));
    if (s->last && parts) {
        memcpy(s->last, ret->x, s->n * sizeof(double));
        opt = make(s, slsqp_value, parts, ret->x, MOST / (s->n + 1) + 1);
        error = opt ? NULL : "the constraints are not such as SLSQP takes";
    }
    if (opt) {
        double value;
        nlopt_result rc = s->lib->optimize(opt, ret->x, &ret->value);
        /* That it can get no closer for roundings is an end like another. */
        ret->success = rc == NLOPT_ROUNDOFF_LIMITED || (rc > 0 && rc != NLOPT_MAXEVAL_REACHED);
        if (ret->success && !s->stopped)
            value_and_gradient(s, ret->x, &value, ret->jacobian);
        if (ret->success && !s->stopped)
            step_inside(s, parts, ret);
    }
    s->lib->destroy(opt);
    free(parts);
    free(s->last);
    return error;
}

const char *de_polish(const struct de_space *space, const double *x0, de_evaluate_fn evaluate,
                      void *arg, struct de_polished *ret)
{
    uint32_t n = space->n;
    struct search s = {.space = space, .evaluate = evaluate, .arg = arg, .n = n, .high = INFINITY};
    s.lower = malloc(n * sizeof(double));
    s.upper = malloc(n * sizeof(double));
    s.points = malloc((size_t)(n + 1) * n * sizeof(double));
    s.values = malloc((n + 1) * sizeof(double));
    const char *error;
    ret->evaluations = 0;
    ret->success = false;
    s.lib = de_solvers_load(&error);
    if (s.lib)
        error = "out of memory";
    if (s.lib && s.lower && s.upper && s.points && s.values) {
        for (uint32_t j = 0; j < n; j++) {
            bool fixed = space->integrality && space->integrality[j];
            s.lower[j] = fixed ? x0[j] : space->lower[j];
            s.upper[j] = fixed ? x0[j] : space->upper[j];
            ret->jacobian[j] = 0;
        }
        memcpy(ret->x, x0, n * sizeof(double));
        error = space->n_constraints ? slsqp(&s, ret) : lbfgsb(&s, ret);
        for (uint32_t j = 0; j < n; j++)
            ret->success &= ret->x[j] >= s.lower[j] && ret->x[j] <= s.upper[j];
        ret->success &= !s.stopped;
        ret->evaluations = s.evaluations;
    }
    free(s.lower);
    free(s.upper);
    free(s.points);
    free(s.values);
    return error;
}
