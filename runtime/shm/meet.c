/* The handshake of a lane: its sockets and its two messages. */
#include "runtime/shm/meet.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/shm/doorman.h"
#include "runtime/wire/wire.h"
#include <rtc/error.h>

#define BACKLOG 64

/* Abstract: the name goes with the process, however it ends. */
static socklen_t name_of(uint64_t arena, uint32_t client, struct sockaddr_un *addr)
{
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(addr->sun_path + 1, sizeof(addr->sun_path) - 1, "rtc-lane-%llx-%u",
                     (unsigned long long)arena, client);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int rtci_meet_listen(uint64_t arena, uint32_t client)
{
    struct sockaddr_un addr;
    socklen_t len = name_of(arena, client, &addr);
    int fd = new_socket();
    if (fd < 0)
        return RTC_E_OS;
    if (bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, BACKLOG) < 0) {
        int rc = errno == EADDRINUSE ? RTC_E_EXISTS : RTC_E_OS;
        close(fd);
        return rc;
    }
    return fd;
}

int rtci_meet_dial(uint64_t arena, uint32_t client)
{
    struct sockaddr_un addr;
    socklen_t len = name_of(arena, client, &addr);
    int fd = new_socket();
    if (fd < 0)
        return RTC_E_OS;
    if (connect(fd, (struct sockaddr *)&addr, len) < 0) {
        int rc = errno == ECONNREFUSED || errno == ENOENT ? RTC_E_NOT_FOUND
                 : errno == EAGAIN                        ? RTC_E_AGAIN
                                                          : RTC_E_OS;
        close(fd);
        return rc;
    }
    return fd;
}

int rtci_meet_who(int sock, uint32_t *ret_pid)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.uid != geteuid())
        return RTC_E_PROTOCOL;
    *ret_pid = (uint32_t)who.pid;
    return 0;
}

RTCI_PRINTF(3, 4) static int refuse(char *ret_why, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(ret_why, RTCI_LANE_WHY_MAX, fmt, args);
    va_end(args);
    return code;
}

int rtci_lane_hello_check(const struct rtci_lane_hello *hello, uint32_t n_fds, uint64_t arena,
                          uint32_t client, char *ret_why)
{
    if (hello->magic != RTCI_LANE_MAGIC)
        return refuse(ret_why, RTC_E_PROTOCOL, "what dials there is not an rtc process");
    if (hello->version != RTCI_WIRE_VERSION)
        return refuse(ret_why, RTC_E_VERSION,
                      "the caller speaks protocol %u, this process %u: build both with one version "
                      "of rtc",
                      hello->version, RTCI_WIRE_VERSION);
    if (hello->arena != arena || hello->callee != client)
        return refuse(ret_why, RTC_E_NOT_FOUND, "another process was meant");
    if (hello->client == 0 || n_fds < 2 || n_fds > 3)
        return refuse(ret_why, RTC_E_PROTOCOL, "the caller's greeting is incomplete");
    return 0;
}

int rtci_lane_answer_check(const struct rtci_lane_answer *answer, uint32_t n_fds, uint32_t callee,
                           char *ret_why)
{
    if (answer->magic != RTCI_LANE_MAGIC)
        return refuse(ret_why, RTC_E_PROTOCOL, "what answers there is not an rtc process");
    if (answer->version != RTCI_WIRE_VERSION)
        return refuse(ret_why, RTC_E_VERSION,
                      "the actor's process speaks protocol %u, this one %u: build both with one "
                      "version of rtc",
                      answer->version, RTCI_WIRE_VERSION);
    if (answer->status < 0)
        return refuse(ret_why,
                      answer->status <= -RTC_ERROR_COUNT_ ? RTC_E_PROTOCOL : answer->status, "%.*s",
                      RTCI_LANE_WHY_MAX - 1, answer->why);
    if (answer->status > 0 || answer->client != callee || n_fds < 1 || n_fds > 2)
        return refuse(ret_why, RTC_E_PROTOCOL, "the answer of the actor's process is incomplete");
    return 0;
}
