#include "actors/sumo/sense.h"

#include <stdlib.h>
#include <string.h>

#define SUMS      8 /* of lanes, made anew with each look; then those of signals, then entries */
#define BY_SIGNAL 3
#define STANDING  0.1 /* m/s, SUMO's */

struct sense_vehicle {
    uint32_t stay;  /* number + 1 of its first stay on a lane; 0: none */
    uint32_t lane;  /* number + 1 of that it was last seen on */
    uint32_t look;  /* in which it was last detected */
    uint32_t owner; /* by which signal */
    double wait;    /* RESCO's; 0: was not seen standing */
};
struct sense_stay {      /* of a vehicle on a lane */
    uint32_t lane, next; /* number + 1 */
    double waited;
};

/* Numbers that begin at 0 with each look. */
static size_t cleared(const struct sumo_plan *plan)
{
    return (size_t)SUMS * plan->n_lanes + (size_t)BY_SIGNAL * plan->n_signals;
}

bool sense_make(struct sense *s, const struct sumo_plan *plan, uint32_t parts, double distance)
{
    double **sums[SUMS] = {&s->waiting,  &s->shares,     &s->seen,  &s->queue,
                           &s->approach, &s->total_wait, &s->speed, &s->coming};
    *s = (struct sense){.plan = plan, .parts = parts, .distance = distance};
    double **of_signals[BY_SIGNAL] = {&s->delays, &s->inside, &s->blocked};
    double *at = calloc(cleared(plan) + plan->n_lanes + 1, sizeof(double));
    s->memory = at;
    for (size_t i = 0; at && i < SUMS; i++, at += plan->n_lanes)
        *sums[i] = at;
    for (size_t i = 0; at && i < BY_SIGNAL; i++, at += plan->n_signals)
        *of_signals[i] = at;
    s->entries = at;
    return at != NULL;
}

void sense_free(struct sense *s)
{
    free(s->memory);
    free(s->of);
    free(s->stays);
    *s = (struct sense){0};
}

struct sumo_wants sense_wants(const struct sense *s)
{
    struct sumo_wants wants = {
        .lanes = s->plan->lanes, .n_lanes = s->plan->n_lanes, .n_vehicle_lanes = s->plan->n_in};
    if (s->parts & SENSE_ENTRIES)
        wants.vehicle_vars = SUMO_BIT(SUMO_VEHICLE_LANE);
    if (s->parts & SENSE_COUNTS)
        wants.lane_vars =
            SUMO_BIT(SUMO_LANE_VEHICLES) | SUMO_BIT(SUMO_LANE_HALTING) | SUMO_BIT(SUMO_LANE_LENGTH);
    if (s->parts & SENSE_WAITING)
        wants.vehicle_vars |=
            SUMO_BIT(SUMO_VEHICLE_LANE) | SUMO_BIT(SUMO_VEHICLE_ACCUMULATED_WAITING);
    if (s->parts & SENSE_SPEED)
        wants.vehicle_vars |= SUMO_BIT(SUMO_VEHICLE_LANE) | SUMO_BIT(SUMO_VEHICLE_SPEED) |
                              SUMO_BIT(SUMO_VEHICLE_ALLOWED_SPEED);
    if (s->parts & SENSE_DELAY) {
        wants.vehicle_vars |=
            SUMO_BIT(SUMO_VEHICLE_LANE) | SUMO_BIT(SUMO_VEHICLE_SPEED) |
            SUMO_BIT(SUMO_VEHICLE_ALLOWED_SPEED) | SUMO_BIT(SUMO_VEHICLE_NEXT_SIGNAL) |
            SUMO_BIT(SUMO_VEHICLE_SIGNAL_DISTANCE) | SUMO_BIT(SUMO_VEHICLE_SIGNAL_LINK);
        wants.n_vehicle_lanes = 0; /* those inside the junction too */
    }
    if (s->parts & SENSE_QUEUES)
        wants.vehicle_vars |= SUMO_BIT(SUMO_VEHICLE_LANE) | SUMO_BIT(SUMO_VEHICLE_SPEED) |
                              SUMO_BIT(SUMO_VEHICLE_WAITING) |
                              SUMO_BIT(SUMO_VEHICLE_SIGNAL_DISTANCE);
    return wants;
}

void sense_reset(struct sense *s)
{
    if (s->of)
        memset(s->of, 0, s->n_of * sizeof(*s->of));
    memset(s->entries, 0, s->plan->n_lanes * sizeof(*s->entries));
    s->n_stays = 0;
    s->look = 1; /* no vehicle was detected in the look before */
}

static struct sense_vehicle *vehicle_of(struct sense *s, uint32_t vehicle)
{
    if (vehicle >= s->n_of) {
        uint32_t n = s->n_of ? s->n_of * 2 : 256;
        while (n <= vehicle)
            n *= 2;
        struct sense_vehicle *of = realloc(s->of, n * sizeof(*of));
        if (!of)
            return NULL;
        memset(of + s->n_of, 0, (n - s->n_of) * sizeof(*of));
        s->of = of;
        s->n_of = n;
    }
    return &s->of[vehicle];
}

static bool new_stay(struct sense *s, uint32_t lane)
{
    if (s->n_stays == s->room_stays) {
        uint32_t room = s->room_stays ? s->room_stays * 2 : 256;
        struct sense_stay *stays = realloc(s->stays, room * sizeof(*stays));
        if (!stays)
            return false;
        s->stays = stays;
        s->room_stays = room;
    }
    s->stays[s->n_stays++] = (struct sense_stay){.lane = lane};
    return true;
}

/* The order of the sum is that of the vehicle's first sights of the lanes. */
static bool wait_on(struct sense *s, struct sense_vehicle *v, uint32_t lane, double accumulated)
{
    uint32_t here = 0, last = 0;
    double elsewhere = 0;
    for (uint32_t at = v->stay; at; at = s->stays[at - 1].next) {
        last = at;
        if (s->stays[at - 1].lane == lane)
            here = at;
        else
            elsewhere += s->stays[at - 1].waited;
    }
    if (!here) {
        if (!new_stay(s, lane))
            return false;
        here = s->n_stays;
        *(last ? &s->stays[last - 1].next : &v->stay) = here;
    }
    s->stays[here - 1].waited = accumulated - elsewhere;
    s->waiting[lane] += s->stays[here - 1].waited;
    return true;
}

static void detect(struct sense *s, struct sense_vehicle *v, uint32_t lane, double waiting,
                   double speed, double seconds)
{
    uint32_t owner = s->plan->owners[lane];
    if (v->look + 1 != s->look || v->owner != owner)
        v->wait = 0;
    v->wait = v->wait > 0 ? v->wait + seconds : waiting;
    v->look = s->look;
    v->owner = owner;
    s->queue[lane] += v->wait > 0;
    s->approach[lane] += !(v->wait > 0);
    s->total_wait[lane] += v->wait;
    s->speed[lane] += speed;
}

static void enter(struct sense *s, struct sense_vehicle *v, uint32_t lane)
{
    if (v->lane && s->plan->owners[v->lane - 1] == s->plan->owners[lane])
        s->entries[v->lane - 1]--;
    s->entries[lane]++;
    v->lane = lane + 1;
}

static void add_delay(struct sense *s, const struct sumo_view *view, uint32_t row, uint32_t number)
{
    const struct sumo_plan *plan = s->plan;
    double next = view->vehicles[SUMO_VEHICLE_NEXT_SIGNAL][row]; /* -1: none */
    double speed = view->vehicles[SUMO_VEHICLE_SPEED][row];
    double allowed = view->vehicles[SUMO_VEHICLE_ALLOWED_SPEED][row];
    uint32_t inside = plan->inside[number], signal = inside;
    if (inside == SUMO_NONE && next >= 0 && next < plan->n_signal_at)
        signal = plan->signal_at[(uint32_t)next];
    if (signal == SUMO_NONE)
        return;
    s->delays[signal] += speed < allowed ? 1 - speed / allowed : 0;
    if (signal == inside) {
        s->inside[signal]++;
        s->blocked[signal] += speed < STANDING;
    } else if (view->vehicles[SUMO_VEHICLE_SIGNAL_DISTANCE][row] <= s->distance) {
        double link = view->vehicles[SUMO_VEHICLE_SIGNAL_LINK][row];
        const struct plan_signal *of = &plan->signals[signal];
        uint32_t lane =
            link >= 0 && link < of->n_links ? of->link_lanes[(uint32_t)link] : SUMO_NONE;
        if (lane != SUMO_NONE && lane != plan->at[number])
            s->coming[lane]++;
    }
}

static bool look_at(struct sense *s, const struct sumo_view *view, uint32_t row, double seconds)
{
    double number = view->vehicles[SUMO_VEHICLE_LANE][row];
    if (!(number >= 0) || number >= s->plan->n_at)
        return true;
    if (s->parts & SENSE_DELAY)
        add_delay(s, view, row, (uint32_t)number);
    uint32_t lane = s->plan->at[(uint32_t)number];
    if (lane >= s->plan->n_in) /* SUMO_NONE too */
        return true;
    struct sense_vehicle *v = vehicle_of(s, view->vehicle[row]);
    if (!v)
        return false;
    if (s->parts & SENSE_ENTRIES && v->lane != lane + 1)
        enter(s, v, lane);
    if (s->parts & SENSE_SPEED) {
        s->shares[lane] += view->vehicles[SUMO_VEHICLE_SPEED][row] /
                           view->vehicles[SUMO_VEHICLE_ALLOWED_SPEED][row];
        s->seen[lane]++;
    }
    if (s->parts & SENSE_QUEUES &&
        view->vehicles[SUMO_VEHICLE_SIGNAL_DISTANCE][row] <= s->distance) /* NAN: none ahead */
        detect(s, v, lane, view->vehicles[SUMO_VEHICLE_WAITING][row],
               view->vehicles[SUMO_VEHICLE_SPEED][row], seconds);
    return !(s->parts & SENSE_WAITING) ||
           wait_on(s, v, lane, view->vehicles[SUMO_VEHICLE_ACCUMULATED_WAITING][row]);
}

bool sense_look(struct sense *s, const struct sumo_view *view, double seconds)
{
    memset(s->memory, 0, cleared(s->plan) * sizeof(double));
    s->vehicles = view->lane[SUMO_LANE_VEHICLES];
    s->halting = view->lane[SUMO_LANE_HALTING];
    s->lengths = view->lane[SUMO_LANE_LENGTH];
    s->look++;
    for (uint32_t i = 0; i < view->n_vehicles; i++) {
        if (!look_at(s, view, i, seconds))
            return false;
    }
    return true;
}
