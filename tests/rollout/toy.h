/* A policy to test with: it acts by chance, and its numbers can be computed again. */
#ifndef TESTS_ROLLOUT_TOY_H
#define TESTS_ROLLOUT_TOY_H

#include "actors/rollout/policy.h"

extern const struct rollout_policy toy_policy;
/* What it says of an observation of so many bytes, with this weight. */
float toy_value(const void *observation, uint32_t size, float weight);

#endif
