"""Boxes with an objectness, best first: what every proposer gives; and the baseline that looks at no image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError
from pixelwise.geometry import Box, Size


@dataclass(frozen=True)
class Proposals:
    """Where objects may be in an image, best first.

    boxes       `(M, 4)` int64 as `(y0, x0, y1, x1)`, half-open, in pixels, inside the image
    objectness  `(M,)` float32; comparable within an image only
    """

    boxes: NDArray[np.int64]
    objectness: NDArray[np.float32]

    def __post_init__(self) -> None:
        assert self.boxes.shape == (len(self.objectness), 4), (self.boxes.shape, self.objectness.shape)

    def __len__(self) -> int:
        return len(self.boxes)

    def box(self, rank: int) -> Box:
        """The box of a rank, from 0 on."""
        return Box(*(int(side) for side in self.boxes[rank]))


class Proposer(Protocol):
    """Image `(H, W, 3)` uint8 RGB -> boxes in its frame, best first; the same image gives the same boxes."""

    def __call__(self, image: NDArray[np.uint8]) -> Proposals:
        """The proposals for an image."""
        ...


@dataclass(frozen=True)
class RandomWindows:
    """Windows drawn without looking at the image: what any proposer must do better than.

    Area evenly in the logarithm between `smallest` pixels and the whole image, aspect ratio likewise up to `max_aspect`,
    place evenly. Images of one size get the same windows.
    """

    count: int = 2000
    seed: int = 0
    smallest: int = 1000
    max_aspect: float = 3.0

    def __post_init__(self) -> None:
        if self.count < 1 or self.smallest < 1 or self.max_aspect < 1:
            raise InputError(f"random windows need a count, an area and an aspect ratio of 1 or more, got {self}")

    def __call__(self, image: NDArray[np.uint8]) -> Proposals:
        """`count` windows in the frame of an image; of all objectness is 0."""
        return self.of_size((image.shape[0], image.shape[1]))

    def of_size(self, size: Size) -> Proposals:
        """The windows for any image of `(H, W)`."""
        height, width = size
        random = np.random.default_rng((self.seed, height, width))
        area = np.exp(random.uniform(np.log(min(self.smallest, height * width)), np.log(height * width), self.count))
        aspect = np.exp(random.uniform(-1, 1, self.count) * np.log(self.max_aspect))
        high = np.sqrt(area / aspect).round().clip(1, height).astype(np.int64)
        wide = np.sqrt(area * aspect).round().clip(1, width).astype(np.int64)
        y0, x0 = random.integers(0, height - high + 1), random.integers(0, width - wide + 1)
        return Proposals(np.stack([y0, x0, y0 + high, x0 + wide], axis=1), np.zeros(self.count, np.float32))
