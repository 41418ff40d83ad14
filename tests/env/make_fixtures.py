#!/usr/bin/env python3
"""make_fixtures.py [FOLDER]: what Gymnasium makes of 10,000 states and actions, a file for each
environment, which test_classic.c compares with. States and actions are drawn here and there alike
(SplitMix64, see DRAWS), so only results are stored. Needs gymnasium (PyPI); not run by tests.

File: b'RTCENV1\\0', then little-endian u32: steps, size of the state, number of observations kept,
size of an observation; then next states and rewards (f64), terminated (u8), observations after the
first steps (f32)."""
import os
import struct
import sys

import gymnasium
import numpy as np

STEPS, OBSERVED = 10000, 1000
MASK = (1 << 64) - 1

# Limits of each part of the state, and the action: a number of choices, or the limit of a float.
DRAWS = {
    'CartPole-v1': ([2.5, 3.0, 0.22, 3.0], 2),
    'Acrobot-v1': ([3.141592653589793, 3.141592653589793, 12.566370614359172, 28.274333882308138], 3),
    'Pendulum-v1': ([12.0, 8.0], 3.0),
}


class Chance:
    def __init__(self, seed):
        self.state = seed

    def bits(self):
        self.state = (self.state + 0x9e3779b97f4a7c15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & MASK
        return z ^ (z >> 31)

    def uniform(self, limit):
        return -limit + (limit - -limit) * ((self.bits() >> 11) * (1.0 / 9007199254740992.0))


def record(name):
    limits, actions = DRAWS[name]
    chance = Chance(len(limits))
    env = gymnasium.make(name).unwrapped
    env.reset(seed=0)
    states, rewards, ends, seen = [], [], [], []
    for i in range(STEPS):
        env.state = np.array([chance.uniform(limit) for limit in limits], dtype=np.float64)
        if isinstance(actions, int):
            action = chance.bits() % actions
            env.steps_beyond_terminated = None
        else:
            action = np.array([chance.uniform(actions)], dtype=np.float32)
        observation, reward, terminated, truncated, _ = env.step(action)
        assert not truncated
        states.append(np.asarray(env.state, dtype='<f8'))
        rewards.append(reward)
        ends.append(terminated)
        if i < OBSERVED:
            seen.append(observation)
    print(f'{name}: {sum(ends)} of {STEPS} terminate')
    head = struct.pack('<8s4I', b'RTCENV1\0', STEPS, len(limits), OBSERVED, len(seen[0]))
    return b''.join([head, np.array(states, '<f8').tobytes(), np.array(rewards, '<f8').tobytes(),
                     np.array(ends, 'u1').tobytes(), np.array(seen, '<f4').tobytes()])


def main():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'golden')
    folder = sys.argv[1] if len(sys.argv) > 1 else here
    print('gymnasium', gymnasium.__version__, 'numpy', np.__version__)
    for name in DRAWS:
        with open(os.path.join(folder, name + '.bin'), 'wb') as file:
            file.write(record(name))


if __name__ == '__main__':
    main()
