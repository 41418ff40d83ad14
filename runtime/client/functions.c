/* Tasks of this program, by name; and what the head has been told about them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/client.h"

/* The registry is filled by constructors of the program, before main() and one thread only. */
struct entry {
    uint64_t hash;
    const struct rtc_task_def *def;
};
static struct entry *entries; /* open addressing, power of two */
static uint32_t n_entries, cap_entries;
static char trouble[512]; /* what went wrong at registration, told at rtc_init() */

static struct entry *entry_of(uint64_t hash)
{
    if (cap_entries == 0)
        return NULL;
    uint32_t i = (uint32_t)hash & (cap_entries - 1);
    while (entries[i].def && entries[i].hash != hash)
        i = (i + 1) & (cap_entries - 1);
    return &entries[i];
}

static bool grow_entries(void)
{
    uint32_t old_cap = cap_entries;
    struct entry *old = entries, *fresh = calloc(old_cap ? old_cap * 2 : 64, sizeof(*fresh));
    if (!fresh)
        return false;
    entries = fresh;
    cap_entries = old_cap ? old_cap * 2 : 64;
    for (uint32_t i = 0; i < old_cap; i++) {
        if (old[i].def)
            *entry_of(old[i].hash) = old[i];
    }
    free(old);
    return true;
}

static int complain(const char *fmt, const char *name, const char *a, int a_line, const char *b,
                    int b_line)
{
    int rc = rtci_error(RTC_E_EXISTS, fmt, name, a, a_line, b, b_line);
    if (!trouble[0])
        snprintf(trouble, sizeof(trouble), "%s", rtc_last_error());
    return rc;
}

int rtc_task_register(const struct rtc_task_def *def)
{
    if (!def || !def->name || !def->run || !def->name[0] || strlen(def->name) > RTCI_NAME_MAX)
        return rtci_error(RTC_E_INVALID, "a task needs a function and a name of 1 to %d bytes",
                          RTCI_NAME_MAX);
    if (n_entries * 2 >= cap_entries && !grow_entries())
        return rtci_error(RTC_E_NOMEM, "out of memory for the task \"%s\"", def->name);
    uint64_t hash = rtci_function_hash(def->name, strlen(def->name));
    struct entry *entry = entry_of(hash);
    if (entry->def == def)
        return 0;
    if (entry->def)
        return complain("two tasks are named \"%s\": %s:%d and %s:%d; rename one", def->name,
                        entry->def->file ? entry->def->file : "?", entry->def->line,
                        def->file ? def->file : "?", def->line);
    *entry = (struct entry){hash, def};
    n_entries++;
    return 0;
}

int rtci_task_registry_check(void)
{
    return trouble[0] ? rtci_error(RTC_E_EXISTS, "%s", trouble) : 0;
}

const struct rtc_task_def *rtci_task_by_hash(uint64_t hash)
{
    struct entry *entry = entry_of(hash);
    return entry ? entry->def : NULL;
}

/* ---- What this client told the head ---- */
static struct function *function_slot(struct function *functions, uint32_t cap, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (cap - 1);
    while (functions[i].hash != 0 && functions[i].hash != hash)
        i = (i + 1) & (cap - 1);
    return &functions[i];
}

static int grow_functions(struct rtc *rtc)
{
    uint32_t cap = rtc->cap_functions ? rtc->cap_functions * 2 : 64;
    struct function *fresh = calloc(cap, sizeof(*fresh));
    if (!fresh)
        return rtci_error(RTC_E_NOMEM, "out of memory for a function");
    for (uint32_t i = 0; i < rtc->cap_functions; i++) {
        if (rtc->functions[i].hash)
            *function_slot(fresh, cap, rtc->functions[i].hash) = rtc->functions[i];
    }
    free(rtc->functions);
    rtc->functions = fresh;
    rtc->cap_functions = cap;
    return 0;
}

/* Tasks whose names are nearest, for the error text. */
static int unknown_task(const char *name)
{
    const char *nearest = NULL;
    size_t best = 0, len = strlen(name);
    for (uint32_t i = 0; i < cap_entries; i++) {
        if (!entries[i].def)
            continue;
        const char *other = entries[i].def->name;
        size_t common = 0, tail = 0, other_len = strlen(other);
        while (common < len && common < other_len && name[common] == other[common])
            common++;
        while (tail < len - common && tail < other_len - common &&
               name[len - 1 - tail] == other[other_len - 1 - tail])
            tail++;
        if (common + tail > best) {
            best = common + tail;
            nearest = other;
        }
    }
    if (nearest && best * 2 >= len)
        return rtci_error(RTC_E_UNKNOWN_TASK,
                          "no task \"%.255s\" is registered in this program; did you mean \"%s\"?",
                          name, nearest);
    return rtci_error(RTC_E_UNKNOWN_TASK,
                      "no task \"%.255s\" is registered in this program (%u are): define it with "
                      "RTC_TASK(%.255s) or rtc_task_register() before rtc_init()",
                      name, n_entries, name);
}

static int send_name(struct rtc *rtc, uint64_t hash, const char *name, size_t len)
{
    size_t size = sizeof(struct rtci_function) + RTCI_ALIGN8(len);
    void *at;
    RTCI_TRY(rtci_reserve(rtc, size, UINT64_MAX, &at));
    struct rtci_function *rec = at;
    memset(rec, 0, size);
    rec->rec = (struct rtci_rec){.size = (uint32_t)size, .type = RTCI_R_FUNCTION};
    rec->hash = hash;
    rec->name_len = (uint32_t)len;
    memcpy(rec + 1, name, len);
    rtci_chan_publish(rtc->chan);
    return 0;
}

int rtci_function_declare(struct rtc *rtc, const char *name)
{
    size_t len = strlen(name);
    uint64_t hash = rtci_function_hash(name, len);
    if (rtc->n_functions * 2 >= rtc->cap_functions)
        RTCI_TRY(grow_functions(rtc));
    struct function *function = function_slot(rtc->functions, rtc->cap_functions, hash);
    if (function->declared)
        return 0;
    RTCI_TRY(send_name(rtc, hash, name, len));
    if (rtc->n_functions * 2 >= rtc->cap_functions)
        RTCI_TRY(grow_functions(rtc));
    function = function_slot(rtc->functions, rtc->cap_functions, hash);
    rtc->n_functions += function->hash == 0;
    function->hash = hash;
    function->declared = true;
    return 0;
}

int rtci_function_of(struct rtc *rtc, const char *name, const struct function **ret_function)
{
    if (!name)
        return rtci_error(RTC_E_INVALID, "the name of the task is NULL");
    size_t len = strlen(name);
    uint64_t hash = rtci_function_hash(name, len);
    if (rtc->n_functions * 2 >= rtc->cap_functions)
        RTCI_TRY(grow_functions(rtc));
    struct function *function = function_slot(rtc->functions, rtc->cap_functions, hash);
    if (RTCI_LIKELY(function->declared && function->def &&
                    strcmp(function->def->name, name) == 0)) {
        *ret_function = function;
        return 0;
    }
    const struct rtc_task_def *def = rtci_task_by_hash(hash);
    if (!def || strcmp(def->name, name) != 0)
        return unknown_task(name);
    RTCI_TRY(send_name(rtc, hash, name, len));
    /* rtci_reserve may have waited, and another thread declared more meanwhile. */
    if (rtc->n_functions * 2 >= rtc->cap_functions)
        RTCI_TRY(grow_functions(rtc));
    function = function_slot(rtc->functions, rtc->cap_functions, hash);
    rtc->n_functions += function->hash == 0;
    *function = (struct function){.hash = hash, .def = def, .declared = true};
    *ret_function = function;
    return 0;
}
