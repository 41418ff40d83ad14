/* Passes through a network, there and back. */
#include "actors/nn/nn.h"

#include <assert.h>

#include "actors/nn/inner.h"

struct pass {
    struct nn *nn;
    const struct nn_backend *backend;
    size_t rows; /* of the batch */
    bool add;
};

static size_t rows_of(const struct pass *pass, const struct node *node)
{
    return node->per ? pass->rows * node->per : 1;
}

/* ---- There ---- */

static void linear(const struct pass *pass, const struct node *node)
{
    struct nn *nn = pass->nn;
    const struct node *from = &nn->nodes[node->in[0]];
    size_t rows = rows_of(pass, node), weights = (size_t)from->width * node->width;
    const void *w = nn_at(nn, nn->params, node->params);
    void *y = nn_at(nn, nn->work, node->y);
    struct nn_gemm product = {.m = rows,
                              .n = node->width,
                              .k = from->width,
                              .a = nn_out(nn, node->in[0]),
                              .a_row = from->width,
                              .a_col = 1,
                              .b = w,
                              .b_row = node->width,
                              .b_col = 1,
                              .c = y,
                              .c_row = node->width};
    pass->backend->gemm(&product);
    pass->backend->activate(node->act, rows, node->width, nn_at(nn, w, weights), y,
                            node->act == NN_SILU ? nn_at(nn, nn->work, node->aux) : NULL);
}

static void join(const struct pass *pass, const struct node *node)
{
    size_t at = 0, rows = rows_of(pass, node);
    char *y = nn_at(pass->nn, pass->nn->work, node->y);
    for (int i = 0; i < 2; i++) {
        uint32_t width = pass->nn->nodes[node->in[i]].width;
        bool sum = node->kind == NODE_ADD;
        pass->backend->copy_columns(nn_at(pass->nn, y, sum ? 0 : at), node->width,
                                    nn_out(pass->nn, node->in[i]), width, width, rows,
                                    sum && i > 0);
        at += width;
    }
}

void nn_forward(struct nn *nn, size_t rows, uint64_t nodes)
{
    struct pass pass = {.nn = nn, .backend = nn->backend, .rows = rows};
    assert(rows <= nn->rows_max);
    for (int i = 0; i < nn->n_nodes; i++) {
        const struct node *node = &nn->nodes[i];
        if (!(nodes >> i & 1))
            continue;
        switch (node->kind) {
        case NODE_INPUT:
        case NODE_PARAMETER: break;
        case NODE_LINEAR: linear(&pass, node); break;
        case NODE_ADD:
        case NODE_CONCAT: join(&pass, node); break;
        }
    }
}

/* ---- Back ---- */

/* Where the gradient of an input goes: NULL, nobody needs it; *ret_add, others have been there. */
static void *gradient_of(const struct pass *pass, int in, bool *ret_add)
{
    struct node *node = &pass->nn->nodes[in];
    if (!node->learns)
        return NULL;
    *ret_add = node->reached;
    node->reached = true;
    return nn_grad(pass->nn, in);
}

static void linear_back(const struct pass *pass, const struct node *node)
{
    struct nn *nn = pass->nn;
    const struct node *from = &nn->nodes[node->in[0]];
    size_t rows = rows_of(pass, node), weights = (size_t)from->width * node->width;
    void *grads = nn_at(nn, nn->grads, node->params), *dy = nn_at(nn, nn->work, node->dy);
    bool learns = !node->frozen, add = false;
    pass->backend->activate_back(node->act, rows, node->width, nn_at(nn, nn->work, node->y),
                                 node->act == NN_SILU ? nn_at(nn, nn->work, node->aux) : NULL, dy,
                                 learns ? nn_at(nn, grads, weights) : NULL, pass->add);
    if (learns) {
        struct nn_gemm product = {.m = from->width,
                                  .n = node->width,
                                  .k = rows,
                                  .a = nn_out(nn, node->in[0]),
                                  .a_row = 1,
                                  .a_col = from->width,
                                  .b = dy,
                                  .b_row = node->width,
                                  .b_col = 1,
                                  .c = grads,
                                  .c_row = node->width,
                                  .add = pass->add};
        pass->backend->gemm(&product);
    }
    void *dx = gradient_of(pass, node->in[0], &add);
    if (dx) {
        struct nn_gemm product = {.m = rows,
                                  .n = from->width,
                                  .k = node->width,
                                  .a = dy,
                                  .a_row = node->width,
                                  .a_col = 1,
                                  .b = nn_at(nn, nn->params, node->params),
                                  .b_row = 1,
                                  .b_col = node->width,
                                  .c = dx,
                                  .c_row = from->width,
                                  .add = add};
        pass->backend->gemm(&product);
    }
}

static void join_back(const struct pass *pass, const struct node *node)
{
    size_t at = 0, rows = rows_of(pass, node);
    for (int i = 0; i < 2; i++) {
        uint32_t width = pass->nn->nodes[node->in[i]].width;
        bool add = false;
        void *dx = gradient_of(pass, node->in[i], &add);
        if (dx)
            pass->backend->copy_columns(
                dx, width,
                nn_at(pass->nn, pass->nn->work, node->dy + (node->kind == NODE_ADD ? 0 : at)),
                node->width, width, rows, add);
        at += width;
    }
}

static void back_through(const struct pass *pass, const struct node *node)
{
    struct nn *nn = pass->nn;
    void *grads = nn_at(nn, nn->grads, node->params);
    switch (node->kind) {
    case NODE_INPUT: break;
    case NODE_PARAMETER:
        if (!node->frozen)
            pass->backend->copy_columns(grads, node->width, nn_at(nn, nn->work, node->dy),
                                        node->width, node->width, 1, pass->add);
        break;
    case NODE_LINEAR: linear_back(pass, node); break;
    case NODE_ADD:
    case NODE_CONCAT: join_back(pass, node); break;
    }
}

void nn_back(struct nn *nn, size_t rows, const int *heads, size_t n_heads, bool add)
{
    struct pass pass = {.nn = nn, .backend = nn->backend, .rows = rows, .add = add};
    assert(rows <= nn->rows_max);
    for (int i = 0; i < nn->n_nodes; i++)
        nn->nodes[i].reached = false;
    for (size_t i = 0; i < n_heads; i++)
        nn->nodes[heads[i]].reached = true;
    for (int i = nn->n_nodes - 1; i >= 0; i--) {
        const struct node *node = &nn->nodes[i];
        if (node->reached && node->learns)
            back_through(&pass, node);
        else if (!add && node->n_params)
            nn->backend->fill(nn_at(nn, nn->grads, node->params), 0, node->n_params);
    }
}
