"""Predictions for VOC's test images in, the folder and archive that its evaluation server takes out."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.data.dataset import DataSet
from pixelwise.data.voc import VOC_CLASSES
from pixelwise.errors import InputError
from pixelwise.evaluation.answers import Predictions, answers_of
from pixelwise.files import directory_written_beside
from pixelwise.geometry import Size
from pixelwise.inference.contracts import Predictor
from pixelwise.label_maps import UNREADABLE, write_label_map
from pixelwise.labels import LabelSpec

COMPETITIONS = ("comp5", "comp6")  # VOC2012 development kit, 5.2: trained on VOC alone, or on any data
VOC = LabelSpec(VOC_CLASSES)


def write_submission(
    out: Path,
    source: Predictor | Predictions,
    names: Sequence[str],
    data: DataSet,
    *,
    year: str = "VOC2012",
    competition: str = "comp6",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `results/VOC2012/Segmentation/comp6_test_cls/ID.png` for every sample of `data`, and the archive of it.

    `names` are the source's classes, in the order of its scores or labels: they are brought to VOC's places by name. All
    files are read back and checked before `out` appears: a folder is there whole and valid, or not at all. Returns the
    archive. Raises `InputError` for classes that are not VOC's, for a folder `out` that holds anything else, and for
    whatever `submission_faults` finds. Source: VOC2012 development kit, section 5.3.
    """
    if strange := [name for name in names if name not in VOC.names]:
        raise InputError(
            f"the model's class '{strange[0]}' is none of VOC's 21 ({', '.join(VOC.names)}): "
            f"submit a model of VOC's classes, or rename the class"
        )
    refuse_foreign(out, competition)
    places = np.full(256, 255, np.uint8)
    places[: len(names)] = [VOC.names.index(name) for name in names]
    answer, sizes = answers_of(source), {}
    with directory_written_beside(out) as beside:
        folder = beside / "results" / year / "Segmentation" / f"{competition}_test_cls"
        for number, name in enumerate(data.names, start=1):
            sample = data[number - 1]
            write_label_map(folder / f"{name}.png", places[answer(sample).labels], VOC)
            sizes[name] = sample.size
            if progress:
                progress(number, len(data))
        if faults := submission_faults(folder, sizes):
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise InputError(f"not a valid submission: {faults[0]}{more}; predict these images again")
        with tarfile.open(beside / _archive(competition), "w:gz") as packed:
            packed.add(beside / "results", "results", filter=_nobody)
    return out / _archive(competition)


def refuse_foreign(out: Path, competition: str = "comp6") -> None:
    """Raise `InputError` if `out` is a file, or holds anything but an older submission, which is going to be replaced."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file, but a submission is a folder; choose another --out")
    if strange := sorted(path.name for path in out.glob("*") if path.name not in ("results", _archive(competition))):
        raise InputError(f"{out}: holds other files (first {strange[0]}); choose another --out")


def submission_faults(folder: Path, sizes: Mapping[str, Size]) -> list[str]:
    """What is wrong with a folder of label maps, a sentence each: none if the server can read it.

    `sizes` are the `(height, width)` of the images by their ids: each must have its ID.png, an indexed picture of that
    size with classes 0..20, and nothing else may lie there.
    """
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    strange = sorted(there - {f"{name}.png" for name in sizes})
    faults = [f"{name} belongs to no image of the list" for name in strange]
    for name, size in sizes.items():
        if fault := _fault(folder / f"{name}.png", size):
            faults.append(f"{name}.png {fault}")
    return faults


def _fault(path: Path, size: Size) -> str | None:
    try:
        with Image.open(path) as picture:
            picture.load()
            mode, labels = picture.mode, np.asarray(picture)
    except FileNotFoundError:
        return "is missing"
    except UNREADABLE as error:
        return f"cannot be read ({error})"
    if mode != "P":
        return f"is a picture of mode {mode}, expected indexes with a palette (P)"
    if labels.shape != size:
        return f"is {_words(labels.shape)}, but its image is {_words(size)}"
    return _values(labels)


def _values(labels: NDArray[np.uint8]) -> str | None:
    highest = len(VOC) - 1
    strange = labels[labels > highest]
    return f"holds the value {strange[0]} ({len(strange):,} pixels), expected 0..{highest}" if strange.size else None


def _words(size: Sequence[int]) -> str:
    return f"{size[0]} high and {size[1]} wide"


def _archive(competition: str) -> str:
    return f"{competition}_test_cls.tar.gz"


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An archive says nothing of who made it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
