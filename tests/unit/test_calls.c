/* Calls between nodes over a carrier that loses, repeats, delays and is cut, with daemons that are
 * started again and nodes that are lost: each call is executed at most once and in order, and has
 * one outcome, which is true. Time is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rtc/error.h>

#include "runtime/base/buf.h"
#include "runtime/core/calls.h"
#include "tests/lib/rng.h"

#define NODES  3u
#define FRAMES 8192u
#define CALLS  4096u
#define RING   65536u
#define MS     1000000ull

enum outcome { OPEN, DONE, NEVER_RAN, UNKNOWN };
struct call {
    uint32_t from, to;
    uint64_t from_life, to_life, order;
    uint32_t ran, answers;
    enum outcome outcome;
};
struct frame {
    uint32_t from, to;
    uint64_t at_ns, order, size;
    uint8_t *data;
};
struct record { /* in the ring of the node's one process, which calls and is an actor */
    uint64_t call;
    bool reply, again; /* again: by its caller, whose daemon was started again */
};
struct node {
    struct net *net;
    struct rtci_calls *calls;
    uint32_t number;
    uint64_t life, instance, orders[NODES + 1];     /* orders: of calls made to each */
    uint64_t seen_life[NODES + 1], done[NODES + 1]; /* done: order of the last call of each */
    uint64_t known[NODES + 1];                      /* lives, as the head told them */
    struct record ring[RING];
    uint32_t written, read, mark, consumed;
    uint64_t mark_sent;
    struct rtci_buf out[NODES + 1]; /* of this turn */
    bool marked, turn_due, watched[NODES + 1];
};
struct net {
    struct node nodes[NODES + 1]; /* by number */
    struct frame frames[FRAMES];
    uint32_t n_frames, loss, twice, late; /* of 100 */
    bool cut[NODES + 1][NODES + 1], full;
    struct rng rng;
    uint64_t now_ns, lives, n_calls, executed, restarts, order;
    struct call call[CALLS + 1];
};

static void put_frame(struct net *net, uint32_t from, uint32_t to, const struct rtci_buf *whole)
{
    if (net->n_frames == FRAMES)
        return; /* lost */
    struct frame *at = &net->frames[net->n_frames++];
    *at = (struct frame){from,         to,         net->now_ns + MS / 10,
                         net->order++, whole->len, malloc(whole->len)};
    assert_non_null(at->data);
    memcpy(at->data, whole->data, whole->len);
    if (rng_below(&net->rng, 100) < net->late)
        at->at_ns += rng_below(&net->rng, 30) * MS;
}

static int on_send(void *arg, uint32_t to, const void *head, size_t head_size, const void *data,
                   size_t size)
{
    struct node *node = arg;
    struct net *net = node->net;
    struct rtci_buf whole = {0};
    if (net->cut[node->number][to] && rng_below(&net->rng, 2))
        return RTC_E_DISCONNECTED; /* else it is lost on its way */
    if (net->full && rng_below(&net->rng, 4) == 0)
        return RTC_E_AGAIN;
    rtci_buf_put(&whole, head, head_size);
    rtci_buf_put(&whole, data, size);
    for (uint32_t n = rng_below(&net->rng, 100) < net->twice ? 2 : 1; n > 0; n--) {
        if (!net->cut[node->number][to] && rng_below(&net->rng, 100) >= net->loss)
            put_frame(net, node->number, to, &whole);
    }
    rtci_buf_fini(&whole);
    return 0;
}

static void on_watch(void *arg, uint32_t to)
{
    ((struct node *)arg)->watched[to] = true;
}

static void ring_put(struct node *node, uint64_t call, bool reply)
{
    assert_true(node->written < RING);
    node->ring[node->written++] = (struct record){call, reply, false};
    node->turn_due = true;
}

/* The actor executes what it has not seen yet. */
static void on_call(struct node *node, const struct rtci_spec *spec)
{
    struct net *net = node->net;
    struct call *call = &net->call[spec->seq];
    const struct rtci_call *c = rtci_spec_call(spec);
    assert_true(call->to == node->number);
    if (c->incarnation != (uint32_t)node->life) {
        struct rtci_call_answer answer;
        rtci_call_answer(&answer, spec->seq, spec->client, c,
                         spec->flags & RTCI_SPEC_REPEATED ? RTCI_REPLY_UNKNOWN
                                                          : RTCI_REPLY_NEVER_RAN,
                         "another incarnation");
        rtci_calls_send(node->calls, net->now_ns, call->from, &answer, sizeof(answer));
        return;
    }
    if (spec->flags & RTCI_SPEC_ASK)
        return; /* its answer is on its way, or will be */
    uint32_t from = call->from;
    if (node->seen_life[from] != call->from_life) {
        assert_true(node->seen_life[from] < call->from_life);
        node->seen_life[from] = call->from_life;
        node->done[from] = 0;
    }
    if (call->order <= node->done[from])
        return; /* repeated: its answer is on its way */
    assert_int_equal(call->order, node->done[from] + 1);
    node->done[from]++;
    call->ran++;
    net->executed++;
    ring_put(node, spec->seq, true);
}

static void on_reply(struct node *node, const struct rtci_done *done)
{
    struct call *call = &node->net->call[done->seq];
    assert_true(call->from == node->number);
    if (call->from_life != node->life || call->outcome != OPEN)
        return; /* of a process that is not any more, or repeated */
    call->outcome = done->rec.flags & RTCI_REPLY_NEVER_RAN ? NEVER_RAN
                    : done->rec.flags & RTCI_REPLY_UNKNOWN ? UNKNOWN
                                                           : DONE;
    assert_true(call->outcome != DONE || call->ran == 1);
    assert_true(call->outcome != NEVER_RAN || call->ran == 0);
}

static void on_span(void *arg, uint32_t from, const void *span, size_t size)
{
    struct node *node = arg;
    assert_true(from != node->number);
    for (size_t at = 0; at < size;) {
        const void *rec = (const char *)span + at;
        at += ((const struct rtci_rec *)rec)->size;
        if (((const struct rtci_rec *)rec)->type == RTCI_R_ACTOR_CALL)
            on_call(node, rec);
        else
            on_reply(node, rec);
    }
}

/* ---- A daemon ---- */

static void send_call(struct node *node, uint64_t seq, uint16_t flags)
{
    const struct call *call = &node->net->call[seq];
    struct {
        struct rtci_spec spec;
        struct rtci_call call;
    } rec = {.spec = {.rec = {sizeof(rec), RTCI_R_ACTOR_CALL, 0},
                      .seq = seq,
                      .client = node->number * 10,
                      .n_returns = 1,
                      .flags = RTCI_SPEC_CALL | flags,
                      .name_len = sizeof(struct rtci_call)},
             .call = {.order = call->order,
                      .node = call->to,
                      .incarnation = (uint32_t)call->to_life,
                      .caller_node = node->number}};
    rtci_buf_put(&node->out[call->to], &rec, sizeof(rec));
}

static void send_reply(struct node *node, uint64_t seq)
{
    const struct call *call = &node->net->call[seq];
    struct {
        struct rtci_done done;
        struct rtci_resolved row;
        uint64_t value;
    } rec = {.done = {.rec = {sizeof(rec), RTCI_R_ACTOR_REPLY, 0},
                      .seq = seq,
                      .client = call->from * 10,
                      .attempt = call->from,
                      .n_returns = 1},
             .row = {.size = 8, .offset = offsetof(__typeof__(rec), value)}};
    rtci_buf_put(&node->out[call->from], &rec, sizeof(rec));
}

static void send_out(struct node *node)
{
    for (uint32_t i = 1; i <= NODES; i++) {
        if (node->out[i].len)
            rtci_calls_send(node->calls, node->net->now_ns, i, node->out[i].data, node->out[i].len);
        rtci_buf_fini(&node->out[i]);
    }
}

static void turn(struct node *node, bool repeated)
{
    struct net *net = node->net;
    node->turn_due = false;
    while (node->read < node->written) {
        const struct record *rec = &node->ring[node->read++];
        if (rec->reply)
            send_reply(node, rec->call);
        else
            send_call(node, rec->call,
                      (repeated || rec->again ? RTCI_SPEC_REPEATED : 0) |
                          (rec->again ? RTCI_SPEC_ASK : 0));
    }
    send_out(node);
    rtci_calls_commit(node->calls);
    rtci_calls_flush(node->calls, net->now_ns);
    if (node->marked && rtci_calls_settled(node->calls) >= node->mark_sent) {
        node->consumed = node->mark;
        node->marked = false;
    }
    if (!node->marked) {
        node->marked = true;
        node->mark = node->read;
        node->mark_sent = rtci_calls_sent(node->calls);
    }
}

static void daemon_start(struct net *net, uint32_t i)
{
    static const struct rtci_calls_ops ops = {on_send, on_span, on_watch};
    struct node *node = &net->nodes[i];
    net->restarts += node->calls != NULL;
    rtci_calls_free(node->calls);
    node->calls = rtci_calls_create(&ops, node, ++node->instance);
    assert_non_null(node->calls);
    node->read = node->consumed;
    node->marked = false;
    rtci_calls_life(node->calls, net->now_ns, node->life);
    turn(node, true);
    for (uint64_t k = 1; k <= net->n_calls; k++) {
        const struct call *call = &net->call[k];
        if (call->from != i || call->from_life != node->life || call->outcome != OPEN)
            continue;
        ring_put(node, k, false);
        node->ring[node->written - 1].again = true;
    }
}

/* The node is lost, with its process; the head tells, and it comes back. The order in which others
 * hear of it is any. */
static void lose(struct net *net, uint32_t i)
{
    struct node *node = &net->nodes[i];
    uint64_t gone = net->lives, told = rng_below(&net->rng, 2);
    node->life = ++net->lives;
    node->written = node->read = node->consumed = 0;
    node->marked = false;
    memset(node->seen_life, 0, sizeof(node->seen_life));
    for (uint32_t k = 1; k <= NODES; k++) {
        node->orders[k] = net->nodes[k].orders[i] = 0;
        net->nodes[k].known[i] = node->life;
        node->known[k] = net->nodes[k].life;
        if (k != i && told && net->nodes[k].watched[i])
            rtci_calls_gone(net->nodes[k].calls, net->now_ns, i, gone, true);
    }
    if (rng_below(&net->rng, 2))
        daemon_start(net, i); /* its host was started anew, else only its processes ended */
    else
        rtci_calls_life(node->calls, net->now_ns, node->life);
    for (uint32_t k = 1; k <= NODES; k++) {
        if (k != i && !told && net->nodes[k].watched[i])
            rtci_calls_gone(net->nodes[k].calls, net->now_ns, i, gone, true);
        net->nodes[k].turn_due = true;
    }
}

static void make_call(struct net *net, uint32_t from, uint32_t to)
{
    struct node *node = &net->nodes[from];
    if (net->n_calls == CALLS)
        return;
    net->call[++net->n_calls] = (struct call){.from = from,
                                              .to = to,
                                              .from_life = node->life,
                                              .to_life = node->known[to],
                                              .order = ++node->orders[to]};
    ring_put(node, net->n_calls, false);
}

/* ---- The net ---- */

static void start(struct net *net, uint64_t seed)
{
    memset(net, 0, sizeof(*net));
    net->rng = (struct rng){seed};
    net->now_ns = 1000 * MS;
    net->lives = 100;
    for (uint32_t i = 1; i <= NODES; i++) {
        net->nodes[i].net = net;
        net->nodes[i].number = i;
        net->nodes[i].life = ++net->lives;
        for (uint32_t k = 1; k <= NODES; k++)
            net->nodes[k].known[i] = net->nodes[i].life;
    }
    for (uint32_t i = 1; i <= NODES; i++)
        daemon_start(net, i);
}

static void lose_all(struct net *net)
{
    while (net->n_frames)
        free(net->frames[--net->n_frames].data);
}

static void stop(struct net *net)
{
    for (uint32_t i = 1; i <= NODES; i++)
        rtci_calls_free(net->nodes[i].calls);
    lose_all(net);
}

/* One event: the next frame, or a turn. False when nothing is to come. */
static bool step(struct net *net)
{
    uint64_t at_ns = UINT64_MAX;
    uint32_t next = UINT32_MAX, who = 0;
    for (uint32_t i = 0; i < net->n_frames; i++) {
        const struct frame *f = &net->frames[i];
        if (f->at_ns < at_ns || (f->at_ns == at_ns && f->order < net->frames[next].order)) {
            at_ns = net->frames[i].at_ns;
            next = i;
        }
    }
    for (uint32_t i = 1; i <= NODES; i++) {
        uint64_t due =
            net->nodes[i].turn_due ? net->now_ns : rtci_calls_deadline(net->nodes[i].calls);
        if (due < at_ns) {
            at_ns = due;
            who = i;
        }
    }
    if (at_ns == UINT64_MAX)
        return false;
    net->now_ns = at_ns > net->now_ns ? at_ns : net->now_ns;
    if (who) {
        turn(&net->nodes[who], false);
        return true;
    }
    struct frame frame = net->frames[next];
    net->frames[next] = net->frames[--net->n_frames];
    if (!net->cut[frame.from][frame.to])
        rtci_calls_frame(net->nodes[frame.to].calls, net->now_ns, frame.from, frame.data,
                         frame.size);
    net->nodes[frame.to].turn_due = true;
    free(frame.data);
    return true;
}

static void settle(struct net *net)
{
    memset(net->cut, 0, sizeof(net->cut));
    net->loss = net->late = net->twice = 0;
    net->full = false;
    for (uint32_t i = 1; i <= NODES; i++)
        rtci_calls_linked(net->nodes[i].calls, net->now_ns, 0);
    uint64_t until = net->now_ns + 20000 * MS;
    while (step(net))
        assert_true(net->now_ns < until);
    for (uint64_t i = 1; i <= net->n_calls; i++) {
        const struct call *call = &net->call[i];
        assert_true(call->ran <= 1);
        if (call->from_life == net->nodes[call->from].life)
            assert_true(call->outcome != OPEN);
    }
    for (uint32_t i = 1; i <= NODES; i++) {
        struct rtci_calls_counts counts;
        rtci_calls_counts(net->nodes[i].calls, &counts);
        if (!net->restarts) /* else some were repeated that had been answered */
            assert_int_equal(counts.in_flight, 0);
        assert_true(rtci_calls_settled(net->nodes[i].calls) ==
                    rtci_calls_sent(net->nodes[i].calls));
        assert_int_equal(counts.garbage, 0);
    }
}

static uint32_t count(const struct net *net, enum outcome outcome)
{
    uint32_t n = 0;
    for (uint64_t i = 1; i <= net->n_calls; i++)
        n += net->call[i].outcome == outcome;
    return n;
}

/* ---- Tests ---- */

static struct net net; /* large */

static void all_is_well(void **state)
{
    (void)state;
    start(&net, 1);
    for (uint32_t i = 0; i < 1000; i++)
        make_call(&net, 1 + i % NODES, 1 + (i + 1 + i / 7 % 2) % NODES);
    settle(&net);
    assert_int_equal(count(&net, DONE), 1000);
    stop(&net);
}

/* What is known in a turn leaves in it, as one frame; the answer needs no other message first. */
static void at_once(void **state)
{
    (void)state;
    start(&net, 1);
    make_call(&net, 1, 2);
    settle(&net);
    uint64_t begin = net.now_ns;
    for (uint32_t i = 0; i < 50; i++)
        make_call(&net, 1, 2);
    turn(&net.nodes[1], false);
    assert_int_equal(net.n_frames, 1);
    while (count(&net, DONE) < 51)
        assert_true(step(&net));
    assert_true(net.now_ns - begin <= 2 * MS / 10 + 10); /* there, and back */
    stop(&net);
}

static void daemon_restarts(void **state)
{
    (void)state;
    start(&net, 2);
    for (uint32_t i = 0; i < 300; i++) {
        make_call(&net, 1, 2);
        step(&net);
        if (i % 20 == 10)
            daemon_start(&net, 1 + i / 20 % 2);
    }
    settle(&net);
    assert_int_equal(count(&net, DONE), 300);
    stop(&net);
}

static void node_lost(void **state)
{
    (void)state;
    start(&net, 3);
    make_call(&net, 1, 2);
    make_call(&net, 1, 3);
    settle(&net);
    net.cut[1][2] = net.cut[2][1] = true;
    make_call(&net, 1, 2); /* put into frames that do not arrive */
    for (uint32_t i = 0; i < 100; i++)
        step(&net);
    make_call(&net, 1, 2); /* not even that */
    net.nodes[1].read = net.nodes[1].written;
    send_call(&net.nodes[1], net.n_calls, 0);
    send_out(&net.nodes[1]);
    rtci_calls_gone(net.nodes[1].calls, net.now_ns, 2, net.nodes[2].life, false);
    assert_int_equal(net.call[3].outcome, UNKNOWN);
    assert_int_equal(net.call[4].outcome, NEVER_RAN);
    make_call(&net, 1, 3); /* others go on */
    for (uint32_t i = 0; i < 20; i++)
        step(&net);
    assert_int_equal(net.call[5].outcome, DONE);
    stop(&net);
}

static void nonsense(void **state)
{
    (void)state;
    start(&net, 4);
    uint64_t frame[64];
    for (uint32_t i = 0; i < 20000; i++) {
        for (uint32_t k = 0; k < 64; k++)
            frame[k] = rng_next(&net.rng) % (i % 2 ? 4 : UINT64_MAX);
        ((struct rtci_calls_frame *)frame)->magic = RTCI_CALLS_MAGIC;
        ((struct rtci_calls_frame *)frame)->kind = rng_below(&net.rng, 4);
        frame[4] = i % 3 ? 0x46435452u | (uint64_t)rng_below(&net.rng, 5) << 32 : frame[4];
        rtci_calls_frame(net.nodes[1].calls, net.now_ns, 3, frame, rng_below(&net.rng, 513));
        rtci_calls_commit(net.nodes[1].calls);
        rtci_calls_flush(net.nodes[1].calls, net.now_ns);
        lose_all(&net);
    }
    stop(&net);
}

static void random_events(uint64_t seed)
{
    start(&net, seed);
    net.loss = rng_below(&net.rng, 2) ? rng_below(&net.rng, 20) : 0;
    net.twice = rng_below(&net.rng, 20);
    net.late = rng_below(&net.rng, 20);
    net.full = rng_below(&net.rng, 2);
    uint32_t restarts = rng_below(&net.rng, 3), losses = rng_below(&net.rng, 3);
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t from = 1 + rng_below(&net.rng, NODES), to = 1 + rng_below(&net.rng, NODES);
        if (from != to)
            make_call(&net, from, to);
        for (uint32_t k = rng_below(&net.rng, 6); k > 0; k--)
            step(&net);
        if (rng_below(&net.rng, 200) < restarts)
            daemon_start(&net, from);
        if (rng_below(&net.rng, 400) < losses)
            lose(&net, from);
        if (rng_below(&net.rng, 200) == 0 && from != to)
            net.cut[from][to] ^= true;
        if (rng_below(&net.rng, 100) == 0)
            rtci_calls_linked(net.nodes[from].calls, net.now_ns, rng_below(&net.rng, 2) * to);
    }
    settle(&net);
    stop(&net);
}

static void seeds(void **state)
{
    (void)state;
    const char *more = getenv("SEEDS");
    uint64_t n = more ? strtoull(more, NULL, 10) : 200;
    for (uint64_t seed = 1; seed <= n; seed++) {
        if (more)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        random_events(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well),     cmocka_unit_test(at_once),
        cmocka_unit_test(daemon_restarts), cmocka_unit_test(node_lost),
        cmocka_unit_test(nonsense),        cmocka_unit_test(seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
