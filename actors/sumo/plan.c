#include "actors/sumo/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOPS_MAX 16u /* from a signal to the next one */

struct maker {
    struct sumo_sim *sim;
    struct sumo_plan *plan;
    struct plan_list lanes; /* numbers of the simulation; their place is the plan's */
    char *why;
};

static int fail(struct maker *m, int code)
{
    snprintf(m->why, SUMO_WHY_MAX, "%s",
             code == RTC_E_NOMEM ? "out of memory" : sumo_sim_error(m->sim));
    return code;
}

/* ---- Lists ---- */

static uint32_t place_of(const struct plan_list *list, uint32_t number)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (list->at[i] == number)
            return i;
    }
    return SUMO_NONE;
}

/* Where it stands now; SUMO_NONE: no memory. */
static uint32_t add(struct plan_list *list, uint32_t number)
{
    uint32_t place = place_of(list, number);
    if (place != SUMO_NONE)
        return place;
    if (list->n == list->room) {
        uint32_t room = list->room ? list->room * 2 : 8;
        uint32_t *at = realloc(list->at, room * sizeof(*at));
        if (!at)
            return SUMO_NONE;
        list->at = at;
        list->room = room;
    }
    list->at[list->n] = number;
    return list->n++;
}

static bool add_all(struct plan_list *list, const struct plan_list *more)
{
    for (uint32_t i = 0; i < more->n; i++) {
        if (add(list, more->at[i]) == SUMO_NONE)
            return false;
    }
    return true;
}

/* ---- Which signals ---- */

static int add_signal(struct maker *m, uint32_t number)
{
    struct sumo_plan *plan = m->plan;
    for (uint32_t i = 0; i < plan->n_signals; i++) {
        if (plan->signals[i].number == number) {
            snprintf(m->why, SUMO_WHY_MAX, "signal '%s' is named twice", plan->signals[i].id);
            return RTC_E_INVALID;
        }
    }
    struct plan_signal *signal = &plan->signals[plan->n_signals];
    signal->number = number;
    signal->id = strdup(sumo_sim_signal_name(m->sim, number));
    if (!signal->id)
        return fail(m, RTC_E_NOMEM);
    plan->n_signals++;
    return 0;
}

static int choose_signals(struct maker *m, const char *ids)
{
    uint32_t n = sumo_sim_n_signals(m->sim), number = 0;
    if (n == 0) {
        snprintf(m->why, SUMO_WHY_MAX,
                 "the net has no traffic signals: give one that has, or let netconvert make them "
                 "(--tls.guess, or type=\"traffic_light\" for nodes)");
        return RTC_E_INVALID;
    }
    m->plan->signals = calloc(n, sizeof(*m->plan->signals));
    if (!m->plan->signals)
        return fail(m, RTC_E_NOMEM);
    int rc = 0;
    if (!ids || !*ids) {
        for (uint32_t i = 0; i < n && !rc; i++)
            rc = add_signal(m, i);
        return rc;
    }
    for (const char *at = ids; *at && !rc;) {
        char id[512];
        size_t size = strcspn(at, ",");
        snprintf(id, sizeof(id), "%.*s", (int)(size < sizeof(id) ? size : sizeof(id) - 1), at);
        rc = sumo_sim_signal(m->sim, id, &number);
        rc = rc ? fail(m, rc) : add_signal(m, number);
        at += size + (at[size] == ',');
    }
    return rc;
}

/* ---- Greens and yellows ---- */

static bool is_green(const char *state)
{
    return !strchr(state, 'y') && strspn(state, "rs") != strlen(state);
}

/* What goes is stopped by yellow, where the next one stops it; the rest stays. */
static char *yellow_between(const char *from, const char *to)
{
    char *made = strdup(from);
    for (size_t i = 0; made && made[i]; i++) {
        if ((from[i] == 'G' || from[i] == 'g') && (to[i] == 'r' || to[i] == 's'))
            made[i] = 'y';
    }
    return made;
}

static int take_program(struct maker *m, struct plan_signal *signal,
                        const struct sumo_program *program)
{
    signal->greens = calloc(program->n_phases + 1, sizeof(*signal->greens));
    signal->program = strdup(program->id);
    if (!signal->greens || !signal->program)
        return fail(m, RTC_E_NOMEM);
    for (uint32_t i = 0; i < program->n_phases; i++) {
        const char *state = program->phases[i].state;
        if (!is_green(state))
            continue;
        if (!(signal->greens[signal->n_greens].state = strdup(state)))
            return fail(m, RTC_E_NOMEM);
        signal->n_greens++;
    }
    if (signal->n_greens == 0 || signal->n_greens > PLAN_GREENS_MAX) {
        snprintf(m->why, SUMO_WHY_MAX,
                 "signal '%s': of the %u phases of its program '%s' %u show green and no yellow; "
                 "there must be 1 to %u: mend the program in the net, or name the signals to "
                 "control without this one",
                 signal->id, program->n_phases, program->id, signal->n_greens, PLAN_GREENS_MAX);
        return RTC_E_INVALID;
    }
    uint32_t n = signal->n_greens;
    signal->yellows = calloc((size_t)n * n, sizeof(*signal->yellows));
    for (uint32_t i = 0; signal->yellows && i < n * n; i++) {
        const char *from = signal->greens[i / n].state, *to = signal->greens[i % n].state;
        if (!(signal->yellows[i] = yellow_between(from, to)))
            return fail(m, RTC_E_NOMEM);
    }
    return signal->yellows ? 0 : fail(m, RTC_E_NOMEM);
}

static int take_phases(struct maker *m, struct plan_signal *signal)
{
    struct sumo_program *programs;
    uint32_t n, zero = 0;
    int rc = sumo_sim_programs(m->sim, signal->number, &programs, &n);
    if (rc != 0)
        return fail(m, rc);
    for (uint32_t i = n; i > 0; i--)
        zero = strcmp(programs[i - 1].id, "0") == 0 ? i - 1 : zero;
    if (n == 0) {
        snprintf(m->why, SUMO_WHY_MAX, "signal '%s' has no program", signal->id);
        rc = RTC_E_INVALID;
    } else {
        rc = take_program(m, signal, &programs[zero]);
    }
    sumo_programs_free(programs, n);
    return rc;
}

/* ---- Lanes ---- */

static int take_in_lanes(struct maker *m, struct plan_signal *signal, const struct sumo_link *links,
                         uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t lane = links[i].from == SUMO_NONE ? SUMO_NONE : add(&m->lanes, links[i].from);
        if (links[i].from != SUMO_NONE &&
            (lane == SUMO_NONE || add(&signal->lanes, lane) == SUMO_NONE))
            return fail(m, RTC_E_NOMEM);
    }
    return 0;
}

/* The lanes of signals that come next behind a lane, itself among them. Other than `own`'s: a way
 * that turns round leads back. */
static int find_next(struct maker *m, uint32_t from, const struct plan_signal *own,
                     struct plan_list *next)
{
    struct plan_list seen = {0};
    uint32_t ends[HOPS_MAX + 1] = {0}; /* of the lanes that are so many hops away */
    int rc = add(&seen, from) == SUMO_NONE ? fail(m, RTC_E_NOMEM) : 0;
    uint32_t done = 0;
    ends[0] = seen.n;
    for (uint32_t hop = 0; hop < HOPS_MAX && done < seen.n && !rc; hop++) {
        for (; done < ends[hop] && !rc; done++) {
            struct sumo_next *lanes;
            uint32_t n, place = place_of(&m->lanes, seen.at[done]);
            if (place < m->plan->n_in) {
                if (place_of(&own->lanes, place) == SUMO_NONE && add(next, place) == SUMO_NONE)
                    rc = fail(m, RTC_E_NOMEM);
                continue;
            }
            if ((rc = sumo_sim_lane_next(m->sim, seen.at[done], &lanes, &n)) != 0) {
                rc = fail(m, rc);
                continue;
            }
            for (uint32_t i = 0; i < n; i++)
                rc = add(&seen, lanes[i].lane) == SUMO_NONE ? fail(m, RTC_E_NOMEM) : rc;
            free(lanes);
        }
        ends[hop + 1] = seen.n;
    }
    free(seen.at);
    return rc;
}

static size_t edge_size(const char *lane)
{
    const char *end = strrchr(lane, '_');
    return end ? (size_t)(end - lane) : strlen(lane);
}

static bool same_edge(struct sumo_sim *sim, uint32_t a, uint32_t b)
{
    const char *x = sumo_sim_lane_name(sim, a), *y = sumo_sim_lane_name(sim, b);
    return edge_size(x) == edge_size(y) && strncmp(x, y, edge_size(x)) == 0;
}

/* The movement of a link: that of an earlier one between the same edges, or a new one. */
static struct plan_movement *movement_of(struct maker *m, struct plan_signal *signal,
                                         const struct sumo_link *links, uint32_t i,
                                         uint32_t *movements)
{
    for (uint32_t k = 0; k < i; k++) {
        if (links[k].from != SUMO_NONE && links[k].to != SUMO_NONE &&
            same_edge(m->sim, links[k].from, links[i].from) &&
            same_edge(m->sim, links[k].to, links[i].to)) {
            movements[i] = movements[k];
            return &signal->movements[movements[k]];
        }
    }
    movements[i] = signal->n_movements++;
    return &signal->movements[movements[i]];
}

/* Does the green let the link go, in the sense of struct plan_green? */
static bool lets_go(const struct plan_green *green, uint32_t index)
{
    if (index >= strlen(green->state))
        return false;
    return green->state[index] == (strchr(green->state, 'G') ? 'G' : 'g');
}

/* Where a lane goes that the green lets go: straight on, if it may; else wherever it may. */
static bool is_main(const struct plan_green *green, const struct sumo_link *links,
                    const char *directions, uint32_t n, uint32_t i)
{
    for (uint32_t k = 0; k < n && directions[i] != 's'; k++) {
        if (links[k].from == links[i].from && directions[k] == 's' &&
            lets_go(green, links[k].index))
            return false;
    }
    return lets_go(green, links[i].index);
}

static int take_directions(struct maker *m, const struct sumo_link *links, uint32_t n,
                           char *directions)
{
    int rc = 0;
    for (uint32_t i = 0; i < n && !rc; i++) {
        struct sumo_next *next;
        uint32_t n_next;
        directions[i] = '?';
        if (links[i].from == SUMO_NONE)
            continue;
        if ((rc = sumo_sim_lane_next(m->sim, links[i].from, &next, &n_next)) != 0)
            return fail(m, rc);
        for (uint32_t k = 0; k < n_next; k++)
            directions[i] = next[k].lane == links[i].to ? next[k].direction : directions[i];
        free(next);
    }
    return rc;
}

static int take_link(struct maker *m, struct plan_signal *signal, const struct sumo_link *links,
                     const char *directions, uint32_t n, uint32_t i, uint32_t *movements)
{
    const struct sumo_link *link = &links[i];
    struct plan_list next = {0};
    uint32_t in = place_of(&m->lanes, link->from), out = add(&m->lanes, link->to);
    struct plan_movement *movement = movement_of(m, signal, links, i, movements);
    int rc = out == SUMO_NONE ? fail(m, RTC_E_NOMEM) : find_next(m, link->to, signal, &next);
    bool good = rc == 0 && add(&movement->lanes, in) != SUMO_NONE &&
                add_all(&movement->next, &next) && add_all(&signal->nexts, &next);
    /* sumo-rl looks at the first link of each index */
    if (good && (i == 0 || links[i - 1].index != link->index))
        good = add(&signal->outs, out) != SUMO_NONE;
    for (uint32_t k = 0; good && k < signal->n_greens; k++) {
        struct plan_green *green = &signal->greens[k];
        if (lets_go(green, link->index))
            good = add(&green->lanes, in) != SUMO_NONE;
        if (good && is_main(green, links, directions, n, i))
            good = add_all(&green->next, &next);
    }
    free(next.at);
    return rc ? rc : good ? 0 : fail(m, RTC_E_NOMEM);
}

static int take_links(struct maker *m, struct plan_signal *signal, const struct sumo_link *links,
                      uint32_t n)
{
    uint32_t *movements = calloc((size_t)n + 1, sizeof(*movements));
    char *directions = calloc((size_t)n + 1, 1);
    signal->movements = calloc((size_t)n + 1, sizeof(*signal->movements));
    int rc = movements && directions && signal->movements ? 0 : fail(m, RTC_E_NOMEM);
    if (rc == 0)
        rc = take_directions(m, links, n, directions);
    for (uint32_t i = 0; i < n && !rc; i++) {
        if (links[i].from != SUMO_NONE && links[i].to != SUMO_NONE)
            rc = take_link(m, signal, links, directions, n, i, movements);
    }
    free(movements);
    free(directions);
    return rc;
}

static int measure_lanes(struct maker *m)
{
    struct sumo_plan *plan = m->plan;
    double speed;
    plan->n_lanes = m->lanes.n;
    plan->lanes = m->lanes.at;
    m->lanes = (struct plan_list){0};
    plan->n_at = sumo_sim_n_lanes(m->sim);
    plan->lengths = calloc((size_t)plan->n_lanes + 1, sizeof(*plan->lengths));
    plan->owners = malloc(((size_t)plan->n_lanes + 1) * sizeof(*plan->owners));
    plan->at = malloc(((size_t)plan->n_at + 1) * sizeof(*plan->at));
    if (!plan->lengths || !plan->owners || !plan->at)
        return fail(m, RTC_E_NOMEM);
    memset(plan->at, 0xff, plan->n_at * sizeof(*plan->at)); /* SUMO_NONE */
    memset(plan->owners, 0xff, plan->n_lanes * sizeof(*plan->owners));
    for (uint32_t i = 0; i < plan->n_lanes; i++) {
        plan->at[plan->lanes[i]] = i;
        int rc = sumo_sim_lane_geometry(m->sim, plan->lanes[i], &plan->lengths[i], &speed);
        if (rc != 0)
            return fail(m, rc);
    }
    for (uint32_t k = plan->n_signals; k > 0; k--) {
        const struct plan_list *lanes = &plan->signals[k - 1].lanes;
        for (uint32_t i = 0; i < lanes->n; i++)
            plan->owners[lanes->at[i]] = k - 1;
    }
    return 0;
}

/* First the lanes that lead to any of the signals, then what lies behind them. */
static int take_lanes(struct maker *m)
{
    struct sumo_plan *plan = m->plan;
    struct sumo_link **links = calloc(plan->n_signals, sizeof(*links));
    uint32_t *n = calloc(plan->n_signals, sizeof(*n));
    int rc = links && n ? 0 : fail(m, RTC_E_NOMEM);
    for (uint32_t k = 0; k < plan->n_signals && !rc; k++) {
        rc = sumo_sim_links(m->sim, plan->signals[k].number, &links[k], &n[k]);
        rc = rc ? fail(m, rc) : take_in_lanes(m, &plan->signals[k], links[k], n[k]);
    }
    plan->n_in = m->lanes.n;
    for (uint32_t k = 0; k < plan->n_signals && !rc; k++)
        rc = take_links(m, &plan->signals[k], links[k], n[k]);
    if (rc == 0 && (rc = measure_lanes(m)) == 0 &&
        (rc = sumo_plan_maps(plan, m->sim, links, n)) != 0)
        fail(m, rc);
    for (uint32_t k = 0; links && k < plan->n_signals; k++)
        free(links[k]);
    free(links);
    free(n);
    return rc;
}

int sumo_plan_make(struct sumo_sim *sim, const char *ids, struct sumo_plan **ret_plan, char *why)
{
    struct maker m = {.sim = sim, .why = why, .plan = calloc(1, sizeof(*m.plan))};
    if (!m.plan)
        return fail(&m, RTC_E_NOMEM);
    int rc = choose_signals(&m, ids);
    for (uint32_t k = 0; k < m.plan->n_signals && !rc; k++)
        rc = take_phases(&m, &m.plan->signals[k]);
    if (rc == 0)
        rc = take_lanes(&m);
    free(m.lanes.at);
    if (rc != 0)
        sumo_plan_free(&m.plan);
    else
        *ret_plan = m.plan;
    return rc;
}

static void free_signal(struct plan_signal *signal)
{
    for (uint32_t i = 0; signal->yellows && i < signal->n_greens * signal->n_greens; i++)
        free(signal->yellows[i]);
    for (uint32_t i = 0; i < signal->n_greens; i++) {
        free(signal->greens[i].state);
        free(signal->greens[i].lanes.at);
        free(signal->greens[i].next.at);
    }
    for (uint32_t i = 0; i < signal->n_movements; i++) {
        free(signal->movements[i].lanes.at);
        free(signal->movements[i].next.at);
    }
    free(signal->yellows);
    free(signal->program);
    free(signal->greens);
    free(signal->movements);
    free(signal->link_lanes);
    free(signal->lanes.at);
    free(signal->outs.at);
    free(signal->nexts.at);
    free(signal->id);
}

void sumo_plan_free(struct sumo_plan **at)
{
    struct sumo_plan *plan = *at;
    if (!plan)
        return;
    for (uint32_t i = 0; i < plan->n_signals; i++)
        free_signal(&plan->signals[i]);
    free(plan->signals);
    free(plan->lanes);
    free(plan->lengths);
    free(plan->owners);
    free(plan->at);
    free(plan->inside);
    free(plan->signal_at);
    free(plan);
    *at = NULL;
}
