/* Calls between two light actors of one host. Plain arguments and answers travel in the engine's
 * messages; others in a packet (light_packet.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/exec/light_host.h"

/* ---- Plain values ---- */

struct rtc_value rtci_few_value(const struct rtci_few *few, size_t i)
{
    struct rtc_value v = rtc_nil();
    if (RTCI_UNLIKELY(few->type[i] == RTC_REF))
        return rtc_of_actor(rtci_light_handle_of(rtci_light_id_at(few->v[i])));
    v.type = few->type[i];
    if (v.type == RTC_BOOL)
        v.as.b = few->v[i] != 0;
    else
        v.as.u = few->v[i];
    return v;
}

static bool is_here(const struct rtc_value *value)
{
    return rtci_value_light(value) && value->as.ref.seq == rtci_lights.id.seq &&
           value->as.ref.client == rtci_lights.id.client;
}

static uint64_t plain(const struct rtc_value *value)
{
    return value->type == RTC_NIL    ? 0
           : value->type == RTC_BOOL ? value->as.b
           : value->type == RTC_REF  ? value->as.actor.light
                                     : value->as.u;
}

static bool write_few(const struct rtc_args *args, struct rtci_few *few)
{
    if (args->n > RTCI_FEW)
        return false;
    for (size_t i = 0; i < args->n; i++) {
        const struct rtc_value *value = &args->items[i];
        if (!rtci_value_is_scalar(value) && !is_here(value))
            return false;
        few->type[i] = value->type;
        few->v[i] = plain(value);
    }
    few->n = (uint8_t)args->n;
    return true;
}

/* Handles under way are counted. */
static void count_few(struct rtci_light_ctx *ctx, const struct rtci_few *few,
                      int (*fn)(struct rtci_light_ctx *ctx, rtci_light_id id))
{
    for (size_t i = 0; i < few->n; i++) {
        if (RTCI_UNLIKELY(few->type[i] == RTC_REF))
            RTCI_IGNORE(fn(ctx, rtci_light_id_at(few->v[i])));
    }
}

/* ---- Running one ---- */

bool rtci_return_small(struct rtc_call *call, const struct rtc_value *value, int *ret)
{
    if (call->n_returned)
        return false; /* one too many */
    bool here = is_here(value);
    if (!rtci_value_is_scalar(value) && !here) {
        call->small = false;
        rtci_call_rows(call);
        return false;
    }
    int rc = call->def->signature ? rtci_signature_check_returns(call->def, 0, value) : 0;
    *ret = rc < 0 ? rtci_call_fail(call, rc, 0, "%s", rtc_last_error()) : 0;
    if (rc == 0) {
        call->small_type = value->type;
        call->small_value = plain(value);
        call->n_returned = 1;
    }
    return true;
}

int rtci_light_send_done(struct rtc_call *call, const struct rtci_done *done, size_t size)
{
    void *block = malloc(size);
    struct rtci_light_ctx *ctx = rtci_light_ctx_now();
    if (!block) {
        rtci_light_reply_later(ctx, &call->reply, RTC_E_NOMEM, NULL, 0);
        return 0;
    }
    memcpy(block, done, size);
    rtci_buf_clear(&call->held); /* who reads it releases what it contains */
    rtci_light_reply_block(ctx, &call->reply, done->status, block, size, rtci_done_drop);
    return 0;
}

/* The method ended, and the answer comes later: the call lives on in memory of its own. */
static bool defer_local(struct run *run, int rc)
{
    struct rtc_call *call = &run->call, *own = NULL;
    struct rtc_promise *promise = call->promise;
    call->promise = NULL;
    if (rc >= 0 && !call->fail_code && (promise->spec = calloc(1, sizeof(*promise->spec))))
        own = calloc(1, sizeof(*own));
    if (!own) {
        free(promise->spec);
        free(promise);
        return false;
    }
    *promise->spec = run->spec;
    promise->spec->n_returns = (uint16_t)call->n_rows;
    own->rtc = call->rtc;
    own->host = call->host;
    own->cell = call->cell;
    own->local = true;
    own->reply = call->reply;
    own->spec = promise->spec;
    own->what = call->what;
    rtci_call_begin(own);
    own->def = call->def;
    promise->call = own;
    promise->message = (struct message *)promise->spec; /* freed with it */
    pthread_mutex_lock(&call->rtc->lock);
    rtci_promise_keep(promise, call->cell);
    pthread_mutex_unlock(&call->rtc->lock);
    return true;
}

static void end_local(struct run *run, int rc)
{
    struct rtc_call *call = &run->call;
    struct rtc *rtc = call->rtc;
    if (RTCI_UNLIKELY(call->promise != NULL) && defer_local(run, rc))
        return;
    if (RTCI_LIKELY(rc >= 0 && !call->fail_code && call->small &&
                    (call->n_returned || !call->reply.kind))) {
        uint64_t answer[2] = {call->small_value, call->small_type};
        if (!call->reply.kind)
            return;
        if (RTCI_UNLIKELY(call->small_type == RTC_REF))
            RTCI_IGNORE(rtci_light_retain(run->ctx, rtci_light_id_at(call->small_value)));
        rtci_light_reply_later(run->ctx, &call->reply, 0, answer, sizeof(answer));
        return;
    }
    /* What nobody wants to know is made all the same: it lets go of what the values contain. */
    pthread_mutex_lock(&rtc->lock);
    if (call->small)
        rtci_call_rows(call);
    if (rtci_call_end(call, rc, 0) < 0)
        rtci_light_reply_later(run->ctx, &call->reply, RTC_E_NOMEM, NULL, 0);
    pthread_mutex_unlock(&rtc->lock);
}

static int run_it(struct run *run, const struct rtc_task_def *def)
{
    struct rtc_call *call = &run->call;
    if (RTCI_UNLIKELY(!def)) {
        call->def = &run->cell->kind->init;
        return rtci_cell_construct(call);
    }
    call->def = def;
    return def->run(call);
}

/* References and a deadline are looked at first. */
static int run_packet(struct run *run, const struct rtc_task_def *def, struct rtci_spec *spec)
{
    struct rtc_call *call = &run->call;
    int rc = 0;
    call->def = def ? def : &run->cell->kind->init;
    run->deadline_ns = spec->deadline_ns;
    if (spec->deadline_ns && rtci_now_ns() >= spec->deadline_ns) {
        call->never_ran = true;
        return rtci_call_fail(call, RTC_E_DEADLINE, 0,
                              "its deadline passed while it waited in the actor's mailbox");
    }
    if (spec->n_refs) {
        pthread_mutex_lock(&call->rtc->lock);
        rc = rtci_call_fetch(call);
        pthread_mutex_unlock(&call->rtc->lock);
    }
    return rc < 0 ? rc : run_it(run, def);
}

int rtci_local_run(struct run *run, const struct rtc_task_def *def, struct rtci_light_msg *msg)
{
    struct rtc_call *call = &run->call;
    struct rtci_spec *packet = msg->size == RTCI_LIGHT_BLOCK ? msg->block : NULL;
    const struct rtci_few *few = packet ? NULL : (const struct rtci_few *)(const void *)msg->data;
    call->cell = run->cell;
    call->few = few;
    call->spec = packet ? packet : &run->spec;
    call->what = def ? "method" : "actor";
    call->n_rows = few ? few->returns : packet->n_returns;
    call->n_returned = 0;
    call->never_ran = false;
    call->small = call->n_rows == 1;
    call->fail_code = 0;
    call->user_code = 0;
    call->promise = NULL;
    call->small_type = RTC_NIL;
    /* Nobody waits for the value of what was told: it need not give one. */
    run->spec.flags = call->reply.kind ? RTCI_SPEC_CALL : RTCI_SPEC_CALL | RTCI_SPEC_QUIET;
    if (RTCI_UNLIKELY(!call->small))
        rtci_call_rows(call);
    int rc = packet ? run_packet(run, def, packet) : run_it(run, def);
    end_local(run, rc);
    if (few)
        count_few(run->ctx, few, rtci_light_release);
    call->spec = &run->spec;
    call->few = NULL;
    return 0;
}

/* ---- Calling ---- */

int rtci_light_refused(rtci_light_id to, int rc)
{
    if (rc == RTC_E_NOT_FOUND)
        return rtci_light_is_dead(to);
    if (rc == RTC_E_AGAIN)
        return rtci_error(
            RTC_E_AGAIN,
            "too much is under way: 16,384 calls of one light actor without an answer, "
            "or 4 million messages in one mailbox");
    return rtci_error(rc, "out of memory for a call");
}

static uint64_t timeout_of(uint64_t deadline_ns)
{
    uint64_t now = deadline_ns ? rtci_now_ns() : 0;
    return !deadline_ns ? RTCI_LIGHT_FOREVER : deadline_ns > now ? deadline_ns - now : 1;
}

static int send_few(struct run *run, rtci_light_id to, uint16_t tag, const struct rtci_few *few,
                    rtc_ref *ret_refs)
{
    struct rtci_light_ctx *ctx = run->ctx;
    uint32_t slot;
    count_few(ctx, few, rtci_light_retain);
    int rc = 0;
    if (!ret_refs) {
        rc = rtci_light_tell(ctx, to, tag, few, sizeof(*few));
    } else if ((rc = rtci_future_new(run, few->returns, &slot, ret_refs)) == 0) {
        rc = rtci_light_call(ctx, to, tag, few, sizeof(*few), RTCI_LIGHT_FOREVER, rtci_future_reply,
                             (void *)(uintptr_t)slot);
        if (RTCI_UNLIKELY(rc))
            rtci_future_undo(run, slot);
    }
    if (RTCI_LIKELY(rc == 0))
        return 0;
    count_few(ctx, few, rtci_light_release);
    return rtci_light_refused(to, rc);
}

static int send_packet(struct run *run, rtci_light_id to, uint16_t tag, struct rtci_spec *spec,
                       rtc_ref *ret_refs)
{
    uint32_t slot;
    int rc = 0;
    if (!ret_refs) {
        rc = rtci_light_tell_block(run->ctx, to, tag, spec, spec->rec.size, rtci_packet_drop);
    } else if ((rc = rtci_future_new(run, spec->n_returns, &slot, ret_refs)) == 0) {
        rc = rtci_light_call_block(run->ctx, to, tag, spec, spec->rec.size, rtci_packet_drop,
                                   timeout_of(spec->deadline_ns), rtci_future_reply,
                                   (void *)(uintptr_t)slot);
        if (rc)
            rtci_future_undo(run, slot);
    }
    if (rc == 0)
        return 0;
    rtci_packet_drop(spec);
    return rtci_light_refused(to, rc);
}

/* The earlier of its own deadline and the one of the call at hand. */
static uint64_t deadline_of(const struct run *run, const struct rtc_call_options *options)
{
    uint64_t own = options && options->deadline > 0 ? rtci_deadline(options->deadline) : 0;
    return !own || (run->deadline_ns && run->deadline_ns < own) ? run->deadline_ns : own;
}

static int call_here(struct run *run, rtc_actor actor, const char *method,
                     const struct rtc_args *args, const struct rtc_call_options *options,
                     rtc_ref *ret_refs)
{
    rtci_light_id to = rtci_light_id_of_handle(actor);
    uint32_t flags, returns = options && options->returns ? options->returns : 1;
    struct kind *kind = rtci_kind_at(to, &flags);
    if (RTCI_UNLIKELY(!kind))
        return RTC_E_ACTOR_DEAD;
    int at = rtci_method_of(kind->def, method);
    if (RTCI_UNLIKELY(at < 0))
        return at;
    const struct rtc_task_def *def = &kind->methods[at];
    if (RTCI_UNLIKELY(options && options->stream))
        return rtci_error(
            RTC_E_UNSUPPORTED,
            "options.stream is for callers of other processes: a light actor of the same host "
            "would wait for the values, and nothing calls it back for each; let it answer with "
            "a list");
    if (RTCI_UNLIKELY(returns > RTCI_RETURNS_MAX))
        return rtci_error(RTC_E_INVALID, "returns = %u; at most %d are possible", returns,
                          RTCI_RETURNS_MAX);
    if (def->signature)
        RTCI_TRY(rtci_signature_check(def, args->items, args->n, returns));
    if (RTCI_UNLIKELY(flags & KIND_FAILS) && rtci_light_full(run->ctx, to))
        return rtci_error(RTC_E_AGAIN, "the mailbox of actor %s is full", kind->def->name);
    uint64_t deadline_ns = deadline_of(run, options);
    struct rtci_few few;
    few.returns = (uint16_t)returns;
    if (RTCI_LIKELY(!deadline_ns && write_few(args, &few)))
        return send_few(run, to, (uint16_t)at, &few, ret_refs);
    struct rtci_spec *spec;
    RTCI_TRY(rtci_packet_of(def, args, returns, deadline_ns, &spec));
    return send_packet(run, to, (uint16_t)at, spec, ret_refs);
}

int rtci_cell_later(struct cell *cell, int64_t delay, const char *method,
                    const struct rtc_args *args)
{
    int at = rtci_method_of(cell->kind->def, method), rc;
    if (at < 0)
        return at;
    const struct rtc_task_def *def = &cell->kind->methods[at];
    struct rtci_light_ctx *ctx = rtci_light_ctx_now();
    uint64_t ns = delay > 0 ? (uint64_t)delay : 0;
    struct rtci_few few = {.returns = 1};
    struct rtci_spec *spec;
    if (def->signature)
        RTCI_TRY(rtci_signature_check(def, args->items, args->n, 1));
    if (write_few(args, &few)) {
        count_few(ctx, &few, rtci_light_retain);
        rc = rtci_light_after(ctx, ns, cell->id, (uint16_t)at, &few, sizeof(few), NULL);
        return rc ? rtci_light_refused(cell->id, rc) : 0;
    }
    RTCI_TRY(rtci_packet_of(def, args, 1, 0, &spec));
    spec->flags |= RTCI_SPEC_QUIET;
    rc = rtci_light_after_block(ctx, ns, cell->id, (uint16_t)at, spec, spec->rec.size,
                                rtci_packet_drop);
    if (rc)
        rtci_packet_drop(spec);
    return rc ? rtci_light_refused(cell->id, rc) : 0;
}

int rtci_local_call(struct rtc *rtc, rtc_actor actor, const char *method,
                    const struct rtc_args *args, const struct rtc_call_options *options,
                    rtc_ref *ret_refs)
{
    struct run *run = rtci_running();
    (void)rtc;
    if (RTCI_UNLIKELY(!run || !rtci_light_here(actor)))
        return RTCI_ELSEWHERE;
    return call_here(run, actor, method, args, options, ret_refs);
}

int rtci_local_create(struct rtc *rtc, const struct rtc_actor_def *def, const struct rtc_args *args,
                      const struct rtc_actor_options *o, rtc_actor *ret_actor)
{
    struct run *run = rtci_running();
    (void)rtc;
    if (!run)
        return RTCI_ELSEWHERE;
    if (o->needs)
        return rtci_error(RTC_E_UNSUPPORTED,
                          "a light actor creates others in its own host: options.needs has to be "
                          "NULL there");
    struct kind *kind = rtci_kind_of(def);
    struct rtci_few few = {.returns = 1};
    struct rtci_spec *spec = NULL;
    rtci_light_id id;
    if (!kind)
        return RTC_E_NOMEM;
    bool plainly = write_few(args, &few);
    if (!plainly)
        RTCI_TRY(rtci_packet_of(&kind->init, args, 1, 0, &spec));
    int rc = rtci_light_make(run->ctx, kind, o->mailbox_fail ? KIND_FAILS : 0, &id);
    if (rc < 0) {
        if (spec)
            rtci_packet_drop(spec);
        return rc;
    }
    if (o->mailbox)
        RTCI_IGNORE(rtci_light_bound(run->ctx, id, o->mailbox));
    if (spec)
        spec->flags |= RTCI_SPEC_QUIET;
    if (def->init)
        rc = spec ? send_packet(run, id, TAG_INIT, spec, NULL)
                  : send_few(run, id, TAG_INIT, &few, NULL);
    else if (spec)
        rtci_packet_drop(spec);
    if (rc < 0)
        RTCI_IGNORE(rtci_light_kill(run->ctx, id));
    *ret_actor = rtci_light_handle(rtci_lights.id, rtci_light_number(id));
    return rc;
}
