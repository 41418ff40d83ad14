/* Texts of users on their way into formats that are stricter than a string of C. */
#ifndef ACTORS_REPORT_TEXT_H
#define ACTORS_REPORT_TEXT_H

#include <stddef.h>

/* Every byte that is no part of valid UTF-8 becomes a question mark; the size stays. */
void report_text_clean(char *text, size_t size);

#endif
