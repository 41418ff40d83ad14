#include "tests/fuzz/span.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

size_t span_make(struct rng *rng, uint8_t *at, uint32_t n, bool (*wanted)(uint16_t type))
{
    size_t size = 0;
    while (n > 0 && size + RECORD_CAP <= FUZZ_INPUT_MAX) {
        uint16_t type = record_types[rng_below(rng, (uint32_t)n_record_types)];
        if (wanted && !wanted(type))
            continue;
        size += record_make(rng, type, at + size);
        n--;
    }
    return size;
}

void span_each(const uint8_t *data, size_t size, void (*fn)(void *arg, const struct rtci_rec *rec),
               void *arg)
{
    for (size_t at = 0; size - at >= sizeof(struct rtci_rec);) {
        struct rtci_rec head;
        memcpy(&head, data + at, sizeof(head));
        size_t step = 8;
        if (head.size >= sizeof(head) && head.size <= size - at) {
            struct rtci_rec *copy = malloc(head.size);
            if (!copy)
                abort();
            memcpy(copy, data + at, head.size);
            int64_t checked = rtci_wire_check(copy, head.size);
            if (checked > 0) {
                fn(arg, copy);
                step = (size_t)checked;
            }
            free(copy);
        }
        at += step;
    }
}
