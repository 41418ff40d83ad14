#!/usr/bin/env python3
"""check_faults.py BUILD [nightly] [SCENARIO…]: `rtc ppo` while something of it is killed. Training goes on,
says what was lost, and ends with the samples that it was to make. Scenarios of several hosts are in network
namespaces (tests/cluster/hosts.py) and are left out, with the reason, where those cannot be made; those of
SUMO where it is not installed."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'cluster'))
from hosts import SKIP, Failure, Lab, check, enter, processes, read, wait  # noqa: E402

LIMIT = 60
AMONG_HOSTS = 'RTC_FAULTS_HOSTS'
ONE, HOSTS, NIGHTLY = [], [], []
CROSS = os.path.abspath(os.path.join(HERE, '..', '..', 'configs', 'sumo', 'cross.sumocfg'))


def one(function):
    ONE.append(function)
    return function


def hosts(function):
    HOSTS.append(function)
    return function


def nightly(function):
    NIGHTLY.append(function)
    return function


def settings(iterations, actors, **more):
    """A small training whose iterations are of 200 samples."""
    keys = dict({'num_env_runners': actors, 'num_envs_per_env_runner': 1, 'rollout_fragment_length': 200 // actors,
                 'train_batch_size': 200, 'minibatch_size': 100, 'num_epochs': 1, 'num_iterations': iterations,
                 'fcnet_hiddens': '[16]', 'plots': 'false', 'tensorboard': 'false'}, **more)
    return [word for key, value in keys.items() for word in ('--set', f'{key}={value}')]


def cartpole(iterations, actors=2, **more):
    return settings(iterations, actors, env='CartPole-v1', **more)


def cross(iterations, backend, actors=2):
    return settings(iterations, actors) + ['--set', f'sumo.sumocfg_file={CROSS}', '--set', f'sumo.backend={backend}',
                                           '--set', 'sumo.max_steps=300', '--set', 'env_config.delta_time=10']


def iteration_of(text):
    found = re.findall(r'^iteration (\d+)/', text, re.M)
    return int(found[-1]) if found else 0


def rows_of(folder):
    return [json.loads(line) for line in read(os.path.join(folder, 'result.json')).splitlines()]


def finished(folder, iterations, left_out=0):
    """All iterations, and all samples but those rows in which a simulation died."""
    rows = rows_of(folder)
    check([row['training_iteration'] for row in rows] == list(range(1, iterations + 1)),
          f'{len(rows)} rows of {iterations}')
    total = rows[-1]['timesteps_total']
    check(200 * iterations - left_out <= total <= 200 * iterations, f'{total} samples of {200 * iterations}')
    return rows[-1]


# ---- One host ----

class Run:
    """`rtc ppo` with a cluster of its own."""

    def __init__(self, build, arguments):
        self.dir = tempfile.mkdtemp(prefix='rtc-faults-')
        self.folder = os.path.join(self.dir, 'run')
        env = dict(os.environ, RTC_BIN=os.path.join(build, 'runtime/cli/rtc'), RTC_ADDRESS='embedded',
                   RTC_SUMO_WORKER=os.path.join(build, 'actors/sumo/rtc-sumo-worker'))
        self.out = open(os.path.join(self.dir, 'out'), 'w', encoding='utf-8')
        self.process = subprocess.Popen([os.path.join(build, 'actors/ppo/rtc-ppo'), *arguments, '--folder',
                                         self.folder], cwd=self.dir, env=env, stdout=self.out, stderr=self.out)
        self.seen = set()

    def text(self):
        return read(os.path.join(self.dir, 'out'))

    def below(self):
        """Processes that have this one above them."""
        parents = {pid: parent for pid, parent, _, _ in processes()}
        found = []
        for pid in parents:
            at = pid
            while at in parents and at != self.process.pid:
                at = parents[at]
            if at == self.process.pid and pid != at:
                found.append(pid)
        self.seen.update(found)
        return found

    def named(self, words):
        return [pid for pid in self.below() if words in read(f'/proc/{pid}/cmdline').replace('\0', ' ')]

    def reaches(self, iteration):
        def there():
            self.below()
            check(self.process.poll() is None, f'it ended with {self.process.returncode}\n{self.text()}')
            return iteration_of(self.text()) >= iteration
        wait(f'iteration {iteration}', there, LIMIT)

    def strike(self, words, which=0):
        found = wait(f'"{words}" runs', lambda: self.named(words), LIMIT)
        try:
            os.kill(found[which % len(found)], signal.SIGKILL)
        except ProcessLookupError:
            return self.strike(words, which)
        return found[which % len(found)]

    def ends(self):
        check(self.process.wait(LIMIT) == 0, f'it ended with {self.process.returncode}\n{self.text()}')
        wait('nothing is left', lambda: not {pid for pid, _, _, _ in processes()} & self.seen, 15)
        return self.text()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.out.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def simulations(build, backend, words):
    run = Run(build, cross(18, backend))
    try:
        for i in range(3):
            run.reaches(3 + 3 * i)
            run.strike(words, i)
        if backend == 'libsumo':
            run.strike('rtc-sumo-worker server')
        text = run.ends()
        last = finished(run.folder, 18, left_out=3)
        # One that dies between two episodes costs nothing.
        check(1 <= last['episodes_lost'] <= 3, f'{last["episodes_lost"]} episodes were lost, of 3\n{text}')
        check('lost: the simulation of' in text and 'killed by signal 9' in text, text)
    finally:
        run.close()


@one
def simulations_over_libsumo(build):
    """kill -9 of simulations, one after the other, and of the server that forks them."""
    if not os.path.exists(os.path.join(build, 'actors/sumo/rtc-sumo-worker')):
        return 'rtc was built without libsumo'
    if not shutil.which('sumo'):
        return 'SUMO is not installed'
    return simulations(build, 'libsumo', 'rtc-sumo-worker worker')


@one
def simulations_over_traci(build):
    if not shutil.which('sumo'):
        return 'SUMO is not installed'
    return simulations(build, 'traci', '--remote-port')


@one
def rollout_actors(build):
    """kill -9 of executors: all of them, one after the other."""
    run = Run(build, cartpole(400, num_learners=1))
    executor = os.path.join(build, 'actors/ppo/rtc-ppo')
    try:
        for i in range(2):
            run.reaches(5 + 5 * i)
            run.strike(executor, i)
        text = run.ends()
        finished(run.folder, 400)
        check('a rollout actor died, and was started again' in text, text)
    finally:
        run.close()


@one
def learners(build):
    """The same where most of them learn: whatever is hit, an update is made with all samples."""
    run = Run(build, cartpole(300, actors=1, num_learners=3, vf_share_layers='true'))
    executor = os.path.join(build, 'actors/ppo/rtc-ppo')
    try:
        for i in range(4):
            run.reaches(5 + 10 * i)
            run.strike(executor, i)
        text = run.ends()
        finished(run.folder, 300)
        check('learners broke off an update, and make it again' in text or
              'a rollout actor died, and was started again' in text, text)
    finally:
        run.close()


@one
def memory(build):
    """A target that is below what is in use: caches, then environments go; the samples are as many."""
    run = Run(build, cartpole(20, num_envs_per_env_runner=2, rollout_fragment_length=50, target_memory_gb=0.1))
    try:
        text = run.ends()
        last = finished(run.folder, 20)
        check('caches are freed, and environments become 1 instead of 4' in text, text)
        check('1 rollout actor × 1 environment go on, with new episodes and fragments of 100 steps' in text, text)
        check(last['episodes_lost'] == 0 and last['actor_restarts'] == 0, f'{last}')
    finally:
        run.close()


# ---- Several hosts ----

def train_on(lab, *arguments):
    folder = lab.file('run')
    program = lab.head.start(os.path.join(lab.build, 'actors/ppo/rtc-ppo'), *arguments, '--folder', folder,
                             env={'RTC_ADDRESS': 'unix:' + lab.head.socket})
    return program, folder


def reaches(program, iteration):
    def there():
        check(program.running(), program.tail())
        return iteration_of(program.out()) >= iteration
    wait(f'iteration {iteration}', there, LIMIT)


def hosts_of_actors(lab):
    """Of the rollout actors: names of hosts on which an executor has the driver's program."""
    return [name for name in ('w1', 'w2') if len(lab.hosts[name].pids()) > 2]


def worker_dies(lab, arguments, iterations, left_out, cpus=2):
    """The same words as on one host; the actors are spread over two workers, of which one is killed."""
    lab.start_head(0)
    for name in ('w1', 'w2'):
        lab.start_worker(lab.hosts[name], cpus)
    program, folder = train_on(lab, *arguments)
    reaches(program, 3)
    check(hosts_of_actors(lab) == ['w1', 'w2'], f'actors run on {hosts_of_actors(lab)}')
    lab.w1.crash()
    program.good(LIMIT)
    finished(folder, iterations, left_out)
    check('died' in program.out() or 'lost' in program.out(), program.out())
    wait('nothing is left on w2', lambda: len(lab.w2.pids()) <= 2, 15)
    return program


@hosts
def a_worker(lab):
    worker_dies(lab, cartpole(400), 400, 0)


@nightly
@hosts
def a_worker_that_is_missed(lab):
    """There is no room for its actors elsewhere: the others make their samples."""
    program = worker_dies(lab, cartpole(400, 4, num_cpus=2), 400, 0, cpus=1)
    check('has no place, and others make its fragments' in program.out(), program.out())


@hosts
def the_daemon_of_the_head(lab):
    """kill -9 in the midst: the keeper starts another, nothing is lost."""
    lab.start_head(0)
    for name in ('w1', 'w2'):
        lab.start_worker(lab.hosts[name], 2)
    program, folder = train_on(lab, *cartpole(200))
    for i in range(2):
        reaches(program, 3 + 20 * i)
        lab.head.strike()
        wait('the daemon is there again', lab.head.daemon, 15)
    program.good(LIMIT)
    finished(folder, 200)


@nightly
@hosts
def a_worker_with_simulations(lab):
    if not shutil.which('sumo'):
        return 'SUMO is not installed'
    worker_dies(lab, cross(40, 'traci'), 40, 3)
    return None


# ---- All ----

def tell(scenario, argument):
    begin, left_out = time.monotonic(), None
    try:
        left_out = scenario(argument)
        text = 'ok'
    except Exception as error:
        text = 'FAILED'
        if isinstance(error, Failure):
            print(error)
        traceback.print_exc()
        if isinstance(argument, Lab):
            print(argument.logs())
    print(f'{scenario.__name__}: {"left out: " + left_out if left_out else text}, '
          f'{time.monotonic() - begin:.1f} s', flush=True)
    return text == 'FAILED'


def chosen(functions):
    names = [a for a in sys.argv[2:] if a != 'nightly']
    if names:
        return [f for f in functions if f.__name__ in names]
    return [f for f in functions if f not in NIGHTLY or 'nightly' in sys.argv]


def main_hosts(build):
    enter()
    failed = 0
    for scenario in chosen(HOSTS):
        lab = Lab(build)
        failed += tell(scenario, lab)
        lab.end()
    return 1 if failed else 0


def main():
    build = os.path.abspath(sys.argv[1])
    if AMONG_HOSTS in os.environ:
        return main_hosts(build)
    failed = sum(tell(scenario, build) for scenario in chosen(ONE))
    if chosen(HOSTS):  # in a process of its own, which becomes the first of its namespaces
        status = subprocess.run([sys.executable, *sys.argv], env=dict(os.environ, **{AMONG_HOSTS: '1'}),
                                check=False).returncode
        failed += status not in (0, SKIP)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
