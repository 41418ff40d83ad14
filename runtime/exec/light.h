/* Light actors: many in one process, on a small pool of threads. This is the engine alone: mailboxes,
 * scheduling, back-pressure, lives, watching, timers. It knows no client, no values and no names.
 *
 * An actor is named by an id {index, generation}; the id of a dead one is refused, never confused.
 * All calls take a context: inside a callback the one it was given, from any other thread
 * rtci_light_outside(). What is sent by one actor (or one thread) to another arrives in that order. */
#ifndef RTCI_EXEC_LIGHT_H
#define RTCI_EXEC_LIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

#define RTCI_LIGHT_INLINE  40  /* bytes of a message without a block of their own */
#define RTCI_LIGHT_BLOCK   255 /* `size` of a message whose payload is attached */
#define RTCI_LIGHT_FOREVER UINT64_MAX

struct rtci_light;     /* the engine */
struct rtci_light_ctx; /* who calls: a thread of the pool in the turn of an actor, or outside */

typedef struct rtci_light_id {
    uint32_t index, gen; /* index below 16 M; gen is odd and below 1 << 29; 0: nobody */
} rtci_light_id;

enum rtci_light_kind {
    RTCI_LIGHT_TELL,
    RTCI_LIGHT_CALL,  /* somebody waits for the answer */
    RTCI_LIGHT_REPLY, /* only seen by `then` functions and outside functions */
    RTCI_LIGHT_DOWN,  /* `down`: one that this actor watches has died */
    RTCI_LIGHT_EXIT,  /* `down`: one that it is linked with has; only seen with trap_exits */
    /* The engine's own. */
    RTCI_LIGHT_CALL_OUTSIDE, RTCI_LIGHT_WATCH, RTCI_LIGHT_WATCH_OUTSIDE, RTCI_LIGHT_UNWATCH,
    RTCI_LIGHT_LINK, RTCI_LIGHT_UNLINK, RTCI_LIGHT_STOP, RTCI_LIGHT_NUDGE,
};

enum rtci_light_reason {
    RTCI_LIGHT_NORMAL = 1, /* it left, or was stopped */
    RTCI_LIGHT_NOBODY,     /* its last handle was released */
    RTCI_LIGHT_FAILED,     /* its function returned an error: `code` */
    RTCI_LIGHT_KILLED,     /* `by` whom; nobody = from outside */
    RTCI_LIGHT_LINKED,     /* `by` one that it was linked with, which died of something else */
    RTCI_LIGHT_SHUTDOWN,
    RTCI_LIGHT_UNKNOWN,    /* it was dead already when the watching began */
};

struct rtci_light_down {
    rtci_light_id who, by;
    int32_t reason, code;
};

struct rtci_light_outside; /* a function outside that waits */

/* 64 bytes. A callback may read it until it returns. */
struct rtci_light_msg {
    struct rtci_light_msg *_Atomic next;
    union {
        rtci_light_id from; /* nobody: outside */
        struct rtci_light_outside *outside;
    };
    uint32_t token; /* DOWN: what the watcher gave */
    union {
        uint16_t tag; /* the sender's: which method */
        int16_t code; /* REPLY: 0 or RTC_E_* */
    };
    uint8_t kind;
    uint8_t size; /* of data, or RTCI_LIGHT_BLOCK */
    union {
        uint8_t data[RTCI_LIGHT_INLINE];
        int64_t i64[5];
        double f64[5];
        struct {
            void *block;
            size_t block_size;
            void (*block_drop)(void *block);
        };
        struct rtci_light_down down;
    };
};
_Static_assert(sizeof(struct rtci_light_msg) == 64, "a message is a cache line");

#define RTCI_LIGHT_LEAVE 1 /* returned by `receive`: die now, of NORMAL */

struct rtci_light_class {
    const char *name;
    size_t state_size; /* zeroed before init */
    /* Runs in the creator's thread; an error is the creator's. */
    int (*init)(void *state, const void *arg);
    /* One message. 0, RTCI_LIGHT_LEAVE, or an error of which the actor dies. A CALL that was not
     * answered and not taken when it returns is answered with nothing, or with the error. */
    int (*receive)(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg);
    void (*drop)(void *state);
    /* Instead of drop, when it wants to know why. */
    void (*died)(struct rtci_light_ctx *ctx, void *state, const struct rtci_light_down *why);
    /* Messages that wait before senders are muted (and threads outside get RTC_E_AGAIN). */
    uint32_t mail_max; /* 0 = RTCI_LIGHT_MAIL */
    bool trap_exits;   /* deaths of linked ones are messages */
};

#define RTCI_LIGHT_MAIL      1024
#define RTCI_LIGHT_MAIL_HARD (4u << 20) /* where even an actor gets RTC_E_AGAIN */

struct rtci_light_config {
    uint32_t threads; /* 0: none; rtci_light_step() runs the actors */
    uint32_t lives;   /* that each block has behind it: ids of an engine before this one mean nobody */
    uint64_t seed;    /* with 0 threads: which actor is next is drawn from it, time is stepped */
};

struct rtci_light_stats {
    uint64_t created, died;
    uint64_t turns, messages; /* of the pool's threads */
    uint64_t steals, parks, wakes, mutes;
    uint64_t messages_out; /* taken from the pool and not returned */
    uint64_t blocks_out;   /* control blocks in use */
    uint64_t bytes;        /* of memory held */
};

int rtci_light_start(const struct rtci_light_config *config, struct rtci_light **ret) RTCI_MUST_USE;
/* Ends the threads after the turns they are at, then kills all actors. Nobody else may call then. */
void rtci_light_end(struct rtci_light *light);
struct rtci_light_ctx *rtci_light_outside(struct rtci_light *light);
void rtci_light_stats(struct rtci_light *light, struct rtci_light_stats *ret);

/* Runs one turn. False when nothing can run; then time may be stepped. Without threads only. */
bool rtci_light_step(struct rtci_light *light);
/* To the next timer. False when there is none. Without threads only. */
bool rtci_light_step_time(struct rtci_light *light);

/* ---- lives ---- */
/* The creator holds one handle. */
int rtci_light_create(struct rtci_light_ctx *ctx, const struct rtci_light_class *class,
                      const void *arg, rtci_light_id *ret) RTCI_MUST_USE;
rtci_light_id rtci_light_self(const struct rtci_light_ctx *ctx);
bool rtci_light_alive(struct rtci_light_ctx *ctx, rtci_light_id id);
/* Handles are counted; with the last one the actor ends after what is in its mailbox. */
int rtci_light_retain(struct rtci_light_ctx *ctx, rtci_light_id id);
int rtci_light_release(struct rtci_light_ctx *ctx, rtci_light_id id);
/* After what is in the mailbox; or now: what is in it is dropped, calls are told. */
int rtci_light_stop(struct rtci_light_ctx *ctx, rtci_light_id id);
int rtci_light_kill(struct rtci_light_ctx *ctx, rtci_light_id id);
/* Another bound than its class has. */
int rtci_light_bound(struct rtci_light_ctx *ctx, rtci_light_id id, uint32_t mail_max);
/* As many messages wait as its bound says. */
bool rtci_light_full(struct rtci_light_ctx *ctx, rtci_light_id id);

/* ---- messages: 0, RTC_E_NOT_FOUND (dead), RTC_E_AGAIN, RTC_E_NOMEM ---- */
/* An actor that sends to a full mailbox is not run after this message until there is room. */
int rtci_light_tell(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, const void *data,
                    size_t size);
/* The block is the engine's when this returns 0. */
int rtci_light_tell_block(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, void *block,
                          size_t size, void (*drop)(void *block));
/* The same beyond the bound, for whoever counts by himself what he has sent. */
int rtci_light_push_block(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, void *block,
                          size_t size, void (*drop)(void *block));
/* From outside: waits for room until the timeout (RTC_E_TIMEOUT). */
int rtci_light_tell_wait(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag,
                         const void *data, size_t size, uint64_t timeout_ns);
/* What came with a message, inline or attached. */
static inline const void *rtci_light_data(const struct rtci_light_msg *msg, size_t *ret_size)
{
    bool block = msg->size == RTCI_LIGHT_BLOCK;
    *ret_size = block ? msg->block_size : msg->size;
    return block ? msg->block : msg->data;
}
/* The attached block becomes the caller's; NULL when there is none. */
void *rtci_light_take_block(struct rtci_light_msg *msg);

/* ---- calls ---- */
/* Continues in the caller's turn when the answer is there: reply->code, data. An error of which the
 * actor dies, as with receive. */
typedef int (*rtci_light_then)(struct rtci_light_ctx *ctx, void *state,
                               struct rtci_light_msg *reply, void *arg);
/* Exactly one answer comes: the actor's, RTC_E_NOT_FOUND when it is dead or dies, RTC_E_TIMEOUT.
 * Not when this returns an error. */
int rtci_light_call(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, const void *data,
                    size_t size, uint64_t timeout_ns, rtci_light_then then, void *arg);
/* The block is the engine's when this returns 0. */
int rtci_light_call_block(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag, void *block,
                          size_t size, void (*drop)(void *block), uint64_t timeout_ns,
                          rtci_light_then then, void *arg);
/* For those that are no actors: `fn` runs in a thread of the pool, once, and must be short. */
typedef void (*rtci_light_outside_fn)(void *arg, const struct rtci_light_msg *msg);
int rtci_light_call_outside(struct rtci_light_ctx *ctx, rtci_light_id to, uint16_t tag,
                            const void *data, size_t size, rtci_light_outside_fn fn, void *arg);
/* Whom an answer is for. A callback takes it from its message to answer later, from anywhere;
 * who has taken one has to answer it. */
struct rtci_light_reply_to {
    union {
        rtci_light_id from;
        struct rtci_light_outside *outside;
    };
    uint32_t token;
    uint8_t kind; /* 0: there is nothing to answer */
};
struct rtci_light_reply_to rtci_light_take_reply(struct rtci_light_ctx *ctx);
/* Answers the message at hand. */
void rtci_light_reply(struct rtci_light_ctx *ctx, int code, const void *data, size_t size);
void rtci_light_reply_later(struct rtci_light_ctx *ctx, struct rtci_light_reply_to *to, int code,
                            const void *data, size_t size);
/* The block is the engine's. */
void rtci_light_reply_block(struct rtci_light_ctx *ctx, struct rtci_light_reply_to *to, int code,
                            void *block, size_t size, void (*drop)(void *block));

/* ---- watching ---- */
/* Exactly one DOWN with this token, also when it is dead already. */
int rtci_light_watch(struct rtci_light_ctx *ctx, rtci_light_id id, uint32_t token);
int rtci_light_watch_outside(struct rtci_light_ctx *ctx, rtci_light_id id, rtci_light_outside_fn fn,
                             void *arg);
/* A DOWN that is under way still comes. */
int rtci_light_unwatch(struct rtci_light_ctx *ctx, rtci_light_id id, uint32_t token);
/* Who dies of something other than NORMAL or NOBODY takes the linked ones along. */
int rtci_light_link(struct rtci_light_ctx *ctx, rtci_light_id id);
int rtci_light_unlink(struct rtci_light_ctx *ctx, rtci_light_id id);

/* ---- timers ---- */
/* Sends then. `ret_timer` may be NULL. */
int rtci_light_after(struct rtci_light_ctx *ctx, uint64_t delay_ns, rtci_light_id to, uint16_t tag,
                     const void *data, size_t size, uint64_t *ret_timer);
/* The block is the engine's when this returns 0. */
int rtci_light_after_block(struct rtci_light_ctx *ctx, uint64_t delay_ns, rtci_light_id to,
                           uint16_t tag, void *block, size_t size, void (*drop)(void *block));
/* False when it was too late. */
bool rtci_light_cancel(struct rtci_light_ctx *ctx, uint64_t timer);

#endif
