/* `rtc stop`: asks the daemon; a worker whose head is away cannot be asked, its keeper is told. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rtc/rtc.h>

#include "runtime/cli/cli.h"
#include "runtime/client/client.h"
#include "runtime/client/open.h"

#define WAIT_MS 30000

int rtci_cli_stop(struct rtc *rtc, bool now)
{
    struct rtci_slot_msg msg = {.rec = {sizeof(msg), RTCI_R_STOP, 0}, .op = now};
    int rc = rtci_enter(rtc);
    if (!rc) {
        rc = rtci_send_record(rtc, &msg.rec);
        rtci_leave(rtc);
    }
    struct pollfd end = {.fd = rtc->sock, .events = POLLIN}; /* its EOF: all is gone */
    bool ended = rc >= 0 && poll(&end, 1, WAIT_MS) == 1;
    if (!ended)
        fprintf(stderr, "rtc stop: %s\n",
                rc < 0 ? rtc_last_error() : "it has not ended after 30 s");
    rtci_client_destroy(rtc);
    return ended ? 0 : 1;
}

static pid_t keeper_of(const char *socket)
{
    char path[128], text[24] = "";
    if ((size_t)snprintf(path, sizeof(path), "%s.lock", socket) >= sizeof(path))
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

int rtci_cli_stop_keeper(void)
{
    const char *address = getenv("RTC_ADDRESS"), *run = getenv("XDG_RUNTIME_DIR");
    char path[108];
    if (address && !strncmp(address, "unix:", 5))
        snprintf(path, sizeof(path), "%s", address + 5);
    else if (run && run[0])
        snprintf(path, sizeof(path), "%s/rtc/worker.sock", run);
    else
        snprintf(path, sizeof(path), "/tmp/rtc-%u/worker.sock", (unsigned)getuid());
    pid_t pid = keeper_of(path);
    int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (fd < 0 || kill(pid, SIGTERM)) {
        fprintf(stderr, "rtc stop: the worker at unix:%s cannot be stopped: %s\n", path,
                strerror(errno));
        return 1;
    }
    struct pollfd end = {.fd = fd, .events = POLLIN};
    int n = poll(&end, 1, WAIT_MS);
    close(fd);
    if (n == 1)
        return 0;
    fprintf(stderr, "rtc stop: the worker (pid %d) has not ended after 30 s\n", (int)pid);
    return 1;
}
