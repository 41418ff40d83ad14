/* Any bytes as a span: what the checker accepts can be read through all accessors. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/span.h"

static void on_record(void *arg, const struct rtci_rec *rec)
{
    *(volatile uint64_t *)arg += record_touch(rec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t sum = 0;
    span_each(data, size, on_record, &sum);
    return 0;
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    return span_make(rng, at, 1 + rng_below(rng, 6), NULL);
}
