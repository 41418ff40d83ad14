/* Layer norm (Ba, Kiros & Hinton 2016) and the cell of an LSTM (Hochreiter & Schmidhuber 1997). */
#include "actors/nn/functions.h"
#include "actors/nn/kernels.h"

void NN(norm)(size_t rows, size_t width, double eps, const void *x, const void *gain,
              const void *bias, void *y, void *stats)
{
    const real *restrict g = gain, *restrict b = bias;
    for (size_t i = 0; i < rows; i++) {
        const real *restrict row = (const real *)x + i * width;
        real *restrict to = (real *)y + i * width;
        real sum = 0, squares = 0;
        for (size_t j = 0; j < width; j++)
            sum += row[j];
        real mean = sum / (real)width;
        for (size_t j = 0; j < width; j++)
            squares += (row[j] - mean) * (row[j] - mean);
        real scale = 1 / real_sqrt(squares / (real)width + (real)eps);
        for (size_t j = 0; j < width; j++)
            to[j] = (row[j] - mean) * scale * g[j] + b[j];
        ((real *)stats)[2 * i] = mean;
        ((real *)stats)[2 * i + 1] = scale;
    }
}

void NN(norm_back)(size_t rows, size_t width, const void *x, const void *gain, const void *stats,
                   const void *dy, void *dx, void *dgain, void *dbias, bool add)
{
    const real *restrict g = gain;
    real *restrict dg = dgain, *restrict db = dbias;
    for (size_t j = 0; dg && !add && j < width; j++)
        dg[j] = db[j] = 0;
    for (size_t i = 0; i < rows; i++) {
        const real *restrict row = (const real *)x + i * width;
        const real *restrict d = (const real *)dy + i * width;
        real *restrict to = (real *)dx + i * width;
        real mean = ((const real *)stats)[2 * i], scale = ((const real *)stats)[2 * i + 1];
        real sum = 0, along = 0;
        for (size_t j = 0; j < width; j++) {
            real z = (row[j] - mean) * scale, dz = d[j] * g[j];
            sum += dz;
            along += dz * z;
        }
        sum /= (real)width;
        along /= (real)width;
        for (size_t j = 0; dg && j < width; j++) {
            dg[j] += d[j] * ((row[j] - mean) * scale);
            db[j] += d[j];
        }
        for (size_t j = 0; j < width; j++)
            to[j] = scale * (d[j] * g[j] - sum - (row[j] - mean) * scale * along);
    }
}

void NN(lstm_cell)(size_t lanes, size_t width, void *gates, const void *c_before, void *c, void *h)
{
    for (size_t i = 0; i < lanes; i++) {
        real *restrict in = (real *)gates + 4 * i * width, *restrict forget = in + width;
        real *restrict cell = in + 2 * width, *restrict out = in + 3 * width;
        const real *restrict before = (const real *)c_before + i * width;
        real *restrict after = (real *)c + i * width, *restrict y = (real *)h + i * width;
        for (size_t j = 0; j < width; j++) {
            in[j] = real_sigmoid(in[j]);
            forget[j] = real_sigmoid(forget[j]);
            cell[j] = real_tanh(cell[j]);
            out[j] = real_sigmoid(out[j]);
            after[j] = forget[j] * before[j] + in[j] * cell[j];
            y[j] = out[j] * real_tanh(after[j]);
        }
    }
}

void NN(lstm_cell_back)(size_t lanes, size_t width, const void *gates, const void *c_before,
                        const void *c, const void *dh, void *dc, void *dgates)
{
    for (size_t i = 0; i < lanes; i++) {
        const real *restrict in = (const real *)gates + 4 * i * width, *restrict forget =
                                                                           in + width;
        const real *restrict cell = in + 2 * width, *restrict out = in + 3 * width;
        const real *restrict before = (const real *)c_before + i * width;
        const real *restrict after = (const real *)c + i * width;
        const real *restrict dy = (const real *)dh + i * width;
        real *restrict dstate = (real *)dc + i * width;
        real *restrict to = (real *)dgates + 4 * i * width;
        for (size_t j = 0; j < width; j++) {
            real t = real_tanh(after[j]);
            real d = dstate[j] + dy[j] * out[j] * (1 - t * t);
            to[j] = d * cell[j] * in[j] * (1 - in[j]);
            to[width + j] = d * before[j] * forget[j] * (1 - forget[j]);
            to[2 * width + j] = d * in[j] * (1 - cell[j] * cell[j]);
            to[3 * width + j] = dy[j] * t * out[j] * (1 - out[j]);
            dstate[j] = d * forget[j];
        }
    }
}

void NN(keep_lanes)(size_t lanes, size_t width, void *to, const void *from, const void *keep)
{
    for (size_t i = 0; i < lanes; i++) {
        bool kept = ((const real *)keep)[i] != 0;
        for (size_t j = i * width; j < (i + 1) * width; j++)
            ((real *)to)[j] = kept ? ((const real *)from)[j] : 0;
    }
}
