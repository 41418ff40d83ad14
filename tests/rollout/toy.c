#include "tests/rollout/toy.h"

#include <math.h>
#include <stdlib.h>

struct toy {
    uint32_t choices, floats;
    size_t observation, action, mask;
    float weight;
};

static int open(const struct rtc_env_spec *spec, const void *config, size_t config_size,
                uint32_t rows_max, void **ret_self, size_t *ret_dist_size)
{
    (void)rows_max;
    if (config_size && memcmp(config, "toy", config_size < 3 ? config_size : 3) != 0)
        return rtc_env_fail(RTC_E_INVALID, "the toy does not understand its config");
    struct toy *toy = malloc(sizeof(*toy));
    *toy = (struct toy){.choices =
                            spec->kinds[0].action.n_choices ? spec->kinds[0].action.choices[0] : 0,
                        .floats = spec->kinds[0].action.n_floats,
                        .observation = spec->observation_size,
                        .action = spec->action_size,
                        .mask = spec->mask_size,
                        .weight = 1};
    *ret_self = toy;
    *ret_dist_size = sizeof(float);
    return 0;
}

static void close(void *self)
{
    free(self);
}

static int load(void *self, const void *weights, size_t size)
{
    struct toy *toy = self;
    if (size != sizeof(toy->weight))
        return rtc_env_fail(RTC_E_INVALID, "the toy has one weight, not %zu bytes", size);
    memcpy(&toy->weight, weights, size);
    return 0;
}

float toy_value(const void *observation, uint32_t size, float weight)
{
    float sum = 0, x;
    for (uint32_t i = 0; i < size / 4; i++) {
        memcpy(&x, (const char *)observation + 4 * (size_t)i, 4);
        sum += x * (float)(i + 1);
    }
    return sum * weight;
}

static int act(void *self, const struct rollout_batch *b)
{
    const struct toy *toy = self;
    for (uint32_t i = 0; i < b->n; i++) {
        const char *seen = (const char *)b->observations + i * toy->observation;
        b->values[i] = toy_value(seen, b->rows[i].size, toy->weight);
        if (b->values_only)
            continue;
        uint64_t *random = &b->random[b->rows[i].slot];
        char *action = (char *)b->actions + i * toy->action;
        int32_t choice = b->greedy ? 0 : (int32_t)(rtc_env_random(random) % (toy->choices + 1));
        float x = (float)choice / 10;
        if (toy->choices) {
            choice %= (int32_t)toy->choices;
            while (b->masks && !b->masks[i * toy->mask + (size_t)choice])
                choice = (choice + 1) % (int32_t)toy->choices;
            memcpy(action, &choice, sizeof(choice));
        } else {
            memcpy(action, &x, sizeof(x));
        }
        b->log_probs[i] = -logf((float)(toy->choices + 1));
        ((float *)b->dists)[i] = (float)choice;
    }
    return 0;
}

const struct rollout_policy toy_policy = {
    .name = "toy", .open = open, .close = close, .load = load, .act = act};
