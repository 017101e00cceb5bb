"""Arguments that several verbs take, described once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pixelwise.data.dataset import DataSet

DataArgument = Annotated[str, typer.Argument(metavar="DATA", help="A data set's folder, or the word 'shapes'.")]
LayoutOption = Annotated[str, typer.Option(help="voc, camvid, folder, shapes, or auto to find out.")]
SbdOption = Annotated[Path | None, typer.Option(help="SBD's folder 'dataset', for the larger lists of VOC.")]
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model's directory, a run, or a name such as animals.")
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; by default a GPU if there is one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]


def open_announced(data: str, split: str | None, layout: str, sbd: Path | None) -> DataSet:
    """Open a data set and say on stderr what it was recognised as."""
    from pixelwise.data.layouts import open_data, recognise_layout

    if layout == "auto":
        recognised = recognise_layout(data)
        layout = recognised.layout
        print(f"{data}: {recognised.sentence}", file=sys.stderr)
    opened = open_data(data, split, layout=layout, sbd=sbd)
    print(f"{len(opened):,} images, split {split or 'all'}; {len(opened.label_spec)} classes", file=sys.stderr)
    return opened
