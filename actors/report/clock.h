/* The time in seconds. */
#ifndef ACTORS_REPORT_CLOCK_H
#define ACTORS_REPORT_CLOCK_H

#include <time.h>

static inline double report_now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#endif
