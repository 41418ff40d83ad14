/* See withheld.h. */
#include "runtime/client/withheld.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"

#define RECORDS_MAX (16 * RTCI_MIB)
#define AT_ONCE     (RTCI_RING_BYTES / 2) /* stands in the ring in one piece, with a save */
_Static_assert(AT_ONCE >= RTCI_RECORD_MAX, "a save and a task");

/* ---- Withholding ---- */

void rtci_withheld_wake(struct rtc *rtc)
{
    rtc->changes++;
    if (rtc->waiters)
        pthread_cond_broadcast(&rtc->cond);
    if (rtc->polling)
        rtci_chan_kick(rtc->chan);
}

void rtci_withhold_call(struct rtc *rtc, struct call *call)
{
    struct withheld *w = rtc->withheld;
    if (w->n_calls == w->cap_calls) {
        uint32_t cap = w->cap_calls ? w->cap_calls * 2 : 64;
        uint64_t *calls = realloc(w->calls, cap * sizeof(*calls));
        if (!calls) {
            rtci_die(rtc, RTC_E_NOMEM, "out of memory for a call");
            return;
        }
        w->calls = calls;
        w->cap_calls = cap;
    }
    w->calls[w->n_calls++] = call->seq;
    call->withheld = call->waits = true;
    rtci_withheld_wake(rtc);
}

int rtci_withhold_room(struct rtc *rtc, size_t size, void **ret_record)
{
    struct rtci_buf *buf = &rtc->withheld->records;
    if (buf->len + size > RECORDS_MAX)
        return rtci_error(RTC_E_AGAIN,
                          "a method of an actor with save has submitted more than %llu MiB, which "
                          "leave when its state is saved: let it submit them with several calls",
                          (unsigned long long)(RECORDS_MAX / RTCI_MIB));
    *ret_record = rtci_buf_add(buf, size);
    if (*ret_record)
        return 0;
    buf->failed = false;
    return rtci_error(RTC_E_NOMEM, "out of memory for a task");
}

void rtci_withhold_unroom(struct rtc *rtc, size_t size)
{
    rtc->withheld->records.len -= size;
}

void rtci_withhold_args(struct rtc *rtc, const struct task_plan *task, bool keep)
{
    for (size_t i = 0; task->n_refs && i < task->n_args; i++) {
        const struct arg_plan *arg = &task->args[i];
        if (!arg->is_ref && !arg->light)
            continue;
        rtc_ref ref = arg->is_ref ? arg->ref : arg->value->as.ref;
        RTCI_IGNORE(keep ? rtci_retain_locked(rtc, ref) : rtci_release_locked(rtc, ref));
    }
}

static struct slot *slot_of(struct rtc *rtc, struct rtci_id id)
{
    int rc = 0;
    return rtci_find(rtc, rtci_ref_of(id), false, &rc);
}

void rtci_withhold_task(struct rtc *rtc, uint64_t seq, uint32_t n_returns)
{
    for (uint32_t i = 0; i < n_returns; i++) {
        struct slot *slot = slot_of(rtc, (struct rtci_id){seq, rtc->client, i});
        slot->ran = SLOT_UNSAID;
        slot->pins++;
    }
    rtci_withheld_wake(rtc);
}

bool rtci_unsaid(struct rtc *rtc, const struct rtci_id *ids, size_t n)
{
    if (!rtc->withheld || (!rtc->withheld->records.len && !rtc->withheld->sending))
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct slot *slot = ids[i].client == rtc->client && ids[i].index != RTCI_HANDLE
                                      ? slot_of(rtc, ids[i])
                                      : NULL;
        if (slot && slot->ran == SLOT_UNSAID)
            return true;
    }
    return false;
}

/* ---- Leaving ---- */

static void said(struct rtc *rtc, struct rtci_id id)
{
    struct slot *slot = slot_of(rtc, id);
    if (!slot || slot->ran != SLOT_UNSAID)
        return;
    slot->ran = 0;
    rtci_unpin(rtc, slot, rtci_ref_of(id));
}

/* What was kept until the head knows of it. */
static void let_go(struct rtc *rtc, const struct rtci_rec *rec)
{
    if (rec->type == RTCI_R_PUT) {
        said(rtc, ((const struct rtci_put *)rec)->id);
        return;
    }
    if (rec->type != RTCI_R_SUBMIT)
        return;
    const struct rtci_spec *spec = (const struct rtci_spec *)rec;
    for (uint32_t i = 0; i < spec->n_returns; i++)
        said(rtc, (struct rtci_id){spec->seq, rtc->client, i});
    for (uint32_t i = 0; i < spec->n_refs; i++)
        RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(rtci_spec_refs(spec)[i])));
}

static struct rtci_rec *record_at(const struct rtci_buf *buf, size_t at)
{
    return (struct rtci_rec *)(void *)(buf->data + at);
}

static int await_room(struct rtc *rtc, size_t size)
{
    if (rtci_chan_room(rtc->chan) < size)
        rtci_send(rtc);
    while (rtci_chan_room(rtc->chan) < size)
        RTCI_TRY(rtci_block(rtc, size, UINT64_MAX));
    return 0;
}

static int await_turn(struct rtc *rtc)
{
    while (rtc->withheld->sending)
        RTCI_TRY(rtci_block(rtc, 0, UINT64_MAX));
    return 0;
}

int rtci_withheld_room(struct rtc *rtc)
{
    do {
        RTCI_TRY(await_turn(rtc));
        RTCI_TRY(await_room(rtc, AT_ONCE));
    } while (rtc->withheld->sending);
    return 0;
}

/* Writes the record and whole ones of the buffer, as many as may stand in the ring at once, and
 * makes them visible together. */
static int send_piece(struct rtc *rtc, const struct rtci_rec *record, const struct rtci_buf *buf,
                      size_t *at)
{
    size_t first = record ? record->size : 0, total = first, end = *at;
    while (end < buf->len && total + record_at(buf, end)->size <= AT_ONCE) {
        total += record_at(buf, end)->size;
        end += record_at(buf, end)->size;
    }
    RTCI_TRY(await_room(rtc, total));
    if (record)
        memcpy(rtci_chan_reserve(rtc->chan, first), record, first);
    for (; *at < end; *at += record_at(buf, *at)->size) {
        const struct rtci_rec *rec = record_at(buf, *at);
        memcpy(rtci_chan_reserve(rtc->chan, rec->size), rec, rec->size);
    }
    rtci_send(rtc);
    return 0;
}

static int send_all(struct rtc *rtc, const void *record, const struct rtci_buf *buf)
{
    size_t at = 0;
    int rc = send_piece(rtc, record, buf, &at);
    while (rc == 0 && at < buf->len)
        rc = send_piece(rtc, NULL, buf, &at);
    for (at = 0; rc == 0 && at < buf->len; at += record_at(buf, at)->size)
        let_go(rtc, record_at(buf, at));
    return rc;
}

/* One at a time: the head takes tasks in the order of their numbers, and drops what comes behind.
 */
int rtci_withheld_send(struct rtc *rtc, const void *record, bool kept)
{
    struct withheld *w = rtc->withheld;
    RTCI_TRY(await_turn(rtc));
    struct rtci_buf buf = w->records;
    w->records = (struct rtci_buf){0}; /* while this waits for room there may be more */
    for (size_t at = 0; kept && at < buf.len; at += record_at(&buf, at)->size) {
        if (record_at(&buf, at)->type == RTCI_R_SUBMIT)
            ((struct rtci_spec *)record_at(&buf, at))->flags |= RTCI_SPEC_DETACHED;
    }
    w->sending = true;
    int rc = send_all(rtc, record, &buf);
    w->sending = false;
    rtci_withheld_wake(rtc);
    rtci_buf_fini(&buf);
    return rc;
}

void rtci_withheld_release(struct rtc *rtc, const uint64_t *calls, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct call *call = rtci_call_of(rtc, calls[i]);
        if (call)
            call->withheld = false;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct call *call = rtci_call_of(rtc, calls[i]);
        if (call && !call->flying)
            rtci_actor_pump(rtc, call->actor);
    }
}

int rtci_speak_now(struct rtc *rtc, uint64_t deadline_ns)
{
    struct withheld *w = rtc->withheld;
    int rc = w->settle(rtc, deadline_ns);
    if (rc == RTC_E_TIMEOUT)
        return 0; /* so does the wait that this is for */
    RTCI_TRY(rc);
    if (w->records.len)
        RTCI_TRY(rtci_withheld_send(rtc, NULL, false));
    uint64_t *calls = w->calls;
    uint32_t n = w->n_calls;
    w->calls = NULL;
    w->n_calls = w->cap_calls = 0;
    rtci_withheld_release(rtc, calls, n);
    free(calls);
    return 0;
}

static bool is_unsaid(struct rtc *rtc, rtc_ref ref)
{
    if (ref.client != rtc->client)
        return false;
    const struct slot *slot = slot_of(rtc, rtci_id_of(ref));
    if (!slot || slot->state != SLOT_PENDING)
        return false;
    const struct call *call = slot->flags & SLOT_CALL ? rtci_call_of(rtc, ref.seq) : NULL;
    return slot->ran == SLOT_UNSAID || (call && call->withheld);
}

int rtci_speak_for(struct rtc *rtc, const rtc_ref *refs, size_t n, uint64_t deadline_ns)
{
    if (RTCI_LIKELY(!rtc->withheld))
        return 0;
    bool waits = !rtc->withheld->fetching && deadline_ns > rtci_now_ns();
    for (size_t i = 0; !waits && i < n; i++)
        waits = is_unsaid(rtc, refs[i]);
    return waits ? rtci_speak_now(rtc, deadline_ns) : 0;
}
