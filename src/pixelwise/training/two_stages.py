"""Two recipes and a data set in, a DeconvNet that is ready to use out: windows around objects, then around proposals.

What is done is what lies in the folder, so the program goes on wherever it was stopped or killed.

Source: DeconvNet (Noh, Hong & Han, ICCV 2015), sections 4.2 and 4.3, and the release's three training folders.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from pixelwise.data.batches import Batches
from pixelwise.data.dataset import DataSet
from pixelwise.errors import InputError
from pixelwise.models.folding import fold, reestimate_statistics
from pixelwise.models.network import Network
from pixelwise.training.folder import RunFolder
from pixelwise.training.loop import Progress
from pixelwise.training.optimiser import hold_still
from pixelwise.training.plan import Plan, plan
from pixelwise.training.recipe import Recipe
from pixelwise.training.resumed import Judge, finish, refuse_other_recipe
from pixelwise.training.run import count_workers, create_accelerator
from pixelwise.training.windows import with_windows
from pixelwise.weights.card import model_card
from pixelwise.weights.checkpoint import Checkpoint, NetworkConfig, load_checkpoint, save_checkpoint

NETWORK = "deconvnet_vgg16"

WINDOWS = ("objects", "proposals")
"""What the windows of each stage are drawn around."""


@dataclass(frozen=True)
class Statistics:
    """How the statistics of batch norms are taken anew when training is over: `passes` batches of `batch_size` windows.

    Source: the released `BN_make_INFERENCE_script.py`, whose numbers are the defaults.
    """

    batch_size: int = 28
    passes: int = 501


class TwoStageFolder:
    """The files of a training in two stages; each appears whole.

    stage1/, stage2/  the runs, each as `pixelwise train` leaves one; their states say how far it came
    estimated/        the second stage's model with the statistics of its batch norms taken anew: to train on from
    model/            the same with its norms folded into its convolutions: to use
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stages = RunFolder(path / "stage1"), RunFolder(path / "stage2")
        self.estimated = path / "estimated"
        self.model = path / "model"


def train_two_stages(
    recipes: Sequence[Recipe],
    open_split: Callable[[str | None], DataSet],
    splits: Collection[str],
    folder: TwoStageFolder,
    judge: Judge,
    *,
    init_from: Path | None = None,
    hed: Path | None = None,
    searching: Callable[[int, int], None] | None = None,
    statistics: Statistics | None = None,
) -> bool:
    """Train stage 1, then stage 2 from its model, take the norms' statistics anew on the windows of stage 2, and fold.

    One recipe alone is that of stage 2, which then begins as stage 1 would: what the first stage is worth is seen by it.

    Returns whether all is done; where `judge.stop()` ended it before, a later call with the same arguments goes on.
    `judge.watch` is told of the steps as if they were of one training. `open_split` and `splits` are as `plan` takes
    them, `init_from` is a model's directory for the first stage, `hed` and `searching` are as `with_windows` takes them.
    One process does it.

    Raises `InputError` for recipes that are not stages of one DeconvNet, and where the folder began with others.
    """
    assert 1 <= len(recipes) <= len(folder.stages)
    stages = folder.stages[-len(recipes) :]
    _refuse(recipes, stages)
    starts = init_from, folder.stages[0].model
    steps = [recipe.steps for recipe in recipes]
    for number, (recipe, start, stage) in enumerate(zip(recipes, starts, stages, strict=False)):
        own = _continued(judge, sum(steps[:number]), sum(steps))
        if not finish(recipe, open_split, splits, stage, own, init_from=start, hed=hed, searching=searching):
            return False
    if not folder.estimated.is_dir():
        planned = plan(recipes[-1], open_split, splits, resumed=True)
        planned = with_windows(planned, folder.stages[1].windows, hed=hed, progress=searching)
        estimate(planned, folder.stages[1].model, folder.estimated, statistics or Statistics())
    if not folder.model.is_dir():
        fold_model(folder.estimated, folder.model)
    return True


def _continued(judge: Judge, before: int, steps: int) -> Judge:
    """The judge of one part of a training of so many steps, as many `before` it."""

    def watch(at: Progress) -> None:
        judge.watch(replace(at, step=before + at.step, steps=steps))

    return replace(judge, watch=watch)


def estimate(planned: Plan, trained: Path, to: Path, statistics: Statistics) -> None:
    """Write a trained model, with its batch norms' statistics taken anew on the plan's training windows, as a model `to`.

    Norms that were held still keep theirs. A model without norms is written as it is.
    """
    checkpoint = load_checkpoint(trained)
    recipe, network, record = planned.recipe, checkpoint.network, dict(checkpoint.record)
    hold_still(network, recipe.learn, (), recipe.still_stages)
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        accelerator = create_accelerator(recipe.precision)
        device = accelerator.device
        batches = Batches(
            planned.source, statistics.batch_size, recipe.augmentation(planned.grid), network.fill, seed=recipe.seed
        )

        def images() -> Iterator[Tensor]:
            for batch in batches.loader(0, statistics.passes, workers=count_workers(recipe, accelerator)):
                yield batch.to(device).images

        reestimate_statistics(network.to(device), images())
        record["statistics"] = f"of {statistics.passes} batches of {statistics.batch_size} windows"
    _write(replace(checkpoint, network=network, record=record), to)


def fold_model(estimated: Path, to: Path) -> None:
    """Write a DeconvNet's model with its norms folded into its convolutions as a model `to`: the same scores, faster."""
    checkpoint = load_checkpoint(estimated)
    config = replace(checkpoint.config, options={**checkpoint.config.options, "batch_norm": False})
    _write(replace(checkpoint, network=_without_norms(checkpoint.network, config), config=config), to)


def _without_norms(network: Network, config: NetworkConfig) -> Network:
    """The folded network as `config` builds it: layers stand in the same order, but are not counted alike in a trunk."""
    folded, plain = fold(network).state_dict(), config.build().eval()
    ours = plain.state_dict()
    assert [tensor.shape for tensor in folded.values()] == [tensor.shape for tensor in ours.values()]
    plain.load_state_dict(dict(zip(ours, folded.values(), strict=True)))
    return plain


def _write(checkpoint: Checkpoint, to: Path) -> None:
    card = model_card(checkpoint.config, checkpoint.label_spec, checkpoint.record)
    save_checkpoint(to, replace(checkpoint, card=card))


def _refuse(recipes: Sequence[Recipe], stages: Sequence[RunFolder]) -> None:
    kinds = WINDOWS[-len(recipes) :]
    for recipe, windows, stage in zip(recipes, kinds, stages, strict=True):
        if recipe.network != NETWORK or recipe.windows != windows:
            raise InputError(
                f"stage {1 + WINDOWS.index(windows)} trains {NETWORK} with windows={windows}, got "
                f"{recipe.network} with windows={recipe.windows}: choose a recipe of that stage"
            )
        refuse_other_recipe(recipe, stage)
    if recipes[0].options != recipes[-1].options:
        raise InputError(
            f"both stages train one network, got the options {recipes[0].options or 'none'} and "
            f"{recipes[-1].options or 'none'}: make them the same"
        )
