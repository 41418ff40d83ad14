/* Numbers for names, in the order of their first appearance. */
#ifndef ACTORS_SUMO_NAMES_H
#define ACTORS_SUMO_NAMES_H

#include <stddef.h>
#include <stdint.h>

#define NAMES_NONE UINT32_MAX

struct names {
    char **name;
    uint32_t *slots; /* number + 1; 0: free */
    uint32_t n, room, n_slots;
};

void names_free(struct names *names);
void names_clear(struct names *names); /* keeps its memory for the next */
/* NAMES_NONE: not there. */
uint32_t names_find(const struct names *names, const char *at, size_t size);
/* Its number, new or not; NAMES_NONE: no memory. */
uint32_t names_add(struct names *names, const char *at, size_t size);

#endif
