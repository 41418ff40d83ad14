/* A structure of settings filled from YAML by a table: names and their aliases, types, ranges,
 * defaults. What does not fit is refused with a sentence that has the file, the line, and the word
 * that was probably meant.
 *
 * Settings come in layers, later ones over earlier ones: the defaults, a preset, a file, the command
 * line. A key stands at the top of a file or in any of the schema's groups ("model:", "config:" …),
 * as people group them; only those of a section ("sumo.time_step") have a place of their own. */
#ifndef ACTORS_CONFIG_SCHEMA_H
#define ACTORS_CONFIG_SCHEMA_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "actors/config/tree.h"

/* What `None` leaves in a number. A text is "" then, a list empty. */
#define CONFIG_NONE     INT64_MIN
#define CONFIG_NONE_F64 ((double)NAN)

#define CONFIG_TEXT_MAX    1024u /* bytes, with the zero */
#define CONFIG_INTS_MAX    16u
#define CONFIG_POINTS_MAX  16u
#define CONFIG_OPTIONS_MAX 64u
#define CONFIG_IGNORED_MAX 256u
#define CONFIG_WHY_MAX     1024u

enum config_type {
    CONFIG_BOOL,    /* bool */
    CONFIG_INT,     /* int64_t */
    CONFIG_NUMBER,  /* double; where `schedule` is set also a list of [step, value] */
    CONFIG_TEXT,    /* char [CONFIG_TEXT_MAX] */
    CONFIG_CHOICE,  /* int: which word of `choices` */
    CONFIG_BYTES,   /* int64_t: 4000000000, 4GB, 4 GiB */
    CONFIG_INTS,    /* struct config_ints */
    CONFIG_POINTS,  /* struct config_points: [[step, value], …] */
    CONFIG_OPTIONS, /* struct config_options: a mapping of the user's own */
};

struct config_ints {
    uint32_t n;
    int64_t at[CONFIG_INTS_MAX];
};
struct config_points {
    uint32_t n;
    double at[CONFIG_POINTS_MAX][2]; /* ascending steps */
};
struct config_options { /* mappings within it are "outer.inner", lists "1,2" */
    uint32_t n;
    struct {
        char key[64], value[CONFIG_TEXT_MAX];
    } at[CONFIG_OPTIONS_MAX];
};

struct config_key {
    const char *name; /* "lr"; "sumo.time_step" of a section */
    const char *also; /* other names, with blanks between; NULL: none */
    enum config_type type;
    size_t offset;
    bool none;           /* may be None */
    double low, high;    /* of numbers, and of each of a list */
    const char *choices; /* of CONFIG_CHOICE, with blanks; of CONFIG_INT a word that means None */
    size_t schedule;     /* offset of the points that a list is; 0: no list */
    const char *usual[2]; /* defaults as YAML, by variant; the second NULL: the same */
    const char *about;
};

struct config_schema {
    const struct config_key *keys;
    size_t n;
    size_t size;         /* of the structure */
    const char *groups;  /* all with blanks between, and at both ends */
    const char *ignored; /* keys that mean nothing here */
    /* Keys of which only some values mean nothing here; the others are refused, or told. */
    const struct config_other *others;
    size_t n_others;
    /* Keys of this section that are not known are options of what is behind it, and go into a key
     * of type CONFIG_OPTIONS. NULL: there is none. */
    const char *open_section, *open_key;
};

struct config_other {
    const char *name, *allowed; /* allowed: scalars with blanks between; "[]" is an empty list */
    bool refused;
    const char *sentence; /* "networks here have no memory" */
};

struct config_origin { /* where a value was said */
    const char *layer; /* NULL: it is the default */
    uint32_t line;     /* 0: of the command line */
};

struct config_ignored {
    char key[64];
    uint32_t line;
};

struct config_read { /* zeroed at first but for schema and target */
    const struct config_schema *schema;
    void *target;
    struct config_origin *origins; /* one a key; zeroed */
    struct config_ignored ignored[CONFIG_IGNORED_MAX];
    uint32_t n_ignored;
    char notes[CONFIG_WHY_MAX]; /* sentences, a line each, that do not end the reading */
    char why[CONFIG_WHY_MAX];
};

/* All keys get their defaults of that variant. -1: no memory. */
int config_defaults(struct config_read *read, int variant);
/* What the tree holds, over what is there. `layer` is the file's name, or "--set lr=1", and is
 * kept. -1: the sentence is in read->why, and the target is to be thrown away. */
int config_apply(struct config_read *read, const char *layer, const struct config_tree *tree);

/* The value as YAML, on one line. `text` has room for CONFIG_VALUE_MAX bytes. */
#define CONFIG_VALUE_MAX (512u * 1024)
const char *config_value(const struct config_key *key, const void *target, char *text);
/* All of it as YAML, with its origins where they are given; read again it is the same. */
void config_write(const struct config_schema *schema, const void *target,
                  const struct config_origin *origins, FILE *file);
/* All keys with types and defaults, to learn from. */
void config_help(const struct config_schema *schema, FILE *file);

const struct config_key *config_key_find(const struct config_schema *schema, const char *section,
                                         const char *name);

#endif
