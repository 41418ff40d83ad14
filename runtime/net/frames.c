#include "runtime/net/frames.h"

#include <string.h>

#include "runtime/base/bounds.h"
#include "runtime/wire/wire.h"

_Static_assert(sizeof(struct rtci_net_hello) % 8 == 0, "no hidden padding at the end");
_Static_assert(sizeof(struct rtci_net_bulk) % 8 == 0, "what follows is aligned");
_Static_assert(sizeof(struct rtci_frame) % 8 == 0, "what follows is aligned");

void rtci_net_text(char *field, size_t size, const char *text)
{
    size_t n = strnlen(text, size - 1);
    memmove(field, text, n);
    memset(field + n, 0, size - n);
}

#define TERMINATE(field) ((field)[sizeof(field) - 1] = '\0')

/* The beginning of a hello is the same in every version. */
static enum rtci_net_kind read_hello(const uint8_t *at, size_t size, struct rtci_net_read *ret_read)
{
    struct rtci_net_hello *h = &ret_read->hello;
    const size_t begin = offsetof(struct rtci_net_hello, session);
    if (size < begin)
        return RTCI_NET_IS_INVALID;
    memset(h, 0, sizeof(*h));
    memcpy(h, at, begin);
    TERMINATE(h->release);
    if (h->wire_version != RTCI_WIRE_VERSION)
        return RTCI_NET_IS_OLD_HELLO;
    if (size != sizeof(*h))
        return RTCI_NET_IS_INVALID;
    memcpy(h, at, sizeof(*h));
    TERMINATE(h->release);
    TERMINATE(h->token);
    TERMINATE(h->name);
    TERMINATE(h->arch);
    return h->session != 0 ? RTCI_NET_IS_HELLO : RTCI_NET_IS_INVALID;
}

static enum rtci_net_kind read_welcome(const uint8_t *at, size_t size,
                                       struct rtci_net_read *ret_read)
{
    struct rtci_net_welcome *w = &ret_read->welcome;
    if (size != sizeof(*w))
        return RTCI_NET_IS_INVALID;
    memcpy(w, at, sizeof(*w));
    TERMINATE(w->release);
    TERMINATE(w->text);
    return RTCI_NET_IS_WELCOME;
}

static enum rtci_net_kind read_bulk(const uint8_t *at, size_t size, size_t most,
                                    enum rtci_net_kind kind, struct rtci_net_read *ret_read)
{
    struct rtci_net_bulk bulk;
    if (size < sizeof(bulk) || size > sizeof(bulk) + most)
        return RTCI_NET_IS_INVALID;
    memcpy(&bulk, at, sizeof(bulk));
    ret_read->from = bulk.from;
    ret_read->to = bulk.to;
    ret_read->body = at + sizeof(bulk);
    ret_read->body_size = size - sizeof(bulk);
    return kind;
}

void rtci_net_read(const void *data, size_t size, struct rtci_net_read *ret_read)
{
    struct rtci_net_prefix prefix;
    struct rtci_net_bulker bulker;
    struct rtci_frame frame;
    ret_read->kind = RTCI_NET_IS_INVALID;
    if (size < sizeof(prefix))
        return;
    memcpy(&prefix, data, sizeof(prefix));
    const uint8_t *at = (const uint8_t *)data + sizeof(prefix);
    size_t rest = size - sizeof(prefix);
    ret_read->attempt = prefix.attempt;
    switch (prefix.magic) {
    case RTCI_FRAME_MAGIC:
        if (size < sizeof(frame))
            return;
        memcpy(&frame, data, sizeof(frame));
        ret_read->session = frame.session;
        ret_read->kind = RTCI_NET_IS_SESSION;
        return;
    case RTCI_NET_HELLO: ret_read->kind = read_hello(at, rest, ret_read); return;
    case RTCI_NET_WELCOME: ret_read->kind = read_welcome(at, rest, ret_read); return;
    case RTCI_NET_BULKER:
        if (size != sizeof(bulker))
            return;
        memcpy(&bulker, data, sizeof(bulker));
        ret_read->session = bulker.session;
        ret_read->kind = RTCI_NET_IS_BULKER;
        return;
    case RTCI_NET_DIRECT: ret_read->kind = rest ? RTCI_NET_IS_INVALID : RTCI_NET_IS_DIRECT; return;
    case RTCI_NET_BULK:
        ret_read->kind = read_bulk(data, size, RTCI_BULK_MAX, RTCI_NET_IS_BULK, ret_read);
        return;
    case RTCI_NET_CALL:
        ret_read->kind = read_bulk(data, size, RTCI_CALL_MAX, RTCI_NET_IS_CALL, ret_read);
        return;
    default: return;
    }
}

size_t rtci_net_cut(const void *span, size_t size)
{
    size_t at = 0;
    while (size - at >= sizeof(struct rtci_rec)) {
        struct rtci_rec rec;
        memcpy(&rec, (const uint8_t *)span + at, sizeof(rec));
        if (rec.size < sizeof(rec) || rec.size % 8 != 0 || rec.size > size - at ||
            rec.size > RTCI_SESSION_MESSAGE_MAX)
            return 0;
        if (at && at + rec.size > RTCI_MESSAGE_BYTES)
            return at;
        at += rec.size;
    }
    return at == size ? at : 0;
}

static bool part_is(const struct rtci_net_part *part, const char *text)
{
    return part->size == strlen(text) && memcmp(part->data, text, part->size) == 0;
}

bool rtci_zap_judge(const struct rtci_net_part *parts, size_t n, uint8_t ret_key[RTCI_KEY_BYTES])
{
    if (n != RTCI_ZAP_PARTS || !part_is(&parts[0], "1.0") || !part_is(&parts[2], RTCI_ZAP_DOMAIN) ||
        !part_is(&parts[5], "CURVE") || parts[6].size != RTCI_KEY_BYTES)
        return false;
    memcpy(ret_key, parts[6].data, RTCI_KEY_BYTES);
    return true;
}
