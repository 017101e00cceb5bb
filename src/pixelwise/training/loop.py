"""The loop: one readable page on accelerate, which owns device, precision, processes and the saved state."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from pixelwise.data.batches import Batch
from pixelwise.errors import InputError
from pixelwise.models.network import Network
from pixelwise.training.average import WeightAverage
from pixelwise.training.objectives import Objective, Trainee
from pixelwise.training.schedule import RateFactor
from pixelwise.training.states import Position, States

DivideBy = Literal["places", "batch", "images"]

BLANK_STEPS = 50
"""After so many steps without one labelled pixel it is no accident."""


@dataclass(frozen=True)
class Learner:
    """What learns: a network, what it minimises, and by what its weights are changed.

    factor   what the optimiser's rates are multiplied by, step by step
    rate     the rate that the groups' are multiples of: what is told of a step, times the factor
    average  the running mean of the weights, which is then what is validated and kept; None: the weights themselves
    """

    network: Network
    objective: Objective
    optimiser: Optimizer
    factor: RateFactor
    rate: float
    average: WeightAverage | None = None

    @property
    def judged(self) -> Network:
        """The network to validate and to keep."""
        return self.network if self.average is None else self.average.network


@dataclass(frozen=True)
class Cadence:
    """How many steps there are, what a step is, and what happens every so many of them.

    accumulate  batches whose gradients make one step
    clip        largest norm of the joint gradient, or None
    divide_by   what the sums of a step are divided by, as `learn` says
    """

    steps: int
    validate_every: int
    save_every: int
    accumulate: int = 1
    clip: float | None = None
    divide_by: DivideBy = "places"


@dataclass(frozen=True)
class Progress:
    """Where a training stands after a step: what the display and the log are told."""

    step: int
    steps: int
    loss: float
    """What was minimised: the sums of the step's batches, divided as the recipe says."""
    parts: Mapping[str, float]
    """What the loss is the sum of."""
    rate: float
    """The recipe's learning rate times the schedule's factor; the groups learn at multiples of it."""
    score: float | None
    """Validation score, on the steps that validate, if anything was labelled there."""
    best: float | None
    seconds: float
    """Time spent on the run so far, over all its sessions."""


def train(
    learner: Learner,
    batches: Callable[[int, int], Iterable[Batch]],
    accelerator: Accelerator,
    states: States,
    cadence: Cadence,
    *,
    validate: Callable[[Network], float] | None,
    keep: Callable[[Network, Progress], None],
    watch: Callable[[Progress], None],
    stop: Callable[[], bool] = lambda: False,
) -> Position:
    """Train until all steps are done, or until `stop()` is true; goes on from the newest state that was saved.

    `batches(first, last)` yields the batches of those numbers. `validate` gives the score to select by: larger is
    better, NaN says nothing. `keep` stores a network: whenever its score is the best so far, or at the end where no
    score came. `watch` is told of every step. Before it returns, the state is saved.

    Raises `InputError` with the step and the names of the batch if the loss is not finite, and if no pixel of the first
    `BLANK_STEPS` steps is labelled.
    """
    trainee, optimiser = accelerator.prepare(Trainee(learner.network, learner.objective), learner.optimiser)
    schedule = LambdaLR(learner.optimiser, learner.factor)
    accelerator.register_for_checkpointing(schedule, *([learner.average] if learner.average else []))
    position = states.load()
    started = time.monotonic() - position.seconds
    stream = iter(batches(position.step * cadence.accumulate, cadence.steps * cadence.accumulate))
    trainee.train()
    stopped = False
    while position.step < cadence.steps and not stopped:
        group = [batch.to(accelerator.device) for batch in itertools.islice(stream, cadence.accumulate)]
        parts, weight = learn(accelerator, trainee, learner.objective, group, cadence.divide_by)
        position.labelled += weight
        _refuse_nonsense(parts, position.labelled, position.step + 1, cadence.steps, group)
        rate = learner.rate * _factor_of(schedule)
        if cadence.clip is not None:
            accelerator.clip_grad_norm_(trainee.parameters(), cadence.clip)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if learner.average:
            learner.average.update(learner.network)
        position.step += 1
        position.seconds = time.monotonic() - started

        last = position.step == cadence.steps
        score = None
        if validate and (last or position.step % cadence.validate_every == 0):
            score = _validated(learner, trainee, validate, accelerator)
        better = score is not None and (position.best is None or score > position.best)
        position.best = score if better else position.best
        loss = sum(parts.values())
        progress = Progress(position.step, cadence.steps, loss, parts, rate, score, position.best, position.seconds)
        if better or (last and position.best is None):
            keep(learner.judged, progress)
        watch(progress)
        stopped = agreed(accelerator, stop())
        if last or stopped or position.step % cadence.save_every == 0:
            states.save(position)
    return position


def learn(
    accelerator: Accelerator,
    trainee: nn.Module,
    objective: Objective,
    group: list[Batch],
    divide_by: DivideBy = "places",
) -> tuple[dict[str, float], float]:
    """Add the gradient of a step's batches; returns the parts of its loss and the weight of its labelled places.

    Sums are divided, over all processes, by
        "places"  the labelled places of the step, so that each of them weighs the same
        "batch"   the labelled places of the batch, times the number of batches, so that each batch weighs the same
        "images"  the number of images, so that an image weighs by its labelled places

    Source: Caffe's SoftmaxWithLoss with iter_size: "batch" is normalize, "images" its absence with batches of one image.
    """
    places = torch.stack([objective.count(batch).float() for batch in group])
    joint = accelerator.reduce(places, "sum")
    images = accelerator.reduce(joint.new_tensor(sum(len(batch.names) for batch in group)), "sum")
    divided = {"places": joint.sum().expand_as(joint), "batch": joint * len(group), "images": images.expand_as(joint)}
    divisors = divided[divide_by].masked_fill(divided[divide_by] == 0, 1)
    means: dict[str, Tensor] = {}
    for number, (batch, divisor) in enumerate(zip(group, divisors, strict=True), start=1):
        # Processes exchange gradients once a step, on its last batch.
        with nullcontext() if number == len(group) else accelerator.no_sync(trainee):
            parts = _forward(trainee, batch)
            loss = torch.stack(list(parts.values())).sum() / divisor
            # They average their gradients, and each sum is divided by everybody's places already.
            accelerator.backward(loss * accelerator.num_processes)
        for name, part in parts.items():
            means[name] = means.get(name, part.new_zeros(())) + part.detach() / divisor
    return {name: float(accelerator.reduce(part, "sum")) for name, part in means.items()}, float(joint.sum())


def _factor_of(schedule: LambdaLR) -> float:
    """What the groups' rates are multiplied by at this step; some may be 0, and the largest says it."""
    base, now = max(zip(schedule.base_lrs, schedule.get_last_lr(), strict=True))
    return float(now) / float(base) if base else 0.0


def _forward(trainee: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The parts of a batch's sum, under the accelerator's precision."""
    try:
        parts: dict[str, Tensor] = trainee(batch)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "one image of so small a crop is too little to normalise by: raise batch_size or crop"
        ) from error
    return parts


def _refuse_nonsense(parts: Mapping[str, float], labelled: float, step: int, steps: int, group: list[Batch]) -> None:
    names = ", ".join(name for batch in group for name in batch.names)
    if not all(math.isfinite(part) for part in parts.values()):
        told = ", ".join(f"{name} {part}" for name, part in parts.items())
        raise InputError(
            f"the loss is not finite at step {step} ({told}), images {names}: lower learning_rate, or look at these files"
        )
    if not labelled and step == min(steps, BLANK_STEPS):
        raise InputError(
            f"no labelled pixel in the {step} steps up to now, images {names} among them: "
            f"their masks are ignored everywhere; `pixelwise check` says more"
        )


def _validated(
    learner: Learner, trainee: nn.Module, validate: Callable[[Network], float], accelerator: Accelerator
) -> float | None:
    """The score of the network to keep; None where there was nothing to judge by."""
    learner.network.eval()
    if accelerator.num_processes > 1:
        for statistic in learner.judged.buffers():  # each process has seen other images; the first one's are kept
            broadcast(statistic)
    score = validate(learner.judged)
    trainee.train()
    if math.isnan(score):
        return None
    learner.factor.observe(score)
    return score


def agreed(accelerator: Accelerator, wanted: bool) -> bool:
    """Whether any process wants it: all must leave the loop at the same step."""
    return bool(accelerator.reduce(torch.tensor(float(wanted), device=accelerator.device), "sum"))
