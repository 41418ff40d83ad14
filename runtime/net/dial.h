/* The inside of a link: its connection to the head, and what is said on it. */
#ifndef RTCI_NET_DIAL_H
#define RTCI_NET_DIAL_H

#include "runtime/base/buf.h"
#include "runtime/net/frames.h"
#include "runtime/net/sockets.h"

#define RTCI_LINK_ADDRESSES 16
#define RTCI_DIAL_ASK_NS    (200 * RTCI_NS_PER_MS) /* a hello is said again */
#define RTCI_LINK_EVENTS    8

enum rtci_dial_phase {
    RTCI_DIAL_WAITING,    /* until it is time to connect */
    RTCI_DIAL_CONNECTING, /* TCP */
    RTCI_DIAL_SHAKING,    /* hands, in ZeroMQ */
    RTCI_DIAL_HELLO,      /* the hello was not answered yet */
    RTCI_DIAL_UP,
    RTCI_DIAL_STOPPED, /* refused */
};

struct rtci_link {
    struct rtci_link_config config;
    void *context, *control, *bulk;
    struct rtci_watch control_watch, bulk_watch;
    uint64_t now_ns;
    char addresses[RTCI_LINK_ADDRESSES][RTCI_ADDRESS_MAX]; /* host:port */
    uint32_t n_addresses, address, failures;               /* failures: since the last welcome */
    /* The control connection */
    enum rtci_dial_phase phase;
    uint64_t phase_ns, dial_ns;
    bool connected, delayed, closed, after_end; /* zmq_connect was called; what the monitor said */
    uint32_t bad_shakes;
    int probe; /* a connection that is tried to learn why ZeroMQ's does not come about; -1 */
    uint64_t probe_ns;
    /* What is said on it */
    uint64_t session_id, instance, epoch, lease_ns;
    uint32_t node;
    bool welcomed, renewing, broken;
    uint32_t attempt, first_attempt; /* hellos; the first on this connection */
    uint64_t hello_ns, said_ns, heard_ns, took_ns;
    struct rtci_session *session;
    char told[RTCI_LINK_ADDRESSES][RTCI_TEXT_MAX]; /* the last BROKEN, of each address */
    /* The bulk connection */
    bool bulk_connected, bulk_up;
    char bulk_endpoint[RTCI_ADDRESS_MAX + 8];
    uint64_t bulk_ns, bulk_heard_ns;
    struct rtci_link_event events[RTCI_LINK_EVENTS];
    uint32_t first_event, n_events;
    zmq_msg_t in;
    struct rtci_buf copy;
    bool unsent;
    uint32_t awake; /* sockets that may have something: they were told so, or used since empty */
    uint64_t full_ns;
};

#define AWAKE_CONTROL 1u
#define AWAKE_BULK    2u
#define AWAKE_WATCHES 4u
#define AWAKE_ALL     7u

bool rtci_link_new_session(struct rtci_link *link);
struct rtci_link_event *rtci_link_emit(struct rtci_link *link, enum rtci_link_type type);
/* Tells why it does not go on, unless that was told before. */
void rtci_link_broke(struct rtci_link *link, const char *fmt, ...) RTCI_PRINTF(2, 3);
void rtci_dial_begin(struct rtci_link *link);
void rtci_dial_again(struct rtci_link *link); /* a new connection, to the same address */
void rtci_dial_bulk(struct rtci_link *link);  /* bulk follows control, to where that is welcome */
void rtci_dial_stop(struct rtci_link *link);
void rtci_dial_watch(struct rtci_link *link); /* what the monitors have */
void rtci_dial_time(struct rtci_link *link);  /* what time brings about */
uint64_t rtci_dial_deadline(const struct rtci_link *link);

#endif
