"""Label maps as files and as pictures: read in every form in which they come, written as indexed PNG, coloured, overlaid.

A label map in memory is `(H, W)` uint8: class index, or `IGNORE`. On disk it may be a palette or grey PNG, 16-bit, 1-bit,
or a picture in which the colour is the class; a `LabelSpec` says which value or colour is which class.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pixelwise.errors import InputError
from pixelwise.files import written_beside
from pixelwise.labels import IGNORE, Coding, Colour, LabelSpec, voc_palette

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, KeyError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for files that are broken or no picture."""


def read_raw_labels(path: str | os.PathLike[str]) -> tuple[NDArray, Coding]:
    """Read a label picture as it is: values `(H, W)`, and whether they are indexes or packed colours.

    Values are uint8 where the picture has one channel of 8 bits or of 1, else int32.

    Modes P, L, 1, I;16 and I hold indexes, and so does an RGB picture that is grey everywhere (some tools save three
    equal channels); other RGB and RGBA pictures hold colours. Raises `InputError` for unreadable files and other modes.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            mode, pixels = picture.mode, np.asarray(picture)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; add the mask, or remove its image") from error
    except UNREADABLE as error:
        raise InputError(f"{path}: not a readable label picture ({error}); save it again as PNG") from error
    if mode in ("P", "L", "1"):
        return pixels.astype(np.uint8), "index"
    if mode.startswith("I"):
        return pixels.astype(np.int32), "index"
    if mode in ("LA", "PA"):
        return pixels[..., 0].astype(np.int32), "index"
    if mode in ("RGB", "RGBA"):
        red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
        if np.array_equal(red, green) and np.array_equal(green, blue):
            return red, "index"
        return (red << 16) | (green << 8) | blue, "colour"
    raise InputError(f"{path}: a label map of mode {mode} is not understood; save it as indexed or 8-bit grey PNG")


def read_label_map(path: str | os.PathLike[str], spec: LabelSpec) -> NDArray[np.uint8]:
    """Read a label map of any form as class indexes `(H, W)` uint8.

    Raises `InputError` naming the file, the value and the remedy if a value is no class of `spec`.
    """
    raw, coding = read_raw_labels(path)
    if coding != spec.coding:
        if spec.coding == "colour" and raw.max() == raw.min() == 0:
            coding = "colour"  # an all-black picture reads as grey; black is a colour too
        elif coding == "colour":
            raise InputError(
                f"{path}: a colour picture, but the classes are given as values; write the colours into classes.txt "
                f"('#rrggbb name' a line), or save the mask with palette or grey values like the others"
            )
        else:
            raw, coding = raw.astype(np.int32) * 0x010101, "colour"  # grey values of a colour-coded set
    return classes_of(raw, spec, where=str(path))


def classes_of(raw: NDArray, spec: LabelSpec, where: str) -> NDArray[np.uint8]:
    """Values as they stand on disk -> class indexes `(H, W)` uint8; `where` names the file in the error."""
    if raw.dtype == np.uint8:  # nearly all files; one look at a table is much quicker than a search
        table = np.array([spec.raw.get(value, -1) for value in range(256)], np.int16)
        classes = table.take(raw)
        strange = classes < 0
    else:
        values = np.array(sorted(spec.raw))
        place = np.searchsorted(values, raw).clip(max=len(values) - 1)
        classes = np.array([spec.raw[value] for value in values.tolist()]).take(place)
        strange = values.take(place) != raw
    if strange.any():
        found, counts = np.unique(raw[strange], return_counts=True)
        first, expected = value_name(int(found[0]), spec.coding), _value_range(spec)
        raise InputError(
            f"{where}: holds the value {first} ({counts[0]:,} pixels), which is no class; expected {expected}; "
            f"write a line '{first} NAME' or '{first} NAME ignore' into classes.txt"
        )
    return classes.astype(np.uint8)


def value_name(value: int, coding: Coding) -> str:
    """A value as it is written in `classes.txt`: the number, or `#rrggbb` for a colour."""
    return f"#{value:06x}" if coding == "colour" else str(value)


def write_label_map(path: str | os.PathLike[str], labels: NDArray[np.uint8], spec: LabelSpec) -> None:
    """Write class indexes `(H, W)` uint8 as an indexed PNG with the classes' colours; ignore is VOC's pale border colour."""
    palette = voc_palette()
    palette[: len(spec)] = spec.colours
    picture = Image.fromarray(np.ascontiguousarray(labels, np.uint8)).convert("L")
    picture.putpalette(palette.tobytes())
    with written_beside(path) as beside:
        picture.save(beside, format="PNG", optimize=True)


def colourise(labels: NDArray[np.uint8], spec: LabelSpec) -> NDArray[np.uint8]:
    """Class indexes `(H, W)` -> a picture `(H, W, 3)` in the classes' colours; values beyond the classes keep VOC's colour."""
    palette = voc_palette()
    palette[: len(spec)] = spec.colours
    return palette[labels]


def overlay(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    spec: LabelSpec,
    *,
    opacity: float = 0.5,
    clear: Iterable[str] = ("background",),
    legend: bool = True,
) -> NDArray[np.uint8]:
    """The image `(H, W, 3)` tinted by its labels `(H, W)`, with a white line between classes and a legend of the names.

    Classes named in `clear`, and ignored pixels, are left untinted.
    """
    tinted = ~np.isin(labels, [IGNORE, *(spec.names.index(name) for name in clear if name in spec.names)])
    weight = opacity * tinted[..., None]
    blend = image * (1 - weight) + colourise(labels, spec) * weight
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    blend[border] = 255
    picture = Image.fromarray(blend.round().astype(np.uint8))
    if legend:
        present = [index for index in np.unique(labels[tinted]) if index < len(spec)]
        _draw_legend(picture, [(spec.names[index], spec.colours[index]) for index in present])
    return np.array(picture)


def _draw_legend(picture: Image.Image, entries: list[tuple[str, Colour]]) -> None:
    if not entries:
        return
    draw = ImageDraw.Draw(picture, "RGBA")
    text = max(11, picture.height // 28)
    font = ImageFont.load_default(text)
    width = int(max(draw.textlength(name, font=font) for name, _ in entries)) + 3 * text
    draw.rectangle((0, 0, width, int(1.5 * text * len(entries)) + text // 2), fill=(0, 0, 0, 150))
    for row, (name, colour) in enumerate(entries):
        top = int(1.5 * text * row) + text // 2
        draw.rectangle((text // 2, top, text // 2 + text, top + text), fill=colour, outline=(255, 255, 255))
        draw.text((2 * text, top - text // 8), name, fill=(255, 255, 255), font=font)


def _value_range(spec: LabelSpec) -> str:
    values = sorted(spec.raw)
    if spec.coding == "colour":
        return f"one of {len(values)} colours"
    upto = next((i for i, value in enumerate(values) if value != i), len(values))
    rest = [str(value) for value in values[upto:]]
    return " or ".join([*([f"0..{upto - 1}"] if upto else []), *rest])
