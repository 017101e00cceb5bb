"""The dense CRF written out in sums over all pairs of pixels, to compare with; and an exact filter in a lattice's place."""

from __future__ import annotations

import numpy as np

from pixelwise.refinement.energies import Bilateral, Gaussian


def kernel_matrix(kernel, image):
    """`(N, N)`: how alike each two pixels are, from the published formula, a pixel at a time."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    rows = []
    for v in range(height):
        for u in range(width):
            if isinstance(kernel, Gaussian):
                exponent = ((y - v) ** 2 + (x - u) ** 2) / (2 * kernel.std**2)
            else:
                assert isinstance(kernel, Bilateral)
                exponent = ((y - v) ** 2 + (x - u) ** 2) / (2 * kernel.position_std**2)
                for channel in np.moveaxis(image.astype(float), -1, 0):
                    exponent = exponent + (channel - channel[v, u]) ** 2 / (2 * kernel.colour_std**2)
            rows.append(np.exp(-exponent).ravel())
    return np.array(rows)


def normalised(matrix, normalisation):
    """The kernel's matrix in one of the five forms."""
    n = matrix.sum(axis=1)
    return {
        "none": matrix,
        "before": matrix / n[None, :],
        "after": matrix / n[:, None],
        "symmetric": matrix / np.sqrt(np.outer(n, n)),
        "mean": matrix / n.mean(),
    }[normalisation]


def brute_force(image, scores, kernels, normalisation, iterations, self_message=True):
    """Beliefs `(K, H, W)` of the mean field, each message a plain sum over all pixels."""
    classes = len(scores)
    unary = scores.reshape(classes, -1).astype(np.float64)
    operators = []
    for kernel in kernels:
        weight = np.asarray(kernel.weight, float)
        reward = weight * np.eye(classes) if weight.ndim < 2 else (weight + weight.T) / 2
        matrix = normalised(kernel_matrix(kernel, image), normalisation)
        if not self_message:
            np.fill_diagonal(matrix, 0)
        operators.append((matrix, reward))
    beliefs = softmax(unary)
    for _ in range(iterations):
        updated = unary.copy()
        for i in range(unary.shape[1]):
            for matrix, reward in operators:
                updated[:, i] += reward @ (beliefs @ matrix[i])
        beliefs = softmax(updated)
    return beliefs.reshape(scores.shape)


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=0))
    return powers / powers.sum(axis=0)


class Exact:
    """Every pixel against every other, where a lattice is expected."""

    def __init__(self, features):
        features = np.asarray(features, np.float64)
        squared = np.zeros((len(features), len(features)))
        for column in features.T:
            squared += (column[:, None] - column) ** 2
        self.matrix = np.exp(-squared / 2)

    def filter(self, values, *, transposed=False):
        return (self.matrix.T if transposed else self.matrix) @ values

    def diagonal(self):
        return np.ones(len(self.matrix))


def scene(height, width, classes, seed=0, noise=8.0):
    """A picture `(H, W, 3)` of two areas of slowly changing colour with noise, and scores `(K, H, W)` that half follow it."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    inside = (y - height / 2) ** 2 / height**2 + (x - width / 2) ** 2 / width**2 < 0.08
    colours = np.where(inside[..., None], [200.0, 90, 60], [60, 120, 180]) + 30 * np.sin(x / 9 + y / 13)[..., None]
    image = np.clip(colours + random.normal(0, noise, colours.shape), 0, 255).astype(np.uint8)
    truth = (inside + (y > height // 2)) % classes
    scores = 2.0 * (truth == np.arange(classes)[:, None, None]) + random.normal(0, 1, (classes, height, width))
    return image, scores.astype(np.float32)
