/* What simulators print. It is a memory file: nothing is left on a disk, whoever is killed. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actors/sumo/process.h"

#define LOG_MAX    (1u << 20)
#define REASON_MAX 16384u

int sumo_log_open(void)
{
    int fd = memfd_create("sumo-log", MFD_CLOEXEC);
    if (fd >= 0 &&
        fcntl(fd, F_SETFL, O_APPEND) != 0) { /* so that it can be cut while it is written */
        close(fd);
        fd = -1;
    }
    return fd;
}

void sumo_log_trim(int fd, bool all)
{
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > (all ? 0 : (off_t)LOG_MAX))
        (void)!ftruncate(fd, 0);
}

void sumo_log_tail(int fd, char *text, size_t size)
{
    struct stat st;
    text[0] = '\0';
    if (fd < 0 || fstat(fd, &st) != 0)
        return;
    off_t from = st.st_size > (off_t)(size - 1) ? st.st_size - (off_t)(size - 1) : 0;
    ssize_t n = pread(fd, text, size - 1, from);
    text[n > 0 ? n : 0] = '\0';
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        text[--n] = '\0';
}

static void copy_line(const char *line, char *text, size_t size)
{
    size_t n = strcspn(line, "\n");
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '.'))
        n--;
    snprintf(text, size, "%.*s", (int)(n < size ? n : size - 1), line);
}

/* Errors of several lines ("Mandatory attribute …\n In file …\n At line/column …") keep them all.
 */
static void join_indented(const char *line, char *text, size_t size)
{
    copy_line(line, text, size);
    for (const char *next = strchr(line, '\n'); next && next[1] == ' ';
         next = strchr(next + 1, '\n')) {
        size_t used = strlen(text);
        const char *at = next + 1 + strspn(next + 1, " ");
        if (used + 3 >= size)
            break;
        memcpy(text + used, "; ", 3);
        copy_line(at, text + used + 2, size - used - 2);
    }
}

bool sumo_log_reason(int fd, char *text, size_t size)
{
    static const char *const noise[] = {"Quitting (on error)", "Error: tcpip::Socket::recv", NULL};
    char log[REASON_MAX];
    sumo_log_tail(fd, log, sizeof(log));
    const char *last = log;
    for (const char *line = log; line && *line;
         line = strchr(line, '\n'), line = line ? line + 1 : line) {
        bool skip = false;
        for (size_t i = 0; noise[i]; i++)
            skip = skip || strncmp(line, noise[i], strlen(noise[i])) == 0;
        if (skip)
            continue;
        if (strncmp(line, "Error: ", 7) == 0) {
            join_indented(line + 7, text, size);
            return true;
        }
        last = line;
    }
    copy_line(last, text, size);
    return false;
}
