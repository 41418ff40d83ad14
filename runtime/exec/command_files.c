/* The private folder of a command: files written before, read back and removed after. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/exec/exec.h"

/* dir/name, for names that stay inside dir. */
static int path_of(const char *dir, const struct rtc_value *name, char *path, size_t size)
{
    const char *text = name->as.bytes.data;
    size_t len = name->as.bytes.size;
    if (name->type != RTC_STRING || len == 0 || text[0] == '/' || memchr(text, '\0', len))
        return rtci_error(RTC_E_INVALID,
                          "the name of a file of a command is relative and not empty");
    for (size_t i = 0; i < len;) {
        const char *slash = memchr(text + i, '/', len - i);
        size_t part = slash ? (size_t)(slash - text) - i : len - i;
        if (part == 2 && memcmp(text + i, "..", 2) == 0)
            return rtci_error(RTC_E_INVALID, "the file name %.*s leaves the folder of the command",
                              (int)len, text);
        i += part + 1;
    }
    int n = snprintf(path, size, "%s/%.*s", dir, (int)len, text);
    if (n < 0 || (size_t)n >= size)
        return rtci_error(RTC_E_TOO_LARGE, "a file name of %zu bytes is too long", len);
    return 0;
}

static void make_parents(const char *dir, char *path)
{
    for (char *at = path + strlen(dir) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
}

bool rtci_write_all(int fd, const void *data, size_t size)
{
    for (size_t off = 0; off < size;) {
        ssize_t n = write(fd, (const char *)data + off, size - off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        off += (size_t)n;
    }
    return true;
}

static int write_file(const char *path, const void *data, size_t size)
{
    /* Executable: scripts and programs may be among the files. */
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    bool ok = fd >= 0 && rtci_write_all(fd, data, size);
    int err = errno; /* of the write: close() may have another */
    if (fd >= 0 && close(fd) < 0 && ok) {
        ok = false;
        err = errno;
    }
    if (!ok)
        return rtci_error(RTC_E_OS, "writing %s: %s", path, strerror(err));
    return 0;
}

static int content_of(struct rtc *rtc, const struct rtc_value *value, const void **ret_data,
                      size_t *ret_size)
{
    struct rtc_value v = *value;
    struct rtc_array array;
    if (v.type == RTC_REF)
        RTCI_TRY(rtc_get(rtc, v.as.ref, RTC_FOREVER, &v));
    if (v.type == RTC_STRING || v.type == RTC_BYTES) {
        *ret_data = v.as.bytes.data;
        *ret_size = v.as.bytes.size;
        return 0;
    }
    if (v.type != RTC_ARRAY)
        return rtci_error(RTC_E_TYPE,
                          "the content of a file is str, bytes, an array or a reference to one, "
                          "not %s",
                          rtc_type_name(v.type));
    RTCI_TRY(rtc_value_array(&v, &array));
    *ret_data = array.data;
    *ret_size = array.size;
    return 0;
}

int rtci_files_write(const char *dir, const struct rtc_value *files, struct rtc *rtc)
{
    size_t n = rtc_value_len(files);
    char path[4096];
    for (size_t i = 0; i < n; i++) {
        struct rtc_value name, value;
        const void *data;
        size_t size;
        RTCI_TRY(rtc_value_at(files, 2 * i, &name));
        RTCI_TRY(rtc_value_at(files, 2 * i + 1, &value));
        RTCI_TRY(path_of(dir, &name, path, sizeof(path)));
        RTCI_TRY(content_of(rtc, &value, &data, &size));
        make_parents(dir, path);
        RTCI_TRY(write_file(path, data, size));
    }
    return 0;
}

static int read_all(const char *path, void **ret_data, size_t *ret_size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0; /* it was not made: it is not in the result */
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return 0;
    }
    size_t size = (size_t)st.st_size, off = 0;
    char *data = malloc(size + 1);
    while (data && off < size) {
        ssize_t n = read(fd, data + off, size - off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        off += (size_t)n;
    }
    close(fd);
    if (!data)
        return rtci_error(RTC_E_NOMEM, "out of memory for the %zu bytes of %s", size, path);
    *ret_data = data;
    *ret_size = off;
    return 0;
}

int rtci_files_collect(const char *dir, const struct rtc_value *names, void **data, size_t *size)
{
    size_t n = rtc_value_len(names);
    char path[4096];
    for (size_t i = 0; i < n; i++) {
        struct rtc_value name;
        RTCI_TRY(rtc_value_at(names, i, &name));
        RTCI_TRY(path_of(dir, &name, path, sizeof(path)));
        RTCI_TRY(read_all(path, &data[i], &size[i]));
    }
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

void rtci_files_remove(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
