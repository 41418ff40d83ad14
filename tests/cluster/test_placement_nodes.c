/* Placement groups over several nodes: a head and workers that joined it over loopback. Bundles on
 * nodes of their own, a group that waits for a node, one whose node is lost; and a group of
 * processes on different nodes of one host. */
#include <fcntl.h>
#include <ftw.h>
#include <rtc/group.h>
#include <rtc/placement.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* needs the four above */
#include <cmocka.h>

#include "tests/api/check.h"

static char dir[] = "/tmp/rtc-placement-XXXXXX", line[1024];
static pid_t head, workers[4];
static int n_workers;
static struct rtc *rtc;

/* The keeper of its node. */
RTC_TASK(keeper)
{
    return rtc_return_i64(call, getppid());
}

/* rank, size -> the sum of all members' keepers. */
RTC_TASK(member)
{
    int64_t rank, size;
    double sum = (double)getppid();
    struct rtc_group *group;
    RTC_TRY(rtc_arg_i64(call, 0, &rank));
    RTC_TRY(rtc_arg_i64(call, 1, &size));
    RTC_TRY(rtc_group_join(rtc_call_rtc(call), "over nodes", (uint32_t)rank, (uint32_t)size,
                           RTC_S(60), &group));
    RTC_TRY(rtc_group_all_reduce(group, &sum, &sum, 1, RTC_F64, RTC_SUM, RTC_S(60)));
    RTC_TRY(rtc_group_leave(&group));
    return rtc_return_f64(call, sum);
}

static pid_t start(const char *const *argv)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, 1);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static pid_t start_worker(void)
{
    char state[128], name[16];
    snprintf(name, sizeof(name), "w%d", ++n_workers);
    snprintf(state, sizeof(state), "%s/%s", dir, name);
    const char *const argv[] = {
        getenv("RTC_BIN"), "worker", "--join",  line,  "--cpus", "1", "--name", name,
        "--state-dir",     state,    "--store", "64M", NULL};
    workers[n_workers] = start(argv);
    return workers[n_workers];
}

static void kill_worker(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void read_join_line(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/head/join", dir);
    while (!line[0]) {
        FILE *file = fopen(path, "re");
        if (file && fgets(line, sizeof(line), file) && strchr(line, '\n'))
            line[strcspn(line, "\n")] = 0;
        else
            line[0] = 0;
        if (file)
            fclose(file);
    }
}

static int begin(void **state)
{
    (void)state;
    char socket[128], folder[128], address[140];
    assert_non_null(mkdtemp(dir));
    snprintf(socket, sizeof(socket), "%s/socket", dir);
    snprintf(folder, sizeof(folder), "%s/head", dir);
    snprintf(address, sizeof(address), "unix:%s", socket);
    const char *const argv[] = {
        getenv("RTC_BIN"), "head",   "--socket", socket,    "--state-dir", folder, "--address",
        "127.0.0.1",       "--cpus", "1",        "--store", "64M",         NULL};
    head = start(argv);
    read_join_line();
    struct rtc_config config = {.address = address, .name = "placement"};
    while (rtc_init(NULL, NULL, &config, &rtc) == RTC_E_NO_CLUSTER)
        ; /* it writes the line before it listens */
    assert_non_null(rtc);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int end(void **state)
{
    (void)state;
    rtc_shutdown(&rtc);
    for (int i = 1; i <= n_workers; i++) {
        if (kill(workers[i], SIGTERM) == 0)
            waitpid(workers[i], NULL, 0);
    }
    kill(head, SIGTERM);
    waitpid(head, NULL, 0);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static rtc_placement spread(size_t n)
{
    struct rtc_bundle bundles[3] = {{.cpus = 1}, {.cpus = 1}, {.cpus = 1}};
    rtc_placement placement;
    OK(rtc_placement_create(rtc, bundles, n, RTC_STRICT_SPREAD, &placement));
    return placement;
}

static int64_t keeper_of(rtc_placement placement, uint32_t bundle)
{
    rtc_ref ref;
    int64_t pid = 0;
    OK(rtc_submit(rtc, "keeper", NULL,
                  RTC_OPTIONS(.placement = placement, .bundle = RTC_BUNDLE(bundle)), &ref));
    OK(rtc_get_i64(rtc, ref, RTC_S(60), &pid));
    OK(rtc_release(rtc, ref));
    return pid;
}

/* It waits for nodes that are not there yet. */
static void nodes_come(void **state)
{
    (void)state;
    struct rtc_placement_info info;
    uint32_t nodes[3] = {0};
    rtc_placement placement = spread(3);
    assert_int_equal(rtc_placement_wait(rtc, placement, RTC_S(60)), RTC_E_INFEASIBLE);
    assert_non_null(strstr(rtc_last_error(), "as many nodes"));
    start_worker();
    start_worker();
    while (rtc_placement_wait(rtc, placement, RTC_S(60)) == RTC_E_INFEASIBLE)
        ;
    OK(rtc_placement_info(rtc, placement, &info, nodes, 3));
    assert_int_equal(info.state, RTC_PLACEMENT_READY);
    assert_true(nodes[0] != nodes[1] && nodes[1] != nodes[2] && nodes[0] != nodes[2]);
    int64_t a = keeper_of(placement, 0), b = keeper_of(placement, 1), c = keeper_of(placement, 2);
    assert_true(a != b && b != c && a != c);
    /* Members on three nodes of one host. */
    rtc_ref refs[3];
    for (uint32_t i = 0; i < 3; i++)
        OK(rtc_submit(rtc, "member", RTC_ARGS(rtc_i64(i), rtc_i64(3)),
                      RTC_OPTIONS(.placement = placement, .bundle = RTC_BUNDLE(i)), &refs[i]));
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        OK(rtc_get_f64(rtc, refs[i], RTC_S(60), &sum));
        assert_true(sum == (double)(a + b + c));
        OK(rtc_release(rtc, refs[i]));
    }
    OK(rtc_placement_remove(rtc, placement));
}

/* The bundle of a node that is lost is placed again, the others stay. */
static void a_node_is_lost(void **state)
{
    (void)state;
    struct rtc_placement_info info = {0};
    uint32_t before[3], after[3];
    rtc_placement placement = spread(3);
    OK(rtc_placement_wait(rtc, placement, RTC_S(60)));
    OK(rtc_placement_info(rtc, placement, &info, before, 3));
    int64_t first[3];
    for (uint32_t i = 0; i < 3; i++)
        first[i] = keeper_of(placement, i);
    kill_worker(workers[2]);
    while (info.state == RTC_PLACEMENT_READY) { /* until it is taken for dead */
        (void)rtc_poll(rtc, RTC_MS(20));
        OK(rtc_placement_info(rtc, placement, &info, after, 3));
    }
    assert_non_null(strstr(info.why, "need as many nodes"));
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(after[i], first[i] == workers[2] ? 0 : before[i]);
    start_worker();
    while (rtc_placement_wait(rtc, placement, RTC_S(60)) == RTC_E_INFEASIBLE)
        ;
    OK(rtc_placement_info(rtc, placement, &info, after, 3));
    assert_int_equal(info.state, RTC_PLACEMENT_READY);
    for (uint32_t i = 0; i < 3; i++) {
        if (first[i] == workers[2]) {
            assert_int_not_equal(after[i], before[i]);
            assert_int_equal(keeper_of(placement, i), workers[3]);
        } else {
            assert_int_equal(after[i], before[i]);
        }
    }
    OK(rtc_placement_remove(rtc, placement));
}

int main(void)
{
    struct rtc *executor;
    if (getenv("RTC_EXECUTOR")) /* never returns */
        RTC_CHECK(rtc_init(NULL, NULL, NULL, &executor));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_come),
        cmocka_unit_test(a_node_is_lost),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
