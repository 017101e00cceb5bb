"""`pixelwise models` and `pixelwise recipes`: what there is to choose from."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pixelwise.cli.options import JsonOption
from pixelwise.errors import InputError, import_extra


def models(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Only names that match, as in a shell: 'fcn*'.")
    ] = "*",
    as_json: JsonOption = False,
) -> None:
    """List the networks, with the number of parameters for 21 classes."""
    torch = import_extra("torch", extra="torch")
    from pixelwise.models.published import create_model, list_models

    names = list_models(pattern)
    if not names:
        raise InputError(f"no network matches '{pattern}'; there are: {', '.join(list_models())}")
    counts = {}
    for name in names:
        with torch.device("meta"):  # shapes without memory
            counts[name] = sum(parameter.numel() for parameter in create_model(name, 21).parameters())
    if as_json:
        print(json.dumps({name: {"parameters": count} for name, count in counts.items()}))
        return
    for name, count in counts.items():
        print(f"{name:20} {count / 1e6:7.1f} M parameters")


def recipes(as_json: JsonOption = False) -> None:
    """List the recipes that come with the library, each with what it is for."""
    from pixelwise.training.recipe import list_recipes

    purposes = {}
    for name, path in list_recipes().items():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        purposes[name] = first.lstrip("# ") if first.startswith("#") else ""
    if as_json:
        print(json.dumps(purposes))
        return
    for name, purpose in purposes.items():
        print(f"{name:20} {purpose}")
