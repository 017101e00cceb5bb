"""`pixelwise models` and `pixelwise recipes`: what there is to choose from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.options import JsonOption
from pixelwise.errors import InputError, import_extra

if TYPE_CHECKING:
    from pixelwise.models.facts import Facts


def models(
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="Only names that match, as in a shell: 'fcn*'.")
    ] = "*",
    as_json: JsonOption = False,
) -> None:
    """List the networks for 21 classes: parameters, multiply-adds, and what the coarse scores see."""
    import_extra("torch", extra="torch")
    from pixelwise.models.facts import describe
    from pixelwise.models.published import list_models

    names = list_models(pattern)
    if not names:
        raise InputError(f"no network matches '{pattern}'; there are: {', '.join(list_models())}")
    facts = {name: describe(name) for name in names}
    print(json.dumps({name: asdict(known) for name, known in facts.items()}) if as_json else table(facts))


def table(facts: Mapping[str, Facts]) -> str:
    """The networks as text, a line each; then what the columns mean."""
    wide = max(len(name) for name in facts)
    lines = [f"{'network':{wide}}  parameters  multiply-adds       at  stride  field  sides"]
    for name, known in facts.items():
        parameters, work = f"{known.parameters / 1e6:.1f} M", f"{known.multiply_adds / 1e9:.1f} G"
        at = f"{known.size[0]}x{known.size[1]}"
        place = f"{known.stride:6}  {known.receptive_field:5}  {known.sizes}"
        lines.append(f"{name:{wide}}  {parameters:>10}  {work:>13}  {at:>7}  {place}")
    lines += [
        "",
        "For 21 classes. Multiply-adds: of one image of that height and width. Stride: pixels between coarse scores,",
        "field: side of the square of pixels that one of them sees. Sides: those of the images that the network takes.",
    ]
    return "\n".join(lines)


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
    wide = max(map(len, purposes))
    for name, purpose in purposes.items():
        print(f"{name:{wide}} {purpose}")
