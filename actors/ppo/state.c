/* The state of a learner as bytes: a head, the parameters, the moments. For the same kind of
 * machine. */
#include <stdio.h>
#include <string.h>

#include <rtc/error.h>

#include "actors/ppo/inner.h"

#define MAGIC UINT64_C(0x00314f5050435452) /* "RTCPPO1" */

struct head {
    uint64_t magic, shape, element, count; /* shape: a digest of the layers' widths */
    uint64_t steps, act_state, shuffle_state;
    double kl_coef;
};

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static uint64_t shape_of(const struct ppo *ppo)
{
    const struct ppo_config *c = &ppo->config;
    uint64_t h = mix(mix(mix(1, c->n_floats), c->n_numbers), c->choices.n);
    for (uint32_t i = 0; i < c->choices.n; i++)
        h = mix(h, c->choices.sizes[i]);
    h = mix(mix(mix(h, c->shared), (uint64_t)c->activation), c->n_hidden);
    for (uint32_t i = 0; i < c->n_hidden; i++)
        h = mix(h, c->hidden[i]);
    if (c->attention_dim)
        h = mix(mix(mix(h, c->attention_dim), c->attention_heads), c->element);
    return h;
}

size_t ppo_state_size(const struct ppo *ppo)
{
    return sizeof(struct head) + 3 * nn_count(ppo->nn) * ppo->backend->element;
}

void ppo_save(struct ppo *ppo, void *to)
{
    size_t n = nn_count(ppo->nn);
    struct head head = {.magic = MAGIC,
                        .shape = shape_of(ppo),
                        .element = ppo->backend->element,
                        .count = n,
                        .steps = ppo->learner.steps,
                        .act_state = ppo->act_state,
                        .shuffle_state = ppo->shuffle_state,
                        .kl_coef = ppo->kl_coef};
    char *body = (char *)to + sizeof(head);
    memcpy(to, &head, sizeof(head));
    ppo->backend->read(body, nn_params(ppo->nn), n);
    ppo->backend->read(body + n * ppo->backend->element, ppo->learner.moments, 2 * n);
}

int ppo_load(struct ppo *ppo, const void *from, size_t size, char *why, size_t why_size)
{
    size_t n = nn_count(ppo->nn);
    struct head head = {0};
    if (size >= sizeof(head))
        memcpy(&head, from, sizeof(head));
    if (head.magic != MAGIC) {
        snprintf(why, why_size, "PPO: this is no state of a learner");
        return RTC_E_INVALID;
    }
    if (head.shape != shape_of(ppo) || head.element != ppo->backend->element || head.count != n) {
        snprintf(why, why_size,
                 "PPO: this is the state of other networks: %llu parameters of %llu bytes, where "
                 "here are %zu of %zu, or other layers",
                 (unsigned long long)head.count, (unsigned long long)head.element, n,
                 ppo->backend->element);
        return RTC_E_INVALID;
    }
    if (size != ppo_state_size(ppo)) {
        snprintf(why, why_size, "PPO: a state of %zu bytes has %zu", ppo_state_size(ppo), size);
        return RTC_E_INVALID;
    }
    const char *body = (const char *)from + sizeof(head);
    ppo->backend->write(nn_params(ppo->nn), body, n);
    ppo->backend->write(ppo->learner.moments, body + n * ppo->backend->element, 2 * n);
    ppo->learner.steps = head.steps;
    ppo->act_state = head.act_state;
    ppo->shuffle_state = head.shuffle_state;
    ppo->kl_coef = head.kl_coef;
    return 0;
}
