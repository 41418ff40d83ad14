/* Tensors and checkpoints: what is written is read, what is damaged is refused, what is kept.
 *
 * test_checkpoint write FILE     writes one of each type, for other readers
 * test_checkpoint read FILE      prints what is in a file of others */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "actors/run/checkpoint.h"
#include "tests/run/folder.h"

static char why[RUN_WHY_MAX], note[RUN_WHY_MAX];

static const float weights[6] = {1, -2, 3.5f, 0, 5, 6};
static const double moments[2] = {1e-300, -7};
static const uint8_t bytes[3] = {1, 2, 255};
static const int64_t steps = -5;
static const struct run_tensor tensors[] = {
    {.name = "b", .type = RUN_U8, .ndim = 1, .shape = {3}, .data = bytes},
    {.name = "policy.0.weight", .type = RUN_F32, .ndim = 2, .shape = {2, 3}, .data = weights},
    {.name = "steps", .type = RUN_I64, .data = &steps},
    {.name = "adam \"m\" \xc3\xa9", .type = RUN_F64, .ndim = 1, .shape = {2}, .data = moments},
    {.name = "none", .type = RUN_F32, .ndim = 2, .shape = {0, 4}},
};
#define TENSORS (sizeof(tensors) / sizeof(tensors[0]))
static const struct run_text texts[] = {{"rng", "00ff"}, {"note", "a\n\"b\" \xe4\xbb\xbf"}};

static int write_one(const char *path)
{
    return run_tensors_write(path, tensors, TENSORS, texts, 2, why);
}

static void writes_and_reads(void **state)
{
    (void)state;
    const char *path = in_folder("a.safetensors");
    struct run_tensors *t;
    assert_int_equal(write_one(path), 0);
    assert_int_equal(run_tensors_read(path, &t, why), 0);
    assert_int_equal(t->n, TENSORS);
    for (size_t i = 0; i < TENSORS; i++) {
        const struct run_tensor *w = &tensors[i], *r = run_tensors_find(t, w->name);
        assert_non_null(r);
        assert_true(r->type == w->type && r->ndim == w->ndim);
        assert_true((uintptr_t)r->data % run_type_size(r->type) == 0);
        if (r->size)
            assert_memory_equal(r->data, w->data, r->size);
    }
    assert_string_equal(run_tensors_text(t, "note"), texts[1].value);
    assert_null(run_tensors_text(t, "no"));
    assert_null(run_tensors_find(t, "no"));
    const uint64_t right[] = {2, 3}, wrong[] = {3, 2};
    assert_non_null(run_tensors_need(t, "policy.0.weight", RUN_F32, 2, right, why));
    assert_null(run_tensors_need(t, "policy.0.weight", RUN_F32, 2, wrong, why));
    assert_string_equal(why, "policy.0.weight has the shape [2, 3] and not [3, 2]");
    assert_null(run_tensors_need(t, "policy.0.weight", RUN_F64, 2, right, why));
    assert_string_equal(why, "policy.0.weight has the type F32 and not F64");
    assert_null(run_tensors_need(t, "x", RUN_F64, 2, right, why));
    assert_string_equal(why, "x is not in it");
    run_tensors_free(&t);
    run_tensors_free(&t);
    assert_int_equal(run_tensors_read_header(path, &t, why), 0);
    assert_true(t->n == TENSORS && !t->at[0].data);
    run_tensors_free(&t);
}

static void refuses_what_cannot_be_written(void **state)
{
    (void)state;
    const char *path = in_folder("a.safetensors");
    struct run_tensor bad[2] = {tensors[0], tensors[0]};
    assert_int_equal(run_tensors_write(path, bad, 2, NULL, 0, why), -1);
    assert_non_null(strstr(why, "\"b\" cannot be written"));
    bad[0].name = "";
    assert_int_equal(run_tensors_write(path, bad, 1, NULL, 0, why), -1);
    bad[0].name = "\xff";
    assert_int_equal(run_tensors_write(path, bad, 1, NULL, 0, why), -1);
    bad[0] = (struct run_tensor){
        .name = "x", .type = RUN_F32, .ndim = 2, .shape = {1ull << 62, 1ull << 62}, .data = bytes};
    assert_int_equal(run_tensors_write(path, bad, 1, NULL, 0, why), -1);
    const struct run_text twice[] = {{"a", "b"}, {"a", "c"}};
    assert_int_equal(run_tensors_write(path, tensors, 1, twice, 2, why), -1);
    assert_int_equal(write_one(in_folder("no/a.safetensors")), -1);
    assert_non_null(strstr(why, "No such file or directory"));
    assert_int_equal(access(path, F_OK), -1);
}

/* Where the disk is full, the file that was there stays. */
static void keeps_the_old_one(void **state)
{
    (void)state;
    const char *path = in_folder("a.safetensors");
    struct rlimit old, small = {100, RLIM_INFINITY};
    struct run_tensors *t;
    assert_int_equal(write_one(path), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    int rc = run_tensors_write(path, tensors, 1, texts, 2, why);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(why, "cannot be written: File too large"));
    assert_int_equal(run_tensors_read(path, &t, why), 0);
    assert_int_equal(t->n, TENSORS);
    run_tensors_free(&t);
    assert_int_equal(access(in_folder("a.safetensors.tmp"), F_OK), -1);
}

/* Every byte matters: cut anywhere, or with any byte changed, it is refused, or nothing is
 * different. */
static void refuses_damage(void **state)
{
    (void)state;
    uint8_t good[4096], bad[4096];
    struct run_tensors *t = NULL;
    assert_int_equal(write_one(in_folder("a.safetensors")), 0);
    FILE *file = fopen(in_folder("a.safetensors"), "r");
    size_t size = fread(good, 1, sizeof(good), file);
    fclose(file);
    uint64_t header = good[0] + 256u * good[1];
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(run_tensors_parse(good, cut, &t, why), -1);
    for (size_t i = 0; i < size; i++) {
        memcpy(bad, good, size);
        bad[i] ^= 0x10;
        int rc = run_tensors_parse(bad, size, &t, why);
        assert_true(rc == -1 || (i >= 8 && i < 8 + header)); /* a name may be another */
        if (rc == 0)
            run_tensors_free(&t);
    }
}

static int parse_text(const char *header, size_t data)
{
    static uint8_t all[4096];
    struct run_tensors *t = NULL;
    size_t n = strlen(header);
    memset(all, 0, sizeof(all));
    all[0] = (uint8_t)n;
    all[1] = (uint8_t)(n >> 8);
    memcpy(all + 8, header, n);
    int rc = run_tensors_parse(all, 8 + n + data, &t, why);
    run_tensors_free(&t);
    return rc;
}

static void refuses_headers(void **state)
{
    (void)state;
    const struct {
        const char *header;
        size_t data;
        const char *sentence; /* NULL: good */
    } cases[] = {
        {"{}", 0, NULL},
        {"{\"__metadata__\":{\"a\":\"b\"}}   ", 0, NULL},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, NULL},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,0],\"data_offsets\":[0,0]}}", 0, NULL},
        {"", 0, "no header"},
        {" {}", 0, "no header"},
        {"[]", 0, "no header"},
        {"{", 0, "damaged"},
        {"{} {}", 0, "damaged"},
        {"{\"a\":1,\"a\":1}", 0, "damaged"},
        {"{\"a\":1}", 0, "type that is not known"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "not known"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
         "no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "not as large"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 8,
         "not where it says"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 8, "not where it says"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 0,
         "not where it says"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, "bytes follow"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "a gap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "overlap"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "the text \"a\" is none"},
        {"{\"__metadata__\":[]}", 0, "__metadata__"},
        {"{\"__metadata__\":{\"rtc.crc32c\":\"00000001\"}}", 0, "damaged: the sum"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int rc = parse_text(cases[i].header, cases[i].data);
        if ((rc == 0) != !cases[i].sentence || (rc && !strstr(why, cases[i].sentence)))
            fail_msg("%s: %s", cases[i].header, rc ? why : "taken");
    }
}

/* ---- Checkpoints ---- */

static int save(uint64_t iteration, double score, bool final, uint64_t last_n)
{
    const struct run_keep keep = {.last_n = last_n};
    return run_checkpoint_write(in_folder("c"), iteration, score, final, tensors, TENSORS, texts, 2,
                                &keep, why);
}

/* "10 20* 30!": the best has a star, a final one a mark. */
static const char *listed(void)
{
    static char out[256];
    struct run_checkpoint *all;
    size_t n, used = 0;
    out[0] = 0;
    assert_int_equal(run_checkpoint_list(in_folder("c"), false, &all, &n, why), 0);
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%llu%s%s", i ? " " : "",
                                 (unsigned long long)all[i].iteration, all[i].best ? "*" : "",
                                 all[i].final ? "!" : "");
    free(all);
    return out;
}

static void keeps_the_last_the_best_and_the_final(void **state)
{
    (void)state;
    const double scores[] = {1, 5, 2, 3, NAN, 4};
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(save(10 * (i + 1), scores[i], false, 2), 0);
    assert_string_equal(listed(), "20* 50 60");
    assert_int_equal(save(61, 0, true, 2), 0);
    assert_string_equal(listed(), "20* 60 61!");
    for (unsigned i = 7; i < 10; i++)
        assert_int_equal(save(10 * i, i == 7 ? 5 : 1, false, 2), 0);
    assert_string_equal(listed(), "61! 70* 80 90"); /* of equal ones the latest is the best */
    assert_int_equal(save(91, 1, true, 2), 0);
    assert_string_equal(listed(), "70* 90 91!");
    for (unsigned i = 100; i < 105; i++)
        assert_int_equal(save(i, 0, false, 0), 0); /* all */
    assert_string_equal(listed(), "70* 90 91! 100 101 102 103 104");
}

static void chooses(void **state)
{
    (void)state;
    struct run_checkpoint c;
    struct run_tensors *t;
    const char *const wanted[] = {NULL, "latest", "best", "10", "30"};
    const uint64_t got[] = {30, 30, 20, 10, 30};
    assert_int_equal(run_checkpoint_read(in_folder("c"), NULL, false, &c, &t, note, why), -1);
    assert_non_null(strstr(why, "the folder of checkpoints"));
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(save(10 * i, i == 2, false, 5), 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(run_checkpoint_read(in_folder("c"), wanted[i], false, &c, &t, note, why),
                         0);
        assert_int_equal(c.iteration, got[i]);
        assert_string_equal(run_tensors_text(t, "rng"), "00ff");
        assert_string_equal(note, "");
        run_tensors_free(&t);
    }
    assert_int_equal(run_checkpoint_read(in_folder("c"), c.path, false, &c, &t, note, why), 0);
    run_tensors_free(&t);
    assert_int_equal(run_checkpoint_read(in_folder("c"), "final", false, &c, &t, note, why), -1);
    assert_non_null(strstr(why, "there are 3, of iterations 10 to 30"));
    assert_int_equal(run_checkpoint_read(in_folder("c"), "40", false, &c, &t, note, why), -1);
    assert_int_equal(run_checkpoint_read(in_folder("c"), "./x", false, &c, &t, note, why), -1);
    assert_int_equal(run_checkpoint_read(in_folder("c"), "best", true, &c, &t, note, why), 0);
    assert_int_equal(c.iteration, 30); /* lower is better */
    run_tensors_free(&t);
}

/* What was torn by a machine that lost its power, or eaten by the disk. */
static void goes_back_to_one_that_is_whole(void **state)
{
    (void)state;
    struct run_checkpoint c;
    struct run_tensors *t;
    for (unsigned i = 1; i <= 4; i++)
        assert_int_equal(save(i, 0, false, 9), 0);
    const char *last = in_folder("c/iteration-00000004.safetensors");
    assert_int_equal(truncate(last, 100), 0);
    const char *third = in_folder("c/iteration-00000003.safetensors");
    FILE *file = fopen(third, "r+");
    fseek(file, -1, SEEK_END);
    fputc(77, file);
    fclose(file);
    write_text(in_folder("c/iteration-00000009.safetensors.tmp"), "x");
    write_text(in_folder("c/iteration-x.safetensors"), "x");
    assert_string_equal(listed(), "1 2 3*");
    assert_int_equal(run_checkpoint_read(in_folder("c"), NULL, false, &c, &t, note, why), 0);
    assert_int_equal(c.iteration, 2);
    assert_non_null(strstr(note, "iteration-00000003.safetensors: its arrays are damaged"));
    assert_non_null(strstr(note, "it goes on from iteration 2"));
    run_tensors_free(&t);
    assert_int_equal(run_checkpoint_read(in_folder("c"), "3", false, &c, &t, note, why), -1);
    assert_int_equal(run_checkpoint_read(in_folder("c"), last, false, &c, &t, note, why), -1);
    assert_non_null(strstr(why, "was cut off"));
}

static int print(const char *path)
{
    struct run_tensors *t;
    if (run_tensors_read(path, &t, why))
        return printf("%s\n", why), 1;
    for (size_t i = 0; i < t->n; i++)
        printf("%s %u %u %llu\n", t->at[i].name, t->at[i].type, t->at[i].ndim,
               (unsigned long long)t->at[i].size);
    for (size_t i = 0; i < t->n_texts; i++)
        printf("%s=%s\n", t->texts[i].key, t->texts[i].value);
    run_tensors_free(&t);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "write"))
        return write_one(argv[2]) != 0;
    if (argc == 3 && !strcmp(argv[1], "read"))
        return print(argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(writes_and_reads),  TEST(refuses_what_cannot_be_written),
        TEST(keeps_the_old_one), TEST(refuses_damage),
        TEST(refuses_headers),   TEST(keeps_the_last_the_best_and_the_final),
        TEST(chooses),           TEST(goes_back_to_one_that_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
