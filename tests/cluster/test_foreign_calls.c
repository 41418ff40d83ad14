/* Calls and answers that name nodes which are not there: what a client writes into its records is
 * refused, and neither ends the daemon nor holds up what anybody says to it. */
#include <fcntl.h>
#include <ftw.h>
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

#include <cmocka.h>

#include <rtc/rtc.h>

#include "runtime/client/actor.h"

#define RECORDS 3000

static uint32_t draw(uint64_t *seed, uint32_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % below;
}

/* ---- Records ---- */

static uint32_t some_number(uint64_t *seed)
{
    static const uint32_t numbers[] = {
        0, 1, 2, 3, 7, 4711, RTCI_NODES_MAX, RTCI_NODES_MAX + 1, 1u << 31, UINT32_MAX};
    return numbers[draw(seed, sizeof(numbers) / sizeof(numbers[0]))];
}

static int write_call(struct rtc *rtc, uint64_t *seed)
{
    struct {
        struct rtci_spec spec;
        struct rtci_call call;
    } out = {.spec = {.rec = {sizeof(out), RTCI_R_ACTOR_CALL, 0},
                      .seq = 1 + draw(seed, 9),
                      .client = rtc->client,
                      .function = draw(seed, 4),
                      .n_returns = 1,
                      .flags = RTCI_SPEC_CALL,
                      .name_len = sizeof(out.call)},
             .call = {.actor = {1 + draw(seed, 3), some_number(seed), 0},
                      .order = draw(seed, 3),
                      .node = some_number(seed),
                      .client = some_number(seed),
                      .incarnation = draw(seed, 3),
                      .caller_node = some_number(seed)}};
    if (draw(seed, 8) == 0)
        out.spec.flags |= draw(seed, 2) ? RTCI_SPEC_ASK : RTCI_SPEC_REPEATED;
    return rtci_send_record(rtc, &out);
}

static int write_reply(struct rtc *rtc, uint64_t *seed)
{
    struct {
        struct rtci_done done;
        struct rtci_resolved row;
    } out = {.done = {.rec = {sizeof(out), RTCI_R_ACTOR_REPLY, (uint16_t)draw(seed, 4)},
                      .seq = 1 + draw(seed, 9),
                      .client = some_number(seed),
                      .attempt = some_number(seed),
                      .n_returns = 1},
             .row = {.offset = sizeof(out)}};
    return rtci_send_record(rtc, &out);
}

static int write_many(struct rtc *rtc, uint64_t seed, bool replies)
{
    RTCI_TRY(rtci_enter(rtc));
    int rc = 0;
    for (int i = 0; i < RECORDS && rc == 0; i++)
        rc = replies && i % 2 ? write_reply(rtc, &seed) : write_call(rtc, &seed);
    rtci_leave(rtc);
    return rc;
}

RTC_TASK(writes)
{
    int64_t seed;
    RTC_TRY(rtc_arg_i64(call, 0, &seed));
    RTC_TRY(write_many(rtc_call_rtc(call), (uint64_t)seed, true));
    RTC_TRY(rtc_flush(rtc_call_rtc(call), RTC_S(60)));
    return rtc_return_i64(call, seed);
}

/* ---- The daemons ---- */

static long daemon_pid(struct rtc *rtc)
{
    char *json = NULL;
    assert_int_equal(rtc_query(rtc, "status", &json), 0);
    const char *at = strstr(json, "\"pid\":");
    long pid = at ? strtol(at + 6, NULL, 10) : 0;
    free(json);
    assert_true(pid > 1);
    return pid;
}

static void bear(struct rtc *rtc)
{
    long pid = daemon_pid(rtc);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        rtc_ref ref;
        int64_t x = 0;
        assert_int_equal(write_many(rtc, seed, false), 0);
        if (rtc_flush(rtc, RTC_S(60))) /* it is all taken in: nothing of it waits for a node */
            fail_msg("seed %llu: %s", (unsigned long long)seed, rtc_last_error());
        assert_int_equal(rtc_submit(rtc, "writes", RTC_ARGS(rtc_i64((int64_t)seed)), NULL, &ref),
                         0);
        if (rtc_get_i64(rtc, ref, RTC_S(60), &x))
            fail_msg("seed %llu: %s", (unsigned long long)seed, rtc_last_error());
        assert_int_equal(x, seed);
        assert_int_equal(rtc_release(rtc, ref), 0);
    }
    assert_int_equal(daemon_pid(rtc), pid);
    assert_int_equal(rtc_shutdown(&rtc), 0);
}

/* It has no other nodes at all. */
static void embedded(void **state)
{
    (void)state;
    struct rtc *rtc = NULL;
    assert_int_equal(
        rtc_init(NULL, NULL, RTC_CONFIG(.address = "embedded", .cpus = 2, .quiet = true), &rtc), 0);
    bear(rtc);
}

static char dir[] = "/tmp/rtc-foreign-XXXXXX";

static pid_t start(const char *const *args, const char *until)
{
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* also of a test that fails */
        dup2(out[1], 1);
        execv(args[0], (char *const *)(uintptr_t)args);
        _exit(127);
    }
    close(out[1]);
    FILE *lines = fdopen(out[0], "r");
    char line[512];
    bool serves = false;
    while (!serves && fgets(line, sizeof(line), lines))
        serves = strstr(line, until) != NULL;
    assert_true(serves);
    fclose(lines);
    return pid;
}

static void stop(pid_t pid)
{
    int status;
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* Each in a folder of its own: who comes back wants the port that it had. */
static pid_t start_head(const char *name, char *ret_address, size_t size)
{
    static char socket[160], state[160];
    snprintf(socket, sizeof(socket), "%s/%s.sock", dir, name);
    snprintf(state, sizeof(state), "%s/%s", dir, name);
    snprintf(ret_address, size, "unix:%s", socket);
    const char *args[] = {getenv("RTC_BIN"), "head",      "--cpus",      "2",   "--socket", socket,
                          "--address",       "127.0.0.1", "--state-dir", state, NULL};
    return start(args, "serves at");
}

static void head(void **state)
{
    (void)state;
    char address[200];
    pid_t pid = start_head("head", address, sizeof(address));
    struct rtc *rtc = NULL;
    assert_int_equal(rtc_init(NULL, NULL, RTC_CONFIG(.address = address, .quiet = true), &rtc), 0);
    bear(rtc);
    stop(pid);
}

/* A worker asks the head which of those nodes there are. */
static void worker(void **state)
{
    (void)state;
    char address[200], socket[160], folder[160], join[200];
    pid_t pid = start_head("other", address, sizeof(address));
    snprintf(socket, sizeof(socket), "%s/worker.sock", dir);
    snprintf(folder, sizeof(folder), "%s/worker", dir);
    snprintf(join, sizeof(join), "@%s/other/join", dir);
    const char *args[] = {getenv("RTC_BIN"), "worker", "--join",      join,   "--cpus", "1",
                          "--socket",        socket,   "--state-dir", folder, NULL};
    pid_t other = start(args, "");
    snprintf(address, sizeof(address), "unix:%s", socket);
    struct rtc *rtc = NULL;
    assert_int_equal(rtc_init(NULL, NULL, RTC_CONFIG(.address = address, .quiet = true), &rtc), 0);
    bear(rtc);
    stop(other);
    stop(pid);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    if (getenv("RTC_EXECUTOR")) /* never returns */
        return rtc_init(&argc, &argv, NULL, &rtc) < 0;
    assert_non_null(mkdtemp(dir));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedded),
        cmocka_unit_test(head),
        cmocka_unit_test(worker),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return rc;
}
