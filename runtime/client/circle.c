/* Waits that would never end.
 *
 * An actor of one thread that waits for the results of calls answers nothing meanwhile. When it
 * begins to wait it tells those it waits for; whoever waits itself passes that on. What comes back
 * to where it began has gone round a circle: that actor answers nothing any more. A wait ends never
 * when more of its references are such than it can do without.
 *
 * rtc_wait() is told only what is certain: a wait that has a timeout, or a call that has a
 * deadline, ends by itself. rtc_get() is told of every circle. */
#include <stdio.h>
#include <string.h>

#include "runtime/client/actor.h"

#define NUMBER_MASK 0x0fffffffu

static uint32_t next_number(const struct rtc *rtc)
{
    uint32_t number = (rtc->circle.number + 1) & NUMBER_MASK;
    return number ? number : 1;
}

static bool is_waiting(const struct rtc *rtc)
{
    return rtc->circle.refs != NULL;
}

/* The i-th reference's call, when that has no answer; NULL also of one that ends by itself. */
static struct call *call_at(struct rtc *rtc, size_t i, bool certain)
{
    rtc_ref ref = rtc->circle.refs[i];
    struct call *call = ref.client == rtc->client ? rtci_call_of(rtc, ref.seq) : NULL;
    return call && certain && call->deadline_ns ? NULL : call;
}

/* Of each actor that is waited for: how many references are its. */
static uint32_t count_actors(struct rtc *rtc, bool certain)
{
    uint32_t pass = ++rtc->circle.passes;
    for (size_t i = 0; i < rtc->circle.n; i++) {
        const struct call *call = call_at(rtc, i, certain);
        if (!call)
            continue;
        struct actor *actor = call->actor;
        actor->n_awaited = actor->pass == pass ? actor->n_awaited + 1 : 1;
        actor->pass = pass;
    }
    return pass;
}

static void tell_one(struct rtc *rtc, const struct call *call, enum rtci_note kind,
                     struct rtci_id first, const char *path)
{
    char text[504], title[192];
    rtci_actor_title(call->actor, title, sizeof(title));
    int n = snprintf(text, sizeof(text), "%s%s%s%s%s", path, path[0] ? " > " : "", title,
                     call->method ? "." : "", call->method ? call->method : "");
    if (n > 0 && (size_t)n < sizeof(text)) /* a longer circle than that is not found */
        rtci_note(rtc, call->actor->peer, kind, call->actor->id, first, text);
}

static struct rtci_id own_mark(const struct rtc *rtc, const struct call *call)
{
    return (struct rtci_id){call->seq, rtc->client, rtc->circle.number};
}

/* Each actor once. From here: all of them; `first` of another: those without which this wait cannot
 * end, when it waits for them for ever. */
static void tell_all(struct rtc *rtc, enum rtci_note kind, const struct rtci_id *first,
                     const char *path)
{
    bool certain = kind == RTCI_NOTE_STUCK;
    if (first && certain && !rtc->circle.for_ever)
        return;
    uint32_t pass = count_actors(rtc, certain);
    for (size_t i = 0; i < rtc->circle.n; i++) {
        const struct call *call = call_at(rtc, i, certain);
        if (!call || call->actor->pass != pass || !call->order || !call->actor->peer)
            continue; /* one that is not sent yet tells when it is */
        call->actor->pass = 0;
        if (!first)
            tell_one(rtc, call, kind, own_mark(rtc, call), path);
        else if (call->actor->n_awaited > rtc->circle.spare)
            tell_one(rtc, call, kind, *first, path);
    }
}

/* References that never get their result. */
static size_t count_stuck(struct rtc *rtc)
{
    size_t n = 0;
    for (size_t i = 0; i < rtc->circle.n; i++) {
        const struct call *call = call_at(rtc, i, rtc->circle.kind == RTCI_NOTE_STUCK);
        n += call && call->actor->stuck == rtc->circle.begun;
    }
    return n;
}

static int waits_for_itself(const struct call *call)
{
    char title[192];
    return rtci_error(RTC_E_DEADLOCK,
                      "%s waits for its own call%s%s, which it begins only after this one: it "
                      "would wait for itself for ever",
                      rtci_actor_title(call->actor, title, sizeof(title)),
                      call->method ? " of " : "", call->method ? call->method : "");
}

static int begin(struct rtc *rtc)
{
    const struct call *own = NULL;
    rtc->deadlock = false;
    for (size_t i = 0; i < rtc->circle.n; i++) {
        const struct call *call = call_at(rtc, i, rtc->circle.kind == RTCI_NOTE_STUCK);
        if (!call || !rtci_id_equal(call->actor->id, rtc->self))
            continue;
        call->actor->stuck = rtc->circle.begun;
        own = call;
    }
    if (own && count_stuck(rtc) > rtc->circle.spare)
        return waits_for_itself(own);
    tell_all(rtc, rtc->circle.kind, NULL, "");
    return 0;
}

int rtci_circle_begin(struct rtc *rtc, const rtc_ref *refs, size_t n, size_t spare, bool for_ever,
                      bool wait)
{
    if (!rtc->self.client || !rtc->self_single)
        return 0;
    uint32_t number = next_number(rtc);
    rtc->circle = (struct circle){.refs = refs,
                                  .n = n,
                                  .spare = spare,
                                  .for_ever = for_ever,
                                  .kind = wait ? RTCI_NOTE_STUCK : RTCI_NOTE_WAITS,
                                  .number = number,
                                  .begun = number,
                                  .passes = rtc->circle.passes};
    int rc = begin(rtc);
    if (rc)
        rtci_circle_end(rtc);
    return rc;
}

void rtci_circle_end(struct rtc *rtc)
{
    rtc->circle.refs = NULL;
    rtc->deadlock = false;
}

void rtci_call_sent(struct rtc *rtc, const struct call *call)
{
    if (RTCI_LIKELY(!is_waiting(rtc)))
        return;
    for (size_t i = 0; i < rtc->circle.n; i++) {
        if (call_at(rtc, i, rtc->circle.kind == RTCI_NOTE_STUCK) != call)
            continue;
        tell_one(rtc, call, rtc->circle.kind, own_mark(rtc, call), "");
        return;
    }
}

int rtci_deadlock_found(struct rtc *rtc)
{
    rtc->deadlock = false;
    return rtci_error(RTC_E_DEADLOCK,
                      "the actor would wait for itself for ever: it waits for %s, which waits for "
                      "this one",
                      rtc->actors->cycle);
}

/* A wait of another, of which word may have come this way before: paths that part and meet again
 * would become more and more. */
enum news { WAIT_IS_NEW, WORD_IS_NEW, IS_OLD };
static enum news look_up(struct circle *circle, struct rtci_id first)
{
    const uint32_t n = sizeof(circle->seen) / sizeof(circle->seen[0]);
    for (uint32_t i = 0; i < n; i++) {
        struct rtci_id *id = &circle->seen[i];
        if (rtci_id_equal(*id, first))
            return IS_OLD;
        if (id->client == first.client && id->seq == first.seq) {
            id->index = first.index;
            return WORD_IS_NEW;
        }
    }
    circle->seen[circle->n_seen++ % n] = first;
    return WAIT_IS_NEW;
}

/* Who waits for one of several is not sure to be held up, and passes nothing on. But then somebody
 * may wait now who did not when this told of itself. */
static void pass_on(struct rtc *rtc, enum rtci_note kind, struct rtci_id first, const char *path)
{
    enum news news = look_up(&rtc->circle, first);
    if (news != IS_OLD)
        tell_all(rtc, kind, &first, path);
    if (news != WAIT_IS_NEW || !rtc->circle.spare)
        return;
    rtc->circle.number = next_number(rtc);
    tell_all(rtc, rtc->circle.kind, NULL, "");
}

/* Of this wait, and not of one before. */
static bool is_own(const struct circle *circle, uint32_t number)
{
    return ((circle->number - number) & NUMBER_MASK) <=
           ((circle->number - circle->begun) & NUMBER_MASK);
}

void rtci_circle_note(struct rtc *rtc, const struct rtci_spec *note, enum rtci_note kind,
                      struct rtci_id first)
{
    char path[504];
    if (!is_waiting(rtc))
        return;
    snprintf(path, sizeof(path), "%.*s", (int)note->data_size, (const char *)rtci_spec_data(note));
    if (first.client != rtc->client) {
        pass_on(rtc, kind, first, path);
        return;
    }
    struct call *call = is_own(&rtc->circle, first.index) ? rtci_call_of(rtc, first.seq) : NULL;
    if (!call || kind != rtc->circle.kind)
        return; /* of a wait that is over */
    call->actor->stuck = rtc->circle.begun;
    if (count_stuck(rtc) <= rtc->circle.spare)
        return;
    rtc->deadlock = true;
    snprintf(rtc->actors->cycle, sizeof(rtc->actors->cycle), "%s", path);
    rtc->changes++;
}
