/* Diagonal Gaussians whose widths do not depend on what is seen. */
#include "actors/nn/functions.h"
#include "actors/nn/kernels.h"

#define HALF_LOG_2PI ((real)0.91893853320467274178)

void NN(gaussian)(size_t rows, size_t width, const void *mean, const void *log_sigma,
                  const void *actions, void *logp, void *entropy)
{
    const real *s = log_sigma;
    for (size_t i = 0; i < rows; i++) {
        const real *mu = (const real *)mean + i * width, *a = (const real *)actions + i * width;
        real p = 0, h = 0;
        for (size_t j = 0; j < width; j++) {
            real z = (a[j] - mu[j]) * real_exp(-s[j]);
            p -= (real)0.5 * z * z + s[j] + HALF_LOG_2PI;
            h += (real)0.5 + HALF_LOG_2PI + s[j];
        }
        ((real *)logp)[i] = p;
        ((real *)entropy)[i] = h;
    }
}

void NN(gaussian_back)(size_t rows, size_t width, const void *mean, const void *log_sigma,
                       const void *actions, const void *dlogp, const void *dentropy, void *dmean,
                       void *dlog_sigma)
{
    const real *s = log_sigma;
    real *ds = dlog_sigma;
    memset(ds, 0, width * sizeof(real));
    for (size_t i = 0; i < rows; i++) {
        real dp = ((const real *)dlogp)[i], dh = ((const real *)dentropy)[i];
        for (size_t j = 0; j < width; j++) {
            size_t at = i * width + j;
            real narrow = real_exp(-s[j]);
            real z = (((const real *)actions)[at] - ((const real *)mean)[at]) * narrow;
            ((real *)dmean)[at] = dp * z * narrow;
            ds[j] += dp * (z * z - 1) + dh;
        }
    }
}

void NN(gaussian_draw)(size_t rows, size_t width, const void *mean, const void *log_sigma,
                       const double *normals, float *actions, float *logp)
{
    const real *s = log_sigma;
    for (size_t i = 0; i < rows; i++) {
        real p = 0;
        for (size_t j = 0; j < width; j++) {
            real z = normals ? (real)normals[i * width + j] : 0;
            actions[i * width + j] =
                (float)(((const real *)mean)[i * width + j] + real_exp(s[j]) * z);
            p -= (real)0.5 * z * z + s[j] + HALF_LOG_2PI;
        }
        logp[i] = (float)p;
    }
}

void NN(gaussian_kl)(size_t rows, size_t width, const void *old_mean, const void *old_log_sigma,
                     const void *mean, const void *log_sigma, void *kl)
{
    const real *s0 = old_log_sigma, *s1 = log_sigma;
    for (size_t i = 0; i < rows; i++) {
        real sum = 0;
        for (size_t j = 0; j < width; j++) {
            real d = ((const real *)old_mean)[i * width + j] - ((const real *)mean)[i * width + j];
            real narrow = real_exp(-2 * s1[j]);
            sum += s1[j] - s0[j] + (real_exp(2 * s0[j]) + d * d) * narrow * (real)0.5 - (real)0.5;
        }
        ((real *)kl)[i] = sum;
    }
}

void NN(gaussian_kl_back)(size_t rows, size_t width, const void *old_mean,
                          const void *old_log_sigma, const void *mean, const void *log_sigma,
                          const void *dkl, void *dmean, void *dlog_sigma)
{
    const real *s0 = old_log_sigma, *s1 = log_sigma;
    for (size_t i = 0; i < rows; i++) {
        real dk = ((const real *)dkl)[i];
        for (size_t j = 0; j < width; j++) {
            size_t at = i * width + j;
            real d = ((const real *)mean)[at] - ((const real *)old_mean)[at];
            real narrow = real_exp(-2 * s1[j]);
            ((real *)dmean)[at] += dk * d * narrow;
            ((real *)dlog_sigma)[j] += dk * (1 - (real_exp(2 * s0[j]) + d * d) * narrow);
        }
    }
}
