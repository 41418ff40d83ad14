/* Checked nonsense from a node, and the journal that comes of it: the head core never asserts on
 * what a peer sent, its indices agree after every step, and what it persisted can be replayed into
 * another one, and its snapshot too. */
#include <stdlib.h>
#include <string.h>

#include "runtime/core/core.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/span.h"

#define NODE        1u
#define INCARNATION 1u

struct head {
    struct rtci_head_core *core;
    struct rtci_head_actions actions;
    struct rtci_buf journal;
    uint64_t now_ns;
};

static struct rtci_head_core *create(void)
{
    struct rtci_head_core *core;
    struct rtci_head_config config = {.epoch = 1, .now_ns = 1, .seed = 1, .check = true};
    if (rtci_head_core_create(&config, &core) != 0)
        abort();
    return core;
}

static void end_turn(struct head *head)
{
    rtci_head_core_tick(head->core, head->now_ns, &head->actions);
    rtci_buf_put(&head->journal, head->actions.persist.data, head->actions.persist.len);
    rtci_head_actions_clear(&head->actions);
    head->now_ns += 1000000;
}

static void receive(struct head *head, const struct rtci_rec *rec)
{
    rtci_head_core_receive(head->core, head->now_ns, NODE, INCARNATION, rec, rec->size,
                           &head->actions);
    end_turn(head);
}

static void on_record(void *arg, const struct rtci_rec *rec)
{
    receive(arg, rec);
}

/* A node with four CPUs, and two drivers: their numbers are what the head gives first. */
static void prepare(struct head *head)
{
    rtci_head_core_recovered(head->core, head->now_ns, 0);
    rtci_head_core_node_up(head->core, head->now_ns, NODE, INCARNATION, &head->actions);
    struct rtci_node_hello hello = {.rec = {sizeof(hello), RTCI_R_NODE_HELLO, 0},
                                    .incarnation = INCARNATION,
                                    .cpu = 40000,
                                    .mem = 1 << 30,
                                    .store = 1 << 28,
                                    .name = "fuzz"};
    receive(head, &hello.rec);
    struct rtci_rec ready = {sizeof(ready), RTCI_R_NODE_READY, 0};
    receive(head, &ready);
    for (uint32_t token = 1; token <= 2; token++) {
        struct rtci_client_new driver = {.rec = {sizeof(driver), RTCI_R_CLIENT_NEW, 0},
                                         .token = token,
                                         .role = RTCI_ROLE_DRIVER,
                                         .job_lo = token,
                                         .name = "driver",
                                         .ns = "default"};
        receive(head, &driver.rec);
        struct {
            struct rtci_wrap wrap;
            struct rtci_shape shape;
        } shape = {.wrap = {.rec = {sizeof(shape), RTCI_R_FROM_CLIENT, 0}, .client = token},
                   .shape = {.rec = {sizeof(struct rtci_shape), RTCI_R_SHAPE, 0}, .cpu = 10000}};
        receive(head, &shape.wrap.rec);
    }
}

static int replay_chunk(void *arg, const void *data, size_t len)
{
    const char *why = "";
    return rtci_head_core_replay(arg, data, len, &why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct head head = {.core = create(), .now_ns = 1};
    prepare(&head);
    span_each(data, size, on_record, &head);

    const char *why = "";
    struct rtci_head_core *again = create();
    if (head.journal.failed ||
        rtci_head_core_replay(again, head.journal.data, head.journal.len, &why) != 0)
        abort(); /* what was written must be readable */
    rtci_head_core_check(again);
    struct rtci_head_core *third = create();
    if (rtci_head_core_snapshot(again, replay_chunk, third) != 0)
        abort();
    rtci_head_core_check(third);

    /* Any bytes as a journal: refused or taken, never more. */
    struct rtci_head_core *fourth = create();
    void *copy = aligned_alloc(8, (size + 15) / 8 * 8);
    if (copy) {
        memcpy(copy, data, size);
        if (rtci_head_core_replay(fourth, copy, size, &why) == 0)
            rtci_head_core_check(fourth);
        free(copy);
    }

    rtci_head_core_node_down(head.core, head.now_ns, NODE, INCARNATION, "the end", &head.actions);
    end_turn(&head);
    rtci_head_core_destroy(fourth);
    rtci_head_core_destroy(third);
    rtci_head_core_destroy(again);
    rtci_head_core_destroy(head.core);
    rtci_head_actions_fini(&head.actions);
    rtci_buf_fini(&head.journal);
    return 0;
}

static bool to_head(uint16_t type)
{
    return type == RTCI_R_FROM_CLIENT || (type >= 66 && type != RTCI_R_CLIENT_ID);
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    return span_make(rng, at, 1 + rng_below(rng, 12), to_head);
}
