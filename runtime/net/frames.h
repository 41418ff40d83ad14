/* What travels between hub and link, frame by frame. Every message is one ZeroMQ frame, and its
 * first four bytes say what it is; those of sessions are RTCI_FRAME_MAGIC. Little endian. Read only
 * by the functions here, which look at nothing before it was checked. */
#ifndef RTCI_NET_FRAMES_H
#define RTCI_NET_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/net/net.h"

#define RTCI_NET_HELLO   0x48435452u /* "RTCH": control, node to head */
#define RTCI_NET_WELCOME 0x57435452u /* "RTCW": control, head to node */
#define RTCI_NET_BULKER  0x4c435452u /* "RTCL": bulk, node to head, and back as its answer */
#define RTCI_NET_BULK    0x42435452u /* "RTCB": bulk, both ways */
#define RTCI_NET_CALL    0x41435452u /* "RTCA": control, both ways; from node to node */
#define RTCI_NET_DIRECT  0x44435452u /* "RTCD": from node to node: a prefix alone, whose attempt is */
#define RTCI_NET_DIRECT_ASK    1u    /* … a question by who dialled, on the connection for bulk; … */
#define RTCI_NET_DIRECT_ANSWER 2u    /* … its answer; */
#define RTCI_NET_DIRECT_CALLS  2u    /* … so much more on that for calls */

struct rtci_net_prefix { /* before a hello and a welcome */
    uint32_t magic;
    uint32_t attempt; /* counts the connections of a link: a welcome repeats that of its hello, so
                       * that one for an older connection is not taken for it; 0: not asked for */
};
struct rtci_net_bulker { /* the first message of a bulk connection: whose it is */
    uint32_t magic, attempt;
    uint64_t session;
};
struct rtci_net_bulk { /* of a CALL as well; then the caller's head and data */
    uint32_t magic;
    uint32_t from, to; /* nodes; 1 is the head's own */
    uint32_t pad;
};

enum rtci_net_kind {
    RTCI_NET_IS_INVALID,
    RTCI_NET_IS_HELLO,
    RTCI_NET_IS_OLD_HELLO,
    RTCI_NET_IS_WELCOME,
    RTCI_NET_IS_BULKER,
    RTCI_NET_IS_BULK,
    RTCI_NET_IS_CALL,
    RTCI_NET_IS_SESSION,
    RTCI_NET_IS_DIRECT,
};
struct rtci_net_read {
    enum rtci_net_kind kind;
    uint32_t attempt;
    uint64_t session; /* BULKER, SESSION */
    uint32_t from, to;
    const uint8_t *body; /* BULK, CALL: what follows its header */
    size_t body_size;
    union {
        struct rtci_net_hello hello; /* OLD_HELLO (another wire version): wire_version, release */
        struct rtci_net_welcome welcome;
    };
};
/* Fills what belongs to ret->kind; texts are terminated. */
void rtci_net_read(const void *data, size_t size, struct rtci_net_read *ret_read);

/* Of `text`, what fits; the rest of the field is zero. */
void rtci_net_text(char *field, size_t size, const char *text);
/* How long the first message of a span is: whole records, at most RTCI_MESSAGE_BYTES of them or one
 * that is larger. 0: the span is no span, or the record is too large for any message. */
size_t rtci_net_cut(const void *span, size_t size);

/* The request of a ZAP handler (RFC 27) without its empty frame: version, number, domain, address,
 * identity, mechanism, key. True: the client may connect; its key is in ret_key. */
struct rtci_net_part {
    const void *data;
    size_t size;
};
#define RTCI_ZAP_PARTS  7
#define RTCI_ZAP_DOMAIN "rtc"
bool rtci_zap_judge(const struct rtci_net_part *parts, size_t n, uint8_t ret_key[RTCI_KEY_BYTES]);

#endif
