#include "actors/sumo/worker/shim.h"

#include <libsumo/libsumo.h>

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <unordered_set>
#include <vector>

using libsumo::Lane;
using libsumo::Simulation;
using libsumo::TrafficLight;
using libsumo::Vehicle;

namespace
{
struct Subscription {
    uint8_t command;
    std::string id;
    std::vector<uint8_t> variables;
};

std::vector<Subscription> subscriptions;
std::vector<uint8_t> followed; /* of each vehicle that departs */

struct Unknown : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] void unknown(uint8_t variable)
{
    char text[64];
    snprintf(text, sizeof(text), "variable 0x%02x is not one that rtc asks for", variable);
    throw Unknown(text);
}

/* Runs `body`; what it throws becomes a sentence. */
template <typename Body> bool guarded(char *why, Body body)
{
    const char *text;
    std::string kept;
    try {
        body();
        return true;
    } catch (const std::exception &e) {
        kept = e.what();
        text = kept.c_str();
    } catch (...) {
        text = "something that is not an exception was thrown";
    }
    snprintf(why, SHIM_WHY_MAX, "%s", text);
    return false;
}

/* ---- Values ---- */

void put(struct traci_out *out, int value)
{
    traci_put_i32(out, value);
}

void put(struct traci_out *out, double value)
{
    traci_put_f64(out, value);
}

void put(struct traci_out *out, const std::string &value)
{
    traci_put_string(out, value.data(), value.size());
}

void put(struct traci_out *out, const std::vector<std::string> &values)
{
    traci_u8(out, TRACI_STRINGS);
    traci_i32(out, (int32_t)values.size());
    for (const auto &value : values)
        traci_string(out, value.data(), value.size());
}

void put(struct traci_out *out, const libsumo::TraCIPosition &value)
{
    traci_u8(out, TRACI_POSITION_2D);
    traci_f64(out, value.x);
    traci_f64(out, value.y);
}

void put_compound(struct traci_out *out, size_t n)
{
    traci_put_compound(out, (uint32_t)n);
}

void put(struct traci_out *out, const std::vector<libsumo::TraCINextTLSData> &values)
{
    put_compound(out, 1 + 4 * values.size());
    put(out, (int)values.size());
    for (const auto &value : values) {
        put(out, value.id);
        put(out, value.tlIndex);
        put(out, value.dist);
        traci_u8(out, TRACI_BYTE);
        traci_u8(out, (uint8_t)value.state);
    }
}

void put(struct traci_out *out, const std::vector<std::vector<libsumo::TraCILink>> &values)
{
    size_t n = 1;
    for (const auto &links : values)
        n += 1 + links.size();
    put_compound(out, n);
    put(out, (int)values.size());
    for (const auto &links : values) {
        put(out, (int)links.size());
        for (const auto &link : links)
            put(out, std::vector<std::string>{link.fromLane, link.toLane, link.viaLane});
    }
}

void put(struct traci_out *out, const std::pair<std::string, double> &value)
{
    put_compound(out, 2);
    put(out, value.first);
    put(out, value.second);
}

void put_flag(struct traci_out *out, bool value)
{
    traci_u8(out, TRACI_UBYTE);
    traci_u8(out, value);
}

void put(struct traci_out *out, const std::vector<libsumo::TraCIConnection> &values)
{
    put_compound(out, 1 + 8 * values.size());
    put(out, (int)values.size());
    for (const auto &value : values) {
        put(out, value.approachedLane);
        put(out, value.approachedInternal);
        put_flag(out, value.hasPrio);
        put_flag(out, value.isOpen);
        put_flag(out, value.hasFoe);
        put(out, value.state);
        put(out, value.direction);
        put(out, value.length);
    }
}

void put(struct traci_out *out, const libsumo::TraCIPhase &phase)
{
    put_compound(out, 6);
    put(out, phase.duration);
    put(out, phase.state);
    put(out, phase.minDur);
    put(out, phase.maxDur);
    put_compound(out, phase.next.size());
    for (int next : phase.next)
        put(out, next);
    put(out, phase.name);
}

void put(struct traci_out *out, const std::vector<libsumo::TraCILogic> &logics)
{
    put_compound(out, logics.size());
    for (const auto &logic : logics) {
        put_compound(out, 5);
        put(out, logic.programID);
        put(out, logic.type);
        put(out, logic.currentPhaseIndex);
        put_compound(out, logic.phases.size());
        for (const auto &phase : logic.phases)
            put(out, *phase);
        put_compound(out, logic.subParameter.size());
        for (const auto &parameter : logic.subParameter)
            put(out, std::vector<std::string>{parameter.first, parameter.second});
    }
}

/* ---- Getting ---- */

void get_simulation(uint8_t variable, struct traci_out *out)
{
    switch (variable) {
    case TRACI_TIME: put(out, Simulation::getTime()); break;
    case TRACI_DELTA_T: put(out, Simulation::getDeltaT()); break;
    case TRACI_LOADED: put(out, Simulation::getLoadedNumber()); break;
    case TRACI_DEPARTED: put(out, Simulation::getDepartedNumber()); break;
    case TRACI_DEPARTED_IDS: put(out, Simulation::getDepartedIDList()); break;
    case TRACI_ARRIVED: put(out, Simulation::getArrivedNumber()); break;
    case TRACI_ARRIVED_IDS: put(out, Simulation::getArrivedIDList()); break;
    case TRACI_TELEPORTS_BEGUN: put(out, Simulation::getStartingTeleportNumber()); break;
    case TRACI_TELEPORTED_IDS: put(out, Simulation::getStartingTeleportIDList()); break;
    case TRACI_TELEPORTS_ENDED: put(out, Simulation::getEndingTeleportNumber()); break;
    case TRACI_MIN_EXPECTED: put(out, Simulation::getMinExpectedNumber()); break;
    case TRACI_COLLISIONS: put(out, Simulation::getCollidingVehiclesNumber()); break;
    case TRACI_COLLIDED_IDS: put(out, Simulation::getCollidingVehiclesIDList()); break;
    default: unknown(variable);
    }
}

void get_lane(uint8_t variable, const std::string &id, struct traci_out *out)
{
    switch (variable) {
    case TRACI_IDS: put(out, Lane::getIDList()); break;
    case 0x10: put(out, Lane::getLastStepVehicleNumber(id)); break;
    case 0x11: put(out, Lane::getLastStepMeanSpeed(id)); break;
    case 0x12: put(out, Lane::getLastStepVehicleIDs(id)); break;
    case 0x13: put(out, Lane::getLastStepOccupancy(id)); break;
    case 0x14: put(out, Lane::getLastStepHaltingNumber(id)); break;
    case 0x15: put(out, Lane::getLastStepLength(id)); break;
    case 0x7a: put(out, Lane::getWaitingTime(id)); break;
    case TRACI_LANE_LINKS: put(out, Lane::getLinks(id)); break;
    case TRACI_LENGTH: put(out, Lane::getLength(id)); break;
    case TRACI_MAX_SPEED: put(out, Lane::getMaxSpeed(id)); break;
    default: unknown(variable);
    }
}

void get_signal(uint8_t variable, const std::string &id, struct traci_out *out)
{
    switch (variable) {
    case TRACI_IDS: put(out, TrafficLight::getIDList()); break;
    case TRACI_STATE: put(out, TrafficLight::getRedYellowGreenState(id)); break;
    case 0x28: put(out, TrafficLight::getPhase(id)); break;
    case 0x29: put(out, TrafficLight::getProgram(id)); break;
    case TRACI_PHASE_DURATION: put(out, TrafficLight::getPhaseDuration(id)); break;
    case 0x2d: put(out, TrafficLight::getNextSwitch(id)); break;
    case TRACI_LINKS: put(out, TrafficLight::getControlledLinks(id)); break;
    case TRACI_PROGRAMS: put(out, TrafficLight::getAllProgramLogics(id)); break;
    default: unknown(variable);
    }
}

void get_vehicle(uint8_t variable, const std::string &id, struct traci_out *out)
{
    switch (variable) {
    case TRACI_IDS: put(out, Vehicle::getIDList()); break;
    case 0x40: put(out, Vehicle::getSpeed(id)); break;
    case 0x42: put(out, Vehicle::getPosition(id)); break;
    case 0x43: put(out, Vehicle::getAngle(id)); break;
    case TRACI_LENGTH: put(out, Vehicle::getLength(id)); break;
    case 0x51: put(out, Vehicle::getLaneID(id)); break;
    case 0x52: put(out, Vehicle::getLaneIndex(id)); break;
    case 0x56: put(out, Vehicle::getLanePosition(id)); break;
    case TRACI_MIN_GAP: put(out, Vehicle::getMinGap(id)); break;
    case TRACI_TYPE: put(out, Vehicle::getTypeID(id)); break;
    case TRACI_LEADER: put(out, Vehicle::getLeader(id, TRACI_LEADER_M)); break;
    case 0x70: put(out, Vehicle::getNextTLS(id)); break;
    case 0x72: put(out, Vehicle::getAcceleration(id)); break;
    case 0x7a: put(out, Vehicle::getWaitingTime(id)); break;
    case 0x87: put(out, Vehicle::getAccumulatedWaitingTime(id)); break;
    case 0x8c: put(out, Vehicle::getTimeLoss(id)); break;
    case TRACI_SPEED_MODE: put(out, Vehicle::getSpeedMode(id)); break;
    case 0xb7: put(out, Vehicle::getAllowedSpeed(id)); break;
    default: unknown(variable);
    }
}

void get(uint8_t command, uint8_t variable, const std::string &id, struct traci_out *out)
{
    switch (command) {
    case TRACI_GET_SIMULATION: get_simulation(variable, out); break;
    case TRACI_GET_LANE: get_lane(variable, id, out); break;
    case TRACI_GET_SIGNAL: get_signal(variable, id, out); break;
    case TRACI_GET_VEHICLE: get_vehicle(variable, id, out); break;
    case TRACI_GET_TYPE:
        if (variable != TRACI_IDS)
            unknown(variable);
        put(out, libsumo::VehicleType::getIDList());
        break;
    default: unknown(variable);
    }
}

/* ---- Setting ---- */

std::string text_of(const struct traci_text &text)
{
    return std::string(text.at, text.size);
}

void want(struct traci_in *in, bool good)
{
    if (!good)
        in->bad = true;
    if (in->bad)
        throw Unknown("the value of the command is malformed");
}

uint32_t begin_compound(struct traci_in *in)
{
    want(in, traci_in_u8(in) == TRACI_COMPOUND);
    uint32_t n = traci_in_count(in, 2);
    want(in, true);
    return n;
}

libsumo::TraCILogic logic_of(struct traci_in *in)
{
    libsumo::TraCILogic logic;
    want(in, begin_compound(in) == 5);
    logic.programID = text_of(traci_typed_text(in));
    logic.type = traci_typed_i32(in);
    logic.currentPhaseIndex = traci_typed_i32(in);
    uint32_t n = begin_compound(in);
    for (uint32_t i = 0; i < n; i++) {
        want(in, begin_compound(in) == 6);
        auto phase = std::make_shared<libsumo::TraCIPhase>();
        phase->duration = traci_typed_f64(in);
        phase->state = text_of(traci_typed_text(in));
        phase->minDur = traci_typed_f64(in);
        phase->maxDur = traci_typed_f64(in);
        want(in, begin_compound(in) == 0);
        phase->name = text_of(traci_typed_text(in));
        logic.phases.push_back(phase);
    }
    want(in, begin_compound(in) == 0);
    return logic;
}

void set_signal(uint8_t variable, const std::string &id, struct traci_in *in)
{
    std::string text;
    switch (variable) {
    case TRACI_STATE:
        text = text_of(traci_typed_text(in));
        want(in, true);
        TrafficLight::setRedYellowGreenState(id, text);
        break;
    case TRACI_PROGRAM:
        text = text_of(traci_typed_text(in));
        want(in, true);
        TrafficLight::setProgram(id, text);
        break;
    case TRACI_PHASE: {
        int phase = traci_typed_i32(in);
        want(in, true);
        TrafficLight::setPhase(id, phase);
        break;
    }
    case TRACI_PHASE_DURATION: {
        double seconds = traci_typed_f64(in);
        want(in, true);
        TrafficLight::setPhaseDuration(id, seconds);
        break;
    }
    case TRACI_SET_LOGIC: TrafficLight::setProgramLogic(id, logic_of(in)); break;
    default: unknown(variable);
    }
}

void set_mode(uint8_t variable, const std::string &id, struct traci_in *in)
{
    int mode = traci_typed_i32(in);
    want(in, true);
    if (variable == TRACI_SPEED_MODE)
        Vehicle::setSpeedMode(id, mode);
    else
        Vehicle::setLaneChangeMode(id, mode);
}

void set_vehicle(uint8_t variable, const std::string &id, struct traci_in *in)
{
    switch (variable) {
    case TRACI_SPEED: {
        double speed = traci_typed_f64(in);
        want(in, true);
        Vehicle::setSpeed(id, speed);
        break;
    }
    case TRACI_SLOW_DOWN: {
        want(in, begin_compound(in) == 2);
        double speed = traci_typed_f64(in), seconds = traci_typed_f64(in);
        want(in, true);
        Vehicle::slowDown(id, speed, seconds);
        break;
    }
    case TRACI_CHANGE_LANE: {
        want(in, begin_compound(in) == 2 && traci_in_u8(in) == TRACI_BYTE);
        int lane = (int8_t)traci_in_u8(in);
        double seconds = traci_typed_f64(in);
        want(in, true);
        Vehicle::changeLane(id, lane, seconds);
        break;
    }
    case TRACI_SPEED_MODE:
    case TRACI_LANE_CHANGE_MODE: set_mode(variable, id, in); break;
    default: unknown(variable);
    }
}

/* ---- Subscriptions ---- */

uint8_t get_of(uint8_t command)
{
    return (uint8_t)(command - TRACI_SUBSCRIBE_SIGNAL + TRACI_GET_SIGNAL);
}

/* Returns how many of its variables there were. */
unsigned answer(const Subscription &s, struct traci_out *out, char *why)
{
    unsigned good = 0;
    size_t begun = traci_begin(out, (uint8_t)(s.command + TRACI_ANSWER));
    traci_string(out, s.id.data(), s.id.size());
    traci_u8(out, (uint8_t)s.variables.size());
    for (uint8_t variable : s.variables) {
        size_t at = out->size;
        traci_u8(out, variable);
        traci_u8(out, 0);
        if (guarded(why, [&] { get(get_of(s.command), variable, s.id, out); })) {
            good++;
            continue;
        }
        out->size = at;
        traci_u8(out, variable);
        traci_u8(out, 0xff);
        put(out, std::string(why));
    }
    traci_end(out, begun);
    return good;
}

/* Forgets vehicles that arrived in the last step, and subscribes to those that departed and are there. */
void update()
{
    char why[SHIM_WHY_MAX];
    std::vector<std::string> arrived, departed;
    guarded(why, [&] { arrived = Simulation::getArrivedIDList(); });
    std::unordered_set<std::string> gone(arrived.begin(), arrived.end());
    if (!arrived.empty()) {
        auto is_gone = [&](const Subscription &s) {
            return s.command == TRACI_SUBSCRIBE_VEHICLE && gone.count(s.id) != 0;
        };
        subscriptions.erase(std::remove_if(subscriptions.begin(), subscriptions.end(), is_gone),
                            subscriptions.end());
    }
    if (followed.empty())
        return;
    guarded(why, [&] { departed = Simulation::getDepartedIDList(); });
    for (const auto &id : departed) {
        if (gone.count(id) == 0)
            subscriptions.push_back({TRACI_SUBSCRIBE_VEHICLE, id, followed});
    }
}
} // namespace

extern "C" {

const char *shim_version(void)
{
    static std::string version;
    char why[SHIM_WHY_MAX];
    guarded(why, [] { version = Simulation::getVersion().second; });
    return version.c_str();
}

/* SUMO sets its XML parser up at every load and tears it down before the next, 2 ms of a reset's 7. The
 * parser counts who uses it: with one more user it stays. Its headers are not needed to build with
 * libsumo, so it is asked for by name; under another name the 2 ms are spent. */
void shim_warm(void)
{
    typedef void initialize(const char *locale, const char *home, void *handler, void *memory);
    const char *name =
        "_ZN11xercesc_3_216XMLPlatformUtils10InitializeEPKcS2_PNS_12PanicHandlerEPNS_13MemoryManagerE";
    auto *found = reinterpret_cast<initialize *>(dlsym(RTLD_DEFAULT, name));
    char why[SHIM_WHY_MAX];
    if (found)
        guarded(why, [&] { found("en_US", nullptr, nullptr, nullptr); });
}

int32_t shim_api(void)
{
    return Simulation::getVersion().first;
}

void shim_close(void)
{
    char why[SHIM_WHY_MAX];
    subscriptions.clear();
    followed.clear();
    guarded(why, [] { Simulation::close(); });
}

bool shim_load(const char *const *arguments, uint32_t n, char *why)
{
    subscriptions.clear();
    followed.clear();
    bool good = guarded(why, [&] {
        std::vector<std::string> command{"sumo"};
        command.insert(command.end(), arguments, arguments + n);
        Simulation::start(command);
    });
    if (!good) /* half of it may be there, and would even step */
        shim_close();
    return good;
}

bool shim_step(double until, char *why)
{
    return guarded(why, [&] { Simulation::step(until); });
}

bool shim_get(uint8_t command, uint8_t variable, const char *id, struct traci_out *out, char *why)
{
    return guarded(why, [&] { get(command, variable, id, out); });
}

bool shim_set(uint8_t command, uint8_t variable, const char *id, struct traci_in *value, char *why)
{
    return guarded(why, [&] {
        if (command == TRACI_SET_SIGNAL)
            set_signal(variable, id, value);
        else if (command == TRACI_SET_VEHICLE)
            set_vehicle(variable, id, value);
        else
            unknown(variable);
    });
}

bool shim_subscribe(uint8_t command, const char *id, const uint8_t *variables, uint8_t n,
                    struct traci_out *out, char *why)
{
    Subscription s{command, id, {variables, variables + n}};
    if (answer(s, out, why) == 0)
        return false;
    subscriptions.push_back(std::move(s));
    return true;
}

bool shim_unsubscribe(uint8_t command, const char *id)
{
    for (auto at = subscriptions.begin(); at != subscriptions.end(); ++at) {
        if (at->command == command && at->id == id) {
            subscriptions.erase(at);
            return true;
        }
    }
    return false;
}

void shim_follow(const uint8_t *variables, uint8_t n)
{
    auto is_vehicle = [](const Subscription &s) { return s.command == TRACI_SUBSCRIBE_VEHICLE; };
    followed.assign(variables, variables + n);
    if (n == 0)
        subscriptions.erase(std::remove_if(subscriptions.begin(), subscriptions.end(), is_vehicle),
                            subscriptions.end());
}

void shim_collect_leg(struct traci_out *out)
{
    char why[SHIM_WHY_MAX];
    auto is_simulation = [](const Subscription &s) { return s.command == TRACI_SUBSCRIBE_SIMULATION; };
    update();
    traci_i32(out, (int32_t)std::count_if(subscriptions.begin(), subscriptions.end(), is_simulation));
    for (const auto &s : subscriptions) {
        if (is_simulation(s))
            answer(s, out, why);
    }
}

void shim_collect(struct traci_out *out)
{
    char why[SHIM_WHY_MAX];
    update();
    traci_i32(out, (int32_t)subscriptions.size());
    for (const auto &s : subscriptions)
        answer(s, out, why);
    std::cout.flush();
}
}
