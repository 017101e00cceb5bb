"""A folder in PASCAL VOC's layout in, a data set out; with SBD, also the larger lists that the papers train on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelwise.data.dataset import Entry, FileDataSet
from pixelwise.data.listing import (
    ALL,
    counted,
    picture_files,
    read_lists,
    refuse_leak,
    refuse_missing,
    refuse_unknown_split,
)
from pixelwise.data.sbd import read_sbd_lists, sbd_folder
from pixelwise.errors import InputError, unknown_name
from pixelwise.labels import LabelSpec, read_classes

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
LISTS = Path("ImageSets", "Segmentation")

Lists = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class NamedList:
    """A list of the literature: the union of `add` without `less` (lists of VOC and SBD), and how many ids it has."""

    count: int
    year: int
    add: tuple[str, ...]
    less: tuple[str, ...] = ()

    @property
    def needs_sbd(self) -> bool:
        """Whether any part of it is a list of SBD's."""
        return any(part.startswith("sbd ") for part in (*self.add, *self.less))

    def __str__(self) -> str:
        return " + ".join(self.add) + "".join(f" - {part}" for part in self.less)


NAMED_LISTS: Mapping[str, NamedList] = {
    # FCN (PAMI 2017) section 4: VOC2011 train, the list of the AlexNet row of its Table 1
    "voc2011_train": NamedList(1112, 2011, ("voc train",)),
    # FCN section 4: SBD's train list
    "sbd_train": NamedList(8498, 2011, ("sbd train",)),
    # FCN section 4 and its data/pascal/seg11valid.txt: the VOC2011 val ids that SBD does not train on
    "seg11valid": NamedList(736, 2011, ("voc val",), ("sbd train",)),
    # DeepLab (ICLR 2015) section 5.1: 10,582 training images
    "train_aug": NamedList(10582, 2012, ("voc train", "sbd train", "sbd val"), ("voc val",)),
    # DeepLab's list for the test server: train_aug and VOC2012 val
    "trainval_aug": NamedList(12031, 2012, ("voc trainval", "sbd train", "sbd val")),
}


def read_voc(root: str | os.PathLike[str], split: str | None, sbd: str | os.PathLike[str] | None = None) -> FileDataSet:
    """Read one split of a folder in VOC's layout.

    root   holds JPEGImages/, SegmentationClass/, ImageSets/Segmentation/*.txt; SegmentationObject/ if there are
           instances, SegmentationClassAug/ if there are more labels, and classes.txt if the classes are not VOC's 21
    split  a list in ImageSets/Segmentation, or one of `NAMED_LISTS` (built where `sbd` is given or not needed),
           or None or "all" for every listed id with a mask
    sbd    SBD's folder `dataset`; its labels are used where VOC has none of its own, its img/ where VOC lacks the image

    The ids of `test`, whose masks VOC keeps, have no labels. Raises `InputError` for a split that does not exist, ids
    without image or mask, and a training list with ids of `val`.
    """
    root = Path(root)
    if not (root / LISTS).is_dir():
        raise InputError(f"{root}: no folder {LISTS}: give the folder that holds it, such as VOCdevkit/VOC2012")
    files = _Files.of(root, None if sbd is None else sbd_folder(sbd))
    name = split or ALL
    ids = _ids(root, name, files)
    unlabelled = name == "test" and not any(labelled in files.labels for labelled in ids)
    kinds = {"image in JPEGImages": files.images}
    refuse_missing(root, name, ids, kinds if unlabelled else {**kinds, "mask in SegmentationClass": files.labels})
    spec = read_classes(root / "classes.txt") if (root / "classes.txt").is_file() else LabelSpec(VOC_CLASSES)
    return FileDataSet(tuple(files.entry(name) for name in ids), spec)


def voc_splits(root: Path, sbd: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """The splits that `read_voc` finds: the list files, and with `sbd` the named lists that this year's lists give."""
    lists = read_lists(root / LISTS)
    built = [] if sbd is None else _buildable(lists, read_sbd_lists(sbd_folder(sbd)))
    return tuple(dict.fromkeys([*lists, *built]))


def recognise_voc(root: Path) -> str | None:
    """What makes the folder one of VOC's layout, or None if it is not."""
    if not all((root / part).is_dir() for part in ("JPEGImages", "SegmentationClass", LISTS)):
        return None
    lists = read_lists(root / LISTS)
    sizes = counted(lists) or "none"
    return f"PASCAL VOC layout: JPEGImages, SegmentationClass and the lists {sizes}"


def named_list(name: str, voc_lists: Lists, sbd_lists: Lists) -> tuple[str, ...]:
    """Build one of `NAMED_LISTS`, sorted, from VOC's and SBD's own lists by name (`train`, `val`, `trainval`).

    Raises `InputError` for an unknown name, a missing part, or a count that is not the published one.
    """
    if name not in NAMED_LISTS:
        raise unknown_name("list", name, NAMED_LISTS)
    rule = NAMED_LISTS[name]
    lists = {**{f"voc {k}": v for k, v in voc_lists.items()}, **{f"sbd {k}": v for k, v in sbd_lists.items()}}
    if absent := [part for part in (*rule.add, *rule.less) if part not in lists]:
        raise InputError(
            f"the list '{name}' is {rule}; there is no list '{absent[0]}': give the complete VOC{rule.year} and SBD"
        )
    ids = {item for part in rule.add for item in lists[part]} - {item for part in rule.less for item in lists[part]}
    if len(ids) != rule.count:
        sizes = counted({part: lists[part] for part in (*rule.add, *rule.less)})
        raise InputError(
            f"the list '{name}' is {rule} with {rule.count:,} ids, got {len(ids):,} (from {sizes}); likely the root is "
            f"not the complete VOC{rule.year}, or a list was edited: give the original VOC{rule.year} and SBD folders"
        )
    return tuple(sorted(ids))


@dataclass(frozen=True)
class _Files:
    """Which ids have which files, each folder listed once; VOC's own files before SBD's."""

    images: Mapping[str, Path]
    labels: Mapping[str, Path]
    instances: Mapping[str, Path]
    sbd: Path | None

    @classmethod
    def of(cls, root: Path, sbd: Path | None) -> _Files:
        labels = picture_files(root / "SegmentationClassAug") | picture_files(root / "SegmentationClass")
        images = picture_files(root / "JPEGImages")
        if sbd is not None:
            images = picture_files(sbd / "img") | images
            labels = {path.stem: path for path in (sbd / "cls").glob("*.mat")} | labels
        return cls(images, labels, picture_files(root / "SegmentationObject"), sbd)

    def entry(self, name: str) -> Entry:
        labels = self.labels.get(name)
        instances = self.instances.get(name)
        if labels is not None and labels.suffix == ".mat":  # instances must come from the hand that drew the classes
            assert self.sbd is not None
            of_sbd = self.sbd / "inst" / f"{name}.mat"
            instances = of_sbd if of_sbd.is_file() else None
        return Entry(name, self.images[name], labels, instances)


def _ids(root: Path, split: str, files: _Files) -> tuple[str, ...]:
    lists_folder = root / LISTS
    if split == ALL:
        listed = {name for ids in read_lists(lists_folder).values() for name in ids}
        return tuple(sorted(name for name in listed if name in files.labels))
    path = lists_folder / f"{split}.txt"
    if split in NAMED_LISTS and not path.is_file() and NAMED_LISTS[split].needs_sbd and files.sbd is None:
        raise InputError(
            f"{root}: the list '{split}' is {NAMED_LISTS[split]}: give SBD's folder 'dataset' (sbd=...), "
            f"or write the list to {LISTS / path.name}"
        )
    if split in NAMED_LISTS and (files.sbd is not None or not path.is_file()):
        return named_list(split, read_lists(lists_folder), {} if files.sbd is None else read_sbd_lists(files.sbd))
    lists = read_lists(lists_folder)
    refuse_unknown_split(root, split, lists)
    refuse_leak(root, split, lists)
    return lists[split]


def _buildable(voc_lists: Lists, sbd_lists: Lists) -> list[str]:
    built = []
    for name in NAMED_LISTS:
        try:
            named_list(name, voc_lists, sbd_lists)
        except InputError:
            continue
        built.append(name)
    return built
