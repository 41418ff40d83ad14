/* Records for tests: valid ones of every type out of a seed, reads of everything a checked record
 * promises, and mutations. */
#ifndef TESTS_LIB_RECORDS_H
#define TESTS_LIB_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/wire/actor.h"
#include "tests/lib/rng.h"

extern const uint16_t record_types[];
extern const size_t n_record_types;

#define RECORD_CAP 8192u /* the longest that record_make makes */

/* Writes a valid record of the type to `at` (RECORD_CAP bytes, 8-aligned); returns its size. */
size_t record_make(struct rng *rng, uint16_t type, void *at);

/* Touches every byte that the accessors lead to; returns a sum, so that no compiler drops it. Sound
 * only on a record that rtci_wire_check accepted. */
uint64_t record_touch(const void *record);

/* Changes some bytes, preferring those that hold counts, sizes and offsets. */
void record_mutate(struct rng *rng, void *data, size_t len);

#endif
