/* A host that joined a cluster: its node, and the link to the head. */
#ifndef RTCI_NODE_WORKER_H
#define RTCI_NODE_WORKER_H

#include "runtime/node/daemon.h"

/* Runs the node until it is stopped, drained, or refused. Returns the exit status. */
int rtci_worker_run(const struct rtci_daemon_options *options);

/* deadlines.c: absolute times in records are those of one host's clock. Adds `shift` to the deadline
 * of each task in the span that has one. */
void rtci_shift_deadlines(void *span, size_t len, int64_t shift);

#endif
