/* Placement groups in the head core. */
#include <time.h>

#include "tests/unit/actor_help.h"

struct ask {
    uint32_t strategy, n, cpu; /* of each bundle, whole ones */
    uint32_t cpus[4];          /* … or of each its own */
};

static uint64_t ask_quietly(struct play *p, const struct ask *ask)
{
    uint64_t seq = p->next_seq++;
    size_t at = play_from(p, DRIVER);
    struct rtci_group_create *rec =
        play_say(p, RTCI_R_GROUP_CREATE, sizeof(*rec) + ask->n * sizeof(struct rtci_bundle));
    rec->request = 5;
    rec->id = act_id(seq);
    rec->strategy = ask->strategy;
    rec->n_bundles = ask->n;
    for (uint32_t i = 0; i < ask->n; i++)
        ((struct rtci_bundle *)(rec + 1))[i].cpu = 10000 * (ask->cpu ? ask->cpu : ask->cpus[i]);
    play_wrapped(p, at);
    return seq;
}

static uint64_t group(struct play *p, const struct ask *ask)
{
    memset(&p->group_is, 0, sizeof(p->group_is));
    uint64_t seq = ask_quietly(p, ask);
    play_turn(p, 1);
    return seq;
}

static void drop(struct play *p, uint64_t seq)
{
    size_t at = play_from(p, DRIVER);
    struct rtci_group_remove *rec = play_say(p, RTCI_R_GROUP_REMOVE, sizeof(*rec));
    rec->id = act_id(seq);
    play_wrapped(p, at);
    play_turn(p, 1);
}

static bool is_ready(const struct play *p, uint64_t seq)
{
    const struct group *at = head_group(p->head, act_id(seq));
    return at && at->state == RTCI_GROUP_READY;
}

static void begin(struct play *p, uint32_t nodes, uint64_t cpus)
{
    play_begin(p, 0);
    for (uint32_t i = 2; i < 2 + nodes; i++)
        play_node(p, i, cpus);
}

static int64_t free_cpus(const struct play *p)
{
    int64_t sum = 0;
    for (uint32_t i = 1; i < p->head->n_nodes; i++)
        sum += p->head->nodes[i].state == RTCI_NODE_DEAD ? 0 : p->head->nodes[i].cpu_free;
    return sum / 10000;
}

static void strategies(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 3, 4);
    uint64_t a = group(&p, &(struct ask){.strategy = RTCI_GROUP_STRICT_PACK, .n = 4, .cpu = 1});
    assert_int_equal(p.group_is.state, RTCI_GROUP_READY);
    assert_int_equal(p.group_is.n, 4);
    for (uint32_t i = 1; i < 4; i++)
        assert_int_equal(p.group_nodes[i], p.group_nodes[0]);
    drop(&p, a);
    assert_int_equal(free_cpus(&p), 12);
    uint64_t b = group(&p, &(struct ask){.strategy = RTCI_GROUP_STRICT_SPREAD, .n = 3, .cpu = 2});
    assert_true(is_ready(&p, b));
    assert_int_equal(p.group_nodes[0] + p.group_nodes[1] + p.group_nodes[2], 9);
    for (uint32_t i = 2; i <= 4; i++)
        assert_int_equal(p.head->nodes[i].cpu_free, 20000);
    drop(&p, b);
    uint64_t c = group(&p, &(struct ask){.strategy = RTCI_GROUP_SPREAD, .n = 4, .cpu = 1});
    assert_true(is_ready(&p, c));
    for (uint32_t i = 2; i <= 4; i++)
        assert_true(p.head->nodes[i].cpu_free < 40000);
    drop(&p, c);
    uint64_t d = group(&p, &(struct ask){.n = 3, .cpus = {1, 4, 3}}); /* PACK: on two of them */
    assert_true(is_ready(&p, d));
    assert_int_equal(p.group_nodes[0], p.group_nodes[2]);
    assert_int_not_equal(p.group_nodes[0], p.group_nodes[1]);
    play_end(&p);
}

/* All or nothing: what waits holds nothing, and two that want the same cannot block each other. */
static void all_or_nothing(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 2, 4);
    uint64_t a = group(&p, &(struct ask){.strategy = RTCI_GROUP_STRICT_SPREAD, .n = 2, .cpu = 3});
    uint64_t b = group(&p, &(struct ask){.strategy = RTCI_GROUP_STRICT_SPREAD, .n = 2, .cpu = 3});
    uint64_t c = group(&p, &(struct ask){.n = 1, .cpu = 1}); /* it is not held up */
    assert_true(is_ready(&p, a) && !is_ready(&p, b) && is_ready(&p, c));
    assert_int_equal(free_cpus(&p), 1);
    drop(&p, a);
    assert_true(is_ready(&p, b));
    assert_int_equal(play_count(&p, 1, RTCI_R_GROUP_IS, b), 1);
    drop(&p, b);
    drop(&p, c);
    assert_int_equal(free_cpus(&p), 8);
    assert_int_equal(p.head->stats.groups, 0);
    play_end(&p);
}

static void refused(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 2, 4);
    group(&p, &(struct ask){0});
    assert_int_equal(p.group_is.status, RTC_E_INVALID);
    group(&p, &(struct ask){.n = 2});
    assert_int_equal(p.group_is.status, RTC_E_INVALID);
    group(&p, &(struct ask){.n = 2, .cpus = {1, 5}});
    assert_int_equal(p.group_is.status, RTC_E_INFEASIBLE);
    assert_non_null(strstr(p.group_is.text, "bundle 1"));
    group(&p, &(struct ask){.strategy = RTCI_GROUP_STRICT_PACK, .n = 2, .cpu = 3});
    assert_non_null(strstr(p.group_is.text, "one node"));
    uint64_t d = group(&p, &(struct ask){.strategy = RTCI_GROUP_STRICT_SPREAD, .n = 4, .cpu = 1});
    assert_int_equal(p.group_is.status, RTC_E_INFEASIBLE);
    play_node(&p, 4, 4);
    play_node(&p, 5, 13); /* now it can be, and so can the others */
    assert_true(is_ready(&p, d));
    assert_int_equal(p.head->n_group_queue, 0);
    play_end(&p);
}

static void shape_in(struct play *p, uint32_t number, uint64_t seq, uint32_t bundle)
{
    struct rtci_shape shape = {.number = number, .cpu = 10000, .group = act_id(seq)};
    shape.group.index = bundle;
    play_shape(p, &shape, NULL);
}

/* What runs in a bundle takes from it; what is removed kills what is inside, and gives back last.
 */
static void inside(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 2, 3);
    uint64_t g = group(&p, &(struct ask){.strategy = RTCI_GROUP_STRICT_SPREAD, .n = 2, .cpu = 2});
    uint32_t second = p.group_nodes[1];
    shape_in(&p, 1, g, 1);
    shape_in(&p, 2, g, RTCI_ANY_BUNDLE);
    uint64_t actor = act_create(&p, &(struct want){.shape = 1, .max_restarts = -1});
    assert_non_null(play_told(&p, second, RTCI_R_ACTOR_START, actor));
    assert_int_equal(free_cpus(&p), 2); /* as before */
    uint64_t tasks[5];
    for (uint32_t i = 0; i < 5; i++)
        tasks[i] = play_submit(&p, 2, 0, (struct rtci_id){0, 0, 0});
    play_turn(&p, 1);
    const struct group *at = head_group(p.head, act_id(g));
    assert_int_equal(at->bundles[0].cpu_free, 0);
    assert_int_equal(at->bundles[1].cpu_free, 0);
    assert_int_equal(at->n_slots, 4);
    uint64_t behind = play_submit(&p, 1, 0, act_id(tasks[0]));
    drop(&p, g);
    assert_int_equal(play_count(&p, second, RTCI_R_ACTOR_KILL, actor), 1);
    assert_true(play_count(&p, 0, RTCI_R_CANCEL, 0) >= 3);
    assert_int_equal(free_cpus(&p), 2); /* they still run */
    for (uint32_t i = 0; i < 5; i++) {
        uint32_t index = head_find(p.head, act_id(tasks[i]));
        const struct entry *entry = head_entry(p.head, index);
        if (!entry->slot)
            continue;
        uint32_t node = p.head->slots[entry->slot].node;
        play_done(&p, node, tasks[i], entry->attempt, 1);
        play_turn(&p, node);
    }
    act_lost(&p, second, act_slot(&p, actor), RTC_E_CRASHED, 9);
    act_later(&p, 20);
    assert_int_equal(act_at(&p, act_id(actor))->cause.kind, RTCI_CAUSE_GROUP);
    assert_int_equal(free_cpus(&p), 6);
    assert_null(head_group(p.head, act_id(g)));
    assert_int_equal(play_entry(&p, behind)->state, RTCI_TASK_FAILED);
    play_end(&p);
}

/* The bundles of a lost node are placed again, the others stay. */
static void node_lost(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 2, 2);
    uint64_t g = group(&p, &(struct ask){.strategy = RTCI_GROUP_STRICT_SPREAD, .n = 2, .cpu = 2});
    uint32_t first = p.group_nodes[0], second = p.group_nodes[1];
    shape_in(&p, 1, g, 1);
    uint64_t actor = act_create(&p, &(struct want){.shape = 1, .max_restarts = -1});
    rtci_head_core_node_down(p.head, p.now_ns, second, p.incarnation[second], "gone", &p.actions);
    act_later(&p, 200);
    assert_false(is_ready(&p, g));
    assert_int_equal(act_state(&p, actor), RTCI_ACTOR_RESTARTING);
    play_node(&p, 9, 2);
    assert_true(is_ready(&p, g));
    assert_int_equal(head_group(p.head, act_id(g))->bundles[0].node, first);
    assert_int_equal(head_group(p.head, act_id(g))->bundles[1].node, 9);
    act_later(&p, 200);
    assert_int_equal(act_at(&p, act_id(actor))->node, 9);
    play_end(&p);
}

/* One that waited in vain is removed: the next, which has its place in the table, is looked at. */
static void after_removal(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1, 2);
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t g = group(&p, &(struct ask){.n = 1, .cpu = 9});
        assert_int_equal(p.group_is.status, RTC_E_INFEASIBLE);
        drop(&p, g);
        uint64_t h = group(&p, &(struct ask){.n = 1, .cpu = 2});
        assert_true(is_ready(&p, h));
        drop(&p, h);
    }
    play_end(&p);
}

static void where(struct play *p, uint64_t seq, uint32_t flags)
{
    size_t at = play_from(p, DRIVER);
    struct rtci_group_remove *rec = play_say(p, RTCI_R_GROUP_WHERE, sizeof(*rec));
    rec->id = act_id(seq);
    rec->request = 6;
    rec->flags = flags;
    play_wrapped(p, at);
    play_turn(p, 1);
}

/* Asked how it stands, it is told at once, with the bundles that have a place. */
static void no_wait(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 2, 2);
    uint64_t g = group(&p, &(struct ask){.strategy = RTCI_GROUP_STRICT_SPREAD, .n = 2, .cpu = 2});
    uint32_t first = p.group_nodes[0], second = p.group_nodes[1];
    rtci_head_core_node_down(p.head, p.now_ns, second, p.incarnation[second], "gone", &p.actions);
    act_later(&p, 200);
    memset(&p.group_is, 0, sizeof(p.group_is));
    where(&p, g, 0);
    assert_int_equal(p.group_is.request, 0); /* not yet */
    where(&p, g, RTCI_WHERE_NOWAIT);
    assert_int_equal(p.group_is.request, 6);
    assert_int_equal(p.group_is.status, 0);
    assert_int_equal(p.group_is.state, RTCI_GROUP_PENDING);
    assert_int_equal(p.group_is.n, 2);
    assert_int_equal(p.group_nodes[0], first);
    assert_int_equal(p.group_nodes[1], 0);
    assert_non_null(strstr(p.group_is.text, "strict spread"));
    play_node(&p, 9, 2);
    assert_int_equal(p.group_is.request, 6);
    assert_int_equal(p.group_is.state, RTCI_GROUP_READY);
    assert_int_equal(p.group_nodes[1], 9);
    play_end(&p);
}

/* Bundles stay as they are: what fits into none of them fails, and is not kept waiting. */
static void too_large(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1, 4);
    uint64_t g = group(&p, &(struct ask){.n = 2, .cpus = {1, 2}});
    struct rtci_shape shape = {.number = 1, .cpu = 20000, .group = act_id(g)};
    play_shape(&p, &shape, NULL); /* into bundle 0 */
    shape.number = 2;
    shape.group.index = 2;
    play_shape(&p, &shape, NULL);
    shape.number = 3;
    shape.group.index = RTCI_ANY_BUNDLE;
    play_shape(&p, &shape, NULL);
    uint64_t tasks[4];
    for (uint32_t i = 1; i <= 3; i++)
        tasks[i] = play_submit(&p, i, 0, (struct rtci_id){0, 0, 0});
    uint64_t actor = act_create(&p, &(struct want){.shape = 1});
    play_turn(&p, 1);
    assert_int_equal(play_entry(&p, tasks[1])->state, RTCI_TASK_FAILED);
    assert_int_equal(play_entry(&p, tasks[1])->result->status, RTC_E_INFEASIBLE);
    assert_int_equal(play_entry(&p, tasks[2])->state, RTCI_TASK_FAILED);
    assert_int_equal(play_entry(&p, tasks[3])->state, RTCI_TASK_LEASED);
    assert_int_equal(act_state(&p, actor), RTCI_ACTOR_DEAD);
    play_end(&p);
}

static int keep(void *arg, const void *data, size_t len)
{
    rtci_buf_put(arg, data, len);
    return 0;
}

/* A restart of the head: groups have the nodes that they had, whether those are back yet or not. */
static void head_restarts(void **state)
{
    (void)state;
    for (int fold = 0; fold < 2; fold++) {
        struct play p;
        begin(&p, 2, 2);
        uint64_t g = group(&p, &(struct ask){.strategy = RTCI_GROUP_SPREAD, .n = 2, .cpu = 2});
        uint64_t h = group(&p, &(struct ask){.n = 1, .cpu = 1});
        uint64_t gone = group(&p, &(struct ask){.n = 1, .cpu = 1});
        drop(&p, gone);
        if (fold) {
            rtci_buf_clear(&p.journal);
            assert_int_equal(rtci_head_core_snapshot(p.head, keep, &p.journal), 0);
        }
        play_restart(&p, 3000 * MS);
        assert_int_equal(p.head->stats.groups, 2);
        for (uint32_t i = 1; i <= 2; i++) {
            play_up(&p, i);
            play_hello(&p, i == 1 ? 0 : 2, 0);
            if (i == 1)
                play_survivor(&p, DRIVER, RTCI_ROLE_DRIVER);
            play_ready(&p, i);
        }
        assert_int_equal(p.head->nodes[2].cpu_free, 0);
        assert_true(is_ready(&p, g) && !is_ready(&p, h));
        act_later(&p, 3000); /* the other does not come back */
        assert_false(is_ready(&p, g));
        play_node(&p, 7, 3);
        assert_true(is_ready(&p, g) && is_ready(&p, h));
        play_end(&p);
    }
}

/* A task that is done when the group is ready, with the value that it brought; `said`: how large.
 */
static uint64_t await_task(struct play *p, uint32_t shape, uint32_t said)
{
    size_t at = play_from(p, DRIVER);
    struct rtci_spec *spec =
        play_say(p, RTCI_R_SUBMIT, sizeof(*spec) + sizeof(struct rtci_arg) + 16);
    uint64_t seq = spec->seq = p->next_seq++;
    spec->client = DRIVER;
    spec->flags = RTCI_SPEC_READY;
    spec->shape = shape;
    spec->n_returns = spec->n_args = 1;
    spec->data_size = 16;
    *(struct rtci_arg *)(spec + 1) = (struct rtci_arg){said, 0};
    memset((struct rtci_arg *)(spec + 1) + 1, 7, 16);
    play_wrapped(p, at);
    return seq;
}

static void tasks_that_await(void **state)
{
    (void)state;
    for (int fold = 0; fold < 3; fold++) { /* without a restart, with one, with one after a fold */
        struct play p;
        begin(&p, 1, 2);
        uint64_t g = group(&p, &(struct ask){.n = 1, .cpu = 2});
        uint64_t h = group(&p, &(struct ask){.n = 1, .cpu = 2});
        uint64_t never = group(&p, &(struct ask){.n = 1, .cpu = 9});
        uint64_t groups[] = {g, h, never};
        for (uint32_t i = 0; i < 3; i++)
            play_shape(&p,
                       &(struct rtci_shape){.number = i + 1,
                                            .group = {groups[i], DRIVER, RTCI_ANY_BUNDLE}},
                       NULL);
        uint64_t now = await_task(&p, 1, 9), later = await_task(&p, 2, 16);
        uint64_t hopeless = await_task(&p, 3, 8), nowhere = await_task(&p, 0, 8);
        uint64_t behind = play_submit(&p, 0, 0, act_id(later));
        play_turn(&p, 1);
        const struct rtci_done *done = play_entry(&p, now)->result;
        assert_int_equal(play_entry(&p, now)->state, RTCI_TASK_DONE);
        assert_int_equal(rtci_done_returns(done)[0].size, 9);
        assert_memory_equal((const char *)done + rtci_done_returns(done)[0].offset, "\7\7\7", 3);
        assert_int_equal(play_entry(&p, hopeless)->result->status, RTC_E_INFEASIBLE);
        assert_int_equal(play_entry(&p, nowhere)->result->status, RTC_E_CANCELLED);
        assert_int_equal(play_entry(&p, later)->state, RTCI_TASK_READY);
        if (fold == 2) {
            rtci_buf_clear(&p.journal);
            assert_int_equal(rtci_head_core_snapshot(p.head, keep, &p.journal), 0);
        }
        if (fold) {
            play_restart(&p, 3000 * MS);
            play_up(&p, 1);
            play_up(&p, 2); /* as the loop does with those that were there */
            for (uint32_t i = 1; i <= 2; i++) {
                play_hello(&p, i == 1 ? 0 : 2, 0);
                if (i == 1)
                    play_survivor(&p, DRIVER, RTCI_ROLE_DRIVER);
                play_ready(&p, i);
            }
            assert_int_equal(play_entry(&p, now)->state, RTCI_TASK_DONE);
            assert_int_equal(play_entry(&p, later)->state, RTCI_TASK_READY);
        }
        drop(&p, g);
        assert_int_equal(play_entry(&p, later)->state, RTCI_TASK_DONE);
        assert_int_not_equal(play_entry(&p, behind)->state, RTCI_TASK_WAITING);
        play_end(&p);
    }
}

/* With its job a group goes. */
static void job_ends(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1, 2);
    group(&p, &(struct ask){.n = 2, .cpu = 1});
    struct rtci_client_gone *end = play_say(&p, RTCI_R_CLIENT_GONE, sizeof(*end));
    end->client = DRIVER;
    play_turn(&p, 1);
    assert_int_equal(p.head->stats.groups, 0);
    assert_int_equal(free_cpus(&p), 2);
    play_end(&p);
}

/* Prints what one costs; nothing is asserted of a machine under load. */
static void cost(void **state)
{
    (void)state;
    struct play p;
    struct timespec a, b;
    begin(&p, 16, 8);
    p.head->config.check = false;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t seq = ask_quietly(&p, &(struct ask){.strategy = i % 4, .n = 4, .cpu = 1});
        p.now_ns += 1000;
        rtci_head_core_receive(p.head, p.now_ns, 1, p.incarnation[1], p.says.data, p.says.len,
                               &p.actions);
        rtci_head_core_tick(p.head, p.now_ns, &p.actions);
        assert_true(is_ready(&p, seq));
        rtci_buf_clear(&p.says);
        size_t at = play_from(&p, DRIVER);
        struct rtci_group_remove *rec = play_say(&p, RTCI_R_GROUP_REMOVE, sizeof(*rec));
        rec->id = act_id(seq);
        play_wrapped(&p, at);
        rtci_head_core_receive(p.head, p.now_ns, 1, p.incarnation[1], p.says.data, p.says.len,
                               &p.actions);
        rtci_head_core_tick(p.head, p.now_ns, &p.actions);
        rtci_buf_clear(&p.says);
        rtci_head_actions_clear(&p.actions);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    print_message("create, ready, remove: %.0f/s\n", 20000 / s);
    play_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strategies),    cmocka_unit_test(all_or_nothing),
        cmocka_unit_test(refused),       cmocka_unit_test(inside),
        cmocka_unit_test(node_lost),     cmocka_unit_test(head_restarts),
        cmocka_unit_test(job_ends),      cmocka_unit_test(cost),
        cmocka_unit_test(after_removal), cmocka_unit_test(no_wait),
        cmocka_unit_test(too_large),     cmocka_unit_test(tasks_that_await),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
