/* Drivers and tools: connections, the handshake, what the keeper keeps of them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rtc/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/node/daemon.h"

struct rtci_process *rtci_daemon_process(struct rtci_daemon *daemon, uint32_t token)
{
    return token && token < RTCI_CLIENTS_MAX && daemon->process[token].used
               ? &daemon->process[token]
               : NULL;
}

struct rtci_process *rtci_daemon_process_new(struct rtci_daemon *daemon, uint32_t token)
{
    struct rtci_process *p = &daemon->process[token];
    RTCI_ASSERT(token && token < RTCI_CLIENTS_MAX && !p->used);
    memset(p, 0, sizeof(*p));
    p->used = true;
    p->chan_fd = p->conn_fd = p->wake_fd = p->exe_fd = p->log_fd = -1;
    daemon->tokens[daemon->n_tokens++] = token;
    return p;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void rtci_daemon_unstore(struct rtci_daemon *daemon, uint32_t token)
{
    struct rtci_keeper_msg msg = {.type = RTCI_KM_UNSTORE, .key = RTCI_KEY_CLIENT + token};
    if (daemon->process[token].used && daemon->remote)
        return; /* the token is another's by now */
    RTCI_IGNORE(rtci_daemon_keeper_send(daemon, &msg, NULL, NULL, 0));
    msg.type = RTCI_KM_FORGET;
    if (token >= RTCI_TOKEN_EXEC)
        RTCI_IGNORE(rtci_daemon_keeper_send(daemon, &msg, NULL, NULL, 0));
}

/* What was read from it may be lost with the daemon until the head has it. */
static void close_later(struct rtci_daemon *daemon, uint32_t token)
{
    if (daemon->n_closed == daemon->cap_closed) {
        daemon->cap_closed = daemon->cap_closed ? 2 * daemon->cap_closed : 16;
        daemon->closed = realloc(daemon->closed, daemon->cap_closed * sizeof(*daemon->closed));
        RTCI_ASSERT(daemon->closed);
    }
    daemon->closed[daemon->n_closed++] = token;
}

#define KEEPER_WAIT_MS 2000

int rtci_daemon_keeper_send(struct rtci_daemon *daemon, const struct rtci_keeper_msg *msg,
                            const void *blob, const int *fds, uint32_t n_fds)
{
    for (;;) {
        int rc = rtci_keeper_send(daemon->keeper, msg, blob, fds, n_fds);
        struct pollfd pfd = {.fd = daemon->keeper, .events = POLLOUT};
        if (rc != RTC_E_AGAIN || poll(&pfd, 1, KEEPER_WAIT_MS) <= 0 || !(pfd.revents & POLLOUT))
            return rc;
    }
}

void rtci_daemon_close(struct rtci_daemon *daemon, uint32_t token)
{
    struct rtci_process *p = rtci_daemon_process(daemon, token);
    if (!p)
        return;
    if (daemon->remote)
        close_later(daemon, token);
    else
        rtci_daemon_unstore(daemon, token);
    rtci_chan_close(p->chan);
    rtci_daemon_unwatch(p->watch);
    int *fds[] = {&p->chan_fd, &p->conn_fd, &p->wake_fd, &p->exe_fd, &p->log_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close_fd(fds[i]);
    rtci_buf_fini(&p->later);
    memset(p, 0, sizeof(*p));
    for (uint32_t i = 0; i < daemon->n_tokens; i++) {
        if (daemon->tokens[i] == token) {
            daemon->tokens[i] = daemon->tokens[--daemon->n_tokens];
            break;
        }
    }
}

/* The keeper holds the descriptors, so that a restarted daemon has them again. Order: channel,
 * connection or log, wake, executable; which of them are there is the role's. */
void rtci_daemon_deposit(struct rtci_daemon *daemon, uint32_t token)
{
    struct rtci_process *p = &daemon->process[token];
    bool exec = p->blob.role == RTCI_ROLE_EXECUTOR;
    int fds[] = {p->chan_fd, exec ? p->log_fd : p->conn_fd, p->wake_fd, p->exe_fd};
    struct rtci_keeper_msg msg = {.type = RTCI_KM_STORE, .key = RTCI_KEY_CLIENT + token};
    msg.blob_len = sizeof(p->blob);
    RTCI_IGNORE(rtci_daemon_keeper_send(daemon, &msg, &p->blob, fds, exec ? 2 : 4));
}

bool rtci_daemon_restore(struct rtci_daemon *daemon, const struct rtci_keeper_msg *msg,
                         const void *blob, const int *fds, uint32_t n_fds)
{
    uint64_t token = msg->key - RTCI_KEY_CLIENT;
    if (msg->blob_len != sizeof(struct rtci_client_blob) || !token || token >= RTCI_CLIENTS_MAX)
        return false;
    struct rtci_process *p = rtci_daemon_process_new(daemon, (uint32_t)token);
    memcpy(&p->blob, blob, sizeof(p->blob));
    p->pid = p->blob.pid;
    bool exec = p->blob.role == RTCI_ROLE_EXECUTOR;
    p->chan_fd = n_fds > 0 ? fds[0] : -1;
    *(exec ? &p->log_fd : &p->conn_fd) = n_fds > 1 ? fds[1] : -1;
    p->wake_fd = n_fds > 2 ? fds[2] : -1;
    p->exe_fd = n_fds > 3 ? fds[3] : -1;
    p->survivor = p->hello = p->spawned = true;
    if (rtci_chan_open(p->chan_fd, RTCI_CHAN_DAEMON, -1, p->wake_fd, &p->chan)) {
        rtci_daemon_close(daemon, (uint32_t)token);
        return true;
    }
    p->read_seen = rtci_chan_consumed(p->chan);
    return true;
}

/* Tells the node core who is still there; then wakes them, so that they repeat open requests. */
void rtci_daemon_survivors(struct rtci_daemon *daemon)
{
    for (uint32_t i = 0; i < daemon->n_tokens; i++) {
        uint32_t token = daemon->tokens[i];
        struct rtci_process *p = &daemon->process[token];
        if (!p->survivor || !p->chan)
            continue;
        volatile struct rtci_chan_info *info = rtci_chan_info(p->chan);
        struct rtci_attach attach = {.token = token,
                                     .role = p->blob.role,
                                     .pid = p->pid,
                                     .job_hi = p->blob.job_hi,
                                     .job_lo = p->blob.job_lo};
        memcpy(attach.name, p->blob.name, sizeof(attach.name));
        memcpy(attach.ns, p->blob.ns, sizeof(attach.ns));
        struct rtci_held *held = NULL;
        uint32_t slot = 0, actor = 0, n = 0;
        if (p->blob.role == RTCI_ROLE_EXECUTOR)
            n = rtci_daemon_held(daemon, token, &held, &slot, &actor);
        struct rtci_survivor survivor = {.client = info->client,
                                         .job = info->job,
                                         .slot = slot,
                                         .profile_cpus = info->profile_cpus,
                                         .profile_gpus = info->profile_gpus,
                                         .driver_token = info->driver_token,
                                         .program = info->program,
                                         .attached = info->attached,
                                         .actor = actor != 0,
                                         .restarts = actor == RTCI_CHAN_ACTOR_RESTARTS,
                                         .held = held,
                                         .n_held = n};
        p->driver = info->driver_token;
        p->far = info->far;
        p->ready = info->attached;
        if (p->blob.role != RTCI_ROLE_EXECUTOR && !info->client) { /* died in its handshake */
            rtci_node_core_attach(daemon->node, daemon->now_ns, &attach, NULL, &daemon->actions);
        } else {
            rtci_node_core_attach(daemon->node, daemon->now_ns, &attach, &survivor,
                                  &daemon->actions);
        }
        free(held);
        info->daemon_epoch = info->daemon_epoch + 1;
        p->wrote = true;
        if (p->conn_fd >= 0)
            p->watch = rtci_daemon_watch(daemon, p->conn_fd, RTCI_KEY_CLIENT + token);
    }
}

/* Each in its turn: of one that was closed the keeper may keep something for a while. */
static uint32_t free_token(struct rtci_daemon *daemon)
{
    for (uint32_t i = 0; i < RTCI_CLIENTS_MAX / 2; i++) {
        uint32_t token = 1 + (daemon->last_token + i) % (RTCI_CLIENTS_MAX / 2);
        if (daemon->process[token].used)
            continue;
        daemon->last_token = token;
        return token;
    }
    return 0;
}

void rtci_daemon_adopt_conn(struct rtci_daemon *daemon, int fd, bool embedded)
{
    uint32_t token = free_token(daemon);
    if (!token) {
        RTCI_LOG(WARN, NODE, "too many processes are attached, one more is refused");
        close(fd);
        return;
    }
    struct rtci_process *p = rtci_daemon_process_new(daemon, token);
    p->conn_fd = fd;
    p->watch = rtci_daemon_watch(daemon, fd, RTCI_KEY_CLIENT + token);
    if (embedded)
        daemon->embedded_token = token;
}

void rtci_daemon_accept(struct rtci_daemon *daemon)
{
    for (;;) {
        int fd = accept4(daemon->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        rtci_daemon_adopt_conn(daemon, fd, false);
    }
}

static void refuse(int fd, int status, const char *text)
{
    struct rtci_local_welcome w = {
        .magic = RTCI_LOCAL_MAGIC, .version = RTCI_WIRE_VERSION, .status = status};
    snprintf(w.release, sizeof(w.release), "%s", RTC_VERSION_STRING);
    snprintf(w.text, sizeof(w.text), "%.255s", text);
    RTCI_IGNORE(send(fd, &w, sizeof(w), MSG_NOSIGNAL | MSG_DONTWAIT));
}

static ssize_t recv_hello(int fd, struct rtci_local_hello *hello, int *fds, uint32_t *ret_n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control;
    struct iovec iov = {hello, sizeof(*hello)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *ret_n = 0;
    for (struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL; c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        uint32_t count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (uint32_t i = 0; i < count && *ret_n < 8; i++)
            memcpy(&fds[(*ret_n)++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return n;
}

static void copy_text(char *out, size_t size, const char *in)
{
    memcpy(out, in, size - 1);
    out[size - 1] = 0;
}

/* A short absence of the head is not worth a word; tools are to say what is. */
static bool is_away(const struct rtci_daemon *daemon, uint32_t role)
{
    uint64_t since = daemon->away_ns ? daemon->now_ns - daemon->away_ns : 0;
    return since > (role == RTCI_ROLE_TOOL ? RTCI_NS_PER_S / 2 : 3 * RTCI_NS_PER_S);
}

static bool take_hello(struct rtci_daemon *daemon, uint32_t token,
                       const struct rtci_local_hello *hello, const int *fds, uint32_t n_fds)
{
    struct rtci_process *p = &daemon->process[token];
    char text[256];
    if (hello->magic != RTCI_LOCAL_MAGIC) {
        refuse(p->conn_fd, RTC_E_PROTOCOL, "this is not an rtc client");
        return false;
    }
    if (hello->version != RTCI_WIRE_VERSION) {
        snprintf(text, sizeof(text), "this daemon is rtc %s (protocol %u), the client %.31s (%u)",
                 RTC_VERSION_STRING, RTCI_WIRE_VERSION, hello->release, hello->version);
        refuse(p->conn_fd, RTC_E_VERSION, text);
        return false;
    }
    if (is_away(daemon, hello->role)) {
        refuse(p->conn_fd, RTC_E_DISCONNECTED, daemon->away_text);
        return false;
    }
    if (n_fds != 3 || (hello->role != RTCI_ROLE_DRIVER && hello->role != RTCI_ROLE_TOOL)) {
        refuse(p->conn_fd, RTC_E_PROTOCOL, "the greeting is incomplete");
        return false;
    }
    int rc = rtci_chan_open(fds[0], RTCI_CHAN_DAEMON, -1, fds[1], &p->chan);
    if (rc) {
        refuse(p->conn_fd, rc, "the channel's memory is not what a client makes");
        return false;
    }
    p->chan_fd = fds[0];
    p->wake_fd = fds[1];
    p->exe_fd = fds[2];
    p->pid = p->blob.pid = hello->pid;
    p->blob.role = hello->role;
    p->blob.job_hi = hello->job_hi;
    p->blob.job_lo = hello->job_lo;
    copy_text(p->blob.name, sizeof(p->blob.name), hello->name);
    copy_text(p->blob.ns, sizeof(p->blob.ns), hello->ns);
    copy_text(p->blob.exe, sizeof(p->blob.exe), hello->exe);
    copy_text(p->blob.cwd, sizeof(p->blob.cwd), hello->cwd);
    p->hello = true;
    rtci_daemon_deposit(daemon, token);
    struct rtci_attach attach = {.token = token,
                                 .role = hello->role,
                                 .pid = hello->pid,
                                 .job_hi = hello->job_hi,
                                 .job_lo = hello->job_lo};
    memcpy(attach.name, p->blob.name, sizeof(attach.name));
    memcpy(attach.ns, p->blob.ns, sizeof(attach.ns));
    rtci_node_core_attach(daemon->node, daemon->now_ns, &attach, NULL, &daemon->actions);
    return true;
}

/* The silent socket spoke: the greeting, or the end. */
void rtci_daemon_conn_event(struct rtci_daemon *daemon, uint32_t token)
{
    struct rtci_process *p = rtci_daemon_process(daemon, token);
    if (!p)
        return;
    struct rtci_local_hello hello;
    int fds[8];
    uint32_t n_fds;
    ssize_t n = recv_hello(p->conn_fd, &hello, fds, &n_fds);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == (ssize_t)sizeof(hello) && !p->hello && take_hello(daemon, token, &hello, fds, n_fds))
        return;
    for (uint32_t i = 0; n > 0 && i < n_fds; i++)
        close(fds[i]);
    if (n > 0 && p->hello) /* nothing is to be said here any more */
        return;
    bool embedded = token == daemon->embedded_token;
    if (p->hello) {
        while (rtci_daemon_read(daemon, token)) {
        }
        struct rtci_gone gone = {.token = token, .code = RTC_E_DISCONNECTED, .exit_status = -1};
        rtci_node_core_gone(daemon->node, daemon->now_ns, &gone, &daemon->actions);
    } else {
        rtci_daemon_close(daemon, token);
    }
    if (embedded && daemon->options.embedded)
        daemon->stopping = daemon->stop_now = true;
}

void rtci_daemon_welcome(struct rtci_daemon *daemon, const struct rtci_node_action *act)
{
    struct rtci_process *p = rtci_daemon_process(daemon, act->token);
    if (!p || p->conn_fd < 0)
        return;
    volatile struct rtci_chan_info *info = rtci_chan_info(p->chan);
    info->role = p->blob.role;
    info->client = act->client;
    info->job = act->job;
    info->node = daemon->number;
    info->pid = p->pid;
    struct rtci_local_welcome w = {.magic = RTCI_LOCAL_MAGIC,
                                   .version = RTCI_WIRE_VERSION,
                                   .status = act->status,
                                   .client = act->client,
                                   .job = act->job,
                                   .node = daemon->number,
                                   .arena_bytes = daemon->arena_bytes};
    snprintf(w.release, sizeof(w.release), "%s", RTC_VERSION_STRING);
    if (act->status) {
        snprintf(w.text, sizeof(w.text), "%s", "the job of this process has ended");
        RTCI_IGNORE(send(p->conn_fd, &w, sizeof(w), MSG_NOSIGNAL | MSG_DONTWAIT));
        return;
    }
    int fds[2] = {daemon->arena_fd, daemon->bell};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control = {0};
    struct iovec iov = {&w, sizeof(w)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(c), fds, sizeof(fds));
    RTCI_IGNORE(sendmsg(p->conn_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT));
}
