#include "actors/ppo/batch.h"

#include <stdlib.h>

int train_batch_init(struct train_batch *b, const struct rtc_env_spec *spec, size_t cap)
{
    *b = (struct train_batch){.cap = cap,
                              .observation = spec->observation_size,
                              .mask = spec->mask_size,
                              .action = spec->action_size};
    float **const floats[] = {&b->log_probs, &b->values, &b->advantages, &b->returns};
    bool ok = true;
    for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++)
        ok &= (*floats[i] = calloc(cap, sizeof(float))) != NULL;
    ok &= (b->seen = calloc(cap, b->observation)) != NULL;
    ok &= (b->actions = calloc(cap, b->action)) != NULL;
    ok &= (b->active = calloc(cap, 1)) != NULL;
    if (b->mask)
        ok &= (b->masks = calloc(cap, b->mask)) != NULL;
    return ok ? 0 : RTC_E_NOMEM;
}

void train_batch_fini(struct train_batch *b)
{
    void *const all[] = {b->seen,    b->log_probs, b->values, b->advantages,
                         b->returns, b->masks,     b->active, b->actions};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
    *b = (struct train_batch){0};
}

int64_t train_batch_add(struct train_batch *b, const struct fragment *f,
                        const struct ppo_config *config)
{
    const struct fragment_shape *shape = &f->head->shape;
    size_t n = f->head->acted, at = b->n;
    int64_t active = 0;
    if (shape->observation_size != b->observation || shape->mask_size != b->mask ||
        shape->action_size != b->action)
        return rtc_env_fail(RTC_E_INVALID, "a fragment is of another environment");
    if (n > b->cap - b->n)
        return rtc_env_fail(RTC_E_INVALID, "a fragment has %zu rows; there is room for %zu", n,
                            b->cap - b->n);
    memcpy((char *)b->seen + at * b->observation, f->observations, n * b->observation);
    memcpy(b->actions + at * b->action, f->actions, n * b->action);
    if (b->mask)
        memcpy(b->masks + at * b->mask, f->masks, n * b->mask);
    memcpy(b->log_probs + at, f->log_probs, n * sizeof(float));
    memcpy(b->values + at, f->values, n * sizeof(float));
    struct ppo_steps steps = {.n = n,
                              .rewards = f->rewards,
                              .ends = f->ends,
                              .next = f->next,
                              .values = f->values,
                              .last = f->bootstraps};
    ppo_advantages(&steps, config->gamma, config->lambda, config->bootstrap, b->advantages + at,
                   b->returns + at);
    for (size_t i = 0; i < n; i++) {
        b->active[at + i] = f->table[i].flags & RTC_ENV_ACTIVE && !(f->ends[i] & RTC_ENV_LOST);
        active += b->active[at + i];
    }
    b->n += n;
    return active;
}

struct ppo_batch train_batch_view(const struct train_batch *b)
{
    return (struct ppo_batch){.n = b->n,
                              .seen = b->seen,
                              .masks = b->masks,
                              .actions = b->actions,
                              .logp = b->log_probs,
                              .values = b->values,
                              .advantages = b->advantages,
                              .returns = b->returns,
                              .active = b->active};
}
