/* Light actors by hand: one turn after another, in an order drawn from a seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/exec/light.h"
#include "tests/unit/light_help.h"
#include <rtc/error.h>

static void test_messages(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(1);
    struct log log;
    rtci_light_id a = new_book(light, &log);
    for (int64_t i = 0; i < 16; i++)
        assert_int_equal(tell_i64(light, a, i), 0);
    assert_int_equal(tell_i64(light, a, 16), RTC_E_AGAIN); /* a thread outside is not muted */
    run(light);
    assert_int_equal(log.n, 16);
    for (int64_t i = 0; i < 16; i++)
        assert_int_equal(log.got[i], i);
    assert_int_equal(tell_i64(light, a, 16), 0);
    run(light);
    assert_int_equal(log.n, 17);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    assert_int_equal(rtci_light_tell(out, (rtci_light_id){0, 0}, NOTE, NULL, 0), RTC_E_NOT_FOUND);
    assert_int_equal(rtci_light_tell(out, (rtci_light_id){5, 1}, NOTE, NULL, 0), RTC_E_NOT_FOUND);
    assert_int_equal(rtci_light_tell(out, (rtci_light_id){UINT32_MAX, 1}, NOTE, NULL, 0),
                     RTC_E_NOT_FOUND);
    rtci_light_end(light);
    assert_int_equal(log.dropped, 1);
}

static int n_freed;
static void count_free(void *block)
{
    n_freed++;
    free(block);
}

static void test_blocks(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(1);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    struct log log;
    char large[1000] = {0};
    rtci_light_id a = new_book(light, &log);
    n_freed = 0;
    assert_int_equal(rtci_light_tell(out, a, NOTE, large, sizeof(large)), 0);
    assert_int_equal(rtci_light_tell_block(out, a, NOTE, malloc(10), 10, count_free), 0);
    run(light);
    assert_int_equal(n_freed, 1);
    assert_int_equal(rtci_light_tell_block(out, a, TAKE, malloc(10), 10, count_free), 0);
    run(light);
    assert_int_equal(n_freed, 1); /* the actor has it */
    assert_int_equal(rtci_light_tell_block(out, a, NOTE, malloc(10), 10, count_free), 0);
    assert_int_equal(rtci_light_kill(out, a), 0);
    run(light);
    assert_int_equal(n_freed, 2);
    void *mine = malloc(10);
    assert_int_equal(rtci_light_tell_block(out, a, NOTE, mine, 10, count_free), RTC_E_NOT_FOUND);
    free(mine);
    a = new_book(light, &log);
    assert_int_equal(rtci_light_tell_block(out, a, NOTE, malloc(10), 10, count_free), 0);
    rtci_light_end(light);
    assert_int_equal(n_freed, 3);
}

/* Blocks beside calls, answers and timers; beyond the bound; and that bound. */
static int asked(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    struct rtci_light_reply_to to = rtci_light_take_reply(ctx);
    (void)state;
    if (to.kind)
        rtci_light_reply_block(ctx, &to, 0, rtci_light_take_block(msg), 10, count_free);
    return 0;
}
static int answered(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *reply,
                    void *arg)
{
    (void)ctx, (void)state;
    *(int *)arg += reply->size == RTCI_LIGHT_BLOCK && reply->code == 0;
    return 0;
}
static const struct rtci_light_class asked_class = {.name = "asked", .receive = asked};
static int n_died, why_died, n_answered;
static int asks(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    rtci_light_id *to = state;
    if (msg->tag == NOTE) {
        memcpy(to, msg->data, sizeof(*to));
        return rtci_light_after_block(ctx, 5, rtci_light_self(ctx), ASK, malloc(10), 10,
                                      count_free);
    }
    void *block = malloc(10);
    int rc = rtci_light_call_block(ctx, *to, ASK, block, 10, count_free, RTCI_LIGHT_FOREVER,
                                   answered, &n_answered);
    if (rc)
        free(block);
    return rc;
}
static void died(struct rtci_light_ctx *ctx, void *state, const struct rtci_light_down *why)
{
    (void)ctx, (void)state;
    n_died++;
    why_died = why->reason;
}
static const struct rtci_light_class asks_class = {
    .name = "asks", .state_size = sizeof(rtci_light_id), .receive = asks, .died = died};

static void test_block_calls(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(3);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    rtci_light_id a, b;
    n_freed = n_died = n_answered = 0;
    assert_int_equal(rtci_light_create(out, &asked_class, NULL, &a), 0);
    assert_int_equal(rtci_light_create(out, &asks_class, NULL, &b), 0);
    rtci_light_tell(out, b, NOTE, &a, sizeof(a));
    run(light);
    assert_int_equal(n_answered, 0);
    assert_true(rtci_light_step_time(light));
    run(light);
    assert_int_equal(n_answered, 1);
    assert_int_equal(n_freed,
                     2); /* the timer's; and the one that was asked with and answered with */
    assert_int_equal(rtci_light_bound(out, a, 3), 0);
    for (int i = 0; i < 3; i++) {
        assert_false(rtci_light_full(out, a));
        assert_int_equal(rtci_light_tell_block(out, a, NOTE, malloc(10), 10, count_free), 0);
    }
    assert_true(rtci_light_full(out, a));
    void *block = malloc(10);
    assert_int_equal(rtci_light_tell_block(out, a, NOTE, block, 10, count_free), RTC_E_AGAIN);
    assert_int_equal(rtci_light_push_block(out, a, NOTE, block, 10, count_free), 0);
    run(light);
    assert_int_equal(n_freed, 6);
    rtci_light_tell(out, b, ASK, NULL, 0);
    rtci_light_kill(out, a); /* with the question in its mailbox, or before */
    run(light);
    assert_int_equal(n_answered, 1);
    assert_false(rtci_light_full(out, a));
    assert_int_equal(rtci_light_bound(out, a, 3), RTC_E_NOT_FOUND);
    rtci_light_release(out, b);
    run(light);
    assert_int_equal(n_died, 1);
    assert_true(why_died == RTCI_LIGHT_NOBODY || why_died == RTCI_LIGHT_FAILED);
    rtci_light_end(light);
}

static void test_stop_and_kill(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(3);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    struct log log, watcher_log;
    rtci_light_id a = new_book(light, &log), watcher = new_book(light, &watcher_log);
    assert_int_equal(tell_id(light, watcher, WATCH, a), 0);
    run(light);
    tell_i64(light, a, 1);
    assert_int_equal(rtci_light_stop(out, a), 0);
    assert_int_equal(tell_i64(light, a, 2), 0); /* after the stop: dropped */
    run(light);
    assert_int_equal(log.n, 1);
    assert_int_equal(log.dropped, 1);
    assert_int_equal(watcher_log.downs, 1);
    assert_int_equal(watcher_log.token, 9);
    assert_int_equal(watcher_log.down.reason, RTCI_LIGHT_NORMAL);
    assert_int_equal(tell_i64(light, a, 3), RTC_E_NOT_FOUND);
    assert_int_equal(rtci_light_stop(out, a), RTC_E_NOT_FOUND);
    assert_int_equal(rtci_light_kill(out, a), RTC_E_NOT_FOUND);
    rtci_light_id b = new_book(light, &log);
    assert_memory_not_equal(&a, &b, sizeof(a));
    assert_false(rtci_light_alive(out, a));
    assert_true(rtci_light_alive(out, b));
    assert_int_equal(tell_i64(light, a, 3), RTC_E_NOT_FOUND);
    tell_id(light, watcher, WATCH, b);
    run(light);
    tell_i64(light, b, 1);
    tell_id(light, watcher, KILL, b);
    rtci_light_kill(out, b);
    run(light);
    assert_int_equal(log.n, 0);
    assert_int_equal(watcher_log.downs, 2);
    assert_int_equal(watcher_log.down.reason, RTCI_LIGHT_KILLED);
    assert_int_equal(watcher_log.down.by.gen, 0);
    rtci_light_end(light);
}

static void test_killed_by(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(3);
    struct log log, killer_log;
    rtci_light_id a = new_book(light, &log), killer = new_book(light, &killer_log);
    tell_id(light, killer, WATCH, a);
    tell_id(light, killer, KILL, a);
    run(light);
    assert_int_equal(killer_log.downs, 1);
    assert_int_equal(killer_log.down.reason, RTCI_LIGHT_KILLED);
    assert_memory_equal(&killer_log.down.by, &killer, sizeof(killer));
    assert_memory_equal(&killer_log.down.who, &a, sizeof(a));
    rtci_light_end(light);
}

static void test_handles(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(3);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    struct log log, watcher_log;
    rtci_light_id a = new_book(light, &log), watcher = new_book(light, &watcher_log);
    tell_id(light, watcher, WATCH, a);
    run(light);
    assert_int_equal(rtci_light_retain(out, a), 0);
    assert_int_equal(rtci_light_release(out, a), 0);
    run(light);
    assert_true(rtci_light_alive(out, a));
    tell_i64(light, a, 5);
    assert_int_equal(rtci_light_release(out, a), 0);
    assert_int_equal(rtci_light_release(out, a), RTC_E_RELEASED);
    assert_int_equal(rtci_light_retain(out, a), RTC_E_RELEASED);
    run(light);
    assert_int_equal(log.n, 1);
    assert_int_equal(watcher_log.down.reason, RTCI_LIGHT_NOBODY);
    assert_int_equal(rtci_light_release(out, a), RTC_E_NOT_FOUND);
    rtci_light_end(light);
}

/* Makes one child after another; they lie in the same memory. */
static int nursery_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    struct book *book = state;
    if (msg->kind == RTCI_LIGHT_TELL && book->peer.gen) {
        assert_false(rtci_light_alive(ctx, book->peer));
        assert_int_equal(rtci_light_tell(ctx, book->peer, NOTE, NULL, 0), RTC_E_NOT_FOUND);
    }
    rtci_light_id before = book->peer;
    assert_int_equal(rtci_light_create(ctx, &book_class, &book->log, &book->peer), 0);
    if (before.gen && before.index == book->peer.index)
        book->log->code++;
    assert_memory_not_equal(&before, &book->peer, sizeof(before));
    return rtci_light_tell(ctx, book->peer, LEAVE, NULL, 0);
}

static void test_same_memory(void **state)
{
    (void)state;
    struct rtci_light_class class = book_class;
    struct rtci_light *light = by_hand(3);
    struct log log = {0}, *arg = &log;
    rtci_light_id nursery;
    class.receive = nursery_receive;
    assert_int_equal(rtci_light_create(rtci_light_outside(light), &class, &arg, &nursery), 0);
    for (int i = 0; i < 100; i++) {
        tell_i64(light, nursery, i);
        run(light);
    }
    assert_int_equal(log.code, 99);
    rtci_light_end(light);
}

struct outside_log {
    int n, code, reason;
    uint8_t kind;
};
static void outside_fn(void *arg, const struct rtci_light_msg *msg)
{
    struct outside_log *log = arg;
    log->n++;
    log->kind = msg->kind;
    log->code = msg->code;
    if (msg->kind == RTCI_LIGHT_DOWN)
        log->reason = msg->down.reason;
}

static void test_watch(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(4);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    struct log log, watcher_log;
    rtci_light_id a = new_book(light, &log), watcher = new_book(light, &watcher_log);
    struct outside_log outside = {0}, late = {0}, end = {0};
    tell_id(light, watcher, WATCH, a);
    assert_int_equal(rtci_light_watch_outside(out, a, outside_fn, &outside), 0);
    run(light);
    rtci_light_tell(out, a, FAIL, NULL, 0);
    run(light);
    assert_int_equal(watcher_log.downs, 1);
    assert_int_equal(watcher_log.down.reason, RTCI_LIGHT_FAILED);
    assert_int_equal(watcher_log.down.code, RTC_E_RANGE);
    assert_int_equal(outside.n, 1);
    assert_int_equal(outside.reason, RTCI_LIGHT_FAILED);
    tell_id(light, watcher, WATCH, a); /* dead already */
    assert_int_equal(rtci_light_watch_outside(out, a, outside_fn, &late), 0);
    run(light);
    assert_int_equal(watcher_log.downs, 2);
    assert_int_equal(watcher_log.down.reason, RTCI_LIGHT_UNKNOWN);
    assert_int_equal(late.n, 1);
    a = new_book(light, &log);
    tell_id(light, watcher, WATCH, a);
    tell_id(light, watcher, UNWATCH, a);
    run(light);
    rtci_light_tell(out, a, LEAVE, NULL, 0);
    run(light);
    assert_int_equal(watcher_log.downs, 2);
    assert_int_equal(rtci_light_watch_outside(out, watcher, outside_fn, &end), 0);
    rtci_light_end(light); /* a watch that is still in the mailbox is told too */
    assert_int_equal(end.n, 1);
}

static void test_links(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(5);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    struct log logs[4];
    rtci_light_id a = new_book(light, &logs[0]), b = new_book(light, &logs[1]),
                  c = new_book(light, &logs[2]), trap;
    struct log *log = &logs[3];
    memset(log, 0, sizeof(*log));
    assert_int_equal(rtci_light_create(out, &trap_class, &log, &trap), 0);
    tell_id(light, a, LINK, b);
    tell_id(light, c, LINK, b);
    tell_id(light, trap, LINK, b);
    run(light);
    tell_id(light, c, UNLINK, b);
    run(light);
    rtci_light_tell(out, a, FAIL, NULL, 0);
    run(light);
    assert_false(rtci_light_alive(out, b));
    assert_true(rtci_light_alive(out, c));
    assert_true(rtci_light_alive(out, trap));
    assert_int_equal(log->exits, 1);
    assert_int_equal(log->down.reason, RTCI_LIGHT_LINKED);
    assert_memory_equal(&log->down.by, &a, sizeof(a));
    tell_id(light, trap, LINK, c);
    run(light);
    rtci_light_tell(out, trap, LEAVE, NULL, 0); /* normal: nobody is taken along */
    run(light);
    assert_true(rtci_light_alive(out, c));
    tell_id(light, c, LINK, b); /* dead already */
    run(light);
    assert_false(rtci_light_alive(out, c));
    rtci_light_end(light);
}

static void test_calls(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(6);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    struct log log, other_log;
    rtci_light_id a = new_book(light, &log), b = new_book(light, &other_log);
    tell_id(light, a, ASK, b);
    run(light);
    assert_int_equal(log.replies, 1);
    assert_int_equal(log.got[0], 42);
    tell_id(light, a, ASK_SHORT, b);
    run(light);
    rtci_light_tell(out, b, ANSWER, NULL, 0);
    run(light);
    assert_int_equal(log.replies, 2);
    assert_int_equal(log.got[1], 77);
    assert_false(rtci_light_step_time(light)); /* the deadline went with the answer */
    tell_id(light, a, ASK_SHORT, b);
    run(light);
    assert_true(rtci_light_step_time(light));
    run(light);
    assert_int_equal(log.replies, 3);
    assert_int_equal(log.code, RTC_E_TIMEOUT);
    rtci_light_tell(out, b, ANSWER, NULL, 0); /* too late: nobody is confused */
    run(light);
    assert_int_equal(log.replies, 3);
    rtci_light_stop(out, b);
    tell_id(light, a, ASK, b);
    struct outside_log dropped = {0}, failed = {0}, echoed = {0};
    assert_int_equal(rtci_light_call_outside(out, b, ECHO, NULL, 0, outside_fn, &dropped), 0);
    run(light);
    assert_int_equal(dropped.n, 1);
    assert_int_equal(dropped.code, RTC_E_NOT_FOUND);
    assert_true((log.replies == 4) == (log.code == RTC_E_NOT_FOUND && log.replies == 4) &&
                log.code == RTC_E_NOT_FOUND);
    assert_int_equal(rtci_light_call_outside(out, b, ECHO, NULL, 0, outside_fn, &dropped),
                     RTC_E_NOT_FOUND);
    assert_int_equal(rtci_light_call_outside(out, a, ECHO, NULL, 0, outside_fn, &echoed), 0);
    assert_int_equal(rtci_light_call_outside(out, a, FAIL, NULL, 0, outside_fn, &failed), 0);
    run(light);
    assert_int_equal(echoed.n, 1);
    assert_int_equal(echoed.code, 0);
    assert_int_equal(failed.n, 1);
    assert_int_equal(failed.code, RTC_E_RANGE);
    rtci_light_end(light);
}

/* An answer that comes too late, when the memory of its call is used by another call. */
static void test_late_answer(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(6);
    struct log log, logs[2];
    rtci_light_id a = new_book(light, &log), b = new_book(light, &logs[0]),
                  c = new_book(light, &logs[1]);
    tell_id(light, a, ASK_SHORT, b);
    run(light);
    assert_true(rtci_light_step_time(light));
    run(light);
    for (int i = 0; i < 3; i++) {
        tell_id(light, a, ASK, b);
        run(light);
    }
    assert_int_equal(log.replies, 4);
    tell_id(light, a, ASK_SHORT, c);
    run(light);
    rtci_light_tell(rtci_light_outside(light), b, ANSWER, NULL, 0);
    run(light);
    assert_int_equal(log.replies, 4);
    rtci_light_tell(rtci_light_outside(light), c, ANSWER, NULL, 0);
    run(light);
    assert_int_equal(log.replies, 5);
    rtci_light_end(light);
}

static void test_timers(void **state)
{
    (void)state;
    struct rtci_light *light = by_hand(7);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    struct log log;
    rtci_light_id a = new_book(light, &log);
    uint64_t timers[200];
    for (int64_t i = 0; i < 200; i++) {
        int64_t when = i * 37 % 200;
        assert_int_equal(
            rtci_light_after(out, (uint64_t)when * 1000, a, NOTE, &when, 8, &timers[i]), 0);
    }
    for (int64_t i = 0; i < 200; i++) { /* every second time stays */
        if (i * 37 % 200 % 2)
            assert_true(rtci_light_cancel(out, timers[i]));
        assert_int_equal(rtci_light_cancel(out, timers[i] + (1ULL << 40)), false);
    }
    int n = 0;
    while (rtci_light_step_time(light)) {
        run(light);
        assert_int_equal(log.n, ++n);
        assert_int_equal(log.got[(n - 1) % 64], (n - 1) * 2);
    }
    assert_int_equal(n, 100);
    assert_false(rtci_light_cancel(out, timers[0]));
    rtci_light_after(out, 5, a, NOTE, NULL, 0, NULL);
    rtci_light_end(light);
}

static void test_mute(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rtci_light *light = by_hand(seed);
        struct log log, logs[3];
        struct rtci_light_stats stats;
        rtci_light_id slow = new_book(light, &log);
        for (int i = 0; i < 3; i++) {
            rtci_light_id flood = new_book(light, &logs[i]);
            for (int j = 0; j < 5; j++)
                tell_id(light, flood, FLOOD, slow);
        }
        run(light);
        assert_int_equal(log.n, 3 * 5 * 20);
        rtci_light_stats(light, &stats);
        assert_true(stats.mutes > 0);
        rtci_light_end(light);
    }
}

/* All flood each other, so that all mailboxes are full at once. */
static void test_mute_circle(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rtci_light *light = by_hand(seed);
        struct log logs[5];
        rtci_light_id ids[5];
        for (int i = 0; i < 5; i++)
            ids[i] = new_book(light, &logs[i]);
        for (int i = 0; i < 5; i++) {
            for (int j = 0; j < 15; j++)
                tell_id(light, ids[i], FLOOD, ids[(i + 1 + j % 4) % 5]);
        }
        run(light);
        int sum = 0;
        for (int i = 0; i < 5; i++)
            sum += logs[i].n;
        assert_int_equal(sum, 5 * 15 * 20);
        rtci_light_end(light);
    }
}

/* What is muted can be killed, and what others wait for can die. */
static void test_mute_and_kill(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rtci_light *light = by_hand(seed);
        struct rtci_light_ctx *out = rtci_light_outside(light);
        struct log log, logs[4];
        rtci_light_id slow = new_book(light, &log), ids[4];
        for (int i = 0; i < 4; i++) {
            ids[i] = new_book(light, &logs[i]);
            tell_id(light, ids[i], FLOOD, slow);
            tell_i64(light, ids[i], 5);
        }
        for (uint64_t i = 0; i < 3 + seed % 5; i++)
            rtci_light_step(light);
        rtci_light_kill(out, ids[seed % 4]);
        if (seed % 3 == 0)
            rtci_light_kill(out, slow);
        run(light);
        assert_false(rtci_light_alive(out, ids[seed % 4]));
        for (uint64_t i = 1; i < 4 && seed % 3; i++)
            assert_int_equal(logs[(seed + i) % 4].n, 1);
        rtci_light_end(light);
    }
}

static void test_many(void **state)
{
    (void)state;
    static rtci_light_id ids[10000];
    struct rtci_light *light = by_hand(8);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    struct log log;
    struct log *arg = &log, *none = NULL;
    struct rtci_light_class large = book_class;
    rtci_light_id id;
    memset(&log, 0, sizeof(log));
    assert_int_equal(rtci_light_create(out, &book_class, &none, &id), RTC_E_INVALID);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 10000; i++) {
            large.state_size = sizeof(struct book) + i % 7 * 900;
            assert_int_equal(rtci_light_create(out, i % 2 ? &large : &book_class, &arg, &ids[i]),
                             0);
        }
        for (size_t i = 0; i < 10000; i++)
            tell_i64(light, ids[i], 1);
        run(light);
        assert_int_equal(log.n, 10000 * (round + 1));
        for (size_t i = 0; i < 10000; i++) /* the class of a living actor has to stay */
            rtci_light_kill(out, ids[i]);
        run(light);
    }
    struct rtci_light_stats stats;
    rtci_light_stats(light, &stats);
    assert_int_equal(stats.blocks_out, 0);
    assert_int_equal(stats.messages_out, 0);
    assert_int_equal(stats.died, 30000);
    rtci_light_end(light);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),      cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_block_calls),   cmocka_unit_test(test_stop_and_kill),
        cmocka_unit_test(test_killed_by),     cmocka_unit_test(test_handles),
        cmocka_unit_test(test_same_memory),   cmocka_unit_test(test_watch),
        cmocka_unit_test(test_links),         cmocka_unit_test(test_calls),
        cmocka_unit_test(test_late_answer),   cmocka_unit_test(test_timers),
        cmocka_unit_test(test_mute),          cmocka_unit_test(test_mute_circle),
        cmocka_unit_test(test_mute_and_kill), cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
