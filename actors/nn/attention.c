/* Attention of each row over its own neighbours (Vaswani et al. 2017): few of them, so that plain
 * loops do. A neighbour that is not there has weight 0 and no gradient. */
#include "actors/nn/functions.h"
#include "actors/nn/kernels.h"

static real dot(const real *restrict a, const real *restrict b, size_t n)
{
    real sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Scores become weights. */
static void soften(real *scores, const real *present, size_t n)
{
    real most = 0, sum = 0;
    bool any = false;
    for (size_t j = 0; j < n; j++) {
        if (present[j] != 0 && (!any || scores[j] > most))
            most = scores[j];
        any |= present[j] != 0;
    }
    for (size_t j = 0; j < n; j++) {
        scores[j] = present[j] != 0 ? real_exp(scores[j] - most) : 0;
        sum += scores[j];
    }
    for (size_t j = 0; any && j < n; j++)
        scores[j] /= sum;
}

void NN(attend)(const struct nn_attention *s, const void *q, const void *k, const void *v,
                const void *present, void *weights, void *y)
{
    size_t head = s->width / s->heads, n = s->neighbours;
    real scale = 1 / real_sqrt((real)head);
    for (size_t i = 0; i < s->rows; i++) {
        for (size_t h = 0; h < s->heads; h++) {
            const real *ask = (const real *)q + i * s->width + h * head;
            size_t at = i * n * s->width + h * head;
            const real *keys = (const real *)k + at, *values = (const real *)v + at;
            real *w = (real *)weights + (i * s->heads + h) * n;
            real *restrict to = (real *)y + i * s->width + h * head;
            for (size_t j = 0; j < n; j++)
                w[j] = scale * dot(ask, keys + j * s->width, head);
            soften(w, (const real *)present + i * n, n);
            memset(to, 0, head * sizeof(real));
            for (size_t j = 0; j < n; j++) {
                const real *restrict value = values + j * s->width;
                for (size_t d = 0; d < head; d++)
                    to[d] += w[j] * value[d];
            }
        }
    }
}

void NN(attend_back)(const struct nn_attention *s, const void *q, const void *k, const void *v,
                     const void *weights, const void *dy, void *dq, void *dk, void *dv)
{
    size_t head = s->width / s->heads, n = s->neighbours;
    real scale = 1 / real_sqrt((real)head);
    for (size_t i = 0; i < s->rows; i++) {
        for (size_t h = 0; h < s->heads; h++) {
            size_t row = i * s->width + h * head, at = i * n * s->width + h * head;
            const real *ask = (const real *)q + row, *d = (const real *)dy + row;
            const real *w = (const real *)weights + (i * s->heads + h) * n;
            real *restrict dask = (real *)dq + row;
            real along = 0;
            for (size_t j = 0; j < n; j++)
                along += w[j] * dot(d, (const real *)v + at + j * s->width, head);
            memset(dask, 0, head * sizeof(real));
            for (size_t j = 0; j < n; j++) {
                size_t there = at + j * s->width;
                const real *restrict key = (const real *)k + there;
                real *restrict dkey = (real *)dk + there, *restrict dvalue = (real *)dv + there;
                real dscore = scale * w[j] * (dot(d, (const real *)v + there, head) - along);
                for (size_t e = 0; e < head; e++) {
                    dask[e] += dscore * key[e];
                    dkey[e] = dscore * ask[e];
                    dvalue[e] = w[j] * d[e];
                }
            }
        }
    }
}
