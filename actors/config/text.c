#include "actors/config/text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned config_distance(const char *a, const char *b)
{
    unsigned row[CONFIG_WORD_MAX];
    size_t n = strlen(b);
    if (n >= CONFIG_WORD_MAX || strlen(a) >= CONFIG_WORD_MAX)
        return 99;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        unsigned corner = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned change = corner + (a[i - 1] != b[j - 1]), best = row[j] + 1;
            corner = row[j];
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = change < best ? change : best;
        }
    }
    return row[n];
}

/* Two letters; none where the word is short, a quarter of it where it is long. */
struct config_nearest config_nearest(const char *given)
{
    size_t n = strlen(given);
    unsigned most = n < 4 ? 0 : n < 12 ? 2 : (unsigned)n / 4;
    return (struct config_nearest){.given = given, .best = most + 1};
}

void config_nearest_try(struct config_nearest *near, const char *word)
{
    unsigned d = config_distance(near->given, word);
    if (d && d < near->best) {
        near->best = d;
        near->found = word;
    }
}

bool config_bytes(const char *text, uint64_t *ret_bytes)
{
    static const char letters[] = "kmgt";
    char *end;
    double bytes = strtod(text, &end);
    if (end == text)
        return false;
    end += strspn(end, " ");
    const char *at = *end ? strchr(letters, tolower((unsigned char)*end)) : NULL;
    bool binary = at && (end[1] == 'i' || !end[1]);
    for (long i = at ? at - letters + 1 : 0; i > 0; i--)
        bytes *= binary ? 1024 : 1000;
    end += at ? 1 : 0;
    end += at && *end == 'i' ? 1 : 0;
    end += tolower((unsigned char)*end) == 'b' ? 1 : 0;
    if (*end || !(bytes >= 1 && bytes < 1e18))
        return false;
    *ret_bytes = (uint64_t)bytes;
    return true;
}

const char *config_bytes_text(uint64_t bytes, char *text, size_t size)
{
    static const char *const binary[] = {"", " KiB", " MiB", " GiB", " TiB"};
    static const char *const decimal[] = {"", " KB", " MB", " GB", " TB"};
    unsigned power = 0;
    uint64_t whole = bytes;
    for (; power < 4 && whole && whole % 1024 == 0; power++)
        whole /= 1024;
    if (power && whole < 10000) {
        snprintf(text, size, "%llu%s", (unsigned long long)whole, binary[power]);
        return text;
    }
    double x = (double)bytes;
    for (power = 0; power < 4 && x >= 999.5; power++)
        x /= 1000;
    snprintf(text, size, "%.3g%s", x, decimal[power]);
    return text;
}
