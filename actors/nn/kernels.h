/* The functions that one variant of the kernels consists of, for its table (table.c). */
#ifndef ACTORS_NN_KERNELS_H
#define ACTORS_NN_KERNELS_H

#include "actors/nn/real.h"

extern const struct nn_backend NN(backend);

void NN(upload)(void *to, const float *from, size_t n);
void NN(download)(float *to, const void *from, size_t n);
void NN(fill)(void *to, double x, size_t n);
void NN(gather)(void *to, const float *from, size_t width, const uint32_t *index, size_t n);
void NN(gemm)(const struct nn_gemm *g);
/* One side is up to four, and it was done; false: it is not for this. */
bool NN(gemm_narrow)(const struct nn_gemm *g);
void NN(activate)(enum nn_act act, size_t rows, size_t width, const void *bias, void *y, void *pre);
void NN(activate_back)(enum nn_act act, size_t rows, size_t width, const void *y, const void *pre,
                       void *dy, void *dbias, bool add);
void NN(add)(void *to, const void *from, size_t n);
void NN(copy_columns)(void *to, size_t to_stride, const void *from, size_t from_stride, size_t width,
                      size_t rows, bool add);

void NN(norm)(size_t rows, size_t width, double eps, const void *x, const void *gain,
             const void *bias, void *y, void *stats);
void NN(norm_back)(size_t rows, size_t width, const void *x, const void *gain, const void *stats,
                  const void *dy, void *dx, void *dgain, void *dbias, bool add);
void NN(lstm_cell)(size_t lanes, size_t width, void *gates, const void *c_before, void *c, void *h);
void NN(lstm_cell_back)(size_t lanes, size_t width, const void *gates, const void *c_before,
                       const void *c, const void *dh, void *dc, void *dgates);
void NN(keep_lanes)(size_t lanes, size_t width, void *to, const void *from, const void *keep);
void NN(attend)(const struct nn_attention *s, const void *q, const void *k, const void *v,
               const void *present, void *weights, void *y);
void NN(attend_back)(const struct nn_attention *s, const void *q, const void *k, const void *v,
                    const void *weights, const void *dy, void *dq, void *dk, void *dv);

void NN(categorical)(const struct nn_choices *choices, size_t rows, const void *logits,
                     const uint8_t *masks, const int32_t *actions, void *all, void *logp,
                     void *entropy);
void NN(categorical_back)(const struct nn_choices *choices, size_t rows, const void *all,
                          const int32_t *actions, const void *dlogp, const void *dentropy,
                          void *dlogits);
void NN(categorical_draw)(const struct nn_choices *choices, size_t rows, const void *logits,
                          const uint8_t *masks, const double *uniforms, int32_t *actions, float *logp);
void NN(categorical_kl)(const struct nn_choices *choices, size_t rows, const void *old,
                        const void *all, void *kl);
void NN(categorical_kl_back)(const struct nn_choices *choices, size_t rows, const void *old,
                             const void *all, const void *dkl, void *dlogits);
void NN(gaussian)(size_t rows, size_t width, const void *mean, const void *log_sigma,
                  const void *actions, void *logp, void *entropy);
void NN(gaussian_back)(size_t rows, size_t width, const void *mean, const void *log_sigma,
                       const void *actions, const void *dlogp, const void *dentropy, void *dmean,
                       void *dlog_sigma);
void NN(gaussian_draw)(size_t rows, size_t width, const void *mean, const void *log_sigma,
                       const double *normals, float *actions, float *logp);
void NN(gaussian_kl)(size_t rows, size_t width, const void *old_mean, const void *old_log_sigma,
                     const void *mean, const void *log_sigma, void *kl);
void NN(gaussian_kl_back)(size_t rows, size_t width, const void *old_mean,
                          const void *old_log_sigma, const void *mean, const void *log_sigma,
                          const void *dkl, void *dmean, void *dlog_sigma);

double NN(sum_squares)(const void *x, size_t n);
void NN(step)(const struct nn_step *s, size_t n, void *params, const void *grads, void *m, void *v);

#endif
