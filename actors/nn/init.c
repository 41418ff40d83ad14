/* Initial weights, drawn in double precision. */
#include <math.h>
#include <stdlib.h>

#include <rtc/error.h>

#include "actors/nn/inner.h"
#include "actors/nn/random.h"

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* n vectors of normal numbers made orthonormal one after the other, which is QR with a positive
 * diagonal (Saxe, McClelland & Ganguli 2014). Twice, against rounding. */
static void orthonormal(double *vectors, size_t n, size_t length)
{
    for (size_t i = 0; i < n; i++) {
        double *v = vectors + i * length;
        for (size_t j = 0; j < 2 * i; j++) {
            const double *u = vectors + j % i * length;
            double along = dot(u, v, length);
            for (size_t k = 0; k < length; k++)
                v[k] -= along * u[k];
        }
        double norm = sqrt(dot(v, v, length));
        for (size_t k = 0; k < length; k++)
            v[k] /= norm;
    }
}

/* Weights, inputs × outputs. `draws` has room for as many. */
static void draw(const struct node *node, size_t inputs, size_t outputs, uint64_t *state,
                 double *draws, float *w)
{
    size_t n = inputs * outputs;
    for (size_t i = 0; i < n; i++)
        draws[i] = nn_normal(state);
    if (node->init == NN_ORTHOGONAL) {
        bool tall = inputs >= outputs; /* then the vectors are the columns */
        size_t vectors = tall ? outputs : inputs, length = tall ? inputs : outputs;
        orthonormal(draws, vectors, length);
        for (size_t i = 0; i < inputs; i++) {
            for (size_t j = 0; j < outputs; j++)
                w[i * outputs + j] =
                    (float)(node->gain * (tall ? draws[j * length + i] : draws[i * length + j]));
        }
        return;
    }
    double deviation = node->init == NN_LECUN ? node->gain / sqrt((double)inputs) : 0;
    for (size_t i = 0; i < n; i++)
        w[i] = (float)(deviation * draws[i]);
}

static void begin(const struct nn *nn, const struct node *node, uint64_t state, double *draws,
                  float *values)
{
    size_t inputs = node->in[0] >= 0 ? nn->nodes[node->in[0]].width : 0, gates = 4 * node->width;
    switch (node->kind) {
    case NODE_LINEAR: draw(node, inputs, node->width, &state, draws, values); break;
    case NODE_LSTM:
        draw(node, inputs, gates, &state, draws, values);
        draw(node, node->width, gates, &state, draws, values + inputs * gates);
        break;
    case NODE_NORM:
    case NODE_PARAMETER:
        for (size_t k = 0; k < node->width; k++)
            values[k] = node->kind == NODE_NORM ? 1 : (float)node->gain;
        break;
    case NODE_INPUT:
    case NODE_ADD:
    case NODE_CONCAT:
    case NODE_ATTENTION: break;
    }
}

int nn_init(struct nn *nn, uint64_t seed)
{
    double *draws = calloc(nn->n_params + 1, sizeof(*draws));
    float *values = calloc(nn->n_params + 1, sizeof(*values));
    for (int i = 0; draws && values && i < nn->n_nodes; i++)
        begin(nn, &nn->nodes[i], nn_stream(seed, (uint64_t)i), draws, values + nn->nodes[i].params);
    if (draws && values)
        nn->backend->upload(nn->params, values, nn->n_params);
    int rc = draws && values ? 0 : RTC_E_NOMEM;
    free(draws);
    free(values);
    return rc;
}
