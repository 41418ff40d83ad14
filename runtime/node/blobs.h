/* What moves between nodes in bulk: large objects into the arena, programs into files. */
#ifndef RTCI_NODE_BLOBS_H
#define RTCI_NODE_BLOBS_H

#include "runtime/node/daemon.h"
#include "runtime/node/transfer.h"

struct rtci_blobs;

/* Also makes daemon->programs. RTC_E_NOMEM. */
int rtci_blobs_open(struct rtci_daemon *daemon) RTCI_MUST_USE;
/* Fetches from the nodes `sources` into dst, of blob->size bytes; returns the number of the pull. Its
 * end is told to rtci_programs_fetched(). */
uint64_t rtci_blobs_pull(struct rtci_blobs *blobs, const struct rtci_blob *blob, void *dst,
                         const uint32_t *sources, uint32_t n_sources);
void rtci_blobs_action(struct rtci_blobs *blobs, const struct rtci_node_action *act);

/* A frame came from a node. */
void rtci_daemon_bulk(struct rtci_daemon *daemon, uint32_t node, const void *data, size_t size);
void rtci_daemon_bulk_gone(struct rtci_daemon *daemon, uint32_t node); /* it can send nothing more */
/* The link to a node (0: to all) was broken: what was asked for is asked for again. */
void rtci_daemon_bulk_again(struct rtci_daemon *daemon, uint32_t node);
/* What the head said to the loop itself; then work that is done in parts. True: there is more. */
bool rtci_daemon_cluster_step(struct rtci_daemon *daemon);
uint64_t rtci_daemon_cluster_deadline(const struct rtci_daemon *daemon);

#endif
