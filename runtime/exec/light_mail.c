/* Mailboxes of light actors: one list, many that push, one that pops (Vyukov's). The last message
 * that was read stays in it as the node to which the next is linked. */
#include <stdlib.h>
#include <string.h>

#include "runtime/exec/light_internal.h"
#include <rtc/error.h>

/* Counts a message that is about to be pushed. From here until it is worked off the actor's block
 * cannot be used again. */
static int64_t enter(struct rtci_light_actor *a, uint32_t gen, uint32_t limit)
{
    uint64_t word = atomic_load_explicit(&a->word, memory_order_acquire);
    do {
        if (RTCI_LIGHT_GEN(word) != gen)
            return RTC_E_NOT_FOUND;
        /* A bound read here belongs to this life when the exchange below finds the same one. */
        uint32_t most = limit ? limit : atomic_load_explicit(&a->mail_max, memory_order_relaxed);
        if (RTCI_UNLIKELY(RTCI_LIGHT_COUNT(word) >= most))
            return RTC_E_AGAIN;
    } while (!atomic_compare_exchange_weak(&a->word, &word, word + 1));
    return RTCI_LIGHT_COUNT(word);
}

static int64_t push(struct rtci_light_ctx *ctx, struct rtci_light_actor *a, uint32_t gen,
                    struct rtci_light_msg *msg, uint32_t limit)
{
    int64_t before = enter(a, gen, limit);
    if (RTCI_UNLIKELY(before < 0))
        return before;
    atomic_store_explicit(&msg->next, NULL, memory_order_relaxed);
    uintptr_t prev = atomic_exchange_explicit(&a->in, (uintptr_t)msg, memory_order_acq_rel);
    struct rtci_light_msg *last = (struct rtci_light_msg *)(prev & ~(uintptr_t)1);
    atomic_store_explicit(&last->next, msg, memory_order_release);
    if (prev & 1)
        rtci_light_schedule(ctx, a);
    return before;
}

int64_t rtci_light_deliver(struct rtci_light_ctx *ctx, rtci_light_id to, struct rtci_light_msg *msg,
                           uint32_t limit)
{
    struct rtci_light_actor *a = rtci_light_find(ctx->light, to);
    return a ? push(ctx, a, to.gen, msg, limit) : RTC_E_NOT_FOUND;
}

struct rtci_light_actor *rtci_light_pin(struct rtci_light *light, rtci_light_id id)
{
    struct rtci_light_actor *a = rtci_light_find(light, id);
    if (!a)
        return NULL;
    uint64_t word = atomic_load(&a->word);
    for (;;) {
        if (RTCI_LIGHT_GEN(word) != id.gen)
            return NULL;
        if ((word & RTCI_LIGHT_PINS_FULL) == RTCI_LIGHT_PINS_FULL)
            word = atomic_load(&a->word); /* 255 threads at once: one of them is soon done */
        else if (atomic_compare_exchange_weak(&a->word, &word, word + RTCI_LIGHT_ONE_PIN))
            return a;
    }
}

uint64_t rtci_light_unpin(struct rtci_light_actor *a)
{
    return atomic_fetch_sub(&a->word, RTCI_LIGHT_ONE_PIN) - RTCI_LIGHT_ONE_PIN;
}

struct rtci_light_msg *rtci_light_pop(struct rtci_light_ctx *ctx, struct rtci_light_actor *a)
{
    struct rtci_light_msg *last = a->out;
    struct rtci_light_msg *msg = atomic_load_explicit(&last->next, memory_order_acquire);
    if (!msg)
        return NULL; /* empty, or the link is just being made */
    a->out = msg;
    if (last != (struct rtci_light_msg *)(void *)&a->stub)
        rtci_light_msg_free(ctx, last);
    return msg;
}

void rtci_light_block_drop(struct rtci_light_msg *msg)
{
    if (msg->size != RTCI_LIGHT_BLOCK)
        return;
    msg->size = 0;
    if (msg->block_drop)
        msg->block_drop(msg->block);
}

void rtci_light_msg_drop(struct rtci_light_ctx *ctx, struct rtci_light_msg *msg)
{
    rtci_light_block_drop(msg);
    rtci_light_msg_free(ctx, msg);
}

void *rtci_light_take_block(struct rtci_light_msg *msg)
{
    if (msg->size != RTCI_LIGHT_BLOCK)
        return NULL;
    msg->size = 0;
    return msg->block;
}

struct rtci_light_msg *rtci_light_msg_of(struct rtci_light_ctx *ctx, uint8_t kind, const void *data,
                                         size_t size)
{
    struct rtci_light_msg *msg = rtci_light_msg_new(ctx);
    if (!msg)
        return NULL;
    msg->from = ctx->self ? rtci_light_id_of(ctx->self) : (rtci_light_id){0, 0};
    msg->token = 0;
    msg->tag = 0;
    msg->kind = kind;
    if (RTCI_LIKELY(size <= RTCI_LIGHT_INLINE)) {
        msg->size = (uint8_t)size;
        if (size)
            memcpy(msg->data, data, size);
        return msg;
    }
    msg->size = 0;
    void *block = malloc(size);
    if (!block) {
        rtci_light_msg_free(ctx, msg);
        return NULL;
    }
    memcpy(block, data, size);
    msg->size = RTCI_LIGHT_BLOCK;
    msg->block = block;
    msg->block_size = size;
    msg->block_drop = free;
    return msg;
}

/* Sends what an actor or a thread outside means; the engine's own go to rtci_light_deliver. */
static int send_on(struct rtci_light_ctx *ctx, rtci_light_id to, struct rtci_light_msg *msg,
                   bool hard)
{
    struct rtci_light_actor *a = rtci_light_find(ctx->light, to), *self = ctx->self;
    if (!a)
        return RTC_E_NOT_FOUND;
    int64_t before = push(ctx, a, to.gen, msg, self || hard ? RTCI_LIGHT_MAIL_HARD : 0);
    if (RTCI_UNLIKELY(before < 0))
        return (int)before;
    /* The block may be another's by now; then this is some bound, and muting looks again. */
    if (self && self != a && !ctx->full.gen &&
        RTCI_UNLIKELY(before >= atomic_load_explicit(&a->mail_max, memory_order_relaxed)))
        ctx->full = to;
    return 0;
}

int rtci_light_tell(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, const void *data,
                    size_t size)
{
    struct rtci_light_msg *msg = rtci_light_msg_of(ctx, RTCI_LIGHT_TELL, data, size);
    if (!msg)
        return RTC_E_NOMEM;
    msg->tag = tag;
    int rc = send_on(ctx, to, msg, false);
    if (RTCI_UNLIKELY(rc))
        rtci_light_msg_drop(ctx, msg);
    return rc;
}

static int tell_block(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, void *block,
                      size_t size, void (*drop)(void *block), bool hard)
{
    struct rtci_light_msg *msg = rtci_light_msg_of(ctx, RTCI_LIGHT_TELL, NULL, 0);
    if (!msg)
        return RTC_E_NOMEM;
    msg->tag = tag;
    rtci_light_attach(msg, block, size, drop);
    int rc = send_on(ctx, to, msg, hard);
    if (rc)
        rtci_light_msg_free(ctx, msg);
    return rc;
}

int rtci_light_tell_block(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, void *block,
                          size_t size, void (*drop)(void *block))
{
    return tell_block(ctx, to, tag, block, size, drop, false);
}

int rtci_light_push_block(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, void *block,
                          size_t size, void (*drop)(void *block))
{
    return tell_block(ctx, to, tag, block, size, drop, true);
}

int rtci_light_send(struct rtci_light_ctx *ctx, rtci_light_id to, struct rtci_light_msg *msg)
{
    return send_on(ctx, to, msg, false);
}
