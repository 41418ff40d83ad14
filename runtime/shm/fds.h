/* Messages with descriptors over a local socket (SOCK_SEQPACKET). */
#ifndef RTCI_SHM_FDS_H
#define RTCI_SHM_FDS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

#define RTCI_FDS_MAX 4u

/* Sends size bytes with n descriptors, which stay the caller's. RTC_E_OS (errno), RTC_E_AGAIN when a
 * socket that does not block is full. */
int rtci_fds_send(int sock, const void *data, size_t size, const int *fds,
                  uint32_t n) RTCI_MUST_USE;
/* Receives one message of exactly size bytes and at most cap descriptors, which are the caller's
 * (also when an error is returned: *ret_n of them). Others are closed. RTC_E_DISCONNECTED,
 * RTC_E_AGAIN on a socket that does not block, RTC_E_PROTOCOL: its length is another. */
int rtci_fds_recv(int sock, void *data, size_t size, int *ret_fds, uint32_t cap,
                  uint32_t *ret_n) RTCI_MUST_USE;
void rtci_fds_close(int *fds, uint32_t n); /* those that are not -1; they become -1 */

#endif
