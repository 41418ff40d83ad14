/* Named, versioned objects: published once, read by whoever asks for one newer than it has. */
#include <stdlib.h>

#include "runtime/core/head_internal.h"

static struct named *named_find(struct rtci_head_core *core, const char *name, uint32_t len,
                                bool make)
{
    for (uint32_t i = 0; i < core->n_nameds; i++) {
        if (core->nameds[i].len == len && !memcmp(core->nameds[i].name, name, len))
            return &core->nameds[i];
    }
    if (!make)
        return NULL;
    HEAD_GROW(core->nameds, core->cap_nameds, core->n_nameds);
    struct named *named = &core->nameds[core->n_nameds++];
    *named = (struct named){.name = malloc(len + 1), .len = len};
    RTCI_ASSERT(named->name);
    memcpy(named->name, name, len);
    return named;
}

static uint32_t full_name(struct rtci_head_core *core, const struct client *client,
                          const struct rtci_named *rec, char *out, size_t size)
{
    const char *given = (const char *)(rec + 1), *name = given + rec->ns_len;
    uint32_t ns_len = rec->ns_len;
    const char *ns = head_namespace(core, client, given, &ns_len);
    uint32_t len = ns_len + 1u + rec->name_len;
    if (len > size)
        return 0;
    memcpy(out, ns, ns_len);
    out[ns_len] = 0;
    memcpy(out + ns_len + 1, name, rec->name_len);
    return len;
}

void head_named_set(struct rtci_head_core *core, const char *name, uint32_t len, uint32_t job,
                    uint64_t version, struct rtci_id id)
{
    struct named *named = named_find(core, name, len, true);
    struct rtci_id old = named->id;
    named->version = version;
    named->job = job;
    named->id = id;
    head_pin(core, &id, id.client ? 1 : 0);
    head_unpin(core, &old, old.client ? 1 : 0);
}

static void answer_newest(struct rtci_head_core *core, const struct named *named,
                          struct client *client, uint64_t request)
{
    struct rtci_ids ids[2];
    memset(ids, 0, sizeof(ids));
    ids[0].rec = (struct rtci_rec){sizeof(ids), RTCI_R_HOLD, 0};
    ids[0].n = 1;
    memcpy(&ids[1], &named->id, sizeof(named->id));
    _Static_assert(sizeof(struct rtci_ids) == sizeof(struct rtci_id), "one id follows the header");
    head_hold(core, client->node, client, ids, true); /* before the reader hears of it */
    head_hold_answered(core, client->node, named->id);
    head_reply(core, client, request, 0, 1, named->version, named->id, NULL, 0);
}

void head_publish(struct rtci_head_core *core, struct client *client, const struct rtci_named *rec)
{
    char name[512];
    uint32_t len = full_name(core, client, rec, name, sizeof(name));
    struct rtci_id none = {0};
    if (!len || !head_find(core, rec->id)) {
        head_reply(core, client, rec->request, len ? RTC_E_NOT_FOUND : RTC_E_TOO_LARGE, 0, 0, none,
                   NULL, 0);
        return;
    }
    struct named *named = named_find(core, name, len, true);
    if (!rtci_id_equal(named->id, rec->id) || !named->version) {
        uint64_t version = rec->version > named->version ? rec->version : named->version + 1;
        head_named_set(core, name, len, client->job, version, rec->id);
        head_j_named(core, named);
    }
    head_reply(core, client, rec->request, 0, 0, named->version, none, NULL, 0);
    uint32_t keep = 0;
    for (uint32_t i = 0; i < named->n_subs; i++) {
        struct sub sub = named->subs[i];
        struct client *reader = head_client(core, sub.client);
        if (sub.newer_than >= named->version)
            named->subs[keep++] = sub;
        else if (reader && reader->alive)
            answer_newest(core, named, reader, sub.request);
    }
    named->n_subs = keep;
}

void head_subscribe(struct rtci_head_core *core, struct client *client,
                    const struct rtci_named *rec)
{
    char name[512];
    uint32_t len = full_name(core, client, rec, name, sizeof(name));
    struct rtci_id none = {0};
    struct named *named = len ? named_find(core, name, len, true) : NULL;
    if (!named) {
        head_reply(core, client, rec->request, RTC_E_TOO_LARGE, 0, 0, none, NULL, 0);
    } else if (named->version > rec->version && named->id.client) {
        answer_newest(core, named, client, rec->request);
    } else if (rec->flags & RTCI_NAMED_NOWAIT) {
        head_reply(core, client, rec->request, RTC_E_NOT_FOUND, 0, 0, none, NULL, 0);
    } else {
        for (uint32_t i = 0; i < named->n_subs; i++) {
            if (named->subs[i].client == client->number && named->subs[i].request == rec->request)
                return; /* asked again after a restart */
        }
        HEAD_GROW(named->subs, named->cap_subs, named->n_subs);
        named->subs[named->n_subs++] = (struct sub){client->number, rec->request, rec->version};
    }
}

void head_named_job_end(struct rtci_head_core *core, uint32_t job)
{
    for (uint32_t i = 0; i < core->n_nameds; i++) {
        struct named *named = &core->nameds[i];
        if (named->job != job || !named->id.client)
            continue;
        struct rtci_id old = named->id;
        named->id = (struct rtci_id){0};
        named->job = 0;
        head_j_named(core, named);
        head_unpin(core, &old, 1);
    }
}
