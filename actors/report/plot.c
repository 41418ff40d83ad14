/* gnuplot reads its script from a file in memory and writes the picture to its standard output,
 * which is our temporary file: no path ever stands in a script, where a leading | would be a
 * command. Labels do. They stand in single quotes, in which gnuplot knows no escapes and
 * substitutes nothing; the quote itself, and only it, could end such a string, so an apostrophe
 * takes its place. */
#include "actors/report/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "actors/report/text.h"

#define LABEL_MAX  200u
#define POINTS_MAX 20000u
#define APOSTROPHE "\xe2\x80\x99"

extern char **environ;

static atomic_uint limit_ms = 30000;
static atomic_bool said_missing;
static _Thread_local char sentence[512];

void report_plot_set_limit(unsigned milliseconds)
{
    limit_ms = milliseconds;
}

/* ---- The script ---- */

static void put_label(FILE *script, const char *text)
{
    char label[LABEL_MAX + 1];
    size_t size = text ? strnlen(text, LABEL_MAX) : 0;
    if (size)
        memcpy(label, text, size);
    report_text_clean(label, size);
    fputc('\'', script);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)label[i];
        if (c == '\'')
            fputs(APOSTROPHE, script);
        else
            fputc(c < ' ' || c == 0x7f ? ' ' : c, script);
    }
    fputc('\'', script);
}

static void put_setting(FILE *script, const char *name, const char *label)
{
    fprintf(script, "set %s ", name);
    put_label(script, label);
    fputc('\n', script);
}

static bool usable(const struct report_panel *panel, const struct report_series *series, size_t i)
{
    double y = series->y[i];
    return isfinite(series->x[i]) && isfinite(y) && (y > 0 || !panel->log_y);
}

static size_t count_usable(const struct report_panel *panel, const struct report_series *series)
{
    size_t n = 0;
    for (size_t i = 0; i < series->n; i++)
        n += usable(panel, series, i);
    return n;
}

static void put_point(FILE *script, const struct report_series *series, size_t i)
{
    fprintf(script, "%.17g %.17g\n", series->x[i], series->y[i]);
}

/* A cloud of points would be hollow with only the extremes of it: one of each run will do. */
static void put_points(FILE *script, const struct report_panel *panel,
                       const struct report_series *series)
{
    size_t run = series->n <= POINTS_MAX ? 1 : series->n / (POINTS_MAX / 2) + 1;
    for (size_t at = 0; at < series->n; at += run) {
        size_t low = SIZE_MAX, high = SIZE_MAX, end = series->n - at < run ? series->n : at + run;
        for (size_t i = at; i < end; i++) {
            if (!usable(panel, series, i))
                continue;
            low = low == SIZE_MAX || series->y[i] < series->y[low] ? i : low;
            high = high == SIZE_MAX || series->y[i] > series->y[high] ? i : high;
            if (series->points)
                break;
        }
        if (low == SIZE_MAX) {
            fputs("NaN NaN\n", script);
            continue;
        }
        put_point(script, series, low < high ? low : high);
        if (low != high)
            put_point(script, series, low < high ? high : low);
    }
}

static void put_panel(FILE *script, const struct report_panel *panel)
{
    bool all_empty = true;
    for (size_t i = 0; i < panel->n; i++) {
        if (!count_usable(panel, &panel->series[i]))
            continue;
        all_empty = false;
        fprintf(script, "$data%zu << END_OF_DATA\n", i);
        put_points(script, panel, &panel->series[i]);
        fputs("END_OF_DATA\n", script);
    }
    put_setting(script, "title", panel->title);
    put_setting(script, "xlabel", panel->x_label);
    put_setting(script, "ylabel", panel->y_label);
    fputs(panel->log_y ? "set logscale y\n" : "unset logscale y\n", script);
    /* Axes cannot fit themselves to nothing. */
    fputs(all_empty ? "set xrange [0:1]\nset yrange [1:10]\nplot NaN notitle"
                    : "set autoscale xy\nplot NaN notitle",
          script);
    for (size_t i = 0; i < panel->n; i++) {
        const struct report_series *series = &panel->series[i];
        size_t usables = count_usable(panel, series);
        if (!usables)
            fputs(", NaN", script);
        else
            fprintf(script, ", $data%zu using 1:2", i);
        /* A line through one point would not be seen. */
        bool points = series->points || usables == 1;
        fprintf(script, " with %s lt %zu title ", points ? "points pt 7 ps 0.6" : "lines lw 1.5",
                i + 1);
        put_label(script, series->label);
    }
    fputc('\n', script);
}

static void put_script(FILE *script, const char *title, const struct report_panel *panels, size_t n)
{
    size_t columns = 1;
    while (columns * columns < n)
        columns++;
    size_t rows = (n + columns - 1) / columns;
    size_t width = n == 1 ? 960 : columns * 640, height = n == 1 ? 600 : rows * 420;
    fputs("set encoding utf8\nterminal = 'png'\n"
          "if (strstrt(GPVAL_TERMINALS, 'pngcairo') > 0) { terminal = 'pngcairo' }\n",
          script);
    fprintf(script, "set terminal @terminal noenhanced size %zu,%zu\n", width, height);
    fputs("set grid\nset key opaque noenhanced\n"
          "set format y '%.8g'\nset format x '%g'\nset xtics font ',8'\n",
          script);
    if (n > 1 || (title && title[0])) {
        fprintf(script, "set multiplot layout %zu,%zu title ", rows, columns);
        put_label(script, title);
        fputc('\n', script);
    }
    for (size_t i = 0; i < n; i++)
        put_panel(script, &panels[i]);
    fputs("unset multiplot\nunset output\n", script);
}

/* A file in memory that holds the script, to be read from its beginning; or -1. */
static int make_script(const char *title, const struct report_panel *panels, size_t n)
{
    int fd = memfd_create("plot", MFD_CLOEXEC), copy = fd < 0 ? -1 : dup(fd);
    FILE *script = copy < 0 ? NULL : fdopen(copy, "w");
    if (!script) {
        if (copy >= 0)
            close(copy);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    put_script(script, title, panels, n);
    bool failed = ferror(script) != 0;
    if (fclose(script) || failed || lseek(fd, 0, SEEK_SET)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- The program ---- */

static int spawn_gnuplot(int script, int out, int said, pid_t *ret_pid)
{
    char program[] = "gnuplot", defaults[] = "-d", from_stdin[] = "-";
    char *argv[] = {program, defaults, from_stdin, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, script, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, said, 2);
    posix_spawnattr_init(&attributes);
    /* A group of its own: Ctrl-C ends the driver in order, and its last plot is still drawn. */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigaddset(&signals, SIGPIPE);
    sigaddset(&signals, SIGINT);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    int error = posix_spawnp(ret_pid, program, &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* False: it was killed, at the deadline or because it cannot be watched. The status is 0 when it is
 * unknown, since somebody else's wait took it. */
static bool wait_for(pid_t pid, int *ret_status)
{
    int64_t deadline = now_ms() + limit_ms, left;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), n = -1;
    while (fd >= 0 && (left = deadline - now_ms()) > 0) {
        struct pollfd ended = {.fd = fd, .events = POLLIN};
        n = poll(&ended, 1, left > INT_MAX ? INT_MAX : (int)left);
        if (n > 0 || (n < 0 && errno != EINTR))
            break;
    }
    if (n <= 0)
        kill(-pid, SIGKILL);
    *ret_status = 0;
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        ;
    if (fd >= 0)
        close(fd);
    return n > 0;
}

static bool is_whole_png(int fd)
{
    static const char magic[] = "\x89PNG\r\n\x1a\n", last[] = "IEND\xae\x42\x60\x82";
    char begin[8], end[8];
    off_t size = lseek(fd, 0, SEEK_END);
    return size >= 16 && pread(fd, begin, 8, 0) == 8 && pread(fd, end, 8, size - 8) == 8 &&
           !memcmp(begin, magic, 8) && !memcmp(end, last, 8);
}

/* The line of gnuplot's that tells the reason: the last one that is not empty. */
static const char *complaint(int said)
{
    char text[1024], *line = text, *save;
    off_t size = lseek(said, 0, SEEK_END);
    ssize_t n = pread(said, text, sizeof(text) - 1, size > 1023 ? size - 1023 : 0);
    text[n > 0 ? n : 0] = 0;
    for (char *next = strtok_r(text, "\r\n", &save); next; next = strtok_r(NULL, "\r\n", &save))
        line = next;
    line += strspn(line, " \t");
    snprintf(sentence, sizeof(sentence), "gnuplot made no picture: %.400s",
             *line ? line : "it said nothing");
    report_text_clean(sentence, strlen(sentence));
    return sentence;
}

static const char *draw(int script, int out)
{
    pid_t pid;
    int status = 0, said = memfd_create("said", MFD_CLOEXEC);
    if (said < 0)
        return "a plot is missing: no file in memory can be made";
    int error = spawn_gnuplot(script, out, said, &pid);
    const char *result = NULL;
    if (error == ENOENT) {
        result = atomic_exchange(&said_missing, true)
                     ? ""
                     : "gnuplot is not installed, so there are no plots";
    } else if (error) {
        snprintf(sentence, sizeof(sentence), "gnuplot cannot be started: %s", strerror(error));
        result = sentence;
    } else if (!wait_for(pid, &status)) {
        result = "gnuplot took too long and was killed";
    } else if (status || !is_whole_png(out)) {
        result = complaint(said);
    }
    close(said);
    return result;
}

/* ---- Files ---- */

const char *report_plot_grid(const char *path_png, const char *title,
                             const struct report_panel *panels, size_t n_panels)
{
    static atomic_uint number;
    char temporary[PATH_MAX];
    if (!n_panels || n_panels > REPORT_PANELS_MAX)
        return "a plot has between 1 and 25 panels";
    for (size_t i = 0; i < n_panels; i++) {
        if (panels[i].n > REPORT_SERIES_MAX)
            return "a panel of a plot has at most 64 series";
    }
    int size = snprintf(temporary, sizeof(temporary), "%s.%d.%u.tmp", path_png, (int)getpid(),
                        atomic_fetch_add(&number, 1));
    if (size >= (int)sizeof(temporary))
        return "the path of a plot is too long";
    int out = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (out < 0) {
        snprintf(sentence, sizeof(sentence), "a plot cannot be written to %.300s: %s", path_png,
                 strerror(errno));
        return sentence;
    }
    int script = make_script(title, panels, n_panels);
    const char *error = script < 0 ? "a plot is missing: memory is out" : draw(script, out);
    if (script >= 0)
        close(script);
    close(out);
    if (!error && rename(temporary, path_png)) {
        snprintf(sentence, sizeof(sentence), "a plot cannot be put at %.300s: %s", path_png,
                 strerror(errno));
        error = sentence;
    }
    if (error)
        unlink(temporary);
    return error;
}

const char *report_plot(const char *path_png, const char *title, const char *x_label,
                        const char *y_label, bool log_y, const struct report_series *series,
                        size_t n)
{
    struct report_panel panel = {title, x_label, y_label, log_y, series, n};
    return report_plot_grid(path_png, NULL, &panel, 1);
}
