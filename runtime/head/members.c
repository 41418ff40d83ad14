#include "runtime/head/members.h"

#include <rtc/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/log.h"
#include "runtime/head/lives.h"
#include "runtime/head/reach.h"
#include "runtime/net/net.h"
#include "runtime/node/blobs.h"
#include "runtime/node/calling.h"

#define GOODBYE_NS (10 * RTCI_NS_PER_MS) /* for the acknowledgement of a goodbye to leave */
#define SUSPECT_NS                                                                \
    (25 * RTCI_NS_PER_MS) /* a broken connection that was not resumed within this \
                           */
#define LATER_NS     (2 * RTCI_NS_PER_MS)
#define USUAL_PORT   6380
#define FIRST_NUMBER 2u /* 1 is the head's own node */

struct other { /* a node, by number */
    uint8_t key[RTCI_KEY_BYTES];
    struct rtci_member kept;
    uint64_t incarnation; /* of its session; 0: the core does not have it */
    uint64_t suspect_ns;  /* when it is suspected; 0: no reason */
    uint64_t until_ns;    /* expected back until; 0: it is here */
    uint64_t left_ns;     /* it said goodbye, and is forgotten then; 0: it did not */
    bool used, suspected;
    bool drowned;          /* it does not take what is sent to it */
    struct rtci_buf later; /* said to it and in no hurry: goes before the next that is, or then … */
    uint64_t later_ns;     /* … 0: there is nothing of that */
    char address[64];      /* where other nodes may reach it; empty: nowhere */
};
struct rtci_members {
    struct rtci_daemon *daemon;
    struct rtci_head_core *core;
    struct rtci_head_actions *actions;
    struct rtci_hub *hub;
    struct rtci_reach *reach;
    struct other *others; /* RTCI_NODES_MAX + 1 */
    uint32_t n_others;    /* numbers below this were used */
    uint64_t incarnations, timer_ns, lease_ns;
    struct rtci_lives *lives;
};

/* ---- What is kept of them ---- */

static void keep(struct rtci_members *m, uint32_t number)
{
    struct other *o = &m->others[number];
    char hex[65];
    rtci_key_text(o->key, hex);
    bool gone = !o->kept.alive && o->kept.flags & RTCI_HELLO_DRIVER;
    rtci_head_core_kv_put(m->core, m->daemon->now_ns, RTCI_NS_NODES, hex, gone ? NULL : &o->kept,
                          gone ? 0 : sizeof(o->kept), m->actions);
    if (gone) {
        rtci_buf_fini(&o->later);
        *o = (struct other){0}; /* its number is free */
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool key_of(const char *hex, size_t len, uint8_t ret_key[RTCI_KEY_BYTES])
{
    for (size_t i = 0; len == 64 && i < RTCI_KEY_BYTES; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_key[i] = (uint8_t)(high << 4 | low);
    }
    return len == 64;
}

static void recall(void *arg, const char *key, uint32_t key_len, const void *value, uint32_t size)
{
    struct rtci_members *m = arg;
    struct rtci_member kept;
    uint8_t raw[RTCI_KEY_BYTES];
    if (size != sizeof(kept) || !key_of(key, key_len, raw))
        return;
    memcpy(&kept, value, sizeof(kept));
    if (kept.number < FIRST_NUMBER || kept.number > RTCI_NODES_MAX || m->others[kept.number].used)
        return;
    struct other *o = &m->others[kept.number];
    *o = (struct other){.kept = kept, .used = true};
    memcpy(o->key, raw, sizeof(raw));
    m->n_others = kept.number >= m->n_others ? kept.number + 1 : m->n_others;
}

/* Those that were there when the head ended go on, and come back: nothing is leased before. */
static void expect(struct rtci_members *m)
{
    for (uint32_t i = FIRST_NUMBER; i < m->n_others; i++) {
        struct other *o = &m->others[i];
        if (!o->used || !o->kept.alive)
            continue;
        o->incarnation = ++m->incarnations;
        o->until_ns = m->daemon->now_ns + rtci_member_lease(&o->kept, m->lease_ns);
        m->timer_ns = o->until_ns < m->timer_ns ? o->until_ns : m->timer_ns;
        rtci_head_core_node_up(m->core, m->daemon->now_ns, i, o->incarnation, m->actions);
    }
}

/* ---- Who may join ---- */

static uint32_t number_of(struct rtci_members *m, const uint8_t key[RTCI_KEY_BYTES])
{
    uint32_t free = 0;
    for (uint32_t i = FIRST_NUMBER; i < m->n_others; i++) {
        if (m->others[i].used && !memcmp(m->others[i].key, key, RTCI_KEY_BYTES))
            return i;
        free = free || m->others[i].used ? free : i;
    }
    if (!free && m->n_others <= RTCI_NODES_MAX)
        free = m->n_others++;
    if (free) {
        m->others[free] = (struct other){0};
        memcpy(m->others[free].key, key, RTCI_KEY_BYTES);
    }
    return free;
}

static void admit(void *arg, const uint8_t key[RTCI_KEY_BYTES], const struct rtci_net_hello *hello,
                  struct rtci_net_welcome *ret)
{
    struct rtci_members *m = arg;
    uint32_t number = number_of(m, key);
    struct other *o = &m->others[number];
    ret->status = 0;
    ret->node = number;
    ret->lease_ns = m->lease_ns;
    if (!number) {
        ret->status = RTC_E_TOO_LARGE;
        snprintf(ret->text, sizeof(ret->text), "the cluster has %u nodes, more are not possible",
                 RTCI_NODES_MAX);
        return;
    }
    if (!o->used && !rtci_token_good(m->core, hello->token)) {
        ret->status = RTC_E_INVALID;
        snprintf(ret->text, sizeof(ret->text),
                 "the token of the join line is not known to the head (was it revoked?): get a new "
                 "join line there with `rtc token new`");
        return;
    }
    o->used = true;
    o->kept.number = number;
    o->kept.flags = hello->flags & RTCI_HELLO_DRIVER;
    memcpy(o->kept.name, hello->name, sizeof(o->kept.name));
    o->kept.name[sizeof(o->kept.name) - 1] = 0;
}

/* ---- What happens ---- */

static void forget_later(struct other *o)
{
    rtci_buf_clear(&o->later);
    o->later_ns = 0;
}

/* One that takes nothing more ends in the next turn: the actions of this one are going out. */
static void send_now(struct rtci_members *m, uint32_t node, const struct rtci_buf *buf)
{
    m->daemon->sent_far |= buf->len != 0;
    if (!buf->len || rtci_hub_send(m->hub, node, buf->data, buf->len) != RTC_E_AGAIN)
        return;
    m->others[node].drowned = true;
    m->timer_ns = 0;
}

/* ---- Lives ---- */

/* More than that of any life before: under this head, and those before it. */
static uint64_t newest_life(const struct rtci_members *m)
{
    return m->daemon->epoch << 32 | m->incarnations;
}

static bool has_node(void *arg, uint32_t node)
{
    struct rtci_members *m = arg;
    return node < m->n_others && m->others[node].incarnation != 0;
}

static void tell_life(void *arg, uint32_t to, uint32_t about, uint64_t life)
{
    struct rtci_members *m = arg;
    struct rtci_life rec = {.rec = {sizeof(rec), RTCI_R_LIFE, 0},
                            .node = about,
                            .lives = has_node(m, about),
                            .life = life};
    if (to == RTCI_HEAD_NODE)
        rtci_calling_life(m->daemon, &rec);
    else /* when it cannot be told, it is lost as well */
        RTCI_IGNORE(rtci_hub_send(m->hub, to, &rec, sizeof(rec)) == 0);
}

/* A node wants to know when that one is lost. It hears at once of lives before: it may have missed
 * one while this head was another. */
static void watch_life(struct rtci_members *m, uint32_t node, uint32_t watched)
{
    if (watched < FIRST_NUMBER || watched > RTCI_NODES_MAX || watched == node)
        return;
    bool has = has_node(m, watched);
    tell_life(m, node, watched, has ? m->others[watched].kept.life - 1 : newest_life(m));
    if (has)
        rtci_lives_watch(m->lives, node, watched);
}

/* Whatever the core has of the node ends. */
static void end(struct rtci_members *m, uint32_t node, const char *cause)
{
    struct other *o = &m->others[node];
    if (o->incarnation)
        rtci_lives_end(m->lives, node, newest_life(m));
    RTCI_LOG(WARN, HEAD, "node %u (%s) is lost: %s", node, o->kept.name, cause);
    rtci_daemon_bulk_gone(m->daemon, node);
    forget_later(o);
    rtci_head_core_node_down(m->core, m->daemon->now_ns, node, o->incarnation, cause, m->actions);
    o->incarnation = o->suspect_ns = o->until_ns = o->left_ns = 0;
}

static void lost(struct rtci_members *m, uint32_t node, const char *cause)
{
    struct other *o = &m->others[node];
    if (!o->incarnation)
        return;
    rtci_hub_drop(m->hub, node);
    end(m, node, cause);
    o->kept.alive = false;
    keep(m, node);
}

static void on_joined(struct rtci_members *m, const struct rtci_hub_event *event)
{
    struct other *o = &m->others[event->node];
    if (event->hello->flags & RTCI_HELLO_FRESH && o->incarnation)
        end(m, event->node, "its host was started again");
    if (o->left_ns)
        end(m, event->node, "it left");
    rtci_daemon_bulk_again(m->daemon, event->node);
    forget_later(o); /* it is of the session before */
    bool again = o->incarnation != 0;
    o->incarnation = ++m->incarnations;
    if (!again || !o->kept.life)
        o->kept.life = newest_life(m);
    tell_life(m, event->node, event->node, o->kept.life);
    rtci_calling_linked(m->daemon, event->node);
    o->suspect_ns = o->until_ns = 0;
    o->suspected = false;
    o->kept.alive = true;
    o->kept.lease_ms = (uint32_t)(m->lease_ns / RTCI_NS_PER_MS);
    keep(m, event->node);
    RTCI_LOG(INFO, HEAD, "node %u (%s) joined", event->node, o->kept.name);
    rtci_head_core_node_up(m->core, m->daemon->now_ns, event->node, o->incarnation, m->actions);
}

/* ---- Who is where ---- */

static void tell_peer(struct rtci_members *m, uint32_t to, uint32_t about)
{
    const struct other *o = &m->others[about];
    struct rtci_peer_at peer = {.rec = {sizeof(peer), RTCI_R_PEER, 0}, .node = about};
    memcpy(peer.key, o->key, sizeof(peer.key));
    memcpy(peer.address, o->address, sizeof(peer.address));
    RTCI_IGNORE(rtci_hub_send(m->hub, to, &peer, sizeof(peer))); /* or it asks again, later */
}

/* Both hear of each other: first the one that is asked about, so that it knows who comes. */
static void introduce(struct rtci_members *m, uint32_t node, uint32_t wanted)
{
    if (wanted == node || !has_node(m, wanted))
        return;
    tell_peer(m, wanted, node);
    tell_peer(m, node, wanted);
}

static void on_record(struct rtci_members *m, uint32_t node, const struct rtci_rec *rec)
{
    struct other *o = &m->others[node];
    const void *at = rec;
    if (rec->type == RTCI_R_PEER_WANT) {
        const struct rtci_slot_msg *want = at;
        if (want->op == 1)
            watch_life(m, node, want->slot);
        else
            introduce(m, node, want->slot);
    } else if (rec->type == RTCI_R_NODE_HELLO) {
        const struct rtci_node_hello *hello = at;
        memcpy(o->address, hello->address, sizeof(o->address));
        rtci_reach_begin(m->reach, node, o->address);
    }
}

static void take_reach(struct rtci_members *m)
{
    uint32_t node;
    bool yes;
    while (rtci_reach_take(m->reach, m->daemon->now_ns, &node, &yes)) {
        RTCI_LOG(INFO, HEAD, "node %u (%s) %s be reached at %s", node, m->others[node].kept.name,
                 yes ? "can" : "cannot", m->others[node].address);
        rtci_head_core_set_path(m->core, node, yes ? RTCI_PATH_DIRECT : RTCI_PATH_RELAYED);
    }
}

static void on_message(struct rtci_members *m, const struct rtci_hub_event *event)
{
    struct other *o = &m->others[event->node];
    const char *at = event->data;
    bool leave = false;
    for (size_t left = event->size; left;) {
        int64_t size = rtci_wire_check(at, left);
        if (size < 0) {
            lost(m, event->node, "it said something that is no record");
            return;
        }
        leave |= ((const struct rtci_rec *)at)->type == RTCI_R_LEAVE;
        on_record(m, event->node, (const struct rtci_rec *)at);
        at += size;
        left -= (size_t)size;
    }
    rtci_head_core_receive(m->core, m->daemon->now_ns, event->node, o->incarnation, event->data,
                           event->size, m->actions);
    if (!leave || o->left_ns)
        return;
    /* It waits for the acknowledgement, which leaves after the commit; forgotten before, it would
     * be told to join anew. It gets no more tasks. */
    rtci_head_core_node_suspect(m->core, m->daemon->now_ns, event->node, o->incarnation,
                                m->actions);
    o->left_ns = m->daemon->now_ns + GOODBYE_NS;
    m->timer_ns = o->left_ns < m->timer_ns ? o->left_ns : m->timer_ns;
}

static void on_broken(struct rtci_members *m, uint32_t node)
{
    struct other *o = &m->others[node];
    if (!o->incarnation || o->suspect_ns)
        return;
    o->suspect_ns = m->daemon->now_ns + SUSPECT_NS;
    m->timer_ns = o->suspect_ns < m->timer_ns ? o->suspect_ns : m->timer_ns;
}

static void on_resumed(struct rtci_members *m, uint32_t node)
{
    struct other *o = &m->others[node];
    o->suspect_ns = 0;
    rtci_daemon_bulk_again(m->daemon, node);
    rtci_calling_linked(m->daemon, node);
    if (!o->suspected)
        return;
    o->suspected = false;
    RTCI_LOG(INFO, HEAD, "node %u (%s) is back", node, o->kept.name);
    rtci_head_core_node_resumed(m->core, m->daemon->now_ns, node, o->incarnation, m->actions);
}

static void timers(struct rtci_members *m)
{
    uint64_t now = m->daemon->now_ns;
    if (now < m->timer_ns)
        return;
    m->timer_ns = UINT64_MAX;
    for (uint32_t i = FIRST_NUMBER; i < m->n_others; i++) {
        struct other *o = &m->others[i];
        if (o->later_ns && now >= o->later_ns) {
            send_now(m, i, &o->later);
            forget_later(o);
        }
        if (o->drowned)
            lost(m, i, "it does not take what is sent to it");
        o->drowned = false;
        if (o->until_ns && now >= o->until_ns)
            lost(m, i, "it did not come back after the head was started again");
        if (o->left_ns && now >= o->left_ns)
            lost(m, i, "it left");
        if (o->suspect_ns && !o->suspected && now >= o->suspect_ns) {
            o->suspected = true;
            RTCI_LOG(WARN, HEAD, "node %u (%s) is suspected: its connection broke", i,
                     o->kept.name);
            rtci_head_core_node_suspect(m->core, now, i, o->incarnation, m->actions);
        }
        uint64_t next = o->left_ns                       ? o->left_ns
                        : o->until_ns                    ? o->until_ns
                        : o->suspect_ns && !o->suspected ? o->suspect_ns
                                                         : UINT64_MAX;
        next = o->later_ns && o->later_ns < next ? o->later_ns : next;
        m->timer_ns = next < m->timer_ns ? next : m->timer_ns;
    }
}

#define EVENTS_MAX 256 /* then the rest of the loop has its turn */

bool rtci_members_take(struct rtci_members *m)
{
    if (!m)
        return false;
    bool any = false;
    rtci_hub_signal(m->hub, m->daemon->net_event);
    m->daemon->net_event = 0;
    /* What the hub has ready is taken whole: its acknowledgement leaves with this turn. */
    for (int n = 0; n < EVENTS_MAX || rtci_hub_queued(m->hub); n++) {
        struct rtci_hub_event event = rtci_hub_take(m->hub, m->daemon->now_ns);
        if (event.type == RTCI_HUB_NONE)
            break;
        any = true;
        switch (event.type) {
        case RTCI_HUB_JOINED: on_joined(m, &event); break;
        case RTCI_HUB_MESSAGE: on_message(m, &event); break;
        case RTCI_HUB_BROKEN: on_broken(m, event.node); break;
        case RTCI_HUB_RESUMED: on_resumed(m, event.node); break;
        case RTCI_HUB_DEAD: lost(m, event.node, event.text); break;
        case RTCI_HUB_BULK: rtci_daemon_bulk(m->daemon, event.node, event.data, event.size); break;
        case RTCI_HUB_CALL:
            rtci_calling_frame(m->daemon, event.node, event.data, event.size);
            break;
        case RTCI_HUB_REFUSED: fprintf(stderr, "rtc head: %s\n", event.text); break;
        default: break;
        }
    }
    timers(m);
    take_reach(m);
    return any;
}

void rtci_members_send(struct rtci_members *m, const struct rtci_out *out)
{
    struct other *o = m ? &m->others[out->node] : NULL;
    if (!o)
        return;
    rtci_lives_tell(m->lives, tell_life, m); /* first: what is said next may be of the next life */
    /* Ends of slots alone: the node hears of them with what comes next, else each task that
     * somebody waits for is one message more, and several wake-ups on both hosts. */
    if (rtci_wire_only(out->buf.data, out->buf.len, RTCI_R_SLOT_FREE)) {
        rtci_buf_put(&o->later, out->buf.data, out->buf.len);
        RTCI_ASSERT(!o->later.failed);
        o->later_ns = o->later_ns ? o->later_ns : m->daemon->now_ns + LATER_NS;
        m->timer_ns = o->later_ns < m->timer_ns ? o->later_ns : m->timer_ns;
        return;
    }
    if (!o->later.len) {
        send_now(m, out->node, &out->buf);
        return;
    }
    rtci_buf_put(&o->later, out->buf.data, out->buf.len); /* one message, not two */
    RTCI_ASSERT(!o->later.failed);
    send_now(m, out->node, &o->later);
    forget_later(o);
}

void rtci_members_flush(struct rtci_members *m)
{
    if (!m)
        return;
    rtci_lives_tell(m->lives, tell_life, m);
    rtci_hub_commit(m->hub);
    rtci_hub_flush(m->hub, m->daemon->now_ns);
}

uint64_t rtci_members_relayed(const struct rtci_members *m)
{
    return m ? rtci_hub_relayed(m->hub) : 0;
}

uint64_t rtci_members_deadline(const struct rtci_members *m)
{
    if (!m)
        return UINT64_MAX;
    uint64_t at = rtci_hub_deadline(m->hub);
    uint64_t reach = rtci_reach_deadline(m->reach, m->daemon->now_ns);
    at = reach < at ? reach : at;
    return at < m->timer_ns ? at : m->timer_ns;
}

/* ---- Opening ---- */

static int carry(void *arg, uint32_t node, const void *head, size_t head_size, const void *data,
                 size_t size)
{
    struct rtci_members *m = arg;
    return rtci_hub_bulk(m->hub, node, head, head_size, data, size);
}

static int carry_call(void *arg, uint32_t node, const void *head, size_t head_size,
                      const void *data, size_t size)
{
    struct rtci_members *m = arg;
    return rtci_hub_call(m->hub, node, head, head_size, data, size);
}

/* That of the head's own node goes on over restarts of its daemon, not over one of its host. */
static void own_life(struct rtci_members *m)
{
    struct rtci_daemon *d = m->daemon;
    const void *value;
    uint32_t size;
    uint64_t life = newest_life(m);
    if (d->starts > 1 && !rtci_head_core_kv_get(m->core, RTCI_NS_CLUSTER, "life", &value, &size) &&
        size == sizeof(life))
        memcpy(&life, value, sizeof(life));
    else
        rtci_head_core_kv_put(m->core, d->now_ns, RTCI_NS_CLUSTER, "life", &life, sizeof(life),
                              m->actions);
    rtci_calls_life(d->calls, d->now_ns, life);
}

/* The port of the last start, so that others find the head again; else the usual one, else any. */
static int open_hub(struct rtci_members *m, struct rtci_hub_config *config)
{
    const struct rtci_daemon_options *o = &m->daemon->options;
    const void *value;
    uint32_t size, before = 0;
    char bind[64], text[RTCI_TEXT_MAX];
    if (!rtci_head_core_kv_get(m->core, RTCI_NS_CLUSTER, "port", &value, &size) &&
        size == sizeof(before))
        memcpy(&before, value, sizeof(before));
    bool local = o->address && !strncmp(o->address, "127.", 4);
    uint32_t port = o->port ? (uint32_t)o->port : before ? before : USUAL_PORT;
    snprintf(bind, sizeof(bind), "tcp://%s:%u", local ? "127.0.0.1" : "*", port);
    config->bind = bind;
    int rc = rtci_hub_open(config, &m->hub, text, sizeof(text));
    if (rc && !o->port && !before) {
        snprintf(bind, sizeof(bind), "tcp://%s:*", local ? "127.0.0.1" : "*");
        rc = rtci_hub_open(config, &m->hub, text, sizeof(text));
    }
    if (rc)
        fprintf(stderr, "rtc head: %s\n", text);
    config->bind = NULL;
    return rc;
}

static int watch(struct rtci_members *m)
{
    int fds[RTCI_FDS_MAX];
    uint32_t n = rtci_hub_fds(m->hub, fds);
    for (uint32_t i = 0; i < n; i++) {
        if (!rtci_daemon_watch(m->daemon, fds[i], RTCI_TAG_NET + i))
            return RTC_E_NOMEM;
    }
    return 0;
}

int rtci_members_open(struct rtci_daemon *daemon, struct rtci_head_core *core,
                      struct rtci_head_actions *actions, struct rtci_members **ret_members)
{
    struct rtci_members *m = calloc(1, sizeof(*m));
    struct rtci_hub_config config = {.epoch = daemon->epoch, .admit = admit, .admit_arg = m};
    char text[RTCI_TEXT_MAX];
    if (m) {
        m->others = calloc(RTCI_NODES_MAX + 1, sizeof(*m->others));
        m->reach = rtci_reach_create();
        m->lives = rtci_lives_create();
    }
    if (!m || !m->others || !m->reach || !m->lives) {
        rtci_members_close(m);
        return RTC_E_NOMEM;
    }
    m->daemon = daemon;
    m->core = core;
    m->actions = actions;
    m->n_others = FIRST_NUMBER;
    m->timer_ns = UINT64_MAX;
    m->lease_ns = config.lease_ns = rtci_members_lease(&daemon->options);
    int rc = rtci_keys_open(daemon->state_dir, "head", &config.keys, text, sizeof(text));
    if (rc)
        fprintf(stderr, "rtc head: %s\n", text);
    rc = rc ? rc : open_hub(m, &config);
    rc = rc ? rc : watch(m);
    if (!rc)
        rc = rtci_join_line(daemon, core, actions, config.keys.public_key, rtci_hub_port(m->hub));
    if (rc) {
        rtci_members_close(m);
        return rc;
    }
    rtci_head_core_kv_each(core, RTCI_NS_NODES, recall, m);
    expect(m);
    own_life(m);
    daemon->carry = carry;
    daemon->carry_call = carry_call;
    daemon->has_node = has_node;
    daemon->carrier = m;
    *ret_members = m;
    return 0;
}

void rtci_members_close(struct rtci_members *m)
{
    if (!m)
        return;
    rtci_hub_close(m->hub);
    rtci_reach_free(m->reach);
    for (uint32_t i = 0; m->others && i < m->n_others; i++)
        rtci_buf_fini(&m->others[i].later);
    rtci_lives_free(m->lives);
    free(m->others);
    free(m);
}
