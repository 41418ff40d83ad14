#!/usr/bin/env python3
"""check_actors.py BUILD [nightly] [SCENARIO…]: actors on the hosts of check_hosts.py.

A driver on the head calls a sink on w2, and a relay on w1 that calls the sink; meanwhile something is struck.
Every call has an outcome, and every outcome is true. RTC_TEST_VERBOSE as there. Exit 77: not possible here."""

import os
import signal
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from hosts import Failure, Lab, check, enter, processes, read, wait  # noqa: E402

QUICK, NIGHTLY = [], []
LEASE = '4s'  # of hosts that stand still; a machine that has much to do does not get to a daemon for a second


def quick(function):
    QUICK.append(function)
    return function


def nightly(function):
    NIGHTLY.append(function)
    return function


def number(lab, name):
    return lab.nodes()[name]['node']


def drive(lab, restarts=0, retries=0, where=None, mode='calls'):
    return lab.drive(where or lab.head, mode, lab.file('marks'), number(lab, 'w2'), number(lab, 'w1'), restarts,
                     retries)


def goes_on(lab, program, what, seconds=40):
    got = program.got()
    wait(f'calls go on after {what}\n{program.tail()}',
         lambda: program.got() > got + 1000 or not program.running(), seconds)
    check(program.running(), f'the driver ended after {what}\n{program.tail()}')


def story(program):
    return [line for line in program.out().splitlines() if line.startswith('story')]


def true(program, values, retries=0, late=0):
    check(values['lies'] == 0 and values['order'] == 0, f'{values} {program.tail()}')
    check(values['late'] <= late, f'two incarnations ran calls at a time: {values}')
    check(retries or values['twice'] == 0, f'calls ran twice: {values}')


def all_done(program, values):
    true(program, values)
    check(values['done'] == values['calls'], f'{values} {story(program)}')


@quick
def direct(lab):
    """Nothing happens: all calls are answered, between the workers directly."""
    lab.start()
    program = drive(lab)
    goes_on(lab, program, 'the start')
    all_done(program, program.good(60))
    wait('calls went directly', lambda: 'is reached directly' in read(lab.w1.log), 5)
    lab.settled('head', 'w1', 'w2')


@quick
def relayed(lab):
    """The workers do not reach each other: the head's router passes their calls on."""
    lab.start_head()
    lab.start_worker(lab.w1)
    lab.w1.block('both', lab.w2)
    lab.start_worker(lab.w2)
    program = drive(lab, where=lab.w1)
    goes_on(lab, program, 'the start')
    all_done(program, program.good(60))
    check('is reached directly' not in read(lab.w1.log), 'they reached each other')
    lab.w1.unblock()


@quick
def from_far(lab):
    """The driver is a node of its own, behind a router that masquerades."""
    lab.start()
    program = drive(lab, where=lab.far)
    goes_on(lab, program, 'the start')
    all_done(program, program.good(60))


def gather(lab, where):
    """A group of the driver, w1 and w2."""
    return lab.drive(where, 60, number(lab, 'w1'), number(lab, 'w2'),
                     driver=os.path.join(lab.build, 'tests/cluster/group_driver'))


def goes_on_together(program, what, seconds=40):
    got = program.got()
    wait(f'the group goes on after {what}\n{program.tail()}',
         lambda: program.got() > got + 100 or not program.running(), seconds)
    check(program.running(), f'the driver ended after {what}\n{program.tail()}')


def all_right(program):
    values = program.good(60)
    check(values['wrong'] == 0 and values['calls'] > 100, f'{values} {program.tail()}')


@quick
def group_from_far(lab):
    """One member of a group is behind a router that masquerades."""
    lab.start()
    program = gather(lab, lab.far)
    goes_on_together(program, 'the start')
    all_right(program)


@quick
def group_relayed(lab):
    """Two members of a group do not reach each other: the head passes on what they say and send."""
    lab.start_head()
    lab.start_worker(lab.w1)
    lab.w1.block('both', lab.w2)
    lab.start_worker(lab.w2)
    program = gather(lab, lab.head)
    goes_on_together(program, 'the start')
    all_right(program)
    check('is reached directly' not in read(lab.w1.log) or 'w2' not in read(lab.w1.log), 'they reached each other')
    lab.w1.unblock()
    lab.settled('head', 'w1', 'w2')


def cut_between(seconds):
    def strike(lab, program):
        lab.w1.block('both', lab.w2)
        hold(seconds, program)
        lab.w1.unblock()
    return strike


def cut(seconds):
    def strike(lab, program):
        lab.w2.link(False)
        hold(seconds, program)
        lab.w2.link(True)
    return strike


def daemon_killed(name):
    def strike(lab, _program):
        host = lab.hosts[name]
        before = host.daemon()
        host.strike()
        wait('its keeper starts the daemon again', lambda: host.daemon() not in (0, before), 5)
    return strike


def hold(seconds, program):
    until = time.monotonic() + seconds
    wait('the driver goes on', lambda: time.monotonic() > until or not program.running(), seconds + 5)
    check(program.running(), f'the driver ended\n{program.tail()}')


STRIKES = [('ways_cut', cut_between(1)), ('link_cut', cut(1)), ('w1_daemon_killed', daemon_killed('w1')),
           ('w2_daemon_killed', daemon_killed('w2')), ('head_daemon_killed', daemon_killed('head'))]
LONG = [('ways_cut_long', cut_between(12)), ('link_cut_long', cut(5))]


def bear(name, title, strike, register):
    """Nobody dies: every call is answered, in order, once."""
    def scenario(lab):
        lab.start()
        program = drive(lab)
        goes_on(lab, program, 'the start')
        for _ in range(3):
            strike(lab, program)
            lab.alive('head', 'w1', 'w2', seconds=25)
            goes_on(lab, program, title)
        all_done(program, program.good(90))
        lab.settled('head', 'w1', 'w2')
    scenario.__name__ = f'{name}_{title}'
    register(scenario)


for title, strike in STRIKES:
    bear('bears', title, strike, quick)
for title, strike in LONG:
    bear('bears', title, strike, nightly)


def group_bears(name, strike):
    """Nobody dies: every call of the group ends well."""
    def scenario(lab):
        lab.start()
        program = gather(lab, lab.head)
        goes_on_together(program, 'the start')
        strike(lab, program)
        goes_on_together(program, name)
        all_right(program)
        lab.settled('head', 'w1', 'w2')
    scenario.__name__ = 'group_' + name
    quick(scenario)


for _name, _strike in STRIKES:
    group_bears(_name, _strike)


def lost(lab, how, retries, lease=None, late=0, mode='calls'):
    """w2 dies amid calls, whole: the sink is started again elsewhere."""
    lab.start(lease=lease)
    program = drive(lab, 3, retries, mode=mode)
    goes_on(lab, program, 'the start')
    how(lab, program)
    goes_on(lab, program, 'the loss', 60)
    values = program.good(120)
    true(program, values, retries, late)
    check(values['incarnations'] == 2, f'it was not started again: {values}')
    if retries:
        check(values['done'] == values['calls'], f'{values} {story(program)}')
    else:
        check(values['unknown'] + values['has_run'] > 0, f'nothing was in flight: {values}')
        check(values['unknown'] + values['has_run'] < 1000, f'{values}')
    return values


def crashed(lab, _program):
    lab.w2.crash()
    wait('w2 is declared dead', lambda: lab.gone('w2'), 20)


def cut_off(lab, program):
    """The node lives, and nobody hears of it: its actor stands still before the next one begins."""
    lab.w2.link(False)
    wait('its actor stands still', lambda: 'T' in [state for _, _, state, net in processes() if net == lab.w2.number], 9)
    check(not lab.gone('w2'), 'it stood still too late')
    wait('w2 is declared dead', lambda: lab.gone('w2'), 20)
    goes_on(lab, program, 'the loss', 60)
    lab.w2.link(True)
    lab.alive('w2', seconds=25)


def frozen(lab, program):
    """All of the node stands still until the next incarnation has run calls, and then goes on; first the actor, so
    that calls wait in its ring."""
    actor, = [pid for pid in lab.w2.pids() if pid not in (lab.w2.daemon(), lab.w2.keeper())]
    os.kill(actor, signal.SIGSTOP)
    lab.status()  # takes as long as many calls
    thaw = lab.w2.freeze()
    wait('w2 is declared dead', lambda: lab.gone('w2'), 20)
    goes_on(lab, program, 'the loss', 60)
    thaw()
    lab.alive('w2', seconds=25)


@quick
def node_frozen(lab):
    """What stood in its rings is not run when it goes on: but for the call that it was amid."""
    lost(lab, frozen, 0, LEASE, late=1, mode='calls_alone')


@quick
def node_frozen_retries(lab):
    lost(lab, frozen, 5, LEASE, late=1, mode='calls_alone')


def callers_frozen(lab, where, hosts, sink='w2', relay='w1', kept=True, relayed=False):
    """Hosts that call are taken for dead, and go on: who called from there is let go, and what became of the calls
    that he had made is told truly. A sink that is kept outlives his job."""
    lab.start_head(lease=LEASE)
    lab.start_worker(lab.w1)
    if relayed:
        lab.w1.block('both', lab.w2)
    lab.start_worker(lab.w2)
    program = lab.drive(lab.hosts[where], 'calls_kept' if kept else 'calls', lab.file('marks'), number(lab, sink),
                        number(lab, relay), 0 if kept else 3, 0)
    goes_on(lab, program, 'the start')
    thaws = [lab.hosts[name].freeze() for name in hosts]
    for name in hosts:
        wait(f'{name} is declared dead', lambda name=name: lab.gone(name), 20)
    for thaw in thaws:
        thaw()
    for name in hosts:
        lab.alive(name, seconds=25)
    wait(f'the driver may call no more\n{program.tail()}', lambda: 'ended' in program.out() or not program.running(), 30)
    if kept and sink not in hosts:
        lab.drive(lab.head, 'find').good(20)  # behind what is in its mailbox
    values = program.good(20)
    true(program, values, late=0 if kept else 1)
    check(values['ended'] == 1 and values['refused'] + values['unknown'] > 0, f'{values}')
    lab.settled('head', 'w1', 'w2')
    return program


@quick
def driver_frozen(lab):
    program = callers_frozen(lab, 'w1', ['w1'])
    check('taken this host for dead' in program.err(), f'it is not told why: {program.err()}')


@quick
def driver_frozen_relayed(lab):
    callers_frozen(lab, 'w1', ['w1'], relayed=True)


@quick
def relay_frozen(lab):
    callers_frozen(lab, 'head', ['w1'])


@quick
def both_frozen(lab):
    callers_frozen(lab, 'w1', ['w1', 'w2'])


@quick
def lane_frozen(lab):
    """The relay calls the sink by a lane; the sink is started again elsewhere."""
    callers_frozen(lab, 'head', ['w2'], relay='w2', kept=False)


@nightly
def relay_moves(lab):
    """A relay that is started again elsewhere: what the old one was about to say is not said when it goes on."""
    lab.start(lease=LEASE)
    program = lab.drive(lab.head, 'calls_moves', lab.file('marks'), number(lab, 'w2'), number(lab, 'w1'), 0, 0)
    goes_on(lab, program, 'the start')
    lab.w1.strike(signal.SIGSTOP)
    lab.status()  # takes as long as many calls: one stands in the ring
    thaw = lab.w1.freeze()
    wait('w1 is declared dead', lambda: lab.gone('w1'), 20)
    goes_on(lab, program, 'the loss', 60)
    thaw()
    lab.alive('w1', seconds=25)
    goes_on(lab, program, 'the thaw')
    values = program.good(60)
    true(program, values, 1)
    check(values['done'] == values['calls'], f'{values} {story(program)}')
    lab.settled('head', 'w1', 'w2')


def thawed(name, seconds, lease):
    """A host stands still, and nobody is lost: the head itself, or a node for less than its lease."""
    def scenario(lab):
        lab.start(lease=lease)
        program = drive(lab, 3, where=lab.w1)
        goes_on(lab, program, 'the start')
        thaw = lab.hosts[name].freeze()
        hold(seconds, program)
        thaw()
        lab.alive('head', 'w1', 'w2', seconds=25)
        goes_on(lab, program, 'the thaw')
        all_done(program, program.good(60))
        lab.settled('head', 'w1', 'w2')
    scenario.__name__ = name + '_thawed'
    quick(scenario)


thawed('head', 5, LEASE)
thawed('w2', 4, '6s')  # longer than its actors may go on


@quick
def node_killed(lab):
    lost(lab, crashed, 0)


@nightly
def node_killed_retries(lab):
    lost(lab, crashed, 5)


@quick
def node_cut_off(lab):
    lost(lab, cut_off, 0)


@quick
def detached(lab):
    """A detached actor of a driver behind the NAT, which has gone, is started again where its program never was."""
    lab.start(1, ['w1'])
    lab.drive(lab.far, 'detached', lab.file('marks'), number(lab, 'w1')).good()
    wait('the head keeps its program', lambda: any(
        len(name) == 64 for name in os.listdir(lab.head.dir + '/state/programs'))
        if os.path.isdir(lab.head.dir + '/state/programs') else False, 20)
    wait('the driver has left', lambda: not lab.far.pids(), 10)
    lab.start_worker(lab.w2)
    lab.tool('cordon', number(lab, 'head'))
    lab.w1.crash()
    wait('w1 is declared dead', lambda: lab.gone('w1'), 20)
    values = lab.drive(lab.head, 'find').good(90)
    check(values['incarnation'] == 2 and values['node'] == number(lab, 'w2'), f'{values}')


def main():
    args = sys.argv[2:]
    names = [a for a in args if a != 'nightly']
    chosen = [f for f in QUICK + NIGHTLY if f.__name__ in names] if names else \
        QUICK + (NIGHTLY if 'nightly' in args else [])
    enter()
    failed = 0
    for scenario in chosen:
        begin = time.monotonic()
        lab = Lab(os.path.abspath(sys.argv[1]))
        lab.driver = os.path.join(lab.build, 'tests/cluster/actor_driver')
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
