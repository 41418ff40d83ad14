#include "actors/run/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void run_file_begin(struct run_file *file, const char *path)
{
    *file = (struct run_file){.fd = -1};
    int n = snprintf(file->path, sizeof(file->path), "%s", path);
    int m = snprintf(file->temp, sizeof(file->temp), "%s.tmp", path);
    if (n < 0 || m >= (int)sizeof(file->temp)) {
        file->error = -ENAMETOOLONG;
        return;
    }
    file->fd = open(file->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->fd < 0)
        file->error = -errno;
}

void run_file_put(struct run_file *file, const void *data, size_t size)
{
    for (const char *at = data; size && !file->error;) {
        ssize_t n = write(file->fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            file->error = n < 0 ? -errno : -ENOSPC;
            return;
        }
        at += n;
        size -= (size_t)n;
    }
}

/* The name is on the disk when its folder is. */
static int sync_folder(const char *path)
{
    char folder[RUN_PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) && errno != EINVAL ? -errno : 0; /* some file systems cannot */
    close(fd);
    return rc;
}

int run_file_commit(struct run_file *file)
{
    if (!file->error && fsync(file->fd))
        file->error = -errno;
    if (file->fd >= 0 && close(file->fd) && !file->error)
        file->error = -errno;
    file->fd = -1;
    if (!file->error && rename(file->temp, file->path))
        file->error = -errno;
    if (file->error) {
        if (file->temp[0])
            unlink(file->temp);
        return file->error;
    }
    return sync_folder(file->path);
}

void run_file_abandon(struct run_file *file)
{
    if (!file->error)
        file->error = -ECANCELED;
    run_file_commit(file);
}
