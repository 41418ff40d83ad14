/* Spans for the targets that take records. */
#ifndef TESTS_FUZZ_SPAN_H
#define TESTS_FUZZ_SPAN_H

#include <stddef.h>
#include <stdint.h>

#include "tests/lib/records.h"

/* Up to `n` valid records of types that `wanted` accepts (NULL = all), end to end. */
size_t span_make(struct rng *rng, uint8_t *at, uint32_t n, bool (*wanted)(uint16_t type));

/* Calls fn with every record of `data` that rtci_wire_check accepts, each an aligned copy of
 * exactly its length; steps over what it refuses by 8 bytes. */
void span_each(const uint8_t *data, size_t size, void (*fn)(void *arg, const struct rtci_rec *rec),
               void *arg);

#endif
