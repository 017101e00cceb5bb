"""The permutohedral lattice once more, slow and plain: dictionaries and loops, in float64, for tests to compare with.

Written from the published steps, apart from the library's code.
Source: Adams, Baek & Davis (Eurographics 2010), sections 3 and 4; blur and scale as in Krähenbühl & Koltun (NIPS 2011).
"""

from __future__ import annotations

import math

import numpy as np


def simplex_of(feature):
    """The corners (full keys of d + 1 numbers that sum to 0) and barycentric coordinates of one point."""
    d = len(feature)
    scaled = [feature[i] * (d + 1) * math.sqrt(2 / 3) / math.sqrt((i + 1) * (i + 2)) for i in range(d)]
    elevated = [sum(scaled)] + [sum(scaled[j:]) - j * scaled[j - 1] for j in range(1, d + 1)]
    multiples = [math.floor(e / (d + 1) + 0.5) for e in elevated]
    nearest = [(d + 1) * m for m in multiples]
    off = sum(multiples)
    # Ranks: how many coordinates have a larger difference; of equal ones the earlier comes first.
    differences = [e - n for e, n in zip(elevated, nearest, strict=True)]
    order = sorted(range(d + 1), key=lambda i: (-differences[i], i))
    ranks = [order.index(i) for i in range(d + 1)]
    for i in range(d + 1):  # back onto the plane where coordinates sum to 0
        ranks[i] += off
        if ranks[i] < 0:
            ranks[i] += d + 1
            nearest[i] += d + 1
        elif ranks[i] > d:
            ranks[i] -= d + 1
            nearest[i] -= d + 1
    # Differences in falling order; neighbouring ones differ by the barycentric coordinates.
    by_rank = [0.0] * (d + 1)
    for i in range(d + 1):
        by_rank[ranks[i]] = (elevated[i] - nearest[i]) / (d + 1)
    weights = [1 - (by_rank[0] - by_rank[d])] + [by_rank[d - r] - by_rank[d - r + 1] for r in range(1, d + 1)]
    corners = []
    for r in range(d + 1):
        corners.append(tuple(nearest[i] + (r if ranks[i] <= d - r else r - (d + 1)) for i in range(d + 1)))
        assert sum(corners[-1]) == 0
    return corners, weights


def slow_filter(features, values, transposed=False):
    """`(N, d)` features in units of their deviation, `(N, K)` values -> `(N, K)`, through splat, blur and slice."""
    features, values = np.asarray(features, np.float64), np.asarray(values, np.float64)
    d = features.shape[1]
    simplices = [simplex_of(list(feature)) for feature in features]
    lattice = {}
    for (corners, weights), value in zip(simplices, values, strict=True):
        for corner, weight in zip(corners, weights, strict=True):
            lattice[corner] = lattice.get(corner, 0) + weight * value
    for axis in range(d, -1, -1) if transposed else range(d + 1):
        blurred = {}
        for corner, value in lattice.items():
            behind = tuple(c + (d if i == axis else -1) for i, c in enumerate(corner))
            before = tuple(c - (d if i == axis else -1) for i, c in enumerate(corner))
            blurred[corner] = value + 0.5 * (lattice.get(behind, 0) + lattice.get(before, 0))
        lattice = blurred
    scale = 1 / (1 + 2.0**-d)
    return np.array(
        [
            scale * sum(weight * lattice[corner] for corner, weight in zip(corners, weights, strict=True))
            for corners, weights in simplices
        ]
    )


def exact_filter(features, values):
    """The Gaussian filter that the lattice approximates: every pixel against every other."""
    features = np.asarray(features, np.float64)
    squared = ((features[:, None] - features[None]) ** 2).sum(-1)
    return np.exp(-squared / 2) @ np.asarray(values, np.float64)
