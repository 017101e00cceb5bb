"""One sample of a data set in, what can be said about it out; whatever is wrong is a sentence, never an exception."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelwise.data.dataset import DataSet, Entry, FileDataSet
from pixelwise.data.matlab import read_matlab_labels
from pixelwise.data.sample import read_image
from pixelwise.errors import InputError
from pixelwise.geometry import Size
from pixelwise.label_maps import read_label_map, read_raw_labels
from pixelwise.labels import MAIN, LabelSpec


@dataclass
class Inspected:
    """What one sample is like.

    size      (H, W) of the image, or None if it cannot be read
    content   a hash of the image's pixels: equal for equal pictures, whatever their file format
    pixels    class index (255: ignored) -> pixels; None if there is no label map or it cannot be read
    strange   values on disk that are no class -> pixels
    jpeg      the label map is a JPEG file
    grey_rgb  the label map is stored as a colour picture, but holds grey values
    errors    what is wrong, a sentence each, naming the file
    """

    name: str
    size: Size | None = None
    content: bytes | None = None
    pixels: Mapping[int, int] | None = None
    strange: Mapping[int, int] = field(default_factory=dict)
    jpeg: bool = False
    grey_rgb: bool = False
    errors: list[str] = field(default_factory=list)


def inspect(data: DataSet, index: int) -> Inspected:
    """Look at one sample; each of its files is read once."""
    if isinstance(data, FileDataSet):
        return _inspect_files(data.entries[index], data.label_spec)
    seen = Inspected(data.names[index])
    try:
        sample = data[index]
    except InputError as error:
        seen.errors.append(str(error))
        return seen
    seen.size, seen.content = sample.size, _hash(sample.image)
    if MAIN in sample.labels:
        seen.pixels = _count(sample.labels[MAIN])
    return seen


def _inspect_files(entry: Entry, spec: LabelSpec) -> Inspected:
    seen = Inspected(entry.name)
    try:
        image = read_image(entry.image)
        seen.size, seen.content = (image.shape[0], image.shape[1]), _hash(image)
    except InputError as error:
        seen.errors.append(str(error))
    if entry.labels is not None:
        try:
            _look_at_labels(seen, entry.labels, spec)
        except InputError as error:
            seen.errors.append(str(error))
    return seen


def _look_at_labels(seen: Inspected, path: Path, spec: LabelSpec) -> None:
    if path.suffix == ".mat":
        labels = read_matlab_labels(path, spec)
        seen.pixels = _count(labels)
        _compare_sizes(seen, path, (labels.shape[0], labels.shape[1]))
        return
    raw, coding = read_raw_labels(path)
    with Image.open(path) as picture:  # reads the header only
        seen.jpeg = picture.format == "JPEG"
        seen.grey_rgb = coding == "index" == spec.coding and picture.mode in ("RGB", "RGBA")
    _compare_sizes(seen, path, (raw.shape[0], raw.shape[1]))
    if coding != spec.coding:
        seen.pixels = _count(read_label_map(path, spec))  # its rules, and its sentence
        return
    values = _count(raw)
    seen.strange = {value: pixels for value, pixels in values.items() if value not in spec.raw}
    classes: Counter[int] = Counter()
    for value, pixels in values.items():
        if value in spec.raw:
            classes[spec.raw[value]] += pixels
    seen.pixels = classes


def _compare_sizes(seen: Inspected, path: Path, size: Size) -> None:
    if seen.size is None or size == seen.size:
        return
    text = f"{path}: the label map is {size[0]} high and {size[1]} wide, but the image is {seen.size[0]} and {seen.size[1]}"
    cure = "export the mask again at the image's size"
    if size == seen.size[::-1]:
        cure = "likely the image carries a camera's orientation mark that the mask was drawn without: turn the mask"
    seen.errors.append(f"{text}; {cure}")


def _count(labels: NDArray) -> dict[int, int]:
    values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _hash(image: NDArray) -> bytes:
    shape = str(image.shape).encode()  # with it, two plain pictures of as many pixels differ
    return hashlib.blake2b(shape + image.tobytes(), digest_size=16).digest()
