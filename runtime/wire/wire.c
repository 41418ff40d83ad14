#include "runtime/wire/wire.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

const char *rtci_wire_name(uint16_t type)
{
    switch (type) {
#define X(value, name, text) \
    case value: return #name;
        RTCI_REC_MAP(X)
#undef X
    default: return "?";
    }
}

bool rtci_wire_only(const void *span, size_t len, uint16_t type)
{
    const char *at = span, *end = at + len;
    while (at < end && ((const struct rtci_rec *)at)->type == type)
        at += ((const struct rtci_rec *)at)->size;
    return at >= end;
}

uint64_t rtci_function_hash(const char *name, size_t len)
{
    uint64_t hash = XXH3_64bits(name, len);
    return hash ? hash : 1; /* 0 means "a command" */
}
