/* Nodes and the room for them. */
#include <assert.h>
#include <stdlib.h>

#include <rtc/error.h>

#include "actors/nn/inner.h"

int nn_create(const struct nn_backend *backend, struct nn **ret_nn)
{
    struct nn *nn = calloc(1, sizeof(*nn));
    if (!nn)
        return RTC_E_NOMEM;
    nn->backend = backend;
    *ret_nn = nn;
    return 0;
}

void nn_destroy(struct nn **nn)
{
    if (!nn || !*nn)
        return;
    (*nn)->backend->free((*nn)->params);
    (*nn)->backend->free((*nn)->grads);
    (*nn)->backend->free((*nn)->work);
    free(*nn);
    *nn = NULL;
}

const struct nn_backend *nn_backend_of(const struct nn *nn)
{
    return nn->backend;
}

static int add_node(struct nn *nn, struct node node)
{
    int id = nn->n_nodes;
    assert(id < NN_NODES_MAX && !nn->params && node.width > 0);
    node.needs = UINT64_C(1) << id;
    node.first = -1;
    for (int i = 0; i < 4; i++) {
        assert(node.in[i] < id);
        if (node.in[i] >= 0)
            node.needs |= nn->nodes[node.in[i]].needs;
    }
    node.params = nn->n_params;
    nn->n_params += node.n_params;
    nn->nodes[nn->n_nodes++] = node;
    return id;
}

int nn_input(struct nn *nn, uint32_t width, uint32_t per)
{
    assert(per > 0);
    return add_node(
        nn, (struct node){.kind = NODE_INPUT, .in = {-1, -1, -1, -1}, .width = width, .per = per});
}

int nn_linear(struct nn *nn, int in, uint32_t width, enum nn_act act, enum nn_init_rule init,
              double gain)
{
    const struct node *from = &nn->nodes[in];
    return add_node(nn, (struct node){.kind = NODE_LINEAR,
                                      .in = {in, -1, -1, -1},
                                      .width = width,
                                      .per = from->per,
                                      .act = act,
                                      .init = init,
                                      .gain = gain,
                                      .n_params = ((size_t)from->width + 1) * width});
}

int nn_parameter(struct nn *nn, uint32_t width, double value)
{
    return add_node(nn, (struct node){.kind = NODE_PARAMETER,
                                      .in = {-1, -1, -1, -1},
                                      .width = width,
                                      .per = 0,
                                      .gain = value,
                                      .n_params = width});
}

int nn_add(struct nn *nn, int a, int b)
{
    const struct node *x = &nn->nodes[a], *y = &nn->nodes[b];
    assert(x->width == y->width && x->per == y->per);
    return add_node(
        nn,
        (struct node){.kind = NODE_ADD, .in = {a, b, -1, -1}, .width = x->width, .per = x->per});
}

int nn_concat(struct nn *nn, int a, int b)
{
    const struct node *x = &nn->nodes[a], *y = &nn->nodes[b];
    assert(x->per == y->per);
    return add_node(nn, (struct node){.kind = NODE_CONCAT,
                                      .in = {a, b, -1, -1},
                                      .width = x->width + y->width,
                                      .per = x->per});
}

int nn_norm(struct nn *nn, int in)
{
    const struct node *x = &nn->nodes[in];
    return add_node(nn, (struct node){.kind = NODE_NORM,
                                      .in = {in, -1, -1, -1},
                                      .width = x->width,
                                      .per = x->per,
                                      .n_params = 2 * (size_t)x->width});
}

int nn_lstm(struct nn *nn, int in, int keep, uint32_t width, enum nn_init_rule init, double gain)
{
    const struct node *x = &nn->nodes[in], *flags = &nn->nodes[keep];
    assert(x->per == 1 && flags->per == 1 && flags->width == 1);
    return add_node(nn, (struct node){.kind = NODE_LSTM,
                                      .in = {in, keep, -1, -1},
                                      .width = width,
                                      .per = 1,
                                      .init = init,
                                      .gain = gain,
                                      .n_params = ((size_t)x->width + width + 1) * 4 * width});
}

int nn_attention(struct nn *nn, int query, int keys, int values, int present, uint32_t heads)
{
    const struct node *q = &nn->nodes[query], *k = &nn->nodes[keys], *v = &nn->nodes[values],
                      *p = &nn->nodes[present];
    assert(q->per == 1 && k->per == v->per && k->per == p->per && p->width == 1);
    assert(q->width == k->width && q->width == v->width && heads > 0 && q->width % heads == 0);
    return add_node(nn, (struct node){.kind = NODE_ATTENTION,
                                      .in = {query, keys, values, present},
                                      .width = q->width,
                                      .per = 1,
                                      .heads = heads});
}

void nn_recompute(struct nn *nn, int first, int last)
{
    assert(first >= 0 && first < last && last < nn->n_nodes && !nn->params);
    nn->nodes[last].first = first;
    for (int i = first; i < last; i++) {
        struct node *node = &nn->nodes[i];
        assert(node->kind != NODE_INPUT && node->kind != NODE_PARAMETER && !node->hidden);
        assert(node->kind != NODE_LSTM && node->first < 0);
        node->hidden = true;
    }
}

void nn_freeze(struct nn *nn, int node, bool frozen)
{
    assert(node >= 0 && node < nn->n_nodes);
    nn->nodes[node].frozen = frozen;
    for (int i = 0; i < nn->n_nodes; i++) {
        struct node *n = &nn->nodes[i];
        n->learns = n->n_params > 0 && !n->frozen;
        for (int j = 0; j < 4; j++)
            n->learns |= n->in[j] >= 0 && nn->nodes[n->in[j]].learns;
    }
    if (frozen && nn->grads)
        nn->backend->fill(nn_at(nn, nn->grads, nn->nodes[node].params), 0,
                          nn->nodes[node].n_params);
}

/* Elements from `used` on, each buffer on lines of its own. */
static size_t reserve(size_t *used, size_t n)
{
    size_t at = *used;
    *used += (n + 15) / 16 * 16;
    return at;
}

/* What a node keeps beside its output. */
static void reserve_aux(const struct nn *nn, struct node *node, size_t *used)
{
    size_t rows = nn->rows_max, wide = rows * node->width;
    switch (node->kind) {
    case NODE_LINEAR:
        if (node->act == NN_SILU)
            node->aux[AUX_PRE] = reserve(used, wide * node->per);
        break;
    case NODE_NORM:
        node->aux[AUX_STATS] = reserve(used, 2 * rows * node->per);
        node->aux[AUX_DX] = reserve(used, wide * node->per);
        break;
    case NODE_ATTENTION: {
        size_t neighbours = nn->nodes[node->in[1]].per;
        node->aux[AUX_WEIGHTS] = reserve(used, rows * node->heads * neighbours);
        node->aux[AUX_DQ] = reserve(used, wide);
        node->aux[AUX_DK] = reserve(used, wide * neighbours);
        node->aux[AUX_DV] = reserve(used, wide * neighbours);
        break;
    }
    case NODE_LSTM:
        for (int i = AUX_GATES; i < AUX_COUNT; i++) {
            bool gates = i == AUX_GATES || i == AUX_DGATES, two = i == AUX_STATE || i == AUX_AFTER;
            node->aux[i] = reserve(used, wide * (gates ? 4 : two ? 2 : 1));
        }
        break;
    case NODE_INPUT:
    case NODE_PARAMETER:
    case NODE_ADD:
    case NODE_CONCAT: break;
    }
}

/* Outputs and what goes with them; of nodes that are computed again all in one place, `again`. */
static size_t lay_out(struct nn *nn)
{
    size_t used = 0, most = 0, again = 0;
    for (int pass = 0; pass < 2; pass++, used += pass == 1 ? 0 : most) {
        for (int i = 0; i < nn->n_nodes; i++) {
            struct node *node = &nn->nodes[i];
            size_t n = (node->per ? nn->rows_max * node->per : 1) * node->width;
            if (node->hidden != (pass == 1))
                continue;
            if (pass == 1 && (i == 0 || !nn->nodes[i - 1].hidden))
                again = used;
            size_t *at = pass == 1 ? &again : &used;
            if (node->kind != NODE_PARAMETER)
                node->y = reserve(at, n);
            reserve_aux(nn, node, at);
            most = pass == 1 && again - used > most ? again - used : most;
        }
    }
    for (int i = 0; i < nn->n_nodes; i++) {
        struct node *node = &nn->nodes[i];
        node->dy = reserve(&used, (node->per ? nn->rows_max * node->per : 1) * node->width);
    }
    return used;
}

int nn_plan(struct nn *nn, size_t rows_max)
{
    assert(!nn->params && nn->n_nodes > 0 && rows_max > 0);
    nn->rows_max = rows_max;
    nn->lanes = 1;
    size_t used = lay_out(nn);
    nn_freeze(nn, 0, nn->nodes[0].frozen);
    nn->params = nn->backend->alloc(nn->n_params ? nn->n_params : 1);
    nn->grads = nn->backend->alloc(nn->n_params ? nn->n_params : 1);
    nn->work = nn->backend->alloc(used);
    return nn->params && nn->grads && nn->work ? 0 : RTC_E_NOMEM;
}

void nn_lanes(struct nn *nn, size_t lanes)
{
    assert(lanes > 0 && lanes <= nn->rows_max);
    nn->lanes = lanes;
}

void *nn_state(struct nn *nn, int node)
{
    assert(nn->nodes[node].kind == NODE_LSTM);
    return nn_aux(nn, &nn->nodes[node], AUX_STATE);
}

void *nn_state_after(struct nn *nn, int node)
{
    assert(nn->nodes[node].kind == NODE_LSTM);
    return nn_aux(nn, &nn->nodes[node], AUX_AFTER);
}

size_t nn_count(const struct nn *nn)
{
    return nn->n_params;
}

void *nn_params(struct nn *nn)
{
    return nn->params;
}

void *nn_grads(struct nn *nn)
{
    for (int i = 0; i < nn->n_nodes; i++)
        nn->nodes[i].cleared = false; /* the caller may write there */
    return nn->grads;
}

size_t nn_param_at(const struct nn *nn, int node, size_t *ret_n)
{
    if (ret_n)
        *ret_n = nn->nodes[node].n_params;
    return nn->nodes[node].params;
}

int nn_nodes(const struct nn *nn)
{
    return nn->n_nodes;
}

uint32_t nn_width(const struct nn *nn, int node)
{
    return nn->nodes[node].width;
}

void *nn_out(struct nn *nn, int node)
{
    const struct node *n = &nn->nodes[node];
    return n->kind == NODE_PARAMETER ? nn_at(nn, nn->params, n->params) : nn_at(nn, nn->work, n->y);
}

void *nn_grad(struct nn *nn, int node)
{
    return nn_at(nn, nn->work, nn->nodes[node].dy);
}

uint64_t nn_needs(const struct nn *nn, int node)
{
    return nn->nodes[node].needs;
}
