/* `rtc attach FOLDER`: what a detached driver prints, from its beginning, for as long as it runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "runtime/cli/cli.h"

/* Everything that came since; false when the file cannot be read. */
static bool copy_new(int fd)
{
    char block[1 << 16];
    ssize_t n;
    while ((n = read(fd, block, sizeof(block))) > 0)
        fwrite(block, 1, (size_t)n, stdout);
    fflush(stdout);
    return n == 0;
}

/* The driver holds a lock for as long as it lives. */
static bool lives(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB))
        return errno == EWOULDBLOCK;
    flock(fd, LOCK_UN);
    return false;
}

static int exit_code_of(const char *folder)
{
    char path[4200];
    int code = -1;
    snprintf(path, sizeof(path), "%s/driver.exit", folder);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%d", &code) != 1)
        code = -1;
    if (file)
        fclose(file);
    return code;
}

static int open_in(const char *folder, const char *name)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int rtci_cli_attach(int argc, char **argv)
{
    char folder[4096];
    if (argc != 2 || !strcmp(argv[1], "--help")) {
        fprintf(argc == 2 ? stdout : stderr,
                "usage: rtc attach FOLDER\n\n"
                "Shows what a driver that was started with --detach prints, until it ends. FOLDER\n"
                "is its run's, or the file it was started with. Ctrl-C leaves it running.\n");
        return argc == 2 ? 0 : 2;
    }
    snprintf(folder, sizeof(folder), "%s", argv[1]);
    size_t len = strlen(folder);
    if (len > 5 && !strcmp(folder + len - 5, ".yaml"))
        folder[len - 5] = 0;
    int log = open_in(folder, "driver.log"), pid = open_in(folder, "driver.pid");
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (log < 0 || pid < 0 || watch < 0) {
        fprintf(stderr, "rtc attach: no driver was detached in %s\n", folder);
        return 1;
    }
    inotify_add_watch(watch, folder, IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE);
    for (bool going = true; going;) {
        going = lives(pid); /* looked at first: what it printed last is copied below */
        if (!copy_new(log))
            break;
        char events[4096];
        struct pollfd fd = {.fd = watch, .events = POLLIN};
        if (going && poll(&fd, 1, 500) > 0 && read(watch, events, sizeof(events)) < 0)
            break;
    }
    int code = exit_code_of(folder);
    if (code < 0)
        fprintf(stderr, "rtc attach: the driver died without a word (killed?); started again with "
                        "the same command it goes on where it was\n");
    return code < 0 ? 1 : code;
}
