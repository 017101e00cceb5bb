"""Arguments that several verbs take, described once, and the checks that go with them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.errors import InputError

if TYPE_CHECKING:
    from pixelwise.data.dataset import DataSet


def _given(word: str) -> str:
    """Refuse the empty word that an unset shell variable leaves: as a path it would be the folder one is in."""
    if not word.strip():
        raise typer.BadParameter("is empty")
    return word


DataArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATA", callback=_given, help="A data set's folder, or the word 'shapes' (a generated set)."
    ),
]
LayoutOption = Annotated[str, typer.Option(help="voc, camvid, folder, shapes, or auto to find out.")]
SbdOption = Annotated[Path | None, typer.Option(help="SBD's folder 'dataset', for the larger lists of VOC.")]
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", callback=_given, help="A model's directory, a run, or a name such as animals.")
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; by default a GPU if there is one.")]
CrfOption = Annotated[
    str | None, typer.Option("--crf", metavar="PRESET", help="Refine by a dense CRF: a preset's name or its file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]


def announce_layout(data: str, layout: str) -> str:
    """The layout of a data set; if it had to be found out, say on stderr by what."""
    from pixelwise.data.layouts import recognise_layout

    if layout != "auto":
        return layout
    recognised = recognise_layout(data)
    print(f"{data}: {recognised.sentence}", file=sys.stderr)
    return recognised.layout


def open_announced(data: str, split: str | None, layout: str, sbd: Path | None) -> DataSet:
    """Open a split and say on stderr what is in it."""
    from pixelwise.data.layouts import open_data

    opened = open_data(data, split, layout=layout, sbd=sbd)
    print(f"{len(opened):,} images, split {split or 'all'}; {len(opened.label_spec)} classes", file=sys.stderr)
    return opened


def refuse_unwritable(folder: Path) -> None:
    """Raise `InputError` if `folder` cannot be made or written to: better now than after the work."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"{there}: a file, but --out {folder} needs a folder there; choose another --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{there}: must not be written to; choose another --out, or change the folder's permissions")
