"""The words for classes: their names, their colours, and which value on disk is which class.

One value, `LabelSpec`, is used by reader, loss, metric, writer, checkpoint, exporter and server.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import InputError, unknown_name
from pixelwise.files import write_text

IGNORE = 255
"""The label of pixels that neither train nor count."""

MAX_CLASSES = 254

MAIN = "main"
"""The head of a network, and the label map of a sample, where there is only one; `forward` gives this head."""

Colour = tuple[int, int, int]
Coding = Literal["index", "colour"]


def voc_palette(count: int = 256) -> NDArray[np.uint8]:
    """PASCAL VOC's colours, `(count, 3)` RGB: bits 0, 1, 2 of the index go to the high bits of R, G, B, then the next three.

    Source: VOC devkit; restated in FCN's `voc_layers.py` notes.
    """
    index = np.arange(count)
    palette = np.zeros((count, 3), np.uint8)
    for level in range(8):
        for channel in range(3):
            palette[:, channel] |= (((index >> (3 * level + channel)) & 1) << (7 - level)).astype(np.uint8)
    return palette


@dataclass(frozen=True)
class LabelSpec:
    """The classes of a data set or a model: names, colours, and which value on disk is which class.

    names    one a class, at most 254, no two alike
    colours  RGB 0..255, one a class; VOC's palette where none are given
    raw      value on disk -> class index or `IGNORE`; the identity plus 255 -> `IGNORE` where none is given.
             With `coding="colour"` the values are colours, packed by `pack_colour`.
    coding   whether label maps on disk hold indexes or colours
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...] = ()
    raw: Mapping[int, int] = field(default_factory=dict)
    coding: Coding = "index"

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MAX_CLASSES:
            raise InputError(f"a label set needs 1 to {MAX_CLASSES} classes, got {len(self.names)}")
        for name in self.names:
            if not name or name != " ".join(name.split()) or name.split()[-1] == "ignore":
                raise InputError(
                    f"the class name {name!r} cannot be written to classes.txt: names are words with one blank between "
                    f"them, and the last is not 'ignore'; rename the class"
                )
        if twice := {name for name in self.names if self.names.count(name) > 1}:
            raise InputError(f"class names must differ, got twice: {', '.join(sorted(twice))}")
        if not self.colours:
            object.__setattr__(self, "colours", tuple(map(_colour, voc_palette(len(self.names)))))
        if len(self.colours) != len(self.names):
            raise InputError(f"expected one colour a class ({len(self.names)}), got {len(self.colours)}")
        if not self.raw:
            object.__setattr__(self, "raw", {**{i: i for i in range(len(self.names))}, IGNORE: IGNORE})
        assert all(0 <= index < len(self.names) or index == IGNORE for index in self.raw.values())

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, names: Sequence[str]) -> LabelSpec:
        """The spec in which only `names` are classes, in that order; every other value on disk becomes ignore.

        Raises `InputError` for a name that is not a class here.
        """
        for name in names:
            if name not in self.names:
                raise unknown_name("class", name, self.names)
        position = {self.names.index(name): new for new, name in enumerate(names)}
        return LabelSpec(
            names=tuple(names),
            colours=tuple(self.colours[self.names.index(name)] for name in names),
            raw={value: position.get(index, IGNORE) for value, index in self.raw.items()},
            coding=self.coding,
        )

    def drawn_in(self, colours: Sequence[str]) -> LabelSpec:
        """The same classes in other colours, `#rrggbb` one a class; for colour-coded masks too, whose values stay."""
        parsed = [_parse_colour(word) for word in colours]
        if None in parsed or len(parsed) != len(self):
            raise InputError(f"expected {len(self)} colours such as '#e69f00', one a class, got {', '.join(colours)}")
        return replace(self, colours=tuple(colour for colour in parsed if colour))

    def to_json(self) -> dict[str, Any]:
        """The names and colours, as they travel with a model; values on disk belong to a data set and stay there."""
        return {"names": list(self.names), "colours": [list(colour) for colour in self.colours]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> LabelSpec:
        """The inverse of `to_json`."""
        return cls(tuple(record["names"]), tuple(_colour(colour) for colour in record["colours"]))


def pack_colour(red: int, green: int, blue: int) -> int:
    """One number for a colour: 0xRRGGBB."""
    return (int(red) << 16) | (int(green) << 8) | int(blue)


def read_classes(path: str | os.PathLike[str]) -> LabelSpec:
    """Read a `classes.txt`: one class a line, `value name [ignore] [#rrggbb]`.

    `value` is a whole number, or `#rrggbb` where the masks are colour pictures (then for every line). Names may hold
    blanks; lines with one name are one class; empty lines and lines from `# ` on are skipped. The optional colour is
    how the class is drawn. Raises `InputError` with the line's number.
    """
    names: list[str] = []
    colours: list[Colour] = []
    raw: dict[int, int] = {}
    codings: set[Coding] = set()
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        words = line.split()
        if not words or words[0] == "#":
            continue
        where = f"{path}, line {number}"
        value, coding = _parse_value(words[0], where)
        codings.add(coding)
        if len(codings) > 1:
            raise InputError(f"{where}: values are numbers or colours, not both")
        if value in raw:
            raise InputError(f"{where}: the value {words[0]} stands twice; give each value one line")
        drawn = _parse_colour(words.pop()) if len(words) > 2 and _parse_colour(words[-1]) else None
        ignored = len(words) > 1 and words[-1] == "ignore"
        name = " ".join(words[1:-1] if ignored else words[1:])
        if not name and not ignored:
            raise InputError(f"{where}: expected 'value name [ignore] [#rrggbb]', got '{line}'")
        if ignored:
            raw[value] = IGNORE
            continue
        if name not in names:
            if drawn is None:
                drawn = _parse_colour(words[0]) or _colour(voc_palette()[len(names)])
            names.append(name)
            colours.append(drawn)
        raw[value] = names.index(name)
    if not names:
        raise InputError(f"{path}: no classes in it; write one 'value name' a line")
    if codings == {"index"}:
        raw.setdefault(IGNORE, IGNORE)
    return LabelSpec(tuple(names), tuple(colours), raw, codings.pop())


def write_classes(path: str | os.PathLike[str], spec: LabelSpec) -> None:
    """Write a `classes.txt` for label maps as this library writes them: class index, name, colour."""
    lines = [f"{i} {name} #{pack_colour(*spec.colours[i]):06x}" for i, name in enumerate(spec.names)]
    write_text(path, "\n".join([*lines, f"{IGNORE} unlabelled ignore"]) + "\n")


def _colour(values: Iterable[Any]) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _parse_colour(word: str) -> Colour | None:
    if len(word) == 7 and word[0] == "#":
        try:
            return _colour(bytes.fromhex(word[1:]))
        except ValueError:
            return None
    return None


def _parse_value(word: str, where: str) -> tuple[int, Coding]:
    if colour := _parse_colour(word):
        return pack_colour(*colour), "colour"
    if word.isdecimal() and int(word) < 2**16:
        return int(word), "index"
    raise InputError(
        f"{where}: expected a value 0..65535 or #rrggbb first, got '{word}'; write 'value name' a line, such as '0 {word}'"
    )


def _read_text(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file ({error})") from error
