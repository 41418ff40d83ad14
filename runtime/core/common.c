/* What both machines share: names of states, tables that grow, the life of the head's action lists.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/assert.h"
#include "runtime/core/core.h"
#include "runtime/core/grow.h"

const char *rtci_task_state_name(uint32_t state)
{
    static const char *const names[] = {
#define X(name, text, next) text,
        RTCI_TASK_STATE_MAP(X)
#undef X
    };
    return state < RTCI_TASK_STATE_COUNT ? names[state] : "?";
}

const char *rtci_actor_state_name(uint32_t state)
{
    static const char *const names[] = {
#define X(name, text, next) text,
        RTCI_ACTOR_STATE_MAP(X)
#undef X
    };
    return state < RTCI_ACTOR_STATE_COUNT ? names[state] : "?";
}

void core_grow(void *array, uint32_t *cap, uint32_t n, size_t size)
{
    if (n < *cap)
        return;
    uint32_t want = *cap ? *cap : 16;
    while (want <= n)
        want *= 2;
    void *at;
    memcpy(&at, array, sizeof(at));
    at = realloc(at, want * size);
    RTCI_ASSERT(at);
    memset((char *)at + *cap * size, 0, (want - *cap) * size);
    memcpy(array, &at, sizeof(at));
    *cap = want;
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
