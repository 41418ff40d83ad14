/* The daemon of a host: everything that touches the world, around the two cores. One thread. */
#ifndef RTCI_NODE_DAEMON_H
#define RTCI_NODE_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/bounds.h"
#include "runtime/core/core.h"
#include "runtime/keeper/keeper.h"
#include "runtime/shm/chan.h"
#include "runtime/shm/local.h"

#define RTCI_LOG_CAP (16 * RTCI_MIB) /* an executor's output file starts anew beyond */

struct rtci_daemon_options {
    const char *state_dir; /* NULL: private, removed at the end */
    const char *socket_path;
    const char *name;
    const char *join;    /* worker: the line */
    const char *address; /* where others reach it, host[,host…] (worker: one); NULL: found out */
    int peer_port;       /* worker: for other nodes; 0 = any, -1 = none */
    int port;            /* head: 0 = the usual one or, where that is taken, any */
    uint64_t lease_ns;   /* head: of the other nodes; 0 = the usual one */
    bool embedded;
    bool sync_each; /* durability: disk */
    double cpus, gpus;
    uint64_t mem, store;
    struct rtci_custom custom[RTCI_CUSTOM_MAX];
    struct rtci_label labels[RTCI_LABELS_MAX];
    uint32_t n_custom, n_labels;
};

/* What the keeper keeps beside the descriptors of a client. */
struct rtci_client_blob {
    uint32_t role, pid;
    uint64_t job_hi, job_lo;
    char name[64], ns[64], exe[256], cwd[256];
};

/* … and of this node, once it is a member. */
struct rtci_member_blob {
    uint32_t node, pad;
    uint64_t life; /* as the head said last; 0: not yet */
};

/* A client or executor, by token. */
struct rtci_process {
    bool used, ready, hello, survivor, gone, spawned;
    bool bad; /* what it shares with us holds nonsense */
    bool far; /* executor: its driver is on another host */
    struct rtci_client_blob blob;
    struct rtci_chan *chan;
    struct rtci_watch *watch; /* of conn_fd */
    int chan_fd, conn_fd, wake_fd, exe_fd, log_fd;
    uint32_t pid, driver;  /* driver: token whose terminal gets the output */
    uint64_t log_at;       /* forwarded so far */
    uint64_t read_seen;    /* of what was written to it, told as read */
    struct rtci_buf later; /* did not fit its ring */
    /* What was read up to there may go when the head has this message (worker), other nodes that. */
    uint64_t mark_position, mark_seq, mark_calls;
    bool marked;
    bool called;           /* since the last mark it said something to another node */
    bool wrote;            /* ring its bell at the end of the turn */
};

struct rtci_daemon {
    struct rtci_daemon_options options;
    char state_dir[256], run_dir[256];
    bool own_state;
    int keeper, bell, listen_fd, arena_fd, table_fd, signal_fd;
    struct uv_loop_s *loop;
    struct uv_timer_s *timer;
    void (*on_event)(struct rtci_daemon *daemon, uint64_t tag);
    uint64_t arena_bytes;
    uint32_t starts; /* how often the keeper started a daemon */
    struct rtci_arena_entry *table;
    struct rtci_process *process; /* RTCI_CLIENTS_MAX of them */
    uint32_t tokens[RTCI_CLIENTS_MAX];
    uint32_t n_tokens, last_token;
    uint32_t embedded_token;
    struct rtci_node_core *node;
    struct rtci_node_actions actions;
    struct rtci_buf turn; /* private copy of a span */
    uint64_t now_ns;
    bool stopping, stop_now, stopped;
    uint64_t stop_ns, logs_ns;
    bool sent_far;          /* since the last sleep, something to another host */
    uint32_t spin_hits[2];  /* how well spinning pays, without and with that */
    uint32_t spin_skipped;
    uint32_t busy_turns;
    uint32_t net_event, direct_event; /* descriptors that were readable, by bit */
    /* In a cluster */
    uint32_t number; /* of this node; 1 on the head's host */
    uint64_t life;   /* worker: of this node, as its head or keeper said last */
    uint64_t epoch;  /* of the head */
    uint64_t leased_ns; /* worker: its executors were told that it lives until then; else 0 */
    bool remote;     /* the head is elsewhere: rings are acknowledged when it has committed */
    bool leaving;    /* the head has nothing left for this node */
    uint64_t away_ns;    /* worker: since when the head cannot be reached; 0: it can */
    char away_text[320]; /* why */
    bool was_member; /* a daemon of this keeper had joined before */
    uint32_t *closed, n_closed, cap_closed; /* tokens whose channels the keeper shall give up */
    /* Sends a frame to another node; best effort. */
    int (*carry)(void *carrier, uint32_t node, const void *head, size_t head_size,
                 const void *data, size_t size);
    int (*carry_call)(void *carrier, uint32_t node, const void *head, size_t head_size,
                      const void *data, size_t size); /* the same beside that, for calls */
    bool (*has_node)(void *carrier, uint32_t node); /* the head's: that is a member; else NULL */
    void *carrier;
    struct rtci_calls *calls; /* with other nodes; NULL: there are none */
    struct rtci_held_calls *held_calls;
    uint32_t n_held_calls, cap_held_calls;
    uint64_t said, said_committed; /* worker: messages to the head, and those that it has committed;
                                    * said UINT64_MAX: some is not sent yet */
    struct rtci_blobs *blobs; /* what moves between nodes */
    struct rtci_programs *programs;
    struct rtci_peering *peering; /* worker: direct ways to other nodes */
};

/* What a watched descriptor is; from RTCI_KEY_CLIENT on: the connection of a client. */
enum { RTCI_TAG_KEEPER = 1, RTCI_TAG_LISTEN, RTCI_TAG_BELL, RTCI_TAG_SIGNAL, RTCI_TAG_NET };
#define RTCI_TAG_DIRECT (RTCI_TAG_NET + 8) /* of links to other nodes; NET and behind: head, or to it */
#define RTCI_TAG_LAST   (RTCI_TAG_DIRECT + 8)

/* start.c. Takes what the keeper kept, or makes it, the first time. 0, or a negative RTC_E_* after a
 * sentence on stderr. */
int rtci_daemon_prepare(struct rtci_daemon *daemon) RTCI_MUST_USE;
/* Executors that ended while no daemon ran: after hello, as if it happened now. */
void rtci_daemon_bury(struct rtci_daemon *daemon);
/* Removes what is private to an embedded cluster. */
void rtci_daemon_cleanup(struct rtci_daemon *daemon);

/* turn.c */
uint64_t rtci_daemon_now(void);
bool rtci_daemon_watch_usual(struct rtci_daemon *daemon); /* false: no memory */
bool rtci_daemon_read_all(struct rtci_daemon *daemon);  /* a span of each ring; true: there was one */
void rtci_daemon_read_rest(struct rtci_daemon *daemon); /* all that stands in rings */
/* Waits until something may have happened, at the latest at deadline_ns, and handles events. `busy`:
 * there is more to do at once. True every 50 ms: time for what is done now and then. */
bool rtci_daemon_sleep(struct rtci_daemon *daemon, bool busy, uint64_t deadline_ns);
/* watch.c. on_event is called with the tag when the descriptor is readable; the watch ends before
 * the descriptor is closed. NULL: no memory. */
int rtci_daemon_loop_init(struct rtci_daemon *daemon) RTCI_MUST_USE;
struct rtci_watch *rtci_daemon_watch(struct rtci_daemon *daemon, int fd, uint64_t tag);
void rtci_daemon_unwatch(struct rtci_watch *watch); /* NULL is fine */
/* Waits for events so long, and handles them. */
void rtci_daemon_wait(struct rtci_daemon *daemon, uint64_t timeout_ms);

/* clients.c */
void rtci_daemon_accept(struct rtci_daemon *daemon);
void rtci_daemon_adopt_conn(struct rtci_daemon *daemon, int fd, bool embedded);
void rtci_daemon_conn_event(struct rtci_daemon *daemon, uint32_t token);
void rtci_daemon_welcome(struct rtci_daemon *daemon, const struct rtci_node_action *act);
void rtci_daemon_close(struct rtci_daemon *daemon, uint32_t token);
void rtci_daemon_unstore(struct rtci_daemon *daemon, uint32_t token); /* the keeper forgets it */
struct rtci_process *rtci_daemon_process(struct rtci_daemon *daemon, uint32_t token);
struct rtci_process *rtci_daemon_process_new(struct rtci_daemon *daemon, uint32_t token);
bool rtci_daemon_restore(struct rtci_daemon *daemon, const struct rtci_keeper_msg *msg,
                         const void *blob, const int *fds, uint32_t n_fds);
void rtci_daemon_deposit(struct rtci_daemon *daemon, uint32_t token);
void rtci_daemon_survivors(struct rtci_daemon *daemon);

/* rings.c */
bool rtci_daemon_read(struct rtci_daemon *daemon, uint32_t token); /* true: something was there */
void rtci_daemon_write_out(struct rtci_daemon *daemon, uint32_t token);
void rtci_daemon_flush(struct rtci_daemon *daemon); /* outs into rings, bells, consume */
bool rtci_daemon_pending(struct rtci_daemon *daemon);
void rtci_daemon_disconnect(struct rtci_daemon *daemon, uint32_t token, int code);

/* executors.c */
void rtci_daemon_spawn(struct rtci_daemon *daemon, const struct rtci_node_action *act);
/* A driver's program of another host came, or did not: text says why. */
void rtci_daemon_start_program(struct rtci_daemon *daemon, const struct rtci_node_action *act);
void rtci_daemon_not_started(struct rtci_daemon *daemon, uint32_t token, const char *text);
void rtci_daemon_kill(struct rtci_daemon *daemon, uint32_t token, int sig);
void rtci_daemon_recall(struct rtci_daemon *daemon, uint32_t token, uint32_t most);
void rtci_daemon_exited(struct rtci_daemon *daemon, uint32_t token, int status, int spawn_errno);
/* Touches the range of the arena, some time, on a thread. */
void rtci_daemon_warm(struct rtci_daemon *daemon, uint64_t offset, uint64_t size);
/* A line on the terminal of every driver, at once: not held back until a commit. */
void rtci_daemon_tell_drivers(struct rtci_daemon *daemon, const char *text);
void rtci_daemon_logs(struct rtci_daemon *daemon);
void rtci_daemon_keeper_event(struct rtci_daemon *daemon);
/* To the keeper. When it has more to do than fits its socket, this waits a while: what is dropped
 * here is a process that never starts, or that no later daemon finds. */
int rtci_daemon_keeper_send(struct rtci_daemon *daemon, const struct rtci_keeper_msg *msg,
                            const void *blob, const int *fds, uint32_t n_fds);
uint32_t rtci_daemon_held(struct rtci_daemon *daemon, uint32_t token, struct rtci_held **ret_held,
                          uint32_t *ret_slot, uint32_t *ret_actor);

/* Performs node actions; true if there were some. */
bool rtci_daemon_perform(struct rtci_daemon *daemon);

#endif
