#include <errno.h>
#include <fcntl.h>
#include <rtc/error.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/net/sockets.h"

void rtci_key_text(const uint8_t key[RTCI_KEY_BYTES], char ret_text[65])
{
    sodium_bin2hex(ret_text, 65, key, RTCI_KEY_BYTES);
}

struct place { /* where the file is, and where to say what is wrong with it */
    const char *dir, *name;
    char *text;
    size_t size;
    int at;
};

static int fail(const struct place *p, int code, const char *what)
{
    return rtci_net_sentence(p->text, p->size, code, "%s/%s: %s", p->dir, p->name, what);
}

static int fail_os(const struct place *p, const char *what)
{
    return rtci_net_sentence(p->text, p->size, RTC_E_OS, "%s/%s %s: %s", p->dir, p->name, what,
                             strerror(errno));
}

static int open_dir(struct place *p)
{
    struct stat st;
    if (mkdir(p->dir, 0700) != 0 && errno != EEXIST)
        return fail_os(p, "cannot be made, for its directory cannot");
    p->at = open(p->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (p->at < 0 && (errno == ELOOP || errno == ENOTDIR))
        return fail(p, RTC_E_DENIED, "its directory is a symbolic link, or no directory");
    if (p->at < 0 || fstat(p->at, &st) != 0)
        return fail_os(p, "cannot be read, for its directory cannot");
    if (st.st_uid != geteuid())
        return fail(p, RTC_E_DENIED, "its directory belongs to somebody else");
    if (st.st_mode & 077)
        return fail(p, RTC_E_DENIED, "others may use its directory; chmod 700 it");
    return 0;
}

static int check_file(const struct place *p, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_os(p, "cannot be read");
    if (!S_ISREG(st.st_mode))
        return fail(p, RTC_E_DENIED, "it is no file");
    if (st.st_uid != geteuid())
        return fail(p, RTC_E_DENIED, "it belongs to somebody else");
    if (st.st_mode & 077)
        return fail(p, RTC_E_DENIED,
                    "others may read or write it; whoever has read it is who you are. chmod 600 "
                    "it, or remove it for a new one");
    return st.st_size == sizeof(struct rtci_keys) ? 0 : fail(p, RTC_E_CORRUPT, "it is damaged");
}

/* RTC_E_NOT_FOUND: there is none. */
static int read_keys(const struct place *p, struct rtci_keys *ret_keys)
{
    uint8_t public_key[RTCI_KEY_BYTES];
    int fd = openat(p->at, p->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return RTC_E_NOT_FOUND;
    if (fd < 0 && errno == ELOOP)
        return fail(p, RTC_E_DENIED, "it is a symbolic link");
    if (fd < 0)
        return fail_os(p, "cannot be opened");
    int rc = check_file(p, fd);
    if (rc == 0 && read(fd, ret_keys, sizeof(*ret_keys)) != (ssize_t)sizeof(*ret_keys))
        rc = fail_os(p, "cannot be read");
    close(fd);
    if (rc == 0 && (crypto_scalarmult_base(public_key, ret_keys->secret_key) != 0 ||
                    memcmp(public_key, ret_keys->public_key, sizeof(public_key)) != 0))
        rc = fail(p, RTC_E_CORRUPT, "it is damaged");
    return rc;
}

/* Two that begin at once: the file of one stays, and both read that. */
static int make_keys(const struct place *p)
{
    struct rtci_keys keys;
    char temporary[96];
    snprintf(temporary, sizeof(temporary), ".key-%08x%08x", randombytes_random(),
             randombytes_random());
    int fd = openat(p->at, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_os(p, "cannot be written");
    crypto_box_keypair(keys.public_key, keys.secret_key);
    bool ok = fchmod(fd, 0600) == 0 && write(fd, &keys, sizeof(keys)) == (ssize_t)sizeof(keys) &&
              fsync(fd) == 0;
    sodium_memzero(&keys, sizeof(keys));
    close(fd);
    if (ok) {
        ok = renameat2(p->at, temporary, p->at, p->name, RENAME_NOREPLACE) == 0 || errno == EEXIST;
        if (!ok && (errno == EINVAL || errno == ENOSYS)) /* not every file system can */
            ok = renameat(p->at, temporary, p->at, p->name) == 0;
    }
    int rc = ok ? 0 : fail_os(p, "cannot be written");
    unlinkat(p->at, temporary, 0); /* where it still is */
    RTCI_IGNORE(fsync(p->at));
    return rc;
}

int rtci_keys_open(const char *dir, const char *name, struct rtci_keys *ret_keys, char *ret_text,
                   size_t size)
{
    char file[80];
    struct place p = {.dir = dir, .name = file, .text = ret_text, .size = size, .at = -1};
    if ((size_t)snprintf(file, sizeof(file), "%s.key", name) >= sizeof(file) || strchr(name, '/'))
        return fail(&p, RTC_E_INVALID, "not a name");
    if (sodium_init() < 0)
        return fail(&p, RTC_E_OS, "libsodium does not start");
    int rc = open_dir(&p);
    if (rc == 0)
        rc = read_keys(&p, ret_keys);
    if (rc == RTC_E_NOT_FOUND) {
        rc = make_keys(&p);
        rc = rc == 0 ? read_keys(&p, ret_keys) : rc;
    }
    if (p.at >= 0)
        close(p.at);
    if (rc != 0)
        sodium_memzero(ret_keys, sizeof(*ret_keys));
    return rc;
}
