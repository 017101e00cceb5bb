"""A folder or a word in, a data set out: finds out which layout it is and hands over to that layout's reader."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pixelwise.data.camvid import camvid_splits, read_camvid, recognise_camvid
from pixelwise.data.cityscapes import cityscapes_splits, read_cityscapes, recognise_cityscapes
from pixelwise.data.coco import coco_splits, read_coco, recognise_coco
from pixelwise.data.dataset import DataSet
from pixelwise.data.folder import folder_splits, read_folder, recognise_folder
from pixelwise.data.nyud import nyud_splits, read_nyud, recognise_nyud
from pixelwise.data.person_part import person_part_splits, read_person_part, recognise_person_part
from pixelwise.data.shapes import Shapes
from pixelwise.data.siftflow import read_siftflow, recognise_siftflow, siftflow_splits
from pixelwise.data.voc import read_voc, recognise_voc, voc_splits
from pixelwise.errors import InputError, unknown_name

Layout = Literal["voc", "camvid", "person_part", "cityscapes", "coco", "siftflow", "nyud", "folder", "shapes"]
Root = str | os.PathLike[str]

_SHAPES = re.compile(r"shapes(?::(?P<count>.*))?")
_EXPECTED = (
    "expected JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/ (VOC), images/ and masks/, "
    "train/images and train/masks, or images/train and masks/train"
)


@dataclass(frozen=True)
class Recognised:
    """Which layout a data set has, and the sentence to tell people what it was recognised by."""

    layout: Layout
    sentence: str


def open_data(
    root: Root,
    split: str | None = None,
    *,
    layout: str = "auto",
    classes: Sequence[str] | None = None,
    sbd: Root | None = None,
) -> DataSet:
    """Open a data set.

    root     its folder; or, as a string, the word `shapes` or `shapes:COUNT` for the generated set
    split    one of `splits_of(root)`, or None or "all" for everything
    layout   a `Layout`, or "auto" to find out
    classes  names of the classes to keep, in this order; the others are ignored in the label maps
    sbd      SBD's folder `dataset`, for the larger lists of VOC

    Raises `InputError` for a folder that is missing or of no known layout, an unknown split, layout or class, and for
    whatever the layout's reader refuses.
    """
    known = _layout(root, layout)
    _refuse_sbd(known, root, sbd)
    data = _read(known, root, split, sbd)
    return data if classes is None else data.with_classes(classes)


def splits_of(root: Root, *, layout: str = "auto", sbd: Root | None = None) -> tuple[str, ...]:
    """The names of a data set's splits, without "all"; for the arguments and errors see `open_data`."""
    known = _layout(root, layout)
    _refuse_sbd(known, root, sbd)
    match known:
        case "voc":
            return voc_splits(Path(root), sbd)
        case "camvid":
            return camvid_splits(Path(root))
        case "person_part":
            return person_part_splits(Path(root))
        case "cityscapes":
            return cityscapes_splits(Path(root))
        case "coco":
            return coco_splits(Path(root))
        case "siftflow":
            return siftflow_splits(Path(root))
        case "nyud":
            return nyud_splits(Path(root))
        case "folder":
            return folder_splits(Path(root))
        case "shapes":
            return _shapes(root).splits


def recognise_layout(root: Root) -> Recognised:
    """Find out which layout a data set has.

    The narrower layouts come first, so a CamVid folder is not taken for any folder of images and masks. Raises
    `InputError` if the folder is missing or of no known layout.
    """
    if _is_shapes(root):
        return Recognised("shapes", f"the word '{root}': the generated set, {_shapes(root)}")
    folder = _existing(root)
    if recognised := _recognise(folder):
        return recognised
    raise InputError(f"{folder}: no layout recognised: {_nearby(folder) or _EXPECTED}")


def _recognise(folder: Path) -> Recognised | None:
    if sentence := recognise_voc(folder):
        return Recognised("voc", sentence)
    if sentence := recognise_camvid(folder):
        return Recognised("camvid", sentence)
    if sentence := recognise_person_part(folder):
        return Recognised("person_part", sentence)
    if sentence := recognise_cityscapes(folder):
        return Recognised("cityscapes", sentence)
    if sentence := recognise_coco(folder):
        return Recognised("coco", sentence)
    if sentence := recognise_siftflow(folder):
        return Recognised("siftflow", sentence)
    if sentence := recognise_nyud(folder):
        return Recognised("nyud", sentence)
    if sentence := recognise_folder(folder):
        return Recognised("folder", sentence)
    return None


def _layout(root: Root, layout: str) -> Layout:
    if layout == "auto":
        return recognise_layout(root).layout
    for known in get_args(Layout):
        if layout == known:
            if layout != "shapes":
                _existing(root)
            return known
    raise unknown_name("layout", layout, ["auto", *get_args(Layout)])


def _read(layout: Layout, root: Root, split: str | None, sbd: Root | None) -> DataSet:
    match layout:
        case "voc":
            return read_voc(root, split, sbd)
        case "camvid":
            return read_camvid(root, split)
        case "person_part":
            return read_person_part(root, split)
        case "cityscapes":
            return read_cityscapes(root, split)
        case "coco":
            return read_coco(root, split)
        case "siftflow":
            return read_siftflow(root, split)
        case "nyud":
            return read_nyud(root, split)
        case "folder":
            return read_folder(root, split)
        case "shapes":
            return _shapes(root).split(split)


def _refuse_sbd(layout: Layout, root: Root, sbd: Root | None) -> None:
    if sbd is not None and layout != "voc":
        raise InputError(f"{root}: SBD goes with the VOC layout only, this is '{layout}': leave sbd out")


def _is_shapes(root: Root) -> bool:
    return isinstance(root, str) and _SHAPES.fullmatch(root) is not None


def _shapes(root: Root) -> Shapes:
    found = _SHAPES.fullmatch(str(root))
    if found is None:
        raise InputError(f"{root}: the generated set is called 'shapes' or 'shapes:COUNT'")
    count = found["count"]
    if count is None:
        return Shapes()
    if not count.isdecimal() or int(count) < 1:
        raise InputError(f"{root}: expected a number of images after the colon, such as shapes:100, got '{count}'")
    return Shapes(count=int(count))


def _existing(root: Root) -> Path:
    folder = Path(root)
    if not folder.exists():
        raise InputError(
            f"{folder}: no such folder; give a data set's folder, or the word 'shapes' for the generated set"
        )
    if not folder.is_dir():
        raise InputError(f"{folder}: a file, but a data set is a folder: {_EXPECTED}")
    return folder


def _nearby(folder: Path) -> str | None:
    """A hint if the folder above, or some below, may be meant."""
    near = []
    for other in [*sorted(path for path in folder.iterdir() if path.is_dir()), folder.resolve().parent]:
        with suppress(InputError, OSError):  # a broken neighbour is no hint, and not this user's question
            if _recognise(other):
                near.append(str(other))
    return f"did you mean {' or '.join(near[:3])}?" if near else None
