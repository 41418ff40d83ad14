/* How the members of a group find each other, by a name: rank 0 publishes where it is, and the
 * others come to it; those of its host at an address there, those of other hosts by a note. When
 * all have come, rank 0 tells who is where. The members of each other host then meet at an address
 * of the lowest rank among them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "runtime/exec/group.h"

#define PROBE_NS (200 * RTCI_NS_PER_MS)
#define SLICE_NS (100 * RTCI_NS_PER_MS)
#define GONE     2 /* answers that a process is not there */

_Static_assert(RTC_GROUP_SIZE_MAX == RTCI_COLLECTIVE_RANKS_MAX, "as the header promises");
_Static_assert(RTC_GROUP_SIZE_MAX <= 64, "ranks are bits");

/* What rank 0 publishes. */
struct place {
    uint32_t version, pid;
    uint32_t node, client;
    uint8_t token[16];
    char address[RTCI_MEETING_ADDRESS]; /* "": nobody listens any more */
    char host[128];                     /* where abstract addresses and objects are the same ones */
};
#define PLACE_VERSION 2u

struct hello { /* NOTE_HELLO */
    uint32_t version, size, pid, pad;
    char host[128];
};
struct table { /* NOTE_TABLE */
    uint32_t size, pad;
    uint64_t epoch;
    struct {
        uint32_t host, pid, node, client;
    } at[RTCI_COLLECTIVE_RANKS_MAX];
};
struct refusal { /* NOTE_REFUSED */
    int32_t status;
    char text[252];
};

struct joining {
    struct rtc *rtc;
    const char *name;
    char key[GROUP_NAME_MAX + 32];
    uint64_t deadline_ns, epoch, probed_ns;
    uint32_t rank, size, node;
    char host[128], why[256];
    struct bridge *bridge;
    struct table table;
    bool several; /* hosts: the table is filled in */
    /* Rank 0, of those of other hosts: */
    struct guest {
        uint32_t pid, gone;
        char host[128];
    } * guests;
};

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
static void lend(struct rtc *rtc, bool begin)
{
    const struct rtci_id none = {0};
    if (rtci_enter(rtc) < 0)
        return;
    if (begin)
        rtci_blocked_begin(rtc, &none, 0, 0);
    else
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
static void use_table(struct joining *j)
{
    j->several = true;
    for (uint32_t i = 0; i < j->size; i++) {
        j->bridge->at[i].node = j->table.at[i].node;
        j->bridge->at[i].client = j->table.at[i].client;
        j->bridge->at[i].gone = 0;
    }
}

static uint64_t slot_bytes(const struct joining *j)
{
    uint32_t counts[RTCI_COLLECTIVE_RANKS_MAX] = {0}, most = 1;
    for (uint32_t i = 0; i < j->size; i++) {
        uint32_t n = ++counts[j->table.at[i].host];
        most = n > most ? n : most;
    }
    return rtci_collective_hosts_slot(most);
}

/* ---- Rank 0 ---- */
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
    bool due = now - j->probed_ns >= PROBE_NS;
    j->probed_ns = due ? now : j->probed_ns;
    for (uint32_t rank = 1; rank < j->size; rank++) {
        if (!(meeting->elsewhere >> rank & 1))
            continue;
        if (due)
            rtci_bridge.probe(j->bridge, rank);
        if (rtci_bridge.gone(j->bridge, rank, why, sizeof(why)) && ++j->guests[rank].gone >= GONE)
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
    use_table(j);
    meeting->slot_bytes = slot_bytes(j);
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
    lend(j->rtc, true);
    int rc = rtci_meeting_host(listener, &meeting, why, sizeof(why), ret);
    lend(j->rtc, false);
    if (rc < 0)
        send_away(j, &meeting, why[0] ? why : j->why);
    memset(place->address, 0, sizeof(place->address)); /* who is late need not try */
    if (j->size > 1)
        RTCI_IGNORE(publish(j, place));
    return rc == 0 ? 0 : rtci_error(rc, "group \"%s\": %s", j->name, why[0] ? why : j->why);
}

static int host(struct joining *j, struct rtci_collective **ret)
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
        if (now - j->probed_ns >= PROBE_NS) {
            j->probed_ns = now;
            rtci_bridge.probe(j->bridge, whom);
        }
        uint64_t until = now + SLICE_NS < j->deadline_ns ? now + SLICE_NS : j->deadline_ns;
        int rc = rtci_bridge_wait(j->bridge, until);
        if (rc < 0) {
            snprintf(j->why, sizeof(j->why), "%.250s", rtc_last_error());
            return rc;
        }
        if (rtci_bridge.gone(j->bridge, whom, why, sizeof(why)) && ++gone >= GONE) {
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
    use_table(j);
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
    meeting->slot_bytes = slot_bytes(j);
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
    lend(j->rtc, true);
    rc = visit_place(j, &place, ret);
    lend(j->rtc, false);
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
        rc = j->rank == 0 ? host(j, &group->c) : visit(j, &seen, &group->c);
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
