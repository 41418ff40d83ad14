#!/usr/bin/env python3
"""check_hosts.py BUILD [nightly] [SCENARIO…]: a cluster of hosts in network namespaces.

Each scenario has hosts of its own. `nightly` adds those that take long. Exit 77: not possible here."""

import os
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
