/* Connections of a link. ZeroMQ connects, and connects again, without saying why it does not get
 * there; what is told to people here is put together from its monitor's events and, for a refused
 * connection, from one that is tried by hand. One address is dialled at a time: a socket with
 * several would spread its messages over them. */
#include "runtime/net/dial.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/bounds.h"

#define NO_ANSWER_NS     (3 * RTCI_NS_PER_S)  /* of TCP, or to a hello */
#define NO_ANSWER_MIN_NS (1 * RTCI_NS_PER_S)  /* however short the lease: it may be far */
#define BULK_QUIET       (15 * RTCI_NS_PER_S) /* of bulk: a long queue may stand in front */
#define PROBE_NS         (20 * RTCI_NS_PER_MS)
#define REDIAL_NS        (100 * RTCI_NS_PER_MS)
#define REDIAL_MAX       (2 * RTCI_NS_PER_S)

static const char *here(const struct rtci_link *l)
{
    return l->addresses[l->address];
}

/* Then a connection is made anew: what a NAT forgot never ends. */
static uint64_t silence(const struct rtci_link *l)
{
    return rtci_session_silence(l->lease_ns);
}

static uint64_t no_answer(const struct rtci_link *l)
{
    uint64_t ns = silence(l) < NO_ANSWER_NS ? silence(l) : NO_ANSWER_NS;
    return ns > NO_ANSWER_MIN_NS ? ns : NO_ANSWER_MIN_NS;
}

static void endpoint_of(const struct rtci_link *l, char *ret_endpoint, size_t size)
{
    snprintf(ret_endpoint, size, "tcp://%s", here(l));
}

static void enter(struct rtci_link *l, enum rtci_dial_phase phase)
{
    l->phase = phase;
    l->phase_ns = l->now_ns;
}

/* ---- Why not ---- */

static void probe_end(struct rtci_link *l)
{
    if (l->probe >= 0)
        close(l->probe);
    l->probe = -1;
}

static void tell_errno(struct rtci_link *l, int why)
{
    if (why == ECONNREFUSED)
        rtci_link_broke(l,
                        "%s cannot be reached from this host: connection refused (is `rtc head` "
                        "running there, is the port open?)",
                        here(l));
    else if (why != 0) /* else it can be reached by now */
        rtci_link_broke(l, "%s cannot be reached from this host: %s", here(l), strerror(why));
}

static void tell_silent(struct rtci_link *l)
{
    rtci_link_broke(l, "%s does not answer (a firewall in between, or a wrong address?)", here(l));
}

/* Only of numeric addresses: looking names up would block. */
static bool probe_begin(struct rtci_link *l)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM},
                    *found = NULL;
    char host[RTCI_ADDRESS_MAX];
    snprintf(host, sizeof(host), "%s", here(l));
    char *port = strrchr(host, ':'), *name = host;
    if (!port)
        return false;
    *port++ = '\0';
    if (*name == '[') {
        name++;
        name[strcspn(name, "]")] = '\0';
    }
    if (getaddrinfo(name, port, &hints, &found) != 0)
        return false;
    probe_end(l);
    l->probe_ns = l->now_ns;
    l->probe = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = l->probe >= 0 ? connect(l->probe, found->ai_addr, found->ai_addrlen) : -1;
    int why = rc == 0 ? 0 : errno;
    freeaddrinfo(found);
    if (why == EINPROGRESS)
        return true;
    probe_end(l);
    tell_errno(l, why);
    return true;
}

static void probe_look(struct rtci_link *l)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof(at), n = sizeof(int);
    int why = 0;
    if (l->probe < 0)
        return;
    bool done = getsockopt(l->probe, SOL_SOCKET, SO_ERROR, &why, &n) == 0 && why != 0;
    if (!done && getpeername(l->probe, (struct sockaddr *)&at, &size) == 0)
        done = true;
    if (!done && l->now_ns - l->probe_ns < no_answer(l))
        return;
    probe_end(l);
    tell_errno(l, done ? why : ETIMEDOUT);
}

/* ---- Dialling ---- */

static void connect_control(struct rtci_link *l)
{
    char endpoint[RTCI_ADDRESS_MAX + 8];
    endpoint_of(l, endpoint, sizeof(endpoint));
    l->delayed = l->closed = l->after_end = false;
    l->bad_shakes = 0;
    enter(l, RTCI_DIAL_CONNECTING);
    l->awake = AWAKE_ALL;
    l->connected = zmq_connect(l->control, endpoint) == 0;
    if (!l->connected)
        rtci_link_broke(l, "%s is no address: %s", here(l), zmq_strerror(errno));
}

static void disconnect_control(struct rtci_link *l)
{
    char endpoint[RTCI_ADDRESS_MAX + 8];
    endpoint_of(l, endpoint, sizeof(endpoint));
    if (l->connected)
        zmq_disconnect(l->control, endpoint);
    l->connected = false;
    l->awake = AWAKE_ALL;
}

static void disconnect_bulk(struct rtci_link *l)
{
    if (l->bulk_connected)
        zmq_disconnect(l->bulk, l->bulk_endpoint);
    l->bulk_connected = l->bulk_up = false;
    l->awake = AWAKE_ALL;
}

void rtci_dial_bulk(struct rtci_link *l)
{
    char endpoint[sizeof(l->bulk_endpoint)];
    endpoint_of(l, endpoint, sizeof(endpoint));
    if (l->bulk_connected && strcmp(endpoint, l->bulk_endpoint) == 0)
        return;
    disconnect_bulk(l);
    memcpy(l->bulk_endpoint, endpoint, sizeof(endpoint));
    l->awake = AWAKE_ALL;
    l->bulk_connected = zmq_connect(l->bulk, endpoint) == 0;
    l->bulk_heard_ns = l->now_ns;
}

void rtci_dial_begin(struct rtci_link *l)
{
    enter(l, RTCI_DIAL_WAITING);
    l->dial_ns = 0;
}

void rtci_dial_again(struct rtci_link *l)
{
    disconnect_control(l);
    disconnect_bulk(l);
    connect_control(l);
}

void rtci_dial_stop(struct rtci_link *l)
{
    disconnect_control(l);
    disconnect_bulk(l);
    probe_end(l);
    enter(l, RTCI_DIAL_STOPPED);
}

static void dial_later(struct rtci_link *l, uint64_t wait)
{
    disconnect_control(l);
    l->address = (l->address + 1) % l->n_addresses;
    l->dial_ns = l->now_ns + (wait < REDIAL_MAX ? wait : REDIAL_MAX);
    enter(l, RTCI_DIAL_WAITING);
}

/* This address does not work now: the next one, after a while that grows with each round. With a
 * single one ZeroMQ itself tries again. */
static void rotate(struct rtci_link *l)
{
    uint32_t round = ++l->failures / l->n_addresses;
    if (l->n_addresses > 1)
        dial_later(l, round < 5 ? REDIAL_NS << round : REDIAL_MAX);
}

/* ---- The monitors ---- */

static void on_retried(struct rtci_link *l)
{
    bool after_end = l->after_end, tried = l->closed || l->delayed;
    l->after_end = l->closed = l->delayed = false;
    if (l->phase != RTCI_DIAL_CONNECTING || after_end)
        return;
    bool slow = l->now_ns - l->phase_ns > 2 * RTCI_NS_PER_S;
    l->phase_ns = l->now_ns;
    /* One tried by hand would wait as long, and end when the next one of ZeroMQ's does. */
    if (tried && slow)
        tell_silent(l);
    else if (!tried)
        rtci_link_broke(l, "%s cannot be reached from this host: its name is not known here",
                        here(l));
    else if (!probe_begin(l))
        rtci_link_broke(l,
                        "%s cannot be reached from this host (is `rtc head` running there, is the "
                        "port open?)",
                        here(l));
    if (l->probe < 0)
        rotate(l);
}

static void on_disconnected(struct rtci_link *l)
{
    l->after_end = true;
    if (l->phase == RTCI_DIAL_UP || l->phase == RTCI_DIAL_HELLO) {
        rtci_session_link_down(l->session, l->now_ns);
        enter(l, RTCI_DIAL_CONNECTING);
        rtci_link_broke(l, "the connection to the head at %s ended", here(l));
        return; /* the same address again: it did work */
    }
    if (l->phase != RTCI_DIAL_SHAKING)
        return;
    bool slow = l->now_ns - l->phase_ns > 2 * RTCI_NS_PER_S;
    enter(l, RTCI_DIAL_CONNECTING);
    if (++l->bad_shakes < 2 && !slow)
        return;
    rtci_link_broke(l,
                    "what listens at %s does not have the key of this join line: it is another "
                    "head, or none",
                    here(l));
    /* ZeroMQ would try again at once, for it did connect; the log of that head need not be full. */
    dial_later(l, ++l->failures < l->n_addresses ? REDIAL_NS : REDIAL_MAX);
}

static void on_control(struct rtci_link *l, int event)
{
    switch (event) {
    case ZMQ_EVENT_CONNECT_DELAYED: l->delayed = true; break;
    case ZMQ_EVENT_CLOSED: l->closed = true; break;
    case ZMQ_EVENT_CONNECT_RETRIED: on_retried(l); break;
    case ZMQ_EVENT_DISCONNECTED: on_disconnected(l); break;
    case ZMQ_EVENT_CONNECTED:
        l->delayed = l->closed = l->after_end = false;
        probe_end(l);
        enter(l, RTCI_DIAL_SHAKING);
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        l->bad_shakes = 0;
        l->first_attempt = l->attempt + 1;
        l->hello_ns = 0;
        enter(l, RTCI_DIAL_HELLO);
        break;
    default: break;
    }
}

void rtci_dial_watch(struct rtci_link *l)
{
    struct rtci_watch_event e;
    while (l->n_events < RTCI_LINK_EVENTS / 2 && rtci_watch_take(&l->control_watch, &e))
        if (l->phase != RTCI_DIAL_STOPPED && l->phase != RTCI_DIAL_WAITING)
            on_control(l, e.event);
    while (rtci_watch_take(&l->bulk_watch, &e)) {
        if (e.event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
            l->bulk_ns = 0;
        if (e.event == ZMQ_EVENT_DISCONNECTED)
            l->bulk_up = false;
    }
}

/* ---- Time ---- */

void rtci_dial_time(struct rtci_link *l)
{
    uint64_t spent = l->now_ns - l->phase_ns;
    bool probing = l->probe >= 0;
    probe_look(l);
    if (probing && l->probe < 0 && l->phase == RTCI_DIAL_CONNECTING)
        rotate(l);
    switch (l->phase) {
    case RTCI_DIAL_WAITING:
        if (l->now_ns >= l->dial_ns)
            connect_control(l);
        break;
    case RTCI_DIAL_CONNECTING:
    case RTCI_DIAL_SHAKING:
        if (spent < no_answer(l))
            break;
        l->phase_ns = l->now_ns;
        tell_silent(l);
        rotate(l);
        if (l->n_addresses == 1) /* ZeroMQ would wait longer than a lease allows */
            rtci_dial_again(l);
        break;
    case RTCI_DIAL_HELLO:
        if (spent < no_answer(l) || l->renewing)
            break;
        rtci_link_broke(l, "the head at %s takes connections, but does not answer", here(l));
        rtci_dial_again(l);
        break;
    case RTCI_DIAL_UP:
        if (l->renewing)
            break;
        if (l->now_ns - l->heard_ns >= silence(l)) {
            rtci_session_link_down(l->session, l->now_ns);
            rtci_link_broke(l, "nothing was heard of the head at %s for %.1f s", here(l),
                            (double)silence(l) / 1e9);
            rtci_dial_again(l);
        } else if (l->bulk_connected && l->now_ns - l->bulk_heard_ns >= BULK_QUIET) {
            disconnect_bulk(l);
            rtci_dial_bulk(l);
        }
        break;
    default: break;
    }
}

uint64_t rtci_dial_deadline(const struct rtci_link *l)
{
    uint64_t due = UINT64_MAX;
    if (l->renewing && (l->phase == RTCI_DIAL_UP || l->phase == RTCI_DIAL_HELLO))
        return due; /* it is the caller's turn */
    switch (l->phase) {
    case RTCI_DIAL_WAITING: due = l->dial_ns; break;
    case RTCI_DIAL_UP: due = l->heard_ns + silence(l); break;
    case RTCI_DIAL_STOPPED: break;
    default: due = l->phase_ns + no_answer(l); break;
    }
    if (l->probe >= 0 && l->now_ns + PROBE_NS < due)
        due = l->now_ns + PROBE_NS;
    return due;
}
