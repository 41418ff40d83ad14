/* The engine of light actors alone: Savina's ping-pong, counting actor and fork-join create with
 * their default sizes, inside this process, two threads. Every message goes through a mailbox. */
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/exec/light.h"
#include "tests/bench/bench.h"

#define THREADS   2
#define PINGS     40000
#define COUNTS    1000000
#define FORKS     40000
#define IDLE      100000
#define IDLE_SIZE 64

/* Where the program waits for its actors. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    int64_t result;
} wait_at = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
static _Atomic int64_t forks_left;

static void done(int64_t result)
{
    pthread_mutex_lock(&wait_at.lock);
    wait_at.done = true;
    wait_at.result = result;
    pthread_cond_signal(&wait_at.cond);
    pthread_mutex_unlock(&wait_at.lock);
}

static int64_t wait_done(void)
{
    pthread_mutex_lock(&wait_at.lock);
    while (!wait_at.done)
        pthread_cond_wait(&wait_at.cond, &wait_at.lock);
    wait_at.done = false;
    pthread_mutex_unlock(&wait_at.lock);
    return wait_at.result;
}

static struct rtci_light *start(void)
{
    struct rtci_light *light;
    bench_need(!rtci_light_start(&(struct rtci_light_config){.threads = THREADS}, &light),
               "threads of the light actors");
    return light;
}

enum { START, PING, PONG, ROUND, INCREMENT, RETRIEVE };

struct ping {
    rtci_light_id pong;
    int64_t left;
};

static int ping_once(struct rtci_light_ctx *ctx, struct ping *ping)
{
    ping->left--;
    return rtci_light_tell(ctx, ping->pong, PING, NULL, 0);
}

static int ping_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    struct ping *ping = state;
    if (msg->tag == START)
        memcpy(&ping->pong, msg->data, sizeof(ping->pong));
    if (msg->tag != PONG)
        return ping_once(ctx, ping);
    if (ping->left > 0) /* as Savina's does, through the own mailbox */
        return rtci_light_tell(ctx, rtci_light_self(ctx), ROUND, NULL, 0);
    rtci_light_stop(ctx, ping->pong);
    done(0);
    return RTCI_LIGHT_LEAVE;
}

static int ping_init(void *state, const void *arg)
{
    ((struct ping *)state)->left = *(const int64_t *)arg;
    return 0;
}

static int pong_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    ++*(int64_t *)state;
    return rtci_light_tell(ctx, msg->from, PONG, NULL, 0);
}

static const struct rtci_light_class ping_class = {
    .name = "ping", .state_size = sizeof(struct ping), .init = ping_init, .receive = ping_receive};
static const struct rtci_light_class pong_class = {
    .name = "pong", .state_size = sizeof(int64_t), .receive = pong_receive};

double bench_engine_pingpong(void)
{
    struct rtci_light *light = start();
    struct rtci_light_ctx *out = rtci_light_outside(light);
    double begin = bench_now(), n = 0;
    for (; bench_now() - begin < bench_seconds; n += PINGS) {
        rtci_light_id ping, pong;
        bench_need(!rtci_light_create(out, &ping_class, &(int64_t){PINGS}, &ping) &&
                       !rtci_light_create(out, &pong_class, NULL, &pong),
                   "light actors");
        rtci_light_tell(out, ping, START, &pong, sizeof(pong));
        wait_done();
    }
    double took = bench_now() - begin;
    rtci_light_end(light);
    return took / n * 1e9;
}

static int counter_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    int64_t *count = state;
    if (msg->tag == INCREMENT) {
        ++*count;
        return 0;
    }
    rtci_light_tell(ctx, msg->from, RETRIEVE, count, sizeof(*count));
    return RTCI_LIGHT_LEAVE;
}

static int producer_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    rtci_light_id *counter = state;
    if (msg->tag == RETRIEVE) {
        done(msg->i64[0]);
        return RTCI_LIGHT_LEAVE;
    }
    memcpy(counter, msg->data, sizeof(*counter));
    for (int i = 0; i < COUNTS; i++) {
        int rc = rtci_light_tell(ctx, *counter, INCREMENT, NULL, 0);
        if (rc)
            return rc;
    }
    return rtci_light_tell(ctx, *counter, RETRIEVE, NULL, 0);
}

static const struct rtci_light_class counter_class = {
    .name = "counter", .state_size = sizeof(int64_t), .receive = counter_receive};
static const struct rtci_light_class producer_class = {
    .name = "producer", .state_size = sizeof(rtci_light_id), .receive = producer_receive};

double bench_engine_count(void)
{
    struct rtci_light *light = start();
    struct rtci_light_ctx *out = rtci_light_outside(light);
    double begin = bench_now(), n = 0;
    for (; bench_now() - begin < bench_seconds; n += COUNTS) {
        rtci_light_id producer, counter;
        bench_need(!rtci_light_create(out, &producer_class, NULL, &producer) &&
                       !rtci_light_create(out, &counter_class, NULL, &counter),
                   "light actors");
        rtci_light_tell(out, producer, START, &counter, sizeof(counter));
        if (wait_done() != COUNTS)
            return NAN;
    }
    double took = bench_now() - begin;
    rtci_light_end(light);
    return n / took;
}

static int fork_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    (void)ctx, (void)msg;
    volatile double theta = 37.2;
    double s = sin(theta);
    *(double *)state = s * s;
    return RTCI_LIGHT_LEAVE;
}

static void fork_drop(void *state)
{
    if (*(double *)state > 0 && atomic_fetch_sub(&forks_left, 1) == 1)
        done(0);
}

static const struct rtci_light_class fork_class = {
    .name = "fork", .state_size = sizeof(double), .receive = fork_receive, .drop = fork_drop};

static int forker_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    (void)state, (void)msg;
    for (int i = 0; i < FORKS; i++) {
        rtci_light_id id;
        int rc = rtci_light_create(ctx, &fork_class, NULL, &id);
        if (!rc)
            rc = rtci_light_tell(ctx, id, START, NULL, 0);
        if (rc)
            return rc;
    }
    return 0;
}

static const struct rtci_light_class forker_class = {.name = "forker", .receive = forker_receive};

double bench_engine_create(void)
{
    struct rtci_light *light = start();
    struct rtci_light_ctx *out = rtci_light_outside(light);
    rtci_light_id forker;
    bench_need(!rtci_light_create(out, &forker_class, NULL, &forker), "light actor");
    double begin = bench_now(), n = 0;
    for (; bench_now() - begin < bench_seconds; n += FORKS) {
        atomic_store(&forks_left, FORKS);
        rtci_light_tell(out, forker, START, NULL, 0);
        wait_done();
    }
    double took = bench_now() - begin;
    rtci_light_end(light);
    return n / took;
}

static int idle_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    (void)ctx, (void)msg;
    memset(state, 1, IDLE_SIZE);
    if (atomic_fetch_sub(&forks_left, 1) == 1)
        done(0);
    return 0;
}

static const struct rtci_light_class idle_class = {
    .name = "idle", .state_size = IDLE_SIZE, .receive = idle_receive};

/* Each has got one message; beyond their own state. */
double bench_engine_memory(void)
{
    struct rtci_light *light = start();
    struct rtci_light_ctx *out = rtci_light_outside(light);
    malloc_trim(0); /* what an earlier round has freed is not to be counted as there already */
    double before = bench_pss_mb((int)getpid());
    atomic_store(&forks_left, IDLE);
    for (int i = 0; i < IDLE; i++) {
        rtci_light_id id;
        bench_need(!rtci_light_create(out, &idle_class, NULL, &id), "light actor");
        rtci_light_tell(out, id, START, NULL, 0);
    }
    wait_done();
    double mb = bench_pss_mb((int)getpid()) - before;
    rtci_light_end(light);
    return mb * 1e6 / IDLE - IDLE_SIZE;
}
