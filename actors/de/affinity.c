/* A core is claimed by a lock on a file of its number: the kernel gives it back when the process
 * dies, however it dies. */
#include "actors/de/affinity.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void de_affinity_claim(uint32_t cpus)
{
    static uint32_t claimed;
    int fds[CPU_SETSIZE];
    uint32_t n = 0;
    cpu_set_t allowed, mine;
    char path[96];
    if (claimed == cpus || cpus == 0 || sched_getaffinity(0, sizeof(allowed), &allowed))
        return;
    if (claimed) /* it was bound for another number: too late to choose again */
        return;
    claimed = cpus;
    CPU_ZERO(&mine);
    snprintf(path, sizeof(path), "/dev/shm/rtc-cores-%u", (unsigned)geteuid());
    mkdir(path, 0700);
    for (int core = 0; core < CPU_SETSIZE && n < cpus; core++) {
        if (!CPU_ISSET(core, &allowed))
            continue;
        snprintf(path, sizeof(path), "/dev/shm/rtc-cores-%u/%d", (unsigned)geteuid(), core);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB)) {
            fds[n++] = fd;
            CPU_SET(core, &mine);
        } else if (fd >= 0) {
            close(fd);
        }
    }
    if (n == cpus && !sched_setaffinity(0, sizeof(mine), &mine))
        return; /* the descriptors stay open: they are the claim */
    while (n)
        close(fds[--n]);
}
