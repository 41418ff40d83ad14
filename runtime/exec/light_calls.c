/* Calls of light actors: who calls goes on with other messages, and continues in a turn of its own
 * when the answer is there. */
#include <stdlib.h>

#include "runtime/exec/light_internal.h"
#include <rtc/error.h>

#define INDEX_MASK ((1u << RTCI_LIGHT_CALLS_BITS) - 1)
#define NONE       UINT32_MAX

/* Free entries are used again in turn, so that a late answer finds another generation. */
struct call {
    rtci_light_then then; /* NULL: free */
    void *arg;
    uint64_t timer;
    uint32_t token, next;
};
struct rtci_light_calls {
    uint32_t n, first, last; /* first and last of the free ones */
    struct call all[];
};

static bool grow(struct rtci_light_actor *a)
{
    uint32_t n = a->calls ? a->calls->n : 0, more = n ? n * 2 : 4;
    if (n > INDEX_MASK)
        return false;
    struct rtci_light_calls *calls =
        realloc(a->calls, sizeof(*calls) + more * sizeof(calls->all[0]));
    if (!calls)
        return false;
    for (uint32_t i = n; i < more; i++)
        calls->all[i] = (struct call){.token = i, .next = i + 1 < more ? i + 1 : NONE};
    calls->n = more;
    calls->first = n;
    calls->last = more - 1;
    a->calls = calls;
    return true;
}

static void release(struct rtci_light_calls *calls, struct call *call)
{
    uint32_t i = call->token & INDEX_MASK;
    call->token += 1u << RTCI_LIGHT_CALLS_BITS;
    call->then = NULL;
    call->next = NONE;
    if (calls->first == NONE)
        calls->first = i;
    else
        calls->all[calls->last].next = i;
    calls->last = i;
}

/* The answer that comes by itself when none does. */
static int set_deadline(struct rtci_light_ctx *ctx, struct call *call, uint64_t timeout_ns)
{
    struct rtci_light_msg *msg = rtci_light_msg_of(ctx, RTCI_LIGHT_REPLY, NULL, 0);
    if (!msg)
        return RTC_E_NOMEM;
    msg->token = call->token;
    msg->code = RTC_E_TIMEOUT;
    int rc = rtci_light_timer_add(ctx->light, timeout_ns, rtci_light_self(ctx), msg, &call->timer);
    if (rc)
        rtci_light_msg_free(ctx, msg);
    return rc;
}

/* The message is the engine's when this returns 0; else it is freed, without its block. */
static int begin(struct rtci_light_ctx *ctx, rtci_light_id to, struct rtci_light_msg *msg,
                 uint64_t timeout_ns, rtci_light_then then, void *arg)
{
    struct rtci_light_actor *a = ctx->self;
    RTCI_ASSERT(a && then); /* from outside: rtci_light_call_outside */
    if ((!a->calls || a->calls->first == NONE) && !grow(a)) {
        rtci_light_msg_free(ctx, msg);
        return a->calls && a->calls->n > INDEX_MASK ? RTC_E_AGAIN : RTC_E_NOMEM;
    }
    struct rtci_light_calls *calls = a->calls;
    struct call *call = &calls->all[calls->first];
    calls->first = call->next;
    call->then = then;
    call->arg = arg;
    call->timer = 0;
    msg->token = call->token;
    int rc = timeout_ns == RTCI_LIGHT_FOREVER ? 0 : set_deadline(ctx, call, timeout_ns);
    if (!rc)
        rc = rtci_light_send(ctx, to, msg);
    if (rc) {
        rtci_light_msg_free(ctx, msg);
        if (call->timer)
            rtci_light_cancel(ctx, call->timer);
        release(calls, call);
    }
    return rc;
}

int rtci_light_call(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, const void *data,
                    size_t size, uint64_t timeout_ns, rtci_light_then then, void *arg)
{
    struct rtci_light_msg *msg = rtci_light_msg_of(ctx, RTCI_LIGHT_CALL, data, size);
    if (!msg)
        return RTC_E_NOMEM;
    msg->tag = tag;
    void *block = msg->size == RTCI_LIGHT_BLOCK ? msg->block : NULL;
    int rc = begin(ctx, to, msg, timeout_ns, then, arg);
    if (rc)
        free(block);
    return rc;
}

int rtci_light_call_block(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, void *block,
                          size_t size, void (*drop)(void *block), uint64_t timeout_ns,
                          rtci_light_then then, void *arg)
{
    struct rtci_light_msg *msg = rtci_light_msg_of(ctx, RTCI_LIGHT_CALL, NULL, 0);
    if (!msg)
        return RTC_E_NOMEM;
    msg->tag = tag;
    rtci_light_attach(msg, block, size, drop);
    return begin(ctx, to, msg, timeout_ns, then, arg);
}

int rtci_light_call_outside(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag,
                            const void *data, size_t size, rtci_light_outside_fn fn, void *arg)
{
    struct rtci_light_outside *outside = malloc(sizeof(*outside));
    if (!outside)
        return RTC_E_NOMEM;
    *outside = (struct rtci_light_outside){fn, arg};
    struct rtci_light_msg *msg = rtci_light_msg_of(ctx, RTCI_LIGHT_CALL_OUTSIDE, data, size);
    int rc = RTC_E_NOMEM;
    if (msg) {
        msg->tag = tag;
        msg->outside = outside;
        rc = rtci_light_send(ctx, to, msg);
        if (rc)
            rtci_light_msg_drop(ctx, msg);
    }
    if (rc)
        free(outside);
    return rc;
}

int rtci_light_resume(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                      struct rtci_light_msg *reply)
{
    uint32_t i = reply->token & INDEX_MASK;
    if (!a->calls || i >= a->calls->n || a->calls->all[i].token != reply->token ||
        !a->calls->all[i].then)
        return 0; /* its time had passed */
    struct call call = a->calls->all[i];
    release(a->calls, &a->calls->all[i]);
    if (call.timer)
        rtci_light_cancel(ctx, call.timer);
    return call.then(ctx, rtci_light_state(a), reply, call.arg);
}

void rtci_light_calls_fini(struct rtci_light_ctx *ctx, struct rtci_light_actor *a)
{
    for (uint32_t i = 0; a->calls && i < a->calls->n; i++) {
        if (a->calls->all[i].then && a->calls->all[i].timer)
            rtci_light_cancel(ctx, a->calls->all[i].timer);
    }
    free(a->calls);
    a->calls = NULL;
}
