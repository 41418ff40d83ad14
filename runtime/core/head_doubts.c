/* Tasks that may not be tried again, and were somewhere when the head ended.
 *
 * Where a task is, its node says after a restart of the head; what no node has never began. That is
 * not so when the node was lost as well: hence of a task on its last attempt the journal says where
 * it was sent. Until that node has told what it has the task is in doubt; when the node is lost, or
 * comes back as one that was started anew, the attempt is.
 */
#include <stdio.h>

#include "runtime/core/head_internal.h"

bool head_last_attempt(const struct entry *entry)
{
    return entry->kind == ENTRY_TASK && entry->spec->retries >= 0 &&
           entry->failures >= (uint32_t)entry->spec->retries;
}

/* Of what the journal says of an attempt: the node that it was sent to, 0 when it was given back.
 */
void head_doubt(struct rtci_head_core *core, uint32_t index, uint32_t node)
{
    struct entry *entry = head_entry(core, index);
    if (entry->kind != ENTRY_TASK || head_terminal(entry))
        return;
    entry->flags = (uint16_t)(node ? entry->flags | EF_DOUBT : entry->flags & ~EF_DOUBT);
    entry->node = node;
    core->doubts |= node != 0;
}

/* `text`: its node is lost, and says nothing more; NULL: it has told what it has. */
static void end_one(struct rtci_head_core *core, uint32_t index, const char *text)
{
    struct entry *entry = head_entry(core, index);
    struct rtci_fail fail = {.code = RTC_E_NODE_LOST, .exit_status = -1, .node = entry->node};
    entry->flags &= (uint16_t)~EF_DOUBT;
    if (entry->state != RTCI_TASK_READY)
        return; /* it has ended, or was found */
    if (text)
        head_attempt_failed(core, index, &fail, text, NULL, 0);
    else
        entry->attempt--;
}

static bool in_doubt(const struct entry *entry)
{
    return entry->kind == ENTRY_TASK && entry->flags & EF_DOUBT;
}

void head_doubts_end(struct rtci_head_core *core, uint32_t node, const char *text)
{
    for (uint32_t i = 1; core->doubts && i < core->n_entries; i++) {
        if (in_doubt(&core->entries[i]) && core->entries[i].node == node)
            end_one(core, i, text);
    }
}

/* The node has told what it has. */
void head_doubts_settle(struct rtci_head_core *core, uint32_t node)
{
    char text[128];
    snprintf(text, sizeof(text), "node %u (%s) was lost: its host was started again", node,
             core->nodes[node].name);
    head_doubts_end(core, node, core->nodes[node].anew ? text : NULL);
}

/* The head has waited long enough for those that were there: nobody tells of what is left. */
void head_doubts_over(struct rtci_head_core *core)
{
    for (uint32_t i = 1; core->doubts && i < core->n_entries; i++) {
        char text[96];
        if (!in_doubt(&core->entries[i]))
            continue;
        snprintf(text, sizeof(text), "node %u did not come back after a restart of the head",
                 core->entries[i].node);
        end_one(core, i, text);
    }
    core->doubts = false;
}
