#include "actors/ppo/arrays.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <rtc/error.h>

#include "actors/ppo/inner.h"

static void *moments_at(const struct ppo *ppo, size_t at)
{
    return (char *)ppo->learner.moments + at * ppo->backend->element;
}

int ppo_state_get(struct ppo *ppo, struct ppo_state *ret)
{
    size_t n = nn_count(ppo->nn);
    float *all = malloc(3 * n * sizeof(*all));
    if (!all)
        return RTC_E_NOMEM;
    *ret = (struct ppo_state){.n = n,
                              .parameters = all,
                              .first = all + n,
                              .second = all + 2 * n,
                              .steps = ppo->learner.steps,
                              .acting = ppo->act_state,
                              .shuffling = ppo->shuffle_state,
                              .kl_coef = ppo->kl_coef};
    ppo->backend->download(ret->parameters, nn_params(ppo->nn), n);
    ppo->backend->download(ret->first, moments_at(ppo, 0), n);
    ppo->backend->download(ret->second, moments_at(ppo, n), n);
    return 0;
}

void ppo_state_set(struct ppo *ppo, const struct ppo_state *state)
{
    size_t n = nn_count(ppo->nn);
    assert(state->n == n);
    ppo->backend->upload(nn_params(ppo->nn), state->parameters, n);
    ppo->backend->upload(moments_at(ppo, 0), state->first, n);
    ppo->backend->upload(moments_at(ppo, n), state->second, n);
    ppo->learner.steps = state->steps;
    ppo->act_state = state->acting;
    ppo->shuffle_state = state->shuffling;
    ppo->kl_coef = state->kl_coef;
}

void ppo_state_fini(struct ppo_state *state)
{
    free(state->parameters);
    memset(state, 0, sizeof(*state));
}
