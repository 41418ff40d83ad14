/* For tests of the head core: plays the nodes and their clients, and keeps what they are told. */
#ifndef TESTS_UNIT_HEAD_HELP_H
#define TESTS_UNIT_HEAD_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/core/head_internal.h"

#define MS     1000000ull
#define DRIVER 1u /* the first client, on node 1 */

struct told { /* a record that went to a node */
    uint32_t node, type, slot, attempt;
    uint64_t seq;
};
struct play {
    struct rtci_head_core *head;
    struct rtci_head_actions actions;
    struct rtci_buf says, journal;
    uint64_t now_ns;
    struct told *told;
    uint32_t n_told, cap_told;
    uint32_t last_client; /* the number given last */
    uint64_t incarnation[200];
    uint32_t executor[200]; /* by node: who its completions come from */
    uint64_t next_seq;
    struct rtci_actor_is is; /* what was told last */
    struct rtci_actor_down down;
    struct rtci_group_is group_is;
    uint32_t group_nodes[8];
};

static inline void play_note(struct play *p, uint32_t node, const struct rtci_rec *rec)
{
    struct told told = {.node = node, .type = rec->type};
    const void *at = rec;
    if (rec->type == RTCI_R_TASK || rec->type == RTCI_R_ACTOR_START) {
        const struct rtci_spec *spec = at;
        told.seq = spec->seq, told.slot = spec->slot, told.attempt = spec->attempt;
    } else if (rec->type == RTCI_R_CANCEL) {
        const struct rtci_cancel *cancel = at;
        told.seq = cancel->id.seq, told.slot = cancel->slot, told.attempt = cancel->attempt;
    } else if (rec->type == RTCI_R_SLOT_FREE || rec->type == RTCI_R_RECALL) {
        told.slot = ((const struct rtci_slot_msg *)at)->slot;
        told.attempt = ((const struct rtci_slot_msg *)at)->op;
    } else if (rec->type == RTCI_R_RESULT) {
        const struct rtci_done *done = at;
        told.seq = done->seq, told.attempt = (uint32_t)-done->status;
    } else if (rec->type == RTCI_R_REPLY) {
        told.attempt = (uint32_t) - ((const struct rtci_reply *)at)->status;
    } else if (rec->type == RTCI_R_ACTOR_STOP || rec->type == RTCI_R_ACTOR_KILL) {
        const struct rtci_actor_end *end = at;
        told.seq = end->id.seq, told.slot = end->slot, told.attempt = end->incarnation;
    } else if (rec->type == RTCI_R_ACTOR_IS) {
        p->is = *(const struct rtci_actor_is *)at;
        told.seq = p->is.id.seq;
    } else if (rec->type == RTCI_R_ACTOR_DOWN) {
        p->down = *(const struct rtci_actor_down *)at;
        told.seq = p->down.monitor;
    } else if (rec->type == RTCI_R_GROUP_IS) {
        p->group_is = *(const struct rtci_group_is *)at;
        told.seq = p->group_is.id.seq;
        for (uint32_t i = 0; i < p->group_is.n && i < 8; i++)
            p->group_nodes[i] = ((const uint32_t *)((const struct rtci_group_is *)at + 1))[i];
    } else if (rec->type == RTCI_R_CLIENT_ID) {
        const struct rtci_client_id *id = at;
        p->last_client = id->client;
        told.attempt = (uint32_t)-id->status;
    }
    core_grow(&p->told, &p->cap_told, p->n_told, sizeof(*p->told));
    p->told[p->n_told++] = told;
}

/* What the head wants told reaches the nodes. */
static inline void play_flush(struct play *p)
{
    for (uint32_t i = 0; i < p->actions.n_out; i++) {
        const struct rtci_out *out = &p->actions.out[i];
        for (size_t at = 0; at < out->buf.len;) {
            const struct rtci_rec *rec = (const struct rtci_rec *)(out->buf.data + at);
            assert_true(rtci_wire_check(rec, out->buf.len - at) > 0);
            at += rec->size;
            if (rec->type != RTCI_R_TO_CLIENT) {
                play_note(p, out->node, rec);
                continue;
            }
            for (size_t in = sizeof(struct rtci_wrap); in < rec->size;) {
                const struct rtci_rec *inner = (const struct rtci_rec *)((const char *)rec + in);
                play_note(p, out->node, inner);
                in += inner->size;
            }
        }
    }
    rtci_buf_put(&p->journal, p->actions.persist.data, p->actions.persist.len);
    rtci_head_actions_clear(&p->actions);
}

static inline void *play_say(struct play *p, uint16_t type, size_t size)
{
    size = RTCI_ALIGN8(size);
    struct rtci_rec *rec = rtci_buf_add(&p->says, size);
    RTCI_ASSERT(rec);
    memset(rec, 0, size);
    *rec = (struct rtci_rec){.size = (uint32_t)size, .type = type};
    return rec;
}

/* What was said since, by the node: one turn of the head. What it tells is counted anew. */
static inline void play_turn(struct play *p, uint32_t node)
{
    p->n_told = 0;
    p->now_ns += MS;
    if (p->says.len)
        rtci_head_core_receive(p->head, p->now_ns, node, p->incarnation[node], p->says.data,
                               p->says.len, &p->actions);
    rtci_buf_clear(&p->says);
    rtci_head_core_tick(p->head, p->now_ns, &p->actions);
    rtci_head_core_check(p->head);
    play_flush(p);
}

static inline size_t play_from(struct play *p, uint32_t client)
{
    struct rtci_wrap *wrap = play_say(p, RTCI_R_FROM_CLIENT, sizeof(*wrap));
    wrap->client = client;
    return (size_t)((uint8_t *)wrap - p->says.data);
}

static inline void play_wrapped(struct play *p, size_t at)
{
    ((struct rtci_wrap *)(p->says.data + at))->rec.size = (uint32_t)(p->says.len - at);
}

static inline struct rtci_node_hello *play_hello(struct play *p, uint64_t cpus, uint32_t n_labels)
{
    struct rtci_node_hello *hello =
        play_say(p, RTCI_R_NODE_HELLO, sizeof(*hello) + n_labels * sizeof(struct rtci_label));
    hello->cpu = 10000 * cpus;
    hello->mem = RTCI_GIB;
    hello->n_labels = (uint16_t)n_labels;
    snprintf(hello->name, sizeof(hello->name), "host");
    return hello;
}

/* A session of the node begins; what it says until play_ready() comes with its hello. */
static inline void play_up(struct play *p, uint32_t node)
{
    p->incarnation[node]++;
    rtci_head_core_node_up(p->head, p->now_ns, node, p->incarnation[node], &p->actions);
}

static inline void play_ready(struct play *p, uint32_t node)
{
    play_say(p, RTCI_R_NODE_READY, sizeof(struct rtci_rec));
    play_turn(p, node);
}

static inline uint32_t play_client(struct play *p, uint32_t node, uint32_t role, uint32_t job)
{
    struct rtci_client_new *new = play_say(p, RTCI_R_CLIENT_NEW, sizeof(*new));
    new->token = role == RTCI_ROLE_EXECUTOR ? RTCI_TOKEN_EXEC : 1;
    new->role = role;
    new->job = job;
    play_turn(p, node);
    return p->last_client;
}

static inline void play_survivor(struct play *p, uint32_t client, uint32_t role)
{
    struct rtci_client_new *old = play_say(p, RTCI_R_CLIENT_NEW, sizeof(*old));
    old->token = role == RTCI_ROLE_EXECUTOR ? RTCI_TOKEN_EXEC : 1;
    old->role = role;
    old->client = client;
    old->job = 1;
}

static inline void play_node(struct play *p, uint32_t node, uint64_t cpus)
{
    play_up(p, node);
    play_hello(p, cpus, 0);
    play_ready(p, node);
    if (p->head->n_clients > 1)
        p->executor[node] = play_client(p, node, RTCI_ROLE_EXECUTOR, 1);
}

/* Node 1 has the driver and as many CPUs as are said; shape 0 takes one CPU. */
static inline void play_begin(struct play *p, uint64_t cpus)
{
    *p = (struct play){.now_ns = 1000 * MS, .next_seq = 1};
    struct rtci_head_config config = {.epoch = 1, .now_ns = p->now_ns, .seed = 1, .check = true};
    assert_int_equal(rtci_head_core_create(&config, &p->head), 0);
    rtci_head_core_recovered(p->head, p->now_ns, 0);
    play_node(p, 1, cpus);
    assert_int_equal(play_client(p, 1, RTCI_ROLE_DRIVER, 0), DRIVER);
    p->executor[1] = play_client(p, 1, RTCI_ROLE_EXECUTOR, 1);
    size_t at = play_from(p, DRIVER);
    struct rtci_shape *shape = play_say(p, RTCI_R_SHAPE, sizeof(*shape));
    shape->cpu = 10000;
    play_wrapped(p, at);
    play_turn(p, 1);
}

static inline void play_end(struct play *p)
{
    rtci_head_core_destroy(p->head);
    rtci_head_actions_fini(&p->actions);
    rtci_buf_fini(&p->says);
    rtci_buf_fini(&p->journal);
    free(p->told);
}

/* The head is killed, and started again with what it had written. */
static inline void play_restart(struct play *p, uint64_t hold_ns)
{
    const char *why = NULL;
    rtci_head_core_destroy(p->head);
    struct rtci_head_config config = {.epoch = 2, .now_ns = p->now_ns, .seed = 1, .check = true};
    assert_int_equal(rtci_head_core_create(&config, &p->head), 0);
    assert_int_equal(rtci_head_core_replay(p->head, p->journal.data, p->journal.len, &why), 0);
    rtci_head_core_recovered(p->head, p->now_ns, hold_ns);
}

static inline void play_shape(struct play *p, const struct rtci_shape *shape,
                              const struct rtci_label *label)
{
    size_t at = play_from(p, DRIVER), n = label ? sizeof(*label) : 0;
    struct rtci_shape *out = play_say(p, RTCI_R_SHAPE, sizeof(*out) + n);
    struct rtci_rec rec = out->rec;
    *out = *shape;
    out->rec = rec;
    if (label)
        memcpy(out + 1, label, n);
    out->n_labels = n != 0;
    play_wrapped(p, at);
}

static inline uint64_t play_submit(struct play *p, uint32_t shape, int32_t retries,
                                   struct rtci_id dep)
{
    uint32_t n = dep.client ? 1 : 0;
    size_t at = play_from(p, DRIVER);
    struct rtci_spec *spec =
        play_say(p, RTCI_R_SUBMIT, sizeof(*spec) + n * (sizeof(dep) + sizeof(struct rtci_arg)));
    spec->seq = p->next_seq++;
    spec->client = DRIVER;
    spec->function = 7;
    spec->shape = shape;
    spec->n_returns = 1;
    spec->retries = retries;
    spec->n_refs = spec->n_args = n;
    if (n) {
        *(struct rtci_id *)(spec + 1) = dep;
        *(struct rtci_arg *)((struct rtci_id *)(spec + 1) + 1) = (struct rtci_arg){RTCI_ARG_REF, 0};
    }
    uint64_t seq = spec->seq;
    play_wrapped(p, at);
    return seq;
}

static inline void play_many(struct play *p, uint32_t n, int32_t retries)
{
    for (uint32_t i = 0; i < n; i++)
        play_submit(p, 0, retries, (struct rtci_id){0, 0, 0});
    play_turn(p, 1);
}

static inline void play_done(struct play *p, uint32_t node, uint64_t seq, uint32_t attempt,
                             uint64_t run_ns)
{
    size_t at = play_from(p, p->executor[node]);
    struct rtci_done *out =
        play_say(p, RTCI_R_DONE, sizeof(*out) + sizeof(struct rtci_resolved) + 16);
    out->seq = seq;
    out->client = DRIVER;
    out->attempt = attempt;
    out->n_returns = 1;
    out->run_ns = run_ns;
    struct rtci_resolved *row = (struct rtci_resolved *)(out + 1);
    row->size = 16;
    row->offset = sizeof(*out) + sizeof(*row);
    play_wrapped(p, at);
}

static inline void play_held(struct play *p, uint32_t slot, uint32_t client, uint64_t seq,
                             uint32_t attempt, bool claimed)
{
    struct rtci_slot_held *held =
        play_say(p, RTCI_R_SLOT_HELD, sizeof(*held) + sizeof(struct rtci_held));
    held->slot = slot;
    held->client = client;
    held->job = 1;
    held->n = 1;
    held->shape_client = DRIVER;
    *(struct rtci_held *)(held + 1) = (struct rtci_held){{seq, DRIVER, 0}, attempt, claimed};
}

static inline void play_cordon(struct play *p, uint32_t node, uint32_t op)
{
    size_t at = play_from(p, DRIVER);
    struct rtci_slot_msg *msg = play_say(p, RTCI_R_CORDON, sizeof(*msg));
    msg->slot = node;
    msg->op = op;
    play_wrapped(p, at);
    play_turn(p, 1);
}

/* How many records of the type went to the node (0: any) in the last turn; of the task, if given.
 */
static inline uint32_t play_count(const struct play *p, uint32_t node, uint32_t type, uint64_t seq)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_told; i++)
        n += (!node || p->told[i].node == node) && p->told[i].type == type &&
             (!seq || p->told[i].seq == seq);
    return n;
}

static inline const struct told *play_told(const struct play *p, uint32_t node, uint32_t type,
                                           uint64_t seq)
{
    for (uint32_t i = 0; i < p->n_told; i++) {
        if ((!node || p->told[i].node == node) && p->told[i].type == type &&
            (!seq || p->told[i].seq == seq))
            return &p->told[i];
    }
    return NULL;
}

static inline struct entry *play_entry(const struct play *p, uint64_t seq)
{
    uint32_t index = head_find(p->head, (struct rtci_id){seq, DRIVER, 0});
    assert_true(index != 0);
    return head_entry(p->head, index);
}

#endif
