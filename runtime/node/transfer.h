/* Moves large things between nodes over a carrier of frames that may lose, repeat and reorder them;
 * nobody acknowledges. The receiver drives: it asks for chunks, of all the nodes that have the
 * thing in turn, never for more than a window that grows while chunks come in time, and asks again
 * for what did not come. What has come stays: a transfer goes on at a chunk, over any number of
 * connections. The other side sends what its socket takes and keeps a bounded rest.
 *
 * Single-threaded, no I/O, no clock: the loop gives frames and time, and sends.
 */
#ifndef RTCI_NODE_TRANSFER_H
#define RTCI_NODE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/bounds.h"
#include "runtime/wire/wire.h"

#define RTCI_CHUNK_BYTES       (256 * RTCI_KIB)
#define RTCI_TRANSFER_PULL     16u                 /* chunks on their way for one pull … */
#define RTCI_TRANSFER_ALL      128u                /* … and for all of them */
#define RTCI_TRANSFER_SOURCES  8u                  /* of one pull; further ones are not used */
#define RTCI_TRANSFER_ASKS     64u                 /* kept for one peer */
#define RTCI_TRANSFER_STALL_NS (3 * RTCI_NS_PER_S) /* so long a node that is asked may be silent … */
#define RTCI_TRANSFER_DOWN_NS (30 * RTCI_NS_PER_S) /* … or not reachable, if nobody says it is dead */

enum rtci_blob_kind { RTCI_BLOB_OBJECT = 1, RTCI_BLOB_PROGRAM = 2 };
/* What is moved: an object by its id, a program by the hash of its contents. */
struct rtci_blob {
    uint32_t kind, pad;
    struct rtci_id id;
    uint8_t hash[32];
    uint64_t size;
};

/* Frames. Every frame begins with struct rtci_bulk; little-endian. */
#define RTCI_BULK_MAGIC 0x6b627472u /* "rtbk" */
enum rtci_bulk_kind {
    RTCI_BULK_ASK = 1, /* struct rtci_blob follows: send [offset, offset + size) in chunks */
    RTCI_BULK_CHUNK,   /* `size` bytes follow */
    RTCI_BULK_GONE,    /* it is not here (any more) */
};
struct rtci_bulk {
    uint32_t magic;
    uint32_t kind;
    uint64_t pull; /* chosen by who asks */
    uint64_t offset, size;
};
struct rtci_bulk_ask {
    struct rtci_bulk head;
    struct rtci_blob blob;
};
#define RTCI_BULK_FRAME_MAX (sizeof(struct rtci_bulk) + RTCI_CHUNK_BYTES)

struct rtci_transfer_ops {
    /* One frame of two parts. 0; RTC_E_AGAIN: no room now; RTC_E_DISCONNECTED: not reachable now.
     */
    int (*send)(void *arg, uint32_t node, const void *head, size_t head_size, const void *data,
                size_t size);
    /* What is served; the data are used before anything else is called. */
    bool (*find)(void *arg, const struct rtci_blob *blob, const void **ret_data,
                 uint64_t *ret_size);
    /* The pull ended: 0; RTC_E_LOST: none of its sources has it; RTC_E_TIMEOUT: the last was silent.
     * May begin and stop others. Not called for one that was stopped. */
    void (*done)(void *arg, uint64_t pull, int status);
};

struct rtci_transfer_counts {
    uint64_t pulls;                /* under way */
    uint64_t on_the_way;           /* chunks asked for */
    uint64_t received, sent;       /* bytes of chunks that were of use, and that went out */
    uint64_t asked_again, double_; /* chunks */
    uint64_t garbage;              /* frames that made no sense */
    uint64_t kept;                 /* asks that wait for room in a socket */
};

struct rtci_transfer;
/* `first`: the number of the first pull. Numbers must not come again after a restart, or a chunk of
 * before it would be taken for one of now. NULL: out of memory. */
struct rtci_transfer *rtci_transfer_create(const struct rtci_transfer_ops *ops, void *arg,
                                           uint64_t first);
void rtci_transfer_free(struct rtci_transfer *transfer);

/* Fetches blob->size bytes to dst, which stays valid until done() or stop(). Returns the number of
 * the pull, never 0. done() comes from a later call, never from this one. */
uint64_t rtci_transfer_pull(struct rtci_transfer *transfer, uint64_t now_ns,
                            const struct rtci_blob *blob, void *dst, const uint32_t *sources,
                            uint32_t n_sources);
/* Nothing is written any more. */
void rtci_transfer_stop(struct rtci_transfer *transfer, uint64_t pull);
/* A bulk frame came from that node: any bytes. */
void rtci_transfer_frame(struct rtci_transfer *transfer, uint64_t now_ns, uint32_t node,
                         const void *data, size_t size);
/* At the latest at the deadline, and when a socket that was full has room again. */
void rtci_transfer_tick(struct rtci_transfer *transfer, uint64_t now_ns);
uint64_t rtci_transfer_deadline(const struct rtci_transfer *transfer); /* UINT64_MAX: never */
/* The connection to a node is another one (0: to all): what was asked of it may be lost. */
void rtci_transfer_retry(struct rtci_transfer *transfer, uint64_t now_ns, uint32_t node);
/* The node is dead: its pulls go on from others, or fail. */
void rtci_transfer_node_gone(struct rtci_transfer *transfer, uint64_t now_ns, uint32_t node);
void rtci_transfer_counts(const struct rtci_transfer *transfer,
                          struct rtci_transfer_counts *ret_counts);

#endif
