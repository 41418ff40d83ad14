#include "actors/de/objective.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- Built-in functions ---- */

static double sphere(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

static double rosen(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
        sum += 100.0 * (a * a) + b * b;
    }
    return sum;
}

static double rastrigin(const double *x, uint32_t n)
{
    double sum = 10.0 * n;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * x[i] - 10 * cos(2 * M_PI * x[i]);
    return sum;
}

static const struct {
    const char *name;
    double (*fn)(const double *x, uint32_t n);
} functions[] = {{"sphere", sphere}, {"rosen", rosen}, {"rastrigin", rastrigin}};

static double (*find(const char *name))(const double *, uint32_t)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (!strcmp(functions[i].name, name))
            return functions[i].fn;
    }
    return NULL;
}

const char *de_objective_check(enum de_objective_kind kind, const char *text)
{
    if (!text || !text[0])
        return "an objective is needed: function, command or persistent";
    if (kind == DE_FUNCTION && !find(text))
        return "there is no such function: sphere, rosen and rastrigin are built in";
    return NULL;
}

/* ---- Commands ---- */

/* A shell; its input and output are the pipes' other ends. */
static pid_t spawn_shell(char *const *arguments, int *ret_in, int *ret_out)
{
    int in[2], out[2];
    pid_t pid = -1;
    if (pipe2(in, O_CLOEXEC))
        return -1;
    if (pipe2(out, O_CLOEXEC)) {
        close(in[0]);
        close(in[1]);
        return -1;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    if (posix_spawn(&pid, "/bin/sh", &actions, NULL, arguments, environ))
        pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    if (pid < 0) {
        close(in[1]);
        close(out[0]);
        return -1;
    }
    *ret_in = in[1];
    *ret_out = out[0];
    return pid;
}

static int parse(const char *line, double *ret_value, char *why, size_t size)
{
    char *end;
    *ret_value = strtod(line, &end);
    while (*end == ' ' || *end == '\t' || *end == '\r' || *end == '\n')
        end++;
    if (end != line && !*end)
        return 0;
    snprintf(why, size, "its last line is not a number: \"%.200s\"", line);
    return -1;
}

/* The last line that is not empty, of all that comes. */
static void last_line(FILE *file, char *line, size_t size)
{
    char *text = NULL;
    size_t cap = 0;
    line[0] = 0;
    for (ssize_t n; (n = getline(&text, &cap, file)) > 0;) {
        while (n && strchr(" \t\r\n", text[n - 1]))
            text[--n] = 0;
        if (n)
            snprintf(line, size, "%s", text);
    }
    free(text);
}

static int run_command(const char *text, const double *x, uint32_t n, double *ret_value, char *why,
                       size_t size)
{
    char shell[] = "sh", flag[] = "-c", line[512];
    char **argv = calloc(n + 5, sizeof(*argv)), *numbers = malloc(n * 32 + 1);
    int in, out, status = 0;
    if (!argv || !numbers) {
        free(argv);
        free(numbers);
        snprintf(why, size, "out of memory");
        return -1;
    }
    argv[0] = shell;
    argv[1] = flag;
    argv[2] = (char *)(uintptr_t)text;
    argv[3] = shell;
    for (uint32_t i = 0; i < n; i++) {
        argv[4 + i] = numbers + i * 32;
        snprintf(argv[4 + i], 32, "%.17g", x[i]);
    }
    pid_t pid = spawn_shell(argv, &in, &out);
    free(argv);
    free(numbers);
    if (pid < 0) {
        snprintf(why, size, "it could not be started: %s", strerror(errno));
        return -1;
    }
    close(in);
    FILE *file = fdopen(out, "r");
    last_line(file, line, sizeof(line));
    fclose(file);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        snprintf(why, size, "it was killed by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        snprintf(why, size, "it exited with status %d", WEXITSTATUS(status));
    else if (!line[0])
        snprintf(why, size, "it printed nothing: the last line must be the value");
    else
        return parse(line, ret_value, why, size);
    return -1;
}

/* ---- A process that stays ---- */

static struct {
    pid_t pid;
    FILE *to, *from;
    char text[512];
    bool warned;
} stays;

#define SILENCE_MS 10000

static void end_process(void)
{
    if (!stays.pid)
        return;
    fclose(stays.to);
    fclose(stays.from);
    kill(stays.pid, SIGKILL);
    waitpid(stays.pid, NULL, 0);
    memset(&stays, 0, sizeof(stays));
}

static int start_process(const char *text, char *why, size_t size)
{
    char shell[] = "sh", flag[] = "-c";
    char *argv[] = {shell, flag, (char *)(uintptr_t)text, NULL};
    int in, out;
    if (stays.pid && !strcmp(stays.text, text))
        return 0;
    end_process();
    signal(SIGPIPE, SIG_IGN); /* its death is found at the next line */
    pid_t pid = spawn_shell(argv, &in, &out);
    if (pid < 0) {
        snprintf(why, size, "it could not be started: %s", strerror(errno));
        return -1;
    }
    stays.pid = pid;
    stays.to = fdopen(in, "w");
    stays.from = fdopen(out, "r");
    snprintf(stays.text, sizeof(stays.text), "%s", text);
    return 0;
}

/* Most programs write into a pipe in blocks, unless they are told to flush: then both sides wait.
 */
static void wait_for_line(void)
{
    struct pollfd fd = {.fd = fileno(stays.from), .events = POLLIN};
    if (stays.warned || poll(&fd, 1, SILENCE_MS) != 0)
        return;
    stays.warned = true;
    fprintf(stderr,
            "the process of the objective has not answered for %d s: does it flush its "
            "output after each line?\n",
            SILENCE_MS / 1000);
}

static int ask_process(const char *text, const double *x, uint32_t n, double *ret_value, char *why,
                       size_t size)
{
    char line[512];
    if (start_process(text, why, size))
        return -1;
    for (uint32_t i = 0; i < n; i++)
        fprintf(stays.to, "%s%.17g", i ? " " : "", x[i]);
    fputc('\n', stays.to);
    bool sent = fflush(stays.to) == 0;
    if (sent)
        wait_for_line();
    if (!sent || !fgets(line, sizeof(line), stays.from)) {
        end_process();
        snprintf(why, size, "the process ended, where a line with the value was waited for");
        return -1;
    }
    return parse(line, ret_value, why, size);
}

int de_objective_value(enum de_objective_kind kind, const char *text, const double *x, uint32_t n,
                       double *ret_value, char *why, size_t size)
{
    if (kind == DE_COMMAND)
        return run_command(text, x, n, ret_value, why, size);
    if (kind == DE_PERSISTENT)
        return ask_process(text, x, n, ret_value, why, size);
    double (*fn)(const double *, uint32_t) = find(text);
    if (!fn) {
        snprintf(why, size, "there is no function \"%.100s\"", text);
        return -1;
    }
    *ret_value = fn(x, n);
    return 0;
}
