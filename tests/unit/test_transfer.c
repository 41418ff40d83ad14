/* Transfers over a carrier that loses, repeats, reorders and cuts frames: what arrives is what was
 * there, or it is said that it cannot be had. Time is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rtc/error.h>

#include "runtime/node/transfer.h"
#include "tests/lib/rng.h"

#define NODES  4u
#define FRAMES 4096u
#define MS     1000000ull
#define CHUNK  RTCI_CHUNK_BYTES

struct frame {
    uint32_t from, to;
    uint64_t at_ns;
    size_t size;
    uint8_t *data;
};
struct node {
    struct net *net;
    struct rtci_transfer *transfer;
    uint32_t number;
    bool dead, has[256];
    uint64_t sends, room; /* room: frames it may send in a turn; 0 = any number */
};
struct net {
    struct node nodes[NODES + 1]; /* by number; 1 pulls */
    struct frame frames[FRAMES];
    uint32_t n_frames, loss, twice, cut, late; /* of 100 */
    struct rng rng;
    uint64_t now_ns, delay_ns;
    uint8_t *source; /* what all have */
    uint64_t source_size;
    int status[1024]; /* by number of the pull; 1 = not ended */
    uint32_t n_done;
};

static void put_frame(struct net *net, uint32_t from, uint32_t to, const struct frame *frame)
{
    if (net->n_frames == FRAMES)
        return; /* lost */
    struct frame *at = &net->frames[net->n_frames++];
    *at = *frame;
    at->from = from;
    at->to = to;
    at->data = malloc(frame->size ? frame->size : 1);
    assert_non_null(at->data);
    memcpy(at->data, frame->data, frame->size);
    at->at_ns = net->now_ns + net->delay_ns;
    if (rng_below(&net->rng, 100) < net->late)
        at->at_ns += rng_below(&net->rng, 300) * MS;
}

static int on_send(void *arg, uint32_t to, const void *head, size_t head_size, const void *data,
                   size_t size)
{
    struct node *node = arg;
    struct net *net = node->net;
    static uint8_t whole[RTCI_BULK_FRAME_MAX];
    if (to > NODES || net->nodes[to].dead)
        return RTC_E_DISCONNECTED;
    if (node->room && node->sends == node->room)
        return RTC_E_AGAIN;
    node->sends++;
    assert_true(head_size + size <= sizeof(whole));
    memcpy(whole, head, head_size);
    if (size)
        memcpy(whole + head_size, data, size);
    struct frame frame = {.size = head_size + size, .data = whole};
    if (rng_below(&net->rng, 100) < net->cut)
        frame.size = rng_below(&net->rng, (uint32_t)frame.size);
    for (uint32_t n = rng_below(&net->rng, 100) < net->twice ? 2 : 1; n > 0; n--) {
        if (rng_below(&net->rng, 100) >= net->loss)
            put_frame(net, node->number, to, &frame);
    }
    return 0;
}

/* Objects are told apart by seq; their bytes are those of the source from `seq` on. */
static bool on_find(void *arg, const struct rtci_blob *blob, const void **ret_data,
                    uint64_t *ret_size)
{
    struct node *node = arg;
    if (blob->kind != RTCI_BLOB_OBJECT || blob->id.seq >= 256 || !node->has[blob->id.seq])
        return false;
    *ret_data = node->net->source + blob->id.seq;
    *ret_size = blob->size;
    return true;
}

static void on_done(void *arg, uint64_t pull, int status)
{
    struct node *node = arg;
    assert_true(pull < 1024 && node->net->status[pull] == 1);
    node->net->status[pull] = status;
    node->net->n_done++;
}

static void start(struct net *net, uint64_t seed, uint64_t size)
{
    memset(net, 0, sizeof(*net));
    static const struct rtci_transfer_ops ops = {on_send, on_find, on_done};
    net->rng = (struct rng){seed};
    net->now_ns = 1000 * MS;
    net->delay_ns = MS;
    net->source_size = size + 256;
    net->source = malloc(net->source_size);
    assert_non_null(net->source);
    for (uint64_t i = 0; i < net->source_size; i++)
        net->source[i] = (uint8_t)(i * 7 + (i >> 8) * 13);
    for (uint32_t i = 1; i <= NODES; i++) {
        net->nodes[i].net = net;
        net->nodes[i].number = i;
        memset(net->nodes[i].has, i > 1, sizeof(net->nodes[i].has));
        net->nodes[i].transfer = rtci_transfer_create(&ops, &net->nodes[i], 1);
        assert_non_null(net->nodes[i].transfer);
    }
}

static void stop(struct net *net)
{
    for (uint32_t i = 1; i <= NODES; i++)
        rtci_transfer_free(net->nodes[i].transfer);
    for (uint32_t i = 0; i < net->n_frames; i++)
        free(net->frames[i].data);
    free(net->source);
}

/* One event: the next frame, or the next deadline. False when nothing is to come. */
static bool step(struct net *net)
{
    uint64_t at_ns = UINT64_MAX;
    uint32_t next = UINT32_MAX;
    for (uint32_t i = 0; i < net->n_frames; i++) {
        if (net->frames[i].at_ns < at_ns) {
            at_ns = net->frames[i].at_ns;
            next = i;
        }
    }
    for (uint32_t i = 1; i <= NODES; i++) {
        uint64_t deadline =
            net->nodes[i].dead ? UINT64_MAX : rtci_transfer_deadline(net->nodes[i].transfer);
        if (deadline < at_ns) {
            at_ns = deadline;
            next = UINT32_MAX;
        }
    }
    if (at_ns == UINT64_MAX)
        return false;
    if (at_ns > net->now_ns)
        net->now_ns = at_ns;
    for (uint32_t i = 1; i <= NODES; i++)
        net->nodes[i].sends = 0;
    if (next == UINT32_MAX) {
        for (uint32_t i = 1; i <= NODES; i++) {
            if (!net->nodes[i].dead)
                rtci_transfer_tick(net->nodes[i].transfer, net->now_ns);
        }
        return true;
    }
    struct frame frame = net->frames[next];
    net->frames[next] = net->frames[--net->n_frames];
    if (!net->nodes[frame.to].dead)
        rtci_transfer_frame(net->nodes[frame.to].transfer, net->now_ns, frame.from, frame.data,
                            frame.size);
    free(frame.data);
    return true;
}

static void run(struct net *net)
{
    for (uint32_t i = 0; i < 200000; i++) {
        if (!step(net))
            return;
    }
    fail_msg("it never becomes quiet");
}

static uint64_t pull(struct net *net, uint64_t seq, uint64_t size, void *dst, uint32_t from,
                     uint32_t upto)
{
    struct rtci_blob blob = {.kind = RTCI_BLOB_OBJECT, .id = {seq, 1, 0}, .size = size};
    uint32_t sources[NODES], n = 0;
    for (uint32_t i = from; i <= upto; i++)
        sources[n++] = i;
    uint64_t number =
        rtci_transfer_pull(net->nodes[1].transfer, net->now_ns, &blob, dst, sources, n);
    assert_true(number != 0 && number < 1024);
    net->status[number] = 1;
    return number;
}

static struct rtci_transfer_counts counts(const struct net *net, uint32_t node)
{
    struct rtci_transfer_counts at;
    rtci_transfer_counts(net->nodes[node].transfer, &at);
    return at;
}

static void sizes(void **state)
{
    (void)state;
    static const uint64_t all[] = {0, 1, CHUNK, CHUNK + 1, 100 * CHUNK + 77};
    static struct net net;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        start(&net, i, all[i]);
        uint8_t *dst = calloc(1, all[i] + 1);
        assert_non_null(dst);
        uint64_t number = pull(&net, 3, all[i], dst, 2, 2);
        run(&net);
        assert_int_equal(net.status[number], 0);
        assert_memory_equal(dst, net.source + 3, all[i]);
        assert_int_equal(dst[all[i]], 0);
        assert_int_equal(counts(&net, 1).garbage + counts(&net, 2).garbage, 0);
        assert_int_equal(counts(&net, 2).sent, all[i]); /* nothing twice on a good carrier */
        assert_true(net.now_ns < 2000 * MS);
        free(dst);
        stop(&net);
    }
}

/* Whatever the carrier does, the bytes are right, and little is sent twice. */
static void bad_carrier(void **state)
{
    (void)state;
    static struct net net;
    uint64_t size = 40 * CHUNK + 5;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        start(&net, seed, size);
        net.loss = rng_below(&net.rng, 12);
        net.twice = rng_below(&net.rng, 30);
        net.cut = rng_below(&net.rng, 6);
        net.late = rng_below(&net.rng, 50);
        net.nodes[2].room = rng_below(&net.rng, 3);
        uint8_t *dst = calloc(1, size);
        assert_non_null(dst);
        uint64_t number = pull(&net, seed, size, dst, 2, seed % 2 ? 3 : 2);
        run(&net);
        assert_int_equal(net.status[number], 0);
        assert_memory_equal(dst, net.source + seed, size);
        assert_int_equal(counts(&net, 1).received, size);
        assert_int_equal(counts(&net, 1).on_the_way, 0);
        free(dst);
        stop(&net);
    }
}

static void source_dies(void **state)
{
    (void)state;
    static struct net net;
    uint64_t size = 64 * CHUNK;
    start(&net, 1, size);
    uint8_t *dst = calloc(1, size);
    assert_non_null(dst);
    uint64_t number = pull(&net, 1, size, dst, 2, 3);
    while (counts(&net, 1).received < size / 4)
        assert_true(step(&net));
    uint64_t before = counts(&net, 1).received;
    assert_true(counts(&net, 2).sent && counts(&net, 3).sent); /* both were asked */
    net.nodes[2].dead = true;                                  /* nobody says so */
    run(&net);
    assert_int_equal(net.status[number], 0);
    assert_memory_equal(dst, net.source + 1, size);
    assert_true(counts(&net, 3).sent < size - before / 4); /* what had come stayed */
    /* The other one too: then it cannot be had. */
    number = pull(&net, 1, size, dst, 2, 3);
    net.nodes[3].dead = true;
    run(&net);
    assert_int_equal(net.status[number], RTC_E_TIMEOUT);
    assert_int_equal(counts(&net, 1).pulls, 0);
    free(dst);
    stop(&net);
}

static void gone(void **state)
{
    (void)state;
    static struct net net;
    start(&net, 1, CHUNK);
    static uint8_t dst[CHUNK];
    net.nodes[2].has[5] = false;
    uint64_t number = pull(&net, 5, CHUNK, dst, 2, 2), other = pull(&net, 5, CHUNK, dst, 2, 3);
    uint64_t begin = net.now_ns;
    run(&net);
    assert_int_equal(net.status[number], RTC_E_LOST);
    assert_int_equal(net.status[other], 0);
    assert_true(net.now_ns < begin + 100 * MS); /* an answer, not a timeout */
    number = pull(&net, 1, CHUNK, dst, 2, 4);
    for (uint32_t i = 2; i <= NODES; i++)
        rtci_transfer_node_gone(net.nodes[1].transfer, net.now_ns, i);
    assert_int_equal(net.status[number], RTC_E_LOST);
    number = pull(&net, 1, CHUNK, dst, 2, 1); /* from nobody */
    run(&net);
    assert_int_equal(net.status[number], RTC_E_LOST);
    stop(&net);
}

static void stopped(void **state)
{
    (void)state;
    static struct net net;
    start(&net, 1, 32 * CHUNK);
    uint8_t *dst = malloc(32 * CHUNK), *copy = malloc(32 * CHUNK);
    assert_true(dst && copy);
    memset(dst, 0, 32 * CHUNK);
    uint64_t number = pull(&net, 1, 32 * CHUNK, dst, 2, 2);
    for (int i = 0; i < 6; i++)
        assert_true(step(&net));
    rtci_transfer_stop(net.nodes[1].transfer, number);
    memcpy(copy, dst, 32 * CHUNK);
    run(&net);
    assert_int_equal(net.status[number], 1);
    assert_memory_equal(dst, copy, 32 * CHUNK);
    assert_int_equal(counts(&net, 1).garbage, 0);
    number = pull(&net, 1, 0, dst, 2, 2); /* complete, but not told yet */
    rtci_transfer_stop(net.nodes[1].transfer, number);
    run(&net);
    assert_int_equal(net.status[number], 1);
    free(dst);
    free(copy);
    stop(&net);
}

static void many_at_once(void **state)
{
    (void)state;
    enum { N = 100 };
    static struct net net;
    static uint8_t *dst[N];
    uint64_t size = 5 * CHUNK + 3;
    start(&net, 1, size);
    net.loss = 3;
    for (uint32_t i = 0; i < N; i++) {
        dst[i] = calloc(1, size);
        assert_non_null(dst[i]);
        pull(&net, i, size, dst[i], 2, 4);
    }
    assert_true(counts(&net, 1).on_the_way <= RTCI_TRANSFER_ALL);
    while (net.n_done < N) {
        assert_true(step(&net));
        assert_true(counts(&net, 1).on_the_way <= RTCI_TRANSFER_ALL);
    }
    for (uint32_t i = 0; i < N; i++) {
        assert_memory_equal(dst[i], net.source + i, size);
        free(dst[i]);
    }
    stop(&net);
}

/* A broken connection: what was on its way is asked for at once, and no more than that. */
static void connection_breaks(void **state)
{
    (void)state;
    static struct net net;
    uint64_t size = 64 * CHUNK;
    start(&net, 1, size);
    uint8_t *dst = calloc(1, size);
    assert_non_null(dst);
    uint64_t number = pull(&net, 1, size, dst, 2, 2);
    while (counts(&net, 1).received < size / 2)
        assert_true(step(&net));
    uint64_t lost = counts(&net, 1).on_the_way;
    for (uint32_t i = 0; i < net.n_frames; i++)
        free(net.frames[i].data);
    net.n_frames = 0;
    uint64_t begin = net.now_ns;
    rtci_transfer_retry(net.nodes[1].transfer, net.now_ns, 2);
    run(&net);
    assert_int_equal(net.status[number], 0);
    assert_memory_equal(dst, net.source + 1, size);
    assert_true(net.now_ns < begin + 200 * MS);
    assert_true(counts(&net, 2).sent <= size + lost * CHUNK);
    free(dst);
    stop(&net);
}

/* A link of 2 MiB/s: it is not flooded, and what it carries is hardly ever asked for twice. */
static void slow_link(void **state)
{
    (void)state;
    static struct net net;
    uint64_t size = 40 * CHUNK;
    start(&net, 1, size);
    uint8_t *dst = calloc(1, size);
    assert_non_null(dst);
    uint64_t number = pull(&net, 1, size, dst, 2, 2), busy_ns = 0;
    for (uint32_t seen = 0; net.status[number] == 1; seen = net.n_frames) {
        for (; seen < net.n_frames; seen++) { /* new frames of the source stand behind each other */
            if (net.frames[seen].from != 2)
                continue;
            busy_ns = (busy_ns > net.now_ns ? busy_ns : net.now_ns) + 125 * MS;
            net.frames[seen].at_ns = busy_ns;
        }
        uint32_t before = net.n_frames;
        assert_true(step(&net));
        if (net.n_frames < before)
            seen = net.n_frames;
        for (uint32_t i = before > net.n_frames ? net.n_frames : before - 1; i < net.n_frames; i++)
            if (net.frames[i].from == 2 && net.frames[i].at_ns <= net.now_ns + net.delay_ns) {
                busy_ns = (busy_ns > net.now_ns ? busy_ns : net.now_ns) + 125 * MS;
                net.frames[i].at_ns = busy_ns;
            }
    }
    assert_int_equal(net.status[number], 0);
    assert_true(counts(&net, 2).sent <= size + size / 4);
    free(dst);
    stop(&net);
}

static void garbage(void **state)
{
    (void)state;
    static struct net net;
    start(&net, 1, 4 * CHUNK);
    static uint8_t dst[4 * CHUNK];
    uint64_t number = pull(&net, 1, sizeof(dst), dst, 2, 2);
    struct rtci_transfer *t = net.nodes[1].transfer;
    static struct {
        struct rtci_bulk head;
        uint8_t data[CHUNK];
    } frame;
    frame.head = (struct rtci_bulk){RTCI_BULK_MAGIC, RTCI_BULK_CHUNK, number, 0, CHUNK};
    const struct rtci_bulk good = frame.head;
    rtci_transfer_frame(t, net.now_ns, 3, &frame, sizeof(frame)); /* not a source */
    frame.head.offset = 7;
    rtci_transfer_frame(t, net.now_ns, 2, &frame, sizeof(frame));
    frame.head.offset = 64 * CHUNK;
    rtci_transfer_frame(t, net.now_ns, 2, &frame, sizeof(frame));
    frame.head = good;
    rtci_transfer_frame(t, net.now_ns, 2, &frame, sizeof(frame) - 1);
    frame.head.magic++;
    rtci_transfer_frame(t, net.now_ns, 2, &frame, sizeof(frame));
    rtci_transfer_frame(t, net.now_ns, 2, &frame, 5);
    assert_int_equal(counts(&net, 1).garbage, 6);
    assert_int_equal(counts(&net, 1).received, 0);
    run(&net);
    assert_int_equal(net.status[number], 0);
    assert_memory_equal(dst, net.source + 1, sizeof(dst));
    stop(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(bad_carrier),
        cmocka_unit_test(source_dies),
        cmocka_unit_test(gone),
        cmocka_unit_test(stopped),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(connection_breaks),
        cmocka_unit_test(slow_link),
        cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
