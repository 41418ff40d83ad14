#!/usr/bin/env python3
"""`rtc sumo` as a user runs it.

  check_eval.py RTC            what it prints and writes, that it repeats itself, what it refuses
  check_eval.py RTC nightly    RESCO's networks of RTC_SUMO_DATA: delays of FixedTime, MaxPressure and
                               MaxWave within 8 % of what RESCO's own code gives on SUMO 1.15

Exit 77: SUMO or the networks are not there."""

import csv
import os
import shutil
import subprocess
import sys
import tempfile

RTC = sys.argv[1]
NAMES = ['fixed', 'actuated', 'webster', 'longest-queue', 'maxpressure', 'maxwave', 'random']
RESCO = {  # delay, s, of 10 seeds; medians where a few jams, which stay, would make the mean
    'cologne1': ('mean', {'fixed': 59.0, 'maxpressure': 31.5, 'maxwave': 28.6}),
    'ingolstadt1': ('mean', {'fixed': 40.8, 'maxpressure': 24.1, 'maxwave': 30.3}),
    'cologne3': ('median', {'fixed': 41.6, 'maxpressure': 26.3, 'maxwave': 23.2}),
}
WITHIN = 0.08


def sumo(*arguments, env=None):
    return subprocess.run([RTC, 'sumo', *arguments], capture_output=True, text=True, timeout=3000,
                          env=dict(os.environ, **(env or {})))


def need(good, what, run=None):
    if not good:
        print(what)
        if run:
            print(run.stdout, run.stderr)
        sys.exit(1)


def rows(path):
    with open(path, encoding='utf-8') as file:
        return list(csv.DictReader(file))


def spread(values):
    values = sorted(values)
    n = len(values)
    return {'mean': sum(values) / n, 'median': (values[(n - 1) // 2] + values[n // 2]) / 2}


def without_time(path):
    return [{k: v for k, v in row.items() if k != 'seconds'} for row in rows(path)]


def check_eval(folder):
    one, two = os.path.join(folder, 'one'), os.path.join(folder, 'two')
    short = ['--scenario', 'cross', '--seeds', '3', '--seconds', '400', '--quiet']
    run = sumo('eval', *short, '--controller', 'all', '--out', one)
    need(run.returncode == 0, 'eval fails', run)
    delays = {}
    for name in NAMES:
        need(f'cross, {name}: 3 episodes of 400 s, seeds 1 to 3' in run.stdout, f'no table of {name}', run)
        table = rows(os.path.join(one, f'cross-{name}.csv'))
        need([row['seed'] for row in table] == ['1', '2', '3'], f'the CSV of {name} has other seeds')
        need(all(float(row['delay']) > 0 and float(row['queue']) >= 0 and int(row['arrived']) > 50
                 for row in table), f'the CSV of {name} has numbers that cannot be')
        delays[name] = spread(float(row['delay']) for row in table)['mean']
    for better, worse in (('maxpressure', 'fixed'), ('webster', 'random'), ('fixed', 'random')):
        need(delays[better] < delays[worse], f'{better} is no better than {worse}: {delays}')
    if shutil.which('gnuplot'):
        with open(os.path.join(one, 'cross.png'), 'rb') as file:
            need(file.read(4) == b'\x89PNG', 'the plot is no PNG')
    again = sumo('eval', *short, '--controller', 'maxpressure,random', '--out', two, '--jobs', '1', '--no-plot',
                 '--backend', 'traci')
    need(again.returncode == 0 and not os.path.exists(os.path.join(two, 'cross.png')), 'the second eval fails', again)
    for name in ('maxpressure', 'random'):
        need(without_time(os.path.join(one, f'cross-{name}.csv')) ==
             without_time(os.path.join(two, f'cross-{name}.csv')),
             f'{name}: one job over TraCI gives other numbers')


def check_lists():
    run = sumo('list')
    need(run.returncode == 0 and all(name in run.stdout for name in NAMES + ['cross', 'grid4x4', 'square']),
         'list lacks some', run)
    run = sumo('signals', '--scenario', 'cross')
    need('0: program \'0\', 4 greens, 10 lanes, 12 movements' in run.stdout, 'signals of cross', run)
    need('GGgrrrGGgrrr  lets go' in run.stdout, 'greens of cross', run)
    run = sumo('signals', '--scenario', 'square', '--signals', 'A0,B0')  # with their neighbours
    need('rrrrGGggrrrrGGgg  lets go B0A0_0 left0A0_0  to A0B0_0\n' in run.stdout, 'what is behind A0', run)
    run = sumo('env')
    need('others_speed_mode' in run.stdout and 'sumo-vehicles' in run.stdout, 'options of vehicles', run)
    need('waiting_time_memory  1000' in run.stdout and 'diff-waiting-time' in run.stdout, 'options of the environment', run)
    need(sumo('--help').returncode == 0 and '--controller' in sumo('--help').stdout, 'no help')


def check_drivers():
    words = ['env', '--scenario', 'figure-eight', '--set', 'type=rl', '--set', 'num_seconds=20', '--seeds', '3']
    run = sumo(*words)
    need(run.returncode == 0, 'drivers fail', run)
    lines = [line.split() for line in run.stdout.splitlines()]
    need(lines[0] == 'means of 3 episodes, seeds 1 to 3:'.split() and [line[0] for line in lines[2:]] ==
         ['human', 'idle', 'random'], 'the table of drivers', run)
    table = [dict(zip(lines[1], map(float, line[1:]))) for line in lines[2:]]
    need(all(row['length'] == 200 and row['departed'] == 14 for row in table), 'lengths of episodes', run)
    need([row['agents'] for row in table] == [0, 7, 7], 'who is driven', run)
    need(table[0]['speed'] > 2 > table[1]['speed'], 'idle drivers drive', run)
    again = sumo(*words, '--jobs', '1', '--set', 'backend=traci')
    need(again.stdout == run.stdout, 'one job over TraCI gives other numbers', again)


def check_refusals(folder):
    broken, words = os.path.join(folder, 'broken.sumocfg'), ['--controller', 'fixed', '--seeds', '1', '--out', folder]
    with open(broken, 'w', encoding='utf-8') as file:
        file.write('<configuration><input><net-file value="gone.net.xml"/></input></configuration>')
    taken = os.path.join(folder, 'file')
    with open(taken, 'w', encoding='utf-8') as file:
        file.write('')
    for arguments, code, what in (
            (['eval', *words], 2, '--scenario is missing'),
            (['eval', '--scenario', 'cross'], 2, '--controller is missing'),
            (['eval', '--scenario', 'nowhere', *words], 1, "no scenario 'nowhere'; there are: cross"),
            (['eval', '--scenario', '/no/such.sumocfg', *words], 1, "'/no/such.sumocfg'"),
            (['eval', '--scenario', broken, *words], 1, 'gone.net.xml'),
            (['eval', '--scenario', 'cross', '--controller', 'fixed,psychic'], 2, 'no controller "psychic"; there are fixed'),
            (['eval', '--scenario', 'cross', *words, '--seeds', '0'], 2, '--seeds is "0"'),
            (['env', '--scenario', 'merge', '--controller', 'cab'], 2, 'there are human, idle and random'),
            (['env', '--scenario', 'merge', '--set', 'type'], 2, 'KEY=VALUE'),
            (['env', '--scenario', 'merge', '--set', 'type=cab'], 1, "no vehicle type 'cab'"),
            (['env', '--scenario', 'merge', '--seeds', 'x'], 2, '--seeds is "x"'),
            (['env', '--controller', 'idle'], 1, 'neither a scenario nor a net_file'),
            (['eval', '--scenario', 'cross', *words, '--seeds', 'nan'], 2, '--seeds is "nan"'),
            (['eval', '--scenario', 'cross', *words, '--seeds', '1.5'], 2, 'whole number'),
            (['eval', '--scenario', 'cross', *words, '--yellow', '10'], 2, 'longer than the yellow'),
            (['eval', '--scenario', 'cross', *words, '--signals', 'X'], 1, "no signal 'X'"),
            (['eval', '--scenario', 'cross', *words, '--out', taken + '/x'], 1, 'cannot be made'),
            (['eval', '--scenario', 'cross', *words, '--backend', 'cityflow'], 2, 'auto, libsumo or traci'),
            (['eval', '--scenario', 'cross', *words, 'more'], 2, '"more" is not an option'),
            (['drive'], 2, 'no command "drive"')):
        run = sumo(*arguments)
        need(run.returncode == code and what in run.stderr, f'{arguments}: rc {run.returncode}, not {code} and {what}', run)
    run = sumo('eval', '--scenario', 'cross', *words, '--backend', 'traci', env={'RTC_SUMO_BINARY': '/nonexistent'})
    need(run.returncode == 1 and 'install SUMO' in run.stderr, 'SUMO that is missing', run)


def check_resco(folder):
    data, bad = os.environ.get('RTC_SUMO_DATA', ''), 0
    for name, (by, values) in RESCO.items():
        sumocfg = os.path.join(data, name, name + '.sumocfg')
        run = sumo('eval', '--scenario', sumocfg, '--controller', ','.join(values), '--seeds', '10', '--quiet',
                   '--no-plot', '--out', folder)
        need(run.returncode == 0, f'{name} fails', run)
        for controller, value in values.items():
            table = rows(os.path.join(folder, f'{name}-{controller}.csv'))
            ours = spread(float(row['delay']) for row in table)[by]
            jams = sum(int(row['gridlock']) for row in table)
            good = abs(ours - value) <= WITHIN * value
            bad += not good
            print(f'{name:12} {controller:12} {by:6} {ours:7.2f} s, RESCO {value:5.1f} s, '
                  f'{100 * (ours / value - 1):+5.1f} %, gridlocked {jams} of {len(table)}{"" if good else "  BAD"}')
    return bad


def main():
    nightly = len(sys.argv) > 2
    if not shutil.which('sumo') or not os.path.isdir('/usr/share/sumo/tools/game'):
        print('skipped: SUMO is not installed')
        sys.exit(77)
    if nightly and not os.path.isdir(os.path.join(os.environ.get('RTC_SUMO_DATA', ''), 'cologne1')):
        print('skipped: RTC_SUMO_DATA names no folder with the networks of RESCO')
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix='rtc-eval-') as folder:
        if nightly:
            sys.exit(1 if check_resco(folder) else 0)
        check_lists()
        check_drivers()
        check_refusals(folder)
        check_eval(folder)


main()
