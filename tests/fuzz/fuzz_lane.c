/* Any bytes, with any descriptors, as the greeting of a lane to a process that listens; and as the
 * answer to one's own. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/shm/doorman.h"
#include "runtime/shm/fds.h"
#include "runtime/shm/meet.h"
#include "runtime/wire/wire.h"
#include "tests/fuzz/fuzz.h"
#include <rtc/error.h>

#define CALLER 1u
#define CALLEE 2u

static struct {
    struct rtci_doorman *doorman;
    uint64_t arena;
    int good, plain, event;
} at;

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void begin(void)
{
    struct rtci_chan *chan;
    at.arena = (uint64_t)getpid() << 32 | 0xf022;
    at.good = rtci_chan_create(4096);
    at.plain = memfd_create("x", MFD_CLOEXEC);
    at.event = eventfd(0, EFD_CLOEXEC);
    need(rtci_chan_open(at.good, RTCI_CHAN_CLIENT, -1, -1, &chan) == 0);
    struct rtci_doorman_config config = {at.arena, CALLEE, at.good, -1, chan};
    need(rtci_doorman_start(&config, &at.doorman) == 0);
    need(rtci_doorman_listen(at.doorman) == 0);
}

static void as_answer(const uint8_t *data, size_t size, uint32_t n_fds)
{
    struct rtci_lane_answer answer = {0};
    char why[RTCI_LANE_WHY_MAX] = "";
    memcpy(&answer, data, size < sizeof(answer) ? size : sizeof(answer));
    int rc = rtci_lane_answer_check(&answer, n_fds, CALLEE, why);
    need(rc <= 0 && memchr(why, 0, sizeof(why)));
    need(rc < 0 || (answer.client == CALLEE && answer.status == 0 && n_fds >= 1));
}

/* The first byte says which descriptors; the rest is sent as it is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!at.doorman)
        begin();
    if (size < 2)
        return 0;
    uint32_t n = data[0] & 3u;
    int kinds[] = {at.good, at.plain, at.event, at.good}, fds[3];
    for (uint32_t i = 0; i < 3; i++)
        fds[i] = kinds[(data[0] >> (2 + 2 * i)) & 3u];
    as_answer(data + 1, size - 1, n);
    int sock = rtci_meet_dial(at.arena, CALLEE);
    struct rtci_lane_answer answer;
    struct pollfd fd = {.fd = sock, .events = POLLIN};
    int got[4];
    uint32_t n_got;
    if (sock < 0)
        return 0;
    if (rtci_fds_send(sock, data + 1, size - 1, fds, n) == 0) {
        need(poll(&fd, 1, 60000) == 1);
        int rc = rtci_fds_recv(sock, &answer, sizeof(answer), got, 4, &n_got);
        rtci_fds_close(got, n_got);
        need(rc == 0 || rc == RTC_E_DISCONNECTED);
        need(rc < 0 || answer.status < 0 || (size - 1 == sizeof(struct rtci_lane_hello) && n >= 2));
        need(rc < 0 || answer.status == 0 || answer.why[0]);
    }
    close(sock);
    for (struct rtci_lane *lane; (lane = rtci_doorman_next(at.doorman));)
        rtci_doorman_retire(at.doorman, lane);
    return 0;
}

size_t fuzz_make(struct rng *rng, uint8_t *to)
{
    struct rtci_lane_hello hello = {RTCI_LANE_MAGIC, RTCI_WIRE_VERSION, CALLER, CALLEE,
                                    (uint64_t)getpid() << 32 | 0xf022};
    to[0] = rng_below(rng, 3) ? 2 : (uint8_t)rng_below(rng, 256);
    memcpy(to + 1, &hello, sizeof(hello));
    return 1 + sizeof(hello);
}
