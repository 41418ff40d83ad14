/* Who is told when a light actor dies. The watcher's message lies in a list of the watched one, and
 * the same memory carries the news. */
#include <stdlib.h>

#include "runtime/exec/light_internal.h"
#include <rtc/error.h>

static bool same(rtci_light_id a, rtci_light_id b)
{
    return a.index == b.index && a.gen == b.gen;
}

/* The link that leads to an entry of that kind, or NULL. */
static struct rtci_light_msg **find(struct rtci_light_actor *a, uint8_t kind, rtci_light_id from,
                                    uint32_t token)
{
    struct rtci_light_msg **at = &a->watches;
    for (; *at; at = (struct rtci_light_msg **)(void *)&(*at)->next) {
        if ((*at)->kind == kind && same((*at)->from, from) && (*at)->token == token)
            return at;
    }
    return NULL;
}

static bool remove_entry(struct rtci_light_ctx *ctx, struct rtci_light_msg **at)
{
    if (!at)
        return false;
    struct rtci_light_msg *entry = *at;
    *at = atomic_load_explicit(&entry->next, memory_order_relaxed);
    rtci_light_msg_free(ctx, entry);
    return true;
}

static bool add_entry(struct rtci_light_ctx *ctx, struct rtci_light_actor *a, uint8_t kind,
                      rtci_light_id from, uint32_t token)
{
    struct rtci_light_msg *entry = rtci_light_msg_new(ctx);
    if (!entry)
        return false;
    entry->kind = kind;
    entry->from = from; /* or `outside`, which is as large */
    entry->token = token;
    entry->size = 0;
    atomic_store_explicit(&entry->next, a->watches, memory_order_relaxed);
    a->watches = entry;
    return true;
}

/* Makes the news of a watch's memory and sends it. */
static void tell(struct rtci_light_ctx *ctx, struct rtci_light_msg *entry,
                 const struct rtci_light_down *why)
{
    struct rtci_light_outside *outside =
        entry->kind == RTCI_LIGHT_WATCH_OUTSIDE ? entry->outside : NULL;
    rtci_light_id to = entry->from;
    entry->kind = entry->kind == RTCI_LIGHT_LINK ? RTCI_LIGHT_EXIT : RTCI_LIGHT_DOWN;
    entry->from = why->who;
    entry->tag = 0;
    entry->size = sizeof(*why);
    entry->down = *why;
    if (outside) {
        outside->fn(outside->arg, entry);
        free(outside);
    } else if (rtci_light_deliver(ctx, to, entry, RTCI_LIGHT_ANY) >= 0) {
        return;
    }
    rtci_light_msg_free(ctx, entry);
}

void rtci_light_tell_death(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                           const struct rtci_light_down *why)
{
    struct rtci_light_msg *entry = a->watches, *next;
    a->watches = NULL;
    for (; entry; entry = next) {
        next = atomic_load_explicit(&entry->next, memory_order_relaxed);
        tell(ctx, entry, why);
    }
}

void rtci_light_watch_late(struct rtci_light_ctx *ctx, struct rtci_light_msg *msg,
                           const struct rtci_light_down *why)
{
    if (msg->kind != RTCI_LIGHT_WATCH && msg->kind != RTCI_LIGHT_WATCH_OUTSIDE &&
        msg->kind != RTCI_LIGHT_LINK)
        return;
    struct rtci_light_msg *entry = rtci_light_msg_new(ctx);
    RTCI_ASSERT(entry); /* who watches must be told, and there is nobody to take an error */
    entry->kind = msg->kind;
    entry->from = msg->from;
    entry->token = msg->token;
    tell(ctx, entry, why);
}

void rtci_light_watch_msg(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                          struct rtci_light_msg *msg)
{
    switch (msg->kind) {
    case RTCI_LIGHT_LINK:
        RTCI_ASSERT(find(a, RTCI_LIGHT_LINK, msg->from, 0) ||
                    add_entry(ctx, a, RTCI_LIGHT_LINK, msg->from, 0));
        return;
    case RTCI_LIGHT_WATCH:
    case RTCI_LIGHT_WATCH_OUTSIDE:
        RTCI_ASSERT(add_entry(ctx, a, msg->kind, msg->from, msg->token));
        return;
    case RTCI_LIGHT_UNWATCH:
        remove_entry(ctx, find(a, RTCI_LIGHT_WATCH, msg->from, msg->token));
        return;
    case RTCI_LIGHT_UNLINK: remove_entry(ctx, find(a, RTCI_LIGHT_LINK, msg->from, 0)); return;
    default: RTCI_UNREACHABLE("kind of a message");
    }
}

bool rtci_light_exit_msg(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                         struct rtci_light_msg *msg, int *ret)
{
    *ret = 0;
    if (!remove_entry(ctx, find(a, RTCI_LIGHT_LINK, msg->down.who, 0)))
        return false; /* unlinked meanwhile */
    if (a->class->trap_exits) {
        *ret = rtci_light_receive(ctx, a, msg);
        return false;
    }
    return msg->down.reason != RTCI_LIGHT_NORMAL && msg->down.reason != RTCI_LIGHT_NOBODY;
}

static int send_watch(struct rtci_light_ctx *ctx, rtci_light_id id, uint8_t kind, uint32_t token,
                      struct rtci_light_outside *outside)
{
    struct rtci_light_msg *msg = rtci_light_msg_of(ctx, kind, NULL, 0);
    if (!msg)
        return RTC_E_NOMEM;
    msg->token = token;
    if (outside)
        msg->outside = outside;
    int64_t rc = rtci_light_deliver(ctx, id, msg, RTCI_LIGHT_ANY);
    if (rc >= 0)
        return 0;
    if (rc == RTC_E_NOT_FOUND && kind != RTCI_LIGHT_UNWATCH && kind != RTCI_LIGHT_UNLINK) {
        tell(ctx, msg, &(struct rtci_light_down){.who = id, .reason = RTCI_LIGHT_UNKNOWN});
        return 0;
    }
    rtci_light_msg_free(ctx, msg);
    return rc == RTC_E_NOT_FOUND ? 0 : (int)rc;
}

int rtci_light_watch(struct rtci_light_ctx *ctx, rtci_light_id id, uint32_t token)
{
    RTCI_ASSERT(ctx->self);
    return send_watch(ctx, id, RTCI_LIGHT_WATCH, token, NULL);
}

int rtci_light_watch_outside(struct rtci_light_ctx *ctx, rtci_light_id id, rtci_light_outside_fn fn,
                             void *arg)
{
    struct rtci_light_outside *outside = malloc(sizeof(*outside));
    if (!outside)
        return RTC_E_NOMEM;
    *outside = (struct rtci_light_outside){fn, arg};
    int rc = send_watch(ctx, id, RTCI_LIGHT_WATCH_OUTSIDE, 0, outside);
    if (rc)
        free(outside);
    return rc;
}

int rtci_light_unwatch(struct rtci_light_ctx *ctx, rtci_light_id id, uint32_t token)
{
    RTCI_ASSERT(ctx->self);
    return send_watch(ctx, id, RTCI_LIGHT_UNWATCH, token, NULL);
}

int rtci_light_link(struct rtci_light_ctx *ctx, rtci_light_id id)
{
    RTCI_ASSERT(ctx->self);
    if (same(id, rtci_light_self(ctx)) || find(ctx->self, RTCI_LIGHT_LINK, id, 0))
        return 0;
    if (!add_entry(ctx, ctx->self, RTCI_LIGHT_LINK, id, 0))
        return RTC_E_NOMEM;
    int rc = send_watch(ctx, id, RTCI_LIGHT_LINK, 0, NULL);
    if (rc)
        remove_entry(ctx, find(ctx->self, RTCI_LIGHT_LINK, id, 0));
    return rc;
}

int rtci_light_unlink(struct rtci_light_ctx *ctx, rtci_light_id id)
{
    RTCI_ASSERT(ctx->self);
    if (!remove_entry(ctx, find(ctx->self, RTCI_LIGHT_LINK, id, 0)))
        return 0;
    return send_watch(ctx, id, RTCI_LIGHT_UNLINK, 0, NULL);
}
