/* Placement over nodes: which one a task goes to, and how many are sent ahead. */
#include "tests/unit/head_help.h"

#define NO_DEP       \
    (struct rtci_id) \
    {                \
        0, 0, 0      \
    }

/* Slots of each node, as the digits of a number: of node 2 first. */
static uint32_t slots(const struct play *p)
{
    uint32_t digits = 0;
    for (uint32_t i = 2; i < p->head->n_nodes; i++)
        digits = digits * 10 + p->head->nodes[i].n_slots;
    return digits;
}

static void begin(struct play *p, uint32_t nodes, uint64_t cpus)
{
    play_begin(p, 0);
    for (uint32_t i = 0; i < nodes; i++)
        play_node(p, 2 + i, cpus);
}

/* One more task at a time; none ends. */
static void packs_then_spreads(void **state)
{
    (void)state;
    struct play p;
    static const uint32_t want[] = {100, 200, 210, 220, 221, 222};
    begin(&p, 3, 4);
    for (uint32_t i = 0; i < 6; i++) {
        play_many(&p, 1, 0);
        assert_int_equal(slots(&p), want[i]);
    }
    for (uint32_t i = 0; i < 3; i++) /* in turn, all the same */
        play_many(&p, 1, 0);
    assert_int_equal(slots(&p), 333);
    play_many(&p, 3, 0);
    assert_int_equal(slots(&p), 444);
    play_end(&p);
}

static void spreads(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 3, 4);
    play_shape(&p, &(struct rtci_shape){.number = 1, .cpu = 10000, .placement = RTCI_PLACE_SPREAD},
               NULL);
    for (uint32_t i = 1; i <= 4; i++) {
        for (uint32_t k = 0; k < 3; k++) {
            play_submit(&p, 1, 0, NO_DEP);
            play_turn(&p, 1);
        }
        assert_int_equal(slots(&p), 111 * i);
    }
    play_end(&p);
}

/* There are more nodes than are compared: each gets its task. */
static void far_nodes(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 150, 2);
    play_shape(&p, &(struct rtci_shape){.number = 1, .cpu = 10000, .placement = RTCI_PLACE_SPREAD},
               NULL);
    for (uint32_t i = 0; i < 150; i++) {
        play_submit(&p, 1, 0, NO_DEP);
        play_turn(&p, 1);
    }
    for (uint32_t i = 2; i < 152; i++)
        assert_int_equal(p.head->nodes[i].n_slots, 1);
    play_end(&p);
}

static void on_a_node(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 2, 1);
    struct rtci_shape shape = {.number = 1, .cpu = 10000, .placement = RTCI_PLACE_NODE, .node = 3};
    play_shape(&p, &shape, NULL);
    shape.number = 2;
    shape.placement = RTCI_PLACE_NODE_SOFT;
    play_shape(&p, &shape, NULL);
    play_submit(&p, 1, 0, NO_DEP);
    play_turn(&p, 1);
    assert_int_equal(slots(&p), 1);
    play_submit(&p, 2, 0, NO_DEP); /* would rather be there too, but takes what there is */
    play_turn(&p, 1);
    assert_int_equal(slots(&p), 11);
    play_done(&p, 3, 1, 1, 0);
    play_done(&p, 3, 2, 1, 0);
    play_turn(&p, 3);
    play_submit(&p, 2, 0, NO_DEP);
    play_turn(&p, 1);
    assert_non_null(play_told(&p, 3, RTCI_R_TASK, 3));
    play_cordon(&p, 3, RTCI_CORDON_ON);
    uint64_t hard = play_submit(&p, 1, 0, NO_DEP), soft = play_submit(&p, 2, 0, NO_DEP);
    play_turn(&p, 1);
    assert_null(play_told(&p, 0, RTCI_R_TASK, hard));
    assert_non_null(play_told(&p, 2, RTCI_R_TASK, soft));
    play_end(&p);
}

static void labels(void **state)
{
    (void)state;
    struct play p;
    struct rtci_label label = {.key = "disk", .value = "fast"};
    begin(&p, 1, 4);
    play_up(&p, 3);
    struct rtci_node_hello *hello = play_hello(&p, 1, 1);
    memcpy(hello + 1, &label, sizeof(label));
    play_ready(&p, 3);
    play_shape(&p, &(struct rtci_shape){.number = 1, .cpu = 10000}, &label);
    for (uint32_t i = 0; i < 2; i++)
        play_submit(&p, 1, 0, NO_DEP);
    play_turn(&p, 1);
    assert_int_equal(slots(&p), 1);
    assert_int_equal(play_count(&p, 2, RTCI_R_TASK, 0), 0);
    play_end(&p);
}

/* A task goes where its large argument lies, though that node is taken more than others. */
static void bytes(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 3, 4);
    uint32_t driver = play_client(&p, 4, RTCI_ROLE_DRIVER, 0);
    (void)driver;
    size_t at = play_from(&p, p.executor[4]); /* a process of the job, on that node */
    struct rtci_put *put = play_say(&p, RTCI_R_SEAL, sizeof(*put));
    put->id = (struct rtci_id){1, p.executor[4], 0};
    put->kind = RTCI_KIND_ARENA;
    put->size = RTCI_MIB;
    play_wrapped(&p, at);
    play_turn(&p, 4);
    for (uint32_t i = 1; i <= 4; i++) {
        play_submit(&p, 0, 0, (struct rtci_id){1, p.executor[4], 0});
        play_turn(&p, 1);
        assert_int_equal(slots(&p), i);
    }
    play_submit(&p, 0, 0, (struct rtci_id){1, p.executor[4], 0}); /* it is full: anywhere */
    play_turn(&p, 1);
    assert_int_equal(slots(&p), 104);
    play_end(&p);
}

/* A class that waits gets the slot of another, which keeps its first task: where the way to the
 * node is longer than a slot's turn, the two would else drive each other out and begin nothing. */
static void first_stays(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1, 1);
    play_shape(&p, &(struct rtci_shape){.number = 1, .cpu = 10000, .placement = RTCI_PLACE_SPREAD},
               NULL);
    play_many(&p, 2, 0);
    assert_int_equal(p.head->slots[1].inflight, 2);
    play_submit(&p, 1, 0, NO_DEP);
    play_turn(&p, 1);
    assert_int_equal(play_count(&p, 2, RTCI_R_RECALL, 0), 0);
    p.now_ns += RTCI_SLOT_QUANTUM_NS;
    play_turn(&p, 1);
    assert_int_equal(play_told(&p, 2, RTCI_R_RECALL, 0)->attempt, 1); /* the newest one */
    play_end(&p);
}

/* ---- Nodes that work: their executors run one task after the other, messages take their time ----
 */

#define STEP_NS     (MS / 4)
#define SLOTS_MAX   4096u
#define MESSAGE_MAX 4096u

struct job_of_slot {
    uint64_t seq[RTCI_PREFETCH_MAX + 2];
    uint32_t attempt[RTCI_PREFETCH_MAX + 2];
    uint32_t n;
    uint64_t until_ns;
};
struct late {
    struct told told;
    uint32_t op;
    uint64_t at_ns;
};
struct work {
    struct play p;
    struct job_of_slot *slots; /* by number */
    struct late *late;         /* both ways, in order of their arrival per node */
    uint32_t n_late, cap_late;
    uint64_t rtt_ns[8], run_ns;
    uint32_t ran[8];
    uint32_t node_of[SLOTS_MAX];
};

static void post(struct work *w, struct told told, uint32_t op)
{
    core_grow(&w->late, &w->cap_late, w->n_late, sizeof(*w->late));
    w->late[w->n_late++] =
        (struct late){told, op, w->p.now_ns + w->rtt_ns[told.node] / 2 + STEP_NS};
}

/* What the head said is on its way. */
static void posted(struct work *w)
{
    for (uint32_t i = 0; i < w->p.n_told; i++) {
        struct told told = w->p.told[i];
        if (told.type == RTCI_R_TASK || told.type == RTCI_R_RECALL)
            post(w, told, 0);
    }
    w->p.n_told = 0;
}

static void at_node(struct work *w, const struct told *told)
{
    struct job_of_slot *slot = &w->slots[told->slot];
    if (told->type == RTCI_R_TASK) {
        w->node_of[told->slot] = told->node;
        slot->seq[slot->n] = told->seq;
        slot->attempt[slot->n++] = told->attempt;
        if (slot->n == 1)
            slot->until_ns = w->p.now_ns + w->run_ns;
        return;
    }
    for (; slot->n > 1; slot->n--) { /* RECALL: all that has not begun */
        struct told back = {told->node, RTCI_R_RETURNED, told->slot, slot->attempt[slot->n - 1],
                            slot->seq[slot->n - 1]};
        post(w, back, 0);
    }
}

static void at_head(struct work *w, const struct told *told)
{
    if (told->type == RTCI_R_DONE) {
        play_done(&w->p, told->node, told->seq, told->attempt, w->run_ns);
    } else {
        struct rtci_returned *back =
            play_say(&w->p, RTCI_R_RETURNED, sizeof(*back) + sizeof(struct rtci_held));
        back->slot = told->slot;
        back->n = 1;
        *(struct rtci_held *)(back + 1) =
            (struct rtci_held){{told->seq, DRIVER, 0}, told->attempt, 0};
    }
    rtci_head_core_receive(w->p.head, w->p.now_ns, told->node, 1, w->p.says.data, w->p.says.len,
                           &w->p.actions);
    rtci_buf_clear(&w->p.says);
}

static void step(struct work *w)
{
    w->p.now_ns += STEP_NS;
    uint32_t n = w->n_late, keep = 0;
    for (uint32_t i = 0; i < w->n_late; i++) {
        struct late late = w->late[i];
        if (i >= n || late.at_ns > w->p.now_ns)
            w->late[keep++] = late;
        else if (late.told.type == RTCI_R_DONE || late.told.type == RTCI_R_RETURNED)
            at_head(w, &late.told);
        else
            at_node(w, &late.told);
    }
    w->n_late = keep;
    for (uint32_t i = 1; i < w->p.head->n_slots; i++) {
        struct job_of_slot *slot = &w->slots[i];
        if (!slot->n || slot->until_ns > w->p.now_ns)
            continue;
        struct told done = {w->node_of[i], RTCI_R_DONE, i, slot->attempt[0], slot->seq[0]};
        post(w, done, 0);
        w->ran[done.node]++;
        slot->n--;
        memmove(slot->seq, slot->seq + 1, slot->n * sizeof(slot->seq[0]));
        memmove(slot->attempt, slot->attempt + 1, slot->n * sizeof(slot->attempt[0]));
        slot->until_ns = w->p.now_ns + w->run_ns;
    }
    rtci_head_core_tick(w->p.head, w->p.now_ns, &w->p.actions);
    play_flush(&w->p);
    posted(w);
}

/* Nodes 2, 3 and 4 of one CPU each. Returns how long all took. */
static uint64_t run(struct work *w, uint32_t tasks, uint64_t run_ns, uint64_t rtt2, uint64_t rtt3,
                    uint64_t rtt4)
{
    *w = (struct work){.run_ns = run_ns, .rtt_ns = {0, 0, rtt2, rtt3, rtt4}};
    play_begin(&w->p, 0);
    w->slots = calloc(SLOTS_MAX, sizeof(*w->slots));
    RTCI_ASSERT(w->slots);
    for (uint32_t i = 2; i <= 4; i++) {
        play_up(&w->p, i);
        play_hello(&w->p, 1, 0)->rtt_ns = w->rtt_ns[i];
        play_ready(&w->p, i);
        w->p.executor[i] = play_client(&w->p, i, RTCI_ROLE_EXECUTOR, 1);
    }
    w->p.head->config.check = false;
    play_many(&w->p, tasks, 0);
    uint64_t begin_ns = w->p.now_ns;
    posted(w);
    while (w->p.head->stats.tasks_done_total < tasks) {
        step(w);
        RTCI_ASSERT(w->p.now_ns < begin_ns + tasks * (run_ns + rtt4) + 100 * MS);
        w->p.head->clients[DRIVER]->credit = (int64_t)RTCI_CREDIT_BYTES;
    }
    rtci_head_core_check(w->p.head);
    uint64_t took = w->p.now_ns - begin_ns;
    free(w->slots);
    free(w->late);
    play_end(&w->p);
    return took;
}

/* Three nodes share short tasks about evenly. */
static void shares(void **state)
{
    (void)state;
    static struct work w;
    uint64_t took = run(&w, 1000, MS, 0, MS / 5, MS / 5);
    for (uint32_t i = 2; i <= 4; i++) {
        assert_in_range(w.ran[i], 280, 390);
    }
    assert_true(took < 480 * MS);
}

/* A node far away is not starved, nor does the rest wait for it at the end. */
static void far_away(void **state)
{
    (void)state;
    static struct work w;
    uint64_t took = run(&w, 3000, MS, 0, MS / 5, 50 * MS);
    assert_in_range(w.ran[4], 600, 1100);
    assert_true(took < 1500 * MS);
}

/* Long tasks: what is queued behind one is given back when another node has nothing. */
static void gives_back(void **state)
{
    (void)state;
    static struct work w;
    uint64_t took = run(&w, 12, 20 * MS, 0, MS / 5, 2 * MS);
    assert_true(took < 130 * MS);
    for (uint32_t i = 2; i <= 4; i++)
        assert_in_range(w.ran[i], 3, 5);
}

static void put(struct play *p, uint64_t seq)
{
    size_t at = play_from(p, DRIVER);
    struct rtci_put *put = play_say(p, RTCI_R_PUT, sizeof(*put) + 8);
    put->id = (struct rtci_id){seq, DRIVER, 0};
    put->size = 8;
    put->offset = sizeof(*put);
    play_wrapped(p, at);
}

static void submit_as(struct play *p, uint64_t seq)
{
    uint64_t next = p->next_seq;
    p->next_seq = seq;
    play_submit(p, 0, 0, (struct rtci_id){0});
    p->next_seq = next;
}

static int keep(void *arg, const void *data, size_t len)
{
    rtci_buf_put(arg, data, len);
    return 0;
}

/* Objects overtake tasks of which the head is told late. Each task is taken once, also by a head
 * that was started again, and is told of all of them again. */
static void told_late(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct play p;
        play_begin(&p, 0); /* nothing runs */
        submit_as(&p, 1);
        put(&p, 4);
        put(&p, 5);
        play_turn(&p, 1);
        if (how == 1) {
            rtci_buf_clear(&p.journal);
            assert_int_equal(rtci_head_core_snapshot(p.head, keep, &p.journal), 0);
        }
        if (how) {
            play_restart(&p, 0);
            play_up(&p, 1);
            play_hello(&p, 0, 0);
            play_survivor(&p, DRIVER, RTCI_ROLE_DRIVER);
            play_ready(&p, 1);
        }
        uint64_t alive = p.head->stats.tasks_alive;
        for (uint64_t twice = 0; twice < 2; twice++) {
            for (uint64_t seq = 1; seq <= 3; seq++)
                submit_as(&p, seq);
            put(&p, 5);
            submit_as(&p, 6);
            play_turn(&p, 1);
        }
        assert_int_equal(p.head->stats.tasks_alive, alive + 3);
        for (uint64_t seq = 1; seq <= 6; seq++)
            play_entry(&p, seq);
        play_end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_then_spreads),
        cmocka_unit_test(spreads),
        cmocka_unit_test(far_nodes),
        cmocka_unit_test(on_a_node),
        cmocka_unit_test(labels),
        cmocka_unit_test(bytes),
        cmocka_unit_test(shares),
        cmocka_unit_test(far_away),
        cmocka_unit_test(gives_back),
        cmocka_unit_test(first_stays),
        cmocka_unit_test(told_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
