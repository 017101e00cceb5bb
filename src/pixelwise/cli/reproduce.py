"""`pixelwise reproduce`: a paper and a data set in; its trainings, systems, tables beside the published ones, and a page out."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.display import Pace, progress
from pixelwise.cli.options import (
    DataArgument,
    LayoutOption,
    SbdOption,
    announce_layout,
    refuse_filled,
    refuse_unwritable,
)
from pixelwise.cli.train import interrupted_by
from pixelwise.cli.watching import Watcher
from pixelwise.errors import import_extra

if TYPE_CHECKING:
    from pixelwise.analysis.attempt import Attempt
    from pixelwise.analysis.reproduction import Training


def reproduce(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="fcn, deconvnet, deeplab or gdn.")],
    data: DataArgument,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Keys of every recipe, such as split=train_aug."),
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="Minutes on a laptop: narrow networks, few steps, any data.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder; by default reproductions/PAPER-DATA, or -small.")] = None,
    start: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Holds the models to start from, a folder each.")
    ] = None,
    hed: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="HED's weights: with deconvnet --small, hours on photographs and no minutes."
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=2, help="Measure on so many images, that lie evenly in the split.")
    ] = None,
    layout: LayoutOption = "auto",
    sbd: SbdOption = None,
) -> None:
    """Repeat a paper's experiments: train, measure, draw, and put the results beside the published ones.

    The same command goes on where it was stopped or killed. At full size it takes days on a GPU, and needs VOC with the
    lists that the papers learn from, and ImageNet weights by --start; --small needs neither. Prints the tables.
    """
    for module in ("torch", "accelerate", "filelock"):
        import_extra(module, extra="torch")
    from pixelwise.analysis.attempt import RECORD, Attempt
    from pixelwise.analysis.papers import reproduction_of
    from pixelwise.analysis.tables import write_tables
    from pixelwise.data.layouts import open_data, splits_of

    chosen = reproduction_of(paper, small, hed=hed, changes=tuple(changes or ()))
    folder = out or Path("reproductions") / f"{paper}-{Path(data).resolve().name}{'-small' if small else ''}"
    refuse_unwritable(folder)
    if not (folder / RECORD).is_file():
        refuse_filled(folder, but=(".lock",))
    layout = announce_layout(data, layout)
    splits = splits_of(data, layout=layout, sbd=sbd)
    opened = partial(open_data, data, layout=layout, sbd=sbd)
    attempt = Attempt(chosen, folder, opened, splits, start=start, hed=hed, images=images)
    with attempt.begun():
        for table in chosen.tables:  # one after the other, so that the first ones are there before the last are trained
            for system in table.systems():
                for training in chosen.trainings_of(system):
                    if not attempt.is_trained(training):
                        number = 1 + chosen.trainings.index(training)
                        _train(attempt, training, f"{number}/{len(chosen.trainings)} {training.name}")
            for systems, split in attempt.measurable():
                _measure(attempt, systems, split)
        written = write_tables(attempt, {"data": data, "size": _size(small, hed), "images": _shown(attempt)})
    print(f"page: {folder / 'page.html'}", file=sys.stderr)
    print(written.read_text(encoding="utf-8"), end="")


def _train(attempt: Attempt, training: Training, title: str) -> None:
    from pixelwise.evaluation.confusion import Measures
    from pixelwise.training.resumed import Judge

    recipes = training.recipes()
    stopping = interrupted_by(signal.SIGINT, signal.SIGTERM, after_asking=1)  # the first saves and leaves
    with progress(title, sum(recipe.steps for recipe in recipes)) as advance, stopping as stop:
        watcher = Watcher(advance, recipes[0].batch_size * recipes[0].accumulate)
        judge = Judge(watcher.count, lambda counts: Measures.of(counts).mean_iou, watcher.tell, stop)
        if not attempt.train(training, judge, _searching(training.name)):
            raise KeyboardInterrupt("what is done is kept, the same command goes on")


def _searching(name: str) -> Callable[[int, int], None]:
    """Says now and then how many images were searched for windows: it takes minutes where edges come from HED."""

    def told(done: int, of: int) -> None:
        if done % 100 == 0 or done == of:
            print(f"{name}: windows in {done:,} of {of:,} images", file=sys.stderr)

    return told


def _measure(attempt: Attempt, systems: list[str], split: str) -> None:
    pace = Pace()
    also = f" and {len(systems) - 1} more" if len(systems) > 1 else ""
    with progress(f"measuring {systems[0]}{also}", len(attempt.shown(split))) as advance:

        def told(done: int, _: int) -> None:
            speed = pace.steps_per_second(done, time.monotonic())
            advance(done, "" if speed is None else f"{speed:.2g} images/s")

        attempt.results.measure(systems, split, told)


def _size(small: bool, hed: Path | None) -> str:
    if hed is not None:
        return "small, for photographs: trunks start from HED's weights"
    return "small: what is shown is that everything works, not how well" if small else "as published"


def _shown(attempt: Attempt) -> str:
    """On how many images of each split was measured."""
    splits = dict.fromkeys(table.split for table in attempt.reproduction.tables)
    counted = ((split, len(attempt.shown(split)), len(attempt.open_split(split))) for split in splits)
    return ", ".join(f"{count:,} of {split}" + ("" if count == of else f"'s {of:,}") for split, count, of in counted)
