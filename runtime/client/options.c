/* Options of tasks become shapes, which are told to the head once and named by number. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/client/client.h"

#define UNITS 10000.0

int rtci_amount_of(const char *what, double amount, uint64_t max, uint64_t *ret_units)
{
    if (!(amount >= 0) || amount * UNITS > (double)max)
        return rtci_error(RTC_E_INVALID,
                          "%s = %g is impossible: an amount is from 0 (RTC_NONE) to %g", what,
                          amount, (double)max / UNITS);
    double units = round(amount * UNITS);
    if (amount > 0 && units < 1)
        return rtci_error(RTC_E_INVALID, "%s = %g is too small: amounts are counted in 1/10,000",
                          what, amount);
    *ret_units = (uint64_t)units;
    return 0;
}

int rtci_options_check(const struct rtc_options *o)
{
    if (o->returns > RTCI_RETURNS_MAX)
        return rtci_error(RTC_E_TOO_LARGE, "returns = %u; at most %d are possible", o->returns,
                          RTCI_RETURNS_MAX);
    if (o->n_resources > RTCI_CUSTOM_MAX || o->n_labels > RTCI_LABELS_MAX)
        return rtci_error(RTC_E_TOO_LARGE,
                          "%zu resources and %zu labels: at most %d and %d are possible",
                          o->n_resources, o->n_labels, RTCI_CUSTOM_MAX, RTCI_LABELS_MAX);
    if (o->retries < RTC_NO_RETRY)
        return rtci_error(RTC_E_INVALID,
                          "retries = %d: 0 is the default, RTC_NO_RETRY and "
                          "RTC_RETRY_FOREVER are the negative ones",
                          o->retries);
    if (o->deadline < 0)
        return rtci_error(RTC_E_INVALID, "deadline = %lld ns is in the past",
                          (long long)o->deadline);
    if ((unsigned)o->place > RTC_PLACE_NODE_SOFT)
        return rtci_error(RTC_E_INVALID, "place = %d is unknown", (int)o->place);
    if (o->name && strlen(o->name) > RTCI_NAME_MAX)
        return rtci_error(RTC_E_TOO_LARGE, "the name of the task is longer than %d bytes",
                          RTCI_NAME_MAX);
    return 0;
}

static int fill_shape(const struct rtc_options *o, struct rtci_shape *shape)
{
    uint64_t cpu, gpu;
    double cpus = o->cpus == 0 ? 1 : o->cpus == RTC_NONE ? 0 : o->cpus;
    RTCI_TRY(rtci_amount_of("cpus", cpus, UINT32_MAX, &cpu));
    RTCI_TRY(rtci_amount_of("gpus", o->gpus == RTC_NONE ? 0 : o->gpus, UINT32_MAX, &gpu));
    *shape = (struct rtci_shape){.cpu = (uint32_t)cpu,
                                 .gpu = (uint32_t)gpu,
                                 .n_custom = (uint16_t)o->n_resources,
                                 .n_labels = (uint16_t)o->n_labels,
                                 .gpu_mem = o->gpu_mem,
                                 .mem = o->mem,
                                 .placement = (uint32_t)o->place,
                                 .node = o->node,
                                 .flags = o->fail_if_infeasible ? RTCI_SHAPE_FAIL_INFEASIBLE : 0};
    if (o->placement.client)
        shape->group = (struct rtci_id){o->placement.seq, o->placement.client,
                                        o->bundle ? o->bundle - 1 : RTCI_ANY_BUNDLE};
    struct rtci_custom *custom = (struct rtci_custom *)(shape + 1);
    for (size_t i = 0; i < o->n_resources; i++) {
        const char *name = o->resources[i].name;
        memset(&custom[i], 0, sizeof(custom[i]));
        if (!name || !name[0] || strlen(name) >= sizeof(custom[i].name))
            return rtci_error(RTC_E_INVALID, "a custom resource needs a name of 1 to %zu bytes",
                              sizeof(custom[i].name) - 1);
        RTCI_TRY(rtci_amount_of(name, o->resources[i].amount, UINT64_MAX / 16, &custom[i].amount));
        snprintf(custom[i].name, sizeof(custom[i].name), "%s", name);
    }
    struct rtci_label *label = (struct rtci_label *)(custom + o->n_resources);
    for (size_t i = 0; i < o->n_labels; i++) {
        const char *key = o->labels[i].key, *value = o->labels[i].value;
        memset(&label[i], 0, sizeof(label[i]));
        if (!key || !value || strlen(key) >= sizeof(label[i].key) ||
            strlen(value) >= sizeof(label[i].value))
            return rtci_error(RTC_E_INVALID,
                              "a label needs a key of at most %zu and a value of at most "
                              "%zu bytes",
                              sizeof(label[i].key) - 1, sizeof(label[i].value) - 1);
        snprintf(label[i].key, sizeof(label[i].key), "%s", key);
        snprintf(label[i].value, sizeof(label[i].value), "%s", value);
    }
    return 0;
}

static int declare_shape(struct rtc *rtc, struct rtci_shape *shape, size_t size, uint64_t hash,
                         uint32_t *ret_number)
{
    if (rtc->n_shapes == rtc->cap_shapes) {
        uint32_t cap = rtc->cap_shapes ? rtc->cap_shapes * 2 : 16;
        struct shape *shapes = realloc(rtc->shapes, cap * sizeof(*shapes));
        if (!shapes)
            return rtci_error(RTC_E_NOMEM, "out of memory for the options of a task");
        rtc->shapes = shapes;
        rtc->cap_shapes = cap;
    }
    void *at;
    RTCI_TRY(rtci_reserve(rtc, size, UINT64_MAX, &at));
    struct shape entry = {hash, (uint32_t)rtc->shape_bytes.len, (uint32_t)size};
    rtci_buf_put(&rtc->shape_bytes, shape, size);
    if (rtc->shape_bytes.failed) {
        rtci_chan_unreserve(rtc->chan, size);
        rtc->shape_bytes.failed = false;
        return rtci_error(RTC_E_NOMEM, "out of memory for the options of a task");
    }
    memcpy(at, shape, size);
    ((struct rtci_shape *)at)->number = rtc->n_shapes;
    rtci_chan_publish(rtc->chan);
    rtc->shapes[rtc->n_shapes] = entry;
    *ret_number = rtc->n_shapes++;
    return 0;
}

static int find_shape(struct rtc *rtc, const struct rtc_options *options, uint32_t *ret_number)
{
    union {
        struct rtci_shape shape;
        uint8_t bytes[sizeof(struct rtci_shape) + RTCI_CUSTOM_MAX * sizeof(struct rtci_custom) +
                      RTCI_LABELS_MAX * sizeof(struct rtci_label)];
    } u;
    RTCI_TRY(rtci_options_check(options));
    RTCI_TRY(rtci_placement_check(rtc, options));
    RTCI_TRY(fill_shape(options, &u.shape));
    size_t size = sizeof(u.shape) + options->n_resources * sizeof(struct rtci_custom) +
                  options->n_labels * sizeof(struct rtci_label);
    u.shape.rec = (struct rtci_rec){.size = (uint32_t)size, .type = RTCI_R_SHAPE};
    uint64_t hash = XXH3_64bits(u.bytes, size);
    for (uint32_t i = 0; i < rtc->n_shapes; i++) {
        const struct shape *s = &rtc->shapes[i];
        if (s->hash == hash && s->size == size &&
            memcmp(rtc->shape_bytes.data + s->offset, u.bytes, size) == 0) {
            *ret_number = i;
            return 0;
        }
    }
    return declare_shape(rtc, &u.shape, size, hash, ret_number);
}

static bool same_scalars(const struct rtc_options *a, const struct rtc_options *b)
{
    return a->cpus == b->cpus && a->gpus == b->gpus && a->gpu_mem == b->gpu_mem &&
           a->mem == b->mem && a->place == b->place && a->node == b->node &&
           a->placement.seq == b->placement.seq && a->placement.client == b->placement.client &&
           a->bundle == b->bundle && a->fail_if_infeasible == b->fail_if_infeasible &&
           a->retries == b->retries && a->deadline == b->deadline && a->returns == b->returns;
}

int rtci_shape_of(struct rtc *rtc, const struct rtc_options *options, uint32_t *ret_shape)
{
    bool plain = options->n_resources == 0 && options->n_labels == 0 && !options->name;
    if (RTCI_LIKELY(plain && rtc->has_last && same_scalars(options, &rtc->last_options))) {
        *ret_shape = rtc->last_shape;
        return 0;
    }
    RTCI_TRY(find_shape(rtc, options, ret_shape));
    if (plain) {
        rtc->last_options = *options;
        rtc->last_shape = *ret_shape;
        rtc->has_last = true;
    }
    return 0;
}
