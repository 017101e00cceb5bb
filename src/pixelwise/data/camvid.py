"""A folder in CamVid's layout in, a data set out: 11 classes of street scenes, split into train, val and test.

Source: Brostow et al., Pattern Recognition Letters 2009; the split and classes of SegNet (Badrinarayanan et al., 2017).
"""

from __future__ import annotations

import os
from pathlib import Path

from pixelwise.data.dataset import Entry, FileDataSet
from pixelwise.data.listing import ALL, counted, ids_of, picture_files, read_lists, refuse_missing
from pixelwise.errors import InputError
from pixelwise.labels import read_classes

PARTS = ("images", "labels", "splits")


def read_camvid(root: str | os.PathLike[str], split: str | None) -> FileDataSet:
    """Read one split of a folder with `images/ID.*`, `labels/ID.*`, `splits/SPLIT.txt` and `classes.txt`.

    `split` None or "all" is every id of every list. Raises `InputError` for a part that is missing, a split that does
    not exist, and listed ids without image or label map.
    """
    root = Path(root)
    if recognise_camvid(root) is None:
        raise InputError(
            f"{root}: not in CamVid's layout: expected images/, labels/, splits/*.txt and classes.txt in it"
        )
    name = split or ALL
    ids = ids_of(root, name, read_lists(root / "splits"))
    images, labels = picture_files(root / "images"), picture_files(root / "labels")
    refuse_missing(root, name, ids, {"image in images": images, "label map in labels": labels})
    entries = tuple(Entry(item, images[item], labels[item]) for item in ids)
    return FileDataSet(entries, read_classes(root / "classes.txt"))


def camvid_splits(root: Path) -> tuple[str, ...]:
    """The lists in `splits/`."""
    return tuple(read_lists(root / "splits"))


def recognise_camvid(root: Path) -> str | None:
    """What makes the folder one of CamVid's layout, or None if it is not."""
    if not all((root / part).is_dir() for part in PARTS) or not (root / "classes.txt").is_file():
        return None
    lists = read_lists(root / "splits")
    if not lists:
        return None
    return f"CamVid's layout: images, labels, classes.txt and the lists in splits: {counted(lists)}"
