"""Hosts of a test: network namespaces on a bridge, with rtc running in them.

The whole test lives in namespaces of its own, also of processes and mounts: when its first process
ends, however that comes about, the kernel ends all others and the networks are gone. Standard
library only; needs `ip`, `nft`, `nsenter` and `unshare`."""

import collections
import fcntl
import json
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

SKIP = 77
INSIDE = 'RTC_TEST_INSIDE'
NAMESPACES = ['unshare', '--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc']


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def skip(reason):
    print('skipped: ' + reason)
    sys.exit(SKIP)


def wait(what, condition, seconds=15):
    """Until the condition is true; gives what it gave."""
    begin = time.monotonic()
    until = begin + seconds
    while True:
        last = condition()
        if last:
            if 'RTC_TEST_VERBOSE' in os.environ:
                print(f'{time.monotonic() - begin:6.2f} s: {what.splitlines()[0]}', flush=True)
            return last
        if time.monotonic() > until:
            raise Failure(f'not within {seconds} s: {what}')
        time.sleep(0.01)  # between two looks


def tool(*args, **more):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=30, **more)


def must(*args):
    done = tool(*args)
    check(done.returncode == 0, ' '.join(str(a) for a in args) + ': ' + done.stderr.strip())
    return done.stdout


def read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return ''


# ---- Namespaces ----

def enter():
    """Executes the program again inside new namespaces, or skips it."""
    if os.environ.get(INSIDE):
        tend()
        return
    for name in ('ip', 'nft', 'nsenter', 'unshare'):
        if not shutil.which(name):
            skip(f'`{name}` is not installed')
    command = NAMESPACES[:1] + (['--user', '--map-root-user'] if os.getuid() else []) + NAMESPACES[1:]
    probe = tool(*command, 'sh', '-c', 'ip link add bridge0 type bridge && ip link add veth0 type veth '
                 'peer name veth1 && mount -t tmpfs none /run && mkdir /run/netns && ip netns add probe')
    if probe.returncode:
        skip('no namespaces here: ' + (probe.stderr.strip() or 'unshare failed'))
    env = dict(os.environ, **{INSIDE: '1'})
    os.execvpe(command[0], command + [sys.executable] + sys.argv, env)


def tend():
    """The first process of the namespace takes in whom others left, and ends with the test."""
    child = os.fork()
    if child:
        while True:
            pid, status = os.wait()
            if pid == child:
                os._exit(os.waitstatus_to_exitcode(status) & 255)
    must('mount', '-t', 'tmpfs', 'none', '/run')
    os.mkdir('/run/netns')
    must('ip', 'link', 'set', 'lo', 'up')


def processes():
    """Number, parent, state and network namespace of those that live."""
    found = []
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            fields = read(f'/proc/{name}/stat').rpartition(')')[2].split()
            if fields and fields[0] not in 'ZX':
                found.append((int(name), int(fields[1]), fields[0], os.stat(f'/proc/{name}/ns/net').st_ino))
        except OSError:
            pass  # gone by now
    return found


# ---- A slow cable ----

def tap(name):
    """A network device whose packets this program carries."""
    fd = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', name.encode(), 0x1002))  # TUNSETIFF, TAP without a header
    return fd


def carry(ends, delay, rate):
    """Packets from each end to the other, so many seconds later, at so many bits per second; what would wait
    for more than 100 ms is dropped, as routers do."""
    queues, free = {0: collections.deque(), 1: collections.deque()}, [0.0, 0.0]
    while True:
        now = time.monotonic()
        due = [queue[0][0] for queue in queues.values() if queue]
        ready = select.select(ends, [], [], max(0, min(due) - now) if due else None)[0]
        now = time.monotonic()
        for way in (0, 1):
            for _ in range(32 if ends[way] in ready else 0):
                try:
                    packet = os.read(ends[way], 70000)
                except BlockingIOError:
                    break
                if free[way] - now > 0.1:
                    continue
                free[way] = max(free[way], now) + 8 * len(packet) / rate
                queues[way].append((free[way] + delay, packet))
            while queues[way] and queues[way][0][0] <= now:
                try:
                    os.write(ends[1 - way], queues[way].popleft()[1])
                except OSError:
                    pass  # that end is not up


class Program:
    """A process on a host; what it prints goes to files."""

    def __init__(self, host, args, env, title, wrap):
        self.out_path, self.err_path = host.lab.file(title + '.out'), host.lab.file(title + '.err')
        self.title = title
        with open(self.out_path, 'wb') as out, open(self.err_path, 'wb') as err:
            self.process = subprocess.Popen(
                ['nsenter', f'--net=/run/netns/{host.name}'] + wrap + [str(a) for a in args],
                env=env, stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True)

    def out(self):
        return read(self.out_path)

    def err(self):
        return read(self.err_path)

    def running(self):
        return self.process.poll() is None

    def close(self):
        """Ends its input."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, seconds=60):
        self.close()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f'{self.title} did not end within {seconds} s\n{self.tail()}') from None

    def good(self, seconds=60):
        status = self.end(seconds)
        check(status == 0, f'{self.title} ended with {status}\n{self.tail()}')
        return self.values()

    def tail(self):
        return self.out()[-1500:] + self.err()[-4000:]

    def values(self):
        """The lines `key value`; those of `host` as a table."""
        found = {'host': {}}
        for line in self.out().splitlines():
            words = line.split()
            if len(words) == 3 and words[0] == 'host':
                found['host'][int(words[1])] = int(words[2])
            elif len(words) == 2 and words[1].isdigit():
                found[words[0]] = int(words[1])
        return found

    def got(self):
        """How many results a driver has taken."""
        at = self.out().rfind('got ')
        return int(self.out()[at + 4:].split()[0]) if at >= 0 and self.out()[at:].endswith('\n') else 0


class Host:
    def __init__(self, lab, name):
        self.lab, self.name, self.dir = lab, name, lab.file(name)
        os.makedirs(self.dir + '/run', 0o700)
        must('ip', 'netns', 'add', name)
        self.inside('ip', 'link', 'set', 'lo', 'up')
        self.number = os.stat(f'/run/netns/{name}').st_ino
        self.socket, self.log = self.dir + '/rtc.sock', self.dir + '/state.log'

    def inside(self, *args):
        return must('nsenter', f'--net=/run/netns/{self.name}', *args)

    def env(self, **more):
        own = {'PATH': os.environ['PATH'], 'HOME': self.dir, 'RTC_BIN': self.lab.rtc,
               'XDG_RUNTIME_DIR': self.dir + '/run', 'XDG_STATE_HOME': self.dir}
        for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS'):
            if name in os.environ:
                own[name] = os.environ[name]
        return dict(own, **more)

    def start(self, *args, env=None, wrap=()):
        self.lab.count += 1
        title = f'{self.lab.count:03}-{self.name}-{os.path.basename(str(args[0]))}'
        program = Program(self, args, self.env(**(env or {})), title, list(wrap))
        self.lab.programs.append(program)
        return program

    def rtc(self, *args, **more):
        return self.start(self.lab.rtc, *args, **more)

    def pids(self):
        return [pid for pid, _, _, net in processes() if net == self.number]

    def daemon(self):
        """The daemon and its keeper, found by who is whose child."""
        for pid in self.pids():
            words = read(f'/proc/{pid}/cmdline').split('\0')
            if len(words) > 1 and words[1] in ('daemon', 'worker-daemon') and '--embedded' not in words:
                return pid
        return 0

    def keeper(self):
        daemon = self.daemon()
        return next((parent for pid, parent, _, _ in processes() if pid == daemon), 0)

    def strike(self, sig=signal.SIGKILL, all_of_it=False):
        """A signal to the daemon, or to every process of the host, first to those that restart others."""
        daemon = self.daemon()
        check(daemon, f'no daemon runs on {self.name}')
        for pid in (sorted(self.pids()) if all_of_it else [daemon]):
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass

    def crash(self):
        """The host is gone: its processes too, and nothing of theirs says goodbye."""
        self.block('both')
        while self.pids():
            for pid in sorted(self.pids()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.unblock()

    def freeze(self):
        """Everything on the host stands still: as a laptop that sleeps. Gives what thaws it."""
        stopped = sorted(self.pids())
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)

        def thaw():
            for pid in stopped:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
        return thaw

    # ---- Its network ----

    def link(self, up):
        must('ip', 'link', 'set', 'to-' + self.name, 'up' if up else 'down')

    def block(self, way, other=None):
        """Drops packets that come `in`, go `out`, or `both`; of one other host or of all."""
        self.unblock()
        rules = 'add table ip block\n'
        for hook, device, peer in (('input', 'iif', 'saddr'), ('output', 'oif', 'daddr')):
            if way != 'both' and not hook.startswith(way):
                continue
            which = f'ip {peer} {other.address}' if other else f'{device} != lo'
            rules += f'add chain ip block {hook} {{ type filter hook {hook} priority 0; }}\n' \
                     f'add rule ip block {hook} {which} drop\n'
        self.inside('nft', rules)

    def unblock(self):
        self.inside('nft', 'add table ip block; delete table ip block')


class Lab:
    """head, w1 and w2 on one network; far behind a router that masquerades."""

    def __init__(self, build):
        self.rtc = os.path.join(build, 'runtime/cli/rtc')
        self.driver = os.path.join(build, 'tests/cluster/host_driver')
        self.build = build
        self.dir = tempfile.mkdtemp(prefix='rtc-hosts-', dir='/tmp')
        self.count, self.programs, self.hosts, self.line, self.carriers = 0, [], {}, '', []
        must('ip', 'link', 'add', 'br0', 'type', 'bridge')
        must('ip', 'link', 'set', 'br0', 'up')
        for name, address in (('head', '10.9.0.1'), ('w1', '10.9.0.11'), ('w2', '10.9.0.12'), ('nat', '10.9.0.77')):
            self.attach(name, address)
        self.make_far()

    def file(self, name):
        return os.path.join(self.dir, name)

    def attach(self, name, address):
        host = self.hosts[name] = Host(self, name)
        setattr(self, name, host)
        must('ip', 'link', 'add', 'to-' + name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
        host.address = address
        self.connect(host)

    def slow_cable(self, host, delay, rate):
        """In place of the host's own, before anything runs there."""
        must('ip', 'link', 'delete', 'to-' + host.name)
        ends = [tap('to-' + host.name), tap('tap-' + host.name)]
        must('ip', 'link', 'set', 'tap-' + host.name, 'netns', host.name, 'name', 'eth0')
        self.connect(host)
        pid = os.fork()
        if not pid:
            try:
                carry(ends, delay, rate)
            finally:
                os._exit(1)
        for fd in ends:
            os.close(fd)
        self.carriers.append(pid)

    def connect(self, host):
        must('ip', 'link', 'set', 'to-' + host.name, 'master', 'br0', 'up')
        host.inside('ip', 'address', 'add', host.address + '/24', 'dev', 'eth0')
        host.inside('ip', 'link', 'set', 'eth0', 'up')

    def make_far(self):
        host = self.far = self.hosts['far'] = Host(self, 'far')
        host.address = '192.168.77.2'
        must('ip', 'link', 'add', 'eth1', 'netns', 'nat', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'far')
        self.nat.inside('ip', 'address', 'add', '192.168.77.1/24', 'dev', 'eth1')
        self.nat.inside('ip', 'link', 'set', 'eth1', 'up')
        self.nat.inside('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1')
        self.nat.inside('nft', 'add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; };'
                        'add rule ip nat post oif eth0 masquerade')
        host.inside('ip', 'address', 'add', '192.168.77.2/24', 'dev', 'eth0')
        host.inside('ip', 'link', 'set', 'eth0', 'up')
        host.inside('ip', 'route', 'add', 'default', 'via', '192.168.77.1')

    # ---- rtc ----

    def start_head(self, cpus=1, seconds=10, lease=None):
        h = self.head
        program = h.rtc('head', '--cpus', cpus, '--socket', h.socket, '--state-dir', h.dir + '/state',
                        '--address', h.address, '--name', 'head', '--detach', *(['--lease', lease] if lease else []),
                        env={'RTC_LOG': 'info'})
        program.good(seconds)
        self.line = read(h.dir + '/state/join').strip()
        check(self.line.startswith('rtc1:'), 'the head gives no join line')

    def start_worker(self, host, cpus=1, line=None, wait_for=True, wrap=()):
        program = host.rtc('worker', '--join', line or self.line, '--cpus', cpus, '--name', host.name, '--socket',
                           host.socket, '--state-dir', host.dir + '/state', '--detach', env={'RTC_LOG': 'info'},
                           wrap=wrap)
        if wait_for:
            program.good(15)
            self.alive(host.name)
        return program

    def start(self, cpus=1, workers=('w1', 'w2'), lease=None):
        self.start_head(cpus, lease=lease)
        for name in workers:
            self.start_worker(self.hosts[name], cpus)

    def tool(self, *args, seconds=20):
        program = self.head.rtc(*args, env={'RTC_ADDRESS': 'unix:' + self.head.socket})
        program.good(seconds)
        return program.out()

    def nodes(self):
        """By name. Private nodes of drivers are left out."""
        rows = json.loads(self.tool('list', 'nodes', '--json'))
        return {row['name']: row for row in rows if row['name'] in self.hosts and (row['cpus'] or row['state'] == 'dead')}

    def status(self):
        return json.loads(self.tool('status', '--json'))

    def alive(self, *names, seconds=15):
        wait(', '.join(names) + ' alive', lambda: all(self.nodes().get(n, {}).get('state') == 'alive' for n in names),
             seconds)

    def gone(self, name):
        return self.nodes().get(name, {'state': 'dead'})['state'] == 'dead'

    def drive(self, host, *args, line=None, env=None, driver=None, wrap=()):
        """The test's driver on a host: through its daemon when one runs there, else by the join line."""
        where = line or ('unix:' + host.socket if host.daemon() else self.line)
        return host.start(driver or self.driver, *args, env=dict({'RTC_ADDRESS': where}, **(env or {})), wrap=wrap)

    def settled(self, *names, seconds=20):
        """All of them alive and idle, nothing in use, no process left but keeper and daemon."""
        def idle():
            rows, status = self.nodes(), self.status()
            wrong = [f'{n}: {rows.get(n)}' for n in names if n not in rows or rows[n]['state'] != 'alive' or
                     rows[n]['running'] or rows[n]['cpus_used'] or rows[n]['slots'] or rows[n]['store_used']]
            for key in ('tasks_alive', 'tasks_running', 'objects'):
                if status[key]:
                    wrong.append(f'{key} {status[key]}')
            for n in names:
                if len(self.hosts[n].pids()) > 2:
                    wrong.append(f'{n}: processes {[read(f"/proc/{p}/cmdline") for p in self.hosts[n].pids()]}')
            self.wrong = wrong
            return not wrong
        try:
            wait('idle', idle, seconds)
        except Failure:
            raise Failure('not idle: ' + '; '.join(self.wrong)) from None

    def logs(self):
        text = ''
        for host in self.hosts.values():
            if read(host.log):
                text += f'--- {host.name}\n' + read(host.log)[-3000:]
        return text

    def end(self):
        for program in self.programs:
            program.close()
        own = os.stat('/proc/self/ns/net').st_ino
        while True:
            left = [pid for pid, _, _, net in processes() if net != own]
            if not left:
                break
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for program in self.programs:
            program.process.wait()
        for pid in self.carriers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for name in self.hosts:  # a network goes some time after its name: its cable goes now
            tool('ip', 'link', 'delete', 'to-' + name)
            tool('ip', 'netns', 'delete', name)
        must('ip', 'link', 'delete', 'br0')
        shutil.rmtree(self.dir, ignore_errors=True)
