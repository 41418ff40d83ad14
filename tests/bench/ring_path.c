/* The bare task path: see baselines.h. The records are as long as rtc's for a no-op. */
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lmdb.h>

#include "runtime/base/bounds.h"
#include "runtime/shm/chan.h"
#include "runtime/wire/wire.h"
#include "tests/bench/baselines.h"

#define CHANNELS  3 /* the driver's, and two executors' */
#define TASK_SIZE 96u
#define DONE_SIZE 80u
#define WINDOW    1000

struct path {
    int fd[CHANNELS], bell;
    pid_t pid[CHANNELS];
    struct rtci_chan *chan[CHANNELS];
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t number;
    char file[64];
};

/* ---- Journal ---- */

static void journal_open(struct path *path)
{
    MDB_txn *txn;
    snprintf(path->file, sizeof(path->file), "/tmp/rtc-bench-XXXXXX");
    int fd = mkstemp(path->file);
    bench_need(fd >= 0, "mkstemp");
    close(fd);
    unsigned flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NORDAHEAD | MDB_NOMEMINIT | MDB_NOTLS |
                     MDB_NOSYNC | MDB_NOMETASYNC; /* those of runtime/store */
    bench_need(!mdb_env_create(&path->env) && !mdb_env_set_mapsize(path->env, 8 * RTCI_GIB) &&
                   !mdb_env_open(path->env, path->file, flags, 0600) &&
                   !mdb_txn_begin(path->env, NULL, 0, &txn) &&
                   !mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &path->dbi) && !mdb_txn_commit(txn),
               "lmdb");
}

static void journal(struct path *path, const void *data, size_t len)
{
    MDB_txn *txn;
    uint64_t number = ++path->number;
    MDB_val key = {sizeof(number), &number}, value = {len, NULL};
    bench_need(!mdb_txn_begin(path->env, NULL, 0, &txn) &&
                   !mdb_put(txn, path->dbi, &key, &value, MDB_APPEND | MDB_RESERVE),
               "mdb_put");
    memcpy(value.mv_data, data, len);
    bench_need(!mdb_txn_commit(txn), "mdb_txn_commit");
}

/* ---- Processes ---- */

static void send_one(struct rtci_chan *chan, uint16_t type, uint32_t size, uint64_t number)
{
    struct rtci_rec *rec;
    while (!(rec = rtci_chan_reserve(chan, size)))
        bench_need(rtci_chan_wait(chan, size, UINT64_MAX) == 0, "wait");
    memset(rec, 0, size);
    *rec = (struct rtci_rec){.size = size, .type = type};
    memcpy(rec + 1, &number, sizeof(number));
}

static void executor(struct path *path, int which, bool pinned)
{
    struct rtci_chan *chan;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (pinned)
        bench_pin(0, 0);
    bench_need(rtci_chan_open(path->fd[which], RTCI_CHAN_CLIENT, path->bell, -1, &chan) == 0,
               "open");
    for (;;) {
        const void *span;
        size_t len;
        bench_need(rtci_chan_peek(chan, &span, &len) == 0, "peek");
        if (!len) {
            bench_need(rtci_chan_wait(chan, 0, UINT64_MAX) == 0, "wait");
            continue;
        }
        for (size_t at = 0; at < len; at += TASK_SIZE)
            send_one(chan, RTCI_R_DONE, DONE_SIZE, at);
        rtci_chan_publish(chan);
        rtci_chan_advance(chan, len);
        rtci_chan_consume(chan);
        rtci_chan_ring(chan);
    }
}

/* One direction of the daemon's turn: copy out, commit, pass on, take out. */
static bool pass(struct path *path, int from, uint8_t *copy, unsigned *turn)
{
    const void *span;
    size_t len;
    bench_need(rtci_chan_peek(path->chan[from], &span, &len) == 0, "peek");
    if (!len)
        return false;
    uint32_t size = from ? DONE_SIZE : TASK_SIZE;
    memcpy(copy, span, len);
    journal(path, copy, len);
    for (size_t at = 0; at < len; at += size) {
        int to = from ? 0 : 1 + (int)(*turn)++ % 2;
        if (path->fd[to] < 0)
            to = 1; /* one executor only */
        void *out;
        while (!(out = rtci_chan_reserve(path->chan[to], size)))
            rtci_chan_ring(path->chan[to]);
        memcpy(out, copy + at, size);
    }
    rtci_chan_advance(path->chan[from], len);
    rtci_chan_consume(path->chan[from]);
    for (int to = 0; to < CHANNELS; to++) {
        if (to != from && path->chan[to]) {
            rtci_chan_publish(path->chan[to]);
            rtci_chan_ring(path->chan[to]);
        }
    }
    return true;
}

static void daemon_loop(struct path *path, bool pinned)
{
    uint8_t *copy = malloc(RTCI_RING_BYTES);
    unsigned turn = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (pinned)
        bench_pin(0, 1);
    for (int i = 0; i < CHANNELS; i++) {
        if (path->fd[i] >= 0)
            bench_need(
                rtci_chan_open(path->fd[i], RTCI_CHAN_DAEMON, path->bell, -1, &path->chan[i]) == 0,
                "open");
    }
    journal_open(path);
    unlink(path->file);
    for (;;) {
        bool any = false;
        for (int i = 0; i < CHANNELS; i++)
            any |= path->chan[i] && pass(path, i, copy, &turn);
        if (any)
            continue;
        for (int i = 0; i < CHANNELS; i++)
            any |= path->chan[i] && rtci_chan_arm(path->chan[i]);
        uint64_t n;
        if (!any)
            bench_need(read(path->bell, &n, sizeof(n)) == sizeof(n), "read");
        for (int i = 0; i < CHANNELS; i++) {
            if (path->chan[i])
                rtci_chan_disarm(path->chan[i]);
        }
    }
}

static void open_path(struct path *path, int executors, bool pinned)
{
    *path = (struct path){.bell = eventfd(0, EFD_CLOEXEC)};
    for (int i = 0; i < CHANNELS; i++)
        path->fd[i] = i <= executors ? rtci_chan_create(RTCI_RING_BYTES) : -1;
    for (int i = 1; i <= executors; i++) {
        path->pid[i] = fork();
        if (path->pid[i] == 0)
            executor(path, i, pinned);
    }
    pid_t daemon = fork();
    if (daemon == 0)
        daemon_loop(path, pinned);
    path->pid[0] = daemon;
    bench_need(rtci_chan_open(path->fd[0], RTCI_CHAN_CLIENT, path->bell, -1, &path->chan[0]) == 0,
               "open");
}

static void close_path(struct path *path)
{
    rtci_chan_close(path->chan[0]);
    for (int i = 0; i < CHANNELS; i++) {
        if (path->pid[i]) {
            kill(path->pid[i], SIGKILL);
            waitpid(path->pid[i], NULL, 0);
        }
        if (path->fd[i] >= 0)
            close(path->fd[i]);
    }
    close(path->bell);
}

static size_t results(struct path *path, size_t want)
{
    size_t got = 0;
    while (got < want) {
        const void *span;
        size_t len;
        bench_need(rtci_chan_peek(path->chan[0], &span, &len) == 0, "peek");
        if (!len) {
            bench_need(rtci_chan_wait(path->chan[0], 0, UINT64_MAX) == 0, "wait");
            continue;
        }
        got += len / DONE_SIZE;
        rtci_chan_advance(path->chan[0], len);
        rtci_chan_consume(path->chan[0]);
    }
    return got;
}

static void submit(struct path *path, size_t n)
{
    for (size_t i = 0; i < n; i++)
        send_one(path->chan[0], RTCI_R_SUBMIT, TASK_SIZE, i);
    rtci_chan_publish(path->chan[0]);
    rtci_chan_ring(path->chan[0]);
}

double base_ring_path_sync(void)
{
    static double took[100000];
    struct path path;
    size_t n = 0;
    open_path(&path, 1, true);
    bench_pin(0, 0);
    submit(&path, 1);
    results(&path, 1);
    for (double end = bench_now() + bench_seconds; bench_now() < end && n < 100000; n++) {
        double start = bench_now();
        submit(&path, 1);
        results(&path, 1);
        took[n] = (bench_now() - start) * 1e6;
    }
    bench_pin(0, -1);
    close_path(&path);
    return bench_median(took, n);
}

double base_ring_path(void)
{
    struct path path;
    open_path(&path, 2, false);
    submit(&path, 1);
    results(&path, 1);
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n += WINDOW) {
        submit(&path, WINDOW);
        results(&path, WINDOW);
    }
    n /= bench_now() - start;
    close_path(&path);
    return n;
}
