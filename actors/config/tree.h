/* YAML as a tree that knows its lines, on libyaml's events. libcyaml stands on the same library and
 * fills C structures by a schema; it is not enough where one setting has several names, where a
 * value may be a number or a list or None, and where a sentence shall name line and nearest key.
 *
 * Input is not trusted: size, depth, nodes and keys have limits, and copies of anchors count. */
#ifndef ACTORS_CONFIG_TREE_H
#define ACTORS_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_FILE_MAX  (1024u * 1024) /* bytes */
#define CONFIG_DEPTH_MAX 32u
#define CONFIG_NODES_MAX 50000u /* with the copies that aliases make */
#define CONFIG_KEYS_MAX  1000u  /* of a mapping; also of the parts of a list */
#define CONFIG_ANCHORS_MAX 64u

enum config_kind { CONFIG_SCALAR, CONFIG_LIST, CONFIG_MAPPING };

/* Read by everybody, changed by nobody; gone with its tree. */
struct config_node {
    enum config_kind kind;
    uint32_t line;   /* from 1; of the key where there is one */
    uint32_t n;      /* parts */
    bool quoted;     /* a scalar in quotes is a text, whatever it looks like */
    const char *key; /* in a mapping */
    const char *text; /* of a scalar: UTF-8, no NUL inside */
    struct config_node *first, *last, *next;
    struct config_node *made_before; /* private */
};

struct config_tree {
    struct config_node *root;
    uint32_t n;
    struct config_node *made; /* private: all nodes */
};

/* The text of one document; the root is a mapping (an empty text: without keys).
 * Ownership: config_tree_free(). Errors: -1 and a sentence "line 7: …" in `why`. */
int config_tree_parse(const char *text, size_t size, struct config_tree **ret_tree, char *why,
                      size_t why_size);
/* The same of a file; the sentence begins with its path. Blocks on the file system. */
int config_tree_load(const char *path, struct config_tree **ret_tree, char *why, size_t why_size);
/* Of "model.fcnet_hiddens=[64, 64]", as in a command line. */
int config_tree_set(const char *assignment, struct config_tree **ret_tree, char *why,
                    size_t why_size);
void config_tree_free(struct config_tree **tree);

const struct config_node *config_node_find(const struct config_node *mapping, const char *key);
/* null, ~, nothing, or Python's None; not in quotes. */
bool config_node_is_null(const struct config_node *node);

#endif
