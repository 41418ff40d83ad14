#include "actors/rollout/replay.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC    UINT64_C(0x0059414c50435452) /* "RTCPLAY" */
#define NOT_OPEN UINT64_MAX

struct head {
    uint64_t magic, opens;
    uint32_t slots, action_size;
};
struct slot_head {
    uint64_t seed, number, random;
    uint64_t steps;
    uint64_t size;   /* of its actions, bytes; NOT_OPEN */
    uint64_t digest; /* of what is seen then */
};

/* ---- The log ---- */

int replay_init(struct replay *r, uint32_t slots, size_t action_size)
{
    *r = (struct replay){.n = slots, .action_size = action_size};
    r->slots = calloc(slots, sizeof(r->slots[0]));
    return r->slots ? 0 : rtc_env_fail(RTC_E_NOMEM, "out of memory");
}

static void drop(struct replay *r, struct replay_slot *s)
{
    r->bytes -= s->cap;
    free(s->actions);
    s->actions = NULL;
    s->size = s->cap = 0;
    s->open = false;
}

void replay_fini(struct replay *r)
{
    for (uint32_t i = 0; r->slots && i < r->n; i++)
        free(r->slots[i].actions);
    free(r->slots);
    *r = (struct replay){0};
}

void replay_begin(struct replay *r, uint32_t slot, uint64_t seed)
{
    struct replay_slot *s = &r->slots[slot];
    s->seed = seed;
    s->number = 0;
    s->size = 0;
    s->steps = 0;
    s->open = true;
}

void replay_step(struct replay *r, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        r->slots[i].steps++;
}

/* Room for `more` bytes. One that has none is open no longer. */
static bool grow(struct replay *r, struct replay_slot *s, size_t more)
{
    if (s->size + more <= s->cap)
        return true;
    size_t cap = 2 * s->cap + 64 * r->action_size + more;
    char *actions = r->bytes - s->cap + cap <= REPLAY_BYTES_MAX ? realloc(s->actions, cap) : NULL;
    if (!actions) {
        drop(r, s);
        return false;
    }
    r->bytes += cap - s->cap;
    s->actions = actions;
    s->cap = cap;
    return true;
}

void replay_act(struct replay *r, uint32_t slot, const void *action)
{
    struct replay_slot *s = &r->slots[slot];
    if (!s->open || !grow(r, s, r->action_size))
        return;
    memcpy(s->actions + s->size, action, r->action_size);
    s->size += r->action_size;
}

void replay_next(struct replay *r, uint32_t slot)
{
    struct replay_slot *s = &r->slots[slot];
    s->number++;
    s->size = 0;
    s->steps = 0;
    s->open = true;
}

/* ---- What a slot sees ---- */

struct view {
    struct rtc_env_rows rows; /* of one slot */
    float *rewards;
    uint8_t *ends;
    struct rtc_env_episode ended;
    struct rtc_env_episodes episodes;
    struct rtc_env_step step;
    size_t at; /* in its actions */
    uint64_t steps;
};

static void view_fini(struct view *v)
{
    free(v->rows.data);
    free(v->rows.masks);
    free(v->rows.table);
    free(v->rewards);
    free(v->ends);
}

static int view_init(struct view *v, const struct rtc_env_spec *spec)
{
    size_t n = spec->rows_max;
    *v = (struct view){.rows = {.cap = spec->rows_max,
                                .data = malloc(n * spec->observation_size + 1),
                                .size = n * spec->observation_size,
                                .stride = spec->observation_size,
                                .masks = malloc(n * spec->mask_size + 1),
                                .table = calloc(n, sizeof(struct rtc_env_row))},
                       .rewards = calloc(n, sizeof(float)),
                       .ends = calloc(n, 1)};
    if (v->rows.data && v->rows.masks && v->rows.table && v->rewards && v->ends)
        return 0;
    view_fini(v);
    return rtc_env_fail(RTC_E_NOMEM, "out of memory for %zu rows", n);
}

static uint64_t mix(uint64_t h, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return h;
}

static int digest(struct rtc_env *env, uint32_t slot, struct view *v, uint64_t *ret)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    v->rows.n = 0;
    v->rows.used = 0;
    int rc = rtc_env_observe(env, slot, 1, &v->rows);
    for (uint32_t i = 0; rc >= 0 && i < v->rows.n; i++) {
        const struct rtc_env_row *row = &v->rows.table[i];
        h = mix(h, &row->agent, sizeof(row->agent));
        h = mix(h, (const char *)v->rows.data + row->at, row->size);
    }
    *ret = h;
    return rc;
}

/* ---- As bytes ---- */

int replay_pack(const struct replay *r, struct rtc_env *env, const uint64_t *random, uint64_t opens,
                void **ret_data, size_t *ret_size)
{
    struct view view;
    size_t size = sizeof(struct head) + r->n * sizeof(struct slot_head);
    for (uint32_t i = 0; i < r->n; i++)
        size += r->slots[i].open ? r->slots[i].size : 0;
    int rc = view_init(&view, rtc_env_spec_of(env));
    if (rc < 0)
        return rc;
    char *data = malloc(size), *at = data;
    if (!data)
        rc = rtc_env_fail(RTC_E_NOMEM, "out of memory");
    struct head head = {MAGIC, opens, r->n, (uint32_t)r->action_size};
    for (uint32_t i = 0; rc >= 0 && i < r->n; i++) {
        const struct replay_slot *s = &r->slots[i];
        struct slot_head h = {s->seed, s->number, random[i], s->steps, s->open ? s->size : NOT_OPEN,
                              0};
        if (i == 0)
            at = (char *)memcpy(at, &head, sizeof(head)) + sizeof(head);
        rc = digest(env, i, &view, &h.digest);
        at = (char *)memcpy(at, &h, sizeof(h)) + sizeof(h);
        if (s->open && s->size)
            at = (char *)memcpy(at, s->actions, s->size) + s->size;
    }
    view_fini(&view);
    if (rc < 0) {
        free(data);
        return rc;
    }
    *ret_data = data;
    *ret_size = size;
    return 0;
}

/* ---- Again ---- */

static int is_other(void)
{
    return rtc_env_fail(RTC_E_INVALID, "these are not the open episodes of such an environment");
}

/* Into the log; digests: of what each slot is to see at the end, 0: that is not known. */
static int read_slots(struct replay *r, const char *data, size_t size, uint64_t *random,
                      uint64_t *digests, uint64_t *ret_opens)
{
    struct head head;
    size_t at = sizeof(head);
    if (size < sizeof(head))
        return is_other();
    memcpy(&head, data, sizeof(head));
    if (head.magic != MAGIC || head.slots != r->n || head.action_size != r->action_size)
        return is_other();
    for (uint32_t i = 0; i < r->n; i++) {
        struct slot_head h;
        if (size - at < sizeof(h))
            return is_other();
        memcpy(&h, data + at, sizeof(h));
        at += sizeof(h);
        bool open = h.size != NOT_OPEN;
        if (open && (h.size > size - at || h.size > REPLAY_BYTES_MAX))
            return is_other();
        replay_begin(r, i, h.seed);
        r->slots[i].number = h.number + !open;
        r->slots[i].steps = open ? h.steps : 0;
        if (open && h.size) {
            if (!grow(r, &r->slots[i], h.size))
                return rtc_env_fail(RTC_E_NOMEM, "out of memory for %llu bytes of actions",
                                    (unsigned long long)h.size);
            memcpy(r->slots[i].actions, data + at, h.size);
            r->slots[i].size = h.size;
        }
        at += open ? h.size : 0;
        random[i] = h.random;
        digests[i] = open ? h.digest : 0;
    }
    *ret_opens = head.opens;
    return at == size ? 0 : is_other();
}

static int went_elsewhere(uint32_t slot)
{
    return rtc_env_fail(RTC_E_INVALID,
                        "slot %u: the actions of its open episode led elsewhere the second time",
                        slot);
}

/* The next step of a slot, if it has one. 1: it was begun. */
static int begin_step(struct replay *r, struct rtc_env *env, uint32_t slot, struct view *v)
{
    const struct replay_slot *s = &r->slots[slot];
    size_t bytes = rtc_env_row_count(env, slot, 1) * r->action_size;
    if (v->steps == s->steps)
        return v->at == s->size ? 0 : went_elsewhere(slot);
    if (bytes > s->size - v->at)
        return went_elsewhere(slot);
    v->steps++;
    v->rows.n = 0;
    v->rows.used = 0;
    v->episodes = (struct rtc_env_episodes){.cap = 1, .list = &v->ended};
    v->step = (struct rtc_env_step){.first = slot,
                                    .n = 1,
                                    .actions = s->actions ? s->actions + v->at : (char *)v->rewards,
                                    .rewards = v->rewards,
                                    .ends = v->ends,
                                    .rows = &v->rows,
                                    .episodes = &v->episodes};
    v->at += bytes;
    int rc = rtc_env_begin(env, &v->step);
    return rc < 0 ? rc : 1;
}

/* A step of every slot that has one left. 1: some had. */
static int step_all(struct replay *r, struct rtc_env *env, struct view *views, bool *begun)
{
    int rc = 0, any = 0;
    for (uint32_t i = 0; rc >= 0 && i < r->n; i++) {
        rc = begin_step(r, env, i, &views[i]);
        begun[i] = rc == 1;
        any |= begun[i];
    }
    for (uint32_t i = 0; rc >= 0 && i < r->n; i++) {
        if (!begun[i])
            continue;
        rc = rtc_env_finish(env, &views[i].step);
        if (rc >= 0 && views[i].episodes.n)
            rc = went_elsewhere(i);
    }
    return rc < 0 ? rc : any;
}

static int again(struct replay *r, struct rtc_env *env, struct view *views, const uint64_t *digests)
{
    bool *begun = calloc(r->n, sizeof(*begun));
    int rc = begun ? 0 : rtc_env_fail(RTC_E_NOMEM, "out of memory");
    for (uint32_t i = 0; rc >= 0 && i < r->n; i++)
        rc = rtc_env_reset_at(env, i, 1, &r->slots[i].seed, &r->slots[i].number, &views[i].rows);
    while (rc >= 0 && (rc = step_all(r, env, views, begun)) > 0)
        ;
    for (uint32_t i = 0; rc >= 0 && i < r->n; i++) {
        uint64_t seen;
        rc = digest(env, i, &views[i], &seen);
        if (rc >= 0 && digests[i] && seen != digests[i])
            rc = went_elsewhere(i);
    }
    free(begun);
    return rc;
}

int replay_unpack(struct replay *r, struct rtc_env *env, const void *data, size_t size,
                  uint64_t *random, uint64_t *ret_opens)
{
    struct view *views = calloc(r->n, sizeof(*views));
    uint64_t *digests = calloc(r->n, sizeof(*digests));
    int rc = views && digests ? 0 : rtc_env_fail(RTC_E_NOMEM, "out of memory");
    if (rc >= 0)
        rc = read_slots(r, data, size, random, digests, ret_opens);
    uint32_t made = 0;
    while (rc >= 0 && made < r->n && (rc = view_init(&views[made], rtc_env_spec_of(env))) >= 0)
        made++;
    if (rc >= 0)
        rc = again(r, env, views, digests);
    while (made > 0)
        view_fini(&views[--made]);
    free(views);
    free(digests);
    return rc < 0 ? rc : 0;
}
