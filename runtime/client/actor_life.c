/* Creating actors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"
#include "runtime/client/args.h"
#include "runtime/client/withheld.h"

/* ---- Creation ---- */

static int check_names(const struct rtc_actor_options *o)
{
    size_t name = o->name ? strlen(o->name) : 0, space = o->space ? strlen(o->space) : 0;
    if (o->name && (name == 0 || name > RTCI_NAME_MAX))
        return rtci_error(RTC_E_INVALID, "the name of the actor is empty or longer than %d bytes",
                          RTCI_NAME_MAX);
    if (space > RTCI_NAME_MAX)
        return rtci_error(RTC_E_INVALID, "the name of the space is longer than %d bytes",
                          RTCI_NAME_MAX);
    if (o->detached && !name)
        return rtci_error(
            RTC_E_INVALID,
            "a detached actor needs a name (options.name): nothing else would find it "
            "once this process has ended");
    if (o->get_if_exists && !name)
        return rtci_error(RTC_E_INVALID, "get_if_exists needs a name (options.name)");
    if (o->isolation != RTC_PROCESS && o->isolation != RTC_LIGHT)
        return rtci_error(RTC_E_INVALID, "isolation = %d is unknown", (int)o->isolation);
    if (o->max_restarts < RTC_RETRY_FOREVER || o->call_retries < RTC_RETRY_FOREVER)
        return rtci_error(RTC_E_INVALID,
                          "max_restarts = %d, call_retries = %d: 0 is none, RTC_RETRY_FOREVER no "
                          "limit",
                          o->max_restarts, o->call_retries);
    return 0;
}

/* The record: spec, arguments, then options and names where a task has its name. */
struct creation {
    const struct rtc_actor_def *def;
    const struct rtc_actor_options *o;
    uint32_t shape;
    struct task_plan task;
    size_t tail;
};

static void write_tail(const struct creation *c, const char *space, uint8_t *at)
{
    size_t ns_len = strlen(space), name_len = c->o->name ? strlen(c->o->name) : 0;
    memset(at, 0, RTCI_ALIGN8(c->tail));
    struct rtci_actor_options *out = (struct rtci_actor_options *)at;
    bool saves = c->def->save != NULL;
    *out = (struct rtci_actor_options){
        .max_restarts = c->o->max_restarts,
        .max_task_retries = c->o->call_retries,
        .flags = (c->o->detached ? RTCI_ACTOR_DETACHED : 0) |
                 (c->o->get_if_exists ? RTCI_ACTOR_GET_IF_EXISTS : 0) |
                 (c->o->mailbox_fail ? RTCI_ACTOR_MAILBOX_FAIL : 0) |
                 (c->o->isolation == RTC_LIGHT ? RTCI_ACTOR_LIGHT : 0) |
                 (saves ? RTCI_ACTOR_SAVES : 0),
        .mailbox = c->o->mailbox,
        .threads = c->o->threads,
        .save_every = c->o->save_every ? c->o->save_every : saves,
        .save_after_ms = c->o->save_after > 0 ? (uint32_t)(c->o->save_after / 1000000) + 1 : 0,
        .ns_len = (uint16_t)ns_len,
        .name_len = (uint16_t)name_len};
    memcpy(at + sizeof(*out), space, ns_len);
    if (name_len)
        memcpy(at + sizeof(*out) + ns_len, c->o->name, name_len);
}

static int new_handle(struct rtc *rtc, rtc_actor *ret_actor)
{
    struct slot *slot = rtci_slots_add(&rtc->slots, rtc->next_seq);
    if (!slot)
        return rtci_error(RTC_E_NOMEM, "out of memory for a handle");
    struct rtci_id id = {rtc->next_seq, rtc->client, RTCI_HANDLE};
    struct rtc_value value = rtc_of_ref(rtci_ref_of(id));
    struct value_plan plan;
    RTCI_TRY(rtci_value_plan(&value, &plan));
    RTCI_ASSERT(plan.size <= SLOT_INLINE_BYTES);
    rtci_value_write(&value, &plan, slot->u.bytes);
    slot->size = plan.size;
    slot->state = SLOT_READY;
    slot->flags = SLOT_AT_HEAD | SLOT_ACTOR;
    rtci_slots_done(&rtc->slots, id.seq);
    *ret_actor = rtci_actor_handle(id);
    return 0;
}

static int send_creation(struct rtc *rtc, const struct creation *c, rtc_actor *ret_actor)
{
    const char *space = c->o->space && c->o->space[0] ? c->o->space : rtc->space;
    size_t size = sizeof(struct rtci_spec) + c->task.n_refs * sizeof(struct rtci_id) +
                  c->task.n_args * sizeof(struct rtci_arg) + c->task.data_size +
                  RTCI_ALIGN8(c->tail);
    if (size > RTCI_RECORD_MAX)
        return rtci_error(RTC_E_TOO_LARGE,
                          "the arguments make %zu bytes beside the large objects; at most %llu are "
                          "possible: put some into a list or an array",
                          size, (unsigned long long)RTCI_RECORD_MAX);
    void *at;
    RTCI_TRY(rtci_reserve(rtc, size, UINT64_MAX, &at));
    int rc = new_handle(rtc, ret_actor);
    if (rc < 0) {
        rtci_chan_unreserve(rtc->chan, size);
        return rc;
    }
    struct rtci_spec *spec = at;
    *spec = (struct rtci_spec){
        .rec = {(uint32_t)size, RTCI_R_ACTOR_CREATE, 0},
        .seq = rtc->next_seq,
        .client = rtc->client,
        .shape = c->shape,
        .function = rtci_function_hash(c->def->name, strlen(c->def->name)),
        .parent_seq = rtc->running.id.seq,
        .parent_client = rtc->running.id.client,
        .n_returns = 1,
        .flags = RTCI_SPEC_ACTOR,
        .depth = rtc->running.id.client ? rtc->running.depth + 1 : 0,
        .n_refs = c->task.n_refs,
        .n_args = (uint32_t)c->task.n_args,
        .data_size = (uint32_t)c->task.data_size,
        .name_len = (uint32_t)c->tail,
    };
    rtci_args_write(&c->task, spec);
    write_tail(c, space, (uint8_t *)at + size - RTCI_ALIGN8(c->tail));
    rtc->next_seq++;
    rtci_send(rtc);
    return 0;
}

static void remember(struct rtc *rtc, const struct creation *c, rtc_actor handle)
{
    struct actor *actor;
    if (rtci_actor_of(rtc, handle, &actor) < 0)
        return; /* made by the first call */
    actor->def = c->def;
    actor->mailbox = c->o->mailbox ? c->o->mailbox : RTCI_ACTOR_MAILBOX;
    actor->mailbox_fail = c->o->mailbox_fail;
    actor->retries = c->o->call_retries;
    actor->get_if_exists = c->o->get_if_exists;
    if (c->o->name)
        snprintf(actor->name, sizeof(actor->name), "%.63s", c->o->name);
}

static int check_saves(const struct rtc_actor_def *def, const struct rtc_actor_options *o)
{
    bool groups = false;
    for (int i = 0; i < RTC_METHODS_MAX && def->methods[i].name; i++)
        groups |= def->methods[i].group != NULL;
    if (def->save && (groups || o->threads > 1))
        return rtci_error(RTC_E_INVALID,
                          "actor \"%s\" has save: its state is saved between calls, so it runs one "
                          "at a time (options.threads, and groups of methods, are not possible)",
                          def->name);
    return 0;
}

int rtci_actor_create_locked(struct rtc *rtc, const char *name, const struct rtc_args *args,
                             const struct rtc_actor_options *o, rtc_actor *ret_actor)
{
    static const struct rtc_options one_cpu, no_cpu = {.cpus = RTC_NONE};
    struct creation c = {.def = rtci_actor_def_by_name(name), .o = o};
    if (!c.def)
        return RTC_E_UNKNOWN_ACTOR;
    RTCI_TRY(check_saves(c.def, o));
    const struct rtc_options *needs = o->needs                    ? o->needs
                                      : o->isolation == RTC_LIGHT ? &no_cpu
                                                                  : &one_cpu;
    RTCI_TRY(rtci_shape_of(rtc, needs, &c.shape));
    RTCI_TRY(rtci_function_declare(rtc, c.def->name));
    size_t space_len = strlen(o->space && o->space[0] ? o->space : rtc->space);
    c.tail = sizeof(struct rtci_actor_options) + space_len + (o->name ? strlen(o->name) : 0);
    struct arg_plan few[RTCI_ARGS_FEW];
    RTCI_TRY(rtci_args_begin(args, few, &c.task));
    int rc = rtci_args_plan(rtc, NULL, args, &c.task);
    for (size_t i = 0; rc == 0 && c.task.n_refs && i < c.task.n_args; i++) {
        struct rtci_id id = rtci_id_of(c.task.args[i].ref);
        if (c.task.args[i].is_ref && RTCI_UNLIKELY(rtci_unsaid(rtc, &id, 1)))
            rc = rtci_speak(rtc, UINT64_MAX); /* a creation does not wait for that */
    }
    if (rc == 0)
        rc = send_creation(rtc, &c, ret_actor);
    if (rc == 0)
        remember(rtc, &c, *ret_actor);
    rtci_args_end(rtc, few, &c.task);
    return rc;
}

/* What a light actor cannot be. */
static int check_light(const struct rtc_actor_def *def, const struct rtc_actor_options *o)
{
    const char *what = o->threads > 1 ? "options.threads above 1" : NULL;
    for (int i = 0; i < RTC_METHODS_MAX && def->methods[i].name && !what; i++)
        what = def->methods[i].group ? "groups of methods in its class" : NULL;
    if (what)
        return rtci_error(
            RTC_E_UNSUPPORTED,
            "actor \"%s\" cannot be a light one with %s, because a light one runs one "
            "call at a time: make it a process actor (options.isolation = "
            "RTC_PROCESS)",
            def->name, what);
    what = o->name           ? NULL /* it has a host of its own, which starts again */
           : def->save       ? "`save` in its class"
           : o->max_restarts ? "options.max_restarts"
           : o->call_retries ? "options.call_retries"
                             : NULL;
    return what ? rtci_error(RTC_E_UNSUPPORTED,
                             "actor \"%s\" cannot be a light one with %s and no name, because only "
                             "one with a name starts again after a crash: give it one "
                             "(options.name), or make it a process actor (options.isolation = "
                             "RTC_PROCESS)",
                             def->name, what)
                : 0;
}

static int create_light(struct rtc *rtc, const char *name, const struct rtc_args *args,
                        const struct rtc_actor_options *o, rtc_actor *ret_actor)
{
    const struct rtc_actor_def *def = rtci_actor_def_by_name(name);
    if (!def)
        return RTC_E_UNKNOWN_ACTOR;
    RTCI_TRY(check_light(def, o));
    if (rtc && rtc->light && !o->name) {
        int here = rtc->light->create(rtc, def, args, o, ret_actor);
        if (here != RTCI_ELSEWHERE)
            return here;
    }
    RTCI_TRY(rtci_enter(rtc));
    int rc = o->name ? rtci_actor_create_locked(rtc, name, args, o, ret_actor)
                     : rtci_lights_create(rtc, def, args, o, ret_actor);
    rtci_leave(rtc);
    return rc;
}

int rtc_actor_create(struct rtc *rtc, const char *actor, const struct rtc_args *args,
                     const struct rtc_actor_options *options, rtc_actor *ret_actor)
{
    static const struct rtc_args none;
    static const struct rtc_actor_options defaults;
    const struct rtc_actor_options *o = options ? options : &defaults;
    if (!actor || !ret_actor)
        return rtci_error(RTC_E_INVALID, "the name of the actor or ret_actor is NULL");
    if (strcmp(actor, RTCI_LIGHT_HOST) == 0)
        return rtci_error(RTC_E_UNKNOWN_ACTOR,
                          "\"%s\" is the runtime's own: it is made with the first light actor",
                          actor);
    if (args && !args->items && args->n)
        return rtci_error(RTC_E_INVALID, "args has %zu items, but items is NULL", args->n);
    RTCI_TRY(check_names(o));
    if (o->needs)
        RTCI_TRY(rtci_options_check(o->needs));
    if (o->isolation == RTC_LIGHT)
        return create_light(rtc, actor, args ? args : &none, o, ret_actor);
    RTCI_TRY(rtci_enter(rtc));
    int rc = rtci_actor_create_locked(rtc, actor, args ? args : &none, o, ret_actor);
    rtci_leave(rtc);
    return rc;
}

/* ---- Waiting for it ---- */

static int told(const struct actor *actor)
{
    char title[192];
    rtci_actor_title(actor, title, sizeof(title));
    if (actor->cause.kind == RTCI_CAUSE_NAME)
        return rtci_error(RTC_E_EXISTS, "%s was not made: %s", title, actor->cause.text);
    if (actor->cause.kind == RTCI_CAUSE_CONSTRUCTOR)
        return rtci_error(actor->cause.code == RTC_E_DEPENDENCY ? RTC_E_DEPENDENCY
                                                                : RTC_E_TASK_FAILED,
                          "the constructor of %s failed: %s", title, actor->cause.text);
    return rtci_actor_dead(actor);
}

int rtc_actor_ready(struct rtc *rtc, rtc_actor handle, int64_t timeout)
{
    if (rtc && rtc->light && rtc->light->inside())
        return rtci_lights_waits(rtc, "rtc_actor_ready()");
    if (handle.pad)
        return rtci_lights_ready(rtc, handle, timeout);
    RTCI_TRY(rtci_enter(rtc));
    struct actor *actor;
    int rc = rtci_actor_of(rtc, handle, &actor);
    if (rc == 0) {
        rc = rtci_actor_await(rtc, actor, rtci_deadline(timeout));
        actor = rtci_actor_meant(actor);
    }
    if (rc == RTC_E_TIMEOUT)
        rc = rtci_error(rc, "the actor does not live yet: the timeout of the call passed "
                            "(rtc_actor_info() tells what it waits for)");
    else if (actor && rc == 0 && actor->dead)
        rc = told(actor);
    if (actor)
        rtci_actor_unpin(rtc, actor);
    rtci_leave(rtc);
    return rc;
}
