/* Both equations are linear systems of one Markov chain: from a point of the grid and an income, to
 * the next points and to the other income. With the states in the order (a_0, z_0), (a_0, z_1),
 * (a_1, z_0), … no rate leads further than two states, so one elimination from the last state to
 * the first solves either in O(points). It is the censoring of a chain: what left for a removed
 * state leaves for those that are next from there. Nothing is subtracted, so rates and masses keep
 * their signs and nearly all their digits (Grassmann, Taksar and Heyman). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "aiyagari.h"

#define NEAR_LOG    0.01
#define LEAST_SLOPE 1e-10 /* of a value function that is not yet one */
#define LARGE       1e150
#define ROOT_STEPS  200u
#define ROOT_STEP   1e-12 /* between two interest rates: what the value's tolerance allows */
#define ROOT_ERROR  1e-11
#define ROOT_WORST  1e-6
#define LN2_HIGH    0x1.62e42fefap-1 /* 33 bits: times an exponent it is exact */
#define LN2_LOW     0x1.cf79abc9e3b39p-40
#define ROUND       0x1.8p52 /* added and taken away, it rounds to an integer */
#define ARRAYS      15u

struct aiyagari {
    struct aiyagari_household h;
    struct aiyagari_solution s;
    uint32_t n; /* states */
    bool solved;
    double step;
    double *memory, *a, *value, *consumption, *saving, *mass, *fall, *rise;
    double *slope, *slope_c, *slope_u; /* v' between points, what is consumed there, u of it */
    double *right, *down1, *down2, *up1, *sum; /* of the elimination */
};

const char *aiyagari_error(int error)
{
    switch (error) {
    case 0: return "no error";
    case AIYAGARI_E_MEMORY: return "no memory is left";
    case AIYAGARI_E_PARAMETERS: return "a parameter is not in the range that is possible";
    case AIYAGARI_E_INCOME: return "income at the borrowing limit does not pay the interest";
    case AIYAGARI_E_CONVERGENCE: return "the value function does not converge";
    case AIYAGARI_E_EQUILIBRIUM: return "no interest rate clears the market on this grid";
    default: return "unknown error";
    }
}

/* ---- Functions whose bits are the same on each processor ----
 *
 * A C library may choose its log, exp and pow by the processor it runs on, and they then differ in
 * the last bit. Arguments here are normal numbers, results too. */

static double log_of(double x)
{
    uint64_t bits, exponent;
    memcpy(&bits, &x, sizeof(bits));
    exponent = (bits - 0x3fe6a09e667f3bcdu) >> 52; /* so that m is from sqrt(1/2) to sqrt(2) */
    bits -= exponent << 52;
    double m, k = (double)(int32_t)((uint32_t)exponent << 20) / 0x1p20;
    memcpy(&m, &bits, sizeof(m));
    double s = (m - 1) / (m + 1), q = s * s, sum = 1.0 / 23;
    for (int i = 21; i >= 3; i -= 2) /* of atanh s */
        sum = sum * q + 1.0 / i;
    return k * LN2_HIGH + (2 * s + (2 * s * q * sum + k * LN2_LOW));
}

static double exp_of(double x)
{
    static const double factorials[] = {
        1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600, 6227020800};
    x = x < -700 ? -700 : x > 700 ? 700 : x;
    double k = (x * 0x1.71547652b82fep0 + ROUND) - ROUND, scale, sum = 1 / factorials[13];
    double y = (x - k * LN2_HIGH) - k * LN2_LOW;
    uint64_t bits = (uint64_t)(1023 + (int64_t)k) << 52;
    memcpy(&scale, &bits, sizeof(scale));
    for (int i = 12; i >= 0; i--)
        sum = sum * y + 1 / factorials[i];
    return sum * scale;
}

static double power(double x, double y)
{
    return exp_of(y * log_of(x));
}

/* (exp(h) - 1) / h for a small h */
static double growth(double h)
{
    double sum = 1;
    for (int i = 12; i >= 2; i--)
        sum = 1 + sum * h / i;
    return sum;
}

static bool near_log(const struct aiyagari *m)
{
    return fabs(m->h.gamma - 1) < NEAR_LOG;
}

static double utility(const struct aiyagari *m, double c)
{
    double power_of = 1 - m->h.gamma, l = log_of(c);
    return near_log(m) ? l * growth(power_of * l) : exp_of(power_of * l) / power_of;
}

/* ---- Creation ---- */

static bool possible(const struct aiyagari_household *h)
{
    const double positive[] = {h->rho,       h->gamma,     h->z[0],          h->z[1] - h->z[0],
                               h->lambda[0], h->lambda[1], h->amax - h->amin};
    for (size_t i = 0; i < sizeof(positive) / sizeof(positive[0]); i++) {
        if (!isfinite(positive[i]) || positive[i] < (i == 3 ? 0 : 1e-12))
            return false;
    }
    return h->points >= AIYAGARI_MIN_POINTS && h->points <= AIYAGARI_MAX_POINTS && h->delta >= 0 &&
           h->tolerance >= 0;
}

int aiyagari_create(const struct aiyagari_household *household, struct aiyagari **ret)
{
    if (!possible(household))
        return AIYAGARI_E_PARAMETERS;
    struct aiyagari *m = calloc(1, sizeof(*m));
    if (!m)
        return AIYAGARI_E_MEMORY;
    m->h = *household;
    m->h.delta = m->h.delta > 0 ? m->h.delta : 1000;
    m->h.tolerance = m->h.tolerance > 0 ? m->h.tolerance : 1e-9;
    m->h.max_iterations = m->h.max_iterations ? m->h.max_iterations : 100;
    m->n = 2 * m->h.points;
    m->step = (m->h.amax - m->h.amin) / (m->h.points - 1);
    m->memory = calloc((size_t)ARRAYS * m->n, sizeof(double));
    if (!m->memory) {
        free(m);
        return AIYAGARI_E_MEMORY;
    }
    double **const arrays[ARRAYS] = {&m->a,     &m->slope, &m->value, &m->consumption, &m->saving,
                                     &m->mass,  &m->fall,  &m->rise,  &m->slope_c,     &m->slope_u,
                                     &m->right, &m->down1, &m->down2, &m->up1,         &m->sum};
    for (uint32_t i = 0; i < ARRAYS; i++)
        *arrays[i] = m->memory + (size_t)i * m->n;
    for (uint32_t i = 0; i < m->h.points; i++)
        m->a[i] = m->h.amin + i * m->step;
    m->a[m->h.points - 1] = m->h.amax;
    m->s = (struct aiyagari_solution){.a = m->a,
                                      .value = m->value,
                                      .consumption = m->consumption,
                                      .saving = m->saving,
                                      .mass = m->mass,
                                      .fall = m->fall,
                                      .rise = m->rise};
    *ret = m;
    return 0;
}

void aiyagari_free(struct aiyagari *model)
{
    if (model)
        free(model->memory);
    free(model);
}

const struct aiyagari_solution *aiyagari_solution(const struct aiyagari *model)
{
    return &model->s;
}

/* ---- The chain ---- */

/* Removes states from the last to the first. `killing` is the rate at which each state ends; where
 * it is not 0, `right` is the right side of (killing - A) v = right, and is changed with it. */
static void eliminate(struct aiyagari *m, double killing)
{
    const double *lambda = m->h.lambda;
    uint32_t last = m->n - 1;
    double kill = killing, kill1 = killing, kill2; /* of n, n - 1 and n - 2 */
    double down1 = lambda[1], up1 = lambda[0];
    for (uint32_t n = last; n >= 1; n--) {
        /* Of state n: the rates to n - 1 and n - 2; of those two: the rates to n. */
        double down2 = m->fall[n], up2 = n >= 2 ? m->rise[n - 2] : 0;
        double sum = down1 + down2 + kill;
        double from1 = sum > 0 ? up1 / sum : 0, from2 = sum > 0 ? up2 / sum : 0;
        m->sum[n] = sum;
        m->down1[n] = down1;
        m->up1[n] = up1;
        up1 = (n % 2 ? 0 : lambda[0]) + from2 * down1;
        down1 = (n % 2 ? 0 : lambda[1]) + from1 * down2;
        kill2 = killing + from2 * kill;
        kill1 += from1 * kill;
        m->right[n - 1] += from1 * m->right[n];
        if (n >= 2)
            m->right[n - 2] += from2 * m->right[n];
        kill = kill1;
        kill1 = kill2;
    }
    m->sum[0] = kill;
}

/* What is never left for a state below is a closed class: all mass is there. */
static void distribution(struct aiyagari *m)
{
    double *x = m->mass, total = 0, capital = 0;
    memset(m->right, 0, m->n * sizeof(*m->right));
    eliminate(m, 0);
    x[0] = 1;
    for (uint32_t n = 1; n < m->n; n++) {
        if (m->sum[n] > 0) {
            x[n] = (x[n - 1] * m->up1[n] + (n >= 2 ? x[n - 2] * m->rise[n - 2] : 0)) / m->sum[n];
        } else {
            memset(x, 0, n * sizeof(*x));
            x[n] = 1;
        }
        double scale = x[n] > LARGE ? LARGE : 1;
        for (uint32_t i = 0; scale > 1 && i <= n; i++)
            x[i] /= scale;
    }
    for (uint32_t n = 0; n < m->n; n++)
        total += x[n];
    for (uint32_t n = 0; n < m->n; n++) {
        x[n] /= total;
        capital += x[n] * m->a[n / 2];
    }
    m->s.capital = capital;
}

/* ---- The household ---- */

static double income(const struct aiyagari *m, uint32_t n)
{
    return m->a[n / 2] * m->s.r + m->s.w * m->h.z[n % 2];
}

/* Where the value rises by a slope, u'(c) is that slope. */
static void consume_by_slopes(struct aiyagari *m)
{
    double gamma = m->h.gamma, power_of = 1 - gamma;
    bool logs = near_log(m);
    for (uint32_t n = 0; n + 2 < m->n; n++) {
        double slope = (m->value[n + 2] - m->value[n]) / m->step;
        slope = slope > LEAST_SLOPE ? slope : LEAST_SLOPE;
        m->slope[n] = slope;
        m->slope_c[n] = gamma == 1 ? 1 / slope : power(slope, -1 / gamma);
    }
    for (uint32_t n = 0; n + 2 < m->n; n++)
        m->slope_u[n] = logs ? utility(m, m->slope_c[n]) : m->slope_c[n] * m->slope[n] / power_of;
}

/* The upwind scheme: the slope above where assets grow, the one below where they fall. Writes the
 * chain, and the utilities into `right`. */
static void choose(struct aiyagari *m)
{
    consume_by_slopes(m);
    for (uint32_t n = 0; n < m->n; n++) {
        double y = income(m, n), c = y;
        double ahead = n + 2 < m->n ? y - m->slope_c[n] : 0;
        double behind = n >= 2 ? y - m->slope_c[n - 2] : 0;
        m->rise[n] = m->fall[n] = 0;
        if (ahead > 0) {
            c = m->slope_c[n];
            m->right[n] = m->slope_u[n];
            m->rise[n] = ahead / m->step;
        } else if (behind < 0) {
            c = m->slope_c[n - 2];
            m->right[n] = m->slope_u[n - 2];
            m->fall[n] = -behind / m->step;
        } else {
            m->right[n] = utility(m, y);
        }
        m->consumption[n] = c;
        m->saving[n] = y - c;
    }
}

/* One step of the implicit scheme; returns how far it went, in units of the tolerance. */
static double improve(struct aiyagari *m)
{
    double most = 0, size = 0, *v = m->value, before1 = 0, before2 = 0;
    choose(m);
    for (uint32_t n = 0; n < m->n; n++)
        m->right[n] += v[n] / m->h.delta;
    eliminate(m, m->h.rho + 1 / m->h.delta);
    for (uint32_t n = 0; n < m->n; n++) {
        double x = m->right[n];
        if (n >= 1)
            x += m->down1[n] * before1 + m->fall[n] * before2;
        x /= m->sum[n];
        double change = fabs(x - v[n]);
        most = change > most || isnan(change) ? change : most;
        size = fabs(x) > size ? fabs(x) : size;
        v[n] = x;
        before2 = before1;
        before1 = x;
    }
    size *= 1e-14; /* what is left of roundings */
    return most / (m->h.tolerance > size ? m->h.tolerance : size);
}

int aiyagari_solve(struct aiyagari *m, double r, double w, bool warm)
{
    if (!isfinite(r) || !(w > 0) || !isfinite(w))
        return AIYAGARI_E_PARAMETERS;
    m->s.r = r;
    m->s.w = w;
    double least = r > 0.01 ? r : 0.01;
    if (income(m, 0) <= 0 || w * m->h.z[0] + least * m->h.amin <= 0)
        return AIYAGARI_E_INCOME;
    for (uint32_t n = 0; n < m->n && !(warm && m->solved); n++)
        m->value[n] = utility(m, w * m->h.z[n % 2] + least * m->a[n / 2]) / m->h.rho;
    m->solved = false;
    for (m->s.iterations = 1; m->s.iterations <= m->h.max_iterations; m->s.iterations++) {
        if (improve(m) < 1) {
            m->solved = true;
            distribution(m);
            return 0;
        }
    }
    return AIYAGARI_E_CONVERGENCE;
}

/* ---- The market ---- */

static double labour(const struct aiyagari *m)
{
    const double *z = m->h.z, *lambda = m->h.lambda;
    return (lambda[1] * z[0] + lambda[0] * z[1]) / (lambda[0] + lambda[1]);
}

/* Supply less demand, in units that keep it from -1 to 1 with a firm; it increases with r. */
static int excess(struct aiyagari *m, const struct aiyagari_firm *firm, double r, double *ret)
{
    double demand = 0, w = 1;
    if (firm) {
        double share = firm->alpha, ratio; /* of capital to labour */
        ratio = power(share * firm->productivity / (r + firm->depreciation), 1 / (1 - share));
        w = (1 - share) * firm->productivity * power(ratio, share);
        demand = ratio * labour(m);
    }
    int rc = aiyagari_solve(m, r, w, true);
    *ret = (m->s.capital - demand) / (firm ? demand + fabs(m->s.capital) : m->h.amax - m->h.amin);
    return rc;
}

/* The end that stays twice counts for less: half in the Illinois method, here by how much the other
 * end improved (Anderson and Bjorck), which takes fewer steps. */
static double weight(double value, double previous)
{
    return value < previous ? 1 - value / previous : 0.5;
}

int aiyagari_equilibrium(struct aiyagari *m, const struct aiyagari_firm *firm)
{
    if (firm && !(firm->alpha > 0 && firm->alpha < 1 && firm->productivity > 0 &&
                  firm->depreciation + m->h.rho > 0))
        return AIYAGARI_E_PARAMETERS;
    /* Nothing is solved at the ends: with a firm these are the limits there, and without one the
     * values let the search begin at r = 0. */
    double low = firm ? -firm->depreciation : -1, high = m->h.rho;
    double at_low = -1, at_high = firm ? 1 : m->h.rho, value = 1, r = low;
    int side = 0, rc = 0; /* of the root, on which r was */
    for (uint32_t step = 0; step < ROOT_STEPS && !rc && fabs(value) > ROOT_ERROR; step++) {
        double before = r;
        r = (low * at_high - high * at_low) / (at_high - at_low);
        if (fabs(r - before) <= ROOT_STEP)
            break;
        rc = excess(m, firm, r, &value);
        if (value > 0) {
            at_low *= side > 0 ? weight(value, at_high) : 1;
            high = r;
            at_high = value;
            side = 1;
        } else {
            at_high *= side < 0 ? weight(-value, -at_low) : 1;
            low = r;
            at_low = value;
            side = -1;
        }
    }
    if (rc)
        return rc;
    return fabs(value) <= ROOT_WORST ? 0 : AIYAGARI_E_EQUILIBRIUM;
}

/* ---- What is observed ---- */

double aiyagari_gini(const struct aiyagari *m)
{
    double wealth = 0, gini = 1; /* Lorenz curve through the points of the grid */
    for (uint32_t n = 0; n < m->n; n += 2) {
        double mass = m->mass[n] + m->mass[n + 1];
        double next = wealth + mass * m->a[n / 2] / m->s.capital;
        gini -= mass * (wealth + next);
        wealth = next;
    }
    return gini;
}

double aiyagari_top_share(const struct aiyagari *m, double top)
{
    double share = 0, left = top;
    for (uint32_t n = m->n; n >= 2 && left > 0; n -= 2) {
        double mass = m->mass[n - 1] + m->mass[n - 2];
        mass = mass < left ? mass : left;
        share += mass * m->a[n / 2 - 1] / m->s.capital;
        left -= mass;
    }
    return share;
}

static void observe(const struct aiyagari *m, double *out)
{
    double logs[2] = {0, 0}, squares = 0, spending = 0, poor = 0;
    for (uint32_t n = 0; n < m->n; n++) {
        double mass = m->mass[n], l = log_of(m->consumption[n]);
        uint32_t from = n + 2 < m->n ? n : n - 2;
        logs[n % 2] += mass * l;
        squares += mass * l * l;
        spending += mass * (m->consumption[from + 2] - m->consumption[from]) / m->step;
        poor += m->a[n / 2] <= 0.5 * m->s.w ? mass : 0;
    }
    double mean = logs[0] + logs[1], deviation = sqrt(squares - mean * mean);
    const double moments[AIYAGARI_MOMENTS] = {
        100 * m->s.r, aiyagari_gini(m), aiyagari_top_share(m, 0.1),
        deviation,    10 * spending,    (logs[1] - logs[0]) / deviation,
        poor};
    memcpy(out, moments, sizeof(moments));
}

int aiyagari_moments(const double theta[AIYAGARI_PARAMETERS], uint32_t points,
                     double ret_moments[AIYAGARI_MOMENTS])
{
    const struct aiyagari_firm firm = {1.0 / 3, 0.06, 1};
    const struct aiyagari_household household = {.rho = theta[0],
                                                 .gamma = theta[1],
                                                 .z = {1 - theta[3], 1 + theta[3]},
                                                 .lambda = {theta[2], theta[2]},
                                                 .amin = -theta[4],
                                                 .amax = 40,
                                                 .points = points};
    struct aiyagari *m;
    int rc = aiyagari_create(&household, &m);
    if (rc)
        return rc;
    rc = aiyagari_equilibrium(m, &firm);
    if (!rc)
        observe(m, ret_moments);
    aiyagari_free(m);
    return rc;
}
