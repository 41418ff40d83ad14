// The C++ Actor Framework (0.17), in the rows of light actors. Reads names of rows, answers each with
// a line of JSON, as peer.py does. Two threads, as rtc's rows have.
#include <algorithm>
#include <atomic>
#include <caf/all.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <iostream>
#include <string>
#include <vector>

using namespace caf;
using clock_type = std::chrono::steady_clock;

constexpr int64_t PINGS = 40000, COUNTS = 1000000, FORKS = 40000, IDLE = 100000;
constexpr int ROUNDS = 5;
using again = atom_constant<atom("again")>;
using ping_ = atom_constant<atom("ping")>;
using pong_ = atom_constant<atom("pong")>;
using inc = atom_constant<atom("inc")>;
using retrieve = atom_constant<atom("retrieve")>;

static double seconds()
{
    const char *s = std::getenv("BENCH_SECONDS");
    return s ? std::atof(s) : 1;
}

static double rate(const std::function<void()> &run, int64_t n)
{
    auto begin = clock_type::now();
    double took = 0, done = 0;
    do {
        run();
        done += double(n);
        took = std::chrono::duration<double>(clock_type::now() - begin).count();
    } while (took < seconds());
    return done / took;
}

static behavior pong(event_based_actor *)
{
    return {[](ping_) { return pong_::value; }};
}

// Savina's: ping tells itself between rounds.
static behavior ping(event_based_actor *self, actor to, int64_t left)
{
    auto remaining = std::make_shared<int64_t>(left);
    return {[=](again) { self->send(to, ping_::value); },
            [=](pong_) {
                if (--*remaining > 0)
                    return self->send(self, again::value);
                self->send_exit(to, exit_reason::user_shutdown);
                self->quit();
            }};
}

static behavior counter(stateful_actor<int64_t> *self)
{
    self->state = 0;
    return {[=](inc) { ++self->state; },
            [=](retrieve) {
                self->quit();
                return self->state;
            }};
}

static void producer(event_based_actor *self, actor to)
{
    for (int64_t i = 0; i < COUNTS; i++)
        self->send(to, inc::value);
    self->request(to, infinite, retrieve::value).then([](int64_t) {});
}

static std::atomic<int64_t> forks_left;
static std::promise<void> all_done;

static void one_done()
{
    if (--forks_left == 0)
        all_done.set_value();
}

static std::future<void> expect(int64_t n)
{
    forks_left = n;
    all_done = std::promise<void>{};
    return all_done.get_future();
}

static behavior leaf(event_based_actor *self)
{
    return {[=](double theta) {
        volatile double s = std::sin(theta);
        (void)s;
        one_done();
        self->quit();
    }};
}

static behavior idle(event_based_actor *)
{
    return {[](inc) { one_done(); }};
}

static double pss_bytes()
{
    double kb = 0;
    char line[256];
    FILE *file = std::fopen("/proc/self/smaps_rollup", "r");
    while (file && std::fgets(line, sizeof(line), file))
        if (std::sscanf(line, "Pss: %lf", &kb) == 1)
            break;
    if (file)
        std::fclose(file);
    return kb * 1024;
}

static double memory(actor_system &system)
{
    double before = pss_bytes();
    auto done = expect(IDLE);
    std::vector<actor> all;
    all.reserve(IDLE);
    for (int64_t i = 0; i < IDLE; i++) {
        all.push_back(system.spawn(idle));
        anon_send(all.back(), inc::value);
    }
    done.get();
    double after = pss_bytes();
    for (auto &a : all)
        anon_send_exit(a, exit_reason::kill);
    return (after - before) / IDLE;
}

static void row(const std::string &name, const char *unit, const std::function<double()> &run,
                int rounds = ROUNDS)
{
    std::vector<double> values;
    if (rounds > 1)
        run();
    for (int i = 0; i < rounds; i++)
        values.push_back(run());
    std::sort(values.begin(), values.end());
    std::printf("{\"name\": \"%s\", \"unit\": \"%s\", \"value\": %.9g, \"min\": %.9g, \"max\": %.9g}\n",
                name.c_str(), unit, values[rounds / 2], values.front(), values.back());
}

int main()
{
    actor_system_config config;
    config.set("scheduler.max-threads", 2u);
    actor_system system{config};
    for (std::string name; std::getline(std::cin, name); std::fflush(stdout)) {
        if (name == "light_pingpong")
            row(name, "ns", [&] {
                return 1e9 / rate([&] {
                           auto p = system.spawn(ping, system.spawn(pong), PINGS);
                           anon_send(p, again::value);
                           scoped_actor here{system};
                           here->wait_for(p);
                       }, PINGS);
            });
        else if (name == "light_count")
            row(name, "1/s", [&] {
                return rate([&] {
                    auto c = system.spawn(counter);
                    auto p = system.spawn(producer, c);
                    scoped_actor here{system};
                    here->wait_for(p, c);
                }, COUNTS);
            });
        else if (name == "light_create")
            row(name, "1/s", [&] {
                return rate([&] {
                    auto done = expect(FORKS);
                    for (int64_t i = 0; i < FORKS; i++)
                        anon_send(system.spawn(leaf), 37.2);
                    done.get();
                }, FORKS);
            });
        else if (name == "light_memory")
            row(name, "B", [&] { return memory(system); }, 1); // a second round finds the first one's
        else
            std::printf("{\"name\": \"%s\"}\n", name.c_str());
    }
}
