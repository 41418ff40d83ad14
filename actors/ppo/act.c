#include "actors/ppo/act.h"

#include <stdlib.h>

#include "actors/ppo/collect.h"

struct actor {
    struct ppo *ppo;
    uint32_t rows_max;
    uint64_t **random; /* of each row of a batch */
    float *none;       /* log-probabilities that nobody asked for */
};

size_t ppo_weights_size(struct ppo *ppo)
{
    return nn_count(ppo_net(ppo)) * sizeof(float);
}

void ppo_weights_get(struct ppo *ppo, float *to)
{
    struct nn *nn = ppo_net(ppo);
    nn_backend_of(nn)->download(to, nn_params(nn), nn_count(nn));
}

void ppo_weights_set(struct ppo *ppo, const float *from)
{
    struct nn *nn = ppo_net(ppo);
    nn_backend_of(nn)->upload(nn_params(nn), from, nn_count(nn));
}

static void close(void *self)
{
    struct actor *actor = self;
    ppo_destroy(&actor->ppo);
    free(actor->random);
    free(actor->none);
    free(actor);
}

static int open(const struct rtc_env_spec *spec, const void *config, size_t config_size,
                uint32_t rows_max, void **ret_self, size_t *ret_dist_size)
{
    struct ppo_config c;
    char why[512];
    if (config_size != sizeof(c))
        return rtc_env_fail(RTC_E_VERSION, "the driver's program is another than the actor's");
    memcpy(&c, config, sizeof(c));
    int rc = ppo_fit(spec, &c, why, sizeof(why));
    if (rc < 0)
        return rtc_env_fail(rc, "%s", why);
    c.batch_max = c.minibatch = rows_max; /* nothing is learnt here */
    c.kl_coef = 0;
    c.init = NN_LECUN; /* orthogonal ones take time, and others are loaded */
    struct actor *actor = calloc(1, sizeof(*actor));
    if (!actor)
        return rtc_env_fail(RTC_E_NOMEM, "out of memory");
    actor->rows_max = rows_max;
    actor->random = calloc(rows_max, sizeof(actor->random[0]));
    actor->none = calloc(rows_max, sizeof(actor->none[0]));
    rc = actor->random && actor->none
             ? ppo_create(&c, nn_cpu_f32(), &actor->ppo, why, sizeof(why))
             : rtc_env_fail(RTC_E_NOMEM, "out of memory for %u rows", rows_max);
    if (rc < 0) {
        if (rc != RTC_E_NOMEM)
            rtc_env_fail(rc, "%s", why);
        close(actor);
        return rc;
    }
    *ret_self = actor;
    *ret_dist_size = 0;
    return 0;
}

static int load(void *self, const void *weights, size_t size)
{
    struct actor *actor = self;
    size_t expected = ppo_weights_size(actor->ppo);
    if (size != expected)
        return rtc_env_fail(RTC_E_INVALID,
                            "these are %zu bytes of weights, and the network has %zu", size,
                            expected);
    ppo_weights_set(actor->ppo, weights);
    return 0;
}

static int act(void *self, const struct rollout_batch *b)
{
    struct actor *actor = self;
    if (b->values_only) {
        ppo_values(actor->ppo, b->n, b->observations, b->values);
        return 0;
    }
    for (uint32_t i = 0; i < b->n; i++)
        actor->random[i] = &b->random[b->rows[i].slot];
    ppo_act_from(actor->ppo, b->n, b->observations, b->masks, b->greedy, actor->random, b->actions,
                 b->log_probs, b->values);
    return 0;
}

const struct rollout_policy ppo_policy = {
    .name = "ppo", .open = open, .close = close, .load = load, .act = act};

__attribute__((constructor)) static void register_policy(void)
{
    rollout_policy_register(&ppo_policy);
}
