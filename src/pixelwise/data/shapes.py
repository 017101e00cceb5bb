"""A generated data set: an index in, a picture with objects, thin parts and strong changes of scale out.

Tests and first steps need no download. Everything is drawn in whole numbers, so that a sample is the same, bit for bit,
on every machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.data.listing import ALL, refuse_unknown_split
from pixelwise.data.sample import Sample
from pixelwise.errors import InputError
from pixelwise.files import directory_written_beside
from pixelwise.label_maps import classes_of, write_label_map
from pixelwise.labels import MAIN, Colour, LabelSpec, write_classes

CLASSES = ("background", "disc", "square", "triangle", "ring", "line")
LABEL_SPEC = LabelSpec(CLASSES)
SPLITS = ("train", "val")

LINE = CLASSES.index("line")
VAL_EVERY = 5
"""Every fifth index is `val`, so that more images move none from one split to the other."""

MEAN_COLOURS: tuple[Colour, ...] = (
    (128, 128, 128), (190, 80, 70), (80, 170, 90), (80, 100, 190), (190, 80, 70), (210, 190, 80),
)  # fmt: skip
"""Colour helps but does not decide: disc and ring share one, and each object strays far from its own."""

RADII = (3, 4, 6, 8, 12, 16, 20, 26)
"""Radii in 64ths of the image's shorter side: from 1 in 20 to nearly half of it."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Shapes:
    """A data set of `count` generated samples: `image` of `size` (H, W) RGB uint8, labels and instances.

    `seed` changes all of them; `indexes` are those this one holds (None = all): splits and subsets hold some.
    """

    count: int = 200
    size: tuple[int, int] = (120, 160)
    seed: int = 0
    indexes: tuple[int, ...] | None = None
    label_spec: LabelSpec = LABEL_SPEC

    def __post_init__(self) -> None:
        if self.count < 1 or min(self.size) < 32 or self.seed < 0:
            raise InputError(
                f"generated shapes need at least 1 image, sides of 32 and a seed of 0, got {self.count}, "
                f"{self.size} and {self.seed}"
            )
        if self.indexes is None:
            object.__setattr__(self, "indexes", tuple(range(self.count)))

    def __str__(self) -> str:
        return f"{self.count} images of {self.size[0]} x {self.size[1]} with the classes {', '.join(CLASSES)}"

    @property
    def names(self) -> tuple[str, ...]:
        """The samples' names, in the data set's order."""
        return tuple(map(_name, self._indexes))

    def _indexes_of(self, split: str) -> tuple[int, ...]:
        return tuple(i for i in self._indexes if (i % VAL_EVERY == VAL_EVERY - 1) == (split == "val"))

    @property
    def _indexes(self) -> tuple[int, ...]:
        assert self.indexes is not None
        return self.indexes

    def __len__(self) -> int:
        return len(self._indexes)

    def __getitem__(self, index: int) -> Sample:
        image, classes, instances = _draw(np.random.default_rng((self.seed, self._indexes[index])), self.size)
        labels = classes_of(classes, self.label_spec, where="shapes")
        return Sample(_name(self._indexes[index]), image, {MAIN: labels}, instances)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that hold any of these samples."""
        return tuple(split for split in SPLITS if self._indexes_of(split))

    def split(self, split: str | None) -> Shapes:
        """The part `train` or `val` (every fifth); all of it for None and "all". `InputError` for another name."""
        if split is None or split == ALL:
            return self
        refuse_unknown_split("shapes", split, SPLITS)
        kept = self._indexes_of(split)
        if not kept:
            raise InputError(f"shapes:{self.count} has no image in '{split}'; ask for at least {VAL_EVERY}")
        return replace(self, indexes=kept)

    def fingerprint(self) -> str:
        """Everything that a sample is drawn from."""
        return repr(self)

    def subset(self, names: Sequence[str]) -> Shapes:
        """The same data set with only these samples, in this order; `InputError` for a name that is not in it."""
        by_name = dict(zip(self.names, self._indexes, strict=True))
        for name in names:
            if name not in by_name:
                raise InputError(f"the generated set has no sample '{name}'; the first is {self.names[0]}")
        return replace(self, indexes=tuple(by_name[name] for name in names))

    def with_classes(self, names: Sequence[str]) -> Shapes:
        """The same samples with only these classes, in this order; the rest is ignored."""
        return replace(self, label_spec=self.label_spec.subset(names))

    def write(self, root: str | os.PathLike[str]) -> None:
        """Write it as a folder of images/, masks/, classes.txt and the lists train.txt and val.txt.

        Reading the folder gives the same samples, but for the instances, which no file holds. An older folder at
        `root` is replaced when the new one is complete.
        """
        with directory_written_beside(root) as beside:
            (beside / "images").mkdir()
            (beside / "masks").mkdir()
            for sample in self:
                Image.fromarray(sample.image).save(beside / "images" / f"{sample.name}.png")
                write_label_map(beside / "masks" / f"{sample.name}.png", sample.labels[MAIN], self.label_spec)
            write_classes(beside / "classes.txt", self.label_spec)
            for split in self.splits:
                (beside / f"{split}.txt").write_text("\n".join(self.split(split).names) + "\n", encoding="utf-8")


def _name(index: int) -> str:
    return f"shapes_{index:05d}"


def _draw(
    rng: np.random.Generator, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int32]]:
    """One picture: image `(H, W, 3)`, classes `(H, W)` uint8 as in `CLASSES`, instances `(H, W)` int32."""
    image = _texture(rng, size, _colour_near(rng, MEAN_COLOURS[0], stray=70))
    classes, instances = np.zeros(size, np.uint8), np.zeros(size, np.int32)
    kinds = [int(kind) for kind in rng.integers(1, LINE, size=int(rng.integers(2, 6)))]
    lines = [LINE] * int(rng.integers(1, 4))  # drawn last: what is thin would vanish below the rest
    for instance, kind in enumerate([*kinds, *lines], start=1):
        mask = _object(rng, kind, size)
        skin = _texture(rng, size, _colour_near(rng, MEAN_COLOURS[kind], stray=50))
        image[mask], classes[mask], instances[mask] = skin[mask], kind, instance
    return image, classes, instances


def _object(rng: np.random.Generator, kind: int, size: tuple[int, int]) -> Mask:
    radius = max(3, min(size) * RADII[int(rng.integers(len(RADII)))] // 64)
    centre = int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))
    down = np.arange(size[0], dtype=np.int64)[:, None] - centre[0]
    right = np.arange(size[1], dtype=np.int64)[None, :] - centre[1]
    turn = _direction(rng)
    match CLASSES[kind]:
        case "disc":
            return down**2 + right**2 <= radius**2
        case "ring":
            return (down**2 + right**2 <= radius**2) & (down**2 + right**2 > (radius * 3 // 5) ** 2)
        case "square":
            return _bar(down, right, turn, radius, radius)
        case "triangle":
            return _triangle(down, right, turn, radius)
        case _:
            width = int(rng.integers(1, 4))
            line = _bar(down, right, turn, 2 * radius, width / 2)
            crossed = bool(rng.integers(0, 2))
            return line | _bar(down, right, (-turn[1], turn[0]), 2 * radius, width / 2) if crossed else line


def _direction(rng: np.random.Generator) -> tuple[int, int]:
    """A direction as whole numbers (down, right), not both zero."""
    down, right = (int(value) for value in rng.integers(-9, 10, size=2))
    return (down, right) if down or right else (0, 1)


def _bar(down: NDArray, right: NDArray, along: tuple[int, int], half_length: float, half_width: float) -> Mask:
    """A turned rectangle around the origin; halves are compared as squares, exactly, for they are whole or .5."""
    norm = along[0] ** 2 + along[1] ** 2
    lengthwise = down * along[0] + right * along[1]
    crosswise = down * along[1] - right * along[0]
    return (4 * lengthwise**2 <= 4 * half_length**2 * norm) & (4 * crosswise**2 <= 4 * half_width**2 * norm)


def _triangle(down: NDArray, right: NDArray, along: tuple[int, int], radius: int) -> Mask:
    """An isosceles triangle: its tip at `radius` along the direction, its base as far behind the origin."""
    norm = along[0] ** 2 + along[1] ** 2
    lengthwise = down * along[0] + right * along[1]
    crosswise = down * along[1] - right * along[0]
    behind_tip = (lengthwise < 0) | (lengthwise**2 <= radius**2 * norm)
    before_base = (lengthwise > 0) | (lengthwise**2 <= radius**2 * norm)
    # half as wide as it is long: 2 |crosswise| + lengthwise <= radius * sqrt(norm), squared where the left is positive
    reach = 2 * np.abs(crosswise) + lengthwise
    return behind_tip & before_base & ((reach <= 0) | (reach**2 <= radius**2 * norm))


def _colour_near(rng: np.random.Generator, mean: Colour, stray: int) -> NDArray[np.int64]:
    return np.array(mean) + rng.integers(-stray, stray + 1, size=3)


def _texture(rng: np.random.Generator, size: tuple[int, int], colour: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A picture `(H, W, 3)` around a colour: coarse patches, and grain in every pixel."""
    coarse = rng.integers(-25, 26, size=(size[0] // 8 + 1, size[1] // 8 + 1, 3))
    patches = coarse.repeat(8, axis=0).repeat(8, axis=1)[: size[0], : size[1]]
    return (colour + patches + rng.integers(-15, 16, size=(*size, 3))).clip(0, 255).astype(np.uint8)
