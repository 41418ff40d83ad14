#include "actors/report/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static char exit_path[4200];

static int open_in(const char *folder, const char *name, int flags)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return open(path, flags | O_CREAT | O_CLOEXEC, 0644);
}

const char *report_detach(const char *folder)
{
    static char why[4300];
    char pid_text[32];
    int pid = open_in(folder, "driver.pid", O_RDWR);
    /* The lock is what tells that it lives; it goes over to the child, and dies with it. */
    if (pid >= 0 && flock(pid, LOCK_EX | LOCK_NB)) {
        snprintf(why, sizeof(why), "a driver runs in %.4000s already: rtc attach shows it", folder);
        return why;
    }
    int log = pid < 0 ? -1 : open_in(folder, "driver.log", O_WRONLY | O_TRUNC | O_APPEND);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log < 0 || pid < 0 || nothing < 0) {
        snprintf(why, sizeof(why), "%.4000s: %s", folder, strerror(errno));
        return why;
    }
    snprintf(exit_path, sizeof(exit_path), "%s/driver.exit", folder);
    unlink(exit_path);
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        snprintf(why, sizeof(why), "fork: %s", strerror(errno));
        return why;
    }
    if (child > 0) {
        printf("it runs as process %d; `rtc attach %s` follows it, kill -TERM %d stops it\n",
               (int)child, folder, (int)child);
        fflush(stdout);
        _exit(0);
    }
    setsid();
    dup2(nothing, 0);
    dup2(log, 1);
    dup2(log, 2);
    close(nothing);
    close(log);
    int n = snprintf(pid_text, sizeof(pid_text), "%d\n", (int)getpid());
    if (ftruncate(pid, 0) || write(pid, pid_text, (size_t)n) != n) {
        snprintf(why, sizeof(why), "%.4000s/driver.pid: %s", folder, strerror(errno));
        return why;
    }
    return NULL;
}

void report_detached_end(int exit_code)
{
    FILE *file = exit_path[0] ? fopen(exit_path, "we") : NULL;
    if (file) {
        fprintf(file, "%d\n", exit_code);
        fclose(file);
    }
}
