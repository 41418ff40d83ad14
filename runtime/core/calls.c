#include "runtime/core/calls.h"

#include <rtc/error.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/core/calls_internal.h"
#include "runtime/core/grow.h"

#define NEVER    (UINT64_MAX / 2) /* times of sessions that the head decides */
#define WINDOW   (UINT64_MAX / 4) /* what is kept is bounded by the rings that it stands in */
#define RETRY_NS (100 * RTCI_NS_PER_MS)
#define FULL_NS  (1 * RTCI_NS_PER_MS)
#define AWAY_NS  (20 * RTCI_NS_PER_MS)
/* Acknowledged after so long, so many or so much: each time the other daemon wakes up. */
#define ACK_NS        (5 * RTCI_NS_PER_MS)
#define ACK_MESSAGES  64u
#define ACK_BYTES     (256 * RTCI_KIB)
#define MESSAGE_BYTES (64 * RTCI_KIB) /* of many small records; a larger one goes alone */

_Static_assert(sizeof(struct rtci_calls_frame) % 8 == 0, "what follows is aligned");

struct rtci_calls *rtci_calls_create(const struct rtci_calls_ops *ops, void *arg, uint64_t instance)
{
    struct rtci_calls *calls = calloc(1, sizeof(*calls));
    if (!calls)
        return NULL;
    calls->ops = *ops;
    calls->arg = arg;
    calls->instance = instance;
    calls->due_ns = UINT64_MAX;
    return calls;
}

void rtci_calls_free(struct rtci_calls *calls)
{
    if (!calls)
        return;
    for (uint32_t i = 0; i < calls->n_peers; i++) {
        rtci_session_free(calls->peers[i].out);
        rtci_session_free(calls->peers[i].in);
        free(calls->peers[i].numbers);
    }
    rtci_map_fini(&calls->peer_by_node);
    rtci_map_fini(&calls->flight_by_call);
    free(calls->peers);
    free(calls->dirty);
    free(calls->taken);
    free(calls->flights);
    free(calls);
}

static uint32_t peer_of(struct rtci_calls *calls, uint32_t node)
{
    const uint32_t *known = rtci_map_find(&calls->peer_by_node, node, 0);
    if (known)
        return *known;
    core_grow(&calls->peers, &calls->cap_peers, calls->n_peers, sizeof(*calls->peers));
    calls->peers[calls->n_peers] = (struct peer){.node = node};
    RTCI_ASSERT(rtci_map_set(&calls->peer_by_node, node, 0, calls->n_peers));
    return calls->n_peers++;
}

static void touch(struct rtci_calls *calls, struct peer *p)
{
    if (p->dirty)
        return;
    p->dirty = true;
    core_grow(&calls->dirty, &calls->cap_dirty, calls->n_dirty, sizeof(*calls->dirty));
    calls->dirty[calls->n_dirty++] = (uint32_t)(p - calls->peers);
}

/* ---- Sessions ---- */

static struct rtci_session *session_new(uint64_t id, bool dials, uint64_t now_ns)
{
    struct rtci_session_config config = {.id = id,
                                         .dials = dials,
                                         .answers = !dials,
                                         .window = WINDOW,
                                         .beat_ns = NEVER, /* who is silent has nothing to say */
                                         .retry_ns = RETRY_NS,
                                         .silence_ns = NEVER,
                                         .lease_ns = NEVER};
    struct rtci_session *session = rtci_session_create(&config, now_ns);
    RTCI_ASSERT(session);
    return session;
}

static void open_out(struct rtci_calls *calls, struct peer *p, uint64_t now_ns)
{
    p->out_id = ++calls->last_session;
    p->out = session_new(p->out_id, true, now_ns);
    rtci_session_link_up(p->out, now_ns);
    touch(calls, p);
}

static void close_in(struct peer *p)
{
    rtci_session_free(p->in);
    p->in = NULL;
    p->in_id = p->safe = p->ack_ns = 0;
    p->n_taken = 0;
    p->bytes_taken = 0;
}

static void settle(struct peer *p, uint32_t n)
{
    p->head = p->cap ? (p->head + n) & (p->cap - 1) : 0;
    p->n -= n;
}

/* Those are settled that the session keeps no more: its kept ones are the newest. */
static void settle_committed(struct peer *p)
{
    struct rtci_session_counts counts;
    rtci_session_counts(p->out, &counts);
    uint64_t numbered = counts.numbered - counts.peer_committed;
    if (p->n > numbered)
        settle(p, p->n - (uint32_t)numbered);
}

struct resend {
    struct rtci_session *to;
    uint64_t seq, sent;
};

/* What had left may have been given to its actor. */
static void mark_repeated(uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        struct rtci_rec *rec = (struct rtci_rec *)(data + at);
        if (rec->type == RTCI_R_ACTOR_CALL)
            ((struct rtci_spec *)rec)->flags |= RTCI_SPEC_REPEATED;
        at += rec->size;
    }
}

static void resend(void *arg, const void *data, size_t size)
{
    struct resend *r = arg;
    uint64_t seq;
    struct rtci_buf copy = {0};
    rtci_buf_put(&copy, data, size);
    RTCI_ASSERT(!copy.failed);
    if (++r->seq <= r->sent)
        mark_repeated(copy.data, size);
    RTCI_ASSERT(!rtci_session_send(r->to, copy.data, size, &seq));
    rtci_buf_fini(&copy);
}

/* The daemon there knows nothing of the session: what it had not acknowledged is sent to it anew.
 */
static void renew_out(struct rtci_calls *calls, struct peer *p, uint64_t now_ns)
{
    struct rtci_session *old = p->out;
    struct rtci_session_counts counts;
    if (!old)
        return;
    rtci_session_counts(old, &counts);
    open_out(calls, p, now_ns);
    struct resend r = {p->out, counts.peer_committed, counts.sent};
    rtci_session_each(old, resend, &r);
    rtci_session_free(old);
    calls->counts.renewed++;
}

/* What was between this node and a life of that one. */
static void end_life(struct rtci_calls *calls, uint32_t index)
{
    struct peer *p = &calls->peers[index];
    rtci_session_free(p->out);
    p->out = NULL;
    close_in(p);
    p->out_id = p->out_life = p->instance = p->life = 0;
    p->away = false;
    p->again_ns = 0;
    settle(p, p->n);
    calls_abandon(calls, index);
}

void rtci_calls_life(struct rtci_calls *calls, uint64_t now_ns, uint64_t life)
{
    bool first = calls->life == 0;
    if (calls->life == life)
        return;
    calls->life = life;
    for (uint32_t i = 0; i < calls->n_peers; i++) {
        if (!first)
            end_life(calls, i);
        touch(calls, &calls->peers[i]);
    }
    (void)now_ns;
}

void rtci_calls_gone(struct rtci_calls *calls, uint64_t now_ns, uint32_t node, uint64_t life,
                     bool lives)
{
    uint32_t index = peer_of(calls, node);
    struct peer *p = &calls->peers[index];
    p->gone = life > p->gone ? life : p->gone;
    if (p->life ? p->life <= p->gone : !lives)
        end_life(calls, index);
    (void)now_ns;
}

void rtci_calls_watch_again(struct rtci_calls *calls)
{
    for (uint32_t i = 0; i < calls->n_peers; i++) {
        if (calls->peers[i].out || calls->peers[i].in)
            calls->ops.watch(calls->arg, calls->peers[i].node);
    }
}

void rtci_calls_linked(struct rtci_calls *calls, uint64_t now_ns, uint32_t node)
{
    for (uint32_t i = 0; i < calls->n_peers; i++) {
        struct peer *p = &calls->peers[i];
        if (node && p->node != node)
            continue;
        p->again_ns = 0;
        p->away = false;
        if (p->out)
            rtci_session_link_up(p->out, now_ns);
        touch(calls, p);
    }
}

/* ---- Out ---- */

static void put_message(struct rtci_calls *calls, uint32_t index, const uint8_t *data, size_t size)
{
    struct peer *p = &calls->peers[index];
    uint64_t seq;
    calls->sent++;
    RTCI_ASSERT(!rtci_session_send(p->out, data, size, &seq));
    if (p->n == p->cap) {
        uint32_t cap = p->cap ? 2 * p->cap : 16;
        uint64_t *numbers = malloc(cap * sizeof(*numbers));
        RTCI_ASSERT(numbers);
        for (uint32_t i = 0; i < p->n; i++)
            numbers[i] = p->numbers[(p->head + i) & (p->cap - 1)];
        free(p->numbers);
        p->numbers = numbers;
        p->cap = cap;
        p->head = 0;
    }
    p->numbers[(p->head + p->n++) & (p->cap - 1)] = calls->sent;
    for (size_t at = 0; at < size;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(data + at);
        if (rec->type == RTCI_R_ACTOR_CALL)
            calls_begun(calls, index, (const struct rtci_spec *)rec);
        at += rec->size;
    }
}

void rtci_calls_send(struct rtci_calls *calls, uint64_t now_ns, uint32_t node, const void *span,
                     size_t size)
{
    uint32_t index = peer_of(calls, node);
    struct peer *p = &calls->peers[index];
    const uint8_t *data = span;
    if (!p->out) {
        open_out(calls, p, now_ns);
        calls->ops.watch(calls->arg, node);
        p = &calls->peers[index];
    }
    for (size_t at = 0, n; at < size; at += n) {
        n = ((const struct rtci_rec *)(data + at))->size;
        while (at + n < size &&
               n + ((const struct rtci_rec *)(data + at + n))->size <= MESSAGE_BYTES)
            n += ((const struct rtci_rec *)(data + at + n))->size;
        put_message(calls, index, data + at, n);
    }
    touch(calls, p);
}

/* A frame's message may have got to its actor from now on. */
static void noted(struct peer *p, const struct rtci_frame *frame)
{
    struct rtci_session_counts counts;
    rtci_session_counts(p->out, &counts);
    uint64_t from_last = counts.numbered - frame->seq; /* the newest is numbers[n - 1] */
    if (from_last >= p->n)
        return;
    uint64_t number = p->numbers[(p->head + p->n - 1 - (uint32_t)from_last) & (p->cap - 1)];
    p->last_put = number > p->last_put ? number : p->last_put;
}

/* Sends what the session has. False: it goes no further now. */
static bool pump(struct rtci_calls *calls, struct peer *p, struct rtci_session *session,
                 uint32_t kind, uint64_t now_ns)
{
    struct {
        struct rtci_calls_frame calls;
        struct rtci_frame frame;
    } head = {.calls = {RTCI_CALLS_MAGIC, kind, calls->life, calls->instance, p->instance}};
    const void *payload;
    size_t size;
    while (session && rtci_session_next(session, now_ns, &head.frame, &payload, &size)) {
        int rc = calls->ops.send(calls->arg, p->node, &head, sizeof(head), payload, size);
        if (rc) {
            p->away = rc != RTC_E_AGAIN;
            p->again_ns = now_ns + (p->away ? AWAY_NS : FULL_NS);
            return false;
        }
        if (head.frame.kind == RTCI_FRAME_DATA)
            noted(p, &head.frame);
        rtci_session_sent(session, now_ns);
    }
    return true;
}

/* When what is safe here is to be acknowledged; it is, where that is now. */
static uint64_t acknowledge(struct peer *p, uint64_t now_ns)
{
    if (!p->in || !p->ack_ns)
        return UINT64_MAX;
    if (now_ns < p->ack_ns && p->n_taken < ACK_MESSAGES && p->bytes_taken < ACK_BYTES)
        return p->ack_ns;
    struct rtci_session_counts counts;
    rtci_session_commit(p->in, p->safe);
    rtci_session_counts(p->in, &counts);
    p->n_taken = 0;
    p->bytes_taken = 0;
    p->ack_ns = counts.received > p->safe ? now_ns + ACK_NS : 0; /* some are not safe yet */
    return p->ack_ns ? p->ack_ns : UINT64_MAX;
}

static uint64_t flush_peer(struct rtci_calls *calls, struct peer *p, uint64_t now_ns)
{
    uint64_t due = UINT64_MAX;
    if (!calls->life || (!p->out && !p->in))
        return due;
    if (now_ns < p->again_ns)
        return p->again_ns;
    if (p->away && p->out) /* a new way: both ends tell how far they are */
        rtci_session_link_up(p->out, now_ns);
    p->again_ns = 0;
    p->away = false;
    uint64_t ack = acknowledge(p, now_ns);
    if (!pump(calls, p, p->in, RTCI_CALLS_BACK, now_ns) ||
        !pump(calls, p, p->out, RTCI_CALLS_FORTH, now_ns))
        return p->again_ns;
    due = p->out ? rtci_session_deadline(p->out) : due;
    uint64_t in = p->in ? rtci_session_deadline(p->in) : due;
    due = in < due ? in : due;
    due = ack < due ? ack : due;
    return due < NEVER ? due : UINT64_MAX;
}

void rtci_calls_flush(struct rtci_calls *calls, uint64_t now_ns)
{
    bool all = now_ns >= calls->due_ns;
    if (all)
        calls->due_ns = UINT64_MAX;
    for (uint32_t i = 0; i < calls->n_dirty; i++)
        calls->peers[calls->dirty[i]].dirty = false;
    uint32_t n = all ? calls->n_peers : calls->n_dirty;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t due = flush_peer(calls, &calls->peers[all ? i : calls->dirty[i]], now_ns);
        calls->due_ns = due < calls->due_ns ? due : calls->due_ns;
    }
    calls->n_dirty = 0;
}

uint64_t rtci_calls_deadline(const struct rtci_calls *calls)
{
    return calls->n_dirty ? 0 : calls->due_ns;
}

void rtci_calls_commit(struct rtci_calls *calls)
{
    struct rtci_session_counts counts;
    for (uint32_t i = 0; i < calls->n_taken; i++) {
        struct peer *p = &calls->peers[calls->taken[i]];
        p->taken = false;
        if (!p->in)
            continue;
        rtci_session_counts(p->in, &counts);
        p->safe = counts.received;
        if (p->n_taken >= ACK_MESSAGES || p->bytes_taken >= ACK_BYTES)
            touch(calls, p);
        else if (p->ack_ns && p->ack_ns < calls->due_ns)
            calls->due_ns = p->ack_ns; /* nothing leaves for it alone before */
    }
    calls->n_taken = 0;
}

/* ---- In ---- */

static void forgotten(struct rtci_calls *calls, const struct peer *p, uint64_t session)
{
    struct {
        struct rtci_calls_frame calls;
        struct rtci_frame frame;
    } head = {.calls = {RTCI_CALLS_MAGIC, RTCI_CALLS_FORGOTTEN, calls->life, calls->instance,
                        p->instance},
              .frame = {.magic = RTCI_FRAME_MAGIC, .session = session}};
    /* One that is lost is caused again. */
    RTCI_IGNORE(calls->ops.send(calls->arg, p->node, &head, sizeof(head), NULL, 0) == 0);
}

static void message(struct rtci_calls *calls, uint32_t index, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        int64_t n = rtci_wire_check(data + at, size - at);
        if (n < 0) { /* nothing of it is used */
            calls->counts.garbage++;
            return;
        }
        at += (size_t)n;
    }
    for (size_t at = 0; at < size;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(data + at);
        if (rec->type == RTCI_R_ACTOR_REPLY)
            calls_answered(calls, index, (const struct rtci_done *)rec);
        at += rec->size;
    }
    calls->counts.received++;
    calls->ops.span(calls->arg, calls->peers[index].node, data, size);
}

/* Of the other's session: one that is new begins with the SYNC of who has sent nothing yet. */
static void on_forth(struct rtci_calls *calls, uint32_t index, uint64_t now_ns, const void *data,
                     size_t size, const struct rtci_frame *f)
{
    struct peer *p = &calls->peers[index];
    const void *payload;
    uint64_t seq;
    if (!p->in || f->session != p->in_id) {
        if (f->session < p->in_id)
            return;
        if (f->kind != RTCI_FRAME_SYNC || f->seq != 0) {
            forgotten(calls, p, f->session);
            return;
        }
        if (!p->in && !p->out)
            calls->ops.watch(calls->arg, p->node);
        p = &calls->peers[index];
        close_in(p);
        p->in = session_new(f->session, false, now_ns);
        p->in_id = f->session;
    }
    enum rtci_session_result result =
        rtci_session_receive(p->in, now_ns, data, size, &payload, &size, &seq);
    if (rtci_session_state(p->in, now_ns) == RTCI_SESSION_BROKEN)
        forgotten(calls, p, p->in_id);
    if (result != RTCI_SESSION_MESSAGE || rtci_session_deadline(p->in) <= now_ns)
        touch(calls, p);
    if (result != RTCI_SESSION_MESSAGE)
        return;
    if (!p->ack_ns)
        p->ack_ns = now_ns + ACK_NS;
    p->n_taken++;
    p->bytes_taken += size;
    if (!p->taken) {
        core_grow(&calls->taken, &calls->cap_taken, calls->n_taken, sizeof(*calls->taken));
        calls->taken[calls->n_taken++] = index;
    }
    p->taken = true;
    message(calls, index, payload, size);
}

static void on_back(struct rtci_calls *calls, struct peer *p, uint64_t now_ns, const void *data,
                    size_t size, const struct rtci_frame *f)
{
    const void *payload;
    uint64_t seq;
    if (!p->out || f->session != p->out_id)
        return;
    p->out_life = p->life;
    RTCI_IGNORE(rtci_session_receive(p->out, now_ns, data, size, &payload, &size, &seq) == 0);
    settle_committed(p);
    touch(calls, p);
    if (rtci_session_state(p->out, now_ns) == RTCI_SESSION_BROKEN)
        renew_out(calls, p, now_ns);
}

/* Another daemon is there. What it had acknowledged is in the rings of its processes; but a process
 * may have ended meanwhile, or was not there any more, and the answer that said so is lost. */
static void other_daemon(struct rtci_calls *calls, uint32_t index, uint64_t now_ns)
{
    struct peer *p = &calls->peers[index];
    struct rtci_buf asks = {0};
    close_in(p);
    renew_out(calls, p, now_ns);
    calls_ask(calls, index, p->n ? p->numbers[p->head] : UINT64_MAX, &asks);
    if (asks.len)
        rtci_calls_send(calls, now_ns, p->node, asks.data, asks.len);
    rtci_buf_fini(&asks);
}

/* False: it is of one that is not any more, or was sent to one. */
static bool is_now(struct rtci_calls *calls, uint32_t index, uint64_t now_ns,
                   const struct rtci_calls_frame *c, const struct rtci_frame *f)
{
    struct peer *p = &calls->peers[index];
    if (!calls->life || !c->life || !c->instance || c->life <= p->gone || c->life < p->life ||
        (c->life == p->life && c->instance < p->instance))
        return false;
    if (c->to_instance && c->to_instance != calls->instance) {
        if (c->kind == RTCI_CALLS_FORTH && c->to_instance < calls->instance)
            forgotten(calls, p, f->session);
        return false; /* it may be older than all that this daemon was told */
    }
    if (p->out_life && c->life > p->out_life) {
        end_life(calls, index);
        p = &calls->peers[index];
    }
    if (p->life && c->life > p->life)
        close_in(p);
    p->life = c->life;
    bool other = p->instance && c->instance > p->instance;
    p->instance = c->instance;
    if (other)
        other_daemon(calls, index, now_ns);
    return true;
}

void rtci_calls_frame(struct rtci_calls *calls, uint64_t now_ns, uint32_t node, const void *data,
                      size_t size)
{
    struct rtci_calls_frame c;
    struct rtci_frame f;
    if (size < sizeof(c) + sizeof(f) || (uintptr_t)data % 8) {
        calls->counts.garbage++;
        return;
    }
    memcpy(&c, data, sizeof(c));
    memcpy(&f, (const uint8_t *)data + sizeof(c), sizeof(f));
    if (c.magic != RTCI_CALLS_MAGIC || f.magic != RTCI_FRAME_MAGIC) {
        calls->counts.garbage++;
        return;
    }
    uint32_t index = peer_of(calls, node);
    if (!is_now(calls, index, now_ns, &c, &f))
        return;
    const uint8_t *inner = (const uint8_t *)data + sizeof(c);
    struct peer *p = &calls->peers[index];
    if (c.kind == RTCI_CALLS_FORTH)
        on_forth(calls, index, now_ns, inner, size - sizeof(c), &f);
    else if (c.kind == RTCI_CALLS_BACK)
        on_back(calls, p, now_ns, inner, size - sizeof(c), &f);
    else if (c.kind == RTCI_CALLS_FORGOTTEN && p->out && f.session == p->out_id)
        renew_out(calls, p, now_ns);
}

/* ---- What is known ---- */

uint64_t rtci_calls_sent(const struct rtci_calls *calls)
{
    return calls->sent;
}

uint64_t rtci_calls_settled(const struct rtci_calls *calls)
{
    uint64_t settled = calls->sent;
    for (uint32_t i = 0; i < calls->n_peers; i++) {
        const struct peer *p = &calls->peers[i];
        if (p->n && p->numbers[p->head] - 1 < settled)
            settled = p->numbers[p->head] - 1;
    }
    return settled;
}

void rtci_calls_counts(const struct rtci_calls *calls, struct rtci_calls_counts *ret_counts)
{
    *ret_counts = calls->counts;
}
