/* The actors of test_outbox.c: one that saves its state, and whom it says something to. */
#ifndef TESTS_API_OUTBOX_H
#define TESTS_API_OUTBOX_H

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rtc/actor.h>

#include "runtime/exec/outbox.h"

#define N 4000

enum { IN_METHOD = 100, NEVER = 101 }; /* beside enum rtci_save_step */

/* Shared by all processes. */
struct tally {
    int32_t step, in; /* the relay kills itself there, when it comes there so often */
    int32_t kills;
    int32_t disorder;
    int32_t relays;
    int32_t held, go; /* so many times somebody was held; these may go on */
    int32_t daemon; /* … and this process with it; 0: nobody */
    uint8_t counted[N], marked[N];
};

static struct tally *tally;
static bool is_relay;
static const struct rtc_options no_cpu = {.cpus = RTC_NONE};

static struct tally *map(const char *file)
{
    int fd = open(file, O_RDWR);
    if (fd < 0 || ftruncate(fd, sizeof(struct tally)))
        abort();
    void *at = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        abort();
    return at;
}

static int32_t load(const int32_t *x)
{
    return __atomic_load_n(x, __ATOMIC_SEQ_CST);
}

static void come_to(int32_t step)
{
    if (!is_relay || load(&tally->step) != step ||
        __atomic_sub_fetch(&tally->in, 1, __ATOMIC_SEQ_CST) > 0)
        return;
    __atomic_store_n(&tally->step, NEVER, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&tally->kills, 1, __ATOMIC_SEQ_CST);
    if (load(&tally->daemon))
        kill(load(&tally->daemon), SIGKILL);
    kill(getpid(), SIGKILL);
}

static void on_step(enum rtci_save_step step)
{
    come_to((int32_t)step);
}

static int here(struct rtc_call *call)
{
    const char *file;
    RTC_TRY(rtc_arg_str(call, 0, &file, NULL));
    if (!tally)
        tally = map(file);
    return 0;
}

/* ---- Who is called: one that keeps no state, one that saves its own, and a task ---- */

struct counter {
    int64_t last;
};

static int count(struct rtc_call *call)
{
    struct counter *self = rtc_self(call);
    int64_t i;
    RTC_TRY(here(call));
    RTC_TRY(rtc_arg_i64(call, 1, &i));
    if (i <= self->last)
        __atomic_add_fetch(&tally->disorder, 1, __ATOMIC_SEQ_CST);
    self->last = i;
    __atomic_add_fetch(&tally->counted[i], 1, __ATOMIC_SEQ_CST);
    return rtc_return_i64(call, i);
}

RTC_ACTOR(counter, struct counter, .methods = {RTC_METHOD(count)});

struct ledger {
    int64_t n, sum;
};

static int ledger_save(struct rtc_call *call)
{
    return rtc_return_bytes(call, rtc_self(call), sizeof(struct ledger));
}

static int ledger_load(struct rtc_call *call)
{
    const void *data;
    size_t size;
    RTC_TRY(rtc_arg_bytes(call, 0, &data, &size));
    memcpy(rtc_self(call), data, sizeof(struct ledger));
    return 0;
}

static int book(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    int64_t i;
    RTC_TRY(rtc_arg_i64(call, 0, &i));
    self->n++;
    self->sum += i;
    return 0;
}

static int n_booked(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct ledger *)rtc_self(call))->n);
}

static int sum_booked(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct ledger *)rtc_self(call))->sum);
}

/* Has no end before the test says so. */
static int hold(struct rtc_call *call)
{
    RTC_TRY(here(call));
    int32_t i = __atomic_add_fetch(&tally->held, 1, __ATOMIC_SEQ_CST);
    while (load(&tally->go) < i)
        sched_yield();
    return rtc_return_i64(call, i);
}

RTC_ACTOR(ledger, struct ledger, .save = ledger_save, .load = ledger_load,
          .methods = {RTC_METHOD(book), RTC_METHOD(n_booked), RTC_METHOD(sum_booked),
                      RTC_METHOD(hold)});

RTC_TASK(mark)
{
    int64_t i;
    RTC_TRY(here(call));
    RTC_TRY(rtc_arg_i64(call, 1, &i));
    __atomic_add_fetch(&tally->marked[i], 1, __ATOMIC_SEQ_CST);
    return rtc_return_i64(call, i);
}

RTC_TASK(twice)
{
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    return rtc_return_i64(call, 2 * x);
}

/* ---- Who calls ---- */

static int relay_load(struct rtc_call *call)
{
    return ledger_load(call);
}

static void begin_relay(void)
{
    if (!is_relay)
        __atomic_add_fetch(&tally->relays, 1, __ATOMIC_SEQ_CST);
    is_relay = true;
}

/* Says it to all of them: file, number, counter, ledger. */
static int pass(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    struct ledger *self = rtc_self(call);
    const char *file;
    int64_t i;
    rtc_actor to_counter, to_ledger;
    rtc_ref ref;
    RTC_TRY(here(call));
    begin_relay();
    RTC_TRY(rtc_arg_str(call, 0, &file, NULL));
    RTC_TRY(rtc_arg_i64(call, 1, &i));
    RTC_TRY(rtc_arg_actor(call, 2, &to_counter));
    RTC_TRY(rtc_arg_actor(call, 3, &to_ledger));
    struct rtc_args *args = RTC_ARGS(rtc_str(file), rtc_i64(i));
    RTC_TRY(rtc_actor_call(r, to_counter, "count", args, NULL, NULL));
    RTC_TRY(rtc_submit(r, "mark", args, &no_cpu, &ref));
    RTC_TRY(rtc_release(r, ref));
    RTC_TRY(rtc_actor_call(r, to_ledger, "book", RTC_ARGS(rtc_i64(i)), NULL, &ref));
    RTC_TRY(rtc_release(r, ref));
    come_to(IN_METHOD);
    return rtc_return_i64(call, ++self->n);
}

/* Waits for what it says: then everything leaves. */
static int ask(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    rtc_actor to_ledger;
    rtc_ref refs[4];
    size_t ready[4], n;
    int64_t x, y, z;
    struct rtc_value list;
    RTC_TRY(rtc_arg_actor(call, 0, &to_ledger));
    RTC_TRY(rtc_submit(r, "twice", RTC_ARGS(rtc_i64(4)), &no_cpu, &refs[0]));
    RTC_TRY(rtc_submit(r, "twice", RTC_ARGS(rtc_of_ref(refs[0])), &no_cpu, &refs[1]));
    RTC_TRY(rtc_put(r, (list = rtc_i64(5), &list), &refs[2]));
    RTC_TRY(rtc_actor_call(r, to_ledger, "book", RTC_ARGS(rtc_of_ref(refs[1])), NULL, NULL));
    RTC_TRY(rtc_actor_call(r, to_ledger, "n_booked", NULL, NULL, &refs[3]));
    int rc = rtc_get_i64(r, refs[3], 0, &x); /* whether it is there or not */
    if (rc != 0 && rc != RTC_E_TIMEOUT)
        return rc;
    RTC_TRY(rtc_get_i64(r, refs[3], RTC_S(60), &x));
    RTC_TRY(rtc_get_i64(r, refs[1], RTC_S(60), &y));
    RTC_TRY(rtc_release_many(r, refs, 4));
    RTC_TRY(rtc_submit(r, "twice", RTC_ARGS(rtc_i64(1)), &no_cpu, &refs[0]));
    RTC_TRY(rtc_actor_call(r, to_ledger, "n_booked", NULL, NULL, &refs[1]));
    RTC_TRY(rtc_wait(r, refs, 2, 2, RTC_S(60), ready, &n));
    RTC_TRY(rtc_get_i64(r, refs[0], 0, &z));
    RTC_TRY(rtc_release_many(r, refs, 2));
    return rtc_return_i64(call, 1000 * x + 10 * y + z);
}

/* A future is an answer: its task is known to the head before the object that names it. */
static int promise(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    struct rtc_value seven = rtc_i64(7);
    rtc_ref put, ref;
    RTC_TRY(rtc_put(r, &seven, &put));
    RTC_TRY(rtc_submit(r, "twice", RTC_ARGS(rtc_of_ref(put)), &no_cpu, &ref));
    RTC_TRY(rtc_release(r, put));
    struct rtc_value item = rtc_of_ref(ref), list = rtc_list(&item, 1);
    RTC_TRY(rtc_return(call, &list));
    return rtc_release(r, ref);
}

/* None of it is ever done. */
static int take_back(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    const char *file;
    rtc_actor to_counter;
    rtc_ref refs[3];
    RTC_TRY(here(call));
    RTC_TRY(rtc_arg_str(call, 0, &file, NULL));
    RTC_TRY(rtc_arg_actor(call, 1, &to_counter));
    struct rtc_args *args = RTC_ARGS(rtc_str(file), rtc_i64(1));
    RTC_TRY(rtc_actor_call(r, to_counter, "count", args, NULL, &refs[0]));
    RTC_TRY(rtc_submit(r, "mark", args, &no_cpu, &refs[1]));
    RTC_TRY(
        rtc_actor_call(r, to_counter, "count", args, RTC_CALL_OPTIONS(.deadline = 1), &refs[2]));
    RTC_TRY(rtc_cancel(r, refs[0], 0));
    RTC_TRY(rtc_cancel(r, refs[1], 0));
    int64_t x;
    if (rtc_get_i64(r, refs[0], 0, &x) != RTC_E_CANCELLED)
        return -1;
    return rtc_release_many(r, refs, 3);
}

static int make_and_call(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    const char *file;
    rtc_actor made;
    RTC_TRY(here(call));
    RTC_TRY(rtc_arg_str(call, 0, &file, NULL));
    RTC_TRY(rtc_actor_create(r, "counter", NULL, RTC_ACTOR_OPTIONS(.needs = &no_cpu), &made));
    RTC_TRY(rtc_actor_call(r, made, "count", RTC_ARGS(rtc_str(file), rtc_i64(2)), NULL, NULL));
    RTC_TRY(rtc_actor_release(r, made));
    return 0;
}

static int to_itself(struct rtc_call *call)
{
    int64_t i;
    struct ledger *self = rtc_self(call);
    RTC_TRY(rtc_arg_i64(call, 0, &i));
    self->sum += i;
    if (i == 0)
        return 0;
    return rtc_actor_call(rtc_call_rtc(call), rtc_self_actor(call), "to_itself",
                          RTC_ARGS(rtc_i64(i - 1)), NULL, NULL);
}

static int total(struct rtc_call *call)
{
    return rtc_return_i64(call, ((struct ledger *)rtc_self(call))->sum);
}

/* Goes on in a callback, which says something too. */
static rtc_actor then_to;

static void then_book(struct rtc *r, rtc_ref ref, void *arg)
{
    int64_t x = 0;
    (void)arg;
    (void)!rtc_get_i64(r, ref, 0, &x);
    (void)!rtc_actor_call(r, then_to, "book", RTC_ARGS(rtc_i64(x)), NULL, NULL);
    (void)!rtc_release(r, ref);
}

static int go_on(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    rtc_ref ref;
    RTC_TRY(rtc_arg_actor(call, 0, &then_to));
    RTC_TRY(rtc_actor_retain(r, then_to));
    RTC_TRY(rtc_submit(r, "twice", RTC_ARGS(rtc_i64(21)), &no_cpu, &ref));
    return rtc_then(r, ref, then_book, NULL);
}

/* Submits so many tasks, of 20 KiB each: file, first number, how many. */
static int load_up(struct rtc_call *call)
{
    static char bytes[20 << 10];
    struct rtc *r = rtc_call_rtc(call);
    const char *file;
    int64_t first, n;
    rtc_ref ref;
    RTC_TRY(rtc_arg_str(call, 0, &file, NULL));
    RTC_TRY(rtc_arg_i64(call, 1, &first));
    RTC_TRY(rtc_arg_i64(call, 2, &n));
    for (int64_t i = first; i < first + n; i++) {
        RTC_TRY(rtc_submit(r, "mark",
                           RTC_ARGS(rtc_str(file), rtc_i64(i), rtc_bytes(bytes, sizeof(bytes))),
                           &no_cpu, &ref));
        RTC_TRY(rtc_release(r, ref));
    }
    return rtc_return_i64(call, n);
}

/* Asks, and in a later call says what makes it answered, and goes on with the answer. */
static rtc_ref asked_before;

static int ask_first(struct rtc_call *call)
{
    const char *file;
    rtc_actor to_ledger;
    RTC_TRY(rtc_arg_str(call, 0, &file, NULL));
    RTC_TRY(rtc_arg_actor(call, 1, &to_ledger));
    RTC_TRY(rtc_actor_call(rtc_call_rtc(call), to_ledger, "hold", RTC_ARGS(rtc_str(file)), NULL,
                           &asked_before));
    return rtc_return_i64(call, 1);
}

static int later(struct rtc_call *call)
{
    struct rtc *r = rtc_call_rtc(call);
    const char *file;
    rtc_actor to_counter;
    RTC_TRY(rtc_arg_str(call, 0, &file, NULL));
    RTC_TRY(rtc_arg_actor(call, 1, &to_counter));
    RTC_TRY(rtc_actor_call(r, to_counter, "count", RTC_ARGS(rtc_str(file), rtc_i64(7)), NULL, NULL));
    RTC_TRY(rtc_self_later(call, 0, "answered", RTC_ARGS(rtc_of_ref(asked_before))));
    return rtc_release(r, asked_before);
}

static int answered(struct rtc_call *call)
{
    struct ledger *self = rtc_self(call);
    self->sum++;
    return 0;
}

RTC_ACTOR(relay, struct ledger, .save = ledger_save, .load = relay_load,
          .methods = {RTC_METHOD(pass), RTC_METHOD(ask), RTC_METHOD(promise), RTC_METHOD(take_back),
                      RTC_METHOD(make_and_call), RTC_METHOD(to_itself), RTC_METHOD(total),
                      RTC_METHOD(go_on), RTC_METHOD(load_up), RTC_METHOD(ask_first),
                      RTC_METHOD(later), RTC_METHOD(answered)});

#endif
