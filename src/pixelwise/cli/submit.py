"""`pixelwise submit`: a model, or predictions that were kept, and VOC's folder in, what its evaluation server takes out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.options import DeviceOption, JsonOption, SourceArgument, open_announced, refuse_unwritable
from pixelwise.cli.sources import open_source, refuse_no_source
from pixelwise.errors import unknown_name


def submit(
    model: SourceArgument,
    voc: Annotated[str, typer.Argument(metavar="VOC", help="The folder VOCdevkit/VOC2012, with the test images.")],
    out: Annotated[Path, typer.Option(help="Folder for the submission; one that is there is replaced.")],
    split: Annotated[str, typer.Option(help="The list of images to predict.")] = "test",
    competition: Annotated[
        str, typer.Option(help="comp6, or comp5 for models trained on VOC's images alone.")
    ] = "comp6",
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write predictions of VOC's test images as its evaluation server takes them, and the archive to upload.

    Every file is checked (there, an indexed picture, of its image's size, classes 0 to 20) before the folder appears.
    """
    from pixelwise.data.voc import VOC_CLASSES
    from pixelwise.evaluation.answers import Predictions
    from pixelwise.evaluation.submission import COMPETITIONS, refuse_foreign, write_submission

    if competition not in COMPETITIONS:
        raise unknown_name("competition", competition, COMPETITIONS)
    refuse_no_source(model)
    refuse_unwritable(out)
    refuse_foreign(out, competition)
    opened = open_announced(voc, split, "voc", None)
    source = open_source(model, device)
    if isinstance(source.answers, Predictions):
        source.answers.refuse_missing(opened.names, split)
    with progress("predicting", len(opened)) as advance:
        archive = write_submission(
            out,
            source.answers,
            source.label_spec.names,
            opened,
            competition=competition,
            progress=lambda done, _: advance(done, ""),
        )
    if missing := [name for name in VOC_CLASSES if name not in source.label_spec.names]:
        print(f"never predicted, unknown to the model: {', '.join(missing)}", file=sys.stderr)
    print(json.dumps({"archive": str(archive), "images": len(opened)}) if as_json else archive)
