#include "actors/de/machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "actors/de/local.h"
#include "actors/de/members.h"

/* What violates a constraint is worse than anything that does not, the more the more it does: for
 * methods that do not know of constraints (after Deb 2000). */
#define VIOLATED 1e200

struct de_machine {
    const struct rtc_de_options *o;
    const struct de_space *space;
    struct de_box box;
    struct de_classic *classic;
    struct de_steady *steady;
    struct de_lshade *lshade;
    struct de_neldermead *neldermead;
    struct de_tiktak *tiktak;
    /* of the classic method: asked, handed out, told */
    const double *batch;
    double *values;
    uint32_t n_batch, handed, back;
    uint64_t first_id, asked; /* asked: of local searches */
    double *x, *violations;   /* scratch */
};

/* ---- Creation ---- */

static void create_classic(struct de_machine *m, uint32_t workers, const double *seeds,
                           uint32_t n_seeds, const char **ret_error)
{
    const struct rtc_de_options *o = m->o;
    struct de_random random;
    if (o->compat == RTC_DE_SCIPY_SEED)
        de_random_mt19937(&random, (uint32_t)o->seed);
    else
        de_random_pcg64(&random, o->seed);
    if (o->async) {
        m->steady = de_steady_create(m->space, o, &random, workers, ret_error);
        if (m->steady)
            de_steady_seed(m->steady, seeds, n_seeds);
        return;
    }
    struct de_state state;
    m->classic = de_classic_create(m->space, o, &random, ret_error);
    if (!m->classic)
        return;
    de_classic_seed(m->classic, seeds, n_seeds);
    de_classic_state(m->classic, &state);
    m->values = calloc(state.population, sizeof(double));
    if (!m->values)
        *ret_error = "out of memory";
}

/* x0, then an array or what was stored, among the first ones. */
static void create_lshade(struct de_machine *m, uint32_t workers, const double *seeds,
                          uint32_t n_seeds, const char **ret_error)
{
    const struct rtc_de_options *o = m->o;
    bool array = o->init == RTC_DE_ARRAY;
    const double *points = array ? o->init_points : seeds;
    uint32_t n_points = array ? o->n_init : n_seeds, n_first = o->x0 ? 1 : 0;
    size_t row = o->n * sizeof(double);
    double *all = calloc((size_t)n_points + 1, row);
    struct de_lshade_options lshade = {.seed = o->seed,
                                       .max_evaluations = o->max_evaluations,
                                       .population = o->population,
                                       .workers = workers,
                                       .async = o->async,
                                       .init = all,
                                       .n_init = n_points + n_first};
    if (!all) {
        *ret_error = "out of memory";
        return;
    }
    if (n_first)
        memcpy(all, o->x0, row);
    if (n_points)
        memcpy(all + (size_t)n_first * o->n, points, n_points * row);
    if (array && !o->population)
        lshade.population = lshade.n_init;
    if (o->max_evaluations < lshade.population)
        *ret_error = "the budget is smaller than the population";
    else
        m->lshade = de_lshade_create(&m->box, &lshade, ret_error);
    free(all);
}

static void create_method(struct de_machine *m, uint32_t workers, const double *seeds,
                          uint32_t n_seeds, const char **ret_error)
{
    const struct rtc_de_options *o = m->o;
    uint32_t searches = workers < 1000 ? workers : 1000;
    double tol = o->tol < 0 ? 1e-300 : o->tol, atol = o->atol < 0 ? 1e-300 : o->atol; /* none */
    struct de_neldermead_options nm = {.seed = o->seed,
                                       .max_evaluations = o->max_evaluations,
                                       .x0 = o->x0     ? o->x0
                                             : n_seeds ? seeds
                                                       : NULL,
                                       .xatol = atol,
                                       .fatol = tol,
                                       .concurrent = searches};
    struct de_tiktak_options tt = {.seed = o->seed,
                                   .max_evaluations = o->max_evaluations,
                                   .workers = searches,
                                   .points = o->population,
                                   .fatol = tol};
    switch (o->method) {
    case RTC_DE_LSHADE: create_lshade(m, workers, seeds, n_seeds, ret_error); break;
    case RTC_DE_CLASSIC: create_classic(m, workers, seeds, n_seeds, ret_error); break;
    case RTC_DE_NELDERMEAD: m->neldermead = de_neldermead_create(&m->box, &nm, ret_error); break;
    case RTC_DE_TIKTAK: m->tiktak = de_tiktak_create(&m->box, &tt, ret_error); break;
    default: *ret_error = "there is no such method";
    }
    if (!*ret_error && !m->classic && !m->steady && !m->lshade && !m->neldermead && !m->tiktak)
        *ret_error = "out of memory";
}

struct de_machine *de_machine_create(const struct rtc_de_options *options,
                                     const struct de_space *space, uint32_t workers,
                                     const double *seeds, uint32_t n_seeds, const char **ret_error)
{
    struct de_machine *m = calloc(1, sizeof(*m));
    *ret_error = m ? NULL : "out of memory";
    if (!m)
        return NULL;
    m->o = options;
    m->space = space;
    m->box = (struct de_box){space->n, space->lower, space->upper};
    m->x = calloc(space->n, sizeof(double));
    m->violations = calloc(space->n_violations + 1, sizeof(double));
    if (!m->x || !m->violations)
        *ret_error = "out of memory";
    else
        create_method(m, workers, seeds, n_seeds, ret_error);
    if (*ret_error) {
        de_machine_free(m);
        return NULL;
    }
    return m;
}

void de_machine_free(struct de_machine *machine)
{
    if (!machine)
        return;
    de_classic_free(machine->classic);
    de_steady_free(machine->steady);
    de_lshade_free(machine->lshade);
    de_neldermead_free(machine->neldermead);
    de_tiktak_free(machine->tiktak);
    free(machine->values);
    free(machine->x);
    free(machine->violations);
    free(machine);
}

bool de_machine_ordered(const struct rtc_de_options *o)
{
    return o->async || o->method == RTC_DE_NELDERMEAD || o->method == RTC_DE_TIKTAK;
}

/* ---- Asking and telling ---- */

static bool ask_classic(struct de_machine *m, struct de_trial *ret_trial)
{
    if (m->handed == m->n_batch) {
        if (m->back < m->n_batch)
            return false;
        m->first_id += m->n_batch;
        m->n_batch = de_classic_ask(m->classic, &m->batch);
        m->handed = m->back = 0;
    }
    if (!m->n_batch)
        return false;
    ret_trial->id = m->first_id + m->handed;
    ret_trial->x = m->batch + (size_t)m->handed++ * m->space->n;
    return true;
}

static bool ask_method(struct de_machine *m, struct de_trial *ret_trial)
{
    if (m->steady)
        return de_steady_ask(m->steady, ret_trial);
    if (m->lshade)
        return de_lshade_ask(m->lshade, ret_trial);
    bool asked = m->neldermead ? de_neldermead_ask(m->neldermead, ret_trial)
                               : de_tiktak_ask(m->tiktak, ret_trial);
    m->asked = asked ? ret_trial->id + 1 : m->asked;
    return asked;
}

uint64_t de_machine_asked(const struct de_machine *m)
{
    if (m->steady)
        return de_steady_asked(m->steady);
    return m->lshade ? de_lshade_asked(m->lshade) : m->asked;
}

bool de_machine_ask(struct de_machine *m, struct de_trial *ret_trial)
{
    if (m->classic)
        return ask_classic(m, ret_trial);
    while (ask_method(m, ret_trial)) {
        if (m->steady) /* it knows of both */
            return true;
        memcpy(m->x, ret_trial->x, m->space->n * sizeof(double));
        de_space_round(m->space, m->x);
        ret_trial->x = m->x;
        if (de_space_violations(m->space, m->x, m->violations))
            return true;
        double sum = 0;
        for (uint32_t i = 0; i < m->space->n_violations; i++)
            sum += m->violations[i];
        de_machine_tell(m, ret_trial->id, VIOLATED * (1 + sum));
    }
    return false;
}

void de_machine_tell(struct de_machine *m, uint64_t id, double value)
{
    if (m->classic) {
        m->values[id - m->first_id] = value;
        if (++m->back == m->n_batch)
            de_classic_tell(m->classic, m->values);
    } else if (m->steady) {
        de_steady_tell(m->steady, id, value);
    } else if (m->lshade) {
        de_lshade_tell(m->lshade, id, value);
    } else if (m->neldermead) {
        de_neldermead_tell(m->neldermead, id, value);
    } else {
        de_tiktak_tell(m->tiktak, id, value);
    }
}

void de_machine_improve(struct de_machine *m, const double *x, double value, uint64_t evaluations)
{
    if (m->classic)
        de_classic_improve(m->classic, x, value, evaluations);
}

/* ---- Looking ---- */

void de_machine_state(struct de_machine *m, struct de_state *ret_state)
{
    if (m->classic)
        de_classic_state(m->classic, ret_state);
    else if (m->steady)
        de_steady_state(m->steady, ret_state);
    else if (m->lshade)
        de_lshade_state(m->lshade, ret_state);
    else if (m->neldermead)
        de_neldermead_state(m->neldermead, ret_state);
    else
        de_tiktak_state(m->tiktak, ret_state);
}

void de_machine_best(struct de_machine *m, double *ret_x)
{
    if (m->classic)
        de_classic_best(m->classic, ret_x);
    else if (m->steady)
        de_steady_best(m->steady, ret_x);
    else if (m->lshade)
        de_lshade_best(m->lshade, ret_x);
    else if (m->neldermead)
        de_neldermead_best(m->neldermead, ret_x);
    else
        de_tiktak_best(m->tiktak, ret_x);
    de_space_round(m->space, ret_x);
}
