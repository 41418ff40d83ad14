/* Inside of calls.c and calls_flight.c. */
#ifndef RTCI_CORE_CALLS_INTERNAL_H
#define RTCI_CORE_CALLS_INTERNAL_H

#include "runtime/base/buf.h"
#include "runtime/base/map.h"
#include "runtime/core/calls.h"
#include "runtime/core/session.h"

/* A call without an answer; index 0 is none. */
struct flight {
    uint64_t seq, message;
    uint32_t client, peer; /* peer: index + 1; 0: free */
    uint32_t next, prev;   /* of the same peer, in the order of sending; free: next */
    bool repeated;         /* it was sent before this daemon began */
    struct rtci_call call;
};
struct peer {
    uint32_t node;
    uint64_t life, gone, instance; /* of the node, as it says; 0: not heard yet */
    struct rtci_session *out, *in;
    uint64_t out_id, in_id;
    uint64_t out_life; /* that something sent has arrived at; 0: nothing has arrived */
    bool dirty;      /* stands in calls->dirty */
    bool taken;      /* stands in calls->taken: messages were given to span() since the commit */
    bool away;       /* there was no way to it when a frame should leave */
    uint64_t again_ns; /* away, or its queue is full: tried again then */
    uint64_t ack_ns, safe; /* 0: nothing is to be acknowledged; safe: up to this message */
    uint32_t n_taken;
    size_t bytes_taken;
    /* Numbers of the messages that are not settled, oldest first, a ring of `cap`. */
    uint64_t *numbers, last_put; /* last_put: of the newest that a frame was made of */
    uint32_t head, n, cap;
    uint32_t first, last; /* in flight */
};
struct rtci_calls {
    struct rtci_calls_ops ops;
    void *arg;
    uint64_t instance, life, last_session, sent;
    struct peer *peers; /* by first use; never fewer */
    uint32_t n_peers, cap_peers, cap_dirty, n_dirty;
    uint32_t *dirty, *taken; /* indexes of peers */
    uint32_t n_taken, cap_taken;
    struct rtci_map peer_by_node, flight_by_call;
    struct flight *flights;
    uint32_t n_flights, cap_flights, free_flight;
    uint64_t due_ns;
    struct rtci_calls_counts counts;
};

/* calls_flight.c */
void calls_begun(struct rtci_calls *calls, uint32_t peer, const struct rtci_spec *spec);
void calls_answered(struct rtci_calls *calls, uint32_t peer, const struct rtci_done *done);
/* Questions after those that left before this message. */
void calls_ask(struct rtci_calls *calls, uint32_t peer, uint64_t before, struct rtci_buf *ret);
/* Answers all that is on its way to that peer. */
void calls_abandon(struct rtci_calls *calls, uint32_t peer);

#endif
