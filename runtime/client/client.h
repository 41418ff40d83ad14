/* The client library, seen from inside: one struct rtc, one mutex.
 *
 * Whoever holds `lock` owns everything in struct rtc, the producer side of the channel and, unless
 * another thread is the *poller*, its consumer side too. A thread that has to wait becomes the
 * poller (unlocks, sleeps in rtci_chan_wait, locks, drains for everybody) or, when there is one
 * already, sleeps on `cond`. Functions named *_locked and everything that takes a struct slot need
 * the lock.
 */
#ifndef RTCI_CLIENT_CLIENT_H
#define RTCI_CLIENT_CLIENT_H

#include <pthread.h>
#include <rtc/rtc.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "runtime/base/assert.h"
#include "runtime/base/bounds.h"
#include "runtime/base/buf.h"
#include "runtime/base/map.h"
#include "runtime/client/error.h"
#include "runtime/client/slot.h"
#include "runtime/client/value.h"
#include "runtime/shm/chan.h"
#include "runtime/wire/wire.h"

/* Values of puts up to this size are copied into the tasks that take them. */
#define RTCI_ARG_INLINE_MAX 4096u
/* Inline bytes in one task or completion before further large values go to the arena. */
#define RTCI_SPEC_INLINE_MAX (512 * RTCI_KIB)
#define RTCI_RELEASE_RANGES  64u
#define RTCI_RELEASE_LAZY    256u

/* Flag of a request's record that is sent again after a restart of the daemon. */
#define RTCI_REC_REPEATED 1u

/* ---- A request whose answer is awaited by a caller; lives on that caller's stack. ---- */
enum request_kind { REQUEST_REPLY, REQUEST_GRANT, REQUEST_GROUP, REQUEST_ACTOR };
struct request {
    struct request *next;
    enum request_kind kind;
    uint64_t number;    /* REPLY, GROUP */
    struct rtci_id id;  /* GRANT */
    const void *record; /* what was sent, to repeat it after a restart of the daemon */
    size_t size;
    bool done;
    int status;
    struct rtci_reply reply;
    struct rtci_grant grant;
    void *data; /* malloc'ed copy of the bytes behind a reply; the caller frees it. GROUP: of the
                   whole struct rtci_group_is */
};

struct shape {
    uint64_t hash;
    uint32_t offset, size; /* of the record in struct rtc.shape_bytes */
};

struct function {
    uint64_t hash;
    const struct rtc_task_def *def; /* NULL: another program's */
    bool declared;                  /* the head knows the name */
};

struct then {
    struct then *next;
    rtc_ref ref;
    void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg);
    void *arg;
};

struct progress {
    struct progress *next;
    rtc_ref ref;
    double fraction;
    char text[];
};

/* A placement group that this process created and did not remove. */
struct placement {
    uint64_t seq, request;
    int status;        /* 0, or what the head has against it */
    uint32_t n;        /* bundles */
    bool ready, told;  /* told: somebody waited for it, and knows */
    uint32_t next_free;
    char why[192];
};
struct placements {
    struct placement *rows; /* from 1 */
    uint32_t n, cap, free;
    struct rtci_map by_seq;
};

/* The task that this executor runs now; zero in drivers. Written by the executor's loop only. */
struct running {
    struct rtci_id id;
    uint32_t slot;
    uint64_t deadline_ns;
    uint32_t depth;
    uint32_t attempt;
};

/* An unfinished TASK record in the ring of an executor. */
struct queued {
    void *record;
    uint64_t position; /* where it begins: what lies before it may be given back */
    uint32_t size;     /* as it was checked: what stands in the ring may have been overwritten */
};

struct actors;
struct bridge;
struct host;
struct rtci_actor_end;
struct rtci_actor_is;
struct rtci_actor_down;
struct rtci_light_hosts;
struct rtci_light_news;
struct rtci_light_ops;
struct rtci_routes;
struct stream;
struct withheld;

/* What an actor's one thread waits for: see circle.c. */
struct circle {
    const rtc_ref *refs; /* NULL: for nothing */
    size_t n, spare;     /* of those it can do without */
    bool for_ever;       /* no timeout ends it */
    uint32_t kind;       /* enum rtci_note: how it tells */
    uint32_t number;     /* of what it tells; of the first word of this wait: */
    uint32_t begun;
    uint32_t passes, n_seen;
    struct rtci_id seen[64]; /* of others, passed on */
};

struct rtc {
    pthread_mutex_t lock;
    pthread_cond_t cond; /* CLOCK_MONOTONIC: "the poller drained or left" */
    struct rtci_chan *chan;
    uint64_t next_seq;
    struct slots slots; /* own tasks and puts */
    struct borrowed_map borrowed;
    bool polling;
    bool draining; /* records are being handled: what they cause reads no further ones */
    bool quiet;
    bool fd_mode; /* rtc_fd() was called: keep the descriptor honest */
    bool in_callbacks;
    int dead; /* negative RTC_E_*: the connection is over; why is in dead_text */
    uint32_t waiters;
    uint32_t n_blocked; /* callers inside a blocking get of this executor … */
    uint32_t n_threads; /* … of so many: its CPUs are lent when all of them are */
    uint32_t epoch;     /* last seen info.daemon_epoch */
    uint32_t stamp;
    bool blocked_told; /* BLOCKED was sent; what it said: */
    struct rtci_buf blocked_ids;
    uint32_t blocked_wanted;
    uint64_t changes; /* counts results, grants and replies that came in */
    size_t read_since_ring;
    size_t want_room; /* a thread that is not the poller waits for room in the ring */

    struct rtci_range ranges[RTCI_RELEASE_RANGES];
    uint32_t n_ranges, n_lazy;

    struct request *requests;
    uint64_t next_request;

    struct placements placements;

    struct function *functions; /* open addressing, power of two */
    uint32_t n_functions, cap_functions;
    struct shape *shapes;
    uint32_t n_shapes, cap_shapes;
    struct rtci_buf shape_bytes;
    struct rtc_options last_options; /* scalars only: no custom resources, no labels */
    uint32_t last_shape;
    bool has_last;

    struct then *thens, *thens_ready, **thens_tail;
    struct progress *progress_ready, **progress_tail;
    void (*on_progress)(void *arg, rtc_ref task, double fraction, const char *text);
    void *on_progress_arg;

    /* Executors. */
    bool executor;
    struct running running;
    struct queued *queue; /* ring buffer of unfinished TASK records, power of two */
    uint32_t queue_head, queue_len, queue_cap;
    bool run_in_ring; /* the running task's record is the first of the queue */
    bool run_told;    /* … or was freed, and info.running_* names it */
    bool shut;        /* SHUTDOWN was read */

    /* Actors. */
    struct actors *actors; /* that this process calls */
    struct rtci_routes *routes;
    struct rtci_lanes *lanes; /* NULL: none yet; atomic: the poller looks */
    bool no_lanes;            /* they cannot be had here */
    uint64_t told;            /* position in the ring behind what is news to the head */
    struct stream *streams;
    bool downs_ready;      /* monitors' callbacks are due */
    bool deadlock;         /* the wait was found to end never: see struct actors.cycle */
    struct host *host;     /* the actor that this process is … */
    struct withheld *withheld; /* … and saves: what it says to others waits for that; else NULL */
    const struct rtci_light_ops *light; /* … when it is a host of light actors */
    struct rtci_light_news *light_news;
    struct rtci_light_hosts *light_hosts; /* where this process creates light actors */
    struct rtci_id self;   /* … its id; client 0 = none */
    bool self_single;      /* … and runs one call at a time */
    struct rtci_id early_end; /* told to end before it began */
    struct circle circle;  /* of that: what its one thread waits for */
    void (*on_call)(struct rtc *rtc, const struct rtci_spec *spec);
    void (*on_end)(struct rtc *rtc, const struct rtci_actor_end *end);
    void (*on_read)(struct rtc *rtc, struct rtci_id call, uint32_t n);
    void (*on_reader_gone)(struct rtc *rtc, uint32_t client); /* as a probe found */
    void (*on_held)(struct rtc *rtc, struct rtci_id id);
    void (*on_group)(struct rtc *rtc, const struct rtci_rec *rec); /* a note, or a probe's answer */
    struct bridge *bridges; /* of groups whose members are on several hosts */

    uint64_t host_seen_ns; /* when the keeper was last seen alive */
    uint32_t client, job, node;
    uint64_t fork_generation;
    int sock, wake_fd, bell_fd;
    int chan_fd;           /* memory of the channel, for the peers of lanes */
    uint64_t arena_inode;  /* names the node to them */
    uint8_t *arena;          /* writable */
    const uint8_t *arena_ro; /* what readers see */
    uint64_t arena_bytes;
    uint64_t *populated; /* bit per 2 MiB of the writable mapping */
    uint32_t cools;      /* as the daemon said last: when it changes, `populated` is no longer true */
    pid_t daemon_pid;    /* embedded: the keeper, our child; else 0 */
    char space[64];
    char name[64];
    char dead_text[256];
};

/* ---- life.c: entering and leaving public calls ---- */
/* Locks; negative (and unlocked) when rtc is NULL, shut down, forked away or disconnected. */
int rtci_enter(struct rtc *rtc) RTCI_MUST_USE;
/* Unlocks and runs the callbacks that became ready. */
void rtci_leave(struct rtc *rtc);
void rtci_run_callbacks(struct rtc *rtc);
/* Marks the connection as over, with a sentence. Returns code. */
int rtci_die(struct rtc *rtc, int code, const char *fmt, ...) RTCI_PRINTF(3, 4);
uint64_t rtci_now_ns(void);
/* Absolute time of a timeout from now: UINT64_MAX for RTC_FOREVER. */
uint64_t rtci_deadline(int64_t timeout);
uint64_t rtci_fork_generation(void);

/* ---- pump.c: reading the channel, waiting ---- */
/* Handles everything that stands in the ring. Nothing when another thread is the poller. */
int rtci_drain(struct rtc *rtc);
/* Waits until something may have changed (or `room` bytes may be free in the ring), or the
 * deadline: RTC_E_TIMEOUT. May drop and retake the lock. Spurious returns of 0 are usual. */
int rtci_block(struct rtc *rtc, size_t room, uint64_t deadline_ns) RTCI_MUST_USE;
/* Room for one record; waits for the daemon to take some out when the ring is full.
 * RTC_E_AGAIN when the deadline passes. Not yet published. */
int rtci_reserve(struct rtc *rtc, size_t size, uint64_t deadline_ns,
                 void **ret_record) RTCI_MUST_USE;
/* Publishes what was reserved and wakes the daemon. */
void rtci_send(struct rtc *rtc);
/* Sends a copy of a complete record, waiting for room for ever. */
int rtci_send_record(struct rtc *rtc, const void *record) RTCI_MUST_USE;
/* Sends the record (again after a restart of the daemon) and waits for its answer. */
int rtci_request(struct rtc *rtc, struct request *request, uint64_t deadline_ns) RTCI_MUST_USE;
/* Executor: the running task's record need not stay in the ring: the channel's header names it. */
void rtci_free_running(struct rtc *rtc, uint32_t actor);
/* Executor: gives back the ring's room that no unfinished task holds. */
void rtci_consume_finished(struct rtc *rtc);

/* ---- results.c ---- */
void rtci_on_result(struct rtc *rtc, const struct rtci_done *done);

void rtci_slot_set(struct rtc *rtc, struct slot *slot, const struct rtci_done *done,
                   const struct rtci_resolved *row, rtc_ref ref);

/* What is said of a ring that was written over by whoever has it mapped. */
extern const char rtci_overwritten[];

/* ---- refs.c ---- */
/* The slot of a reference, or NULL with the sentence set and *ret_rc. A foreign one that is not
 * known yet is made known (and asked for) when `want`. */
struct slot *rtci_find(struct rtc *rtc, rtc_ref ref, bool want, int *ret_rc);
int rtci_release_locked(struct rtc *rtc, rtc_ref ref);
int rtci_retain_locked(struct rtc *rtc, rtc_ref ref);
void rtci_flush_releases(struct rtc *rtc);
int rtci_send_ids(struct rtc *rtc, uint16_t type, const struct rtci_id *ids, uint32_t n,
                  uint32_t arg);
/* Frees what the slot points to, unpinning what it contains. */
void rtci_slot_clear(struct rtc *rtc, struct slot *slot);
/* References contained in the value of a READY slot. */
void rtci_slot_contained(struct rtc *rtc, const struct slot *slot, const struct rtci_id **ret_ids,
                         size_t *ret_n);
/* The slot became READY with a value that contains references: they live as long as it. */
void rtci_pin_contained(struct rtc *rtc, const struct slot *slot);
/* A pinned slot outlives its release. The slot must be the one of `ref`. */
void rtci_unpin(struct rtc *rtc, struct slot *slot, rtc_ref ref);
/* Where the bytes of a slot's value are; its size is slot->size. */
const void *rtci_slot_bytes(const struct rtc *rtc, const struct slot *slot);
/* Executor, at the end of a task: forgets borrowed values nobody retained. */
void rtci_drop_borrowed(struct rtc *rtc);

/* ---- named.c ---- */
/* An answer came with a hold of the object for us: it becomes a reference to be released. */
int rtci_take_held(struct rtc *rtc, struct rtci_id id) RTCI_MUST_USE;

/* ---- wait.c ---- */
/* Waits until the slot is done; it stays valid meanwhile. The caller pins it. */
int rtci_await(struct rtc *rtc, struct slot *slot, rtc_ref ref, uint64_t deadline_ns) RTCI_MUST_USE;
/* Value of a done slot, or the code of its failure with the sentence set. */
int rtci_slot_value(struct rtc *rtc, const struct slot *slot, struct rtc_value *ret_value);
/* Sets the sentence of a failed slot and returns its code. */
int rtci_slot_failure(const struct slot *slot);
/* The same of a failure as such; `what`: "task", "method". */
int rtci_fail_error(const struct rtci_fail *fail, const char *what);
void rtci_fail_read(const struct rtci_fail *fail, uint8_t ran, struct rtc_failure *ret_failure);
/* Done, and its value (or failure) is on this host. */
static inline bool rtci_slot_here(const struct slot *slot)
{
    return slot->state >= SLOT_READY && slot->state != SLOT_GONE && slot->where != WHERE_REMOTE;
}
static inline bool rtci_slot_done(const struct slot *slot)
{
    return slot->state == SLOT_READY || slot->state == SLOT_FAILED;
}
/* Around waits of an executor's running task, so that its CPUs are lent out. */
void rtci_blocked_begin(struct rtc *rtc, const struct rtci_id *ids, uint32_t n, uint32_t wanted);
void rtci_blocked_end(struct rtc *rtc);
/* Says it (again): to a daemon that was started anew. */
int rtci_blocked_tell(struct rtc *rtc) RTCI_MUST_USE;

/* ---- put.c, arena.c ---- */
/* A new object from a value; small ones stay in the process. */
int rtci_put_locked(struct rtc *rtc, const struct rtc_value *value, rtc_ref *ret_ref) RTCI_MUST_USE;
/* Makes the object known to the head, with everything it contains. Nothing if it is already. */
int rtci_publish(struct rtc *rtc, struct slot *slot, rtc_ref ref) RTCI_MUST_USE;
int rtci_publish_contained(struct rtc *rtc, const struct rtci_id *ids, uint32_t n) RTCI_MUST_USE;
/* Room of `size` bytes in the arena for the object. */
int rtci_arena_alloc(struct rtc *rtc, struct rtci_id id, uint64_t size,
                     uint64_t *ret_offset) RTCI_MUST_USE;
int rtci_arena_seal(struct rtc *rtc, struct rtci_id id, uint64_t offset, uint64_t size,
                    const struct rtci_id *ids, uint32_t n_ids) RTCI_MUST_USE;
int rtci_arena_map(struct rtc *rtc, int fd, uint64_t bytes) RTCI_MUST_USE;
void rtci_arena_unmap(struct rtc *rtc);
/* Writes a value of more than RTCI_INLINE_MAX bytes as the object `id` and seals it. */
int rtci_arena_write(struct rtc *rtc, struct rtci_id id, const struct rtc_value *value,
                     const struct value_plan *plan, uint64_t *ret_offset) RTCI_MUST_USE;

/* ---- options.c, functions.c ---- */
int rtci_shape_of(struct rtc *rtc, const struct rtc_options *options,
                  uint32_t *ret_shape) RTCI_MUST_USE;
/* An amount in units of 1/10,000. */
int rtci_amount_of(const char *what, double amount, uint64_t max, uint64_t *ret_units) RTCI_MUST_USE;
int rtci_options_check(const struct rtc_options *options) RTCI_MUST_USE;
/* Finds a registered function and makes sure the head knows its name. */
int rtci_function_of(struct rtc *rtc, const char *name,
                     const struct function **ret_function) RTCI_MUST_USE;
/* The same for a name that is no task's: the class of an actor. */
int rtci_function_declare(struct rtc *rtc, const char *name) RTCI_MUST_USE;
const struct rtc_task_def *rtci_task_by_hash(uint64_t hash);
/* Two tasks of the same name, and the like: found at registration, told at rtc_init(). */
int rtci_task_registry_check(void);
int rtci_signature_check(const struct rtc_task_def *def, const struct rtc_value *args, size_t n,
                         uint32_t returns) RTCI_MUST_USE;
/* Does the declared type of argument i say that the reference itself is wanted? */
bool rtci_signature_wants_ref(const char *signature, size_t i);
int rtci_signature_check_returns(const struct rtc_task_def *def, size_t i,
                                 const struct rtc_value *value) RTCI_MUST_USE;
/* Number of returns a signature declares; -1 when it declares none of them. */
int rtci_signature_returns(const char *signature);

/* ---- placement.c ---- */
struct rtci_group_is;
void rtci_on_group(struct rtc *rtc, const struct rtci_group_is *is);
/* After a restart of the daemon: asks again for those that are not ready. */
void rtci_placements_repeat(struct rtc *rtc);
void rtci_placements_fini(struct rtc *rtc);
/* Does a task with these options have a place where it can go? */
int rtci_placement_check(struct rtc *rtc, const struct rtc_options *options) RTCI_MUST_USE;

/* ---- actor_*.c: what the rest of the client needs of them ---- */
int rtci_actors_init(struct rtc *rtc) RTCI_MUST_USE;
void rtci_actors_destroy(struct rtc *rtc);
void rtci_actors_repeat(struct rtc *rtc); /* the daemon was started again */
int rtci_actor_registry_check(void);
void rtci_on_actor_is(struct rtc *rtc, const struct rtci_actor_is *is);
void rtci_on_actor_down(struct rtc *rtc, const struct rtci_actor_down *down);
void rtci_on_note(struct rtc *rtc, const struct rtci_spec *note);
bool rtci_run_down(struct rtc *rtc); /* one callback of a monitor */
/* What moves on by itself: after reading, and before sleeping. Says when it is to be called again:
 * at a time, or when the ring has that much room. */
struct rtci_due {
    uint64_t at_ns;
    size_t room;
};
struct rtci_due rtci_actors_tick(struct rtc *rtc);
bool rtci_actors_queued(const struct rtc *rtc); /* calls that were not sent yet */
static inline bool rtci_callbacks_due(const struct rtc *rtc)
{
    return rtc->thens_ready || rtc->progress_ready || rtc->downs_ready;
}
/* circle.c. Around a wait of an actor for n references, of which it can do without `spare`:
 * RTC_E_DEADLOCK when it waits for itself. Later rtc->deadlock says so. `wait`: only if it is certain.
 */
int rtci_circle_begin(struct rtc *rtc, const rtc_ref *refs, size_t n, size_t spare, bool for_ever,
                      bool wait) RTCI_MUST_USE;
void rtci_circle_end(struct rtc *rtc);
int rtci_deadlock_found(struct rtc *rtc); /* the sentence */
/* Of a call that only this process knows: there, and known to the head. */
int rtci_call_result_ready(struct rtc *rtc, struct slot *slot, rtc_ref ref) RTCI_MUST_USE;
int rtci_call_cancel(struct rtc *rtc, struct slot *slot) RTCI_MUST_USE;
/* The result of a call that is an object of the actor's process. */
void rtci_alias_done(struct rtc *rtc, struct borrowed *b);
void rtci_alias_drop(struct rtc *rtc, struct slot *slot);
rtc_ref rtci_alias_of(const struct slot *slot);
bool rtci_slot_is_multi(struct rtc *rtc, rtc_ref ref);
void rtci_stream_drop(struct rtc *rtc, rtc_ref ref);
void rtci_stream_release(struct rtc *rtc, rtc_ref ref);

/* ---- notices.c ---- */
void rtci_on_notice(struct rtc *rtc, const struct rtci_notice *notice);
void rtci_on_progress(struct rtc *rtc, const struct rtci_progress *progress);
void rtci_thens_end(struct rtc *rtc);
void rtci_on_done_slot(struct rtc *rtc, rtc_ref ref);
int rtci_then_locked(struct rtc *rtc, rtc_ref ref,
                     void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg), void *arg) RTCI_MUST_USE;

#endif
