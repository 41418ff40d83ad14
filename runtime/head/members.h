/* The other hosts of the cluster, as the head's loop sees them: who may join and under which number,
 * what they say, what becomes of them when their connection breaks. */
#ifndef RTCI_HEAD_MEMBERS_H
#define RTCI_HEAD_MEMBERS_H

#include "runtime/node/daemon.h"

struct rtci_members;

/* Opens the port. Nodes that were members when the head ended are waited for: the core is told of
 * them. 0, or a negative RTC_E_* after a sentence on stderr. */
int rtci_members_open(struct rtci_daemon *daemon, struct rtci_head_core *core,
                      struct rtci_head_actions *actions,
                      struct rtci_members **ret_members) RTCI_MUST_USE;
void rtci_members_close(struct rtci_members *members); /* NULL is fine */
/* What came in since, given to the core. True: there was something. */
bool rtci_members_take(struct rtci_members *members);
/* What the core says to other nodes than the first; after the commit. */
void rtci_members_send(struct rtci_members *members, const struct rtci_out *out);
/* The turn is committed, and everything said: acknowledge, and let it go out. */
void rtci_members_flush(struct rtci_members *members);
uint64_t rtci_members_relayed(const struct rtci_members *members); /* bytes between nodes */
uint64_t rtci_members_deadline(const struct rtci_members *members);

/* addresses.c. Whether somebody may join with it: it was made here, and not revoked. */
bool rtci_token_good(struct rtci_head_core *core, const char *token);
/* The line that others join with: kept in STATE/join, made when it is not there or its
 * token was revoked. */
int rtci_join_line(struct rtci_daemon *daemon, struct rtci_head_core *core,
                   struct rtci_head_actions *actions, const uint8_t key[32],
                   uint16_t port) RTCI_MUST_USE;

/* Kept in the durable store, namespaces that only tools may touch. */
#define RTCI_NS_NODES   "rtc/nodes"   /* key in hexadecimal → struct rtci_member */
#define RTCI_NS_TOKENS  "rtc/tokens"  /* id → struct rtci_token_kept */
#define RTCI_NS_CLUSTER "rtc/cluster" /* "join" → the join line's part before the token; "port"; "life"
                                       * → that of the head's own node */

struct rtci_member {
    uint32_t number, flags; /* RTCI_HELLO_* */
    uint32_t alive;         /* it had joined, and was not lost since */
    uint32_t lease_ms;      /* that it was given; 0: the usual one */
    uint64_t life;          /* see struct rtci_life */
    char name[64];
};
struct rtci_token_kept {
    uint8_t hash[32];
    uint64_t made_s; /* Unix time */
};

/* leases.c. What nodes are given, ns. */
uint64_t rtci_members_lease(const struct rtci_daemon_options *options);
/* How long one is waited for after a restart that now would be given `lease_ns`: while it has not heard
 * of the restart it lives by the lease that it was given. */
uint64_t rtci_member_lease(const struct rtci_member *kept, uint64_t lease_ns);
/* … and all that the journal knows. */
uint64_t rtci_members_hold(struct rtci_head_core *core, const struct rtci_daemon_options *options);

#endif
