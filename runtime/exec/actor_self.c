/* What a method sees of its actor. */
#include <stdlib.h>
#include <string.h>

#include "runtime/client/args.h"
#include "runtime/exec/actor.h"
#include "runtime/exec/light_host.h"

void *rtc_self(struct rtc_call *call)
{
    if (call->cell)
        return rtci_cell_state(call->cell);
    return call->host ? call->host->state : NULL;
}

rtc_actor rtc_self_actor(struct rtc_call *call)
{
    if (call->cell)
        return rtci_cell_handle(call->cell);
    return call->host ? rtci_actor_handle(call->host->id) : (rtc_actor){0};
}

uint32_t rtc_self_incarnation(struct rtc_call *call)
{
    return call->cell && !rtci_is_own(call->cell->id) ? 1
           : call->host                               ? call->host->incarnation
                                                      : 0;
}

static int no_actor(const char *name)
{
    return rtci_error(RTC_E_INVALID, "%s() is for methods of actors: this is a task", name);
}

int rtc_arg_actor(struct rtc_call *call, size_t i, rtc_actor *ret_actor)
{
    struct rtc_value v;
    RTCI_TRY(rtc_arg(call, i, &v));
    int rc = rtc_value_actor(&v, ret_actor);
    return rc < 0 ? rtci_error_within(rc, "%s \"%s\", argument %zu", call->what, call->def->name, i)
                  : 0;
}

/* ---- Later ---- */

static void add_timer(struct host *host, struct message *message)
{
    struct message **at = &host->timers;
    while (*at && (*at)->due_ns <= message->due_ns)
        at = &(*at)->next;
    message->next = *at;
    *at = message;
}

/* As a call that has no caller: its references are kept until it has run. */
static int later_planned(struct host *host, uint64_t due_ns, uint64_t function,
                         const struct task_plan *task)
{
    size_t size = sizeof(struct rtci_spec) + task->n_refs * sizeof(struct rtci_id) +
                  task->n_args * sizeof(struct rtci_arg) + task->data_size +
                  sizeof(struct rtci_call);
    struct rtci_spec *spec = calloc(1, size);
    if (!spec)
        return rtci_error(RTC_E_NOMEM, "out of memory for a call");
    *spec = (struct rtci_spec){.rec = {(uint32_t)size, RTCI_R_ACTOR_CALL, 0},
                               .function = function,
                               .n_returns = 1,
                               .flags = RTCI_SPEC_CALL | RTCI_SPEC_QUIET,
                               .n_refs = task->n_refs,
                               .n_args = (uint32_t)task->n_args,
                               .data_size = (uint32_t)task->data_size,
                               .name_len = sizeof(struct rtci_call)};
    rtci_args_write(task, spec);
    struct message *message = rtci_message_new(spec, size);
    free(spec);
    if (!message)
        return rtci_error(RTC_E_NOMEM, "out of memory for a call");
    message->due_ns = due_ns;
    const struct rtci_id *refs = rtci_spec_refs(message->spec);
    for (uint32_t i = 0; i < message->spec->n_refs; i++)
        RTCI_IGNORE(rtci_retain_locked(host->rtc, rtci_ref_of(refs[i])));
    add_timer(host, message);
    rtci_chan_kick(host->rtc->chan); /* the thread that waits for timers may sleep longer */
    return 0;
}

static int later_locked(struct host *host, int64_t delay, const char *method,
                        const struct rtc_args *args)
{
    int at = rtci_method_of(host->def, method);
    if (at < 0)
        return at;
    const struct rtc_task_def *def = &host->methods[at];
    struct arg_plan few[RTCI_ARGS_FEW];
    struct task_plan task = {.may_wait = true};
    if (def->signature)
        RTCI_TRY(rtci_signature_check(def, args->items, args->n, 1));
    RTCI_TRY(rtci_args_begin(args, few, &task));
    int rc = rtci_args_plan(host->rtc, def->signature, args, &task);
    if (rc == 0)
        rc = later_planned(host, rtci_deadline(delay < 0 ? 0 : delay),
                           rtci_method_hash(host->def, at), &task);
    rtci_args_end(host->rtc, few, &task);
    return rc;
}

int rtc_self_later(struct rtc_call *call, int64_t delay, const char *method,
                   const struct rtc_args *args)
{
    static const struct rtc_args none;
    if (!call->host)
        return no_actor("rtc_self_later");
    if (!method || (args && !args->items && args->n))
        return rtci_error(RTC_E_INVALID, "the name of the method, or args->items, is NULL");
    if (call->cell)
        return rtci_cell_later(call->cell, delay, method, args ? args : &none);
    RTCI_TRY(rtci_enter(call->rtc));
    int rc = later_locked(call->host, delay, method, args ? args : &none);
    rtci_leave(call->rtc);
    return rc;
}

/* ---- End ---- */

int rtc_self_stop(struct rtc_call *call)
{
    if (!call->host)
        return no_actor("rtc_self_stop");
    struct host *host = call->host;
    if (call->cell && !rtci_is_own(call->cell->id)) {
        call->cell->flags |= CELL_LEAVES;
        return 0;
    }
    RTCI_TRY(rtci_enter(call->rtc));
    struct rtci_actor_end end = {.rec = {sizeof(end), RTCI_R_ACTOR_STOP, 0}, .id = host->id};
    int rc = host->leaving ? 0 : rtci_send_record(call->rtc, &end);
    host->leaving = rc == 0; /* its end comes when the head has said so */
    rtci_leave(call->rtc);
    return rc;
}
