#include "actors/sumo/trips.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number in ` name="…"` of a line. */
static bool attribute(const char *line, const char *name, double *ret_x)
{
    size_t size = strlen(name);
    for (const char *at = strstr(line, name); at; at = strstr(at + size, name)) {
        char *end;
        if (at == line || at[-1] != ' ' || strncmp(at + size, "=\"", 2) != 0)
            continue;
        *ret_x = strtod(at + size + 2, &end);
        return end != at + size + 2 && *end == '"';
    }
    return false;
}

static bool take_trip(const char *line, struct trips *t)
{
    double depart, arrival, depart_delay, lost, duration, wait;
    if (!attribute(line, "depart", &depart) || !attribute(line, "arrival", &arrival) ||
        !attribute(line, "departDelay", &depart_delay) || !attribute(line, "timeLoss", &lost) ||
        !attribute(line, "duration", &duration) || !attribute(line, "waitingTime", &wait))
        return false;
    t->delay += depart_delay;
    if (depart < 0) {
        t->never_departed++;
        return true;
    }
    t->delay += lost;
    t->duration += duration;
    t->wait += wait;
    if (arrival < 0)
        t->unfinished++;
    else
        t->finished++;
    return true;
}

int trips_read(const char *path, struct trips *ret_trips, char *why)
{
    struct trips t = {0};
    char *line = NULL;
    size_t room = 0;
    bool good = true, ended = false;
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(why, SUMO_WHY_MAX, "cannot read what SUMO wrote of its trips, '%s': %s", path,
                 strerror(errno));
        return RTC_E_OS;
    }
    while (good && getline(&line, &room, file) > 0) {
        if (strstr(line, "<tripinfo "))
            good = take_trip(line, &t);
        ended = ended || strstr(line, "</tripinfos>") || strstr(line, "<tripinfos/>");
    }
    free(line);
    fclose(file);
    if (!good || (!ended && t.finished + t.unfinished + t.never_departed > 0)) {
        snprintf(why, SUMO_WHY_MAX, "'%s' is not what SUMO writes of its trips: %s", path,
                 good ? "its end is missing" : "a trip lacks an attribute");
        return RTC_E_PROTOCOL;
    }
    (void)unlink(path);
    uint32_t departed = t.finished + t.unfinished, all = departed + t.never_departed;
    t.delay = all ? t.delay / all : 0;
    t.duration = departed ? t.duration / departed : 0;
    t.wait = departed ? t.wait / departed : 0;
    *ret_trips = t;
    return 0;
}
