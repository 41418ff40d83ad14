/* Between the files of this module: groups whose members are on several hosts.
 *
 * On each host one member, the *leader*, speaks with those of other hosts; the rest is as on one host:
 * members stage in their slots, and take what the leader has made ready in its own. Letters between
 * leaders have the number of the call and of the round, and may come in any order. */
#ifndef RTCI_COLLECTIVE_HOSTS_H
#define RTCI_COLLECTIVE_HOSTS_H

#include "runtime/collective/segment.h"

#define ABSENT UINT32_MAX

enum letter_kind {
    LETTER_ENTER = 1, /* all members of host `index` are in the call: struct call, what they give */
    LETTER_PARTIAL,   /* reduced so far: for run `index` of the chain */
    LETTER_RESULT,    /* of a round, or what of it is for this host */
    LETTER_PIECE,     /* what the members of host `index` give */
    LETTER_LATE,      /* its sender waits for rank `index` in that call */
    LETTER_BREAK,     /* struct ending */
    LETTER_LEFT,      /* its sender did not enter that call, and will not */
};
struct ending {
    uint32_t kind, rank, other, pad;
    char text[192];
};

/* Neighbouring ranks that are on one host. */
struct run {
    uint32_t host, first, n;
};
struct hosts {
    struct rtci_hosts config;
    uint32_t n, own;         /* hosts; this one's number */
    uint32_t self, size;     /* rank, and members of the group */
    uint32_t leaders[RTCI_COLLECTIVE_RANKS_MAX]; /* of each host */
    uint32_t locals[RTCI_COLLECTIVE_RANKS_MAX];  /* rank -> place among the members of its host */
    uint32_t ranks[RTCI_COLLECTIVE_RANKS_MAX];   /* … of this host -> rank */
    uint32_t counts[RTCI_COLLECTIVE_RANKS_MAX];  /* of members, by host */
    struct run runs[RTCI_COLLECTIVE_RANKS_MAX];
    uint32_t n_runs;
    bool told; /* that somebody is late, in this call */
    uint64_t began_ns; /* the call */
    uint64_t looked_ns;
    uint32_t late[RTCI_COLLECTIVE_RANKS_MAX]; /* by host: whom it waits for … */
    uint64_t late_in[RTCI_COLLECTIVE_RANKS_MAX]; /* … in that call */
    struct rtci_letter *letters; /* that have come and are not used yet */
    uint32_t n_letters, cap_letters;
};

static inline uint32_t rank_of(const struct rtci_collective *c, uint32_t local)
{
    return c->hosts ? c->hosts->ranks[local] : local;
}
static inline uint32_t size_of_group(const struct rtci_collective *c)
{
    return c->hosts ? c->hosts->size : c->size;
}
static inline uint32_t pid_of(const struct rtci_collective *c, uint32_t rank)
{
    return c->hosts ? c->hosts->config.members[rank].pid : c->segment->members[rank].pid;
}
/* Who is to blame when this member of the host is waited for in vain. */
static inline uint32_t late_of(const struct rtci_collective *c, uint32_t local)
{
    uint32_t awaited = c->hosts && local == 0 ? atomic_load(&c->segment->elsewhere.awaited) : 0;
    return awaited ? awaited - 1 : rank_of(c, local);
}
static inline bool leads(const struct rtci_collective *c)
{
    return c->rank == 0;
}

/* ---- hosts.c ---- */
void hosts_tell_end(struct rtci_collective *c, const struct breakage *b);
void hosts_leave(struct rtci_collective *c);
/* While a member waits, for that rank: reads what others say, and looks whether those are there who are
 * needed. 0 or negative: the group is broken. */
int hosts_look(struct rtci_collective *c, uint32_t awaited) RTCI_MUST_USE;
/* The leader has nothing to do until something comes; local: from a member of this host, too. */
int hosts_wait(struct rtci_collective *c, bool local) RTCI_MUST_USE;
/* Reads what has come. */
int hosts_read(struct rtci_collective *c) RTCI_MUST_USE;
/* The letter of this call, if it has come. It stays there until it is thrown away. */
struct rtci_letter *hosts_find(struct rtci_collective *c, enum letter_kind kind, uint64_t round,
                               uint32_t index);
void hosts_throw(struct rtci_collective *c, struct rtci_letter *letter);
/* To the leader of a host; `parcel`: NULL, or what it brings. */
int hosts_send(struct rtci_collective *c, uint32_t host, enum letter_kind kind, uint64_t round,
               uint32_t index, struct rtci_parcel *parcel) RTCI_MUST_USE;
/* Memory for what is to go to other hosts. */
int hosts_parcel(struct rtci_collective *c, size_t size, struct rtci_parcel **ret) RTCI_MUST_USE;
/* The bridge failed. */
int hosts_failed(struct rtci_collective *c, int rc);

/* ---- calls.c: calls of a group on several hosts ---- */
struct span hosts_span_of(const struct job *job, size_t k); /* of what each has, in a round */
/* Elements that a member gives in a round. */
size_t hosts_given(const struct rtci_collective *c, enum call_kind kind, size_t n);
/* What came of a round, out of the leader's slot or whatever has the same. */
void hosts_take_out(const struct rtci_collective *c, const struct job *job, enum call_kind kind,
                    struct span span, const char *from);
/* What a member of this host gives in a round. */
const char *hosts_gift(const struct rtci_collective *c, const struct job *job, enum call_kind kind,
                       size_t k, uint32_t rank);
/* This member has staged its part of a round. */
void hosts_open_slot(struct rtci_collective *c, const struct job *job, enum call_kind kind, size_t k);
/* All of this host are there: told to the others; small: with what they give. */
int hosts_enter_call(struct rtci_collective *c, const struct job *job, enum call_kind kind,
                     bool small) RTCI_MUST_USE;
/* All of that host are there, and give so many bytes each: in the same call? */
int hosts_compare_entry(struct rtci_collective *c, const struct rtci_letter *letter, size_t bytes,
                        uint32_t host) RTCI_MUST_USE;
int hosts_call(struct rtci_collective *c, enum call_kind kind, struct job *job,
               uint64_t deadline_ns) RTCI_MUST_USE;

/* ---- flow.c ---- */
int hosts_lead_large(struct rtci_collective *c, const struct job *job,
                     enum call_kind kind) RTCI_MUST_USE;

#endif
