/* What comes over the bridge. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/actor.h"
#include "runtime/exec/bridge_internal.h"

#define LOST_NS (2 * RTCI_NS_PER_S) /* then what became of the sender should be known */

static void answered(struct bridge *b, uint64_t number)
{
    struct post **at = &b->posts;
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    struct post *post = *at;
    if (!post)
        return;
    *at = post->next;
    __atomic_store_n(&b->n_posts, b->n_posts - 1, __ATOMIC_RELAXED);
    post->number = 0; /* its parcel is dropped outside of the reading: that may write */
    post->next = b->answered;
    b->answered = post;
}

void rtci_bridge_drop_answered(struct bridge *b, bool dead)
{
    while (b->answered) {
        struct post *post = b->answered;
        b->answered = post->next;
        rtci_parcel_discard(b, post->parcel, dead);
        free(post);
    }
}

static bool is_fresh(struct bridge *b, const struct envelope *env, uint32_t client)
{
    if (env->number == 0)
        return env->kind >= NOTE_ALONE;
    if (b->at[env->from].client && b->at[env->from].client != client)
        return false;
    if (env->number <= b->at[env->from].seen)
        return false;
    if (env->number != b->at[env->from].seen + 1)
        b->at[env->from].lost = true;
    b->at[env->from].seen = env->number;
    return true;
}

static void keep_mail(struct bridge *b, const struct rtci_spec *note, const struct envelope *env)
{
    bool by_ref = env->post != 0;
    if (by_ref ? note->n_refs != 1 : env->size > note->data_size - sizeof(*env))
        return;
    struct mail *mail = calloc(1, sizeof(*mail));
    struct parcel *p = rtci_parcel_inside((const char *)rtci_spec_data(note) + sizeof(*env),
                                          by_ref ? 0 : env->size);
    if (!mail || !p) { /* the sender's numbers tell that it is missing */
        b->at[env->from].lost = true;
        free(mail);
        free(p);
        return;
    }
    if (by_ref) {
        p->ref = rtci_ref_of(rtci_spec_refs(note)[0]);
        p->post = env->post;
        p->from = env->from;
    }
    *mail = (struct mail){.letter = {.kind = env->kind,
                                     .from = env->from,
                                     .index = env->index,
                                     .call = env->call,
                                     .round = env->round,
                                     .parcel = env->size ? &p->told : NULL},
                          .node = rtci_spec_call(note)->caller_node,
                          .client = note->client,
                          .parcel = p};
    *b->mails_end = mail;
    b->mails_end = &mail->next;
}

static struct bridge *bridge_of(struct rtc *rtc, const uint8_t *token)
{
    struct bridge *b = rtc->bridges;
    while (b && memcmp(b->token, token, sizeof(b->token)) != 0)
        b = b->next;
    return b;
}

static void on_probed(struct rtc *rtc, const struct rtci_done *done)
{
    uint32_t number = (uint32_t)(done->seq >> 8), rank = (uint32_t)(done->seq & 0xff);
    struct bridge *b = rtc->bridges;
    while (b && b->number != number)
        b = b->next;
    if (!b || rank >= b->size || !(done->rec.flags & (RTCI_REPLY_NEVER_RAN | RTCI_REPLY_UNKNOWN)))
        return;
    const struct rtci_fail *fail =
        (const struct rtci_fail *)((const char *)done + rtci_done_returns(done)->offset);
    size_t len = fail->text_len < sizeof(b->why) - 1 ? fail->text_len : sizeof(b->why) - 1;
    memcpy(b->why, (const char *)(fail + 1) + fail->function_len, len);
    b->why[len] = 0;
    b->at[rank].gone++;
}

void rtci_bridge_on_record(struct rtc *rtc, const struct rtci_rec *rec)
{
    if (rec->type == RTCI_R_ACTOR_REPLY) {
        on_probed(rtc, (const struct rtci_done *)rec);
        return;
    }
    const struct rtci_spec *note = (const struct rtci_spec *)rec;
    struct envelope env;
    if (note->data_size < sizeof(env))
        return;
    memcpy(&env, rtci_spec_data(note), sizeof(env));
    struct bridge *b = bridge_of(rtc, env.token);
    if (!b || env.from >= b->size || !is_fresh(b, &env, note->client))
        return;
    b->n_new++;
    if (env.kind == NOTE_DONE)
        answered(b, env.call);
    else
        keep_mail(b, note, &env);
}

/* Is all of it here? Asks for what is not. */
static int complete(struct bridge *b, struct mail *mail)
{
    struct parcel *p = mail->parcel;
    int rc = 0;
    if (!p->ref.client)
        return 1;
    if (!mail->asked) {
        RTCI_TRY(rtci_retain_locked(b->rtc, p->ref));
        mail->asked = p->foreign = true;
    }
    struct slot *slot = rtci_find(b->rtc, p->ref, true, &rc);
    if (!slot)
        return rc;
    if (!rtci_slot_here(slot))
        return 0;
    struct rtc_value value;
    struct rtc_array array;
    rc = rtci_slot_value(b->rtc, slot, &value);
    rc = rc == 0 ? rtc_value_array(&value, &array) : rc;
    if (rc == 0) {
        p->told.data = (void *)(uintptr_t)array.data;
        p->told.size = array.size;
        return 1;
    }
    uint64_t now = rtci_now_ns();
    mail->failed_ns = mail->failed_ns ? mail->failed_ns : now;
    return now - mail->failed_ns < LOST_NS ? 0 : rc;
}

static void unlink_mail(struct bridge *b, struct mail **at)
{
    struct mail *mail = *at;
    *at = mail->next;
    if (b->mails_end == &mail->next)
        b->mails_end = at;
}

int rtci_bridge_receive(void *arg, struct rtci_letter *ret)
{
    struct bridge *b = arg;
    RTCI_TRY(rtci_bridge_enter(b));
    int rc = rtci_drain(b->rtc);
    b->n_new = 0;
    rtci_bridge_drop_answered(b, false);
    for (struct mail **at = &b->mails; rc >= 0 && *at; at = &(*at)->next) {
        struct mail *mail = *at;
        if (mail->letter.kind >= NOTE_DONE)
            continue;
        rc = complete(b, mail);
        if (rc <= 0)
            continue;
        unlink_mail(b, at);
        *ret = mail->letter;
        ret->parcel = &mail->parcel->told;
        free(mail);
        break;
    }
    rtci_leave(b->rtc);
    return rc;
}

struct mail *rtci_bridge_take(struct bridge *b, uint32_t kind)
{
    if (rtci_bridge_enter(b) < 0)
        return NULL;
    struct mail **at = &b->mails, *mail;
    while ((mail = *at) && mail->letter.kind != kind)
        at = &mail->next;
    if (mail)
        unlink_mail(b, at);
    rtci_leave(b->rtc);
    return mail;
}
