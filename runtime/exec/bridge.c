/* See bridge.h. All state is guarded by the lock of the handle. */
#include "runtime/exec/bridge_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"

#define FLIGHT_BYTES RTCI_FLIGHT_BYTES /* to one member, that it has not read */
#define ROUNDS       4u                /* of notes that it may not have read */

/* ---- Notes go out ---- */
/* last: the number of the last one to that member; NULL: this one has none. */
static int send_note(struct bridge *b, uint32_t node, uint32_t client, uint64_t *last,
                     struct envelope *env, const void *data, size_t size, const rtc_ref *ref)
{
    struct rtc *rtc = b->rtc;
    size_t inner = RTCI_ALIGN8(sizeof(*env) + size), n_refs = ref ? 1 : 0;
    size_t bytes = sizeof(struct rtci_spec) + n_refs * sizeof(struct rtci_id) + inner +
                   sizeof(struct rtci_call);
    void *at;
    RTCI_TRY(rtci_reserve(rtc, bytes, UINT64_MAX, &at));
    struct rtci_spec *spec = at;
    *spec = (struct rtci_spec){.rec = {.size = (uint32_t)bytes, .type = RTCI_R_ACTOR_CALL},
                               .seq = 1,
                               .client = rtc->client,
                               .function = RTCI_NOTE_GROUP,
                               .flags = RTCI_SPEC_CALL,
                               .n_refs = (uint32_t)n_refs,
                               .data_size = (uint32_t)inner,
                               .name_len = sizeof(struct rtci_call)};
    char *to = (char *)(spec + 1);
    if (ref) {
        const struct rtci_id id = rtci_id_of(*ref);
        memcpy(to, &id, sizeof(id));
        to += sizeof(id);
    }
    memcpy(env->token, b->token, sizeof(env->token));
    env->from = b->rank;
    env->number = last ? ++*last : 0;
    memcpy(to, env, sizeof(*env));
    if (size)
        memcpy(to + sizeof(*env), data, size);
    memset(to + sizeof(*env) + size, 0, inner - sizeof(*env) - size);
    *(struct rtci_call *)(to + inner) = (struct rtci_call){.node = node, .client = client};
    uint64_t told = rtc->told; /* no news to the head */
    rtci_send(rtc);
    rtc->told = told;
    return 0;
}

static int send_to(struct bridge *b, uint32_t rank, struct envelope *env, const void *data,
                   size_t size, const rtc_ref *ref)
{
    return send_note(b, b->at[rank].node, b->at[rank].client, &b->at[rank].sent, env, data, size,
                     ref);
}

int rtci_bridge_enter(struct bridge *b)
{
    if (!b->rtc)
        return rtci_error(RTC_E_CLOSED, "its handle was shut down");
    return rtci_enter(b->rtc);
}

int rtci_bridge_note_to(struct bridge *b, uint32_t node, uint32_t client, uint32_t kind,
                        const void *data, size_t size)
{
    struct envelope env = {.kind = kind, .size = size};
    RTCI_TRY(rtci_bridge_enter(b));
    int rc = send_note(b, node, client, NULL, &env, data, size, NULL);
    rtci_leave(b->rtc);
    return rc;
}

int rtci_bridge_note(struct bridge *b, uint32_t rank, uint32_t kind, const void *data, size_t size)
{
    RTCI_ASSERT(kind >= NOTE_ALONE);
    return rtci_bridge_note_to(b, b->at[rank].node, b->at[rank].client, kind, data, size);
}

/* ---- Parcels ---- */
static void drop(struct bridge *b, struct parcel *p)
{
    if (--p->refs)
        return;
    if (p->ref.client && !p->writing)
        RTCI_IGNORE(rtci_release_locked(b->rtc, p->ref));
    if (p->foreign) {
        struct envelope env = {.kind = NOTE_DONE, .call = p->post};
        RTCI_IGNORE(send_to(b, p->from, &env, NULL, 0, NULL));
    }
    free(p);
}

/* dead: nothing can be said any more. */
void rtci_parcel_discard(struct bridge *b, struct parcel *p, bool dead)
{
    if (!dead)
        drop(b, p);
    else if (--p->refs == 0)
        free(p);
}

struct parcel *rtci_parcel_inside(const void *data, size_t size)
{
    struct parcel *p = malloc(sizeof(*p) + (size ? size : 1));
    if (!p)
        return NULL;
    *p = (struct parcel){.refs = 1, .told = {.data = p->inside, .size = size}};
    if (data && size)
        memcpy(p->inside, data, size);
    return p;
}

static int make(void *arg, size_t size, struct rtci_parcel **ret)
{
    struct bridge *b = arg;
    struct parcel *p = rtci_parcel_inside(NULL, size <= b->inline_max ? size : 0);
    if (!p)
        return rtci_error(RTC_E_NOMEM, "out of memory for a group");
    if (size > b->inline_max) {
        int64_t shape = (int64_t)size;
        int rc = b->rtc ? rtc_create(b->rtc, RTC_U8, &shape, 1, &p->told.data, &p->ref)
                        : rtci_error(RTC_E_CLOSED, "its handle was shut down");
        if (rc < 0) {
            free(p);
            return rc;
        }
        p->told.size = size;
        p->writing = true;
    }
    *ret = &p->told;
    return 0;
}

static int seal(struct bridge *b, struct parcel *p)
{
    p->writing = false;
    return rtc_seal(b->rtc, p->ref);
}

static void release(void *arg, struct rtci_parcel *parcel)
{
    struct bridge *b = arg;
    struct parcel *p = RTCI_CONTAINER(parcel, struct parcel, told);
    if (!b->rtc) {
        if (--p->refs == 0)
            free(p);
        return;
    }
    if (p->writing) /* never sent: what is not sealed cannot be released */
        RTCI_IGNORE(seal(b, p));
    if (rtci_enter(b->rtc) < 0) {
        if (--p->refs == 0)
            free(p); /* the daemon drops what this process had */
        return;
    }
    drop(b, p);
    rtci_leave(b->rtc);
}

void rtci_bridge_free(struct bridge *b, struct mail *mail)
{
    release(b, &mail->parcel->told);
    free(mail);
}

static int post(struct bridge *b, uint32_t rank, struct envelope *env, struct parcel *p)
{
    int rc = 0;
    struct post *post = malloc(sizeof(*post));
    struct slot *slot = post ? rtci_find(b->rtc, p->ref, false, &rc) : NULL;
    if (slot && p->ref.client == b->rtc->client)
        rc = rtci_publish(b->rtc, slot, p->ref);
    if (!slot || rc < 0) {
        free(post);
        return rc < 0 ? rc : rtci_error(RTC_E_NOMEM, "out of memory for a group");
    }
    *post = (struct post){.next = b->posts, .number = ++b->last_post, .parcel = p};
    env->post = post->number;
    env->size = p->told.size;
    rc = send_to(b, rank, env, NULL, 0, &p->ref);
    if (rc < 0) {
        free(post);
        return rc;
    }
    p->refs++;
    b->posts = post;
    b->n_posts++;
    return 0;
}

static int send_letter(void *arg, uint32_t rank, const struct rtci_letter *letter)
{
    struct bridge *b = arg;
    struct parcel *p = letter->parcel ? RTCI_CONTAINER(letter->parcel, struct parcel, told) : NULL;
    struct envelope env = {.kind = letter->kind,
                           .index = letter->index,
                           .call = letter->call,
                           .round = letter->round,
                           .size = p ? p->told.size : 0};
    if (p && p->writing && b->rtc)
        RTCI_TRY(seal(b, p));
    RTCI_TRY(rtci_bridge_enter(b));
    int rc = p && p->ref.client
                 ? post(b, rank, &env, p)
                 : send_to(b, rank, &env, p ? p->told.data : NULL, p ? p->told.size : 0, NULL);
    rtci_leave(b->rtc);
    return rc;
}

static size_t unanswered(void *arg)
{
    struct bridge *b = arg;
    return __atomic_load_n(&b->n_posts, __ATOMIC_RELAXED);
}

/* ---- Waiting, probing ---- */
int rtci_bridge_read(struct bridge *b)
{
    RTCI_TRY(rtci_bridge_enter(b));
    int rc = rtci_drain(b->rtc);
    rtci_leave(b->rtc);
    return rc;
}

int rtci_bridge_wait(struct bridge *b, uint64_t until_ns)
{
    RTCI_TRY(rtci_bridge_enter(b));
    int rc = b->n_new ? 0 : rtci_block(b->rtc, 0, until_ns);
    b->n_new = 0;
    rtci_leave(b->rtc);
    return rc == RTC_E_TIMEOUT ? 0 : rc;
}

static int wait_for_mail(void *arg, uint64_t until_ns)
{
    return rtci_bridge_wait(arg, until_ns);
}

static void probe(void *arg, uint32_t rank)
{
    struct bridge *b = arg;
    if (rtci_bridge_enter(b) < 0)
        return;
    rtci_route_probe(b->rtc, b->at[rank].node, b->at[rank].client,
                     RTCI_PROBE | (uint64_t)b->number << 8 | rank);
    rtci_leave(b->rtc);
}

static bool gone(void *arg, uint32_t rank, char *why, size_t size)
{
    struct bridge *b = arg;
    if (rtci_bridge_enter(b) < 0)
        return false;
    bool lost = b->at[rank].lost, is = b->at[rank].gone || lost;
    if (is)
        snprintf(why, size, "%s", lost ? "what it said was lost on the way" : b->why);
    b->at[rank].gone -= b->at[rank].gone > 0;
    rtci_leave(b->rtc);
    return is;
}

static const char *why(void *arg)
{
    (void)arg;
    return rtc_last_error();
}

const struct rtci_bridge rtci_bridge = {.parcel = make,
                                        .release = release,
                                        .send = send_letter,
                                        .receive = rtci_bridge_receive,
                                        .unanswered = unanswered,
                                        .wait = wait_for_mail,
                                        .probe = probe,
                                        .gone = gone,
                                        .why = why};

/* ---- Life ---- */
struct bridge *rtci_bridge_open(struct rtc *rtc, const uint8_t token[16], uint32_t rank,
                                uint32_t size)
{
    static _Atomic uint32_t last;
    struct bridge *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->rtc = rtc;
    b->rank = rank;
    b->size = size;
    b->number = ++last;
    b->mails_end = &b->mails;
    b->inline_max = FLIGHT_BYTES / ROUNDS;
    memcpy(b->token, token, sizeof(b->token));
    if (rtci_enter(rtc) < 0) {
        free(b);
        return NULL;
    }
    b->next = rtc->bridges;
    rtc->bridges = b;
    rtc->on_group = rtci_bridge_on_record;
    rtci_leave(rtc);
    return b;
}

static void empty(struct bridge *b, bool dead)
{
    struct mail *mail;
    struct post *post;
    rtci_bridge_drop_answered(b, dead);
    while ((post = b->posts)) {
        b->posts = post->next;
        rtci_parcel_discard(b, post->parcel, dead);
        free(post);
    }
    while ((mail = b->mails)) {
        b->mails = mail->next;
        if (!mail->asked)
            mail->parcel->ref.client = 0; /* it holds nothing */
        rtci_parcel_discard(b, mail->parcel, dead);
        free(mail);
    }
    b->mails_end = &b->mails;
    b->n_posts = 0;
}

void rtci_bridge_close(struct bridge *b)
{
    if (!b)
        return;
    struct rtc *rtc = b->rtc;
    bool alive = rtc && rtci_enter(rtc) == 0;
    if (rtc) {
        struct bridge **at = &rtc->bridges;
        while (*at != b)
            at = &(*at)->next;
        *at = b->next;
        empty(b, !alive);
    }
    if (alive)
        rtci_leave(rtc);
    free(b);
}

void rtci_bridges_close(struct rtc *rtc)
{
    while (rtc->bridges) {
        struct bridge *b = rtc->bridges;
        empty(b, true);
        rtc->bridges = b->next;
        b->rtc = NULL;
    }
}
