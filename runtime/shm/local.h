/* The handshake on the host's socket (SOCK_SEQPACKET), before the rings take over.
 * Driver or tool -> daemon: struct rtci_local_hello with descriptors {channel memory, its wake
 * eventfd, its executable}; daemon -> client: struct rtci_local_welcome with descriptors {arena
 * memory, the daemon's bell}. The socket then stays open and silent: its EOF is the death of the
 * other side (the keeper holds the daemon's end, so a restarting daemon is no EOF).
 * Executors do not use the socket: they inherit descriptors RTCI_EXEC_FD_* and find their
 * number in the channel (struct rtci_chan_info). */
#ifndef RTCI_SHM_LOCAL_H
#define RTCI_SHM_LOCAL_H

#include <stdint.h>

#define RTCI_LOCAL_MAGIC 0x31435452u /* "RTC1" */

struct rtci_local_hello {
    uint32_t magic, version; /* RTCI_WIRE_VERSION */
    uint32_t role, pid;
    uint64_t job_hi, job_lo;
    char release[32];        /* "0.1.0" for messages about version mismatch */
    char name[64], ns[64];
    char exe[256], cwd[256]; /* of the driver: executors start there */
};
struct rtci_local_welcome {
    uint32_t magic, version;
    int32_t status;
    uint32_t client, job, node;
    uint64_t arena_bytes;
    char release[32];
    char text[256]; /* why it was refused */
};

#define RTCI_EXEC_ENV      "RTC_EXECUTOR" /* "1": this process is an executor, descriptors below */
#define RTCI_EXEC_FD_CHAN  3
#define RTCI_EXEC_FD_ARENA 4
#define RTCI_EXEC_FD_BELL  5

#endif
