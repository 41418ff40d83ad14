#ifndef RTCI_NODE_TRANSFER_H
#define RTCI_NODE_TRANSFER_H
#include "runtime/wire/wire.h"
enum { RTCI_BLOB_OBJECT = 1, RTCI_BLOB_PROGRAM };
struct rtci_blob { uint32_t kind; struct rtci_id id; uint8_t hash[32]; uint64_t size; };
struct rtci_transfer;
struct rtci_transfer_ops { int (*send)(void *arg, uint32_t node, const void *head, size_t head_size, const void *data, size_t size);
 bool (*find)(void *arg, const struct rtci_blob *blob, const void **ret_data, uint64_t *ret_size);
 void (*done)(void *arg, uint64_t pull, int status); };
struct rtci_transfer *rtci_transfer_create(const struct rtci_transfer_ops *o, void *a);
uint64_t rtci_transfer_pull(struct rtci_transfer *t, uint64_t now, const struct rtci_blob *b, void *dst, const uint32_t *s, uint32_t n);
void rtci_transfer_stop(struct rtci_transfer *t, uint64_t p);
void rtci_transfer_frame(struct rtci_transfer *t, uint64_t now, uint32_t n, const void *d, size_t s);
void rtci_transfer_tick(struct rtci_transfer *t, uint64_t now);
uint64_t rtci_transfer_deadline(struct rtci_transfer *t);
void rtci_transfer_node_gone(struct rtci_transfer *t, uint32_t n);
void rtci_transfer_retry(struct rtci_transfer *t);
#endif
