#include "actors/report/text.h"

#include <stdint.h>

/* Bytes of the valid sequence that begins here, or 0. */
static size_t sequence(const uint8_t *s, size_t left)
{
    uint8_t c = s[0];
    size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (n > left)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    /* Too long for what they say, surrogates, beyond U+10FFFF. */
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] >= 0xa0) || (c == 0xf0 && s[1] < 0x90) ||
        (c == 0xf4 && s[1] >= 0x90))
        return 0;
    return n;
}

void report_text_clean(char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t n = sequence((const uint8_t *)text + i, size - i);
        if (!n)
            text[i] = '?';
        i += n ? n : 1;
    }
}
