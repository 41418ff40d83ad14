/* The networks of a learner, and what it does with rows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rtc/error.h>

#include "actors/nn/random.h"
#include "actors/ppo/inner.h"

#define ACT_ROWS 256u /* of a pass that learns nothing, at most */

enum stream { STREAM_WEIGHTS, STREAM_ACTIONS, STREAM_ORDER };

void ppo_defaults(enum ppo_semantics semantics, struct ppo_config *ret_config)
{
    static const struct ppo_config cleanrl = {
        .n_hidden = 2,
        .hidden = {64, 64},
        .activation = NN_TANH,
        .init = NN_ORTHOGONAL,
        .gamma = 0.99,
        .lambda = 0.95,
        .advantages = PPO_IN_MINIBATCH,
        .clip = 0.2,
        .value_loss = PPO_VALUE_NEAR_OLD,
        .value_coef = 0.5,
        .entropy = {.kind = NN_CONSTANT, .from = 0.01},
        .rate = {.kind = NN_LINEAR_TO, .from = 2.5e-4},
        .norm_max = 0.5,
        .epsilon = 1e-5,
        .epochs = 4,
        .minibatch = 128,
        .seed = 1,
    };
    static const struct ppo_config rllib = {
        .n_hidden = 2,
        .hidden = {256, 256},
        .activation = NN_TANH,
        .init = NN_ORTHOGONAL,
        .gamma = 0.99,
        .lambda = 1,
        .bootstrap = true,
        .advantages = PPO_IN_BATCH,
        .clip = 0.3,
        .value_loss = PPO_VALUE_BOUNDED,
        .value_coef = 1,
        .value_clip = 10,
        .entropy = {.kind = NN_CONSTANT},
        .rate = {.kind = NN_CONSTANT, .from = 5e-5},
        .kl_coef = 0.2,
        .kl_target = 0.01,
        .epsilon = 1e-8,
        .epochs = 30,
        .minibatch = 128,
        .drop_rest = true,
        .seed = 1,
    };
    *ret_config = semantics == PPO_RLLIB ? rllib : cleanrl;
}

static int refuse(char *why, size_t size, const char *sentence)
{
    snprintf(why, size, "%s", sentence);
    return RTC_E_INVALID;
}

static int check(const struct ppo_config *c, char *why, size_t size)
{
    uint64_t width = 0;
    if (c->n_floats == 0 || c->n_floats > 1u << 20)
        return refuse(why, size, "PPO: an observation has 1 to 1,048,576 numbers");
    if (c->attention_dim && (c->elements < 2 || (uint64_t)c->elements * c->element != c->n_floats))
        return refuse(why, size,
                      "PPO: attention is over rows of an observation, its own and at least one "
                      "more; this one has no rows");
    if (c->attention_dim > 4096 ||
        (c->attention_dim && (!c->attention_heads || c->attention_dim % c->attention_heads)))
        return refuse(why, size,
                      "PPO: the width of attention is at most 4,096, and a multiple of its heads");
    if (!c->choices.n == !c->n_numbers)
        return refuse(why, size, "PPO: an action is choices or numbers, not both and not nothing");
    if (c->choices.n > NN_CHOICES_MAX || c->n_numbers > NN_LOGITS_MAX)
        return refuse(why, size, "PPO: an action is at most 16 choices, or 4,096 numbers");
    for (uint32_t i = 0; i < c->choices.n; i++) {
        if (c->choices.sizes[i] == 0 || c->choices.sizes[i] > NN_LOGITS_MAX)
            return refuse(why, size, "PPO: a choice is between 1 and 4,096 values");
        width += c->choices.sizes[i];
    }
    if (width != c->choices.width && c->choices.n)
        return refuse(why, size, "PPO: the sizes of the choices do not add up to their width");
    if (c->n_hidden > PPO_HIDDEN_MAX)
        return refuse(why, size, "PPO: there are at most 8 hidden layers");
    for (uint32_t i = 0; i < c->n_hidden; i++) {
        if (c->hidden[i] == 0 || c->hidden[i] > 65536)
            return refuse(why, size, "PPO: a hidden layer has 1 to 65,536 units");
    }
    if (!(c->gamma >= 0 && c->gamma <= 1 && c->lambda >= 0 && c->lambda <= 1))
        return refuse(why, size, "PPO: gamma and lambda are between 0 and 1");
    if (!(c->clip > 0) || !(c->rate.from > 0) || !(c->epsilon > 0) || !(c->norm_max >= 0) ||
        !(c->value_coef >= 0) || !(c->kl_coef >= 0) || !(c->target_kl >= 0))
        return refuse(why, size,
                      "PPO: clip, rate and epsilon are above 0; norm_max, value_coef, "
                      "kl_coef and target_kl are not below it");
    if (c->value_loss == PPO_VALUE_BOUNDED && !(c->value_clip > 0))
        return refuse(why, size, "PPO: value_clip is above 0");
    if (c->kl_coef > 0 && !(c->kl_target > 0))
        return refuse(why, size, "PPO: a penalty (kl_coef) needs a kl_target above 0");
    if (c->epochs == 0 || c->minibatch == 0 || c->batch_max == 0 || c->batch_max > 1u << 28)
        return refuse(
            why, size,
            "PPO: epochs, minibatch and batch_max are at least 1; batch_max at most 2^28");
    return 0;
}

static int tower(struct ppo *ppo)
{
    const struct ppo_config *c = &ppo->config;
    int x = ppo_see_layers(ppo);
    for (uint32_t i = 0; i < c->n_hidden; i++)
        x = nn_linear(ppo->nn, x, c->hidden[i], c->activation, c->init, sqrt(2));
    return x;
}

static int build(struct ppo *ppo)
{
    const struct ppo_config *c = &ppo->config;
    int rc = nn_create(ppo->backend, &ppo->nn);
    if (rc < 0)
        return rc;
    if ((rc = ppo_see_inputs(ppo)) < 0)
        return rc;
    int trunk = tower(ppo);
    ppo->policy = nn_linear(ppo->nn, trunk, ppo->width, NN_IDENTITY, c->init, 0.01);
    ppo->log_sigma = c->n_numbers ? nn_parameter(ppo->nn, c->n_numbers, c->log_sigma) : -1;
    ppo->value = nn_linear(ppo->nn, c->shared ? trunk : tower(ppo), 1, NN_IDENTITY, c->init, 1);
    if ((rc = nn_plan(ppo->nn, ppo->rows)) < 0 ||
        (rc = nn_init(ppo->nn, nn_stream(c->seed, STREAM_WEIGHTS))) < 0 ||
        (rc = nn_learner_init(&ppo->learner, ppo->nn, NN_ADAM)) < 0)
        return rc;
    ppo->learner.epsilon = c->epsilon;
    return 0;
}

static int allocate(struct ppo *ppo)
{
    const struct nn_backend *b = ppo->backend;
    size_t rows = ppo->rows, wide = rows * ppo->width, batch = ppo->config.batch_max;
    void **const buffers[] = {&ppo->all, &ppo->old,   &ppo->numbers,  &ppo->logp, &ppo->entropy,
                              &ppo->kl,  &ppo->dlogp, &ppo->dentropy, &ppo->dkl};
    bool ok = true;
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        ok &= (*buffers[i] = b->alloc(i < 3 ? wide : rows)) != NULL;
    if (ppo->config.kl_coef > 0) {
        ok &= (ppo->old_all = b->alloc(batch * ppo->width)) != NULL;
        ok &= (ppo->old_log_sigma = b->alloc(ppo->width)) != NULL;
    }
    ppo->chosen = calloc(rows * (ppo->config.choices.n + 1), sizeof(*ppo->chosen));
    ppo->masks = calloc(wide + 1, 1);
    ppo->draws = calloc(wide + 1, sizeof(*ppo->draws));
    ppo->row_floats = calloc(rows, sizeof(*ppo->row_floats));
    ppo->advantages = calloc(batch, sizeof(*ppo->advantages));
    ppo->order = calloc(batch, sizeof(*ppo->order));
    return ok && ppo->chosen && ppo->masks && ppo->draws && ppo->row_floats && ppo->advantages &&
                   ppo->order
               ? 0
               : RTC_E_NOMEM;
}

int ppo_create(const struct ppo_config *config, const struct nn_backend *backend,
               struct ppo **ret_ppo, char *why, size_t why_size)
{
    int rc = check(config, why, why_size);
    if (rc < 0)
        return rc;
    struct ppo *ppo = calloc(1, sizeof(*ppo));
    if (ppo) {
        ppo->config = *config;
        ppo->backend = backend;
        ppo->width = config->choices.n ? config->choices.width : config->n_numbers;
        ppo->rows = config->minibatch > config->batch_max ? config->batch_max : config->minibatch;
        ppo->rows = ppo->rows > ACT_ROWS ? ppo->rows : ACT_ROWS;
        ppo->kl_coef = config->kl_coef;
        ppo->act_state = nn_stream(config->seed, STREAM_ACTIONS);
        ppo->shuffle_state = nn_stream(config->seed, STREAM_ORDER);
    }
    rc = !ppo ? RTC_E_NOMEM : build(ppo);
    if (rc >= 0)
        rc = allocate(ppo);
    if (rc < 0) {
        snprintf(why, why_size, "PPO: out of memory for a batch of %u rows", config->batch_max);
        ppo_destroy(&ppo);
        return rc;
    }
    *ret_ppo = ppo;
    return 0;
}

void ppo_destroy(struct ppo **ppo)
{
    if (!ppo || !*ppo)
        return;
    struct ppo *p = *ppo;
    void *const buffers[] = {p->all,   p->old,      p->numbers, p->logp,    p->entropy,      p->kl,
                             p->dlogp, p->dentropy, p->dkl,     p->old_all, p->old_log_sigma};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        p->backend->free(buffers[i]);
    nn_learner_fini(&p->learner);
    nn_destroy(&p->nn);
    free(p->chosen);
    free(p->masks);
    free(p->draws);
    free(p->row_floats);
    free(p->parts);
    free(p->advantages);
    free(p->order);
    free(p);
    *ppo = NULL;
}

struct nn *ppo_net(struct ppo *ppo)
{
    return ppo->nn;
}

struct nn_learner *ppo_learner(struct ppo *ppo)
{
    return &ppo->learner;
}

static void act_some(struct ppo *ppo, size_t n, const float *seen, const uint8_t *masks,
                     const double *draws, void *actions, float *logp)
{
    const struct ppo_config *c = &ppo->config;
    ppo_see(ppo, seen, NULL, n);
    nn_forward(ppo->nn, n, nn_needs(ppo->nn, ppo->policy) | nn_needs(ppo->nn, ppo->value));
    if (c->choices.n)
        ppo->backend->categorical_draw(&c->choices, n, nn_out(ppo->nn, ppo->policy), masks, draws,
                                       actions, logp);
    else
        ppo->backend->gaussian_draw(n, c->n_numbers, nn_out(ppo->nn, ppo->policy),
                                    nn_out(ppo->nn, ppo->log_sigma), draws, actions, logp);
}

/* One for each row and choice or number, from the state that the row has. */
static void draw(struct ppo *ppo, size_t n, uint64_t *const *random)
{
    bool chooses = ppo->config.choices.n > 0;
    size_t per = chooses ? ppo->config.choices.n : ppo->config.n_numbers;
    for (size_t i = 0; i < n; i++) {
        uint64_t *state = random ? random[i] : &ppo->act_state;
        for (size_t k = 0; k < per; k++)
            ppo->draws[i * per + k] = chooses ? nn_uniform(state) : nn_normal(state);
    }
}

void ppo_act_from(struct ppo *ppo, size_t n, const float *seen, const uint8_t *masks,
                  bool likeliest, uint64_t *const *random, void *actions, float *logp,
                  float *values)
{
    const struct ppo_config *c = &ppo->config;
    size_t action = 4 * (size_t)(c->choices.n ? c->choices.n : c->n_numbers);
    for (size_t i = 0, k; i < n; i += k) {
        k = n - i < ppo->rows ? n - i : ppo->rows;
        if (!likeliest)
            draw(ppo, k, random ? random + i : NULL);
        act_some(ppo, k, seen + i * c->n_floats, masks ? masks + i * ppo->width : NULL,
                 likeliest ? NULL : ppo->draws, (char *)actions + i * action,
                 logp ? logp + i : ppo->row_floats);
        if (values)
            ppo->backend->download(values + i, nn_out(ppo->nn, ppo->value), k);
    }
}

void ppo_act(struct ppo *ppo, size_t n, const float *seen, const uint8_t *masks, bool likeliest,
             void *actions, float *logp, float *values)
{
    ppo_act_from(ppo, n, seen, masks, likeliest, NULL, actions, logp, values);
}

void ppo_values(struct ppo *ppo, size_t n, const float *seen, float *values)
{
    size_t width = ppo->config.n_floats;
    for (size_t i = 0, k; i < n; i += k) {
        k = n - i < ppo->rows ? n - i : ppo->rows;
        ppo_see(ppo, seen + i * width, NULL, k);
        nn_forward(ppo->nn, k, nn_needs(ppo->nn, ppo->value));
        ppo->backend->download(values + i, nn_out(ppo->nn, ppo->value), k);
    }
}
