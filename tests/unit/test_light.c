/* Light actors: by hand, one turn after another in an order drawn from a seed, and on threads. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/exec/light.h"
#include <rtc/error.h>

/* An actor that writes down what it gets, and does what it is told. */
enum {
    NOTE,
    ECHO,
    LATER,
    ANSWER,
    FAIL,
    LEAVE,
    WATCH,
    UNWATCH,
    LINK,
    UNLINK,
    ASK,
    ASK_SHORT,
    FLOOD,
    FORWARD,
    TAKE,
    KILL,
};
struct log {
    int n, downs, exits, replies, code, dropped;
    int64_t got[64];
    struct rtci_light_down down;
    uint32_t token;
};
struct book {
    struct log *log;
    rtci_light_id peer;
    struct rtci_light_reply_to asker;
};

static int got_reply(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *reply,
                     void *arg)
{
    struct book *book = state;
    (void)ctx;
    assert_ptr_equal(arg, book->log);
    book->log->replies++;
    book->log->code = reply->code;
    if (reply->code == 0 && reply->size == 8)
        book->log->got[book->log->n++ % 64] = reply->i64[0];
    return 0;
}

static int on_other(struct book *book, const struct rtci_light_msg *msg)
{
    if (msg->kind == RTCI_LIGHT_DOWN)
        book->log->downs++;
    else
        book->log->exits++;
    book->log->down = msg->down;
    book->log->token = msg->token;
    return 0;
}

static int book_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    struct book *book = state;
    struct log *log = book->log;
    rtci_light_id id = {0, 0};
    if (msg->kind != RTCI_LIGHT_TELL && msg->kind != RTCI_LIGHT_CALL)
        return on_other(book, msg);
    if (msg->size == sizeof(id))
        memcpy(&id, msg->data, sizeof(id));
    switch (msg->tag) {
    case NOTE: log->got[log->n++ % 64] = msg->i64[0]; return 0;
    case ECHO: rtci_light_reply(ctx, 0, msg->data, msg->size); return 0;
    case LATER: book->asker = rtci_light_take_reply(ctx); return 0;
    case ANSWER: rtci_light_reply_later(ctx, &book->asker, 0, &(int64_t){77}, 8); return 0;
    case FAIL: return RTC_E_RANGE;
    case LEAVE: return RTCI_LIGHT_LEAVE;
    case WATCH: return rtci_light_watch(ctx, id, 9);
    case UNWATCH: return rtci_light_unwatch(ctx, id, 9);
    case LINK: return rtci_light_link(ctx, id);
    case UNLINK: return rtci_light_unlink(ctx, id);
    case ASK:
        log->code =
            rtci_light_call(ctx, id, ECHO, &(int64_t){42}, 8, RTCI_LIGHT_FOREVER, got_reply, log);
        return 0;
    case ASK_SHORT:
        log->code = rtci_light_call(ctx, id, LATER, NULL, 0, 1000000, got_reply, log);
        return 0;
    case FLOOD:
        for (int64_t i = 0; i < 20; i++)
            RTCI_IGNORE(rtci_light_tell(ctx, id, NOTE, &i, 8)); /* or it is dead */
        return 0;
    case FORWARD: return rtci_light_tell(ctx, book->peer, NOTE, msg->data, msg->size);
    case TAKE: free(rtci_light_take_block(msg)); return 0;
    case KILL: return rtci_light_kill(ctx, id);
    default: return RTC_E_INVALID;
    }
}

static int book_init(void *state, const void *arg)
{
    struct book *book = state;
    memcpy(&book->log, arg, sizeof(book->log));
    return book->log ? 0 : RTC_E_INVALID;
}

static void book_drop(void *state)
{
    struct book *book = state;
    if (book->asker.kind == 0)
        book->log->dropped++;
}

static const struct rtci_light_class book_class = {.name = "book",
                                                   .state_size = sizeof(struct book),
                                                   .init = book_init,
                                                   .receive = book_receive,
                                                   .drop = book_drop,
                                                   .mail_max = 16};
static const struct rtci_light_class trap_class = {.name = "trap",
                                                   .state_size = sizeof(struct book),
                                                   .init = book_init,
                                                   .receive = book_receive,
                                                   .trap_exits = true};

static rtci_light_id new_book(struct rtci_light *light, struct log *log)
{
    rtci_light_id id;
    memset(log, 0, sizeof(*log));
    assert_int_equal(rtci_light_create(rtci_light_outside(light), &book_class, &log, &id), 0);
    return id;
}

static int tell_id(struct rtci_light *light, rtci_light_id to, uint16_t tag, rtci_light_id id)
{
    return rtci_light_tell(rtci_light_outside(light), to, tag, &id, sizeof(id));
}

static int tell_i64(struct rtci_light *light, rtci_light_id to, int64_t i)
{
    return rtci_light_tell(rtci_light_outside(light), to, NOTE, &i, sizeof(i));
}

static void run(struct rtci_light *light)
{
    while (rtci_light_step(light))
        ;
}

static struct rtci_light *by_hand(uint64_t seed)
{
    struct rtci_light *light;
    assert_int_equal(rtci_light_start(&(struct rtci_light_config){.seed = seed}, &light), 0);
    return light;
}

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

/* ---- on threads ---- */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int n;
};
static struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void gate_pass(void *arg, const struct rtci_light_msg *msg)
{
    (void)msg;
    struct gate *at = arg;
    pthread_mutex_lock(&at->lock);
    at->n++;
    pthread_cond_signal(&at->cond);
    pthread_mutex_unlock(&at->lock);
}

static void gate_wait(int n)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.n < n)
        pthread_cond_wait(&gate.cond, &gate.lock);
    gate.n -= n;
    pthread_mutex_unlock(&gate.lock);
}

static struct rtci_light *on_threads(uint32_t n)
{
    struct rtci_light *light;
    assert_int_equal(rtci_light_start(&(struct rtci_light_config){.threads = n}, &light), 0);
    return light;
}

/* Each call finds the threads asleep, or just going to sleep. */
static void test_wakes(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        struct rtci_light *light = on_threads(threads);
        struct log logs[4];
        rtci_light_id ids[4];
        for (int i = 0; i < 4; i++)
            ids[i] = new_book(light, &logs[i]);
        for (int i = 0; i < 3000; i++) {
            int n = 1 + i % 4;
            for (int j = 0; j < n; j++)
                assert_int_equal(rtci_light_call_outside(rtci_light_outside(light), ids[j], ECHO,
                                                         NULL, 0, gate_pass, &gate),
                                 0);
            gate_wait(n);
        }
        rtci_light_end(light);
    }
}

/* Tells another one, and does not end its turn before that one has run. */
static _Atomic int flag;
static int wait_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    rtci_light_id id;
    (void)state;
    if (msg->size != sizeof(id)) {
        atomic_store(&flag, 1);
        return 0;
    }
    memcpy(&id, msg->data, sizeof(id));
    atomic_store(&flag, 0);
    int rc = rtci_light_tell(ctx, id, NOTE, NULL, 0);
    while (!atomic_load(&flag))
        sched_yield();
    return rc;
}

static void test_long_turn(void **state)
{
    (void)state;
    static const struct rtci_light_class class = {.name = "wait", .receive = wait_receive};
    struct rtci_light *light = on_threads(2);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    rtci_light_id a, b;
    assert_int_equal(rtci_light_create(out, &class, NULL, &a), 0);
    assert_int_equal(rtci_light_create(out, &class, NULL, &b), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(tell_id(light, a, NOTE, b), 0);
        assert_int_equal(rtci_light_call_outside(out, a, NOTE, NULL, 0, gate_pass, &gate), 0);
        gate_wait(1);
    }
    rtci_light_end(light);
}

static void test_clock(void **state)
{
    (void)state;
    struct rtci_light *light = on_threads(2);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    struct log log;
    rtci_light_id a = new_book(light, &log);
    assert_int_equal(rtci_light_watch_outside(out, a, gate_pass, &gate), 0);
    uint64_t never;
    assert_int_equal(rtci_light_after(out, 3600000000000u, a, FAIL, NULL, 0, &never), 0);
    assert_int_equal(rtci_light_after(out, 2000000, a, LEAVE, NULL, 0, NULL), 0);
    for (int64_t i = 0; i < 10; i++)
        assert_int_equal(rtci_light_after(out, 1000000 - (uint64_t)i, a, NOTE, &i, 8, NULL), 0);
    gate_wait(1);
    assert_int_equal(log.n, 10);
    assert_true(rtci_light_cancel(out, never));
    rtci_light_end(light);
}

/* Many to one and one to many, with small mailboxes; nothing is lost, all end. */
#define SENDERS 20
#define LETTERS 500
struct mill {
    rtci_light_id peers[SENDERS];
    int64_t left;
    int64_t last[SENDERS];
};

static int mill_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    struct mill *mill = state;
    if (msg->tag == NOTE) { /* {sender, number} */
        int64_t from = msg->i64[0];
        if (msg->i64[1] != ++mill->last[from])
            return RTC_E_PROTOCOL;
        return --mill->left == 0 ? RTCI_LIGHT_LEAVE : 0;
    }
    int64_t note[2] = {msg->i64[0], msg->i64[1]};
    for (int i = 0; i < SENDERS; i++) {
        int rc = rtci_light_tell(ctx, mill->peers[i], NOTE, note, sizeof(note));
        if (rc)
            return rc;
    }
    if (++note[1] > LETTERS)
        return 0;
    return rtci_light_tell(ctx, rtci_light_self(ctx), ECHO, note, sizeof(note));
}

static int mill_init(void *state, const void *arg)
{
    struct mill *mill = state;
    if (arg)
        memcpy(mill->peers, arg, sizeof(mill->peers));
    mill->left = SENDERS * LETTERS;
    return 0;
}

static _Atomic int n_failed;
static void mill_down(void *arg, const struct rtci_light_msg *msg)
{
    n_failed += msg->down.reason != RTCI_LIGHT_NORMAL;
    gate_pass(arg, msg);
}

static void test_mill(void **state)
{
    (void)state;
    static const struct rtci_light_class class = {.name = "mill",
                                                  .state_size = sizeof(struct mill),
                                                  .init = mill_init,
                                                  .receive = mill_receive,
                                                  .mail_max = 32};
    for (uint32_t threads = 1; threads <= 4; threads++) {
        struct rtci_light *light = on_threads(threads);
        struct rtci_light_ctx *out = rtci_light_outside(light);
        rtci_light_id ids[SENDERS], sender;
        for (int i = 0; i < SENDERS; i++) {
            assert_int_equal(rtci_light_create(out, &class, NULL, &ids[i]), 0);
            assert_int_equal(rtci_light_watch_outside(out, ids[i], mill_down, &gate), 0);
        }
        for (int64_t i = 0; i < SENDERS; i++) {
            int64_t note[2] = {i, 1};
            assert_int_equal(rtci_light_create(out, &class, ids, &sender), 0);
            assert_int_equal(rtci_light_tell(out, sender, ECHO, note, sizeof(note)), 0);
        }
        gate_wait(SENDERS);
        assert_int_equal(n_failed, 0);
        struct rtci_light_stats stats;
        rtci_light_stats(light, &stats);
        assert_true(stats.mutes > 0);
        rtci_light_end(light);
    }
}

/* Outside threads wait for room. */
static rtci_light_id room_id;
static void *fill(void *arg)
{
    struct rtci_light *light = arg;
    rtci_light_id id = room_id;
    for (int64_t i = 0; i < 5000; i++)
        assert_int_equal(
            rtci_light_tell_wait(rtci_light_outside(light), id, NOTE, &i, 8, RTCI_LIGHT_FOREVER),
            0);
    return NULL;
}

static void test_room(void **state)
{
    (void)state;
    struct rtci_light *light = on_threads(2);
    struct log log;
    rtci_light_id a = new_book(light, &log);
    pthread_t threads[3];
    room_id = a;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fill, light), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(rtci_light_watch_outside(rtci_light_outside(light), a, gate_pass, &gate), 0);
    assert_int_equal(rtci_light_stop(rtci_light_outside(light), a), 0);
    gate_wait(1);
    assert_int_equal(log.n, 15000);
    struct rtci_light *hand = by_hand(0);
    a = new_book(hand, &log);
    for (int64_t i = 0; i < 16; i++)
        assert_int_equal(tell_i64(hand, a, i), 0);
    assert_int_equal(rtci_light_tell_wait(rtci_light_outside(hand), a, NOTE, NULL, 0, 1),
                     RTC_E_AGAIN); /* nobody would make room */
    rtci_light_end(hand);
    rtci_light_end(light);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),      cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_stop_and_kill), cmocka_unit_test(test_killed_by),
        cmocka_unit_test(test_handles),       cmocka_unit_test(test_same_memory),
        cmocka_unit_test(test_watch),         cmocka_unit_test(test_links),
        cmocka_unit_test(test_calls),         cmocka_unit_test(test_timers),
        cmocka_unit_test(test_mute),          cmocka_unit_test(test_mute_circle),
        cmocka_unit_test(test_mute_and_kill), cmocka_unit_test(test_many),
        cmocka_unit_test(test_wakes),         cmocka_unit_test(test_long_turn),
        cmocka_unit_test(test_clock),         cmocka_unit_test(test_mill),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
