#!/usr/bin/env python3
"""Prints the trajectories of Debian's SciPy 1.10 that test_scipy.c must repeat, a digest each.

A line: generator, strategy, updating, function, seed, generations, evaluations, digest of every
generation's population and values. `scipy_golden.py > golden/scipy-1.10.txt` makes the file.
"""

import struct
import warnings

import numpy as np
from scipy.optimize._differentialevolution import DifferentialEvolutionSolver as Solver

MASK = (1 << 64) - 1
BASES = ["best1", "rand1", "randtobest1", "currenttobest1", "best2", "rand2"]


def rosen(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1 - x[:-1]) ** 2.0)


def sphere(x):
    return np.sum(x ** 2.0)


def digest(state, numbers):
    data = np.ascontiguousarray(numbers).tobytes()
    for (word,) in struct.iter_unpack("<Q", data):
        state = (state ^ word) * 0x9E3779B97F4A7C15 & MASK
        state ^= state >> 29
    return state


def run(generator, strategy, updating, function, seed):
    rng = np.random.RandomState(seed) if generator == "mt19937" else np.random.default_rng(seed)
    solver = Solver(function, [(-2.0, 2.5)] * 3, strategy=strategy, popsize=7, seed=rng,
                    updating=updating, polish=False)
    state = digest(1, solver.population)
    generations = 0
    while generations < 60:
        next(solver)
        generations += 1
        state = digest(digest(state, solver.population), solver.population_energies)
        if solver.converged():
            break
    print(generator, strategy, updating, function.__name__, seed, generations, solver._nfev,
          f"{state:016x}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for generator in ["mt19937", "pcg64"]:
        for strategy in [base + kind for kind in ["bin", "exp"] for base in BASES]:
            for updating in ["immediate", "deferred"]:
                for function in [rosen, sphere]:
                    for seed in range(1, 6):
                        run(generator, strategy, updating, function, seed)
