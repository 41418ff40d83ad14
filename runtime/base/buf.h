/* A growable byte buffer. Allocation failure is remembered in `failed`, so that a run of appends
 * is checked once at its end. Zero-initialised is empty and valid. */
#ifndef RTCI_BASE_BUF_H
#define RTCI_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rtci_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    bool failed;
};

/* Makes room for `extra` more bytes. False, and `failed` set, when memory is out. */
bool rtci_buf_reserve(struct rtci_buf *buf, size_t extra);
void rtci_buf_fini(struct rtci_buf *buf);

static inline void rtci_buf_clear(struct rtci_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

/* Returns where `size` new bytes were appended (uninitialised), or NULL. */
static inline void *rtci_buf_add(struct rtci_buf *buf, size_t size)
{
    if (buf->cap - buf->len < size && !rtci_buf_reserve(buf, size))
        return NULL;
    void *at = buf->data + buf->len;
    buf->len += size;
    return at;
}

static inline void rtci_buf_put(struct rtci_buf *buf, const void *data, size_t size)
{
    void *at = rtci_buf_add(buf, size);
    if (at && size)
        memcpy(at, data, size);
}

#endif
