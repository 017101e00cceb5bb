"""A refiner for images of any size in bounded memory: tile by tile, each with a margin that is refined and thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError

TILE = 1024
OVERLAP = 128


class Tiled:
    """A refiner that shows another one a part of the image at a time.

    refiner  what refines the parts: a `DenseCRF`
    tile     side in pixels of the part that is kept of each; the image is cut into tiles of nearly equal size, none larger
    overlap  pixels that are refined with a tile on each side, where the image goes on, and thrown away

    What lies further away than `overlap` has no part in a pixel's answer. An image no larger than one tile and its
    margins is refined as a whole.

    Raises `InputError` for a tile below 1 pixel and a negative overlap.
    """

    def __init__(
        self, refiner: Callable[[NDArray, NDArray], NDArray], tile: int = TILE, overlap: int = OVERLAP
    ) -> None:
        if tile < 1:
            raise InputError(f"tile: expected a side of at least 1 pixel, got {tile}")
        if overlap < 0:
            raise InputError(f"overlap: expected at least 0 pixels, got {overlap}")
        self.refiner = refiner
        self.tile = tile
        self.overlap = overlap

    def __call__(self, image: NDArray, scores: NDArray, out: NDArray | None = None) -> NDArray:
        """Scores `(K, H, W)` of an image `(H, W, C)` -> refined scores of the same shape and type.

        They are written into `out` if it is given. `scores` and `out` may be memory maps: no more of them is held than
        one tile with its margins. Raises `InputError` where sizes differ, and whatever the refiner raises.
        """
        if scores.ndim != 3 or scores.shape[1:] != image.shape[:2]:
            raise InputError(
                f"scores: expected (K, {image.shape[0]}, {image.shape[1]}) as the image, got {scores.shape}"
            )
        if out is None:
            out = np.empty(scores.shape, scores.dtype)
        elif out.shape != scores.shape:
            raise InputError(f"out: expected the shape of the scores {scores.shape}, got {out.shape}")
        height, width = image.shape[:2]
        for (top, bottom), (left, right) in product(self._bands(height), self._bands(width)):
            rows = slice(max(0, top - self.overlap), bottom + self.overlap)
            columns = slice(max(0, left - self.overlap), right + self.overlap)
            refined = self.refiner(image[rows, columns], np.asarray(scores[:, rows, columns]))
            up, back = top - rows.start, left - columns.start
            out[:, top:bottom, left:right] = refined[:, up : up + bottom - top, back : back + right - left]
        return out

    def _bands(self, side: int) -> Iterator[tuple[int, int]]:
        parts = 1 if side <= self.tile + 2 * self.overlap else -(-side // self.tile)
        edges = [round(part * side / parts) for part in range(parts + 1)]
        return pairwise(edges)
