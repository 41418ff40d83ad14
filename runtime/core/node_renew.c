/* A new session with the head: what the old one had not committed is given again.
 *
 * Between hello and ready. The hello has told all that the node knows by itself, so of the old
 * messages only this is of use: what clients said, and executors that died with a task. To a head
 * that was started again their slot is unknown, so it hears of that first. */
#include "runtime/core/node.h"

static void lost_again(const struct rtci_slot_lost *lost, struct rtci_node_actions *actions)
{
    if (!lost->claimed.client)
        return; /* nothing had begun in it: its tasks are placed again */
    struct rtci_slot_held *held =
        node_say(actions, RTCI_R_SLOT_HELD, sizeof(*held) + sizeof(struct rtci_held));
    held->slot = lost->slot;
    held->client = lost->client;
    held->n = 1;
    *(struct rtci_held *)(held + 1) = (struct rtci_held){lost->claimed, lost->claimed_attempt, 1};
    memcpy(node_say(actions, RTCI_R_SLOT_LOST, lost->rec.size), lost, lost->rec.size);
}

void rtci_node_core_renew(struct rtci_node_core *core, uint64_t now_ns, const void *old_span,
                          size_t len, struct rtci_node_actions *actions)
{
    (void)now_ns;
    RTCI_ASSERT(core->told);
    for (size_t at = 0; at + sizeof(struct rtci_rec) <= len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)((const char *)old_span + at);
        if (rec->type == RTCI_R_FROM_CLIENT)
            memcpy(node_say(actions, rec->type, rec->size), rec, rec->size);
        else if (rec->type == RTCI_R_SLOT_LOST)
            lost_again((const struct rtci_slot_lost *)rec, actions);
        at += rec->size;
    }
}
