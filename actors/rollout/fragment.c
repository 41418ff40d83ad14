/* Where the columns of a fragment are. */
#include "actors/rollout/fragment.h"

#define MAGIC     UINT64_C(0x31656e6f2d636172) /* of this layout */
#define SIZE_MAX_ (UINT64_C(1) << 40)

static uint64_t round_up(uint64_t size)
{
    return (size + 63) & ~UINT64_C(63);
}

struct fragment_shape fragment_shape_of(const struct rtc_env_spec *spec, size_t dist_size,
                                        uint32_t steps)
{
    uint64_t cap = ((uint64_t)steps + 1) * spec->slots * spec->rows_max;
    return (struct fragment_shape){.steps = steps,
                                   .slots = spec->slots,
                                   .cap = cap < RTC_ENV_NONE ? (uint32_t)cap : 0,
                                   .observation_size = (uint32_t)spec->observation_size,
                                   .mask_size = (uint32_t)spec->mask_size,
                                   .action_size = (uint32_t)spec->action_size,
                                   .dist_size = (uint32_t)dist_size};
}

/* Returns the size of all. 40 bits: no sum of these overflows. */
static uint64_t lay_out(const struct fragment_shape *shape, uint64_t at[FRAGMENT_COLUMNS])
{
    uint64_t end = round_up(sizeof(struct fragment_head));
    const uint64_t sizes[] = {
#define X(NAME, name, type, size) size,
        FRAGMENT_MAP(X)
#undef X
    };
    for (int i = 0; i < FRAGMENT_COLUMNS; i++) {
        at[i] = end;
        end += round_up(sizes[i] * shape->cap);
        if (end > SIZE_MAX_)
            return 0;
    }
    return end;
}

size_t fragment_size(const struct fragment_shape *shape)
{
    uint64_t at[FRAGMENT_COLUMNS];
    return shape->cap ? lay_out(shape, at) : 0;
}

static void find_columns(char *block, const struct fragment_shape *shape,
                         const uint64_t at[FRAGMENT_COLUMNS], struct fragment *ret)
{
#define X(NAME, name, type, size) \
    ret->name = (size) ? (type *)(void *)(block + at[FRAGMENT_##NAME]) : NULL;
    FRAGMENT_MAP(X)
#undef X
}

void fragment_make(void *block, const struct fragment_shape *shape, struct fragment *ret)
{
    ret->head = block;
    *ret->head = (struct fragment_head){.magic = MAGIC, .shape = *shape};
    ret->head->size = lay_out(shape, ret->head->at);
    find_columns(block, shape, ret->head->at, ret);
}

static int check_rows(const struct fragment *f)
{
    const struct fragment_head *head = f->head;
    for (uint32_t i = 0; i < head->rows; i++) {
        const struct rtc_env_row *row = &f->table[i];
        if (row->slot >= head->shape.slots || row->size > head->shape.observation_size)
            return rtc_env_fail(RTC_E_INVALID, "row %u of a fragment cannot be", i);
    }
    for (uint32_t i = 0; i < head->acted; i++) {
        bool ended = f->ends[i] != 0, none = f->next[i] == RTC_ENV_NONE;
        if (ended != none || (!none && (f->next[i] <= i || f->next[i] >= head->rows)))
            return rtc_env_fail(RTC_E_INVALID, "row %u of a fragment goes on where it cannot", i);
    }
    return 0;
}

int fragment_read(const void *block, size_t size, struct fragment *ret)
{
    uint64_t at[FRAGMENT_COLUMNS];
    const struct fragment_head *head = block;
    if (size < sizeof(*head) || head->magic != MAGIC || head->size > size)
        return rtc_env_fail(RTC_E_INVALID, "this is no fragment of a rollout, or only part of one");
    if (!head->shape.cap || lay_out(&head->shape, at) != head->size ||
        memcmp(at, head->at, sizeof(at)) != 0 || head->rows > head->shape.cap ||
        head->acted > head->rows)
        return rtc_env_fail(RTC_E_INVALID, "the head of a fragment contradicts itself");
    ret->head = (struct fragment_head *)(uintptr_t)head;
    find_columns((char *)(uintptr_t)block, &head->shape, at, ret);
    return check_rows(ret);
}
