/* Monitors and links: who hears of an actor's death, and who dies with it.
 *
 * A monitor is named by its client. It ends with one DOWN: said when the actor is dead for good,
 * kept until the client has answered, and said again after a restart of the head, which cannot know
 * whether it was heard; the client drops what it has seen. */
#include "runtime/core/head_internal.h"

static struct monitor *monitor_find(struct rtci_head_core *core, const struct client *client,
                                    uint64_t number)
{
    const uint32_t *at = rtci_map_find(&core->monitor_by_number, number, client->number);
    return at ? &core->monitors[*at] : NULL;
}

static void tell(struct rtci_head_core *core, const struct monitor *monitor)
{
    struct rtci_actor_down *out =
        head_out_client(core, head_client(core, monitor->client), RTCI_R_ACTOR_DOWN, sizeof(*out));
    if (!out)
        return;
    out->monitor = monitor->number;
    out->id = monitor->id;
    out->incarnation = monitor->incarnation;
    out->pad = 0;
    out->cause = monitor->cause;
}

static struct monitor *monitor_new(struct rtci_head_core *core, struct client *client,
                                   uint64_t name)
{
    uint32_t number = core->free_monitor;
    if (number) {
        core->free_monitor = core->monitors[number].next;
    } else {
        number = core->n_monitors;
        HEAD_GROW(core->monitors, core->cap_monitors, number);
        core->n_monitors++;
    }
    core->monitors[number] =
        (struct monitor){.client = client->number, .used = true, .client_next = client->monitors};
    core->monitors[number].number = name;
    if (client->monitors)
        core->monitors[client->monitors].client_prev = number;
    client->monitors = number;
    RTCI_ASSERT(rtci_map_set(&core->monitor_by_number, name, client->number, number));
    return &core->monitors[number];
}

/* Links it to its actor if that lives. */
static bool attach(struct rtci_head_core *core, struct monitor *monitor)
{
    uint32_t index = head_actor_find(core, monitor->id);
    struct actor *actor = index ? head_actor(core, index) : NULL;
    if (!actor || actor->state == RTCI_ACTOR_DEAD) {
        if (actor)
            monitor->cause = actor->cause;
        return false;
    }
    monitor->next = actor->monitors;
    if (actor->monitors)
        core->monitors[actor->monitors].prev = (uint32_t)(monitor - core->monitors);
    actor->monitors = (uint32_t)(monitor - core->monitors);
    return true;
}

void head_monitor(struct rtci_head_core *core, struct client *client,
                  const struct rtci_actor_monitor *rec)
{
    struct monitor *monitor = monitor_find(core, client, rec->monitor);
    if (monitor) { /* seen before */
        if (monitor->fired)
            tell(core, monitor);
        return;
    }
    monitor = monitor_new(core, client, rec->monitor);
    monitor->id = rec->id;
    head_cause(&monitor->cause, RTCI_CAUSE_UNKNOWN, RTC_E_NOT_FOUND,
               "there is no such actor (any more)");
    monitor->fired = !attach(core, monitor);
    if (monitor->fired)
        tell(core, monitor);
    head_j_monitor(core, monitor);
}

static void detach(struct rtci_head_core *core, const struct monitor *monitor)
{
    uint32_t index = monitor->fired ? 0 : head_actor_find(core, monitor->id);
    if (!index)
        return;
    *(monitor->prev ? &core->monitors[monitor->prev].next : &head_actor(core, index)->monitors) =
        monitor->next;
    if (monitor->next)
        core->monitors[monitor->next].prev = monitor->prev;
}

static void forget(struct rtci_head_core *core, struct client *client, struct monitor *monitor)
{
    uint32_t number = (uint32_t)(monitor - core->monitors);
    detach(core, monitor);
    *(monitor->client_prev ? &core->monitors[monitor->client_prev].client_next
                           : &client->monitors) = monitor->client_next;
    if (monitor->client_next)
        core->monitors[monitor->client_next].client_prev = monitor->client_prev;
    rtci_map_remove(&core->monitor_by_number, monitor->number, client->number);
    *monitor = (struct monitor){.next = core->free_monitor};
    core->free_monitor = number;
}

void head_demonitor(struct rtci_head_core *core, struct client *client,
                    const struct rtci_actor_monitor *rec)
{
    struct monitor *monitor = monitor_find(core, client, rec->monitor);
    if (!monitor)
        return;
    struct monitor gone = *monitor;
    gone.used = false;
    forget(core, client, monitor);
    head_j_monitor(core, &gone);
}

void head_monitors_forget(struct rtci_head_core *core, struct client *client)
{
    while (client->monitors)
        forget(core, client, &core->monitors[client->monitors]);
}

void head_monitors_fire(struct rtci_head_core *core, uint32_t index)
{
    struct actor *actor = head_actor(core, index);
    uint32_t at = actor->monitors;
    actor->monitors = 0;
    while (at) {
        struct monitor *monitor = &core->monitors[at];
        at = monitor->next;
        monitor->next = monitor->prev = 0;
        monitor->fired = true;
        monitor->incarnation = head_entry(core, index)->attempt;
        monitor->cause = actor->cause;
        head_j_monitor(core, monitor);
        tell(core, monitor);
    }
}

/* The client is there after a restart: what it has not answered, it may not have heard. */
void head_monitors_again(struct rtci_head_core *core, const struct client *client)
{
    for (uint32_t at = client->monitors; at; at = core->monitors[at].client_next) {
        if (core->monitors[at].fired)
            tell(core, &core->monitors[at]);
    }
}

/* Replay. */
void head_monitor_set(struct rtci_head_core *core, const struct monitor *want)
{
    struct client *client = head_client(core, want->client);
    if (!client || !client->alive)
        return;
    struct monitor *monitor = monitor_find(core, client, want->number);
    if (monitor)
        forget(core, client, monitor);
    if (!want->used)
        return;
    monitor = monitor_new(core, client, want->number);
    monitor->id = want->id;
    monitor->incarnation = want->incarnation;
    monitor->cause = want->cause;
    monitor->cause.text[sizeof(monitor->cause.text) - 1] = 0;
    if (monitor->cause.kind >= RTCI_CAUSE_COUNT)
        monitor->cause.kind = RTCI_CAUSE_UNKNOWN;
    monitor->fired = want->fired || !attach(core, monitor);
}

/* ---- Links ---- */

static bool same(const struct link *link, struct rtci_id a, struct rtci_id b)
{
    return (rtci_id_equal(link->a, a) && rtci_id_equal(link->b, b)) ||
           (rtci_id_equal(link->a, b) && rtci_id_equal(link->b, a));
}

/* Ends that somebody wished are no reason for another to die. */
static bool is_bad(const struct rtci_cause *cause)
{
    return cause->kind != RTCI_CAUSE_STOPPED && cause->kind != RTCI_CAUSE_HANDLES &&
           cause->kind != RTCI_CAUSE_JOB && cause->kind != RTCI_CAUSE_NAME;
}

static void die_with(struct rtci_head_core *core, uint32_t index, struct rtci_id other)
{
    struct rtci_cause cause;
    head_cause(&cause, RTCI_CAUSE_LINK, RTC_E_CANCELLED, "an actor that it is linked to died");
    cause.other = other;
    head_actor_kill(core, index, &cause, AE_NO_RESTART);
}

void head_link(struct rtci_head_core *core, const struct rtci_actor_link *rec)
{
    uint32_t a = head_actor_find(core, rec->a), b = head_actor_find(core, rec->b), i = 0;
    while (i < core->n_links && !same(&core->links[i], rec->a, rec->b))
        i++;
    struct link link = {rec->a, rec->b};
    if (!rec->op) {
        if (i == core->n_links)
            return;
        head_j_link(core, &link, false);
        core->links[i] = core->links[--core->n_links];
        return;
    }
    if (i < core->n_links || a == b || !a || !b)
        return;
    bool a_dead = head_actor(core, a)->state == RTCI_ACTOR_DEAD;
    bool b_dead = head_actor(core, b)->state == RTCI_ACTOR_DEAD;
    if (a_dead || b_dead) { /* too late: as if it had come in time */
        const struct rtci_cause *cause = &head_actor(core, a_dead ? a : b)->cause;
        if (!core->replaying && a_dead != b_dead && is_bad(cause))
            die_with(core, a_dead ? b : a, a_dead ? rec->a : rec->b);
        return;
    }
    HEAD_GROW(core->links, core->cap_links, core->n_links);
    core->links[core->n_links++] = link;
    head_j_link(core, &link, true);
}

void head_links_end(struct rtci_head_core *core, uint32_t index)
{
    const struct entry *entry = head_entry(core, index);
    struct rtci_id id = {entry->seq, entry->client, 0};
    bool bad = is_bad(&head_actor(core, index)->cause) && !core->replaying;
    for (uint32_t i = 0; i < core->n_links;) {
        struct link link = core->links[i];
        if (!rtci_id_equal(link.a, id) && !rtci_id_equal(link.b, id)) {
            i++;
            continue;
        }
        core->links[i] = core->links[--core->n_links];
        uint32_t other = head_actor_find(core, rtci_id_equal(link.a, id) ? link.b : link.a);
        if (other && bad) {
            die_with(core, other, id);
            i = 0; /* it may have died at once, and others with it */
        }
    }
}
