/* The two ends of links between hosts, over the loopback. */
#include "tests/unit/net_help.h"

#include "runtime/net/sockets.h"

static void says(const char *text, const char *word)
{
    if (!strstr(text, word))
        fail_msg("'%s' does not say '%s'", text, word);
}

static void joined(struct net *n, int i)
{
    UNTIL(n, 5, n->at[i].joined == 1);
}

static void joins_and_speaks(void **state)
{
    struct net *n = *state;
    join_link(n, 0);
    joined(n, 0);
    assert_int_equal(n->at[0].node, 2);
    assert_int_equal(n->at[0].epoch, n->epoch);
    assert_int_equal(n->at_hub.joined, 1);
    send_numbered(n, 0, 1, 10000, true);
    send_numbered(n, 0, 1, 10000, false);
    UNTIL(n, 20, n->at[0].last == 10000 && n->at_hub_from[2].last == 10000);
    UNTIL(n, 5, rtci_link_committed(n->links[0]) == 10000);
    assert_int_equal(n->at[0].broken + n->at_hub_from[2].broken, 0);
}

/* Records of all sizes up to the largest, in spans that are larger than a message. */
static void large_spans(void **state)
{
    struct net *n = *state;
    const uint32_t largest = (uint32_t)RTCI_SESSION_MESSAGE_MAX;
    uint8_t *span = calloc(3, largest);
    struct numbered m = {{0}, 0};
    size_t size = 0;
    uint64_t seq;
    assert_non_null(span);
    join_link(n, 0);
    joined(n, 0);
    for (uint32_t one = 16; one <= largest;
         one = one < largest && one * 3 > largest ? largest : one * 3 / 8 * 8 + 8) {
        m.rec.size = one;
        m.number++;
        memcpy(span + size, &m, sizeof(m));
        size += one;
        if (one == largest)
            break;
    }
    assert_int_equal(rtci_link_send(n->links[0], span, size, &seq), 0);
    assert_true(seq > 2);
    assert_int_equal(rtci_hub_send(n->hub, 2, span, size), 0);
    UNTIL(n, 20, n->at[0].last == m.number && n->at_hub_from[2].last == m.number);
    /* What is no span, or too large, is not taken. */
    m.rec.size = largest + 8;
    memcpy(span, &m, sizeof(m));
    assert_int_equal(rtci_link_send(n->links[0], span, m.rec.size, &seq), RTC_E_TOO_LARGE);
    assert_int_equal(rtci_hub_send(n->hub, 2, span, m.rec.size), RTC_E_TOO_LARGE);
    assert_int_equal(rtci_hub_send(n->hub, 9, span, 8), RTC_E_DISCONNECTED);
    free(span);
}

/* A full window is not an error of anybody: send says so, and takes again when there is room. */
static void full_window(void **state)
{
    struct net *n = *state;
    const size_t size = 128 * 1024;
    uint8_t *span = calloc(1, size);
    struct numbered m = {{(uint32_t)size, 1, 0}, 0};
    uint64_t seq = 0;
    int rc;
    assert_non_null(span);
    join_link(n, 0);
    joined(n, 0);
    n->keep_commits = true;
    for (;;) {
        m.number = seq + 1;
        memcpy(span, &m, sizeof(m));
        size_t room = rtci_link_room(n->links[0]);
        rc = rtci_link_send(n->links[0], span, size, &seq);
        assert_int_equal(rc, room >= size ? 0 : RTC_E_AGAIN);
        if (rc != 0)
            break;
        turn(n);
    }
    assert_true(seq > 100 && seq <= 128);
    n->keep_commits = false;
    UNTIL(n, 20, rtci_link_committed(n->links[0]) == seq);
    assert_true(rtci_link_room(n->links[0]) > 15 * RTCI_MIB);
    /* The hub keeps what its session has no room for, up to a limit. */
    for (m.number = 1;; m.number++) {
        memcpy(span, &m, sizeof(m));
        rc = rtci_hub_send(n->hub, 2, span, size);
        if (rc != 0)
            break;
    }
    assert_int_equal(rc, RTC_E_AGAIN);
    assert_true(m.number * size > 64 * RTCI_MIB);
    UNTIL(n, 30, n->at[0].last == m.number - 1);
    free(span);
}

/* ---- Who may not ---- */

static void wrong_server_key(void **state)
{
    struct net *n = *state;
    n->join.server[0] ^= 1;
    join_link(n, 0);
    UNTIL(n, 5, n->at[0].broken);
    says(n->at[0].broken_text, "does not have the key");
    UNTIL(n, 5, n->at_hub.refused);
    /* Its address is asked of the connection, which may have ended before this process looked. */
    if (!strstr(n->at_hub.text, "an address that is gone"))
        says(n->at_hub.text, "127.0.0.1");
    assert_int_equal(n->at_hub.joined, 0);
}

static void nobody_listens(void **state)
{
    struct net *n = *state;
    rtci_hub_close(n->hub);
    n->hub = NULL;
    join_link(n, 0);
    UNTIL(n, 5, n->at[0].broken);
    says(n->at[0].broken_text, "connection refused");
    for (int i = 0; i < 20; i++)
        turn(n);
    assert_int_equal(n->at[0].broken, 1); /* said once */
    open_hub(n);
    UNTIL(n, 10, n->at[0].joined == 1);
}

/* Something that takes connections, and is no head. */
static void no_head(void **state)
{
    struct net *n = *state;
    struct proxy silent = {0};
    proxy_open(&silent);
    join_at(n, 0, &n->node_keys[0], silent.port);
    UNTIL(n, 5, n->at[0].broken);
    says(n->at[0].broken_text, "127.0.0.1");
    proxy_close(&silent);
}

static void wrong_token(void **state)
{
    struct net *n = *state;
    char right[RTCI_TOKEN_MAX];
    memcpy(right, n->join.token, sizeof(right));
    rtci_token_new(n->join.token);
    join_link(n, 0);
    memcpy(n->join.token, right, sizeof(right));
    UNTIL(n, 5, n->at[0].refused && n->at_hub.refused);
    assert_int_equal(n->at[0].status, RTC_E_DENIED);
    says(n->at[0].text, "token is not known");
    says(n->at_hub.text, "token is not known");
    says(n->at_hub.text, "127.0.0.1");
    says(n->at_hub.text, "'a'");
    for (int i = 0; i < 20; i++)
        turn(n);
    assert_int_equal(n->at_hub.refused, 1);
}

/* ---- A stranger: what no link would send ---- */

struct stranger {
    void *context, *socket;
};

static struct stranger stranger_come(struct net *n, const char *rid)
{
    struct stranger s;
    char endpoint[64];
    snprintf(endpoint, sizeof(endpoint), "tcp://127.0.0.1:%u", n->port);
    s.context = rtci_net_start();
    s.socket = rtci_socket_open(s.context, ZMQ_DEALER, 100);
    rtci_socket_curve(s.socket, &n->node_keys[3], n->head_keys.public_key);
    rtci_socket_set(s.socket, ZMQ_IMMEDIATE, 1);
    if (rid)
        assert_int_equal(zmq_setsockopt(s.socket, ZMQ_ROUTING_ID, rid, strlen(rid)), 0);
    assert_int_equal(zmq_connect(s.socket, endpoint), 0);
    return s;
}

static void stranger_says(struct net *n, struct stranger *s, const void *data, size_t size)
{
    struct rtci_net_part part = {data, size};
    UNTIL(n, 5, rtci_socket_send(s->socket, NULL, &part, 1) == 0);
}

static void stranger_goes(struct stranger *s)
{
    rtci_socket_close(&s->socket);
    rtci_net_stop(s->context);
}

struct said {
    struct rtci_net_prefix prefix;
    struct rtci_net_hello hello;
};

static void other_version(void **state)
{
    struct net *n = *state;
    struct stranger s = stranger_come(n, NULL);
    struct said said = {{RTCI_NET_HELLO, 7},
                        {.wire_version = 999, .release = "9.9.9", .session = 1}};
    struct {
        struct rtci_net_prefix prefix;
        struct rtci_net_welcome welcome;
    } got;
    /* One of that version may be longer or shorter. */
    stranger_says(n, &s, &said, sizeof(said) - 8);
    UNTIL(n, 5, zmq_recv(s.socket, &got, sizeof(got), ZMQ_DONTWAIT) == (int)sizeof(got));
    assert_int_equal(got.prefix.attempt, 7);
    assert_int_equal(got.welcome.status, RTC_E_VERSION);
    says(got.welcome.text, "9.9.9");
    says(got.welcome.text, RTC_VERSION_STRING);
    UNTIL(n, 5, n->at_hub.refused);
    says(n->at_hub.text, "9.9.9");
    stranger_goes(&s);
}

/* Frames of those who have not joined, nonsense, and ids that were chosen move nothing. */
static void nonsense(void **state)
{
    struct net *n = *state;
    struct stranger s = stranger_come(n, NULL), named = stranger_come(n, "named");
    struct rtci_frame frame = {.magic = RTCI_FRAME_MAGIC, .kind = RTCI_FRAME_SYNC, .session = 5};
    struct rtci_net_bulk bulk = {.magic = RTCI_NET_BULK, .from = 2, .to = 1};
    struct rtci_net_bulker bulker = {.magic = RTCI_NET_BULKER, .session = 5};
    struct said said = {{RTCI_NET_HELLO, 1}, {.wire_version = RTCI_WIRE_VERSION, .session = 1}};
    memcpy(said.hello.token, n->join.token, sizeof(said.hello.token));
    join_link(n, 0);
    joined(n, 0);
    stranger_says(n, &s, "x", 1);
    stranger_says(n, &s, &frame, sizeof(frame));
    stranger_says(n, &s, &frame, sizeof(frame) - 1);
    stranger_says(n, &s, &bulk, sizeof(bulk));
    stranger_says(n, &s, &bulker, sizeof(bulker));
    stranger_says(n, &s, &said, sizeof(said) - 1);
    assert_int_equal(zmq_send(s.socket, "a", 1, ZMQ_SNDMORE), 1); /* of two parts */
    assert_int_equal(zmq_send(s.socket, &said, sizeof(said), 0), (int)sizeof(said));
    stranger_says(n, &named, &said, sizeof(said));
    send_numbered(n, 0, 1, 100, true);
    UNTIL(n, 5, n->at_hub_from[2].last == 100);
    for (int i = 0; i < 50; i++)
        turn(n);
    assert_int_equal(n->at_hub.joined, 1);
    assert_int_equal(n->at_hub_from[2].bulk, 0);
    stranger_goes(&s);
    stranger_goes(&named);
}

static void garbage_and_silence(void **state)
{
    struct net *n = *state;
    int fds[200];
    for (int i = 0; i < 200; i++) {
        fds[i] = dial_port(n->port);
        assert_true(fds[i] >= 0);
        if (i % 2)
            assert_true(send(fds[i], "GET / HTTP/1.1\r\nHost: head\r\n\r\n\xff\xff\xff", 33,
                             MSG_NOSIGNAL) > 0);
    }
    join_link(n, 0);
    UNTIL(n, 3, n->at[0].joined == 1);
    send_numbered(n, 0, 1, 100, true);
    UNTIL(n, 3, n->at_hub_from[2].last == 100 && n->at_hub.refused);
    says(n->at_hub.text, "127.0.0.1:");
    assert_true(n->at_hub.refused < 30);
    for (int i = 0; i < 200; i++)
        close(fds[i]);
}

/* ---- Connections that break ---- */

static void cut_connections(void **state)
{
    struct net *n = *state;
    join_through_proxy(n, 0);
    joined(n, 0);
    for (unsigned round = 1; round <= 5; round++) {
        send_numbered(n, 0, round * 1000 - 999, round * 1000, true);
        send_numbered(n, 0, round * 1000 - 999, round * 1000, false);
        for (unsigned i = 0; i < round; i++) /* in the midst of it */
            turn(n);
        proxy_cut(&n->proxy);
        uint64_t begun = now();
        UNTIL(n, 5, n->at_hub_from[2].broken == round && n->at[0].broken == round);
        assert_true(now() - begun < S);
        UNTIL(n, 5, n->at_hub_from[2].resumed == round && n->at[0].resumed == round);
    }
    UNTIL(n, 10, n->at[0].last == 5000 && n->at_hub_from[2].last == 5000);
    assert_int_equal(n->at[0].joined, 1);
    assert_int_equal(n->at_hub.joined, 1);
    assert_int_equal(n->at[0].renew, 0);
}

static void silent_connection(void **state)
{
    struct net *n = *state;
    join_through_proxy(n, 0);
    joined(n, 0);
    send_numbered(n, 0, 1, 10, true);
    UNTIL(n, 5, n->at_hub_from[2].last == 10);
    proxy_hold(&n->proxy);
    send_numbered(n, 0, 11, 20, true);
    send_numbered(n, 0, 1, 10, false);
    UNTIL(n, 6, n->at[0].broken);
    says(n->at[0].broken_text, "nothing was heard");
    UNTIL(n, 6, n->at[0].resumed && n->at_hub_from[2].last == 20 && n->at[0].last == 10);
    assert_int_equal(n->at_hub.joined, 1);
}

/* It is noticed in time for another connection before the lease is over. */
static void silent_short_lease(void **state)
{
    struct net *n = *state;
    join_through_proxy(n, 0);
    joined(n, 0);
    send_numbered(n, 0, 1, 10, true);
    UNTIL(n, 5, n->at_hub_from[2].last == 10);
    proxy_hold(&n->proxy);
    uint64_t begun = now();
    UNTIL(n, 6, n->at[0].broken);
    assert_true(now() - begun < 3 * S); /* not only as soon as with the usual lease */
    says(n->at[0].broken_text, "nothing was heard");
    says(n->at[0].broken_text, "1.2 s");
    UNTIL(n, 6, n->at[0].resumed);
    assert_int_equal(n->at_hub.joined, 1);
    assert_int_equal(n->at_hub_from[2].dead, 0);
}

/* A host stands still: what the head said meanwhile is old when it is read, and is not heard; what
 * it answers afterwards is. */
static void stale(struct net *n, bool slept)
{
    join_link(n, 0);
    joined(n, 0);
    struct rtci_link *link = n->links[0];
    uint64_t heard = rtci_link_heard(link), until;
    n->links[0] = NULL; /* it has no turns */
    send_numbered(n, 0, 1, 5, false);
    for (until = now() + (slept ? 200 * MS : 2 * S); now() < until;)
        turn(n);
    struct rtci_hub *hub = n->hub;
    n->links[0] = link;
    n->hub = NULL;
    if (slept) /* the clock stood still too */
        rtci_link_paused(link, now());
    for (until = now() + 300 * MS; now() < until;)
        turn(n);
    assert_int_equal(rtci_link_heard(link), heard);
    n->hub = hub;
    UNTIL(n, 5, rtci_link_heard(link) > heard && n->at[0].last == 5);
    assert_int_equal(n->at[0].joined, 1);
    assert_int_equal(n->at_hub_from[2].dead, 0);
}

static void stale_after_a_stop(void **state)
{
    stale(*state, false);
}

static void stale_after_sleep(void **state)
{
    stale(*state, true);
}

static void count(void *arg, const void *data, size_t size)
{
    struct numbered m;
    assert_int_equal(size, sizeof(m));
    memcpy(&m, data, sizeof(m));
    assert_int_equal(m.number, ++*(unsigned *)arg);
}

static void head_restarts(void **state)
{
    struct net *n = *state;
    unsigned kept = 0;
    join_link(n, 0);
    joined(n, 0);
    n->keep_commits = true;
    send_numbered(n, 0, 1, 50, true);
    UNTIL(n, 5, n->at_hub_from[2].last == 50);
    rtci_hub_close(n->hub);
    open_hub(n);
    n->keep_commits = false;
    UNTIL(n, 5, n->at[0].renew == 1);
    assert_int_equal(n->at[0].broken, 1);
    assert_int_equal(rtci_link_room(n->links[0]), 0);
    rtci_link_uncommitted(n->links[0], count, &kept);
    assert_int_equal(kept, 50);
    for (int i = 0; i < 20; i++)
        turn(n);
    assert_int_equal(n->at[0].joined, 1); /* not before it has renewed */
    rtci_link_renew(n->links[0], now());
    UNTIL(n, 5, n->at[0].joined == 2 && n->at_hub.joined == 2);
    assert_int_equal(n->at[0].epoch, 2);
    assert_int_equal(n->at[0].renew, 1);
    send_numbered(n, 0, 1, 50, true);
    UNTIL(n, 5, n->at_hub_from[2].last == 50);
    kept = 0;
    UNTIL(n, 5, rtci_link_committed(n->links[0]) == 50);
    rtci_link_uncommitted(n->links[0], count, &kept);
    assert_int_equal(kept, 0);
}

static void dropped(void **state)
{
    struct net *n = *state;
    join_link(n, 0);
    joined(n, 0);
    UNTIL(n, 5, rtci_link_room(n->links[0]) > 0);
    rtci_hub_drop(n->hub, 2);
    send_numbered(n, 0, 1, 1, true);
    UNTIL(n, 3, n->at[0].renew == 1);
    assert_int_equal(n->at_hub_from[2].last, 0);
    rtci_link_renew(n->links[0], now());
    UNTIL(n, 3, n->at[0].joined == 2);
}

static void node_goes(void **state)
{
    struct net *n = *state;
    join_link(n, 0);
    joined(n, 0);
    rtci_link_close(n->links[0]);
    n->links[0] = NULL;
    uint64_t begun = now();
    UNTIL(n, 5, n->at_hub_from[2].broken);
    assert_true(now() - begun < S / 2);
    UNTIL(n, 5, n->at_hub_from[2].dead);
    assert_true(now() - begun > S / 2);
    assert_int_equal(rtci_hub_send(n->hub, 2, NULL, 0), RTC_E_DISCONNECTED);
}

static int setup_lease(void **state, uint64_t lease_ns)
{
    int rc = setup(state);
    struct net *n = *state;
    rtci_hub_close(n->hub);
    n->port = 0;
    n->lease_ns = lease_ns;
    open_hub(n);
    return rc;
}

static int setup_short_lease(void **state)
{
    return setup_lease(state, S);
}

static int setup_lease_of_4_s(void **state)
{
    return setup_lease(state, 4 * S);
}

/* ---- One key, two daemons ---- */

static void node_restarts(void **state)
{
    struct net *n = *state;
    join_link(n, 0);
    joined(n, 0);
    for (unsigned i = 2; i < 5; i++) {
        rtci_link_close(n->links[0]);
        join_link(n, 0);
        UNTIL(n, 2, n->at[0].joined == i);
        assert_int_equal(n->at_hub.joined, i);
        assert_int_equal(n->at[0].node, 2);
    }
    assert_int_equal(n->at[0].refused, 0);
}

static void copied_key(void **state)
{
    struct net *n = *state;
    join_link(n, 0);
    joined(n, 0);
    join_at(n, 1, &n->node_keys[0], n->port);
    UNTIL(n, 5, n->at[1].refused && n->at_hub.refused);
    assert_int_equal(n->at[1].status, RTC_E_BUSY);
    says(n->at[1].text, "same key");
    says(n->at[1].text, "127.0.0.1");
    says(n->at_hub.text, "same key");
    send_numbered(n, 0, 1, 100, true);
    UNTIL(n, 5, n->at_hub_from[2].last == 100);
    assert_int_equal(n->at[0].broken + n->at[1].joined, 0);
    assert_int_equal(n->at_hub.joined, 1);
}

/* ---- Addresses ---- */

static void second_address(void **state)
{
    struct net *n = *state;
    char text[RTCI_TEXT_MAX];
    struct rtci_link_config config = {.join = n->join, .keys = n->node_keys[0], .name = "a"};
    struct proxy closed = {0};
    proxy_open(&closed);
    proxy_close(&closed);
    snprintf(config.join.addresses, sizeof(config.join.addresses), "127.0.0.1:%u,127.0.0.1:%u",
             closed.port, n->port);
    assert_int_equal(rtci_link_open(&config, &n->links[0], text, sizeof(text)), 0);
    joined(n, 0);
    says(n->at[0].broken_text, "connection refused");
}

/* What is wrong with each is said once, however often they are tried. */
static void no_address(void **state)
{
    struct net *n = *state;
    char text[RTCI_TEXT_MAX];
    struct rtci_link_config config = {.join = n->join, .keys = n->node_keys[0], .name = "a"};
    struct proxy closed = {0};
    proxy_open(&closed);
    proxy_close(&closed);
    snprintf(config.join.addresses, sizeof(config.join.addresses), "127.0.0.1:%u,127.0.0.2:%u",
             closed.port, closed.port);
    assert_int_equal(rtci_link_open(&config, &n->links[0], text, sizeof(text)), 0);
    UNTIL(n, 5, n->at[0].broken == 2);
    for (uint64_t until = now() + S; now() < until;)
        turn(n);
    assert_int_equal(n->at[0].broken, 2);
}

static void port_in_use(void **state)
{
    struct net *n = *state;
    char bind[64], text[RTCI_TEXT_MAX] = "";
    struct rtci_hub *second;
    struct rtci_hub_config config = {.bind = bind, .keys = n->head_keys, .admit = admit};
    snprintf(bind, sizeof(bind), "tcp://127.0.0.1:%u", n->port);
    assert_int_equal(rtci_hub_open(&config, &second, text, sizeof(text)), RTC_E_OS);
    assert_null(second);
    says(text, bind);
    says(text, "in use");
}

/* ---- Bulk ---- */

static void bulk_frames(void **state)
{
    struct net *n = *state;
    const size_t size = RTCI_BULK_MAX - 8;
    uint8_t *data = calloc(1, size + 8);
    uint64_t head = 77;
    assert_non_null(data);
    join_link(n, 0);
    join_link(n, 1);
    joined(n, 0);
    joined(n, 1);
    /* Between nodes, through the head; to the head's own, and from it. */
    UNTIL(n, 5, rtci_hub_bulk(n->hub, 3, &head, 8, NULL, 0) == 0);
    UNTIL(n, 5, n->at[1].bulk == 1);
    n->at[1].bulk = 0;
    UNTIL(n, 5, rtci_link_bulk(n->links[0], 3, &head, 8, data, size) == 0);
    UNTIL(n, 5, n->at[1].bulk == 1);
    assert_int_equal(n->at[1].bulk_from, 2);
    assert_int_equal(n->at[1].bulk_value, 77);
    assert_int_equal(n->at[1].bulk_size, size + 8);
    head = 78;
    UNTIL(n, 5, rtci_link_bulk(n->links[1], 1, &head, 8, "abc", 3) == 0);
    UNTIL(n, 5, n->at_hub_from[3].bulk == 1);
    assert_int_equal(n->at_hub_from[3].bulk_value, 78);
    assert_int_equal(n->at_hub_from[3].bulk_size, 11);
    head = 79;
    UNTIL(n, 5, rtci_hub_bulk(n->hub, 2, &head, 8, NULL, 0) == 0);
    UNTIL(n, 5, n->at[0].bulk == 1);
    assert_int_equal(n->at[0].bulk_from, 1);
    assert_int_equal(n->at[0].bulk_value, 79);
    assert_int_equal(rtci_hub_bulk(n->hub, 9, &head, 8, NULL, 0), RTC_E_DISCONNECTED);
    assert_int_equal(rtci_link_bulk(n->links[0], 3, &head, 16, data, size), RTC_E_TOO_LARGE);
    assert_int_equal(rtci_link_bulk(n->links[0], 9, &head, 8, data, size), 0); /* to nobody */
    free(data);
}

/* Nobody spins: a turn without work is followed by a sleep. */
static void rests(struct net *n)
{
    unsigned turns = 0;
    for (uint64_t until = now() + S / 2; now() < until; turns++)
        turn(n);
    if (turns > 150)
        fail_msg("%u turns in half a second", turns);
}

static void sleeps(void **state)
{
    struct net *n = *state;
    join_link(n, 0);
    joined(n, 0);
    rests(n);
    rtci_hub_close(n->hub);
    n->hub = NULL;
    UNTIL(n, 5, n->at[0].broken == 2); /* it ended; it is refused */
    rests(n);
    open_hub(n);
    UNTIL(n, 10, n->at[0].renew == 1);
    rests(n);
    rtci_link_renew(n->links[0], now());
    UNTIL(n, 5, n->at[0].joined == 2);
    rests(n);
}

/* Calls: between nodes, through the head; to the head's own, and from it; however large they are.
 */
static void call_frames(void **state)
{
    struct net *n = *state;
    const size_t size = RTCI_CALL_MAX - 8;
    uint8_t *data = calloc(1, size + 8);
    uint64_t head = 77;
    assert_non_null(data);
    join_link(n, 0);
    join_link(n, 1);
    joined(n, 0);
    joined(n, 1);
    assert_int_equal(rtci_link_call(n->links[0], 3, &head, 8, data, size), 0);
    UNTIL(n, 5, n->at[1].calls == 1);
    assert_int_equal(n->at[1].bulk_from, 2);
    assert_int_equal(n->at[1].bulk_value, 77);
    assert_int_equal(n->at[1].bulk_size, size + 8);
    assert_int_equal(rtci_link_call(n->links[1], 1, &head, 8, "abc", 3), 0);
    UNTIL(n, 5, n->at_hub_from[3].calls == 1);
    assert_int_equal(n->at_hub_from[3].bulk_size, 11);
    assert_int_equal(rtci_hub_call(n->hub, 2, &head, 8, NULL, 0), 0);
    UNTIL(n, 5, n->at[0].calls == 1);
    assert_int_equal(n->at[0].bulk_from, 1);
    assert_int_equal(rtci_hub_call(n->hub, 9, &head, 8, NULL, 0), RTC_E_DISCONNECTED);
    assert_int_equal(rtci_link_call(n->links[0], 3, &head, 16, data, size), RTC_E_TOO_LARGE);
    assert_int_equal(rtci_hub_call(n->hub, 2, &head, 16, data, size), RTC_E_TOO_LARGE);
    assert_int_equal(rtci_link_call(n->links[0], 9, &head, 8, data, 8), 0); /* to nobody */
    free(data);
}

/* Control goes on beside a bulk queue that is always full. */
static void bulk_beside_control(void **state)
{
    struct net *n = *state;
    uint8_t *data = calloc(1, RTCI_BULK_MAX);
    uint64_t head = 1, slowest = 0;
    assert_non_null(data);
    join_link(n, 0);
    join_link(n, 1);
    joined(n, 0);
    joined(n, 1);
    UNTIL(n, 5, rtci_hub_bulk(n->hub, 3, &head, 8, NULL, 0) == 0);
    UNTIL(n, 5, rtci_link_bulk(n->links[0], 3, &head, 8, data, 8) == 0);
    for (uint64_t k = 1; k <= 50; k++) {
        while (rtci_link_bulk(n->links[0], 3, &head, 8, data, RTCI_BULK_MAX - 8) == 0)
            ;
        uint64_t begun = now();
        send_numbered(n, 0, k, k, true);
        UNTIL(n, 10, n->at_hub_from[2].last == k);
        slowest = now() - begun > slowest ? now() - begun : slowest;
    }
    UNTIL(n, 10, n->at[1].bulk > 50);
    assert_true(slowest < 2 * S);
    free(data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(joins_and_speaks),
        TEST(large_spans),
        TEST(full_window),
        TEST(wrong_server_key),
        TEST(nobody_listens),
        TEST(no_head),
        TEST(wrong_token),
        TEST(other_version),
        TEST(nonsense),
        TEST(garbage_and_silence),
        TEST(cut_connections),
        TEST(silent_connection),
        TEST(stale_after_a_stop),
        TEST(stale_after_sleep),
        TEST(head_restarts),
        TEST(dropped),
        cmocka_unit_test_setup_teardown(node_goes, setup_short_lease, teardown),
        cmocka_unit_test_setup_teardown(silent_short_lease, setup_lease_of_4_s, teardown),
        TEST(node_restarts),
        TEST(copied_key),
        TEST(second_address),
        TEST(no_address),
        TEST(port_in_use),
        TEST(sleeps),
        TEST(bulk_frames),
        TEST(call_frames),
        TEST(bulk_beside_control),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
