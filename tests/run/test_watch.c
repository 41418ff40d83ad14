/* What is shown of a run, and what is done when memory runs out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/run/host.h"
#include "actors/run/progress.h"

#define GIB (1ull << 30)

static const struct run_progress usual = {.iteration = 12,
                                          .iterations = 200,
                                          .samples = 48096,
                                          .seconds = 60,
                                          .episode_return = 21.25,
                                          .best_return = 30.5,
                                          .length = 21,
                                          .loss = 0.0123,
                                          .lr = 3e-4,
                                          .samples_per_second = 801.6,
                                          .cpu = 0.934,
                                          .memory = 3 * GIB,
                                          .memory_total = 16 * GIB,
                                          .first = 2};

static void shows_a_line(void **state)
{
    (void)state;
    char text[512];
    run_progress_text(&usual, true, 200, text, sizeof(text));
    assert_string_equal(text,
                        "[#-------------------] 12/200 return 21.25 (best 30.5), 802 samples/s, "
                        "19 min left, CPU 93 %, memory 3 GiB of 16 GiB");
    run_progress_text(&usual, true, 79, text, sizeof(text));
    assert_string_equal(text, "12/200 return 21.25 (best 30.5), 802 samples/s, 19 min left");
    for (unsigned width = 1; width < 200; width++) {
        run_progress_text(&usual, true, width, text, sizeof(text));
        assert_true(strlen(text) <= width);
    }
    struct run_progress p = usual;
    p.restarts = 2;
    p.doing = "学习";
    run_progress_text(&p, true, 200, text, sizeof(text));
    assert_non_null(strstr(text, ", 2 replaced, 学习"));
    run_progress_text(&usual, false, 0, text, sizeof(text));
    assert_string_equal(text,
                        "iteration 12/200, 48096 samples, return 21.25 (best 30.5) loss: 0.0123 "
                        "lr: 0.0003, 802 samples/s, 19 min left, CPU 93 %, memory 3 GiB of 16 GiB");
    p = (struct run_progress){.iteration = 1,
                              .iterations = 5,
                              .samples = 10,
                              .episode_return = NAN,
                              .best_return = NAN,
                              .loss = NAN,
                              .lr = NAN,
                              .samples_per_second = NAN,
                              .cpu = NAN};
    run_progress_text(&p, false, 0, text, sizeof(text));
    assert_string_equal(text, "iteration 1/5, 10 samples,");
    run_progress_text(&usual, false, 0, text, 20); /* no room */
    assert_int_equal(strlen(text), 19);
}

static void says_times(void **state)
{
    (void)state;
    const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0 s"},     {-5, "0 s"},          {NAN, "0 s"},           {119.4, "119 s"},
                 {120, "2 min"}, {7500, "2 h 05 min"}, {200000, "2 days 7 h"}, {INFINITY, "0 s"}};
    char text[40];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        run_seconds_text(cases[i].seconds, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
    struct run_progress p = usual;
    assert_true(run_progress_eta(&p) == 6.0 * 188);
    p.first = 12;
    assert_true(isnan(run_progress_eta(&p)));
    p.first = 0;
    p.iteration = 300;
    assert_true(isnan(run_progress_eta(&p)));
}

/* Into a file: a line an iteration, nothing that only terminals understand. */
static void writes_plain_lines(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size;
    FILE *file = tmpfile();
    struct run_line line;
    struct run_progress p = usual;
    run_line_open(&line, file);
    assert_false(line.terminal);
    run_line_show(&line, &p);
    run_line_show(&line, &p);
    run_line_note(&line, "a note");
    p.iteration = p.iterations;
    run_line_show(&line, &p);
    run_line_end(&line, &p, "runs/x-1", NULL);
    rewind(file);
    text = calloc(1, 4096);
    size = fread(text, 1, 4095, file);
    fclose(file);
    assert_true(size > 0 && !strchr(text, '\r') && !strchr(text, '\033'));
    assert_non_null(strstr(text, "memory 3 GiB of 16 GiB\na note\niteration 200/200"));
    const char *end =
        "200 iterations, 48096 samples in 60 s, return 21.25 (best 30.5); all of it is in "
        "runs/x-1\nTraining completed\n";
    assert_string_equal(text + size - strlen(end), end);
    free(text);
    file = open_memstream(&text, &size);
    line = (struct run_line){.file = file, .terminal = true, .width = 100};
    run_line_show(&line, &p);
    run_line_end(&line, &p, "r", "it was interrupted");
    fclose(file);
    assert_non_null(strstr(text, "\r\033[K200 iterations"));
    assert_non_null(strstr(text, "\nTraining stopped: it was interrupted\n"));
    free(text);
}

/* ---- The host ---- */

static const char meminfo[] = "MemTotal:       16777216 kB\nMemFree:         100000 kB\n"
                              "MemAvailable:   12582912 kB\nBuffers: 1 kB\n";

static void reads_memory(void **state)
{
    (void)state;
    struct run_host h = {0};
    assert_true(run_host_memory(&h, meminfo, NULL, NULL, NULL));
    assert_true(h.total == 16 * GIB && h.used == 4 * GIB && !h.group);
    assert_true(run_host_memory(&h, meminfo, "max\n", "5368709120\n", "inactive_file 1\n"));
    assert_true(h.used == 4 * GIB && !h.group);
    assert_true(run_host_memory(&h, meminfo, "8589934592\n", "5368709120\n",
                                "anon 3\nfile 7\ninactive_file 1073741824\n"));
    assert_true(h.total == 8 * GIB && h.used == 4 * GIB && h.group);
    assert_true(run_host_memory(&h, NULL, "8589934592\n", "5368709120\n",
                                "cache 3\ntotal_inactive_file 1073741824\n"));
    assert_true(h.total == 8 * GIB && h.used == 4 * GIB);
    assert_true(run_host_memory(&h, meminfo, "9223372036854771712\n", "5368709120\n", NULL));
    assert_true(h.total == 16 * GIB); /* version 1 has no word for "no limit" */
    assert_true(run_host_memory(&h, meminfo, "8589934592\n", "nonsense", NULL));
    assert_true(h.total == 16 * GIB);
    assert_false(run_host_memory(&h, NULL, NULL, NULL, NULL));
    assert_false(run_host_memory(&h, "nonsense", "", "", ""));
    assert_false(run_host_memory(&h, "MemTotal: 5 kB\n", "max", "0", ""));
    assert_true(run_host_memory(&h, "MemTotal: 5 kB\nMemAvailable: 9 kB\n", NULL, NULL, NULL));
    assert_int_equal(h.used, 0);
}

static void reads_cpu(void **state)
{
    (void)state;
    struct run_host h = {0};
    run_host_cpu(&h, "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n");
    assert_true(isnan(h.cpu));
    run_host_cpu(&h, "cpu  150 0 125 715 110 0 0 0 0 0\n");
    assert_true(h.cpu == 0.75);
    run_host_cpu(&h, "cpu  150 0 125 715 110 0 0 0 0 0\n"); /* no time went by */
    assert_true(isnan(h.cpu));
    run_host_cpu(&h, "nonsense");
    assert_true(isnan(h.cpu));
    run_host_cpu(&h, NULL);
    assert_true(isnan(h.cpu));
    struct run_host here = {0};
    assert_true(run_host_read(&here) && here.total > 0 && here.used <= here.total);
}

static struct run_guard guard;

static struct run_advice step(double used_gib, uint64_t target, uint32_t environments)
{
    const struct run_host h = {.used = (uint64_t)(used_gib * (double)GIB), .total = 16 * GIB};
    struct run_advice advice;
    run_guard_step(&guard, &h, target, environments, GIB, &advice);
    return advice;
}

/* 12 and 14 of 16 GiB. */
static void guards_memory(void **state)
{
    (void)state;
    guard = (struct run_guard){0};
    assert_false(step(11.9, 0, 12).say);
    struct run_advice a = step(12.1, 0, 12);
    assert_true(a.say && a.level == RUN_GUARD_WARN && !a.free_caches && !a.environments);
    assert_string_equal(a.sentence, "memory: 13 GB of 16 GiB in use");
    assert_false(step(13.9, 0, 12).say);
    a = step(14, 0, 12);
    assert_true(a.say && a.level == RUN_GUARD_SHED && a.free_caches);
    assert_int_equal(a.environments, 9); /* a quarter, although it is not much too much */
    assert_non_null(strstr(a.sentence,
                           "14 GiB of 16 GiB in use; caches are freed, and environments "
                           "become 9 instead of 12"));
    a = step(14.1, 0, 9);
    assert_true(a.level == RUN_GUARD_SHED && !a.say && !a.environments);
    a = step(14.5, 0, 9); /* it goes on growing */
    assert_true(a.say && a.environments == 7);
    a = step(15.9, 0, 2);
    assert_true(a.environments == 1);
    a = step(16, 0, 1);
    assert_false(a.say);
    guard.peak = 0;
    a = step(16, 0, 1);
    assert_true(a.say && a.environments == 0 && strstr(a.sentence, "one environment is left"));
    assert_false(step(13.5, 0, 7).say); /* down again, and not yet good */
    assert_false(step(11.5, 0, 7).say);
    a = step(11, 0, 7);
    assert_true(a.say && a.level == RUN_GUARD_GOOD && strstr(a.sentence, "enough again"));
    assert_true(step(12.5, 0, 7).say);
}

static void guards_a_target(void **state)
{
    (void)state;
    guard = (struct run_guard){0};
    assert_true(step(14.5, 15 * GIB, 4).level == RUN_GUARD_WARN);
    assert_true(step(15, 15 * GIB, 4).environments == 3);
    guard = (struct run_guard){0};
    assert_true(step(6.5, 8 * GIB, 4).level == RUN_GUARD_GOOD);
    assert_true(step(7, 8 * GIB, 4).level == RUN_GUARD_WARN);
    assert_true(step(10.5, 8 * GIB, 8).environments == 5);
    guard = (struct run_guard){0};
    assert_true(step(14, 64 * GIB, 4).level == RUN_GUARD_SHED); /* more than there is */
    const struct run_host unknown = {0};
    struct run_advice a;
    run_guard_step(&guard, &unknown, 0, 4, GIB, &a);
    assert_true(!a.say && a.level == RUN_GUARD_GOOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_a_line),       cmocka_unit_test(says_times),
        cmocka_unit_test(writes_plain_lines), cmocka_unit_test(reads_memory),
        cmocka_unit_test(reads_cpu),          cmocka_unit_test(guards_memory),
        cmocka_unit_test(guards_a_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
