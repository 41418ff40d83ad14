/* The loop of a worker: rings of this host on one side, the link to the head on the other.
 *
 * What a client wrote stays in its ring until the head has committed the message that carried it: a
 * daemon killed at any instruction finds it there again. What the head said is acknowledged when it
 * stands in the rings of those it is for. */
#include <rtc/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/core/lease.h"
#include "runtime/net/net.h"
#include "runtime/node/blobs.h"
#include "runtime/node/calling.h"
#include "runtime/node/peering.h"
#include "runtime/node/worker.h"

#define UNSENT_MAX                                                                \
    (4 * RTCI_MIB) /* said by the node and not taken by the link; then rings wait \
                    */
#define STOP_WAIT_NS (10 * RTCI_NS_PER_S)
#define LATER_NS     (2 * RTCI_NS_PER_MS)
#define TELL_LEASE_NS \
    (50 * RTCI_NS_PER_MS) /* executors are told of a lease that ends so much later */
#define EVENTS_MAX 64     /* of the link, then rings have their turn */

struct worker {
    struct rtci_daemon daemon;
    struct rtci_link *link;
    struct rtci_link_config config;
    struct rtci_buf unsent, old;
    uint64_t later_ns;   /* when what is in no hurry is sent; 0: there is nothing of that */
    uint64_t sent;       /* number of the last message */
    uint64_t closed_seq; /* of daemon.closed, the first so many wait for this message */
    uint32_t closed_marked;
    int64_t shift; /* the head's clock less this host's */
    struct rtci_lease lease;
    uint64_t
        ready_seq; /* fenced: that ends when the head has this message; 0: it has not been said */
    bool fenced;
    bool joined, was_joined, ready_told, refused, left;
    int status;
};

/* ---- To the head ---- */

/* What clients have read may be told with what comes next: alone it is one more message for each
 * task that somebody waits for. */
static bool hold_back(struct worker *w)
{
    const struct rtci_buf *buf = &w->unsent;
    bool hurry = !buf->len || !rtci_wire_only(buf->data, buf->len, RTCI_R_CREDIT);
    if (!hurry && !w->later_ns)
        w->later_ns = w->daemon.now_ns + LATER_NS;
    if (!hurry && w->daemon.now_ns < w->later_ns)
        return true;
    w->later_ns = 0;
    return false;
}

/* Sends what the link takes, in whole records. */
static void send_up(struct worker *w)
{
    struct rtci_buf *buf = &w->unsent;
    struct rtci_buf *said = &w->daemon.actions.to_head;
    if (said->len && w->shift)
        rtci_shift_deadlines(said->data, said->len, w->shift);
    rtci_buf_put(buf, said->data, said->len);
    RTCI_ASSERT(!buf->failed && !said->failed);
    rtci_buf_clear(said);
    size_t at = 0;
    if (hold_back(w))
        return;
    while (w->joined && at < buf->len) {
        size_t part = 0;
        do
            part += ((struct rtci_rec *)(buf->data + at + part))->size;
        while (at + part < buf->len &&
               part + ((struct rtci_rec *)(buf->data + at + part))->size <= RTCI_MESSAGE_BYTES);
        if (rtci_link_room(w->link) < part ||
            rtci_link_send(w->link, buf->data + at, part, &w->sent))
            break;
        at += part;
    }
    w->daemon.sent_far |= at != 0;
    if (at) /* an empty one has no data */
        memmove(buf->data, buf->data + at, buf->len - at);
    buf->len -= at;
}

/* What comes later may be held against what was said so far. */
static void say_how_far(struct worker *w)
{
    const struct rtci_buf *left = &w->unsent;
    bool all = !left->len || rtci_wire_only(left->data, left->len, RTCI_R_CREDIT);
    w->daemon.said = all ? w->sent : UINT64_MAX;
    w->daemon.said_committed = w->joined ? rtci_link_committed(w->link) : 0;
}

/* The keeper gives up the channels of clients that are gone, when the head has committed the last
 * that was read from them. */
static void forget_closed(struct worker *w, uint64_t committed)
{
    struct rtci_daemon *d = &w->daemon;
    if (!d->n_closed || w->unsent.len)
        return;
    if (w->closed_marked && committed >= w->closed_seq) {
        for (uint32_t i = 0; i < w->closed_marked; i++) {
            uint32_t later = w->closed_marked; /* the token was another's, and closed again */
            while (later < d->n_closed && d->closed[later] != d->closed[i])
                later++;
            if (later == d->n_closed)
                rtci_daemon_unstore(d, d->closed[i]);
        }
        d->n_closed -= w->closed_marked;
        memmove(d->closed, d->closed + w->closed_marked, d->n_closed * sizeof(*d->closed));
        w->closed_marked = 0;
    }
    if (!w->closed_marked) {
        w->closed_marked = d->n_closed;
        w->closed_seq = w->sent;
    }
}

/* Frees of the rings what the head has committed, and other nodes have. One mark at a time for
 * each: the next is set when the last was reached. */
static void consume(struct worker *w)
{
    struct rtci_daemon *d = &w->daemon;
    uint64_t committed = rtci_link_committed(w->link), settled = rtci_calls_settled(d->calls);
    for (uint32_t i = 0; i < d->n_tokens; i++) {
        struct rtci_process *p = &d->process[d->tokens[i]];
        if (!p->chan)
            continue;
        if (p->marked && committed >= p->mark_seq && settled >= p->mark_calls) {
            rtci_chan_consume_to(p->chan, p->mark_position);
            p->marked = false;
        }
        uint64_t position = rtci_chan_position(p->chan);
        if (p->marked || w->unsent.len || position == p->mark_position ||
            (p->called && d->n_held_calls))
            continue;
        p->mark_seq = w->sent;
        p->mark_calls = p->called ? rtci_calls_sent(d->calls) : 0;
        p->called = false;
        p->mark_position = position;
        p->marked = true;
    }
    forget_closed(w, committed);
}

/* ---- Coming ---- */

/* As it was said: with the times of this host. */
static void keep_old(void *arg, const void *data, size_t size)
{
    struct worker *w = arg;
    rtci_buf_put(&w->old, data, size);
    RTCI_ASSERT(!w->old.failed);
    if (w->shift && size)
        rtci_shift_deadlines(w->old.data + w->old.len - size, size, -w->shift);
}

/* What was said and has not left is of before the session that begins. */
static void keep_unsent(struct worker *w)
{
    struct rtci_buf *said = &w->daemon.actions.to_head;
    keep_old(w, w->unsent.data, w->unsent.len);
    rtci_buf_put(&w->old, said->data, said->len);
    RTCI_ASSERT(!w->old.failed);
    rtci_buf_clear(&w->unsent);
    rtci_buf_clear(said);
}

/* The processes of this host repeat their open requests. */
static void count_epoch(struct rtci_daemon *d)
{
    for (uint32_t i = 0; i < d->n_tokens; i++) {
        struct rtci_process *p = &d->process[d->tokens[i]];
        if (!p->chan)
            continue;
        rtci_chan_info(p->chan)->daemon_epoch++;
        p->wrote = true;
    }
}

/* A new session: everything from the beginning. */
static void say_all(struct worker *w, const struct rtci_link_event *event)
{
    struct rtci_daemon *d = &w->daemon;
    d->number = event->node;
    d->epoch = event->epoch;
    rtci_node_core_set_number(d->node, event->node);
    w->lease.lease_ns = event->lease_ns;
    w->ready_seq = 0;
    rtci_node_core_set_rtt(d->node, event->rtt_ns);
    rtci_peering_welcome(d->peering, event->text);
    if (w->was_joined)
        count_epoch(d);
    rtci_node_core_hello(d->node, d->now_ns, &d->actions);
    if (w->old.len)
        rtci_node_core_renew(d->node, d->now_ns, w->old.data, w->old.len, &d->actions);
    rtci_buf_fini(&w->old);
    rtci_daemon_read_rest(d);
    rtci_node_core_ready(d->node, &d->actions);
    rtci_calling_renewed(d);
    w->joined = w->was_joined = true;
    for (uint32_t i = 0; i < d->n_tokens; i++) { /* what it carries is of this session now */
        d->process[d->tokens[i]].called |= d->process[d->tokens[i]].marked;
        d->process[d->tokens[i]].marked = false;
        d->process[d->tokens[i]].mark_position = 0;
    }
    w->closed_marked = 0;
}

static void on_welcome(struct worker *w, const struct rtci_link_event *event)
{
    struct rtci_daemon *d = &w->daemon;
    keep_unsent(w);
    w->shift = (int64_t)(event->head_ns - d->now_ns);
    say_all(w, event);
    d->away_ns = 0;
    RTCI_LOG(INFO, NODE, "joined as node %u", event->node);
    struct rtci_member_blob member = {.node = event->node, .life = d->life};
    struct rtci_keeper_msg msg = {
        .type = RTCI_KM_STORE, .key = RTCI_KEY_MEMBER, .blob_len = sizeof(member)};
    RTCI_IGNORE(rtci_keeper_send(d->keeper, &msg, &member, NULL, 0));
    if (!w->ready_told) {
        struct rtci_keeper_msg ready = {.type = RTCI_KM_READY};
        RTCI_IGNORE(rtci_keeper_send(d->keeper, &ready, NULL, NULL, 0));
    }
    w->ready_told = true;
}

static void on_message(struct worker *w, const struct rtci_link_event *event)
{
    struct rtci_daemon *d = &w->daemon;
    rtci_buf_clear(&d->turn);
    rtci_buf_put(&d->turn, event->data, event->size);
    RTCI_ASSERT(!d->turn.failed);
    for (size_t at = 0; at < d->turn.len;) {
        int64_t size = rtci_wire_check(d->turn.data + at, d->turn.len - at);
        if (size < 0) {
            RTCI_LOG(ERROR, NODE, "the head said something that is no record: it is left out");
            return;
        }
        const void *rec = d->turn.data + at;
        if (((const struct rtci_rec *)rec)->type == RTCI_R_LIFE)
            rtci_calling_tell_life(d, rec);
        at += (size_t)size;
    }
    if (w->shift)
        rtci_shift_deadlines(d->turn.data, d->turn.len, -w->shift);
    rtci_node_core_head_span(d->node, d->now_ns, d->turn.data, d->turn.len, &d->actions);
}

static void tell(struct worker *w, const char *text)
{
    fprintf(stderr, "rtc worker: %s\n", text);
    rtci_daemon_tell_drivers(&w->daemon, text);
}

static void away(struct worker *w, const char *text)
{
    struct rtci_daemon *d = &w->daemon;
    d->away_ns = d->away_ns ? d->away_ns : d->now_ns;
    snprintf(d->away_text, sizeof(d->away_text),
             "this host's worker does not reach the head: %.250s", text);
}

static void on_refused(struct worker *w, const struct rtci_link_event *event)
{
    tell(w, event->text);
    w->refused = true;
    w->status = 2;
}

static bool take_events(struct worker *w)
{
    struct rtci_daemon *d = &w->daemon;
    rtci_link_signal(w->link, d->net_event);
    if (d->direct_event)
        rtci_peering_signal(d->peering, d->direct_event);
    d->net_event = d->direct_event = 0;
    for (uint32_t n = 0; n < EVENTS_MAX; n++) {
        struct rtci_link_event event = rtci_link_take(w->link, d->now_ns);
        switch (event.type) {
        case RTCI_LINK_NONE: return n != 0;
        case RTCI_LINK_WELCOME: on_welcome(w, &event); break;
        case RTCI_LINK_MESSAGE: on_message(w, &event); break;
        case RTCI_LINK_BROKEN:
            tell(w, event.text);
            away(w, event.text);
            break;
        case RTCI_LINK_RESUMED:
            d->away_ns = 0;
            tell(w, "the head is back; nothing was lost");
            rtci_daemon_bulk_again(d, 0);
            rtci_calling_linked(d, 0);
            break;
        case RTCI_LINK_RENEW:
            w->joined = false;
            if (w->left) /* the head has forgotten this node, as it was asked to */
                return true;
            rtci_buf_clear(&w->old);
            rtci_link_uncommitted(w->link, keep_old, w);
            keep_unsent(w);
            rtci_link_renew(w->link, d->now_ns);
            break;
        case RTCI_LINK_REFUSED: on_refused(w, &event); return true;
        case RTCI_LINK_BULK: rtci_daemon_bulk(d, event.node, event.data, event.size); break;
        case RTCI_LINK_CALL: rtci_calling_frame(d, event.node, event.data, event.size); break;
        }
    }
    return true;
}

/* Directly, where there is a way; else through the head. */
static int carry(void *arg, uint32_t node, const void *head, size_t head_size, const void *data,
                 size_t size)
{
    struct worker *w = arg;
    int rc = RTC_E_DISCONNECTED;
    if (node != RTCI_HEAD_NODE)
        rc = rtci_peering_send(w->daemon.peering, node, head, head_size, data, size, w->joined);
    if (rc != RTC_E_DISCONNECTED)
        return rc;
    return rtci_link_bulk(w->link, node, head, head_size, data, size);
}

static int carry_call(void *arg, uint32_t node, const void *head, size_t head_size,
                      const void *data, size_t size)
{
    struct worker *w = arg;
    int rc = RTC_E_DISCONNECTED;
    if (node != RTCI_HEAD_NODE)
        rc = rtci_peering_call(w->daemon.peering, node, head, head_size, data, size, w->joined);
    if (rc != RTC_E_DISCONNECTED)
        return rc;
    return rtci_link_call(w->link, node, head, head_size, data, size);
}

/* ---- When the head may take this node for dead ---- */

/* A host that stood still has processes that go on before this one: they look for themselves
 * whether there is time left. */
static void tell_lease(struct worker *w)
{
    struct rtci_daemon *d = &w->daemon;
    if (w->lease.until_ns >= d->leased_ns && w->lease.until_ns - d->leased_ns < TELL_LEASE_NS)
        return;
    d->leased_ns = w->lease.until_ns;
    for (uint32_t i = 0; i < d->n_tokens; i++) {
        struct rtci_process *p = &d->process[d->tokens[i]];
        if (p->chan && p->blob.role == RTCI_ROLE_EXECUTOR)
            __atomic_store_n(&rtci_chan_info(p->chan)->leased_ns, d->leased_ns, __ATOMIC_RELAXED);
    }
}

static void fence(struct worker *w, bool fenced)
{
    struct rtci_daemon *d = &w->daemon;
    w->fenced = fenced;
    rtci_node_core_fence(d->node, fenced, &d->actions);
    rtci_daemon_perform(d);
}

/* Actors that may be started elsewhere stand still, until the head is heard again; if the session
 * is a new one, until it has said which of them have to end. */
static void fence_step(struct worker *w)
{
    rtci_lease_heard(&w->lease, rtci_link_heard(w->link));
    bool silent = rtci_lease_over(&w->lease);
    if (!w->fenced && silent)
        RTCI_LOG(WARN, NODE, "the head is silent: actors that it may start elsewhere are stopped");
    if (!w->fenced && silent)
        fence(w, true);
    else if (w->fenced && !silent && w->joined && !w->unsent.len && w->ready_seq &&
             rtci_link_committed(w->link) >= w->ready_seq) {
        tell_lease(w);
        fence(w, false);
    } else if (!w->fenced) {
        tell_lease(w);
    }
}

/* ---- The loop ---- */

static bool turn(struct worker *w)
{
    struct rtci_daemon *d = &w->daemon;
    uint64_t boot_ns = rtci_clock_boot_ns();
    d->now_ns = rtci_daemon_now();
    if (rtci_lease_look(&w->lease, d->now_ns, boot_ns))
        rtci_link_paused(w->link, d->now_ns);
    bool any = w->joined && w->unsent.len < UNSENT_MAX && rtci_daemon_read_all(d);
    any |= take_events(w);
    any |= rtci_peering_take(d->peering);
    rtci_node_core_tick(d->node, d->now_ns, &d->actions);
    rtci_daemon_perform(d);
    any |= rtci_daemon_cluster_step(d);
    rtci_daemon_flush(d);
    rtci_calling_commit(d);
    d->actions.n_out = 0;
    send_up(w);
    say_how_far(w);
    rtci_calling_send(d);
    w->ready_seq = w->ready_seq || w->unsent.len || !w->joined ? w->ready_seq : w->sent;
    consume(w);
    rtci_link_commit(w->link);
    rtci_link_flush(w->link, d->now_ns);
    fence_step(w);
    return any || (w->joined && d->actions.to_head.len);
}

static void begin_stop(struct worker *w)
{
    struct rtci_daemon *d = &w->daemon;
    if (d->stop_ns)
        return;
    d->stop_ns = d->now_ns;
    struct rtci_slot_msg drain = {{sizeof(drain), RTCI_R_CORDON, 0}, d->number, 2};
    if (w->joined && !d->stop_now)
        rtci_buf_put(&d->actions.to_head, &drain, sizeof(drain));
}

/* It ends when it is drained, at once when it is told so, and not later than some seconds after. */
static bool finished(struct worker *w)
{
    struct rtci_daemon *d = &w->daemon;
    if (w->refused)
        return true;
    if (!d->stopping && !d->leaving)
        return false;
    begin_stop(w);
    uint64_t most = d->away_ns ? RTCI_NS_PER_S : STOP_WAIT_NS;
    return d->stop_now || d->leaving || !w->joined || d->now_ns - d->stop_ns > most;
}

/* Says that it is gone, and waits a moment for the head to have heard it. */
static void say_goodbye(struct worker *w)
{
    struct rtci_daemon *d = &w->daemon;
    struct rtci_rec leave = {sizeof(leave), RTCI_R_LEAVE, 0};
    uint64_t until = rtci_daemon_now() + RTCI_NS_PER_S;
    if (!w->joined || w->refused || d->away_ns)
        return;
    rtci_buf_put(&d->actions.to_head, &leave, sizeof(leave));
    w->left = true;
    turn(w);
    while ((w->unsent.len || rtci_link_committed(w->link) < w->sent) && rtci_daemon_now() < until &&
           w->joined && !w->refused) {
        rtci_daemon_sleep(d, false, rtci_link_deadline(w->link));
        d->now_ns = rtci_daemon_now();
        take_events(w);
        send_up(w);
        rtci_link_commit(w->link);
        rtci_link_flush(w->link, d->now_ns);
    }
}

static int open_link(struct worker *w)
{
    struct rtci_daemon *d = &w->daemon;
    struct utsname uts;
    char text[RTCI_TEXT_MAX];
    int rc = rtci_join_parse(d->options.join, &w->config.join, text, sizeof(text));
    if (!rc)
        rc = rtci_keys_open(d->state_dir, "node", &w->config.keys, text, sizeof(text));
    uname(&uts);
    snprintf(w->config.name, sizeof(w->config.name), "%s", rtci_node_core_name(d->node));
    snprintf(w->config.arch, sizeof(w->config.arch), "%.15s", uts.machine);
    w->config.flags =
        (d->options.embedded ? RTCI_HELLO_DRIVER : 0) | (d->was_member ? 0 : RTCI_HELLO_FRESH);
    if (!rc)
        rc = rtci_link_open(&w->config, &w->link, text, sizeof(text));
    if (rc)
        fprintf(stderr, "rtc worker: %s\n", text);
    else
        rc = rtci_peering_open(d, &w->config.keys, &w->config.join, &d->peering);
    return rc;
}

static bool watch_link(struct worker *w)
{
    int fds[RTCI_FDS_MAX];
    uint32_t n = rtci_link_fds(w->link, fds);
    bool ok = true;
    for (uint32_t i = 0; i < n; i++)
        ok &= rtci_daemon_watch(&w->daemon, fds[i], RTCI_TAG_NET + i) != NULL;
    return ok;
}

static void run_loop(struct worker *w)
{
    struct rtci_daemon *d = &w->daemon;
    bool busy = false;
    d->remote = true;
    d->now_ns = rtci_daemon_now();
    away(w, "it has not joined yet");
    rtci_daemon_survivors(d);
    rtci_daemon_bury(d);
    fence(w, true); /* nobody knows for how long the head has not heard of them */
    while (!finished(w)) {
        uint64_t at = rtci_link_deadline(w->link), other = rtci_daemon_cluster_deadline(d),
                 direct = rtci_peering_deadline(d->peering);
        at = other < at ? other : at;
        at = w->later_ns && w->later_ns < at ? w->later_ns : at;
        uint64_t over = rtci_lease_deadline(&w->lease);
        at = !w->fenced && over < at ? over : at;
        rtci_daemon_sleep(d, busy, direct < at ? direct : at);
        busy = turn(w);
    }
    say_goodbye(w);
}

int rtci_worker_run(const struct rtci_daemon_options *options)
{
    static struct worker w;
    struct rtci_daemon *d = &w.daemon;
    d->options = *options;
    if (rtci_daemon_prepare(d))
        return 2;
    d->carrier = &w;
    d->carry = carry;
    d->carry_call = carry_call;
    if (rtci_blobs_open(d) || rtci_calling_open(d) || open_link(&w) ||
        !rtci_daemon_watch_usual(d) || !watch_link(&w)) {
        rtci_daemon_cleanup(d);
        return 2;
    }
    run_loop(&w);
    rtci_daemon_logs(d);
    rtci_daemon_flush(d);
    rtci_peering_close(d->peering);
    rtci_link_close(w.link);
    rtci_daemon_cleanup(d);
    struct rtci_keeper_msg quit = {.type = RTCI_KM_QUIT, .value = w.status};
    RTCI_IGNORE(rtci_keeper_send(d->keeper, &quit, NULL, NULL, 0));
    return w.status;
}
