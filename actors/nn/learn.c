/* Steps along the gradients. */
#include <math.h>
#include <string.h>

#include <rtc/error.h>

#include "actors/nn/inner.h"

int nn_learner_init(struct nn_learner *learner, struct nn *nn, enum nn_rule rule)
{
    *learner = (struct nn_learner){.nn = nn,
                                   .rule = rule,
                                   .beta1 = rule == NN_SGD ? 0 : 0.9,
                                   .beta2 = 0.999,
                                   .epsilon = 1e-8,
                                   .decay = rule == NN_ADAMW ? 0.01 : 0};
    learner->moments = nn->backend->alloc(2 * nn->n_params + 1);
    return learner->moments ? 0 : RTC_E_NOMEM;
}

void nn_learner_fini(struct nn_learner *learner)
{
    if (learner->nn)
        learner->nn->backend->free(learner->moments);
    memset(learner, 0, sizeof(*learner));
}

/* Of the parameters from node *i on that are to be moved; *i is then the node behind them. */
static size_t next_range(const struct nn *nn, uint64_t nodes, int *i, size_t *ret_at)
{
    size_t n = 0;
    while (*i < nn->n_nodes &&
           (!(nodes >> *i & 1) || nn->nodes[*i].frozen || !nn->nodes[*i].n_params))
        (*i)++;
    if (*i < nn->n_nodes)
        *ret_at = nn->nodes[*i].params;
    for (; *i < nn->n_nodes; (*i)++) {
        const struct node *node = &nn->nodes[*i];
        if (node->n_params && (node->frozen || !(nodes >> *i & 1)))
            break;
        n += node->n_params;
    }
    return n;
}

void nn_squares(const struct nn *nn, uint64_t nodes, double *squares)
{
    for (int i = 0; i < nn->n_nodes; i++) {
        const struct node *node = &nn->nodes[i];
        squares[i] =
            nodes >> i & 1 && node->n_params
                ? nn->backend->sum_squares(nn_at(nn, nn->grads, node->params), node->n_params)
                : 0;
    }
}

double nn_learner_move(struct nn_learner *learner, uint64_t nodes, const double *squares,
                       double rate, double norm_max)
{
    struct nn *nn = learner->nn;
    double sum = 0;
    for (int i = 0; i < nn->n_nodes; i++)
        sum += squares[i];
    double norm = sqrt(sum);
    if (!isfinite(norm))
        return norm;
    double t = (double)++learner->steps, scale = norm_max > 0 ? norm_max / (norm + 1e-6) : 1;
    struct nn_step step = {.rule = learner->rule,
                           .rate = rate,
                           .beta1 = learner->beta1,
                           .beta2 = learner->beta2,
                           .epsilon = learner->epsilon,
                           .decay = learner->decay,
                           .scale = scale < 1 ? scale : 1,
                           .correct1 = 1 - pow(learner->beta1, t),
                           .correct2 = 1 - pow(learner->beta2, t)};
    size_t at = 0, n;
    for (int i = 0; (n = next_range(nn, nodes, &i, &at)) > 0;)
        nn->backend->step(&step, n, nn_at(nn, nn->params, at), nn_at(nn, nn->grads, at),
                          nn_at(nn, learner->moments, at),
                          nn_at(nn, learner->moments, nn->n_params + at));
    return norm;
}

double nn_learner_step(struct nn_learner *learner, double rate, double norm_max)
{
    double squares[NN_NODES_MAX];
    nn_squares(learner->nn, NN_ALL, squares);
    return nn_learner_move(learner, NN_ALL, squares, rate, norm_max);
}

double nn_schedule_at(const struct nn_schedule *s, double progress)
{
    double p = progress < 0 ? 0 : progress > 1 ? 1 : progress;
    if (p < s->warmup)
        return s->from * p / s->warmup;
    if (s->kind == NN_CONSTANT || s->warmup >= 1)
        return s->from;
    p = (p - s->warmup) / (1 - s->warmup);
    if (s->kind == NN_COSINE_TO)
        p = (1 - cos(M_PI * p)) / 2;
    return s->from + (s->to - s->from) * p;
}
