/* What this process knows of an actor: where it lives, and of its end.
 *
 * Two questions go to the head, never with anybody waiting for them alone: `where` is answered when
 * the actor lives or is dead; `watch` when it is not any more what it was when we asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"
#include "runtime/client/withheld.h"

int rtci_actors_init(struct rtc *rtc)
{
    rtc->actors = calloc(1, sizeof(*rtc->actors));
    if (!rtc->actors)
        return RTC_E_NOMEM;
    rtc->actors->downs_tail = &rtc->actors->downs;
    rtc->actors->deadline_ns = UINT64_MAX;
    return 0;
}

static void free_calls(struct calls *calls)
{
    for (struct call *c = calls->first, *next; c; c = next) {
        next = c->next;
        free(c);
    }
}

static void free_monitors(struct monitor *m)
{
    for (struct monitor *next; m; m = next) {
        next = m->next;
        free(m);
    }
}

void rtci_actors_destroy(struct rtc *rtc)
{
    struct actors *actors = rtc->actors;
    rtci_light_hosts_free(rtc);
    rtci_light_news_free(rtc);
    if (!actors)
        return;
    for (uint32_t i = 0; i < actors->n; i++) {
        if (!actors->at[i])
            continue;
        free_calls(&actors->at[i]->queue);
        free_calls(&actors->at[i]->flight);
        free(actors->at[i]);
    }
    free(actors->at);
    rtci_map_fini(&actors->by_id);
    rtci_map_fini(&actors->by_request);
    for (struct call *c = actors->spare, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free_monitors(actors->monitors);
    free_monitors(actors->downs);
    for (struct ack *a = actors->acks, *next; a; a = next) {
        next = a->next;
        free(a);
    }
    rtci_buf_fini(&actors->outbox);
    free(actors);
    rtc->actors = NULL;
    while (rtc->streams)
        rtci_stream_drop(rtc, rtc->streams->ref);
    rtci_routes_destroy(rtc);
}

/* ---- The table ---- */

struct actor *rtci_actor_find(struct rtc *rtc, struct rtci_id id)
{
    const uint32_t *at = rtci_map_find(&rtc->actors->by_id, id.seq, id.client);
    return at ? rtc->actors->at[*at] : NULL;
}

static struct actor *actor_new(struct rtc *rtc, struct rtci_id id)
{
    struct actors *actors = rtc->actors;
    uint32_t i = 0;
    while (i < actors->n && actors->at[i])
        i++;
    if (i == actors->cap) {
        uint32_t cap = actors->cap ? actors->cap * 2 : 16;
        struct actor **at = realloc(actors->at, cap * sizeof(struct actor *));
        if (!at)
            return NULL;
        actors->at = at;
        actors->cap = cap;
    }
    struct actor *actor = calloc(1, sizeof(*actor));
    if (!actor || !rtci_map_set(&actors->by_id, id.seq, id.client, i)) {
        free(actor);
        return NULL;
    }
    actor->id = id;
    actor->index = i;
    actor->mailbox = RTCI_ACTOR_MAILBOX;
    actors->at[i] = actor;
    actors->n += i == actors->n;
    return actor;
}

static struct slot *own_slot(struct rtc *rtc, struct rtci_id id)
{
    struct slot *slot = id.client == rtc->client && id.seq < rtc->next_seq
                            ? rtci_slots_find(&rtc->slots, id.seq)
                            : NULL;
    return slot && slot->state != SLOT_GONE && slot->state != SLOT_NONE ? slot : NULL;
}

static bool handle_alive(struct rtc *rtc, struct rtci_id id)
{
    if (own_slot(rtc, id))
        return true;
    struct borrowed *b = rtci_borrowed_find(&rtc->borrowed, id); /* also an own one, found anew */
    return b && b->holds > 0;
}

int rtci_actor_of(struct rtc *rtc, rtc_actor handle, struct actor **ret_actor)
{
    struct rtci_id id = rtci_actor_id(handle);
    struct actor *actor = rtci_actor_find(rtc, id);
    *ret_actor = actor ? rtci_actor_meant(actor) : NULL;
    if (RTCI_LIKELY(actor && (id.client != rtc->client || handle_alive(rtc, id))))
        return 0;
    *ret_actor = NULL;
    if (!id.client || !id.seq)
        return rtci_error(RTC_E_INVALID,
                          "the actor is \"none\" (all zero): it was not got from a call");
    if (id.client == rtc->client && !handle_alive(rtc, id))
        return rtci_error(RTC_E_RELEASED, "the handle of actor %u:%llu was released before",
                          id.client, (unsigned long long)id.seq);
    struct slot *slot = own_slot(rtc, id);
    if (slot && !(slot->flags & SLOT_ACTOR))
        return rtci_error(RTC_E_INVALID,
                          "{%llu,%u} is the reference of a task or object, not an actor",
                          (unsigned long long)id.seq, id.client);
    *ret_actor = actor_new(rtc, id);
    return *ret_actor ? 0 : rtci_error(RTC_E_NOMEM, "out of memory for an actor");
}

void rtci_actor_try_free(struct rtc *rtc, struct actor *actor)
{
    if (actor->pinned || actor->queue.n || actor->flight.n || actor->held || actor->crowded ||
        handle_alive(rtc, actor->id))
        return;
    struct actor *meant = actor->meant;
    if (actor->where)
        rtci_map_remove(&rtc->actors->by_request, actor->where, 0);
    if (actor->watch)
        rtci_map_remove(&rtc->actors->by_request, actor->watch, 0);
    rtci_map_remove(&rtc->actors->by_id, actor->id.seq, actor->id.client);
    rtc->actors->at[actor->index] = NULL;
    free(actor);
    if (meant) {
        RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(meant->id)));
        rtci_actor_try_free(rtc, meant);
    }
}

void rtci_actor_pin(struct rtc *rtc, struct actor *actor)
{
    if (!actor->pinned)
        actor->pinned = rtci_retain_locked(rtc, rtci_ref_of(actor->id)) == 0;
}

void rtci_actor_unpin(struct rtc *rtc, struct actor *actor)
{
    if (!actor->pinned || actor->awaited || actor->queue.n || actor->flight.n)
        return;
    actor->pinned = false;
    struct rtci_id id = actor->id;
    RTCI_IGNORE(rtci_release_locked(rtc, rtci_ref_of(id)));
    if (!handle_alive(rtc, id))
        rtci_actor_try_free(rtc, actor);
}

/* ---- For people ---- */

const char *rtci_actor_title(const struct actor *actor, char *out, size_t size)
{
    if (actor->def && strcmp(actor->def->name, RTCI_LIGHT_HOST) == 0) {
        snprintf(out, size, "the host of light actors");
        return out;
    }
    int n = actor->def ? snprintf(out, size, "actor %.64s", actor->def->name)
                       : snprintf(out, size, "actor %u:%llu", actor->id.client,
                                  (unsigned long long)actor->id.seq);
    if (actor->name[0] && n > 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, " (name \"%s\")", actor->name);
    return out;
}

void rtci_cause_text(const struct rtci_cause *cause, char *out, size_t size)
{
    const char *text = cause->text[0] ? cause->text : "the reason is not known";
    switch (cause->kind) {
    case RTCI_CAUSE_EXIT:
        if (cause->exit_status >= 0)
            snprintf(out, size, "its process exited with status %d, node %u", cause->exit_status,
                     cause->node);
        else
            snprintf(out, size, "%s", text);
        break;
    case RTCI_CAUSE_SIGNAL:
        snprintf(out, size, "its process was killed by signal %d (%s), node %u", cause->signal,
                 strsignal(cause->signal), cause->node);
        break;
    case RTCI_CAUSE_OOM:
        snprintf(out, size, "its process was killed because memory ran out, node %u", cause->node);
        break;
    case RTCI_CAUSE_CONSTRUCTOR: snprintf(out, size, "its constructor failed: %s", text); break;
    default: snprintf(out, size, "%s", text);
    }
}

int rtci_actor_dead(const struct actor *actor)
{
    char title[192], why[256];
    rtci_cause_text(&actor->cause, why, sizeof(why));
    rtci_actor_title(actor, title, sizeof(title));
    if (actor->cause.kind == RTCI_CAUSE_NAME)
        return rtci_error(RTC_E_ACTOR_DEAD, "%s was not made: %s", title, why);
    return rtci_error(RTC_E_ACTOR_DEAD, "%s is dead: %s", title, why);
}

/* ---- Questions ---- */

static void ask(struct rtc *rtc, struct actor *actor, uint64_t request, uint32_t flags)
{
    struct rtci_actor_where where = {.rec = {sizeof(where), RTCI_R_ACTOR_WHERE, 0},
                                     .request = request,
                                     .id = actor->id,
                                     .flags = flags,
                                     .incarnation = actor->incarnation};
    rtci_outbox(rtc, &where);
}

static uint64_t new_request(struct rtc *rtc, const struct actor *actor)
{
    uint64_t request = rtc->next_request++;
    return rtci_map_set(&rtc->actors->by_request, request, 0, actor->index) ? request : 0;
}

void rtci_actor_ask(struct rtc *rtc, struct actor *actor)
{
    if (actor->known || actor->dead || actor->where)
        return;
    actor->where = new_request(rtc, actor);
    ask(rtc, actor, actor->where, 0);
}

void rtci_actor_watch(struct rtc *rtc, struct actor *actor)
{
    if (!actor->known || actor->watch)
        return;
    actor->watch = new_request(rtc, actor);
    ask(rtc, actor, actor->watch, RTCI_WHERE_CHANGED);
}

void rtci_actors_repeat(struct rtc *rtc)
{
    for (uint32_t i = 0; i < rtc->actors->n; i++) {
        struct actor *actor = rtc->actors->at[i];
        if (!actor)
            continue;
        if (actor->where)
            ask(rtc, actor, actor->where, 0);
        if (actor->watch)
            ask(rtc, actor, actor->watch, RTCI_WHERE_CHANGED);
        rtci_actor_resend(rtc, actor);
    }
    rtci_monitors_repeat(rtc);
}

/* ---- Answers ---- */

/* Somebody asked by a name, and does not keep what was found. */
void rtci_drop_answer(struct rtc *rtc, const struct rtci_actor_is *is)
{
    struct {
        struct rtci_ids ids;
        struct rtci_id id;
    } drop = {{{sizeof(drop), RTCI_R_DROP, 0}, 1, 1 | RTCI_DROP_REPLY}, is->id};
    if (is->flags & RTCI_IS_HELD)
        rtci_outbox(rtc, &drop);
}

static void apply(struct rtc *rtc, struct actor *actor, const struct rtci_actor_is *is);

static void on_alive(struct rtc *rtc, struct actor *actor, const struct rtci_actor_is *is)
{
    if (actor->known && actor->incarnation == is->incarnation)
        return;
    if (actor->flight.n)
        rtci_actor_lost(rtc, actor);
    actor->peer = rtci_peer_get(rtc, is->node, is->client);
    if (!actor->peer)
        return; /* asked again by the next call */
    actor->known = true;
    actor->incarnation = is->incarnation;
    actor->order = 0;
    rtci_actor_pump(rtc, actor);
}

/* Its name was taken: the handle means who has it, and so do the calls that wait. */
static void stands_for(struct rtc *rtc, struct actor *actor, const struct rtci_actor_is *is)
{
    struct actor *other = rtci_actor_find(rtc, is->id);
    if (actor->meant || rtci_take_held(rtc, is->id) < 0) {
        rtci_drop_answer(rtc, is);
        return;
    }
    if (!other && !(other = actor_new(rtc, is->id)))
        return;
    actor->meant = other;
    actor->known = true; /* nothing is asked for it any more */
    if (!other->def)
        other->def = actor->def;
    memcpy(other->name, actor->name, sizeof(other->name));
    bool first = !other->known;
    while (actor->queue.first) {
        struct call *call = actor->queue.first;
        rtci_call_take(&actor->queue, call);
        call->actor = other;
        rtci_call_push(&other->queue, call);
    }
    if (other->queue.n)
        rtci_actor_pin(rtc, other);
    struct rtci_actor_is is_other = *is;
    is_other.flags = 0;
    if (first)
        apply(rtc, other, &is_other);
    else
        rtci_actor_pump(rtc, other);
    rtci_actor_unpin(rtc, actor);
}

static void apply(struct rtc *rtc, struct actor *actor, const struct rtci_actor_is *is)
{
    if (is->status == 0 && is->flags & RTCI_IS_HELD) {
        stands_for(rtc, actor, is);
        return;
    }
    if (is->status == 0) {
        actor->retries = is->max_task_retries;
        actor->mailbox_fail = is->options & RTCI_ACTOR_MAILBOX_FAIL;
        actor->light = is->options & RTCI_ACTOR_LIGHT;
        actor->node = is->node;
        if (!actor->def)
            actor->def = rtci_actor_def_by_hash(is->function);
        actor->mailbox = is->mailbox ? is->mailbox : RTCI_ACTOR_MAILBOX;
    }
    actor->state = is->state;
    if (is->cause.kind != RTCI_CAUSE_NONE)
        actor->cause = is->cause;
    if (is->status == 0 && is->state == RTC_ACTOR_ALIVE) {
        on_alive(rtc, actor, is);
    } else if (is->status || is->state == RTC_ACTOR_DEAD) {
        actor->dead = true;
        actor->known = false;
        rtci_actor_ended(rtc, actor);
    } else {
        actor->known = false;
        rtci_actor_lost(rtc, actor);
        if (actor->queue.n)
            rtci_actor_ask(rtc, actor);
    }
    rtci_actor_unpin(rtc, actor);
}

void rtci_on_actor_is(struct rtc *rtc, const struct rtci_actor_is *is)
{
    for (struct request *q = rtc->requests; q; q = q->next) {
        if (q->kind != REQUEST_ACTOR || q->number != is->request || q->done)
            continue;
        q->data = malloc(sizeof(*is));
        q->status = q->data ? is->status : RTC_E_NOMEM;
        if (q->data)
            memcpy(q->data, is, sizeof(*is));
        q->done = true;
        return;
    }
    const uint32_t *at = rtci_map_find(&rtc->actors->by_request, is->request, 0);
    struct actor *actor = at ? rtc->actors->at[*at] : NULL;
    if (!actor) {
        rtci_drop_answer(rtc, is);
        return;
    }
    rtci_map_remove(&rtc->actors->by_request, is->request, 0);
    if (actor->where == is->request)
        actor->where = 0;
    else
        actor->watch = 0;
    apply(rtc, actor, is);
}

int rtci_actor_await(struct rtc *rtc, struct actor *actor, uint64_t deadline_ns)
{
    rtci_actor_pin(rtc, actor); /* it is not freed meanwhile */
    actor->awaited++;
    int rc = rtci_drain(rtc);
    if (rc == 0 && !actor->known && !actor->dead) /* its arguments may be withheld */
        rc = rtci_speak(rtc, deadline_ns);
    while (rc == 0 && !actor->known && !actor->dead) {
        rtci_actor_ask(rtc, actor);
        rc = rtci_block(rtc, 0, deadline_ns);
    }
    actor->awaited--;
    return rc; /* the caller unpins, when it has read what it wants */
}
