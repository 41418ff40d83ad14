/* What a running task sees of itself: arguments, identity, cancellation, progress. */
#include <rtc/patterns.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/withheld.h"
#include "runtime/exec/exec.h"

struct rtc *rtc_call_rtc(struct rtc_call *call)
{
    return call->rtc;
}

size_t rtc_arg_count(struct rtc_call *call)
{
    return call->few ? call->few->n : call->spec->n_args;
}

uint32_t rtc_call_attempt(struct rtc_call *call)
{
    return call->spec->attempt;
}

rtc_ref rtc_call_id(struct rtc_call *call)
{
    return (rtc_ref){call->spec->seq, call->spec->client, 0};
}

bool rtc_cancelled(struct rtc_call *call)
{
    volatile struct rtci_chan_info *info = rtci_chan_info(call->rtc->chan);
    return info->cancel_seq == call->spec->seq && info->cancel_client == call->spec->client;
}

int rtc_progress(struct rtc_call *call, double fraction, const char *text)
{
    if (!(fraction >= 0 && fraction <= 1))
        return rtci_error(RTC_E_RANGE, "fraction = %g is not from 0 to 1", fraction);
    struct rtc *rtc = call->rtc;
    size_t len = text ? strlen(text) : 0;
    if (len > RTCI_ERROR_TEXT_MAX)
        len = RTCI_ERROR_TEXT_MAX;
    RTCI_TRY(rtci_enter(rtc));
    void *at;
    size_t size = sizeof(struct rtci_progress) + RTCI_ALIGN8(len);
    int rc = rtci_reserve(rtc, size, UINT64_MAX, &at);
    if (rc == 0) {
        struct rtci_progress *rec = at;
        memset(rec, 0, size);
        rec->rec = (struct rtci_rec){.size = (uint32_t)size, .type = RTCI_R_PROGRESS};
        rec->id = (struct rtci_id){call->spec->seq, call->spec->client, 0};
        rec->fraction = fraction;
        rec->text_len = (uint32_t)len;
        if (len)
            memcpy(rec + 1, text, len);
        rtci_send(rtc);
    }
    rtci_leave(rtc);
    return rc;
}

int rtc_progress_every(struct rtc_call *call, int64_t interval, double fraction, const char *text)
{
    uint64_t now = rtci_now_ns();
    if (fraction < 1 && call->progress_ns && now - call->progress_ns < (uint64_t)interval)
        return 0;
    call->progress_ns = now;
    return rtc_progress(call, fraction, text);
}

/* ---- Arguments ---- */
static int fetch(struct rtc_call *call)
{
    const struct rtci_spec *spec = call->spec;
    const struct rtci_resolved *rows = rtci_task_resolved(spec);
    const struct rtci_id *refs = rtci_spec_refs(spec);
    int rc = 0;
    uint32_t n_absent = 0;
    for (uint32_t i = 0; i < spec->n_refs; i++) {
        if (rows[i].kind != RTCI_KIND_ABSENT || refs[i].index == RTCI_HANDLE)
            continue;
        n_absent++;
        if (!rtci_find(call->rtc, rtci_ref_of(refs[i]), true, &rc))
            return rc;
    }
    for (uint32_t i = 0; i < spec->n_refs && n_absent; i++) {
        if (rows[i].kind != RTCI_KIND_ABSENT || refs[i].index == RTCI_HANDLE)
            continue;
        struct slot *slot = rtci_find(call->rtc, rtci_ref_of(refs[i]), true, &rc);
        if (!slot)
            return rc;
        RTCI_TRY(rtci_await(call->rtc, slot, rtci_ref_of(refs[i]), UINT64_MAX));
        if (slot->state == SLOT_FAILED)
            return rtci_slot_failure(slot);
    }
    return 0;
}

int rtci_call_fetch(struct rtc_call *call)
{
    struct withheld *w = call->rtc->withheld;
    if (RTCI_LIKELY(!w))
        return fetch(call);
    w->fetching = call->spec->client != 0; /* rtc_self_later() does not ask before */
    int rc = fetch(call);
    w->fetching = false;
    return rc;
}

static int absent_value(struct rtc_call *call, rtc_ref ref, struct rtc_value *ret_value)
{
    RTCI_TRY(rtci_enter(call->rtc));
    int rc = 0;
    struct slot *slot = rtci_find(call->rtc, ref, true, &rc);
    if (slot)
        rc = rtci_slot_here(slot) ? rtci_slot_value(call->rtc, slot, ret_value)
                                  : rtci_error(RTC_E_NOT_FOUND, "the argument is not there");
    rtci_leave(call->rtc);
    return rc;
}

static int resolved_value(struct rtc_call *call, uint32_t i, struct rtc_value *ret_value)
{
    const struct rtci_spec *spec = call->spec;
    const struct rtci_resolved *row = &rtci_task_resolved(spec)[i];
    struct rtc *rtc = call->rtc;
    switch (row->kind) {
    case RTCI_KIND_INLINE:
        return rtci_value_view((const char *)spec + row->offset +
                                   row->n_refs * sizeof(struct rtci_id),
                               row->size, ret_value);
    case RTCI_KIND_ARENA:
        if (row->size > rtc->arena_bytes || row->offset > rtc->arena_bytes - row->size)
            return rtci_error(RTC_E_PROTOCOL, "argument outside of the object store");
        return rtci_value_view(rtc->arena_ro + row->offset, row->size, ret_value);
    case RTCI_KIND_ABSENT:
        if (rtci_spec_refs(spec)[i].index == RTCI_HANDLE) {
            *ret_value = rtc_of_ref(rtci_ref_of(rtci_spec_refs(spec)[i]));
            return 0;
        }
        return absent_value(call, rtci_ref_of(rtci_spec_refs(spec)[i]), ret_value);
    default: return rtci_error(RTC_E_DEPENDENCY, "the task that makes the argument failed");
    }
}

static int arg_row(struct rtc_call *call, size_t i, const struct rtci_arg **ret_row)
{
    if (call->few || i >= call->spec->n_args)
        return rtci_error(RTC_E_NOT_FOUND,
                          "%s \"%s\" was called with %zu arguments: there is no argument "
                          "%zu",
                          call->what, call->def->name, rtc_arg_count(call), i);
    *ret_row = &rtci_spec_args(call->spec)[i];
    return 0;
}

int rtc_arg(struct rtc_call *call, size_t i, struct rtc_value *ret_value)
{
    const struct rtci_arg *row;
    if (RTCI_LIKELY(call->few && i < call->few->n)) {
        *ret_value = rtci_few_value(call->few, i);
        return 0;
    }
    RTCI_TRY(arg_row(call, i, &row));
    if (row->size == RTCI_ARG_REF)
        return resolved_value(call, row->offset, ret_value);
    return rtci_value_view(rtci_spec_data(call->spec) + row->offset, row->size, ret_value);
}

static int within(struct rtc_call *call, size_t i, int rc)
{
    return rc < 0 ? rtci_error_within(rc, "%s \"%s\", argument %zu", call->what, call->def->name, i)
                  : rc;
}

int rtc_arg_i64(struct rtc_call *call, size_t i, int64_t *ret_x)
{
    struct rtc_value v;
    RTCI_TRY(rtc_arg(call, i, &v));
    return within(call, i, rtc_value_i64(&v, ret_x));
}

int rtc_arg_f64(struct rtc_call *call, size_t i, double *ret_x)
{
    struct rtc_value v;
    RTCI_TRY(rtc_arg(call, i, &v));
    return within(call, i, rtc_value_f64(&v, ret_x));
}

int rtc_arg_bool(struct rtc_call *call, size_t i, bool *ret_x)
{
    struct rtc_value v;
    RTCI_TRY(rtc_arg(call, i, &v));
    return within(call, i, rtc_value_bool(&v, ret_x));
}

int rtc_arg_str(struct rtc_call *call, size_t i, const char **ret_text, size_t *ret_len)
{
    struct rtc_value v;
    RTCI_TRY(rtc_arg(call, i, &v));
    return within(call, i, rtc_value_str(&v, ret_text, ret_len));
}

int rtc_arg_bytes(struct rtc_call *call, size_t i, const void **ret_data, size_t *ret_size)
{
    struct rtc_value v;
    RTCI_TRY(rtc_arg(call, i, &v));
    return within(call, i, rtc_value_bytes(&v, ret_data, ret_size));
}

int rtc_arg_array(struct rtc_call *call, size_t i, struct rtc_array *ret_array)
{
    struct rtc_value v;
    RTCI_TRY(rtc_arg(call, i, &v));
    return within(call, i, rtc_value_array(&v, ret_array));
}

int rtc_arg_ref(struct rtc_call *call, size_t i, rtc_ref *ret_ref)
{
    const struct rtci_arg *row;
    struct rtc_value plain;
    if (call->few) {
        RTCI_TRY(rtc_arg(call, i, &plain));
        return within(call, i, rtc_value_ref(&plain, ret_ref));
    }
    RTCI_TRY(arg_row(call, i, &row));
    if (row->size == RTCI_ARG_REF) {
        *ret_ref = rtci_ref_of(rtci_spec_refs(call->spec)[row->offset]);
        return 0;
    }
    struct rtc_value v;
    RTCI_TRY(rtc_arg(call, i, &v));
    if (v.type == RTC_REF)
        return rtc_value_ref(&v, ret_ref);
    return rtci_error(
        RTC_E_TYPE,
        "%s \"%s\", argument %zu came as a value (%s): small objects are copied into the "
        "task; declare the argument \"ref\" in the task's signature to get the reference",
        call->what, call->def->name, i, rtc_type_name(v.type));
}
