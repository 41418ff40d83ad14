#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/keeper/internal.h"
#include <rtc/error.h>

struct rtci_child *rtci_child_find(struct rtci_keeper *keeper, uint64_t tag)
{
    struct rtci_child *child;
    TAILQ_FOREACH(child, &keeper->children, link)
    {
        if (child->tag == tag && child->pid > 0)
            return child;
    }
    return NULL;
}

static void set_due(struct rtci_keeper *keeper, struct rtci_child *child)
{
    if (!child->in_due)
        TAILQ_INSERT_TAIL(&keeper->due, child, due);
    child->in_due = true;
}

static void undue(struct rtci_keeper *keeper, struct rtci_child *child)
{
    if (child->in_due)
        TAILQ_REMOVE(&keeper->due, child, due);
    child->in_due = child->spawned_due = child->exited_due = false;
}

static void release(struct rtci_keeper *keeper, struct rtci_child *child)
{
    undue(keeper, child);
    if (keeper->child_at == child)
        keeper->child_at = TAILQ_NEXT(child, link);
    TAILQ_REMOVE(&keeper->children, child, link);
    free(child);
}

/* The strings of a SPAWN blob: cwd, path, argv…, "", env…, "". Returns an array that holds argv,
 * NULL, env, NULL, or NULL: the blob is malformed (EINVAL) or memory is out (ENOMEM). */
static char **split(char *blob, uint32_t len, char **ret_cwd, char **ret_path, char ***ret_env,
                    int *reterr)
{
    *reterr = EINVAL;
    if (len == 0 || blob[len - 1])
        return NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < len; i++)
        n += blob[i] == 0;
    if (n < 5)
        return NULL;
    char **strings = calloc(n, sizeof(*strings));
    if (!strings) {
        *reterr = ENOMEM;
        return NULL;
    }
    char *at = blob;
    *ret_cwd = at;
    at += strlen(at) + 1;
    *ret_path = at;
    at += strlen(at) + 1;
    uint32_t ends = 0, count = 0, first_end = 0;
    for (; ends < 2 && at < blob + len; at += strlen(at) + 1) {
        if (!*at && ends++ == 0)
            first_end = count;
        strings[count++] = *at ? at : NULL;
    }
    if (ends < 2 || at != blob + len || first_end == 0) {
        free(strings);
        return NULL;
    }
    *ret_env = strings + first_end + 1;
    return strings;
}

static pid_t spawn(struct rtci_keeper *keeper, const struct rtci_keeper_msg *msg, const int *fds,
                   uint32_t n_fds, bool *ret_cwd_failed)
{
    char *cwd, *path, **env;
    int err;
    *ret_cwd_failed = false;
    if (n_fds < 4)
        return -EINVAL;
    if (rtci_child_find(keeper, msg->key))
        return -EEXIST;
    char **argv = split((char *)keeper->blob, msg->blob_len, &cwd, &path, &env, &err);
    if (!argv)
        return -err;
    struct rtci_spawn what = {
        .exe = fds[0],
        .path = path,
        .cwd = cwd,
        .argv = argv,
        .env = env,
        .fds = fds + 1,
        .n_fds = n_fds - 1,
        .keeper = keeper->self,
        .nofile = &keeper->nofile,
        .reset = &keeper->reset,
        .expendable = true,
    };
    pid_t pid = rtci_spawn(&what, ret_cwd_failed);
    free(argv);
    return pid;
}

void rtci_child_spawn(struct rtci_keeper *keeper, const struct rtci_keeper_msg *msg, const int *fds,
                      uint32_t n_fds)
{
    struct rtci_child *child = calloc(1, sizeof(*child));
    if (!child) {
        /* Nothing can be answered without memory either; the caller's own limit finds it. */
        RTCI_LOG(ERROR, KEEPER, "out of memory for a process record");
        return;
    }
    pid_t pid = spawn(keeper, msg, fds, n_fds, &child->cwd_failed);
    child->tag = msg->key;
    child->pid = pid > 0 ? pid : 0;
    child->status = pid > 0 ? 0 : -pid;
    child->spawned_due = true;
    TAILQ_INSERT_TAIL(&keeper->children, child, link);
    set_due(keeper, child);
    RTCI_LOG(DEBUG, KEEPER, "spawn tag=%llu pid=%d errno=%d", (unsigned long long)msg->key,
             (int)child->pid, (int)child->status);
}

void rtci_child_exited(struct rtci_keeper *keeper, pid_t pid, int32_t status)
{
    struct rtci_child *child;
    TAILQ_FOREACH(child, &keeper->children, link)
    {
        if (child->pid == pid && !child->exited)
            break;
    }
    if (!child)
        return; /* an orphan of an executor */
    child->exited = true;
    child->status = status;
    RTCI_LOG(DEBUG, KEEPER, "exit tag=%llu pid=%d status=0x%x", (unsigned long long)child->tag,
             (int)pid, (unsigned)status);
    if (child->forgotten) {
        release(keeper, child);
        return;
    }
    child->exited_due = true;
    set_due(keeper, child);
}

void rtci_child_forget(struct rtci_keeper *keeper, uint64_t tag)
{
    struct rtci_child *child = rtci_child_find(keeper, tag);
    if (!child)
        return;
    if (child->exited)
        release(keeper, child);
    else
        child->forgotten = true; /* it is still ours to reap and to kill at the end */
}

void rtci_child_undue(struct rtci_keeper *keeper)
{
    struct rtci_child *child;
    while ((child = TAILQ_FIRST(&keeper->due))) {
        undue(keeper, child);
        if (child->pid == 0)
            release(keeper, child);
    }
}

static int tell(struct rtci_keeper *keeper, uint32_t type, const struct rtci_child *child,
                uint32_t flags)
{
    struct rtci_keeper_msg msg = {
        .type = type,
        .flags = flags,
        .key = child->tag,
        .pid = child->pid,
        .value = type == RTCI_KM_SPAWNED && child->pid ? 0 : child->status,
    };
    return rtci_keeper_send(keeper->sock, &msg, NULL, NULL, 0);
}

static int pump_start(struct rtci_keeper *keeper)
{
    int rc = 0;
    switch (keeper->phase) {
    case RTCI_PHASE_HELD:
        if (keeper->held_at) {
            struct rtci_held *held = keeper->held_at;
            struct rtci_keeper_msg msg = {
                .type = RTCI_KM_RESTORE, .key = held->key, .blob_len = held->blob_len};
            rc = rtci_keeper_send(keeper->sock, &msg, held->blob, held->fds, held->n_fds);
            if (rc == 0)
                keeper->held_at = TAILQ_NEXT(held, link);
            return rc;
        }
        keeper->phase = RTCI_PHASE_CHILDREN;
        keeper->child_at = TAILQ_FIRST(&keeper->children);
        return 0;
    case RTCI_PHASE_CHILDREN:
        if (keeper->child_at) {
            struct rtci_child *child = keeper->child_at;
            /* What is due tells it later: a child of this daemon, or one that just exited. */
            if (child->pid && !child->forgotten && !child->spawned_due)
                rc = tell(keeper, RTCI_KM_CHILD, child, child->exited);
            if (rc == 0) {
                child->exited_due &= child->spawned_due;
                keeper->child_at = TAILQ_NEXT(child, link);
            }
            return rc;
        }
        keeper->phase = RTCI_PHASE_BEGIN;
        return 0;
    default: {
        struct rtci_keeper_msg msg = {.type = RTCI_KM_BEGIN, .value = keeper->starts};
        rc = rtci_keeper_send(keeper->sock, &msg, NULL, NULL, 0);
        if (rc == 0)
            keeper->phase = RTCI_PHASE_LIVE;
        return rc;
    }
    }
}

static int pump_due(struct rtci_keeper *keeper, struct rtci_child *child)
{
    int rc = 0;
    if (child->spawned_due) {
        rc = tell(keeper, RTCI_KM_SPAWNED, child, child->cwd_failed);
        child->spawned_due = rc != 0;
    }
    if (rc == 0 && child->exited_due) {
        rc = tell(keeper, RTCI_KM_EXITED, child, 0);
        child->exited_due = rc != 0;
    }
    if (rc < 0)
        return rc;
    undue(keeper, child);
    if (child->pid == 0)
        release(keeper, child);
    return 0;
}

bool rtci_child_pump(struct rtci_keeper *keeper)
{
    int rc = 0;
    while (rc == 0 && keeper->sock >= 0) {
        if (keeper->phase != RTCI_PHASE_LIVE)
            rc = pump_start(keeper);
        else if (!TAILQ_EMPTY(&keeper->due))
            rc = pump_due(keeper, TAILQ_FIRST(&keeper->due));
        else
            break;
    }
    return rc == RTC_E_AGAIN; /* other errors: the daemon died, which SIGCHLD tells */
}

/* As a subreaper the keeper is the parent of whatever executors left behind, also of what made a
 * process group of its own. */
static void kill_all(struct rtci_keeper *keeper)
{
    struct rtci_child *child;
    TAILQ_FOREACH(child, &keeper->children, link)
    {
        if (child->pid && !child->exited)
            kill(-child->pid, SIGKILL);
    }
    FILE *file = fopen("/proc/thread-self/children", "re");
    int pid;
    while (file && fscanf(file, "%d", &pid) == 1)
        kill(pid, SIGKILL);
    if (file)
        fclose(file);
}

void rtci_child_end(struct rtci_keeper *keeper)
{
    for (;;) {
        kill_all(keeper);
        pid_t pid = waitpid(-1, NULL, 0);
        if (pid < 0 && errno == ECHILD)
            break;
        struct rtci_child *child;
        TAILQ_FOREACH(child, &keeper->children, link)
        {
            if (child->pid == pid)
                child->exited = true;
        }
    }
    while (!TAILQ_EMPTY(&keeper->children))
        release(keeper, TAILQ_FIRST(&keeper->children));
}
