/* Names of states, and the life of the head's action lists. */
#include <stdlib.h>

#include "runtime/core/core.h"

const char *rtci_task_state_name(uint32_t state)
{
    static const char *const names[] = {
#define X(name, text, next) text,
        RTCI_TASK_STATE_MAP(X)
#undef X
    };
    return state < RTCI_TASK_STATE_COUNT ? names[state] : "?";
}

void rtci_head_actions_clear(struct rtci_head_actions *actions)
{
    rtci_buf_clear(&actions->persist);
    rtci_buf_clear(&actions->trace);
    actions->n_out = 0; /* the buffers behind keep their memory for the next turn */
}

void rtci_head_actions_fini(struct rtci_head_actions *actions)
{
    rtci_buf_fini(&actions->persist);
    rtci_buf_fini(&actions->trace);
    for (uint32_t i = 0; i < actions->cap_out; i++)
        rtci_buf_fini(&actions->out[i].buf);
    free(actions->out);
    actions->out = NULL;
    actions->n_out = actions->cap_out = 0;
}
