/* The time in seconds. */
#ifndef ACTORS_DE_CLOCK_H
#define ACTORS_DE_CLOCK_H

#include <time.h>

static inline double de_now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#endif
