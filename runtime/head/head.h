/* The head's side of the daemon: journal, members of the cluster. */
#ifndef RTCI_HEAD_HEAD_H
#define RTCI_HEAD_HEAD_H

#include "runtime/node/daemon.h"
#include "runtime/store/store.h"

/* Runs the head until it is stopped. Returns the exit status. */
int rtci_head_run(const struct rtci_daemon_options *options);
/* Opens the store of the state directory and replays it. 0, or a negative RTC_E_* after a sentence on
 * stderr. */
int rtci_head_open(const struct rtci_daemon *daemon, uint64_t now_ns, struct rtci_store **ret_store,
                   struct rtci_head_core **ret_core);

#endif
