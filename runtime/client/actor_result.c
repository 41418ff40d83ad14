/* Results of calls: values that are objects of the actor's process, streams; and notes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"
#include "runtime/client/withheld.h"

/* ---- Values that are objects of the actor's process ---- */

static void say_id(struct rtc *rtc, uint16_t type, struct rtci_id id)
{
    struct {
        struct rtci_ids ids;
        struct rtci_id id;
    } out = {{{sizeof(out), type, 0}, 1, 0}, id};
    rtci_outbox(rtc, &out);
}

/* Held here from now on; its process is told when the hold has been heard. */
static struct borrowed *hold_object(struct rtc *rtc, struct rtci_id id, struct rtci_peer *peer)
{
    struct borrowed *b = rtci_borrowed_find(&rtc->borrowed, id);
    struct ack *ack = calloc(1, sizeof(*ack));
    if (!ack || (!b && !(b = rtci_borrowed_add(&rtc->borrowed, id)))) {
        free(ack);
        return NULL;
    }
    b->slot.flags &= (uint8_t)~SLOT_RELEASED;
    if (b->holds++ == 0)
        say_id(rtc, RTCI_R_HOLD, id);
    *ack = (struct ack){.next = rtc->actors->acks, .id = id, .peer = peer};
    rtc->actors->acks = ack;
    struct slot *own = NULL;
    int rc = 0;
    if (id.client == rtc->client) /* an actor's call to itself */
        own = rtci_find(rtc, rtci_ref_of(id), false, &rc);
    if (own && own != &b->slot && own->state == SLOT_READY && own->where == WHERE_ARENA) {
        b->slot.where = WHERE_ARENA;
        b->slot.u.offset = own->u.offset;
        b->slot.size = own->size;
        b->slot.state = SLOT_READY;
    } else if (b->slot.state == SLOT_PENDING && !b->pulled) {
        say_id(rtc, RTCI_R_WANT, id);
        b->pulled = true;
    }
    return b;
}

void rtci_result_set(struct rtc *rtc, struct slot *slot, const struct rtci_done *done,
                     const struct rtci_resolved *row, rtc_ref ref, struct rtci_peer *peer)
{
    if (ref.client && !rtci_slot_is_multi(rtc, ref) && row->kind != RTCI_KIND_ABSENT)
        rtci_slots_done(&rtc->slots, ref.seq);
    if (row->kind != RTCI_KIND_ABSENT) {
        rtci_slot_set(rtc, slot, done, row, ref);
        return;
    }
    struct rtci_id id;
    memcpy(&id, (const char *)done + row->offset, sizeof(id));
    struct borrowed *b = peer ? hold_object(rtc, id, peer) : NULL;
    if (!b) {
        slot->state = SLOT_FAILED;
        slot->where = WHERE_SHARED;
        return;
    }
    slot->where = WHERE_ALIAS;
    slot->u.alias = b;
    b->alias = slot;
    b->alias_id = rtci_id_of(ref);
    if (rtci_slot_here(&b->slot))
        rtci_alias_done(rtc, b);
}

void rtci_alias_done(struct rtc *rtc, struct borrowed *b)
{
    struct slot *slot = b->alias;
    rtc_ref ref = rtci_ref_of(b->alias_id);
    b->alias = NULL;
    slot->size = b->slot.size;
    slot->state = b->slot.state;
    if (!ref.client)
        return; /* of a stream */
    if (!rtci_slot_is_multi(rtc, ref))
        rtci_slots_done(&rtc->slots, ref.seq);
    if (slot->flags & SLOT_THEN)
        rtci_on_done_slot(rtc, ref);
}

void rtci_alias_drop(struct rtc *rtc, struct slot *slot)
{
    struct borrowed *b = slot->u.alias;
    b->alias = b->alias == slot ? NULL : b->alias;
    slot->where = WHERE_INLINE;
    if (--b->holds > 0)
        return;
    say_id(rtc, RTCI_R_DROP, b->id);
    if (b->slot.pins > 0) {
        b->slot.flags |= SLOT_RELEASED;
    } else if (!b->argument) {
        rtci_slot_clear(rtc, &b->slot);
        rtci_borrowed_remove(&rtc->borrowed, b);
    }
}

rtc_ref rtci_alias_of(const struct slot *slot)
{
    return rtci_ref_of(slot->u.alias->id);
}

bool rtci_slot_is_multi(struct rtc *rtc, rtc_ref ref)
{
    const struct slot *slot =
        ref.client == rtc->client ? rtci_slots_find(&rtc->slots, ref.seq) : NULL;
    return slot && slot->where == WHERE_MULTI;
}

/* ---- Told to others ---- */

/* The head gets to know it under its own name: a copy of the value. */
int rtci_call_result_ready(struct rtc *rtc, struct slot *slot, rtc_ref ref)
{
    if (!rtci_slot_done(slot))
        RTCI_TRY(rtci_await(rtc, slot, ref, UINT64_MAX));
    if (slot->state == SLOT_FAILED) {
        rtci_slot_failure(slot);
        return rtci_error_within(RTC_E_DEPENDENCY, "the result of a call");
    }
    if (rtci_slot_is_multi(rtc, ref))
        return rtci_error(RTC_E_UNSUPPORTED,
                          "one of several results of a call to an actor cannot be put into another "
                          "value: get it, and put its value there");
    if (slot->size <= RTCI_INLINE_MAX)
        return 0; /* as a small put */
    struct rtc_value value;
    struct value_plan plan;
    uint64_t offset;
    RTCI_TRY(rtci_slot_value(rtc, slot, &value));
    RTCI_TRY(rtci_value_plan(&value, &plan));
    slot->pins++;
    int rc = rtci_arena_write(rtc, rtci_id_of(ref), &value, &plan, &offset);
    if (rc == 0)
        slot->flags |= SLOT_AT_HEAD;
    rtci_unpin(rtc, slot, ref);
    return rc;
}

int rtci_call_cancel(struct rtc *rtc, struct slot *slot)
{
    struct call *call =
        slot->state == SLOT_PENDING && slot->where == WHERE_INLINE ? slot->u.call : NULL;
    if (!call || call->order)
        return 0; /* it is the actor's, or done */
    struct actor *actor = call->actor;
    rtci_call_take(&actor->queue, call);
    rtci_call_failed(rtc, call, RTC_E_CANCELLED, RTC_RAN_NO,
                     "it was cancelled before it was sent to its actor");
    rtci_actor_unpin(rtc, actor);
    return 0;
}

/* ---- Streams ---- */

static struct stream *stream_of(struct rtc *rtc, rtc_ref ref)
{
    struct stream *s = rtc->streams;
    while (s && (s->ref.seq != ref.seq || s->ref.client != ref.client))
        s = s->next;
    return s;
}

static void free_chunk(struct rtc *rtc, struct chunk *chunk)
{
    if (chunk)
        rtci_slot_clear(rtc, &chunk->slot);
    free(chunk);
}

void rtci_stream_drop(struct rtc *rtc, rtc_ref ref)
{
    struct stream **at = &rtc->streams, *s;
    while ((s = *at) && (s->ref.seq != ref.seq || s->ref.client != ref.client))
        at = &s->next;
    if (!s)
        return;
    *at = s->next;
    while (s->first) {
        struct chunk *chunk = s->first;
        s->first = chunk->next;
        if (rtc->actors)
            free_chunk(rtc, chunk);
        else
            free(chunk);
    }
    if (rtc->actors)
        free_chunk(rtc, s->current);
    else
        free(s->current);
    free(s);
}

/* Nobody will read: the actor need not wait for that. */
void rtci_stream_release(struct rtc *rtc, rtc_ref ref)
{
    struct stream *s = stream_of(rtc, ref);
    if (s && s->peer && !s->done)
        rtci_note(rtc, s->peer, RTCI_NOTE_READ, (struct rtci_id){0},
                  (struct rtci_id){ref.seq, ref.client, UINT32_MAX}, NULL);
}

void rtci_stream_add(struct rtc *rtc, struct call *call, const struct rtci_done *done)
{
    struct stream *s = call->stream;
    struct chunk *chunk = s && !done->status ? calloc(1, sizeof(*chunk)) : NULL;
    if (!chunk)
        return;
    s->peer = call->actor->peer;
    chunk->slot.state = SLOT_PENDING;
    rtci_result_set(rtc, &chunk->slot, done, rtci_done_returns(done), (rtc_ref){0}, s->peer);
    *(s->last ? &s->last->next : &s->first) = chunk;
    s->last = chunk;
}

/* Or its end. */
static bool next_here(const struct slot *slot, const struct stream *s)
{
    return s->first ? rtci_slot_here(&s->first->slot) : rtci_slot_done(slot);
}

static int next_locked(struct rtc *rtc, rtc_ref ref, uint64_t deadline_ns,
                       struct rtc_value *ret_value)
{
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, false, &rc);
    struct stream *s = slot ? stream_of(rtc, ref) : NULL;
    if (!slot)
        return rc;
    if (!s)
        return rtci_error(RTC_E_INVALID, "the reference is not that of a call with options.stream");
    slot->pins++;
    rc = rtci_drain(rtc);
    if (rc == 0 && rtc->light && rtc->light->inside() && !next_here(slot, s))
        rc = rtci_now_ns() < deadline_ns ? rtci_lights_waits(rtc, "rtc_next()") : RTC_E_TIMEOUT;
    if (rc == 0 && !next_here(slot, s))
        rc = rtci_speak_for(rtc, &ref, 1, deadline_ns);
    while (rc == 0 && !next_here(slot, s))
        rc = rtci_block(rtc, 0, deadline_ns);
    struct chunk *chunk = s->first;
    if (chunk && rtci_slot_here(&chunk->slot)) {
        s->first = chunk->next;
        s->last = s->first ? s->last : NULL;
        free_chunk(rtc, s->current);
        s->current = chunk;
        if (++s->n_read == RTCI_YIELDS_MAX / 4 && !s->done) {
            rtci_note(rtc, s->peer, RTCI_NOTE_READ, (struct rtci_id){0},
                      (struct rtci_id){ref.seq, ref.client, s->n_read}, NULL);
            s->n_read = 0;
        }
        rc = rtci_slot_value(rtc, &chunk->slot, ret_value);
    } else if (rc == RTC_E_TIMEOUT) {
        rc = rtci_error(rc, "the stream has no further value yet: the timeout of the call passed");
    } else if (rc == 0 && slot->state == SLOT_FAILED) {
        rc = rtci_slot_failure(slot);
    } else if (rc == 0) {
        rc = rtci_error(RTC_E_END, "the stream has ended");
    }
    rtci_unpin(rtc, slot, ref);
    return rc;
}

int rtc_next(struct rtc *rtc, rtc_ref ref, int64_t timeout, struct rtc_value *ret_value)
{
    struct rtc_value unused;
    RTCI_TRY(rtci_enter(rtc));
    int rc = next_locked(rtc, ref, rtci_deadline(timeout), ret_value ? ret_value : &unused);
    rtci_leave(rtc);
    return rc;
}

/* ---- Notes ---- */

void rtci_on_note(struct rtc *rtc, const struct rtci_spec *note)
{
    if (note->function == RTCI_NOTE_GROUP && rtc->on_group)
        rtc->on_group(rtc, &note->rec);
    if (note->n_refs != 1)
        return;
    struct rtci_id id = rtci_spec_refs(note)[0];
    if (note->function == RTCI_NOTE_WAITS || note->function == RTCI_NOTE_STUCK)
        rtci_circle_note(rtc, note, (enum rtci_note)note->function, id);
    else if (note->function == RTCI_NOTE_HELD && rtc->on_held)
        rtc->on_held(rtc, id);
    else if (note->function == RTCI_NOTE_READ && rtc->on_read)
        rtc->on_read(rtc, (struct rtci_id){id.seq, id.client, 0}, id.index);
}
