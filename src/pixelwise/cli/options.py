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
LayoutOption = Annotated[
    str,
    typer.Option(help="voc, camvid, person_part, cityscapes, coco, siftflow, nyud, folder or shapes; auto finds out."),
]
SbdOption = Annotated[Path | None, typer.Option(help="SBD's folder 'dataset', for the larger lists of VOC.")]
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", callback=_given, help="A model's directory, a run, or a name such as animals.")
]
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        callback=_given,
        help="A model's directory, a run, a name such as animals, or a folder of predictions (NAME.png, classes.txt).",
    ),
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; by default a GPU if there is one.")]
CrfOption = Annotated[
    str | None, typer.Option("--crf", metavar="PRESET", help="Refine by a dense CRF: a preset's name or its file.")
]
ReportOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Also write a page, metrics.json, per_image.csv here; thorough.")
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


def refuse_unwritable(folder: Path, option: str = "--out") -> None:
    """Raise `InputError` if `folder` cannot be made or written to: better now than after the work."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"{there}: a file, but {option} {folder} needs a folder there; choose another {option}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(
            f"{there}: must not be written to; choose another {option}, or change the folder's permissions"
        )


def refuse_filled(folder: Path, *, but: tuple[str, ...] = ()) -> None:
    """Raise `InputError` if `folder` holds anything, files called as one of `but` left out: what is there is not written over."""
    if folder.is_dir() and any(path.name not in but for path in folder.iterdir()):
        raise InputError(f"{folder}: holds other files; choose another --out")


def refuse_report(folder: Path | None) -> None:
    """Raise `InputError` if a report is wanted in a folder that holds anything else, or that cannot be written to."""
    if folder is not None:
        from pixelwise.report.folder import refuse_taken

        refuse_unwritable(refuse_taken(folder), "--report")
