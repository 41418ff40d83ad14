/* Placement groups against an embedded cluster: what works, and what is said when it does not.
 * Built as a user's program. */
#include <rtc/actor.h>
#include <rtc/placement.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include "tests/api/check.h"

static struct rtc *rtc;

RTC_TASK_SIGNATURE(twice, "i64->i64")
{
    int64_t x;
    RTC_TRY(rtc_arg_i64(call, 0, &x));
    return rtc_return_i64(call, 2 * x);
}

RTC_TASK(size_of)
{
    const void *bytes;
    size_t size;
    RTC_TRY(rtc_arg_bytes(call, 0, &bytes, &size));
    return rtc_return_i64(call, (int64_t)size);
}

/* Says that it began, and never ends. */
RTC_TASK(hang)
{
    RTC_TRY(rtc_kv_put(rtc_call_rtc(call), "began", "", 0));
    for (;;)
        pause();
}

/* A group that a task makes, uses and takes back. */
RTC_TASK(inside)
{
    struct rtc *r = rtc_call_rtc(call);
    struct rtc_bundle bundle = {.cpus = 1};
    rtc_placement placement;
    rtc_ref ref;
    int64_t x = 0;
    RTC_TRY(rtc_placement_create(r, &bundle, 1, RTC_PACK, &placement));
    RTC_TRY(rtc_placement_wait(r, placement, RTC_S(20)));
    RTC_TRY(
        rtc_submit(r, "twice", RTC_ARGS(rtc_i64(21)), RTC_OPTIONS(.placement = placement), &ref));
    RTC_TRY(rtc_get_i64(r, ref, RTC_S(20), &x));
    RTC_TRY(rtc_release(r, ref));
    RTC_TRY(rtc_placement_remove(r, placement));
    return rtc_return_i64(call, x);
}

/* Does something with the group whose handle it is given. */
RTC_TASK(elsewhere)
{
    struct rtc *r = rtc_call_rtc(call);
    const void *bytes;
    const char *what;
    size_t size;
    rtc_placement placement;
    struct rtc_placement_info info;
    uint32_t node = 0;
    rtc_ref ref;
    int64_t x = 0;
    RTC_TRY(rtc_arg_str(call, 0, &what, NULL));
    RTC_TRY(rtc_arg_bytes(call, 1, &bytes, &size));
    memcpy(&placement, bytes, sizeof(placement));
    if (!strcmp(what, "remove")) {
        RTC_TRY(rtc_placement_remove(r, placement));
        RTC_TRY(rtc_placement_remove(r, placement)); /* does nothing */
        int rc = rtc_placement_wait(r, placement, 0);
        return rtc_return_i64(call, rc);
    }
    RTC_TRY(rtc_placement_wait(r, placement, RTC_S(20)));
    RTC_TRY(rtc_placement_wait(r, placement, 0));
    RTC_TRY(rtc_placement_info(r, placement, &info, &node, 1));
    RTC_TRY(rtc_submit(r, "twice", RTC_ARGS(rtc_i64(node)),
                       RTC_OPTIONS(.placement = placement, .bundle = RTC_BUNDLE(1)), &ref));
    RTC_TRY(rtc_get_i64(r, ref, RTC_S(20), &x));
    RTC_TRY(rtc_release(r, ref));
    return rtc_return_i64(call, x);
}

static int pid(struct rtc_call *call)
{
    return rtc_return_i64(call, getpid());
}
RTC_ACTOR(lodger, char, .methods = {RTC_METHOD(pid)});

static double cpus_used(void)
{
    struct rtc_node_info node;
    size_t n;
    OK(rtc_nodes(rtc, &node, 1, &n));
    assert_int_equal(n, 1);
    return node.cpus_used;
}

static rtc_placement create(size_t n, double cpus, enum rtc_strategy strategy)
{
    struct rtc_bundle bundles[8];
    rtc_placement placement;
    for (size_t i = 0; i < n; i++)
        bundles[i] = (struct rtc_bundle){.cpus = cpus};
    OK(rtc_placement_create(rtc, bundles, n, strategy, &placement));
    return placement;
}

static int64_t get_int(rtc_ref ref)
{
    int64_t x = -1;
    OK(rtc_get_i64(rtc, ref, RTC_S(20), &x));
    OK(rtc_release(rtc, ref));
    return x;
}

static bool is_used(double cpus)
{
    for (int i = 0; i < 20000; i++) {
        if (cpus_used() == cpus)
            return true;
    }
    return false;
}

/* ---- What works ---- */
static void test_use(void **state)
{
    (void)state;
    struct rtc_placement_info info;
    uint32_t nodes[3] = {9, 9, 9};
    rtc_ref refs[20];
    for (enum rtc_strategy s = RTC_PACK; s <= RTC_STRICT_PACK; s++) {
        rtc_placement placement = create(2, 1, s);
        OK(rtc_placement_wait(rtc, placement, RTC_S(20)));
        OK(rtc_placement_wait(rtc, placement, RTC_S(20)));
        OK(rtc_placement_info(rtc, placement, &info, nodes, 3));
        assert_int_equal(info.state, RTC_PLACEMENT_READY);
        assert_int_equal(info.n_bundles, 2);
        assert_string_equal(info.why, "");
        assert_true(nodes[0] == 1 && nodes[1] == 1 && nodes[2] == 9);
        for (uint32_t i = 0; i < 20; i++)
            OK(rtc_submit(rtc, "twice", RTC_ARGS(rtc_i64(i)),
                          RTC_OPTIONS(.placement = placement, .bundle = i % 3), &refs[i]));
        for (int i = 0; i < 20; i++)
            assert_int_equal(get_int(refs[i]), 2 * i);
        assert_true(cpus_used() == 2); /* as much as is reserved, whatever ran in it */
        OK(rtc_placement_remove(rtc, placement));
        OK(rtc_placement_remove(rtc, placement));
        assert_true(is_used(0));
    }
}

/* Tasks may be there before the group is ready; groups that compete get all or nothing. */
static void test_all_or_nothing(void **state)
{
    (void)state;
    struct rtc_placement_info info;
    uint32_t nodes[2];
    char *json;
    rtc_ref ref;
    rtc_placement a = create(3, 1, RTC_PACK), b = create(2, 1, RTC_PACK);
    OK(rtc_placement_wait(rtc, a, RTC_S(20)));
    FAILS(rtc_placement_wait(rtc, b, 0), RTC_E_TIMEOUT, "not ready");
    OK(rtc_submit(rtc, "twice", RTC_ARGS(rtc_i64(3)), RTC_OPTIONS(.placement = b), &ref));
    OK(rtc_placement_info(rtc, b, &info, nodes, 2));
    assert_int_equal(info.state, RTC_PLACEMENT_PENDING);
    assert_non_null(strstr(info.why, "2 of its 2 bundles"));
    assert_true(nodes[0] == 0 && nodes[1] == 0);
    assert_true(cpus_used() == 3);
    OK(rtc_query(rtc, "groups", &json));
    assert_non_null(strstr(json, "\"state\":\"ready\",\"strategy\":\"pack\""));
    assert_non_null(strstr(json, "\"state\":\"pending\""));
    free(json);
    char text[256];
    OK(rtc_why(rtc, ref, text, sizeof(text)));
    assert_non_null(strstr(text, "is not ready"));
    OK(rtc_placement_remove(rtc, a));
    OK(rtc_placement_wait(rtc, b, RTC_S(20)));
    assert_int_equal(get_int(ref), 6);
    OK(rtc_placement_remove(rtc, b));
    assert_true(is_used(0));
}

static void test_custom(void **state)
{
    (void)state;
    struct rtc_amount one = {"widget", 1}, two = {"widget", 2};
    struct rtc_bundle bundle = {.resources = &one, .n_resources = 1};
    rtc_placement placement;
    rtc_ref in, out;
    OK(rtc_placement_create(rtc, &bundle, 1, RTC_PACK, &placement));
    OK(rtc_submit(
        rtc, "twice", RTC_ARGS(rtc_i64(1)),
        RTC_OPTIONS(.cpus = RTC_NONE, .resources = &one, .n_resources = 1, .placement = placement),
        &in));
    OK(rtc_submit(rtc, "twice", RTC_ARGS(rtc_i64(2)),
                  RTC_OPTIONS(.resources = &two, .n_resources = 1), &out));
    assert_int_equal(get_int(in), 2);
    FAILS(rtc_get(rtc, out, 0, NULL), RTC_E_TIMEOUT, ""); /* one of both is reserved */
    OK(rtc_placement_remove(rtc, placement));
    assert_int_equal(get_int(out), 4);
}

static void test_many(void **state)
{
    (void)state;
    enum { N = 3000 };
    rtc_placement *placements = calloc(N, sizeof(*placements));
    struct rtc_bundle bundle = {.cpus = 0.001};
    for (int i = 0; i < N; i++)
        OK(rtc_placement_create(rtc, &bundle, 1, RTC_PACK, &placements[i]));
    for (int i = 0; i < N; i++)
        OK(rtc_placement_wait(rtc, placements[i], RTC_S(20)));
    for (int i = 0; i < N; i++)
        OK(rtc_placement_remove(rtc, placements[i]));
    assert_true(is_used(0));
    free(placements);
}

/* ---- Removal ---- */
static void test_removal_kills(void **state)
{
    (void)state;
    rtc_placement placement = create(1, 1, RTC_PACK);
    rtc_ref runs, waits;
    void *data;
    size_t size;
    OK(rtc_submit(rtc, "hang", NULL, RTC_OPTIONS(.placement = placement), &runs));
    while (rtc_kv_get(rtc, "began", &data, &size) == RTC_E_NOT_FOUND)
        ;
    free(data);
    OK(rtc_submit(rtc, "twice", RTC_ARGS(rtc_i64(1)), RTC_OPTIONS(.placement = placement), &waits));
    OK(rtc_placement_remove(rtc, placement));
    FAILS(rtc_get(rtc, waits, RTC_S(20), NULL), RTC_E_CANCELLED, "");
    FAILS(rtc_get(rtc, runs, RTC_S(20), NULL), RTC_E_CANCELLED, "");
    OK(rtc_release(rtc, runs));
    OK(rtc_release(rtc, waits));
    assert_true(is_used(0));
}

/* Actors live in bundles like tasks, and end with them. */
static void test_actors(void **state)
{
    (void)state;
    rtc_placement placement = create(2, 1, RTC_PACK);
    rtc_actor actors[3];
    struct rtc_actor_info info;
    rtc_ref ref;
    for (uint32_t i = 0; i < 3; i++)
        OK(rtc_actor_create(
            rtc, "lodger", NULL,
            RTC_ACTOR_OPTIONS(.max_restarts = RTC_RETRY_FOREVER,
                              .needs = RTC_OPTIONS(.placement = placement,
                                                   .bundle = i < 2 ? RTC_BUNDLE(i) : 0)),
            &actors[i]));
    for (int i = 0; i < 2; i++) {
        OK(rtc_actor_call(rtc, actors[i], "pid", NULL, NULL, &ref));
        assert_true(get_int(ref) > 0);
    }
    assert_true(cpus_used() == 2); /* that of the group, no more */
    FAILS(rtc_actor_ready(rtc, actors[2], RTC_MS(20)), RTC_E_TIMEOUT, ""); /* both are full */
    OK(rtc_placement_remove(rtc, placement));
    for (int i = 0; i < 3; i++) {
        do { /* until its node has told */
            OK(rtc_actor_info(rtc, actors[i], &info));
        } while (info.state != RTC_ACTOR_DEAD);
        assert_non_null(strstr(info.text, "placement group was removed"));
        OK(rtc_actor_release(rtc, actors[i]));
    }
    assert_true(is_used(0));
}

/* ---- Other processes ---- */
static void test_in_tasks(void **state)
{
    (void)state;
    rtc_ref ref;
    OK(rtc_submit(rtc, "inside", NULL, NULL, &ref));
    assert_int_equal(get_int(ref), 42);
    rtc_placement placement = create(2, 1, RTC_PACK);
    OK(rtc_submit(rtc, "elsewhere",
                  RTC_ARGS(rtc_str("use"), rtc_bytes(&placement, sizeof(placement))), NULL, &ref));
    assert_int_equal(get_int(ref), 2);
    OK(rtc_submit(rtc, "elsewhere",
                  RTC_ARGS(rtc_str("remove"), rtc_bytes(&placement, sizeof(placement))), NULL,
                  &ref));
    assert_int_equal(get_int(ref), RTC_E_NOT_FOUND);
    FAILS(rtc_placement_info(rtc, placement, &(struct rtc_placement_info){0}, NULL, 0),
          RTC_E_NOT_FOUND, "no such placement group");
    assert_true(is_used(0));
}

/* Another process removes what we wait for. */
static void test_removed_elsewhere(void **state)
{
    (void)state;
    rtc_ref ref;
    rtc_placement a = create(3, 1, RTC_PACK), b = create(4, 1, RTC_PACK);
    OK(rtc_submit(rtc, "elsewhere", RTC_ARGS(rtc_str("remove"), rtc_bytes(&b, sizeof(b))), NULL,
                  &ref));
    FAILS(rtc_placement_wait(rtc, b, RTC_S(20)), RTC_E_CANCELLED, "removed by another");
    assert_int_equal(get_int(ref), RTC_E_NOT_FOUND);
    OK(rtc_placement_remove(rtc, a));
    OK(rtc_placement_remove(rtc, b));
    assert_true(is_used(0));
}

/* The daemon is killed while a group waits: it is ready afterwards all the same. */
static void test_restart(void **state)
{
    (void)state;
    char *json;
    rtc_placement a = create(3, 1, RTC_PACK), b = create(2, 1, RTC_PACK);
    rtc_ref ref;
    OK(rtc_placement_wait(rtc, a, RTC_S(20)));
    FAILS(rtc_placement_wait(rtc, b, 0), RTC_E_TIMEOUT, "not ready");
    OK(rtc_query(rtc, "status", &json));
    int pid = (int)strtol(strstr(json, "\"pid\":") + 6, NULL, 10);
    free(json);
    assert_int_equal(kill(pid, SIGKILL), 0);
    OK(rtc_submit(rtc, "twice", RTC_ARGS(rtc_i64(4)), RTC_OPTIONS(.placement = a), &ref));
    assert_int_equal(get_int(ref), 8);
    OK(rtc_placement_remove(rtc, a));
    OK(rtc_placement_wait(rtc, b, RTC_S(20)));
    OK(rtc_placement_remove(rtc, b));
    assert_true(is_used(0));
}

/* ---- What cannot be ---- */
static void test_refused(void **state)
{
    (void)state;
    struct rtc_bundle fine = {.cpus = 1}, nothing = {.cpus = 0}, negative = {.cpus = -3},
                      nameless = {.resources = &(struct rtc_amount){"", 1}, .n_resources = 1};
    struct rtc_bundle second[2] = {fine, nothing};
    rtc_placement placement, none = {0}, never = {1u << 30, 1, 0};
    FAILS(rtc_placement_create(rtc, &fine, 0, RTC_PACK, &placement), RTC_E_INVALID,
          "at least one bundle");
    FAILS(rtc_placement_create(rtc, NULL, 1, RTC_PACK, &placement), RTC_E_INVALID, "NULL");
    FAILS(rtc_placement_create(rtc, &fine, 1, RTC_PACK, NULL), RTC_E_INVALID, "NULL");
    FAILS(rtc_placement_create(rtc, &fine, 1, 7, &placement), RTC_E_INVALID, "strategy = 7");
    FAILS(rtc_placement_create(rtc, &fine, 1025, RTC_PACK, &placement), RTC_E_TOO_LARGE, "1024");
    FAILS(rtc_placement_create(rtc, second, 2, RTC_PACK, &placement), RTC_E_INVALID,
          "bundle 1: it asks for nothing");
    FAILS(rtc_placement_create(rtc, &negative, 1, RTC_PACK, &placement), RTC_E_INVALID,
          "bundle 0: cpus = -3");
    FAILS(rtc_placement_create(rtc, &nameless, 1, RTC_PACK, &placement), RTC_E_INVALID, "a name");
    FAILS(rtc_placement_create(NULL, &fine, 1, RTC_PACK, &placement), RTC_E_CLOSED, "NULL");
    FAILS(rtc_placement_wait(rtc, none, 0), RTC_E_INVALID, "none");
    FAILS(rtc_placement_remove(rtc, none), RTC_E_INVALID, "none");
    OK(rtc_placement_create(rtc, &fine, 1, RTC_PACK, &placement));
    never.client = placement.client;
    FAILS(rtc_placement_wait(rtc, never, 0), RTC_E_NOT_FOUND, "no such placement group");
    FAILS(rtc_placement_remove(rtc, never), RTC_E_INVALID, "never given out");
    OK(rtc_placement_remove(rtc, placement));
}

static void test_infeasible(void **state)
{
    (void)state;
    struct rtc_bundle bundles[3] = {{.cpus = 1}, {.cpus = 64}, {.cpus = 1}};
    struct rtc_placement_info info;
    rtc_placement placement;
    OK(rtc_placement_create(rtc, bundles, 3, RTC_PACK, &placement));
    FAILS(rtc_placement_wait(rtc, placement, RTC_S(20)), RTC_E_INFEASIBLE,
          "no node can ever hold bundle 1 (64 cpu");
    FAILS(rtc_placement_wait(rtc, placement, RTC_FOREVER), RTC_E_INFEASIBLE, "bundle 1");
    OK(rtc_placement_info(rtc, placement, &info, NULL, 0));
    assert_int_equal(info.state, RTC_PLACEMENT_PENDING);
    assert_non_null(strstr(info.why, "bundle 1"));
    assert_true(cpus_used() == 0);
    OK(rtc_placement_remove(rtc, placement));
    placement = create(2, 1, RTC_STRICT_SPREAD);
    FAILS(rtc_placement_wait(rtc, placement, RTC_S(20)), RTC_E_INFEASIBLE, "as many nodes");
    OK(rtc_placement_remove(rtc, placement));
    placement = create(3, 2, RTC_STRICT_PACK);
    FAILS(rtc_placement_wait(rtc, placement, RTC_S(20)), RTC_E_INFEASIBLE, "one node cannot");
    OK(rtc_placement_remove(rtc, placement));
}

static void test_bad_use(void **state)
{
    (void)state;
    rtc_placement placement = create(2, 1, RTC_PACK), stranger = placement;
    struct rtc_pair label = {"zone", "a"};
    rtc_ref ref;
    FAILS(rtc_submit(rtc, "hang", NULL,
                     RTC_OPTIONS(.placement = placement, .bundle = RTC_BUNDLE(2)), &ref),
          RTC_E_INVALID, "there is no bundle 2");
    FAILS(rtc_submit(rtc, "hang", NULL, RTC_OPTIONS(.bundle = RTC_BUNDLE(0)), &ref), RTC_E_INVALID,
          "placement is not set");
    FAILS(rtc_submit(rtc, "hang", NULL,
                     RTC_OPTIONS(.placement = placement, .place = RTC_PLACE_SPREAD), &ref),
          RTC_E_INVALID, "beside a placement");
    FAILS(rtc_submit(rtc, "hang", NULL,
                     RTC_OPTIONS(.placement = placement, .labels = &label, .n_labels = 1), &ref),
          RTC_E_INVALID, "beside a placement");
    for (uint32_t bundle = 0; bundle < 2; bundle++) {
        OK(rtc_submit(rtc, "hang", NULL,
                      RTC_OPTIONS(.cpus = 2, .placement = placement, .bundle = bundle), &ref));
        FAILS(rtc_get(rtc, ref, RTC_S(20), NULL), RTC_E_INFEASIBLE,
              bundle ? "bundle 0 of placement group" : "none of the 2 bundles");
        OK(rtc_release(rtc, ref));
    }
    /* One that nobody knows. */
    stranger.client += 1000;
    OK(rtc_submit(rtc, "hang", NULL, RTC_OPTIONS(.placement = stranger), &ref));
    FAILS(rtc_get(rtc, ref, RTC_S(20), NULL), RTC_E_INFEASIBLE, "was removed, or never was");
    OK(rtc_release(rtc, ref));
    OK(rtc_submit(rtc, "twice", RTC_ARGS(rtc_i64(2)), RTC_OPTIONS(.placement = placement), &ref));
    assert_int_equal(get_int(ref), 4);
    OK(rtc_placement_remove(rtc, placement));
    /* Also with the options of the last submission. */
    FAILS(rtc_submit(rtc, "twice", RTC_ARGS(rtc_i64(2)), RTC_OPTIONS(.placement = placement), &ref),
          RTC_E_NOT_FOUND, "removed");
    FAILS(rtc_placement_wait(rtc, placement, 0), RTC_E_NOT_FOUND, "removed");
}

static size_t n_then;
static void on_ready(struct rtc *r, rtc_ref ref, void *arg)
{
    (void)r, (void)ref, (void)arg;
    n_then++;
}

/* A reference that stands for its being ready: waited for, called back, an argument of a task. */
static void test_ready_ref(void **state)
{
    (void)state;
    rtc_placement a = create(4, 1, RTC_PACK), b = create(2, 1, RTC_PACK), back;
    rtc_ref ref, soon, task;
    size_t ready, n = 0;
    struct rtc_value v;
    const void *bytes;
    size_t size = 0;
    OK(rtc_placement_ready_ref(rtc, a, &ref));
    OK(rtc_get(rtc, ref, RTC_S(20), &v));
    OK(rtc_value_bytes(&v, &bytes, &size));
    assert_int_equal(size, sizeof(back));
    memcpy(&back, bytes, sizeof(back));
    assert_true(back.client == a.client && back.seq == a.seq);
    OK(rtc_release(rtc, ref));
    OK(rtc_placement_ready_ref(rtc, b, &soon)); /* when a has gone */
    OK(rtc_submit(rtc, "size_of", RTC_ARGS(rtc_of_ref(soon)), RTC_OPTIONS(.cpus = RTC_NONE),
                  &task));
    OK(rtc_then(rtc, soon, on_ready, NULL));
    FAILS(rtc_wait(rtc, &soon, 1, 1, RTC_MS(20), &ready, &n), RTC_E_TIMEOUT, "not done");
    FAILS(rtc_get(rtc, task, RTC_MS(20), &v), RTC_E_TIMEOUT, "not done");
    OK(rtc_placement_remove(rtc, a));
    assert_int_equal(get_int(task), sizeof(back));
    OK(rtc_wait(rtc, &soon, 1, 1, RTC_S(20), &ready, &n));
    assert_int_equal(n_then, 1);
    OK(rtc_release(rtc, soon));
    OK(rtc_placement_remove(rtc, b));
    FAILS(rtc_placement_ready_ref(rtc, b, &ref), RTC_E_NOT_FOUND, "no such placement group");
    FAILS(rtc_placement_ready_ref(rtc, (rtc_placement){0}, &ref), RTC_E_INVALID, "all zero");
    FAILS(rtc_placement_ready_ref(rtc, b, NULL), RTC_E_INVALID, "NULL");
}

/* It fails with the cause: nothing can hold the group, or it was removed. */
static void test_ready_ref_fails(void **state)
{
    (void)state;
    rtc_placement big = create(2, 64, RTC_PACK), a = create(4, 1, RTC_PACK),
                  b = create(1, 1, RTC_PACK);
    rtc_ref ref, task;
    struct rtc_value v;
    OK(rtc_placement_ready_ref(rtc, big, &ref));
    FAILS(rtc_get(rtc, ref, RTC_S(20), &v), RTC_E_INFEASIBLE, "can ever hold bundle");
    OK(rtc_release(rtc, ref));
    OK(rtc_placement_remove(rtc, big));
    OK(rtc_placement_wait(rtc, a, RTC_S(20)));
    OK(rtc_placement_ready_ref(rtc, b, &ref));
    OK(rtc_submit(rtc, "size_of", RTC_ARGS(rtc_of_ref(ref)), NULL, &task));
    OK(rtc_placement_remove(rtc, b));
    FAILS(rtc_get(rtc, ref, RTC_S(20), &v), RTC_E_CANCELLED, "was removed");
    FAILS(rtc_get(rtc, task, RTC_S(20), &v), RTC_E_DEPENDENCY, "placement_ready");
    OK(rtc_release(rtc, ref));
    OK(rtc_release(rtc, task));
    OK(rtc_placement_remove(rtc, a));
}

int main(int argc, char **argv)
{
    const char *const resources[] = {"widget=2", NULL};
    struct rtc_config config = {
        .address = "embedded", .cpus = 4, .resources = resources, .name = "test_placement"};
    RTC_CHECK(rtc_init(&argc, &argv, &config, &rtc));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_use),           cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_custom),        cmocka_unit_test(test_many),
        cmocka_unit_test(test_removal_kills), cmocka_unit_test(test_actors),
        cmocka_unit_test(test_in_tasks),      cmocka_unit_test(test_removed_elsewhere),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_infeasible),
        cmocka_unit_test(test_bad_use),       cmocka_unit_test(test_restart),
        cmocka_unit_test(test_ready_ref),     cmocka_unit_test(test_ready_ref_fails),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rtc_shutdown(&rtc);
    return failed;
}
