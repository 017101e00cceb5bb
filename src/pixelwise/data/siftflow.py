"""A folder of SIFT Flow in, a data set out: outdoor scenes, each with a map of 33 classes and one of their geometry.

Sources: Liu, Yuen & Torralba, SIFT Flow (PAMI 2011), for the classes; Tighe & Lazebnik, SuperParsing (ECCV 2010), for the
geometry. The layout is that of the latter's archive, with the lists of FCN's release.
"""

from __future__ import annotations

import os
from pathlib import Path

from pixelwise.data.dataset import Entry, FileDataSet
from pixelwise.data.listing import ALL, counted, ids_of, named_lists, picture_files, refuse_missing
from pixelwise.data.matlab import counted_from_1
from pixelwise.errors import InputError

SIFTFLOW_CLASSES = (
    "awning", "balcony", "bird", "boat", "bridge", "building", "bus", "car", "cow", "crosswalk", "desert", "door", "fence",
    "field", "grass", "moon", "mountain", "person", "plant", "pole", "river", "road", "rock", "sand", "sea", "sidewalk",
    "sign", "sky", "staircase", "streetlight", "sun", "tree", "window",
)  # fmt: skip
"""In the order of their values, from 1. Source: `data/sift-flow/classes.txt` of FCN's release."""

GEOMETRY = ("sky", "horizontal", "vertical")
"""In the order of their values, from 1. Source: the same file."""

GEOMETRIC = "geometric"
"""The head of the second label map."""

SCENES = "spatial_envelope_256x256_static_8outdoorcategories"
LISTS = ("train", "val", "trainval", "test")


def read_siftflow(root: str | os.PathLike[str], split: str | None) -> FileDataSet:
    """Read one split of a folder with `Images/SCENES/ID.jpg`, `SemanticLabels/SCENES/ID.mat` and `GeoLabels/SCENES/ID.mat`.

    The lists are `trainval.txt` and `test.txt` beside these, an id a line; `split` None or "all" is every id of every list.
    Samples have the label maps `main` and, where there is a folder GeoLabels, `geometric`. Raises `InputError` for a part
    that is missing, a split that does not exist, and listed ids without image or label map.
    """
    root = Path(root)
    if recognise_siftflow(root) is None:
        raise InputError(
            f"{root}: not in SIFT Flow's layout: expected Images/{SCENES}, SemanticLabels/{SCENES}, and the lists "
            f"trainval.txt and test.txt in it"
        )
    name = split or ALL
    ids = ids_of(root, name, _lists(root))
    images, semantic = picture_files(root / "Images" / SCENES), _maps(root, "SemanticLabels")
    geometric = _maps(root, "GeoLabels")
    wanted = {"image in Images": images, "label map in SemanticLabels": semantic}
    refuse_missing(root, name, ids, wanted | ({"label map in GeoLabels": geometric} if geometric else {}))
    entries = tuple(
        Entry(item, images[item], semantic[item], heads={GEOMETRIC: geometric[item]} if geometric else {})
        for item in ids
    )
    geometry = {GEOMETRIC: counted_from_1(GEOMETRY, unlabelled=(-1, 0))} if geometric else {}
    return FileDataSet(entries, counted_from_1(SIFTFLOW_CLASSES), head_specs=geometry)


def siftflow_splits(root: Path) -> tuple[str, ...]:
    """The lists that there are."""
    return tuple(_lists(root))


def recognise_siftflow(root: Path) -> str | None:
    """What makes the folder one of SIFT Flow's layout, or None if it is not."""
    if not all((root / part / SCENES).is_dir() for part in ("Images", "SemanticLabels")):
        return None
    lists = _lists(root)
    return f"SIFT Flow's layout: Images, SemanticLabels and the lists {counted(lists)}" if lists else None


def _lists(root: Path) -> dict[str, tuple[str, ...]]:
    return named_lists(root, LISTS)


def _maps(root: Path, kind: str) -> dict[str, Path]:
    return {path.stem: path for path in (root / kind / SCENES).glob("*.mat")}
