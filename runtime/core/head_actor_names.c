/* Names of actors, unique within a namespace; and the answers to where an actor is.
 *
 * A name belongs to the actor that took it when it was created, until that is dead. Who asks by
 * name gets a handle: the answer is held for its node before it hears of it, as with named objects.
 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/head_internal.h"

/* ns, NUL, name. Returns its length; 0 when there is no name. */
#define NAME_SPACE (2 * RTCI_NAME_MAX + 2)

static uint32_t full_name(struct rtci_head_core *core, const struct client *client, const char *ns,
                          uint32_t ns_len, const char *name, uint32_t name_len, char *out)
{
    if (!name_len)
        return 0;
    ns = head_namespace(core, client, ns, &ns_len);
    memcpy(out, ns, ns_len);
    out[ns_len] = 0;
    memcpy(out + ns_len + 1, name, name_len);
    return ns_len + 1 + name_len;
}

static uint32_t name_of(struct rtci_head_core *core, uint32_t index, char *out)
{
    const struct entry *entry = head_entry(core, index);
    const struct rtci_actor_options *options = rtci_spec_options(entry->spec);
    return full_name(core, head_client(core, entry->client), rtci_options_ns(options),
                     options->ns_len, rtci_options_name(options), options->name_len, out);
}

/* Where the link to it stands; the last one is 0. */
static uint32_t *name_at(struct rtci_head_core *core, const char *name, uint32_t len)
{
    uint32_t *at = rtci_map_find(&core->name_by_hash, rtci_function_hash(name, len), 0);
    while (at && *at && (core->names[*at].len != len || memcmp(core->names[*at].name, name, len)))
        at = &core->names[*at].next;
    return at;
}

static uint32_t holder(struct rtci_head_core *core, const char *name, uint32_t len)
{
    const uint32_t *at = len ? name_at(core, name, len) : NULL;
    return at && *at ? core->names[*at].entry : 0;
}

uint32_t head_actor_name_holder(struct rtci_head_core *core, uint32_t index)
{
    char name[NAME_SPACE];
    return holder(core, name, name_of(core, index, name));
}

void head_actor_name_take(struct rtci_head_core *core, uint32_t index)
{
    char name[NAME_SPACE];
    uint32_t len = name_of(core, index, name), number = core->free_name;
    if (!len)
        return;
    if (number) {
        core->free_name = core->names[number].next;
    } else {
        number = core->n_names;
        HEAD_GROW(core->names, core->cap_names, number);
        core->n_names++;
    }
    struct actor_name *at = &core->names[number];
    *at = (struct actor_name){.name = malloc(len), .len = len, .entry = index};
    RTCI_ASSERT(at->name);
    memcpy(at->name, name, len);
    uint64_t hash = rtci_function_hash(name, len);
    const uint32_t *first = rtci_map_find(&core->name_by_hash, hash, 0);
    at->next = first ? *first : 0;
    RTCI_ASSERT(rtci_map_set(&core->name_by_hash, hash, 0, number));
    head_actor(core, index)->named = true;
}

void head_actor_name_drop(struct rtci_head_core *core, uint32_t index)
{
    char name[NAME_SPACE];
    if (!head_actor(core, index)->named)
        return;
    uint32_t len = name_of(core, index, name), *at = name_at(core, name, len);
    RTCI_ASSERT(at && *at && core->names[*at].entry == index);
    uint32_t number = *at;
    uint64_t hash = rtci_function_hash(name, len);
    *at = core->names[number].next;
    free(core->names[number].name);
    core->names[number] = (struct actor_name){.next = core->free_name};
    core->free_name = number;
    at = rtci_map_find(&core->name_by_hash, hash, 0);
    if (!*at)
        rtci_map_remove(&core->name_by_hash, hash, 0);
    head_actor(core, index)->named = false;
}

void head_actor_names_fini(struct rtci_head_core *core)
{
    for (uint32_t i = 0; i < core->n_names; i++)
        free(core->names[i].name);
    for (uint32_t i = 0; i < core->n_actors; i++)
        free(core->actors[i].waits);
    rtci_map_fini(&core->name_by_hash);
    rtci_map_fini(&core->monitor_by_number);
    free(core->names);
    free(core->actors);
    free(core->actors_idle);
    free(core->actors_due);
    free(core->monitors);
    free(core->links);
}

/* ---- Where it is ---- */

/* What one who waits wants, in sub.newer_than: the answer held for its node; to be told as soon as
 * the actor is not what it was. */
enum { WAIT_HOLD = 1, WAIT_CHANGED = 2 };

static void answer(struct rtci_head_core *core, struct client *client, uint32_t index,
                   uint64_t request, bool hold)
{
    const struct actor *actor = head_actor(core, index);
    const struct entry *entry = head_entry(core, index);
    const struct rtci_actor_options *options = rtci_spec_options(entry->spec);
    struct rtci_id id = {entry->seq, entry->client, 0};
    if (hold) {
        struct rtci_ids ids[2];
        memset(ids, 0, sizeof(ids));
        ids[0].rec = (struct rtci_rec){sizeof(ids), RTCI_R_HOLD, 0};
        ids[0].n = 1;
        memcpy(&ids[1], &id, sizeof(id));
        head_hold(core, client->node, client, ids, true); /* before the client hears of it */
        head_hold_answered(core, client->node, id);
    }
    struct rtci_actor_is *out = head_out_client(core, client, RTCI_R_ACTOR_IS, sizeof(*out));
    if (!out)
        return;
    out->request = request;
    out->id = id;
    out->status = 0;
    out->state = actor->state;
    out->incarnation = entry->attempt;
    out->node = actor->node;
    out->client = actor->state == RTCI_ACTOR_ALIVE ? actor->client : 0;
    out->flags = hold ? RTCI_IS_HELD : 0;
    out->max_task_retries = options->max_task_retries;
    out->options = options->flags;
    out->pid = actor->pid;
    out->mailbox = options->mailbox;
    out->function = entry->spec->function;
    out->cause = actor->cause;
}

static void answer_none(struct rtci_head_core *core, const struct client *client, struct rtci_id id,
                        uint64_t request, bool by_name)
{
    struct rtci_actor_is *out = head_out_client(core, client, RTCI_R_ACTOR_IS, sizeof(*out));
    if (!out)
        return;
    memset((char *)out + sizeof(out->rec), 0, sizeof(*out) - sizeof(out->rec));
    out->request = request;
    out->id = by_name ? (struct rtci_id){0} : id;
    out->status = RTC_E_NOT_FOUND;
    out->state = RTCI_ACTOR_DEAD;
    head_cause(&out->cause, RTCI_CAUSE_UNKNOWN, RTC_E_NOT_FOUND,
               by_name ? "no actor has that name"
                       : "there is no such actor (any more): its last handle was released");
}

/* One that was not made because another has its name stands for that one, as long as it lives. */
static uint32_t stands_for(struct rtci_head_core *core, uint32_t index)
{
    const struct actor *actor = head_actor(core, index);
    const struct rtci_actor_options *options = rtci_spec_options(head_entry(core, index)->spec);
    if (actor->cause.kind != RTCI_CAUSE_NAME || !(options->flags & RTCI_ACTOR_GET_IF_EXISTS))
        return index;
    uint32_t other = head_actor_find(core, actor->cause.other);
    return other && head_actor(core, other)->state != RTCI_ACTOR_DEAD ? other : index;
}

void head_actor_where(struct rtci_head_core *core, struct client *client,
                      const struct rtci_actor_where *where)
{
    char name[NAME_SPACE];
    const char *ns = (const char *)(where + 1);
    uint32_t len =
        full_name(core, client, ns, where->ns_len, ns + where->ns_len, where->name_len, name);
    uint32_t asked = len ? holder(core, name, len) : head_actor_find(core, where->id);
    if (!asked) {
        answer_none(core, client, where->id, where->request, len != 0);
        return;
    }
    uint32_t index = stands_for(core, asked);
    struct actor *actor = head_actor(core, index);
    bool hold = len || index != asked, changed = where->flags & RTCI_WHERE_CHANGED;
    bool same =
        actor->state == RTCI_ACTOR_ALIVE && head_entry(core, index)->attempt == where->incarnation;
    bool now = actor->state == RTCI_ACTOR_ALIVE || actor->state == RTCI_ACTOR_DEAD;
    if (where->flags & RTCI_WHERE_NOWAIT || (changed ? !same : now)) {
        answer(core, client, index, where->request, hold && actor->state != RTCI_ACTOR_DEAD);
        return;
    }
    for (uint32_t i = 0; i < actor->n_waits; i++) {
        if (actor->waits[i].client == client->number && actor->waits[i].request == where->request)
            return; /* asked again after a restart */
    }
    HEAD_GROW(actor->waits, actor->cap_waits, actor->n_waits);
    actor->waits[actor->n_waits++] = (struct sub){
        client->number, where->request, (hold ? WAIT_HOLD : 0) | (changed ? WAIT_CHANGED : 0)};
}

void head_actor_tell(struct rtci_head_core *core, uint32_t index)
{
    struct actor *actor = head_actor(core, index);
    bool settled = actor->state == RTCI_ACTOR_ALIVE || actor->state == RTCI_ACTOR_DEAD;
    uint32_t n = actor->n_waits;
    actor->n_waits = 0; /* none comes meanwhile */
    for (uint32_t i = 0; i < n; i++) {
        struct sub sub = actor->waits[i];
        struct client *client = head_client(core, sub.client);
        if (!client || !client->alive)
            continue;
        if (settled || sub.newer_than & WAIT_CHANGED)
            answer(core, client, index, sub.request,
                   sub.newer_than & WAIT_HOLD && actor->state != RTCI_ACTOR_DEAD);
        else
            actor->waits[actor->n_waits++] = sub;
    }
}

/* ---- For people ---- */

static void why(struct rtci_head_core *core, uint32_t index, char *text, size_t size)
{
    const struct actor *actor = head_actor(core, index);
    const struct entry *entry = head_entry(core, index);
    text[0] = 0;
    switch (actor->state) {
    case RTCI_ACTOR_CREATED:
        snprintf(text, size, "it waits for %u of its %u arguments", entry->deps,
                 entry->spec->n_refs);
        break;
    case RTCI_ACTOR_PENDING: head_why_class(core, head_class(core, entry->cls), text, size); break;
    case RTCI_ACTOR_STARTING:
        snprintf(text, size, "its constructor runs on node %u", actor->node);
        break;
    case RTCI_ACTOR_RESTARTING:
        if (entry->state == RTCI_TASK_READY)
            head_why_class(core, head_class(core, entry->cls), text, size);
        else
            snprintf(text, size, "it is restarted in %llu ms, for: %.140s",
                     (unsigned long long)(actor->due_ns > core->now_ns
                                              ? (actor->due_ns - core->now_ns) / RTCI_NS_PER_MS
                                              : 0),
                     actor->cause.text);
        break;
    case RTCI_ACTOR_DEAD: snprintf(text, size, "%s", actor->cause.text); break;
    default: break;
    }
}

static void copy(char *out, size_t size, const char *text, size_t len)
{
    memcpy(out, text, len < size ? len : size - 1);
}

void head_actor_row(struct rtci_head_core *core, uint32_t index, struct rtci_row_actor *row)
{
    const struct actor *actor = head_actor(core, index);
    const struct entry *entry = head_entry(core, index);
    const struct rtci_actor_options *options = rtci_spec_options(entry->spec);
    memset(row, 0, sizeof(*row));
    row->id = (struct rtci_id){entry->seq, entry->client, 0};
    row->job = actor->job;
    row->state = actor->state;
    row->node = actor->node;
    row->pid = actor->pid;
    row->client = actor->client;
    row->incarnation = entry->attempt;
    row->restarts = actor->restarts;
    row->pending = actor->pending;
    row->created_ns = actor->created_ns;
    row->since_ns = actor->since_ns;
    uint32_t ns_len = options->ns_len;
    const char *ns =
        head_namespace(core, head_client(core, entry->client), rtci_options_ns(options), &ns_len);
    size_t len;
    const char *function = head_function_name(core, entry, &len);
    copy(row->ns, sizeof(row->ns), ns, ns_len);
    copy(row->name, sizeof(row->name), rtci_options_name(options), options->name_len);
    copy(row->function, sizeof(row->function), function, len);
    why(core, index, row->why, sizeof(row->why));
}
