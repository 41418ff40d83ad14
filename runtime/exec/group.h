/* Between group.c and group_join.c. */
#ifndef RTCI_EXEC_GROUP_H
#define RTCI_EXEC_GROUP_H

#include <rtc/group.h>
#include <stdatomic.h>

#include "runtime/exec/bridge.h"

#define GROUP_NAME_MAX 200

struct rtc_group {
    struct rtci_collective *c;
    struct bridge *bridge; /* NULL: all members are on this host */
    _Atomic bool busy;
    uint64_t fork_generation;
    char name[GROUP_NAME_MAX + 1];
};

#endif
