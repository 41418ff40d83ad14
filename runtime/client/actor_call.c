/* Calling actors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"
#include "runtime/client/args.h"
#include "runtime/client/withheld.h"

/* What is the same for a call to many. */
struct request_call {
    const char *method;
    const struct rtc_args *args;
    uint32_t returns;
    uint16_t flags;
    uint64_t deadline_ns;        /* 0 = none */
    uint64_t submit_deadline_ns; /* mailbox or ring full */
    uint64_t light;              /* of the host that is called: for whom; 0 = itself */
    uint32_t mailbox;            /* … of a light one that is created */
    bool mailbox_fail;
    bool stream, quiet;
    bool order; /* a method of the runtime's own: the class need not have it */
};

static int read_options(struct rtc *rtc, const struct rtc_call_options *options, bool quiet,
                        struct request_call *ret)
{
    static const struct rtc_call_options defaults;
    const struct rtc_call_options *o = options ? options : &defaults;
    *ret = (struct request_call){.returns = o->returns ? o->returns : 1,
                                 .stream = o->stream,
                                 .quiet = quiet,
                                 .deadline_ns = rtc->running.deadline_ns};
    if (ret->returns > RTCI_RETURNS_MAX)
        return rtci_error(RTC_E_INVALID, "returns = %u; at most %d are possible", ret->returns,
                          RTCI_RETURNS_MAX);
    if (quiet && o->stream)
        return rtci_error(RTC_E_INVALID, "a stream without a reference could not be read");
    ret->flags = (uint16_t)(RTCI_SPEC_CALL | (quiet ? RTCI_SPEC_QUIET : 0) |
                            (o->stream ? RTCI_SPEC_STREAM : 0));
    if (o->deadline > 0) {
        uint64_t own = rtci_deadline(o->deadline);
        if (!ret->deadline_ns || own < ret->deadline_ns)
            ret->deadline_ns = own;
    }
    ret->submit_deadline_ns = o->submit_timeout == RTC_NO_WAIT ? 0
                              : o->submit_timeout == 0         ? UINT64_MAX
                                                               : rtci_deadline(o->submit_timeout);
    return 0;
}

/* ---- Futures ---- */

static int new_slots(struct rtc *rtc, struct call *call, const struct request_call *want,
                     rtc_ref *ret_refs)
{
    struct multi *multi = NULL;
    uint8_t flags = (uint8_t)(SLOT_CALL | (want->quiet ? SLOT_RELEASED : 0));
    if (RTCI_UNLIKELY(want->returns > 1)) {
        multi = calloc(1, sizeof(*multi) + want->returns * sizeof(struct slot));
        if (!multi)
            return rtci_error(RTC_E_NOMEM, "out of memory for %u futures", want->returns);
        multi->n = want->returns;
        multi->call = call;
    }
    struct slot *slot = rtci_slots_add(&rtc->slots, rtc->next_seq);
    if (!slot) {
        free(multi);
        return rtci_error(RTC_E_NOMEM, "out of memory for a future");
    }
    call->seq = rtc->next_seq++;
    slot->state = SLOT_PENDING;
    slot->flags = flags;
    slot->pins = 1; /* until the answer is there */
    slot->u.call = call;
    for (uint32_t i = 0; ret_refs && i < want->returns; i++)
        ret_refs[i] = (rtc_ref){call->seq, rtc->client, i};
    if (multi) {
        *rtci_slots_mark(&rtc->slots, call->seq) = 0;
        slot->where = WHERE_MULTI;
        slot->u.multi = multi;
        for (uint32_t i = 0; i < multi->n; i++) {
            multi->slot[i].state = SLOT_PENDING;
            multi->slot[i].flags = flags;
            multi->slot[i].pins = 1;
            multi->slot[i].u.call = call;
        }
    }
    return 0;
}

static int new_stream(struct rtc *rtc, struct call *call)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return rtci_error(RTC_E_NOMEM, "out of memory for a stream");
    *stream = (struct stream){.next = rtc->streams, .ref = {call->seq, rtc->client, 0}};
    rtc->streams = stream;
    call->stream = stream;
    return 0;
}

/* ---- The record ---- */

static void write_spec(struct rtc *rtc, struct call *call, const struct request_call *want,
                       uint64_t function, const struct task_plan *task)
{
    size_t size = call->spec->rec.size;
    *call->spec = (struct rtci_spec){.rec = {(uint32_t)size, RTCI_R_ACTOR_CALL, 0},
                                     .seq = call->seq,
                                     .client = rtc->client,
                                     .function = function,
                                     .parent_seq = rtc->running.id.seq,
                                     .parent_client = rtc->running.id.client,
                                     .n_returns = (uint16_t)want->returns,
                                     .flags = want->flags,
                                     .deadline_ns = want->deadline_ns,
                                     .priority = (int32_t)(want->mailbox & INT32_MAX),
                                     .depth = want->mailbox_fail,
                                     .slot = (uint32_t)want->light,
                                     .job = (uint32_t)(want->light >> 32),
                                     .n_refs = task->n_refs,
                                     .n_args = (uint32_t)task->n_args,
                                     .data_size = (uint32_t)task->data_size,
                                     .name_len = sizeof(struct rtci_call)};
}

/* References are kept until the call has its outcome; those of others are asked for. */
static void keep_refs(struct rtc *rtc, struct call *call)
{
    const struct rtci_id *refs = rtci_spec_refs(call->spec);
    for (uint32_t i = 0; i < call->spec->n_refs; i++) {
        int rc = 0;
        rtc_ref ref = rtci_ref_of(refs[i]);
        RTCI_IGNORE(rtci_retain_locked(rtc, ref));
        struct slot *slot = refs[i].index == RTCI_HANDLE ? NULL : rtci_find(rtc, ref, true, &rc);
        if (slot &&
            (!rtci_slot_done(slot) || (slot->flags & (SLOT_CALL | SLOT_AT_HEAD)) == SLOT_CALL))
            call->waits = true;
    }
}

/* ---- One call ---- */

/* To a host of light actors, of the runtime's own: what it is about ends with this process. */
static bool is_order(const struct request_call *want)
{
    return want->order || strncmp(want->method, "rtc.", 4) == 0;
}

static int enqueue(struct rtc *rtc, struct actor *actor, const struct request_call *want,
                   uint64_t function, const char *method, const struct task_plan *task,
                   rtc_ref *ret_refs)
{
    uint64_t size = sizeof(struct rtci_spec) + task->n_refs * sizeof(struct rtci_id) +
                    task->n_args * sizeof(struct rtci_arg) + task->data_size +
                    sizeof(struct rtci_call);
    if (size > RTCI_RECORD_MAX)
        return rtci_error(
            RTC_E_TOO_LARGE,
            "the arguments make %llu bytes beside the large objects; at most %llu are "
            "possible: put some into a list or an array",
            (unsigned long long)size, (unsigned long long)RTCI_RECORD_MAX);
    struct call *call = rtci_call_new(rtc, size);
    if (!call)
        return rtci_error(RTC_E_NOMEM, "out of memory for a call");
    call->actor = actor;
    call->n_returns = want->returns;
    call->once = want->light || want->order;
    call->deadline_ns = want->deadline_ns;
    call->method = method;
    call->spec->n_refs = 0;
    int rc = new_slots(rtc, call, want, ret_refs);
    if (rc < 0) {
        rtci_call_free(rtc, call);
        return rc;
    }
    write_spec(rtc, call, want, function, task);
    if (task->args)
        rtci_args_write(task, call->spec);
    else
        rtci_args_write_scalars(want->args, call->spec);
    if (task->n_refs)
        keep_refs(rtc, call);
    if (want->stream)
        RTCI_IGNORE(new_stream(rtc, call));
    if (want->deadline_ns && want->deadline_ns < rtc->actors->deadline_ns)
        rtc->actors->deadline_ns = want->deadline_ns;
    rtci_actor_pin(rtc, actor);
    rtci_call_push(&actor->queue, call);
    if (RTCI_UNLIKELY(rtc->withheld != NULL) && !is_order(want))
        rtci_withhold_call(rtc, call);
    if (actor->queue.first == call || rtc->actors->stuck)
        rtci_actor_pump(rtc, actor);
    return 0;
}

int rtci_actor_call_again(struct rtc *rtc, struct rtci_id to, const struct rtci_spec *spec,
                          uint64_t *ret_seq)
{
    struct request_call want = {.returns = spec->n_returns, .quiet = true};
    struct actor *actor;
    RTCI_TRY(rtci_actor_of(rtc, rtci_actor_handle(to), &actor));
    struct call *call = rtci_call_new(rtc, spec->rec.size);
    if (!call)
        return rtci_error(RTC_E_NOMEM, "out of memory for a call");
    call->actor = actor;
    call->n_returns = want.returns;
    call->deadline_ns = spec->deadline_ns;
    call->once = spec->slot || spec->job;
    int rc = new_slots(rtc, call, &want, NULL);
    if (rc < 0) {
        call->spec->n_refs = 0;
        rtci_call_free(rtc, call);
        return rc;
    }
    memcpy(call->spec, spec, spec->rec.size);
    call->spec->seq = call->seq;
    call->spec->client = rtc->client;
    call->spec->flags |= RTCI_SPEC_QUIET;
    keep_refs(rtc, call);
    if (call->deadline_ns && call->deadline_ns < rtc->actors->deadline_ns)
        rtc->actors->deadline_ns = call->deadline_ns;
    rtci_actor_pin(rtc, actor);
    rtci_call_push(&actor->queue, call);
    rtci_actor_pump(rtc, actor);
    *ret_seq = call->seq;
    return 0;
}

static int plan_and_enqueue(struct rtc *rtc, struct actor *actor, const struct request_call *want,
                            int method, rtc_ref *ret_refs)
{
    /* The class of a light one is its host's business. */
    bool known = actor->def && !want->light && !want->order;
    const struct rtc_method_def *def = known ? &actor->def->methods[method] : NULL;
    uint64_t function = known ? rtci_method_hash(actor->def, method)
                              : rtci_function_hash(want->method, strlen(want->method));
    const struct rtc_args *a = want->args;
    const char *name = def ? def->name : NULL;
    struct task_plan task = {.n_args = a->n, .may_wait = true, .to = actor->id};
    if (RTCI_LIKELY(rtci_args_scalar(a))) {
        task.data_size = a->n * RTCI_SCALAR_SIZE;
        return enqueue(rtc, actor, want, function, name, &task, ret_refs);
    }
    struct arg_plan few[RTCI_ARGS_FEW];
    RTCI_TRY(rtci_args_begin(a, few, &task));
    int rc = rtci_args_plan(rtc, def ? def->signature : NULL, a, &task);
    if (rc == 0)
        rc = enqueue(rtc, actor, want, function, name, &task, ret_refs);
    rtci_args_end(rtc, few, &task);
    return rc;
}

/* ---- Room ---- */

static int mailbox_full(const struct actor *actor, bool refused)
{
    char title[192];
    return rtci_error(RTC_E_AGAIN,
                      "the mailbox of %s is full: %u calls of this process have no answer yet "
                      "(actor option mailbox = %u)%s",
                      rtci_actor_title(actor, title, sizeof(title)),
                      actor->queue.n + actor->flight.n, actor->mailbox,
                      refused ? "" : "; the submit_timeout of the call passed");
}

static int wait_for_room(struct rtc *rtc, struct actor *actor, uint64_t deadline_ns)
{
    bool counted = (rtc->self.client && rtci_id_equal(actor->id, rtc->self)) ||
                   (rtc->light && rtc->light->inside());
    while (actor->queue.n + actor->flight.n >= actor->mailbox && !actor->dead) {
        if (actor->mailbox_fail || deadline_ns == 0 || counted)
            return mailbox_full(actor, actor->mailbox_fail || counted);
        actor->awaited++; /* it is not freed meanwhile */
        uint64_t changes = rtc->changes;
        int rc = rtci_speak(rtc, deadline_ns);
        if (rc == 0 && rtc->changes == changes) /* else there may be room */
            rc = rtci_block(rtc, 0, deadline_ns);
        actor->awaited--;
        if (rc == RTC_E_TIMEOUT)
            return mailbox_full(actor, false);
        RTCI_TRY(rc);
    }
    return 0;
}

static int check_method(const struct actor *actor, const struct request_call *want, int *ret_method)
{
    if (!actor->def || want->light || want->order)
        return 0;
    int method = rtci_method_of(actor->def, want->method);
    if (method < 0)
        return method;
    const struct rtc_method_def *def = &actor->def->methods[method];
    struct rtc_task_def as_task = {.name = def->name, .signature = def->signature};
    *ret_method = method;
    return def->signature
               ? rtci_signature_check(&as_task, want->args->items, want->args->n, want->returns)
               : 0;
}

static int call_locked(struct rtc *rtc, rtc_actor handle, struct request_call *want,
                       rtc_ref *ret_refs)
{
    struct actor *actor;
    int method = 0;
    want->light = rtci_light_of(handle);
    RTCI_TRY(rtci_actor_of(rtc, handle, &actor));
    RTCI_TRY(check_method(actor, want, &method));
    if (RTCI_UNLIKELY(actor->queue.n + actor->flight.n >= actor->mailbox))
        RTCI_TRY(wait_for_room(rtc, actor, want->submit_deadline_ns));
    if (RTCI_UNLIKELY(actor->dead))
        return rtci_actor_dead(actor);
    RTCI_TRY(plan_and_enqueue(rtc, actor, want, method, ret_refs));
    bool light = rtc->light && rtc->light->inside();
    while (RTCI_UNLIKELY(rtc->actors->stuck) && want->submit_deadline_ns && !light) {
        int rc = rtci_block(rtc, 0, want->submit_deadline_ns); /* the ring is full */
        if (rc == RTC_E_TIMEOUT)
            break; /* it stands in the queue: that is room enough for one */
        RTCI_TRY(rc);
    }
    return 0;
}

static int check_call(const char *method, const struct rtc_args *args)
{
    if (!method || !method[0] || strlen(method) > RTCI_NAME_MAX)
        return rtci_error(RTC_E_INVALID,
                          "the name of the method is NULL, empty or longer than %d bytes",
                          RTCI_NAME_MAX);
    if (args && !args->items && args->n)
        return rtci_error(RTC_E_INVALID, "args has %zu items, but items is NULL", args->n);
    return 0;
}

int rtci_actor_call_locked(struct rtc *rtc, rtc_actor handle, const char *method,
                           const struct rtc_args *args, uint16_t flags, rtc_ref *ret_ref)
{
    struct request_call want = {
        .method = method,
        .args = args,
        .returns = 1,
        .submit_deadline_ns = UINT64_MAX,
        .quiet = !ret_ref,
        .order = strncmp(method, "rtc.", 4) == 0,
        .flags = (uint16_t)(RTCI_SPEC_CALL | flags | (ret_ref ? 0 : RTCI_SPEC_QUIET))};
    return call_locked(rtc, handle, &want, ret_ref);
}

/* From a light actor: some may be of the same host. */
static int call_each(struct rtc *rtc, const rtc_actor *actors, size_t n, const char *method,
                     const struct rtc_args *args, const struct rtc_call_options *options,
                     rtc_ref *ret_refs)
{
    size_t returns = options && options->returns ? options->returns : 1;
    for (size_t i = 0; i < n; i++) {
        int rc = rtc_actor_call(rtc, actors[i], method, args, options,
                                ret_refs ? &ret_refs[i * returns] : NULL);
        if (rc == 0)
            continue;
        rc = rtci_error_within(rc, "actor %zu of %zu", i, n);
        for (size_t k = 0; ret_refs && k < i * returns; k++)
            RTCI_IGNORE(rtc_release(rtc, ret_refs[k])); /* those that were called, were */
        return rc;
    }
    return 0;
}

int rtci_lights_creation(struct rtc *rtc, rtc_actor actor, const struct rtc_args *args,
                         const struct rtc_actor_options *options)
{
    struct request_call want = {.method = "rtc.create",
                                .args = args,
                                .returns = 1,
                                .submit_deadline_ns = UINT64_MAX,
                                .quiet = true,
                                .mailbox = options->mailbox,
                                .mailbox_fail = options->mailbox_fail,
                                .flags = RTCI_SPEC_CALL | RTCI_SPEC_QUIET};
    return call_locked(rtc, actor, &want, NULL);
}

static const struct rtc_args no_args;

/* From a light actor to one of its own host: the fast way, with the caller's mistakes found there.
 */
static inline int call_here(struct rtc *rtc, rtc_actor actor, const char *method,
                            const struct rtc_args *args, const struct rtc_call_options *options,
                            rtc_ref *ret_refs)
{
    if (RTCI_LIKELY(!rtc || !rtc->light || !method))
        return RTCI_ELSEWHERE;
    if (args && !args->items && args->n)
        return RTCI_ELSEWHERE;
    return rtc->light->call(rtc, actor, method, args ? args : &no_args, options, ret_refs);
}

static int call_many(struct rtc *rtc, const rtc_actor *actors, size_t n, const char *method,
                     const struct rtc_args *args, const struct rtc_call_options *options,
                     rtc_ref *ret_refs)
{
    struct request_call want;
    RTCI_TRY(check_call(method, args));
    for (size_t i = 0; i < n; i++) {
        if (RTCI_UNLIKELY(actors[i].pad) && strncmp(method, "rtc.", 4) == 0)
            return rtci_error(RTC_E_UNKNOWN_METHOD,
                              "a light actor has no method \"%.255s\": names with \"rtc.\" before "
                              "them are the runtime's own",
                              method);
    }
    RTCI_TRY(rtci_enter(rtc));
    int rc = read_options(rtc, options, !ret_refs, &want);
    want.method = method;
    want.args = args ? args : &no_args;
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = call_locked(rtc, actors[i], &want, ret_refs ? &ret_refs[i * want.returns] : NULL);
        if (rc < 0 && n > 1)
            rc = rtci_error_within(rc, "actor %zu of %zu", i, n);
        for (size_t k = 0; rc < 0 && ret_refs && k < i * want.returns; k++)
            RTCI_IGNORE(rtci_release_locked(rtc, ret_refs[k])); /* those that were called, were */
    }
    rtci_leave(rtc);
    return rc;
}

int rtc_actor_call_many(struct rtc *rtc, const rtc_actor *actors, size_t n, const char *method,
                        const struct rtc_args *args, const struct rtc_call_options *options,
                        rtc_ref *ret_refs)
{
    if (!actors && n)
        return rtci_error(RTC_E_INVALID, "actors is NULL");
    if (RTCI_UNLIKELY(rtc && rtc->light && rtc->light->inside()))
        return call_each(rtc, actors, n, method, args, options, ret_refs);
    return call_many(rtc, actors, n, method, args, options, ret_refs);
}

int rtc_actor_call(struct rtc *rtc, rtc_actor actor, const char *method,
                   const struct rtc_args *args, const struct rtc_call_options *options,
                   rtc_ref *ret_refs)
{
    int here = call_here(rtc, actor, method, args, options, ret_refs);
    return RTCI_LIKELY(here != RTCI_ELSEWHERE)
               ? here
               : call_many(rtc, &actor, 1, method, args, options, ret_refs);
}
