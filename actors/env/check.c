/* Checks of what callers and classes hand over, before anything changes. Every refusal says which
 * slot, agent or buffer, and what would be right. */
#include <math.h>

#include "actors/env/inner.h"

int rtci_env_check_range(const struct rtc_env *env, uint32_t first, uint32_t n)
{
    if (!env)
        return rtc_env_fail(RTC_E_CLOSED, "the environment is closed");
    if (!n || first >= env->spec.slots || n > env->spec.slots - first)
        return rtc_env_fail(RTC_E_INVALID,
                            "%s has the slots 0 to %u; %u from slot %u on are not among them",
                            env->name, env->spec.slots - 1, n, first);
    return 0;
}

int rtci_env_check_state(const struct rtc_env *env, uint32_t first, uint32_t n,
                         enum slot_state state)
{
    for (uint32_t i = first; i < first + n; i++) {
        if (env->states[i] == state)
            continue;
        if (env->states[i] == SLOT_NEW)
            return rtc_env_fail(RTC_E_INVALID,
                                "slot %u of %s was not reset, or failed: rtc_env_reset() it first",
                                i, env->name);
        return rtc_env_fail(RTC_E_INVALID, "slot %u of %s: a step was %s", i, env->name,
                            state == SLOT_BEGUN ? "not begun" : "begun and is not finished");
    }
    return 0;
}

static int check_data(const struct rtc_env *env, uint64_t need, const struct rtc_env_rows *rows,
                      const char *what)
{
    size_t size = env->spec.observation_size;
    if (!need || !size)
        return 0;
    if (!rows->data || (uintptr_t)rows->data % 4)
        return rtc_env_fail(RTC_E_INVALID, "%s needs data, aligned to 4 bytes", what);
    if (rows->stride && (rows->stride < size || rows->stride % 4))
        return rtc_env_fail(RTC_E_INVALID,
                            "%s: a stride of %zu bytes; observations of %s have up to %zu, and it "
                            "must be a multiple of 4",
                            what, rows->stride, env->name, size);
    uint64_t end =
        rows->stride ? (rows->n + need - 1) * rows->stride + size : rows->used + need * size;
    if (end > rows->size)
        return rtc_env_fail(RTC_E_TOO_LARGE,
                            "%s: %llu rows more may need %llu bytes of data in all, there are %zu",
                            what, (unsigned long long)need, (unsigned long long)end, rows->size);
    return 0;
}

int rtci_env_check_rows(const struct rtc_env *env, uint32_t n, struct rtc_env_rows *rows,
                        const char *what, bool masks)
{
    uint64_t need = (uint64_t)n * env->spec.rows_max;
    bool plain = (env->spec.features & RTC_ENV_FIXED) && !(env->spec.features & RTC_ENV_RAGGED);
    if (!rows)
        return rtc_env_fail(RTC_E_INVALID, "%s is missing", what);
    if (rows->n > rows->cap || rows->cap - rows->n < need)
        return rtc_env_fail(RTC_E_TOO_LARGE,
                            "%s has room for %u rows and %u are there; %u slots of %s may give "
                            "%llu",
                            what, rows->cap, rows->n, n, env->name, (unsigned long long)need);
    if (!rows->table && !plain)
        return rtc_env_fail(RTC_E_INVALID,
                            "%s needs a table: the rows of %s are not always the same", what,
                            env->name);
    if (masks && env->spec.mask_size && !rows->masks)
        return rtc_env_fail(RTC_E_INVALID, "%s needs masks: actions of %s are masked", what,
                            env->name);
    rows->mask_size = env->spec.mask_size;
    if (!rows->mask_stride)
        rows->mask_stride = env->spec.mask_size;
    if (rows->masks && rows->mask_stride < env->spec.mask_size)
        return rtc_env_fail(RTC_E_INVALID, "%s: a mask_stride of %zu bytes; masks of %s have %zu",
                            what, rows->mask_stride, env->name, env->spec.mask_size);
    if (rows->n == 0)
        rows->used = 0;
    return check_data(env, need, rows, what);
}

int rtci_env_check_step(const struct rtc_env *env, struct rtc_env_step *step)
{
    struct rtc_env_episodes *episodes = step->episodes;
    bool acts = env->spec.action_size > 0;
    if (!step->action_stride)
        step->action_stride = env->spec.action_size;
    if (!step->reward_stride)
        step->reward_stride = sizeof(float);
    if (!step->ends_stride)
        step->ends_stride = 1;
    if ((acts && !step->actions) || !step->rewards || !step->ends)
        return rtc_env_fail(RTC_E_INVALID, "a step of %s needs %s", env->name,
                            !step->rewards ? "rewards"
                            : !step->ends  ? "ends"
                                           : "actions");
    if (acts && ((uintptr_t)step->actions % 4 || step->action_stride % 4 ||
                 step->action_stride < env->spec.action_size))
        return rtc_env_fail(RTC_E_INVALID,
                            "actions of %s have %zu bytes, aligned to 4; the stride of the step is "
                            "%zu",
                            env->name, env->spec.action_size, step->action_stride);
    if ((uintptr_t)step->rewards % 4 || step->reward_stride % 4)
        return rtc_env_fail(RTC_E_INVALID, "rewards must be aligned to 4 bytes, their stride too");
    if (episodes &&
        (!episodes->list || episodes->n > episodes->cap || episodes->cap - episodes->n < step->n))
        return rtc_env_fail(RTC_E_TOO_LARGE,
                            "episodes has room for %u and %u are there; %u slots are stepped",
                            episodes->list ? episodes->cap : 0, episodes->n, step->n);
    int rc = rtci_env_check_rows(env, step->n, step->rows, "rows", true);
    if (!rc && step->final)
        rc = rtci_env_check_rows(env, step->n, step->final, "final", false);
    return rc;
}

/* ---- Actions ---- */

struct place { /* of a row, for a sentence */
    const struct rtc_env *env;
    uint32_t slot, row;
};

static int refuse(const struct place *place, const char *part, uint32_t i, double x,
                  const char *why)
{
    const struct rtc_env *env = place->env;
    uint32_t agent = place->row;
    if (env->rows)
        agent = env->rows[(size_t)place->slot * env->spec.rows_max + place->row].agent;
    return rtc_env_fail(RTC_E_RANGE, "slot %u, agent %u (%s) of %s: %s %u of its action is %g; %s",
                        place->slot, agent, rtci_env_kind_of(env, place->slot, place->row)->name,
                        env->name, part, i, x, why);
}

static int check_floats(const struct rtc_env_space *space, const float *x,
                        const struct place *place)
{
    for (uint32_t i = 0; i < space->n_floats; i++) {
        if (isnan(x[i]) || (isinf(x[i]) && !space->clips))
            return refuse(place, "number", i, x[i], "it must be finite");
        if (space->clips)
            continue;
        if ((space->low && x[i] < space->low[i]) || (space->high && x[i] > space->high[i]))
            return refuse(place, "number", i, x[i], "that is outside of the bounds of its space");
    }
    return 0;
}

static int check_choices(const struct rtc_env_space *space, const int32_t *x, const uint8_t *mask,
                         const struct place *place)
{
    for (uint32_t i = 0; i < space->n_choices; i++) {
        if (x[i] < 0 || (uint32_t)x[i] >= space->choices[i])
            return refuse(place, "choice", i, x[i], "there is no such choice");
        if (mask && !mask[x[i]])
            return refuse(place, "choice", i, x[i], "the mask forbids that now");
        if (mask)
            mask += space->choices[i];
    }
    return 0;
}

int rtci_env_check_actions(const struct rtc_env *env, const struct rtc_env_step *step)
{
    const char *at = step->actions;
    for (uint32_t s = step->first; env->spec.action_size && s < step->first + step->n; s++) {
        uint32_t n = env->n_rows ? env->n_rows[s] : env->spec.rows_max;
        size_t row0 = (size_t)s * env->spec.rows_max;
        for (uint32_t i = 0; i < n; i++, at += step->action_stride) {
            const struct rtc_env_space *space = &rtci_env_kind_of(env, s, i)->action;
            const struct place place = {env, s, i};
            if (env->rows && !(env->rows[row0 + i].flags & RTC_ENV_ACTIVE))
                continue;
            const uint8_t *mask =
                space->masked ? env->masks + (row0 + i) * env->spec.mask_size : NULL;
            int rc = check_floats(space, (const float *)(const void *)at, &place);
            if (!rc)
                rc = check_choices(space, (const int32_t *)(const void *)at + space->n_floats, mask,
                                   &place);
            if (rc)
                return rc;
        }
    }
    return 0;
}

/* ---- Specs ---- */

static bool space_is_fine(const struct rtc_env_space *space)
{
    uint64_t shape = 1;
    if (space->ndim > RTC_ENV_NDIM_MAX || (space->n_choices && !space->choices))
        return false;
    for (uint32_t i = 0; i < space->ndim; i++)
        shape *= space->shape[i];
    for (uint32_t i = 0; i < space->n_choices; i++) {
        if (!space->choices[i] || space->choices[i] > INT32_MAX)
            return false;
    }
    return !space->ndim || shape == space->n_floats;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

int rtci_env_check_spec(struct rtc_env_spec *spec)
{
    bool fixed = spec->features & RTC_ENV_FIXED;
    if (!spec->kinds || !spec->n_kinds || !spec->rows_max || spec->n_infos < 2 || !spec->infos)
        return rtc_env_fail(RTC_E_INVALID, "its spec lacks kinds, rows_max or infos");
    if (fixed && spec->n_kinds != 1 && spec->n_kinds != spec->rows_max)
        return rtc_env_fail(RTC_E_INVALID, "fixed rows are of one kind, or each of its own");
    for (uint32_t i = 0; i < spec->n_kinds; i++) {
        const struct rtc_env_kind *kind = &spec->kinds[i];
        if (!kind->name || !space_is_fine(&kind->observation) || !space_is_fine(&kind->action))
            return rtc_env_fail(RTC_E_INVALID,
                                "kind %u lacks a name, or has a space that cannot be", i);
        if (kind->action.n_choices && kind->action.masked != spec->kinds[0].action.masked)
            return rtc_env_fail(RTC_E_INVALID, "all of its kinds are masked, or none");
        spec->n_policies = (uint32_t)larger(spec->n_policies, (size_t)kind->policy + 1);
        spec->observation_size =
            larger(spec->observation_size, rtc_env_space_size(&kind->observation));
        spec->action_size = larger(spec->action_size, rtc_env_space_size(&kind->action));
        spec->mask_size = larger(spec->mask_size, rtc_env_space_mask(&kind->action));
    }
    return 0;
}
