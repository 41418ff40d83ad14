/* Any bytes as a message between keeper and daemon. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/keeper/keeper.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t blob[RTCI_KEEPER_BLOB_MAX];
    int ends[2], fds[RTCI_KEEPER_FDS];
    uint32_t n_fds = 0;
    struct rtci_keeper_msg msg;
    if (size == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return 0;
    if (send(ends[0], data, size, MSG_DONTWAIT) == (ssize_t)size &&
        rtci_keeper_recv(ends[1], &msg, blob, sizeof(blob), fds, &n_fds, false) == 0) {
        if (msg.blob_len > sizeof(blob) || n_fds != 0 || sizeof(msg) + msg.blob_len != size)
            abort();
    }
    close(ends[0]);
    close(ends[1]);
    return 0;
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    struct rtci_keeper_msg msg = {.type = rng_below(rng, 2) ? 1 + rng_below(rng, 7)
                                                            : 32 + rng_below(rng, 5),
                                  .key = rng_below(rng, 10),
                                  .pid = (int32_t)rng_below(rng, 70000),
                                  .blob_len = rng_below(rng, 200)};
    memcpy(at, &msg, sizeof(msg));
    for (uint32_t i = 0; i < msg.blob_len; i++)
        at[sizeof(msg) + i] = rng_below(rng, 5) ? (uint8_t)('a' + i % 26) : 0;
    return sizeof(msg) + msg.blob_len;
}
