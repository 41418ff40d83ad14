#include "runtime/head/lives.h"

#include <stdlib.h>

#include "runtime/base/assert.h"
#include "runtime/base/bounds.h"
#include "runtime/net/net.h"

struct watched { /* by node */
    uint32_t *by, n, cap;
};
struct ended {
    uint32_t node, n;
    uint64_t life;
    uint32_t *by;
};
struct rtci_lives {
    struct watched watched[RTCI_NODES_MAX + 1];
    struct ended *ended;
    uint32_t n_ended, cap_ended;
};

struct rtci_lives *rtci_lives_create(void)
{
    return calloc(1, sizeof(struct rtci_lives));
}

void rtci_lives_free(struct rtci_lives *lives)
{
    if (!lives)
        return;
    for (uint32_t i = 0; i <= RTCI_NODES_MAX; i++)
        free(lives->watched[i].by);
    for (uint32_t i = 0; i < lives->n_ended; i++)
        free(lives->ended[i].by);
    free(lives->ended);
    free(lives);
}

void rtci_lives_watch(struct rtci_lives *lives, uint32_t node, uint32_t watched)
{
    struct watched *w = &lives->watched[watched];
    for (uint32_t i = 0; i < w->n; i++) {
        if (w->by[i] == node)
            return;
    }
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 8;
        w->by = realloc(w->by, w->cap * sizeof(*w->by));
        RTCI_ASSERT(w->by);
    }
    w->by[w->n++] = node;
}

void rtci_lives_end(struct rtci_lives *lives, uint32_t node, uint64_t life)
{
    struct watched *w = &lives->watched[node];
    if (lives->n_ended == lives->cap_ended) {
        lives->cap_ended = lives->cap_ended ? 2 * lives->cap_ended : 8;
        lives->ended = realloc(lives->ended, lives->cap_ended * sizeof(*lives->ended));
        RTCI_ASSERT(lives->ended);
    }
    lives->ended[lives->n_ended++] = (struct ended){node, w->n, life, w->by};
    *w = (struct watched){0};
}

void rtci_lives_tell(struct rtci_lives *lives,
                     void (*fn)(void *arg, uint32_t to, uint32_t about, uint64_t life), void *arg)
{
    for (uint32_t i = 0; i < lives->n_ended; i++) {
        struct ended *e = &lives->ended[i];
        for (uint32_t k = 0; k < e->n; k++)
            fn(arg, e->by[k], e->node, e->life);
        fn(arg, RTCI_HEAD_NODE, e->node, e->life);
        free(e->by);
    }
    lives->n_ended = 0;
}
