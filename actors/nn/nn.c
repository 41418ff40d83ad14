/* Passes through a network, there and back. */
#include "actors/nn/nn.h"

#include <assert.h>

#include "actors/nn/inner.h"

size_t nn_rows_of(const struct pass *pass, const struct node *node)
{
    return node->per ? pass->rows * node->per : 1;
}

void nn_times(const struct nn_backend *b, size_t rows, size_t inputs, size_t outputs, const void *x,
              const void *w, void *y, bool add)
{
    struct nn_gemm product = {.m = rows,
                              .n = outputs,
                              .k = inputs,
                              .a = x,
                              .a_row = inputs,
                              .a_col = 1,
                              .b = w,
                              .b_row = outputs,
                              .b_col = 1,
                              .c = y,
                              .c_row = outputs,
                              .add = add};
    b->gemm(&product);
}

void nn_times_dw(const struct nn_backend *b, size_t rows, size_t inputs, size_t outputs,
                 const void *x, const void *dy, void *dw, bool add)
{
    struct nn_gemm product = {.m = inputs,
                              .n = outputs,
                              .k = rows,
                              .a = x,
                              .a_row = 1,
                              .a_col = inputs,
                              .b = dy,
                              .b_row = outputs,
                              .b_col = 1,
                              .c = dw,
                              .c_row = outputs,
                              .add = add};
    b->gemm(&product);
}

void nn_times_dx(const struct nn_backend *b, size_t rows, size_t inputs, size_t outputs,
                 const void *dy, const void *w, void *dx, bool add)
{
    struct nn_gemm product = {.m = rows,
                              .n = inputs,
                              .k = outputs,
                              .a = dy,
                              .a_row = outputs,
                              .a_col = 1,
                              .b = w,
                              .b_row = 1,
                              .b_col = outputs,
                              .c = dx,
                              .c_row = inputs,
                              .add = add};
    b->gemm(&product);
}

/* ---- There ---- */

static void linear(const struct pass *pass, const struct node *node)
{
    struct nn *nn = pass->nn;
    size_t rows = nn_rows_of(pass, node), inputs = nn->nodes[node->in[0]].width;
    const void *w = nn_at(nn, nn->params, node->params);
    void *y = nn_at(nn, nn->work, node->y);
    nn_times(pass->backend, rows, inputs, node->width, nn_out(nn, node->in[0]), w, y, false);
    pass->backend->activate(node->act, rows, node->width, nn_at(nn, w, inputs * node->width), y,
                            node->act == NN_SILU ? nn_aux(nn, node, AUX_PRE) : NULL);
}

static void join(const struct pass *pass, const struct node *node)
{
    size_t at = 0, rows = nn_rows_of(pass, node);
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

static void forward_through(const struct pass *pass, const struct node *node)
{
    switch (node->kind) {
    case NODE_INPUT:
    case NODE_PARAMETER: break;
    case NODE_LINEAR: linear(pass, node); break;
    case NODE_ADD:
    case NODE_CONCAT: join(pass, node); break;
    case NODE_NORM: nn_norm_forward(pass, node); break;
    case NODE_LSTM: nn_lstm_forward(pass, node); break;
    case NODE_ATTENTION: nn_attention_forward(pass, node); break;
    }
}

void nn_forward(struct nn *nn, size_t rows, uint64_t nodes)
{
    struct pass pass = {.nn = nn, .backend = nn->backend, .rows = rows};
    assert(rows <= nn->rows_max);
    for (int i = 0; i < nn->n_nodes; i++) {
        if (nodes >> i & 1)
            forward_through(&pass, &nn->nodes[i]);
    }
}

/* ---- Back ---- */

void *nn_gradient_of(const struct pass *pass, int in, bool *ret_add)
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
    size_t rows = nn_rows_of(pass, node), inputs = nn->nodes[node->in[0]].width;
    void *grads = nn_at(nn, nn->grads, node->params), *dy = nn_at(nn, nn->work, node->dy);
    bool learns = !node->frozen, add = false;
    pass->backend->activate_back(node->act, rows, node->width, nn_at(nn, nn->work, node->y),
                                 node->act == NN_SILU ? nn_aux(nn, node, AUX_PRE) : NULL, dy,
                                 learns ? nn_at(nn, grads, inputs * node->width) : NULL, pass->add);
    if (learns)
        nn_times_dw(pass->backend, rows, inputs, node->width, nn_out(nn, node->in[0]), dy, grads,
                    pass->add);
    void *dx = nn_gradient_of(pass, node->in[0], &add);
    if (dx)
        nn_times_dx(pass->backend, rows, inputs, node->width, dy,
                    nn_at(nn, nn->params, node->params), dx, add);
}

static void join_back(const struct pass *pass, const struct node *node)
{
    size_t at = 0, rows = nn_rows_of(pass, node);
    for (int i = 0; i < 2; i++) {
        uint32_t width = pass->nn->nodes[node->in[i]].width;
        bool add = false;
        void *dx = nn_gradient_of(pass, node->in[i], &add);
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
    case NODE_NORM: nn_norm_back(pass, node); break;
    case NODE_LSTM: nn_lstm_back(pass, node); break;
    case NODE_ATTENTION: nn_attention_back(pass, node); break;
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
        struct node *node = &nn->nodes[i];
        for (int j = node->first; node->reached && j >= 0 && j < i; j++)
            forward_through(&pass, &nn->nodes[j]);
        bool written = node->reached && node->learns;
        if (written)
            back_through(&pass, node);
        else if (!add && node->n_params && !node->cleared)
            nn->backend->fill(nn_at(nn, nn->grads, node->params), 0, node->n_params);
        node->cleared = !written && (node->cleared || !add);
    }
}
