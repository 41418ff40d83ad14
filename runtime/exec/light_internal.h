/* What the sources of the light engine share. */
#ifndef RTCI_EXEC_LIGHT_INTERNAL_H
#define RTCI_EXEC_LIGHT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/base/bounds.h"
#include "runtime/exec/light.h"

#define RTCI_LIGHT_BATCH      64    /* messages of one turn */
#define RTCI_LIGHT_TURN_NS    100000 /* of a turn, looked at every 16 messages */
#define RTCI_LIGHT_LIFO       32    /* turns in a row from the slot */
#define RTCI_LIGHT_RING       1024  /* actors in a thread's run queue */
#define RTCI_LIGHT_THREADS    64
#define RTCI_LIGHT_ACTORS     (16u << 20)
#define RTCI_LIGHT_TIMERS     (4u << 20)
#define RTCI_LIGHT_PAGE       4096u /* actors of one page of the table */
#define RTCI_LIGHT_TICK_NS    1000000
#define RTCI_LIGHT_CALLS_BITS 14 /* of a token: index of the continuation */
#define RTCI_LIGHT_CLASSES    10
#define RTCI_LIGHT_GEN_MAX    (1u << 29) /* lives of one block */

/* Of actor.word: who it is (odd = alive), who holds the block, and what is in the mailbox or on its
 * way into it. One word, so that a message enters only the life that its sender meant. */
#define RTCI_LIGHT_GEN(word)   ((uint32_t)((word) >> 32))
#define RTCI_LIGHT_COUNT(word) ((uint32_t)(word) & 0xffffffu)
#define RTCI_LIGHT_HELD(word)  ((uint32_t)(word))
#define RTCI_LIGHT_ONE_GEN     (1ULL << 32)
#define RTCI_LIGHT_ONE_PIN     (1ULL << 24)
#define RTCI_LIGHT_PINS_FULL   (255ULL << 24)
#define RTCI_LIGHT_COUNT_MAX   0xfffff0u
#define RTCI_LIGHT_OUTSIDER    UINT64_MAX /* in killed_by */

enum { RTCI_LIGHT_FREE, RTCI_LIGHT_ALIVE, RTCI_LIGHT_DYING };

struct rtci_light_calls;

/* Blocks are made once and used again: index, table entry and word last until the engine ends, so a
 * stale id may look at the word at any time. */
struct rtci_light_actor {
    /* What senders write; its own thread looks here once a turn. */
    _Atomic uint64_t word;
    _Atomic uintptr_t in;                     /* last message pushed; bit 0: idle, who pushes wakes */
    _Atomic uint32_t refs, mail_max;
    struct rtci_light_actor *run_next;        /* in the list of what was put in from outside */
    struct rtci_light_actor *_Atomic waiters; /* senders muted by this one; mute_lock */
    struct rtci_light_actor *wait_next, *wait_prev, *muted_by;
    /* What its own thread uses for each message. */
    struct rtci_light_msg *out;             /* the message at hand, or the one before the next */
    const struct rtci_light_class *class;
    struct rtci_light_msg *_Atomic stub;    /* a message's link: stands before the first message */
    _Atomic uint64_t killed_by;             /* 0: nobody */
    struct rtci_light_msg *watches;         /* whom to tell of its death */
    struct rtci_light_calls *calls;         /* what it waits for */
    void *large;                            /* the state, when it does not fit behind this */
    uint32_t index;
    uint8_t size_class, status;
};
_Static_assert(offsetof(struct rtci_light_actor, out) == 64, "senders and owner share no line");
_Static_assert(sizeof(struct rtci_light_actor) == 128, "two cache lines, then the state");

/* Pools: each context has two stacks of blocks; full ones go to a depot that all share, from where
 * who has none takes one. So blocks freed by another thread come back many at a time. */
struct rtci_light_link {
    struct rtci_light_link *next, *next_stack;
};
struct rtci_light_stack {
    struct rtci_light_link *first;
    uint32_t n;
};
struct rtci_light_depot {
    pthread_mutex_t lock;
    struct rtci_light_link *stacks; /* full ones */
    uint32_t per_stack, size, offset; /* offset: of the link in the block */
    void *chunks;                   /* linked by their first word */
    char *at, *end;                 /* of the newest chunk */
};
struct rtci_light_cache {
    struct rtci_light_stack now, spare;
    _Atomic int64_t out; /* taken and not returned, by this context */
};

struct rtci_light_ring {
    _Alignas(64) _Atomic uint64_t head; /* taken by anyone */
    _Alignas(64) _Atomic uint64_t tail; /* written by its thread */
    struct rtci_light_actor *_Atomic at[RTCI_LIGHT_RING];
};

struct rtci_light_ctx {
    struct rtci_light *light;
    struct rtci_light_actor *self; /* NULL: outside, or between turns */
    struct rtci_light_reply_to owed; /* an answer to the message at hand */
    rtci_light_id full;            /* whose mailbox this turn found full */
    uint32_t index, ticks, lifo, spin;
    bool outside; /* shared by all other threads: its pools have a lock */
    pthread_mutex_t lock;
    struct rtci_light_cache messages, blocks[RTCI_LIGHT_CLASSES];
    uint64_t seed;
    _Atomic uint64_t created, died, turns, n_messages, steals, parks;
    uint64_t seen[RTCI_LIGHT_THREADS]; /* turns of the others when their slot was last found taken */
    pthread_t thread;
    bool parked, searching; /* parked: idle_lock */
    _Atomic uint32_t wake;  /* futex */
    struct rtci_light_actor *_Atomic slot; /* woken last: runs next, its messages are in the cache */
    struct rtci_light_ring ring;
};

struct rtci_light_timer {
    uint64_t due, seq;
    struct rtci_light_msg *msg;
    rtci_light_id to;
    uint32_t pos, gen; /* in the heap; pos of a free one: the next free */
};
struct rtci_light_timers {
    pthread_mutex_t lock;
    struct rtci_light_timer *all;
    uint32_t *heap;
    uint32_t n, cap, used, free;
    uint64_t seq;
    _Atomic uint64_t next; /* due; UINT64_MAX: none */
};

struct rtci_light {
    struct rtci_light_ctx *workers; /* at least one, also without threads */
    uint32_t n_workers, n_threads, lives;
    bool stepped;
    _Atomic bool stopping;
    struct rtci_light_ctx outside;
    struct rtci_light_depot messages, blocks[RTCI_LIGHT_CLASSES];
    _Atomic uint64_t bytes;
    _Atomic uint32_t n_slots;
    pthread_mutex_t table_lock;
    struct rtci_light_actor *_Atomic *_Atomic pages[RTCI_LIGHT_ACTORS / RTCI_LIGHT_PAGE];

    pthread_mutex_t inject_lock;
    struct rtci_light_actor *inject_first, *inject_last;
    _Atomic uint32_t n_injected;

    _Alignas(64) _Atomic uint32_t n_idle;
    _Atomic uint32_t n_searching;
    _Atomic uint32_t sentinel; /* 1 + index of the parked thread that watches the clock */
    _Atomic bool deaf;         /* which does not look at the slots, since nobody ran */
    pthread_mutex_t idle_lock;
    uint32_t idle[RTCI_LIGHT_THREADS];
    _Atomic uint64_t wakes;

    pthread_mutex_t mute_lock;
    _Atomic uint64_t mutes;
    pthread_mutex_t room_lock; /* threads outside that wait for room in a mailbox */
    pthread_cond_t room;
    _Atomic uint32_t n_room;

    struct rtci_light_timers timers;

    /* Without threads: what can run, and the time. */
    struct rtci_light_actor **ready;
    size_t n_ready, cap_ready;
    _Atomic uint64_t stepped_now;
};

struct rtci_light_outside {
    rtci_light_outside_fn fn;
    void *arg;
};

static inline uint64_t rtci_light_pack(rtci_light_id id)
{
    return (uint64_t)id.gen << 32 | id.index;
}
static inline rtci_light_id rtci_light_id_of(const struct rtci_light_actor *a)
{
    uint64_t word = atomic_load_explicit(&a->word, memory_order_relaxed);
    return (rtci_light_id){a->index, RTCI_LIGHT_GEN(word)};
}
static inline void *rtci_light_state(struct rtci_light_actor *a)
{
    return a->large ? a->large : (void *)(a + 1);
}
static inline uint32_t rtci_light_low(uint32_t mail_max)
{
    return mail_max / 2;
}

/* ---- light_pool.c ---- */
void rtci_light_depots_init(struct rtci_light *light);
void rtci_light_depot_fini(struct rtci_light_depot *depot);
struct rtci_light_msg *rtci_light_msg_fetch(struct rtci_light_ctx *ctx);
void rtci_light_msg_give(struct rtci_light_ctx *ctx, struct rtci_light_msg *msg);
/* A control block with room for a state of that size behind it; its word and index are kept. */
struct rtci_light_actor *rtci_light_block_new(struct rtci_light_ctx *ctx, size_t state_size);
void rtci_light_block_free(struct rtci_light_ctx *ctx, struct rtci_light_actor *a);
struct rtci_light_actor *rtci_light_find(struct rtci_light *light, rtci_light_id id);

#define RTCI_LIGHT_MSG_STACK 128
/* Only its owner writes it; statistics read it. */
static inline void rtci_light_count(struct rtci_light_cache *cache, int64_t n)
{
    int64_t out = atomic_load_explicit(&cache->out, memory_order_relaxed);
    atomic_store_explicit(&cache->out, out + n, memory_order_relaxed);
}
static inline struct rtci_light_msg *rtci_light_msg_new(struct rtci_light_ctx *ctx)
{
    if (RTCI_UNLIKELY(ctx->outside || !ctx->messages.now.n))
        return rtci_light_msg_fetch(ctx);
    struct rtci_light_link *link = ctx->messages.now.first;
    ctx->messages.now.first = link->next;
    ctx->messages.now.n--;
    rtci_light_count(&ctx->messages, 1);
    return (struct rtci_light_msg *)link;
}
static inline void rtci_light_msg_free(struct rtci_light_ctx *ctx, struct rtci_light_msg *msg)
{
    if (RTCI_UNLIKELY(ctx->outside || ctx->messages.now.n == RTCI_LIGHT_MSG_STACK)) {
        rtci_light_msg_give(ctx, msg);
        return;
    }
    struct rtci_light_link *link = (struct rtci_light_link *)msg;
    link->next = ctx->messages.now.first;
    ctx->messages.now.first = link;
    ctx->messages.now.n++;
    rtci_light_count(&ctx->messages, -1);
}

/* ---- light_mail.c ---- */
/* A message enters when fewer than `limit` wait. The count before, or an error; the message stays
 * the caller's then. */
int64_t rtci_light_deliver(struct rtci_light_ctx *ctx, rtci_light_id to, struct rtci_light_msg *msg,
                           uint32_t limit);
#define RTCI_LIGHT_ANY RTCI_LIGHT_COUNT_MAX /* limit for answers, deaths, commands */
/* Keeps the block of a living actor from being used again. NULL: it is dead. */
struct rtci_light_actor *rtci_light_pin(struct rtci_light *light, rtci_light_id id);
uint64_t rtci_light_unpin(struct rtci_light_actor *a);
struct rtci_light_msg *rtci_light_pop(struct rtci_light_ctx *ctx, struct rtci_light_actor *a);
/* Fills a message; NULL: out of memory. */
struct rtci_light_msg *rtci_light_msg_of(struct rtci_light_ctx *ctx, uint8_t kind, const void *data,
                                         size_t size);
/* With its block. */
void rtci_light_msg_drop(struct rtci_light_ctx *ctx, struct rtci_light_msg *msg);
void rtci_light_block_drop(struct rtci_light_msg *msg);

static inline void rtci_light_attach(struct rtci_light_msg *msg, void *block, size_t size,
                                     void (*drop)(void *block))
{
    msg->size = RTCI_LIGHT_BLOCK;
    msg->block = block;
    msg->block_size = size;
    msg->block_drop = drop;
}
/* Sends a message that was filled in; it stays the caller's when that fails. */
int rtci_light_send(struct rtci_light_ctx *ctx, rtci_light_id to, struct rtci_light_msg *msg);

/* ---- light_mute.c ---- */
/* True: the actor at hand must not be touched any more; it runs again when there is room. */
bool rtci_light_mute(struct rtci_light_ctx *ctx, struct rtci_light_actor *a);
/* Lets run those that `a` muted. */
void rtci_light_unmute(struct rtci_light_ctx *ctx, struct rtci_light_actor *a);
/* Lets run `a` itself, which is killed. */
void rtci_light_unmute_one(struct rtci_light_ctx *ctx, struct rtci_light_actor *a);
/* `done` messages were worked off. */
void rtci_light_worked(struct rtci_light_ctx *ctx, struct rtci_light_actor *a, uint32_t done);

/* ---- light_sched.c ---- */
/* The actor has become able to run. */
void rtci_light_schedule(struct rtci_light_ctx *ctx, struct rtci_light_actor *a);
/* It runs after the others of its thread. */
void rtci_light_yield(struct rtci_light_ctx *ctx, struct rtci_light_actor *a);
/* The same for the one that has just run. */
void rtci_light_requeue(struct rtci_light_ctx *ctx, struct rtci_light_actor *a);
struct rtci_light_actor *rtci_light_next(struct rtci_light_ctx *ctx);
/* More than one actor can run: wakes a thread unless one is searching already. */
void rtci_light_notify(struct rtci_light *light);
struct rtci_light_actor *rtci_light_steal(struct rtci_light_ctx *ctx);
bool rtci_light_work_visible(struct rtci_light *light);

/* ---- light_park.c ---- */
void *rtci_light_worker(void *ctx);
void rtci_light_kick(struct rtci_light *light); /* the thread that watches the clock */
void rtci_light_wake_all(struct rtci_light *light);

/* ---- light_turn.c ---- */
void rtci_light_turn(struct rtci_light_ctx *ctx, struct rtci_light_actor *a);
int rtci_light_receive(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                       struct rtci_light_msg *msg);
/* Who sent a call. */
struct rtci_light_reply_to rtci_light_asker(const struct rtci_light_msg *msg);
void rtci_light_answer(struct rtci_light_ctx *ctx, struct rtci_light_reply_to *to,
                       struct rtci_light_msg *reply, int code);

/* ---- light_calls.c ---- */
int rtci_light_resume(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                      struct rtci_light_msg *reply);
void rtci_light_calls_fini(struct rtci_light_ctx *ctx, struct rtci_light_actor *a);

/* ---- light_life.c ---- */
void rtci_light_die(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                    const struct rtci_light_down *why);
/* False: messages are still on their way to it. */
bool rtci_light_bury(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                     const struct rtci_light_down *why);

/* ---- light_watch.c ---- */
void rtci_light_watch_msg(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                          struct rtci_light_msg *msg);
/* An EXIT: true when the actor dies of it; 0 or what `receive` returned is in *ret. */
bool rtci_light_exit_msg(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                         struct rtci_light_msg *msg, int *ret);
/* Tells all, once. */
void rtci_light_tell_death(struct rtci_light_ctx *ctx, struct rtci_light_actor *a,
                           const struct rtci_light_down *why);
/* Of a watch that came too late. */
void rtci_light_watch_late(struct rtci_light_ctx *ctx, struct rtci_light_msg *msg,
                           const struct rtci_light_down *why);

/* ---- light_timer.c ---- */
uint64_t rtci_light_now(struct rtci_light *light);
int rtci_light_timer_add(struct rtci_light *light, uint64_t delay_ns, rtci_light_id to,
                         struct rtci_light_msg *msg, uint64_t *ret_timer);
/* Sends what is due. */
void rtci_light_timers_run(struct rtci_light_ctx *ctx, uint64_t now);
void rtci_light_timers_fini(struct rtci_light_ctx *ctx);

#endif
