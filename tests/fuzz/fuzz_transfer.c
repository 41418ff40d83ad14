/* A transfer that is sent anything, over a carrier that does anything: it writes only within what
 * it pulls, keeps within its bounds, and answers what it has. */
#include <stdlib.h>
#include <string.h>

#include <rtc/error.h>

#include "runtime/base/assert.h"
#include "runtime/node/transfer.h"
#include "tests/fuzz/fuzz.h"

#define SIZE  (3 * RTCI_CHUNK_BYTES / 2)
#define PULLS 4u

enum op { FRAME, CHUNK, GONE, ASK, PULL, STOP, TICK, RETRY, NODE_GONE, OPS };

struct told {
    struct rtci_transfer *transfer;
    uint64_t now_ns, number[PULLS];
    uint8_t *dst[PULLS];
    bool under_way[PULLS];
    uint32_t room;
};

static int on_send(void *arg, uint32_t node, const void *head, size_t head_size, const void *data,
                   size_t size)
{
    struct told *t = arg;
    (void)node;
    (void)data;
    RTCI_ASSERT(head && head_size + size <= RTCI_BULK_FRAME_MAX);
    if (t->room == 0)
        return RTC_E_AGAIN;
    t->room--;
    return t->room == 3 ? RTC_E_DISCONNECTED : 0;
}

static bool on_find(void *arg, const struct rtci_blob *blob, const void **ret_data,
                    uint64_t *ret_size)
{
    static const uint8_t what[SIZE];
    (void)arg;
    *ret_data = what;
    *ret_size = SIZE;
    return blob->id.seq % 4 != 0;
}

static void on_done(void *arg, uint64_t pull, int status)
{
    struct told *t = arg;
    RTCI_ASSERT(status == 0 || status == RTC_E_LOST || status == RTC_E_TIMEOUT);
    uint32_t i = 0;
    while (i < PULLS && !(t->under_way[i] && t->number[i] == pull))
        i++;
    RTCI_ASSERT(i < PULLS);
    t->under_way[i] = false;
    free(t->dst[i]); /* what is written from now on is seen */
}

static void begin(struct told *t, const uint8_t *b)
{
    uint32_t i = b[0] % PULLS, sources[] = {b[1] % 4u, b[2] % 4u};
    if (t->under_way[i])
        return;
    struct rtci_blob blob = {.kind = RTCI_BLOB_OBJECT, .id = {b[3], 1, 0}, .size = SIZE};
    t->dst[i] = malloc(SIZE);
    RTCI_ASSERT(t->dst[i]);
    t->under_way[i] = true;
    t->number[i] = rtci_transfer_pull(t->transfer, t->now_ns, &blob, t->dst[i], sources, b[4] % 3);
}

static void chunk(struct told *t, const uint8_t *b)
{
    static struct {
        struct rtci_bulk head;
        uint8_t data[RTCI_CHUNK_BYTES];
    } frame;
    frame.head = (struct rtci_bulk){.magic = RTCI_BULK_MAGIC,
                                    .kind = RTCI_BULK_CHUNK,
                                    .pull = t->number[b[0] % PULLS],
                                    .offset = b[1] % 3 * RTCI_CHUNK_BYTES,
                                    .size = b[2] % 2 ? RTCI_CHUNK_BYTES : RTCI_CHUNK_BYTES / 2};
    rtci_transfer_frame(t->transfer, t->now_ns, b[3] % 4, &frame,
                        sizeof(frame.head) + frame.head.size);
}

static void ask(struct told *t, const uint8_t *b)
{
    struct rtci_bulk_ask frame = {
        .head = {.magic = RTCI_BULK_MAGIC,
                 .kind = b[0] % 4 ? RTCI_BULK_ASK : RTCI_BULK_GONE,
                 .pull = t->number[b[0] % PULLS],
                 .offset = b[1] % 3 * RTCI_CHUNK_BYTES,
                 .size = b[2] % 2 ? SIZE : RTCI_CHUNK_BYTES / 2},
        .blob = {.kind = b[3] % 4, .id = {b[4], 1, 0}, .size = b[5] ? SIZE : UINT64_MAX}};
    rtci_transfer_frame(t->transfer, t->now_ns, b[6] % 4, &frame,
                        b[0] % 4 ? sizeof(frame) : sizeof(frame.head));
}

static void stop(struct told *t, uint32_t i)
{
    rtci_transfer_stop(t->transfer, t->number[i]);
    if (t->under_way[i])
        free(t->dst[i]);
    t->under_way[i] = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rtci_transfer_ops ops = {on_send, on_find, on_done};
    struct told t = {.now_ns = 1};
    struct rtci_transfer_counts counts;
    t.transfer = rtci_transfer_create(&ops, &t, 1);
    RTCI_ASSERT(t.transfer);
    for (size_t at = 0; at + 8 <= size; at += 8) {
        const uint8_t *b = data + at + 1;
        t.room = b[6] % 8;
        switch ((enum op)(data[at] % OPS)) {
        case FRAME: /* of any bytes, and any alignment */
            rtci_transfer_frame(t.transfer, t.now_ns, b[0] % 4, b, size - at - 1 < 200 ? 7 : 199);
            break;
        case CHUNK: chunk(&t, b); break;
        case GONE:
        case ASK: ask(&t, b); break;
        case PULL: begin(&t, b); break;
        case STOP: stop(&t, b[0] % PULLS); break;
        case RETRY: rtci_transfer_retry(t.transfer, t.now_ns, b[0] % 4); break;
        case NODE_GONE: rtci_transfer_node_gone(t.transfer, t.now_ns, b[0] % 4); break;
        default: t.now_ns += (uint64_t)b[0] * 10000000; rtci_transfer_tick(t.transfer, t.now_ns);
        }
        rtci_transfer_counts(t.transfer, &counts);
        RTCI_ASSERT(counts.on_the_way <= RTCI_TRANSFER_ALL);
        RTCI_ASSERT(counts.kept <= 4 * RTCI_TRANSFER_ASKS);
        (void)rtci_transfer_deadline(t.transfer);
    }
    for (uint32_t i = 0; i < PULLS; i++)
        stop(&t, i);
    rtci_transfer_free(t.transfer);
    return 0;
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    size_t n = 8 + rng_below(rng, 2000);
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)rng_next(rng);
    return n;
}
