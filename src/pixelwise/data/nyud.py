"""A folder of NYUDv2 in, a data set out: indoor scenes in colour, with maps of 40 classes.

Sources: Silberman et al. (ECCV 2012) for the scenes; Gupta et al. (ECCV 2014) for the 40 classes, and the folder that they gave
out, with the lists of FCN's release.
"""

from __future__ import annotations

import os
from pathlib import Path

from pixelwise.data.dataset import Entry, FileDataSet
from pixelwise.data.listing import ALL, counted, ids_of, named_lists, picture_files, refuse_missing
from pixelwise.data.matlab import counted_from_1
from pixelwise.errors import InputError

NYUD_CLASSES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter",
    "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes", "ceiling", "books",
    "refrigerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard", "person", "night stand", "toilet",
    "sink", "lamp", "bathtub", "bag", "otherstructure", "otherfurniture", "otherprop",
)  # fmt: skip
"""In the order of their values, from 1. Source: `data/nyud/classes.txt` of FCN's release, but for one letter too many."""

LISTS = ("train", "val", "trainval", "test")


def read_nyud(root: str | os.PathLike[str], split: str | None) -> FileDataSet:
    """Read one split of a folder with `data/images/img_ID.png` and `segmentation/img_ID.mat`.

    The lists are `train.txt`, `val.txt` and `test.txt` beside these, an id a line; `trainval` is the first two together
    where it has no list of its own; `split` None or "all" is every id of every list. Depth is not read. Raises `InputError`
    for a part that is missing, a split that does not exist, and listed ids without image or label map.
    """
    root = Path(root)
    if recognise_nyud(root) is None:
        raise InputError(
            f"{root}: not in NYUDv2's layout: expected data/images/, segmentation/ and the lists train.txt and test.txt in it"
        )
    name = split or ALL
    ids = ids_of(root, name, _lists(root))
    images = {_id(stem): path for stem, path in picture_files(root / "data" / "images").items()}
    maps = {_id(path.stem): path for path in (root / "segmentation").glob("img_*.mat")}
    refuse_missing(root, name, ids, {"image in data/images": images, "label map in segmentation": maps})
    return FileDataSet(tuple(Entry(item, images[item], maps[item]) for item in ids), counted_from_1(NYUD_CLASSES))


def nyud_splits(root: Path) -> tuple[str, ...]:
    """The lists that there are."""
    return tuple(_lists(root))


def recognise_nyud(root: Path) -> str | None:
    """What makes the folder one of NYUDv2's layout, or None if it is not."""
    if not all((root / part).is_dir() for part in ("data/images", "segmentation")):
        return None
    lists = _lists(root)
    return f"NYUDv2's layout: data/images, segmentation and the lists {counted(lists)}" if lists else None


def _id(stem: str) -> str:
    return stem.removeprefix("img_")


def _lists(root: Path) -> dict[str, tuple[str, ...]]:
    lists = named_lists(root, LISTS)
    if lists.keys() >= {"train", "val"}:
        lists.setdefault("trainval", (*lists["train"], *lists["val"]))
    return lists
