/* The policies that this program has. */
#include "actors/rollout/policy.h"

#include <stdlib.h>
#include <string.h>

static const struct rollout_policy *policies[ROLLOUT_POLICIES_MAX];
static size_t n_policies;

void rollout_policy_register(const struct rollout_policy *policy)
{
    if (n_policies == ROLLOUT_POLICIES_MAX || rollout_policy_find(policy->name))
        abort(); /* a mistake of who wrote the program, seen at its first start */
    policies[n_policies++] = policy;
}

const struct rollout_policy *rollout_policy_find(const char *name)
{
    for (size_t i = 0; i < n_policies; i++) {
        if (strcmp(policies[i]->name, name) == 0)
            return policies[i];
    }
    return NULL;
}
