/* Asking for the state of the cluster: pages of fixed rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/client/client.h"
#include "runtime/client/open.h"

#define PAGE_ROWS 1024u

const char *rtci_row_state_name(uint32_t state)
{
    static const char *const names[] = {"waiting",  "ready", "leased", "running",  "cancelling",
                                        "retrying", "done",  "failed", "cancelled"};
    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

static int ask_page(struct rtc *rtc, uint32_t what, rtc_ref ref, uint64_t cursor, struct request *q)
{
    struct rtci_query query = {.rec = {.size = sizeof(query), .type = RTCI_R_QUERY},
                               .what = what,
                               .limit = PAGE_ROWS,
                               .cursor = cursor,
                               .id = rtci_id_of(ref)};
    RTCI_TRY(rtci_enter(rtc));
    query.request = rtc->next_request++;
    *q = (struct request){
        .kind = REQUEST_REPLY, .number = query.request, .record = &query, .size = sizeof(query)};
    int rc = rtci_request(rtc, q, UINT64_MAX);
    if (rc == 0 && q->status < 0) {
        rc = rtci_error(q->status, "the head refused the query: %s", rtc_error_text(q->status));
        free(q->data);
        q->data = NULL;
    }
    rtci_leave(rtc);
    return rc;
}

int rtci_query_rows(struct rtc *rtc, uint32_t what, rtc_ref ref, size_t row_size,
                    int (*fn)(void *arg, const void *row), void *arg)
{
    uint64_t cursor = 0;
    do {
        struct request q;
        RTCI_TRY(ask_page(rtc, what, ref, cursor, &q));
        bool bad = (uint64_t)q.reply.n * row_size > q.reply.size;
        bool stop = false;
        for (uint32_t i = 0; i < q.reply.n && !bad && !stop; i++)
            stop = fn(arg, (const char *)q.data + i * row_size) != 0;
        free(q.data);
        if (bad)
            return rtci_error(RTC_E_PROTOCOL,
                              "the daemon's answer has rows of another size: it has another "
                              "version of rtc");
        if (stop)
            break;
        cursor = q.reply.cursor;
    } while (cursor != 0);
    return 0;
}

/* ---- Nodes ---- */
struct node_list {
    struct rtc_node_info *nodes;
    size_t cap, n;
};

static const char *node_state(uint32_t state)
{
    static const char *const names[] = {"joining", "alive",   "cordoned",
                                        "dead",    "suspect", "draining"};
    return state < 4 ? names[state] : "?";
}

static int on_node(void *arg, const void *data)
{
    struct node_list *list = arg;
    struct rtci_row_node row;
    memcpy(&row, data, sizeof(row));
    if (list->n < list->cap) {
        struct rtc_node_info *info = &list->nodes[list->n];
        *info = (struct rtc_node_info){.node = row.node,
                                       .cpus = (double)row.cpu_total / 10000,
                                       .cpus_used = (double)row.cpu_used / 10000,
                                       .gpus = (double)row.gpu_total / 10000,
                                       .gpus_used = (double)row.gpu_used / 10000,
                                       .mem = row.mem_total,
                                       .store_bytes = row.store_total,
                                       .store_used = row.store_used,
                                       .running = row.running};
        snprintf(info->name, sizeof(info->name), "%.63s", row.name);
        snprintf(info->state, sizeof(info->state), "%s", node_state(row.state));
    }
    list->n++;
    return 0;
}

int rtc_nodes(struct rtc *rtc, struct rtc_node_info *ret_nodes, size_t cap, size_t *ret_n)
{
    if ((!ret_nodes && cap) || !ret_n)
        return rtci_error(RTC_E_INVALID, "ret_nodes or ret_n is NULL");
    struct node_list list = {ret_nodes, cap, 0};
    RTCI_TRY(rtci_query_rows(rtc, RTCI_Q_NODES, (rtc_ref){0}, sizeof(struct rtci_row_node), on_node,
                             &list));
    *ret_n = list.n;
    return 0;
}

int rtc_why(struct rtc *rtc, rtc_ref ref, char *ret_text, size_t size)
{
    if (!ret_text || size == 0)
        return rtci_error(RTC_E_INVALID, "ret_text is NULL or size is 0");
    RTCI_TRY(rtci_enter(rtc));
    int rc = 0;
    struct slot *slot = rtci_find(rtc, ref, false, &rc);
    bool local = slot && !(slot->flags & SLOT_AT_HEAD);
    rtci_leave(rtc);
    if (!slot)
        return rc;
    if (local) {
        snprintf(ret_text, size, "it is an object of this process, which no other has asked for");
        return 0;
    }
    struct request q;
    RTCI_TRY(ask_page(rtc, RTCI_Q_WHY, ref, 0, &q));
    /* A row of the task, or plain text. */
    if (q.reply.n == 1 && q.reply.size >= sizeof(struct rtci_row_task)) {
        struct rtci_row_task row;
        memcpy(&row, q.data, sizeof(row));
        if (row.why[0])
            snprintf(ret_text, size, "%.160s", row.why);
        else if (row.node && row.ended_ns == 0)
            snprintf(ret_text, size, "it runs on node %u, attempt %u", row.node, row.attempt);
        else
            snprintf(ret_text, size, "it is %s", rtci_row_state_name(row.state));
    } else {
        snprintf(ret_text, size, "%.*s", (int)q.reply.size, q.data ? (const char *)q.data : "");
    }
    free(q.data);
    return 0;
}

int rtc_cordon(struct rtc *rtc, uint32_t node, bool on)
{
    struct rtci_slot_msg msg = {
        .rec = {.size = sizeof(msg), .type = RTCI_R_CORDON}, .slot = node, .op = on ? 1 : 0};
    RTCI_TRY(rtci_enter(rtc));
    int rc = rtci_send_record(rtc, &msg);
    rtci_leave(rtc);
    return rc;
}
