/* The run's YAML file. */
#ifndef ACTORS_DE_CONFIG_H
#define ACTORS_DE_CONFIG_H

#include "actors/de/run.h"

/* Ownership: ret_options points into *ret_config, which is freed with de_config_free(). Returns 0,
 * or -1 with the sentence in `why`. */
struct de_config;
int de_config_load(const char *path, struct de_config **ret_config, struct de_options *ret_options,
                   char *why, size_t size);
void de_config_free(struct de_config *config);

#endif
