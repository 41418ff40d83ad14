/* The executor's side: a process that runs tasks, one at a time. */
#ifndef RTCI_EXEC_EXEC_H
#define RTCI_EXEC_EXEC_H

#include "runtime/client/client.h"
#include "runtime/exec/light.h"

/* The task loop of an executor; ends the process. */
__attribute__((noreturn)) void rtci_exec_main(void);
/* The same in the `rtc` program, which runs commands. Returns an exit status when the process is no
 * executor. */
int rtci_exec_command_main(void);

/* Up to four plain arguments of a call between light actors of one host: a message's payload. A
 * handle of an actor of that host is plain too: its 52 bits. */
#define RTCI_FEW 4u
struct rtci_few {
    uint64_t v[RTCI_FEW];
    uint8_t type[RTCI_FEW];
    uint8_t n, pad;
    uint16_t returns;
};
_Static_assert(sizeof(struct rtci_few) == RTCI_LIGHT_INLINE, "fits a message");

struct cell;

/* One running task. Everything it points to is private memory of this process or the arena. */
struct rtc_call {
    struct rtc *rtc;
    const struct rtc_task_def *def;
    struct host *host;  /* a call to an actor; its caller (NULL: itself) … */
    struct rtci_peer *peer;
    struct from *from;
    struct cell *cell;  /* … to a light one … */
    bool local;         /* … by another of the same host, that gets `reply`: */
    bool small;         /* one plain value, or nothing yet */
    uint8_t small_type;
    uint64_t small_value;
    struct rtci_light_reply_to reply;
    const struct rtci_few *few; /* its arguments; NULL: those of the spec */
    uint32_t caller_node;
    bool keep;          /* what it returns is for this process */
    bool withhold;      /* its answer is sent when the state is saved */
    bool never_ran;     /* … and no part of it was executed */
    bool by_daemon;     /* a value of its stream went that way: so do the others */
    struct yields *yields; /* of its stream, once it has one */
    const char *what;   /* "task", "method" */
    struct rtc_promise *promise; /* it is answered later */
    uint64_t progress_ns;        /* of the last rtc_progress_every() that was told */
    const struct rtci_spec *spec; /* a copy: its record in the ring may be freed before the end */
    uint32_t n_returned;
    uint32_t n_rows;      /* returns declared by the submitter */
    struct rtci_buf done; /* the DONE record while it grows */
    struct rtci_buf ids;  /* of the references in large values: its end */
    struct rtci_buf held; /* ids of all references in it: retained until it is sent */
    int fail_code;        /* enum rtc_error_code: what the head is told; 0 = none */
    int user_code;
    int exit_status, signal; /* of a command */
    char fail_text[RTCI_ERROR_TEXT_MAX];
    char fail_log[RTCI_ERROR_LOG_MAX];
    size_t fail_log_len;
};

/* ---- returns.c ---- */
void rtci_call_begin(struct rtc_call *call);
void rtci_call_begin_one(struct rtc_call *call); /* for one value, whatever the caller wants */
void rtci_call_rows(struct rtc_call *call); /* an empty record of its returns */
int rtci_call_return(struct rtc_call *call, const struct rtc_value *value) RTCI_MUST_USE;
/* Completes the DONE record for what the function returned and sends it. The lock is held. */
int rtci_call_end(struct rtc_call *call, int rc, uint64_t run_ns) RTCI_MUST_USE;
/* What the function returned is a success, or why not. */
void rtci_call_judge(struct rtc_call *call, int rc);
void rtci_call_fini(struct rtc_call *call);
/* An actor's: the values so far go to the caller, who waits for more. */
int rtci_call_yield(struct rtc_call *call) RTCI_MUST_USE;
/* actor_stream.c: what the caller has no room for is kept; false: it has. */
bool rtci_stream_keep(struct rtc_call *call, const struct rtci_done *done, int *ret);
/* actor_save.c: the answer waits until the state that it tells of is saved. */
int rtci_host_withhold(struct rtc_call *call, const struct rtci_done *done) RTCI_MUST_USE;
/* actor_run.c: the object is an answer; it is kept until its reader holds it. */
int rtci_call_lend(struct rtc_call *call, rtc_ref ref) RTCI_MUST_USE;
int rtci_call_fail(struct rtc_call *call, int code, int user_code, const char *fmt, ...)
    RTCI_PRINTF(4, 5);

/* ---- light_call.c ---- */
/* True: the value is kept, or refused by *ret. */
bool rtci_return_small(struct rtc_call *call, const struct rtc_value *value, int *ret);
/* The answer to a local call; the done record goes to its caller. */
int rtci_light_send_done(struct rtc_call *call, const struct rtci_done *done, size_t size);
struct rtc_value rtci_few_value(const struct rtci_few *few, size_t i);

/* ---- call.c ---- */
/* Fetches the arguments that did not come with the task. The lock is held. */
int rtci_call_fetch(struct rtc_call *call) RTCI_MUST_USE;

/* ---- command.c, command_process.c, command_files.c ---- */
int rtci_command_run(struct rtc_call *call);

/* A command being run. Strings are borrowed from the task's argument. */
struct command {
    char **argv;
    char **envp;      /* NULL: the executor's */
    const char *path; /* argv[0], found */
    const char *cwd;
    int stdin_fd;
    size_t output_max;
    struct rtc_call *call;
    /* Filled by the run. */
    int exit_status, signal;
    double seconds;
    struct rtci_buf out, err;
};
/* Runs it to its end, or kills it when the task is cancelled. */
int rtci_command_process(struct command *command) RTCI_MUST_USE;
/* argv[0] looked up in PATH; the caller frees it. NULL with the sentence set. */
char *rtci_command_find(const char *name, const char *cwd);
/* False, with errno, when not everything could be written. */
bool rtci_write_all(int fd, const void *data, size_t size) RTCI_MUST_USE;
int rtci_files_write(const char *dir, const struct rtc_value *files, struct rtc *rtc) RTCI_MUST_USE;
/* Reads the named files; data[i] is malloc'ed, NULL when the file is not there. */
int rtci_files_collect(const char *dir, const struct rtc_value *names, void **data,
                       size_t *size) RTCI_MUST_USE;
void rtci_files_remove(const char *dir);

#endif
