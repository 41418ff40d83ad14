/* Words of users: which one was meant, and how much is "4 GiB". */
#ifndef ACTORS_CONFIG_TEXT_H
#define ACTORS_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_WORD_MAX 72u /* bytes; what is longer is like nothing */

/* How many letters have to be added, dropped or changed; 99 when one of them is too long. */
unsigned config_distance(const char *a, const char *b);

/* The word that is most like `given`, fed one by one. */
struct config_nearest {
    const char *given, *found; /* found: NULL when nothing is like it */
    unsigned best;             /* feed only what is nearer than this */
};
struct config_nearest config_nearest(const char *given);
/* The word is kept, not copied. One that is equal is not taken: it cannot have been meant. */
void config_nearest_try(struct config_nearest *near, const char *word);

/* "512M", "4 GiB", "2e9": K, M, G and T alone and with i are powers of 1024, with B of 1000. False
 * when it is no amount of memory. */
bool config_bytes(const char *text, uint64_t *ret_bytes);
/* The same as text: "4 GiB", "1.5 GB". Room for 24 bytes. */
const char *config_bytes_text(uint64_t bytes, char *text, size_t size);

#endif
