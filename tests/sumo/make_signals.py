#!/usr/bin/env python3
"""What sumo-rl sees and pays, for tests/sumo/test_signals.c:

  python3 -m venv v && v/bin/pip install sumo-rl==1.4.5 libsumo==1.15.0
  SUMO_HOME=/usr/share/sumo v/bin/python tests/sumo/make_signals.py FOLDER_OF_NETWORKS

Writes golden/signals-NAME.txt. Actions come from SplitMix64, for each signal of a decision in their
order: green = next % number of greens. A line is a decision: the sum of squares of the observations' bits
as 32-bit integers over all signals (modulo 2^64), then for each signal its four rewards: diff-waiting-time, average-speed, queue, pressure."""

import os
import sys

os.environ['LIBSUMO_AS_TRACI'] = '1'
import numpy as np  # noqa: E402
import sumo_rl  # noqa: E402

NETS = [  # name, net, routes, begin, seed, decisions
    ('single-intersection', 'single-intersection/single-intersection.net.xml',
     'single-intersection/single-intersection.rou.xml', 0, 7, 400),
    ('2way-single-intersection', '2way-single-intersection/single-intersection.net.xml',
     '2way-single-intersection/single-intersection-vhvh.rou.xml', 0, 8, 400),
    ('4x4-Lucas', '4x4-Lucas/4x4.net.xml', '4x4-Lucas/4x4c1c2c1c2.rou.xml', 0, 9, 120),
    ('cologne1', 'cologne1/cologne1.net.xml', 'cologne1/cologne1.rou.xml', 25200, 10, 720),
    ('cologne3', 'cologne3/cologne3.net.xml', 'cologne3/cologne3.rou.xml', 25200, 11, 240),
]
MASK = (1 << 64) - 1


def splitmix(state):
    while True:
        state = (state + 0x9e3779b97f4a7c15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & MASK
        yield z ^ (z >> 31)


def digest(observations):
    total = 0
    for x in observations:
        bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
        total += int((bits * bits).sum(dtype=np.uint64))
    return total & MASK


def rewards(signal):
    return [signal.last_reward, signal._average_speed_reward(), float(signal._queue_reward()),
            float(signal._pressure_reward())]


def record(folder, name, net, routes, begin, seed, decisions):
    env = sumo_rl.SumoEnvironment(
        net_file=os.path.join(folder, net), route_file=os.path.join(folder, routes), begin_time=begin,
        num_seconds=5 * decisions, sumo_seed=seed, add_system_info=False, add_per_agent_info=False,
        sumo_warnings=False)
    observations = env.reset()
    ids, random = env.ts_ids, splitmix(seed)
    lines = [f'net {net}', f'routes {routes}', f'begin {begin}', f'seed {seed}', f'decisions {decisions}',
             f'signals {len(ids)}', f'first {digest(observations[i] for i in ids)}']
    sums = [0.0] * 4
    for _ in range(decisions):
        action = {i: next(random) % env.traffic_signals[i].num_green_phases for i in ids}
        observations, _, dones, _ = env.step(action)
        values = [rewards(env.traffic_signals[i]) for i in ids]
        for of_signal in values:
            sums = [a + b for a, b in zip(sums, of_signal)]
        lines.append(' '.join([str(digest(observations[i] for i in ids))] +
                              [repr(float(x)) for of_signal in values for x in of_signal]))
    assert dones['__all__']
    waited = sum(sum(env.traffic_signals[i].get_accumulated_waiting_time_per_lane()) for i in ids)
    env.close()
    lines.append('sums ' + ' '.join(repr(x) for x in sums) + f' waited {waited!r}')
    with open(os.path.join(os.path.dirname(__file__), 'golden', f'signals-{name}.txt'), 'w') as file:
        file.write('\n'.join(lines) + '\n')
    print(name, sums, waited)


if __name__ == '__main__':
    for row in NETS:
        if len(sys.argv) < 3 or row[0] in sys.argv[2:]:
            record(sys.argv[1], *row)
