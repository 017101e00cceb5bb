"""Label pictures in, their classes out: for data sets that come without a list of classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from pixelwise.errors import InputError
from pixelwise.label_maps import read_raw_labels
from pixelwise.labels import IGNORE, MAX_CLASSES, Coding, Colour, LabelSpec

JPEG_SUFFIXES = (".jpg", ".jpeg")

SOFT_VALUES = 16
"""From this many rare values between 0 and 255 on, a mask of two values was smoothed rather than labelled with more."""


@dataclass
class _Seen:
    """What masks of one coding hold: pixels a value, and for error messages the first file and the first JPEG."""

    pixels: Counter[int] = field(default_factory=Counter)
    first: Path | None = None
    jpeg: Path | None = None


def infer_label_spec(paths: Sequence[str | os.PathLike[str]]) -> LabelSpec:
    """Find out the classes of a data set from all of its masks; each is read once.

    * values 0 and 1, or 0 and 255: `background` and `object`; with 0, 1 and 255, 255 is ignored
    * other values: `class_VALUE`, in the order of the values, and 255 is ignored
    * colours: one class a colour, called `#rrggbb`, in the order of that number

    A mask that cannot be read is passed over: reading it as a sample says so, and the check of the data set lists all.

    Raises `InputError` where no mask can be read, masks with values and masks with colours are mixed, all pixels have
    one value, there are more values than classes can be, or JPEG or smoothing has invented values.
    """
    seen: dict[Coding, _Seen] = {"index": _Seen(), "colour": _Seen()}
    grey: list[tuple[Path, dict[int, int]]] = []  # RGB, but grey everywhere: values or colours, as the others are
    unreadable: list[InputError] = []
    for path in map(Path, paths):
        try:
            counts, coding, undecided = _count(path)
        except InputError as error:
            unreadable.append(error)
            continue
        if undecided:
            grey.append((path, counts))
        else:
            _add(seen[coding], path, counts)
    if len(unreadable) == len(paths):
        raise unreadable[0] if unreadable else InputError("there are no masks to read classes from; write classes.txt")
    _refuse_mixed(seen["index"], seen["colour"])
    coding = "colour" if seen["colour"].first else "index"
    for path, counts in grey:
        _add(seen[coding], path, counts if coding == "index" else {v * 0x010101: n for v, n in counts.items()})
    found = seen[coding]
    assert found.first is not None
    _refuse_noise(found, found.first)
    return _colour_spec(sorted(found.pixels)) if coding == "colour" else _index_spec(found, found.first)


def _count(path: Path) -> tuple[dict[int, int], Coding, bool]:
    """Pixels a value, the coding, and whether a grey picture stored as RGB leaves it open."""
    raw, coding = read_raw_labels(path)
    values, counts = np.unique(raw, return_counts=True)
    undecided = False
    if coding == "index":
        with Image.open(path) as picture:  # reads the header only
            undecided = picture.mode in ("RGB", "RGBA")
    return dict(zip(values.tolist(), counts.tolist(), strict=True)), coding, undecided


def _add(seen: _Seen, path: Path, counts: dict[int, int]) -> None:
    seen.pixels.update(counts)
    seen.first = seen.first or path
    if path.suffix.lower() in JPEG_SUFFIXES:
        seen.jpeg = seen.jpeg or path


def _refuse_mixed(index: _Seen, colour: _Seen) -> None:
    if index.first and colour.first:
        raise InputError(
            f"{index.first} holds class values, but {colour.first} holds colours: save all masks in one way "
            f"(palette or grey PNG is best), or write classes.txt"
        )


def _refuse_noise(found: _Seen, first: Path) -> None:
    values = set(found.pixels)
    if found.jpeg and not _is_binary(values):
        raise InputError(
            f"{found.jpeg}: a mask saved as JPEG, which blurs values ({len(values)} found, such as "
            f"{_some(found)}): export the masks again as PNG"
        )
    if len(values - {IGNORE}) > MAX_CLASSES:
        raise InputError(
            f"{first}: this and the other masks hold {len(values):,} values, at most {MAX_CLASSES} can be classes; "
            f"likely they were smoothed, scaled or once saved as JPEG: export the masks again as PNG, unsmoothed"
        )
    between = sum(count for value, count in found.pixels.items() if 0 < value < 255)
    if max(values) == 255 and len(values) >= SOFT_VALUES + 2 and found.pixels[0] and between < found.pixels[255] / 4:
        raise InputError(
            f"{first}: masks of 0 and 255 with smoothed edges ({len(values)} values): export them again without "
            f"antialiasing, or, if all values are classes, write classes.txt"
        )
    if len(values) == 1:
        raise InputError(
            f"{first}: every pixel of every mask is {_some(found)}: there is nothing to tell apart; export the masks "
            f"again, or write classes.txt if that is meant"
        )


def _index_spec(found: _Seen, first: Path) -> LabelSpec:
    values = sorted(found.pixels)
    if set(values) == {0, 255}:
        return LabelSpec(("background", "object"), raw={0: 0, 255: 1})
    classes = [value for value in values if value != IGNORE]
    if classes == [0, 1]:
        return LabelSpec(("background", "object"))
    raw = {value: index for index, value in enumerate(classes)} | {IGNORE: IGNORE}
    return LabelSpec(tuple(f"class_{value}" for value in classes), raw=raw)


def _colour_spec(values: list[int]) -> LabelSpec:
    colours: tuple[Colour, ...] = tuple((value >> 16, value >> 8 & 255, value & 255) for value in values)
    raw = {value: index for index, value in enumerate(values)}
    return LabelSpec(tuple(f"#{value:06x}" for value in values), colours, raw, "colour")


def _is_binary(values: set[int]) -> bool:
    return values <= {0, 1} or values <= {0, 255}


def _some(found: _Seen) -> str:
    return ", ".join(str(value) for value in sorted(found.pixels)[:4])
