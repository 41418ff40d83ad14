/* The host's monotonic clock, in ns: of deadlines, leases and all that waits. */
#ifndef RTCI_BASE_CLOCK_H
#define RTCI_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "runtime/base/bounds.h"

static inline uint64_t rtci_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * RTCI_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Goes on while the host sleeps: of what holds elsewhere too. */
static inline uint64_t rtci_clock_boot_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * RTCI_NS_PER_S + (uint64_t)t.tv_nsec;
}

#endif
