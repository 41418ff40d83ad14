/* Actors and kill -9, at moments that the work itself chooses: after so many answers. What ran how
 * often is counted in memory that test and actor share, so that each outcome can be held against
 * what happened. */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <rtc/actor.h>

#define CALLS  30000
#define FLIGHT 700
#define KILLS  5

struct tally {
    int64_t pid, incarnations;
    int64_t last[3]; /* of each caller: the number of the call that was begun last */
    int64_t disorder;
    int64_t go; /* those that are held may go on */
    uint8_t begun[CALLS];
};

static struct tally *map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct tally)))
        abort();
    void *at = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        abort();
    return at;
}

static int marker_init(struct rtc_call *call)
{
    const char *path;
    RTC_TRY(rtc_arg_str(call, 0, &path, NULL));
    struct tally *tally = *(struct tally **)rtc_self(call) = map(path);
    __atomic_store_n(&tally->pid, getpid(), __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&tally->incarnations, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int mark(struct rtc_call *call)
{
    struct tally *tally = *(struct tally **)rtc_self(call);
    int64_t i, who;
    RTC_TRY(rtc_arg_i64(call, 0, &i));
    RTC_TRY(rtc_arg_i64(call, 1, &who));
    if (i < tally->last[who])
        tally->disorder++;
    tally->last[who] = i;
    __atomic_fetch_add(&tally->begun[i], 1, __ATOMIC_SEQ_CST);
    for (volatile int k = 0; k < 20000; k++) { /* so that it is in here that it is killed */
    }
    return rtc_return_i64(call, 3 * i);
}

RTC_ACTOR(marker, struct tally *, .init = marker_init, .methods = {RTC_METHOD(mark)});

/* Keeps its state: counts each call once, whatever is killed. */
struct ledger {
    int64_t total;
    struct tally *tally;
};

static int ledger_init(struct rtc_call *call)
{
    const char *file;
    struct ledger *self = rtc_self(call);
    RTC_TRY(rtc_arg_str(call, 0, &file, NULL));
    self->tally = map(file);
    __atomic_store_n(&self->tally->pid, getpid(), __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&self->tally->incarnations, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int ledger_save(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    char text[64];
    snprintf(text, sizeof(text), "%lld", (long long)self->total);
    return rtc_return_str(call, text);
}

static int ledger_load(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    const char *text;
    RTC_TRY(rtc_arg_str(call, 0, &text, NULL));
    self->total = strtoll(text, NULL, 10);
    return 0;
}

/* The file is not part of the state: it is told with each call. */
static int book(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    const char *file;
    RTC_TRY(rtc_arg_str(call, 0, &file, NULL));
    if (!self->tally) {
        self->tally = map(file);
        __atomic_store_n(&self->tally->pid, getpid(), __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&self->tally->incarnations, 1, __ATOMIC_SEQ_CST);
    }
    return rtc_return_i64(call, ++self->total);
}

/* Has no end before the test says so. */
static int hold(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    __atomic_store_n(&self->tally->go, -1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&self->tally->go, __ATOMIC_SEQ_CST) <= 0)
        sched_yield();
    return rtc_return_i64(call, self->total);
}

RTC_ACTOR(ledger, struct ledger, .init = ledger_init, .save = ledger_save, .load = ledger_load,
          .methods = {RTC_METHOD(book), RTC_METHOD(hold)});

static char path[] = "/tmp/rtc-actor-kill-XXXXXX";
static struct tally *tally;

static struct rtc *start(void)
{
    struct rtc *rtc = NULL;
    struct rtc_config config = {.address = "embedded", .cpus = 2, .quiet = true};
    assert_int_equal(rtc_init(NULL, NULL, &config, &rtc), 0);
    memset(tally, 0, sizeof(*tally));
    return rtc;
}

static long daemon_pid(struct rtc *rtc)
{
    char *json = NULL;
    assert_int_equal(rtc_query(rtc, "status", &json), 0);
    const char *at = strstr(json, "\"pid\":");
    assert_non_null(at);
    long pid = strtol(at + 6, NULL, 10);
    free(json);
    return pid;
}

static void kill_daemon(struct rtc *rtc)
{
    kill((pid_t)daemon_pid(rtc), SIGKILL);
}

static void kill_actor(struct rtc *rtc)
{
    (void)rtc;
    kill((pid_t)__atomic_load_n(&tally->pid, __ATOMIC_SEQ_CST), SIGKILL);
}

static void kill_both(struct rtc *rtc)
{
    kill_actor(rtc);
    kill_daemon(rtc);
}

struct outcomes {
    long ok, no, yes, unknown;
};

/* One outcome for each call, and it is true. */
static void judge(struct rtc *rtc, rtc_ref ref, int i, bool retries, struct outcomes *out)
{
    int64_t x = -1;
    struct rtc_failure failure;
    int rc = rtc_get_i64(rtc, ref, RTC_S(60), &x);
    int begun = tally->begun[i];
    if (rc == 0) {
        assert_int_equal(x, 3 * i);
        assert_true(retries ? begun >= 1 : begun == 1);
        out->ok++;
        return;
    }
    if (rc != RTC_E_ACTOR_DEAD)
        print_error("call %d: %s: %s\n", i, rtc_error_name(rc), rtc_last_error());
    assert_int_equal(rc, RTC_E_ACTOR_DEAD);
    assert_false(retries);
    assert_int_equal(rtc_failure_of(rtc, ref, &failure), 0);
    if (failure.ran == RTC_RAN_NO) {
        assert_int_equal(begun, 0);
        out->no++;
    } else if (failure.ran == RTC_RAN_YES) {
        assert_in_range(begun, 0, 1); /* it may have been killed before it could count */
        out->yes++;
    } else {
        assert_in_range(begun, 0, 1);
        out->unknown++;
    }
}

static struct outcomes run_as(void (*strike)(struct rtc *rtc), int retries, bool light)
{
    struct rtc *rtc = start();
    struct outcomes out = {0};
    struct rtc_options none = {.cpus = RTC_NONE};
    struct rtc_actor_options options = {
        .max_restarts = RTC_RETRY_FOREVER, .call_retries = retries, .needs = &none};
    rtc_actor actor;
    rtc_ref refs[FLIGHT];
    if (light)
        options.name = "marker";
    options.isolation = light ? RTC_LIGHT : RTC_PROCESS;
    assert_int_equal(rtc_actor_create(rtc, "marker", RTC_ARGS(rtc_str(path)), &options, &actor), 0);
    for (int i = 0; i < CALLS + FLIGHT; i++) {
        if (i >= FLIGHT) {
            judge(rtc, refs[i % FLIGHT], i - FLIGHT, retries != 0, &out);
            assert_int_equal(rtc_release(rtc, refs[i % FLIGHT]), 0);
        }
        if (i < CALLS)
            assert_int_equal(rtc_actor_call(rtc, actor, "mark", RTC_ARGS(rtc_i64(i), rtc_i64(0)),
                                            NULL, &refs[i % FLIGHT]),
                             0);
        if (i >= FLIGHT && i % (CALLS / KILLS) == CALLS / KILLS / 2)
            strike(rtc);
    }
    assert_int_equal(rtc_actor_release(rtc, actor), 0);
    assert_int_equal(rtc_shutdown(&rtc), 0);
    print_message("%ld done, failed: %ld did not run, %ld ran, %ld unknown; %ld incarnations\n",
                  out.ok, out.no, out.yes, out.unknown, (long)tally->incarnations);
    return out;
}

static struct outcomes run(void (*strike)(struct rtc *rtc), int retries)
{
    return run_as(strike, retries, false);
}

/* What had not begun is done by the next one; of what had, at most one is lost with each. */
static void actors_killed(void **state)
{
    (void)state;
    struct outcomes out = run(kill_actor, 0);
    assert_int_equal(tally->disorder, 0);
    assert_in_range(tally->incarnations, 2, KILLS + 1);
    assert_in_range(out.yes + out.unknown, 0, KILLS);
    assert_int_equal(out.no, 0);
}

static void actors_killed_at_least_once(void **state)
{
    (void)state;
    struct outcomes out = run(kill_actor, RTC_RETRY_FOREVER);
    assert_int_equal(out.ok, CALLS);
}

/* Nobody notices. */
static void daemon_killed(void **state)
{
    (void)state;
    struct outcomes out = run(kill_daemon, 0);
    assert_int_equal(out.ok, CALLS);
    assert_int_equal(tally->incarnations, 1);
    assert_int_equal(tally->disorder, 0);
}

static void both_killed(void **state)
{
    (void)state;
    run(kill_both, 0);
    assert_int_equal(tally->disorder, 0);
}

/* The same with a light actor. What was in its mailbox is not known to have begun. */
static void lights_killed(void **state)
{
    (void)state;
    struct outcomes out = run_as(kill_actor, 0, true);
    assert_int_equal(tally->disorder, 0);
    assert_in_range(tally->incarnations, 2, KILLS + 1);
    assert_int_equal(out.no + out.yes, 0);
    out = run_as(kill_actor, RTC_RETRY_FOREVER, true);
    assert_int_equal(out.ok, CALLS);
}

static void lights_daemon_killed(void **state)
{
    (void)state;
    struct outcomes out = run_as(kill_daemon, 0, true);
    assert_int_equal(out.ok, CALLS);
    assert_int_equal(tally->incarnations, 1);
    assert_int_equal(tally->disorder, 0);
    run_as(kill_both, 0, true);
    assert_int_equal(tally->disorder, 0);
}

/* Without a name: many of them, in a host that outlives the daemon. */
static void lights_many(void **state)
{
    (void)state;
    enum { LIGHTS = 100 };
    struct rtc *rtc = start();
    struct outcomes out = {0};
    static rtc_actor lights[LIGHTS];
    rtc_ref refs[FLIGHT];
    for (int i = 0; i < LIGHTS; i++)
        assert_int_equal(rtc_actor_create(rtc, "marker", RTC_ARGS(rtc_str(path)),
                                          RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT), &lights[i]),
                         0);
    for (int i = 0; i < CALLS + FLIGHT; i++) {
        if (i >= FLIGHT) {
            judge(rtc, refs[i % FLIGHT], i - FLIGHT, false, &out);
            assert_int_equal(rtc_release(rtc, refs[i % FLIGHT]), 0);
        }
        if (i < CALLS)
            assert_int_equal(rtc_actor_call(rtc, lights[i % LIGHTS], "mark",
                                            RTC_ARGS(rtc_i64(i), rtc_i64(0)), NULL,
                                            &refs[i % FLIGHT]),
                             0);
        if (i >= FLIGHT && i % (CALLS / KILLS) == CALLS / KILLS / 2)
            kill_daemon(rtc);
    }
    assert_int_equal(out.ok, CALLS);
    for (int i = 0; i < LIGHTS; i++)
        assert_int_equal(rtc_actor_release(rtc, lights[i]), 0);
    assert_int_equal(rtc_shutdown(&rtc), 0);
}

#define BOOKED 4000
/* Each call counts once, and its caller gets the answer of that one time. */
static void exactly_once(void **state)
{
    (void)state;
    struct rtc *rtc = start();
    struct rtc_options none = {.cpus = RTC_NONE};
    struct rtc_actor_options options = {.max_restarts = RTC_RETRY_FOREVER,
                                        .call_retries = RTC_RETRY_FOREVER,
                                        .needs = &none,
                                        .save_every = 50};
    rtc_actor actor;
    static rtc_ref refs[BOOKED];
    assert_int_equal(rtc_actor_create(rtc, "ledger", RTC_ARGS(rtc_str(path)), &options, &actor), 0);
    for (int i = 0; i < BOOKED; i++) {
        assert_int_equal(
            rtc_actor_call(rtc, actor, "book", RTC_ARGS(rtc_str(path)), NULL, &refs[i]), 0);
        if (i < FLIGHT)
            continue;
        int64_t x = -1;
        int rc = rtc_get_i64(rtc, refs[i - FLIGHT], RTC_S(60), &x);
        if (rc < 0)
            print_error("call %d: %s: %s\n", i, rtc_error_name(rc), rtc_last_error());
        assert_int_equal(rc, 0);
        assert_int_equal(x, i - FLIGHT + 1);
        if (i % (BOOKED / KILLS) == BOOKED / KILLS / 2)
            (i / (BOOKED / KILLS) % 2 ? kill_both : kill_actor)(rtc);
    }
    for (int i = BOOKED - FLIGHT; i < BOOKED; i++) {
        int64_t x = -1;
        assert_int_equal(rtc_get_i64(rtc, refs[i], RTC_S(60), &x), 0);
        assert_int_equal(x, i + 1);
    }
    assert_int_equal(rtc_release_many(rtc, refs, BOOKED), 0);
    assert_int_equal(rtc_actor_release(rtc, actor), 0);
    assert_int_equal(rtc_shutdown(&rtc), 0);
    print_message("%ld incarnations\n", (long)tally->incarnations);
    assert_true(tally->incarnations > 2);
}

static void await_hold(struct rtc *rtc)
{
    while (__atomic_load_n(&tally->go, __ATOMIC_SEQ_CST) >= 0)
        (void)!rtc_poll(rtc, RTC_MS(1));
}

/* A call has run, and its answer waits for the state to be saved, when the daemon is killed that
 * had brought it: who made it asks again, and gets that answer. */
static void answer_withheld(void **state)
{
    (void)state;
    struct rtc *rtc = start();
    struct rtc_options none = {.cpus = RTC_NONE};
    struct rtc_actor_options options = {.max_restarts = RTC_RETRY_FOREVER,
                                        .call_retries = RTC_RETRY_FOREVER,
                                        .needs = &none,
                                        .save_every = 1000};
    rtc_actor actor;
    rtc_ref file, booked, held[2];
    int64_t x = -1;
    const struct rtc_value name = rtc_str(path);
    assert_int_equal(rtc_actor_create(rtc, "ledger", RTC_ARGS(rtc_str(path)), &options, &actor), 0);
    assert_int_equal(rtc_actor_call(rtc, actor, "hold", NULL, NULL, &held[0]), 0);
    await_hold(rtc);
    assert_int_equal(rtc_put(rtc, &name, &file), 0); /* which the head is to know before: no lane */
    assert_int_equal(rtc_actor_call(rtc, actor, "book", RTC_ARGS(rtc_of_ref(file)), NULL, &booked),
                     0);
    assert_int_equal(rtc_actor_call(rtc, actor, "hold", NULL, NULL, &held[1]), 0);
    assert_int_equal(rtc_flush(rtc, RTC_S(60)), 0);
    __atomic_store_n(&tally->go, 1, __ATOMIC_SEQ_CST);
    await_hold(rtc);
    long pid = daemon_pid(rtc);
    kill((pid_t)pid, SIGKILL);
    while (daemon_pid(rtc) == pid) {
    }
    __atomic_store_n(&tally->go, 1, __ATOMIC_SEQ_CST);
    if (rtc_get_i64(rtc, booked, RTC_S(60), &x))
        fail_msg("%s", rtc_last_error());
    assert_int_equal(x, 1);
    assert_int_equal(rtc_get_i64(rtc, held[1], RTC_S(60), &x), 0);
    assert_int_equal(x, 1);
    assert_int_equal(rtc_shutdown(&rtc), 0);
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    if (getenv("RTC_EXECUTOR")) /* never returns */
        return rtc_init(&argc, &argv, NULL, &rtc) < 0;
    close(mkstemp(path));
    tally = map(path);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actors_killed),   cmocka_unit_test(actors_killed_at_least_once),
        cmocka_unit_test(daemon_killed),   cmocka_unit_test(both_killed),
        cmocka_unit_test(lights_killed),   cmocka_unit_test(lights_daemon_killed),
        cmocka_unit_test(lights_many),     cmocka_unit_test(exactly_once),
        cmocka_unit_test(answer_withheld),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return rc;
}
