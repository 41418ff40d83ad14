/* How long a node may take itself for alive: the head starts its actors elsewhere when it was silent
 * for a lease. Counted on a clock that goes on while the host sleeps; the loop's need not. Like the
 * machines it has no clock: the times are told, in ns. */
#ifndef RTCI_CORE_LEASE_H
#define RTCI_CORE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct rtci_lease {
    uint64_t lease_ns;        /* as the head gave it; 0: not yet */
    uint64_t heard_ns;        /* of the head, last, by the clock of the loop */
    uint64_t until_ns;        /* by the clock that never stops */
    uint64_t ahead_ns, looked_ns; /* that clock, less the loop's; 0: never */
};

/* Each turn, first; boot_ns is read before now_ns. True: the host slept since the last one, and what
 * came since then may be old. */
bool rtci_lease_look(struct rtci_lease *lease, uint64_t now_ns, uint64_t boot_ns);
/* When something of the head came last, by the clock of the loop: in this turn, or as told before. */
void rtci_lease_heard(struct rtci_lease *lease, uint64_t heard_ns);
bool rtci_lease_over(const struct rtci_lease *lease);
/* By the clock of the loop, as it is now. */
uint64_t rtci_lease_deadline(const struct rtci_lease *lease);

#endif
