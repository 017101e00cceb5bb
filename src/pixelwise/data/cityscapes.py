"""A folder in Cityscapes' layout in, a data set out: 19 classes of street scenes with fine labels.

Source: Cordts et al., The Cityscapes Dataset (CVPR 2016); values, classes and colours as its scripts' `labels.py` states them.
"""

from __future__ import annotations

import os
from pathlib import Path

from pixelwise.data.dataset import Entry, FileDataSet
from pixelwise.data.listing import ALL, picture_files, refuse_missing, refuse_unknown_split
from pixelwise.errors import InputError
from pixelwise.labels import IGNORE, Colour, LabelSpec

IMAGES, LABELS = "leftImg8bit", "gtFine"
MAX_VALUE = 33
"""Of a label map on disk; the values that are no class below are ignored."""

CLASSES: dict[int, tuple[str, Colour]] = {
    7: ("road", (128, 64, 128)), 8: ("sidewalk", (244, 35, 232)), 11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)), 13: ("fence", (190, 153, 153)), 17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)), 20: ("traffic sign", (220, 220, 0)), 21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)), 23: ("sky", (70, 130, 180)), 24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)), 26: ("car", (0, 0, 142)), 27: ("truck", (0, 0, 70)), 28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)), 32: ("motorcycle", (0, 0, 230)), 33: ("bicycle", (119, 11, 32)),
}  # fmt: skip
"""The value on disk of each class that trains, with its name and colour."""

SPEC = LabelSpec(
    tuple(name for name, _ in CLASSES.values()),
    tuple(colour for _, colour in CLASSES.values()),
    {**dict.fromkeys((*range(MAX_VALUE + 1), 255), IGNORE), **{value: i for i, value in enumerate(CLASSES)}},
)


def read_cityscapes(root: str | os.PathLike[str], split: str | None) -> FileDataSet:
    """Read one split of a folder with `leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png` and
    `gtFine/SPLIT/CITY/ID_gtFine_labelIds.png`.

    Samples are called `CITY/ID`. `split` None or "all" is every split with labels. Those of `test` are kept by its authors,
    and its samples have none. Raises `InputError` for a part that is missing, a split that does not exist, and images
    without label map.
    """
    root = Path(root)
    if recognise_cityscapes(root) is None:
        raise InputError(
            f"{root}: not in Cityscapes' layout: expected {IMAGES}/SPLIT/CITY/ and {LABELS}/SPLIT/CITY/ in it"
        )
    name, splits = split or ALL, cityscapes_splits(root)
    if name != ALL:
        refuse_unknown_split(root, name, splits)
    chosen = [part for part in splits if part != "test"] if name == ALL else [name]
    return FileDataSet(tuple(entry for part in chosen for entry in _entries(root, part)), SPEC)


def cityscapes_splits(root: Path) -> tuple[str, ...]:
    """The folders in `leftImg8bit/`."""
    return tuple(sorted(path.name for path in (root / IMAGES).iterdir() if path.is_dir() and path.name[0] != "."))


def recognise_cityscapes(root: Path) -> str | None:
    """What makes the folder one of Cityscapes' layout, or None if it is not."""
    if not all((root / part).is_dir() for part in (IMAGES, LABELS)):
        return None
    sizes = ", ".join(f"{split} {len(_named(root, IMAGES, split, '')):,}" for split in cityscapes_splits(root))
    return f"Cityscapes' layout: {IMAGES}, {LABELS} and the splits {sizes}" if sizes else None


def _entries(root: Path, split: str) -> list[Entry]:
    images, labels = _named(root, IMAGES, split, ""), _named(root, LABELS, split, "_labelIds")
    if split == "test":
        return [Entry(name, path) for name, path in images.items()]
    refuse_missing(root, split, tuple(images), {f"label map *_labelIds.png in {LABELS}": labels})
    return [Entry(name, path, labels[name]) for name, path in images.items()]


def _named(root: Path, kind: str, split: str, ending: str) -> dict[str, Path]:
    """The pictures of one kind by name, `CITY/ID`."""
    suffix = f"_{kind}{ending}"
    found = picture_files(root / kind / split)
    return {name.removesuffix(suffix): path for name, path in found.items() if name.endswith(suffix)}
