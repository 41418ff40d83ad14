/* What the parts of a network share. */
#ifndef ACTORS_NN_INNER_H
#define ACTORS_NN_INNER_H

#include "actors/nn/nn.h"

enum node_kind {
    NODE_INPUT,
    NODE_LINEAR,
    NODE_PARAMETER,
    NODE_ADD,
    NODE_CONCAT,
    NODE_NORM,
    NODE_LSTM,
    NODE_ATTENTION
};

/* What nodes keep beside their output, as parts of the workspace. */
enum node_aux {
    AUX_PRE = 0,                                      /* linear: before the activation, for SiLU */
    AUX_STATS = 0, AUX_DX = 1,                        /* norm */
    AUX_WEIGHTS = 0, AUX_DQ = 1, AUX_DK = 2, AUX_DV = 3, /* attention */
    AUX_GATES = 0, AUX_DGATES = 1, AUX_C = 2, AUX_H_BEFORE = 3, AUX_C_BEFORE = 4, AUX_STATE = 5,
    AUX_AFTER = 6, AUX_DC = 7, AUX_DH = 8,            /* LSTM */
    AUX_COUNT = 9
};
#define NN_NORM_EPSILON 1e-5


struct node {
    enum node_kind kind;
    int in[4]; /* -1: none */
    uint32_t width, per, heads;
    enum nn_act act;
    enum nn_init_rule init;
    double gain; /* of a parameter: its value */
    bool frozen;
    size_t params, n_params; /* where they begin, in elements */
    uint64_t needs;          /* this node and those before it */
    bool learns;             /* parameters of it or of a node before it have gradients */
    size_t y, dy, aux[AUX_COUNT]; /* in the workspace */
    int first;               /* of the nodes that are computed again before this one's pass back; -1 */
    bool hidden;             /* its output is not kept: it is one of those */
    bool reached;            /* in this pass back its dy is filled */
    bool cleared;            /* its gradients are 0 since an earlier one */
};

struct nn {
    const struct nn_backend *backend;
    struct node nodes[NN_NODES_MAX];
    int n_nodes;
    size_t n_params, rows_max, lanes;
    void *params, *grads, *work;
};

struct pass {
    struct nn *nn;
    const struct nn_backend *backend;
    size_t rows; /* of the batch */
    bool add;
};

/* nn.c */
size_t nn_rows_of(const struct pass *pass, const struct node *node);
/* Where the gradient of an input goes: NULL, nobody needs it; *ret_add, others have been there. */
void *nn_gradient_of(const struct pass *pass, int in, bool *ret_add);
/* y (+)= x w, w inputs × outputs; and its derivatives dw (+)= xᵀ dy, dx (+)= dy wᵀ. */
void nn_times(const struct nn_backend *b, size_t rows, size_t inputs, size_t outputs, const void *x,
              const void *w, void *y, bool add);
void nn_times_dw(const struct nn_backend *b, size_t rows, size_t inputs, size_t outputs, const void *x,
                 const void *dy, void *dw, bool add);
void nn_times_dx(const struct nn_backend *b, size_t rows, size_t inputs, size_t outputs,
                 const void *dy, const void *w, void *dx, bool add);
/* layers.c */
void nn_norm_forward(const struct pass *pass, const struct node *node);
void nn_norm_back(const struct pass *pass, const struct node *node);
void nn_lstm_forward(const struct pass *pass, const struct node *node);
void nn_lstm_back(const struct pass *pass, const struct node *node);
void nn_attention_forward(const struct pass *pass, const struct node *node);
void nn_attention_back(const struct pass *pass, const struct node *node);

/* Element `at` of a buffer. */
static inline void *nn_at(const struct nn *nn, const void *data, size_t at)
{
    return (char *)(uintptr_t)data + at * nn->backend->element;
}
static inline void *nn_aux(const struct nn *nn, const struct node *node, enum node_aux aux)
{
    return nn_at(nn, nn->work, node->aux[aux]);
}

#endif
