"""A folder in COCO's layout in, a data set of VOC's classes out: objects are painted into label maps when they are asked for.

Source: Lin et al., Microsoft COCO (ECCV 2014). Its use with VOC's 20 classes, to begin a training with, is DeepLab's (PAMI
2018, section 4.1.2), which does not say how objects become label maps: smaller ones lie above larger ones, objects of
other classes are background, the loose outlines of crowds are ignored, and images without any of the classes are left out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.dataset import picked, state_of
from pixelwise.data.listing import ALL, refuse_unknown_split
from pixelwise.data.sample import Sample, read_image
from pixelwise.data.voc import VOC_CLASSES
from pixelwise.errors import InputError, first_line, import_extra
from pixelwise.geometry import Size
from pixelwise.label_maps import classes_of
from pixelwise.labels import IGNORE, MAIN, LabelSpec

PREFIX = "instances_"

OTHER_NAMES: Mapping[str, str] = {
    "airplane": "aeroplane", "couch": "sofa", "dining table": "diningtable", "motorcycle": "motorbike",
    "potted plant": "pottedplant", "tv": "tvmonitor",
}  # fmt: skip
"""What COCO calls classes of VOC; the others have one name in both."""


@dataclass(frozen=True)
class PaintedObject:
    """One object: which class of VOC it is, its area in pixels, whether it is a crowd, and its outline as COCO has it."""

    voc_class: int
    area: float
    crowd: bool
    outline: Any


@dataclass(frozen=True)
class CocoImage:
    """One image: its name and file, its `(H, W)`, and its objects of VOC's classes."""

    name: str
    path: Path
    size: Size
    objects: tuple[PaintedObject, ...]


@dataclass(frozen=True)
class CocoDataSet:
    """Images of COCO with label maps of VOC's classes, and instances."""

    images: tuple[CocoImage, ...]
    label_spec: LabelSpec

    def __post_init__(self) -> None:
        if not self.images:
            raise InputError("the data set is empty: no image shows an object of VOC's classes")

    @property
    def names(self) -> tuple[str, ...]:
        """The samples' names, in the data set's order."""
        return tuple(image.name for image in self.images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        image = self.images[index]
        raw, instances = _painted(image)
        return Sample(
            image.name,
            read_image(image.path),
            {MAIN: classes_of(raw, self.label_spec, where=str(image.path))},
            instances,
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def fingerprint(self) -> str:
        """SHA-256 of the classes, and of each image's objects and the size and time of its file.

        Raises `InputError` for a file that is missing.
        """
        digest = hashlib.sha256(repr(self.label_spec).encode())
        for image in self.images:
            digest.update(repr((image.name, state_of(image.path), image.size, image.objects)).encode())
        return digest.hexdigest()

    def subset(self, names: Sequence[str]) -> CocoDataSet:
        """The same data set with only these samples, in this order; `InputError` for a name that is not in it."""
        return replace(self, images=picked(self.images, names))

    def with_classes(self, names: Sequence[str]) -> CocoDataSet:
        """The same samples with only these classes, in this order; the rest is ignored."""
        return replace(self, label_spec=self.label_spec.subset(names))


def read_coco(root: str | os.PathLike[str], split: str | None) -> CocoDataSet:
    """Read one split of a folder with `annotations/instances_SPLITYEAR.json` and the images in `SPLITYEAR/`.

    The year may be left out where there is one; `split` None or "all" is all of them. Raises `InputError` for a part that
    is missing or damaged, a split that does not exist, and where pycocotools is not installed (extra `coco`).
    """
    root = Path(root)
    import_extra("pycocotools", extra="coco")
    files = _files(root)
    if not files:
        raise InputError(f"{root}: not in COCO's layout: expected annotations/{PREFIX}*.json in it")
    name = split or ALL
    if name != ALL:
        refuse_unknown_split(root, name, files)
    chosen = list(files.values()) if name == ALL else [files[name]]
    return CocoDataSet(tuple(image for file in chosen for image in _read(root, file)), LabelSpec(VOC_CLASSES))


def coco_splits(root: Path) -> tuple[str, ...]:
    """What there are annotations of objects for: `train` and `val`; with the year where there are several."""
    return tuple(_files(root))


def recognise_coco(root: Path) -> str | None:
    """What makes the folder one of COCO's layout, or None if it is not."""
    if not (files := _files(root)):
        return None
    return f"COCO's layout, taken with the classes of VOC: the annotations {', '.join(path.stem for path in files.values())}"


def _files(root: Path) -> dict[str, Path]:
    files = {path.stem.removeprefix(PREFIX): path for path in sorted((root / "annotations").glob(f"{PREFIX}*.json"))}
    short = {name.rstrip("0123456789"): path for name, path in files.items()}
    return short if len(short) == len(files) else files


def _read(root: Path, file: Path) -> list[CocoImage]:
    folder = root / file.stem.removeprefix(PREFIX)
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        voc = {entry["id"]: OTHER_NAMES.get(entry["name"], entry["name"]) for entry in told["categories"]}
        objects: dict[int, list[PaintedObject]] = {}
        for entry in told["annotations"]:
            if (name := voc[entry["category_id"]]) in VOC_CLASSES:
                outline = entry["segmentation"]
                one = PaintedObject(VOC_CLASSES.index(name), entry["area"], bool(entry["iscrowd"]), outline)
                objects.setdefault(entry["image_id"], []).append(one)
        images = [
            CocoImage(
                Path(entry["file_name"]).stem,
                folder / entry["file_name"],
                (entry["height"], entry["width"]),
                tuple(objects[entry["id"]]),
            )
            for entry in told["images"]
            if entry["id"] in objects
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file}: not readable as COCO's annotations of objects ({type(error).__name__}: {first_line(error)}); copy it again"
        ) from error
    if images and not images[0].path.is_file():
        raise InputError(f"{images[0].path}: no such file; the images of {file.name} belong into {folder}")
    return images


def _painted(image: CocoImage) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Classes of VOC and numbers of objects, `(H, W)` each; crowds are ignored, unless an object lies there."""
    classes, instances = np.zeros(image.size, np.int32), np.zeros(image.size, np.int32)
    order = sorted(range(len(image.objects)), key=lambda i: (not image.objects[i].crowd, -image.objects[i].area))
    for index in order:
        one = image.objects[index]
        inside = _inside(one.outline, image)
        classes[inside] = IGNORE if one.crowd else one.voc_class
        instances[inside] = 0 if one.crowd else index + 1
    return classes, instances


def _inside(outline: Any, image: CocoImage) -> NDArray[np.bool_]:
    """The pixels `(H, W)` inside polygons, or of runs."""
    mask = import_extra("pycocotools.mask", extra="coco")
    try:
        if isinstance(outline, dict) and isinstance(outline["counts"], str):
            runs = outline
        else:
            runs = mask.frPyObjects(outline, *image.size)
        decoded = np.asarray(mask.decode(runs))
    except Exception as error:  # the library's checks are of as many kinds as outlines can be wrong
        raise InputError(f"{image.path}: an outline of its annotations is damaged ({first_line(error)})") from error
    inside = decoded.any(2) if decoded.ndim == 3 else decoded > 0
    if inside.shape != image.size:
        raise InputError(f"{image.path}: an outline is of {inside.shape}, but the annotations say {image.size}")
    return inside
