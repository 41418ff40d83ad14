/* The node core alone: what it does with the memory of its arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/core/core.h"
#include "runtime/wire/wire.h"

#define MIB 1048576ull

struct node {
    struct rtci_node_core *core;
    struct rtci_node_actions actions;
    uint64_t now_ns, seq;
};

static void from_head(struct node *node, const void *rec)
{
    rtci_node_core_head_span(node->core, node->now_ns, rec, ((const struct rtci_rec *)rec)->size,
                             &node->actions);
}

static void start(struct node *node, bool used)
{
    struct rtci_node_config config = {
        .now_ns = 1, .incarnation = 1, .cpu = 10000, .store = 256 * MIB, .store_used = used};
    *node = (struct node){.now_ns = 1};
    assert_int_equal(rtci_node_core_create(&config, &node->core), 0);
    rtci_node_core_hello(node->core, 1, &node->actions);
    rtci_node_core_ready(node->core, &node->actions);
    struct rtci_attach attach = {.token = 1, .role = RTCI_ROLE_TOOL, .pid = 1};
    rtci_node_core_attach(node->core, 1, &attach, NULL, &node->actions);
    struct rtci_client_id id = {
        .rec = {sizeof(id), RTCI_R_CLIENT_ID, 0}, .token = 1, .client = 7, .job = 1};
    from_head(node, &id);
}

static void stop(struct node *node)
{
    rtci_node_actions_fini(&node->actions);
    rtci_node_core_destroy(node->core);
}

/* The answer to an ALLOC; the actions are those of this turn. */
static struct rtci_grant put(struct node *node, uint64_t size)
{
    struct rtci_grant grant = {.status = -1};
    struct rtci_alloc alloc = {
        .rec = {sizeof(alloc), RTCI_R_ALLOC, 0}, .id = {++node->seq, 7, 0}, .size = size};
    rtci_node_actions_clear(&node->actions);
    rtci_node_core_client_span(node->core, node->now_ns, 1, &alloc, sizeof(alloc), &node->actions);
    for (uint32_t i = 0; i < node->actions.n_out; i++) {
        const struct rtci_rec *rec = (const struct rtci_rec *)node->actions.out[i].buf.data;
        if (rec->type == RTCI_R_GRANT)
            memcpy(&grant, rec, sizeof(grant));
    }
    assert_int_equal(grant.status, 0);
    struct rtci_put seal = {.rec = {sizeof(seal), RTCI_R_SEAL, 0},
                            .id = alloc.id,
                            .kind = RTCI_KIND_ARENA,
                            .size = size,
                            .offset = grant.offset};
    rtci_node_core_client_span(node->core, node->now_ns, 1, &seal, sizeof(seal), &node->actions);
    rtci_node_core_check(node->core);
    return grant;
}

static void drop(struct node *node, uint64_t seq)
{
    struct {
        struct rtci_ids ids;
        struct rtci_id id;
    } free = {{{sizeof(free), RTCI_R_OBJECT_FREE, 0}, 1, 0}, {seq, 7, 0}};
    from_head(node, &free);
    rtci_node_core_check(node->core);
}

/* Of one type: how many bytes, and none within [from, to). */
static uint64_t ranges(const struct node *node, enum rtci_node_action_type type, uint64_t from,
                       uint64_t to)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < node->actions.n_act; i++) {
        const struct rtci_node_action *act = &node->actions.act[i];
        if (act->type != type)
            continue;
        assert_true(act->offset >= to || act->offset + act->size <= from);
        assert_true(act->offset + act->size <= 256 * MIB);
        bytes += act->size;
    }
    return bytes;
}

/* Lets time pass until nothing more is to be done; the bytes given back, none of [from, to). */
static uint64_t rest(struct node *node, uint64_t from, uint64_t to)
{
    uint64_t bytes = 0;
    for (int i = 0; i < 200; i++) {
        rtci_node_actions_clear(&node->actions);
        rtci_node_core_tick(node->core, node->now_ns, &node->actions);
        bytes += ranges(node, RTCI_NA_STORE_COOL, from, to);
        if (node->actions.deadline_ns == UINT64_MAX)
            break;
        node->now_ns = node->actions.deadline_ns;
    }
    return bytes;
}

static void memory_is_touched_ahead(void **state)
{
    (void)state;
    struct node node;
    start(&node, false);
    node.now_ns = 2000000000;
    rtci_node_core_tick(node.core, node.now_ns, &node.actions);
    assert_int_equal(ranges(&node, RTCI_NA_STORE_WARM, 0, 0), 4 * MIB);
    struct rtci_grant a = put(&node, 32 * MIB);
    assert_int_equal(ranges(&node, RTCI_NA_STORE_WARM, a.offset, a.offset + 32 * MIB), 32 * MIB);
    struct rtci_grant b = put(&node, 32 * MIB);
    assert_int_equal(b.offset, a.offset + 32 * MIB); /* where it had been touched */
    assert_int_equal(ranges(&node, RTCI_NA_STORE_WARM, 0, b.offset + 32 * MIB), 32 * MIB);
    /* What was freed is taken again: nothing needs to be touched. */
    drop(&node, 2);
    struct rtci_grant c = put(&node, 32 * MIB);
    assert_int_equal(c.offset, b.offset);
    assert_int_equal(ranges(&node, RTCI_NA_STORE_WARM, 0, 0), 0);
    stop(&node);
}

static void free_memory_is_given_back(void **state)
{
    (void)state;
    struct node node;
    start(&node, false);
    struct rtci_grant a = put(&node, 100 * MIB), b = put(&node, 20 * MIB);
    drop(&node, 1);
    /* Of the first object all but 4 MiB, and of what was touched ahead what the second left. */
    assert_int_equal(rest(&node, b.offset, b.offset + 20 * MIB), 96 * MIB + 80 * MIB);
    assert_int_equal(rest(&node, 0, 0), 0);
    struct rtci_grant c = put(&node, 2 * MIB);
    assert_true(c.cools > a.cools); /* its writer hears of it */
    stop(&node);
}

/* A daemon that was restarted does not know what is there: all that no object has goes. */
static void unknown_memory_is_given_back(void **state)
{
    (void)state;
    struct node node;
    start(&node, true);
    assert_int_equal(rest(&node, 0, 0), 252 * MIB);
    stop(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_touched_ahead),
        cmocka_unit_test(free_memory_is_given_back),
        cmocka_unit_test(unknown_memory_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
