/* Starting the daemon: what the keeper hands over, memory, directories. */
#ifndef RTCI_HEAD_HEAD_H
#define RTCI_HEAD_HEAD_H

#include "runtime/node/daemon.h"
#include "runtime/store/store.h"

/* Takes what the keeper kept (or makes it, the first time). 0, or a negative RTC_E_* after a
 * sentence on stderr. */
int rtci_head_prepare(struct rtci_daemon *daemon, int *ret_signal_fd);
/* Removes what is private to an embedded cluster. */
void rtci_head_cleanup(struct rtci_daemon *daemon);
void rtci_head_bury(struct rtci_daemon *daemon);
int rtci_head_open(const char *dir, bool sync_each, uint64_t now_ns, struct rtci_store **ret_store,
                   struct rtci_head_core **ret_core);

#endif
