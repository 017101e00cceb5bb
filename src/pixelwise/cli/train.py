"""`pixelwise train`: a data set and a recipe in, a run folder with a model out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.display import progress
from pixelwise.cli.options import DataArgument, LayoutOption, SbdOption, open_announced
from pixelwise.errors import InputError, import_extra

if TYPE_CHECKING:
    from pixelwise.data.dataset import DataSet
    from pixelwise.models.network import Network
    from pixelwise.training.loop import Progress


def train(
    data: DataArgument,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the recipe.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="A name of `pixelwise recipes`, or a YAML file.")] = None,
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
    test is not touched.
    """
    import_extra("torch", extra="torch")
    from pixelwise.data.layouts import splits_of
    from pixelwise.training.recipe import read_recipe
    from pixelwise.training.run import plan, run, saved_recipe

    if resume is not None and (recipe or overrides or out):
        raise InputError("--resume goes on with the run as it was: leave --recipe, --out and key=value out")
    if resume is None:
        chosen = read_recipe(recipe or "laptop", tuple(overrides or ()))
        folder = out or Path("runs") / f"{Path(data).name}-{Path(recipe or 'laptop').stem}"
        if folder.exists() and any(folder.iterdir()):
            raise InputError(
                f"{folder}: holds a run already; go on with it by  --resume {folder} , or choose another --out"
            )
    else:
        folder, chosen = resume, read_recipe(saved_recipe(resume))
    if split is None and "train" in splits_of(data, layout=layout, sbd=sbd):
        split = "train"
    planned = plan(open_announced(data, split, layout, sbd), chosen)
    held = 0 if planned.selection is None else len(planned.selection)
    print(
        f"{chosen.network} from {planned.origin}; {len(planned.training):,} images to learn from, {held} held out; "
        f"{chosen.steps:,} steps of {chosen.batch_size} -> {folder}",
        file=sys.stderr,
    )
    with progress("training", chosen.steps) as advance:
        model = run(planned, chosen, folder, score=_mean_iou, watch=lambda at: advance(at.step, _note(at)))
    print(model)


def _mean_iou(network: Network, data: DataSet) -> float:
    from pixelwise.evaluation.evaluate import evaluate
    from pixelwise.inference.predictors import WholeImage

    device = next(network.parameters()).device
    return evaluate(WholeImage(network, device), data).measures().mean_iou


def _note(progress: Progress) -> str:
    best = "" if progress.best is None else f"  mIoU held out: best {progress.best:.4f}"
    return f"loss {progress.loss:.3f}  rate {progress.rate:.2g}{best}"
