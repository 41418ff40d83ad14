#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/buf.h"
#include "runtime/base/log.h"

static void test_buf(void **state)
{
    (void)state;
    struct rtci_buf buf = {0};
    rtci_buf_put(&buf, NULL, 0);
    for (uint32_t i = 0; i < 10000; i++)
        rtci_buf_put(&buf, &i, sizeof(i));
    assert_false(buf.failed);
    assert_int_equal(buf.len, 40000);
    for (uint32_t i = 0; i < 10000; i++)
        assert_memory_equal(buf.data + 4 * i, &i, 4);
    assert_true(rtci_buf_reserve(&buf, 1 << 20));
    assert_true(buf.cap - buf.len >= 1 << 20);
    size_t cap = buf.cap;
    rtci_buf_clear(&buf);
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf.cap, cap); /* memory is kept for the next turn */
    rtci_buf_fini(&buf);
    assert_null(buf.data);
}

/* Sizes that cannot be had are a failure that is remembered, not an endless doubling. */
static void test_buf_out_of_memory(void **state)
{
    (void)state;
    struct rtci_buf buf = {0};
    rtci_buf_put(&buf, "x", 1);
    assert_null(rtci_buf_add(&buf, SIZE_MAX));
    assert_null(rtci_buf_add(&buf, SIZE_MAX - 1));
    assert_true(buf.failed);
    assert_int_equal(buf.len, 1);
    assert_int_equal(buf.data[0], 'x');
    rtci_buf_fini(&buf);
}

/* Runs fn in a child and returns what it wrote to stderr. */
static size_t stderr_of(void (*fn)(void), char *text, size_t size, int *ret_status)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        fn();
        _exit(0);
    }
    close(ends[1]);
    size_t len = 0;
    for (ssize_t n; len < size - 1 && (n = read(ends[0], text + len, size - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, ret_status, 0), pid);
    return len;
}

static int evaluated;

static void log_some(void)
{
    setenv("RTC_LOG", "info", 1);
    setenv("RTC_LOG_SUBSYS", "node,store", 1);
    rtci_log_init("daemon");
    RTCI_LOG(WARN, NODE, "one pid=%d", 7);
    RTCI_LOG(INFO, STORE, "two");
    RTCI_LOG(DEBUG, NODE, "no %d", ++evaluated);
    RTCI_LOG(ERROR, HEAD, "no %d", ++evaluated);
    char text[3000];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    RTCI_LOG(ERROR, NODE, "%s", text);
    if (evaluated)
        abort();
}

static void test_log(void **state)
{
    (void)state;
    char text[8192];
    int status;
    size_t len = stderr_of(log_some, text, sizeof(text), &status);
    assert_int_equal(status, 0);
    assert_non_null(strstr(text, "warn node: one pid=7\n"));
    assert_non_null(strstr(text, "info store: two\n"));
    assert_null(strstr(text, "no "));
    assert_int_equal(text[len - 1], '\n'); /* a long line is cut, and ends */
    assert_true(len < 1300);
}

static void fail_one(void)
{
    signal(SIGABRT, SIG_DFL);
    RTCI_ASSERT(2 > 1);
    RTCI_IMPLIES(1 > 2, 2 > 3);
    RTCI_ASSERT(1 + 1 == 3);
}

static void test_assert(void **state)
{
    (void)state;
    char text[8192];
    int status;
    stderr_of(fail_one, text, sizeof(text), &status);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "1 + 1 == 3"));
    assert_non_null(strstr(text, "fail_one"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf),
        cmocka_unit_test(test_buf_out_of_memory),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_assert),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
