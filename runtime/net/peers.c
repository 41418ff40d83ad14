#include "runtime/net/peers.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bounds.h"

/* ---- Finding ---- */

static uint64_t rid_number(const uint8_t *rid)
{
    uint64_t number = 0;
    memcpy(&number, rid, RTCI_RID_BYTES);
    return number;
}

void rtci_user_key(const char *user, uint8_t ret_key[RTCI_KEY_BYTES])
{
    RTCI_ASSERT(sodium_hex2bin(ret_key, RTCI_KEY_BYTES, user, RTCI_USER_DIGITS, NULL, NULL, NULL) ==
                0);
}

/* Half of a key names it in the map; who comes out is compared whole. */
static void halves(const uint8_t *key, uint64_t ret_half[2])
{
    memcpy(ret_half, key, 2 * sizeof(uint64_t));
}

static struct rtci_peer *at_slot(const struct rtci_hub *hub, const uint32_t *slot)
{
    return slot ? hub->peers[*slot] : NULL;
}

static struct rtci_peer *if_user(struct rtci_peer *peer, const char *user)
{
    return peer && memcmp(peer->user, user, RTCI_USER_DIGITS) == 0 ? peer : NULL;
}

struct rtci_peer *rtci_peer_of_key(const struct rtci_hub *hub, const char *user)
{
    uint8_t key[RTCI_KEY_BYTES];
    uint64_t half[2];
    rtci_user_key(user, key);
    halves(key, half);
    return if_user(at_slot(hub, rtci_map_find(&hub->keys, half[0], half[1])), user);
}

struct rtci_peer *rtci_peer_of_node(const struct rtci_hub *hub, uint32_t node)
{
    return at_slot(hub, rtci_map_find(&hub->nodes, node, 0));
}

struct rtci_peer *rtci_peer_of_rid(const struct rtci_hub *hub, const struct rtci_map *map,
                                   const uint8_t *rid, const char *user)
{
    return if_user(at_slot(hub, rtci_map_find(map, rid_number(rid), 0)), user);
}

/* ---- Connections ---- */

static void unbind(struct rtci_hub *hub, struct rtci_peer *peer)
{
    if (peer->has_control)
        rtci_map_remove(&hub->controls, rid_number(peer->control), 0);
    peer->has_control = false;
    if (peer->fd >= 0 && hub->fds[peer->fd].slot == peer->slot + 1)
        hub->fds[peer->fd].slot = 0;
    peer->fd = -1;
    hub->cuts -= peer->cut;
    peer->cut = false;
}

bool rtci_peer_bind(struct rtci_hub *hub, struct rtci_peer *peer,
                    const struct rtci_arrival *arrival)
{
    unbind(hub, peer);
    if (!rtci_map_set(&hub->controls, rid_number(arrival->rid), 0, peer->slot))
        return false;
    memcpy(peer->control, arrival->rid, RTCI_RID_BYTES);
    peer->has_control = true;
    peer->fd = arrival->fd;
    hub->fds[peer->fd].slot = peer->slot + 1;
    peer->heard_ns = hub->now_ns;
    rtci_net_text(peer->address, sizeof(peer->address), arrival->address);
    rtci_peer_touch(hub, peer);
    return true;
}

void rtci_peer_unbind_bulk(struct rtci_hub *hub, struct rtci_peer *peer)
{
    if (peer->has_bulk)
        rtci_map_remove(&hub->bulks, rid_number(peer->bulk), 0);
    peer->has_bulk = false;
}

bool rtci_peer_bind_bulk(struct rtci_hub *hub, struct rtci_peer *peer, const uint8_t *rid)
{
    if (peer->has_bulk && memcmp(peer->bulk, rid, RTCI_RID_BYTES) == 0)
        return true;
    rtci_peer_unbind_bulk(hub, peer);
    if (!rtci_map_set(&hub->bulks, rid_number(rid), 0, peer->slot))
        return false;
    memcpy(peer->bulk, rid, RTCI_RID_BYTES);
    peer->has_bulk = true;
    return true;
}

void rtci_peer_cut(struct rtci_hub *hub, struct rtci_peer *peer)
{
    hub->cuts += !peer->cut;
    peer->cut = true;
}

/* ---- Coming and going ---- */

void rtci_peer_touch(struct rtci_hub *hub, struct rtci_peer *peer)
{
    if (peer->dirty)
        return;
    peer->dirty = true;
    peer->next_dirty = hub->dirty;
    hub->dirty = peer;
}

void rtci_peer_remove(struct rtci_hub *hub, struct rtci_peer *peer)
{
    uint64_t half[2];
    halves(peer->key, half);
    unbind(hub, peer);
    rtci_peer_unbind_bulk(hub, peer);
    const uint32_t *slot = rtci_map_find(&hub->keys, half[0], half[1]);
    if (slot && *slot == peer->slot)
        rtci_map_remove(&hub->keys, half[0], half[1]);
    slot = rtci_map_find(&hub->nodes, peer->node, 0);
    if (slot && *slot == peer->slot)
        rtci_map_remove(&hub->nodes, peer->node, 0);
    for (struct rtci_peer **at = &hub->dirty; peer->dirty && *at; at = &(*at)->next_dirty)
        if (*at == peer) {
            *at = peer->next_dirty;
            break;
        }
    hub->peers[peer->slot] = NULL;
    hub->n_peers--;
    rtci_session_free(peer->session);
    rtci_buf_fini(&peer->out);
    sodium_memzero(peer, sizeof(*peer)); /* its token is a secret */
    free(peer);
}

static bool find_slot(struct rtci_hub *hub, uint32_t *ret_slot)
{
    for (*ret_slot = 0; *ret_slot < hub->cap_peers; (*ret_slot)++)
        if (!hub->peers[*ret_slot])
            return true;
    uint32_t cap = hub->cap_peers ? hub->cap_peers * 2 : 16;
    struct rtci_peer **peers = realloc(hub->peers, cap * sizeof(struct rtci_peer *));
    if (!peers)
        return false;
    memset(peers + hub->cap_peers, 0, (cap - hub->cap_peers) * sizeof(struct rtci_peer *));
    hub->peers = peers;
    hub->cap_peers = cap;
    return true;
}

static struct rtci_session *open_session(const struct rtci_hub *hub, uint64_t id)
{
    struct rtci_session_config config = {
        .id = id, .window = hub->config.window, .lease_ns = hub->config.lease_ns};
    return rtci_session_create(&config, hub->now_ns);
}

struct rtci_peer *rtci_peer_add(struct rtci_hub *hub, const char *user, uint32_t node,
                                const struct rtci_net_hello *hello)
{
    uint64_t half[2];
    struct rtci_peer *older = rtci_peer_of_node(hub, node);
    if (older)
        rtci_peer_remove(hub, older);
    struct rtci_peer *peer = calloc(1, sizeof(*peer));
    if (!peer || !find_slot(hub, &peer->slot) ||
        !(peer->session = open_session(hub, hello->session))) {
        free(peer);
        return NULL;
    }
    hub->peers[peer->slot] = peer;
    hub->n_peers++;
    peer->node = node;
    peer->session_id = hello->session;
    peer->instance = hello->instance;
    peer->hello = *hello;
    peer->fd = -1;
    peer->heard_ns = hub->now_ns;
    memcpy(peer->user, user, RTCI_USER_DIGITS);
    rtci_user_key(user, peer->key);
    halves(peer->key, half);
    if (rtci_map_set(&hub->keys, half[0], half[1], peer->slot) &&
        rtci_map_set(&hub->nodes, node, 0, peer->slot))
        return peer;
    rtci_peer_remove(hub, peer);
    return NULL;
}
