#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/keeper/internal.h"
#include <rtc/error.h>

static struct rtci_held *find(struct rtci_held_list *list, uint64_t key)
{
    struct rtci_held *held;
    TAILQ_FOREACH(held, list, link)
    {
        if (held->key == key)
            return held;
    }
    return NULL;
}

static void close_all(const int *fds, uint32_t n_fds)
{
    for (uint32_t i = 0; i < n_fds; i++)
        close(fds[i]);
}

int rtci_held_store(struct rtci_held_list *list, uint64_t key, const void *blob, uint32_t blob_len,
                    const int *fds, uint32_t n_fds)
{
    struct rtci_held *held = find(list, key);
    void *copy = blob_len ? malloc(blob_len) : NULL;
    if (blob_len && !copy)
        goto nomem;
    if (!held) {
        held = calloc(1, sizeof(*held));
        if (!held)
            goto nomem;
        held->key = key;
        TAILQ_INSERT_TAIL(list, held, link);
    }
    /* Replaced in place, so that a cursor on it stays right. */
    close_all(held->fds, held->n_fds);
    free(held->blob);
    if (blob_len)
        memcpy(copy, blob, blob_len);
    held->blob = copy;
    held->blob_len = blob_len;
    held->n_fds = n_fds;
    memcpy(held->fds, fds, n_fds * sizeof(*fds));
    return 0;
nomem:
    free(copy);
    close_all(fds, n_fds);
    return RTC_E_NOMEM;
}

static void release(struct rtci_held_list *list, struct rtci_held *held)
{
    TAILQ_REMOVE(list, held, link);
    close_all(held->fds, held->n_fds);
    free(held->blob);
    free(held);
}

void rtci_held_drop(struct rtci_held_list *list, uint64_t key, struct rtci_held **cursor)
{
    struct rtci_held *held = find(list, key);
    if (!held)
        return;
    if (*cursor == held)
        *cursor = TAILQ_NEXT(held, link);
    release(list, held);
}

void rtci_held_clear(struct rtci_held_list *list)
{
    while (!TAILQ_EMPTY(list))
        release(list, TAILQ_FIRST(list));
}
