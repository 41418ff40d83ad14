/* The calls of rtc/env.h: checks, then the class, then what became of the rows. */
#include <stdio.h>
#include <stdlib.h>

#include "actors/env/inner.h"

static int allocate(struct rtc_env *env)
{
    const struct rtc_env_spec *spec = &env->spec;
    size_t rows = (size_t)spec->slots * spec->rows_max;
    bool fixed = spec->features & RTC_ENV_FIXED;
    env->states = calloc(spec->slots, 1);
    if (!fixed) {
        env->n_rows = calloc(spec->slots, sizeof(env->n_rows[0]));
        env->rows = calloc(rows, sizeof(env->rows[0]));
    }
    if (spec->mask_size)
        env->masks = malloc(rows * spec->mask_size);
    if (!env->states || (!fixed && (!env->n_rows || !env->rows)) ||
        (spec->mask_size && !env->masks))
        return rtc_env_fail(RTC_E_NOMEM, "out of memory for %zu rows", rows);
    return 0;
}

static int open_class(struct rtc_env *env, const struct env_entry *entry,
                      const struct rtc_env_config *config)
{
    int rc;
    env->spec.slots = config->slots;
    if (entry->single) {
        env->class_ = &rtci_env_vector;
        rc = rtci_env_vector_open(entry->single, config, &env->spec, &env->self);
    } else {
        env->class_ = entry->class_;
        rc = entry->class_->open(config, &env->spec, &env->self);
    }
    if (rc < 0) {
        env->class_ = NULL; /* nothing to close */
        return rc;
    }
    env->spec.slots = config->slots;
    env->spec.name = env->name;
    rc = rtci_env_check_spec(&env->spec);
    return rc < 0 ? rc : allocate(env);
}

int rtc_env_open(const char *name, const struct rtc_env_config *config, struct rtc_env **ret_env)
{
    struct rtc_env_config merged;
    if (!ret_env)
        return rtc_env_fail(RTC_E_INVALID, "rtc_env_open() needs ret_env");
    const struct env_entry *entry = rtci_env_find(name);
    if (!entry)
        return RTC_E_NOT_FOUND;
    if (config && (config->slots > RTC_ENV_SLOTS_MAX || (config->n_options && !config->options)))
        return rtc_env_fail(RTC_E_INVALID, "%s can have 1 to %u slots; %u were asked for", name,
                            RTC_ENV_SLOTS_MAX, config->slots);
    int rc = rtci_env_merge(entry, config, &merged);
    if (rc < 0)
        return rc;
    struct rtc_env *env = calloc(1, sizeof(*env));
    if (!env) {
        rc = rtc_env_fail(RTC_E_NOMEM, "out of memory");
    } else {
        snprintf(env->name, sizeof(env->name), "%s", entry->name);
        rc = open_class(env, entry, &merged);
    }
    free((void *)merged.options);
    if (rc < 0) {
        rc = rtci_env_blame(rc, "%s cannot be opened", name);
        rtc_env_close(&env);
        return rc;
    }
    *ret_env = env;
    return 0;
}

void rtc_env_close(struct rtc_env **env)
{
    if (!env || !*env)
        return;
    if ((*env)->class_)
        (*env)->class_->close((*env)->self);
    free((*env)->states);
    free((*env)->n_rows);
    free((*env)->rows);
    free((*env)->masks);
    free(*env);
    *env = NULL;
}

const struct rtc_env_spec *rtc_env_spec_of(const struct rtc_env *env)
{
    return env ? &env->spec : NULL;
}

uint32_t rtc_env_row_count(const struct rtc_env *env, uint32_t first, uint32_t n)
{
    uint32_t count = 0;
    if (rtci_env_check_range(env, first, n) < 0)
        return 0;
    if (!env->n_rows)
        return n * env->spec.rows_max;
    for (uint32_t s = first; s < first + n; s++)
        count += env->n_rows[s];
    return count;
}

static int set_states(struct rtc_env *env, uint32_t first, uint32_t n, enum slot_state state,
                      int rc)
{
    memset(&env->states[first], (int)state, n);
    return rc;
}

/* A class failed, or gave what cannot be: nothing is known of the slots. */
static int give_up(struct rtc_env *env, uint32_t first, uint32_t n, int rc)
{
    for (uint32_t s = first; env->n_rows && s < first + n; s++)
        env->n_rows[s] = 0;
    return set_states(env, first, n, SLOT_NEW, rc);
}

/* numbers NULL: as class->reset() has it. */
static int reset_class(struct rtc_env *env, uint32_t first, uint32_t n, const uint64_t *seeds,
                       const uint64_t *numbers)
{
    const struct rtc_env_class *class_ = env->class_;
    if (numbers && class_->reset_at)
        return class_->reset_at(env->self, first, n, seeds, numbers);
    int rc = class_->reset(env->self, first, n, seeds);
    for (uint32_t i = 0; numbers && i < n; i++) {
        for (uint64_t k = 0; rc >= 0 && k < numbers[i]; k++)
            rc = class_->reset(env->self, first + i, 1, NULL);
    }
    return rc;
}

static int reset(struct rtc_env *env, uint32_t first, uint32_t n, const uint64_t *seeds,
                 const uint64_t *numbers, struct rtc_env_rows *rows)
{
    int rc = rtci_env_check_range(env, first, n);
    if (rc || (rc = rtci_env_check_rows(env, n, rows, "rows", true)))
        return rc;
    for (uint32_t s = first; s < first + n; s++) {
        if (env->states[s] == SLOT_BEGUN)
            return rtci_env_check_state(env, s, 1, SLOT_READY);
    }
    uint32_t from = rows->n;
    size_t used = rows->used;
    if ((rc = reset_class(env, first, n, seeds, numbers)) < 0 ||
        (rc = env->class_->observe(env->self, first, n, rows)) < 0 ||
        (rc = rtci_env_adopt(env, first, n, rows, from)) < 0) {
        rows->n = from;
        rows->used = used;
        return give_up(env, first, n, rc);
    }
    return set_states(env, first, n, SLOT_READY, 0);
}

int rtc_env_reset(struct rtc_env *env, uint32_t first, uint32_t n, const uint64_t *seeds,
                  struct rtc_env_rows *rows)
{
    return reset(env, first, n, seeds, NULL, rows);
}

int rtc_env_reset_at(struct rtc_env *env, uint32_t first, uint32_t n, const uint64_t *seeds,
                     const uint64_t *numbers, struct rtc_env_rows *rows)
{
    if (!seeds || !numbers)
        return rtc_env_fail(RTC_E_INVALID, "rtc_env_reset_at() needs seeds and numbers");
    return reset(env, first, n, seeds, numbers, rows);
}

int rtc_env_observe(struct rtc_env *env, uint32_t first, uint32_t n, struct rtc_env_rows *rows)
{
    int rc = rtci_env_check_range(env, first, n);
    if (rc || (rc = rtci_env_check_state(env, first, n, SLOT_READY)) ||
        (rc = rtci_env_check_rows(env, n, rows, "rows", true)))
        return rc;
    uint32_t from = rows->n;
    size_t used = rows->used;
    rc = env->class_->observe(env->self, first, n, rows);
    if (rc >= 0)
        rc = rtci_env_adopt(env, first, n, rows, from);
    if (rc < 0) {
        rows->n = from;
        rows->used = used;
        return give_up(env, first, n, rc);
    }
    return 0;
}

int rtc_env_begin(struct rtc_env *env, struct rtc_env_step *step)
{
    if (!step)
        return rtc_env_fail(RTC_E_INVALID, "a step is needed");
    int rc = rtci_env_check_range(env, step->first, step->n);
    if (rc || (rc = rtci_env_check_state(env, step->first, step->n, SLOT_READY)) ||
        (rc = rtci_env_check_step(env, step)) || (rc = rtci_env_check_actions(env, step)))
        return rc;
    if (env->class_->begin && (rc = env->class_->begin(env->self, step)) < 0)
        return give_up(env, step->first, step->n, rc);
    return set_states(env, step->first, step->n, SLOT_BEGUN, 0);
}

/* What was begun, and has room for its rows. */
static int carry_out(struct rtc_env *env, struct rtc_env_step *step)
{
    const struct rtc_env_rows rows = *step->rows, final = step->final ? *step->final : rows;
    uint32_t rows_from = rows.n, final_from = step->final ? final.n : 0;
    uint32_t episodes = step->episodes ? step->episodes->n : 0;
    int rc = env->class_->step(env->self, step);
    if (rc >= 0)
        rc = rtci_env_link(env, step, rows_from, final_from);
    if (rc >= 0)
        rc = rtci_env_adopt(env, step->first, step->n, step->rows, rows_from);
    if (rc >= 0)
        return set_states(env, step->first, step->n, SLOT_READY, 0);
    *step->rows = rows;
    if (step->final)
        *step->final = final;
    if (step->episodes)
        step->episodes->n = episodes;
    return give_up(env, step->first, step->n, rc);
}

/* The room is looked at once more: what was begun beside it may have taken it. */
int rtc_env_finish(struct rtc_env *env, struct rtc_env_step *step)
{
    if (!step)
        return rtc_env_fail(RTC_E_INVALID, "a step is needed");
    int rc = rtci_env_check_range(env, step->first, step->n);
    if (rc || (rc = rtci_env_check_state(env, step->first, step->n, SLOT_BEGUN)) ||
        (rc = rtci_env_check_step(env, step)))
        return rc;
    return carry_out(env, step);
}

int rtc_env_step(struct rtc_env *env, struct rtc_env_step *step)
{
    int rc = rtc_env_begin(env, step);
    return rc < 0 ? rc : carry_out(env, step);
}
