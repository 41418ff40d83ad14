/* Calls between processes of one host that pass no daemon: they go on while it stands still, and
 * when it is killed; order, values and ends are as ever. */
#include <poll.h>
#include <rtc/rtc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* needs those above */
#include <cmocka.h>

#include <rtc/actor.h>

#include "tests/api/check.h"
#include "tests/unit/lane_help.h"

#define SYNC    300
#define TRIES   200
#define CALLS   20000
#define WINDOW  500
#define RESULTS 64

/* ---- In the actors ---- */

struct turn {
    int64_t n;
    rtc_actor to;
};

/* Returns how many calls came before, when this one came in its turn. */
static int in_turn(struct rtc_call *call)
{
    struct turn *self = rtc_self(call);
    int64_t i;
    RTC_TRY(rtc_arg_i64(call, 0, &i));
    if (i != self->n)
        return rtc_fail(call, -1, "call %lld came as number %lld", (long long)i,
                        (long long)self->n);
    return rtc_return_i64(call, self->n++);
}

static int echo(struct rtc_call *call)
{
    struct rtc_value v;
    RTC_TRY(rtc_arg(call, 0, &v));
    return rtc_return(call, &v);
}

static int where(struct rtc_call *call)
{
    return rtc_return_i64(call, getpid());
}

static int befriend(struct rtc_call *call)
{
    struct turn *self = rtc_self(call);
    RTC_TRY(rtc_arg_actor(call, 0, &self->to));
    RTC_TRY(rtc_actor_retain(rtc_call_rtc(call), self->to));
    return rtc_return_i64(call, 0);
}

/* Calls the friend, one call at a time, from the first number to the second. */
static int ask_friend(struct rtc_call *call)
{
    struct turn *self = rtc_self(call);
    struct rtc *rtc = rtc_call_rtc(call);
    int64_t from, to, x = -1;
    RTC_TRY(rtc_arg_i64(call, 0, &from));
    RTC_TRY(rtc_arg_i64(call, 1, &to));
    for (int64_t i = from; i < to; i++) {
        rtc_ref ref;
        RTC_TRY(rtc_actor_call(rtc, self->to, "in_turn", RTC_ARGS(rtc_i64(i)), NULL, &ref));
        RTC_TRY(rtc_get_i64(rtc, ref, RTC_S(60), &x));
        RTC_TRY(rtc_release(rtc, ref));
    }
    return rtc_return_i64(call, x);
}

static int count_to(struct rtc_call *call)
{
    int64_t n;
    RTC_TRY(rtc_arg_i64(call, 0, &n));
    for (int64_t i = 0; i < n; i++) {
        struct rtc_value v = rtc_i64(i);
        RTC_TRY(rtc_yield(call, &v));
    }
    return 0;
}

static int die(struct rtc_call *call)
{
    (void)call;
    raise(SIGKILL);
    return 0;
}

/* What became of the call of which the friend dies: enum rtc_ran. */
static int outlive_friend(struct rtc_call *call)
{
    struct turn *self = rtc_self(call);
    struct rtc *rtc = rtc_call_rtc(call);
    struct rtc_failure failure;
    struct rtc_value v;
    rtc_ref ref;
    RTC_TRY(rtc_actor_call(rtc, self->to, "die", NULL, NULL, &ref));
    if (rtc_get(rtc, ref, RTC_S(60), &v) != RTC_E_ACTOR_DEAD)
        return rtc_fail(call, -1, "it lives");
    RTC_TRY(rtc_failure_of(rtc, ref, &failure));
    RTC_TRY(rtc_release(rtc, ref));
    return rtc_return_i64(call, (int64_t)failure.ran);
}

RTC_ACTOR(turns, struct turn,
          .methods = {RTC_METHOD(in_turn), RTC_METHOD(echo), RTC_METHOD(where),
                      RTC_METHOD(befriend), RTC_METHOD(ask_friend), RTC_METHOD(count_to),
                      RTC_METHOD(die), RTC_METHOD(outlive_friend)});

/* ---- The driver ---- */

static struct rtc *rtc;

static pid_t daemon_pid(void)
{
    char *json = NULL;
    OK(rtc_query(rtc, "status", &json));
    const char *at = strstr(json, "\"pid\":");
    long pid = at ? strtol(at + 6, NULL, 10) : 0;
    free(json);
    assert_true(pid > 1);
    return (pid_t)pid;
}

static rtc_actor start(void)
{
    static const struct rtc_options no_cpu = {.cpus = RTC_NONE};
    rtc_actor actor;
    OK(rtc_actor_create(rtc, "turns", NULL, RTC_ACTOR_OPTIONS(.needs = &no_cpu), &actor));
    OK(rtc_actor_ready(rtc, actor, RTC_S(60)));
    return actor;
}

static int64_t got(rtc_ref ref)
{
    int64_t x = -1;
    OK(rtc_get_i64(rtc, ref, RTC_S(60), &x));
    OK(rtc_release(rtc, ref));
    return x;
}

static rtc_ref call(rtc_actor actor, const char *method, const struct rtc_args *args)
{
    rtc_ref ref;
    OK(rtc_actor_call(rtc, actor, method, args, NULL, &ref));
    return ref;
}

/* While the daemon stands still: true when that many calls, one by one, were answered. The first
 * may still have gone to it, because the lane was not there yet. */
static bool answers_alone(pid_t daemon, rtc_ref (*next)(void *arg), void *arg, int n)
{
    rtc_ref ref = {0};
    int rc = 0, done = 0;
    kill(daemon, SIGSTOP);
    for (; done < n; done++) {
        ref = next(arg);
        struct rtc_value v;
        rc = rtc_get(rtc, ref, RTC_MS(200), &v);
        if (rc < 0)
            break;
        OK(rtc_release(rtc, ref));
    }
    kill(daemon, SIGCONT);
    if (rc < 0) {
        assert_int_equal(rc, RTC_E_TIMEOUT);
        got(ref);
    }
    return done == n;
}

struct asker {
    rtc_actor actor;
    int64_t n;
};

static rtc_ref ask_next(void *arg)
{
    struct asker *a = arg;
    return call(a->actor, "in_turn", RTC_ARGS(rtc_i64(a->n++)));
}

static void without_the_daemon(void **state)
{
    (void)state;
    struct asker a = {.actor = start()};
    pid_t daemon = daemon_pid();
    int tries = 0;
    while (!answers_alone(daemon, ask_next, &a, SYNC))
        assert_true(++tries < TRIES);
    OK(rtc_actor_release(rtc, a.actor));
}

static rtc_ref ask_through(void *arg)
{
    struct asker *a = arg;
    a->n += 20;
    return call(a->actor, "ask_friend", RTC_ARGS(rtc_i64(a->n - 20), rtc_i64(a->n)));
}

/* From actor to actor. */
static void between_actors(void **state)
{
    (void)state;
    rtc_actor friend = start();
    struct asker a = {.actor = start()};
    got(call(a.actor, "befriend", RTC_ARGS(rtc_of_actor(friend))));
    pid_t daemon = daemon_pid();
    int tries = 0;
    while (!answers_alone(daemon, ask_through, &a, SYNC / 20))
        assert_true(++tries < TRIES);
    OK(rtc_actor_release(rtc, friend));
    OK(rtc_actor_release(rtc, a.actor));
}

/* Each call once, each in its turn, from the first on: on which way it may have gone changes. */
static void killed_daemons(void **state)
{
    (void)state;
    static rtc_ref refs[WINDOW];
    rtc_actor actor = start();
    for (int64_t n = 0; n < CALLS; n += WINDOW) {
        for (int i = 0; i < WINDOW; i++) {
            if (i == WINDOW / 2 && n % 4000 == 0)
                kill(daemon_pid(), SIGKILL);
            refs[i] = call(actor, "in_turn", RTC_ARGS(rtc_i64(n + i)));
        }
        for (int i = 0; i < WINDOW; i++)
            assert_int_equal(got(refs[i]), n + i);
    }
    OK(rtc_actor_release(rtc, actor));
}

/* What goes by the lane and what cannot, in turn. */
static void large_and_small(void **state)
{
    (void)state;
    static uint8_t bytes[300000];
    static rtc_ref refs[RESULTS];
    rtc_actor actor = start();
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < RESULTS; i++) {
            bytes[0] = (uint8_t)i;
            refs[i] = call(actor, "echo", RTC_ARGS(rtc_bytes(bytes, 1 + i * i * 70)));
        }
        for (size_t i = 0; i < RESULTS; i++) {
            struct rtc_value v;
            const void *data;
            size_t size;
            OK(rtc_get(rtc, refs[i], RTC_S(60), &v));
            OK(rtc_value_bytes(&v, &data, &size));
            assert_int_equal(size, 1 + i * i * 70);
            assert_int_equal(((const uint8_t *)data)[0], i);
            OK(rtc_release(rtc, refs[i]));
        }
    }
    OK(rtc_actor_release(rtc, actor));
}

static void streams(void **state)
{
    (void)state;
    rtc_actor actor = start();
    for (int round = 0; round < 20; round++) {
        rtc_ref ref;
        struct rtc_value v;
        int64_t x, n = 0, end = 1000;
        int rc;
        OK(rtc_actor_call(rtc, actor, "count_to", RTC_ARGS(rtc_i64(end)),
                          RTC_CALL_OPTIONS(.stream = true), &ref));
        while ((rc = rtc_next(rtc, ref, RTC_S(60), &v)) == 0) {
            OK(rtc_value_i64(&v, &x));
            assert_int_equal(x, n++);
        }
        assert_int_equal(rc, RTC_E_END);
        assert_int_equal(n, end);
        OK(rtc_release(rtc, ref));
    }
    OK(rtc_actor_release(rtc, actor));
}

/* A program with a loop of its own hears of an answer through rtc_fd(). */
static void event_loop(void **state)
{
    (void)state;
    rtc_actor actor = start();
    struct pollfd fd = {.fd = rtc_fd(rtc), .events = POLLIN};
    assert_true(fd.fd >= 0);
    for (int64_t i = 0; i < 300; i++) {
        size_t ready, n = 0;
        rtc_ref ref = call(actor, "in_turn", RTC_ARGS(rtc_i64(i)));
        while (rtc_wait(rtc, &ref, 1, 1, 0, &ready, &n) < 0) {
            assert_int_equal(poll(&fd, 1, 60000), 1);
            RTC_CHECK(rtc_poll(rtc, 0) < 0 ? -1 : 0);
        }
        assert_int_equal(got(ref), i);
    }
    OK(rtc_actor_release(rtc, actor));
}

/* An actor's process is killed between calls, and amid them: what it answered, it answered. */
static void killed_actors(void **state)
{
    (void)state;
    static rtc_ref refs[WINDOW];
    for (int round = 0; round < 10; round++) {
        rtc_actor actor = start();
        pid_t pid = (pid_t)got(call(actor, "where", NULL));
        int ran = 0, lost = 0;
        for (int i = 0; i < WINDOW; i++) {
            refs[i] = call(actor, "in_turn", RTC_ARGS(rtc_i64(i)));
            if (i == round * 40)
                kill(pid, SIGKILL);
        }
        for (int i = 0; i < WINDOW; i++) {
            struct rtc_value v;
            struct rtc_failure f;
            int rc = rtc_get(rtc, refs[i], RTC_S(60), &v);
            if (rc == 0) {
                assert_int_equal(lost,
                                 0); /* in their order: nothing after the first that is lost */
                ran++;
            } else {
                assert_int_equal(rc, RTC_E_ACTOR_DEAD);
                OK(rtc_failure_of(rtc, refs[i], &f));
                assert_true(lost == 0 || f.ran != RTC_RAN_YES);
                lost++;
            }
            OK(rtc_release(rtc, refs[i]));
        }
        assert_int_equal(ran + lost, WINDOW);
        OK(rtc_actor_release(rtc, actor));
    }
}

/* What an actor calls itself does not confuse the account of who calls it. */
static void callers_of_callers(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        rtc_actor last = start(), middle = start(), first = start();
        got(call(middle, "befriend", RTC_ARGS(rtc_of_actor(last))));
        got(call(middle, "ask_friend", RTC_ARGS(rtc_i64(0), rtc_i64(5))));
        got(call(first, "befriend", RTC_ARGS(rtc_of_actor(middle))));
        assert_int_equal(got(call(first, "outlive_friend", NULL)), RTC_RAN_YES);
        OK(rtc_actor_release(rtc, last));
        OK(rtc_actor_release(rtc, middle));
        OK(rtc_actor_release(rtc, first));
    }
}

/* ---- A caller that writes nonsense ---- */

static bool has_socket(pid_t pid, unsigned long inode)
{
    char path[64], want[64], link[64];
    snprintf(want, sizeof(want), "socket:[%lu]", inode);
    for (int fd = 0; fd < 256; fd++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
        ssize_t n = readlink(path, link, sizeof(link) - 1);
        link[n > 0 ? n : 0] = 0;
        if (n > 0 && strcmp(link, want) == 0)
            return true;
    }
    return false;
}

/* Where the process can be called: what its peers know of each other. */
static void find_door(pid_t pid, uint64_t *ret_arena, uint32_t *ret_client)
{
    FILE *file = fopen("/proc/net/unix", "re");
    char line[256];
    bool found = false;
    assert_non_null(file);
    while (!found && fgets(line, sizeof(line), file)) {
        unsigned long inode, flags;
        unsigned long long arena;
        found = sscanf(line, "%*s %*x %*x %lx %*x %*x %lu @rtc-lane-%llx-%u", &flags, &inode,
                       &arena, ret_client) == 4 &&
                flags == 0x10000 && has_socket(pid, inode);
        *ret_arena = arena;
    }
    fclose(file);
    assert_true(found);
}

/* A call as it may look, with some of it changed. */
static uint32_t write_nonsense(uint8_t *at, uint64_t *seed)
{
    struct rtci_spec spec = {.rec = {sizeof(spec) + 64, RTCI_R_ACTOR_CALL, 0},
                             .seq = 1,
                             .client = 1,
                             .function = draw(seed),
                             .n_returns = 1,
                             .flags = 32,
                             .name_len = 48};
    uint32_t size = sizeof(spec) + 64, n = 1 + draw(seed) % 8;
    for (uint32_t i = 0; i < size; i++)
        at[i] = draw(seed) % 4 ? 0 : (uint8_t)draw(seed);
    memcpy(at, &spec, sizeof(spec));
    while (n--)
        at[draw(seed) % size] = (uint8_t)draw(seed);
    return size;
}

static void nonsense(void **state)
{
    (void)state;
    struct asker a = {.actor = start()};
    pid_t pid = (pid_t)got(call(a.actor, "where", NULL));
    uint64_t arena = 0, seed = 77;
    uint32_t client = 0, ended = 0;
    find_door(pid, &arena, &client);
    for (uint32_t round = 0; round < 100; round++) {
        struct party p;
        party_open(&p, arena, 1000000 + round, true);
        while (party_dial(&p, client) != RTCI_LANE_OPEN)
            rtci_doorman_retire(p.doorman, p.lane);
        for (int i = 0; i < 5; i++) {
            uint8_t *at = rtci_chan_reserve(p.ring, sizeof(struct rtci_spec) + 64);
            assert_non_null(at);
            write_nonsense(at, &seed);
            rtci_chan_publish(p.ring);
            rtci_chan_ring(p.ring);
        }
        for (int64_t i = 0; i < 3; i++) { /* nobody else is disturbed */
            int64_t before = a.n;
            assert_int_equal(got(ask_next(&a)), before);
        }
        ended += lane_state(p.lane) == RTCI_LANE_DEAD;
        party_close(&p);
    }
    assert_int_equal(got(call(a.actor, "where", NULL)), pid);
    assert_true(ended > 0);
    OK(rtc_actor_release(rtc, a.actor));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_the_daemon), cmocka_unit_test(between_actors),
        cmocka_unit_test(large_and_small),    cmocka_unit_test(streams),
        cmocka_unit_test(killed_daemons),     cmocka_unit_test(killed_actors),
        cmocka_unit_test(callers_of_callers), cmocka_unit_test(event_loop),
        cmocka_unit_test(nonsense),
    };
    struct rtc_config config = {.address = "embedded", .name = "lane-calls"};
    RTC_CHECK(rtc_init(&argc, &argv, &config, &rtc));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rtc_shutdown(&rtc);
    return failed;
}
