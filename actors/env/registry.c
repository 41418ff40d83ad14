/* Classes by name: those of this library, and those that programs register. */
#include <stdio.h>

#include "actors/env/classic.h"
#include "actors/env/inner.h"

#define CLASSES_MAX 256

static struct env_entry entries[CLASSES_MAX]; /* in the order of their names */
static size_t n_entries;

static const struct rtc_env_single *const built_in[] = {&rtci_env_acrobot, &rtci_env_cartpole,
                                                        &rtci_env_pendulum};

/* Where the name is, or would stand. */
static size_t place_of(const char *name)
{
    size_t i = 0;
    while (i < n_entries && strcmp(entries[i].name, name) < 0)
        i++;
    return i;
}

static int add(uint32_t abi, bool complete, const struct env_entry *entry)
{
    if (abi != RTC_ENV_ABI)
        return rtc_env_fail(RTC_E_VERSION,
                            "an environment class is of version %u of rtc/env.h, this library of "
                            "%u: build both from the same",
                            abi, RTC_ENV_ABI);
    if (!entry->name || !entry->name[0] || strlen(entry->name) > 63 || !complete)
        return rtc_env_fail(RTC_E_INVALID,
                            "the environment class %s lacks a function, or a name of 1 to 63 bytes",
                            entry->name ? entry->name : "");
    size_t at = place_of(entry->name);
    if (at < n_entries && !strcmp(entries[at].name, entry->name))
        return rtc_env_fail(RTC_E_EXISTS, "two environment classes have the name %s", entry->name);
    if (n_entries == CLASSES_MAX)
        return rtc_env_fail(RTC_E_TOO_LARGE, "at most %d environment classes", CLASSES_MAX);
    memmove(&entries[at + 1], &entries[at], (n_entries - at) * sizeof(entries[0]));
    entries[at] = *entry;
    n_entries++;
    return 0;
}

/* Before main(), so that threads find them there; or earlier, when a program's constructors run
 * before this one. */
__attribute__((constructor)) static void add_built_in(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++)
        (void)rtc_env_register_single(built_in[i]);
}

int rtc_env_register(const struct rtc_env_class *class_)
{
    add_built_in();
    if (!class_)
        return rtc_env_fail(RTC_E_INVALID, "no environment class was given");
    struct env_entry entry = {
        .name = class_->name, .about = class_->about, .options = class_->options, .class_ = class_};
    return add(class_->abi,
               class_->open && class_->close && class_->reset && class_->observe && class_->step,
               &entry);
}

int rtc_env_register_single(const struct rtc_env_single *single)
{
    add_built_in();
    if (!single)
        return rtc_env_fail(RTC_E_INVALID, "no environment class was given");
    struct env_entry entry = {
        .name = single->name, .about = single->about, .options = single->options, .single = single};
    return add(single->abi, single->open && single->reset && single->step && single->observe,
               &entry);
}

const struct env_entry *rtci_env_find(const char *name)
{
    char known[512] = "";
    add_built_in();
    size_t at = name ? place_of(name) : 0, used = 0;
    if (name && at < n_entries && !strcmp(entries[at].name, name))
        return &entries[at];
    for (size_t i = 0; i < n_entries && used < sizeof(known); i++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
                                 entries[i].name);
    (void)rtc_env_fail(RTC_E_NOT_FOUND, "there is no environment class %s; there are: %s",
                       name ? name : "without a name", known);
    return NULL;
}

int rtc_env_list(int (*fn)(void *arg, const char *name, const char *about), void *arg)
{
    add_built_in();
    if (!fn)
        return rtc_env_fail(RTC_E_INVALID, "rtc_env_list() needs a function");
    for (size_t i = 0; i < n_entries; i++) {
        if (fn(arg, entries[i].name, entries[i].about ? entries[i].about : ""))
            break;
    }
    return 0;
}
