/* Word count over a text file: the text is put once and read in place by every map task; reduce
 * tasks take the maps' futures as arguments.
 *
 *   mapreduce FILE [PARTS] */
#include <ctype.h>
#include <rtc/rtc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOP 10

/* A growing table of words; linear search within 4,096 buckets is enough here. */
struct word {
    struct word *next;
    int64_t count;
    size_t len;
    char text[];
};
struct table {
    struct word *bucket[4096];
    size_t n;
};

static int table_add(struct table *table, const char *text, size_t len, int64_t count)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    struct word **at = &table->bucket[h % 4096], *word;
    for (word = *at; word && (word->len != len || memcmp(word->text, text, len) != 0);)
        word = word->next;
    if (!word) {
        word = malloc(sizeof(*word) + len);
        if (!word)
            return RTC_E_NOMEM;
        word->next = *at;
        word->count = 0;
        word->len = len;
        memcpy(word->text, text, len);
        *at = word;
        table->n++;
    }
    word->count += count;
    return 0;
}

/* Returns the table as a map from word to count, and frees it. */
static int return_table(struct rtc_call *call, struct table *table)
{
    struct rtc_value *items = calloc(2 * table->n + 1, sizeof(*items));
    size_t n = 0;
    for (int b = 0; items && b < 4096; b++) {
        for (struct word *w = table->bucket[b]; w; w = w->next) {
            items[2 * n] = rtc_str_n(w->text, w->len);
            items[2 * n++ + 1] = rtc_i64(w->count);
        }
    }
    struct rtc_value map = rtc_map(items, n);
    int rc = items ? rtc_return(call, &map) : RTC_E_NOMEM;
    for (int b = 0; b < 4096; b++) {
        for (struct word *w = table->bucket[b], *next; w; w = next) {
            next = w->next;
            free(w);
        }
    }
    free(items);
    free(table);
    return rc;
}

/* Counts the words that begin in [begin, end). */
RTC_TASK_SIGNATURE(count_words, "bytes,i64,i64->map")
{
    const void *data;
    size_t size;
    int64_t begin, end;
    RTC_TRY(rtc_arg_bytes(call, 0, &data, &size));
    RTC_TRY(rtc_arg_i64(call, 1, &begin));
    RTC_TRY(rtc_arg_i64(call, 2, &end));
    const unsigned char *text = data;
    struct table *table = calloc(1, sizeof(*table));
    if (!table)
        return RTC_E_NOMEM;
    for (size_t i = (size_t)begin; i < (size_t)end;) {
        bool starts = isalnum(text[i]) && (i == 0 || !isalnum(text[i - 1]));
        size_t len = 0;
        while (starts && i + len < size && isalnum(text[i + len]))
            len++;
        if (len)
            RTC_TRY(table_add(table, (const char *)text + i, len, 1));
        i += len ? len : 1;
    }
    return return_table(call, table);
}

/* Adds up any number of maps. */
RTC_TASK_SIGNATURE(merge, "...->map")
{
    struct table *table = calloc(1, sizeof(*table));
    if (!table)
        return RTC_E_NOMEM;
    for (size_t i = 0; i < rtc_arg_count(call); i++) {
        struct rtc_value map, key, count;
        RTC_TRY(rtc_arg(call, i, &map));
        for (size_t k = 0; k < rtc_value_len(&map); k++) {
            const char *text;
            size_t len;
            int64_t n;
            RTC_TRY(rtc_value_at(&map, 2 * k, &key));
            RTC_TRY(rtc_value_at(&map, 2 * k + 1, &count));
            RTC_TRY(rtc_value_str(&key, &text, &len));
            RTC_TRY(rtc_value_i64(&count, &n));
            RTC_TRY(table_add(table, text, len, n));
        }
    }
    return return_table(call, table);
}

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    char *data = NULL;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        long size = ftell(file);
        rewind(file);
        data = size >= 0 ? malloc((size_t)size + 1) : NULL;
        *ret_size = data ? fread(data, 1, (size_t)size, file) : 0;
    }
    if (file)
        fclose(file);
    return data;
}

static void print_top(const struct rtc_value *map)
{
    int64_t limit = INT64_MAX;
    for (int shown = 0; shown < TOP;) { /* the largest count below the last one, a few times */
        int64_t best = 0;
        for (int print = 0; print < 2; print++) {
            for (size_t k = 0; k < rtc_value_len(map); k++) {
                struct rtc_value key, count;
                RTC_CHECK(rtc_value_at(map, 2 * k, &key));
                RTC_CHECK(rtc_value_at(map, 2 * k + 1, &count));
                if (!print && count.as.i < limit && count.as.i > best)
                    best = count.as.i;
                if (print && count.as.i == best && shown++ < TOP)
                    printf("%8lld %.*s\n", (long long)best, (int)key.as.bytes.size,
                           (const char *)key.as.bytes.data);
            }
        }
        if (best == 0)
            return;
        limit = best;
    }
}

int main(int argc, char **argv)
{
    struct rtc *rtc;
    RTC_CHECK(rtc_init(&argc, &argv, NULL, &rtc));
    size_t size = 0, parts = argc > 2 ? strtoul(argv[2], NULL, 10) : 8;
    char *data = argc > 1 ? read_file(argv[1], &size) : NULL;
    if (!data || parts == 0) {
        fprintf(stderr, "usage: mapreduce FILE [PARTS]\n");
        return 2;
    }
    struct rtc_value text = rtc_bytes(data, size), result;
    rtc_ref file, total, *maps = calloc(parts, sizeof(*maps));
    struct rtc_value *args = calloc(parts, sizeof(*args));
    RTC_CHECK(rtc_put(rtc, &text, &file));
    for (size_t i = 0; i < parts; i++) {
        RTC_CHECK(rtc_submit(rtc, "count_words",
                             RTC_ARGS(rtc_of_ref(file), rtc_i64((int64_t)(size * i / parts)),
                                      rtc_i64((int64_t)(size * (i + 1) / parts))),
                             NULL, &maps[i]));
        args[i] = rtc_of_ref(maps[i]);
    }
    RTC_CHECK(rtc_submit(rtc, "merge", &(struct rtc_args){args, parts}, NULL, &total));
    /* The futures may go at once: the task that needs them holds them. */
    RTC_CHECK(rtc_release_many(rtc, maps, parts));
    RTC_CHECK(rtc_release(rtc, file));
    RTC_CHECK(rtc_get(rtc, total, RTC_FOREVER, &result));
    printf("%zu different words\n", rtc_value_len(&result));
    print_top(&result);
    RTC_CHECK(rtc_release(rtc, total));
    free(maps);
    free(args);
    free(data);
    return rtc_shutdown(&rtc) < 0;
}
