/* An executor that is an actor: its host.
 *
 * One thread reads what comes in, for all; with one call at a time it runs them too. With more, each
 * concurrency group has threads of its own, and the first thread reads, sees to timers and runs
 * callbacks. Everything here needs the lock of struct rtc.
 */
#ifndef RTCI_EXEC_ACTOR_H
#define RTCI_EXEC_ACTOR_H

#include <rtc/actor.h>

#include "runtime/base/map.h"
#include "runtime/client/actor.h"
#include "runtime/client/lanes.h"
#include "runtime/client/route.h"
#include "runtime/exec/exec.h"

/* Who calls this actor. */
struct from {
    uint32_t client, node;
    struct rtci_peer *peer;
    uint64_t last;         /* order of the call that came last in its turn */
    uint64_t finished;     /* those up to it have ended … */
    struct ended *ended;   /* … and these, before others that were called before them … */
    struct ended *ended_last;
    struct message *ahead; /* came before their turn, by their order */
    struct saved *replies; /* with save: answers that it may not have */
    uint64_t ran;          /* … when: so many calls of all had run */
    uint64_t seen;         /* … the last of its calls that the state has seen */
    uint64_t saved_seq;    /* … and that the state had seen with which this incarnation began */
};

struct ended {
    struct ended *next; /* by their order */
    uint64_t order, after;
};

/* A call in the mailbox: a private copy, with rows for its references behind it, as a task has. */
struct message {
    struct message *next;
    struct from *from; /* NULL: this actor's own, by rtc_self_later() */
    uint64_t due_ns;
    int method;        /* of the class, from the mailbox on; -1: it has none such */
    bool again;        /* it ran: it is only answered, when that is saved */
    int refuse;        /* RTC_E_*: it does not run; why: */
    const char *why;
    struct rtci_spec *spec;
    _Alignas(8) uint8_t record[];
};
struct queue {
    struct message *first, **last;
    uint32_t n;
};

#define HOST_GROUPS_MAX 16u
struct group {
    const char *name; /* NULL: the actor's own */
    struct queue queue;
    uint32_t running;
};

/* An object that is the answer to somebody who does not hold it yet. */
struct lent {
    struct lent *next;
    rtc_ref ref;
};
/* A stream: what rtc_yield() gave, and nobody has read. */
struct yields {
    struct yields *next;
    struct rtci_id call;
    struct rtci_peer *peer;
    uint64_t unread;      /* sent */
    bool unlimited;       /* it was released: nobody reads */
    bool by_daemon;       /* a value went that way: so do the others */
    bool sending;         /* the first of those that were kept */
    struct kept *first, **last; /* not sent: of light actors, which do not wait for a reader … */
    size_t bytes;         /* … so many; and then the answer */
};

struct host {
    struct rtc *rtc;
    const struct rtc_actor_def *def;
    struct rtci_spec *start; /* the creation, and rows of its references */
    struct rtci_id id;
    uint32_t incarnation, mailbox, threads;
    bool mailbox_fail;
    bool restarts;   /* it may be started elsewhere */
    bool lights;     /* it is a host of light actors (light_host.c) … */
    const struct rtc_actor_def *own; /* … and itself the one of this class, when that has a name */
    void *state;
    bool up, failed; /* the constructor is done */
    bool stopping;   /* told to end, after the mailbox */
    bool leaving;    /* rtc_self_stop(): nothing more is begun */
    struct from **from;
    uint32_t n_from, cap_from;
    struct rtci_map from_by_client;
    struct group groups[HOST_GROUPS_MAX];
    uint32_t n_groups, n_waiting, n_running;
    uint32_t group_of[RTC_METHODS_MAX];
    struct rtc_task_def methods[RTC_METHODS_MAX];
    struct queue refused;
    struct message *timers; /* by their time */
    struct lent *lent;
    struct yields *yields;
    size_t kept_bytes; /* of all of them */
    uint64_t probed_ns; /* readers were last asked whether they live */
    bool streams_due;  /* one of them has a reader with room */
    struct keeping *keeping; /* it saves its state; else NULL */
    struct outbox *outbox;   /* … then: what it said to others */
    struct sources *sources; /* those who save theirs and call this one; NULL: none */
    uint32_t save_every;
    uint64_t save_after_ns;
    struct rtc_call *spare_call;
    pthread_cond_t work; /* with threads: something to run, or to do */
};

/* ---- actor.c ---- */
/* Becomes the actor of the ACTOR_START that was claimed; ends the process. */
__attribute__((noreturn)) void rtci_host_run(struct rtc *rtc, const struct rtci_spec *start,
                                             size_t size);
__attribute__((noreturn)) void rtci_host_exit(struct host *host, const char *why);

/* Before anything of the user's begins: waits while the node may be taken for dead. */
void rtci_host_leased(const struct host *host);

/* ---- actor_mail.c ---- */
void rtci_host_mail_init(struct host *host);
void rtci_host_on_call(struct rtc *rtc, const struct rtci_spec *spec);
/* The next of the group to be run; NULL. */
struct message *rtci_host_next(struct host *host, struct group *group);
struct message *rtci_message_new(const struct rtci_spec *spec, size_t size);
void rtci_host_enqueue(struct host *host, struct message *message);
void rtci_host_finished(struct host *host, const struct message *message);
/* The call has ended, or never runs: it may be told twice. */
void rtci_host_passed(struct host *host, struct from *from, const struct rtci_call *call);
/* Own calls whose time has come go to the mailbox. Returns the time of the next. */
uint64_t rtci_host_timers(struct host *host);

/* ---- actor_run.c ---- */
void rtci_host_execute(struct host *host, struct message *message);
/* By other methods than the host's: of a light actor in it. */
void rtci_host_execute_as(struct host *host, struct message *message, const char *class,
                          const struct rtc_task_def *methods, struct cell *cell);
void rtci_host_refuse(struct host *host, struct message *message);
/* The constructor, or another function of the class that is no method. */
int rtci_host_special(struct host *host, struct rtc_call *call, const struct rtci_spec *spec,
                      const char *name, int (*run)(struct rtc_call *call));
void rtci_call_give(struct host *host, struct rtc_call *call);
struct from *rtci_host_from(struct host *host, uint32_t client, uint32_t node);

/* ---- actor_save.c ---- */
/* Whose state it is: of a host of light actors, of the one that has a name. */
static inline const struct rtc_actor_def *rtci_host_class(const struct host *host)
{
    return host->own ? host->own : host->def;
}
/* At the start: reads what was saved, and makes the state of it. */
int rtci_host_load(struct host *host, struct rtc_call *call, bool *ret_loaded) RTCI_MUST_USE;
/* A call has changed the state. */
void rtci_host_ran(struct host *host, struct from *from, const struct rtci_spec *spec);
/* Begins and ends saves as it is time. `idle`: there is no call to run. Returns when to look again. */
uint64_t rtci_host_keep(struct host *host, bool idle);
/* Of the light actor that has a name: begins a save, in a turn of it. */
void rtci_host_save(struct host *host, struct cell *cell);
bool rtci_host_saved(const struct host *host);
/* No other call now: what they said is more than can leave with the next save. */
bool rtci_host_holds(const struct host *host);
/* Answers again what was answered before a crash; false: the answer is not kept any more. */
bool rtci_host_replay(struct host *host, struct from *from, uint64_t seq);
/* It ran, and is answered when the state has been saved. */
bool rtci_host_withheld(const struct host *host, const struct from *from, uint64_t seq);
void rtci_host_answered(struct host *host, struct from *from, uint64_t seq);

void rtci_host_on_held(struct rtc *rtc, struct rtci_id id);

/* ---- actor_stream.c ---- */
void rtci_host_on_read(struct rtc *rtc, struct rtci_id call, uint32_t n);
void rtci_host_on_reader_gone(struct rtc *rtc, uint32_t client);
/* Of a call that has yielded: before its answer, and after it. */
void rtci_stream_ends(struct rtc_call *call);
void rtci_stream_ended(struct rtc_call *call);
/* Sends what was kept, as far as readers have room. Not where records are read. Returns when it is to
 * be done again though nobody has read: an actor that stops waits for readers, if they live. */
uint64_t rtci_streams_flush(struct host *host);
/* The method has ended, and its answer waits behind values. */
bool rtci_stream_waits(const struct host *host, struct rtci_id call);

/* ---- actor_defer.c ---- */
/* After the method: true when it is to be answered later, and call and message are the promise's. */
bool rtci_host_deferred(struct rtc_call *call, struct message *message, int rc);

#endif
