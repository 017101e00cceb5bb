"""One training in its folder: builds the parts of a plan and hands them to the loop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from numpy.typing import NDArray
from torch import nn

from pixelwise.data.batches import Batches
from pixelwise.data.dataset import DataSet
from pixelwise.errors import InputError
from pixelwise.models.network import Network
from pixelwise.models.precision import has_bfloat16
from pixelwise.training.average import WeightAverage
from pixelwise.training.folder import RunFolder, run_card
from pixelwise.training.loop import Cadence, Learner, Progress, train
from pixelwise.training.optimiser import Rates, create_optimiser, parameter_groups
from pixelwise.training.plan import Plan
from pixelwise.training.recipe import Recipe
from pixelwise.training.schedule import RateFactor
from pixelwise.training.states import Position, States
from pixelwise.weights.card import model_card
from pixelwise.weights.checkpoint import Checkpoint, save_checkpoint

LOG_EVERY = 20
"""Steps between two lines of the log; validations are always logged."""

Count = Callable[[Network, DataSet, int, int], NDArray[np.int64]]
"""Counts a network's answers on part i of n of a data set; counts of all parts add up to the whole's."""


def run(
    plan: Plan,
    folder: RunFolder,
    *,
    count: Count,
    rate: Callable[[NDArray[np.int64]], float],
    watch: Callable[[Progress], None],
    stop: Callable[[], bool] = lambda: False,
    resume: bool = False,
) -> Position:
    """Train by `plan` in `folder`, to the end or until `stop()`; says where it came to.

    `count` and `rate` judge a network on the selection samples: counts are summed over the processes, and `rate` makes
    a score of them, larger is better. `watch` is told of every step.

    Raises `InputError` where the folder is in use, and, with `resume`, where it holds a run that is finished or another.
    """
    recipe = plan.recipe
    accelerator = create_accelerator(recipe.precision)
    main = accelerator.is_main_process
    card = run_card(plan.training, plan.selection, plan.origin, recipe.seed, accelerator.mixed_precision)
    if resume:
        folder.refuse_other(card, recipe.steps)
        card = folder.begun()  # where its first weights came from is not told again
    elif main:
        folder.begin(card, plan.training.names)
        recipe.save(folder.recipe)  # last: a folder that holds it can be resumed
    learner = build_learner(plan, accelerator.device)
    batches = build_batches(plan, accelerator.process_index, accelerator.num_processes)
    workers = count_workers(recipe, accelerator)
    states = States(accelerator, folder.states)
    if main:
        folder.forget_after(states.newest())

    def validate(network: Network) -> float:
        assert plan.selection is not None
        counts = count(network, plan.selection, accelerator.process_index, accelerator.num_processes)
        joint = accelerator.reduce(torch.from_numpy(counts).to(accelerator.device), "sum")
        return rate(joint.cpu().numpy())

    def keep(network: Network, progress: Progress) -> None:
        if main:
            _store(plan, folder, card, network, progress)

    def tell(progress: Progress) -> None:
        watch(progress)
        if main and (progress.score is not None or progress.step % LOG_EVERY == 0 or progress.step == recipe.steps):
            folder.write_line(asdict(progress))

    return train(
        learner,
        lambda first, last: batches.loader(first, last, workers=workers, pin=torch.cuda.is_available()),
        accelerator,
        states,
        _cadence(recipe),
        validate=None if plan.selection is None else validate,
        keep=keep,
        watch=tell,
        stop=stop,
    )


def create_accelerator(precision: str) -> Accelerator:
    """Device and processes, as `accelerate launch` or `torchrun` started them, and a recipe's precision."""
    if precision == "auto":
        device = torch.accelerator.current_accelerator() or torch.device("cpu")
        precision = "bf16" if has_bfloat16(device) else "no"
    AcceleratorState._reset_state()  # it is one a process: an earlier run there may have had another precision
    # On a machine without a GPU accelerate joins several processes only if it is told that the CPU is meant.
    return Accelerator(mixed_precision=precision, cpu=not torch.accelerator.is_available())


def build_learner(plan: Plan, device: torch.device) -> Learner:
    """The network on its device, with optimiser, schedule and running mean as the recipe says."""
    recipe = plan.recipe
    network = plan.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _quicken_statistics(network, recipe.steps)
    optimiser = create_optimiser(recipe.optimiser, parameter_groups(network, _rates(recipe)), recipe.momentum)
    average = WeightAverage(network, recipe.average) if recipe.average else None
    return Learner(network, plan.objective, optimiser, _factor(recipe), recipe.learning_rate, average)


def build_batches(plan: Plan, part: int, parts: int) -> Batches:
    """The training batches, or a process's part of them."""
    recipe, fill = plan.recipe, plan.network.fill
    if recipe.batch_size < parts:
        raise InputError(f"a batch of {recipe.batch_size} cannot be shared by {parts} processes: raise batch_size")
    return Batches(
        plan.source,
        recipe.batch_size,
        recipe.augmentation(plan.grid),
        fill,
        seed=recipe.seed,
        part=part,
        parts=parts,
    )


def count_workers(recipe: Recipe, accelerator: Accelerator) -> int:
    """How many workers prepare batches: as many as the recipe says, or else one where a core is free for it.

    Where every core learns, a worker has all of them wait for the one that it takes: longer than the loop takes to make
    its batches by itself (docs/results/training.md).
    """
    if recipe.workers is not None:
        return recipe.workers
    learning = accelerator.num_processes * torch.get_num_threads()
    return int(accelerator.device.type != "cpu" or learning < _cores())


def _cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _quicken_statistics(network: Network, steps: int) -> None:
    """Let running statistics forget within a twentieth of the run, but not below ten steps.

    EfficientNet's remember a hundred steps: in a short run they would be those of weights long gone.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.momentum is not None
            module.momentum = max(module.momentum, min(0.1, 20 / steps))


def _rates(recipe: Recipe) -> Rates:
    multiples = (recipe.backbone_rate, recipe.last_rate, recipe.bias_rate)
    return Rates(recipe.learning_rate, recipe.weight_decay, *multiples, recipe.plain_biases)


def _cadence(recipe: Recipe) -> Cadence:
    when = (recipe.steps, recipe.validate_every, recipe.save_every)
    return Cadence(*when, recipe.accumulate, recipe.clip, recipe.divide_by)


def _factor(recipe: Recipe) -> RateFactor:
    shape = (recipe.power, recipe.milestones, recipe.drop, recipe.patience)
    return RateFactor(recipe.schedule, recipe.steps, recipe.warmup, *shape)


def _store(plan: Plan, folder: RunFolder, card: dict[str, Any], network: Network, progress: Progress) -> None:
    """Write the model's directory with the record of how it was made."""
    record = {
        **card,
        "recipe": plan.recipe.model_dump(mode="json"),
        "selection_score": progress.score,
        "step": progress.step,
        "minutes": round(progress.seconds / 60, 1),
    }
    card_text = model_card(plan.config, plan.label_spec, record)
    checkpoint = Checkpoint(network, plan.config, plan.label_spec, record, card_text, plan.recipe.link)
    save_checkpoint(folder.model, checkpoint, stored=plan.recipe.stored)
