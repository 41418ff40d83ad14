/* A simplex lives in [0, 1]^n, its vertices sorted by value whenever a step is chosen. What it has
 * out is one batch: all vertices, or all but the best of them, or a single trial point. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/local.h"

#define WIDE        1e-2 /* values in a simplex as wide as this part of the box agree by chance */
#define ALLOC(p, n) ((p) = calloc((n) + (size_t)1, sizeof(*(p))))

enum stage { INITIAL, REFLECT, EXPAND, OUTSIDE, INSIDE, SHRINK, OVER };

struct out {
    uint64_t id;
    bool waits;
};
struct de_simplex {
    struct de_simplex_options o;
    struct de_box box;
    uint32_t n, size, asked, told; /* of the batch */
    double rho, chi, psi, sigma;
    enum stage stage;
    uint64_t iterations;
    double **vertex, *f;
    double *vertices, *mean, *trial, *reflected, *x;
    double f_trial, f_reflected;
    struct out *out;
};

const char *de_simplex_check(const struct de_box *box)
{
    if (!box->n || box->n > DE_SIMPLEX_MAX)
        return "between 1 and 1,000 parameters are possible";
    for (uint32_t j = 0; j < box->n; j++) {
        if (!isfinite(box->lower[j]) || !isfinite(box->upper[j]) || box->lower[j] > box->upper[j])
            return "bounds must be finite pairs (low, high), one for each parameter";
    }
    return NULL;
}

struct de_simplex *de_simplex_create(const struct de_box *box)
{
    struct de_simplex *s = calloc(1, sizeof(*s));
    uint32_t n = box->n;
    if (!s)
        return NULL;
    s->box = *box;
    s->n = n;
    s->stage = OVER;
    if (!ALLOC(s->vertex, n + 1) || !ALLOC(s->f, n + 1) || !ALLOC(s->out, n + 1) ||
        !ALLOC(s->vertices, (n + 1) * (size_t)n) || !ALLOC(s->x, (n + 1) * (size_t)n) ||
        !ALLOC(s->mean, n) || !ALLOC(s->trial, n) || !ALLOC(s->reflected, n)) {
        de_simplex_free(s);
        return NULL;
    }
    return s;
}

void de_simplex_free(struct de_simplex *s)
{
    if (!s)
        return;
    void *const parts[] = {s->vertex, s->f,     s->out,       s->vertices,
                           s->x,      s->trial, s->reflected, s->mean};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        free(parts[i]);
    free(s);
}

static double clip(double u)
{
    return u < 0 ? 0 : u > 1 ? 1 : u;
}

static void batch(struct de_simplex *s, enum stage stage, uint32_t size)
{
    s->stage = stage;
    s->size = size;
    s->asked = s->told = 0;
}

void de_simplex_begin(struct de_simplex *s, const struct de_simplex_options *options,
                      const double *vertices)
{
    bool adaptive = options->adaptive && s->n > 1;
    s->o = *options;
    s->rho = 1;
    s->chi = adaptive ? 1 + 2.0 / s->n : 2;
    s->psi = adaptive ? 0.75 - 1 / (2.0 * s->n) : 0.5;
    s->sigma = adaptive ? 1 - 1.0 / s->n : 0.5;
    s->iterations = 0;
    for (uint32_t i = 0; i <= s->n; i++) {
        s->vertex[i] = s->vertices + (size_t)i * s->n;
        s->f[i] = INFINITY;
        for (uint32_t j = 0; j < s->n; j++)
            s->vertex[i][j] = clip(vertices[(size_t)i * s->n + j]);
    }
    batch(s, INITIAL, s->n + 1);
}

void de_simplex_begin_at(struct de_simplex *s, const struct de_simplex_options *options,
                         const double *u, double step)
{
    double *vertices = s->x; /* nothing is out */
    for (uint32_t i = 0; i <= s->n; i++) {
        for (uint32_t j = 0; j < s->n; j++)
            vertices[(size_t)i * s->n + j] = clip(u[j]);
        if (i) {
            double *moved = &vertices[(size_t)i * s->n + i - 1];
            *moved += *moved + step > 1 ? -step : step;
        }
    }
    de_simplex_begin(s, options, vertices);
}

/* ---- Steps ---- */

/* Stable, as SciPy's sort of so few values is. */
static void sort(double **vertex, double *f, uint32_t n)
{
    for (uint32_t i = 1; i <= n; i++) {
        double *v = vertex[i], value = f[i];
        uint32_t k = i;
        for (; k && f[k - 1] > value; k--) {
            vertex[k] = vertex[k - 1];
            f[k] = f[k - 1];
        }
        vertex[k] = v;
        f[k] = value;
    }
}

/* On the line through the mean of all but the worst vertex, and the worst. */
static void propose(struct de_simplex *s, enum stage stage, double mean, double worst)
{
    for (uint32_t j = 0; j < s->n; j++)
        s->trial[j] = clip(mean * s->mean[j] - worst * s->vertex[s->n][j]);
    batch(s, stage, 1);
}

/* A minimum of 0 is approached without the values ever agreeing relatively, hence xatol. */
static bool converged(const struct de_simplex *s)
{
    double width = 0, low = s->f[0], high = s->f[s->n];
    for (uint32_t i = 1; i <= s->n; i++) {
        for (uint32_t j = 0; j < s->n; j++)
            width = fmax(width, fabs(s->vertex[i][j] - s->vertex[0][j]));
    }
    if (!isfinite(low) || width <= s->o.xatol)
        return true;
    return width <= WIDE && isfinite(high) &&
           high - low <= s->o.fatol * 0.5 * (fabs(low) + fabs(high));
}

static void iterate(struct de_simplex *s)
{
    sort(s->vertex, s->f, s->n);
    if (converged(s)) {
        batch(s, OVER, 0);
        return;
    }
    for (uint32_t j = 0; j < s->n; j++) {
        s->mean[j] = 0;
        for (uint32_t i = 0; i < s->n; i++)
            s->mean[j] += s->vertex[i][j];
        s->mean[j] /= s->n;
    }
    propose(s, REFLECT, 1 + s->rho, s->rho);
}

static void accept(struct de_simplex *s, const double *u, double value)
{
    memcpy(s->vertex[s->n], u, s->n * sizeof(*u));
    s->f[s->n] = value;
    s->iterations++;
    iterate(s);
}

static void shrink(struct de_simplex *s)
{
    for (uint32_t i = 1; i <= s->n; i++) {
        for (uint32_t j = 0; j < s->n; j++) {
            double best = s->vertex[0][j];
            s->vertex[i][j] = clip(best + s->sigma * (s->vertex[i][j] - best));
        }
        s->f[i] = INFINITY;
    }
    batch(s, SHRINK, s->n);
}

static void was_reflected(struct de_simplex *s)
{
    double value = s->f_reflected = s->f_trial;
    memcpy(s->reflected, s->trial, s->n * sizeof(*s->trial));
    if (value < s->f[0])
        propose(s, EXPAND, 1 + s->rho * s->chi, s->rho * s->chi);
    else if (value < s->f[s->n - 1])
        accept(s, s->reflected, value);
    else if (value < s->f[s->n])
        propose(s, OUTSIDE, 1 + s->psi * s->rho, s->psi * s->rho);
    else
        propose(s, INSIDE, 1 - s->psi, -s->psi);
}

/* The batch was told. */
static void advance(struct de_simplex *s)
{
    double value = s->f_trial;
    if (s->stage == INITIAL || s->stage == SHRINK) {
        s->iterations += s->stage == SHRINK;
        iterate(s);
    } else if (s->stage == REFLECT) {
        was_reflected(s);
    } else if (s->stage == EXPAND && !(value < s->f_reflected)) {
        accept(s, s->reflected, s->f_reflected);
    } else if ((s->stage == OUTSIDE && !(value <= s->f_reflected)) ||
               (s->stage == INSIDE && !(value < s->f[s->n]))) {
        shrink(s);
    } else {
        accept(s, s->trial, value);
    }
}

bool de_simplex_ask(struct de_simplex *s, uint64_t id, struct de_trial *ret_trial)
{
    if (s->asked == s->size)
        return false;
    uint32_t i = s->asked++;
    const double *u = s->stage == INITIAL  ? s->vertex[i]
                      : s->stage == SHRINK ? s->vertex[i + 1]
                                           : s->trial;
    double *x = s->x + (size_t)i * s->n;
    for (uint32_t j = 0; j < s->n; j++)
        x[j] = de_unscale(&s->box, j, u[j]);
    s->out[i] = (struct out){id, true};
    *ret_trial = (struct de_trial){id, x};
    return true;
}

bool de_simplex_tell(struct de_simplex *s, uint64_t id, double value)
{
    uint32_t i = 0;
    while (i < s->asked && !(s->out[i].waits && s->out[i].id == id))
        i++;
    if (i == s->asked)
        return false;
    s->out[i].waits = false;
    value = isnan(value) ? INFINITY : value;
    if (s->stage == INITIAL || s->stage == SHRINK)
        s->f[i + (s->stage == SHRINK)] = value;
    else
        s->f_trial = value;
    if (++s->told == s->size)
        advance(s);
    return true;
}

bool de_simplex_over(const struct de_simplex *s)
{
    return s->stage == OVER;
}

uint64_t de_simplex_iterations(const struct de_simplex *s)
{
    return s->iterations;
}

double de_simplex_best(const struct de_simplex *s)
{
    double best = s->stage == EXPAND ? s->f_reflected : INFINITY;
    for (uint32_t i = 0; i <= s->n; i++)
        best = fmin(best, s->f[i]);
    return best;
}

void de_simplex_copy(const struct de_simplex *s, double *ret_vertices, double *ret_values)
{
    for (uint32_t i = 0; i <= s->n; i++) {               /* stable insertion again, into rows */
        bool replaced = i == s->n && s->stage == EXPAND; /* by what is at least as good */
        double value = replaced ? s->f_reflected : s->f[i];
        uint32_t k = i;
        for (; k && ret_values[k - 1] > value; k--)
            ret_values[k] = ret_values[k - 1];
        ret_values[k] = value;
        double *row = ret_vertices + (size_t)k * s->n;
        memmove(row + s->n, row, (size_t)(i - k) * s->n * sizeof(*row));
        memcpy(row, replaced ? s->reflected : s->vertex[i], s->n * sizeof(*row));
    }
}

/* ---- Several at the same time ---- */

struct search {
    struct de_simplex *simplex;
    uint64_t number;
};
struct de_searches {
    struct de_box box;
    uint32_t capacity, running;
    struct search *searches; /* those that run first, by number */
    uint64_t iterations, number;
    double *ended, *ended_values; /* the best simplex that is over; `number` is its */
    double *flat, *values;
};

struct de_searches *de_searches_create(const struct de_box *box, uint32_t capacity)
{
    struct de_searches *all = calloc(1, sizeof(*all));
    size_t total = (box->n + (size_t)1) * box->n;
    bool fine = all && ALLOC(all->searches, capacity) && ALLOC(all->ended, total) &&
                ALLOC(all->flat, total) && ALLOC(all->ended_values, box->n + 1) &&
                ALLOC(all->values, box->n + 1);
    for (uint32_t i = 0; fine && i < capacity; i++, all->capacity++)
        fine = (all->searches[i].simplex = de_simplex_create(box)) != NULL;
    if (!fine) {
        de_searches_free(all);
        return NULL;
    }
    all->box = *box;
    all->number = UINT64_MAX;
    for (uint32_t i = 0; i <= box->n; i++)
        all->ended_values[i] = INFINITY;
    return all;
}

void de_searches_free(struct de_searches *all)
{
    if (!all)
        return;
    for (uint32_t i = 0; i < all->capacity; i++)
        de_simplex_free(all->searches[i].simplex);
    void *const parts[] = {all->searches, all->ended, all->ended_values, all->flat, all->values};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        free(parts[i]);
    free(all);
}

bool de_searches_begin(struct de_searches *all, uint64_t number,
                       const struct de_simplex_options *options, const double *u, double step)
{
    if (all->running == all->capacity)
        return false;
    struct search *search = &all->searches[all->running++];
    search->number = number;
    de_simplex_begin_at(search->simplex, options, u, step);
    return true;
}

uint32_t de_searches_running(const struct de_searches *all)
{
    return all->running;
}

bool de_searches_ask(struct de_searches *all, uint64_t id, struct de_trial *ret_trial)
{
    for (uint32_t i = 0; i < all->running; i++) {
        if (de_simplex_ask(all->searches[i].simplex, id, ret_trial))
            return true;
    }
    return false;
}

static bool better(double value, uint64_t number, double than, uint64_t than_number)
{
    return value < than || (value == than && number < than_number);
}

/* Its simplex is used again, by the one that begins next. */
static void end(struct de_searches *all, uint32_t at)
{
    struct search search = all->searches[at];
    if (better(de_simplex_best(search.simplex), search.number, all->ended_values[0], all->number)) {
        de_simplex_copy(search.simplex, all->ended, all->ended_values);
        all->number = search.number;
    }
    all->iterations += de_simplex_iterations(search.simplex);
    memmove(&all->searches[at], &all->searches[at + 1], (--all->running - at) * sizeof(search));
    all->searches[all->running] = search;
}

bool de_searches_tell(struct de_searches *all, uint64_t id, double value)
{
    for (uint32_t i = 0; i < all->running; i++) {
        if (!de_simplex_tell(all->searches[i].simplex, id, value))
            continue;
        if (de_simplex_over(all->searches[i].simplex))
            end(all, i);
        return true;
    }
    return false;
}

double de_searches_minimum(const struct de_searches *all, const double **ret_u)
{
    *ret_u = all->ended;
    return all->ended_values[0];
}

void de_searches_state(const struct de_searches *all, struct de_state *ret_state)
{
    const struct search *best = NULL;
    double lowest = all->ended_values[0];
    uint64_t number = all->number, iterations = all->iterations;
    for (uint32_t i = 0; i < all->running; i++) {
        const struct search *search = &all->searches[i];
        double value = de_simplex_best(search->simplex);
        iterations += de_simplex_iterations(search->simplex);
        if (better(value, search->number, lowest, number)) {
            best = search;
            lowest = value;
            number = search->number;
        }
    }
    if (best)
        de_simplex_copy(best->simplex, all->flat, all->values);
    const double *values = best ? all->values : all->ended_values;
    *ret_state =
        (struct de_state){.generation = iterations < UINT32_MAX ? (uint32_t)iterations : UINT32_MAX,
                          .population = all->box.n + 1,
                          .members = best ? all->flat : all->ended,
                          .values = values,
                          .best = lowest,
                          .convergence = de_convergence(values, all->box.n + 1)};
}

double de_unscale(const struct de_box *box, uint32_t j, double u)
{
    double x = box->lower[j] + u * (box->upper[j] - box->lower[j]);
    return x > box->upper[j] ? box->upper[j] : x;
}

double de_convergence(const double *values, uint32_t count)
{
    double mean = 0, square = 0;
    for (uint32_t i = 0; i < count; i++)
        mean += values[i] / count;
    for (uint32_t i = 0; i < count; i++)
        square += (values[i] - mean) * (values[i] - mean) / count;
    return sqrt(square) / (fabs(mean) + DBL_EPSILON);
}
