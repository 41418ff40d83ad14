/* The table of one variant. */
#include <stdlib.h>

#include "actors/nn/kernels.h"

static void *allocate(size_t n)
{
    size_t bytes = (n * sizeof(real) + 63) / 64 * 64 + 64;
    if (n > (SIZE_MAX - 128) / sizeof(real))
        return NULL;
    void *data = aligned_alloc(64, bytes);
    return data ? memset(data, 0, bytes) : NULL;
}

static void release(void *data)
{
    free(data);
}

static void copy(void *to, const void *from, size_t n)
{
    memcpy(to, from, n * sizeof(real));
}

#define NAME_(x) #x
#define NAME(x)  NAME_(x)

const struct nn_backend NN(backend) = {
    .name = NAME(NN_SUFFIX),
    .element = sizeof(real),
    .alloc = allocate,
    .free = release,
    .upload = NN(upload),
    .download = NN(download),
    .write = copy,
    .read = copy,
    .fill = NN(fill),
    .gather = NN(gather),
    .gemm = NN(gemm),
    .activate = NN(activate),
    .activate_back = NN(activate_back),
    .add = NN(add),
    .copy_columns = NN(copy_columns),
    .norm = NN(norm),
    .norm_back = NN(norm_back),
    .lstm_cell = NN(lstm_cell),
    .lstm_cell_back = NN(lstm_cell_back),
    .keep_lanes = NN(keep_lanes),
    .attend = NN(attend),
    .attend_back = NN(attend_back),
    .categorical = NN(categorical),
    .categorical_back = NN(categorical_back),
    .categorical_draw = NN(categorical_draw),
    .categorical_kl = NN(categorical_kl),
    .categorical_kl_back = NN(categorical_kl_back),
    .gaussian = NN(gaussian),
    .gaussian_back = NN(gaussian_back),
    .gaussian_draw = NN(gaussian_draw),
    .gaussian_kl = NN(gaussian_kl),
    .gaussian_kl_back = NN(gaussian_kl_back),
    .sum_squares = NN(sum_squares),
    .step = NN(step),
};
