/* The durable key-value store. Every request is idempotent, so that a restarted daemon can be asked
 * again; RTC_E_EXISTS of put_new is the head's to decide, which remembers who put it. */
#include <stdlib.h>
#include <string.h>

#include "runtime/client/client.h"

static int check_key(const char *key)
{
    if (!key || !key[0])
        return rtci_error(RTC_E_INVALID, "the key is NULL or empty");
    if (strlen(key) > RTCI_KV_KEY_MAX)
        return rtci_error(RTC_E_TOO_LARGE, "the key \"%.40s…\" is longer than %d bytes", key,
                          RTCI_KV_KEY_MAX);
    return 0;
}

static int check_data(const char *key, const void *data, size_t size)
{
    RTCI_TRY(check_key(key));
    if (!data && size)
        return rtci_error(RTC_E_INVALID, "data is NULL");
    if (size > RTCI_KV_VALUE_MAX)
        return rtci_error(
            RTC_E_TOO_LARGE,
            "the value of key \"%.80s\" has %zu bytes; at most %llu are possible: put large "
            "data in an object and its name here",
            key, size, (unsigned long long)RTCI_KV_VALUE_MAX);
    return 0;
}

static void *build(struct rtc *rtc, struct request *q, uint32_t op, const char *key,
                   const void *data, size_t size)
{
    size_t ns_len = strlen(rtc->space), key_len = strlen(key);
    size_t bytes = sizeof(struct rtci_kv) + RTCI_ALIGN8(ns_len + key_len + size);
    struct rtci_kv *kv = calloc(1, bytes);
    if (!kv)
        return NULL;
    *q = (struct request){
        .kind = REQUEST_REPLY, .number = rtc->next_request++, .record = kv, .size = bytes};
    kv->rec = (struct rtci_rec){.size = (uint32_t)bytes, .type = RTCI_R_KV};
    kv->request = q->number;
    kv->op = op;
    kv->ns_len = (uint16_t)ns_len;
    kv->key_len = (uint16_t)key_len;
    kv->value_len = (uint32_t)size;
    char *at = (char *)(kv + 1);
    memcpy(at, rtc->space, ns_len);
    memcpy(at + ns_len, key, key_len);
    if (size)
        memcpy(at + ns_len + key_len, data, size);
    return kv;
}

static int status_error(int status, const char *key)
{
    if (status == RTC_E_NOT_FOUND)
        return rtci_error(status, "there is no key \"%.200s\"", key);
    if (status == RTC_E_EXISTS)
        return rtci_error(status, "the key \"%.200s\" exists already", key);
    if (status == RTC_E_STORE_FULL)
        return rtci_error(status, "the key-value store is full (%llu MiB): delete some keys",
                          (unsigned long long)(RTCI_KV_TOTAL_MAX / RTCI_MIB));
    return rtci_error(status, "key \"%.200s\": %s", key, rtc_error_text(status));
}

/* One request and its answer; *ret_data (may be NULL) is the caller's to free. */
static int ask(struct rtc *rtc, uint32_t op, const char *key, const void *data, size_t size,
               struct request *ret_request)
{
    RTCI_TRY(rtci_enter(rtc));
    void *kv = build(rtc, ret_request, op, key, data, size);
    int rc = kv ? rtci_request(rtc, ret_request, UINT64_MAX)
                : rtci_error(RTC_E_NOMEM, "out of memory for a request");
    if (rc == 0 && ret_request->status < 0) {
        rc = status_error(ret_request->status, key);
        free(ret_request->data);
        ret_request->data = NULL;
    }
    free(kv);
    rtci_leave(rtc);
    return rc;
}

int rtc_kv_put(struct rtc *rtc, const char *key, const void *data, size_t size)
{
    struct request q;
    RTCI_TRY(check_data(key, data, size));
    RTCI_TRY(ask(rtc, RTCI_KV_PUT, key, data, size, &q));
    free(q.data);
    return 0;
}

int rtc_kv_put_new(struct rtc *rtc, const char *key, const void *data, size_t size)
{
    struct request q;
    RTCI_TRY(check_data(key, data, size));
    RTCI_TRY(ask(rtc, RTCI_KV_PUT_NEW, key, data, size, &q));
    free(q.data);
    return 0;
}

int rtc_kv_get(struct rtc *rtc, const char *key, void **ret_data, size_t *ret_size)
{
    struct request q;
    RTCI_TRY(check_key(key));
    if (!ret_data || !ret_size)
        return rtci_error(RTC_E_INVALID, "ret_data or ret_size is NULL");
    RTCI_TRY(ask(rtc, RTCI_KV_GET, key, NULL, 0, &q));
    void *data = q.data ? q.data : malloc(1);
    if (!data)
        return rtci_error(RTC_E_NOMEM, "out of memory");
    *ret_data = data;
    *ret_size = q.reply.size;
    return 0;
}

int rtc_kv_delete(struct rtc *rtc, const char *key)
{
    struct request q;
    RTCI_TRY(check_key(key));
    RTCI_TRY(ask(rtc, RTCI_KV_DELETE, key, NULL, 0, &q));
    free(q.data);
    return 0;
}

/* ---- Bulk: all records are published at once, so that the daemon commits them together ---- */
static int put_batch(struct rtc *rtc, const struct rtc_kv_pair *pairs, struct request *q, size_t n)
{
    int rc = 0;
    size_t sent = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        void *kv = build(rtc, &q[i], RTCI_KV_PUT, pairs[i].key, pairs[i].data, pairs[i].size);
        if (!kv) {
            rc = rtci_error(RTC_E_NOMEM, "out of memory for %zu requests", n);
            break;
        }
        void *at;
        rc = rtci_reserve(rtc, q[i].size, UINT64_MAX, &at);
        if (rc == 0)
            memcpy(at, kv, q[i].size);
        q[i].next = rtc->requests;
        rtc->requests = &q[i];
        sent = i + 1;
    }
    rtci_send(rtc);
    for (size_t i = 0; i < sent && rc == 0; i++) {
        while (rc == 0 && !q[i].done)
            rc = rtci_block(rtc, 0, UINT64_MAX);
        if (rc == 0 && q[i].status < 0)
            rc = status_error(q[i].status, pairs[i].key);
    }
    for (size_t i = 0; i < sent; i++) {
        struct request **at = &rtc->requests;
        while (*at != &q[i])
            at = &(*at)->next;
        *at = q[i].next;
        free((void *)(uintptr_t)q[i].record);
        free(q[i].data);
    }
    return rc;
}

int rtc_kv_put_many(struct rtc *rtc, const struct rtc_kv_pair *pairs, size_t n)
{
    if (!pairs && n)
        return rtci_error(RTC_E_INVALID, "pairs is NULL");
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        RTCI_TRY(check_data(pairs[i].key, pairs[i].data, pairs[i].size));
        bytes +=
            sizeof(struct rtci_kv) + strlen(pairs[i].key) + sizeof(rtc->space) + 8 + pairs[i].size;
    }
    /* One commit is one turn of the daemon, which takes so much out of a ring at most. */
    if (bytes > RTCI_TURN_BYTES_MAX)
        return rtci_error(
            RTC_E_TOO_LARGE,
            "%zu pairs make %zu bytes; one commit holds at most %llu: put them in parts", n, bytes,
            (unsigned long long)RTCI_TURN_BYTES_MAX);
    struct request *q = calloc(n ? n : 1, sizeof(*q));
    if (!q)
        return rtci_error(RTC_E_NOMEM, "out of memory for %zu requests", n);
    int rc = rtci_enter(rtc);
    if (rc == 0) {
        rc = put_batch(rtc, pairs, q, n);
        rtci_leave(rtc);
    }
    free(q);
    return rc;
}

/* ---- List ---- */
struct page {
    int (*fn)(void *arg, const char *key, const void *data, size_t size);
    void *arg;
    char last[RTCI_KV_KEY_MAX + 1];
    bool stop;
};

static int walk_page(struct page *page, const struct request *q)
{
    const char *at = q->data, *end = at + q->reply.size;
    for (uint32_t i = 0; i < q->reply.n && !page->stop; i++) {
        uint16_t key_len;
        uint32_t value_len;
        if (end - at < 6)
            return rtci_error(RTC_E_PROTOCOL, "the daemon's list is malformed");
        memcpy(&key_len, at, sizeof(key_len));
        memcpy(&value_len, at + 2, sizeof(value_len));
        at += 6;
        if (key_len > RTCI_KV_KEY_MAX || (uint64_t)key_len + value_len > (uint64_t)(end - at))
            return rtci_error(RTC_E_PROTOCOL, "the daemon's list is malformed");
        memcpy(page->last, at, key_len);
        page->last[key_len] = '\0';
        page->stop = page->fn(page->arg, page->last, at + key_len, value_len) != 0;
        at += key_len + value_len;
    }
    return 0;
}

int rtc_kv_list(struct rtc *rtc, const char *prefix,
                int (*fn)(void *arg, const char *key, const void *data, size_t size), void *arg)
{
    if (!fn || (prefix && strlen(prefix) > RTCI_KV_KEY_MAX))
        return rtci_error(RTC_E_INVALID, "fn is NULL, or prefix is too long");
    struct page page = {.fn = fn, .arg = arg};
    for (;;) {
        struct request q;
        RTCI_TRY(ask(rtc, RTCI_KV_LIST, prefix ? prefix : "", page.last, strlen(page.last), &q));
        int rc = walk_page(&page, &q);
        free(q.data);
        RTCI_TRY(rc);
        if (page.stop || q.reply.cursor == 0 || q.reply.n == 0)
            return 0;
    }
}
