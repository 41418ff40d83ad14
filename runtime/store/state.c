#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "runtime/base/bounds.h"
#include "runtime/store/internal.h"
#include <rtc/error.h>

#define EPOCH_SKIP 1000 /* more than the starts that a power failure can make forgotten */

static uint64_t free_bytes(const char *dir)
{
    struct statvfs vfs;
    return statvfs(dir, &vfs) == 0 ? (uint64_t)vfs.f_bavail * vfs.f_frsize : UINT64_MAX;
}

int rtci_state_reason(const char *dir, int rc)
{
    return rc == EIO && free_bytes(dir) < RTCI_MIB ? ENOSPC : rc;
}

int rtci_state_say(const char *dir, const char *what, int rc, char *text, size_t size)
{
    rc = rtci_state_reason(dir, rc);
    if (rc == ENOSPC || rc == EDQUOT || rc == MDB_MAP_FULL) {
        uint64_t room = free_bytes(dir);
        snprintf(text, size,
                 "cannot %s in the state directory %s: the disk is full (%.1f MiB are free%s); "
                 "remove something there, or use a state directory on another disk",
                 what, dir, room == UINT64_MAX ? 0.0 : (double)room / (double)RTCI_MIB,
                 rc == EDQUOT ? ", but the user's quota is used up" : "");
        return RTC_E_DISK;
    }
    const char *advice = "";
    if (rc == EACCES || rc == EPERM || rc == EROFS)
        advice = "; use a state directory that this user can write";
    else if (rc == ENOTDIR || rc == EEXIST)
        advice = "; a file of that name is in the way: remove it, or use another state directory";
    snprintf(text, size, "cannot %s in the state directory %s: %s%s", what, dir, mdb_strerror(rc),
             advice);
    return rc == ENOMEM ? RTC_E_NOMEM : RTC_E_DISK;
}

static int make_dir(const char *path)
{
    struct stat st;
    if (mkdir(path, 0700) == 0)
        return 0;
    int err = errno;
    if (stat(path, &st) == 0) /* a read-only parent says EROFS also for what is there */
        return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    return err;
}

static int make_dirs(const char *dir)
{
    char path[RTCI_STORE_PATH];
    size_t len = strlen(dir);
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (path[i] != '/')
            continue;
        path[i] = 0;
        int rc = make_dir(path);
        if (rc)
            return rc;
        path[i] = '/';
    }
    int rc = make_dir(dir);
    const char *kinds[] = {"journal", "tables"};
    for (int i = 0; rc == 0 && i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, kinds[i]);
        rc = make_dir(path);
    }
    return rc;
}

int rtci_state_open(const char *dir, int *ret_lock, char *reterr, size_t reterr_size)
{
    char path[RTCI_STORE_PATH], pid[24] = "";
    int rc = make_dirs(dir);
    if (rc)
        return rtci_state_say(dir, "make what is needed", rc, reterr, reterr_size);
    snprintf(path, sizeof(path), "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return rtci_state_say(dir, "create the lock file", errno, reterr, reterr_size);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK) {
            rc = rtci_state_say(dir, "take the lock", errno, reterr, reterr_size);
            close(fd);
            return rc;
        }
        ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = 0;
        pid[strcspn(pid, "\n")] = 0;
        snprintf(reterr, reterr_size,
                 "another head (pid %s) is running with the state directory %s; stop it first, or "
                 "use another state directory",
                 *pid ? pid : "unknown", dir);
        close(fd);
        return RTC_E_BUSY;
    }
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    /* Overwritten in place: no moment without a pid, and no new block on a full disk. */
    if (pwrite(fd, pid, (size_t)n, 0) != n || ftruncate(fd, n) < 0) {
        rc = rtci_state_say(dir, "write the lock file", errno, reterr, reterr_size);
        close(fd);
        return rc;
    }
    *ret_lock = fd;
    return 0;
}

void rtci_state_boot(char *boot)
{
    char text[RTCI_BOOT_LEN] = "";
    memset(boot, 0, RTCI_BOOT_LEN);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    memcpy(boot, text, sizeof(text));
    close(fd);
}

static int write_epoch(const char *dir, const char *text, bool sync)
{
    char path[RTCI_STORE_PATH], tmp[RTCI_STORE_PATH];
    snprintf(path, sizeof(path), "%s/epoch", dir);
    snprintf(tmp, sizeof(tmp), "%s/epoch.new", dir);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    ssize_t len = (ssize_t)strlen(text), n = write(fd, text, (size_t)len);
    int rc = n == len ? 0 : n < 0 ? errno : ENOSPC;
    if (rc == 0 && sync && fsync(fd) < 0)
        rc = errno;
    if (close(fd) < 0 && rc == 0)
        rc = errno;
    if (rc == 0 && rename(tmp, path) < 0)
        rc = errno;
    if (rc)
        unlink(tmp);
    else if (sync)
        rc = rtci_state_sync_dir(dir, ".");
    return rc;
}

/* A start must be quick, fsync is not. So only the first start after a boot of the machine syncs;
 * it also skips more numbers than starts can be forgotten by a power failure. */
int rtci_state_epoch(const char *dir, uint64_t *ret_epoch, bool *ret_rebooted, char *reterr,
                     size_t reterr_size)
{
    char path[RTCI_STORE_PATH], boot[RTCI_BOOT_LEN], old_boot[RTCI_BOOT_LEN] = "", text[96];
    uint64_t old = 0;
    snprintf(path, sizeof(path), "%s/epoch", dir);
    rtci_state_boot(boot);
    FILE *file = fopen(path, "re");
    if (!file && errno != ENOENT)
        return rtci_state_say(dir, "read the file epoch", errno, reterr, reterr_size);
    if (file) {
        int n = fscanf(file, "%" SCNu64 " %39s", &old, old_boot);
        fclose(file);
        if (n < 1) {
            snprintf(reterr, reterr_size,
                     "%s does not hold the number of starts of the head; write a number into it "
                     "that is larger than any before",
                     path);
            return RTC_E_DISK;
        }
    }
    bool same = *boot && strcmp(boot, old_boot) == 0;
    *ret_epoch = old + (same || !old ? 1 : EPOCH_SKIP);
    *ret_rebooted = old && !same;
    snprintf(text, sizeof(text), "%" PRIu64 " %s\n", *ret_epoch, boot);
    int rc = write_epoch(dir, text, !same);
    if (rc)
        return rtci_state_say(dir, "count the start of the head", rc, reterr, reterr_size);
    return 0;
}

void rtci_state_path(char *path, const char *dir, const char *kind, uint64_t gen)
{
    snprintf(path, RTCI_STORE_PATH, "%s/%s/%012" PRIu64 ".mdb", dir, kind, gen);
}

int rtci_state_sync_dir(const char *dir, const char *kind)
{
    char path[RTCI_STORE_PATH];
    snprintf(path, sizeof(path), "%s/%s", dir, kind);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int rc = fsync(fd) < 0 && errno != EINVAL ? errno : 0;
    close(fd);
    return rc;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int rtci_state_list(const char *dir, const char *kind, struct rtci_gens *ret_gens)
{
    char path[RTCI_STORE_PATH];
    struct rtci_gens gens = {0};
    snprintf(path, sizeof(path), "%s/%s", dir, kind);
    DIR *handle = opendir(path);
    if (!handle)
        return errno;
    struct dirent *entry;
    int rc = 0;
    while (rc == 0 && (entry = readdir(handle))) {
        char *end;
        uint64_t gen = strtoull(entry->d_name, &end, 10);
        if (strcmp(end, ".new") == 0 && end != entry->d_name)
            unlinkat(dirfd(handle), entry->d_name, 0); /* its writer died before it was whole */
        if (end == entry->d_name || strcmp(end, ".mdb") != 0)
            continue;
        uint64_t *grown = realloc(gens.gens, (gens.count + 1) * sizeof(*grown));
        if (!grown)
            rc = ENOMEM;
        else
            gens.gens = grown, gens.gens[gens.count++] = gen;
    }
    closedir(handle);
    if (rc)
        free(gens.gens);
    if (rc)
        return rc;
    if (gens.count)
        qsort(gens.gens, gens.count, sizeof(*gens.gens), compare);
    *ret_gens = gens;
    return 0;
}
