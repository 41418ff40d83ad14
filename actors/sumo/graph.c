#include "actors/sumo/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

uint32_t graph_wants(void)
{
    return SUMO_BIT(SUMO_VEHICLE_POSITION_X) | SUMO_BIT(SUMO_VEHICLE_POSITION_Y) |
           SUMO_BIT(SUMO_VEHICLE_SPEED) | SUMO_BIT(SUMO_VEHICLE_ACCELERATION) |
           SUMO_BIT(SUMO_VEHICLE_ANGLE) | SUMO_BIT(SUMO_VEHICLE_LANE) |
           SUMO_BIT(SUMO_VEHICLE_LEADER) | SUMO_BIT(SUMO_VEHICLE_LEADER_GAP) |
           SUMO_BIT(SUMO_VEHICLE_MIN_GAP) | SUMO_BIT(SUMO_VEHICLE_TYPE);
}

void graph_free(struct graph *graph)
{
    free(graph->at);
    free(graph->row_of);
    *graph = (struct graph){0};
}

uint32_t graph_row(const struct graph *graph, uint32_t vehicle)
{
    return vehicle < graph->n_row_of ? graph->row_of[vehicle] : SUMO_NONE;
}

/* ---- Looking ---- */

/* Room for all that are there, and nobody has a row. */
static bool clear(struct graph *graph, const struct sumo_view *view)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < graph->n; i++)
        graph->row_of[graph->at[i].vehicle] = SUMO_NONE;
    graph->n = 0;
    if (view->n_vehicles > graph->room) {
        uint32_t room = 2 * view->n_vehicles;
        struct graph_vehicle *at = realloc(graph->at, room * sizeof(*at));
        if (!at)
            return false;
        graph->at = at;
        graph->room = room;
    }
    for (uint32_t i = 0; i < view->n_vehicles; i++)
        most = view->vehicle[i] >= most ? view->vehicle[i] + 1 : most;
    if (most > graph->n_row_of) {
        uint32_t *row_of = realloc(graph->row_of, 2 * (size_t)most * sizeof(*row_of));
        if (!row_of)
            return false;
        memset(row_of + graph->n_row_of, 0xff,
               (2 * (size_t)most - graph->n_row_of) * sizeof(*row_of));
        graph->row_of = row_of;
        graph->n_row_of = 2 * most;
    }
    return true;
}

static void take(struct graph_vehicle *v, const struct graph_rules *rules,
                 const struct sumo_view *view, uint32_t i)
{
    const double *const *column = view->vehicles;
    double lane = column[SUMO_VEHICLE_LANE][i];
    double angle = column[SUMO_VEHICLE_ANGLE][i] * (PI / 180);
    *v = (struct graph_vehicle){.vehicle = view->vehicle[i],
                                .type = (uint32_t)column[SUMO_VEHICLE_TYPE][i],
                                .x = column[SUMO_VEHICLE_POSITION_X][i],
                                .y = column[SUMO_VEHICLE_POSITION_Y][i],
                                .speed = column[SUMO_VEHICLE_SPEED][i],
                                .acceleration = column[SUMO_VEHICLE_ACCELERATION][i],
                                .sine = sin(angle),
                                .cosine = cos(angle),
                                .leader = SUMO_NONE,
                                .follower = SUMO_NONE,
                                .lane = SUMO_NONE};
    v->there = lane >= 0 && lane < rules->n_lanes && isfinite(v->x) && isfinite(v->y) &&
               isfinite(v->speed) && isfinite(v->acceleration) && isfinite(angle);
    if (!v->there)
        return;
    v->lane = (uint32_t)lane;
    const struct graph_lane *l = &rules->lanes[v->lane];
    v->place = l->n > 1 ? (double)l->index / (l->n - 1) : 0;
}

/* Who follows whom: of several that follow the same, the nearest is its follower. */
static void pair(struct graph *graph, const struct sumo_view *view)
{
    for (uint32_t i = 0; i < graph->n; i++) {
        struct graph_vehicle *v = &graph->at[i];
        double leader = view->vehicles[SUMO_VEHICLE_LEADER][i];
        uint32_t row = leader >= 0 ? graph_row(graph, (uint32_t)leader) : SUMO_NONE;
        if (!v->there || row == SUMO_NONE || row == i || !graph->at[row].there)
            continue;
        v->leader = row;
        v->gap =
            view->vehicles[SUMO_VEHICLE_LEADER_GAP][i] + view->vehicles[SUMO_VEHICLE_MIN_GAP][i];
        struct graph_vehicle *l = &graph->at[row];
        if (l->follower == SUMO_NONE || v->gap < graph->at[l->follower].gap)
            l->follower = i;
    }
}

bool graph_look(struct graph *graph, const struct graph_rules *rules, const struct sumo_view *view)
{
    if (!clear(graph, view))
        return false;
    graph->n = view->n_vehicles;
    for (uint32_t i = 0; i < graph->n; i++) {
        take(&graph->at[i], rules, view, i);
        graph->row_of[view->vehicle[i]] = i;
    }
    pair(graph, view);
    return true;
}

/* ---- Neighbours ---- */

struct nearest {
    uint32_t row[GRAPH_NEIGHBOURS_MAX];
    double square[GRAPH_NEIGHBOURS_MAX];
    uint32_t n, first; /* the first ones keep their places */
};

static void insert(struct nearest *near, uint32_t room, uint32_t row, double square)
{
    uint32_t at = near->n;
    if (at == room && (at == near->first || !(square < near->square[at - 1])))
        return;
    at = at == room ? at - 1 : at;
    for (; at > near->first && square < near->square[at - 1]; at--) {
        near->row[at] = near->row[at - 1];
        near->square[at] = near->square[at - 1];
    }
    near->row[at] = row;
    near->square[at] = square;
    near->n += near->n < room;
}

static void find(const struct graph *graph, const struct graph_rules *rules, uint32_t row,
                 struct nearest *near)
{
    const struct graph_vehicle *v = &graph->at[row];
    const uint32_t known[2] = {v->leader, v->follower};
    near->n = near->first = 0;
    for (int i = 0; i < 2 && near->n < rules->neighbours; i++) {
        if (known[i] != SUMO_NONE && (i == 0 || known[1] != known[0]))
            near->row[near->n++] = known[i];
    }
    near->first = near->n;
    for (uint32_t i = 0; i < graph->n; i++) {
        const struct graph_vehicle *o = &graph->at[i];
        if (i == row || i == known[0] || i == known[1] || !o->there)
            continue;
        double square = (o->x - v->x) * (o->x - v->x) + (o->y - v->y) * (o->y - v->y);
        if (!rules->within || square <= rules->radius * rules->radius)
            insert(near, rules->neighbours, i, square);
    }
}

/* ---- Columns ---- */

static void write_node(const struct graph_vehicle *v, double sine, double cosine, float *to)
{
    double a = v->acceleration;
    a = a < -5 ? -5 : a > 5 ? 5 : a;
    const double node[1 + GRAPH_NODE] = {1,     v->x / 1000, v->y / 1000, (v->speed - 15) / 5,
                                         a / 5, v->place,    v->sine,     v->cosine,
                                         sine,  cosine};
    for (uint32_t i = 0; i < 1 + GRAPH_NODE; i++)
        to[i] = (float)node[i];
    memset(to + 1 + GRAPH_NODE, 0, GRAPH_EDGE * sizeof(*to));
}

static void write_edge(const struct graph *graph, uint32_t from, uint32_t row, float *to)
{
    const struct graph_vehicle *v = &graph->at[from], *o = &graph->at[row];
    double dx = o->x - v->x, dy = o->y - v->y;
    to[0] = (float)((dx * v->sine + dy * v->cosine) / 100);
    to[1] = (float)((dy * v->sine - dx * v->cosine) / 100);
    to[2] = (float)((o->speed - v->speed) / 5);
    to[3] = v->leader == row ? 1.0f : o->leader == from ? -1.0f : 0.0f;
}

uint32_t graph_write(const struct graph *graph, const struct graph_rules *rules, uint32_t row,
                     double time, float *to)
{
    struct nearest near;
    double phase = 2 * PI * time / rules->period, sine = sin(phase), cosine = cos(phase);
    write_node(&graph->at[row], sine, cosine, to);
    find(graph, rules, row, &near);
    for (uint32_t i = 0; i < near.n; i++) {
        to += GRAPH_WIDTH;
        write_node(&graph->at[near.row[i]], sine, cosine, to);
        write_edge(graph, row, near.row[i], to + 1 + GRAPH_NODE);
    }
    return 1 + near.n;
}

/* ---- Safety ---- */

double graph_ttc(double gap, double speed, double leader_speed)
{
    double closing = speed - leader_speed;
    if (gap <= 0)
        return 0;
    double ttc = closing > 0 ? gap / closing : GRAPH_TTC_MAX;
    return ttc < GRAPH_TTC_MAX ? ttc : GRAPH_TTC_MAX;
}

double graph_drac(double gap, double speed, double leader_speed)
{
    double closing = speed - leader_speed;
    if (gap <= 0)
        return GRAPH_DRAC_MAX;
    double drac = closing > 0 ? closing * closing / (2 * gap) : 0;
    return drac < GRAPH_DRAC_MAX ? drac : GRAPH_DRAC_MAX;
}
