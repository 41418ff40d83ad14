/* Binds an executor to cores that no other one is bound to. */
#ifndef ACTORS_DE_AFFINITY_H
#define ACTORS_DE_AFFINITY_H

#include <stdint.h>

/* Once for each process, for as long as it lives; children inherit it. Does nothing when fewer than
 * `cpus` cores are left: then the kernel's own placement is as good as any. */
void de_affinity_claim(uint32_t cpus);

#endif
