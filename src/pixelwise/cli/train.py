"""`pixelwise train`: a data set and a recipe in, a run folder with a model out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.options import (
    DataArgument,
    LayoutOption,
    SbdOption,
    announce_layout,
    open_announced,
    refuse_unwritable,
)
from pixelwise.errors import InputError, import_extra

if TYPE_CHECKING:
    from pixelwise.data.dataset import DataSet
    from pixelwise.models.network import Network
    from pixelwise.training.loop import Progress
    from pixelwise.training.recipe import Recipe
    from pixelwise.training.run import Plan


def train(
    data: DataArgument,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe, such as steps=500.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A name of `pixelwise recipes`, or a YAML file; by default 'laptop'.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/DATA-RECIPE.")] = None,
    split: Annotated[
        str | None, typer.Option(help="The split to learn from; by default 'train', if there is one.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with a run that was cut off.")] = None,
    layout: LayoutOption = "auto",
    sbd: SbdOption = None,
) -> None:
    """Train a model on your own pictures and masks.

    A tenth of the training split is held out to watch and to select by (recipe key hold_out); a split called val or
    test is not touched. Prints the model's directory.
    """
    import_extra("torch", extra="torch")
    import_extra("accelerate", extra="torch")
    from pixelwise.data.layouts import splits_of
    from pixelwise.training.recipe import read_recipe
    from pixelwise.training.run import plan, samples_gone, saved_recipe

    if resume is None:
        chosen = read_recipe(recipe or "laptop", tuple(overrides or ()))
        folder = out or Path("runs") / f"{Path(data).resolve().name}-{Path(recipe or 'laptop').stem}".replace(":", "-")
        _refuse_taken(folder)
    elif recipe or overrides or out:
        raise InputError("--resume goes on with the run as it was: leave --recipe, --out and key=value out")
    else:
        folder, chosen = resume, read_recipe(saved_recipe(resume))
    layout = announce_layout(data, layout)
    if split is None and "train" in splits_of(data, layout=layout, sbd=sbd):
        split = "train"
    planned = plan(open_announced(data, split, layout, sbd), chosen)
    if resume and (gone := samples_gone(folder, planned.training)):
        print(f"{len(gone)} images that the run has learned from are gone, first {gone[0]}", file=sys.stderr)
    with _tidied(folder, fresh=resume is None):
        _run(planned, chosen, folder)


def _run(planned: Plan, recipe: Recipe, folder: Path) -> None:
    from pixelwise.training.run import run

    held = 0 if planned.selection is None else len(planned.selection)
    print(
        f"{recipe.network} from {planned.origin}; {len(planned.training):,} images to learn from, {held} held out; "
        f"{recipe.steps:,} steps of {recipe.batch_size} -> {folder}",
        file=sys.stderr,
    )
    done = 0
    with progress("training", recipe.steps) as advance:

        def watch(at: Progress) -> None:
            nonlocal done
            done = at.step
            advance(at.step, _note(at))

        model = run(planned, recipe, folder, score=_mean_iou, watch=watch)
    if not done:
        print(f"{folder}: had all of its {recipe.steps:,} steps before, nothing was left to do", file=sys.stderr)
    print(model)


def _refuse_taken(folder: Path) -> None:
    refuse_unwritable(folder)
    if folder.is_dir() and any(folder.iterdir()):
        if (folder / "recipe.yaml").is_file():
            raise InputError(
                f"{folder}: holds a run already; go on with it by  --resume {folder} , or choose another --out"
            )
        raise InputError(f"{folder}: holds other files; choose another --out")


@contextmanager
def _tidied(folder: Path, *, fresh: bool) -> Iterator[None]:
    """Where a run ends early, say how to go on; a fresh one that has not saved anything yet is removed."""
    existed = folder.exists()
    try:
        yield
    except (InputError, KeyboardInterrupt) as error:
        saved = any((folder / "states").glob("step-*")) or (folder / "model").exists()
        if fresh and not saved:
            shutil.rmtree(folder, ignore_errors=True)
            if existed:
                folder.mkdir()
        kept = f"go on with  --resume {folder}  in place of --recipe, --out and key=value" if saved else ""
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(kept or "nothing was saved yet") from error
        raise InputError(f"{error}; then {kept}" if kept else str(error)) from error


def _mean_iou(network: Network, data: DataSet) -> float:
    from pixelwise.evaluation.evaluate import evaluate
    from pixelwise.inference.predictors import WholeImage

    device = next(network.parameters()).device
    return evaluate(WholeImage(network, device), data).measures().mean_iou


def _note(progress: Progress) -> str:
    best = "" if progress.best is None else f"  mIoU held out: best {progress.best:.4f}"
    return f"loss {progress.loss:.3f}  rate {progress.rate:.2g}{best}"
