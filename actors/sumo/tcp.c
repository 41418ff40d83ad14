/* The backend traci: a stock `sumo` as a child, reached over a socket of this host. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actors/sumo/internal.h"

#define CONNECT_POLL_MS 2
#define ANSWER_MAX      (256u << 20) /* more is nonsense, not traffic */

extern char **environ;

/* A port that is ours for as long as the socket lives: SUMO binds it too, which SO_REUSEADDR of
 * both allows, and nobody else is given it meanwhile. */
static int reserve_port(struct sumo_sim *sim, uint16_t *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return sumo_fail(sim, RTC_E_OS, "no port for sumo could be reserved: %s", strerror(error));
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static int dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Refused until SUMO listens. Its death is noticed at once. */
static int connect_to(struct sumo_sim *sim, uint16_t port, uint64_t deadline_ms)
{
    for (;;) {
        struct pollfd dead = {.fd = sim->process.pidfd, .events = POLLIN};
        if ((sim->socket = dial(port)) >= 0)
            return 0;
        if (errno != ECONNREFUSED && errno != EINTR)
            return sumo_dead(sim, RTC_E_OS, "while it started");
        if (poll(&dead, 1, CONNECT_POLL_MS) > 0)
            return sumo_dead(sim, RTC_E_CRASHED, "while it started");
        if (sumo_now_ms() >= deadline_ms)
            return sumo_stuck(sim, "starting", sim->options.start_timeout_ms);
    }
}

static int spawn(struct sumo_sim *sim, const char *binary, uint16_t port)
{
    char number[16], option[] = "--remote-port";
    char **argv = calloc(sim->n_arguments + 4, sizeof(*argv));
    if (!argv)
        return sumo_fail(sim, RTC_E_NOMEM, "out of memory");
    snprintf(number, sizeof(number), "%u", port);
    argv[0] = (char *)(uintptr_t)binary;
    memcpy(argv + 1, sim->arguments, sim->n_arguments * sizeof(*argv));
    argv[sim->n_arguments + 1] = option;
    argv[sim->n_arguments + 2] = number;
    struct sumo_start start = {.binary = binary,
                               .argv = argv,
                               .env = environ,
                               .log_fd = sim->log_fd,
                               .extra_fd = -1,
                               .pin = sim->options.pin,
                               .cpu = sim->options.cpu};
    int error = sumo_process_start(&start, &sim->process);
    free(argv);
    if (error)
        return sumo_fail(sim, RTC_E_COMMAND, "'%s' could not be started: %s", binary,
                         strerror(error));
    return 0;
}

static int find_sumo(struct sumo_sim *sim, char *binary, size_t size)
{
    const char *name = sim->options.gui ? "sumo-gui" : "sumo", *home = getenv("SUMO_HOME");
    const char *variable = sim->options.gui ? "RTC_SUMO_GUI_BINARY" : "RTC_SUMO_BINARY";
    const char *named = sim->options.sumo_binary ? sim->options.sumo_binary : getenv(variable);
    char beside[4096];
    snprintf(beside, sizeof(beside), "%s/bin/sumo", home ? home : "");
    if (sumo_find_program(named, variable, home && *home ? beside : NULL, name, binary, size))
        return 0;
    return sumo_fail(
        sim, RTC_E_NOT_FOUND,
        "there is no program '%s'; install SUMO (Debian: apt-get install sumo) or name it in %s",
        named && *named ? named : name, variable);
}

static int start(struct sumo_sim *sim, uint64_t deadline_ms)
{
    char binary[4096];
    int rc = find_sumo(sim, binary, sizeof(binary));
    if (rc != 0)
        return rc;
    for (unsigned i = 0; i < SUMO_BIND_TRIES; i++) {
        uint16_t port = 0;
        int reserved = reserve_port(sim, &port);
        if (reserved < 0)
            return reserved;
        rc = spawn(sim, binary, port);
        if (rc == 0)
            rc = connect_to(sim, port, deadline_ms);
        close(reserved);
        if (rc != 0 && sim->options.gui && strstr(sim->error, "open display"))
            return sumo_fail(sim, RTC_E_COMMAND,
                             "sumo-gui has no display for '%s': set DISPLAY to one, or do without "
                             "the window (gui, use_gui)",
                             sumo_input_name(sim));
        if (rc == 0 || !strstr(sim->error, "Address already in use"))
            return rc; /* else somebody who takes what he likes was faster */
        sumo_log_trim(sim->log_fd, true);
    }
    return rc;
}

static int send_out(struct sumo_sim *sim)
{
    uint64_t deadline_ms = sumo_now_ms() + sim->options.step_timeout_ms;
    for (size_t sent = 0; sent < sim->out.size;) {
        ssize_t n = send(sim->socket, sim->out.at + sent, sim->out.size - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN)
            return sumo_dead(sim, RTC_E_CRASHED, "when it was to be asked");
        else if (errno == EAGAIN && sumo_wait_fd(sim->socket, POLLOUT, deadline_ms) != 0)
            return sumo_stuck(sim, "taking a message", sim->options.step_timeout_ms);
    }
    return 0;
}

/* What has come, at least one byte; there is room. */
static int read_some(struct sumo_sim *sim, uint64_t deadline_ms)
{
    for (;;) {
        ssize_t n = recv(sim->socket, sim->in + sim->in_have, sim->in_room - sim->in_have, 0);
        if (n > 0) {
            sim->in_have += (size_t)n;
            return 0;
        }
        if (n == 0 || (errno != EINTR && errno != EAGAIN))
            return RTC_E_CRASHED;
        int rc = errno == EAGAIN ? sumo_wait_fd(sim->socket, POLLIN, deadline_ms) : 0;
        if (rc != 0)
            return rc;
    }
}

static bool make_room(struct sumo_sim *sim, size_t size)
{
    size_t room = sim->in_room ? sim->in_room : 65536;
    if (size <= sim->in_room)
        return true;
    while (room < size)
        room *= 2;
    uint8_t *in = realloc(sim->in, room);
    if (!in)
        return false;
    sim->in = in;
    sim->in_room = room;
    return true;
}

/* The message before is done with; what came behind it stays. */
static void drop_taken(struct sumo_sim *sim)
{
    if (sim->in_taken > 0)
        memmove(sim->in, sim->in + sim->in_taken, sim->in_have - sim->in_taken);
    sim->in_have -= sim->in_taken;
    sim->in_taken = 0;
}

static int receive(struct sumo_sim *sim, uint64_t deadline_ms, struct traci_in *ret_answer)
{
    uint64_t begun = sumo_now_ms();
    size_t want = SUMO_PREFIX;
    drop_taken(sim);
    for (;;) {
        if (!make_room(sim, want + 1))
            return sumo_dead(sim, RTC_E_NOMEM, "for lack of memory");
        if (sim->in_have >= want && want > SUMO_PREFIX)
            break;
        if (sim->in_have >= SUMO_PREFIX && want == SUMO_PREFIX) {
            struct traci_in prefix = traci_in(sim->in, SUMO_PREFIX);
            int32_t size = traci_in_i32(&prefix);
            if (size <= (int32_t)SUMO_PREFIX || (uint32_t)size > ANSWER_MAX)
                return sumo_malformed(sim);
            want = (size_t)size;
            continue;
        }
        int rc = read_some(sim, deadline_ms);
        if (rc == RTC_E_TIMEOUT)
            return sumo_stuck(sim, "answering", sumo_now_ms() - begun);
        if (rc != 0)
            return sumo_dead(sim, RTC_E_CRASHED, "while it was to answer");
    }
    sim->in_taken = want;
    *ret_answer = traci_in(sim->in + SUMO_PREFIX, want - SUMO_PREFIX);
    return 0;
}

static void stop(struct sumo_sim *sim)
{
    if (sim->socket >= 0)
        close(sim->socket);
    sim->socket = -1;
    sim->in_have = sim->in_taken = 0;
}

const struct sumo_transport sumo_over_socket = {
    .name = "traci", .start = start, .send = send_out, .receive = receive, .stop = stop};
