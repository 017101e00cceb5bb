"""A folder of PASCAL-Person-Part in, a data set out: six parts of people and the background, on VOC's photographs.

Sources: Chen et al., Detect What You Can (CVPR 2014), for the annotations; DeepLab v2 (PAMI 2018), section 4.3, for the six
parts. The layout is that of the label maps which DeepLab's authors gave out.
"""

from __future__ import annotations

import os
from pathlib import Path

from pixelwise.data.dataset import Entry, FileDataSet
from pixelwise.data.listing import ALL, counted, ids_of, picture_files, read_list, refuse_missing
from pixelwise.errors import InputError
from pixelwise.labels import LabelSpec

PERSON_PARTS = ("background", "head", "torso", "upper arms", "lower arms", "upper legs", "lower legs")
MASKS = "pascal_person_part_gt"
LISTS = "pascal_person_part_trainval_list"


def read_person_part(root: str | os.PathLike[str], split: str | None) -> FileDataSet:
    """Read one split of a folder with `JPEGImages/ID.jpg` and `pascal_person_part_gt/ID.png`.

    The lists are `pascal_person_part_trainval_list/SPLIT.txt`, or `SPLIT_id.txt` beside the folders; a line is an id, or
    begins with the path of an image. `split` None or "all" is every id of every list. Raises `InputError` for a part
    that is missing, a split that does not exist, and listed ids without image or label map.
    """
    root = Path(root)
    if recognise_person_part(root) is None:
        raise InputError(
            f"{root}: not in Person-Part's layout: expected JPEGImages/, {MASKS}/ and {LISTS}/*.txt or train_id.txt in it"
        )
    name = split or ALL
    ids = ids_of(root, name, _lists(root))
    images, masks = picture_files(root / "JPEGImages"), picture_files(root / MASKS)
    refuse_missing(root, name, ids, {"image in JPEGImages": images, f"label map in {MASKS}": masks})
    return FileDataSet(tuple(Entry(item, images[item], masks[item]) for item in ids), LabelSpec(PERSON_PARTS))


def person_part_splits(root: Path) -> tuple[str, ...]:
    """The lists that there are."""
    return tuple(_lists(root))


def recognise_person_part(root: Path) -> str | None:
    """What makes the folder one of Person-Part's layout, or None if it is not."""
    if not all((root / part).is_dir() for part in ("JPEGImages", MASKS)):
        return None
    lists = _lists(root)
    return f"Person-Part's layout: JPEGImages, {MASKS} and the lists {counted(lists)}" if lists else None


def _lists(root: Path) -> dict[str, tuple[str, ...]]:
    files = {path.stem: path for path in sorted((root / LISTS).glob("*.txt"))}
    files |= {path.stem.removesuffix("_id"): path for path in sorted(root.glob("*_id.txt"))}
    return {name: tuple(Path(line.split()[0]).stem for line in read_list(path)) for name, path in files.items()}
