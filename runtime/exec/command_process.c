/* Running one command: vfork, two pipes read to their ends, the exit status. A command has a
 * process group of its own, so that cancelling it ends its children too and leaves the executor
 * alone; it dies with the executor. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/exec/exec.h"

#define LOOK_MS 50 /* how often cancellation is looked for while a command runs */
#define CHUNK   (64u * 1024)

extern char **environ;

static bool runnable(const char *path)
{
    struct stat st;
    return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

char *rtci_command_find(const char *name, const char *cwd)
{
    char path[4096];
    if (strchr(name, '/')) {
        /* Relative to where the command will run. */
        bool relative = name[0] != '/' && cwd;
        snprintf(path, sizeof(path), "%s%s%s", relative ? cwd : "", relative ? "/" : "", name);
        if (runnable(path))
            return strdup(path);
        rtci_error(RTC_E_COMMAND, "%s cannot be run: %s", path, strerror(errno ? errno : EACCES));
        return NULL;
    }
    const char *at = getenv("PATH");
    for (at = at ? at : "/usr/bin:/bin"; *at;) {
        size_t len = strcspn(at, ":");
        int n = snprintf(path, sizeof(path), "%.*s/%s", (int)len, at, name);
        if (len && n > 0 && (size_t)n < sizeof(path) && runnable(path))
            return strdup(path);
        at += len;
        at += *at == ':';
    }
    rtci_error(RTC_E_COMMAND, "%s cannot be run: it is not in the executor's PATH", name);
    return NULL;
}

/* ---- The child ---- */
struct child_fds {
    int in, out, err;
};

/* Between vfork and execve: only system calls, and nothing of the parent's memory is changed but
 * *error. */
__attribute__((noreturn)) static void child(const struct command *c, struct child_fds fds,
                                            volatile int *error)
{
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(fds.in, 0) < 0 || dup2(fds.out, 1) < 0 || dup2(fds.err, 2) < 0 ||
        (c->cwd && chdir(c->cwd) < 0)) {
        *error = errno;
        _exit(127);
    }
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(c->path, c->argv, c->envp ? c->envp : environ);
    *error = errno;
    _exit(127);
}

static pid_t spawn(const struct command *c, struct child_fds fds)
{
    volatile int error = 0;
    sigset_t all, old;
    sigfillset(&all);
    /* A signal handler must not run in the child while it shares our memory. */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = vfork();
    if (pid == 0)
        child(c, fds, &error);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (pid < 0)
        return rtci_error(RTC_E_COMMAND, "starting %s: %s", c->path, strerror(errno));
    if (error != 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        return rtci_error(RTC_E_COMMAND, "starting %s in %s: %s", c->path, c->cwd ? c->cwd : ".",
                          strerror(error));
    }
    return pid;
}

/* ---- Output: the end is kept ---- */
static void trim(struct rtci_buf *buf, size_t max)
{
    if (buf->len <= max)
        return;
    memmove(buf->data, buf->data + buf->len - max, max);
    buf->len = max;
}

/* False at the end of the pipe. */
static bool read_output(int fd, struct rtci_buf *buf, size_t max)
{
    for (;;) {
        if (!rtci_buf_reserve(buf, CHUNK))
            return false;
        ssize_t n = read(fd, buf->data + buf->len, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return false;
        buf->len += (size_t)n;
        if (buf->len > 2 * max + CHUNK)
            trim(buf, max);
        if ((size_t)n < CHUNK)
            return true;
    }
}

/* ---- Its life ---- */
struct life {
    pid_t pid;
    int out, err, pidfd;
    bool ended;
    uint64_t stop_ns; /* when SIGTERM was sent; 0 = not */
    bool killed;
};

static void look_for_cancel(struct life *life, struct rtc_call *call)
{
    if (life->stop_ns == 0 && rtc_cancelled(call)) {
        kill(-life->pid, SIGTERM);
        life->stop_ns = rtci_now_ns();
    } else if (life->stop_ns && !life->killed &&
               rtci_now_ns() - life->stop_ns > RTCI_CANCEL_GRACE_NS / 2) {
        kill(-life->pid, SIGKILL);
        life->killed = true;
    }
}

static void follow(struct command *c, struct life *life)
{
    while (life->out >= 0 || life->err >= 0 || !life->ended) {
        struct pollfd p[3] = {{.fd = life->out, .events = POLLIN},
                              {.fd = life->err, .events = POLLIN},
                              {.fd = life->ended ? -1 : life->pidfd, .events = POLLIN}};
        /* What still holds the pipes when the command has ended is a daemon of its own: what stands
         * in them now is all there is. */
        int n = poll(p, 3, life->ended ? 0 : LOOK_MS);
        if (n < 0 && errno != EINTR)
            break;
        int *fds[2] = {&life->out, &life->err};
        struct rtci_buf *bufs[2] = {&c->out, &c->err};
        for (int i = 0; n > 0 && i < 2; i++) {
            if (*fds[i] >= 0 && p[i].revents && !read_output(*fds[i], bufs[i], c->output_max)) {
                close(*fds[i]);
                *fds[i] = -1;
            }
        }
        if (n == 0 && life->ended)
            break;
        if (n > 0 && p[2].revents)
            life->ended = true;
        if (life->pidfd < 0 && life->out < 0 && life->err < 0)
            break;
        look_for_cancel(life, c->call);
    }
}

static int watch(struct command *c, struct life *life)
{
    life->pidfd = (int)syscall(SYS_pidfd_open, life->pid, 0);
    follow(c, life);
    int status = 0;
    while (waitpid(life->pid, &status, 0) < 0 && errno == EINTR) {
    }
    int fds[] = {life->out, life->err, life->pidfd};
    for (size_t i = 0; i < 3; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    trim(&c->out, c->output_max);
    trim(&c->err, c->output_max);
    c->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    c->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (life->stop_ns)
        return rtci_error(RTC_E_CANCELLED,
                          "%s was stopped: its task was cancelled, or its deadline passed",
                          c->argv[0]);
    return 0;
}

int rtci_command_process(struct command *c)
{
    int out[2] = {-1, -1}, err[2] = {-1, -1}, null = -1;
    uint64_t begin = rtci_now_ns();
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 ||
        (c->stdin_fd < 0 && (null = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)) {
        int rc = rtci_error(RTC_E_OS, "pipes for the command: %s", strerror(errno));
        int fds[] = {out[0], out[1], err[0], err[1]};
        for (size_t i = 0; i < 4; i++) {
            if (fds[i] >= 0)
                close(fds[i]);
        }
        return rc;
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    struct child_fds fds = {c->stdin_fd >= 0 ? c->stdin_fd : null, out[1], err[1]};
    pid_t pid = spawn(c, fds);
    close(out[1]);
    close(err[1]);
    if (null >= 0)
        close(null);
    if (pid < 0) {
        close(out[0]);
        close(err[0]);
        return (int)pid;
    }
    struct life life = {.pid = pid, .out = out[0], .err = err[0]};
    int rc = watch(c, &life);
    c->seconds = (double)(rtci_now_ns() - begin) / 1e9;
    return rc;
}
