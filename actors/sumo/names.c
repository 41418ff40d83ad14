#include "actors/sumo/names.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static uint32_t hash(const char *at,
                     size_t size) /* FNV-1a, then mixed: ids often differ at the end */
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ (uint8_t)at[i]) * 16777619u;
    h ^= h >> 15;
    return h * 0x85ebca6bu;
}

void names_clear(struct names *names)
{
    for (uint32_t i = 0; i < names->n; i++)
        free(names->name[i]);
    names->n = 0;
    if (names->slots)
        memset(names->slots, 0, names->n_slots * sizeof(*names->slots));
}

void names_free(struct names *names)
{
    names_clear(names);
    free(names->name);
    free(names->slots);
    *names = (struct names){0};
}

/* Where it is, or where it would be. */
static uint32_t slot_of(const struct names *names, const char *at, size_t size)
{
    uint32_t mask = names->n_slots - 1, i = hash(at, size) & mask;
    for (; names->slots[i]; i = (i + 1) & mask) {
        const char *name = names->name[names->slots[i] - 1];
        if (strncmp(name, at, size) == 0 && name[size] == '\0')
            break;
    }
    return i;
}

uint32_t names_find(const struct names *names, const char *at, size_t size)
{
    if (names->n == 0)
        return NAMES_NONE;
    uint32_t found = names->slots[slot_of(names, at, size)];
    return found ? found - 1 : NAMES_NONE;
}

static bool grow(struct names *names)
{
    uint32_t room = names->room ? names->room * 2 : 64;
    char **name = realloc(names->name, room * sizeof(*name));
    if (!name)
        return false;
    names->name = name;
    uint32_t *slots = calloc(room * 2, sizeof(*slots));
    if (!slots)
        return false;
    free(names->slots);
    names->slots = slots;
    names->n_slots = room * 2;
    names->room = room;
    for (uint32_t i = 0; i < names->n; i++)
        slots[slot_of(names, name[i], strlen(name[i]))] = i + 1;
    return true;
}

uint32_t names_add(struct names *names, const char *at, size_t size)
{
    uint32_t found = names_find(names, at, size);
    if (found != NAMES_NONE)
        return found;
    if (names->n == names->room && !grow(names))
        return NAMES_NONE;
    char *name = malloc(size + 1);
    if (!name)
        return NAMES_NONE;
    memcpy(name, at, size);
    name[size] = '\0';
    names->slots[slot_of(names, name, size)] = names->n + 1;
    names->name[names->n] = name;
    return names->n++;
}
