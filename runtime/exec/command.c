/* Commands as tasks, the executor's side: the map that describes one becomes a process, its end a
 * map. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/exec/exec.h"

#define OUTPUT_MAX_DEFAULT (64 * RTCI_KIB)

extern char **environ;

/* What one run allocates, freed in one place. */
struct scratch {
    char **argv, **envp;
    char *path;
    size_t n_env_own; /* the first so many of envp are ours to free */
    char dir[128];    /* "" = none was made */
    void **data;
    size_t *size;
    size_t n_collect;
    struct rtc_value *pairs;
};

static char *copy_text(const struct rtc_value *v)
{
    return v->type == RTC_STRING ? strndup(v->as.bytes.data, v->as.bytes.size) : NULL;
}

static int build_argv(const struct rtc_value *map, struct scratch *s)
{
    struct rtc_value argv, item;
    RTCI_TRY(rtc_value_find(map, "argv", &argv));
    size_t n = rtc_value_len(&argv);
    s->argv = calloc(n + 1, sizeof(*s->argv));
    if (!s->argv || n == 0)
        return rtci_error(RTC_E_NOMEM, "out of memory for the arguments of the command");
    for (size_t i = 0; i < n; i++) {
        RTCI_TRY(rtc_value_at(&argv, i, &item));
        if (!(s->argv[i] = copy_text(&item)))
            return rtci_error(RTC_E_NOMEM, "out of memory for the arguments of the command");
    }
    return 0;
}

/* The executor's environment with the command's on top; a nil value removes. */
static int build_env(const struct rtc_value *map, struct scratch *s)
{
    struct rtc_value env, key, value;
    RTCI_TRY(rtc_value_find(map, "env", &env));
    size_t n = rtc_value_len(&env), n_old = 0;
    if (n == 0)
        return 0;
    while (environ[n_old])
        n_old++;
    char **envp = s->envp = calloc(n + n_old + 1, sizeof(*envp));
    if (!envp)
        return rtci_error(RTC_E_NOMEM, "out of memory for the environment of the command");
    size_t n_new = 0;
    for (size_t i = 0; i < n; i++) {
        RTCI_TRY(rtc_value_at(&env, 2 * i, &key));
        RTCI_TRY(rtc_value_at(&env, 2 * i + 1, &value));
        if (value.type != RTC_STRING)
            continue;
        if (asprintf(&envp[n_new], "%.*s=%.*s", (int)key.as.bytes.size,
                     (const char *)key.as.bytes.data, (int)value.as.bytes.size,
                     (const char *)value.as.bytes.data) < 0)
            return rtci_error(RTC_E_NOMEM, "out of memory for the environment of the command");
        s->n_env_own = ++n_new;
    }
    for (size_t i = 0; i < n_old; i++) {
        bool replaced = false;
        for (size_t k = 0; k < n && !replaced; k++) {
            RTCI_TRY(rtc_value_at(&env, 2 * k, &key));
            replaced = strncmp(environ[i], key.as.bytes.data, key.as.bytes.size) == 0 &&
                       environ[i][key.as.bytes.size] == '=';
        }
        if (!replaced)
            envp[n_new++] = environ[i];
    }
    return 0;
}

static int open_stdin(const struct rtc_value *map, int *ret_fd)
{
    struct rtc_value v;
    const void *data;
    size_t size;
    *ret_fd = -1;
    RTCI_TRY(rtc_value_find(map, "stdin", &v));
    RTCI_TRY(rtc_value_bytes(&v, &data, &size));
    if (size == 0)
        return 0;
    int fd = memfd_create("stdin", MFD_CLOEXEC);
    if (fd < 0 || !rtci_write_all(fd, data, size) || lseek(fd, 0, SEEK_SET) < 0) {
        int err = errno;
        if (fd >= 0)
            close(fd);
        return rtci_error(RTC_E_OS, "making the standard input of the command: %s", strerror(err));
    }
    *ret_fd = fd;
    return 0;
}

static int prepare_dir(struct rtc_call *call, const struct rtc_value *map, struct scratch *s,
                       struct rtc_value *ret_collect)
{
    struct rtc_value files;
    RTCI_TRY(rtc_value_find(map, "files", &files));
    RTCI_TRY(rtc_value_find(map, "collect", ret_collect));
    if (rtc_value_len(&files) == 0 && rtc_value_len(ret_collect) == 0)
        return 0;
    const char *tmp = getenv("TMPDIR");
    snprintf(s->dir, sizeof(s->dir), "%.100s/rtc-command-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    if (!mkdtemp(s->dir)) {
        s->dir[0] = '\0';
        return rtci_error(RTC_E_OS, "making a folder for the command in %s: %s", tmp ? tmp : "/tmp",
                          strerror(errno));
    }
    return rtci_files_write(s->dir, &files, call->rtc);
}

static int return_result(struct rtc_call *call, const struct command *c, struct scratch *s,
                         const struct rtc_value *collect)
{
    size_t n = rtc_value_len(collect), n_files = 0;
    s->n_collect = n;
    s->data = calloc(n + 1, sizeof(*s->data));
    s->size = calloc(n + 1, sizeof(*s->size));
    s->pairs = calloc(2 * n + 1, sizeof(*s->pairs));
    if (!s->data || !s->size || !s->pairs)
        return rtci_error(RTC_E_NOMEM, "out of memory for the files of the command");
    RTCI_TRY(rtci_files_collect(s->dir, collect, s->data, s->size));
    for (size_t i = 0; i < n; i++) {
        struct rtc_value name;
        RTCI_TRY(rtc_value_at(collect, i, &name));
        if (!s->data[i])
            continue;
        s->pairs[2 * n_files] = name;
        s->pairs[2 * n_files++ + 1] = rtc_bytes(s->data[i], s->size[i]);
    }
    struct rtc_value pairs[] = {
        rtc_str("exit"),    rtc_i64(c->exit_status),
        rtc_str("signal"),  rtc_i64(c->signal),
        rtc_str("seconds"), rtc_f64(c->seconds),
        rtc_str("out"),     rtc_bytes(c->out.data, c->out.len),
        rtc_str("err"),     rtc_bytes(c->err.data, c->err.len),
        rtc_str("files"),   rtc_map(s->pairs, n_files),
    };
    struct rtc_value result = rtc_map(pairs, sizeof(pairs) / sizeof(pairs[0]) / 2);
    return rtc_return(call, &result);
}

/* A status that the submitter takes for a failure: the end of stderr goes with it. */
static int fail_status(struct rtc_call *call, const struct command *c)
{
    const struct rtci_buf *log = c->err.len ? &c->err : &c->out;
    call->exit_status = c->exit_status;
    call->signal = c->signal;
    call->fail_log_len = log->len < sizeof(call->fail_log) ? log->len : sizeof(call->fail_log);
    if (call->fail_log_len)
        memcpy(call->fail_log, log->data + log->len - call->fail_log_len, call->fail_log_len);
    if (c->signal)
        return rtci_call_fail(call, RTC_E_TASK_FAILED, 0, "%s was killed by signal %d (%s)",
                              c->argv[0], c->signal, strsignal(c->signal));
    return rtci_call_fail(call, RTC_E_TASK_FAILED, 0, "%s ended with status %d", c->argv[0],
                          c->exit_status);
}

static int run_prepared(struct rtc_call *call, const struct rtc_value *map, struct command *c,
                        struct scratch *s)
{
    struct rtc_value v, collect;
    uint64_t output_max = 0;
    bool fail = false;
    RTCI_TRY(build_argv(map, s));
    RTCI_TRY(build_env(map, s));
    RTCI_TRY(open_stdin(map, &c->stdin_fd));
    RTCI_TRY(prepare_dir(call, map, s, &collect));
    RTCI_TRY(rtc_value_find(map, "output_max", &v));
    RTCI_TRY(rtc_value_u64(&v, &output_max));
    RTCI_TRY(rtc_value_find(map, "fail", &v));
    RTCI_TRY(rtc_value_bool(&v, &fail));
    char *cwd = NULL;
    if (!s->dir[0]) {
        RTCI_TRY(rtc_value_find(map, "cwd", &v));
        cwd = copy_text(&v);
    }
    c->cwd = s->dir[0] ? s->dir : cwd;
    c->argv = s->argv;
    c->envp = s->envp;
    c->output_max = output_max ? output_max : OUTPUT_MAX_DEFAULT;
    s->path = rtci_command_find(s->argv[0], c->cwd);
    c->path = s->path;
    int rc = s->path ? rtci_command_process(c) : RTC_E_COMMAND;
    free(cwd);
    RTCI_TRY(rc);
    if (fail && (c->exit_status != 0 || c->signal != 0))
        return fail_status(call, c);
    return return_result(call, c, s, &collect);
}

int rtci_command_run(struct rtc_call *call)
{
    struct rtc_value map;
    struct scratch s = {0};
    struct command c = {.stdin_fd = -1, .call = call};
    RTCI_TRY(rtc_arg(call, 0, &map));
    int rc = map.type == RTC_MAP ? run_prepared(call, &map, &c, &s)
                                 : rtci_error(RTC_E_TYPE, "a command is described by a map");
    if (rc < 0 && call->fail_code == 0)
        rtci_call_fail(call, rc == RTC_E_COMMAND || rc == RTC_E_CANCELLED ? rc : RTC_E_TASK_FAILED,
                       rc, "%s", rtc_last_error());
    if (c.stdin_fd >= 0)
        close(c.stdin_fd);
    rtci_buf_fini(&c.out);
    rtci_buf_fini(&c.err);
    if (s.dir[0])
        rtci_files_remove(s.dir);
    for (size_t i = 0; s.argv && s.argv[i]; i++)
        free(s.argv[i]);
    for (size_t i = 0; i < s.n_env_own; i++)
        free(s.envp[i]);
    for (size_t i = 0; s.data && i < s.n_collect; i++)
        free(s.data[i]);
    free(s.argv);
    free(s.envp);
    free(s.path);
    free(s.data);
    free(s.size);
    free(s.pairs);
    return rc;
}
