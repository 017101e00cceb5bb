"""`pixelwise train`: a data set and a recipe in, a run folder with a model out."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.options import (
    DataArgument,
    LayoutOption,
    SbdOption,
    announce_layout,
    open_announced,
    refuse_filled,
    refuse_unwritable,
)
from pixelwise.cli.processes import leads, together
from pixelwise.cli.watching import Watcher, closed
from pixelwise.errors import InputError, import_extra

if TYPE_CHECKING:
    from pixelwise.training.folder import RunFolder
    from pixelwise.training.plan import Plan
    from pixelwise.training.recipe import Recipe


@contextmanager
def interrupted_by(*signals: signal.Signals, after_asking: int = 0) -> Iterator[Callable[[], bool]]:
    """Inside, these signals interrupt as Ctrl-C does; the first `after_asking` of them only make the given callable true."""
    asked = 0

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked > after_asking:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in signals}
    try:
        yield lambda: asked > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@together()
@interrupted_by(signal.SIGTERM)  # so that a start is tidied up too; a training takes both signals over
def train(
    data: DataArgument,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe, such as steps=500.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A name of `pixelwise recipes`, or a YAML file; by default 'laptop'.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Take as many steps as fit into this time on this machine.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/DATA-RECIPE.")] = None,
    split: Annotated[
        str | None, typer.Option(help="The split to learn from; by default 'train', if there is one.")
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", help="Learn from train and val together; select by nothing.")
    ] = False,
    init_from: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Start from this model's weights; classes may differ.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with a run that was cut off.")] = None,
    hed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="HED's weights, for recipes with edges: hed.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write curves and pictures for TensorBoard, to RUN/tensorboard.")
    ] = False,
    layout: LayoutOption = "auto",
    sbd: SbdOption = None,
) -> None:
    """Train a model on your own pictures and masks.

    The best model is selected on the split val, or on a tenth of the training split where there is no val (recipe keys
    select and hold_out). A split called test is not touched. Ctrl-C saves and leaves; --resume goes on, bit for bit.
    Prints the model's directory.
    """
    _refuse_uninstalled(tensorboard)
    from pixelwise.data.layouts import splits_of
    from pixelwise.inference.loading import find_model
    from pixelwise.training.folder import RunFolder
    from pixelwise.training.plan import plan

    if resume is not None and (recipe or overrides or out or split or final or init_from or minutes):
        raise InputError("--resume goes on with the run as it was: give DATA and --resume RUN (and --hed) alone")
    chosen = _chosen(recipe, overrides, split, final) if resume is None else _recipe_of(resume)
    folder = RunFolder(resume or out or _default_folder(data, recipe))
    first = leads()
    if resume is None and first:
        _refuse_taken(folder.path)
    started = None if init_from is None else find_model(init_from)
    layout = announce_layout(data, layout)
    splits = splits_of(data, layout=layout, sbd=sbd)
    opened = lambda name: open_announced(data, name, layout, sbd)  # noqa: E731
    planned = plan(chosen, opened, splits, init_from=started, resumed=resume is not None and folder.has_states())
    with folder.taken() if first else nullcontext(), _tidied(folder, fresh=resume is None and first):
        planned = _fitted(_windowed(planned, folder, hed), minutes)
        _run(planned, folder, resume=resume is not None, tensorboard=tensorboard)


def _refuse_uninstalled(tensorboard: bool) -> None:
    for module in ("torch", "accelerate", "filelock"):
        import_extra(module, extra="torch")
    if tensorboard:
        import_extra("tensorboard", extra="tensorboard")


def _chosen(recipe: str | None, overrides: list[str] | None, split: str | None, final: bool) -> Recipe:
    from pixelwise.training.recipe import read_recipe

    options = [f"split={split}"] if split else []
    return read_recipe(recipe or "laptop", (*(overrides or ()), *options, *(["final=true"] if final else [])))


def _recipe_of(run: Path) -> Recipe:
    from pixelwise.training.recipe import read_recipe

    if not (run / "recipe.yaml").is_file():
        raise InputError(f"{run}: no run to resume here, it holds no recipe.yaml; give the folder of a run")
    return read_recipe(run / "recipe.yaml")


def _default_folder(data: str, recipe: str | None) -> Path:
    return Path("runs") / f"{Path(data).resolve().name}-{Path(recipe or 'laptop').stem}".replace(":", "-")


def _windowed(planned: Plan, folder: RunFolder, hed: Path | None) -> Plan:
    from pixelwise.training.windows import with_windows

    if planned.recipe.windows == "none":
        return planned
    with progress("looking for windows", len(planned.training)) as advance:
        found = with_windows(planned, folder.windows, hed=hed, progress=lambda done, of: advance(done, ""))
    print(f"{len(found.source):,} windows to learn from", file=sys.stderr)
    return found


def _fitted(planned: Plan, minutes: float | None) -> Plan:
    from pixelwise.training.timing import fitted, steps_in

    if minutes is None:
        return planned
    steps = steps_in(planned, minutes)
    print(f"{minutes:g} minutes are {steps:,} steps here", file=sys.stderr)
    return replace(planned, recipe=fitted(planned.recipe, steps))


def _run(planned: Plan, folder: RunFolder, *, resume: bool, tensorboard: bool) -> None:
    from pixelwise.evaluation.confusion import Measures
    from pixelwise.report.board import Board
    from pixelwise.training.run import run

    recipe, held = planned.recipe, 0 if planned.selection is None else len(planned.selection)
    images_a_step = recipe.batch_size * recipe.accumulate
    print(
        f"{recipe.network} from {planned.origin}; {len(planned.training):,} images to learn from, {held} to select by; "
        f"{recipe.steps:,} steps of {images_a_step} -> {folder.path}",
        file=sys.stderr,
    )
    board = Board(folder.path / "tensorboard", planned.label_spec) if tensorboard and leads() else None
    stopping = interrupted_by(signal.SIGINT, signal.SIGTERM, after_asking=1)  # the first saves and leaves
    with progress("training", recipe.steps) as advance, stopping as stop, closed(board):
        watcher = Watcher(advance, images_a_step, board)
        position = run(
            planned,
            folder,
            count=watcher.count,
            rate=lambda counts: Measures.of(counts).mean_iou,
            watch=watcher.tell,
            stop=stop,
            resume=resume,
        )
    if position.step < recipe.steps:
        raise KeyboardInterrupt(f"saved at step {position.step}")
    if leads():
        _draw(folder)
        print(folder.model)


def _draw(folder: RunFolder) -> None:
    """The page of curves; without matplotlib the run is as good, so what to install is only said."""
    from pixelwise.report.curves import draw_curves

    page = folder.path / "curves.png"
    try:
        draw_curves(folder.log, page)
    except InputError as error:
        print(f"{page}: not drawn: {error}", file=sys.stderr)
    else:
        print(f"curves: {page}", file=sys.stderr)


def _refuse_taken(folder: Path) -> None:
    refuse_unwritable(folder)
    if (folder / "recipe.yaml").is_file():
        raise InputError(
            f"{folder}: holds a run already; go on with it by  --resume {folder} , or choose another --out"
        )
    refuse_filled(folder, but=(".lock", "windows.npz"))  # which a killed start leaves


@contextmanager
def _tidied(folder: RunFolder, *, fresh: bool) -> Iterator[None]:
    """Where a run ends early, say how to go on; a fresh one that has not saved anything yet is removed."""
    try:
        yield
    except (InputError, KeyboardInterrupt) as error:
        saved = any(folder.states.glob("step-*")) or folder.model.exists()
        if fresh and not saved:
            shutil.rmtree(folder.path, ignore_errors=True)
        kept = [f"go on with  --resume {folder.path}"] if saved else []
        told = "; ".join([str(error), *kept] if str(error) else kept or ["nothing was saved yet"])
        raise type(error)(told) from error
