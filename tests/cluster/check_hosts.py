#!/usr/bin/env python3
"""check_hosts.py BUILD [nightly] [SCENARIO…]: a cluster of hosts in network namespaces.

Each scenario has hosts of its own. `nightly` adds those that take long. Exit 77: not possible here."""

import os
import signal
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from hosts import Failure, Lab, check, enter, read, wait  # noqa: E402

QUICK, NIGHTLY = [], []


def quick(function):
    QUICK.append(function)
    return function


def nightly(function):
    NIGHTLY.append(function)
    return function


@quick
def examples(lab):
    """The examples, from the head, from a worker, and from behind the NAT; the tasks run everywhere."""
    lab.start()
    for host in (lab.head, lab.w1, lab.far):
        where = 'unix:' + host.socket if host.daemon() else lab.line
        for name, args in (('hello', []), ('pi', ['8', '100000']), ('tree', ['4']),
                           ('mapreduce', [os.path.abspath(__file__), '4']), ('calibrate', [])):
            program = host.start(os.path.join(lab.build, 'examples', name), *args, env={'RTC_ADDRESS': where})
            program.good()
            check(program.out(), f'{name} says nothing')
        values = lab.drive(host, 'many', 2000, lab.file('marks-' + host.name), 500).good()
        check(set(values['host']) == {lab.head.number, lab.w1.number, lab.w2.number},
              f'from {host.name}: tasks ran on {values["host"]}')
        lab.drive(host, 'objects', 20, 300000).good()
    lab.settled('head', 'w1', 'w2')


# ---- Strikes ----

def hold(seconds, program):
    """A strike lasts so long; the driver must not give up meanwhile."""
    until = time.monotonic() + seconds
    wait('the driver goes on', lambda: time.monotonic() > until or not program.running(), seconds + 5)
    check(program.running(), f'the driver ended\n{program.tail()}')


def daemon_killed(host):
    def strike(lab, program):
        before = host(lab).daemon()
        host(lab).strike()
        wait('its keeper starts the daemon again', lambda: host(lab).daemon() not in (0, before), 5)
    return strike


def host_stopped(seconds):
    def strike(lab, program):
        stopped = sorted(lab.w1.pids())
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        hold(seconds, program)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    return strike


def link_cut(seconds):
    def strike(lab, program):
        lab.w2.link(False)
        hold(seconds, program)
        lab.w2.link(True)
    return strike


def packets_dropped(way, seconds):
    def strike(lab, program):
        lab.w1.block(way)
        hold(seconds, program)
        lab.w1.unblock()
    return strike


def host_killed(lab, program):
    lab.w2.crash()
    wait('w2 is declared dead', lambda: lab.gone('w2'), 20)
    lab.start_worker(lab.w2, 2)


def strike_during(lab, mode, strikes):
    """Work that goes on for as long as it is struck; gives what the driver counted."""
    lab.start(2)
    program = lab.drive(lab.head, mode, 2000, lab.file('marks'), 1000)
    wait('first results', lambda: program.got() >= 1000, 20)
    for strike in strikes:
        strike(lab, program)
        lab.alive('head', 'w1', 'w2', seconds=25)
        done = lab.status()['tasks_done_total']
        wait(f'work goes on after {strike.__qualname__}\n{program.tail()}',
             lambda: lab.status()['tasks_done_total'] > done + 1000 or not program.running(), 30)
        check(program.running(), f'the driver ended after {strike.__qualname__}\n{program.tail()}')
    values = program.good(90)
    check(values['missing'] == 0, f'lost: {values}')
    lab.settled('head', 'w1', 'w2')
    return values


def one_by_one(name, mode, strikes, register):
    """A scenario for each, so that what fails is known by name; and one with all of them."""
    for title, strike in strikes:
        def scenario(lab, strike=strike):
            check_once(mode, strike_during(lab, mode, [strike]))
        scenario.__name__ = f'{name}_{title}'
        register(scenario)


def check_once(mode, values):
    if mode == 'once':
        check(values['twice'] == 0, f'run twice: {values}')
        check(values['lost'] == 0, f'failed: {values}')


one_by_one('many', 'many', [
    ('worker_daemon_killed', daemon_killed(lambda lab: lab.w1)),
    ('head_daemon_killed', daemon_killed(lambda lab: lab.head)),
    ('host_killed', host_killed),
    ('host_stopped', host_stopped(4)),
    ('link_cut', link_cut(3)),
    ('in_dropped', packets_dropped('in', 4)),
    ('out_dropped', packets_dropped('out', 4)),
], quick)
one_by_one('many', 'many', [
    ('host_stopped_6', host_stopped(6)),
    ('host_stopped_15', host_stopped(15)),
    ('link_cut_15', link_cut(15)),
    ('in_dropped_15', packets_dropped('in', 15)),
    ('out_dropped_15', packets_dropped('out', 15)),
], nightly)
one_by_one('once', 'once', [
    ('worker_daemon_killed', daemon_killed(lambda lab: lab.w1)),
    ('head_daemon_killed', daemon_killed(lambda lab: lab.head)),
    ('link_cut', link_cut(3)),
    ('host_stopped', host_stopped(4)),
], quick)


def main():
    args = sys.argv[2:]
    chosen = QUICK + (NIGHTLY if 'nightly' in args else [])
    names = [a for a in args if a != 'nightly']
    if names:
        chosen = [f for f in QUICK + NIGHTLY if f.__name__ in names]
    enter()
    failed = 0
    for scenario in chosen:
        begin = time.monotonic()
        lab = Lab(os.path.abspath(sys.argv[1]))
        try:
            scenario(lab)
            text = 'ok'
        except Exception as error:
            failed += 1
            text = 'FAILED'
            if isinstance(error, Failure):
                print(error)
                print(traceback.format_tb(error.__traceback__)[1].strip())
            else:
                traceback.print_exc()
            print(lab.logs())
        lab.end()
        print(f'{scenario.__name__}: {text}, {time.monotonic() - begin:.1f} s', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
