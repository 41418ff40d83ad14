#!/usr/bin/env python3
"""check_learn.py RTC [SEEDS [NET…]]: what PPO reaches on RESCO's networks of RTC_SUMO_DATA.

Trains configs/ppo_signals.yaml on each, 300 episodes with each of SEEDS (3) seeds, and plays each run's
best checkpoint, the one whose evaluation was best in the course of the training, on 10 seeds that neither
the training nor its evaluations had. The median of the trainings must be within the limit.

Prints what tests/bench/results/ppo.txt keeps of it. Hours on a busy machine; minutes on a free one.
Exit 77: SUMO or the networks are not there."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

LIMITS = {'ingolstadt1': 26.0, 'cologne1': 34.0}  # s of delay
CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../configs/ppo_signals.yaml')
LIMIT = 6 * 3600  # s, of a training


def ppo(rtc, *arguments):
    env = dict(os.environ, RTC_ADDRESS='embedded')
    run = subprocess.run([rtc, 'ppo', *arguments], capture_output=True, text=True, timeout=LIMIT, env=env)
    if run.returncode:
        print(run.stdout, run.stderr)
        sys.exit(f'rtc ppo {" ".join(arguments)} fails: {run.returncode}')
    return run.stdout


def curve(folder):
    with open(os.path.join(folder, 'result.json'), encoding='utf-8') as file:
        rows = [json.loads(line) for line in file]
    return [(row['training_iteration'], row['evaluation/delay']) for row in rows
            if row.get('evaluation/delay') is not None]


def learned(text):
    for line in text.splitlines():
        if line.strip().startswith('learned (PPO)'):
            return [float(word) for word in line.split()[2:7]]
    sys.exit('no row of the learned controller:\n' + text)


def train(rtc, net, seed, folder):
    scenario = os.path.join(os.environ['RTC_SUMO_DATA'], net, net + '.sumocfg')
    ppo(rtc, '--config', CONFIG, '--scenario', scenario, '--folder', folder, '--set', f'seed={seed}')
    text = ppo(rtc, 'eval', '--folder', folder)
    mean, median, greatest, trip, wait = learned(text)
    best = next(line.split()[1] for line in text.splitlines() if line.startswith('iteration')).rstrip(':')
    print(f'{net}, seed {seed}: delay {mean:.2f} s, median {median:.2f}, greatest {greatest:.2f}, '
          f'trip time {trip:.2f}, wait {wait:.2f}; of iteration {best}')
    print('   evaluations ' + ', '.join(f'{i}: {delay:.2f}' for i, delay in curve(folder)), flush=True)
    return mean


def main():
    rtc, n = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    data = os.environ.get('RTC_SUMO_DATA', '')
    nets = sys.argv[3:] or sorted(LIMITS)
    if not shutil.which('sumo') or not all(os.path.exists(os.path.join(data, net)) for net in nets):
        print('there is no SUMO, or RTC_SUMO_DATA does not name a folder with ' + ', '.join(nets))
        sys.exit(77)
    bad = False
    folder = tempfile.mkdtemp(prefix='rtc-learn-')
    try:
        for net in nets:
            means = sorted(train(rtc, net, seed, os.path.join(folder, f'{net}-{seed}'))
                           for seed in range(1, n + 1))
            middle = (means[(n - 1) // 2] + means[n // 2]) / 2
            bad = bad or middle > LIMITS[net]
            print(f'{net}: {middle:.2f} s, median of {n} trainings; at most {LIMITS[net]:g}', flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bad)


main()
