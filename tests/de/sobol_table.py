#!/usr/bin/env python3
"""Prints actors/de/sobol_table.h from the direction numbers that come with SciPy.

They are those of new-joe-kuo-6.21201 (Joe & Kuo 2008); we take the first dimensions.
`sobol_table.py > ../../actors/de/sobol_table.h` makes the file.
"""

import os

import numpy as np
import scipy.stats

DIMENSIONS, DEGREE = 256, 11
HEAD = """\
/* Made by tests/de/sobol_table.py. What Sobol's sequence starts from in each of the first dimensions:
 * its primitive polynomial over GF(2), a coefficient a bit, and as many m as that has degrees, each
 * odd and m[i] < 2^(i + 1). They are new-joe-kuo-6.21201 of S. Joe and F. Y. Kuo, "Constructing Sobol
 * sequences with better two-dimensional projections", SIAM J. Sci. Comput. 30(5), 2008.
 *
 * The first dimension is van der Corput's sequence, where all m are 1: its line says so by the
 * polynomial x, which repeats what there is. */
#ifndef ACTORS_DE_SOBOL_TABLE_H
#define ACTORS_DE_SOBOL_TABLE_H

#include <stdint.h>

#define DE_SOBOL_DEGREE %du

static const struct de_sobol_dimension {
    uint16_t polynomial, m[DE_SOBOL_DEGREE];
} de_sobol_dimensions[%d] = {"""

path = os.path.join(os.path.dirname(scipy.stats.__file__), "_sobol_direction_numbers.npz")
data = np.load(path)
print(HEAD % (DEGREE, DIMENSIONS))
for d in range(DIMENSIONS):
    polynomial = int(data["poly"][d]) if d else 2
    degree = polynomial.bit_length() - 1
    m = [int(value) for value in data["vinit"][d][:degree]]
    assert degree <= DEGREE and all(v % 2 == 1 and v < 2 << i for i, v in enumerate(m))
    print(f"    {{0x{polynomial:03x}, {{{', '.join(map(str, m))}}}}},")
print("};\n\n#endif")
