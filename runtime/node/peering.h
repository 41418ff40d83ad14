/* What goes to other nodes without passing the head, where that is possible. */
#ifndef RTCI_NODE_PEERING_H
#define RTCI_NODE_PEERING_H

#include "runtime/net/net.h"
#include "runtime/node/daemon.h"

struct rtci_peering;

/* Listens for other nodes, unless the options say otherwise or this is a driver's own node. `join`:
 * a head on this very host has no others, so nobody else is listened to. 0, or a negative RTC_E_*
 * after a sentence on stderr. */
int rtci_peering_open(struct rtci_daemon *daemon, const struct rtci_keys *keys,
                      const struct rtci_join *join,
                      struct rtci_peering **ret_peering) RTCI_MUST_USE;
void rtci_peering_close(struct rtci_peering *peering); /* NULL is fine */
/* A new session: the node's hello shall say where it can be reached. `head`: its numeric address.
 */
void rtci_peering_welcome(struct rtci_peering *peering, const char *head);
/* What the head answered: RTCI_R_PEER. */
void rtci_peering_record(struct rtci_peering *peering, const struct rtci_rec *rec);
/* Gives the daemon the frames that came. True: there were some. */
void rtci_peering_signal(struct rtci_peering *peering, uint32_t fds); /* were readable, by bit */
bool rtci_peering_take(struct rtci_peering *peering);
uint64_t rtci_peering_deadline(struct rtci_peering *peering);
/* As daemon->carry. RTC_E_DISCONNECTED: there is no direct way now; the head is asked for one,
 * where `ask` says that it can be. */
int rtci_peering_send(struct rtci_peering *peering, uint32_t node, const void *head,
                      size_t head_size, const void *data, size_t size, bool ask) RTCI_MUST_USE;
/* The same as daemon->carry_call. */
int rtci_peering_call(struct rtci_peering *peering, uint32_t node, const void *head,
                      size_t head_size, const void *data, size_t size, bool ask) RTCI_MUST_USE;

#endif
