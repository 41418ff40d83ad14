/* Between the files group*.c. */
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

/* ---- Joining ---- */
#define GROUP_PROBE_NS (200 * RTCI_NS_PER_MS)
#define GROUP_GONE     2 /* answers that a process is not there */

/* What rank 0 publishes. */
struct place {
    uint32_t version, pid;
    uint32_t node, client;
    uint8_t token[16];
    char address[RTCI_MEETING_ADDRESS]; /* "": nobody listens any more */
    char host[128];                     /* where abstract addresses and objects are the same ones */
};
#define PLACE_VERSION 2u

struct hello { /* NOTE_HELLO */
    uint32_t version, size, pid, pad;
    char host[128];
};
struct table { /* NOTE_TABLE */
    uint32_t size, pad;
    uint64_t epoch;
    struct {
        uint32_t host, pid, node, client;
    } at[RTCI_COLLECTIVE_RANKS_MAX];
};
struct refusal { /* NOTE_REFUSED */
    int32_t status;
    char text[252];
};

struct joining {
    struct rtc *rtc;
    const char *name;
    char key[GROUP_NAME_MAX + 32];
    uint64_t deadline_ns, epoch, probed_ns;
    uint32_t rank, size, node;
    char host[128], why[256];
    struct bridge *bridge;
    struct table table;
    bool several; /* hosts: the table is filled in */
    /* Rank 0, of those of other hosts: */
    struct guest {
        uint32_t pid, gone;
        char host[128];
    } * guests;
};

/* group_join.c */
void rtci_group_lend(struct rtc *rtc, bool begin); /* the CPUs of the running task, while it waits */
void rtci_group_use_table(struct joining *j);      /* the table says where notes go */
uint64_t rtci_group_slot_bytes(const struct joining *j);
/* group_host.c */
int rtci_group_host(struct joining *j, struct rtci_collective **ret) RTCI_MUST_USE;

#endif
