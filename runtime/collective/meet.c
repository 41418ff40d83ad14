/* How the members of a group that are on one host find each other: one listens at an abstract
 * address that nobody can guess, the others come with their rank and the group's token, and are
 * given the segment and a descriptor of each member's process. After that no connection is needed
 * any more. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/collective/segment.h"

#define GUESTS_MAX (2 * RTCI_COLLECTIVE_RANKS_MAX) /* with those who have not said who they are */
#define TICK_MS    10                              /* one of another host may have come */
#define UNKNOWN    UINT32_MAX

struct hello {
    uint32_t magic, rank, size, number;
    uint8_t token[16];
};
/* With it come the segment and `size` descriptors of processes, in the order of ranks. */
struct welcome {
    uint32_t magic;
    int32_t status;
    uint32_t place, size; /* among those of this host */
    char text[192];
};

struct guest {
    int fd, pidfd;
    uint32_t rank, pid, number;
};
struct host {
    struct rtci_meeting *meeting;
    struct guest guests[GUESTS_MAX];
    uint32_t n_guests, n_known;
};

static int left_ms(uint64_t deadline_ns)
{
    uint64_t now = segment_now_ns();
    if (now >= deadline_ns)
        return 0;
    uint64_t ms = (deadline_ns - now) / RTCI_NS_PER_MS + 1;
    return ms < TICK_MS ? (int)ms : TICK_MS;
}

/* ---- Rank 0 ---- */
int rtci_meeting_open(char ret_address[RTCI_MEETING_ADDRESS])
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(at);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* Without an address the kernel chooses an abstract one that is free. */
    if (bind(fd, (struct sockaddr *)&at, sizeof(at.sun_family)) < 0 || listen(fd, 64) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    size_t n = len - offsetof(struct sockaddr_un, sun_path) - 1;
    n = n < RTCI_MEETING_ADDRESS - 1 ? n : RTCI_MEETING_ADDRESS - 1;
    memset(ret_address, 0, RTCI_MEETING_ADDRESS);
    memcpy(ret_address, at.sun_path + 1, n);
    return fd;
}

static void drop_guest(struct host *host, uint32_t i)
{
    struct guest *guest = &host->guests[i];
    host->n_known -= guest->rank != UNKNOWN;
    if (guest->rank != UNKNOWN)
        host->meeting->here &= ~(1ull << guest->rank);
    close(guest->fd);
    if (guest->pidfd >= 0)
        close(guest->pidfd);
    *guest = host->guests[--host->n_guests];
}

static void send_away(struct host *host, uint32_t i, int status, const char *text)
{
    struct welcome no = {.magic = COLLECTIVE_MAGIC, .status = status};
    snprintf(no.text, sizeof(no.text), "%s", text);
    RTCI_IGNORE(send(host->guests[i].fd, &no, sizeof(no), MSG_NOSIGNAL | MSG_DONTWAIT) < 0);
    drop_guest(host, i);
}

static void come_in(struct host *host, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (host->n_guests == GUESTS_MAX) {
        close(fd);
        return;
    }
    host->guests[host->n_guests++] = (struct guest){.fd = fd, .pidfd = -1, .rank = UNKNOWN};
}

static bool is_gone(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

static bool is_taken(struct host *host, uint32_t i, uint32_t rank, char *text, size_t size)
{
    for (uint32_t k = 0; k < host->n_guests; k++) {
        if (k == i || host->guests[k].rank != rank)
            continue;
        snprintf(text, size, "rank %u is taken by process %u", rank, host->guests[k].pid);
        return true;
    }
    if (host->meeting->elsewhere >> rank & 1) {
        snprintf(text, size, "rank %u is taken by a process of another host", rank);
        return true;
    }
    snprintf(text, size, "rank %u is that of the process which waits for the others", rank);
    return rank == host->meeting->rank;
}

/* Holds its process by a descriptor; it is the process that we speak with while it is connected. */
static int hold(struct guest *guest)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    if (getsockopt(guest->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return -errno;
    if (who.uid != geteuid() || who.pid <= 0)
        return -EPERM;
    guest->pid = (uint32_t)who.pid;
    guest->pidfd = (int)syscall(SYS_pidfd_open, who.pid, 0);
    if (guest->pidfd < 0)
        return -errno;
    return is_gone(guest->fd) ? -ESRCH : 0;
}

/* A guest has said something, or is gone. Dropped ones are replaced by the last. */
static void listen_to(struct host *host, uint32_t i)
{
    struct guest *guest = &host->guests[i];
    const struct rtci_meeting *meeting = host->meeting;
    struct hello hello;
    char text[192];
    ssize_t n = recv(guest->fd, &hello, sizeof(hello), MSG_DONTWAIT);
    if (n != (ssize_t)sizeof(hello) || guest->rank != UNKNOWN || hello.magic != COLLECTIVE_MAGIC ||
        memcmp(hello.token, meeting->token, sizeof(hello.token)) != 0) {
        drop_guest(host, i);
        return;
    }
    if (hello.size != meeting->size || hello.rank >= meeting->size) {
        snprintf(text, sizeof(text), "rank 0 says that the group has %u members, rank %u says %u",
                 meeting->size, hello.rank, hello.size);
        send_away(host, i, RTC_E_INVALID, text);
    } else if (is_taken(host, i, hello.rank, text, sizeof(text))) {
        send_away(host, i, RTC_E_EXISTS, text);
    } else {
        int error = hold(guest);
        snprintf(text, sizeof(text), "its process cannot be watched: %s", strerror(-error));
        if (error < 0) {
            send_away(host, i, RTC_E_OS, text);
            return;
        }
        guest->rank = hello.rank;
        host->meeting->here |= 1ull << hello.rank;
        guest->number = hello.number;
        host->n_known++;
    }
}

static uint32_t missing(const struct host *host)
{
    const struct rtci_meeting *meeting = host->meeting;
    uint32_t known = host->n_known + 1 + (uint32_t)__builtin_popcountll(meeting->elsewhere);
    return meeting->size - known;
}

static int gather_guests(struct host *host, int listener)
{
    struct rtci_meeting *meeting = host->meeting;
    struct pollfd fds[GUESTS_MAX + 1];
    while (missing(host)) {
        uint32_t n = host->n_guests;
        fds[n] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (uint32_t i = 0; i < n; i++)
            fds[i] = (struct pollfd){.fd = host->guests[i].fd, .events = POLLIN};
        int ready = poll(fds, n + 1, left_ms(meeting->deadline_ns));
        if (ready < 0 && errno != EINTR)
            return RTC_E_OS;
        if (ready > 0) {
            for (uint32_t i = n; i-- > 0;) { /* from the end: a dropped one is replaced by it */
                if (fds[i].revents)
                    listen_to(host, i);
            }
            if (fds[n].revents)
                come_in(host, listener);
        } else if (meeting->tick) {
            int rc = meeting->tick(meeting);
            if (rc < 0)
                return rc;
        }
        if (missing(host) && segment_now_ns() >= meeting->deadline_ns)
            return RTC_E_TIMEOUT;
    }
    return 0;
}

static void tell_missing(const struct host *host, char *text, size_t size)
{
    uint32_t first = 0;
    for (uint32_t rank = host->meeting->size; rank-- > 0;) {
        bool here = rank == host->meeting->rank || host->meeting->elsewhere >> rank & 1;
        for (uint32_t i = 0; i < host->n_guests; i++)
            here |= host->guests[i].rank == rank;
        first = here ? first : rank;
    }
    if (missing(host) == 1)
        snprintf(text, size, "rank %u did not come", first);
    else
        snprintf(text, size, "rank %u and %u others did not come", first, missing(host) - 1);
}

static int send_welcome(int to, int memory, const int *pidfds, uint32_t place, uint32_t size)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * (RTCI_COLLECTIVE_RANKS_MAX + 1))];
    } control;
    struct welcome yes = {.magic = COLLECTIVE_MAGIC, .place = place, .size = size};
    struct iovec part = {&yes, sizeof(yes)};
    memset(&control, 0, sizeof(control));
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * (size + 1))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                               .cmsg_type = SCM_RIGHTS,
                               .cmsg_len = CMSG_LEN(sizeof(int) * (size + 1))};
    memcpy(CMSG_DATA(header), &memory, sizeof(int));
    memcpy(CMSG_DATA(header) + sizeof(int), pidfds, size * sizeof(int));
    return sendmsg(to, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Those of this host, in the order of ranks. */
struct crew {
    uint32_t size, ranks[RTCI_COLLECTIVE_RANKS_MAX], pids[RTCI_COLLECTIVE_RANKS_MAX];
    int pidfds[RTCI_COLLECTIVE_RANKS_MAX];
    struct guest *guests[RTCI_COLLECTIVE_RANKS_MAX]; /* NULL: this process */
};

static int make_crew(struct host *host, struct crew *crew)
{
    const struct rtci_meeting *meeting = host->meeting;
    int own = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (own < 0)
        return -errno;
    crew->size = 0;
    for (uint32_t rank = 0; rank < meeting->size; rank++) {
        struct guest *guest = NULL;
        for (uint32_t i = 0; i < host->n_guests && !guest; i++)
            guest = host->guests[i].rank == rank ? &host->guests[i] : NULL;
        if (!guest && rank != meeting->rank)
            continue;
        crew->ranks[crew->size] = rank;
        crew->pids[crew->size] = guest ? guest->pid : (uint32_t)getpid();
        crew->pidfds[crew->size] = guest ? guest->pidfd : own;
        crew->guests[crew->size++] = guest;
    }
    return own;
}

/* One whose welcome is lost has died: the others find that out by its process. */
static int make_group(struct host *host, struct rtci_collective **ret)
{
    const struct rtci_meeting *meeting = host->meeting;
    struct crew crew;
    uint32_t place = 0;
    int own = make_crew(host, &crew);
    if (own < 0)
        return own;
    while (crew.ranks[place] != meeting->rank)
        place++;
    int memory = segment_create(crew.size, meeting->epoch, crew.pids, meeting->slot_bytes),
        error = memory;
    if (memory >= 0) {
        *ret = segment_map(memory, place, crew.size, crew.pidfds);
        error = *ret ? 0 : -errno;
    }
    for (uint32_t i = 0; error == 0 && i < crew.size; i++) {
        if (!crew.guests[i])
            continue;
        RTCI_IGNORE(send_welcome(crew.guests[i]->fd, memory, crew.pidfds, i, crew.size) < 0);
        crew.guests[i]->pidfd = -1; /* it is the group's */
    }
    if (error < 0)
        close(own);
    if (memory >= 0)
        close(memory);
    return error;
}

/* Whoever hosts may want to know all before the group is made. */
static int tell_all(const struct host *host)
{
    struct rtci_meeting *meeting = host->meeting;
    uint32_t numbers[RTCI_COLLECTIVE_RANKS_MAX] = {0}, pids[RTCI_COLLECTIVE_RANKS_MAX] = {0};
    for (uint32_t i = 0; i < host->n_guests; i++) {
        const struct guest *guest = &host->guests[i];
        if (guest->rank != UNKNOWN)
            numbers[guest->rank] = guest->number, pids[guest->rank] = guest->pid;
    }
    numbers[meeting->rank] = meeting->number;
    pids[meeting->rank] = (uint32_t)getpid();
    return meeting->all ? meeting->all(meeting, numbers, pids) : 0;
}

int rtci_meeting_host(int listener, struct rtci_meeting *meeting, char *why, size_t why_size,
                      struct rtci_collective **ret)
{
    struct host host = {.meeting = meeting};
    int rc = gather_guests(&host, listener);
    rc = rc == 0 ? tell_all(&host) : rc;
    if (rc == RTC_E_TIMEOUT) {
        tell_missing(&host, why, why_size);
    } else if (rc == RTC_E_OS) {
        snprintf(why, why_size, "waiting for the others: %s", strerror(errno));
    } else if (rc == 0) {
        int error = make_group(&host, ret);
        if (error < 0) {
            rc = error == -ENOMEM || error == -ENOSPC ? RTC_E_NOMEM : RTC_E_OS;
            snprintf(why, why_size, "the group's memory: %s", strerror(-error));
        }
    }
    while (host.n_guests) {
        if (rc < 0)
            send_away(&host, host.n_guests - 1, RTC_E_AGAIN, why);
        else
            drop_guest(&host, host.n_guests - 1);
    }
    return rc;
}

/* ---- The others ---- */
static int receive(int fd, struct welcome *welcome, int *ret_fds, uint32_t *ret_n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * (RTCI_COLLECTIVE_RANKS_MAX + 1))];
    } control;
    struct iovec part = {welcome, sizeof(*welcome)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    *ret_n = 0;
    for (struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&message) : NULL; h;
         h = CMSG_NXTHDR(&message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        *ret_n = (uint32_t)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(ret_fds, CMSG_DATA(h), *ret_n * sizeof(int));
    }
    return n == (ssize_t)sizeof(*welcome) && welcome->magic == COLLECTIVE_MAGIC ? 0 : -1;
}

static int enter(const struct welcome *welcome, const int *fds, uint32_t n, char *why,
                 size_t why_size, struct rtci_collective **ret)
{
    bool fine = n == welcome->size + 1 && welcome->place < welcome->size;
    *ret = fine ? segment_map(fds[0], welcome->place, welcome->size, fds + 1) : NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || !*ret)
            close(fds[i]);
    }
    if (*ret)
        return 0;
    snprintf(why, why_size, "the group's memory: %s",
             fine ? strerror(errno) : "too many open files");
    return RTC_E_OS;
}

static int converse(int fd, const struct rtci_meeting *meeting, char *why, size_t why_size,
                    struct rtci_collective **ret)
{
    struct hello hello = {.magic = COLLECTIVE_MAGIC,
                          .rank = meeting->rank,
                          .size = meeting->size,
                          .number = meeting->number};
    memcpy(hello.token, meeting->token, sizeof(hello.token));
    snprintf(why, why_size, "rank 0 is gone");
    if (send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) < 0)
        return RTC_E_AGAIN;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    while (poll(&poll_fd, 1, left_ms(meeting->deadline_ns)) <= 0) {
        if (segment_now_ns() >= meeting->deadline_ns) {
            snprintf(why, why_size, "not all members came");
            return RTC_E_TIMEOUT;
        }
    }
    struct welcome welcome;
    int fds[RTCI_COLLECTIVE_RANKS_MAX + 1];
    uint32_t n;
    if (receive(fd, &welcome, fds, &n) < 0) {
        for (uint32_t i = 0; i < n; i++)
            close(fds[i]);
        return RTC_E_AGAIN;
    }
    if (welcome.status == 0)
        return enter(&welcome, fds, n, why, why_size, ret);
    snprintf(why, why_size, "%.191s", welcome.text);
    return welcome.status;
}

int rtci_meeting_visit(const char *address, const struct rtci_meeting *meeting, char *why,
                       size_t why_size, struct rtci_collective **ret)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t len = strnlen(address, RTCI_MEETING_ADDRESS - 1);
    memcpy(at.sun_path + 1, address, len);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        snprintf(why, why_size, "a socket: %s", strerror(errno));
        return RTC_E_OS;
    }
    int rc = RTC_E_AGAIN;
    snprintf(why, why_size, "rank 0 is gone");
    if (connect(fd, (struct sockaddr *)&at,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) == 0)
        rc = converse(fd, meeting, why, why_size, ret);
    close(fd);
    return rc;
}
