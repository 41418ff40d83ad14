/* As check.c, for the records of actors and groups. */
#include "runtime/base/bounds.h"
#include "runtime/wire/actor.h"

#define PADDED(n)   (((uint64_t)(n) + 7u) & ~(uint64_t)7u)
#define OPTIONS_MAX (sizeof(struct rtci_actor_options) + 2 * RTCI_NAME_MAX)

static bool create_ok(const struct rtci_rec *rec)
{
    const struct rtci_spec *spec = (const struct rtci_spec *)rec;
    if (!rtci_check_spec(rec, OPTIONS_MAX, rec->type == RTCI_R_ACTOR_START) ||
        !(spec->flags & RTCI_SPEC_ACTOR) || spec->flags & RTCI_SPEC_NAMED ||
        spec->name_len < sizeof(struct rtci_actor_options))
        return false;
    const struct rtci_actor_options *options = rtci_spec_options(spec);
    return spec->seq != 0 && options->max_restarts >= -1 && options->max_task_retries >= -1 &&
           options->ns_len <= RTCI_NAME_MAX && options->name_len <= RTCI_NAME_MAX &&
           sizeof(*options) + options->ns_len + options->name_len == spec->name_len;
}

static bool call_ok(const struct rtci_rec *rec)
{
    const struct rtci_spec *spec = (const struct rtci_spec *)rec;
    return rtci_check_spec(rec, sizeof(struct rtci_call), false) && spec->flags & RTCI_SPEC_CALL &&
           !(spec->flags & RTCI_SPEC_NAMED) && spec->name_len == sizeof(struct rtci_call);
}

static bool where_ok(const struct rtci_rec *rec)
{
    const struct rtci_actor_where *where = (const struct rtci_actor_where *)rec;
    return rec->size >= sizeof(*where) && where->ns_len <= RTCI_NAME_MAX &&
           where->name_len <= RTCI_NAME_MAX &&
           rec->size == PADDED(sizeof(*where) + (uint64_t)where->ns_len + where->name_len);
}

static bool cause_ok(const struct rtci_cause *cause)
{
    return cause->kind < RTCI_CAUSE_COUNT && cause->text[sizeof(cause->text) - 1] == 0;
}

static bool failed_ok(const struct rtci_rec *rec)
{
    const struct rtci_actor_failed *failed = (const struct rtci_actor_failed *)rec;
    return rec->size >= sizeof(*failed) && failed->code < 0 &&
           rec->size == PADDED(sizeof(*failed) + (uint64_t)failed->text_len);
}

static bool group_ok(const struct rtci_rec *rec)
{
    const struct rtci_group_create *group = (const struct rtci_group_create *)rec;
    if (rec->size < sizeof(*group) || group->n_bundles > RTCI_BUNDLES_MAX || group->id.seq == 0 ||
        group->strategy > RTCI_GROUP_STRICT_SPREAD)
        return false;
    uint64_t size = sizeof(*group) + group->n_bundles * sizeof(struct rtci_bundle);
    if (size > rec->size)
        return false;
    const struct rtci_bundle *bundles = (const struct rtci_bundle *)(group + 1);
    uint64_t customs = 0;
    for (uint32_t i = 0; i < group->n_bundles; i++) {
        if (bundles[i].n_custom > RTCI_CUSTOM_MAX || bundles[i].mem > INT64_MAX ||
            bundles[i].gpu_mem > INT64_MAX)
            return false;
        customs += bundles[i].n_custom;
    }
    if (size + customs * sizeof(struct rtci_custom) != rec->size)
        return false;
    const struct rtci_custom *custom = (const struct rtci_custom *)(bundles + group->n_bundles);
    for (uint64_t i = 0; i < customs; i++) {
        if (custom[i].name[sizeof(custom[i].name) - 1] != 0 || custom[i].amount > INT64_MAX)
            return false;
    }
    return true;
}

static bool group_is_ok(const struct rtci_rec *rec)
{
    const struct rtci_group_is *is = (const struct rtci_group_is *)rec;
    return rec->size >= sizeof(*is) && is->n <= RTCI_BUNDLES_MAX &&
           is->text[sizeof(is->text) - 1] == 0 &&
           rec->size == PADDED(sizeof(*is) + is->n * sizeof(uint32_t));
}

bool rtci_check_actor(const struct rtci_rec *rec)
{
    switch (rec->type) {
    case RTCI_R_ACTOR_CREATE:
    case RTCI_R_ACTOR_START: return create_ok(rec);
    case RTCI_R_ACTOR_CALL: return call_ok(rec);
    case RTCI_R_ACTOR_WHERE: return where_ok(rec);
    case RTCI_R_ACTOR_IS:
        return rec->size == sizeof(struct rtci_actor_is) &&
               cause_ok(&((const struct rtci_actor_is *)rec)->cause);
    case RTCI_R_ACTOR_UP: return rec->size == sizeof(struct rtci_actor_up);
    case RTCI_R_ACTOR_FAILED: return failed_ok(rec);
    case RTCI_R_ACTOR_STOP:
    case RTCI_R_ACTOR_KILL: return rec->size == sizeof(struct rtci_actor_end);
    case RTCI_R_ACTOR_MONITOR:
    case RTCI_R_ACTOR_DEMONITOR: return rec->size == sizeof(struct rtci_actor_monitor);
    case RTCI_R_ACTOR_LINK: return rec->size == sizeof(struct rtci_actor_link);
    case RTCI_R_ACTOR_DOWN:
        return rec->size == sizeof(struct rtci_actor_down) &&
               cause_ok(&((const struct rtci_actor_down *)rec)->cause);
    case RTCI_R_GROUP_CREATE: return group_ok(rec);
    case RTCI_R_GROUP_REMOVE:
    case RTCI_R_GROUP_WHERE: return rec->size == sizeof(struct rtci_group_remove);
    case RTCI_R_GROUP_IS: return group_is_ok(rec);
    default: return false;
    }
}
