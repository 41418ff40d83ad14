#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "runtime/net/sockets.h"

bool rtci_watch_open(struct rtci_watch *watch, void *context, void *watched, const char *name,
                     int events)
{
    char endpoint[64];
    snprintf(endpoint, sizeof(endpoint), "inproc://%s", name);
    if (zmq_socket_monitor(watched, endpoint, events) != 0)
        return false;
    watch->watched = watched;
    /* No bound: ZeroMQ's own threads would wait when it is full, with all their connections. */
    watch->pair = rtci_socket_open(context, ZMQ_PAIR, 0);
    return watch->pair && zmq_connect(watch->pair, endpoint) == 0;
}

void rtci_watch_close(struct rtci_watch *watch)
{
    if (watch->watched)
        zmq_socket_monitor(watch->watched, NULL, 0);
    watch->watched = NULL;
    rtci_socket_close(&watch->pair);
}

/* The first frame is the event (16 bits) and its value (32 bits), the second an address. */
bool rtci_watch_take(struct rtci_watch *watch, struct rtci_watch_event *ret_event)
{
    uint8_t frame[6];
    char address[256];
    int size;
    while ((size = zmq_recv(watch->pair, frame, sizeof(frame), ZMQ_DONTWAIT)) < 0 && errno == EINTR)
        ;
    if (size < 0)
        return false;
    while (zmq_recv(watch->pair, address, sizeof(address), ZMQ_DONTWAIT) < 0 && errno == EINTR)
        ;
    uint16_t event = 0;
    int32_t value = 0;
    if (size == (int)sizeof(frame)) {
        memcpy(&event, frame, sizeof(event));
        memcpy(&value, frame + 2, sizeof(value));
    }
    *ret_event = (struct rtci_watch_event){event, value};
    return true;
}
