#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/bounds.h"
#include "runtime/keeper/internal.h"
#include <rtc/error.h>

#define STALE_STEPS   400
#define LOCK_STEPS    100
#define STALE_STEP_NS (5 * RTCI_NS_PER_MS)

static int make_parent(const char *path)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (!slash || slash == dir)
        return 0;
    *slash = 0;
    for (char *at = dir + 1;; at++) {
        if (*at && *at != '/')
            continue;
        char end = *at;
        *at = 0;
        if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
            fprintf(stderr, "rtc: cannot create the directory %s for the local socket: %s\n", dir,
                    strerror(errno));
            return RTC_E_OS;
        }
        *at = end;
        if (!end)
            return 0;
    }
}

static int busy(const char *path, int lock)
{
    char pid[24] = "";
    ssize_t n = lock < 0 ? 0 : pread(lock, pid, sizeof(pid) - 1, 0);
    pid[n > 0 ? n : 0] = 0;
    pid[strcspn(pid, "\n")] = 0;
    fprintf(
        stderr,
        "rtc: another rtc daemon%s%s%s serves at %s; stop it first, or use it: programs of this "
        "user find it by themselves\n",
        *pid ? " (pid " : "", pid, *pid ? ")" : "", path);
    return RTC_E_BUSY;
}

/* A keeper that was killed holds its lock until the kernel has taken it apart. */
static bool lock_in_time(int fd)
{
    struct timespec pause = {.tv_nsec = STALE_STEP_NS};
    for (int i = 0; i < LOCK_STEPS; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            return false;
        nanosleep(&pause, NULL);
    }
    errno = EWOULDBLOCK;
    return false;
}

/* The lock orders keepers that start at the same time: without it one could remove the socket that
 * the other has just bound. */
static int take_lock(const char *path, int *ret_lock)
{
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "%s.lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        fprintf(stderr, "rtc: cannot create %s: %s\n", name, strerror(errno));
        return RTC_E_OS;
    }
    if (!lock_in_time(fd)) {
        int rc = errno == EWOULDBLOCK ? busy(path, fd) : RTC_E_OS;
        if (rc == RTC_E_OS)
            fprintf(stderr, "rtc: cannot lock %s: %s\n", name, strerror(errno));
        close(fd);
        return rc;
    }
    char pid[24];
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
        fprintf(stderr, "rtc: cannot write %s: %s\n", name, strerror(errno)); /* only for people */
    *ret_lock = fd;
    return 0;
}

static bool somebody_listens(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    int rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
    bool yes = rc == 0 || errno == EAGAIN || errno == EINPROGRESS;
    close(fd);
    return yes;
}

/* Whoever has the lock finds a listener only when a killed keeper's socket is not yet taken apart,
 * which the kernel does a moment after the processes are gone, or when it is not a keeper's. */
static bool goes_on_listening(const struct sockaddr_un *addr)
{
    struct timespec pause = {.tv_nsec = STALE_STEP_NS};
    for (int i = 0; i < STALE_STEPS; i++) {
        if (!somebody_listens(addr))
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static int bind_and_listen(const char *path, const struct sockaddr_un *addr, int lock)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        goto fail;
    if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0) {
        struct stat st;
        if (errno != EADDRINUSE)
            goto fail;
        if (goes_on_listening(addr)) {
            close(fd);
            return busy(path, lock);
        }
        /* Left by a keeper that was killed. Anything else of that name is not ours to remove. */
        if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
            fprintf(stderr, "rtc: %s is in the way of the local socket and is not a socket\n",
                    path);
            close(fd);
            return RTC_E_EXISTS;
        }
        unlink(path);
        if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
            goto fail;
    }
    if (chmod(path, 0600) < 0 || listen(fd, SOMAXCONN) < 0)
        goto fail;
    return fd;
fail:
    fprintf(stderr, "rtc: cannot listen at %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return RTC_E_OS;
}

int rtci_listen_open(const char *path, struct rtci_listen *ret_listen)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path)) {
        fprintf(stderr,
                "rtc: the path of the local socket is longer than the %zu bytes that the system "
                "allows: %s\n",
                sizeof(addr.sun_path) - 1, path);
        return RTC_E_INVALID;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    struct rtci_listen listener = {-1, -1};
    int rc = make_parent(path);
    if (rc == 0)
        rc = take_lock(path, &listener.lock);
    if (rc < 0)
        return rc;
    listener.fd = bind_and_listen(path, &addr, listener.lock);
    if (listener.fd < 0) {
        close(listener.lock);
        return listener.fd;
    }
    *ret_listen = listener;
    return 0;
}
