"""`pixelwise system`: the name of a published system and trained models in, a directory that every verb takes out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from pixelwise.cli.options import JsonOption, refuse_filled, refuse_unwritable
from pixelwise.errors import InputError


def system(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A published system; without it they are listed.")
    ] = None,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL...", help="Its models, in the order that the list has.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the system.")] = None,
    crf: Annotated[
        str | None, typer.Option(metavar="PRESET", help="Another CRF than the published one: a name or a file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the systems of the papers, or make one of your models: a folder that every verb takes as a model.

    What is written is a small text file, system.yaml, which names the models and stays yours to change.
    """
    from pixelwise.inference.published import published
    from pixelwise.inference.systems import save_system

    if name is None:
        print(_listed(as_json))
        return
    if out is None:
        raise InputError("a system needs a folder to be written to: add --out FOLDER")
    refuse_unwritable(out)
    refuse_filled(out)
    made = published(
        name, [_seen_from(out, model) for model in models or ()], None if crf is None else _preset(crf, out)
    )
    save_system(out, made)
    print(json.dumps({"system": str(out)}) if as_json else out)


def _listed(as_json: bool) -> str:
    from pixelwise.inference.published import PUBLISHED

    if as_json:
        fields = ("title", "networks", "crf", "source")
        return json.dumps({name: {key: getattr(one, key) for key in fields} for name, one in PUBLISHED.items()})
    rows = [(name, one.title, " ".join(one.networks)) for name, one in PUBLISHED.items()]
    name, title = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{row[0]:{name}}  {row[1]:{title}}  {row[2]}" for row in rows)


def _seen_from(out: Path, model: str) -> str:
    """A model's place as the system's file names it: its name, or the way from `out` to its directory."""
    from pixelwise.inference.loading import find_model

    find_model(model)
    return os.path.relpath(model, out) if Path(model).is_dir() else model


def _preset(crf: str, out: Path) -> str:
    from pixelwise.refinement.presets import PRESETS, read_preset

    read_preset(crf)
    return crf if crf in PRESETS else os.path.relpath(crf, out)
