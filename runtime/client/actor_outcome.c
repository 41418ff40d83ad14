/* Calls as such: their lists, their memory, and their one outcome. */
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"

#define SPARE_BYTES 256u /* records up to this size share a list of free ones */

/* ---- Lists ---- */

void rtci_call_push(struct calls *calls, struct call *call)
{
    call->next = NULL;
    call->prev = calls->last;
    *(calls->last ? &calls->last->next : &calls->first) = call;
    calls->last = call;
    calls->n++;
    calls->bytes += call->spec->rec.size;
}

void rtci_call_take(struct calls *calls, struct call *call)
{
    *(call->prev ? &call->prev->next : &calls->first) = call->next;
    *(call->next ? &call->next->prev : &calls->last) = call->prev;
    call->next = call->prev = NULL;
    calls->n--;
    calls->bytes -= call->spec->rec.size;
}

struct call *rtci_call_new(struct rtc *rtc, size_t size)
{
    struct call *call = rtc->actors->spare;
    size_t cap = size < SPARE_BYTES ? SPARE_BYTES : size;
    if (size <= SPARE_BYTES && call)
        rtc->actors->spare = call->next;
    else
        call = malloc(sizeof(*call) + cap);
    if (!call)
        return NULL;
    memset(call, 0, sizeof(*call));
    call->spec = (struct rtci_spec *)call->record;
    call->cap = (uint32_t)cap;
    call->spec->rec.size = (uint32_t)size;
    return call;
}

/* Its arguments were kept for it. */
static void release_args(struct rtc *rtc, struct call *call)
{
    const struct rtci_id *refs = rtci_spec_refs(call->spec);
    for (uint32_t i = 0; i < call->spec->n_refs; i++)
        RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(refs[i])));
}

void rtci_call_free(struct rtc *rtc, struct call *call)
{
    if (call->spec->n_refs)
        release_args(rtc, call);
    if (call->cap > SPARE_BYTES) {
        free(call);
        return;
    }
    call->next = rtc->actors->spare;
    rtc->actors->spare = call;
}

/* ---- Outcomes ---- */

static void wake_waiters(struct rtc *rtc)
{
    rtc->changes++;
    if (rtc->waiters)
        pthread_cond_broadcast(&rtc->cond);
}

/* The slots of a call let go of it: each was pinned. */
static void unpin_results(struct rtc *rtc, struct slot *slot, uint64_t seq)
{
    if (slot->where != WHERE_MULTI) {
        rtci_unpin(rtc, slot, (rtc_ref){seq, rtc->client, 0});
        return;
    }
    uint32_t n = slot->u.multi->n;
    for (uint32_t i = 0; i < n; i++) /* the last may free them all */
        rtci_unpin(rtc, &slot->u.multi->slot[i], (rtc_ref){seq, rtc->client, i});
}

static void end_stream(struct call *call)
{
    if (call->stream)
        call->stream->done = true;
    call->stream = NULL;
}

void rtci_call_complete(struct rtc *rtc, struct call *call, const struct rtci_done *done,
                        enum rtc_ran ran)
{
    uint64_t seq = call->seq;
    struct slot *slot = rtci_slots_find(&rtc->slots, seq);
    const struct rtci_resolved *rows = rtci_done_returns(done);
    RTCI_ASSERT(slot && slot->state != SLOT_GONE);
    end_stream(call);
    if (slot->where == WHERE_MULTI) {
        struct multi *multi = slot->u.multi;
        slot->state = SLOT_READY;
        for (uint32_t i = 0; i < multi->n; i++) {
            multi->slot[i].ran = (uint8_t)ran;
            if (done->status || i < done->n_returns)
                rtci_result_set(rtc, &multi->slot[i], done, done->status ? rows : &rows[i],
                                (rtc_ref){seq, rtc->client, i}, call->actor->peer);
        }
    } else {
        slot->ran = (uint8_t)ran;
        rtci_result_set(rtc, slot, done, rows, (rtc_ref){seq, rtc->client, 0}, call->actor->peer);
    }
    unpin_results(rtc, slot, seq);
    rtci_call_free(rtc, call);
}

void rtci_call_failed(struct rtc *rtc, struct call *call, int code, enum rtc_ran ran,
                      const char *text)
{
    struct {
        struct rtci_done done;
        struct rtci_resolved row;
        struct rtci_fail fail;
        char text[RTCI_NAME_MAX + 1 + RTCI_ERROR_TEXT_MAX];
    } out;
    const struct actor *actor = call->actor;
    if (call->stop) {
        rtci_call_free(rtc, call);
        return;
    }
    memset(&out, 0, sizeof(out));
    const char *method = call->method ? call->method : "";
    size_t method_len = strlen(method), text_len = strlen(text);
    text_len = text_len < RTCI_ERROR_TEXT_MAX ? text_len : RTCI_ERROR_TEXT_MAX;
    out.done.seq = call->seq;
    out.done.client = rtc->client;
    out.done.status = code;
    out.done.n_returns = 1;
    out.row = (struct rtci_resolved){.kind = RTCI_KIND_ERROR,
                                     .size = sizeof(out.fail) + method_len + text_len,
                                     .offset = offsetof(__typeof__(out), fail)};
    out.fail = (struct rtci_fail){.code = code,
                                  .exit_status = -1,
                                  .node = actor->node,
                                  .origin = {call->seq, rtc->client, 0},
                                  .attempts = (uint16_t)call->attempts,
                                  .function_len = (uint16_t)method_len,
                                  .text_len = (uint16_t)text_len};
    if (code == RTC_E_ACTOR_DEAD) {
        out.fail.exit_status = actor->cause.exit_status;
        out.fail.signal = actor->cause.signal;
        out.fail.pid = actor->cause.pid;
        out.fail.user_code = actor->cause.user_code;
    }
    memcpy(out.text, method, method_len);
    memcpy(out.text + method_len, text, text_len);
    rtci_call_complete(rtc, call, &out.done, ran);
    wake_waiters(rtc);
}
