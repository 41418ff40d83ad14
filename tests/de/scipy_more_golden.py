#!/usr/bin/env python3
"""Prints runs of Debian's SciPy 1.10 that test_scipy_more.c must repeat: first populations,
integers, constraints, budgets, odd bounds.

A line: problem, generator, strategy, updating, seed, generations, evaluations, success, MAXCV,
digest of every generation's population, values and violations, and of the point that was found.
`scipy_more_golden.py > golden/scipy-1.10-more.txt` makes the file. Constraints are written with
products, since a power of numpy's scalars is rounded otherwise than C's x * x. numpy must not pick
kernels with other roundings for matrix products: the linear constraint has coefficients whose
products are exact.
"""

import warnings

import numpy as np
from scipy.optimize import LinearConstraint, NonlinearConstraint
from scipy.optimize._differentialevolution import DifferentialEvolutionSolver as Solver

from scipy_golden import digest, rosen, sphere

INF = np.inf
BOX = [(-2.0, 2.5)] * 3


def half_infinite(x):
    return INF if x[0] < 0.25 else sphere(x)


def mostly_infinite(x):
    return INF if x[0] < 2.3 else sphere(x)


def total(x):
    return [x[0] + x[1]]


def pair(x):
    return [x[0] * x[0] + x[1], x[0] - x[1]]


def circle(x):
    return [x[0] * x[0] + x[1] * x[1] + x[2] * x[2]]


ARRAY = [[(7 * i + 3 * j) % 11 * 0.5 - 2.25 for j in range(3)] for i in range(9)]
SUM = NonlinearConstraint(total, -INF, 1.9)
PAIR = NonlinearConstraint(pair, [0.9, 0.5], [2.0, 2.0])
PROBLEMS = {
    "sobol": (rosen, {"init": "sobol"}),
    "halton": (rosen, {"init": "halton"}),
    "random": (rosen, {"init": "random"}),
    "array": (rosen, {"init": ARRAY}),
    "x0": (rosen, {"x0": [0.2, 0.8, -1.5]}),
    "array_x0": (sphere, {"init": ARRAY, "x0": [0.2, 0.8, -1.5]}),
    "sobol_x0": (sphere, {"init": "sobol", "x0": [2.5, -2.0, 0.1]}),
    "integers": (rosen, {"integrality": [True, False, True], "bounds": [(-7.0, 9.0)] * 3}),
    "integers_only": (sphere, {"integrality": [True] * 3, "bounds": [(-70.0, 90.0)] * 3}),
    "integers_odd": (rosen, {"integrality": [True, False, True],
                             "bounds": [(-7.3, 8.6), (-2.0, 2.5), (0.2, 4.1)]}),
    "sum": (rosen, {"constraints": SUM}),
    "pair": (rosen, {"constraints": PAIR}),
    "both": (rosen, {"constraints": (SUM, PAIR)}),
    "linear": (rosen, {"constraints": LinearConstraint([[1, 2, -1], [0, -1, 1]],
                                                       [-0.5, -INF], [0.5, 1])}),
    "band": (sphere, {"constraints": NonlinearConstraint(circle, 3.999, 4.001)}),
    "bands": (sphere, {"constraints": (NonlinearConstraint(circle, 3.9, 4.1),
                                       NonlinearConstraint(total, [0.35], [0.4]))}),
    "never": (rosen, {"constraints": NonlinearConstraint(total, -INF, -10)}),
    "integers_sum": (rosen, {"constraints": SUM, "integrality": [True, False, False],
                             "init": "halton"}),
    "half_infinite": (half_infinite, {}),
    "mostly_infinite": (mostly_infinite, {}),
    "infinite_pair": (mostly_infinite, {"constraints": SUM, "init": "random"}),
    "budget": (rosen, {"maxfun": 100}),
    "budget_sum": (rosen, {"maxfun": 100, "constraints": SUM}),
    "budget_first": (rosen, {"maxfun": 13}),
    "vectorized": (rosen, {"vectorized": True}),
    "settings": (rosen, {"mutation": (0.9, 0.4), "recombination": 0.4, "tol": 0.1, "atol": 0.05}),
    "constant": (rosen, {"mutation": 0.8, "recombination": 0.9}),
    "fixed": (rosen, {"bounds": [(-2.0, 2.5), (1.25, 1.25), (-2.0, 2.5)]}),
    "reversed": (rosen, {"bounds": [(2.5, -2.0), (-2.0, 2.5), (2.5, -2.0)]}),
}


def rosen_of_all(x):
    return np.array([rosen(column) for column in np.ascontiguousarray(x.T)])


def run(name, generator, strategy, updating, seed):
    function, settings = PROBLEMS[name]
    rng = np.random.RandomState(seed) if generator == "mt19937" else np.random.default_rng(seed)
    state = 1

    def record(x, convergence):
        nonlocal state
        state = digest(state, solver.population)
        state = digest(state, solver.population_energies)
        state = digest(state, solver.constraint_violation)

    options = {"bounds": BOX, "popsize": 7, "maxiter": 20, **settings}
    function = rosen_of_all if name == "vectorized" else function
    solver = Solver(function, strategy=strategy, seed=rng, updating=updating, polish=False,
                    callback=record, **options)
    state = digest(state, solver.population)
    result = solver.solve()
    state = digest(state, np.append(result.x, result.fun))
    print(name, generator, strategy, updating, seed, result.nit, result.nfev, int(result.success),
          "%.17g" % result.get("maxcv", 0), f"{state:016x}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for name in PROBLEMS:
        for generator in ["mt19937", "pcg64"]:
            for strategy in ["best1bin", "rand1exp"]:
                for updating in ["immediate", "deferred"]:
                    for seed in range(1, 4):
                        if name != "vectorized" or updating == "deferred":
                            run(name, generator, strategy, updating, seed)
