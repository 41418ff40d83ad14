/* A session that is told anything: frames with any numbers in them, links that come and go,
 * commits. What it keeps stays within its window, and what it hands out is numbered without a hole.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/assert.h"
#include "runtime/core/session.h"
#include "tests/fuzz/fuzz.h"

#define WINDOW 4096u

enum op { RECEIVE, GARBAGE, SEND, NEXT, COMMIT, UP, DOWN, WAIT, OPS };

struct told {
    struct rtci_session *session;
    uint64_t now_ns, last;
};

static void receive(struct told *t, const void *bytes, size_t size)
{
    const void *payload;
    size_t payload_size;
    uint64_t seq;
    if (rtci_session_receive(t->session, t->now_ns, bytes, size, &payload, &payload_size, &seq) !=
        RTCI_SESSION_MESSAGE)
        return;
    RTCI_ASSERT(seq == t->last + 1);
    RTCI_ASSERT((const uint8_t *)payload + payload_size == (const uint8_t *)bytes + size);
    t->last = seq;
}

/* Small numbers, so that frames are often almost right. */
static void almost_right(struct told *t, const uint8_t *at)
{
    struct rtci_frame f = {.magic = RTCI_FRAME_MAGIC,
                           .kind = (uint16_t)(1 + at[0] % 4),
                           .reply = at[0] >> 7,
                           .session = 1,
                           .link = at[1] % 8,
                           .seq = at[2] % 32,
                           .received = at[3] % 16,
                           .committed = at[4] % 8};
    receive(t, &f, sizeof(f));
}

static void next(struct told *t, bool goes)
{
    struct rtci_frame f;
    const void *payload;
    size_t size;
    if (!rtci_session_next(t->session, t->now_ns, &f, &payload, &size))
        return;
    RTCI_ASSERT(f.committed <= f.received && f.received == t->last);
    if (goes)
        rtci_session_sent(t->session, t->now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtci_session_config config = {.id = 1, .dials = size && data[0] & 1, .window = WINDOW};
    struct told t = {.session = rtci_session_create(&config, 0)};
    struct rtci_session_counts counts;
    uint64_t seq;
    RTCI_ASSERT(t.session);
    for (size_t at = 1; at + 8 <= size; at += 8) {
        const uint8_t *b = data + at;
        switch ((enum op)(b[0] % OPS)) {
        case RECEIVE: almost_right(&t, b + 1); break;
        case GARBAGE: receive(&t, b, size - at < 200 ? size - at : 200); break;
        case SEND:
            (void)!rtci_session_send(t.session, data, b[1] % (size < 64 ? size : 64), &seq);
            break;
        case NEXT: next(&t, b[1] & 1); break;
        case COMMIT: rtci_session_commit(t.session, b[1] % 32); break;
        case UP: rtci_session_link_up(t.session, t.now_ns); break;
        case DOWN: rtci_session_link_down(t.session, t.now_ns); break;
        default: t.now_ns += (uint64_t)b[1] * 10000000; break;
        }
        rtci_session_counts(t.session, &counts);
        RTCI_ASSERT(counts.kept <= WINDOW && counts.committed <= counts.received);
        (void)rtci_session_deadline(t.session);
        (void)rtci_session_state(t.session, t.now_ns);
    }
    rtci_session_free(t.session);
    return 0;
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    size_t n = 9 + rng_below(rng, 2000);
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)rng_next(rng);
    return n;
}
