#include "actors/sumo/internal.h"
#include "actors/sumo/libsumo.h"
#include <stdio.h>
const struct sumo_transport sumo_over_memory = {.name = "libsumo"};
bool sumo_libsumo_usable(const char *worker_binary, char *why_not, size_t size)
{
    (void)worker_binary;
    snprintf(why_not, size, "not built");
    return false;
}
