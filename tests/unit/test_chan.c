/* Channels: both ends in turn, both ends as threads (on one mapping, which is what ThreadSanitizer
 * can follow, and on two), and ends that die or lie. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/bounds.h"
#include "runtime/shm/chan.h"
#include "runtime/wire/actor.h"
#include <rtc/error.h>

#define RING    16384u
#define RECORDS 20000u
#define LONGEST 2000u

struct pair {
    int fd, bell, wake;
    struct rtci_chan *client, *daemon;
};

static void open_pair(struct pair *pair, bool one_mapping)
{
    pair->fd = rtci_chan_create(RING);
    pair->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pair->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(pair->fd >= 0 && pair->bell >= 0 && pair->wake >= 0);
    assert_int_equal(
        rtci_chan_open(pair->fd, RTCI_CHAN_CLIENT, pair->bell, pair->wake, &pair->client), 0);
    int rc = one_mapping ? rtci_chan_open_peer(pair->client, pair->bell, pair->wake, &pair->daemon)
                         : rtci_chan_open(pair->fd, RTCI_CHAN_DAEMON, pair->bell, pair->wake,
                                          &pair->daemon);
    assert_int_equal(rc, 0);
}

static void close_pair(struct pair *pair)
{
    rtci_chan_close(pair->daemon);
    rtci_chan_close(pair->client);
    close(pair->fd);
    close(pair->bell);
    close(pair->wake);
}

static uint32_t random_of(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Record `n` of a stream: its length and its bytes follow from n. */
static uint32_t size_of(uint64_t n)
{
    uint64_t state = n * 2654435761u;
    return 16 + random_of(&state) % (LONGEST / 8) * 8;
}

static bool produce(struct rtci_chan *chan, uint64_t n)
{
    uint32_t size = size_of(n);
    uint64_t *at = rtci_chan_reserve(chan, size);
    if (!at)
        return false;
    ((struct rtci_rec *)at)->size = size;
    ((struct rtci_rec *)at)->type = RTCI_R_TASK;
    ((struct rtci_rec *)at)->flags = 0;
    for (uint32_t i = 1; i < size / 8; i++)
        at[i] = n * 31 + i;
    return true;
}

/* Checks and takes whatever is there. Returns the number of the next record. */
static uint64_t take_all(struct rtci_chan *chan, uint64_t next)
{
    const void *span;
    size_t len;
    int rc = rtci_chan_peek(chan, &span, &len);
    RTCI_ASSERT(rc == 0 && len <= RING);
    for (size_t at = 0; at < len; next++) {
        const uint64_t *rec = (const uint64_t *)((const char *)span + at);
        uint32_t size = ((const struct rtci_rec *)rec)->size;
        RTCI_ASSERT(size == size_of(next) && size <= len - at);
        for (uint32_t i = 1; i < size / 8; i++)
            RTCI_ASSERT(rec[i] == next * 31 + i);
        at += size;
    }
    rtci_chan_advance(chan, len);
    rtci_chan_consume(chan);
    return next;
}

/* ---- In turn ---- */

static void in_turn(void **state)
{
    (void)state;
    for (int mappings = 1; mappings <= 2; mappings++) {
        struct pair pair;
        open_pair(&pair, mappings == 1);
        struct rtci_chan *from[2] = {pair.client, pair.daemon}, *to[2] = {pair.daemon, pair.client};
        uint64_t sent[2] = {0}, seen[2] = {0}, seed = 7;
        while (seen[0] < RECORDS / 4 || seen[1] < RECORDS / 4) {
            uint32_t way = random_of(&seed) % 2;
            if (random_of(&seed) % 3) {
                uint32_t burst = random_of(&seed) % 20;
                while (burst-- && produce(from[way], sent[way]))
                    sent[way]++;
                rtci_chan_publish(from[way]);
            } else {
                seen[way] = take_all(to[way], seen[way]);
                assert_int_equal(seen[way], sent[way]);
            }
        }
        close_pair(&pair);
    }
}

static void room_and_positions(void **state)
{
    (void)state;
    struct pair pair;
    const void *span;
    size_t len;
    open_pair(&pair, false);
    for (uint32_t i = 0; i < RING / 1024; i++)
        assert_non_null(rtci_chan_reserve(pair.client, 1024));
    assert_null(rtci_chan_reserve(pair.client, 8));
    assert_int_equal(rtci_chan_peek(pair.daemon, &span, &len), 0);
    assert_int_equal(len, 0); /* nothing is there before it is published */
    rtci_chan_unreserve(pair.client, 1024);
    rtci_chan_publish(pair.client);
    assert_int_equal(rtci_chan_peek(pair.daemon, &span, &len), 0);
    assert_int_equal(len, RING - 1024);
    rtci_chan_advance(pair.daemon, 2048);
    assert_int_equal(rtci_chan_room(pair.client), 1024); /* read is not taken out */
    assert_int_equal(rtci_chan_consumed(pair.client), 0);
    rtci_chan_consume(pair.daemon);
    assert_int_equal(rtci_chan_room(pair.client), 3072);
    assert_int_equal(rtci_chan_consumed(pair.client), 2048);
    assert_int_equal(rtci_chan_written(pair.client), RING - 1024);
    /* The client's end gives back less than it has read. */
    assert_non_null(rtci_chan_reserve(pair.daemon, 4096));
    rtci_chan_publish(pair.daemon);
    assert_int_equal(rtci_chan_peek(pair.client, &span, &len), 0);
    rtci_chan_advance(pair.client, len);
    rtci_chan_consume_to(pair.client, 1024);
    rtci_chan_consume_to(pair.client, 512); /* going back does nothing */
    rtci_chan_consume_to(pair.client, 1u << 20);
    assert_int_equal(rtci_chan_consumed(pair.daemon), 1024);
    assert_int_equal(rtci_chan_position(pair.client), 4096);
    close_pair(&pair);
}

static void waits(void **state)
{
    (void)state;
    struct pair pair;
    struct timespec t;
    open_pair(&pair, false);
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * RTCI_NS_PER_S + (uint64_t)t.tv_nsec;
    assert_int_equal(rtci_chan_wait(pair.client, 0, now), RTC_E_TIMEOUT);
    assert_int_equal(rtci_chan_wait(pair.client, 0, now + 2 * RTCI_NS_PER_MS), RTC_E_TIMEOUT);
    assert_int_equal(rtci_chan_wait(pair.client, 64, now), 0); /* there is room */
    /* An event loop's descriptor is written when something comes, also just before. */
    struct pollfd fd = {.fd = pair.wake, .events = POLLIN};
    rtci_chan_arm_fd(pair.client);
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_true(produce(pair.daemon, 0));
    rtci_chan_publish(pair.daemon);
    rtci_chan_ring(pair.daemon);
    assert_int_equal(poll(&fd, 1, 0), 1);
    uint64_t count;
    assert_int_equal(read(pair.wake, &count, sizeof(count)), sizeof(count));
    rtci_chan_arm_fd(pair.client);
    assert_int_equal(poll(&fd, 1, 0), 1);
    /* The daemon's bell only rings when it said that it sleeps. */
    fd.fd = pair.bell;
    assert_true(produce(pair.client, 0));
    rtci_chan_publish(pair.client);
    rtci_chan_ring(pair.client);
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_true(rtci_chan_arm(pair.daemon)); /* do not sleep: something is there */
    take_all(pair.daemon, 0);
    assert_false(rtci_chan_arm(pair.daemon));
    rtci_chan_ring(pair.client);
    assert_int_equal(poll(&fd, 1, 0), 1);
    rtci_chan_disarm(pair.daemon);
    close_pair(&pair);
}

/* ---- As threads ---- */

/* The client sends all, and takes what comes back; it sleeps when it has nothing to do. */
static void *client_main(void *arg)
{
    struct pair *pair = arg;
    uint64_t sent = 0, seen = 0;
    while (seen < RECORDS) {
        bool full = false;
        while (sent < RECORDS && !full) {
            full = !produce(pair->client, sent);
            sent += !full;
        }
        rtci_chan_publish(pair->client);
        rtci_chan_ring(pair->client);
        uint64_t before = seen;
        seen = take_all(pair->client, seen);
        if (seen == before)
            RTCI_IGNORE(rtci_chan_wait(pair->client, full ? LONGEST : 0, UINT64_MAX));
    }
    return NULL;
}

/* The daemon sends each back; it sleeps on its bell. */
static void *daemon_main(void *arg)
{
    struct pair *pair = arg;
    uint64_t seen = 0, sent = 0;
    while (sent < RECORDS) {
        uint64_t before = seen + sent;
        seen = take_all(pair->daemon, seen);
        while (sent < seen && produce(pair->daemon, sent))
            sent++;
        rtci_chan_publish(pair->daemon);
        rtci_chan_ring(pair->daemon);
        if (seen + sent != before)
            continue;
        struct pollfd fd = {.fd = pair->bell, .events = POLLIN};
        uint64_t count;
        if (sent == seen && !rtci_chan_arm(pair->daemon))
            poll(&fd, 1, 1000);
        rtci_chan_disarm(pair->daemon);
        RTCI_IGNORE(read(pair->bell, &count, sizeof(count)));
        if (sent < seen)
            sched_yield(); /* its ring is full: the client makes room without ringing */
    }
    return NULL;
}

static void as_threads(void **state)
{
    (void)state;
    for (int mappings = 1; mappings <= 2; mappings++) {
        struct pair pair;
        pthread_t client, daemon;
        open_pair(&pair, mappings == 1);
        assert_int_equal(pthread_create(&client, NULL, client_main, &pair), 0);
        assert_int_equal(pthread_create(&daemon, NULL, daemon_main, &pair), 0);
        pthread_join(client, NULL);
        pthread_join(daemon, NULL);
        close_pair(&pair);
    }
}

static void *sleeper_main(void *arg)
{
    struct pair *pair = arg;
    RTCI_IGNORE(rtci_chan_wait(pair->client, 0, UINT64_MAX));
    return NULL;
}

/* Who kicks may have looked at what the waiter saw before it began to wait: the next wait returns,
 * once. */
static void kick_before(void **state)
{
    (void)state;
    struct pair pair;
    struct timespec begin, end;
    open_pair(&pair, false);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 20; i++) {
        rtci_chan_kick(pair.client);
        rtci_chan_kick(pair.client);
        assert_int_equal(rtci_chan_wait(pair.client, 0, UINT64_MAX), 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - begin.tv_sec < 15);
    uint64_t now = (uint64_t)end.tv_sec * RTCI_NS_PER_S + (uint64_t)end.tv_nsec;
    assert_int_equal(rtci_chan_wait(pair.client, 0, now + 2 * RTCI_NS_PER_MS), RTC_E_TIMEOUT);
    close_pair(&pair);
}

/* A kick, also one just before it sleeps, ends a wait (which ends by itself only after 1 s). */
static void kicks(void **state)
{
    (void)state;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 20; i++) {
        struct pair pair;
        pthread_t thread;
        open_pair(&pair, true);
        assert_int_equal(pthread_create(&thread, NULL, sleeper_main, &pair), 0);
        do
            rtci_chan_kick(pair.daemon);
        while (pthread_tryjoin_np(thread, NULL) && (sched_yield(), true));
        close_pair(&pair);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - begin.tv_sec < 15);
}

/* ---- Claims ---- */

#define CLAIMS 64u

struct claims {
    struct pair *pair;
    const struct rtci_rec *rec[CLAIMS];
    struct rtci_chan_task task[CLAIMS];
    bool claimed[CLAIMS], recalled[CLAIMS];
};

static void *claimer_main(void *arg)
{
    struct claims *claims = arg;
    for (uint32_t i = 0; i < CLAIMS; i++)
        claims->claimed[i] = rtci_chan_claim(claims->pair->client, claims->rec[i]);
    return NULL;
}

static void *recaller_main(void *arg)
{
    struct claims *claims = arg;
    for (uint32_t i = CLAIMS; i-- > 0;)
        claims->recalled[i] = rtci_chan_recall(claims->pair->daemon, &claims->task[i]);
    return NULL;
}

/* Each task is the executor's or was recalled, never both, never neither. */
static void claims_and_recalls(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct pair pair;
        struct claims claims = {.pair = &pair};
        const void *span;
        size_t len;
        pthread_t threads[2];
        open_pair(&pair, round % 2);
        for (uint32_t i = 0; i < CLAIMS; i++) {
            struct rtci_spec *spec = rtci_chan_reserve(pair.daemon, sizeof(*spec));
            assert_non_null(spec);
            memset(spec, 0, sizeof(*spec));
            spec->rec = (struct rtci_rec){sizeof(*spec), RTCI_R_TASK, RTCI_CLAIM_QUEUED};
            spec->seq = i + 1;
        }
        rtci_chan_publish(pair.daemon);
        assert_int_equal(rtci_chan_tasks(pair.daemon, claims.task, CLAIMS), CLAIMS);
        assert_int_equal(rtci_chan_peek(pair.client, &span, &len), 0);
        for (uint32_t i = 0; i < CLAIMS; i++)
            claims.rec[i] =
                (const struct rtci_rec *)((const char *)span + i * sizeof(struct rtci_spec));
        assert_int_equal(pthread_create(&threads[0], NULL, claimer_main, &claims), 0);
        assert_int_equal(pthread_create(&threads[1], NULL, recaller_main, &claims), 0);
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        assert_int_equal(rtci_chan_tasks(pair.daemon, claims.task, CLAIMS), CLAIMS);
        for (uint32_t i = 0; i < CLAIMS; i++) {
            assert_true(claims.claimed[i] != claims.recalled[i]);
            assert_int_equal(claims.task[i].seq, i + 1);
            assert_int_equal(claims.task[i].state,
                             claims.claimed[i] ? RTCI_CLAIM_CLAIMED : RTCI_CLAIM_RECALLED);
        }
        close_pair(&pair);
    }
}

/* ---- Ends that die ---- */

/* A producer is killed at any moment: what it published is whole, and the next one goes on there.
 */
static void killed_producers(void **state)
{
    (void)state;
    struct pair pair;
    uint64_t seen = 0, seed = 3;
    open_pair(&pair, false);
    for (int round = 0; round < 30; round++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid) { /* a mapping of its own, as a process that was started has */
            struct rtci_chan *chan;
            if (rtci_chan_open(pair.fd, RTCI_CHAN_CLIENT, pair.bell, -1, &chan))
                _exit(1);
            for (uint64_t n = seen;;) {
                n += produce(chan, n);
                rtci_chan_publish(chan);
                rtci_chan_ring(chan);
            }
        }
        uint64_t until = seen + 1 + random_of(&seed) % 300;
        while (seen < until)
            seen = take_all(pair.daemon, seen);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        seen = take_all(pair.daemon, seen);
    }
    close_pair(&pair);
}

/* A consumer that dies before it took a span out: the next one reads it again. */
static void killed_consumer(void **state)
{
    (void)state;
    struct pair pair;
    const void *span;
    size_t len, again;
    open_pair(&pair, false);
    for (uint64_t n = 0; n < 10; n++)
        assert_true(produce(pair.client, n));
    rtci_chan_publish(pair.client);
    assert_int_equal(rtci_chan_peek(pair.daemon, &span, &len), 0);
    rtci_chan_advance(pair.daemon, len);
    rtci_chan_close(pair.daemon); /* as a killed one leaves it: nothing was consumed */
    assert_int_equal(rtci_chan_open(pair.fd, RTCI_CHAN_DAEMON, -1, -1, &pair.daemon), 0);
    assert_int_equal(rtci_chan_peek(pair.daemon, &span, &again), 0);
    assert_int_equal(again, len);
    assert_int_equal(take_all(pair.daemon, 0), 10);
    close_pair(&pair);
}

/* Of an actor's process that is gone: what it told of its callers, and what it had not read. */
static void callers_of_the_dead(void **state)
{
    (void)state;
    struct pair pair;
    struct rtci_chan_caller callers[8];
    open_pair(&pair, false);
    volatile struct rtci_chan_info *info = rtci_chan_info(pair.client);
    info->callers[3].client = 5; /* whatever stands before it */
    info->callers[3].node = 1;
    info->callers[3].begun = 12;
    for (uint32_t client = 5; client <= 7; client++) {
        struct {
            struct rtci_spec spec;
            struct rtci_call call;
        } *call = rtci_chan_reserve(pair.daemon, sizeof(*call));
        memset(call, 0, sizeof(*call));
        call->spec.rec.size = sizeof(*call);
        call->spec.rec.type = RTCI_R_ACTOR_CALL;
        call->spec.client = client;
        call->call.order = client == 7 ? 0 : 13; /* of 7 it is a note */
        call->call.caller_node = 2;
    }
    rtci_chan_publish(pair.daemon);
    assert_int_equal(rtci_chan_callers(pair.daemon, callers, 8), 2);
    assert_int_equal(callers[0].client, 5);
    assert_int_equal(callers[0].begun, 12);
    assert_int_equal(callers[1].client, 6);
    assert_int_equal(callers[1].node, 2);
    assert_int_equal(callers[1].begun, 0);
    assert_int_equal(rtci_chan_callers(pair.daemon, callers, 1), 1);
    info->more_callers = 1; /* of whom nothing stands there: whose calls are unread is not told */
    assert_int_equal(rtci_chan_callers(pair.daemon, callers, 8), 1);
    close_pair(&pair);
}

/* An actor is found among the tasks of its process: before it is claimed, and after. */
static void actors_are_found(void **state)
{
    (void)state;
    struct pair pair;
    struct rtci_chan_task task;
    open_pair(&pair, false);
    struct {
        struct rtci_spec spec;
        struct rtci_actor_options options;
    } *start = rtci_chan_reserve(pair.daemon, sizeof(*start));
    memset(start, 0, sizeof(*start));
    start->spec.rec.size = sizeof(*start);
    start->spec.rec.type = RTCI_R_ACTOR_START;
    start->spec.seq = 3;
    start->spec.name_len = sizeof(start->options);
    rtci_chan_publish(pair.daemon);
    assert_int_equal(rtci_chan_tasks(pair.daemon, &task, 1), 1);
    assert_int_equal(task.actor, RTCI_CHAN_ACTOR);
    start->options.max_restarts = -1;
    assert_int_equal(rtci_chan_tasks(pair.daemon, &task, 1), 1);
    assert_int_equal(task.actor, RTCI_CHAN_ACTOR_RESTARTS);
    start->spec.n_refs = 0xffffffff; /* written over */
    assert_int_equal(rtci_chan_tasks(pair.daemon, &task, 1), 1);
    assert_int_equal(task.actor, RTCI_CHAN_ACTOR);
    close_pair(&pair);
}

/* ---- Ends that lie ---- */

/* Whatever stands in the shared words: an error, or a span within the ring; and no access outside.
 */
static void garbage(void **state)
{
    (void)state;
    struct pair pair;
    uint64_t seed = 11;
    open_pair(&pair, false);
    uint64_t *words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, pair.fd, 0);
    assert_ptr_not_equal(words, MAP_FAILED);
    uint32_t refused = 0;
    for (int round = 0; round < 20000; round++) {
        const void *span;
        size_t len = 0;
        uint32_t at = 2 + random_of(&seed) % 510; /* not the magic: that is checked at open */
        uint64_t before = words[at], small = random_of(&seed) % (2 * RING);
        words[at] = random_of(&seed) % 2 ? small : (uint64_t)random_of(&seed) << 32 | small;
        struct rtci_chan_task tasks[8];
        int rc = rtci_chan_peek(pair.daemon, &span, &len);
        refused += rc != 0;
        assert_true(rc == 0 || rc == RTC_E_PROTOCOL);
        assert_true(len <= RING);
        assert_true(rtci_chan_room(pair.daemon) <= RING);
        assert_true(rtci_chan_tasks(pair.daemon, tasks, 8) <= (int)RING);
        struct rtci_chan_caller callers[8];
        assert_true(rtci_chan_callers(pair.daemon, callers, 8) <= 8);
        if (rtci_chan_reserve(pair.daemon, 64))
            rtci_chan_unreserve(pair.daemon, 64);
        words[at] = before;
        if (rc || len) { /* as the daemon does: a liar is closed. The next one */
            rtci_chan_close(pair.daemon);
            assert_int_equal(rtci_chan_open(pair.fd, RTCI_CHAN_DAEMON, -1, -1, &pair.daemon), 0);
        }
    }
    assert_true(refused > 5);
    munmap(words, 4096);
    close_pair(&pair);
}

static void foreign_files(void **state)
{
    (void)state;
    struct rtci_chan *chan;
    char zeros[8192] = {0};
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, zeros, sizeof(zeros)), sizeof(zeros));
    assert_int_equal(rtci_chan_open(fd, RTCI_CHAN_DAEMON, -1, -1, &chan), RTC_E_PROTOCOL);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    assert_int_equal(rtci_chan_open(fd, RTCI_CHAN_DAEMON, -1, -1, &chan), RTC_E_PROTOCOL);
    close(fd);
    assert_int_equal(rtci_chan_create(5000), RTC_E_INVALID);
    int good = rtci_chan_create(RING);
    uint32_t version = 1u << 30;
    assert_int_equal(pwrite(good, &version, 4, 4), 4);
    assert_int_equal(rtci_chan_open(good, RTCI_CHAN_DAEMON, -1, -1, &chan), RTC_E_VERSION);
    uint64_t bytes[2] = {0, RING * 2}; /* larger than the file */
    memcpy(bytes, &(uint32_t[2]){0x52544343u, RTCI_WIRE_VERSION}, 8);
    assert_int_equal(pwrite(good, bytes, 16, 0), 16);
    assert_int_equal(rtci_chan_open(good, RTCI_CHAN_DAEMON, -1, -1, &chan), RTC_E_PROTOCOL);
    close(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_turn),
        cmocka_unit_test(room_and_positions),
        cmocka_unit_test(waits),
        cmocka_unit_test(as_threads),
        cmocka_unit_test(kicks),
        cmocka_unit_test(kick_before),
        cmocka_unit_test(claims_and_recalls),
        cmocka_unit_test(killed_producers),
        cmocka_unit_test(killed_consumer),
        cmocka_unit_test(callers_of_the_dead),
        cmocka_unit_test(actors_are_found),
        cmocka_unit_test(garbage),
        cmocka_unit_test(foreign_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
