/* What executors need of a driver on another host: its program, and its terminal.
 *
 * A node that lacks the program of a job asks; the head asks the driver's node, once for all, keeps
 * the answer while the job lives, and passes it on. Nothing of it is journalled: who waits asks
 * again. But that of a detached actor is needed when the driver has gone: it is journalled, and the
 * head's own node keeps the bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/core/head_internal.h"

static void tell(struct rtci_head_core *core, uint32_t node, uint32_t job,
                 const struct rtci_program *program)
{
    struct rtci_program *out = head_out(core, node, RTCI_R_PROGRAM, sizeof(*out));
    if (!out)
        return;
    struct rtci_rec rec = out->rec;
    *out = *program;
    out->rec = rec;
    out->job = job;
    if (program->job < core->n_jobs && !core->jobs[program->job].alive && !program->status)
        out->node = 1;
}

#define NS_PROGRAMS "rtc/programs" /* number of the job → struct rtci_program */

/* Each time it is asked for, once. */
static void keep(struct rtci_head_core *core, uint32_t number)
{
    struct job *job = &core->jobs[number];
    char key[16];
    if (job->program_kept || !job->detached)
        return;
    job->program_kept = true;
    snprintf(key, sizeof(key), "%u", number);
    head_kv_own(core, NS_PROGRAMS, key, job->program, sizeof(*job->program));
    struct rtci_program *out = head_out(core, 1, RTCI_R_PROGRAM, sizeof(*out));
    if (!out)
        return;
    struct rtci_rec rec = out->rec;
    *out = *job->program;
    out->rec = rec;
    out->rec.flags = RTCI_PROGRAM_KEEP;
    out->job = number;
}

static void recall(void *arg, const char *key, uint32_t key_len, const void *value, uint32_t size)
{
    struct rtci_head_core *core = arg;
    uint32_t number = 0;
    for (uint32_t i = 0; i < key_len; i++)
        number = number * 10 + (uint32_t)(key[i] - '0');
    struct job *job = number && number < core->n_jobs ? &core->jobs[number] : NULL;
    if (!job || !job->detached || job->program || size != sizeof(*job->program))
        return;
    job->program = malloc(size);
    RTCI_ASSERT(job->program);
    memcpy(job->program, value, size);
    job->program_kept = true;
}

void head_programs_recovered(struct rtci_head_core *core)
{
    rtci_head_core_kv_each(core, NS_PROGRAMS, recall, core);
}

void head_program_ended(struct rtci_head_core *core, uint32_t number)
{
    struct job *job = &core->jobs[number];
    char key[16];
    snprintf(key, sizeof(key), "%u", number);
    if (job->program_kept)
        head_kv_own(core, NS_PROGRAMS, key, NULL, 0);
    job->program_kept = false;
    head_program_forget(job);
}

void head_program_want(struct rtci_head_core *core, uint32_t node, const struct rtci_job_end *want)
{
    struct job *job = want->job < core->n_jobs ? &core->jobs[want->job] : NULL;
    if (!job || !job->used || !job->alive) {
        struct rtci_program none = {.job = want->job, .status = RTC_E_JOB_ENDED};
        tell(core, node, want->job, &none);
        return;
    }
    uint32_t from = job->origin ? job->origin : want->job;
    job = &core->jobs[from]; /* of a detached actor: that of the driver which made it */
    if (job->program) {
        tell(core, node, want->job, job->program);
        return;
    }
    if (!job->alive) {
        struct rtci_program none = {.job = want->job, .status = RTC_E_JOB_ENDED};
        tell(core, node, want->job, &none);
        return;
    }
    uint32_t i = 0;
    while (i < job->n_program_waits &&
           (job->program_waits[i].node != node || job->program_waits[i].job != want->job))
        i++;
    if (i == job->n_program_waits) {
        HEAD_GROW(job->program_waits, job->cap_program_waits, job->n_program_waits);
        job->program_waits[job->n_program_waits++] = (struct program_wait){node, want->job};
    }
    head_program_keep(core, from);
}

/* Asks for it, where it is not known yet: when the driver has gone it is too late. */
void head_program_keep(struct rtci_head_core *core, uint32_t number)
{
    const struct job *job = &core->jobs[number];
    if (job->program) {
        keep(core, number);
        return;
    }
    struct rtci_job_end *ask = head_out(core, job->node, RTCI_R_PROGRAM_WANT, sizeof(*ask));
    if (ask)
        ask->job = number;
}

void head_program(struct rtci_head_core *core, uint32_t node, const struct rtci_program *program)
{
    struct job *job = program->job < core->n_jobs ? &core->jobs[program->job] : NULL;
    if (!job || (!job->alive && !job->detached) || job->node != node)
        return;
    if (!program->status && !job->program) {
        job->program = malloc(sizeof(*job->program));
        RTCI_ASSERT(job->program);
        *job->program = *program;
        job->program->node = node;
        job->program->job = program->job;
    }
    if (job->program)
        keep(core, program->job);
    uint32_t n = job->n_program_waits;
    job->n_program_waits = 0;
    for (uint32_t i = 0; i < n; i++)
        tell(core, job->program_waits[i].node, job->program_waits[i].job,
             job->program ? job->program : program);
}

void head_program_forget(struct job *job)
{
    free(job->program);
    free(job->program_waits);
    job->program = NULL;
    job->program_waits = NULL;
    job->n_program_waits = job->cap_program_waits = 0;
}

/* Not that of a job whose driver is gone: nobody could tell it anew, and detached actors need it.
 */
void head_programs_again(struct rtci_head_core *core, uint32_t node)
{
    for (uint32_t i = 1; i < core->n_jobs; i++) {
        if (core->jobs[i].node != node || !core->jobs[i].alive)
            continue;
        free(core->jobs[i].program);
        core->jobs[i].program = NULL;
    }
}

void head_programs_settle(struct rtci_head_core *core, uint32_t node)
{
    for (uint32_t i = 1; i < core->n_jobs; i++) {
        const struct job *job = &core->jobs[i];
        if (job->node == node && job->alive && job->detached)
            head_program_keep(core, i);
    }
}

/* A line that a task printed on another host than its driver's. */
void head_log(struct rtci_head_core *core, const struct rtci_notice *line)
{
    struct job *job = line->job < core->n_jobs ? &core->jobs[line->job] : NULL;
    struct client *driver = job && job->alive ? head_client(core, job->driver) : NULL;
    if (!driver || driver->credit <= 0)
        return; /* it does not read: output is the lesser */
    void *out = head_out_client(core, driver, RTCI_R_LOG, line->rec.size);
    if (!out)
        return;
    memcpy(out, line, line->rec.size);
    driver->credit -= (int64_t)line->rec.size;
}
