/* Which rows there are: what a class gave is checked and kept, so that the actions that come back
 * for it can be checked, and so that rows of one step find those of the next. */
#include "actors/env/inner.h"

const struct rtc_env_kind *rtci_env_kind_of(const struct rtc_env *env, uint32_t slot, uint32_t row)
{
    uint32_t kind = env->spec.n_kinds == 1 ? 0 : row;
    if (env->rows)
        kind = env->rows[(size_t)slot * env->spec.rows_max + row].kind;
    return &env->spec.kinds[kind];
}

static int broken(const struct rtc_env *env, const char *what)
{
    return rtc_env_fail(RTC_E_INVALID, "the environment class %s is wrong: %s", env->name, what);
}

/* Is there something left to choose? */
static bool mask_is_fine(const struct rtc_env_space *space, const uint8_t *mask)
{
    for (uint32_t i = 0; space->masked && i < space->n_choices; i++) {
        if (!memchr(mask, 1, space->choices[i]))
            return false;
        mask += space->choices[i];
    }
    return true;
}

static int keep_mask(struct rtc_env *env, uint32_t slot, uint32_t row,
                     const struct rtc_env_rows *rows, uint32_t number)
{
    size_t size = env->spec.mask_size, place = (size_t)slot * env->spec.rows_max + row;
    if (!size)
        return 0;
    uint8_t *mask =
        memcpy(env->masks + place * size, rows->masks + number * rows->mask_stride, size);
    if ((!env->rows || env->rows[place].flags & RTC_ENV_ACTIVE) &&
        !mask_is_fine(&rtci_env_kind_of(env, slot, row)->action, mask))
        return broken(env, "a mask leaves no choice");
    return 0;
}

static int adopt_fixed(struct rtc_env *env, uint32_t first, uint32_t n,
                       const struct rtc_env_rows *rows, uint32_t from)
{
    int rc = 0;
    if (rows->n - from != (uint64_t)n * env->spec.rows_max)
        return broken(env, "its rows are fixed, but it gave another number of them");
    for (uint32_t i = 0; env->masks && i < rows->n - from && !rc; i++)
        rc = keep_mask(env, first + i / env->spec.rows_max, i % env->spec.rows_max, rows, from + i);
    return rc;
}

static int check_row(const struct rtc_env *env, const struct rtc_env_row *row, uint32_t first,
                     uint32_t n)
{
    if (row->slot < first || row->slot - first >= n)
        return broken(env, "it gave a row of another slot");
    if (row->kind >= env->spec.n_kinds || row->policy >= env->spec.n_policies)
        return broken(env, "it gave a row of a kind or policy that is not in its spec");
    uint32_t count = env->n_rows[row->slot];
    if (count == env->spec.rows_max)
        return broken(env, "it gave more than rows_max rows of a slot");
    const struct rtc_env_row *before =
        env->rows + (size_t)row->slot * env->spec.rows_max + count - 1;
    if (count && before->agent >= row->agent)
        return broken(env, "it gave agents of a slot that are not in ascending order");
    return 0;
}

int rtci_env_adopt(struct rtc_env *env, uint32_t first, uint32_t n, const struct rtc_env_rows *rows,
                   uint32_t from)
{
    uint32_t slot = first;
    if (!env->rows)
        return adopt_fixed(env, first, n, rows, from);
    memset(&env->n_rows[first], 0, n * sizeof(env->n_rows[0]));
    for (uint32_t i = from; i < rows->n; i++) {
        const struct rtc_env_row *row = &rows->table[i];
        int rc = check_row(env, row, first, n);
        if (rc)
            return rc;
        if (row->slot < slot)
            return broken(env, "it gave rows that are not in the order of the slots");
        slot = row->slot;
        uint32_t count = env->n_rows[slot]++;
        env->rows[(size_t)slot * env->spec.rows_max + count] = *row;
        rc = keep_mask(env, slot, count, rows, i);
        if (rc)
            return rc;
    }
    return 0;
}

/* The row of the agent at or behind *at in rows that ascend; moves *at up to it. */
static uint32_t seek(const struct rtc_env_rows *rows, uint32_t *at, const struct rtc_env_row *row)
{
    for (; *at < rows->n; ++*at) {
        const struct rtc_env_row *here = &rows->table[*at];
        if (here->slot == row->slot && here->agent == row->agent)
            return *at;
        if (here->slot > row->slot || (here->slot == row->slot && here->agent > row->agent))
            break;
    }
    return RTC_ENV_NONE;
}

static int link_fixed(const struct rtc_env *env, struct rtc_env_step *step, uint32_t rows_from,
                      uint32_t final_from)
{
    uint32_t n = step->n * env->spec.rows_max, final = final_from;
    for (uint32_t k = 0; k < n; k++) {
        uint8_t ends = step->ends[k * step->ends_stride];
        bool has_final = ends && !(ends & RTC_ENV_LOST) && step->final;
        if (step->next)
            step->next[k] = ends ? RTC_ENV_NONE : rows_from + k;
        if (step->finals)
            step->finals[k] = has_final ? final : RTC_ENV_NONE;
        final += has_final;
    }
    if (step->final && final != step->final->n)
        return broken(env, "it did not give one final observation for each row that ended");
    return 0;
}

int rtci_env_link(const struct rtc_env *env, struct rtc_env_step *step, uint32_t rows_from,
                  uint32_t final_from)
{
    uint32_t k = 0, next = rows_from, final = final_from;
    if (!env->rows)
        return link_fixed(env, step, rows_from, final_from);
    for (uint32_t s = step->first; s < step->first + step->n; s++) {
        const struct rtc_env_row *row = &env->rows[(size_t)s * env->spec.rows_max];
        for (uint32_t i = 0; i < env->n_rows[s]; i++, k++, row++) {
            uint8_t ends = step->ends[k * step->ends_stride];
            uint32_t goes_on = ends ? RTC_ENV_NONE : seek(step->rows, &next, row);
            if (!ends && goes_on == RTC_ENV_NONE)
                return broken(env, "an agent has no row any more, and did not end");
            if (step->next)
                step->next[k] = goes_on;
            if (step->finals)
                step->finals[k] = ends && !(ends & RTC_ENV_LOST) && step->final
                                      ? seek(step->final, &final, row)
                                      : RTC_ENV_NONE;
        }
    }
    return 0;
}
