/* Networks for policies: layers with their derivatives, planned once, and the optimisers for them.
 *
 * A network is a list of nodes, each of earlier ones; rows go through all of them at once. Agents that
 * share a policy are more rows. All parameters lie in one buffer and all gradients in another, in the
 * order of the nodes, so that a sum over learners, a checkpoint or a broadcast is one operation.
 * Weights of a linear layer are inputs × outputs (PyTorch's are the other way), then biases.
 *
 *   struct nn *nn;
 *   RTC_TRY(nn_create(nn_cpu_f32(), &nn));
 *   int x = nn_input(nn, 4, 1);
 *   int h = nn_linear(nn, x, 64, NN_TANH, NN_ORTHOGONAL, sqrt(2));
 *   int y = nn_linear(nn, h, 2, NN_IDENTITY, NN_ORTHOGONAL, 0.01);
 *   RTC_TRY(nn_plan(nn, 128));
 *   nn_init(nn, seed);
 *   … fill nn_out(nn, x) … nn_forward(nn, 128, nn_needs(nn, y)) … fill nn_grad(nn, y) …
 *   nn_back(nn, 128, &y, 1, false);
 *
 * Ownership: nn_destroy() frees all of it. Thread: one at a time on a network. Blocks: never. After
 * nn_plan() nothing allocates. Errors: RTC_E_NOMEM; what a program does wrong ends it. */
#ifndef ACTORS_NN_NN_H
#define ACTORS_NN_NN_H

#include "actors/nn/backend.h"

#define NN_NODES_MAX 64

struct nn;

enum nn_init_rule {
    NN_ORTHOGONAL, /* columns (or rows, whichever are fewer) orthonormal, times gain */
    NN_LECUN,      /* normal, its deviation gain / sqrt(inputs) */
    NN_ZEROS
};

int nn_create(const struct nn_backend *backend, struct nn **ret_nn);
void nn_destroy(struct nn **nn); /* NULL is fine */
const struct nn_backend *nn_backend_of(const struct nn *nn);

/* ---- Nodes: each call returns its number ---- */

/* What the caller fills: `per` rows for each row of the batch (neighbours; else 1). */
int nn_input(struct nn *nn, uint32_t width, uint32_t per);
/* act(x W + b). Biases begin at 0. */
int nn_linear(struct nn *nn, int in, uint32_t width, enum nn_act act, enum nn_init_rule init,
              double gain);
/* Each row with mean 0 and deviation 1, then times a gain that begins at 1, plus a bias. */
int nn_norm(struct nn *nn, int in);
/* A long short-term memory. Rows are steps × lanes (nn_lanes()), a step's lanes together; `keep`, an
 * input of width 1, is 0 where a lane's state is forgotten before its row (a new episode), else 1. The
 * state before the first step is nn_state(), and is not learnt. Weights: inputs × 4 width, width × 4
 * width, 4 width biases; gates in the order input, forget, cell, output. */
int nn_lstm(struct nn *nn, int in, int keep, uint32_t width, enum nn_init_rule init, double gain);
/* Attention over neighbours. query: a row each; keys and values: `per` rows for each row of the batch,
 * as wide as the query; present: an input of width 1 with as many rows, 1 or 0. Projections are linear
 * nodes before and behind it. */
int nn_attention(struct nn *nn, int query, int keys, int values, int present, uint32_t heads);
/* `width` numbers that depend on nothing, the same for all rows; begin at `value`. */
int nn_parameter(struct nn *nn, uint32_t width, double value);
int nn_add(struct nn *nn, int a, int b);    /* of one width */
int nn_concat(struct nn *nn, int a, int b); /* side by side */

/* The parameters of a node are not learnt: they have no gradients, and optimisers leave them alone. */
void nn_freeze(struct nn *nn, int node, bool frozen);

/* What nodes first to last - 1 compute is not kept for the way back, but computed once more then: less
 * memory for more time. Only these nodes may use it; last keeps its output. Before nn_plan(). */
void nn_recompute(struct nn *nn, int first, int last);

/* Reserves the room for batches of up to rows_max. Once, behind the last node. */
int nn_plan(struct nn *nn, size_t rows_max);
/* Draws the parameters: the same for the same seed, whatever the backend, but for rounding. */
int nn_init(struct nn *nn, uint64_t seed);

/* ---- Buffers, in the backend's memory; valid until nn_destroy() ---- */

size_t nn_count(const struct nn *nn); /* parameters */
void *nn_params(struct nn *nn);
void *nn_grads(struct nn *nn); /* who writes there asks for it before each pass back */
/* Where the parameters of a node begin, and how many they are. */
size_t nn_param_at(const struct nn *nn, int node, size_t *ret_n);
uint32_t nn_width(const struct nn *nn, int node);
int nn_nodes(const struct nn *nn); /* how many */
void *nn_out(struct nn *nn, int node);
void *nn_grad(struct nn *nn, int node); /* of its output */

/* ---- Passes ---- */

/* How many lanes the rows of LSTMs are, until it is said otherwise; at first 1. */
void nn_lanes(struct nn *nn, size_t lanes);
/* The state of an LSTM: c, lanes × width; and h, as much, rows_max × width elements behind the
 * beginning of c. nn_forward() begins with nn_state(), which it leaves as it is, and ends with
 * nn_state_after(); to go on, the one is copied onto the other. */
void *nn_state(struct nn *nn, int node);
void *nn_state_after(struct nn *nn, int node);

/* The nodes that have to be computed for one, as bits. */
uint64_t nn_needs(const struct nn *nn, int node);
void nn_forward(struct nn *nn, size_t rows, uint64_t nodes);
/* From the gradients of the heads, which the caller has filled, to those of the parameters; add: onto
 * what is there, for a batch in several parts. Behind nn_forward() of the same rows. Heads' gradients
 * are overwritten. */
void nn_back(struct nn *nn, size_t rows, const int *heads, size_t n_heads, bool add);

/* ---- Learning ---- */

struct nn_learner {
    struct nn *nn;
    enum nn_rule rule;
    double beta1, beta2, epsilon, decay;
    uint64_t steps;
    void *moments; /* two buffers of nn_count(), one behind the other: first and second moments */
};
int nn_learner_init(struct nn_learner *learner, struct nn *nn, enum nn_rule rule);
void nn_learner_fini(struct nn_learner *learner);
/* One step along the gradients, which are not changed. Their norm over all parameters is returned;
 * where it is beyond norm_max (0: no limit) the step is that of gradients scaled to norm_max. A norm
 * that is not finite changes nothing. */
double nn_learner_step(struct nn_learner *learner, double rate, double norm_max);

/* The same in two parts, for who has the gradients of some nodes only (`nodes`, as bits), and others
 * the rest: the sums of squares of each node's, 0 for others, in `squares` (NN_NODES_MAX); and, with
 * those of all nodes, the step of some. */
#define NN_ALL UINT64_MAX
void nn_squares(const struct nn *nn, uint64_t nodes, double *squares);
double nn_learner_move(struct nn_learner *learner, uint64_t nodes, const double *squares,
                       double rate, double norm_max);

/* Of a rate or a coefficient, over the progress of a run from 0 to 1. */
enum nn_schedule_kind { NN_CONSTANT, NN_LINEAR_TO, NN_COSINE_TO };
struct nn_schedule {
    enum nn_schedule_kind kind;
    double from, to;
    double warmup; /* the part of the run over which it rises from 0 to `from` first */
};
double nn_schedule_at(const struct nn_schedule *schedule, double progress);

#endif
