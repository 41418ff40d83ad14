/* What moves on without being asked: records that found no room, calls that waited for an argument
 * or for room, deadlines; and the notes between two processes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"

/* ---- Records from where nothing may wait ---- */

static bool flush_outbox(struct rtc *rtc)
{
    struct rtci_buf *buf = &rtc->actors->outbox;
    size_t at = 0;
    while (at < buf->len) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(buf->data + at);
        void *out = rtci_chan_reserve(rtc->chan, rec->size);
        if (!out)
            break;
        memcpy(out, rec, rec->size);
        at += rec->size;
    }
    if (at) {
        memmove(buf->data, buf->data + at, buf->len - at);
        buf->len -= at;
        rtci_send(rtc);
    }
    return buf->len == 0;
}

void rtci_outbox(struct rtc *rtc, const void *record)
{
    const struct rtci_rec *rec = record;
    void *at = rtc->actors->outbox.len ? NULL : rtci_chan_reserve(rtc->chan, rec->size);
    if (at) {
        memcpy(at, rec, rec->size);
        rtci_send(rtc);
        return;
    }
    rtci_buf_put(&rtc->actors->outbox, rec, rec->size);
}

/* ---- Notes ---- */

void rtci_note(struct rtc *rtc, struct rtci_peer *peer, uint32_t kind, struct rtci_id actor,
               struct rtci_id id, const char *text)
{
    size_t len = text ? strlen(text) : 0, padded = RTCI_ALIGN8(len);
    struct {
        struct rtci_spec spec;
        char tail[sizeof(struct rtci_id) + 512 + sizeof(struct rtci_call)];
    } out;
    memset(&out, 0, sizeof(out));
    if (padded > 504)
        return;
    out.spec.rec.size =
        (uint32_t)(sizeof(out.spec) + sizeof(id) + padded + sizeof(struct rtci_call));
    out.spec.rec.type = RTCI_R_ACTOR_CALL;
    out.spec.client = rtc->client;
    out.spec.seq = 1;
    out.spec.function = kind;
    out.spec.flags = RTCI_SPEC_CALL;
    out.spec.n_refs = 1;
    out.spec.data_size = (uint32_t)len;
    out.spec.name_len = sizeof(struct rtci_call);
    memcpy(out.tail, &id, sizeof(id));
    if (len)
        memcpy(out.tail + sizeof(id), text, len);
    struct rtci_call *call = (struct rtci_call *)(out.tail + sizeof(id) + padded);
    *call = (struct rtci_call){
        .actor = actor, .node = peer->node, .client = peer->client, .incarnation = 0};
    uint64_t told = rtc->told; /* it may come late */
    rtci_outbox(rtc, &out);
    rtc->told = told;
}

/* ---- Deadlines ---- */

static void expire(struct rtc *rtc, struct calls *calls, uint64_t now, bool sent)
{
    for (struct call *call = calls->first, *next; call; call = next) {
        next = call->next;
        if (!call->deadline_ns)
            continue;
        if (call->deadline_ns > now) {
            if (call->deadline_ns < rtc->actors->deadline_ns)
                rtc->actors->deadline_ns = call->deadline_ns;
            continue;
        }
        struct actor *actor = call->actor;
        char text[256], title[192];
        snprintf(text, sizeof(text), "the deadline of the call to %s passed%s",
                 rtci_actor_title(actor, title, sizeof(title)),
                 sent ? "; whether it ran is not known" : " before it could be sent");
        rtci_call_take(calls, call);
        rtci_call_failed(rtc, call, RTC_E_DEADLINE, sent ? RTC_RAN_UNKNOWN : RTC_RAN_NO, text);
    }
}

static void expire_all(struct rtc *rtc)
{
    uint64_t now = rtci_now_ns();
    if (now < rtc->actors->deadline_ns)
        return;
    rtc->actors->deadline_ns = UINT64_MAX;
    for (uint32_t i = 0; i < rtc->actors->n; i++) {
        struct actor *actor = rtc->actors->at[i];
        if (!actor)
            continue;
        expire(rtc, &actor->queue, now, false);
        expire(rtc, &actor->flight, now, true);
        rtci_actor_unpin(rtc, actor);
    }
}

/* ---- Everything that waits ---- */

static void try_held(struct rtc *rtc)
{
    struct actor *actor = rtc->actors->held;
    rtc->actors->held = NULL; /* those that still wait come back into it */
    for (struct actor *next; actor; actor = next) {
        next = actor->held_next;
        actor->held = false;
        rtci_actor_pump(rtc, actor);
        rtci_actor_unpin(rtc, actor);
    }
}

static void try_stuck(struct rtc *rtc)
{
    rtc->actors->stuck = false;
    for (uint32_t i = 0; i < rtc->actors->n; i++) {
        if (rtc->actors->at[i] && rtc->actors->at[i]->queue.n)
            rtci_actor_pump(rtc, rtc->actors->at[i]);
    }
}

static void send_acks(struct rtc *rtc)
{
    uint64_t consumed = rtci_chan_consumed(rtc->chan), written = rtci_chan_written(rtc->chan);
    for (struct ack **at = &rtc->actors->acks; *at;) {
        struct ack *ack = *at;
        if (!ack->position && !rtc->actors->outbox.len)
            ack->position = written; /* the hold stands before it */
        if (!ack->position || ack->position > consumed) {
            at = &ack->next;
            continue;
        }
        *at = ack->next;
        rtci_note(rtc, ack->peer, RTCI_NOTE_HELD, (struct rtci_id){0}, ack->id, NULL);
        free(ack);
    }
}

struct rtci_due rtci_actors_tick(struct rtc *rtc)
{
    struct actors *actors = rtc->actors;
    struct rtci_due due = {.at_ns = UINT64_MAX};
    if (actors->ticking || rtc->dead < 0)
        return due;
    actors->ticking = true;
    if (RTCI_UNLIKELY(actors->outbox.len) && !flush_outbox(rtc))
        due.room = ((const struct rtci_rec *)actors->outbox.data)->size;
    if (actors->held)
        try_held(rtc);
    if (actors->stuck)
        try_stuck(rtc);
    if (actors->acks)
        send_acks(rtc);
    if (actors->deadline_ns != UINT64_MAX)
        expire_all(rtc);
    due.at_ns = actors->deadline_ns;
    if (actors->acks && due.at_ns > rtci_now_ns() + RTCI_NS_PER_MS)
        due.at_ns = rtci_now_ns() + RTCI_NS_PER_MS; /* nobody says when a hold was heard */
    if (actors->stuck && actors->room > due.room)
        due.room = actors->room;
    actors->ticking = false;
    return due;
}

bool rtci_actors_queued(const struct rtc *rtc)
{
    for (uint32_t i = 0; i < rtc->actors->n; i++) {
        if (rtc->actors->at[i] && rtc->actors->at[i]->queue.n)
            return true;
    }
    return false;
}
