"""`pixelwise check`: what is wrong with a data set, in words, before anyone trains."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.options import DataArgument, JsonOption, LayoutOption, SbdOption, announce_layout, open_announced

if TYPE_CHECKING:
    from pixelwise.data.check import Report

SPLITS = ("train", "val", "test")
"""The splits that are checked against each other; other lists (trainval, train_aug) hold the same images again."""


def check(
    data: DataArgument,
    layout: LayoutOption = "auto",
    sbd: SbdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at every picture and mask, and say what is wrong with them.

    Errors (exit code 2) stop training or make its numbers worthless; warnings are worth a look.
    """
    from pixelwise.data.check import check as check_data
    from pixelwise.data.layouts import splits_of

    layout = announce_layout(data, layout)
    names = [name for name in SPLITS if name in splits_of(data, layout=layout, sbd=sbd)]
    splits = {name: open_announced(data, name, layout, sbd) for name in names}
    splits = splits or {"all": open_announced(data, None, layout, sbd)}
    with progress("checking", sum(len(split) for split in splits.values())) as advance:
        report = check_data(splits, progress=lambda done, _: advance(done, ""))
    print(json.dumps(report.to_json()) if as_json else text(report, data))
    if report.errors:
        count = len(report.errors)
        print(f"pixelwise: {data}: {count} error{'s' if count > 1 else ''}", file=sys.stderr)
        raise typer.Exit(2)


def text(report: Report, data: str) -> str:
    """The report for people: the classes, the sizes, then what is wrong."""
    wide = max(len(share.name) for share in report.classes)
    lines = [f"{'class':{wide}}  of the pixels  in images"]
    lines += [f"{share.name:{wide}}  {share.pixels:13.2%}  {share.images:9,}" for share in report.classes]
    lines += [f"{report.ignored:.2%} of all pixels are ignored", ""]
    sizes = [f"{count:,} of {height} x {width}" for (height, width), count in report.sizes.items()]
    more = f", and {len(sizes) - 5} more sizes" if len(sizes) > 5 else ""
    lines += [f"{report.images:,} images (height x width): {'; '.join(sizes[:5])}{more}", ""]
    lines += [f"{problem.level}: {problem.text}" for problem in report.problems]
    lines += [] if report.problems else [f"{data}: nothing wrong"]
    return "\n".join(lines)
