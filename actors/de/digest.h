/* What stored evaluations belong to, and what they are worth. */
#ifndef ACTORS_DE_DIGEST_H
#define ACTORS_DE_DIGEST_H

#include <rtc/de.h>

/* Of what is evaluated: the text and, unless there is a version, the contents of the program, the
 * library or the files that the command names. */
uint64_t de_digest_objective(const struct rtc_de_options *options);
/* Of everything that decides which points are asked. */
uint64_t de_digest_settings(const struct rtc_de_options *options);
/* The value of an evaluation: its own, or that of its moments. NaN when they are too few. */
double de_value_of(const struct rtc_de_options *options, double own, const double *moments,
                   uint32_t n_moments);

#endif
