/* An actor for the tests of light actors. */
#ifndef TESTS_UNIT_LIGHT_HELP_H
#define TESTS_UNIT_LIGHT_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/exec/light.h"
#include <rtc/error.h>

/* An actor that writes down what it gets, and does what it is told. */
enum {
    NOTE,
    ECHO,
    LATER,
    ANSWER,
    FAIL,
    LEAVE,
    WATCH,
    UNWATCH,
    LINK,
    UNLINK,
    ASK,
    ASK_SHORT,
    FLOOD,
    FORWARD,
    TAKE,
    KILL,
};
struct log {
    int n, downs, exits, replies, code, dropped;
    int64_t got[64];
    struct rtci_light_down down;
    uint32_t token;
};
struct book {
    struct log *log;
    rtci_light_id peer;
    struct rtci_light_reply_to asker;
};

static inline int got_reply(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *reply,
                            void *arg)
{
    struct book *book = state;
    (void)ctx;
    assert_ptr_equal(arg, book->log);
    book->log->replies++;
    book->log->code = reply->code;
    if (reply->code == 0 && reply->size == 8)
        book->log->got[book->log->n++ % 64] = reply->i64[0];
    return 0;
}

static inline int on_other(struct book *book, const struct rtci_light_msg *msg)
{
    if (msg->kind == RTCI_LIGHT_DOWN)
        book->log->downs++;
    else
        book->log->exits++;
    book->log->down = msg->down;
    book->log->token = msg->token;
    return 0;
}

static inline int book_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    struct book *book = state;
    struct log *log = book->log;
    rtci_light_id id = {0, 0};
    if (msg->kind != RTCI_LIGHT_TELL && msg->kind != RTCI_LIGHT_CALL)
        return on_other(book, msg);
    if (msg->size == sizeof(id))
        memcpy(&id, msg->data, sizeof(id));
    switch (msg->tag) {
    case NOTE: log->got[log->n++ % 64] = msg->i64[0]; return 0;
    case ECHO: rtci_light_reply(ctx, 0, msg->data, msg->size); return 0;
    case LATER: book->asker = rtci_light_take_reply(ctx); return 0;
    case ANSWER: rtci_light_reply_later(ctx, &book->asker, 0, &(int64_t){77}, 8); return 0;
    case FAIL: return RTC_E_RANGE;
    case LEAVE: return RTCI_LIGHT_LEAVE;
    case WATCH: return rtci_light_watch(ctx, id, 9);
    case UNWATCH: return rtci_light_unwatch(ctx, id, 9);
    case LINK: return rtci_light_link(ctx, id);
    case UNLINK: return rtci_light_unlink(ctx, id);
    case ASK:
        log->code =
            rtci_light_call(ctx, id, ECHO, &(int64_t){42}, 8, RTCI_LIGHT_FOREVER, got_reply, log);
        return 0;
    case ASK_SHORT:
        log->code = rtci_light_call(ctx, id, LATER, NULL, 0, 1000000, got_reply, log);
        return 0;
    case FLOOD:
        for (int64_t i = 0; i < 20; i++)
            RTCI_IGNORE(rtci_light_tell(ctx, id, NOTE, &i, 8)); /* or it is dead */
        return 0;
    case FORWARD: return rtci_light_tell(ctx, book->peer, NOTE, msg->data, msg->size);
    case TAKE: free(rtci_light_take_block(msg)); return 0;
    case KILL: return rtci_light_kill(ctx, id);
    default: return RTC_E_INVALID;
    }
}

static inline int book_init(void *state, const void *arg)
{
    struct book *book = state;
    memcpy(&book->log, arg, sizeof(book->log));
    return book->log ? 0 : RTC_E_INVALID;
}

static inline void book_drop(void *state)
{
    struct book *book = state;
    if (book->asker.kind == 0)
        book->log->dropped++;
}

static const struct rtci_light_class book_class = {.name = "book",
                                                   .state_size = sizeof(struct book),
                                                   .init = book_init,
                                                   .receive = book_receive,
                                                   .drop = book_drop,
                                                   .mail_max = 16};
static const struct rtci_light_class trap_class = {.name = "trap",
                                                   .state_size = sizeof(struct book),
                                                   .init = book_init,
                                                   .receive = book_receive,
                                                   .trap_exits = true};

static inline rtci_light_id new_book(struct rtci_light *light, struct log *log)
{
    rtci_light_id id;
    memset(log, 0, sizeof(*log));
    assert_int_equal(rtci_light_create(rtci_light_outside(light), &book_class, &log, &id), 0);
    return id;
}

static inline int tell_id(struct rtci_light *light, rtci_light_id to, uint16_t tag,
                          rtci_light_id id)
{
    return rtci_light_tell(rtci_light_outside(light), to, tag, &id, sizeof(id));
}

static inline int tell_i64(struct rtci_light *light, rtci_light_id to, int64_t i)
{
    return rtci_light_tell(rtci_light_outside(light), to, NOTE, &i, sizeof(i));
}

static inline void run(struct rtci_light *light)
{
    while (rtci_light_step(light))
        ;
}

static inline struct rtci_light *by_hand(uint64_t seed)
{
    struct rtci_light *light;
    assert_int_equal(rtci_light_start(&(struct rtci_light_config){.seed = seed}, &light), 0);
    return light;
}

#endif
