/* Sessions over a virtual link that loses, repeats, delays and breaks, and ends that crash: every
 * message is received once, in order, and again only when its receiver had forgotten it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/bounds.h"
#include "runtime/core/session.h"
#include "tests/lib/rng.h"

#include <rtc/error.h>

#define MS       RTCI_NS_PER_MS
#define FLIGHTS  512
#define MESSAGES 300u
#define SEEDS    400

struct flight { /* a frame on its way */
    uint64_t at_ns;
    size_t size;
    int to;
    uint8_t bytes[sizeof(struct rtci_frame) + 64];
};
struct world {
    struct rng rng;
    uint64_t now_ns;
    struct rtci_session *ends[2];                /* 0 dials */
    uint64_t submitted[2], got[2], committed[2]; /* got: by this end */
    struct flight flights[FLIGHTS];
    size_t n;
    bool linked, healed;
    uint64_t last_at[2];   /* frames of a link stay in order */
    unsigned loss, repeat; /* in a hundred */
};

/* What an end that starts again knows: what it had committed, and what it had heard that the other
 * one had. */
static struct rtci_session_config config_of(const struct world *w, int end)
{
    struct rtci_session_counts counts = {0};
    if (w->ends[end])
        rtci_session_counts(w->ends[end], &counts);
    struct rtci_session_config c = {
        .id = 7, .dials = end == 0, .window = 65536, .lease_ns = 1000 * RTCI_NS_PER_S};
    c.committed_before = w->committed[end];
    c.sent_before = counts.peer_committed;
    return c;
}

static uint64_t content(int end, uint64_t seq)
{
    return (seq * 2 + (uint64_t)end) * 0x9e3779b97f4a7c15u;
}

static bool submit(struct world *w, int end)
{
    uint64_t text = content(end, w->submitted[end] + 1), seq;
    if (rtci_session_send(w->ends[end], &text, sizeof(text), &seq) != 0)
        return false;
    w->submitted[end]++;
    assert_int_equal(seq, w->submitted[end]);
    return true;
}

static void start(struct world *w, int end)
{
    struct rtci_session_config c = config_of(w, end);
    uint64_t again = w->submitted[end];
    rtci_session_free(w->ends[end]);
    w->ends[end] = rtci_session_create(&c, w->now_ns);
    assert_non_null(w->ends[end]);
    w->got[end] = w->committed[end];
    /* It submits once more what the other end may not have committed. */
    for (w->submitted[end] = c.sent_before; w->submitted[end] < again;)
        assert_true(submit(w, end));
}

static void push(struct world *w, const struct rtci_frame *f, const void *payload, size_t size,
                 int to)
{
    if (w->n == FLIGHTS || (!w->healed && rng_below(&w->rng, 100) < w->loss))
        return;
    struct flight *flight = &w->flights[w->n++];
    *flight = (struct flight){.size = sizeof(*f) + size, .to = to};
    flight->at_ns = w->now_ns + rng_below(&w->rng, 30) * MS;
    if (flight->at_ns < w->last_at[to])
        flight->at_ns = w->last_at[to];
    w->last_at[to] = flight->at_ns;
    memcpy(flight->bytes, f, sizeof(*f));
    if (size)
        memcpy(flight->bytes + sizeof(*f), payload, size);
    if (!w->healed && rng_below(&w->rng, 100) < w->repeat && w->n < FLIGHTS) {
        w->flights[w->n] = *flight; /* another copy, much later */
        w->flights[w->n++].at_ns += rng_below(&w->rng, 2000) * MS;
    }
}

static void pump(struct world *w, int end)
{
    struct rtci_frame f;
    const void *payload;
    size_t size;
    for (int i = 0; i < 20 && rtci_session_next(w->ends[end], w->now_ns, &f, &payload, &size);
         i++) {
        if (w->linked)
            push(w, &f, payload, size, !end);
        rtci_session_sent(w->ends[end], w->now_ns);
    }
}

static void deliver(struct world *w, const struct flight *flight)
{
    const void *payload;
    size_t size;
    uint64_t seq, text;
    int end = flight->to;
    enum rtci_session_result result = rtci_session_receive(w->ends[end], w->now_ns, flight->bytes,
                                                           flight->size, &payload, &size, &seq);
    assert_int_not_equal(result, RTCI_SESSION_INVALID);
    if (result != RTCI_SESSION_MESSAGE)
        return;
    assert_int_equal(seq, w->got[end] + 1);
    assert_int_equal(size, sizeof(text));
    memcpy(&text, payload, sizeof(text));
    assert_int_equal(text, content(!end, seq));
    w->got[end] = seq;
}

static void arrivals(struct world *w)
{
    for (size_t i = 0; i < w->n;) {
        size_t first = SIZE_MAX;
        for (size_t k = 0; k < w->n; k++) {
            if (w->flights[k].at_ns <= w->now_ns &&
                (first == SIZE_MAX || w->flights[k].at_ns < w->flights[first].at_ns))
                first = k;
        }
        if (first == SIZE_MAX)
            return;
        struct flight flight = w->flights[first];
        memmove(&w->flights[first], &w->flights[first + 1],
                (--w->n - first) * sizeof(struct flight));
        deliver(w, &flight);
    }
}

static void relink(struct world *w)
{
    w->linked = true;
    rtci_session_link_up(w->ends[0], w->now_ns);
}

static void misfortune(struct world *w)
{
    switch (rng_below(&w->rng, 400)) {
    case 0: /* the link breaks; who notices? What was on its way arrives later, or never. */
    case 1:
    case 2:
        w->linked = false;
        if (rng_below(&w->rng, 2))
            rtci_session_link_down(w->ends[0], w->now_ns);
        if (rng_below(&w->rng, 2))
            rtci_session_link_down(w->ends[1], w->now_ns);
        if (rng_below(&w->rng, 2))
            w->n = 0;
        break;
    case 3: /* the end that listens crashes, and its links with it */
        start(w, 1);
        w->linked = false;
        break;
    default: break;
    }
    if (!w->linked && rng_below(&w->rng, 20) == 0)
        relink(w);
}

static void step(struct world *w)
{
    w->now_ns += 10 * MS;
    for (int end = 0; end < 2; end++) {
        if (w->submitted[end] < MESSAGES && rng_below(&w->rng, 3) == 0)
            submit(w, end);
        if (rng_below(&w->rng, 4) == 0) { /* some of what it got is durable now */
            w->committed[end] +=
                rng_below(&w->rng, (uint32_t)(w->got[end] - w->committed[end]) + 1);
            rtci_session_commit(w->ends[end], w->committed[end]);
        }
        pump(w, end);
    }
    arrivals(w);
    if (!w->healed)
        misfortune(w);
}

static void one_seed(uint64_t seed)
{
    static struct world w;
    w = (struct world){.now_ns = 1};
    w.rng.state = seed;
    w.loss = rng_below(&w.rng, 30);
    w.repeat = rng_below(&w.rng, 10);
    start(&w, 0);
    start(&w, 1);
    relink(&w);
    for (int i = 0; i < 3000; i++)
        step(&w);
    w.healed = true;
    w.n = 0;
    relink(&w);
    for (int i = 0; i < 3000; i++)
        step(&w);
    for (int end = 0; end < 2; end++) {
        struct rtci_session_counts counts;
        w.committed[end] = w.got[end];
        rtci_session_commit(w.ends[end], w.committed[end]);
        assert_int_equal(w.submitted[end], MESSAGES);
        assert_int_equal(w.got[!end], MESSAGES);
        rtci_session_counts(w.ends[end], &counts);
        assert_int_equal(rtci_session_state(w.ends[end], w.now_ns), RTCI_SESSION_UP);
    }
    for (int i = 0; i < 300; i++)
        step(&w);
    for (int end = 0; end < 2; end++) {
        struct rtci_session_counts counts;
        rtci_session_counts(w.ends[end], &counts);
        assert_int_equal(counts.kept, 0);
        assert_int_equal(counts.peer_committed, MESSAGES);
        rtci_session_free(w.ends[end]);
    }
}

static void nothing_is_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        one_seed(seed);
}

/* ---- One thing at a time ---- */

static struct rtci_session *make(bool dials)
{
    struct rtci_session_config c = {.id = 1, .dials = dials, .window = 4096};
    struct rtci_session *s = rtci_session_create(&c, 0);
    assert_non_null(s);
    return s;
}

static enum rtci_session_result give(struct rtci_session *to, uint64_t now_ns, struct rtci_frame f)
{
    const void *payload;
    size_t size;
    uint64_t seq;
    return rtci_session_receive(to, now_ns, &f, sizeof(f), &payload, &size, &seq);
}

static struct rtci_frame sync_of(uint64_t link)
{
    return (struct rtci_frame){
        .magic = RTCI_FRAME_MAGIC, .kind = RTCI_FRAME_SYNC, .session = 1, .link = link};
}

/* The next frame of one end, given to the other unless it is lost. Returns its kind, 0: none. */
static int carry(struct rtci_session *from, struct rtci_session *to, uint64_t now_ns, bool lost,
                 enum rtci_session_result *ret_result)
{
    uint8_t bytes[sizeof(struct rtci_frame) + 64];
    struct rtci_frame f;
    const void *payload;
    size_t size;
    uint64_t seq;
    if (!rtci_session_next(from, now_ns, &f, &payload, &size))
        return 0;
    memcpy(bytes, &f, sizeof(f));
    if (size)
        memcpy(bytes + sizeof(f), payload, size);
    rtci_session_sent(from, now_ns);
    if (!lost)
        *ret_result =
            rtci_session_receive(to, now_ns, bytes, sizeof(f) + size, &payload, &size, &seq);
    return f.kind;
}

static void connect(struct rtci_session *a, struct rtci_session *b, uint64_t now_ns)
{
    enum rtci_session_result r;
    rtci_session_link_up(a, now_ns);
    assert_int_equal(carry(a, b, now_ns, false, &r), RTCI_FRAME_SYNC);
    assert_int_equal(carry(b, a, now_ns, false, &r), RTCI_FRAME_SYNC);
    assert_int_equal(rtci_session_state(a, now_ns), RTCI_SESSION_UP);
    assert_int_equal(rtci_session_state(b, now_ns), RTCI_SESSION_UP);
}

static void lost_ones(void **state)
{
    (void)state;
    struct rtci_session *a = make(true), *b = make(false);
    enum rtci_session_result r;
    uint64_t seq;
    connect(a, b, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(rtci_session_send(a, "text", 4, &seq), 0);
    /* One in the middle: the one behind it shows the gap, and both come again. */
    assert_int_equal(carry(a, b, 0, false, &r), RTCI_FRAME_DATA);
    assert_int_equal(carry(a, b, 0, true, &r), RTCI_FRAME_DATA);
    assert_int_equal(carry(a, b, 0, false, &r), RTCI_FRAME_DATA);
    assert_int_equal(r, RTCI_SESSION_NOTHING);
    assert_int_equal(carry(b, a, 0, false, &r), RTCI_FRAME_AGAIN);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(carry(a, b, 0, false, &r), RTCI_FRAME_DATA);
        assert_int_equal(r, RTCI_SESSION_MESSAGE);
    }
    /* The last one: a heartbeat shows it. */
    assert_int_equal(carry(a, b, 0, true, &r), RTCI_FRAME_DATA);
    assert_int_equal(carry(a, b, 0, false, &r), 0);
    uint64_t due = rtci_session_deadline(a);
    assert_int_equal(due, 200 * MS);
    assert_int_equal(carry(a, b, due, false, &r), RTCI_FRAME_BEAT);
    assert_int_equal(carry(b, a, due, false, &r), RTCI_FRAME_AGAIN);
    assert_int_equal(carry(a, b, due, false, &r), RTCI_FRAME_DATA);
    assert_int_equal(r, RTCI_SESSION_MESSAGE);
    /* Nothing is committed yet: a new link goes on behind what was received, at once. */
    assert_int_equal(rtci_session_send(a, "text", 4, &seq), 0);
    assert_int_equal(carry(a, b, due, true, &r), RTCI_FRAME_DATA);
    connect(a, b, due);
    assert_int_equal(carry(a, b, due, false, &r), RTCI_FRAME_DATA);
    assert_int_equal(r, RTCI_SESSION_MESSAGE);
    rtci_session_free(a);
    rtci_session_free(b);
}

/* What is committed is told within 5 ms, and then forgotten by the end that sent it. */
static void commits(void **state)
{
    (void)state;
    struct rtci_session *a = make(true), *b = make(false);
    struct rtci_session_counts counts;
    enum rtci_session_result r;
    uint64_t seq;
    connect(a, b, 0);
    assert_int_equal(rtci_session_send(a, "text", 4, &seq), 0);
    assert_int_equal(carry(a, b, 0, false, &r), RTCI_FRAME_DATA);
    rtci_session_commit(b, 9); /* no more than was received */
    assert_int_equal(rtci_session_deadline(b), 5 * MS);
    assert_int_equal(carry(b, a, 4 * MS, false, &r), 0);
    assert_int_equal(carry(b, a, 5 * MS, false, &r), RTCI_FRAME_BEAT);
    rtci_session_counts(a, &counts);
    assert_int_equal(counts.peer_committed, 1);
    assert_int_equal(counts.kept, 0);
    rtci_session_free(a);
    rtci_session_free(b);
}

static void repeated(void **state)
{
    (void)state;
    struct rtci_session *s = make(false);
    assert_int_equal(give(s, 0, sync_of(1)), RTCI_SESSION_NOTHING);
    struct rtci_frame f = sync_of(1);
    f.kind = RTCI_FRAME_DATA;
    f.seq = 1;
    assert_int_equal(give(s, 0, f), RTCI_SESSION_MESSAGE);
    assert_int_equal(give(s, 0, f), RTCI_SESSION_REPEATED);
    rtci_session_free(s);
}

static void silence(void **state)
{
    (void)state;
    struct rtci_session *s = make(false);
    assert_int_equal(rtci_session_state(s, 0), RTCI_SESSION_DOWN);
    assert_int_equal(give(s, 0, sync_of(1)), RTCI_SESSION_NOTHING);
    assert_int_equal(rtci_session_state(s, 2999 * MS), RTCI_SESSION_UP);
    assert_int_equal(rtci_session_state(s, 3000 * MS), RTCI_SESSION_SUSPECT);
    rtci_session_link_down(s, 100 * MS);
    assert_int_equal(rtci_session_state(s, 100 * MS), RTCI_SESSION_SUSPECT);
    assert_int_equal(give(s, 200 * MS, sync_of(2)), RTCI_SESSION_NOTHING);
    assert_int_equal(rtci_session_state(s, 200 * MS), RTCI_SESSION_UP);
    /* At the end of its lease it is dead, and stays so whatever it says. */
    assert_int_equal(give(s, 10200 * MS, sync_of(3)), RTCI_SESSION_OTHER);
    assert_int_equal(rtci_session_state(s, 10200 * MS), RTCI_SESSION_DEAD);
    rtci_session_free(s);
}

static void window(void **state)
{
    (void)state;
    static uint8_t big[RTCI_SESSION_MESSAGE_MAX + 1];
    struct rtci_session *s = make(true);
    uint64_t seq, n = 0;
    assert_int_equal(rtci_session_send(s, big, sizeof(big), &seq), RTC_E_TOO_LARGE);
    while (rtci_session_send(s, big, 1000, &seq) == 0)
        n++;
    assert_int_equal(n, 4);
    assert_int_equal(rtci_session_send(s, NULL, 4000, &seq), RTC_E_AGAIN);
    rtci_session_free(s);
}

static void nonsense(void **state)
{
    (void)state;
    struct rtci_session *s = make(false);
    struct rtci_frame f = sync_of(1), bad;
    assert_int_equal(give(s, 0, f), RTCI_SESSION_NOTHING);
    bad = f;
    bad.magic++;
    assert_int_equal(give(s, 0, bad), RTCI_SESSION_INVALID);
    bad = f;
    bad.kind = 9;
    assert_int_equal(give(s, 0, bad), RTCI_SESSION_INVALID);
    bad = f;
    bad.committed = 1;
    assert_int_equal(give(s, 0, bad), RTCI_SESSION_INVALID);
    bad = f;
    bad.session = 2;
    assert_int_equal(give(s, 0, bad), RTCI_SESSION_OTHER);
    bad = f;
    bad.link = 0;
    assert_int_equal(give(s, 0, bad), RTCI_SESSION_OTHER);
    bad = f;
    bad.kind = RTCI_FRAME_DATA; /* numbers begin with 1 */
    assert_int_equal(give(s, 0, bad), RTCI_SESSION_INVALID);
    assert_int_equal(rtci_session_state(s, 0), RTCI_SESSION_UP);
    bad = f;
    bad.received = 5; /* of what was never sent */
    assert_int_equal(give(s, 0, bad), RTCI_SESSION_INVALID);
    assert_int_equal(rtci_session_state(s, 0), RTCI_SESSION_BROKEN);
    rtci_session_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost), cmocka_unit_test(lost_ones), cmocka_unit_test(commits),
        cmocka_unit_test(repeated),        cmocka_unit_test(silence),   cmocka_unit_test(window),
        cmocka_unit_test(nonsense)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
