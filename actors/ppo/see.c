/* From observations to what the hidden layers begin with: the numbers as they are, or attention of
 * who sees over those it sees. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rtc/error.h>

#include "actors/ppo/inner.h"

int ppo_see_inputs(struct ppo *ppo)
{
    const struct ppo_config *c = &ppo->config;
    if (!c->attention_dim) {
        ppo->seen = nn_input(ppo->nn, c->n_floats, 1);
        return 0;
    }
    ppo->seen = nn_input(ppo->nn, c->element, 1);
    ppo->others = nn_input(ppo->nn, c->element, c->elements - 1);
    ppo->present = nn_input(ppo->nn, 1, c->elements - 1);
    ppo->parts = calloc(ppo->rows, (c->n_floats + c->elements) * sizeof(float));
    return ppo->parts ? 0 : RTC_E_NOMEM;
}

/* Embeddings of the own row and of the others, one attention from the one to the others (Leurent &
 * Mercat 2019), and both side by side: no order of the others makes a difference. */
int ppo_see_layers(struct ppo *ppo)
{
    const struct ppo_config *c = &ppo->config;
    struct nn *nn = ppo->nn;
    uint32_t d = c->attention_dim;
    if (!d)
        return ppo->seen;
    int own = nn_linear(nn, ppo->seen, d, c->activation, c->init, sqrt(2));
    int others = nn_linear(nn, ppo->others, d, c->activation, c->init, sqrt(2));
    int query = nn_linear(nn, own, d, NN_IDENTITY, c->init, 1);
    int keys = nn_linear(nn, others, d, NN_IDENTITY, c->init, 1);
    int values = nn_linear(nn, others, d, NN_IDENTITY, c->init, 1);
    return nn_concat(nn, own,
                     nn_attention(nn, query, keys, values, ppo->present, c->attention_heads));
}

/* One copy: own rows, rows of others, which of them are there. */
static void split(struct ppo *ppo, const float *seen, const uint32_t *index, size_t n)
{
    const struct ppo_config *c = &ppo->config;
    size_t others = (size_t)(c->elements - 1) * c->element;
    float *own = ppo->parts, *rest = own + n * c->element, *there = rest + n * others;
    for (size_t i = 0; i < n; i++) {
        const float *row = seen + (index ? index[i] : i) * (size_t)c->n_floats;
        memcpy(own + i * c->element, row, c->element * sizeof(float));
        memcpy(rest + i * others, row + c->element, others * sizeof(float));
        for (uint32_t k = 1; k < c->elements; k++)
            *there++ = row[k * (size_t)c->element] != 0 ? 1.0f : 0.0f;
    }
}

void ppo_see(struct ppo *ppo, const float *seen, const uint32_t *index, size_t n)
{
    const struct ppo_config *c = &ppo->config;
    const struct nn_backend *b = ppo->backend;
    if (!c->attention_dim) {
        b->gather(nn_out(ppo->nn, ppo->seen), seen, c->n_floats, index, n);
        return;
    }
    size_t others = (size_t)(c->elements - 1) * c->element;
    const float *own = ppo->parts, *rest = own + n * c->element;
    split(ppo, seen, index, n);
    b->upload(nn_out(ppo->nn, ppo->seen), own, n * c->element);
    b->upload(nn_out(ppo->nn, ppo->others), rest, n * others);
    b->upload(nn_out(ppo->nn, ppo->present), rest + n * others, n * (c->elements - 1));
}
