/* Actors in the head core: their life, restarts, names, monitors, and what a restart of the head or
 * of a node makes of them. */
#include "tests/unit/actor_help.h"

/* Node 1 has the driver and no CPU, node 2 as many as are said. */
static void begin(struct play *p, uint64_t cpus)
{
    play_begin(p, 0);
    play_node(p, 2, cpus);
}

static uint32_t gone(struct play *p, uint64_t seq, int signal)
{
    uint32_t slot = act_slot(p, seq);
    act_lost(p, 2, slot, RTC_E_CRASHED, signal);
    return slot;
}

static void lives_and_dies(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1);
    uint64_t seq = act_create(&p, &(struct want){0});
    const struct told *start = play_told(&p, 2, RTCI_R_ACTOR_START, seq);
    assert_non_null(start);
    assert_int_equal(start->attempt, 1);
    assert_int_equal(act_state(&p, seq), RTCI_ACTOR_STARTING);
    act_where(&p, 1, DRIVER, act_id(seq), NULL, 0);
    assert_int_equal(play_count(&p, 0, RTCI_R_ACTOR_IS, 0), 0); /* it is not there yet */
    act_where(&p, 1, DRIVER, act_id(seq), NULL, RTCI_WHERE_NOWAIT);
    assert_int_equal(act_is(&p)->state, RTCI_ACTOR_STARTING);
    act_up(&p, 2, seq, 2); /* of an incarnation that never was */
    assert_int_equal(act_state(&p, seq), RTCI_ACTOR_STARTING);
    act_up(&p, 2, seq, 1);
    assert_int_equal(play_count(&p, 1, RTCI_R_ACTOR_IS, seq), 1);
    assert_int_equal(act_is(&p)->state, RTCI_ACTOR_ALIVE);
    assert_int_equal(act_is(&p)->node, 2);
    assert_int_equal(act_is(&p)->client, p.executor[2]);
    assert_int_equal(act_is(&p)->flags, 0);
    assert_int_equal(p.head->nodes[2].cpu_free, 0);
    gone(&p, seq, 11);
    assert_int_equal(act_state(&p, seq), RTCI_ACTOR_DEAD);
    assert_int_equal(p.head->nodes[2].cpu_free, 10000);
    act_where(&p, 1, DRIVER, act_id(seq), NULL, 0);
    assert_int_equal(act_is(&p)->cause.kind, RTCI_CAUSE_SIGNAL);
    assert_int_equal(act_is(&p)->cause.signal, 11);
    assert_int_equal(act_is(&p)->cause.code, RTC_E_CRASHED);
    act_release(&p, seq);
    act_where(&p, 1, DRIVER, act_id(seq), NULL, 0);
    assert_int_equal(act_is(&p)->status, RTC_E_NOT_FOUND);
    assert_int_equal(p.head->stats.bytes_alive, 0);
    play_end(&p);
}

/* Tasks do not get its slot, and do not drive it out; it waits for its arguments like one. */
static void keeps_its_slot(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 2);
    play_many(&p, 1, 0);
    uint64_t seq = act_create(&p, &(struct want){.dep = {1, DRIVER, 0}});
    assert_int_equal(act_state(&p, seq), RTCI_ACTOR_CREATED);
    play_done(&p, 2, 1, 1, 1000);
    play_turn(&p, 2);
    assert_non_null(play_told(&p, 2, RTCI_R_ACTOR_START, seq));
    act_up(&p, 2, seq, 1);
    play_many(&p, 10, 0);
    for (int i = 0; i < 10; i++) {
        act_later(&p, 20);
        assert_int_equal(play_count(&p, 2, RTCI_R_RECALL, 0), 0);
        assert_int_equal(play_count(&p, 2, RTCI_R_SLOT_FREE, 0), 0);
    }
    assert_int_equal(act_state(&p, seq), RTCI_ACTOR_ALIVE);
    assert_int_equal(p.head->nodes[2].cpu_free, 0);
    play_end(&p);
}

static void restarts_with_backoff(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1);
    uint64_t seq = act_create(&p, &(struct want){.max_restarts = 3});
    uint64_t wait = 100;
    for (uint32_t i = 1; i <= 3; i++) {
        act_up(&p, 2, seq, i);
        gone(&p, seq, 9);
        assert_int_equal(act_state(&p, seq), RTCI_ACTOR_RESTARTING);
        act_later(&p, wait - 10);
        assert_null(play_told(&p, 2, RTCI_R_ACTOR_START, seq));
        act_later(&p, 10);
        assert_int_equal(play_told(&p, 2, RTCI_R_ACTOR_START, seq)->attempt, i + 1);
        wait *= 2;
    }
    act_up(&p, 2, seq, 3); /* late, of the one before */
    assert_int_equal(act_state(&p, seq), RTCI_ACTOR_STARTING);
    gone(&p, seq, 9);
    assert_int_equal(act_state(&p, seq), RTCI_ACTOR_DEAD);
    play_end(&p);
}

/* Who calls it is told as soon as it is not what it was, whatever comes then. */
static void watched(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1);
    uint64_t seq = act_create(&p, &(struct want){.max_restarts = 2});
    act_where(&p, 1, DRIVER, act_id(seq), NULL, RTCI_WHERE_CHANGED);
    assert_int_equal(act_is(&p)->state, RTCI_ACTOR_STARTING); /* it is not ALIVE as 0 */
    act_up(&p, 2, seq, 1);
    uint32_t before = play_count(&p, 0, RTCI_R_ACTOR_IS, 0);
    act_where_after(&p, 1, DRIVER, act_id(seq), 1);
    assert_int_equal(play_count(&p, 0, RTCI_R_ACTOR_IS, 0), before);
    gone(&p, seq, 9);
    assert_int_equal(act_is(&p)->state, RTCI_ACTOR_RESTARTING);
    assert_int_equal(act_is(&p)->cause.signal, 9);
    act_where(&p, 1, DRIVER, act_id(seq), NULL, 0); /* this one waits until it lives */
    act_later(&p, 100);
    act_up(&p, 2, seq, 2);
    assert_int_equal(act_is(&p)->incarnation, 2);
    act_where_after(&p, 1, DRIVER, act_id(seq), 1); /* it is another already */
    assert_int_equal(act_is(&p)->state, RTCI_ACTOR_ALIVE);
    act_where_after(&p, 1, DRIVER, act_id(seq), 2);
    act_end(&p, DRIVER, RTCI_R_ACTOR_KILL, seq, RTCI_END_NO_RESTART);
    gone(&p, seq, 9);
    assert_int_equal(act_is(&p)->state, RTCI_ACTOR_DEAD);
    play_end(&p);
}

static int save_state(struct play *p, uint32_t node, uint32_t client, uint64_t seq)
{
    static const char ns[] = "rtc/actor";
    struct rtci_id id = act_id(seq);
    size_t at = play_from(p, client);
    struct rtci_kv *kv = play_say(p, RTCI_R_KV, sizeof(*kv) + RTCI_ALIGN8(9 + sizeof(id) + 4));
    kv->op = RTCI_KV_PUT;
    kv->request = 1;
    kv->ns_len = 9;
    kv->key_len = sizeof(id);
    kv->value_len = 4;
    memcpy((char *)(kv + 1), ns, 9);
    memcpy((char *)(kv + 1) + 9, &id, sizeof(id));
    memcpy((char *)(kv + 1) + 9 + sizeof(id), "kept", 4);
    play_wrapped(p, at);
    play_turn(p, node);
    return -(int)play_told(p, node, RTCI_R_REPLY, 0)->attempt;
}

static void count_keys(void *arg, const char *key, uint32_t key_len, const void *value,
                       uint32_t size)
{
    (void)key;
    assert_int_equal(key_len, sizeof(struct rtci_id));
    assert_int_equal(size, 4);
    assert_true(!memcmp(value, "kept", 4));
    ++*(int *)arg;
}

/* What an actor saves, only its process may write; it goes when the actor is dead. */
static void keeps_state(void **state)
{
    (void)state;
    struct play p;
    int n = 0;
    begin(&p, 1);
    uint64_t seq = act_create(&p, &(struct want){.max_restarts = 1, .flags = RTCI_ACTOR_SAVES});
    act_up(&p, 2, seq, 1);
    assert_int_equal(save_state(&p, 1, DRIVER, seq), RTC_E_DENIED);
    assert_int_equal(save_state(&p, 2, p.executor[2], seq + 1), RTC_E_DENIED);
    assert_int_equal(save_state(&p, 2, p.executor[2], seq), 0);
    gone(&p, seq, 9);
    rtci_head_core_kv_each(p.head, "rtc/actor", count_keys, &n);
    assert_int_equal(n, 1); /* for the next one */
    act_later(&p, 100);
    act_up(&p, 2, seq, 2);
    gone(&p, seq, 9);
    n = 0;
    rtci_head_core_kv_each(p.head, "rtc/actor", count_keys, &n);
    assert_int_equal(n, 0);
    play_end(&p);
}

/* A constructor that fails is reported once, with its error, and not tried again. */
static void constructor_fails(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1);
    uint64_t seq = act_create(&p, &(struct want){.max_restarts = -1});
    uint32_t slot = act_slot(&p, seq);
    act_where(&p, 1, DRIVER, act_id(seq), NULL, 0);
    act_failed(&p, 2, seq, "no such file");
    assert_int_equal(act_is(&p)->cause.kind, RTCI_CAUSE_CONSTRUCTOR);
    assert_int_equal(act_is(&p)->cause.user_code, 5);
    assert_string_equal(act_is(&p)->cause.text, "no such file");
    assert_int_equal(play_told(&p, 2, RTCI_R_SLOT_FREE, 0)->slot, slot);
    act_later(&p, 20000);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_START, 0), 0);
    /* An argument that failed is as bad; one of an unknown shape too. */
    uint64_t lost = act_create(&p, &(struct want){.dep = {77, DRIVER, 0}});
    uint64_t shape = act_create(&p, &(struct want){.shape = 3});
    assert_int_equal(act_at(&p, act_id(lost))->cause.code, RTC_E_LOST);
    assert_int_equal(act_at(&p, act_id(shape))->cause.code, RTC_E_PROTOCOL);
    play_end(&p);
}

static void killed_and_stopped(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 3);
    uint64_t a = act_create(&p, &(struct want){.max_restarts = -1});
    uint64_t b = act_create(&p, &(struct want){.max_restarts = 1});
    uint64_t c = act_create(&p, &(struct want){.max_restarts = 1});
    act_end(&p, DRIVER, RTCI_R_ACTOR_KILL, a, RTCI_END_NO_RESTART);
    assert_int_equal(play_told(&p, 2, RTCI_R_ACTOR_KILL, a)->slot, act_slot(&p, a));
    assert_int_equal(act_state(&p, a), RTCI_ACTOR_STARTING); /* until its node tells */
    gone(&p, a, 9);
    assert_int_equal(act_state(&p, a), RTCI_ACTOR_DEAD);
    assert_int_equal(act_at(&p, act_id(a))->cause.kind, RTCI_CAUSE_KILLED);
    assert_int_equal(act_at(&p, act_id(a))->cause.client, DRIVER);
    act_end(&p, DRIVER, RTCI_R_ACTOR_KILL, b, 0);
    gone(&p, b, 9);
    assert_int_equal(act_state(&p, b), RTCI_ACTOR_RESTARTING);
    act_end(&p, DRIVER, RTCI_R_ACTOR_STOP, b, 0); /* there is nothing to wait for */
    assert_int_equal(act_state(&p, b), RTCI_ACTOR_DEAD);
    act_end(&p, DRIVER, RTCI_R_ACTOR_STOP, c, 0);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_STOP, c), 1);
    act_later(&p, 29000);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_KILL, c), 0);
    act_later(&p, 2000); /* it takes too long */
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_KILL, c), 1);
    gone(&p, c, 9);
    assert_int_equal(act_at(&p, act_id(c))->cause.kind, RTCI_CAUSE_STOPPED);
    play_end(&p);
}

/* Handles are counted as references are: the last one that goes stops the actor. */
static void last_handle(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1);
    uint64_t seq = act_create(&p, &(struct want){.max_restarts = -1});
    act_up(&p, 2, seq, 1);
    struct rtci_ids *ids = play_say(&p, RTCI_R_HOLD, sizeof(*ids) + sizeof(struct rtci_id));
    ids->n = 1;
    *(struct rtci_id *)(ids + 1) = act_id(seq);
    play_turn(&p, 2);
    act_release(&p, seq);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_STOP, 0), 0);
    ids = play_say(&p, RTCI_R_DROP, sizeof(*ids) + sizeof(struct rtci_id));
    ids->n = 1;
    *(struct rtci_id *)(ids + 1) = act_id(seq);
    play_turn(&p, 2);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_STOP, seq), 1);
    gone(&p, seq, 0);
    assert_int_equal(head_actor_find(p.head, act_id(seq)), 0); /* nobody can ask any more */
    assert_int_equal(p.head->stats.actors, 0);
    play_end(&p);
}

/* A handle among a task's arguments is not waited for, and keeps the actor until the task ends. */
static void handle_as_argument(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1);
    uint64_t seq = act_create(&p, &(struct want){0});
    play_submit(&p, 0, 0, act_id(seq));
    act_release(&p, seq);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_STOP, 0), 0);
    assert_int_equal(play_entry(&p, 2)->state, RTCI_TASK_READY);
    play_node(&p, 3, 1);
    act_later(&p, 1);
    play_done(&p, 3, 2, 1, 0);
    play_turn(&p, 3);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_STOP, seq), 1);
    play_end(&p);
}

static void names(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 3);
    uint64_t a = act_create(&p, &(struct want){.name = "boss"});
    uint64_t b = act_create(&p, &(struct want){.name = "boss"});
    assert_int_equal(act_at(&p, act_id(b))->cause.kind, RTCI_CAUSE_NAME);
    assert_int_equal(act_at(&p, act_id(b))->cause.other.seq, a);
    uint64_t c = act_create(&p, &(struct want){.name = "boss", .flags = RTCI_ACTOR_GET_IF_EXISTS});
    act_up(&p, 2, a, 1);
    act_where(&p, 1, DRIVER, act_id(c), NULL, 0);
    assert_int_equal(act_is(&p)->id.seq, a);
    assert_int_equal(act_is(&p)->flags, RTCI_IS_HELD);
    assert_int_equal(play_entry(&p, a)->ext, 1);
    act_where(&p, 1, DRIVER, (struct rtci_id){0}, "nobody", 0);
    assert_int_equal(act_is(&p)->status, RTC_E_NOT_FOUND);
    act_where(&p, 1, DRIVER, (struct rtci_id){0}, "boss", 0);
    assert_int_equal(act_is(&p)->id.seq, a);
    gone(&p, a, 9);
    act_where(&p, 1, DRIVER, (struct rtci_id){0}, "boss", 0);
    assert_int_equal(act_is(&p)->status, RTC_E_NOT_FOUND);
    uint64_t d = act_create(&p, &(struct want){.name = "boss"});
    assert_int_equal(act_state(&p, d), RTCI_ACTOR_STARTING);
    play_restart(&p, 1000 * MS);
    assert_int_equal(head_actor_name_holder(p.head, head_actor_find(p.head, act_id(b))),
                     head_actor_find(p.head, act_id(d)));
    play_end(&p);
}

static void monitors(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 3);
    uint64_t a = act_create(&p, &(struct want){.max_restarts = 1});
    act_monitor(&p, DRIVER, RTCI_R_ACTOR_MONITOR, 1, act_id(a));
    act_monitor(&p, DRIVER, RTCI_R_ACTOR_MONITOR, 2, act_id(a));
    act_monitor(&p, DRIVER, RTCI_R_ACTOR_MONITOR, 1, act_id(a)); /* said again */
    act_monitor(&p, DRIVER, RTCI_R_ACTOR_MONITOR, 3, act_id(a));
    act_monitor(&p, DRIVER, RTCI_R_ACTOR_DEMONITOR, 3, act_id(a));
    gone(&p, a, 9);
    assert_int_equal(play_count(&p, 0, RTCI_R_ACTOR_DOWN, 0), 0); /* it comes back */
    act_later(&p, 100);
    gone(&p, a, 6);
    assert_int_equal(play_count(&p, 1, RTCI_R_ACTOR_DOWN, 0), 2);
    assert_int_equal(p.down.cause.signal, 6);
    assert_int_equal(p.down.incarnation, 2);
    act_monitor(&p, DRIVER, RTCI_R_ACTOR_DEMONITOR, 1, act_id(a)); /* heard */
    act_monitor(&p, DRIVER, RTCI_R_ACTOR_MONITOR, 4, act_id(a));   /* of a dead one: at once */
    assert_int_equal(play_count(&p, 1, RTCI_R_ACTOR_DOWN, 4), 1);
    act_monitor(&p, DRIVER, RTCI_R_ACTOR_MONITOR, 5, act_id(99));
    assert_int_equal(p.down.cause.kind, RTCI_CAUSE_UNKNOWN);
    /* The head is restarted: what was not answered comes again. */
    play_restart(&p, 1000 * MS);
    play_up(&p, 1);
    play_hello(&p, 0, 0);
    play_survivor(&p, DRIVER, RTCI_ROLE_DRIVER);
    play_turn(&p, 1);
    assert_int_equal(play_count(&p, 1, RTCI_R_ACTOR_DOWN, 0), 3);
    assert_int_equal(play_count(&p, 1, RTCI_R_ACTOR_DOWN, 1), 0);
    play_end(&p);
}

static void link_two(struct play *p, uint64_t a, uint64_t b)
{
    size_t at = play_from(p, DRIVER);
    struct rtci_actor_link *link = play_say(p, RTCI_R_ACTOR_LINK, sizeof(*link));
    link->a = act_id(a);
    link->b = act_id(b);
    link->op = 1;
    play_wrapped(p, at);
    play_turn(p, 1);
}

static void links(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 2);
    uint64_t a = act_create(&p, &(struct want){0}), b = act_create(&p, &(struct want){0}),
             c = act_create(&p, &(struct want){0});
    assert_int_equal(act_state(&p, c), RTCI_ACTOR_PENDING);
    link_two(&p, a, b);
    uint64_t d = act_create(&p, &(struct want){0});
    link_two(&p, b, c);
    link_two(&p, d, b);
    gone(&p, a, 9);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_KILL, b), 1);
    gone(&p, b, 9);
    assert_int_equal(act_at(&p, act_id(b))->cause.kind, RTCI_CAUSE_LINK);
    assert_int_equal(act_at(&p, act_id(b))->cause.other.seq, a);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_KILL, c),
                     1);                                 /* it got the place of the first */
    assert_int_equal(act_state(&p, d), RTCI_ACTOR_DEAD); /* before it was placed */
    assert_int_equal(p.head->n_links, 0);
    play_end(&p);
}

/* With the driver its actors go; a detached one goes on, as a job of its own. */
static void job_ends(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 3);
    uint32_t other = play_client(&p, 1, RTCI_ROLE_DRIVER, 0);
    act_create(&p, &(struct want){.max_restarts = -1});
    uint64_t d = act_create(
        &p, &(struct want){.max_restarts = -1, .name = "d", .flags = RTCI_ACTOR_DETACHED});
    uint32_t job = act_at(&p, act_id(d))->job;
    assert_int_not_equal(job, 1);
    act_up(&p, 2, d, 1);
    struct rtci_client_gone *end = play_say(&p, RTCI_R_CLIENT_GONE, sizeof(*end));
    end->client = DRIVER;
    play_turn(&p, 1);
    assert_int_equal(head_actor_find(p.head, act_id(1)), 0);
    assert_int_equal(act_state(&p, d), RTCI_ACTOR_ALIVE);
    assert_int_equal(p.head->stats.actors, 1);
    p.executor[2] = play_client(&p, 2, RTCI_ROLE_EXECUTOR, job); /* its job lives */
    gone(&p, d, 9);
    act_later(&p, 100);
    assert_int_equal(play_told(&p, 2, RTCI_R_ACTOR_START, d)->attempt, 2);
    act_up(&p, 2, d, 2);
    act_where(&p, 1, other, (struct rtci_id){0}, "d", 0);
    assert_int_equal(act_is(&p)->state, RTCI_ACTOR_ALIVE);
    act_end(&p, other, RTCI_R_ACTOR_KILL, d, RTCI_END_NO_RESTART);
    gone(&p, d, 9);
    assert_int_equal(play_count(&p, 2, RTCI_R_JOB_END, 0), 1);
    assert_false(p.head->jobs[job].alive);
    assert_int_equal(p.head->stats.actors, 0);
    play_end(&p);
}

/* What a detached actor is the head asks for while the driver can say it: anew when its node has
 * come back, and keeps it when the driver has gone. */
static void program_kept(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 3);
    uint64_t d = act_create(&p, &(struct want){.max_restarts = -1, .flags = RTCI_ACTOR_DETACHED});
    uint32_t job = act_at(&p, act_id(d))->job;
    assert_int_equal(play_count(&p, 1, RTCI_R_PROGRAM_WANT, 0), 1);
    for (uint32_t round = 0; round < 2; round++) {
        struct rtci_program *program = play_say(&p, RTCI_R_PROGRAM, sizeof(*program));
        program->job = 1;
        play_turn(&p, 1);
        assert_non_null(p.head->jobs[1].program);
        if (round) {
            struct rtci_client_gone *end = play_say(&p, RTCI_R_CLIENT_GONE, sizeof(*end));
            end->client = DRIVER;
            play_turn(&p, 1);
        }
        play_up(&p, 1);
        play_hello(&p, 0, 0)->rec.flags = RTCI_HELLO_AGAIN;
        if (!round)
            play_survivor(&p, DRIVER, RTCI_ROLE_DRIVER);
        play_ready(&p, 1);
        assert_int_equal(play_count(&p, 1, RTCI_R_PROGRAM_WANT, 0), round ? 0 : 1);
        assert_int_equal(p.head->jobs[1].program != NULL, round);
    }
    ((struct rtci_job_end *)play_say(&p, RTCI_R_PROGRAM_WANT, sizeof(struct rtci_job_end)))->job =
        job;
    play_turn(&p, 2);
    assert_int_equal(play_count(&p, 2, RTCI_R_PROGRAM, 0), 1);
    play_end(&p);
}

/* Suspected is not dead: there is never a second one while the first may live. */
static void suspicion_and_loss(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1);
    play_node(&p, 3, 1);
    uint64_t seq = act_create(&p, &(struct want){.max_restarts = -1});
    uint32_t at = act_at(&p, act_id(seq))->node, other = 5 - at, slot = act_slot(&p, seq);
    act_up(&p, at, seq, 1);
    rtci_head_core_node_suspect(p.head, p.now_ns, at, p.incarnation[at], &p.actions);
    act_later(&p, 5000);
    assert_int_equal(play_count(&p, 0, RTCI_R_ACTOR_START, 0), 0);
    assert_int_equal(act_state(&p, seq), RTCI_ACTOR_ALIVE);
    rtci_head_core_node_resumed(p.head, p.now_ns, at, p.incarnation[at], &p.actions);
    act_later(&p, 1);
    assert_int_equal(act_slot(&p, seq), slot);
    rtci_head_core_node_suspect(p.head, p.now_ns, at, p.incarnation[at], &p.actions);
    rtci_head_core_node_down(p.head, p.now_ns, at, p.incarnation[at], "gone", &p.actions);
    act_later(&p, 100);
    assert_int_equal(play_told(&p, other, RTCI_R_ACTOR_START, seq)->attempt, 2);
    /* The node comes back after all, with the first: it is told to end it. */
    play_up(&p, at);
    play_hello(&p, 1, 0);
    act_held(&p, slot, p.executor[at], seq, 1);
    play_ready(&p, at);
    assert_int_equal(play_told(&p, at, RTCI_R_SLOT_FREE, 0)->slot, slot);
    assert_int_equal(act_incarnation(&p, seq), 2);
    play_end(&p);
}

/* A new session of its node: what it tells of goes on, what it does not is lost, or had not begun.
 */
static void reconciled(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 3);
    uint64_t a = act_create(&p, &(struct want){0}),
             b = act_create(&p, &(struct want){.max_restarts = 1}),
             c = act_create(&p, &(struct want){0});
    uint32_t slot = act_slot(&p, a), first = p.executor[2];
    act_up(&p, 2, a, 1);
    p.executor[2] = play_client(&p, 2, RTCI_ROLE_EXECUTOR, 1);
    act_up(&p, 2, b, 1);
    play_up(&p, 2);
    play_hello(&p, 3, 0);
    play_survivor(&p, first, RTCI_ROLE_EXECUTOR);
    act_held(&p, slot, first, a, 1);
    play_ready(&p, 2);
    assert_int_equal(act_state(&p, a), RTCI_ACTOR_ALIVE);
    assert_int_equal(act_slot(&p, a), slot);
    assert_int_equal(act_state(&p, b), RTCI_ACTOR_RESTARTING);
    assert_int_equal(act_state(&p, c), RTCI_ACTOR_STARTING); /* sent again: it had not begun */
    assert_int_equal(play_told(&p, 2, RTCI_R_ACTOR_START, c)->attempt, 2);
    assert_int_equal(act_at(&p, act_id(c))->restarts, 0);
    play_end(&p);
}

static int keep(void *arg, const void *data, size_t len)
{
    rtci_buf_put(arg, data, len);
    return 0;
}

/* The head is restarted, from its journal or from what that was folded into: living actors are
 * found where they are, an order to stop is given again, and what its node does not bring back is
 * lost. */
static void head_restarts(void **state)
{
    (void)state;
    for (int fold = 0; fold < 2; fold++) {
        struct play p;
        begin(&p, 3);
        uint64_t a = act_create(&p, &(struct want){.name = "a"});
        uint64_t b = act_create(&p, &(struct want){.max_restarts = 1});
        uint64_t c = act_create(&p, &(struct want){0});
        uint64_t d = act_create(&p, &(struct want){0}); /* there is no room for it */
        uint32_t slots[] = {act_slot(&p, a), act_slot(&p, b), act_slot(&p, c)};
        uint32_t first = p.executor[2];
        act_up(&p, 2, a, 1);
        act_end(&p, DRIVER, RTCI_R_ACTOR_STOP, a, 0);
        act_end(&p, DRIVER, RTCI_R_ACTOR_KILL, c, RTCI_END_NO_RESTART);
        if (fold) {
            rtci_buf_clear(&p.journal);
            assert_int_equal(rtci_head_core_snapshot(p.head, keep, &p.journal), 0);
        }
        play_restart(&p, 3000 * MS);
        rtci_head_core_check(p.head);
        assert_int_equal(act_state(&p, a), RTCI_ACTOR_ALIVE);
        play_up(&p, 1);
        play_hello(&p, 0, 0);
        play_survivor(&p, DRIVER, RTCI_ROLE_DRIVER);
        play_ready(&p, 1);
        act_later(&p, 100);
        assert_int_equal(act_state(&p, b), RTCI_ACTOR_STARTING); /* its node may come */
        play_up(&p, 2);
        play_hello(&p, 3, 0);
        play_survivor(&p, first, RTCI_ROLE_EXECUTOR);
        act_held(&p, slots[0], first, a, 1);
        act_held(&p, slots[2], 0, c, 1);
        play_turn(&p, 2);
        assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_STOP, a), 1);
        assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_KILL, c), 1);
        play_ready(&p, 2);
        assert_int_equal(act_slot(&p, a), slots[0]);
        uint32_t twice = play_told(&p, 2, RTCI_R_ACTOR_START, b) != NULL;
        twice += play_told(&p, 2, RTCI_R_ACTOR_START, d) != NULL;
        assert_int_equal(twice, 1); /* for one of them there is room again */
        play_end(&p);
    }
}

static void node_never_returns(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1);
    uint64_t a = act_create(&p, &(struct want){.max_restarts = 1});
    act_up(&p, 2, a, 1);
    act_where(&p, 1, DRIVER, act_id(a), NULL, 0);
    play_restart(&p, 3000 * MS);
    play_up(&p, 1);
    play_hello(&p, 1, 0);
    play_survivor(&p, DRIVER, RTCI_ROLE_DRIVER);
    play_ready(&p, 1);
    assert_int_equal(act_state(&p, a), RTCI_ACTOR_ALIVE);
    act_later(&p, 3000);
    assert_int_equal(act_at(&p, act_id(a))->cause.kind, RTCI_CAUSE_NODE_LOST);
    act_later(&p, 200);
    assert_int_equal(play_told(&p, 1, RTCI_R_ACTOR_START, a)->attempt, 2);
    play_end(&p);
}

/* A node is drained: who may be restarted moves, others stay until they end. */
static void drained(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 2);
    uint64_t a = act_create(&p, &(struct want){.max_restarts = 1}),
             b = act_create(&p, &(struct want){0});
    act_up(&p, 2, a, 1);
    p.executor[2] = play_client(&p, 2, RTCI_ROLE_EXECUTOR, 1);
    act_up(&p, 2, b, 1);
    play_node(&p, 3, 2);
    play_cordon(&p, 2, RTCI_CORDON_DRAIN);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_STOP, a), 1);
    assert_int_equal(play_count(&p, 2, RTCI_R_ACTOR_STOP, b), 0);
    gone(&p, a, 0);
    assert_int_equal(play_told(&p, 3, RTCI_R_ACTOR_START, a)->attempt, 2);
    assert_int_equal(act_at(&p, act_id(a))->restarts, 0); /* it is not its fault */
    assert_int_equal(play_count(&p, 2, RTCI_R_LEAVE, 0), 0);
    act_end(&p, DRIVER, RTCI_R_ACTOR_STOP, b, 0);
    gone(&p, b, 0);
    assert_int_equal(play_count(&p, 2, RTCI_R_LEAVE, 0), 1);
    play_end(&p);
}

/* A task waits in get and lends its CPU for what it waits for: an actor would keep it. */
static void lent_cpus(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1);
    play_many(&p, 1, 0);
    uint32_t slot = play_told(&p, 2, RTCI_R_TASK, 1)->slot;
    struct rtci_slot_msg *msg = play_say(&p, RTCI_R_SLOT_BLOCKED, sizeof(*msg));
    msg->slot = slot;
    msg->op = 1;
    play_turn(&p, 2);
    uint64_t seq = act_create(&p, &(struct want){0});
    assert_int_equal(act_state(&p, seq), RTCI_ACTOR_PENDING);
    uint64_t task = play_submit(&p, 0, 0, (struct rtci_id){0, 0, 0});
    play_turn(&p, 1);
    assert_int_equal(play_count(&p, 2, RTCI_R_TASK, task), 1);
    play_end(&p);
}

static void listed(void **state)
{
    (void)state;
    struct play p;
    begin(&p, 1);
    act_create(&p, &(struct want){.name = "one"});
    uint64_t b = act_create(&p, &(struct want){0});
    struct rtci_row_actor row;
    head_actor_row(p.head, head_actor_find(p.head, act_id(1)), &row);
    assert_string_equal(row.name, "one");
    assert_int_equal(row.state, RTCI_ACTOR_STARTING);
    head_actor_row(p.head, head_actor_find(p.head, act_id(b)), &row);
    assert_int_equal(row.state, RTCI_ACTOR_PENDING);
    assert_non_null(strstr(row.why, "busy (cpu)"));
    size_t at = play_from(&p, DRIVER);
    struct rtci_query *query = play_say(&p, RTCI_R_QUERY, sizeof(*query));
    query->what = RTCI_Q_ACTORS;
    play_wrapped(&p, at);
    play_turn(&p, 1);
    assert_int_equal(play_count(&p, 1, RTCI_R_REPLY, 0), 1);
    play_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_and_dies),
        cmocka_unit_test(keeps_its_slot),
        cmocka_unit_test(restarts_with_backoff),
        cmocka_unit_test(watched),
        cmocka_unit_test(keeps_state),
        cmocka_unit_test(constructor_fails),
        cmocka_unit_test(killed_and_stopped),
        cmocka_unit_test(last_handle),
        cmocka_unit_test(handle_as_argument),
        cmocka_unit_test(names),
        cmocka_unit_test(monitors),
        cmocka_unit_test(links),
        cmocka_unit_test(job_ends),
        cmocka_unit_test(program_kept),
        cmocka_unit_test(suspicion_and_loss),
        cmocka_unit_test(reconciled),
        cmocka_unit_test(head_restarts),
        cmocka_unit_test(node_never_returns),
        cmocka_unit_test(drained),
        cmocka_unit_test(lent_cpus),
        cmocka_unit_test(listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
