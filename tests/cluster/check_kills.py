#!/usr/bin/env python3
"""check_kills.py BUILD [KILLS [SEED [freeze]]]: kills by chance, amid calls to actors; is every outcome true?

Three hosts work, two others have a driver each, a sixth has the head. Actors that are called at most once, some
times, at least once, and exactly once (`save`), by the drivers, by other actors and by tasks; the last tell others
that save, each total once. Meanwhile what runs on those hosts is killed or stopped: processes of actors and tasks,
daemons, whole hosts, the head. Every call has one outcome; held against what ran, it is true. There are 1,024 calls for each kill. RTC_TEST_VERBOSE tells each strike. Exit 77: not possible here.

`freeze` also stops whole hosts for longer than their lease. What is known not to hold then: when such a host goes
on, its actors may run calls out of order before their daemon hears that they were started elsewhere. Each call
still has one outcome, and that is true."""

import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from hosts import Failure, Lab, check, enter, processes, wait  # noqa: E402

WORKERS = ('w1', 'w2', 'w3')
CALLS = 1024  # for each kill: kills_driver.c makes half of them
LAG = 3000  # so many may wait, for a node that is down, before there is another kill


def executors(host):
    """What its keeper has started besides the daemon."""
    daemon = host.daemon()
    parents = {pid: parent for pid, parent, _, net in processes() if net == host.number}
    return sorted(pid for pid, parent in parents.items() if parent == parents.get(daemon) and pid != daemon)


def signal_to(pids, sig):
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


class Storm:
    def __init__(self, lab, seed, freezes):
        if freezes:
            self.KINDS = [(Storm.freeze, 10)] + self.KINDS
        self.lab, self.chance, self.counts, self.story = lab, random.Random(seed), {}, []
        self.workers = [lab.hosts[name] for name in WORKERS]
        self.later = []  # what undoes a strike, and when

    # ---- Strikes: each gives its name, or None where there was nothing to be struck ----

    def process(self):
        pids = executors(self.chance.choice(self.workers + [self.lab.head, self.lab.desk]))
        signal_to(self.chance.sample(pids, min(1, len(pids))), signal.SIGKILL)
        return 'process killed' if pids else None

    def processes(self):
        pids = executors(self.chance.choice(self.workers))
        signal_to(pids, signal.SIGKILL)
        return 'all processes of a host killed' if pids else None

    def daemon(self):
        host = self.chance.choice(self.workers + [self.lab.desk])
        return self.daemon_of(host, 'daemon of a worker killed')

    def head(self):
        return self.daemon_of(self.lab.head, 'daemon of the head killed')

    def daemon_of(self, host, title):
        pid = host.daemon()
        signal_to([pid] if pid else [], signal.SIGKILL)
        return title if pid else None

    def both(self):
        host = self.chance.choice(self.workers)
        pids = executors(host)
        signal_to(self.chance.sample(pids, min(1, len(pids))) + [p for p in [host.daemon()] if p], signal.SIGKILL)
        return 'process and daemon killed' if pids else None

    def host(self):
        host = self.chance.choice(self.workers)
        if not host.daemon():
            return None
        host.crash()
        self.lab.start_worker(host, 2, wait_for=False)
        return 'host killed'

    def head_host(self):
        self.lab.head.crash()
        self.lab.start_head(2)
        return 'host of the head killed'

    def stop(self):
        host = self.chance.choice(self.workers + [self.lab.head, self.lab.desk])
        all_of_it, pids = self.chance.random() < 0.3, host.pids()
        pids = pids if all_of_it else self.chance.sample(pids, min(1, len(pids)))
        signal_to(pids, signal.SIGSTOP)
        self.later.append((time.monotonic() + self.chance.choice([0.02, 0.2, 1.5]),
                           lambda: signal_to(pids, signal.SIGCONT)))
        return 'stopped for a moment' if pids else None

    def freeze(self):
        """For longer than its lease: declared dead, it goes on."""
        host = self.chance.choice(self.workers)
        pids = host.pids()
        signal_to(pids, signal.SIGSTOP)
        self.later.append((time.monotonic() + 12, lambda: signal_to(pids, signal.SIGCONT)))
        return 'stopped for longer than its lease' if pids else None

    def cut(self):
        host = self.chance.choice(self.workers)
        host.block(self.chance.choice(['in', 'out', 'both']))
        self.later.append((time.monotonic() + self.chance.choice([0.05, 0.4, 1.5]), host.unblock))
        return 'cut off for a moment'

    KINDS = [(process, 40), (processes, 6), (daemon, 16), (head, 8), (both, 6), (host, 10), (head_host, 2), (stop, 10), (cut, 4)]

    def strike(self):
        title = None
        while not title:
            what = self.chance.choices([f for f, _ in self.KINDS], [weight for _, weight in self.KINDS])[0]
            title = what(self)
        self.counts[title] = self.counts.get(title, 0) + 1
        self.story.append(f'{time.monotonic():.2f} {title}')
        if 'RTC_TEST_VERBOSE' in os.environ:
            print(self.story[-1], flush=True)

    def undo(self, all_of_it=False):
        now = time.monotonic()
        for entry in list(self.later):
            if all_of_it or entry[0] <= now:
                entry[1]()
                self.later.remove(entry)


def storm(lab, kills, seed, freezes):
    for name, address in (('w3', '10.9.0.13'), ('desk', '10.9.0.14')):
        lab.attach(name, address)
    lab.start(2, WORKERS + ('desk',))
    numbers = {name: row['node'] for name, row in lab.nodes().items()}
    for name in ('head', 'desk'):
        lab.tool('cordon', numbers[name])
    book = lab.file('book')
    drivers = [lab.drive(lab.desk, 'make', book, *[numbers[name] for name in WORKERS]),
               lab.drive(lab.far, 'call', book, 1)]
    storm = Storm(lab, seed, freezes)

    def got():
        return sum(program.got() for program in drivers)

    def going():
        storm.undo()
        for program in drivers:
            check(program.running(), f'{program.title} ended: {program.tail()}')
        return True

    def say(word):
        for program in drivers:
            program.process.stdin.write(word)
            program.process.stdin.flush()

    for i in range(kills):
        say(b'g')
        at = i * CALLS + storm.chance.randrange(CALLS) - LAG
        try:
            wait(f'{at} of {i * CALLS} calls are answered: {got()}', lambda at=at: going() and got() >= at, 60)
        except Failure as failure:
            say(b's')
            time.sleep(1)  # for its answer
            raise Failure('\n'.join([str(failure)] + storm.story[-20:] + [
                lab.tool('list', what) for what in ('actors', 'tasks', 'nodes')])) from None
        storm.strike()
    say(b'g')
    wait(f'calls go on after the last: {got()}', lambda: going() and got() > kills * CALLS, 150)
    storm.undo(True)
    say(b'e')
    wait('all calls are answered', lambda: all('ended' in p.out() or not p.running() for p in drivers), 150)
    found = [drivers[1].good(60), drivers[0].good(60)]
    return storm, {key: found[0].get(key, 0) + found[1].get(key, 0) for key in found[0] | found[1] if key != 'host'}, \
        found[1]


def judge(values, last, kills):
    """Of both drivers together; `last`: of the one that asked for the sums, when all was over."""
    check(values['lies'] == 0 and values['twice'] == 0 and values['wrong_values'] == 0, f'{values}')
    check(last['order'] == 0 and values['order'] == 0, f'calls out of order: {values}')
    check(values['silent'] <= kills, f'calls that had begun left no mark: {values}')
    for i in '01':
        done, maybe, total = values['saved_done' + i], values['saved_maybe' + i], last['sum' + i]
        check(done <= total <= done + maybe, f'the sum is {total}, not {done} to {done + maybe}: {values}')
        check(last['echoed' + i] == total and last['misheard' + i] == 0,
              f'of {total} the other heard {last["echoed" + i]}, {last["misheard" + i]} not in their turn')


def main():
    freezes = 'freeze' in sys.argv
    args = [int(arg) for arg in sys.argv[2:] if arg != 'freeze']
    kills, seed = (args + [40, time.time_ns() % 1000000][len(args):])[:2]
    enter()
    begin = time.monotonic()
    lab = Lab(os.path.abspath(sys.argv[1]))
    lab.driver = os.path.join(lab.build, 'tests/cluster/kills_driver')
    status, run = 0, None
    try:
        run, values, last = storm(lab, kills, seed, freezes)
        judge(values, last, kills)
        print(f'{values}\n{run.counts}')
    except Failure as error:
        status = 1
        print(error)
        for program in lab.programs:
            if 'kills_driver' in program.title:
                print(program.tail())
        print(lab.logs())
    print(f'seed {seed}: {kills} kills: {"FAILED" if status else "ok"}, {time.monotonic() - begin:.0f} s')
    lab.end()
    return status


if __name__ == '__main__':
    sys.exit(main())
