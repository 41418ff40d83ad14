/* Every limit of the runtime, named, in one place. A full queue is back-pressure, never growth. */
#ifndef RTCI_BASE_BOUNDS_H
#define RTCI_BASE_BOUNDS_H

#define RTCI_KIB (1024ULL)
#define RTCI_MIB (1024ULL * 1024)
#define RTCI_GIB (1024ULL * 1024 * 1024)

/* Messages */
#define RTCI_INLINE_MAX     (100 * RTCI_KIB) /* larger values go to the arena */
#define RTCI_RECORD_MAX     (1 * RTCI_MIB)   /* one record, header included */
#define RTCI_RING_BYTES     (4 * RTCI_MIB)   /* one direction of a channel; power of two */
#define RTCI_TURN_BYTES_MAX (1 * RTCI_MIB)   /* taken from one channel in one loop turn */
#define RTCI_CREDIT_BYTES   (2 * RTCI_MIB)   /* results pushed to a client and not yet read */
#define RTCI_INLINE_DEPS_MAX (512 * RTCI_KIB) /* resolved arguments shipped with a task */

/* Lanes: from process to process on one host */
#define RTCI_LANE_BYTES    (2 * RTCI_MIB)      /* one direction; power of two */
#define RTCI_LANE_WARM     (64 * RTCI_KIB)     /* so much of it is used where that is enough */
#define RTCI_LANES_MAX     1024                /* of one process */
#define RTCI_LANE_MEET_NS  (2 * RTCI_NS_PER_S) /* the handshake of one */

/* Tasks */
#define RTCI_REFS_MAX     16384 /* reference arguments of one task */
#define RTCI_ARGS_MAX     16384
#define RTCI_RETURNS_MAX  16384
#define RTCI_TASKS_MAX    (16u * 1024 * 1024) /* alive at the head */
#define RTCI_PREFETCH_MAX 256                 /* tasks a slot holds beyond the one it runs */
#define RTCI_PREFETCH_BYTES_MAX (1 * RTCI_MIB)
#define RTCI_PREFETCH_AHEAD_NS  400000        /* keep this much work queued at an executor */
#define RTCI_NAME_MAX     255
#define RTCI_ERROR_TEXT_MAX 512
#define RTCI_ERROR_LOG_MAX  2048 /* last log lines carried by an error */

/* Nodes, clients */
#define RTCI_NODES_MAX      16384
#define RTCI_CLIENTS_MAX    4096 /* local processes of one node */
#define RTCI_CUSTOM_MAX     16   /* custom resources in one request */
#define RTCI_LABELS_MAX     16
#define RTCI_EXEC_EXTRA_MAX 64   /* executors beyond the CPUs, for tasks blocked in get */

/* Actors, placement groups */
#define RTCI_BUNDLES_MAX        1024                    /* of one group */
#define RTCI_ACTOR_BACKOFF_NS   (100 * RTCI_NS_PER_MS)  /* before a restart, doubling … */
#define RTCI_ACTOR_BACKOFF_MAX_NS (10 * RTCI_NS_PER_S)  /* … up to this; forgotten after as long */
#define RTCI_ACTOR_STOP_NS      (30 * RTCI_NS_PER_S)    /* a graceful stop is then a kill */

#define RTCI_ACTOR_MAILBOX      65536                   /* calls waiting in an actor, if not said */
#define RTCI_FLIGHT_CALLS       2048                    /* of one caller, unanswered: their answers … */
#define RTCI_ANSWER_INLINE_MAX  (8 * RTCI_KIB)          /* … are kept for one that does not read */
#define RTCI_FLIGHT_BYTES       (256 * RTCI_KIB)        /* … and to one actor, their size */
#define RTCI_YIELDS_MAX         256                     /* values of a stream that nobody has read */
#define RTCI_STREAM_KEPT        (4 * RTCI_MIB)          /* … more of a light actor's: bytes kept */
#define RTCI_STREAMS_KEPT       (64 * RTCI_MIB)         /* … and for all streams of a host */

#define RTCI_COLLECTIVE_RANKS_MAX 64u /* of one group of processes */

/* Durable key-value store */
#define RTCI_KV_KEY_MAX   1024
#define RTCI_KV_VALUE_MAX (512 * RTCI_KIB)
#define RTCI_KV_TOTAL_MAX (1 * RTCI_GIB)

/* Times */
#define RTCI_NS_PER_MS 1000000ULL
#define RTCI_NS_PER_S  1000000000ULL
#define RTCI_EXEC_REGISTER_NS (10 * RTCI_NS_PER_S) /* executor must reach rtc_init() */
#define RTCI_EXEC_IDLE_NS     (60 * RTCI_NS_PER_S) /* surplus idle executors end */
#define RTCI_CANCEL_GRACE_NS  (2 * RTCI_NS_PER_S)  /* flag -> SIGTERM -> SIGKILL */
#define RTCI_LEASE_NS         (10 * RTCI_NS_PER_S) /* silent for so long: a node is dead */
#define RTCI_LEASE_MIN_NS     (2 * RTCI_NS_PER_S)
#define RTCI_LEASE_MAX_NS     (3600 * RTCI_NS_PER_S)
#define RTCI_SLOT_QUANTUM_NS  (10 * RTCI_NS_PER_MS) /* a class keeps a slot others wait for */

_Static_assert(RTCI_RECORD_MAX * 2 <= RTCI_RING_BYTES, "a ring holds two of the largest records");
_Static_assert(RTCI_CREDIT_BYTES + RTCI_RECORD_MAX <= RTCI_RING_BYTES, "credit fits the ring");
_Static_assert(RTCI_RECORD_MAX * 2 <= RTCI_LANE_BYTES, "who waits for room gets it");
_Static_assert(RTCI_INLINE_MAX < RTCI_RECORD_MAX, "an inline value fits a record");
_Static_assert((RTCI_RING_BYTES & (RTCI_RING_BYTES - 1)) == 0, "mirrored rings need a power of two");

#endif
