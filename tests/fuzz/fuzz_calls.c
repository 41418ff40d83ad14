/* Calls between nodes when the others say anything: frames with any numbers in them, lives that
 * end, ways that come and go. What is handed on has been checked, and nothing is settled before it
 * was sent. */
#include <rtc/error.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/assert.h"
#include "runtime/core/calls.h"
#include "runtime/core/session.h"
#include "tests/fuzz/fuzz.h"

enum op { FRAME, GARBAGE, SEND, GONE, LIFE, LINKED, TURN, WAIT, OPS };

struct told {
    struct rtci_calls *calls;
    uint64_t now_ns;
    uint8_t way; /* what send() says next */
};

static int on_send(void *arg, uint32_t node, const void *head, size_t head_size, const void *data,
                   size_t size)
{
    struct told *t = arg;
    RTCI_ASSERT(node >= 1 && node <= 4 && head && head_size % 8 == 0 && (data || !size));
    return t->way % 8 == 0 ? RTC_E_AGAIN : t->way % 8 == 1 ? RTC_E_DISCONNECTED : 0;
}

static void on_span(void *arg, uint32_t node, const void *span, size_t size)
{
    (void)arg;
    RTCI_ASSERT(node >= 1 && node <= 4);
    for (size_t at = 0; at < size;) {
        int64_t n = rtci_wire_check((const char *)span + at, size - at);
        RTCI_ASSERT(n > 0);
        at += (size_t)n;
    }
}

static void on_watch(void *arg, uint32_t node)
{
    (void)arg;
    RTCI_ASSERT(node >= 1 && node <= 4);
}

/* Small numbers, so that frames are often almost right. */
static void almost_right(struct told *t, const uint8_t *at, const uint8_t *data, size_t size)
{
    struct {
        struct rtci_calls_frame calls;
        struct rtci_frame frame;
        uint8_t payload[512];
    } f = {.calls = {RTCI_CALLS_MAGIC, at[0] % 4, at[1] % 4, at[2] % 4, at[3] % 2 ? 7 : 0},
           .frame = {.magic = RTCI_FRAME_MAGIC,
                     .kind = (uint16_t)(1 + at[0] / 4 % 4),
                     .reply = at[0] >> 7,
                     .session = at[4] % 4,
                     .link = at[5] % 4,
                     .seq = at[6] % 8,
                     .received = at[6] / 8 % 8,
                     .committed = at[6] / 64}};
    size = size < sizeof(f.payload) ? size : sizeof(f.payload);
    size = f.frame.kind == RTCI_FRAME_DATA ? size & ~(size_t)7 : 0;
    memcpy(f.payload, data, size);
    if (size >= sizeof(struct rtci_rec)) /* often one that is whole */
        ((struct rtci_rec *)f.payload)->size = at[3] & 4 ? (uint32_t)size : 64;
    rtci_calls_frame(t->calls, t->now_ns, 1 + at[3] / 16 % 4, &f,
                     offsetof(__typeof__(f), payload) + size);
}

static void send(struct told *t, const uint8_t *at)
{
    struct {
        struct rtci_spec spec;
        struct rtci_call call;
    } rec = {.spec = {.rec = {sizeof(rec), RTCI_R_ACTOR_CALL, 0},
                      .seq = at[0] % 16,
                      .client = at[1] % 2,
                      .n_returns = 1,
                      .flags = RTCI_SPEC_CALL | (at[2] & 1 ? RTCI_SPEC_REPEATED : 0),
                      .name_len = sizeof(struct rtci_call)},
             .call = {.order = at[3] % 4}};
    rtci_calls_send(t->calls, t->now_ns, 1 + at[4] % 4, &rec, sizeof(rec));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rtci_calls_ops ops = {on_send, on_span, on_watch};
    _Alignas(8) uint8_t copy[256];
    struct told t = {.now_ns = 1000};
    t.calls = rtci_calls_create(&ops, &t, 7);
    RTCI_ASSERT(t.calls);
    rtci_calls_life(t.calls, 0, 1);
    for (size_t at = 0; at + 8 <= size; at += 8) {
        const uint8_t *b = data + at;
        size_t rest = size - at < sizeof(copy) ? size - at : sizeof(copy);
        t.way = b[7];
        switch ((enum op)(b[0] % OPS)) {
        case FRAME: almost_right(&t, b + 1, b, rest); break;
        case GARBAGE:
            memcpy(copy, b, rest);
            rtci_calls_frame(t.calls, t.now_ns, 1 + b[1] % 4, copy, rest);
            break;
        case SEND: send(&t, b + 1); break;
        case GONE: rtci_calls_gone(t.calls, t.now_ns, 1 + b[1] % 4, b[2] % 4, b[3] & 1); break;
        case LIFE: rtci_calls_life(t.calls, t.now_ns, 1 + b[1] % 8); break;
        case LINKED: rtci_calls_linked(t.calls, t.now_ns, b[1] % 5); break;
        case TURN:
            rtci_calls_commit(t.calls);
            rtci_calls_flush(t.calls, t.now_ns);
            break;
        default: t.now_ns += (uint64_t)b[1] * 1000000; break;
        }
        RTCI_ASSERT(rtci_calls_settled(t.calls) <= rtci_calls_sent(t.calls));
    }
    rtci_calls_free(t.calls);
    return 0;
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    size_t size = 8 * (8 + rng_below(rng, 400));
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)rng_next(rng);
    return size;
}
