#!/usr/bin/env python3
"""What RESCO's own detectors, states and rewards say, for tests/sumo/test_resco.c:

  git clone https://github.com/Pi-Star-Lab/RESCO; pip install libsumo==1.15.0 numpy
  PYTHONPATH=RESCO python3 tests/sumo/make_resco.py FOLDER_OF_NETWORKS

Writes golden/resco-NAME.txt: decisions of 10 s with 3 s of yellow, detectors of 200 m. Actions come from
SplitMix64, one draw for each signal, among the greens that last as long as a decision in the net (RESCO
runs its phases as a program, so that a shorter one goes on by itself). A line is a decision; for each
signal, for each of its lanes in the order of its links: approaching, total wait, queue, sum of speeds;
then its rewards wait and wait_norm."""

import os
import sys

os.environ['LIBSUMO_AS_TRACI'] = '1'
import libsumo  # noqa: E402

sys.modules['traci'] = libsumo
from resco_benchmark import rewards  # noqa: E402
from resco_benchmark.traffic_signal import Signal  # noqa: E402

NETS = [('cologne1', 31, 120), ('ingolstadt1', 32, 120), ('cologne3', 33, 60)]
STEP, YELLOW, DISTANCE = 10, 3, 200
MASK = (1 << 64) - 1


def splitmix(state):
    while True:
        state = (state + 0x9e3779b97f4a7c15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & MASK
        yield z ^ (z >> 31)


def record(folder, name, seed, decisions):
    never = ['--xml-validation', 'never', '--xml-validation.net', 'never', '--xml-validation.routes', 'never']
    libsumo.start(['sumo', '-c', os.path.join(folder, name, name + '.sumocfg'), '--seed', str(seed),
                   '--time-to-teleport', '-1', '--no-step-log', 'true', '--no-warnings', 'true'] + never)
    ids, random = libsumo.trafficlight.getIDList(), splitmix(seed)
    phases = {i: [p for p in libsumo.trafficlight.getAllProgramLogics(i)[0].getPhases()
                  if 'y' not in p.state and 'g' in p.state.lower()] for i in ids}
    long = {i: [k for k, p in enumerate(phases[i]) if p.duration >= STEP] for i in ids}
    lanes = {i: list(dict.fromkeys(libsumo.trafficlight.getControlledLanes(i))) for i in ids}
    signals = {i: Signal(name, libsumo, i, YELLOW, phases[i]) for i in ids}
    for i in ids:
        signals[i].signals = signals
        libsumo.trafficlight.setPhase(i, 0)
        signals[i].observe(STEP, DISTANCE)
    lines = [f'net {name}/{name}.sumocfg', f'seed {seed}', f'decisions {decisions}', f'signals {len(ids)}']
    lines += [' '.join(['greens', str(len(long[i]))] + [str(k) for k in long[i]] + ['lanes', str(len(lanes[i]))])
              for i in ids]
    for _ in range(decisions):
        for i in ids:
            signals[i].prep_phase(long[i][next(random) % len(long[i])])
        for _ in range(YELLOW):
            libsumo.simulationStep()
        for i in ids:
            signals[i].set_phase()
        for _ in range(STEP - YELLOW):
            libsumo.simulationStep()
        numbers = []
        for i in ids:
            signals[i].observe(STEP, DISTANCE)
        wait, norm = rewards.wait(signals), rewards.wait_norm(signals)
        for i in ids:
            assert set(lanes[i]) == set(signals[i].lanes)
            for lane in lanes[i]:
                seen = signals[i].full_observation[lane]
                numbers += [seen['approach'], seen['total_wait'], seen['queue'],
                            sum(v['speed'] for v in seen['vehicles'])]
            numbers += [wait[i], norm[i]]
        lines.append(' '.join(f'{float(x):.9g}' for x in numbers))
    libsumo.close()
    with open(os.path.join(os.path.dirname(__file__), 'golden', f'resco-{name}.txt'), 'w') as file:
        file.write('\n'.join(lines) + '\n')
    print(name, len(lines))


if __name__ == '__main__':
    for row in NETS:
        if len(sys.argv) < 3 or row[0] in sys.argv[2:]:
            record(sys.argv[1], *row)
