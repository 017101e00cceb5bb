"""A data set in, the places of its training windows out: found once, kept in a file, and found again where that is stale.

Source: DeconvNet (Noh, Hong & Han, ICCV 2015), section 4.2.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelwise.data.dataset import DataSet
from pixelwise.data.objects import SMALLEST_PIECE, background_of, objects_of
from pixelwise.errors import InputError
from pixelwise.files import written_beside
from pixelwise.geometry import Box, intersection_over_union, square_around
from pixelwise.labels import LabelSpec
from pixelwise.version import __version__

ENLARGED = 1.2
"""Side of a window as a multiple of the longer side of its box. Source: DeconvNet, section 4.2, and the released lists."""

OVERLAP = 0.5
"""Intersection over union from which a proposal is of an object; ours, for the paper says "sufficiently"."""

SAVE_SECONDS = 60.0
"""Between two savings of an index that is being made."""

Boxes = NDArray[np.int64]


@dataclass(frozen=True)
class Centred:
    """Windows of the first stage: a square around each annotated object, labelled with that object's class only.

    enlarged        side of the square as a multiple of the object's longer side
    smallest_piece  of objects that are connected pieces, in pixels
    """

    enlarged: float = ENLARGED
    smallest_piece: int = SMALLEST_PIECE

    @property
    def one_class(self) -> bool:
        """Whether a window shows one class, and the rest as background."""
        return True

    @property
    def key(self) -> str:
        """What the windows depend on besides the data."""
        return f"centred {self.enlarged} {self.smallest_piece}"

    def choose(self, boxes: Boxes, classes: NDArray[np.int64], image: NDArray) -> tuple[Boxes, NDArray[np.int64]]:
        """Boxes to draw squares around, and the class of each, from the objects of an image."""
        return boxes, classes


@dataclass(frozen=True)
class Proposed:
    """Windows of the second stage: a square around each proposal that overlaps an object, with all classes labelled.

    propose         image -> boxes `(M, 4)`, as a proposer's `boxes`; called from several threads
    proposer        what made them, in words that change whenever its boxes would
    overlap         intersection over union with an object, from which on a proposal is taken
    enlarged, smallest_piece  as in `Centred`
    """

    propose: Callable[[NDArray[np.uint8]], Boxes]
    proposer: str
    overlap: float = OVERLAP
    enlarged: float = ENLARGED
    smallest_piece: int = SMALLEST_PIECE

    @property
    def one_class(self) -> bool:
        """Whether a window shows one class, and the rest as background."""
        return False

    @property
    def key(self) -> str:
        """What the windows depend on besides the data."""
        return f"proposed {self.proposer} {self.overlap} {self.enlarged} {self.smallest_piece}"

    def choose(self, boxes: Boxes, classes: NDArray[np.int64], image: NDArray) -> tuple[Boxes, NDArray[np.int64]]:
        """The proposals that overlap an object enough, and the class of the object that each overlaps most."""
        if len(boxes) == 0:
            return boxes, classes
        proposals = self.propose(image)
        overlaps = intersection_over_union(proposals, boxes)
        taken = overlaps.max(axis=1) >= self.overlap
        return proposals[taken], classes[overlaps.argmax(axis=1)[taken]]


Stage = Centred | Proposed


@dataclass(frozen=True)
class WindowIndex:
    """Where windows are: the sample's number `(N,)`, the square `(N, 4)` in its frame, the class in the middle `(N,)`."""

    samples: NDArray[np.int32]
    boxes: NDArray[np.int32]
    classes: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.samples)

    def balanced(self) -> NDArray[np.int64]:
        """Numbers of windows in which each class that has any is as frequent as the most frequent: rarer ones repeat."""
        members = [np.flatnonzero(self.classes == one) for one in np.unique(self.classes)]
        most = max((len(windows) for windows in members), default=0)
        return np.concatenate([np.zeros(0, np.int64), *(np.resize(windows, most) for windows in members)])


def refuse_no_background(spec: LabelSpec) -> None:
    """Raise `InputError` for classes without one called background, which windows of one class need around it."""
    if background_of(spec) is None:
        raise InputError("windows with one class each need a class called 'background': name it so in classes.txt")


def index_windows(
    data: DataSet,
    stage: Stage,
    cache: str | os.PathLike[str] | None = None,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> WindowIndex:
    """Find the windows of a data set; `progress(done, of)` is told after each sample.

    With `cache`, a file, what was found is kept there, also every minute on the way, and taken from there next time; a
    file that is broken or of other data, classes or settings is made anew. `workers` threads look at samples. Raises
    `InputError` where there is no object, or none that any proposal overlaps.
    """
    if stage.one_class:
        refuse_no_background(data.label_spec)
    key = hashlib.sha256(f"{__version__} {data.fingerprint()} {stage.key}".encode()).hexdigest()
    path = None if cache is None else Path(cache)
    done, found = (0, list[NDArray[np.int32]]()) if path is None else _read(path, key)
    saved = time.monotonic()
    for rows in _rows(data, stage, range(done, len(data)), workers):
        found.append(rows)
        done += 1
        if progress:
            progress(done, len(data))
        if path is not None and (done == len(data) or time.monotonic() - saved > SAVE_SECONDS):
            _write(path, key, done, found)
            saved = time.monotonic()
    joined = np.concatenate([np.zeros((0, 6), np.int32), *found])
    if len(joined) == 0:
        what = "no object in" if stage.one_class else "no object that a proposal overlaps in"
        raise InputError(f"{what} the {len(data):,} images: `pixelwise check` says which classes their masks hold")
    return WindowIndex(joined[:, 0], joined[:, 1:5], joined[:, 5].astype(np.int16))


def _rows(data: DataSet, stage: Stage, numbers: range, workers: int) -> Iterator[NDArray[np.int32]]:
    """For each sample its windows `(n, 6)`: its number, the square, the class. In order, made a little ahead of time."""
    look = partial(_windows_of, data, stage)
    ahead = 4 * workers
    with ThreadPoolExecutor(workers) as threads:  # EdgeBoxes and networks let other threads run
        for first in range(numbers.start, numbers.stop, ahead):
            yield from threads.map(look, range(first, min(first + ahead, numbers.stop)))


def _windows_of(data: DataSet, stage: Stage, number: int) -> NDArray[np.int32]:
    sample = data[number]
    objects = objects_of(sample, data.label_spec, stage.smallest_piece)
    boxes, classes = stage.choose(objects.boxes, objects.classes, sample.image)
    rows = np.empty((len(boxes), 6), np.int32)
    for row, box, label in zip(rows, boxes, classes, strict=True):
        square = square_around(Box(*(int(side) for side in box)), stage.enlarged)
        row[:] = number, square.y0, square.x0, square.y1, square.x1, label
    return rows


def _read(path: Path, key: str) -> tuple[int, list[NDArray[np.int32]]]:
    """How many samples an index file covers and their windows; none where it is missing, broken or another's."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:  # NumPy leaves broken files open
            facts = json.loads(str(file["facts"]))
            if facts["key"] == key:
                return int(facts["done"]), [file["windows"]]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        pass
    return 0, []


def _write(path: Path, key: str, done: int, found: list[NDArray[np.int32]]) -> None:
    """Keep what was found; the list then holds it in one piece."""
    found[:] = [np.concatenate(found)]
    with written_beside(path) as beside, beside.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps({"key": key, "done": done})), windows=found[0])
