/* The backend libsumo: a worker with the simulator inside, reached through shared memory. Workers
 * come from a server that has the library loaded and relocated, and forks: a start takes what
 * reading the files takes. They are this process's own children, so they are watched and reaped as
 * any other, and live on when the server is killed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actors/sumo/internal.h"
#include "actors/sumo/libsumo.h"
#include "actors/sumo/slot.h"

#define SERVER_START_MS 20000u
#define LOOK_MS         20u /* how soon the death of a worker is noticed that was to answer */

extern char **environ;

/* ---- The server ---- */

static struct {
    pthread_mutex_t mutex;
    struct sumo_process process;
    int socket;
    bool running;
    pid_t owner;
    char binary[4096];
    char refused[4096], refusal[512]; /* the binary that will not do, and why */
} server = {.mutex = PTHREAD_MUTEX_INITIALIZER, .socket = -1};

static void end_server(void)
{
    if (server.socket >= 0)
        close(server.socket);
    server.socket = -1;
    server.running = false;
    sumo_process_end(&server.process, 0);
    server.process = (struct sumo_process){0};
}

/* Not left for others to reap when this process ends. A forked child has none. */
__attribute__((destructor)) static void at_exit(void)
{
    if (server.owner == getpid())
        end_server();
}

/* One thread: the library it loads would start more, and what forks must not have any. All symbols
 * are bound before the first fork, once for all. */
static char **server_environment(void)
{
    static char one[] = "OPENBLAS_NUM_THREADS=1", omp[] = "OMP_NUM_THREADS=1",
                now[] = "LD_BIND_NOW=1";
    static const char *const ours[] = {"OPENBLAS_NUM_THREADS=", "OMP_NUM_THREADS=", "LD_BIND_NOW="};
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    char **env = calloc(n + 4, sizeof(*env));
    for (size_t i = 0; env && i < n; i++) {
        bool skip = false;
        for (size_t k = 0; k < 3; k++)
            skip = skip || strncmp(environ[i], ours[k], strlen(ours[k])) == 0;
        if (!skip)
            env[kept++] = environ[i];
    }
    if (env) {
        env[kept++] = one;
        env[kept++] = omp;
        env[kept] = now;
    }
    return env;
}

static void hear_hello(int log_fd, char *why_not, size_t size)
{
    struct sumo_hello hello = {0};
    char story[128], reason[256];
    if (sumo_wait_fd(server.socket, POLLIN, sumo_now_ms() + SERVER_START_MS) != 0) {
        snprintf(why_not, size, "'%s' said nothing for %u s", server.binary,
                 SERVER_START_MS / 1000);
        return;
    }
    ssize_t n = recv(server.socket, &hello, sizeof(hello), 0);
    hello.text[sizeof(hello.text) - 1] = '\0';
    if (n != (ssize_t)sizeof(hello)) {
        sumo_process_end(&server.process, sumo_now_ms() + 200);
        sumo_process_story(&server.process, story, sizeof(story));
        sumo_log_reason(log_fd, reason, sizeof(reason));
        snprintf(why_not, size, "'%.200s' %s: %s", server.binary, story, reason);
    } else if (hello.magic != SUMO_SLOT_MAGIC || hello.version != SUMO_SLOT_VERSION) {
        snprintf(why_not, size, "'%s' is of another version of rtc", server.binary);
    } else if (!hello.good) {
        snprintf(why_not, size, "%s", hello.text);
    } else {
        server.running = true;
    }
}

static void start_server(char *why_not, size_t size)
{
    int pair[2], log_fd = sumo_log_open();
    char word[] = SUMO_SERVER_WORD;
    char *argv[] = {server.binary, word, NULL};
    char **env = server_environment();
    if (log_fd < 0 || !env || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        snprintf(why_not, size, "no socket for '%s': %s", server.binary, strerror(errno));
    } else {
        struct sumo_start start = {.binary = server.binary,
                                   .argv = argv,
                                   .env = env,
                                   .log_fd = log_fd,
                                   .extra_fd = pair[1]};
        int error = sumo_process_start(&start, &server.process);
        close(pair[1]);
        server.socket = pair[0];
        server.owner = getpid();
        if (error)
            snprintf(why_not, size, "'%s' could not be started: %s", server.binary,
                     strerror(error));
        else
            hear_hello(log_fd, why_not, size);
        if (!server.running)
            end_server();
    }
    free(env);
    if (log_fd >= 0)
        close(log_fd);
}

/* With the mutex held. What was refused once is not tried again by this process. */
static bool ensure_server(const char *worker_binary, char *why_not, size_t size)
{
    char binary[4096];
    if (!sumo_find_program(worker_binary, "RTC_SUMO_WORKER", getenv("RTC_BIN"), "rtc-sumo-worker",
                           binary, sizeof(binary))) {
        snprintf(why_not, size,
                 "there is no program '%s'; rtc was built without libsumo, or it is named by "
                 "RTC_SUMO_WORKER",
                 worker_binary ? worker_binary : "rtc-sumo-worker");
        return false;
    }
    if (strcmp(binary, server.refused) == 0) {
        snprintf(why_not, size, "%s", server.refusal);
        return false;
    }
    if (server.owner != getpid()) { /* a forked child's: the server is its parent's */
        server.running = false;
        server.process = (struct sumo_process){0};
        server.socket = -1;
    }
    if (server.running && strcmp(binary, server.binary) == 0 && sumo_process_alive(&server.process))
        return true;
    end_server();
    snprintf(server.binary, sizeof(server.binary), "%s", binary);
    start_server(why_not, size);
    if (!server.running) {
        snprintf(server.refused, sizeof(server.refused), "%s", binary);
        snprintf(server.refusal, sizeof(server.refusal), "%s", why_not);
    }
    return server.running;
}

bool sumo_libsumo_usable(const char *worker_binary, char *why_not, size_t size)
{
    pthread_mutex_lock(&server.mutex);
    bool usable = ensure_server(worker_binary, why_not, size);
    pthread_mutex_unlock(&server.mutex);
    return usable;
}

static pid_t ask_for_worker(struct sumo_sim *sim, int slot_fd, uint64_t deadline_ms)
{
    struct sumo_fork ask = {.pin = sim->options.pin, .cpu = sim->options.cpu};
    int fds[2] = {slot_fd, sim->log_fd};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control = {0};
    struct iovec part = {.iov_base = &ask, .iov_len = sizeof(ask)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(header), fds, sizeof(fds));
    int32_t answer = -EPIPE;
    if (sendmsg(server.socket, &message, MSG_NOSIGNAL) != (ssize_t)sizeof(ask))
        return -EPIPE;
    if (sumo_wait_fd(server.socket, POLLIN, deadline_ms) != 0)
        return -ETIMEDOUT;
    if (recv(server.socket, &answer, sizeof(answer), 0) != (ssize_t)sizeof(answer))
        return -EPIPE;
    return answer;
}

/* A server that was killed is started again, once. */
static int fork_worker(struct sumo_sim *sim, int slot_fd, uint64_t deadline_ms)
{
    char why_not[512] = "";
    pid_t pid = -EPIPE;
    pthread_mutex_lock(&server.mutex);
    for (int i = 0; i < 2 && pid < 0; i++) {
        if (!ensure_server(sim->options.worker_binary, why_not, sizeof(why_not)))
            break;
        pid = ask_for_worker(sim, slot_fd, deadline_ms);
        if (pid < 0) {
            snprintf(why_not, sizeof(why_not), "its server failed: %s", strerror(-pid));
            end_server();
        }
    }
    pthread_mutex_unlock(&server.mutex);
    if (pid < 0)
        return sumo_fail(sim, RTC_E_COMMAND, "no worker for '%s' could be started: %s",
                         sumo_input_name(sim), why_not);
    int error = sumo_process_adopt(pid, &sim->process);
    return error ? sumo_fail(sim, RTC_E_OS, "a worker cannot be watched: %s", strerror(error)) : 0;
}

/* ---- The slot ---- */

static long futex(_Atomic uint32_t *word, int what, uint32_t value, const struct timespec *limit)
{
    return syscall(SYS_futex, word, what, value, limit, NULL, 0);
}

static int make_slot(struct sumo_sim *sim)
{
    int fd = memfd_create("sumo-slot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *at = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, SUMO_SLOT_SIZE) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        at = mmap(NULL, SUMO_SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (at == MAP_FAILED) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return sumo_fail(sim, RTC_E_OS, "no shared memory for a worker: %s", strerror(error));
    }
    sim->slot = at;
    sim->slot->magic = SUMO_SLOT_MAGIC;
    sim->slot->version = SUMO_SLOT_VERSION;
    sim->sequence = 0;
    traci_out_free(&sim->out);
    sim->out = (struct traci_out){
        .at = (uint8_t *)at + SUMO_SLOT_REQUEST_AT, .room = SUMO_SLOT_REQUEST_MAX, .fixed = true};
    return fd;
}

static int send_out(struct sumo_sim *sim)
{
    struct sumo_slot *slot = sim->slot;
    slot->request_size = (uint32_t)sim->out.size;
    atomic_store_explicit(&slot->asked, ++sim->sequence, memory_order_release);
    futex(&slot->asked, FUTEX_WAKE, 1, NULL);
    return 0;
}

static int receive(struct sumo_sim *sim, uint64_t deadline_ms, struct traci_in *ret_answer)
{
    static const struct timespec look = {.tv_nsec = LOOK_MS * 1000000};
    struct sumo_slot *slot = sim->slot;
    uint64_t begun = sumo_now_ms();
    uint32_t answered;
    while ((answered = atomic_load_explicit(&slot->answered, memory_order_acquire)) !=
           sim->sequence) {
        if (futex(&slot->answered, FUTEX_WAIT, answered, &look) == 0 || errno != ETIMEDOUT)
            continue;
        if (!sumo_process_alive(&sim->process) &&
            atomic_load_explicit(&slot->answered, memory_order_acquire) != sim->sequence)
            return sumo_dead(sim, RTC_E_CRASHED, "while it was to answer");
        if (sumo_now_ms() >= deadline_ms)
            return sumo_stuck(sim, "answering", sumo_now_ms() - begun);
    }
    uint32_t size = slot->answer_size;
    if (size > SUMO_SLOT_ANSWER_MAX)
        return sumo_malformed(sim);
    *ret_answer = traci_in((const uint8_t *)slot + SUMO_SLOT_ANSWER_AT, size);
    return 0;
}

static void stop(struct sumo_sim *sim)
{
    traci_out_free(&sim->out);
    if (sim->slot)
        munmap(sim->slot, SUMO_SLOT_SIZE);
    sim->slot = NULL;
}

static int start(struct sumo_sim *sim, uint64_t deadline_ms)
{
    int fd = make_slot(sim);
    if (fd < 0)
        return fd;
    int rc = fork_worker(sim, fd, deadline_ms);
    close(fd);
    return rc ? rc : sumo_load(sim, deadline_ms);
}

const struct sumo_transport sumo_over_memory = {.name = "libsumo",
                                                .extended = true,
                                                .start = start,
                                                .send = send_out,
                                                .receive = receive,
                                                .stop = stop};
