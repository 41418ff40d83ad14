/* Calls to actors of other nodes, and from there: between the node core and the ways to other hosts.
 * What a process wrote for another node stays in its ring until it stands in the ring of the process
 * that it is for. */
#ifndef RTCI_NODE_CALLING_H
#define RTCI_NODE_CALLING_H

#include "runtime/core/calls.h"
#include "runtime/node/daemon.h"

/* Makes daemon->calls. RTC_E_NOMEM. */
int rtci_calling_open(struct rtci_daemon *daemon) RTCI_MUST_USE;
/* A frame came from a node. */
void rtci_calling_frame(struct rtci_daemon *daemon, uint32_t node, const void *data, size_t size);
/* The head tells of the life of this node, or of others. */
void rtci_calling_life(struct rtci_daemon *daemon, const struct rtci_life *life);
/* Before that, as it comes: what it means for this host's drivers is told to them. */
void rtci_calling_tell_life(struct rtci_daemon *daemon, const struct rtci_life *life);
/* The session with the head is another one. */
void rtci_calling_renewed(struct rtci_daemon *daemon);
/* The ways to a node (0: to all) may be others. */
void rtci_calling_linked(struct rtci_daemon *daemon, uint32_t node);
/* What processes said to others on other nodes leaves now. */
void rtci_calling_send(struct rtci_daemon *daemon);
/* What came from other nodes stands in the rings. */
void rtci_calling_commit(struct rtci_daemon *daemon);
size_t rtci_calling_waiting(const struct rtci_daemon *daemon); /* bytes for rtci_calling_send() */
/* Frees of a ring what was read: at once, or when what it said to other nodes is there, which is so
 * for messages up to `settled`. */
void rtci_calling_consume(struct rtci_daemon *daemon, struct rtci_process *process,
                          uint64_t settled);
uint64_t rtci_calling_settled(const struct rtci_daemon *daemon);

#endif
