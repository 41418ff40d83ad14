#include "runtime/core/lease.h"

#include "runtime/base/bounds.h"

#define SLEPT_NS (50 * RTCI_NS_PER_MS) /* the two clocks are read one after the other */

bool rtci_lease_look(struct rtci_lease *lease, uint64_t now_ns, uint64_t boot_ns)
{
    uint64_t ahead = boot_ns - now_ns;
    bool slept = lease->looked_ns && (int64_t)(ahead - lease->ahead_ns) > (int64_t)SLEPT_NS;
    lease->ahead_ns = ahead;
    lease->looked_ns = boot_ns;
    return slept;
}

/* The head counts from the last that it heard, which may be some time before the last that was
 * heard of it. */
void rtci_lease_heard(struct rtci_lease *lease, uint64_t heard_ns)
{
    uint64_t ns = lease->lease_ns ? lease->lease_ns : RTCI_LEASE_NS;
    if (heard_ns == lease->heard_ns)
        return;
    lease->heard_ns = heard_ns;
    lease->until_ns = heard_ns + lease->ahead_ns + ns / 10 * 6;
}

bool rtci_lease_over(const struct rtci_lease *lease)
{
    return lease->looked_ns >= lease->until_ns;
}

uint64_t rtci_lease_deadline(const struct rtci_lease *lease)
{
    uint64_t at = lease->until_ns - lease->ahead_ns; /* either of the clocks may be ahead */
    return (int64_t)at > 0 ? at : 0;
}
