/* A folder of a test, which is gone when it ends. */
#ifndef TESTS_RUN_FOLDER_H
#define TESTS_RUN_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/test_run.XXXXXX";

static inline const char *in_folder(const char *name)
{
    static char path[16][512];
    static unsigned turn;
    char *p = path[turn++ % 16];
    snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
    return p;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline int make_folder(void **state)
{
    (void)state;
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    return !mkdtemp(folder);
}

static inline int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline char *text_of(const char *path)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    text[n] = 0;
    if (file)
        fclose(file);
    return text;
}

static inline void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

#endif
