#include "runtime/base/buf.h"

#include <stdlib.h>

bool rtci_buf_reserve(struct rtci_buf *buf, size_t extra)
{
    if (extra <= buf->cap - buf->len)
        return true;
    size_t cap = buf->cap ? buf->cap : 256;
    while (cap - buf->len < extra && cap <= SIZE_MAX / 2)
        cap *= 2;
    uint8_t *data = cap - buf->len < extra ? NULL : realloc(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

void rtci_buf_fini(struct rtci_buf *buf)
{
    free(buf->data);
    memset(buf, 0, sizeof(*buf));
}
