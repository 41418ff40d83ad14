/* Optimisers and the norm that gradients are clipped by. */
#include "actors/nn/functions.h"
#include "actors/nn/kernels.h"

/* In double precision, in eight sums side by side. */
double NN(sum_squares)(const void *x, size_t n)
{
    const real *p = x;
    double sum[8] = {0}, rest = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (size_t j = 0; j < 8; j++)
            sum[j] += (double)p[i + j] * (double)p[i + j];
    }
    for (; i < n; i++)
        rest += (double)p[i] * (double)p[i];
    return (((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]))) +
           rest;
}

/* Kingma & Ba 2015; decoupled decay: Loshchilov & Hutter 2019. */
static void adam(const struct nn_step *s, size_t n, real *restrict p, const real *restrict grads,
                 real *restrict m, real *restrict v)
{
    real b1 = (real)s->beta1, b2 = (real)s->beta2, keep1 = 1 - b1, keep2 = 1 - b2;
    real scale = (real)s->scale, epsilon = (real)s->epsilon;
    real rate = (real)(s->rate / s->correct1), root = (real)(1 / sqrt(s->correct2));
    real decoupled = s->rule == NN_ADAMW ? (real)(1 - s->rate * s->decay) : 1;
    real decay = s->rule == NN_ADAM ? (real)s->decay : 0;
    for (size_t i = 0; i < n; i++) {
        real g = grads[i] * scale + decay * p[i];
        m[i] = b1 * m[i] + keep1 * g;
        v[i] = b2 * v[i] + keep2 * (g * g);
        p[i] = p[i] * decoupled - rate * m[i] / (real_sqrt(v[i]) * root + epsilon);
    }
}

static void descend(const struct nn_step *s, size_t n, real *restrict p, const real *restrict grads,
                    real *restrict m)
{
    real momentum = (real)s->beta1, rate = (real)s->rate, decay = (real)s->decay;
    real scale = (real)s->scale;
    for (size_t i = 0; i < n; i++) {
        m[i] = momentum * m[i] + (grads[i] * scale + decay * p[i]);
        p[i] -= rate * m[i];
    }
}

void NN(step)(const struct nn_step *s, size_t n, void *params, const void *grads, void *m, void *v)
{
    if (s->rule == NN_SGD)
        descend(s, n, params, grads, m);
    else
        adam(s, n, params, grads, m, v);
}
