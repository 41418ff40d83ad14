/* Layers of a training's settings, and the files that they name. */
#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/config/ppo.h"
#include "actors/config/text.h"
#include "presets.h"

struct layer {
    const char *name;
    struct config_tree *tree;
};

struct load {
    const struct ppo_load *ask;
    struct ppo_loaded *out;
    struct layer layers[PPO_LAYERS_MAX]; /* lowest first; [0] is the preset's place */
    uint32_t n;
};

__attribute__((format(printf, 2, 3))) static int fail(struct load *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(l->out->why, sizeof(l->out->why), fmt, args);
    va_end(args);
    return -1;
}

/* ---- Presets ---- */

const char *ppo_preset_name(size_t i)
{
    return i < sizeof(ppo_presets) / sizeof(ppo_presets[0]) ? ppo_presets[i].name : NULL;
}

const char *ppo_preset_text(const char *name)
{
    for (size_t i = 0; i < sizeof(ppo_presets) / sizeof(ppo_presets[0]); i++) {
        if (!strcmp(ppo_presets[i].name, name))
            return ppo_presets[i].text;
    }
    return NULL;
}

static int no_preset(struct load *l, const char *name)
{
    char all[256] = "", meant[80] = "";
    struct config_nearest near = config_nearest(name);
    for (size_t i = 0; ppo_preset_name(i); i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "", ppo_preset_name(i));
        config_nearest_try(&near, ppo_preset_name(i));
    }
    if (near.found)
        snprintf(meant, sizeof(meant), "; was %s meant?", near.found);
    return fail(l, "there is no preset %.80s; there are %s%s", name, all, meant);
}

/* ---- Layers ---- */

static int add_layer(struct load *l, const char *name, struct config_tree *tree)
{
    char *copy = l->n < PPO_LAYERS_MAX ? strdup(name) : NULL;
    if (!copy) {
        config_tree_free(&tree);
        return fail(l, "too many settings by --set, or no memory");
    }
    l->out->layers[l->out->n_layers++] = copy;
    l->layers[l->n++] = (struct layer){copy, tree};
    return 0;
}

/* Tune's files have the settings below a name of the user's: cartpole-ppo: {run: PPO, config: …}.
 */
static void unwrap(struct config_tree *tree)
{
    struct config_node *only = tree->root->first;
    if (tree->root->n == 1 && only->kind == CONFIG_MAPPING &&
        (config_node_find(only, "run") || config_node_find(only, "config")) &&
        strcmp(only->key, "config") != 0)
        tree->root = only;
}

static int add_file(struct load *l)
{
    const struct ppo_load *ask = l->ask;
    struct config_tree *tree = NULL;
    char inner[512];
    if (!ask->config)
        return 0;
    if (!ask->text && config_tree_load(ask->config, &tree, l->out->why, sizeof(l->out->why)))
        return -1;
    if (ask->text && config_tree_parse(ask->text, ask->text_size, &tree, inner, sizeof(inner)))
        return fail(l, "%s, %s", ask->config, inner);
    unwrap(tree);
    return add_layer(l, ask->config, tree);
}

static int add_sets(struct load *l)
{
    for (size_t i = 0; i < l->ask->n_sets; i++) {
        struct config_tree *tree = NULL;
        char name[128], inner[512];
        snprintf(name, sizeof(name), "--set %.100s", l->ask->sets[i]);
        if (config_tree_set(l->ask->sets[i], &tree, inner, sizeof(inner)))
            return fail(l, "--set %s", inner);
        if (add_layer(l, name, tree))
            return -1;
    }
    return 0;
}

/* In a group, as config_apply() would find it. */
static const struct config_node *find_anywhere(const struct config_node *root, const char *name)
{
    const struct config_node *found = config_node_find(root, name);
    for (const struct config_node *group = root->first; group && !found; group = group->next) {
        char word[CONFIG_WORD_MAX + 4];
        snprintf(word, sizeof(word), " %.*s ", (int)CONFIG_WORD_MAX, group->key);
        if (group->kind == CONFIG_MAPPING && strstr(ppo_schema.groups, word))
            found = find_anywhere(group, name);
    }
    return found;
}

/* What has to be known before the others can be read: the topmost layer's word. */
static const struct config_node *early(const struct load *l, const char *name)
{
    const struct config_node *found = NULL;
    for (uint32_t i = l->n; i-- > 1 && !found;)
        found = find_anywhere(l->layers[i].tree->root, name);
    return found;
}

static int add_preset(struct load *l)
{
    const struct config_node *said = early(l, "preset");
    const char *name = l->ask->preset ? l->ask->preset
                       : said && said->kind == CONFIG_SCALAR && !config_node_is_null(said)
                           ? said->text
                           : NULL;
    char layer[128];
    if (!name)
        return 0;
    const char *text = ppo_preset_text(name);
    if (!text)
        return no_preset(l, name);
    snprintf(layer, sizeof(layer), "preset %.100s", name);
    l->layers[0].name = l->out->layers[l->out->n_layers++] = strdup(layer);
    if (!l->layers[0].name)
        return fail(l, "no memory");
    snprintf(l->out->config.preset, sizeof(l->out->config.preset), "%s", name);
    return config_tree_parse(text, strlen(text), &l->layers[0].tree, l->out->why,
                             sizeof(l->out->why));
}

static int apply_layers(struct load *l)
{
    struct config_read *read = l->out->read;
    const struct config_node *semantics = early(l, "semantics");
    bool cleanrl =
        semantics && semantics->kind == CONFIG_SCALAR && !strcasecmp(semantics->text, "cleanrl");
    char preset[sizeof(l->out->config.preset)];
    memcpy(preset, l->out->config.preset, sizeof(preset));
    if (config_defaults(read, cleanrl ? PPO_LIKE_CLEANRL : PPO_LIKE_RLLIB))
        return fail(l, "%s", read->why);
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->layers[i].tree && config_apply(read, l->layers[i].name, l->layers[i].tree))
            return fail(l, "%s", read->why);
    }
    memcpy(l->out->config.preset, preset, sizeof(preset));
    return 0;
}

/* ---- What belongs together ---- */

static bool is_said(const struct load *l, const char *name)
{
    const struct config_key *key = config_key_find(&ppo_schema, "", name);
    assert(key);
    return l->out->origins[key - ppo_schema.keys].layer != NULL;
}

static const char *option(const struct ppo_settings *c, const char *name)
{
    for (uint32_t i = 0; i < c->env_config.n; i++) {
        if (!strcmp(c->env_config.at[i].key, name))
            return c->env_config.at[i].value;
    }
    return NULL;
}

static int check_together(struct load *l)
{
    struct ppo_settings *c = &l->out->config;
    if (!c->use_kl_loss)
        c->kl_coeff = 0;
    c->has_sumo = c->sumo.sumocfg_file[0] || c->sumo.net_file[0] || option(c, "scenario");
    if (!c->env[0] && !c->has_sumo && l->ask->config)
        return fail(l,
                    "%s: there is nothing to train on: it takes env (as CartPole-v1), or the "
                    "section sumo with a sumocfg_file",
                    l->ask->config);
    if (c->sumo.net_file[0] && !c->sumo.sumocfg_file[0] && !c->sumo.route_file[0] &&
        !option(c, "scenario"))
        return fail(l,
                    "%s: sumo.net_file has no traffic: it takes route_file too, or a "
                    "sumocfg_file instead",
                    l->ask->config ? l->ask->config : "--set");
    if (c->lr_schedule.n && is_said(l, "lr_schedule") && is_said(l, "lr_anneal") && c->lr_anneal)
        return fail(l, "lr_schedule and lr_anneal cannot both be: leave one of them");
    if (c->lr_schedule.n)
        c->lr_anneal = false;
    return 0;
}

static bool is_readable(const char *path)
{
    return access(path, R_OK) == 0;
}

/* Beside the file that names it, or where the user is: RLlib's users write either. */
static int find_one(struct load *l, const char *key, const char *path, char *out, size_t size)
{
    const char *config = l->ask->config ? l->ask->config : "";
    const char *slash = strrchr(config, '/');
    char beside[PATH_MAX + CONFIG_TEXT_MAX], found[PATH_MAX];
    snprintf(beside, sizeof(beside), "%.*s%s", slash ? (int)(slash - config) + 1 : 0, config, path);
    const char *at = path[0] != '/' && is_readable(beside) ? beside : path;
    if (!is_readable(at) || !realpath(at, found))
        return fail(l, "%s: sumo.%s: %s is not there%s%s%s", *config ? config : "--set", key, path,
                    path[0] == '/' || !slash ? ""
                                             : ", neither beside the file nor here (it would be ",
                    path[0] == '/' || !slash ? "" : beside, path[0] == '/' || !slash ? "" : ")");
    if (strlen(found) >= size)
        return fail(l, "sumo.%s: %s has too long a path", key, path);
    memcpy(out, found, strlen(found) + 1);
    return 0;
}

static int find_files(struct load *l, const char *key, char *list, bool several)
{
    char all[CONFIG_TEXT_MAX] = "", one[CONFIG_TEXT_MAX];
    for (const char *at = list; *at;) {
        size_t len = several ? strcspn(at, ",") : strlen(at), used = strlen(all);
        char path[CONFIG_TEXT_MAX];
        snprintf(path, sizeof(path), "%.*s", (int)len, at);
        at += len + (at[len] == ',');
        const char *bare = path + strspn(path, " ");
        if (!*bare)
            continue;
        if (find_one(l, key, bare, one, sizeof(one)))
            return -1;
        if (used + strlen(one) + 2 > sizeof(all))
            return fail(l, "sumo.%s: the paths are too long", key);
        snprintf(all + used, sizeof(all) - used, "%s%s", used ? "," : "", one);
    }
    memcpy(list, all, sizeof(all));
    return 0;
}

/* How long a step is, where only the sumocfg says it: max_steps counts them. SUMO's usual one is 1
 * s. */
static double step_of(const char *sumocfg)
{
    double step = 1;
    char *line = NULL;
    size_t cap = 0;
    FILE *file = fopen(sumocfg, "re");
    while (file && getline(&line, &cap, file) > 0) {
        const char *at = strstr(line, "<step-length");
        const char *value = at ? strstr(at, "value=") : NULL;
        double x = value && value[6] ? strtod(value + 7, NULL) : 0;
        if (x >= 0.001 && x <= 3600)
            step = x;
    }
    free(line);
    if (file)
        fclose(file);
    return step;
}

static int find_all_files(struct load *l)
{
    struct ppo_sumo *s = &l->out->config.sumo;
    if (l->ask->no_files)
        return 0;
    return find_files(l, "sumocfg_file", s->sumocfg_file, false) ||
                   find_files(l, "net_file", s->net_file, false) ||
                   find_files(l, "route_file", s->route_file, true) ||
                   find_files(l, "additional_files", s->additional_files, true)
               ? -1
               : 0;
}

static void find_step(struct load *l)
{
    struct ppo_sumo *s = &l->out->config.sumo;
    if (s->max_steps != CONFIG_NONE && isnan(s->time_step))
        s->time_step = l->ask->no_files || !s->sumocfg_file[0] ? 1 : step_of(s->sumocfg_file);
}

/* ---- Notes ---- */

static void write_notes(struct ppo_loaded *out)
{
    const struct config_read *r = out->read;
    size_t used =
        (size_t)snprintf(out->notes, sizeof(out->notes), "%s%s", r->notes, *r->notes ? "\n" : "");
    for (uint32_t i = 0; i < r->n_ignored && used + 120 < sizeof(out->notes); i++)
        used += (size_t)snprintf(out->notes + used, sizeof(out->notes) - used, "%s%s (line %u)",
                                 i ? ", " : "these keys mean nothing here, and are ignored: ",
                                 r->ignored[i].key, r->ignored[i].line);
    if (used && out->notes[used - 1] == '\n')
        out->notes[used - 1] = 0;
}

/* ---- Options of the environment ---- */

__attribute__((format(printf, 3, 4))) static void add_option(struct config_options *o,
                                                             const char *key, const char *fmt, ...)
{
    va_list args;
    for (uint32_t i = 0; i < o->n; i++) {
        if (!strcmp(o->at[i].key, key))
            return; /* env_config says it */
    }
    if (o->n == CONFIG_OPTIONS_MAX)
        return;
    va_start(args, fmt);
    vsnprintf(o->at[o->n].value, sizeof(o->at[0].value), fmt, args);
    va_end(args);
    snprintf(o->at[o->n++].key, sizeof(o->at[0].key), "%s", key);
}

void ppo_env_options(const struct ppo_settings *config, struct config_options *ret)
{
    static const char *const backends[] = {"auto", "libsumo", "traci"};
    const struct ppo_sumo *s = &config->sumo;
    *ret = config->env_config;
    if (!config->has_sumo)
        return;
    if (s->sumocfg_file[0])
        add_option(ret, "scenario", "%s", s->sumocfg_file);
    if (s->net_file[0])
        add_option(ret, "net_file", "%s", s->net_file);
    if (s->route_file[0])
        add_option(ret, "route_files", "%s", s->route_file);
    if (s->additional_files[0])
        add_option(ret, "additional_files", "%s", s->additional_files);
    if (!isnan(s->time_step))
        add_option(ret, "step_length", "%.10g", s->time_step);
    if (s->max_steps != CONFIG_NONE)
        add_option(ret, "num_seconds", "%.10g", (double)s->max_steps * s->time_step);
    add_option(ret, "step_timeout", "%.10g", s->env_timeout);
    add_option(ret, "gui", "%s", s->use_gui ? "true" : "false");
    add_option(ret, "backend", "%s", backends[s->backend]);
}

/* ---- The whole ---- */

static int load_all(struct load *l)
{
    l->n = 1;
    if (add_file(l) || add_sets(l) || add_preset(l) || apply_layers(l) || check_together(l) ||
        find_all_files(l))
        return -1;
    find_step(l);
    write_notes(l->out);
    return 0;
}

int ppo_settings_load(const struct ppo_load *ask, struct ppo_loaded **ret_loaded)
{
    struct load *l = calloc(1, sizeof(*l));
    struct ppo_loaded *out = calloc(1, sizeof(*out));
    *ret_loaded = out;
    if (l && out) {
        out->origins = calloc(ppo_schema.n, sizeof(*out->origins));
        out->read = calloc(1, sizeof(*out->read));
    }
    if (!l || !out || !out->origins || !out->read) {
        if (out)
            snprintf(out->why, sizeof(out->why), "no memory");
        free(l);
        return -1;
    }
    *l = (struct load){.ask = ask, .out = out};
    out->read->schema = &ppo_schema;
    out->read->target = &out->config;
    out->read->origins = out->origins;
    int rc = load_all(l);
    for (uint32_t i = 0; i < l->n; i++)
        config_tree_free(&l->layers[i].tree);
    free(l);
    return rc;
}

void ppo_settings_free(struct ppo_loaded **loaded)
{
    if (!*loaded)
        return;
    for (uint32_t i = 0; i < (*loaded)->n_layers; i++)
        free((*loaded)->layers[i]);
    free((*loaded)->origins);
    free((*loaded)->read);
    free(*loaded);
    *loaded = NULL;
}
