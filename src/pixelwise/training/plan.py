"""What a training will do, worked out before it starts: everything that can be wrong with it is found here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from accelerate.utils import set_seed

from pixelwise.data.check import check
from pixelwise.data.dataset import DataSet, FileDataSet, Samples, hold_out
from pixelwise.errors import InputError
from pixelwise.geometry import Grid
from pixelwise.labels import LabelSpec
from pixelwise.models.network import Network
from pixelwise.training.demands import meet_demands
from pixelwise.training.losses import Loss
from pixelwise.training.objectives import CoarseObjective, MultiScaleObjective, Objective, PixelObjective
from pixelwise.training.optimiser import hold_still
from pixelwise.training.recipe import Recipe
from pixelwise.training.weighing import effective_number, median_frequency
from pixelwise.weights.checkpoint import NetworkConfig, load_checkpoint
from pixelwise.weights.imagenet import load_imagenet
from pixelwise.weights.surgery import added_parameters, take_over


@dataclass(frozen=True)
class Plan:
    """The samples a run learns from, those it selects by, the network with its first weights, and the objective.

    label_spec  the classes as the model will know and draw them
    source      what batches are made of: the training samples, or windows of them (`windows.py`)
    grid        where the cells of the network's scores lie
    origin      a sentence that says where the first weights came from
    """

    recipe: Recipe
    training: DataSet
    source: Samples
    selection: DataSet | None
    label_spec: LabelSpec
    network: Network
    config: NetworkConfig
    objective: Objective
    grid: Grid
    origin: str


def plan(
    recipe: Recipe,
    open_split: Callable[[str | None], DataSet],
    splits: Collection[str],
    *,
    init_from: Path | None = None,
    resumed: bool = False,
) -> Plan:
    """Work out a training. `open_split` opens a split of the data set, None for everything; `splits` are its names.

    `init_from` is the directory of a model whose weights to start from; a run that is `resumed` has weights of its own,
    and needs none. Raises `InputError` for unknown classes, networks and splits, missing weights, what the network cannot
    do, and a set too small to hold samples out.
    """
    training, selection = choose_samples(recipe, open_split, splits)
    if recipe.schedule == "plateau" and selection is None:
        raise InputError("schedule=plateau follows the selection score, but nothing is selected by: choose another")
    if recipe.classes is not None:
        training = training.with_classes(recipe.classes)
        selection = None if selection is None else selection.with_classes(recipe.classes)
    spec = training.label_spec if recipe.colours is None else training.label_spec.drawn_in(recipe.colours)
    config = NetworkConfig(recipe.network, len(spec), recipe.options)
    grid = meet_demands(recipe, config)
    _refuse_heads(recipe, training)
    set_seed(recipe.seed)
    network = config.build()
    if init_from is not None:
        origin = take_over(network, config, spec, load_checkpoint(init_from), where=str(init_from))
    elif resumed:
        origin = "a saved state"
    else:
        origin = _begin(network, recipe)
    hold_still(network, recipe.learn, added_parameters(config.name, network), recipe.still_stages)
    objective = _objective(recipe, training, grid)
    return Plan(recipe, training, training, selection, spec, network, config, objective, grid, origin)


def _refuse_heads(recipe: Recipe, training: DataSet) -> None:
    """Raise `InputError` where the network has heads for which the samples have no label map, or one of other classes."""
    wanted = {head: tuple(names) for head, names in recipe.options.get("heads", {}).items()}
    if not wanted:
        return
    there = training.head_specs if isinstance(training, FileDataSet) else {}
    for head, names in wanted.items():
        if head not in training[0].labels or (head in there and there[head].names != names):
            has = f"the classes {', '.join(there[head].names)}" if head in there else "no such label map"
            raise InputError(
                f"the head '{head}' is to learn {', '.join(names)}, but the data set has {has}: change the option heads"
            )


def _begin(network: Network, recipe: Recipe) -> str:
    if recipe.init == "model":
        raise InputError("the recipe starts from a trained model: name it with  --init-from MODEL , or set init=none")
    return load_imagenet(network) if recipe.init == "imagenet" else "random weights"


def choose_samples(
    recipe: Recipe, open_split: Callable[[str | None], DataSet], splits: Collection[str]
) -> tuple[DataSet, DataSet | None]:
    """The samples to learn from and those to select by, if any.

    With `select: auto`, the split val selects where the split train is learned from; where there is none, or another
    split is learned from, a stable part of the training samples is held out. Of a data set with splits none but train
    is taken unasked.
    """
    if recipe.final:
        if missing := [name for name in ("train", "val") if name not in splits]:
            raise InputError(
                f"final learns from train and val together, but there is no split '{missing[0]}'; leave it out"
            )
        names = dict.fromkeys([*open_split("train").names, *open_split("val").names])
        return open_split(None).subset(tuple(names)), None
    if recipe.split is None and splits and "train" not in splits:
        raise InputError(f"there is no split 'train' among {', '.join(splits)}: say which to learn from, by split=NAME")
    split = recipe.split or ("train" if splits else None)
    training = open_split(split)
    by_val = recipe.select == "val" or (recipe.select == "auto" and split == "train" and "val" in splits)
    if by_val:
        return training, open_split("val")
    return hold_out(training, recipe.hold_out) if recipe.hold_out else (training, None)


def _objective(recipe: Recipe, training: DataSet, grid: Grid) -> Objective:
    weights = None
    if recipe.class_weights != "none":
        classes = check(training).classes
        weights = median_frequency(classes) if recipe.class_weights == "median_frequency" else effective_number(classes)
    loss = Loss(weights, recipe.hardest, recipe.smoothing, recipe.link)
    match recipe.objective:
        case "pixels":
            return PixelObjective(loss, recipe.label_loss)
        case "cells":
            return CoarseObjective(grid, loss)
        case "scales":
            return MultiScaleObjective(grid, recipe.loss_scales, loss)
