/* What stands behind a key (values.c); of schema.c alone. */
#ifndef ACTORS_CONFIG_VALUES_H
#define ACTORS_CONFIG_VALUES_H

#include "actors/config/schema.h"

/* -1: `wrong` goes on behind the key's name, "must be … and is …". */
int config_read_value(const struct config_key *key, const struct config_node *node, void *target,
                      char *wrong, size_t size);
/* "a whole number from 1 to 64, or None" */
void config_wanted(const struct config_key *key, char *out, size_t size);

/* Adds what stands under a key to the options, over one of the same name. */
int config_add_option(struct config_options *options, const struct config_node *node, char *wrong,
                      size_t size);

#endif
