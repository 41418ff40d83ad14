/* What is done element by element: activations with their biases, sums, moves. */
#include "actors/nn/functions.h"
#include "actors/nn/kernels.h"

static inline real activation(enum nn_act act, real x)
{
    switch (act) {
    case NN_TANH: return real_tanh(x);
    case NN_RELU: return x > 0 ? x : 0;
    case NN_SILU: return x * real_sigmoid(x);
    case NN_SIGMOID: return real_sigmoid(x);
    case NN_IDENTITY: return x;
    }
    return x;
}

#define CHUNK 2048u /* elements that are still in the nearest cache when they are needed again */

/* act is a constant wherever this is inlined, so each loop has only its own arithmetic. Rows are
 * taken together, since a loop over a single one is hardly longer than its beginning. */
static inline __attribute__((always_inline)) void activate_rows(const enum nn_act act, size_t rows,
                                                                size_t width,
                                                                const real *restrict bias,
                                                                real *restrict y,
                                                                real *restrict pre)
{
    size_t most = width < CHUNK ? CHUNK / width : 1;
    for (size_t i = 0, n; i < rows; i += n, y += n * width) {
        n = rows - i < most ? rows - i : most;
        for (size_t k = 0; bias && k < n; k++) {
            for (size_t j = 0; j < width; j++)
                y[k * width + j] += bias[j];
        }
        if (pre) {
            memcpy(pre, y, n * width * sizeof(real));
            pre += n * width;
        }
        for (size_t j = 0; act != NN_IDENTITY && j < n * width; j++)
            y[j] = activation(act, y[j]);
    }
}

void NN(activate)(enum nn_act act, size_t rows, size_t width, const void *bias, void *y, void *pre)
{
    switch (act) {
    case NN_IDENTITY: activate_rows(NN_IDENTITY, rows, width, bias, y, pre); break;
    case NN_TANH: activate_rows(NN_TANH, rows, width, bias, y, pre); break;
    case NN_RELU: activate_rows(NN_RELU, rows, width, bias, y, pre); break;
    case NN_SILU: activate_rows(NN_SILU, rows, width, bias, y, pre); break;
    case NN_SIGMOID: activate_rows(NN_SIGMOID, rows, width, bias, y, pre); break;
    }
}

static inline real slope(enum nn_act act, real y, real pre)
{
    switch (act) {
    case NN_TANH: return 1 - y * y;
    case NN_RELU: return y > 0 ? 1 : 0;
    case NN_SIGMOID: return y * (1 - y);
    case NN_SILU: {
        real s = real_sigmoid(pre);
        return s + pre * s * (1 - s);
    }
    case NN_IDENTITY: return 1;
    }
    return 1;
}

/* Columns are summed 64 at a time, from the first row to the last. */
static inline __attribute__((always_inline)) void activate_back_rows(
    const enum nn_act act, size_t rows, size_t width, const real *restrict y,
    const real *restrict pre, real *restrict dy, real *restrict dbias, bool add)
{
    for (size_t from = 0; from < width; from += 64) {
        size_t n = width - from < 64 ? width - from : 64;
        real sum[64] = {0};
        for (size_t i = 0; i < rows; i++) {
            const real *restrict row = y + i * width + from;
            const real *restrict before = act == NN_SILU ? pre + i * width + from : row;
            real *restrict d = dy + i * width + from;
            for (size_t j = 0; j < n; j++) {
                real x = act == NN_IDENTITY ? d[j] : d[j] * slope(act, row[j], before[j]);
                d[j] = x;
                sum[j] += x;
            }
        }
        for (size_t j = 0; dbias && j < n; j++)
            dbias[from + j] = add ? dbias[from + j] + sum[j] : sum[j];
    }
}

void NN(activate_back)(enum nn_act act, size_t rows, size_t width, const void *y, const void *pre,
                       void *dy, void *dbias, bool add)
{
    switch (act) {
    case NN_IDENTITY: activate_back_rows(NN_IDENTITY, rows, width, y, pre, dy, dbias, add); break;
    case NN_TANH: activate_back_rows(NN_TANH, rows, width, y, pre, dy, dbias, add); break;
    case NN_RELU: activate_back_rows(NN_RELU, rows, width, y, pre, dy, dbias, add); break;
    case NN_SILU: activate_back_rows(NN_SILU, rows, width, y, pre, dy, dbias, add); break;
    case NN_SIGMOID: activate_back_rows(NN_SIGMOID, rows, width, y, pre, dy, dbias, add); break;
    }
}

void NN(add)(void *to, const void *from, size_t n)
{
    real *restrict y = to;
    const real *restrict x = from;
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

void NN(copy_columns)(void *to, size_t to_stride, const void *from, size_t from_stride,
                      size_t width, size_t rows, bool add)
{
    for (size_t i = 0; i < rows; i++) {
        real *restrict y = (real *)to + i * to_stride;
        const real *restrict x = (const real *)from + i * from_stride;
        for (size_t j = 0; j < width; j++)
            y[j] = add ? y[j] + x[j] : x[j];
    }
}

void NN(upload)(void *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((real *)to)[i] = from[i];
}

void NN(download)(float *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)((const real *)from)[i];
}

void NN(fill)(void *to, double x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((real *)to)[i] = (real)x;
}

void NN(gather)(void *to, const float *from, size_t width, const uint32_t *index, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float *row = from + (index ? index[i] : i) * width;
        real *restrict y = (real *)to + i * width;
        for (size_t j = 0; j < width; j++)
            y[j] = row[j];
    }
}
