/* Private clusters: `rtc head --embedded` as a child whose first client is this process. It ends
 * when our end of the socket closes, however that comes about. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/client/client.h"
#include "runtime/client/open.h"

extern char **environ;

#define CHILD_FD 3
#define ARGS_MAX 96
#define STOP_MS  5000

static bool usable(const char *path)
{
    return access(path, X_OK) == 0;
}

/* dir/../bin/rtc and, for a build tree, runtime/cli/rtc of dir or a folder above. */
static bool near(const char *file, char *ret_path, size_t size)
{
    char dir[4096];
    char *real = realpath(file, NULL);
    if (!real)
        return false;
    snprintf(dir, sizeof(dir), "%s", real);
    free(real);
    static const char *const places[] = {"rtc", "bin/rtc", "runtime/cli/rtc"};
    for (int up = 0; up < 4; up++) {
        char *slash = strrchr(dir, '/');
        if (!slash || slash == dir)
            return false;
        *slash = '\0';
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
            int n = snprintf(ret_path, size, "%s/%s", dir, places[i]);
            if (n > 0 && (size_t)n < size && usable(ret_path))
                return true;
        }
    }
    return false;
}

static bool in_path(char *ret_path, size_t size)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t len = strcspn(path, ":");
        int n = snprintf(ret_path, size, "%.*s/rtc", (int)len, path);
        if (len && n > 0 && (size_t)n < size && usable(ret_path))
            return true;
        path += len;
        path += *path == ':';
    }
    return false;
}

int rtci_find_program(char *ret_path, size_t size)
{
    const char *given = getenv("RTC_BIN");
    if (given && given[0]) {
        if (!usable(given) || strlen(given) >= size)
            return rtci_error(RTC_E_NO_CLUSTER, "RTC_BIN=%s is not an executable file: %s", given,
                              strerror(errno));
        memcpy(ret_path, given, strlen(given) + 1);
        return 0;
    }
    Dl_info info;
    if (dladdr((void *)(uintptr_t)&rtci_find_program, &info) && info.dli_fname &&
        near(info.dli_fname, ret_path, size))
        return 0;
    if (near("/proc/self/exe", ret_path, size) || in_path(ret_path, size))
        return 0;
    return rtci_error(RTC_E_NO_CLUSTER,
                      "no cluster runs here and the `rtc` program to start one is not "
                      "found: install it, add it to PATH, or set RTC_BIN to it");
}

struct arguments {
    char *argv[ARGS_MAX + 1];
    int n;
    char cpus[40], store[40];
};

static int add(struct arguments *a, const char *text)
{
    if (a->n >= ARGS_MAX)
        return rtci_error(RTC_E_TOO_LARGE, "too many resources and labels for an embedded cluster");
    a->argv[a->n++] = (char *)(uintptr_t)text;
    return 0;
}

static int add_list(struct arguments *a, const char *option, const char *const *items)
{
    for (; items && *items; items++) {
        if (!strchr(*items, '='))
            return rtci_error(RTC_E_INVALID, "\"%s\": \"name=value\" is needed", *items);
        RTCI_TRY(add(a, option));
        RTCI_TRY(add(a, *items));
    }
    return 0;
}

static int build(struct arguments *a, const char *program, const struct rtc_config *c)
{
    RTCI_TRY(add(a, program));
    RTCI_TRY(add(a, "head"));
    RTCI_TRY(add(a, "--embedded"));
    RTCI_TRY(add(a, "--driver-fd"));
    RTCI_TRY(add(a, "3"));
    if (c->cpus < 0)
        return rtci_error(RTC_E_INVALID, "cpus = %g is impossible", c->cpus);
    if (c->cpus > 0) {
        snprintf(a->cpus, sizeof(a->cpus), "%.4f", c->cpus);
        RTCI_TRY(add(a, "--cpus"));
        RTCI_TRY(add(a, a->cpus));
    }
    if (c->store_bytes > 0) {
        snprintf(a->store, sizeof(a->store), "%llu", (unsigned long long)c->store_bytes);
        RTCI_TRY(add(a, "--store"));
        RTCI_TRY(add(a, a->store));
    }
    if (c->state_dir) {
        RTCI_TRY(add(a, "--state-dir"));
        RTCI_TRY(add(a, c->state_dir));
    }
    RTCI_TRY(add_list(a, "--resource", c->resources));
    return add_list(a, "--label", c->labels);
}

/* Own session: a Ctrl-C at the terminal ends the driver, and by that the cluster, in that order. */
static int spawn(const struct arguments *a, char *const *env, int child_end, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
    posix_spawn_file_actions_adddup2(&actions, child_end, CHILD_FD);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attr, &none);
    int err = posix_spawn(ret_pid, a->argv[0], &actions, &attr, (char *const *)a->argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return err;
}

static int start(const struct arguments *args, char *const *env, int *ret_sock, int *ret_pid)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return rtci_error(RTC_E_OS, "socketpair: %s", strerror(errno));
    if (pair[1] == CHILD_FD) { /* dup2 onto itself would keep it close-on-exec */
        int moved = fcntl(pair[1], F_DUPFD_CLOEXEC, CHILD_FD + 1);
        close(pair[1]);
        pair[1] = moved;
    }
    int err = pair[1] < 0 ? errno : spawn(args, env, pair[1], ret_pid);
    if (pair[1] >= 0)
        close(pair[1]);
    if (err) {
        close(pair[0]);
        return rtci_error(RTC_E_NO_CLUSTER, "starting %s: %s", args->argv[0], strerror(err));
    }
    *ret_sock = pair[0];
    return 0;
}

int rtci_embedded_start(const struct rtc_config *config, int *ret_sock, int *ret_pid)
{
    char program[4096];
    struct arguments args = {.n = 0};
    RTCI_TRY(rtci_find_program(program, sizeof(program)));
    RTCI_TRY(build(&args, program, config));
    return start(&args, environ, ret_sock, ret_pid);
}

/* The line goes by the environment: others of the host can read arguments. */
int rtci_remote_start(const char *line, int *ret_sock, int *ret_pid)
{
    static const char *const options[] = {"worker", "--embedded", "--driver-fd",
                                          "3",      "--cpus",     "0"};
    char program[4096];
    struct arguments args = {.n = 0};
    size_t n = 0, out = 0, size = strlen(line) + sizeof("RTC_JOIN=");
    RTCI_TRY(rtci_find_program(program, sizeof(program)));
    RTCI_TRY(add(&args, program));
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        RTCI_TRY(add(&args, options[i]));
    while (environ && environ[n])
        n++;
    char **env = calloc(n + 2, sizeof(*env)), *text = malloc(size);
    int rc = env && text ? 0 : rtci_error(RTC_E_NOMEM, "out of memory");
    if (rc == 0) {
        for (size_t i = 0; i < n; i++) {
            if (strncmp(environ[i], "RTC_JOIN=", 9) != 0)
                env[out++] = environ[i];
        }
        snprintf(text, size, "RTC_JOIN=%s", line);
        env[out] = text;
        rc = start(&args, env, ret_sock, ret_pid);
    }
    free(env);
    free(text);
    return rc;
}

int rtci_embedded_stop(int pid)
{
    int status = 0;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0) {
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        if (poll(&p, 1, STOP_MS) == 0)
            kill(pid, SIGKILL);
        close(pidfd);
    }
    /* A program that reaps all children has taken it: fine. */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}
