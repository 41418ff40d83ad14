/* Rows of a run: three files that say the same, and go on where a checkpoint was. And the folder
 * that they are in.
 *
 * test_rows run FOLDER     writes a small run there, twice begun, for TensorBoard to read */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "actors/report/tensorboard.h"
#include "actors/run/folder.h"
#include "actors/run/rows.h"
#include "actors/run/tensors.h"
#include "tests/run/folder.h"

static char why[RUN_WHY_MAX];
static const char *const names[] = {"episode_reward_mean", "kl"};

static struct run_rows *open_rows(const char *path, bool resume, uint64_t iteration,
                                  bool tensorboard)
{
    const struct run_rows_options options = {.folder = path,
                                             .columns = names,
                                             .n_columns = 2,
                                             .resume = resume,
                                             .iteration = iteration,
                                             .samples = 100 * iteration,
                                             .tensorboard = tensorboard};
    struct run_rows *rows = NULL;
    if (run_rows_open(&options, &rows, why))
        fail_msg("%s", why);
    return rows;
}

static int add(struct run_rows *rows, uint64_t iteration, double reward, double kl)
{
    const double values[] = {reward, kl};
    const struct run_row row = {iteration, 100 * iteration, 0.5 * (double)iteration, 1.7e9, values};
    return run_rows_add(rows, &row, why);
}

static void writes_both(void **state)
{
    (void)state;
    struct run_rows *rows = open_rows(in_folder("a/b"), false, 0, false);
    assert_null(run_rows_tensorboard(rows));
    assert_int_equal(add(rows, 1, 21.5, NAN), 0);
    assert_int_equal(add(rows, 2, 0.1, INFINITY), 0);
    run_rows_close(&rows);
    run_rows_close(&rows);
    assert_string_equal(text_of(in_folder("a/b/progress.csv")),
                        "training_iteration,timesteps_total,time_total_s,timestamp,"
                        "episode_reward_mean,kl\n1,100,0.5,1700000000,21.5,\n"
                        "2,200,1,1700000000,0.1,inf\n");
    assert_string_equal(
        text_of(in_folder("a/b/result.json")),
        "{\"training_iteration\":1,\"timesteps_total\":100,\"time_total_s\":0.5,"
        "\"timestamp\":1700000000.0,\"episode_reward_mean\":21.5,\"kl\":null}\n"
        "{\"training_iteration\":2,\"timesteps_total\":200,\"time_total_s\":1.0,"
        "\"timestamp\":1700000000.0,\"episode_reward_mean\":0.10000000000000001,\"kl\":null}\n");
    rows = open_rows(in_folder("a/b"), false, 0, false); /* begins anew */
    run_rows_close(&rows);
    assert_string_equal(text_of(in_folder("a/b/result.json")), "");
    assert_null(strstr(text_of(in_folder("a/b/progress.csv")), "\n1,"));
}

/* Killed in the middle of a row, behind its last checkpoint. */
static void goes_on(void **state)
{
    (void)state;
    double *values;
    size_t n;
    const char *const columns[] = {"kl", "training_iteration", "no"};
    struct run_rows *rows = open_rows(folder, false, 0, false);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(add(rows, i, (double)i / 3, i == 2 ? NAN : 0.01), 0);
    run_rows_close(&rows);
    FILE *file = fopen(in_folder("progress.csv"), "a");
    fputs("6,60", file);
    fclose(file);
    file = fopen(in_folder("result.json"), "a");
    fputs("{\"training_iteration\":6,\"time", file);
    fclose(file);
    rows = open_rows(folder, true, 3, false);
    assert_int_equal(add(rows, 4, 9, 0.5), 0);
    run_rows_close(&rows);
    assert_int_equal(run_rows_load(folder, columns, 3, &values, &n, why), 0);
    assert_int_equal(n, 4);
    assert_true(values[0] == 0.01 && isnan(values[1]) && values[3] == 0.5);
    assert_true(values[4] == 1 && values[7] == 4 && isnan(values[8]));
    free(values);
    const char *const reward[] = {"episode_reward_mean"};
    assert_int_equal(run_rows_load(folder, reward, 1, &values, &n, why), 0);
    assert_true(values[0] == 1.0 / 3); /* to the last digit */
    free(values);
    char *json = text_of(in_folder("result.json"));
    unsigned lines = 0;
    for (char *c = json; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 4);
    assert_null(strstr(json, ":5,"));
}

/* Columns of an older version: by name, wherever they stood. */
static void takes_older_tables(void **state)
{
    (void)state;
    write_text(in_folder("progress.csv"),
               "kl,old,training_iteration\n0.5,7,1\nwords,7,2\n0.25,7,3\n,,4\n");
    struct run_rows *rows = open_rows(folder, true, 3, false);
    run_rows_close(&rows);
    assert_string_equal(text_of(in_folder("progress.csv")),
                        "training_iteration,timesteps_total,time_total_s,timestamp,"
                        "episode_reward_mean,kl\n1,,,,,0.5\n3,,,,,0.25\n");
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    double *values;
    size_t n;
    struct run_rows *rows = NULL;
    write_text(in_folder("file"), "");
    const struct run_rows_options bad = {.folder = in_folder("file/x")};
    assert_int_equal(run_rows_open(&bad, &rows, why), -1);
    assert_non_null(strstr(why, "Not a directory"));
    assert_int_equal(run_rows_load(in_folder("no"), names, 2, &values, &n, why), -1);
    assert_non_null(strstr(why, "No such file"));
    assert_non_null(strstr(run_rows_plot(in_folder("no"), "x"), "No such file"));
}

/* A disk that is full for a while: told once, and rows stay whole. */
static void survives_a_full_disk(void **state)
{
    (void)state;
    struct rlimit old, small;
    struct run_rows *rows = open_rows(folder, false, 0, false);
    assert_int_equal(add(rows, 1, 1, 1), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){120, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    int first = add(rows, 2, 2, 2), second = add(rows, 3, 3, 3);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(first, -1);
    assert_non_null(strstr(why, "this row is missing"));
    assert_int_equal(second, 0);
    assert_int_equal(add(rows, 4, 4, 4), 0);
    run_rows_close(&rows);
    char *csv = text_of(in_folder("progress.csv"));
    assert_non_null(strstr(csv, "\n1,100,0.5,1700000000,1,1\n4,400,2,1700000000,4,4\n"));
}

static void draws_a_curve(void **state)
{
    (void)state;
    struct run_rows *rows = open_rows(folder, false, 0, false);
    for (uint64_t i = 1; i <= 50; i++)
        add(rows, i, 200.0 * (double)i / (double)(i + 10), i % 10 ? NAN : 0.01);
    run_rows_close(&rows);
    const char *sentence = run_rows_plot(folder, "it's 'a run'\n仿真");
    if (sentence && strstr(sentence, "gnuplot")) {
        print_message("%s\n", sentence);
        skip();
    }
    assert_null(sentence);
    assert_memory_equal(text_of(in_folder("learning.png")), "\x89PNG", 4);
}

/* ---- The folder ---- */

static void has_a_folder(void **state)
{
    (void)state;
    struct run_folder a, b, c;
    char path[RUN_PATH_MAX];
    const char *runs = in_folder("runs");
    assert_int_equal(run_folder_open(NULL, runs, "a b/c", &a, why), 0);
    assert_int_equal(run_folder_open(NULL, runs, "a b/c", &b, why), 0);
    assert_string_equal(a.path, in_folder("runs/a_b_c-1"));
    assert_string_equal(b.path, in_folder("runs/a_b_c-2"));
    assert_false(a.resume);
    assert_int_equal(run_folder_open(a.path, NULL, NULL, &c, why), -1);
    assert_non_null(strstr(why, "another driver trains in"));
    write_text(run_folder_in(&a, "config.yaml", path), "");
    run_folder_close(&a);
    run_folder_close(&a);
    assert_int_equal(run_folder_open(a.path, NULL, NULL, &c, why), 0);
    assert_true(c.resume);
    run_folder_close(&c);
    run_folder_close(&b);
    assert_int_equal(run_folder_open(NULL, runs, "../..", &c, why), 0);
    assert_string_equal(c.path, in_folder("runs/run-1"));
    run_folder_close(&c);
    write_text(in_folder("file"), "");
    assert_int_equal(run_folder_open(in_folder("file"), NULL, NULL, &c, why), -1);
    assert_non_null(strstr(why, "Not a directory"));
}

static void keeps_its_settings(void **state)
{
    (void)state;
    struct run_folder f;
    struct ppo_loaded *loaded, *again;
    char path[RUN_PATH_MAX];
    const char *const sets[] = {"env=CartPole-v1", "lr=1e-3"};
    const struct ppo_load load = {.preset = "max", .sets = sets, .n_sets = 2};
    assert_int_equal(ppo_settings_load(&load, &loaded), 0);
    assert_int_equal(run_folder_open(in_folder("r"), NULL, NULL, &f, why), 0);
    assert_int_equal(run_folder_write_config(&f, loaded, why), 0);
    const struct ppo_load resume = {.config = run_folder_in(&f, "config.yaml", path)};
    assert_int_equal(ppo_settings_load(&resume, &again), 0);
    assert_memory_equal(&loaded->config, &again->config, sizeof(again->config));
    assert_non_null(strstr(text_of(path), "lr: 0.001   # --set lr=1e-3\n"));
    struct report_tb *tb;
    assert_int_equal(report_tb_open_at(in_folder("r/tensorboard"), 1.7e9, &tb), 0);
    assert_int_equal(run_write_hparams(tb, 1.7e9, &loaded->config, names, 2), 0);
    report_tb_close(tb);
    run_folder_close(&f);
    ppo_settings_free(&loaded);
    ppo_settings_free(&again);
}

static int write_run(const char *path)
{
    struct ppo_loaded *loaded;
    const char *const sets[] = {"env=CartPole-v1"};
    const struct ppo_load load = {.preset = "quick", .sets = sets, .n_sets = 1};
    if (ppo_settings_load(&load, &loaded))
        return 1;
    for (int turn = 0; turn < 2; turn++) {
        struct run_rows *rows = open_rows(path, turn, 3, true);
        if (!turn)
            run_write_hparams(run_rows_tensorboard(rows), 1.7e9, &loaded->config, names, 2);
        for (uint64_t i = turn ? 4 : 1; i <= 5; i++)
            add(rows, i, (double)i + 100 * turn, 0.01);
        if (turn)
            report_tb_hparams_end(run_rows_tensorboard(rows), 1.7e9, 1);
        run_rows_close(&rows);
    }
    ppo_settings_free(&loaded);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "run"))
        return write_run(argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(writes_both),          TEST(goes_on),
        TEST(takes_older_tables),   TEST(says_what_is_wrong),
        TEST(survives_a_full_disk), TEST(draws_a_curve),
        TEST(has_a_folder),         TEST(keeps_its_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
