"""A small convex quadratic program, solved by a compiled interior-point method.

Compiled by Numba without fast-math and without BLAS: the same numbers wherever it runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vista_sim.compiled import compiler

Floats = NDArray[np.float64]

_compiled = compiler()

_STEPS = 40
_TO_THE_RIM = 0.99  # share of the way to the nearest bound that a step goes


@_compiled
def factor(matrix: Floats) -> Floats:
    """Lower Cholesky factor of a positive definite matrix (n, n)."""
    n = len(matrix)
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            lower[i, j] = np.sqrt(total) if i == j else total / lower[j, j]
    return lower


@_compiled
def solve_factored(lower: Floats, right: Floats) -> Floats:
    """Solve lower lowerᵀ x = right for x (n,)."""
    n = len(right)
    x = right.copy()
    for i in range(n):
        for k in range(i):
            x[i] -= lower[i, k] * x[k]
        x[i] /= lower[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            x[i] -= lower[k, i] * x[k]
        x[i] /= lower[i, i]
    return x


@_compiled
def _times(matrix: Floats, x: Floats) -> Floats:
    y = np.zeros(matrix.shape[0])
    for i in range(matrix.shape[0]):
        for k in range(matrix.shape[1]):
            y[i] += matrix[i, k] * x[k]
    return y


@_compiled
def solve(
    hessian: Floats,
    lower: Floats,
    gradient: Floats,
    rows: Floats,
    least: Floats,
    most: Floats,
    softness: Floats,
    tolerance: float,
) -> Floats:
    """The x (n,) that minimises xᵀ hessian x / 2 + gradientᵀ x with least <= rows x <= most.

    Where nothing binds, the answer is that of the linear equations. Else a primal-dual
    interior-point method with Mehrotra's predictor and corrector (Nocedal and Wright,
    Numerical Optimization, 2nd ed., algorithm 16.4).

    Args:
        hessian: (n, n) positive definite.
        lower: (n, n) its `factor`.
        gradient: (n,).
        rows: (m, n).
        least, most: (m,) with least < most. Hard bounds must be possible together.
        softness: (m,) 0: a hard bound; else one that may be passed by v at a cost of
            v² / (2 softness).
        tolerance: of the residuals and of the mean complementarity, in the units of the gradient
            and of the bounds.
    """
    n, m = len(gradient), len(rows)
    x = solve_factored(lower, -gradient)
    reached = _times(rows, x)
    if np.all(reached <= most) and np.all(reached >= least):
        return x
    # Two one-sided bounds a row: sign * row x - softness * price + slack = sign * bound.
    slack, price = np.empty((2, m)), np.ones((2, m))
    for i in range(m):
        slack[0, i] = max(most[i] - reached[i], 0.1 * (most[i] - least[i]))
        slack[1, i] = max(reached[i] - least[i], 0.1 * (most[i] - least[i]))
    missed, aim = np.empty((2, m)), np.empty((2, m))
    weight, dprice, dslack = np.empty((2, m)), np.empty((2, m)), np.empty((2, m))
    for _ in range(_STEPS):
        reached = _times(rows, x)
        dual = _times(hessian, x) + gradient
        worst, gap = 0.0, 0.0
        for i in range(m):
            missed[0, i] = reached[i] - softness[i] * price[0, i] + slack[0, i] - most[i]
            missed[1, i] = -reached[i] - softness[i] * price[1, i] + slack[1, i] + least[i]
            for side in range(2):
                worst = max(worst, abs(missed[side, i]))
                gap += slack[side, i] * price[side, i]
                weight[side, i] = 1.0 / (slack[side, i] / price[side, i] + softness[i])
            for k in range(n):
                dual[k] += rows[i, k] * (price[0, i] - price[1, i])
        gap /= 2 * m
        if worst < tolerance and gap < tolerance and np.max(np.abs(dual)) < tolerance:
            break
        normal = hessian.copy()
        for i in range(m):
            both = weight[0, i] + weight[1, i]
            for j in range(n):
                scaled = both * rows[i, j]
                if scaled != 0.0:
                    for k in range(j + 1):
                        normal[j, k] += scaled * rows[i, k]
        inner = factor(normal)
        dx = np.zeros(n)
        for corrector in range(2):
            # The predictor aims at complementarity 0; the corrector at a share of the present
            # one, and makes up for the predictor's second-order term.
            if corrector == 0:
                for side in range(2):
                    for i in range(m):
                        aim[side, i] = -slack[side, i] * price[side, i]
            else:
                length = _longest(slack, dslack, price, dprice)
                ahead = 0.0
                for side in range(2):
                    for i in range(m):
                        ahead += (slack[side, i] + length * dslack[side, i]) * (
                            price[side, i] + length * dprice[side, i]
                        )
                share = (ahead / (2 * m) / gap) ** 3
                for side in range(2):
                    for i in range(m):
                        aim[side, i] += share * gap - dslack[side, i] * dprice[side, i]
            right = -dual
            for i in range(m):
                up = weight[0, i] * (missed[0, i] + aim[0, i] / price[0, i])
                down = weight[1, i] * (missed[1, i] + aim[1, i] / price[1, i])
                for k in range(n):
                    right[k] -= rows[i, k] * (up - down)
            dx = solve_factored(inner, right)
            moved = _times(rows, dx)
            for side in range(2):
                sign = 1.0 - 2.0 * side
                for i in range(m):
                    dprice[side, i] = weight[side, i] * (
                        sign * moved[i] + missed[side, i] + aim[side, i] / price[side, i]
                    )
                    dslack[side, i] = (aim[side, i] - slack[side, i] * dprice[side, i]) / price[
                        side, i
                    ]
        length = min(1.0, _TO_THE_RIM * _longest(slack, dslack, price, dprice))
        x = x + length * dx
        slack += length * dslack
        price += length * dprice
    return x


@_compiled
def _longest(slack: Floats, dslack: Floats, price: Floats, dprice: Floats) -> float:
    """Longest share of a step, at most 1 / _TO_THE_RIM, that leaves slacks and prices positive."""
    longest = 1.0 / _TO_THE_RIM
    for side in range(2):
        for i in range(slack.shape[1]):
            if dslack[side, i] < 0.0:
                longest = min(longest, -slack[side, i] / dslack[side, i])
            if dprice[side, i] < 0.0:
                longest = min(longest, -price[side, i] / dprice[side, i])
    return longest
