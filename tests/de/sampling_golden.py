#!/usr/bin/env python3
"""Prints the points of Debian's SciPy 1.10 that test_sampling.c must repeat, a digest for each set.

A line: sequence, generator, seed, coordinates, points, and a digest of the points, of three numbers
drawn after them and of two of 32 bits. Of every second seed's generator 32 bits were drawn before,
so that PCG64 has half of a draw left. `sampling_golden.py > golden/sampling.txt` makes the file.
"""

import warnings

import numpy as np
from scipy.stats import qmc

from scipy_golden import digest

GENERATORS = {"mt19937": np.random.RandomState, "pcg64": np.random.default_rng}
SEQUENCES = {"sobol": qmc.Sobol, "halton": qmc.Halton}


def draw_u32(rng, count):
    integers = rng.integers if isinstance(rng, np.random.Generator) else rng.randint
    return integers(0, 1 << 32, size=count, dtype=np.uint32).astype(float)


def run(sequence, generator, seed, n, count):
    if generator == "none":
        state = digest(1, SEQUENCES[sequence](d=n, scramble=False).random(count))
    else:
        rng = GENERATORS[generator](seed)
        if seed % 2 == 0:
            draw_u32(rng, 1)
        state = digest(1, SEQUENCES[sequence](d=n, scramble=True, seed=rng).random(count))
        state = digest(state, rng.random(3) if generator == "pcg64" else rng.random_sample(3))
        state = digest(state, draw_u32(rng, 2))
    print(sequence, generator, seed, n, count, f"{state:016x}")


warnings.simplefilter("ignore")
for sequence in SEQUENCES:
    for generator, seeds in [("none", [0]), ("mt19937", [1, 2, 3]), ("pcg64", [1, 2, 3])]:
        for seed in seeds:
            for n in [1, 2, 3, 5, 10, 50, 256]:
                for count in [1, 5, 16, 37, 64, 256, 1000]:
                    run(sequence, generator, seed, n, count)
