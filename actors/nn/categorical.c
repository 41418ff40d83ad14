/* Categorical distributions, one or several side by side, with masks. A value that is not allowed
 * has the logarithm -1e8: a probability of exactly 0, and numbers that can still be multiplied. */
#include "actors/nn/functions.h"
#include "actors/nn/kernels.h"

#define NEVER ((real)-1e8)

/* The normalised logarithms of one choice. */
static void normalise(const real *logits, const uint8_t *mask, uint32_t n, real *all)
{
    real most = NEVER * 2, sum = 0;
    bool any = false;
    for (uint32_t j = 0; mask && j < n; j++)
        any |= mask[j] != 0;
    for (uint32_t j = 0; j < n; j++) {
        all[j] = any && !mask[j] ? NEVER : logits[j];
        most = all[j] > most ? all[j] : most;
    }
    for (uint32_t j = 0; j < n; j++)
        sum += real_exp(all[j] - most);
    real total = most + real_log(sum);
    for (uint32_t j = 0; j < n; j++)
        all[j] = any && !mask[j] ? NEVER : all[j] - total;
}

static real entropy_of(const real *all, uint32_t n)
{
    real sum = 0;
    for (uint32_t j = 0; j < n; j++)
        sum -= real_exp(all[j]) * all[j];
    return sum;
}

void NN(categorical)(const struct nn_choices *choices, size_t rows, const void *logits,
                     const uint8_t *masks, const int32_t *actions, void *all, void *logp,
                     void *entropy)
{
    for (size_t i = 0; i < rows; i++) {
        size_t at = i * choices->width;
        real p = 0, h = 0;
        for (uint32_t c = 0; c < choices->n; at += choices->sizes[c], c++) {
            real *to = (real *)all + at;
            normalise((const real *)logits + at, masks ? masks + at : NULL, choices->sizes[c], to);
            if (actions)
                p += to[actions[i * choices->n + c]];
            h += entropy_of(to, choices->sizes[c]);
        }
        if (logp)
            ((real *)logp)[i] = p;
        if (entropy)
            ((real *)entropy)[i] = h;
    }
}

void NN(categorical_back)(const struct nn_choices *choices, size_t rows, const void *all,
                          const int32_t *actions, const void *dlogp, const void *dentropy,
                          void *dlogits)
{
    for (size_t i = 0; i < rows; i++) {
        real dp = ((const real *)dlogp)[i], dh = ((const real *)dentropy)[i];
        size_t at = i * choices->width;
        for (uint32_t c = 0; c < choices->n; at += choices->sizes[c], c++) {
            const real *l = (const real *)all + at;
            real *d = (real *)dlogits + at;
            real h = entropy_of(l, choices->sizes[c]);
            for (uint32_t j = 0; j < choices->sizes[c]; j++) {
                real p = real_exp(l[j]);
                d[j] = -dp * p - dh * p * (l[j] + h);
            }
            d[actions[i * choices->n + c]] += dp;
        }
    }
}

void NN(categorical_draw)(const struct nn_choices *choices, size_t rows, const void *logits,
                          const uint8_t *masks, const double *uniforms, int32_t *actions,
                          float *logp)
{
    real all[NN_LOGITS_MAX];
    for (size_t i = 0; i < rows; i++) {
        size_t at = i * choices->width;
        real p = 0;
        for (uint32_t c = 0; c < choices->n; at += choices->sizes[c], c++) {
            uint32_t n = choices->sizes[c], best = 0;
            normalise((const real *)logits + at, masks ? masks + at : NULL, n, all);
            for (uint32_t j = 1; j < n; j++)
                best = all[j] > all[best] ? j : best;
            /* What rounding leaves of 1 goes to the likeliest. */
            double left = uniforms ? uniforms[i * choices->n + c] : 2;
            for (uint32_t j = 0; j < n && left < 1; j++) {
                double chance = (double)real_exp(all[j]);
                if (left < chance) {
                    best = j;
                    break;
                }
                left -= chance;
            }
            actions[i * choices->n + c] = (int32_t)best;
            p += all[best];
        }
        logp[i] = (float)p;
    }
}

void NN(categorical_kl)(const struct nn_choices *choices, size_t rows, const void *old,
                        const void *all, void *kl)
{
    for (size_t i = 0; i < rows; i++) {
        const real *before = (const real *)old + i * choices->width;
        const real *now = (const real *)all + i * choices->width;
        real sum = 0;
        for (uint32_t j = 0; j < choices->width; j++)
            sum += real_exp(before[j]) * (before[j] - now[j]);
        ((real *)kl)[i] = sum;
    }
}

void NN(categorical_kl_back)(const struct nn_choices *choices, size_t rows, const void *old,
                             const void *all, const void *dkl, void *dlogits)
{
    for (size_t i = 0; i < rows; i++) {
        size_t at = i * choices->width;
        real d = ((const real *)dkl)[i];
        for (size_t j = at; j < at + choices->width; j++)
            ((real *)dlogits)[j] +=
                d * (real_exp(((const real *)all)[j]) - real_exp(((const real *)old)[j]));
    }
}
