/* Lives of light actors: made, counted, stopped, killed, buried. */
#include "runtime/exec/light_internal.h"
#include <rtc/error.h>

int rtci_light_create(struct rtci_light_ctx *ctx, const struct rtci_light_class *class,
                      const void *arg, rtci_light_id *ret)
{
    struct rtci_light_actor *a = rtci_light_block_new(ctx, class->state_size);
    if (!a)
        return RTC_E_NOMEM;
    int rc = class->init ? class->init(rtci_light_state(a), arg) : 0;
    if (rc) {
        rtci_light_block_free(ctx, a);
        return rc;
    }
    struct rtci_light_msg *stub = (struct rtci_light_msg *)(void *)&a->stub;
    atomic_store_explicit(&a->stub, NULL, memory_order_relaxed);
    atomic_store_explicit(&a->in, (uintptr_t)stub | 1, memory_order_relaxed);
    atomic_store_explicit(&a->killed_by, 0, memory_order_relaxed);
    atomic_store_explicit(&a->refs, 1, memory_order_relaxed);
    atomic_store_explicit(&a->mail_max, class->mail_max ? class->mail_max : RTCI_LIGHT_MAIL,
                          memory_order_relaxed);
    a->out = stub;
    a->class = class;
    a->status = RTCI_LIGHT_ALIVE;
    atomic_fetch_add_explicit(&ctx->created, 1, memory_order_relaxed);
    /* From here on it can be found. */
    uint64_t word = atomic_load_explicit(&a->word, memory_order_relaxed) + RTCI_LIGHT_ONE_GEN;
    *ret = (rtci_light_id){a->index, RTCI_LIGHT_GEN(word)};
    atomic_store_explicit(&a->word, word, memory_order_release);
    return 0;
}

bool rtci_light_alive(struct rtci_light_ctx *ctx, rtci_light_id id)
{
    struct rtci_light_actor *a = rtci_light_find(ctx->light, id);
    return a && RTCI_LIGHT_GEN(atomic_load(&a->word)) == id.gen;
}

static int command(struct rtci_light_ctx *ctx, rtci_light_id id, uint8_t kind, int code)
{
    struct rtci_light_msg *msg = rtci_light_msg_of(ctx, kind, NULL, 0);
    if (!msg)
        return RTC_E_NOMEM;
    msg->code = (int16_t)code;
    int64_t rc = rtci_light_deliver(ctx, id, msg, RTCI_LIGHT_ANY);
    if (rc < 0)
        rtci_light_msg_free(ctx, msg);
    return rc < 0 ? (int)rc : 0;
}

int rtci_light_retain(struct rtci_light_ctx *ctx, rtci_light_id id)
{
    struct rtci_light_actor *a = rtci_light_pin(ctx->light, id);
    if (!a)
        return RTC_E_NOT_FOUND;
    uint32_t refs = atomic_load(&a->refs);
    while (refs && !atomic_compare_exchange_weak(&a->refs, &refs, refs + 1))
        ;
    rtci_light_unpin(a);
    return refs ? 0 : RTC_E_RELEASED;
}

int rtci_light_release(struct rtci_light_ctx *ctx, rtci_light_id id)
{
    struct rtci_light_actor *a = rtci_light_pin(ctx->light, id);
    if (!a)
        return RTC_E_NOT_FOUND;
    uint32_t refs = atomic_load(&a->refs);
    while (refs && !atomic_compare_exchange_weak(&a->refs, &refs, refs - 1))
        ;
    rtci_light_unpin(a);
    if (!refs)
        return RTC_E_RELEASED;
    return refs == 1 ? command(ctx, id, RTCI_LIGHT_STOP, 1) : 0;
}

int rtci_light_stop(struct rtci_light_ctx *ctx, rtci_light_id id)
{
    return command(ctx, id, RTCI_LIGHT_STOP, 0);
}

int rtci_light_kill(struct rtci_light_ctx *ctx, rtci_light_id id)
{
    struct rtci_light_actor *a = rtci_light_pin(ctx->light, id);
    if (!a)
        return RTC_E_NOT_FOUND;
    uint64_t nobody = 0;
    uint64_t by = ctx->self ? rtci_light_pack(rtci_light_self(ctx)) : RTCI_LIGHT_OUTSIDER;
    int rc = 0;
    if (atomic_compare_exchange_strong(&a->killed_by, &nobody, by)) {
        rc = command(ctx, id, RTCI_LIGHT_NUDGE, 0); /* so that it runs */
        if (rc == RTC_E_NOT_FOUND || rc == RTC_E_AGAIN)
            rc = 0; /* died meanwhile, or has so many messages that it runs anyway */
        rtci_light_unmute_one(ctx, a);
    }
    rtci_light_unpin(a);
    return rc;
}

int rtci_light_bound(struct rtci_light_ctx *ctx, rtci_light_id id, uint32_t mail_max)
{
    struct rtci_light_actor *a = rtci_light_pin(ctx->light, id);
    if (!a)
        return RTC_E_NOT_FOUND;
    mail_max = mail_max < RTCI_LIGHT_MAIL_HARD ? mail_max : RTCI_LIGHT_MAIL_HARD;
    atomic_store(&a->mail_max, mail_max);
    rtci_light_unpin(a);
    return 0;
}

bool rtci_light_full(struct rtci_light_ctx *ctx, rtci_light_id id)
{
    struct rtci_light_actor *a = rtci_light_find(ctx->light, id);
    uint64_t word = a ? atomic_load(&a->word) : 0;
    return a && RTCI_LIGHT_GEN(word) == id.gen &&
           RTCI_LIGHT_COUNT(word) >= atomic_load_explicit(&a->mail_max, memory_order_relaxed);
}

void rtci_light_die(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                    const struct rtci_light_down *why)
{
    a->status = RTCI_LIGHT_DYING;
    atomic_fetch_add(&a->word, RTCI_LIGHT_ONE_GEN); /* nothing enters the mailbox from here on */
    rtci_light_calls_fini(ctx, a);
    if (a->class->died)
        a->class->died(ctx, rtci_light_state(a), why);
    else if (a->class->drop)
        a->class->drop(rtci_light_state(a));
    rtci_light_tell_death(ctx, a, why);
    rtci_light_unmute(ctx, a);
}

bool rtci_light_bury(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                     const struct rtci_light_down *why)
{
    struct rtci_light_down late = {.reason = RTCI_LIGHT_UNKNOWN};
    late.who = (rtci_light_id){a->index, RTCI_LIGHT_GEN(atomic_load(&a->word)) - 1};
    uint32_t done = 0;
    for (struct rtci_light_msg *msg; (msg = rtci_light_pop(ctx, a)) != NULL; done++) {
        if (msg->kind == RTCI_LIGHT_CALL || msg->kind == RTCI_LIGHT_CALL_OUTSIDE) {
            struct rtci_light_reply_to to = rtci_light_asker(msg);
            rtci_light_reply_later(ctx, &to, RTC_E_NOT_FOUND, NULL, 0);
        } else {
            rtci_light_watch_late(ctx, msg, why ? why : &late);
        }
        rtci_light_block_drop(msg);
    }
    /* Acquire: whoever held it is done with it. */
    if (RTCI_LIGHT_HELD(atomic_fetch_sub(&a->word, done) - done))
        return false;
    if (a->out != (struct rtci_light_msg *)(void *)&a->stub)
        rtci_light_msg_free(ctx, a->out);
    a->status = RTCI_LIGHT_FREE;
    atomic_fetch_add_explicit(&ctx->died, 1, memory_order_relaxed);
    rtci_light_block_free(ctx, a);
    return true;
}
