/* A process that dies with its parent dies, in the kernel's eyes, with the *thread* that started
 * it. So all are started by one thread of this library, which never ends. */
#include "actors/sumo/process.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/close_range.h>

#include <rtc/error.h>

uint64_t sumo_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int sumo_wait_fd(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = events};
        uint64_t now = sumo_now_ms(), left = now < deadline_ms ? deadline_ms - now : 0;
        int n = left ? poll(&ready, 1, left < INT_MAX ? (int)left : INT_MAX) : 0;
        if (n > 0)
            return 0;
        if (n == 0 && left < INT_MAX)
            return RTC_E_TIMEOUT;
        if (n < 0 && errno != EINTR)
            return RTC_E_OS;
    }
}

/* ---- The thread that starts ---- */

struct job {
    const struct sumo_start *start;
    pid_t pid;
    int error;
    bool done;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct job *job;
    pid_t owner; /* whose thread it is: a forked child has none */
} starter = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* Between vfork and exec: system calls on what was prepared before, nothing else. */
__attribute__((noreturn)) static void become(const struct sumo_start *start, const sigset_t *mask,
                                             pid_t parent, volatile int *error)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    for (int i = 1; i < NSIG; i++)
        sigaction(i, &usual, NULL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    setpgid(0, 0); /* Ctrl-C is for the program, which then ends them */
    if (start->pin) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(start->cpu, &set);
        sched_setaffinity(0, sizeof(set), &set); /* a CPU that is not there: anywhere, then */
    }
    if (dup2(start->log_fd, 1) < 0 || dup2(start->log_fd, 2) < 0 ||
        (start->extra_fd >= 0 && dup2(start->extra_fd, 3) < 0)) {
        *error = errno;
        _exit(127);
    }
    close(0);
    syscall(SYS_close_range, start->extra_fd >= 0 ? 4 : 3, ~0u, 0);
    execve(start->binary, start->argv, start->env);
    *error = errno;
    _exit(127);
}

static void run_job(struct job *job)
{
    sigset_t all, none, before;
    volatile int error = 0;
    pid_t parent = getpid();
    sigfillset(&all);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork();
    if (pid == 0)
        become(job->start, &none, parent, &error);
    int failed = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid > 0 && error) {
        waitpid(pid, NULL, 0);
        pid = -1;
        failed = error;
    }
    job->pid = pid;
    job->error = pid < 0 ? failed : 0;
}

static void *starter_main(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&starter.mutex);
    for (;;) {
        while (!starter.job || starter.job->done)
            pthread_cond_wait(&starter.changed, &starter.mutex);
        run_job(starter.job);
        starter.job->done = true;
        pthread_cond_broadcast(&starter.changed);
    }
    return NULL;
}

static int starter_ready(void)
{
    if (starter.owner == getpid())
        return 0;
    pthread_t thread;
    sigset_t all, before;
    starter.changed =
        (pthread_cond_t)PTHREAD_COND_INITIALIZER; /* the parent's thread waited on it */
    sigfillset(&all);                             /* its signals are others' to handle */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, NULL, starter_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return rc;
    pthread_detach(thread);
    starter.owner = getpid();
    starter.job = NULL;
    return 0;
}

int sumo_process_start(const struct sumo_start *start, struct sumo_process *ret_process)
{
    struct job job = {.start = start};
    pthread_mutex_lock(&starter.mutex);
    int rc = starter_ready();
    if (rc == 0) {
        while (starter.job) /* another thread's */
            pthread_cond_wait(&starter.changed, &starter.mutex);
        starter.job = &job;
        pthread_cond_broadcast(&starter.changed);
        while (!job.done)
            pthread_cond_wait(&starter.changed, &starter.mutex);
        starter.job = NULL;
        pthread_cond_broadcast(&starter.changed);
        rc = job.error;
    }
    pthread_mutex_unlock(&starter.mutex);
    if (rc != 0)
        return rc;
    return sumo_process_adopt(job.pid, ret_process);
}

int sumo_process_adopt(pid_t pid, struct sumo_process *ret_process)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), error = errno;
    if (pidfd < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        *ret_process = (struct sumo_process){0};
        return error;
    }
    *ret_process = (struct sumo_process){.pid = pid, .pidfd = pidfd};
    return 0;
}

/* ---- Watching and reaping ---- */

static void reap(struct sumo_process *process, int flags)
{
    pid_t pid;
    if (process->reaped || process->pid == 0)
        return;
    do
        pid = waitpid(process->pid, &process->status, flags);
    while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return;
    if (pid < 0)
        process->status = -1; /* someone else waits for all children */
    process->reaped = true;
    close(process->pidfd);
    process->pidfd = -1;
}

bool sumo_process_alive(struct sumo_process *process)
{
    reap(process, WNOHANG);
    return process->pid != 0 && !process->reaped;
}

void sumo_process_end(struct sumo_process *process, uint64_t deadline_ms)
{
    if (process->pid == 0 || process->reaped)
        return;
    for (uint64_t now = sumo_now_ms(); now < deadline_ms; now = sumo_now_ms()) {
        struct pollfd dead = {.fd = process->pidfd, .events = POLLIN};
        if (poll(&dead, 1, (int)(deadline_ms - now)) > 0)
            break;
    }
    if (!sumo_process_alive(process))
        return;
    kill(process->pid, SIGKILL);
    reap(process, 0);
}

void sumo_process_story(const struct sumo_process *process, char *text, size_t size)
{
    if (!process->reaped)
        snprintf(text, size, "is alive");
    else if (process->status == -1)
        snprintf(text, size, "ended");
    else if (WIFSIGNALED(process->status))
        snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(process->status),
                 strsignal(WTERMSIG(process->status)));
    else
        snprintf(text, size, "ended with status %d", WEXITSTATUS(process->status));
}

/* ---- Programs ---- */

static bool executable(const char *folder, size_t folder_size, const char *name, char *ret_path,
                       size_t size)
{
    int n = folder_size ? snprintf(ret_path, size, "%.*s/%s", (int)folder_size, folder, name)
                        : snprintf(ret_path, size, "%s", name);
    return n > 0 && (size_t)n < size && access(ret_path, X_OK) == 0;
}

static bool find_in_path(const char *name, char *ret_path, size_t size)
{
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/usr/local/bin:/usr/bin:/bin"; *at;) {
        size_t n = strcspn(at, ":");
        if (n && executable(at, n, name, ret_path, size))
            return true;
        at += n + (at[n] == ':');
    }
    return false;
}

bool sumo_find_program(const char *configured, const char *variable, const char *near,
                       const char *name, char *ret_path, size_t size)
{
    if (!configured || !*configured)
        configured = getenv(variable);
    if (configured && *configured)
        return strchr(configured, '/') ? executable("", 0, configured, ret_path, size)
                                       : find_in_path(configured, ret_path, size);
    const char *slash = near ? strrchr(near, '/') : NULL;
    if (slash && executable(near, (size_t)(slash - near), name, ret_path, size))
        return true;
    return find_in_path(name, ret_path, size);
}
