/* Round trips, LMDB, spawning, ZeroMQ and OpenBLAS: see baselines.h. */
#include "tests/bench/baselines.h"

#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cblas.h>
#include <lmdb.h>
#include <zmq.h>

/* ---- Round trips: a child that answers ---- */

typedef void swap_fn(void *arg, bool child);

static double round_trips(swap_fn *swap, void *arg)
{
    static double took[200000];
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bench_pin(0, 1);
        for (;;)
            swap(arg, true);
    }
    bench_pin(0, 0);
    unsigned long n = 0;
    for (double end = bench_now() + bench_seconds; bench_now() < end && n < 200000; n++) {
        double start = bench_now();
        swap(arg, false);
        took[n] = (bench_now() - start) * 1e6;
    }
    bench_pin(0, -1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return bench_median(took, n);
}

struct words {
    _Alignas(128) _Atomic uint32_t turn; /* 0: the parent's, 1: the child's */
    _Alignas(128) char message[64];
};

static double word_trips(swap_fn *swap)
{
    struct words *w =
        mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bench_need(w != MAP_FAILED, "mmap");
    double us = round_trips(swap, w);
    munmap(w, sizeof(*w));
    return us;
}

static void futex_until(struct words *w, uint32_t mine)
{
    uint32_t turn;
    while ((turn = atomic_load(&w->turn)) != mine)
        syscall(SYS_futex, &w->turn, FUTEX_WAIT, turn, NULL, NULL, 0);
}

static void futex_give(struct words *w, uint32_t to)
{
    memset(w->message, (int)to, sizeof(w->message));
    atomic_store(&w->turn, to);
    syscall(SYS_futex, &w->turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void futex_swap(void *arg, bool child)
{
    if (child)
        futex_until(arg, 1);
    futex_give(arg, !child);
    if (!child)
        futex_until(arg, 0);
}

double base_futex_rtt(void)
{
    return word_trips(futex_swap);
}

static void spin_until(struct words *w, uint32_t mine)
{
    while (atomic_load_explicit(&w->turn, memory_order_acquire) != mine)
        ;
}

static void spin_swap(void *arg, bool child)
{
    struct words *w = arg;
    if (child)
        spin_until(w, 1);
    memset(w->message, child, sizeof(w->message));
    atomic_store_explicit(&w->turn, !child, memory_order_release);
    if (!child)
        spin_until(w, 0);
}

double base_spin_rtt(void)
{
    return word_trips(spin_swap);
}

static void uds_swap(void *arg, bool child)
{
    int fd = ((int *)arg)[child];
    char message[64] = {0};
    if (child)
        bench_need(recv(fd, message, sizeof(message), 0) > 0, "recv");
    bench_need(send(fd, message, sizeof(message), 0) > 0, "send");
    if (!child)
        bench_need(recv(fd, message, sizeof(message), 0) > 0, "recv");
}

double base_uds_rtt(void)
{
    int pair[2];
    bench_need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    double us = round_trips(uds_swap, pair);
    close(pair[0]);
    close(pair[1]);
    return us;
}

/* ---- LMDB and processes ---- */

double base_lmdb_put(void)
{
    char file[] = "/tmp/rtc-bench-XXXXXX";
    int fd = mkstemp(file);
    MDB_env *env;
    MDB_dbi dbi = 0;
    MDB_txn *txn;
    bench_need(fd >= 0, "mkstemp");
    close(fd);
    bench_need(
        !mdb_env_create(&env) && !mdb_env_set_mapsize(env, (size_t)8 << 30) &&
            !mdb_env_open(env, file, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NOMETASYNC, 0600),
        "lmdb");
    unlink(file);
    uint64_t n = 0;
    char bytes[100] = {0};
    double start = bench_now();
    for (; bench_now() - start < bench_seconds; n++) {
        MDB_val key = {sizeof(n), &n}, value = {sizeof(bytes), bytes};
        bench_need(!mdb_txn_begin(env, NULL, 0, &txn) &&
                       (dbi || !mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi)) &&
                       !mdb_put(txn, dbi, &key, &value, MDB_APPEND) && !mdb_txn_commit(txn),
                   "mdb_put");
    }
    double us = (bench_now() - start) * 1e6 / (double)n;
    mdb_env_close(env);
    return us;
}

double base_spawn(void)
{
    char name[] = "/bin/true", *argv[] = {name, NULL}, *env[] = {NULL};
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n++) {
        pid_t pid;
        bench_need(posix_spawn(&pid, name, NULL, NULL, argv, env) == 0, "posix_spawn");
        waitpid(pid, NULL, 0);
    }
    return (bench_now() - start) * 1e6 / n;
}

/* ---- ZeroMQ: over loopback TCP, the other end in a child with a context of its own ---- */

struct zmq_end {
    void *context, *socket;
};

static const char *curve_key(int which)
{
    static char keys[2][41]; /* public, secret: one pair serves both ends */
    if (!keys[0][0])
        bench_need(zmq_curve_keypair(keys[0], keys[1]) == 0, "zmq_curve_keypair");
    return keys[which];
}

static struct zmq_end zmq_end(int type, bool curve, bool server)
{
    struct zmq_end end = {.context = zmq_ctx_new()};
    end.socket = zmq_socket(end.context, type);
    int none = 0, yes = 1;
    zmq_setsockopt(end.socket, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(end.socket, ZMQ_SNDHWM, &(int){1000}, sizeof(int));
    if (curve) {
        zmq_setsockopt(end.socket, ZMQ_CURVE_PUBLICKEY, curve_key(0), 41);
        zmq_setsockopt(end.socket, ZMQ_CURVE_SECRETKEY, curve_key(1), 41);
    }
    if (curve && server)
        zmq_setsockopt(end.socket, ZMQ_CURVE_SERVER, &yes, sizeof(yes));
    else if (curve)
        zmq_setsockopt(end.socket, ZMQ_CURVE_SERVERKEY, curve_key(0), 41);
    return end;
}

static void zmq_close_end(struct zmq_end *end)
{
    zmq_close(end->socket);
    zmq_ctx_term(end->context);
}

/* The child connects and either echoes or sends messages of `size` for ever. */
static pid_t zmq_child(const char *address, int type, bool curve, size_t size)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct zmq_end end = zmq_end(type, curve, false);
    char *bytes = calloc(1, size ? size : 64);
    bench_need(zmq_connect(end.socket, address) == 0, "zmq_connect");
    for (;;) {
        int n = (int)size;
        if (!size)
            n = zmq_recv(end.socket, bytes, 64, 0);
        if (n >= 0)
            zmq_send(end.socket, bytes, (size_t)n, 0);
    }
}

/* Binds before the fork would start threads that a child lacks: the address comes by a first bind.
 */
static void free_address(char *address, size_t size)
{
    struct zmq_end end = zmq_end(ZMQ_PAIR, false, true);
    bench_need(zmq_bind(end.socket, "tcp://127.0.0.1:*") == 0, "zmq_bind");
    zmq_getsockopt(end.socket, ZMQ_LAST_ENDPOINT, address, &size);
    zmq_close_end(&end);
}

static double zmq_rtt(bool curve)
{
    static double took[100000];
    char address[64], bytes[64] = {0};
    curve_key(0);
    free_address(address, sizeof(address));
    pid_t pid = zmq_child(address, ZMQ_PAIR, curve, 0);
    struct zmq_end end = zmq_end(ZMQ_PAIR, curve, true);
    bench_need(zmq_bind(end.socket, address) == 0, "zmq_bind");
    unsigned long n = 0;
    zmq_send(end.socket, bytes, sizeof(bytes), 0);
    zmq_recv(end.socket, bytes, sizeof(bytes), 0);
    for (double stop = bench_now() + bench_seconds; bench_now() < stop && n < 100000; n++) {
        double start = bench_now();
        zmq_send(end.socket, bytes, sizeof(bytes), 0);
        zmq_recv(end.socket, bytes, sizeof(bytes), 0);
        took[n] = (bench_now() - start) * 1e6;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    zmq_close_end(&end);
    return bench_median(took, n);
}

double base_zmq_tcp_rtt(void)
{
    return zmq_rtt(false);
}

double base_zmq_curve_rtt(void)
{
    return zmq_rtt(true);
}

static double zmq_rate(bool curve, size_t size)
{
    char address[64], *bytes = malloc(size);
    curve_key(0);
    free_address(address, sizeof(address));
    pid_t pid = zmq_child(address, ZMQ_PUSH, curve, size);
    struct zmq_end end = zmq_end(ZMQ_PULL, curve, true);
    bench_need(bytes && zmq_bind(end.socket, address) == 0, "zmq_bind");
    zmq_recv(end.socket, bytes, size, 0);
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n += 10) {
        for (int i = 0; i < 10; i++)
            zmq_recv(end.socket, bytes, size, 0);
    }
    n /= bench_now() - start;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    zmq_close_end(&end);
    free(bytes);
    return n;
}

double base_zmq_tcp_msgs(void)
{
    return zmq_rate(false, 64);
}

double base_zmq_curve(void)
{
    return zmq_rate(true, 1 << 20) * (1 << 20) / 1e9;
}

/* ---- Matrices ---- */

double base_sgemm(void)
{
    enum { M = 128, N = 256, K = 256 };
    static float a[M * K], b[K * N], c[M * N];
    openblas_set_num_threads(1);
    for (int i = 0; i < M * K; i++)
        a[i] = (float)(i % 7);
    for (int i = 0; i < K * N; i++)
        b[i] = (float)(i % 5);
    double start = bench_now(), n = 0;
    for (; bench_now() - start < bench_seconds; n += 10) {
        for (int i = 0; i < 10; i++)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, M, N, K, 1, a, K, b, N, 0, c, N);
    }
    return n * 2.0 * M * N * K / (bench_now() - start) / 1e9;
}
