"""Minutes into steps: how long a step takes here, measured on steps whose outcome is thrown away."""

from __future__ import annotations

import statistics
import time

from pixelwise.training.loop import learn
from pixelwise.training.objectives import Trainee
from pixelwise.training.plan import Plan
from pixelwise.training.recipe import Recipe
from pixelwise.training.run import build_batches, build_learner, create_accelerator

TIMED_STEPS = 20
WARM_STEPS = 5
"""The first steps pay for starting workers and choosing kernels, and are not counted."""

FOR_TRAINING = 0.9
"""The part of the time that is for steps; the rest is for validation and saving."""


def steps_in(plan: Plan, minutes: float) -> int:
    """How many steps of a plan fit into `minutes`. The plan's network is changed: work out the plan again afterwards."""
    recipe = plan.recipe
    accelerator = create_accelerator(recipe.precision)
    learner = build_learner(plan, accelerator.device)
    trainee, optimiser = accelerator.prepare(Trainee(learner.network, learner.objective), learner.optimiser)
    batches = build_batches(plan, accelerator.process_index, accelerator.num_processes)
    stream = iter(batches.loader(0, TIMED_STEPS * recipe.accumulate, workers=recipe.workers))
    trainee.train()
    seconds = []
    for _ in range(TIMED_STEPS):
        begun = time.monotonic()
        group = [next(stream).to(accelerator.device) for _ in range(recipe.accumulate)]
        learn(accelerator, trainee, learner.objective, group)
        optimiser.step()
        optimiser.zero_grad()
        if learner.average:
            learner.average.update(learner.network)
        seconds.append(time.monotonic() - begun)
    return max(1, round(FOR_TRAINING * minutes * 60 / statistics.fmean(seconds[WARM_STEPS:])))


def fitted(recipe: Recipe, steps: int) -> Recipe:
    """The recipe for that many steps: five looks at the selection images, a state saved about every minute or so."""
    return recipe.model_copy(
        update={"steps": steps, "validate_every": max(1, steps // 5), "warmup": min(recipe.warmup, steps // 10)}
    )
