/* Where processes meet to make a lane: the sockets of doorman.h. */
#ifndef RTCI_SHM_MEET_H
#define RTCI_SHM_MEET_H

#include <stdint.h>

#include "runtime/base/assert.h"

/* Sockets that do not block; negative RTC_E_*. Listen: RTC_E_EXISTS. Dial: RTC_E_NOT_FOUND nobody
 * listens, RTC_E_AGAIN too many dial at once. */
int rtci_meet_listen(uint64_t arena, uint32_t client) RTCI_MUST_USE;
int rtci_meet_dial(uint64_t arena, uint32_t client) RTCI_MUST_USE;
/* The other side is of this user, and which process (0: not visible here). RTC_E_PROTOCOL. */
int rtci_meet_who(int sock, uint32_t *ret_pid) RTCI_MUST_USE;

#endif
