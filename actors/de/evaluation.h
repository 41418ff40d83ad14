/* What travels between the driver and the executors: what is to be evaluated, points, answers. */
#ifndef ACTORS_DE_EVALUATION_H
#define ACTORS_DE_EVALUATION_H

#include <rtc/de.h>

#define DE_TASK  "rtc_de_evaluate" /* evaluates all kinds but RTC_DE_TASK */
#define DE_LATE  124               /* how an executor exits whose evaluation overran its deadline */
#define DE_BATCH 256u              /* points of one task at most; but for vectorized objectives */

struct de_spec { /* of an objective; the strings are borrowed */
    enum rtc_de_kind kind;
    enum rtc_de_input input;
    bool want_moments, bind; /* bind: to cores of its own */
    uint32_t n, cpus;
    double deadline; /* of one evaluation, seconds; 0: none */
    const char *objective, *value_field, *moments_field, **names; /* fields: "" = none */
};

/* As bytes, malloc'ed; NULL: out of memory. */
void *de_spec_pack(const struct rtc_de_options *options, size_t *ret_size);

struct de_answer { /* of one point */
    double value, seconds, cpu_seconds;
    bool failed;
    const double *moments; /* borrowed of what was unpacked */
    uint32_t n_moments;
    const char *why;  /* when it failed */
    const char *node; /* host name */
};
/* Reads answer after answer of what a task returned; *at begins as 0. False: no more, or garbage.
 */
bool de_answer_next(const void *data, size_t size, size_t *at, struct de_answer *ret_answer);

#endif
