/* rtc/rtc.h: the public API of rtc. C11, C++-safe; link with librtc.
 *
 * Conventions, the same for every function:
 *   - returns 0 or a negative RTC_E_*; rtc_last_error() then has a sentence that says what to do;
 *   - a time is int64_t nanoseconds: RTC_FOREVER, 0 = do not wait, RTC_MS(n), RTC_S(n);
 *   - ret_* is written on success only (rtc_wait says where it differs).
 * Each function is described in this order, leaving out what is as here:
 *   Ownership: what is passed in is borrowed until the call returns; a reference that is handed out
 * is the caller's, to be released once. Thread: any thread may call at any time. Callbacks run only
 * inside rtc calls, in the thread that made the call, with no lock held. Blocks: only for a short
 * wait for memory bandwidth or a lock. Errors: those of every call with a handle are RTC_E_CLOSED
 * the handle is NULL RTC_E_FORKED        the process was forked from the one that called rtc_init()
 *     RTC_E_DISCONNECTED  the cluster's process on this host is gone for good (a daemon that
 * restarts is waited for, and nothing is lost) RTC_E_NOMEM, RTC_E_INVALID (an argument that cannot
 * be) and those of every call with a reference are RTC_E_INVALID       it was never given out
 *     RTC_E_RELEASED      it was released before
 *
 * Caveats: memory of values got from the runtime is read-only and shared; the object store is not
 * mapped in forked children; rtc_init() must stand at the top of main(), because tasks run in
 * processes that are started from this same program and never return from it. */
#ifndef RTC_RTC_H
#define RTC_RTC_H

#include <rtc/error.h>
#include <rtc/value.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define RTC_VERSION_STRING "0.1.0"

#define RTC_FOREVER ((int64_t)-1)
#define RTC_MS(n)   ((int64_t)(n)*1000000)
#define RTC_S(n)    ((int64_t)(n)*1000000000)

/* A connection to a cluster, of a driver or an executor. */
struct rtc;
/* One running task, seen from inside. */
struct rtc_call;

/* ---- Life ---- */

/* How to connect; all zero is the default. */
struct rtc_config {
    const char *address;          /* NULL: RTC_ADDRESS, else this user's daemon, else embedded.
                                     "embedded": always a private one. "unix:/path": that daemon */
    const char *name;             /* of the job, for people; NULL = the program's name */
    const char *space;            /* namespace of names and keys; NULL = "default" */
    double cpus;                  /* embedded: logical CPUs, 0 = those of the machine */
    uint64_t store_bytes;         /* embedded: limit of the object store, 0 = 30 % of RAM */
    const char *state_dir;        /* embedded: NULL = private and removed at the end */
    const char *const *resources; /* embedded: "name=amount", NULL-terminated; may be NULL */
    const char *const *labels;    /* embedded: "key=value", NULL-terminated; may be NULL */
    bool quiet;                   /* do not forward the tasks' output to this terminal */
    int64_t connect_timeout;      /* 0 = 10 s */
};

/* Joins a cluster, or starts a private one that ends with this process. In a process that the
 * runtime started to run tasks it never returns. argc, argv: those of main(), or NULL; they give
 * the job its name. config NULL = all defaults. Ownership: *ret_rtc is ended with rtc_shutdown().
 * Thread: once, before other threads use the handle. Several handles are possible.
 * Blocks: until the daemon answered, at most config->connect_timeout.
 * Errors: RTC_E_NO_CLUSTER nothing answers at the address, or the `rtc` program is not found
 * (RTC_BIN, beside the library, PATH) or ended at once; RTC_E_VERSION the daemon is of another
 * version; RTC_E_EXISTS two tasks of this program have one name; RTC_E_TIMEOUT; RTC_E_INVALID also:
 * called in a task. */
int rtc_init(int *argc, char ***argv, const struct rtc_config *config, struct rtc **ret_rtc);

/* Ends the job: tasks that are not done are cancelled, references and values of the handle become
 * invalid, an embedded cluster ends.
 * Ownership: frees *rtc and sets it to NULL, also on errors but RTC_E_INVALID. NULL is fine.
 * Thread: when no other thread is inside a call with the handle.
 * Blocks: embedded, until the cluster's processes are gone (5 s, then by force).
 * Errors: RTC_E_INVALID the handle of a task. */
int rtc_shutdown(struct rtc **rtc);

/* "RTC_E_TIMEOUT"; "RTC_E_?" for a number that is none. Valid until: for ever. */
const char *rtc_error_name(int code);
/* "the timeout of the call passed". Valid until: for ever. */
const char *rtc_error_text(int code);
/* The sentence of the last failed call of the calling thread; "" when none failed.
 * Valid until: the next rtc call of this thread. */
const char *rtc_last_error(void);

/* What became of a call whose actor died. */
enum rtc_ran { RTC_RAN_UNKNOWN, RTC_RAN_NO, RTC_RAN_YES };
/* The failure of a task, or of a call, in full. */
struct rtc_failure {
    int code;        /* RTC_E_* */
    int user_code;   /* what the task function returned, or gave to rtc_fail() */
    int exit_status; /* -1 = did not exit */
    int signal;      /* 0 = none */
    uint32_t pid, node, attempts;
    rtc_ref origin;     /* the task that failed first (differs for dependants) */
    char function[256]; /* its name */
    char text[512];
    char log[2049];   /* last lines of the executor's output */
    enum rtc_ran ran; /* of a call to an actor: was any part of it executed? */
};
/* Why the task of a failed reference failed.
 * Errors: RTC_E_NOT_FOUND it has not failed (yet). */
int rtc_failure_of(struct rtc *rtc, rtc_ref ref, struct rtc_failure *ret_failure);

/* ---- Tasks: definition ---- */

/* A function that can be submitted by its name. */
struct rtc_task_def {
    const char *name;                  /* 1 to 255 bytes */
    int (*run)(struct rtc_call *call); /* 0, or negative: the task failed */
    const char *signature;             /* "i64,f64->i64" checked at submit; NULL = anything.
                             Types: nil bool i64 u64 f64 str bytes array list map ref any; "..." as
                             the last argument: any more of any type. A reference fits every type */
    const char *file;
    int line;
};
/* RTC_TASK(square) { … }: defines and registers a task. In its body `call` is the running task.
 *
 *   RTC_TASK_SIGNATURE(add, "i64,i64->i64")
 *   {
 *       int64_t a, b;
 *       RTC_TRY(rtc_arg_i64(call, 0, &a));
 *       RTC_TRY(rtc_arg_i64(call, 1, &b));
 *       return rtc_return_i64(call, a + b);
 *   } */
#define RTC_TASK(task_name) RTC_TASK_SIGNATURE(task_name, NULL)
#define RTC_TASK_SIGNATURE(task_name, sig)                                                   \
    static int task_name(struct rtc_call *call);                                             \
    static const struct rtc_task_def rtc_task_def_##task_name = {#task_name, task_name, sig, \
                                                                 __FILE__, __LINE__};        \
    /* Runs before main(), also when it stands in a shared library. */                       \
    __attribute__((constructor)) static void rtc_task_init_##task_name(void)                 \
    {                                                                                        \
        (void)rtc_task_register(&rtc_task_def_##task_name);                                  \
    }                                                                                        \
    static int task_name(__attribute__((unused)) struct rtc_call *call)

/* Registers a task that is not known at compile time, before rtc_init(). Every process of the
 * program must register the same ones. Ownership: `def` and what it points to is borrowed for ever.
 * Thread: before rtc_init(), one at a time.
 * Errors: RTC_E_EXISTS another task has the name (rtc_init() then fails too). */
int rtc_task_register(const struct rtc_task_def *def);

/* ---- Tasks: submit ---- */

struct rtc_args {
    const struct rtc_value *items;
    size_t n; /* at most 16,384 */
};
struct rtc_amount {
    const char *name; /* at most 23 bytes */
    double amount;    /* counted in 1/10,000 */
};
struct rtc_pair {
    const char *key;
    const char *value;
};
enum rtc_place {
    RTC_PLACE_DEFAULT,  /* where the arguments are; packs nodes to 50 %, then spreads */
    RTC_PLACE_SPREAD,   /* on as many nodes as possible */
    RTC_PLACE_NODE,     /* on options->node or nowhere */
    RTC_PLACE_NODE_SOFT /* there if it has room */
};

/* A placement group: bundles of resources that are reserved together; rtc/placement.h makes them.
 * {0} is "none". */
typedef struct rtc_placement {
    uint64_t seq;
    uint32_t client;
    uint32_t pad;
} rtc_placement;

/* What a task needs and how it is treated; all zero is the default. */
struct rtc_options {
    double cpus;                        /* 0 = 1 CPU; RTC_NONE = none */
    double gpus;                        /* 0 = none */
    uint64_t gpu_mem, mem;              /* bytes; 0 = not said */
    const struct rtc_amount *resources; /* custom, at most 16 */
    size_t n_resources;
    const struct rtc_pair *labels; /* the node must have them; at most 16 */
    size_t n_labels;
    enum rtc_place place;
    uint32_t node;           /* for RTC_PLACE_NODE* */
    rtc_placement placement; /* takes its resources from this group; then without place and labels */
    uint32_t bundle;         /* of the group: RTC_BUNDLE(i), counted from 0; 0 = any of them */
    int retries;             /* after crashes: 0 = the default 3, RTC_NO_RETRY, RTC_RETRY_FOREVER */
    bool retry_on_error;     /* failures the task returned use the same budget */
    bool fail_if_infeasible; /* RTC_E_INFEASIBLE at once when no node can ever fulfil the request */
    bool detached;           /* outlives the attempt of the task that submitted it */
    int64_t deadline;        /* from now; 0 = none (a task inherits its parent's) */
    int priority;            /* higher first */
    uint32_t returns;        /* number of values returned, at most 16,384; 0 = 1 */
    const char *name;        /* for people; at most 255 bytes */
    int64_t submit_timeout;  /* when too much is in flight: 0 = wait for ever, RTC_NO_WAIT */
};
#define RTC_NONE          (-1.0)
#define RTC_BUNDLE(i)     ((uint32_t)(i) + 1)
#define RTC_NO_RETRY      (-2)
#define RTC_RETRY_FOREVER (-1)
#define RTC_NO_WAIT       ((int64_t)-2)

#ifndef __cplusplus
/* rtc_submit(rtc, "add", RTC_ARGS(rtc_i64(1), rtc_of_ref(ref)), RTC_OPTIONS(.cpus = 2), &sum) */
#define RTC_ARGS(...)                                                     \
    (&(struct rtc_args){(const struct rtc_value[]){__VA_ARGS__},          \
                        sizeof((const struct rtc_value[]){__VA_ARGS__}) / \
                            sizeof(struct rtc_value)})
#define RTC_OPTIONS(...) (&(struct rtc_options){__VA_ARGS__})
#define RTC_CONFIG(...)  (&(struct rtc_config){__VA_ARGS__})
#endif

/* Submits one task. Arguments that are references are waited for and resolved before it runs; those
 * inside lists and maps are passed as they are. args NULL = none; options NULL = defaults.
 * Ownership: ret_refs has room for max(1, options->returns) references, each to be released. The
 * task holds its arguments: their references may be released at once. Blocks: when too much is in
 * flight, at most options->submit_timeout. Errors: RTC_E_UNKNOWN_TASK; RTC_E_TYPE, RTC_E_RETURNS
 * against the task's signature; RTC_E_AGAIN too much is in flight; RTC_E_TOO_LARGE;
 * RTC_E_STORE_FULL for large arguments. What becomes of the task itself is told by rtc_get().
 * In an actor with `save` it leaves when the state is saved: rtc/actor.h. */
int rtc_submit(struct rtc *rtc, const char *task, const struct rtc_args *args,
               const struct rtc_options *options, rtc_ref *ret_refs);

/* Submits n tasks of the same function and options. args NULL = none, else n of them. All or
 * nothing: on an error none of them stays. Ownership: ret_refs: room for n × returns references,
 * those of one task together. Blocks, errors: as rtc_submit(); the timeout is that of the first. */
int rtc_submit_many(struct rtc *rtc, const char *task, const struct rtc_args *args, size_t n,
                    const struct rtc_options *options, rtc_ref *ret_refs);

/* Any executable as a task. */
struct rtc_command {
    const char *const *argv;    /* NULL-terminated; argv[0] is looked up in the executor's PATH */
    const struct rtc_pair *env; /* added to the executor's environment; value NULL removes */
    size_t n_env;
    const char *cwd; /* NULL = the driver's */
    const void *stdin_data;
    size_t stdin_size;
    const struct rtc_value
        *files;                 /* pairs name, content (str, bytes, array, or a reference to one):
                                   written into a fresh directory before, which is the cwd then */
    size_t n_files;             /* values: two for each file */
    const char *const *collect; /* files of that directory read back afterwards */
    size_t n_collect;
    size_t output_max;   /* of stdout and of stderr each; 0 = 64 KiB, the end is kept */
    bool fail_on_status; /* a status other than 0 is RTC_E_TASK_FAILED */
};
/* Submits a command. Its result is a map; read it with rtc_command_result_of().
 * Blocks, errors: as rtc_submit(). A command that cannot be started fails with RTC_E_COMMAND. */
int rtc_submit_command(struct rtc *rtc, const struct rtc_command *command,
                       const struct rtc_options *options, rtc_ref *ret_ref);

struct rtc_command_result {
    int exit_status, signal; /* -1: it did not exit; 0: no signal */
    double seconds;
    const char *out; /* bytes, not terminated */
    size_t out_size;
    const char *err;
    size_t err_size;
    struct rtc_value files; /* map name -> bytes, of those that were there */
};
/* Reads the value of a command's reference.
 * Errors: RTC_E_TYPE it is no command's. Valid until: the value is. */
int rtc_command_result_of(const struct rtc_value *value, struct rtc_command_result *ret_result);

/* ---- Futures and objects ---- */

/* Waits for the task of the reference and gives its value, without a copy of large data. In a task
 * it lends the task's CPUs out meanwhile. ret_value may be NULL. Blocks: until done, at most
 * timeout. Errors: RTC_E_TIMEOUT; the code of the task's failure (RTC_E_TASK_FAILED, RTC_E_CRASHED,
 *   RTC_E_CANCELLED, RTC_E_DEADLINE, RTC_E_DEPENDENCY, …: rtc_failure_of() has all of it);
 *   RTC_E_FOREIGN, RTC_E_NOT_FOUND for a reference of others.
 * Valid until: the reference is released; for one that was got out of another value and not
 * retained, until that one is. */
int rtc_get(struct rtc *rtc, rtc_ref ref, int64_t timeout, struct rtc_value *ret_value);
/* Waits for all. ret_values (room for n) may be NULL. Blocks, errors, valid until: as rtc_get();
 * the first failed one in order gives the error. */
int rtc_get_many(struct rtc *rtc, const rtc_ref *refs, size_t n, int64_t timeout,
                 struct rtc_value *ret_values);
/* rtc_get() and rtc_value_i64(), with the errors of both. */
int rtc_get_i64(struct rtc *rtc, rtc_ref ref, int64_t timeout, int64_t *ret_x);
/* rtc_get() and rtc_value_f64(), with the errors of both. */
int rtc_get_f64(struct rtc *rtc, rtc_ref ref, int64_t timeout, double *ret_x);

/* Waits until num_ready of the n are done or failed. Writes the indices of ready ones, in the order
 * of refs, to ret_ready (room for num_ready) and their count to ret_n; also with RTC_E_TIMEOUT.
 * Blocks: at most timeout.
 * Errors: RTC_E_TIMEOUT; RTC_E_INVALID a duplicate, or num_ready > n; RTC_E_DEADLOCK in an actor that
 * would wait for itself (rtc/actor.h). n = 0 is fine. */
int rtc_wait(struct rtc *rtc, const rtc_ref *refs, size_t n, size_t num_ready, int64_t timeout,
             size_t *ret_ready, size_t *ret_n);

/* Makes an object of a copy of the value. Small ones cost nothing until another process needs them.
 * Blocks: large ones (over 100 KiB), until there is room in the object store.
 * Errors: RTC_E_STORE_FULL, RTC_E_TYPE, RTC_E_TOO_LARGE. */
int rtc_put(struct rtc *rtc, const struct rtc_value *value, rtc_ref *ret_ref);

/* Makes an array in the object store without a copy: fill *ret_data, then rtc_seal().
 * Blocks, errors: as rtc_put(). Valid until: *ret_data is writable until the seal, 64-byte aligned.
 */
int rtc_create(struct rtc *rtc, enum rtc_dtype dtype, const int64_t *shape, int ndim,
               void **ret_data, rtc_ref *ret_ref);
/* Completes an object of rtc_create(): from now on it is immutable.
 * Errors: RTC_E_INVALID it is sealed, or was not made so. */
int rtc_seal(struct rtc *rtc, rtc_ref ref);

/* Gives a reference back. Its task, if not done, runs on; values got from it become invalid.
 * Errors: RTC_E_INVALID it was created and not sealed. */
int rtc_release(struct rtc *rtc, rtc_ref ref);
/* Releases all of them, also behind one that fails; the first error counts. */
int rtc_release_many(struct rtc *rtc, const rtc_ref *refs, size_t n);
/* Keeps a reference got as an argument or out of a value beyond its container.
 * Ownership: adds one, to be released once more. */
int rtc_retain(struct rtc *rtc, rtc_ref ref);
/* The references contained in a value, without a copy; of an item, those of the whole value.
 * Errors: RTC_E_TYPE a list that was built here, not got. Valid until: the value is. */
int rtc_value_refs(const struct rtc_value *value, const rtc_ref **ret_refs, size_t *ret_n);

enum rtc_cancel_flags { RTC_CANCEL_FORCE = 1, RTC_CANCEL_NO_CHILDREN = 2 };
/* Asks for the end of a task and of those it submitted. One that did not begin never will; one that
 * runs sees rtc_cancelled(), is sent SIGTERM after 2 s, SIGKILL after 2 more; with RTC_CANCEL_FORCE
 * SIGKILL at once. rtc_get() then gives RTC_E_CANCELLED. Does nothing to what is done. */
int rtc_cancel(struct rtc *rtc, rtc_ref ref, unsigned flags);

/* fn runs once, inside some later rtc call of this process, when ref is done or failed; inside this
 * call when it is already. It runs also if ref is released meanwhile, and when the cluster is lost: in
 * the call that finds out; inside fn ref may be got. Not in rtc_shutdown().
 * Ownership: arg is the caller's, until fn ran. */
int rtc_then(struct rtc *rtc, rtc_ref ref, void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg),
             void *arg);

/* Waits until everything submitted and put so far is acknowledged: it survives the death of the
 * daemon. Blocks: at most timeout. Errors: RTC_E_TIMEOUT. */
int rtc_flush(struct rtc *rtc, int64_t timeout);

/* A descriptor that polls readable when rtc_poll() has something to do, for event loops.
 * Ownership: the handle's; do not read or close it.
 * Errors: RTC_E_UNSUPPORTED in a task. Returns the descriptor otherwise. */
int rtc_fd(struct rtc *rtc);
/* Takes in what has arrived and runs callbacks.
 * Blocks: until something happened, at most timeout. Errors: RTC_E_TIMEOUT (not with timeout 0). */
int rtc_poll(struct rtc *rtc, int64_t timeout);

/* Makes ref the newest version of a named object of this namespace; older ones go when unread.
 * Ownership: the name holds the object until it is replaced or the job ends; ref may be released.
 * Blocks: for the answer of the head. */
int rtc_publish(struct rtc *rtc, const char *name, rtc_ref ref, uint64_t *ret_version);
/* The newest version of a named object, once it is newer than newer_than (0 = any).
 * Ownership: *ret_ref is to be released.
 * Blocks: at most timeout; 0 = only for the answer of the head.
 * Errors: RTC_E_TIMEOUT; RTC_E_NOT_FOUND with timeout 0. */
int rtc_newest(struct rtc *rtc, const char *name, uint64_t newer_than, int64_t timeout,
               rtc_ref *ret_ref, uint64_t *ret_version);

/* ---- Durable key-value store ----
 * Per namespace; outlives jobs. Keys have 1 to 1,024 bytes, values at most 512 KiB. All of these
 * functions block for the answer of the head, which has committed what they did. */

/* Sets a key. Errors: RTC_E_TOO_LARGE, also when the store is full (1 GiB). */
int rtc_kv_put(struct rtc *rtc, const char *key, const void *data, size_t size);
/* Sets a key that is not there. Errors: RTC_E_EXISTS. */
int rtc_kv_put_new(struct rtc *rtc, const char *key, const void *data, size_t size);
struct rtc_kv_pair {
    const char *key;
    const void *data;
    size_t size;
};
/* Sets many keys in one commit. Errors: RTC_E_TOO_LARGE more than 1 MiB in all. */
int rtc_kv_put_many(struct rtc *rtc, const struct rtc_kv_pair *pairs, size_t n);
/* Ownership: *ret_data is malloc'ed: free() it. Errors: RTC_E_NOT_FOUND. */
int rtc_kv_get(struct rtc *rtc, const char *key, void **ret_data, size_t *ret_size);
/* Errors: RTC_E_NOT_FOUND. */
int rtc_kv_delete(struct rtc *rtc, const char *key);
/* Calls fn for each key with the prefix ("" or NULL: all), in key order; fn returning non-zero
 * stops. Valid until: key and data are, until fn returns. fn may make rtc calls. */
int rtc_kv_list(struct rtc *rtc, const char *prefix,
                int (*fn)(void *arg, const char *key, const void *data, size_t size), void *arg);

/* ---- Inside a task ----
 * `call` is valid until the task function returns, in any thread of it. */

/* The executor's handle, to submit, put and get with. What is not released when the task ends stays
 * the executor's until it ends. */
struct rtc *rtc_call_rtc(struct rtc_call *call);
size_t rtc_arg_count(struct rtc_call *call);
/* Argument i, with references resolved.
 * Errors: RTC_E_NOT_FOUND there are fewer. Valid until: the task returns. */
int rtc_arg(struct rtc_call *call, size_t i, struct rtc_value *ret_value);
/* rtc_arg() and the reader of the type, with the errors of both; so are the next ones. */
int rtc_arg_i64(struct rtc_call *call, size_t i, int64_t *ret_x);
int rtc_arg_f64(struct rtc_call *call, size_t i, double *ret_x);
int rtc_arg_bool(struct rtc_call *call, size_t i, bool *ret_x);
/* NUL-terminated, unless it stands in a list or map; ret_len may be NULL. */
int rtc_arg_str(struct rtc_call *call, size_t i, const char **ret_text, size_t *ret_len);
int rtc_arg_bytes(struct rtc_call *call, size_t i, const void **ret_data, size_t *ret_size);
int rtc_arg_array(struct rtc_call *call, size_t i, struct rtc_array *ret_array);
/* The reference itself that was passed as argument i.
 * Errors: RTC_E_TYPE it came as a value: small puts are copied into the task unless the signature
 *   declares "ref" there. Valid until: the task returns, or rtc_retain() it. */
int rtc_arg_ref(struct rtc_call *call, size_t i, rtc_ref *ret_ref);

/* Returns the next value; as many as the submitter asked for (options.returns).
 * Blocks: large values, until there is room in the object store.
 * Errors: RTC_E_RETURNS too many, RTC_E_TYPE against the signature (the task fails with it,
 * whatever it returns then); RTC_E_STORE_FULL, RTC_E_TOO_LARGE. */
int rtc_return(struct rtc_call *call, const struct rtc_value *value);
int rtc_return_i64(struct rtc_call *call, int64_t x);
int rtc_return_f64(struct rtc_call *call, double x);
int rtc_return_str(struct rtc_call *call, const char *text);
int rtc_return_bytes(struct rtc_call *call, const void *data, size_t size);
/* Fails the task: return rtc_fail(call, -7, "no such file: %s", path). code: any negative number of
 * the task's own (failure.user_code), or an RTC_E_*. Returns code. The first call counts. */
int rtc_fail(struct rtc_call *call, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Was the task told to stop (rtc_cancel() or its deadline)? Costs a load. */
bool rtc_cancelled(struct rtc_call *call);
/* Reports progress to the driver and `rtc list tasks`; fraction from 0 to 1, text may be NULL. */
int rtc_progress(struct rtc_call *call, double fraction, const char *text);
/* Counts from 1. */
uint32_t rtc_call_attempt(struct rtc_call *call);
/* Names this task; the same in each attempt. */
rtc_ref rtc_call_id(struct rtc_call *call);

/* fn is called inside rtc calls of the driver for each progress report of its tasks; NULL ends it.
 * Valid until: text is, until fn returns. */
int rtc_on_progress(struct rtc *rtc,
                    void (*fn)(void *arg, rtc_ref task, double fraction, const char *text),
                    void *arg);

/* In tasks: hands an error on. */
#define RTC_TRY(expr)          \
    do {                       \
        int rtc_try_ = (expr); \
        if (rtc_try_ < 0)      \
            return rtc_try_;   \
    } while (0)
/* For programs' main: prints the sentence and exits with status 1. */
#define RTC_CHECK(expr) rtc_check_((expr), #expr, __FILE__, __LINE__)
void rtc_check_(int rc, const char *expr, const char *file, int line);

/* ---- Cluster ----
 * These block for the answer of the head. */

struct rtc_node_info {
    uint32_t node;
    char name[64], state[16]; /* "alive", "cordoned", … */
    double cpus, cpus_used, gpus, gpus_used;
    uint64_t mem, store_bytes, store_used; /* bytes */
    uint32_t running;                      /* tasks */
};
/* ret_n: how many there are; the first `cap` of them are written. */
int rtc_nodes(struct rtc *rtc, struct rtc_node_info *ret_nodes, size_t cap, size_t *ret_n);
/* JSON text of "status" (an object), "nodes", "tasks", "objects", "jobs", "actors" or "groups"
 * (lists of objects).
 * Ownership: *ret_json is malloc'ed: free() it. */
int rtc_query(struct rtc *rtc, const char *what, char **ret_json);
/* Why the task waits, or what became of it: one sentence, cut to size bytes.
 * Errors: RTC_E_NOT_FOUND the head does not know it any more. */
int rtc_why(struct rtc *rtc, rtc_ref ref, char *ret_text, size_t size);
/* No new tasks start on the node until it is lifted again (on = false). */
int rtc_cordon(struct rtc *rtc, uint32_t node, bool on);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
