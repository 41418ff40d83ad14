/* The backend libsumo, seen from this side: is it there, and does it fit. */
#ifndef ACTORS_SUMO_LIBSUMO_H
#define ACTORS_SUMO_LIBSUMO_H

#include <stdbool.h>
#include <stddef.h>

/* Starts the warm server at the first call; `why_not` is the reason when it cannot be used. */
bool sumo_libsumo_usable(const char *worker_binary, char *why_not, size_t size);

#endif
