/* Any bytes as what comes from another host: join lines, tokens, frames of both ends, requests to
 * the ZAP handler, spans that are cut into messages. What is read lies within its bounds. */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/assert.h"
#include "runtime/base/bounds.h"
#include "runtime/net/frames.h"
#include "runtime/wire/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/span.h"

enum what { JOIN, FRAME, ZAP, SPAN, WHATS };

static void try_join(const uint8_t *data, size_t size)
{
    struct rtci_join join, again;
    char text[RTCI_TEXT_MAX] = "", line[1024], id[16], *copy = malloc(size + 1);
    uint8_t hash[32];
    RTCI_ASSERT(copy);
    memcpy(copy, data, size);
    copy[size] = '\0';
    RTCI_IGNORE(rtci_token_split(copy, id, hash));
    if (rtci_join_parse(copy, &join, text, sizeof(text)) == 0) {
        /* What is taken can be written, and is the same when it is read again. */
        rtci_join_format(&join, line, sizeof(line));
        RTCI_ASSERT(rtci_join_parse(line, &again, text, sizeof(text)) == 0);
        RTCI_ASSERT(memcmp(&join, &again, sizeof(join)) == 0);
        RTCI_ASSERT(rtci_token_split(join.token, id, hash));
    } else {
        RTCI_ASSERT(text[0] != '\0' && memchr(text, '\0', sizeof(text)));
    }
    free(copy);
}

static void ends(const char *field, size_t size)
{
    RTCI_ASSERT(memchr(field, '\0', size));
}

static void try_frame(const uint8_t *data, size_t size)
{
    struct rtci_net_read r;
    memset(&r, 0xff, sizeof(r));
    rtci_net_read(data, size, &r);
    switch (r.kind) {
    case RTCI_NET_IS_HELLO:
        RTCI_ASSERT(r.hello.session != 0);
        ends(r.hello.token, sizeof(r.hello.token));
        ends(r.hello.name, sizeof(r.hello.name));
        ends(r.hello.arch, sizeof(r.hello.arch));
        ends(r.hello.release, sizeof(r.hello.release));
        break;
    case RTCI_NET_IS_OLD_HELLO:
        RTCI_ASSERT(r.hello.wire_version != RTCI_WIRE_VERSION && r.hello.name[0] == '\0');
        ends(r.hello.release, sizeof(r.hello.release));
        break;
    case RTCI_NET_IS_WELCOME:
        ends(r.welcome.text, sizeof(r.welcome.text));
        ends(r.welcome.release, sizeof(r.welcome.release));
        break;
    case RTCI_NET_IS_BULK:
        RTCI_ASSERT(r.body >= data && r.body + r.body_size == data + size);
        RTCI_ASSERT(r.body_size <= RTCI_BULK_MAX);
        break;
    default: break;
    }
}

/* Each byte says how long the next part is. */
static void try_zap(const uint8_t *data, size_t size)
{
    struct rtci_net_part parts[RTCI_ZAP_PARTS + 1] = {0};
    uint8_t key[RTCI_KEY_BYTES];
    size_t n = 0;
    for (size_t at = 0; at < size && n < RTCI_ZAP_PARTS + 1; n++) {
        size_t part = data[at++];
        part = part < size - at ? part : size - at;
        parts[n] = (struct rtci_net_part){data + at, part};
        at += part;
    }
    if (rtci_zap_judge(parts, n, key))
        RTCI_ASSERT(n == RTCI_ZAP_PARTS && parts[6].size == sizeof(key) &&
                    memcmp(key, parts[6].data, sizeof(key)) == 0);
}

static void try_span(const uint8_t *data, size_t size)
{
    for (size_t at = 0, n; at < size; at += n) {
        n = rtci_net_cut(data + at, size - at);
        RTCI_ASSERT(n <= size - at && n % 8 == 0);
        if (n == 0)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0] % WHATS) {
    case JOIN: try_join(data + 1, size - 1); break;
    case FRAME: try_frame(data + 1, size - 1); break;
    case ZAP: try_zap(data + 1, size - 1); break;
    default: try_span(data + 1, size - 1); break;
    }
    return 0;
}

/* ---- Inputs ---- */

static size_t make_join(struct rng *rng, char *at)
{
    static const char *const addresses[] = {"h:1", "10.0.0.1:6380,b.c:2", "[::1]:9"};
    struct rtci_join join = {0};
    rtci_net_text(join.addresses, sizeof(join.addresses), addresses[rng_below(rng, 3)]);
    for (size_t i = 0; i < RTCI_KEY_BYTES; i++)
        join.server[i] = (uint8_t)rng_below(rng, 256);
    rtci_net_text(join.token, sizeof(join.token), "0123abcd.0123456789abcdef0123456789abcdef");
    rtci_join_format(&join, at, 1024);
    return strlen(at);
}

static size_t put(uint8_t *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return size;
}

static size_t make_frame(struct rng *rng, uint8_t *at)
{
    struct rtci_net_prefix prefix = {RTCI_NET_HELLO, rng_below(rng, 8)};
    struct rtci_net_hello hello = {.wire_version = rng_below(rng, 3), .session = 1};
    struct rtci_net_welcome welcome = {.node = rng_below(rng, 4)};
    struct rtci_net_bulker bulker = {.magic = RTCI_NET_BULKER, .session = 1};
    struct rtci_net_bulk bulk = {.magic = RTCI_NET_BULK, .to = rng_below(rng, 4)};
    struct rtci_frame frame = {.magic = RTCI_FRAME_MAGIC, .kind = (uint16_t)rng_below(rng, 6)};
    memset(hello.name, 'n', rng_below(rng, sizeof(hello.name) + 1));
    size_t n;
    switch (rng_below(rng, 5)) {
    case 0: n = put(at, &prefix, sizeof(prefix)); return n + put(at + n, &hello, sizeof(hello));
    case 1:
        prefix.magic = RTCI_NET_WELCOME;
        n = put(at, &prefix, sizeof(prefix));
        return n + put(at + n, &welcome, sizeof(welcome));
    case 2: return put(at, &bulker, sizeof(bulker));
    case 3: return put(at, &bulk, sizeof(bulk)) + rng_below(rng, 64);
    default: return put(at, &frame, sizeof(frame)) + rng_below(rng, 64);
    }
}

static size_t make_zap(struct rng *rng, uint8_t *at)
{
    static const char *const parts[] = {
        "1.0", "1", RTCI_ZAP_DOMAIN, "::1", "", "CURVE", "0123456789abcdef0123456789abcdef"};
    size_t n = 0;
    for (size_t i = 0; i < RTCI_ZAP_PARTS; i++) {
        at[n] = (uint8_t)strlen(parts[i]);
        n += 1 + put(at + n + 1, parts[i], strlen(parts[i]));
    }
    return rng_below(rng, 8) ? n : n + put(at + n, "\1x", 2);
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    uint64_t span[4096];
    size_t size;
    at[0] = (uint8_t)rng_below(rng, WHATS);
    memset(at + 1, 0, 2048);
    switch (at[0]) {
    case JOIN: return 1 + make_join(rng, (char *)at + 1);
    case FRAME: return 1 + make_frame(rng, at + 1);
    case ZAP: return 1 + make_zap(rng, at + 1);
    default:
        size = span_make(rng, (uint8_t *)span, 1 + rng_below(rng, 3), NULL);
        return 1 + put(at + 1, span, size);
    }
}
