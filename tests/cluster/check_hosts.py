#!/usr/bin/env python3
"""check_hosts.py BUILD [nightly] [SCENARIO…]: a cluster of hosts in network namespaces.

Each scenario has hosts of its own. `nightly` adds those that take long. What is known
not to hold runs only when it is named. RTC_TEST_VERBOSE tells how long each wait took, RTC_TEST_SEED repeats
the strikes of `chance`. Exit 77: not possible here."""

import os
import random
import re
import shutil
import signal
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from hosts import Failure, Lab, check, enter, must, processes, read, tool, wait  # noqa: E402

QUICK, NIGHTLY, BY_NAME = [], [], []


def sanitized(build):
    """Whether the programs were built with a sanitizer."""
    path = os.path.join(build, 'build.ninja')
    return os.path.exists(path) and '-fsanitize' in read(path)


def quick(function):
    QUICK.append(function)
    return function


def nightly(function):
    NIGHTLY.append(function)
    return function


def by_name(function):
    BY_NAME.append(function)
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


def strike_during(lab, mode, strikes, where=None):
    """Work that goes on for as long as it is struck; gives what the driver counted."""
    lab.start(2)
    program = lab.drive(where() if where else lab.head, mode, 2000, lab.file('marks'), 1000)
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
    """A scenario for each, so that what fails is known by name."""
    for title, strike in strikes:
        def scenario(lab, strike=strike):
            check_once(mode, strike_during(lab, mode, [strike]))
        scenario.__name__ = f'{name}_{title}'
        register(scenario)


def check_once(mode, values):
    if mode == 'once':
        check(values['twice'] == 0, f'run twice: {values}')
        check(values['lost'] == 0, f'failed: {values}')


STRIKES = [
    ('worker_daemon_killed', daemon_killed(lambda lab: lab.w1)),
    ('head_daemon_killed', daemon_killed(lambda lab: lab.head)),
    ('link_cut', link_cut(2)),
    ('out_dropped', packets_dropped('out', 4)),
]
LONG = [
    ('in_dropped', packets_dropped('in', 4)),
    ('both_dropped', packets_dropped('both', 6)),
    ('host_stopped', host_stopped(6)),
]
BEYOND = [
    ('host_killed', host_killed),
    ('host_stopped_15', host_stopped(15)),
    ('link_cut_15', link_cut(15)),
    ('in_dropped_15', packets_dropped('in', 15)),
    ('out_dropped_15', packets_dropped('out', 15)),
]


@quick
def many_struck(lab):
    """One strike after the other, seen from behind the NAT."""
    strike_during(lab, 'many', [strike for _, strike in STRIKES], lambda: lab.far)


@quick
def once_struck(lab):
    """Within the lease nothing needs to run again, and nothing does."""
    check_once('once', strike_during(lab, 'once', [strike for _, strike in STRIKES[:3]], lambda: lab.w1))


one_by_one('many', 'many', STRIKES + LONG + BEYOND, nightly)
one_by_one('once', 'once', STRIKES + LONG, nightly)


def story_of(program):
    at = program.out().rfind('story ')
    return program.out()[at + 6:].splitlines()[0] if at >= 0 else ''


@nightly
def once_host_killed(lab):
    """What ran on a host that is gone, and may not run again, fails by that name; all else is there."""
    lab.start(2)
    number = lab.nodes()['w2']['node']
    program = lab.drive(lab.head, 'once', 2000, lab.file('marks'), 1000)
    wait('first results', lambda: program.got() >= 1000, 20)
    lab.w2.crash()
    wait('w2 is declared dead', lambda: lab.gone('w2'), 20)
    values = program.good(60)
    check(values['missing'] == 0 and values['twice'] == 0, f'{values}')
    check(0 < values['lost'] < values['tasks'] / 2, f'{values}')
    story = story_of(program)
    check('w2' in story or f'node {number}' in story, f'the story does not name the node: {story}')
    lab.settled('head', 'w1')


# ---- Objects, heads, drivers ----

def objects_struck(lab, strikes):
    """Results that lie on hosts which are struck are had, from there or made again."""
    lab.start(2)
    for host in (lab.head, lab.far):
        lab.drive(host, 'objects', 12, 1000000).good()
    program = lab.drive(lab.far, 'objects', 12, 1000000)
    for strike in strikes:
        got = program.got()
        wait('objects', lambda: program.got() > got + 12 or not program.running(), 30)
        strike(lab, program)
        lab.alive('head', 'w1', 'w2', seconds=25)
    got = program.got()
    wait('objects after all', lambda: program.got() > got + 12 or not program.running(), 60)
    values = program.good()
    values['stories'] = [line for line in program.out().splitlines() if line.startswith('story')]
    check(all('node' in line for line in values['stories']), f'no story: {values}')
    lab.settled('head', 'w1', 'w2')
    return values


def objects_kept(lab, strikes):
    values = objects_struck(lab, strikes)
    check(values['lost'] == 0, f'{values}')


for title, strike in STRIKES + LONG:
    def objects(lab, strike=strike):
        objects_kept(lab, [strike])
    objects.__name__ = f'objects_{title}'
    nightly(objects)


@nightly
def objects_of_dead_hosts(lab):
    """What only they had is lost with them, and said to be."""
    objects_struck(lab, [host_killed, link_cut(15)])


def head_host_struck(lab, mode):
    lab.start(2)
    drivers = [lab.drive(lab.w1, mode, 2000, lab.file('marks-w1'), 1000),
               lab.drive(lab.far, 'many', 2000, lab.file('marks-far'), 1000)]
    for program in drivers:
        wait('first results', lambda program=program: program.got() >= 1000, 20)
    lab.head.crash()
    hold(2, drivers[0])
    lab.start_head(2)
    lab.alive('head', 'w1', 'w2')
    done = lab.status()['tasks_done_total']
    wait('work goes on', lambda: lab.status()['tasks_done_total'] > done + 1000, 30)
    for program in drivers:
        values = program.good(90)
        check(values['missing'] == 0, f'{values}')
    lab.settled('head', 'w1', 'w2')
    return drivers[0].values()


@nightly
def head_host_killed(lab):
    """The head's host dies with its keeper, and is started again from its state: the others go on."""
    head_host_struck(lab, 'many')


@by_name
def head_host_killed_once(lab):
    """What the head's own node had begun may not run again. It does: leases are not journalled, and no node is
    left that could tell of them."""
    check_once('once', head_host_struck(lab, 'once'))


def driver_struck(lab, strike):
    lab.start(1)
    program = lab.drive(lab.far, 'many', 1000, lab.file('marks'), 1000)
    wait('first results', lambda: program.got() >= 1000, 20)
    strike(program)
    lab.settled('head', 'w1', 'w2', seconds=25)
    wait('nothing is left on far', lambda: not lab.far.pids(), 5)


@quick
def driver_killed(lab):
    """A driver behind the NAT dies: its work ends, nothing of it is left."""
    driver_struck(lab, lambda program: program.kill())


@nightly
def driver_host_killed(lab):
    """… and so it is when its whole host dies, once the lease has passed."""
    driver_struck(lab, lambda program: lab.far.crash())


@nightly
def nested(lab):
    """Tasks that wait for tasks of theirs, on all hosts, again and again: each tree ends."""
    lab.start()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        tree = lab.far.start(os.path.join(lab.build, 'examples/tree'), '5', env={'RTC_ADDRESS': lab.line})
        try:
            tree.good(15)
        except Failure as failure:
            raise Failure(f'{failure}\n{lab.tool("list", "tasks", "--json")[:3000]}') from None
    lab.settled('head', 'w1', 'w2')


# ---- Chance ----

def executors(host):
    daemon, keeper = host.daemon(), 0
    parents = {pid: parent for pid, parent, _, _ in processes()}
    keeper = parents.get(daemon, 0)
    return [pid for pid in host.pids() if parents.get(pid) == keeper and pid != daemon]


def random_strike(lab, chance):
    """One of all that a cluster has to bear, at random; a sentence of what was done, and what undoes it."""
    host = chance.choice([lab.head, lab.w1, lab.w2])
    worker = chance.choice([lab.w1, lab.w2])
    any_host = chance.choice([lab.w1, lab.w2, lab.far, lab.head])
    what = chance.randrange(6)
    if what == 0:
        if host.daemon():
            host.strike()
        return f'daemon of {host.name} killed', None
    if what == 1:
        for pid in executors(worker)[:1]:
            os.kill(pid, signal.SIGKILL)
        return f'an executor of {worker.name} killed', None
    if what == 2:
        pids = sorted(worker.pids())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return f'{worker.name} stopped', lambda: [os.kill(p, signal.SIGCONT) for p in pids if os.path.exists(f'/proc/{p}')]
    if what == 3 and any_host != lab.far:
        any_host.link(False)
        return f'{any_host.name} cut off', lambda: any_host.link(True)
    if what == 4:
        way = chance.choice(['in', 'out', 'both'])
        any_host.block(way)
        return f'{way} of {any_host.name} dropped', any_host.unblock
    old, new = ('77', '78') if '10.9.0.77/' in lab.nat.inside('ip', 'address') else ('78', '77')
    lab.nat.inside('ip', 'address', 'add', f'10.9.0.{new}/24', 'dev', 'eth0')
    lab.nat.inside('ip', 'address', 'delete', f'10.9.0.{old}/24', 'dev', 'eth0')
    if f'10.9.0.{new}/' not in lab.nat.inside('ip', 'address'):  # it went with the first of its network
        lab.nat.inside('ip', 'address', 'add', f'10.9.0.{new}/24', 'dev', 'eth0')
    return 'the router has another address', None


def chance_strikes(lab, seed, seconds):
    chance = random.Random(seed)
    lab.start(2)
    drivers = [lab.drive(lab.far, 'forever', 2000, lab.file('marks-far'), 1000),
               lab.drive(lab.w1, 'forever', 2000, lab.file('marks-w1'), 500),
               lab.drive(lab.head, 'objects', 12, 1000000)]
    begin, story = time.monotonic(), []
    while time.monotonic() - begin < seconds:
        for program in drivers:
            check(program.running(), f'seed {seed}: {program.title} ended: {program.tail()}\n' + '\n'.join(story))
        text, undo = random_strike(lab, chance)
        story.append(f'{time.monotonic() - begin:6.2f} {text}')
        hold(chance.choice([0.05, 0.3, 1, 3, 4]), drivers[0])
        if undo:
            undo()
            story.append(f'{time.monotonic() - begin:6.2f} … no more')
        hold(chance.choice([0, 0.05, 0.5, 2]), drivers[0])
    try:
        lab.alive('head', 'w1', 'w2', seconds=30)
        for program in drivers:
            values = program.good(90)
            check(values.get('missing', 0) == 0, f'{values}')
        lab.settled('head', 'w1', 'w2')
    except Failure as failure:
        raise Failure(f'seed {seed}: {failure}\n' + '\n'.join(story)) from None


@nightly
def chance(lab):
    chance_strikes(lab, int(os.environ.get('RTC_TEST_SEED', time.time_ns() % 1000000)), 60)


# ---- Networks ----

@quick
def nat_changes(lab):
    """The router in between gets another address, and forgets its connections: work goes on."""
    lab.start(1, ('w1', 'far'))
    number = lab.nodes()['far']['node']
    drivers = [lab.drive(lab.head, 'once', 2000, lab.file('marks-head'), 300),
               lab.drive(lab.far, 'once', 2000, lab.file('marks-far'), 300),
               lab.drive(lab.far, 'once', 2000, lab.file('marks-line'), 300, line=lab.line)]
    for program in drivers:
        wait('first results', lambda program=program: program.got() >= 1000, 20)
    lab.nat.inside('ip', 'address', 'replace', '10.9.0.78/24', 'dev', 'eth0')
    lab.nat.inside('ip', 'address', 'delete', '10.9.0.77/24', 'dev', 'eth0')
    lab.nat.inside('ip', 'address', 'replace', '10.9.0.78/24', 'dev', 'eth0')
    marker = lab.status()['tasks_done_total']
    wait('work goes on', lambda: lab.status()['tasks_done_total'] > marker + 1000, 20)
    lab.alive('head', 'w1', 'far')
    for program in drivers:
        values = program.good()
        check(values['missing'] == 0 and values['twice'] == 0 and values['lost'] == 0, f'{values}')
        check(lab.far.number in values['host'], f'far ran nothing: {values}')
    check(lab.nodes()['far']['node'] == number, 'far has another number')
    lab.settled('head', 'w1', 'far')


@quick
def firewalled(lab):
    """Workers that do not reach each other have the head in between."""
    lab.start(2)
    lab.drive(lab.far, 'objects', 12, 1000000).good()
    lab.w1.block('both', lab.w2)
    begin = time.monotonic()
    lab.drive(lab.far, 'objects', 12, 1000000).good()
    check(time.monotonic() - begin < 10, f'{time.monotonic() - begin:.1f} s for what takes less than one')
    lab.settled('head', 'w1', 'w2')


@nightly
def firewall_falls(lab):
    """… also from one moment to the next, with objects on their way."""
    lab.start(2)
    program = lab.drive(lab.w1, 'objects', 12, 1000000)
    for blocked in (True, False, True):
        got = program.got()
        wait('objects', lambda: program.got() > got + 24 or not program.running(), 20)
        if blocked:
            lab.w1.block('both', lab.w2)
        else:
            lab.w1.unblock()
    values = program.good()
    check(values['lost'] == 0, f'{values}\n{program.out()}')
    lab.settled('head', 'w1', 'w2')


@nightly
def slow_link(lab):
    """A far node has its share of the work, and a large object does not delay what is small."""
    if not os.access('/dev/net/tun', os.R_OK | os.W_OK):
        print('note: no /dev/net/tun here')
        return
    lab.slow_cable(lab.w2, 0.025, 20e6)
    lab.start(1)
    number = lab.nodes()['w2']['node']
    program = lab.drive(lab.head, 'many', 1000, lab.file('marks'), 2000)
    hosts = program.good()['host']
    check(hosts.get(lab.w2.number, 0) > 100, f'w2 is starved: {hosts}')
    quiet = lab.drive(lab.head, 'latency', 2, number, 0).good()
    busy = lab.drive(lab.head, 'latency', 5, number, 20000000).good(90)
    near = lab.drive(lab.head, 'latency', 5, lab.nodes()['w1']['node'], 0)
    large = lab.drive(lab.head, 'latency', 5, number, 20000000)
    near, large = near.good(90), large.good(90)
    print(f'slow link: quiet {quiet}, busy {busy}, a near node meanwhile {near}')
    check(busy['transfers'] > 0 and large['transfers'] > 0, 'no large object came')
    check(busy['p50_us'] < quiet['p50_us'] + 200000 and busy['p99_us'] < quiet['p99_us'] + 600000,
          f'small work waits for large: {quiet} {busy}')
    check(near['p50_us'] < 20000 and near['p99_us'] < 100000, f'the slow node delays another: {near}')
    lab.settled('head', 'w1', 'w2')


# ---- Strangers ----

def flip(line, at):
    return line[:at] + ('1' if line[at] != '1' else '2') + line[at + 1:]


def stranger(lab, line, host=None, state=None):
    """A worker that nobody awaits."""
    host = host or lab.w2
    state = state or f'{host.dir}/stranger{lab.count}'
    return host.rtc('worker', '--join', line, '--cpus', 1, '--name', 'stranger', '--state-dir', state)


def told(lab, what, program, says, head_says=None):
    """It is told why not, within 5 s of its start; and so is the head, when it heard of it."""
    try:
        wait(f'a sentence about {what}', lambda: re.search(says, program.err()) or not program.running(), 5)
        check(re.search(says, program.err()), f'{what}: the worker says: {program.err() or "nothing"}')
        if head_says:
            wait(f'a sentence of the head about {what}', lambda: re.search(head_says, read(lab.head.log)), 5)
    finally:
        program.kill()


@quick
def bad_lines(lab):
    """Lines that do not fit, in each way: a sentence that says what to do, and nobody is disturbed."""
    lab.start(1, ('w1',))
    driver = lab.drive(lab.head, 'once', 100, lab.file('marks'), 1000)
    line = lab.line
    key = line.split(':')[3]
    made = lab.tool('token', 'new').strip()
    lab.tool('token', 'revoke', made.split(':')[4].split('.')[0])
    lab.nat.block('both')
    nobody = stranger(lab, line.replace('10.9.0.1:', '10.9.0.200:'))
    silent = stranger(lab, line.replace('10.9.0.1:', '10.9.0.77:'))
    told(lab, 'a wrong key', stranger(lab, flip(line, line.index(key) + 5)), 'key of this join line',
         'does not speak as')
    told(lab, 'a wrong token', stranger(lab, flip(line, len(line) - 1)), 'token', 'may not join.*token')
    told(lab, 'a revoked token', stranger(lab, made), 'token new', 'may not join.*revoked')
    told(lab, 'a closed port', stranger(lab, line.replace(':6380:', ':6399:')), 'connection refused')
    for at in range(0, len(line), 10):
        told(lab, f'a line cut at {at}', stranger(lab, line[:at]), 'rtc worker: ')
    told(lab, 'no such host', nobody, '10.9.0.200.*not answer')
    told(lab, 'a host that is silent', silent, '10.9.0.77.*not answer')
    check(driver.running(), driver.tail())
    driver.good()
    lab.settled('head', 'w1')


LISTEN = 'import socket, sys; s = socket.create_server(("", 7000)); print("listens", flush=True); sys.stdin.read()'


@quick
def taken(lab):
    """A port that is in use, and a key that is in use."""
    listener = lab.nat.start(sys.executable, '-c', LISTEN)
    wait('the listener', lambda: 'listens' in listener.out())
    head = lab.nat.rtc('head', '--cpus', 1, '--port', 7000, '--socket', lab.nat.socket, '--state-dir',
                       lab.nat.dir + '/state', '--address', '10.9.0.77')
    check(head.end(5) != 0 and re.search('(?i)cannot listen.*7000.*in use', head.err()), f'a head says: {head.tail()}')
    lab.start(1)
    shutil.copytree(lab.w2.dir + '/state', lab.nat.dir + '/copy')
    told(lab, 'a copied key', stranger(lab, lab.line, lab.nat, lab.nat.dir + '/copy'), 'same key.*10.9.0.12',
         'may not join.*same key')
    lab.drive(lab.head, 'once', 1000, lab.file('marks'), 100).good()
    lab.settled('head', 'w1', 'w2')


FLOOD = """
import os, socket, sys
greeting = bytes.fromhex('ff00000000000000017f0300') + b'CURVE' + bytes(47)
held = []
for i in range(1000):
    s = socket.create_connection(('10.9.0.1', 6380))
    if i % 3 == 1:
        s.sendall(os.urandom(1 + i))
    elif i % 3 == 2:
        s.sendall(greeting[:1 + i % len(greeting)])
    held.append(s)
print('held', flush=True)
sys.stdin.read()
"""


def resident(pid):
    return int(read(f'/proc/{pid}/statm').split()[1]) * 4096


@quick
def flood(lab):
    """A thousand connections that say nothing, or nonsense: who speaks rightly is served."""
    lab.start(1, ('w1',))
    sizes = []
    for _ in range(4):
        program = lab.nat.start(sys.executable, '-c', FLOOD)
        wait('all connections', lambda: 'held' in program.out() or not program.running(), 20)
        check(program.running(), program.tail())
        begin = time.monotonic()
        lab.start_worker(lab.w2)
        spent = time.monotonic() - begin
        check(spent < 2, f'a worker joined only after {spent:.1f} s')
        lab.drive(lab.head, 'once', 1000, lab.file(f'marks{len(sizes)}'), 100).good()
        lab.w2.rtc('stop', env={'RTC_ADDRESS': 'unix:' + lab.w2.socket}).good(20)
        program.good()
        sizes.append(resident(lab.head.daemon()))
        wait('w2 is gone', lambda: lab.gone('w2') and not lab.w2.pids(), 5)
    if not sanitized(lab.build):  # a sanitizer keeps what was freed
        check(sizes[3] < sizes[1] + 4000000, f'the head grows: {sizes}')
    lab.settled('head', 'w1')


# ---- Programs ----

def mount(lab, host, size):
    path = host.dir + '/state'
    os.makedirs(path, 0o700, exist_ok=True)
    must('mount', '-t', 'tmpfs', '-o', f'size={size},mode=700', 'none', path)


@quick
def program_travels(lab):
    """A large program from behind the NAT, one whose library is missing, and a full disk."""
    mount(lab, lab.w2, '2m')
    lab.start_head()
    lab.start_worker(lab.w1, wrap=('unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none "$0" && exec "$@"',
                                   os.path.join(lab.build, 'tests/cluster')))
    lab.start_worker(lab.w2)
    w1, w2 = lab.nodes()['w1']['node'], lab.nodes()['w2']['node']
    padded = lab.file('padded')
    with open(lab.driver, 'rb') as source, open(padded, 'wb') as target:
        target.write(source.read() + os.urandom(5000000))
    os.chmod(padded, 0o700)

    def drive(host, node, program):
        library = os.path.join(lab.build, 'runtime/exec')
        return lab.drive(host, 'node', node, driver=program, env={'LD_LIBRARY_PATH': library})

    check(lab.w1.number in drive(lab.far, w1, padded).good()['host'], 'it ran elsewhere')
    full = drive(lab.far, w2, padded)
    check(full.end(20) != 0 and 'No space left' in full.err(), f'a full disk: {full.tail()}')
    check(lab.w2.number in drive(lab.far, w2, lab.driver).good()['host'], 'a small program')
    must('mount', '-o', 'remount,size=64m', lab.w2.dir + '/state')
    check(lab.w2.number in drive(lab.far, w2, padded).good()['host'], 'with space again')

    with_lib = os.path.join(lab.build, 'tests/cluster/host_driver_lib')
    check(lab.w2.number in drive(lab.head, w2, with_lib).good()['host'], 'with its library')
    lacks = drive(lab.head, w1, with_lib)
    check(lacks.end(20) != 0 and 'libhost_lib' in lacks.err(), f'without its library: {lacks.tail()}')
    lab.settled('head', 'w1', 'w2')


# ---- Coming and going ----

@quick
def drained(lab):
    """Workers are drained and stopped under load, and come back as who they were."""
    lab.start(2)
    before = {name: row['node'] for name, row in lab.nodes().items()}
    lab.tool('cordon', before['w2'])
    daemon_killed(lambda lab: lab.head)(lab, None)
    wait('w2 is back', lambda: lab.nodes().get('w2', {}).get('state') in ('alive', 'cordoned'))
    check(lab.nodes()['w2']['state'] == 'cordoned', 'the head forgot that w2 is cordoned')
    lab.tool('uncordon', before['w2'])
    lab.alive('w1', 'w2')
    program = lab.drive(lab.head, 'once', 2000, lab.file('marks'), 2000)
    wait('first results', lambda: program.got() >= 1000, 20)
    lab.tool('drain', before['w1'])
    wait('w1 is gone', lambda: lab.gone('w1') and not lab.w1.pids(), 15)
    lab.start_worker(lab.w1, 2)
    check(program.running(), program.tail())
    lab.w2.rtc('stop', env={'RTC_ADDRESS': 'unix:' + lab.w2.socket}).good(20)
    wait('w2 is gone', lambda: lab.gone('w2') and not lab.w2.pids(), 15)
    lab.start_worker(lab.w2, 2)
    check(program.running(), program.tail())
    values = program.good()
    check(values['missing'] == 0 and values['twice'] == 0 and values['lost'] == 0, f'{values}')
    check(before == {name: row['node'] for name, row in lab.nodes().items()}, 'numbers changed')
    lab.settled('head', 'w1', 'w2')


def sleeps(pid):
    """A hundred looks in turn find it asleep more often than not."""
    looks = [read(f'/proc/{pid}/stat').rsplit(')', 1)[1].split()[0] for _ in range(100)]
    return looks.count('S') > 50


@quick
def leases(lab):
    """A silent node lives for as long as the head was told; over restarts, for as long as it may think."""
    lab.start(1, lease='4s')
    daemon_killed(lambda lab: lab.head)(lab, None)
    lab.alive('head', 'w1', 'w2')
    check(lab.status()['lease_s'] == 4, 'its keeper forgot the lease')
    for host in (lab.head, lab.w1, lab.w2):
        wait(f'the daemon of {host.name} has nothing to do and sleeps', lambda host=host: sleeps(host.daemon()))
    begin = time.monotonic()
    lab.w1.crash()
    wait('w1 is declared dead', lambda: lab.gone('w1'), 10)
    spent = time.monotonic() - begin
    check(2.5 < spent < 7, f'w1 was dead after {spent:.1f} s')
    lab.w2.crash()
    lab.head.crash()
    begin = time.monotonic()
    lab.start_head(lease='2s')
    check(lab.status()['lease_s'] == 2, 'the lease is not the new one')
    wait('the head gives w2 up', lambda: '(w2) is lost: it did not come back' in read(lab.head.log), 10)
    spent = time.monotonic() - begin
    check(spent > 4, f'w2 had a lease of 4 s, and the head waited for {spent:.1f} s')
    lab.start_worker(lab.w2)
    lab.settled('head', 'w2')


@quick
def clocks(lab):
    """Hosts that were booted at other times: deadlines hold across them."""
    later = ('unshare', '--time', '--fork', '--monotonic', '100000', '--boottime', '100000')
    if tool(*later, 'true').returncode:
        print('note: no time namespaces here')
        return
    lab.start_head()
    lab.start_worker(lab.w1)
    lab.start_worker(lab.w2, wrap=later)
    for name in ('w1', 'w2'):
        lab.drive(lab.head, 'deadline', lab.nodes()[name]['node']).good()
        lab.far.start(lab.driver, 'deadline', lab.nodes()[name]['node'], env={'RTC_ADDRESS': lab.line},
                      wrap=later).good()
        lab.drive(lab.w2, 'deadline', lab.nodes()[name]['node'], wrap=later).good()
    lab.settled('head', 'w1')


def main():
    args = sys.argv[2:]
    chosen = QUICK + (NIGHTLY if 'nightly' in args else [])
    names = [a for a in args if a != 'nightly']
    if names:
        chosen = [f for f in QUICK + NIGHTLY + BY_NAME if f.__name__ in names]
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
