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

uint64_t rtci_function_hash(const char *name, size_t len)
{
    uint64_t hash = XXH3_64bits(name, len);
    return hash ? hash : 1; /* 0 means "a command" */
}
