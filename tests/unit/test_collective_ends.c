/* How groups end: members that die in each phase, that leave, abort, are late or do something else;
 * and meetings that come to nothing. A victim is played by its counters: nothing else of it is
 * seen. */
#include <sched.h>

#include "tests/unit/collective_help.h"

#include "runtime/collective/segment.h"

#define LARGE 1000000u /* elements: more rounds than slots */

static bool says(const struct rtci_collective *c, const char *words)
{
    char text[256];
    rtci_collective_why(c, text, sizeof(text));
    if (strstr(text, words))
        return true;
    fprintf(stderr, "\"%s\" does not contain \"%s\"\n", text, words);
    return false;
}

static int reduce(struct rtci_collective *c, size_t n, uint64_t deadline)
{
    float *x = calloc(n, sizeof(*x));
    int rc = rtci_collective_all_reduce(c, x, x, n, RTC_F32, RTCI_REDUCE_SUM, deadline);
    free(x);
    return rc;
}

/* ---- Death ---- */
struct death {
    uint32_t victim;
    uint32_t count;                 /* elements of the all-reduce */
    uint32_t staged, reduced, done; /* rounds before it dies */
    bool silent;                    /* it did not even call */
};

static void die_in_phase(struct rtci_collective *c, const struct death *death)
{
    if (!death->silent)
        c->segment->members[c->rank].calls[1] = (struct call){
            .number = 1, .count = death->count, .kind = CALL_REDUCE, .dtype = RTC_F32};
    for (uint32_t i = 0; i < death->staged; i++)
        counter_add(c, STAGED);
    for (uint32_t i = 0; i < death->reduced; i++)
        counter_add(c, REDUCED);
    for (uint32_t i = 0; i < death->done; i++)
        counter_add(c, DONE);
    raise(SIGKILL);
}

static int with_victim(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    const struct death *death = arg;
    char name[64];
    (void)size;
    if (rank == death->victim)
        die_in_phase(c, death);
    snprintf(name, sizeof(name), "rank %u (pid %u) died", death->victim,
             c->segment->members[death->victim].pid);
    CREW_NEED(reduce(c, death->count, UINT64_MAX) == RTC_E_CRASHED);
    CREW_NEED(says(c, name));
    CREW_NEED(rtci_collective_barrier(c, UINT64_MAX) == RTC_E_CRASHED); /* it stays so */
    CREW_NEED(says(c, name));
    return 0;
}

static void dies(uint32_t size, struct death death)
{
    int statuses[RTCI_COLLECTIVE_RANKS_MAX];
    assert_int_equal(crew_run(size, with_victim, &death, statuses), 0);
    for (uint32_t i = 1; i < size; i++) {
        if (i == death.victim)
            assert_true(WIFSIGNALED(statuses[i]) && WTERMSIG(statuses[i]) == SIGKILL);
        else
            assert_int_equal(statuses[i], 0);
    }
}

static void test_death(void **state)
{
    (void)state;
    for (uint32_t size = 2; size <= 4; size++) {
        uint32_t victim = 1 + size % (size - 1);
        dies(size, (struct death){victim, 1, 0, 0, 0, true});
        dies(size, (struct death){victim, 1, 0, 0, 0, false});
        dies(size, (struct death){victim, LARGE, 0, 0, 0, false});
        for (uint32_t rounds = 1; rounds <= 3; rounds++) {
            dies(size, (struct death){victim, LARGE, rounds, 0, 0, false});
            dies(size, (struct death){victim, LARGE, rounds, rounds - 1, 0, false});
            dies(size, (struct death){victim, LARGE, rounds, rounds, 0, false});
            dies(size, (struct death){victim, LARGE, rounds, rounds, rounds - 1, false});
            dies(size, (struct death){victim, LARGE, rounds, rounds, rounds, false});
        }
    }
}

/* What it had done before it died is enough for the others, who end well; the next call fails. */
static int last_words(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    float x = (float)rank, sum = -1;
    (void)arg;
    (void)size;
    CREW_NEED(rtci_collective_all_reduce(c, &x, &sum, 1, RTC_F32, RTCI_REDUCE_SUM, UINT64_MAX) ==
              0);
    CREW_NEED(sum == 3);
    if (rank == 2)
        raise(SIGKILL);
    CREW_NEED(rtci_collective_barrier(c, UINT64_MAX) == RTC_E_CRASHED);
    CREW_NEED(says(c, "rank 2"));
    return 0;
}

static void test_last_words(void **state)
{
    (void)state;
    int statuses[RTCI_COLLECTIVE_RANKS_MAX];
    assert_int_equal(crew_run(3, last_words, NULL, statuses), 0);
    assert_int_equal(statuses[1], 0);
    assert_true(WIFSIGNALED(statuses[2]));
}

/* ---- Others ends ---- */
static int leaves(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    float x[3] = {1, 2, 3};
    (void)arg;
    (void)size;
    /* Who leaves behind a call does no harm to those who are still in it. */
    CREW_NEED(rtci_collective_broadcast(c, x, 3, RTC_F32, 1, UINT64_MAX) == 0);
    if (rank == 1)
        return 0;
    CREW_NEED(reduce(c, LARGE, UINT64_MAX) == RTC_E_CANCELLED);
    CREW_NEED(says(c, "rank 1") && says(c, "left"));
    return 0;
}

static int aborts(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    (void)arg;
    (void)size;
    if (rank == 0)
        rtci_collective_abort(c, "the loss is not a number");
    CREW_NEED(reduce(c, LARGE, UINT64_MAX) == RTC_E_CANCELLED);
    CREW_NEED(says(c, "rank 0") && says(c, "aborted: the loss is not a number"));
    rtci_collective_abort(c, "later");
    CREW_NEED(says(c, "the loss"));
    return 0;
}

/* One that lives, but does not come before the others have given up. */
static int is_late(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    (void)arg;
    (void)size;
    if (rank == 2) {
        while (!is_broken(c))
            sched_yield();
        CREW_NEED(rtci_collective_barrier(c, UINT64_MAX) == RTC_E_CANCELLED);
        return 0;
    }
    int rc =
        rank == 0 ? reduce(c, LARGE, now_ns() + 30 * RTCI_NS_PER_MS) : reduce(c, LARGE, UINT64_MAX);
    CREW_NEED(rc == (rank == 0 ? RTC_E_TIMEOUT : RTC_E_CANCELLED));
    CREW_NEED(says(c, "did not come before the timeout of rank 0")); /* 2, or 1 for want of a CPU */
    return 0;
}

static int differ(struct rtci_collective *c, uint32_t rank, uint32_t size, void *arg)
{
    (void)size;
    float x[64] = {0};
    int rc = 0;
    switch (*(int *)arg) {
    case 0: rc = reduce(c, rank == 1 ? 2 : 3, UINT64_MAX); break;
    case 1:
        rc = rank == 1 ? rtci_collective_barrier(c, UINT64_MAX) : reduce(c, LARGE, UINT64_MAX);
        break;
    case 2: rc = rtci_collective_broadcast(c, x, 1, RTC_F32, rank == 1, UINT64_MAX); break;
    case 3:
        rc = rtci_collective_all_reduce(c, x, x, 8, RTC_F32,
                                        rank == 1 ? RTCI_REDUCE_MAX : RTCI_REDUCE_SUM, UINT64_MAX);
        break;
    default:
        rc = rtci_collective_all_gather(c, x, x + 32, 1, rank == 1 ? RTC_F32 : RTC_U32, UINT64_MAX);
    }
    CREW_NEED(rc == RTC_E_INVALID);
    CREW_NEED(says(c, "rank 1") && says(c, " called a"));
    return 0;
}

static void test_other_ends(void **state)
{
    (void)state;
    for (uint32_t size = 2; size <= 4; size++) {
        crew_all_fine(size, leaves, NULL);
        crew_all_fine(size, aborts, NULL);
        for (int how = 0; how < 5; how++)
            crew_all_fine(size, differ, &how);
    }
    crew_all_fine(3, is_late, NULL);
}

/* ---- A second epoch ---- */
static void test_again(void **state)
{
    (void)state;
    struct death death = {1, LARGE, 2, 1, 0, false};
    for (int i = 0; i < 3; i++) {
        dies(2, death);
        death.reduced = 2;
        death.done = (uint32_t)i;
    }
    crew_all_fine(2, leaves, NULL);
}

/* ---- Meetings ---- */
static pid_t visit(const char *address, const struct rtci_meeting *meeting, int want,
                   const char *words)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char why[192] = "";
    struct rtci_collective *c = NULL;
    int rc = rtci_meeting_visit(address, meeting, why, sizeof(why), &c);
    if (rc != want || !strstr(why, words))
        fprintf(stderr, "rank %u: %d, \"%s\"\n", meeting->rank, rc, why);
    rtci_collective_leave(c);
    _exit(rc != want || !strstr(why, words));
}

static void ended_well(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Rank 0 waits for three; two come, and others that it does not take. */
static int run_out(struct rtci_meeting *meeting)
{
    return --*(int *)meeting->arg > 0 ? 0 : RTC_E_UNSUPPORTED;
}

static void test_meetings(void **state)
{
    (void)state;
    char address[RTCI_MEETING_ADDRESS], why[192];
    struct rtci_collective *c = NULL;
    int listener = rtci_meeting_open(address), ticks = 3;
    assert_true(listener >= 0);
    struct rtci_meeting host = crew_meeting(0, 4), guest = crew_meeting(1, 4), wrong = guest,
                        second = crew_meeting(2, 4), other = crew_meeting(3, 3),
                        zero = crew_meeting(0, 4);
    wrong.token[3] ^= 1;
    pid_t pids[] = {visit(address, &wrong, RTC_E_AGAIN, "gone"),
                    visit(address, &second, RTC_E_AGAIN, "rank 1 did not come"),
                    visit(address, &other, RTC_E_INVALID, "4 members, rank 3 says 3"),
                    visit(address, &zero, RTC_E_EXISTS, "the process which waits")};
    struct rtci_meeting nobody = {.deadline_ns = UINT64_MAX};
    pid_t third = visit(address, &nobody, RTC_E_AGAIN, "gone");
    guest.rank = 3;
    pid_t fourth = visit(address, &guest, RTC_E_AGAIN, "rank 1 did not come");
    host.deadline_ns = now_ns() + RTCI_NS_PER_S;
    assert_int_equal(rtci_meeting_host(listener, &host, why, sizeof(why), &c), RTC_E_TIMEOUT);
    assert_string_equal(why, "rank 1 did not come");
    for (size_t i = 0; i < sizeof(pids) / sizeof(*pids); i++)
        ended_well(pids[i]);
    ended_well(third);
    ended_well(fourth);
    /* The caller ends it. */
    host.deadline_ns = UINT64_MAX;
    host.tick = run_out;
    host.arg = &ticks;
    assert_int_equal(rtci_meeting_host(listener, &host, why, sizeof(why), &c), RTC_E_UNSUPPORTED);
    assert_null(c);
    close(listener);
    ended_well(visit(address, &second, RTC_E_AGAIN, "gone"));
}

/* A rank that is there twice: the second is sent away, and takes the place when the first is dead.
 */
static void test_replaced(void **state)
{
    (void)state;
    char address[RTCI_MEETING_ADDRESS], why[192];
    struct rtci_collective *c = NULL;
    int listener = rtci_meeting_open(address), status;
    struct rtci_meeting host = crew_meeting(0, 3), one = crew_meeting(1, 3),
                        two = crew_meeting(2, 3);
    host.deadline_ns = now_ns() + RTCI_NS_PER_S;
    pid_t first = visit(address, &one, RTC_E_AGAIN, "rank 2 did not come");
    assert_int_equal(rtci_meeting_host(listener, &host, why, sizeof(why), &c), RTC_E_TIMEOUT);
    ended_well(first);
    pid_t victim = visit(address, &one, 0, "");
    kill(victim, SIGKILL);
    waitpid(victim, &status, 0);
    host.deadline_ns = UINT64_MAX;
    pid_t again = visit(address, &one, 0, ""), other = visit(address, &two, 0, "");
    assert_int_equal(rtci_meeting_host(listener, &host, why, sizeof(why), &c), 0);
    ended_well(again);
    ended_well(other);
    rtci_collective_leave(c);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_death),      cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_other_ends), cmocka_unit_test(test_again),
        cmocka_unit_test(test_meetings),   cmocka_unit_test(test_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
