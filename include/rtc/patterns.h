/* rtc/patterns.h: what is often built from actors: a pool, a queue, a barrier, a supervisor.
 * Conventions as in rtc/rtc.h. All of it is written with the functions of rtc/actor.h alone. */
#ifndef RTC_PATTERNS_H
#define RTC_PATTERNS_H

#include <rtc/actor.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* ---- Pool: calls go to whichever of some like actors is free ---- */

struct rtc_pool;
/* Ownership: the handles are borrowed, and retained until rtc_pool_free(). Thread: a pool is used
 * by one thread at a time. window: calls at an actor at a time, the second waits there while the
 * first runs; 0 = 2. Errors: RTC_E_INVALID n is 0. */
int rtc_pool_create(struct rtc *rtc, const rtc_actor *actors, size_t n, uint32_t window,
                    struct rtc_pool **ret_pool);
/* Forgets results that were not taken. NULL is fine. */
void rtc_pool_free(struct rtc_pool *pool);
/* Calls the method at the next free actor; without a free one the call waits here, in order.
 * Ownership: arguments are copied where they have to wait. Errors: those of rtc_actor_call();
 * RTC_E_ACTOR_DEAD all of its actors are dead. */
int rtc_pool_submit(struct rtc_pool *pool, const char *method, const struct rtc_args *args);
/* The next result in the order of submission. A call that failed gives its failure, once; what its
 * actor had before it is not lost, and a dead actor gets no more calls.
 * Blocks: until it is there, at most timeout. Errors: RTC_E_END nothing is open; RTC_E_TIMEOUT.
 * Valid until: the next call with this pool. */
int rtc_pool_next(struct rtc_pool *pool, int64_t timeout, struct rtc_value *ret_value);
/* The next result that comes, and which it is, counted from 0 in the order of submission. */
int rtc_pool_next_unordered(struct rtc_pool *pool, int64_t timeout, size_t *ret_index,
                            struct rtc_value *ret_value);
/* Calls the method n times; each result goes to fn: in order, or as they come. fn returning
 * non-zero ends it with that. What was submitted before is done first. Blocks: until all are done.
 * Errors: the first failure ends it. */
int rtc_pool_map(struct rtc_pool *pool, const char *method, const struct rtc_args *args, size_t n,
                 int (*fn)(void *arg, size_t i, const struct rtc_value *value), void *arg);
int rtc_pool_map_unordered(struct rtc_pool *pool, const char *method, const struct rtc_args *args,
                           size_t n, int (*fn)(void *arg, size_t i, const struct rtc_value *value),
                           void *arg);

/* ---- Queue: an actor that hands items from many to many, first in, first out ---- */

/* most: items in it, 0 = no bound. options: name, detached, needs, …; NULL = defaults. Its handle
 * is an actor's: pass it on, release it. Errors: as rtc_actor_create(). */
int rtc_queue_create(struct rtc *rtc, uint64_t most, const struct rtc_actor_options *options,
                     rtc_actor *ret_queue);
/* Blocks: while it is full, at most timeout. Errors: RTC_E_TIMEOUT it was not put. */
int rtc_queue_put(struct rtc *rtc, rtc_actor queue, const struct rtc_value *item, int64_t timeout);
/* The oldest item. *ret_ref holds it: to be released.
 * Blocks: until there is one, at most timeout. Errors: RTC_E_TIMEOUT none was taken. */
int rtc_queue_get(struct rtc *rtc, rtc_actor queue, int64_t timeout, rtc_ref *ret_ref,
                  struct rtc_value *ret_item);
int rtc_queue_size(struct rtc *rtc, rtc_actor queue, uint64_t *ret_size);

/* ---- Barrier: an actor at which n wait for each other, again and again ---- */

int rtc_barrier_create(struct rtc *rtc, uint32_t n, const struct rtc_actor_options *options,
                       rtc_actor *ret_barrier);
/* ret_round (may be NULL): how often all had come before. Blocks: until all have come, at most
 * timeout. Errors: RTC_E_TIMEOUT somebody did not come; this one has left and may come again. */
int rtc_barrier_wait(struct rtc *rtc, rtc_actor barrier, int64_t timeout, uint64_t *ret_round);

/* ---- Progress ---- */

/* rtc_progress(), at most once in the interval, and always at fraction 1. Costs a clock read else.
 */
int rtc_progress_every(struct rtc_call *call, int64_t interval, double fraction, const char *text);

/* ---- Supervisor: children that are started again, as in Erlang/OTP ---- */

enum rtc_restart_strategy {
    RTC_ONE_FOR_ONE, /* the one that died */
    RTC_ONE_FOR_ALL  /* all: the others are killed first */
};
enum rtc_restart_type {
    RTC_PERMANENT, /* always started again */
    RTC_TRANSIENT, /* … but after rtc_actor_stop() */
    RTC_TEMPORARY  /* never */
};
/* Everything it points to is borrowed until rtc_supervisor_stop(). */
struct rtc_child {
    const char *actor;           /* its class */
    const struct rtc_args *args; /* of its constructor */
    const struct rtc_actor_options *options;
    enum rtc_restart_type restart;
};
struct rtc_supervisor_options {
    enum rtc_restart_strategy strategy;
    uint32_t intensity; /* more than so many restarts … 0 = 1 */
    int64_t period; /* … within this time, and it gives up: all children are killed; 0 = 5 s */
    /* Called inside rtc calls, as monitors are; may be NULL. */
    void (*on_restart)(void *arg, size_t child, rtc_actor actor, const struct rtc_down *why);
    void (*on_give_up)(void *arg, size_t child, const struct rtc_down *why);
    void *arg;
};
struct rtc_supervisor;
/* Starts the children in their order, and keeps them running inside rtc calls of this process: a
 * driver that makes none calls rtc_poll(). Thread: inside rtc_rtc.h's rules, one at a time.
 * Errors: as rtc_actor_create(); then none was started. */
int rtc_supervisor_start(struct rtc *rtc, const struct rtc_child *children, size_t n,
                         const struct rtc_supervisor_options *options,
                         struct rtc_supervisor **ret_supervisor);
/* The handle of a child as it is now, not to be released; another one after a restart.
 * Errors: RTC_E_AGAIN it is being started again; RTC_E_ACTOR_DEAD it is not to be, or the
 * supervisor gave up. */
int rtc_supervisor_child(struct rtc_supervisor *supervisor, size_t i, rtc_actor *ret_actor);
/* Stops the children in reverse order (those that do not end within `timeout` are killed), frees it
 * and sets it to NULL. */
int rtc_supervisor_stop(struct rtc_supervisor **supervisor, int64_t timeout);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
