/* Records of the journal: written as things change, and of all that is when it is folded. */
#ifndef RTCI_CORE_HEAD_JOURNAL_H
#define RTCI_CORE_HEAD_JOURNAL_H

#include "runtime/core/head_internal.h"

enum jtype {
    J_WIRE = 1,
    J_CLIENT,
    J_CLIENT_GONE,
    J_JOB,
    J_ATTEMPT,
    J_NAMED,
    J_KV,
    J_HOLD,
    J_CANCEL,
    J_ACTOR,
    J_MONITOR,
    J_LINK,
    J_GROUP,
    J_CORDON
};

struct jrec {
    uint32_t size;
    uint16_t type, arg16;
    uint32_t client, arg;
};
struct jclient {
    uint32_t number, node, job, role, pid;
    uint32_t behind; /* last_seq: so far is the last task */
    uint64_t last_seq;
    char name[64];
};
struct jjob {
    uint32_t number, driver, node, origin;
    uint64_t id_hi, id_lo, started_ns;
    char name[64], ns[64];
};
struct jattempt {
    uint64_t seq;
    uint32_t failures, attempt;
};
struct jnamed {
    struct rtci_id id;
    uint64_t version;
    uint32_t job, len;
};

void *head_jput(struct rtci_buf *buf, uint16_t type, uint32_t client, uint32_t arg, size_t body);
void head_put_client(struct rtci_buf *buf, const struct client *client);
void head_put_job(struct rtci_buf *buf, const struct job *job);
void head_put_attempt(const struct rtci_head_core *core, struct rtci_buf *buf,
                      const struct entry *entry);
void head_put_cancel(struct rtci_buf *buf, const struct entry *entry);
void head_put_named(struct rtci_buf *buf, const struct named *named);
void head_put_actor(struct rtci_head_core *core, struct rtci_buf *buf, const struct actor *actor);
void head_put_monitor(struct rtci_buf *buf, const struct monitor *monitor);
void head_put_group(struct rtci_buf *buf, const struct group *group);
void head_put_link(struct rtci_buf *buf, const struct link *link, bool on);
void head_put_cordon(struct rtci_buf *buf, uint32_t number, const struct node *node);
void head_put_kv(struct rtci_buf *buf, const struct kv *kv, bool present);

#endif
