/* The turn of a light actor: a bounded number of its messages, one after another. */
#include <stdlib.h>

#include "runtime/exec/light_internal.h"
#include <rtc/error.h>

rtci_light_id rtci_light_self(const struct rtci_light_ctx *ctx)
{
    return ctx->self ? rtci_light_id_of(ctx->self) : (rtci_light_id){0, 0};
}

struct rtci_light_reply_to rtci_light_take_reply(struct rtci_light_ctx *ctx)
{
    struct rtci_light_reply_to to = ctx->owed;
    ctx->owed.kind = 0;
    return to;
}

void rtci_light_reply_later(struct rtci_light_ctx *ctx, struct rtci_light_reply_to *to, int code,
                            const void *data, size_t size)
{
    if (!to->kind)
        return;
    struct rtci_light_msg *reply = rtci_light_msg_of(ctx, RTCI_LIGHT_REPLY, data, size);
    if (!reply) { /* without its data: whoever waits must not wait for ever */
        reply = rtci_light_msg_of(ctx, RTCI_LIGHT_REPLY, NULL, 0);
        code = RTC_E_NOMEM;
    }
    RTCI_ASSERT(reply);
    rtci_light_answer(ctx, to, reply, code);
}

void rtci_light_reply_block(struct rtci_light_ctx *ctx, struct rtci_light_reply_to *to, int code,
                            void *block, size_t size, void (*drop)(void *block))
{
    struct rtci_light_msg *reply =
        to->kind ? rtci_light_msg_of(ctx, RTCI_LIGHT_REPLY, NULL, 0) : NULL;
    RTCI_ASSERT(reply || !to->kind); /* whoever waits must not wait for ever */
    if (!reply) {
        drop(block);
        return;
    }
    rtci_light_attach(reply, block, size, drop);
    rtci_light_answer(ctx, to, reply, code);
}

void rtci_light_reply(struct rtci_light_ctx *ctx, int code, const void *data, size_t size)
{
    struct rtci_light_reply_to to = rtci_light_take_reply(ctx);
    rtci_light_reply_later(ctx, &to, code, data, size);
}

void rtci_light_answer(struct rtci_light_ctx *ctx, struct rtci_light_reply_to *to,
                       struct rtci_light_msg *reply, int code)
{
    reply->code = (int16_t)code;
    reply->token = to->token;
    if (to->kind == RTCI_LIGHT_CALL_OUTSIDE) {
        to->outside->fn(to->outside->arg, reply);
        rtci_light_msg_drop(ctx, reply);
        free(to->outside);
    } else if (rtci_light_deliver(ctx, to->from, reply, RTCI_LIGHT_ANY) < 0) {
        rtci_light_msg_drop(ctx, reply); /* who asked is dead */
    }
    to->kind = 0;
}

struct rtci_light_reply_to rtci_light_asker(const struct rtci_light_msg *msg)
{
    struct rtci_light_reply_to to = {.token = msg->token, .kind = msg->kind};
    if (msg->kind == RTCI_LIGHT_CALL_OUTSIDE)
        to.outside = msg->outside;
    else
        to.from = msg->from;
    return to;
}

int rtci_light_receive(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                       struct rtci_light_msg *msg)
{
    if (msg->kind == RTCI_LIGHT_CALL || msg->kind == RTCI_LIGHT_CALL_OUTSIDE) {
        ctx->owed = rtci_light_asker(msg);
        if (msg->kind == RTCI_LIGHT_CALL_OUTSIDE) { /* to the actor a call like any other */
            msg->kind = RTCI_LIGHT_CALL;
            msg->from = (rtci_light_id){0, 0};
        }
    }
    int rc = a->class->receive(ctx, rtci_light_state(a), msg);
    if (RTCI_UNLIKELY(ctx->owed.kind))
        rtci_light_reply(ctx, rc < 0 ? rc : 0, NULL, 0);
    return rc;
}

/* True: the actor dies, and why is filled in. */
static bool handle(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                   struct rtci_light_msg *msg, struct rtci_light_down *why)
{
    int rc = 0;
    switch (msg->kind) {
    case RTCI_LIGHT_TELL:
    case RTCI_LIGHT_CALL:
    case RTCI_LIGHT_CALL_OUTSIDE:
    case RTCI_LIGHT_DOWN: rc = rtci_light_receive(ctx, a, msg); break;
    case RTCI_LIGHT_REPLY: rc = rtci_light_resume(ctx, a, msg); break;
    case RTCI_LIGHT_EXIT:
        if (rtci_light_exit_msg(ctx, a, msg, &rc)) {
            why->by = msg->down.who;
            why->reason = RTCI_LIGHT_LINKED;
            why->code = msg->down.code;
            return true;
        }
        break;
    case RTCI_LIGHT_STOP:
        why->reason = msg->code ? RTCI_LIGHT_NOBODY : RTCI_LIGHT_NORMAL;
        return true;
    case RTCI_LIGHT_NUDGE: break;
    default: rtci_light_watch_msg(ctx, a, msg); break;
    }
    rtci_light_block_drop(msg);
    if (RTCI_LIKELY(rc == 0))
        return false;
    why->reason = rc < 0 ? RTCI_LIGHT_FAILED : RTCI_LIGHT_NORMAL;
    why->code = rc < 0 ? rc : 0;
    return true;
}

/* Works messages off. True when the actor dies. */
static bool work(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                 struct rtci_light_down *why)
{
    uint32_t limit = RTCI_LIGHT_BATCH, n = 0, uncounted = 0;
    /* Of a small mailbox each message is counted off at once, of a large one many together. */
    uint32_t many = atomic_load_explicit(&a->mail_max, memory_order_relaxed) / 8;
    uint64_t begin = 0;
    if (ctx->light->stepped) /* turns of all lengths */
        limit = 1 + (uint32_t)(ctx->seed >> 40) % 8;
    bool dies = false;
    while (n < limit && !dies) {
        uint64_t killer = atomic_load_explicit(&a->killed_by, memory_order_acquire);
        if (RTCI_UNLIKELY(killer)) {
            why->reason = RTCI_LIGHT_KILLED;
            if (killer != RTCI_LIGHT_OUTSIDER)
                why->by = (rtci_light_id){(uint32_t)killer, (uint32_t)(killer >> 32)};
            dies = true;
            break;
        }
        struct rtci_light_msg *msg = rtci_light_pop(ctx, a);
        if (!msg)
            break;
        n++;
        if (++uncounted > many) {
            rtci_light_worked(ctx, a, uncounted);
            uncounted = 0;
        }
        dies = handle(ctx, a, msg, why);
        if (RTCI_UNLIKELY(ctx->full.gen))
            break;
        if (n % 16 == 0 && !ctx->light->stepped) {
            uint64_t now = rtci_light_now(ctx->light);
            if (!begin)
                begin = now;
            else if (now - begin > RTCI_LIGHT_TURN_NS)
                break;
        }
    }
    if (uncounted)
        rtci_light_worked(ctx, a, uncounted);
    atomic_store_explicit(&ctx->n_messages, ctx->n_messages + n, memory_order_relaxed);
    return dies;
}

void rtci_light_turn(struct rtci_light_ctx *ctx, struct rtci_light_actor *a)
{
    atomic_store_explicit(&ctx->turns, ctx->turns + 1, memory_order_relaxed);
    if (a->status == RTCI_LIGHT_DYING) {
        if (!rtci_light_bury(ctx, a, NULL))
            rtci_light_requeue(ctx, a);
        return;
    }
    struct rtci_light_down why = {.who = rtci_light_id_of(a)};
    ctx->self = a;
    bool dies = work(ctx, a, &why);
    if (dies) {
        ctx->full = (rtci_light_id){0, 0};
        rtci_light_die(ctx, a, &why);
        ctx->self = NULL;
        if (!rtci_light_bury(ctx, a, &why))
            rtci_light_requeue(ctx, a);
        return;
    }
    ctx->self = NULL;
    if (RTCI_UNLIKELY(ctx->full.gen) && rtci_light_mute(ctx, a))
        return;
    /* Idle, unless something has come; then it must not be touched any more: the next who pushes
     * gives it to a thread. */
    uintptr_t last = (uintptr_t)a->out;
    if (!atomic_load_explicit(&a->out->next, memory_order_relaxed) &&
        atomic_compare_exchange_strong_explicit(&a->in, &last, last | 1, memory_order_acq_rel,
                                                memory_order_relaxed))
        return;
    rtci_light_requeue(ctx, a);
}
