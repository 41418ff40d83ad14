/* Connections from node to node, over the loopback. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the hub's part of the help */
#include "tests/unit/net_help.h"

#include "runtime/net/direct.h"

#define ENDS 3

struct end {
    struct rtci_direct *direct;
    unsigned up, down, bulk, calls, bulk_at_call;
    uint32_t from;
    uint64_t value;
    size_t size;
};
struct ends {
    struct net *net; /* its keys and its proxy */
    struct end at[ENDS];
    uint16_t through; /* where the proxy leads */
};

static void take(struct end *e)
{
    for (;;) {
        rtci_direct_signal(e->direct, UINT32_MAX);
        struct rtci_direct_event event = rtci_direct_take(e->direct, now());
        switch (event.type) {
        case RTCI_DIRECT_NONE: return;
        case RTCI_DIRECT_UP: e->up++; break;
        case RTCI_DIRECT_DOWN: e->down++; break;
        case RTCI_DIRECT_BULK:
        case RTCI_DIRECT_CALL:
            assert_int_equal((uintptr_t)event.data % 8, 0);
            e->bulk_at_call = event.type == RTCI_DIRECT_CALL ? e->bulk : e->bulk_at_call;
            *(event.type == RTCI_DIRECT_CALL ? &e->calls : &e->bulk) += 1;
            e->from = event.node;
            e->size = event.size;
            memcpy(&e->value, event.data, sizeof(e->value));
            break;
        }
    }
}

static void turn_ends(struct ends *s)
{
    struct pollfd fds[ENDS * RTCI_FDS_MAX + 2 * PIPES + 1];
    int some[RTCI_FDS_MAX];
    nfds_t count = 0;
    uint64_t due = now() + 50 * MS;
    for (int i = 0; i < ENDS; i++) {
        if (!s->at[i].direct)
            continue;
        take(&s->at[i]);
        uint32_t n = rtci_direct_fds(s->at[i].direct, some);
        for (uint32_t k = 0; k < n; k++)
            fds[count++] = (struct pollfd){.fd = some[k], .events = POLLIN};
        uint64_t next = rtci_direct_deadline(s->at[i].direct);
        due = next < due ? next : due;
    }
    if (s->net->proxy.listener) {
        proxy_turn(&s->net->proxy, s->through);
        count += proxy_fds(&s->net->proxy, fds + count);
    }
    uint64_t at = now();
    struct timespec wait = {.tv_nsec = due > at ? (long)(due - at) : 0};
    ppoll(fds, count, &wait, NULL);
}

#define UNTIL_ENDS(ends, seconds, condition)                                 \
    do {                                                                     \
        uint64_t until_ = now() + (uint64_t)(seconds)*S;                     \
        while (!(condition)) {                                               \
            if (now() > until_)                                              \
                fail_msg("not within %d s: %s", (int)(seconds), #condition); \
            turn_ends(ends);                                                 \
        }                                                                    \
    } while (0)

/* End i is node i + 2. */
static void open_end(struct ends *s, int i, bool listens)
{
    char text[RTCI_TEXT_MAX] = "";
    struct rtci_direct_config config = {.keys = s->net->node_keys[i],
                                        .bind = listens ? "tcp://127.0.0.1:*" : NULL};
    if (rtci_direct_open(&config, &s->at[i].direct, text, sizeof(text)) != 0)
        fail_msg("%s", text);
    assert_int_equal(rtci_direct_port(s->at[i].direct) != 0, listens);
}

static void close_end(struct ends *s, int i)
{
    rtci_direct_close(s->at[i].direct);
    s->at[i] = (struct end){0};
}

static void tell_port(struct ends *s, int i, int other, uint16_t port)
{
    char address[64] = "";
    if (port)
        snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    rtci_direct_add(s->at[i].direct, now(), (uint32_t)other + 2, address,
                    s->net->node_keys[other].public_key);
}

static uint16_t port_of(struct ends *s, int i)
{
    return rtci_direct_port(s->at[i].direct);
}

static enum rtci_direct_state state_of(struct ends *s, int i, int other)
{
    return rtci_direct_state(s->at[i].direct, (uint32_t)other + 2);
}

static int send_value(struct ends *s, int i, int other, uint64_t value)
{
    return rtci_direct_send(s->at[i].direct, (uint32_t)other + 2, &value, sizeof(value), "more", 4);
}

static void check_frames(struct ends *s, int i, int other)
{
    unsigned before = s->at[other].bulk;
    uint64_t value = 1000u * (unsigned)i + before;
    assert_int_equal(send_value(s, i, other, value), 0);
    UNTIL_ENDS(s, 5, s->at[other].bulk == before + 1);
    assert_int_equal(s->at[other].value, value);
    assert_int_equal(s->at[other].from, i + 2);
    assert_int_equal(s->at[other].size, sizeof(value) + 4);
    before = s->at[other].calls;
    value++;
    assert_int_equal(
        rtci_direct_call(s->at[i].direct, (uint32_t)other + 2, &value, sizeof(value), "call", 4),
        0);
    UNTIL_ENDS(s, 5, s->at[other].calls == before + 1);
    assert_int_equal(s->at[other].value, value);
    assert_int_equal(s->at[other].from, i + 2);
}

/* One side can be reached: its connection carries both directions. */
static void one_connection(void **state)
{
    struct ends *s = *state;
    open_end(s, 0, true);
    open_end(s, 1, false);
    assert_int_equal(state_of(s, 1, 0), RTCI_DIRECT_UNKNOWN);
    assert_int_equal(send_value(s, 1, 0, 1), RTC_E_DISCONNECTED);
    assert_true(rtci_direct_wants(s->at[1].direct, now(), 2));
    assert_false(rtci_direct_wants(s->at[1].direct, now(), 2)); /* once */
    rtci_direct_ask_again(s->at[1].direct);
    assert_true(rtci_direct_wants(s->at[1].direct, now(), 2));
    tell_port(s, 0, 1, 0);
    assert_int_equal(state_of(s, 0, 1), RTCI_DIRECT_RELAYED); /* as far as is known */
    tell_port(s, 1, 0, port_of(s, 0));
    assert_int_equal(state_of(s, 1, 0), RTCI_DIRECT_DIALING);
    assert_int_equal(send_value(s, 1, 0, 1), RTC_E_DISCONNECTED);
    UNTIL_ENDS(s, 5, s->at[0].up == 1 && s->at[1].up == 1);
    assert_int_equal(state_of(s, 0, 1), RTCI_DIRECT_LINKED);
    assert_int_equal(state_of(s, 1, 0), RTCI_DIRECT_LINKED);
    assert_false(rtci_direct_wants(s->at[1].direct, now(), 2));
    for (int k = 0; k < 100; k++) {
        check_frames(s, 0, 1);
        check_frames(s, 1, 0);
    }
    static uint8_t large[RTCI_BULK_MAX + 1];
    assert_int_equal(rtci_direct_send(s->at[0].direct, 3, large, 8, large, RTCI_BULK_MAX - 8), 0);
    UNTIL_ENDS(s, 5, s->at[1].size == RTCI_BULK_MAX);
    assert_int_equal(rtci_direct_send(s->at[0].direct, 3, large, 8, large, RTCI_BULK_MAX - 7),
                     RTC_E_TOO_LARGE);
    assert_int_equal(s->at[0].down + s->at[1].down, 0);
}

/* Both are told of each other, and both could dial; nothing is lost when a path is at its limit. */
static void both_dial(void **state)
{
    struct ends *s = *state;
    open_end(s, 0, true);
    open_end(s, 1, true);
    tell_port(s, 0, 1, port_of(s, 1));
    tell_port(s, 1, 0, port_of(s, 0));
    UNTIL_ENDS(s, 5, s->at[0].up == 1 && s->at[1].up == 1);
    check_frames(s, 0, 1);
    check_frames(s, 1, 0);
    static uint8_t large[256 * 1024];
    unsigned sent = 0, before = s->at[1].bulk;
    int rc;
    while ((rc = rtci_direct_send(s->at[0].direct, 3, large, sizeof(large), NULL, 0)) == 0)
        sent++;
    assert_int_equal(rc, RTC_E_AGAIN);
    unsigned calls = s->at[1].calls;
    assert_int_equal(rtci_direct_call(s->at[0].direct, 3, large, 8, NULL, 0), 0);
    UNTIL_ENDS(s, 10, s->at[1].bulk == before + sent);
    UNTIL_ENDS(s, 10, s->at[1].calls == calls + 1);
    assert_true(s->at[1].bulk_at_call < before + sent); /* it did not stand behind all of them */
    check_frames(s, 0, 1);
}

/* Who is no member is not let in, and hears nothing. */
static void strangers(void **state)
{
    struct ends *s = *state;
    open_end(s, 0, true);
    open_end(s, 1, true);
    open_end(s, 2, false);
    tell_port(s, 2, 0, port_of(s, 0));
    UNTIL_ENDS(s, 5, state_of(s, 2, 0) == RTCI_DIRECT_RELAYED);
    assert_int_equal(s->at[0].up + s->at[2].up, 0);
    assert_false(rtci_direct_wants(s->at[2].direct, now(), 2));
    assert_true(rtci_direct_wants(s->at[2].direct, now() + RTCI_DIRECT_AGAIN_NS, 2));
    /* A host that answers at the address, but has another key. */
    tell_port(s, 0, 2, 0);
    tell_port(s, 1, 2, 0);
    rtci_direct_add(s->at[2].direct, now(), 3, "127.0.0.1:1", s->net->node_keys[1].public_key);
    UNTIL_ENDS(s, 5, state_of(s, 2, 1) == RTCI_DIRECT_RELAYED);
    tell_port(s, 2, 1, port_of(s, 0));
    assert_int_equal(state_of(s, 2, 1), RTCI_DIRECT_DIALING); /* its address is another one */
    UNTIL_ENDS(s, 5, state_of(s, 2, 1) == RTCI_DIRECT_RELAYED);
    assert_int_equal(s->at[0].up + s->at[1].up + s->at[2].up, 0);
    /* The key of a number changes: what the old one had ends. */
    tell_port(s, 2, 1, port_of(s, 1));
    UNTIL_ENDS(s, 5, s->at[1].up == 1 && s->at[2].up == 1);
    rtci_direct_add(s->at[1].direct, now(), 4, "", s->net->node_keys[3].public_key);
    assert_int_equal(send_value(s, 1, 2, 1), RTC_E_DISCONNECTED);
    assert_int_equal(send_value(s, 2, 1, 1), 0);
    UNTIL_ENDS(s, 5, s->at[1].bulk == 0);
}

/* The listener hears of the one that dials a moment later than that one dials. */
static void told_late(void **state)
{
    struct ends *s = *state;
    open_end(s, 0, true);
    open_end(s, 1, false);
    tell_port(s, 1, 0, port_of(s, 0));
    uint64_t until = now() + 100 * MS;
    UNTIL_ENDS(s, 5, now() > until);
    tell_port(s, 0, 1, 0);
    UNTIL_ENDS(s, 5, s->at[0].up == 1 && s->at[1].up == 1);
    check_frames(s, 0, 1);
}

/* The other ends: that is told at once, and a new one, elsewhere, is found when the head says so.
 */
static void other_closes(void **state)
{
    struct ends *s = *state;
    open_end(s, 0, true);
    open_end(s, 1, true);
    tell_port(s, 0, 1, 0);
    tell_port(s, 1, 0, port_of(s, 0));
    UNTIL_ENDS(s, 5, s->at[0].up == 1 && s->at[1].up == 1);
    close_end(s, 0);
    UNTIL_ENDS(s, 2, s->at[1].down == 1);
    assert_int_equal(send_value(s, 1, 0, 1), RTC_E_DISCONNECTED);
    UNTIL_ENDS(s, 5, state_of(s, 1, 0) == RTCI_DIRECT_RELAYED);
    open_end(s, 0, true);
    tell_port(s, 0, 1, 0);
    tell_port(s, 1, 0, port_of(s, 0));
    UNTIL_ENDS(s, 5, s->at[0].up == 1 && s->at[1].up == 2);
    check_frames(s, 0, 1);
    check_frames(s, 1, 0);
}

/* A connection that is cut is dialled again; one that goes silent is found out. */
static void cut_and_silent(void **state)
{
    struct ends *s = *state;
    open_end(s, 0, true);
    open_end(s, 1, false);
    proxy_open(&s->net->proxy);
    s->through = port_of(s, 0);
    tell_port(s, 0, 1, 0);
    tell_port(s, 1, 0, s->net->proxy.port);
    UNTIL_ENDS(s, 5, s->at[0].up == 1 && s->at[1].up == 1);
    proxy_cut(&s->net->proxy);
    UNTIL_ENDS(s, 5, s->at[0].down == 1 && s->at[1].down == 1);
    UNTIL_ENDS(s, 5, s->at[0].up == 2 && s->at[1].up == 2);
    check_frames(s, 0, 1);
    proxy_hold(&s->net->proxy);
    UNTIL_ENDS(s, 15, s->at[0].down == 2 && s->at[1].down == 2);
    UNTIL_ENDS(s, 5, s->at[0].up == 3 && s->at[1].up == 3);
    check_frames(s, 1, 0);
}

static void towards(void **state)
{
    char host[64], list[256];
    (void)state;
    assert_true(rtci_address_towards("127.0.0.1", host, sizeof(host)));
    assert_string_equal(host, "127.0.0.1");
    assert_false(rtci_address_towards("no address", host, sizeof(host)));
    rtci_addresses("a,fe80::1", 7, list, sizeof(list));
    assert_string_equal(list, "a:7,[fe80::1]:7");
    rtci_addresses(NULL, 7, list, sizeof(list));
    assert_non_null(strstr(list, ":7"));
}

static int setup_ends(void **state)
{
    struct ends *s = calloc(1, sizeof(*s));
    void *net = NULL;
    if (!s || setup(&net))
        return -1;
    s->net = net;
    *state = s;
    return 0;
}

static int teardown_ends(void **state)
{
    struct ends *s = *state;
    void *net = s->net;
    for (int i = 0; i < ENDS; i++)
        rtci_direct_close(s->at[i].direct);
    free(s);
    return teardown(&net);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_ends, teardown_ends)
    const struct CMUnitTest tests[] = {
        TEST(one_connection), TEST(both_dial),      TEST(strangers), TEST(told_late),
        TEST(other_closes),   TEST(cut_and_silent), TEST(towards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
