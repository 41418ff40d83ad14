/* rtc/actor.h: actors, state with methods, in a process of their own, or many in one. Conventions as
 * in rtc/rtc.h.
 *
 * An actor runs one call at a time (or as many as its options say). The calls of one caller process
 * to one actor run in the order they were made, whatever happens in between. A handle is a small
 * value to copy and to pass as an argument; each one that a function of this file hands out is
 * released once. With the last handle, wherever it is, the actor ends, unless it is detached.
 *
 * An actor with `save` answers a call when the state that it made is saved, and a call that is made
 * again after a crash changes the state once. An answer is kept until its caller has called again; of
 * callers that fell silent as far as there is room: 512 KiB with the state, and the 4,096 that called
 * last. What such an actor says to others, by calls to actors and by submitting tasks, is withheld
 * until the same save is committed, and stands in it until it was answered: a process that dies before
 * has said nothing, and what one that dies after may not have said, the next incarnation says (if there
 * is one: max_restarts). Who is called drops what it has seen. So each call arrives once, in its order,
 * and each task is submitted once. References, cancels, releases and deadlines are as ever; a cancelled
 * call never leaves, a cancelled task leaves with its cancel. Where this ends:
 *   - Who waits in a method (rtc_get(), rtc_wait(), rtc_next(), rtc_flush(), rtc_poll(),
 *     rtc_actor_ready() and the like, of what is not there yet; a full mailbox) could wait for what is
 *     withheld: then everything that the actor has said so far leaves at once, and is said again when
 *     a method whose state was not saved runs again. So does it when what is put into an object of
 *     more than 100 KiB, published by name, yielded or given to a constructor refers to a withheld
 *     task. rtc_then() does not wait; nor does who looks without a timeout: rtc_flush() helps.
 *   - Puts, creations, stops, kills, links, monitors, versions by name, keys, files and the values of
 *     rtc_yield() leave at once. Calls to an actor that was created in the method are withheld.
 *   - Calls with options.stream, with arguments that are references (handles may be) or larger than
 *     100 KiB, those that have no room in the 512 KiB, and those by a handle of get_if_exists before it
 *     is known whose it is, leave when the save is committed, and are lost with a process that dies
 *     before they have arrived.
 *   - An actor without `save` knows what it has seen while its process lives, any actor of the 4,096
 *     with `save` that called it last.
 *   - The results of what the next incarnation says are nobody's: references end with their process.
 *   - Submitted once, a task runs as its options say: again after a crash (options.retries). It goes on
 *     when the actor that submitted it ends or starts again, until its job ends. A host that is lost in
 *     the instant in which the save was sent, and the tasks were not, takes these with it; so does a
 *     method that submits more than 1 MiB, with its process. More than 16 MiB is RTC_E_AGAIN.
 *
 * What happened to a call whose actor died is told by its failure: RTC_E_ACTOR_DEAD with
 * rtc_failure.ran = RTC_RAN_NO (no part of it was executed), RTC_RAN_YES or RTC_RAN_UNKNOWN.
 *
 * Light actors (options.isolation = RTC_LIGHT) are the same classes, and many share a host: a process
 * with a thread for each core, one for each job and kind of needs. One costs some 200 bytes beside its
 * state, a call between two of one host less than a microsecond. What is different:
 *   - A method does not wait. rtc_get(), rtc_wait(), rtc_next(), rtc_actor_ready() and the like of
 *     what is not there yet are RTC_E_UNSUPPORTED at once (rtc_get(), rtc_wait() and rtc_next() with
 *     timeout 0 are RTC_E_TIMEOUT, as ever); rtc_then() goes on in a turn of this actor, never beside
 *     its methods. A method that computes for long holds up others of its host.
 *   - The reference of a call to another light actor of its host is for this actor alone, with
 *     rtc_then() (once), rtc_get(), rtc_failure_of(), rtc_retain() and rtc_release(): it is no
 *     argument. References as arguments of such a call have to be there already.
 *   - Those that a light actor creates live in its own host.
 *   - A crash ends the host and all actors in it: their calls fail and their monitors are told with
 *     that cause. rtc_actor_create() then makes another host.
 *   - One with a name has a host of its own, which those that it creates share. The head knows it as a
 *     process actor: get_if_exists, detached, max_restarts, call_retries, links, counted handles and
 *     `save` are as there. Its own state is saved; those that it creates end with a crash, and get its
 *     answers before they are saved; what its methods say to others leaves at once, and is said again
 *     when a method runs again, and a call that is made to it again is answered before it is saved.
 *     The next four points are about those without a name.
 *   - They do not start again by themselves, and are linked only with others of their host.
 *   - They have no `save` in their class, max_restarts or call_retries: RTC_E_UNSUPPORTED.
 *   - Their handles are counted where the actor was created, in its host, and where rtc_actor_retain()
 *     was called, which waits for the host. One that went to another process by an argument, a result
 *     or an object lives until it is stopped or killed, or its job ends. A process that dies, and a
 *     light actor that is killed, take back no handles; a second release is found only in the host.
 *   - mailbox: messages that wait in it, from all callers of its host; 0 = 1,024. Who sends to a full
 *     one is not run until it is half empty, or is refused (mailbox_fail).
 *   - rtc_yield() does not wait for the reader: of values for which there is no room yet (256 are
 *     unread) 4 MiB are kept, 64 MiB for all streams of the host, none where the state is saved; then
 *     it is RTC_E_AGAIN. They reach their reader though the actor is dead by then, not when its host
 *     is. Readers are in other processes: between two of one host options.stream is
 *     RTC_E_UNSUPPORTED. One that reads the stream of another process gets with timeout 0 what is
 *     there; rtc_then() tells the end of it, and nothing tells that there is a next value.
 *   - None has threads or groups of methods, because it runs one call at a time: RTC_E_UNSUPPORTED. */
#ifndef RTC_ACTOR_H
#define RTC_ACTOR_H

#include <rtc/rtc.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* ---- Definition ---- */

#define RTC_METHODS_MAX 64

/* A method is a function as a task's is: arguments with rtc_arg*(), results with rtc_return*(). */
struct rtc_method_def {
    const char *name;
    int (*run)(struct rtc_call *call);
    const char *signature; /* as a task's; NULL = anything */
    const char *group;     /* concurrency group; NULL = the actor's own */
};
struct rtc_actor_def {
    const char *name;
    size_t state_size;                  /* zeroed before init */
    int (*init)(struct rtc_call *call); /* the constructor; NULL: zeros are fine */
    void (*drop)(void *state);          /* at a stop, not at a crash; may be NULL */
    int (*save)(struct rtc_call *call); /* returns one value, from which … */
    int (*load)(struct rtc_call *call); /* … its argument 0, the state is made again */
    const char *file;
    int line;
    struct rtc_method_def methods[RTC_METHODS_MAX]; /* up to the first without a name */
};
/*   struct counter { int64_t total; };
 *   static int add(struct rtc_call *call)
 *   {
 *       struct counter *self = rtc_self(call);
 *       int64_t x;
 *       RTC_TRY(rtc_arg_i64(call, 0, &x));
 *       return rtc_return_i64(call, self->total += x);
 *   }
 *   RTC_ACTOR(counter, struct counter, .methods = {RTC_METHOD(add)}); */
#define RTC_METHOD(function)               \
    {                                      \
        .name = #function, .run = function \
    }
#define RTC_METHOD_SIGNATURE(function, sig)                  \
    {                                                        \
        .name = #function, .run = function, .signature = sig \
    }
#define RTC_ACTOR(actor_name, state_type, ...)                                              \
    static const struct rtc_actor_def rtc_actor_def_##actor_name = {.name = #actor_name,    \
                                                                    .state_size =           \
                                                                        sizeof(state_type), \
                                                                    .file = __FILE__,       \
                                                                    .line = __LINE__,       \
                                                                    __VA_ARGS__};           \
    __attribute__((constructor)) static void rtc_actor_init_##actor_name(void)              \
    {                                                                                       \
        (void)rtc_actor_register(&rtc_actor_def_##actor_name);                              \
    }                                                                                       \
    struct rtc_actor_def
/* As rtc_task_register(). */
int rtc_actor_register(const struct rtc_actor_def *def);

/* ---- Life ---- */

typedef struct rtc_actor {
    uint64_t seq;
    uint32_t client;
    uint32_t pad;
} rtc_actor;

enum rtc_isolation {
    RTC_PROCESS, /* a process of its own */
    RTC_LIGHT    /* shares one: see above */
};

/* All zero is the default. */
struct rtc_actor_options {
    const char *name;   /* unique in its space while it lives; NULL = none */
    const char *space;  /* NULL = the creator's (rtc_config.space) */
    bool get_if_exists; /* a taken name gives a handle of who has it, not an error */
    bool detached;      /* outlives its driver and its handles; wants a name */
    enum rtc_isolation isolation;
    int max_restarts;    /* after crashes; 0 = none, RTC_RETRY_FOREVER */
    int call_retries;    /* of calls in flight at a crash: 0 = at most once, n = at
                            least once, with `save` exactly once */
    uint32_t mailbox;    /* calls waiting at most, of each caller; 0 = 65,536 (light: above) */
    bool mailbox_fail;   /* a full one refuses with RTC_E_AGAIN; else callers wait */
    uint32_t threads;    /* calls at a time; 0 = 1 */
    uint32_t save_every; /* calls; 0 = 1 where the class has `save` */
    int64_t save_after;  /* … or after this time, whatever comes first; 0 = never */
    const struct rtc_options
        *needs; /* resources, labels, place, placement; NULL: 1 CPU (light: 0) */
};
/* Creates an actor and gives its handle at once; its constructor runs when there is room for it.
 * args are those of `init`. Blocks, errors: as rtc_submit(); RTC_E_UNKNOWN_ACTOR. A constructor
 * that fails, or a name that is taken, is told by rtc_actor_ready() and by every call.
 * The first light actor waits for the process of its host, and now and then one for an answer of it.
 * Errors: RTC_E_UNSUPPORTED an option that a light actor cannot have. */
int rtc_actor_create(struct rtc *rtc, const char *actor, const struct rtc_args *args,
                     const struct rtc_actor_options *options, rtc_actor *ret_actor);
/* Waits until the constructor is done.
 * Blocks: at most timeout. Errors: RTC_E_TIMEOUT; RTC_E_ACTOR_DEAD with the cause in the sentence;
 * RTC_E_EXISTS its name is taken; RTC_E_TASK_FAILED its constructor failed. */
int rtc_actor_ready(struct rtc *rtc, rtc_actor actor, int64_t timeout);
/* A handle of the actor that has the name (space NULL = own).
 * Blocks: until one that lives has it, at most timeout; 0 = only for the answer of the head.
 * Errors: RTC_E_NOT_FOUND with timeout 0, RTC_E_TIMEOUT. */
int rtc_actor_find(struct rtc *rtc, const char *space, const char *name, int64_t timeout,
                   rtc_actor *ret_actor);
int rtc_actor_release(struct rtc *rtc, rtc_actor actor);
/* Keeps a handle that came as an argument or in a value. Adds one, to be released once more. */
int rtc_actor_retain(struct rtc *rtc, rtc_actor actor);
/* Ends it when what is in its mailbox is done; later calls fail. */
int rtc_actor_stop(struct rtc *rtc, rtc_actor actor);
enum rtc_kill_flags { RTC_KILL_RESTART = 1 };
/* Ends it now; with RTC_KILL_RESTART as a crash does: it starts again while it may. */
int rtc_actor_kill(struct rtc *rtc, rtc_actor actor, unsigned flags);

enum rtc_actor_state {
    RTC_ACTOR_CREATED, /* an argument of its constructor is not there yet */
    RTC_ACTOR_PENDING, /* waits for resources: rtc_actor_info.why says which */
    RTC_ACTOR_STARTING,
    RTC_ACTOR_ALIVE,
    RTC_ACTOR_RESTARTING,
    RTC_ACTOR_DEAD
};
enum rtc_cause {
    RTC_CAUSE_NONE,
    RTC_CAUSE_EXIT,   /* its process exited */
    RTC_CAUSE_SIGNAL, /* … was killed by a signal */
    RTC_CAUSE_OOM,    /* … because memory ran out */
    RTC_CAUSE_NODE_LOST,
    RTC_CAUSE_KILLED,      /* rtc_actor_kill() */
    RTC_CAUSE_STOPPED,     /* rtc_actor_stop() */
    RTC_CAUSE_CONSTRUCTOR, /* its constructor failed */
    RTC_CAUSE_START,       /* no process could be started for it */
    RTC_CAUSE_HANDLES,     /* the last handle is gone */
    RTC_CAUSE_JOB,         /* its job ended */
    RTC_CAUSE_LINK,        /* an actor that it is linked to died */
    RTC_CAUSE_NAME,        /* its name is taken */
    RTC_CAUSE_GROUP,       /* its placement was removed */
    RTC_CAUSE_UNKNOWN      /* there is no such actor (any more) */
};
struct rtc_actor_info {
    enum rtc_actor_state state;
    enum rtc_cause cause; /* DEAD; of one that lives again: why it had to */
    int code;             /* RTC_E_* of calls to it when DEAD */
    int user_code, exit_status, signal;
    uint32_t node, pid, incarnation; /* incarnation counts from 1 */
    char text[256];                  /* the cause, in a sentence */
};
/* Blocks: for the answer of the head. Errors: RTC_E_NOT_FOUND. */
int rtc_actor_info(struct rtc *rtc, rtc_actor actor, struct rtc_actor_info *ret_info);

/* ---- Calls ---- */

struct rtc_call_options {
    uint32_t returns;       /* values; 0 = 1 */
    int64_t deadline;       /* from now: the call fails with RTC_E_DEADLINE; 0 = none */
    int64_t submit_timeout; /* mailbox or ring full: 0 = wait for ever, RTC_NO_WAIT */
    bool stream;            /* the method yields: read it with rtc_next() */
};
#ifndef __cplusplus
#define RTC_ACTOR_OPTIONS(...) (&(struct rtc_actor_options){__VA_ARGS__})
#define RTC_CALL_OPTIONS(...)  (&(struct rtc_call_options){__VA_ARGS__})
#endif
/* Calls a method. The result is a future as a task's: rtc_get(), rtc_wait(), rtc_then(),
 * rtc_release(). An argument that is a reference holds this and later calls to the actor until it
 * is there; so does an actor that does not live yet. What is held is sent by later calls of rtc in
 * this process: rtc_flush() waits for that. Ownership: ret_refs has room for max(1,
 * options->returns) references; NULL: nobody wants to know (fire and forget: not even a failure is
 * told). Blocks: while the mailbox is full (of this process's own calls), at most
 * options->submit_timeout. Errors: those of rtc_submit(); RTC_E_UNKNOWN_METHOD where the class is
 * known here; RTC_E_ACTOR_DEAD. An actor of one thread that gets the result of a call which waits
 * for itself, or for others that wait for it, is told RTC_E_DEADLOCK by rtc_get(), with the cycle;
 * by rtc_wait() when that is certain: it has no timeout, of its references more are results of such
 * actors than it can do without, and no wait or call of the cycle has a timeout or deadline.
 * A result that is passed to a task before it is there makes rtc_submit() wait for it. */
int rtc_actor_call(struct rtc *rtc, rtc_actor actor, const char *method,
                   const struct rtc_args *args, const struct rtc_call_options *options,
                   rtc_ref *ret_refs);
/* The same call to n actors. ret_refs: room for n × returns, or NULL. */
int rtc_actor_call_many(struct rtc *rtc, const rtc_actor *actors, size_t n, const char *method,
                        const struct rtc_args *args, const struct rtc_call_options *options,
                        rtc_ref *ret_refs);
/* The next value of a call with options.stream.
 * Blocks: until there is one, at most timeout. Errors: RTC_E_END there are no more; RTC_E_TIMEOUT;
 * those of rtc_get(). Valid until: the next rtc_next() with this reference, or its release. */
int rtc_next(struct rtc *rtc, rtc_ref ref, int64_t timeout, struct rtc_value *ret_value);
/* As a value; rtc_value_actor() is its reader. */
struct rtc_value rtc_of_actor(rtc_actor actor);
int rtc_value_actor(const struct rtc_value *value, rtc_actor *ret_actor);
int rtc_arg_actor(struct rtc_call *call, size_t i, rtc_actor *ret_actor);

/* ---- Inside an actor ---- */

/* The state; NULL in a task. Valid until: the call returns. */
void *rtc_self(struct rtc_call *call);
/* This actor's own handle, not to be released. */
rtc_actor rtc_self_actor(struct rtc_call *call);
/* Counts from 1: how often this actor was started. */
uint32_t rtc_self_incarnation(struct rtc_call *call);
/* Calls a method of this actor, behind what is in its mailbox, after a delay. */
int rtc_self_later(struct rtc_call *call, int64_t delay, const char *method,
                   const struct rtc_args *args);
/* Ends this actor after this call. */
int rtc_self_stop(struct rtc_call *call);
/* Gives the caller a value of a stream before the method ends.
 * Blocks: while 256 are unread and their reader lives; in a light actor never. Errors: RTC_E_AGAIN
 * there is no room (in a light actor); RTC_E_INVALID the call has not options.stream. */
int rtc_yield(struct rtc_call *call, const struct rtc_value *value);

/* An answer that is given later: the method ends, other calls run, and some later one gives it.
 * After rtc_defer() the method returns 0 and has nothing to return. Ownership: the promise is this
 * actor's until one of the two functions below was called, which frees it. Errors:
 * RTC_E_UNSUPPORTED in a task, in a stream, and in a class with `save`. */
struct rtc_promise;
int rtc_defer(struct rtc_call *call, struct rtc_promise **ret_promise);
int rtc_promise_return(struct rtc_promise *promise, const struct rtc_value *value);
int rtc_promise_fail(struct rtc_promise *promise, int code, const char *text);

/* ---- Supervision ---- */

struct rtc_down {
    uint64_t monitor;
    rtc_actor actor;
    struct rtc_actor_info info; /* state DEAD, with the cause */
};
/* fn is called exactly once, inside some later rtc call of this process (in an actor: also between
 * its calls), when the actor is dead for good; at once for one that is dead already. */
int rtc_monitor(struct rtc *rtc, rtc_actor actor,
                void (*fn)(struct rtc *rtc, const struct rtc_down *down, void *arg), void *arg,
                uint64_t *ret_monitor);
int rtc_demonitor(struct rtc *rtc, uint64_t monitor);
/* When one of them dies by a crash, a kill or its link, so does the other. */
int rtc_link(struct rtc *rtc, rtc_actor a, rtc_actor b);
int rtc_unlink(struct rtc *rtc, rtc_actor a, rtc_actor b);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
