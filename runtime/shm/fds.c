/* See fds.h. */
#include "runtime/shm/fds.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rtc/error.h>

int rtci_fds_send(int sock, const void *data, size_t size, const int *fds, uint32_t n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(RTCI_FDS_MAX * sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)data, size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    RTCI_ASSERT(n <= RTCI_FDS_MAX);
    if (n) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent == (ssize_t)size)
        return 0;
    return sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? RTC_E_AGAIN : RTC_E_OS;
}

static void take_fds(struct cmsghdr *cmsg, int *fds, uint32_t cap, uint32_t *n)
{
    uint32_t count = (uint32_t)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (uint32_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
        if (*n < cap)
            fds[(*n)++] = fd;
        else
            close(fd);
    }
}

int rtci_fds_recv(int sock, void *data, size_t size, int *ret_fds, uint32_t cap, uint32_t *ret_n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * RTCI_FDS_MAX * sizeof(int))];
    } control = {0};
    struct iovec iov = {data, size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n;
    *ret_n = 0;
    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return RTC_E_AGAIN;
    if (n <= 0)
        return RTC_E_DISCONNECTED;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            take_fds(c, ret_fds, cap, ret_n);
    }
    return (size_t)n == size && !(msg.msg_flags & MSG_TRUNC) ? 0 : RTC_E_PROTOCOL;
}

void rtci_fds_close(int *fds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}
