/* What most of SciPy's cases begin with. */
#ifndef TESTS_DE_USUAL_H
#define TESTS_DE_USUAL_H

#include "tests/de/solve.h"

static const double zeros[6] = {0}, twos[2] = {2, 2};

/* On [0, 2]^2, as most cases are. */
static const struct rtc_de_options usual = {
    .n = 2, .lower = zeros, .upper = twos, .immediate = true, .polish = true, .seed = 1};

static inline double quadratic(const double *x, uint32_t n)
{
    (void)n;
    return x[0] * x[0];
}

static inline void refuses(const struct rtc_de_options *o, const char *word)
{
    const char *error = solve_refusal(o);
    if (!error || !strstr(error, word))
        fail_msg("%s: nothing of %s", error ? error : "no error", word);
}

#endif
