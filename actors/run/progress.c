#include "actors/run/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "actors/config/text.h"

#define WIDTH_USUAL 100u
#define BAR_WIDTH   20u

void run_seconds_text(double seconds, char *out, size_t size)
{
    unsigned long long s = seconds > 0 && seconds < 1e15 ? (unsigned long long)(seconds + 0.5) : 0;
    unsigned long long minutes = (s + 30) / 60;
    if (s < 120)
        snprintf(out, size, "%llu s", s);
    else if (s < 7200)
        snprintf(out, size, "%llu min", minutes);
    else if (s < 172800)
        snprintf(out, size, "%llu h %02llu min", minutes / 60, minutes % 60);
    else
        snprintf(out, size, "%llu days %llu h", s / 86400, s / 3600 % 24);
}

double run_progress_eta(const struct run_progress *p)
{
    uint64_t done = p->iteration > p->first ? p->iteration - p->first : 0;
    if (!done || p->iterations < p->iteration || !(p->seconds > 0))
        return NAN;
    return p->seconds / (double)done * (double)(p->iterations - p->iteration);
}

/* ---- The text ---- */

struct text {
    char *out;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(t->out + t->used, t->size - t->used, fmt, args);
    va_end(args);
    if (n > 0)
        t->used = t->used + (size_t)n < t->size ? t->used + (size_t)n : t->size - 1;
}

static void put_host(struct text *t, const struct run_progress *p)
{
    char used[24], all[24];
    if (isfinite(p->cpu))
        put(t, ", CPU %.0f %%", 100 * p->cpu);
    if (p->memory && p->memory_total)
        put(t, ", memory %s of %s", config_bytes_text(p->memory, used, sizeof(used)),
            config_bytes_text(p->memory_total, all, sizeof(all)));
    else if (p->memory)
        put(t, ", memory %s", config_bytes_text(p->memory, used, sizeof(used)));
}

static void put_rate(struct text *t, const struct run_progress *p)
{
    char left[32];
    double eta = run_progress_eta(p);
    if (isfinite(p->samples_per_second))
        put(t, ", %.0f samples/s", p->samples_per_second);
    if (isfinite(eta) && p->iteration < p->iterations) {
        run_seconds_text(eta, left, sizeof(left));
        put(t, ", %s left", left);
    }
}

static void put_returns(struct text *t, const struct run_progress *p)
{
    if (isfinite(p->episode_return))
        put(t, " return %.4g", p->episode_return);
    if (isfinite(p->episode_return) && isfinite(p->best_return))
        put(t, " (best %.4g)", p->best_return);
}

/* How many columns: a byte that goes on with a character is none. */
static size_t columns(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void cut(char *text, size_t width)
{
    size_t at = 0;
    for (size_t n = 0; text[at]; at++) {
        n += ((unsigned char)text[at] & 0xc0) != 0x80;
        if (n > width)
            break;
    }
    text[at] = 0;
}

/* [#######---] 12/200 return …; parts from the end are left out where it is narrow. */
static void put_terminal(struct text *t, const struct run_progress *p, unsigned width)
{
    size_t mark;
    unsigned done = p->iterations ? (unsigned)(BAR_WIDTH * p->iteration / p->iterations) : 0;
    if (width >= 80) {
        put(t, "[");
        for (unsigned i = 0; i < BAR_WIDTH; i++)
            put(t, "%c", i < done ? '#' : '-');
        put(t, "] ");
    }
    put(t, "%llu/%llu", (unsigned long long)p->iteration, (unsigned long long)p->iterations);
    put_returns(t, p);
    put_rate(t, p);
    mark = t->used;
    put_host(t, p);
    if (columns(t->out) > width)
        t->out[t->used = mark] = 0;
    mark = t->used;
    if (p->restarts)
        put(t, ", %u replaced", p->restarts);
    if (p->doing)
        put(t, ", %s", p->doing);
    if (columns(t->out) > width)
        t->out[t->used = mark] = 0;
    cut(t->out, width);
}

/* Scripts of users look for "loss: " and "lr: ". */
static void put_plain(struct text *t, const struct run_progress *p)
{
    put(t, "iteration %llu/%llu, %llu samples,", (unsigned long long)p->iteration,
        (unsigned long long)p->iterations, (unsigned long long)p->samples);
    put_returns(t, p);
    if (isfinite(p->loss))
        put(t, " loss: %.6g", p->loss);
    if (isfinite(p->lr))
        put(t, " lr: %.6g", p->lr);
    put_rate(t, p);
    put_host(t, p);
    if (p->restarts)
        put(t, ", %u replaced", p->restarts);
}

void run_progress_text(const struct run_progress *p, bool terminal, unsigned width, char *out,
                       size_t size)
{
    struct text t = {out, size, 0};
    out[0] = 0;
    if (terminal)
        put_terminal(&t, p, width);
    else
        put_plain(&t, p);
}

/* ---- The line ---- */

void run_line_open(struct run_line *line, FILE *file)
{
    struct winsize size;
    *line = (struct run_line){.file = file, .width = WIDTH_USUAL};
    line->terminal = isatty(fileno(file)) == 1;
    if (line->terminal && ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        line->width = size.ws_col - 1u; /* the last column would begin a new line */
}

static void clear(struct run_line *line)
{
    if (line->shown)
        fputs("\r\033[K", line->file);
    line->shown = false;
}

void run_line_show(struct run_line *line, const struct run_progress *p)
{
    char text[512];
    if (!line->terminal && line->told == p->iteration)
        return; /* one for each iteration */
    run_progress_text(p, line->terminal, line->width, text, sizeof(text));
    clear(line);
    fprintf(line->file, "%s%s", text, line->terminal ? "" : "\n");
    line->shown = line->terminal;
    line->told = p->iteration;
    fflush(line->file);
}

void run_line_note(struct run_line *line, const char *sentence)
{
    clear(line);
    fprintf(line->file, "%s\n", sentence);
    fflush(line->file);
}

void run_line_end(struct run_line *line, const struct run_progress *p, const char *folder,
                  const char *stopped)
{
    char took[32];
    clear(line);
    run_seconds_text(p->seconds, took, sizeof(took));
    fprintf(line->file, "%llu iterations, %llu samples in %s", (unsigned long long)p->iteration,
            (unsigned long long)p->samples, took);
    if (isfinite(p->episode_return))
        fprintf(line->file, ", return %.4g", p->episode_return);
    if (isfinite(p->best_return))
        fprintf(line->file, " (best %.4g)", p->best_return);
    fprintf(line->file, "; all of it is in %s\n", folder);
    if (stopped)
        fprintf(line->file, "Training stopped: %s\n", stopped);
    else
        fputs("Training completed\n", line->file);
    fflush(line->file);
}
