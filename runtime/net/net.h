/* Links between hosts: keys, join lines, and the two ends of a connection.
 *
 * The head has a hub: one ROUTER socket on one TCP port. A node has a link: two DEALER sockets to
 * it, control and bulk, so that a large transfer does not delay a heartbeat. Everything is CURVE
 * encrypted; who one is, is one's public key. On control runs a session (core/session.h); on bulk
 * go frames that nobody acknowledges: who asks for a chunk asks again when it does not come.
 *
 * One thread uses a hub or link, the daemon's loop: it watches the descriptors, and every turn takes
 * events until there are none, commits, flushes, and asks for the deadline last, right before it
 * sleeps: the descriptors tell changes only, and the deadline is 0 when something stands there
 * already. Nothing blocks.
 */
#ifndef RTCI_NET_NET_H
#define RTCI_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"
#include "runtime/core/session.h"

/* ---- Keys, join lines, tokens ---- */
#define RTCI_KEY_BYTES   32
#define RTCI_TOKEN_MAX   64
#define RTCI_TEXT_MAX    320 /* of what went wrong, for people */
#define RTCI_FDS_MAX     8
#define RTCI_ADDRESS_MAX 512

struct rtci_keys {
    uint8_t public_key[RTCI_KEY_BYTES], secret_key[RTCI_KEY_BYTES];
};
/* Reads DIR/NAME.key (0600), or makes it, and DIR (0700). A file or directory that others may read
 * or write, or a symbolic link, is refused. 0, or a negative RTC_E_* with a sentence in ret_text. */
int rtci_keys_open(const char *dir, const char *name, struct rtci_keys *ret_keys, char *ret_text,
                   size_t size) RTCI_MUST_USE;
void rtci_key_text(const uint8_t key[RTCI_KEY_BYTES], char ret_text[65]); /* hexadecimal */

/* rtc1:HOST:PORT[,HOST:PORT…]:KEY:TOKEN. KEY is 64 hexadecimal digits. IPv6 hosts in brackets. */
struct rtci_join {
    char addresses[RTCI_ADDRESS_MAX]; /* host:port, separated by commas; tried in this order */
    uint8_t server[RTCI_KEY_BYTES];
    char token[RTCI_TOKEN_MAX]; /* ID.SECRET */
};
/* RTC_E_INVALID with what is wrong with it (cut off, not hexadecimal, no port, …). */
int rtci_join_parse(const char *line, struct rtci_join *ret_join, char *ret_text,
                    size_t size) RTCI_MUST_USE;
/* The first line of a file, as it is kept or given; 0 or -errno. `own`: a file of the state directory:
 * a symbolic link in its place is refused. */
int rtci_join_read(const char *path, bool own, char *ret_line, size_t size) RTCI_MUST_USE;
void rtci_join_format(const struct rtci_join *join, char *ret_line, size_t size);
/* A new one: ID 8, SECRET 32 hexadecimal digits. */
void rtci_token_new(char ret_token[RTCI_TOKEN_MAX]);
/* What is kept of it: BLAKE2b of the secret. False: it is not a token. */
bool rtci_token_split(const char *token, char ret_id[16], uint8_t ret_hash[32]);

/* ---- Where this host can be reached ---- */
/* "host:port[,host:port…]": of the hosts in `given` (host[,host…]); NULL: of its interfaces, and of
 * loopback only where there is nothing else. */
void rtci_addresses(const char *given, uint16_t port, char *ret_list, size_t size);
/* The address of the interface that leads to `host`, which is numeric. False: none does. */
bool rtci_address_towards(const char *host, char *ret_host, size_t size);

/* ---- What the two ends tell each other first ---- */
struct rtci_net_hello { /* the node's */
    uint32_t wire_version; /* RTCI_WIRE_VERSION */
    char release[32];
    uint64_t session;      /* that it opens or wants to resume; chosen at random by the link */
    uint64_t epoch;        /* of the head it was welcomed by; 0 = none yet */
    uint64_t instance;     /* of this start of its daemon, at random: tells two with one key apart */
    char token[RTCI_TOKEN_MAX];
    char name[64], arch[16];
    uint32_t flags;        /* RTCI_HELLO_* */
    uint32_t pad;
};
#define RTCI_HELLO_DRIVER 1u /* a private node of a driver: no CPUs */
#define RTCI_HELLO_FRESH  2u /* its host was started anew: nothing of before lives on; only before the
                              * first welcome */

struct rtci_net_welcome { /* the head's */
    int32_t status;   /* 0; else negative RTC_E_* and text; then nothing more is listened to */
    uint32_t node;    /* its number */
    uint64_t epoch;
    uint64_t session; /* as asked for */
    uint32_t resumed; /* 1: the session goes on where it was */
    uint32_t pad;
    uint64_t lease_ns;
    uint64_t now_ns;  /* the head's CLOCK_MONOTONIC */
    char release[32];
    char text[RTCI_TEXT_MAX];
};

#define RTCI_HEAD_NODE 1u /* the head's own */

/* ---- The head's end ---- */
struct rtci_hub;
struct rtci_hub_config {
    const char *bind;  /* "tcp://0.0.0.0:6380", "tcp://127.0.0.1:*" (a free port) */
    struct rtci_keys keys;
    uint64_t epoch;    /* of this start of the head */
    uint64_t lease_ns; /* 0: RTCI_LEASE_NS */
    size_t window;     /* of a session, bytes; 0: 16 MiB */
    /* May this key join? Fills node (its number), or status and text. Called when a hello comes that
     * does not resume a session which this hub knows, before the welcome leaves. */
    void (*admit)(void *arg, const uint8_t key[RTCI_KEY_BYTES], const struct rtci_net_hello *hello,
                  struct rtci_net_welcome *ret_welcome);
    void *admit_arg;
};
enum rtci_hub_type {
    RTCI_HUB_NONE,
    RTCI_HUB_JOINED,  /* a new session of `node`; an older one of it is gone with what was on its way */
    RTCI_HUB_MESSAGE, /* data, size: the next message of its session */
    RTCI_HUB_BROKEN,  /* its connection broke; it may resume */
    RTCI_HUB_RESUMED, /* … and did, nothing is lost */
    RTCI_HUB_DEAD,    /* silent for a lease, or its session contradicted itself: text says which */
    RTCI_HUB_BULK,    /* data, size: a frame for the head's own node, from `node` */
    RTCI_HUB_CALL,    /* the same on the way of calls */
    RTCI_HUB_REFUSED, /* somebody could not join: text, for the log */
};
struct rtci_hub_event {
    enum rtci_hub_type type;
    uint32_t node;
    const void *data; /* aligned to 8; valid until the next call */
    size_t size;
    const struct rtci_net_hello *hello; /* JOINED */
    char text[RTCI_TEXT_MAX];
};
/* RTC_E_OS with a sentence (the port is in use: which). */
int rtci_hub_open(const struct rtci_hub_config *config, struct rtci_hub **ret_hub, char *ret_text,
                  size_t size) RTCI_MUST_USE;
void rtci_hub_close(struct rtci_hub *hub); /* NULL is fine */
uint16_t rtci_hub_port(const struct rtci_hub *hub);
uint32_t rtci_hub_fds(struct rtci_hub *hub, int ret_fds[RTCI_FDS_MAX]);
/* The next thing that happened; type NONE: nothing more now. */
struct rtci_hub_event rtci_hub_take(struct rtci_hub *hub, uint64_t now_ns);
/* There are events ready that take gives without looking at a socket. */
bool rtci_hub_queued(const struct rtci_hub *hub);
/* Records for a node (a span; cut at records into messages of at most RTCI_MESSAGE_BYTES). Kept here
 * when its session's window is full, and sent when there is room; RTC_E_AGAIN when much too much
 * waits already (64 MiB): the node is as good as dead. RTC_E_DISCONNECTED: no such session. */
int rtci_hub_send(struct rtci_hub *hub, uint32_t node, const void *span, size_t size) RTCI_MUST_USE;
/* What was taken so far is durable: it may be acknowledged. */
void rtci_hub_commit(struct rtci_hub *hub);
/* Puts out what there is to go out. */
void rtci_hub_flush(struct rtci_hub *hub, uint64_t now_ns);
/* Descriptors became readable, those of rtci_hub_fds by bit: without that, take looks at no socket
 * that it has emptied before (each look is two system calls). */
void rtci_hub_signal(struct rtci_hub *hub, uint32_t fds);
uint64_t rtci_hub_relayed(const struct rtci_hub *hub); /* bytes of bulk frames between nodes */
uint64_t rtci_hub_deadline(struct rtci_hub *hub); /* when to call take and flush again */
/* A node is not to be listened to any more (declared dead, drained, revoked). Its next hello is
 * treated as that of a new session. */
void rtci_hub_drop(struct rtci_hub *hub, uint32_t node);
/* A frame from the head's own node to another; best effort: RTC_E_AGAIN: full, RTC_E_DISCONNECTED. */
int rtci_hub_bulk(struct rtci_hub *hub, uint32_t node, const void *head, size_t head_size,
                  const void *data, size_t size) RTCI_MUST_USE;
/* The same beside the session: no transfer is in front of it. */
int rtci_hub_call(struct rtci_hub *hub, uint32_t node, const void *head, size_t head_size,
                  const void *data, size_t size) RTCI_MUST_USE;

/* ---- A node's end ---- */
struct rtci_link;
struct rtci_link_config {
    struct rtci_join join;
    struct rtci_keys keys;
    char name[64], arch[16];
    uint32_t flags; /* RTCI_HELLO_* */
    size_t window;  /* 0: 16 MiB */
};
enum rtci_link_type {
    RTCI_LINK_NONE,
    RTCI_LINK_WELCOME, /* a new session: `node`, `epoch`, `rtt_ns`, in `text` the head's numeric
                        * address; say everything from the beginning */
    RTCI_LINK_MESSAGE, /* data, size */
    RTCI_LINK_BROKEN,  /* text says why: it is tried again */
    RTCI_LINK_RESUMED,
    RTCI_LINK_RENEW,   /* the head knows nothing of the session (it was started again, or had declared
                        * this node dead): take what was not committed with rtci_link_uncommitted, then
                        * call rtci_link_renew */
    RTCI_LINK_REFUSED, /* status, text: wrong token, version, …: it is of no use to go on */
    RTCI_LINK_BULK,    /* data, size: a frame of node `node` */
    RTCI_LINK_CALL,    /* the same on the way of calls */
};
struct rtci_link_event {
    enum rtci_link_type type;
    int status;
    uint32_t node;
    uint64_t epoch, rtt_ns, lease_ns;
    uint64_t head_ns; /* WELCOME: the head's CLOCK_MONOTONIC now */
    const void *data;
    size_t size;
    char text[RTCI_TEXT_MAX];
};
int rtci_link_open(const struct rtci_link_config *config, struct rtci_link **ret_link,
                   char *ret_text, size_t size) RTCI_MUST_USE;
void rtci_link_close(struct rtci_link *link);
uint32_t rtci_link_fds(struct rtci_link *link, int ret_fds[RTCI_FDS_MAX]);
struct rtci_link_event rtci_link_take(struct rtci_link *link, uint64_t now_ns);
/* Records for the head, as rtci_hub_send. *ret_seq: the session's number of the last message. When
 * the window is full: RTC_E_AGAIN, nothing was taken; ask rtci_link_room first. */
int rtci_link_send(struct rtci_link *link, const void *span, size_t size,
                   uint64_t *ret_seq) RTCI_MUST_USE;
size_t rtci_link_room(const struct rtci_link *link); /* bytes that send takes; 0 while not welcome */
uint64_t rtci_link_committed(const struct rtci_link *link); /* up to this number, by the head */
void rtci_link_commit(struct rtci_link *link); /* what was taken so far has had its effect here */
/* Calls fn for each message sent and not committed by the head, oldest first. */
void rtci_link_uncommitted(struct rtci_link *link,
                           void (*fn)(void *arg, const void *data, size_t size), void *arg);
void rtci_link_renew(struct rtci_link *link, uint64_t now_ns);
void rtci_link_flush(struct rtci_link *link, uint64_t now_ns);
/* This host stood still (take notices by itself, where the clock went on meanwhile): what has come
 * since may be old, and counts as heard only when the head has answered. */
void rtci_link_paused(struct rtci_link *link, uint64_t now_ns);
void rtci_link_signal(struct rtci_link *link, uint32_t fds); /* as rtci_hub_signal */
uint64_t rtci_link_deadline(struct rtci_link *link);
uint64_t rtci_link_heard(const struct rtci_link *link); /* when something of the head came last */
/* A frame to node `node`, through the head. As rtci_hub_bulk. */
int rtci_link_bulk(struct rtci_link *link, uint32_t node, const void *head, size_t head_size,
                   const void *data, size_t size) RTCI_MUST_USE;
int rtci_link_call(struct rtci_link *link, uint32_t node, const void *head, size_t head_size,
                   const void *data, size_t size) RTCI_MUST_USE;

#define RTCI_MESSAGE_BYTES (256u * 1024) /* a span is cut into messages of about this, at records */
#define RTCI_BULK_MAX      (256u * 1024 + 256)
#define RTCI_CALL_MAX      (RTCI_SESSION_MESSAGE_MAX + 256) /* a frame with calls, see core/calls.h */

#endif
