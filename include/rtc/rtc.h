/* rtc/rtc.h: the public API of rtc. C11, C++-safe; link with librtc.
 *
 * Conventions, the same for every function:
 *   - returns 0 or a negative RTC_E_*; rtc_last_error() then has a sentence that says what to do;
 *   - a time is int64_t nanoseconds: RTC_FOREVER, 0 = do not wait, RTC_MS(n), RTC_S(n);
 *   - every function may be called from any thread; callbacks run only inside rtc calls;
 *   - ret_* is written on success only.
 */
#ifndef RTC_RTC_H
#define RTC_RTC_H

#include <rtc/error.h>
#include <rtc/value.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define RTC_FOREVER ((int64_t)-1)
#define RTC_MS(n)   ((int64_t)(n)*1000000)
#define RTC_S(n)    ((int64_t)(n)*1000000000)

struct rtc;      /* a connection to a cluster, of a driver or an executor */
struct rtc_call; /* one running task, seen from inside */

/* ---- Life ---- */
struct rtc_config {
    const char *address;          /* NULL: RTC_ADDRESS, else this user's daemon, else embedded.
                                     "embedded": always a private one. "unix:/path": that daemon */
    const char *name;             /* of the job, for people; NULL = the program's name */
    const char *space;            /* namespace of names and keys; NULL = "default" */
    double cpus;                  /* embedded: logical CPUs, 0 = those of the machine */
    uint64_t store_bytes;         /* embedded: arena limit, 0 = 30 % of RAM */
    const char *state_dir;        /* embedded: NULL = private and removed at the end */
    const char *const *resources; /* embedded: "name=amount", NULL-terminated; may be NULL */
    const char *const *labels;    /* embedded: "key=value", NULL-terminated; may be NULL */
    bool quiet;                   /* do not forward the tasks' output to this terminal */
    int64_t connect_timeout;      /* 0 = 10 s */
};
int rtc_init(int *argc, char ***argv, const struct rtc_config *config, struct rtc **ret_rtc);
int rtc_shutdown(struct rtc **rtc);

const char *rtc_error_name(int code); /* "RTC_E_TIMEOUT" */
const char *rtc_error_text(int code); /* "the timeout of the call passed" */
const char *rtc_last_error(void);     /* of the calling thread; "" when none */

/* The failure of a task, in full. */
struct rtc_failure {
    int code;        /* RTC_E_* */
    int user_code;   /* what the task function returned */
    int exit_status; /* -1 = did not exit */
    int signal;      /* 0 = none */
    uint32_t pid, node, attempts;
    rtc_ref origin; /* the task that failed first (differs for dependants) */
    char function[256];
    char text[512];
    char log[2049]; /* last lines of the executor's output */
};
/* RTC_E_NOT_FOUND when the reference has not failed. */
int rtc_failure_of(struct rtc *rtc, rtc_ref ref, struct rtc_failure *ret_failure);

/* ---- Tasks: definition ---- */
struct rtc_task_def {
    const char *name;
    int (*run)(struct rtc_call *call);
    const char *signature; /* "i64,f64->i64" checked at submit; NULL = anything */
    const char *file;
    int line;
};
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
#define RTC_TASK(task_name) RTC_TASK_SIGNATURE(task_name, NULL)
/* For tasks not known at compile time; before rtc_init(). `def` must stay valid. */
int rtc_task_register(const struct rtc_task_def *def);

/* ---- Tasks: submit ---- */
struct rtc_args {
    const struct rtc_value *items;
    size_t n;
};
struct rtc_amount {
    const char *name;
    double amount;
};
struct rtc_pair {
    const char *key;
    const char *value;
};
enum rtc_place { RTC_PLACE_DEFAULT, RTC_PLACE_SPREAD, RTC_PLACE_NODE, RTC_PLACE_NODE_SOFT };

struct rtc_options {
    double cpus; /* 0 = 1 CPU; RTC_NONE = none */
    double gpus;
    uint64_t gpu_mem, mem; /* bytes */
    const struct rtc_amount *resources;
    size_t n_resources; /* custom, at most 16 */
    const struct rtc_pair *labels;
    size_t n_labels; /* the node must have them */
    enum rtc_place place;
    uint32_t node;       /* for RTC_PLACE_NODE* */
    int retries;         /* after crashes: 0 = the default 3, RTC_NO_RETRY, RTC_RETRY_FOREVER */
    bool retry_on_error; /* failures the task returned use the same budget */
    bool fail_if_infeasible;
    bool detached;          /* outlives the attempt of the task that submitted it */
    int64_t deadline;       /* from now; 0 = none (a task inherits its parent's) */
    int priority;           /* higher first */
    uint32_t returns;       /* number of values returned; 0 = 1 */
    const char *name;       /* for people */
    int64_t submit_timeout; /* when too much is in flight: 0 = wait for ever, RTC_NO_WAIT */
};
#define RTC_NONE          (-1.0)
#define RTC_NO_RETRY      (-2)
#define RTC_RETRY_FOREVER (-1)
#define RTC_NO_WAIT       ((int64_t)-2)

#ifndef __cplusplus
#define RTC_ARGS(...)                                                     \
    (&(struct rtc_args){(const struct rtc_value[]){__VA_ARGS__},          \
                        sizeof((const struct rtc_value[]){__VA_ARGS__}) / \
                            sizeof(struct rtc_value)})
#define RTC_OPTIONS(...) (&(struct rtc_options){__VA_ARGS__})
#define RTC_CONFIG(...)  (&(struct rtc_config){__VA_ARGS__})
#endif

/* ret_refs: room for max(1, options->returns) references. args NULL = none. */
int rtc_submit(struct rtc *rtc, const char *task, const struct rtc_args *args,
               const struct rtc_options *options, rtc_ref *ret_refs);
/* n tasks of the same function and options; args NULL = none, else n of them. All or nothing:
 * on an error no task was submitted. ret_refs: n × returns. */
int rtc_submit_many(struct rtc *rtc, const char *task, const struct rtc_args *args, size_t n,
                    const struct rtc_options *options, rtc_ref *ret_refs);

/* Any executable as a task. Its result is a map; read it with rtc_command_result_of(). */
struct rtc_command {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const struct rtc_pair *env;
    size_t n_env;    /* added to the executor's environment */
    const char *cwd; /* NULL = the driver's */
    const void *stdin_data;
    size_t stdin_size;
    const struct rtc_value *files;
    size_t n_files; /* pairs name, content: written into a fresh
            directory before, which is the cwd then */
    const char *const *collect;
    size_t n_collect;    /* files of that directory read back afterwards */
    size_t output_max;   /* of stdout and of stderr each; 0 = 64 KiB, the end is kept */
    bool fail_on_status; /* a status other than 0 is RTC_E_TASK_FAILED */
};
int rtc_submit_command(struct rtc *rtc, const struct rtc_command *command,
                       const struct rtc_options *options, rtc_ref *ret_ref);
struct rtc_command_result {
    int exit_status, signal;
    double seconds;
    const char *out;
    size_t out_size;
    const char *err;
    size_t err_size;
    struct rtc_value files; /* map name -> bytes */
};
int rtc_command_result_of(const struct rtc_value *value, struct rtc_command_result *ret_result);

/* ---- Futures and objects ---- */
int rtc_get(struct rtc *rtc, rtc_ref ref, int64_t timeout, struct rtc_value *ret_value);
/* Waits for all; ret_values may be NULL. The first failed one (in order) gives the error. */
int rtc_get_many(struct rtc *rtc, const rtc_ref *refs, size_t n, int64_t timeout,
                 struct rtc_value *ret_values);
int rtc_get_i64(struct rtc *rtc, rtc_ref ref, int64_t timeout, int64_t *ret_x);
int rtc_get_f64(struct rtc *rtc, rtc_ref ref, int64_t timeout, double *ret_x);
/* Waits until num_ready of the n are done (or failed). Writes indices of ready ones, in the order
 * of refs, to ret_ready (room for num_ready), their count to ret_n. With RTC_E_TIMEOUT both are
 * written too. Duplicates and num_ready > n are RTC_E_INVALID; n = 0 is fine. */
int rtc_wait(struct rtc *rtc, const rtc_ref *refs, size_t n, size_t num_ready, int64_t timeout,
             size_t *ret_ready, size_t *ret_n);
int rtc_put(struct rtc *rtc, const struct rtc_value *value, rtc_ref *ret_ref);
/* Create in place, fill, seal: an array in the store without a copy. *ret_data is writable until
 * the seal. */
int rtc_create(struct rtc *rtc, enum rtc_dtype dtype, const int64_t *shape, int ndim,
               void **ret_data, rtc_ref *ret_ref);
int rtc_seal(struct rtc *rtc, rtc_ref ref);
int rtc_release(struct rtc *rtc, rtc_ref ref);
int rtc_release_many(struct rtc *rtc, const rtc_ref *refs, size_t n);
/* A reference got as an argument or out of a value, kept beyond its container: adds one, to be
 * released. */
int rtc_retain(struct rtc *rtc, rtc_ref ref);
/* References contained in a value, without a copy. Valid as the value. */
int rtc_value_refs(const struct rtc_value *value, const rtc_ref **ret_refs, size_t *ret_n);

enum rtc_cancel_flags { RTC_CANCEL_FORCE = 1, RTC_CANCEL_NO_CHILDREN = 2 };
int rtc_cancel(struct rtc *rtc, rtc_ref ref, unsigned flags);
/* fn runs once, inside some later rtc call of this process, when ref is done or failed. */
int rtc_then(struct rtc *rtc, rtc_ref ref, void (*fn)(struct rtc *rtc, rtc_ref ref, void *arg),
             void *arg);
int rtc_flush(struct rtc *rtc, int64_t timeout);
/* A descriptor that polls readable when rtc_poll() has something to do. */
int rtc_fd(struct rtc *rtc);
int rtc_poll(struct rtc *rtc, int64_t timeout);

/* Versioned broadcast objects. */
int rtc_publish(struct rtc *rtc, const char *name, rtc_ref ref, uint64_t *ret_version);
int rtc_newest(struct rtc *rtc, const char *name, uint64_t newer_than, int64_t timeout,
               rtc_ref *ret_ref, uint64_t *ret_version);

/* ---- Durable key-value store ---- */
int rtc_kv_put(struct rtc *rtc, const char *key, const void *data, size_t size);
/* RTC_E_EXISTS if the key is there */
int rtc_kv_put_new(struct rtc *rtc, const char *key, const void *data, size_t size);
struct rtc_kv_pair {
    const char *key;
    const void *data;
    size_t size;
};
int rtc_kv_put_many(struct rtc *rtc, const struct rtc_kv_pair *pairs, size_t n); /* one commit */
/* *ret_data is malloc'ed: free() it. */
int rtc_kv_get(struct rtc *rtc, const char *key, void **ret_data, size_t *ret_size);
int rtc_kv_delete(struct rtc *rtc, const char *key);
/* In key order; fn returning non-zero stops. */
int rtc_kv_list(struct rtc *rtc, const char *prefix,
                int (*fn)(void *arg, const char *key, const void *data, size_t size), void *arg);

/* ---- Inside a task ---- */
struct rtc *rtc_call_rtc(struct rtc_call *call);
size_t rtc_arg_count(struct rtc_call *call);
int rtc_arg(struct rtc_call *call, size_t i, struct rtc_value *ret_value); /* references resolved */
int rtc_arg_i64(struct rtc_call *call, size_t i, int64_t *ret_x);
int rtc_arg_f64(struct rtc_call *call, size_t i, double *ret_x);
int rtc_arg_bool(struct rtc_call *call, size_t i, bool *ret_x);
int rtc_arg_str(struct rtc_call *call, size_t i, const char **ret_text, size_t *ret_len);
int rtc_arg_bytes(struct rtc_call *call, size_t i, const void **ret_data, size_t *ret_size);
int rtc_arg_array(struct rtc_call *call, size_t i, struct rtc_array *ret_array);
int rtc_arg_ref(struct rtc_call *call, size_t i, rtc_ref *ret_ref);   /* the reference itself */
int rtc_return(struct rtc_call *call, const struct rtc_value *value); /* the next return value */
int rtc_return_i64(struct rtc_call *call, int64_t x);
int rtc_return_f64(struct rtc_call *call, double x);
int rtc_return_str(struct rtc_call *call, const char *text);
int rtc_return_bytes(struct rtc_call *call, const void *data, size_t size);
/* Fails the task with code (any negative number of the task's own, or an RTC_E_*) and a text. */
int rtc_fail(struct rtc_call *call, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool rtc_cancelled(struct rtc_call *call);
int rtc_progress(struct rtc_call *call, double fraction, const char *text);
uint32_t rtc_call_attempt(struct rtc_call *call);
rtc_ref rtc_call_id(struct rtc_call *call);
/* fn is called inside rtc calls of the driver for each progress report of its tasks. */
int rtc_on_progress(struct rtc *rtc,
                    void (*fn)(void *arg, rtc_ref task, double fraction, const char *text),
                    void *arg);

#define RTC_TRY(expr)          \
    do {                       \
        int rtc_try_ = (expr); \
        if (rtc_try_ < 0)      \
            return rtc_try_;   \
    } while (0)
/* For programs' main: prints the sentence and exits with status 1. */
#define RTC_CHECK(expr) rtc_check_((expr), #expr, __FILE__, __LINE__)
void rtc_check_(int rc, const char *expr, const char *file, int line);

/* ---- Cluster ---- */
struct rtc_node_info {
    uint32_t node;
    char name[64], state[16];
    double cpus, cpus_used, gpus, gpus_used;
    uint64_t mem, store_bytes, store_used;
    uint32_t running;
};
int rtc_nodes(struct rtc *rtc, struct rtc_node_info *ret_nodes, size_t cap, size_t *ret_n);
/* JSON text of "status", "nodes", "tasks", "objects" or "jobs"; malloc'ed. */
int rtc_query(struct rtc *rtc, const char *what, char **ret_json);
/* Why the task waits, or what became of it: one sentence. */
int rtc_why(struct rtc *rtc, rtc_ref ref, char *ret_text, size_t size);
/* No new tasks start on the node until it is lifted again (on = false). */
int rtc_cordon(struct rtc *rtc, uint32_t node, bool on);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
