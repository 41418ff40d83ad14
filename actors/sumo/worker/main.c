/* rtc-sumo-worker: SUMO inside a process, one simulation in each. It is started with a socket as
 * descriptor 3, loads libsumo once, and forks a worker for each that is asked for. The workers are
 * children of who asks, and not of this server: they are reaped there, and do not mind its death.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actors/sumo/slot.h"
#include "actors/sumo/worker/serve.h"
#include "actors/sumo/worker/shim.h"

#define PREFIX 4u

static char *role; /* of the command line: says what this process is */

static long futex(_Atomic uint32_t *word, int what, uint32_t value)
{
    return syscall(SYS_futex, word, what, value, NULL, NULL, 0);
}

/* ---- A worker ---- */

__attribute__((noreturn)) static void work(struct sumo_slot *slot)
{
    for (uint32_t done = 0;; done++) {
        uint32_t asked;
        while ((asked = atomic_load_explicit(&slot->asked, memory_order_acquire)) == done)
            futex(&slot->asked, FUTEX_WAIT, done);
        uint32_t size = slot->request_size;
        if (asked != done + 1 || size < PREFIX || size > SUMO_SLOT_REQUEST_MAX)
            _exit(3);
        struct traci_in request =
            traci_in((uint8_t *)slot + SUMO_SLOT_REQUEST_AT + PREFIX, size - PREFIX);
        struct traci_out answer = {.at = (uint8_t *)slot + SUMO_SLOT_ANSWER_AT,
                                   .room = SUMO_SLOT_ANSWER_MAX,
                                   .fixed = true};
        enum serve_next next = serve_message(request, &answer);
        slot->answer_size = (uint32_t)answer.size;
        atomic_store_explicit(&slot->answered, asked, memory_order_release);
        futex(&slot->answered, FUTEX_WAKE, 1);
        if (next != SERVE_ON)
            _exit(next == SERVE_CLOSED ? 0 : 1);
    }
}

__attribute__((noreturn)) static void become_worker(const struct sumo_fork *ask, pid_t parent,
                                                    int slot_fd, int log_fd)
{
    char folder[64];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(3);
    close(SUMO_SERVER_FD);
    if (dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
        _exit(3);
    close(log_fd);
    if (ask->pin) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(ask->cpu, &set);
        sched_setaffinity(0, sizeof(set), &set);
    }
    setpgid(0, 0); /* Ctrl-C is for the program, which then ends them */
    prctl(PR_SET_NAME, "sumo-worker");
    if (role)
        memcpy(role, SUMO_WORKER_WORD, sizeof(SUMO_WORKER_WORD) - 1);
    snprintf(folder, sizeof(folder), "/proc/%d/cwd", (int)parent); /* its relative paths */
    if (chdir(folder) != 0)
        fprintf(stderr, "Warning: the folder of the program cannot be entered: %s\n",
                strerror(errno));
    struct sumo_slot *slot =
        mmap(NULL, SUMO_SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, slot_fd, 0);
    if (slot == MAP_FAILED || slot->magic != SUMO_SLOT_MAGIC || slot->version != SUMO_SLOT_VERSION)
        _exit(3);
    close(slot_fd);
    work(slot);
}

/* ---- The server ---- */

static int take_ask(struct sumo_fork *ask, int *slot_fd, int *log_fd)
{
    int fds[2];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control;
    struct iovec part = {.iov_base = ask, .iov_len = sizeof(*ask)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t n;
    do
        n = recvmsg(SUMO_SERVER_FD, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (n != (ssize_t)sizeof(*ask) || !header || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(fds)))
        return -1;
    memcpy(fds, CMSG_DATA(header), sizeof(fds));
    *slot_fd = fds[0];
    *log_fd = fds[1];
    return 0;
}

static void serve_asks(void)
{
    pid_t parent = getppid();
    struct sumo_fork ask;
    int slot_fd, log_fd;
    while (take_ask(&ask, &slot_fd, &log_fd) == 0) {
        struct clone_args how = {.flags = CLONE_PARENT};
        long pid = syscall(SYS_clone3, &how, sizeof(how));
        if (pid == 0)
            become_worker(&ask, parent, slot_fd, log_fd);
        int32_t answer = pid > 0 ? (int32_t)pid : -errno;
        close(slot_fd);
        close(log_fd);
        if (send(SUMO_SERVER_FD, &answer, sizeof(answer), MSG_NOSIGNAL) != (ssize_t)sizeof(answer))
            return;
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], SUMO_SERVER_WORD) == 0)
        role = argv[1];
    struct sumo_hello hello = {.magic = SUMO_SLOT_MAGIC, .version = SUMO_SLOT_VERSION};
    struct stat st;
    const char *version = shim_version();
    if (fstat(SUMO_SERVER_FD, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        fprintf(stderr, "rtc-sumo-worker is started by programs of rtc; it was built for %s\n",
                SUMO_BUILT_FOR);
        return 2;
    }
    hello.good = strcmp(version, SUMO_BUILT_FOR) == 0;
    snprintf(hello.text, sizeof(hello.text),
             hello.good
                 ? "%s"
                 : "the libsumo that is installed is '%s', and rtc-sumo-worker was built for '%s'; "
                   "build rtc again, or use the backend traci",
             version, SUMO_BUILT_FOR);
    if (send(SUMO_SERVER_FD, &hello, sizeof(hello), MSG_NOSIGNAL) != (ssize_t)sizeof(hello))
        return 1;
    if (hello.good) {
        shim_warm();
        serve_asks();
    }
    _exit(hello.good ? 0
                     : 1); /* the libraries' own endings are slow, and wait for nothing of ours */
}
