#include "runtime/keeper/keeper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rtc/error.h>

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(RTCI_KEEPER_FDS * sizeof(int))];
};

int rtci_keeper_send(int sock, const struct rtci_keeper_msg *msg, const void *blob, const int *fds,
                     uint32_t n_fds)
{
    if (n_fds > RTCI_KEEPER_FDS || msg->blob_len > RTCI_KEEPER_BLOB_MAX)
        return RTC_E_TOO_LARGE;
    struct rtci_keeper_msg head = *msg;
    head.n_fds = n_fds;
    struct iovec iov[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)blob, msg->blob_len}};
    union control control;
    struct msghdr mh = {.msg_iov = iov, .msg_iovlen = msg->blob_len ? 2 : 1};
    if (n_fds) {
        memset(&control, 0, sizeof(control));
        mh.msg_control = control.bytes;
        mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    for (;;) {
        ssize_t n = sendmsg(sock, &mh, MSG_NOSIGNAL);
        if (n >= 0)
            return 0; /* a seqpacket goes whole or not at all */
        if (errno == EINTR)
            continue;
        /* ETOOMANYREFS: too many descriptors on their way; the receiver must take some first. */
        if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
            return RTC_E_AGAIN;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            return RTC_E_DISCONNECTED;
        return RTC_E_OS;
    }
}

static uint32_t take_fds(struct msghdr *mh, int *ret_fds)
{
    uint32_t n_fds = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        RTCI_ASSERT(n_fds + n <= RTCI_KEEPER_FDS); /* the kernel fills no more than the buffer */
        memcpy(ret_fds + n_fds, CMSG_DATA(c), n * sizeof(int));
        n_fds += (uint32_t)n;
    }
    return n_fds;
}

static ssize_t receive(int sock, struct msghdr *mh, bool wait)
{
    for (;;) {
        ssize_t n = recvmsg(sock, mh, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
        if (n >= 0 || (errno != EINTR && errno != EAGAIN))
            return n;
        if (errno == EAGAIN && !wait)
            return n;
        if (errno == EAGAIN) { /* wait was asked for on a nonblocking socket */
            struct pollfd pfd = {.fd = sock, .events = POLLIN};
            if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
                return -1;
        }
    }
}

int rtci_keeper_recv(int sock, struct rtci_keeper_msg *ret_msg, void *blob, size_t blob_size,
                     int *ret_fds, uint32_t *ret_n_fds, bool wait)
{
    struct iovec iov[2] = {{ret_msg, sizeof(*ret_msg)}, {blob, blob_size}};
    union control control;
    struct msghdr mh = {.msg_iov = iov,
                        .msg_iovlen = blob_size ? 2 : 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof(control.bytes)};
    *ret_n_fds = 0;
    ssize_t n = receive(sock, &mh, wait);
    if (n < 0 && errno == EAGAIN)
        return RTC_E_AGAIN;
    if (n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE)))
        return RTC_E_DISCONNECTED;
    if (n < 0)
        return RTC_E_OS;
    uint32_t n_fds = take_fds(&mh, ret_fds);
    if ((mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (size_t)n < sizeof(*ret_msg) ||
        (size_t)n - sizeof(*ret_msg) != ret_msg->blob_len || ret_msg->n_fds != n_fds) {
        /* MSG_CTRUNC also means that this process is out of descriptors: some were lost. */
        for (uint32_t i = 0; i < n_fds; i++)
            close(ret_fds[i]);
        return RTC_E_PROTOCOL;
    }
    *ret_n_fds = n_fds;
    return 0;
}
