/* Golden traces of the head core: scenes of events, and the text of every state change and of every
 * record that leaves. `test_trace SCENE` prints one; the test compares all with tests/trace/golden.
 * A trace that changes on purpose is written anew: test_trace --write FOLDER. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/core/core.h"
#include <rtc/error.h>

#define MS 1000000ull

struct scene {
    struct rtci_head_core *head;
    struct rtci_head_actions actions;
    struct rtci_buf journal; /* all of it, for a restart */
    uint64_t now_ns;
    struct rtci_buf says; /* from a node */
    FILE *out;
};

/* ---- Output ---- */

static bool print_actor(struct scene *s, uint32_t node, const struct rtci_rec *rec)
{
    const void *at = rec;
    switch (rec->type) {
    case RTCI_R_ACTOR_IS: {
        const struct rtci_actor_is *is = at;
        fprintf(s->out, "  -> node %u ACTOR_IS %u:%llu %s incarnation %u cause %u\n", node,
                is->id.client, (unsigned long long)is->id.seq, rtci_actor_state_name(is->state),
                is->incarnation, is->cause.kind);
        return true;
    }
    case RTCI_R_ACTOR_DOWN: {
        const struct rtci_actor_down *down = at;
        fprintf(s->out, "  -> node %u ACTOR_DOWN %llu cause %u: %s\n", node,
                (unsigned long long)down->monitor, down->cause.kind, down->cause.text);
        return true;
    }
    case RTCI_R_ACTOR_STOP:
    case RTCI_R_ACTOR_KILL: {
        const struct rtci_actor_end *end = at;
        fprintf(s->out, "  -> node %u %s slot %u incarnation %u\n", node, rtci_wire_name(rec->type),
                end->slot, end->incarnation);
        return true;
    }
    default: return false;
    }
}

static void print_record(struct scene *s, uint32_t node, const struct rtci_rec *rec)
{
    const void *at = rec;
    if (print_actor(s, node, rec))
        return;
    switch (rec->type) {
    case RTCI_R_ACTOR_START:
    case RTCI_R_TASK: {
        const struct rtci_spec *spec = at;
        fprintf(s->out, "  -> node %u %s %u:%llu attempt %u slot %u\n", node,
                rtci_wire_name(rec->type), spec->client, (unsigned long long)spec->seq,
                spec->attempt, spec->slot);
        break;
    }
    case RTCI_R_RESULT: {
        const struct rtci_done *done = at;
        fprintf(s->out, "  -> node %u RESULT %u:%llu status %d\n", node, done->client,
                (unsigned long long)done->seq, done->status);
        break;
    }
    case RTCI_R_SLOT_OPEN: {
        const struct rtci_slot_open *open = at;
        fprintf(s->out, "  -> node %u SLOT_OPEN %u cpu %u\n", node, open->slot, open->cpu);
        break;
    }
    case RTCI_R_SLOT_FREE:
    case RTCI_R_RECALL: {
        const struct rtci_slot_msg *msg = at;
        fprintf(s->out, "  -> node %u %s %u\n", node,
                rec->type == RTCI_R_RECALL ? "RECALL" : "SLOT_FREE", msg->slot);
        break;
    }
    case RTCI_R_CANCEL: {
        const struct rtci_cancel *cancel = at;
        fprintf(s->out, "  -> node %u CANCEL %u:%llu mode %u\n", node, cancel->id.client,
                (unsigned long long)cancel->id.seq, cancel->mode);
        break;
    }
    case RTCI_R_CLIENT_ID: {
        const struct rtci_client_id *id = at;
        fprintf(s->out, "  -> node %u CLIENT_ID token %u client %u job %u status %d\n", node,
                id->token, id->client, id->job, id->status);
        break;
    }
    case RTCI_R_TO_CLIENT:
        for (size_t in = sizeof(struct rtci_wrap); in < rec->size;) {
            const struct rtci_rec *inner = (const struct rtci_rec *)((const char *)at + in);
            print_record(s, node, inner);
            in += inner->size;
        }
        break;
    default:
        fprintf(s->out, "  -> node %u record %u of %u bytes\n", node, rec->type, rec->size);
        break;
    }
}

static void flush(struct scene *s)
{
    fprintf(s->out, "%.*s", (int)s->actions.trace.len, (const char *)s->actions.trace.data);
    for (uint32_t i = 0; i < s->actions.n_out; i++) {
        const struct rtci_out *out = &s->actions.out[i];
        for (size_t at = 0; at < out->buf.len;) {
            const struct rtci_rec *rec = (const struct rtci_rec *)(out->buf.data + at);
            print_record(s, out->node, rec);
            at += rec->size;
        }
    }
    rtci_buf_put(&s->journal, s->actions.persist.data, s->actions.persist.len);
    rtci_head_actions_clear(&s->actions);
}

/* ---- Events ---- */

static void *say(struct scene *s, uint16_t type, size_t size)
{
    size = RTCI_ALIGN8(size);
    struct rtci_rec *rec = rtci_buf_add(&s->says, size);
    RTCI_ASSERT(rec);
    memset(rec, 0, size);
    *rec = (struct rtci_rec){.size = (uint32_t)size, .type = type};
    return rec;
}

static void heard(struct scene *s, uint32_t node)
{
    s->now_ns += MS;
    fprintf(s->out, "%llu ms\n", (unsigned long long)(s->now_ns / MS));
    rtci_head_core_receive(s->head, s->now_ns, node, 1, s->says.data, s->says.len, &s->actions);
    rtci_head_core_tick(s->head, s->now_ns, &s->actions);
    rtci_head_core_check(s->head);
    rtci_buf_clear(&s->says);
    flush(s);
}

/* What follows is wrapped as said by the client. Returns where the wrapper stands. */
static size_t from(struct scene *s, uint32_t client)
{
    struct rtci_wrap *wrap = say(s, RTCI_R_FROM_CLIENT, sizeof(*wrap));
    wrap->client = client;
    return (size_t)((uint8_t *)wrap - s->says.data);
}

static void wrapped(struct scene *s, size_t at)
{
    ((struct rtci_wrap *)(s->says.data + at))->rec.size = (uint32_t)(s->says.len - at);
}

static void node(struct scene *s, uint32_t number, uint64_t cpu)
{
    rtci_head_core_node_up(s->head, s->now_ns, number, 1, &s->actions);
    struct rtci_node_hello *hello = say(s, RTCI_R_NODE_HELLO, sizeof(*hello));
    hello->incarnation = 1;
    hello->cpu = cpu;
    say(s, RTCI_R_NODE_READY, sizeof(struct rtci_rec));
    heard(s, number);
}

static void client(struct scene *s, uint32_t on, uint32_t token, uint32_t role, uint32_t job)
{
    struct rtci_client_new *new = say(s, RTCI_R_CLIENT_NEW, sizeof(*new));
    new->token = token;
    new->role = role;
    new->job = job;
    new->job_lo = token;
    heard(s, on);
}

static void shape(struct scene *s, uint32_t cpu)
{
    size_t at = from(s, 1);
    struct rtci_shape *out = say(s, RTCI_R_SHAPE, sizeof(*out));
    out->cpu = cpu;
    wrapped(s, at);
}

static void submit(struct scene *s, uint64_t seq, uint64_t dep, int32_t retries)
{
    uint32_t n_refs = dep ? 1 : 0;
    size_t at = from(s, 1);
    struct rtci_spec *spec =
        say(s, RTCI_R_SUBMIT,
            sizeof(*spec) + n_refs * (sizeof(struct rtci_id) + sizeof(struct rtci_arg)));
    spec->seq = seq;
    spec->client = 1;
    spec->function = 7;
    spec->n_returns = 1;
    spec->retries = retries;
    spec->n_refs = spec->n_args = n_refs;
    if (dep) {
        struct rtci_id *id = (struct rtci_id *)(spec + 1);
        *id = (struct rtci_id){dep, 1, 0};
        *(struct rtci_arg *)(id + 1) = (struct rtci_arg){RTCI_ARG_REF, 0};
    }
    wrapped(s, at);
}

static void done(struct scene *s, uint32_t executor, uint64_t seq, uint32_t attempt)
{
    size_t at = from(s, executor);
    struct rtci_done *out = say(s, RTCI_R_DONE, sizeof(*out) + sizeof(struct rtci_resolved) + 16);
    out->seq = seq;
    out->client = 1;
    out->attempt = attempt;
    out->n_returns = 1;
    out->run_ns = 1000;
    struct rtci_resolved *row = (struct rtci_resolved *)(out + 1);
    row->size = 16;
    row->offset = sizeof(*out) + sizeof(*row);
    wrapped(s, at);
}

static void release(struct scene *s, uint64_t seq, uint64_t count)
{
    size_t at = from(s, 1);
    struct rtci_range *range = say(s, RTCI_R_RELEASE, sizeof(*range));
    range->seq = seq;
    range->count = count;
    range->client = 1;
    range->index = RTCI_ALL_RETURNS;
    wrapped(s, at);
}

static void cancel(struct scene *s, uint64_t seq)
{
    size_t at = from(s, 1);
    struct rtci_cancel *out = say(s, RTCI_R_CANCEL, sizeof(*out));
    out->id = (struct rtci_id){seq, 1, 0};
    wrapped(s, at);
}

static void slot_lost(struct scene *s, uint32_t slot, uint64_t claimed, uint32_t attempt)
{
    struct rtci_slot_lost *lost = say(s, RTCI_R_SLOT_LOST, sizeof(*lost));
    lost->slot = slot;
    lost->code = RTC_E_CRASHED;
    lost->signal = 9;
    lost->pid = 77;
    lost->claimed = (struct rtci_id){claimed, 1, 0};
    lost->claimed_attempt = attempt;
}

/* ---- Scenes ---- */

static void setup(struct scene *s)
{
    struct rtci_head_config config = {.epoch = 1, .now_ns = s->now_ns, .seed = 1};
    RTCI_ASSERT(rtci_head_core_create(&config, &s->head) == 0);
    rtci_head_core_recovered(s->head, s->now_ns, 0);
    s->actions.trace_on = true;
    node(s, 1, 20000);
    client(s, 1, 1, RTCI_ROLE_DRIVER, 0);
    client(s, 1, RTCI_TOKEN_EXEC, RTCI_ROLE_EXECUTOR, 1);
    shape(s, 10000);
}

static void scene_chain(struct scene *s)
{
    submit(s, 1, 0, 0);
    submit(s, 2, 1, 0);
    submit(s, 3, 2, 0);
    heard(s, 1);
    done(s, 2, 1, 1);
    heard(s, 1);
    done(s, 2, 2, 1);
    heard(s, 1);
    done(s, 2, 3, 1);
    release(s, 1, 3);
    heard(s, 1);
}

/* The executor dies with a claimed task and one it has not begun: only the first pays a retry. */
static void scene_crash(struct scene *s)
{
    for (uint64_t seq = 1; seq <= 4; seq++)
        submit(s, seq, 0, 1);
    heard(s, 1);
    slot_lost(s, 1, 1, 1);
    heard(s, 1);
    slot_lost(s, 3, 1, 2);
    heard(s, 1);
}

static void scene_cancel(struct scene *s)
{
    submit(s, 1, 0, 0);
    submit(s, 2, 1, 0);
    heard(s, 1);
    cancel(s, 2);
    cancel(s, 1);
    heard(s, 1);
    done(s, 2, 1, 1); /* it ended before it heard */
    heard(s, 1);
}

/* An entry that was cancelled while it waited leaves nothing behind for the next of its index. */
static void scene_reuse(struct scene *s)
{
    submit(s, 1, 0, 0);
    submit(s, 2, 1, 0);
    heard(s, 1);
    cancel(s, 2);
    release(s, 2, 1);
    submit(s, 3, 0, 0);
    submit(s, 4, 3, 0); /* gets the index of 2, and waits for 3, not for 1 */
    heard(s, 1);
    done(s, 2, 1, 1);
    heard(s, 1);
    done(s, 2, 3, 1);
    heard(s, 1);
}

static void scene_node_lost(struct scene *s)
{
    node(s, 2, 20000);
    for (uint64_t seq = 1; seq <= 4; seq++)
        submit(s, seq, 0, seq == 4 ? 0 : 1);
    heard(s, 1);
    rtci_head_core_node_down(s->head, s->now_ns, 2, 1, "no heartbeat", &s->actions);
    heard(s, 1);
}

/* The head is killed; a new one replays, and its node comes back with slot 2, which runs task 2. */
static void restart(struct scene *s)
{
    rtci_head_core_destroy(s->head);
    fprintf(s->out, "the head dies\n");
    const char *why = NULL;
    struct rtci_head_config config = {.epoch = 2, .now_ns = s->now_ns, .seed = 1};
    RTCI_ASSERT(rtci_head_core_create(&config, &s->head) == 0);
    RTCI_ASSERT(rtci_head_core_replay(s->head, s->journal.data, s->journal.len, &why) == 0);
    rtci_head_core_recovered(s->head, s->now_ns, 1000 * MS);
    rtci_head_core_node_up(s->head, s->now_ns, 1, 1, &s->actions);
    struct rtci_node_hello *hello = say(s, RTCI_R_NODE_HELLO, sizeof(*hello));
    hello->incarnation = 1;
    hello->cpu = 20000;
    for (uint32_t number = 1; number <= 2; number++) {
        struct rtci_client_new *survivor = say(s, RTCI_R_CLIENT_NEW, sizeof(*survivor));
        survivor->client = number;
        survivor->job = 1;
        survivor->token = number == 1 ? 1 : RTCI_TOKEN_EXEC;
        survivor->role = number == 1 ? RTCI_ROLE_DRIVER : RTCI_ROLE_EXECUTOR;
    }
    struct rtci_slot_held *held =
        say(s, RTCI_R_SLOT_HELD, sizeof(*held) + sizeof(struct rtci_held));
    held->slot = 2;
    held->client = 2;
    held->n = 1;
    *(struct rtci_held *)(held + 1) = (struct rtci_held){{2, 1, 0}, 1, 1};
}

/* What a killed head committed is there again; what its rings hold counts before anything starts.
 */
static void scene_restart(struct scene *s)
{
    submit(s, 1, 0, 0);
    submit(s, 2, 0, 0);
    submit(s, 3, 1, 0);
    heard(s, 1);
    done(s, 2, 1, 1);
    heard(s, 1);
    restart(s);
    done(s, 2, 2, 1);
    say(s, RTCI_R_NODE_READY, sizeof(struct rtci_rec));
    heard(s, 1);
}

/* What was told to stop before the kill is told so again; what does not run any more has stopped.
 */
static void scene_cancel_restart(struct scene *s)
{
    submit(s, 1, 0, 0);
    submit(s, 2, 0, 0);
    heard(s, 1);
    cancel(s, 1);
    cancel(s, 2);
    heard(s, 1);
    restart(s);
    say(s, RTCI_R_NODE_READY, sizeof(struct rtci_rec));
    heard(s, 1);
}

/* The first of a ring was believed to run, and came back unclaimed: it is placed again. */
static void scene_returned(struct scene *s)
{
    submit(s, 1, 0, 0);
    heard(s, 1);
    struct rtci_cancel *started = say(s, RTCI_R_STARTED, sizeof(*started));
    started->id = (struct rtci_id){1, 1, 0};
    started->slot = started->attempt = 1;
    heard(s, 1);
    struct rtci_returned *returned =
        say(s, RTCI_R_RETURNED, sizeof(*returned) + sizeof(struct rtci_held));
    returned->slot = 1;
    returned->n = 1;
    *(struct rtci_held *)(returned + 1) = (struct rtci_held){{1, 1, 0}, 1, 0};
    heard(s, 1);
    done(s, 2, 1, 1);
    heard(s, 1);
}

static void actor_where(struct scene *s, uint64_t seq)
{
    size_t at = from(s, 1);
    struct rtci_actor_where *where = say(s, RTCI_R_ACTOR_WHERE, sizeof(*where));
    where->id = (struct rtci_id){seq, 1, 0};
    wrapped(s, at);
}

static void actor_up(struct scene *s, uint32_t executor, uint64_t seq, uint32_t incarnation)
{
    size_t at = from(s, executor);
    struct rtci_actor_up *up = say(s, RTCI_R_ACTOR_UP, sizeof(*up));
    up->id = (struct rtci_id){seq, 1, 0};
    up->incarnation = incarnation;
    wrapped(s, at);
    heard(s, 1);
}

/* Created, waits for an argument, lives, crashes, is restarted, and is stopped. */
static void scene_actor(struct scene *s)
{
    submit(s, 1, 0, 0);
    size_t at = from(s, 1);
    struct rtci_spec *spec =
        say(s, RTCI_R_ACTOR_CREATE,
            sizeof(*spec) + sizeof(struct rtci_id) + sizeof(struct rtci_actor_options));
    spec->seq = 2;
    spec->client = spec->n_refs = 1;
    spec->flags = RTCI_SPEC_ACTOR;
    spec->name_len = sizeof(struct rtci_actor_options);
    *(struct rtci_id *)(spec + 1) = (struct rtci_id){1, 1, 0};
    ((struct rtci_actor_options *)rtci_spec_options(spec))->max_restarts = 1;
    wrapped(s, at);
    actor_where(s, 2);
    at = from(s, 1);
    struct rtci_actor_monitor *monitor = say(s, RTCI_R_ACTOR_MONITOR, sizeof(*monitor));
    monitor->monitor = 7;
    monitor->id = (struct rtci_id){2, 1, 0};
    wrapped(s, at);
    heard(s, 1);
    done(s, 2, 1, 1);
    heard(s, 1);
    actor_up(s, 2, 2, 1);
    slot_lost(s, 2, 2, 1);
    heard(s, 1);
    client(s, 1, RTCI_TOKEN_EXEC + 1, RTCI_ROLE_EXECUTOR, 1);
    actor_where(s, 2);
    s->now_ns += 100 * MS;
    heard(s, 1);
    actor_up(s, 3, 2, 2);
    at = from(s, 1);
    struct rtci_actor_end *end = say(s, RTCI_R_ACTOR_STOP, sizeof(*end));
    end->id = (struct rtci_id){2, 1, 0};
    wrapped(s, at);
    heard(s, 1);
    slot_lost(s, 3, 2, 2);
    heard(s, 1);
    release(s, 1, 2);
    heard(s, 1);
}

static const struct {
    const char *name;
    void (*run)(struct scene *s);
} scenes[] = {
    {"chain", scene_chain},
    {"crash", scene_crash},
    {"cancel", scene_cancel},
    {"reuse", scene_reuse},
    {"node_lost", scene_node_lost},
    {"restart", scene_restart},
    {"actor", scene_actor},
    {"returned", scene_returned},
    {"cancel_restart", scene_cancel_restart},
};
#define N_SCENES (sizeof(scenes) / sizeof(scenes[0]))

static void run(size_t i, FILE *out)
{
    struct scene s = {.now_ns = 1000 * MS, .out = out};
    setup(&s);
    scenes[i].run(&s);
    rtci_head_core_destroy(s.head);
    rtci_head_actions_fini(&s.actions);
    rtci_buf_fini(&s.journal);
    rtci_buf_fini(&s.says);
}

static int compare(size_t i, const char *folder)
{
    char path[512], *text = NULL, *golden = NULL;
    size_t size = 0, len = 0;
    snprintf(path, sizeof(path), "%s/%s.txt", folder, scenes[i].name);
    FILE *out = open_memstream(&text, &size), *in = fopen(path, "r");
    if (!out || !in) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 1;
    }
    run(i, out);
    fclose(out);
    ssize_t n = getdelim(&golden, &len, 0, in);
    fclose(in);
    int differs = n != (ssize_t)size || memcmp(golden, text, size) != 0;
    if (differs)
        fprintf(stderr, "%s differs; now it is:\n%s", path, text);
    free(text);
    free(golden);
    return differs;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (size_t i = 0; i < N_SCENES; i++) {
        char path[512];
        if (argc == 3 && strcmp(argv[1], "--write") == 0) {
            snprintf(path, sizeof(path), "%s/%s.txt", argv[2], scenes[i].name);
            FILE *out = fopen(path, "w");
            if (!out)
                return 1;
            run(i, out);
            fclose(out);
        } else if (argc == 3 && strcmp(argv[1], "--compare") == 0) {
            failed += compare(i, argv[2]);
        } else if (argc == 2 && strcmp(argv[1], scenes[i].name) == 0) {
            run(i, stdout);
        }
    }
    if (argc < 2)
        fprintf(stderr, "usage: test_trace SCENE | --compare FOLDER | --write FOLDER\n");
    return failed || argc < 2;
}
