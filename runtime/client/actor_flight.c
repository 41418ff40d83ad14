/* Calls on their way: sent in their order, answered in any, and given back when the process that
 * they went to is gone. */
#include <stdio.h>
#include <string.h>

#include "runtime/client/actor.h"

/* ---- Sending ---- */

/* The result of another call gets a name that others can use. The call keeps that instead. */
static int rename_result(struct rtc *rtc, struct slot *slot, struct rtci_id *id)
{
    rtc_ref was = rtci_ref_of(*id), now;
    if (slot->where == WHERE_ALIAS) { /* its value has one */
        now = rtci_alias_of(slot);
        RTCI_TRY(rtci_retain_locked(rtc, now));
    } else if (rtci_slot_is_multi(rtc, was)) {
        struct rtc_value value;
        int rc = 0;
        RTCI_TRY(rtci_slot_value(rtc, slot, &value));
        RTCI_TRY(rtci_put_locked(rtc, &value, &now));
        struct slot *put = rtci_find(rtc, now, false, &rc);
        RTCI_TRY(put ? rtci_publish(rtc, put, now) : rc);
    } else {
        return rtci_publish(rtc, slot, was);
    }
    *id = rtci_id_of(now);
    return rtci_release_locked(rtc, was);
}

static void fail_of_argument(struct rtc *rtc, struct call *call, uint32_t i, int code)
{
    char text[RTCI_ERROR_TEXT_MAX];
    snprintf(text, sizeof(text), "argument %u failed: %.480s", i, rtc_last_error());
    rtci_call_take(&call->actor->queue, call);
    rtci_call_failed(rtc, call, code, RTC_RAN_NO, text);
}

/* What it refers to is there; true when it failed meanwhile, and the call with it. */
static bool fails_of_argument(struct rtc *rtc, struct call *call, bool *ret_wait)
{
    struct rtci_id *refs = (struct rtci_id *)(uintptr_t)rtci_spec_refs(call->spec);
    *ret_wait = false;
    for (uint32_t i = 0; i < call->spec->n_refs; i++) {
        int rc = 0;
        struct slot *slot =
            refs[i].index == RTCI_HANDLE ? NULL : rtci_find(rtc, rtci_ref_of(refs[i]), false, &rc);
        if (!slot)
            continue;
        if (slot->state == SLOT_FAILED) {
            rtci_slot_failure(slot);
            fail_of_argument(rtc, call, i, RTC_E_DEPENDENCY);
            return true;
        }
        if (!rtci_slot_done(slot)) {
            *ret_wait = true;
            return false;
        }
        if ((slot->flags & (SLOT_CALL | SLOT_AT_HEAD)) == SLOT_CALL)
            rc = rename_result(rtc, slot, &refs[i]);
        if (rc < 0) {
            fail_of_argument(rtc, call, i, rc);
            return true;
        }
    }
    call->waits = false;
    return false;
}

static void hold_back(struct rtc *rtc, struct actor *actor)
{
    if (actor->held)
        return;
    actor->held = true;
    actor->held_next = rtc->actors->held;
    rtc->actors->held = actor;
}

static bool send_one(struct rtc *rtc, struct actor *actor, struct call *call)
{
    uint32_t size = call->spec->rec.size;
    struct rtci_spec *at = rtci_route_reserve(rtc, actor->peer, size, &call->lane_end);
    if (!at) {
        rtc->actors->stuck = true;
        rtc->actors->room = size;
        return false;
    }
    struct rtci_call *to = (struct rtci_call *)(uintptr_t)rtci_spec_call(call->spec);
    uint64_t after = actor->order;
    call->order = actor->order = ++rtc->actors->order;
    call->incarnation = actor->incarnation;
    call->lost = false;
    call->spec->flags &= (uint16_t)~RTCI_SPEC_REPEATED;
    *to = (struct rtci_call){.actor = actor->id,
                             .order = call->order,
                             .after = after,
                             .node = actor->node,
                             .client = actor->peer->client,
                             .incarnation = actor->incarnation,
                             .answered =
                                 (actor->flight.first ? actor->flight.first->seq : call->seq) - 1};
    call->spec->attempt = call->attempts + 1;
    memcpy(at, call->spec, size);
    rtci_call_take(&actor->queue, call);
    rtci_call_push(&actor->flight, call);
    rtc->actors->n_flight++;
    call->flying = true;
    return true;
}

/* Too many of all are in flight: each actor in its turn, as answers come. */
static void wait_in_crowd(struct rtc *rtc, struct actor *actor)
{
    if (actor->crowded)
        return;
    actor->crowded = true;
    actor->crowd_next = NULL;
    *(rtc->actors->crowd ? &rtc->actors->crowd_last->crowd_next : &rtc->actors->crowd) = actor;
    rtc->actors->crowd_last = actor;
}

static void send_stop(struct rtc *rtc, struct actor *actor, struct call *call)
{
    struct rtci_actor_end end = {.rec = {sizeof(end), RTCI_R_ACTOR_STOP, 0}, .id = actor->id};
    rtci_outbox(rtc, &end);
    rtci_call_take(&actor->queue, call);
    rtci_call_free(rtc, call);
}

void rtci_actor_pump(struct rtc *rtc, struct actor *actor)
{
    bool sent = false;
    struct call *call;
    if (actor->pumping)
        return; /* in the middle of telling the head of an argument */
    actor->pumping = true;
    while ((call = actor->queue.first)) {
        if (!actor->known) {
            rtci_actor_ask(rtc, actor);
            break;
        }
        if (call->stop) {
            send_stop(rtc, actor, call);
            continue;
        }
        if (call->waits) {
            bool wait;
            if (RTCI_UNLIKELY(call->withheld))
                break;
            if (fails_of_argument(rtc, call, &wait))
                continue;
            if (wait) {
                hold_back(rtc, actor);
                break;
            }
        }
        if (actor->flight.n && actor->flight.bytes + call->spec->rec.size > RTCI_FLIGHT_BYTES)
            break; /* the next answer makes room */
        if (rtc->actors->n_flight >= RTCI_FLIGHT_CALLS) {
            wait_in_crowd(rtc, actor);
            break;
        }
        if (!send_one(rtc, actor, call))
            break;
        sent = true;
        rtci_call_sent(rtc, call);
    }
    actor->pumping = false;
    if (!sent)
        return;
    rtci_route_send(rtc, actor->peer);
    rtci_actor_watch(rtc, actor);
}

/* What the daemon had taken and not passed on when it was killed is lost; the actor knows what it
 * has seen. */
void rtci_actor_resend(struct rtc *rtc, struct actor *actor)
{
    for (struct call *call = actor->flight.first; call; call = call->next) {
        if (call->lost || call->lane_end || call->incarnation != actor->incarnation ||
            !actor->known)
            continue;
        call->spec->flags |= RTCI_SPEC_REPEATED; /* who refuses it does not know whether it ran */
        rtci_outbox(rtc, call->spec);
    }
}

void rtci_actors_unsent(struct rtc *rtc, const struct rtci_peer *peer, uint64_t taken)
{
    for (uint32_t i = 0; i < rtc->actors->n; i++) {
        struct actor *actor = rtc->actors->at[i];
        if (!actor || actor->peer != peer)
            continue;
        for (struct call *call = actor->flight.first; call; call = call->next) {
            if (call->lost || call->lane_end <= taken || call->incarnation != actor->incarnation)
                continue;
            call->lane_end = 0;
            rtci_outbox(rtc, call->spec);
        }
    }
}

/* ---- Answers ---- */

static struct call *call_of(struct rtc *rtc, uint64_t seq)
{
    struct slot *slot = seq < rtc->next_seq ? rtci_slots_find(&rtc->slots, seq) : NULL;
    if (!slot || slot->state != SLOT_PENDING || !(slot->flags & SLOT_CALL))
        return NULL;
    if (slot->where == WHERE_MULTI)
        return slot->u.multi->call;
    return slot->where == WHERE_INLINE ? slot->u.call : NULL;
}

struct call *rtci_call_of(struct rtc *rtc, uint64_t seq)
{
    return call_of(rtc, seq);
}

/* It did not reach the actor, which is not where it was: again, when it is somewhere. */
static void back_to_queue(struct rtc *rtc, struct actor *actor, struct call *call)
{
    struct calls *queue = &actor->queue;
    struct call *before = queue->first;
    rtci_call_take(&actor->flight, call);
    rtc->actors->n_flight--; /* for itself */
    call->flying = false;
    while (before && before->seq < call->seq)
        before = before->next;
    if (!before) {
        rtci_call_push(queue, call);
        return;
    }
    call->next = before;
    call->prev = before->prev;
    *(before->prev ? &before->prev->next : &queue->first) = call;
    before->prev = call;
    queue->n++;
    queue->bytes += call->spec->rec.size;
}

/* A node could not give it to the actor, or lost the way to it. */
static void refused(struct rtc *rtc, struct actor *actor, struct call *call,
                    const struct rtci_done *done)
{
    const struct rtci_resolved *row = rtci_done_returns(done);
    const struct rtci_fail *fail = (const struct rtci_fail *)((const char *)done + row->offset);
    bool unknown = done->rec.flags & RTCI_REPLY_UNKNOWN;
    if (row->kind != RTCI_KIND_ERROR || fail->attempts != (uint16_t)call->incarnation ||
        !call->flying || call->lost)
        return; /* of an earlier attempt, or known before */
    if (unknown) {
        call->ran = RTC_RAN_UNKNOWN;
        call->lost = true;
        rtci_actor_watch(rtc, actor);
        return;
    }
    if (call->incarnation != actor->incarnation || !actor->known) {
        back_to_queue(rtc, actor, call); /* it was asked for already */
        rtci_actor_ask(rtc, actor);
        return;
    }
    /* Until the head knows of the end, it would tell us the old address. */
    call->lost = true;
    call->ran = RTC_RAN_NO;
    rtci_actor_watch(rtc, actor);
}

/* The actor's process is gone. What became of these calls is known now; why it is gone, the head
 * says. */
static void on_gone(struct rtc *rtc, const struct rtci_done *done)
{
    const struct rtci_resolved *row = rtci_done_returns(done);
    if (row->kind != RTCI_KIND_ERROR)
        return;
    const struct rtci_fail *fail = (const struct rtci_fail *)((const char *)done + row->offset);
    for (uint32_t i = 0; i < rtc->actors->n; i++) {
        struct actor *actor = rtc->actors->at[i];
        if (!actor || !rtci_id_equal(actor->id, fail->origin))
            continue;
        for (struct call *call = actor->flight.first; call; call = call->next) {
            if ((uint16_t)call->incarnation != fail->attempts || call->lost)
                continue;
            /* A light actor may have had it in its mailbox. */
            uint8_t begun = call->spec->slot || actor->light ? RTC_RAN_UNKNOWN : RTC_RAN_YES;
            call->lost = true;
            call->ran = call->order > done->seq ? RTC_RAN_NO : begun;
        }
        rtci_actor_watch(rtc, actor);
    }
}

static void on_probed(struct rtc *rtc, const struct rtci_done *done)
{
    bool gone = done->rec.flags & (RTCI_REPLY_NEVER_RAN | RTCI_REPLY_UNKNOWN);
    if (!(done->seq & RTCI_PROBE_READER) && rtc->on_group)
        rtc->on_group(rtc, &done->rec);
    else if (done->seq & RTCI_PROBE_READER && gone && rtc->on_reader_gone)
        rtc->on_reader_gone(rtc, (uint32_t)done->seq);
}

void rtci_on_actor_reply(struct rtc *rtc, const struct rtci_done *done)
{
    if (done->rec.flags & RTCI_REPLY_GONE) {
        on_gone(rtc, done);
        return;
    }
    if (RTCI_UNLIKELY(done->seq & RTCI_PROBE)) {
        on_probed(rtc, done);
        return;
    }
    struct call *call = done->client == rtc->client ? call_of(rtc, done->seq) : NULL;
    if (!call)
        return; /* answered before: what was sent again */
    struct actor *actor = call->actor;
    if (done->rec.flags & RTCI_REPLY_MORE) {
        rtci_stream_add(rtc, call, done);
        return;
    }
    if (done->rec.flags & (RTCI_REPLY_NEVER_RAN | RTCI_REPLY_UNKNOWN) &&
        done->status == RTC_E_CRASHED) {
        refused(rtc, actor, call, done);
        return;
    }
    /* One that was given up may have been answered all the same. */
    rtci_call_take(call->flying ? &actor->flight : &actor->queue, call);
    rtc->actors->n_flight -= call->flying;
    rtci_call_complete(rtc, call, done,
                       !done->status                            ? RTC_RAN_YES
                       : done->rec.flags & RTCI_REPLY_NEVER_RAN ? RTC_RAN_NO
                       : done->rec.flags & RTCI_REPLY_UNKNOWN   ? RTC_RAN_UNKNOWN
                                                                : RTC_RAN_YES);
    if (actor->queue.n)
        wait_in_crowd(rtc, actor); /* when all that has come was read: then many go at once */
    else if (!actor->flight.n)
        rtci_actor_unpin(rtc, actor);
}

/* ---- Ends ---- */

static const char *ran_text(uint8_t ran)
{
    return ran == RTC_RAN_NO    ? "the call was not begun"
           : ran == RTC_RAN_YES ? "the call had begun, and did not end"
                                : "whether the call ran is not known";
}

void rtci_actor_lost(struct rtc *rtc, struct actor *actor)
{
    char text[RTCI_ERROR_TEXT_MAX], title[192], why[256];
    rtci_actor_title(actor, title, sizeof(title));
    rtci_cause_text(&actor->cause, why, sizeof(why));
    for (struct call *call = actor->flight.first, *next; call; call = next) {
        next = call->next;
        uint8_t ran = call->lost ? call->ran : RTC_RAN_UNKNOWN;
        bool again = !call->once && (ran == RTC_RAN_NO || actor->retries < 0 ||
                                     call->attempts < (uint32_t)actor->retries);
        if (again && !actor->dead) {
            call->attempts += ran != RTC_RAN_NO;
            back_to_queue(rtc, actor, call);
            continue;
        }
        snprintf(text, sizeof(text), "%s %s: %s; %s", title, actor->dead ? "is dead" : "broke down",
                 why, ran_text(ran));
        rtci_call_take(&actor->flight, call);
        rtc->actors->n_flight--;
        rtci_call_failed(rtc, call, RTC_E_ACTOR_DEAD, ran, text);
    }
    for (struct call *call = actor->queue.first, *next; call && !actor->dead; call = next) {
        next = call->next;
        if (!call->once)
            continue;
        snprintf(text, sizeof(text), "%s broke down: %s; %s", title, why, ran_text(RTC_RAN_NO));
        rtci_call_take(&actor->queue, call);
        rtci_call_failed(rtc, call, RTC_E_ACTOR_DEAD, RTC_RAN_NO, text);
    }
}

void rtci_actor_ended(struct rtc *rtc, struct actor *actor)
{
    char text[RTCI_ERROR_TEXT_MAX];
    rtci_actor_lost(rtc, actor);
    rtci_actor_dead(actor);
    snprintf(text, sizeof(text), "%s", rtc_last_error());
    while (actor->queue.first) {
        struct call *call = actor->queue.first;
        rtci_call_take(&actor->queue, call);
        rtci_call_failed(rtc, call, RTC_E_ACTOR_DEAD, RTC_RAN_NO, text);
    }
}
