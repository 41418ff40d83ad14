/* Any bytes as a value: what rtci_value_view accepts can be read to its last leaf or to the first
 * malformed one, and written again. */
#include <stdlib.h>
#include <string.h>

#include "runtime/client/light.h"
#include "runtime/client/value.h"
#include "tests/fuzz/fuzz.h"

static volatile uint64_t sink;

static void read_bytes(const void *data, size_t size)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += ((const uint8_t *)data)[i];
    sink += sum;
}

static void read_leaf(const struct rtc_value *value)
{
    const void *data;
    const char *text;
    size_t size;
    struct rtc_array array;
    int64_t i;
    double f;
    rtc_ref ref;
    if (rtc_value_bytes(value, &data, &size) == 0)
        read_bytes(data, size);
    if (rtc_value_str(value, &text, &size) == 0)
        read_bytes(text, size);
    if (rtc_value_array(value, &array) == 0)
        read_bytes(array.data, array.size);
    if (rtc_value_i64(value, &i) == 0)
        sink += (uint64_t)i;
    if (rtc_value_f64(value, &f) == 0)
        sink += f > 0;
    if (rtc_value_ref(value, &ref) == 0)
        sink += ref.seq;
}

/* A budget bounds the walk: nesting multiplies. */
static void read_all(const struct rtc_value *value, unsigned *budget)
{
    read_leaf(value);
    size_t n = rtc_value_len(value) * (value->type == RTC_MAP ? 2 : 1);
    for (size_t i = 0; i<n && * budget> 0; i++) {
        struct rtc_value item;
        (*budget)--;
        int rc = rtc_value_at(value, i, &item);
        if (rc == RTC_E_PROTOCOL)
            return; /* what is nested is checked when it is read */
        if (rc != 0)
            abort();
        read_all(&item, budget);
    }
    if (value->type == RTC_MAP) {
        struct rtc_value item;
        if (rtc_value_find(value, "key", &item) == 0)
            read_leaf(&item);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtc_value value;
    unsigned budget = 2000;
    void *copy = aligned_alloc(8, (size + 7) / 8 * 8 + 8); /* as values stand in records */
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (rtci_value_view(copy, size, &value) == 0) {
        read_all(&value, &budget);
        struct value_plan plan;
        if (rtci_value_plan(&value, &plan) == 0) {
            void *again = aligned_alloc(64, (plan.size + 63) / 64 * 64 + 64);
            if (again)
                rtci_value_write(&value, &plan, again);
            free(again);
        }
    }
    rtci_value_forget();
    free(copy);
    return 0;
}

#define ITEMS 64u

struct maker {
    struct rng *rng;
    struct rtc_value items[ITEMS];
    struct rtc_array array;
    uint32_t used;
};

static struct rtc_value make(struct maker *maker, int depth)
{
    static const char text[] = "some text that a value holds";
    struct rng *rng = maker->rng;
    uint32_t kind = rng_below(rng, depth > 3 ? 8 : 10);
    switch (kind) {
    case 0: return rtc_nil();
    case 1: return rtc_bool(rng_below(rng, 2));
    case 2: return rtc_i64((int64_t)rng_next(rng) >> rng_below(rng, 63));
    case 3: return rtc_u64(rng_next(rng) >> rng_below(rng, 63));
    case 4: return rtc_f64(rng_below(rng, 1000) / 7.0);
    case 5: return rtc_str_n(text, rng_below(rng, sizeof(text)));
    case 6: return rtc_nd(&maker->array);
    case 7:
        if (rng_below(rng, 2))
            return rtc_of_actor(rtci_light_handle((struct rtci_id){1 + rng_below(rng, 99), 1, 0},
                                                  rng_below(rng, 3)));
        return rtc_of_ref((rtc_ref){.seq = 1 + rng_below(rng, 99), .client = 1, .index = 0});
    default: {
        uint32_t n = rng_below(rng, 4), width = kind == 9 ? 2 : 1, begin = maker->used;
        if (begin + n * width > ITEMS)
            return rtc_nil();
        maker->used += n * width;
        for (uint32_t i = 0; i < n * width; i++)
            maker->items[begin + i] =
                width == 2 && i % 2 == 0 ? rtc_str("key") : make(maker, depth + 1);
        return kind == 9 ? rtc_map(maker->items + begin, n) : rtc_list(maker->items + begin, n);
    }
    }
}

size_t fuzz_make(struct rng *rng, uint8_t *at)
{
    static const double numbers[6] = {1, 2, 3, 4, 5, 6};
    struct maker maker = {.rng = rng,
                          .array = {.data = numbers,
                                    .size = sizeof(numbers),
                                    .shape = {2, 3},
                                    .ndim = 2,
                                    .dtype = RTC_F64}};
    struct rtc_value value = make(&maker, 0);
    struct value_plan plan;
    if (rtci_value_plan(&value, &plan) != 0 || plan.size > FUZZ_INPUT_MAX)
        abort(); /* everything made here can be written */
    rtci_value_write(&value, &plan, at);
    return plan.size;
}
