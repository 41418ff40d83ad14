/* Return values and failures become the DONE record: rows first, as many as the submitter wants,
 * then the bytes. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/client/light.h"
#include "runtime/client/route.h"
#include "runtime/exec/exec.h"
#include "runtime/wire/actor.h"

static size_t rows_end(const struct rtc_call *call)
{
    return sizeof(struct rtci_done) + call->n_rows * sizeof(struct rtci_resolved);
}

static struct rtci_resolved *row_of(struct rtc_call *call, uint32_t i)
{
    return (struct rtci_resolved *)(call->done.data + sizeof(struct rtci_done)) + i;
}

static void begin(struct rtc_call *call, uint32_t n_rows)
{
    call->n_rows = n_rows;
    call->small = false;
    call->n_returned = 0;
    call->never_ran = false;
    call->promise = NULL;
    call->progress_ns = 0;
    call->by_daemon = false;
    call->what = call->what ? call->what : "task";
    call->fail_code = 0;
    call->user_code = 0;
    call->exit_status = -1;
    call->signal = 0;
    call->fail_log_len = 0;
    rtci_call_rows(call);
}

void rtci_call_rows(struct rtc_call *call)
{
    rtci_buf_clear(&call->done);
    rtci_buf_clear(&call->ids);
    rtci_buf_clear(&call->held);
    void *head = rtci_buf_add(&call->done, rows_end(call));
    if (head)
        memset(head, 0, rows_end(call));
}

void rtci_call_begin(struct rtc_call *call)
{
    begin(call, call->spec->n_returns ? call->spec->n_returns : 1);
}

void rtci_call_begin_one(struct rtc_call *call)
{
    begin(call, 1);
}

/* ---- Returning ---- */
/* The task may release what its values contain before the head has heard of them. */
static int hold_contained(struct rtc_call *call, const struct rtci_id *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct rtci_id id = ids[i];
        RTCI_TRY(rtci_retain_locked(call->rtc, rtci_ref_of(id)));
        rtci_buf_put(&call->held, &id, sizeof(id));
    }
    return 0;
}

static void drop_contained(struct rtc_call *call)
{
    for (size_t at = 0; at < call->held.len; at += sizeof(struct rtci_id))
        RTCI_IGNORE(rtci_release_locked(
            call->rtc, rtci_ref_of(*(const struct rtci_id *)(call->held.data + at))));
    rtci_buf_clear(&call->held);
}

static int return_large(struct rtc_call *call, const struct rtc_value *value,
                        const struct value_plan *plan)
{
    struct rtci_id id = {call->spec->seq, call->spec->client, call->n_returned};
    uint64_t offset;
    RTCI_TRY(rtci_arena_write(call->rtc, id, value, plan, &offset));
    const void *ids = call->rtc->arena + offset + plan->ids_at;
    RTCI_TRY(hold_contained(call, ids, plan->n_refs));
    rtci_buf_put(&call->ids, ids, plan->n_refs * sizeof(struct rtci_id));
    *row_of(call, call->n_returned) = (struct rtci_resolved){
        .kind = RTCI_KIND_ARENA, .n_refs = plan->n_refs, .size = plan->size, .offset = offset};
    return 0;
}

/* The answer to a call names an object of this process: the head never hears of the call. */
static int return_object(struct rtc_call *call, const struct rtc_value *value,
                         const struct value_plan *plan)
{
    rtc_ref ref;
    int rc = 0;
    RTCI_TRY(rtci_put_locked(call->rtc, value, &ref));
    struct slot *slot = rtci_find(call->rtc, ref, false, &rc);
    rc = slot ? rtci_publish(call->rtc, slot, ref) : rc;
    if (rc == 0)
        rc = rtci_call_lend(call, ref);
    struct rtci_id id = rtci_id_of(ref);
    size_t begin = call->done.len;
    rtci_buf_put(&call->done, &id, sizeof(id));
    if (rc < 0) {
        RTCI_IGNORE(rtci_release_locked(call->rtc, ref));
        return rc;
    }
    if (!call->done.failed)
        *row_of(call, call->n_returned) = (struct rtci_resolved){
            .kind = RTCI_KIND_ABSENT, .n_refs = 1, .size = plan->size, .offset = begin};
    return 0;
}

static int return_inline(struct rtc_call *call, const struct rtc_value *value,
                         const struct value_plan *plan)
{
    size_t ids_size = plan->n_refs * sizeof(struct rtci_id), begin = call->done.len;
    uint8_t *at = rtci_buf_add(&call->done, ids_size + RTCI_ALIGN8(plan->size));
    if (!at)
        return rtci_error(RTC_E_NOMEM, "out of memory for a return value of %llu bytes",
                          (unsigned long long)plan->size);
    uint8_t *bytes = at + ids_size;
    if (plan->size & 7u)
        memset(bytes + (plan->size & ~7ull), 0, 8);
    rtci_value_write(value, plan, bytes);
    if (plan->n_refs)
        memcpy(at, bytes + plan->ids_at, ids_size);
    *row_of(call, call->n_returned) = (struct rtci_resolved){
        .kind = RTCI_KIND_INLINE, .n_refs = plan->n_refs, .size = plan->size, .offset = begin};
    if (!plan->n_refs)
        return 0;
    struct rtci_id *ids = malloc(ids_size); /* other threads may add to the record meanwhile */
    if (!ids)
        return rtci_error(RTC_E_NOMEM, "out of memory for %u references", plan->n_refs);
    memcpy(ids, call->done.data + begin, ids_size);
    int rc = rtci_publish_contained(call->rtc, ids, plan->n_refs);
    if (rc == 0)
        rc = hold_contained(call, ids, plan->n_refs);
    free(ids);
    return rc;
}

int rtci_call_return(struct rtc_call *call, const struct rtc_value *value)
{
    if (call->done.failed)
        return rtci_error(RTC_E_NOMEM, "out of memory for the return values");
    if (call->n_returned >= call->n_rows)
        return rtci_call_fail(call, RTC_E_RETURNS, 0,
                              "%s \"%s\" returned more than the %u value%s its submitter asked for "
                              "(options.returns)",
                              call->what, call->def->name, call->n_rows,
                              call->n_rows == 1 ? "" : "s");
    int rc = rtci_signature_check_returns(call->def, call->n_returned, value);
    if (rc < 0)
        return rtci_call_fail(call, rc, 0, "%s", rtc_last_error());
    struct value_plan plan;
    rc = rtci_value_plan(value, &plan);
    if (rc == 0) {
        bool crowded = call->done.len + plan.size > RTCI_SPEC_INLINE_MAX && plan.size > 1024;
        if (RTCI_UNLIKELY(plan.n_lights))
            rtci_lights_given(call->rtc, value, (struct rtci_id){0});
        bool large = plan.size + plan.n_refs * sizeof(struct rtci_id) > RTCI_INLINE_MAX || crowded;
        if (call->keep && plan.n_refs)
            rc = rtci_error(RTC_E_TYPE, "a state that is saved cannot contain references");
        else if (call->peer && (plan.size > RTCI_ANSWER_INLINE_MAX || plan.n_refs))
            rc = return_object(call, value, &plan);
        else if (large && !call->host)
            rc = return_large(call, value, &plan);
        else if (!call->host || call->peer || call->keep || call->local)
            rc = return_inline(call, value, &plan);
    }
    if (rc < 0)
        return rtci_error_within(rc, "%s \"%s\", return value %u", call->what, call->def->name,
                                 call->n_returned);
    call->n_returned++;
    return 0;
}

int rtc_return(struct rtc_call *call, const struct rtc_value *value)
{
    if (!value)
        return rtci_error(RTC_E_INVALID, "value is NULL");
    int rc;
    if (call->small && rtci_return_small(call, value, &rc))
        return rc;
    RTCI_TRY(rtci_enter(call->rtc));
    rc = rtci_call_return(call, value);
    rtci_leave(call->rtc);
    return rc;
}

int rtc_return_i64(struct rtc_call *call, int64_t x)
{
    struct rtc_value v = rtc_i64(x);
    return rtc_return(call, &v);
}

int rtc_return_f64(struct rtc_call *call, double x)
{
    struct rtc_value v = rtc_f64(x);
    return rtc_return(call, &v);
}

int rtc_return_str(struct rtc_call *call, const char *text)
{
    struct rtc_value v = rtc_str(text);
    return rtc_return(call, &v);
}

int rtc_return_bytes(struct rtc_call *call, const void *data, size_t size)
{
    struct rtc_value v = rtc_bytes(data, size);
    return rtc_return(call, &v);
}

/* ---- Failing ---- */
static int fail_with(struct rtc_call *call, int code, int user_code, const char *fmt, va_list args)
{
    if (call->fail_code == 0) { /* the first says why */
        call->fail_code = code;
        call->user_code = user_code;
        vsnprintf(call->fail_text, sizeof(call->fail_text), fmt, args);
    }
    return code;
}

int rtci_call_fail(struct rtc_call *call, int code, int user_code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int rc = fail_with(call, code, user_code, fmt, args);
    va_end(args);
    return rtci_error(rc, "%s", call->fail_text);
}

int rtc_fail(struct rtc_call *call, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fail_with(call, RTC_E_TASK_FAILED, code < 0 ? code : RTC_E_TASK_FAILED, fmt ? fmt : "", args);
    va_end(args);
    rtci_error(code, "%s", call->fail_text);
    return code < 0 ? code : RTC_E_TASK_FAILED;
}

/* A task that was told to stop and failed has done as it was told. */
static void judge_cancelled(struct rtc_call *call)
{
    if (call->fail_code == 0 || !rtc_cancelled(call))
        return;
    uint64_t deadline = call->spec->deadline_ns;
    bool late = deadline != 0 && rtci_now_ns() >= deadline;
    char text[sizeof(call->fail_text)];
    memcpy(text, call->fail_text, sizeof(text));
    call->fail_code = late ? RTC_E_DEADLINE : RTC_E_CANCELLED;
    snprintf(call->fail_text, sizeof(call->fail_text),
             "it was stopped, because %s; it said: %.400s",
             late ? "its deadline passed" : "it was cancelled", text);
}

/* A call whose result nobody wants, or whose values were yielded. */
static bool may_return_nothing(const struct rtc_call *call)
{
    return call->host && call->n_returned == 0 &&
           call->spec->flags & (RTCI_SPEC_QUIET | RTCI_SPEC_STREAM);
}

void rtci_call_judge(struct rtc_call *call, int rc)
{
    if (call->fail_code != 0)
        return;
    const char *why = rtc_last_error();
    if (rc < 0 && rc > -RTC_ERROR_COUNT_ && why[0])
        rtci_call_fail(call, RTC_E_TASK_FAILED, rc, "%s", why);
    else if (rc < 0 && rc > -RTC_ERROR_COUNT_)
        rtci_call_fail(call, RTC_E_TASK_FAILED, rc, "it returned %s (%s)", rtc_error_name(rc),
                       rtc_error_text(rc));
    else if (rc < 0)
        rtci_call_fail(call, RTC_E_TASK_FAILED, rc, "it returned %d", rc);
    else if (call->n_returned < call->n_rows && call->def && !may_return_nothing(call) &&
             !(call->n_returned == 0 && call->n_rows == 1 && call->def->signature &&
               rtci_signature_returns(call->def->signature) == 0))
        rtci_call_fail(
            call, RTC_E_RETURNS, 0,
            "it ended with %u of the %u values that its submitter wants%s%s: each is returned "
            "with rtc_return() or a sister of it",
            call->n_returned, call->n_rows, call->def->signature ? "; it is declared " : "",
            call->def->signature ? call->def->signature : "");
}

/* To the caller of an actor. An object that it names must be known when the caller asks for it. */
static int send_reply(struct rtc_call *call, uint32_t n_rows, uint16_t flags)
{
    struct rtc *rtc = call->rtc;
    size_t size = RTCI_ALIGN8(call->done.len);
    int kept = 0;
    void *at;
    if (!call->peer && !call->local)
        return 0; /* it called itself */
    if (size > RTCI_RECORD_MAX)
        return RTC_E_TOO_LARGE;
    struct rtci_done *done = (struct rtci_done *)call->done.data;
    *done = (struct rtci_done){.rec = {(uint32_t)size, RTCI_R_ACTOR_REPLY, flags},
                               .seq = call->spec->seq,
                               .client = call->spec->client,
                               .attempt = call->caller_node,
                               .status = call->fail_code,
                               .n_returns = n_rows};
    if (call->local)
        return rtci_light_send_done(call, done, size);
    if (call->yields && rtci_stream_keep(call, done, &kept))
        return kept;
    if (call->withhold && !(flags & RTCI_REPLY_MORE))
        return rtci_host_withhold(call, done);
    RTCI_TRY(rtci_route_reserve_reply(rtc, call->peer, size, &call->by_daemon, &at));
    memcpy(at, done, size);
    rtci_route_send(rtc, call->peer);
    return 0;
}

static int send_done(struct rtc_call *call, uint64_t run_ns, uint32_t n_rows)
{
    if (call->host)
        return send_reply(call, n_rows, call->never_ran ? RTCI_REPLY_NEVER_RAN : 0);
    struct rtc *rtc = call->rtc;
    size_t size = RTCI_ALIGN8(call->done.len);
    void *at;
    if (size > RTCI_RECORD_MAX)
        return RTC_E_TOO_LARGE;
    RTCI_TRY(rtci_reserve(rtc, size, UINT64_MAX, &at));
    struct rtci_done *done = (struct rtci_done *)call->done.data;
    *done = (struct rtci_done){.rec = {.size = (uint32_t)size, .type = RTCI_R_DONE},
                               .seq = call->spec->seq,
                               .client = call->spec->client,
                               .attempt = call->spec->attempt,
                               .status = call->fail_code,
                               .n_returns = n_rows,
                               .run_ns = run_ns};
    memcpy(at, done, size);
    rtci_send(rtc);
    return 0;
}

static int send_failure(struct rtc_call *call, uint64_t run_ns)
{
    const char *function = call->def ? call->def->name : "";
    struct rtci_fail fail = {.code = call->fail_code,
                             .user_code = call->user_code,
                             .exit_status = call->exit_status,
                             .signal = call->signal,
                             .pid = (uint32_t)getpid(),
                             .node = call->rtc->node,
                             .origin = {call->spec->seq, call->spec->client, 0},
                             .attempts = (uint16_t)call->spec->attempt,
                             .text_len = (uint16_t)strlen(call->fail_text),
                             .log_len = (uint16_t)call->fail_log_len};
    size_t function_len = strlen(function);
    fail.function_len = (uint16_t)(function_len < RTCI_NAME_MAX ? function_len : RTCI_NAME_MAX);
    struct rtci_resolved row = {.kind = RTCI_KIND_ERROR,
                                .size =
                                    sizeof(fail) + fail.function_len + fail.text_len + fail.log_len,
                                .offset = sizeof(struct rtci_done) + sizeof(row)};
    struct rtci_buf *buf = &call->done;
    rtci_buf_clear(buf);
    RTCI_IGNORE(rtci_buf_add(buf, sizeof(struct rtci_done)));
    rtci_buf_put(buf, &row, sizeof(row));
    rtci_buf_put(buf, &fail, sizeof(fail));
    rtci_buf_put(buf, function, fail.function_len);
    rtci_buf_put(buf, call->fail_text, fail.text_len);
    rtci_buf_put(buf, call->fail_log, fail.log_len);
    static const uint8_t zero[8];
    rtci_buf_put(buf, zero, -buf->len & 7u);
    if (buf->failed)
        return rtci_error(RTC_E_NOMEM, "out of memory for the failure of a task");
    return send_done(call, run_ns, 1);
}

int rtci_call_end(struct rtc_call *call, int rc, uint64_t run_ns)
{
    rtci_call_judge(call, rc);
    judge_cancelled(call);
    if (call->fail_code == 0 && (call->done.failed || call->ids.failed || call->held.failed))
        rtci_call_fail(call, RTC_E_NOMEM, 0, "out of memory for the return values");
    if (call->fail_code == 0 && call->n_returned < call->n_rows) {
        struct rtc_value nil = rtc_nil(); /* declared to return nothing */
        if (rtci_call_return(call, &nil) < 0)
            rtci_call_fail(call, RTC_E_NOMEM, 0, "%s", rtc_last_error());
    }
    if (call->fail_code == 0)
        rtci_buf_put(&call->done, call->ids.data, call->ids.len);
    if (call->fail_code == 0 && call->done.len > RTCI_RECORD_MAX)
        rtci_call_fail(
            call, RTC_E_TOO_LARGE, 0,
            "the return values make %zu bytes beside the large objects: put some into a list "
            "or an array",
            call->done.len);
    rc = call->fail_code ? send_failure(call, run_ns) : send_done(call, run_ns, call->n_rows);
    drop_contained(call);
    return rc;
}

int rtci_call_yield(struct rtc_call *call)
{
    int rc = call->done.failed ? rtci_error(RTC_E_NOMEM, "out of memory for a value") : 0;
    if (rc == 0)
        rc = send_reply(call, 1, RTCI_REPLY_MORE);
    drop_contained(call);
    return rc;
}

void rtci_call_fini(struct rtc_call *call)
{
    rtci_buf_fini(&call->done);
    rtci_buf_fini(&call->ids);
    rtci_buf_fini(&call->held);
}
