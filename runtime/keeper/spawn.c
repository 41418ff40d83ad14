/* Starting a process. vfork: the child borrows the keeper's memory until it executes, so a spawn
 * costs the same whatever the keeper holds, and a failed exec is a value in a variable. Between
 * vfork and exec only system calls on what was prepared before. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/bounds.h"
#include "runtime/keeper/internal.h"

#define OOM_ADJUST "500" /* of 1000: executors go before daemons */

struct outcome {
    int error;
    bool cwd;
};

static void reset_signals(const sigset_t *reset)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int sig = 1; sig < NSIG; sig++) {
        if (sigismember(reset, sig) == 1)
            sigaction(sig, &action, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Makes fds[i] descriptor i. All sources are first moved out of the way of the targets. */
static int place_fds(const struct rtci_spawn *spawn, int *exe)
{
    int moved[RTCI_SPAWN_FDS];
    *exe = fcntl(spawn->exe, F_DUPFD_CLOEXEC, RTCI_SPAWN_FDS);
    if (*exe < 0)
        return -1;
    for (uint32_t i = 0; i < spawn->n_fds; i++) {
        moved[i] = spawn->fds[i];
        if (moved[i] < RTCI_SPAWN_FDS && moved[i] != (int)i)
            moved[i] = fcntl(moved[i], F_DUPFD_CLOEXEC, RTCI_SPAWN_FDS);
        if (moved[i] < 0)
            return -1;
    }
    for (uint32_t i = 0; i < spawn->n_fds; i++) {
        int rc = moved[i] == (int)i ? fcntl(moved[i], F_SETFD, 0) : dup2(moved[i], (int)i);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static void be_expendable(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t ignored = write(fd, OOM_ADJUST, sizeof(OOM_ADJUST) - 1);
    (void)ignored;
    close(fd);
}

static void execute(const struct rtci_spawn *spawn, int exe)
{
    execveat(exe, "", spawn->argv, spawn->env, AT_EMPTY_PATH);
    if (errno == ENOENT) {
        /* A script: its interpreter opens /dev/fd/N, so N must survive the exec. */
        fcntl(exe, F_SETFD, 0);
        execveat(exe, "", spawn->argv, spawn->env, AT_EMPTY_PATH);
        fcntl(exe, F_SETFD, FD_CLOEXEC);
    }
    int first = errno;
    if (first != ENOSYS && first != EPERM && first != ENOENT)
        return;
    char name[32];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", exe);
    execve(name, spawn->argv, spawn->env);
    if (spawn->path && *spawn->path == '/')
        execve(spawn->path, spawn->argv, spawn->env);
    errno = first;
}

__attribute__((noreturn, noinline)) static void child_main(const struct rtci_spawn *spawn,
                                                           volatile struct outcome *outcome)
{
    int exe = -1;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != spawn->keeper) /* it died before the line above */
        _exit(127);
    reset_signals(spawn->reset);
    if (spawn->nofile)
        setrlimit(RLIMIT_NOFILE, spawn->nofile);
    if (spawn->expendable)
        be_expendable();
    if (spawn->cwd && *spawn->cwd && chdir(spawn->cwd) < 0) {
        outcome->cwd = true;
        outcome->error = errno;
        _exit(127);
    }
    if (place_fds(spawn, &exe) == 0)
        execute(spawn, exe);
    outcome->error = errno ? errno : EINVAL;
    _exit(127);
}

pid_t rtci_spawn(const struct rtci_spawn *spawn, bool *ret_cwd_failed)
{
    volatile struct outcome outcome = {0};
    RTCI_ASSERT(spawn->n_fds <= RTCI_SPAWN_FDS);
    pid_t pid = vfork();
    if (pid == 0)
        child_main(spawn, &outcome);
    *ret_cwd_failed = false;
    if (pid < 0)
        return -errno;
    /* Where vfork is a fork (ThreadSanitizer), the child may not have come to this yet; its group
     * is what the next order kills. */
    setpgid(pid, pid);
    if (outcome.error == 0)
        return pid;
    *ret_cwd_failed = outcome.cwd;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return -outcome.error;
}
