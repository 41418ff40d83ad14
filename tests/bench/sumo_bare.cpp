// What the rows sumo_* are held against: a loop on libsumo that takes the same actions as the environment,
// by the same rules of greens and yellows, and looks at nothing.
//   rtc-sumo-bare SUMOCFG SEED DECISIONS STEP_LENGTH
// Loads, says "ready", waits for a line, simulates from the beginning, says how many vehicles departed.
#include <libsumo/libsumo.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using libsumo::Simulation;
using libsumo::TrafficLight;

static const double delta = 5, yellow = 2, min_green = 5, near = 1e-6; // sumo-rl's

static uint64_t draw(uint64_t *state) // rtc_env_random()
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct Light {
    std::string id;
    std::vector<std::string> greens;
    size_t green = 0;
    bool changing = false;
    double since = 0;
};

static std::vector<Light> lights()
{
    std::vector<Light> made;
    for (const auto &id : TrafficLight::getIDList()) {
        Light light;
        light.id = id;
        light.since = Simulation::getTime();
        const auto programs = TrafficLight::getAllProgramLogics(id);
        for (const auto &phase : programs[0].phases) {
            const std::string &state = phase->state;
            if (state.find('y') == std::string::npos && state.find_first_not_of("rs") != std::string::npos)
                light.greens.push_back(state);
        }
        TrafficLight::setRedYellowGreenState(id, light.greens[0]);
        made.push_back(light);
    }
    return made;
}

static void choose(Light &light, size_t green)
{
    double now = Simulation::getTime();
    if (green == light.green || now - light.since < yellow + min_green - near)
        return;
    std::string state = light.greens[light.green];
    for (size_t i = 0; i < state.size(); i++) {
        char next = light.greens[green][i];
        if ((state[i] == 'G' || state[i] == 'g') && (next == 'r' || next == 's'))
            state[i] = 'y';
    }
    TrafficLight::setRedYellowGreenState(light.id, state);
    light.green = green;
    light.changing = true;
    light.since = now;
}

static long departed;

static void simulate(std::vector<Light> &all, double until)
{
    while (Simulation::getTime() < until - near) {
        double to = until;
        for (const auto &light : all) {
            if (light.changing && light.since + yellow < to)
                to = light.since + yellow;
        }
        Simulation::step(to);
        departed += Simulation::getDepartedNumber();
        for (auto &light : all) {
            if (light.changing && Simulation::getTime() > light.since + yellow - near) {
                light.changing = false;
                TrafficLight::setRedYellowGreenState(light.id, light.greens[light.green]);
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    const std::vector<std::string> arguments = {
        "sumo", "-c", argv[1], "--seed", argv[2], "--step-length", argv[4], "--time-to-teleport", "-1",
        "--max-depart-delay", "-1", "--waiting-time-memory", "1000", "--no-step-log", "true",
        "--duration-log.disable", "true", "--xml-validation", "never", "--xml-validation.net", "never",
        "--xml-validation.routes", "never"};
    Simulation::start(arguments);
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF)
        return 1;
    Simulation::start(arguments); // a reset is part of the time
    std::vector<Light> all = lights();
    uint64_t random = strtoull(argv[2], nullptr, 10);
    for (int i = 0, n = atoi(argv[3]); i < n; i++) {
        for (auto &light : all)
            choose(light, draw(&random) % light.greens.size());
        simulate(all, Simulation::getTime() + delta);
    }
    printf("%ld\n", departed);
    fflush(stdout);
    _Exit(0);
}
