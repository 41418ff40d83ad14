/* How long a node may be silent: an option of the head's, which each node is told when it joins. */
#include <string.h>

#include "runtime/base/bounds.h"
#include "runtime/head/members.h"

uint64_t rtci_members_lease(const struct rtci_daemon_options *options)
{
    return options->lease_ns ? options->lease_ns : RTCI_LEASE_NS;
}

uint64_t rtci_member_lease(const struct rtci_member *kept, uint64_t lease_ns)
{
    uint64_t given = kept->lease_ms ? kept->lease_ms * RTCI_NS_PER_MS : RTCI_LEASE_NS;
    return given > lease_ns ? given : lease_ns;
}

static void longest(void *arg, const char *key, uint32_t key_len, const void *value, uint32_t size)
{
    struct rtci_member kept;
    uint64_t *longest_ns = arg;
    (void)key, (void)key_len;
    if (size != sizeof(kept))
        return;
    memcpy(&kept, value, sizeof(kept));
    if (kept.alive)
        *longest_ns = rtci_member_lease(&kept, *longest_ns);
}

uint64_t rtci_members_hold(struct rtci_head_core *core, const struct rtci_daemon_options *options)
{
    uint64_t ns = rtci_members_lease(options);
    rtci_head_core_kv_each(core, RTCI_NS_NODES, longest, &ns);
    return ns;
}
