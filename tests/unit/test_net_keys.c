/* Key files, join lines, tokens. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/net/net.h"

#include <rtc/error.h>

struct place {
    char dir[40], file[64], link[64], text[RTCI_TEXT_MAX];
    struct rtci_keys keys;
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    if (!p)
        return -1;
    snprintf(p->dir, sizeof(p->dir), "/tmp/rtc-test-keys-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    rmdir(p->dir); /* rtci_keys_open makes it */
    snprintf(p->file, sizeof(p->file), "%s/node.key", p->dir);
    snprintf(p->link, sizeof(p->link), "%s.link", p->dir);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    unlink(p->file);
    unlink(p->link);
    rmdir(p->file);
    rmdir(p->dir);
    free(p);
    return 0;
}

static int open_at(struct place *p, const char *dir)
{
    p->text[0] = '\0';
    return rtci_keys_open(dir, "node", &p->keys, p->text, sizeof(p->text));
}

static void refused(struct place *p, const char *dir, int code, const char *word)
{
    static const uint8_t zero[RTCI_KEY_BYTES];
    assert_int_equal(open_at(p, dir), code);
    if (!strstr(p->text, word))
        fail_msg("'%s' does not say '%s'", p->text, word);
    assert_memory_equal(p->keys.secret_key, zero, sizeof(zero));
}

static void keys_are_made_and_read(void **state)
{
    struct place *p = *state;
    struct stat st;
    assert_int_equal(open_at(p, p->dir), 0);
    struct rtci_keys first = p->keys;
    assert_int_equal(stat(p->dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(p->file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(open_at(p, p->dir), 0);
    assert_memory_equal(&first, &p->keys, sizeof(first));
    assert_memory_not_equal(first.public_key, first.secret_key, RTCI_KEY_BYTES);
}

static void open_keys_are_refused(void **state)
{
    struct place *p = *state;
    assert_int_equal(open_at(p, p->dir), 0);
    for (mode_t bit = 1; bit < 0100; bit <<= 1) {
        assert_int_equal(chmod(p->file, 0600 | bit), 0);
        refused(p, p->dir, RTC_E_DENIED, "chmod 600");
        assert_int_equal(chmod(p->file, 0600), 0);
        assert_int_equal(chmod(p->dir, 0700 | bit), 0);
        refused(p, p->dir, RTC_E_DENIED, "chmod 700");
        assert_int_equal(chmod(p->dir, 0700), 0);
    }
    assert_int_equal(open_at(p, p->dir), 0);
}

static void links_are_refused(void **state)
{
    struct place *p = *state;
    assert_int_equal(open_at(p, p->dir), 0);
    assert_int_equal(symlink(p->dir, p->link), 0);
    refused(p, p->link, RTC_E_DENIED, "symbolic link");
    unlink(p->link);
    assert_int_equal(rename(p->file, p->link), 0);
    assert_int_equal(symlink(p->link, p->file), 0);
    refused(p, p->dir, RTC_E_DENIED, "symbolic link");
}

static void damaged_keys_are_refused(void **state)
{
    struct place *p = *state;
    assert_int_equal(open_at(p, p->dir), 0);
    int fd = open(p->file, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 3), 1);
    refused(p, p->dir, RTC_E_CORRUPT, "damaged");
    assert_int_equal(ftruncate(fd, 63), 0);
    refused(p, p->dir, RTC_E_CORRUPT, "damaged");
    close(fd);
    unlink(p->file);
    assert_int_equal(mkdir(p->file, 0700), 0);
    refused(p, p->dir, RTC_E_DENIED, "no file");
    assert_int_equal(rtci_keys_open(p->dir, "../x", &p->keys, p->text, sizeof(p->text)),
                     RTC_E_INVALID);
}

/* ---- Join lines ---- */

static void parse(const char *line, struct rtci_join *join)
{
    char text[RTCI_TEXT_MAX] = "";
    if (rtci_join_parse(line, join, text, sizeof(text)) != 0)
        fail_msg("%s: %s", line, text);
}

static void join_lines(void **state)
{
    (void)state;
    static const char *const addresses[] = {"head:1", "10.9.0.1:6380,my-host.example.org:65535",
                                            "[fe80::1%2]:80,[::1]:6380,h_1:1"};
    for (size_t i = 0; i < 3; i++) {
        struct rtci_join join = {0}, got;
        char line[1024], text[RTCI_TEXT_MAX], cut[1040];
        snprintf(join.addresses, sizeof(join.addresses), "%s", addresses[i]);
        for (uint8_t k = 0; k < RTCI_KEY_BYTES; k++)
            join.server[k] = (uint8_t)(k * 7 + 1);
        rtci_token_new(join.token);
        rtci_join_format(&join, line, sizeof(line));
        parse(line, &got);
        assert_memory_equal(&join, &got, sizeof(got));
        for (size_t n = 0; n < strlen(line); n++) {
            snprintf(cut, sizeof(cut), "%.*s", (int)n, line);
            text[0] = '\0';
            assert_int_equal(rtci_join_parse(cut, &got, text, sizeof(text)), RTC_E_INVALID);
            assert_true(strlen(text) > 10);
        }
        snprintf(cut, sizeof(cut), "%s\n", line);
        parse(cut, &got);
        snprintf(cut, sizeof(cut), "%sa", line);
        assert_int_equal(rtci_join_parse(cut, &got, text, sizeof(text)), RTC_E_INVALID);
    }
}

static void wrong_addresses(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        "",      "host",     "host:",    ":80",   "host:0",  "host:65536", "host:1x",  "a:1,",
        ",a:1",  "a:1,,b:2", "[::1:80",  "[]:80", "[::1]80", "a b:80",     "a:80:90",  "[x]:1",
        "a/b:1", "[::1]",    "a:999999", "a:-1",  "a:80,b",  "a:+1",       "tcp://a:1"};
    struct rtci_join join = {0}, got;
    rtci_token_new(join.token);
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        char line[1024], text[RTCI_TEXT_MAX] = "";
        snprintf(join.addresses, sizeof(join.addresses), "%s", addresses[i]);
        rtci_join_format(&join, line, sizeof(line));
        if (rtci_join_parse(line, &got, text, sizeof(text)) != RTC_E_INVALID)
            fail_msg("'%s' was taken", addresses[i]);
        assert_true(strlen(text) > 5);
    }
}

static void tokens(void **state)
{
    (void)state;
    char one[RTCI_TOKEN_MAX], two[RTCI_TOKEN_MAX], id[16];
    uint8_t hash[32], again[32];
    rtci_token_new(one);
    rtci_token_new(two);
    assert_int_equal(strlen(one), 41);
    assert_string_not_equal(one, two);
    assert_true(rtci_token_split(one, id, hash));
    assert_int_equal(strlen(id), 8);
    assert_memory_equal(id, one, 8);
    assert_true(rtci_token_split(one, id, again));
    assert_memory_equal(hash, again, 32);
    assert_true(rtci_token_split(two, id, again));
    assert_memory_not_equal(hash, again, 32);
    one[40] = '\0';
    assert_false(rtci_token_split(one, id, hash));
    assert_false(rtci_token_split("", id, hash));
    two[8] = ':';
    assert_false(rtci_token_split(two, id, hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_made_and_read, make_place, remove_place),
        cmocka_unit_test_setup_teardown(open_keys_are_refused, make_place, remove_place),
        cmocka_unit_test_setup_teardown(links_are_refused, make_place, remove_place),
        cmocka_unit_test_setup_teardown(damaged_keys_are_refused, make_place, remove_place),
        cmocka_unit_test(join_lines),
        cmocka_unit_test(wrong_addresses),
        cmocka_unit_test(tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
