"""Small pictures on disk, for tests of what reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image


def save_image(path: Path, *, seed: int = 0, size: tuple[int, int] = (4, 6)) -> Path:
    """A noisy RGB picture of `(H, W)`, another one for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size=(*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def save_mask(path: Path, values: ArrayLike, *, mode: str = "L", size: tuple[int, int] = (4, 6)) -> Path:
    """A mask of `(H, W)` that repeats `values` row by row; triples of values are colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    given = np.asarray(values, np.uint8)
    pixels = np.resize(given, (*size, *given.shape[1:]))
    picture = Image.fromarray(pixels)
    if mode == "P":
        picture.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tobytes())
    elif picture.mode != "RGB":
        picture = picture.convert(mode)
    picture.save(path)
    return path
