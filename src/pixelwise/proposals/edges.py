"""An image or a map of edge strengths in, thin edges with their directions out: what EdgeBoxes looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, import_extra

THINNING_RADIUS = 2
"""Pixels to either side that an edge must be stronger than. Source: EdgeBoxes (Zitnick & Dollár, ECCV 2014), code."""

SMOOTHING_RADIUS = 4
"""Of the triangle filter that strengths pass before directions are read off them. Source: the same, code."""

GRADIENT_SIGMA = 3.0
"""Pixels; ours, chosen on training images. Of the Gaussian that an image passes before its gradient is taken."""

FULL_GRADIENT = 0.12
"""The gradient that counts as an edge of strength 1, with colours 0..1, a pixel; ours, chosen on training images."""

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class EdgeMap:
    """Thin edges: `strength` `(H, W)` float32, 0..1, and `direction` `(H, W)` float32, radians in [0, pi).

    The direction is the one across the edge, from the x axis towards the y axis, which points down.
    """

    strength: Plane
    direction: Plane

    def __post_init__(self) -> None:
        assert self.strength.shape == self.direction.shape


EdgeDetector = Callable[[NDArray[np.uint8]], EdgeMap]
"""Image `(H, W, 3)` uint8 RGB -> its edges, at its size."""


def gradient_edges(image: NDArray[np.uint8]) -> EdgeMap:
    """Edges where colours change, from no weights: an image `(H, W, 3)` uint8, RGB.

    Strength and direction are those of the largest change over all channels together, thinned.
    Source: Di Zenzo, A note on the gradient of a multi-image (CVGIP 1986), section 3.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"expected an image (H, W, 3) uint8, got {image.shape} {image.dtype}: convert it to RGB")
    cv2 = import_extra("cv2", extra="proposals")
    smooth = cv2.GaussianBlur(image.astype(np.float32) / 255, (0, 0), GRADIENT_SIGMA)
    right, down = (cv2.Scharr(smooth, cv2.CV_32F, *axes) / 32 for axes in ((1, 0), (0, 1)))  # 32: its weights' sum
    xx, yy, xy = ((one * other).sum(2) for one, other in ((right, right), (down, down), (right, down)))
    strength = np.sqrt((xx + yy + np.hypot(xx - yy, 2 * xy)) / 2)
    direction = _half_turn(np.arctan2(2 * xy, xx - yy) / 2)
    return EdgeMap((thin(strength, direction) / FULL_GRADIENT).clip(0, 1), direction)  # thinned first: clipping is flat


def edges_of(strength: NDArray) -> EdgeMap:
    """Edges from a map `(H, W)` of strengths, thick or thin: float 0..1, or uint8 0..255.

    Directions are those in which the smoothed map bends down most; across them the map is thinned, for EdgeBoxes may take
    minutes for thick edges. Raises `InputError` for another shape, type or range.
    """
    given = np.asarray(strength)
    if given.ndim != 2 or given.size == 0 or not (given.dtype == np.uint8 or given.dtype.kind == "f"):
        raise InputError(
            f"expected an edge map (H, W), float 0..1 or uint8, got {given.shape} {given.dtype}: give one strength a pixel"
        )
    plane = given.astype(np.float32) / np.float32(255 if given.dtype == np.uint8 else 1)
    if not (np.isfinite(plane).all() and plane.min() >= 0 and plane.max() <= 1):
        raise InputError(f"expected edge strengths 0..1, got {plane.min():g}..{plane.max():g}: scale the map")
    direction = across(plane)
    return EdgeMap(thin(plane, direction), direction)


def across(strength: Plane) -> Plane:
    """The direction across a ridge at each pixel of a map `(H, W)`, as `EdgeMap` counts it.

    It is the eigenvector of the second derivatives in which the map bends down most.
    Source: Steger, An unbiased detector of curvilinear structures (PAMI 1998), section 2.
    """
    cv2 = import_extra("cv2", extra="proposals")
    rising = np.arange(1, SMOOTHING_RADIUS + 2, dtype=np.float32)
    triangle = np.concatenate([rising, rising[-2::-1]])
    smooth = cv2.sepFilter2D(strength, cv2.CV_32F, triangle, triangle, borderType=cv2.BORDER_REFLECT)
    xx, yy, xy = (cv2.Sobel(smooth, cv2.CV_32F, *axes) for axes in ((2, 0), (0, 2), (1, 1)))
    return _half_turn(np.arctan2(-2 * xy, yy - xx) / 2)


def thin(strength: Plane, direction: Plane, radius: int = THINNING_RADIUS) -> Plane:
    """The strengths that are the largest within `radius` pixels to either side, across the edge; the others are 0.

    Between pixels strengths are interpolated. Of equal neighbours the one stays behind which it falls: of a flat band one
    rim, and of a plain nothing. Source: EdgeBoxes, code: non-maximum suppression; there equal neighbours all stay.
    """
    cv2 = import_extra("cv2", extra="proposals")
    rows, columns = np.indices(strength.shape, np.float32)
    right, down = np.cos(direction), np.sin(direction)
    kept = strength > 0
    for step in range(1, radius + 1):
        ahead, behind = (
            cv2.remap(
                strength, columns + way * right, rows + way * down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            for way in (step, -step)
        )
        # Interpolation rounds: what is equal may come out a little larger.
        kept &= (strength > ahead * (1 + 1e-6)) & (strength >= behind * (1 - 1e-6))
    return np.where(kept, strength, np.float32(0))


def _half_turn(angle: NDArray) -> Plane:
    """Angles of lines without a sense, in [0, pi)."""
    turned = np.mod(angle, np.pi).astype(np.float32)
    turned[turned >= np.float32(np.pi)] = 0  # rounding may reach pi itself
    return turned
