/* What this side and `rtc-sumo-worker` share: a memory file with one message and its answer, in the
 * bytes of TraCI, and the few words with which a worker is asked for. */
#ifndef ACTORS_SUMO_SLOT_H
#define ACTORS_SUMO_SLOT_H

#include <stdatomic.h>
#include <stdint.h>

#define SUMO_SLOT_VERSION     3u /* of all that is in this file */
#define SUMO_SLOT_MAGIC       0x534c4f54u
#define SUMO_SLOT_REQUEST_AT  4096u
#define SUMO_SLOT_REQUEST_MAX (8u << 20) /* memory is used as far as it was written */
#define SUMO_SLOT_ANSWER_AT   (SUMO_SLOT_REQUEST_AT + SUMO_SLOT_REQUEST_MAX)
#define SUMO_SLOT_ANSWER_MAX  (120u << 20)
#define SUMO_SLOT_SIZE        (SUMO_SLOT_ANSWER_AT + SUMO_SLOT_ANSWER_MAX)
#define SUMO_SERVER_FD        3
/* The argument with which `pgrep -f` tells the server and its workers apart; of one length. */
#define SUMO_SERVER_WORD      "server"
#define SUMO_WORKER_WORD      "worker"
/* Beyond TraCI: a subscription to the vehicle "" is one to each that departs from then on, with the
 * step in which it does; and a step to minus a time is a leg: it brings only what the subscriptions to
 * the simulation itself do, and more commands follow. */

/* One asks: writes the request and its size, counts `asked` up and wakes it. The other answers:
 * writes the answer and its size, makes `answered` equal and wakes that. Who sees the number sees
 * the bytes. */
struct sumo_slot {
    uint32_t magic, version;
    _Alignas(64) _Atomic uint32_t asked;
    uint32_t request_size; /* with the 4 bytes of length in front */
    _Alignas(64) _Atomic uint32_t answered;
    uint32_t answer_size;
};

/* The server says this when it starts. */
struct sumo_hello {
    uint32_t magic, version;
    int32_t good;   /* 0: `text` says why it will not work */
    char text[508]; /* good: SUMO's version */
};

/* Asks for a worker; the memory file and the log come with it. The answer is a pid, or minus an
 * errno. */
struct sumo_fork {
    uint32_t pin, cpu;
};

#endif
