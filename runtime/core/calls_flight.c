/* Calls on their way: each until its last answer has come, so that it can be answered here when the
 * other node is lost. What was never put into a frame was never executed; of the rest nobody knows.
 */
#include <rtc/error.h>
#include <stdio.h>
#include <string.h>

#include "runtime/core/calls_internal.h"
#include "runtime/core/grow.h"

void rtci_call_answer(struct rtci_call_answer *ret, uint64_t seq, uint32_t client,
                      const struct rtci_call *call, uint16_t flags, const char *text)
{
    memset(ret, 0, sizeof(*ret));
    snprintf(ret->text, sizeof(ret->text), "%s", text);
    size_t len = strlen(ret->text);
    ret->done.rec = (struct rtci_rec){sizeof(*ret), RTCI_R_ACTOR_REPLY, flags};
    ret->done.seq = seq;
    ret->done.client = client;
    ret->done.attempt = call->caller_node;
    ret->done.status = RTC_E_CRASHED;
    ret->done.n_returns = 1;
    ret->row = (struct rtci_resolved){.kind = RTCI_KIND_ERROR,
                                      .size = sizeof(ret->fail) + len,
                                      .offset = offsetof(struct rtci_call_answer, fail)};
    ret->fail = (struct rtci_fail){.code = RTC_E_CRASHED,
                                   .exit_status = -1,
                                   .node = call->node,
                                   .origin = call->actor,
                                   .attempts = (uint16_t)call->incarnation,
                                   .text_len = (uint16_t)len};
}

static void unlink_flight(struct rtci_calls *calls, uint32_t index)
{
    struct flight *f = &calls->flights[index];
    struct peer *p = &calls->peers[f->peer - 1];
    *(f->prev ? &calls->flights[f->prev].next : &p->first) = f->next;
    *(f->next ? &calls->flights[f->next].prev : &p->last) = f->prev;
    rtci_map_remove(&calls->flight_by_call, f->seq, f->client);
    *f = (struct flight){.next = calls->free_flight};
    calls->free_flight = index;
    calls->counts.in_flight--;
}

void calls_begun(struct rtci_calls *calls, uint32_t peer, const struct rtci_spec *spec)
{
    uint32_t *known = rtci_map_find(&calls->flight_by_call, spec->seq, spec->client);
    if (!rtci_spec_call(spec)->order || (known && spec->flags & RTCI_SPEC_ASK))
        return; /* a note has no answer */
    if (known)  /* made again: the older is of no interest */
        unlink_flight(calls, *known);
    uint32_t index = calls->free_flight;
    if (index) {
        calls->free_flight = calls->flights[index].next;
    } else {
        index = calls->n_flights ? calls->n_flights : 1;
        core_grow(&calls->flights, &calls->cap_flights, index, sizeof(*calls->flights));
        calls->n_flights = index + 1;
    }
    struct peer *p = &calls->peers[peer];
    calls->flights[index] = (struct flight){.seq = spec->seq,
                                            .message = calls->sent,
                                            .client = spec->client,
                                            .peer = peer + 1,
                                            .repeated = spec->flags & RTCI_SPEC_REPEATED,
                                            .prev = p->last,
                                            .call = *rtci_spec_call(spec)};
    *(p->last ? &calls->flights[p->last].next : &p->first) = index;
    p->last = index;
    RTCI_ASSERT(rtci_map_set(&calls->flight_by_call, spec->seq, spec->client, index));
    calls->counts.in_flight++;
}

/* Its process is gone: the caller knows what that means for each of its calls. */
static void gone(struct rtci_calls *calls, uint32_t peer, const struct rtci_done *done)
{
    const struct rtci_fail *fail =
        (const struct rtci_fail *)((const char *)done + rtci_done_returns(done)->offset);
    for (uint32_t i = calls->peers[peer].first, next; i; i = next) {
        const struct flight *f = &calls->flights[i];
        next = f->next;
        if (f->client == done->client && rtci_id_equal(f->call.actor, fail->origin) &&
            (uint16_t)f->call.incarnation == fail->attempts)
            unlink_flight(calls, i);
    }
}

void calls_answered(struct rtci_calls *calls, uint32_t peer, const struct rtci_done *done)
{
    if (done->rec.flags & RTCI_REPLY_GONE) {
        if (done->status)
            gone(calls, peer, done);
        return;
    }
    uint32_t *index = rtci_map_find(&calls->flight_by_call, done->seq, done->client);
    if (index && calls->flights[*index].peer == peer + 1 && !(done->rec.flags & RTCI_REPLY_MORE))
        unlink_flight(calls, *index);
}

void calls_ask(struct rtci_calls *calls, uint32_t peer, uint64_t before, struct rtci_buf *ret)
{
    uint32_t i = calls->peers[peer].first;
    for (const struct flight *f; i; i = f->next) {
        f = &calls->flights[i];
        if (f->message >= before)
            continue;
        struct {
            struct rtci_spec spec;
            struct rtci_call call;
        } ask = {.spec = {.rec = {sizeof(ask), RTCI_R_ACTOR_CALL, 0},
                          .seq = f->seq,
                          .client = f->client,
                          .n_returns = 1,
                          .flags = RTCI_SPEC_CALL | RTCI_SPEC_REPEATED | RTCI_SPEC_ASK,
                          .name_len = sizeof(struct rtci_call)},
                 .call = f->call};
        rtci_buf_put(ret, &ask, sizeof(ask));
    }
    RTCI_ASSERT(!ret->failed);
}

void calls_abandon(struct rtci_calls *calls, uint32_t peer)
{
    struct peer *p = &calls->peers[peer];
    while (p->first) {
        struct flight f = calls->flights[p->first];
        bool unknown = f.repeated || f.message <= p->last_put;
        struct rtci_call_answer answer;
        char text[128];
        snprintf(text, sizeof(text), "node %u was lost %s", p->node,
                 unknown ? "while the call was there, or on its way: nobody knows whether it ran"
                         : "before the call left for it");
        rtci_call_answer(&answer, f.seq, f.client, &f.call,
                         unknown ? RTCI_REPLY_UNKNOWN : RTCI_REPLY_NEVER_RAN, text);
        unlink_flight(calls, p->first);
        *(unknown ? &calls->counts.unknown : &calls->counts.never_ran) += 1;
        calls->ops.span(calls->arg, p->node, &answer, sizeof(answer));
        p = &calls->peers[peer]; /* an answer may cause what is sent next */
    }
}
