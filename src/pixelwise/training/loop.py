"""The loop: one readable page on accelerate, which owns device, precision, processes and the saved state."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pixelwise.data.batches import Batch
from pixelwise.errors import InputError
from pixelwise.files import write_text
from pixelwise.models.network import Network
from pixelwise.training.objectives import Objective, Trainee

BLANK_STEPS = 50
"""After so many batches without one labelled pixel it is no accident."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands: what the display and the log are told after a step."""

    step: int
    steps: int
    loss: float
    """Mean over the labelled pixels of the step's batch."""
    rate: float
    """Learning rate of the first group."""
    score: float | None = None
    """Validation score, on the steps that validate."""
    best: float | None = None
    seconds: float = 0.0
    """Time spent on the run so far, over all its sessions."""


@dataclass
class Position:
    """What a resumed run needs beside accelerate's state."""

    step: int = 0
    best: float | None = None
    seconds: float = 0.0


def train(
    network: Network,
    objective: Objective,
    optimiser: Optimizer,
    schedule: LRScheduler,
    batches: Callable[[int, int], Iterable[Batch]],
    *,
    accelerator: Accelerator,
    steps: int,
    states: Path,
    save_every: int,
    validate: Callable[[Network], float] | None,
    validate_every: int,
    keep: Callable[[Network, Progress], None],
    watch: Callable[[Progress], None],
) -> Position:
    """Train `network` in place until `steps`, from where the folder `states` left off if it holds a saved one.

    `batches(start, stop)` yields the batches of those steps. `validate` gives the score to select by (larger is
    better); `keep` stores the network: whenever the score is the best so far, or at the end where nothing validates.
    `watch` is told of every step.
    Raises `InputError` with the step and the names of the batch if the loss is not finite, and if no pixel of the first
    `BLANK_STEPS` batches is labelled.
    """
    trainee, optimiser = accelerator.prepare(Trainee(network, objective), optimiser)
    accelerator.register_for_checkpointing(schedule)  # prepared, it would step once a process
    position = _resume(accelerator, states)
    started, labelled = time.monotonic() - position.seconds, 0
    trainee.train()
    for batch in batches(position.step, steps):
        loss, places = _learn(accelerator, trainee, batch.to(accelerator.device), position.step + 1)
        labelled += places
        if not labelled and position.step + 1 == min(steps, BLANK_STEPS):
            raise InputError(
                f"no labelled pixel in the {position.step + 1} batches up to now, {', '.join(batch.names)} among them: "
                f"their masks are ignored everywhere; `pixelwise check` says more"
            )
        rate = float(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        position.step += 1
        position.seconds = time.monotonic() - started

        score = None
        if validate and (position.step % validate_every == 0 or position.step == steps):
            network.eval()
            score = validate(network)
            trainee.train()
        better = score is not None and (position.best is None or score > position.best)
        position.best = score if better else position.best
        progress = Progress(position.step, steps, loss, rate, score, position.best, position.seconds)
        if better or (validate is None and position.step == steps):
            keep(network, progress)
        watch(progress)
        if position.step % save_every == 0 or position.step == steps:
            _save(accelerator, states, position)
    return position


def _learn(accelerator: Accelerator, trainee: nn.Module, batch: Batch, step: int) -> tuple[float, int]:
    """Add a batch's gradient, and return its loss, the mean over the labelled places of all processes, and their number."""
    objective: Objective = accelerator.unwrap_model(trainee).objective
    places = accelerator.reduce(objective.count(batch), "sum")
    try:
        parts = trainee(batch)  # under the accelerator's precision
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "one image of so small a crop is too little to normalise by: raise batch_size or crop"
        ) from error
    loss = torch.stack(list(parts.values())).sum() / places.clamp(min=1)
    # Processes average their gradients, and the sum is already divided by everybody's pixels.
    accelerator.backward(loss * accelerator.num_processes)
    joint_loss = float(accelerator.reduce(loss.detach(), "sum"))
    if not math.isfinite(joint_loss):
        raise InputError(
            f"the loss is {joint_loss} at step {step}, batch {', '.join(batch.names)}: "
            f"lower learning_rate, or look at these files"
        )
    return joint_loss, int(places)


def _resume(accelerator: Accelerator, folder: Path) -> Position:
    saved = sorted(folder.glob("step-*"))
    if not saved:
        return Position()
    try:
        accelerator.load_state(str(saved[-1]))
        return Position(**json.loads((saved[-1] / "position.json").read_text()))
    except Exception as error:  # damaged files fail in as many ways as there are formats
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{saved[-1]}: cannot be resumed ({reason}); delete it to go on from the state before, or from the start"
        ) from error


def _save(accelerator: Accelerator, folder: Path, position: Position) -> None:
    """A state is a folder of its own that appears by one rename: a kill at any moment leaves the last whole one."""
    final = folder / f"step-{position.step:08d}"
    beside = folder / f".{final.name}"
    accelerator.save_state(str(beside))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_text(beside / "position.json", json.dumps(asdict(position)))
        os.replace(beside, final)
        for older in sorted(folder.glob("step-*"))[:-1]:
            shutil.rmtree(older)
    accelerator.wait_for_everyone()
