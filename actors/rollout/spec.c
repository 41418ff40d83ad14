#include "actors/rollout/spec.h"

#include <stdlib.h>

#define MAGIC 0x31637073u

/* One walk over all fields, which counts, writes or reads: so the two sides cannot differ. */
struct walk {
    enum { COUNT, WRITE, READ } how;
    uint8_t *bytes; /* WRITE, READ */
    size_t at, size;
    char *memory; /* READ: where arrays and strings go; NULL: only how much they need */
    size_t used;
    bool bad;
};

static void raw(struct walk *w, void *data, size_t size)
{
    if (w->how != COUNT && size > w->size - w->at) {
        w->bad = true;
        return;
    }
    if (w->how == WRITE && size)
        memcpy(w->bytes + w->at, data, size);
    else if (w->how == READ && size)
        memcpy(data, w->bytes + w->at, size);
    w->at += size;
}

static void u32(struct walk *w, uint32_t *x)
{
    raw(w, x, sizeof(*x));
}

/* An array that *array points to: when it is read, its place is found here. */
static void array(struct walk *w, const void **data, size_t n, size_t size)
{
    if (w->how != READ) {
        raw(w, (void *)(uintptr_t)*data, n * size);
        return;
    }
    if (n > SPEC_BYTES_MAX || w->bad || n * size > w->size - w->at) {
        w->bad = true;
        *data = NULL;
        return;
    }
    *data = w->memory ? w->memory + w->used : NULL;
    if (w->memory && n)
        memcpy(w->memory + w->used, w->bytes + w->at, n * size);
    w->at += n * size;
    w->used += (n * size + 7) & ~(size_t)7;
}

static void string(struct walk *w, const char **text)
{
    uint32_t n = w->how == READ || !*text ? 0 : (uint32_t)strlen(*text) + 1;
    u32(w, &n);
    if (w->how == READ && n && (n > w->size - w->at || w->bytes[w->at + n - 1] != 0))
        w->bad = true;
    array(w, (const void **)text, w->bad ? 0 : n, 1);
    if (w->how == READ && n == 0)
        *text = NULL;
}

/* A box of bounds, or none. */
static void bounds(struct walk *w, const float **x, uint32_t n)
{
    uint32_t there = *x != NULL;
    u32(w, &there);
    array(w, (const void **)x, there ? n : 0, sizeof(float));
    if (!there)
        *x = NULL;
}

static void space(struct walk *w, struct rtc_env_space *s)
{
    uint32_t clips = s->clips, masked = s->masked;
    u32(w, &s->n_floats);
    bounds(w, &s->low, s->n_floats);
    bounds(w, &s->high, s->n_floats);
    u32(w, &s->ndim);
    raw(w, s->shape, sizeof(s->shape));
    u32(w, &clips);
    u32(w, &s->n_choices);
    array(w, (const void **)&s->choices, s->n_choices, sizeof(s->choices[0]));
    u32(w, &masked);
    s->clips = clips;
    s->masked = masked;
    w->bad |= s->ndim > RTC_ENV_NDIM_MAX;
}

static void kind(struct walk *w, struct rtc_env_kind *k)
{
    string(w, &k->name);
    space(w, &k->observation);
    space(w, &k->action);
    u32(w, &k->policy);
}

/* `kinds` and `infos` are places for what is read; there is one even when only sizes are found. */
static void all(struct walk *w, struct rtc_env_spec *s, struct rtc_env_kind *kinds,
                const char **infos)
{
    uint32_t sizes[] = {(uint32_t)s->observation_size, (uint32_t)s->action_size,
                        (uint32_t)s->mask_size};
    uint32_t magic = MAGIC, n_kinds = s->n_kinds, n_infos = s->n_infos;
    u32(w, &magic);
    u32(w, &n_kinds);
    u32(w, &n_infos);
    w->bad |= magic != MAGIC || n_kinds != s->n_kinds || n_infos != s->n_infos;
    string(w, &s->name);
    u32(w, &s->slots);
    u32(w, &s->features);
    u32(w, &s->rows_max);
    u32(w, &s->n_policies);
    u32(w, &s->max_episode_steps);
    raw(w, sizes, sizeof(sizes));
    for (uint32_t i = 0; !w->bad && i < s->n_kinds; i++) {
        struct rtc_env_kind one = w->how == READ ? (struct rtc_env_kind){0} : s->kinds[i];
        kind(w, &one);
        if (kinds)
            kinds[i] = one;
        w->bad |= one.policy >= s->n_policies;
    }
    for (uint32_t i = 0; !w->bad && i < s->n_infos; i++) {
        const char *one = w->how == READ ? NULL : s->infos[i];
        string(w, &one);
        if (infos)
            infos[i] = one;
    }
    s->observation_size = sizes[0];
    s->action_size = sizes[1];
    s->mask_size = sizes[2];
}

int spec_pack(const struct rtc_env_spec *spec, void **ret_data, size_t *ret_size)
{
    struct rtc_env_spec copy = *spec;
    struct walk w = {.how = COUNT};
    all(&w, &copy, NULL, NULL);
    if (w.at > SPEC_BYTES_MAX)
        return rtc_env_fail(RTC_E_TOO_LARGE, "the spaces of %s are too large", spec->name);
    w = (struct walk){.how = WRITE, .size = w.at, .bytes = malloc(w.at)};
    if (!w.bytes)
        return rtc_env_fail(RTC_E_NOMEM, "out of memory");
    all(&w, &copy, NULL, NULL);
    *ret_data = w.bytes;
    *ret_size = w.size;
    return 0;
}

int spec_unpack(const void *data, size_t size, struct rtc_env_spec **ret_spec)
{
    uint32_t head[3] = {0};
    if (size >= sizeof(head))
        memcpy(head, data, sizeof(head));
    /* Each kind and info takes some bytes, so there are not more of them than that. */
    if (head[0] != MAGIC || head[1] > size || head[2] > size || size > SPEC_BYTES_MAX)
        return rtc_env_fail(RTC_E_INVALID, "these bytes are not the spec of an environment");
    struct rtc_env_spec spec = {.n_kinds = head[1], .n_infos = head[2]};
    struct walk w = {.how = READ, .bytes = (uint8_t *)(uintptr_t)data, .size = size};
    all(&w, &spec, NULL, NULL);
    if (w.bad || w.at != size)
        return rtc_env_fail(RTC_E_INVALID, "the spec of an environment is not whole");
    size_t kinds = spec.n_kinds * sizeof(*spec.kinds), infos = spec.n_infos * sizeof(*spec.infos);
    char *block = calloc(1, sizeof(spec) + kinds + infos + w.used);
    if (!block)
        return rtc_env_fail(RTC_E_NOMEM, "out of memory");
    struct rtc_env_spec *copy = (struct rtc_env_spec *)(void *)block;
    struct rtc_env_kind *kind_at = (struct rtc_env_kind *)(void *)(block + sizeof(spec));
    const char **info_at = (const char **)(void *)(block + sizeof(spec) + kinds);
    *copy = (struct rtc_env_spec){
        .n_kinds = head[1], .n_infos = head[2], .kinds = kind_at, .infos = info_at};
    w = (struct walk){.how = READ,
                      .bytes = (uint8_t *)(uintptr_t)data,
                      .size = size,
                      .memory = block + sizeof(spec) + kinds + infos};
    all(&w, copy, kind_at, info_at);
    *ret_spec = copy;
    return 0;
}
