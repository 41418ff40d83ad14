#include "actors/report/folders.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

int report_make_folders(const char *folder)
{
    char path[PATH_MAX];
    size_t size = strnlen(folder, sizeof(path));
    if (!size || size == sizeof(path))
        return size ? -ENAMETOOLONG : -ENOENT;
    memcpy(path, folder, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] && path[i] != '/')
            continue;
        char was = path[i];
        path[i] = 0;
        if (mkdir(path, 0777) && errno != EEXIST)
            return -errno;
        path[i] = was;
    }
    struct stat st;
    return stat(folder, &st) ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}
