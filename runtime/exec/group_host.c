/* Joining a group, as rank 0: it publishes where it is, lets the others in, and says who is where.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "runtime/exec/group.h"

static int publish(struct joining *j, const struct place *place)
{
    struct rtc_value value = rtc_bytes(place, sizeof(*place));
    rtc_ref ref;
    RTCI_TRY(rtc_put(j->rtc, &value, &ref));
    uint64_t version = 0;
    int rc = rtc_publish(j->rtc, j->key, ref, &version);
    RTCI_IGNORE(rtc_release(j->rtc, ref));
    j->epoch = j->epoch ? j->epoch : version;
    return rc;
}

static void refuse(struct joining *j, const struct mail *mail, int status, const char *text)
{
    struct refusal no = {.status = status};
    snprintf(no.text, sizeof(no.text), "%s", text);
    RTCI_IGNORE(
        rtci_bridge_note_to(j->bridge, mail->node, mail->client, NOTE_REFUSED, &no, sizeof(no)));
}

static void let_in(struct joining *j, struct rtci_meeting *meeting, const struct mail *mail)
{
    struct hello hello;
    char text[192];
    uint32_t rank = mail->letter.from;
    if (!mail->letter.parcel || mail->letter.parcel->size != sizeof(hello))
        return;
    memcpy(&hello, mail->letter.parcel->data, sizeof(hello));
    bool known = meeting->elsewhere >> rank & 1;
    if (known && j->bridge->at[rank].client == mail->client)
        return; /* it says so again */
    if (hello.size != j->size) {
        snprintf(text, sizeof(text), "rank 0 says that the group has %u members, rank %u says %u",
                 j->size, rank, hello.size);
        refuse(j, mail, RTC_E_INVALID, text);
    } else if (rank == 0 || known || meeting->here >> rank & 1) {
        snprintf(text, sizeof(text), "rank %u is taken by %s", rank,
                 rank == 0 ? "the process which waits for the others"
                 : known   ? "a process of another host"
                           : "a process on the host of rank 0");
        refuse(j, mail, RTC_E_EXISTS, text);
    } else {
        hello.host[sizeof(hello.host) - 1] = 0;
        j->guests[rank] = (struct guest){.pid = hello.pid};
        memcpy(j->guests[rank].host, hello.host, sizeof(hello.host));
        j->bridge->at[rank].node = mail->node;
        j->bridge->at[rank].client = mail->client;
        meeting->elsewhere |= 1ull << rank;
    }
}

static void let_go(struct joining *j, struct rtci_meeting *meeting, uint32_t rank)
{
    meeting->elsewhere &= ~(1ull << rank);
    j->bridge->at[rank].client = j->bridge->at[rank].gone = 0;
}

static void look_after(struct joining *j, struct rtci_meeting *meeting)
{
    char why[128];
    uint64_t now = rtci_now_ns();
    bool due = now - j->probed_ns >= GROUP_PROBE_NS;
    j->probed_ns = due ? now : j->probed_ns;
    for (uint32_t rank = 1; rank < j->size; rank++) {
        if (!(meeting->elsewhere >> rank & 1))
            continue;
        if (due)
            rtci_bridge.probe(j->bridge, rank);
        if (rtci_bridge.gone(j->bridge, rank, why, sizeof(why)) &&
            ++j->guests[rank].gone >= GROUP_GONE)
            let_go(j, meeting, rank);
    }
}

static int tick(struct rtci_meeting *meeting)
{
    struct joining *j = meeting->arg;
    struct mail *mail;
    int rc = rtci_bridge_read(j->bridge);
    if (rc < 0) {
        snprintf(j->why, sizeof(j->why), "%.250s", rtc_last_error());
        return rc;
    }
    while ((mail = rtci_bridge_take(j->bridge, NOTE_HELLO))) {
        let_in(j, meeting, mail);
        rtci_bridge_free(j->bridge, mail);
    }
    while ((mail = rtci_bridge_take(j->bridge, NOTE_BYE))) {
        uint32_t rank = mail->letter.from;
        if (meeting->elsewhere >> rank & 1 && j->bridge->at[rank].client == mail->client)
            let_go(j, meeting, rank);
        rtci_bridge_free(j->bridge, mail);
    }
    look_after(j, meeting);
    return 0;
}

/* Hosts are numbered in the order of their lowest ranks. */
static void number_hosts(struct joining *j)
{
    const char *names[RTCI_COLLECTIVE_RANKS_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < j->size; i++) {
        uint32_t k = 0;
        const char *name = j->guests[i].host;
        while (k < n && memcmp(names[k], name, sizeof(j->host)) != 0)
            k++;
        if (k == n)
            names[n++] = name;
        j->table.at[i].host = k;
    }
}

static int all_here(struct rtci_meeting *meeting, const uint32_t *numbers, const uint32_t *pids)
{
    struct joining *j = meeting->arg;
    if (!meeting->elsewhere)
        return 0;
    j->table.size = j->size;
    j->table.epoch = j->epoch;
    for (uint32_t i = 0; i < j->size; i++) {
        bool far = meeting->elsewhere >> i & 1;
        if (!far)
            memcpy(j->guests[i].host, j->host, sizeof(j->host));
        j->table.at[i].pid = far ? j->guests[i].pid : pids[i];
        j->table.at[i].node = far ? j->bridge->at[i].node : j->node;
        j->table.at[i].client = far ? j->bridge->at[i].client : numbers[i];
    }
    number_hosts(j);
    rtci_group_use_table(j);
    meeting->slot_bytes = rtci_group_slot_bytes(j);
    for (uint32_t i = 1; i < j->size; i++) {
        int rc = rtci_bridge_note(j->bridge, i, NOTE_TABLE, &j->table, sizeof(j->table));
        if (rc < 0) {
            snprintf(j->why, sizeof(j->why), "%.250s", rtc_last_error());
            return rc;
        }
    }
    return 0;
}

static void send_away(struct joining *j, const struct rtci_meeting *meeting, const char *why)
{
    struct refusal no = {.status = RTC_E_AGAIN};
    snprintf(no.text, sizeof(no.text), "%.250s", why);
    for (uint32_t rank = 1; rank < j->size; rank++) {
        if (meeting->elsewhere >> rank & 1)
            RTCI_IGNORE(rtci_bridge_note(j->bridge, rank, NOTE_REFUSED, &no, sizeof(no)));
    }
}

static int host_meeting(struct joining *j, int listener, struct place *place,
                        struct rtci_collective **ret)
{
    struct rtci_meeting meeting = {.size = j->size,
                                   .number = j->rtc->client,
                                   .deadline_ns = j->deadline_ns,
                                   .tick = tick,
                                   .all = all_here,
                                   .arg = j};
    memcpy(meeting.token, place->token, sizeof(meeting.token));
    j->bridge = rtci_bridge_open(j->rtc, place->token, 0, j->size);
    j->guests = calloc(j->size, sizeof(*j->guests));
    if (!j->bridge || !j->guests)
        return rtci_error(RTC_E_NOMEM, "out of memory for a group");
    RTCI_TRY(publish(j, place));
    meeting.epoch = j->epoch;
    char why[256] = "";
    rtci_group_lend(j->rtc, true);
    int rc = rtci_meeting_host(listener, &meeting, why, sizeof(why), ret);
    rtci_group_lend(j->rtc, false);
    if (rc < 0)
        send_away(j, &meeting, why[0] ? why : j->why);
    memset(place->address, 0, sizeof(place->address)); /* who is late need not try */
    if (j->size > 1)
        RTCI_IGNORE(publish(j, place));
    return rc == 0 ? 0 : rtci_error(rc, "group \"%s\": %s", j->name, why[0] ? why : j->why);
}

int rtci_group_host(struct joining *j, struct rtci_collective **ret)
{
    struct place place = {.version = PLACE_VERSION,
                          .pid = (uint32_t)getpid(),
                          .node = j->node,
                          .client = j->rtc->client};
    int listener = rtci_meeting_open(place.address);
    if (listener < 0)
        return rtci_error(RTC_E_OS, "group \"%s\": a socket: %s", j->name, strerror(-listener));
    memcpy(place.host, j->host, sizeof(place.host));
    int rc = getrandom(place.token, sizeof(place.token), 0) == sizeof(place.token)
                 ? host_meeting(j, listener, &place, ret)
                 : rtci_error(RTC_E_OS, "group \"%s\": getrandom: %s", j->name, strerror(errno));
    close(listener);
    free(j->guests);
    return rc;
}
