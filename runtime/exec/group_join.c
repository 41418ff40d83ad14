/* How the members of a group find each other, by a name: rank 0 publishes where it is, and the
 * others come to it; those of its host at an address there, those of other hosts by a note. When
 * all have come, rank 0 tells who is where. The members of each other host then meet at an address
 * of the lowest rank among them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/client/light.h"
#include "runtime/client/withheld.h"
#include "runtime/exec/group.h"

#define SLICE_NS (100 * RTCI_NS_PER_MS)

_Static_assert(RTC_GROUP_SIZE_MAX == RTCI_COLLECTIVE_RANKS_MAX, "as the header promises");
_Static_assert(RTC_GROUP_SIZE_MAX <= 64, "ranks are bits");

/* ---- What a host is ---- */
/* The kernel that runs, the network namespace (abstract addresses are of these), and the node. */
static void name_host(const struct rtc *rtc, char text[128])
{
    char boot[40] = "?", net[48] = "?";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, boot, 36) : -1;
    boot[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
    n = readlink("/proc/self/ns/net", net, sizeof(net) - 1);
    net[n > 0 ? n : 0] = 0;
    memset(text, 0, 128);
    snprintf(text, 128, "%s %s %llu", boot, net, (unsigned long long)rtc->arena_inode);
}

/* ---- The name ---- */
static int read_place(struct joining *j, rtc_ref ref, struct place *place)
{
    struct rtc_value value;
    int rc = rtc_get(j->rtc, ref, RTC_FOREVER, &value);
    bool fits = rc == 0 && value.type == RTC_BYTES && value.as.bytes.size == sizeof(*place);
    if (fits)
        memcpy(place, value.as.bytes.data, sizeof(*place));
    if (rc == 0 && (!fits || place->version != PLACE_VERSION))
        rc = rtci_error(RTC_E_VERSION, "group \"%s\": its rank 0 has another version of rtc",
                        j->name);
    RTCI_IGNORE(rtc_release(j->rtc, ref));
    return rc;
}

/* The CPUs of the running task are of no use while it waits here. */
void rtci_group_lend(struct rtc *rtc, bool begin)
{
    const struct rtci_id none = {0};
    if (rtci_enter(rtc) < 0)
        return;
    if (begin) {
        RTCI_IGNORE(rtci_speak(rtc, UINT64_MAX)); /* other members may be among it */
        rtci_blocked_begin(rtc, &none, 0, 0);
    } else
        rtci_blocked_end(rtc);
    rtci_leave(rtc);
}

/* ---- Those of several hosts become a group ---- */
static int join_hosts(struct joining *j, struct rtci_collective *c)
{
    struct rtci_hosts hosts = {
        .bridge = &rtci_bridge, .arg = j->bridge, .rank = j->rank, .size = j->size};
    uint32_t n = 1;
    for (uint32_t i = 0; i < j->size; i++) {
        hosts.members[i].host = j->table.at[i].host;
        hosts.members[i].pid = j->table.at[i].pid;
        n = j->table.at[i].host >= n ? j->table.at[i].host + 1 : n;
    }
    /* What leaders may have sent and one of them has not read yet is bounded. */
    j->bridge->inline_max /= n - 1;
    hosts.small = j->bridge->inline_max;
    int rc = rtci_collective_join_hosts(c, &hosts);
    return rc < 0 ? rtci_error(rc, "out of memory for a group") : 0;
}

/* The table says where notes go. */
void rtci_group_use_table(struct joining *j)
{
    j->several = true;
    for (uint32_t i = 0; i < j->size; i++) {
        j->bridge->at[i].node = j->table.at[i].node;
        j->bridge->at[i].client = j->table.at[i].client;
        j->bridge->at[i].gone = 0;
    }
}

uint64_t rtci_group_slot_bytes(const struct joining *j)
{
    uint32_t counts[RTCI_COLLECTIVE_RANKS_MAX] = {0}, most = 1;
    for (uint32_t i = 0; i < j->size; i++) {
        uint32_t n = ++counts[j->table.at[i].host];
        most = n > most ? n : most;
    }
    return rtci_collective_hosts_slot(most);
}

/* ---- The others ---- */
static int too_late(struct joining *j, const char *what)
{
    snprintf(j->why, sizeof(j->why), "%s", what);
    return RTC_E_TIMEOUT;
}

/* Waits for a note of that kind, or that it is refused. `whom`: the rank that is to send it. */
static int await_note(struct joining *j, uint32_t kind, uint32_t whom, struct mail **ret)
{
    char why[128];
    for (uint32_t gone = 0;;) {
        struct mail *mail = rtci_bridge_take(j->bridge, NOTE_REFUSED);
        if (mail) {
            struct refusal no = {.status = RTC_E_AGAIN};
            if (mail->letter.parcel && mail->letter.parcel->size == sizeof(no))
                memcpy(&no, mail->letter.parcel->data, sizeof(no));
            rtci_bridge_free(j->bridge, mail);
            snprintf(j->why, sizeof(j->why), "%.250s", no.text);
            return no.status < 0 ? no.status : RTC_E_AGAIN;
        }
        if ((*ret = rtci_bridge_take(j->bridge, kind)))
            return 0;
        uint64_t now = rtci_now_ns();
        if (now >= j->deadline_ns)
            return too_late(j, "not all members came");
        if (now - j->probed_ns >= GROUP_PROBE_NS) {
            j->probed_ns = now;
            rtci_bridge.probe(j->bridge, whom);
        }
        uint64_t until = now + SLICE_NS < j->deadline_ns ? now + SLICE_NS : j->deadline_ns;
        int rc = rtci_bridge_wait(j->bridge, until);
        if (rc < 0) {
            snprintf(j->why, sizeof(j->why), "%.250s", rtc_last_error());
            return rc;
        }
        if (rtci_bridge.gone(j->bridge, whom, why, sizeof(why)) && ++gone >= GROUP_GONE) {
            snprintf(j->why, sizeof(j->why), "rank %u is gone", whom);
            return RTC_E_AGAIN;
        }
    }
}

static int await_table(struct joining *j)
{
    struct mail *mail;
    int rc = await_note(j, NOTE_TABLE, 0, &mail);
    if (rc < 0)
        return rc;
    bool fits = mail->letter.parcel && mail->letter.parcel->size == sizeof(j->table);
    if (fits)
        memcpy(&j->table, mail->letter.parcel->data, sizeof(j->table));
    rtci_bridge_free(j->bridge, mail);
    if (!fits || j->table.size != j->size)
        return RTC_E_VERSION;
    for (uint32_t i = 0; i < j->size; i++) {
        if (j->table.at[i].host > i)
            return RTC_E_VERSION;
    }
    rtci_group_use_table(j);
    return 0;
}

/* At the address of the lowest rank here. */
static int meet_here(struct joining *j, struct rtci_meeting *meeting, struct rtci_collective **ret)
{
    uint32_t own = j->table.at[j->rank].host, leader = 0;
    char address[RTCI_MEETING_ADDRESS];
    while (j->table.at[leader].host != own)
        leader++;
    if (leader != j->rank) {
        struct mail *mail;
        int rc = await_note(j, NOTE_MEET, leader, &mail);
        if (rc < 0)
            return rc;
        memset(address, 0, sizeof(address));
        if (mail->letter.parcel && mail->letter.parcel->size == sizeof(address))
            memcpy(address, mail->letter.parcel->data, sizeof(address));
        rtci_bridge_free(j->bridge, mail);
        return rtci_meeting_visit(address, meeting, j->why, sizeof(j->why), ret);
    }
    int listener = rtci_meeting_open(address), rc = 0;
    if (listener < 0)
        return RTC_E_OS;
    meeting->slot_bytes = rtci_group_slot_bytes(j);
    meeting->epoch = j->table.epoch;
    for (uint32_t i = 0; i < j->size && rc == 0; i++) {
        if (j->table.at[i].host != own)
            meeting->elsewhere |= 1ull << i;
        else if (i != j->rank)
            rc = rtci_bridge_note(j->bridge, i, NOTE_MEET, address, sizeof(address));
    }
    if (rc == 0)
        rc = rtci_meeting_host(listener, meeting, j->why, sizeof(j->why), ret);
    close(listener);
    return rc;
}

/* Rank 0 is on another host. */
static int visit_far(struct joining *j, struct rtci_meeting *meeting, struct rtci_collective **ret)
{
    struct hello hello = {.version = PLACE_VERSION, .size = j->size, .pid = (uint32_t)getpid()};
    memcpy(hello.host, j->host, sizeof(hello.host));
    int rc = rtci_bridge_note(j->bridge, 0, NOTE_HELLO, &hello, sizeof(hello));
    rc = rc == 0 ? await_table(j) : rc;
    if (rc < 0 && rc != RTC_E_AGAIN)
        RTCI_IGNORE(rtci_bridge_note(j->bridge, 0, NOTE_BYE, NULL, 0));
    return rc == 0 ? meet_here(j, meeting, ret) : rc;
}

static int visit_place(struct joining *j, const struct place *place, struct rtci_collective **ret)
{
    struct rtci_meeting meeting = {
        .rank = j->rank, .size = j->size, .number = j->rtc->client, .deadline_ns = j->deadline_ns};
    memcpy(meeting.token, place->token, sizeof(meeting.token));
    j->bridge = rtci_bridge_open(j->rtc, place->token, j->rank, j->size);
    if (!j->bridge)
        return RTC_E_NOMEM;
    j->bridge->at[0].node = place->node;
    j->bridge->at[0].client = place->client;
    if (memcmp(j->host, place->host, sizeof(j->host)) != 0)
        return visit_far(j, &meeting, ret);
    int rc = rtci_meeting_visit(place->address, &meeting, j->why, sizeof(j->why), ret);
    if (rc == 0 && rtci_collective_size(*ret) < j->size)
        rc = await_table(j);
    return rc;
}

/* One version of where rank 0 listens. RTC_E_AGAIN: it led nowhere. */
static int visit(struct joining *j, uint64_t *seen, struct rtci_collective **ret)
{
    uint64_t now = rtci_now_ns();
    int64_t left = j->deadline_ns == UINT64_MAX ? RTC_FOREVER
                   : now < j->deadline_ns       ? (int64_t)(j->deadline_ns - now)
                                                : 0;
    struct place place;
    rtc_ref ref;
    int rc = rtc_newest(j->rtc, j->key, *seen, left, &ref, seen);
    if (rc == RTC_E_TIMEOUT || rc == RTC_E_NOT_FOUND)
        return rtci_error(RTC_E_TIMEOUT, "group \"%s\": %s", j->name,
                          j->why[0] ? j->why : "rank 0 did not come");
    RTCI_TRY(rc);
    RTCI_TRY(read_place(j, ref, &place));
    if (!place.address[0])
        return RTC_E_AGAIN; /* an earlier one */
    rtci_group_lend(j->rtc, true);
    rc = visit_place(j, &place, ret);
    rtci_group_lend(j->rtc, false);
    if (rc < 0) {
        rtci_collective_leave(*ret);
        rtci_bridge_close(j->bridge);
        *ret = NULL;
        j->bridge = NULL;
    }
    if (rc < 0 && rc != RTC_E_AGAIN)
        return rtci_error(rc, "group \"%s\": %s", j->name, j->why[0] ? j->why : rtc_error_text(rc));
    return rc;
}

static int check_join(const char *name, uint32_t rank, uint32_t size, struct rtc_group **ret)
{
    if (!ret)
        return rtci_error(RTC_E_INVALID, "ret_group is NULL");
    if (!name || !name[0] || strlen(name) > GROUP_NAME_MAX)
        return rtci_error(RTC_E_INVALID, "the name of a group has 1 to %d bytes", GROUP_NAME_MAX);
    if (size == 0 || size > RTC_GROUP_SIZE_MAX)
        return rtci_error(RTC_E_INVALID, "size = %u: a group has 1 to %d members", size,
                          RTC_GROUP_SIZE_MAX);
    if (rank >= size)
        return rtci_error(RTC_E_INVALID, "rank = %u: the ranks of %u members are 0 to %u", rank,
                          size, size - 1);
    return 0;
}

static int join(struct joining *j, struct rtc_group *group)
{
    uint64_t seen = 0;
    int rc;
    do {
        rc = j->rank == 0 ? rtci_group_host(j, &group->c) : visit(j, &seen, &group->c);
    } while (j->rank && rc == RTC_E_AGAIN);
    if (rc == 0 && j->several)
        rc = join_hosts(j, group->c);
    if (rc == 0 && j->several) {
        group->bridge = j->bridge;
        return 0;
    }
    rtci_bridge_close(j->bridge);
    if (rc < 0)
        rtci_collective_leave(group->c);
    return rc;
}

int rtc_group_join(struct rtc *rtc, const char *name, uint32_t rank, uint32_t size, int64_t timeout,
                   struct rtc_group **ret_group)
{
    RTCI_TRY(check_join(name, rank, size, ret_group));
    if (rtc && rtc->light && rtc->light->inside())
        return rtci_lights_waits(rtc, "rtc_group_join()");
    RTCI_TRY(rtci_enter(rtc));
    struct joining j = {.rtc = rtc,
                        .name = name,
                        .deadline_ns = rtci_deadline(timeout),
                        .rank = rank,
                        .size = size,
                        .node = rtci_chan_info(rtc->chan)->node};
    rtci_leave(rtc);
    name_host(rtc, j.host);
    snprintf(j.key, sizeof(j.key), "rtc.group.%s", name);
    struct rtc_group *group = calloc(1, sizeof(*group));
    if (!group)
        return rtci_error(RTC_E_NOMEM, "out of memory for a group");
    int rc = join(&j, group);
    if (rc < 0) {
        free(group);
        return rc;
    }
    group->fork_generation = rtci_fork_generation();
    memcpy(group->name, name, strlen(name));
    *ret_group = group;
    return 0;
}
