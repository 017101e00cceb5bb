"""`pixelwise reproduce`: a paper and a data set in; its trainings, systems, tables beside the published ones, and a page out."""

from __future__ import annotations

import signal
import sys
import time
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
    small: Annotated[
        bool, typer.Option("--small", help="Minutes on a laptop: narrow networks, few steps, any data.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder; by default reproductions/PAPER-DATA, or -small.")] = None,
    start: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Holds the models to start from, a folder each.")
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

    chosen = reproduction_of(paper, small)
    folder = out or Path("reproductions") / f"{paper}-{Path(data).resolve().name}{'-small' if small else ''}"
    refuse_unwritable(folder)
    if not (folder / RECORD).is_file():
        refuse_filled(folder, but=(".lock",))
    layout = announce_layout(data, layout)
    splits = splits_of(data, layout=layout, sbd=sbd)
    attempt = Attempt(chosen, folder, lambda split: open_data(data, split, layout=layout, sbd=sbd), splits, start=start)
    with attempt.begun():
        for number, training in enumerate(chosen.trainings, start=1):
            if not attempt.is_trained(training):
                _train(attempt, training, f"{number}/{len(chosen.trainings)} {training.name}")
        for system, split in chosen.measured():
            if not attempt.is_measured(system, split):
                _measure(attempt, system, split)
        size = "small: what is shown is that everything works, not how well" if small else "as published"
        written = write_tables(attempt, {"data": data, "size": size})
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
        if not attempt.train(training, judge):
            raise KeyboardInterrupt("what is done is kept, the same command goes on")


def _measure(attempt: Attempt, system: str, split: str) -> None:
    pace = Pace()
    with progress(f"measuring {system}", len(attempt.open_split(split))) as advance:

        def told(done: int, _: int) -> None:
            speed = pace.steps_per_second(done, time.monotonic())
            advance(done, "" if speed is None else f"{speed:.1f} images/s")

        attempt.measure(system, split, told)
