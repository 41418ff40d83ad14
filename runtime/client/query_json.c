/* Rows of the cluster's state as JSON text, for programs and `rtc … --json`. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/client.h"
#include "runtime/client/open.h"
#include "runtime/wire/actor.h"

static void put(struct rtci_buf *b, const char *fmt, ...) RTCI_PRINTF(2, 3);
static void put(struct rtci_buf *b, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    rtci_buf_put(b, text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void put_text(struct rtci_buf *b, const char *key, const char *text, size_t size)
{
    put(b, "\"%s\":\"", key);
    for (size_t i = 0; i < size && text[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            put(b, "\\%c", c);
        else if (c < 0x20)
            put(b, "\\u%04x", c);
        else
            rtci_buf_put(b, &text[i], 1);
    }
    rtci_buf_put(b, "\"", 1);
}

static void put_id(struct rtci_buf *b, const char *key, struct rtci_id id)
{
    put(b, "\"%s\":\"%u.%llu.%u\"", key, id.client, (unsigned long long)id.seq, id.index);
}

static void begin_row(struct rtci_buf *b)
{
    if (b->len > 1)
        rtci_buf_put(b, ",\n", 2);
    rtci_buf_put(b, "{", 1);
}

#define U64(b, name, value) put(b, "\"" name "\":%llu,", (unsigned long long)(value))

static int json_status(void *arg, const void *data)
{
    struct rtci_buf *b = arg;
    struct rtci_row_status r;
    memcpy(&r, data, sizeof(r));
    put(b, "{");
    U64(b, "epoch", r.epoch);
    U64(b, "uptime_ns", r.now_ns - r.started_ns);
    U64(b, "pid", r.pid);
    U64(b, "nodes", r.nodes);
    U64(b, "clients", r.clients);
    U64(b, "jobs", r.jobs);
    U64(b, "tasks_alive", r.tasks_alive);
    U64(b, "tasks_ready", r.tasks_ready);
    U64(b, "tasks_running", r.tasks_running);
    U64(b, "tasks_done_total", r.tasks_done_total);
    U64(b, "tasks_failed_total", r.tasks_failed_total);
    U64(b, "tasks_retried_total", r.tasks_retried_total);
    U64(b, "objects", r.objects);
    U64(b, "kv_keys", r.kv_keys);
    U64(b, "kv_bytes", r.kv_bytes);
    U64(b, "relayed_bytes", r.relayed_bytes);
    put(b, "\"lease_s\":%.4g,", (double)r.lease_ns / 1e9);
    U64(b, "journal_turns", r.journal_turns);
    U64(b, "journal_bytes", r.journal_bytes);
    put_text(b, "state_dir", r.state_dir, sizeof(r.state_dir));
    put(b, ",");
    put_text(b, "version", r.version, sizeof(r.version));
    put(b, "}");
    return 0;
}

static int json_node(void *arg, const void *data)
{
    static const char *const states[] = {"joining", "alive",   "cordoned",
                                         "dead",    "suspect", "draining"};
    struct rtci_buf *b = arg;
    struct rtci_row_node r;
    memcpy(&r, data, sizeof(r));
    begin_row(b);
    U64(b, "node", r.node);
    put(b, "\"state\":\"%s\",",
        r.state < sizeof(states) / sizeof(states[0]) ? states[r.state] : "?");
    put(b, "\"cpus\":%.4g,\"cpus_used\":%.4g,\"gpus\":%.4g,\"gpus_used\":%.4g,",
        (double)r.cpu_total / 1e4, (double)r.cpu_used / 1e4, (double)r.gpu_total / 1e4,
        (double)r.gpu_used / 1e4);
    U64(b, "mem", r.mem_total);
    U64(b, "mem_used", r.mem_used);
    U64(b, "store", r.store_total);
    U64(b, "store_used", r.store_used);
    U64(b, "slots", r.slots);
    U64(b, "running", r.running);
    U64(b, "clients", r.clients);
    put_text(b, "name", r.name, sizeof(r.name));
    put(b, ",");
    put_text(b, "path",
             r.path == RTCI_PATH_DIRECT    ? r.address
             : r.path == RTCI_PATH_HEAD    ? "head"
             : r.path == RTCI_PATH_RELAYED ? "relayed"
                                           : "looking",
             sizeof(r.address));
    put(b, "}");
    return 0;
}

static int json_task(void *arg, const void *data)
{
    struct rtci_buf *b = arg;
    struct rtci_row_task r;
    memcpy(&r, data, sizeof(r));
    begin_row(b);
    put_id(b, "id", r.id);
    put(b, ",");
    put_text(b, "name", r.name, sizeof(r.name));
    put(b, ",\"state\":\"%s\",", rtci_row_state_name(r.state));
    if (r.parent.client) {
        put_id(b, "parent", r.parent);
        put(b, ",");
    }
    U64(b, "job", r.job);
    U64(b, "node", r.node);
    U64(b, "attempt", r.attempt);
    put(b, "\"priority\":%d,", r.priority);
    if (r.status < 0)
        put(b, "\"error\":\"%s\",", rtc_error_name(r.status));
    U64(b, "submitted_ns", r.submitted_ns);
    U64(b, "started_ns", r.started_ns);
    U64(b, "ended_ns", r.ended_ns);
    put(b, "\"progress\":%.4g,", r.progress == r.progress ? r.progress : 0.0);
    put_text(b, "why", r.why, sizeof(r.why));
    put(b, "}");
    return 0;
}

static int json_object(void *arg, const void *data)
{
    struct rtci_buf *b = arg;
    struct rtci_row_object r;
    memcpy(&r, data, sizeof(r));
    begin_row(b);
    put_id(b, "id", r.id);
    put(b, ",\"state\":\"%s\",", rtci_row_state_name(r.state));
    U64(b, "size", r.size);
    U64(b, "job", r.job);
    U64(b, "node", r.node);
    U64(b, "holders", r.holders);
    put(b, "\"pins\":%u}", r.pins);
    return 0;
}

static int json_job(void *arg, const void *data)
{
    struct rtci_buf *b = arg;
    struct rtci_row_job r;
    memcpy(&r, data, sizeof(r));
    begin_row(b);
    U64(b, "job", r.job);
    put(b, "\"id\":\"%016llx%016llx\",", (unsigned long long)r.id_hi, (unsigned long long)r.id_lo);
    put_text(b, "name", r.name, sizeof(r.name));
    put(b, ",\"state\":\"%s\",", r.state == 1 ? "running" : "ended");
    U64(b, "driver_pid", r.driver_pid);
    U64(b, "node", r.node);
    U64(b, "tasks_waiting", r.tasks_waiting);
    U64(b, "tasks_running", r.tasks_running);
    U64(b, "tasks_done", r.tasks_done);
    U64(b, "tasks_failed", r.tasks_failed);
    put(b, "\"started_ns\":%llu}", (unsigned long long)r.started_ns);
    return 0;
}

static int json_actor(void *arg, const void *data)
{
    static const char *const states[] = {"created", "pending",    "starting",
                                         "alive",   "restarting", "dead"};
    struct rtci_buf *b = arg;
    struct rtci_row_actor r;
    memcpy(&r, data, sizeof(r));
    begin_row(b);
    put_id(b, "id", r.id);
    put(b, ",");
    put_text(b, "name", r.name, sizeof(r.name));
    put(b, ",");
    put_text(b, "namespace", r.ns, sizeof(r.ns));
    put(b, ",");
    put_text(b, "class", r.function, sizeof(r.function));
    put(b, ",\"state\":\"%s\",", r.state < 6 ? states[r.state] : "?");
    U64(b, "job", r.job);
    U64(b, "node", r.node);
    U64(b, "pid", r.pid);
    U64(b, "incarnation", r.incarnation);
    U64(b, "restarts", r.restarts);
    U64(b, "pending", r.pending);
    U64(b, "created_ns", r.created_ns);
    put_text(b, "why", r.why, sizeof(r.why));
    put(b, "}");
    return 0;
}

static int json_group(void *arg, const void *data)
{
    static const char *const states[] = {"pending", "ready", "removed"};
    static const char *const strategies[] = {"pack", "spread", "strict_pack", "strict_spread"};
    struct rtci_buf *b = arg;
    struct rtci_row_group r;
    memcpy(&r, data, sizeof(r));
    begin_row(b);
    put_id(b, "id", r.id);
    put(b, ",\"state\":\"%s\",", r.state < 3 ? states[r.state] : "?");
    put(b, "\"strategy\":\"%s\",", r.strategy < 4 ? strategies[r.strategy] : "?");
    U64(b, "job", r.job);
    U64(b, "bundles", r.bundles);
    U64(b, "placed", r.placed);
    U64(b, "slots", r.slots);
    U64(b, "created_ns", r.created_ns);
    put_text(b, "why", r.why, sizeof(r.why));
    put(b, "}");
    return 0;
}

int rtc_query(struct rtc *rtc, const char *what, char **ret_json)
{
    static const struct {
        const char *name;
        uint32_t what;
        size_t row;
        int (*fn)(void *arg, const void *row);
    } kinds[] = {
        {"status", RTCI_Q_STATUS, sizeof(struct rtci_row_status), json_status},
        {"nodes", RTCI_Q_NODES, sizeof(struct rtci_row_node), json_node},
        {"tasks", RTCI_Q_TASKS, sizeof(struct rtci_row_task), json_task},
        {"objects", RTCI_Q_OBJECTS, sizeof(struct rtci_row_object), json_object},
        {"jobs", RTCI_Q_JOBS, sizeof(struct rtci_row_job), json_job},
        {"actors", RTCI_Q_ACTORS, sizeof(struct rtci_row_actor), json_actor},
        {"groups", RTCI_Q_GROUPS, sizeof(struct rtci_row_group), json_group},
    };
    if (!what || !ret_json)
        return rtci_error(RTC_E_INVALID, "what or ret_json is NULL");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].name, what) != 0)
            continue;
        struct rtci_buf b = {0};
        bool list = kinds[i].what != RTCI_Q_STATUS;
        if (list)
            rtci_buf_put(&b, "[", 1);
        int rc = rtci_query_rows(rtc, kinds[i].what, (rtc_ref){0}, kinds[i].row, kinds[i].fn, &b);
        rtci_buf_put(&b, list ? "]\0" : "\0", list ? 2 : 1);
        if (rc == 0 && b.failed)
            rc = rtci_error(RTC_E_NOMEM, "out of memory for the list");
        if (rc < 0) {
            rtci_buf_fini(&b);
            return rc;
        }
        *ret_json = (char *)b.data;
        return 0;
    }
    return rtci_error(RTC_E_INVALID,
                      "\"%s\" is none of status, nodes, tasks, objects, jobs, actors, groups",
                      what);
}
