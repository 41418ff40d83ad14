/* A hub and links in one process, each turn of them as a daemon's loop would do it; and a proxy
 * that stands between them and cuts, holds or refuses connections. */
#ifndef TESTS_UNIT_NET_HELP_H
#define TESTS_UNIT_NET_HELP_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/bounds.h"
#include "runtime/net/net.h"
#include "runtime/wire/wire.h"

#include <rtc/error.h>

#define LINKS 4
#define MS    RTCI_NS_PER_MS
#define S     RTCI_NS_PER_S

struct told { /* by one end */
    unsigned joined, broken, resumed, dead, refused, renew, bulk, calls, messages;
    uint64_t last; /* number in the last message */
    int status;
    uint32_t node, bulk_from; /* bulk_: of calls, too */
    uint64_t epoch, bulk_value, session_messages;
    size_t bulk_size;
    char text[RTCI_TEXT_MAX], broken_text[RTCI_TEXT_MAX];
};
#define PIPES 16
struct pipe { /* one connection through the proxy: both directions */
    int fd[2];
    bool held; /* nothing goes through any more */
    size_t n[2], at[2];
    uint8_t bytes[2][65536];
};
struct proxy {
    int listener; /* 0: there is none */
    uint16_t port;
    struct pipe *pipes[PIPES];
};
struct net {
    struct proxy proxy;
    struct rtci_keys head_keys, node_keys[LINKS];
    struct rtci_join join;
    struct rtci_hub *hub;
    struct rtci_link *links[LINKS];
    struct told at_hub, at_hub_from[LINKS + 2], at[LINKS]; /* at_hub_from: by node */
    uint64_t epoch, lease_ns;
    bool keep_commits; /* hub: what comes is not committed */
    uint16_t port;
};

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

struct numbered { /* a record that is a message */
    struct rtci_rec rec;
    uint64_t number;
};

static void check_numbered(struct told *told, const void *data, size_t size)
{
    assert_int_equal((uintptr_t)data % 8, 0);
    for (size_t at = 0; at < size;) {
        struct numbered n;
        memcpy(&n, (const uint8_t *)data + at, sizeof(n));
        assert_int_equal(n.number, told->last + 1);
        told->last = n.number;
        told->messages++;
        at += n.rec.size;
    }
}

static void on_bulk(struct told *told, uint32_t from, const void *data, size_t size)
{
    assert_int_equal((uintptr_t)data % 8, 0);
    told->bulk_from = from;
    told->bulk_size = size;
    memcpy(&told->bulk_value, data, sizeof(told->bulk_value));
}

static void take_hub(struct net *n)
{
    rtci_hub_signal(n->hub, UINT32_MAX);
    for (;;) {
        struct rtci_hub_event e = rtci_hub_take(n->hub, now());
        struct told *of = e.node < LINKS + 2 ? &n->at_hub_from[e.node] : NULL;
        switch (e.type) {
        case RTCI_HUB_NONE: return;
        case RTCI_HUB_JOINED:
            n->at_hub.joined++;
            assert_non_null(e.hello);
            of->joined++;
            of->last = 0;
            break;
        case RTCI_HUB_MESSAGE: check_numbered(of, e.data, e.size); break;
        case RTCI_HUB_BROKEN: of->broken++; break;
        case RTCI_HUB_RESUMED: of->resumed++; break;
        case RTCI_HUB_DEAD: of->dead++; break;
        case RTCI_HUB_BULK:
        case RTCI_HUB_CALL:
            on_bulk(of, e.node, e.data, e.size);
            *(e.type == RTCI_HUB_CALL ? &of->calls : &of->bulk) += 1;
            break;
        case RTCI_HUB_REFUSED:
            n->at_hub.refused++;
            memcpy(n->at_hub.text, e.text, sizeof(e.text));
            break;
        }
    }
}

static void take_link(struct net *n, int i)
{
    struct told *of = &n->at[i];
    rtci_link_signal(n->links[i], UINT32_MAX);
    for (;;) {
        struct rtci_link_event e = rtci_link_take(n->links[i], now());
        switch (e.type) {
        case RTCI_LINK_NONE: return;
        case RTCI_LINK_WELCOME:
            of->joined++;
            of->node = e.node;
            of->epoch = e.epoch;
            of->last = 0;
            assert_true(e.rtt_ns > 0 && e.rtt_ns < 20 * S);
            break;
        case RTCI_LINK_MESSAGE: check_numbered(of, e.data, e.size); break;
        case RTCI_LINK_BROKEN:
            of->broken++;
            memcpy(of->broken_text, e.text, sizeof(e.text));
            break;
        case RTCI_LINK_RESUMED: of->resumed++; break;
        case RTCI_LINK_RENEW: of->renew++; break;
        case RTCI_LINK_REFUSED:
            of->refused++;
            of->status = e.status;
            memcpy(of->text, e.text, sizeof(e.text));
            break;
        case RTCI_LINK_BULK:
        case RTCI_LINK_CALL:
            on_bulk(of, e.node, e.data, e.size);
            *(e.type == RTCI_LINK_CALL ? &of->calls : &of->bulk) += 1;
            break;
        }
    }
}

/* ---- The proxy ---- */

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int dial_port(uint16_t port)
{
    struct sockaddr_in at = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void proxy_open(struct proxy *p)
{
    struct sockaddr_in at = loopback(p->port);
    socklen_t size = sizeof(at);
    int one = 1;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(p->listener > 0);
    setsockopt(p->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(p->listener, 16), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &size), 0);
    p->port = ntohs(at.sin_port);
}

static void pipe_close(struct proxy *p, int i)
{
    struct linger at_once = {1, 0}; /* a reset, as of a host that has forgotten it */
    for (int k = 0; k < 2; k++) {
        setsockopt(p->pipes[i]->fd[k], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        close(p->pipes[i]->fd[k]);
    }
    free(p->pipes[i]);
    p->pipes[i] = NULL;
}

static void proxy_cut(struct proxy *p)
{
    for (int i = 0; i < PIPES; i++)
        if (p->pipes[i])
            pipe_close(p, i);
}

static void proxy_close(struct proxy *p)
{
    proxy_cut(p);
    if (p->listener)
        close(p->listener);
    p->listener = 0;
}

/* What is connected now goes silent, as behind a NAT that has forgotten it. */
static void proxy_hold(struct proxy *p)
{
    for (int i = 0; i < PIPES; i++)
        if (p->pipes[i])
            p->pipes[i]->held = true;
}

/* False: it has ended. */
static bool pipe_move(struct pipe *pipe, int from)
{
    int to = !from;
    ssize_t n;
    if (pipe->n[from] == 0) {
        n = recv(pipe->fd[from], pipe->bytes[from], sizeof(pipe->bytes[from]), MSG_DONTWAIT);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        pipe->n[from] = (size_t)n;
        pipe->at[from] = 0;
    }
    n = send(pipe->fd[to], pipe->bytes[from] + pipe->at[from], pipe->n[from],
             MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN;
    pipe->at[from] += (size_t)n;
    pipe->n[from] -= (size_t)n;
    return true;
}

static void proxy_turn(struct proxy *p, uint16_t port)
{
    int fd;
    while ((fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        int i = 0, other = dial_port(port);
        while (i < PIPES && p->pipes[i])
            i++;
        if (i == PIPES || other < 0) {
            close(fd);
            if (other >= 0)
                close(other);
            continue;
        }
        p->pipes[i] = calloc(1, sizeof(*p->pipes[i]));
        assert_non_null(p->pipes[i]);
        p->pipes[i]->fd[0] = fd;
        p->pipes[i]->fd[1] = other;
    }
    for (int i = 0; i < PIPES; i++)
        if (p->pipes[i] && !p->pipes[i]->held &&
            (!pipe_move(p->pipes[i], 0) || !pipe_move(p->pipes[i], 1)))
            pipe_close(p, i);
}

static nfds_t proxy_fds(const struct proxy *p, struct pollfd *fds)
{
    nfds_t n = 0;
    fds[n++] = (struct pollfd){.fd = p->listener, .events = POLLIN};
    for (int i = 0; i < PIPES; i++)
        for (int k = 0; p->pipes[i] && !p->pipes[i]->held && k < 2; k++)
            fds[n++] = (struct pollfd){.fd = p->pipes[i]->fd[k],
                                       .events = (short)((p->pipes[i]->n[k] ? 0 : POLLIN) |
                                                         (p->pipes[i]->n[!k] ? POLLOUT : 0))};
    return n;
}

/* One turn of everyone, then a wait for the first that has something to do. */
static void turn(struct net *n)
{
    struct pollfd fds[(LINKS + 1) * RTCI_FDS_MAX + 2 * PIPES + 1];
    int some[RTCI_FDS_MAX];
    nfds_t count = 0;
    uint64_t due = now() + 50 * MS, next;
    if (n->hub) {
        take_hub(n);
        if (!n->keep_commits)
            rtci_hub_commit(n->hub);
        rtci_hub_flush(n->hub, now());
    }
    for (int i = 0; i < LINKS; i++) {
        if (!n->links[i])
            continue;
        take_link(n, i);
        rtci_link_commit(n->links[i]);
        rtci_link_flush(n->links[i], now());
    }
    for (int i = -1; i < LINKS; i++) {
        if (i < 0 ? !n->hub : !n->links[i])
            continue;
        uint32_t m = i < 0 ? rtci_hub_fds(n->hub, some) : rtci_link_fds(n->links[i], some);
        for (uint32_t k = 0; k < m; k++)
            fds[count++] = (struct pollfd){.fd = some[k], .events = POLLIN};
        next = i < 0 ? rtci_hub_deadline(n->hub) : rtci_link_deadline(n->links[i]);
        due = next < due ? next : due;
    }
    if (n->proxy.listener) {
        proxy_turn(&n->proxy, n->port);
        count += proxy_fds(&n->proxy, fds + count);
    }
    uint64_t at = now();
    struct timespec wait = {.tv_nsec = due > at ? (long)(due - at) : 0};
    ppoll(fds, count, &wait, NULL);
}

/* Turns until it is so; a test fails where it does not come to be. */
#define UNTIL(net, seconds, condition)                                       \
    do {                                                                     \
        uint64_t until_ = now() + (uint64_t)(seconds)*S;                     \
        while (!(condition)) {                                               \
            if (now() > until_)                                              \
                fail_msg("not within %d s: %s", (int)(seconds), #condition); \
            turn(net);                                                       \
        }                                                                    \
    } while (0)

/* Nodes are numbered by their keys: 2, 3, … */
static void admit(void *arg, const uint8_t key[RTCI_KEY_BYTES], const struct rtci_net_hello *hello,
                  struct rtci_net_welcome *ret_welcome)
{
    struct net *n = arg;
    if (strcmp(hello->token, n->join.token) != 0) {
        ret_welcome->status = RTC_E_DENIED;
        snprintf(ret_welcome->text, sizeof(ret_welcome->text), "the token is not known");
        return;
    }
    for (uint32_t i = 0; i < LINKS; i++)
        if (memcmp(n->node_keys[i].public_key, key, RTCI_KEY_BYTES) == 0)
            ret_welcome->node = i + 2;
    assert_true(ret_welcome->node != 0);
}

static void open_hub(struct net *n)
{
    char bind[64], text[RTCI_TEXT_MAX] = "";
    if (n->port)
        snprintf(bind, sizeof(bind), "tcp://127.0.0.1:%u", n->port);
    else
        snprintf(bind, sizeof(bind), "tcp://127.0.0.1:*");
    struct rtci_hub_config config = {.bind = bind,
                                     .keys = n->head_keys,
                                     .epoch = ++n->epoch,
                                     .lease_ns = n->lease_ns,
                                     .admit = admit,
                                     .admit_arg = n};
    if (rtci_hub_open(&config, &n->hub, text, sizeof(text)) != 0)
        fail_msg("%s", text);
    n->port = rtci_hub_port(n->hub);
    assert_true(n->port != 0);
}

static void join_at(struct net *n, int i, const struct rtci_keys *keys, uint16_t port)
{
    char text[RTCI_TEXT_MAX] = "";
    struct rtci_link_config config = {
        .join = n->join, .keys = *keys, .name = "a", .arch = "x86_64"};
    snprintf(config.join.addresses, sizeof(config.join.addresses), "127.0.0.1:%u", port);
    if (rtci_link_open(&config, &n->links[i], text, sizeof(text)) != 0)
        fail_msg("%s", text);
}

static void join_through_proxy(struct net *n, int i)
{
    if (!n->proxy.listener)
        proxy_open(&n->proxy);
    join_at(n, i, &n->node_keys[i], n->proxy.port);
}

static void join_link(struct net *n, int i)
{
    join_at(n, i, &n->node_keys[i], n->port);
}

static void send_numbered(struct net *n, int i, uint64_t from, uint64_t to, bool up)
{
    struct numbered m = {{sizeof(m), 1, 0}, 0};
    uint64_t seq;
    for (uint64_t k = from; k <= to; k++) {
        m.number = k;
        int rc;
        while ((rc = up ? rtci_link_send(n->links[i], &m, sizeof(m), &seq)
                        : rtci_hub_send(n->hub, n->at[i].node, &m, sizeof(m))) == RTC_E_AGAIN)
            turn(n);
        assert_int_equal(rc, 0);
    }
}

static int setup(void **state)
{
    struct net *n = calloc(1, sizeof(*n));
    if (!n)
        return -1;
    char dir[] = "/tmp/rtc-test-net-XXXXXX", text[RTCI_TEXT_MAX], path[64];
    assert_non_null(mkdtemp(dir));
    assert_int_equal(rtci_keys_open(dir, "head", &n->head_keys, text, sizeof(text)), 0);
    for (int i = 0; i < LINKS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(rtci_keys_open(dir, name, &n->node_keys[i], text, sizeof(text)), 0);
    }
    snprintf(path, sizeof(path), "%s/head.key", dir);
    unlink(path);
    for (int i = 0; i < LINKS; i++) {
        snprintf(path, sizeof(path), "%s/n%d.key", dir, i);
        unlink(path);
    }
    rmdir(dir);
    memcpy(n->join.server, n->head_keys.public_key, RTCI_KEY_BYTES);
    rtci_token_new(n->join.token);
    open_hub(n);
    *state = n;
    return 0;
}

static int teardown(void **state)
{
    struct net *n = *state;
    for (int i = 0; i < LINKS; i++)
        rtci_link_close(n->links[i]);
    rtci_hub_close(n->hub);
    proxy_close(&n->proxy);
    free(n);
    return 0;
}

#endif
