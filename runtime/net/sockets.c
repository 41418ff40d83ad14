#include "runtime/net/sockets.h"

#include <errno.h>
#include <rtc/error.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/base/bounds.h"

#define FRAME_MAX (RTCI_SESSION_MESSAGE_MAX + 4 * RTCI_KIB)

int rtci_net_sentence(char *ret_text, size_t size, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(ret_text, size, fmt, args);
    va_end(args);
    return code;
}

void *rtci_net_start(void)
{
    /* Before ZeroMQ does it, which has no lock around it. */
    void *context = sodium_init() >= 0 ? zmq_ctx_new() : NULL;
    if (context)
        zmq_ctx_set(context, ZMQ_IO_THREADS, 2);
    return context;
}

void rtci_net_stop(void *context)
{
    if (context)
        while (zmq_ctx_term(context) != 0 && errno == EINTR)
            ;
}

void rtci_net_raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void *rtci_socket_open(void *context, int type, int queued)
{
    void *socket = zmq_socket(context, type);
    if (!socket)
        return NULL;
    rtci_socket_set(socket, ZMQ_LINGER, 0);
    rtci_socket_set(socket, ZMQ_SNDHWM, queued);
    rtci_socket_set(socket, ZMQ_RCVHWM, queued);
    if (type != ZMQ_ROUTER && type != ZMQ_DEALER)
        return socket;
    int64_t largest = (int64_t)FRAME_MAX;
    RTCI_ASSERT(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &largest, sizeof(largest)) == 0);
    rtci_socket_set(socket, ZMQ_IPV6, 1);
    rtci_socket_set(socket, ZMQ_HANDSHAKE_IVL, 3000);
    rtci_socket_set(socket, ZMQ_TCP_KEEPALIVE, 1);
    rtci_socket_set(socket, ZMQ_TCP_KEEPALIVE_IDLE, 20);
    rtci_socket_set(socket, ZMQ_TCP_KEEPALIVE_INTVL, 10);
    rtci_socket_set(socket, ZMQ_TCP_KEEPALIVE_CNT, 3);
    return socket;
}

void rtci_socket_close(void **socket)
{
    if (*socket)
        zmq_close(*socket);
    *socket = NULL;
}

void rtci_socket_set(void *socket, int option, int value)
{
    RTCI_ASSERT(zmq_setsockopt(socket, option, &value, sizeof(value)) == 0);
}

void rtci_socket_curve(void *socket, const struct rtci_keys *keys, const uint8_t *server_key)
{
    if (server_key)
        RTCI_ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key, RTCI_KEY_BYTES) == 0);
    else
        rtci_socket_set(socket, ZMQ_CURVE_SERVER, 1);
    RTCI_ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys->public_key, RTCI_KEY_BYTES) == 0);
    RTCI_ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->secret_key, RTCI_KEY_BYTES) == 0);
}

int rtci_socket_fd(void *socket)
{
    int fd = -1;
    size_t size = sizeof(fd);
    RTCI_ASSERT(zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0);
    return fd;
}

uint16_t rtci_socket_port(void *socket)
{
    char endpoint[256] = "";
    size_t size = sizeof(endpoint);
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0)
        return 0;
    const char *colon = strrchr(endpoint, ':');
    return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

int rtci_socket_ready(void *socket)
{
    int events = 0;
    size_t size = sizeof(events);
    while (zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) != 0)
        RTCI_ASSERT(errno == EINTR);
    return events;
}

static int send_code(void)
{
    return errno == EHOSTUNREACH ? RTC_E_DISCONNECTED : RTC_E_AGAIN;
}

static int send_rid(void *socket, const uint8_t *rid)
{
    int rc = 0;
    while (rid && (rc = zmq_send(socket, rid, RTCI_RID_BYTES, ZMQ_SNDMORE | ZMQ_DONTWAIT)) < 0 &&
           errno == EINTR)
        ;
    return rc < 0 ? send_code() : 0;
}

/* Behind a routing id this cannot fail: the ROUTER took the id because there is room. */
static int send_body(void *socket, zmq_msg_t *msg)
{
    int rc;
    while ((rc = zmq_msg_send(msg, socket, ZMQ_DONTWAIT)) < 0 && errno == EINTR)
        ;
    return rc < 0 ? send_code() : 0;
}

int rtci_socket_send(void *socket, const uint8_t *rid, const struct rtci_net_part *parts,
                     uint32_t n)
{
    zmq_msg_t msg;
    size_t size = 0;
    for (uint32_t i = 0; i < n; i++)
        size += parts[i].size;
    /* First whether it goes at all: copying is what costs. */
    int rc = send_rid(socket, rid);
    if (rc != 0)
        return rc;
    if (zmq_msg_init_size(&msg, size) != 0) {
        zmq_msg_init(&msg); /* what was begun is ended, by a message that means nothing */
        RTCI_IGNORE(rid ? send_body(socket, &msg) : 0);
        zmq_msg_close(&msg);
        return RTC_E_NOMEM;
    }
    uint8_t *at = zmq_msg_data(&msg);
    for (uint32_t i = 0; i < n; at += parts[i++].size)
        if (parts[i].size)
            memcpy(at, parts[i].data, parts[i].size);
    rc = send_body(socket, &msg);
    zmq_msg_close(&msg);
    return rc;
}

int rtci_socket_relay(void *socket, const uint8_t *rid, zmq_msg_t *msg)
{
    int rc = send_rid(socket, rid);
    return rc != 0 ? rc : send_body(socket, msg);
}

int rtci_socket_receive(void *socket, zmq_msg_t *in, uint8_t rid[RTCI_RID_BYTES])
{
    uint8_t at[256] = {0};
    int size;
    zmq_msg_close(in);
    zmq_msg_init(in);
    while ((size = zmq_recv(socket, at, sizeof(at), ZMQ_DONTWAIT)) < 0 && errno == EINTR)
        ;
    if (size < 0)
        return -1;
    while (zmq_msg_recv(in, socket, ZMQ_DONTWAIT) < 0 && errno == EINTR)
        ;
    bool one = !zmq_msg_more(in);
    for (bool more = !one; more;) {
        zmq_msg_t rest;
        zmq_msg_init(&rest);
        more = zmq_msg_recv(&rest, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&rest);
        zmq_msg_close(&rest);
    }
    memcpy(rid, at, RTCI_RID_BYTES);
    return one && size == RTCI_RID_BYTES;
}

const void *rtci_net_aligned(const void *data, size_t size, struct rtci_buf *copy)
{
    if ((uintptr_t)data % 8 == 0)
        return data;
    rtci_buf_clear(copy);
    rtci_buf_put(copy, data, size);
    return copy->failed ? NULL : copy->data;
}
