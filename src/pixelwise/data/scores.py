"""Files of anybody's scores in, arrays with the names of their classes out."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.data.listing import PICTURE_SUFFIXES
from pixelwise.errors import InputError
from pixelwise.label_maps import UNREADABLE

ARRAYS = ("scores", "probabilities")
"""Names of an array in an `.npz`; `pixelwise predict --probabilities` writes the second."""


@dataclass(frozen=True)
class StoredScores:
    """What a file holds of one image.

    values         `(K, H, W)`, any type of number; of an `.npy` a memory map, so that it may be larger than the memory
    probabilities  whether they are probabilities, and not scores to take a softmax of
    names          of the K classes, or None where the file does not say
    floor          the least probability that the file can tell from 0, as a value to put in the place of 0
    """

    values: NDArray
    probabilities: bool
    names: tuple[str, ...] | None = None
    floor: float = 1e-20

    def scores(self, part: NDArray) -> NDArray:
        """Scores of a part of `values`: the part itself, or the logarithms of its probabilities."""
        if not self.probabilities:
            return part
        scale = np.iinfo(part.dtype).max if part.dtype.kind == "u" else 1
        return np.log(np.maximum(np.divide(part, scale, dtype=np.float32), np.float32(self.floor)))


def read_scores(path: str | os.PathLike[str]) -> StoredScores:
    """Read a file of scores or probabilities.

    `.npz`    an array `scores` or `probabilities` `(K, H, W)`, and `classes` with their names if it has them; or one
              array alone
    `.npy`    one array `(K, H, W)`
    a folder  a grey picture a class, 8 or 16 bits, 0 for never and the highest value for certainly, in the order of
              their names, which are the names of the classes; a number and `_` in front gives an order: `00_background.png`

    An array without a name is one of probabilities if it is nowhere below 0 and sums to 1 over the classes. Raises
    `InputError` for what cannot be read, and for arrays of another shape.
    """
    place = Path(path)
    if place.is_dir():
        return _pictures(place)
    if not place.is_file():
        raise InputError(
            f"{place}: no such file or folder; give scores as .npz, .npy or a folder of pictures, one a class"
        )
    names = None
    try:
        if place.suffix == ".npy":
            kind, values = "", np.load(place, mmap_mode="r")
        elif place.suffix == ".npz":
            with place.open("rb") as opened, np.load(opened) as file:
                kind = next((name for name in (*ARRAYS, *file.files) if name in file.files), "")
                values = file[kind] if kind else np.empty(0)
                names = tuple(map(str, file["classes"])) if "classes" in file.files else None
        else:
            raise InputError(f"{place}: expected scores in a file ending in .npz or .npy, or a folder of pictures")
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{place}: not readable as an array ({error}); save it again by numpy.save") from error
    if values.ndim != 3 or values.size == 0 or values.dtype.kind not in "fiu":
        raise InputError(f"{place}: expected an array (K, H, W) of numbers, got {values.shape} {values.dtype}")
    if names is not None and len(names) != len(values):
        raise InputError(f"{place}: holds {len(values)} maps, but {len(names)} names of classes; save it again")
    probabilities = kind == "probabilities" or (kind != "scores" and _sum_to_one(values))
    # The least number that a float16 can tell from 0 is 6e-8; half of it stands for what was rounded to 0.
    floor = 3e-8 if values.dtype == np.float16 else 1e-20
    return StoredScores(values, probabilities, names, floor)


def _sum_to_one(values: NDArray) -> bool:
    """Looked at in some rows only: a memory map need not be read for it."""
    rows = values[:, :: max(1, values.shape[1] // 16)].astype(np.float32)
    return bool((rows >= 0).all() and np.allclose(rows.sum(0), 1, atol=1e-2))


def _pictures(folder: Path) -> StoredScores:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not files:
        raise InputError(f"{folder}: no pictures in it; expected a grey picture a class, such as 00_background.png")
    maps = [_grey(path) for path in files]
    for path, values in zip(files, maps, strict=True):
        if (values.shape, values.dtype) != (maps[0].shape, maps[0].dtype):
            raise InputError(
                f"{path}: {values.shape} {values.dtype}, but {files[0].name} is {maps[0].shape} {maps[0].dtype}; "
                f"all classes need pictures of one size and depth"
            )
    values = np.stack(maps)
    return StoredScores(values, True, tuple(_class_of(path) for path in files), 0.5 / np.iinfo(values.dtype).max)


def _class_of(path: Path) -> str:
    number, _, name = path.stem.partition("_")
    return name if number.isdecimal() and name else path.stem


def _grey(path: Path) -> NDArray:
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("L", "I;16", "I"):
                raise InputError(f"{path}: expected a grey picture of 8 or 16 bits, got mode {picture.mode}")
            values = np.asarray(picture)
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a readable picture ({error}); save it again as PNG") from error
    return (
        values if values.dtype == np.uint8 else values.astype(np.uint16)
    )  # Pillow reads 16 bits as 32 in some versions
