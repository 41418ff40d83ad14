// The yardstick: a loop on libsumo that does the same actions and looks at nothing.
//   sumo-bare SUMOCFG SEED DECISIONS     prints: seconds, of them CPU, s to load, what departed
#include <libsumo/libsumo.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

using libsumo::Simulation;
using libsumo::TrafficLight;

static double seconds(clockid_t clock)
{
    timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint32_t below(uint64_t *state, uint32_t n) // tests/lib/rng.h
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % n);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    double before = seconds(CLOCK_MONOTONIC);
    Simulation::start({"sumo", "-c", argv[1], "--seed", argv[2], "--no-step-log", "true", "--duration-log.disable",
                       "true", "--xml-validation", "never", "--xml-validation.net", "never",
                       "--xml-validation.routes", "never"});
    double loaded = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    std::vector<std::string> signals = TrafficLight::getIDList();
    std::vector<libsumo::TraCILogic> programs;
    for (const auto &id : signals)
        programs.push_back(TrafficLight::getAllProgramLogics(id)[0]);
    uint64_t rng = strtoull(argv[2], nullptr, 10);
    long departed = 0;
    for (int i = 0, n = atoi(argv[3]); i < n; i++) {
        for (size_t k = 0; k < signals.size(); k++) {
            const auto &phases = programs[k].phases;
            TrafficLight::setRedYellowGreenState(signals[k], phases[below(&rng, (uint32_t)phases.size())]->state);
        }
        Simulation::step(Simulation::getTime() + 5);
        departed += Simulation::getDepartedNumber();
    }
    printf("%.6f %.6f %.6f %ld\n", seconds(CLOCK_MONOTONIC) - loaded, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu,
           loaded - before, departed);
    fflush(stdout);
    _Exit(0);
}
