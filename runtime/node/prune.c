#include "runtime/node/prune.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_FILES 512

struct cached {
    char path[400];
    uint64_t size;
    int64_t used_s;
};

static int older(const void *a, const void *b)
{
    const struct cached *x = a, *y = b;
    return x->used_s < y->used_s ? -1 : x->used_s > y->used_s;
}

void rtci_prune(const char *dir, uint64_t most)
{
    static struct cached all[CACHE_FILES];
    char path[sizeof(all[0].path)];
    uint64_t sum = 0;
    size_t n = 0;
    struct dirent *entry;
    struct stat st;
    DIR *folder = opendir(dir);
    while (folder && n < CACHE_FILES && (entry = readdir(folder))) {
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >= sizeof(path) ||
            lstat(path, &st) || !S_ISREG(st.st_mode))
            continue;
        memcpy(all[n].path, path, sizeof(path));
        all[n].size = (uint64_t)st.st_size;
        all[n++].used_s = st.st_atime > st.st_mtime ? st.st_atime : st.st_mtime;
        sum += (uint64_t)st.st_size;
    }
    if (folder)
        closedir(folder);
    qsort(all, n, sizeof(all[0]), older);
    for (size_t i = 0; i < n && (sum > most || n - i >= CACHE_FILES); i++) {
        unlink(all[i].path);
        sum -= all[i].size;
    }
}
