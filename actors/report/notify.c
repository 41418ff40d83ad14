/* The child that is started here is a shell that leaves the supervisor behind and ends at once, so
 * it is waited for here and nobody is left to be: the supervisor is init's. It keeps the end of a
 * pipe open, and who finds that end closed knows that a hook is over, without being its parent.
 * That also means that the limit of time holds when the caller is long gone. */
#include "actors/report/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX     (1024u * 1024)
#define VARIABLE_MAX (64u * 1024) /* Linux takes 128 KiB in one string */

extern char **environ;

/* $1: the command, $2: seconds. Descriptor 3 is the pipe's, which neither the hook nor the alarm
 * keeps; 4 is the text, since what runs in the background of a shell loses its standard input. The
 * alarm that ends by itself kills the group; the hook that ends first kills the alarm. */
static char supervisor[] = "exec 4<&0\n"
                           "{\n"
                           "  sleep \"$2\" 3>&- 4<&- </dev/null >/dev/null 2>&1 &\n"
                           "  alarm=$!\n"
                           "  {\n"
                           "    /bin/sh -c \"$1\" <&4 3>&- 4<&-\n"
                           "    kill $alarm 2>/dev/null\n"
                           "  } &\n"
                           "  wait $alarm 2>/dev/null && kill -KILL 0\n"
                           "} &\n";

static atomic_uint limit_s = 60;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    int fd; /* of the pipe, closed at its other end when the hook is over */
    bool used;
} hooks[REPORT_HOOKS_MAX];

void report_notify_set_limit(unsigned seconds)
{
    limit_s = seconds;
}

static size_t free_hook(void)
{
    size_t found = REPORT_HOOKS_MAX;
    for (size_t i = 0; i < REPORT_HOOKS_MAX; i++) {
        struct pollfd end = {.fd = hooks[i].fd};
        if (hooks[i].used && poll(&end, 1, 0) > 0) {
            close(hooks[i].fd);
            hooks[i].used = false;
        }
        found = hooks[i].used ? found : i;
    }
    return found;
}

/* ---- What a hook is given ---- */

static char *variable(const char *name, const char *value)
{
    size_t size = strlen(name) + 1 + strnlen(value, VARIABLE_MAX) + 1;
    char *made = malloc(size);
    if (made)
        snprintf(made, size, "%s=%s", name, value);
    return made;
}

/* Three strings of its own, then the caller's environment without those. */
static char **make_environment(const char *event, const char *subject, const char *text)
{
    static const char *const names[] = {"RTC_EVENT", "RTC_SUBJECT", "RTC_TEXT"};
    const char *values[] = {event, subject, text};
    size_t n = 0;
    bool failed = false;
    while (environ && environ[n])
        n++;
    char **made = calloc(n + 4, sizeof(*made));
    if (!made)
        return NULL;
    for (size_t i = 0; i < 3; i++) {
        made[i] = variable(names[i], values[i] ? values[i] : "");
        failed |= !made[i];
    }
    for (size_t i = 0, at = 3; i < n; i++) {
        bool ours = false;
        for (size_t k = 0; k < 3; k++) {
            size_t size = strlen(names[k]);
            ours |= !strncmp(environ[i], names[k], size) && environ[i][size] == '=';
        }
        if (!ours)
            made[at++] = environ[i];
    }
    if (!failed)
        return made;
    for (size_t i = 0; i < 3; i++)
        free(made[i]);
    free(made);
    return NULL;
}

/* A file in memory, so that nobody has to wait until a hook reads. */
static int make_input(const char *text)
{
    size_t size = text ? strnlen(text, TEXT_MAX) : 0, at = 0;
    int fd = memfd_create("text", MFD_CLOEXEC);
    while (fd >= 0 && at < size) {
        ssize_t n = write(fd, text + at, size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            return -1;
        }
        at += (size_t)n;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

/* ---- Starting ---- */

static int spawn(const char *command, int input, int pipe_end, char **environment)
{
    char shell[] = "sh", flag[] = "-c", seconds[16];
    char *argv[] = {shell, flag, supervisor, shell, (char *)(uintptr_t)command, seconds, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;
    pid_t pid;
    snprintf(seconds, sizeof(seconds), "%u", limit_s);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    posix_spawn_file_actions_adddup2(&actions, pipe_end, 3);
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
    posix_spawn_file_actions_addclosefrom_np(&actions, 4);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    int error = posix_spawn(&pid, "/bin/sh", &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (!error) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return error;
}

static const char *start(const char *command, int input, char **environment)
{
    int ends[2];
    const char *error = NULL;
    pthread_mutex_lock(&mutex);
    size_t i = free_hook();
    if (i == REPORT_HOOKS_MAX) {
        error = "a notification was dropped: eight hooks are still running";
    } else if (pipe2(ends, O_CLOEXEC)) {
        error = "a notification was dropped: there is no descriptor left for it";
    } else {
        if (spawn(command, input, ends[1], environment)) {
            error = "a notification was dropped: /bin/sh cannot be started";
            close(ends[0]);
        } else {
            hooks[i].fd = ends[0];
            hooks[i].used = true;
        }
        close(ends[1]);
    }
    pthread_mutex_unlock(&mutex);
    return error;
}

const char *report_notify(const char *command, const char *event, const char *subject,
                          const char *text)
{
    if (!command || !command[0])
        return NULL;
    char **environment = make_environment(event, subject, text);
    int input = make_input(text);
    const char *error = !environment || input < 0 ? "a notification was dropped: memory is out"
                                                  : start(command, input, environment);
    if (input >= 0)
        close(input);
    for (size_t i = 0; environment && i < 3; i++)
        free(environment[i]);
    free(environment);
    return error;
}
