/* Files of tensors: whatever bytes they have, they are refused with a sentence, or all that is told
 * of them can be read, and they are written and read again as the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/report/tensorboard.h"
#include "actors/run/tensors.h"
#include "runtime/base/assert.h"
#include "tests/fuzz/fuzz.h"

static volatile uint32_t touched;

static void touch(const struct run_tensors *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct run_tensor *one = &t->at[i];
        RTCI_ASSERT(one->type < RUN_TYPES && one->ndim <= RUN_NDIM_MAX);
        touched += report_crc32c(one->data, one->size) + (uint32_t)strlen(one->name);
        uint64_t elements = 1;
        for (uint32_t k = 0; k < one->ndim; k++)
            elements *= one->shape[k];
        RTCI_ASSERT(elements * run_type_size(one->type) == one->size);
        RTCI_ASSERT(run_tensors_find(t, one->name) == one);
    }
    for (size_t i = 0; i < t->n_texts; i++)
        touched += (uint32_t)strlen(t->texts[i].value);
}

static void write_again(const struct run_tensors *t)
{
    char path[64], why[RUN_WHY_MAX];
    struct run_tensors *again = NULL;
    for (size_t i = 0; i < t->n_texts; i++) {
        if (!strncmp(t->texts[i].key, "rtc.", 4))
            return; /* it would be there twice */
    }
    snprintf(path, sizeof(path), "/dev/shm/fuzz-tensors-%d", (int)getpid());
    if (run_tensors_write(path, t->at, t->n, t->texts, t->n_texts, why) == 0) {
        RTCI_ASSERT(run_tensors_read(path, &again, why) == 0 && again->n == t->n);
        for (size_t i = 0; i < t->n; i++) {
            const struct run_tensor *one = run_tensors_find(again, t->at[i].name);
            RTCI_ASSERT(one && one->size == t->at[i].size);
            RTCI_ASSERT(!one->size || !memcmp(one->data, t->at[i].data, one->size));
        }
        run_tensors_free(&again);
    }
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run_tensors *t = NULL;
    char why[RUN_WHY_MAX] = "";
    int rc = run_tensors_parse(data, size, &t, why);
    RTCI_ASSERT((rc == 0) == (why[0] == 0) && (rc == 0) == (t != NULL));
    if (rc == 0) {
        touch(t);
        if (data[size - 1] % 16 == 0)
            write_again(t);
    }
    run_tensors_free(&t);
    return 0;
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    static const char *const types[] = {"F32", "F64", "U8", "I64", "BF16", "BOOL", "Q4"};
    static const uint32_t sizes[] = {4, 8, 1, 8, 2, 1, 1};
    char *header = (char *)at + 8;
    size_t used = (size_t)sprintf(header, "{\"__metadata__\":{\"a\":\"b\"}");
    uint32_t end = 0, n = rng_below(rng, 6);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t type = rng_below(rng, rng_below(rng, 8) ? 6 : 7);
        uint32_t rows = rng_below(rng, 4), columns = rng_below(rng, 5);
        uint32_t begin = end;
        end += rows * columns * sizes[type];
        used += (size_t)sprintf(
            header + used, ",\"t%u\":{\"dtype\":\"%s\",\"shape\":[%u,%u],\"data_offsets\":[%u,%u]}",
            i, types[type], rows, columns, begin, end);
    }
    used += (size_t)sprintf(header + used, "}");
    for (unsigned i = 0; i < 8; i++)
        at[i] = i < 2 ? (uint8_t)(used >> 8 * i) : 0;
    for (uint32_t i = 0; i < end; i++)
        at[8 + used + i] = (uint8_t)rng_next(rng);
    return 8 + used + end;
}
