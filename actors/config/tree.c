#include "actors/config/tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct anchor {
    char name[64];
    struct config_node *node;
};

struct parse {
    yaml_parser_t yaml;
    const char *text;
    size_t size;
    struct config_tree *tree;
    struct anchor anchors[CONFIG_ANCHORS_MAX];
    uint32_t n_anchors;
    char *why;
    size_t why_size;
};

static int fail(struct parse *p, size_t line, const char *fmt, ...)
{
    va_list args;
    int n = snprintf(p->why, p->why_size, "line %zu: ", line);
    va_start(args, fmt);
    if (n >= 0 && (size_t)n < p->why_size)
        vsnprintf(p->why + n, p->why_size - (size_t)n, fmt, args);
    va_end(args);
    return -1;
}

/* ---- Nodes ---- */

static struct config_node *new_node(struct parse *p, enum config_kind kind, size_t line)
{
    struct config_node *node = NULL;
    if (p->tree->n < CONFIG_NODES_MAX)
        node = calloc(1, sizeof(*node));
    if (!node) {
        fail(p, line, "there is too much in it: %u values and no more, copies of anchors included",
             CONFIG_NODES_MAX);
        return NULL;
    }
    *node =
        (struct config_node){.kind = kind, .line = (uint32_t)line, .made_before = p->tree->made};
    p->tree->made = node;
    p->tree->n++;
    return node;
}

static char *copy_text(struct parse *p, const char *text, size_t size, size_t line)
{
    char *copy = memchr(text, 0, size) ? NULL : malloc(size + 1);
    if (!copy) {
        fail(p, line, "a text with a zero byte, or no memory for it");
        return NULL;
    }
    memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

static void append(struct config_node *to, struct config_node *node)
{
    if (to->last)
        to->last->next = node;
    else
        to->first = node;
    to->last = node;
    to->n++;
}

const struct config_node *config_node_find(const struct config_node *mapping, const char *key)
{
    for (const struct config_node *n = mapping->first; n; n = n->next) {
        if (n->key && !strcmp(n->key, key))
            return n;
    }
    return NULL;
}

bool config_node_is_null(const struct config_node *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", "None", "none"};
    if (node->kind != CONFIG_SCALAR || node->quoted)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(node->text, words[i]))
            return true;
    }
    return false;
}

static struct config_node *copy_node(struct parse *p, const struct config_node *from, bool key)
{
    struct config_node *node = new_node(p, from->kind, from->line);
    if (!node)
        return NULL;
    node->quoted = from->quoted;
    if (from->text && !(node->text = copy_text(p, from->text, strlen(from->text), from->line)))
        return NULL;
    if (key && !(node->key = copy_text(p, from->key, strlen(from->key), from->line)))
        return NULL;
    for (const struct config_node *child = from->first; child; child = child->next) {
        struct config_node *copy = copy_node(p, child, child->key != NULL);
        if (!copy)
            return NULL;
        append(node, copy);
    }
    return node;
}

/* ---- Events ---- */

/* libyaml says what it wanted of the grammar; a tab is what it usually means. */
static int fail_in_yaml(struct parse *p)
{
    size_t line = p->yaml.problem_mark.line + 1, at = p->yaml.problem_mark.index;
    const char *problem = p->yaml.problem ? p->yaml.problem : "no memory";
    if (p->yaml.error == YAML_READER_ERROR) {
        size_t until = p->yaml.problem_offset < p->size ? p->yaml.problem_offset : p->size;
        line = 1;
        for (size_t i = 0; i < until; i++)
            line += p->text[i] == '\n';
        return fail(p, line, "the file is not UTF-8 there (%s)", problem);
    }
    if (p->yaml.context && strstr(problem, "expected ':'"))
        return fail(p, p->yaml.context_mark.line + 1,
                    "a colon and a blank are missing, as in \"key: value\"");
    if (at < p->size && p->text[at] == '\t')
        return fail(p, line, "a tab; YAML indents by blanks");
    return fail(p, line, "this is not YAML: %s", problem);
}

static int next(struct parse *p, yaml_event_t *event)
{
    return yaml_parser_parse(&p->yaml, event) ? 0 : fail_in_yaml(p);
}

static int remember(struct parse *p, const char *name, struct config_node *node)
{
    if (p->n_anchors == CONFIG_ANCHORS_MAX)
        return fail(p, node->line, "more than %u anchors", CONFIG_ANCHORS_MAX);
    struct anchor *a = &p->anchors[p->n_anchors++];
    snprintf(a->name, sizeof(a->name), "%s", name);
    a->node = node;
    return 0;
}

static struct config_node *resolve(struct parse *p, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    size_t line = event->start_mark.line + 1;
    for (uint32_t i = p->n_anchors; i-- > 0;) { /* the last one of that name */
        if (!strncmp(p->anchors[i].name, name, sizeof(p->anchors[i].name) - 1)) {
            struct config_node *copy = copy_node(p, p->anchors[i].node, false);
            if (copy)
                copy->line = (uint32_t)line;
            return copy;
        }
    }
    fail(p, line, "*%.60s: there is no &%.60s before it", name, name);
    return NULL;
}

static struct config_node *build(struct parse *p, yaml_event_t *event, unsigned depth);

/* `<<: *others`: what they have and the mapping has not. */
static int merge(struct parse *p, struct config_node *into, const struct config_node *from)
{
    if (from->kind == CONFIG_LIST) {
        for (const struct config_node *part = from->first; part; part = part->next) {
            if (part->kind != CONFIG_MAPPING || merge(p, into, part))
                return fail(p, from->line, "<< takes mappings");
        }
        return 0;
    }
    if (from->kind != CONFIG_MAPPING)
        return fail(p, from->line, "<< takes mappings, as in <<: *defaults");
    for (const struct config_node *child = from->first; child; child = child->next) {
        if (config_node_find(into, child->key))
            continue;
        struct config_node *copy = into->n < CONFIG_KEYS_MAX ? copy_node(p, child, true) : NULL;
        if (!copy)
            return fail(p, from->line, "too much is merged by <<");
        append(into, copy);
    }
    return 0;
}

static int add_key(struct parse *p, struct config_node *mapping, yaml_event_t *event,
                   struct config_node **merged, unsigned depth)
{
    size_t line = event->start_mark.line + 1;
    yaml_event_t value;
    if (event->type != YAML_SCALAR_EVENT)
        return fail(p, line, "a key is a word, not a list or a mapping");
    if (mapping->n == CONFIG_KEYS_MAX)
        return fail(p, line, "more than %u keys", CONFIG_KEYS_MAX);
    char *key =
        copy_text(p, (const char *)event->data.scalar.value, event->data.scalar.length, line);
    if (!key || next(p, &value)) {
        free(key);
        return -1;
    }
    struct config_node *node = build(p, &value, depth);
    yaml_event_delete(&value);
    if (!node) {
        free(key);
        return -1;
    }
    node->key = key;
    node->line = (uint32_t)line;
    if (!strcmp(key, "<<")) {
        *merged = node;
        return 0;
    }
    const struct config_node *twin = config_node_find(mapping, key);
    if (twin)
        return fail(p, line, "%.60s stands in line %u already", key, twin->line);
    append(mapping, node);
    return 0;
}

static int fill(struct parse *p, struct config_node *node, unsigned depth)
{
    struct config_node *merged = NULL;
    yaml_event_type_t end =
        node->kind == CONFIG_LIST ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT;
    for (;;) {
        yaml_event_t event;
        if (next(p, &event))
            return -1;
        bool over = event.type == end;
        int rc = 0;
        if (!over && node->kind == CONFIG_MAPPING) {
            rc = add_key(p, node, &event, &merged, depth);
        } else if (!over) {
            struct config_node *part = node->n < CONFIG_KEYS_MAX ? build(p, &event, depth) : NULL;
            if (part)
                append(node, part);
            else
                rc = node->n < CONFIG_KEYS_MAX
                         ? -1
                         : fail(p, node->line, "a list of more than %u", CONFIG_KEYS_MAX);
        }
        yaml_event_delete(&event);
        if (rc || over)
            return rc ? rc : merged ? merge(p, node, merged) : 0;
    }
}

static struct config_node *build(struct parse *p, yaml_event_t *event, unsigned depth)
{
    size_t line = event->start_mark.line + 1;
    const char *anchor = NULL;
    struct config_node *node = NULL;
    if (depth == CONFIG_DEPTH_MAX) {
        fail(p, line, "more than %u levels", CONFIG_DEPTH_MAX);
        return NULL;
    }
    switch (event->type) {
    case YAML_ALIAS_EVENT: return resolve(p, event);
    case YAML_SCALAR_EVENT:
        anchor = (const char *)event->data.scalar.anchor;
        node = new_node(p, CONFIG_SCALAR, line);
        if (node)
            node->text = copy_text(p, (const char *)event->data.scalar.value,
                                   event->data.scalar.length, line);
        if (!node || !node->text)
            return NULL;
        node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = (const char *)event->data.sequence_start.anchor;
        node = new_node(p, CONFIG_LIST, line);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = (const char *)event->data.mapping_start.anchor;
        node = new_node(p, CONFIG_MAPPING, line);
        break;
    default: fail(p, line, "this is not YAML: a value is missing"); return NULL;
    }
    if (!node || (node->kind != CONFIG_SCALAR && fill(p, node, depth + 1)))
        return NULL;
    /* Only now: a mapping within itself would have no end. */
    return anchor && remember(p, anchor, node) ? NULL : node;
}

static int parse_stream(struct parse *p)
{
    for (;;) {
        yaml_event_t event;
        if (next(p, &event))
            return -1;
        yaml_event_type_t type = event.type;
        size_t line = event.start_mark.line + 1;
        bool value = type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT ||
                     type == YAML_MAPPING_START_EVENT || type == YAML_ALIAS_EVENT;
        int rc = 0;
        if (value && p->tree->root)
            rc = fail(p, line, "a second document begins; a file has one");
        else if (value && !(p->tree->root = build(p, &event, 0)))
            rc = -1;
        yaml_event_delete(&event);
        if (rc || type == YAML_STREAM_END_EVENT)
            return rc;
    }
}

/* ---- Trees ---- */

static int check_root(struct parse *p)
{
    struct config_node *root = p->tree->root;
    if (root && root->kind == CONFIG_MAPPING)
        return 0;
    if (root && !config_node_is_null(root))
        return fail(p, root->line, "it must hold lines of \"key: value\"");
    p->tree->root = new_node(p, CONFIG_MAPPING, 1);
    return p->tree->root ? 0 : -1;
}

/* a.b=VALUE: the value is within b, and that is within a. */
static int wrap(struct parse *p, const char *names, size_t size)
{
    if (!p->tree->root)
        p->tree->root = new_node(p, CONFIG_SCALAR, 1);
    if (p->tree->root && p->tree->root->kind == CONFIG_SCALAR && !p->tree->root->text)
        p->tree->root->text = copy_text(p, "", 0, 1);
    for (unsigned level = 0; size; level++) {
        size_t begin = size;
        while (begin && names[begin - 1] != '.')
            begin--;
        struct config_node *value = p->tree->root, *mapping = new_node(p, CONFIG_MAPPING, 1);
        if (begin == size || level == CONFIG_DEPTH_MAX)
            return fail(p, 1, "a key is missing, or there are too many");
        if (!value || !mapping)
            return -1;
        value->key = copy_text(p, names + begin, size - begin, 1);
        value->line = 1;
        if (!value->key)
            return -1;
        append(mapping, value);
        p->tree->root = mapping;
        size = begin ? begin - 1 : 0;
        if (begin == 1)
            return fail(p, 1, "a key is missing before the dot");
    }
    return 0;
}

static int parse(struct parse *p, const char *names, size_t names_size)
{
    if (p->size > CONFIG_FILE_MAX)
        return fail(p, 1, "more than %u bytes", CONFIG_FILE_MAX);
    p->tree = calloc(1, sizeof(*p->tree));
    if (!p->tree || !yaml_parser_initialize(&p->yaml)) {
        free(p->tree);
        return fail(p, 1, "no memory");
    }
    yaml_parser_set_input_string(&p->yaml, (const unsigned char *)p->text, p->size);
    int rc = parse_stream(p);
    rc = rc ? rc : names ? wrap(p, names, names_size) : check_root(p);
    yaml_parser_delete(&p->yaml);
    if (rc)
        config_tree_free(&p->tree);
    return rc;
}

int config_tree_parse(const char *text, size_t size, struct config_tree **ret_tree, char *why,
                      size_t why_size)
{
    struct parse p = {.text = text, .size = size, .why = why, .why_size = why_size};
    if (parse(&p, NULL, 0))
        return -1;
    *ret_tree = p.tree;
    return 0;
}

int config_tree_load(const char *path, struct config_tree **ret_tree, char *why, size_t why_size)
{
    char inner[512];
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(CONFIG_FILE_MAX + 1) : NULL;
    if (!text) {
        snprintf(why, why_size, "%s cannot be read: %s", path, strerror(errno));
        if (file)
            fclose(file);
        return -1;
    }
    size_t size = fread(text, 1, CONFIG_FILE_MAX + 1, file);
    int error = ferror(file) ? errno : 0;
    fclose(file);
    int rc = error ? -1 : config_tree_parse(text, size, ret_tree, inner, sizeof(inner));
    if (error)
        snprintf(why, why_size, "%s cannot be read: %s", path, strerror(error));
    else if (rc)
        snprintf(why, why_size, "%s, %s", path, inner);
    free(text);
    return rc;
}

int config_tree_set(const char *assignment, struct config_tree **ret_tree, char *why,
                    size_t why_size)
{
    const char *equals = strchr(assignment, '=');
    char inner[512];
    if (!equals || equals == assignment) {
        snprintf(why, why_size, "%.80s: it takes KEY=VALUE, as in lr=1e-4 or sumo.time_step=0.5",
                 assignment);
        return -1;
    }
    struct parse p = {
        .text = equals + 1, .size = strlen(equals + 1), .why = inner, .why_size = sizeof(inner)};
    if (parse(&p, assignment, (size_t)(equals - assignment))) {
        const char *sentence = strstr(inner, ": ");
        snprintf(why, why_size, "%.80s: %s", assignment, sentence ? sentence + 2 : inner);
        return -1;
    }
    *ret_tree = p.tree;
    return 0;
}

void config_tree_free(struct config_tree **tree)
{
    struct config_node *next_node;
    if (!*tree)
        return;
    for (struct config_node *n = (*tree)->made; n; n = next_node) {
        next_node = n->made_before;
        free((char *)n->key);
        free((char *)n->text);
        free(n);
    }
    free(*tree);
    *tree = NULL;
}
