/* What the parts of a network share. */
#ifndef ACTORS_NN_INNER_H
#define ACTORS_NN_INNER_H

#include "actors/nn/nn.h"

enum node_kind { NODE_INPUT, NODE_LINEAR, NODE_PARAMETER, NODE_ADD, NODE_CONCAT };

struct node {
    enum node_kind kind;
    int in[3]; /* -1: none */
    uint32_t width, per;
    enum nn_act act;
    enum nn_init_rule init;
    double gain; /* of a parameter: its value */
    bool frozen;
    size_t params, n_params; /* where they begin, in elements */
    uint64_t needs;          /* this node and those before it */
    bool learns;             /* parameters of it or of a node before it have gradients */
    size_t y, aux, dy;       /* in the workspace */
    bool reached;            /* in this pass back its dy is filled */
};

struct nn {
    const struct nn_backend *backend;
    struct node nodes[NN_NODES_MAX];
    int n_nodes;
    size_t n_params, rows_max;
    void *params, *grads, *work;
};

/* Element `at` of a buffer. */
static inline void *nn_at(const struct nn *nn, const void *data, size_t at)
{
    return (char *)(uintptr_t)data + at * nn->backend->element;
}

#endif
