/* A fuzz target is one source with these two functions. Built with -Dfuzzing=libfuzzer it is a
 * libFuzzer program; else tests/fuzz/runner.c runs it over the files it is given and over inputs
 * made from seeds. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "tests/lib/rng.h"

#define FUZZ_INPUT_MAX 65536u

/* Takes any bytes; aborts (assertion, sanitizer) when something is wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes an input worth mutating (at most FUZZ_INPUT_MAX bytes, `at` is 8-aligned); returns its
 * size. */
size_t fuzz_make(struct rng *rng, uint8_t *at);

#endif
