#include "actors/ppo/share.h"

#include "actors/ppo/inner.h"

static uint64_t of_policy(const struct ppo *ppo)
{
    uint64_t nodes = nn_needs(ppo->nn, ppo->policy);
    return ppo->log_sigma < 0 ? nodes : nodes | nn_needs(ppo->nn, ppo->log_sigma);
}

bool ppo_apart(const struct ppo *ppo)
{
    uint64_t both = of_policy(ppo) & nn_needs(ppo->nn, ppo->value);
    for (int i = 0; both >> i; i++) {
        size_t n = 0;
        if (both >> i & 1)
            (void)nn_param_at(ppo->nn, i, &n);
        if (n > 0)
            return false;
    }
    return true;
}

void ppo_share(struct ppo *ppo, const struct ppo_share *share)
{
    ppo->share = *share;
    ppo->parted = share->size == 2 && !share->by_rows && ppo_apart(ppo);
}

static bool alone(const struct ppo *ppo)
{
    return ppo->share.size < 2;
}

struct ppo_part ppo_part_of(const struct ppo *ppo, size_t n)
{
    const struct ppo_share *s = &ppo->share;
    struct ppo_part part = {.n = n, .policy = true, .value = true, .nodes = NN_ALL};
    if (ppo->parted) {
        part.policy = s->rank == 0;
        part.value = !part.policy;
        part.nodes = part.policy ? of_policy(ppo) : nn_needs(ppo->nn, ppo->value);
    } else if (!alone(ppo)) {
        part.first = n * s->rank / s->size;
        part.n = n * (s->rank + 1) / s->size - part.first;
    }
    return part;
}

int ppo_join_elements(struct ppo *ppo, void *data, size_t n)
{
    return alone(ppo) ? 0 : ppo->share.sum(ppo->share.arg, data, n, ppo->backend->element);
}

int ppo_join_numbers(struct ppo *ppo, double *numbers, size_t n)
{
    return alone(ppo) ? 0 : ppo->share.sum(ppo->share.arg, numbers, n, sizeof(*numbers));
}

int ppo_join_gradients(struct ppo *ppo, const struct ppo_part *part, double *ret_squares)
{
    int rc = ppo->parted ? 0 : ppo_join_elements(ppo, nn_grads(ppo->nn), nn_count(ppo->nn));
    if (rc < 0)
        return rc;
    nn_squares(ppo->nn, part->nodes, ret_squares);
    return ppo->parted ? ppo_join_numbers(ppo, ret_squares, (size_t)nn_nodes(ppo->nn)) : 0;
}

static int spread(struct ppo *ppo, size_t at, size_t n, uint32_t root)
{
    size_t element = ppo->backend->element, count = nn_count(ppo->nn);
    char *const all[] = {nn_params(ppo->nn), ppo->learner.moments,
                         (char *)ppo->learner.moments + count * element};
    int rc = 0;
    for (int i = 0; rc >= 0 && n > 0 && i < 3; i++)
        rc = ppo->share.spread(ppo->share.arg, all[i] + at * element, n * element, root);
    return rc;
}

/* Parameters of neighbouring nodes that one learner moved go together. */
int ppo_join_parts(struct ppo *ppo)
{
    uint64_t policy = of_policy(ppo);
    size_t begin = 0, n = 0;
    uint32_t root = 0;
    int rc = 0;
    for (int i = 0; ppo->parted && rc >= 0 && i < nn_nodes(ppo->nn); i++) {
        size_t more, at = nn_param_at(ppo->nn, i, &more);
        uint32_t owner = policy >> i & 1 ? 0 : 1;
        if (more == 0)
            continue;
        if (owner != root || at != begin + n) {
            rc = spread(ppo, begin, n, root);
            begin = at;
            n = 0;
            root = owner;
        }
        n += more;
    }
    return rc < 0 || !ppo->parted ? rc : spread(ppo, begin, n, root);
}
