/* The newest state of a file, when a kill came while it was written in place.
 *
 * An LMDB file begins with two pages that say where its tree is, written in turn; the one with the
 * greater transaction number counts. In the map they are written by plain stores, the number last,
 * but on x86 nothing keeps a compiler from moving it up: in Debian's library it stands before the
 * two words with the count and the root of the table. Killed in between, a process leaves a page
 * that is the newest by its number and has the root of two commits before, so that a commit which
 * was acknowledged seems never to have been.
 *
 * Files here are only appended to, so the count of a newer page is the greater one. Where it is
 * not, its number is taken back: then the page before counts, which is whole. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "runtime/store/internal.h"

#define LMDB_MAGIC   0xBEEFC0DEu
#define LMDB_VERSION 1u

/* LMDB's format of data, version 1, on machines of 64 bits. */
struct table {
    uint32_t pad; /* of the first table of page 0: the size of pages */
    uint16_t flags, depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};
struct meta_page {
    uint8_t page_header[16];
    uint32_t magic, version;
    uint64_t address, map_size;
    struct table free, main;
    uint64_t last_page, number;
};
_Static_assert(offsetof(struct meta_page, number) == 0x90, "as LMDB lays it out");

static bool is_meta(const struct meta_page *page)
{
    return page->magic == LMDB_MAGIC && page->version == LMDB_VERSION;
}

static int take_back(const char *path, off_t at)
{
    const uint64_t none = 0;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t n = pwrite(fd, &none, sizeof(none), at);
    int rc = n == (ssize_t)sizeof(none) ? 0 : n < 0 ? errno : EIO;
    close(fd);
    return rc;
}

int rtci_file_mend(const char *path)
{
    struct meta_page page[2];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    bool whole =
        pread(fd, &page[0], sizeof(page[0]), 0) == (ssize_t)sizeof(page[0]) && is_meta(&page[0]);
    off_t second = whole ? (off_t)page[0].free.pad : 0;
    whole = whole && pread(fd, &page[1], sizeof(page[1]), second) == (ssize_t)sizeof(page[1]) &&
            is_meta(&page[1]);
    close(fd);
    if (!whole)
        return 0; /* a new file, or one that LMDB itself will refuse */
    int newest = page[1].number > page[0].number;
    if (page[newest].main.entries >= page[!newest].main.entries)
        return 0;
    return take_back(path, (newest ? second : 0) + (off_t)offsetof(struct meta_page, number));
}
