/* Nodes in the head core: sessions that are renewed, connections that break, leases that end. */
#include "tests/unit/head_help.h"

/* The node's daemon was started again while tasks ran: what it tells of goes on, what did not reach
 * it has not begun and is placed again, and nothing is lost or run twice. */
static void reconcile(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 2);
    play_many(&p, 4, 0);
    struct told first = *play_told(&p, 2, RTCI_R_TASK, 1),
                third = *play_told(&p, 2, RTCI_R_TASK, 2);
    assert_int_not_equal(first.slot, third.slot);
    assert_int_equal(play_count(&p, 2, RTCI_R_TASK, 0), 4);

    play_up(&p, 2);
    play_turn(&p, 1);
    assert_int_equal(p.head->nodes[2].state, RTCI_NODE_JOINING);
    assert_int_equal(p.n_told, 0); /* nothing before its hello */
    play_hello(&p, 3, 0);          /* it has another CPU now */
    play_survivor(&p, p.executor[2], RTCI_ROLE_EXECUTOR);
    play_held(&p, first.slot, p.executor[2], 1, 1, true);
    play_done(&p, 2, 2, 1, 0); /* stood in a ring */
    play_turn(&p, 2);
    assert_int_equal(play_count(&p, 0, RTCI_R_TASK, 0), 0);
    assert_int_equal(play_entry(&p, 1)->state, RTCI_TASK_RUNNING);
    play_ready(&p, 2);
    assert_int_equal(p.head->nodes[2].state, RTCI_NODE_ALIVE);
    assert_int_equal(play_count(&p, 2, RTCI_R_TASK, 1), 0);
    assert_int_equal(play_count(&p, 2, RTCI_R_TASK, 3), 1);
    assert_int_equal(play_count(&p, 2, RTCI_R_TASK, 4), 1);
    assert_int_equal(play_told(&p, 2, RTCI_R_TASK, 3)->attempt, 1); /* no attempt was used */
    assert_int_equal(p.head->nodes[2].cpu_free, 0);
    play_done(&p, 2, 1, 1, 0);
    play_turn(&p, 2);
    assert_int_equal(play_count(&p, 1, RTCI_R_RESULT, 1), 1);
    play_end(&p);
}

/* What was told to stop, and did not hear of it, is told again; what never reached its executor has
 * stopped. A client that is not told of is gone. */
static void reconcile_cancel(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 2);
    play_many(&p, 2, 3);
    uint32_t slot = play_told(&p, 2, RTCI_R_TASK, 1)->slot;
    for (uint64_t seq = 1; seq <= 2; seq++) {
        size_t at = play_from(&p, DRIVER);
        struct rtci_cancel *cancel = play_say(&p, RTCI_R_CANCEL, sizeof(*cancel));
        cancel->id = (struct rtci_id){seq, DRIVER, 0};
        play_wrapped(&p, at);
    }
    play_turn(&p, 1);
    assert_int_equal(play_count(&p, 2, RTCI_R_CANCEL, 0), 2);
    play_up(&p, 2);
    play_hello(&p, 2, 0);
    play_held(&p, slot, 0, 1, 1, true);
    play_ready(&p, 2);
    assert_int_equal(play_count(&p, 2, RTCI_R_CANCEL, 1), 1);
    assert_int_equal(play_told(&p, 1, RTCI_R_RESULT, 2)->attempt, (uint32_t)-RTC_E_CANCELLED);
    assert_false(p.head->clients[p.executor[2]]->alive);
    play_end(&p);
}

/* What the node holds for its processes stays when it says so again, and goes when it does not. */
static void reconcile_holds(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 1);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        size_t at = play_from(&p, DRIVER);
        struct rtci_put *put = play_say(&p, RTCI_R_PUT, sizeof(*put) + 8);
        put->id = (struct rtci_id){seq, DRIVER, 0};
        put->size = 8;
        play_wrapped(&p, at);
    }
    play_turn(&p, 1);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint64_t seq = 1; seq <= 2 - round; seq++) {
            struct rtci_ids *ids = play_say(&p, RTCI_R_HOLD, sizeof(*ids) + sizeof(struct rtci_id));
            ids->n = 1;
            *(struct rtci_id *)(ids + 1) = (struct rtci_id){seq, DRIVER, 0};
        }
        if (round)
            play_ready(&p, 2);
        else
            play_turn(&p, 2);
        assert_int_equal(play_entry(&p, 1)->ext, 1);
        assert_int_equal(play_entry(&p, 2)->ext, round ? 0 : 1);
        if (!round) {
            play_up(&p, 2);
            play_hello(&p, 1, 0)->rec.flags = RTCI_HELLO_AGAIN;
        }
    }
    play_end(&p);
}

enum comes { WITH_IT, WITHOUT_IT, ANEW, LOST, SILENT };

/* The head is started again while node 2 has a task; how the node comes back, and is the task
 * there, to be placed, or at its end? */
static uint32_t comes_back(struct play *p, enum comes comes, int32_t retries)
{
    play_begin(p, 0);
    play_node(p, 2, 1);
    play_many(p, 1, retries);
    assert_int_equal(play_count(p, 2, RTCI_R_TASK, 1), 1);
    uint32_t slot = play_told(p, 2, RTCI_R_TASK, 1)->slot;
    play_restart(p, 1000 * MS);
    play_up(p, 1);
    play_up(p, 2);
    play_hello(p, 0, 0);
    play_survivor(p, DRIVER, RTCI_ROLE_DRIVER);
    play_ready(p, 1);
    assert_int_equal(play_entry(p, 1)->state, RTCI_TASK_READY); /* it waits for the node */
    if (comes == LOST) {
        rtci_head_core_node_down(p->head, p->now_ns, 2, p->incarnation[2], "gone", &p->actions);
        play_turn(p, 1);
    } else if (comes == SILENT) {
        p->now_ns += 1000 * MS;
        play_turn(p, 1);
    } else {
        play_hello(p, 1, 0)->rec.flags = comes == ANEW ? RTCI_HELLO_ANEW : 0;
        if (comes == WITH_IT)
            play_held(p, slot, 0, 1, 1, true);
        play_ready(p, 2);
    }
    uint32_t state = play_entry(p, 1)->state;
    assert_int_equal(play_count(p, 2, RTCI_R_TASK, 1), state == RTCI_TASK_LEASED);
    assert_int_equal(play_count(p, 1, RTCI_R_RESULT, 1), state == RTCI_TASK_FAILED);
    return state;
}

/* A task that may be tried again is, when no node has it; one that may not only when it has
 * certainly not begun. */
static void last_attempts(void **state)
{
    (void)state;
    static const struct {
        enum comes comes;
        uint32_t last, again;
    } cases[] = {{WITH_IT, RTCI_TASK_RUNNING, RTCI_TASK_RUNNING},
                 {WITHOUT_IT, RTCI_TASK_LEASED, RTCI_TASK_LEASED},
                 {ANEW, RTCI_TASK_FAILED, RTCI_TASK_LEASED},
                 {LOST, RTCI_TASK_FAILED, RTCI_TASK_READY},
                 {SILENT, RTCI_TASK_FAILED, RTCI_TASK_READY}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct play p;
        assert_int_equal(comes_back(&p, cases[i].comes, 0), cases[i].last);
        play_end(&p);
        assert_int_equal(comes_back(&p, cases[i].comes, 1), cases[i].again);
        play_end(&p);
    }
}

static void suspend(struct play *p, uint32_t node)
{
    rtci_head_core_node_suspect(p->head, p->now_ns, node, p->incarnation[node], &p->actions);
    play_turn(p, node);
}

static void resume(struct play *p, uint32_t node)
{
    rtci_head_core_node_resumed(p->head, p->now_ns, node, p->incarnation[node], &p->actions);
    play_turn(p, node);
}

/* A connection breaks and resumes before anything was placed again: nothing has happened. */
static void blip(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 2);
    play_many(&p, 6, 1);
    assert_int_equal(play_count(&p, 2, RTCI_R_TASK, 0), 4);
    suspend(&p, 2);
    assert_int_equal(p.head->nodes[2].state, RTCI_NODE_SUSPECT);
    assert_int_equal(p.n_told, 0);
    assert_int_equal(p.head->stats.tasks_ready, 6);
    resume(&p, 2);
    assert_int_equal(play_count(&p, 2, RTCI_R_TASK, 0), 0);
    assert_int_equal(p.head->stats.tasks_ready, 2);
    assert_int_equal(p.head->stats.tasks_retried_total, 0);
    assert_int_equal(play_entry(&p, 1)->failures, 0);
    for (uint64_t seq = 1; seq <= 4; seq++)
        play_done(&p, 2, seq, 1, 0);
    play_turn(&p, 2);
    assert_int_equal(play_count(&p, 1, RTCI_R_RESULT, 0), 4);
    play_end(&p);
}

/* Two nodes: the first is away, the second gets its tasks; `ghost`: the first result is the one of
 * the first attempt, which then ends the second. */
static void second_attempt(bool ghost, bool resumes)
{
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 1);
    play_submit(&p, 0, 1, (struct rtci_id){0, 0, 0});
    play_turn(&p, 1);
    assert_int_equal(play_told(&p, 2, RTCI_R_TASK, 1)->attempt, 1);
    play_node(&p, 3, 1);
    suspend(&p, 2);
    assert_int_equal(play_told(&p, 3, RTCI_R_TASK, 1)->attempt, 2);
    uint32_t slot = play_told(&p, 3, RTCI_R_TASK, 1)->slot;
    if (resumes) {
        resume(&p, 2);
        assert_int_equal(play_count(&p, 2, RTCI_R_SLOT_FREE, 0), 1);
        assert_int_equal(p.head->nodes[2].n_slots, 0);
    }
    play_done(&p, ghost ? 2 : 3, 1, ghost ? 1 : 2, 0);
    play_turn(&p, ghost ? 2 : 3);
    assert_int_equal(play_count(&p, 1, RTCI_R_RESULT, 1), 1);
    assert_int_equal(play_count(&p, 3, RTCI_R_CANCEL, 1), ghost);
    if (ghost)
        assert_int_equal(play_told(&p, 3, RTCI_R_CANCEL, 1)->slot, slot);
    play_done(&p, ghost ? 3 : 2, 1, ghost ? 2 : 1, 0); /* the other comes second */
    play_turn(&p, ghost ? 3 : 2);
    assert_int_equal(play_count(&p, 1, RTCI_R_RESULT, 0), 0);
    play_end(&p);
}

/* A completion whose value lies in the arena of the node. */
static void done_large(struct play *p, uint32_t node, uint64_t seq, uint32_t attempt)
{
    size_t at = play_from(p, p->executor[node]);
    struct rtci_done *out = play_say(p, RTCI_R_DONE, sizeof(*out) + sizeof(struct rtci_resolved));
    out->seq = seq;
    out->client = DRIVER;
    out->attempt = attempt;
    out->n_returns = 1;
    struct rtci_resolved *row = (struct rtci_resolved *)(out + 1);
    *row = (struct rtci_resolved){.kind = RTCI_KIND_ARENA, .size = RTCI_MIB};
    play_wrapped(p, at);
    play_turn(p, node);
}

/* The second to end leaves its value in an arena: it goes, also when the head was started again and
 * has not heard yet where the first one's lies, and when the first had none. That one stays. */
static void second_value(bool fails, bool restarts)
{
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 1);
    play_many(&p, 1, 1);
    play_node(&p, 3, 1);
    suspend(&p, 2);
    uint32_t slot = play_told(&p, 3, RTCI_R_TASK, 1)->slot;
    resume(&p, 2);
    if (fails) {
        struct rtci_slot_lost *lost = play_say(&p, RTCI_R_SLOT_LOST, sizeof(*lost));
        *lost = (struct rtci_slot_lost){
            .rec = lost->rec, .slot = slot, .claimed = {1, DRIVER, 0}, .claimed_attempt = 2};
        play_turn(&p, 3);
        assert_int_equal(play_entry(&p, 1)->state, RTCI_TASK_FAILED);
    } else {
        done_large(&p, 3, 1, 2);
        assert_int_equal(play_entry(&p, 1)->state, RTCI_TASK_DONE);
    }
    for (uint32_t node = 1; node <= 3 && restarts; node++) {
        if (node == 1)
            play_restart(&p, 1000 * MS);
        play_up(&p, node);
        play_hello(&p, node > 1, 0);
        if (node == 1)
            play_survivor(&p, DRIVER, RTCI_ROLE_DRIVER);
        play_survivor(&p, p.executor[node], RTCI_ROLE_EXECUTOR);
        play_turn(&p, node);
    }
    done_large(&p, 2, 1, 1);
    assert_int_equal(play_count(&p, 2, RTCI_R_OBJECT_FREE, 0), 1);
    if (!fails) {
        done_large(&p, 3, 1, 2); /* stood in its ring */
        assert_int_equal(play_count(&p, 3, RTCI_R_OBJECT_FREE, 0), 0);
    }
    play_end(&p);
}

static void second_values(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        second_value(i & 1, i & 2);
}

static void second_attempts(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        second_attempt(i & 1, i & 2);
}

/* The lease ends: what could be tried again has been, the rest fails with the story. */
static void lease_ends(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 2);
    play_submit(&p, 0, 0, (struct rtci_id){0, 0, 0});
    play_submit(&p, 0, 1, (struct rtci_id){0, 0, 0});
    play_turn(&p, 1);
    play_node(&p, 3, 2);
    suspend(&p, 2);
    assert_int_equal(play_count(&p, 3, RTCI_R_TASK, 1), 0);
    assert_int_equal(play_count(&p, 3, RTCI_R_TASK, 2), 1);
    rtci_head_core_node_down(p.head, p.now_ns, 2, p.incarnation[2], "its lease ended", &p.actions);
    play_turn(&p, 1);
    assert_int_equal(play_told(&p, 1, RTCI_R_RESULT, 1)->attempt, (uint32_t)-RTC_E_NODE_LOST);
    assert_int_equal(p.head->nodes[2].state, RTCI_NODE_DEAD);
    play_done(&p, 2, 2, 1, 0); /* of the dead session */
    play_turn(&p, 2);
    assert_int_equal(p.n_told, 0);
    play_done(&p, 3, 2, 2, 0);
    play_turn(&p, 3);
    assert_int_equal(play_count(&p, 1, RTCI_R_RESULT, 2), 1);
    play_end(&p);
}

/* It comes back with a new session while its task runs elsewhere too: the first result wins. */
static void suspect_then_new_session(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 1);
    play_many(&p, 1, 1);
    uint32_t slot = play_told(&p, 2, RTCI_R_TASK, 1)->slot;
    play_node(&p, 3, 1);
    suspend(&p, 2);
    play_up(&p, 2);
    play_hello(&p, 1, 0);
    play_survivor(&p, p.executor[2], RTCI_ROLE_EXECUTOR);
    play_held(&p, slot, p.executor[2], 1, 1, true);
    play_ready(&p, 2);
    assert_int_equal(play_count(&p, 0, RTCI_R_TASK, 0), 0);
    assert_int_equal(play_count(&p, 2, RTCI_R_SLOT_FREE, 0), 1); /* it ends after what it runs */
    play_done(&p, 2, 1, 1, 0);
    play_turn(&p, 2);
    assert_int_equal(play_count(&p, 1, RTCI_R_RESULT, 1), 1);
    assert_int_equal(play_count(&p, 3, RTCI_R_CANCEL, 1), 1);
    play_end(&p);
}

static void say_lost(struct play *p, uint32_t slot)
{
    struct rtci_slot_lost *lost = play_say(p, RTCI_R_SLOT_LOST, sizeof(*lost));
    lost->slot = slot;
    lost->signal = 9;
    lost->code = RTC_E_CRASHED;
}

/* An executor dies with a task that it had not begun, then its daemon, whose next tells of both
 * once more: by then the task stands elsewhere, and its completion there is no late one. */
static void told_twice_of_a_death(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 1);
    play_many(&p, 1, 0);
    uint32_t slot = play_told(&p, 2, RTCI_R_TASK, 1)->slot;
    say_lost(&p, slot);
    play_turn(&p, 2);
    assert_int_equal(play_told(&p, 2, RTCI_R_TASK, 1)->attempt, 1);
    assert_int_not_equal(play_told(&p, 2, RTCI_R_TASK, 1)->slot, slot);
    play_up(&p, 2);
    play_hello(&p, 1, 0);
    play_held(&p, slot, p.executor[2], 1, 1, false);
    say_lost(&p, slot);
    play_ready(&p, 2);
    assert_int_equal(play_told(&p, 2, RTCI_R_TASK, 1)->attempt, 1);
    assert_int_equal(play_entry(&p, 1)->ghost_node, 0);
    play_end(&p);
}

/* A drained node gets nothing new, gives back what has not begun, and is told to leave, once. */
static void drain(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 1);
    play_many(&p, 4, 0);
    struct told first = *play_told(&p, 2, RTCI_R_TASK, 1);
    play_cordon(&p, 2, RTCI_CORDON_DRAIN);
    assert_int_equal(p.head->nodes[2].state, RTCI_NODE_DRAINING);
    assert_int_equal(play_count(&p, 2, RTCI_R_RECALL, 0), 1);
    struct rtci_returned *back =
        play_say(&p, RTCI_R_RETURNED, sizeof(*back) + sizeof(struct rtci_held));
    back->slot = first.slot;
    back->n = 1;
    *(struct rtci_held *)(back + 1) = (struct rtci_held){{2, DRIVER, 0}, 1, 0};
    play_turn(&p, 2);
    assert_int_equal(play_count(&p, 2, RTCI_R_TASK, 0), 0);
    assert_int_equal(play_count(&p, 2, RTCI_R_LEAVE, 0), 0);
    play_done(&p, 2, 1, 1, 0);
    play_turn(&p, 2);
    assert_int_equal(play_count(&p, 2, RTCI_R_SLOT_FREE, 0), 1);
    assert_int_equal(play_count(&p, 2, RTCI_R_LEAVE, 0), 1);
    play_turn(&p, 2);
    assert_int_equal(play_count(&p, 2, RTCI_R_LEAVE, 0), 0);
    play_cordon(&p, 2, RTCI_CORDON_OFF);
    assert_int_equal(p.head->nodes[2].state, RTCI_NODE_ALIVE);
    assert_true(play_count(&p, 2, RTCI_R_TASK, 2) == 1);
    play_cordon(&p, 1, RTCI_CORDON_DRAIN); /* the head's own node stays */
    assert_int_equal(play_count(&p, 1, RTCI_R_LEAVE, 0), 0);
    play_end(&p);
}

static int keep_chunk(void *arg, const void *data, size_t len)
{
    rtci_buf_put(arg, data, len);
    return 0;
}

/* Restarted from the journal, from the journal read twice, or from a fold of it. */
static void restart_how(struct play *p, int how)
{
    struct rtci_buf twice = {0};
    rtci_buf_put(&twice, p->journal.data, p->journal.len);
    if (how == 1)
        rtci_buf_put(&p->journal, twice.data, twice.len);
    if (how == 2) {
        rtci_buf_clear(&p->journal);
        assert_int_equal(rtci_head_core_snapshot(p->head, keep_chunk, &p->journal), 0);
    }
    rtci_buf_fini(&twice);
    play_restart(p, 1000 * MS);
}

static void back(struct play *p, uint32_t node, uint32_t state)
{
    play_up(p, node);
    play_hello(p, 1, 0);
    play_ready(p, node);
    assert_int_equal(p->head->nodes[node].state, state);
}

/* What an operator said of a node holds over restarts of the head, until he says otherwise or the
 * node is lost. */
static void cordons_are_kept(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct play p;
        play_begin(&p, 0);
        for (uint32_t node = 2; node <= 6; node++)
            play_node(&p, node, 1);
        play_cordon(&p, 2, RTCI_CORDON_ON);
        play_cordon(&p, 3, RTCI_CORDON_DRAIN);
        play_cordon(&p, 4, RTCI_CORDON_DRAIN);
        play_cordon(&p, 4, RTCI_CORDON_OFF);
        play_cordon(&p, 5, RTCI_CORDON_DRAIN);
        play_cordon(&p, 5, RTCI_CORDON_ON);
        play_cordon(&p, 6, RTCI_CORDON_ON);
        rtci_head_core_node_down(p.head, p.now_ns, 6, p.incarnation[6], "test", &p.actions);
        play_turn(&p, 1);
        restart_how(&p, how);
        back(&p, 1, RTCI_NODE_ALIVE);
        back(&p, 2, RTCI_NODE_CORDONED);
        back(&p, 3, RTCI_NODE_DRAINING);
        play_turn(&p, 3);
        assert_int_equal(play_count(&p, 3, RTCI_R_TASK, 0), 0);
        back(&p, 4, RTCI_NODE_ALIVE);
        back(&p, 5, RTCI_NODE_CORDONED);
        back(&p, 6, RTCI_NODE_ALIVE);
        restart_how(&p, how);
        back(&p, 2, RTCI_NODE_CORDONED);
        rtci_head_core_node_down(p.head, p.now_ns, 2, p.incarnation[2], "test", &p.actions);
        play_up(&p, 3);
        rtci_head_core_node_down(p.head, p.now_ns, 3, p.incarnation[3], "test", &p.actions);
        play_turn(&p, 1);
        restart_how(&p, how);
        back(&p, 2, RTCI_NODE_ALIVE);
        back(&p, 3, RTCI_NODE_ALIVE);
        play_end(&p);
    }
}

/* A node that leaves: what it has begun is an attempt, what it has not is none. */
static void leave(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 1);
    play_many(&p, 2, 0);
    assert_int_equal(play_count(&p, 2, RTCI_R_TASK, 0), 2);
    play_say(&p, RTCI_R_LEAVE, sizeof(struct rtci_rec));
    play_turn(&p, 2);
    assert_int_equal(play_told(&p, 1, RTCI_R_RESULT, 1)->attempt, (uint32_t)-RTC_E_NODE_LOST);
    assert_int_equal(play_count(&p, 1, RTCI_R_RESULT, 2), 0);
    play_node(&p, 3, 1);
    assert_int_equal(play_entry(&p, 2)->attempt, 1);
    play_end(&p);
}

/* After a restart of the head a node says hello only when the head has stopped waiting for it: what
 * it runs is taken over if it was not placed again, and else the first result wins. */
static void late_hello(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 2);
    play_many(&p, 2, 2);
    uint32_t slot[3] = {0, play_told(&p, 2, RTCI_R_TASK, 1)->slot,
                        play_told(&p, 2, RTCI_R_TASK, 2)->slot};
    play_restart(&p, 20 * MS);
    play_up(&p, 2);
    play_up(&p, 1);
    play_hello(&p, 1, 0);
    play_survivor(&p, DRIVER, RTCI_ROLE_DRIVER);
    play_survivor(&p, p.executor[1], RTCI_ROLE_EXECUTOR);
    play_ready(&p, 1);
    assert_true(p.head->recovering); /* the other may have them */
    assert_int_equal(play_count(&p, 1, RTCI_R_TASK, 0), 0);
    p.now_ns += 20 * MS;
    play_turn(&p, 1);
    assert_int_equal(play_count(&p, 1, RTCI_R_TASK, 0), 2); /* one runs, one waits behind it */
    play_hello(&p, 2, 0);
    play_survivor(&p, p.executor[2], RTCI_ROLE_EXECUTOR);
    for (uint64_t seq = 1; seq <= 2; seq++)
        play_held(&p, slot[seq], p.executor[2], seq, 1, true);
    play_ready(&p, 2);
    play_done(&p, 2, 1, 1, 0);
    play_turn(&p, 2);
    assert_int_equal(play_count(&p, 1, RTCI_R_RESULT, 1), 1);
    assert_int_equal(play_count(&p, 1, RTCI_R_CANCEL, 1), 1);
    play_end(&p);
}

/* How others get what is large to a node: it tells an address, and the loop tries it. */
static void path(void **state)
{
    (void)state;
    struct play p;
    play_begin(&p, 0);
    play_node(&p, 2, 2);
    assert_int_equal(p.head->nodes[1].path, RTCI_PATH_HEAD);
    assert_int_equal(p.head->nodes[2].path, RTCI_PATH_RELAYED); /* it told none */
    play_up(&p, 2);
    struct rtci_node_hello *hello = play_hello(&p, 2, 0);
    snprintf(hello->address, sizeof(hello->address), "10.0.0.2:7000");
    play_ready(&p, 2);
    assert_int_equal(p.head->nodes[2].path, RTCI_PATH_UNKNOWN);
    rtci_head_core_set_path(p.head, 2, RTCI_PATH_DIRECT);
    rtci_head_core_set_path(p.head, 1, RTCI_PATH_RELAYED);
    rtci_head_core_set_path(p.head, 9, RTCI_PATH_DIRECT); /* nobody */
    assert_int_equal(p.head->nodes[1].path, RTCI_PATH_HEAD);
    assert_int_equal(p.head->nodes[2].path, RTCI_PATH_DIRECT);
    assert_string_equal(p.head->nodes[2].address, "10.0.0.2:7000");
    play_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_attempts),
        cmocka_unit_test(reconcile),
        cmocka_unit_test(reconcile_cancel),
        cmocka_unit_test(reconcile_holds),
        cmocka_unit_test(blip),
        cmocka_unit_test(second_attempts),
        cmocka_unit_test(second_values),
        cmocka_unit_test(lease_ends),
        cmocka_unit_test(drain),
        cmocka_unit_test(cordons_are_kept),
        cmocka_unit_test(suspect_then_new_session),
        cmocka_unit_test(told_twice_of_a_death),
        cmocka_unit_test(leave),
        cmocka_unit_test(late_hello),
        cmocka_unit_test(path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
