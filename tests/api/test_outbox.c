/* What an actor that saves its state says to others, when its process is killed at any step between
 * a method and its answer: each call and task is done once. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include <rtc/actor.h>

#include "tests/api/check.h"
#include "tests/api/outbox.h"

static char path[] = "/tmp/rtc-outbox-XXXXXX";
static struct rtc *rtc;

/* ---- In the driver ---- */

static rtc_actor relay, counter, ledger;

static rtc_actor make(const char *class, uint32_t save_every)
{
    rtc_actor a;
    OK(rtc_actor_create(rtc, class, NULL,
                        RTC_ACTOR_OPTIONS(.needs = &no_cpu, .max_restarts = RTC_RETRY_FOREVER,
                                          .call_retries = RTC_RETRY_FOREVER,
                                          .save_every = save_every),
                        &a));
    return a;
}

static int begin(void **state)
{
    (void)state;
    memset(tally, 0, sizeof(*tally));
    tally->step = NEVER;
    relay = make("relay", 3);
    counter = make("counter", 0);
    ledger = make("ledger", 2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    OK(rtc_actor_release(rtc, relay));
    OK(rtc_actor_release(rtc, counter));
    OK(rtc_actor_release(rtc, ledger));
    return 0;
}

static int64_t got(rtc_ref ref)
{
    int64_t x = -1;
    OK(rtc_get_i64(rtc, ref, RTC_S(60), &x));
    OK(rtc_release(rtc, ref));
    return x;
}

static int64_t asked(rtc_actor actor, const char *method, const struct rtc_args *args)
{
    rtc_ref ref;
    OK(rtc_actor_call(rtc, actor, method, args, NULL, &ref));
    return got(ref);
}

static void await_byte(const uint8_t *x)
{
    for (int tries = 0; !__atomic_load_n(x, __ATOMIC_SEQ_CST); tries++) {
        (void)!rtc_poll(rtc, RTC_MS(1));
        if (tries == 30000)
            fail_msg("what was said at byte %td is not done", x - (const uint8_t *)tally);
    }
}

static void await_booked(int64_t n)
{
    for (int tries = 0; asked(ledger, "n_booked", NULL) < n; tries++) {
        if (tries == 100000)
            fail_msg("less than %d were booked", (int)n);
    }
}

/* Passes `n`, of numbers from `first`, while the relay, or the ledger, is killed now and then. */
static void pass_many(int first, int n, int32_t step, int every, bool ledgers)
{
    rtc_ref refs[64];
    int in_flight = 0;
    for (int i = 0; i < n; i++) {
        OK(rtc_actor_call(rtc, relay, "pass",
                          RTC_ARGS(rtc_str(path), rtc_i64(first + i), rtc_of_actor(counter),
                                   rtc_of_actor(ledger)),
                          NULL, &refs[in_flight++]));
        if (i % every == 0) {
            __atomic_store_n(&tally->in, 1 + i % 3, __ATOMIC_SEQ_CST);
            __atomic_store_n(&tally->step, step, __ATOMIC_SEQ_CST);
            if (ledgers)
                OK(rtc_actor_kill(rtc, ledger, RTC_KILL_RESTART));
        }
        if (in_flight < (i / every % 2 ? 64 : 3) && i + 1 < n)
            continue;
        for (int k = 0; k < in_flight; k++)
            assert_int_equal(got(refs[k]), first + i + 1 - in_flight + k);
        in_flight = 0;
    }
}

/* The last one stands behind all that was said twice. */
static void judge(int last)
{
    await_byte(&tally->counted[last]);
    await_byte(&tally->marked[last]);
    await_booked(last);
    for (int i = 1; i <= last; i++) {
        await_byte(&tally->marked[i]);
        if (tally->counted[i] != 1 || tally->marked[i] != 1)
            fail_msg("%d: counted %d times, marked %d times", i, tally->counted[i],
                     tally->marked[i]);
    }
    assert_int_equal(load(&tally->disorder), 0);
    assert_int_equal(asked(ledger, "n_booked", NULL), last);
    assert_int_equal(asked(ledger, "sum_booked", NULL), (int64_t)last * (last + 1) / 2);
}

static void killed_at(int32_t step, bool ledgers)
{
    enum { ROUNDS = 120, EVERY = 30 }; /* each start waits twice as long as the last */
    pass_many(1, ROUNDS, step, EVERY, ledgers);
    __atomic_store_n(&tally->step, NEVER, __ATOMIC_SEQ_CST);
    pass_many(ROUNDS + 1, 1, NEVER, 1, false);
    judge(ROUNDS + 1);
    assert_true(load(&tally->kills) >= 2);
    assert_int_equal(load(&tally->relays), load(&tally->kills) + 1);
}

static void killed_in_method(void **state)
{
    (void)state;
    killed_at(IN_METHOD, false);
}

static void killed_before_save(void **state)
{
    (void)state;
    killed_at(RTCI_SAVE_READY, false);
}

static void killed_before_commit(void **state)
{
    (void)state;
    killed_at(RTCI_SAVE_SENT, false);
}

static void killed_before_sending(void **state)
{
    (void)state;
    killed_at(RTCI_SAVE_COMMITTED, false);
}

static void killed_after_sending(void **state)
{
    (void)state;
    killed_at(RTCI_SAVE_SAID, false);
}

/* Light actors are called by way of their host, which drops what it has seen. */
static void light_called(void **state)
{
    (void)state;
    OK(rtc_actor_release(rtc, counter));
    OK(rtc_actor_create(rtc, "counter", NULL, RTC_ACTOR_OPTIONS(.isolation = RTC_LIGHT), &counter));
    killed_at(RTCI_SAVE_SAID, false);
}

static void both_killed(void **state)
{
    killed_at(RTCI_SAVE_COMMITTED, true);
    end(state);
    begin(state);
    killed_at(RTCI_SAVE_SAID, true);
}

static int32_t daemon_pid(void)
{
    char *json = NULL;
    OK(rtc_query(rtc, "status", &json));
    const char *at = strstr(json, "\"pid\":");
    assert_non_null(at);
    int32_t pid = (int32_t)strtol(at + 6, NULL, 10);
    free(json);
    return pid;
}

static void daemon_killed(void **state)
{
    static const int32_t steps[] = {IN_METHOD, RTCI_SAVE_SENT, RTCI_SAVE_COMMITTED, RTCI_SAVE_SAID};
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 3; k++) {
            __atomic_store_n(&tally->daemon, daemon_pid(), __ATOMIC_SEQ_CST);
            pass_many(1 + 10 * k, 10, steps[i], 100, false);
        }
        assert_int_equal(load(&tally->kills), 3);
        judge(30);
        end(state);
        begin(state);
    }
}

/* What was answered is not said again, also when nothing more was saved. */
static void nothing_left(void **state)
{
    (void)state;
    for (int i = 1; i <= 4; i++) {
        pass_many(i, 1, NEVER, 1, false);
        judge(i);
        OK(rtc_actor_kill(rtc, relay, RTC_KILL_RESTART));
    }
    judge(4);
}

static void waiting(void **state)
{
    (void)state;
    assert_int_equal(asked(relay, "ask", RTC_ARGS(rtc_of_actor(ledger))), 1000 + 160 + 2);
    assert_int_equal(asked(relay, "ask", RTC_ARGS(rtc_of_actor(ledger))), 2000 + 160 + 2);
    assert_int_equal(asked(ledger, "sum_booked", NULL), 32);
}

/* … also when a save is under way, which covers what is asked about. */
static void waiting_for_save(void **state)
{
    (void)state;
    rtc_actor eager = make("relay", 1);
    for (int i = 1; i <= 30; i++) {
        rtc_ref passed, answer;
        OK(rtc_actor_call(
            rtc, eager, "pass",
            RTC_ARGS(rtc_str(path), rtc_i64(i), rtc_of_actor(counter), rtc_of_actor(ledger)), NULL,
            &passed));
        OK(rtc_actor_call(rtc, eager, "ask", RTC_ARGS(rtc_of_actor(ledger)), NULL, &answer));
        assert_int_equal(got(passed), i);
        assert_int_equal(got(answer), 2000 * i + 160 + 2);
    }
    OK(rtc_actor_release(rtc, eager));
}

static void let_hold(rtc_actor actor, int32_t go, int32_t held)
{
    OK(rtc_actor_call(rtc, actor, "hold", RTC_ARGS(rtc_str(path)), NULL, NULL));
    OK(rtc_flush(rtc, RTC_S(60)));
    __atomic_store_n(&tally->go, go, __ATOMIC_SEQ_CST);
    while (load(&tally->held) < held)
        (void)!rtc_poll(rtc, RTC_MS(1));
}

/* Who saves too tells nobody that it knows a call before that is saved: the relay says it twice,
 * and the other has run it and forgets it. */
static void told_when_saved(void **state)
{
    (void)state;
    OK(rtc_actor_release(rtc, ledger));
    ledger = make("ledger", 1000);
    let_hold(ledger, 0, 1);
    tally->in = 1;
    __atomic_store_n(&tally->step, RTCI_SAVE_SAID, __ATOMIC_SEQ_CST);
    pass_many(1, 1, RTCI_SAVE_SAID, 1, false);
    assert_int_equal(load(&tally->kills), 1);
    let_hold(ledger, 1, 2);
    let_hold(ledger, 2, 3); /* both have come before this one */
    pass_many(2, 1, NEVER, 1, false);
    OK(rtc_actor_kill(rtc, ledger, RTC_KILL_RESTART));
    __atomic_store_n(&tally->go, 100, __ATOMIC_SEQ_CST);
    await_booked(2);
    assert_int_equal(asked(ledger, "sum_booked", NULL), 3);
}

static void futures(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        rtc_ref ref, item;
        struct rtc_value list, first;
        OK(rtc_actor_call(rtc, relay, "promise", NULL, NULL, &ref));
        OK(rtc_get(rtc, ref, RTC_S(60), &list));
        OK(rtc_value_at(&list, 0, &first));
        OK(rtc_value_ref(&first, &item));
        int64_t x = 0;
        OK(rtc_get_i64(rtc, item, RTC_S(60), &x));
        assert_int_equal(x, 14);
        OK(rtc_release(rtc, ref));
    }
}

static void taken_back(void **state)
{
    (void)state;
    rtc_ref ref;
    OK(rtc_actor_call(rtc, relay, "take_back", RTC_ARGS(rtc_str(path), rtc_of_actor(counter)), NULL,
                      &ref));
    assert_int_equal(rtc_get(rtc, ref, RTC_S(60), NULL), RTC_E_RETURNS); /* it did its work */
    OK(rtc_release(rtc, ref));
    struct rtc_args *args =
        RTC_ARGS(rtc_str(path), rtc_i64(2), rtc_of_actor(counter), rtc_of_actor(ledger));
    assert_int_equal(asked(relay, "pass", args), 1);
    await_byte(&tally->counted[2]);
    await_byte(&tally->marked[2]);
    assert_int_equal(tally->counted[1], 0);
    assert_int_equal(tally->marked[1], 0);
}

static void made(void **state)
{
    (void)state;
    OK(rtc_actor_call(rtc, relay, "make_and_call", RTC_ARGS(rtc_str(path)), NULL, NULL));
    await_byte(&tally->counted[2]);
    assert_int_equal(tally->counted[2], 1);
}

static void itself(void **state)
{
    (void)state;
    OK(rtc_actor_call(rtc, relay, "to_itself", RTC_ARGS(rtc_i64(100)), NULL, NULL));
    for (int i = 0; asked(relay, "total", NULL) < 5050; i++) {
        if (i % 20 == 10 && i < 50)
            OK(rtc_actor_kill(rtc, relay, RTC_KILL_RESTART));
    }
    assert_int_equal(asked(relay, "total", NULL), 5050);
}

static void going_on(void **state)
{
    (void)state;
    OK(rtc_actor_call(rtc, relay, "go_on", RTC_ARGS(rtc_of_actor(ledger)), NULL, NULL));
    await_booked(1);
    assert_int_equal(asked(ledger, "sum_booked", NULL), 42);
}

/* More than can leave with one save, in many calls between two saves. */
static void much(void **state)
{
    enum { CALLS = 100, EACH = 10 };
    (void)state;
    rtc_ref refs[CALLS];
    rtc_actor a = make("relay", 1000000);
    for (int i = 0; i < CALLS; i++)
        OK(rtc_actor_call(rtc, a, "load_up",
                          RTC_ARGS(rtc_str(path), rtc_i64(i * EACH), rtc_i64(EACH)), NULL,
                          &refs[i]));
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(got(refs[i]), EACH);
    for (int i = 0; i < CALLS * EACH; i++) {
        await_byte(&tally->marked[i]);
        assert_int_equal(tally->marked[i], 1);
    }
    OK(rtc_actor_release(rtc, a));
}

/* A later call of its own waits for an answer that comes of what is withheld. */
static void answered_later(void **state)
{
    (void)state;
    rtc_ref ref;
    OK(rtc_actor_call(rtc, relay, "ask_first", RTC_ARGS(rtc_str(path), rtc_of_actor(ledger)), NULL,
                      &ref));
    OK(rtc_get(rtc, ref, RTC_S(60), NULL));
    OK(rtc_release(rtc, ref));
    OK(rtc_actor_call(rtc, relay, "later", RTC_ARGS(rtc_str(path), rtc_of_actor(counter)), NULL,
                      NULL));
    await_byte(&tally->counted[7]);
    __atomic_add_fetch(&tally->go, 1, __ATOMIC_SEQ_CST);
    for (int tries = 0; asked(relay, "total", NULL) < 1; tries++)
        assert_true(tries < 100000);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(killed_in_method),
        CASE(killed_before_save),
        CASE(killed_before_commit),
        CASE(killed_before_sending),
        CASE(killed_after_sending),
        CASE(light_called),
        CASE(both_killed),
        CASE(daemon_killed),
        CASE(nothing_left),
        CASE(waiting),
        CASE(waiting_for_save),
        CASE(told_when_saved),
        CASE(futures),
        CASE(taken_back),
        CASE(made),
        CASE(itself),
        CASE(going_on),
        CASE(much),
        CASE(answered_later),
    };
    rtci_save_step = on_step;
    struct rtc_config config = {.address = "embedded", .cpus = 2, .quiet = true};
    RTC_CHECK(rtc_init(&argc, &argv, &config, &rtc));
    close(mkstemp(path));
    tally = map(path);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rtc_shutdown(&rtc);
    unlink(path);
    return failed;
}
