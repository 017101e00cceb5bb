"""A folder of images and masks, in any of the arrangements people have, in; a data set out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pixelwise.data.dataset import Entry, FileDataSet, hashed_part
from pixelwise.data.infer import infer_label_spec
from pixelwise.data.listing import (
    ALL,
    PICTURE_SUFFIXES,
    picture_files,
    read_list,
    read_lists,
    refuse_leak,
    refuse_missing,
    refuse_unknown_split,
)
from pixelwise.errors import InputError
from pixelwise.labels import read_classes

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "annotation", "gt")
MASK_ENDINGS = ("_mask", "_label", "_labels", "_gt", "_L")
SPLIT_WORDS = {word: word for word in ("train", "val", "test", "trainval")} | {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
}
"""Folders and lists that are splits, and what the split is then called."""

HELD_OUT = 0.1
"""The share of a folder without splits that is `val`: see `hashed_part`; the rest is `train`."""


@dataclass(frozen=True)
class _Pair:
    """A folder of images and the folder of their masks; `prefix` starts the names of the samples in it."""

    images: Path
    masks: Path
    prefix: str = ""


@dataclass(frozen=True)
class _Matched:
    """The samples of a folder, by name, and the files that have no partner."""

    entries: Mapping[str, Entry]
    images_alone: tuple[Path, ...]
    masks_alone: tuple[Path, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind of file that was passed over."""
        kinds = (("images without a mask", self.images_alone), ("masks without an image", self.masks_alone))
        return tuple(f"{kind}, left out: {len(paths):,}, first {paths[0]}" for kind, paths in kinds if paths)


@dataclass(frozen=True)
class _Splits:
    """How a folder is split: the names of each split, and in words where that comes from."""

    names: Mapping[str, tuple[str, ...]]
    source: Literal["sub-folders", "list files", "a stable hash of the names"]


def read_folder(root: str | os.PathLike[str], split: str | None) -> FileDataSet:
    """Read one split of a folder of images and masks.

    Arrangements: `images/ + masks/` with or without sub-folders, `train/images + train/masks` (any sub-folders), and
    `images/train + masks/train`; for `masks` also `labels`, `annotations` or `gt`. A sample is called as its image,
    by the path in the folder without suffix (`train/cat`, `city/0001`); its mask has the same path, or, where no mask
    has, one ending in `_mask`, `_label`, `_labels`, `_gt` or `_L`. Images without mask and masks without image are
    left out, and counted in the data set's `notes`.

    Splits come from sub-folders (`valid` and `validation` are called `val`, and so on), or else from lists
    (`train.txt`, `val.txt`, `test.txt` in the root, or any in `splits/`), or else `val` is the tenth of the names with
    the lowest stable hash and `train` the rest. `split` None or "all" is everything.

    Classes come from `classes.txt`, or else from the values of all masks (see `infer_label_spec`).

    Raises `InputError` where there is nothing to pair, no mask matches, the split is unknown or empty, or a list names
    what is not there.
    """
    root = Path(root)
    matched = _match_all(root, _pairs(root))
    names = _names_of(root, split or ALL, matched)
    classes = root / "classes.txt"
    masks = [entry.labels for entry in matched.entries.values() if entry.labels is not None]
    spec = read_classes(classes) if classes.is_file() else infer_label_spec(masks)
    return FileDataSet(tuple(matched.entries[name] for name in names), spec, matched.notes)


def folder_splits(root: Path) -> tuple[str, ...]:
    """The splits that `read_folder` finds, without empty ones: one image has no `val`."""
    splits = _splits(root, _match_all(root, _pairs(root)))
    return tuple(split for split, names in splits.names.items() if names)


def recognise_folder(root: Path) -> str | None:
    """What makes the folder one of images and masks, or None if it is not."""
    pairs = _pairs(root)
    if not pairs:
        return None
    matched = _match_all(root, pairs)
    splits = _splits(root, matched)
    folders = ", ".join(
        f"{pair.images.relative_to(root).as_posix()} + {pair.masks.relative_to(root).as_posix()}" for pair in pairs
    )
    sizes = ", ".join(f"{name} {len(names):,}" for name, names in splits.names.items())
    notes = "".join(f"; {note}" for note in matched.notes)
    return f"folder of images and masks ({folders}): splits by {splits.source}: {sizes}{notes}"


def _pairs(root: Path) -> tuple[_Pair, ...]:
    """The image folders with their mask folders: in the root, or else in each of its sub-folders that has both."""
    if pair := _pair_in(root, ""):
        return (pair,)
    if not root.is_dir():
        return ()
    below = (_pair_in(folder, f"{folder.name}/") for folder in sorted(root.iterdir()) if folder.is_dir())
    pairs = tuple(pair for pair in below if pair)
    are_splits = any(
        _split_word(pair.prefix.rstrip("/")) for pair in pairs
    )  # else they are data sets beside each other
    return pairs if are_splits else ()


def _split_word(folder: str) -> str | None:
    return SPLIT_WORDS.get(folder.lower())


def _pair_in(folder: Path, prefix: str) -> _Pair | None:
    if not folder.is_dir():
        return None
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    images = next((there[name] for name in IMAGE_FOLDERS if name in there), None)
    masks = next((there[name] for name in MASK_FOLDERS if name in there), None)
    return _Pair(images, masks, prefix) if images and masks else None


def _match_all(root: Path, pairs: Iterable[_Pair]) -> _Matched:
    entries: dict[str, Entry] = {}
    images_alone: list[Path] = []
    masks_alone: list[Path] = []
    for pair in pairs:
        matched = _match(pair)
        entries.update(matched.entries)
        images_alone += matched.images_alone
        masks_alone += matched.masks_alone
    if not entries:
        raise InputError(
            f"{root}: no image with a mask found; expected images/ and masks/ with files of the same name, such as "
            f"images/cat.jpg and masks/cat.png"
        )
    return _Matched(entries, tuple(images_alone), tuple(masks_alone))


def _match(pair: _Pair) -> _Matched:
    images, masks = picture_files(pair.images), picture_files(pair.masks)
    ending = next((ending for ending in ("", *MASK_ENDINGS) if any(name + ending in masks for name in images)), None)
    if ending is None and images and masks:
        raise InputError(
            f"{pair.masks.parent}: no mask has the name of an image: '{next(iter(images))}' in {pair.images.name}/, "
            f"but '{next(iter(masks))}' in {pair.masks.name}/; give the mask the name of its image "
            f"(or that name and one of {', '.join(MASK_ENDINGS)})"
        )
    partner = {name: name + (ending or "") for name in images}
    entries = {
        pair.prefix + name: Entry(pair.prefix + name, path, masks[partner[name]])
        for name, path in images.items()
        if partner[name] in masks
    }
    taken = set(partner.values())
    return _Matched(
        entries,
        tuple(path for name, path in images.items() if partner[name] not in masks),
        tuple(path for name, path in masks.items() if name not in taken),
    )


def _names_of(root: Path, split: str, matched: _Matched) -> tuple[str, ...]:
    if split == ALL:
        return tuple(matched.entries)
    splits = _splits(root, matched)
    refuse_unknown_split(root, split, splits.names)
    refuse_leak(root, split, splits.names)
    names = splits.names[split]
    refuse_missing(root, split, names, {"image with a mask": matched.entries})
    if not names:
        raise InputError(
            f"{root}: split '{split}' is empty: by a stable hash, {len(matched.entries)} images give it none; "
            f"add images, or write train.txt and val.txt"
        )
    return names


def _splits(root: Path, matched: _Matched) -> _Splits:
    names = tuple(matched.entries)
    tops = {name: PurePosixPath(name).parts[0] for name in names if "/" in name}
    from_pairs = _pair_in(root, "") is None
    if from_pairs or any(map(_split_word, tops.values())):
        folders = {top: _split_word(top) or top for top in tops.values() if from_pairs or _split_word(top)}
        inside = {top: tuple(name for name in names if tops.get(name) == top) for top in folders}
        return _Splits({folders[top]: inside[top] for top in folders}, "sub-folders")
    if lists := _lists(root):
        resolved = {split: tuple(_resolve(line, matched.entries) for line in lines) for split, lines in lists.items()}
        return _Splits(resolved, "list files")
    held = hashed_part(names, HELD_OUT, "val")
    apart = set(held)
    rest = tuple(name for name in names if name not in apart)
    return _Splits({"train": rest, "val": held}, "a stable hash of the names")


def _lists(root: Path) -> dict[str, tuple[str, ...]]:
    """The lists in `splits/`, or else those in the root that are called as splits are (other texts may lie there)."""
    if lists := read_lists(root / "splits"):
        return {SPLIT_WORDS.get(name, name): ids for name, ids in lists.items()}
    there = {word: root / f"{word}.txt" for word in SPLIT_WORDS if (root / f"{word}.txt").is_file()}
    return {SPLIT_WORDS[word]: read_list(path) for word, path in there.items()}


def _resolve(line: str, names: Mapping[str, Entry]) -> str:
    """A line of a list as a sample's name: it may have the image's suffix, and the path from the root."""
    line = line.removeprefix("./")
    plain = str(PurePosixPath(line).with_suffix("")) if PurePosixPath(line).suffix.lower() in PICTURE_SUFFIXES else line
    inside = plain.partition("/")[2]
    return next((name for name in (line, plain, inside) if name in names), line)
