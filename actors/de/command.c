/* Commands: a shell for each evaluation, or a process that stays and answers line by line. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/de/objective.h"
#include "actors/report/clock.h"

#define OUTPUT_MAX (1u << 20) /* of a command's output: its end is kept */
#define SILENCE_MS 10000
#define FAIL(...)  (snprintf(answer->why, sizeof(answer->why), __VA_ARGS__), -1)

extern char **environ;

/* A shell that runs `text`; its input and output are the pipes' other ends. */
static pid_t spawn_shell(const char *text, char *const *arguments, uint32_t n, char *const *env,
                         int *ret_in, int *ret_out)
{
    char shell[] = "sh", flag[] = "-c";
    char **argv = calloc(n + 5, sizeof(*argv));
    int in[2], out[2];
    pid_t pid = -1;
    if (!argv || pipe2(in, O_CLOEXEC)) {
        free(argv);
        return -1;
    }
    if (pipe2(out, O_CLOEXEC)) {
        close(in[0]);
        close(in[1]);
        free(argv);
        return -1;
    }
    argv[0] = shell;
    argv[1] = flag;
    argv[2] = (char *)(uintptr_t)text;
    argv[3] = shell;
    for (uint32_t i = 0; i < n; i++)
        argv[4 + i] = arguments[i];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE); /* ignored here; pipes within the command need it */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    int rc = posix_spawn(&pid, "/bin/sh", &actions, &attributes, argv, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(argv);
    close(in[0]);
    close(out[1]);
    if (rc) {
        close(in[1]);
        close(out[0]);
        errno = rc;
        return -1;
    }
    *ret_in = in[1];
    *ret_out = out[0];
    return pid;
}

/* ---- How the parameters get in ---- */

struct input {
    char *numbers, **list; /* n of 32 bytes; arguments or variables */
    char **env, *json, path[64];
    uint32_t n_arguments;
};

static void free_input(struct input *in, uint32_t n_variables)
{
    for (uint32_t i = 0; i < n_variables && in->env; i++)
        free(in->env[i]);
    if (in->path[0])
        unlink(in->path);
    free(in->numbers);
    free(in->list);
    free(in->env);
    free(in->json);
}

/* The environment with each parameter under its name; the first n entries are ours to free. */
static bool make_environment(const struct de_spec *spec, const double *x, struct input *in)
{
    size_t n = 0;
    while (environ[n])
        n++;
    in->env = calloc(spec->n + n + 1, sizeof(char *));
    for (uint32_t i = 0; in->env && i < spec->n; i++) {
        if (asprintf(&in->env[i], "%s=%.17g", spec->names[i], x[i]) < 0)
            return false;
    }
    size_t at = spec->n;
    for (size_t k = 0; in->env && k < n; k++) {
        const char *eq = strchr(environ[k], '=');
        bool ours = false; /* of two of a name a shell takes the last */
        for (uint32_t i = 0; eq && i < spec->n && !ours; i++)
            ours = !strncmp(in->env[i], environ[k], (size_t)(eq - environ[k]) + 1);
        if (!ours)
            in->env[at++] = environ[k];
    }
    return in->env != NULL;
}

static bool write_all(int fd, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = write(fd, text + at, size - at);
        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* A file with the parameters as JSON. */
static bool make_file(const char *json, char *path, size_t size)
{
    const char *dir = getenv("TMPDIR");
    snprintf(path, size, "%.40s/rtc-de-XXXXXX", dir && strlen(dir) <= 40 ? dir : "/tmp");
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        path[0] = 0;
        return false;
    }
    bool ok = write_all(fd, json, strlen(json)) && write_all(fd, "\n", 1);
    return !close(fd) && ok;
}

static bool make_input(const struct de_spec *spec, const double *x, struct input *in)
{
    *in = (struct input){0};
    if (spec->input == RTC_DE_ENVIRONMENT)
        return make_environment(spec, x, in);
    if (spec->input != RTC_DE_ARGUMENTS)
        in->json = de_parameters_json(spec, x);
    if (spec->input == RTC_DE_JSON)
        return in->json != NULL;
    in->list = calloc(spec->n + 1, sizeof(*in->list));
    if (!in->list)
        return false;
    if (spec->input == RTC_DE_FILE) {
        in->n_arguments = 1;
        in->list[0] = in->path;
        return in->json && make_file(in->json, in->path, sizeof(in->path));
    }
    in->numbers = malloc(spec->n * (size_t)32 + 1);
    in->n_arguments = spec->n;
    for (uint32_t i = 0; in->numbers && i < spec->n; i++) {
        in->list[i] = in->numbers + (size_t)i * 32;
        snprintf(in->list[i], 32, "%.17g", x[i]);
    }
    return in->numbers != NULL;
}

/* ---- What they answer ---- */

struct output {
    char *text; /* ends with a NUL */
    size_t size;
    bool cut; /* its beginning is gone */
};
enum outcome { WHOLE_LINE, ENDED, LATE };

/* Reads until a line is whole (or, not `line`, until the end), or until a time. */
static enum outcome read_until(int fd, struct output *out, bool line, double until)
{
    if (!out->text && !(out->text = calloc(1, OUTPUT_MAX + 1)))
        return ENDED;
    while (!line || !memchr(out->text, '\n', out->size)) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        double left = until > 0 ? (until - report_now(CLOCK_MONOTONIC)) * 1e3 : 1e9;
        int ready = left <= 0 ? 0 : poll(&wait, 1, left > 1e9 ? 1000000000 : (int)left + 1);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return LATE;
        if (out->size == OUTPUT_MAX) {
            out->cut = true;
            out->size = OUTPUT_MAX / 2;
            memcpy(out->text, out->text + OUTPUT_MAX / 2, out->size);
        }
        ssize_t n = read(fd, out->text + out->size, OUTPUT_MAX - out->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ENDED;
        out->size += (size_t)n;
        out->text[out->size] = 0;
    }
    return WHOLE_LINE;
}

/* The process and all that it started; they stay in the executor's group, so that they die with it
 * too. */
static void kill_tree(pid_t pid)
{
    char path[64], list[4096];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    kill(pid, SIGSTOP); /* it starts no more */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, list, sizeof(list) - 1);
    if (fd >= 0)
        close(fd);
    list[n > 0 ? n : 0] = 0;
    for (char *at = list, *end; *at; at = end + strspn(end, " ")) {
        long child = strtol(at, &end, 10);
        if (end == at)
            break;
        kill_tree((pid_t)child);
    }
    kill(pid, SIGKILL);
}

/* ---- A process for each evaluation ---- */

/* The last line that is not empty, without what ends it. */
static const char *last_line(const struct output *out, char *line, size_t size)
{
    size_t end = out->size;
    while (end && strchr(" \t\r\n", out->text[end - 1]))
        end--;
    size_t begin = end;
    while (begin && out->text[begin - 1] != '\n')
        begin--;
    snprintf(line, size, "%.*s", (int)(end - begin), out->text ? out->text + begin : "");
    return line;
}

int de_command_answer(const struct de_spec *spec, const double *x, struct rtc_de_answer *answer)
{
    static char line[1 << 16];
    struct input input;
    int in, out, status = 0, rc = -1;
    bool ready = make_input(spec, x, &input);
    signal(SIGPIPE, SIG_IGN); /* it need not read its input */
    pid_t pid = ready ? spawn_shell(spec->objective, input.list, input.n_arguments,
                                    input.env ? input.env : environ, &in, &out)
                      : -1;
    if (pid < 0) {
        rc = FAIL("it could not be started: %s", strerror(errno));
        free_input(&input, spec->n);
        return rc;
    }
    if (spec->input == RTC_DE_JSON && write_all(in, input.json, strlen(input.json)))
        write_all(in, "\n", 1);
    close(in);
    struct output output = {0};
    double until = spec->deadline > 0 ? report_now(CLOCK_MONOTONIC) + spec->deadline : 0;
    bool late = read_until(out, &output, false, until) == LATE;
    if (late)
        kill_tree(pid);
    close(out);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    last_line(&output, line, sizeof(line));
    if (late)
        rc = FAIL("it did not end within %g s, the deadline", spec->deadline);
    else if (WIFSIGNALED(status))
        rc = FAIL("it was killed by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        rc = FAIL("it exited with status %d", WEXITSTATUS(status));
    else if (!line[0])
        rc = FAIL("it printed nothing: the last line must be the value");
    else
        rc = de_answer_read(spec, line, output.cut ? NULL : output.text, answer);
    free(output.text);
    free_input(&input, spec->n);
    return rc;
}

/* ---- A process that stays ---- */

static struct {
    pid_t pid;
    FILE *to;
    int from;
    char *text;
    bool warned;
    struct output output; /* what it said and was not read yet */
} stays;

static void end_process(void)
{
    if (!stays.pid)
        return;
    fclose(stays.to);
    close(stays.from);
    if (!waitpid(stays.pid, NULL, WNOHANG)) {
        kill_tree(stays.pid);
        waitpid(stays.pid, NULL, 0);
    }
    free(stays.text);
    free(stays.output.text);
    memset(&stays, 0, sizeof(stays));
}

static bool start_process(const char *text)
{
    int in, out;
    if (stays.pid && !strcmp(stays.text, text))
        return true;
    end_process();
    signal(SIGPIPE, SIG_IGN); /* its death is found at the next line */
    pid_t pid = spawn_shell(text, NULL, 0, environ, &in, &out);
    if (pid < 0)
        return false;
    stays.pid = pid;
    stays.to = fdopen(in, "w");
    stays.from = out;
    stays.text = strdup(text);
    return stays.to && stays.text;
}

/* Most programs write into a pipe in blocks, unless they are told to flush: then both sides wait.
 */
static enum outcome wait_for_line(double deadline)
{
    double began = report_now(CLOCK_MONOTONIC), until = deadline > 0 ? began + deadline : 0;
    double warn = began + SILENCE_MS * 1e-3;
    if (!stays.warned && (until == 0 || warn < until)) {
        enum outcome outcome = read_until(stays.from, &stays.output, true, warn);
        if (outcome != LATE)
            return outcome;
        stays.warned = true;
        fprintf(stderr,
                "the process of the objective has not answered for %d s: does it flush its "
                "output after each line?\n",
                SILENCE_MS / 1000);
    }
    return read_until(stays.from, &stays.output, true, until);
}

/* Takes the first line out of what it said. */
static void take_line(char *line, size_t size)
{
    struct output *out = &stays.output;
    size_t len = (size_t)((char *)memchr(out->text, '\n', out->size) - out->text), end = len;
    while (end && strchr(" \t\r", out->text[end - 1]))
        end--;
    snprintf(line, size, "%.*s", (int)end, out->text);
    out->size -= len + 1;
    memmove(out->text, out->text + len + 1, out->size);
}

/* How it ended, when it has. */
static int told_of_end(struct rtc_de_answer *answer)
{
    int status = 0, fd = (int)syscall(SYS_pidfd_open, stays.pid, 0);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (fd >= 0) { /* its output ends a moment before it does */
        poll(&wait, 1, 500);
        close(fd);
    }
    pid_t pid = waitpid(stays.pid, &status, WNOHANG);
    end_process();
    if (pid > 0 && WIFSIGNALED(status))
        return FAIL("the process was killed by signal %d", WTERMSIG(status));
    if (pid > 0 && WEXITSTATUS(status))
        return FAIL("the process exited with status %d", WEXITSTATUS(status));
    return FAIL("the process ended, where a line with the value was waited for");
}

static bool send_line(const struct de_spec *spec, const double *x, const struct input *input)
{
    if (spec->input == RTC_DE_JSON)
        fputs(input->json, stays.to);
    else if (spec->input == RTC_DE_FILE)
        fputs(input->path, stays.to);
    for (uint32_t i = 0; spec->input == RTC_DE_ARGUMENTS && i < spec->n; i++)
        fprintf(stays.to, "%s%.17g", i ? " " : "", x[i]);
    fputc('\n', stays.to);
    return fflush(stays.to) == 0;
}

int de_persistent_answer(const struct de_spec *spec, const double *x, struct rtc_de_answer *answer)
{
    static char line[1 << 16];
    struct input input = {0};
    if (!start_process(spec->objective))
        return FAIL("it could not be started: %s", strerror(errno));
    struct pollfd early = {.fd = stays.from, .events = POLLIN};
    if (stays.output.size ||
        (poll(&early, 1, 0) > 0 &&
         early.revents & POLLIN)) { /* it would be taken for the answer of this one */
        end_process();
        return FAIL("the process printed more than one line for an evaluation");
    }
    if (spec->input != RTC_DE_ARGUMENTS && !make_input(spec, x, &input)) {
        free_input(&input, 0);
        return FAIL("the parameters could not be written: %s", strerror(errno));
    }
    enum outcome outcome = send_line(spec, x, &input) ? wait_for_line(spec->deadline) : ENDED;
    free_input(&input, 0);
    if (outcome == LATE) {
        end_process();
        return FAIL("the process did not answer within %g s, the deadline", spec->deadline);
    }
    if (outcome != WHOLE_LINE)
        return told_of_end(answer);
    take_line(line, sizeof(line));
    return line[0]
               ? de_answer_read(spec, line, NULL, answer)
               : FAIL("the process answered with an empty line, where the value was waited for");
}
