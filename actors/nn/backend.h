/* What a network needs of the machine it runs on: a table of functions over buffers of the backend's
 * own memory. The CPU has one for float and one for double, of the same sources. Layers, losses and
 * optimisers (nn.h) know nothing else of the machine, so another kind of memory is another table.
 *
 * Elements are float or double (`element` bytes), matrices are rows one after the other, without gaps
 * unless a stride is given. Nothing here allocates but alloc(). Reductions have one order, whatever
 * the machine's load: the same calls on the same instruction set give the same bits. Functions of a
 * table may be called from any thread; buffers are the caller's. */
#ifndef ACTORS_NN_BACKEND_H
#define ACTORS_NN_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NN_CHOICES_MAX 16 /* parts of a multi-discrete action */
#define NN_LOGITS_MAX  4096 /* of one choice */

enum nn_act { NN_IDENTITY, NN_TANH, NN_RELU, NN_SILU, NN_SIGMOID };

/* c (+)= a b: m × n, summed over k. Element (i, p) of a is a[i * a_row + p * a_col]; so with b. The
 * columns of c lie together. */
struct nn_gemm {
    size_t m, n, k;
    const void *a, *b;
    size_t a_row, a_col, b_row, b_col;
    void *c;
    size_t c_row;
    bool add;
};

/* Independent choices: logits are n × width, the choices side by side, their sizes adding up to it. */
struct nn_choices {
    uint32_t n, width;
    uint32_t sizes[NN_CHOICES_MAX];
};

/* A step of Adam, AdamW or SGD on n parameters; gradients are multiplied with `scale` first. */
enum nn_rule { NN_ADAM, NN_ADAMW, NN_SGD };
struct nn_step {
    enum nn_rule rule;
    double rate, beta1, beta2, epsilon, decay; /* SGD: beta1 is its momentum */
    double scale;
    double correct1, correct2; /* 1 - beta^t */
};

/* width: of all heads together. */
struct nn_attention {
    size_t rows, neighbours, heads, width;
};

struct nn_backend {
    const char *name;
    size_t element;
    /* Zeroed, aligned to 64 bytes; NULL: no memory. */
    void *(*alloc)(size_t n);
    void (*free)(void *data);
    void (*upload)(void *to, const float *from, size_t n); /* from and to the caller's memory */
    void (*download)(float *to, const void *from, size_t n);
    void (*write)(void *to, const void *from, size_t n); /* the same without a conversion: elements */
    void (*read)(void *to, const void *from, size_t n);
    void (*fill)(void *to, double x, size_t n);
    /* to[i] = from[index[i]]: n rows of `width` floats of the caller's memory. index NULL: all. */
    void (*gather)(void *to, const float *from, size_t width, const uint32_t *index, size_t n);

    void (*gemm)(const struct nn_gemm *g);
    /* y = act(y + bias). pre: where y + bias is kept as well, for SiLU; else NULL. bias may be NULL. */
    void (*activate)(enum nn_act act, size_t rows, size_t width, const void *bias, void *y, void *pre);
    /* dy becomes the gradient before the activation; its sum over rows goes to dbias (or, add, onto
     * it), unless that is NULL. */
    void (*activate_back)(enum nn_act act, size_t rows, size_t width, const void *y, const void *pre,
                          void *dy, void *dbias, bool add);
    void (*add)(void *to, const void *from, size_t n);
    /* to (+)= from, blocks of `width` columns with strides. */
    void (*copy_columns)(void *to, size_t to_stride, const void *from, size_t from_stride, size_t width,
                         size_t rows, bool add);

    /* y = (x - mean) / sqrt(var + eps) * gain + bias, over each row. stats: mean and 1 / sqrt of each
     * row. */
    void (*norm)(size_t rows, size_t width, double eps, const void *x, const void *gain,
                 const void *bias, void *y, void *stats);
    /* dx is overwritten. dgain and dbias (or, add, onto them); NULL: not wanted. */
    void (*norm_back)(size_t rows, size_t width, const void *x, const void *gain, const void *stats,
                      const void *dy, void *dx, void *dgain, void *dbias, bool add);
    /* One step of lanes. gates: 4 × width each (input, forget, cell, output), summed up; they become
     * their activations. c and h are the state after it. */
    void (*lstm_cell)(size_t lanes, size_t width, void *gates, const void *c_before, void *c, void *h);
    /* dh: of h. dc: of c, becomes that of c_before. */
    void (*lstm_cell_back)(size_t lanes, size_t width, const void *gates, const void *c_before,
                           const void *c, const void *dh, void *dc, void *dgates);
    /* to = from in the lanes where keep is 1; else 0. The two may be one. */
    void (*keep_lanes)(size_t lanes, size_t width, void *to, const void *from, const void *keep);

    /* Each row asks its neighbours, in each head: softmax(q k / sqrt(width of a head)) v. q: rows ×
     * width; k, v: rows × neighbours × width; present: rows × neighbours, 1 or 0. weights, rows ×
     * heads × neighbours, are kept for the way back. Nobody there: the result is 0. */
    void (*attend)(const struct nn_attention *s, const void *q, const void *k, const void *v,
                   const void *present, void *weights, void *y);
    /* dq, dk and dv are overwritten. */
    void (*attend_back)(const struct nn_attention *s, const void *q, const void *k, const void *v,
                        const void *weights, const void *dy, void *dq, void *dk, void *dv);

    /* Categorical distributions. masks: bytes, `width` a row, 1: allowed; NULL: all are. A choice of
     * which nothing is allowed counts as one without a mask. actions: int32, n a row. all: rows ×
     * width, the normalised logarithms, needed on the way back. logp and entropy are one a row, of all
     * choices together; each may be NULL, and actions where logp is. */
    void (*categorical)(const struct nn_choices *choices, size_t rows, const void *logits,
                        const uint8_t *masks, const int32_t *actions, void *all, void *logp,
                        void *entropy);
    /* dlogits = that of sum over rows of dlogp × logp + dentropy × entropy. */
    void (*categorical_back)(const struct nn_choices *choices, size_t rows, const void *all,
                             const int32_t *actions, const void *dlogp, const void *dentropy,
                             void *dlogits);
    /* Draws actions with one of `uniforms` for each choice, and gives their log-probabilities.
     * uniforms NULL: the likeliest. */
    void (*categorical_draw)(const struct nn_choices *choices, size_t rows, const void *logits,
                             const uint8_t *masks, const double *uniforms, int32_t *actions,
                             float *logp);
    /* Kullback-Leibler divergence of `all` from old ones, both normalised logarithms. */
    void (*categorical_kl)(const struct nn_choices *choices, size_t rows, const void *old,
                           const void *all, void *kl);
    /* dlogits += dkl × d kl / d logits. */
    void (*categorical_kl_back)(const struct nn_choices *choices, size_t rows, const void *old,
                                const void *all, const void *dkl, void *dlogits);

    /* Diagonal Gaussians: mean is rows × width, log_sigma `width`, the same for all rows. */
    void (*gaussian)(size_t rows, size_t width, const void *mean, const void *log_sigma,
                     const void *actions, void *logp, void *entropy);
    void (*gaussian_back)(size_t rows, size_t width, const void *mean, const void *log_sigma,
                          const void *actions, const void *dlogp, const void *dentropy, void *dmean,
                          void *dlog_sigma);
    void (*gaussian_draw)(size_t rows, size_t width, const void *mean, const void *log_sigma,
                          const double *normals, float *actions, float *logp);
    void (*gaussian_kl)(size_t rows, size_t width, const void *old_mean, const void *old_log_sigma,
                        const void *mean, const void *log_sigma, void *kl);
    /* Onto dmean and dlog_sigma. */
    void (*gaussian_kl_back)(size_t rows, size_t width, const void *old_mean,
                             const void *old_log_sigma, const void *mean, const void *log_sigma,
                             const void *dkl, void *dmean, void *dlog_sigma);

    double (*sum_squares)(const void *x, size_t n);
    void (*step)(const struct nn_step *s, size_t n, void *params, const void *grads, void *m, void *v);
};

/* The fastest that this machine can run. */
const struct nn_backend *nn_cpu_f32(void);
const struct nn_backend *nn_cpu_f64(void);
/* For tests: those it can run, slowest first; NULL behind the last. */
const struct nn_backend *nn_cpu_at(uint32_t i, bool f64);

#endif
