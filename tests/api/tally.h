#ifndef TESTS_API_TALLY_H
#define TESTS_API_TALLY_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* What happened is counted where the test can see it: a file that both map. */
#define TALLY_MAX 4096
struct tally {
    int64_t count[TALLY_MAX];
};
static struct tally *tally_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct tally)))
        abort();
    void *at = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        abort();
    return at;
}

#endif
