#include "runtime/node/transfer.h"
#include <stdlib.h>
#include <string.h>
/* TEMP */
struct fr { uint32_t kind, pad; struct rtci_blob blob; uint64_t pull, offset, size; };
struct pull { struct pull *next; uint64_t number; struct rtci_blob blob; char *dst; uint32_t source; uint64_t at, asked; };
struct rtci_transfer { struct rtci_transfer_ops o; void *a; uint64_t n; struct pull *first; };
struct rtci_transfer *rtci_transfer_create(const struct rtci_transfer_ops *o, void *a){ struct rtci_transfer *t = calloc(1,sizeof *t); t->o=*o; t->a=a; return t; }
#define CH 262144ull
static void ask(struct rtci_transfer *t, struct pull *p){ while (p->asked < p->blob.size && p->asked < p->at + 8*CH) { struct fr f={1,0,p->blob,p->number,p->asked,0}; f.size = p->blob.size-p->asked < CH ? p->blob.size-p->asked : CH; if (t->o.send(t->a,p->source,&f,sizeof f,NULL,0)) return; p->asked += f.size; } }
uint64_t rtci_transfer_pull(struct rtci_transfer *t, uint64_t now, const struct rtci_blob *b, void *dst, const uint32_t *s, uint32_t n){ (void)now;(void)n; struct pull *p=calloc(1,sizeof *p); *p=(struct pull){t->first,++t->n,*b,dst,s[0],0,0}; t->first=p; ask(t,p); return p->number; }
void rtci_transfer_stop(struct rtci_transfer *t, uint64_t p){(void)t;(void)p;}
void rtci_transfer_frame(struct rtci_transfer *t, uint64_t now, uint32_t n, const void *d, size_t s){ (void)now; struct fr f; if (s<sizeof f) return; memcpy(&f,d,sizeof f);
 if (f.kind==1) { const void *data; uint64_t size; if (!t->o.find(t->a,&f.blob,&data,&size)||f.offset+f.size>size) return; f.kind=2; t->o.send(t->a,n,&f,sizeof f,(const char*)data+f.offset,f.size); return; }
 for (struct pull **at=&t->first,*p;(p=*at);at=&p->next) { if (p->number!=f.pull) continue; memcpy(p->dst+f.offset,(const char*)d+sizeof f,f.size); p->at+=f.size; ask(t,p); if (p->at==p->blob.size){ *at=p->next; t->o.done(t->a,p->number,0); free(p);} return; } }
void rtci_transfer_tick(struct rtci_transfer *t, uint64_t now){(void)now; for(struct pull*p=t->first;p;p=p->next) ask(t,p);}
uint64_t rtci_transfer_deadline(struct rtci_transfer *t){(void)t;return UINT64_MAX;}
void rtci_transfer_node_gone(struct rtci_transfer *t, uint32_t n){(void)t;(void)n;}
void rtci_transfer_retry(struct rtci_transfer *t){(void)t;}
