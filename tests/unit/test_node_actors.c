/* Actors in the node core: their executors, and the calls that pass through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rtc/error.h>

#include "runtime/core/calls.h"
#include "runtime/core/core.h"

#define ACTOR  ((struct rtci_id){3, 7, 0})
#define DRIVER 7u
#define EXEC   8u
#define JOB    1u

struct node {
    struct rtci_node_core *core;
    struct rtci_node_actions actions;
    uint64_t now_ns;
    uint32_t token; /* of the actor's executor */
};

static void from_head(struct node *node, const void *rec)
{
    assert_true(rtci_wire_check(rec, ((const struct rtci_rec *)rec)->size) > 0);
    rtci_node_core_head_span(node->core, node->now_ns, rec, ((const struct rtci_rec *)rec)->size,
                             &node->actions);
    rtci_node_core_check(node->core);
}

static void client_id(struct node *node, uint32_t token, uint32_t client)
{
    struct rtci_client_id id = {
        .rec = {sizeof(id), RTCI_R_CLIENT_ID, 0}, .token = token, .client = client, .job = JOB};
    from_head(node, &id);
}

static void said(struct node *node, uint32_t token, const void *rec)
{
    rtci_node_core_client_span(node->core, node->now_ns, token, rec,
                               ((const struct rtci_rec *)rec)->size, &node->actions);
    rtci_node_core_check(node->core);
}

static const struct rtci_node_action *acted(const struct node *node, uint32_t type)
{
    for (uint32_t i = node->actions.n_act; i-- > 0;) {
        if (node->actions.act[i].type == type)
            return &node->actions.act[i];
    }
    return NULL;
}

static const void *find(const struct rtci_buf *buf, uint16_t type)
{
    const void *found = NULL;
    for (size_t at = 0; at < buf->len;) {
        const struct rtci_rec *rec = (const struct rtci_rec *)(buf->data + at);
        assert_true(rtci_wire_check(rec, buf->len - at) > 0);
        if (rec->type == type)
            found = rec;
        at += rec->size;
    }
    return found;
}

/* The last record of the type that was written to a process. */
static const void *told(const struct node *node, uint32_t token, uint16_t type)
{
    for (uint32_t i = 0; i < node->actions.n_out; i++) {
        if (node->actions.out[i].token == token)
            return find(&node->actions.out[i].buf, type);
    }
    return NULL;
}

static void begin(struct node *node)
{
    struct rtci_node_config config = {
        .now_ns = 1, .incarnation = 1, .cpu = 10000, .store = 1 << 26, .prestart = 1, .number = 2};
    *node = (struct node){.now_ns = 1};
    assert_int_equal(rtci_node_core_create(&config, &node->core), 0);
    rtci_node_core_hello(node->core, 1, &node->actions);
    rtci_node_core_ready(node->core, &node->actions);
    struct rtci_attach attach = {.token = 1, .role = RTCI_ROLE_DRIVER, .pid = 1};
    rtci_node_core_attach(node->core, 1, &attach, NULL, &node->actions);
    client_id(node, 1, DRIVER);
    client_id(node, RTCI_TOKEN_EXEC, EXEC); /* what is started ahead */
    struct rtci_slot_open open = {
        .rec = {sizeof(open), RTCI_R_SLOT_OPEN, 0}, .slot = 5, .job = JOB, .cpu = 10000};
    from_head(node, &open);
    struct {
        struct rtci_spec spec;
        struct rtci_actor_options options;
    } start = {.spec = {.rec = {sizeof(start), RTCI_R_ACTOR_START, 0},
                        .seq = ACTOR.seq,
                        .client = ACTOR.client,
                        .n_returns = 1,
                        .flags = RTCI_SPEC_ACTOR,
                        .name_len = sizeof(start.options),
                        .attempt = 1,
                        .slot = 5,
                        .job = JOB},
               .options = {.max_restarts = 1}};
    from_head(node, &start);
    node->token = RTCI_TOKEN_EXEC;
}

static void up(struct node *node)
{
    rtci_node_core_executor_ready(node->core, node->now_ns, node->token, 99, &node->actions);
    assert_non_null(told(node, node->token, RTCI_R_ACTOR_START));
    struct rtci_actor_up rec = {
        .rec = {sizeof(rec), RTCI_R_ACTOR_UP, 0}, .id = ACTOR, .incarnation = 1};
    said(node, node->token, &rec);
    assert_non_null(find(&node->actions.to_head, RTCI_R_FROM_CLIENT));
    rtci_node_actions_clear(&node->actions);
}

static void stop(struct node *node)
{
    rtci_node_actions_fini(&node->actions);
    rtci_node_core_destroy(node->core);
}

struct call_record {
    struct rtci_spec spec;
    struct rtci_call call;
};

static struct call_record call_of(uint64_t seq, uint32_t node, uint32_t client,
                                  uint32_t incarnation)
{
    return (struct call_record){.spec = {.rec = {sizeof(struct call_record), RTCI_R_ACTOR_CALL, 0},
                                         .seq = seq,
                                         .client = DRIVER,
                                         .n_returns = 1,
                                         .flags = RTCI_SPEC_CALL,
                                         .name_len = sizeof(struct rtci_call)},
                                .call = {.actor = ACTOR,
                                         .order = seq,
                                         .node = node,
                                         .client = client,
                                         .incarnation = incarnation,
                                         .caller_node = 77}};
}

static void calls_here(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    up(&node);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        struct call_record call = call_of(seq, 2, EXEC, 1);
        said(&node, 1, &call);
    }
    const struct rtci_spec *last = told(&node, node.token, RTCI_R_ACTOR_CALL);
    assert_int_equal(last->seq, 3);
    assert_int_equal(rtci_spec_call(last)->caller_node, 2);       /* not what the caller wrote */
    assert_null(find(&node.actions.to_head, RTCI_R_FROM_CLIENT)); /* the head sees none of it */
    struct {
        struct rtci_done done;
        struct rtci_resolved row;
        uint64_t value;
    } reply = {.done = {.rec = {sizeof(reply), RTCI_R_ACTOR_REPLY, 0},
                        .seq = 3,
                        .client = DRIVER,
                        .attempt = 2,
                        .n_returns = 1},
               .row = {.size = 8, .offset = 64}};
    said(&node, node.token, &reply);
    assert_int_equal(((const struct rtci_done *)told(&node, 1, RTCI_R_ACTOR_REPLY))->seq, 3);
    stop(&node);
}

/* To another node, and from it. */
static void calls_elsewhere(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    up(&node);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        struct call_record call = call_of(seq, 3 + seq % 2, 50, 1);
        said(&node, 1, &call);
    }
    assert_int_equal(node.actions.n_to_nodes, 2);
    assert_int_equal(node.actions.to_nodes[0].node, 4);
    assert_int_equal(((const struct rtci_spec *)node.actions.to_nodes[0].buf.data)->seq, 1);
    const struct rtci_spec *last = find(&node.actions.to_nodes[0].buf, RTCI_R_ACTOR_CALL);
    assert_int_equal(last->seq, 3);
    struct call_record call = call_of(9, 2, EXEC, 1);
    call.spec.client = 60;
    call.call.caller_node = 4;
    rtci_node_core_node_span(node.core, 1, 3, &call, sizeof(call), &node.actions);
    assert_null(told(&node, node.token, RTCI_R_ACTOR_CALL)); /* says it is another's */
    rtci_node_core_node_span(node.core, 1, 4, &call, sizeof(call), &node.actions);
    assert_non_null(told(&node, node.token, RTCI_R_ACTOR_CALL));
    call.call.incarnation = 2; /* of which nothing is here: it is answered */
    rtci_node_core_node_span(node.core, 1, 4, &call, sizeof(call), &node.actions);
    const struct rtci_done *answer = find(&node.actions.to_nodes[0].buf, RTCI_R_ACTOR_REPLY);
    assert_int_equal(answer->client, 60);
    assert_int_equal(answer->rec.flags, RTCI_REPLY_NEVER_RAN);
    stop(&node);
}

/* Clients write what they like: a node that there cannot be, or is not, is no place for a call. */
static void calls_to_nowhere(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    up(&node);
    struct call_record call = call_of(1, RTCI_NODES_MAX + 1, 50, 1);
    said(&node, 1, &call);
    assert_int_equal(node.actions.n_to_nodes, 0);
    const struct rtci_done *answer = told(&node, 1, RTCI_R_ACTOR_REPLY);
    assert_int_equal(answer->rec.flags, RTCI_REPLY_NEVER_RAN);
    rtci_node_actions_clear(&node.actions);
    for (uint64_t seq = 2; seq <= 3; seq++) {
        call = call_of(seq, 3, 50, 1);
        call.call.order = seq == 2; /* the second is a note */
        said(&node, 1, &call);
    }
    struct rtci_buf span = {0};
    rtci_buf_put(&span, node.actions.to_nodes[0].buf.data, node.actions.to_nodes[0].buf.len);
    rtci_node_core_not_sent(node.core, "it is gone", span.data, span.len, &node.actions);
    answer = told(&node, 1, RTCI_R_ACTOR_REPLY);
    assert_int_equal(answer->seq, 2);
    assert_int_equal(answer->rec.flags, RTCI_REPLY_NEVER_RAN);
    rtci_buf_fini(&span);
    stop(&node);
}

/* The head had taken the node for dead: what its processes say from then on is of those that it has
 * replaced. */
static void life_over(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    up(&node);
    struct rtci_life life = {
        .rec = {sizeof(life), RTCI_R_LIFE, 0}, .node = 2, .lives = 1, .life = 9};
    struct rtci_attach fresh = {.token = 3, .role = RTCI_ROLE_DRIVER, .pid = 3};
    rtci_node_core_attach(node.core, 1, &fresh, NULL, &node.actions);
    from_head(&node, &life);
    client_id(&node, 3, 11); /* behind it: of the new life, though the loop looks at that later */
    rtci_node_core_life_over(node.core);
    struct call_record first = call_of(1, 3, 50, 1);
    first.spec.client = 11;
    said(&node, 3, &first);
    assert_int_equal(node.actions.n_to_nodes, 1);
    node.actions.n_to_nodes = 0;
    for (uint64_t seq = 1; seq <= 3; seq++) {
        struct call_record call = call_of(seq, 3, 50, 1);
        call.spec.flags |= seq == 2 ? RTCI_SPEC_REPEATED : 0;
        call.call.order = seq < 3 ? seq : 0; /* the third is a note */
        said(&node, 1, &call);
        const struct rtci_done *answer = told(&node, 1, RTCI_R_ACTOR_REPLY);
        assert_int_equal(answer->seq, seq < 3 ? seq : 2);
        assert_int_equal(answer->rec.flags, seq == 1 ? RTCI_REPLY_NEVER_RAN : RTCI_REPLY_UNKNOWN);
    }
    struct rtci_call of_there = {.actor = ACTOR, .node = 2, .caller_node = 4};
    struct rtci_call_answer late;
    rtci_call_answer(&late, 9, 60, &of_there, 0, "");
    said(&node, node.token, &late.done);
    assert_int_equal(node.actions.n_to_nodes, 0);
    rtci_call_answer(&late, 9, DRIVER, &of_there, 0, "");
    said(&node, node.token, &late.done); /* to one of this node */
    assert_int_equal(((const struct rtci_done *)told(&node, 1, RTCI_R_ACTOR_REPLY))->seq, 9);
    struct rtci_attach attach = {.token = 2, .role = RTCI_ROLE_DRIVER, .pid = 2};
    rtci_node_core_attach(node.core, 1, &attach, NULL, &node.actions);
    client_id(&node, 2, 9);
    struct call_record call = call_of(1, 3, 50, 1);
    call.spec.client = 9;
    said(&node, 2, &call); /* it came afterwards */
    assert_int_equal(node.actions.n_to_nodes, 1);
    stop(&node);
}

/* Notes go from process to process, whatever they are about. */
static void notes(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    up(&node);
    struct call_record note = call_of(1, 2, EXEC, 0);
    note.call.order = 0;
    note.call.actor = (struct rtci_id){0};
    said(&node, 1, &note);
    const struct rtci_spec *got = told(&node, node.token, RTCI_R_ACTOR_CALL);
    assert_int_equal(rtci_spec_call(got)->caller_node, 2);
    rtci_node_actions_clear(&node.actions);
    note.call.client = 4711; /* nobody: it is no call that would have to be answered */
    said(&node, 1, &note);
    assert_null(told(&node, 1, RTCI_R_ACTOR_REPLY));
    stop(&node);
}

/* Is a process there? Its node says so, to one here or elsewhere. */
static void probes(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    up(&node);
    struct call_record probe = call_of(RTCI_PROBE | 5, 2, EXEC, 0);
    probe.call.actor = (struct rtci_id){0};
    probe.call.order = 1;
    said(&node, 1, &probe);
    const struct rtci_done *answer = told(&node, 1, RTCI_R_ACTOR_REPLY);
    assert_true(answer->seq == (RTCI_PROBE | 5) && answer->rec.flags == 0);
    assert_null(told(&node, node.token, RTCI_R_ACTOR_CALL)); /* it is not asked */
    rtci_node_actions_clear(&node.actions);
    probe.call.client = 4711;
    said(&node, 1, &probe);
    answer = told(&node, 1, RTCI_R_ACTOR_REPLY);
    assert_int_equal(answer->rec.flags, RTCI_REPLY_NEVER_RAN);
    rtci_node_actions_clear(&node.actions);
    probe.call.node = 9; /* that one is to say it */
    said(&node, 1, &probe);
    assert_int_equal(node.actions.n_to_nodes, 1);
    const struct rtci_spec *out = find(&node.actions.to_nodes[0].buf, RTCI_R_ACTOR_CALL);
    assert_int_equal(rtci_spec_call(out)->caller_node, 2);
    rtci_node_actions_clear(&node.actions);
    probe.call.node = 2;
    probe.spec.client = 60;
    rtci_node_core_node_span(node.core, node.now_ns, 77, &probe, sizeof(probe), &node.actions);
    assert_int_equal(node.actions.to_nodes[0].node, 77);
    answer = find(&node.actions.to_nodes[0].buf, RTCI_R_ACTOR_REPLY);
    assert_true(answer->client == 60 && answer->rec.flags == RTCI_REPLY_NEVER_RAN);
    stop(&node);
}

/* Its callers hear which of their calls were begun; those of other nodes too. */
static void callers_hear(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    up(&node);
    const struct rtci_gone_caller callers[] = {{DRIVER, 2, 41}, {60, 4, 7}, {4711, 2, 1}};
    struct rtci_gone gone = {.token = node.token,
                             .code = RTC_E_CRASHED,
                             .exit_status = -1,
                             .signal = 9,
                             .callers = callers,
                             .n_callers = 3};
    rtci_node_core_gone(node.core, node.now_ns, &gone, &node.actions);
    const struct rtci_done *here = told(&node, 1, RTCI_R_ACTOR_REPLY);
    assert_int_equal(here->rec.flags, RTCI_REPLY_GONE);
    assert_int_equal(here->seq, 41);
    assert_int_equal(rtci_wire_check(here, here->rec.size), here->rec.size);
    const struct rtci_fail *fail =
        (const struct rtci_fail *)((const char *)here + rtci_done_returns(here)->offset);
    assert_true(rtci_id_equal(fail->origin, ACTOR));
    assert_int_equal(fail->attempts, 1);
    assert_int_equal(node.actions.n_to_nodes, 1);
    const struct rtci_done *there = find(&node.actions.to_nodes[0].buf, RTCI_R_ACTOR_REPLY);
    assert_int_equal(there->client, 60);
    assert_int_equal(there->seq, 7);
    stop(&node);
}

static void executor_ends(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    up(&node);
    struct rtci_gone gone = {
        .token = node.token, .code = RTC_E_CRASHED, .exit_status = -1, .signal = 11};
    rtci_node_core_gone(node.core, 1, &gone, &node.actions);
    rtci_node_core_check(node.core);
    const struct rtci_slot_lost *lost = find(&node.actions.to_head, RTCI_R_SLOT_LOST);
    assert_int_equal(lost->slot, 5);
    assert_true(rtci_id_equal(lost->claimed, ACTOR)); /* a head that was restarted needs it */
    struct call_record call = call_of(1, 2, EXEC, 1);
    said(&node, 1, &call);
    const struct rtci_done *answer = told(&node, 1, RTCI_R_ACTOR_REPLY);
    assert_int_equal(answer->status, RTC_E_CRASHED);
    assert_int_equal(answer->rec.flags, RTCI_REPLY_NEVER_RAN);
    stop(&node);
}

static void orders(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    up(&node);
    struct rtci_actor_end end = {
        .rec = {sizeof(end), RTCI_R_ACTOR_STOP, 0}, .id = ACTOR, .slot = 5, .incarnation = 2};
    from_head(&node, &end);
    assert_null(told(&node, node.token, RTCI_R_ACTOR_STOP)); /* another incarnation is meant */
    end.incarnation = 1;
    from_head(&node, &end);
    assert_non_null(told(&node, node.token, RTCI_R_ACTOR_STOP));
    rtci_node_core_fence(node.core, true, &node.actions);
    assert_int_equal(acted(&node, RTCI_NA_KILL)->signal, 19);
    rtci_node_core_fence(node.core, false, &node.actions);
    assert_int_equal(acted(&node, RTCI_NA_KILL)->signal, 18);
    end.rec.type = RTCI_R_ACTOR_KILL;
    from_head(&node, &end);
    assert_int_equal(acted(&node, RTCI_NA_KILL)->signal, 9);
    struct rtci_slot_msg msg = {.rec = {sizeof(msg), RTCI_R_SLOT_FREE, 0}, .slot = 5};
    from_head(&node, &msg); /* it does not go back to those that wait for work */
    assert_int_equal(acted(&node, RTCI_NA_KILL)->token, node.token);
    stop(&node);
}

/* A kill that comes before its executor was started: nothing is to be waited for. */
static void killed_early(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    struct rtci_slot_open open = {
        .rec = {sizeof(open), RTCI_R_SLOT_OPEN, 0}, .slot = 6, .job = JOB, .cpu = 10000};
    from_head(&node, &open);
    struct {
        struct rtci_spec spec;
        struct rtci_actor_options options;
    } start = {.spec = {.rec = {sizeof(start), RTCI_R_ACTOR_START, 0},
                        .seq = 4,
                        .client = DRIVER,
                        .flags = RTCI_SPEC_ACTOR,
                        .name_len = sizeof(start.options),
                        .attempt = 3,
                        .slot = 6,
                        .job = JOB}};
    from_head(&node, &start);
    struct rtci_actor_end end = {.rec = {sizeof(end), RTCI_R_ACTOR_KILL, 0},
                                 .id = {4, DRIVER, 0},
                                 .slot = 6,
                                 .incarnation = 3};
    from_head(&node, &end);
    const struct rtci_slot_lost *lost = find(&node.actions.to_head, RTCI_R_SLOT_LOST);
    assert_int_equal(lost->slot, 6);
    assert_int_equal(lost->claimed.seq, 4);
    stop(&node);
}

/* What the daemon tells after a restart: whose slot it is. */
static void told_again(void **state)
{
    (void)state;
    struct node node;
    begin(&node);
    up(&node);
    rtci_node_core_hello(node.core, 1, &node.actions);
    const struct rtci_slot_held *held = find(&node.actions.to_head, RTCI_R_SLOT_HELD);
    assert_int_equal(held->actor, 1);
    assert_int_equal(held->client, EXEC);
    assert_true(rtci_id_equal(((const struct rtci_held *)(held + 1))->id, ACTOR));
    assert_int_equal(((const struct rtci_held *)(held + 1))->attempt, 1);
    stop(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_here),
        cmocka_unit_test(calls_elsewhere),
        cmocka_unit_test(notes),
        cmocka_unit_test(callers_hear),
        cmocka_unit_test(executor_ends),
        cmocka_unit_test(orders),
        cmocka_unit_test(killed_early),
        cmocka_unit_test(told_again),
        cmocka_unit_test(calls_to_nowhere),
        cmocka_unit_test(life_over),
        cmocka_unit_test(probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
