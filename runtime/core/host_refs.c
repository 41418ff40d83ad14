/* References that processes of this host hold beside their creators. Few, so a plain array; the
 * head keeps one bit for the node. */
#include "runtime/core/host_internal.h"

static void tell(struct rtci_node_core *core, uint16_t type, struct rtci_id id)
{
    struct rtci_ids *out = node_to_head(core, type, sizeof(*out) + sizeof(id));
    out->n = 1;
    memcpy(out + 1, &id, sizeof(id));
}

static bool held_by_any(const struct rtci_node_core *core, struct rtci_id id)
{
    for (uint32_t i = 0; i < core->n_holds; i++) {
        if (rtci_id_equal(core->holds[i].id, id))
            return true;
    }
    return false;
}

static struct hold *find(struct rtci_node_core *core, uint32_t token, struct rtci_id id)
{
    for (uint32_t i = 0; i < core->n_holds; i++) {
        if (core->holds[i].token == token && rtci_id_equal(core->holds[i].id, id))
            return &core->holds[i];
    }
    return NULL;
}

void node_hold_add(struct rtci_node_core *core, uint32_t token, struct rtci_id id)
{
    struct hold *hold = find(core, token, id);
    if (hold) {
        hold->count++;
        return;
    }
    NODE_GROW(core->holds, core->cap_holds, core->n_holds);
    core->holds[core->n_holds++] = (struct hold){id, token, 1};
}

static void remove_at(struct rtci_node_core *core, uint32_t i)
{
    struct rtci_id id = core->holds[i].id;
    core->holds[i] = core->holds[--core->n_holds];
    if (!held_by_any(core, id))
        tell(core, RTCI_R_DROP, id);
}

void node_on_hold(struct rtci_node_core *core, uint32_t token, const struct rtci_ids *ids,
                  bool hold)
{
    const struct rtci_id *id = (const struct rtci_id *)(ids + 1);
    for (uint32_t i = 0; i < ids->n; i++) {
        if (hold) {
            if (!held_by_any(core, id[i]))
                tell(core, RTCI_R_HOLD, id[i]);
            node_hold_add(core, token, id[i]);
            continue;
        }
        struct hold *at = find(core, token, id[i]);
        if (at && !--at->count)
            remove_at(core, (uint32_t)(at - core->holds));
    }
}

void node_holds_gone(struct rtci_node_core *core, uint32_t token)
{
    for (uint32_t i = core->n_holds; i-- > 0;) {
        if (core->holds[i].token == token)
            remove_at(core, i);
    }
}
