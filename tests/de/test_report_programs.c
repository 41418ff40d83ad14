/* A plot is a PNG whatever its labels and its data say, and a hook hears of its event and cannot
 * stay for ever. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/report/notify.h"
#include "actors/report/plot.h"
#include "actors/report/tensorboard.h"
#include "tests/de/report_files.h"

#define WAIT_MS 20000

/* ---- Plots ---- */

static bool have_gnuplot(void)
{
    const char *path = getenv("PATH");
    char copy[4096], *save, program[4400];
    snprintf(copy, sizeof(copy), "%s", path ? path : "");
    for (char *p = strtok_r(copy, ":", &save); p; p = strtok_r(NULL, ":", &save)) {
        snprintf(program, sizeof(program), "%s/gnuplot", p);
        if (!access(program, X_OK))
            return true;
    }
    print_message("skipped: gnuplot is not installed\n");
    return false;
}

static void expect_png(const char *path, uint32_t width, uint32_t height)
{
    size_t size = read_file(path);
    uint8_t want[8] = {0, 0, (uint8_t)(width >> 8),  (uint8_t)width,
                       0, 0, (uint8_t)(height >> 8), (uint8_t)height};
    assert_true(size > 1000);
    assert_memory_equal(file, "\x89PNG\r\n\x1a\n", 8);
    assert_memory_equal(file + 16, want, 8);
}

static unsigned count_files(const char *containing)
{
    DIR *files = opendir(folder);
    unsigned n = 0;
    for (struct dirent *f; (f = readdir(files));)
        n += strstr(f->d_name, containing) != NULL;
    closedir(files);
    return n;
}

static void hostile_labels(void **state)
{
    (void)state;
    static const double x[] = {0, 1, 2}, y[] = {1, 10, 5};
    static const char *const commands[] = {
        "'; system 'touch %s'; set title '",
        "'''; system 'touch %s' #",
        "''; system 'touch %s'; ''",
        "\"; system \"touch %s\"; \"",
        "`touch %s`",
        "x'.system('touch %s').'",
        "a\n!touch %s\n",
        "a\r\nsystem 'touch %s'\n",
        "@x {/Symbol a}_{b^{c}} } { {",
        "\\",
        "back\\'; system 'touch %s'; '\\",
        "EOD\nEND_OF_DATA\n!touch %s",
        "<b>&amp; %%s %%d %% \x01\x1b[31m \xff\xfe \xc3",
        "$data0 # ; \t |touch %s",
    };
    char touched[512], path[512], text[1024];
    struct report_tb *tb;
    if (!have_gnuplot())
        skip();
    snprintf(touched, sizeof(touched), "%s/touched", folder);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        snprintf(text, sizeof(text), commands[i], touched);
        struct report_series series[] = {{text, x, y, 3, false}, {text, x, y, 3, true}};
        snprintf(path, sizeof(path), "%s/hostile%zu.png", folder, i);
        const char *error = report_plot(path, text, text, text, i % 2, series, 2);
        assert_string_equal(error ? error : "", "");
        expect_png(path, 960, 600);
        assert_int_equal(access(touched, F_OK), -1);
    }
    assert_int_equal(report_tb_open(in_folder("images"), &tb), 0);
    assert_int_equal(report_tb_image(tb, "plot", 1, 2, file, read_file(path)), 0);
    assert_int_equal(report_tb_close(tb), 0);
    /* A path is no command, and no place for one. */
    snprintf(path, sizeof(path), "%s/|touch '; system \"touch x\" `.png", folder);
    struct report_series series = {"s", x, y, 3, false};
    assert_null(report_plot(path, "t", "x", "y", false, &series, 1));
    expect_png(path, 960, 600);
    assert_int_equal(count_files(".tmp"), 0);
    assert_int_equal(count_files("touched"), 0);
}

static void panels_of_strange_data(void **state)
{
    (void)state;
    enum { MANY = 300000 };
    static const double x[] = {0, 1, 2, 3}, none[] = {NAN, INFINITY, -INFINITY, NAN};
    static const double low[] = {-1, 0, -5, NAN}, same[] = {3, 3, 3, 3};
    static const double far[] = {-1e300, 1e300, 1e-300, 0};
    double *many = malloc(2 * MANY * sizeof(*many));
    if (!have_gnuplot()) {
        free(many);
        skip();
    }
    for (int i = 0; i < MANY; i++) {
        many[i] = i;
        many[MANY + i] = i == MANY / 3 ? 500 : sin(i * 1e-4);
    }
    struct report_series a[] = {{"none", x, none, 4, false}, {"same", x, same, 4, true}};
    struct report_series b = {"low", x, low, 4, false}, c = {"far", x, far, 4, false};
    struct report_series d = {"many", many, many + MANY, MANY, false}, e = {NULL, x, x, 0, true};
    struct report_series f = {"one", x, same, 1, false};
    const struct report_panel panels[] = {
        {"none and same", "x", "y", false, a, 2}, {"below a logarithm", "x", "y", true, &b, 1},
        {"far", "x", "y", false, &c, 1},          {"many", "x", "y", true, &d, 1},
        {"nothing", NULL, NULL, false, &e, 1},    {"no series", "x", "y", false, NULL, 0},
        {"one point", "x", "y", true, &f, 1},
    };
    const char *path = in_folder("grid.png");
    const char *error = report_plot_grid(path, "A grid's title", panels, 7);
    free(many);
    assert_string_equal(error ? error : "", "");
    expect_png(path, 3 * 640, 3 * 420);
    assert_non_null(report_plot_grid(path, "t", panels, 0));
    assert_non_null(report_plot(path, "t", "x", "y", false, a, REPORT_SERIES_MAX + 1));
    error = report_plot(in_folder("missing/folder.png"), "t", "x", "y", false, a, 2);
    assert_non_null(strstr(error, "No such file"));
}

static void make_program(const char *text)
{
    const char *path = in_folder("bin/gnuplot");
    mkdir(in_folder("bin"), 0777);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0777);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* gnuplot that complains, hangs, is not there. */
static void bad_gnuplot(void **state)
{
    (void)state;
    static const double x[] = {0, 1};
    struct report_series series = {"s", x, x, 2, false};
    char path[8192];
    char *was = strdup(getenv("PATH"));
    snprintf(path, sizeof(path), "%s:%s", in_folder("bin"), was);
    setenv("PATH", path, 1);
    make_program(
        "#!/bin/sh\necho first >&2\necho '  line 3: no such axis' >&2\necho >&2\nexit 1\n");
    const char *error = report_plot(in_folder("p.png"), "t", "x", "y", false, &series, 1);
    assert_string_equal(error, "gnuplot made no picture: line 3: no such axis");
    make_program("#!/bin/sh\nexec sleep 1000\n");
    report_plot_set_limit(50);
    error = report_plot(in_folder("p.png"), "t", "x", "y", false, &series, 1);
    assert_non_null(strstr(error, "killed"));
    report_plot_set_limit(30000);
    setenv("PATH", "/nowhere", 1);
    error = report_plot(in_folder("p.png"), "t", "x", "y", false, &series, 1);
    assert_non_null(strstr(error, "not installed"));
    assert_string_equal(report_plot(in_folder("p.png"), "t", "x", "y", false, &series, 1), "");
    setenv("PATH", was, 1);
    free(was);
    assert_int_equal(count_files("p.png"), 0);
}

/* ---- Notifications ---- */

static int make_fifo(const char *name)
{
    assert_int_equal(mkfifo(in_folder(name), 0600), 0);
    return open(in_folder(name), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

/* Up to `size` bytes, until every writer is gone or so many are there. */
static size_t read_fifo(int fd, char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, WAIT_MS) <= 0)
            fail_msg("a hook says nothing");
        ssize_t n = read(fd, text + at, size - at);
        if (n == 0)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    return at;
}

static void hook_hears(void **state)
{
    (void)state;
    char command[1024], text[2048];
    int fd = make_fifo("heard");
    setenv("RTC_EVENT", "another", 1);
    snprintf(command, sizeof(command),
             "exec >'%s'; printf '%%s|%%s|%%s|%%s|' \"$RTC_EVENT\" \"$RTC_SUBJECT\" \"$RTC_TEXT\" "
             "\"$HOOK_TEST\"; cat; ls /proc/self/fd | wc -l",
             in_folder("heard"));
    setenv("HOOK_TEST", "inherited", 1);
    int leak = dup(0); /* without O_CLOEXEC, and the hook must not have it */
    assert_null(report_notify(command, "finished", "de: 'rosen' \"$(x)\" `y`", "line 1\nline 2\n"));
    close(leak);
    text[read_fifo(fd, text, sizeof(text) - 1)] = 0;
    unsetenv("RTC_EVENT");
    /* ls has its three and the folder it lists. */
    assert_string_equal(text, "finished|de: 'rosen' \"$(x)\" `y`|line 1\nline 2\n|inherited|"
                              "line 1\nline 2\n4\n");
    close(fd);
    assert_null(report_notify(NULL, "a", "b", "c"));
    assert_null(report_notify("", "a", "b", "c"));
}

/* A text that is longer than an environment takes arrives on standard input. */
static void long_text(void **state)
{
    (void)state;
    enum { LONG = 300000 };
    char command[1024], answer[64];
    char *text = malloc(LONG + 1);
    int fd = make_fifo("long");
    memset(text, 'x', LONG);
    text[LONG] = 0;
    snprintf(command, sizeof(command), "exec >'%s'; echo ${#RTC_TEXT} $(wc -c)", in_folder("long"));
    assert_null(report_notify(command, NULL, NULL, text));
    answer[read_fifo(fd, answer, sizeof(answer) - 1)] = 0;
    assert_string_equal(answer, "65536 300000\n");
    close(fd);
    free(text);
}

/* No more than eight; and a place is free again when one is over. */
static void at_most_eight(void **state)
{
    (void)state;
    char command[1024], text[64];
    int up = make_fifo("up"), go;
    const char *error;
    assert_int_equal(mkfifo(in_folder("go"), 0600), 0);
    go = open(in_folder("go"), O_RDWR | O_CLOEXEC);
    snprintf(command, sizeof(command), "exec <'%s'; printf u >'%s'; read line", in_folder("go"),
             in_folder("up"));
    for (unsigned i = 0; i < REPORT_HOOKS_MAX; i++) { /* earlier tests' may end only now */
        for (int tries = 0; (error = report_notify(command, "e", "s", "t")); tries++) {
            assert_true(tries < WAIT_MS / 10);
            poll(NULL, 0, 10);
        }
    }
    for (unsigned n = 0; n < REPORT_HOOKS_MAX;)
        n += (unsigned)read_fifo(up, text, REPORT_HOOKS_MAX - n);
    assert_non_null(strstr(report_notify(command, "e", "s", "t"), "dropped"));
    assert_int_equal(write(go, "\n\n\n\n\n\n\n\n", 8), 8);
    for (int tries = 0; report_notify("true", "e", "s", "t"); tries++) {
        assert_true(tries < WAIT_MS / 10);
        poll(NULL, 0, 10);
    }
    close(up);
    close(go);
}

/* Killed with what it started, though it ignores all that can be ignored; no zombie is ours. */
static void hook_that_hangs(void **state)
{
    (void)state;
    char command[1024], text[64];
    int fd = make_fifo("hangs");
    const char *error;
    snprintf(command, sizeof(command),
             "exec >'%s'; trap '' TERM HUP INT ALRM; printf up; sleep 1000 & sleep 1000; printf no",
             in_folder("hangs"));
    report_notify_set_limit(1);
    for (int tries = 0; (error = report_notify(command, "e", "s", "t")); tries++) {
        assert_true(tries < WAIT_MS / 10);
        poll(NULL, 0, 10);
    }
    report_notify_set_limit(60);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    text[read_fifo(fd, text, sizeof(text) - 1)] = 0; /* until all that had it open are gone */
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_string_equal(text, "up");
    assert_true(end.tv_sec - begin.tv_sec <= 15);
    close(fd);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_labels),  cmocka_unit_test(panels_of_strange_data),
        cmocka_unit_test(bad_gnuplot),     cmocka_unit_test(hook_hears),
        cmocka_unit_test(long_text),       cmocka_unit_test(at_most_eight),
        cmocka_unit_test(hook_that_hangs),
    };
    if (!mkdtemp(folder))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    if (system(command))
        failed++;
    return failed;
}
