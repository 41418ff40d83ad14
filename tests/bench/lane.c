/* The bare path of a call: caller and callee, a lane, no daemon. See baselines.h. */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/bounds.h"
#include "runtime/shm/lane.h"
#include "runtime/wire/wire.h"
#include "tests/bench/baselines.h"

#define CALL_SIZE  144u
#define REPLY_SIZE 80u
#define WINDOW     1000

struct path {
    int chan[2], lane;
    struct rtci_chan *mine;
    struct rtci_waker peer;
    struct rtci_chan *ring;
    size_t room;
    pid_t pid;
};

static bool wants(void *arg)
{
    struct path *p = arg;
    return rtci_chan_readable(p->ring) || (p->room && rtci_chan_room(p->ring) >= p->room);
}

static void open_end(struct path *p, int me)
{
    bench_need(rtci_chan_open(p->chan[me], RTCI_CHAN_CLIENT, -1, -1, &p->mine) == 0 &&
                   rtci_waker_open(p->chan[!me], -1, &p->peer) == 0 &&
                   rtci_lane_open(p->lane, me ? RTCI_CHAN_CALLEE : RTCI_CHAN_CALLER, &p->peer,
                                  &p->ring) == 0,
               "lane");
    rtci_chan_watch(p->mine, wants, p);
}

static void wait_for(struct path *p, size_t room)
{
    p->room = room;
    bench_need(rtci_chan_wait(p->mine, room ? SIZE_MAX : 0, UINT64_MAX) == 0, "wait");
    p->room = 0;
}

static void put(struct path *p, uint32_t size)
{
    struct rtci_rec *rec;
    while (!(rec = rtci_chan_reserve(p->ring, size))) {
        rtci_chan_publish(p->ring);
        rtci_chan_ring(p->ring);
        wait_for(p, size);
    }
    memset(rec, 0, size);
    *rec = (struct rtci_rec){.size = size, .type = RTCI_R_DONE};
}

static size_t take(struct path *p, uint32_t size)
{
    const void *span;
    size_t len;
    for (;;) {
        bench_need(rtci_chan_peek(p->ring, &span, &len) == 0, "peek");
        if (len)
            break;
        wait_for(p, 0);
    }
    rtci_chan_advance(p->ring, len);
    rtci_chan_consume(p->ring);
    return len / size;
}

static void open_path(struct path *p, bool pinned)
{
    *p = (struct path){.chan = {rtci_chan_create(4096), rtci_chan_create(4096)},
                       .lane = rtci_chan_create(RTCI_LANE_BYTES)};
    p->pid = fork();
    if (p->pid) {
        open_end(p, 0);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (pinned)
        bench_pin(0, 1);
    for (open_end(p, 1);;) {
        for (size_t n = take(p, CALL_SIZE); n; n--)
            put(p, REPLY_SIZE);
        rtci_chan_publish(p->ring);
        rtci_chan_ring(p->ring);
    }
}

static void close_path(struct path *p)
{
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    rtci_chan_close(p->ring);
    rtci_waker_close(&p->peer);
    rtci_chan_close(p->mine);
    for (int i = 0; i < 2; i++)
        close(p->chan[i]);
    close(p->lane);
}

static void calls(struct path *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(p, CALL_SIZE);
    rtci_chan_publish(p->ring);
    rtci_chan_ring(p->ring);
    while (n)
        n -= take(p, REPLY_SIZE);
}

double base_lane_rtt(void)
{
    static double took[200000];
    struct path p;
    size_t n = 0;
    open_path(&p, true);
    bench_pin(0, 0);
    calls(&p, 1);
    for (double end = bench_now() + bench_seconds; bench_now() < end && n < 200000; n++) {
        double start = bench_now();
        calls(&p, 1);
        took[n] = (bench_now() - start) * 1e6;
    }
    bench_pin(0, -1);
    close_path(&p);
    return bench_median(took, n);
}

double base_lane_path(void)
{
    struct path p;
    open_path(&p, false);
    calls(&p, 1);
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n += WINDOW)
        calls(&p, WINDOW);
    n /= bench_now() - start;
    close_path(&p);
    return n;
}
