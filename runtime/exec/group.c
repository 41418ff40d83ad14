/* Groups: joining by a name, and the public calls. Rank 0 publishes where it listens as a version
 * of a named object, whose number is the group's epoch; the others wait for one that is newer than
 * those that led nowhere. The rest is runtime/collective's. */
#include <errno.h>
#include <fcntl.h>
#include <rtc/group.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "runtime/client/client.h"
#include "runtime/client/light.h"
#include "runtime/collective/collective.h"

#define NAME_MAX_BYTES 200
#define TICKS_FAR      5 /* of a meeting, between looks for members elsewhere */

_Static_assert(RTC_GROUP_SIZE_MAX == RTCI_COLLECTIVE_RANKS_MAX, "as the header promises");
_Static_assert((int)RTC_SUM == RTCI_REDUCE_SUM && (int)RTC_MEAN == RTCI_REDUCE_MEAN &&
                   (int)RTC_MAX == RTCI_REDUCE_MAX,
               "reductions are numbered alike");

struct rtc_group {
    struct rtci_collective *c;
    _Atomic bool busy;
    uint64_t fork_generation;
    char name[NAME_MAX_BYTES + 1];
};

/* What rank 0 publishes. */
struct place {
    uint32_t version, pid;
    uint8_t token[16];
    char address[RTCI_MEETING_ADDRESS]; /* "": nobody listens any more */
    char host[128];                     /* where abstract addresses are the same ones */
    char name[64];                      /* of that host, for people */
};
#define PLACE_VERSION 1u

struct joining {
    struct rtc *rtc;
    const char *name;
    char key[NAME_MAX_BYTES + 32];
    uint64_t deadline_ns, epoch;
    uint32_t rank, size, ticks;
    char why[256];
};

/* ---- Meeting by name ---- */
/* The kernel that runs, and the network namespace: abstract addresses are of these. */
static void name_host(char *text, size_t size)
{
    char boot[40] = "?", net[64] = "?";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, boot, 36) : -1;
    boot[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
    n = readlink("/proc/self/ns/net", net, sizeof(net) - 1);
    net[n > 0 ? n : 0] = 0;
    memset(text, 0, size);
    snprintf(text, size, "%s %s", boot, net);
}

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
    if (rc == 0 && (value.type != RTC_BYTES || value.as.bytes.size != sizeof(*place)))
        rc = rtci_error(RTC_E_VERSION, "group \"%s\": its rank 0 has another version of rtc",
                        j->name);
    if (rc == 0)
        memcpy(place, value.as.bytes.data, sizeof(*place));
    RTCI_IGNORE(rtc_release(j->rtc, ref));
    if (rc == 0 && place->version != PLACE_VERSION)
        rc = rtci_error(RTC_E_VERSION, "group \"%s\": its rank 0 has another version of rtc",
                        j->name);
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

static void far_key(const struct joining *j, uint64_t epoch, char *key, size_t size)
{
    snprintf(key, size, "%s.far.%llu", j->key, (unsigned long long)epoch);
}

/* A member that cannot come says so by a key. */
static int look_far(void *arg)
{
    struct joining *j = arg;
    char key[NAME_MAX_BYTES + 64];
    void *data;
    size_t size;
    if (++j->ticks % TICKS_FAR)
        return 0;
    far_key(j, j->epoch, key, sizeof(key));
    int rc = rtc_kv_get(j->rtc, key, &data, &size);
    if (rc == RTC_E_NOT_FOUND)
        return 0;
    if (rc < 0) {
        snprintf(j->why, sizeof(j->why), "%.250s", rtc_last_error());
        return rc;
    }
    snprintf(j->why, sizeof(j->why), "%.*s", (int)(size < 250 ? size : 250), (const char *)data);
    free(data);
    RTCI_IGNORE(rtc_kv_delete(j->rtc, key));
    return RTC_E_UNSUPPORTED;
}

static int host(struct joining *j, struct rtci_collective **ret)
{
    struct place place = {.version = PLACE_VERSION, .pid = (uint32_t)getpid()};
    int listener = rtci_meeting_open(place.address);
    if (listener < 0)
        return rtci_error(RTC_E_OS, "group \"%s\": a socket: %s", j->name, strerror(-listener));
    name_host(place.host, sizeof(place.host));
    RTCI_IGNORE(gethostname(place.name, sizeof(place.name) - 1));
    int rc = getrandom(place.token, sizeof(place.token), 0) == sizeof(place.token)
                 ? publish(j, &place)
                 : rtci_error(RTC_E_OS, "group \"%s\": getrandom: %s", j->name, strerror(errno));
    if (rc < 0) {
        close(listener);
        return rc;
    }
    struct rtci_meeting meeting = {.size = j->size,
                                   .epoch = j->epoch,
                                   .deadline_ns = j->deadline_ns,
                                   .tick = look_far,
                                   .arg = j};
    memcpy(meeting.token, place.token, sizeof(meeting.token));
    lend(j->rtc, true);
    char why[256] = "";
    rc = rtci_meeting_host(listener, &meeting, why, sizeof(why), ret);
    lend(j->rtc, false);
    close(listener);
    memset(place.address, 0, sizeof(place.address)); /* who is late need not try */
    if (j->size > 1)
        RTCI_IGNORE(publish(j, &place));
    return rc == 0 ? 0 : rtci_error(rc, "group \"%s\": %s", j->name, why[0] ? why : j->why);
}

static int refuse_far(struct joining *j, const struct place *place, uint64_t version)
{
    char text[250], key[NAME_MAX_BYTES + 64], name[64] = "";
    RTCI_IGNORE(gethostname(name, sizeof(name) - 1));
    snprintf(text, sizeof(text),
             "rank %u is on host %s and rank 0 on host %.63s: all members must be on one host, in "
             "one network namespace",
             j->rank, name, place->name);
    far_key(j, version, key, sizeof(key));
    RTCI_IGNORE(rtc_kv_put(j->rtc, key, text, strlen(text)));
    return rtci_error(RTC_E_UNSUPPORTED, "group \"%s\": %s", j->name, text);
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
    char here[sizeof(place.host)];
    name_host(here, sizeof(here));
    if (memcmp(here, place.host, sizeof(here)) != 0)
        return refuse_far(j, &place, *seen);
    struct rtci_meeting meeting = {.rank = j->rank, .size = j->size, .deadline_ns = j->deadline_ns};
    memcpy(meeting.token, place.token, sizeof(meeting.token));
    lend(j->rtc, true);
    rc = rtci_meeting_visit(place.address, &meeting, j->why, sizeof(j->why), ret);
    lend(j->rtc, false);
    if (rc < 0 && rc != RTC_E_AGAIN)
        return rtci_error(rc, "group \"%s\": %s", j->name, j->why);
    return rc;
}

static int check_join(const char *name, uint32_t rank, uint32_t size, struct rtc_group **ret)
{
    if (!ret)
        return rtci_error(RTC_E_INVALID, "ret_group is NULL");
    if (!name || !name[0] || strlen(name) > NAME_MAX_BYTES)
        return rtci_error(RTC_E_INVALID, "the name of a group has 1 to %d bytes", NAME_MAX_BYTES);
    if (size == 0 || size > RTC_GROUP_SIZE_MAX)
        return rtci_error(RTC_E_INVALID, "size = %u: a group has 1 to %d members", size,
                          RTC_GROUP_SIZE_MAX);
    if (rank >= size)
        return rtci_error(RTC_E_INVALID, "rank = %u: the ranks of %u members are 0 to %u", rank,
                          size, size - 1);
    return 0;
}

int rtc_group_join(struct rtc *rtc, const char *name, uint32_t rank, uint32_t size, int64_t timeout,
                   struct rtc_group **ret_group)
{
    RTCI_TRY(check_join(name, rank, size, ret_group));
    if (rtc && rtc->light && rtc->light->inside())
        return rtci_lights_waits(rtc, "rtc_group_join()");
    RTCI_TRY(rtci_enter(rtc));
    rtci_leave(rtc);
    struct joining j = {.rtc = rtc,
                        .name = name,
                        .deadline_ns = rtci_deadline(timeout),
                        .rank = rank,
                        .size = size};
    snprintf(j.key, sizeof(j.key), "rtc.group.%s", name);
    struct rtc_group *group = calloc(1, sizeof(*group));
    if (!group)
        return rtci_error(RTC_E_NOMEM, "out of memory for a group");
    uint64_t seen = 0;
    int rc;
    do {
        rc = rank == 0 ? host(&j, &group->c) : visit(&j, &seen, &group->c);
    } while (rank && rc == RTC_E_AGAIN);
    if (rc < 0) {
        free(group);
        return rc;
    }
    group->fork_generation = rtci_fork_generation();
    memcpy(group->name, name, strlen(name));
    *ret_group = group;
    return 0;
}

/* ---- Calls ---- */
static int check_group(const struct rtc_group *group)
{
    if (!group)
        return rtci_error(RTC_E_CLOSED, "the group is NULL: it was not joined, or left");
    if (group->fork_generation != rtci_fork_generation())
        return rtci_error(RTC_E_FORKED, "group \"%s\": this process was forked from the member",
                          group->name);
    return 0;
}

static int enter_group(struct rtc_group *group)
{
    RTCI_TRY(check_group(group));
    if (atomic_exchange(&group->busy, true))
        return rtci_error(RTC_E_BUSY, "group \"%s\": another thread is in a call with it",
                          group->name);
    return 0;
}

static int leave_call(struct rtc_group *group, int rc)
{
    char why[256];
    if (rc < 0) {
        rtci_collective_why(group->c, why, sizeof(why));
        rtci_error_set("group \"%s\": %s", group->name,
                       why[0] ? why : "its buffers overlap and are not the same");
    }
    atomic_store(&group->busy, false);
    return rc;
}

static int check_buffers(const struct rtc_group *group, const void *a, const void *b, size_t count,
                         enum rtc_dtype dtype)
{
    size_t element = rtc_dtype_size(dtype);
    RTCI_TRY(check_group(group));
    if (count && (!a || !b))
        return rtci_error(RTC_E_INVALID, "group \"%s\": a buffer is NULL", group->name);
    if (!element)
        return rtci_error(RTC_E_INVALID, "group \"%s\": dtype = %d is none", group->name,
                          (int)dtype);
    if (count > SIZE_MAX / 2 / element / RTC_GROUP_SIZE_MAX)
        return rtci_error(RTC_E_INVALID, "group \"%s\": count = %zu is more than there is memory",
                          group->name, count);
    return 0;
}

static int check_reduction(const struct rtc_group *group, enum rtc_dtype dtype,
                           enum rtc_reduction op)
{
    if (dtype != RTC_F16 && dtype != RTC_BF16 && dtype != RTC_F32 && dtype != RTC_F64)
        return rtci_error(RTC_E_INVALID,
                          "group \"%s\": dtype = %d: f16, bf16, f32 and f64 can be reduced",
                          group->name, (int)dtype);
    if ((unsigned)op > RTC_MAX)
        return rtci_error(RTC_E_INVALID, "group \"%s\": op = %d is unknown", group->name, (int)op);
    return 0;
}

int rtc_group_all_reduce(struct rtc_group *group, const void *send, void *recv, size_t count,
                         enum rtc_dtype dtype, enum rtc_reduction op, int64_t timeout)
{
    RTCI_TRY(check_buffers(group, send, recv, count, dtype));
    RTCI_TRY(check_reduction(group, dtype, op));
    RTCI_TRY(enter_group(group));
    return leave_call(group,
                      rtci_collective_all_reduce(group->c, send, recv, count, dtype,
                                                 (enum rtci_reduction)op, rtci_deadline(timeout)));
}

int rtc_group_reduce_scatter(struct rtc_group *group, const void *send, void *recv, size_t count,
                             enum rtc_dtype dtype, enum rtc_reduction op, int64_t timeout)
{
    RTCI_TRY(check_buffers(group, send, recv, count, dtype));
    RTCI_TRY(check_reduction(group, dtype, op));
    RTCI_TRY(enter_group(group));
    return leave_call(group, rtci_collective_reduce_scatter(group->c, send, recv, count, dtype,
                                                            (enum rtci_reduction)op,
                                                            rtci_deadline(timeout)));
}

int rtc_group_all_gather(struct rtc_group *group, const void *send, void *recv, size_t count,
                         enum rtc_dtype dtype, int64_t timeout)
{
    RTCI_TRY(check_buffers(group, send, recv, count, dtype));
    RTCI_TRY(enter_group(group));
    return leave_call(group, rtci_collective_all_gather(group->c, send, recv, count, dtype,
                                                        rtci_deadline(timeout)));
}

int rtc_group_broadcast(struct rtc_group *group, void *buffer, size_t count, enum rtc_dtype dtype,
                        uint32_t root, int64_t timeout)
{
    RTCI_TRY(check_buffers(group, buffer, buffer, count, dtype));
    if (root >= rtc_group_size(group))
        return rtci_error(RTC_E_INVALID, "group \"%s\": root = %u: it has %u members", group->name,
                          root, rtc_group_size(group));
    RTCI_TRY(enter_group(group));
    return leave_call(group, rtci_collective_broadcast(group->c, buffer, count, dtype, root,
                                                       rtci_deadline(timeout)));
}

int rtc_group_barrier(struct rtc_group *group, int64_t timeout)
{
    RTCI_TRY(enter_group(group));
    return leave_call(group, rtci_collective_barrier(group->c, rtci_deadline(timeout)));
}

int rtc_group_abort(struct rtc_group *group, const char *why)
{
    RTCI_TRY(check_group(group));
    rtci_collective_abort(group->c, why);
    return 0;
}

int rtc_group_leave(struct rtc_group **group)
{
    if (!group || !*group)
        return 0;
    struct rtc_group *own = *group;
    RTCI_TRY(check_group(own));
    if (atomic_load(&own->busy))
        return rtci_error(RTC_E_BUSY, "group \"%s\": another thread is in a call with it",
                          own->name);
    *group = NULL;
    rtci_collective_leave(own->c);
    free(own);
    return 0;
}

uint32_t rtc_group_rank(const struct rtc_group *group)
{
    return group ? rtci_collective_rank(group->c) : 0;
}

uint32_t rtc_group_size(const struct rtc_group *group)
{
    return group ? rtci_collective_size(group->c) : 0;
}

uint64_t rtc_group_epoch(const struct rtc_group *group)
{
    return group ? rtci_collective_epoch(group->c) : 0;
}
