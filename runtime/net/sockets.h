/* What hub and link need of ZeroMQ sockets. */
#ifndef RTCI_NET_SOCKETS_H
#define RTCI_NET_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#include "runtime/base/buf.h"
#include "runtime/net/frames.h"

#define RTCI_RID_BYTES 5 /* of the routing ids that a ROUTER gives by itself */

int rtci_net_sentence(char *ret_text, size_t size, int code, const char *fmt, ...)
    RTCI_PRINTF(4, 5);
/* libsodium and a context of two threads for a hub or a link. Both end with rtci_net_stop. */
void *rtci_net_start(void);
void rtci_net_stop(void *context);
void rtci_net_raise_limits(void); /* each connection is a descriptor */
/* NULL: no descriptors left. */
void *rtci_socket_open(void *context, int type, int queued);
void rtci_socket_close(void **socket); /* NULL in it is fine; sets it to NULL */
void rtci_socket_set(void *socket, int option, int value);
void rtci_socket_curve(void *socket, const struct rtci_keys *keys, const uint8_t *server_key);
int rtci_socket_fd(void *socket);
uint16_t rtci_socket_port(void *socket); /* that it is bound to; 0: unknown */
/* ZMQ_POLLIN, ZMQ_POLLOUT. The descriptor tells changes only: ask before sleeping on it. */
int rtci_socket_ready(void *socket);

/* One message of these parts; to rid where the socket is a ROUTER (else NULL). 0, RTC_E_AGAIN: its
 * queue is full, RTC_E_DISCONNECTED: no such connection, RTC_E_NOMEM. */
int rtci_socket_send(void *socket, const uint8_t *rid, const struct rtci_net_part *parts,
                     uint32_t n) RTCI_MUST_USE;
/* The same with a message that is there; it is taken when this succeeds. */
int rtci_socket_relay(void *socket, const uint8_t *rid, zmq_msg_t *msg) RTCI_MUST_USE;

/* One message of a ROUTER, all its frames: who sent it, and the one that follows in `in`. -1: there is
 * none; 0: it cannot be of a node. */
int rtci_socket_receive(void *socket, zmq_msg_t *in, uint8_t rid[RTCI_RID_BYTES]);

/* Where `size` bytes of a message stand aligned to 8: there, or in a copy. NULL: out of memory. */
const void *rtci_net_aligned(const void *data, size_t size, struct rtci_buf *copy);

/* What sockets and connections go through (a socket monitor). */
struct rtci_watch {
    void *watched, *pair;
};
struct rtci_watch_event {
    int event; /* ZMQ_EVENT_* */
    int value; /* a descriptor, mostly */
};
bool rtci_watch_open(struct rtci_watch *watch, void *context, void *watched, const char *name,
                     int events);
void rtci_watch_close(struct rtci_watch *watch);
bool rtci_watch_take(struct rtci_watch *watch, struct rtci_watch_event *ret_event);

/* Who may connect at all: the handler of ZAP requests. It says with each message which key it is of
 * ("User-Id"). `may` NULL: every key may connect, and what it says then decides. */
void *rtci_zap_open(void *context);
void rtci_zap_serve(void *zap, bool (*may)(void *arg, const uint8_t key[RTCI_KEY_BYTES]),
                    void *arg);
void rtci_zap_require(void *socket); /* before it is bound: nobody gets around the handler */

#endif
