#!/usr/bin/env python3
"""Vehicles are learnt to be driven, by `rtc ppo` as a user runs it.

  check_vehicles.py RTC RTC-PPO           a few iterations over vehicles that enter and leave: both backends give
                                          the same run, and so does one that was stopped; what cannot be
  check_vehicles.py RTC RTC-PPO nightly   the figure eight: the learned policy drives faster than the one it
                                          began as, and about as fast as those whom nobody drives, or faster

Exit 77: SUMO is not there."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

CONFIGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'configs')
LIMIT = 3000  # seconds


def ppo(folder, *arguments):
    env = dict(os.environ, RTC_BIN=sys.argv[1], RTC_ADDRESS='embedded')
    return subprocess.run([sys.argv[2], *arguments], cwd=folder, env=env, text=True, capture_output=True, timeout=LIMIT)


def fine(folder, *arguments):
    done = ppo(folder, *arguments)
    if done.returncode:
        raise SystemExit(f'{arguments}: {done.returncode}\n{done.stdout}{done.stderr}')
    return done.stdout + done.stderr


def rows(folder, name):
    with open(os.path.join(folder, name, 'result.json'), encoding='utf-8') as file:
        return [json.loads(line) for line in file]


def speeds(text):
    """Of the table at the end: the mean speed of each driver."""
    return {name: float(x) for name, x in re.findall(r'^  (learned \(PPO\)|human|random) +([-0-9.]+) ', text, re.M)}


MERGE = ['--config', os.path.join(CONFIGS, 'ppo_merge.yaml'), '--set', 'num_iterations=3', '--set', 'plots=false',
         '--set', 'train_batch_size=240', '--set', 'env_config.num_seconds=50', '--set', 'env_config.agents=4',
         '--set', 'eval_interval=2']


def check_merge(folder):
    text = fine(folder, *MERGE, '--folder', 'one')
    assert 'Training completed' in text and 'evaluation after iteration 2' in text, text
    first = rows(folder, 'one')
    # three iterations of 240 steps with 0 to 4 vehicles each
    assert len(first) == 3 and 100 < first[2]['timesteps_total'] < 3 * 240 * 4, first
    assert first[2]['episodes_total'] == 12 and first[2]['episodes_lost'] == 0, first
    assert set(speeds(text)) == {'learned (PPO)', 'human', 'random'}, text
    fine(folder, *MERGE, '--folder', 'two', '--set', 'env_config.backend=traci')
    # stopped amid the episodes of agents that come and go, it goes on with the same
    fine(folder, *MERGE, '--folder', 'three', '--set', 'num_iterations=1')
    fine(folder, '--folder', 'three', '--resume', '--set', 'num_iterations=3')
    for other in ('two', 'three'):
        for a, b in zip(first, rows(folder, other), strict=True):
            for name in ('episode_reward_mean', 'total_loss', 'grad_norm', 'timesteps_total'):
                assert a[name] == b[name], (name, a, b)
    fine(folder, 'eval', '--folder', 'one', '--episodes', '2')


def check_refusals(folder):
    for words, code, arguments in (
            ('attention is over rows of an observation', 1, ['--set', 'env=CartPole-v1', '--set', 'use_attention=true']),
            ('attention_dim 30 is no multiple of attention_num_heads 4', 2, [*MERGE, '--set', 'attention_dim=30']),
            ("no vehicle type 'bus'", 1, [*MERGE, '--set', 'env_config.type=bus']),
            ('actions are to be', 1, [*MERGE, '--set', 'env_config.lane_change=true', '--set',
                                      'env_config.scenario=' + os.path.join(folder, 'wide.sumocfg')])):
        done = ppo(folder, *arguments, '--folder', 'no')
        assert done.returncode == code and words in done.stdout + done.stderr, (words, done)
        shutil.rmtree(os.path.join(folder, 'no'), ignore_errors=True)


def make_wide_road(folder):
    def write(name, text):
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
            file.write(text)
    write('wide.nod.xml', '<nodes><node id="a" x="0" y="0"/><node id="b" x="900" y="0"/></nodes>')
    write('wide.edg.xml', '<edges><edge id="ab" from="a" to="b" numLanes="2"/></edges>')
    write('wide.rou.xml', '<routes><vType id="rl"/><route id="r" edges="ab"/>'
          '<flow id="f" type="rl" route="r" begin="0" end="100" period="5"/></routes>')
    write('wide.sumocfg', '<configuration><input><net-file value="wide.net.xml"/><route-files value="wide.rou.xml"/>'
          '</input></configuration>')
    subprocess.run(['netconvert', '-n', 'wide.nod.xml', '-e', 'wide.edg.xml', '-o', 'wide.net.xml', '--xml-validation',
                    'never'], cwd=folder, check=True, capture_output=True)


def check_learning(folder):
    config = ['--config', os.path.join(CONFIGS, 'ppo_figure_eight.yaml'), '--set', 'plots=false']
    began = speeds(fine(folder, *config, '--folder', 'began', '--set', 'num_iterations=1', '--set', 'lr=1e-9'))
    learnt = speeds(fine(folder, *config, '--folder', 'learnt'))
    print(began, learnt)
    assert learnt['learned (PPO)'] > 1.5 * began['learned (PPO)'], (began, learnt)
    assert learnt['learned (PPO)'] > 0.95 * learnt['human'], learnt


def main():
    if not shutil.which('sumo') or not shutil.which('netconvert'):
        print('skipped: SUMO is not installed')
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix='rtc-vehicles-') as folder:
        if len(sys.argv) > 3:
            check_learning(folder)
            return
        make_wide_road(folder)
        check_merge(folder)
        check_refusals(folder)


main()
