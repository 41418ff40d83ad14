/* The population lives in [0, 1]^n and is sorted by value, best first, whenever trials are made.
 * Members carry numbers, so that a trial of the steady state finds its target again, or learns that
 * it was dropped, whatever was told meanwhile. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/local.h"

#define SMALLEST    4u
#define TERMINAL    (-1.0)     /* of a memory of CR: 0 for ever */
#define STEADY      UINT32_MAX /* the generation of the steady state's streams */
#define INITIAL     0u         /* … and of the first population's */
#define ALLOC(p, n) ((p) = calloc((n) + (size_t)1, sizeof(*(p))))

struct member {
    uint64_t number; /* from 1 */
    double value;
    double *u;
};
struct slot {            /* a trial that was asked for */
    uint64_t id, target; /* number of the member it competes with; 0: it becomes one */
    double f, cr, value;
    bool used, told;
};
struct success {
    double f, cr, gain;
};

struct de_lshade {
    struct de_lshade_options o;
    struct de_box box;
    uint32_t n, n0, np, generation;
    enum de_status status;
    uint64_t next_id, first_id, next_number, told; /* first_id: of the generation */
    uint32_t completed;                            /* since the last update of the memory */
    struct member *members;
    uint32_t n_archive, memory, at_memory, n_successes, n_slots;
    double *archive, *memory_f, *memory_cr;
    struct success *successes;
    struct slot *slots;
    double *members_u, *trials_u, *trials_x, *values, *flat;
};

/* ---- Creation ---- */

/* Each parameter's range in n0 segments, one member in each. */
static bool latin_hypercube(struct de_lshade *de)
{
    uint32_t *order;
    struct de_random random;
    if (!ALLOC(order, de->n0))
        return false;
    de_random_philox(&random, de->o.seed, INITIAL, 0);
    for (uint32_t j = 0; j < de->n; j++) {
        for (uint32_t i = 0; i < de->n0; i++)
            order[i] = i;
        de_random_shuffle(&random, order, de->n0);
        for (uint32_t i = 0; i < de->n0; i++)
            de->flat[(size_t)i * de->n + j] = (order[i] + de_random_double(&random)) / de->n0;
    }
    free(order);
    return true;
}

static bool allocate(struct de_lshade *de)
{
    size_t total = (size_t)de->n0 * de->n, trials;
    de->n_slots = de->n0 + (de->o.async ? 2 * de->o.workers + 16 : 0);
    trials = (size_t)de->n_slots * de->n;
    return ALLOC(de->members, de->n0) && ALLOC(de->members_u, total) &&
           ALLOC(de->archive, (size_t)lround(de->o.archive * de->n0 + 1) * de->n) &&
           ALLOC(de->memory_f, de->memory) && ALLOC(de->memory_cr, de->memory) &&
           ALLOC(de->successes, de->n0 + de->n_slots) && ALLOC(de->slots, de->n_slots) &&
           ALLOC(de->trials_u, trials) && ALLOC(de->trials_x, trials) &&
           ALLOC(de->values, de->n0) && ALLOC(de->flat, total);
}

static const char *check(const struct de_box *box, const struct de_lshade_options *o)
{
    if (!box->n || box->n > 100000 || o->workers > 100000 || o->population > 1000000)
        return "between 1 and 100,000 parameters are possible";
    for (uint32_t j = 0; j < box->n; j++) {
        if (!isfinite(box->lower[j]) || !isfinite(box->upper[j]) || box->lower[j] > box->upper[j])
            return "bounds must be finite pairs (low, high), one for each parameter";
    }
    return o->max_evaluations ? NULL : "lshade is sized by its budget: max_evaluations is needed";
}

struct de_lshade *de_lshade_create(const struct de_box *box,
                                   const struct de_lshade_options *options, const char **ret_error)
{
    *ret_error = check(box, options);
    struct de_lshade *de = *ret_error ? NULL : calloc(1, sizeof(*de));
    if (!de)
        return NULL;
    de->o = *options;
    de->box = *box;
    de->n = box->n;
    uint32_t least = options->workers > SMALLEST ? options->workers : SMALLEST;
    de->n0 = options->population ? options->population : 10 * box->n;
    if (de->n0 < (options->population ? SMALLEST : least))
        de->n0 = options->population ? SMALLEST : least;
    de->memory = options->memory ? options->memory : 6;
    de->o.archive = options->archive >= 0.1 ? options->archive : 2.6;
    de->o.pbest = options->pbest > 0 ? options->pbest : 0.11;
    if (!allocate(de) || !latin_hypercube(de)) {
        de_lshade_free(de);
        return NULL;
    }
    for (uint32_t i = 0; i < de->n0; i++)
        de->members[i].u = de->members_u + (size_t)i * de->n;
    for (uint32_t i = 0; i < options->n_init && i < de->n0; i++) {
        for (uint32_t j = 0; j < de->n; j++) {
            double width = box->upper[j] - box->lower[j];
            double u =
                width > 0 ? (options->init[(size_t)i * de->n + j] - box->lower[j]) / width : 0;
            de->flat[(size_t)i * de->n + j] = u < 0 ? 0 : u > 1 ? 1 : u;
        }
    }
    for (uint32_t i = 0; i < de->memory; i++)
        de->memory_f[i] = de->memory_cr[i] = 0.5;
    return de;
}

void de_lshade_free(struct de_lshade *de)
{
    if (!de)
        return;
    void *const parts[] = {de->members,   de->members_u, de->archive, de->memory_f,
                           de->memory_cr, de->successes, de->slots,   de->trials_u,
                           de->trials_x,  de->values,    de->flat};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        free(parts[i]);
    free(de);
}

/* ---- One trial ---- */

static void draw_parameters(const struct de_lshade *de, struct de_random *random, struct slot *slot)
{
    uint32_t r = de_random_choice(random, de->memory);
    double cr = de->memory_cr[r] == TERMINAL ? 0 : de_random_normal(random, de->memory_cr[r], 0.1);
    slot->cr = cr < 0 ? 0 : cr > 1 ? 1 : cr;
    do
        slot->f = de_random_cauchy(random, de->memory_f[r], 0.1);
    while (slot->f <= 0);
    slot->f = slot->f > 1 ? 1 : slot->f;
}

/* current-to-pbest/1/bin; what leaves the box ends half-way between the parent and the bound. */
static void breed(const struct de_lshade *de, uint32_t target, struct de_random *random,
                  const struct slot *slot, double *out)
{
    uint32_t best = (uint32_t)lround(de->o.pbest * de->np), r1, r2;
    const double *x = de->members[target].u;
    const double *p = de->members[de_random_choice(random, best < 2 ? 2 : best)].u;
    do
        r1 = de_random_choice(random, de->np);
    while (r1 == target);
    do
        r2 = de_random_choice(random, de->np + de->n_archive);
    while (r2 == target || r2 == r1);
    const double *a = de->members[r1].u;
    const double *b = r2 < de->np ? de->members[r2].u : de->archive + (size_t)(r2 - de->np) * de->n;
    uint32_t always = de_random_choice(random, de->n);
    for (uint32_t j = 0; j < de->n; j++) {
        bool crosses = de_random_double(random) < slot->cr || j == always;
        double u = crosses ? x[j] + slot->f * (p[j] - x[j]) + slot->f * (a[j] - b[j]) : x[j];
        out[j] = u < 0 ? x[j] / 2 : u > 1 ? (1 + x[j]) / 2 : u;
    }
}

static struct slot *free_slot(struct de_lshade *de)
{
    if (!de->o.async)
        return &de->slots[de->next_id - de->first_id];
    for (uint32_t i = 0; i < de->n_slots; i++) {
        if (!de->slots[i].used)
            return &de->slots[i];
    }
    return NULL;
}

bool de_lshade_ask(struct de_lshade *de, struct de_trial *ret_trial)
{
    bool initial = de->next_id < de->n0;
    uint32_t size = de->generation ? de->np : de->n0;
    if (de->status != DE_RUNNING || de->next_id == de->o.max_evaluations ||
        (!de->o.async && de->next_id - de->first_id == size) ||
        (de->o.async && !initial && de->np < SMALLEST))
        return false;
    struct slot *slot = free_slot(de);
    if (!slot)
        return false;
    size_t at = (size_t)(slot - de->slots) * de->n;
    double *u = de->trials_u + at, *x = de->trials_x + at;
    *slot = (struct slot){.id = de->next_id++, .used = true};
    if (initial) {
        memcpy(u, de->flat + slot->id * de->n, de->n * sizeof(*u));
    } else {
        struct de_random random;
        uint32_t target = (uint32_t)((slot->id - de->first_id) % de->np);
        de_random_philox(&random, de->o.seed, de->o.async ? STEADY : de->generation,
                         de->o.async ? (uint32_t)slot->id : target);
        slot->target = de->members[target].number;
        draw_parameters(de, &random, slot);
        breed(de, target, &random, slot, u);
    }
    for (uint32_t j = 0; j < de->n; j++)
        x[j] = de->box.lower[j] + u[j] * (de->box.upper[j] - de->box.lower[j]);
    *ret_trial = (struct de_trial){slot->id, x};
    return true;
}

/* ---- What was told ---- */

static int by_value(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static uint32_t archive_size(const struct de_lshade *de)
{
    return (uint32_t)lround(de->o.archive * de->np);
}

/* A parent that was beaten goes into the archive, at random over another one when it is full. */
static void keep(struct de_lshade *de, const struct member *parent, uint64_t id)
{
    struct de_random random;
    uint32_t at = de->n_archive;
    if (at < archive_size(de)) {
        de->n_archive++;
    } else {
        de_random_philox(&random, de->o.seed, INITIAL, 1 + (uint32_t)id);
        at = de_random_choice(&random, de->n_archive);
    }
    memcpy(de->archive + (size_t)at * de->n, parent->u, de->n * sizeof(double));
}

/* The trial against a member: ties are the trial's. */
static void compete(struct de_lshade *de, const struct slot *slot, struct member *member)
{
    if (!(slot->value <= member->value))
        return;
    if (slot->value < member->value && slot->target) {
        double gain = member->value - slot->value;
        keep(de, member, slot->id);
        de->successes[de->n_successes++] =
            (struct success){slot->f, slot->cr, gain < 1e300 ? gain : 1e300};
    }
    memcpy(member->u, de->trials_u + (size_t)(slot - de->slots) * de->n, de->n * sizeof(double));
    member->value = slot->value;
    member->number = ++de->next_number;
}

static void join(struct de_lshade *de, const struct slot *slot)
{
    struct member *member = &de->members[de->np++];
    member->value = INFINITY;
    compete(de, slot, member);
}

/* Weighted Lehmer means of what succeeded, into the next place of the memory. */
static void learn(struct de_lshade *de)
{
    double gains = 0, f = 0, f2 = 0, cr = 0, cr2 = 0, most = 0;
    for (uint32_t i = 0; i < de->n_successes; i++)
        gains += de->successes[i].gain;
    for (uint32_t i = 0; i < de->n_successes; i++) {
        const struct success *s = &de->successes[i];
        double w = s->gain / gains;
        f += w * s->f;
        f2 += w * s->f * s->f;
        cr += w * s->cr;
        cr2 += w * s->cr * s->cr;
        most = s->cr > most ? s->cr : most;
    }
    if (de->n_successes && gains > 0) {
        uint32_t k = de->at_memory;
        bool terminal = de->memory_cr[k] == TERMINAL || most <= 0;
        de->memory_f[k] = f2 / f;
        de->memory_cr[k] = terminal ? TERMINAL : cr2 / cr;
        de->at_memory = (k + 1) % de->memory;
    }
    de->n_successes = 0;
    de->completed = 0;
}

/* Linear reduction of the population: the worst go. */
static void shrink(struct de_lshade *de)
{
    double used = (double)de->told / (double)de->o.max_evaluations;
    uint32_t size = (uint32_t)lround(de->n0 + ((double)SMALLEST - de->n0) * used);
    size = size < SMALLEST ? SMALLEST : size;
    if (de->np > size)
        de->np = size;
    if (de->n_archive > archive_size(de))
        de->n_archive = archive_size(de);
}

static void end_generation(struct de_lshade *de)
{
    uint32_t count = (uint32_t)(de->next_id - de->first_id);
    for (uint32_t i = 0; i < count; i++) {
        if (de->generation)
            compete(de, &de->slots[i], &de->members[i]);
        else
            join(de, &de->slots[i]);
        de->slots[i].used = false;
    }
    qsort(de->members, de->np, sizeof(*de->members), by_value);
    learn(de);
    shrink(de);
    de->generation++;
    de->first_id = de->next_id;
    de->completed = 0;
}

static void steady(struct de_lshade *de, struct slot *slot)
{
    struct member *member = NULL;
    for (uint32_t i = 0; slot->target && i < de->np; i++) {
        if (de->members[i].number == slot->target)
            member = &de->members[i];
    }
    if (!slot->target && de->np < de->n0 && !de->generation)
        join(de, slot);
    else
        compete(de, slot, member ? member : &de->members[de->np - 1]); /* or the worst */
    slot->used = false;
    qsort(de->members, de->np, sizeof(*de->members), by_value);
    if (de->told >= de->n0 && ++de->completed >= de->np) {
        learn(de);
        shrink(de);
        de->generation++;
    }
}

bool de_lshade_tell(struct de_lshade *de, uint64_t id, double value)
{
    struct slot *slot = NULL;
    for (uint32_t i = 0; i < de->n_slots && !slot; i++) {
        if (de->slots[i].used && !de->slots[i].told && de->slots[i].id == id)
            slot = &de->slots[i];
    }
    if (!slot)
        return false;
    slot->value = isnan(value) ? INFINITY : value;
    slot->told = true;
    de->told++;
    if (de->o.async) {
        steady(de, slot);
    } else if (++de->completed == de->next_id - de->first_id) {
        uint32_t size = de->generation ? de->np : de->n0;
        if (de->completed == size || de->next_id == de->o.max_evaluations)
            end_generation(de);
    }
    if (de->told == de->o.max_evaluations)
        de->status = DE_REACHED_EVALUATIONS;
    return true;
}

/* ---- Looking ---- */

/* Values of the members, best first; before the first generation is whole, of what was told of it.
 */
static void copy_members(const struct de_lshade *de)
{
    bool first = !de->o.async && !de->generation;
    for (uint32_t i = 0; i < de->n0; i++) {
        if (i < de->np)
            memcpy(de->flat + (size_t)i * de->n, de->members[i].u,
                   de->next_id >= de->n0 ? de->n * sizeof(double) : 0);
        de->values[i] = i < de->np                   ? de->members[i].value
                        : first && de->slots[i].told ? de->slots[i].value
                                                     : INFINITY;
    }
}

/* The best point scaled to [0, 1], also while the first population is not whole. */
static const double *best_u(const struct de_lshade *de, double *ret_value)
{
    const double *u = de->np ? de->members[0].u : de->flat;
    *ret_value = de->np ? de->members[0].value : INFINITY;
    for (uint32_t i = 0; i < de->n0 && !de->np; i++) {
        if (de->slots[i].told && de->slots[i].value < *ret_value) {
            *ret_value = de->slots[i].value;
            u = de->trials_u + (size_t)i * de->n;
        }
    }
    return u;
}

void de_lshade_state(const struct de_lshade *de, struct de_state *ret_state)
{
    double best;
    uint32_t np = de->generation ? de->np : de->n0;
    copy_members(de);
    best_u(de, &best);
    double spread = de_convergence(de->values, np);
    *ret_state = (struct de_state){.status = de->status,
                                   .generation = de->generation,
                                   .population = np,
                                   .evaluations = de->told,
                                   .members = de->flat,
                                   .values = de->values,
                                   .best = best,
                                   .convergence = isfinite(spread) ? spread : INFINITY};
}

void de_lshade_best(const struct de_lshade *de, double *ret_x)
{
    double value;
    const double *u = best_u(de, &value);
    for (uint32_t j = 0; j < de->n; j++)
        ret_x[j] = de->box.lower[j] + u[j] * (de->box.upper[j] - de->box.lower[j]);
}

uint64_t de_lshade_asked(const struct de_lshade *de)
{
    return de->next_id;
}
