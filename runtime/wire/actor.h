/* Records of actors and of placement groups. wire.h has the rest, and the map of all numbers.
 *
 * An actor is named by the id of its creation: {client, seq, 0} of the creator's task sequence. A
 * handle is that id: HOLD, DROP, RELEASE, and the ids contained in values count handles as they count
 * references. Among the references of a task a handle is never waited for.
 */
#ifndef RTCI_WIRE_ACTOR_H
#define RTCI_WIRE_ACTOR_H

#include "runtime/wire/wire.h"

/* ---- Creation and calls: a struct rtci_spec whose "name" is one of these, with its flag set ---- */
#define RTCI_SPEC_ACTOR 16u /* ACTOR_CREATE, ACTOR_START: struct rtci_actor_options, ns, name */
#define RTCI_SPEC_CALL  32u /* ACTOR_CALL: struct rtci_call */
#define RTCI_SPEC_QUIET 64u /* … nobody wants its result: an answer says only that it ended */
#define RTCI_SPEC_STREAM 128u /* … its values are wanted as they come */
/* ACTOR_CALL: it may have been given to its actor before. With ASK it was, and this is a question of
 * one node to another, with no arguments: is an answer still to come? */
#define RTCI_SPEC_REPEATED 256u
#define RTCI_SPEC_ASK      512u
/* SUBMIT: nobody runs it: it is done when its placement group is ready. Its one argument is its result,
 * and stands in the record. */
#define RTCI_SPEC_READY    1024u

enum rtci_actor_flags {
    RTCI_ACTOR_DETACHED = 1u,      /* outlives its driver and its handles */
    RTCI_ACTOR_GET_IF_EXISTS = 2u, /* when the name is taken, ACTOR_WHERE tells of who has it */
    RTCI_ACTOR_LIGHT = 4u,         /* it has a name, and is the first one of a host of light actors */
    RTCI_ACTOR_MAILBOX_FAIL = 8u,  /* a full mailbox refuses calls; else callers wait */
    RTCI_ACTOR_SAVES = 16u,        /* it has save and load */
};
/* ACTOR_CREATE: function = hash of the class, shape and arguments as in a SUBMIT. ACTOR_START: as in
 * a TASK; attempt = its incarnation. Then: ns, name, unpadded between. */
struct rtci_actor_options {
    int32_t max_restarts;     /* -1 = for ever */
    int32_t max_task_retries; /* of its calls; for its callers */
    uint32_t flags;           /* enum rtci_actor_flags */
    uint32_t mailbox;         /* calls in it at most; 0 = the default */
    uint32_t threads;         /* calls at a time; 0 = 1 */
    uint32_t save_every;      /* with SAVES: calls … */
    uint32_t save_after_ms;   /* … or a time after which it is saved; 0 = never */
    uint16_t ns_len;          /* 0 = the creator's */
    uint16_t name_len;        /* 0 = it has none */
};

/* ACTOR_CALL: client and seq name the call's result, function = hash of the method. One whose order is
 * 0 is a note between two processes, and has no answer: function says which. One to the actor "none"
 * is a probe, answered by the node of the process that it is for: is that there (RTCI_REPLY_NEVER_RAN,
 * RTCI_REPLY_UNKNOWN: it is not)? Routed by nodes from the caller's process to that of the actor; the
 * head's core never sees one. To a host of light actors `slot` and `job` of the spec say which of them
 * is meant, 0 the host itself; when it is made, `priority` is its mailbox and `depth` 1 when that
 * refuses what is too much. */
struct rtci_call {
    struct rtci_id actor;
    uint64_t order;       /* rises with each call that this caller sends */
    uint64_t after;       /* … to this actor: order of the one before; 0 = of none that is under way */
    uint32_t node;        /* where it goes: of ACTOR_IS */
    uint32_t client;      /* … and to whom: the executor's number */
    uint32_t incarnation; /* of the actor, as the caller knows it */
    uint32_t caller_node; /* where the answer goes; the caller's node fills it in */
    uint64_t answered;    /* the caller has the answers to its calls up to this sequence number */
};
/* A call that an actor which saves may say twice has a number, in `shape` and `retries`: with the actor
 * that makes it (`parent`), it names the call whichever incarnation says it. 0 = it has none. */
#define RTCI_PROBE        (1ull << 63) /* in the seq of a probe, which is no call's */
#define RTCI_PROBE_READER (1ull << 62) /* … of whom reads a stream; the rest is its number */
/* ACTOR_REPLY: struct rtci_done; client = the caller, attempt = the caller's node. A value that is too
 * large, or contains references, is an object of the actor's process: its row is ABSENT, and the one
 * struct rtci_id at `offset` names it; the process holds it until a note says that the caller does.
 * Flags: */
#define RTCI_REPLY_NEVER_RAN 1u /* the error says that no part of the call was executed */
#define RTCI_REPLY_UNKNOWN   2u /* … that nobody knows */
#define RTCI_REPLY_MORE      4u /* a value of a stream: others follow */
#define RTCI_REPLY_GONE      8u /* no answer: the actor's process is gone, and of this caller's calls
                                   those up to order `seq` had begun. Its row is an error, whose
                                   `origin` is the actor, `attempts` its incarnation's low bits */

/* ---- Lives of nodes: what is between two of them ends with those ---- */

/* A life ends when the head takes the node for dead. Each has a number that is more than any before, of
 * all nodes. */
struct rtci_life { /* LIFE */
    struct rtci_rec rec;
    uint32_t node;
    uint32_t lives; /* of another: it has one after that; 0: it has not */
    uint64_t life;  /* of the receiver itself: that it has; of another: this and all before ended */
};

/* ---- Life ---- */
enum rtci_cause_kind {
    RTCI_CAUSE_NONE,        /* it never ended; of one that lives again: why it did */
    RTCI_CAUSE_EXIT,        /* its process exited */
    RTCI_CAUSE_SIGNAL,      /* … was killed by a signal */
    RTCI_CAUSE_OOM,         /* … because memory ran out */
    RTCI_CAUSE_NODE_LOST,   /* its node was lost */
    RTCI_CAUSE_KILLED,      /* by a client */
    RTCI_CAUSE_STOPPED,     /* by a client, after what was in its mailbox */
    RTCI_CAUSE_CONSTRUCTOR, /* its constructor failed, or could not begin */
    RTCI_CAUSE_START,       /* no process could be started for it */
    RTCI_CAUSE_HANDLES,     /* the last handle is gone */
    RTCI_CAUSE_JOB,         /* its job ended */
    RTCI_CAUSE_LINK,        /* an actor that it is linked to died */
    RTCI_CAUSE_NAME,        /* its name is taken: by `other` */
    RTCI_CAUSE_GROUP,       /* its placement group was removed */
    RTCI_CAUSE_UNKNOWN,     /* there is no such actor (any more) */
    RTCI_CAUSE_COUNT
};
struct rtci_cause {
    uint32_t kind;       /* enum rtci_cause_kind */
    int32_t code;        /* RTC_E_*, for calls to it */
    int32_t user_code;   /* CONSTRUCTOR: what it returned */
    int32_t exit_status; /* -1 = did not exit */
    int32_t signal;      /* 0 = none */
    uint32_t node;       /* where it was */
    uint32_t pid;
    uint32_t client;     /* KILLED, STOPPED: by whom */
    struct rtci_id other;/* NAME, LINK: which */
    char text[192];      /* ends with a NUL */
};

struct rtci_actor_where { /* ACTOR_WHERE; ns, name follow: when there is a name, it counts */
    struct rtci_rec rec;
    uint64_t request;
    struct rtci_id id;
    uint32_t flags; /* RTCI_WHERE_* */
    uint16_t ns_len, name_len;
    uint32_t incarnation, pad;
};
#define RTCI_WHERE_NOWAIT  1u /* answer at once, whatever its state */
#define RTCI_WHERE_CHANGED 2u /* answer when it is not ALIVE any more, or not as this incarnation */
struct rtci_actor_is { /* ACTOR_IS */
    struct rtci_rec rec;
    uint64_t request;
    struct rtci_id id;    /* by name: of who has it; client 0 = none */
    int32_t status;       /* 0, RTC_E_NOT_FOUND */
    uint32_t state;       /* enum rtci_actor_state */
    uint32_t incarnation;
    uint32_t node, client;/* ALIVE: where calls go */
    uint32_t flags;       /* RTCI_IS_* */
    int32_t max_task_retries;
    uint32_t options;     /* enum rtci_actor_flags */
    uint32_t pid, mailbox;
    uint64_t function;    /* hash of its class */
    struct rtci_cause cause;
};
#define RTCI_IS_HELD 1u /* the id is held for this client now, as with the answer to SUBSCRIBE */

struct rtci_actor_up { /* ACTOR_UP: the constructor is done; may be repeated with what has changed */
    struct rtci_rec rec;
    struct rtci_id id;
    uint32_t incarnation;
    uint32_t pending; /* calls in its mailbox */
    uint32_t pid;
    uint32_t pad;
};
struct rtci_actor_failed { /* ACTOR_FAILED: the constructor returned an error; text follows */
    struct rtci_rec rec;
    struct rtci_id id;
    uint32_t incarnation;
    int32_t code, user_code;
    uint32_t text_len;
};
struct rtci_actor_end { /* ACTOR_STOP, ACTOR_KILL */
    struct rtci_rec rec;
    struct rtci_id id;
    uint32_t flags;       /* RTCI_END_* */
    uint32_t slot;        /* H>N */
    uint32_t incarnation; /* H>N */
    uint32_t pad;
};
#define RTCI_END_NO_RESTART 1u

/* A monitor is named by its client. Every one ends with exactly one DOWN, or by DEMONITOR; the client
 * answers a DOWN with DEMONITOR, and drops one that it has seen (after a restart it comes again). */
struct rtci_actor_monitor { /* ACTOR_MONITOR, ACTOR_DEMONITOR */
    struct rtci_rec rec;
    uint64_t monitor;
    struct rtci_id id;
};
struct rtci_actor_link { /* ACTOR_LINK: when one of them dies badly, so does the other */
    struct rtci_rec rec;
    struct rtci_id a, b;
    uint32_t op; /* 1 = link, 0 = undo */
    uint32_t pad;
};
struct rtci_actor_down { /* ACTOR_DOWN: it is dead and will not be restarted */
    struct rtci_rec rec;
    uint64_t monitor;
    struct rtci_id id;
    uint32_t incarnation;
    uint32_t pad;
    struct rtci_cause cause;
};

/* Row of QUERY ACTORS. */
struct rtci_row_actor {
    struct rtci_id id;
    uint32_t job, state; /* enum rtci_actor_state */
    uint32_t node, pid, client;
    uint32_t incarnation, restarts, pending;
    uint64_t created_ns, since_ns; /* in this state */
    char name[64], ns[64], function[64];
    char why[192]; /* what it waits for; why it died */
};

/* ---- Placement groups ---- */
enum rtci_strategy {
    RTCI_GROUP_PACK,
    RTCI_GROUP_SPREAD,
    RTCI_GROUP_STRICT_PACK,
    RTCI_GROUP_STRICT_SPREAD
};
struct rtci_bundle {
    uint32_t cpu, gpu; /* 1/10,000 */
    uint64_t gpu_mem, mem;
    uint32_t n_custom; /* of the struct rtci_custom[] behind all bundles, in their order */
    uint32_t pad;
};
struct rtci_group_create { /* GROUP_CREATE: struct rtci_bundle[], then struct rtci_custom[] */
    struct rtci_rec rec;
    uint64_t request;
    struct rtci_id id; /* of the creator's sequence */
    uint32_t strategy; /* enum rtci_strategy */
    uint32_t n_bundles;
};
struct rtci_group_remove { /* GROUP_REMOVE, GROUP_WHERE: answered when it is ready, or cannot be */
    struct rtci_rec rec;
    uint64_t request;
    struct rtci_id id;
    uint32_t flags; /* of GROUP_WHERE: RTCI_WHERE_NOWAIT */
    uint32_t pad;
};
/* GROUP_IS: ready, or why not; uint32_t[n], the nodes of its bundles, follow (0 = it has none). Only
 * the answer to a NOWAIT has them of a group that is not ready. */
struct rtci_group_is {
    struct rtci_rec rec;
    uint64_t request;
    struct rtci_id id;
    int32_t status;
    uint32_t state; /* enum rtci_group_state */
    uint32_t n;
    uint32_t pad;
    char text[192];
};
/* Row of QUERY GROUPS. */
struct rtci_row_group {
    struct rtci_id id;
    uint32_t job, state, strategy, bundles, placed, slots;
    uint64_t created_ns;
    char why[192];
};

/* What an ACTOR_CREATE, ACTOR_START or ACTOR_CALL says beside its arguments. */
static inline const struct rtci_actor_options *rtci_spec_options(const struct rtci_spec *spec)
{
    return (const struct rtci_actor_options *)rtci_spec_name(spec);
}
static inline const char *rtci_options_ns(const struct rtci_actor_options *options)
{
    return (const char *)(options + 1);
}
static inline const char *rtci_options_name(const struct rtci_actor_options *options)
{
    return rtci_options_ns(options) + options->ns_len;
}
static inline const struct rtci_call *rtci_spec_call(const struct rtci_spec *spec)
{
    return (const struct rtci_call *)rtci_spec_name(spec);
}

static inline uint64_t rtci_call_number(const struct rtci_spec *spec)
{
    return (uint64_t)(uint32_t)spec->retries << 32 | spec->shape;
}
/* Up to 2^63 - 1. */
static inline void rtci_call_set_number(struct rtci_spec *spec, uint64_t number)
{
    spec->shape = (uint32_t)number;
    spec->retries = (int32_t)(number >> 32);
}

/* check_actor.c: a record of these; its size is checked to be inside. */
bool rtci_check_actor(const struct rtci_rec *rec);
/* check.c: the part before the name, and all of a TASK or ACTOR_START. */
bool rtci_check_spec(const struct rtci_rec *rec, uint32_t name_max, bool resolved);

#endif
