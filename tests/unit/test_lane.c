/* Lanes: two processes (and two threads on one mapping, which is what ThreadSanitizer can follow)
 * that call each other, sleep, fill their rings, die, and lie. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "runtime/shm/fds.h"
#include "runtime/shm/meet.h"
#include "tests/unit/lane_help.h"

#if defined(__SANITIZE_THREAD__)
#define MESSAGES 50000u
#else
#define MESSAGES 1000000u
#endif
#define LATE_MAX 20u /* a machine that stood still for seconds, now and then */

static uint64_t arena_of_test(void)
{
    static uint64_t n;
    return (uint64_t)getpid() << 32 | ++n;
}

static void fork_party(pid_t *ret_pid)
{
    *ret_pid = fork();
    assert_true(*ret_pid >= 0);
    if (*ret_pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void reap(pid_t pid, bool well)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (well)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void dial_until_open(struct party *p, uint32_t callee)
{
    while (party_dial(p, callee) != RTCI_LANE_OPEN) {
        rtci_doorman_retire(p->doorman, p->lane); /* it does not listen yet */
        sched_yield();
    }
}

/* ---- Both ways, a million of them ---- */

/* Sends and takes until all have gone and come. Bursts of any length, so that it sleeps often. */
static void talk(struct party *p, uint64_t n, uint32_t longest, uint64_t seed)
{
    uint64_t sent = 0, seen = 0;
    while (sent < n || seen < n) {
        uint64_t burst = 1 + draw(&seed) % (draw(&seed) % 4 ? 3 : 300), before = seen + sent;
        bool full = false;
        rtci_lane_rewind(p->ring);
        while (burst-- && sent < n && !full) {
            full = !stream_put(p->ring, sent, longest);
            sent += !full;
        }
        rtci_chan_publish(p->ring);
        rtci_chan_ring(p->ring);
        seen = stream_take(p->ring, seen, 1 + draw(&seed) % 400, longest);
        if (seen + sent == before || (seen < sent && draw(&seed) % 2))
            party_wait(p, full ? longest : 0);
    }
}

struct talker {
    struct party *party;
    uint64_t n, seed;
    uint32_t longest;
};

static void *talk_main(void *arg)
{
    struct talker *t = arg;
    talk(t->party, t->n, t->longest, t->seed);
    return NULL;
}

/* Two threads; a small ring that is always full, and one that never is. */
static void threads_talk(void **state)
{
    (void)state;
    for (int small = 0; small < 2; small++) {
        struct party a, b;
        party_open(&a, 0, 1, false);
        party_open(&b, 0, 2, false);
        int fd = rtci_chan_create(small ? 4096 : RTCI_LANE_BYTES);
        struct rtci_waker wake_a = rtci_waker_of(a.chan), wake_b = rtci_waker_of(b.chan);
        assert_int_equal(rtci_lane_open(fd, RTCI_CHAN_CALLER, &wake_b, &a.ring), 0);
        assert_int_equal(rtci_lane_open_peer(a.ring, &wake_a, &b.ring), 0);
        struct talker ta = {&a, MESSAGES / 2, 3, small ? 512 : 128};
        struct talker tb = {&b, MESSAGES / 2, 5, small ? 512 : 128};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, talk_main, &tb), 0);
        talk_main(&ta);
        pthread_join(thread, NULL);
        assert_true(a.late + b.late < LATE_MAX);
        rtci_chan_close(b.ring);
        rtci_chan_close(a.ring);
        close(fd);
        party_close(&a);
        party_close(&b);
    }
}

static void processes_talk(void **state)
{
    (void)state;
    uint64_t arena = arena_of_test();
    struct party p;
    pid_t pid;
    fork_party(&pid);
    party_open(&p, arena, pid ? 1 : 2, true);
    if (pid) {
        dial_until_open(&p, 2);
    } else {
        RTCI_ASSERT(rtci_doorman_listen(p.doorman) == 0);
        party_accept(&p);
        RTCI_ASSERT(p.lane->peer == 1 && p.lane->pid == (uint32_t)getppid() && !p.lane->caller);
    }
    talk(&p, MESSAGES, 128, pid ? 1 : 2);
    RTCI_ASSERT(p.late < LATE_MAX);
    if (!pid)
        _exit(0);
    assert_int_equal(p.lane->pid, pid);
    reap(pid, true);
    party_close(&p);
}

/* ---- Meeting ---- */

static void nobody_there(void **state)
{
    (void)state;
    struct party a, b;
    uint64_t arena = arena_of_test();
    party_open(&a, arena, 1, true);
    party_open(&b, arena, 2, true);
    assert_int_equal(party_dial(&a, 2), RTCI_LANE_REFUSED);
    assert_non_null(strstr(a.lane->why, "no process of that number"));
    rtci_doorman_retire(a.doorman, a.lane);
    assert_int_equal(rtci_doorman_listen(b.doorman), 0);
    assert_int_equal(party_dial(&a, 2), RTCI_LANE_OPEN);
    party_accept(&b);
    /* Somebody else cannot take the name while it lives. */
    assert_int_equal(rtci_meet_listen(arena, 2), RTC_E_EXISTS);
    party_close(&b);
    while (lane_state(a.lane) != RTCI_LANE_DEAD)
        party_wait(&a, 0);
    assert_true(a.lane->why[0]);
    party_close(&a);
}

/* A dialled lane may be given up at any moment of the handshake, and many at once. */
static void given_up(void **state)
{
    (void)state;
    struct party a, b;
    struct rtci_lane *lane;
    uint64_t arena = arena_of_test(), seed = 5;
    party_open(&a, arena, 1, true);
    party_open(&b, arena, 2, true);
    assert_int_equal(rtci_doorman_listen(b.doorman), 0);
    for (int round = 0; round < 300; round++) {
        lane = rtci_doorman_dial(a.doorman, 2);
        assert_non_null(lane);
        for (uint32_t spin = draw(&seed) % 200; spin; spin--)
            sched_yield();
        rtci_doorman_retire(a.doorman, lane);
        while ((lane = rtci_doorman_next(b.doorman)))
            rtci_doorman_retire(b.doorman, lane);
    }
    dial_until_open(&a, 2); /* so many may be on their way that there is no room at once */
    party_close(&a);
    party_close(&b);
}

static int dial_raw(uint64_t arena, uint32_t client)
{
    int sock = rtci_meet_dial(arena, client);
    assert_true(sock >= 0);
    return sock;
}

/* Reads the answer, if there is one. Returns its status, or RTC_E_DISCONNECTED. */
static int read_answer(int sock)
{
    struct rtci_lane_answer answer = {0};
    struct pollfd fd = {.fd = sock, .events = POLLIN};
    int fds[4] = {-1, -1, -1, -1};
    uint32_t n;
    assert_int_equal(poll(&fd, 1, 60000), 1);
    int rc = rtci_fds_recv(sock, &answer, sizeof(answer), fds, 4, &n);
    rtci_fds_close(fds, n);
    if (rc == 0 && answer.status < 0)
        assert_true(answer.why[0] && memchr(answer.why, 0, sizeof(answer.why)));
    return rc ? rc : answer.status;
}

static int answer_of(int sock)
{
    int rc = read_answer(sock);
    close(sock);
    return rc;
}

static void lying_callers(void **state)
{
    (void)state;
    struct party a, b;
    uint64_t arena = arena_of_test(), seed = 9;
    party_open(&a, arena, 1, true);
    party_open(&b, arena, 2, true);
    assert_int_equal(rtci_doorman_listen(b.doorman), 0);
    int file = rtci_chan_create(4096), plain = memfd_create("x", MFD_CLOEXEC);
    assert_int_equal(ftruncate(plain, 65536), 0);
    const struct rtci_lane_hello good = {RTCI_LANE_MAGIC, RTCI_WIRE_VERSION, 1, 2, arena};
    for (int round = 0; round < 400; round++) {
        struct rtci_lane_hello hello = good;
        int fds[4] = {file, a.fd, a.wake, plain}, sock = dial_raw(arena, 2);
        uint32_t how = draw(&seed) % 10, n = 3;
        size_t size = sizeof(hello);
        switch (how) {
        case 0: ((uint8_t *)&hello)[draw(&seed) % 20] ^= (uint8_t)(1 + draw(&seed) % 255); break;
        case 1: size = draw(&seed) % size; break;
        case 2: n = draw(&seed) % 2; break;
        case 3: n = 4; break;
        case 4: fds[0] = plain; break;
        case 5: fds[1] = plain; break;
        case 6: fds[draw(&seed) % 2] = a.wake; break;
        case 7: hello.client = 0; break;
        case 8: hello.callee = 3; break;
        default: break;
        }
        if (size) /* else it only comes and goes */
            assert_int_equal(rtci_fds_send(sock, &hello, size, fds, n), 0);
        else
            shutdown(sock, SHUT_WR);
        int rc = answer_of(sock);
        /* The one bit that no one can check is the caller's number; a fourth descriptor is closed.
         */
        assert_true(how == 9 || how == 3 || how == 0 ? rc <= 0 : rc < 0);
        if (how == 9)
            assert_int_equal(rc, 0);
    }
    for (struct rtci_lane *lane; (lane = rtci_doorman_next(b.doorman));)
        rtci_doorman_retire(b.doorman, lane);
    assert_int_equal(party_dial(&a, 2), RTCI_LANE_OPEN); /* nothing else was disturbed */
    close(file);
    close(plain);
    party_close(&a);
    party_close(&b);
}

static void lying_callee(void **state)
{
    (void)state;
    struct party a;
    uint64_t arena = arena_of_test(), seed = 13;
    party_open(&a, arena, 1, true);
    int listener = rtci_meet_listen(arena, 2);
    assert_true(listener >= 0);
    for (int round = 0; round < 200; round++) {
        struct rtci_lane_answer answer = {RTCI_LANE_MAGIC, RTCI_WIRE_VERSION, 0, 2, ""};
        int fds[2] = {a.fd, a.wake};
        uint32_t how = draw(&seed) % 6, n = 2;
        size_t size = sizeof(answer);
        struct rtci_lane *lane = rtci_doorman_dial(a.doorman, 2);
        struct pollfd fd = {.fd = listener, .events = POLLIN};
        assert_int_equal(poll(&fd, 1, 60000), 1);
        int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        switch (how) {
        case 0: ((uint8_t *)&answer)[draw(&seed) % 16] ^= (uint8_t)(1 + draw(&seed) % 255); break;
        case 1: size = 1 + draw(&seed) % (size - 1); break;
        case 2: n = 0; break;
        case 3: fds[0] = a.wake; break;
        case 4:
            answer.status = -(int)(draw(&seed) % 1000);
            memset(answer.why, 'x', sizeof(answer.why));
            break;
        default: break;
        }
        assert_int_equal(rtci_fds_send(sock, &answer, size, fds, n), 0);
        while (lane_state(lane) == RTCI_LANE_MEETING)
            party_wait(&a, 0);
        if (how == 5)
            assert_int_equal(lane_state(lane), RTCI_LANE_OPEN);
        else if (answer.status == 0 && how != 4)
            assert_int_equal(lane_state(lane), RTCI_LANE_REFUSED);
        if (lane_state(lane) == RTCI_LANE_REFUSED)
            assert_true(lane->why[0] && memchr(lane->why, 0, sizeof(lane->why)));
        close(sock);
        rtci_doorman_retire(a.doorman, lane);
    }
    close(listener);
    party_close(&a);
}

/* Another user's process, which the kernel tells, is not let in, whatever it says. */
static void another_user(void **state)
{
    (void)state;
    struct party a;
    uint64_t arena = arena_of_test();
    pid_t pid;
    if (geteuid() != 0)
        skip();
    party_open(&a, arena, 1, true);
    assert_int_equal(rtci_doorman_listen(a.doorman), 0);
    fork_party(&pid);
    if (!pid) {
        struct rtci_lane_hello hello = {RTCI_LANE_MAGIC, RTCI_WIRE_VERSION, 2, 1, arena};
        if (setuid(65534))
            _exit(2);
        int sock = rtci_meet_dial(arena, 1);
        RTCI_IGNORE(rtci_fds_send(sock, &hello, sizeof(hello), (int[]){a.fd, a.fd}, 2));
        _exit(sock >= 0 && answer_of(sock) == RTC_E_DISCONNECTED ? 0 : 1);
    }
    reap(pid, true);
    assert_null(rtci_doorman_next(a.doorman));
    party_close(&a);
}

/* ---- An open lane ---- */

struct two {
    struct party a, b;
};

static void open_two(struct two *t)
{
    uint64_t arena = arena_of_test();
    party_open(&t->a, arena, 1, true);
    party_open(&t->b, arena, 2, true);
    assert_int_equal(rtci_doorman_listen(t->b.doorman), 0);
    assert_int_equal(party_dial(&t->a, 2), RTCI_LANE_OPEN);
    party_accept(&t->b);
}

static void close_two(struct two *t)
{
    party_close(&t->a);
    party_close(&t->b);
}

/* What was taken out counts as begun; what was not, never will be once the lane is dead. */
static void what_was_begun(void **state)
{
    (void)state;
    struct two t;
    open_two(&t);
    uint64_t ends[11] = {0};
    for (uint64_t n = 0; n < 10; n++) {
        assert_true(stream_put(t.a.ring, n, 200));
        ends[n + 1] = ends[n] + stream_size(n, 200);
    }
    rtci_chan_publish(t.a.ring);
    assert_int_equal(stream_take(t.b.ring, 0, 4, 200), 4);
    for (uint64_t n = 0; n < 3; n++) /* and three answers */
        assert_true(stream_put(t.b.ring, n, 200));
    rtci_chan_publish(t.b.ring);
    rtci_doorman_retire(t.b.doorman, t.b.lane);
    while (lane_state(t.a.lane) != RTCI_LANE_DEAD)
        party_wait(&t.a, 0);
    assert_int_equal(stream_take(t.a.ring, 0, 100, 200), 3);
    assert_int_equal(rtci_chan_consumed(t.a.ring), ends[4]);
    close_two(&t);
}

/* Whoever breaks the rules on the socket ends that lane, in order: the caller may believe that what
 * it counts as not begun never is. */
static void noise_on_the_socket(void **state)
{
    (void)state;
    struct party a, b;
    uint64_t arena = arena_of_test();
    party_open(&a, arena, 1, true);
    party_open(&b, arena, 2, true);
    assert_int_equal(rtci_doorman_listen(b.doorman), 0);
    struct rtci_lane_hello hello = {RTCI_LANE_MAGIC, RTCI_WIRE_VERSION, 1, 2, arena};
    int file = rtci_chan_create(4096), sock = dial_raw(arena, 2);
    assert_int_equal(rtci_fds_send(sock, &hello, sizeof(hello), (int[]){file, a.fd}, 2), 0);
    party_accept(&b);
    assert_int_equal(read_answer(sock), 0);
    assert_int_equal(send(sock, "noise", 5, MSG_NOSIGNAL), 5);
    while (lane_state(b.lane) == RTCI_LANE_OPEN)
        party_wait(&b, 0);
    assert_int_equal(lane_state(b.lane), RTCI_LANE_CLOSING);
    assert_non_null(strstr(b.lane->why, "nobody asked"));
    rtci_doorman_retire(b.doorman, b.lane);
    assert_int_equal(answer_of(sock), RTC_E_DISCONNECTED);
    /* The other way: the callee is noisy, the caller asks it to close. */
    int listener = rtci_meet_listen(arena, 3);
    struct rtci_lane_answer answer = {RTCI_LANE_MAGIC, RTCI_WIRE_VERSION, 0, 3, ""};
    struct rtci_lane *lane = rtci_doorman_dial(a.doorman, 3);
    struct pollfd fd = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 60000), 1);
    sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(rtci_fds_send(sock, &answer, sizeof(answer), &b.fd, 1), 0);
    assert_int_equal(send(sock, "", 1, MSG_NOSIGNAL), 1);
    while (lane_state(lane) < RTCI_LANE_CLOSING)
        party_wait(&a, 0);
    assert_int_equal(lane_state(lane), RTCI_LANE_CLOSING);
    fd = (struct pollfd){.fd = sock, .events = POLLRDHUP};
    assert_int_equal(poll(&fd, 1, 60000), 1);
    close(sock);
    while (lane_state(lane) != RTCI_LANE_DEAD)
        party_wait(&a, 0);
    close(listener);
    close(file);
    party_close(&a);
    party_close(&b);
}

/* A lane wakes a program that polls rtc_fd(), also when the message comes just before. */
static void event_loops(void **state)
{
    (void)state;
    struct two t;
    uint64_t count;
    open_two(&t);
    struct pollfd fd = {.fd = t.a.wake, .events = POLLIN};
    RTCI_IGNORE(read(t.a.wake, &count, sizeof(count)));
    rtci_doorman_news_clear(t.a.doorman);
    rtci_chan_arm_fd(t.a.chan);
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_true(stream_put(t.b.ring, 0, 200));
    rtci_chan_publish(t.b.ring);
    rtci_chan_ring(t.b.ring);
    assert_int_equal(poll(&fd, 1, 0), 1);
    assert_int_equal(read(t.a.wake, &count, sizeof(count)), sizeof(count));
    rtci_chan_arm_fd(t.a.chan);
    assert_int_equal(poll(&fd, 1, 0), 1);
    assert_int_equal(read(t.a.wake, &count, sizeof(count)), sizeof(count));
    /* So does the end of the other process. */
    assert_int_equal(stream_take(t.a.ring, 0, 9, 200), 1);
    rtci_chan_arm_fd(t.a.chan);
    assert_int_equal(poll(&fd, 1, 0), 0);
    rtci_doorman_retire(t.b.doorman, t.b.lane);
    assert_int_equal(poll(&fd, 1, 60000), 1);
    assert_true(rtci_doorman_news(t.a.doorman));
    close_two(&t);
}

/* Positions that no honest end writes: an error, or a span within the ring. */
static void lying_rings(void **state)
{
    (void)state;
    struct party a, b;
    struct rtci_chan *caller, *callee;
    uint64_t seed = 21;
    party_open(&a, 0, 1, false);
    party_open(&b, 0, 2, false);
    int fd = rtci_chan_create(4096);
    struct rtci_waker wake_a = rtci_waker_of(a.chan), wake_b = rtci_waker_of(b.chan);
    uint64_t *words = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint64_t *wakes = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, a.fd, 0);
    assert_true(words != MAP_FAILED && wakes != MAP_FAILED);
    uint32_t refused = 0;
    for (int round = 0; round < 5000; round++) {
        const void *span;
        size_t len = 0;
        uint32_t at = 2 + draw(&seed) % 1022;
        uint64_t before = words[at], small = draw(&seed) % 8192;
        assert_int_equal(rtci_lane_open(fd, RTCI_CHAN_CALLER, &wake_b, &caller), 0);
        assert_int_equal(rtci_lane_open(fd, RTCI_CHAN_CALLEE, &wake_a, &callee), 0);
        words[at] = draw(&seed) % 2 ? small : (uint64_t)draw(&seed) << 32 | small;
        wakes[512] = draw(&seed); /* what we sleep on is in their hands too */
        struct rtci_chan *both[] = {caller, callee};
        for (int i = 0; i < 2; i++) {
            int rc = rtci_chan_peek(both[i], &span, &len);
            refused += rc != 0;
            assert_true((rc == 0 || rc == RTC_E_PROTOCOL) && len <= 4096);
            assert_true(rtci_chan_room(both[i]) <= 4096);
            assert_true(rtci_chan_consumed(both[i]) <= rtci_chan_written(both[i]));
            if (rtci_chan_reserve(both[i], 64))
                rtci_chan_unreserve(both[i], 64);
            rtci_chan_ring(both[i]);
        }
        words[at] = before;
        rtci_chan_close(caller);
        rtci_chan_close(callee);
    }
    assert_true(refused > 5);
    munmap(words, 8192);
    munmap(wakes, 8192);
    close(fd);
    party_close(&a);
    party_close(&b);
}

/* ---- Deaths ---- */

/* The callee: takes each call, then answers it, and is killed somewhere between. */
static void echo(struct party *p)
{
    uint64_t seen = 0, sent = 0;
    while (lane_state(p->lane) == RTCI_LANE_OPEN) {
        uint64_t before = seen + sent;
        seen = stream_take(p->ring, seen, 1, 200);
        while (sent < seen && stream_put(p->ring, sent, 200))
            sent++;
        rtci_chan_publish(p->ring);
        rtci_chan_ring(p->ring);
        if (seen + sent == before)
            party_wait(p, sent < seen ? 200 : 0);
    }
}

static void callees_die(void **state)
{
    (void)state;
    uint64_t seed = 17;
    for (int round = 0; round < 40; round++) {
        uint64_t arena = arena_of_test();
        struct party p;
        pid_t pid;
        fork_party(&pid);
        party_open(&p, arena, pid ? 1 : 2, true);
        if (!pid) {
            RTCI_ASSERT(rtci_doorman_listen(p.doorman) == 0);
            party_accept(&p);
            echo(&p);
            _exit(0);
        }
        dial_until_open(&p, 2);
        uint64_t sent = 0, seen = 0, until = draw(&seed) % 4000;
        bool killed = false;
        while (lane_state(p.lane) == RTCI_LANE_OPEN) {
            bool full = false;
            for (int i = 0; i < 30 && !full; i++) {
                full = !stream_put(p.ring, sent, 200);
                sent += !full;
            }
            rtci_chan_publish(p.ring);
            rtci_chan_ring(p.ring);
            seen = stream_take(p.ring, seen, 1000, 200);
            if (!killed && seen >= until) {
                kill(pid, SIGKILL);
                killed = true;
            }
            if (full)
                party_wait(&p, 200);
        }
        assert_int_equal(lane_state(p.lane), RTCI_LANE_DEAD);
        seen = stream_take(p.ring, seen, UINT64_MAX, 200);
        /* At most one call was taken and not answered; the position is at the end of a call. */
        uint64_t taken = 0, at = 0, consumed = rtci_chan_consumed(p.ring);
        while (at < consumed)
            at += stream_size(taken++, 200);
        assert_int_equal(at, consumed);
        assert_true(taken <= sent && seen <= taken);
        reap(pid, false);
        party_close(&p);
    }
}

static void callers_die(void **state)
{
    (void)state;
    uint64_t seed = 19;
    for (int round = 0; round < 40; round++) {
        uint64_t arena = arena_of_test();
        struct party p;
        pid_t pid;
        fork_party(&pid);
        party_open(&p, arena, pid ? 2 : 1, true);
        if (!pid) {
            dial_until_open(&p, 2);
            for (uint64_t sent = 0;;) {
                bool full = !stream_put(p.ring, sent, 200);
                sent += !full;
                rtci_chan_publish(p.ring);
                rtci_chan_ring(p.ring);
                if (full)
                    party_wait(&p, 200);
            }
        }
        assert_int_equal(rtci_doorman_listen(p.doorman), 0);
        party_accept(&p);
        uint64_t until = draw(&seed) % 3000, seen = 0;
        while (seen < until) {
            seen = stream_take(p.ring, seen, 20, 200);
            if (seen < until && !rtci_chan_readable(p.ring))
                party_wait(&p, 0);
        }
        kill(pid, SIGKILL);
        while (lane_state(p.lane) != RTCI_LANE_DEAD)
            party_wait(&p, 0);
        stream_take(p.ring, seen, UINT64_MAX, 200); /* what it published is whole */
        reap(pid, false);
        party_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_talk),  cmocka_unit_test(processes_talk),
        cmocka_unit_test(nobody_there),  cmocka_unit_test(given_up),
        cmocka_unit_test(lying_callers), cmocka_unit_test(lying_callee),
        cmocka_unit_test(another_user),  cmocka_unit_test(what_was_begun),
        cmocka_unit_test(event_loops),   cmocka_unit_test(noise_on_the_socket),
        cmocka_unit_test(lying_rings),   cmocka_unit_test(callees_die),
        cmocka_unit_test(callers_die),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
