/* The space that is searched: its box, its integers, its constraints. Members of a population live
 * in [0, 1]^n; points in the parameters' own units. */
#ifndef ACTORS_DE_SPACE_H
#define ACTORS_DE_SPACE_H

#include <rtc/de.h>

#include "actors/de/method.h"

struct de_space {
    uint32_t n, n_equal;   /* n_equal: parameters whose bounds coincide */
    double *lower, *upper; /* in order; those of integers reach half a unit further */
    double *middle, *width;
    const bool *integrality; /* NULL: none */
    const struct rtc_de_constraint *constraints;
    uint32_t n_constraints, n_violations; /* components in all */
    double *scratch;                      /* of the constraint that has most */
};

/* What of `options` is about the space is copied or borrowed. `legacy`: integers are scaled by
 * their bounds as given, as SciPy 1.10 does it. NULL, or a sentence, cut to `size` bytes, in `why`.
 */
const char *de_space_init(struct de_space *space, const struct rtc_de_options *options, bool legacy,
                          char *why, size_t size);
void de_space_free(struct de_space *space);

double de_space_scale(const struct de_space *space, uint32_t j, double u);
double de_space_unscale(const struct de_space *space, uint32_t j, double x);
/* Integers become integers. */
void de_space_round(const struct de_space *space, double *x);
/* By how much each component is violated; ret: n_violations. Returns whether none is. */
bool de_space_violations(const struct de_space *space, const double *x, double *ret);
/* Lampinen's rule: whether a trial replaces an older member. */
bool de_space_accepts(double value, bool feasible, const double *violations, double old_value,
                      bool old_feasible, const double *old_violations, uint32_t n_violations);

#endif
