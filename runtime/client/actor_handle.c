/* Handles: finding actors, ending them, looking at them, and handles as values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"
#include "runtime/client/withheld.h"

/* ---- Handles ---- */

static int ask(struct rtc *rtc, struct rtci_id id, const char *space, const char *name,
               uint32_t flags, uint64_t deadline_ns, struct request *q)
{
    union {
        struct rtci_actor_where where;
        char bytes[sizeof(struct rtci_actor_where) + 2 * RTCI_NAME_MAX + 8];
    } u;
    size_t ns_len = name ? strlen(space) : 0, name_len = name ? strlen(name) : 0;
    memset(&u, 0, sizeof(u));
    size_t size = sizeof(u.where) + RTCI_ALIGN8(ns_len + name_len);
    u.where.rec = (struct rtci_rec){(uint32_t)size, RTCI_R_ACTOR_WHERE, 0};
    u.where.request = rtc->next_request++;
    u.where.id = id;
    u.where.flags = flags;
    u.where.ns_len = (uint16_t)ns_len;
    u.where.name_len = (uint16_t)name_len;
    if (name) {
        memcpy(u.bytes + sizeof(u.where), space, ns_len);
        memcpy(u.bytes + sizeof(u.where) + ns_len, name, name_len);
    }
    *q = (struct request){
        .kind = REQUEST_ACTOR, .number = u.where.request, .record = &u, .size = size};
    RTCI_TRY(rtci_request(rtc, q, deadline_ns));
    return q->status;
}

/* The answer comes with a hold for us: it becomes a handle to be released. */
static int take_handle(struct rtc *rtc, const struct rtci_actor_is *is, rtc_actor *ret_actor)
{
    *ret_actor = rtci_actor_handle(is->id);
    if (!(is->flags & RTCI_IS_HELD))
        return rtci_retain_locked(rtc, rtci_ref_of(is->id));
    RTCI_TRY(rtci_take_held(rtc, is->id));
    return 0;
}

static int find_locked(struct rtc *rtc, const char *space, const char *name, int64_t timeout,
                       rtc_actor *ret_actor)
{
    uint64_t deadline = timeout == 0 ? UINT64_MAX : rtci_deadline(timeout);
    if (timeout != 0)
        RTCI_TRY(rtci_speak(rtc, deadline));
    for (;;) {
        struct request q = {0};
        int rc = ask(rtc, (struct rtci_id){0}, space, name, timeout == 0 ? RTCI_WHERE_NOWAIT : 0,
                     deadline, &q);
        const struct rtci_actor_is *is = q.data;
        if (rc == 0 && is->state == RTC_ACTOR_DEAD)
            rc = RTC_E_NOT_FOUND;
        if (rc == 0) {
            rc = take_handle(rtc, is, ret_actor);
            struct actor *actor;
            if (rc == 0 && rtci_actor_of(rtc, *ret_actor, &actor) == 0) {
                actor->def = actor->def ? actor->def : rtci_actor_def_by_hash(is->function);
                actor->mailbox = is->mailbox ? is->mailbox : actor->mailbox;
                actor->mailbox_fail = is->options & RTCI_ACTOR_MAILBOX_FAIL;
                actor->retries = is->max_task_retries;
                snprintf(actor->name, sizeof(actor->name), "%.63s", name);
            }
            free(q.data);
            return rc;
        }
        free(q.data);
        if (rc == RTC_E_NOT_FOUND && timeout != 0) {
            uint64_t soon = rtci_deadline(RTC_MS(20)); /* nobody tells that a name is taken */
            do
                rc = rtci_block(rtc, 0, soon < deadline ? soon : deadline);
            while (rc == 0);
            if (rc == RTC_E_TIMEOUT && rtci_now_ns() < deadline)
                continue;
        }
        if (rc == RTC_E_NOT_FOUND || rc == RTC_E_TIMEOUT)
            return rtci_error(rc, "no actor has the name \"%.255s\" in the space \"%.255s\"%s",
                              name, space, rc == RTC_E_TIMEOUT ? " yet" : "");
        return rc;
    }
}

int rtc_actor_find(struct rtc *rtc, const char *space, const char *name, int64_t timeout,
                   rtc_actor *ret_actor)
{
    if (!name || !name[0] || strlen(name) > RTCI_NAME_MAX || !ret_actor ||
        (space && strlen(space) > RTCI_NAME_MAX))
        return rtci_error(RTC_E_INVALID,
                          "ret_actor is NULL, or a name is NULL, empty or longer than %d bytes",
                          RTCI_NAME_MAX);
    RTCI_TRY(rtci_enter(rtc));
    if (timeout != 0 && rtc->light && rtc->light->inside()) {
        rtci_leave(rtc);
        return rtci_lights_waits(rtc, "rtc_actor_find() with a timeout");
    }
    int rc = find_locked(rtc, space && space[0] ? space : rtc->space, name, timeout, ret_actor);
    rtci_leave(rtc);
    return rc;
}

int rtc_actor_retain(struct rtc *rtc, rtc_actor handle)
{
    if (handle.pad)
        return rtci_lights_order(rtc, handle, "rtc.retain");
    RTCI_TRY(rtci_enter(rtc));
    struct actor *actor;
    int rc = rtci_actor_of(rtc, handle, &actor);
    if (rc == 0)
        rc = rtci_retain_locked(rtc, rtci_ref_of(rtci_actor_id(handle)));
    rtci_leave(rtc);
    return rc;
}

int rtc_actor_release(struct rtc *rtc, rtc_actor handle)
{
    if (handle.pad)
        return rtci_lights_order(rtc, handle, "rtc.release");
    RTCI_TRY(rtci_enter(rtc));
    struct actor *actor;
    int rc = rtci_actor_of(rtc, handle, &actor);
    if (rc == 0)
        rc = rtci_release_locked(rtc, rtci_ref_of(rtci_actor_id(handle)));
    actor = rtci_actor_find(rtc, rtci_actor_id(handle));
    if (actor && rc == 0) {
        rtci_flush_releases(rtc);
        rtci_send(rtc);
        rtci_actor_try_free(rtc, actor);
    }
    rtci_leave(rtc);
    return rc;
}

/* ---- Ending it ---- */

static int end_locked(struct rtc *rtc, rtc_actor handle, bool stop, unsigned flags)
{
    struct actor *actor;
    RTCI_TRY(rtci_actor_of(rtc, handle, &actor));
    if (actor->get_if_exists && !actor->known && !actor->dead) { /* whom does it mean? */
        int rc = rtci_actor_await(rtc, actor, UINT64_MAX);
        rtci_actor_unpin(rtc, actor);
        RTCI_TRY(rc);
        RTCI_TRY(rtci_actor_of(rtc, handle, &actor));
    }
    if (actor->dead)
        return 0;
    if (stop && actor->queue.n) { /* behind the calls that wait here */
        struct call *call = rtci_call_new(rtc, sizeof(struct rtci_spec));
        if (!call)
            return rtci_error(RTC_E_NOMEM, "out of memory for an order to stop");
        call->stop = true;
        call->actor = actor;
        call->spec->n_refs = 0;
        call->seq = rtc->next_seq;
        rtci_call_push(&actor->queue, call);
        return 0;
    }
    struct rtci_actor_end end = {
        .rec = {sizeof(end), stop ? RTCI_R_ACTOR_STOP : RTCI_R_ACTOR_KILL, 0},
        .id = actor->id,
        .flags = flags & RTC_KILL_RESTART ? 0 : RTCI_END_NO_RESTART};
    return rtci_send_record(rtc, &end);
}

int rtc_actor_stop(struct rtc *rtc, rtc_actor actor)
{
    if (actor.pad)
        return rtci_lights_order(rtc, actor, "rtc.stop");
    RTCI_TRY(rtci_enter(rtc));
    int rc = end_locked(rtc, actor, true, 0);
    rtci_leave(rtc);
    return rc;
}

int rtc_actor_kill(struct rtc *rtc, rtc_actor actor, unsigned flags)
{
    if (flags & ~(unsigned)RTC_KILL_RESTART)
        return rtci_error(RTC_E_INVALID, "flags = %u are unknown", flags);
    if (actor.pad)
        return rtci_lights_order(rtc, actor, "rtc.kill"); /* none starts again */
    RTCI_TRY(rtci_enter(rtc));
    int rc = end_locked(rtc, actor, false, flags);
    rtci_leave(rtc);
    return rc;
}

/* ---- Looking at it ---- */

void rtci_actor_info_of(struct rtc_actor_info *info, const struct rtci_cause *cause)
{
    info->cause = (enum rtc_cause)cause->kind;
    info->code = cause->kind == RTCI_CAUSE_NONE ? 0 : RTC_E_ACTOR_DEAD;
    info->user_code = cause->user_code;
    info->exit_status = cause->kind == RTCI_CAUSE_NONE ? -1 : cause->exit_status;
    info->signal = cause->signal;
    info->node = cause->node;
    info->pid = cause->pid;
    if (cause->kind != RTCI_CAUSE_NONE)
        rtci_cause_text(cause, info->text, sizeof(info->text));
}

int rtc_actor_info(struct rtc *rtc, rtc_actor handle, struct rtc_actor_info *ret_info)
{
    if (!ret_info)
        return rtci_error(RTC_E_INVALID, "ret_info is NULL");
    if (handle.pad)
        return rtci_lights_info(rtc, handle, ret_info);
    RTCI_TRY(rtci_enter(rtc));
    struct actor *actor;
    struct request q = {0};
    int rc = rtci_actor_of(rtc, handle, &actor);
    if (rc == 0)
        rc = ask(rtc, actor->id, NULL, NULL, RTCI_WHERE_NOWAIT, UINT64_MAX, &q);
    if (rc == 0) {
        const struct rtci_actor_is *is = q.data;
        struct rtc_actor_info info = {0};
        rtci_actor_info_of(&info, &is->cause);
        info.state = (enum rtc_actor_state)is->state;
        info.code = is->state == RTC_ACTOR_DEAD ? RTC_E_ACTOR_DEAD : 0;
        info.incarnation = is->incarnation;
        info.node = is->node ? is->node : info.node;
        if (is->state == RTC_ACTOR_ALIVE)
            info.pid = is->pid;
        *ret_info = info;
        rtci_drop_answer(rtc, is);
    } else if (rc == RTC_E_NOT_FOUND) {
        rc = rtci_error(rc, "there is no such actor (any more)");
    }
    free(q.data);
    rtci_leave(rtc);
    return rc;
}

/* ---- As values ---- */

struct rtc_value rtc_of_actor(rtc_actor actor)
{
    struct rtc_value v = rtc_nil();
    v.type = RTC_REF;
    struct rtci_id id = rtci_actor_id(actor);
    v.as.actor.host = (rtc_ref){id.seq, id.client, RTCI_HANDLE};
    v.as.actor.light = rtci_light_of(actor);
    return v;
}

int rtc_value_actor(const struct rtc_value *value, rtc_actor *ret_actor)
{
    if (value->type != RTC_REF || value->as.ref.index != RTCI_HANDLE)
        return rtci_error(RTC_E_TYPE, "the value is of type %s, not an actor",
                          rtc_type_name((enum rtc_type)value->type));
    *ret_actor = rtci_light_handle(rtci_id_of(value->as.ref), rtci_value_light(value));
    return 0;
}
