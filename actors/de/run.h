/* A calibration: a method, an objective, and a cluster that evaluates. */
#ifndef ACTORS_DE_RUN_H
#define ACTORS_DE_RUN_H

#include <rtc/rtc.h>

#include "actors/de/method.h"
#include "actors/de/objective.h"

enum de_method { DE_LSHADE, DE_LSHADE_ASYNC, DE_SCIPY };

struct de_options {
    enum de_method method;
    uint32_t n;
    char **names; /* of the parameters */
    double *lower, *upper;
    enum de_objective_kind kind;
    const char *objective;
    uint64_t seed, max_evaluations; /* 0: 1,000 × n */
    uint32_t population;            /* evaluations a generation; 0: the method's own */
    int workers;                    /* most evaluations in flight; -1: what the cluster has */
    double deadline_s;              /* of an evaluation; 0 = none */
    double max_seconds, target;     /* of the run; 0 and -HUGE_VAL: none */
    const char *name;               /* of the run: its evaluations stand under it */
    /* DE_SCIPY */
    struct de_classic_options classic;
    enum de_generator generator;
};

struct de_stored { /* the value under the key de/NAME/NUMBER of an evaluation; the point follows */
    double value, seconds;
    uint32_t n, failed;
    uint64_t objective; /* digest of it: another objective's values mean nothing */
};

struct de_progress {
    struct de_state state;
    uint64_t evaluated, reused, failed; /* reused: from the journal, not evaluated again */
    double seconds, busy_seconds;       /* busy: of all evaluations together */
    uint32_t in_flight, workers;
};

struct de_result {
    struct de_progress progress;
    const char *message;
    double value;
    double *x; /* n; free() it */
};

/* Runs to the end. progress is called about twice a second, and once at the end; returning false
 * stops the run. failed_fn is told of each evaluation that failed. 0, or RTC_E_* with the sentence in
 * rtc_last_error(), or in *ret_error when it is about the options. */
int de_run(struct rtc *rtc, const struct de_options *options,
           bool (*progress)(void *arg, const struct de_progress *progress),
           void (*failed_fn)(void *arg, const double *x, const char *why), void *arg,
           struct de_result *ret_result, const char **ret_error);

#endif
