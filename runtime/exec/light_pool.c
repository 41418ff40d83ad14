/* Memory of light actors: messages and control blocks come from pools and go back to them, and the
 * table finds a block by index. Chunks are freed only with the engine, so that a stale id can be
 * looked up at any time without a lock. */
#include <stdlib.h>
#include <string.h>

#include "runtime/exec/light_internal.h"

#define CHUNK      (64 * RTCI_KIB)
#define LARGE_SIZE 4096u /* a larger state is malloc'ed */

static const uint32_t sizes[RTCI_LIGHT_CLASSES] = {128, 192, 256,  320,  384,
                                                   512, 768, 1024, 2048, LARGE_SIZE};

static void depot_init(struct rtci_light_depot *depot, uint32_t size, uint32_t offset)
{
    pthread_mutex_init(&depot->lock, NULL);
    depot->size = size;
    depot->offset = offset;
    depot->per_stack = size <= 64 ? RTCI_LIGHT_MSG_STACK : size <= 512 ? 32 : 8;
}

void rtci_light_depots_init(struct rtci_light *light)
{
    depot_init(&light->messages, sizeof(struct rtci_light_msg), 0);
    /* The link of a free control block lies where nobody who holds a stale id looks. */
    for (size_t i = 0; i < RTCI_LIGHT_CLASSES; i++)
        depot_init(&light->blocks[i], sizes[i], offsetof(struct rtci_light_actor, out));
}

void rtci_light_depot_fini(struct rtci_light_depot *depot)
{
    for (void *chunk = depot->chunks, *next; chunk; chunk = next) {
        next = *(void **)chunk;
        free(chunk);
    }
    pthread_mutex_destroy(&depot->lock);
}

/* A stack of blocks never used before. The lock is held. */
static bool carve(struct rtci_light *light, struct rtci_light_depot *depot,
                  struct rtci_light_stack *stack)
{
    while (stack->n < depot->per_stack) {
        if ((size_t)(depot->end - depot->at) < depot->size) {
            if (stack->n)
                return true;
            char *chunk = aligned_alloc(64, CHUNK);
            if (!chunk)
                return false;
            *(void **)chunk = depot->chunks;
            depot->chunks = chunk;
            depot->at = chunk + 64;
            depot->end = chunk + CHUNK;
            atomic_fetch_add_explicit(&light->bytes, CHUNK, memory_order_relaxed);
        }
        /* From the end of the chunk down, so that the stack gives them out upwards. */
        depot->end -= depot->size;
        struct rtci_light_link *link = (struct rtci_light_link *)(depot->end + depot->offset);
        link->next = stack->first;
        stack->first = link;
        stack->n++;
    }
    return true;
}

static void *take(struct rtci_light *light, struct rtci_light_depot *depot,
                  struct rtci_light_cache *cache, bool *ret_fresh)
{
    if (!cache->now.n) {
        struct rtci_light_stack empty = cache->now;
        cache->now = cache->spare;
        cache->spare = empty;
    }
    if (!cache->now.n) {
        pthread_mutex_lock(&depot->lock);
        bool ok = true;
        if (depot->stacks) {
            cache->now = (struct rtci_light_stack){depot->stacks, depot->per_stack};
            depot->stacks = depot->stacks->next_stack;
        } else {
            ok = *ret_fresh = carve(light, depot, &cache->now);
        }
        pthread_mutex_unlock(&depot->lock);
        if (!ok)
            return NULL;
    }
    struct rtci_light_link *link = cache->now.first;
    cache->now.first = link->next;
    cache->now.n--;
    rtci_light_count(cache, 1);
    return (char *)link - depot->offset;
}

static void give(struct rtci_light_depot *depot, struct rtci_light_cache *cache, void *block)
{
    if (cache->now.n == depot->per_stack) {
        if (cache->spare.n == depot->per_stack) {
            pthread_mutex_lock(&depot->lock);
            cache->spare.first->next_stack = depot->stacks;
            depot->stacks = cache->spare.first;
            pthread_mutex_unlock(&depot->lock);
            cache->spare = (struct rtci_light_stack){NULL, 0};
        }
        struct rtci_light_stack full = cache->now;
        cache->now = cache->spare;
        cache->spare = full;
    }
    struct rtci_light_link *link = (struct rtci_light_link *)((char *)block + depot->offset);
    link->next = cache->now.first;
    cache->now.first = link;
    cache->now.n++;
    rtci_light_count(cache, -1);
}

struct rtci_light_msg *rtci_light_msg_fetch(struct rtci_light_ctx *ctx)
{
    bool fresh = false;
    if (!ctx->outside)
        return take(ctx->light, &ctx->light->messages, &ctx->messages, &fresh);
    pthread_mutex_lock(&ctx->lock);
    struct rtci_light_msg *msg = take(ctx->light, &ctx->light->messages, &ctx->messages, &fresh);
    pthread_mutex_unlock(&ctx->lock);
    return msg;
}

void rtci_light_msg_give(struct rtci_light_ctx *ctx, struct rtci_light_msg *msg)
{
    if (ctx->outside)
        pthread_mutex_lock(&ctx->lock);
    give(&ctx->light->messages, &ctx->messages, msg);
    if (ctx->outside)
        pthread_mutex_unlock(&ctx->lock);
}

/* Index and table entry of a block that is new. */
static bool enter_table(struct rtci_light *light, struct rtci_light_actor *a)
{
    memset(a, 0, sizeof(*a));
    uint32_t index = atomic_fetch_add_explicit(&light->n_slots, 1, memory_order_relaxed);
    if (index >= RTCI_LIGHT_ACTORS) {
        atomic_fetch_sub_explicit(&light->n_slots, 1, memory_order_relaxed);
        return false;
    }
    a->index = index;
    atomic_init(&a->word, 2 * light->lives * RTCI_LIGHT_ONE_GEN);
    uint32_t page = index / RTCI_LIGHT_PAGE;
    if (!atomic_load_explicit(&light->pages[page], memory_order_acquire)) {
        pthread_mutex_lock(&light->table_lock);
        if (!light->pages[page]) {
            struct rtci_light_actor *_Atomic *entries = calloc(RTCI_LIGHT_PAGE, sizeof(*entries));
            atomic_store_explicit(&light->pages[page], entries, memory_order_release);
            if (entries)
                atomic_fetch_add_explicit(&light->bytes, RTCI_LIGHT_PAGE * sizeof(*entries),
                                          memory_order_relaxed);
        }
        pthread_mutex_unlock(&light->table_lock);
        if (!light->pages[page])
            return false; /* the index is lost, which matters little by then */
    }
    atomic_store_explicit(&light->pages[page][index % RTCI_LIGHT_PAGE], a, memory_order_release);
    return true;
}

struct rtci_light_actor *rtci_light_find(struct rtci_light *light, rtci_light_id id)
{
    if (id.index >= RTCI_LIGHT_ACTORS || !(id.gen & 1))
        return NULL;
    struct rtci_light_actor *_Atomic *page =
        atomic_load_explicit(&light->pages[id.index / RTCI_LIGHT_PAGE], memory_order_acquire);
    return page ? atomic_load_explicit(&page[id.index % RTCI_LIGHT_PAGE], memory_order_acquire)
                : NULL;
}

static struct rtci_light_actor *block_of(struct rtci_light_ctx *ctx, uint8_t size_class)
{
    struct rtci_light *light = ctx->light;
    struct rtci_light_cache *cache = &ctx->blocks[size_class];
    bool fresh = false;
    struct rtci_light_actor *a = take(light, &light->blocks[size_class], cache, &fresh);
    if (!a || !fresh)
        return a;
    /* All of a new stack get their entries at once: later it cannot be told which are new. */
    uint32_t n = cache->now.n;
    cache->now.n = 0;
    rtci_light_count(cache, -1);
    struct rtci_light_link *rest = cache->now.first;
    cache->now.first = NULL;
    for (uint32_t i = 0; i <= n; i++) {
        struct rtci_light_link *next = rest ? rest->next : NULL;
        if (enter_table(light, a)) {
            a->size_class = size_class;
            rtci_light_count(cache, 1);
            give(&light->blocks[size_class], cache, a);
        }
        a = rest ? (void *)((char *)rest - light->blocks[size_class].offset) : NULL;
        rest = next;
    }
    if (!cache->now.n)
        return NULL;
    return take(light, &light->blocks[size_class], cache, &fresh);
}

struct rtci_light_actor *rtci_light_block_new(struct rtci_light_ctx *ctx, size_t state_size)
{
    size_t size = sizeof(struct rtci_light_actor) + state_size;
    bool large = size > LARGE_SIZE;
    uint8_t size_class = 0;
    while (!large && sizes[size_class] < size)
        size_class++;
    void *state = large ? calloc(1, state_size) : NULL;
    if (large && !state)
        return NULL;
    if (ctx->outside)
        pthread_mutex_lock(&ctx->lock);
    struct rtci_light_actor *a = block_of(ctx, size_class);
    if (ctx->outside)
        pthread_mutex_unlock(&ctx->lock);
    if (!a) {
        free(state);
        return NULL;
    }
    a->large = state;
    if (!large)
        memset(a + 1, 0, state_size);
    return a;
}

void rtci_light_block_free(struct rtci_light_ctx *ctx, struct rtci_light_actor *a)
{
    free(a->large);
    a->large = NULL;
    struct rtci_light_cache *cache = &ctx->blocks[a->size_class];
    if (ctx->outside)
        pthread_mutex_lock(&ctx->lock);
    if (RTCI_LIKELY(RTCI_LIGHT_GEN(atomic_load(&a->word)) < RTCI_LIGHT_GEN_MAX))
        give(&ctx->light->blocks[a->size_class], cache, a);
    else /* the next would be taken for an old one: it lies idle until the end */
        rtci_light_count(cache, -1);
    if (ctx->outside)
        pthread_mutex_unlock(&ctx->lock);
}
