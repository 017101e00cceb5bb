"""The kernels of a dense CRF's pairwise energy, each of which turns an image into features; and the weights of their messages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError
from pixelwise.refinement.mean_field import NORMALISATIONS, Normalisation

Spread: TypeAlias = float | tuple[float, ...]
"""A standard deviation: one for all axes or channels, or one for each."""

Weight: TypeAlias = Any
"""How much agreement is rewarded: a number; one for each class, `(K,)`; or `(K, K)`: what label l gains from label k nearby."""


@dataclass(frozen=True)
class Gaussian:
    """Smoothness: pixels agree with those near them.

    std            in pixels: a number, or one for each axis as `(y, x)` or `(z, y, x)`; above 0
    weight         how much agreement is rewarded: a number, `(K,)` or `(K, K)`, see `compatibility`
    normalisation  of this kernel alone; None: the one of the CRF

    Source: Krähenbühl & Koltun, NIPS 2011, equation 3, the second kernel.
    """

    std: Spread
    weight: Weight = 1.0
    normalisation: Normalisation | None = None

    def __post_init__(self) -> None:
        _check_spread("std", self.std)
        _check_term(self.weight, self.normalisation)

    def features(self, space: tuple[int, ...], image: NDArray | None) -> NDArray[np.float32]:
        """`(N, d)`: where each pixel of `space` lies, x first, in standard deviations."""
        features = np.empty((len(space), *space), np.float32)
        _fill_positions(features, self.std, "std of Gaussian")
        return features.reshape(len(features), -1).T


@dataclass(frozen=True)
class Bilateral:
    """Appearance: pixels agree with those near them whose colour is alike.

    position_std   in pixels, as `std` of `Gaussian`
    colour_std     in the image's own units (0..255 of a photograph): a number, or one for each channel; above 0
    weight, normalisation   as of `Gaussian`

    Source: Krähenbühl & Koltun, NIPS 2011, equation 3, the first kernel.
    """

    position_std: Spread
    colour_std: Spread
    weight: Weight = 1.0
    normalisation: Normalisation | None = None

    def __post_init__(self) -> None:
        _check_spread("position_std", self.position_std)
        _check_spread("colour_std", self.colour_std)
        _check_term(self.weight, self.normalisation)

    def features(self, space: tuple[int, ...], image: NDArray | None) -> NDArray[np.float32]:
        """`(N, d + C)`: positions, x first, then colours, each in standard deviations."""
        if image is None:
            raise InputError("a Bilateral kernel compares colours, got no image: pass it, or use Gaussian kernels only")
        channels = image.shape[-1]
        std = one_each("colour_std of Bilateral", self.colour_std, channels, "channels")
        features = np.empty((len(space) + channels, *space), np.float32)
        _fill_positions(features, self.position_std, "position_std of Bilateral")
        colours = np.moveaxis(image, -1, 0).astype(np.float32)
        scales = np.asarray(std, np.float32).reshape(-1, *[1] * len(space))
        np.divide(colours, scales, out=features[len(space) :])
        return features.reshape(len(features), -1).T


@dataclass(frozen=True, eq=False)
class Features:
    """Any likeness: pixels agree with those whose features are near.

    array   `(H, W, d)`, or `(D, H, W, d)`: features, each already divided by its standard deviation
    weight, normalisation   as of `Gaussian`
    """

    array: NDArray
    weight: Weight = 1.0
    normalisation: Normalisation | None = None

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        if array.ndim < 2 or 0 in array.shape or array.dtype.kind not in "fiu":
            raise InputError(f"Features takes an array of numbers (H, W, d), got shape {array.shape} of {array.dtype}")
        if not np.isfinite(array).all():
            raise InputError("Features takes finite numbers, got NaN or infinity: remove them before the CRF")
        _check_term(self.weight, self.normalisation)

    def features(self, space: tuple[int, ...], image: NDArray | None) -> NDArray[np.float32]:
        """`(N, d)`: the array."""
        array = np.asarray(self.array)
        if array.shape[:-1] != space:
            raise InputError(
                f"Features have shape {array.shape}, expected {(*space, 'd')}: one row for each pixel of the scores"
            )
        return array.reshape(-1, array.shape[-1]).astype(np.float32)


Kernel: TypeAlias = Gaussian | Bilateral | Features


def compatibility(weight: Weight, classes: int) -> NDArray[np.float32]:
    """The symmetric `(K, K)` matrix of a weight: what label l gains for a message of label k.

    A number w is Potts, w on the diagonal; `(K,)` is a diagonal; of a `(K, K)` matrix the symmetric half is taken. Signs are
    those of a reward: above 0 agreement is sought. Raises `InputError` for another shape.
    """
    matrix: NDArray[np.float32] = np.asarray(weight, np.float32)
    if matrix.ndim == 0:
        return matrix * np.eye(classes, dtype=np.float32)
    if any(side != classes for side in matrix.shape):
        raise InputError(
            f"weight has shape {matrix.shape}, expected a number, ({classes},) or ({classes}, {classes}) for {classes} classes"
        )
    return np.diag(matrix) if matrix.ndim == 1 else np.float32(0.5) * (matrix + matrix.T)


def _fill_positions(features: NDArray[np.float32], std: Spread, name: str) -> None:
    """Fill the first of `(d, *space)` with where pixels lie, x first, in standard deviations."""
    space = features.shape[1:]
    for axis, deviation in enumerate(one_each(name, std, len(space), "axes")):
        places = np.arange(space[axis], dtype=np.float32) / np.float32(deviation)
        features[len(space) - 1 - axis] = places.reshape(-1, *[1] * (len(space) - 1 - axis))


def one_each(name: str, std: Spread, count: int, what: str) -> Sequence[float]:
    """A spread as `count` numbers, one for each of `what`; `InputError` where it has another number of them."""
    if not isinstance(std, Sequence):
        return [std] * count
    if len(std) != count:
        raise InputError(f"{name} has {len(std)} values, expected {count}, for so many {what}, or a single number")
    return std


def _check_spread(name: str, std: Spread) -> None:
    values = std if isinstance(std, Sequence) else [std]
    if not values or not all(isinstance(value, int | float | np.number) and 0 < value < math.inf for value in values):
        raise InputError(
            f"{name} is a standard deviation, a number above 0 or one for each axis or channel, got {std!r}"
        )


def _check_term(weight: Weight, normalisation: str | None) -> None:
    try:
        matrix = np.asarray(weight, np.float32)
    except (TypeError, ValueError):
        raise InputError(f"weight is a number, (K,) or (K, K), got {weight!r}") from None
    if matrix.ndim > 2 or matrix.size == 0 or not np.isfinite(matrix).all():
        raise InputError(f"weight is finite and a number, (K,) or (K, K), got shape {matrix.shape}: {weight!r}")
    check_normalisation(normalisation)


def check_normalisation(name: str | None) -> None:
    """Raise `InputError` unless it is one of the names, or None."""
    if name is not None and name not in NORMALISATIONS:
        raise InputError(f"normalisation is one of {', '.join(NORMALISATIONS)}, got {name!r}")
