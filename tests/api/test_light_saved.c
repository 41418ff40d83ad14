/* Light actors whose state is saved, against an embedded cluster: those with a name start again
 * with it, and calls change it once. Built as a user's program. */
#include <rtc/actor.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include "tests/api/check.h"
#include "tests/api/tally.h"

static struct rtc *rtc;
static char tally_path[64];
static struct tally *tally;

/* ---- In executors ---- */

/* What is counted in the tally; the last two are down-counters: at 0 the process dies. */
enum { INITS, LOADS, SAVES, RUNS, DIE_IN_SAVE, DIE_IN_NOTE };

struct ledger {
    int64_t total;
    struct tally *tally;
    rtc_actor page;
};

static int64_t count(struct ledger *self, int what)
{
    return __atomic_add_fetch(&self->tally->count[what], 1, __ATOMIC_SEQ_CST);
}

static void die_when(struct ledger *self, int what)
{
    if (__atomic_sub_fetch(&self->tally->count[what], 1, __ATOMIC_SEQ_CST) == 0)
        kill(getpid(), SIGKILL);
}

static void open_tally(struct ledger *self, const char *path)
{
    self->tally = tally_map(path);
}

static int ledger_init(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    const char *path;
    RTC_TRY(rtc_arg_str(call, 0, &path, NULL));
    open_tally(self, path);
    count(self, INITS);
    return 0;
}

static int ledger_save(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    count(self, SAVES);
    die_when(self, DIE_IN_SAVE);
    return rtc_return_i64(call, self->total);
}

static int ledger_load(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    open_tally(self, getenv("RTC_TEST_TALLY"));
    count(self, LOADS);
    return rtc_arg_i64(call, 0, &self->total);
}

static int note(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    count(self, RUNS);
    self->total += x;
    die_when(self, DIE_IN_NOTE); /* the state is not saved yet */
    return rtc_return_i64(call, self->total);
}

static int total(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct ledger *)rtc_self(call))->total);
}

static int process_id(struct rtc_call *call)
{
    return rtc_return_i64(call, getpid());
}

static int note_later(struct rtc_call *call)
{
    RTC_TRY(rtc_self_later(call, 0, "note", RTC_ARGS(rtc_i64(1000))));
    return rtc_return_i64(call, 1);
}

static int defers(struct rtc_call *call)
{
    struct rtc_promise *promise;
    int rc = rtc_defer(call, &promise);
    bool said = strstr(rtc_last_error(), "`save`") != NULL;
    return rtc_return_i64(call, rc == RTC_E_UNSUPPORTED && said);
}

/* As many as there is room for. */
static int pour(struct rtc_call *call)
{
    int64_t n = 0;
    for (; n < 1000; n++) {
        struct rtc_value v = rtc_i64(n);
        int rc = rtc_yield(call, &v);
        if (rc == RTC_E_AGAIN)
            break;
        RTC_TRY(rc);
    }
    return rtc_return_i64(call, n);
}

/* Another of its host, which is not saved. */
static int page(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    RTC_TRY(rtc_actor_create(rtc_call_rtc(call), "page",
                             RTC_ARGS(rtc_of_actor(rtc_self_actor(call))),
                             RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT), &self->page));
    struct rtc_value v = rtc_of_actor(self->page);
    return rtc_return(call, &v);
}

RTC_ACTOR(ledger, struct ledger, .init = ledger_init, .save = ledger_save, .load = ledger_load,
          .methods = {RTC_METHOD(note), RTC_METHOD(total), RTC_METHOD(process_id),
                      RTC_METHOD(note_later), RTC_METHOD(defers), RTC_METHOD(pour),
                      RTC_METHOD(page)});

struct page {
    rtc_actor ledger;
    int64_t posted;
};

static int page_init(struct rtc_call *call)
{
    return rtc_arg_actor(call, 0, &((struct page *)rtc_self(call))->ledger);
}

static void posted(struct rtc *r, rtc_ref ref, void *arg)
{
    struct rtc_promise *promise = arg;
    struct rtc_value v;
    if (rtc_get(r, ref, 0, &v) == 0)
        rtc_promise_return(promise, &v);
    else
        rtc_promise_fail(promise, -1, rtc_last_error());
}

/* Into its ledger, by a call between two of one host. */
static int post(struct rtc_call *call)
{
    struct page *self = rtc_self(call);
    struct rtc *r = rtc_call_rtc(call);
    struct rtc_promise *promise;
    int64_t x;
    rtc_ref ref;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    RTC_TRY(rtc_actor_call(r, self->ledger, "note", RTC_ARGS(rtc_i64(x)), NULL, &ref));
    RTC_TRY(rtc_defer(call, &promise));
    RTC_TRY(rtc_then(r, ref, posted, promise));
    self->posted++;
    return rtc_release(r, ref);
}

static int posts(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct page *)rtc_self(call))->posted);
}

RTC_ACTOR(page, struct page, .init = page_init, .methods = {RTC_METHOD(post), RTC_METHOD(posts)});

/* Another caller: n notes, one after another, each answered. */
RTC_TASK(ledger_user)
{
    rtc_actor actor;
    int64_t n, x = 0, last = 0;
    struct rtc *r = rtc_call_rtc(call);
    RTC_TRY(rtc_arg_actor(call, 0, &actor));
    RTC_TRY(rtc_arg_i64(call, 1, &n));
    for (int64_t i = 0; i < n; i++) {
        rtc_ref ref;
        RTC_TRY(rtc_actor_call(r, actor, "note", RTC_ARGS(rtc_i64(1)), NULL, &ref));
        RTC_TRY(rtc_get_i64(r, ref, RTC_S(60), &x));
        RTC_TRY(rtc_release(r, ref));
        if (x <= last)
            return rtc_fail(call, -1, "a note was forgotten");
        last = x;
    }
    return rtc_return_i64(call, n);
}

/* ---- In the driver ---- */

static rtc_actor ledger_with(const char *name, struct rtc_actor_options *options)
{
    rtc_actor actor;
    options->name = name;
    options->isolation = RTC_LIGHT;
    options->max_restarts = RTC_RETRY_FOREVER;
    memset(tally, 0, sizeof(*tally));
    OK(rtc_actor_create(rtc, "ledger", RTC_ARGS(rtc_str(tally_path)), options, &actor));
    return actor;
}
#define LEDGER(name, ...) ledger_with(name, &(struct rtc_actor_options){__VA_ARGS__})

static int64_t got_at(rtc_ref ref, int line)
{
    int64_t x = -1;
    int rc = rtc_get_i64(rtc, ref, RTC_S(60), &x);
    if (rc < 0)
        print_message("line %d:\n", line);
    OK(rc);
    OK(rtc_release(rtc, ref));
    return x;
}
#define got(ref) got_at(ref, __LINE__)

static rtc_ref call(rtc_actor actor, const char *method, const struct rtc_args *args)
{
    rtc_ref ref = {0};
    OK(rtc_actor_call(rtc, actor, method, args, NULL, &ref));
    return ref;
}
#define CALL(actor, method, ...) call(actor, method, RTC_ARGS(__VA_ARGS__))
#define ASK(actor, method)       got(call(actor, method, NULL))
#define NOTE(actor, x)           got(CALL(actor, "note", rtc_i64(x)))

static void crash(rtc_actor actor)
{
    OK(kill((pid_t)ASK(actor, "process_id"), SIGKILL));
}

static void test_restart(void **state)
{
    (void)state;
    rtc_actor a = LEDGER("ledger", .call_retries = 1), b;
    assert_int_equal(NOTE(a, 5), 5);
    assert_int_equal(NOTE(a, 6), 11);
    crash(a);
    assert_int_equal(NOTE(a, 7), 18);
    assert_int_equal(tally->count[INITS], 1);
    assert_int_equal(tally->count[LOADS], 1);
    OK(rtc_actor_kill(rtc, a, RTC_KILL_RESTART));
    OK(rtc_actor_find(rtc, NULL, "ledger", RTC_S(20), &b));
    assert_int_equal(NOTE(b, 1), 19);
    while (__atomic_load_n(&tally->count[LOADS], __ATOMIC_SEQ_CST) < 2)
        rtc_poll(rtc, RTC_MS(1));
    assert_int_equal(ASK(b, "total"), 19);
    assert_int_equal(ASK(a, "defers"), 1);
    OK(rtc_actor_release(rtc, b));
    /* Told to stop, it saves; then its state goes with it. */
    int64_t runs = tally->count[RUNS];
    OK(rtc_actor_call(rtc, a, "note", RTC_ARGS(rtc_i64(1)), NULL, NULL));
    OK(rtc_actor_stop(rtc, a));
    struct rtc_actor_info info = {0};
    for (; info.state != RTC_ACTOR_DEAD; rtc_poll(rtc, RTC_MS(1)))
        OK(rtc_actor_info(rtc, a, &info));
    assert_int_equal(info.cause, RTC_CAUSE_STOPPED);
    assert_int_equal(tally->count[RUNS], runs + 1);
    OK(rtc_actor_release(rtc, a));
    a = LEDGER("ledger");
    assert_int_equal(NOTE(a, 2), 2);
    OK(rtc_actor_release(rtc, a));
}

/* In the method, its effect not saved; in the midst of a save: the call is made again, and counts
 * once. */
static void test_crashes(void **state)
{
    (void)state;
    rtc_actor a = LEDGER("crashes", .call_retries = 3);
    rtc_ref ref;
    assert_int_equal(NOTE(a, 1), 1);
    tally->count[DIE_IN_NOTE] = 1;
    assert_int_equal(NOTE(a, 2), 3);
    assert_int_equal(tally->count[RUNS], 3);
    tally->count[DIE_IN_SAVE] = 1;
    assert_int_equal(NOTE(a, 3), 6);
    assert_int_equal(tally->count[RUNS], 5);
    OK(rtc_actor_release(rtc, a));
    a = LEDGER("told"); /* without retries: at most once, and told */
    assert_int_equal(NOTE(a, 1), 1);
    tally->count[DIE_IN_SAVE] = 1;
    ref = CALL(a, "note", rtc_i64(10));
    FAILS(rtc_get(rtc, ref, RTC_S(20), &(struct rtc_value){0}), RTC_E_ACTOR_DEAD, "signal 9");
    OK(rtc_release(rtc, ref));
    assert_int_equal(ASK(a, "total"), 1);
    OK(rtc_actor_release(rtc, a));
}

/* Many calls of two processes, and the host is killed again and again. */
static void test_storm(void **state)
{
    enum { N = 1500, KILLS = 4, THEIRS = 300 };
    static rtc_ref refs[N];
    (void)state;
    rtc_actor a = LEDGER("storm", .call_retries = RTC_RETRY_FOREVER, .save_every = 50);
    static const struct rtc_options no_cpu = {.cpus = RTC_NONE};
    rtc_ref user;
    OK(rtc_submit(rtc, "ledger_user", RTC_ARGS(rtc_of_actor(a), rtc_i64(THEIRS)), &no_cpu, &user));
    int64_t last = 0;
    for (int i = 0; i < N; i++)
        refs[i] = CALL(a, "note", rtc_i64(1));
    for (int i = 0; i < N; i++) {
        if (i % (N / KILLS) == 10) {
            struct rtc_actor_info info;
            OK(rtc_actor_info(rtc, a, &info));
            if (info.state == RTC_ACTOR_ALIVE)
                kill((pid_t)info.pid, SIGKILL); /* unless it has died meanwhile */
        }
        int64_t x = got(refs[i]);
        assert_true(x > last);
        last = x;
    }
    assert_int_equal(got(user), THEIRS);
    assert_int_equal(ASK(a, "total"), N + THEIRS);
    assert_true(tally->count[LOADS] >= 1);
    assert_true(tally->count[RUNS] >= N + THEIRS);
    assert_true(tally->count[SAVES] < tally->count[RUNS]);
    crash(a);
    assert_int_equal(ASK(a, "total"), N + THEIRS);
    OK(rtc_actor_release(rtc, a));
}

/* Its state is changed by others of its host and by itself: that is saved too; theirs is not. */
static void test_host(void **state)
{
    (void)state;
    rtc_actor a = LEDGER("host", .call_retries = 3), p;
    struct rtc_value v;
    rtc_ref ref = call(a, "page", NULL), early;
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    OK(rtc_value_actor(&v, &p));
    /* A save that begins says that the one before it has ended. */
    pid_t pid = (pid_t)ASK(a, "process_id");
    int64_t saves = tally->count[SAVES];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(got(CALL(p, "post", rtc_i64(i == 0))), 1);
        for (int k = 0;
             k < 2000 && __atomic_load_n(&tally->count[SAVES], __ATOMIC_SEQ_CST) <= saves + i; k++)
            rtc_poll(rtc, RTC_MS(10));
        assert_int_equal(tally->count[SAVES], saves + i + 1);
    }
    OK(kill(pid, SIGKILL));
    assert_int_equal(ASK(a, "total"), 1);
    OK(rtc_release(rtc, ref));
    ref = call(a, "page", NULL);
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    OK(rtc_value_actor(&v, &p));
    for (int i = 2; i <= 20; i++)
        assert_int_equal(got(CALL(p, "post", rtc_i64(1))), i);
    assert_int_equal(ASK(p, "posts"), 19);
    assert_int_equal(ASK(a, "note_later"), 1);
    while (ASK(a, "total") != 1020)
        ;
    crash(a);
    assert_int_equal(ASK(a, "total"), 1020);
    early = call(p, "posts", NULL);
    FAILS(rtc_get(rtc, early, RTC_S(20), &v), RTC_E_ACTOR_DEAD, "");
    OK(rtc_release(rtc, early));
    OK(rtc_release(rtc, ref));
    /* It yields as far as its reader has room. */
    OK(rtc_actor_call(rtc, a, "pour", NULL, RTC_CALL_OPTIONS(.stream = true), &ref));
    assert_int_equal(ASK(a, "total"), 1020);
    int64_t n = 0;
    while (rtc_next(rtc, ref, RTC_S(20), &v) == 0)
        n++;
    assert_int_equal(n, 256);
    assert_int_equal(got(ref), 256);
    OK(rtc_actor_release(rtc, a));
}

/* Those that it made before a crash are dead, whatever is made afterwards: calls to them fail, and
 * who watches them is told. */
static void on_down(struct rtc *r, const struct rtc_down *down, void *arg)
{
    (void)r;
    *(int *)arg = (int)down->info.cause;
}

static int wait_cause(const int *cause)
{
    for (int i = 0; i < 2000 && !*cause; i++)
        rtc_poll(rtc, RTC_MS(10));
    return *cause;
}

static rtc_actor page_of(rtc_actor ledger)
{
    struct rtc_value v;
    rtc_actor p;
    rtc_ref ref = call(ledger, "page", NULL);
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    OK(rtc_value_actor(&v, &p));
    OK(rtc_actor_retain(rtc, p));
    OK(rtc_release(rtc, ref));
    return p;
}

static void test_lives(void **state)
{
    (void)state;
    struct rtc_value v;
    rtc_actor a = LEDGER("lives", .call_retries = RTC_RETRY_FOREVER), before = page_of(a), after;
    int cause = 0;
    OK(rtc_monitor(rtc, before, on_down, &cause, NULL));
    assert_int_equal(got(CALL(before, "post", rtc_i64(1))), 1);
    crash(a);
    after = page_of(a);
    assert_int_equal(got(CALL(after, "post", rtc_i64(1))), 2);
    rtc_ref ref = call(before, "posts", NULL);
    FAILS(rtc_get(rtc, ref, RTC_S(20), &v), RTC_E_ACTOR_DEAD, "");
    OK(rtc_release(rtc, ref));
    assert_int_equal(ASK(after, "posts"), 1);
    assert_int_equal(wait_cause(&cause), RTC_CAUSE_SIGNAL);
    cause = 0;
    OK(rtc_monitor(rtc, after, on_down, &cause, NULL));
    OK(rtc_actor_stop(rtc, after));
    assert_int_equal(wait_cause(&cause), RTC_CAUSE_STOPPED);
    OK(rtc_actor_release(rtc, a));
}

static void test_refused(void **state)
{
    (void)state;
    rtc_actor a;
    FAILS(rtc_actor_create(rtc, "ledger", NULL, RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT), &a),
          RTC_E_UNSUPPORTED, "with `save` in its class and no name");
    FAILS(rtc_actor_create(rtc, "ledger", NULL,
                           RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT, .name = "x", .threads = 2),
                           &a),
          RTC_E_UNSUPPORTED, "one call at a time");
}

static int setup(void **state)
{
    (void)state;
    snprintf(tally_path, sizeof(tally_path), "/tmp/rtc-ledger-%d", (int)getpid());
    tally = tally_map(tally_path);
    OK(setenv("RTC_TEST_TALLY", tally_path, 1)); /* for those that are loaded */
    OK(rtc_init(
        NULL, NULL,
        RTC_CONFIG(.cpus = 2, .store_bytes = 256u << 20, .address = "embedded", .quiet = true),
        &rtc));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    OK(rtc_shutdown(&rtc));
    unlink(tally_path);
    return 0;
}

int main(int argc, char **argv)
{
    struct rtc *executor;
    if (getenv("RTC_EXECUTOR")) /* never returns */
        RTC_CHECK(rtc_init(&argc, &argv, NULL, &executor));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart), cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_storm),   cmocka_unit_test(test_host),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_lives),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, setup, teardown);
}
