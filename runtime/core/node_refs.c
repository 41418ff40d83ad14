/* Explicit references of local processes: a set of (object, process). The head keeps one bit per
 * node and object, so it hears of an object when its first local holder comes and when its last one
 * goes. What a process says is a set and not a count: what a ring held is seen again after a
 * restart. Answers that come with a hold are counted: a process that drops one may not have seen
 * the next.
 */
#include "runtime/core/node.h"

#define IDS_CHUNK 4096u

static uint64_t key_b(struct rtci_id id)
{
    return (uint64_t)id.client << 32 | id.index;
}

void node_say_ids(struct rtci_node_actions *actions, uint16_t type, const struct rtci_id *ids,
                  uint32_t n)
{
    while (n) {
        uint32_t part = n < IDS_CHUNK ? n : IDS_CHUNK;
        struct rtci_ids *rec =
            node_say(actions, type, sizeof(*rec) + part * sizeof(struct rtci_id));
        rec->n = part;
        memcpy(rec + 1, ids, part * sizeof(*ids));
        ids += part;
        n -= part;
    }
}

void node_say_drop(struct rtci_node_actions *actions, struct rtci_id id, uint32_t seen)
{
    struct rtci_ids *rec = node_say(actions, RTCI_R_DROP, sizeof(*rec) + sizeof(id));
    rec->n = 1;
    rec->arg = seen;
    memcpy(rec + 1, &id, sizeof(id));
}

static uint32_t find(const struct rtci_node_core *core, uint32_t token, struct rtci_id id)
{
    const uint32_t *first = rtci_map_find(&core->hold_by_id, id.seq, key_b(id));
    uint32_t at = first ? *first : 0;
    while (at && core->holds[at].proc != token)
        at = core->holds[at].next_id;
    return at;
}

/* True when it is the first local holder of the object. */
static bool add(struct rtci_node_core *core, uint32_t token, struct rtci_id id, bool reply)
{
    uint32_t known = find(core, token, id);
    if (known) {
        core->holds[known].replies += reply;
        core->holds[known].seen += reply;
        core->holds[known].said |= !reply;
    }
    if (!id.client || known)
        return false;
    uint32_t index = core->free_hold;
    if (index) {
        core->free_hold = core->holds[index].next;
    } else {
        NODE_GROW(core->holds, core->cap_holds, core->n_holds);
        index = core->n_holds++;
    }
    struct proc *proc = &core->procs[token];
    const uint32_t *first = rtci_map_find(&core->hold_by_id, id.seq, key_b(id));
    struct hold *hold = &core->holds[index];
    *hold =
        (struct hold){.id = id, .proc = token, .next_id = first ? *first : 0, .next = proc->holds};
    hold->replies = hold->seen = reply;
    hold->said = !reply;
    if (proc->holds)
        core->holds[proc->holds].prev = index;
    proc->holds = index;
    core->holds_alive++;
    node_map_set(&core->hold_by_id, id.seq, key_b(id), index);
    return !hold->next_id;
}

/* True when no local process holds the object any more; *ret_seen is then what the head is told. */
static bool drop(struct rtci_node_core *core, uint32_t index, uint32_t *ret_seen)
{
    struct hold *hold = &core->holds[index];
    uint32_t *at = rtci_map_find(&core->hold_by_id, hold->id.seq, key_b(hold->id));
    uint32_t *first = at;
    while (*at != index)
        at = &core->holds[*at].next_id;
    *at = hold->next_id;
    bool last = *first == 0;
    *ret_seen = hold->seen;
    if (!last)
        core->holds[*first].seen += hold->seen; /* another process tells of it */
    else
        rtci_map_remove(&core->hold_by_id, hold->id.seq, key_b(hold->id));
    *(hold->prev ? &core->holds[hold->prev].next : &core->procs[hold->proc].holds) = hold->next;
    if (hold->next)
        core->holds[hold->next].prev = hold->prev;
    *hold = (struct hold){.next = core->free_hold};
    core->free_hold = index;
    core->holds_alive--;
    return last;
}

void node_hold(struct rtci_node_core *core, uint32_t token, const struct rtci_ids *ids,
               struct rtci_node_actions *actions)
{
    const struct rtci_id *id = (const struct rtci_id *)(ids + 1);
    for (uint32_t i = 0; i < ids->n; i++) {
        if (add(core, token, id[i], false))
            node_say_ids(actions, RTCI_R_HOLD, &id[i], 1);
    }
}

void node_hold_one(struct rtci_node_core *core, uint32_t token, struct rtci_id id,
                   struct rtci_node_actions *actions)
{
    if (add(core, token, id, true))
        node_say_ids(actions, RTCI_R_HOLD, &id, 1);
}

/* The reader is gone: the answer counts as seen, and who else holds the object goes on. */
void node_hold_none(struct rtci_node_core *core, struct rtci_id id,
                    struct rtci_node_actions *actions)
{
    const uint32_t *first = rtci_map_find(&core->hold_by_id, id.seq, key_b(id));
    if (first && *first)
        core->holds[*first].seen++;
    else
        node_say_drop(actions, id, 1);
}

void node_drop(struct rtci_node_core *core, uint32_t token, const struct rtci_ids *ids,
               struct rtci_node_actions *actions)
{
    const struct rtci_id *id = (const struct rtci_id *)(ids + 1);
    for (uint32_t i = 0; i < ids->n; i++) {
        uint32_t index = find(core, token, id[i]), replies = ids->arg & ~RTCI_DROP_REPLY;
        struct hold *hold = &core->holds[index];
        if (index) {
            hold->replies -= replies < hold->replies ? replies : hold->replies;
            hold->said &= (ids->arg & RTCI_DROP_REPLY) != 0;
            if (hold->replies || hold->said)
                continue;
        }
        /* One not known here is of before a restart: the head's bit falls unless another process
         * said meanwhile that it holds the object. */
        uint32_t seen = 0;
        bool last = index ? drop(core, index, &seen)
                          : !rtci_map_find(&core->hold_by_id, id[i].seq, key_b(id[i]));
        if (last)
            node_say_drop(actions, id[i], seen);
    }
}

void node_drop_all(struct rtci_node_core *core, uint32_t token, struct rtci_node_actions *actions)
{
    while (core->procs[token].holds) {
        uint32_t index = core->procs[token].holds;
        struct rtci_id id = core->holds[index].id;
        uint32_t seen;
        if (drop(core, index, &seen))
            node_say_drop(actions, id, seen);
    }
}

void node_hello_holds(struct rtci_node_core *core, struct rtci_node_actions *actions)
{
    for (uint32_t i = 1; i < core->n_holds; i++) {
        const struct hold *hold = &core->holds[i];
        if (hold->id.client && !hold->next_id) /* the last of each object's chain: once */
            node_say_ids(actions, RTCI_R_HOLD, &hold->id, 1);
    }
}

void node_refs_check(const struct rtci_node_core *core)
{
    uint32_t alive = 0, chains = 0, linked = 0;
    for (uint32_t i = 1; i < core->n_holds; i++) {
        const struct hold *hold = &core->holds[i];
        if (!hold->id.client)
            continue;
        alive++;
        chains += !hold->next_id;
        RTCI_ASSERT(core->procs[hold->proc].state != PROC_FREE);
        RTCI_ASSERT(find(core, hold->proc, hold->id) == i);
    }
    for (uint32_t token = 1; token < core->n_procs; token++) {
        for (uint32_t at = core->procs[token].holds, prev = 0; at; at = core->holds[at].next) {
            RTCI_ASSERT(core->holds[at].proc == token && core->holds[at].prev == prev);
            prev = at;
            linked++;
        }
    }
    RTCI_ASSERT(alive == core->holds_alive && linked == alive && chains == core->hold_by_id.n);
}
