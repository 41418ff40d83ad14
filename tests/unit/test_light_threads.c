/* Light actors on threads: waking, sleeping, the clock, many to many, threads outside. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "runtime/exec/light.h"
#include "tests/unit/light_help.h"
#include <rtc/error.h>

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int n;
};
static _Atomic int passed;
static struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void gate_pass(void *arg, const struct rtci_light_msg *msg)
{
    (void)msg;
    struct gate *at = arg;
    pthread_mutex_lock(&at->lock);
    at->n++;
    atomic_fetch_add(&passed, 1);
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

/* The same without sleeping, and some time more. */
static void gate_spin(int n, int more)
{
    for (int i = 0; atomic_load(&passed) < n; i++) {
        if (i % 1000 == 999)
            sched_yield();
    }
    for (int i = 0; i < more; i++)
        atomic_signal_fence(memory_order_seq_cst);
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
        atomic_store(&passed, 0);
        for (int i = 0; i < 20000; i++) {
            assert_int_equal(rtci_light_call_outside(rtci_light_outside(light), ids[0], ECHO, NULL,
                                                     0, gate_pass, &gate),
                             0);
            gate_spin(i + 1, i * 7919 % 30000); /* any moment of going to sleep */
        }
        gate_wait(20000);
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

/* Until the threads look at nothing any more, most likely. */
static void settle(struct rtci_light *light)
{
    struct rtci_light_stats before, after;
    rtci_light_stats(light, &after);
    do {
        struct timespec begin, now;
        before = after;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        do {
            sched_yield();
            clock_gettime(CLOCK_MONOTONIC, &now);
        } while ((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec < 5000000);
        rtci_light_stats(light, &after);
    } while (after.parks != before.parks);
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
        if (i % 10 == 0)
            settle(light);
        assert_int_equal(tell_id(light, a, NOTE, b), 0);
        assert_int_equal(rtci_light_call_outside(out, a, NOTE, NULL, 0, gate_pass, &gate), 0);
        gate_wait(1);
    }
    rtci_light_end(light);
}

static int stuck_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    (void)ctx, (void)state, (void)msg;
    while (!atomic_load(&flag))
        sched_yield();
    return 0;
}

/* Who is muted dies when it is killed, not when there is room. */
static void test_kill_muted(void **state)
{
    (void)state;
    static const struct rtci_light_class class = {.receive = stuck_receive, .mail_max = 16};
    struct rtci_light *light = on_threads(2);
    struct rtci_light_ctx *out = rtci_light_outside(light);
    struct rtci_light_stats stats;
    struct log log;
    rtci_light_id stuck, flood = new_book(light, &log);
    atomic_store(&flag, 0);
    assert_int_equal(rtci_light_create(out, &class, NULL, &stuck), 0);
    assert_int_equal(rtci_light_watch_outside(out, flood, gate_pass, &gate), 0);
    tell_id(light, flood, FLOOD, stuck);
    do {
        sched_yield();
        rtci_light_stats(light, &stats);
    } while (!stats.mutes);
    assert_int_equal(rtci_light_kill(out, flood), 0);
    gate_wait(1);
    atomic_store(&flag, 1);
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
    settle(light);
    assert_int_equal(rtci_light_after(out, 3600000000000u, a, FAIL, NULL, 0, &never), 0);
    settle(light);
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
        cmocka_unit_test(test_wakes),      cmocka_unit_test(test_long_turn),
        cmocka_unit_test(test_kill_muted), cmocka_unit_test(test_clock),
        cmocka_unit_test(test_mill),       cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
