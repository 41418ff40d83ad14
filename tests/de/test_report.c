/* Event files are what the format says, byte by byte, wherever a file ends.
 *
 * test_report                  the tests
 * test_report records FOLDER   writes one record of each kind there, each in a file N.bin too, for
 *                              check_report.sh */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "actors/report/record.h"
#include "actors/report/tensorboard.h"
#include "actors/report/text.h"
#include "tests/de/report_files.h"

/* The last event file by name, as readers order them. */
static size_t read_events(const char *in, unsigned *ret_files)
{
    char newest[256] = "", path[800];
    DIR *files = opendir(in);
    unsigned n = 0;
    for (struct dirent *f; files && (f = readdir(files));) {
        n += f->d_name[0] != '.';
        if (strcmp(f->d_name, newest) > 0)
            snprintf(newest, sizeof(newest), "%s", f->d_name);
    }
    closedir(files);
    if (ret_files)
        *ret_files = n;
    snprintf(path, sizeof(path), "%s/%s", in, newest);
    return read_file(path);
}

/* ---- A small decoder ---- */

static uint32_t masked(const void *data, size_t size)
{
    uint32_t c = report_crc32c(data, size);
    return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

/* The next whole record, or NULL as readers do: at the end and at a torn record. */
static const uint8_t *next_record(size_t size, size_t *at, size_t *ret_size)
{
    uint64_t length;
    uint32_t sums[2];
    const uint8_t *p = file + *at;
    if (size - *at < 16)
        return NULL;
    memcpy(&length, p, 8);
    memcpy(&sums[0], p + 8, 4);
    assert_int_equal(sums[0], masked(p, 8));
    if (size - *at - 16 < length)
        return NULL;
    memcpy(&sums[1], p + 12 + length, 4);
    assert_int_equal(sums[1], masked(p + 12, length));
    *at += 16 + length;
    *ret_size = length;
    return p + 12;
}

struct field {
    uint64_t value; /* or the size of `data` */
    const uint8_t *data;
};

static uint64_t varint(const uint8_t **p)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        value |= (uint64_t)(**p & 0x7f) << shift;
        if (!(*(*p)++ & 0x80))
            return value;
    }
}

/* The first field of that number; fields stand in ascending order. */
static bool find_field(const uint8_t *data, size_t size, uint32_t number, struct field *ret)
{
    uint64_t last = 0;
    for (const uint8_t *p = data, *end = data + size; p < end;) {
        uint64_t key = varint(&p), type = key & 7;
        assert_true(key >> 3 >= last);
        last = key >> 3;
        *ret = (struct field){0};
        if (type == 0) {
            ret->value = varint(&p);
        } else if (type == 2) {
            ret->value = varint(&p);
            ret->data = p;
            p += ret->value;
        } else {
            assert_true(type == 1 || type == 5);
            memcpy(&ret->value, p, type == 1 ? 8 : 4);
            p += type == 1 ? 8 : 4;
        }
        assert_true(p <= end);
        if (last == number)
            return true;
    }
    return false;
}

static struct field need(const struct field *in, uint32_t number)
{
    struct field found;
    assert_true(find_field(in->data, in->value, number, &found));
    return found;
}

static double as_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static float as_float(uint64_t bits)
{
    uint32_t narrow = (uint32_t)bits;
    float value;
    memcpy(&value, &narrow, sizeof(value));
    return value;
}

static void expect_text(struct field field, const char *text)
{
    assert_int_equal(field.value, strlen(text));
    assert_memory_equal(field.data, text, strlen(text));
}

/* The Summary.Value of the n-th record after the first one. */
static struct field value_of_record(size_t size, unsigned n, const char *tag,
                                    struct field *ret_event)
{
    size_t at = 0, length = 0;
    const uint8_t *data = NULL;
    for (unsigned i = 0; i <= n; i++)
        data = next_record(size, &at, &length);
    assert_non_null(data);
    struct field event = {length, data}, summary = need(&event, 5), value = need(&summary, 1);
    expect_text(need(&value, 1), tag);
    if (ret_event)
        *ret_event = event;
    return value;
}

/* ---- Event files ---- */

static const uint8_t png[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\2\0\0\0\3\x08\x02\0\0\0crc!";

static const struct report_tb_hparam hparams[] = {{"lr", REPORT_TB_NUMBER, 0.25, NULL},
                                                  {"model", REPORT_TB_STRING, 0, "[64, 64]"},
                                                  {"share", REPORT_TB_BOOL, 1, NULL}};
static const char *const metrics[] = {"loss/best", "reward"};

static int write_all_kinds(const char *in)
{
    struct report_tb *tb;
    double values[1000];
    int r = report_tb_open_at(in, 1700000000.5, &tb);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < 1000; i++)
        values[i] = i < 998 ? i / 4.0 : i == 998 ? NAN : INFINITY;
    r |= report_tb_scalar(tb, "loss/best", 7, 1700000001.25, 0.5);
    r |= report_tb_text(tb, "note", 0, 1700000002, "**found** \xc3\xa9");
    r |= report_tb_histogram(tb, "values", -1, 1700000003, values, 1000);
    r |= report_tb_image(tb, "plot", 300, 1700000004, png, sizeof(png));
    r |= report_tb_hparams(tb, 1700000005, hparams, 3, metrics, 2);
    r |= report_tb_hparams_end(tb, 1700000006, 1);
    r |= report_tb_flush(tb);
    return r | report_tb_close(tb);
}

static void sums(void **state)
{
    (void)state;
    static const uint8_t zeros[32];
    assert_int_equal(report_crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(masked("123456789", 9), 0xc78ab0e5);
    assert_int_equal(report_crc32c(zeros, 32), 0x8a9136aa);
    assert_int_equal(report_crc32c("", 0), 0);
    uint8_t bytes[100];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t from = 0; from < 9; from++) {
        for (size_t size = 0; from + size <= sizeof(bytes); size++) {
            uint32_t sum = report_crc32c(bytes + from, size);
            assert_int_equal(sum, report_crc32c_plain(0, bytes + from, size));
            uint32_t first = report_crc32c(bytes + from, size / 3);
            assert_int_equal(sum,
                             report_crc32c_more(first, bytes + from + size / 3, size - size / 3));
        }
    }
}

static void first_record(void **state)
{
    (void)state;
    static const uint8_t golden[] = {0x18, 0,    0,    0,    0,    0,    0,    0,    0xa3,
                                     0x7f, 0x4b, 0x22, 0x09, 0x00, 0x00, 0x20, 0x40, 0xfc,
                                     0x54, 0xd9, 0x41, 0x1a, 0x0d, 0x62, 0x72, 0x61, 0x69,
                                     0x6e, 0x2e, 0x45, 0x76, 0x65, 0x6e, 0x74, 0x3a, 0x32};
    struct report_tb *tb;
    unsigned files;
    const char *in = in_folder("some/new/run/");
    assert_int_equal(report_tb_open_at(in, 1700000000.5, &tb), 0);
    assert_int_equal(report_tb_close(tb), 0);
    assert_int_equal(read_events(in, &files), sizeof(golden) + 4);
    assert_memory_equal(file, golden, sizeof(golden));
    /* In the same second, in an earlier one: new files, after the older. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(report_tb_open_at(in, 1700000000 - i * 1000, &tb), 0);
        assert_int_equal(report_tb_scalar(tb, "a", 1, 2, i), 0);
        report_tb_close(tb);
        size_t size = read_events(in, &files);
        assert_int_equal(files, i + 2);
        struct field value = value_of_record(size, 1, "a", NULL);
        assert_true(as_float(need(&value, 2).value) == i);
    }
}

static void kinds(void **state)
{
    (void)state;
    const char *in = in_folder("kinds");
    assert_int_equal(write_all_kinds(in), 0);
    size_t size = read_events(in, NULL);
    struct field event, value = value_of_record(size, 1, "loss/best", &event), found;
    assert_true(as_double(need(&event, 1).value) == 1700000001.25);
    assert_int_equal(need(&event, 2).value, 7);
    assert_true(as_float(need(&value, 2).value) == 0.5f);

    value = value_of_record(size, 2, "note", &event);
    assert_false(find_field(event.data, event.value, 2, &found)); /* step 0 */
    struct field metadata = need(&value, 9), plugin = need(&metadata, 1), tensor = need(&value, 8);
    expect_text(need(&plugin, 1), "text");
    assert_int_equal(need(&metadata, 4).value, 2);
    assert_int_equal(need(&tensor, 1).value, 7);
    struct field shape = need(&tensor, 2), dim = need(&shape, 2);
    assert_int_equal(need(&dim, 1).value, 1);
    expect_text(need(&tensor, 8), "**found** \xc3\xa9");

    value = value_of_record(size, 4, "plot", &event);
    assert_int_equal(need(&event, 2).value, 300);
    struct field image = need(&value, 4);
    assert_int_equal(need(&image, 1).value, 3);
    assert_int_equal(need(&image, 2).value, 0x102);
    assert_int_equal(need(&image, 3).value, 3);
    assert_int_equal(need(&image, 4).value, sizeof(png));
    assert_memory_equal(need(&image, 4).data, png, sizeof(png));
}

/* The part of that number of the plugin's message in a record. */
static struct field hparams_of_record(size_t size, unsigned record, const char *tag,
                                      uint32_t number)
{
    struct field event, value = value_of_record(size, record, tag, &event),
                        tensor = need(&value, 8);
    struct field metadata = need(&value, 9), plugin = need(&metadata, 1),
                 content = need(&plugin, 2);
    expect_text(need(&plugin, 1), "hparams");
    assert_int_equal(need(&tensor, 1).value, 1);
    return need(&content, number);
}

static void parameters(void **state)
{
    (void)state;
    const char *in = in_folder("hparams");
    assert_int_equal(write_all_kinds(in), 0);
    size_t size = read_events(in, NULL);
    struct field experiment = hparams_of_record(size, 5, "_hparams_/experiment", 2);
    assert_true(as_double(need(&experiment, 3).value) == 1700000005);
    struct field info = need(&experiment, 4), metric = need(&experiment, 5),
                 name = need(&metric, 1);
    expect_text(need(&info, 1), "lr");
    assert_int_equal(need(&info, 4).value, 3);
    expect_text(need(&name, 2), "loss/best");
    struct field session = hparams_of_record(size, 6, "_hparams_/session_start_info", 3);
    assert_true(as_double(need(&session, 5).value) == 1700000005);
    struct field entry = need(&session, 1), value = need(&entry, 2);
    expect_text(need(&entry, 1), "lr");
    assert_true(as_double(need(&value, 2).value) == 0.25);
    struct field last = hparams_of_record(size, 7, "_hparams_/session_end_info", 4);
    assert_int_equal(need(&last, 1).value, 1);
    assert_true(as_double(need(&last, 2).value) == 1700000006);
    struct report_tb *tb;
    assert_int_equal(report_tb_open_at(in, 1, &tb), 0);
    char *large = calloc(1, REPORT_TB_TEXT_MAX + 1);
    memset(large, 'x', REPORT_TB_TEXT_MAX);
    const struct report_tb_hparam one = {"x", REPORT_TB_STRING, 0, large};
    assert_int_equal(report_tb_hparams(tb, 1, &one, 1, NULL, 0), -EMSGSIZE);
    large[200000] = 0; /* more than the buffer had so far */
    assert_int_equal(report_tb_hparams(tb, 1, &one, 1, NULL, 0), 0);
    report_tb_close(tb);
    free(large);
}

static double part(struct field packed, unsigned i)
{
    uint64_t bits;
    memcpy(&bits, packed.data + i * 8, 8);
    return as_double(bits);
}

static void histograms(void **state)
{
    (void)state;
    const char *in = in_folder("histograms");
    static const double same[3] = {4, 4, 4}, far[3] = {-1.7e308, 0, 1.7e308}, none[1] = {NAN};
    struct report_tb *tb;
    assert_int_equal(write_all_kinds(in), 0);
    struct field event, value = value_of_record(read_events(in, NULL), 3, "values", &event);
    struct field h = need(&value, 5), limits = need(&h, 6), bins = need(&h, 7);
    assert_int_equal(need(&event, 2).value, UINT64_MAX); /* step -1 */
    assert_true(as_double(need(&h, 1).value) == 0 && as_double(need(&h, 2).value) == 249.25);
    assert_true(as_double(need(&h, 3).value) == 998);
    assert_true(as_double(need(&h, 4).value) == 998 * 997 / 2 / 4.0);
    assert_true(as_double(need(&h, 5).value) == 997.0 * 998 * 1995 / 6 / 16);
    assert_int_equal(limits.value, REPORT_TB_BINS * 8);
    assert_int_equal(bins.value, REPORT_TB_BINS * 8);
    double total = 0;
    for (unsigned i = 0; i < REPORT_TB_BINS; i++) {
        total += part(bins, i);
        assert_true(part(bins, i) >= 33 && part(bins, i) <= 34);
        assert_true(fabs(part(limits, i) - 249.25 * (i + 1) / REPORT_TB_BINS) < 1e-9);
    }
    assert_true(total == 998 && part(limits, REPORT_TB_BINS - 1) == 249.25);

    in = in_folder("histograms2");
    assert_int_equal(report_tb_open(in, &tb), 0);
    assert_int_equal(report_tb_histogram(tb, "same", 0, 0, same, 3), 0);
    assert_int_equal(report_tb_histogram(tb, "far", 0, 0, far, 3), 0);
    assert_int_equal(report_tb_histogram(tb, "none", 0, 0, none, 1), 0);
    report_tb_close(tb);
    size_t size = read_events(in, NULL);
    value = value_of_record(size, 1, "same", NULL);
    h = need(&value, 5), limits = need(&h, 6), bins = need(&h, 7);
    assert_int_equal(bins.value, 8);
    assert_true(part(bins, 0) == 3 && part(limits, 0) == 4);
    value = value_of_record(size, 2, "far", NULL);
    h = need(&value, 5), limits = need(&h, 6), bins = need(&h, 7);
    assert_true(part(bins, 0) == 1 && part(bins, 15) == 1 && part(bins, REPORT_TB_BINS - 1) == 1);
    for (unsigned i = 1; i < REPORT_TB_BINS; i++)
        assert_true(isfinite(part(limits, i)) && part(limits, i) > part(limits, i - 1));
    value = value_of_record(size, 3, "none", NULL);
    h = need(&value, 5);
    assert_true(as_double(need(&h, 3).value) == 0 && need(&h, 7).value == 0);
}

/* Cut anywhere, what came whole before the cut is still read. */
static void torn_file(void **state)
{
    (void)state;
    const char *in = in_folder("torn");
    assert_int_equal(write_all_kinds(in), 0);
    size_t size = read_events(in, NULL), ends[8], at = 0, length;
    for (unsigned i = 0; i < 8; i++) {
        assert_non_null(next_record(size, &at, &length));
        ends[i] = at;
    }
    assert_int_equal(at, size);
    for (size_t cut = 0; cut < size; cut++) {
        unsigned n = 0, whole = 0;
        for (at = 0; next_record(cut, &at, &length);)
            n++;
        while (whole < 8 && ends[whole] <= cut)
            whole++;
        assert_int_equal(n, whole);
    }
}

/* A file that cannot grow: the error is returned, and nothing torn stays in the middle. */
static void full_disk(void **state)
{
    (void)state;
    const char *in = in_folder("full");
    struct report_tb *tb;
    struct rlimit was, small = {0};
    assert_int_equal(report_tb_open_at(in, 1, &tb), 0);
    size_t before = read_events(in, NULL);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    small = (struct rlimit){before + 10, was.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    int first = report_tb_scalar(tb, "a", 1, 2, 3);
    small.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &small);
    int second = report_tb_scalar(tb, "a", 1, 2, 3);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_int_equal(first, -ENOSPC);
    assert_int_equal(second, -EFBIG);
    assert_int_equal(read_events(in, NULL), before);
    assert_int_equal(report_tb_scalar(tb, "a", 5, 2, 3), 0);
    struct field event;
    value_of_record(read_events(in, NULL), 1, "a", &event);
    assert_int_equal(need(&event, 2).value, 5);
    report_tb_close(tb);
}

static void bad_input(void **state)
{
    (void)state;
    const char *in = in_folder("bad");
    struct report_tb *tb;
    char *large = malloc(REPORT_TB_TEXT_MAX + 2);
    memset(large, 'x', REPORT_TB_TEXT_MAX + 1);
    large[REPORT_TB_TEXT_MAX + 1] = 0;
    assert_int_equal(report_tb_open("/dev/null/run", &tb), -ENOTDIR);
    assert_int_equal(report_tb_open("", &tb), -ENOENT);
    assert_int_equal(report_tb_open_at(in, NAN, &tb), -EINVAL);
    assert_int_equal(report_tb_open(in, &tb), 0);
    assert_int_equal(report_tb_scalar(tb, "", 0, 0, 0), -EINVAL);
    assert_int_equal(report_tb_scalar(tb, large, 0, 0, 0), -EMSGSIZE);
    assert_int_equal(report_tb_text(tb, "t", 0, 0, large), -EMSGSIZE);
    assert_int_equal(report_tb_text(tb, "t", 0, 0, large + 1), 0);
    assert_int_equal(report_tb_image(tb, "i", 0, 0, large, 100), -EINVAL);
    assert_int_equal(report_tb_image(tb, "i", 0, 0, png, 20), -EINVAL);
    assert_int_equal(report_tb_close(tb), 0);
    assert_int_equal(report_tb_open(in_folder("utf8"), &tb), 0);
    assert_int_equal(report_tb_scalar(tb, "a\xff\xc3", 0, 0, 0), 0); /* cut in a letter */
    report_tb_close(tb);
    value_of_record(read_events(in_folder("utf8"), NULL), 1, "a??", NULL);
    free(large);
    char text[] = "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80";
    report_text_clean(text, sizeof(text) - 1);
    assert_string_equal(text, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 ?? ??? ????");
}

/* ---- For protoc ---- */

static int write_records(const char *in)
{
    char path[600];
    size_t at = 0, length;
    if (write_all_kinds(in) < 0)
        return 1;
    size_t size = read_events(in, NULL);
    const uint8_t *data;
    for (unsigned i = 0; (data = next_record(size, &at, &length)); i++) {
        snprintf(path, sizeof(path), "%s/%u.bin", in, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (fd < 0 || write(fd, data, length) != (ssize_t)length)
            return 1;
        close(fd);
    }
    return at != size;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums),       cmocka_unit_test(first_record), cmocka_unit_test(kinds),
        cmocka_unit_test(histograms), cmocka_unit_test(torn_file),    cmocka_unit_test(full_disk),
        cmocka_unit_test(bad_input),  cmocka_unit_test(parameters),
    };
    if (argc == 3 && !strcmp(argv[1], "records"))
        return write_records(argv[2]);
    if (!mkdtemp(folder))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    if (system(command))
        failed++;
    return failed;
}
