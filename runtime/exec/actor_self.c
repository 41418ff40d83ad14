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

/* ---- Streams ---- */

static struct yields *yields_of(struct host *host, const struct rtci_spec *spec)
{
    struct rtci_id id = {spec->seq, spec->client, 0};
    for (struct yields *y = host->yields; y; y = y->next) {
        if (rtci_id_equal(y->call, id))
            return y;
    }
    struct yields *y = calloc(1, sizeof(*y));
    if (!y)
        return NULL;
    *y = (struct yields){.next = host->yields, .call = id};
    host->yields = y;
    return y;
}

void rtci_host_on_read(struct rtc *rtc, struct rtci_id call, uint32_t n)
{
    for (struct yields *y = rtc->host->yields; y; y = y->next) {
        if (!rtci_id_equal(y->call, call))
            continue;
        y->unlimited |= n == UINT32_MAX;
        y->unread -= n < y->unread ? n : y->unread;
        rtc->changes++;
    }
}

static int yield_locked(struct rtc_call *call, const struct rtc_value *value)
{
    struct yields *y = yields_of(call->host, call->spec);
    if (!y)
        return rtci_error(RTC_E_NOMEM, "out of memory for a stream");
    while (y->unread >= RTCI_YIELDS_MAX && !y->unlimited)
        RTCI_TRY(rtci_block(call->rtc, 0, UINT64_MAX));
    if (y->unlimited)
        return 0; /* nobody reads it any more */
    struct rtc_task_def def = {.name =
                                   call->def->name}; /* its signature speaks of the last value */
    struct rtc_call part = {.rtc = call->rtc,
                            .host = call->host,
                            .peer = call->peer,
                            .caller_node = call->caller_node,
                            .spec = call->spec,
                            .def = &def,
                            .what = call->what};
    rtci_call_begin_one(&part);
    part.by_daemon = call->by_daemon;
    int rc = rtci_call_return(&part, value);
    if (rc == 0)
        rc = rtci_call_yield(&part);
    call->by_daemon = part.by_daemon;
    rtci_call_fini(&part);
    y->unread++;
    return rc;
}

int rtc_yield(struct rtc_call *call, const struct rtc_value *value)
{
    if (!value)
        return rtci_error(RTC_E_INVALID, "value is NULL");
    if (!call->host)
        return no_actor("rtc_yield");
    if (!(call->spec->flags & RTCI_SPEC_STREAM))
        return rtci_error(RTC_E_INVALID,
                          "method \"%s\" yields a value, but was not called with options.stream",
                          call->def->name);
    RTCI_TRY(rtci_enter(call->rtc));
    int rc = yield_locked(call, value);
    rtci_leave(call->rtc);
    return rc;
}
