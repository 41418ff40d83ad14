/* The keeper: the small supervisor that `rtc head` and `rtc worker` start as.
 *
 * It starts the daemon, starts it again when it dies, spawns and reaps executors for it, and holds
 * what must outlive it: the listening socket and, under a key, any descriptors the daemon deposits
 * (channels, arena, connections) with a small blob. It is single-threaded, maps none of the memory
 * it holds, and does nothing else. Its death ends daemon and executors (PR_SET_PDEATHSIG).
 *
 * Daemon and keeper talk over a SOCK_SEQPACKET pair; each message is struct rtci_keeper_msg, then
 * `blob_len` bytes, with up to RTCI_KEEPER_FDS descriptors as SCM_RIGHTS.
 */
#ifndef RTCI_KEEPER_KEEPER_H
#define RTCI_KEEPER_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/base/assert.h"

#define RTCI_KEEPER_FDS      8
#define RTCI_KEEPER_BLOB_MAX (64 * 1024)
#define RTCI_KEEPER_ENV      "RTC_KEEPER_FD" /* daemon: number of its end of the pair */

enum rtci_keeper_type {
    /* daemon -> keeper */
    RTCI_KM_STORE = 1, /* keep blob and fds under key (replaces) */
    RTCI_KM_UNSTORE,   /* forget key */
    RTCI_KM_SPAWN,     /* key = the caller's tag. blob: NUL-terminated strings: cwd, path (for
                          messages), argv…, "", env… (whole environment), "". fds: executable (run by
                          descriptor), stdin, stdout, stderr, then descriptors that become 3, 4, … */
    RTCI_KM_KILL,      /* value = signal; key = tag; to the process group if flags & 1 */
    RTCI_KM_FORGET,    /* key = tag: the exit status was dealt with (committed) */
    RTCI_KM_READY,     /* the daemon serves */
    RTCI_KM_QUIT,      /* kill all children, exit with status value */
    /* keeper -> daemon */
    RTCI_KM_RESTORE = 32, /* at start, one for each stored key */
    RTCI_KM_CHILD,        /* at start, one for each child: key = tag, pid, flags & 1: it exited,
                             value = wait status */
    RTCI_KM_BEGIN,        /* end of the above; value = how often the daemon was started (from 1) */
    RTCI_KM_SPAWNED, /* key = tag, pid; or pid 0 and value = errno, flags & 1: of entering cwd */
    RTCI_KM_EXITED,  /* key = tag, pid, value = wait status; what was left of its group is dead */
};
struct rtci_keeper_msg {
    uint32_t type;
    uint32_t flags;
    uint64_t key;
    int32_t pid;
    int32_t value;
    uint32_t blob_len;
    uint32_t n_fds;
};

/* Both sides. Returns 0 or negative RTC_E_*. recv: *ret_n_fds descriptors, close-on-exec, owned by
 * the caller; RTC_E_DISCONNECTED at EOF; RTC_E_AGAIN when nonblocking and empty. */
int rtci_keeper_send(int sock, const struct rtci_keeper_msg *msg, const void *blob, const int *fds,
                     uint32_t n_fds) RTCI_MUST_USE;
int rtci_keeper_recv(int sock, struct rtci_keeper_msg *ret_msg, void *blob, size_t blob_size,
                     int *ret_fds, uint32_t *ret_n_fds, bool wait) RTCI_MUST_USE;

struct rtci_keeper_config {
    char *const *daemon_argv; /* run with /proc/self/exe */
    int notify_fd;            /* gets one byte at the first READY, then is closed; -1 = none */
    const char *socket_path;  /* listening SOCK_SEQPACKET socket to bind (key 1); NULL = none */
    int first_fd;             /* an already connected client socket (key 2); -1 = none */
    void (*on_ready)(void *arg); /* called once, when the daemon serves first; may be NULL */
    void *on_ready_arg;
};
/* Runs the keeper until the daemon says QUIT, exits with status 0, exits at all before it was ever
 * READY (it has then said why), or dies 20 times in a row before READY. Any other death of it is
 * followed by a new start. SIGTERM, SIGINT and SIGHUP become SIGTERM of the daemon, whose end is
 * then the end. In any case no process is left. Returns the exit status. Single-threaded callers
 * only: signal mask, actions, and the role of subreaper are the process's. */
int rtci_keeper_run(const struct rtci_keeper_config *config);

/* Well-known keys of STORE/RESTORE. */
#define RTCI_KEY_LISTEN 1u
#define RTCI_KEY_FIRST  2u
#define RTCI_KEY_BELL   3u             /* the daemon's eventfd */
#define RTCI_KEY_ARENA  4u             /* arena memory file, arena table memory file */
#define RTCI_KEY_MEMBER 5u             /* struct rtci_member_blob; a daemon has joined a cluster */
#define RTCI_KEY_CLIENT 0x100000000ull /* + token: a client's connection, channel, … */

#endif
