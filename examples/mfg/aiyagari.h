/* Households that save against the risk of a low income, in continuous time and in their stationary
 * state: a mean field game with two incomes, as Achdou, Han, Lasry, Lions and Moll state it.
 *
 * A household of assets a and income w z_j, which changes at the rate lambda_j, chooses what it
 * consumes. Its value solves a Hamilton-Jacobi-Bellman equation, the mass of households over assets
 * and incomes a Kolmogorov forward equation, and r clears the market. All is done on an even grid
 * of assets. Nothing here reads a file, a clock or a global, or depends on the processor: equal
 * arguments give equal bits. */
#ifndef EXAMPLES_MFG_AIYAGARI_H
#define EXAMPLES_MFG_AIYAGARI_H

#include <stdbool.h>
#include <stdint.h>

#define AIYAGARI_PARAMETERS 5
#define AIYAGARI_MOMENTS    7
#define AIYAGARI_MIN_POINTS 4u
#define AIYAGARI_MAX_POINTS 1000000u

enum {
    AIYAGARI_E_MEMORY = -1,
    AIYAGARI_E_PARAMETERS = -2,  /* out of the range that is possible */
    AIYAGARI_E_INCOME = -3,      /* who is at the borrowing limit cannot pay the interest */
    AIYAGARI_E_CONVERGENCE = -4, /* of the value function */
    AIYAGARI_E_EQUILIBRIUM = -5, /* no r clears the market on this grid */
};

/* A sentence for one of the above. */
const char *aiyagari_error(int error);

struct aiyagari_household {
    double rho;       /* discount rate */
    double gamma;     /* relative risk aversion; u(c) = c^(1 - gamma) / (1 - gamma), log c at 1 */
    double z[2];      /* incomes at w = 1, the low one first */
    double lambda[2]; /* rate of leaving each */
    double amin, amax;
    uint32_t points;         /* of the grid */
    double delta;            /* step of the implicit scheme; 0: 1000 */
    double tolerance;        /* largest change of the value that counts as none; 0: 1e-9 */
    uint32_t max_iterations; /* 0: 100 */
};

/* What was solved last; arrays of 2 * points, of which [2 i + j] is at a[i] with income z[j]. */
struct aiyagari_solution {
    double r, w;
    double capital;      /* mean of assets: the supply */
    uint32_t iterations; /* of the value function, the last time */
    const double *a;     /* `points` of them */
    /* For gamma within 0.01 of 1, but not at 1, utility is (c^(1 - gamma) - 1) / (1 - gamma), which
     * changes the value by a constant and no decision, and keeps its digits. */
    const double *value;
    const double *consumption, *saving;
    const double *mass;        /* of households; their density is mass / (a[1] - a[0]) */
    const double *fall, *rise; /* rates of the move to the grid point below and above */
};

/* A firm that rents capital: output A K^alpha L^(1 - alpha), L the mean of z. */
struct aiyagari_firm {
    double alpha, depreciation, productivity;
};

struct aiyagari;

/* Copies `household`. Returns 0 and an object for aiyagari_free(), or an error. */
int aiyagari_create(const struct aiyagari_household *household, struct aiyagari **ret);
void aiyagari_free(struct aiyagari *model); /* NULL is fine */

/* The household's problem at given prices, then the distribution it leads to. `warm`: starts from
 * the value function of the solution before, if there is one. */
int aiyagari_solve(struct aiyagari *model, double r, double w, bool warm);

/* The r below rho that clears the market: supply equals the demand of `firm`, or, where `firm` is
 * NULL, assets in zero net supply at w = 1. The solution is then the one at that r. */
int aiyagari_equilibrium(struct aiyagari *model, const struct aiyagari_firm *firm);

/* Valid until the next call on `model`, or its end. */
const struct aiyagari_solution *aiyagari_solution(const struct aiyagari *model);

double aiyagari_gini(const struct aiyagari *model);
double aiyagari_top_share(const struct aiyagari *model, double top); /* .1: the richest tenth's */

/* The example of a calibration: theta is (rho, gamma, lambda, e, phi), for incomes 1 - e and 1 + e
 * which both end at the rate lambda, assets from -phi to 40, and a firm with alpha 1/3,
 * depreciation .06 and productivity 1. Moments of the equilibrium: 0  100 r 1  Gini coefficient of
 * wealth 2  share of wealth of the richest tenth 3  standard deviation of log c 4  10 times the
 * mean marginal propensity to consume c'(a) 5  E[log c; z high] - E[log c; z low], divided by
 * moment 3 6  mass of households with assets of at most half the wage Writes them on success only.
 */
int aiyagari_moments(const double theta[AIYAGARI_PARAMETERS], uint32_t points,
                     double ret_moments[AIYAGARI_MOMENTS]);

#endif
