/* For tests of actors in the head core: what clients, executors and nodes say of them. */
#ifndef TESTS_UNIT_ACTOR_HELP_H
#define TESTS_UNIT_ACTOR_HELP_H

#include "tests/unit/head_help.h"

struct want { /* an actor to be created; the rest is zero */
    uint32_t shape, flags;
    int32_t max_restarts;
    const char *name;
    struct rtci_id dep;
};

static inline struct rtci_id act_id(uint64_t seq)
{
    return (struct rtci_id){seq, DRIVER, 0};
}

static inline uint64_t act_create_as(struct play *p, uint32_t client, uint64_t seq,
                                     const struct want *want)
{
    uint32_t n = want->dep.client ? 1 : 0;
    size_t name_len = want->name ? strlen(want->name) : 0;
    size_t tail = sizeof(struct rtci_actor_options) + name_len;
    size_t at = play_from(p, client);
    struct rtci_spec *spec = play_say(
        p, RTCI_R_ACTOR_CREATE,
        sizeof(*spec) + n * (sizeof(struct rtci_id) + sizeof(struct rtci_arg)) + RTCI_ALIGN8(tail));
    spec->seq = seq;
    spec->client = client;
    spec->function = 7;
    spec->shape = want->shape;
    spec->n_returns = 1;
    spec->flags = RTCI_SPEC_ACTOR;
    spec->n_refs = spec->n_args = n;
    spec->name_len = (uint32_t)tail;
    if (n) {
        *(struct rtci_id *)(spec + 1) = want->dep;
        *(struct rtci_arg *)((struct rtci_id *)(spec + 1) + 1) = (struct rtci_arg){RTCI_ARG_REF, 0};
    }
    struct rtci_actor_options *options = (struct rtci_actor_options *)rtci_spec_options(spec);
    options->max_restarts = want->max_restarts;
    options->flags = want->flags;
    options->name_len = (uint16_t)name_len;
    if (name_len)
        memcpy(options + 1, want->name, name_len);
    play_wrapped(p, at);
    return seq;
}

static inline uint64_t act_create(struct play *p, const struct want *want)
{
    uint64_t seq = act_create_as(p, DRIVER, p->next_seq++, want);
    play_turn(p, 1);
    return seq;
}

static inline struct actor *act_at(const struct play *p, struct rtci_id id)
{
    uint32_t index = head_actor_find(p->head, id);
    assert_true(index != 0);
    return head_actor(p->head, index);
}

static inline uint32_t act_state(const struct play *p, uint64_t seq)
{
    return act_at(p, act_id(seq))->state;
}

static inline uint32_t act_incarnation(const struct play *p, uint64_t seq)
{
    return play_entry(p, seq)->attempt;
}

/* Its executor says that the constructor is done. */
static inline void act_up(struct play *p, uint32_t node, uint64_t seq, uint32_t incarnation)
{
    size_t at = play_from(p, p->executor[node]);
    struct rtci_actor_up *up = play_say(p, RTCI_R_ACTOR_UP, sizeof(*up));
    up->id = act_id(seq);
    up->incarnation = incarnation;
    up->pid = 4242;
    play_wrapped(p, at);
    play_turn(p, node);
}

static inline void act_failed(struct play *p, uint32_t node, uint64_t seq, const char *text)
{
    size_t at = play_from(p, p->executor[node]);
    struct rtci_actor_failed *failed =
        play_say(p, RTCI_R_ACTOR_FAILED, sizeof(*failed) + strlen(text));
    failed->id = act_id(seq);
    failed->incarnation = act_incarnation(p, seq);
    failed->code = RTC_E_TASK_FAILED;
    failed->user_code = 5;
    failed->text_len = (uint32_t)strlen(text);
    memcpy(failed + 1, text, strlen(text));
    play_wrapped(p, at);
    play_turn(p, node);
}

/* Its process is gone. */
static inline void act_lost(struct play *p, uint32_t node, uint32_t slot, int32_t code, int signal)
{
    struct rtci_slot_lost *lost = play_say(p, RTCI_R_SLOT_LOST, sizeof(*lost));
    lost->slot = slot;
    lost->code = code;
    lost->signal = signal;
    lost->exit_status = signal ? -1 : 0;
    lost->pid = 77;
    play_turn(p, node);
}

static inline uint32_t act_slot(const struct play *p, uint64_t seq)
{
    return play_entry(p, seq)->slot;
}

static inline void act_end(struct play *p, uint32_t client, uint16_t type, uint64_t seq,
                           uint32_t flags)
{
    size_t at = play_from(p, client);
    struct rtci_actor_end *end = play_say(p, type, sizeof(*end));
    end->id = act_id(seq);
    end->flags = flags;
    play_wrapped(p, at);
    play_turn(p, 1);
}

static inline void act_where(struct play *p, uint32_t node, uint32_t client, struct rtci_id id,
                             const char *name, uint32_t flags)
{
    size_t at = play_from(p, client), len = name ? strlen(name) : 0;
    struct rtci_actor_where *where = play_say(p, RTCI_R_ACTOR_WHERE, sizeof(*where) + len);
    where->request = 9;
    where->id = id;
    where->flags = flags;
    where->name_len = (uint16_t)len;
    if (len)
        memcpy(where + 1, name, len);
    play_wrapped(p, at);
    play_turn(p, node);
}

/* To be told when it is not ALIVE as this incarnation any more. */
static inline void act_where_after(struct play *p, uint32_t node, uint32_t client,
                                   struct rtci_id id, uint32_t incarnation)
{
    size_t at = play_from(p, client);
    struct rtci_actor_where *where = play_say(p, RTCI_R_ACTOR_WHERE, sizeof(*where));
    where->request = 10;
    where->id = id;
    where->flags = RTCI_WHERE_CHANGED;
    where->incarnation = incarnation;
    play_wrapped(p, at);
    play_turn(p, node);
}

static inline void act_monitor(struct play *p, uint32_t client, uint16_t type, uint64_t monitor,
                               struct rtci_id id)
{
    size_t at = play_from(p, client);
    struct rtci_actor_monitor *rec = play_say(p, type, sizeof(*rec));
    rec->monitor = monitor;
    rec->id = id;
    play_wrapped(p, at);
    play_turn(p, 1);
}

static inline void act_release(struct play *p, uint64_t seq)
{
    size_t at = play_from(p, DRIVER);
    struct rtci_range *range = play_say(p, RTCI_R_RELEASE, sizeof(*range));
    range->seq = seq;
    range->count = 1;
    range->client = DRIVER;
    range->index = RTCI_ALL_RETURNS;
    play_wrapped(p, at);
    play_turn(p, 1);
}

/* The last of what was told of actors. */
static inline const struct rtci_actor_is *act_is(const struct play *p)
{
    assert_true(p->is.rec.type == RTCI_R_ACTOR_IS);
    return &p->is;
}

static inline void act_later(struct play *p, uint64_t ms)
{
    p->now_ns += ms * MS;
    play_turn(p, 1);
}

static inline void act_held(struct play *p, uint32_t slot, uint32_t client, uint64_t seq,
                            uint32_t incarnation)
{
    size_t at = p->says.len;
    play_held(p, slot, client, seq, incarnation, true);
    ((struct rtci_slot_held *)(p->says.data + at))->actor = 1;
}

#endif
