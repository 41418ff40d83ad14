/* The keeper's own parts: what it holds, its children, spawning, the listening socket. */
#ifndef RTCI_KEEPER_INTERNAL_H
#define RTCI_KEEPER_INTERNAL_H

#include <signal.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include "runtime/keeper/keeper.h"

/* spawn.c ---------------------------------------------------------------------------------- */

#define RTCI_SPAWN_FDS RTCI_KEEPER_FDS

struct rtci_spawn {
    int exe;          /* run by descriptor */
    const char *path; /* tried when the kernel cannot run descriptors; may be NULL */
    const char *cwd;  /* NULL or "": stay */
    char *const *argv;
    char *const *env;
    const int *fds; /* become 0, 1, 2, … */
    uint32_t n_fds;
    pid_t keeper;
    const struct rlimit *nofile; /* restored for the child; NULL = keep */
    const sigset_t *reset;       /* signals to give their default action again */
    bool expendable;             /* the out-of-memory killer takes it before the daemons */
};
/* Starts it in a process group of its own, to be killed with the keeper. Returns the pid, or
 * -errno; *ret_cwd_failed tells that the directory was the reason. */
pid_t rtci_spawn(const struct rtci_spawn *spawn, bool *ret_cwd_failed);

/* held.c ----------------------------------------------------------------------------------- */

struct rtci_held {
    TAILQ_ENTRY(rtci_held) link; /* in the order in which the keys came */
    uint64_t key;
    void *blob;
    uint32_t blob_len;
    uint32_t n_fds;
    int fds[RTCI_KEEPER_FDS];
};
TAILQ_HEAD(rtci_held_list, rtci_held);

/* Takes the descriptors over also on failure. `*cursor`, when it points to what goes, is moved. */
int rtci_held_store(struct rtci_held_list *list, uint64_t key, const void *blob, uint32_t blob_len,
                    const int *fds, uint32_t n_fds) RTCI_MUST_USE;
void rtci_held_drop(struct rtci_held_list *list, uint64_t key, struct rtci_held **cursor);
void rtci_held_clear(struct rtci_held_list *list);

/* listen.c --------------------------------------------------------------------------------- */

struct rtci_listen {
    int fd;
    int lock; /* flock on PATH.lock: one keeper per socket */
};
/* Prints to stderr what is wrong; negative RTC_E_* then. */
int rtci_listen_open(const char *path, struct rtci_listen *ret_listen) RTCI_MUST_USE;

/* child.c, keeper.c ------------------------------------------------------------------------ */

struct rtci_child {
    TAILQ_ENTRY(rtci_child) link;
    TAILQ_ENTRY(rtci_child) due; /* something to tell the daemon */
    uint64_t tag;
    pid_t pid;      /* 0: could not be started */
    int32_t status; /* wait status; errno when it could not be started */
    bool cwd_failed;
    bool exited;
    bool forgotten;
    bool spawned_due, exited_due, in_due;
};
TAILQ_HEAD(rtci_child_list, rtci_child);

/* What goes to a daemon that was just started, in this order. */
enum rtci_keeper_phase { RTCI_PHASE_HELD, RTCI_PHASE_CHILDREN, RTCI_PHASE_BEGIN, RTCI_PHASE_LIVE };

struct rtci_keeper {
    struct rtci_keeper_config config;
    pid_t self;
    int self_exe;
    int signals; /* signalfd */
    sigset_t reset;
    struct rlimit nofile;
    struct rtci_listen listen;

    struct rtci_held_list held;
    struct rtci_child_list children, due;

    int sock; /* to the daemon; -1 while none runs */
    pid_t daemon;
    enum rtci_keeper_phase phase;
    struct rtci_held *held_at;   /* next to restore */
    struct rtci_child *child_at; /* next to report */
    bool ready;                  /* this daemon serves */
    bool ever_ready;
    int32_t starts;
    uint32_t failures;           /* daemons in a row that died before they served */
    uint32_t quick;              /* daemons in a row that died within a second of serving */
    uint64_t ready_ns, start_ns; /* start_ns: when to start the daemon, 0 = now */

    bool stopping; /* told to stop by a signal */
    bool quitting; /* told to stop by the daemon */
    bool done;
    int status;
    uint64_t quit_ns, stop_ns;

    uint8_t blob[RTCI_KEEPER_BLOB_MAX];
};

uint64_t rtci_keeper_now(void);
/* A request of the daemon; takes the descriptors over. */
void rtci_keeper_handle(struct rtci_keeper *keeper, const struct rtci_keeper_msg *msg,
                        const int *fds, uint32_t n_fds);
/* child.c */
void rtci_child_spawn(struct rtci_keeper *keeper, const struct rtci_keeper_msg *msg, const int *fds,
                      uint32_t n_fds);
struct rtci_child *rtci_child_find(struct rtci_keeper *keeper, uint64_t tag);
void rtci_child_exited(struct rtci_keeper *keeper, pid_t pid, int32_t status);
void rtci_child_forget(struct rtci_keeper *keeper, uint64_t tag);
void rtci_child_undue(struct rtci_keeper *keeper); /* the daemon that was to hear it is gone */
/* Sends what is due as far as the socket takes it. True when it is full. */
bool rtci_child_pump(struct rtci_keeper *keeper);
/* Kills and reaps every child, and what they left behind. */
void rtci_child_end(struct rtci_keeper *keeper);

#endif
