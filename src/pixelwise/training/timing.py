"""Minutes into steps: how long a step takes here, measured on steps whose outcome is thrown away."""

from __future__ import annotations

import statistics
import time
from copy import deepcopy
from dataclasses import replace

import torch
from accelerate import Accelerator

from pixelwise.training.loop import agreed, learn
from pixelwise.training.objectives import Trainee
from pixelwise.training.plan import Plan
from pixelwise.training.recipe import Recipe
from pixelwise.training.run import build_batches, build_learner, count_workers, create_accelerator

TIMED_STEPS = 20
WARM_STEPS = 5
"""The first steps pay for starting workers and choosing kernels, and are not counted."""

FOR_TIMING = 0.1
"""The part of the time after which no further step is measured, if one was."""

FOR_TRAINING = 0.9
"""The part of the time that is for steps; the rest is for validation and saving."""


def steps_in(plan: Plan, minutes: float) -> int:
    """How many steps of a plan fit into `minutes`: the same in all processes. Plan and random state stay as they were."""
    accelerator = create_accelerator(plan.recipe.precision)
    with torch.random.fork_rng([accelerator.device] if accelerator.device.type == "cuda" else []):
        apart = replace(plan, network=deepcopy(plan.network))
        seconds = _seconds_a_step(apart, accelerator, enough=FOR_TIMING * minutes * 60)
    joint = accelerator.reduce(torch.tensor(seconds, device=accelerator.device), "mean")
    return max(1, round(FOR_TRAINING * minutes * 60 / float(joint)))


def _seconds_a_step(plan: Plan, accelerator: Accelerator, enough: float) -> float:
    """The mean over some steps, which change the plan's network; fewer of them after `enough` seconds."""
    recipe = plan.recipe
    learner = build_learner(plan, accelerator.device)
    trainee, optimiser = accelerator.prepare(Trainee(learner.network, learner.objective), learner.optimiser)
    batches = build_batches(plan, accelerator.process_index, accelerator.num_processes)
    stream = iter(batches.loader(0, TIMED_STEPS * recipe.accumulate, workers=count_workers(recipe, accelerator)))
    trainee.train()
    seconds = []
    for _ in range(TIMED_STEPS):
        begun = time.monotonic()
        group = [next(stream).to(accelerator.device) for _ in range(recipe.accumulate)]
        learn(accelerator, trainee, learner.objective, group, recipe.divide_by)
        optimiser.step()
        optimiser.zero_grad()
        if learner.average:
            learner.average.update(learner.network)
        seconds.append(time.monotonic() - begun)
        if len(seconds) > WARM_STEPS and agreed(accelerator, sum(seconds) > enough):
            break
    return statistics.fmean(seconds[WARM_STEPS:])


def fitted(recipe: Recipe, steps: int) -> Recipe:
    """The recipe for that many steps: five looks at the selection images, ten saved states or more."""
    return recipe.model_copy(
        update={
            "steps": steps,
            "validate_every": max(1, steps // 5),
            "save_every": min(recipe.save_every, max(1, steps // 10)),
            "warmup": min(recipe.warmup, steps // 10),
        }
    )
