/* The folder of a test of the reports, and what is in it. */
#ifndef TESTS_DE_REPORT_FILES_H
#define TESTS_DE_REPORT_FILES_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

static char folder[] = "/tmp/test_report.XXXXXX";
static uint8_t file[FILE_MAX];

static inline const char *in_folder(const char *name)
{
    static char path[2][512];
    static unsigned turn;
    char *p = path[turn++ % 2];
    snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
    return p;
}

static inline size_t read_file(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, file, sizeof(file));
    if (fd >= 0)
        close(fd);
    return n < 0 ? 0 : (size_t)n;
}

#endif
