/* Groups on an embedded cluster: members are tasks and the driver; what works, what is said when it
 * does not. Built as a user's program. */
#include <pthread.h>
#include <rtc/actor.h>
#include <rtc/group.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include "tests/api/check.h"

static struct rtc *rtc;

enum { N = 100003 };

/* Every operation once; the same in tasks and in the driver. */
static int all_of_it(struct rtc_group *group)
{
    uint32_t rank = rtc_group_rank(group), size = rtc_group_size(group);
    float *x = malloc(N * sizeof(*x)), all[8] = {0}, own = (float)rank, part = 0;
    for (int i = 0; i < N; i++)
        x[i] = (float)(i % 100) + (float)rank;
    int rc = rtc_group_all_reduce(group, x, x, N, RTC_F32, RTC_SUM, RTC_S(20));
    for (int i = 0; i < N && rc == 0; i++)
        rc = x[i] == (float)(size * (uint32_t)(i % 100) + size * (size - 1) / 2) ? 0 : -1000;
    free(x);
    RTC_TRY(rc);
    RTC_TRY(rtc_group_all_gather(group, &own, all, 1, RTC_F32, RTC_S(20)));
    for (uint32_t r = 0; r < size; r++) {
        if (all[r] != (float)r)
            return -1001;
    }
    RTC_TRY(rtc_group_reduce_scatter(group, all, &part, 1, RTC_F32, RTC_MAX, RTC_S(20)));
    RTC_TRY(rtc_group_broadcast(group, &own, 1, RTC_F32, size - 1, RTC_S(20)));
    RTC_TRY(rtc_group_barrier(group, RTC_S(20)));
    return part == (float)rank && own == (float)(size - 1) ? 0 : -1002;
}

/* name, rank, size, what: a member. Returns its epoch, or the sentence of what went wrong. */
RTC_TASK(member)
{
    const char *name, *what;
    int64_t rank, size;
    struct rtc_group *group = NULL;
    RTC_TRY(rtc_arg_str(call, 0, &name, NULL));
    RTC_TRY(rtc_arg_i64(call, 1, &rank));
    RTC_TRY(rtc_arg_i64(call, 2, &size));
    RTC_TRY(rtc_arg_str(call, 3, &what, NULL));
    if (!strcmp(what, "far") && unshare(CLONE_NEWNET) < 0)
        return rtc_return_str(call, "not possible here");
    int rc =
        rtc_group_join(rtc_call_rtc(call), name, (uint32_t)rank, (uint32_t)size, RTC_S(20), &group);
    if (rc < 0)
        return rtc_return_str(call, rtc_last_error());
    uint64_t epoch = rtc_group_epoch(group);
    if (!strcmp(what, "die"))
        raise(SIGKILL);
    if (!strcmp(what, "abort"))
        RTC_TRY(rtc_group_abort(group, "no more data"));
    rc = all_of_it(group);
    char text[300];
    snprintf(text, sizeof(text), "%s: %s", rtc_error_name(rc), rtc_last_error());
    if (!strcmp(what, "end"))
        return rtc_return_i64(call, (int64_t)epoch); /* the process ends later, or not at all */
    RTC_TRY(rtc_group_leave(&group));
    return rc < 0 ? rtc_return_str(call, text) : rtc_return_i64(call, (int64_t)epoch);
}

/* An actor that is a member, again and again. */
struct learner {
    struct rtc_group *group;
};

static int join(struct rtc_call *call)
{
    struct learner *self = rtc_self(call);
    int64_t rank;
    RTC_TRY(rtc_arg_i64(call, 0, &rank));
    RTC_TRY(rtc_group_leave(&self->group));
    RTC_TRY(
        rtc_group_join(rtc_call_rtc(call), "learners", (uint32_t)rank, 2, RTC_S(20), &self->group));
    return rtc_return_i64(call, (int64_t)rtc_group_epoch(self->group));
}

static int average(struct rtc_call *call)
{
    struct learner *self = rtc_self(call);
    double x;
    RTC_TRY(rtc_arg_f64(call, 0, &x));
    RTC_TRY(rtc_group_all_reduce(self->group, &x, &x, 1, RTC_F64, RTC_MEAN, RTC_S(20)));
    return rtc_return_f64(call, x);
}

static void drop_learner(void *state)
{
    rtc_group_leave(&((struct learner *)state)->group);
}
RTC_ACTOR(learner, struct learner, .drop = drop_learner,
          .methods = {RTC_METHOD(join), RTC_METHOD(average)});

static rtc_ref submit(const char *name, int64_t rank, int64_t size, const char *what)
{
    rtc_ref ref;
    OK(rtc_submit(rtc, "member",
                  RTC_ARGS(rtc_str(name), rtc_i64(rank), rtc_i64(size), rtc_str(what)),
                  RTC_OPTIONS(.retries = RTC_NO_RETRY), &ref));
    return ref;
}

/* Its epoch. */
static int64_t ended_well(rtc_ref ref)
{
    struct rtc_value value;
    int64_t epoch = 0;
    OK(rtc_get(rtc, ref, RTC_S(40), &value));
    if (value.type == RTC_STRING)
        print_message("%.*s\n", (int)value.as.bytes.size, (const char *)value.as.bytes.data);
    OK(rtc_value_i64(&value, &epoch));
    OK(rtc_release(rtc, ref));
    return epoch;
}

static bool ended_with(rtc_ref ref, const char *words)
{
    struct rtc_value value;
    char text[512] = "";
    OK(rtc_get(rtc, ref, RTC_S(40), &value));
    if (value.type == RTC_STRING)
        snprintf(text, sizeof(text), "%.*s", (int)value.as.bytes.size,
                 (const char *)value.as.bytes.data);
    bool is = strstr(text, words) != NULL;
    if (!is)
        print_message("\"%s\" does not contain \"%s\"\n", text, words);
    OK(rtc_release(rtc, ref));
    return is;
}

/* ---- What works ---- */
/* Members are tasks; with more of them than CPUs, those who wait lend theirs to the others. */
static void test_tasks(void **state)
{
    (void)state;
    int64_t last = 0;
    for (int64_t size = 1; size <= 5; size++) {
        rtc_ref refs[5];
        for (int64_t rank = 0; rank < size; rank++)
            refs[rank] = submit("tasks", rank, size, "");
        int64_t epoch = ended_well(refs[0]);
        assert_true(epoch > last);
        last = epoch;
        for (int64_t rank = 1; rank < size; rank++)
            assert_int_equal(ended_well(refs[rank]), epoch);
    }
}

static void test_driver(void **state)
{
    (void)state;
    struct rtc_group *group;
    for (uint32_t own = 0; own < 2; own++) {
        rtc_ref ref = submit("driver", 1 - own, 2, "");
        OK(rtc_group_join(rtc, "driver", own, 2, RTC_S(20), &group));
        assert_int_equal(rtc_group_rank(group), own);
        assert_int_equal(rtc_group_size(group), 2);
        OK(all_of_it(group));
        assert_int_equal(ended_well(ref), rtc_group_epoch(group));
        OK(rtc_group_leave(&group));
        assert_null(group);
        OK(rtc_group_leave(&group));
    }
}

static void *one_thread(void *arg)
{
    uint32_t rank = *(uint32_t *)arg;
    struct rtc_group *group;
    int rc = rtc_group_join(rtc, "threads", rank, 3, RTC_S(20), &group);
    if (rc == 0) {
        rc = all_of_it(group);
        rtc_group_leave(&group);
    }
    return (void *)(intptr_t)rc;
}

/* Members may be threads of one process. */
static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[3];
    uint32_t ranks[] = {0, 1, 2};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, one_thread, &ranks[i]), 0);
    for (int i = 0; i < 3; i++) {
        void *rc;
        pthread_join(threads[i], &rc);
        assert_null(rc);
    }
}

/* ---- Ends ---- */
/* One dies: the others are told which, and form the group again with its successor. */
static void test_death(void **state)
{
    (void)state;
    struct rtc_group *group;
    uint64_t before = 0;
    for (uint32_t victim = 0; victim < 3; victim++) {
        char name[32];
        uint32_t own = victim == 0;
        snprintf(name, sizeof(name), "rank %u (pid ", victim);
        rtc_ref refs[3];
        for (uint32_t rank = 0; rank < 3; rank++) {
            if (rank != own)
                refs[rank] = submit("death", rank, 3, rank == victim ? "die" : "");
        }
        OK(rtc_group_join(rtc, "death", own, 3, RTC_S(20), &group));
        assert_true(rtc_group_epoch(group) > before);
        FAILS(all_of_it(group), RTC_E_CRASHED, name);
        FAILS(rtc_group_barrier(group, 0), RTC_E_CRASHED, name);
        before = rtc_group_epoch(group);
        OK(rtc_group_leave(&group));
        for (uint32_t rank = 0; rank < 3; rank++) {
            if (rank == victim) {
                FAILS(rtc_get(rtc, refs[rank], RTC_S(40), NULL), RTC_E_CRASHED, "");
                OK(rtc_release(rtc, refs[rank]));
            } else if (rank != own) {
                assert_true(ended_with(refs[rank], name));
            }
        }
    }
    rtc_ref one = submit("death", 1, 3, ""), two = submit("death", 2, 3, "");
    OK(rtc_group_join(rtc, "death", 0, 3, RTC_S(20), &group));
    OK(all_of_it(group));
    assert_true(rtc_group_epoch(group) > before);
    ended_well(one);
    ended_well(two);
    OK(rtc_group_leave(&group));
}

/* Both join, from the calls of an actor; the epoch of the group. */
static int64_t join_both(const rtc_actor *actors)
{
    rtc_ref refs[2];
    int64_t epoch[2] = {0, 1};
    for (int i = 0; i < 2; i++)
        OK(rtc_actor_call(rtc, actors[i], "join", RTC_ARGS(rtc_i64(i)), NULL, &refs[i]));
    for (int i = 0; i < 2; i++)
        OK(rtc_get_i64(rtc, refs[i], RTC_S(40), &epoch[i]));
    OK(rtc_release_many(rtc, refs, 2));
    assert_int_equal(epoch[0], epoch[1]);
    return epoch[0];
}

/* An actor that dies is named to the others; started again, it forms the group with them anew. */
static void test_actors(void **state)
{
    (void)state;
    rtc_actor actors[2];
    rtc_ref refs[2];
    double x = 0;
    for (int i = 0; i < 2; i++)
        OK(rtc_actor_create(
            rtc, "learner", NULL,
            RTC_ACTOR_OPTIONS(.max_restarts = 1, .needs = RTC_OPTIONS(.cpus = RTC_NONE)),
            &actors[i]));
    int64_t first = join_both(actors);
    for (int i = 0; i < 2; i++)
        OK(rtc_actor_call(rtc, actors[i], "average", RTC_ARGS(rtc_f64(i)), NULL, &refs[i]));
    for (int i = 0; i < 2; i++) {
        OK(rtc_get_f64(rtc, refs[i], RTC_S(40), &x));
        assert_true(x == 0.5);
    }
    OK(rtc_release_many(rtc, refs, 2));
    OK(rtc_actor_call(rtc, actors[0], "average", RTC_ARGS(rtc_f64(1)), NULL, &refs[0]));
    OK(rtc_actor_kill(rtc, actors[1], RTC_KILL_RESTART));
    FAILS(rtc_get(rtc, refs[0], RTC_S(40), NULL), RTC_E_TASK_FAILED, "rank 1 (pid ");
    OK(rtc_release(rtc, refs[0]));
    assert_true(join_both(actors) > first);
    for (int i = 0; i < 2; i++)
        OK(rtc_actor_release(rtc, actors[i]));
}

static void test_other_ends(void **state)
{
    (void)state;
    struct rtc_group *group;
    rtc_ref ref = submit("ends", 1, 2, "abort");
    OK(rtc_group_join(rtc, "ends", 0, 2, RTC_S(20), &group));
    FAILS(all_of_it(group), RTC_E_CANCELLED, "aborted: no more data");
    assert_true(ended_with(ref, "no more data"));
    OK(rtc_group_leave(&group));
    ref = submit("ends", 1, 2, "");
    OK(rtc_group_join(rtc, "ends", 0, 2, RTC_S(20), &group));
    OK(rtc_group_leave(&group));
    assert_true(ended_with(ref, "rank 0"));
    /* One that lives and does not come. */
    ref = submit("ends", 1, 2, "end");
    OK(rtc_group_join(rtc, "ends", 0, 2, RTC_S(20), &group));
    OK(all_of_it(group));
    FAILS(rtc_group_barrier(group, RTC_MS(30)), RTC_E_TIMEOUT,
          "group \"ends\": rank 1 (pid "); /* … did not come before the timeout of rank 0 */
    ended_well(ref);
    OK(rtc_group_leave(&group));
}

static void test_meeting(void **state)
{
    (void)state;
    struct rtc_group *group;
    FAILS(rtc_group_join(rtc, "alone", 0, 2, RTC_MS(50), &group), RTC_E_TIMEOUT,
          "group \"alone\": rank 1 did not come");
    FAILS(rtc_group_join(rtc, "alone", 1, 2, RTC_MS(50), &group), RTC_E_TIMEOUT,
          "rank 0 did not come");
    /* The second of a rank, and one that has another number in mind. */
    rtc_ref a = submit("meet", 1, 3, ""), b = submit("meet", 1, 3, ""),
            c = submit("meet", 2, 4, ""), ready[3] = {a, b, c};
    size_t first[2], n;
    FAILS(rtc_group_join(rtc, "meet", 0, 3, RTC_S(1), &group), RTC_E_TIMEOUT, "rank 2 did not");
    OK(rtc_wait(rtc, ready, 3, 2, RTC_S(40), first, &n)); /* two are sent away, one waits on */
    rtc_ref d = submit("meet", 2, 3, "");
    OK(rtc_group_join(rtc, "meet", 0, 3, RTC_S(20), &group));
    OK(all_of_it(group));
    ended_well(d);
    OK(rtc_group_leave(&group));
    assert_true(ended_with(c, "3 members, rank 2 says 4"));
    bool a_went = first[0] == 0 || first[1] == 0;
    assert_true(ended_with(a_went ? a : b, "rank 1 is taken by process"));
    ended_well(a_went ? b : a);
}

/* Members that cannot reach each other are told so, both of them. */
static void test_far(void **state)
{
    (void)state;
    struct rtc_group *group;
    struct rtc_value value;
    rtc_ref ref = submit("far", 1, 2, "far");
    int rc = rtc_group_join(rtc, "far", 0, 2, RTC_S(5), &group);
    if (rc == 0)
        rc = all_of_it(group);
    OK(rtc_get(rtc, ref, RTC_S(40), &value));
    if (value.type == RTC_STRING && strstr(value.as.bytes.data, "not possible here"))
        skip();
    if (rc)
        fail_msg("%s", rtc_last_error());
    OK(rtc_group_leave(&group));
    assert_int_equal(value.type, RTC_INT);
    OK(rtc_release(rtc, ref));
}

/* ---- What cannot be ---- */
static void test_refused(void **state)
{
    (void)state;
    struct rtc_group *group = NULL;
    float x[8] = {0};
    char name[300];
    memset(name, 'x', sizeof(name));
    name[201] = 0;
    FAILS(rtc_group_join(rtc, NULL, 0, 1, 0, &group), RTC_E_INVALID, "1 to 200 bytes");
    FAILS(rtc_group_join(rtc, "", 0, 1, 0, &group), RTC_E_INVALID, "1 to 200 bytes");
    FAILS(rtc_group_join(rtc, name, 0, 1, 0, &group), RTC_E_INVALID, "1 to 200 bytes");
    FAILS(rtc_group_join(rtc, "g", 0, 0, 0, &group), RTC_E_INVALID, "1 to 64 members");
    FAILS(rtc_group_join(rtc, "g", 0, 65, 0, &group), RTC_E_INVALID, "1 to 64 members");
    FAILS(rtc_group_join(rtc, "g", 2, 2, 0, &group), RTC_E_INVALID, "0 to 1");
    FAILS(rtc_group_join(rtc, "g", 0, 1, 0, NULL), RTC_E_INVALID, "ret_group");
    FAILS(rtc_group_join(NULL, "g", 0, 1, 0, &group), RTC_E_CLOSED, "NULL");
    FAILS(rtc_group_barrier(NULL, 0), RTC_E_CLOSED, "not joined");
    FAILS(rtc_group_abort(NULL, NULL), RTC_E_CLOSED, "not joined");
    OK(rtc_group_join(rtc, "g", 0, 1, RTC_S(5), &group));
    FAILS(rtc_group_all_reduce(group, NULL, x, 1, RTC_F32, RTC_SUM, 0), RTC_E_INVALID, "NULL");
    FAILS(rtc_group_all_reduce(group, x, x, 1, RTC_I32, RTC_SUM, 0), RTC_E_INVALID, "dtype = 5");
    FAILS(rtc_group_all_reduce(group, x, x, 1, RTC_F32, 7, 0), RTC_E_INVALID, "op = 7");
    FAILS(rtc_group_all_reduce(group, x, x + 1, 4, RTC_F32, RTC_SUM, 0), RTC_E_INVALID, "overlap");
    FAILS(rtc_group_all_gather(group, x, x, 1, 77, 0), RTC_E_INVALID, "dtype = 77");
    FAILS(rtc_group_broadcast(group, x, 1, RTC_F32, 1, 0), RTC_E_INVALID, "root = 1");
    FAILS(rtc_group_broadcast(group, x, SIZE_MAX / 4, RTC_F32, 0, 0), RTC_E_INVALID, "memory");
    OK(rtc_group_all_reduce(group, NULL, NULL, 0, RTC_F32, RTC_MEAN, 0));
    OK(all_of_it(group));
    pid_t child = fork();
    if (child == 0)
        _exit(rtc_group_barrier(group, 0) != RTC_E_FORKED ||
              rtc_group_leave(&group) != RTC_E_FORKED);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    OK(rtc_group_barrier(group, 0));
    OK(rtc_group_leave(&group));
}

int main(int argc, char **argv)
{
    struct rtc_config config = {.address = "embedded", .cpus = 2, .name = "test_group"};
    RTC_CHECK(rtc_init(&argc, &argv, &config, &rtc));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks),   cmocka_unit_test(test_driver),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_death),
        cmocka_unit_test(test_actors),  cmocka_unit_test(test_other_ends),
        cmocka_unit_test(test_meeting), cmocka_unit_test(test_far),
        cmocka_unit_test(test_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rtc_shutdown(&rtc);
    return failed;
}
