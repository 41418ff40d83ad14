#include "runtime/core/session.h"

#include <rtc/error.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bounds.h"

#define ACK_NS       (5 * RTCI_NS_PER_MS) /* commits are told at the latest after … */
#define ACK_MESSAGES 64u                  /* … or after so many, or with what goes out anyway */

struct message {
    struct message *next;
    uint64_t seq;
    size_t size;
    uint8_t data[];
};
struct rtci_session {
    struct rtci_session_config config;
    struct message *first, *last, *cursor; /* kept, oldest first; cursor: the next to go out */
    size_t kept;
    uint64_t link;
    uint64_t numbered, sent;      /* given out; gone out at least once */
    uint64_t received, committed; /* of the other end's */
    uint64_t peer_received, peer_committed;
    uint64_t told_committed;
    uint64_t heard_ns, spoke_ns, sync_ns, again_ns, probe_ns, ack_ns;
    bool linked, up, was_up, dead, broken, want_reply, want_again, want_beat;
    enum rtci_frame_kind pending; /* what next() gave, until sent() */
    struct rtci_session_counts counts;
};

static uint64_t or_else(uint64_t given, uint64_t otherwise)
{
    return given ? given : otherwise;
}

static uint64_t at_most(uint64_t ns, uint64_t most)
{
    return ns < most ? ns : most;
}

uint64_t rtci_session_silence(uint64_t lease_ns)
{
    return at_most(or_else(lease_ns, RTCI_LEASE_NS) / 10 * 3, 3 * RTCI_NS_PER_S);
}

static void times(struct rtci_session *s, const struct rtci_session_config *config)
{
    uint64_t lease = or_else(config->lease_ns, RTCI_LEASE_NS);
    s->config.lease_ns = lease;
    s->config.beat_ns = or_else(config->beat_ns, at_most(lease / 10, RTCI_NS_PER_S));
    s->config.silence_ns = or_else(config->silence_ns, rtci_session_silence(lease));
}

struct rtci_session *rtci_session_create(const struct rtci_session_config *config, uint64_t now_ns)
{
    struct rtci_session *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->config = *config;
    s->config.retry_ns = or_else(config->retry_ns, 200 * RTCI_NS_PER_MS);
    times(s, config);
    s->numbered = s->sent = s->peer_received = s->peer_committed = config->sent_before;
    s->received = s->committed = s->told_committed = config->committed_before;
    s->heard_ns = s->spoke_ns = now_ns;
    return s;
}

void rtci_session_free(struct rtci_session *session)
{
    for (struct message *m = session ? session->first : NULL, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    free(session);
}

/* ---- What is kept ---- */

static size_t weight(size_t size)
{
    return sizeof(struct message) + size;
}

int rtci_session_send(struct rtci_session *session, const void *data, size_t size,
                      uint64_t *ret_seq)
{
    struct rtci_session *s = session;
    if (size > RTCI_SESSION_MESSAGE_MAX)
        return RTC_E_TOO_LARGE;
    if (s->first && s->kept + weight(size) > s->config.window)
        return RTC_E_AGAIN;
    struct message *m = malloc(weight(size));
    if (!m)
        return RTC_E_NOMEM;
    m->next = NULL;
    m->seq = *ret_seq = ++s->numbered;
    m->size = size;
    if (size)
        memcpy(m->data, data, size);
    if (s->last)
        s->last->next = m;
    else
        s->first = m;
    s->last = m;
    s->cursor = s->cursor ? s->cursor : m;
    s->kept += weight(size);
    return 0;
}

size_t rtci_session_overhead(void)
{
    return weight(0);
}

void rtci_session_each(const struct rtci_session *session,
                       void (*fn)(void *arg, const void *data, size_t size), void *arg)
{
    for (const struct message *m = session->first; m; m = m->next)
        fn(arg, m->data, m->size);
}

static void release(struct rtci_session *s, uint64_t committed)
{
    while (s->first && s->first->seq <= committed) {
        struct message *m = s->first;
        s->first = m->next;
        s->cursor = s->cursor == m ? m->next : s->cursor;
        s->last = s->first ? s->last : NULL;
        s->kept -= weight(m->size);
        free(m);
    }
}

/* The next to go out is the one behind `received`. */
static void rewind_to(struct rtci_session *s, uint64_t received)
{
    s->cursor = s->first;
    while (s->cursor && s->cursor->seq <= received)
        s->cursor = s->cursor->next;
}

/* ---- Links ---- */

void rtci_session_link_up(struct rtci_session *session, uint64_t now_ns)
{
    session->linked = true;
    session->up = false;
    session->link++;
    session->sync_ns = now_ns;
    session->want_again = session->want_reply = false;
    session->counts.links++;
}

void rtci_session_link_down(struct rtci_session *session, uint64_t now_ns)
{
    (void)now_ns;
    session->linked = session->up = false;
}

/* ---- In ---- */

static bool well_formed(const struct rtci_frame *f, size_t size)
{
    return f->magic == RTCI_FRAME_MAGIC && f->kind >= RTCI_FRAME_SYNC &&
           f->kind <= RTCI_FRAME_AGAIN && f->committed <= f->received &&
           (f->kind == RTCI_FRAME_DATA ? f->seq > 0 : size == sizeof(*f)) &&
           size <= sizeof(*f) + RTCI_SESSION_MESSAGE_MAX;
}

/* It received what was never sent, or answers a link without what it had committed and was
 * forgotten here for that: nothing it says helps. */
static bool contradicts(const struct rtci_session *s, const struct rtci_frame *f)
{
    bool forgot = f->kind == RTCI_FRAME_SYNC && !s->up && f->committed < s->peer_committed;
    return f->received > s->numbered || (s->config.dials && forgot);
}

/* An end that listens and was started again does not know the links before: one that says less than
 * what was heard of its end is of those. */
static bool outdated(const struct rtci_session *s, const struct rtci_frame *f)
{
    return !s->config.dials && f->kind == RTCI_FRAME_SYNC && f->committed < s->peer_committed;
}

/* A link that is newer begins with its SYNC; only the end that dials makes links. */
static bool of_this_link(struct rtci_session *s, const struct rtci_frame *f)
{
    if (f->link > s->link && f->kind == RTCI_FRAME_SYNC && !s->config.dials) {
        s->link = f->link;
        s->linked = true;
        s->up = s->want_again = false;
        s->counts.links++;
    }
    return f->link == s->link && s->linked;
}

static void ask_again(struct rtci_session *s)
{
    s->counts.gaps += !s->want_again;
    s->want_again = true;
}

static enum rtci_session_result take(struct rtci_session *s, const struct rtci_frame *f,
                                     uint64_t now_ns)
{
    switch ((enum rtci_frame_kind)f->kind) {
    case RTCI_FRAME_SYNC:
        rewind_to(s, f->received);
        s->up = s->was_up = true;
        s->want_reply = !f->reply;
        s->probe_ns = now_ns + s->config.retry_ns;
        return RTCI_SESSION_NOTHING;
    case RTCI_FRAME_AGAIN: rewind_to(s, f->received); return RTCI_SESSION_NOTHING;
    case RTCI_FRAME_BEAT:
        if (f->seq > s->received)
            ask_again(s);
        else if (s->config.answers)
            s->want_beat = true;
        return RTCI_SESSION_NOTHING;
    default: break;
    }
    if (f->seq <= s->received) {
        s->counts.repeated++;
        return RTCI_SESSION_REPEATED;
    }
    if (f->seq != s->received + 1) {
        ask_again(s);
        return RTCI_SESSION_NOTHING;
    }
    s->received++;
    s->want_again = false;
    return RTCI_SESSION_MESSAGE;
}

enum rtci_session_result rtci_session_receive(struct rtci_session *session, uint64_t now_ns,
                                              const void *frame, size_t size,
                                              const void **ret_payload, size_t *ret_size,
                                              uint64_t *ret_seq)
{
    struct rtci_session *s = session;
    struct rtci_frame f;
    if (size < sizeof(f))
        return RTCI_SESSION_INVALID;
    memcpy(&f, frame, sizeof(f));
    if (!well_formed(&f, size))
        return RTCI_SESSION_INVALID;
    if (rtci_session_state(s, now_ns) == RTCI_SESSION_DEAD)
        s->dead = true; /* whatever it says now comes too late */
    if (f.session != s->config.id || s->dead || s->broken || outdated(s, &f) ||
        !of_this_link(s, &f))
        return RTCI_SESSION_OTHER;
    if (contradicts(s, &f)) {
        s->broken = true;
        return RTCI_SESSION_INVALID;
    }
    s->heard_ns = now_ns;
    if (f.committed > s->peer_committed || f.received > s->peer_received)
        s->probe_ns = now_ns + s->config.retry_ns; /* it goes on */
    s->peer_received = f.received > s->peer_received ? f.received : s->peer_received;
    s->peer_committed = f.committed > s->peer_committed ? f.committed : s->peer_committed;
    release(s, s->peer_committed);
    *ret_payload = (const uint8_t *)frame + sizeof(f);
    *ret_size = size - sizeof(f);
    *ret_seq = f.seq;
    return take(s, &f, now_ns);
}

void rtci_session_commit(struct rtci_session *session, uint64_t seq)
{
    if (seq > session->received)
        seq = session->received;
    if (seq > session->committed)
        session->committed = seq;
}

/* ---- Out ---- */

/* When what is not asked for goes out: a heartbeat, an acknowledgement that waited, a probe of
 * whether the last message arrived. */
static uint64_t beat_due(const struct rtci_session *s)
{
    uint64_t due = s->spoke_ns + s->config.beat_ns, untold = s->committed - s->told_committed;
    if (untold && s->spoke_ns + ACK_NS < due)
        due = s->spoke_ns + ACK_NS;
    if (untold >= ACK_MESSAGES)
        due = 0;
    if (s->sent > s->peer_received && s->probe_ns < due)
        due = s->probe_ns;
    return due;
}

static enum rtci_frame_kind choose(const struct rtci_session *s, uint64_t now_ns)
{
    if (!s->linked || s->dead || s->broken)
        return 0;
    if (s->config.dials && !s->up)
        return now_ns >= s->sync_ns ? RTCI_FRAME_SYNC : 0;
    if (s->want_reply)
        return RTCI_FRAME_SYNC;
    if (!s->up)
        return 0;
    if (s->want_again && now_ns >= s->again_ns)
        return RTCI_FRAME_AGAIN;
    if (s->cursor)
        return RTCI_FRAME_DATA;
    return s->want_beat || now_ns >= beat_due(s) ? RTCI_FRAME_BEAT : 0;
}

bool rtci_session_next(struct rtci_session *session, uint64_t now_ns, struct rtci_frame *ret_frame,
                       const void **ret_payload, size_t *ret_size)
{
    struct rtci_session *s = session;
    s->pending = choose(s, now_ns);
    if (!s->pending)
        return false;
    bool data = s->pending == RTCI_FRAME_DATA;
    *ret_frame = (struct rtci_frame){.magic = RTCI_FRAME_MAGIC,
                                     .kind = (uint16_t)s->pending,
                                     .reply = s->want_reply,
                                     .session = s->config.id,
                                     .link = s->link,
                                     .seq = data ? s->cursor->seq : s->sent,
                                     .received = s->received,
                                     .committed = s->committed};
    *ret_payload = data ? s->cursor->data : NULL;
    *ret_size = data ? s->cursor->size : 0;
    return true;
}

void rtci_session_sent(struct rtci_session *session, uint64_t now_ns)
{
    struct rtci_session *s = session;
    s->spoke_ns = now_ns;
    s->told_committed = s->committed;
    switch (s->pending) {
    case RTCI_FRAME_SYNC:
        s->sync_ns = now_ns + s->config.retry_ns;
        s->want_reply = false;
        break;
    case RTCI_FRAME_AGAIN:
        s->again_ns = now_ns + s->config.retry_ns;
        s->want_again = false;
        break;
    case RTCI_FRAME_DATA:
        s->counts.resent += s->cursor->seq <= s->sent;
        s->sent = s->cursor->seq > s->sent ? s->cursor->seq : s->sent;
        s->cursor = s->cursor->next;
        s->probe_ns = now_ns + s->config.retry_ns;
        break;
    default:
        s->want_beat = false;
        s->probe_ns = now_ns + s->config.retry_ns;
        break;
    }
    s->pending = 0;
}

void rtci_session_set_lease(struct rtci_session *session, uint64_t lease_ns)
{
    const struct rtci_session_config config = {.lease_ns = lease_ns};
    times(session, &config);
}

void rtci_session_paused(struct rtci_session *session, uint64_t gap_ns)
{
    session->heard_ns += gap_ns;
}

uint64_t rtci_session_deadline(const struct rtci_session *session)
{
    const struct rtci_session *s = session;
    if (!s->linked || s->dead || s->broken)
        return UINT64_MAX;
    if (s->config.dials && !s->up)
        return s->sync_ns;
    if (s->want_reply || (s->up && (s->cursor || s->want_beat)))
        return 0;
    uint64_t due = s->up ? beat_due(s) : UINT64_MAX;
    return s->up && s->want_again && s->again_ns < due ? s->again_ns : due;
}

enum rtci_session_state rtci_session_state(const struct rtci_session *session, uint64_t now_ns)
{
    const struct rtci_session *s = session;
    uint64_t silent = now_ns > s->heard_ns ? now_ns - s->heard_ns : 0;
    if (s->broken)
        return RTCI_SESSION_BROKEN;
    if (s->dead || (!s->config.dials && silent >= s->config.lease_ns))
        return RTCI_SESSION_DEAD;
    if (!s->up)
        return s->was_up ? RTCI_SESSION_SUSPECT : RTCI_SESSION_DOWN;
    return silent >= s->config.silence_ns ? RTCI_SESSION_SUSPECT : RTCI_SESSION_UP;
}

void rtci_session_counts(const struct rtci_session *session, struct rtci_session_counts *ret_counts)
{
    *ret_counts = session->counts;
    ret_counts->numbered = session->numbered;
    ret_counts->sent = session->sent;
    ret_counts->received = session->received;
    ret_counts->committed = session->committed;
    ret_counts->peer_committed = session->peer_committed;
    ret_counts->kept = session->kept;
}
