/* The durable key-value store. */
#include <stdlib.h>

#include "runtime/core/head_internal.h"

void head_reply(struct rtci_head_core *core, struct client *client, uint64_t request, int status,
                uint32_t n, uint64_t cursor, struct rtci_id id, const void *data, uint32_t size)
{
    struct rtci_reply *out = head_out_client(core, client, RTCI_R_REPLY, sizeof(*out) + size);
    if (!out)
        return;
    out->request = request;
    out->status = status;
    out->n = n;
    out->cursor = cursor;
    out->id = id;
    out->size = size;
    out->pad = 0;
    if (size)
        memcpy(out + 1, data, size);
}

static int compare(const struct kv *kv, const char *key, uint32_t len)
{
    uint32_t n = kv->key_len < len ? kv->key_len : len;
    int c = memcmp(kv->key, key, n);
    return c ? c : kv->key_len < len ? -1 : kv->key_len > len;
}

/* First key that is not less. */
static struct kv_place lower_bound(const struct rtci_head_core *core, const char *key, uint32_t len)
{
    uint32_t lo = 0, hi = core->n_kv_blocks; /* the first block whose last key is not less */
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct kv_block *block = core->kv_blocks[mid];
        if (compare(&block->kv[block->n - 1], key, len) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    struct kv_place place = {lo, 0};
    for (hi = lo < core->n_kv_blocks ? core->kv_blocks[lo]->n : 0; place.at < hi;) {
        uint32_t mid = place.at + (hi - place.at) / 2;
        if (compare(&core->kv_blocks[lo]->kv[mid], key, len) < 0)
            place.at = mid + 1;
        else
            hi = mid;
    }
    return place;
}

/* NULL behind the last. */
static struct kv *kv_at(const struct rtci_head_core *core, struct kv_place place)
{
    return place.block < core->n_kv_blocks ? &core->kv_blocks[place.block]->kv[place.at] : NULL;
}

static struct kv_place kv_next(const struct rtci_head_core *core, struct kv_place place)
{
    if (++place.at == core->kv_blocks[place.block]->n)
        place = (struct kv_place){place.block + 1, 0};
    return place;
}

static struct kv *kv_find(struct rtci_head_core *core, const char *key, uint32_t len)
{
    struct kv *kv = kv_at(core, lower_bound(core, key, len));
    return kv && !compare(kv, key, len) ? kv : NULL;
}

static void block_insert(struct rtci_head_core *core, uint32_t at)
{
    HEAD_GROW(core->kv_blocks, core->cap_kv_blocks, core->n_kv_blocks);
    memmove(&core->kv_blocks[at + 1], &core->kv_blocks[at],
            (core->n_kv_blocks++ - at) * sizeof(core->kv_blocks[0]));
    core->kv_blocks[at] = calloc(1, sizeof(struct kv_block));
    RTCI_ASSERT(core->kv_blocks[at]);
}

/* Makes room at the place. Keys that come in order fill their blocks: a full last block is not
 * split for one that goes behind it. */
static struct kv *kv_insert(struct rtci_head_core *core, struct kv_place place)
{
    if (place.block == core->n_kv_blocks && place.block) {
        place.block--;
        place.at = core->kv_blocks[place.block]->n;
    }
    if (!core->n_kv_blocks) {
        block_insert(core, 0);
    } else if (core->kv_blocks[place.block]->n == KV_BLOCK) {
        uint32_t left = place.at == KV_BLOCK ? KV_BLOCK : KV_BLOCK / 2;
        block_insert(core, place.block + 1);
        struct kv_block *from = core->kv_blocks[place.block],
                        *to = core->kv_blocks[place.block + 1];
        to->n = KV_BLOCK - left;
        memcpy(to->kv, &from->kv[left], to->n * sizeof(to->kv[0]));
        from->n = left;
        if (place.at > left || left == KV_BLOCK)
            place = (struct kv_place){place.block + 1, place.at - left};
    }
    struct kv_block *block = core->kv_blocks[place.block];
    memmove(&block->kv[place.at + 1], &block->kv[place.at],
            (block->n++ - place.at) * sizeof(block->kv[0]));
    core->n_kvs++;
    return &block->kv[place.at];
}

static void kv_remove(struct rtci_head_core *core, struct kv_place place)
{
    struct kv_block *block = core->kv_blocks[place.block];
    free(block->kv[place.at].key);
    core->n_kvs--;
    memmove(&block->kv[place.at], &block->kv[place.at + 1],
            (--block->n - place.at) * sizeof(block->kv[0]));
    if (block->n)
        return;
    free(block);
    memmove(&core->kv_blocks[place.block], &core->kv_blocks[place.block + 1],
            (--core->n_kv_blocks - place.block) * sizeof(core->kv_blocks[0]));
}

void head_kv_set(struct rtci_head_core *core, const char *key, uint32_t key_len, uint32_t ns_len,
                 const void *value, uint32_t size, bool present)
{
    struct kv_place place = lower_bound(core, key, key_len);
    struct kv *kv = kv_at(core, place);
    if (kv && compare(kv, key, key_len))
        kv = NULL;
    if (kv) {
        core->stats.kv_bytes -= kv->size + kv->key_len;
        core->stats.bytes_alive -= kv->size + kv->key_len;
        free(kv->value);
        kv->value = NULL;
    }
    if (!present) {
        if (kv)
            kv_remove(core, place);
        return;
    }
    if (!kv) {
        kv = kv_insert(core, place);
        *kv = (struct kv){.key = malloc(key_len + 1), .key_len = key_len, .ns_len = ns_len};
        RTCI_ASSERT(kv->key);
        memcpy(kv->key, key, key_len);
        kv->key[key_len] = 0;
    }
    kv->size = size;
    kv->value = malloc(size + 1);
    RTCI_ASSERT(kv->value);
    if (size)
        memcpy(kv->value, value, size);
    core->stats.kv_bytes += size + key_len;
    core->stats.bytes_alive += size + key_len;
}

#define LIST_PAGE_BYTES (256 * 1024)

static void kv_list(struct rtci_head_core *core, struct client *client, const struct rtci_kv *rec,
                    const char *prefix, uint32_t len, const char *after, uint32_t after_len)
{
    struct rtci_buf buf = {0};
    uint32_t n = 0;
    struct kv_place at = lower_bound(core, prefix, len);
    uint64_t more = 0;
    if (after_len > len - rec->key_len) { /* the last key seen, with its namespace in front */
        at = lower_bound(core, after, after_len);
        if (kv_at(core, at) && !compare(kv_at(core, at), after, after_len))
            at = kv_next(core, at);
    }
    for (const struct kv *kv; (kv = kv_at(core, at)); at = kv_next(core, at)) {
        if (kv->key_len < len || memcmp(kv->key, prefix, len))
            break;
        if (buf.len > LIST_PAGE_BYTES) {
            more = 1;
            break;
        }
        uint16_t key_len = (uint16_t)(kv->key_len - kv->ns_len - 1);
        rtci_buf_put(&buf, &key_len, sizeof(key_len));
        rtci_buf_put(&buf, &kv->size, sizeof(kv->size));
        rtci_buf_put(&buf, kv->key + kv->ns_len + 1, key_len);
        rtci_buf_put(&buf, kv->value, kv->size);
        n++;
    }
    head_reply(core, client, rec->request, 0, n, more, (struct rtci_id){0}, buf.data,
               (uint32_t)buf.len);
    rtci_buf_fini(&buf);
}

/* Executors do not know the namespace: empty means the one of their job. */
const char *head_namespace(struct rtci_head_core *core, const struct client *client,
                           const char *given, uint32_t *len)
{
    if (*len || !client->job)
        return given;
    const char *ns = core->jobs[client->job].ns;
    *len = (uint32_t)strlen(ns);
    return ns;
}

/* What the cluster itself keeps: read and written by operators, not by programs. */
#define KV_OWN "rtc/"

/* Where actors keep their state: each has the key of its id, and only as it lives may it write. */
#define KV_ACTOR "rtc/actor"

static bool denied(struct rtci_head_core *core, const struct client *client,
                   const struct rtci_kv *rec, const char *ns, uint32_t len, const char *name)
{
    struct rtci_id id;
    if (client->role == RTCI_ROLE_TOOL || len < strlen(KV_OWN) ||
        memcmp(ns, KV_OWN, strlen(KV_OWN)) != 0)
        return false;
    if (len != strlen(KV_ACTOR) || memcmp(ns, KV_ACTOR, len) != 0 || rec->key_len != sizeof(id))
        return true;
    memcpy(&id, name, sizeof(id));
    return !head_actor_is(core, client, id);
}

void head_kv_forget_actor(struct rtci_head_core *core, struct rtci_id id)
{
    char key[sizeof(KV_ACTOR) + sizeof(id)];
    memcpy(key, KV_ACTOR, sizeof(KV_ACTOR));
    memcpy(key + sizeof(KV_ACTOR), &id, sizeof(id));
    const struct kv *kv = kv_find(core, key, sizeof(key));
    if (!kv)
        return;
    head_j_kv(core, kv, false);
    head_kv_set(core, key, sizeof(key), sizeof(KV_ACTOR) - 1, NULL, 0, false);
}

void head_kv(struct rtci_head_core *core, struct client *client, const struct rtci_kv *rec)
{
    char key[RTCI_KV_KEY_MAX * 2 + 2], after[RTCI_KV_KEY_MAX * 2 + 2];
    const char *ns = (const char *)(rec + 1), *name = ns + rec->ns_len;
    const uint8_t *value = (const uint8_t *)name + rec->key_len;
    struct rtci_id none = {0};
    if (rec->ns_len > RTCI_KV_KEY_MAX || rec->key_len > RTCI_KV_KEY_MAX ||
        rec->value_len > RTCI_KV_VALUE_MAX) {
        head_reply(core, client, rec->request, RTC_E_TOO_LARGE, 0, 0, none, NULL, 0);
        return;
    }
    uint32_t ns_len = rec->ns_len;
    ns = head_namespace(core, client, ns, &ns_len);
    if (denied(core, client, rec, ns, ns_len, name)) {
        head_reply(core, client, rec->request, RTC_E_DENIED, 0, 0, none, NULL, 0);
        return;
    }
    memcpy(key, ns, ns_len);
    key[ns_len] = 0;
    memcpy(key + ns_len + 1, name, rec->key_len);
    uint32_t len = ns_len + 1u + rec->key_len;
    struct kv *kv = rec->op == RTCI_KV_LIST ? NULL : kv_find(core, key, len);
    int status = 0;
    switch (rec->op) {
    case RTCI_KV_GET:
        head_reply(core, client, rec->request, kv ? 0 : RTC_E_NOT_FOUND, kv ? 1 : 0, 0, none,
                   kv ? kv->value : NULL, kv ? kv->size : 0);
        return;
    case RTCI_KV_LIST: {
        uint32_t after_len = ns_len + 1u;
        if (rec->value_len > RTCI_KV_KEY_MAX)
            break;
        memcpy(after, key, after_len);
        memcpy(after + after_len, value, rec->value_len);
        kv_list(core, client, rec, key, len, after, after_len + rec->value_len);
        return;
    }
    case RTCI_KV_PUT_NEW:
        if (kv) { /* a repeated request finds its own value: that is a success */
            bool same = kv->size == rec->value_len && !memcmp(kv->value, value, kv->size);
            status = same && rec->rec.flags ? 0 : RTC_E_EXISTS;
            break;
        }
        __attribute__((fallthrough));
    case RTCI_KV_PUT:
        if (core->stats.kv_bytes + rec->value_len > RTCI_KV_TOTAL_MAX) {
            status = RTC_E_TOO_LARGE;
            break;
        }
        head_kv_set(core, key, len, ns_len, value, rec->value_len, true);
        head_j_kv(core, kv_find(core, key, len), true);
        break;
    case RTCI_KV_DELETE:
        if (!kv) {
            status = RTC_E_NOT_FOUND;
            break;
        }
        head_j_kv(core, kv, false);
        head_kv_set(core, key, len, ns_len, NULL, 0, false);
        break;
    default: status = RTC_E_INVALID; break;
    }
    head_reply(core, client, rec->request, status, 0, 0, none, NULL, 0);
}

/* ---- For the loop ---- */

static uint32_t full_key(const char *ns, const char *key, char *out)
{
    size_t ns_len = strlen(ns), key_len = strlen(key);
    RTCI_ASSERT(ns_len <= RTCI_KV_KEY_MAX && key_len <= RTCI_KV_KEY_MAX);
    memcpy(out, ns, ns_len + 1);
    memcpy(out + ns_len + 1, key, key_len);
    return (uint32_t)(ns_len + 1 + key_len);
}

int rtci_head_core_kv_get(struct rtci_head_core *core, const char *ns, const char *key,
                          const void **ret_value, uint32_t *ret_size)
{
    char full[RTCI_KV_KEY_MAX * 2 + 2];
    const struct kv *kv = kv_find(core, full, full_key(ns, key, full));
    *ret_value = kv ? kv->value : NULL;
    *ret_size = kv ? kv->size : 0;
    return kv ? 0 : RTC_E_NOT_FOUND;
}

void rtci_head_core_kv_put(struct rtci_head_core *core, uint64_t now_ns, const char *ns,
                           const char *key, const void *value, uint32_t size,
                           struct rtci_head_actions *actions)
{
    char full[RTCI_KV_KEY_MAX * 2 + 2];
    uint32_t len = full_key(ns, key, full), ns_len = (uint32_t)strlen(ns);
    RTCI_ASSERT(size <= RTCI_KV_VALUE_MAX && (value || !size));
    const struct kv *kv = kv_find(core, full, len);
    if (!value && !kv)
        return;
    head_begin(core, now_ns, actions);
    if (!value)
        head_j_kv(core, kv, false);
    head_kv_set(core, full, len, ns_len, value, size, value != NULL);
    if (value)
        head_j_kv(core, kv_find(core, full, len), true);
    head_finish(core);
}

uint32_t rtci_head_core_kv_each(struct rtci_head_core *core, const char *ns,
                                void (*fn)(void *arg, const char *key, uint32_t key_len,
                                           const void *value, uint32_t size),
                                void *arg)
{
    char prefix[RTCI_KV_KEY_MAX * 2 + 2];
    uint32_t len = full_key(ns, "", prefix), n = 0;
    struct kv_place at = lower_bound(core, prefix, len);
    for (const struct kv *kv; (kv = kv_at(core, at)); at = kv_next(core, at), n++) {
        if (kv->key_len < len || memcmp(kv->key, prefix, len))
            break;
        fn(arg, kv->key + len, kv->key_len - len, kv->value, kv->size);
    }
    return n;
}
