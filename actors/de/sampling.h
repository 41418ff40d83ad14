/* Low-discrepancy points as SciPy 1.10's scipy.stats.qmc makes them, draw for draw. */
#ifndef ACTORS_DE_SAMPLING_H
#define ACTORS_DE_SAMPLING_H

#include "actors/de/random.h"

#define DE_SOBOL_MAX 256u /* parameters for which direction numbers are here */

/* count points of n coordinates in [0, 1), row by row: what qmc.Sobol(n, seed=random).random(count)
 * gives (Joe & Kuo 2008, scrambled by a random linear matrix and a digital shift), or without
 * scrambling when `random` is NULL. NULL, or a sentence. */
const char *de_sample_sobol(struct de_random *random, uint32_t n, uint32_t count,
                            double *ret_points);
/* The same of qmc.Halton(n, seed=random): Halton's sequence in the first n primes, scrambled by
 * permutations of the digits (Owen 2017). */
const char *de_sample_halton(struct de_random *random, uint32_t n, uint32_t count,
                             double *ret_points);

#endif
