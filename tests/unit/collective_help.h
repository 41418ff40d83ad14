/* A group of forked processes, of which the test is rank 0. */
#ifndef TESTS_UNIT_COLLECTIVE_HELP_H
#define TESTS_UNIT_COLLECTIVE_HELP_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* needs the above */
#include <cmocka.h>

#include "runtime/collective/collective.h"

#define SECONDS(n) (now_ns() + (uint64_t)(n) * RTCI_NS_PER_S)

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * RTCI_NS_PER_S + (uint64_t)t.tv_nsec;
}

static inline struct rtci_meeting crew_meeting(uint32_t rank, uint32_t size)
{
    return (struct rtci_meeting){.token = "a secret of ours",
                                 .rank = rank,
                                 .size = size,
                                 .epoch = 7,
                                 .deadline_ns = SECONDS(60)};
}

/* What every member does: 0 when all is as it should be. A line that is not is said. */
typedef int crew_fn(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg);
#define CREW_NEED(expr)                                                                    \
    do {                                                                                   \
        if (!(expr)) {                                                                     \
            fprintf(stderr, "rank %u: %s:%d: %s\n", rank, __FILE__, __LINE__, #expr);      \
            return 1;                                                                      \
        }                                                                                  \
    } while (0)

static inline void crew_child(const char *address, uint32_t rank, uint32_t size, crew_fn *fn,
                              void *arg)
{
    char why[192];
    struct rtci_collective *c = NULL;
    struct rtci_meeting meeting = crew_meeting(rank, size);
    int rc = rtci_meeting_visit(address, &meeting, why, sizeof(why), &c);
    if (rc < 0) {
        fprintf(stderr, "rank %u: %s\n", rank, why);
        _exit(2);
    }
    rc = fn(c, rank, size, arg);
    rtci_collective_leave(c);
    _exit(rc);
}

/* Runs fn in `size` processes; *ret_statuses has how the others ended. Returns what rank 0 returned. */
static inline int crew_run(uint32_t size, crew_fn *fn, void *arg, int *ret_statuses)
{
    char address[RTCI_MEETING_ADDRESS], why[192] = "";
    pid_t pids[RTCI_COLLECTIVE_RANKS_MAX];
    struct rtci_collective *c = NULL;
    struct rtci_meeting meeting = crew_meeting(0, size);
    int listener = rtci_meeting_open(address);
    assert_true(listener >= 0);
    for (uint32_t i = 1; i < size; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            close(listener);
            crew_child(address, i, size, fn, arg);
        }
    }
    int rc = rtci_meeting_host(listener, &meeting, why, sizeof(why), &c);
    if (rc < 0)
        print_message("rank 0: %s\n", why);
    assert_int_equal(rc, 0);
    close(listener);
    rc = fn(c, 0, size, arg);
    rtci_collective_leave(c);
    for (uint32_t i = 1; i < size; i++)
        assert_int_equal(waitpid(pids[i], &ret_statuses[i], 0), pids[i]);
    return rc;
}

static inline void crew_all_fine(uint32_t size, crew_fn *fn, void *arg)
{
    int statuses[RTCI_COLLECTIVE_RANKS_MAX];
    assert_int_equal(crew_run(size, fn, arg, statuses), 0);
    for (uint32_t i = 1; i < size; i++)
        assert_int_equal(statuses[i], 0);
}

#endif
