/* Calls and answers of actors, between this node and others: of each pair of nodes in the order in
 * which they were sent, each once, over a carrier that loses, repeats and breaks.
 *
 * Each direction of a pair is a session of its own (session.h), opened by who sends. What is sent is
 * kept until the other node has it in the rings of those it is for; a daemon that was started again is
 * sent it anew. Three numbers tell who speaks:
 *   - the *instance* of a daemon counts its starts: one that is new remembers no session, its
 *     processes live on;
 *   - the *life* of a node is given by the head, and ends when the head declares the node dead: what
 *     was between it and others ends with it;
 *   - the session, of those that one instance has opened to one node.
 * When a life ends, each call on its way there is answered here: nothing of it was executed, or nobody
 * knows.
 *
 * Like the other machines it has no I/O and no clock. */
#ifndef RTCI_CORE_CALLS_H
#define RTCI_CORE_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/wire/actor.h"

struct rtci_calls_ops {
    /* One frame of two parts to that node. 0; RTC_E_AGAIN: no room now; else: no way to it now. */
    int (*send)(void *arg, uint32_t node, const void *head, size_t head_size, const void *data,
                size_t size);
    /* Calls and answers of that node, checked record by record, each once and in order; the answers
     * to calls that were lost with it, too. */
    void (*span)(void *arg, uint32_t node, const void *span, size_t size);
    /* The head is to say when a life of that node ends: rtci_calls_gone(). */
    void (*watch)(void *arg, uint32_t node);
};
struct rtci_calls;

/* `instance` is more than that of any daemon of this node before. NULL: out of memory. */
struct rtci_calls *rtci_calls_create(const struct rtci_calls_ops *ops, void *arg,
                                     uint64_t instance);
void rtci_calls_free(struct rtci_calls *calls); /* NULL is fine */

/* The head says which life this node has. Nothing leaves before the first; one that is new ends all
 * that was before. */
void rtci_calls_life(struct rtci_calls *calls, uint64_t now_ns, uint64_t life);
/* The head says: lives of that node up to this one have ended; `lives`: it has another. */
void rtci_calls_gone(struct rtci_calls *calls, uint64_t now_ns, uint32_t node, uint64_t life,
                     bool lives);
/* The head is another one, or may have forgotten who watches whom. */
void rtci_calls_watch_again(struct rtci_calls *calls);
/* There is a new way to that node (0: to all), or one was lost with what was on it. */
void rtci_calls_linked(struct rtci_calls *calls, uint64_t now_ns, uint32_t node);

/* A span of rtci_node_core's to_nodes; takes a copy. It leaves with rtci_calls_flush(). */
void rtci_calls_send(struct rtci_calls *calls, uint64_t now_ns, uint32_t node, const void *span,
                     size_t size);
/* A frame came from that node: any bytes, aligned to 8. */
void rtci_calls_frame(struct rtci_calls *calls, uint64_t now_ns, uint32_t node, const void *data,
                      size_t size);
/* What was given to span() so far stands in the rings of those it is for. */
void rtci_calls_commit(struct rtci_calls *calls);
void rtci_calls_flush(struct rtci_calls *calls, uint64_t now_ns);
uint64_t rtci_calls_deadline(const struct rtci_calls *calls); /* UINT64_MAX: never */

/* Messages count from 1, over all nodes. What is settled is at the other node, or of no use any more:
 * what came before it in a ring may be forgotten there. */
uint64_t rtci_calls_sent(const struct rtci_calls *calls);
uint64_t rtci_calls_settled(const struct rtci_calls *calls);

struct rtci_calls_counts {
    uint64_t in_flight;         /* calls without an answer */
    uint64_t never_ran, unknown;/* … that were answered here */
    uint64_t renewed;           /* sessions begun anew with a daemon that knew nothing of the last */
    uint64_t received, garbage; /* messages; frames that made no sense */
};
void rtci_calls_counts(const struct rtci_calls *calls, struct rtci_calls_counts *ret_counts);

/* Frames between two nodes: this, then one of a session. */
#define RTCI_CALLS_MAGIC 0x43435452u /* "RTCC" */
enum rtci_calls_kind {
    RTCI_CALLS_FORTH = 1, /* of a session of the sender's */
    RTCI_CALLS_BACK,      /* of a session of the other's */
    RTCI_CALLS_FORGOTTEN, /* that session of the other's is not known here */
};
struct rtci_calls_frame {
    uint32_t magic, kind;
    uint64_t life, instance; /* of the sender */
    uint64_t to_instance;    /* of the other, as the sender knows it; 0: it does not */
};

/* The answer to a call that could not be executed, or of which nobody knows; flags: RTCI_REPLY_*. Its
 * `attempts` are the low bits of the incarnation that the call was for. */
struct rtci_call_answer {
    struct rtci_done done;
    struct rtci_resolved row;
    struct rtci_fail fail;
    char text[128];
};
void rtci_call_answer(struct rtci_call_answer *ret, uint64_t seq, uint32_t client,
                      const struct rtci_call *call, uint16_t flags, const char *text);

#endif
