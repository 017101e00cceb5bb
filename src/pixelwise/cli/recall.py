"""`pixelwise recall`: a labelled data set in, how many of its objects proposals find out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.options import (
    DataArgument,
    JsonOption,
    LayoutOption,
    SbdOption,
    announce_layout,
    open_announced,
    refuse_unwritable,
)
from pixelwise.cli.proposing import GRADIENT, HED, SetOption, WeightsOption, edge_boxes, find_edges
from pixelwise.errors import InputError, import_extra, unknown_name

if TYPE_CHECKING:
    from pixelwise.evaluation.recall import Recall
    from pixelwise.proposals.boxes import Proposer

RANDOM = "random"


def recall(
    data: DataArgument,
    edges: Annotated[
        list[str] | None,
        typer.Option(
            metavar="gradient|hed|random",
            help="What proposes: EdgeBoxes on these edges, or random windows; may be repeated. By default the first and last.",
        ),
    ] = None,
    weights: WeightsOption = None,
    settings: SetOption = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Look for objects of these classes alone; the rest is ignored."),
    ] = None,
    split: Annotated[str, typer.Option(help="The split to measure on, or 'all'.")] = "val",
    layout: LayoutOption = "auto",
    sbd: SbdOption = None,
    figure: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Also draw the curves there.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure which part of the objects of a labelled data set the first so many proposals find.

    An object is found by a box that overlaps its tight box, as intersection over union, by 0.5 or 0.7. Objects are the data
    set's instances, or else the connected pieces of each class.
    """
    from pixelwise.evaluation.recall import measure_recall

    if figure is not None:
        import_extra("matplotlib.figure", extra="report")
        refuse_unwritable(figure.parent, "--figure")
    proposers = _proposers(edges or [GRADIENT, RANDOM], weights, settings)
    opened = open_announced(data, split, announce_layout(data, layout), sbd)
    if classes is not None:
        opened = opened.with_classes([name.strip() for name in classes.split(",")])
    recalls = {}
    for name, proposer in proposers.items():
        with progress(name, len(opened)) as advance:
            recalls[name] = measure_recall(proposer, opened, progress=lambda done, _: advance(done, ""))
    if figure is not None:
        from pixelwise.report.proposals import draw_recall

        draw_recall(recalls, figure)
    print(json.dumps(_record(data, split, opened.label_spec.names, recalls)) if as_json else table(recalls))


def _proposers(names: list[str], weights: Path | None, settings: list[str] | None) -> dict[str, Proposer]:
    from pixelwise.proposals.boxes import RandomWindows

    for name in names:
        if name not in (GRADIENT, HED, RANDOM):
            raise unknown_name("--edges", name, (GRADIENT, HED, RANDOM))
    if weights is not None and HED not in names:
        raise InputError(f"--weights {weights} goes with --edges {HED}: add it, or leave the weights out")
    search = edge_boxes(settings)
    proposers: dict[str, Proposer] = {}
    for name in names:
        if name == RANDOM:
            proposers[name] = RandomWindows(search.max_boxes)
        else:
            found = find_edges(name, weights if name == HED else None)
            proposers[name] = replace(search, edges=found.detector(Path()))
    return proposers


def table(recalls: dict[str, Recall]) -> str:
    """The recalls as text: a line a number of boxes, a column a proposer and threshold."""
    from pixelwise.evaluation.recall import COUNTS

    heads = [f"{name} {threshold:g}" for name, found in recalls.items() for threshold in found.thresholds]
    lines = ["boxes  " + "  ".join(f"{head:>12}" for head in heads)]
    for count in COUNTS:
        values = [value for found in recalls.values() for value in found.at(count)]
        lines.append(f"{count:5,}  " + "  ".join(f"{100 * value:12.1f}" for value in values))
    first = next(iter(recalls.values()))
    lines += ["", f"% of {first.objects:,} objects in {first.images:,} images, by overlap (intersection over union)"]
    return "\n".join(lines)


def _record(data: str, split: str, classes: Sequence[str], recalls: dict[str, Recall]) -> dict[str, object]:
    from pixelwise.evaluation.recall import COUNTS

    first = next(iter(recalls.values()))
    curves = {
        name: {
            f"{threshold:g}": [found.at(count)[place] for count in COUNTS]
            for place, threshold in enumerate(found.thresholds)
        }
        for name, found in recalls.items()
    }
    return {
        "data": data, "split": split, "classes": classes, "images": first.images, "objects": first.objects,
        "counts": COUNTS, "recall": curves,
    }  # fmt: skip
