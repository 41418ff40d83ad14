/* Ten thousand nodes and ten million tasks: what does one task cost the head? The nodes are played
 * by a few lines (each slot's tasks end in order, all at the next turn), so that all the time
 * measured is the head core's. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/sim.h"

#define BIG_NODE_CPUS 2u
#define BIG_WINDOW    1000000u
#define BIG_BATCH     2000u /* tasks submitted in one turn: what a ring's turn holds */

struct big {
    struct rtci_head_core *head;
    struct rtci_head_actions actions;
    struct rtci_buf *to_head; /* by node */
    uint32_t nodes;
    uint64_t now_ns, head_ns, submitted, done, tasks, turns;
    uint32_t driver, job;
    uint32_t *executor; /* by node: the client that its completions come from */
    struct rtci_buf driver_says;
};

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SIM_S + (uint64_t)t.tv_nsec;
}

static void *say(struct rtci_buf *buf, uint16_t type, size_t size)
{
    size = RTCI_ALIGN8(size);
    struct rtci_rec *rec = rtci_buf_add(buf, size);
    RTCI_ASSERT(rec);
    memset(rec, 0, size);
    *rec = (struct rtci_rec){.size = (uint32_t)size, .type = type};
    return rec;
}

/* All that the nodes say, under one reading of the clock, which is a system call. */
static void receive(struct big *big, uint32_t from, uint32_t to)
{
    uint64_t begin = clock_ns();
    for (uint32_t i = from; i <= to; i++) {
        const struct rtci_buf *span = &big->to_head[i];
        if (span->len)
            rtci_head_core_receive(big->head, big->now_ns, i, 1, span->data, span->len,
                                   &big->actions);
    }
    big->head_ns += clock_ns() - begin;
    for (uint32_t i = from; i <= to; i++)
        rtci_buf_clear(&big->to_head[i]);
}

static void on_task(struct big *big, uint32_t node, const struct rtci_spec *spec)
{
    struct rtci_buf *out = &big->to_head[node];
    size_t inner = sizeof(struct rtci_done) + sizeof(struct rtci_resolved) + 16;
    struct rtci_wrap *wrap = say(out, RTCI_R_FROM_CLIENT, sizeof(*wrap) + inner);
    wrap->client = big->executor[node];
    struct rtci_done *done = (struct rtci_done *)(wrap + 1);
    done->rec = (struct rtci_rec){.size = (uint32_t)inner, .type = RTCI_R_DONE};
    done->seq = spec->seq;
    done->client = spec->client;
    done->attempt = spec->attempt;
    done->n_returns = 1;
    done->run_ns = 100000;
    struct rtci_resolved *row = (struct rtci_resolved *)(done + 1);
    row->size = 16;
    row->offset = sizeof(*done) + sizeof(*row);
}

static void on_wrapped(struct big *big, const struct rtci_wrap *wrap)
{
    uint64_t first = 0, n = 0, bytes = 0;
    for (size_t at = sizeof(*wrap); at < wrap->rec.size;) {
        const struct rtci_done *done = (const struct rtci_done *)((const char *)wrap + at);
        if (done->rec.type == RTCI_R_RESULT) {
            first = done->seq;
            n++;
            bytes += done->rec.size;
            big->done++;
            struct rtci_range *range = say(&big->driver_says, RTCI_R_RELEASE, sizeof(*range));
            range->seq = first;
            range->count = 1;
            range->client = big->driver;
            range->index = RTCI_ALL_RETURNS;
        }
        at += done->rec.size;
    }
    struct rtci_credit *credit = say(&big->to_head[1], RTCI_R_CREDIT, sizeof(*credit));
    credit->client = big->driver;
    credit->bytes = bytes;
}

/* The first that asks is the driver. */
static void on_number(struct big *big, uint32_t node, const struct rtci_client_id *id)
{
    if (big->driver) {
        big->executor[node] = id->client;
        return;
    }
    big->driver = id->client;
    big->job = id->job;
}

static void deliver(struct big *big)
{
    for (uint32_t i = 0; i < big->actions.n_out; i++) {
        struct rtci_out *out = &big->actions.out[i];
        for (size_t at = 0; at < out->buf.len;) {
            const struct rtci_rec *rec = (const struct rtci_rec *)(out->buf.data + at);
            if (rec->type == RTCI_R_TASK)
                on_task(big, out->node, (const struct rtci_spec *)rec);
            else if (rec->type == RTCI_R_TO_CLIENT)
                on_wrapped(big, (const struct rtci_wrap *)rec);
            else if (rec->type == RTCI_R_CLIENT_ID)
                on_number(big, out->node, (const struct rtci_client_id *)rec);
            at += rec->size;
        }
    }
    uint64_t begin = clock_ns();
    rtci_head_actions_clear(&big->actions);
    big->head_ns += clock_ns() - begin;
}

static void submit(struct big *big)
{
    for (uint32_t i = 0;
         i < BIG_BATCH && big->submitted < big->tasks && big->submitted - big->done < BIG_WINDOW;
         i++) {
        struct rtci_spec *spec =
            say(&big->driver_says, RTCI_R_SUBMIT, sizeof(*spec) + sizeof(struct rtci_arg) + 16);
        spec->seq = ++big->submitted;
        spec->client = big->driver;
        spec->function = 77;
        spec->n_returns = 1;
        spec->n_args = 1;
        spec->data_size = 16;
        ((struct rtci_arg *)(spec + 1))->size = 16;
    }
    if (!big->driver_says.len)
        return;
    struct rtci_buf *out = &big->to_head[1];
    struct rtci_wrap *wrap = say(out, RTCI_R_FROM_CLIENT, sizeof(*wrap));
    wrap->client = big->driver;
    wrap->rec.size += (uint32_t)big->driver_says.len;
    rtci_buf_put(out, big->driver_says.data, big->driver_says.len);
    rtci_buf_clear(&big->driver_says);
}

static void tick(struct big *big)
{
    uint64_t begin = clock_ns();
    rtci_head_core_tick(big->head, big->now_ns, &big->actions);
    big->head_ns += clock_ns() - begin;
    deliver(big);
    big->turns++;
    big->now_ns += 100 * SIM_US;
}

static void join(struct big *big)
{
    for (uint32_t i = 1; i <= big->nodes; i++) {
        rtci_head_core_node_up(big->head, big->now_ns, i, 1, &big->actions);
        struct rtci_node_hello *hello = say(&big->to_head[i], RTCI_R_NODE_HELLO, sizeof(*hello));
        hello->incarnation = 1;
        hello->cpu = 10000 * BIG_NODE_CPUS;
        hello->mem = RTCI_GIB;
        say(&big->to_head[i], RTCI_R_NODE_READY, sizeof(struct rtci_rec));
        receive(big, i, i);
    }
    struct rtci_client_new *client = say(&big->to_head[1], RTCI_R_CLIENT_NEW, sizeof(*client));
    client->token = 1;
    client->role = RTCI_ROLE_DRIVER;
    client->job_lo = 1;
    receive(big, 1, 1);
    tick(big);
    for (uint32_t i = 1; i <= big->nodes; i++) {
        client = say(&big->to_head[i], RTCI_R_CLIENT_NEW, sizeof(*client));
        client->token = 2;
        client->role = RTCI_ROLE_EXECUTOR;
        client->job = big->job;
    }
    receive(big, 1, big->nodes);
    tick(big);
    struct rtci_shape *shape = say(&big->driver_says, RTCI_R_SHAPE, sizeof(*shape));
    shape->cpu = 10000;
}

int sim_big(uint32_t nodes, uint64_t tasks, uint64_t seed, bool json)
{
    static struct big big;
    big = (struct big){.nodes = nodes, .tasks = tasks, .now_ns = SIM_S};
    big.to_head = calloc(nodes + 1, sizeof(*big.to_head));
    big.executor = calloc(nodes + 1, sizeof(*big.executor));
    struct rtci_head_config config = {.epoch = 1, .now_ns = big.now_ns, .seed = seed};
    if (!big.to_head || !big.executor || nodes > RTCI_NODES_MAX ||
        rtci_head_core_create(&config, &big.head) != 0) {
        fputs("rtc-sim: no memory, or more nodes than rtc takes\n", stderr);
        return 1;
    }
    rtci_head_core_recovered(big.head, big.now_ns, 0);
    join(&big);
    if (!big.driver) {
        fputs("rtc-sim: the driver got no number\n", stderr);
        return 1;
    }
    big.head_ns = 0;
    while (big.done < tasks) {
        submit(&big);
        receive(&big, 1, nodes);
        tick(&big);
        if (big.turns > 100 * tasks / nodes + 1000000) {
            fputs("rtc-sim: the head makes no progress\n", stderr);
            return 1;
        }
    }
    double us = (double)big.head_ns / 1e3 / (double)tasks;
    if (json)
        printf("{\"head_us_per_task\":%.4f,\"nodes\":%u,\"tasks\":%llu,\"turns\":%llu}\n", us,
               nodes, (unsigned long long)tasks, (unsigned long long)big.turns);
    else
        printf("head core: %.3f us per task; %llu tasks on %u nodes in %llu turns\n", us,
               (unsigned long long)tasks, nodes, (unsigned long long)big.turns);
    for (uint32_t i = 0; i <= nodes; i++)
        rtci_buf_fini(&big.to_head[i]);
    free(big.to_head);
    free(big.executor);
    rtci_buf_fini(&big.driver_says);
    rtci_head_core_destroy(big.head);
    rtci_head_actions_fini(&big.actions);
    return 0;
}
