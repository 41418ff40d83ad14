/* Actors, seen by those who call them.
 *
 * A process keeps for each actor that it calls: where it lives (asked once, in the background), the
 * calls that could not be sent yet, in their order, and those that have no answer. A call is in one
 * of the two lists until it has its one outcome; its record is kept, so that it can be sent again.
 *
 *   queued ──sent──▶ in flight ──answer──▶ done
 *     ▲                  │
 *     └── never ran, or may be tried again: the actor's process is gone
 */
#ifndef RTCI_CLIENT_ACTOR_H
#define RTCI_CLIENT_ACTOR_H

#include <rtc/actor.h>

#include "runtime/base/map.h"
#include "runtime/client/client.h"
#include "runtime/client/light.h"
#include "runtime/client/route.h"
#include "runtime/wire/actor.h"

struct stream;
struct call {
    struct call *next, *prev;
    struct actor *actor;
    uint64_t seq; /* of its result */
    uint64_t order;
    uint64_t deadline_ns; /* 0 = none */
    uint64_t lane_end;    /* where it ends in the lane to the actor; 0: it went by the daemon */
    uint32_t n_returns;
    uint32_t incarnation; /* that it was sent to */
    uint32_t attempts;    /* how often it may have run */
    uint32_t cap;         /* bytes for the record */
    uint8_t ran;          /* lost: enum rtc_ran */
    bool flying;          /* it was sent, and stands in `flight`; else in `queue` */
    bool lost;            /* its actor's process is gone */
    bool waits;           /* an argument may not be there yet, or it is: */
    bool withheld;        /* not to be sent yet: withheld.h */
    bool once;            /* to what lives in this incarnation of a host of light actors only */
    bool stop;            /* no call: ends the actor when those before it are sent */
    bool quiet;           /* nobody wants the result */
    const char *method;   /* NULL: of a class that is not known here */
    struct stream *stream;
    struct rtci_spec *spec; /* the record, which is: */
    _Alignas(8) uint8_t record[];
};

struct calls {
    struct call *first, *last;
    uint32_t n;
    size_t bytes;
};

struct actor {
    struct rtci_id id;     /* of the handle */
    struct actor *meant;   /* another, when its name was taken (get_if_exists): everything is there */
    const struct rtc_actor_def *def; /* when the class is known here */
    char name[64];                   /* for sentences; empty = none */
    bool known;                      /* it lives where `peer` is, as far as is known */
    bool dead;                       /* for good: `cause` */
    bool pinned;                     /* its handle is kept because calls are under way */
    bool mailbox_fail;
    bool light;                      /* a named light one: what its process took may not have begun */
    bool get_if_exists;
    bool pumping;
    bool crowded;                    /* it waits in rtc->actors->crowd */
    bool held;                       /* the first queued call waits for an argument: in rtc->held */
    uint32_t index;
    uint32_t awaited;                /* callers that wait until it lives */
    uint32_t mailbox;                /* calls unanswered at most */
    uint32_t state;                  /* enum rtci_actor_state, as last heard */
    uint32_t incarnation, node;
    int32_t retries;
    struct rtci_peer *peer;
    uint64_t order;        /* of the last call sent to this incarnation */
    uint64_t where, watch; /* requests under way; 0 = none */
    struct calls queue, flight;
    uint32_t pass, n_awaited, stuck; /* circle.c: in which pass, how many; in which wait */
    struct actor *held_next, *crowd_next;
    struct rtci_cause cause; /* of the last end */
};

struct monitor {
    struct monitor *next;
    uint64_t number;
    struct rtci_id id;
    rtc_actor actor;
    void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg);
    void *arg;
    struct rtc_down down; /* when it stands in downs_ready */
};

/* What the values of a stream are read from. */
struct chunk {
    struct chunk *next;
    struct slot slot; /* owns the value */
};
struct stream {
    struct stream *next;
    rtc_ref ref;
    struct chunk *first, *last, *current;
    uint32_t n_read;       /* since the actor was told */
    struct rtci_peer *peer;
    bool done;
};

/* An object of an actor's process, that is held here now: the process may let it go. */
struct ack {
    struct ack *next;
    uint64_t position; /* in our ring: the hold is heard when this is consumed */
    struct rtci_id id;
    struct rtci_peer *peer;
};

/* Of struct rtc. */
struct actors {
    struct actor **at;
    uint32_t n, cap;
    struct rtci_map by_id, by_request;
    struct actor *held; /* those whose first call waits for an argument */
    uint32_t n_flight;  /* calls in flight, to all */
    struct actor *crowd, *crowd_last; /* those that wait because these are too many */
    bool stuck;         /* a call found no room: tried again at the next occasion */
    size_t room;        /* … which is when the ring has this much */
    bool ticking;
    uint64_t order;       /* of the call sent last, to any */
    uint64_t deadline_ns; /* nothing fails of its deadline before */
    struct call *spare;   /* small ones, to be used again */
    struct monitor *monitors, *downs, **downs_tail;
    struct ack *acks;
    char cycle[504];        /* of actors that wait for each other, in words */
    struct rtci_buf outbox; /* records that found no room */
};

/* ---- actor_registry.c ---- */
const struct rtc_actor_def *rtci_actor_def_by_hash(uint64_t hash);
const struct rtc_actor_def *rtci_actor_def_by_name(const char *name); /* NULL with the sentence */
/* The method's place in def->methods; RTC_E_UNKNOWN_METHOD with the sentence. */
int rtci_method_of(const struct rtc_actor_def *def, const char *name) RTCI_MUST_USE;
int rtci_method_by_hash(const struct rtc_actor_def *def, uint64_t hash); /* -1 */
uint64_t rtci_method_hash(const struct rtc_actor_def *def, int method);

/* ---- actor_state.c: what is known of an actor ---- */
struct actor *rtci_actor_find(struct rtc *rtc, struct rtci_id id);
/* Made when it is not there. RTC_E_INVALID, RTC_E_RELEASED for what is no handle (any more). */
int rtci_actor_of(struct rtc *rtc, rtc_actor handle, struct actor **ret_actor) RTCI_MUST_USE;
void rtci_drop_answer(struct rtc *rtc, const struct rtci_actor_is *is);
void rtci_actor_info_of(struct rtc_actor_info *info, const struct rtci_cause *cause);
void rtci_actor_try_free(struct rtc *rtc, struct actor *actor);
/* The process keeps a handle as long as calls are under way. */
void rtci_actor_pin(struct rtc *rtc, struct actor *actor);
void rtci_actor_unpin(struct rtc *rtc, struct actor *actor);
void rtci_actor_ask(struct rtc *rtc, struct actor *actor); /* where it is, unless that is known */
void rtci_actor_watch(struct rtc *rtc, struct actor *actor); /* tell me when it is there no more */
/* Blocks until it lives or is dead. */
int rtci_actor_await(struct rtc *rtc, struct actor *actor, uint64_t deadline_ns) RTCI_MUST_USE;
/* "actor counter (name "x")", of the handle. */
const char *rtci_actor_title(const struct actor *actor, char *out, size_t size);
/* Why it ended, in words; sets the sentence. Returns the code of calls to it. */
int rtci_actor_dead(const struct actor *actor);
void rtci_cause_text(const struct rtci_cause *cause, char *out, size_t size);

/* ---- actor_call.c ---- */
/* A call with the lock held; `flags`: RTCI_SPEC_*. ret_ref NULL: quiet. */
int rtci_actor_call_locked(struct rtc *rtc, rtc_actor handle, const char *method,
                           const struct rtc_args *args, uint16_t flags,
                           rtc_ref *ret_ref) RTCI_MUST_USE;

/* Makes a call of which a dead incarnation of this actor left the record: nobody wants its result. */
int rtci_actor_call_again(struct rtc *rtc, struct rtci_id to, const struct rtci_spec *spec,
                          uint64_t *ret_seq) RTCI_MUST_USE;

/* ---- actor_life.c ---- */
int rtci_actor_create_locked(struct rtc *rtc, const char *name, const struct rtc_args *args,
                             const struct rtc_actor_options *options,
                             rtc_actor *ret_actor) RTCI_MUST_USE;

/* ---- actor_flight.c: sending, answers, ends ---- */
/* Sends what can be sent of the actor's queue. */
void rtci_actor_pump(struct rtc *rtc, struct actor *actor);
void rtci_on_actor_reply(struct rtc *rtc, const struct rtci_done *done);
/* The daemon was started again: what it had taken and not passed on is sent again. */
void rtci_actor_resend(struct rtc *rtc, struct actor *actor);
/* The lane to the peer is dead: calls that it had not taken out go by the daemon. */
void rtci_actors_unsent(struct rtc *rtc, const struct rtci_peer *peer, uint64_t taken);
/* The process of the incarnation is gone; what became of its calls is decided. */
void rtci_actor_lost(struct rtc *rtc, struct actor *actor);
void rtci_actor_ended(struct rtc *rtc, struct actor *actor);

/* ---- actor_outcome.c: calls, their lists and their ends ---- */
void rtci_call_push(struct calls *calls, struct call *call);
void rtci_call_take(struct calls *calls, struct call *call);
struct call *rtci_call_new(struct rtc *rtc, size_t size);
void rtci_call_free(struct rtc *rtc, struct call *call);
struct call *rtci_call_of(struct rtc *rtc, uint64_t seq); /* NULL: it has its outcome */
/* Sets the slots from an answer, and frees the call, which stands in neither list. */
void rtci_call_complete(struct rtc *rtc, struct call *call, const struct rtci_done *done,
                        enum rtc_ran ran);
/* Its one outcome: a failure. The call is in neither list. */
void rtci_call_failed(struct rtc *rtc, struct call *call, int code, enum rtc_ran ran,
                      const char *text);

/* ---- actor_result.c ---- */
/* As rtci_slot_set(), of an answer: values that are objects of the actor's process are held here. */
void rtci_result_set(struct rtc *rtc, struct slot *slot, const struct rtci_done *done,
                     const struct rtci_resolved *row, rtc_ref ref, struct rtci_peer *peer);
void rtci_stream_add(struct rtc *rtc, struct call *call, const struct rtci_done *done);


/* ---- actor_monitor.c ---- */
void rtci_monitors_repeat(struct rtc *rtc);

/* ---- actor_ready.c: what moves on by itself ---- */
/* A record for the daemon, from where nothing may wait. */
void rtci_outbox(struct rtc *rtc, const void *record);
void rtci_note(struct rtc *rtc, struct rtci_peer *peer, uint32_t kind, struct rtci_id actor,
               struct rtci_id id, const char *text);

/* Notes: ACTOR_CALL without an order, from process to process. */
enum rtci_note {
    RTCI_NOTE_HELD = 1, /* refs[0] is held now */
    RTCI_NOTE_READ,     /* of the stream of call refs[0], some values were read */
    RTCI_NOTE_WAITS,    /* whoever made call refs[0] waits for it, through those that are named */
    RTCI_NOTE_STUCK,    /* … of whom none stops waiting by himself */
    RTCI_NOTE_GROUP,    /* between two members of a group (exec/bridge.h) */
};

/* ---- circle.c ---- */
void rtci_call_sent(struct rtc *rtc, const struct call *call);
void rtci_circle_note(struct rtc *rtc, const struct rtci_spec *note, enum rtci_note kind,
                      struct rtci_id first);

static inline struct actor *rtci_actor_meant(struct actor *actor)
{
    return actor->meant ? actor->meant : actor;
}
static inline rtc_actor rtci_actor_handle(struct rtci_id id)
{
    return (rtc_actor){.seq = id.seq, .client = id.client};
}
static inline struct rtci_id rtci_actor_id(rtc_actor actor)
{
    /* Of a light one: its host's. */
    return (struct rtci_id){actor.pad ? actor.seq & RTCI_LIGHT_SEQ_MAX : actor.seq, actor.client, 0};
}

#endif
