/* Which key is meant, and where it was said. values.c reads what stands behind it. */
#include "actors/config/schema.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "actors/config/text.h"
#include "actors/config/values.h"

/* `word` as a whole in a list with blanks. */
static bool listed(const char *list, const char *word, size_t n)
{
    for (const char *at = list; at && *at;) {
        at += strspn(at, " ");
        size_t len = strcspn(at, " ");
        if (len == n && !memcmp(at, word, n))
            return true;
        at += len;
    }
    return false;
}

static bool is_named(const struct config_key *key, const char *name)
{
    return !strcmp(key->name, name) || listed(key->also, name, strlen(name));
}

const struct config_key *config_key_find(const struct config_schema *schema, const char *section,
                                         const char *name)
{
    char full[2 * CONFIG_WORD_MAX];
    bool whole = snprintf(full, sizeof(full), "%s.%s", section, name) < (int)sizeof(full);
    for (size_t i = 0; whole && *section && i < schema->n; i++) {
        if (is_named(&schema->keys[i], full))
            return &schema->keys[i];
    }
    for (size_t i = 0; i < schema->n; i++) {
        if (is_named(&schema->keys[i], name))
            return &schema->keys[i];
    }
    return NULL;
}

/* ---- Sentences ---- */

static int fail(struct config_read *r, const char *layer, uint32_t line, const char *fmt, ...)
{
    char what[sizeof(r->why) / 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    if (line && strncmp(layer, "--set", 5) != 0)
        snprintf(r->why, sizeof(r->why), "%.400s, line %u: %s", layer, line, what);
    else
        snprintf(r->why, sizeof(r->why), "%.400s: %s", layer, what);
    return -1;
}

/* ---- Unknown keys ---- */

/* Part of a known one: "batch_size" for train_batch_size. */
static bool is_part(const char *given, const char *known)
{
    return strlen(given) >= 4 && strstr(known, given);
}

static void try_words(struct config_nearest *near, const char *words, const char *section, bool own,
                      char found[CONFIG_WORD_MAX], const char **part)
{
    char word[CONFIG_WORD_MAX];
    for (const char *at = words; at && *at;) {
        at += strspn(at, " ");
        size_t len = strcspn(at, " ");
        if (len == 0 || len >= sizeof(word))
            break;
        memcpy(word, at, len);
        word[len] = 0;
        at += len;
        const char *dot = strchr(word, '.');
        if (own && !dot)
            continue;
        if (dot &&
            (strlen(section) != (size_t)(dot - word) || strncmp(word, section, strlen(section))))
            continue; /* of another section */
        const char *bare = dot ? dot + 1 : word;
        unsigned before = near->best;
        config_nearest_try(near, bare);
        if (near->best < before || (!*part && !*found && is_part(near->given, bare))) {
            *part = near->best < before ? NULL : "";
            snprintf(found, CONFIG_WORD_MAX, "%s", bare);
        }
    }
}

/* False when nothing is like it. */
static bool nearest_key(const struct config_schema *s, const char *section, const char *given,
                        bool mapping, char found[CONFIG_WORD_MAX])
{
    struct config_nearest near = config_nearest(given);
    const char *part = mapping ? "" : NULL; /* a section of the user's own may well be "memory" */
    bool own = s->open_section && !strcmp(section, s->open_section);
    found[0] = 0;
    if (strlen(given) >= CONFIG_WORD_MAX)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        try_words(&near, s->keys[i].name, section, own, found, &part);
        try_words(&near, s->keys[i].also, section, own, found, &part);
    }
    try_words(&near, s->groups, section, own, found, &part);
    return found[0];
}

static void ignore(struct config_read *r, const struct config_node *node)
{
    for (uint32_t i = 0; i < r->n_ignored; i++) {
        if (!strcmp(r->ignored[i].key, node->key))
            return;
    }
    if (r->n_ignored == CONFIG_IGNORED_MAX)
        return;
    struct config_ignored *one = &r->ignored[r->n_ignored++];
    snprintf(one->key, sizeof(one->key), "%s", node->key);
    one->line = node->line;
}

static bool is_allowed(const struct config_other *other, const struct config_node *node)
{
    if (node->kind != CONFIG_SCALAR)
        return !node->n && listed(other->allowed, "[]", 2);
    return config_node_is_null(node) || listed(other->allowed, node->text, strlen(node->text));
}

/* One whose value counts although it is no setting. */
static int on_other(struct config_read *r, const char *layer, const struct config_other *other,
                    const struct config_node *node)
{
    const char *value = node->kind == CONFIG_SCALAR ? node->text : "…";
    if (is_allowed(other, node)) {
        ignore(r, node);
        return 0;
    }
    if (other->refused)
        return fail(r, layer, node->line, "%s: %.60s is not there: %s", node->key, value,
                    other->sentence);
    size_t used = strlen(r->notes);
    snprintf(r->notes + used, sizeof(r->notes) - used, "%s%s: %.60s has no effect: %s",
             used ? "\n" : "", node->key, value, other->sentence);
    return 0;
}

/* Of the section whose options are another's, who knows them. */
static int on_option(struct config_read *r, const char *layer, const struct config_node *node)
{
    const struct config_key *key = config_key_find(r->schema, "", r->schema->open_key);
    struct config_options *options = (void *)((char *)r->target + key->offset);
    char wrong[CONFIG_WHY_MAX / 2];
    if (config_add_option(options, node, wrong, sizeof(wrong)))
        return fail(r, layer, node->line, "%.80s %s", node->key, wrong);
    return 0;
}

/* A key that stands at the top and belongs into a section. */
static const char *section_with(const struct config_schema *s, const char *given)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *dot = strchr(s->keys[i].name, '.');
        if (dot && !strcmp(dot + 1, given))
            return s->keys[i].name;
    }
    return NULL;
}

/* RLlib's and the user's own words pass; a slip of one that counts does not. */
static int on_unknown(struct config_read *r, const char *layer, const char *section,
                      const struct config_node *node)
{
    char meant[CONFIG_WORD_MAX];
    const char *key = node->key;
    for (size_t i = 0; i < r->schema->n_others; i++) {
        if (!strcmp(r->schema->others[i].name, key))
            return on_other(r, layer, &r->schema->others[i], node);
    }
    if (key[0] == '_' || listed(r->schema->ignored, key, strlen(key))) {
        ignore(r, node);
        return 0;
    }
    if (nearest_key(r->schema, section, key, node->kind == CONFIG_MAPPING, meant))
        return fail(r, layer, node->line, "%s%s%.100s is no key: was %s meant?", section,
                    *section ? "." : "", key, meant);
    if (r->schema->open_section && !strcmp(section, r->schema->open_section))
        return on_option(r, layer, node);
    const char *full = section_with(r->schema, key);
    if (full)
        return fail(r, layer, node->line, "%.60s stands in a section: it is %s", key, full);
    if (!strncmp(layer, "--set", 5))
        return fail(r, layer, 0, "%.100s is no key; --help lists them", key);
    ignore(r, node);
    return 0;
}

/* ---- Keys ---- */

static int take(struct config_read *r, const char *layer, const struct config_key *key,
                const struct config_node *node)
{
    struct config_origin *origin = &r->origins[key - r->schema->keys];
    char wrong[CONFIG_WHY_MAX / 2];
    if (origin->layer == layer)
        return fail(r, layer, node->line,
                    "%.80s is the same setting as what line %u says: leave one of them", node->key,
                    origin->line);
    if (config_read_value(key, node, r->target, wrong, sizeof(wrong)))
        return fail(r, layer, node->line, "%.80s %s", node->key, wrong);
    *origin = (struct config_origin){layer, node->line};
    return 0;
}

static int walk(struct config_read *r, const char *layer, const char *section,
                const struct config_node *mapping);

/* A group under a name that we do not know: half of what is in it are settings. */
static bool is_group(const struct config_read *r, const struct config_node *node)
{
    uint32_t known = 0;
    if (node->kind != CONFIG_MAPPING || node->key[0] == '_' ||
        listed(r->schema->ignored, node->key, strlen(node->key)))
        return false;
    for (const struct config_node *child = node->first; child; child = child->next)
        known += config_key_find(r->schema, "", child->key) != NULL;
    return known && 2 * known >= node->n;
}

static int walk_unknown(struct config_read *r, const char *layer, const char *section,
                        const struct config_node *node)
{
    size_t used = strlen(r->notes);
    if (*section || !is_group(r, node))
        return on_unknown(r, layer, section, node);
    snprintf(r->notes + used, sizeof(r->notes) - used,
             "%s%.60s (line %u) is read as a group of settings", used ? "\n" : "", node->key,
             node->line);
    return walk(r, layer, node->key, node);
}

static int walk(struct config_read *r, const char *layer, const char *section,
                const struct config_node *mapping)
{
    for (const struct config_node *node = mapping->first; node; node = node->next) {
        const struct config_key *key = config_key_find(r->schema, section, node->key);
        bool group = listed(r->schema->groups, node->key, strlen(node->key));
        int rc = 0;
        if (group && (node->kind == CONFIG_MAPPING || !key)) {
            if (node->kind == CONFIG_MAPPING)
                rc = walk(r, layer, node->key, node);
            else if (!config_node_is_null(node))
                rc = fail(r, layer, node->line,
                          "%.80s: keys of its own must stand in it, a line each", node->key);
        } else if (key) {
            rc = take(r, layer, key, node);
        } else {
            rc = walk_unknown(r, layer, section, node);
        }
        if (rc)
            return rc;
    }
    return 0;
}

int config_apply(struct config_read *r, const char *layer, const struct config_tree *tree)
{
    return walk(r, layer, "", tree->root);
}

static int take_default(struct config_read *r, const struct config_key *key, const char *usual)
{
    char text[256], wrong[256] = "";
    struct config_tree *tree = NULL;
    snprintf(text, sizeof(text), "v: %s", usual);
    if (config_tree_parse(text, strlen(text), &tree, wrong, sizeof(wrong)))
        return fail(r, "the default", 0, "of %s: %s", key->name, wrong);
    int rc = config_read_value(key, tree->root->first, r->target, wrong, sizeof(wrong));
    assert(rc == 0); /* the table is wrong */
    config_tree_free(&tree);
    return rc;
}

int config_defaults(struct config_read *r, int variant)
{
    memset(r->target, 0, r->schema->size);
    for (size_t i = 0; i < r->schema->n; i++) {
        const struct config_key *key = &r->schema->keys[i];
        if (take_default(r, key, variant && key->usual[1] ? key->usual[1] : key->usual[0]))
            return -1;
        r->origins[i] = (struct config_origin){NULL, 0};
    }
    return 0;
}
