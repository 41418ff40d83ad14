/* Files of settings: whatever they hold, they are refused with a sentence, or what is written of
 * them reads back as the same, and there is a plan for it. A first byte of 0xff makes the rest a
 * setting of the command line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/config/plan.h"
#include "runtime/base/assert.h"
#include "tests/fuzz/fuzz.h"

static char *write_all(const struct ppo_loaded *loaded, bool origins)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    RTCI_ASSERT(file);
    config_write(&ppo_schema, &loaded->config, origins ? loaded->origins : NULL, file);
    RTCI_ASSERT(fclose(file) == 0);
    return text;
}

static void read_again(const struct ppo_loaded *first)
{
    char *text = write_all(first, true), *plain = write_all(first, false);
    struct ppo_loaded *second = NULL;
    const struct ppo_load load = {
        .config = "again", .text = text, .text_size = strlen(text), .no_files = true};
    int rc = ppo_settings_load(&load, &second);
    /* What may be set from the command line alone: nothing to train on. */
    RTCI_ASSERT(rc == 0 || strstr(second->why, "nothing to train on") ||
                strstr(second->why, "no traffic"));
    if (rc == 0) {
        char *again = write_all(second, false);
        RTCI_ASSERT(!strcmp(plain, again));
        free(again);
    }
    ppo_settings_free(&second);
    free(text);
    free(plain);
}

static void make_plan(const struct ppo_settings *config)
{
    static struct ppo_plan plan;
    const struct ppo_resources have = {.cpus = 2, .memory = 8ull << 30};
    ppo_plan_make(config, &have, NULL, &plan);
    RTCI_ASSERT(plan.envs == plan.runners * plan.envs_per_runner && plan.envs > 0);
    RTCI_ASSERT(plan.samples == (uint64_t)plan.envs * plan.fragment * plan.rounds);
    RTCI_ASSERT(plan.minibatch > 0 && plan.minibatch <= plan.samples);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ppo_loaded *loaded = NULL;
    char *set = NULL;
    const char *sets[1];
    struct ppo_load load = {.no_files = true};
    if (size && data[0] == 0xff) {
        set = strndup((const char *)data + 1, size - 1);
        sets[0] = set;
        load.sets = sets;
        load.n_sets = 1;
    } else {
        load.config = "fuzz.yaml";
        load.text = size ? (const char *)data : "";
        load.text_size = size;
    }
    int rc = ppo_settings_load(&load, &loaded);
    RTCI_ASSERT((rc == 0) == (loaded->why[0] == 0));
    if (rc == 0) {
        read_again(loaded);
        make_plan(&loaded->config);
    }
    ppo_settings_free(&loaded);
    free(set);
    return 0;
}

/* ---- Files that make sense ---- */

static const char *value_of(struct rng *rng, const struct config_key *key, char *text, size_t size)
{
    static const char *const words[] = {
        "null",   "None", "true", "\"a\\tb\"", "[1, 2]", "[[0, 1], [2, 0]]",
        "{a: 1}", ".inf", "-1",   "4GiB",      "auto",   "'x'"};
    if (rng_below(rng, 8) == 0)
        return words[rng_below(rng, sizeof(words) / sizeof(words[0]))];
    switch (key->type) {
    case CONFIG_BOOL: return rng_below(rng, 2) ? "true" : "no";
    case CONFIG_INT:
    case CONFIG_BYTES: snprintf(text, size, "%u", 1 + rng_below(rng, 5000)); break;
    case CONFIG_NUMBER: snprintf(text, size, "%g", rng_below(rng, 1000) / 1000.0); break;
    default: return key->usual[0];
    }
    return text;
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    size_t used = 0;
    char *out = (char *)at, text[64];
    bool nested = rng_below(rng, 2), set = rng_below(rng, 4) == 0;
    if (!set)
        used += (size_t)sprintf(out, "env: CartPole-v1\n%s", nested ? "config:\n" : "");
    for (uint32_t i = 0; i < (set ? 1 : 1 + rng_below(rng, 20)); i++) {
        const struct config_key *key = &ppo_schema.keys[rng_below(rng, (uint32_t)ppo_schema.n)];
        const char *value = value_of(rng, key, text, sizeof(text));
        const char *dot = strchr(key->name, '.');
        if (set)
            used += (size_t)sprintf(out + used, "\xff%s=%s", key->name, value);
        else if (dot)
            used += (size_t)sprintf(out + used, "sumo: {%s: %s}\n", dot + 1, value);
        else
            used += (size_t)sprintf(out + used, "%s%s: %s\n", nested ? "  " : "", key->name, value);
    }
    return used;
}
