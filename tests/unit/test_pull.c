/* Large objects between nodes: what a node core does with rows that lie elsewhere, and where the
 * head core says that they lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rtc/error.h>

#include "runtime/base/bounds.h"
#include "runtime/core/core.h"
#include "runtime/wire/wire.h"

#define MIB    1048576ull
#define DRIVER 7u
#define EXEC   8u

/* ---- The node ---- */

struct node {
    struct rtci_node_core *core;
    struct rtci_node_actions actions;
};

static void from_head(struct node *node, const void *rec)
{
    int64_t size = ((const struct rtci_rec *)rec)->size;
    assert_int_equal(rtci_wire_check(rec, (size_t)size), size);
    rtci_node_core_head_span(node->core, 1, rec, (size_t)size, &node->actions);
    rtci_node_core_check(node->core);
}

static void begin(struct node *node)
{
    rtci_node_core_tick(node->core, 1, &node->actions);
    rtci_node_core_check(node->core);
    rtci_node_actions_clear(&node->actions);
}

/* The n-th record of that type to the head, to a token, or NULL. */
static const void *said(const struct node *node, uint32_t token, uint16_t type, uint32_t nth)
{
    const struct rtci_buf *buf = token ? NULL : &node->actions.to_head;
    for (uint32_t i = 0; token && i < node->actions.n_out; i++)
        buf = node->actions.out[i].token == token ? &node->actions.out[i].buf : buf;
    for (size_t at = 0; buf && at < buf->len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(buf->data + at);
        if (rec->type == type && nth-- == 0)
            return rec;
        at += rec->size;
    }
    return NULL;
}

static const struct rtci_node_action *act(const struct node *node, enum rtci_node_action_type type,
                                          uint32_t nth)
{
    for (uint32_t i = 0; i < node->actions.n_act; i++) {
        if (node->actions.act[i].type == type && nth-- == 0)
            return &node->actions.act[i];
    }
    return NULL;
}

static void numbered(struct node *node, uint32_t token, uint32_t client)
{
    struct rtci_client_id id = {
        .rec = {sizeof(id), RTCI_R_CLIENT_ID, 0}, .token = token, .client = client, .job = 1};
    from_head(node, &id);
}

static void start(struct node *node)
{
    struct rtci_node_config config = {
        .now_ns = 1, .incarnation = 1, .cpu = 10000, .store = 64 * MIB, .prestart = 1};
    *node = (struct node){0};
    assert_int_equal(rtci_node_core_create(&config, &node->core), 0);
    rtci_node_core_hello(node->core, 1, &node->actions);
    rtci_node_core_ready(node->core, &node->actions);
    struct rtci_attach attach = {.token = 1, .role = RTCI_ROLE_DRIVER, .pid = 1};
    rtci_node_core_attach(node->core, 1, &attach, NULL, &node->actions);
    numbered(node, 1, DRIVER);
    numbered(node, RTCI_TOKEN_EXEC, EXEC);
    struct rtci_slot_open open = {
        .rec = {sizeof(open), RTCI_R_SLOT_OPEN, 0}, .slot = 1, .job = 1, .cpu = 10000};
    from_head(node, &open);
    rtci_node_core_executor_ready(node->core, 1, RTCI_TOKEN_EXEC, 99, &node->actions);
    begin(node);
}

static void stop(struct node *node)
{
    rtci_node_core_check(node->core);
    rtci_node_actions_fini(&node->actions);
    rtci_node_core_destroy(node->core);
}

/* A result of the driver's task `seq`, whose only value lies on node 2. */
static void result(struct node *node, uint64_t seq, uint64_t size)
{
    struct {
        struct rtci_wrap wrap;
        struct rtci_done done;
        struct rtci_resolved row;
    } rec = {.wrap = {.rec = {sizeof(rec), RTCI_R_TO_CLIENT, 0}, .client = DRIVER},
             .done = {.rec = {sizeof(rec) - sizeof(rec.wrap), RTCI_R_RESULT, 0},
                      .seq = seq,
                      .client = DRIVER,
                      .attempt = 1,
                      .n_returns = 1},
             .row = {.kind = RTCI_KIND_REMOTE, .size = size, .offset = 2}};
    from_head(node, &rec);
}

static void task(struct node *node, uint64_t seq, uint64_t needs)
{
    struct {
        struct rtci_spec spec;
        struct rtci_id ref;
        struct rtci_resolved row;
    } rec = {.spec = {.rec = {sizeof(rec), RTCI_R_TASK, 0},
                      .seq = seq,
                      .client = DRIVER,
                      .n_returns = 1,
                      .n_refs = 1,
                      .attempt = 1,
                      .slot = 1,
                      .job = 1},
             .ref = {needs, DRIVER, 0},
             .row = {.kind = needs ? RTCI_KIND_REMOTE : RTCI_KIND_ABSENT,
                     .size = needs ? MIB : 0,
                     .offset = needs ? 2 : 0}};
    from_head(node, &rec);
}

static void pulled(struct node *node, uint64_t seq, int status)
{
    rtci_node_core_pulled(node->core, 1, (struct rtci_id){seq, DRIVER, 0}, status, &node->actions);
    rtci_node_core_check(node->core);
}

static void object_free(struct node *node, uint64_t seq)
{
    struct {
        struct rtci_ids ids;
        struct rtci_id id;
    } rec = {{{sizeof(rec), RTCI_R_OBJECT_FREE, 0}, 1, 0}, {seq, DRIVER, 0}};
    from_head(node, &rec);
}

static void result_waits(void **state)
{
    (void)state;
    struct node node;
    start(&node);
    result(&node, 1, MIB);
    result(&node, 1, MIB); /* joins the first */
    result(&node, 2, MIB);
    const struct rtci_node_action *pull = act(&node, RTCI_NA_PULL, 0);
    assert_true(pull && pull->id.seq == 1 && pull->size == MIB && pull->source == 2);
    assert_true(act(&node, RTCI_NA_PULL, 1) && !act(&node, RTCI_NA_PULL, 2));
    uint64_t offset = pull->offset, at, size;
    struct rtci_id id = pull->id;
    assert_null(said(&node, 1, RTCI_R_RESULT, 0));
    assert_false(rtci_node_core_object(node.core, id, &at, &size));
    begin(&node);
    pulled(&node, 1, 0);
    const struct rtci_done *done = said(&node, 1, RTCI_R_RESULT, 0);
    assert_true(done && done->seq == 1 && said(&node, 1, RTCI_R_RESULT, 1));
    assert_null(said(&node, 1, RTCI_R_RESULT, 2)); /* the other stands alone */
    assert_int_equal(rtci_done_returns(done)->kind, RTCI_KIND_ARENA);
    assert_int_equal(rtci_done_returns(done)->offset, offset);
    assert_non_null(said(&node, 0, RTCI_R_PULLED, 0));
    assert_non_null(act(&node, RTCI_NA_STORE_SET, 0));
    assert_true(rtci_node_core_object(node.core, id, &at, &size) && at == offset && size == MIB);
    begin(&node);
    result(&node, 1, MIB); /* it is here now */
    assert_non_null(said(&node, 1, RTCI_R_RESULT, 0));
    assert_null(act(&node, RTCI_NA_PULL, 0));
    stop(&node);
}

static void failed_pull_asks_again(void **state)
{
    (void)state;
    struct node node;
    start(&node);
    result(&node, 1, MIB);
    task(&node, 5, 1);
    begin(&node);
    pulled(&node, 1, RTC_E_LOST);
    const struct rtci_cancel *failed = said(&node, 0, RTCI_R_PULL_FAILED, 0);
    assert_true(failed && failed->slot == 2 && failed->id.seq == 1 && failed->mode == 0);
    const struct rtci_wrap *wrap = said(&node, 0, RTCI_R_FROM_CLIENT, 0);
    assert_true(wrap && wrap->client == DRIVER);
    const struct rtci_ids *want = (const struct rtci_ids *)(wrap + 1);
    assert_true(want->rec.type == RTCI_R_WANT && want->n == 1);
    const struct rtci_returned *returned = said(&node, 0, RTCI_R_RETURNED, 0);
    assert_true(returned && returned->n == 1 && returned->slot == 1);
    assert_true((const void *)failed < (const void *)returned); /* the head knows why */
    rtci_node_core_tick(node.core, 1, &node.actions);
    assert_non_null(said(&node, 0, RTCI_R_CREDIT, 0)); /* the result never came to the ring */
    assert_null(said(&node, 1, RTCI_R_RESULT, 0));
    stop(&node);
}

/* What can run runs; what waits joins the ring behind it, and is what comes back first. */
static void tasks_wait(void **state)
{
    (void)state;
    struct node node;
    start(&node);
    task(&node, 10, 1);
    task(&node, 11, 0);
    task(&node, 12, 2);
    const struct rtci_spec *spec = said(&node, RTCI_TOKEN_EXEC, RTCI_R_TASK, 0);
    assert_true(spec && spec->seq == 11);
    assert_null(said(&node, RTCI_TOKEN_EXEC, RTCI_R_TASK, 1));
    begin(&node);
    rtci_node_core_tick(node.core, 100 * RTCI_NS_PER_MS, &node.actions);
    const struct rtci_cancel *started = said(&node, 0, RTCI_R_STARTED, 0);
    assert_true(started && started->id.seq == 11 && !said(&node, 0, RTCI_R_STARTED, 1));
    begin(&node);
    pulled(&node, 1, 0);
    spec = said(&node, RTCI_TOKEN_EXEC, RTCI_R_TASK, 0);
    assert_true(spec && spec->seq == 10);
    assert_int_equal(rtci_task_resolved(spec)->kind, RTCI_KIND_ARENA);
    begin(&node);
    struct rtci_slot_msg recall = {.rec = {sizeof(recall), RTCI_R_RECALL, 0}, .slot = 1, .op = 1};
    from_head(&node, &recall);
    const struct rtci_returned *returned = said(&node, 0, RTCI_R_RETURNED, 0);
    assert_true(returned && ((const struct rtci_held *)(returned + 1))->id.seq == 12);
    assert_null(act(&node, RTCI_NA_RECALL, 0)); /* that was enough */
    begin(&node);
    task(&node, 13, 2);
    struct rtci_cancel cancel = {
        .rec = {sizeof(cancel), RTCI_R_CANCEL, 0}, .id = {13, DRIVER, 0}, .slot = 1, .attempt = 1};
    from_head(&node, &cancel);
    assert_non_null(said(&node, 0, RTCI_R_RETURNED, 0));
    pulled(&node, 2, 0);
    assert_null(said(&node, RTCI_TOKEN_EXEC, RTCI_R_TASK, 0));
    task(&node, 14, 3);
    begin(&node);
    struct rtci_gone gone = {.token = RTCI_TOKEN_EXEC, .code = RTC_E_CRASHED, .signal = 9};
    rtci_node_core_gone(node.core, 1, &gone, &node.actions);
    assert_non_null(said(&node, 0, RTCI_R_SLOT_LOST, 0));
    pulled(&node, 3, 0);
    assert_null(said(&node, RTCI_TOKEN_EXEC, RTCI_R_TASK, 0));
    stop(&node);
}

static void room(void **state)
{
    (void)state;
    struct node node;
    start(&node);
    result(&node, 1, 40 * MIB);
    result(&node, 2, 40 * MIB); /* no room beside the first */
    result(&node, 3, 65 * MIB); /* nor ever */
    assert_true(act(&node, RTCI_NA_PULL, 0) && !act(&node, RTCI_NA_PULL, 1));
    const struct rtci_cancel *failed = said(&node, 0, RTCI_R_PULL_FAILED, 0);
    assert_true(failed && failed->id.seq == 3 && failed->mode == (uint32_t)-RTC_E_TOO_LARGE);
    const struct rtci_done *done = said(&node, 1, RTCI_R_RESULT, 0);
    assert_true(done && done->seq == 3 && done->status == RTC_E_TOO_LARGE);
    begin(&node);
    pulled(&node, 1, 0);
    begin(&node);
    object_free(&node, 1);
    const struct rtci_node_action *pull = act(&node, RTCI_NA_PULL, 0);
    assert_true(pull && pull->id.seq == 2);
    stop(&node);
}

static void freed_meanwhile(void **state)
{
    (void)state;
    struct node node;
    uint64_t offset, size;
    start(&node);
    result(&node, 1, MIB);
    begin(&node);
    object_free(&node, 1);
    object_free(&node, 1);
    assert_true(act(&node, RTCI_NA_PULL_STOP, 0) && !act(&node, RTCI_NA_PULL_STOP, 1));
    assert_null(act(&node, RTCI_NA_STORE_SET, 0)); /* the loop may be writing */
    begin(&node);
    pulled(&node, 1, RTC_E_CANCELLED);
    assert_non_null(act(&node, RTCI_NA_STORE_SET, 0));
    assert_null(said(&node, 0, RTCI_R_PULL_FAILED, 0));
    assert_false(rtci_node_core_object(node.core, (struct rtci_id){1, DRIVER, 0}, &offset, &size));
    begin(&node);
    /* A client that goes leaves nothing behind; what is on its way comes all the same. */
    result(&node, 2, MIB);
    struct rtci_gone gone = {.token = 1};
    rtci_node_core_gone(node.core, 1, &gone, &node.actions);
    pulled(&node, 2, 0);
    assert_non_null(said(&node, 0, RTCI_R_PULLED, 0));
    stop(&node);
}

/* After a restart of the daemon: what was complete is told, what was not is gone. */
static void restart(void **state)
{
    (void)state;
    struct node node = {0};
    struct rtci_node_config config = {
        .now_ns = 1, .cpu = 10000, .store = 64 * MIB, .store_used = true};
    assert_int_equal(rtci_node_core_create(&config, &node.core), 0);
    const struct rtci_arena_entry whole = {{1, DRIVER, 0}, 0, MIB, 2, 0};
    const struct rtci_arena_entry half = {{2, DRIVER, 0}, 4 * MIB, MIB, 1, 0};
    rtci_node_core_arena_adopt(node.core, 0, &whole);
    rtci_node_core_arena_adopt(node.core, 1, &half);
    rtci_node_core_hello(node.core, 1, &node.actions);
    const struct rtci_put *held = said(&node, 0, RTCI_R_OBJECT_HELD, 0);
    assert_true(held && held->id.seq == 1 && !said(&node, 0, RTCI_R_OBJECT_HELD, 1));
    assert_int_equal(rtci_node_core_arena_entry(node.core, 1)->state, 0);
    stop(&node);
}

/* ---- The head ---- */

struct head {
    struct rtci_head_core *core;
    struct rtci_head_actions actions;
};

static void turn(struct head *head)
{
    rtci_head_actions_clear(&head->actions);
}

static void to_head(struct head *head, uint32_t node, const void *rec)
{
    int64_t size = ((const struct rtci_rec *)rec)->size;
    assert_int_equal(rtci_wire_check(rec, (size_t)size), size);
    rtci_head_core_receive(head->core, 1, node, 1, rec, (size_t)size, &head->actions);
    rtci_head_core_tick(head->core, 1, &head->actions);
}

static const void *told(const struct head *head, uint32_t node, uint16_t type, uint32_t client)
{
    for (uint32_t i = 0; i < head->actions.n_out; i++) {
        const struct rtci_buf *buf = &head->actions.out[i].buf;
        for (size_t at = 0; at < buf->len && head->actions.out[i].node == node;) {
            const struct rtci_rec *rec = (const struct rtci_rec *)(buf->data + at);
            if (client && rec->type == RTCI_R_TO_CLIENT &&
                ((const struct rtci_wrap *)rec)->client == client &&
                ((const struct rtci_rec *)((const struct rtci_wrap *)rec + 1))->type == type)
                return (const struct rtci_wrap *)rec + 1;
            if (!client && rec->type == type)
                return rec;
            at += rec->size;
        }
    }
    return NULL;
}

static void head_start(struct head *head, uint32_t nodes)
{
    struct rtci_head_config config = {.epoch = 1, .now_ns = 1, .check = true};
    *head = (struct head){0};
    assert_int_equal(rtci_head_core_create(&config, &head->core), 0);
    rtci_head_core_recovered(head->core, 1, 0);
    for (uint32_t i = 1; i <= nodes; i++) {
        rtci_head_core_node_up(head->core, 1, i, 1, &head->actions);
        struct rtci_node_hello hello = {.rec = {sizeof(hello), RTCI_R_NODE_HELLO, 0},
                                        .incarnation = 1,
                                        .cpu = 10000,
                                        .mem = 1 << 30,
                                        .store = 1 << 30};
        hello.name[0] = (char)('a' + i);
        struct rtci_rec ready = {sizeof(ready), RTCI_R_NODE_READY, 0};
        to_head(head, i, &hello);
        to_head(head, i, &ready);
    }
    for (uint32_t i = 1; i <= nodes; i++) { /* client i on node i: the first is the driver */
        struct rtci_client_new client = {.rec = {sizeof(client), RTCI_R_CLIENT_NEW, 0},
                                         .token = 1,
                                         .role = i == 1 ? RTCI_ROLE_DRIVER : RTCI_ROLE_EXECUTOR,
                                         .job = i > 1};
        to_head(head, i, &client);
    }
    turn(head);
}

/* The put `1` of the driver, of 1 MiB, on node 1. */
static void head_put(struct head *head)
{
    struct {
        struct rtci_wrap wrap;
        struct rtci_put put;
    } rec = {.wrap = {.rec = {sizeof(rec), RTCI_R_FROM_CLIENT, 0}, .client = 1},
             .put = {.rec = {sizeof(rec.put), RTCI_R_SEAL, 0},
                     .id = {1, 1, 0},
                     .kind = RTCI_KIND_ARENA,
                     .size = MIB,
                     .offset = 64}};
    to_head(head, 1, &rec);
}

static const struct rtci_done *want(struct head *head, uint32_t client)
{
    struct {
        struct rtci_wrap wrap;
        struct rtci_ids ids;
        struct rtci_id id;
    } rec = {.wrap = {.rec = {sizeof(rec), RTCI_R_FROM_CLIENT, 0}, .client = client},
             .ids = {{sizeof(rec) - sizeof(rec.wrap), RTCI_R_WANT, 0}, 1, 0},
             .id = {1, 1, 0}};
    turn(head);
    to_head(head, client, &rec);
    return told(head, client, RTCI_R_RESULT, client);
}

static void say_ids(struct head *head, uint32_t node, uint16_t type, uint64_t seq)
{
    struct {
        struct rtci_ids ids;
        struct rtci_id id;
    } rec = {{{sizeof(rec), type, 0}, 1, 0}, {seq, 1, 0}};
    to_head(head, node, &rec);
}

static void pull_failed(struct head *head, uint32_t node, uint32_t source)
{
    struct rtci_cancel rec = {
        .rec = {sizeof(rec), RTCI_R_PULL_FAILED, 0}, .id = {1, 1, 0}, .slot = source};
    to_head(head, node, &rec);
}

/* The client's record `seq`: a task that needs the put. */
static void submit(struct head *head, uint32_t client, uint64_t seq)
{
    struct {
        struct rtci_wrap wrap;
        struct rtci_shape shape;
        struct rtci_spec spec;
        struct rtci_id ref;
    } rec = {.wrap = {.rec = {sizeof(rec), RTCI_R_FROM_CLIENT, 0}, .client = client},
             .shape = {.rec = {sizeof(rec.shape), RTCI_R_SHAPE, 0}, .cpu = 10000},
             .spec = {.rec = {sizeof(rec.spec) + sizeof(rec.ref), RTCI_R_SUBMIT, 0},
                      .seq = seq,
                      .client = client,
                      .n_returns = 1,
                      .n_refs = 1},
             .ref = {1, 1, 0}};
    turn(head);
    to_head(head, client, &rec);
}

static void where_it_lies(void **state)
{
    (void)state;
    struct head head;
    head_start(&head, 3);
    head_put(&head);
    const struct rtci_resolved *row = rtci_done_returns(want(&head, 1));
    assert_true(row->kind == RTCI_KIND_ARENA && row->offset == 64);
    row = rtci_done_returns(want(&head, 2));
    assert_true(row->kind == RTCI_KIND_REMOTE && row->offset == 1 && row->size == MIB);
    say_ids(&head, 2, RTCI_R_PULLED, 1);
    uint32_t seen = 0; /* both nodes are told of, in turn */
    for (int i = 0; i < 2; i++)
        seen |= 1u << rtci_done_returns(want(&head, 3))->offset;
    assert_int_equal(seen, 1u << 1 | 1u << 2);
    row = rtci_done_returns(want(&head, 2));
    assert_true(row->kind == RTCI_KIND_REMOTE && row->offset == 2); /* its own copy */
    /* Released: home and copy are deleted, and a copy that comes later. */
    struct {
        struct rtci_wrap wrap;
        struct rtci_range range;
    } rec = {.wrap = {.rec = {sizeof(rec), RTCI_R_FROM_CLIENT, 0}, .client = 1},
             .range = {.rec = {sizeof(rec.range), RTCI_R_RELEASE, 0},
                       .seq = 1,
                       .count = 1,
                       .client = 1,
                       .index = RTCI_ALL_RETURNS}};
    turn(&head);
    to_head(&head, 1, &rec);
    assert_true(told(&head, 1, RTCI_R_OBJECT_FREE, 0) && told(&head, 2, RTCI_R_OBJECT_FREE, 0));
    assert_null(told(&head, 3, RTCI_R_OBJECT_FREE, 0));
    say_ids(&head, 3, RTCI_R_PULLED, 1);
    assert_non_null(told(&head, 3, RTCI_R_OBJECT_FREE, 0));
    rtci_head_actions_fini(&head.actions);
    rtci_head_core_destroy(head.core);
}

static void when_it_is_lost(void **state)
{
    (void)state;
    struct head head;
    head_start(&head, 3);
    head_put(&head);
    say_ids(&head, 2, RTCI_R_PULLED, 1);
    pull_failed(&head, 3, 1); /* its home cannot give it: the copy can */
    const struct rtci_done *done = want(&head, 3);
    assert_int_equal(done->status, 0);
    assert_int_equal(rtci_done_returns(done)->offset, 2);
    rtci_head_core_node_down(head.core, 1, 2, 1, "its cable was cut", &head.actions);
    done = want(&head, 3);
    assert_int_equal(done->status, RTC_E_LOST);
    const struct rtci_fail *fail =
        (const struct rtci_fail *)((const char *)done + rtci_done_returns(done)->offset);
    assert_memory_equal(fail + 1, "the object lay on node 1 (b)", 28);
    /* What needs it fails with that story. */
    submit(&head, 1, 2);
    done = told(&head, 1, RTCI_R_RESULT, 1);
    assert_true(done && done->seq == 2 && done->status == RTC_E_LOST);
    say_ids(&head, 3, RTCI_R_PULLED, 1); /* one was on its way: it is whole again */
    assert_int_equal(want(&head, 3)->status, 0);
    rtci_head_actions_fini(&head.actions);
    rtci_head_core_destroy(head.core);
}

/* Its daemon was started again: until it has said its hello its objects are there all the same. */
static void home_begins_anew(void **state)
{
    (void)state;
    struct head head;
    head_start(&head, 3);
    head_put(&head);
    rtci_head_core_node_up(head.core, 1, 1, 2, &head.actions);
    rtci_head_core_node_down(head.core, 1, 2, 1, "its cable was cut", &head.actions);
    const struct rtci_done *done = want(&head, 3);
    assert_int_equal(done->status, 0);
    const struct rtci_resolved *row = rtci_done_returns(done);
    assert_true(row->kind == RTCI_KIND_REMOTE && row->offset == 1);
    submit(&head, 3, 1);
    assert_non_null(told(&head, 3, RTCI_R_TASK, 0));
    assert_null(told(&head, 3, RTCI_R_RESULT, 3));
    rtci_head_core_node_down(head.core, 1, 1, 2, "its lease ended", &head.actions);
    assert_int_equal(want(&head, 3)->status, RTC_E_LOST);
    rtci_head_actions_fini(&head.actions);
    rtci_head_core_destroy(head.core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result_waits),     cmocka_unit_test(failed_pull_asks_again),
        cmocka_unit_test(tasks_wait),       cmocka_unit_test(room),
        cmocka_unit_test(freed_meanwhile),  cmocka_unit_test(restart),
        cmocka_unit_test(where_it_lies),    cmocka_unit_test(when_it_is_lost),
        cmocka_unit_test(home_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
