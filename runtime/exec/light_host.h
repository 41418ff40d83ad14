/* A host of light actors: an actor whose process runs many others on the engine of light.h.
 *
 * The process's first thread reads what comes, as in every actor, and puts calls into the mailboxes
 * (light_host.c); the engine's threads run them. A call from another process is the host's message and
 * runs as any actor's call does, under the lock of struct rtc except for the method itself. A call
 * between two actors here (light_call.c) takes neither lock nor msgpack while its values are plain. */
#ifndef RTCI_EXEC_LIGHT_HOST_H
#define RTCI_EXEC_LIGHT_HOST_H

#include <stdatomic.h>

#include "runtime/exec/actor.h"
#include "runtime/exec/light.h"

#define RTCI_LIGHT_KINDS 1024u /* classes of light actors */

/* Tags of messages: methods by their number, then: */
enum {
    TAG_INIT = RTC_METHODS_MAX, /* the constructor: a call between two here */
    TAG_OUTER,                  /* a call from another process: its struct message */
    TAG_FAR,                    /* a callback: its struct far */
    TAG_LINK, TAG_UNLINK,       /* with whom */
    TAG_OWN,                    /* the constructor of a named one, which the first thread waits for */
    TAG_SAVE,                   /* its state is to be saved */
};

/* A class. */
struct kind {
    const struct rtc_actor_def *def;
    uint64_t hash;
    struct rtc_task_def methods[RTC_METHODS_MAX], init;
    uint32_t number;
    struct rtci_light_class engine;
};

enum { CELL_UP = 1, CELL_LEAVES = 2, CELL_FAILED = 4, CELL_SAVES = 8 };
/* A light actor: what the engine calls its state. The class's state follows. */
struct futures;
struct extra;
struct cell {
    const struct kind *kind;
    struct futures *futures;      /* results of its calls to others here */
    struct rtc_promise *promises; /* that it has not kept; rtc's lock */
    struct extra *extra;          /* what few have */
    uint32_t flags;
    rtci_light_id id;
};
#define CELL_SIZE 48u
_Static_assert(sizeof(struct cell) <= CELL_SIZE, "the state behind it is aligned to 16");

/* What came before the constructor ran. */
struct stash {
    struct stash *next;
    struct rtci_light_msg msg;
    struct rtci_light_reply_to reply;
};
struct near_monitor {
    struct near_monitor *next;
    uint32_t token;
    rtc_actor actor;
    void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg);
    void *arg;
};
struct extra {
    struct stash *stash, **stash_end;
    struct near_monitor *monitors;
    uint32_t next_token;
    int code, user_code; /* of the constructor that failed */
    char *text;
};

/* What a thread of the engine is doing. */
struct run {
    struct rtci_light_ctx *ctx;
    struct cell *cell; /* NULL: nothing */
    uint64_t deadline_ns;
    bool may_wait;     /* for arguments, before the method begins */
    bool plainly;      /* rtc_monitor() is to do what it does elsewhere */
    struct rtc_call call;
    struct rtci_spec spec;
};
extern _Thread_local struct run *rtci_run_now __attribute__((tls_model("initial-exec")));

/* The process's one host. */
struct lights {
    struct rtc *rtc;
    struct host *host;
    struct rtci_light *engine;
    struct rtci_id id;
    rtci_light_id own; /* the one that has a name, if any */
    _Atomic uint32_t *kind_of; /* by the engine's index: number of the class + 1, and flags */
    struct kind *_Atomic kinds[RTCI_LIGHT_KINDS];
    _Atomic uint32_t n_kinds;
    pthread_mutex_t kinds_lock;
};
extern struct lights rtci_lights;
#define KIND_NUMBER 0xffffu
#define KIND_FAILS  0x10000u /* a full mailbox refuses */

static inline uint64_t rtci_light_number(rtci_light_id id)
{
    return (uint64_t)(id.gen >> 1) << 24 | (id.index + 1);
}
static inline rtci_light_id rtci_light_id_at(uint64_t light)
{
    return (rtci_light_id){(uint32_t)(light & RTCI_LIGHT_WHICH) - 1, (uint32_t)(light >> 24) << 1 | 1};
}
/* The named one, whose handle is the host's. */
static inline bool rtci_is_own(rtci_light_id id)
{
    return rtci_lights.host->own && id.index == rtci_lights.own.index;
}
/* Of the calls to a host of light actors only those to the one that has a name change what is saved. */
static inline bool rtci_host_keeps(const struct host *host, const struct cell *cell)
{
    return host->keeping && (!host->own || (cell && rtci_is_own(cell->id)));
}
static inline bool rtci_host_saves(const struct host *host, const struct rtci_spec *spec)
{
    return !host->own || (!rtci_light_called(spec) &&
                          rtci_method_by_hash(host->def, spec->function) < 0);
}
static inline rtc_actor rtci_light_handle_of(rtci_light_id id)
{
    return rtci_light_handle(rtci_lights.id, rtci_is_own(id) ? 0 : rtci_light_number(id));
}
static inline bool rtci_light_here(rtc_actor actor)
{
    return (actor.pad || rtci_lights.host->own) &&
           rtci_id_equal(rtci_actor_id(actor), rtci_lights.id);
}
/* Of a handle that is of here. */
static inline rtci_light_id rtci_light_id_of_handle(rtc_actor actor)
{
    return actor.pad ? rtci_light_id_at(rtci_light_of(actor)) : rtci_lights.own;
}
static inline void *rtci_cell_state(struct cell *cell)
{
    return (char *)cell + CELL_SIZE;
}
static inline rtc_actor rtci_cell_handle(const struct cell *cell)
{
    return rtci_light_handle_of(cell->id);
}
static inline struct run *rtci_running(void)
{
    struct run *run = rtci_run_now;
    return run && run->cell ? run : NULL;
}
/* Of this thread, or of those outside. */
struct rtci_light_ctx *rtci_light_ctx_now(void);

/* Of a light actor's call from elsewhere, whose arguments are fetched. */
static inline void rtci_cell_may_wait(const struct rtc_call *call, bool on)
{
    if (call->cell)
        rtci_run_now->may_wait = on;
}

/* A call that is answered later. */
struct rtc_promise {
    struct rtc_call *call; /* NULL while its method runs */
    struct message *message;
    struct rtc_promise *next, **link; /* of a light actor: its list */
    struct rtci_spec *spec;           /* … of a call between two here */
};
/* actor_defer.c */
int rtci_promise_finish(struct rtc_promise *promise, int rc);

/* ---- light_host.c ---- */
void rtci_light_host_begin(struct host *host);
/* The named one: its constructor, as the host's; and its end. */
int rtci_light_own_begin(struct rtc_call *call);
int rtci_light_own_load(struct rtc_call *call); /* or what was saved */
/* It is asked for a save; false: it is dead. And it has changed its state. The lock is held; is not. */
bool rtci_light_own_save(void);
void rtci_light_own_ran(void);
void rtci_light_own_construct(struct cell *cell);
void rtci_light_own_end(struct host *host);
void rtci_light_own_died(const struct rtci_light_down *why);
void rtci_light_dispatch(struct host *host, struct message *message);
struct kind *rtci_kind_of(const struct rtc_actor_def *def);
/* NULL: nobody there, with the sentence. */
struct kind *rtci_kind_at(rtci_light_id id, uint32_t *ret_flags);
int rtci_light_make(struct rtci_light_ctx *ctx, struct kind *kind, uint32_t flags,
                    rtci_light_id *ret_id) RTCI_MUST_USE;
/* Handles of actors here among the arguments: what is under way counts. */
void rtci_spec_lights(const struct rtci_spec *spec,
                      int (*fn)(struct rtci_light_ctx *ctx, rtci_light_id id));
enum { OP_CREATE, OP_READY, OP_LINK, OP_UNLINK, OPS_OF_CELLS };
/* Of a message to an actor that is dead. */
void rtci_outer_drop(void *message);

/* ---- light_cell.c: life and turns ---- */
int rtci_cell_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg);
int rtci_cell_init(void *state, const void *arg);
void rtci_cell_died(struct rtci_light_ctx *ctx, void *state, const struct rtci_light_down *why);
/* In the turn of the actor, outside of its methods. */
struct run *rtci_cell_enter(struct rtci_light_ctx *ctx, struct cell *cell);
/* What the engine is told after a turn. */
static inline int rtci_cell_ends(const struct cell *cell)
{
    return cell->flags & CELL_FAILED   ? RTC_E_TASK_FAILED
           : cell->flags & CELL_LEAVES ? RTCI_LIGHT_LEAVE
                                       : 0;
}
/* … in which something ran that may have changed the state, and was no call from elsewhere. */
static inline int rtci_cell_outcome(const struct cell *cell)
{
    if (RTCI_LIKELY(!(cell->flags & (CELL_LEAVES | CELL_FAILED | CELL_SAVES))))
        return 0;
    if (cell->flags & CELL_SAVES)
        rtci_light_own_ran();
    return rtci_cell_ends(cell);
}
int rtci_cell_construct(struct rtc_call *call);
int rtci_cell_load(struct rtc_call *call);
struct extra *rtci_cell_extra(struct cell *cell);
int rtci_cell_monitor(struct run *run, rtc_actor actor,
                      void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg),
                      void *arg, uint64_t *ret_monitor);
int rtci_cell_demonitor(struct run *run, uint32_t token);
void rtci_promise_keep(struct rtc_promise *promise, struct cell *cell);
void rtci_promise_forget(struct rtc_promise *promise);

/* ---- light_call.c: calls between two here ---- */
int rtci_local_call(struct rtc *rtc, rtc_actor actor, const char *method,
                    const struct rtc_args *args, const struct rtc_call_options *options,
                    rtc_ref *ret_refs);
int rtci_local_create(struct rtc *rtc, const struct rtc_actor_def *def, const struct rtc_args *args,
                      const struct rtc_actor_options *o, rtc_actor *ret_actor);
/* The sentence for an error of the engine. */
int rtci_light_refused(rtci_light_id to, int rc);
int rtci_local_run(struct run *run, const struct rtc_task_def *def, struct rtci_light_msg *msg);
int rtci_cell_later(struct cell *cell, int64_t delay, const char *method,
                    const struct rtc_args *args);

/* ---- light_packet.c ---- */
int rtci_packet_of(const struct rtc_task_def *def, const struct rtc_args *args, uint32_t returns,
                   uint64_t deadline_ns, struct rtci_spec **ret_spec) RTCI_MUST_USE;
void rtci_packet_drop(void *packet);

/* ---- light_ops.c ---- */
extern const struct rtci_light_ops rtci_light_ops;

/* ---- light_future.c ---- */
int rtci_future_new(struct run *run, uint32_t returns, uint32_t *ret_slot, rtc_ref *ret_refs);
void rtci_future_undo(struct run *run, uint32_t slot);
int rtci_future_reply(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *reply,
                      void *arg);
int rtci_future_get(struct rtc *rtc, rtc_ref ref, struct rtc_value *ret_value);
int rtci_future_failure(struct rtc *rtc, rtc_ref ref, struct rtc_failure *ret_failure);
int rtci_future_count(struct rtc *rtc, rtc_ref ref, int n);
int rtci_future_then(struct run *run, rtc_ref ref,
                     void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg), void *arg);
void rtci_futures_free(struct cell *cell);
void rtci_done_drop(void *done);
void rtci_light_sweep(void); /* of the first thread, with the lock */
#define RTCI_SMALL_REPLY 16u /* u64 value, u64 type */

/* ---- light_far.c: callbacks about what is elsewhere ---- */
int rtci_far_then(struct run *run, rtc_ref ref,
                  void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg), void *arg);
int rtci_far_monitor(struct run *run, rtc_actor actor,
                     void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg), void *arg,
                     uint64_t *ret_monitor);
int rtci_far_demonitor(struct run *run, uint64_t monitor);
void rtci_far_run(void *far);
void rtci_far_drop(void *far);

/* ---- light_news.c: what is known of the dead, and who is told ---- */
void rtci_grave_dig(rtci_light_id id, const struct kind *kind, const struct rtci_light_down *why,
                    const struct extra *extra);
void rtci_grave_info(rtci_light_id id, struct rtc_actor_info *ret_info);
/* Sets the sentence. Returns RTC_E_ACTOR_DEAD. */
int rtci_light_is_dead(rtci_light_id id);
void rtci_light_info_here(rtci_light_id id, struct rtc_actor_info *ret_info);
int rtci_op_info(struct rtc_call *call);
int rtci_op_watch(struct rtc_call *call);
int rtci_op_unwatch(struct rtc_call *call);
int rtci_op_news(struct rtc_call *call);
void rtci_news_flush(void);

#endif
