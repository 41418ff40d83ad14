/* A population, and the operators of differential evolution on it: what the generations of
 * classic.c and the steady state of steady.c share. */
#ifndef ACTORS_DE_MEMBERS_H
#define ACTORS_DE_MEMBERS_H

#include "actors/de/space.h"

struct de_members {
    const struct de_space *space;
    uint32_t n, np, m; /* m: violations of a member, at least 1 */
    bool as_scipy;     /* its draws, one by one */
    double *u, *values, *violations;
    bool *feasible;
    uint32_t *indices; /* np, scratch */
    double *scratch;   /* np */
};

/* The first population, none of it evaluated. `random` is drawn from as SciPy does. NULL, or a
 * sentence; then nothing is to be freed. */
const char *de_members_create(struct de_members *members, const struct de_space *space,
                              const struct rtc_de_options *options, struct de_random *random);
/* Points in the place of the first members, behind x0. */
void de_members_seed(struct de_members *members, const double *points, uint32_t count, bool x0);
void de_members_free(struct de_members *members);
/* The best one changes places with the first: the lowest value of those that are feasible, else the
 * least violation. */
void de_members_promote(struct de_members *members);
void de_members_set(struct de_members *members, uint32_t at, const double *u, double value,
                    bool feasible, const double *violations);
/* Mean and deviation (of the population) of the values; false when one is infinite. */
bool de_members_spread(const struct de_members *members, double *ret_mean, double *ret_deviation);
/* SciPy's: deviation over |mean|; infinite when a value is. */
double de_members_convergence(const struct de_members *members);
bool de_members_converged(const struct de_members *members, const struct rtc_de_options *options);
void de_members_point(const struct de_members *members, const double *u, double *ret_x);

enum de_base { DE_BEST1, DE_RAND1, DE_RANDTOBEST1, DE_CURRENTTOBEST1, DE_BEST2, DE_RAND2 };
struct de_strategy {
    enum de_base base;
    bool binomial;
    const struct rtc_de_options *own; /* its strategy_fn instead; else NULL */
};
const char *de_strategy_find(struct de_strategy *strategy, const struct rtc_de_options *options);
/* The mutant of a candidate from the members with these five numbers, f the mutation's scale. */
void de_mutant(const struct de_members *members, enum de_base base, double f, uint32_t candidate,
               const uint32_t *samples, double *ret_u);
/* Five others than the candidate, at random, at the head of members->indices. */
void de_samples(struct de_members *members, uint32_t candidate, struct de_random *random);
/* F: the number that mutation is, or drawn between its two. */
double de_draw_scale(const struct rtc_de_options *options, struct de_random *random);
/* A trial for a candidate; it may lie outside of [0, 1]. `mutant`: scratch of n. */
void de_make_trial(struct de_members *members, const struct de_strategy *strategy, double f,
                   double recombination, uint32_t candidate, struct de_random *random,
                   double *mutant, double *ret_trial);
/* What left the box is drawn anew. */
void de_repair(double *trial, size_t total, struct de_random *random);

/* The options with SciPy's defaults in place of zeros. */
void de_defaults(const struct rtc_de_options *given, struct rtc_de_options *ret_options);
/* NULL, or what of them cannot be, a sentence. */
const char *de_check(const struct rtc_de_options *options);

#endif
