/* Layers whose passes are more than one product. */
#include <assert.h>

#include "actors/nn/inner.h"

/* Where a gradient is written that is not added to: the input's own, or `spare`, from which
 * deliver() takes it. */
static void *own(const struct pass *pass, int in, void *spare, void **ret_to)
{
    bool add = false;
    void *to = nn_gradient_of(pass, in, &add);
    *ret_to = add ? to : NULL;
    return to && !add ? to : spare;
}

static void deliver(const struct pass *pass, void *to, const void *spare, size_t n)
{
    if (to)
        pass->backend->add(to, spare, n);
}

/* ---- Layer norm ---- */

void nn_norm_forward(const struct pass *pass, const struct node *node)
{
    struct nn *nn = pass->nn;
    const void *gain = nn_at(nn, nn->params, node->params);
    pass->backend->norm(nn_rows_of(pass, node), node->width, NN_NORM_EPSILON,
                        nn_out(nn, node->in[0]), gain, nn_at(nn, gain, node->width),
                        nn_at(nn, nn->work, node->y), nn_aux(nn, node, AUX_STATS));
}

void nn_norm_back(const struct pass *pass, const struct node *node)
{
    struct nn *nn = pass->nn;
    size_t rows = nn_rows_of(pass, node);
    void *dgain = node->frozen ? NULL : nn_at(nn, nn->grads, node->params), *to;
    void *spare = nn_aux(nn, node, AUX_DX), *dx = own(pass, node->in[0], spare, &to);
    pass->backend->norm_back(rows, node->width, nn_out(nn, node->in[0]),
                             nn_at(nn, nn->params, node->params), nn_aux(nn, node, AUX_STATS),
                             nn_at(nn, nn->work, node->dy), dx, dgain,
                             dgain ? nn_at(nn, dgain, node->width) : NULL, pass->add);
    deliver(pass, to, spare, rows * node->width);
}

/* ---- LSTM: rows are steps × lanes ---- */

/* Row `row` of one of the node's buffers, `times` widths a row. */
static void *at_row(const struct nn *nn, const struct node *node, enum node_aux aux, size_t row,
                    size_t times)
{
    return nn_at(nn, nn->work, node->aux[aux] + row * node->width * times);
}

/* Half of a state: c, and h behind it. */
static void *half(const struct nn *nn, const struct node *node, enum node_aux aux, int h)
{
    return nn_at(nn, nn->work, node->aux[aux] + (h ? nn->rows_max * node->width : 0));
}

void nn_lstm_forward(const struct pass *pass, const struct node *node)
{
    struct nn *nn = pass->nn;
    const struct nn_backend *b = pass->backend;
    size_t lanes = nn->lanes, width = node->width, inputs = nn->nodes[node->in[0]].width;
    const void *wx = nn_at(nn, nn->params, node->params);
    const void *wh = nn_at(nn, wx, inputs * 4 * width), *bias = nn_at(nn, wh, 4 * width * width);
    const void *c = half(nn, node, AUX_STATE, 0), *h = half(nn, node, AUX_STATE, 1);
    assert(pass->rows % lanes == 0);
    nn_times(b, pass->rows, inputs, 4 * width, nn_out(nn, node->in[0]), wx,
             nn_aux(nn, node, AUX_GATES), false);
    b->activate(NN_IDENTITY, pass->rows, 4 * width, bias, nn_aux(nn, node, AUX_GATES), NULL);
    for (size_t row = 0; row < pass->rows; row += lanes) {
        const void *keep = nn_at(nn, nn_out(nn, node->in[1]), row);
        void *gates = at_row(nn, node, AUX_GATES, row, 4);
        void *c_before = at_row(nn, node, AUX_C_BEFORE, row, 1);
        void *h_before = at_row(nn, node, AUX_H_BEFORE, row, 1);
        void *c_after = at_row(nn, node, AUX_C, row, 1);
        void *y = nn_at(nn, nn->work, node->y + row * width);
        b->keep_lanes(lanes, width, c_before, c, keep);
        b->keep_lanes(lanes, width, h_before, h, keep);
        nn_times(b, lanes, width, 4 * width, h_before, wh, gates, true);
        b->lstm_cell(lanes, width, gates, c_before, c_after, y);
        c = c_after;
        h = y;
    }
    b->copy_columns(half(nn, node, AUX_AFTER, 0), width, c, width, width, lanes, false);
    b->copy_columns(half(nn, node, AUX_AFTER, 1), width, h, width, width, lanes, false);
}

/* Gradients of the gates of all steps, from the last to the first. */
static void lstm_gates_back(const struct pass *pass, const struct node *node, const void *wh)
{
    struct nn *nn = pass->nn;
    const struct nn_backend *b = pass->backend;
    size_t lanes = nn->lanes, width = node->width;
    void *dc = nn_aux(nn, node, AUX_DC), *dh = nn_aux(nn, node, AUX_DH);
    b->fill(dc, 0, lanes * width);
    for (size_t row = pass->rows; row > 0;) {
        bool last = row == pass->rows;
        row -= lanes;
        const void *keep = nn_at(nn, nn_out(nn, node->in[1]), row);
        void *dy = nn_at(nn, nn->work, node->dy + row * width);
        void *dgates = at_row(nn, node, AUX_DGATES, row, 4);
        if (!last)
            b->add(dy, dh, lanes * width);
        b->lstm_cell_back(lanes, width, at_row(nn, node, AUX_GATES, row, 4),
                          at_row(nn, node, AUX_C_BEFORE, row, 1), at_row(nn, node, AUX_C, row, 1),
                          dy, dc, dgates);
        nn_times_dx(b, lanes, width, 4 * width, dgates, wh, dh, false);
        b->keep_lanes(lanes, width, dh, dh, keep);
        b->keep_lanes(lanes, width, dc, dc, keep);
    }
}

void nn_lstm_back(const struct pass *pass, const struct node *node)
{
    struct nn *nn = pass->nn;
    const struct nn_backend *b = pass->backend;
    size_t width = node->width, inputs = nn->nodes[node->in[0]].width;
    const void *wx = nn_at(nn, nn->params, node->params);
    void *dwx = nn_at(nn, nn->grads, node->params), *dwh = nn_at(nn, dwx, inputs * 4 * width);
    void *dgates = nn_aux(nn, node, AUX_DGATES);
    bool add = false;
    lstm_gates_back(pass, node, nn_at(nn, wx, inputs * 4 * width));
    if (!node->frozen) {
        nn_times_dw(b, pass->rows, inputs, 4 * width, nn_out(nn, node->in[0]), dgates, dwx,
                    pass->add);
        nn_times_dw(b, pass->rows, width, 4 * width, nn_aux(nn, node, AUX_H_BEFORE), dgates, dwh,
                    pass->add);
        b->activate_back(NN_IDENTITY, pass->rows, 4 * width, dgates, NULL, dgates,
                         nn_at(nn, dwh, 4 * width * width), pass->add);
    }
    void *dx = nn_gradient_of(pass, node->in[0], &add);
    if (dx)
        nn_times_dx(b, pass->rows, inputs, 4 * width, dgates, wx, dx, add);
}

/* ---- Attention ---- */

static struct nn_attention shape_of(const struct pass *pass, const struct node *node)
{
    return (struct nn_attention){.rows = pass->rows,
                                 .neighbours = pass->nn->nodes[node->in[1]].per,
                                 .heads = node->heads,
                                 .width = node->width};
}

void nn_attention_forward(const struct pass *pass, const struct node *node)
{
    struct nn *nn = pass->nn;
    struct nn_attention shape = shape_of(pass, node);
    pass->backend->attend(&shape, nn_out(nn, node->in[0]), nn_out(nn, node->in[1]),
                          nn_out(nn, node->in[2]), nn_out(nn, node->in[3]),
                          nn_aux(nn, node, AUX_WEIGHTS), nn_at(nn, nn->work, node->y));
}

void nn_attention_back(const struct pass *pass, const struct node *node)
{
    static const enum node_aux spares[3] = {AUX_DQ, AUX_DK, AUX_DV};
    struct nn *nn = pass->nn;
    struct nn_attention shape = shape_of(pass, node);
    void *to[3], *d[3];
    for (int i = 0; i < 3; i++)
        d[i] = own(pass, node->in[i], nn_aux(nn, node, spares[i]), &to[i]);
    pass->backend->attend_back(&shape, nn_out(nn, node->in[0]), nn_out(nn, node->in[1]),
                               nn_out(nn, node->in[2]), nn_aux(nn, node, AUX_WEIGHTS),
                               nn_at(nn, nn->work, node->dy), d[0], d[1], d[2]);
    for (int i = 0; i < 3; i++)
        deliver(pass, to[i], nn_aux(nn, node, spares[i]),
                shape.rows * (i ? shape.neighbours : 1) * shape.width);
}
