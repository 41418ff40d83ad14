#include <errno.h>
#include <string.h>

#include "runtime/net/frames.h"
#include "runtime/net/sockets.h"

#define REQUESTS_MAX       256 /* in one go */
#define ZAP_ENFORCE_DOMAIN 93  /* zmq.h of 4.3 hides it; the library has it */

void *rtci_zap_open(void *context)
{
    void *zap = rtci_socket_open(context, ZMQ_REP, 0);
    if (zap && zmq_bind(zap, "inproc://zeromq.zap.01") != 0)
        rtci_socket_close(&zap);
    return zap;
}

static void reply(void *zap, const struct rtci_net_part *number, bool ok, const char *user)
{
    zmq_send(zap, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(zap, number->data, number->size, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(zap, ok ? "200" : "400", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(zap, ok ? "OK" : "no", 2, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(zap, user, ok ? 64 : 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(zap, "", 0, ZMQ_DONTWAIT);
}

/* One request, all its frames. */
static bool serve_one(void *zap, bool (*may)(void *arg, const uint8_t key[RTCI_KEY_BYTES]),
                      void *arg)
{
    zmq_msg_t msgs[RTCI_ZAP_PARTS + 1]; /* the last takes what is too much */
    struct rtci_net_part parts[RTCI_ZAP_PARTS + 1] = {0};
    uint8_t key[RTCI_KEY_BYTES];
    char user[65] = "";
    size_t n = 0, all = 0;
    bool more = true;
    while (more) {
        zmq_msg_t *msg = &msgs[n];
        zmq_msg_init(msg);
        int rc;
        while ((rc = zmq_msg_recv(msg, zap, ZMQ_DONTWAIT)) < 0 && errno == EINTR)
            ;
        if (rc < 0) {
            zmq_msg_close(msg);
            break;
        }
        more = zmq_msg_more(msg);
        all++;
        parts[n] = (struct rtci_net_part){zmq_msg_data(msg), zmq_msg_size(msg)};
        if (n < RTCI_ZAP_PARTS)
            n++;
        else
            zmq_msg_close(msg);
    }
    if (all > 0) {
        bool ok = rtci_zap_judge(parts, all, key) && (!may || may(arg, key));
        if (ok)
            rtci_key_text(key, user);
        reply(zap, &parts[1], ok, user);
    }
    while (n > 0)
        zmq_msg_close(&msgs[--n]);
    return all > 0;
}

void rtci_zap_serve(void *zap, bool (*may)(void *arg, const uint8_t key[RTCI_KEY_BYTES]), void *arg)
{
    for (int n = 0; n < REQUESTS_MAX && serve_one(zap, may, arg); n++)
        ;
}

void rtci_zap_require(void *socket)
{
    RTCI_ASSERT(zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, RTCI_ZAP_DOMAIN, strlen(RTCI_ZAP_DOMAIN)) ==
                0);
    /* Without it a handler that is missing would mean that everybody may. */
    rtci_socket_set(socket, ZAP_ENFORCE_DOMAIN, 1);
}
