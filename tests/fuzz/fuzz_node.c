/* Checked nonsense from clients and from the head: the node core never asserts on it. The first
 * byte of the flags of each record says whose it is. */
#include <stdlib.h>

#include <rtc/error.h>

#include "runtime/core/core.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/span.h"

struct node {
    struct rtci_node_core *core;
    struct rtci_node_actions actions;
    uint64_t now_ns;
    struct rtci_id pulls[16]; /* some that were asked for */
    uint32_t n_pulls;
};

/* Some pulls end at once, some later, some never, and some twice. */
static void on_pulls(struct node *node)
{
    for (uint32_t i = 0; i < node->actions.n_act; i++) {
        struct rtci_node_action act = node->actions.act[i];
        int status = act.type == RTCI_NA_PULL_STOP ? RTC_E_CANCELLED
                     : act.id.seq % 4              ? 0
                                                   : RTC_E_LOST;
        if (act.type == RTCI_NA_PULL && act.id.seq % 3 == 0)
            node->pulls[node->n_pulls++ % 16] = act.id;
        else if (act.type == RTCI_NA_PULL || act.type == RTCI_NA_PULL_STOP)
            rtci_node_core_pulled(node->core, node->now_ns, act.id, status, &node->actions);
    }
    if (node->n_pulls && node->now_ns / 1000000 % 5 == 0)
        rtci_node_core_pulled(node->core, node->now_ns,
                              node->pulls[node->now_ns / 1000000 % 7 % node->n_pulls % 16], 0,
                              &node->actions);
}

static void end_turn(struct node *node)
{
    on_pulls(node);
    rtci_node_core_tick(node->core, node->now_ns, &node->actions);
    rtci_node_core_check(node->core);
    rtci_node_actions_clear(&node->actions);
    node->now_ns += 1000000;
}

static void from_head(struct node *node, const struct rtci_rec *rec)
{
    rtci_node_core_head_span(node->core, node->now_ns, rec, rec->size, &node->actions);
    end_turn(node);
}

static void on_record(void *arg, const struct rtci_rec *rec)
{
    struct node *node = arg;
    uint32_t token = rec->flags & 3u;
    if (token == 1 || token == 2) {
        rtci_node_core_client_span(node->core, node->now_ns, token, rec, rec->size, &node->actions);
        rtci_node_core_client_read(node->core, token, rec->size, &node->actions);
        end_turn(node);
    } else {
        from_head(node, rec);
    }
}

static void prepare(struct node *node)
{
    rtci_node_core_hello(node->core, node->now_ns, &node->actions);
    rtci_node_core_ready(node->core, &node->actions);
    end_turn(node);
    for (uint32_t token = 1; token <= 2; token++) {
        struct rtci_attach attach = {.token = token,
                                     .role = RTCI_ROLE_DRIVER,
                                     .pid = 100 + token,
                                     .job_lo = token,
                                     .name = "driver",
                                     .ns = "default"};
        rtci_node_core_attach(node->core, node->now_ns, &attach, NULL, &node->actions);
        end_turn(node);
        struct rtci_client_id id = {.rec = {sizeof(id), RTCI_R_CLIENT_ID, 0},
                                    .token = token,
                                    .client = token,
                                    .job = token};
        from_head(node, &id.rec);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtci_node_config config = {.now_ns = 1,
                                      .incarnation = 1,
                                      .cpu = 40000,
                                      .mem = 1 << 30,
                                      .store = 1 << 26,
                                      .prestart = 1,
                                      .name = "fuzz"};
    struct node node = {.now_ns = 1};
    if (rtci_node_core_create(&config, &node.core) != 0)
        abort();
    prepare(&node);
    span_each(data, size, on_record, &node);
    for (uint32_t token = 1; token <= 2; token++) {
        struct rtci_gone gone = {.token = token, .exit_status = 0};
        rtci_node_core_gone(node.core, node.now_ns, &gone, &node.actions);
        end_turn(&node);
    }
    rtci_node_core_destroy(node.core);
    rtci_node_actions_fini(&node.actions);
    return 0;
}

static bool to_node(uint16_t type)
{
    return type != RTCI_R_FROM_CLIENT;
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    size_t size = span_make(rng, at, 1 + rng_below(rng, 12), to_node);
    for (size_t end = 0; end < size;) {
        struct rtci_rec *rec = (struct rtci_rec *)(at + end);
        rec->flags = rec->type < 32 ? (uint16_t)(1 + rng_below(rng, 2)) : 0;
        end += rec->size;
    }
    return size;
}
