/* Light actors that do everything at random: by hand, thousands of orders from seeds, with all that
 * must hold at the end; and on threads, with all that must hold always. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/exec/light.h"
#include "tests/lib/rng.h"
#include <rtc/error.h>

#define ACTORS  64 /* that are ever made in one run */
#define WATCHES 4096
#define CALLS   4096

enum { WORK, CALLED, TIMED };

/* One run. What an actor is and does is known by its number. */
struct world {
    struct rtci_light *light;
    _Atomic uint64_t ids[ACTORS]; /* 0: not yet made */
    _Atomic bool dropped[ACTORS];
    _Atomic uint32_t n_actors, n_watches, n_calls;
    _Atomic int64_t budget; /* of messages: then all becomes quiet */
    _Atomic int64_t blocks; /* sent and not yet freed */
    _Atomic uint32_t wrong; /* checks that failed, in threads where cmocka cannot be used */
    struct watch {
        _Atomic uint32_t downs;
        uint32_t watcher, watched;
    } watches[WATCHES];
    struct call {
        _Atomic uint32_t answers;
        uint32_t caller;
    } calls[CALLS];
    pthread_mutex_t lock;
    pthread_cond_t quiet;
    bool is_quiet;
};
struct person {
    struct world *world;
    uint32_t number;
    struct rng rng;
    uint32_t sent[ACTORS], seen[ACTORS]; /* numbers of the last message to and from each */
    struct rtci_light_reply_to asker;
};
struct letter {
    struct world *world;
    uint32_t from, number;
};
struct birth {
    struct world *world;
    uint32_t number;
    uint64_t seed;
};

static int person_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg);

static int person_init(void *state, const void *arg)
{
    struct person *person = state;
    const struct birth *birth = arg;
    person->world = birth->world;
    person->number = birth->number;
    person->rng.state = birth->seed;
    return 0;
}

static void person_drop(void *state)
{
    struct person *person = state;
    if (person->asker.kind) /* whoever has taken a question has to answer it */
        rtci_light_reply_later(rtci_light_outside(person->world->light), &person->asker,
                               RTC_E_CANCELLED, NULL, 0);
    if (atomic_exchange(&person->world->dropped[person->number], true))
        atomic_fetch_add(&person->world->wrong, 1);
}

static const struct rtci_light_class person_class = {.name = "person",
                                                     .state_size = sizeof(struct person),
                                                     .init = person_init,
                                                     .receive = person_receive,
                                                     .drop = person_drop,
                                                     .mail_max = 6};

static void letter_free(void *block)
{
    struct letter *letter = block;
    atomic_fetch_sub(&letter->world->blocks, 1);
    free(letter);
}

static rtci_light_id id_of(struct world *world, uint32_t number)
{
    uint64_t id = atomic_load(&world->ids[number]);
    return (rtci_light_id){(uint32_t)id, (uint32_t)(id >> 32)};
}

static void make_person(struct world *world, struct rtci_light_ctx *ctx, uint64_t seed)
{
    struct birth birth = {world, atomic_fetch_add(&world->n_actors, 1), seed};
    rtci_light_id id;
    if (birth.number >= ACTORS || rtci_light_create(ctx, &person_class, &birth, &id))
        return;
    atomic_store(&world->ids[birth.number], (uint64_t)id.gen << 32 | id.index);
    rtci_light_tell(ctx, id, TIMED, NULL, 0);
}

static int answered(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *reply,
                    void *arg)
{
    struct person *person = state;
    struct call *call = arg;
    (void)ctx, (void)reply;
    atomic_fetch_add(&call->answers, 1);
    if (call->caller != person->number)
        atomic_fetch_add(&person->world->wrong, 1);
    return 0;
}

static void ask(struct person *person, struct rtci_light_ctx *ctx, rtci_light_id to)
{
    struct world *world = person->world;
    uint32_t i = atomic_fetch_add(&world->n_calls, 1);
    if (i >= CALLS)
        return;
    struct call *call = &world->calls[i];
    call->caller = person->number;
    uint64_t timeout = rng_below(&person->rng, 2) ? RTCI_LIGHT_FOREVER : 5000;
    if (rtci_light_call(ctx, to, CALLED, NULL, 0, timeout, answered, call))
        atomic_fetch_add(&call->answers, 1); /* the error is the answer */
}

static void watch(struct person *person, struct rtci_light_ctx *ctx, uint32_t whom)
{
    struct world *world = person->world;
    uint32_t i = atomic_fetch_add(&world->n_watches, 1);
    if (i >= WATCHES)
        return;
    world->watches[i].watcher = person->number;
    world->watches[i].watched = whom;
    if (rtci_light_watch(ctx, id_of(world, whom), i))
        atomic_fetch_add(&world->wrong, 1);
}

static void write_to(struct person *person, struct rtci_light_ctx *ctx, uint32_t whom)
{
    struct letter letter = {person->world, person->number, person->sent[whom] + 1};
    int rc;
    if (rng_below(&person->rng, 2)) {
        rc = rtci_light_tell(ctx, id_of(person->world, whom), WORK, &letter, sizeof(letter));
    } else {
        struct letter *block = malloc(sizeof(letter));
        if (!block)
            return;
        *block = letter;
        atomic_fetch_add(&person->world->blocks, 1);
        rc = rtci_light_tell_block(ctx, id_of(person->world, whom), WORK, block, sizeof(letter),
                                   letter_free);
        if (rc)
            letter_free(block);
    }
    if (rc == 0)
        person->sent[whom]++;
}

static void read_letter(struct person *person, const struct rtci_light_msg *msg)
{
    size_t size;
    struct letter letter;
    memcpy(&letter, rtci_light_data(msg, &size), sizeof(letter));
    if (size != sizeof(letter) || letter.number != person->seen[letter.from] + 1)
        atomic_fetch_add(&person->world->wrong, 1); /* lost, doubled or overtaken */
    person->seen[letter.from] = letter.number;
}

/* Something, in most cases messages. */
static int act(struct person *person, struct rtci_light_ctx *ctx)
{
    struct world *world = person->world;
    uint32_t n = atomic_load(&world->n_actors);
    uint32_t whom = rng_below(&person->rng, n < ACTORS ? n : ACTORS);
    rtci_light_id id = id_of(world, whom);
    if (!id.gen)
        return 0;
    uint32_t what = rng_below(&person->rng, 64);
    if (what >= 1 && what <= 5 && rng_below(&person->rng, 8))
        what = 63; /* deaths and links are rarer, or nobody is left soon */
    switch (what) {
    case 0: make_person(world, ctx, rng_next(&person->rng)); return 0;
    case 1: rtci_light_kill(ctx, id); return 0;
    case 2: rtci_light_stop(ctx, id); return 0;
    case 3: return RTC_E_RANGE;
    case 4: return RTCI_LIGHT_LEAVE;
    case 5: rtci_light_link(ctx, id); return 0;
    case 6: rtci_light_unlink(ctx, id); return 0;
    case 7:
    case 8:
    case 9:
    case 10: watch(person, ctx, whom); return 0;
    case 11:
    case 12:
    case 13:
    case 14: ask(person, ctx, id); return 0;
    case 15:
    case 16:
        rtci_light_after(ctx, rng_below(&person->rng, 9999), id, TIMED, NULL, 0, NULL);
        return 0;
    case 17: rtci_light_reply_later(ctx, &person->asker, 0, NULL, 0); return 0;
    case 18:
        if (!rtci_light_retain(ctx, id))
            rtci_light_release(ctx, id);
        return 0;
    case 19: make_person(world, ctx, rng_next(&person->rng)); return 0;
    default: write_to(person, ctx, whom); return 0;
    }
}

static void become_quiet(struct world *world)
{
    pthread_mutex_lock(&world->lock);
    world->is_quiet = true;
    pthread_cond_signal(&world->quiet);
    pthread_mutex_unlock(&world->lock);
}

static int person_receive(struct rtci_light_ctx *ctx, void *state, struct rtci_light_msg *msg)
{
    struct person *person = state;
    struct world *world = person->world;
    if (msg->kind == RTCI_LIGHT_DOWN)
        atomic_fetch_add(&world->watches[msg->token].downs, 1);
    else if (msg->kind == RTCI_LIGHT_TELL && msg->tag == WORK)
        read_letter(person, msg);
    else if (msg->kind == RTCI_LIGHT_CALL && !person->asker.kind && rng_below(&person->rng, 2))
        person->asker = rtci_light_take_reply(ctx);
    int rc = 0;
    for (uint32_t i = 1 + rng_below(&person->rng, 3); i && !rc; i--) {
        int64_t left = atomic_fetch_sub(&world->budget, 1);
        if (left == 1)
            become_quiet(world);
        if (left <= 0)
            break;
        rc = act(person, ctx);
    }
    /* Questions do not stay for ever, so that all are answered when it has become quiet. */
    if (atomic_load(&world->budget) <= 0)
        rtci_light_reply_later(ctx, &person->asker, 0, NULL, 0);
    return rc;
}

static bool is_alive(struct world *world, uint32_t number)
{
    return rtci_light_alive(rtci_light_outside(world->light), id_of(world, number));
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Nothing is under way any more. */
static void check_quiet(struct world *world)
{
    uint32_t n_watches = least(world->n_watches, WATCHES), n_calls = least(world->n_calls, CALLS);
    for (uint32_t i = 0; i < n_watches; i++) {
        struct watch *watch = &world->watches[i];
        bool dead = !is_alive(world, watch->watched);
        if (is_alive(world, watch->watcher))
            assert_int_equal(watch->downs, dead);
        else
            assert_true(watch->downs <= dead);
    }
    for (uint32_t i = 0; i < n_calls; i++) {
        if (is_alive(world, world->calls[i].caller))
            assert_int_equal(world->calls[i].answers, 1);
    }
    uint32_t alive = 0, n = least(world->n_actors, ACTORS);
    for (uint32_t i = 0; i < n; i++) {
        alive += is_alive(world, i);
        assert_int_equal(world->dropped[i], !is_alive(world, i));
    }
    struct rtci_light_stats stats;
    rtci_light_stats(world->light, &stats);
    assert_int_equal(stats.created - stats.died, alive);
    assert_int_equal(stats.blocks_out, alive);
}

/* Whenever it was ended. */
static void check_ended(struct world *world)
{
    assert_int_equal(world->wrong, 0);
    assert_int_equal(world->blocks, 0);
    for (uint32_t i = 0; i < least(world->n_actors, ACTORS); i++)
        assert_true(world->dropped[i] || !world->ids[i]);
    for (uint32_t i = 0; i < WATCHES; i++)
        assert_true(world->watches[i].downs <= 1);
    for (uint32_t i = 0; i < CALLS; i++)
        assert_true(world->calls[i].answers <= 1);
}

static struct world *new_world(uint32_t threads, uint64_t seed, int64_t budget)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->quiet, NULL);
    world->budget = budget;
    struct rtci_light_config config = {.threads = threads, .seed = seed};
    assert_int_equal(rtci_light_start(&config, &world->light), 0);
    for (uint64_t i = 0; i < 8; i++)
        make_person(world, rtci_light_outside(world->light), seed * 8 + i);
    return world;
}

static void free_world(struct world *world)
{
    rtci_light_end(world->light);
    check_ended(world);
    pthread_cond_destroy(&world->quiet);
    pthread_mutex_destroy(&world->lock);
    free(world);
}

static void run(struct world *world)
{
    do {
        while (rtci_light_step(world->light))
            ;
    } while (rtci_light_step_time(world->light));
}

static void test_seeds(void **state)
{
    (void)state;
    const char *from = getenv("SEED"), *many = getenv("SEEDS");
    uint64_t first = from ? strtoull(from, NULL, 10) : 1;
    uint64_t n = many ? strtoull(many, NULL, 10) : from ? 1 : 1000;
    uint64_t acted = 0;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct world *world = new_world(0, seed, 1000);
        run(world);
        acted += world->budget <= 0;
        world->budget = 0;
        for (uint32_t i = 0; i < least(world->n_actors, ACTORS); i++) /* questions still held */
            rtci_light_tell(rtci_light_outside(world->light), id_of(world, i), TIMED, NULL, 0);
        run(world);
        if (world->wrong)
            print_error("SEED=%llu\n", (unsigned long long)seed);
        check_quiet(world);
        free_world(world);
    }
    assert_true(acted * 2 > n || n < 100);
}

/* Outsiders that write while the actors do what they do. */
static void *outsider(void *arg)
{
    struct world *world = arg;
    struct rtci_light_ctx *out = rtci_light_outside(world->light);
    struct rng rng = {99};
    while (atomic_load(&world->budget) > 0) {
        uint32_t n = least(atomic_load(&world->n_actors), ACTORS), whom = rng_below(&rng, n);
        switch (rng_below(&rng, 50)) {
        case 0: rtci_light_kill(out, id_of(world, whom)); break;
        case 1: make_person(world, out, rng_next(&rng)); break;
        default:
            rtci_light_tell_wait(out, id_of(world, whom), TIMED, NULL, 0, 1000000);
            atomic_fetch_sub(&world->budget, 1);
            break;
        }
        if (atomic_load(&world->n_actors) > ACTORS + 1000)
            break;
    }
    become_quiet(world);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 60; seed++) {
        struct world *world = new_world(1 + (uint32_t)seed % 4, seed, 5000);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, outsider, world), 0);
        pthread_mutex_lock(&world->lock);
        while (!world->is_quiet)
            pthread_cond_wait(&world->quiet, &world->lock);
        pthread_mutex_unlock(&world->lock);
        pthread_join(thread, NULL);
        free_world(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds),
                                       cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
