#include "runtime/node/calling.h"

#include <rtc/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/base/log.h"

static int send_frame(void *arg, uint32_t node, const void *head, size_t head_size,
                      const void *data, size_t size)
{
    struct rtci_daemon *d = arg;
    if (!d->carry_call)
        return RTC_E_DISCONNECTED;
    d->sent_far = true;
    return d->carry_call(d->carrier, node, head, head_size, data, size);
}

static void take_span(void *arg, uint32_t node, const void *span, size_t size)
{
    struct rtci_daemon *d = arg;
    rtci_node_core_node_span(d->node, d->now_ns, node, span, size, &d->actions);
}

/* The head's own daemon knows by itself, and is never lost without all others knowing. */
static void watch_node(void *arg, uint32_t node)
{
    struct rtci_daemon *d = arg;
    struct rtci_slot_msg want = {{sizeof(want), RTCI_R_PEER_WANT, 0}, node, 1};
    if (d->remote && node != d->number)
        rtci_buf_put(&d->actions.to_head, &want, sizeof(want));
}

int rtci_calling_open(struct rtci_daemon *d)
{
    static const struct rtci_calls_ops ops = {
        .send = send_frame, .span = take_span, .watch = watch_node};
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t); /* goes on over restarts of the daemon */
    d->calls = rtci_calls_create(&ops, d, (uint64_t)t.tv_sec * RTCI_NS_PER_S + (uint64_t)t.tv_nsec);
    return d->calls ? 0 : RTC_E_NOMEM;
}

void rtci_calling_frame(struct rtci_daemon *d, uint32_t node, const void *data, size_t size)
{
    if (d->calls && node != d->number)
        rtci_calls_frame(d->calls, d->now_ns, node, data, size);
}

void rtci_calling_linked(struct rtci_daemon *d, uint32_t node)
{
    if (d->calls)
        rtci_calls_linked(d->calls, d->now_ns, node);
}

size_t rtci_calling_waiting(const struct rtci_daemon *d)
{
    size_t n = 0;
    for (uint32_t i = 0; i < d->actions.n_to_nodes; i++)
        n += d->actions.to_nodes[i].buf.len;
    return n;
}

/* ---- What waits for the head ---- */

/* For one node, in order. What it refers to was told to the head before: who gets it may ask there.
 */
struct rtci_held_calls {
    uint32_t node;
    uint64_t until; /* this message is committed; UINT64_MAX: it is not sent yet */
    struct rtci_buf span;
};

static bool refers(const struct rtci_rec *rec)
{
    if (rec->type == RTCI_R_ACTOR_CALL)
        return ((const struct rtci_spec *)rec)->n_refs != 0;
    const struct rtci_done *done = (const struct rtci_done *)rec;
    const struct rtci_resolved *rows = rtci_done_returns(done);
    for (uint32_t i = 0; i < done->n_returns; i++) {
        if (rows[i].n_refs || rows[i].kind == RTCI_KIND_ABSENT)
            return true;
    }
    return false;
}

static bool must_wait(const struct rtci_daemon *d, uint32_t node, const struct rtci_buf *span)
{
    for (uint32_t i = 0; i < d->n_held_calls; i++) {
        if (d->held_calls[i].node == node)
            return true; /* behind what it comes after */
    }
    if (!d->remote || d->said <= d->said_committed)
        return false;
    for (size_t at = 0; at < span->len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(span->data + at);
        if (refers(rec))
            return true;
        at += rec->size;
    }
    return false;
}

static void hold(struct rtci_daemon *d, uint32_t node, const struct rtci_buf *span)
{
    if (d->n_held_calls == d->cap_held_calls) {
        d->cap_held_calls = d->cap_held_calls ? 2 * d->cap_held_calls : 8;
        d->held_calls = realloc(d->held_calls, d->cap_held_calls * sizeof(*d->held_calls));
        RTCI_ASSERT(d->held_calls);
    }
    struct rtci_held_calls *held = &d->held_calls[d->n_held_calls++];
    *held = (struct rtci_held_calls){.node = node, .until = d->said};
    rtci_buf_put(&held->span, span->data, span->len);
    RTCI_ASSERT(!held->span.failed);
}

static void release(struct rtci_daemon *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_held_calls; i++) {
        struct rtci_held_calls *held = &d->held_calls[i];
        held->until = held->until == UINT64_MAX ? d->said : held->until;
        if (held->until > d->said_committed) {
            d->held_calls[n++] = *held; /* those behind it for that node have no smaller number */
            continue;
        }
        rtci_calls_send(d->calls, d->now_ns, held->node, held->span.data, held->span.len);
        rtci_buf_fini(&held->span);
    }
    d->n_held_calls = n;
}

void rtci_calling_renewed(struct rtci_daemon *d)
{
    for (uint32_t i = 0; i < d->n_held_calls; i++)
        d->held_calls[i].until = UINT64_MAX; /* its messages count anew */
    rtci_calls_watch_again(d->calls);
    rtci_calling_linked(d, 0);
}

/* ---- Lives ---- */

static void refuse(struct rtci_daemon *d, struct rtci_buf *span, const char *text)
{
    rtci_node_core_not_sent(d->node, text, span->data, span->len, &d->actions);
    rtci_buf_clear(span);
}

/* At once: what the head says next ends their jobs. */
void rtci_calling_tell_life(struct rtci_daemon *d, const struct rtci_life *life)
{
    if (d->calls && life->node == d->number && d->life && d->life != life->life)
        rtci_daemon_tell_drivers(d, rtci_life_over);
}

/* The head has taken this node for dead, and so its processes: what they were about to say to
 * others would come behind what was made of that, perhaps behind calls of those that were started
 * for them.
 */
static void life_over(struct rtci_daemon *d)
{
    const char *text = rtci_life_over;
    RTCI_LOG(WARN, NODE, "%s", text);
    rtci_node_core_life_over(d->node);
    for (uint32_t i = 0; i < d->n_held_calls; i++) {
        refuse(d, &d->held_calls[i].span, text);
        rtci_buf_fini(&d->held_calls[i].span);
    }
    d->n_held_calls = 0;
    for (uint32_t i = 0; i < d->actions.n_to_nodes; i++)
        refuse(d, &d->actions.to_nodes[i].buf, text);
}

static void own_life(struct rtci_daemon *d, uint64_t life)
{
    bool over = d->life && d->life != life;
    if (over) {
        life_over(d);
        rtci_calls_life(d->calls, d->now_ns, d->life); /* it may be of a daemon before this one */
    }
    d->life = life;
    rtci_calls_life(d->calls, d->now_ns, life);
    struct rtci_member_blob member = {.node = d->number, .life = life};
    struct rtci_keeper_msg msg = {
        .type = RTCI_KM_STORE, .key = RTCI_KEY_MEMBER, .blob_len = sizeof(member)};
    RTCI_IGNORE(rtci_keeper_send(d->keeper, &msg, &member, NULL, 0));
}

void rtci_calling_life(struct rtci_daemon *d, const struct rtci_life *life)
{
    if (!d->calls)
        return;
    RTCI_LOG(DEBUG, NODE, "node %u: life %llx", life->node, (unsigned long long)life->life);
    if (life->node == d->number)
        own_life(d, life->life);
    else
        rtci_calls_gone(d->calls, d->now_ns, life->node, life->life, life->lives);
}

/* ---- Out ---- */

/* The number is what a client wrote. A worker asks the head, which says so when there is no such
 * node (watch_node); the head's own daemon knows. */
static bool is_there(const struct rtci_daemon *d, uint32_t node)
{
    return d->calls && (!d->has_node || d->has_node(d->carrier, node));
}

void rtci_calling_send(struct rtci_daemon *d)
{
    struct rtci_node_actions *actions = &d->actions;
    if (d->n_held_calls)
        release(d);
    for (uint32_t i = 0; i < actions->n_to_nodes; i++) {
        struct rtci_buf *buf = &actions->to_nodes[i].buf;
        uint32_t node = actions->to_nodes[i].node;
        RTCI_ASSERT(!buf->failed);
        char text[64];
        snprintf(text, sizeof(text), "there is no node %u in the cluster (any more)", node);
        if (!is_there(d, node))
            rtci_node_core_not_sent(d->node, text, buf->data, buf->len, actions);
        else if (must_wait(d, node, buf))
            hold(d, node, buf);
        else
            rtci_calls_send(d->calls, d->now_ns, node, buf->data, buf->len);
        rtci_buf_clear(buf);
    }
    actions->n_to_nodes = 0;
    if (d->calls)
        rtci_calls_flush(d->calls, d->now_ns);
}

void rtci_calling_commit(struct rtci_daemon *d)
{
    if (d->calls)
        rtci_calls_commit(d->calls);
}

uint64_t rtci_calling_settled(const struct rtci_daemon *d)
{
    return d->calls ? rtci_calls_settled(d->calls) : 0;
}

void rtci_calling_consume(struct rtci_daemon *d, struct rtci_process *p, uint64_t settled)
{
    if (!d->calls || (!p->marked && !p->called)) { /* what it said to others was answered here */
        rtci_chan_consume(p->chan);
        return;
    }
    if (p->marked && settled >= p->mark_calls) {
        rtci_chan_consume_to(p->chan, p->mark_position);
        p->marked = false;
    }
    if (p->marked)
        return;
    p->mark_position = rtci_chan_position(p->chan);
    p->mark_calls = rtci_calls_sent(d->calls);
    p->marked = true;
    p->called = false;
}
