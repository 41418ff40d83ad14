/* What an actor that saves its state has said to others: calls that are withheld until the state
 * that made them is saved, and stand in that state until they were answered.
 *
 *   withheld ──a save begins──▶ covered ──committed──▶ sent ──answered──▶ gone with the next save
 *                                                       └── the process dies: the next incarnation
 *                                                           sends it again, under the same number
 *
 * A call has its number from the save that covers it; who is called drops what it has seen
 * (actor_sources.c). Without a number leave, when the save is committed: streams, calls with
 * arguments that are objects or results (they end with the process that made them), and what has no
 * room. Tasks are not here: they leave in one piece with the save (withheld.h). */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/exec/outbox.h"

struct saved_outbox {
    uint64_t number; /* the last that was given */
    uint64_t n;
};
_Static_assert(sizeof(struct saved_outbox) == RTCI_OUTBOX_LEAST, "what is saved of nothing");
struct saved_call { /* the record follows */
    struct rtci_id to;
    uint64_t deadline_ns; /* by the wall clock: the next incarnation may be on another host */
};

struct outbox {
    struct withheld withheld;
    uint64_t number;
    uint64_t *covered; /* by the save under way, in their order */
    uint32_t n_covered;
    uint64_t *said; /* those with a number that may have no answer, in their order */
    uint32_t n_said, cap_said;
    uint32_t n_saved; /* in the last save */
};

int rtci_outbox_open(struct host *host, int (*settle)(struct rtc *rtc, uint64_t deadline_ns))
{
    host->outbox = calloc(1, sizeof(*host->outbox));
    if (!host->outbox)
        return rtci_error(RTC_E_NOMEM, "out of memory for an actor");
    host->outbox->withheld.settle = settle;
    if (!host->own) /* a light actor does not wait, others of its host do not save */
        host->rtc->withheld = &host->outbox->withheld;
    return 0;
}

static uint64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * RTCI_NS_PER_S + (uint64_t)t.tv_nsec;
}

static bool remember(struct outbox *o, uint64_t seq)
{
    if (o->n_said == o->cap_said) {
        uint32_t cap = o->cap_said ? o->cap_said * 2 : 64;
        uint64_t *said = realloc(o->said, cap * sizeof(*said));
        if (!said)
            return false;
        o->said = said;
        o->cap_said = cap;
    }
    o->said[o->n_said++] = seq;
    return true;
}

/* ---- Saving ---- */

/* Handles are good in any incarnation; other references are the process's. Of an actor that may be
 * another (get_if_exists) it is not known whose calls this one stands among: numbers must rise. */
static bool lasts(const struct call *call)
{
    const struct rtci_id *refs = rtci_spec_refs(call->spec);
    if (call->stream || (call->actor->get_if_exists && !call->actor->known))
        return false;
    for (uint32_t i = 0; i < call->spec->n_refs; i++) {
        if (refs[i].index != RTCI_HANDLE)
            return false;
    }
    return true;
}

static bool put_call(struct rtci_buf *buf, const struct call *call, size_t room)
{
    size_t size = call->spec->rec.size;
    if (buf->len + sizeof(struct saved_call) + size > room)
        return false;
    struct saved_call row = {.to = rtci_actor_meant(call->actor)->id};
    if (call->deadline_ns)
        row.deadline_ns = wall_ns() + (call->deadline_ns - rtci_now_ns());
    rtci_buf_put(buf, &row, sizeof(row));
    uint8_t *at = rtci_buf_add(buf, size);
    if (!at)
        return false;
    memcpy(at, call->spec, size);
    memset(at + size - sizeof(struct rtci_call), 0, sizeof(struct rtci_call));
    return true;
}

/* Those that were answered are forgotten. */
static uint32_t put_said(struct host *host, struct rtci_buf *buf, size_t room)
{
    struct outbox *o = host->outbox;
    uint32_t left = 0, n = 0;
    for (uint32_t i = 0; i < o->n_said; i++) {
        const struct call *call = rtci_call_of(host->rtc, o->said[i]);
        if (!call)
            continue;
        o->said[left++] = o->said[i];
        n += put_call(buf, call, room);
    }
    o->n_said = left;
    return n;
}

static uint32_t put_covered(struct host *host, struct rtci_buf *buf, size_t room)
{
    struct outbox *o = host->outbox;
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n_covered; i++) {
        struct call *call = rtci_call_of(host->rtc, o->covered[i]);
        if (!call || !lasts(call))
            continue;
        rtci_call_set_number(call->spec, o->number + 1);
        if (put_call(buf, call, room) && remember(o, call->seq)) {
            o->number++;
            n++;
        } else {
            rtci_call_set_number(call->spec, 0);
        }
    }
    return n;
}

void rtci_outbox_save(struct host *host, struct rtci_buf *buf, size_t room)
{
    struct outbox *o = host->outbox;
    struct withheld *w = &o->withheld;
    o->covered = w->calls;
    o->n_covered = w->n_calls;
    w->calls = NULL;
    w->n_calls = w->cap_calls = 0;
    size_t head = buf->len;
    rtci_buf_add(buf, sizeof(struct saved_outbox));
    o->n_saved = put_said(host, buf, room);
    o->n_saved += put_covered(host, buf, room);
    if (!buf->failed)
        *(struct saved_outbox *)(void *)(buf->data + head) =
            (struct saved_outbox){o->number, o->n_saved};
}

void rtci_outbox_saved(struct host *host)
{
    struct outbox *o = host->outbox;
    uint64_t *covered = o->covered;
    uint32_t n = o->n_covered;
    o->covered = NULL;
    o->n_covered = 0;
    rtci_withheld_release(host->rtc, covered, n);
    free(covered);
}

bool rtci_outbox_stale(struct host *host)
{
    const struct outbox *o = host->outbox;
    for (uint32_t i = 0; o->n_saved && i < o->n_said; i++) {
        if (rtci_call_of(host->rtc, o->said[i]))
            return false;
    }
    return o->n_saved != 0;
}

/* ---- Coming back ---- */

static bool load_call(struct host *host, const uint8_t **at, const uint8_t *end)
{
    struct saved_call row;
    if ((size_t)(end - *at) < sizeof(row))
        return false;
    memcpy(&row, *at, sizeof(row));
    *at += sizeof(row);
    int64_t size = rtci_wire_check(*at, (size_t)(end - *at));
    struct rtci_spec *spec = size > 0 ? malloc((size_t)size) : NULL;
    if (!spec)
        return false;
    memcpy(spec, *at, (size_t)size);
    *at += size;
    uint64_t seq, wall = wall_ns();
    bool ok = spec->rec.type == RTCI_R_ACTOR_CALL;
    spec->deadline_ns = 0;
    if (row.deadline_ns) /* one that has passed is told as such */
        spec->deadline_ns = rtci_now_ns() + (row.deadline_ns > wall ? row.deadline_ns - wall : 0);
    ok = ok && rtci_actor_call_again(host->rtc, row.to, spec, &seq) == 0 &&
         remember(host->outbox, seq);
    free(spec);
    return ok;
}

bool rtci_outbox_load(struct host *host, const uint8_t **at, const uint8_t *end)
{
    struct saved_outbox head;
    if ((size_t)(end - *at) < sizeof(head))
        return false;
    memcpy(&head, *at, sizeof(head));
    *at += sizeof(head);
    host->outbox->number = head.number;
    host->outbox->n_saved = (uint32_t)head.n;
    for (uint64_t i = 0; i < head.n; i++) {
        if (!load_call(host, at, end))
            return false;
    }
    return true;
}
